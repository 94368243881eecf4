"""Translations of the ops that compute element by element, and linear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.graph import FLOATS, ValueType
from modelport.ops.base import Attributes

from . import special
from .builder import Builder, Value
from .columns import per_column
from .lengths import align, unflattened
from .search import count_edges

__all__ = ["RULES", "product", "rounded"]

Array = np.ndarray[Any, np.dtype[Any]]


def rounded(a: Attributes, x: Value) -> Value:
    """x in the step's dtype."""
    return x.cast(a.get("dtype", "f64"))


# --- scale, clip --------------------------------------------------------------------------------------------------------------


def scale(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """((x - sub) / div) * mul + add, absent parts skipped."""
    y = rounded(a, x)
    if "sub" in a:
        y = y - per_column(a["sub"], x)
    if "div" in a:
        y = y / per_column(a["div"], x)
    if "mul" in a:
        y = y * per_column(a["mul"], x)
    if "add" in a:
        y = y + per_column(a["add"], x)
    finite = all(np.isfinite(a[name]).all() for name in ("sub", "div", "mul", "add") if name in a)
    nonzero = all(a[name].all() for name in ("div", "mul") if name in a)
    return replace(y, nan_free=x.nan_free and finite and nonzero)


def clip(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Bounds per column; NaN passes, and a bound that is NaN does nothing."""
    y = rounded(a, x)
    result = y
    if "max" in a:
        high = b.constant(per_column(a["max"], x))
        result = (y > high).where(high, y)
    if "min" in a:
        low = b.constant(per_column(a["min"], x))
        result = (y < low).where(low, result)
    return replace(result, nan_free=x.nan_free)


# --- unary --------------------------------------------------------------------------------------------------------------------


def trunc(x: Value) -> Value:
    """Towards zero; the sign of zero stays."""
    b = x.builder
    return (x < 0.0).where(b.op("Ceil", x), b.op("Floor", x))


def operator(kind: str) -> Callable[[Value], Value]:
    """The ONNX operator of that name."""
    return lambda x: x.builder.op(kind, x)


EXACT_UNARY: dict[str, Callable[[Value], Value]] = {
    "neg": operator("Neg"),
    "abs": operator("Abs"),
    "sign": lambda x: (x > 0.0).where(1.0, (x < 0.0).where(-1.0, operator("Abs")(x))),
    "sqrt": Value.sqrt,
    "square": lambda x: x * x,
    "reciprocal": operator("Reciprocal"),
    "floor": operator("Floor"),
    "ceil": operator("Ceil"),
    "round": operator("Round"),
    "trunc": trunc,
    "relu": lambda x: (x <= 0.0).where(0.0, x),
}
UNARY: dict[str, Callable[[Value], Value]] = {
    "exp": Value.exp,
    "expm1": special.expm1,
    "log": Value.log,
    "log1p": special.log1p,
    "log2": lambda x: x.log() / float(np.log(2.0)),
    "log10": lambda x: x.log() / float(np.log(10.0)),
    "sin": operator("Sin"),
    "cos": special.cos,
    "tan": special.tan,
    "arcsin": special.arcsin,
    "arccos": special.arccos,
    "arctan": special.arctan,
    "sinh": special.sinh,
    "cosh": special.cosh,
    "tanh": special.tanh,
    "sigmoid": special.sigmoid,
    "log_sigmoid": special.log_sigmoid,
    "softplus": special.softplus,
    "erf": special.erf,
    "norm_ppf": special.norm_ppf,
}
#: functions that a net leaves to the runtime's operators of f32
SINGLE_UNARY: dict[str, Callable[[Value], Value]] = {
    name: operator(kind)
    for name, kind in {
        "relu": "Relu",
        "exp": "Exp",
        "log": "Log",
        "sin": "Sin",
        "cos": "Cos",
        "tanh": "Tanh",
        "sigmoid": "Sigmoid",
        "softplus": "Softplus",
        "erf": "Erf",
    }.items()
}
#: functions that give NaN for NaN only
KEEPS_NUMBERS = {*EXACT_UNARY, "exp", "tanh", "sigmoid", "arctan", "erf"} - {"sqrt"}


def unary(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """One of the usual functions, element by element; those that are not exact are computed in f64 and rounded."""
    fn = a["fn"]
    if fn == "not":
        return ~x
    y = rounded(a, x)
    if b.net and y.dtype == "f32" and fn in SINGLE_UNARY:
        result = SINGLE_UNARY[fn](y)
    else:
        result = EXACT_UNARY[fn](y) if fn in EXACT_UNARY else rounded(a, UNARY[fn](y.cast("f64")))
    return replace(result, nan_free=x.nan_free and fn in KEEPS_NUMBERS)


# --- binary, where ------------------------------------------------------------------------------------------------------------


ARITHMETIC: dict[str, Callable[[Value, Value], Value]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "min": lambda x, y: ((x < y) | x.is_nan()).where(x, y),
    "max": lambda x, y: ((x > y) | x.is_nan()).where(x, y),
    "eq": lambda x, y: x.equals(y),
    "ne": lambda x, y: ~x.equals(y),
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "xor": lambda x, y: x ^ y,
}


def binary(b: Builder, a: Attributes, out: ValueType, x: Value, y: Value) -> Value:
    """Arithmetic, comparison or logic of two values."""
    x, y = b.broadcastable(x, y)
    if x.dtype in FLOATS:
        x, y = (rounded(a, v) for v in (x, y))
    x, y = align(len(out.shape), x, y)
    if a["fn"] == "pow" and b.net and y.dtype == "f32":
        return b.op("Pow", x, y)
    if a["fn"] == "pow":
        return rounded(a, b.op("Pow", x.cast("f64"), y.cast("f64")))
    result = ARITHMETIC[a["fn"]](x, y)
    return replace(result, nan_free=a["fn"] in ("min", "max") and x.nan_free and y.nan_free)


def where(b: Builder, a: Attributes, out: ValueType, condition: Value, x: Value, y: Value) -> Value:
    """The second value where the condition holds, else the third."""
    condition, x, y = align(len(out.shape), *b.broadcastable(condition, x, y))
    result = condition.where(x, y)
    bounds = None if x.bounds is None or y.bounds is None else (min(x.bounds[0], y.bounds[0]), max(x.bounds[1], y.bounds[1]))
    return replace(result, nan_free=x.nan_free and y.nan_free, bounds=bounds)


# --- linear, poly, interp -----------------------------------------------------------------------------------------------------


def linear(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """A matrix product along the last axis: in f64, or in a net's f32."""
    if x.shape == (0,):
        return rounded(a, b.repeat_row(a["bias"] if "bias" in a else np.zeros(out.width)))
    y, weight, bias = rounded(a, x).matrix(), a["weight"], a.get("bias")
    assert y.shape is not None
    if b.net and y.dtype == "f32":
        if len(y.shape) == 1:
            return b.op("Gemm", y, weight, bias, transB=1)
        z = b.op("MatMul", y, np.ascontiguousarray(weight.T))
        return z if bias is None else z + bias
    if len(y.shape) == 1:
        return rounded(a, product(y.cast("f64"), weight, bias))
    flat = y.cast("f64").reshape(-1, weight.shape[1])
    z = product(flat, weight, bias)
    if not y.free:
        return rounded(a, z.reshape(-1, *out.shape))
    leading = b.op("Shape", y, dtype="i64", start=0, end=len(y.shape))
    return rounded(a, b.op("Reshape", z, b.concat([leading, b.constant(np.array([len(weight)]))], axis=0)))


def product(x: Value, weight: Array, bias: Array | None = None) -> Value:
    """[N, o] = x [N, i] times weight [o, i] transposed, plus bias [o], in f64.

    Gemm and not MatMul: onnxruntime fuses MatMul with a neighbouring Mul or Div by one number, which it then holds in float32.
    """
    more = [] if bias is None else [bias.astype(np.float64)]
    return x.builder.op("Gemm", x, np.ascontiguousarray(weight, dtype=np.float64), *more, transB=1)


def poly(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Products of powers of columns, from the last factor to the first; missing factors are a column of ones at the end."""
    powers = a["powers"].astype(np.int64)
    width = powers.shape[1]
    degree = int(powers.sum(axis=1).max(initial=0))
    dtype = a.get("dtype", "f64")
    ones = b.repeat_row(np.ones(1)).cast(dtype)
    if degree == 0:
        return ones.gather(np.zeros(out.width, dtype=np.int64), axis=1)
    factors = np.full((len(powers), degree), width, dtype=np.int64)
    for k, term in enumerate(powers):
        columns = np.repeat(np.arange(width), term)[::-1]
        factors[k, : len(columns)] = columns
    extended = b.concat([rounded(a, x).matrix(), ones])
    result = extended.gather(factors[:, 0], axis=1)
    for position in range(1, degree):
        result = result * extended.gather(factors[:, position], axis=1)
    b.widens(2 * out.width)
    return result


def interp(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Piecewise linear through the knots; tables are indexed by the number of knots not above the element."""
    v, knots, values = rounded(a, x), a["x"], a["y"]
    last = len(knots) - 1
    if last == 0:
        inside = v.is_nan().where(v, b.constant(values.reshape(())))
    else:
        segment = np.clip(np.arange(last + 2) - 1, 0, last - 1)
        with np.errstate(all="ignore"):
            slope = np.diff(values) / np.diff(knots)
        count = count_edges(b, v.reshape(-1, 1), [knots], "right")
        count = unflattened(count, x)
        start, height, rise = (b.constant(table[segment]).gather(count) for table in (knots, values, slope))
        inside = v.equals(b.constant(knots[last])).where(b.constant(values[last]), rise * (v - start) + height)
    if a["outside"] == "extend":
        return inside
    below, above = (values[0], values[last]) if a["outside"] == "clip" else (np.nan, np.nan)
    low, high = (np.array(end, dtype=knots.dtype) for end in (below, above))
    bounded = (v > b.constant(knots[last])).where(b.constant(high), inside)
    return (v < b.constant(knots[0])).where(b.constant(low), bounded)


RULES: Mapping[str, Callable[..., Value]] = {
    "scale": scale,
    "clip": clip,
    "unary": unary,
    "binary": binary,
    "where": where,
    "linear": linear,
    "poly": poly,
    "interp": interp,
}
