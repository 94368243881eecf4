"""Pooling: windows, whole images, adaptive."""

from __future__ import annotations

from typing import Any

from modelport.errors import UnsupportedModel

from ..builder import Value
from ..network import Layer
from ..registry import keras_layer
from ..walking import Walker
from .convolution import channel_axis, numbers

_NONE = lambda walker, layer, bound, previous: None  # noqa: E731


def _pool(walker: Walker, layer: Layer, inputs: Any, fn: str) -> Value:
    value = walker.floats(layer, inputs)
    name, order = value.first(channel_axis(layer))
    size = numbers(layer, "pool_size", value.rank - 1)
    strides = size if layer["strides"] is None else numbers(layer, "strides", value.rank - 1)
    padding = str(layer["padding"]).lower()
    if padding not in ("valid", "same"):
        raise layer.refuse("padding", f"is {padding!r}; valid and same are known.")
    auto = "same_upper" if padding == "same" else None
    return walker.net.value(walker.net.add("pool", name, fn=fn, size=size, strides=strides, auto=auto), order)


@keras_layer("MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "MaxPool1D", "MaxPool2D", "MaxPool3D", masking=False)
def maximum(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _pool(walker, layer, inputs, "max")


@keras_layer("AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "AvgPool1D", "AvgPool2D", "AvgPool3D", masking=False)
def average(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _pool(walker, layer, inputs, "mean")


def _over_all(walker: Walker, value: Value, axis: int, fn: str, keep: bool) -> Value:
    """A reduction of all axes but that of the channels."""
    name, order = value.first(axis)
    made = walker.net.add("reduce", name, fn=fn, axes=list(range(1, value.rank)), keep=keep or None)
    return walker.net.value(made, order if keep else None)


@keras_layer("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GlobalMaxPool1D", masking=False)
def global_maximum(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _over_all(walker, walker.floats(layer, inputs), channel_axis(layer), "max", bool(layer["keepdims"]))


@keras_layer("GlobalAveragePooling2D", "GlobalAveragePooling3D", masking=False)
def global_average(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _over_all(walker, walker.floats(layer, inputs), channel_axis(layer), "mean", bool(layer["keepdims"]))


@keras_layer("GlobalAveragePooling1D", masking=_NONE)
def global_average_1d(walker: Walker, layer: Layer, inputs: Any, mask: Any = None) -> Value:
    value, axis, keep = walker.floats(layer, inputs), channel_axis(layer), bool(layer["keepdims"])
    if mask is None:
        return _over_all(walker, value, axis, "mean", keep)
    net = walker.net
    kept = walker.tensor(mask, "bool").plain
    name, order = value.first(axis)
    inside = net.add("where", net.insert(kept, 0), name, net.constant(0.0, value.dtype))
    total = net.add("reduce", inside, fn="sum", axes=[1], keep=keep or None)
    count = net.add("reduce", net.add("cast", kept, to=value.dtype), fn="sum", axes=[0], keep=True)
    if keep:
        count = net.insert(count, 0)
    return net.value(net.add("binary", total, count, fn="div"), order if keep else None)


def _adaptive(walker: Walker, layer: Layer, inputs: Any, fn: str) -> Value:
    value = walker.floats(layer, inputs)
    name, order = value.first(channel_axis(layer))
    sizes = numbers(layer, "output_size", value.rank - 1)
    windows = []
    for axis, size in zip(order[1:], sizes, strict=True):
        length = value.shape[axis]
        if length is None or length % size:
            raise UnsupportedModel(f"{layer} pools {length} positions to {size}: only equal windows are read.")
        windows.append(length // size)
    return walker.net.value(walker.net.add("pool", name, fn=fn, size=windows, strides=windows), order)


@keras_layer("AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D", masking=False)
def adaptive_average(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _adaptive(walker, layer, inputs, "mean")


@keras_layer("AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D", masking=False)
def adaptive_maximum(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _adaptive(walker, layer, inputs, "max")
