"""A sample is what the model is fed: an array, a DataFrame, a dict of columns, a list of records, of rows or of strings.

It becomes named inputs and arrays (*feeds*), and feeds become what the model is fed again. Numbers travel as f64: the
artifact answers what the original answers on float64 rows. pandas is used only when the user's sample is a DataFrame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .graph import Input

__all__ = ["NUMBERS", "Column", "Sample", "as_array", "is_missing"]

Array = NDArray[Any]
#: what counts as a number in a column of objects
NUMBERS = (bool, int, float, np.integer, np.floating, np.bool_)


@dataclass(frozen=True)
class Column:
    """One column of a sample: its name, our dtype (f64 or str), its values [n], the dtype it had, how it wrote a missing value.

    Models tell None from NaN in columns of objects; `missing` is the one the sample used (NaN when it had none).
    """

    name: str
    dtype: str
    values: Array
    original: Any = None
    missing: Any = float("nan")


@dataclass(frozen=True)
class Sample:
    """Columns with the container they came in.

    kind: "matrix" (an array of numbers, or a frame of numbers only), "table" (columns of several kinds) or "text" (one string
    per row). `named` tells whether the user gave column names; `frame` whether the model is fed a DataFrame.

    >>> s = Sample.of(np.array([[1.0, 2.0]]))
    >>> s.kind, s.inputs(missing="error")[0].shape
    ('matrix', (2,))
    >>> Sample.of([{"age": 3, "town": "Oslo"}]).feeds()["town"].tolist()
    [['Oslo']]
    """

    columns: tuple[Column, ...]
    kind: str
    named: bool
    frame: bool

    @classmethod
    def of(cls, data: Any, names: Sequence[str] | None = None) -> Sample:
        """Read a sample; `names` are the model's own feature names, used when the data has none and the widths agree."""
        if isinstance(data, Sample):
            return data
        if isinstance(data, Iterator):
            data = list(data)
        if hasattr(data, "to_pandas") and not hasattr(data, "iloc"):
            data = data.to_pandas()
        if hasattr(data, "iloc") and hasattr(data, "columns"):
            return cls._of_frame(data)
        if isinstance(data, Mapping):
            return cls._of_columns(data)
        if isinstance(data, (list, tuple)) and data and isinstance(data[0], Mapping):
            return cls._of_records(data)
        return cls._of_array(data, names)

    @classmethod
    def _of_frame(cls, frame: Any) -> Sample:
        columns = [_column(str(name), frame.iloc[:, j]) for j, name in enumerate(frame.columns)]
        named = all(isinstance(c, str) for c in frame.columns)
        return cls._of(columns, named=named, frame=True)

    @classmethod
    def _of_columns(cls, data: Mapping[str, Any]) -> Sample:
        columns = [_column(str(name), values) for name, values in data.items()]
        if len({len(c.values) for c in columns}) > 1:
            raise InputError(f"The columns differ in length: { {c.name: len(c.values) for c in columns} }.")
        return cls._of(columns, named=True, frame=True)

    @classmethod
    def _of_records(cls, records: Sequence[Mapping[str, Any]]) -> Sample:
        odd = next((i for i, record in enumerate(records) if not isinstance(record, Mapping)), None)
        if odd is not None:
            raise InputError(f"Row {odd} of the sample is of type {type(records[odd]).__name__}, but row 0 is a record.")
        names = list(dict.fromkeys(name for record in records for name in record))
        return cls._of_columns({name: [record.get(name) for record in records] for name in names})

    @classmethod
    def _of_array(cls, data: Any, names: Sequence[str] | None) -> Sample:
        array = as_array(data, "The sample")
        if array.ndim == 1 and array.dtype.kind in "UO" and len(array) and all(isinstance(v, str) for v in array):
            column = Column("text", "str", array.astype(object), array.dtype)
            return cls((column,), "text", False, False)
        if array.ndim != 2:
            raise InputError(
                f"The sample has shape {array.shape}: it needs two axes, rows and columns (for one column: X.reshape(-1, 1))."
            )
        given = list(names) if names is not None and len(names) == array.shape[1] else None
        labels = given or [f"x{j}" for j in range(array.shape[1])]
        columns = [_column(label, array[:, j]) for j, label in enumerate(labels)]
        return cls._of(columns, named=given is not None, frame=False)

    @classmethod
    def _of(cls, columns: Sequence[Column], named: bool, frame: bool) -> Sample:
        twice = [name for name, times in Counter(c.name for c in columns).items() if times > 1]
        if twice:
            raise InputError(f"The sample has two columns of the same name, {twice[0]!r}: give every column its own.")
        kind = "matrix" if all(c.dtype == "f64" for c in columns) else "table"
        return cls(tuple(columns), kind, named, frame)

    def __len__(self) -> int:
        return len(self.columns[0].values) if self.columns else 0

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [c.name for c in self.columns]

    def inputs(self, missing: str = "nan") -> tuple[Input, ...]:
        """The graph inputs for such rows; `missing` is for numbers, strings accept null where numbers accept NaN."""
        if self.kind == "matrix":
            features = tuple(self.names) if self.named else None
            return (Input(matrix_name(self.names), "f64", (len(self.columns),), missing, features),)
        text = "null" if missing == "nan" else "error"
        shape = () if self.kind == "text" else (1,)
        return tuple(Input(c.name, c.dtype, shape, missing if c.dtype == "f64" else text) for c in self.columns)

    def feeds(self) -> dict[str, Array]:
        """Input name -> array [n, *row shape]."""
        if self.kind == "matrix":
            matrix = np.column_stack([c.values for c in self.columns]) if self.columns else np.zeros((0, 0))
            return {matrix_name(self.names): matrix}
        if self.kind == "text":
            return {self.columns[0].name: self.columns[0].values}
        return {c.name: c.values[:, None] for c in self.columns}

    def restore(self, feeds: Mapping[str, Array]) -> Any:
        """What the model is fed for such feeds: the container and kinds of the sample, numbers as float64."""
        if self.kind == "text":
            return feeds[self.columns[0].name].tolist()
        if self.kind == "matrix":
            matrix = feeds[matrix_name(self.names)]
            return self._frame([matrix[:, j] for j in range(matrix.shape[1])]) if self.frame else matrix
        arrays = [feeds[c.name][:, 0] for c in self.columns]
        if self.frame:
            return self._frame(arrays)
        if all(c.dtype == "f64" for c in self.columns):
            return np.column_stack(arrays)
        mixed = np.empty((len(arrays[0]), len(arrays)), dtype=object)
        for j, (column, array) in enumerate(zip(self.columns, arrays, strict=True)):
            mixed[:, j] = [column.missing if v is None or v != v else v for v in array.tolist()]
        return mixed

    def like(self, data: Any) -> Sample:
        """Further rows for the same model, read in the same way."""
        return Sample.of(data, self.names if self.named else None)

    def _frame(self, arrays: Sequence[Array]) -> Any:
        import pandas

        series = {}
        for column, values in zip(self.columns, arrays, strict=True):
            series[column.name] = _series(pandas, column, values)
        frame = pandas.DataFrame(series)
        if not self.named:
            frame.columns = range(len(self.columns))
        return frame


def matrix_name(features: Sequence[str]) -> str:
    """The name of a matrix input: "X", or the first of "X_", "X__", ... that is no feature's name."""
    name = "X"
    while name in features:
        name += "_"
    return name


def as_array(data: Any, what: str) -> Array:
    """Rows or a column as an array whose cells keep their kinds (NumPy alone makes strings of [1.5, "a"] and of ["a", nan]).

    InputError begins with `what`.
    """
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        raise InputError(f"{what} has masked cells, which have no portable form: fill them with NaN or None first.")
    if hasattr(data, "toarray"):
        data = data.toarray()
    elif hasattr(data, "to_numpy"):
        data = data.to_numpy()
    try:
        array = np.asarray(data)
    except ValueError:
        raise InputError(f"{what} has rows that differ in length: every row needs the same columns.") from None
    except OverflowError:  # an integer beyond all dtypes beside a float
        return np.asarray(data, dtype=object)
    if array.dtype.kind == "U" and not isinstance(data, np.ndarray):
        return np.asarray(data, dtype=object)
    return array


def is_missing(value: Any) -> bool:
    """None, NaN and pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(value != value)


def _column(name: str, data: Any) -> Column:
    dtype = getattr(data, "dtype", None)
    values = as_array(data, f"Column {name!r}")
    if values.ndim != 1:
        raise InputError(f"Column {name!r} has shape {values.shape}: one value per row is needed.")
    if values.dtype.kind in "fiub":
        return Column(name, "f64", values.astype(np.float64), dtype)
    if values.dtype.kind not in "OU":
        raise InputError(
            f"Column {name!r} holds {values.dtype}, which has no portable form: turn it into numbers or strings first."
        )
    cells = values.tolist()
    present = [v for v in cells if not is_missing(v)]
    marker = next((v for v in cells if is_missing(v)), float("nan"))
    numeric = all(isinstance(v, NUMBERS) for v in present)
    if numeric and (present or getattr(dtype, "kind", "O") in "fiub"):  # no cell: a nullable dtype still says it is numbers
        return Column(name, "f64", _floats(name, cells), dtype, marker)
    wrong = [v for v in present if not isinstance(v, str)]
    if wrong:
        kinds = "mixes strings with" if len(wrong) < len(present) else "holds"
        raise InputError(
            f"Column {name!r} {kinds} {type(wrong[0]).__name__} ({wrong[0]!r}): a column holds numbers or strings, not both."
        )
    return Column(name, "str", np.array([None if is_missing(v) else str(v) for v in cells], dtype=object), dtype, marker)


def _floats(name: str, cells: Sequence[Any]) -> Array:
    try:
        return np.array([np.nan if is_missing(v) else float(v) for v in cells], dtype=np.float64)
    except OverflowError:
        raise InputError(f"Column {name!r} holds an integer too large for a double.") from None


def _series(pandas: Any, column: Column, values: Array) -> Any:
    """A pandas column of the kind the sample had; numbers stay float64."""
    kind = getattr(column.original, "kind", "O")
    plain = kind == "O" and type(column.original).__name__ not in ("StringDtype", "CategoricalDtype")
    if column.dtype == "f64":
        if type(column.original).__name__ == "CategoricalDtype":
            return _numeric_categories(pandas, column.original.categories, values)
        if not plain or column.original is None:
            return pandas.Series(values)
        return pandas.Series([column.missing if v != v else v for v in values.tolist()], dtype=object)
    if type(column.original).__name__ == "CategoricalDtype":
        return pandas.Series(pandas.Categorical(values, categories=_categories(column.original, values)))
    if plain:
        return pandas.Series([column.missing if v is None else v for v in values.tolist()], dtype=object)
    return pandas.Series(values.tolist(), dtype=column.original)


def _categories(dtype: Any, values: Array) -> list[str]:
    known = [str(c) for c in dtype.categories]
    return known + sorted({v for v in values.tolist() if v is not None and v not in known})


def _numeric_categories(pandas: Any, categories: Any, values: Array) -> Any:
    """A pandas column of categories that are numbers; unknown ones come behind the known, as integers where all are."""
    known = np.asarray(categories, dtype=np.float64)
    unknown = np.setdiff1d(values[~np.isnan(values)], known)
    whole = categories.dtype.kind in "iu" and bool(np.all((np.abs(unknown) < 2.0**53) & (unknown == np.rint(unknown))))
    index = pandas.Index(np.concatenate([known, unknown]).astype(np.int64 if whole else np.float64))
    if not unknown.size:
        index = categories
    order = np.argsort(np.concatenate([known, unknown]))
    place = np.searchsorted(np.concatenate([known, unknown])[order], np.where(np.isnan(values), 0, values))
    codes = np.append(order, -1)[np.minimum(place, len(order))]
    return pandas.Series(pandas.Categorical.from_codes(np.where(np.isnan(values), -1, codes), categories=index))
