// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

// Package modelport runs modelport JSON artifacts, format 1 (docs/format.md), without any machine-learning framework: the standard library
// of Go 1.19 or later only, without cgo, network or file system. Paste modelport.go, modelport_values.go, modelport_ops.go and
// modelport_trees.go into a folder of your module.
//
//	model, err := modelport.Load(document) // replays the vectors that the artifact carries
//	outputs, err := model.Predict([][]float64{{5.1, 3.5}})
//	p := outputs["probability"].Matrix()
//
// Sections: 1 Errors, 2 JSON, 3 Tensors, 4 Special functions (modelport_values.go), 5 Ops (modelport_ops.go), 6 Trees (modelport_trees.go),
// 7 Model (this file). Floats of both dtypes are held in []float64 (an f32 is a float64 that a float32 can hold), integers and booleans in
// []int64, strings in []*string, where nil is missing; arrays are row-major. Products are converted to float64 before they are added, so that
// no compiler fuses the two.
package modelport

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Load reads a document (UTF-8) and replays the vectors it carries; it gives an error when one answer differs from the original model's.
func Load(document []byte) (*Model, error) { return LoadWith(document, Options{}) }

// LoadString reads a document from a string.
func LoadString(document string) (*Model, error) { return Load([]byte(document)) }

// LoadFrom reads a document from a reader, not more of it than a document may have.
func LoadFrom(r io.Reader) (*Model, error) {
	most := DefaultLimits().DocumentBytes
	document, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	return Load(document)
}

// Options are the caller's terms for LoadWith.
type Options struct {
	SkipReplay bool    // the vectors are only read, and a document may carry none
	Limits     *Limits // nil: DefaultLimits()
	Threads    int     // how many goroutines may share a large batch, with the same bits: 0 as many as GOMAXPROCS, 1 only the caller's
}

// LoadWith loads under the caller's terms.
func LoadWith(document []byte, options Options) (model *Model, err error) {
	defer catch(&err)
	limits := DefaultLimits()
	if options.Limits != nil {
		limits = *options.Limits
	}
	g := &guard{limits: &limits, left: limits.Memory}
	loaded := newModel(parse(document, "The document", g), g)
	loaded.threads = options.Threads
	loaded.limitOperations(len(document), g.longest)
	if !options.SkipReplay {
		for _, check := range loaded.replayCarried() {
			if !check.Passed {
				panic(&Mismatch{check.Sentence})
			}
		}
	}
	return loaded, nil
}

// Limits say what a document may cost at most (docs/format.md, section 5).
type Limits struct {
	DocumentBytes, TensorElements, RowElements, TotalRowElements, Multiplications int64
	Work                                                                          int64 // operations of a replay, and 4,096 for every byte of the document
	Depth, Steps, Rank, CarriedRows                                               int
	Memory                                                                        int64 // bytes that one load or one prediction may hold
}

// DefaultLimits returns the limits of Load: those of the format, and 4 GB of memory (1 GB where an int has 32 bits).
func DefaultLimits() Limits {
	memory := int64(4 << 30)
	if strconv.IntSize == 32 {
		memory = 1 << 30
	}
	return Limits{DocumentBytes: 512 << 20, TensorElements: 1 << 28, RowElements: 1 << 22, TotalRowElements: 1 << 25,
		Multiplications: 1 << 34, Work: 1 << 30, Depth: 16, Steps: 10000, Rank: 6, CarriedRows: 4096, Memory: memory}
}

// A guard holds the limits of one load or prediction, and what is left of its memory: asked before anything large is allocated.
type guard struct {
	limits  *Limits
	left    int64
	longest int // code points of the longest string among the elements that were read
}

// measure remembers how long an element is.
func (g *guard) measure(s *string) {
	if s != nil && len(*s) > g.longest {
		if n := utf8.RuneCountInString(*s); n > g.longest {
			g.longest = n
		}
	}
}

func (g *guard) take(bytes int64) {
	if bytes < 0 || bytes > g.left {
		panic(refused("More than the %d MB of memory that this reader may use would be needed; raise Limits.Memory.", g.limits.Memory>>20))
	}
	g.left -= bytes
}

// ==== 7 Model ========================================================================================================

// An Axis is the length of one axis of a row or, where that is known only when rows come, its name.
type Axis struct {
	Name   string
	Length int
}

func (x Axis) String() string {
	if x.Name != "" {
		return x.Name
	}
	return strconv.Itoa(x.Length)
}

func (x Axis) spell() string {
	if x.Name != "" {
		return spellString(x.Name)
	}
	return strconv.Itoa(x.Length)
}

// An Input is one input of a model.
type Input struct {
	Name     string
	DType    DType
	Shape    []Axis   // of one row
	Missing  string   // "error": NaN and nil are refused; "nan" or "null": accepted
	Features []string // the names of a matrix's columns, or nil
	where    string   // how a sentence names it
}

func (in *Input) rowType(lengths map[string]int) *rowType {
	dims := make([]int, len(in.Shape))
	for k, axis := range in.Shape {
		dims[k] = axis.Length
		if axis.Name != "" {
			dims[k] = lengths[axis.Name]
		}
	}
	return newType(in.DType, dims...)
}

// fit refuses rows of another shape; learns the named lengths that are not known yet.
func (in *Input) fit(where string, given DType, shape []int, lengths map[string]int) {
	fits := given == in.DType && len(shape) == len(in.Shape)+1
	for k := 1; fits && k < len(shape); k++ {
		axis := in.Shape[k-1]
		length, known := lengths[axis.Name]
		switch {
		case axis.Name == "":
			fits = shape[k] == axis.Length
		case known:
			fits = shape[k] == length
		case shape[k] > 0:
			lengths[axis.Name] = shape[k]
		default:
			fits = false
		}
	}
	if !fits {
		panic(refused("%s is %s%s; rows of %s%s are needed, where named lengths are %s.", where, given, listed(shape), in.DType, listed(in.Shape),
			spellLengths(lengths)))
	}
}

// An Output is one output of a model.
type Output struct {
	Name    string
	DType   DType
	Shape   []Axis // of one row, for the example lengths; where a length is that of an input, its name
	Role    string // prediction, probability, score, transform, cluster or anomaly
	Classes []any  // the names of the last axis (string, int64 or bool), or nil
	slot    int
}

// A Check says how one output compared with the vectors; the sentence says what differs first, or how far the worst element is off.
type Check struct {
	Output   string
	Passed   bool
	Sentence string
}

// spellLengths spells lengths by name, in order: also the key under which plans are kept.
func spellLengths(lengths map[string]int) string {
	words := []string{}
	for _, name := range sortedKeys(lengths) {
		words = append(words, fmt.Sprintf("%s: %d", spellString(name), lengths[name]))
	}
	return "{" + strings.Join(words, ", ") + "}"
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// A plan has the steps, checked for given lengths, and how long each value is needed.
type plan struct {
	types            []*rowType // of every value: the inputs, then the steps
	steps            []*step
	slots            map[string]int
	free             [][]int // the values that no step after this one needs
	peak             int64   // the most elements of a row that are held at a time
	limits           *Limits
	rowElements      int64
	work, operations float64   // of a row: multiplications, and those with the elements that steps read and define
	strings          float64   // of a row: that steps read, define or search
	frames           sync.Pool // of frames, which are kept from one prediction to the next
}

func newPlan(m *Model, lengths map[string]int, list []*node, g *guard) *plan {
	p := &plan{slots: map[string]int{}, limits: g.limits}
	for _, in := range m.inputs {
		p.define(in.Name, in.rowType(lengths), "Input "+quote(in.Name))
	}
	unused := map[string]bool{}
	for _, op := range m.requires {
		unused[op] = true
	}
	need(len(list) <= g.limits.Steps, "The document has %d steps, more than the limit of %d.", len(list), g.limits.Steps)
	for k, j := range list {
		number := "Step " + strconv.Itoa(k)
		op, out := j.need("op", number).text(number+" op"), j.need("out", number).text(number+" out")
		where := "Step " + quote(out) + " (" + op + ")"
		need(out != "", "%s has an empty \"out\"; name its value.", number)
		need(contains(m.requires, op), "%s has the op %s, which \"requires\" does not list.", number, quote(op))
		delete(unused, op)
		s := p.step(m, op, where, j, g)
		p.work += s.work
		p.operations, p.strings = p.operations+s.work, p.strings+s.strings
		for _, t := range append([]*rowType{s.typ}, s.from...) {
			p.operations += float64(moved * t.counted)
			if t.dtype == Str {
				p.strings += float64(t.counted)
			}
		}
		need(p.work <= float64(g.limits.Multiplications), "%s brings a row beyond the limit of %d multiplications.",
			where, g.limits.Multiplications)
		p.define(out, s.typ, where)
		p.steps = append(p.steps, s)
	}
	for op := range unused {
		panic(refused("The document requires %s and uses it in no step; list the ops that are used.", quote(op)))
	}
	return p
}

// step checks a step; what attributes have become is kept for other lengths, and so is a step that reads what it read before.
func (p *plan) step(m *Model, op, where string, j *node, g *guard) *step {
	names := j.need("in", where).strings(where+" in", g)
	in, from := make([]int, len(names)), make([]*rowType, len(names))
	for k, name := range names {
		slot, defined := p.slots[name]
		need(defined, "%s reads %s, which no input and no earlier step defines.", where, quote(name))
		in[k], from[k] = slot, p.types[slot]
	}
	if known, ok := m.memo[j].(*step); ok {
		same := true
		for k, t := range known.from {
			same = same && t.same(from[k])
		}
		if same {
			return known
		}
	}
	a := &args{op: op, where: where, in: in, types: from, g: g, json: j, memo: m.memo, read: map[string]bool{}}
	s := table[op](a)
	a.finish()
	if m.memo != nil {
		m.memo[j] = s
	}
	return s
}

// define gives a value its name, and holds it against the limits on row elements.
func (p *plan) define(value string, t *rowType, where string) {
	p.rowElements += int64(t.counted)
	need(int64(t.counted) <= p.limits.RowElements && t.rank <= p.limits.Rank && p.rowElements <= p.limits.TotalRowElements,
		"%s brings a row to more elements than the limit: %d in one value, %d in all, or has a rank above %d.",
		where, p.limits.RowElements, p.limits.TotalRowElements, p.limits.Rank)
	_, defined := p.slots[value]
	need(!defined, "%s defines a name a second time; every name is defined once.", where)
	p.slots[value] = len(p.types)
	p.types = append(p.types, t)
}

// release finds out when values are no longer needed: those that no output gives, after the last step that reads them.
func (p *plan) release(outputs []*Output) {
	last, inputs := make([]int, len(p.types)), len(p.types)-len(p.steps)
	for k, s := range p.steps {
		last[inputs+k] = k
		for _, slot := range s.in {
			last[slot] = k
		}
	}
	p.free = make([][]int, len(p.steps))
	for _, o := range outputs {
		last[o.slot] = len(p.steps)
	}
	for slot, k := range last {
		if k < len(p.steps) {
			p.free[k] = append(p.free[k], slot)
		}
	}
	held := int64(0)
	for slot, t := range p.types {
		held += int64(t.width)
		p.peak = max(p.peak, held)
		if slot >= inputs {
			for _, gone := range p.free[slot-inputs] {
				held -= int64(p.types[gone].width)
			}
		}
	}
}

// A Model is a loaded model. It is immutable, and safe for use by several goroutines.
type Model struct {
	inputs   []*Input
	outputs  []*Output
	lengths  map[string]int    // the examples of the named ones
	owners   map[string]*Input // of a feature's name, and of an input's own
	requires []string
	name     string
	limits   Limits
	threads  int
	overlap  bool // two inputs have a feature of the same name, or one is called as another's feature
	carried  *vectors
	plan     *plan // for the examples

	mutex  sync.Mutex
	source []*node       // the steps, and what they have become, where lengths are named; or nil
	memo   map[*node]any // guarded by mutex, as are plans
	plans  map[string]*plan
	recent []string // keys of plans, the least recently used first
}

const blockElements, blockRows, mostPlans = 1 << 22, 1 << 11, 16
const threadRows, threadWork = 512, 1 << 22 // what is worth a goroutine: rows, or multiplications

var roles = []string{"prediction", "probability", "score", "transform", "cluster", "anomaly"}

// newModel checks a parsed document: header, inputs, steps, outputs, vectors.
func newModel(root *node, g *guard) *Model {
	m := &Model{limits: *g.limits, lengths: map[string]int{}, owners: map[string]*Input{}, plans: map[string]*plan{}}
	m.requires = header(root, g)
	if name := root.get("name"); name != nil && name.kind == '"' {
		m.name = name.text("The document's name")
	}
	if lengths := root.get("lengths"); lengths != nil {
		for _, key := range lengths.object("The document's lengths").keys {
			where := "The length " + quote(key)
			length := lengths.get(key).scalar(where).integer(I64)
			need(length >= 1 && length <= 1<<20, "%s is %d; it is 1 to 2^20.", where, length)
			m.lengths[key] = int(length)
		}
	}
	named := map[string]int{}
	for _, j := range list(root, "inputs") {
		m.inputs = append(m.inputs, m.input(j, named, g))
	}
	need(strings.Join(sortedKeys(named), "\x00") == strings.Join(sortedKeys(m.lengths), "\x00") && (root.get("lengths") == nil || len(named) > 0),
		"The document has lengths for %s; its inputs name %s.", listed(sortedKeys(m.lengths)), listed(sortedKeys(named)))
	for _, in := range m.inputs {
		for _, feature := range in.Features {
			m.overlap = m.overlap || m.owners[feature] != nil
			m.owners[feature] = in
		}
	}
	for _, in := range m.inputs {
		m.overlap = m.overlap || m.owners[in.Name] != nil
		m.owners[in.Name] = in
	}
	steps := list(root, "steps")
	if len(named) > 0 {
		m.source, m.memo = steps, map[*node]any{}
	}
	m.plan = newPlan(m, m.lengths, steps, g)
	names := map[string]bool{}
	for _, j := range list(root, "outputs") {
		m.outputs = append(m.outputs, m.output(j, names, g))
	}
	m.plan.release(m.outputs)
	g.take(16 * m.plan.peak)
	for _, length := range sortedKeys(m.lengths) {
		m.nameAxes(length, &guard{limits: g.limits, left: g.left})
	}
	if root.get("verification") != nil {
		m.carried = newVectors(root.get("verification"), m, g.limits.CarriedRows, g)
	}
	return m
}

// limitOperations refuses rows that take too long to replay, for a document of so many bytes whose longest string has so many code points.
func (m *Model) limitOperations(bytes, longest int) {
	if m.carried == nil {
		return
	}
	most := float64(m.limits.Work) + float64(4096*float64(bytes))
	all := m.carried.operations + float64(m.carried.strings*float64(longest))
	need(all <= most,
		"Replaying the carried rows takes %.0f operations, more than the limit of %.0f (%d, and 4096 for every byte of the document).",
		all, most, m.limits.Work)
}

// nameAxes gives the axes of outputs that are as long as a named length, and grow with it, its name.
func (m *Model) nameAxes(length string, g *guard) {
	longer := map[string]int{}
	for name, n := range m.lengths {
		longer[name] = n
	}
	longer[length]++
	other, err := attempt(func() *plan { return newPlan(m, longer, m.source, g) })
	if err != nil { // no other length fits
		return
	}
	for _, o := range m.outputs {
		dims := other.types[o.slot].dims
		for k := range o.Shape {
			if k < len(dims) && o.Shape[k].Name == "" && o.Shape[k].Length == m.lengths[length] && dims[k] == longer[length] {
				o.Shape[k] = Axis{Name: length}
			}
		}
	}
}

// attempt makes a plan, or gives the refusal.
func attempt(make func() *plan) (p *plan, refusal *Refused) {
	defer func() {
		if thrown := recover(); thrown != nil {
			found, ok := thrown.(*Refused)
			if !ok {
				panic(thrown)
			}
			refusal = found
		}
	}()
	return make(), nil
}

// planFor is the plan for given lengths.
func (m *Model) planFor(given map[string]int, g *guard) *plan {
	same := true
	for name, length := range m.lengths {
		same = same && given[name] == length
	}
	if same {
		return m.plan
	}
	key := spellLengths(given)
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for k, known := range m.recent {
		if known == key {
			m.recent = append(append(m.recent[:k:k], m.recent[k+1:]...), key)
			return m.plans[key]
		}
	}
	before := g.left
	found, refusal := attempt(func() *plan { return newPlan(m, given, m.source, g) })
	need(refusal == nil, "Rows with the lengths %s do not fit: %v", key, refusal)
	found.release(m.outputs)
	if before-g.left > m.limits.Memory/mostPlans/8 {
		return found
	}
	if len(m.recent) == mostPlans {
		delete(m.plans, m.recent[0])
		m.recent = m.recent[1:]
	}
	m.plans[key] = found
	m.recent = append(m.recent, key)
	return found
}

// header checks format, version and ops; returns the ops.
func header(root *node, g *guard) []string {
	const the = "The document"
	format := root.need("format", the).text("The document's format")
	need(format == "modelport", "The document has the format %s; this reader reads \"modelport\".", quote(format))
	version := root.need("version", the).text("The document's version")
	major, minor, _ := strings.Cut(version, ".")
	need(strings.Trim(major, "0123456789") == "" && strings.Trim(minor, "0123456789") == "" && major != "" && minor != "",
		"The document has the version %s; it is \"1.\" and a decimal number.", quote(version))
	if major != "1" {
		panic(&Unsupported{"The document has the version " + quote(version) + "; this reader reads version 1."})
	}
	requires := root.need("requires", the).strings("The document's requires", g)
	seen, unknown := map[string]bool{}, []string{}
	for _, op := range requires {
		need(!seen[op], "The document requires %s twice; every op is listed once.", quote(op))
		seen[op] = true
		if table[op] == nil && len(unknown) < 50 {
			unknown = append(unknown, quote(op))
		}
	}
	if len(unknown) > 0 {
		panic(&Unsupported{"The document requires ops that this reader does not have: " + strings.Join(unknown, ", ") + "."})
	}
	root.only(the, "format", "version", "requires", "lengths", "inputs", "steps", "outputs", "verification")
	return requires
}

func list(root *node, key string) []*node {
	items := root.need(key, "The document").objects("The document's " + key)
	need(len(items) > 0 || key == "steps", "The document has no %s; at least one is needed.", key)
	return items
}

func (m *Model) input(j *node, named map[string]int, g *guard) *Input {
	number := "Input " + strconv.Itoa(len(m.inputs))
	in := &Input{Name: j.need("name", number).text(number + " name"), Missing: "error", Shape: []Axis{}}
	where := "Input " + quote(in.Name)
	in.where = where
	j.only(where, "dtype", "shape", "missing", "features")
	in.DType = dtypeNamed(j.need("dtype", where).text(where+" dtype"), where)
	shape, good := j.need("shape", where), in.Name != ""
	good = good && contains([]DType{F64, F32, I64, Bool, Str}, in.DType)
	for c := shape.elements(where + " shape"); c.next() && shape.count <= g.limits.Rank; {
		axis := Axis{}
		if c.kind() == '"' {
			axis.Name = *c.text(false)
			named[axis.Name]++
			good = good && axis.Name != ""
		} else {
			length := c.integer(I64)
			axis.Length = clamp(length)
			good = good && length >= 0
		}
		in.Shape = append(in.Shape, axis)
	}
	need(good && shape.count <= g.limits.Rank, "%s is %s%s; a name, f64, f32, i64, bool or str, and a shape of lengths and names are needed.",
		where, in.DType, listed(in.Shape))
	if j.get("missing") != nil {
		in.Missing = j.get("missing").text(where + " missing")
	}
	need(in.Missing == "error" || in.Missing == "nan" && in.DType.IsFloat() || in.Missing == "null" && in.DType == Str,
		"%s has missing %s; it is \"error\", or \"nan\" for floats, or \"null\" for str.", where, quote(in.Missing))
	if j.get("features") != nil {
		in.Features = j.get("features").strings(where+" features", g)
		different, n := map[string]bool{}, len(in.Features)
		for _, feature := range in.Features {
			different[feature] = true
		}
		need(len(in.Shape) == 1 && in.Shape[0] == Axis{Length: n} && len(different) == n,
			"%s has %d features for %s%s; a matrix has one for each column, all different.", where, n, in.DType, listed(in.Shape))
	}
	return in
}

func (m *Model) output(j *node, names map[string]bool, g *guard) *Output {
	number := "Output " + strconv.Itoa(len(m.outputs))
	o := &Output{Name: j.need("name", number).text(number + " name"), Shape: []Axis{}}
	where := "Output " + quote(o.Name)
	j.only(where, "from", "dtype", "role", "classes")
	source := j.need("from", where).text(where + " from")
	o.Role = j.need("role", where).text(where + " role")
	o.DType = dtypeNamed(j.need("dtype", where).text(where+" dtype"), where)
	slot, defined := m.plan.slots[source]
	need(defined, "%s comes from %s, which is not defined.", where, quote(source))
	t := m.plan.types[slot]
	need(t.dtype == o.DType, "%s comes from %s, which is %s.", where, quote(source), t)
	need(o.Name != "" && !names[o.Name] && contains(roles, o.Role),
		"%s has an empty name, that of another output, or the unknown role %s; roles are %s.", where, quote(o.Role), listed(roles))
	names[o.Name] = true
	o.slot = slot
	if j.get("classes") != nil {
		o.Classes = readClasses(j.get("classes"), where, g)
		need(t.rank == 0 || len(o.Classes) == t.last, "%s has %d classes for %s; they name its last axis.", where, len(o.Classes), t)
	}
	for _, length := range t.dims {
		o.Shape = append(o.Shape, Axis{Length: length})
	}
	return o
}

func readClasses(j *node, where string, g *guard) []any {
	classes, kinds := []any{}, map[string]bool{}
	g.take(64*int64(j.count) + 2*int64(j.end-j.start))
	for c := j.elements(where + " classes"); c.next(); {
		var class any
		switch c.kind() {
		case 't', 'f':
			class = c.boolean() == 1
		case '0':
			class = c.integer(I64)
		default:
			class = *c.text(false)
		}
		classes = append(classes, class)
		kinds[fmt.Sprintf("%T", class)] = true
		need(len(kinds) == 1, "%s has classes of several kinds; they are all strings, all integers or all booleans.", where)
	}
	return classes
}

// Inputs returns the inputs.
func (m *Model) Inputs() []Input {
	all := make([]Input, len(m.inputs))
	for k, in := range m.inputs {
		all[k] = *in
	}
	return all
}

// Outputs returns the outputs.
func (m *Model) Outputs() []Output {
	all := make([]Output, len(m.outputs))
	for k, o := range m.outputs {
		all[k] = *o
	}
	return all
}

// Requires returns the ops that the model uses.
func (m *Model) Requires() []string { return append([]string{}, m.requires...) }

// Outputs are predictions by the name of the output; the batch axis comes first.
type Outputs map[string]*Tensor

// Predict predicts rows of a model that has one input: a [][]float64, a *Tensor of any shape, or whatever else PredictColumns takes.
func (m *Model) Predict(rows any) (Outputs, error) {
	if len(m.inputs) != 1 {
		return nil, refused("The model has %d inputs; give them by name.", len(m.inputs))
	}
	return m.PredictColumns(map[string]any{m.inputs[0].Name: rows})
}

// PredictColumns predicts columns by name: for each input a *Tensor, a slice, a matrix or deeper slices, or []any, in which nil is missing.
// A matrix with features may be given as one column for each feature instead. Integers and booleans are accepted where floats are expected.
func (m *Model) PredictColumns(columns map[string]any) (outputs Outputs, err error) {
	defer catch(&err)
	return m.predict(columns), nil
}

func (m *Model) predict(columns map[string]any) Outputs {
	bound, rows, used := make([]data, len(m.inputs)), -1, 0
	var given map[string]int
	if len(m.lengths) > 0 {
		given = map[string]int{}
	}
	for k, in := range m.inputs {
		value, present := columns[in.Name]
		var t *Tensor
		if !present && in.Features != nil {
			t = gather(in, columns)
			used += len(in.Features)
		} else {
			t = bind(in, value, present, given)
			used++
		}
		if rows >= 0 && t.Rows() != rows {
			panic(refused("%s has %d rows, those before it have %d; give equally many.", in.where, t.Rows(), rows))
		}
		rows = t.Rows()
		bound[k] = t.data
		if in.Missing == "error" {
			refuseMissing(in, t)
		}
	}
	if used != len(columns) || m.overlap {
		m.refuseUnused(columns)
	}
	for length, n := range m.lengths {
		if _, known := given[length]; !known { // there are no rows
			given[length] = n
		}
	}
	g := &guard{limits: &m.limits, left: m.limits.Memory}
	return m.evaluate(m.planFor(given, g), bound, rows, g)
}

// PredictRow predicts one row: a value for each input of one column, for each feature or element of a wider one, in the order of the model.
func (m *Model) PredictRow(values ...any) (outputs Outputs, err error) {
	defer catch(&err)
	need(int64(len(values)) == m.rowWidth(), "The row has %d values; %d are needed: one for each column of the model.", len(values), m.rowWidth())
	return m.predictOne(func(in *Input, k int) any {
		value := values[0]
		values = values[1:]
		return value
	}), nil
}

// PredictRecord predicts one record: a map from the name of an input of one column, or of a feature, to its value or nil.
func (m *Model) PredictRecord(record map[string]any) (outputs Outputs, err error) {
	defer catch(&err)
	used := 0
	find := func(in *Input, k int) any {
		key := in.Name
		if in.Features != nil {
			key = in.Features[k]
		}
		value, present := record[key]
		need(present, "A record lacks %s; nil is a missing value.", quote(key))
		used++
		return value
	}
	m.needRecords()
	outputs = m.predictOne(find)
	if used != len(record) || m.overlap {
		m.refuseUnknown(record)
	}
	return outputs, nil
}

// rowWidth is the number of values in a row: of elements of all inputs.
func (m *Model) rowWidth() int64 {
	width := int64(0)
	for _, in := range m.inputs {
		one := int64(1)
		for _, axis := range in.Shape {
			need(axis.Name == "", "Input %s has the length %s, which is known only when rows come; give a tensor.", quote(in.Name), quote(axis.Name))
			one *= int64(axis.Length)
		}
		width += one
	}
	return width
}

// predictOne predicts one row of the values that `value` gives: of every input all elements, in order.
func (m *Model) predictOne(value func(in *Input, k int) any) Outputs {
	columns := make(map[string]any, len(m.inputs))
	for _, in := range m.inputs {
		shape := []int{1}
		for _, axis := range in.Shape {
			shape = append(shape, axis.Length)
		}
		d := in.DType.allocate(newType(in.DType, shape...).width)
		for k, n := 0, d.size(); k < n; k++ {
			given := value(in, k)
			if number, ok := given.(float64); ok && in.DType == F64 {
				d.f[k] = number
				continue
			}
			where := in.where
			if in.Features != nil {
				where = "Column " + quote(in.Features[k])
			}
			put(d.part(k, 1), 0, given, in.DType, where)
		}
		columns[in.Name] = newTensor(in.DType, d, shape...)
	}
	return m.predict(columns)
}

// needRecords refuses what records cannot name: the columns of a matrix without features.
func (m *Model) needRecords() {
	for _, in := range m.inputs {
		one := len(in.Shape) == 0 || len(in.Shape) == 1 && in.Shape[0].Length == 1
		need(in.Features != nil || one, "Input %s is a matrix without features; records cannot name its columns.", quote(in.Name))
	}
}

// refuseUnknown refuses the first field, by name, that is not one of the model's columns.
func (m *Model) refuseUnknown(record map[string]any) {
	for _, key := range sortedKeys(record) {
		known := false
		for _, in := range m.inputs {
			known = known || in.Features == nil && key == in.Name || contains(in.Features, key)
		}
		need(known, "The column %s of a record is not one of the model's; remove it.", quote(key))
	}
}

// PredictRecords predicts records: one map for each row, from the name of an input of one column, or of a feature, to its value or nil.
func (m *Model) PredictRecords(records []map[string]any) (outputs Outputs, err error) {
	defer catch(&err)
	m.needRecords()
	columns := map[string]any{}
	for _, in := range m.inputs {
		if in.Features == nil {
			columns[in.Name] = []any{}
		}
		for _, feature := range in.Features {
			columns[feature] = []any{}
		}
	}
	for _, record := range records {
		for _, key := range sortedKeys(record) {
			_, known := columns[key]
			need(known, "The column %s of a record is not one of the model's; remove it.", quote(key))
		}
		for key, cells := range columns {
			value, present := record[key]
			need(present, "A record lacks %s; nil is a missing value.", quote(key))
			columns[key] = append(cells.([]any), value)
		}
	}
	return m.predict(columns), nil
}

// refuseUnused refuses the first column, by name, that no input has taken.
func (m *Model) refuseUnused(columns map[string]any) {
	for _, key := range sortedKeys(columns) {
		taken := false
		for _, in := range m.inputs {
			_, whole := columns[in.Name]
			taken = taken || key == in.Name || !whole && contains(in.Features, key)
		}
		need(taken, "The input %s is not one of the model's; remove it.", quote(key))
	}
}

// gather makes a matrix from one column per feature.
func gather(in *Input, columns map[string]any) *Tensor {
	w, rows := len(in.Features), 0
	parts := make([]data, w)
	for j, key := range in.Features {
		where := "Column " + quote(key)
		value, present := columns[key]
		need(present, "%s is missing, and so is its column %s; give one value per row.", in.where, quote(key))
		t := tensorFrom(value, in.DType, where)
		if j == 0 {
			rows = t.Rows()
		}
		need(t.data.size() == rows && t.Rows() == rows, "%s has %d values; %d rows are given before it.", where, t.data.size(), rows)
		parts[j] = t.as(in.DType, where)
	}
	matrix := in.DType.allocate(elements(int64(rows), int64(w)))
	for j, part := range parts {
		for r := 0; r < rows; r++ {
			matrix.copy(r*w+j, part, r, 1)
		}
	}
	return newTensor(in.DType, matrix, rows, w)
}

func bind(in *Input, given any, present bool, lengths map[string]int) *Tensor {
	if !present || given == nil {
		panic(refused("%s is missing; give one value per row.", in.where))
	}
	t := tensorFrom(given, in.DType, in.where)
	column := len(t.shape) == 1 && len(in.Shape) == 1 && in.Shape[0] == Axis{Length: 1}
	none := len(t.shape) > 1 && t.shape[0] == 0 && len(in.Shape) > 0
	if !column && !none {
		in.fit(in.where, in.DType, t.shape, lengths)
	}
	if t.DType == in.DType {
		return t
	}
	return newTensor(in.DType, t.as(in.DType, in.where), t.shape...)
}

func refuseMissing(in *Input, t *Tensor) {
	for k, v := range t.data.f {
		if v != v {
			panic(refused("Input %s has a missing value in row %d; it is not accepted.", quote(in.Name), k/t.Width()))
		}
	}
	for k, s := range t.data.s {
		if s == nil {
			panic(refused("Input %s has a missing value in row %d; it is not accepted.", quote(in.Name), k/t.Width()))
		}
	}
}

// evaluate runs the steps block by block, so that memory stays bounded; blocks are shared by goroutines when there are many rows.
func (m *Model) evaluate(p *plan, bound []data, rows int, g *guard) Outputs {
	result := Outputs{}
	for _, o := range m.outputs {
		t := p.types[o.slot]
		n := elements(int64(rows), int64(t.width))
		g.take(8 * int64(n))
		result[o.Name] = newTensor(o.DType, o.DType.allocate(n), t.shape(rows)...)
	}
	block := int(max(1, min(blockRows, min(blockElements, m.limits.Memory/64)/max(1, p.peak))))
	threads := m.threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	threads = min(threads, rows/int(math.Max(1, math.Min(threadRows, threadWork/math.Max(1, p.work)))))
	if threads > 1 {
		block = min(block, (rows+threads-1)/threads)
		threads = min(threads, int(g.left/(16*int64(block)*max(1, p.peak))))
	}
	g.take(16 * int64(min(block, rows)) * p.peak)
	run := func(first int) {
		f, _ := p.frames.Get().(*frame)
		if f == nil {
			f = &frame{values: make([]data, len(p.types))}
		}
		f.rows, f.first = min(block, rows-first), first
		for k, d := range bound {
			f.values[k] = d.part(first*p.types[k].width, f.rows*p.types[k].width)
		}
		for k, s := range p.steps {
			f.values[len(bound)+k] = s.run(s, f)
			for _, slot := range p.free[k] {
				f.values[slot] = data{}
			}
		}
		for _, o := range m.outputs {
			w := p.types[o.slot].width
			result[o.Name].data.copy(first*w, f.values[o.slot], 0, f.rows*w)
		}
		f.clear()
		p.frames.Put(f)
	}
	if threads > 1 {
		share((rows+block-1)/block, threads, func(k int) { run(k * block) })
		return result
	}
	for first := 0; first < rows; first += block {
		run(first)
	}
	return result
}

// share lets goroutines do n pieces of work. What the first piece that fails has thrown is thrown again, as if they had been done in order.
func share(n, threads int, work func(k int)) {
	var group sync.WaitGroup
	var mutex sync.Mutex
	next, failed := 0, n
	var thrown any
	piece := func() int {
		mutex.Lock()
		defer mutex.Unlock()
		next++
		if failed < n {
			return n
		}
		return next - 1
	}
	do := func(k int) {
		defer func() {
			if found := recover(); found != nil {
				mutex.Lock()
				defer mutex.Unlock()
				if k < failed {
					failed, thrown = k, found
				}
			}
		}()
		work(k)
	}
	for ; threads > 0; threads-- {
		group.Add(1)
		go func() {
			defer group.Done()
			for k := piece(); k < n; k = piece() {
				do(k)
			}
		}()
	}
	group.Wait()
	if thrown != nil {
		panic(thrown)
	}
}

// PredictJSON reads {"inputs": {name: tensor}} and predicts (docs/format.md, section 11).
func (m *Model) PredictJSON(request []byte) (outputs Outputs, err error) {
	defer catch(&err)
	g := &guard{limits: &m.limits, left: m.limits.Memory}
	root := parse(request, "The request", g)
	root.only("The request", "inputs")
	columns, given := map[string]any{}, map[string]int{}
	inputs := root.need("inputs", "The request").object("The request's inputs")
	for _, key := range inputs.keys {
		where, owner := "Input "+quote(key), m.owners[key]
		need(owner != nil, "The input %s is not one of the model's; remove it.", quote(key))
		t := readTensor(inputs.get(key), owner.DType, where, g)
		if owner.Name == key {
			owner.fit(where, t.DType, t.shape, given)
		} else {
			need(t.DType == owner.DType && len(t.shape) == 1, "%s is %s%s; one %s for each row is needed.", where, t.DType, listed(t.shape), owner.DType)
		}
		columns[key] = t
	}
	return m.predict(columns), nil
}

// WriteJSON writes predictions as {"outputs": {name: tensor}} (docs/format.md, section 11).
func (o Outputs) WriteJSON(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<16)
	out.WriteString("{\"outputs\": {")
	for k, name := range sortedKeys(o) {
		if k > 0 {
			out.WriteString(", ")
		}
		out.WriteString(spellString(name) + ": ")
		o[name].write(out)
	}
	out.WriteString("}}")
	return out.Flush()
}

// Verify replays the vectors that the document carries.
func (m *Model) Verify() (checks []Check, err error) {
	defer catch(&err)
	return m.replayCarried(), nil
}

func (m *Model) replayCarried() []Check {
	need(m.carried != nil, "The document carries no verification, so nothing proves its answers; add vectors, or do without a replay.")
	return m.carried.replay(m)
}

// VerifyWith replays the vectors of another file: a verification object.
func (m *Model) VerifyWith(document []byte) (checks []Check, err error) {
	defer catch(&err)
	g := &guard{limits: &m.limits, left: m.limits.Memory}
	return newVectors(parse(document, "The vectors file", g), m, math.MaxInt32, g).replay(m), nil
}

// Info returns name, inputs, outputs and ops as JSON.
func (m *Model) Info() string {
	pair := func(key, value string) string { return spellString(key) + ": " + value }
	object := func(pairs []string) string { return "{" + strings.Join(pairs, ", ") + "}" }
	inputs := spellList(m.inputs, func(in *Input) string {
		pairs := []string{pair("name", spellString(in.Name)), pair("dtype", spellString(in.DType.String())),
			pair("shape", spellList(in.Shape, Axis.spell)), pair("missing", spellString(in.Missing))}
		if in.Features != nil {
			pairs = append(pairs, pair("features", spellList(in.Features, spellString)))
		}
		return object(pairs)
	})
	outputs := spellList(m.outputs, func(o *Output) string {
		pairs := []string{pair("name", spellString(o.Name)), pair("dtype", spellString(o.DType.String())),
			pair("shape", spellList(o.Shape, Axis.spell)), pair("role", spellString(o.Role))}
		if o.Classes != nil {
			pairs = append(pairs, pair("classes", spellList(o.Classes, func(class any) string {
				if text, ok := class.(string); ok {
					return spellString(text)
				}
				return fmt.Sprint(class)
			})))
		}
		return object(pairs)
	})
	pairs := []string{pair("inputs", inputs), pair("outputs", outputs), pair("ops", spellList(m.requires, spellString))}
	if m.name != "" {
		pairs = append([]string{pair("name", spellString(m.name))}, pairs...)
	}
	return object(pairs)
}

// vectors are sets of recorded rows with the original model's answers, and the tolerance of each output.
type vectors struct {
	inputs     []map[string]any // of every set
	expected   []Outputs
	tolerance  map[string]tolerance
	operations float64 // that a replay takes
	strings    float64 // that it goes through
}

func newVectors(j *node, m *Model, mostRows int, g *guard) *vectors {
	const where = "The verification"
	v := &vectors{tolerance: map[string]tolerance{}}
	j.only(where, "source", "inputs", "outputs", "tolerance", "rows", "more")
	source := j.need("source", where).text("The verification's source")
	need(source == "synthetic" || source == "sample", "The verification has the source %s; it is \"synthetic\" or \"sample\".", quote(source))
	tolerances := j.need("tolerance", where)
	for _, o := range m.outputs {
		v.tolerance[o.Name] = readTolerance(tolerances.need(o.Name, "The verification's tolerance"), "The tolerance of "+quote(o.Name))
		if !o.DType.IsFloat() {
			v.tolerance[o.Name] = tolerance{}
		}
	}
	need(len(tolerances.keys) == len(v.tolerance), "The verification has a tolerance of an unknown output; remove it.")
	mostRows -= v.readSet(j, where, m, mostRows, g)
	if j.get("more") != nil {
		sets := j.get("more").objects("The verification's more")
		need(len(sets) > 0, "The verification's more is empty; leave it out.")
		for k, set := range sets {
			name := fmt.Sprintf("%s's set %d", where, k+1)
			set.only(name, "inputs", "outputs", "rows")
			mostRows -= v.readSet(set, name, m, mostRows, g)
		}
	}
	return v
}

// readSet reads one set; returns its number of rows.
func (v *vectors) readSet(j *node, where string, m *Model, mostRows int, g *guard) int {
	in, out := j.need("inputs", where), j.need("outputs", where)
	given, answers, lengths, rows := map[string]any{}, Outputs{}, map[string]int{}, -1
	for _, i := range m.inputs {
		name := where + "'s inputs " + quote(i.Name)
		t := readTensor(in.need(i.Name, where+"'s inputs"), i.DType, name, g)
		i.fit(name, t.DType, t.shape, lengths)
		need(rows < 0 || t.Rows() == rows, "%s has inputs of %d and of %d rows.", where, rows, t.Rows())
		rows = t.Rows()
		given[i.Name] = t
	}
	p := m.planFor(lengths, g)
	for _, o := range m.outputs {
		name := where + "'s outputs " + quote(o.Name)
		t, typ := readTensor(out.need(o.Name, where+"'s outputs"), o.DType, name, g), p.types[o.slot]
		need(t.DType == o.DType && equal(t.shape, typ.shape(rows)), "%s is %s%s; %d rows of %s are needed.", name, t.DType, listed(t.shape), rows, typ)
		answers[o.Name] = t
	}
	need(len(in.keys) == len(given) && len(out.keys) == len(answers),
		"%s names an input or an output that the document does not have; remove it.", where)
	need(rows >= 1 && rows <= mostRows, "%s has %d rows; from 1 to %d are needed, in all sets.", where, rows, mostRows)
	need(j.get("rows") == nil || len(j.get("rows").strings(where+"'s rows", g)) == rows,
		"%s says why for another number of rows than its %d; say it for each.", where, rows)
	v.operations += float64(float64(rows) * p.operations)
	v.strings += float64(float64(rows) * p.strings)
	v.inputs = append(v.inputs, given)
	v.expected = append(v.expected, answers)
	return rows
}

func (v *vectors) replay(m *Model) []Check {
	checks := []Check{}
	for k, given := range v.inputs {
		got := m.predict(given)
		for _, o := range m.outputs {
			passed, sentence := compare(got[o.Name], v.expected[k][o.Name], v.tolerance[o.Name])
			checks = append(checks, Check{o.Name, passed, "Output " + quote(o.Name) + " " + sentence})
		}
	}
	return checks
}

// compare goes element by element; NaN never passes by accident, because only what holds passes.
func compare(got, expected *Tensor, allowed tolerance) (bool, string) {
	worst := 0.0
	for k, n := 0, got.data.size(); k < n; k++ {
		holds := false
		if got.data.f != nil {
			g, e := got.data.f[k], expected.data.f[k]
			holds = allowed.holds(g, e, got.DType)
			if difference := math.Abs(g - e); difference > worst {
				worst = difference
			}
		} else {
			holds = got.data.cell(k) == expected.data.cell(k)
		}
		if !holds {
			return false, fmt.Sprintf("differs from the original in row %d, column %d: got %s, expected %s (%s).",
				k/expected.Width(), k%expected.Width(), got.spelled(k), expected.spelled(k), allowed)
		}
	}
	return true, fmt.Sprintf("agrees in %d rows (%s), largest difference %v.", got.Rows(), allowed, worst)
}

// tolerance is how far an output may lie from the original's; zeros are exact.
type tolerance struct{ atol, rtol, ulp float64 }

func readTolerance(j *node, where string) tolerance {
	if j.kind == '"' && j.text(where) == "exact" {
		return tolerance{}
	}
	t := tolerance{}
	if j.kind == '{' && j.get("ulp") != nil {
		j.only(where, "ulp")
		need(j.get("ulp").kind != '"', "%s is a string of digits; it is an integer from 0 to 2^53-1.", where)
		t.ulp = float64(j.get("ulp").scalar(where).integer(I64))
	} else {
		good := j.kind == '{' && j.get("atol") != nil && j.get("rtol") != nil
		need(good, "%s is none of \"exact\", {\"atol\", \"rtol\"} and {\"ulp\"}.", where)
		j.only(where, "atol", "rtol")
		t.atol, t.rtol = j.get("atol").scalar(where).number(F64), j.get("rtol").scalar(where).number(F64)
	}
	good := t.atol >= 0 && t.rtol >= 0 && t.ulp >= 0 && t.atol <= math.MaxFloat64 && t.rtol <= math.MaxFloat64
	need(good, "%s is negative or not finite.", where)
	return t
}

func (t tolerance) holds(got, expected float64, dtype DType) bool {
	switch {
	case got == expected || got != got && expected != expected:
		return true
	case !(math.Abs(got) <= math.MaxFloat64 && math.Abs(expected) <= math.MaxFloat64):
		return false
	case t.ulp > 0:
		return distance(got, expected, dtype) <= t.ulp
	}
	return math.Abs(got-expected) <= t.atol+float64(t.rtol*math.Abs(expected))
}

// distance is how many numbers of the dtype two are apart.
func distance(a, b float64, dtype DType) float64 {
	rank := func(v float64) float64 { return float64(math.Float64bits(math.Abs(v))) }
	if dtype == F32 {
		rank = func(v float64) float64 { return float64(math.Float32bits(float32(math.Abs(v)))) }
	}
	if (a < 0) != (b < 0) {
		return rank(a) + rank(b)
	}
	if dtype == F32 {
		return math.Abs(rank(a) - rank(b))
	}
	i, j := math.Float64bits(math.Abs(a)), math.Float64bits(math.Abs(b))
	if i < j {
		i, j = j, i
	}
	return float64(i - j)
}

func (t tolerance) String() string {
	switch {
	case t == tolerance{}:
		return "exact"
	case t.ulp > 0:
		return fmt.Sprintf("%v ulp", t.ulp)
	}
	return fmt.Sprintf("atol %v, rtol %v", t.atol, t.rtol)
}
