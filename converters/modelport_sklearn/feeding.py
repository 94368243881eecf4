"""What a model is fed when it is not a table: texts, labels, lists of labels, dicts, pairs of a term and a number.

Lists of different lengths become one matrix whose rows are filled up with missing cells, dicts one column per key in which a
missing cell means that the key is absent. The original is asked with lists and dicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelport.errors import InputError
from modelport.graph import Input
from modelport.sample import Column, Sample, is_missing

from .builder import Array

__all__ = ["Lists", "Pairs", "Records", "fed_with", "sample_of"]

#: Classes that are fed something else than a table. FeatureHasher says in input_type what.
FED = {
    "CountVectorizer": "texts",
    "TfidfVectorizer": "texts",
    "HashingVectorizer": "texts",
    "DictVectorizer": "dict",
    "LabelEncoder": "labels",
    "LabelBinarizer": "labels",
    "MultiLabelBinarizer": "lists",
}
#: Where estimators keep what their own rows are handed on to.
INSIDE = ("best_estimator_", "estimator_", "estimator", "regressor_", "estimators_", "estimators", "calibrated_classifiers_")


def fed_with(model: Any) -> str:
    """What a model is fed: "table", "texts", "labels", "lists", "string" (lists of terms), "dict" or "pair"."""
    seen: set[int] = set()
    while id(model) not in seen:
        seen.add(id(model))
        name = type(model).__name__
        if name == "FeatureHasher":
            return str(model.input_type)
        if name in FED:
            return FED[name]
        if name in ("Pipeline", "FeatureUnion"):
            steps = [s for _, s in (model.steps if name == "Pipeline" else model.transformer_list) if not isinstance(s, str)]
            model = steps[0] if steps and steps[0] is not None else None
        else:
            model = next((getattr(model, inner) for inner in INSIDE if hasattr(model, inner)), None)
        while isinstance(model, (list, tuple)) and model:
            model = next((part for part in model if not isinstance(part, str)), None)
    return "table"


def sample_of(model: Any, data: Any) -> Sample | None:
    """A sample of what this model is fed, or None where it is fed a table or a list of texts, which Sample.of reads."""
    kind = fed_with(model)
    if kind == "table" or isinstance(data, Sample):
        return None
    if isinstance(data, Iterator):
        data = list(data)
    if kind in ("texts", "labels"):
        return _one_column(data)
    if isinstance(data, Mapping) and kind == "dict":
        return None if _is_columns(data) else Records.read([data])
    rows = data.tolist() if hasattr(data, "tolist") else list(data)
    if kind == "dict":
        return Records.read(rows) if all(isinstance(row, Mapping) for row in rows) else None
    return Pairs.read(rows) if kind == "pair" else Lists.read(rows, "labels" if kind == "lists" else "terms")


def _is_columns(data: Mapping[str, Any]) -> bool:
    return any(isinstance(values, (list, np.ndarray)) for values in data.values())


def _one_column(data: Any) -> Sample | None:
    """One text or label per row, also out of a frame or dict of one column."""
    records = isinstance(data, list) and data and isinstance(data[0], Mapping)
    if records or isinstance(data, Mapping) or hasattr(data, "columns"):
        table = Sample.of(data)
        if len(table.columns) != 1:
            raise InputError(f"The model is fed one text or label per row, but the sample has {len(table.columns)} columns.")
        return replace(table, kind="text", frame=False)
    array = np.asarray(data)
    if array.dtype.kind in "fiub" and (array.ndim == 1 or array.shape[1:] == (1,)):
        return Sample((Column("x", "f64", array.reshape(-1).astype(np.float64), array.dtype),), "text", False, False)
    return None


@dataclass(frozen=True)
class Lists(Sample):
    """Rows that are lists of strings or of numbers: one matrix, filled up with missing cells."""

    name: str = "labels"

    @classmethod
    def read(cls, rows: Sequence[Any], name: str = "labels") -> Lists:
        """Rows as lists, tuples or sets."""
        lists = [_items(i, row) for i, row in enumerate(rows)]
        cells = [cell for row in lists for cell in row]
        text = any(isinstance(cell, str) for cell in cells)
        width = max([len(row) for row in lists], default=0) or 1
        matrix = np.full((len(lists), width), None if text else np.nan, dtype=object if text else np.float64)
        for i, row in enumerate(lists):
            wrong = [cell for cell in row if isinstance(cell, str) != text or is_missing(cell)]
            if wrong:
                raise InputError(
                    f"Row {i} of the sample holds {wrong[0]!r}: a list holds strings or numbers, not both, and no gaps."
                )
            matrix[i, : len(row)] = row
        columns = [Column(f"{name}_{j}", "str" if text else "f64", matrix[:, j]) for j in range(width)]
        return cls(tuple(columns), "lists", False, False, name)

    def inputs(self, missing: str = "nan") -> tuple[Input, ...]:
        """One matrix."""
        dtype = self.columns[0].dtype
        return (Input(self.name, dtype, (len(self.columns),), "null" if dtype == "str" else "nan"),)

    def feeds(self) -> dict[str, Array]:
        """The matrix."""
        return {self.name: np.column_stack([c.values for c in self.columns])}

    def restore(self, feeds: Mapping[str, Array]) -> Any:
        """Lists without the missing cells."""
        return [[cell for cell in row if not is_missing(cell)] for row in feeds[self.name].tolist()]

    def like(self, data: Any) -> Sample:
        """Further rows, no longer than the sample's longest."""
        own = type(self).read(list(data), self.name)
        if len(own.columns) > len(self.columns) or own.columns[0].dtype != self.columns[0].dtype:
            raise InputError(
                f"A row in vectors= is longer than the {len(self.columns)} items of the sample's, or of another kind."
            )
        missing = None if self.columns[0].dtype == "str" else np.nan
        blank = np.full(len(own), missing, dtype=self.columns[0].values.dtype)
        given = [c.values for c in own.columns]
        columns = [replace(c, values=given[j] if j < len(given) else blank) for j, c in enumerate(self.columns)]
        return replace(self, columns=tuple(columns))


def _is_pair(pair: Any) -> bool:
    """A term and a number."""
    return isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str) and not isinstance(pair[1], str)


def _items(i: int, row: Any) -> list[Any]:
    if isinstance(row, (str, bytes)) or not hasattr(row, "__iter__"):
        raise InputError(f"Row {i} of the sample is {row!r}: the model is fed a list of labels or terms per row.")
    items = sorted(row, key=str) if isinstance(row, (set, frozenset)) else list(row)
    while items and is_missing(items[-1]):
        items.pop()
    return items


@dataclass(frozen=True)
class Pairs(Sample):
    """Rows that are lists of (term, number): a matrix of terms, filled up with missing cells, beside a matrix of numbers."""

    @classmethod
    def read(cls, rows: Sequence[Any]) -> Pairs:
        """Rows as lists of pairs."""
        lists = [_items(i, row) for i, row in enumerate(rows)]
        for i, row in enumerate(lists):
            for pair in row:
                if (
                    not isinstance(pair, (tuple, list))
                    or len(pair) != 2
                    or not isinstance(pair[0], str)
                    or isinstance(pair[1], str)
                ):
                    raise InputError(f"Row {i} of the sample holds {pair!r}: pairs of a term and a number are needed.")
        width = max([len(row) for row in lists], default=0) or 1
        columns = []
        for j in range(width):
            terms = np.array([row[j][0] if j < len(row) else None for row in lists], dtype=object)
            columns.append(Column(f"term_{j}", "str", terms))
        for j in range(width):
            numbers = np.array([float(row[j][1]) if j < len(row) else 0.0 for row in lists])
            columns.append(Column(f"number_{j}", "f64", numbers))
        return cls(tuple(columns), "pairs", False, False)

    def inputs(self, missing: str = "nan") -> tuple[Input, ...]:
        """Terms and numbers."""
        width = len(self.columns) // 2
        return (Input("terms", "str", (width,), "null"), Input("numbers", "f64", (width,), "error"))

    def feeds(self) -> dict[str, Array]:
        """Terms and numbers."""
        values, width = [c.values for c in self.columns], len(self.columns) // 2
        return {"terms": np.column_stack(values[:width]), "numbers": np.column_stack(values[width:])}

    def restore(self, feeds: Mapping[str, Array]) -> Any:
        """Lists of pairs without the missing terms."""
        rows = zip(feeds["terms"].tolist(), feeds["numbers"].tolist(), strict=True)
        return [[(t, v) for t, v in zip(terms, numbers, strict=True) if t is not None] for terms, numbers in rows]

    def like(self, data: Any) -> Sample:
        """Further rows, no longer than the sample's longest."""
        own = type(self).read(list(data))
        width, given = len(self.columns) // 2, len(own.columns) // 2
        if given > width:
            raise InputError(f"A row in vectors= is longer than the {width} pairs of the sample's.")
        terms, numbers = np.full(len(own), None, dtype=object), np.zeros(len(own))
        values = [own.columns[j].values if j < given else terms for j in range(width)]
        values += [own.columns[given + j].values if j < given else numbers for j in range(width)]
        return replace(self, columns=tuple(replace(c, values=v) for c, v in zip(self.columns, values, strict=True)))


@dataclass(frozen=True)
class Records(Sample):
    """Rows that are dicts: one column per key, in which a missing cell means that the key is absent."""

    @classmethod
    def read(cls, rows: Sequence[Mapping[Any, Any]]) -> Records:
        """Rows as dicts from strings to strings or numbers."""
        key = next((key for row in rows for key in row if not isinstance(key, str)), None)
        if key is not None:
            raise InputError(f"The sample has the key {key!r}, which is no string: artifacts name their inputs by strings.")
        table = Sample.of([dict(row) for row in rows])
        return cls(table.columns, "records", True, False)

    def inputs(self, missing: str = "nan") -> tuple[Input, ...]:
        """One per key."""
        return tuple(Input(c.name, c.dtype, (1,), "nan" if c.dtype == "f64" else "null") for c in self.columns)

    def feeds(self) -> dict[str, Array]:
        """One column per key."""
        return {c.name: c.values[:, None] for c in self.columns}

    def restore(self, feeds: Mapping[str, Array]) -> Any:
        """Dicts without the keys whose cells are missing."""
        columns = {c.name: feeds[c.name][:, 0].tolist() for c in self.columns}
        count = len(next(iter(feeds.values())))
        return [{name: cells[i] for name, cells in columns.items() if not is_missing(cells[i])} for i in range(count)]

    def like(self, data: Any) -> Sample:
        """Further rows with no other keys than the sample's."""
        own = {c.name: c for c in type(self).read(list(data)).columns}
        unknown = next((name for name in own if name not in self.names), None)
        if unknown is not None:
            raise InputError(f"The rows in vectors= have the key {unknown!r}, which the sample has not.")
        count = len(list(data))
        columns = []
        for c in self.columns:
            blank = np.full(count, None, dtype=object) if c.dtype == "str" else np.full(count, np.nan)
            given = own.get(c.name)
            if given is not None and given.dtype != c.dtype:
                raise InputError(f"The rows in vectors= hold another kind under the key {c.name!r} than the sample.")
            columns.append(replace(c, values=blank if given is None else given.values))
        return replace(self, columns=tuple(columns))
