"""Stacking: a final estimator that is given what other estimators answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..builder import Builder, Prediction, Table
from ..dispatch import predict, predicts, transforms
from ..ledger import Ledger
from ..responses import Member, members, relabelled, unnamed


@predicts("StackingClassifier")
def stacking_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The final estimator's class number, as a class; its probabilities and scores."""
    encoder, classes = ledger["_label_encoder"], ledger["classes_"]
    final = _final(ledger, builder, table)
    assert final.label is not None, "the final estimator of a StackingClassifier is a classifier"
    if not isinstance(encoder, list):
        return replace(final, label=relabelled(builder, final.label, classes), classes=classes)
    columns = [builder.add("select", final.label, hint=f"number_{k}", index=np.array([k])) for k in range(len(encoder))]
    named = [relabelled(builder, column, classes[k], f"label_{k}") for k, column in enumerate(columns)]
    probability = None
    if final.probabilities:  # scikit-learn gives the share of the first class
        first = [builder.add("select", p, hint=f"share_{k}", index=np.array([0])) for k, p in enumerate(final.probabilities)]
        probability = builder.add("concat", *first, hint="probability")
    return Prediction(label=builder.add("concat", *named, hint="label"), probability=probability)


@predicts("StackingRegressor")
def stacking_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What the final estimator predicts."""
    return _final(ledger, builder, table)


@transforms("StackingClassifier", "StackingRegressor")
def stacked_answers(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """What the final estimator is given."""
    ledger.waive("final_estimator_", "_label_encoder")
    return _answers(ledger, builder, table)


def _final(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    answers = _answers(ledger, builder, table)
    with builder.within(ledger.estimator.transform):
        return predict(ledger["final_estimator_"], builder, answers)


def _answers(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The answers side by side; a first column that the others determine is left out; behind them the rows, if passed through."""
    ledger.waive("estimators", "named_estimators_", "final_estimator", "cv", "stack_method", "_n_feature_outs")
    classes = ledger.get("classes_")
    answers = Table(())
    for member, method in zip(members(ledger["estimators_"], builder, table), ledger["stack_method_"], strict=True):
        answers += _answer(member, method, classes)
    if ledger["passthrough"]:
        answers += unnamed(table)
    return answers


def _answer(member: Member, method: str, classes: Any) -> Table:
    builder, prediction = member.builder, member.prediction
    if method == "predict_proba" and prediction.probabilities:
        parts = [_without_first(builder.table(value)) for value in prediction.probabilities]
        return sum(parts[1:], parts[0])
    if method == "predict":
        answer = builder.table(member.number())
    else:
        answer = builder.table(member.answer(method))
    rank_2 = bool(builder.types[answer.columns[0].value].shape)
    if rank_2 and method == "predict_proba" and classes is not None and len(classes) == 2:
        return _without_first(answer)
    return answer


def _without_first(table: Table) -> Table:
    return table.select(range(1, len(table)))
