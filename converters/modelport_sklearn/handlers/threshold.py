"""Classifiers of two classes that decide at a threshold of their own: FixedThresholdClassifier, TunedThresholdClassifierCV."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..builder import Builder, Prediction, Table, labels_table
from ..dispatch import predicts
from ..ledger import Ledger
from ..responses import doubt_near, read_member

TUNING = "best_score_ cv cv_results_ estimator n_jobs random_state refit scoring store_cv_results thresholds".split()


@predicts("FixedThresholdClassifier")
def fixed_threshold(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The positive class where its probability or score is at the threshold or above."""
    ledger.waive("estimator", "estimator_")
    model = ledger.estimator
    inner = getattr(model, "estimator_", model.estimator)  # as scikit-learn: one fitted before is used as it is
    return _decided(ledger, builder, table, inner, ledger["threshold"], ledger["pos_label"])


@predicts("TunedThresholdClassifierCV")
def tuned_threshold(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The same, with the threshold that was found."""
    ledger.waive(*TUNING)
    positive = ledger["_curve_scorer"]._get_pos_label()
    return _decided(ledger, builder, table, ledger["estimator_"], ledger["best_threshold_"], positive)


def _decided(ledger: Ledger, builder: Builder, table: Table, inner: Any, threshold: Any, positive: Any) -> Prediction:
    wanted = ledger.demand(
        "response_method",
        "auto",
        "predict_proba",
        "decision_function",
        instead="use 'auto', 'predict_proba' or 'decision_function'.",
    )
    member = read_member(inner, builder, table)
    method = member.first_of(("predict_proba", "decision_function") if wanted == "auto" else (wanted,))
    classes = np.asarray(inner.classes_)
    second = 1 if positive is None else int(np.flatnonzero(classes == positive)[0])
    value = member.answer(method)
    if method == "predict_proba":
        value = builder.scalar(builder.add("select", value, hint="p", index=np.array([second])), "positive")
    elif second == 0:
        value = builder.add("unary", value, hint="positive", fn="neg")
    if isinstance(threshold, str):
        threshold = 0.5 if method == "predict_proba" else 0.0
    doubt_near(builder, value, float(threshold))
    reached = builder.add("binary", value, builder.constant(float(threshold), "threshold"), hint="is_positive", fn="ge")
    index = builder.add("cast", reached, hint="index", to="i64")
    label = builder.add("take", index, hint="label", table=labels_table(classes[[1 - second, second]]))
    return replace(member.prediction, label=label)
