"""What estimators made of estimators ask of the ones inside them: labels, probabilities, scores, by the original's methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelport.errors import UnsupportedAttribute

from .builder import Array, Builder, Prediction, Table, labels_table
from .dispatch import predict

__all__ = [
    "ROUNDING",
    "Member",
    "as_number",
    "as_rows",
    "doubt_near",
    "doubt_ties",
    "mean_of",
    "members",
    "read_member",
    "relabelled",
    "total",
    "unnamed",
    "vote",
]

#: The attributes of a Prediction that hold what a method gives.
FIELDS = {"predict_proba": "probability", "decision_function": "score"}

#: A decision smaller than this share of the largest score falls the way rounding lets it fall.
ROUNDING = 1e-13

#: Their predict_log_proba is the logarithm of predict_proba, or the softmax before the logarithm.
LOG_OF_PROBABILITY = frozenset(
    (
        "AdaBoostClassifier DecisionTreeClassifier DummyClassifier ExtraTreeClassifier ExtraTreesClassifier "
        "GradientBoostingClassifier LogisticRegression LogisticRegressionCV MLPClassifier NuSVC RandomForestClassifier "
        "SGDClassifier SVC"
    ).split()
)
LOG_SOFTMAX = frozenset("BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB".split())


@dataclass(frozen=True)
class Member:
    """A fitted estimator inside another one, what was read of it, and the builder that holds the values.

    stage: what the rows of the estimator being read become before this one is given them.
    """

    estimator: Any
    builder: Builder
    prediction: Prediction
    stage: Callable[[Any], Any]

    @property
    def name(self) -> str:
        """Its class."""
        return type(self.estimator).__name__

    def offers(self, method: str) -> bool:
        """Whether the original has this method."""
        return hasattr(self.estimator, method)

    def first_of(self, methods: Sequence[str]) -> str:
        """The first of some methods that the original has."""
        found = next((method for method in methods if self.offers(method)), None)
        if found is None:
            raise UnsupportedAttribute(
                f"{self.name} has none of {', '.join(methods)}, which an estimator around it calls.", methods[0]
            )
        return found

    def answer(self, method: str) -> str:
        """The value that a method gives: probability [classes], score, label or prediction."""
        if method == "predict":
            return self.decided()
        if method == "predict_log_proba":
            return self._log_probability()
        value = getattr(self.prediction, FIELDS[method], None)
        if value is None:
            raise UnsupportedAttribute(
                f"{self.name}.{method} is called by an estimator around it and cannot be exported: use another estimator inside.",
                method,
            )
        with self.builder.within(self.stage):
            self.builder.probe_table(self.builder.table(value), getattr(self.estimator, method))
        return str(value)

    def decided(self) -> str:
        """What predict gives: labels, numbers or clusters. Rows whose label hangs on rounding are in doubt."""
        p = self.prediction
        value = p.label or p.prediction or p.cluster
        assert value is not None, "a prediction has a label, a prediction or a cluster"
        if p.label is not None:
            self._doubt_ties()
        return value

    def number(self) -> str:
        """What predict gives, as f64; refused when labels are strings."""
        return as_number(self.builder, self.decided(), self.name)

    def positive(self, method: str) -> str:
        """A method's value for the second of two classes: of width 1."""
        value = self.answer(method)
        if method in ("predict_proba", "predict_log_proba") and self.builder.width(value) == 2:
            return self.builder.add("select", value, hint="p", index=np.array([1]))
        return value

    def binary_score(self) -> str:
        """What scikit-learn's one-vs-rest and one-vs-one ask of a member: prediction, else score, else the second probability."""
        from sklearn.base import is_regressor

        if is_regressor(self.estimator):
            return self.number()
        return self.positive(self.first_of(("decision_function", "predict_proba")))

    def _log_probability(self) -> str:
        value = self.answer("predict_proba")
        if self.name in LOG_OF_PROBABILITY:
            return self.builder.add("unary", value, hint="log_probability", fn="log")
        made = next((step for step in self.builder.steps if step.output == value), None)
        if self.name in LOG_SOFTMAX and made is not None and made.op == "softmax":
            return self.builder.add("log_softmax", made.inputs[0], hint="log_probability")
        raise UnsupportedAttribute(
            f"{self.name}.predict_log_proba is called by an estimator around it and cannot be exported: use predict_proba.",
            "predict_log_proba",
        )

    def _doubt_ties(self) -> None:
        p = self.prediction
        value = p.score if p.score is not None else p.probability
        if value is not None:
            doubt_ties(self.builder, value)


def _as_they_are(rows: Any) -> Any:
    return rows


def read_member(estimator: Any, builder: Builder, table: Table, stage: Callable[[Any], Any] = _as_they_are) -> Member:
    """Read an estimator that is given stage(rows of the estimator being read)."""
    with builder.within(stage):
        return Member(estimator, builder, predict(estimator, builder, table), stage)


def members(
    estimators: Sequence[Any], builder: Builder, table: Table, stage: Callable[[Any], Any] = _as_they_are
) -> list[Member]:
    """Read estimators that are given the same rows."""
    return [read_member(estimator, builder, table, stage) for estimator in estimators]


def nearly_tied(values: Array) -> Array:
    """bool [n]: whether the two largest (of one: its distance from 0) are as near as rounding lets them be."""
    rows = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    size = np.abs(rows).max(axis=1, initial=1.0)
    if rows.shape[1] == 1:
        return np.asarray(~(np.abs(rows[:, 0]) > ROUNDING * size))
    top = np.sort(rows, axis=1)
    return np.asarray(~(top[:, -1] - top[:, -2] > ROUNDING * size))


def doubt_ties(builder: Builder, value: str) -> None:
    """Rows on which rounding decides which element of an inexact value is the largest are in doubt."""
    if not builder.exact.get(value, True):
        builder.doubt(nearly_tied, value)


def doubt_near(builder: Builder, value: str, bound: float) -> None:
    """Rows on which an inexact value is as near to a bound as rounding lets it be are in doubt."""
    if not builder.exact.get(value, True):
        builder.doubt(lambda v: (~(np.abs(v - bound) > ROUNDING * (abs(bound) + 1.0))).reshape(len(v), -1).any(axis=1), value)


def as_number(builder: Builder, value: str, name: str) -> str:
    """A label, number or cluster as f64."""
    dtype = builder.types[value].dtype
    if dtype == "str":
        raise UnsupportedAttribute(
            f"{name} predicts strings where the estimator around it needs numbers: fit it on labels that are numbers.", "classes_"
        )
    return value if dtype == "f64" else builder.add("cast", value, hint="number", to="f64")


def relabelled(builder: Builder, label: str, classes: Any, hint: str = "label") -> str:
    """Labels for class numbers."""
    table = labels_table(classes)
    found = _from_table(builder, label, table, hint)
    return found or builder.add("lookup", label, hint=hint, keys=np.arange(len(table)), values=table)


def vote(builder: Builder, label: str, classes: int) -> str:
    """[classes]: 1 for the class of this number, 0 for the others."""
    return _from_table(builder, label, np.eye(classes), "vote") or builder.add("onehot", label, hint="vote", size=classes)


def _from_table(builder: Builder, number: str, table: Array, hint: str) -> str | None:
    """table[number] in one step, where the numbers come from a table themselves."""
    made = next((step for step in reversed(builder.steps) if step.output == number), None)
    if made is None or made.op != "take" or made.attributes["table"].ndim > 1:
        return None
    return builder.add("take", made.inputs[0], hint=hint, table=table[made.attributes["table"]])


def unnamed(table: Table) -> Table:
    """The columns without their names: what is left of a frame that was made an array."""
    return Table(tuple(replace(column, name=None) for column in table.columns), table.sparse)


def as_rows(rows: Any) -> Any:
    """Rows as an array without names; a sparse matrix stays one."""
    return rows if hasattr(rows, "toarray") else np.asarray(rows)


def total(builder: Builder, values: Sequence[str], hint: str) -> str:
    """The sum of values of one shape, added one after the other."""
    result = values[0]
    for k, value in enumerate(values[1:], 2):
        result = builder.add("binary", result, value, hint=hint if k == len(values) else f"{hint}_of_{k}", fn="add")
    return result


def mean_of(builder: Builder, values: Sequence[str], count: float, hint: str) -> str:
    """The sum of values of one shape, divided by a number."""
    summed = total(builder, values, "sum")
    return builder.add("scale", summed, hint=hint, div=[float(count)]) if count != 1 else summed
