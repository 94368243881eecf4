// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

package modelport

// The ops of the profile tabular but for trees: 5 Ops. This file belongs together with modelport.go.

import (
	"fmt"
	"math"
	"sort"
)

// ==== 5 Ops ==========================================================================================================

// table holds the ops that this reader has, by name. What a step checks is in its entry: it reads the attributes and the inputs' types, and
// returns a step that knows its type, and runs. Further files of this package add theirs when the program starts.
var table = map[string]func(a *args) *step{
	"select": selectColumns, "impute": impute, "is_missing": isMissing, "onehot": onehot, "two_class": twoClass,
	"concat": deep(concat), "cast": deep(cast), "constant": deep(constant), "lookup": deep(lookup), "scale": deep(scale), "clip": deep(clip),
	"unary": deep(unary), "binary": deep(binary), "where": deep(where), "linear": deep(linear), "normalize": deep(normalize),
	"reduce": deep(reduce), "take": deep(take), "softmax": deep(softmax), "log_softmax": deep(softmax),
	"bucketize": bucketize, "poly": poly, "interp": deep(interp), "gaussian_ll": gaussianLl,
	"tree_ensemble": func(a *args) *step { return newTrees(a).step(a) },
}

// deep accepts values of any rank; without it, an op reads rows of rank 0 or 1 only.
func deep(check func(a *args) *step) func(a *args) *step {
	return func(a *args) *step {
		a.deep = true
		return check(a)
	}
}

// Ops returns the names of the ops that this reader has, sorted.
func Ops() []string {
	names := []string{}
	for name := range table {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

var (
	anything     = []DType{F64, F32, I64, I32, I16, I8, U32, U16, U8, Bool, Str}
	numbers      = anything[:len(anything)-1]
	floats       = []DType{F64, F32}
	integers     = []DType{I64, I32, I16, I8, U32, U16, U8}
	canBeMissing = []DType{F64, F32, Str}
)

// args are a step while it is being checked: its attributes, read one by one, and the types of what it reads.
type args struct {
	op, where string
	in        []int
	types     []*rowType
	g         *guard
	dtype     DType   // of ops marked d
	work      float64 // multiplications per row (docs/format.md: mul)
	strings   float64 // strings per row, beside those that are read and defined
	json      *node
	memo      map[*node]any // what attributes have become, when steps are checked more than once; or nil
	read      map[string]bool
	deep      bool
}

func (a *args) refuse(format string, values ...any) *Refused {
	return refused("%s %s", a.where, fmt.Sprintf(format, values...))
}

func (a *args) need(holds bool, format string, values ...any) {
	if !holds {
		panic(a.refuse(format, values...))
	}
}

// finish refuses attributes that the op has not read.
func (a *args) finish() {
	for _, key := range a.json.keys {
		known := a.read[key] || ignored(key) || key == "op" || key == "in" || key == "out"
		a.need(known, "has the unknown attribute %s, which may change its meaning.", quote(key))
	}
}

func (a *args) arity(low, high int) {
	n := len(a.types)
	a.need(n >= low && n <= high, "reads %d values; from %d to %d are needed.", n, low, high)
}

const many = 1 << 30

func (a *args) input(k int, allowed []DType) *rowType {
	t := a.types[k]
	a.need(t.rank < 2 || a.deep, "reads %s; a row of rank 0 or 1 is needed.", t)
	a.need(contains(allowed, t.dtype), "reads %s; one of %s is needed, a cast step may help.", t, listed(allowed))
	return t
}

// one is the only input, of one of the dtypes.
func (a *args) one(allowed []DType) *rowType {
	a.arity(1, 1)
	return a.input(0, allowed)
}

// rounded is the only input of an op marked d: floats, as they are after rounding to the step's dtype.
func (a *args) rounded() *rowType {
	a.dtype = a.floating("dtype")
	return a.one(floats).with(a.dtype)
}

func (a *args) floating(key string) DType {
	if a.choice(key, true, "f64", "f32") == "f32" {
		return F32
	}
	return F64
}

func (a *args) has(key string) bool { return a.json.get(key) != nil }

func (a *args) attribute(key string) *node {
	a.read[key] = true
	value := a.json.get(key)
	a.need(value != nil, "lacks the required attribute %s.", quote(key))
	return value
}

func (a *args) at(key string) string { return a.where + " attribute " + quote(key) }

// choice is one of the options; the first is the default where one is allowed.
func (a *args) choice(key string, optional bool, options ...string) string {
	if optional && !a.has(key) {
		return options[0]
	}
	value := a.attribute(key).text(a.at(key))
	a.need(contains(options, value), "has %s %s; it is one of %s.", quote(key), quote(value), listed(options))
	return value
}

func (a *args) flag(key string, otherwise bool) bool {
	if !a.has(key) {
		return otherwise
	}
	return a.attribute(key).scalar(a.at(key)).boolean() == 1
}

const mostWhole = 1 << 28 // the largest integer that is an attribute

func (a *args) integer(key string, low, high int64) int {
	value, high := a.attribute(key).scalar(a.at(key)).integer(I64), min(high, mostWhole)
	a.need(value >= low && value <= high, "has %s %d; it lies between %d and %d.", quote(key), value, low, high)
	return int(value)
}

func (a *args) number(key string, otherwise float64) float64 {
	if !a.has(key) {
		return otherwise
	}
	return a.attribute(key).scalar(a.at(key)).number(F64)
}

// element is one JSON element of the dtype; nil only where a missing string is an element.
func (a *args) element(key string, dtype DType, missing bool) data {
	c, d := a.attribute(key).scalar(a.at(key)), dtype.allocate(1)
	switch {
	case dtype.IsFloat():
		d.f[0] = c.number(dtype)
	case dtype == Str:
		d.s[0] = c.text(missing)
		a.g.measure(d.s[0])
	case dtype == Bool:
		d.n[0] = c.boolean()
	default:
		d.n[0] = c.integer(dtype)
	}
	return d
}

// decoded is the tensor of an attribute; decoded once.
func (a *args) decoded(key string, bare DType) *Tensor {
	value := a.attribute(key)
	if known, ok := a.memo[value].(*Tensor); ok {
		return known
	}
	t := readTensor(value, bare, a.at(key), a.g)
	if a.memo != nil {
		a.memo[value] = t
	}
	return t
}

// shaped is a row shape, held against the limits before anything is allocated by it.
func (a *args) shaped(dtype DType, lengths ...int64) *rowType {
	dims := make([]int, len(lengths))
	for k, length := range lengths {
		dims[k] = clamp(length)
	}
	t, limits := newType(dtype, dims...), a.g.limits
	a.need(int64(t.counted) <= limits.RowElements && len(dims) <= limits.Rank,
		"gives %s, more than the limit of %d elements, or of rank %d.", t, limits.RowElements, limits.Rank)
	return t
}

// tensor is a tensor of the dtype (or anyDType) and of one of the lowest..highest ranks.
func (a *args) tensor(key string, dtype DType, lowest, highest int) *Tensor {
	t := a.decoded(key, dtype)
	a.need((dtype == anyDType || t.DType == dtype) && len(t.shape) >= lowest && len(t.shape) <= highest,
		"has %s of dtype %s and rank %d; another dtype, or rank %d, is needed.", quote(key), t.DType, len(t.shape), highest)
	return t
}

// floats are floats of the step's dtype, rank 1, so many (-1: any number).
func (a *args) floats(key string, length int) []float64 { return a.floatsOf(key, a.dtype, length) }

func (a *args) floatsOf(key string, dtype DType, length int) []float64 {
	values := a.tensor(key, dtype, 1, 1).data.f
	a.expect(key, len(values), length)
	return values
}

// optional is the same, or nil when absent.
func (a *args) optional(key string, dtype DType, length int) []float64 {
	if !a.has(key) {
		return nil
	}
	return a.floatsOf(key, dtype, length)
}

// perColumn has one element for each column, or one for all; nil when absent.
func (a *args) perColumn(key string, x *rowType) []float64 {
	values := a.optional(key, x.dtype, -1)
	if values != nil && len(values) != 1 {
		a.expect(key, len(values), x.last)
	}
	return values
}

func (a *args) expect(key string, found, needed int) {
	a.need(needed < 0 || found == needed, "has %s with %d elements; %d are needed.", quote(key), found, needed)
}

// matrix is a float matrix with a column for each of the row's.
func (a *args) matrix(key string, x *rowType) *Tensor {
	return a.fitting(key, a.tensor(key, x.dtype, 2, 2), x)
}

func (a *args) fitting(key string, t *Tensor, x *rowType) *Tensor {
	a.need(t.shape[1] == x.last && int64(t.shape[0]) <= a.g.limits.RowElements,
		"has %s of shape %s; %d columns and at most %d rows are needed.", quote(key), listed(t.shape), x.last, a.g.limits.RowElements)
	return t
}

// integers is a tensor of any integer dtype.
func (a *args) integers(key string, rank int) *Tensor {
	t := a.decoded(key, I64)
	a.need(t.DType.IsInteger() && len(t.shape) == rank,
		"has %s of dtype %s and rank %d; integers of rank %d are needed.", quote(key), t.DType, len(t.shape), rank)
	return t
}

// ints are integers of rank 1, so many (-1: any number), each within low..high.
func (a *args) ints(key string, length, low, high int) []int {
	t := a.integers(key, 1)
	a.expect(key, len(t.data.n), length)
	return a.narrow(key, t, low, high)
}

func (a *args) narrow(key string, t *Tensor, low, high int) []int {
	a.g.take(8 * int64(len(t.data.n)))
	narrow := make([]int, len(t.data.n))
	for k, value := range t.data.n {
		if value < int64(low) || value > int64(high) {
			panic(a.refuse("has %d in %s at position %d; it lies between %d and %d.", value, quote(key), k, low, high))
		}
		narrow[k] = int(value)
	}
	return narrow
}

// broadcast is the row shape to which those of all inputs broadcast.
func (a *args) broadcast(dtype DType) *rowType {
	rank := 0
	for _, t := range a.types {
		rank = max(rank, t.rank)
	}
	dims := make([]int64, rank)
	for k := range dims {
		dims[k] = 1
	}
	for _, t := range a.types {
		for j, length := range t.dims {
			k := rank - t.rank + j
			a.need(int64(length) == dims[k] || length == 1 || dims[k] == 1,
				"joins %s; the lengths of every axis must be equal, or 1.", listed(a.types))
			if dims[k] == 1 {
				dims[k] = int64(length)
			}
		}
	}
	return a.shaped(dtype, dims...)
}

// costly is how many multiplications a function or a search counts as, moved those of an element that a step reads or defines.
const costly, moved = 16, 8

// multiplies says how many multiplications a row takes, if not none: the product of the factors.
func (a *args) multiplies(factors ...int) {
	a.work = 1
	for _, factor := range factors {
		a.work *= float64(factor)
	}
}

// A frame holds the values of one block of rows; first is the number of the block's first row in the batch.
type frame struct {
	rows, first int
	values      []data
	floats      spare[float64]
	integers    spare[int64]
	strings     spare[*string]
}

// spare are zeros that a frame keeps ready for the values of its steps: rows that come alone need little from the heap.
type spare[T any] struct {
	all  []T
	used int
}

const spares = 1 << 10

func (s *spare[T]) take(n int) []T {
	if n > spares-s.used {
		return make([]T, n)
	}
	if s.all == nil {
		s.all = make([]T, spares)
	}
	s.used += n
	return s.all[s.used-n : s.used : s.used]
}

func (s *spare[T]) restore() {
	var zero T
	for k := range s.all[:s.used] {
		s.all[k] = zero
	}
	s.used = 0
}

// clear makes a frame as good as new; nothing that was handed out may be read after it.
func (f *frame) clear() {
	for k := range f.values {
		f.values[k] = data{}
	}
	f.floats.restore()
	f.integers.restore()
	f.strings.restore()
}

// zeros are elements for a value, as allocate gives them.
func (f *frame) zeros(n int) []float64 { return f.floats.take(n) }

// allocate gives elements for a value, all zero, that are read no longer than the frame.
func (f *frame) allocate(dtype DType, n int) data {
	switch {
	case dtype.IsFloat():
		return data{f: f.floats.take(n)}
	case dtype == Str:
		return data{s: f.strings.take(n)}
	}
	return data{n: f.integers.take(n)}
}

// A step is a checked step. run returns the rows of its value, rows x width; what it reads is never changed.
type step struct {
	where   string
	in      []int
	from    []*rowType
	typ     *rowType
	dtype   DType
	work    float64
	strings float64
	run     func(s *step, f *frame) data
}

func newStep(a *args, t *rowType, run func(s *step, f *frame) data) *step {
	return &step{a.where, a.in, a.types, t, a.dtype, a.work, a.strings, run}
}

// newRows is a step that computes floats row by row, along the last axis: x gives y, which holds zeros; results are rounded.
func newRows(a *args, t *rowType, row func(x, y []float64)) *step {
	return newStep(a, t, func(s *step, f *frame) data {
		x, y := s.floats(f, 0), f.zeros(f.rows*t.width)
		i, o := s.from[0].last, t.last
		for r := 0; r < f.rows*s.from[0].lanes; r++ {
			row(x[r*i:(r+1)*i], y[r*o:(r+1)*o])
		}
		return data{f: roundAll(y, t.dtype)}
	})
}

// floats is the k-th input, rounded to the step's dtype.
func (s *step) floats(f *frame, k int) []float64 {
	x := f.values[s.in[k]].f
	if s.dtype == F32 && s.from[k].dtype == F64 {
		return roundAll(append([]float64{}, x...), F32)
	}
	return x
}

func (s *step) refuse(f *frame, row int, format string, values ...any) *Refused {
	return refused("%s refuses row %d: %s", s.where, f.first+row, fmt.Sprintf(format, values...))
}

// move moves elements without changing them: element k of the value is x[source(k)] or, below 0, y[-1 - source(k)].
func (s *step) move(f *frame, x, y data, source func(k int) int) data {
	out := f.allocate(s.typ.dtype, f.rows*s.typ.width)
	for k, n := 0, f.rows*s.typ.width; k < n; k++ {
		from, at := x, source(k)
		if at < 0 {
			from, at = y, -1-at
		}
		switch {
		case out.f != nil:
			out.f[k] = from.f[at]
		case out.n != nil:
			out.n[k] = from.n[at]
		default:
			out.s[k] = from.s[at]
		}
	}
	return out
}

// at is the parameter of column j: one element stands for all columns.
func at(p []float64, j int) float64 {
	if len(p) == 1 {
		return p[0]
	}
	return p[j]
}

// concat joins rows, or values of one rank along an axis.
func concat(a *args) *step {
	a.arity(1, many)
	x, axis, width := a.input(0, anything), -1, int64(0)
	if a.has("axis") {
		axis = a.integer("axis", 0, int64(x.rank)-1)
	}
	for k := range a.types {
		t := a.input(k, []DType{x.dtype})
		good := axis < 0 && t.rank < 2 || axis >= 0 && t.rank == x.rank && t.resized(axis, 1).same(x.resized(axis, 1))
		a.need(good, "joins %s; rows are needed or, with \"axis\", shapes that are equal but for that axis.", listed(a.types))
		if axis < 0 {
			width += int64(t.width)
		} else {
			width += int64(t.dims[axis])
		}
	}
	typ, lanes := rowOf(x.dtype, width), 1
	if axis >= 0 {
		typ = x.resized(axis, clamp(width))
		lanes = typ.size(0, axis)
	}
	return newStep(a, typ, func(s *step, f *frame) data {
		out, length, offset := f.allocate(typ.dtype, f.rows*typ.width), typ.width/max(1, lanes), 0
		for k, t := range s.from {
			n := t.width / max(1, lanes)
			for r := 0; r < f.rows*lanes; r++ {
				out.copy(r*length+offset, f.values[s.in[k]], r*n, n)
			}
			offset += n
		}
		return out
	})
}

// selectColumns (select) takes columns by position.
func selectColumns(a *args) *step {
	x := a.one(anything)
	index := a.ints("index", -1, 0, x.width-1)
	n := len(index)
	return newStep(a, rowOf(x.dtype, int64(n)), func(s *step, f *frame) data {
		return s.move(f, f.values[s.in[0]], data{}, func(k int) int { return k/n*x.width + index[k%n] })
	})
}

// cast changes the dtype; what does not fit an integer is refused. An integer becomes an f32 in one rounding, not by way of f64.
func cast(a *args) *step {
	x := a.one(numbers)
	to := dtypeNamed(a.choice("to", false, dtypeNames[:len(dtypeNames)-1]...), a.where)
	over := float64(to.most()) + 1 // a power of two, exact also where the bound is not
	return newStep(a, x.with(to), func(s *step, f *frame) data {
		x, out := f.values[s.in[0]], f.allocate(to, f.rows*s.typ.width)
		for k := 0; k < f.rows*s.typ.width; k++ {
			switch {
			case x.f != nil && to.IsFloat():
				out.f[k] = rounded(x.f[k], to)
			case to == F64:
				out.f[k] = float64(x.n[k])
			case to == F32:
				out.f[k] = float64(float32(x.n[k]))
			case to == Bool:
				if x.f != nil && x.f[k] != 0 || x.n != nil && x.n[k] != 0 {
					out.n[k] = 1
				}
			case x.f != nil:
				whole := math.Trunc(x.f[k])
				if !(whole >= float64(to.least()) && whole < over) {
					panic(s.refuse(f, k/s.typ.width, "%v does not fit the dtype %s.", x.f[k], to))
				}
				out.n[k] = int64(whole)
			default:
				out.n[k] = x.n[k]
				if x.n[k] < to.least() || x.n[k] > to.most() {
					panic(s.refuse(f, k/s.typ.width, "%d does not fit the dtype %s.", x.n[k], to))
				}
			}
		}
		return out
	})
}

// constant is the same row for every row of the batch.
func constant(a *args) *step {
	a.arity(0, 0)
	a.need(a.attribute("value").kind == '{', "has a bare \"value\"; write it in the object form, which states its dtype.")
	value := a.tensor("value", anyDType, 0, a.g.limits.Rank)
	return newStep(a, newType(value.DType, value.shape...), func(s *step, f *frame) data {
		out := f.allocate(s.typ.dtype, f.rows*s.typ.width)
		for r := 0; r < f.rows; r++ {
			out.copy(r*s.typ.width, value.data, 0, s.typ.width)
		}
		return out
	})
}

// A cell is the key under which an element is found in a map: NaN equals NaN, missing equals missing, -0.0 equals 0.0.
type cell struct {
	bits    uint64
	text    string
	missing bool
}

func (d data) cell(k int) cell {
	switch {
	case d.n != nil:
		return cell{bits: uint64(d.n[k])}
	case d.s != nil && d.s[k] == nil:
		return cell{missing: true}
	case d.s != nil:
		return cell{text: *d.s[k]}
	case d.f[k] == 0:
		return cell{}
	case d.f[k] != d.f[k]:
		return cell{missing: true}
	}
	return cell{bits: math.Float64bits(d.f[k])}
}

// match is what counts as missing in impute and is_missing: "match"; by default NaN among floats, null among strings.
func match(a *args, x *rowType) cell {
	if a.has("match") {
		return a.element("match", x.dtype, false).cell(0)
	}
	return cell{missing: true}
}

// impute replaces elements that match by the column's value.
func impute(a *args) *step {
	x := a.one(canBeMissing)
	missing, values := match(a, x), a.tensor("values", x.dtype, 1, 1).data
	n := values.size()
	if n != 1 {
		a.expect("values", n, x.width)
	}
	return newStep(a, x, func(s *step, f *frame) data {
		given := f.values[s.in[0]]
		if given.f != nil && missing.missing { // NaN
			out := append([]float64(nil), given.f...)
			for k, v := range out {
				if v != v {
					out[k] = values.f[k%x.width%n]
				}
			}
			return data{f: out}
		}
		return s.move(f, given, values, func(k int) int {
			if given.cell(k) != missing {
				return k
			}
			return -1 - k%x.width%n
		})
	})
}

// isMissing (is_missing) is 1.0 where an element matches, else 0.0.
func isMissing(a *args) *step {
	x := a.one(canBeMissing)
	missing := match(a, x)
	return newStep(a, x.with(F64), func(s *step, f *frame) data {
		out := f.zeros(f.rows * x.width)
		for k := range out {
			if f.values[s.in[0]].cell(k) == missing {
				out[k] = 1
			}
		}
		return data{f: out}
	})
}

// lookup gives the value of the equal key; the default, or a refusal, for an unknown one.
func lookup(a *args) *step {
	x := a.one([]DType{F64, F32, I64, Bool, Str})
	keys, values := a.tensor("keys", x.dtype, 1, 1).data, a.tensor("values", anyDType, 1, 1)
	otherwise := data{}
	known := a.has("default")
	if known {
		otherwise = a.element("default", values.DType, true)
	}
	a.expect("values", values.data.size(), keys.size())
	a.g.take(160 * int64(keys.size()))
	places, texts := map[cell]int{}, map[string]int{}
	for k := 0; k < keys.size(); k++ {
		places[keys.cell(k)] = k
		if keys.s != nil && keys.s[k] != nil {
			texts[*keys.s[k]] = k
		}
		a.need(len(places) == k+1, "has one key twice in \"keys\", at position %d; keys are all different.", k)
	}
	a.multiplies(x.width, costly)
	return newStep(a, x.with(values.DType), func(s *step, f *frame) data {
		given := f.values[s.in[0]]
		return s.move(f, values.data, otherwise, func(k int) int {
			place, found := 0, false
			if given.s != nil && given.s[k] != nil {
				place, found = texts[*given.s[k]]
			} else {
				place, found = places[given.cell(k)]
			}
			if found {
				return place
			}
			if !known {
				panic(s.refuse(f, k/x.width, "%s is none of the known categories.", quote(newTensor(x.dtype, given).spelled(k))))
			}
			return -1
		})
	})
}

// onehot gives a unit vector per column; -1 gives zeros.
func onehot(a *args) *step {
	x := a.one(integers)
	size := a.integer("size", 1, a.g.limits.TensorElements)
	return newStep(a, rowOf(F64, int64(x.width)*int64(size)), func(s *step, f *frame) data {
		out := f.zeros(f.rows * s.typ.width)
		for k, code := range f.values[s.in[0]].n {
			if code < -1 || code >= int64(size) {
				panic(s.refuse(f, k/x.width, "the code %d lies outside 0..%d.", code, size-1))
			}
			if code >= 0 {
				out[k*size+int(code)] = 1
			}
		}
		return data{f: out}
	})
}

// bucketize counts the edges e of the column with not (x <= e) (left) or not (x < e) (right); NaN counts all.
func bucketize(a *args) *step {
	x := a.one(floats)
	edges := a.floatsOf("edges", x.dtype, -1)
	sizes, start := a.ints("sizes", x.width, 0, len(edges)), make([]int, x.width+1)
	right := a.choice("side", false, "left", "right") == "right"
	for j, size := range sizes {
		start[j+1] = min(start[j]+size, len(edges)+1)
		for k := start[j]; k < min(start[j+1], len(edges)); k++ {
			a.need(edges[k] >= edges[max(k-1, start[j])], "has edges of column %d that do not ascend.", j)
		}
	}
	a.expect("edges", len(edges), start[x.width])
	a.multiplies(x.width, costly)
	return newStep(a, x.with(I64), func(s *step, f *frame) data {
		given, out := f.values[s.in[0]].f, f.allocate(I64, f.rows*x.width).n
		for k := range out {
			j := k % x.width
			out[k] = int64(count(edges, start[j], start[j+1], given[k], right) - start[j])
		}
		return data{n: out}
	})
}

// count is the first of the ascending values[low..high) that is above v (or at v, unless orEqual); high for NaN.
func count(values []float64, low, high int, v float64, orEqual bool) int {
	for low < high {
		middle := int(uint(low+high) >> 1)
		if v < values[middle] || !orEqual && v == values[middle] {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// scale is ((x - sub) / div) * mul + add, absent parts skipped.
func scale(a *args) *step {
	x := a.rounded()
	sub, div, mul, add := a.perColumn("sub", x), a.perColumn("div", x), a.perColumn("mul", x), a.perColumn("add", x)
	return newRows(a, x, func(given, y []float64) {
		for j, v := range given {
			if sub != nil {
				v = rounded(v-at(sub, j), x.dtype)
			}
			if div != nil {
				v = rounded(v/at(div, j), x.dtype)
			}
			if mul != nil {
				v = rounded(float64(v*at(mul, j)), x.dtype)
			}
			if add != nil {
				v += at(add, j)
			}
			y[j] = v
		}
	})
}

// clip has bounds per column; NaN passes.
func clip(a *args) *step {
	x := a.rounded()
	low, high := a.perColumn("min", x), a.perColumn("max", x)
	return newRows(a, x, func(given, y []float64) {
		for j, v := range given {
			if low != nil && v < at(low, j) {
				v = at(low, j)
			} else if high != nil && v > at(high, j) {
				v = at(high, j)
			}
			y[j] = v
		}
	})
}

// unaries are the functions of unary, spelled as in the format; all but not.
var unaries = map[string]func(x float64) float64{
	"abs": math.Abs, "sqrt": math.Sqrt, "floor": math.Floor, "ceil": math.Ceil, "round": math.RoundToEven, "trunc": math.Trunc,
	"exp": exp, "expm1": math.Expm1, "log": log, "log1p": math.Log1p, "log2": log2, "log10": log10, "sin": math.Sin,
	"cos": math.Cos, "tan": math.Tan, "arcsin": arcsin, "arccos": arccos, "arctan": math.Atan, "sinh": sinh, "cosh": cosh,
	"tanh": math.Tanh, "sigmoid": sigmoid, "softplus": softplus, "erf": erf, "norm_ppf": normPpf,
	"neg":        func(x float64) float64 { return -x },
	"square":     func(x float64) float64 { return x * x },
	"reciprocal": func(x float64) float64 { return 1 / x },
	"sign": func(x float64) float64 {
		if x > 0 {
			return 1
		} else if x < 0 {
			return -1
		} else if x == 0 {
			return 0
		}
		return x
	},
	"relu": func(x float64) float64 {
		if x > 0 || x != x {
			return x
		}
		return 0
	},
	"log_sigmoid": func(x float64) float64 {
		if x >= 0 {
			return -math.Log1p(exp(-x))
		}
		return x - math.Log1p(exp(x))
	},
}

var exactUnaries = []string{"neg", "abs", "sign", "sqrt", "square", "reciprocal", "floor", "ceil", "round", "trunc", "relu"}

// unary is a function, element by element; f32 is computed in f64 and rounded.
func unary(a *args) *step {
	options := []string{"not"}
	for name := range unaries {
		options = append(options, name)
	}
	sort.Strings(options)
	name := a.choice("fn", false, options...)
	fn := unaries[name]
	a.dtype = a.floating("dtype")
	if fn == nil {
		return newStep(a, a.one([]DType{Bool}), func(s *step, f *frame) data {
			out := f.allocate(I64, f.rows*s.typ.width).n
			for k, v := range f.values[s.in[0]].n {
				out[k] = 1 - v
			}
			return data{n: out}
		})
	}
	x := a.rounded()
	if !contains(exactUnaries, name) {
		a.multiplies(x.width, costly)
	}
	return newRows(a, x, func(x, y []float64) {
		for j, v := range x {
			y[j] = fn(v)
		}
	})
}

// The functions of binary, spelled as in the format: arithmetic, comparisons, logic.
var (
	arithmetic = map[string]func(x, y float64) float64{
		"min": smaller, "max": larger, "pow": pow,
		"add": func(x, y float64) float64 { return x + y },
		"sub": func(x, y float64) float64 { return x - y },
		"mul": func(x, y float64) float64 { return x * y },
		"div": func(x, y float64) float64 { return x / y },
	}
	comparisons = map[string]func(less, equal, greater bool) bool{
		"eq": func(less, equal, greater bool) bool { return equal },
		"ne": func(less, equal, greater bool) bool { return !equal },
		"lt": func(less, equal, greater bool) bool { return less },
		"le": func(less, equal, greater bool) bool { return less || equal },
		"gt": func(less, equal, greater bool) bool { return greater },
		"ge": func(less, equal, greater bool) bool { return greater || equal },
	}
	logic = map[string]func(x, y int64) int64{
		"and": func(x, y int64) int64 { return x & y },
		"or":  func(x, y int64) int64 { return x | y },
		"xor": func(x, y int64) int64 { return x ^ y },
	}
)

// binary is arithmetic, comparison or logic of two values that broadcast.
func binary(a *args) *step {
	a.arity(2, 2)
	a.dtype = a.floating("dtype")
	name := a.choice("fn", false, "add", "sub", "mul", "div", "min", "max", "pow", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor")
	compute, compare, join := arithmetic[name], comparisons[name], logic[name]
	x, y := a.types[0].dtype, a.types[1].dtype
	good := x.IsFloat() && y.IsFloat() && join == nil || join != nil && x == Bool && y == Bool
	good = good || compare != nil && x == y && (x == I64 || (x == Bool || x == Str) && (name == "eq" || name == "ne"))
	a.need(good, "cannot compute %s of %s and %s; a cast step may help.", name, a.types[0], a.types[1])
	dtype := Bool
	if compute != nil {
		dtype = a.dtype
	}
	wide := a.broadcast(dtype)
	i, j := a.types[0].spread(wide, a.g), a.types[1].spread(wide, a.g)
	if name == "pow" {
		a.multiplies(wide.width, costly)
	}
	if x == Str {
		a.strings = float64(wide.counted)
	}
	return newStep(a, wide, func(s *step, f *frame) data {
		x, y, out := f.values[s.in[0]], f.values[s.in[1]], f.allocate(dtype, f.rows*wide.width)
		if x.f != nil {
			x, y = data{f: s.floats(f, 0)}, data{f: s.floats(f, 1)}
		}
		for k := 0; k < f.rows*wide.width; k++ {
			v, w := place(k, wide, s.from[0], i), place(k, wide, s.from[1], j)
			holds := false
			switch {
			case compute != nil:
				out.f[k] = rounded(compute(x.f[v], y.f[w]), dtype)
				continue
			case join != nil:
				out.n[k] = join(x.n[v], y.n[w])
				continue
			case x.f != nil:
				holds = compare(x.f[v] < y.f[w], x.f[v] == y.f[w], x.f[v] > y.f[w])
			case x.n != nil:
				holds = compare(x.n[v] < y.n[w], x.n[v] == y.n[w], x.n[v] > y.n[w])
			default:
				holds = compare(false, x.cell(v) == y.cell(w), false)
			}
			if holds {
				out.n[k] = 1
			}
		}
		return out
	})
}

// place tells where element k of a value of shape wide is in a value that broadcasts to it, by its spread.
func place(k int, wide, from *rowType, spread []int) int {
	if spread == nil {
		return k
	}
	return k/wide.width*from.width + spread[k%wide.width]
}

// where is the second value where the first is true, else the third.
func where(a *args) *step {
	a.arity(3, 3)
	a.input(0, []DType{Bool})
	wide := a.broadcast(a.input(2, []DType{a.types[1].dtype}).dtype)
	var spread [3][]int
	for k, t := range a.types {
		spread[k] = t.spread(wide, a.g)
	}
	return newStep(a, wide, func(s *step, f *frame) data {
		return s.move(f, f.values[s.in[1]], f.values[s.in[2]], func(k int) int {
			if f.values[s.in[0]].n[place(k, wide, s.from[0], spread[0])] != 0 {
				return place(k, wide, s.from[1], spread[1])
			}
			return -1 - place(k, wide, s.from[2], spread[2])
		})
	})
}

// linear is sum_j x_j * weight[k][j] in ascending j, then + bias[k], rounded once.
func linear(a *args) *step {
	x := a.rounded()
	weight := a.matrix("weight", x)
	n := weight.shape[0]
	bias, typ := a.optional("bias", a.dtype, n), rowOf(a.dtype, int64(n))
	if x.rank > 0 {
		typ = x.resized(x.rank-1, n)
	}
	a.multiplies(typ.width, x.last)
	return newStep(a, typ, func(s *step, f *frame) data {
		y := f.zeros(f.rows * typ.width)
		multiply(s.floats(f, 0), x.last, f.rows*x.lanes, weight.data.f, x.last, n, x.last, y, n)
		for o := 0; bias != nil && o < len(y); o += n {
			for k, b := range bias {
				y[o+k] += b
			}
		}
		return data{f: roundAll(y, s.dtype)}
	})
}

// multiply adds y[i][j] += sum over p of x[i][p] * w[j][p], in ascending p: m rows by n rows, both of k elements; lx.. are the distances of rows.
func multiply(x []float64, lx, m int, w []float64, lw, n, k int, y []float64, ly int) {
	columns, rows := n-n%3, m-m%3
	if columns == 0 {
		rows = m
	}
	for r := 0; r < rows && columns > 0; r += 3 {
		for c := 0; c < columns; c += 3 {
			tile(x[r*lx:], lx, w[c*lw:], lw, k, y[r*ly+c:], ly)
		}
	}
	for c := columns; c < n && rows > 0; c++ {
		line(w[c*lw:], x, lx, rows, k, y[c:], ly)
	}
	for r := rows; r < m; r++ {
		line(x[r*lx:], w, lw, n, k, y[r*ly:], 1)
	}
}

// tile is three rows of x by three of w. Nine sums and what they are made of stay in the fifteen registers that Go has on amd64.
func tile(x []float64, lx int, w []float64, lw, k int, y []float64, ly int) {
	var s00, s01, s02, s10, s11, s12, s20, s21, s22 float64
	xa, xb, xc := x[:k], x[lx:][:k], x[2*lx:][:k]
	wa, wb, wc := w[:k], w[lw:][:k], w[2*lw:][:k]
	for p := range xa {
		x0, x1, x2 := xa[p], xb[p], xc[p]
		v := wa[p]
		s00 += float64(x0 * v)
		s10 += float64(x1 * v)
		s20 += float64(x2 * v)
		v = wb[p]
		s01 += float64(x0 * v)
		s11 += float64(x1 * v)
		s21 += float64(x2 * v)
		v = wc[p]
		s02 += float64(x0 * v)
		s12 += float64(x1 * v)
		s22 += float64(x2 * v)
	}
	putSums(y, 1, s00, s01, s02)
	putSums(y[ly:], 1, s10, s11, s12)
	putSums(y[2*ly:], 1, s20, s21, s22)
}

// line is one row of x by n of w: y[j*by] += sum over p of x[p] * w[j][p].
func line(x, w []float64, lw, n, k int, y []float64, by int) {
	c := 0
	for ; c+8 <= n; c += 8 {
		strip8(x[:k], w[c*lw:], lw, y[c*by:], by)
	}
	for ; c+4 <= n; c += 4 {
		strip4(x[:k], w[c*lw:], lw, y[c*by:], by)
	}
	for ; c < n; c++ {
		y[c*by] += dot(x[:k], w[c*lw:][:k])
	}
}

func strip8(x, w []float64, lw int, y []float64, by int) {
	var s0, s1, s2, s3, s4, s5, s6, s7 float64
	k, half := len(x), w[4*lw:]
	wa, wb, wc, wd := w[:k], w[lw:][:k], w[2*lw:][:k], w[3*lw:][:k]
	we, wf, wg, wh := half[:k], half[lw:][:k], half[2*lw:][:k], half[3*lw:][:k]
	for p, v := range x {
		s0 += float64(v * wa[p])
		s1 += float64(v * wb[p])
		s2 += float64(v * wc[p])
		s3 += float64(v * wd[p])
		s4 += float64(v * we[p])
		s5 += float64(v * wf[p])
		s6 += float64(v * wg[p])
		s7 += float64(v * wh[p])
	}
	putSums(y, by, s0, s1, s2, s3, s4, s5, s6, s7)
}

func strip4(x, w []float64, lw int, y []float64, by int) {
	var s0, s1, s2, s3 float64
	k := len(x)
	wa, wb, wc, wd := w[:k], w[lw:][:k], w[2*lw:][:k], w[3*lw:][:k]
	for p, v := range x {
		s0 += float64(v * wa[p])
		s1 += float64(v * wb[p])
		s2 += float64(v * wc[p])
		s3 += float64(v * wd[p])
	}
	putSums(y, by, s0, s1, s2, s3)
}

func putSums(y []float64, by int, sums ...float64) {
	for k, s := range sums {
		y[k*by] += s
	}
}

// softmax is exp(x - max) / sum; log_softmax is x - max - log(sum).
func softmax(a *args) *step {
	logarithm, t := a.op == "log_softmax", a.rounded()
	a.multiplies(t.width, costly)
	return newRows(a, t, func(x, y []float64) {
		sum, most := 0.0, 0.0
		if len(x) > 0 {
			most = x[extreme(x, true)]
		}
		for j, v := range x {
			shifted := rounded(v-most, t.dtype)
			e := rounded(exp(shifted), t.dtype)
			y[j] = e
			if logarithm {
				y[j] = shifted
			}
			sum += e
		}
		sum = rounded(sum, t.dtype)
		if logarithm {
			sum = rounded(log(sum), t.dtype)
		}
		for j := range y {
			if logarithm {
				y[j] -= sum
			} else {
				y[j] /= sum
			}
		}
	})
}

// extreme is the position of the largest (or smallest): ties go to the lowest index, the first NaN wins.
func extreme(x []float64, largest bool) int {
	best := 0
	for j := 1; j < len(x) && x[best] == x[best]; j++ {
		if v := x[j]; v != v || largest && v > x[best] || !largest && v < x[best] {
			best = j
		}
	}
	return best
}

func dot(x, y []float64) float64 {
	sum := 0.0
	for j, v := range x {
		sum += float64(v * y[j])
	}
	return sum
}

// normalize divides rows by their norm; an all-zero row is unchanged.
func normalize(a *args) *step {
	t := a.rounded()
	norm := a.choice("norm", false, "l1", "l2", "max")
	return newRows(a, t, func(x, y []float64) {
		by, most := 0.0, 0.0
		for _, v := range x {
			by += math.Abs(v)
			most = larger(most, math.Abs(v))
		}
		if norm == "l2" {
			by = math.Sqrt(dot(x, x))
		}
		by = rounded(by, t.dtype)
		if norm == "max" {
			by = most
		}
		for j, v := range x {
			y[j] = v
			if by != 0 {
				y[j] = v / by
			}
		}
	})
}

// reduce is one number per row, or over some axes; f32 is computed in f64 and rounded.
func reduce(a *args) *step {
	t := a.rounded()
	fn := a.choice("fn", false, "sum", "prod", "mean", "min", "max", "l2", "logsumexp", "argmax", "argmin")
	largest, position := fn != "min" && fn != "argmin", fn == "argmax" || fn == "argmin"
	keep, given, axes := a.flag("keep", false), a.has("axes"), []int{}
	if given {
		axes = a.ints("axes", -1, 0, t.rank-1)
	} else if t.rank == 1 {
		axes = []int{0}
	}
	good := given && len(axes) > 0 || !given && t.rank < 2
	for k := 1; k < len(axes); k++ {
		good = good && axes[k] > axes[k-1] && !position
	}
	a.need(good && t.width > 0, "reduces %s over the axes %s; ascending axes (one for argmax, argmin) are needed.", t, listed(axes))
	offsets, dims := make([][]int, t.rank), []int{} // of the axes that stay, then of those that are reduced
	reducedSoFar := 0
	for axis := 0; axis < t.rank; axis++ {
		if reducedSoFar < len(axes) && axes[reducedSoFar] == axis {
			offsets[t.rank-len(axes)+reducedSoFar] = t.along(axis, t.dims[axis])
			reducedSoFar++
			if keep {
				dims = append(dims, 1)
			}
			continue
		}
		offsets[axis-reducedSoFar] = t.along(axis, t.dims[axis])
		dims = append(dims, t.dims[axis])
	}
	if keep && t.rank == 0 {
		dims = []int{1}
	}
	var order []int
	if len(axes) > 0 && axes[0] != t.rank-len(axes) {
		order = places(a.g, offsets)
	}
	typ := newType(a.dtype, dims...)
	if position {
		typ = typ.with(I64)
	}
	w := t.width / typ.width
	if fn == "logsumexp" {
		a.multiplies(t.width, costly)
	}
	return newStep(a, typ, func(s *step, f *frame) data {
		x, out := s.floats(f, 0), f.allocate(typ.dtype, f.rows*typ.width)
		if order != nil {
			given := x
			x = make([]float64, len(given))
			for r := 0; r < len(x); r += t.width {
				for k, at := range order {
					x[r+k] = given[r+at]
				}
			}
		}
		for k := 0; k < f.rows*typ.width; k++ {
			if part := x[k*w : (k+1)*w]; position {
				out.n[k] = int64(extreme(part, largest))
			} else {
				out.f[k] = rounded(reduced(fn, part, part[extreme(part, largest)]), typ.dtype)
			}
		}
		return out
	})
}

// reduced is one number of x, of which m is the largest or smallest.
func reduced(fn string, x []float64, m float64) float64 {
	sum, product := 0.0, 1.0
	switch fn {
	case "min", "max":
		return m
	case "l2":
		return math.Sqrt(dot(x, x))
	case "logsumexp":
		if math.IsInf(m, 0) {
			return m
		}
		for _, v := range x {
			sum += exp(v - m)
		}
		return m + log(sum)
	}
	for _, v := range x {
		sum += v
		product *= v
	}
	if fn == "mean" {
		return sum / float64(len(x))
	} else if fn == "prod" {
		return product
	}
	return sum
}

// twoClass (two_class) is [1 - p, p].
func twoClass(a *args) *step {
	a.need(a.rounded().width == 1, "reads %s; one probability per row is needed.", a.types[0])
	return newRows(a, rowOf(a.dtype, 2), func(x, y []float64) { y[0], y[1] = 1-x[0], x[0] })
}

// take gives table rows by index.
func take(a *args) *step {
	x := a.one(integers)
	table := a.tensor("table", anyDType, 1, 2)
	w, n, typ := table.Width(), table.shape[0], x.with(table.DType)
	if len(table.shape) == 2 {
		a.need(x.width == 1, "reads %s with a table of rows; one index per row is needed.", x)
		typ = rowOf(table.DType, int64(w))
	}
	return newStep(a, typ, func(s *step, f *frame) data {
		return s.move(f, table.data, data{}, func(k int) int {
			index := f.values[s.in[0]].n[k/w]
			if index < 0 || index >= int64(n) {
				panic(s.refuse(f, k/typ.width, "the index %d lies outside the table of %d entries.", index, n))
			}
			return int(index)*w + k%w
		})
	})
}

// poly gives products of powers of columns, multiplied from the last factor to the first.
func poly(a *args) *step {
	x := a.rounded()
	matrix := a.fitting("powers", a.integers("powers", 2), x)
	powers := a.narrow("powers", matrix, 0, 255)
	for _, power := range powers {
		a.work += float64(power)
	}
	return newRows(a, rowOf(a.dtype, int64(matrix.shape[0])), func(given, y []float64) {
		for k := range y {
			product := 1.0
			for j := x.width - 1; j >= 0; j-- {
				for times := powers[k*x.width+j]; times > 0; times-- {
					product = rounded(product*given[j], x.dtype)
				}
			}
			y[k] = product
		}
	})
}

// interp is piecewise linear through the knots (x, y).
func interp(a *args) *step {
	t := a.rounded()
	x := a.floats("x", -1)
	y, outside, last := a.floats("y", len(x)), a.choice("outside", false, "clip", "nan", "extend"), len(x)-1
	a.need(last > 0 || last == 0 && outside != "extend", "has too few knots in \"x\"; one is needed, two to extend a line.")
	for k := range x {
		finite := math.Abs(x[k]) <= math.MaxFloat64 && math.Abs(y[k]) <= math.MaxFloat64
		a.need(finite && (k == 0 || x[k] > x[k-1]), "has a knot at position %d that is not finite, or not above the one before it.", k)
	}
	value := func(v float64) float64 {
		switch beyond := v < x[0] || v > x[last]; {
		case v != v:
			return v
		case v == x[last]:
			return y[last]
		case beyond && outside == "nan":
			return math.NaN()
		case beyond && outside == "clip" && v < x[0]:
			return y[0]
		case beyond && outside == "clip":
			return y[last]
		}
		k := min(max(count(x, 0, last+1, v, true)-1, 0), last-1)
		slope := rounded(rounded(y[k+1]-y[k], t.dtype)/rounded(x[k+1]-x[k], t.dtype), t.dtype)
		return rounded(float64(slope*rounded(v-x[k], t.dtype)), t.dtype) + y[k]
	}
	a.multiplies(t.width, costly)
	return newRows(a, t, func(given, out []float64) {
		for j, v := range given {
			out[j] = value(v)
		}
	})
}

// gaussianLl (gaussian_ll) is log_prior - sum(log(2 pi var)) / 2 - sum((x - mean)^2 / var) / 2.
func gaussianLl(a *args) *step {
	t := a.rounded()
	means, variances := a.matrix("mean", t), a.matrix("var", t)
	classes := means.shape[0]
	a.expect("var", variances.shape[0], classes)
	mean, variance, prior, base := means.data.f, variances.data.f, a.optional("log_prior", a.dtype, classes), make([]float64, classes)
	for k := range base {
		sum := 0.0
		for j := 0; j < t.width; j++ {
			sum += log(2 * math.Pi * variance[k*t.width+j])
		}
		if prior != nil {
			base[k] = prior[k]
		}
		base[k] -= float64(0.5 * sum)
	}
	a.multiplies(classes, t.width+costly)
	return newRows(a, rowOf(a.dtype, int64(classes)), func(x, y []float64) {
		for k := range y {
			sum := 0.0
			for j, v := range x {
				d := v - mean[k*t.width+j]
				sum += float64(d*d) / variance[k*t.width+j]
			}
			y[k] = base[k] - float64(0.5*sum)
		}
	})
}
