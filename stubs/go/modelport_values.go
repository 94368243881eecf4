// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

package modelport

// What ops and models are made of: 1 Errors, 2 JSON, 3 Tensors, 4 Special functions. This file belongs together with modelport.go.

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"
)

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

// part is n elements, from one on; they are not copied.
func (d data) part(from, n int) data {
	switch {
	case d.f != nil:
		return data{f: d.f[from : from+n : from+n]}
	case d.n != nil:
		return data{n: d.n[from : from+n : from+n]}
	}
	return data{s: d.s[from : from+n : from+n]}
}

// A rowType is dtype and row shape of a value; width is the number of elements of a row: lanes times the length of the last axis (1 for
// rank 0).
type rowType struct {
	dtype                    DType
	rank, width, last, lanes int
	counted                  int // the width, for limits: an axis of length 0 counts as 1
	dims                     []int
}

func newType(dtype DType, dims ...int) *rowType {
	t := &rowType{dtype: dtype, dims: dims, rank: len(dims), last: 1, counted: 1}
	for _, length := range dims {
		t.counted = clamp(int64(t.counted) * int64(max(1, length)))
	}
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

// Of makes a pointer of a value, as []*string and optional fields have them.
func Of[T any](value T) *T { return &value }

// Must gives the value, and panics with the error where there is one: for programs that have nothing else to do then.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

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
		if n := int64(v.data.size()); product(v.shape, math.MaxInt32) != n {
			panic(refused("%s has %d elements for the shape %s; they must agree.", where, n, listed(v.shape)))
		}
		for _, s := range v.data.s {
			if s != nil && !utf8.ValidString(*s) {
				panic(refused("%s holds a string that is not UTF-8.", where))
			}
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
		return matrixOf(v, where)
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

func matrixOf(rows [][]float64, where string) *Tensor {
	if len(rows) == 0 {
		return newTensor(F64, F64.allocate(0), 0, 0)
	}
	width := len(rows[0])
	all := make([]float64, 0, elements(int64(len(rows)), int64(width)))
	for r, row := range rows {
		if len(row) != width {
			panic(refused("%s is ragged in row %d; rows are equally long.", where, r))
		}
		all = append(all, row...)
	}
	return newTensor(F64, data{f: all}, len(rows), width)
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
	if !wanted.IsFloat() || t.DType == Str {
		panic(refused("%s holds %s; %s is needed.", where, t.DType, wanted))
	}
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
	for _, key := range j.object(where).keys {
		need(!ignored(key), "%s has the key %s; a tensor has none such.", where, quote(key))
	}
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
			g.measure(d.s[k])
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
	if width > 0 && n > (math.MaxInt32-16)/width {
		panic(refused("%d rows of %d elements do not fit one array; predict fewer rows at a time.", n, width))
	}
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
	return exp(-coarse*coarse) * exp(-(y-coarse)*(y+coarse))
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

// expTable has the powers of 2^(1/128), each as the sum of two numbers.
var expTable = func() (table [128][2]float64) {
	step, stepLow, power, low := 0x1.0163da9fb3335p+0, 0x1.b61299ab8cdb7p-54, 1.0, 0.0
	top, bottom := high(step), step-high(step)
	for k := range table {
		table[k] = [2]float64{power, low}
		product, first, second := float64(power*step), high(power), power-high(power)
		rest := float64(first*top) - product + float64(first*bottom) + float64(second*top) + float64(second*bottom)
		rest += float64(power*stepLow) + float64(low*step)
		power = product + rest
		low = rest - (power - product)
	}
	return table
}()

// exp is wrong by little more than half of the last digit; the standard library's by up to one.
func exp(x float64) float64 {
	if !(math.Abs(x) < 708) {
		return math.Exp(x)
	}
	k := math.Floor(float64(x*184.6649652337873) + 0.5) // in 128ths of log(2)
	r := x - float64(k*0x1.62e42fefa0000p-8) - float64(k*0x1.cf79abc9e3b3ap-47)
	n, square := int(k), float64(r*r)
	p := r + float64(square*(0.5+float64(r*(0x1.5555555555555p-3+float64(r*(0x1.5555555555555p-5+float64(r*0x1.1111111111111p-7)))))))
	power := &expTable[n&127]
	return (power[0] + (power[1] + float64(power[0]*p))) * math.Float64frombits(uint64(n>>7+1023)<<52)
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
		e := exp(math.Abs(x) / 2)
		return math.Copysign(float64(0.5*e)*e, x)
	}
	return math.Sinh(x)
}

func cosh(x float64) float64 {
	if math.Abs(x) > 700 {
		e := exp(math.Abs(x) / 2)
		return float64(0.5*e) * e
	}
	return math.Cosh(x)
}

// sigmoid is 1 / (1 + exp(-x)): where exp overflows the quotient is 0.
func sigmoid(x float64) float64 {
	return 1.0 / (1.0 + exp(-x))
}

func softplus(x float64) float64 { return larger(x, 0) + math.Log1p(exp(-math.Abs(x))) }

// larger is NaN when one of the two is; math.Max has +Inf for NaN and +Inf.
func larger(x, y float64) float64 {
	if x != x || y != y {
		return math.NaN()
	}
	return math.Max(x, y)
}

func smaller(x, y float64) float64 { return -larger(-x, -y) }
