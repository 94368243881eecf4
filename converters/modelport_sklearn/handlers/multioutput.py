"""One estimator per output: MultiOutput*, and chains in which each is given what those before it answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger
from ..responses import Member, as_rows, members, read_member, unnamed

CHAINING = "base_estimator base_estimator_ chain_method classes_ cv estimator order".split()


@predicts("MultiOutputRegressor")
def multi_output_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The predictions side by side."""
    ledger.waive("estimator")
    values = [m.number() for m in members(ledger["estimators_"], builder, table)]
    return Prediction(prediction=builder.add("concat", *values, hint="prediction"))


@predicts("MultiOutputClassifier")
def multi_output_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Label and probability of every output."""
    ledger.waive("estimator")
    classes, asked = list(ledger["classes_"]), members(ledger["estimators_"], builder, table)
    label = builder.add("concat", *_one_kind(builder, asked, classes), hint="label")
    if not all(m.offers("predict_proba") for m in asked):
        return Prediction(label=label, classes=classes)
    return Prediction(label=label, classes=classes, probabilities=tuple(m.answer("predict_proba") for m in asked))


def _one_kind(builder: Builder, asked: Sequence[Member], classes: Sequence[Any]) -> list[str]:
    """The labels in the type that fits all outputs, as NumPy joins them."""
    labels = [m.decided() for m in asked]
    kinds = {builder.types[label].dtype for label in labels}
    if len(kinds) == 1:
        return labels
    if "str" not in kinds:
        wanted = "f64" if "f64" in kinds else "i64"
        return [v if builder.types[v].dtype == wanted else builder.add("cast", v, hint="label", to=wanted) for v in labels]
    return [_as_string(builder, label, np.asarray(c)) for label, c in zip(labels, classes, strict=True)]


def _as_string(builder: Builder, label: str, classes: Array) -> str:
    if builder.types[label].dtype == "str":
        return label
    return builder.add("lookup", label, hint="label", keys=classes, values=np.array([str(c) for c in classes], dtype=object))


@predicts("ClassifierChain")
def classifier_chain(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Labels, probabilities and scores of the second class, in the order of the outputs."""
    asked, order = _chain(ledger, builder, table, str(ledger.get("chain_method_", "predict")))
    label = _in_order(builder, [m.number() for m in asked], order, "label")
    two = all(len(m.estimator.classes_) == 2 for m in asked)
    given = {
        method: _in_order(builder, [m.positive(method) for m in asked], order, hint)
        for method, hint in (("predict_proba", "probability"), ("decision_function", "score"))
        if two and all(m.offers(method) for m in asked)
    }
    return Prediction(label=label, probability=given.get("predict_proba"), score=given.get("decision_function"))


@predicts("RegressorChain")
def regressor_chain(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The predictions in the order of the outputs."""
    asked, order = _chain(ledger, builder, table, "predict")
    return Prediction(prediction=_in_order(builder, [m.number() for m in asked], order, "prediction"))


def _chain(ledger: Ledger, builder: Builder, table: Table, method: str) -> tuple[list[Member], Array]:
    """The estimators, each given the rows and what the ones before it answer, and which output each stands for."""
    ledger.waive(*CHAINING)
    given, asked = unnamed(table), []
    for k, estimator in enumerate(ledger["estimators_"]):
        member = read_member(estimator, builder, given, _augmented(ledger.estimator, method, k))
        asked.append(member)
        value = member.number() if method == "predict" else member.positive(method)
        given += builder.table(value)
    return asked, np.asarray(ledger["order_"], dtype=np.int64)


def _augmented(model: Any, method: str, k: int) -> Any:
    """How the rows of estimator k of a chain are made from the chain's own."""

    def augmented(rows: Any) -> Array:
        table = as_rows(rows)
        table = np.asarray(table.toarray() if hasattr(table, "toarray") else table, dtype=np.float64)
        for estimator in model.estimators_[:k]:
            answer = np.asarray(getattr(estimator, method)(table), dtype=np.float64)
            table = np.column_stack([table, answer if answer.ndim == 1 else answer[:, 1]])
        return table

    return augmented


def _in_order(builder: Builder, values: Sequence[str], order: Array, hint: str) -> str:
    """Side by side, the value of estimator k at place order[k]."""
    return builder.add("concat", *(values[k] for k in np.argsort(order)), hint=hint)
