"""What an ONNX value becomes while a model is read for one row: known numbers, or a value of the graph under construction.

The batch axis of every input has length 1. A value of the graph has a row shape that is the ONNX shape but for axes of length 1,
which come and go without a step: so the batch may stand in any axis, and most reshapes cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modelport.errors import UnsupportedModel
from modelport.graph import Step

from .lengths import Dim, Length, Row, quotient, same

__all__ = ["Builder", "Known", "Traced", "Value", "as_dims", "axis_of", "dims_of", "known", "same_row", "squeezed", "stripped"]

Array = NDArray[Any]
FLOATS = ("f32", "f64")
#: integers that a graph carries as i64
NARROW = ("i32", "i16", "i8", "u32", "u16", "u8")
NUMPY = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32, "i16": np.int16, "i8": np.int8,
    "u64": np.uint64, "u32": np.uint32, "u16": np.uint16, "u8": np.uint8, "bool": np.bool_,
}  # fmt: skip
#: the first index behind every axis
END = (1 << 31) - 1


@dataclass(frozen=True, eq=False)
class Known:
    """Numbers known while reading; `array` holds objects where some of them depend on named lengths."""

    array: Array
    dtype: str

    @property
    def shape(self) -> Row:
        """The ONNX shape."""
        return tuple(self.array.shape)

    @property
    def symbolic(self) -> bool:
        """Whether a number depends on named lengths."""
        return self.array.dtype == object and self.dtype != "str"


@dataclass(frozen=True, eq=False)
class Traced:
    """A value of the graph: its name and row shape there, and the shape and dtype it has in the ONNX model."""

    name: str
    row: Row
    shape: Row
    dtype: str


Value: TypeAlias = "Known | Traced"


def known(array: Any, dtype: str | None = None) -> Known:
    """Numbers as a Known; Lengths among them stay what they are."""
    array = np.asarray(array)
    if array.dtype == object and not any(isinstance(v, Length) for v in array.ravel()) and dtype != "str":
        array = array.astype(NUMPY[dtype or "i64"])
    if dtype is None:
        dtype = "i64" if array.dtype == object else next(n for n, t in NUMPY.items() if array.dtype == t)
    return Known(array, dtype)


def as_dims(dims: Sequence[Dim]) -> Known:
    """A shape as an ONNX value."""
    array = np.empty(len(dims), dtype=object)
    array[:] = list(dims)
    return known(array, "i64")


def dims_of(value: Value, what: str) -> list[Dim]:
    """The integers in a value that has to be known; UnsupportedModel where it depends on the rows."""
    if not isinstance(value, Known):
        raise UnsupportedModel(
            f"{what} depends on the numbers in a row: the model's shapes have to follow from its inputs' shapes."
        )
    return [v if isinstance(v, Length) else int(v) for v in value.array.ravel().tolist()]


def squeezed(row: Row) -> Row:
    """A shape without its axes of length 1."""
    return tuple(n for n in row if not same(n, 1))


def stripped(row: Row) -> Row:
    """A shape without the axes of length 1 in front."""
    kept = list(row)
    while kept and same(kept[0], 1):
        kept.pop(0)
    return tuple(kept)


def same_row(first: Row, second: Row) -> bool:
    """Whether two shapes are equal for all lengths."""
    return len(first) == len(second) and all(map(same, first, second))


def axis_of(axis: int, rank: int) -> int:
    """An ONNX axis counted from the front."""
    if not -rank <= axis < rank:
        raise UnsupportedModel(f"The model names axis {axis} of a value of rank {rank}.")
    return axis + rank if axis < 0 else axis


class Builder:
    """The graph under construction: steps, the row shape of every value, constants that steps read."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.rows: dict[str, Row] = {}
        self.dtypes: dict[str, str] = {}
        self.constants: dict[str, Array] = {}
        self.producers: dict[str, Step] = {}
        self.cache: dict[Any, str] = {}
        #: a length -> a value and its axis that has it
        self.axes: dict[Dim, tuple[str, int]] = {}
        self.hint = "value"

    # --- names and steps ---

    def unique(self, hint: str) -> str:
        """A name for a value that no other has."""
        hint = hint or "value"
        name, k = hint, 2
        while name in self.rows:
            name, k = f"{hint} {k}", k + 1
        return name

    def input(self, name: str, dtype: str, row: Row) -> str:
        """Declare an input of the graph."""
        self._define(name, dtype, row)
        return name

    def _define(self, name: str, dtype: str, row: Row) -> None:
        self.rows[name], self.dtypes[name] = row, dtype
        for axis, dim in enumerate(row):
            if isinstance(dim, Length):
                self.axes.setdefault(dim, (name, axis))

    def add(self, op: str, inputs: Sequence[str], dtype: str, row: Row, hint: str | None = None, /, **attributes: Any) -> str:
        """One step; the same step is made once. dtype is what the graph carries."""
        given = {k.rstrip("_"): v for k, v in attributes.items() if v is not None}
        small = all(getattr(v, "size", 1) <= 64 for v in given.values())
        key = (
            op,
            tuple(inputs),
            tuple((k, v.tobytes() if isinstance(v, np.ndarray) else v, str(getattr(v, "shape", ""))) for k, v in given.items()),
        )
        if small and key in self.cache:
            return self.cache[key]
        name = self.unique(hint or self.hint)
        step = Step(op, tuple(inputs), name, given)
        self.steps.append(step)
        self.producers[name] = step
        self._define(name, dtype, row)
        if small:
            self.cache[key] = name
        return name

    def constant(self, array: Array) -> str:
        """The name of a constant that steps read; it becomes a step of its own, or an attribute."""
        key = ("constant", array.dtype.str, array.shape, array.tobytes()) if array.size <= 4096 else ("constant", id(array))
        if key in self.cache:
            return self.cache[key]
        name = self.unique("constant")
        self.constants[name] = array
        self._define(name, next(n for n, t in NUMPY.items() if array.dtype == t), tuple(array.shape))
        self.cache[key] = name
        return name

    # --- forms ---

    def traced(self, value: Value) -> Traced:
        """A value of the graph; known numbers become a constant."""
        if isinstance(value, Traced):
            return value
        if value.symbolic:
            from .lookups import traced_lengths

            return traced_lengths(self, value)
        if value.dtype not in (*FLOATS, "i64", "bool", *NARROW):
            raise UnsupportedModel(
                f"The model computes with {value.dtype} numbers, which a graph does not: export it in float32."
            )
        array = value.array.astype(np.int64) if value.dtype in NARROW else value.array
        name = self.constant(np.ascontiguousarray(array))
        row = tuple(array.shape)
        return Traced(name, row, row, value.dtype)

    def form(self, value: Traced, row: Row, hint: str | None = None) -> str:
        """The value's name in a given row shape, which holds the same elements; a reshape where it has another."""
        if same_row(value.row, row):
            return value.name
        if value.name in self.constants:
            return self.constant(self.constants[value.name].reshape(tuple(int(n) for n in row)))
        source = value.name
        while True:  # a chain of reshapes is one
            before = self.producers.get(source)
            if before is None or before.op != "reshape" or not self._fits(self.rows[before.inputs[0]], row):
                break
            source = before.inputs[0]
        if same_row(self.rows[source], row):
            return source
        shape, copy = self._reshaping(self.rows[source], row)
        return self.add("reshape", [source], self.dtypes[source], row, hint, shape=shape, copy=copy)

    @staticmethod
    def _fits(source: Row, row: Row) -> bool:
        left = [n for n in row if not isinstance(n, int) and not any(same(n, k) for k in source)]
        return len(left) <= 1

    def _reshaping(self, source: Row, row: Row) -> tuple[Array, Array | None]:
        """The attributes `shape` and `copy` of a reshape."""
        shape, copy, free = [], [], list(enumerate(source))
        for n in row:
            place = None
            if isinstance(n, Length):
                place = next((p for p in free if same(p[1], n)), None)
                place = place or next(((axis, m) for axis, m in enumerate(source) if same(m, n)), None)
            if place is not None:
                free = [p for p in free if p[0] != place[0]]
            shape.append(n if isinstance(n, int) else 0 if place is not None else -1)
            copy.append(-1 if place is None else place[0])
        if shape.count(-1) > 1:
            raise UnsupportedModel(
                f"A value of lengths {list(source)} is reshaped to {list(row)}, of which more than one "
                "follows from none of those."
            )
        named = any(k >= 0 for k in copy)
        return np.array(shape, dtype=np.int64), np.array(copy, dtype=np.int64) if named else None

    def aligned(self, value: Traced, keep: int) -> tuple[str, Row]:
        """Name and row shape in a form that ends as the ONNX shape does, with its last `keep` axes at least."""
        if len(value.row) >= keep and same_row(stripped(value.row), stripped(value.shape)):
            return value.name, value.row
        front = stripped(value.shape[: len(value.shape) - keep])
        row = front + value.shape[len(value.shape) - keep :]
        return self.form(value, row), row

    def placed(self, value: Traced, axes: Sequence[int]) -> tuple[str, Row, list[int]]:
        """Name and row shape in a form that has these ONNX axes, and which of its axes they are."""
        if all(not same(value.shape[axis], 1) for axis in axes):
            long = [k for k, n in enumerate(value.row) if not same(n, 1)]
            kept = [k for k, n in enumerate(value.shape) if not same(n, 1)]
            return value.name, value.row, [long[kept.index(axis)] for axis in axes]
        name, row = self.aligned(value, len(value.shape) - min(axes))
        return name, row, [axis - (len(value.shape) - len(row)) for axis in axes]

    def last(self, value: Traced) -> tuple[str, Row]:
        """Name and row shape in a form whose last axis is that of the ONNX shape, whatever the axes before it."""
        shape, row = value.shape, value.row
        if row and shape and same(row[-1], shape[-1]) and same_row(squeezed(row[:-1]), squeezed(shape[:-1])):
            return value.name, row
        row = stripped(shape[:-1]) + shape[-1:]
        return self.form(value, row), row

    def exactly(self, value: Traced, drop: int = 0) -> tuple[str, Row]:
        """Name and row shape in the form of the ONNX shape without its first `drop` axes, which have length 1."""
        row = value.shape[drop:]
        return self.form(value, row), row

    def joint(self, values: Sequence[Traced]) -> tuple[list[str], Row, Row]:
        """Names that broadcast to one row shape, that row shape, and the ONNX shape of the result."""
        shape: Row = ()
        for value in values:
            shape = self.broadcast(shape, value.shape)
        variable = [v for v in values if v.name not in self.constants]
        if all(same_row(stripped(v.row), stripped(v.shape)) for v in variable):
            names = [v.name if v in variable else self.form(v, stripped(v.shape)) for v in values]
        else:
            kept = [axis for axis, n in enumerate(shape) if not same(n, 1)]
            names = []
            for value in values:
                padded: Row = (1,) * (len(shape) - len(value.shape)) + value.shape
                wanted = tuple(padded[axis] for axis in kept)
                fits = same_row(stripped(value.row), stripped(wanted)) and value in variable
                names.append(value.name if fits else self.form(value, stripped(wanted)))
        row: Row = ()
        for name in names:
            row = self.broadcast(row, self.row_of(name))
        return names, row, shape

    def row_of(self, name: str) -> Row:
        """The row shape of a value or constant."""
        return self.rows[name]

    @staticmethod
    def broadcast(first: Row, second: Row) -> Row:
        """The shape two shapes broadcast to."""
        rank = max(len(first), len(second))
        result: list[Dim] = []
        for a, b in zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True):
            if not same(a, b) and not same(a, 1) and not same(b, 1):
                raise UnsupportedModel(
                    f"Values of shapes {list(first)} and {list(second)} meet, which fit together for some lengths only: "
                    "give equal lengths equal names in `lengths`."
                )
            result.append(b if same(a, 1) else a)
        return tuple(result)

    # --- lengths ---

    def axis_with(self, length: Dim) -> tuple[str, int] | None:
        """A value and its axis that has a length, or None."""
        return self.axes.get(length) if isinstance(length, Length) else None

    def reshape(self, value: Value, shape: Sequence[Dim]) -> Value:
        """An ONNX reshape to a shape without -1 and 0."""
        if isinstance(value, Known):
            return Known(value.array.reshape(tuple(int(n) for n in shape)), value.dtype)
        row = tuple(shape)
        if same_row(squeezed(row), squeezed(value.row)):
            return Traced(value.name, value.row, row, value.dtype)
        target = squeezed(row)
        return Traced(self.form(value, target), target, row, value.dtype)

    def statistics(self) -> Mapping[str, int]:
        """How many steps of every op there are."""
        counts: dict[str, int] = {}
        for step in self.steps:
            counts[step.op] = counts.get(step.op, 0) + 1
        return counts


def divided(total: Dim, by: Dim, what: str) -> Dim:
    """total / by, which has to be whole."""
    result = quotient(total, by)
    if result is None:
        raise UnsupportedModel(f"{what}: {total} elements are divided into parts of {by}, which is not whole for every length.")
    return result
