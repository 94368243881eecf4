// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

package modelport

// Ops of the profile nn, neural networks (docs/format.md, section 6.3), for modelport.go: put this file beside that one, and Load knows
// them.
//
// Sections: 1 Shapes, 2 Resize, 3 Products, 4 Pooling, 5 Norms, 6 Activations, 7 Recurrences, 8 Attention. As in modelport_ops.go, an op
// checks its attributes and the types of what it reads, and returns a step. Lengths are static here: named ones are known when a step is checked.

import (
	"math"
)

func init() {
	for name, check := range map[string]func(a *args) *step{
		"reshape": reshape, "transpose": transpose, "slice": slice, "expand": expand, "positions": positions, "gather": gatherOp,
		"embedding": embedding, "pad": pad, "resize": resize, "matmul": matmul, "conv": conv, "conv_transpose": convTranspose, "pool": pool,
		"batch_norm": batchNorm, "layer_norm": layerNorm, "group_norm": groupNorm, "activation": activation, "prelu": prelu,
		"lstm": lstm, "gru": gru, "rnn": rnn, "attention": attention, "cumsum": cumsum,
	} {
		check := check
		table[name] = deep(func(a *args) *step {
			for _, t := range a.types {
				a.need(t.width > 0, "reads %s; all lengths are at least 1.", t)
			}
			return check(a)
		})
	}
}

// times is a product of counts; as good as infinite when it overflows.
func times(factors ...int) int64 {
	product := int64(1)
	for _, factor := range factors {
		if factor != 0 && product > math.MaxInt64/int64(factor) {
			product = math.MaxInt64
		} else {
			product *= int64(factor)
		}
	}
	return product
}

func longs(parts ...[]int) []int64 {
	all := []int64{}
	for _, part := range parts {
		for _, length := range part {
			all = append(all, int64(length))
		}
	}
	return all
}

// lengthy is the row shape of a value, every length at least 1.
func lengthy(a *args, dtype DType, lengths ...int64) *rowType {
	for _, length := range lengths {
		a.need(length >= 1, "gives %s%s; all lengths are at least 1.", dtype, listed(lengths))
	}
	return a.shaped(dtype, lengths...)
}

// finiteOf is an attribute that is a finite number; required when there is no default.
func finiteOf(a *args, key string, otherwise ...float64) float64 {
	if len(otherwise) == 0 {
		a.attribute(key)
		otherwise = []float64{0}
	}
	value := a.number(key, otherwise[0])
	a.need(math.Abs(value) <= math.MaxFloat64, "has %s %v; it is finite.", quote(key), value)
	return value
}

// ranked refuses a value whose rank is not within the bounds.
func ranked(a *args, t *rowType, lowest, highest int) *rowType {
	a.need(t.rank >= lowest && t.rank <= highest, "reads %s; rank %d or more is needed, and at most %d.", t, lowest, highest)
	return t
}

// ==== 1 Shapes =======================================================================================================

// picks moves elements: element k of a row of the value is element at[k] of the row read, or the fill where that is -1.
func picks(a *args, typ *rowType, at []int, fill *data) *step {
	begins := func(k int) bool {
		if k == 0 {
			return true
		}
		if at[k-1] < 0 {
			return at[k] >= 0
		}
		return at[k] != at[k-1]+1
	}
	runs := 0
	for k := range at {
		if begins(k) {
			runs++
		}
	}
	var starts []int // of stretches of neighbours, if they are long enough to be copied at once; or nil
	if 4*runs <= len(at) {
		a.g.take(8 * int64(runs+1))
		for k := range at {
			if begins(k) {
				starts = append(starts, k)
			}
		}
		starts = append(starts, len(at))
	}
	return newStep(a, typ, func(s *step, f *frame) data {
		x, out := f.values[s.in[0]], typ.dtype.allocate(f.rows*typ.width)
		if fill != nil && fill.f != nil && fill.f[0] != 0 {
			for k := range out.f {
				out.f[k] = fill.f[0]
			}
		} else if fill != nil && fill.n != nil && fill.n[0] != 0 {
			for k := range out.n {
				out.n[k] = fill.n[0]
			}
		}
		for r := 0; r < f.rows; r++ {
			i, o := r*s.from[0].width, r*typ.width
			if starts != nil {
				for k := 0; k+1 < len(starts); k++ {
					if from := at[starts[k]]; from >= 0 {
						out.copy(o+starts[k], x, i+from, starts[k+1]-starts[k])
					}
				}
				continue
			}
			switch {
			case out.f != nil:
				pick(out.f[o:o+typ.width], x.f[i:], at)
			case out.n != nil:
				pick(out.n[o:o+typ.width], x.n[i:], at)
			default:
				pick(out.s[o:o+typ.width], x.s[i:], at)
			}
		}
		return out
	})
}

func pick[T any](out, x []T, at []int) {
	for k, from := range at {
		if from >= 0 {
			out[k] = x[from]
		}
	}
}

// passed gives what is read as it is, under another type.
func passed(a *args, typ *rowType) *step {
	return newStep(a, typ, func(s *step, f *frame) data { return f.values[s.in[0]] })
}

// lengthsOf are the lengths that "shape" gives, those of `like` where "copy" names one of its axes; -1 stays where it is allowed.
func lengthsOf(a *args, like *rowType, rest bool) []int64 {
	lowest := 0
	if rest {
		lowest = -1
	}
	shape := a.ints("shape", -1, lowest, math.MaxInt32)
	var from []int
	if a.has("copy") {
		a.need(like != nil, "has \"copy\" without a second value.")
		from = a.ints("copy", len(shape), -1, like.rank-1)
	}
	a.need(len(shape) <= a.g.limits.Rank, "has a \"shape\" of rank %d, more than the limit of %d.", len(shape), a.g.limits.Rank)
	lengths := longs(shape)
	for k, length := range shape {
		copied := from != nil && from[k] >= 0
		a.need(copied == (length == 0), "has the length %d in \"shape\" at position %d; it is 0 exactly where \"copy\" names an axis.", length, k)
		if copied {
			lengths[k] = int64(like.dims[from[k]])
		}
	}
	return lengths
}

// reshape gives the same elements in row-major order.
func reshape(a *args) *step {
	x := a.one(anything)
	lengths, open, known := lengthsOf(a, x, true), -1, int64(1)
	for k, length := range lengths {
		if length < 0 {
			a.need(open < 0, "has -1 twice in \"shape\".")
			open = k
		} else {
			known = times(int(known), int(length))
		}
	}
	width := int64(x.width)
	good := width == known
	if open >= 0 {
		good = width%known == 0
		lengths[open] = width / known
	}
	a.need(good, "cannot give the elements of %s the shape %s.", x, listed(lengths))
	return passed(a, lengthy(a, x.dtype, lengths...))
}

// transpose makes axis i of the result of axis perm[i] of the input.
func transpose(a *args) *step {
	x := a.one(anything)
	perm := a.ints("perm", x.rank, 0, x.rank-1)
	different(a, "perm", perm, x.rank)
	lengths, offsets := make([]int64, x.rank), make([][]int, x.rank)
	for k, axis := range perm {
		lengths[k] = int64(x.dims[axis])
		offsets[k] = x.along(axis, x.dims[axis])
	}
	return picks(a, lengthy(a, x.dtype, lengths...), places(a.g, offsets), nil)
}

// different refuses axes that are named twice.
func different(a *args, key string, axes []int, rank int) {
	seen := make([]bool, rank)
	for _, axis := range axes {
		a.need(!seen[axis], "has the axis %d twice in %s.", axis, quote(key))
		seen[axis] = true
	}
}

// axesOf are the axes that an attribute names, all different and within the rank.
func axesOf(a *args, x *rowType) []int {
	axes := a.ints("axes", -1, 0, x.rank-1)
	different(a, "axes", axes, x.rank)
	return axes
}

// slice takes start, start + step, .. before stop, along some axes.
func slice(a *args) *step {
	x := ranked(a, a.one(anything), 1, many)
	axes := axesOf(a, x)
	starts, stops := a.integers("starts", 1).data.n, a.integers("stops", 1).data.n
	var steps []int64
	if a.has("steps") {
		steps = a.integers("steps", 1).data.n
		a.expect("steps", len(steps), len(axes))
	}
	a.expect("starts", len(starts), len(axes))
	a.expect("stops", len(stops), len(axes))
	lengths, offsets := longs(x.dims), make([][]int, x.rank)
	for axis := range offsets {
		offsets[axis] = x.along(axis, x.dims[axis])
	}
	for k, axis := range axes {
		n, by := int64(x.dims[axis]), int64(1)
		if steps != nil {
			by = max(-math.MaxInt32, min(steps[k], math.MaxInt32))
		}
		start, stop := sliceEnd(starts[k], n, by), sliceEnd(stops[k], n, by)
		a.need(by > 0 && start < stop || by < 0 && start > stop,
			"takes nothing of the axis %d of %s: from %d to %d in steps of %d.", axis, x, starts[k], stops[k], by)
		count := (stop - start + by - 1) / by
		if by < 0 {
			count = (start - stop - by - 1) / -by
		}
		all := offsets[axis]
		offsets[axis] = make([]int, count)
		for j := range offsets[axis] {
			offsets[axis][j] = all[start+int64(j)*by]
		}
		lengths[axis] = count
	}
	return picks(a, lengthy(a, x.dtype, lengths...), places(a.g, offsets), nil)
}

// sliceEnd is a start or stop of a slice, counted from the end when negative, within the axis.
func sliceEnd(at, n, by int64) int64 {
	if at < 0 {
		at += n
	}
	if by > 0 {
		return max(0, min(at, n))
	}
	return max(-1, min(at, n-1))
}

// expand broadcasts to given lengths.
func expand(a *args) *step {
	a.arity(1, 2)
	x, like := a.types[0], (*rowType)(nil)
	if len(a.types) == 2 {
		like = a.types[1]
	}
	wide := lengthy(a, x.dtype, lengthsOf(a, like, false)...)
	onto(a, x, wide)
	if at := x.spread(wide, a.g); at != nil {
		return picks(a, wide, at, nil)
	}
	return passed(a, wide)
}

// onto refuses a shape that does not broadcast to another one as it is.
func onto(a *args, x, wide *rowType) {
	good := x.rank <= wide.rank
	for k := 0; good && k < x.rank; k++ {
		good = x.dims[k] == 1 || x.dims[k] == wide.dims[k+wide.rank-x.rank]
	}
	a.need(good, "cannot broadcast %s to %s.", listed(x.dims), listed(wide.dims))
}

// positions are 0, 1, 2, .. along an axis.
func positions(a *args) *step {
	x := ranked(a, a.one(anything), 1, many)
	typ := lengthy(a, I64, int64(x.dims[a.integer("axis", 0, int64(x.rank)-1)]))
	return newStep(a, typ, func(s *step, f *frame) data {
		out := make([]int64, f.rows*typ.width)
		for k := range out {
			out[k] = int64(k % typ.width)
		}
		return data{n: out}
	})
}

// gatherOp (gather) takes elements by index along an axis; an index below 0 counts from the end.
func gatherOp(a *args) *step {
	a.arity(2, 2)
	x, index := ranked(a, a.types[0], 1, many), a.input(1, integers)
	axis := a.integer("axis", 0, int64(x.rank)-1)
	n, before, behind := x.dims[axis], x.size(0, axis), x.size(axis+1, x.rank)
	typ := lengthy(a, x.dtype, longs(x.dims[:axis], index.dims, x.dims[axis+1:])...)
	return newStep(a, typ, func(s *step, f *frame) data {
		out, given, at, o := typ.dtype.allocate(f.rows*typ.width), f.values[s.in[1]].n, make([]int, index.width), 0
		for r := 0; r < f.rows; r++ {
			for k := range at {
				place := given[r*len(at)+k]
				if place < int64(-n) || place >= int64(n) {
					panic(s.refuse(f, r, "the index %d lies outside the axis of length %d.", place, n))
				}
				at[k] = int(place)
				if place < 0 {
					at[k] += n
				}
			}
			for b := 0; b < before; b++ {
				for _, k := range at {
					out.copy(o, f.values[s.in[0]], r*x.width+(b*n+k)*behind, behind)
					o += behind
				}
			}
		}
		return out
	})
}

// embedding gives rows of the weight by index.
func embedding(a *args) *step {
	a.dtype = a.floating("dtype")
	x := a.one(integers)
	weight := a.tensor("weight", a.dtype, 2, 2)
	m, w := weight.shape[0], weight.shape[1]
	a.need(m > 0, "has a \"weight\" without rows.")
	typ := lengthy(a, a.dtype, longs(x.dims, []int{w})...)
	return newStep(a, typ, func(s *step, f *frame) data {
		y := make([]float64, f.rows*typ.width)
		for k, index := range f.values[s.in[0]].n {
			if index < 0 || index >= int64(m) {
				panic(s.refuse(f, k/x.width, "the index %d lies outside the weight of %d rows.", index, m))
			}
			copy(y[k*w:(k+1)*w], weight.data.f[int(index)*w:])
		}
		return data{f: y}
	})
}

// pad puts elements before and behind every axis.
func pad(a *args) *step {
	x := a.one(numbers)
	before, after := a.ints("before", x.rank, 0, math.MaxInt32), a.ints("after", x.rank, 0, math.MaxInt32)
	mode := a.choice("mode", true, "constant", "reflect", "edge", "wrap")
	constant := mode == "constant"
	a.need(!a.has("value") || constant, "has a \"value\" beside the mode %s, which puts in none.", quote(mode))
	value := finiteOf(a, "value", 0)
	lengths := make([]int64, x.rank)
	for k, n := range x.dims {
		most := math.MaxInt32
		if mode == "reflect" {
			most = n - 1
		} else if mode == "wrap" {
			most = n
		}
		a.need(max(before[k], after[k]) <= most, "pads the axis %d of %s by more than %d, the most in mode %s.", k, x, most, quote(mode))
		lengths[k] = int64(before[k]) + int64(n) + int64(after[k])
	}
	wide, offsets := lengthy(a, x.dtype, lengths...), make([][]int, x.rank)
	for k, n := range x.dims {
		offsets[k] = make([]int, wide.dims[k])
		for j := range offsets[k] {
			at := j - before[k]
			inside := at >= 0 && at < n
			switch {
			case inside:
			case constant:
				offsets[k][j] = -1
				continue
			case mode == "edge":
				at = max(0, min(at, n-1))
			case mode == "wrap":
				at = (at + n) % n
			case at < 0:
				at = -at
			default:
				at = 2*(n-1) - at
			}
			offsets[k][j] = at * x.size(k+1, x.rank)
		}
	}
	var fill *data
	if constant {
		one := filling(a, x.dtype, value)
		fill = &one
	}
	return picks(a, wide, places(a.g, offsets), fill)
}

// filling is one element of a dtype, cast from a number.
func filling(a *args, dtype DType, value float64) data {
	d := dtype.allocate(1)
	if dtype.IsFloat() {
		d.f[0] = rounded(value, dtype)
		return d
	}
	if dtype == Bool {
		if value != 0 {
			d.n[0] = 1
		}
		return d
	}
	whole := math.Trunc(value)
	a.need(whole >= float64(dtype.least()) && whole < float64(dtype.most())+1, "has \"value\" %v, which does not fit the dtype %s.", value, dtype)
	d.n[0] = int64(whole)
	return d
}

// ==== 2 Resize =======================================================================================================

// resize goes along some axes, one after the other; a result is a weighted sum of one, two or four elements.
func resize(a *args) *step {
	x := a.rounded()
	along, typ := resizing(a, x)
	return newStep(a, typ, func(s *step, f *frame) data {
		given, y := s.floats(f, 0), make([]float64, f.rows*typ.width)
		for r := 0; r < f.rows; r++ { // row by row: what lies between two axes may be larger than the result
			row := given[r*x.width : (r+1)*x.width]
			for _, axis := range along {
				row = roundAll(axis.run(row), s.dtype)
			}
			copy(y[r*typ.width:], row)
		}
		return data{f: y}
	})
}

// resizing reads the axes of a resize; the type is that of its result.
func resizing(a *args, x *rowType) ([]*resized, *rowType) {
	typ := ranked(a, x, 1, many)
	axes := axesOf(a, x)
	a.need(len(axes) > 0 && a.has("sizes") != a.has("scales"), "has no axes, or both or none of \"sizes\" and \"scales\".")
	var sizes []int
	var scales []float64
	if a.has("sizes") {
		sizes = a.ints("sizes", len(axes), 1, math.MaxInt32)
	} else {
		scales = a.floatsOf("scales", F64, len(axes))
	}
	fn := a.choice("fn", false, "nearest", "linear", "cubic")
	at := a.choice("at", false, "half_pixel", "align_corners", "asymmetric")
	taps, round := map[string]int{"nearest": 1, "linear": 2, "cubic": 4}[fn], ""
	a.need(!(a.has("round") && taps != 1 || a.has("cubic") && taps != 4), "has \"round\" or \"cubic\", which %s does not use.", quote(fn))
	if taps == 1 {
		round = a.choice("round", true, "half_down", "floor", "ceil", "half_up")
	}
	shape, along := finiteOf(a, "cubic", -0.75), []*resized{}
	for k, axis := range axes {
		n, m, factor := typ.dims[axis], 0.0, 0.0
		if scales != nil {
			factor = scales[k]
			a.need(factor > 0 && factor <= math.MaxFloat64, "has the scale %v; it is positive and finite.", factor)
			m = math.Floor(float64(n) * factor)
		} else {
			m = float64(sizes[k])
			factor = m / float64(n)
		}
		lengths := longs(typ.dims)
		lengths[axis] = int64(math.Min(m, math.MaxInt32))
		behind := typ.size(axis+1, typ.rank)
		typ = lengthy(a, x.dtype, lengths...)
		a.work += float64(4 * typ.width)
		along = append(along, &resized{n: n, m: int(lengths[axis]), behind: behind, taps: taps, factor: factor, at: at, round: round, shape: shape})
	}
	return along, typ
}

// A resized is one axis of a resize: which elements a result is made of, and how much of each.
type resized struct {
	n, m, behind, taps int
	factor, shape      float64
	at, round          string
}

const placed = 128 // elements whose taps are found at a time, so that they take no memory

// fill writes what elements first.. of the result are made of, and how much of each.
func (z *resized) fill(first, count int, place []int, share []float64) {
	for j := 0; j < count; j++ {
		o, u := first+j, 0.0
		switch {
		case z.at == "half_pixel":
			u = (float64(o)+0.5)/z.factor - 0.5
		case z.at == "asymmetric":
			u = float64(o) / z.factor
		case z.m > 1:
			u = float64(o) * float64(z.n-1) / float64(z.m-1)
		}
		if z.taps == 1 {
			place[j] = z.within(z.rounded(u))
			continue
		}
		if z.taps == 2 {
			u = math.Max(0, math.Min(u, float64(z.n)-1))
		}
		g := math.Floor(u)
		w := u - g
		for q := 0; q < z.taps; q++ {
			by, part := q, w
			if z.taps == 4 {
				by = q - 1
				part = cubicShare(math.Abs(w-float64(by)), z.shape)
			} else if q == 0 {
				part = 1 - w
			}
			place[j*z.taps+q], share[j*z.taps+q] = z.within(g+float64(by)), part
		}
	}
}

func (z *resized) rounded(u float64) float64 {
	switch z.round {
	case "floor":
		return math.Floor(u)
	case "ceil":
		return math.Ceil(u)
	case "half_down":
		return math.Ceil(u - 0.5)
	}
	return math.Floor(u + 0.5)
}

func (z *resized) within(index float64) int { return int(math.Max(0, math.Min(index, float64(z.n)-1))) }

func cubicShare(z, a float64) float64 {
	switch {
	case z <= 1:
		return float64(float64((float64((a+2)*z)-(a+3))*z)*z) + 1
	case z < 2:
		return float64((float64((float64(a*z)-float64(5*a))*z)+float64(8*a))*z) - float64(4*a)
	}
	return 0
}

func (z *resized) run(x []float64) []float64 {
	before := len(x) / z.n / z.behind
	y := make([]float64, before*z.m*z.behind)
	place, share := make([]int, min(z.m, placed)*z.taps), make([]float64, min(z.m, placed)*z.taps)
	for first := 0; first < z.m; first += placed {
		count := min(placed, z.m-first)
		z.fill(first, count, place, share)
		for b := 0; b < before; b++ {
			for j := 0; j < count; j++ {
				to := y[(b*z.m+first+j)*z.behind:][:z.behind]
				for q := j * z.taps; q < (j+1)*z.taps; q++ {
					from, part := x[(b*z.n+place[q])*z.behind:][:z.behind], share[q]
					if z.taps == 1 {
						copy(to, from)
						continue
					}
					for k, v := range from {
						to[k] += float64(v * part)
					}
				}
			}
		}
	}
	return y
}

// ==== 3 Products =====================================================================================================

const panelWidth, panelHeight, panelDepth = 256, 64, 4

// panels is a product of matrices: sums[i][j] = sum over p of a[i][p] * b[p][j] in ascending p, in f64; a is m x k, row i at i * stride. fill
// writes b[p][j..] to a buffer, four rows at a time; take gets the sums [i][j..].
func panels(a []float64, stride, m, k, n int, fill func(p, j int, to []float64), take func(i, j int, sums []float64)) {
	var b [panelDepth][panelWidth]float64
	sums := make([]float64, min(m, panelHeight)*panelWidth)
	for j := 0; j < n; j += panelWidth {
		w := min(panelWidth, n-j)
		for i := 0; i < m; i += panelHeight {
			h := min(panelHeight, m-i)
			for r := range sums {
				sums[r] = 0
			}
			for p := 0; p < k; p += panelDepth {
				depth := min(panelDepth, k-p)
				for q := 0; q < depth; q++ {
					fill(p+q, j, b[q][:w])
				}
				r := 0
				for ; depth == panelDepth && r+1 < h; r += 2 {
					c := a[(i+r)*stride+p:][:panelDepth]
					d := a[(i+r+1)*stride+p:][:panelDepth]
					addPanel((*[4]float64)(c), (*[4]float64)(d), &b, sums[r*panelWidth:][:w], sums[(r+1)*panelWidth:][:w])
				}
				for ; r < h; r++ {
					for q := 0; q < depth; q++ {
						axpy(a[(i+r)*stride+p+q], b[q][:w], sums[r*panelWidth:])
					}
				}
			}
			for r := 0; r < h; r++ {
				take(i+r, j, sums[r*panelWidth:][:w])
			}
		}
	}
}

func addPanel(c, d *[4]float64, b *[panelDepth][panelWidth]float64, s, t []float64) {
	c0, c1, c2, c3, d0, d1, d2, d3 := c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]
	w := len(s)
	t = t[:w]
	b0, b1, b2, b3 := b[0][:w], b[1][:w], b[2][:w], b[3][:w]
	for j := 0; j < w; j++ {
		v0, v1, v2, v3 := b0[j], b1[j], b2[j], b3[j]
		s[j] = s[j] + float64(c0*v0) + float64(c1*v1) + float64(c2*v2) + float64(c3*v3)
		t[j] = t[j] + float64(d0*v0) + float64(d1*v1) + float64(d2*v2) + float64(d3*v3)
	}
}

// axpy adds v times x to y.
func axpy(v float64, x, y []float64) {
	y = y[:len(x)]
	for j, u := range x {
		y[j] += float64(v * u)
	}
}

const few = 48 // where panels begin to be worth it

// multiplyMatrices adds y[i][j] += sum over p of x[i][p] * b[p][j]: m x k by k x n, both without gaps.
func multiplyMatrices(x []float64, m, k int, b []float64, n int, y []float64) {
	if n < few || m < 4 {
		turned := make([]float64, k*n)
		for p := 0; p < k; p++ {
			for j := 0; j < n; j++ {
				turned[j*k+p] = b[p*n+j]
			}
		}
		multiply(x, k, m, turned, k, n, k, y, n)
		return
	}
	panels(x, k, m, k, n, func(p, j int, to []float64) {
		copy(to, b[p*n+j:])
	}, func(i, j int, sums []float64) {
		to := y[i*n+j:][:len(sums)]
		for q, v := range sums {
			to[q] += v
		}
	})
}

// widest are the lengths to which two shapes broadcast.
func widest(a *args, x, y []int) []int {
	wide := make([]int, max(len(x), len(y)))
	for k := 1; k <= len(wide); k++ {
		v, w := 1, 1
		if k <= len(x) {
			v = x[len(x)-k]
		}
		if k <= len(y) {
			w = y[len(y)-k]
		}
		a.need(v == w || v == 1 || w == 1, "joins %s; the lengths of the axes before the last two must be equal, or 1.", listed(a.types))
		wide[len(wide)-k] = max(v, w)
	}
	return wide
}

// front are the axes before the last two.
func front(t *rowType) []int { return t.dims[:t.rank-2] }

// spreadMatrices is the number of the matrix of x that stands at each place of the wide axes; nil where it is the same.
func spreadMatrices(a *args, x *rowType, wide []int) []int {
	return newType(x.dtype, front(x)...).spread(newType(x.dtype, wide...), a.g)
}

func spreadAt(spread []int, b int) int {
	if spread == nil {
		return b
	}
	return spread[b]
}

// matmul multiplies matrices by matrices; the axes before the last two broadcast.
func matmul(a *args) *step {
	a.arity(2, 2)
	a.dtype = a.floating("dtype")
	x, y := ranked(a, a.input(0, floats), 2, many), ranked(a, a.input(1, floats), 2, many)
	m, k, n := x.dims[x.rank-2], x.last, y.last
	a.need(y.dims[y.rank-2] == k, "multiplies %s by %s; the last length of the first must be the second last of the second.", x, y)
	wide := widest(a, front(x), front(y))
	typ := lengthy(a, a.dtype, longs(wide, []int{m, n})...)
	a.multiplies(typ.width, k)
	i, j := spreadMatrices(a, x, wide), spreadMatrices(a, y, wide)
	return newStep(a, typ, func(s *step, f *frame) data {
		v, w, out := s.floats(f, 0), s.floats(f, 1), make([]float64, f.rows*typ.width)
		for r := 0; r < f.rows; r++ {
			for b := 0; b < typ.width/(m*n); b++ {
				multiplyMatrices(v[r*x.width+spreadAt(i, b)*m*k:], m, k, w[r*y.width+spreadAt(j, b)*k*n:], n, out[r*typ.width+b*m*n:])
			}
		}
		return data{f: roundAll(out, s.dtype)}
	})
}

// A grid says how windows lie on the one to three axes behind the channels, which are taken as three: the first ones have length 1.
type grid struct {
	axes                                            int
	n, kernel, stride, dilation, before, after, out [3]int
	taps, size, positions                           int
}

const mostKernel = 1 << 20 // of kernel sizes, strides, dilations and pads
const farthest = 1 << 29   // so that no position overflows
var ones = [3]int{1, 1, 1}

// newGrid reads what conv, conv_transpose and pool have in common.
func newGrid(a *args, x *rowType, kernel []int) *grid {
	g := &grid{axes: x.rank - 1, n: ones, kernel: ones, stride: ones, dilation: ones, out: ones}
	set := func(to *[3]int, values []int) { copy(to[3-g.axes:], values) }
	set(&g.kernel, kernel)
	set(&g.n, x.dims[1:])
	if a.has("strides") {
		set(&g.stride, a.ints("strides", g.axes, 1, mostKernel))
	}
	if a.has("dilations") {
		set(&g.dilation, a.ints("dilations", g.axes, 1, mostKernel))
	}
	if a.has("pads") {
		pads := a.ints("pads", 2*g.axes, 0, mostKernel)
		set(&g.before, pads[:g.axes])
		set(&g.after, pads[g.axes:])
	}
	for k := range g.kernel {
		a.need(g.kernel[k] <= mostKernel && g.reach(k) <= farthest,
			"has a kernel of more than 2^20 elements along an axis, or one that reaches over more than 2^29.")
	}
	g.taps = clamp(times(g.kernel[:]...))
	g.size = g.n[0] * g.n[1] * g.n[2]
	return g
}

func (g *grid) reach(k int) int64 { return (int64(g.kernel[k])-1)*int64(g.dilation[k]) + 1 }

// windows reads the pads of "auto", and the lengths of the result; `ceil` rounds them up.
func (g *grid) windows(a *args, ceil bool) {
	auto := a.choice("auto", true, "none", "same_upper", "same_lower")
	a.need(auto == "none" || !a.has("pads"), "has \"pads\" beside \"auto\".")
	for k := range g.n {
		n, stride := int64(g.n[k]), int64(g.stride[k])
		if auto != "none" {
			m := (n-1)/stride + 1
			total := max((m-1)*stride+g.reach(k)-n, 0)
			first := total / 2
			if auto == "same_lower" {
				first = total - total/2
			}
			g.before[k], g.after[k], g.out[k] = clamp(first), clamp(total-first), int(m)
			continue
		}
		room := n + int64(g.before[k]) + int64(g.after[k]) - g.reach(k)
		m := floorDiv(room, stride) + 1
		if ceil {
			m = -floorDiv(-room, stride) + 1
			if (m-1)*stride >= n+int64(g.before[k]) {
				m--
			}
		}
		a.need(m >= 1, "has a kernel that does not fit %s; at least one position is needed.", a.types[0])
		g.out[k] = clamp(m)
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// typ is the row shape of the result, channels first.
func (g *grid) typ(a *args, channels int) *rowType {
	t := lengthy(a, a.dtype, longs([]int{channels}, g.out[3-g.axes:])...)
	g.positions = t.width / channels
	return t
}

func (g *grid) padded() bool { return g.before != [3]int{} || g.after != [3]int{} }

// offset is where the tap of axis k lies for position 0.
func (g *grid) offset(k, tap int) int {
	t := tap % g.kernel[2]
	if k == 1 {
		t = tap / g.kernel[2] % g.kernel[1]
	} else if k == 0 {
		t = tap / g.kernel[2] / g.kernel[1]
	}
	return t*g.dilation[k] - g.before[k]
}

// flatten makes one long axis of an image whose every position reads itself only.
func (g *grid) flatten() {
	if g.taps == 1 && !g.padded() && g.stride == ones && g.n == g.out {
		g.n, g.out = [3]int{1, 1, g.size}, [3]int{1, 1, g.size}
	}
}

// firstAt is the first position o of 0..m for which o * step + offset is at least `low`.
func firstAt(offset, step, low, m int) int {
	return int(max(0, min(int64(m), floorDiv(int64(low)-int64(offset)+int64(step)-1, int64(step)))))
}

func image(a *args) *rowType { return ranked(a, a.rounded(), 2, 4) }

func groupsOf(a *args, channels int) int {
	groups := 1
	if a.has("groups") {
		groups = a.integer("groups", 1, int64(channels))
	}
	a.need(channels%groups == 0, "has %d groups for %d channels; they must divide.", groups, channels)
	return groups
}

// addBias adds the bias of every channel; then rounds.
func addBias(y, bias []float64, positions int, dtype DType) data {
	for k := 0; bias != nil && k < len(y); k += positions {
		b := bias[k/positions%len(bias)]
		for j := k; j < k+positions; j++ {
			y[j] += b
		}
	}
	return data{f: roundAll(y, dtype)}
}

// conv is cross-correlation.
func conv(a *args) *step {
	x := image(a)
	groups := groupsOf(a, x.dims[0])
	weight := a.tensor("weight", a.dtype, x.rank+1, x.rank+1)
	channels := x.dims[0] / groups
	a.need(weight.shape[1] == channels && len(weight.data.f) > 0,
		"has \"weight\" of shape %s for %s; %d channels are needed.", listed(weight.shape), x, channels)
	g := newGrid(a, x, weight.shape[2:])
	g.windows(a, false)
	a.need(weight.shape[0]%groups == 0, "has %d groups for %d channels of its result; they must divide.", groups, weight.shape[0])
	typ := g.typ(a, weight.shape[0])
	g.flatten()
	a.multiplies(typ.width, weight.Width())
	c := &convolution{g: g, channels: channels, all: x.dims[0], outputs: weight.shape[0] / groups, sums: channels * g.taps, weight: weight.data.f}
	bias := a.optional("bias", a.dtype, weight.shape[0])
	direct := c.outputs < 4
	for k := 0; !direct && g.padded() && k < len(c.weight); k++ {
		direct = !(math.Abs(c.weight[k]) <= math.MaxFloat64) // of such a one, a product with a zero outside would not be zero
	}
	return newStep(a, typ, func(s *step, f *frame) data {
		given, y := s.floats(f, 0), make([]float64, f.rows*typ.width)
		for group := 0; group < groups; group++ {
			if !direct {
				c.columns(given, y, group, f.rows, typ.dims[0])
				continue
			}
			for r := 0; r < f.rows; r++ {
				for k := 0; k < c.outputs; k++ {
					c.channel(given[(r*c.all+group*channels)*g.size:], group*c.outputs+k, y[r*typ.width:])
				}
			}
		}
		return addBias(y, bias, g.positions, s.dtype)
	})
}

// A convolution has the channels of a group and of the group's result, all channels, and the elements of the weight per channel of the result.
type convolution struct {
	g                            *grid
	channels, outputs, all, sums int
	weight                       []float64
}

// channel is one channel of the result, tap by tap.
func (v *convolution) channel(x []float64, c int, y []float64) {
	g := v.g
	w, by := g.out[2], g.stride[2]
	for p := 0; p < v.sums; p++ {
		weight, tap, base := v.weight[c*v.sums+p], p%g.taps, p/g.taps*g.size
		at := g.offset(2, tap)
		low, high := firstAt(at, by, 0, w), firstAt(at, by, g.n[2], w)
		for line := 0; line < g.out[0]*g.out[1]; line++ {
			i1, i2 := line/g.out[1]*g.stride[0]+g.offset(0, tap), line%g.out[1]*g.stride[1]+g.offset(1, tap)
			if i1 < 0 || i1 >= g.n[0] || i2 < 0 || i2 >= g.n[1] || low >= high {
				continue
			}
			from, to := base+(i1*g.n[1]+i2)*g.n[2]+at, c*g.positions+line*w
			if by == 1 {
				axpy(weight, x[from+low:from+high], y[to+low:])
				continue
			}
			for o := low; o < high; o++ {
				y[to+o] += float64(weight * x[from+o*by])
			}
		}
	}
}

// columns takes the windows of a group as columns: row p is a tap of a channel, column j a position of a row.
func (v *convolution) columns(x, y []float64, group, rows, channelsOut int) {
	g := v.g
	w, by := g.out[2], g.stride[2]
	panels(v.weight[group*v.outputs*v.sums:], v.sums, v.outputs, v.sums, rows*g.positions, func(p, j int, to []float64) {
		tap, channel := p%g.taps, group*v.channels+p/g.taps
		at0, at1, at2 := g.offset(0, tap), g.offset(1, tap), g.offset(2, tap)
		low, high := firstAt(at2, by, 0, w), firstAt(at2, by, g.n[2], w)
		for run := 0; len(to) > 0; to, j = to[run:], j+run {
			r, position := j/g.positions, j%g.positions
			line, o := position/w, position%w
			run = min(len(to), w-o)
			i1, i2 := line/g.out[1]*g.stride[0]+at0, line%g.out[1]*g.stride[1]+at1
			begin, end := run, run // of the stretch of `to` that lies inside
			if i1 >= 0 && i1 < g.n[0] && i2 >= 0 && i2 < g.n[1] {
				begin = max(0, min(low-o, run))
				end = max(begin, min(high-o, run))
			}
			for q := 0; q < begin; q++ {
				to[q] = 0
			}
			for q := end; q < run; q++ {
				to[q] = 0
			}
			if begin >= end {
				continue
			}
			from := (r*v.all+channel)*g.size + (i1*g.n[1]+i2)*g.n[2] + at2
			if by == 1 {
				copy(to[begin:end], x[from+o+begin:])
				continue
			}
			for q := begin; q < end; q++ {
				to[q] = x[from+(o+q)*by]
			}
		}
	}, func(c, j int, sums []float64) {
		for run := 0; len(sums) > 0; sums, j = sums[run:], j+run {
			r, position := j/g.positions, j%g.positions
			run = min(len(sums), g.positions-position)
			copy(y[(r*channelsOut+group*v.outputs+c)*g.positions+position:], sums[:run])
		}
	})
}

// convTranspose (conv_transpose) is the transposed map.
func convTranspose(a *args) *step {
	x := image(a)
	groups := groupsOf(a, x.dims[0])
	channels := x.dims[0] / groups
	weight := a.tensor("weight", a.dtype, x.rank+1, x.rank+1)
	a.need(weight.shape[0] == x.dims[0] && len(weight.data.f) > 0,
		"has \"weight\" of shape %s for %s; a row for each channel is needed.", listed(weight.shape), x)
	g := newGrid(a, x, weight.shape[2:])
	outputs := weight.shape[1]
	rows, more := outputs*g.taps, make([]int, g.axes)
	if a.has("output_padding") {
		more = a.ints("output_padding", g.axes, 0, math.MaxInt32)
	}
	for k := 3 - g.axes; k < 3; k++ {
		extra, span := more[k-3+g.axes], times(g.stride[k], g.n[k]-1)
		length := span + int64(extra) + g.reach(k) - int64(g.before[k]) - int64(g.after[k])
		a.need(extra < max(g.stride[k], g.dilation[k]) && length >= 1 && span <= farthest,
			"has \"output_padding\" that is not below the stride or the dilation, or pads that leave nothing of %s, or strides that reach beyond 2^29 elements.", x)
		g.out[k] = clamp(length)
	}
	a.need(times(outputs, groups) <= a.g.limits.RowElements, "has more channels in its result than a row may have elements.")
	typ := g.typ(a, outputs*groups)
	a.multiplies(x.width, weight.Width())
	bias, given := a.optional("bias", a.dtype, outputs*groups), weight.data.f
	a.g.take(8 * int64(len(given)))
	turned := make([]float64, len(given)) // [group, channel and tap of the result, channel]
	for k, v := range given {
		c := k / rows
		turned[(c/channels*rows+k%rows)*channels+c%channels] = v
	}
	return newStep(a, typ, func(s *step, f *frame) data {
		given, y := s.floats(f, 0), make([]float64, f.rows*typ.width)
		for group := 0; group < groups; group++ {
			panels(turned[group*rows*channels:], channels, rows, channels, f.rows*g.size, func(p, j int, to []float64) {
				for run := 0; len(to) > 0; to, j = to[run:], j+run {
					r, position := j/g.size, j%g.size
					run = min(len(to), g.size-position)
					copy(to[:run], given[(r*x.dims[0]+group*channels+p)*g.size+position:])
				}
			}, func(i, j int, sums []float64) {
				for run := 0; len(sums) > 0; sums, j = sums[run:], j+run {
					r, position := j/g.size, j%g.size
					line, q := position/g.n[2], position%g.n[2]
					run = min(len(sums), g.n[2]-q)
					g.scatter(i%g.taps, line, q, sums[:run], y[(r*typ.dims[0]+group*outputs+i/g.taps)*g.positions:])
				}
			})
		}
		return addBias(y, bias, g.positions, s.dtype)
	})
}

// scatter adds a stretch of a line of the input, times a tap's weight, where it belongs in a channel of the result.
func (g *grid) scatter(tap, line, q int, sums, y []float64) {
	o1, o2 := line/g.n[1]*g.stride[0]+g.offset(0, tap), line%g.n[1]*g.stride[1]+g.offset(1, tap)
	if o1 < 0 || o1 >= g.out[0] || o2 < 0 || o2 >= g.out[1] {
		return
	}
	by, at, limit := g.stride[2], g.offset(2, tap), q+len(sums)
	begin, end := max(q, firstAt(at, by, 0, limit)), min(limit, firstAt(at, by, g.out[2], limit))
	to := (o1*g.out[1]+o2)*g.out[2] + at
	for i := begin; i < end; i++ {
		y[to+i*by] += sums[i-q]
	}
}

// ==== 4 Pooling ======================================================================================================

// pool is the largest or the mean of every window.
func pool(a *args) *step {
	x := image(a)
	largest := a.choice("fn", false, "max", "mean") == "max"
	size := a.ints("size", x.rank-1, 1, mostKernel)
	taps := times(size...)
	a.need(taps <= a.g.limits.TensorElements, "has windows of more elements than a tensor may have.")
	g := newGrid(a, x, size)
	for k := range g.n {
		a.need(int64(max(g.before[k], g.after[k])) < g.reach(k), "has \"pads\" that are not below the reach of its windows.")
	}
	g.windows(a, a.flag("ceil", false))
	a.need(!(largest && a.has("count_pad")), "has \"count_pad\", which \"max\" does not use.")
	countPad, typ := a.flag("count_pad", false), g.typ(a, x.dims[0])
	a.multiplies(typ.width, clamp(taps))
	a.g.take(24 * int64(g.out[0]+g.out[1]+g.out[2]))
	var low, high, counts [3][]int
	for k := range g.n {
		low[k], high[k], counts[k] = make([]int, g.out[k]), make([]int, g.out[k]), make([]int, g.out[k])
		for o := range low[k] {
			at := o*g.stride[k] - g.before[k]
			low[k][o] = firstAt(at, g.dilation[k], 0, g.kernel[k])
			high[k][o] = firstAt(at, g.dilation[k], g.n[k], g.kernel[k])
			counts[k][o] = high[k][o] - low[k][o]
			if countPad {
				counts[k][o] = firstAt(at, g.dilation[k], g.n[k]+g.after[k], g.kernel[k])
			}
			a.need(low[k][o] < high[k][o], "has a window that holds no element of %s: position %d of axis %d.", x, o, k-2+g.axes)
		}
	}
	window := func(x []float64, o0, o1, o2 int) float64 {
		sum, by, first := 0.0, g.dilation[2], o2*g.stride[2]-g.before[2]
		if largest {
			sum = math.Inf(-1)
		}
		begin, end := first+low[2][o2]*by, first+(high[2][o2]-1)*by
		for t0 := low[0][o0]; t0 < high[0][o0]; t0++ {
			i0 := (o0*g.stride[0] - g.before[0] + t0*g.dilation[0]) * g.n[1]
			for t1 := low[1][o1]; t1 < high[1][o1]; t1++ {
				i1 := (i0 + o1*g.stride[1] - g.before[1] + t1*g.dilation[1]) * g.n[2]
				for i := i1 + begin; i <= i1+end; i += by {
					v := x[i]
					if !largest {
						sum += v
					} else if v != v {
						return v
					} else if v > sum {
						sum = v
					}
				}
			}
		}
		if largest {
			return sum
		}
		return sum / (float64(counts[0][o0]) * float64(counts[1][o1]) * float64(counts[2][o2]))
	}
	return newStep(a, typ, func(s *step, f *frame) data {
		given, y, k := s.floats(f, 0), make([]float64, f.rows*typ.width), 0
		for c := 0; c < f.rows*typ.dims[0]; c++ {
			channel := given[c*g.size:][:g.size]
			for o0 := 0; o0 < g.out[0]; o0++ {
				for o1 := 0; o1 < g.out[1]; o1++ {
					for o2 := 0; o2 < g.out[2]; o2++ {
						y[k] = window(channel, o0, o1, o2)
						k++
					}
				}
			}
		}
		return data{f: roundAll(y, s.dtype)}
	})
}

// ==== 5 Norms ========================================================================================================

// parameter is element k, or what stands for it when there is none.
func parameter(values []float64, k int, otherwise float64) float64 {
	if values == nil {
		return otherwise
	}
	return values[k]
}

// batchNorm (batch_norm) is (x - mean) / sqrt(var + eps) * scale + bias, per channel.
func batchNorm(a *args) *step {
	x := ranked(a, a.rounded(), 1, many)
	c := x.dims[0]
	per, mean, root := x.width/c, a.floats("mean", c), append([]float64{}, a.floats("var", c)...)
	scale, bias, eps := a.optional("scale", a.dtype, c), a.optional("bias", a.dtype, c), finiteOf(a, "eps")
	for k := range root {
		root[k] = math.Sqrt(root[k] + eps)
	}
	return newStep(a, x, func(s *step, f *frame) data {
		given, y := s.floats(f, 0), make([]float64, f.rows*x.width)
		for k := 0; k < f.rows*c; k++ {
			j := k % c
			affine(given[k*per:][:per], y[k*per:], mean[j], root[j], parameter(scale, j, 1), parameter(bias, j, 0))
		}
		return data{f: roundAll(y, s.dtype)}
	})
}

func affine(x, y []float64, mean, root, scale, bias float64) {
	for k, v := range x {
		y[k] = float64((v-mean)/root*scale) + bias
	}
}

// moments are the mean of x, or 0 without center, and sqrt(v + eps), v the mean of (x - m)^2.
func moments(x []float64, center bool, eps float64) (float64, float64) {
	m, sum := 0.0, 0.0
	if center {
		for _, v := range x {
			m += v
		}
		m /= float64(len(x))
	}
	for _, v := range x {
		sum += float64((v - m) * (v - m))
	}
	return m, math.Sqrt(sum/float64(len(x)) + eps)
}

// layerNorm (layer_norm) goes over the last axes.
func layerNorm(a *args) *step {
	x, axes := a.rounded(), 1
	if a.has("axes") {
		axes = a.integer("axes", 1, mostWhole)
	}
	over := ranked(a, x, axes, many).dims[x.rank-axes:]
	w := x.size(x.rank-axes, x.rank)
	scale, bias := shapedLike(a, "scale", over), shapedLike(a, "bias", over)
	eps, center := finiteOf(a, "eps"), a.flag("center", true)
	return newStep(a, x, func(s *step, f *frame) data {
		given, y := s.floats(f, 0), make([]float64, f.rows*x.width)
		for o := 0; o < len(y); o += w {
			m, root := moments(given[o:o+w], center, eps)
			for k := 0; k < w; k++ {
				y[o+k] = float64((given[o+k]-m)/root*parameter(scale, k, 1)) + parameter(bias, k, 0)
			}
		}
		return data{f: roundAll(y, s.dtype)}
	})
}

// shapedLike are floats of the step's dtype and of a shape; nil when absent.
func shapedLike(a *args, key string, shape []int) []float64 {
	if !a.has(key) {
		return nil
	}
	t := a.tensor(key, a.dtype, len(shape), len(shape))
	a.need(equal(t.shape, shape), "has %s of shape %s; %s is needed.", quote(key), listed(t.shape), listed(shape))
	return t.data.f
}

// groupNorm (group_norm) goes over groups of neighbouring channels; scale and bias are per channel.
func groupNorm(a *args) *step {
	x := ranked(a, a.rounded(), 1, many)
	c := x.dims[0]
	a.attribute("groups")
	per, w := x.width/c, x.width/groupsOf(a, c)
	scale, bias, eps := a.optional("scale", a.dtype, c), a.optional("bias", a.dtype, c), finiteOf(a, "eps")
	return newStep(a, x, func(s *step, f *frame) data {
		given, y := s.floats(f, 0), make([]float64, f.rows*x.width)
		for o := 0; o < len(y); o += w {
			m, root := moments(given[o:o+w], true, eps)
			for k := o; k < o+w; k += per {
				j := k / per % c
				affine(given[k:k+per], y[k:], m, root, parameter(scale, j, 1), parameter(bias, j, 0))
			}
		}
		return data{f: roundAll(y, s.dtype)}
	})
}

// ==== 6 Activations ==================================================================================================

// A function of activation and of recurrences, and the defaults of alpha and beta where it has them (NaN: it has not).
type function struct {
	alpha, beta float64
	of          func(x, a, b float64) float64
}

func plain(of func(x float64) float64) function {
	return function{math.NaN(), math.NaN(), func(x, _, _ float64) float64 { return of(x) }}
}

func relu(x float64) float64 {
	if x > 0 {
		return x
	}
	return 0
}

func hardSigmoid(x, a, b float64) float64 { return math.Min(1, math.Max(0, float64(a*x)+b)) }

func gelu(x float64) float64 { return x / 2 * (1 + erf(x/math.Sqrt2)) }

func selu(x float64) float64 {
	if x > 0 {
		return 1.0507009873554805 * x
	}
	return 1.0507009873554805 * float64(1.6732632423543772*math.Expm1(x))
}

func elu(x, a, _ float64) float64 {
	if x > 0 {
		return x
	}
	return a * math.Expm1(x)
}

var activations = map[string]function{
	"elu": {1, math.NaN(), elu},
	"celu": {1, math.NaN(), func(x, a, _ float64) float64 {
		return math.Max(x, 0) + math.Min(0, float64(a*math.Expm1(x/a)))
	}},
	"selu": plain(selu),
	"leaky_relu": {0.01, math.NaN(), func(x, a, _ float64) float64 {
		if x >= 0 {
			return x
		}
		return a * x
	}},
	"gelu": plain(gelu),
	"gelu_tanh": plain(func(x float64) float64 {
		return x / 2 * (1 + math.Tanh(0.7978845608028654*(x+float64(0.044715*float64(float64(x*x)*x)))))
	}),
	"quick_gelu":   {1.702, math.NaN(), func(x, a, _ float64) float64 { return x * sigmoid(a*x) }},
	"silu":         plain(func(x float64) float64 { return x * sigmoid(x) }),
	"hard_sigmoid": {1.0 / 6.0, 0.5, hardSigmoid},
	"hard_swish":   plain(func(x float64) float64 { return x * math.Min(1, math.Max(0, x/6+0.5)) }),
	"softsign":     plain(func(x float64) float64 { return x / (1 + math.Abs(x)) }),
	"mish":         plain(func(x float64) float64 { return x * math.Tanh(softplus(x)) }),
	"tanh_shrink":  plain(func(x float64) float64 { return x - math.Tanh(x) }),
	"hard_shrink": {0.5, math.NaN(), func(x, a, _ float64) float64 {
		if math.Abs(x) > a {
			return x
		}
		return 0
	}},
	"soft_shrink": {0.5, math.NaN(), func(x, a, _ float64) float64 {
		if x > a {
			return x - a
		} else if x < -a {
			return x + a
		}
		return 0
	}},
	"threshold": {0, 0, func(x, a, b float64) float64 {
		if x > a {
			return x
		}
		return b
	}},
	"squareplus": {4, math.NaN(), func(x, a, _ float64) float64 { return (x + math.Sqrt(float64(x*x)+a)) / 2 }},
}

var recurrent = map[string]function{
	"tanh": plain(math.Tanh), "sigmoid": plain(sigmoid), "relu": plain(relu), "hard_sigmoid": activations["hard_sigmoid"],
	"linear": plain(func(x float64) float64 { return x }), "softsign": activations["softsign"], "silu": activations["silu"],
	"elu": activations["elu"], "selu": plain(selu), "softplus": plain(softplus), "gelu": plain(gelu),
}

// activation is a function, element by element; NaN stays NaN.
func activation(a *args) *step {
	x := a.rounded()
	name := a.choice("fn", false, sortedKeys(activations)...)
	fn := activations[name]
	a.need(!(a.has("alpha") && fn.alpha != fn.alpha || a.has("beta") && fn.beta != fn.beta), "has \"alpha\" or \"beta\", which %s does not have.", name)
	alpha, beta := fn.alpha, fn.beta
	if a.has("alpha") {
		alpha = finiteOf(a, "alpha")
	}
	if a.has("beta") {
		beta = finiteOf(a, "beta")
	}
	a.need(name != "celu" || alpha != 0, "has \"alpha\" 0; celu divides by it.")
	a.multiplies(x.width, costly)
	return newStep(a, x, func(s *step, f *frame) data {
		y := append([]float64{}, s.floats(f, 0)...)
		for k, v := range y {
			if v == v {
				y[k] = fn.of(v, alpha, beta)
			}
		}
		return data{f: roundAll(y, s.dtype)}
	})
}

// prelu is x >= 0 ? x : slope * x.
func prelu(a *args) *step {
	x := a.rounded()
	t := a.tensor("slope", a.dtype, 0, a.g.limits.Rank)
	shape := newType(a.dtype, t.shape...)
	onto(a, shape, x)
	at := shape.spread(x, a.g)
	return newStep(a, x, func(s *step, f *frame) data {
		y := append([]float64{}, s.floats(f, 0)...)
		for k, v := range y {
			if !(v >= 0) {
				y[k] = t.data.f[spreadAt(at, k%x.width)] * v
			}
		}
		return data{f: roundAll(y, s.dtype)}
	})
}

// ==== 7 Recurrences ==================================================================================================

// A recurrence is lstm, gru or rnn: the state h (and c) of all rows of a block, time by time.
type recurrence struct {
	op                                      string
	t, i, u, wide, states                   int
	masked, reverse, zeroMasked, resetAfter bool
	fn, gateFn                              func(x float64) float64
	result                                  string
	weight, recurrent, bias, recurrentBias  []float64
}

func lstm(a *args) *step { return recur(a, 4, 2) }
func gru(a *args) *step  { return recur(a, 3, 1) }
func rnn(a *args) *step  { return recur(a, 1, 1) }

// recurrentOf reads a function that a recurrence may have; NaN stays NaN.
func recurrentOf(a *args, key, otherwise string, present bool) func(x float64) float64 {
	name := otherwise
	if present && a.has(key) {
		name = a.choice(key, false, sortedKeys(recurrent)...)
	}
	fn := recurrent[name]
	return func(x float64) float64 {
		if x != x {
			return x
		}
		return fn.of(x, fn.alpha, fn.beta)
	}
}

func recur(a *args, gates, mostStates int) *step {
	a.arity(1, 2+mostStates)
	a.dtype = a.floating("dtype")
	x := ranked(a, a.input(0, floats), 2, 2)
	q := &recurrence{op: a.op, t: x.dims[0], i: x.dims[1]}
	n := len(a.types)
	mask := a.types[n-1]
	q.masked = n > 1 && mask.dtype == Bool
	q.states = n - 1
	if q.masked {
		q.states--
	}
	w, v := a.tensor("weight", a.dtype, 2, 2), a.tensor("recurrent", a.dtype, 2, 2)
	q.u = v.shape[1]
	a.need(q.u >= 1 && int64(q.u) <= a.g.limits.RowElements && w.shape[0] == gates*q.u && v.shape[0] == w.shape[0] && w.shape[1] == q.i,
		"has \"weight\" of shape %s and \"recurrent\" of shape %s for %s; %d u rows, %d and u columns are needed.",
		listed(w.shape), listed(v.shape), x, gates, q.i)
	q.wide = gates * q.u
	a.need(q.states == 0 || q.states == mostStates, "reads %s; the sequence, perhaps %d states, and perhaps a mask are needed.", listed(a.types), mostStates)
	for k := 1; k <= q.states; k++ {
		a.need(a.input(k, floats).rank == 1 && a.types[k].width == q.u, "reads the state %s; [%d] is needed.", a.types[k], q.u)
	}
	q.zeroMasked = a.flag("zero_masked", false)
	a.need(q.masked || !q.zeroMasked, "has \"zero_masked\" without a mask.")
	a.need(!q.masked || mask.rank == 1 && mask.width == q.t, "reads the mask %s; [%d] is needed.", mask, q.t)
	q.weight, q.recurrent, q.bias = w.data.f, v.data.f, a.optional("bias", a.dtype, q.wide)
	results := []string{"sequence", "last"}
	switch a.op {
	case "gru":
		q.recurrentBias = a.optional("recurrent_bias", a.dtype, q.wide)
		q.resetAfter = a.flag("reset_after", false)
	case "lstm":
		results = append(results, "cell")
	}
	q.fn, q.gateFn = recurrentOf(a, "fn", "tanh", true), recurrentOf(a, "gate_fn", "sigmoid", gates > 1)
	q.reverse = a.flag("reverse", false)
	q.result = a.choice("result", true, results...)
	a.multiplies(q.t, len(q.weight)+len(q.recurrent)+3*costly*q.wide)
	typ := lengthy(a, a.dtype, int64(q.u))
	if q.result == "sequence" {
		typ = lengthy(a, a.dtype, int64(q.t), int64(q.u))
	}
	return newStep(a, typ, q.run)
}

func (q *recurrence) run(s *step, f *frame) data {
	x, z, sequence := s.floats(f, 0), make([]float64, f.rows*q.wide), q.result == "sequence"
	state := func(k, n int) []float64 {
		if q.states >= k {
			return append([]float64{}, s.floats(f, k)...)
		}
		return make([]float64, n)
	}
	h := state(1, f.rows*q.u)
	var c, more, y []float64
	var mask []int64
	if q.op == "lstm" {
		c = state(2, f.rows*q.u)
	} else if q.op == "gru" {
		more = make([]float64, f.rows*q.wide)
	}
	if sequence {
		y = make([]float64, f.rows*s.typ.width)
	}
	if q.masked {
		mask = f.values[s.in[len(s.in)-1]].n
	}
	for k := 0; k < q.t; k++ {
		time := k
		if q.reverse {
			time = q.t - 1 - k
		}
		counts := func(r int) bool { return mask == nil || mask[r*q.t+time] != 0 }
		q.start(z, q.bias)
		multiply(x[time*q.i:], q.t*q.i, f.rows, q.weight, q.i, q.wide, q.i, z, q.wide)
		if q.op == "gru" {
			q.gru(s, f.rows, z, h, more, counts)
		} else {
			multiply(h, q.u, f.rows, q.recurrent, q.u, q.wide, q.u, z, q.wide)
			for r := 0; r < f.rows; r++ {
				if counts(r) {
					q.advance(s, z[r*q.wide:], h[r*q.u:], c, r*q.u)
				}
			}
		}
		for r := 0; sequence && r < f.rows; r++ {
			if !q.zeroMasked || counts(r) {
				copy(y[(r*q.t+time)*q.u:], h[r*q.u:(r+1)*q.u])
			}
		}
	}
	switch q.result {
	case "sequence":
		return data{f: y}
	case "cell":
		return data{f: c}
	}
	return data{f: h}
}

// start fills the sums of every row with the bias, or with zeros.
func (q *recurrence) start(z, bias []float64) {
	for k := range z {
		z[k] = 0
	}
	for o := 0; bias != nil && o < len(z); o += q.wide {
		copy(z[o:], bias)
	}
}

// advance is one row of lstm or rnn: the sums z become h (and c[o..]).
func (q *recurrence) advance(s *step, z, h, c []float64, o int) {
	u := q.u
	for k := 0; k < u; k++ {
		if c == nil {
			h[k] = rounded(q.fn(z[k]), s.dtype)
			continue
		}
		next := float64(q.gateFn(z[k+u])*c[o+k]) + float64(q.gateFn(z[k])*q.fn(z[k+2*u]))
		h[k] = rounded(q.gateFn(z[k+3*u])*q.fn(next), s.dtype)
		c[o+k] = rounded(next, s.dtype)
	}
}

// gru is all rows of gru: z holds weight x + bias; more gets what comes from h.
func (q *recurrence) gru(s *step, rows int, z, h, more []float64, counts func(r int) bool) {
	u, wide := q.u, q.wide
	q.start(more, q.recurrentBias)
	if q.resetAfter {
		multiply(h, u, rows, q.recurrent, u, wide, u, more, wide)
	} else {
		multiply(h, u, rows, q.recurrent, u, 2*u, u, more, wide)
		reset := make([]float64, rows*u)
		for k := range reset {
			i := k/u*wide + u + k%u
			reset[k] = q.gateFn(z[i]+more[i]) * h[k]
		}
		multiply(reset, u, rows, q.recurrent[2*u*u:], u, u, u, more[2*u:], wide)
	}
	for k := 0; k < rows*u; k++ {
		if !counts(k / u) {
			continue
		}
		i, reset := k/u*wide+k%u, 1.0
		update := q.gateFn(z[i] + more[i])
		if q.resetAfter {
			reset = q.gateFn(z[i+u] + more[i+u])
		}
		h[k] = rounded(float64((1-update)*q.fn(z[i+2*u]+float64(reset*more[i+2*u])))+float64(update*h[k]), s.dtype)
	}
}

// ==== 8 Attention ====================================================================================================

// An attended is what attention knows of its shapes: queries [.., m, d], keys [.., n, d], values [.., n, e].
type attended struct {
	m, d, n, e, block, columns int
	scale                      float64
	causal                     bool
}

// attention gives values weighted by the softmax of how queries and keys agree.
func attention(a *args) *step {
	a.arity(3, 4)
	a.dtype = a.floating("dtype")
	for k := 0; k < 3; k++ {
		ranked(a, a.input(k, floats), 2, many)
	}
	q, k, v := a.types[0], a.types[1], a.types[2]
	t := &attended{m: q.dims[q.rank-2], d: q.last, n: k.dims[k.rank-2], e: v.last}
	a.need(k.last == t.d && v.dims[v.rank-2] == t.n, "reads %s; [.., m, d], [.., n, d] and [.., n, e] are needed.", listed(a.types))
	t.scale = finiteOf(a, "scale", 1/math.Sqrt(float64(t.d)))
	t.causal = a.flag("causal", false)
	wide := widest(a, widest(a, front(q), front(k)), front(v))
	typ := lengthy(a, a.dtype, longs(wide, []int{t.m, t.e})...)
	scores := newType(a.dtype, append(append([]int{}, wide...), t.m, t.n)...)
	i, j, l := spreadMatrices(a, q, wide), spreadMatrices(a, k, wide), spreadMatrices(a, v, wide)
	a.multiplies(newType(a.dtype, wide...).width, t.m, t.n, t.d+t.e+costly)
	var bias *rowType
	var matrixAt, rowAt []int // of the bias: where every matrix begins, and where the rows of a matrix are
	if len(a.types) == 4 {
		bias = a.input(3, floats)
		onto(a, bias, scores)
		offsets := make([][]int, scores.rank)
		for axis := range offsets {
			offsets[axis] = bias.along(axis-scores.rank+bias.rank, scores.dims[axis])
		}
		matrixAt, rowAt = places(a.g, offsets[:len(wide)]), offsets[len(wide)]
		if bias.rank > 0 && bias.last > 1 {
			t.columns = 1
		}
	}
	t.block = max(1, min(t.m, min(64, (1<<16)/t.n)))
	return newStep(a, typ, func(s *step, f *frame) data {
		x, y, z, b := s.floats(f, 0), s.floats(f, 1), s.floats(f, 2), []float64(nil)
		if bias != nil {
			b = s.floats(f, 3)
		}
		out, part := make([]float64, f.rows*typ.width), make([]float64, t.block*t.n)
		for r := 0; r < f.rows; r++ {
			for p := 0; p < typ.width/(t.m*t.e); p++ {
				keys := y[r*k.width+spreadAt(j, p)*t.n*t.d:]
				values := z[r*v.width+spreadAt(l, p)*t.n*t.e:][:t.n*t.e]
				for first := 0; first < t.m; first += t.block {
					h := min(t.block, t.m-first)
					for c := range part {
						part[c] = 0
					}
					multiply(x[r*q.width+(spreadAt(i, p)*t.m+first)*t.d:], t.d, h, keys, t.d, t.n, t.d, part, t.n)
					for row := 0; row < h; row++ {
						var added []float64
						if bias != nil {
							added = b[r*bias.width+matrixAt[p]+rowAt[first+row]:]
						}
						t.weights(part[row*t.n:][:t.counted(first+row)], added)
					}
					t.sum(part, h, first, values, out[r*typ.width+(p*t.m+first)*t.e:])
				}
			}
		}
		return data{f: roundAll(out, s.dtype)}
	})
}

// counted is how many keys count for a query.
func (t *attended) counted(query int) int {
	if t.causal {
		return min(t.n, query+1)
	}
	return t.n
}

// sum adds the values, weighted: without those that do not count, whatever they hold.
func (t *attended) sum(s []float64, h, first int, values, out []float64) {
	finite := true
	for c := 0; t.causal && finite && c < len(values); c++ {
		finite = math.Abs(values[c]) <= math.MaxFloat64
	}
	if finite {
		for row := 0; row < h; row++ {
			rest := s[row*t.n+t.counted(first+row) : (row+1)*t.n]
			for c := range rest {
				rest[c] = 0
			}
		}
		multiplyMatrices(s, h, t.n, values, t.e, out)
		return
	}
	for row := 0; row < h; row++ {
		for key := 0; key < t.counted(first+row); key++ {
			axpy(s[row*t.n+key], values[key*t.e:][:t.e], out[row*t.e:])
		}
	}
}

// weights makes the softmax of scores, scaled and with the bias.
func (t *attended) weights(s, bias []float64) {
	most, sum := math.Inf(-1), 0.0
	for k := range s {
		s[k] = float64(t.scale * s[k])
		if bias != nil {
			s[k] += bias[k*t.columns]
		}
		most = larger(most, s[k])
	}
	for k := range s {
		s[k] = exp(s[k] - most)
		sum += s[k]
	}
	for k := range s {
		s[k] /= sum
	}
}

// cumsum gives running sums along an axis.
func cumsum(a *args) *step {
	a.dtype = a.floating("dtype")
	x := ranked(a, a.one([]DType{F64, F32, I64}), 1, many)
	axis := a.integer("axis", 0, int64(x.rank)-1)
	n, behind := x.dims[axis], x.size(axis+1, x.rank)
	exclusive, reverse, typ := a.flag("exclusive", false), a.flag("reverse", false), x.with(a.dtype)
	if x.dtype == I64 {
		typ = x
	}
	return newStep(a, typ, func(s *step, f *frame) data {
		out, given := typ.dtype.allocate(f.rows*typ.width), s.floats(f, 0)
		for lane := 0; lane < f.rows*typ.width/n; lane++ {
			first, by := lane/behind*n*behind+lane%behind, behind
			if reverse {
				first, by = first+(n-1)*behind, -behind
			}
			if out.n != nil {
				running(f.values[s.in[0]].n, out.n, first, by, n, exclusive)
			} else {
				running(given, out.f, first, by, n, exclusive)
			}
		}
		roundAll(out.f, typ.dtype)
		return out
	})
}

func running[T int64 | float64](x, out []T, at, by, n int, exclusive bool) {
	sum := T(0)
	for k := 0; k < n; k, at = k+1, at+by {
		if exclusive {
			out[at] = sum
		}
		sum += x[at]
		if !exclusive {
			out[at] = sum
		}
	}
}
