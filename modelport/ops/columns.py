"""Ops that move, choose, replace and encode columns. All are bit-exact."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import DTYPES, FLOATS, INTEGERS, ValueType
from .base import (
    ANY_RANK,
    Array,
    Attribute,
    Attributes,
    dear,
    dtype_name,
    length,
    per_column,
    refuse_index,
    refuse_row,
    register,
    require,
    row,
    rows,
)

ANY = tuple(DTYPES)
NUMBERS = tuple(name for name in DTYPES if name != "str")
CAN_BE_MISSING = (*FLOATS, "str")


# --- concat, select -----------------------------------------------------------------------------------------------------------


def infer_concat(a: Attributes, *values: ValueType) -> ValueType:
    require(len({v.dtype for v in values}) == 1, "it joins values of one dtype only; a cast step is needed.")
    dtype, first = values[0].dtype, values[0].shape
    if "axis" not in a:
        return ValueType(dtype, (sum(row(v, ANY) for v in values),))
    axis = a["axis"]
    require(axis < len(first), f"attribute 'axis' is {axis}, but it is given {values[0]}.")
    others = {(*v.shape[:axis], -1, *v.shape[axis + 1 :]) if axis < len(v.shape) else None for v in values}
    require(len(others) == 1, f"the shapes {', '.join(map(str, values))} differ in more than axis {axis}.")
    return ValueType(dtype, (*first[:axis], sum(v.shape[axis] for v in values), *first[axis + 1 :]))


def concat(a: Attributes, *values: Array) -> Array:
    """Rows joined into one, or values joined along an axis."""
    if "axis" in a:
        return np.concatenate(values, axis=a["axis"] + 1)
    return np.concatenate([rows(v) for v in values], axis=1)


def infer_select(a: Attributes, x: ValueType) -> ValueType:
    width, index = row(x, ANY), a["index"]
    require(
        index.size == 0 or (index.min() >= 0 and index.max() < width), f"attribute 'index' leaves the row of {width} columns."
    )
    return ValueType(x.dtype, (index.size,))


def select(a: Attributes, x: Array) -> Array:
    """Columns by position."""
    return rows(x)[:, a["index"]]


register("concat", infer_concat, concat, inputs=(1, None), axis=Attribute("integer"))
register("select", infer_select, select, index=Attribute("int", required=True))


# --- cast, constant -----------------------------------------------------------------------------------------------------------


def infer_cast(a: Attributes, x: ValueType) -> ValueType:
    require(x.dtype != "str", "strings are not cast to numbers; a lookup step is needed.")
    return ValueType(a["to"], x.shape)


def cast(a: Attributes, x: Array) -> Array:
    """Change the dtype; what does not fit an integer is refused."""
    to = a["to"]
    if to == "bool":
        return np.asarray(x != 0)
    if to in FLOATS or x.dtype == np.bool_:
        with np.errstate(over="ignore"):
            return x.astype(DTYPES[to])
    bounds = np.iinfo(DTYPES[to])
    if x.dtype.kind == "f":  # float(2**63) is exact, and one above the largest i64: compare with <.
        whole = np.trunc(x)
        fits = (whole >= float(bounds.min)) & (whole < float(bounds.max) + 1)
    else:
        whole = x.astype(np.int64)
        fits = (whole >= int(bounds.min)) & (whole <= int(bounds.max))
    refuse_row(~fits, f"a value does not fit the integer type {to}.")
    return whole.astype(DTYPES[to])


def infer_constant(a: Attributes) -> ValueType:
    value = a["value"]
    return ValueType(dtype_name(value), value.shape)


def constant(a: Attributes, n: int) -> Array:
    """The same row for every row of the batch."""
    value = a["value"]
    return np.broadcast_to(value, (n, *value.shape))


register("cast", infer_cast, cast, to=Attribute("choice", required=True, options=NUMBERS))
register("constant", infer_constant, constant, inputs=(0, 0), value=Attribute("typed", required=True, ranks=ANY_RANK))


# --- impute, is_missing -------------------------------------------------------------------------------------------------------


def matches(a: Attributes, x: Array) -> Array:
    """True where an element equals `match`: NaN (floats) or missing (strings) by default."""
    match = a.get("match")
    if x.dtype == object:
        return np.array([v == match for v in x.ravel()], dtype=bool).reshape(x.shape)
    if match is None or match != match:
        return np.isnan(x)
    return np.asarray(x == match)


def infer_impute(a: Attributes, x: ValueType) -> ValueType:
    width = row(x, CAN_BE_MISSING)
    per_column(a, "values", width)
    return x


def impute(a: Attributes, x: Array) -> Array:
    """Replace elements that equal `match` by the column's value."""
    matrix = rows(x)
    return np.where(matches(a, matrix), a["values"], matrix).astype(x.dtype).reshape(x.shape)


def infer_is_missing(a: Attributes, x: ValueType) -> ValueType:
    row(x, CAN_BE_MISSING)
    return ValueType("f64", x.shape)


def is_missing(a: Attributes, x: Array) -> Array:
    """1.0 where an element equals `match`, else 0.0."""
    return matches(a, x).astype(np.float64)


MATCH = Attribute("element")
register("impute", infer_impute, impute, match=MATCH, values=Attribute("input", required=True))
register("is_missing", infer_is_missing, is_missing, match=MATCH)


# --- lookup, onehot, bucketize, take ------------------------------------------------------------------------------------------


def infer_lookup(a: Attributes, x: ValueType) -> ValueType:
    require(x.dtype in ("f64", "f32", "i64", "bool", "str"), f"it looks up f64, f32, i64, bool or str, but is given {x}.")
    keys, values = a["keys"], a["values"]
    length(a, "values", keys.size)
    require(len({_key(k) for k in keys.tolist()}) == keys.size, "attribute 'keys' holds the same key twice.")
    return ValueType(dtype_name(values), x.shape)


def _key(value: Any) -> Any:
    """A dictionary key under which NaN equals NaN and missing equals missing."""
    return "NaN" if isinstance(value, float) and value != value else (value, isinstance(value, str))


def prepare_lookup(a: Attributes, *types: ValueType) -> Attributes:
    return {**a, "table": {_key(k): i for i, k in enumerate(a["keys"].tolist())}}


def lookup(a: Attributes, x: Array) -> Array:
    """The value of the equal key; the default, or a refusal, for an unknown one."""
    table, values = a["table"], a["values"]
    codes = np.array([table.get(_key(v), -1) for v in x.ravel().tolist()], dtype=np.int64).reshape(x.shape)
    unknown = codes < 0
    if "default" not in a:
        if unknown.any():
            first = x.ravel()[int(np.flatnonzero(unknown.ravel())[0])]
            refuse_row(unknown, f"the category {first!r} was not seen when the model was fitted.")
        return np.asarray(values[codes])
    extended = np.append(values, np.array([a["default"]], dtype=values.dtype))
    return extended[codes]


def infer_onehot(a: Attributes, x: ValueType) -> ValueType:
    require(a["size"] >= 1, "attribute 'size' is at least 1.")
    return ValueType("f64", (row(x, INTEGERS) * a["size"],))


def onehot(a: Attributes, x: Array) -> Array:
    """Unit vectors of integer codes; -1 gives zeros."""
    size, codes = a["size"], rows(x).astype(np.int64)
    refuse_row((codes < -1) | (codes >= size), f"a code lies outside 0..{size - 1}.")
    return np.asarray(codes[:, :, None] == np.arange(size)).reshape(len(codes), codes.shape[1] * size).astype(np.float64)


def infer_bucketize(a: Attributes, x: ValueType) -> ValueType:
    width, edges, sizes = row(x), a["edges"], a["sizes"]
    length(a, "sizes", width)
    require(sizes.size == 0 or sizes.min() >= 0, "attribute 'sizes' holds a negative number.")
    require(int(sizes.sum()) == edges.size, f"attribute 'sizes' adds up to {int(sizes.sum())}, but there are {edges.size} edges.")
    start = 0
    for size in sizes.tolist():
        column = edges[start : start + size]
        require(bool(np.all(column[1:] >= column[:-1])) and not np.isnan(column).any(), "the edges of a column do not ascend.")
        start += size
    return ValueType("i64", x.shape)


def bucketize(a: Attributes, x: Array) -> Array:
    """Number of edges below (left) or not above (right) each element."""
    matrix, ends = rows(x), np.cumsum(a["sizes"])
    counts = np.zeros(matrix.shape, dtype=np.int64)
    for j, (end, size) in enumerate(zip(ends, a["sizes"], strict=True)):
        counts[:, j] = np.searchsorted(a["edges"][end - size : end], matrix[:, j], side=a["side"])
    return counts.reshape(x.shape)


def infer_take(a: Attributes, x: ValueType) -> ValueType:
    require(x.dtype in INTEGERS, f"it reads integers, but is given {x}.")
    table = a["table"]
    if table.ndim == 1:
        return ValueType(dtype_name(table), x.shape)
    require(x.width == 1 and len(x.shape) <= 1, f"a table of rank 2 is read with one index per row, but is given {x}.")
    return ValueType(dtype_name(table), (table.shape[1],))


def take(a: Attributes, x: Array) -> Array:
    """Table entries by index."""
    table, index = a["table"], x.astype(np.int64)
    refuse_index(index, len(table), "the table")
    return np.asarray(table[index] if table.ndim == 1 else table[index.ravel()])


register(
    "lookup",
    infer_lookup,
    lookup,
    prepare=prepare_lookup,
    cost=dear,
    keys=Attribute("input", required=True),
    values=Attribute("any", required=True),
    default=Attribute("element", of="values"),
)
register("onehot", infer_onehot, onehot, size=Attribute("integer", required=True))
register(
    "bucketize",
    infer_bucketize,
    bucketize,
    cost=dear,
    edges=Attribute("input", required=True),
    sizes=Attribute("int", required=True),
    side=Attribute("choice", required=True, options=("left", "right")),
)
register("take", infer_take, take, table=Attribute("any", required=True, ranks=(1, 2)))
