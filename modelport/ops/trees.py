"""tree_ensemble: every decision tree, forest and boosted ensemble (docs/format.md, section 7). Bit-exact."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import DTYPES, ValueType
from .base import Array, Attribute, Attributes, length, refuse_row, register, require, row, rows


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
    """The left subtree of i is exactly i+1 .. right-1, and every tree ends where the next begins.

    Walking a preorder list, an inner node opens one place (+1) and a leaf closes one (-1): the subtree at i ends at the first
    position whose running sum is one below the sum before i.
    """
    nodes = feature.size
    sums = np.cumsum(np.where(feature >= 0, 1, -1))
    ends = np.append(start[1:], nodes).astype(np.int64)
    lowest = np.minimum.accumulate(sums)
    require(
        bool(np.all(sums[ends - 1] == -np.arange(1, len(ends) + 1)))
        and bool(
            np.all(np.where(ends > 1, lowest[np.maximum(ends - 2, 0)], 0)[ends > 1] > -np.arange(1, len(ends) + 1)[ends > 1])
        ),
        "the nodes do not form one tree in preorder per entry of 'start'.",
    )
    inner = np.flatnonzero(feature >= 0)
    sizes = ends - start.astype(np.int64)
    origin = np.repeat(start.astype(np.int64), sizes)[inner]
    claimed = right.astype(np.int64) + origin
    # the next position after i where the sum is sums[i] - 1 ends i's left subtree
    level = sums - sums.min()
    order = np.argsort(level * np.int64(nodes) + np.arange(nodes), kind="stable")
    keys = (level * np.int64(nodes) + np.arange(nodes))[order]
    wanted = (level[inner] - 1) * np.int64(nodes) + inner
    found = np.searchsorted(keys, wanted, side="right")
    expected = order[np.minimum(found, nodes - 1)] + 1
    require(bool(np.all(claimed == expected)), "attribute 'right' does not point at the right child of every inner node.")


def _check_missing(a: Attributes, inner: int) -> None:
    require(
        ("missing_left" in a) == (a["missing"] == "node"), "attribute 'missing_left' goes with missing='node', and only with it."
    )
    if "missing_left" in a:
        length(a, "missing_left", inner)
        require(bool(np.isin(a["missing_left"], (0, 1)).all()), "attribute 'missing_left' holds something else than 0 and 1.")


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


def prepare_trees(a: Attributes, *types: ValueType) -> Attributes:
    """Arrays indexed by node: column, threshold, right child, NaN direction, category set, leaf row."""
    feature = a["feature"].astype(np.int64)
    inner = feature >= 0
    count = np.cumsum(inner) - 1
    place = np.where(inner, count, 0)

    def spread(values: Array) -> Array:
        return np.where(inner, values[place], 0).astype(values.dtype) if values.size else np.zeros(feature.size, values.dtype)

    start = a["start"].astype(np.int64)
    origin = np.repeat(start, np.diff(np.append(start, feature.size)))
    leaf_row = np.where(inner, 0, np.cumsum(~inner) - 1)
    values = a["leaf_table"] if "leaf_table" in a else a["leaf"]
    if "leaf_table" in a:
        leaf_row = np.where(inner, 0, a["leaf"].astype(np.int64)[leaf_row])
    if a["missing"] == "node":
        missing_left = spread(a["missing_left"]).astype(bool)
    else:
        missing_left = np.full(feature.size, a["missing"] == "left")
    tables: dict[str, Any] = {
        "column": feature,
        "limit": spread(a["threshold"]),
        "right_child": spread(a["right"]).astype(np.int64) + origin,
        "nan_left": missing_left,
        "leaf_row": leaf_row,
        "values": values.reshape(-1, a["leaf_width"]),
        "roots": start,
        "sets": None,
    }
    if "category" in a:
        bounds = np.append(a["set_start"], a["set"].size).astype(np.int64)
        tables["sets"] = [a["set"][bounds[s] : bounds[s + 1]] for s in range(len(bounds) - 1)]
        tables["set_of"] = np.where(inner, a["category"].astype(np.int64)[place] if a["category"].size else -1, -1)
    return {**a, **tables}


def trees(a: Attributes, x: Array, init: Array | None = None) -> Array:
    """Sum (or mean) of the leaves each row reaches, tree by tree in order, starting from init."""
    acc, matrix = DTYPES[a["acc"]], rows(x)
    with np.errstate(over="ignore"):
        matrix = matrix.astype(DTYPES[a["dtype"]], copy=False)
    width = a["size"] if "class" in a else a["leaf_width"]
    start = init if init is not None else a.get("init", np.zeros(width, dtype=acc))
    total = np.array(np.broadcast_to(start.reshape(-1, width), (len(matrix), width)), dtype=acc)
    with np.errstate(all="ignore"):
        for t, root in enumerate(a["roots"]):
            leaf = a["values"][a["leaf_row"][_walk(a, matrix, int(root))]]
            if "class" in a:
                total[:, a["class"][t]] += leaf[:, 0]
            else:
                total += leaf
        return total / acc.type(len(a["roots"])) if a["aggregate"] == "mean" else total


def _walk(a: Attributes, x: Array, root: int) -> Array:
    """The leaf each row of x reaches in the tree at `root`."""
    node = np.full(len(x), root)
    active = np.arange(len(x)) if a["column"][root] >= 0 else np.empty(0, dtype=np.int64)
    while active.size:
        at = node[active]
        value = x[active, a["column"][at]]
        left = value <= a["limit"][at] if a["cmp"] == "le" else value < a["limit"][at]
        if a["sets"] is not None:
            left = _in_sets(a, at, value, left)
        nan = np.isnan(value)
        if nan.any():
            if a["missing"] == "error":
                bad = np.zeros(len(x), dtype=bool)
                bad[active[nan]] = True
                refuse_row(bad, "a tree reads NaN, which this model does not accept.")
            left = np.where(nan, a["nan_left"][at], left)
        node[active] = np.where(left, at + 1, a["right_child"][at])
        active = active[a["column"][node[active]] >= 0]
    return node


def _in_sets(a: Attributes, at: Array, value: Array, left: Array) -> Array:
    for s in np.unique(a["set_of"][at]):
        if s >= 0:
            here = a["set_of"][at] == s
            left[here] = np.isin(value[here], a["sets"][s])
    return left


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
register("tree_ensemble", infer_trees, trees, inputs=(1, 2), prepare=prepare_trees, **ATTRIBUTES)
