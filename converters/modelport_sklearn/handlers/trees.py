"""Decision trees, and what forests share with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelport.errors import Misjudged, UnsupportedAttribute

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import ALWAYS_WAIVED, Ledger
from ..versions import sklearn_version
from .tree_groups import forest_attributes

#: How trees are grown and pruned; tree_ holds the result.
GROWING = (
    "ccp_alpha class_weight criterion max_depth max_features max_features_ max_leaf_nodes min_impurity_decrease "
    "min_impurity_split min_samples_leaf min_samples_split min_weight_fraction_leaf monotonic_cst splitter"
).split()

#: All attributes of a tree inside an ensemble that are known not to change its answers, besides tree_ and what describes it.
INSIDE = frozenset(GROWING) | ALWAYS_WAIVED | {"tree_", "n_outputs_", "n_classes_", "classes_"}


@predicts("DecisionTreeClassifier", "ExtraTreeClassifier")
def tree_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Class fractions of the leaf, and the first largest of them."""
    ledger.waive(*GROWING, "n_classes_")
    return tree_classes(ledger, builder, table, [ledger.estimator], [ledger["tree_"]])


@predicts("DecisionTreeRegressor", "ExtraTreeRegressor")
def tree_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The value of the leaf."""
    ledger.waive(*GROWING)
    return tree_values(ledger, builder, table, [ledger.estimator], [ledger["tree_"]])


def tree_classes(ledger: Ledger, builder: Builder, table: Table, estimators: Sequence[Any], trees: Sequence[Any]) -> Prediction:
    """Mean class fractions of the trees, per output."""
    single = ledger["n_outputs_"] == 1
    classes: list[Array] = [ledger["classes_"]] if single else list(ledger["classes_"])
    sizes = [len(c) for c in classes]
    widest = trees[0].max_n_classes
    columns = np.concatenate([k * widest + np.arange(size) for k, size in enumerate(sizes)])
    hint = "probability" if single else "probabilities"
    fractions = add_trees(builder, table, estimators, trees, columns, hint, class_sizes=sizes)
    if single:
        label = builder.label_of_largest(fractions, classes[0])
        return Prediction(label=label, classes=classes[0], probability=fractions)
    probabilities, labels, begin = [], [], 0
    for k, size in enumerate(sizes):
        part = builder.add("select", fractions, hint=f"probability_{k}", index=np.arange(begin, begin + size))
        probabilities.append(part)
        labels.append(builder.label_of_largest(part, classes[k], hint=f"label_{k}"))
        begin += size
    return Prediction(label=builder.add("concat", *labels, hint="label"), classes=classes, probabilities=tuple(probabilities))


def tree_values(ledger: Ledger, builder: Builder, table: Table, estimators: Sequence[Any], trees: Sequence[Any]) -> Prediction:
    """The mean value of the trees, per output."""
    outputs = ledger["n_outputs_"]
    value = add_trees(builder, table, estimators, trees, np.arange(outputs), hint="value" if outputs == 1 else "prediction")
    return Prediction(prediction=builder.scalar(value, "prediction") if outputs == 1 else value)


def add_trees(
    builder: Builder,
    table: Table,
    estimators: Sequence[Any],
    trees: Sequence[Any],
    columns: Array,
    hint: str,
    class_sizes: Sequence[int] = (),
) -> str:
    """One tree_ensemble step: the sum of the trees' leaf rows, divided once by their number.

    class_sizes: how many columns of a leaf row are the class fractions of each output (none: values).
    """
    name = type(estimators[0]).__name__

    def adjust(leaf: Array) -> None:
        begin = 0
        for size in class_sizes:
            make_fractions(leaf[:, begin : begin + size], name)
            begin += size

    attributes = forest_attributes(trees, columns, not table.sparse and accepts_nan(estimators[0]), adjust)
    aggregate = "mean" if len(trees) > 1 else "sum"
    return builder.add("tree_ensemble", builder.matrix(table), hint=hint, aggregate=aggregate, **attributes)


def make_fractions(leaf: Array, name: str) -> None:
    """Class counts [L, classes] become fractions in place: scikit-learn before 1.4 stored counts."""
    totals = leaf.sum(axis=1, keepdims=True)
    if np.allclose(totals, 1.0, rtol=0, atol=1e-6):
        return
    if sklearn_version() >= (1, 4):
        raise Misjudged(
            f"{name}: its leaves hold class counts, as scikit-learn before 1.4 stored them, and the scikit-learn installed here "
            "answers such a file with counts in place of probabilities: convert it with scikit-learn 1.3, or fit it again.",
            "tree_",
        )
    np.divide(leaf, totals, out=leaf, where=totals != 0)


def accepts_nan(tree: Any) -> bool:
    """Whether predict of a tree (or of the forest it is the first of) lets NaN through."""
    return bool(tree._support_missing_values(np.zeros((1, 1))))


def inner_trees(ledger: Ledger, estimators: Sequence[Any]) -> list[Any]:
    """The `tree_` of the trees of an ensemble; refused when one of them is, or holds, something unknown."""
    if not len(estimators):
        raise ledger.refuse("estimators_", "is empty, and an ensemble of no trees answers nothing: fit it first.")
    for tree in estimators:
        if type(tree).__module__.partition(".")[0] != "sklearn" or not hasattr(tree, "tree_"):
            raise ledger.refuse("estimators_", f"holds a {type(tree).__name__}, which is not one of scikit-learn's trees.")
        unknown = vars(tree).keys() - INSIDE
        if unknown:
            name = sorted(unknown)[0]
            raise UnsupportedAttribute(f"A tree of {ledger.name} has the attribute {name!r}, which no step expresses.", name)
    return [tree.tree_ for tree in estimators]
