"""CalibratedClassifierCV: scores of a classifier turned into probabilities, averaged over classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelport.errors import UnsupportedAttribute

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predict, predicts
from ..ledger import Ledger
from ..responses import mean_of, read_member
from .sums import row_sum

METHODS = ("sigmoid", "isotonic", "temperature")
#: What scikit-learn adds to a probability before it takes the logarithm.
EPSILON = 1e-12
#: What a score's last bits come to, relative to its size, and from where on a difference of probabilities is one.
ROUNDING, VISIBLE = 2e-15, 5e-13
#: What the last bits of a probability near 1 come to, and the coarsest tolerance that is stated because of them.
LAST_BITS, COARSEST = 1e-14, 1e-5


@predicts("CalibratedClassifierCV")
def calibrated_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The mean of the calibrated probabilities; the first largest."""
    ledger.waive("estimator", "base_estimator", "method", "cv", "ensemble")
    classes = ledger["classes_"]
    shares = [_calibrated(ledger, builder, table, one) for one in ledger["calibrated_classifiers_"]]
    probability = mean_of(builder, shares, len(shares), "probability")
    return Prediction(label=builder.label_of_largest(probability, classes), classes=classes, probability=probability)


def _calibrated(ledger: Ledger, builder: Builder, table: Table, pair: Any) -> str:
    """[classes]: the calibrated probabilities of one classifier."""
    unknown = vars(pair).keys() - {"estimator", "base_estimator", "calibrators", "classes", "method"}
    if unknown or pair.method not in METHODS:
        name = min(unknown, default="method")
        raise UnsupportedAttribute(f"A calibrated classifier has {name}={getattr(pair, name)!r}, which no step expresses.", name)
    member = read_member(pair.estimator, builder, table)
    method = member.first_of(("decision_function", "predict_proba"))
    value = member.positive(method) if len(pair.estimator.classes_) == 2 else member.answer(method)
    n = len(pair.classes)
    if pair.method == "temperature":
        return _tempered(builder, value, pair.calibrators[0], method)
    place = {label: k for k, label in enumerate(np.asarray(pair.classes).tolist())}
    seen = [place[label] for label in np.asarray(pair.estimator.classes_).tolist()]
    columns = [value] if builder.width(value) == 1 else _split(builder, value)
    curves = [_curve(builder, column, c) for column, c in zip(columns, pair.calibrators, strict=False)]
    if n == 2:
        p = builder.add("two_class", curves[0], hint="share")
        return builder.add("clip", p, hint="share", max_=[1.0]) if pair.method == "isotonic" else p
    return _normalized(builder, curves, seen, n)


def _split(builder: Builder, value: str) -> list[str]:
    return [builder.add("select", value, hint="class_score", index=np.array([k])) for k in range(builder.width(value))]


def _curve(builder: Builder, value: str, calibrator: Any) -> str:
    """The calibrator's probability for one score; width 1."""
    curve = predict(calibrator, builder, builder.table(value)).prediction
    assert curve is not None, "a calibrator is a regressor"
    if hasattr(calibrator, "X_thresholds_") and not builder.exact.get(value, True):
        knots, heights = (np.asarray(part, dtype=np.float64) for part in (calibrator.X_thresholds_, calibrator.y_thresholds_))
        builder.doubt(lambda x: steep(x, knots, heights), value)
    return curve


def steep(values: Array, knots: Array, heights: Array) -> Array:
    """bool [n]: whether the last bits of a score move a curve by more than is to be told apart."""
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    bits = ROUNDING * (np.abs(x) + 1.0)
    return np.asarray(~(np.interp(x + bits, knots, heights) - np.interp(x - bits, knots, heights) <= VISIBLE))


@predicts("_SigmoidCalibration")
def sigmoid_calibration(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The logistic function of -(a x + b)."""
    x = builder.scalar(builder.matrix(table), "score")
    line = builder.add("scale", x, hint="line", mul=[float(ledger["a_"])], add=[float(ledger["b_"])])
    logit = builder.add("unary", line, hint="logit", fn="neg")
    return Prediction(prediction=builder.add("unary", logit, hint="calibrated", fn="sigmoid"))


def _normalized(builder: Builder, curves: Sequence[str], seen: Sequence[int], n: int) -> str:
    """[n]: the curves at their classes, divided by their sum; 1/n each where all are zero."""
    value = builder.add("concat", builder.constant([0.0], "zero"), *curves, hint="zero_or_calibrated")
    place = np.zeros(n, dtype=np.int64)
    for k, position in enumerate(list(seen)[: len(curves)], 1):
        place[position] = k
    value = builder.add("select", value, hint="calibrated", index=place)
    summed = row_sum(builder, value, "total")
    none = builder.add("binary", summed, builder.constant([0.0], "zero"), hint="all_zero", fn="eq")
    shares = builder.add("binary", value, summed, hint="quotient", fn="div")
    return builder.add("where", none, builder.constant(np.full(n, 1 / n), "uniform"), shares, hint="share")


def _tempered(builder: Builder, value: str, calibrator: Any, method: str) -> str:
    """softmax of beta times the scores, or times the logarithms of the probabilities."""
    ledger = Ledger(calibrator)
    beta = float(ledger["beta_"])
    ledger.close()
    rounded = False
    if method == "predict_proba":
        if builder.width(value) == 1:
            rounded = not builder.exact.get(value, True)
            value = builder.add("two_class", value, hint="share")
        value = builder.add("scale", value, hint="share_above_0", add=[EPSILON])
        logits = builder.add("unary", value, hint="logit", fn="log")
    elif builder.width(value) == 1:
        logits = builder.add("concat", builder.add("unary", value, hint="negative", fn="neg"), value, hint="logit")
    else:
        logits = value
    if rounded and _magnified(beta) > VISIBLE:
        builder.measure(VISIBLE, COARSEST)
    return builder.add("softmax", builder.add("scale", logits, hint="tempered", mul=[beta]), hint="share")


def _magnified(beta: float) -> float:
    """By how much the last bits of a probability near 1, all that is left of the other class's, can move what is made of it."""
    p = np.append(0.0, np.logspace(-16, -0.5, 256))
    share = 1.0 / (1.0 + np.exp(np.abs(beta) * (np.log(1.0 - p + EPSILON) - np.log(p + EPSILON))))
    return float(np.max(share * (1.0 - share) * np.abs(beta) * LAST_BITS / (p + EPSILON)))
