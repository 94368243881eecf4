"""Translations of the ops that move, choose, replace and encode columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.graph import DTYPES, FLOATS, INTEGERS, ValueType
from modelport.ops.base import Attributes, dtype_name

from . import wire
from .builder import ML, NULL, Builder, Value
from .lengths import unflattened
from .search import count_edges

__all__ = ["RULES"]

Array = np.ndarray[Any, np.dtype[Any]]


def concat(b: Builder, a: Attributes, out: ValueType, *values: Value) -> Value:
    """Rows joined, or values of any rank along an axis."""
    if "axis" in a:
        return join(b, a["axis"], values)
    parts = [v.matrix() for v in values if v.shape != (0,)]
    return join(b, 0, parts)


def join(b: Builder, axis: int, parts: Sequence[Value]) -> Value:
    """Joined along an axis of the row."""
    ranges = [v.bounds for v in parts]
    known = [r for r in ranges if r is not None]
    bounds = (min(r[0] for r in known), max(r[1] for r in known)) if known and len(known) == len(ranges) else None
    return replace(b.concat(parts, axis=axis + 1), nan_free=all(v.nan_free for v in parts), bounds=bounds)


def select(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Columns by position."""
    return replace(x.matrix().gather(a["index"].astype(np.int64), axis=1), nan_free=x.nan_free, bounds=x.bounds)


def cast(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Change the dtype; what does not fit an integer is refused."""
    to = a["to"]
    if to not in INTEGERS or x.dtype == "bool":
        result = x.cast(to)
        return replace(result, nan_free=x.nan_free or x.dtype not in FLOATS, bounds=(0, 1) if to in INTEGERS else None)
    low, high = int(np.iinfo(DTYPES[to]).min), int(np.iinfo(DTYPES[to]).max)
    if x.dtype in FLOATS:
        x = x.cast("f64")
        above = x >= float(low) if to == "i64" else x > float(low) - 1
        outside = ~(above & (x < float(high) + 1))  # true for NaN
    elif x.bounds is not None and low <= x.bounds[0] and x.bounds[1] <= high:
        return x.cast(to)
    else:
        source = np.iinfo(DTYPES[x.dtype])
        if low <= source.min and source.max <= high:
            return x.cast(to)
        x = x.cast("i64")
        outside = (x < low) | (x > high)
    return b.refuse(outside, x, f"a value does not fit the integer type {to}").cast("i64").cast(to)


def constant(b: Builder, a: Attributes, out: ValueType) -> Value:
    """The same row for every row of the batch."""
    row = a["value"]
    nan_free = row.dtype.kind == "f" and not np.isnan(row).any()
    return Value(b, "", dtype_name(row), nan_free=bool(nan_free), bounds=_bounds(row), fixed=row)


def _bounds(array: Array) -> tuple[int, int] | None:
    return (int(array.min()), int(array.max())) if array.dtype.kind in "iu" and array.size else None


# --- missing values -----------------------------------------------------------------------------------------------------------


def _matches(a: Attributes, x: Value) -> Value:
    """True where an element equals `match`: NaN or null by default."""
    match = a.get("match")
    if x.dtype == "str":
        return x.equals(x.builder.constant(np.array(NULL if match is None else match, dtype=object)))
    return x.is_nan() if match is None or match != match else x.equals(match)


def impute(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Replace elements that equal `match` by the column's value."""
    values = per_column(a["values"], x)
    match = a.get("match")
    leaves_none = x.nan_free or match is None or match != match
    nan_free = x.dtype in FLOATS and leaves_none and not np.isnan(a["values"]).any()
    return replace(_matches(a, x).where(b.constant(values), x), nan_free=bool(nan_free))


def is_missing(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """1.0 where an element equals `match`, else 0.0."""
    return replace(_matches(a, x).cast("f64"), nan_free=True)


def per_column(values: Array, x: Value) -> Array:
    """An attribute with one element per column or one for all, so that it broadcasts against x."""
    return values.reshape(()) if x.shape == () else values


# --- categories ---------------------------------------------------------------------------------------------------------------


def lookup(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """The value of the equal key; the default, or a refusal, for an unknown one."""
    keys, values = a["keys"], a["values"]
    if "default" in a:
        values = np.append(values, np.array([a["default"]], dtype=values.dtype))
    code = _float_code(b, x, keys) if x.dtype in FLOATS else _label_code(b, x, keys)
    result = b.pick(values, code, "a category was not seen when the model was fitted")
    return replace(result, nan_free=values.dtype.kind == "f" and not np.isnan(values).any(), bounds=_bounds(values))


def _label_code(b: Builder, x: Value, keys: Array) -> Value:
    """The position of the equal key, len(keys) for an unknown one: strings, integers, bool."""
    codes = wire.Ints(np.arange(len(keys)))
    if x.dtype == "str":
        names = [NULL if k is None else k for k in keys.tolist()]
        if not names:
            return x.equals(NULL_TEXT).cast("i64") * 0
        return b.op("LabelEncoder", x, domain=ML, dtype="i64", keys_strings=names, values_int64s=codes, default_int64=len(names))
    x = x.cast("i64")
    if not len(keys):
        return x * 0
    numbers = wire.Ints(keys.astype(np.int64))
    return b.op("LabelEncoder", x, domain=ML, keys_int64s=numbers, values_int64s=codes, default_int64=len(keys))


NULL_TEXT = np.array(NULL, dtype=object)


def _float_code(b: Builder, x: Value, keys: Array) -> Value:
    """As _label_code for floats: a binary search among the ascending keys, then a comparison; NaN equals NaN."""
    order = np.argsort(keys, kind="stable")  # NaN comes last
    ascending = keys[order].astype(np.float64)
    ascending = ascending[~np.isnan(ascending)]
    x = x.cast("f64")
    flat = x.reshape(-1, 1)
    found = count_edges(b, flat, [ascending], "left") if len(ascending) else flat.is_nan().cast("i64") * 0
    same = b.constant(np.append(ascending, np.nan)).gather(found).equals(flat)
    code = same.where(b.constant(np.append(order[: len(ascending)], 0)).gather(found), len(keys))
    if len(ascending) < len(keys):
        code = flat.is_nan().where(int(order[-1]), code)
    return unflattened(code, x) if x.shape != (1,) else code


def onehot(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Unit vectors of integer codes; -1 gives zeros."""
    size, codes = a["size"], x.matrix().cast("i64")
    if codes.bounds is None or codes.bounds[0] < -1 or codes.bounds[1] >= size:
        bad = (codes < -1) | (codes > size - 1)
        codes = b.refuse(bad, codes, f"a code lies outside 0..{size - 1}")
    positions = np.arange(size)
    if codes.shape == (1,):
        return replace(codes.equals(positions).cast("f64"), nan_free=True)
    units = codes.unsqueeze(2).equals(positions).cast("f64")
    return replace(units.reshape(0, -1 if x.free else out.width), nan_free=True)


def bucketize(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Number of edges below (left) or not above (right) each element."""
    ends = np.cumsum(a["sizes"].astype(np.int64))
    edges = [a["edges"][end - size : end] for end, size in zip(ends, a["sizes"].tolist(), strict=True)]
    counts = count_edges(b, x.matrix(), edges, a["side"])
    return replace(counts.squeeze(1) if x.shape == () else counts, bounds=counts.bounds)


def take(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Table entries by index."""
    table, index = a["table"], x.cast("i64")
    if index.bounds is None or index.bounds[0] < 0:
        index = replace((index < 0).where(len(table), index), shape=x.shape)
    if table.ndim == 2 and x.shape == (1,):
        index = index.squeeze(1)
    result = b.pick(table, index, f"an index lies outside the table of {len(table)} entries")
    floats = dtype_name(table) in FLOATS
    return replace(result, nan_free=floats and not np.isnan(table).any(), bounds=_bounds(table))


RULES: Mapping[str, Callable[..., Value]] = {
    "concat": concat,
    "select": select,
    "cast": cast,
    "constant": constant,
    "impute": impute,
    "is_missing": is_missing,
    "lookup": lookup,
    "onehot": onehot,
    "bucketize": bucketize,
    "take": take,
}
