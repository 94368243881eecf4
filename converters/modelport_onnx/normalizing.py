"""Translations of batch_norm, layer_norm and group_norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from modelport.graph import DTYPES, ValueType
from modelport.ops.base import Attributes

from .arithmetic import rounded
from .builder import Builder, Value
from .lengths import like, shaped

__all__ = ["RULES"]

Array = np.ndarray[Any, np.dtype[Any]]


def per_channel(values: Array, out: ValueType) -> Array:
    """[c] so that it broadcasts against rows [c, ..]."""
    return np.ascontiguousarray(values.reshape(-1, *(1 for _ in out.shape[1:])))


def scaled(a: Attributes, y: Value, out: ValueType) -> Value:
    """scale and bias, per channel."""
    if "scale" in a:
        y = y * per_channel(a["scale"], out)
    return y + per_channel(a["bias"], out) if "bias" in a else y


def batch_norm(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """(x - mean) / sqrt(var + eps) * scale + bias, per channel."""
    y, dtype = rounded(a, x), DTYPES[out.dtype]
    if out.dtype == "f32":
        count = len(a["mean"])
        scale, bias = a.get("scale", np.ones(count, dtype)), a.get("bias", np.zeros(count, dtype))
        return b.op("BatchNormalization", y, scale, bias, a["mean"], a["var"], epsilon=float(a["eps"]))
    spread = np.sqrt(a["var"] + a["eps"])
    return scaled(a, (y - per_channel(a["mean"], out)) / per_channel(spread, out), out)


def layer_norm(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Over the last axes: (x - m) / sqrt(v + eps) * scale + bias."""
    y, count, scale, bias = rounded(a, x), a["axes"], a.get("scale"), a.get("bias")
    native = b.target.exact_norms and out.dtype == "f32" and a["center"]
    if not native or (scale is None and x.free):
        return _standardized(y, count, a["center"], a["eps"], scale, bias)
    ones = np.ones(out.shape[len(out.shape) - count :], np.float32)
    return b.op("LayerNormalization", y, ones if scale is None else scale, bias, axis=-count, epsilon=float(a["eps"]))


def _standardized(
    y: Value, count: int, centred: bool, eps: float, scale: Array | None = None, bias: Array | None = None
) -> Value:
    axes = range(-count, 0)
    gap = y - mean(y, axes) if centred else y
    if centred and y.dtype == "f32":  # the rounding of the mean is much where all elements are nearly the same
        gap = gap - mean(gap, axes)
    result = gap / (mean(gap * gap, axes) + float(eps)).sqrt()
    result = result if scale is None else result * scale
    return result if bias is None else result + bias


def mean(y: Value, axes: range) -> Value:
    """The mean over axes, which stay with length 1."""
    return y.reduce("Mean", list(axes), keep=True)


def group_norm(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """As layer_norm over groups of neighbouring channels, then scale and bias per channel."""
    y = rounded(a, x)
    grouped = shaped(y, [a["groups"], -1])
    return scaled(a, like(_standardized(grouped, 1, True, a["eps"]), y), out)


RULES: Mapping[str, Callable[..., Value]] = {"batch_norm": batch_norm, "layer_norm": layer_norm, "group_norm": group_norm}
