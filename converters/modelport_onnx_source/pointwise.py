"""Element by element: functions of one value, arithmetic and comparisons of two, choices, casts."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from .lengths import Dim, Length, largest, least
from .values import FLOATS, NARROW, NUMPY, Builder, Known, Traced, Value, known, same_row

__all__ = ["activation", "binary", "cast", "clip", "compare", "float_of", "logic", "scalar", "unary", "where"]

#: arithmetic on integers that depend on lengths
SYMBOLIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.floordiv,
    "mod": operator.mod,
    "min": least,
    "max": largest,
    "eq": operator.eq,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def scalar(number: float, dtype: str) -> Known:
    """One number of a dtype."""
    return Known(np.asarray(number, dtype=NUMPY[dtype]), dtype)


def _carried(dtype: str) -> str:
    """How the graph carries a dtype."""
    return "i64" if dtype in NARROW else dtype


def cast(b: Builder, value: Value, dtype: str) -> Value:
    """An ONNX Cast."""
    if value.dtype == dtype:
        return value
    if isinstance(value, Known) and value.symbolic:
        if dtype in ("i64", *NARROW, *FLOATS):
            return Known(value.array, dtype)
        value = b.traced(value)
    if isinstance(value, Known):
        with np.errstate(all="ignore"):
            return Known(value.array.astype(NUMPY[dtype]), dtype)
    if dtype not in (*FLOATS, "i64", "bool", *NARROW):
        raise UnsupportedModel(f"The model computes with {dtype} numbers, which a graph does not: export it in float32.")
    name, held, wanted = value.name, _carried(value.dtype), _carried(dtype)
    if dtype in NARROW and held != "bool":  # out of its range is refused
        name = b.add("cast", [name], dtype, value.row, to=dtype)
        name = b.add("cast", [name], "i64", value.row, to="i64")
    elif held != wanted:
        name = b.add("cast", [name], wanted, value.row, to=wanted)
    return Traced(name, value.row, value.shape, dtype)


def float_of(b: Builder, value: Value) -> Value:
    """A value as floats: integers and booleans as f64, which holds them exactly below 2^53."""
    return value if value.dtype in FLOATS else cast(b, value, "f64")


def _back(b: Builder, value: Value, dtype: str) -> Value:
    """The result of arithmetic on `float_of` values as what it was."""
    if isinstance(value, Known) or dtype in FLOATS:
        return cast(b, value, dtype)
    name = value.name if _carried(dtype) == b.dtypes[value.name] else b.add("cast", [value.name], "i64", value.row, to="i64")
    return Traced(name, value.row, value.shape, dtype)


def unary(b: Builder, fn: str, value: Value) -> Value:
    """One of the op `unary`'s functions; integers as integers."""
    value = b.traced(value)
    if fn == "not":
        return Traced(b.add("unary", [value.name], "bool", value.row, fn="not"), value.row, value.shape, "bool")
    given = b.traced(float_of(b, value))
    name = b.add("unary", [given.name], given.dtype, given.row, fn=fn, dtype=given.dtype)
    return _back(b, Traced(name, given.row, given.shape, given.dtype), value.dtype)


def activation(b: Builder, fn: str, value: Value, alpha: float | None = None, beta: float | None = None) -> Value:
    """One of the op `activation`'s functions."""
    v = b.traced(value)
    if v.dtype not in FLOATS:
        raise UnsupportedModel(f"The model computes {fn} of {v.dtype} numbers: floats are needed.")
    name = b.add("activation", [v.name], v.dtype, v.row, fn=fn, alpha=alpha, beta=beta, dtype=v.dtype)
    return Traced(name, v.row, v.shape, v.dtype)


def _symbolic(fn: str, first: Known, second: Known) -> Known:
    """Arithmetic on known integers of which some depend on lengths."""
    a, c = np.broadcast_arrays(first.array.astype(object), second.array.astype(object))
    result = np.empty(a.shape, dtype=object)
    for place in np.ndindex(a.shape):
        result[place] = _number(SYMBOLIC[fn], a[place], c[place])
    if fn in COMPARISONS:
        return Known(result.astype(np.bool_), "bool")
    return known(result, first.dtype)


def _number(function: Callable[[Any, Any], Any], a: Dim | Any, c: Dim | Any) -> Any:
    return function(a if isinstance(a, Length) else int(a), c if isinstance(c, Length) else int(c))


def binary(b: Builder, fn: str, first: Value, second: Value) -> Value:
    """Arithmetic of two values: `add sub mul div min max pow mod`; integers as integers, divided towards zero."""
    if isinstance(first, Known) and isinstance(second, Known):
        if fn in SYMBOLIC and "bool" not in (first.dtype, second.dtype) and first.dtype not in FLOATS:
            return _symbolic(fn, first, second)
        first = b.traced(first)
    dtype = first.dtype
    x, y = b.traced(float_of(b, first)), b.traced(float_of(b, second))
    if fn == "pow" and x.dtype != y.dtype:
        y = b.traced(cast(b, y, x.dtype))
    if x.dtype != y.dtype:
        raise UnsupportedModel(f"The model computes {fn} of {x.dtype} and {y.dtype}, which ONNX does not allow.")
    if fn == "mod":
        return _back(b, _mod(b, x, y), dtype)
    result = _plain(b, fn, x, y)
    if fn == "div" and dtype not in FLOATS:
        result = unary(b, "trunc", result)
    return _back(b, result, dtype)


def _plain(b: Builder, fn: str, x: Traced, y: Traced) -> Traced:
    names, row, shape = b.joint([x, y])
    return Traced(b.add("binary", names, x.dtype, row, fn=fn, dtype=x.dtype), row, shape, x.dtype)


def _mod(b: Builder, x: Traced, y: Traced) -> Traced:
    """x - y floor(x / y): the sign of y, as ONNX has it for integers (and refuses for floats)."""
    whole = b.traced(unary(b, "floor", _plain(b, "div", x, y)))
    return _plain(b, "sub", x, _plain(b, "mul", y, whole))


def compare(b: Builder, fn: str, first: Value, second: Value) -> Value:
    """A comparison, which gives booleans."""
    if isinstance(first, Known) and isinstance(second, Known) and (first.symbolic or second.symbolic):
        return _symbolic(fn, first, second)
    x, y = b.traced(first), b.traced(second)
    names, row, shape = b.joint([x, y])
    dtype = x.dtype if x.dtype in FLOATS else None
    return Traced(b.add("binary", names, "bool", row, fn=fn, dtype=dtype), row, shape, "bool")


def logic(b: Builder, fn: str, first: Value, second: Value) -> Value:
    """`and`, `or`, `xor` of two booleans."""
    names, row, shape = b.joint([b.traced(first), b.traced(second)])
    return Traced(b.add("binary", names, "bool", row, fn=fn), row, shape, "bool")


def where(b: Builder, condition: Value, first: Value, second: Value) -> Value:
    """The first where the condition is true, else the second."""
    if isinstance(condition, Known) and isinstance(first, Known) and isinstance(second, Known):
        if first.symbolic or second.symbolic:
            return known(np.where(condition.array, first.array.astype(object), second.array.astype(object)), first.dtype)
        return Known(np.where(condition.array, first.array, second.array), first.dtype)
    if isinstance(condition, Known) and condition.array.size and condition.array.all() == condition.array.any():
        chosen = first if condition.array.all() else second
        shape = b.broadcast(b.broadcast(condition.shape, first.shape), second.shape)
        if same_row(chosen.shape, shape):
            return chosen
    parts = [b.traced(condition), b.traced(first), b.traced(second)]
    names, row, shape = b.joint(parts)
    return Traced(b.add("where", names, _carried(first.dtype), row), row, shape, first.dtype)


def clip(b: Builder, value: Value, low: Value | None, high: Value | None) -> Value:
    """Bounds as ONNX has them: not below low, then not above high; NaN stays."""
    if not (isinstance(low, Known | None) and isinstance(high, Known | None)) or value.dtype not in FLOATS:
        for fn, bound in (("max", low), ("min", high)):
            value = value if bound is None else binary(b, fn, value, bound)
        return value
    v = b.traced(value)
    bounds = {k: a.array.reshape(1).astype(NUMPY[v.dtype]) for k, a in (("min", low), ("max", high)) if a is not None}
    if "min" in bounds and "max" in bounds and bounds["min"][0] > bounds["max"][0]:
        bounds = {"min": bounds["max"], "max": bounds["max"]}
    if not bounds:
        return value
    if v.dtype == "f32" and set(bounds) == {"min"} and bounds["min"][0] == 0:
        return unary(b, "relu", v)
    name = b.add("clip", [v.name], v.dtype, v.row, dtype=v.dtype, **bounds)
    return Traced(name, v.row, v.shape, v.dtype)
