"""Ensembles of trees that are no forests, as one tree_ensemble step: every tree has its own leaf rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..builder import Array, Builder, Table
from .tree_arrays import sklearn_nodes, tree_attributes
from .trees import INSIDE, accepts_nan, make_fractions

KINDS = frozenset(f"{name}{task}" for name in ("DecisionTree", "ExtraTree") for task in ("Classifier", "Regressor"))


def all_trees(estimators: Sequence[Any]) -> bool:
    """Whether all are scikit-learn's own trees and hold nothing unknown; others are read one by one."""
    return all(
        type(e).__module__.partition(".")[0] == "sklearn" and type(e).__name__ in KINDS and not vars(e).keys() - INSIDE
        for e in estimators
    )


def class_fractions(tree: Any) -> Array:
    """[leaves, classes]: what predict_proba of a classifier with one output gives, in node order."""
    leaf = leaf_values(tree)[:, : len(tree.classes_)]
    make_fractions(leaf, type(tree).__name__)
    return leaf


def leaf_values(tree: Any) -> Array:
    """[leaves, outputs * classes] in node order."""
    state = tree.tree_
    return np.array(state.value[state.children_left < 0].reshape(state.n_leaves, -1), dtype=np.float64)


def add_grown(
    builder: Builder,
    table: Table,
    estimators: Sequence[Any],
    leaves: Sequence[Array],
    hint: str,
    columns: Sequence[Array] | None = None,
    receives_nan: bool | None = None,
    **attributes: Any,
) -> str:
    """One step that adds up, tree by tree, the leaf rows [leaves of the tree, w] given for each tree.

    columns: per tree the columns of the table that it was given (none: all).
    """
    if receives_nan is None:
        receives_nan = not table.sparse and accepts_nan(estimators[0])
    nodes = sklearn_nodes([e.tree_ for e in estimators], np.arange(1), receives_nan)
    feature = nodes.feature
    if columns is not None:
        ends = np.append(nodes.start[1:], len(feature))
        parts = [np.asarray(c)[np.maximum(feature[a:b], 0)] for c, a, b in zip(columns, nodes.start, ends, strict=True)]
        feature = np.concatenate(parts)
    made = tree_attributes(replace(nodes, feature=feature, leaf=np.concatenate(leaves)), "f32")
    return builder.add("tree_ensemble", builder.matrix(table), hint=hint, **made, **attributes)
