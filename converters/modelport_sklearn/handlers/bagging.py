"""Bagging: estimators fitted on samples of the rows and of the columns, averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger
from ..responses import Member, as_rows, mean_of, read_member, unnamed, vote
from .grown import add_grown, all_trees, class_fractions, leaf_values

#: How rows and columns were drawn; estimators_ and estimators_features_ hold the result.
DRAWING = (
    "base_estimator base_estimator_ bootstrap bootstrap_features estimator estimator_ estimator_params max_features max_samples "
    "n_classes_ oob_decision_function_ oob_prediction_ oob_score oob_score_ _estimators_samples _max_features _max_samples "
    "_n_samples _sample_weight _seeds"
).split()


@predicts("BaggingClassifier")
def bagging_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The mean of the probabilities, or of the votes of estimators without them; the first largest."""
    estimators, columns = drawn(ledger, table)
    classes = ledger["classes_"]
    if all_trees(estimators):
        probability = _of_trees(builder, unnamed(table), estimators, columns, len(classes))
        score = None
    else:
        bagged = _members(builder, table, estimators, columns)
        shares = [_shares(member, len(classes)) for member in bagged]
        probability = mean_of(builder, shares, len(shares), "probability")
        score = _score(ledger, builder, bagged)
    return Prediction(label=builder.label_of_largest(probability, classes), classes=classes, probability=probability, score=score)


@predicts("BaggingRegressor")
def bagging_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The mean of the predictions."""
    estimators, columns = drawn(ledger, table)
    if not all_trees(estimators):
        predicted = [member.number() for member in _members(builder, table, estimators, columns)]
        return Prediction(prediction=mean_of(builder, predicted, len(predicted), "prediction"))
    leaves = [leaf_values(tree) for tree in estimators]
    single = leaves[0].shape[1] == 1
    hint = "value" if single else "prediction"
    value = add_grown(builder, unnamed(table), estimators, leaves, hint, columns, aggregate=_mean(estimators))
    return Prediction(prediction=builder.scalar(value, "prediction") if single else value)


def drawn(ledger: Ledger, table: Table) -> tuple[list[Any], list[Array]]:
    """The estimators, and the columns that each is given."""
    ledger.waive(*DRAWING)
    estimators, columns = list(ledger["estimators_"]), [np.asarray(c, dtype=np.int64) for c in ledger["estimators_features_"]]
    if not len(estimators) == len(columns) == ledger["n_estimators"]:
        raise ledger.refuse("n_estimators", "is not the number of estimators that were fitted: fit the model again.")
    if any(len(c) and not 0 <= c.min() <= c.max() < len(table) for c in columns):
        raise ledger.refuse("estimators_features_", "names a column that the rows do not have: fit the model again.")
    return estimators, columns


def _of_trees(builder: Builder, table: Table, trees: Sequence[Any], columns: Sequence[Array], classes: int) -> str:
    leaves = []
    for tree in trees:
        fractions = class_fractions(tree)
        leaf = np.zeros((len(fractions), classes))
        leaf[:, np.asarray(tree.classes_, dtype=np.int64)] = fractions  # the classes that the tree has seen
        leaves.append(leaf)
    return add_grown(builder, table, trees, leaves, "probability", columns, aggregate=_mean(trees))


def _mean(trees: Sequence[Any]) -> str:
    return "mean" if len(trees) > 1 else "sum"


def _members(builder: Builder, table: Table, estimators: Sequence[Any], columns: Sequence[Array]) -> list[Member]:
    return [
        read_member(estimator, builder, unnamed(table.select(index.tolist())), _selecting(index))
        for estimator, index in zip(estimators, columns, strict=True)
    ]


def _selecting(index: Array) -> Callable[[Any], Any]:
    return lambda rows: as_rows(rows)[:, index]


def _shares(member: Member, classes: int) -> str:
    """[classes]: the probability of each class, or 1 for the class that is voted for; classes not seen have 0."""
    builder = member.builder
    if not member.offers("predict_proba"):
        return vote(builder, member.decided(), classes)
    value, seen = member.answer("predict_proba"), np.asarray(member.estimator.classes_, dtype=np.int64)
    if len(seen) == classes:
        return value
    padded = builder.add("concat", builder.constant([0.0], "zero"), value, hint="zero_or_probability")
    place = np.zeros(classes, dtype=np.int64)
    place[seen] = 1 + np.arange(len(seen))
    return builder.add("select", padded, hint="probability", index=place)


def _score(ledger: Ledger, builder: Builder, bagged: Sequence[Member]) -> str | None:
    """The mean of the scores, where there are scores and they have one shape."""
    if not hasattr(ledger.estimator, "decision_function") or any(m.prediction.score is None for m in bagged):
        return None
    scores = [member.answer("decision_function") for member in bagged]
    if len({builder.types[score] for score in scores}) > 1:
        return None
    return mean_of(builder, scores, len(scores), "score")
