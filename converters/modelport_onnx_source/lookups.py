"""Positions and lengths as values, gathering by index, and tables of known numbers."""

from __future__ import annotations

import numpy as np

from modelport.errors import UnsupportedModel

from .lengths import Dim, Length, Part, named
from .pointwise import binary, cast, compare, scalar, where
from .values import FLOATS, Builder, Known, Traced, Value, known

__all__ = ["flat_gather", "gather", "ramp", "traced_lengths"]


def ramp(b: Builder, count: Dim) -> Value:
    """0, 1, 2, .. of a length."""
    if isinstance(count, int):
        return Known(np.arange(count, dtype=np.int64), "i64")
    found = b.axis_with(count)
    if found is not None:
        name, axis = found
        return Traced(b.add("positions", [name], "i64", (count,), f"positions of {count}", axis=axis), (count,), (count,), "i64")
    for held, (name, axis) in list(b.axes.items()):
        distance = count - held
        if isinstance(distance, int):
            whole = b.add("positions", [name], "i64", (held,), f"positions of {held}", axis=axis)
            return _of_other_length(b, whole, held, count, distance)
    raise UnsupportedModel(f"The model counts to {count}, a length that no value of it has.")


def _of_other_length(b: Builder, whole: str, held: Dim, count: Dim, distance: int) -> Traced:
    if distance < 0:
        cut = {"axes": np.array([0]), "starts": np.array([0]), "stops": np.array([distance])}
        return Traced(b.add("slice", [whole], "i64", (count,), **cut), (count,), (count,), "i64")
    ones = b.add("pad", [whole], "i64", (count,), before=np.array([0]), after=np.array([distance]), value=0)
    ones = b.add("cast", [ones], "f64", (count,), to="f64")
    ones = b.add(
        "unary", [b.add("scale", [ones], "f64", (count,), mul=np.array([0.0]), add=np.array([1.0]))], "f64", (count,), fn="abs"
    )
    counted = b.add("cumsum", [ones], "f64", (count,), axis=0, exclusive=True)
    return Traced(b.add("cast", [counted], "i64", (count,), to="i64"), (count,), (count,), "i64")


def traced_lengths(b: Builder, value: Known) -> Traced:
    """Numbers that depend on lengths as a value of the graph."""
    from .shaping import concat

    if value.array.size == 1:
        number = value.array.ravel()[0]
        made = b.traced(_length(b, number) if isinstance(number, Length) else scalar(number, "i64"))
        return b.traced(cast(b, b.reshape(made, value.shape), value.dtype))
    parts = [
        b.reshape(
            traced_lengths(b, Known(v.reshape(1), value.dtype))
            if isinstance(v[()], Length)
            else Known(np.array([v[()]], dtype=np.int64), "i64"),
            (1,),
        )
        for v in (np.array(n, dtype=object) for n in value.array.ravel())
    ]
    return b.traced(b.reshape(concat(b, parts, 0), value.shape))


def _length(b: Builder, length: Length) -> Value:
    """One length as a number of the graph: the last position of an axis that has it, and one."""
    found = b.axis_with(length)
    if found is not None:
        last = b.add("positions", [found[0]], "i64", (length,), f"positions of {length}", axis=found[1])
        wide = b.add("cast", [last], "f64", (length,), to="f64")
        top = b.add("reduce", [wide], "f64", (), f"last of {length}", fn="max", axes=np.array([0]))
        counted = binary(b, "add", Traced(top, (), (), "f64"), scalar(1.0, "f64"))
        return cast(b, counted, "i64")
    total: Value = scalar(0, "i64")
    for names, factor in sorted(length.terms, key=str):
        term: Value = scalar(factor, "i64")
        for name in names:
            if isinstance(name, Part):
                raise UnsupportedModel(f"The model computes with the length {name}, which no value of it has.")
            term = binary(b, "mul", term, _length(b, named(name)))
        total = binary(b, "add", total, term)
    return total


def gather(b: Builder, value: Value, index: Value, axis: int) -> Value:
    """An ONNX Gather."""
    if isinstance(index, Known) and not index.symbolic:
        return _constant_gather(b, value, index, axis)
    if isinstance(value, Known):
        return _table(b, value, b.traced(index), axis)
    picked = b.traced(index)
    name, row, (place,) = b.placed(value, [axis])
    new = row[:place] + picked.row + row[place + 1 :]
    shape = value.shape[:axis] + picked.shape + value.shape[axis + 1 :]
    return Traced(b.add("gather", [name, picked.name], b.dtypes[name], new, axis=place), new, shape, value.dtype)


def _constant_gather(b: Builder, value: Value, index: Known, axis: int) -> Value:
    from .shaping import cut

    if isinstance(value, Known):
        return known(np.take(value.array, index.array.astype(np.int64), axis=axis), value.dtype)
    n, shape = value.shape[axis], value.shape[:axis] + index.shape + value.shape[axis + 1 :]
    places = index.array.ravel().astype(np.int64)
    if isinstance(n, int):
        if places.size and (places.min() < -n or places.max() >= n):
            raise UnsupportedModel(f"The model takes the elements {places.tolist()[:8]} of an axis of length {n}.")
        places = np.where(places < 0, places + n, places)
    step = int(places[1] - places[0]) if places.size > 1 else 1
    inside = isinstance(n, int) or bool((places >= 0).all()) or places.size == 1
    if places.size and step and inside and (places == places[0] + step * np.arange(places.size)).all():
        first, last = int(places[0]), int(places[-1])
        behind = last + (1 if step > 0 else -1)
        stop = behind if behind >= 0 and first >= 0 else (1 << 40 if first < 0 else -(1 << 40))
        return (
            b.reshape(cut(b, value, [axis], [first], [stop], [step]), shape)
            if _certain(n, places)
            else _gathered(b, value, index, axis)
        )
    return _gathered(b, value, index, axis)


def _certain(n: Dim, places: np.ndarray) -> bool:
    """Whether the places lie inside an axis for all its lengths: a slice would be shorter where they do not."""
    return isinstance(n, int) or (places.size == 1 and int(places[0]) in (0, -1))


def _gathered(b: Builder, value: Traced, index: Known, axis: int) -> Value:
    name, row, (place,) = b.placed(value, [axis])
    picked = b.traced(index)
    new = row[:place] + picked.row + row[place + 1 :]
    shape = value.shape[:axis] + index.shape + value.shape[axis + 1 :]
    return Traced(b.add("gather", [name, picked.name], b.dtypes[name], new, axis=place), new, shape, value.dtype)


def _table(b: Builder, table: Known, index: Traced, axis: int) -> Value:
    """Known numbers gathered by an index of the rows: an embedding, or a table."""
    from .shaping import transpose

    shape = table.shape[:axis] + index.shape + table.shape[axis + 1 :]
    if axis:
        front = transpose(b, table, [axis, *(k for k in range(len(table.shape)) if k != axis)])
        assert isinstance(front, Known)
        found = _table(b, front, index, 0)
        rank, lead = len(index.shape), axis
        order = [*range(rank, rank + lead), *range(rank), *range(rank + lead, len(shape))]
        return transpose(b, found, order)
    if table.symbolic:
        raise UnsupportedModel("The model looks numbers up in a table of its inputs' lengths.")
    rest = table.array.shape[1:]
    if table.dtype in FLOATS and rest:
        weight = np.ascontiguousarray(table.array.reshape(len(table.array), -1))
        row = (*index.row, weight.shape[1])
        made = b.add("embedding", [index.name], table.dtype, row, weight=weight, dtype=table.dtype)
        return b.reshape(Traced(made, row, (*index.shape, weight.shape[1]), table.dtype), shape)
    if not rest:
        held = b.traced(table)
        values = b.constants[held.name]
        made = b.add("take", [index.name], _held(held.dtype), index.row, table=values)
        return Traced(made, index.row, shape, table.dtype)
    return gather(b, b.traced(table), index, 0)


def _held(dtype: str) -> str:
    return dtype if dtype in (*FLOATS, "bool", "i64") else "i64"


def flat_gather(b: Builder, value: Value, index: Value, counts: tuple[int, ...], rest: tuple[Dim, ...]) -> Value:
    """Elements by several indices: index [.., k] names places in the first k axes, of lengths `counts`, of a value."""
    total = int(np.prod(counts)) if counts else 1
    strides = np.array([int(np.prod(counts[k + 1 :])) for k in range(len(counts))], dtype=np.int64)
    lengths = np.array(counts, dtype=np.int64)
    inside = where(b, compare(b, "lt", index, scalar(0, "i64")), binary(b, "add", index, Known(lengths, "i64")), index)
    weighed = b.traced(binary(b, "mul", inside, Known(strides, "i64")))
    from .summing import reduce

    place = reduce(b, "sum", weighed, [len(weighed.shape) - 1], keep=False)
    return gather(b, b.reshape(value, (total, *rest)), place, 0)
