// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

package modelport

// Ops of the profiles kernel, text and solver (docs/format.md, section 6) for modelport.go: put this file beside that one, and Load knows
// them.
//
// Sections: 1 Kernel, 2 Text, 3 Solver. As in modelport_ops.go, an op checks its attributes and the types of what it reads, and returns a step.

import (
	"bytes"
	"math"
	"math/bits"
	"sort"
	"unicode/utf8"
)

func init() {
	table["pairwise"], table["smallest"], table["knn"], table["ovo_vote"] = pairwise, smallest, knn, ovoVote
	table["count_terms"], table["term_ids"], table["hash_terms"] = countTerms, termIds, hashTerms
	table["nmf"], table["lda_topics"], table["sparse_code"] = nmf, ldaTopics, sparseCode
}

// ==== 1 Kernel =======================================================================================================

// A metric of pairwise has the one or two sums over the columns of a row x and a point p that it needs, and what becomes of them: of the sum,
// of the other sum or the product of the norms, and of the number of columns.
type metric struct {
	sum, other func(x, p, power float64) float64
	finish     func(k *kernel, sum, other, w float64) float64
}

// A kernel has the parameters of pairwise.
type kernel struct{ gamma, coef0, degree, p float64 }

func known(x, p float64) bool { return x == x && p == p }

func products(x, p, _ float64) float64  { return x * p }
func squares(x, p, _ float64) float64   { return (x - p) * (x - p) }
func absolutes(x, p, _ float64) float64 { return math.Abs(x - p) }

func chi2(x, p, _ float64) float64 {
	if x+p == 0 {
		return 0
	}
	return float64((x-p)*(x-p)) / (x + p)
}

var itself = func(k *kernel, sum, other, w float64) float64 { return sum }

// exponential is exp(-gamma sum).
var exponential = func(k *kernel, sum, other, w float64) float64 { return exp(-k.gamma * sum) }

var metrics = map[string]metric{
	"dot":         {products, nil, itself},
	"sqeuclidean": {squares, nil, itself},
	"euclidean":   {squares, nil, func(k *kernel, sum, other, w float64) float64 { return math.Sqrt(sum) }},
	"manhattan":   {absolutes, nil, itself},
	"chebyshev":   {absolutes, nil, itself}, // the largest of them instead of their sum
	"minkowski": {func(x, p, power float64) float64 { return pow(math.Abs(x-p), power) }, nil,
		func(k *kernel, sum, other, w float64) float64 { return pow(sum, 1/k.p) }},
	"cosine": {products, nil, func(k *kernel, sum, other, w float64) float64 {
		if other == 0 {
			return 1
		}
		return 1 - sum/other
	}},
	"canberra": {func(x, p, _ float64) float64 {
		if x == 0 && p == 0 {
			return 0
		}
		return math.Abs(x-p) / (math.Abs(x) + math.Abs(p))
	}, nil, itself},
	"braycurtis": {absolutes, func(x, p, _ float64) float64 { return math.Abs(x + p) },
		func(k *kernel, sum, other, w float64) float64 { return sum / other }},
	"hamming": {func(x, p, _ float64) float64 {
		if x != p {
			return 1
		}
		return 0
	}, nil, func(k *kernel, sum, other, w float64) float64 { return sum / w }},
	"nan_euclidean": {func(x, p, _ float64) float64 {
		if !known(x, p) {
			return 0
		}
		return (x - p) * (x - p)
	}, func(x, p, _ float64) float64 {
		if known(x, p) {
			return 1
		}
		return 0
	}, func(k *kernel, sum, other, w float64) float64 {
		if other == 0 {
			return math.NaN()
		}
		return math.Sqrt(w / other * sum)
	}},
	"chi2":          {chi2, nil, exponential},
	"additive_chi2": {chi2, nil, func(k *kernel, sum, other, w float64) float64 { return -sum }},
	"rbf":           {squares, nil, exponential},
	"laplacian":     {absolutes, nil, exponential},
	"poly": {products, nil, func(k *kernel, sum, other, w float64) float64 {
		return pow(float64(k.gamma*sum)+k.coef0, k.degree)
	}},
	"sigmoid": {products, nil, func(k *kernel, sum, other, w float64) float64 { return math.Tanh(float64(k.gamma*sum) + k.coef0) }},
}

// pairwise is a distance or kernel between the row and each stored point; f32 is computed in f64 and rounded.
func pairwise(a *args) *step {
	x := a.rounded()
	points := a.matrix("points", x)
	name := a.choice("metric", false, sortedKeys(metrics)...)
	m := metrics[name]
	k := &kernel{a.number("gamma", 1), a.number("coef0", 0), a.number("degree", 3), a.number("p", 2)}
	a.need(k.p > 0, "has \"p\" %v; it is positive.", k.p)
	all, n, w := points.data.f, points.shape[0], x.width
	for _, v := range all {
		a.need(v == v || name == "nan_euclidean", "has NaN in \"points\"; only the metric nan_euclidean takes it.")
	}
	a.g.take(8*int64(len(all)) + 8*int64(n))
	turned, norms := make([]float64, len(all)), make([]float64, n) // [column, point]: the sums of all points run side by side
	for i := range norms {
		point := all[i*w : (i+1)*w]
		norms[i] = math.Sqrt(dot(point, point))
		for j, v := range point {
			turned[j*n+i] = v
		}
	}
	a.multiplies(n, w+costly)
	if name == "minkowski" {
		a.multiplies(n, costly*w+costly)
	}
	return newRows(a, rowOf(a.dtype, int64(n)), func(row, y []float64) {
		var others []float64
		rowNorm := math.Sqrt(dot(row, row))
		for j, v := range row {
			column := turned[j*n:][:len(y)]
			switch name {
			case "dot", "cosine", "poly", "sigmoid":
				axpyPlain(v, column, y)
			case "euclidean", "sqeuclidean", "rbf":
				for i, p := range column {
					y[i] += float64((v - p) * (v - p))
				}
			case "chebyshev":
				for i, p := range column {
					y[i] = larger(y[i], math.Abs(v-p))
				}
			default:
				for i, p := range column {
					y[i] += float64(m.sum(v, p, k.p))
				}
			}
			if m.other != nil {
				if others == nil {
					others = make([]float64, n)
				}
				for i, p := range column {
					others[i] += m.other(v, p, k.p)
				}
			}
		}
		for i, sum := range y {
			other := rowNorm * norms[i]
			if m.other != nil {
				other = parameterAt(others, i)
			}
			y[i] = m.finish(k, sum, other, float64(w))
		}
	})
}

// parameterAt is an element, or 0 when there are no columns to sum over.
func parameterAt(values []float64, i int) float64 {
	if values == nil {
		return 0
	}
	return values[i]
}

func axpyPlain(v float64, x, y []float64) {
	y = y[:len(x)]
	for i, p := range x {
		y[i] += float64(v * p)
	}
}

// A heap holds the positions of the smallest of x, ties to the lowest, the largest on top; NaN is larger than any number.
type heap struct {
	x  []float64
	at []int
}

func upTo(n int) []int {
	all := make([]int, n)
	for k := range all {
		all[k] = k
	}
	return all
}

func smallestOf(x []float64, k int) *heap {
	h := &heap{x, upTo(k)}
	for j := k/2 - 1; j >= 0; j-- {
		h.sink(k, j)
	}
	for j := k; j < len(x); j++ {
		if h.behind(h.at[0], j) {
			h.at[0] = j
			h.sink(k, 0)
		}
	}
	return h
}

// ascending gives the smallest first.
func (h *heap) ascending() []int {
	for end := len(h.at) - 1; end > 0; end-- {
		h.at[0], h.at[end] = h.at[end], h.at[0]
		h.sink(end, 0)
	}
	return h.at
}

// behind tells whether element a comes behind b: it is larger, or as large and has the higher position.
func (h *heap) behind(a, b int) bool {
	v, w := h.x[a], h.x[b]
	return v > w || v != v && w == w || a > b && (v == w || v != v && w != w)
}

// sink restores a heap of n below position j.
func (h *heap) sink(n, j int) {
	for child := 2*j + 1; child < n; child = 2*j + 1 {
		if child+1 < n && h.behind(h.at[child+1], h.at[child]) {
			child++
		}
		if !h.behind(h.at[child], h.at[j]) {
			return
		}
		h.at[child], h.at[j] = h.at[j], h.at[child]
		j = child
	}
}

// smallest is 1.0 at the k smallest elements, else 0.0.
func smallest(a *args) *step {
	m := a.one(floats).width
	k := a.integer("k", 1, int64(m))
	a.multiplies(m, 4*costly)
	return newRows(a, rowOf(F64, int64(m)), func(x, y []float64) {
		for _, j := range smallestOf(x, k).at {
			y[j] = 1
		}
	})
}

// knn is the weighted mean of the targets of the k smallest distances, or their class weights.
func knn(a *args) *step {
	m := a.one([]DType{F64}).width
	k, classes := a.integer("k", 1, int64(m)), 0
	if a.has("classes") {
		classes = a.integer("classes", 1, a.g.limits.RowElements)
	}
	byDistance := a.choice("weights", false, "uniform", "distance") == "distance"
	var classOf []int
	var targets []float64
	width := classes
	if classes > 0 {
		classOf = a.ints("targets", m, 0, classes-1)
	} else {
		t := a.tensor("targets", F64, 2, 2)
		a.expect("targets", t.shape[0], m)
		targets, width = t.data.f, t.Width()
	}
	a.multiplies(m, k+costly)
	return newRows(a, rowOf(F64, int64(width)), func(d, y []float64) {
		nearest, sum, zero := smallestOf(d, k).ascending(), 0.0, false
		for _, j := range nearest {
			zero = zero || d[j] == 0
		}
		for _, j := range nearest {
			weight := 1.0
			if byDistance && zero && d[j] != 0 {
				weight = 0
			} else if byDistance && !zero {
				weight = 1 / d[j]
			}
			sum += weight
			if classOf != nil {
				y[classOf[j]] += weight
				continue
			}
			for q := range y {
				y[q] += float64(weight * targets[j*width+q])
			}
		}
		for q := range y {
			y[q] /= sum
		}
	})
}

// ovoVote (ovo_vote) gives votes, their one-vs-rest shape, or coupled probabilities, from one decision per pair of classes (i, j), i < j.
func ovoVote(a *args) *step {
	x := a.rounded()
	c := a.integer("classes", 2, a.g.limits.TensorElements)
	mode, pairs := a.choice("mode", false, "votes", "ovr", "coupling"), int64(c)*(int64(c)-1)/2
	a.need(pairs == int64(x.width), "reads %s; %d classes have %d pairs.", x, c, pairs)
	if mode == "coupling" {
		a.g.take(8 * int64(c) * int64(c))
		probA, probB := a.floats("prob_a", x.width), a.floats("prob_b", x.width)
		a.multiplies(c, c, max(100, c))
		return newRows(a, rowOf(a.dtype, int64(c)), func(d, y []float64) {
			copy(y, coupled(probabilities(c, d, probA, probB)))
		})
	}
	votes := mode == "votes"
	return newRows(a, rowOf(a.dtype, int64(c)), func(d, y []float64) {
		sums, pair := make([]float64, c), 0
		for i := 0; i < c; i++ {
			for j := i + 1; j < c; j++ {
				if votes && d[pair] > 0 || !votes && !(d[pair] < 0) {
					y[i]++
				} else {
					y[j]++
				}
				sums[i] += d[pair]
				sums[j] -= d[pair]
				pair++
			}
		}
		for i := 0; !votes && i < c; i++ {
			y[i] += sums[i] / float64(3*(math.Abs(sums[i])+1))
		}
	})
}

// probabilities are r[i][j]: how probable i is among i and j.
func probabilities(c int, d, probA, probB []float64) [][]float64 {
	r, pair := make([][]float64, c), 0
	for i := range r {
		r[i] = make([]float64, c)
	}
	for i := 0; i < c; i++ {
		for j := i + 1; j < c; j++ {
			v := sigmoid(-(float64(probA[pair]*d[pair]) + probB[pair]))
			r[i][j] = smaller(larger(v, 1e-7), 1-1e-7)
			r[j][i] = 1 - r[i][j]
			pair++
		}
	}
	return r
}

// coupled is the pairwise coupling of Wu, Lin and Weng (2004) as libsvm iterates it; r becomes their Q.
func coupled(r [][]float64) []float64 {
	c := len(r)
	if c == 2 {
		return []float64{r[0][1], r[1][0]}
	}
	for t := range r {
		for j := range r {
			if j != t {
				r[t][t] += float64(r[j][t] * r[j][t])
			}
		}
	}
	for t := range r {
		for j := t + 1; j < c; j++ {
			r[j][t] = float64(-r[j][t] * r[t][j])
			r[t][j] = r[j][t]
		}
	}
	p, qp := make([]float64, c), make([]float64, c)
	for t := range p {
		p[t] = 1 / float64(c)
	}
	for round := 0; round < max(100, c); round++ {
		for t := range qp {
			qp[t] = dot(r[t], p)
		}
		pqp, worst := dot(p, qp), 0.0
		for t := range qp {
			worst = larger(worst, math.Abs(qp[t]-pqp))
		}
		if !(worst >= 0.005/float64(c)) {
			break
		}
		for t := range p {
			diff := (pqp - qp[t]) / r[t][t]
			p[t] += diff
			pqp = (pqp + float64(diff*(float64(diff*r[t][t])+float64(2*qp[t])))) / (1 + diff) / (1 + diff)
			for j := range p {
				qp[j] = (qp[j] + float64(diff*r[t][j])) / (1 + diff)
				p[j] /= 1 + diff
			}
		}
	}
	return p
}

// ==== 2 Text =========================================================================================================

const lastPoint, ascii, space, mostUnits = 0x10ffff, 128, 0x20, 64
const sigma, smallSigma, finalSigma = 0x3a3, 0x3c3, 0x3c2
const hangulFirst, hangulLast, leads, vowels, trails, vowelCount, trailCount = 0xac00, 0xd7a3, 0x1100, 0x1161, 0x11a7, 21, 28

// murmur is MurmurHash3 x86 32-bit, seed 0 (Austin Appleby).
func murmur(b []byte) int32 {
	scramble := func(k uint32) uint32 { return bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593 }
	h, k, whole := uint32(0), uint32(0), len(b)&^3
	for i := 0; i < whole; i += 4 {
		word := uint32(b[i]) | uint32(b[i+1])<<8 | uint32(b[i+2])<<16 | uint32(b[i+3])<<24
		h = bits.RotateLeft32(h^scramble(word), 13)*5 + 0xe6546b64
	}
	for i := len(b) - 1; i >= whole; i-- {
		k = k<<8 | uint32(b[i])
	}
	h ^= scramble(k) ^ uint32(len(b))
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return int32(h ^ h>>16)
}

// hashColumn goes by the absolute value, of which -2^31 has none.
func hashColumn(h int32, size int) int {
	if h == math.MinInt32 {
		return (math.MaxInt32 - (size - 1)) % size
	} else if h < 0 {
		h = -h
	}
	return int(h) % size
}

// dictionary gives strings their places.
func dictionary(a *args, key string, different bool) map[string]int {
	given := a.tensor(key, Str, 1, 1).data.s
	a.g.take(120 * int64(len(given)))
	places := make(map[string]int, len(given))
	for k, s := range given {
		text := notMissing(a, key, s)
		_, twice := places[text]
		a.need(!twice || !different, "has the same string twice in %s; they are all different.", quote(key))
		places[text] = k
	}
	return places
}

func notMissing(a *args, key string, s *string) string {
	a.need(s != nil, "has null in %s; a string is needed.", quote(key))
	return *s
}

// ranges are a set of code points: lo, hi, lo, hi ...
type ranges struct {
	pairs []int
	ascii [ascii]bool
}

func rangesOf(a *args, key string) *ranges {
	r := &ranges{pairs: a.ints(key, -1, 0, lastPoint)}
	good := len(r.pairs)%2 == 0
	for k := 1; good && k < len(r.pairs); k++ {
		good = r.pairs[k-1] < r.pairs[k] || k%2 == 1 && r.pairs[k-1] == r.pairs[k]
	}
	a.need(good, "has %s that is not made of ascending ranges lo, hi.", quote(key))
	for k := 0; k < len(r.pairs); k += 2 {
		for point := r.pairs[k]; point < ascii && point <= r.pairs[k+1]; point++ {
			r.ascii[point] = true
		}
	}
	return r
}

func (r *ranges) has(point rune) bool {
	if point < ascii {
		return r.ascii[point]
	}
	k := sort.Search(len(r.pairs)/2, func(k int) bool { return r.pairs[2*k] > int(point) }) // pairs whose lo is not above the point
	return k > 0 && int(point) <= r.pairs[2*k-1]
}

// A folding says what becomes of the code points of a text before terms are found.
type folding struct {
	to               map[rune][]rune
	hangul, ascii    bool
	cased, ignorable *ranges // both or neither
	limit            int64
}

func foldingOf(a *args) *folding {
	f := &folding{limit: a.g.limits.TensorElements, to: map[rune][]rune{}}
	if together(a, "fold_from", "fold_to") {
		from, to := a.ints("fold_from", -1, 0, lastPoint), a.tensor("fold_to", Str, 1, 1).data.s
		a.expect("fold_to", len(to), len(from))
		for k, point := range from {
			a.need(k == 0 || point > from[k-1], "has \"fold_from\" that does not ascend at position %d.", k)
			text := notMissing(a, "fold_to", to[k])
			a.g.take(96 + 4*int64(len(text)))
			f.to[rune(point)] = []rune(text)
		}
	}
	sigmas := together(a, "cased", "case_ignorable")
	f.hangul, f.ascii = a.flag("hangul", false), a.flag("ascii", false)
	if sigmas {
		f.cased, f.ignorable = rangesOf(a, "cased"), rangesOf(a, "case_ignorable")
	}
	a.need(!f.ascii || !f.hangul && !sigmas, "has \"ascii\" beside \"hangul\" or \"cased\"; they do not go together.")
	return f
}

// together tells whether two attributes are there; it refuses one without the other.
func together(a *args, one, other string) bool {
	a.need(a.has(one) == a.has(other), "has only one of %s and %s.", quote(one), quote(other))
	return a.has(one)
}

// fold gives the folded text; false if it grows beyond the limit of a tensor.
func (f *folding) fold(text []rune) ([]rune, bool) {
	if len(f.to) == 0 && !f.hangul && !f.ascii && f.cased == nil {
		return text, true
	}
	var last, behind []bool
	if f.cased != nil {
		last, behind = f.casedBefore(text, 0, 1), f.casedBefore(text, len(text)-1, -1)
	}
	folded := make([]rune, 0, len(text))
	for i, point := range text {
		to, found := f.to[point]
		switch {
		case f.cased != nil && point == sigma && last[i] && !behind[i]:
			folded = append(folded, finalSigma)
		case f.cased != nil && point == sigma:
			folded = append(folded, smallSigma)
		case found:
			folded = append(folded, to...)
		case f.hangul && point >= hangulFirst && point <= hangulLast:
			syllable := point - hangulFirst
			folded = append(folded, leads+syllable/(vowelCount*trailCount), vowels+syllable/trailCount%vowelCount)
			if syllable%trailCount > 0 {
				folded = append(folded, trails+syllable%trailCount)
			}
		case !f.ascii || point < ascii:
			folded = append(folded, point)
		}
		if int64(len(folded)) > f.limit {
			return nil, false
		}
	}
	return folded, true
}

// casedBefore tells for every code point whether what stands before it, walking in steps of `by`, beyond case-ignorable ones, is cased.
func (f *folding) casedBefore(text []rune, first, by int) []bool {
	marks, last := make([]bool, len(text)), false
	for i := first; i >= 0 && i < len(text); i += by {
		marks[i] = last
		if !f.ignorable.has(text[i]) {
			last = f.cased.has(text[i])
		}
	}
	return marks
}

// A counting has the columns in which terms are counted: those of a vocabulary, or of their hashes.
type counting struct {
	size       int
	vocabulary map[string]int // or nil
	alternate  bool
}

func countingOf(a *args, byHash bool) *counting {
	if !byHash {
		vocabulary := dictionary(a, "vocabulary", true)
		return &counting{size: len(vocabulary), vocabulary: vocabulary}
	}
	return &counting{size: a.integer("size", 1, a.g.limits.TensorElements), alternate: a.flag("alternate", true)}
}

// add adds a value, or sets 1.0 (binary), in the column of a term of the row y.
func (c *counting) add(term []byte, value float64, binary bool, y []float64) {
	column := 0
	if c.vocabulary != nil {
		found := false
		if column, found = c.vocabulary[string(term)]; !found {
			return
		}
	} else {
		h := murmur(term)
		column = hashColumn(h, c.size)
		if c.alternate && h < 0 {
			value = -value
		}
	}
	if binary {
		y[column] = 1
	} else {
		y[column] += value
	}
}

// units are a text in units, words or code points: unit i is bytes[begin[i]:end[i]], so that a term is a stretch of bytes.
type units struct {
	bytes      []byte
	begin, end []int
}

func (u *units) reset() { u.bytes, u.begin, u.end = u.bytes[:0], u.begin[:0], u.end[:0] }

func (u *units) add(point rune) {
	u.begin = append(u.begin, len(u.bytes))
	u.bytes = utf8.AppendRune(u.bytes, point)
	u.end = append(u.end, len(u.bytes))
}

// addWord adds a word behind a space, but not a stop word.
func (u *units) addWord(word []rune, stop map[string]int) {
	u.bytes = append(u.bytes, space)
	before := len(u.bytes)
	for _, point := range word {
		u.bytes = utf8.AppendRune(u.bytes, point)
	}
	if _, stopped := stop[string(u.bytes[before:])]; stopped {
		u.bytes = u.bytes[:before-1]
		return
	}
	u.begin, u.end = append(u.begin, before), append(u.end, len(u.bytes))
}

// oneText refuses what is not one text per row.
func oneText(a *args) {
	x := a.one([]DType{Str})
	a.need(x.width == 1, "reads %s; one text per row is needed.", x)
}

// countTerms (count_terms) tells how often the terms of a text occur.
func countTerms(a *args) *step {
	oneText(a)
	c, binary := countingOf(a, !a.has("vocabulary")), a.flag("binary", false)
	z := analyzerOf(a)
	return newStep(a, rowOf(F64, int64(c.size)), func(s *step, f *frame) data {
		y := make([]float64, f.rows*s.typ.width)
		for r := 0; r < f.rows; r++ {
			row := y[r*c.size : (r+1)*c.size]
			z.analyze(s, f, r, func(term []byte) bool {
				c.add(term, 1, binary, row)
				return true
			})
		}
		return data{f: y}
	})
}

// termIds (term_ids) gives the terms of a text in order, as numbers.
func termIds(a *args) *step {
	oneText(a)
	vocabulary := dictionary(a, "vocabulary", true)
	length := a.integer("length", 1, a.g.limits.RowElements)
	first, unknown, fill := a.integer("first", 0, mostWhole), a.integer("unknown", 0, mostWhole), a.integer("fill", 0, mostWhole)
	z := analyzerOf(a)
	return newStep(a, rowOf(I64, int64(length)), func(s *step, f *frame) data {
		y := make([]int64, f.rows*length)
		for k := range y {
			y[k] = int64(fill)
		}
		for r := 0; r < f.rows; r++ {
			row := y[r*length : (r+1)*length]
			z.analyze(s, f, r, func(term []byte) bool {
				row[0] = int64(unknown)
				if place, found := vocabulary[string(term)]; found {
					row[0] = int64(first + place)
				}
				row = row[1:]
				return len(row) > 0
			})
		}
		return data{n: y}
	})
}

// An analyzer finds the terms of a text, and hands them over one after the other; it stops when no more are wanted.
type analyzer struct {
	kind                   string
	least, most, leastWord int
	folding                *folding
	word, space            *ranges
	stop                   map[string]int
}

func analyzerOf(a *args) *analyzer {
	z := &analyzer{kind: a.choice("analyzer", false, "word", "char", "char_wb"), leastWord: 2}
	z.least = a.integer("min_n", 1, mostUnits)
	z.most = a.integer("max_n", int64(z.least), mostUnits)
	z.folding = foldingOf(a)
	longest := 1 // what a code point becomes
	if z.folding.hangul {
		longest = 3
	}
	for _, to := range z.folding.to {
		longest = max(longest, len(to))
	}
	a.strings = float64(longest * (z.least + z.most) * (z.most - z.least + 1) / 2)
	if z.kind != "word" {
		z.space = rangesOf(a, "space")
		return z
	}
	z.word = rangesOf(a, "word")
	if a.has("min_word") {
		z.leastWord = a.integer("min_word", 1, mostWhole)
	}
	if a.has("stop") {
		z.stop = dictionary(a, "stop", false)
	}
	return z
}

func (z *analyzer) analyze(s *step, f *frame, r int, take func(term []byte) bool) {
	text := f.values[s.in[0]].s[r]
	if text == nil {
		panic(s.refuse(f, r, "a text is missing."))
	}
	points, good := z.folding.fold([]rune(*text))
	if !good {
		panic(s.refuse(f, r, "a text has more code points than a tensor may have elements when it is folded."))
	}
	u := &units{}
	switch z.kind {
	case "word":
		for i := 0; i < len(points); {
			end := i
			for end < len(points) && z.word.has(points[end]) {
				end++
			}
			if end-i >= z.leastWord {
				u.addWord(points[i:end], z.stop)
			}
			i = end + 1
		}
	case "char":
		for _, point := range z.joinSpaces(points) {
			u.add(point)
		}
	default:
		z.withinWords(z.joinSpaces(points), u, take)
		return
	}
	for n, more := z.least, true; more && n <= min(z.most, len(u.begin)); n++ {
		for i := 0; more && i+n <= len(u.begin); i++ {
			more = take(u.bytes[u.begin[i]:u.end[i+n-1]])
		}
	}
}

// withinWords takes the terms of words between spaces; a word that is shorter than n is a term itself, once.
func (z *analyzer) withinWords(points []rune, u *units, take func(term []byte) bool) {
	for i := 0; i < len(points); {
		end := i
		for end < len(points) && !z.space.has(points[end]) {
			end++
		}
		u.reset()
		u.add(space)
		for _, point := range points[i:end] {
			u.add(point)
		}
		u.add(space)
		if end > i && !z.padded(u, take) {
			return
		}
		i = end + 1
	}
}

func (z *analyzer) padded(u *units, take func(term []byte) bool) bool {
	size := len(u.begin)
	for n := z.least; n <= z.most; n++ {
		for i := 0; i+n <= size; i++ {
			if !take(u.bytes[u.begin[i]:u.end[i+n-1]]) {
				return false
			}
		}
		if n > size && !take(u.bytes) {
			return false
		}
		if n >= size {
			break
		}
	}
	return true
}

// joinSpaces makes one U+0020 of every run of two or more spaces.
func (z *analyzer) joinSpaces(points []rune) []rune {
	joined := make([]rune, 0, len(points))
	for i := 0; i < len(points); {
		end := i
		for end < len(points) && z.space.has(points[end]) {
			end++
		}
		if end > i+1 {
			joined = append(joined, space)
		} else {
			joined = append(joined, points[i])
		}
		i = max(end, i+1)
	}
	return joined
}

// hashTerms (hash_terms) puts values at the places of the hashes of prefix + cell.
func hashTerms(a *args) *step {
	a.arity(1, 2)
	w, weighted := a.input(0, []DType{Str}).width, len(a.types) == 2
	a.need(!weighted || a.input(1, []DType{F64}).width == w, "reads %s; as many numbers as strings are needed.", listed(a.types))
	prefix := []string{""}
	if a.has("prefix") {
		prefix = prefix[:0]
		for _, s := range a.tensor("prefix", Str, 1, 1).data.s {
			prefix = append(prefix, notMissing(a, "prefix", s))
		}
	}
	if len(prefix) != 1 {
		a.expect("prefix", len(prefix), w)
	}
	c := countingOf(a, true)
	a.strings = float64(a.types[0].counted)
	return newStep(a, rowOf(F64, int64(c.size)), func(s *step, f *frame) data {
		y, term := make([]float64, f.rows*c.size), bytes.Buffer{}
		for k, text := range f.values[s.in[0]].s {
			if text == nil {
				continue
			}
			term.Reset()
			term.WriteString(prefix[k%w%len(prefix)])
			term.WriteString(*text)
			value := 1.0
			if weighted {
				value = f.values[s.in[1]].f[k]
			}
			c.add(term.Bytes(), value, false, y[k/w*c.size:][:c.size])
		}
		return data{f: y}
	})
}

// ==== 3 Solver =======================================================================================================

const mostRounds, mostPaired, roundsPerError, mostWork = 10000, 4096, 10, 1 << 30
const floatEpsilon, doubleEpsilon = 0x1p-23, 0x1p-52

// A basis is the table of an op of this section: k rows t of d numbers.
type basis struct {
	k, d         int
	data, turned []float64 // [k, d], [d, k]
}

func basisOf(a *args, key string, negative bool) *basis {
	t := a.matrix(key, a.one([]DType{F64}))
	b := &basis{k: t.shape[0], d: t.shape[1], data: t.data.f}
	a.need(len(b.data) > 0, "has no numbers in %s.", quote(key))
	a.g.take(8 * int64(len(b.data)))
	b.turned = make([]float64, len(b.data))
	for i, v := range b.data {
		a.need(math.Abs(v) <= math.MaxFloat64 && (v >= 0 || negative), "has %v in %s; finite numbers, or those from 0 on, are needed.", v, quote(key))
		b.turned[i%b.d*b.k+i/b.d] = v
	}
	return b
}

// multiply is y_t = sum_j x_j table_tj.
func (b *basis) multiply(x, y []float64) {
	for t := range y {
		y[t] = 0
	}
	for j, v := range x {
		axpyPlain(v, b.turned[j*b.k:(j+1)*b.k], y)
	}
}

// combine is y_j = sum_t w_t table_tj.
func (b *basis) combine(w, y []float64) {
	for j := range y {
		y[j] = 0
	}
	for t, v := range w {
		axpyPlain(v, b.data[t*b.d:(t+1)*b.d], y)
	}
}

// gram are the products of all pairs of rows.
func (b *basis) gram(a *args) [][]float64 {
	a.need(b.k <= mostPaired, "has a table of %d rows, more than the limit of %d.", b.k, mostPaired)
	needWork(a, b.k, b.k, b.d)
	a.g.take((8*int64(b.k) + 32) * int64(b.k))
	gram := make([][]float64, b.k)
	for t := range gram {
		gram[t] = make([]float64, b.k)
		b.multiply(b.data[t*b.d:(t+1)*b.d], gram[t])
	}
	return gram
}

// totals are the sums of the rows.
func (b *basis) totals() []float64 {
	totals := make([]float64, b.k)
	for t := range totals {
		totals[t] = total(b.data[t*b.d : (t+1)*b.d])
	}
	return totals
}

func total(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum
}

func norm(x []float64) float64 { return math.Sqrt(dot(x, x)) }

// finite is an attribute that is a finite number; required without a default.
func finite(a *args, key string, negative bool, otherwise ...float64) float64 {
	if len(otherwise) > 0 && !a.has(key) {
		return otherwise[0]
	}
	x := math.NaN()
	if a.attribute(key).kind == '0' {
		x = a.number(key, 0)
	}
	a.need(math.Abs(x) <= math.MaxFloat64 && (x >= 0 || negative), "has %s that is not a finite number, or one from 0 on.", quote(key))
	return x
}

func roundsOf(a *args) int { return a.integer("max_iter", 0, mostRounds) }

// needWork refuses factors that multiply to more than a row, or loading, may cost.
func needWork(a *args, x, y, z int) {
	good := x == 0 || y <= mostWork/x && z <= mostWork/max(1, x*y)
	a.need(good, "may need more than 2^30 operations for a row or when it is loaded, which is more than the limit.")
}

// rounds counts, for every round, 64 multiplications for every row and column of the table.
func (a *args) rounds(b *basis, times int) { a.work += float64(64 * times * (b.k + b.d)) }

// needRowWork does so for the rounds of a row, which are its multiplications.
func needRowWork(a *args, x, y, z int) {
	needWork(a, x, y, z)
	a.multiplies(x, y, z)
}

// solver is a step that solves for every row x the weights of the rows of its basis; accepts tells whether an element may be x.
func solver(a *args, b *basis, accepts func(x float64) bool, solve func(x []float64) []float64) *step {
	return newStep(a, rowOf(F64, int64(b.k)), func(s *step, f *frame) data {
		given, y := f.values[s.in[0]].f, make([]float64, f.rows*b.k)
		for r := 0; r < f.rows; r++ {
			x := given[r*b.d : (r+1)*b.d]
			for _, v := range x {
				if !(math.Abs(v) <= math.MaxFloat64) || !accepts(v) {
					panic(s.refuse(f, r, "the element %v is not accepted by this model.", v))
				}
			}
			copy(y[r*b.k:], solve(x))
		}
		return data{f: y}
	})
}

func fromZero(x float64) bool { return x >= 0 }
func any64(x float64) bool    { return true }

// nmf gives weights from 0 on with which the components come near the row.
func nmf(a *args) *step {
	kind := a.choice("solver", false, "cd", "mu", "minibatch")
	b := basisOf(a, "components", false)
	if kind == "cd" {
		return nmfDescent(a, b)
	}
	return nmfMultiplication(a, b, kind == "minibatch")
}

// nmfDescent is nmf by coordinate descent.
func nmfDescent(a *args, b *basis) *step {
	rounds, tol, l1, l2 := roundsOf(a), finite(a, "tol", false), finite(a, "l1", false, 0), finite(a, "l2", false, 0)
	needRowWork(a, rounds, b.k, b.k)
	a.rounds(b, rounds)
	gram := b.gram(a)
	for t := 0; l2 != 0 && t < b.k; t++ {
		gram[t][t] += l2
	}
	return solver(a, b, fromZero, func(x []float64) []float64 {
		w, target, first := make([]float64, b.k), make([]float64, b.k), 0.0
		b.multiply(x, target)
		for t := 0; l1 != 0 && t < b.k; t++ {
			target[t] -= l1
		}
		for round := 0; round < rounds; round++ {
			violation := 0.0 // how far the round was from an optimum
			for t, q := range gram {
				gradient := -target[t]
				for r, v := range w {
					gradient += float64(q[r] * v)
				}
				if w[t] != 0 || gradient < 0 {
					violation += math.Abs(gradient)
				}
				if q[t] != 0 {
					moved := w[t] - gradient/q[t]
					if 0 > moved {
						moved = 0
					}
					w[t] = moved
				}
			}
			if round == 0 {
				first = violation
			}
			if first == 0 || violation/first <= tol {
				break
			}
		}
		return w
	})
}

// A multiplication is nmf by multiplicative updates: as NMF's solver mu makes them, or (minibatch) as MiniBatchNMF does.
type multiplication struct {
	*basis
	rounds                   int
	tol, l1, l2, beta, gamma float64
	gram                     [][]float64
	totals                   []float64
}

func nmfMultiplication(a *args, b *basis, minibatch bool) *step {
	m := &multiplication{basis: b, rounds: roundsOf(a), tol: finite(a, "tol", false), l1: finite(a, "l1", false, 0), gamma: 1}
	m.l2, m.beta = finite(a, "l2", false, 0), finite(a, "beta", true, 2)
	if m.beta < 1 {
		m.gamma = 1 / (2 - m.beta)
	} else if m.beta > 2 {
		m.gamma = 1 / (m.beta - 1)
	}
	needRowWork(a, m.rounds, b.k, b.k+b.d)
	a.rounds(b, m.rounds)
	m.gram, m.totals = b.gram(a), b.totals()
	accepts := func(x float64) bool { return minibatch || x > 0 || x == 0 && m.beta > 0 }
	return solver(a, b, accepts, func(x []float64) []float64 {
		w := make([]float64, b.k)
		for t := range w {
			w[t] = math.Sqrt(total(x) / float64(b.d) / float64(b.k))
		}
		if minibatch {
			m.untilWeightsStay(x, w)
		} else {
			m.untilErrorStays(x, w)
		}
		return w
	})
}

func (m *multiplication) untilWeightsStay(x, w []float64) {
	for round := 1; round <= m.rounds; round++ {
		moved := append([]float64{}, w...)
		m.update(x, w, m.totals)
		for t := range moved {
			moved[t] = w[t] - moved[t]
		}
		if m.tol > 0 && norm(moved)/norm(w) <= m.tol {
			return
		}
	}
}

// untilErrorStays: scikit-learn keeps the denominators of beta 1 between rounds, so that l1 adds up in them.
func (m *multiplication) untilErrorStays(x, w []float64) {
	sums, first := append([]float64{}, m.totals...), 0.0
	if m.tol > 0 {
		first = m.error(x, w)
	}
	last := first
	for round := 1; round <= m.rounds; round++ {
		m.update(x, w, sums)
		for t := range sums {
			if m.l1 > 0 {
				sums[t] += m.l1
			}
			if m.beta < 1 && w[t] < doubleEpsilon {
				w[t] = 0
			}
		}
		if m.tol > 0 && round%roundsPerError == 0 {
			now := m.error(x, w)
			if (last-now)/first < m.tol {
				return
			}
			last = now
		}
	}
}

func floored(y float64) float64 {
	if y < floatEpsilon {
		return floatEpsilon
	}
	return y
}

func (m *multiplication) update(x, w, sums []float64) {
	top, bottom := make([]float64, m.k), make([]float64, m.k)
	if m.beta == 2 {
		m.multiply(x, top)
		for t := range bottom {
			bottom[t] = dot(w, m.gram[t])
		}
	} else {
		m.divideByModel(x, w, sums, top, bottom)
	}
	for t, b := range bottom {
		if m.l1 > 0 {
			b += m.l1
		}
		if m.l2 > 0 {
			b += float64(m.l2 * w[t])
		}
		if b == 0 {
			b = floatEpsilon
		}
		factor := top[t] / b
		if m.gamma != 1 {
			factor = pow(factor, m.gamma)
		}
		w[t] *= factor
	}
}

// divideByModel gives the numerators and denominators for a beta that is not 2.
func (m *multiplication) divideByModel(x, w, sums, top, bottom []float64) {
	y, c, b := make([]float64, m.d), make([]float64, m.d), make([]float64, m.d)
	m.combine(w, y)
	for j, v := range y {
		s, u := v, v
		if m.beta < 2 {
			s = floored(v)
		}
		if m.beta < 1 {
			u = floored(v)
		}
		switch m.beta {
		case 1:
			c[j] = x[j] / s
			continue
		case 0:
			c[j] = float64(1/s*(1/s)) * x[j]
		default:
			c[j] = pow(s, m.beta-2) * x[j]
		}
		b[j] = pow(u, m.beta-1)
	}
	m.multiply(c, top)
	if m.beta == 1 {
		copy(bottom, sums)
	} else {
		m.multiply(b, bottom)
	}
}

func (m *multiplication) error(x, w []float64) float64 {
	y := make([]float64, m.d)
	m.combine(w, y)
	if m.beta != 2 {
		r := m.divergence(x, w, y)
		if r < 0 {
			r = 0
		}
		return math.Sqrt(2 * r)
	}
	for j, v := range x {
		y[j] = v - y[j]
	}
	return norm(y)
}

// divergence is that of x from the model y, for a beta that is not 2.
func (m *multiplication) divergence(x, w, y []float64) float64 {
	given, ratios, logarithms, powers, mixed, modelled := 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
	for j, v := range x {
		u := floored(y[j])
		ratio := v / u
		modelled += pow(y[j], m.beta)
		if v > floatEpsilon {
			given += v
			ratios += ratio
			if m.beta == 1 {
				logarithms += float64(v * log(ratio))
			} else {
				logarithms += log(ratio)
			}
			powers += pow(v, m.beta)
			mixed += float64(v * pow(u, m.beta-1))
		}
	}
	switch m.beta {
	case 1:
		return logarithms + (dot(w, m.totals) - given)
	case 0:
		return ratios - float64(m.d) - logarithms
	}
	return (powers - float64(m.beta*mixed) + float64(modelled*(m.beta-1))) / float64(m.beta*(m.beta-1))
}

// ldaTopics (lda_topics) gives the shares of topics in a row of counts.
func ldaTopics(a *args) *step {
	b := basisOf(a, "components", false)
	prior, rounds, tol := finite(a, "prior", false), roundsOf(a), finite(a, "tol", false)
	needWork(a, rounds, b.k, b.d)
	a.multiplies(rounds+1, 4*b.k*b.d)
	a.rounds(b, rounds+1)
	return solver(a, b, fromZero, func(x []float64) []float64 {
		columns := []int{} // of the elements that are not 0
		for j, v := range x {
			if v != 0 {
				columns = append(columns, j)
			}
		}
		w, e, ratio := make([]float64, b.k), make([]float64, b.k), make([]float64, len(columns))
		for t := range w {
			w[t], e[t] = 1, exp(psi(1)-psi(float64(b.k)))
		}
		for round := 0; round < rounds; round++ {
			b.explain(x, columns, e, ratio)
			if b.share(prior, columns, e, ratio, w)/float64(b.k) < tol {
				break
			}
		}
		sum := total(w)
		for t := range w {
			w[t] /= sum
		}
		return w
	})
}

// explain makes ratio the counts over what the topics, weighted by e, give them.
func (b *basis) explain(x []float64, columns []int, e, ratio []float64) {
	for j, column := range columns {
		sum := 0.0
		for t, v := range e {
			sum += float64(v * b.data[t*b.d+column])
		}
		ratio[j] = x[column] / (sum + doubleEpsilon)
	}
}

// share makes new weights w, and e; returns how much the weights have changed together.
func (b *basis) share(prior float64, columns []int, e, ratio, w []float64) float64 {
	change := 0.0
	for t := range w {
		sum := 0.0
		for j, column := range columns {
			sum += float64(ratio[j] * b.data[t*b.d+column])
		}
		next := float64(e[t]*sum) + prior
		change += math.Abs(w[t] - next)
		w[t] = next
	}
	all := psi(total(w))
	for t := range e {
		e[t] = exp(psi(w[t]) - all)
	}
	return change
}

// psi is the derivative of log gamma, as scikit-learn computes it (J. M. Bernardo, Algorithm AS 103, 1976).
func psi(z float64) float64 {
	if z <= 1e-6 {
		return -0.5772156649015329 - 1/z
	}
	r := 0.0
	for ; z < 6; z++ {
		r -= 1 / z
	}
	q := 1 / z
	r += log(z) - float64(0.5*q)
	q *= q
	return r - float64(q*(1.0/12-float64(q*(1.0/120-float64(q*(1.0/252))))))
}

// sparseCode (sparse_code) gives few weights with which the atoms come near the row.
func sparseCode(a *args) *step {
	algorithm := a.choice("algorithm", false, "omp", "lasso_cd")
	b := basisOf(a, "atoms", true)
	if algorithm == "omp" {
		nonzero := a.integer("nonzero", 1, int64(b.k))
		needRowWork(a, nonzero, b.k, nonzero+1)
		gram := b.gram(a)
		return solver(a, b, any64, func(x []float64) []float64 { return pursue(b, gram, nonzero, x) })
	}
	l := &lasso{basis: b, alpha: finite(a, "alpha", false), rounds: roundsOf(a), tol: finite(a, "tol", false, 1e-8), positive: a.flag("positive", false)}
	needRowWork(a, l.rounds, b.k, b.k)
	a.rounds(b, l.rounds)
	l.gram = b.gram(a)
	return solver(a, b, any64, func(x []float64) []float64 { return newDescent(l, x).weights() })
}

// A choice has the atoms chosen for one row by orthogonal matching pursuit: the first n of order; lower is the Cholesky factor of their
// products, residual what is left of the products of all atoms with the row.
type choice struct {
	gram                  [][]float64
	order                 []int
	lower                 [][]float64
	products, residual, w []float64
	n                     int
}

func pursue(b *basis, gram [][]float64, nonzero int, x []float64) []float64 {
	c := &choice{gram: gram, order: upTo(b.k), lower: make([][]float64, nonzero), products: make([]float64, b.k), w: make([]float64, nonzero)}
	b.multiply(x, c.products)
	c.residual = c.products
	for c.n < nonzero {
		m := c.mostAlike()
		r := c.residual[c.order[m]]
		if m < c.n || r*r < doubleEpsilon || !c.choose(m) {
			break
		}
		c.fit()
	}
	all := make([]float64, b.k)
	for i, atom := range c.order[:c.n] {
		all[atom] = c.w[i]
	}
	return all
}

// mostAlike is the place in the order of the first atom with the largest residual; NaN is largest.
func (c *choice) mostAlike() int {
	best := 0
	for m := 1; m < len(c.order) && c.residual[c.order[best]] == c.residual[c.order[best]]; m++ {
		held, found := math.Abs(c.residual[c.order[best]]), math.Abs(c.residual[c.order[m]])
		if found != found || found > held {
			best = m
		}
	}
	return best
}

// choose adds the atom at place m of the order to those chosen; false if they already span it.
func (c *choice) choose(m int) bool {
	atom := c.order[m]
	row, last, length := c.gram[atom], make([]float64, c.n+1), 0.0
	for i := 0; i < c.n; i++ {
		last[i] = (row[c.order[i]] - dot(c.lower[i][:i], last)) / c.lower[i][i]
		length += float64(last[i] * last[i])
	}
	rest := row[atom] - length
	if c.n > 0 && rest <= doubleEpsilon {
		return false
	}
	last[c.n] = math.Sqrt(rest)
	c.lower[c.n] = last
	c.order[m] = c.order[c.n]
	c.order[c.n] = atom
	c.n++
	return true
}

// fit makes the weights of the chosen atoms that fit the row best, and what is left of the products of all.
func (c *choice) fit() {
	z, fitted := make([]float64, c.n), make([]float64, len(c.products))
	for i := range z {
		z[i] = (c.products[c.order[i]] - dot(c.lower[i][:i], z)) / c.lower[i][i]
	}
	for i := c.n - 1; i >= 0; i-- {
		sum := 0.0
		for j := i + 1; j < c.n; j++ {
			sum += float64(c.lower[j][i] * c.w[j])
		}
		c.w[i] = (z[i] - sum) / c.lower[i][i]
	}
	for i, atom := range c.order[:c.n] {
		axpyPlain(c.w[i], c.gram[atom], fitted)
	}
	for a, product := range c.products {
		fitted[a] = product - fitted[a]
	}
	c.residual = fitted
}

// A lasso is sparse_code by coordinate descent, with gap safe screening.
type lasso struct {
	*basis
	alpha, tol float64
	rounds     int
	positive   bool
	gram       [][]float64
}

// A descent is that for one row. fitted are the products of all atoms with the sum of the weighted atoms.
type descent struct {
	*lasso
	square                    float64
	w, products, fitted, rest []float64
	out                       []bool // screened: the weight is 0 at the optimum
	gap, largest              float64
}

func newDescent(l *lasso, x []float64) *descent {
	q := &descent{lasso: l, square: dot(x, x), out: make([]bool, l.k)}
	q.w, q.products, q.fitted, q.rest = make([]float64, l.k), make([]float64, l.k), make([]float64, l.k), make([]float64, l.k)
	l.multiply(x, q.products)
	return q
}

func (q *descent) weights() []float64 {
	enough := float64(q.tol * q.square)
	q.measureGap()
	if q.gap >= 0 && q.gap <= enough {
		return q.w
	}
	for a := range q.out {
		q.out[a] = q.gram[a][a] == 0
	}
	q.screen()
	for round := 1; round <= q.rounds; round++ {
		if q.descend() || round == q.rounds {
			q.measureGap()
			if q.gap <= enough {
				break
			}
			q.screen()
		}
	}
	return q.w
}

func (q *descent) set(a int, weight float64) {
	axpyPlain(weight-q.w[a], q.gram[a], q.fitted)
	q.w[a] = weight
}

// measureGap measures the duality gap, with what screening needs.
func (q *descent) measureGap() {
	alike, squares, weights := dot(q.w, q.products), 0.0, 0.0
	left := q.square + dot(q.w, q.fitted) - float64(2*alike)
	for a := range q.rest {
		q.rest[a] = q.products[a] - q.fitted[a]
		size := q.rest[a]
		if !q.positive {
			size = math.Abs(size)
		}
		if a == 0 || size > q.largest {
			q.largest = size
		}
		squares += float64(q.rest[a] * q.rest[a])
		weights += math.Abs(q.w[a])
	}
	s := 1.0
	if q.largest > q.alpha {
		s = q.alpha / q.largest
	}
	q.gap = squares
	if q.alpha != 0 {
		q.gap = float64(0.5*left) + float64(q.alpha*weights) - (float64(float64(-0.5*float64(s*s))*left) + float64(s*(q.square-alike)))
	}
}

// screen drops the atoms that the gap shows to have weight 0.
func (q *descent) screen() {
	radius, most := math.Sqrt(2*math.Abs(q.gap))/q.alpha, q.largest
	if q.alpha > most {
		most = q.alpha
	}
	for a := range q.out {
		if q.alpha == 0 || q.out[a] || (1-math.Abs(q.rest[a]/most))/math.Sqrt(q.gram[a][a]) <= radius {
			continue
		}
		q.out[a] = true
		if q.w[a] != 0 {
			q.set(a, 0)
		}
	}
}

// descend is one round over the atoms; true if it changed little.
func (q *descent) descend() bool {
	mostChange, mostWeight := 0.0, 0.0
	for a := range q.w {
		if q.out[a] {
			continue
		}
		t := q.products[a] - q.fitted[a] + float64(q.w[a]*q.gram[a][a])
		weight := 0.0
		if !(q.positive && t < 0) {
			sign := t
			if t > 0 {
				sign = 1
			} else if t < 0 {
				sign = -1
			}
			weight = float64(sign*larger(math.Abs(t)-q.alpha, 0)) / q.gram[a][a]
		}
		change := math.Abs(weight - q.w[a])
		if weight != q.w[a] {
			q.set(a, weight)
		}
		if change > mostChange {
			mostChange = change
		}
		if math.Abs(weight) > mostWeight {
			mostWeight = math.Abs(weight)
		}
	}
	return mostWeight == 0 || mostChange/mostWeight <= q.tol
}
