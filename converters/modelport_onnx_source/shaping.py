"""Moving elements between axes: transpose, slice, expand, concat, pad."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelport.errors import UnsupportedModel

from .lengths import Dim, Length, Row, largest, least, same
from .values import END, Builder, Known, Traced, Value, known, same_row, stripped

__all__ = ["concat", "cut", "expand", "flat", "pad", "stack_axis", "tile", "transpose"]


def transpose(b: Builder, value: Value, perm: Sequence[int]) -> Value:
    """Axes in another order; free where only axes of length 1 move."""
    if isinstance(value, Known):
        return Known(np.transpose(value.array, tuple(perm)), value.dtype)
    shape = tuple(value.shape[axis] for axis in perm)
    kept = [axis for axis in perm if not same(value.shape[axis], 1)]
    if kept == sorted(kept):
        return Traced(value.name, value.row, shape, value.dtype)
    if len(value.row) == len(kept) and same_row(value.row, tuple(value.shape[axis] for axis in sorted(kept))):
        name, order = value.name, kept
    else:
        name, order = b.form(value, tuple(value.shape[axis] for axis in sorted(kept))), kept
    places = np.array([sorted(kept).index(axis) for axis in order], dtype=np.int64)
    row = tuple(value.shape[axis] for axis in order)
    return Traced(b.add("transpose", [name], b.dtypes[name], row, perm=places), row, shape, value.dtype)


def expand(b: Builder, value: Value, shape: Sequence[Dim]) -> Value:
    """An ONNX Expand: broadcast to a shape, in both directions."""
    target = b.broadcast(value.shape, tuple(shape))
    if isinstance(value, Known) and all(isinstance(n, int) for n in target):
        _affordable(target)
        return Known(np.broadcast_to(value.array, tuple(int(n) for n in target)), value.dtype)
    v = b.traced(value)
    if same_row(stripped(v.shape), stripped(target)):
        return b.reshape(v, target)
    row = stripped(target)
    name, held = v.name, b.row_of(v.name)
    if not same_row(stripped(held), stripped(v.shape)) or len(held) > len(row):
        name = b.form(v, stripped(v.shape))
    lengths = list(dict.fromkeys(n for n in row if isinstance(n, Length)))
    sources = [name, *(found[0] for found in map(b.axis_with, lengths) if found is not None)]
    source = next((s for s in sources if all(_place(b.row_of(s), n) is not None for n in lengths)), None)
    if source is None:
        return _by_arithmetic(b, v, name, row, target)
    size = np.array([0 if isinstance(n, Length) else n for n in row], dtype=np.int64)
    copy = [_place(b.row_of(source), n) if isinstance(n, Length) else -1 for n in row]
    inputs, given = ([name, source], np.array(copy, dtype=np.int64)) if lengths else ([name], None)
    made = b.add("expand", inputs, b.dtypes[name], row, shape=size, copy=given)
    return Traced(made, row, target, v.dtype)


def _place(row: Row, length: Dim) -> int | None:
    """The axis of a row shape that has a length."""
    return next((axis for axis, n in enumerate(row) if same(n, length)), None)


def _by_arithmetic(b: Builder, v: Traced, name: str, row: Row, target: Row) -> Traced:
    """Expanded to lengths of several values: chosen among itself and itself, by a condition that has those lengths."""
    condition: Row = ()
    flag = ""
    for place, n in enumerate(row):
        source = b.axis_with(n)
        if isinstance(n, Length) and source is None:
            raise UnsupportedModel(f"A value is expanded to the length {n}, which no other value of the model has.")
        if source is not None:
            held, axis = source
            ramp = b.add("positions", [held], "i64", (n,), axis=axis)
            part = b.form(Traced(ramp, (n,), (n,), "i64"), (n,) + (1,) * (len(row) - place - 1))
            part = b.add("binary", [part, part], "bool", b.row_of(part), fn="eq")
        else:
            ones = np.ones((int(n),) + (1,) * (len(row) - place - 1), dtype=np.bool_)
            part = b.constant(ones)
        condition = b.broadcast(condition, b.row_of(part))
        flag = part if not flag else b.add("binary", [flag, part], "bool", condition, fn="and")
    made = b.add("where", [flag, name, name], b.dtypes[name], row)
    return Traced(made, row, target, v.dtype)


def _affordable(shape: Sequence[Dim]) -> None:
    total = 1
    for n in shape:
        total *= int(n)
    if total > 1 << 26:
        raise UnsupportedModel(f"The model makes a constant of shape {list(shape)}, which is too large to be written down.")


def flat(b: Builder, value: Traced) -> tuple[str, Dim]:
    """Name and length of a value's elements as one axis."""
    total: Dim = 1
    for n in value.shape:
        total = total * n
    return b.form(value, (total,)), total


def concat(b: Builder, values: Sequence[Value], axis: int) -> Value:
    """Values joined along an ONNX axis; empty ones drop out."""
    values = [v for v in values if not (isinstance(v, Known) and 0 in v.shape)] or [values[0]]
    if all(isinstance(v, Known) for v in values):
        arrays = [v.array for v in values if isinstance(v, Known)]
        if any(a.dtype == object for a in arrays):
            arrays = [a.astype(object) for a in arrays]
        return known(np.concatenate(arrays, axis=axis), values[0].dtype)
    if len(values) == 1:
        return values[0]
    parts = [b.traced(v) for v in values]
    total: Dim = 0
    for part in parts:
        total = total + part.shape[axis]
    first = parts[0].shape
    for part in parts[1:]:
        others = all(same(n, m) for k, (n, m) in enumerate(zip(first, part.shape, strict=True)) if k != axis)
        if not others:
            raise UnsupportedModel(f"Values of shapes {list(first)} and {list(part.shape)} are joined along axis {axis}.")
    shape = first[:axis] + (total,) + first[axis + 1 :]
    lead = 0
    while lead < axis and same(first[lead], 1):
        lead += 1
    kept = [k for k in range(len(shape)) if k == axis or not same(shape[k], 1)]
    if all(same_row(part.row, part.shape[lead:]) for part in parts):
        kept = list(range(lead, len(shape)))
    place = kept.index(axis)
    names = [b.form(part, tuple(part.shape[k] for k in kept)) for part in parts]
    row = tuple(shape[k] for k in kept)
    dtype = b.dtypes[names[0]]
    return Traced(b.add("concat", names, dtype, row, axis=place), row, shape, parts[0].dtype)


def stack_axis(b: Builder, value: Value, axis: int) -> Value:
    """The value with a new axis of length 1."""
    if isinstance(value, Known):
        return Known(np.expand_dims(value.array, axis), value.dtype)
    return Traced(value.name, value.row, value.shape[:axis] + (1,) + value.shape[axis:], value.dtype)


def cut(
    b: Builder, value: Value, axes: Sequence[int], starts: Sequence[Dim], stops: Sequence[Dim], steps: Sequence[int]
) -> Value:
    """An ONNX Slice."""
    if isinstance(value, Known) and all(isinstance(n, int) for n in (*starts, *stops)):
        index = [slice(None)] * value.array.ndim
        for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
            span = range(value.array.shape[axis])[slice(int(start), int(stop), step)]
            index[axis] = slice(span.start, span.stop if span.stop >= 0 else None, span.step)
        return known(value.array[tuple(index)], value.dtype)
    v = value
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        v = _cut_one(b, v, axis, start, stop, step)
    return v


def _bound(k: Dim, n: Dim, low: Dim, high: Dim) -> Dim:
    """A start or stop as an index: counted from the end where it is negative, and moved inside."""
    if isinstance(k, int):
        k = k + n if k < 0 else k
    return least(largest(k, low), high)


def _cut_one(b: Builder, value: Value, axis: int, start: Dim, stop: Dim, step: int) -> Value:
    n = value.shape[axis]
    low, high = (0, n) if step > 0 else (-1, n - 1)
    beyond = isinstance(stop, int) and abs(stop) >= END
    first = _bound(start if isinstance(start, Length) or abs(start) < END else (n if start > 0 else -n - 1), n, low, high)
    last = (high if (stop > 0) == (step > 0) and stop > 0 else low) if beyond else _bound(stop, n, low, high)
    if beyond and step < 0:
        last = low
    if isinstance(n, int) and isinstance(stop, Length) and isinstance(last, Length) and step == 1:
        last = stop  # the first so many of a table, as of positions: what is outside is refused when it is picked
    count = (last - first + step - 1) // step if step > 0 else (first - last - step - 1) // -step
    if same(first, 0) and same(last, n) and step == 1:
        return value
    if isinstance(count, int) and count <= 0:
        return Known(
            np.zeros(
                tuple(0 if k == axis else int(m) if isinstance(m, int) else 1 for k, m in enumerate(value.shape)),
                dtype=np.float32,
            ),
            value.dtype,
        )
    begin, end = _literal(start, first, n), _literal(stop if not beyond else None, last, n, step)
    if begin is None or end is None or isinstance(value, Known):
        return _picked(b, value, axis, first, count, step)
    name, row, (place,) = b.placed(value, [axis])
    new = row[:place] + (count,) + row[place + 1 :]
    shape = value.shape[:axis] + (count,) + value.shape[axis + 1 :]
    steps = np.array([step], dtype=np.int64) if step != 1 else None
    made = b.add(
        "slice", [name], b.dtypes[name], new,
        axes=np.array([place]), starts=np.array([begin]), stops=np.array([end]), steps=steps,
    )  # fmt: skip
    return Traced(made, new, shape, value.dtype)


def _literal(given: Dim | None, index: Dim, n: Dim, step: int = 1) -> int | None:
    """An index as an integer of the op `slice`: from the front, or from the end of an axis whose length varies."""
    if step < 0 and same(index, -1):
        return -END
    if isinstance(index, int):
        return index
    if same(index, n):
        return END
    distance = index - n
    if isinstance(distance, int) and distance < 0:
        return distance
    return given if isinstance(given, int) else None


def _picked(b: Builder, value: Value, axis: int, first: Dim, count: Dim, step: int) -> Value:
    """The elements first, first + step, ..: gathered, since an end of the slice depends on lengths."""
    from .lookups import gather, ramp
    from .pointwise import binary, scalar

    index: Value = ramp(b, count)
    if step != 1:
        index = binary(b, "mul", index, scalar(step, "i64"))
    if not same(first, 0):
        shift = scalar(first, "i64") if isinstance(first, int) else known(np.array(first, dtype=object), "i64")
        index = binary(b, "add", index, shift)
    return gather(b, value, index, axis)


def tile(b: Builder, value: Value, repeats: Sequence[Dim]) -> Value:
    """An ONNX Tile: every axis repeated as a whole."""
    shape = value.shape
    for axis, times in enumerate(repeats):
        if same(times, 1):
            continue
        grown = shape[:axis] + (1,) + shape[axis:]
        target = shape[:axis] + (times,) + shape[axis:]
        shape = shape[:axis] + (shape[axis] * times,) + shape[axis + 1 :]
        value = b.reshape(expand(b, b.reshape(value, grown), target), shape)
    return value


def pad(b: Builder, value: Value, before: Sequence[int], after: Sequence[int], mode: str, number: float) -> Value:
    """An ONNX Pad; negative pads cut elements off."""
    v = b.traced(value)
    cuts = [axis for axis, (p, q) in enumerate(zip(before, after, strict=True)) if p < 0 or q < 0]
    if cuts:
        v = b.traced(
            cut(
                b, v, cuts, [max(-before[a], 0) for a in cuts], [after[a] if after[a] < 0 else END for a in cuts], [1] * len(cuts)
            )
        )
    padded = [axis for axis, (p, q) in enumerate(zip(before, after, strict=True)) if p > 0 or q > 0]
    if not padded:
        return v
    name, row, places = b.placed(v, padded)
    widths = [[max(k, 0) for k in side] for side in (before, after)]
    rows = [[0] * len(row) for _ in widths]
    for axis, place in zip(padded, places, strict=True):
        for side, given in zip(rows, widths, strict=True):
            side[place] = given[axis]
    new = tuple(n + p + q for n, p, q in zip(row, *rows, strict=True))
    shape = tuple(n + p + q for n, p, q in zip(v.shape, *widths, strict=True))
    made = b.add(
        "pad", [name], b.dtypes[name], new, before=np.array(rows[0]), after=np.array(rows[1]),
        mode=None if mode == "constant" else mode, value=number if mode == "constant" and number else None,
    )  # fmt: skip
    return Traced(made, new, shape, v.dtype)
