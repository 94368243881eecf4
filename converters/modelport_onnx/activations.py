"""Translations of activation and prelu, and the functions that recurrences use.

In f32 the runtime's own operators compute, where it has them. Everything else is composed and computed in f64, then rounded: so
are functions with a jump, where an f32 bound would lie elsewhere than the f64 one that the format means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from modelport.graph import ValueType
from modelport.ops.base import Attributes

from . import special
from .arithmetic import operator, rounded
from .builder import Builder, Value

__all__ = ["GATES", "RULES", "apply"]

Function = Callable[..., Value]
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
SQRT_2_OVER_PI = 0.7978845608028654


def _tanh(x: Value) -> Value:
    return x.builder.op("Tanh", x) if x.dtype == "f32" else special.tanh(x)


def _sigmoid(x: Value) -> Value:
    return x.builder.op("Sigmoid", x) if x.dtype == "f32" else special.sigmoid(x)


def _erf(x: Value) -> Value:
    return x.builder.op("Erf", x) if x.dtype == "f32" else special.erf(x)


def _softplus(x: Value) -> Value:
    return x.builder.op("Softplus", x) if x.dtype == "f32" else special.softplus(x)


def gelu(x: Value) -> Value:
    """x/2 (1 + erf(x / sqrt 2))."""
    return 0.5 * x * (1.0 + _erf(x * math.sqrt(0.5)))


def gelu_tanh(x: Value) -> Value:
    """x/2 (1 + tanh(c (x + 0.044715 x^3)))."""
    return 0.5 * x * (1.0 + _tanh(SQRT_2_OVER_PI * (x + 0.044715 * (x * x * x))))


def quick_gelu(x: Value, alpha: float = 1.702) -> Value:
    """x sigmoid(alpha x)."""
    return x * _sigmoid(x * alpha)


def silu(x: Value) -> Value:
    """x sigmoid(x)."""
    return x * _sigmoid(x)


def mish(x: Value) -> Value:
    """x tanh(softplus(x))."""
    return x * _tanh(_softplus(x))


#: functions of f32 values that the runtime's own operators make up
SINGLE: Mapping[str, Function] = {
    "elu": lambda x, alpha=1.0: x.builder.op("Elu", x, alpha=float(alpha)),
    "selu": operator("Selu"),
    "leaky_relu": lambda x, alpha=0.01: x.builder.op("LeakyRelu", x, alpha=float(alpha)),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "silu": silu,
    "hard_sigmoid": lambda x, alpha=1 / 6, beta=0.5: x.builder.op("HardSigmoid", x, alpha=float(alpha), beta=float(beta)),
    "hard_swish": operator("HardSwish"),
    "softsign": operator("Softsign"),
    "mish": mish,
}


def elu(x: Value, alpha: float = 1.0) -> Value:
    """x > 0 ? x : alpha expm1(x)."""
    return (x > 0.0).where(x, alpha * special.expm1(x))


def hard_sigmoid(x: Value, alpha: float = 1 / 6, beta: float = 0.5) -> Value:
    """alpha x + beta, between 0 and 1."""
    y = x * alpha + beta
    return (y < 0.0).where(0.0, (y > 1.0).where(1.0, y))


def hard_swish(x: Value) -> Value:
    """x times hard_sigmoid, whose slope is a division by 6."""
    y = x / 6.0 + 0.5
    return x * (y < 0.0).where(0.0, (y > 1.0).where(1.0, y))


def celu(x: Value, alpha: float = 1.0) -> Value:
    """max(x, 0) + min(0, alpha expm1(x / alpha))."""
    return (x > 0.0).where(x, alpha * special.expm1(x / alpha))


def hard_shrink(x: Value, alpha: float = 0.5) -> Value:
    """|x| > alpha ? x : 0."""
    return (x.abs() <= alpha).where(0.0, x)


def soft_shrink(x: Value, alpha: float = 0.5) -> Value:
    """Moved towards 0 by alpha."""
    inside = (x >= -alpha).where(0.0, x + alpha)
    return x.is_nan().where(x, (x > alpha).where(x - alpha, inside))


def threshold(x: Value, alpha: float = 0.0, beta: float = 0.0) -> Value:
    """x > alpha ? x : beta."""
    return (x <= alpha).where(beta, x)


def squareplus(x: Value, alpha: float = 4.0) -> Value:
    """(x + sqrt(x^2 + alpha)) / 2."""
    return (x + (x * x + alpha).sqrt()) * 0.5


#: the same functions, and the others, of f64 values
DOUBLE: Mapping[str, Function] = {
    "elu": elu,
    "celu": celu,
    "selu": lambda x: SELU_SCALE * (x > 0.0).where(x, SELU_ALPHA * special.expm1(x)),
    "leaky_relu": lambda x, alpha=0.01: (x >= 0.0).where(x, x * alpha),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "silu": silu,
    "hard_sigmoid": hard_sigmoid,
    "hard_swish": hard_swish,
    "softsign": lambda x: x / (1.0 + x.abs()),
    "mish": mish,
    "tanh_shrink": lambda x: x - special.tanh(x),
    "hard_shrink": hard_shrink,
    "soft_shrink": soft_shrink,
    "threshold": threshold,
    "squareplus": squareplus,
}


def apply(fn: str, x: Value, **numbers: float) -> Value:
    """A function of an f32 or f64 value, in its dtype."""
    if x.dtype == "f32" and fn in SINGLE:
        return SINGLE[fn](x, **numbers)
    return DOUBLE[fn](x.cast("f64"), **numbers).cast(x.dtype)


def activation(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """One of the usual functions between layers."""
    return apply(a["fn"], rounded(a, x), **{name: float(a[name]) for name in ("alpha", "beta") if name in a})


def prelu(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """x where it is not negative, else slope times x."""
    y, slope = rounded(a, x), a["slope"]
    if y.dtype == "f32":
        return b.op("PRelu", y, slope)
    return (y >= 0.0).where(y, y * slope)


#: what the gates of recurrences are put through
GATES: Mapping[str, Function] = {
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "relu": lambda x: (x <= 0.0).where(0.0, x),
    "hard_sigmoid": lambda x: apply("hard_sigmoid", x),
    "linear": lambda x: x,
    "softsign": lambda x: apply("softsign", x),
    "silu": silu,
    "elu": lambda x: apply("elu", x),
    "selu": lambda x: apply("selu", x),
    "softplus": _softplus,
    "gelu": gelu,
}
RULES: Mapping[str, Callable[..., Value]] = {"activation": activation, "prelu": prelu}
