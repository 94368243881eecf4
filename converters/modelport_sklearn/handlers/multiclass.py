"""One estimator per class, per pair of classes, or per bit of a code: OneVsRest, OneVsOne, OutputCode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table, labels_table
from ..dispatch import predicts
from ..ledger import Ledger
from ..responses import ROUNDING, Member, doubt_near, doubt_ties, members, total, unnamed
from ..versions import sklearn_version


@predicts("_ConstantPredictor")
def constant_predictor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What is put in the place of an estimator that would know one class only."""
    value = float(np.asarray(ledger["y_"]).reshape(-1)[0])
    return Prediction(
        prediction=builder.constant(value, "constant"),
        score=builder.constant(value, "constant_score"),
        probability=builder.constant([1 - value, value], "constant_probability"),
    )


@predicts("OneVsRestClassifier")
def one_vs_rest(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The class whose estimator is surest, the first of equals; with several labels per row, all whose estimators say yes."""
    ledger.waive("estimator")
    binarizer, classes = ledger["label_binarizer_"], ledger["classes_"]
    kind = str(binarizer.y_type_)
    asked = members(ledger["estimators_"], builder, table)
    scores = [m.binary_score() for m in asked]
    if kind == "multiclass":
        score = builder.add("concat", *scores, hint="scores")
        label = _surest(builder, score, classes)
        doubt_ties(builder, score)
    else:
        label = _yes_or_no(builder, scores, _threshold(asked[0].estimator), classes, kind)
    return Prediction(
        label=label,
        classes=classes,
        probability=_rest_probability(ledger, builder, asked, kind),
        score=_rest_score(ledger, builder, asked),
    )


def _surest(builder: Builder, score: str, classes: Any) -> str:
    """The class of the largest score, the first of equals; before scikit-learn 1.8 the last of them."""
    if sklearn_version() >= (1, 8):
        return builder.label_of_largest(score, classes)
    backwards = builder.add("select", score, hint="backwards", index=np.arange(len(classes))[::-1].copy())
    return builder.label_of_largest(backwards, np.asarray(classes)[::-1])


def _yes_or_no(builder: Builder, scores: Sequence[str], bound: float, classes: Any, kind: str) -> str:
    """i64 flags [labels] of the scores above a bound, or the class that a single flag stands for."""
    if kind.startswith("multilabel"):
        flags = [_above(builder, score, bound) for score in scores]
        return builder.add("cast", _joined(builder, flags, "is_above"), hint="label", to="i64")
    if len(classes) == 1:
        return builder.only_label(classes)
    above = _above(builder, builder.scalar(scores[0], "single_score"), bound)
    return builder.add("take", builder.add("cast", above, hint="index", to="i64"), hint="label", table=labels_table(classes))


def _threshold(first: Any) -> float:
    """Above which score of the first estimator scikit-learn says yes, for all of them."""
    from sklearn.base import is_classifier

    return 0.0 if hasattr(first, "decision_function") and is_classifier(first) else 0.5


def _above(builder: Builder, value: str, bound: float) -> str:
    doubt_near(builder, value, bound)
    return builder.add("binary", value, builder.constant(bound, "threshold"), hint="is_above", fn="gt")


def _rest_probability(ledger: Ledger, builder: Builder, asked: Sequence[Member], kind: str) -> str | None:
    """Each estimator's probability; divided by their sum unless a row may have several labels."""
    if not all(m.offers("predict_proba") for m in asked):
        return None
    positive = [m.positive("predict_proba") for m in asked]
    if len(positive) == 1:
        value = builder.add("two_class", positive[0], hint="probability")
    else:
        value = builder.add("concat", *positive, hint="probability")
    if kind.startswith("multilabel"):
        return value
    if sklearn_version() < (1, 7):  # a row of zeros is NaN
        summed = builder.add("reduce", value, hint="total", fn="sum", keep=True)
        return builder.add("binary", value, summed, hint="probability", fn="div")
    return builder.add("normalize", value, hint="probability", norm="l1")


def _rest_score(ledger: Ledger, builder: Builder, asked: Sequence[Member]) -> str | None:
    if not all(m.offers("decision_function") for m in asked):
        return None
    scores = [m.answer("decision_function") for m in asked]
    return scores[0] if len(scores) == 1 else builder.add("concat", *scores, hint="score")


@predicts("OneVsOneClassifier")
def one_vs_one(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Votes of all pairs, ties broken by the sums of their scores."""
    ledger.waive("estimator", "n_classes_")
    classes = ledger["classes_"]
    if ledger["pairwise_indices_"] is not None:
        raise ledger.refuse("pairwise_indices_", "means that rows are distances to the training rows: fit on plain rows.")
    asked = members(ledger["estimators_"], builder, unnamed(table), _as_floats)
    n = len(classes)
    label_numbers = _joined(builder, [m.number() for m in asked], "pair_labels")
    scores = _joined(builder, [m.binary_score() for m in asked], "pair_scores")
    votes = _votes(builder, label_numbers, n)
    sums = _signed_sums(builder, scores, n)
    size = builder.add("scale", builder.add("unary", sums, hint="size", fn="abs"), hint="bound", add=[1.0])
    size = builder.add("scale", size, hint="bound_3", mul=[3.0])
    score = builder.add("binary", votes, builder.add("binary", sums, size, hint="tie_breaker", fn="div"), hint="score", fn="add")
    if n > 2:
        label = builder.label_of_largest(score, classes)
        doubt_ties(builder, score)
    else:
        score = builder.scalar(builder.add("select", score, hint="second", index=np.array([1])), "decision")
        above = _above(builder, score, _threshold(asked[0].estimator))
        label = builder.add("take", builder.add("cast", above, hint="index", to="i64"), hint="label", table=labels_table(classes))
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    return Prediction(label=label, classes=classes, score=score)


def _as_floats(rows: Any) -> Any:
    return rows if hasattr(rows, "toarray") else np.asarray(rows, dtype=np.float64)


def _joined(builder: Builder, values: Sequence[str], hint: str) -> str:
    return builder.add("concat", *values, hint=hint) if len(values) > 1 else values[0]


def _votes(builder: Builder, labels: str, n: int) -> str:
    """[n]: how many pairs say 0 where the class is first and 1 where it is second."""
    flags = []
    for number in (0.0, 1.0):
        said = builder.add("binary", labels, builder.constant([number], "number"), hint=f"says_{number:.0f}", fn="eq")
        flags.append(builder.add("cast", said, hint=f"said_{number:.0f}", to="f64"))
    said = builder.add("concat", *flags, hint="said")
    pairs = n * (n - 1) // 2
    votes = [
        builder.add("select", said, hint="vote", index=np.where(is_first, own, own + pairs)) for own, is_first in _by_class(n)
    ]
    return total(builder, votes, "votes")


def _signed_sums(builder: Builder, scores: str, n: int) -> str:
    """[n]: the scores of a class's pairs, minus where it is first, plus where it is second, in the order of the pairs."""
    terms = []
    for own, is_first in _by_class(n):
        score = builder.add("select", scores, hint="own_score", index=own)
        terms.append(builder.add("scale", score, hint="signed", mul=np.where(is_first, -1.0, 1.0)))
    return total(builder, terms, "sums")


def _by_class(n: int) -> list[tuple[Array, Array]]:
    """n - 1 times, per class [n]: the number of one of its pairs, in ascending order, and whether the class is first in it."""
    first, second = np.triu_indices(n, 1)
    own = np.array([np.flatnonzero((first == c) | (second == c)) for c in range(n)])
    return [(pairs, first[pairs] == np.arange(n)) for pairs in own.T]


@predicts("OutputCodeClassifier")
def output_code(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The class whose code word lies nearest to the scores: the smallest |word|^2 - 2 word scores, the first of equals."""
    ledger.waive("estimator", "code_size")
    classes, words = ledger["classes_"], np.asarray(ledger["code_book_"], dtype=np.float64)
    scores = _joined(builder, [m.binary_score() for m in members(ledger["estimators_"], builder, table)], "bit_scores")
    offset = np.einsum("ij,ij->i", words, words)
    distance = builder.add("linear", scores, hint="distance", weight=-2.0 * words, bias=offset)
    builder.doubt(lambda x: _near_words(x, words), scores)
    index = builder.add("reduce", distance, hint="index", fn="argmin")
    return Prediction(label=builder.add("take", index, hint="label", table=labels_table(classes)), classes=classes)


def _near_words(scores: Array, words: Array) -> Array:
    """bool [n]: whether rounding decides which of two different code words lies nearest. Of equal words the first wins."""
    rows = np.asarray(scores, dtype=np.float64).reshape(len(scores), -1)
    different = np.unique(words, axis=0)
    if len(different) < 2:
        return np.zeros(len(rows), dtype=bool)
    gaps = ((rows[:, None, :] - different) ** 2).sum(axis=2)
    nearest = np.sort(gaps, axis=1)
    size = (rows**2).sum(axis=1) + (different**2).sum(axis=1).max()
    return np.asarray(~(nearest[:, 1] - nearest[:, 0] > ROUNDING * size))
