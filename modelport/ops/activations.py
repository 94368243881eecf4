"""Ops of profile `nn` that bend values element by element: activation, prelu."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..graph import ValueType
from .arithmetic import sigmoid, softplus
from .base import ANY_RANK, Array, Attribute, Attributes, dear, finite, floating, lengths, register, require, round_to, wide
from .special import erf

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
GELU_TANH = 0.7978845608028654


def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where positive, else alpha expm1(x)."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def celu(x: Array, alpha: float) -> Array:
    """max(x, 0) + min(0, alpha expm1(x / alpha))."""
    return np.maximum(x, 0.0) + np.minimum(0.0, alpha * np.expm1(x / alpha))


def selu(x: Array) -> Array:
    """The self-normalizing elu."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def gelu(x: Array) -> Array:
    """x times the normal distribution function."""
    return x / 2 * (1.0 + erf(x / math.sqrt(2.0)))


def gelu_tanh(x: Array) -> Array:
    """gelu by tanh."""
    return x / 2 * (1.0 + np.tanh(GELU_TANH * (x + 0.044715 * x * x * x)))


def hard_sigmoid(x: Array, alpha: float = 1 / 6, beta: float = 0.5) -> Array:
    """alpha x + beta, within 0..1."""
    return np.minimum(1.0, np.maximum(0.0, alpha * x + beta))


def soft_shrink(x: Array, alpha: float) -> Array:
    """x pulled towards zero by alpha."""
    return np.where(x > alpha, x - alpha, np.where(x < -alpha, x + alpha, x * 0.0))


def threshold(x: Array, alpha: float, beta: float) -> Array:
    """x above alpha, else beta."""
    return np.where((x > alpha) | np.isnan(x), x, np.float64(beta))


#: fn -> the function, and the defaults of alpha and beta
ACTIVATIONS: dict[str, tuple[Callable[..., Array], tuple[float, ...]]] = {
    "elu": (elu, (1.0,)),
    "celu": (celu, (1.0,)),
    "selu": (selu, ()),
    "leaky_relu": (lambda x, alpha: np.where(x >= 0, x, alpha * x), (0.01,)),
    "gelu": (gelu, ()),
    "gelu_tanh": (gelu_tanh, ()),
    "quick_gelu": (lambda x, alpha: x * sigmoid(alpha * x), (1.702,)),
    "silu": (lambda x: x * sigmoid(x), ()),
    "hard_sigmoid": (hard_sigmoid, (1 / 6, 0.5)),
    "hard_swish": (lambda x: x * np.minimum(1.0, np.maximum(0.0, x / 6 + 0.5)), ()),
    "softsign": (lambda x: x / (1.0 + np.abs(x)), ()),
    "mish": (lambda x: x * np.tanh(softplus(x)), ()),
    "tanh_shrink": (lambda x: x - np.tanh(x), ()),
    "hard_shrink": (lambda x, alpha: np.where((np.abs(x) > alpha) | np.isnan(x), x, 0.0), (0.5,)),
    "soft_shrink": (soft_shrink, (0.5,)),
    "threshold": (threshold, (0.0, 0.0)),
    "squareplus": (lambda x, alpha: (x + np.sqrt(x * x + alpha)) / 2, (4.0,)),
}


def infer_activation(a: Attributes, x: ValueType) -> ValueType:
    floating(x)
    taken = len(ACTIVATIONS[a["fn"]][1])
    for place, name in enumerate(("alpha", "beta")):
        require(name not in a or place < taken, f"attribute {name!r} does not go with {a['fn']!r}.")
    finite(a, "alpha", "beta")
    require(a["fn"] != "celu" or a.get("alpha", 1.0) != 0, "attribute 'alpha' of 'celu' is 0, by which it divides.")
    return ValueType(a["dtype"], x.shape)


def activation(a: Attributes, x: Array) -> Array:
    """One of the usual activations, element by element, in f64."""
    function, defaults = ACTIVATIONS[a["fn"]]
    given = [a.get(name, default) for name, default in zip(("alpha", "beta"), defaults, strict=False)]
    with np.errstate(all="ignore"):
        return round_to(a, function(wide(round_to(a, x)), *given))


def infer_prelu(a: Attributes, x: ValueType) -> ValueType:
    floating(x)
    lengths(x)
    slope = a["slope"].shape
    fits = len(slope) <= len(x.shape) and all(
        n in (1, m) for n, m in zip(slope, x.shape[len(x.shape) - len(slope) :], strict=True)
    )
    require(fits, f"attribute 'slope' of shape {list(slope)} does not broadcast to {x}.")
    return ValueType(a["dtype"], x.shape)


def prelu(a: Attributes, x: Array) -> Array:
    """x where not negative, else slope * x."""
    y = wide(round_to(a, x))
    with np.errstate(all="ignore"):
        return round_to(a, np.where(y >= 0, y, wide(a["slope"]) * y))


register(
    "activation",
    infer_activation,
    activation,
    floating=True,
    exact=False,
    since="1.1",
    cost=dear,
    fn=Attribute("choice", required=True, options=tuple(ACTIVATIONS)),
    alpha=Attribute("number"),
    beta=Attribute("number"),
)
register(
    "prelu", infer_prelu, prelu, floating=True, exact=False, since="1.1", slope=Attribute("float", required=True, ranks=ANY_RANK)
)
