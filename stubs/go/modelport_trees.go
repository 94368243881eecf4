// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

package modelport

// The op tree_ensemble: 6 Trees. This file belongs together with modelport.go.

import (
	"math"
	"math/bits"
	"sort"
	"sync"
)

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

// step walks every row through every tree: most rows through packed trees, those that need NaN or categories looked up one by one.
func (t *trees) step(a *args) *step {
	addAll := packTrees(t)
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

// packTrees is a faster walk for tree_ensemble, once a batch is large enough to be worth packing the trees.
func packTrees(t *trees) func(x []float64, rows int, out []float64) []int {
	var mutex sync.Mutex
	var packed *packedTrees
	tried := false
	return func(x []float64, rows int, out []float64) []int {
		mutex.Lock()
		if !tried && 4*int64(rows)*int64(len(t.root)) >= int64(len(t.feature)) {
			packed, tried = pack(t), true
		}
		p := packed
		mutex.Unlock()
		if p == nil {
			return upTo(rows)
		}
		return p.add(x, rows, out)
	}
}

// packedTrees are trees packed for speed: a node is one word, key << 32 | step << bits | column. The children of a node stand side by side,
// `step` places after it. A row's number and a threshold are compared as integer keys of the same order, without a branch: right when the
// row's key is greater. A leaf has step 0, its leaf row as key, and reads an extra column whose key is the smallest of all: the walk stays on
// it, so that four rows can walk together until the last has arrived.
type packedTrees struct {
	*trees
	node  []int64
	bits  int
	edges [][]float64 // [columns] sorted thresholds, for f64; f32 needs none
}

// pack gives nil when a category has to be looked up, or when column and step do not fit 32 bits together.
func pack(t *trees) *packedTrees {
	if t.category != nil {
		return nil
	}
	p := &packedTrees{trees: t, node: make([]int64, len(t.feature)), bits: bits.Len32(uint32(t.columns))}
	if t.dtype == F64 {
		p.edges = make([][]float64, t.columns)
		t.perNode(func(i, k int) { p.edges[t.feature[i]] = append(p.edges[t.feature[i]], t.threshold[i]) })
		for _, column := range p.edges {
			sort.Float64s(column)
		}
	}
	place := make([]int, len(p.node))
	for tree, root := range t.root {
		free := root + 1
		place[root] = root
		for i := root; i < t.end(tree); i++ {
			low, key := int64(t.columns), int64(t.next[i])
			if t.feature[i] >= 0 {
				step := int64(free - place[i])
				if step>>(32-p.bits) != 0 {
					return nil
				}
				place[i+1], place[t.next[i]] = free, free+1
				free += 2
				low, key = step<<p.bits|int64(t.feature[i]), int64(p.limit(t.feature[i], t.threshold[i]))
			}
			p.node[place[i]] = key<<32 | low
		}
	}
	return p
}

// limit is the greatest key that goes left at a threshold. For f64 it is the number of the column's thresholds that are below.
func (p *packedTrees) limit(column int, threshold float64) int32 {
	if p.edges != nil {
		return int32(count(p.edges[column], 0, len(p.edges[column]), threshold, false))
	}
	if p.strict {
		return sortable(float32(threshold)) - 1
	}
	return sortable(float32(threshold))
}

// key is the key of a row's number; for f64 the number of edges that it is above (or at, under "lt").
func (p *packedTrees) key(column int, v float64) int32 {
	if p.edges != nil {
		return int32(count(p.edges[column], 0, len(p.edges[column]), v, p.strict))
	}
	return sortable(float32(v))
}

// sortable is a float as an integer of the same order; -0.0 is 0.0. The smallest integer stays free for the extra column.
func sortable(v float32) int32 {
	raw := int32(math.Float32bits(v))
	if raw < 0 {
		return math.MinInt32 - raw
	}
	return raw
}

// add adds the leaves of all trees to out; returns the rows whose NaN needs the slow walk: they are to be redone.
func (p *packedTrees) add(x []float64, rows int, out []float64) []int {
	stride := p.columns + 1
	block := max(4, min(rows, (1<<16)/stride))
	keys, slow := make([]int32, block*stride), []int{}
	for first := 0; first < rows; first += block {
		n := min(block, rows-first)
		for r := 0; r < n; r++ {
			if !p.keys(x[(first+r)*p.columns:][:p.columns], keys[r*stride:][:stride]) {
				slow = append(slow, first+r)
			}
		}
		for tree := range p.root {
			p.addTree(tree, keys, stride, n, out, first)
		}
	}
	return slow
}

// keys makes the keys of one row; false when NaN does not simply go left or right.
func (p *packedTrees) keys(x []float64, keys []int32) bool {
	fits, missing := true, int32(math.MaxInt32)
	if p.missing == "left" {
		missing = math.MinInt32
	}
	for j, v := range x {
		if v == v {
			keys[j] = p.key(j, v)
			continue
		}
		keys[j] = missing
		fits = fits && (p.missing == "left" || p.missing == "right")
	}
	keys[p.columns] = math.MinInt32
	return fits
}

func (p *packedTrees) addTree(tree int, x []int32, stride, n int, out []float64, first int) {
	root, r, node, bits := p.root[tree], 0, p.node, p.bits
	column := uint32(1)<<bits - 1
	for ; r+4 <= n; r += 4 {
		a, b, c, d := x[r*stride:][:stride], x[(r+1)*stride:][:stride], x[(r+2)*stride:][:stride], x[(r+3)*stride:][:stride]
		i, j, k, l := root, root, root, root
		for {
			u, v, w, z := node[i], node[j], node[k], node[l]
			if uint32(u|v|w|z)>>bits == 0 {
				break
			}
			i += int(uint32(u)>>bits) + int(uint64(u>>32-int64(a[uint32(u)&column]))>>63)
			j += int(uint32(v)>>bits) + int(uint64(v>>32-int64(b[uint32(v)&column]))>>63)
			k += int(uint32(w)>>bits) + int(uint64(w>>32-int64(c[uint32(w)&column]))>>63)
			l += int(uint32(z)>>bits) + int(uint64(z>>32-int64(d[uint32(z)&column]))>>63)
		}
		p.trees.add(out, first+r, tree, int(node[i]>>32))
		p.trees.add(out, first+r+1, tree, int(node[j]>>32))
		p.trees.add(out, first+r+2, tree, int(node[k]>>32))
		p.trees.add(out, first+r+3, tree, int(node[l]>>32))
	}
	for ; r < n; r++ {
		row, i := x[r*stride:][:stride], root
		for u := node[i]; uint32(u)>>bits != 0; u = node[i] {
			i += int(uint32(u)>>bits) + int(uint64(u>>32-int64(row[uint32(u)&column]))>>63)
		}
		p.trees.add(out, first+r, tree, int(node[i]>>32))
	}
}
