// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

// Package modelport runs modelport JSON artifacts, format 1 (docs/format.md), without any machine-learning framework: the standard library
// of Go 1.19 or later only, without cgo, network or file system. Paste modelport.go into a folder of your module.
//
//	model, err := modelport.Load(document) // replays the vectors that the artifact carries
//	outputs, err := model.Predict([][]float64{{5.1, 3.5}})
//	p := outputs["probability"].Matrix()
//
// Sections: 1 Errors, 2 JSON, 3 Tensors, 4 Special functions, 5 Ops, 6 Trees, 7 Model. Floats of both dtypes are held in []float64 (an f32
// is a float64 that a float32 can hold), integers and booleans in []int64, strings in []*string, where nil is missing; arrays are row-major.
// Products are converted to float64 before they are added, so that no compiler fuses the two.
package modelport

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"math/bits"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Load reads a document (UTF-8) and replays the vectors it carries; it gives an error when one answer differs from the original model's.
func Load(document []byte) (*Model, error) { return LoadWith(document, Options{}) }

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
}

// LoadWith loads under the caller's terms.
func LoadWith(document []byte, options Options) (model *Model, err error) {
	defer catch(&err)
	limits := DefaultLimits()
	if options.Limits != nil {
		limits = *options.Limits
	}
	g := &guard{&limits, limits.Memory}
	loaded := newModel(parse(document, "The document", g), g)
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
		Multiplications: 1 << 34, Depth: 16, Steps: 10000, Rank: 6, CarriedRows: 4096, Memory: memory}
}

// A guard holds the limits of one load or prediction, and what is left of its memory: asked before anything large is allocated.
type guard struct {
	limits *Limits
	left   int64
}

func (g *guard) take(bytes int64) {
	need(bytes >= 0 && bytes <= g.left, "More than the %d MB of memory that this reader may use would be needed; raise Limits.Memory.", g.limits.Memory>>20)
	g.left -= bytes
}

// ==== 1 Errors =======================================================================================================

// Refused says that the artifact, or the rows, are not acceptable.
type Refused struct{ Sentence string }

// Mismatch says that the numbers are not those of the original model.
type Mismatch struct{ Sentence string }

// Unsupported says that the document needs an op or a version that this reader does not have.
type Unsupported struct{ Sentence string }

func (e *Refused) Error() string     { return e.Sentence }
func (e *Mismatch) Error() string    { return e.Sentence }
func (e *Unsupported) Error() string { return e.Sentence }

// ExitCode is what a command line answers with.
func (e *Refused) ExitCode() int { return 2 }

// ExitCode is what a command line answers with.
func (e *Mismatch) ExitCode() int { return 1 }

// ExitCode is what a command line answers with.
func (e *Unsupported) ExitCode() int { return 3 }

// refused makes the error that is thrown through the reader, as a panic, up to the function that the caller has called.
func refused(format string, args ...any) *Refused { return &Refused{fmt.Sprintf(format, args...)} }

// need refuses what does not hold.
func need(holds bool, format string, args ...any) {
	if !holds {
		panic(refused(format, args...))
	}
}

// catch turns what has been thrown into an error; a fault of this reader, none of which is known, gives no answer either.
func catch(err *error) {
	switch thrown := recover().(type) {
	case nil:
	case *Refused:
		*err = thrown
	case *Mismatch:
		*err = thrown
	case *Unsupported:
		*err = thrown
	default:
		*err = refused("This reader has a fault, and gives no answer: %v.", thrown)
	}
}

// quote spells a name as it appears in a sentence: in quotes, on one line, not longer than 60 characters.
func quote(name string) string {
	n := 0
	for at := range name {
		if n++; n > 60 {
			name = name[:at] + "..."
			break
		}
	}
	return spellString(name)
}

// listed spells a list as a sentence has it.
func listed[T any](values []T) string {
	words := make([]string, len(values))
	for k, value := range values {
		words[k] = fmt.Sprint(value)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// ==== 2 JSON =========================================================================================================

// A node is a checked JSON value: where it stands in the text. Scalars and the elements of an array are decoded when they are asked for, so
// that large arrays cost nothing until their dtype is known, and numbers keep their spelling. Only an object, and an array that begins with
// an object, have children. The kind is the first character, '0' for every number. An array holds numbers (1), strings or null (2).
type node struct {
	b                        []byte
	start, end, count, holds int
	kind                     byte
	keys                     []string
	members                  map[string]*node
	items                    []*node
}

// kindOf returns '{', '[', '"', '0', 't', 'f' or 'n'; ' ' where no value begins.
func kindOf(first int) byte {
	switch {
	case first == '-' || first >= '0' && first <= '9':
		return '0'
	case first > 0 && strings.IndexByte("{[\"tfn", byte(first)) >= 0:
		return byte(first)
	}
	return ' '
}

func called(kind byte) string {
	return map[byte]string{'{': "an object", '[': "an array", '"': "a string", '0': "a number", 't': "true", 'f': "false", 'n': "null"}[kind]
}

func (j *node) get(key string) *node { return j.members[key] }

func (j *node) expect(wanted byte, where string) *node {
	if j.kind != wanted {
		panic(refused("%s is %s; %s is needed.", where, called(j.kind), called(wanted)))
	}
	return j
}

func (j *node) object(where string) *node { return j.expect('{', where) }

func (j *node) text(where string) string { return decodeString(j.expect('"', where).b[j.start:j.end]) }

// elements returns a cursor before the first element of this array.
func (j *node) elements(where string) *cursor {
	return &cursor{j.expect('[', where).b, j.start + 1, where}
}

// scalar returns a cursor on this one value.
func (j *node) scalar(where string) *cursor { return &cursor{j.b, j.start, where} }

func (j *node) need(key, where string) *node {
	value := j.object(where).get(key)
	if value == nil {
		panic(refused("%s lacks the key %s; it is required.", where, quote(key)))
	}
	return value
}

// only refuses every key but those listed and those that evaluators ignore.
func (j *node) only(where string, keys ...string) {
	for _, key := range j.object(where).keys {
		need(ignored(key) || contains(keys, key), "%s has the unknown key %s; remove it or begin it with x-.", where, quote(key))
	}
}

func ignored(key string) bool {
	return strings.HasPrefix(key, "x-") || key == "name" || key == "doc" || key == "provenance"
}

func contains[T comparable](list []T, value T) bool {
	for _, one := range list {
		if one == value {
			return true
		}
	}
	return false
}

func (j *node) strings(where string, g *guard) []string {
	g.take(64*int64(j.count) + 2*int64(j.end-j.start))
	list := []string{}
	for c := j.elements(where); c.next(); {
		list = append(list, *c.text(false))
	}
	return list
}

func (j *node) objects(where string) []*node {
	j.expect('[', where)
	need(j.count == len(j.items), "%s hold something else than objects; a list of objects is needed.", where)
	for _, item := range j.items {
		need(item.kind == '{', "%s hold something else than objects; a list of objects is needed.", where)
	}
	return j.items
}

// decodeString decodes a checked string literal, quotes included.
func decodeString(raw []byte) string {
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	text := make([]byte, 0, len(raw))
	for k := 0; k < len(raw); k++ {
		if raw[k] != '\\' {
			text = append(text, raw[k])
			continue
		}
		k++
		if at := strings.IndexByte("bfnrt", raw[k]); at >= 0 {
			text = append(text, "\b\f\n\r\t"[at])
		} else if raw[k] != 'u' {
			text = append(text, raw[k])
		} else {
			point := hexadecimal(raw[k+1:])
			k += 4
			if point >= 0xd800 && point < 0xdc00 { // the parser has seen to it that the other half follows
				point = (point-0xd800)<<10 + hexadecimal(raw[k+3:]) - 0xdc00 + 0x10000
				k += 6
			}
			text = utf8.AppendRune(text, rune(point))
		}
	}
	return string(text)
}

// hexadecimal reads four digits; -1 where there are none.
func hexadecimal(b []byte) int {
	value := 0
	for k := 0; k < 4; k++ {
		if k >= len(b) {
			return -1
		}
		digit := strings.IndexByte("0123456789abcdef", b[k]|0x20)
		if digit < 0 || b[k] < '0' {
			return -1
		}
		value = value<<4 | digit
	}
	return value
}

const longestNumber, bytesPerMember = 4096, 256

// A parser is strict: one pass that checks what RFC 8259 demands, and duplicate keys, depth and overflow.
type parser struct {
	b        []byte
	what     string
	g        *guard
	i, depth int
}

// parse reads the text as one value; `what` begins a sentence.
func parse(text []byte, what string, g *guard) *node {
	limit := g.limits.DocumentBytes
	need(int64(len(text)) <= limit, "%s has %d bytes, more than the limit of %d.", what, len(text), limit)
	g.take(int64(len(text)))
	p := &parser{b: text, what: what, g: g}
	p.space()
	value := p.value()
	p.space()
	p.need(p.i == len(text), "something follows the end of the value; a document is one JSON value")
	return value
}

func (p *parser) need(holds bool, reason string) {
	if holds {
		return
	}
	if p.i >= len(p.b) {
		reason = "the text ends too early"
	}
	panic(refused("%s is not acceptable JSON at byte %d: %s.", p.what, p.i, reason))
}

func (p *parser) peek() int {
	if p.i < len(p.b) {
		return int(p.b[p.i])
	}
	return -1
}

func (p *parser) at(c byte) bool { return p.i < len(p.b) && p.b[p.i] == c }

func (p *parser) space() {
	for p.at(' ') || p.at('\n') || p.at('\r') || p.at('\t') {
		p.i++
	}
}

func (p *parser) value() *node {
	start, kind := p.i, kindOf(p.peek())
	switch kind {
	case '{':
		return p.object()
	case '[':
		return p.array()
	}
	p.scalar(kind)
	return &node{b: p.b, start: start, end: p.i, kind: kind}
}

func (p *parser) scalar(kind byte) {
	switch kind {
	case '"':
		p.string()
	case '0':
		p.number()
	case ' ':
		p.need(!p.at('N') && !p.at('I'), "a bare NaN or Infinity is no JSON; write it in quotes")
		p.need(false, "no value begins here")
	default:
		word := called(kind)
		for k := 0; k < len(word); k++ {
			p.need(p.at(word[k]), "a value is none of true, false and null")
			p.i++
		}
	}
}

func (p *parser) open() {
	if p.depth++; p.depth > p.g.limits.Depth {
		p.need(false, fmt.Sprintf("the values are nested deeper than the limit of %d", p.g.limits.Depth))
	}
	p.i++
	p.space()
}

// more is true when another element follows; false after the closing bracket.
func (p *parser) more(end byte) bool {
	p.space()
	closed := p.at(end)
	p.need(closed || p.at(','), "a comma or a closing bracket is needed here")
	p.i++
	if closed {
		p.depth--
	} else {
		p.space()
	}
	return !closed
}

func (p *parser) object() *node {
	j := &node{b: p.b, start: p.i, kind: '{', members: map[string]*node{}}
	seen := map[string]bool{}
	p.open()
	for more := !p.at('}') || p.more('}'); more; more = p.more('}') {
		p.need(p.at('"'), "a key in double quotes is needed here")
		from := p.i
		p.string()
		p.g.take(bytesPerMember + 4*int64(p.i-from))
		key := decodeString(p.b[from:p.i])
		lowered := lower(key)
		p.need(!seen[lowered], "the key "+quote(key)+" stands twice in one object, or in spellings that differ by case only")
		seen[lowered] = true
		p.space()
		p.need(p.at(':'), "a colon is needed after a key")
		p.i++
		p.space()
		j.members[key] = p.value()
		j.keys = append(j.keys, key)
	}
	j.count, j.end = len(j.keys), p.i
	return j
}

func (p *parser) array() *node {
	j := &node{b: p.b, start: p.i, kind: '['}
	p.open()
	objects := p.at('{')
	for more := !p.at(']') || p.more(']'); more; more = p.more(']') {
		kind := kindOf(p.peek())
		if kind == '0' {
			j.holds |= 1
		} else if kind == '"' || kind == 'n' {
			j.holds |= 2
		}
		j.count++
		if !objects && kind != '{' && kind != '[' {
			p.scalar(kind)
			continue
		}
		item := p.value()
		j.holds |= item.holds
		if objects {
			p.g.take(bytesPerMember)
			j.items = append(j.items, item)
		}
	}
	j.end = p.i
	return j
}

// lower lowers A to Z, and nothing else.
func lower(key string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, key)
}

func (p *parser) number() {
	start := p.i
	if p.at('-') {
		p.i++
	}
	leading := p.i
	digits := p.digits()
	p.need(digits == 1 || p.b[leading] != '0', "a number begins with a needless zero")
	large := digits > 200
	if p.at('.') {
		p.i++
		p.digits()
	}
	if p.at('e') || p.at('E') {
		p.i++
		if p.at('+') || p.at('-') {
			p.i++
		}
		large = p.digits() > 2 || large
	}
	p.need(p.i-start <= longestNumber, "a number has more than 4096 characters")
	if large {
		value, _ := strconv.ParseFloat(string(p.b[start:p.i]), 64)
		p.need(!math.IsInf(value, 0), "a number overflows a 64-bit float; infinity is written \"Infinity\"")
	}
}

func (p *parser) digits() int {
	start := p.i
	for p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9' {
		p.i++
	}
	p.need(p.i > start, "a digit is needed here")
	return p.i - start
}

// string checks a string: its escapes, that it is UTF-8, and that no half of a surrogate pair stands alone.
func (p *parser) string() {
	start, high := p.i, false
	for p.i++; ; p.i++ {
		p.need(p.i < len(p.b), "")
		c := p.b[p.i]
		if c != '\\' {
			p.need(!high, "a string holds half of a surrogate pair")
			if c == '"' {
				break
			}
			p.need(c >= ' ', "a control character stands in a string; write it as an escape")
			continue
		}
		p.i++
		p.need(p.i < len(p.b) && strings.IndexByte("\"\\/bfnrtu", p.b[p.i]) >= 0, "an unknown escape stands in a string")
		point := 0
		if p.b[p.i] == 'u' {
			point = hexadecimal(p.b[p.i+1:])
			p.need(point >= 0, "\\u needs four hexadecimal digits")
			p.i += 4
		}
		low := point >= 0xdc00 && point <= 0xdfff
		p.need(low == high, "a string holds half of a surrogate pair")
		high = point >= 0xd800 && point < 0xdc00
	}
	p.i++
	p.need(utf8.Valid(p.b[start:p.i]), "a string is not UTF-8")
}

// A cursor decodes the elements of a checked array one after the other, without an object for each.
type cursor struct {
	b     []byte
	i     int
	where string
}

const safe = 1<<53 - 1

var powersOfTen = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
	1e20, 1e21, 1e22}

// next moves to the next element; false at the closing bracket, which is passed.
func (c *cursor) next() bool {
	for c.b[c.i] <= ' ' || c.b[c.i] == ',' {
		c.i++
	}
	if c.b[c.i] != ']' {
		return true
	}
	c.i++
	return false
}

func (c *cursor) kind() byte { return kindOf(int(c.b[c.i])) }

func (c *cursor) needed(holds bool, what string) {
	if !holds {
		panic(refused("%s holds %s; %s is needed there.", c.where, called(c.kind()), what))
	}
}

// enter enters the array that is the current element; next then moves through it.
func (c *cursor) enter() {
	c.needed(c.b[c.i] == '[', "an array")
	c.i++
}

// length returns the number of elements of the array that is the current element; it is passed.
func (c *cursor) length() int {
	length := 0
	for c.enter(); c.next(); length++ {
		need(c.b[c.i] != '[' && c.b[c.i] != '{', "%s is nested deeper than two levels; write it in the object form.", c.where)
		c.skip()
	}
	return length
}

// skip passes an element that is neither an array nor an object, and returns its text.
func (c *cursor) skip() []byte {
	start := c.i
	if c.b[c.i] == '"' {
		for c.i++; c.b[c.i] != '"'; c.i++ {
			if c.b[c.i] == '\\' {
				c.i++
			}
		}
		c.i++
	} else {
		for c.i < len(c.b) && c.b[c.i] > ' ' && c.b[c.i] != ',' && c.b[c.i] != ']' && c.b[c.i] != '}' {
			c.i++
		}
	}
	return c.b[start:c.i]
}

func (c *cursor) number(dtype DType) float64 {
	value := 0.0
	if c.b[c.i] == '"' {
		value = c.named()
	} else {
		value = c.decimal()
	}
	if dtype != F32 {
		return value
	}
	short := float64(float32(value))
	if math.IsInf(short, 0) && !math.IsInf(value, 0) {
		panic(refused("%s holds %v, which overflows a 32-bit float; infinity is written \"Infinity\".", c.where, value))
	}
	return short
}

func (c *cursor) named() float64 {
	switch name := *c.text(false); name {
	case "NaN":
		return math.NaN()
	case "Infinity":
		return math.Inf(1)
	case "-Infinity":
		return math.Inf(-1)
	default:
		panic(refused("%s holds the string %s; a number is needed there.", c.where, quote(name)))
	}
}

// decimal reads the decimal at i as the nearest float64. Short ones are exact in one operation (Clinger 1990), the rest is strconv's.
func (c *cursor) decimal() float64 {
	c.needed(c.kind() == '0', "a number")
	text := c.skip()
	k, kept, exponent, point, digits := 0, 0, 0, -1, int64(0)
	negative := text[0] == '-'
	if negative {
		k++
	}
	for ; k < len(text) && text[k] != 'e' && text[k] != 'E'; k++ {
		if text[k] == '.' {
			point = k
			continue
		}
		if kept++; kept <= 18 {
			digits = digits*10 + int64(text[k]-'0')
		}
		if digits == 0 {
			kept = 0 // leading zeros
		}
	}
	if point >= 0 {
		exponent = point + 1 - k
	}
	if k < len(text) {
		power, _ := strconv.Atoi(string(text[k+1:])) // what does not fit an int is the largest, or smallest
		exponent += max(-100000, min(power, 100000))
	}
	if kept > 18 || digits > 1<<53 || exponent < -22 || exponent > 22 {
		value, _ := strconv.ParseFloat(string(text), 64)
		return value
	}
	value := float64(digits)
	if exponent < 0 {
		value /= powersOfTen[-exponent]
	} else {
		value *= powersOfTen[exponent]
	}
	if negative {
		return -value
	}
	return value
}

// integer reads an integer within the dtype: a number without fraction and exponent or, beyond 2^53-1, a string of digits.
func (c *cursor) integer(dtype DType) int64 {
	kind := c.kind()
	c.needed(kind == '"' || kind == '0', "an integer ("+dtype.String()+")")
	text := c.skip()
	digits := string(bytes.Trim(text, "\""))
	value, err := strconv.ParseInt(digits, 10, 64)
	large := value > safe || value < -safe
	plain := strings.TrimPrefix(digits, "-")
	whole := err == nil && digits[0] != '+' && (plain[0] != '0' || len(plain) == 1) && (kind == '0' || len(text) == len(digits)+2)
	if !whole || large != (kind == '"') || value < dtype.least() || value > dtype.most() {
		panic(refused("%s holds %s; an integer of %s is needed there, without fraction and exponent, and in quotes exactly when it is beyond 2^53-1.",
			c.where, quote(string(text)), dtype))
	}
	return value
}

func (c *cursor) boolean() int64 {
	kind := c.kind()
	c.needed(kind == 't' || kind == 'f', "true or false")
	c.skip()
	if kind == 't' {
		return 1
	}
	return 0
}

// text reads a string; nil for null, where missing is allowed.
func (c *cursor) text(missing bool) *string {
	none := missing && c.b[c.i] == 'n'
	c.needed(none || c.b[c.i] == '"', "a string")
	raw := c.skip()
	if none {
		return nil
	}
	text := decodeString(raw)
	return &text
}

func spellString(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for k := 0; k < len(s); k++ {
		switch c := s[k]; {
		case c == '"' || c == '\\':
			out.WriteByte('\\')
			out.WriteByte(c)
		case c < ' ' || c == 127:
			fmt.Fprintf(&out, "\\u%04x", c)
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// spellList spells values as a JSON array.
func spellList[T any](values []T, spell func(T) string) string {
	words := make([]string, len(values))
	for k, value := range values {
		words[k] = spell(value)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// ==== 3 Tensors ======================================================================================================

// DType is the dtype of a tensor, under the names of the format.
type DType int

// The dtypes.
const (
	F64 DType = iota
	F32
	I64
	I32
	I16
	I8
	U32
	U16
	U8
	Bool
	Str
)

var dtypeNames = []string{"f64", "f32", "i64", "i32", "i16", "i8", "u32", "u16", "u8", "bool", "str"}
var dtypeBytes = []int{8, 4, 8, 4, 2, 1, 4, 2, 1, 1, 0}

func (d DType) String() string { return dtypeNames[d] }

// IsFloat tells whether elements are f64 or f32.
func (d DType) IsFloat() bool { return d <= F32 }

// IsInteger tells whether elements are integers, not booleans.
func (d DType) IsInteger() bool { return d >= I64 && d <= U8 }

func (d DType) signed() bool { return d >= I64 && d <= I8 }

// least and most are the bounds of an integer dtype.
func (d DType) least() int64 {
	if !d.signed() {
		return 0
	}
	return math.MinInt64 >> (64 - 8*dtypeBytes[d])
}

func (d DType) most() int64 {
	switch {
	case d == Bool:
		return 1
	case d.signed():
		return math.MaxInt64 >> (64 - 8*dtypeBytes[d])
	}
	return 1<<(8*dtypeBytes[d]) - 1
}

// allocate makes room for n elements.
func (d DType) allocate(n int) data {
	switch {
	case d.IsFloat():
		return data{f: make([]float64, n)}
	case d == Str:
		return data{s: make([]*string, n)}
	}
	return data{n: make([]int64, n)}
}

func dtypeNamed(name, where string) DType {
	for k, known := range dtypeNames {
		if name == known {
			return DType(k)
		}
	}
	panic(refused("%s has the unknown dtype %s; it is one of %s.", where, quote(name), listed(dtypeNames)))
}

// data are the elements of a value: one of the three is not nil.
type data struct {
	f []float64
	n []int64
	s []*string
}

func (d data) size() int { return len(d.f) + len(d.n) + len(d.s) }

// copy copies n elements.
func (d data) copy(to int, from data, at, n int) {
	switch {
	case d.f != nil:
		copy(d.f[to:to+n], from.f[at:at+n])
	case d.n != nil:
		copy(d.n[to:to+n], from.n[at:at+n])
	default:
		copy(d.s[to:to+n], from.s[at:at+n])
	}
}

// A rowType is dtype and row shape of a value; width is the number of elements of a row: lanes times the length of the last axis (1 for
// rank 0).
type rowType struct {
	dtype                    DType
	rank, width, last, lanes int
	dims                     []int
}

func newType(dtype DType, dims ...int) *rowType {
	t := &rowType{dtype: dtype, dims: dims, rank: len(dims), last: 1}
	t.lanes = t.size(0, t.rank-1)
	t.width = t.size(0, t.rank)
	if t.rank > 0 {
		t.last = dims[t.rank-1]
	}
	return t
}

func rowOf(dtype DType, width int64) *rowType { return newType(dtype, clamp(width)) }

// with is the same row shape with another dtype.
func (t *rowType) with(dtype DType) *rowType { return newType(dtype, t.dims...) }

// resized is the same row shape with another length of one axis.
func (t *rowType) resized(axis, length int) *rowType {
	dims := append([]int{}, t.dims...)
	dims[axis] = length
	return newType(t.dtype, dims...)
}

// size is the product of the lengths of some axes.
func (t *rowType) size(from, to int) int {
	size := int64(1)
	for k := from; k < to; k++ {
		size = int64(clamp(size * int64(t.dims[k])))
	}
	return int(size)
}

// along gives the offsets of the positions along an axis: all of them, or as many zeros where the axis has length 1.
func (t *rowType) along(axis, length int) []int {
	offsets := make([]int, length)
	for k := 0; axis >= 0 && t.dims[axis] > 1 && k < length; k++ {
		offsets[k] = k * t.size(axis+1, t.rank)
	}
	return offsets
}

// spread tells where the elements of a row of shape wide are found in a row of this one, which broadcasts to it; nil where at the same place.
func (t *rowType) spread(wide *rowType, g *guard) []int {
	if t.width == wide.width {
		return nil
	}
	offsets := make([][]int, wide.rank)
	for k := range offsets {
		offsets[k] = t.along(k-wide.rank+t.rank, wide.dims[k])
	}
	return places(g, offsets)
}

// shape is the shape of n rows.
func (t *rowType) shape(n int) []int { return append([]int{n}, t.dims...) }

func (t *rowType) same(other *rowType) bool {
	return t.dtype == other.dtype && equal(t.dims, other.dims)
}

func (t *rowType) String() string { return t.dtype.String() + listed(t.dims) }

func equal(a, b []int) bool {
	for k := 0; len(a) == len(b) && k < len(a); k++ {
		if a[k] != b[k] {
			return false
		}
	}
	return len(a) == len(b)
}

// clamp holds a count within 2^31-1.
func clamp(n int64) int { return int(min(n, math.MaxInt32)) }

func min[T int | int64](a, b T) T {
	if a < b {
		return a
	}
	return b
}

func max[T int | int64](a, b T) T {
	if a > b {
		return a
	}
	return b
}

// places gives the sums of one offset for each axis, in row-major order; -1 where one of them is negative.
func places(g *guard, offsets [][]int) []int {
	size := int64(1)
	for _, axis := range offsets {
		size *= int64(len(axis))
	}
	g.take(8 * size)
	found := make([]int, size)
	n := 1
	for _, axis := range offsets {
		if size == 0 {
			break
		}
		for k := n - 1; k >= 0; k-- {
			for j := len(axis) - 1; j >= 0; j-- {
				if found[k] < 0 || axis[j] < 0 {
					found[k*len(axis)+j] = -1
				} else {
					found[k*len(axis)+j] = found[k] + axis[j]
				}
			}
		}
		n *= len(axis)
	}
	return found
}

// A Tensor is an array with its dtype and shape, row-major; for rows, the first axis counts them. What is handed in and out is not copied.
type Tensor struct {
	DType DType
	shape []int
	data  data
}

func newTensor(dtype DType, d data, shape ...int) *Tensor { return &Tensor{dtype, shape, d} }

// Floats makes an f64 tensor: of rank 1, or of the shape given, which must have as many elements.
func Floats(values []float64, shape ...int) *Tensor {
	return shaped(F64, data{f: values}, len(values), shape)
}

// Floats32 makes an f32 tensor.
func Floats32(values []float32, shape ...int) *Tensor {
	wide := make([]float64, len(values))
	for k, v := range values {
		wide[k] = float64(v)
	}
	return shaped(F32, data{f: wide}, len(wide), shape)
}

// Integers makes an i64 tensor.
func Integers(values []int64, shape ...int) *Tensor {
	return shaped(I64, data{n: values}, len(values), shape)
}

// Booleans makes a bool tensor.
func Booleans(values []bool, shape ...int) *Tensor {
	numbers := make([]int64, len(values))
	for k, v := range values {
		if v {
			numbers[k] = 1
		}
	}
	return shaped(Bool, data{n: numbers}, len(numbers), shape)
}

// Strings makes a str tensor; nil is missing.
func Strings(values []*string, shape ...int) *Tensor {
	return shaped(Str, data{s: values}, len(values), shape)
}

func shaped(dtype DType, d data, n int, shape []int) *Tensor {
	if len(shape) == 0 {
		shape = []int{n}
	}
	if d.size() == 0 {
		d = dtype.allocate(0)
	}
	return newTensor(dtype, d, append([]int{}, shape...)...)
}

// Shape returns the lengths of the axes, batch axis first.
func (t *Tensor) Shape() []int { return append([]int{}, t.shape...) }

// Rows returns the length of the first axis.
func (t *Tensor) Rows() int {
	if len(t.shape) == 0 {
		return 1
	}
	return t.shape[0]
}

// Width returns the number of elements of one row.
func (t *Tensor) Width() int { return newType(t.DType, t.shape...).size(1, len(t.shape)) }

// Floats returns all elements of a float tensor; nil for others.
func (t *Tensor) Floats() []float64 { return t.data.f }

// Integers returns all elements of an integer tensor, or of booleans as 0 and 1; nil for others.
func (t *Tensor) Integers() []int64 { return t.data.n }

// Strings returns all elements of a str tensor, where nil is missing; nil for others.
func (t *Tensor) Strings() []*string { return t.data.s }

// Matrix returns the rows of a float tensor; nil for others.
func (t *Tensor) Matrix() [][]float64 {
	if t.data.f == nil {
		return nil
	}
	rows := make([][]float64, t.Rows())
	for r, w := 0, t.Width(); r < len(rows); r++ {
		rows[r] = t.data.f[r*w : (r+1)*w : (r+1)*w]
	}
	return rows
}

// At returns one element: float64, int64, bool, string, or nil where it is missing.
func (t *Tensor) At(k int) any {
	switch {
	case t.data.f != nil:
		return t.data.f[k]
	case t.data.s != nil && t.data.s[k] == nil:
		return nil
	case t.data.s != nil:
		return *t.data.s[k]
	case t.DType == Bool:
		return t.data.n[k] != 0
	}
	return t.data.n[k]
}

// spelled spells one element as the format does: a float as a decimal that reads back as the same number.
func (t *Tensor) spelled(k int) string {
	switch element := t.At(k).(type) {
	case nil:
		return "null"
	case string:
		return spellString(element)
	case float64:
		return spellFloat(element, t.DType)
	case int64:
		if element > safe || element < -safe {
			return fmt.Sprintf("\"%d\"", element)
		}
		return strconv.FormatInt(element, 10)
	default:
		return fmt.Sprint(element)
	}
}

func spellFloat(v float64, dtype DType) string {
	switch {
	case v != v:
		return "\"NaN\""
	case math.IsInf(v, 0):
		return map[bool]string{true: "\"Infinity\"", false: "\"-Infinity\""}[v > 0]
	}
	if dtype == F32 { // its shorter spelling, where that is read as the same number by way of 64 bits
		text := strconv.FormatFloat(v, 'g', -1, 32)
		if read, _ := strconv.ParseFloat(text, 64); float64(float32(read)) == v {
			return decimalText(text)
		}
	}
	return decimalText(strconv.FormatFloat(v, 'g', -1, 64))
}

// decimalText gives a number without point and exponent a point, so that -0 remains a float.
func decimalText(text string) string {
	if strings.ContainsAny(text, ".e") {
		return text
	}
	return text + ".0"
}

// write writes the object form of the format.
func (t *Tensor) write(out *bufio.Writer) {
	fmt.Fprintf(out, "{\"dtype\": \"%s\", \"shape\": %s, \"data\": [", t.DType, listed(t.shape))
	for k, n := 0, t.data.size(); k < n; k++ {
		if k > 0 {
			out.WriteString(", ")
		}
		out.WriteString(t.spelled(k))
	}
	out.WriteString("]}")
}

// tensorFrom takes what callers naturally hold: a *Tensor, a slice, a matrix or deeper, or a slice of any, in which nil is missing.
func tensorFrom(value any, wanted DType, where string) *Tensor {
	switch v := value.(type) {
	case *Tensor:
		n := int64(v.data.size())
		need(product(v.shape, math.MaxInt32) == n, "%s has %d elements for the shape %s; they must agree.", where, n, listed(v.shape))
		for _, s := range v.data.s {
			need(s == nil || utf8.ValidString(*s), "%s holds a string that is not UTF-8.", where)
		}
		return v
	case []float64:
		return Floats(v)
	case []float32:
		return Floats32(v)
	case []int64:
		return Integers(v)
	case []bool:
		return Booleans(v)
	case []int:
		wide := make([]int64, len(v))
		for k, n := range v {
			wide[k] = int64(n)
		}
		return Integers(wide)
	case []string:
		pointers := make([]*string, len(v))
		for k := range v {
			pointers[k] = &v[k]
		}
		return tensorFrom(Strings(pointers), wanted, where)
	case []*string:
		return tensorFrom(Strings(v), wanted, where)
	case [][]float64:
		return stack(v, wanted, where)
	case [][]float32:
		return stack(v, wanted, where)
	case [][][]float64:
		return stack(v, wanted, where)
	case [][][]float32:
		return stack(v, wanted, where)
	case [][]int64:
		return stack(v, wanted, where)
	case [][]bool:
		return stack(v, wanted, where)
	case [][]string:
		return stack(v, wanted, where)
	case []any:
		d := wanted.allocate(len(v))
		for k, cell := range v {
			put(d, k, cell, wanted, where)
		}
		return newTensor(wanted, d, len(v))
	}
	panic(refused("%s is given as %T; a *Tensor, a slice, a slice of rows, or []any is needed.", where, value))
}

func stack[T any](rows []T, wanted DType, where string) *Tensor {
	if len(rows) == 0 {
		return newTensor(wanted, wanted.allocate(0), 0, 0)
	}
	first := tensorFrom(rows[0], wanted, where)
	width := first.data.size()
	d := first.DType.allocate(elements(int64(len(rows)), int64(width)))
	for r := range rows {
		row := tensorFrom(rows[r], wanted, where)
		need(equal(row.shape, first.shape), "%s is ragged in row %d; rows are equally long.", where, r)
		d.copy(r*width, row.data, 0, width)
	}
	return newTensor(first.DType, d, append([]int{len(rows)}, first.shape...)...)
}

func put(d data, k int, cell any, wanted DType, where string) {
	number, isNumber, whole, isWhole := 0.0, true, int64(0), true
	switch v := cell.(type) {
	case nil:
		number, isWhole = math.NaN(), false
	case float64:
		number, isWhole = v, false
	case float32:
		number, isWhole = float64(v), false
	case int:
		number, whole = float64(v), int64(v)
	case int32:
		number, whole = float64(v), int64(v)
	case int64:
		number, whole = float64(v), v
	case bool:
		isWhole = false
		if v {
			number = 1
		}
	default:
		isNumber, isWhole = false, false
	}
	text, isText := cell.(string)
	truth, isTruth := cell.(bool)
	switch {
	case wanted.IsFloat() && isNumber:
		d.f[k] = rounded(number, wanted)
	case wanted == Str && isText && utf8.ValidString(text):
		d.s[k] = &text
	case wanted == Str && cell == nil:
	case wanted == Bool && isTruth:
		if truth {
			d.n[k] = 1
		}
	case wanted == I64 && isWhole:
		d.n[k] = whole
	default:
		panic(refused("%s holds %s in row %d; %s is needed.", where, quote(fmt.Sprint(cell)), k, wanted))
	}
}

// as gives the data as another dtype: floats from floats, integers and booleans; anything else only as it is.
func (t *Tensor) as(wanted DType, where string) data {
	if t.DType == wanted || t.DType == F32 && wanted == F64 {
		return t.data
	}
	need(wanted.IsFloat() && t.DType != Str, "%s holds %s; %s is needed.", where, t.DType, wanted)
	d := wanted.allocate(t.data.size())
	for k := range d.f {
		if t.data.f != nil {
			d.f[k] = rounded(t.data.f[k], wanted)
		} else {
			d.f[k] = rounded(float64(t.data.n[k]), wanted)
		}
	}
	return d
}

// anyDType lets the elements of a bare array decide (f64 or str).
const anyDType DType = -1

// readTensor reads a tensor in any of its three forms; `bare` is the dtype of a bare array.
func readTensor(j *node, bare DType, where string, g *guard) *Tensor {
	if j.kind == '{' {
		return readObject(j, where, g)
	}
	dtype := bare
	if bare == anyDType && j.holds == 2 {
		dtype = Str
	} else if bare == anyDType {
		dtype = F64
	}
	c := j.elements(where)
	width := -1
	if c.next() && c.kind() == '[' {
		width = c.length()
	}
	c = j.elements(where)
	if width < 0 {
		d := allocate(dtype, int64(j.count), where, g)
		fill(c, dtype, d, 0, j.count, g)
		return newTensor(dtype, d, j.count)
	}
	// Every element takes two bytes of text at least: more than that is ragged, whatever the counts promise.
	total := int64(j.count) * int64(width)
	even := total <= int64(j.end-j.start)/2
	d := data{}
	if even {
		d = allocate(dtype, total, where, g)
	}
	for k := 0; even && c.next(); k += width {
		c.enter()
		even = fill(c, dtype, d, k, k+width, g) == k+width
	}
	need(even, "%s is ragged: its first row has %d elements, another has not; rows are equally long.", where, width)
	return newTensor(dtype, d, j.count, width)
}

func readObject(j *node, where string, g *guard) *Tensor {
	j.only(where, "dtype", "shape", "enc", "scale", "mask", "data")
	dtype := dtypeNamed(j.need("dtype", where).text(where+" dtype"), where)
	shape := readShape(j.need("shape", where), where, g)
	size := product(shape, g.limits.TensorElements)
	values, encoding, scale, mask := j.need("data", where), j.get("enc"), j.get("scale"), j.get("mask")
	enc := ""
	if encoding != nil {
		enc = encoding.text(where + " enc")
		need(dtype != Str && (enc == "b64" || enc == "i8" && dtype.IsFloat()),
			"%s has an encoding that %s does not have; \"b64\" is one, not for str, and \"i8\" for floats.", where, dtype)
	}
	need((scale != nil) == (enc == "i8") && (mask == nil || encoding != nil && dtype != Bool),
		"%s has \"scale\" without \"enc\" \"i8\", or without it, or a \"mask\" without \"enc\" or of bool.", where)
	if encoding != nil {
		return newTensor(dtype, encoded(j, dtype, shape, size, where, g), shape...)
	}
	c := values.elements(where + " data")
	need(int64(values.count) == size, "%s holds %d elements for the shape %s; they must agree.", where, values.count, listed(shape))
	d := allocate(dtype, size, where, g)
	fill(c, dtype, d, 0, values.count, g)
	return newTensor(dtype, d, shape...)
}

func readShape(j *node, where string, g *guard) []int {
	c := j.elements(where + " shape")
	need(j.count <= g.limits.Rank, "%s has rank %d, more than the limit of %d.", where, j.count, g.limits.Rank)
	shape := []int{}
	for c.next() {
		n := c.integer(I64)
		need(n >= 0 && n <= math.MaxInt32, "%s has the length %d in its shape; lengths run from 0 to 2^31-1.", where, n)
		shape = append(shape, int(n))
	}
	return shape
}

func allocate(dtype DType, size int64, where string, g *guard) data {
	limit := g.limits.TensorElements
	need(size <= min(limit, math.MaxInt32-16), "%s has more than %d elements, the limit of a tensor.", where, limit)
	g.take(8 * size)
	return dtype.allocate(int(size))
}

// fill decodes the rest of an array into d[k..to); returns the position reached, or to + 1 when there is more.
func fill(c *cursor, dtype DType, d data, k, to int, g *guard) int {
	for ; c.next(); k++ {
		if k == to {
			return to + 1
		}
		switch {
		case d.f != nil:
			d.f[k] = c.number(dtype)
		case d.s != nil:
			d.s[k] = c.text(true)
			if d.s[k] != nil {
				g.take(48 + int64(len(*d.s[k])))
			}
		case dtype == Bool:
			d.n[k] = c.boolean()
		default:
			d.n[k] = c.integer(dtype)
		}
	}
	return k
}

// product is the product of a shape; the largest int64 beyond a limit.
func product(shape []int, limit int64) int64 {
	size := int64(1)
	for _, n := range shape {
		switch {
		case n == 0 || size == 0:
			size = 0
		case n < 0 || size > limit/int64(n):
			size = math.MaxInt64
		default:
			size *= int64(n)
		}
	}
	return size
}

// encoded reads elements in base64: little-endian or, with a scale, signed bytes to be multiplied by it; with a mask, only those it has.
func encoded(j *node, dtype DType, shape []int, size int64, where string, g *guard) data {
	need(size <= g.limits.TensorElements, "%s has more than %d elements, the limit of a tensor.", where, g.limits.TensorElements)
	var scale []float64
	var mask []byte
	if j.get("scale") != nil {
		scale = scales(j.get("scale"), dtype, shape, where+" scale", g)
	}
	written, each := size, int64(dtypeBytes[dtype])
	if j.get("mask") != nil {
		mask = base64Of(j.get("mask"), (size+7)/8, where+" mask", g)
		written = 0
		for _, b := range mask {
			written += int64(bits.OnesCount8(b))
		}
		need(size%8 == 0 || mask[len(mask)-1]>>(size%8) == 0, "%s mask goes beyond the last element; the bits behind it are 0.", where)
	}
	per := int64(math.MaxInt64)
	if scale != nil {
		each = 1
	}
	if len(scale) > 1 {
		per = size / int64(shape[0])
	}
	raw := base64Of(j.get("data"), written*each, where+" data", g)
	d := allocate(dtype, size, where, g)
	for k, i := int64(0), 0; k < size; k++ {
		if mask != nil && mask[k>>3]>>(k&7)&1 == 0 {
			continue
		}
		if scale != nil {
			d.f[k] = rounded(float64(int8(raw[i]))*scale[k/per], dtype)
			i++
			continue
		}
		word := uint64(0)
		for shift := 0; shift < 8*int(each); shift += 8 {
			word |= uint64(raw[i]) << shift
			i++
		}
		switch {
		case dtype == F64:
			d.f[k] = math.Float64frombits(word)
		case dtype == F32:
			d.f[k] = float64(math.Float32frombits(uint32(word)))
		case dtype.signed():
			unused := 64 - 8*int(each) // filled with the sign
			d.n[k] = int64(word) << unused >> unused
		default:
			d.n[k] = int64(word)
		}
		if dtype == Bool && word > 1 {
			panic(refused("%s holds the byte %d for a bool; it is 0 or 1.", where, word))
		}
	}
	return d
}

func scales(j *node, dtype DType, shape []int, where string, g *guard) []float64 {
	c := j.elements(where)
	need(j.count == 1 || len(shape) > 0 && j.count == shape[0],
		"%s has %d numbers; one is needed, or one for each index of the first axis.", where, j.count)
	d := allocate(dtype, int64(j.count), where, g)
	fill(c, dtype, d, 0, j.count, g)
	for _, v := range d.f {
		need(v > 0 && v <= math.MaxFloat64, "%s holds %v; it is positive and finite.", where, v)
	}
	return d.f
}

// base64Of reads so many bytes in standard base64, padded. The length is checked before anything is allocated.
func base64Of(j *node, needed int64, where string, g *guard) []byte {
	text := j.expect('"', where).b[j.start+1 : j.end-1]
	g.take(2 * int64(len(text)))
	if bytes.IndexByte(text, '\\') >= 0 {
		text = []byte(j.text(where))
	}
	padding := len(text) - len(bytes.TrimRight(text, "="))
	need(len(text)%4 == 0 && padding <= 2 && int64(len(text)/4*3-padding) == needed,
		"%s holds %d characters of base64 with padding; its shape and dtype need another number.", where, len(text))
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(raw, text)
	need(err == nil && int64(n) == needed, "%s is not standard base64 with padding.", where)
	return raw[:n]
}

func rounded(v float64, to DType) float64 {
	if to == F32 {
		return float64(float32(v))
	}
	return v
}

// roundAll rounds in place.
func roundAll(x []float64, to DType) []float64 {
	for k := 0; to == F32 && k < len(x); k++ {
		x[k] = float64(float32(x[k]))
	}
	return x
}

// elements is n x width as the length of a slice.
func elements(n, width int64) int {
	need(width == 0 || n <= (math.MaxInt32-16)/width, "%d rows of %d elements do not fit one array; predict fewer rows at a time.", n, width)
	return int(n * width)
}

// ==== 4 Special functions ============================================================================================

// erf and norm_ppf by the algorithms of docs/format.md, section 8.
// W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969).
var (
	erfA = []float64{3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03, 1.85777706184603153e-1}
	erfB = []float64{2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03}
	erfC = []float64{5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e01, 2.98635138197400131e02, 8.81952221241769090e02,
		1.71204761263407058e03, 2.05107837782607147e03, 1.23033935479799725e03, 2.15311535474403846e-8}
	erfD = []float64{1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03, 3.29079923573345963e03,
		4.36261909014324716e03, 3.43936767414372164e03, 1.23033935480374942e03}
	erfP = []float64{3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4,
		1.63153871373020978e-2}
	erfQ = []float64{2.56852019228982242e00, 1.87295284992346725e00, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3}
)

// M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988); PPND16.
var (
	ppfA = []float64{3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
		4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3}
	ppfB = []float64{1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
		3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3}
	ppfC = []float64{1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
		1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4}
	ppfD = []float64{1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
		1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9}
	ppfE = []float64{6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
		2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7}
	ppfF = []float64{1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
		7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15}
)

func erf(x float64) float64 {
	y := math.Abs(x)
	z := 1.0 / float64(y*y)
	if !(y > 0.46875) {
		return x * cody(erfA, erfB, 3, float64(y*y))
	}
	rest := 0.0
	if y <= 4.0 {
		rest = cody(erfC, erfD, 7, y)
	} else {
		rest = (5.6418958354775628695e-1 - float64(z*cody(erfP, erfQ, 4, z))) / y
	}
	erfc := tail(y) * rest
	if y > 26.6 {
		erfc = 0
	}
	if x < 0 {
		return float64(erfc) - 1.0
	}
	return 1.0 - float64(erfc)
}

// tail is exp(-y * y), with the digits that the square would lose.
func tail(y float64) float64 {
	coarse := float64(math.Floor(y*16.0) / 16.0) // rounded, for the compiler multiplies instead of dividing
	return math.Exp(-coarse*coarse) * math.Exp(-(y-coarse)*(y+coarse))
}

// cody is a ratio of two polynomials of degree n + 1: the leading coefficient of the numerator is its last entry.
func cody(top, bottom []float64, n int, z float64) float64 {
	a, b := float64(top[n+1]*z), z
	for k := 0; k < n; k++ {
		a = float64((a + top[k]) * z)
		b = float64((b + bottom[k]) * z)
	}
	return (a + top[n]) / (b + bottom[n])
}

func normPpf(p float64) float64 {
	switch {
	case p == 0:
		return math.Inf(-1)
	case p == 1:
		return math.Inf(1)
	case !(p > 0 && p < 1):
		return math.NaN()
	}
	q := p - 0.5
	if math.Abs(q) <= 0.425 {
		return q * ratio(ppfA, ppfB, 0.180625-float64(q*q))
	}
	r := p
	if q >= 0 {
		r = 1.0 - p
	}
	r = math.Sqrt(-log(r))
	tail := 0.0
	if r <= 5.0 {
		tail = ratio(ppfC, ppfD, r-1.6)
	} else {
		tail = ratio(ppfE, ppfF, r-5.0)
	}
	return math.Copysign(tail, q)
}

func ratio(top, bottom []float64, r float64) float64 {
	a, b := 0.0, 0.0
	for k := len(top) - 1; k >= 0; k-- {
		a = float64(a*r) + top[k]
		b = float64(b*r) + bottom[k]
	}
	return a / b
}

// log is the standard library's, whose assembly is wrong for subnormal numbers.
func log(x float64) float64 {
	if x > 0 && x < 0x1p-1022 {
		return math.Log(x*0x1p54) - 54*math.Ln2
	}
	return math.Log(x)
}

// high is x without the lower half of its bits.
func high(x float64) float64 { return math.Float64frombits(math.Float64bits(x) &^ (1<<32 - 1)) }

// pow is that of fdlibm (Sun Microsystems, 1993): the logarithm to base 2 in two parts, times y, and a power of 2. The standard library's
// loses digits for large powers.
func pow(x, y float64) float64 {
	size := math.Abs(x)
	switch {
	case y == 1:
		return x
	case y == 2:
		return x * x
	case y == 0.5 && x > 0 && x <= math.MaxFloat64:
		return math.Sqrt(x)
	case y == 0 || size == 1 || !(size > 0 && size <= math.MaxFloat64 && math.Abs(y) <= math.MaxFloat64):
		return math.Pow(x, y)
	}
	sign := 1.0
	if x < 0 {
		if y != math.Floor(y) {
			return math.NaN()
		}
		if math.Mod(y, 2) != 0 {
			sign = -1
		}
	}
	t1, t2 := 0.0, 0.0
	if math.Abs(y) > 1<<31 {
		if math.Abs(size-1) > 0x1p-20 { // beyond the largest or below the smallest number
			return math.Copysign(math.Pow(size, y), sign)
		}
		t := size - 1
		w := float64(t*t) * (0.5 - float64(t*(0.3333333333333333333333-float64(t*0.25))))
		u, v := float64(1.44269502162933349609*t), float64(t*1.92596299112661746887e-08)-float64(w*1.44269504088896338700)
		t1 = high(u + v)
		t2 = v - (t1 - u)
	} else {
		t1, t2 = log2Parts(size)
	}
	y1 := high(y)
	low, top := float64((y-y1)*t1)+float64(y*t2), float64(y1*t1)
	z := low + top
	if z > 1025 {
		return sign * math.Inf(1)
	} else if z < -1080 {
		return sign * 0
	}
	n := math.RoundToEven(z)
	top -= n
	t := high(low + top)
	u, v := float64(t*6.93147182464599609375e-01), float64((low-(t-top))*6.93147180559945286227e-01)+float64(t*-1.90465429995776804525e-09)
	z = u + v
	w := v - (z - u)
	t = float64(z * z)
	t1 = z - float64(t*polynomial(t, 4.13813679705723846039e-08, -1.65339022054652515390e-06, 6.61375632143793436117e-05,
		-2.77777777770155933842e-03, 1.66666666666666019037e-01))
	r := float64(z*t1)/(t1-2) - (w + float64(z*w))
	return sign * math.Ldexp(1-(r-z), int(n))
}

// log2Parts is the logarithm to base 2 of a positive number, in two parts.
func log2Parts(x float64) (float64, float64) {
	x, exponent := math.Frexp(x)
	x, exponent = 2*x, exponent-1 // in [1, 2)
	base, baseHigh, baseLow := 1.0, 0.0, 0.0
	if x >= 1.7320508075688772 {
		x, exponent = x/2, exponent+1
	} else if x > 1.224744871391589 {
		base, baseHigh, baseLow = 1.5, 5.84962487220764160156e-01, 1.35003920212974897128e-08
	}
	u, v := x-base, 1/(x+base)
	s := float64(u * v)
	top, th := high(s), high(x+base)
	tl := x - (th - base)
	low := float64(v * ((u - float64(top*th)) - float64(top*tl)))
	s2 := float64(s * s)
	r := float64(float64(s2*s2) * polynomial(s2, 2.06975017800338417784e-01, 2.30660745775561754067e-01, 2.72728123808534006489e-01,
		3.33333329818377432918e-01, 4.28571428578550184252e-01, 5.99999999999994648725e-01))
	r += float64(low * (top + s))
	s2 = float64(top * top)
	th = high(3 + s2 + r)
	tl = r - ((th - 3) - s2)
	u, v = float64(top*th), float64(low*th)+float64(tl*s)
	ph := high(u + v)
	pl := v - (ph - u)
	zh, zl := float64(9.61796700954437255859e-01*ph), float64(-7.02846165095275826516e-09*ph)+float64(pl*9.61796693925975554329e-01)+baseLow
	n := float64(exponent)
	t1 := high(((zh + zl) + baseHigh) + n)
	return t1, zl - (((t1 - n) - baseHigh) - zh)
}

// polynomial has its highest coefficient first.
func polynomial(x float64, coefficients ...float64) float64 {
	sum := 0.0
	for _, c := range coefficients {
		sum = float64(sum*x) + c
	}
	return sum
}

// log2 is exact for powers of two: the exponent is split off, so that the logarithm is taken near 1.
func log2(x float64) float64 {
	if !(x > 0 && x <= math.MaxFloat64) {
		return log(x)
	}
	exponent := 0
	if x < 0x1p-1000 {
		x, exponent = x*0x1p54, -54
	}
	split := math.Ilogb(x/1.4142135623730951) + 1
	return float64(exponent+split) + log(math.Ldexp(x, -split))/0.6931471805599453
}

// log10 as fdlibm has it; the standard library's is inexact near 1.
func log10(x float64) float64 {
	if !(x > 0 && x <= math.MaxFloat64) {
		return log(x)
	}
	fraction, exponent := math.Frexp(x) // in [0.5, 1)
	if exponent > 0 {
		fraction, exponent = 2*fraction, exponent-1
	}
	y := float64(exponent)
	return float64(y*3.69423907715893078616e-13) + float64(4.34294481903251816668e-01*log(fraction)) + float64(y*3.01029995663611771306e-01)
}

// The standard library's arcsin and arccos lose digits near 1.
func arcsin(x float64) float64 { return math.Atan2(x, math.Sqrt(float64((1-x)*(1+x)))) }
func arccos(x float64) float64 { return 2 * math.Atan2(math.Sqrt(1-x), math.Sqrt(1+x)) }

// sinh and cosh overflow no earlier than their results.
func sinh(x float64) float64 {
	if math.Abs(x) > 700 {
		e := math.Exp(math.Abs(x) / 2)
		return math.Copysign(float64(0.5*e)*e, x)
	}
	return math.Sinh(x)
}

func cosh(x float64) float64 {
	if math.Abs(x) > 700 {
		e := math.Exp(math.Abs(x) / 2)
		return float64(0.5*e) * e
	}
	return math.Cosh(x)
}

// sigmoid is the two-branch form: exp never overflows.
func sigmoid(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	if x >= 0 {
		return 1.0 / (1.0 + e)
	}
	return e / (1.0 + e)
}

func softplus(x float64) float64 { return larger(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// larger is NaN when one of the two is; math.Max has +Inf for NaN and +Inf.
func larger(x, y float64) float64 {
	if x != x || y != y {
		return math.NaN()
	}
	return math.Max(x, y)
}

func smaller(x, y float64) float64 { return -larger(-x, -y) }

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
	dtype     DType // of ops marked d
	work      int64 // multiplications per row, of the profile nn
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

func (a *args) integer(key string, low, high int64) int {
	value := a.attribute(key).scalar(a.at(key)).integer(I64)
	a.need(value >= low && value <= min(high, math.MaxInt32), "has %s %d; it lies between %d and %d.", quote(key), value, low, high)
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
	a.need(int64(t.width) <= limits.RowElements && len(dims) <= limits.Rank,
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

// A frame holds the values of one block of rows; first is the number of the block's first row in the batch.
type frame struct {
	rows, first int
	values      []data
}

// A step is a checked step. run returns the rows of its value, rows x width; what it reads is never changed.
type step struct {
	where string
	in    []int
	from  []*rowType
	typ   *rowType
	dtype DType
	work  int64
	run   func(s *step, f *frame) data
}

func newStep(a *args, t *rowType, run func(s *step, f *frame) data) *step {
	return &step{a.where, a.in, a.types, t, a.dtype, a.work, run}
}

// newRows is a step that computes floats row by row, along the last axis: x gives y, which holds zeros; results are rounded.
func newRows(a *args, t *rowType, row func(x, y []float64)) *step {
	return newStep(a, t, func(s *step, f *frame) data {
		x, y := s.floats(f, 0), make([]float64, f.rows*t.width)
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
	out := s.typ.dtype.allocate(f.rows * s.typ.width)
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
		out, length, offset := typ.dtype.allocate(f.rows*typ.width), typ.width/max(1, lanes), 0
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
		x, out := f.values[s.in[0]], to.allocate(f.rows*s.typ.width)
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
		out := s.typ.dtype.allocate(f.rows * s.typ.width)
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
		out := make([]float64, f.rows*x.width)
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
	a.g.take(96 * int64(keys.size()))
	places := map[cell]int{}
	for k := 0; k < keys.size(); k++ {
		places[keys.cell(k)] = k
		a.need(len(places) == k+1, "has one key twice in \"keys\", at position %d; keys are all different.", k)
	}
	return newStep(a, x.with(values.DType), func(s *step, f *frame) data {
		given := f.values[s.in[0]]
		return s.move(f, values.data, otherwise, func(k int) int {
			place, found := places[given.cell(k)]
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
		out := make([]float64, f.rows*s.typ.width)
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
	return newStep(a, x.with(I64), func(s *step, f *frame) data {
		given, out := f.values[s.in[0]].f, make([]int64, f.rows*x.width)
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
	"exp": math.Exp, "expm1": math.Expm1, "log": log, "log1p": math.Log1p, "log2": log2, "log10": log10, "sin": math.Sin,
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
			return -math.Log1p(math.Exp(-x))
		}
		return x - math.Log1p(math.Exp(x))
	},
}

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
			out := make([]int64, f.rows*s.typ.width)
			for k, v := range f.values[s.in[0]].n {
				out[k] = 1 - v
			}
			return data{n: out}
		})
	}
	return newRows(a, a.rounded(), func(x, y []float64) {
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
	return newStep(a, wide, func(s *step, f *frame) data {
		x, y, out := f.values[s.in[0]], f.values[s.in[1]], dtype.allocate(f.rows*wide.width)
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
	matrix := a.matrix("weight", x)
	n := matrix.shape[0]
	a.g.take(8 * int64(len(matrix.data.f)))
	bias, turned := a.optional("bias", a.dtype, n), make([]float64, len(matrix.data.f)) // [j, k]: the inner loop has no chain of sums
	for k := 0; k < n; k++ {
		for j := 0; j < x.last; j++ {
			turned[j*n+k] = matrix.data.f[k*x.last+j]
		}
	}
	typ := rowOf(a.dtype, int64(n))
	if x.rank > 0 {
		typ = x.resized(x.rank-1, n)
	}
	return newRows(a, typ, func(x, y []float64) {
		for j, v := range x {
			for k, w := range turned[j*n : (j+1)*n] {
				y[k] += float64(v * w)
			}
		}
		for k, b := range bias {
			y[k] += b
		}
	})
}

// softmax is exp(x - max) / sum; log_softmax is x - max - log(sum).
func softmax(a *args) *step {
	logarithm, t := a.op == "log_softmax", a.rounded()
	return newRows(a, t, func(x, y []float64) {
		sum, most := 0.0, 0.0
		if len(x) > 0 {
			most = x[extreme(x, true)]
		}
		for j, v := range x {
			shifted := rounded(v-most, t.dtype)
			e := rounded(math.Exp(shifted), t.dtype)
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
	return newStep(a, typ, func(s *step, f *frame) data {
		x, out := s.floats(f, 0), typ.dtype.allocate(f.rows*typ.width)
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
			sum += math.Exp(v - m)
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

// ==== 6 Trees ========================================================================================================

// trees (tree_ensemble) are the sum (or mean) of the leaves that a row reaches, tree by tree in order. Nodes are in preorder: left is i + 1.
type trees struct {
	columns, leafWidth int
	strict, mean       bool
	missing            string
	dtype, acc         DType
	feature            []int     // [N] column, or -1 for a leaf
	root               []int     // [T] first node
	next               []int     // [N] right child; for a leaf its row in leaf
	threshold          []float64 // [N] 0 at leaves
	category           []int     // [N] set of a categorical node, or -1; nil without categories
	missingLeft        []int     // [N] 1 where NaN goes left; nil unless missing is "node"
	leaf               []float64 // [rows, leafWidth]
	classOf            []int     // [T] the column that a tree adds to, or nil
	init               []float64 // [width] or nil
	typ                *rowType
	setStart           []int
	set                []int64
}

func newTrees(a *args) *trees {
	a.arity(1, 2)
	a.dtype = a.floating("dtype")
	t := &trees{dtype: a.dtype, columns: a.input(0, floats).width, leafWidth: 1}
	t.strict = a.choice("cmp", true, "le", "lt") == "lt"
	t.missing = a.choice("missing", true, "error", "left", "right", "node")
	t.acc = a.floating("acc")
	t.mean = a.choice("aggregate", true, "sum", "mean") == "mean"
	t.feature = a.ints("feature", -1, -1, t.columns-1)
	t.root = a.ints("start", -1, 0, len(t.feature)-1)
	inner := 0
	for _, column := range t.feature {
		if column >= 0 {
			inner++
		}
	}
	a.g.take(64 * int64(len(t.feature))) // these slices and the packed form
	t.children(a, a.ints("right", inner, 0, len(t.feature)))
	t.threshold = make([]float64, len(t.feature))
	given := a.floats("threshold", inner)
	t.perNode(func(i, k int) {
		t.threshold[i] = given[k]
		a.need(given[k] == given[k], "has NaN in \"threshold\" at position %d.", k)
	})
	if t.missing == "node" {
		t.missingLeft = t.spread(a.ints("missing_left", inner, 0, 1))
	}
	t.categories(a, inner)
	if a.has("leaf_width") {
		t.leafWidth = a.integer("leaf_width", 1, a.g.limits.RowElements)
	}
	t.leaves(a, len(t.feature)-inner)
	byClass, width := a.has("class"), t.leafWidth
	a.need(a.has("size") == byClass && !(byClass && width != 1), "has only one of \"class\" and \"size\", or a leaf_width with them.")
	if byClass {
		width = a.integer("size", 1, a.g.limits.RowElements)
		t.classOf = a.ints("class", len(t.root), 0, width-1)
	}
	t.typ = rowOf(t.acc, int64(width))
	t.init = a.optional("init", t.acc, width)
	good := len(a.types) == 1 || a.input(1, []DType{t.acc}).width == width && t.init == nil
	a.need(good, "reads a start of its sum; %s is needed, and no \"init\".", t.typ)
	return t
}

func (t *trees) end(tree int) int {
	if tree+1 < len(t.root) {
		return t.root[tree+1]
	}
	return len(t.feature)
}

// children checks that the nodes form one tree in preorder for each start, so that every walk ends.
func (t *trees) children(a *args, right []int) {
	t.next = make([]int, len(t.feature))
	a.need(len(t.root) > 0 && t.root[0] == 0, "has \"start\" that does not begin with 0.")
	inner, i := 0, 0
	open := []int{}
	for tree, root := range t.root {
		open = open[:0]
		end := t.end(tree)
		a.need(root < end, "has \"start\" that does not ascend strictly.")
		for ; i < end; i++ {
			good := false
			if t.feature[i] >= 0 {
				t.next[i] = root + right[inner]
				inner++
				good = t.next[i] > i+1 && t.next[i] < end
				open = append(open, t.next[i])
			} else {
				t.next[i] = i - inner
				good = i+1 == end
				if n := len(open); n > 0 {
					good = open[n-1] == i+1
					open = open[:n-1]
				}
			}
			if !good {
				panic(a.refuse("has nodes that do not form one tree in preorder: tree %d, node %d.", tree, i-root))
			}
		}
	}
}

// perNode calls take with every inner node, and its number among them.
func (t *trees) perNode(take func(i, k int)) {
	k := 0
	for i, column := range t.feature {
		if column >= 0 {
			take(i, k)
			k++
		}
	}
}

// spread spreads values of the inner nodes to all nodes; leaves have -1.
func (t *trees) spread(inner []int) []int {
	spread := make([]int, len(t.feature))
	for i := range spread {
		spread[i] = -1
	}
	t.perNode(func(i, k int) { spread[i] = inner[k] })
	return spread
}

func (t *trees) categories(a *args, inner int) {
	present := a.has("category")
	a.need(a.has("set_start") == present && a.has("set") == present, "has a part of \"category\", \"set_start\", \"set\".")
	if !present {
		return
	}
	t.set = a.integers("set", 1).data.n
	t.setStart = a.ints("set_start", -1, 0, len(t.set))
	t.category = t.spread(a.ints("category", inner, -1, len(t.setStart)-1))
	good := len(t.set) == 0 || len(t.setStart) > 0
	for s, start := range t.setStart {
		good = good && (s > 0 || start == 0) && start <= t.setEnd(s)
		for k := start; good && k < t.setEnd(s); k++ {
			good = t.set[k] >= 0 && (k == start || t.set[k] > t.set[k-1])
		}
	}
	a.need(good, "has category sets that do not cover \"set\" in order, or do not ascend from 0.")
	for i, s := range t.category {
		a.need(s < 0 || t.threshold[i] == 0, "has a categorical node with the threshold %v; it is 0.", t.threshold[i])
	}
}

func (t *trees) setEnd(s int) int {
	if s+1 < len(t.setStart) {
		return t.setStart[s+1]
	}
	return len(t.set)
}

// leaves reads the leaf rows: those of leaf_table, of which the leaves then name one each, or the leaves' own in node order.
func (t *trees) leaves(a *args, count int) {
	key, indirect := "leaf", a.has("leaf_table")
	if indirect {
		key = "leaf_table"
	}
	t.leaf = a.floatsOf(key, t.acc, -1)
	a.need(len(t.leaf)%t.leafWidth == 0, "has leaf values that do not make rows of %d.", t.leafWidth)
	rows := len(t.leaf) / t.leafWidth
	if !indirect {
		a.expect(key, rows, count)
		return
	}
	place := a.ints("leaf", count, 0, rows-1)
	for i, column := range t.feature {
		if column < 0 {
			t.next[i] = place[t.next[i]]
		}
	}
}

// step walks every row through every tree. A further file may bring a faster way (fastTrees), which leaves some rows to the walk.
func (t *trees) step(a *args) *step {
	addAll := func(x []float64, rows int, out []float64) []int { return nil }
	fast := fastTrees != nil
	if fast {
		addAll = fastTrees(t)
	}
	return newStep(a, t.typ, func(s *step, f *frame) data {
		x, out := s.floats(f, 0), make([]float64, f.rows*t.typ.width)
		var start []float64
		if len(s.from) == 2 {
			start = f.values[s.in[1]].f
		}
		for r := 0; r < f.rows; r++ {
			t.begin(out, r, start)
		}
		rest := addAll(x, f.rows, out)
		if !fast {
			rest = upTo(f.rows)
		}
		for _, r := range rest {
			t.begin(out, r, start)
		}
		for tree := range t.root {
			for _, r := range rest {
				t.add(out, r, tree, t.leafOf(s, tree, x[r*t.columns:(r+1)*t.columns], r, f))
			}
		}
		for k := range out {
			if t.mean {
				out[k] /= float64(len(t.root))
			}
		}
		return data{f: roundAll(out, t.acc)}
	})
}

// fastTrees makes a faster way to add the leaves of all trees to the rows; it returns the rows that are left to the walk. See
// modelport_more.go.
var fastTrees func(t *trees) func(x []float64, rows int, out []float64) []int

func upTo(n int) []int {
	all := make([]int, n)
	for k := range all {
		all[k] = k
	}
	return all
}

// leafOf is the walk that knows NaN and categories.
func (t *trees) leafOf(s *step, tree int, x []float64, r int, f *frame) int {
	i := t.root[tree]
	for t.feature[i] >= 0 {
		v := x[t.feature[i]]
		left := false
		switch {
		case v == v && t.category != nil && t.category[i] >= 0:
			left = t.contains(t.category[i], v)
		case v == v:
			left = v < t.threshold[i] || !t.strict && v == t.threshold[i]
		case t.missing == "error":
			panic(s.refuse(f, r, "a tree compares column %d, which is NaN.", t.feature[i]))
		case t.missingLeft != nil:
			left = t.missingLeft[i] == 1
		default:
			left = t.missing == "left"
		}
		if left {
			i++
		} else {
			i = t.next[i]
		}
	}
	return t.next[i]
}

func (t *trees) contains(s int, v float64) bool {
	if !(v >= 0 && v < 0x1p63) || v != math.Floor(v) {
		return false
	}
	set := t.set[t.setStart[s]:t.setEnd(s)]
	k := sort.Search(len(set), func(k int) bool { return set[k] >= int64(v) })
	return k < len(set) && set[k] == int64(v)
}

func (t *trees) begin(out []float64, r int, start []float64) {
	row := out[r*t.typ.width : (r+1)*t.typ.width]
	for o := range row {
		row[o] = 0
	}
	copy(row, t.init)
	if start != nil {
		copy(row, start[r*t.typ.width:])
	}
}

// add adds a leaf of a tree to row r; every addition is rounded to acc.
func (t *trees) add(out []float64, r, tree, leafRow int) {
	k := r * t.typ.width
	if t.classOf != nil {
		k += t.classOf[tree]
	}
	for _, v := range t.leaf[leafRow*t.leafWidth : (leafRow+1)*t.leafWidth] {
		out[k] = rounded(out[k]+v, t.acc)
		k++
	}
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
	need(fits, "%s is %s%s; rows of %s%s are needed, where named lengths are %s.", where, given, listed(shape), in.DType, listed(in.Shape),
		spellLengths(lengths))
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
	types             []*rowType // of every value: the inputs, then the steps
	steps             []*step
	slots             map[string]int
	free              [][]int // the values that no step after this one needs
	peak              int64   // the most elements of a row that are held at a time
	limits            *Limits
	rowElements, work int64
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
		need(s.work >= 0 && p.work >= 0 && p.work <= g.limits.Multiplications,
			"%s brings a row beyond the limit of %d multiplications.", where, g.limits.Multiplications)
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
	p.rowElements += int64(t.width)
	need(int64(t.width) <= p.limits.RowElements && t.rank <= p.limits.Rank && p.rowElements <= p.limits.TotalRowElements,
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
	carried  *vectors
	plan     *plan // for the examples

	mutex  sync.Mutex
	source []*node       // the steps, and what they have become, where lengths are named; or nil
	memo   map[*node]any // guarded by mutex, as are plans
	plans  map[string]*plan
	recent []string // keys of plans, the least recently used first
}

const blockElements, blockRows, mostPlans = 1 << 22, 1 << 14, 16

var roles = []string{"prediction", "probability", "score", "transform", "cluster", "anomaly"}

// newModel checks a parsed document: header, inputs, steps, outputs, vectors.
func newModel(root *node, g *guard) *Model {
	m := &Model{limits: *g.limits, lengths: map[string]int{}, owners: map[string]*Input{}, plans: map[string]*plan{}}
	m.requires = header(root, g)
	if name := root.get("name"); name != nil {
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
			m.owners[feature] = in
		}
	}
	for _, in := range m.inputs {
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
		m.nameAxes(length, &guard{g.limits, g.left})
	}
	if root.get("verification") != nil {
		m.carried = newVectors(root.get("verification"), m, g.limits.CarriedRows, g)
	}
	return m
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
	key := spellLengths(given)
	if key == spellLengths(m.lengths) {
		return m.plan
	}
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
	unused, bound, given, rows := map[string]bool{}, make([]data, len(m.inputs)), map[string]int{}, -1
	for key := range columns {
		unused[key] = true
	}
	for k, in := range m.inputs {
		value, present := columns[in.Name]
		var t *Tensor
		if !present && in.Features != nil {
			t = gather(in, columns, unused)
		} else {
			t = bind(in, value, present, given)
		}
		delete(unused, in.Name)
		need(rows < 0 || t.Rows() == rows, "Input %s has %d rows, those before it have %d; give equally many.", quote(in.Name), t.Rows(), rows)
		rows = t.Rows()
		bound[k] = t.data
		if in.Missing == "error" {
			refuseMissing(in, t)
		}
	}
	for _, key := range sortedKeys(unused) {
		panic(refused("The input %s is not one of the model's; remove it.", quote(key)))
	}
	for length, n := range m.lengths {
		if _, known := given[length]; !known { // there are no rows
			given[length] = n
		}
	}
	g := &guard{&m.limits, m.limits.Memory}
	return m.evaluate(m.planFor(given, g), bound, rows, g)
}

// PredictRecords predicts records: one map for each row, from the name of an input of one column, or of a feature, to its value or nil.
func (m *Model) PredictRecords(records []map[string]any) (outputs Outputs, err error) {
	defer catch(&err)
	columns := map[string]any{}
	for _, in := range m.inputs {
		one := len(in.Shape) == 0 || len(in.Shape) == 1 && in.Shape[0].Length == 1
		need(in.Features != nil || one, "Input %s is a matrix without features; records cannot name its columns.", quote(in.Name))
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

// gather makes a matrix from one column per feature.
func gather(in *Input, columns map[string]any, unused map[string]bool) *Tensor {
	w, rows := len(in.Features), 0
	parts := make([]data, w)
	for j, key := range in.Features {
		where := "Column " + quote(key)
		value, present := columns[key]
		need(present, "Input %s is missing, and so is its column %s; give one value per row.", quote(in.Name), quote(key))
		t := tensorFrom(value, in.DType, where)
		if j == 0 {
			rows = t.Rows()
		}
		need(t.data.size() == rows && t.Rows() == rows, "%s has %d values; %d rows are given before it.", where, t.data.size(), rows)
		parts[j] = t.as(in.DType, where)
		delete(unused, key)
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
	where := "Input " + quote(in.Name)
	need(present && given != nil, "%s is missing; give one value per row.", where)
	t := tensorFrom(given, in.DType, where)
	column := len(t.shape) == 1 && len(in.Shape) == 1 && in.Shape[0] == Axis{Length: 1}
	none := len(t.shape) > 1 && t.shape[0] == 0 && len(in.Shape) > 0
	if !column && !none {
		in.fit(where, in.DType, t.shape, lengths)
	}
	return newTensor(in.DType, t.as(in.DType, where), t.shape...)
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

// evaluate runs the steps block by block, so that memory stays bounded.
func (m *Model) evaluate(p *plan, bound []data, rows int, g *guard) Outputs {
	result := Outputs{}
	for _, o := range m.outputs {
		t := p.types[o.slot]
		n := elements(int64(rows), int64(t.width))
		g.take(8 * int64(n))
		result[o.Name] = newTensor(o.DType, o.DType.allocate(n), t.shape(rows)...)
	}
	block := int(max(1, min(blockRows, min(blockElements, m.limits.Memory/64)/max(1, p.peak))))
	g.take(16 * int64(min(block, rows)) * p.peak)
	for first := 0; first < rows; first += block {
		f := &frame{min(block, rows-first), first, make([]data, len(p.types))}
		for k, d := range bound {
			f.values[k] = d
			if f.rows != rows {
				t := p.types[k]
				f.values[k] = t.dtype.allocate(f.rows * t.width)
				f.values[k].copy(0, d, first*t.width, f.rows*t.width)
			}
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
	}
	return result
}

// PredictJSON reads {"inputs": {name: tensor}} and predicts (docs/format.md, section 11).
func (m *Model) PredictJSON(request []byte) (outputs Outputs, err error) {
	defer catch(&err)
	g := &guard{&m.limits, m.limits.Memory}
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
	g := &guard{&m.limits, m.limits.Memory}
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
	inputs    []map[string]any // of every set
	expected  []Outputs
	tolerance map[string]tolerance
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
