"""Builds a graph step by step. Between estimators flows a Table: columns that know which value they live in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelport.doubts import Doubt
from modelport.errors import InputError, ModelportError
from modelport.graph import Graph, Input, Output, Step, ValueType
from modelport.ops import OPS, check
from modelport.ops.base import dtype_name

Array = np.ndarray[Any, np.dtype[Any]]

#: Functions that give NaN or an infinity for numbers of everyday size.
UNSAFE = frozenset(
    {
        *("reciprocal", "sqrt", "exp", "expm1", "log", "log1p", "log2", "log10", "arcsin", "arccos", "sinh", "cosh", "norm_ppf"),
        *("div", "pow"),
    }
)
#: Ops behind which no NaN is left, whatever they are given.
NAN_ENDS = frozenset({"impute", "is_missing", "onehot", "bucketize", "tree_ensemble", "constant", "take"})


@dataclass(frozen=True)
class Ref:
    """One column: position `index` of the row of value `value`; dtype f64 or str; its name, if it has one.

    held: the NumPy dtype in which the original holds the column (encoders may be told to give float32 or integers).
    origin: the input whose way of writing a missing value (None or NaN) still holds here; None: NaN.
    categories: the categories in order, where the model is fed a categorical column of a frame.
    """

    value: str
    index: int
    dtype: str
    name: str | None = None
    held: str = "float64"
    origin: str | None = None
    categories: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Table:
    """The columns an estimator is given, in order; `sparse` where the original passes a sparse matrix (scalers then multiply)."""

    columns: tuple[Ref, ...]
    sparse: bool = False

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def names(self) -> list[str | None]:
        """Column names in order."""
        return [c.name for c in self.columns]

    def select(self, index: Sequence[int]) -> Table:
        """Some columns, by position."""
        return Table(tuple(self.columns[int(i)] for i in index), self.sparse)

    def __add__(self, other: Table) -> Table:
        return Table(self.columns + other.columns, self.sparse or other.sparse)

    @property
    def held(self) -> str:
        """The NumPy dtype in which the original holds the joined columns."""
        return np.result_type(*{c.held for c in self.columns}).name if self.columns else "float64"

    def named(self, index: int) -> str:
        """How a sentence calls a column: its name in quotes, or its number."""
        name = self.columns[index].name
        return f"{name!r}" if name is not None else f"number {index}"


@dataclass(frozen=True)
class Prediction:
    """What a predictor offers, as names of values: all of it. Steps that no output needs leave the graph again.

    Classifiers: `label` ([] or [outputs]), `classes`, and **both** `probability`, if the estimator has predict_proba, and
    `score`, if it has decision_function: estimators made of estimators take the one their original asks for (`responses.py`),
    and an artifact gives probabilities, or scores where there are none. `probability` is [classes]; `score` is exactly what
    decision_function gives: rank 0 for two classes, else [classes] (with `pairs`: one per pair of classes).
    Several yes-or-no labels per row: `label`, `probability` and `score` are [outputs], and `classes` names them.
    Multi-output classifiers whose predict_proba gives a list: `probabilities`, one value per output, `classes` a list of arrays.
    Regressors: `prediction`, [] or [outputs]. Clusterers: `cluster`, mixtures with the `probability` of each component too.
    Outlier detectors: `label` and `score`, with role "anomaly".
    """

    label: str | None = None
    classes: Any = None
    probability: str | None = None
    score: str | None = None
    prediction: str | None = None
    cluster: str | None = None
    probabilities: tuple[str, ...] = ()
    role: str = "prediction"
    pairs: bool = False


@dataclass
class Part:
    """One estimator that was read: its class, how deep it lies, and which steps it and the estimators inside it made.

    In a survey `problem` is why it cannot be read; something of the same shape then stands in for it, and reading goes on.
    """

    estimator: Any
    depth: int
    first: int
    surveying: bool
    last: int = 0
    problem: ModelportError | None = None

    def survives(self, error: ModelportError) -> bool:
        """Whether reading goes on behind a refusal, which is noted."""
        self.problem = error
        return self.surveying


class Builder:
    """Collects inputs, steps and probes. With `surveying`, an estimator that cannot be read does not end the reading.

    `exact` tells of every value whether the original's bits are met: only exact steps lead to it, in the original's own order.
    """

    def __init__(self, inputs: Sequence[Input], surveying: bool = False) -> None:
        self.surveying = surveying
        self.parts: list[Part] = []
        self._depth = 0
        self.inputs = list(inputs)
        self.steps: list[Step] = []
        self.types: dict[str, ValueType] = {v.name: v.type for v in inputs}
        self.exact: dict[str, bool] = {v.name: True for v in inputs}
        self.probes: dict[str, Callable[[Any], Array]] = {}
        self.markers: dict[str, Any] = {}
        self.rounded: set[str] = set()
        self.unsafe: set[str] = set()
        self.doubts: list[Doubt] = []
        #: between which tolerances, relative to the scale, the reading states what it measures on the sample's rows
        self.measured: tuple[float, float] | None = None
        self._path: Callable[[Any], Any] = lambda rows: rows
        self._probing = True

    @contextmanager
    def part(self, estimator: Any) -> Iterator[Part]:
        """Note which steps an estimator makes."""
        part = Part(estimator, self._depth, len(self.steps), self.surveying)
        self.parts.append(part)
        self._depth += 1
        try:
            yield part
        finally:
            self._depth -= 1
            part.last = len(self.steps)

    def measure(self, least: float, most: float) -> None:
        """Note that the original itself loses digits on the way, so that the tolerance of the outputs is measured on the sample's
        rows: ten times what graph and original are apart, at least and at most so much relative to the scale of an output.
        """
        before = self.measured or (0.0, 0.0)
        self.measured = (max(least, before[0]), max(most, before[1]))

    def stand_in(self, estimator: Any, table: Table) -> Table:
        """Columns in place of those a transformer would give that cannot be read (surveys only)."""
        try:
            names = list(estimator.get_feature_names_out())
        except (AttributeError, ValueError, TypeError):
            names = [None] * int(getattr(estimator, "n_components", None) or len(table) or 1)
        return self.table(self._unread(estimator, "f64", (len(names),)), names)

    def stand_in_prediction(self, estimator: Any) -> Prediction:
        """Values in place of those a predictor would give that cannot be read (surveys only)."""
        classes = getattr(estimator, "classes_", None)
        if classes is None or isinstance(classes, list):
            return Prediction(prediction=self._unread(estimator, "f64", ()))
        label = self._unread(estimator, dtype_name(labels_table(classes)), ())
        values = self._unread(estimator, "f64", (len(classes),))
        return Prediction(label=label, classes=classes, probability=values, score=values)

    def _unread(self, estimator: Any, dtype: str, shape: tuple[int, ...]) -> str:
        name = f"{type(estimator).__name__}, not read, {len(self.inputs)}"
        self.inputs.append(Input(name, dtype, shape))
        self.types[name] = self.inputs[-1].type
        self.exact[name] = True
        return name

    def add(self, op: str, *inputs: str, hint: str, **attributes: Any) -> str:
        """Add a step and return the name it defines: the hint, or the hint with a number that makes it unique.

        Attributes that are None are left out; sequences of numbers become arrays. An attribute whose name is a Python keyword is
        given with a trailing underscore (class_, min_).
        """
        name, number = hint, 2
        while name in self.types:
            name, number = f"{hint}_{number}", number + 1
        cleaned = {k.removesuffix("_"): _plain(v) for k, v in attributes.items() if v is not None}
        step = Step(op, inputs, name, cleaned)
        checked, self.types[name] = check(step, [self.types[i] for i in inputs])
        self.steps.append(checked)
        self.exact[name] = OPS[op].exact(checked.attributes) and all(self.exact.get(i, True) for i in inputs)
        return name

    def width(self, value: str) -> int:
        """Number of columns of a value."""
        return self.types[value].width

    def table(
        self, value: str, names: Sequence[str | None] | None = None, *, held: str = "float64", sparse: bool = False
    ) -> Table:
        """A value's columns as a table."""
        kind = self.types[value]
        labels = names if names is not None else [None] * kind.width
        refs = tuple(Ref(value, j, kind.dtype, label, held) for j, label in zip(range(kind.width), labels, strict=True))
        return Table(refs, sparse)

    def matrix(self, table: Table, hint: str = "columns") -> str:
        """One f64 value [len(table)] that holds the table's columns in order."""
        text = next((c for c in table.columns if c.dtype == "str"), None)
        if text is not None:
            raise InputError(f"Column {text.name!r} holds strings where numbers are needed: encode it before this step.")
        return self._gather(table, hint)

    def texts(self, table: Table, hint: str = "columns") -> str:
        """One str value [len(table)]; refused when a column holds numbers."""
        number = next((c for c in table.columns if c.dtype != "str"), None)
        if number is not None:
            raise InputError(f"Column {number.name!r} holds numbers where strings are needed.")
        return self._gather(table, hint)

    def integers(self, table: Table, hint: str = "codes") -> str:
        """One i64 value [len(table)]: the codes that encoders give to their own next step."""
        return self._gather(table, hint)

    def column(self, table: Table, j: int, hint: str | None = None) -> str:
        """One value of width 1 that holds column j."""
        ref = table.columns[j]
        return self._gather(Table((ref,)), hint or ref.name or f"column_{j}")

    def _gather(self, table: Table, hint: str) -> str:
        pieces: list[tuple[str, list[int]]] = []
        for ref in table.columns:
            if not pieces or pieces[-1][0] != ref.value:
                pieces.append((ref.value, []))
            pieces[-1][1].append(ref.index)
        values = []
        for value, index in pieces:
            whole = index == list(range(self.width(value)))
            values.append(value if whole else self.add("select", value, hint=hint, index=np.array(index, dtype=np.int64)))
        if not values:
            return self.add("constant", hint=hint, value=np.zeros(0))
        return values[0] if len(values) == 1 else self.add("concat", *values, hint=hint)

    def scalar(self, value: str, hint: str) -> str:
        """The only element of a row [1] as row shape []: scikit-learn's (n,) instead of (n, 1)."""
        return value if self.types[value].shape == () else self.add("reduce", value, hint=hint, fn="max")

    def constant(self, value: Any, hint: str) -> str:
        """The same f64 row for every row."""
        return self.add("constant", hint=hint, value=np.asarray(value, dtype=np.float64))

    def only_label(self, classes: Any, hint: str = "label") -> str:
        """The label of a model that knows a single class."""
        return self.add("constant", hint=hint, value=labels_table(classes).reshape(()))

    def label_of_score(self, score: str, classes: Any, hint: str = "label") -> str:
        """Two classes: the second where the score (width 1) is above 0. More: the class of the largest, ties to the first."""
        if self.width(score) == 1:
            score = self.add("concat", self.constant([0.0], "zero"), score, hint="zero_or_score")
        return self.label_of_largest(score, classes, hint)

    def label_of_largest(self, values: str, classes: Any, hint: str = "label") -> str:
        """The class label of the largest column, ties to the first."""
        index = self.add("reduce", values, hint="index", fn="argmax")
        return self.add("take", index, hint=hint, table=labels_table(classes))

    def writes_missing_as(self, ref: Ref, marker: Any) -> bool:
        """Whether the original's rows hold `marker` (None or NaN) where this column is missing.

        Models tell None from NaN in columns of objects. An input whose sample has no missing value takes the first marker asked
        for: `markers` maps input names to what is decided.
        """
        if ref.origin is None:
            return marker is not None
        decided = self.markers.setdefault(ref.origin, marker)
        return decided is marker or (isinstance(decided, float) and isinstance(marker, float))

    def refuse_unknown(self, table: Table) -> None:
        """Make the lookups behind a table, which an estimator without NaN is given, refuse unknown categories and not say NaN."""
        places = {step.output: k for k, step in enumerate(self.steps)}
        queue = {ref.value for ref in table.columns}
        while queue:
            k = places.get(queue.pop())
            step = None if k is None else self.steps[k]
            if k is None or step is None or step.op in NAN_ENDS:
                continue
            if step.op != "lookup":
                queue.update(step.inputs)
            elif step.attributes.get("default", 0.0) != step.attributes.get("default", 0.0):
                known = {name: value for name, value in step.attributes.items() if name != "default"}
                self.steps[k] = Step(step.op, step.inputs, step.output, known)

    def note_unsafe(self, first: int) -> None:
        """Note which of the steps from position `first` on may make NaN or infinities of everyday numbers."""
        self.unsafe.update(step.output for step in self.steps[first:] if step.attributes.get("fn") in UNSAFE)

    def unsafe_columns(self, table: Table) -> list[int]:
        """Positions of the columns that a noted step leads to."""
        inputs = {step.output: step.inputs for step in self.steps if step.op not in NAN_ENDS or step.op == "impute"}

        def leads(value: str) -> bool:
            queue, seen = [value], {value}
            while queue:
                name = queue.pop()
                if name in self.unsafe:
                    return True
                more = set(inputs.get(name, ())) - seen
                seen |= more
                queue.extend(more)
            return False

        found = {value: leads(value) for value in {ref.value for ref in table.columns}} if self.unsafe else {}
        return [j for j, ref in enumerate(table.columns) if found.get(ref.value)]

    def in_other_order(self, value: str) -> str:
        """The value, noted as one whose exact steps do not follow the original's own order of arithmetic."""
        self.rounded.add(value)
        self.exact[value] = False
        return value

    def doubt(self, judge: Callable[..., Array], *values: str) -> None:
        """Say on which rows the original's own answer hangs on rounding: judge(*values) -> bool [n]."""
        self.doubts.append(Doubt(values, judge))

    def probe(self, value: str, ask: Callable[[Any], Array]) -> None:
        """Say how the original gives this value: ask(rows as the model is fed them) -> array."""
        if self._probing:
            self.probes.setdefault(value, ask)

    def probe_table(self, table: Table, ask: Callable[[Any], Any]) -> None:
        """Probe the value that holds exactly this table, if one does; ask takes the rows of the estimator being read."""
        value = table.columns[0].value if table.columns else None
        if value is None or value in {v.name for v in self.inputs}:
            return
        if [(c.value, c.index) for c in table.columns] == [(value, j) for j in range(self.width(value))]:
            path = self._path
            self.probe(value, lambda rows: ask(path(rows)))

    @contextmanager
    def within(self, stage: Callable[[Any], Any]) -> Iterator[None]:
        """Read a sub-estimator that is given stage(rows of the estimator being read)."""
        outer = self._path
        self._path = lambda rows: stage(outer(rows))
        try:
            yield
        finally:
            self._path = outer

    @contextmanager
    def unprobed(self) -> Iterator[None]:
        """Read a sub-estimator whose rows cannot be had from outside: nothing in it is probed."""
        before, self._probing = self._probing, False
        try:
            yield
        finally:
            self._probing = before

    def graph(self, outputs: Sequence[Output], name: str | None = None) -> Graph:
        """The graph of the steps that the outputs need."""
        needed = {o.source for o in outputs}
        kept: list[Step] = []
        for step in reversed(self.steps):
            if step.output in needed:
                kept.append(step)
                needed.update(step.inputs)
        return Graph(self.inputs, kept[::-1], outputs, name)

    def output(self, name: str, value: str, role: str, classes: Any = None) -> Output:
        """An output from a value; classes name its last axis where there is one of that length."""
        kind = self.types[value]
        named = classes is not None and kind.shape[-1:] == (len(classes),)
        return Output(name, value, kind.dtype, role, class_names(classes) if named else None)


def class_names(classes: Any) -> tuple[Any, ...] | None:
    """Class labels as an output declares them: all strings, all integers or all booleans, else None."""
    plain = [] if classes is None else np.asarray(classes).tolist()
    same = len({type(c) for c in plain}) == 1 and isinstance(plain[0], (str, int, bool))
    return tuple(plain) if same else None


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return np.array(value)
    return value.item() if isinstance(value, np.generic) else value


def labels_table(classes: Any) -> Array:
    """Class labels as a table for `take`: str, i64, bool or f64, the type the labels have."""
    array = np.asarray(classes)
    if array.dtype.kind in "US" or (array.dtype == object and all(isinstance(c, str) for c in array.ravel())):
        return array.astype(object)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    if array.dtype == object and all(isinstance(c, bool) for c in array.ravel()):
        return array.astype(bool)
    if array.dtype == object and all(isinstance(c, (int, np.integer)) for c in array.ravel()):
        return array.astype(np.int64)
    shown = array.tolist()[:3]
    raise InputError(f"The class labels {shown} are of a kind no artifact can carry: use strings, integers or booleans.")


Attributes = Mapping[str, Any]
