"""Translations of the ops of profile nn that move elements: reshape, transpose, slice, expand, gather, pad and their like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.graph import DTYPES, ValueType
from modelport.ops.base import Attributes

from .arithmetic import rounded
from .builder import Builder, Value, refusal
from .lengths import Length, align, length, shaped, vector

__all__ = ["RULES", "counted"]

Array = np.ndarray[Any, np.dtype[Any]]
#: integer types that onnxruntime does not pad
UNPADDED = ("i16", "u16")


def kept(result: Value, x: Value) -> Value:
    """A result that holds elements of x only."""
    return replace(result, nan_free=x.nan_free, bounds=x.bounds)


# --- shapes -------------------------------------------------------------------------------------------------------------------


def reshape(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """The same elements in another row shape."""
    if not x.free:
        return kept(shaped(x, out.shape), x)
    wanted = [int(k) for k in a["shape"]]
    copy = [int(k) for k in a["copy"]] if "copy" in a else [-1] * len(wanted)
    parts: list[Length] = []
    for axis, (number, source) in enumerate(zip(wanted, copy, strict=True)):
        if source < 0:
            parts.append(number)
        else:
            parts.append(0 if source == axis else length(x, source))  # 0 is the length of the same axis
    return kept(shaped(x, parts), x)


def transpose(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Axes in another order."""
    return kept(x.transpose(0, *(int(axis) + 1 for axis in a["perm"])), x)


def slice_(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Indices from start to stop by step, per axis; ONNX means the same by them."""
    count = len(a["axes"])
    steps = a["steps"] if "steps" in a else np.ones(count, dtype=np.int64)
    wide = [np.asarray(v, dtype=np.int64) for v in (a["starts"], a["stops"], a["axes"] + 1, steps)]
    return kept(b.op("Slice", x, *wide), x) if count else x


def expand(b: Builder, a: Attributes, out: ValueType, x: Value, pattern: Value | None = None) -> Value:
    """Broadcast to lengths, some of which are those of a second value."""
    copy = [int(k) for k in a["copy"]] if "copy" in a else [-1] * len(out.shape)
    parts: list[Length] = []
    for number, source in zip((int(k) for k in a["shape"]), copy, strict=True):
        assert source < 0 or pattern is not None
        parts.append(number if source < 0 or pattern is None else length(pattern, source))
    (aligned,) = align(len(out.shape), x)
    return kept(b.op("Expand", aligned, vector(b, [1, *parts])), x)


def positions(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """0, 1, 2, .. along an axis."""
    size = length(x, a["axis"])
    if isinstance(size, int):
        return Value(b, "", "i64", fixed=np.arange(size), bounds=(0, size - 1))
    return replace(b.op("Expand", counted(size).unsqueeze(0), vector(b, [b.rows(), size])), bounds=(0, 1 << 62))


def counted(size: Value) -> Value:
    """0, 1, 2, .. up to a length, an i64 tensor [1]."""
    b = size.builder
    return b.op("Range", b.constant(np.array(0)), size.squeeze(0), b.constant(np.array(1)), dtype="i64")


# --- elements by index --------------------------------------------------------------------------------------------------------

OUTSIDE = "an index lies outside the axis it counts along"


def gather(b: Builder, a: Attributes, out: ValueType, x: Value, index: Value) -> Value:
    """Elements along an axis by index: each row has indices of its own, unless all rows have the same."""
    x, axis = b.whole(x), a["axis"]
    if x.dtype == "str":  # onnxruntime's Gather copies only the first string of what an index stands for
        index = b.whole(index)
    assert x.shape is not None
    assert index.shape is not None
    if index.fixed is not None:
        table = b.constant(index.fixed.astype(np.int64))
        return kept(b.op("Gather", x, table, label=refusal(b.scope, OUTSIDE), axis=axis + 1), x)
    rank, many = len(x.shape), len(index.shape)
    first = x.transpose(0, axis + 1, *(k + 1 for k in range(rank) if k != axis))
    places = replace(index.cast("i64"), free=False)
    size = length(x, axis)
    limit: Length | Value = size
    bad = (places < limit * -1) | (places >= limit)
    places = b.refuse(bad, places, OUTSIDE)
    found = b.op("GatherND", first, places.unsqueeze(many + 1), batch_dims=1)  # [N, *index, *others]
    before = range(many + 1, many + 1 + axis)
    after = range(many + 1 + axis, many + rank)
    return kept(found.transpose(0, *before, *range(1, many + 1), *after), x)


def embedding(b: Builder, a: Attributes, out: ValueType, index: Value) -> Value:
    """Rows of a table by index."""
    table, places = a["weight"], index.cast("i64")
    if places.bounds is None or places.bounds[0] < 0:
        places = (places < 0).where(len(table), places)
    result = b.pick(table, places, f"an index lies outside the table of {len(table)} entries")
    return replace(result, nan_free=not np.isnan(table).any())


# --- borders and sums ---------------------------------------------------------------------------------------------------------


def pad(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Elements added at both ends of axes."""
    axes = np.flatnonzero((a["before"] != 0) | (a["after"] != 0))
    if not len(axes):
        return x
    mode = a.get("mode", "constant")
    y = x.cast("i64") if x.dtype in UNPADDED else x
    sizes = np.concatenate([a["before"][axes], a["after"][axes]]).astype(np.int64)
    value = None
    if mode == "constant":
        value = b.constant(np.array(a.get("value", 0.0)).astype(DTYPES[x.dtype]).astype(DTYPES[y.dtype]))
    result = b.op("Pad", y, sizes, value, (axes + 1).astype(np.int64), mode=mode).cast(x.dtype)
    return replace(result, nan_free=x.nan_free)


def cumsum(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Running sums along an axis; those of floats in f64."""
    y = x.cast("i64") if out.dtype == "i64" else rounded(a, x).cast("f64")
    flags: dict[str, Any] = {name: int(a.get(name, False)) for name in ("exclusive", "reverse")}
    result = b.op("CumSum", y, np.array(a["axis"] + 1, dtype=np.int64), **flags)
    return result if out.dtype == "i64" else rounded(a, result)


RULES: Mapping[str, Callable[..., Value]] = {
    "reshape": reshape,
    "transpose": transpose,
    "slice": slice_,
    "expand": expand,
    "positions": positions,
    "gather": gather,
    "embedding": embedding,
    "pad": pad,
    "cumsum": cumsum,
}
