"""Voting: the mean of several estimators' answers, or the class that most of them name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..builder import Builder, Prediction, Table
from ..dispatch import predicts, transforms
from ..ledger import Ledger
from ..responses import Member, as_number, mean_of, members, total, vote


@predicts("VotingClassifier")
def voting_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Soft: the largest of the mean probabilities. Hard: the class with the most (weighted) votes, the first of equals."""
    classes, weights = ledger["classes_"], _weights(ledger)
    ledger.waive("flatten_transform")
    voters = _voters(ledger, builder, table)
    if ledger.demand("voting", "soft", "hard", instead="use 'soft' or 'hard'.") == "soft":
        probability = _average(builder, [m.answer("predict_proba") for m in voters], weights, "probability")
        return Prediction(label=builder.label_of_largest(probability, classes), classes=classes, probability=probability)
    if weights is not None and min(weights) < 0:
        raise ledger.refuse("weights", "holds a negative number, and votes against a class have no portable rule: use others.")
    votes = [vote(builder, m.decided(), len(classes)) for m in voters]
    return Prediction(label=builder.label_of_largest(total(builder, _scaled(builder, votes, weights), "votes"), classes))


@predicts("VotingRegressor")
def voting_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The (weighted) mean of the predictions."""
    weights = _weights(ledger)
    predicted = [m.number() for m in _voters(ledger, builder, table)]
    return Prediction(prediction=_average(builder, predicted, weights, "prediction"))


@transforms("VotingClassifier")
def voting_classes(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Soft: all probabilities side by side. Hard: the class numbers that are voted for."""
    ledger.waive("classes_", "weights")
    voters = _voters(ledger, builder, table)
    if ledger.demand("voting", "soft", "hard", instead="use 'soft' or 'hard'.") == "hard":
        ledger.waive("flatten_transform")
        return _numbers(builder, voters)
    ledger.demand("flatten_transform", True, instead="rows of one axis are transformed: use flatten_transform=True.")
    return builder.table(builder.add("concat", *(m.answer("predict_proba") for m in voters), hint="probabilities"))


@transforms("VotingRegressor")
def voting_values(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """All predictions side by side."""
    ledger.waive("weights")
    return _numbers(builder, _voters(ledger, builder, table))


def _voters(ledger: Ledger, builder: Builder, table: Table) -> list[Member]:
    ledger.waive("estimators", "named_estimators_", "le_")
    return members(ledger["estimators_"], builder, table)


def _weights(ledger: Ledger) -> list[float] | None:
    """The weights of the estimators that were not dropped."""
    given = ledger["weights"]
    if given is None:
        return None
    return [float(w) for (_, e), w in zip(ledger["estimators"], given, strict=True) if not (isinstance(e, str) and e == "drop")]


def _numbers(builder: Builder, voters: Sequence[Member]) -> Table:
    values = [as_number(builder, m.decided(), m.name) for m in voters]
    return builder.table(builder.add("concat", *values, hint="predictions"))


def _scaled(builder: Builder, values: Sequence[str], weights: Sequence[float] | None) -> list[str]:
    if weights is None:
        return list(values)
    return [builder.add("scale", v, hint="weighted", mul=[w]) for v, w in zip(values, weights, strict=True)]


def _average(builder: Builder, values: Sequence[str], weights: Sequence[float] | None, hint: str) -> str:
    """As numpy.average: products summed in order, divided by the sum of the weights."""
    divisor = float(len(values)) if weights is None else float(np.sum(np.asarray(weights)))
    return mean_of(builder, _scaled(builder, values, weights), divisor, hint)
