"""tree_ensemble: every decision tree, forest and boosted ensemble (docs/format.md, section 7). Bit-exact."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from ..graph import DTYPES, ValueType
from .base import Array, Attribute, Attributes, is_in_passing, length, refuse_row, register, require, row, rows


def infer_trees(a: Attributes, x: ValueType, init: ValueType | None = None) -> ValueType:
    width, feature, right = row(x), a["feature"], a["right"]
    inner = int((feature >= 0).sum())
    leaves = feature.size - inner
    require(feature.size > 0 and int(feature.max()) < width, f"attribute 'feature' leaves the row of {width} columns.")
    require(int(feature.min()) >= -1, "attribute 'feature' holds a number below -1.")
    length(a, "threshold", inner)
    length(a, "right", inner)
    require(not np.isnan(a["threshold"]).any(), "attribute 'threshold' holds NaN.")
    _check_start(a["start"], feature.size)
    _check_preorder(a["start"], feature, right)
    _check_missing(a, inner)
    _check_categories(a, inner)
    size = _check_leaves(a, leaves)
    if "init" in a:
        length(a, "init", size)
    if init is not None:
        require("init" not in a, "a second value and attribute 'init' exclude each other.")
        require(row(init, (a["acc"],)) == size, f"its second value is {init}; {a['acc']}[{size}] is needed.")
    return ValueType(a["acc"], (size,))


def _check_start(start: Array, nodes: int) -> None:
    good = start.size > 0 and int(start[0]) == 0 and bool(np.all(np.diff(start.astype(np.int64)) > 0)) and int(start[-1]) < nodes
    require(good, "attribute 'start' does not begin at 0 and ascend within the nodes.")


def _check_preorder(start: Array, feature: Array, right: Array) -> None:
    """Group by group, so that what is needed for it stays small beside the ensemble."""
    inner = 0
    for first, last in groups(start, feature.size):
        nodes = feature[start[first] : start[last] if last < start.size else feature.size]
        count = int((nodes >= 0).sum())
        _check_trees(start[first:last].astype(np.int64) - int(start[first]), nodes, right[inner : inner + count])
        inner += count


def groups(start: Array, nodes: int) -> list[tuple[int, int]]:
    """Ranges of trees of about GROUP nodes, or of one larger tree."""
    firsts = np.flatnonzero(np.diff(start.astype(np.int64) // GROUP, prepend=-1)).tolist()
    return list(zip(firsts, [*firsts[1:], start.size], strict=True))


def _check_trees(start: Array, feature: Array, right: Array) -> None:
    """The left subtree of i is exactly i+1 .. right-1, and every tree ends where the next begins.

    Walking a preorder list, an inner node opens one place (+1) and a leaf closes one (-1): tree t ends where the running sum
    first is -(t + 1), and the left subtree of i ends at the next leaf whose sum is one below the sum at i. Inner nodes and such
    leaves alternate, so the claims are right exactly when every inner node has a later leaf of that sum, in its tree, that
    no other inner node has.
    """
    inside = feature >= 0
    sums = np.cumsum(np.where(inside, 1, -1))
    ends = np.append(start[1:], feature.size).astype(np.int64)
    trees = np.arange(len(ends))
    lowest_before = np.minimum.accumulate(np.append(0, sums))[ends - 1]
    require(
        bool(np.all(sums[ends - 1] == -trees - 1) and np.all(lowest_before >= -trees)),
        "the nodes do not form one tree in preorder per entry of 'start'.",
    )
    inner = np.flatnonzero(inside)
    tree = np.repeat(trees, np.diff(np.append(start, feature.size)))[inner]
    good = bool(np.all((right > 0) & (right <= feature.size)))
    if good:
        claimed = right.astype(np.int64) + start.astype(np.int64)[tree]
        good = bool(np.all((claimed > inner + 1) & (claimed < ends[tree])))
    if good:
        taken = np.zeros(feature.size, dtype=bool)
        taken[claimed] = True
        good = bool(np.all(~inside[claimed - 1] & (sums[claimed - 1] == sums[inner] - 1))) and int(taken.sum()) == inner.size
    require(good, "attribute 'right' does not point at the right child of every inner node.")


def _check_missing(a: Attributes, inner: int) -> None:
    require(
        ("missing_left" in a) == (a["missing"] == "node"), "attribute 'missing_left' goes with missing='node', and only with it."
    )
    if "missing_left" in a:
        length(a, "missing_left", inner)
        sides = a["missing_left"]
        binary = inner == 0 or bool(sides.min() >= 0 and sides.max() <= 1)
        require(binary, "attribute 'missing_left' holds something else than 0 and 1.")


def _check_categories(a: Attributes, inner: int) -> None:
    present = {name for name in ("category", "set_start", "set") if name in a}
    require(len(present) in (0, 3), "attributes 'category', 'set_start' and 'set' go together.")
    if not present:
        return
    category, start, members = a["category"], a["set_start"].astype(np.int64), a["set"]
    length(a, "category", inner)
    require(
        category.size == 0 or (category.min() >= -1 and category.max() < start.size),
        "attribute 'category' names a set that is not there.",
    )
    require(bool(np.all(a["threshold"][category >= 0] == 0)), "a categorical node has a threshold other than 0.")
    ends = np.append(start[1:], members.size)
    good = (start.size == 0 and members.size == 0) or (start.size > 0 and start[0] == 0 and bool(np.all(ends >= start)))
    require(bool(good), "attribute 'set_start' does not begin at 0 and ascend within 'set'.")
    rising = np.diff(members.astype(np.int64)) > 0
    borders = np.zeros(max(members.size - 1, 0), dtype=bool)
    borders[[s - 1 for s in start.tolist() if 0 < s < members.size]] = True
    require(
        members.size == 0 or (int(members.min()) >= 0 and bool(np.all(rising | borders))),
        "a category set does not ascend from 0.",
    )


def _check_leaves(a: Attributes, leaves: int) -> int:
    w = a["leaf_width"]
    require(w >= 1, "attribute 'leaf_width' is at least 1.")
    leaf = a["leaf"]
    if "leaf_table" in a:
        table = a["leaf_table"]
        require(table.size % w == 0, f"attribute 'leaf_table' does not hold rows of {w}.")
        require(leaf.dtype.kind in "iu", "with 'leaf_table', attribute 'leaf' holds integers.")
        length(a, "leaf", leaves)
        require(leaf.size == 0 or (leaf.min() >= 0 and leaf.max() < table.size // w), "attribute 'leaf' leaves the leaf table.")
    else:
        require(leaf.dtype == DTYPES[a["acc"]], f"attribute 'leaf' is not of dtype {a['acc']}.")
        length(a, "leaf", leaves * w)
    if "class" not in a:
        require("size" not in a, "attribute 'size' goes with 'class'.")
        return int(w)
    require(w == 1 and "size" in a, "attribute 'class' needs leaf_width 1 and a size.")
    length(a, "class", a["start"].size)
    require(a["class"].min() >= 0 and a["class"].max() < a["size"], "attribute 'class' leaves 0..size-1.")
    return int(a["size"])


# --- running ------------------------------------------------------------------------------------------------------------------

#: (row, tree) pairs walked at once, rows at once, and numbers in the rows' planes
PAIRS, ROWS, CELLS = 1 << 15, 1 << 12, 1 << 20
#: trees of at most so many leaves are not walked when there are at least ROWS rows: every node is asked about all of them
SMALL_TREE = 64
NUMBERS = [np.array(leaf, dtype=np.uint8) for leaf in range(SMALL_TREE)]
#: small trees of at most so many inner nodes are tables of the answers of all of them
TABLE = 8
#: a single row asks all nodes at once where there are no more than these
ALL = 1 << 15
#: a node's word is its plane and, in the low bits, the place of its right child
PLACE_BITS = 32
PLACE = (1 << PLACE_BITS) - 1
#: nodes of trees that are looked at together
GROUP = 1 << 15
#: category sets are a table of at most so many flags; more are found by binary search
FLAGS = 1 << 24


def prepare_trees(a: Attributes, *types: ValueType) -> Attributes:
    """The nodes laid out for walking, once per step; in passing (`base.in_passing`) for every run, a group of trees at a time."""
    parts = [(0, Forest(a))] if not is_in_passing() else _Parts(a)
    return {**a, "forests": parts}


class _Parts:
    """The forests of an ensemble, with the number of each one's first tree, laid out while they are asked for."""

    def __init__(self, a: Attributes) -> None:
        self._all = a

    def __iter__(self) -> Iterator[tuple[int, Forest]]:
        a, inner, leaf = self._all, 0, 0
        start, nodes = a["start"].astype(np.int64), a["feature"].size
        width = 1 if "leaf_table" in a else a["leaf_width"]
        for first, last in groups(start, nodes):
            feature = a["feature"][start[first] : start[last] if last < start.size else nodes]
            to_inner = inner + int((feature >= 0).sum())
            to_leaf = leaf + feature.size - (to_inner - inner)
            leaves = a["leaf"][leaf * width : to_leaf * width]
            part = {"start": start[first:last] - start[first], "feature": feature, "leaf": leaves}
            part |= {name: a[name][inner:to_inner] for name in ("threshold", "right", "missing_left", "category") if name in a}
            yield first, Forest({**a, **part})
            inner, leaf = to_inner, to_leaf


def count_trees(a: Attributes, *types: ValueType) -> int:
    """The elements of a leaf of every tree."""
    return len(a["start"]) * int(a["leaf_width"])


def trees(a: Attributes, x: Array, init: Array | None = None) -> Array:
    """Sum (or mean) of the leaves each row reaches, tree by tree in order, starting from init."""
    acc, matrix = DTYPES[a["acc"]], rows(x)
    width = a["size"] if "class" in a else a["leaf_width"]
    start = init if init is not None else a.get("init", np.zeros(width, dtype=acc))
    total = np.array(np.broadcast_to(start.reshape(-1, width), (len(matrix), width)), dtype=acc)
    with np.errstate(all="ignore"):
        for first_tree, forest in a["forests"]:
            for first, last in forest.blocks(len(matrix)):
                block = matrix[first:last].astype(DTYPES[a["dtype"]], copy=False)
                for tree, leaves, values in forest.leaves(block, first):
                    tree += first_tree
                    classes = a["class"][tree : tree + len(leaves)] if "class" in a else None
                    _add(total[first:last], classes, values, leaves)
        return total / acc.type(len(a["start"])) if a["aggregate"] == "mean" else total


def _add(total: Array, classes: Array | None, values: Array, leaves: Array) -> None:
    """Add the leaf rows [k, n] of k trees to total [n, width] tree by tree (accumulate keeps that order, sum would not)."""
    k, n = leaves.shape
    if classes is None and n >= k:
        for leaf in leaves:
            total += values.take(leaf, axis=0)
    elif classes is None:
        total[:] = np.add.accumulate(np.concatenate([total[None], values.take(leaves, axis=0)]))[-1]
    elif n >= k:
        for c, leaf in zip(classes, leaves, strict=True):
            total[:, c] += values.take(leaf)
    else:
        for c in np.unique(classes):
            total[:, c] = np.add.accumulate(np.concatenate([total[None, :, c], values.take(leaves[classes == c])]))[-1]


class Forest:
    """A checked tree_ensemble whose trees are walked together, level by level.

    Every inner node compares one *plane* of the row with its limit. A plane is a feature with the side that NaN takes, or a
    category set: -inf where the answer is left, NaN or +inf where it is right. Nodes are numbered by *place*: first the
    roots, then side by side the children of each inner node, so that the next place is the right child's, less one when the
    comparison holds. A leaf is its own right child, and its comparison never holds.
    """

    def __init__(self, a: Attributes) -> None:
        self._goes_left = np.less_equal if a["cmp"] == "le" else np.less
        self._refuses_nan = a["missing"] == "error"
        self._is_inner = a["feature"] >= 0
        self._start = a["start"].astype(np.int64)
        self._sizes = np.diff(np.append(self._start, self._is_inner.size))
        self._small = int(self._sizes.max()) < 2 * SMALL_TREE
        self.values: Array = (a["leaf_table"] if "leaf_table" in a else a["leaf"]).reshape(-1, a["leaf_width"])
        self._leaf = a["leaf"].astype(np.int64) if "leaf_table" in a else np.arange(len(self.values))
        self._set_planes(a)
        self._set_places(a["right"].astype(np.int64))
        self._steps: int | None = None
        self._asked: list[tuple[int, Array]] | None = None

    def _set_planes(self, a: Attributes) -> None:
        """The planes by feature, NaN's side and set; for every inner node its plane and its limit."""
        feature, limit = a["feature"][self._is_inner].astype(np.int64), a["threshold"]
        left = a["missing_left"].astype(np.int64) if "missing_left" in a else np.full(limit.size, int(a["missing"] == "left"))
        category = a["category"].astype(np.int64) if "category" in a else np.full(limit.size, -1)
        self._sets = _Sets(a.get("set_start", np.zeros(0, np.int64)), a.get("set", np.zeros(0, np.int64)))
        # no number is less than -inf, so a node that asks for that and sends NaN left is the empty set
        never = (a["cmp"] == "lt") & (limit == -np.inf) & (left == 1)
        category = np.where(never, len(self._sets) - 1, category)
        self._limit = np.where(never, 0, limit).astype(limit.dtype)
        kinds = len(self._sets) + 1
        codes, self._plane = _distinct((feature * 2 + left) * kinds + category + 1)
        self._feature, self._nan_left, self._set = codes // kinds // 2, codes // kinds % 2 == 1, codes % kinds - 1

    def _set_places(self, right: Array) -> None:
        """Words, bounds and leaf rows by place."""
        inner, count = np.flatnonzero(self._is_inner), self._is_inner.size
        rights = len(self._start) + 2 * np.arange(inner.size) + 1
        place = np.empty(count, dtype=np.int64)
        place[self._start] = np.arange(len(self._start))
        place[inner + 1] = rights - 1
        place[right + np.repeat(self._start, self._sizes)[inner]] = rights
        self._word = np.arange(count) | len(self._feature) << PLACE_BITS
        self._word[place[inner]] = rights | self._plane << PLACE_BITS
        self._bound = np.full(count, -np.inf, dtype=self._limit.dtype)
        self._bound[place[inner]] = self._limit
        self._leaf_at = np.zeros(count, dtype=np.int64)
        self._leaf_at[place[~self._is_inner]] = self._leaf
        self._plane_at, self._next = self._word >> PLACE_BITS, self._word & PLACE

    def blocks(self, n: int) -> list[tuple[int, int]]:
        """Ranges of n rows, of about equal size and few enough for the caches."""
        most = max(1, min(4 * ROWS if self._small else ROWS, CELLS // (len(self._feature) + 1)))
        count = -(-n // most)
        return [(n * i // count, n * (i + 1) // count) for i in range(count)]

    def leaves(self, x: Array, first: int) -> Iterator[tuple[int, Array, Array]]:
        """Trees in order, some at a time: the first one's number, which rows [k, n] of values x [n, d] reaches, and the values.

        first is x's first row in the batch, for the sentence that refuses one.
        """
        planes, n = self._planes(x), len(x)
        refusing = self._refuses_nan and bool(np.isnan(planes).any())
        if self._small and n >= ROWS and not refusing:
            yield from self._select(planes)
            return
        if n == 1 and not refusing and self._next.size <= ALL:
            yield 0, self._leaf_at.take(self._ends(planes[0]))[:, None], self.values
            return
        step = max(1, min(PAIRS, CELLS // self.values.shape[1]) // n)
        for tree in range(0, len(self._start), step):
            roots = np.arange(tree, min(tree + step, len(self._start)))
            places = self._walk(planes, roots, first, refusing)
            yield tree, self._leaf_at.take(places).reshape(roots.size, n), self.values

    def _ends(self, plane: Array) -> Array:
        """The places of the leaves in which one row ends: all nodes are asked, then followed."""
        following = self._next - self._goes_left(plane.take(self._plane_at), self._bound)
        place = following[: len(self._start)]
        for _ in range(self._depth() - 1):
            place = following.take(place)
        return place

    def _depth(self) -> int:
        """The most inner nodes from a root to a leaf, or 1."""
        if self._steps is None:
            level, self._steps = np.arange(len(self._start)), 0
            while (level := level[self._next[level] != level]).size:
                level = np.concatenate([self._next[level] - 1, self._next[level]])
                self._steps += 1
        return max(1, self._steps)

    def _planes(self, x: Array) -> Array:
        """The planes [n, p + 1] of rows x [n, d]; the last one is +inf, for leaves."""
        planes = np.full((len(x), len(self._feature) + 1), np.inf, dtype=x.dtype)
        planes[:, :-1] = x.take(self._feature, axis=1)
        categorical = np.flatnonzero(self._set >= 0)
        if categorical.size:
            held = self._sets.hold(self._set[categorical], planes[:, categorical])
            planes[:, categorical] = np.where(held, -np.inf, np.inf)
        missing = np.isnan(x)
        if missing.any():
            sides = np.where(self._nan_left, -np.inf, np.nan)
            np.copyto(planes[:, :-1], sides, where=missing.take(self._feature, axis=1), casting="same_kind")
        return planes

    def _walk(self, planes: Array, roots: Array, first: int, refusing: bool) -> Array:
        """The places of the leaves [k * n] in which the rows end that start at each of k roots."""
        n, stride = planes.shape
        place, offset, flat = np.repeat(roots, n), np.tile(np.arange(n) * stride, roots.size), planes.ravel()
        arrived, pairs = place, np.arange(place.size)
        while pairs.size:
            following = self._word.take(place)
            at = following >> PLACE_BITS
            at += offset
            value = flat.take(at)
            if refusing:
                bad = np.zeros(first + n, dtype=bool)
                bad[first + offset[np.isnan(value)] // stride] = True
                refuse_row(bad, "a tree reads NaN, which this model does not accept.")
            following &= PLACE
            following -= self._goes_left(value, self._bound.take(place))
            moving = following != place
            place = following
            if np.count_nonzero(moving) < 0.6 * pairs.size:  # enough have arrived for setting them aside to pay
                arrived[pairs] = place
                rest = np.flatnonzero(moving)
                pairs, place, offset = pairs.take(rest), place.take(rest), offset.take(rest)
        return arrived

    def _questions(self) -> list[tuple[int, Array]]:
        """Plane and limit of every inner node; NumPy takes an array of rank 0 sooner than a number."""
        if self._asked is None:
            self._asked = [(plane, np.array(limit)) for plane, limit in zip(self._plane.tolist(), self._limit, strict=True)]
        return self._asked

    def _select(self, planes: Array) -> Iterator[tuple[int, Array, Array]]:
        """As walking tree by tree, without a gather per node."""
        columns, goes_left = np.ascontiguousarray(planes.T), self._goes_left
        questions = self._questions()
        first_inner = first_leaf = 0
        for tree, (start, size) in enumerate(zip(self._start.tolist(), self._sizes.tolist(), strict=True)):
            inner = size // 2
            asked, pattern = questions[first_inner : first_inner + inner], self._is_inner[start : start + size].tolist()
            answers = (goes_left(columns[plane], limit).view(np.uint8) for plane, limit in asked)
            values = self.values.take(self._leaf[first_leaf : first_leaf + inner + 1], axis=0)
            if 0 < inner <= TABLE:
                code = next(answers)
                for answer in answers:
                    np.add(code, code, out=code)
                    np.add(code, answer, out=code)
                yield tree, code[None], values.take(_table(tuple(pattern)), axis=0)
            else:
                answers = (goes_left(columns[plane], limit).view(np.uint8) for plane, limit in reversed(asked))
                yield tree, _numbers(pattern, answers, columns.shape[1])[None], values
            first_inner, first_leaf = first_inner + inner, first_leaf + inner + 1


def _numbers(pattern: list[bool], asked: Iterator[Array], rows: int) -> Array:
    """The leaf number (u8) of every row in one tree, of which pattern tells inner nodes from leaves.

    `asked` has their answers (1 for left) from the last inner node to the first, which may be written over: each takes the
    numbers of its two subtrees and merges them, right ^ ((left ^ right) * answer). Between two leaves, of which the right one
    has the next number, it is that less 1 or 0.
    """
    numbers: list[Array] = []  # a subtree's leaf numbers [n], or the number of a single leaf
    leaf = pattern.count(False)
    for is_inner in reversed(pattern):
        if not is_inner:
            leaf -= 1
            numbers.append(NUMBERS[leaf])
            continue
        answer = next(asked)
        left, right = numbers.pop(), numbers.pop()
        if left.ndim:
            np.bitwise_xor(left, right, left)
        elif right.ndim:
            left = np.bitwise_xor(left, right)
        else:
            numbers.append(np.subtract(right, answer, answer))
            continue
        np.multiply(left, answer, left)
        numbers.append(np.bitwise_xor(left, right, left))
    return numbers[0] if len(pattern) > 1 else np.zeros(rows, dtype=np.uint8)


@lru_cache(maxsize=256)
def _table(pattern: tuple[bool, ...]) -> Array:
    """The leaf number for every combination of answers (the first in the highest bit, 1 for left) in a tree of few nodes."""
    inner = sum(pattern)
    codes = np.arange(1 << inner, dtype=np.uint16)
    asked = ((codes >> k & 1).astype(np.uint8) for k in range(inner))  # the last one is the lowest bit
    return _numbers(list(pattern), asked, codes.size)


class _Sets:
    """Category sets, and an empty one behind them."""

    def __init__(self, start: Array, members: Array) -> None:
        sizes: Array = np.diff(np.concatenate([start, [members.size, members.size]]).astype(np.int64))
        values, codes = np.unique(members.astype(np.float64), return_inverse=True)
        self._values = np.append(values, np.nan)
        keys = np.repeat(np.arange(sizes.size), sizes) * self._values.size + codes
        self._count = sizes.size
        self._keys = np.append(keys, np.iinfo(np.int64).max)
        self._flags: Array | None = None
        if sizes.size * self._values.size <= FLAGS:
            self._flags = np.zeros(sizes.size * self._values.size, dtype=bool)
            self._flags[keys] = True

    def __len__(self) -> int:
        return self._count

    def hold(self, sets: Array, x: Array) -> Array:
        """Whether set sets[j] holds x[i, j]."""
        code = np.searchsorted(self._values, x)
        code[self._values[code] != x] = self._values.size - 1  # the code of NaN, which is in no set
        wanted = sets * self._values.size + code
        return self._flags[wanted] if self._flags is not None else self._keys[np.searchsorted(self._keys, wanted)] == wanted


def _distinct(codes: Array) -> tuple[Array, Array]:
    """The distinct codes ascending, and each code's index among them; small codes are counted, not sorted."""
    if codes.size and int(codes.max()) < 4 * codes.size:
        present = np.bincount(codes) > 0
        return np.flatnonzero(present), (np.cumsum(present) - 1)[codes]
    found, index = np.unique(codes, return_inverse=True)
    return found, index


ATTRIBUTES: dict[str, Any] = {
    "dtype": Attribute("choice", default="f64", options=("f64", "f32")),
    "cmp": Attribute("choice", default="le", options=("le", "lt")),
    "missing": Attribute("choice", default="error", options=("error", "left", "right", "node")),
    "acc": Attribute("choice", default="f64", options=("f64", "f32")),
    "start": Attribute("int", required=True),
    "feature": Attribute("int", required=True),
    "threshold": Attribute("float", required=True),
    "right": Attribute("int", required=True),
    "missing_left": Attribute("int"),
    "category": Attribute("int"),
    "set_start": Attribute("int"),
    "set": Attribute("int"),
    "leaf_width": Attribute("integer", default=1),
    "leaf_table": Attribute("acc"),
    "leaf": Attribute("leaf", required=True),
    "class": Attribute("int"),
    "size": Attribute("integer"),
    "init": Attribute("acc"),
    "aggregate": Attribute("choice", default="sum", options=("sum", "mean")),
}
register("tree_ensemble", infer_trees, trees, inputs=(1, 2), prepare=prepare_trees, cost=count_trees, **ATTRIBUTES)
