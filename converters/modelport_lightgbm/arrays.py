"""LightGBM trees as node arrays: what a column looks like to a node, where NaN goes, linear leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from modelport_sklearn.boosted import nodes_of
from modelport_sklearn.builder import Array
from modelport_sklearn.handlers.tree_arrays import Nodes, tree_attributes

from .model import Tree, refused

CATEGORICAL, DEFAULT_LEFT = 1, 2
MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2
KEYS = ("left", "right", "feature", "threshold", "missing_left", "leaf", "category")
#: LightGBM reads every number of at most this size as 0.
ZERO = float(np.float32(1e-35))
#: How a node may look at a column: as it is, as a whole number (categories), with zeros as missing.
RAW, WHOLE, ZERO_MISSING = "raw", "whole", "zero missing"


def looks(trees: Sequence[Tree]) -> list[tuple[int, str]]:
    """(column, how) for every way other than RAW in which some node looks at a column, in order."""
    found: set[tuple[int, str]] = set()
    for tree in trees:
        for how in (WHOLE, ZERO_MISSING):
            found.update((int(j), how) for j in np.unique(tree.feature[_look(tree) == how]))
    return sorted(found)


def _look(tree: Tree) -> Array:
    missing = tree.decision >> 2 & 3
    if (missing > MISSING_NAN).any() or (tree.decision >> 4).any():
        raise refused("decision_type", "holds a bit that is not known.")
    zero = np.where(missing == MISSING_ZERO, ZERO_MISSING, RAW)
    return np.where(tree.decision & CATEGORICAL, WHOLE, zero)


@dataclass
class _Drawn:
    """Node arrays under construction, all trees one after the other; children are offsets from the tree's first node."""

    width: int
    sizes: list[int] = field(default_factory=list)
    parts: dict[str, list[Array]] = field(default_factory=lambda: {k: [] for k in KEYS})
    sets: list[Array] = field(default_factory=list)

    def add(self, **arrays: Array) -> None:
        self.sizes.append(len(arrays["left"]))
        for key, array in arrays.items():
            self.parts[key].append(array)

    def nodes(self) -> Nodes:
        joined: dict[str, Any] = {key: np.concatenate(parts) for key, parts in self.parts.items()}
        sets = np.zeros((len(self.sets), max((int(s.max(initial=0)) for s in self.sets), default=0) + 1), dtype=bool)
        for row, members in zip(sets, self.sets, strict=True):
            row[members] = True
        category = joined.pop("category")
        return nodes_of(self.sizes, **joined, category=category if len(sets) else None, sets=sets if len(sets) else None)


def ensemble(trees: Sequence[Tree], place: Mapping[tuple[int, str], int], linear: Sequence[int] | None = None) -> dict[str, Any]:
    """The attributes of a tree_ensemble step over trees; place: the column a look at a column is found in.

    linear: the columns that linear leaves use; a leaf row is then its constant and their coefficients, else its value.
    """
    drawn = _Drawn(1 if linear is None else 1 + len(linear))
    for tree in trees:
        _draw(drawn, tree, place, linear)
    return tree_attributes(drawn.nodes(), "f64")


def _draw(drawn: _Drawn, tree: Tree, place: Mapping[tuple[int, str], int], linear: Sequence[int] | None) -> None:
    """Inner nodes keep their numbers; leaf k follows as number inner + k; the chains of linear leaves come last."""
    inner, leaves = len(tree.feature), len(tree.value)
    look = _look(tree)
    categorical = look == WHOLE
    left, right = (np.where(c < 0, inner + ~c, c) for c in (tree.left, tree.right))
    none = np.full(leaves, -1, dtype=np.int64)
    columns = [place[int(j), str(how)] for j, how in zip(tree.feature, look, strict=True)]
    leaf = np.zeros((inner + leaves, drawn.width))
    leaf[inner:, 0] = tree.value
    default = np.where(tree.decision >> 2 & 3 == MISSING_NONE, tree.threshold >= 0, tree.decision & DEFAULT_LEFT != 0)
    arrays = {
        "left": np.concatenate([left, none]),
        "right": np.concatenate([right, none]),
        "feature": np.concatenate([np.array(columns, dtype=np.int64), none]),
        "threshold": np.concatenate([np.where(categorical, 0.0, _beside_zero(tree.threshold)), np.zeros(leaves)]),
        "missing_left": np.concatenate([default & ~categorical, np.zeros(leaves, dtype=bool)]),
        "leaf": leaf,
        "category": np.concatenate([np.where(categorical, tree.threshold.astype(np.int64) + len(drawn.sets), -1), none]),
    }
    if linear is not None:
        arrays = _with_linear_leaves(arrays, tree, inner, list(linear), place)
    drawn.sets += tree.sets
    drawn.add(**arrays)


def _beside_zero(threshold: Array) -> Array:
    """Thresholds that part numbers as LightGBM does, for which all within ZERO of 0 are 0."""
    moved = np.where((threshold >= 0) & (threshold < ZERO), ZERO, threshold)
    return np.where((threshold < 0) & (threshold >= -ZERO), np.nextafter(-ZERO, -np.inf), moved)


def _with_linear_leaves(
    arrays: dict[str, Array], tree: Tree, inner: int, linear: list[int], place: Mapping[tuple[int, str], int]
) -> dict[str, Array]:
    """Put before each linear leaf one node per column it uses: NaN goes right, to a leaf with the plain value instead."""
    more: dict[str, list[Any]] = {key: [] for key in KEYS}
    first = len(arrays["left"])

    def node(left: int, right: int, column: int, leaf: Array) -> int:
        values = {"left": left, "right": right, "feature": column, "threshold": np.inf, "missing_left": False}
        for key, value in {**values, "leaf": leaf, "category": -1}.items():
            more[key].append(value)
        return first + len(more["left"]) - 1

    for k, (constant, columns, coefficients) in enumerate(tree.linear or []):
        row, plain = np.zeros(1 + len(linear)), np.zeros(1 + len(linear))
        row[0], plain[0] = constant, tree.value[k]
        for column, coefficient in zip(columns, coefficients, strict=True):
            row[1 + linear.index(column)] += coefficient
        if not columns:
            arrays["leaf"][inner + k] = row
            continue
        below = node(-1, -1, -1, row)
        for column in columns[1:]:
            below = node(below, node(-1, -1, -1, plain), place[column, RAW], plain)
        # the leaf itself becomes the first node of the chain, so that its parent still points at it
        at = inner + k
        arrays["left"][at], arrays["right"][at] = below, node(-1, -1, -1, plain)
        arrays["feature"][at], arrays["threshold"][at] = place[columns[0], RAW], np.inf
    if not more["left"]:
        return arrays
    return {key: np.concatenate([arrays[key], np.array(more[key], dtype=arrays[key].dtype)]) for key in KEYS}
