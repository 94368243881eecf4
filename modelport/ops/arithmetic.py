"""Ops that compute element by element, and linear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import FLOATS, ValueType
from .base import (
    Array,
    Attribute,
    Attributes,
    align,
    broadcast,
    dear,
    floating,
    last_axis,
    length,
    lines,
    per_column,
    products,
    register,
    require,
    round_to,
    row,
    rows,
    wide,
)
from .special import erf, norm_ppf

Function = Callable[[Array], Array]


# --- scale, clip --------------------------------------------------------------------------------------------------------------


def infer_scale(a: Attributes, x: ValueType) -> ValueType:
    width = last_axis(x)
    for name in ("sub", "div", "mul", "add"):
        per_column(a, name, width)
    return ValueType(a["dtype"], x.shape)


def scale(a: Attributes, x: Array) -> Array:
    """((x - sub) / div) * mul + add, absent parts skipped."""
    y = lines(round_to(a, x))
    with np.errstate(all="ignore"):
        if "sub" in a:
            y = y - a["sub"]
        if "div" in a:
            y = y / a["div"]
        if "mul" in a:
            y = y * a["mul"]
        if "add" in a:
            y = y + a["add"]
    return np.asarray(y).reshape(x.shape)


def infer_clip(a: Attributes, x: ValueType) -> ValueType:
    width = last_axis(x)
    per_column(a, "min", width)
    per_column(a, "max", width)
    return ValueType(a["dtype"], x.shape)


def clip(a: Attributes, x: Array) -> Array:
    """Bounds per column; NaN passes."""
    y = lines(round_to(a, x))
    low, high = a.get("min", y), a.get("max", y)
    return np.where(y < low, low, np.where(y > high, high, y)).reshape(x.shape)


PER_COLUMN = Attribute("float")
register(
    "scale",
    infer_scale,
    scale,
    floating=True,
    sub=PER_COLUMN,
    div=PER_COLUMN,
    mul=PER_COLUMN,
    add=PER_COLUMN,
)
register("clip", infer_clip, clip, floating=True, min=PER_COLUMN, max=PER_COLUMN)


# --- unary --------------------------------------------------------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)): where exp overflows the quotient is 0. The bits are those of SciPy's expit, where exp has them."""
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)))


def log_sigmoid(x: Array) -> Array:
    """log(sigmoid(x)) without overflow."""
    return np.where(x >= 0, -np.log1p(np.exp(-np.abs(x))), x - np.log1p(np.exp(-np.abs(x))))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def relu(x: Array) -> Array:
    """x where positive, else 0.0; NaN passes."""
    return np.where(np.isnan(x) | (x > 0), x, np.zeros_like(x))


def sign(x: Array) -> Array:
    """-1.0, 0.0 or 1.0; NaN passes."""
    return np.sign(x) + 0.0


EXACT_UNARY: dict[str, Function] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": sign,
    "sqrt": np.sqrt,
    "square": np.square,
    "reciprocal": lambda x: np.asarray(1.0 / x, dtype=x.dtype),
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "relu": relu,
}
UNARY: dict[str, Function] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "log_sigmoid": log_sigmoid,
    "softplus": softplus,
    "erf": erf,
    "norm_ppf": norm_ppf,
}


def infer_unary(a: Attributes, x: ValueType) -> ValueType:
    if a["fn"] == "not":
        require(x.dtype == "bool", f"'not' reads bool, but is given {x}.")
        return x
    floating(x)
    return ValueType(a["dtype"], x.shape)


def unary(a: Attributes, x: Array) -> Array:
    """One of the usual functions, element by element."""
    if a["fn"] == "not":
        return ~x
    y = round_to(a, x)
    with np.errstate(all="ignore"):
        exact = EXACT_UNARY.get(a["fn"])
        return exact(y) if exact else round_to(a, UNARY[a["fn"]](wide(y)))


register(
    "unary",
    infer_unary,
    unary,
    floating=True,
    exact=lambda a: a["fn"] not in UNARY,
    cost=lambda a, *types: dear(a, *types) if a["fn"] in UNARY else 0,
    fn=Attribute("choice", required=True, options=(*EXACT_UNARY, "not", *UNARY)),
)


# --- binary, where ------------------------------------------------------------------------------------------------------------

ARITHMETIC: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": np.minimum,
    "max": np.maximum,
    "pow": np.power,
}
COMPARISONS: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
LOGIC: dict[str, Callable[[Array, Array], Array]] = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def infer_binary(a: Attributes, x: ValueType, y: ValueType) -> ValueType:
    fn, shape = a["fn"], broadcast(x, y)
    if fn in LOGIC:
        require(x.dtype == y.dtype == "bool", f"{fn!r} reads two bool values, but is given {x} and {y}.")
        return ValueType("bool", shape)
    floats = x.dtype in FLOATS and y.dtype in FLOATS
    if fn in COMPARISONS:
        same = x.dtype == y.dtype and (x.dtype == "i64" or (x.dtype in ("bool", "str") and fn in ("eq", "ne")))
        require(floats or same, f"{fn!r} cannot compare {x} with {y}; a cast step is needed.")
        return ValueType("bool", shape)
    require(floats, f"{fn!r} reads two float values, but is given {x} and {y}; a cast step is needed.")
    return ValueType(a["dtype"], shape)


def binary(a: Attributes, x: Array, y: Array) -> Array:
    """Arithmetic, comparison or logic of two values."""
    fn = a["fn"]
    if fn not in LOGIC and x.dtype.kind == "f":
        x, y = round_to(a, x), round_to(a, y)
    x, y = align(x, y)
    if fn in LOGIC:
        return np.asarray(LOGIC[fn](x, y))
    if fn in COMPARISONS:
        return np.asarray(COMPARISONS[fn](x, y)).astype(bool)
    with np.errstate(all="ignore"):
        if fn == "pow":
            return round_to(a, np.power(wide(x), wide(y)))
        return np.asarray(ARITHMETIC[fn](x, y))


def infer_where(a: Attributes, condition: ValueType, x: ValueType, y: ValueType) -> ValueType:
    require(condition.dtype == "bool", f"its first value is bool, but is given {condition}.")
    require(x.dtype == y.dtype, f"it chooses between values of one dtype, but is given {x} and {y}.")
    return ValueType(x.dtype, broadcast(condition, x, y))


def where(a: Attributes, condition: Array, x: Array, y: Array) -> Array:
    """The second value where the condition holds, else the third."""
    return np.where(*align(condition, x, y))


register(
    "binary",
    infer_binary,
    binary,
    inputs=(2, 2),
    floating=True,
    exact=lambda a: a["fn"] != "pow",
    cost=lambda a, *types: dear(a, *types) if a["fn"] == "pow" else 0,
    strings=lambda a, x, y, result: result.counted if x.dtype == "str" else 0,
    fn=Attribute("choice", required=True, options=(*ARITHMETIC, *COMPARISONS, *LOGIC)),
)
register("where", infer_where, where, inputs=(3, 3))


# --- linear, poly, interp -----------------------------------------------------------------------------------------------------


#: the sums of weights of more elements, and those of sequences, are taken in the order that suits the machine
EXACT_WEIGHTS = 1 << 16


def infer_linear(a: Attributes, x: ValueType) -> ValueType:
    width, weight = last_axis(x), a["weight"]
    require(weight.shape[1] == width, f"attribute 'weight' has {weight.shape[1]} columns for a row of {width}.")
    length(a, "bias", weight.shape[0])
    return ValueType(a["dtype"], (*x.shape[:-1], weight.shape[0]))


def linear(a: Attributes, x: Array) -> Array:
    """sum_j x_j * weight[k][j] in ascending j, in f64, then + bias[k]."""
    weight, y = wide(a["weight"]), wide(lines(round_to(a, x)))
    with np.errstate(all="ignore"):
        total = products(y, weight) if x.ndim <= 2 and weight.size <= EXACT_WEIGHTS else y @ weight.T
        if "bias" in a:
            total += wide(a["bias"])
    return round_to(a, total).reshape(*(x.shape[:-1] if x.ndim > 1 else x.shape), len(weight))


def infer_poly(a: Attributes, x: ValueType) -> ValueType:
    width, powers = row(x), a["powers"]
    require(powers.shape[1] == width, f"attribute 'powers' has {powers.shape[1]} columns for a row of {width}.")
    require(powers.size == 0 or (powers.min() >= 0 and powers.max() <= 255), "attribute 'powers' leaves 0..255.")
    return ValueType(a["dtype"], (powers.shape[0],))


def poly(a: Attributes, x: Array) -> Array:
    """Products of powers of columns, multiplied from the last factor to the first."""
    y, powers = rows(round_to(a, x)), a["powers"]
    result = np.ones((len(y), len(powers)), dtype=y.dtype)
    with np.errstate(all="ignore"):
        for k, term in enumerate(powers):
            factors = np.repeat(np.arange(len(term)), term)[::-1]
            for position, j in enumerate(factors):
                result[:, k] = y[:, j] if position == 0 else result[:, k] * y[:, j]
    return result


def infer_interp(a: Attributes, x: ValueType) -> ValueType:
    floating(x)
    knots = a["x"]
    require(knots.size >= 1, "attribute 'x' has no knot.")
    length(a, "y", knots.size)
    require(bool(np.all(knots[1:] > knots[:-1])) and bool(np.isfinite(knots).all()), "the knots 'x' do not ascend strictly.")
    require(bool(np.isfinite(a["y"]).all()), "attribute 'y' holds a value that is not finite.")
    require(a["outside"] != "extend" or knots.size >= 2, "outside='extend' needs at least two knots.")
    return ValueType(a["dtype"], x.shape)


def interp(a: Attributes, x: Array) -> Array:
    """Piecewise linear through the knots."""
    v, knots, values = round_to(a, x), a["x"], a["y"]
    last = len(knots) - 1
    if last == 0:
        inside = np.where(np.isnan(v), v, values[0])
    else:
        i = np.clip(np.searchsorted(knots, v, side="right") - 1, 0, last - 1)
        with np.errstate(all="ignore"):
            slope = (values[i + 1] - values[i]) / (knots[i + 1] - knots[i])
            inside = slope * (v - knots[i]) + values[i]
        inside = np.where(v == knots[last], values[last], inside)
    if a["outside"] == "extend":
        return np.asarray(inside)
    below, above = (values[0], values[last]) if a["outside"] == "clip" else (np.nan, np.nan)
    return np.where(v < knots[0], below, np.where(v > knots[last], above, inside)).astype(v.dtype)


register(
    "linear",
    infer_linear,
    linear,
    floating=True,
    exact=False,
    cost=lambda a, x, result: result.width * a["weight"].shape[1],
    weight=Attribute("float", required=True, ranks=(2,)),
    bias=Attribute("float"),
)
register(
    "poly",
    infer_poly,
    poly,
    floating=True,
    cost=lambda a, *types: int(a["powers"].sum()),
    powers=Attribute("int", required=True, ranks=(2,)),
)
register(
    "interp",
    infer_interp,
    interp,
    floating=True,
    exact=False,
    cost=dear,
    x=Attribute("float", required=True),
    y=Attribute("float", required=True),
    outside=Attribute("choice", required=True, options=("clip", "nan", "extend")),
)
