"""Ops of profile `nn` that normalize: by stored statistics, by those of the last axes, by those of groups of channels."""

from __future__ import annotations

import math

import numpy as np

from ..graph import LIMITS, ValueType
from .base import Array, Attribute, Attributes, finite, floating, length, lengths, register, require, round_to, wide

EPS = Attribute("number", required=True)
PER_CHANNEL = Attribute("float")


def _channels(x: ValueType) -> int:
    floating(x)
    lengths(x)
    require(len(x.shape) >= 1, f"it reads values of rank 1 or more, but is given {x}.")
    return x.shape[0]


def _beside(parameter: Array, rank: int) -> Array:
    """A parameter per channel [c], in f64, for values [n, c, ..] of a rank."""
    return wide(parameter).reshape(-1, *[1] * (rank - 2))


def _affine(a: Attributes, y: Array) -> Array:
    """y * scale + bias per channel, absent parts skipped; y is [n, c, ..]."""
    if "scale" in a:
        y = y * _beside(a["scale"], y.ndim)
    return y + _beside(a["bias"], y.ndim) if "bias" in a else y


def _standardized(y: Array, eps: float, center: bool = True) -> Array:
    """The last axis less its mean, divided by the root of its variance + eps."""
    centered = y - y.mean(axis=-1, keepdims=True) if center else y
    return np.asarray(centered / np.sqrt(np.square(centered).mean(axis=-1, keepdims=True) + eps))


# --- batch_norm ---------------------------------------------------------------------------------------------------------------


def infer_batch_norm(a: Attributes, x: ValueType) -> ValueType:
    channels = _channels(x)
    for name in ("mean", "var", "scale", "bias"):
        length(a, name, channels)
    finite(a, "eps")
    return ValueType(a["dtype"], x.shape)


def batch_norm(a: Attributes, x: Array) -> Array:
    """(x - mean) / sqrt(var + eps) * scale + bias, per channel."""
    y = wide(round_to(a, x))
    with np.errstate(all="ignore"):
        y = (y - _beside(a["mean"], y.ndim)) / np.sqrt(_beside(a["var"], y.ndim) + a["eps"])
        return round_to(a, _affine(a, y))


register(
    "batch_norm",
    infer_batch_norm,
    batch_norm,
    floating=True,
    exact=False,
    since="1.1",
    mean=Attribute("float", required=True),
    var=Attribute("float", required=True),
    scale=PER_CHANNEL,
    bias=PER_CHANNEL,
    eps=EPS,
)


# --- layer_norm, group_norm ---------------------------------------------------------------------------------------------------


def infer_layer_norm(a: Attributes, x: ValueType) -> ValueType:
    floating(x)
    lengths(x)
    axes = a["axes"]
    require(1 <= axes <= len(x.shape), f"attribute 'axes' is {axes}, but it is given {x}.")
    for name in ("scale", "bias"):
        fits = name not in a or a[name].shape == x.shape[-axes:]
        require(fits, f"attribute {name!r} is not of the shape {list(x.shape[-axes:])} of the last axes.")
    finite(a, "eps")
    return ValueType(a["dtype"], x.shape)


def layer_norm(a: Attributes, x: Array) -> Array:
    """(x - m) / sqrt(v + eps) * scale + bias over the last axes."""
    last = x.shape[-a["axes"] :]
    y = wide(round_to(a, x)).reshape(*x.shape[: x.ndim - len(last)], math.prod(last))
    with np.errstate(all="ignore"):
        y = _standardized(y, a["eps"], a["center"])
        if "scale" in a:
            y = y * wide(a["scale"]).reshape(-1)
        if "bias" in a:
            y = y + wide(a["bias"]).reshape(-1)
        return round_to(a, y.reshape(x.shape))


def infer_group_norm(a: Attributes, x: ValueType) -> ValueType:
    channels, groups = _channels(x), a["groups"]
    require(groups >= 1 and channels % groups == 0, f"attribute 'groups' is {groups}, which does not divide {channels} channels.")
    for name in ("scale", "bias"):
        length(a, name, channels)
    finite(a, "eps")
    return ValueType(a["dtype"], x.shape)


def group_norm(a: Attributes, x: Array) -> Array:
    """Groups of neighbouring channels, each with all its elements, less their mean and by their deviation."""
    y = wide(round_to(a, x)).reshape(len(x), a["groups"], math.prod(x.shape[1:]) // a["groups"])
    with np.errstate(all="ignore"):
        return round_to(a, _affine(a, _standardized(y, a["eps"]).reshape(x.shape)))


SHAPED = Attribute("float", ranks=tuple(range(1, LIMITS.rank + 1)))
register(
    "layer_norm",
    infer_layer_norm,
    layer_norm,
    floating=True,
    exact=False,
    since="1.1",
    axes=Attribute("integer", default=1),
    scale=SHAPED,
    bias=SHAPED,
    eps=EPS,
    center=Attribute("flag", default=True),
)
register(
    "group_norm",
    infer_group_norm,
    group_norm,
    floating=True,
    exact=False,
    since="1.1",
    groups=Attribute("integer", required=True),
    scale=PER_CHANNEL,
    bias=PER_CHANNEL,
    eps=EPS,
)
