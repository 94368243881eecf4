"""Normalization layers, by batch statistics, by row, by group, and of inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.errors import NotFitted, UnsupportedModel
from modelport.graph import DTYPES

from ..builder import Value
from ..live import keras, numbers
from ..network import Array, Layer
from ..registry import keras_layer
from ..walking import Walker

#: keras.config.epsilon(), as it is unless somebody changes it
EPSILON = 1e-7


def _scale_and_bias(layer: Layer, *more: str) -> tuple[Array | None, Array | None, list[Array]]:
    """gamma and beta where the layer has them, and further weights."""
    scale, center = layer.get("scale", True), layer.get("center", True)
    names = [*(["gamma"] if scale else []), *(["beta"] if center else [])]
    arrays = layer.take(*names, *more)
    gamma = arrays.pop(0) if scale else None
    beta = arrays.pop(0) if center else None
    return gamma, beta, arrays


def axis_of(layer: Layer, value: Value, axis: int) -> int:
    """An axis that counts the batch as one that does not."""
    place = axis - 1 if axis > 0 else axis + value.rank
    if axis == 0 or not 0 <= place < value.rank:
        raise layer.refuse("axis", f"is {axis}, the batch or no axis of the rows: a step does not mix rows.")
    return place


@keras_layer("BatchNormalization")
def batch_normalization(walker: Walker, layer: Layer, inputs: Any, mask: Any = None) -> Value:
    value = walker.floats(layer, inputs)
    layer.demand("renorm", False, instead="batch renormalization answers from other statistics.")
    layer.waive("momentum", "synchronized", "renorm_clipping", "renorm_momentum", "virtual_batch_size")
    axis = layer["axis"]
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    gamma, beta, (mean, variance) = _scale_and_bias(layer, "moving_mean", "moving_variance")
    name, order = value.first(axis_of(layer, value, axis))
    made = walker.net.add("batch_norm", name, mean=mean, var=variance, scale=gamma, bias=beta, eps=layer["epsilon"])
    return walker.net.value(made, order)


def _axes(layer: Layer, value: Value) -> list[int]:
    axis = layer["axis"]
    return sorted(axis_of(layer, value, int(a)) for a in (axis if isinstance(axis, (list, tuple)) else [axis]))


@keras_layer("LayerNormalization")
def layer_normalization(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.floats(layer, inputs)
    axes = _axes(layer, value)
    if layer.get("rms_scaling", False):
        layer.waive("center")
        gamma = layer.take("gamma")[0] if layer["scale"] else None
        return _by_deviation(walker, value, axes, gamma, layer["epsilon"])
    gamma, beta, _ = _scale_and_bias(layer)
    return _normalized(walker, value, axes, gamma, beta, layer["epsilon"], True)


@keras_layer("RMSNormalization", masking=False)
def rms_normalization(walker: Walker, layer: Layer, x: Any) -> Value:
    value = walker.floats(layer, x)
    (scale,) = layer.take("scale")
    return _normalized(walker, value, _axes(layer, value), scale, None, layer["epsilon"], False)


def _normalized(
    walker: Walker, value: Value, axes: list[int], scale: Array | None, bias: Array | None, eps: float, center: bool
) -> Value:
    """Over some axes, which are brought to the end."""
    order = (*(k for k in range(value.rank) if k not in axes), *axes)
    name = value.form(order)
    if any(value.shape[k] is None for k in axes):
        if scale is not None or bias is not None:
            raise UnsupportedModel("A normalization with weights over an axis of any length is not read.")
        scale = bias = None
    made = walker.net.add("layer_norm", name, axes=len(axes), scale=scale, bias=bias, eps=eps, center=None if center else False)
    return walker.net.value(made, order)


def _by_deviation(walker: Walker, value: Value, axes: list[int], scale: Array | None, eps: float) -> Value:
    """What Keras calls rms_scaling: divided by the standard deviation, but not centered."""
    net = walker.net
    order = (*(k for k in range(value.rank) if k not in axes), *axes)
    name = value.form(order)
    last = list(range(value.rank - len(axes), value.rank))
    mean = net.add("reduce", name, fn="mean", axes=last, keep=True)
    squares = net.add("unary", net.add("binary", name, mean, fn="sub"), fn="square")
    deviation = net.add(
        "unary", net.add("scale", net.add("reduce", squares, fn="mean", axes=last, keep=True), add=[eps]), fn="sqrt"
    )
    made = net.add("binary", name, deviation, fn="div")
    if scale is not None:
        made = net.add("binary", made, net.constant(scale, value.dtype), fn="mul")
    return net.value(made, order)


@keras_layer("GroupNormalization")
def group_normalization(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.floats(layer, inputs)
    place = axis_of(layer, value, int(layer["axis"]))
    gamma, beta, _ = _scale_and_bias(layer)
    groups = int(layer["groups"])
    channels = value.shape[place]
    if channels is None:
        raise layer.refuse("axis", "is an axis of any length, which cannot be put in groups.")
    name, order = value.first(place)
    made = walker.net.add(
        "group_norm", name, groups=channels if groups == -1 else groups, scale=gamma, bias=beta, eps=layer["epsilon"]
    )
    return walker.net.value(made, order)


@keras_layer("UnitNormalization")
def unit_normalization(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.floats(layer, inputs)
    axes = _axes(layer, value)
    net = walker.net
    places = sorted(value.main.index(k) for k in axes)
    length = net.add("reduce", value.name, fn="l2", axes=places, keep=True)
    made = net.add("binary", value.name, net.add("clip", length, min_=[1e-12]), fn="div")
    return net.value(made, value.main)


@keras_layer("SpectralNormalization", masking=False)
def spectral(walker: Walker, layer: Layer, inputs: Any) -> Any:
    layer.waive("power_iterations")  # at inference the weights are as they were left
    return walker.layer(layer.child(layer["layer"], "layer"), inputs)


@keras_layer("Normalization")
def normalization(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.floats(layer, inputs)
    axis = layer["axis"]
    kept = sorted(axis_of(layer, value, int(a)) for a in ([axis] if isinstance(axis, int) else axis))
    given, variance = layer["mean"], layer["variance"]
    if layer.live is not None:
        mean, variance = _in_use(layer)
    elif given is None:
        mean, variance, _ = layer.take("mean", "variance", "count")
    else:
        mean, variance = _plain(given), _plain(variance)
    dtype = DTYPES[value.dtype]
    mean, variance = mean.astype(dtype), variance.astype(dtype)
    smallest = EPSILON if layer.live is None else keras().config.epsilon()
    spread = np.maximum(np.sqrt(variance), dtype.type(smallest))
    net = walker.net
    if (mean.ndim <= 1 and kept[-1:] == [value.rank - 1] and value.main == tuple(range(value.rank))) or mean.size == 1:
        mean, spread = mean.reshape(-1), spread.reshape(-1)
        attributes = {"mul": spread, "add": mean} if layer["invert"] else {"sub": mean, "div": spread}
        return net.apply(value, "scale", **attributes)
    shape = [1] * value.rank
    for i in range(1, mean.ndim + 1):
        shape[kept[-i]] = mean.shape[-i]
    center, by = (net.value(net.constant(a.reshape(shape), value.dtype)) for a in (mean, spread))
    if layer["invert"]:
        return net.join("binary", net.join("binary", value, by, fn="mul"), center, fn="add")
    return net.join("binary", net.join("binary", value, center, fn="sub"), by, fn="div")


def _in_use(layer: Layer) -> tuple[Array, Array]:
    """The statistics with which a live layer answers, one per kept axis; its variables are those it was adapted to."""
    if layer.live.mean is None:
        raise NotFitted(f"{layer} has no statistics: adapt it first.")
    kept = layer.live._keep_axis
    arrays = [numbers(tensor) for tensor in (layer.live.mean, layer.live.variance)]
    mean, variance = (array.reshape([array.shape[axis] for axis in kept]) for array in arrays)
    return mean, variance


def _plain(given: Any) -> Array:
    """Numbers in a config, which may be those of a tensor."""
    if isinstance(given, dict):
        given = given["config"]["value"]
    if hasattr(given, "shape") and not isinstance(given, np.ndarray):
        return numbers(given)
    return np.asarray(given)
