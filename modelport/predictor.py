"""A loaded artifact that answers rows: framework-free, and only after it has answered the rows it carries as the original did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compare import OutputReport, compare
from .document import EXACT, Loaded, Vectors
from .errors import ArtifactError, InputError, Mismatch
from .graph import FLOATS, Input, Output

__all__ = ["Predictor", "replay", "to_feeds"]

Array = NDArray[Any]


class Predictor:
    """Runs an artifact.

    predict(X) takes an array, a DataFrame, a dict of columns or a list of records and returns output name -> array with one
    entry per row. `inputs` and `outputs` declare names, dtypes and row shapes.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

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
        return self._loaded.run(to_feeds(self.inputs, X))

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
    got = loaded.run(vectors.inputs)
    return [compare(o.name, vectors.outputs[o.name], got[o.name], vectors.tolerance.get(o.name, EXACT)) for o in loaded.outputs]


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
    if hasattr(X, "to_pandas") and not hasattr(X, "iloc"):
        X = X.to_pandas()
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        # a frame whose columns carry no names (0, 1, ...) is read by position, as an array is
        return (
            _by_position(inputs, X.to_numpy()) if not any(isinstance(c, str) for c in X.columns) else _by_name(inputs, _frame(X))
        )
    if isinstance(X, Mapping):
        return _by_name(inputs, {str(k): v for k, v in X.items()})
    if isinstance(X, (list, tuple)) and X and isinstance(X[0], Mapping):
        return _by_name(inputs, _records(X))
    return _by_position(inputs, X)


def _frame(frame: Any) -> dict[str, Any]:
    return {str(name): frame.iloc[:, j].to_numpy() for j, name in enumerate(frame.columns)}


def _records(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = list(dict.fromkeys(str(k) for record in records for k in record))
    for i, record in enumerate(records):
        absent = [n for n in names if n not in record]
        if absent:
            raise InputError(
                f"Row {i} has no field {absent[0]!r}, which other rows have: "
                "give every record the same fields (None for missing)."
            )
    return {name: [record[name] for record in records] for name in names}


def _by_name(inputs: Sequence[Input], columns: Mapping[str, Any]) -> dict[str, Array]:
    feeds = {}
    for value in inputs:
        if value.name in columns:
            whole = np.asarray(columns[value.name])
            if whole.shape[1:] == value.shape and whole.ndim > 0:  # the input itself, under its own name
                feeds[value.name] = _column(value, whole)
                continue
        if value.features is None and len(value.shape) == 1 and value.shape[0] > 1:
            raise InputError(f"The model's columns have no names: give the rows as an array of {value.shape[0]} columns.")
        names = value.features if value.features is not None else (value.name,)
        missing = [n for n in names if n not in columns]
        if missing:
            raise InputError(f"The column {missing[0]!r} is missing; the model needs {', '.join(repr(n) for n in names[:20])}.")
        parts = [_column(value, columns[n], n) for n in names]
        if len({len(p) for p in parts}) > 1:
            raise InputError(f"The columns differ in length: { {n: len(p) for n, p in zip(names, parts, strict=True)} }.")
        stacked = np.stack(parts, axis=1) if parts else np.zeros((0, 0))
        feeds[value.name] = stacked.reshape(len(stacked), *value.shape)
    return feeds


def _by_position(inputs: Sequence[Input], X: Any) -> dict[str, Array]:
    try:
        array = np.asarray(X) if not hasattr(X, "toarray") else X.toarray()
    except ValueError:
        raise InputError("The rows differ in length: every row needs the same columns.") from None
    if len(inputs) == 1 and array.ndim >= 1 and array.shape[1:] == inputs[0].shape:
        return {inputs[0].name: _column(inputs[0], array).reshape(len(array), *inputs[0].shape)}
    width = sum(value.type.width for value in inputs)
    if array.ndim != 2 or array.shape[1] != width:
        raise InputError(
            f"The rows have the shape {list(array.shape)}; [rows, {width}] is needed ({', '.join(v.name for v in inputs)})."
        )
    feeds, start = {}, 0
    for value in inputs:
        stop = start + value.type.width
        feeds[value.name] = _column(value, array[:, start:stop]).reshape(len(array), *value.shape)
        start = stop
    return feeds


def _column(value: Input, data: Any, name: str | None = None) -> Array:
    """Cells as the input's dtype: numbers (booleans count as 0 and 1, None as NaN) or strings (NaN counts as missing)."""
    label = name or value.name
    array = data.to_numpy() if hasattr(data, "to_numpy") else np.asarray(data)
    if value.dtype == "str":
        return _strings(label, array)
    if array.dtype.kind in "fiub":
        return np.asarray(array.astype(np.float64)) if value.dtype in FLOATS else np.asarray(array)
    cells = []
    for cell in array.ravel().tolist():
        if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
            cell = float("nan")
        if not isinstance(cell, (int, float)):
            raise InputError(f"Column {label!r} holds {cell!r} where a number is needed.")
        cells.append(float(cell))
    return np.array(cells, dtype=np.float64).reshape(array.shape)


def _strings(label: str, array: Array) -> Array:
    cells = np.empty(array.shape, dtype=object)
    flat = cells.reshape(-1)
    for i, cell in enumerate(array.ravel().tolist()):
        missing = cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and cell != cell)
        if not missing and not isinstance(cell, str):
            raise InputError(f"Column {label!r} holds {cell!r} where a string is needed.")
        flat[i] = None if missing else str(cell)
    return cells
