// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

package modelport

import (
	"math"
	"math/rand"
	"testing"
)

// TestMultiply: products of any size have the bits of sums in ascending order.
func TestMultiply(t *testing.T) {
	random := rand.New(rand.NewSource(0))
	normal := func(n int) []float64 {
		all := make([]float64, n)
		for k := range all {
			all[k] = random.NormFloat64()
		}
		return all
	}
	for m := 0; m < 12; m++ {
		for n := 0; n < 20; n++ {
			for _, k := range []int{0, 1, 2, 7} {
				x, w, y := normal(m*k), normal(n*k), normal(m*n)
				z := append([]float64{}, y...)
				for i := 0; i < m; i++ {
					for j := 0; j < n; j++ {
						s := 0.0
						for p := 0; p < k; p++ {
							s += float64(x[i*k+p] * w[j*k+p])
						}
						z[i*n+j] += s
					}
				}
				multiply(x, k, m, w, k, n, k, y, n)
				for i := range z {
					if math.Float64bits(y[i]) != math.Float64bits(z[i]) {
						t.Fatalf("%d rows by %d of %d elements: element %d is %v, not %v", m, n, k, i, y[i], z[i])
					}
				}
			}
		}
	}
}
