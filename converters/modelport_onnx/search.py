"""Binary search in ONNX: a decision tree over the edges, exact in f64, without a tensor of rows times edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .builder import Builder, Value
from .ensemble import LEQ, LT, Branches, evaluate

__all__ = ["count_edges"]

Array = np.ndarray[Any, np.dtype[Any]]


def count_edges(b: Builder, x: Value, edges: Sequence[Array], side: str) -> Value:
    """Per column of x [N, w] the number of its edges `e` with not (x <= e) (left) or not (x < e) (right): i64 [N, w].

    Edges ascend; NaN in x counts all of them.
    """
    sizes = np.array([len(e) for e in edges], dtype=np.int64)
    trees = np.flatnonzero(sizes)
    most = int(sizes.max(initial=0))
    if not len(trees):
        return b.repeat_row(np.zeros(len(edges), dtype=np.int64))
    parts = [_balanced(int(sizes[t])) for t in trees]
    first_branch = np.concatenate([[0], np.cumsum(sizes[trees])])[:-1]
    first_leaf = first_branch + np.arange(len(trees))

    def joined(which: int) -> Array:
        """Child references shifted to each tree's first branch, or (inverted) first leaf."""
        shifted = [
            np.where(part[which] >= 0, part[which] + branch, part[which] - leaf)
            for part, branch, leaf in zip(parts, first_branch, first_leaf, strict=True)
        ]
        return np.concatenate(shifted)

    inner = int(sizes.sum())
    branches = Branches(
        tree=np.repeat(np.arange(len(trees)), sizes[trees]),
        feature=np.repeat(trees, sizes[trees]),
        split=np.concatenate([np.asarray(edges[int(t)], dtype=np.float64) for t in trees]),
        mode=np.full(inner, LEQ if side == "left" else LT, dtype=np.uint8),
        nan_true=np.zeros(inner, dtype=bool),
        true=joined(0),
        false=joined(1),
        roots=np.array([part[2] for part in parts]) + first_branch,
        leaf_tree=np.repeat(np.arange(len(trees)), sizes[trees] + 1),
        leaf_target=np.repeat(trees, sizes[trees] + 1),
        leaf_weight=np.concatenate([np.arange(sizes[t] + 1, dtype=np.float64) for t in trees]),
    )
    counts = evaluate(b, x.cast("f64"), branches, len(edges)).cast("i64")
    return Value(b, counts.name, "i64", counts.shape, bounds=(0, most))


def _balanced(size: int) -> tuple[Array, Array, int]:
    """A balanced tree over `size` edges: children of branch k (edge k) when its test holds and when not, and the root.

    A child is a branch, or ~count for the leaf that stands for `count` edges passed.
    """
    true, false = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    stack = [(0, size)]
    while stack:
        low, high = stack.pop()
        middle = (low + high) // 2
        true[middle] = (low + middle) // 2 if low < middle else ~low
        false[middle] = (middle + 1 + high) // 2 if middle + 1 < high else ~(middle + 1)
        stack += [(low, middle)] if low < middle else []
        stack += [(middle + 1, high)] if middle + 1 < high else []
    return true, false, size // 2
