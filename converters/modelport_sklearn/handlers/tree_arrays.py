"""From the node arrays of scikit-learn's trees to the attributes of a tree_ensemble step, with NumPy over whole ensembles.

Forests hold millions of nodes: no Python loop runs over nodes, only one over trees. Nodes leave in preorder (the left child of i
is i+1): scikit-learn's depth-first trees are so already, best-first ones (max_leaf_nodes) are renumbered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..builder import Array

#: How many leaf rows are looked at before a table of the distinct ones is tried.
SAMPLE = 4096


@dataclass(frozen=True)
class Nodes:
    """The nodes of T trees, one tree after the other: N nodes, L of them leaves.

    start [T]: first node of each tree. left, right [N]: children as offsets from their tree's first node, -1 in leaves.
    feature [N], threshold [N] (f64), missing_left [N] (bool): used in inner nodes only. leaf [L, w]: leaf rows in node order.
    category [N]: the set of a categorical node, or -1; sets [S, m]: membership of the values 0..m-1.
    receives_nan: False when the model refuses NaN.
    """

    start: Array
    left: Array
    right: Array
    feature: Array
    threshold: Array
    missing_left: Array
    leaf: Array
    receives_nan: bool
    category: Array | None = None
    sets: Array | None = None


def sklearn_nodes(trees: Sequence[Any], columns: Array, receives_nan: bool, factor: float = 1.0) -> Nodes:
    """The nodes of sklearn.tree trees (the `tree_` of estimators).

    columns [w]: which elements of a node's value, flattened from [outputs, max classes], make a leaf row; factor multiplies them
    (the product is rounded, as in gradient boosting).
    """
    states = [tree.__getstate__() for tree in trees]
    counts = [len(state["nodes"]) for state in states]
    n = sum(counts)
    start = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    left, right, feature = (np.empty(n, dtype=np.int32) for _ in range(3))
    threshold, missing_left = np.empty(n), np.zeros(n, dtype=bool)
    leaves = []
    for begin, count, state in zip(start.tolist(), counts, states, strict=True):
        nodes, part = state["nodes"], slice(begin, begin + count)
        left[part], right[part] = nodes["left_child"], nodes["right_child"]
        feature[part], threshold[part] = nodes["feature"], nodes["threshold"]
        if receives_nan:
            missing_left[part] = nodes["missing_go_to_left"]
        values = state["values"].reshape(count, -1)[left[part] < 0]
        leaves.append(values if len(columns) == values.shape[1] else values[:, columns])
    leaf = np.concatenate(leaves)
    return Nodes(start, left, right, feature, threshold, missing_left, leaf if factor == 1.0 else factor * leaf, receives_nan)


def tree_attributes(nodes: Nodes, dtype: str) -> dict[str, Any]:
    """The attributes of a tree_ensemble step whose comparisons are done in `dtype`."""
    nodes = in_preorder(nodes)
    inner = nodes.left >= 0
    threshold = nodes.threshold[inner]
    right = nodes.right[inner]
    attributes: dict[str, Any] = {
        "dtype": dtype,
        "start": nodes.start.astype(np.uint32),
        "feature": compact(np.where(inner, nodes.feature, -1)),
        "threshold": threshold if dtype == "f64" else round_down(threshold),
        "right": right.astype(np.min_scalar_type(int(right.max(initial=0))) if right.max(initial=0) < 1 << 32 else np.int64),
        **_missing(nodes, inner),
        **leaf_attributes(nodes.leaf),
    }
    if nodes.category is not None and (nodes.category[inner] >= 0).any():
        attributes |= _categories(nodes, inner)
        attributes["threshold"] = np.where(attributes["category"] >= 0, 0, attributes["threshold"])
    return attributes


def round_down(threshold: Array) -> Array:
    """The largest float32 not above each float64: a float32 is at most the one exactly when it is at most the other."""
    with np.errstate(over="ignore"):
        rounded = threshold.astype(np.float32)
    above = rounded > threshold
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded


def compact(values: Array) -> Array:
    """Signed integers in the smallest of i8, i16, i32 that holds them."""
    largest = int(values.max(initial=0))
    return values.astype(np.int8 if largest < 1 << 7 else np.int16 if largest < 1 << 15 else np.int32)


def in_preorder(nodes: Nodes) -> Nodes:
    """The same trees with every left child right behind its parent, and the right child behind the left one's subtree.

    Trees whose left children are already there are taken to be in preorder: scikit-learn numbers nodes by depth.
    """
    inner = nodes.left >= 0
    index = np.arange(len(nodes.left)) - np.repeat(nodes.start, np.diff(np.append(nodes.start, len(nodes.left))))
    return nodes if np.array_equal(nodes.left[inner], index[inner] + 1) else renumbered(nodes)


def renumbered(nodes: Nodes) -> Nodes:
    """The same trees in preorder, however their nodes are numbered."""
    origin = np.repeat(nodes.start, np.diff(np.append(nodes.start, len(nodes.left))))
    inner = nodes.left >= 0
    place = _places(nodes.left + origin, nodes.right + origin, inner, nodes.start)
    order = np.argsort(place)
    leaf_number = np.cumsum(~inner) - 1
    leaf_order = leaf_number[order][~inner[order]]

    def moved(children: Array) -> Array:
        return np.where(inner, place[np.where(inner, children + origin, 0)] - origin, -1)[order]

    return replace(
        nodes,
        left=moved(nodes.left),
        right=moved(nodes.right),
        feature=nodes.feature[order],
        threshold=nodes.threshold[order],
        missing_left=nodes.missing_left[order],
        leaf=nodes.leaf[leaf_order],
        category=None if nodes.category is None else nodes.category[order],
    )


def _places(left: Array, right: Array, inner: Array, roots: Array) -> Array:
    """The preorder position of every node; children and roots are positions among all nodes. Works level by level."""
    levels = []
    level = roots[inner[roots]]
    while level.size:
        levels.append(level)
        children = np.concatenate([left[level], right[level]])
        level = children[inner[children]]
    size = np.ones(len(inner), dtype=np.int64)
    for level in reversed(levels):
        size[level] += size[left[level]] + size[right[level]]
    place = np.zeros(len(inner), dtype=np.int64)
    place[roots] = roots
    for level in levels:
        place[left[level]] = place[level] + 1
        place[right[level]] = place[level] + 1 + size[left[level]]
    return place


def _missing(nodes: Nodes, inner: Array) -> dict[str, Any]:
    """Where NaN goes: one word when all nodes agree."""
    if not nodes.receives_nan:
        return {"missing": "error"}
    missing_left = nodes.missing_left[inner]
    if missing_left.all() or not missing_left.any():
        return {"missing": "left" if missing_left.all() else "right"}
    return {"missing": "node", "missing_left": missing_left.astype(np.uint8)}


def _categories(nodes: Nodes, inner: Array) -> dict[str, Any]:
    """Category sets of the nodes that have one, in node order."""
    assert nodes.category is not None, "categorical nodes come with their category"
    assert nodes.sets is not None, "categorical nodes come with their sets"
    category = nodes.category[inner]
    used, number = np.unique(category[category >= 0], return_inverse=True)
    renumbered = np.full(len(category), -1, dtype=np.int32)
    renumbered[category >= 0] = number
    members = nodes.sets[used]
    starts = np.concatenate([[0], np.cumsum(members.sum(axis=1))[:-1]])
    return {"category": compact(renumbered), "set_start": starts.astype(np.uint32), "set": compact(np.nonzero(members)[1])}


def leaf_attributes(leaf: Array) -> dict[str, Any]:
    """Leaf rows [L, w] as they are, or as numbers into a table of the distinct ones when that is much smaller."""
    width = leaf.shape[1]
    plain = {"leaf_width": width, "leaf": leaf.reshape(-1)}
    found = distinct_rows(leaf)
    if found is None:
        return plain
    table, number = found
    number = number.astype(np.min_scalar_type(len(table) - 1))
    if number.nbytes + table.nbytes > 0.75 * leaf.nbytes:
        return plain
    return {"leaf_width": width, "leaf": number, "leaf_table": table.reshape(-1)}


def distinct_rows(rows: Array, sampled: bool = True) -> tuple[Array, Array] | None:
    """The distinct rows and the number of each row's among them; None when (sampled) a sample shows that most are different.

    Rows are told apart by a 64-bit hash of their bits, which is far faster than sorting rows; a collision (two rows, one hash) is
    detected and gives None.
    """
    bits = np.ascontiguousarray(rows).view(np.uint64)
    odd = np.array([pow(0x9E3779B97F4A7C15, j + 1, 1 << 64) for j in range(bits.shape[1])], dtype=np.uint64)
    keys = (bits * odd).sum(axis=1, dtype=np.uint64)
    sample = keys[:: 1 + len(keys) // SAMPLE]
    if sampled and 2 * len(np.unique(sample)) > len(sample):
        return None
    known = np.unique(keys)
    number = np.searchsorted(known, keys)
    table = np.empty((len(known), bits.shape[1]), dtype=np.uint64)
    table[number] = bits
    return (table.view(np.float64), number) if np.array_equal(table[number], bits) else None
