"""A loaded artifact that answers rows: framework-free, and only after it has answered the rows it carries as the original did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import feeds_of, is_net
from .compare import OutputReport, compare, merge
from .document import EXACT, Loaded, Vectors
from .errors import ArtifactError, InputError, Mismatch
from .graph import DTYPES, FLOATS, Input, Output
from .sample import NUMBERS, as_array, is_missing

__all__ = ["Predictor", "replay", "to_feeds"]

Array = NDArray[Any]


class Predictor:
    """Runs an artifact.

    predict(X) takes an array, a DataFrame, a dict of columns or a list of records and returns output name -> array with one
    entry per row. `inputs` and `outputs` declare names, dtypes and row shapes. All of it is the same for JSON, ONNX and PMML.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        #: answers plain matrices without looking at them cell by cell, or gives None
        self._direct = getattr(loaded, "direct", None)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The declared inputs."""
        return self._loaded.inputs

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The declared outputs."""
        return self._loaded.outputs

    @property
    def engine(self) -> str:
        """What computes, with its version."""
        return self._loaded.engine

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the artifact comes from."""
        return self._loaded.provenance

    @property
    def vectors(self) -> Vectors | None:
        """The rows the artifact carries, with the original's answers."""
        return self._loaded.vectors

    def predict(self, X: Any) -> dict[str, Array]:
        """Output name -> array [n, ...]; InputError names a column that is missing, of a wrong kind, or not accepted."""
        if self._direct is not None:
            answer: dict[str, Array] | None = self._direct(X)
            if answer is not None:
                return answer
        return self._loaded.run(to_feeds(self.inputs, X))

    def verify(self) -> list[OutputReport]:
        """Replay the carried rows: how every output compares with the original; ArtifactError when there are none."""
        return replay(self._loaded)

    def info(self) -> dict[str, Any]:
        """What goes in and out, the engine and the number of carried rows, as plain values: the same for every format."""
        inputs = [
            {"name": v.name, "dtype": v.dtype, "shape": list(v.shape), "missing": v.missing}
            | ({} if v.features is None else {"features": list(v.features)})
            for v in self.inputs
        ]
        outputs = [
            {"name": o.name, "dtype": o.dtype, "role": o.role} | ({} if o.classes is None else {"classes": list(o.classes)})
            for o in self.outputs
        ]
        rows = 0 if self.vectors is None else len(self.vectors)
        return {"inputs": inputs, "outputs": outputs, "engine": self.engine, "carried_rows": rows}

    def known_strings(self) -> dict[str, set[str]]:
        """Column name -> the strings the model tells apart, for every column of strings (none where that is not known)."""
        columns = [v for v in self.inputs if v.dtype == "str"]
        known: dict[str, set[str]] = {name: set() for v in columns for name in (v.features or (v.name,))}
        graph = self._loaded.graph
        if graph is None or not known:
            return known
        from .boundaries import Tracer, categories

        for (name, j), keys in categories(graph, Tracer(graph)).items():
            features = next((v.features for v in columns if v.name == name), None)
            column = name if features is None else features[j]
            if column in known:
                known[column].update(k for k in keys if isinstance(k, str))
        return known

    def __reduce__(self) -> tuple[Any, ...]:
        return Predictor, (self._loaded,)

    def __repr__(self) -> str:
        names = ", ".join(o.name for o in self.outputs)
        return f"Predictor({names}; {self.engine})"


def replay(loaded: Loaded, vectors: Vectors | None = None) -> list[OutputReport]:
    """Compare what a loaded artifact answers on vectors (its own by default) with what the original answered."""
    vectors = vectors or loaded.vectors
    if vectors is None:
        raise ArtifactError(
            "The artifact carries no vectors, so nothing proves it: load it with verify=False if you trust it, "
            "or convert the model again."
        )
    found: dict[str, list[OutputReport]] = {o.name: [] for o in loaded.outputs}
    for part in vectors.sets():
        got = loaded.run(part.inputs)
        for name, reports in found.items():
            reports.append(compare(name, part.outputs[name], got[name], part.tolerance.get(name, EXACT)))
    return [merge(reports) for reports in found.values()]


def require_match(reports: Sequence[OutputReport], what: str) -> None:
    """Raise Mismatch naming the first output that does not match."""
    for report in reports:
        if not report.passed:
            where = f" in row {report.worst_row}: {report.worst}" if report.worst_row is not None else f": {report.problem}"
            raise Mismatch(f"{what} does not answer as the original model did: output {report.output!r} differs{where}.", reports)


def to_feeds(inputs: Sequence[Input], X: Any) -> dict[str, Array]:
    """Rows of any kind as input name -> array [n, *row shape].

    A DataFrame, a dict or records are read by column name, in any order; extra columns are ignored, a missing one is an
    InputError. Arrays are read by position.
    """
    if is_net(inputs):
        return feeds_of(inputs, X)
    if isinstance(X, Iterator):
        X = list(X)
    if hasattr(X, "to_pandas") and not hasattr(X, "iloc"):
        X = X.to_pandas()
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        if not any(isinstance(c, str) for c in X.columns):  # columns without names (0, 1, ...): by position, as an array
            return _by_position(inputs, X)
        return _by_name(inputs, [str(c) for c in X.columns], lambda j: X.iloc[:, j])
    if isinstance(X, Mapping):
        columns = list(X.values())
        return _by_name(inputs, [str(name) for name in X], lambda j: columns[j])
    if isinstance(X, (list, tuple)) and X and isinstance(X[0], Mapping):
        return _by_record(inputs, X)
    return _by_position(inputs, X)


def _by_record(inputs: Sequence[Input], records: Sequence[Any]) -> dict[str, Array]:
    odd = next((i for i, record in enumerate(records) if not isinstance(record, Mapping)), None)
    if odd is not None:
        raise InputError(f"Row {odd} is of type {type(records[odd]).__name__}, but row 0 is a record: give records only.")
    given = {name for record in records for name in record}
    names = [n for value in inputs for n in (value.name, *(value.features or ())) if n in given]
    for i, record in enumerate(records):
        absent = [n for n in names if n not in record]
        if absent:
            raise InputError(
                f"Row {i} has no field {absent[0]!r}, which other rows have: "
                "give every record the same fields (None for missing)."
            )
    return _by_name(inputs, names, lambda j: [record[names[j]] for record in records])


def _by_name(inputs: Sequence[Input], names: Sequence[str], column: Callable[[int], Any]) -> dict[str, Array]:
    """Feeds from named columns; column(j) gives the one called names[j]."""
    places = {name: j for j, name in enumerate(names)}
    times = Counter(names)

    def get(name: str) -> Array:
        if times[name] > 1:
            raise InputError(f"There are {times[name]} columns called {name!r}: give every column its own name.")
        return as_array(column(places[name]), f"Column {name!r}")

    feeds = {}
    for value in inputs:
        if value.name in places:
            whole = get(value.name)
            if whole.ndim > 0 and value.takes(whole.shape[1:]):  # the input itself, under its own name
                feeds[value.name] = _cells(value, whole)
                continue
        if value.features is None and value.type.width > 1:
            raise InputError(f"The model's columns have no names: give the rows as an array of {value.type.width} columns.")
        needed = value.features if value.features is not None else (value.name,)
        missing = [n for n in needed if n not in places]
        if missing:
            raise InputError(f"The column {missing[0]!r} is missing; the model needs {', '.join(map(repr, needed[:20]))}.")
        parts = [_one_per_row(value, get(n), n) for n in needed]
        if len({len(p) for p in parts}) > 1:
            raise InputError(f"The columns differ in length: { {n: len(p) for n, p in zip(needed, parts, strict=True)} }.")
        stacked = np.stack(parts, axis=1) if parts else np.zeros((0, 0))
        feeds[value.name] = stacked.reshape(len(stacked), *value.type.shape)
    return feeds


def _one_per_row(value: Input, array: Array, name: str) -> Array:
    if array.ndim == 0:
        raise InputError(f"Column {name!r} is one value, not one per row: for a single row, give a list with one record in it.")
    if array.ndim > 2 or array.shape[1:] not in ((), (1,)):
        raise InputError(f"Column {name!r} has the shape {list(array.shape)}: one value per row is needed.")
    return _cells(value, array.reshape(len(array)), name)


def _filled(inputs: Sequence[Input], X: Any) -> Any:
    """Lists of strings of different lengths, for one matrix of strings: filled up with missing cells."""
    value = inputs[0]
    if len(inputs) > 1 or value.dtype != "str" or value.missing == "error" or value.features is not None or len(value.shape) != 1:
        return X
    if not isinstance(X, (list, tuple)) or not all(isinstance(row, (list, tuple, set, frozenset)) for row in X):
        return X
    width, longest = value.type.width, max((len(row) for row in X), default=0)
    if longest > width:
        raise InputError(
            f"A row has {longest} items, but {value.name!r} takes {width} at most: convert with a sample that has such a row."
        )
    return [[*row, *([None] * (width - len(row)))] for row in X]


def _by_position(inputs: Sequence[Input], X: Any) -> dict[str, Array]:
    array = as_array(_filled(inputs, X), "The table")
    if array.ndim == 0:
        raise InputError(
            f"{type(X).__name__} is no table of rows: give an array, a DataFrame, a dict of columns or a list of records."
        )
    if len(inputs) == 1 and array.shape[1:] == inputs[0].shape:
        return {inputs[0].name: _cells(inputs[0], array)}
    width = sum(value.type.width for value in inputs)
    if array.ndim != 2 or array.shape[1] != width:
        needed = "[rows]" if [value.shape for value in inputs] == [()] else f"[rows, {width}]"
        hint = "; a single row is a list with one row in it" if array.shape == (width,) else ""
        raise InputError(
            f"The rows have the shape {list(array.shape)}; {needed} is needed ({', '.join(v.name for v in inputs)}){hint}."
        )
    feeds, start = {}, 0
    for value in inputs:
        stop = start + value.type.width
        feeds[value.name] = _cells(value, array[:, start:stop]).reshape(len(array), *value.type.shape)
        start = stop
    return feeds


# --- cells --------------------------------------------------------------------------------------------------------------------


def _cells(value: Input, array: Array, name: str | None = None) -> Array:
    """Cells as the input's dtype: numbers (booleans count as 0 and 1, None as NaN) or strings (NaN counts as missing)."""
    if array.dtype.kind == "U":
        array = array.astype(object)
    if value.dtype == "str":
        return _strings(value, array, name)
    if array.dtype.kind == "O":
        array = _numbers(value, array, name)
    elif array.dtype.kind not in "fiub":
        raise InputError(f"{_label(value, name, 0)} holds {array.dtype} where a number is needed.")
    if value.dtype in FLOATS:
        return array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        whole = array.astype(DTYPES[value.dtype])
    wrong = np.flatnonzero(whole != array)
    if wrong.size:
        cell = array.ravel()[wrong[0]].item()
        raise InputError(f"{_label(value, name, int(wrong[0]))} holds {cell!r} where {value.dtype} is needed.")
    return whole


def _numbers(value: Input, array: Array, name: str | None) -> Array:
    """Python objects as numbers: i64 where all are whole and fit, else f64."""
    cells: list[int | float] = []
    for i, cell in enumerate(array.ravel().tolist()):
        if not is_missing(cell) and not isinstance(cell, NUMBERS):
            raise InputError(f"{_label(value, name, i)} holds {cell!r} where a number is needed.")
        cells.append(float("nan") if is_missing(cell) else int(cell) if isinstance(cell, (int, np.integer)) else float(cell))
    try:
        whole = all(isinstance(cell, int) and -(2**63) <= cell < 2**63 for cell in cells)
        return np.array(cells, dtype=np.int64 if whole else np.float64).reshape(array.shape)
    except OverflowError:
        raise InputError(f"{_label(value, name, 0)} holds an integer too large for a double.") from None


def _strings(value: Input, array: Array, name: str | None) -> Array:
    cells = np.empty(array.shape, dtype=object)
    flat = cells.reshape(-1)
    for i, cell in enumerate(array.ravel().tolist()):
        missing = is_missing(cell)
        if not missing and not isinstance(cell, str):
            raise InputError(f"{_label(value, name, i)} holds {cell!r} where a string is needed.")
        flat[i] = None if missing else str(cell)
    return cells


def _label(value: Input, name: str | None, position: int) -> str:
    """How a sentence calls the column of the cell at a flat position."""
    if name is None and value.type.width > 1:
        column = position % value.type.width
        name = value.features[column] if value.features is not None else None
        if name is None:
            return f"Column {column} of {value.name!r}"
    return f"Column {(value.name if name is None else name)!r}"
