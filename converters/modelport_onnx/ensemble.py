"""Decision trees as one ONNX operator: TreeEnsemble (ai.onnx.ml 5), or TreeEnsembleRegressor (3) for older runtimes.

Both are given doubles for thresholds. TreeEnsemble also sums in double, tree by tree in order; the older operator gives floats,
so it is used for small integers (leaf numbers, counts) only, which floats hold exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelport.errors import Unsupported

from . import wire
from .audit import DEEPEST
from .builder import ML, Builder, Value

__all__ = ["LEQ", "LT", "Branches", "evaluate"]

Array = np.ndarray[Any, np.dtype[Any]]

LEQ, LT = 0, 1
MODE_NAMES = np.array(["BRANCH_LEQ", "BRANCH_LT", "LEAF"])
LEAF = 2
EXACT_FLOAT = 1 << 24


@dataclass(frozen=True)
class Branches:
    """Trees as arrays: B branches, L leaves, T trees.

    Per branch: tree, feature, split, mode, nan_true (where NaN goes), children true and false. A child or root is a branch
    number, or ~leaf for a leaf. Per leaf: its tree, the output column it adds to, and what it adds.
    """

    tree: Array  # [B]
    feature: Array  # [B]
    split: Array  # [B] f64 or f32
    mode: Array  # [B] u8
    nan_true: Array  # [B] bool
    true: Array  # [B]
    false: Array  # [B]
    roots: Array  # [T]
    leaf_tree: Array  # [L]
    leaf_target: Array  # [L]
    leaf_weight: Array  # [L]


def evaluate(b: Builder, x: Value, branches: Branches, targets: int) -> Value:
    """Sums of leaf weights per target, [N, targets], in x's dtype (f64 or f32; f64 when the target is an older runtime).

    Raises Unsupported for trees so deep that onnxruntime would overflow its stack.
    """
    _check_depth(b, branches)
    if b.target.tree_ensemble:
        return _tree_ensemble(b, x, branches, targets)
    return _regressor(b, x, branches, targets)


def _check_depth(b: Builder, branches: Branches) -> None:
    level = branches.roots[branches.roots >= 0]
    for _ in range(DEEPEST):
        below = np.concatenate([branches.true[level], branches.false[level]])
        level = below[below >= 0]
        if not len(level):
            return
    raise Unsupported(f"Step {b.scope!r}: its trees are more than {DEEPEST} levels deep, which onnxruntime cannot read.")


def _tree_ensemble(b: Builder, x: Value, branches: Branches, targets: int) -> Value:
    branches = _without_equal_ids(_with_branch_roots(branches))
    dtype = np.float32 if x.dtype == "f32" else np.float64
    attributes: dict[str, Any] = {
        "aggregate_function": 1,
        "leaf_targetids": wire.Ints(branches.leaf_target),
        "leaf_weights": branches.leaf_weight.astype(dtype, copy=False),
        "n_targets": targets,
        "nodes_falseleafs": wire.Ints(branches.false < 0),
        "nodes_falsenodeids": wire.Ints(_unsigned(branches.false)),
        "nodes_featureids": wire.Ints(branches.feature),
        "nodes_modes": branches.mode.astype(np.uint8, copy=False),
        "nodes_splits": branches.split.astype(dtype, copy=False),
        "nodes_trueleafs": wire.Ints(branches.true < 0),
        "nodes_truenodeids": wire.Ints(_unsigned(branches.true)),
        "post_transform": 0,
        "tree_roots": wire.Ints(branches.roots),
    }
    if branches.nan_true.any():
        attributes["nodes_missing_value_tracks_true"] = wire.Ints(branches.nan_true)
    return b.op("TreeEnsemble", x, domain=ML, **attributes)


def _unsigned(child: Array) -> Array:
    return np.where(child < 0, ~child, child)


def _with_branch_roots(branches: Branches) -> Branches:
    """TreeEnsemble wants a branch at each root: a tree that is one leaf becomes a branch with equal leaves on both sides.

    They are two leaves: where a leaf has two parents, releases before 1.31 confuse the leaves of other trees.
    """
    single = np.flatnonzero(branches.roots < 0)
    if not len(single):
        return branches
    leaf = ~branches.roots[single]
    twin = len(branches.leaf_tree) + np.arange(len(single))
    count, first = len(single), len(branches.tree)
    roots = branches.roots.copy()
    roots[single] = first + np.arange(count)
    zeros = np.zeros(count, dtype=np.int64)
    return replace(
        branches,
        tree=np.concatenate([branches.tree, single]),
        feature=np.concatenate([branches.feature, zeros]),
        split=np.concatenate([branches.split, zeros]).astype(branches.split.dtype),
        mode=np.concatenate([branches.mode, np.full(count, branches.mode[0] if first else LEQ)]),
        nan_true=np.concatenate([branches.nan_true, zeros.astype(bool)]),
        true=np.concatenate([branches.true, ~leaf]),
        false=np.concatenate([branches.false, ~twin]),
        roots=roots,
        leaf_tree=np.concatenate([branches.leaf_tree, single]),
        leaf_target=np.concatenate([branches.leaf_target, branches.leaf_target[leaf]]),
        leaf_weight=np.concatenate([branches.leaf_weight, branches.leaf_weight[leaf]]),
    )


def _without_equal_ids(branches: Branches) -> Branches:
    """The same trees with leaves numbered so that no branch has a leaf and a branch of one number as its children.

    Releases before 1.24 take such a branch for a tree of one leaf. Leaves are rotated: there is one more leaf than branches in
    every tree, so some rotation meets no branch.
    """
    leaves = len(branches.leaf_tree)
    leaf = np.where(branches.true < 0, ~branches.true, ~branches.false)
    other = np.where(branches.true < 0, branches.false, branches.true)
    mixed = (branches.true < 0) != (branches.false < 0)
    taken = np.bincount((other[mixed] - leaf[mixed]) % leaves, minlength=leaves)
    shift = int(np.flatnonzero(taken == 0)[0])
    if shift == 0:
        return branches

    def rotated(children: Array) -> Array:
        return np.where(children < 0, ~((~children + shift) % leaves), children)

    return replace(
        branches,
        true=rotated(branches.true),
        false=rotated(branches.false),
        leaf_tree=np.roll(branches.leaf_tree, shift),
        leaf_target=np.roll(branches.leaf_target, shift),
        leaf_weight=np.roll(branches.leaf_weight, shift),
    )


def _regressor(b: Builder, x: Value, branches: Branches, targets: int) -> Value:
    """The nodes of one tree stand together, its root first; nodes are numbered within the tree."""
    weight = branches.leaf_weight
    assert np.all((weight == np.floor(weight)) & (np.abs(weight) <= EXACT_FLOAT))
    inner, leaves = len(branches.tree), len(branches.leaf_tree)
    tree = np.concatenate([branches.tree, branches.leaf_tree])
    own = np.where(branches.roots < 0, inner + ~branches.roots, branches.roots)
    root = np.zeros(inner + leaves, dtype=bool)
    root[own] = True
    order = np.lexsort((np.arange(inner + leaves), ~root, tree))
    place = np.empty_like(order)
    place[order] = np.arange(inner + leaves)
    first = np.searchsorted(tree[order], np.arange(len(branches.roots)))
    number = place - first[tree]  # node number within its tree, by node

    def child(references: Array) -> Array:
        nodes = np.where(references < 0, inner + ~references, references)
        return np.concatenate([number[nodes], np.zeros(leaves, dtype=np.int64)])[order]

    def spread(values: Array, leaf: Any) -> Array:
        return np.concatenate([values, np.full(leaves, leaf, dtype=values.dtype)])[order]

    at = order[order >= inner] - inner
    attributes = {
        "aggregate_function": "SUM",
        "n_targets": targets,
        "nodes_falsenodeids": wire.Ints(child(branches.false)),
        "nodes_featureids": wire.Ints(spread(branches.feature, 0)),
        "nodes_missing_value_tracks_true": wire.Ints(spread(branches.nan_true, False)),
        "nodes_modes": MODE_NAMES[spread(branches.mode, LEAF)].tolist(),
        "nodes_nodeids": wire.Ints(number[order]),
        "nodes_treeids": wire.Ints(tree[order]),
        "nodes_truenodeids": wire.Ints(child(branches.true)),
        "nodes_values_as_tensor": spread(branches.split.astype(np.float64), 0.0),
        "post_transform": "NONE",
        "target_ids": wire.Ints(branches.leaf_target[at]),
        "target_nodeids": wire.Ints(number[inner + at]),
        "target_treeids": wire.Ints(branches.leaf_tree[at]),
        "target_weights_as_tensor": weight[at].astype(np.float64),
    }
    return b.op("TreeEnsembleRegressor", x.cast("f64"), domain=ML, dtype="f32", **attributes).cast("f64")
