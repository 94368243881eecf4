// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

package modelport

// The op tree_ensemble: 6 Trees. This file belongs together with modelport.go.

import (
	"math"
	"math/bits"
	"sort"
)

// ==== 6 Trees ========================================================================================================

// trees (tree_ensemble) are the sum (or mean) of the leaves that a row reaches, tree by tree in order.
//
// A node is one word, key << 32 | step << bits | column. The children of a node stand side by side, `step` places after it. A row's numbers
// and the thresholds are compared as integer keys of the same order, without a branch: right when the row's key is greater. A leaf has step
// 0, its row in leaf as key, and reads an extra column whose key is the smallest of all: the walk stays on it, so that eight walks can go
// together until the last has arrived. The columns of a row of d are: 0..d-1, d for the leaves and, where nodes say themselves whether NaN
// goes left, d+1..2d, the same with NaN as the smallest key.
type trees struct {
	d, stride, leafWidth int
	strict, mean         bool
	missing              string
	dtype, acc           DType
	node                 []int64
	bits                 uint
	column               []int32     // [nodes] where column and step do not fit 32 bits together; or nil
	root, sure           []int32     // [T] the place of the first node, and the fewest steps from there to a leaf
	edges                [][]float64 // [d] the thresholds, ascending and different, for f64; f32 needs none
	category             []int32     // [nodes] set of a categorical node, or -1; nil without categories
	setStart             []int
	set                  []int64
	leaf                 []float64 // [rows, leafWidth]
	classOf              []int     // [T] the column that a tree adds to, or nil
	init                 []float64 // [width] or nil
	typ                  *rowType
}

// A planting has the attributes while trees are packed. Nodes are in preorder: left is i + 1.
type planting struct {
	*trees
	feature     []int     // [N] column, or -1 for a leaf
	start       []int     // [T] first node
	next        []int     // [N] right child; for a leaf its row in leaf
	threshold   []float64 // [inner nodes]
	category    []int     // [inner nodes] or nil
	missingLeft []int     // [inner nodes] 1 where NaN goes left; nil unless missing is "node"
	place       []int32   // [nodes of the largest tree] where a node goes, from the root on
	waiting     []int32
}

func newTrees(a *args) *trees {
	a.arity(1, 2)
	a.dtype = a.floating("dtype")
	t := &trees{dtype: a.dtype, d: a.input(0, floats).width, leafWidth: 1}
	t.strict = a.choice("cmp", true, "le", "lt") == "lt"
	t.missing = a.choice("missing", true, "error", "left", "right", "node")
	t.acc = a.floating("acc")
	t.mean = a.choice("aggregate", true, "sum", "mean") == "mean"
	p := &planting{trees: t, feature: a.ints("feature", -1, -1, t.d-1)}
	p.start = a.ints("start", -1, 0, len(p.feature)-1)
	inner := 0
	for _, column := range p.feature {
		if column >= 0 {
			inner++
		}
	}
	a.g.take(48 * int64(len(p.feature))) // these slices and the packed form
	p.children(a, a.ints("right", inner, 0, len(p.feature)))
	p.threshold = a.floats("threshold", inner)
	for k, threshold := range p.threshold {
		a.need(threshold == threshold, "has NaN in \"threshold\" at position %d.", k)
	}
	if t.missing == "node" {
		p.missingLeft = a.ints("missing_left", inner, 0, 1)
	}
	p.categories(a, inner)
	if a.has("leaf_width") {
		t.leafWidth = a.integer("leaf_width", 1, a.g.limits.RowElements)
	}
	a.multiplies(len(p.start), t.leafWidth)
	p.leaves(a, len(p.feature)-inner)
	byClass, width := a.has("class"), t.leafWidth
	a.need(a.has("size") == byClass && !(byClass && width != 1), "has only one of \"class\" and \"size\", or a leaf_width with them.")
	if byClass {
		width = a.integer("size", 1, a.g.limits.RowElements)
		t.classOf = a.ints("class", len(p.start), 0, width-1)
	}
	t.typ = rowOf(t.acc, int64(width))
	t.init = a.optional("init", t.acc, width)
	good := len(a.types) == 1 || a.input(1, []DType{t.acc}).width == width && t.init == nil
	a.need(good, "reads a start of its sum; %s is needed, and no \"init\".", t.typ)
	p.pack()
	return t
}

func (p *planting) end(tree int) int {
	if tree+1 < len(p.start) {
		return p.start[tree+1]
	}
	return len(p.feature)
}

// children checks that the nodes form one tree in preorder for each start, so that every walk ends, and finds the fewest steps to a leaf.
func (p *planting) children(a *args, right []int) {
	p.next, p.sure = make([]int, len(p.feature)), make([]int32, len(p.start))
	a.need(len(p.start) > 0 && p.start[0] == 0, "has \"start\" that does not begin with 0.")
	inner, i := 0, 0
	type subtree struct {
		at    int
		depth int32
	}
	open := []subtree{} // the right children that are to come
	for tree, root := range p.start {
		open = open[:0]
		end, depth := p.end(tree), int32(0)
		p.sure[tree] = math.MaxInt32
		a.need(root < end, "has \"start\" that does not ascend strictly.")
		for ; i < end; i++ {
			good := false
			if p.feature[i] >= 0 {
				p.next[i] = root + right[inner]
				inner++
				depth++
				good = p.next[i] > i+1 && p.next[i] < end
				open = append(open, subtree{p.next[i], depth})
			} else {
				p.next[i] = i - inner
				good = i+1 == end
				if depth < p.sure[tree] {
					p.sure[tree] = depth
				}
				if n := len(open); n > 0 {
					good = open[n-1].at == i+1
					depth = open[n-1].depth
					open = open[:n-1]
				}
			}
			if !good {
				panic(a.refuse("has nodes that do not form one tree in preorder: tree %d, node %d.", tree, i-root))
			}
		}
	}
}

func (p *planting) categories(a *args, inner int) {
	present := a.has("category")
	a.need(a.has("set_start") == present && a.has("set") == present, "has a part of \"category\", \"set_start\", \"set\".")
	if !present {
		return
	}
	p.set = a.integers("set", 1).data.n
	p.setStart = a.ints("set_start", -1, 0, len(p.set))
	p.category = a.ints("category", inner, -1, len(p.setStart)-1)
	good := len(p.set) == 0 || len(p.setStart) > 0
	for s, start := range p.setStart {
		good = good && (s > 0 || start == 0) && start <= p.setEnd(s)
		for k := start; good && k < p.setEnd(s); k++ {
			good = p.set[k] >= 0 && (k == start || p.set[k] > p.set[k-1])
		}
	}
	a.need(good, "has category sets that do not cover \"set\" in order, or do not ascend from 0.")
	for k, s := range p.category {
		a.need(s < 0 || p.threshold[k] == 0, "has a categorical node with the threshold %v; it is 0.", p.threshold[k])
	}
}

func (t *trees) setEnd(s int) int {
	if s+1 < len(t.setStart) {
		return t.setStart[s+1]
	}
	return len(t.set)
}

// leaves reads the leaf rows: those of leaf_table, of which the leaves then name one each, or the leaves' own in node order.
func (p *planting) leaves(a *args, count int) {
	key, indirect := "leaf", a.has("leaf_table")
	if indirect {
		key = "leaf_table"
	}
	p.leaf = a.floatsOf(key, p.acc, -1)
	a.need(len(p.leaf)%p.leafWidth == 0, "has leaf values that do not make rows of %d.", p.leafWidth)
	rows := len(p.leaf) / p.leafWidth
	if !indirect {
		a.expect(key, rows, count)
		return
	}
	place := a.ints("leaf", count, 0, rows-1)
	for i, column := range p.feature {
		if column < 0 {
			p.next[i] = place[p.next[i]]
		}
	}
}

// pack writes the nodes.
func (p *planting) pack() {
	p.stride = p.d + 1
	if p.missingLeft != nil {
		p.stride += p.d
	}
	p.bits = uint(bits.Len32(uint32(p.stride - 1)))
	if p.stride <= narrow {
		p.bits = narrowBits
	}
	if p.dtype == F64 {
		p.findEdges()
	}
	largest, places := 0, 0
	for tree, root := range p.start {
		largest = max(largest, p.end(tree)-root)
	}
	p.place, p.waiting, p.root = make([]int32, largest), make([]int32, 0, 64), make([]int32, len(p.start))
	for tree := range p.start {
		p.root[tree] = int32(places)
		places += (p.layOut(tree) + pairsOfLine*2 - 1) / (pairsOfLine * 2) * (pairsOfLine * 2)
	}
	p.node = make([]int64, places)
	if p.category != nil {
		p.trees.category = make([]int32, places)
		for k := range p.trees.category {
			p.trees.category[k] = -1
		}
	}
	inner := 0
	for tree, root := range p.start {
		p.layOut(tree)
		at := int(p.root[tree])
		for i := root; i < p.end(tree); i++ {
			from := int(p.place[i-root])
			if p.feature[i] < 0 {
				p.put(at+from, p.d, 0, int32(p.next[i]))
				continue
			}
			column, limit := p.feature[i], int32(0)
			if p.category == nil || p.category[inner] < 0 {
				limit = p.limit(column, p.threshold[inner])
			} else {
				p.trees.category[at+from] = int32(p.category[inner])
			}
			if p.missingLeft != nil && p.missingLeft[inner] == 1 {
				column += p.d + 1
			}
			p.put(at+from, column, int(p.place[i+1-root])-from, limit)
			inner++
		}
	}
}

// findEdges finds the different thresholds of every column.
func (p *planting) findEdges() {
	p.edges = make([][]float64, p.d)
	inner := 0
	for _, column := range p.feature {
		if column < 0 {
			continue
		}
		if p.category == nil || p.category[inner] < 0 {
			p.edges[column] = append(p.edges[column], p.threshold[inner])
		}
		inner++
	}
	for j, column := range p.edges {
		sort.Float64s(column)
		n := 0
		for k, edge := range column {
			if k == 0 || edge != column[n-1] {
				column[n] = edge
				n++
			}
		}
		p.edges[j] = append([]float64(nil), column[:n]...)
	}
}

const pairsOfLine = 4 // pairs of children in a cache line

// layOut chooses the places of a tree's nodes: the root at 0, and pairs of children behind it, as many generations in one cache line as fit.
// It returns the number of places.
func (p *planting) layOut(tree int) int {
	root, next := p.start[tree], 2
	p.place[0] = 0
	p.waiting = append(p.waiting[:0], 0)
	var near [2 * pairsOfLine * 2]int32
	for len(p.waiting) > 0 {
		head, tail := 0, 1
		near[0] = p.waiting[len(p.waiting)-1]
		p.waiting = p.waiting[:len(p.waiting)-1]
		if p.feature[root+int(near[0])] < 0 {
			continue
		}
		room := pairsOfLine - next/2%pairsOfLine
		if room < pairsOfLine && room <= pairsOfLine/2 {
			next += 2 * room
			room = pairsOfLine
		}
		for ; head < tail && room > 0; head++ {
			i := root + int(near[head])
			if p.feature[i] < 0 {
				continue
			}
			left, right := i+1-root, p.next[i]-root
			p.place[left], p.place[right] = int32(next), int32(next+1)
			near[tail], near[tail+1] = int32(left), int32(right)
			next, tail, room = next+2, tail+2, room-1
		}
		for tail--; tail >= head; tail-- {
			p.waiting = append(p.waiting, near[tail])
		}
	}
	return next
}

// put writes a node; once a step is too long to stand beside its column, columns stand apart.
func (p *planting) put(at, column, step int, key int32) {
	if p.column == nil && step>>(32-p.bits) != 0 {
		p.column = make([]int32, len(p.node))
		for k, u := range p.node {
			p.column[k] = int32(uint32(u) & (1<<p.bits - 1))
			p.node[k] = u>>32<<32 | int64(uint32(u)>>p.bits)
		}
		p.bits = 0
	}
	if p.column != nil {
		p.column[at] = int32(column)
		column = 0
	}
	p.node[at] = int64(key)<<32 | int64(step)<<p.bits | int64(column)
}

// limit is the greatest key that goes left at a threshold. For f64 it is the number of the column's thresholds that are below.
func (t *trees) limit(column int, threshold float64) int32 {
	if t.edges != nil {
		return int32(count(t.edges[column], 0, len(t.edges[column]), threshold, false))
	}
	if t.strict {
		return sortable(float32(threshold)) - 1
	}
	return sortable(float32(threshold))
}

// sortable is a float as an integer of the same order; -0.0 is 0.0. The smallest integer stays free for the leaves' column.
func sortable(v float32) int32 {
	raw := int32(math.Float32bits(v))
	if raw < 0 {
		return math.MinInt32 - raw
	}
	return raw
}

// rank is the number of edges that v is above (or at, under "lt"): a binary search whose steps are no branches.
func rank(edges []float64, v float64, strict bool) int32 {
	low, n := 0, len(edges)
	if n == 0 {
		return 0
	}
	for n > 1 {
		half := n >> 1
		beyond := low + half
		if edges[beyond-1] < v || strict && edges[beyond-1] == v {
			low = beyond
		}
		n -= half
	}
	if edges[low] < v || strict && edges[low] == v {
		low++
	}
	return int32(low)
}

// keys makes the keys of one row.
func (t *trees) keys(x []float64, keys []int32) {
	missing := int32(math.MaxInt32)
	if t.missing == "left" {
		missing = math.MinInt32
	}
	if t.edges == nil {
		for j, v := range x {
			keys[j] = sortable(float32(v))
			if v != v {
				keys[j] = missing
			}
		}
	} else {
		for j, v := range x {
			keys[j] = rank(t.edges[j], v, t.strict)
			if v != v {
				keys[j] = missing
			}
		}
	}
	keys[t.d] = math.MinInt32
	if t.stride > t.d+1 {
		copy(keys[t.d+1:], keys[:t.d])
		for j, v := range x {
			if v != v {
				keys[t.d+1+j] = math.MinInt32
			}
		}
	}
}

const lanes, narrow, narrowBits = 8, 64, 6

// A group has the keys of eight rows: rows of at most 64 keys in an array, so that no index has to be checked, others in a slice.
type group struct {
	narrow [lanes][narrow]int32
	wide   []int32
}

func (t *trees) newGroups(n int) []group {
	groups := make([]group, n)
	for k := range groups {
		if t.stride > narrow {
			groups[k].wide = make([]int32, lanes*t.stride)
		}
	}
	return groups
}

func (t *trees) keysOf(g *group, lane int) []int32 {
	if t.stride > narrow {
		return g.wide[lane*t.stride:][:t.stride]
	}
	return g.narrow[lane][:t.stride]
}

// walk goes with eight rows from the nodes `at` to their leaves; none is nearer than `sure` steps.
func (t *trees) walk(g *group, sure int32, at *[lanes]int) {
	if t.stride <= narrow && t.column == nil {
		walkNarrow(t.node, &g.narrow, sure, at)
		return
	}
	for k := range at {
		at[k] = t.walkOne(t.keysOf(g, k), at[k])
	}
}

func (t *trees) walkOne(keys []int32, i int) int {
	column := uint32(1)<<t.bits - 1
	for {
		u := t.node[i]
		if uint32(u)>>t.bits == 0 {
			return i
		}
		c := uint32(u) & column
		if t.column != nil {
			c = uint32(t.column[i])
		}
		i += int(uint32(u)>>t.bits) + int(uint64(u>>32-int64(keys[c]))>>63)
	}
}

func walkNarrow(node []int64, x *[lanes][narrow]int32, sure int32, at *[lanes]int) {
	a, b, c, d, e, f, g, h := at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]
	for ; sure > 0; sure-- {
		u := node[a]
		a += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[0][u&(narrow-1)]))>>63)
		u = node[b]
		b += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[1][u&(narrow-1)]))>>63)
		u = node[c]
		c += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[2][u&(narrow-1)]))>>63)
		u = node[d]
		d += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[3][u&(narrow-1)]))>>63)
		u = node[e]
		e += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[4][u&(narrow-1)]))>>63)
		u = node[f]
		f += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[5][u&(narrow-1)]))>>63)
		u = node[g]
		g += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[6][u&(narrow-1)]))>>63)
		u = node[h]
		h += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[7][u&(narrow-1)]))>>63)
	}
	for going := int64(narrow); uint32(going)>>narrowBits != 0; {
		u := node[a]
		going = u
		a += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[0][u&(narrow-1)]))>>63)
		u = node[b]
		going |= u
		b += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[1][u&(narrow-1)]))>>63)
		u = node[c]
		going |= u
		c += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[2][u&(narrow-1)]))>>63)
		u = node[d]
		going |= u
		d += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[3][u&(narrow-1)]))>>63)
		u = node[e]
		going |= u
		e += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[4][u&(narrow-1)]))>>63)
		u = node[f]
		going |= u
		f += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[5][u&(narrow-1)]))>>63)
		u = node[g]
		going |= u
		g += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[6][u&(narrow-1)]))>>63)
		u = node[h]
		going |= u
		h += int(uint32(u)>>narrowBits) + int(uint64(u>>32-int64(x[7][u&(narrow-1)]))>>63)
	}
	at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7] = a, b, c, d, e, f, g, h
}

// step walks every row through every tree: eight rows at a time through one tree, one row at a time through eight trees.
func (t *trees) step(a *args) *step {
	return newStep(a, t.typ, func(s *step, f *frame) data {
		x, out := f.values[s.in[0]].f, f.zeros(f.rows*t.typ.width)
		if len(s.from) == 2 {
			copy(out, f.values[s.in[1]].f[:len(out)])
		} else if t.init != nil {
			for k := 0; k < len(out); k += len(t.init) {
				copy(out[k:], t.init)
			}
		}
		if t.category != nil || t.missing == "error" {
			t.byValue(s, f, x, out)
		}
		if t.category == nil {
			t.addAll(x, f.rows, out)
		}
		for k := 0; t.mean && k < len(out); k++ {
			out[k] /= float64(len(t.root))
		}
		return data{f: roundAll(out, t.acc)}
	})
}

const rowsOfBlock = 2048

func (t *trees) addAll(x []float64, rows int, out []float64) {
	w := t.typ.width
	groups := t.newGroups(min((rows+lanes-1)/lanes, rowsOfBlock/lanes))
	var at [lanes]int
	first := 0
	for first+lanes <= rows {
		n := min(len(groups), (rows-first)/lanes)
		for r := 0; r < n*lanes; r++ {
			t.keys(x[(first+r)*t.d:][:t.d], t.keysOf(&groups[r/lanes], r%lanes))
		}
		for tree, root := range t.root {
			for g := 0; g < n; g++ {
				for k := range at {
					at[k] = int(root)
				}
				t.walk(&groups[g], t.sure[tree], &at)
				sums := out[(first+g*lanes)*w:][:lanes*w]
				if t.leafWidth > 1 || t.acc != F64 {
					for k, place := range at {
						t.add(sums[k*w:][:w], tree, place)
					}
					continue
				}
				o := 0
				if t.classOf != nil {
					o = t.classOf[tree]
				}
				for _, place := range at {
					sums[o] += t.leaf[t.node[place]>>32]
					o += w
				}
			}
		}
		first += n * lanes
	}
	for ; first < rows; first++ {
		t.addRow(x[first*t.d:][:t.d], &groups[0], out[first*w:][:w])
	}
}

func (t *trees) addRow(x []float64, g *group, out []float64) {
	t.keys(x, t.keysOf(g, 0))
	for k := 1; k < lanes; k++ {
		copy(t.keysOf(g, k), t.keysOf(g, 0))
	}
	var at [lanes]int
	for tree := 0; tree < len(t.root); tree += lanes {
		sure := int32(math.MaxInt32)
		for k := range at {
			one := min(tree+k, len(t.root)-1)
			at[k] = int(t.root[one])
			if t.sure[one] < sure {
				sure = t.sure[one]
			}
		}
		t.walk(g, sure, &at)
		n := min(lanes, len(t.root)-tree)
		if t.leafWidth > 1 || t.acc != F64 || t.classOf != nil {
			for k, place := range at[:n] {
				t.add(out, tree+k, place)
			}
			continue
		}
		for _, place := range at[:n] {
			out[0] += t.leaf[t.node[place]>>32]
		}
	}
}

// add adds the leaf at a place to a row's sums; every addition is rounded to acc.
func (t *trees) add(sums []float64, tree, place int) {
	from := int(t.node[place]>>32) * t.leafWidth
	if t.classOf != nil {
		sums = sums[t.classOf[tree]:]
	}
	if t.acc == F64 {
		for k, v := range t.leaf[from:][:t.leafWidth] {
			sums[k] += v
		}
		return
	}
	for k, v := range t.leaf[from:][:t.leafWidth] {
		sums[k] = rounded(sums[k]+v, t.acc)
	}
}

// byValue walks in a way that looks at every value: for categories, and to find a NaN that a tree reads and does not accept.
func (t *trees) byValue(s *step, f *frame, x, out []float64) {
	keys, w := make([]int32, t.stride), t.typ.width
	for r := 0; r < f.rows; r++ {
		row, clean := x[r*t.d:][:t.d], t.category == nil
		for j := 0; clean && j < t.d; j++ {
			clean = row[j] == row[j]
		}
		if clean {
			continue
		}
		t.keys(row, keys)
		for tree := range t.root {
			place := t.placeOf(s, f, tree, row, keys, r)
			if t.category != nil {
				t.add(out[r*w:][:w], tree, place)
			}
		}
	}
}

func (t *trees) placeOf(s *step, f *frame, tree int, x []float64, keys []int32, r int) int {
	i := int(t.root[tree])
	for {
		u := t.node[i]
		if uint32(u)>>t.bits == 0 {
			return i
		}
		c := int(uint32(u) & (1<<t.bits - 1))
		if t.column != nil {
			c = int(t.column[i])
		}
		right, j := int64(keys[c]) > u>>32, c
		if c > t.d {
			j -= t.d + 1
		}
		if x[j] != x[j] && t.missing == "error" {
			panic(s.refuse(f, r, "a tree compares column %d, which is NaN.", j))
		} else if x[j] == x[j] && t.category != nil && t.category[i] >= 0 {
			right = !t.contains(int(t.category[i]), rounded(x[j], t.dtype))
		}
		i += int(uint32(u) >> t.bits)
		if right {
			i++
		}
	}
}

func (t *trees) contains(s int, v float64) bool {
	if !(v >= 0 && v < 0x1p63) || v != math.Floor(v) {
		return false
	}
	set := t.set[t.setStart[s]:t.setEnd(s)]
	k := sort.Search(len(set), func(k int) bool { return set[k] >= int64(v) })
	return k < len(set) && set[k] == int64(v)
}
