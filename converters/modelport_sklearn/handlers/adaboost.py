"""AdaBoost: weighted votes of classifiers, the weighted median of regressors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table, labels_table
from ..dispatch import predicts
from ..ledger import Ledger
from ..responses import as_rows, members, total, unnamed
from ..versions import sklearn_version
from .grown import add_grown, all_trees, class_fractions, leaf_values

BOOSTING = (
    "base_estimator base_estimator_ estimator estimator_ estimator_errors_ estimator_params learning_rate loss n_classes_ "
    "n_estimators"
).split()

#: Sums of weights nearer to half of the total than this, relative to it, depend on the order in which weights are added up.
ROUNDING = 1e-13


@predicts("AdaBoostClassifier")
def adaboost_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Weighted votes, or the sum of log probabilities (SAMME.R, before scikit-learn 1.6)."""
    algorithm = ledger.get("algorithm", "deprecated")
    if algorithm not in ("SAMME", "deprecated") and not (algorithm == "SAMME.R" and sklearn_version() < (1, 6)):
        raise ledger.misjudged(
            "algorithm",
            f"is {algorithm!r}, which the installed scikit-learn no longer heeds: fit it again, or convert it with 1.5.",
        )
    estimators, weights = _boosted(ledger)
    classes = ledger["classes_"]
    if len(classes) == 1:
        return _single_class(builder, classes)
    add_up = _real_votes if algorithm == "SAMME.R" else _discrete_votes
    summed = add_up(builder, unnamed(table), estimators, weights, classes)
    score = builder.add("scale", summed, hint="score", div=[float(ledger.estimator.estimator_weights_.sum())])
    if len(classes) > 2:
        logit = builder.add("scale", score, hint="logit", div=[len(classes) - 1.0])
    else:
        first, second = (builder.add("select", score, hint="share", index=np.array([k])) for k in (0, 1))
        score = builder.scalar(builder.add("binary", second, first, hint="difference", fn="sub"), "decision")
        both = builder.add("concat", builder.add("unary", score, hint="negative", fn="neg"), score, hint="both")
        logit = builder.add("scale", both, hint="logit", div=[2.0])
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    probability = builder.add("softmax", logit, hint="probability")
    return Prediction(label=builder.label_of_score(score, classes), classes=classes, probability=probability, score=score)


def _discrete_votes(builder: Builder, table: Table, estimators: Sequence[Any], weights: Array, classes: Any) -> str:
    """[classes]: a classifier's weight counts for its class, and weight / (classes - 1) against each other one (SAMME)."""
    rows = [_votes(float(w), len(classes)) for w in weights]
    if all_trees(estimators):
        leaves = [row[_chosen(tree, classes)] for tree, row in zip(estimators, rows, strict=True)]
        return add_grown(builder, table, estimators, leaves, "votes")
    chosen = [_index(builder, m.decided(), classes) for m in members(estimators, builder, table, as_rows)]
    votes = [builder.add("take", index, hint="vote", table=row) for index, row in zip(chosen, rows, strict=True)]
    return total(builder, votes, "votes")


def _real_votes(builder: Builder, table: Table, estimators: Sequence[Any], weights: Array, classes: Any) -> str:
    """[classes]: (classes - 1) (log p - mean of log p), summed over the classifiers (SAMME.R)."""
    n, least = len(classes), float(np.finfo(np.float64).eps)
    if all_trees(estimators):
        logs = [np.log(np.maximum(class_fractions(tree), least)) for tree in estimators]
        leaves = [(n - 1) * (log - (1.0 / n) * log.sum(axis=1)[:, np.newaxis]) for log in logs]
        return add_grown(builder, table, estimators, leaves, "votes")
    votes = []
    for member in members(estimators, builder, table, as_rows):
        p = builder.add("clip", member.answer("predict_proba"), hint="clipped", min_=[least])
        log = builder.add("unary", p, hint="log", fn="log")
        summed = builder.add("reduce", log, hint="log_sum", fn="sum", keep=True)
        mean = builder.add("scale", summed, hint="log_mean", mul=[1.0 / n])
        votes.append(builder.add("scale", builder.add("binary", log, mean, hint="gap", fn="sub"), hint="vote", mul=[n - 1.0]))
    return total(builder, votes, "votes")


def _boosted(ledger: Ledger) -> tuple[list[Any], Array]:
    ledger.waive(*BOOSTING)
    estimators = list(ledger["estimators_"])
    return estimators, np.asarray(ledger["estimator_weights_"], dtype=np.float64)[: len(estimators)]


def _single_class(builder: Builder, classes: Any) -> Prediction:
    score, probability = builder.constant([0.0], "score"), builder.constant([1.0], "probability")
    return Prediction(label=builder.only_label(classes), classes=classes, probability=probability, score=score)


def _votes(weight: float, n: int) -> Array:
    """[n + 1, n]: what a vote for each class adds to all; the last row belongs to a class that is none of them."""
    return np.where(np.eye(n + 1, n, dtype=bool), weight, -1 / (n - 1) * weight)


def _chosen(tree: Any, classes: Any) -> Array:
    """[leaves]: the index among the classes of the label that each leaf gives."""
    labels = np.asarray(tree.classes_)[np.argmax(leaf_values(tree)[:, : len(tree.classes_)], axis=1)]
    place = {label: k for k, label in enumerate(np.asarray(classes).tolist())}
    return np.array([place.get(label, len(place)) for label in labels.tolist()])


def _index(builder: Builder, label: str, classes: Any) -> str:
    keys = labels_table(classes)
    places = np.arange(len(keys), dtype=np.int64)
    return builder.add("lookup", label, hint="class_index", keys=keys, values=places, default=len(keys))


@predicts("AdaBoostRegressor")
def adaboost_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The smallest prediction such that it and those below it have half of the weight."""
    estimators, weights = _boosted(ledger)
    table = unnamed(table)
    if all_trees(estimators):
        order = np.arange(len(estimators), dtype=np.int32)
        leaves = [leaf_values(tree) for tree in estimators]
        values = add_grown(builder, table, estimators, leaves, "predictions", class_=order, size=len(order))
    else:
        values = builder.add("concat", *(m.number() for m in members(estimators, builder, table, as_rows)), hint="predictions")
    return Prediction(prediction=weighted_median(builder, values, weights))


def weighted_median(builder: Builder, values: str, weights: Sequence[float] | Array) -> str:
    """Of values [k]: the smallest whose weight, with all that is not above it, is at least half of the total; rank 0."""
    weights = np.asarray(weights, dtype=np.float64)
    parts = []
    for j, weight in enumerate(weights.tolist()):
        one = builder.add("select", values, hint=f"value_{j}", index=np.array([j]))
        reached = builder.add("binary", one, values, hint=f"reaches_{j}", fn="le")
        flag = builder.add("cast", reached, hint=f"reached_{j}", to="f64")
        parts.append(builder.add("scale", flag, hint=f"weight_{j}", mul=[weight]))
    below = total(builder, parts, "weight_below")
    half = 0.5 * float(np.cumsum(weights)[-1])
    if np.ptp(weights):  # else every order of adding gives the same
        builder.doubt(lambda w: (~(np.abs(w - half) > ROUNDING * half)).any(axis=1), below)
    enough = builder.add("binary", below, builder.constant([half], "half"), hint="is_enough", fn="ge")
    largest = builder.add("reduce", values, hint="largest", fn="max", keep=True)
    candidate = builder.add("where", enough, values, largest, hint="candidate")
    return builder.add("reduce", candidate, hint="prediction", fn="min")
