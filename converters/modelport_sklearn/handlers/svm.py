"""Support vector machines of libsvm: classifiers, regressors and the one-class detector, with every kernel it computes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table, labels_table
from ..dispatch import predicts
from ..ledger import Ledger
from .distances import EPS
from .linear import dense

#: What governs or records the fit alone; dual_coef_, intercept_ and coef_ are what the underscored attributes were before a sign.
FITTING = (
    "C cache_size class_weight class_weight_ dual_coef_ epsilon fit_status_ gamma intercept_ max_iter n_iter_ nu "
    "shape_fit_ shrinking support_ support_vectors_ tol _num_iter _sparse _effective_probability"
).split()

#: libsvm's kernels -> the metric of `pairwise` and the parameters it takes.
KERNELS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "linear": ("dot", ()),
    "poly": ("poly", ("gamma", "coef0", "degree")),
    "rbf": ("rbf", ("gamma",)),
    "sigmoid": ("sigmoid", ("gamma", "coef0")),
}

#: From where on the rounding of the terms, relative to the decisions, is stated as a tolerance, and the coarsest one stated.
SHOWING, COARSEST = 1e-12, 1e-9

#: A decision smaller than this share of the terms it sums up has the sign that rounding gives it.
ROUNDING = 1e-13


@predicts("SVC", "NuSVC")
def support_vector_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """One decision per pair of classes; the class with most votes, the first of equals."""
    ledger.waive(*FITTING)
    classes, shape = ledger["classes_"], ledger["decision_function_shape"]
    break_ties = ledger["break_ties"]
    if break_ties and shape == "ovo":
        raise ledger.refuse(
            "break_ties", "is True with decision_function_shape='ovo', and predict refuses that: set it to False."
        )
    decision = add_decision(ledger, builder, table, _pair_weights(ledger, len(classes)))
    probability = _probability(ledger, builder, decision, len(classes))
    if len(classes) == 2:
        return _two_classes(ledger, builder, decision, probability)
    many = len(classes)
    ovr = shape == "ovr"
    score = builder.add("ovo_vote", decision, hint="score", classes=many, mode="ovr") if ovr else decision
    votes = score if break_ties else builder.add("ovo_vote", decision, hint="votes", classes=many, mode="votes")
    label = builder.label_of_largest(votes, classes)
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    return Prediction(label=label, classes=classes, probability=probability, score=score, pairs=not ovr)


def _two_classes(ledger: Ledger, builder: Builder, decision: str, probability: str | None) -> Prediction:
    """libsvm decides for the first class above 0; the score is the negative decision."""
    classes = ledger["classes_"]
    single = builder.scalar(decision, "first_class_decision")
    score = builder.add("unary", single, hint="score", fn="neg")
    first = builder.add("binary", single, builder.constant(0.0, "zero"), hint="is_first_class", fn="gt")
    index = builder.add("cast", builder.add("unary", first, hint="is_second_class", fn="not"), hint="index", to="i64")
    label = builder.add("take", index, hint="label", table=labels_table(classes))
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    return Prediction(label=label, classes=classes, probability=probability, score=score)


def _probability(ledger: Ledger, builder: Builder, decision: str, classes: int) -> str | None:
    """Platt's sigmoids of the decisions, coupled; None where predict_proba is not offered."""
    offered, a, b = ledger["probability"], dense(ledger["_probA"]), dense(ledger["_probB"])
    if offered == "deprecated" or not offered or not a.size:
        return None
    if classes == 2:
        return _coupled_pair(builder, decision, float(a[0]), float(b[0]))
    return builder.add("ovo_vote", decision, hint="probability", classes=classes, mode="coupling", prob_a=a, prob_b=b)


def _coupled_pair(builder: Builder, decision: str, a: float, b: float) -> str:
    """[p, 1 - p] as libsvm's coupling leaves it for two classes: near r, the sigmoid of the decision, and not r itself.

    It starts from p = 1/2 and repeats while the residual is 0.0025 or more: twice at most for any r in [1e-7, 1 - 1e-7].
    With e = p - r and q = 1 - r a round makes e_1 = q e^2 / (q^2 - q e + e^2), then -r e_1^2 / (r^2 + r e_1 + e_1^2).
    """
    logit = builder.add("scale", decision, hint="logit", mul=[-a], add=[-b])
    sigmoid = builder.add("unary", logit, hint="sigmoid", fn="sigmoid")
    r = builder.add("clip", sigmoid, hint="r", min=[1e-7], max=[1 - 1e-7])
    q = builder.add("scale", r, hint="q", mul=[-1.0], add=[1.0])
    error = builder.add("scale", r, hint="error", mul=[-1.0], add=[0.5])
    bound = builder.constant([0.005 / 2], "residual_bound")
    for _ in range(2):
        residual = _residual(builder, error, r, q)
        builder.doubt(lambda value: np.abs(value[:, 0] - 0.005 / 2) < 1e-13, residual)
        half = builder.add("unary", _half_round(builder, error, q), hint="e", fn="neg")
        following = builder.add("unary", _half_round(builder, half, r), hint="e", fn="neg")
        going = builder.add("binary", residual, bound, hint="is_going_on", fn="ge")
        error = builder.add("where", going, following, error, hint="error")
    p = builder.add("binary", r, error, hint="p", fn="add")
    rest = builder.add("scale", p, hint="rest", mul=[-1.0], add=[1.0])
    return builder.add("concat", p, rest, hint="probability")


def _residual(builder: Builder, e: str, r: str, q: str) -> str:
    """max(|q e - e^2|, |r e + e^2|)."""
    square = builder.add("unary", e, hint="e_squared", fn="square")
    one = builder.add("binary", builder.add("binary", q, e, hint="q_e", fn="mul"), square, hint="residual_1", fn="sub")
    two = builder.add("binary", builder.add("binary", r, e, hint="r_e", fn="mul"), square, hint="residual_2", fn="add")
    sizes = [builder.add("unary", value, hint="size", fn="abs") for value in (one, two)]
    return builder.add("binary", *sizes, hint="residual", fn="max")


def _half_round(builder: Builder, e: str, w: str) -> str:
    """w e^2 / (w^2 - w e + e^2)."""
    square = builder.add("unary", e, hint="e_squared", fn="square")
    product = builder.add("binary", w, e, hint="product", fn="mul")
    part = builder.add("binary", builder.add("unary", w, hint="w_squared", fn="square"), product, hint="part", fn="sub")
    above = builder.add("binary", w, square, hint="above", fn="mul")
    return builder.add("binary", above, builder.add("binary", part, square, hint="below", fn="add"), hint="e", fn="div")


def _pair_weights(ledger: Ledger, classes: int) -> Array:
    """[pairs, vectors]: the coefficient of each support vector in the decision between two classes, 0 where it has no part.

    libsvm keeps c - 1 coefficients for every vector: row j - 1 (j the other class) for vectors of the first class of a pair,
    row i for those of the second.
    """
    dual = dense(ledger["_dual_coef_"])
    ends = np.cumsum(ledger["_n_support"])
    own = [np.arange(end - size, end) for end, size in zip(ends, ledger["_n_support"], strict=True)]
    weights = np.zeros((classes * (classes - 1) // 2, dual.shape[1]))
    for pair, (i, j) in enumerate(zip(*np.triu_indices(classes, 1), strict=True)):
        weights[pair, own[i]] = dual[j - 1, own[i]]
        weights[pair, own[j]] = dual[i, own[j]]
    return weights


@predicts("SVR", "NuSVR")
def support_vector_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The kernel to the support vectors, times their coefficients, plus an intercept."""
    ledger.waive(*FITTING, "probability", "_probA", "_probB", "_n_support")
    value = add_decision(ledger, builder, table, np.atleast_2d(dense(ledger["_dual_coef_"])), decides=False)
    return Prediction(prediction=builder.scalar(value, "prediction"))


@predicts("OneClassSVM")
def one_class_svm(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """1 where the decision is above 0, else -1."""
    ledger.waive(*FITTING, "probability", "_probA", "_probB", "_n_support", "offset_")
    decision = add_decision(ledger, builder, table, np.atleast_2d(dense(ledger["_dual_coef_"])))
    score = builder.scalar(decision, "score")
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    inside = builder.add("binary", score, builder.constant(0.0, "zero"), hint="inside", fn="gt")
    index = builder.add("cast", inside, hint="index", to="i64")
    label = builder.add("take", index, hint="label", table=np.array([-1, 1], dtype=np.int64))
    return Prediction(label=label, score=score, role="anomaly")


def add_decision(ledger: Ledger, builder: Builder, table: Table, weights: Array, *, decides: bool = True) -> str:
    """[decisions]: weights [decisions, vectors] times the kernel to the support vectors, plus _intercept_.

    decides: the signs of the result choose a label, so rows on which rounding chooses it are in doubt. With a linear kernel the
    support vectors add up to one weight per column, where that costs no digits.
    """
    bias = np.asarray(ledger["_intercept_"], dtype=np.float64)
    kernel = ledger["kernel"]
    vectors = dense(ledger.estimator.support_vectors_)
    _check_kernel(ledger, kernel)
    ledger.waive("_gamma", "coef0", "degree")
    if not weights.shape[1]:  # a regressor whose rows all lie inside epsilon
        return builder.constant(bias, "decision")
    if kernel == "linear" and _collapses(weights, vectors, bias):
        x = builder.matrix(table)
        _doubt_cancelling(builder, x, weights, vectors, bias)
        weights = weights @ vectors
    elif kernel == "precomputed":
        x = builder.add("select", builder.matrix(table), hint="kernel", index=np.asarray(ledger["support_"], dtype=np.int64))
    else:
        metric, names = KERNELS[kernel]
        parameters = {name: float(ledger["_gamma" if name == "gamma" else name]) for name in names}
        x = builder.add("pairwise", builder.matrix(table), hint="kernel", points=vectors, metric=metric, **parameters)
        if kernel == "poly" and parameters["degree"] > 2:  # libsvm multiplies again and again, pow rounds once
            _measure_cancelling(builder, parameters, weights, vectors, bias)
    decision = builder.add("linear", x, hint="decision", weight=weights, bias=bias)
    if decides:
        size = np.abs(weights).T
        builder.doubt(lambda d, terms: ~(np.abs(d) > ROUNDING * (np.abs(terms) @ size + np.abs(bias))).all(axis=1), decision, x)
    return decision


def _measure_cancelling(
    builder: Builder, parameters: Mapping[str, float], weights: Array, vectors: Array, bias: Array, rows: int = 256
) -> None:
    """State a tolerance where powers of columns that are not scaled cancel: rounding, in libsvm too, then shows in the decisions.

    The bound is 8 EPS of the sum of the terms' sizes at the support vectors (at some of them, where there are many).
    """
    with np.errstate(all="ignore"):
        inner = parameters["gamma"] * (vectors[:: 1 + len(vectors) // rows] @ vectors.T) + parameters["coef0"]
        kernel = inner ** parameters["degree"]
        terms = (np.abs(kernel) @ np.abs(weights).T + np.abs(bias)).max(axis=0)
        noise = float(np.max(8 * EPS * terms / np.abs(kernel @ weights.T + bias).max(axis=0)))
    if noise > SHOWING:
        builder.measure(min(noise, COARSEST), COARSEST)


def _collapses(weights: Array, vectors: Array, bias: Array) -> bool:
    """Whether another order of the sums over support vectors and columns leaves 13 digits of the decisions.

    Columns that are not scaled make terms many times the decision; then the original's own order is kept.
    """
    total = weights @ vectors
    decisions = np.abs(vectors @ total.T + bias).max(axis=0)
    terms = (np.abs(vectors) @ (np.abs(vectors).T @ np.abs(weights).T)).max(axis=0)
    return bool((terms * EPS <= 1e-13 * decisions).all())


def _doubt_cancelling(builder: Builder, x: str, weights: Array, vectors: Array, bias: Array) -> None:
    """Rows far outside the support vectors of which the sum over these keeps fewer than twelve digits, in the original too."""
    total, sizes = (weights @ vectors).T, np.abs(vectors).T @ np.abs(weights).T
    usual = (np.abs(vectors) @ sizes).max(axis=0)

    def judge(rows: Array) -> Array:
        terms = np.abs(rows) @ sizes
        outside = ~(terms <= 10 * usual)
        return np.asarray((outside & ~(np.abs(rows @ total) + np.abs(bias) > terms * 2e-4)).any(axis=1))

    builder.doubt(judge, x)


def _check_kernel(ledger: Ledger, kernel: Any) -> None:
    if callable(kernel):
        name = getattr(kernel, "__name__", type(kernel).__name__)
        raise ledger.refuse(
            "kernel",
            f"is the function {name}, which cannot be exported as code: use linear, poly, rbf or sigmoid, or compute the kernel "
            "matrix yourself and use kernel='precomputed'.",
        )
    if kernel not in KERNELS and kernel != "precomputed":
        raise ledger.refuse("kernel", f"is {kernel!r}, which is not known: use linear, poly, rbf, sigmoid or precomputed.")
