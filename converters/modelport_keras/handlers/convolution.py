"""Convolutions of all kinds, in one to three dimensions."""

from __future__ import annotations

from typing import Any

from ..activations import activate
from ..builder import Value
from ..network import Array, Layer
from ..registry import keras_layer
from ..walking import Walker


def channel_axis(layer: Layer) -> int:
    """The axis of the channels, the batch not counted."""
    return (
        -1
        if layer.demand("data_format", "channels_last", "channels_first", instead="it is one of two.") == "channels_last"
        else 0
    )


def numbers(layer: Layer, key: str, count: int) -> list[int]:
    """A length per dimension."""
    value = layer[key]
    return [int(k) for k in value] if isinstance(value, (list, tuple)) else [int(value)] * count


def _padding(layer: Layer, reach: list[int]) -> dict[str, Any]:
    """The attributes of an op for Keras's padding; reach: how far a kernel goes beyond its first tap, per dimension."""
    padding = str(layer["padding"]).lower()
    if padding == "same":
        return {"auto": "same_upper"}
    if padding == "causal":
        return {"pads": [*reach, *([0] * len(reach))]}
    if padding == "valid":
        return {}
    raise layer.refuse("padding", f"is {padding!r}; valid, same and causal are known.")


def _ones(values: list[int]) -> list[int] | None:
    return None if all(v == 1 for v in values) else values


def _kernel(array: Array) -> Array:
    """[taps.., in, out] as [out, in, taps..]."""
    k = array.ndim - 2
    return array.transpose([k + 1, k, *range(k)])


def _depthwise(array: Array) -> Array:
    """[taps.., in, multiplier] as [in * multiplier, 1, taps..]."""
    k = array.ndim - 2
    moved = array.transpose([k, k + 1, *range(k)])
    return moved.reshape(-1, 1, *array.shape[:k])


def _convolved(
    walker: Walker, layer: Layer, inputs: Any, kernel: Array, bias: Array | None, groups: int, depthwise: bool
) -> Value:
    value = walker.floats(layer, inputs)
    name, order = value.first(channel_axis(layer))
    k = kernel.ndim - 2
    layer.waive("kernel_size", "filters", "depth_multiplier", "groups")
    strides, dilations = numbers(layer, "strides", k), numbers(layer, "dilation_rate", k)
    reach = [(size - 1) * d for size, d in zip(kernel.shape[:k], dilations, strict=True)]
    made = walker.net.add(
        "conv",
        name,
        weight=_depthwise(kernel) if depthwise else _kernel(kernel),
        bias=bias,
        strides=_ones(strides),
        dilations=_ones(dilations),
        groups=groups if groups != 1 else None,
        **_padding(layer, reach),
    )
    return walker.net.value(made, order)


@keras_layer("Conv1D", "Conv2D", "Conv3D", "Convolution1D", "Convolution2D", "Convolution3D", masking=False)
def convolution(walker: Walker, layer: Layer, inputs: Any) -> Value:
    kernel, *bias = layer.take(*(["kernel", "bias"] if layer["use_bias"] else ["kernel"]))
    made = _convolved(walker, layer, inputs, kernel, bias[0] if bias else None, int(layer["groups"]), False)
    return activate(walker, layer, made)


@keras_layer("DepthwiseConv1D", "DepthwiseConv2D", masking=False)
def depthwise(walker: Walker, layer: Layer, inputs: Any) -> Value:
    kernel, *bias = layer.take(*(["kernel", "bias"] if layer["use_bias"] else ["kernel"]))
    made = _convolved(walker, layer, inputs, kernel, bias[0] if bias else None, kernel.shape[-2], True)
    return activate(walker, layer, made)


@keras_layer("SeparableConv1D", "SeparableConv2D", "SeparableConvolution1D", "SeparableConvolution2D", masking=False)
def separable(walker: Walker, layer: Layer, inputs: Any) -> Value:
    names = ["depthwise_kernel", "pointwise_kernel", *(["bias"] if layer["use_bias"] else [])]
    first, second, *bias = layer.take(*names)
    value = _convolved(walker, layer, inputs, first, None, first.shape[-2], True)
    name, order = value.forms[value.main], value.main
    made = walker.net.add("conv", name, weight=_kernel(second), bias=bias[0] if bias else None)
    return activate(walker, layer, walker.net.value(made, order))


@keras_layer("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", masking=False)
def transposed(walker: Walker, layer: Layer, inputs: Any) -> Value:
    kernel, *bias = layer.take(*(["kernel", "bias"] if layer["use_bias"] else ["kernel"]))
    value = walker.floats(layer, inputs)
    name, order = value.first(channel_axis(layer))
    k = kernel.ndim - 2
    strides, dilations = numbers(layer, "strides", k), numbers(layer, "dilation_rate", k)
    given = layer["output_padding"]
    extra = [None] * k if given is None else [int(p) for p in given] if isinstance(given, (list, tuple)) else [int(given)] * k
    layer.waive("kernel_size", "filters")
    padding = str(layer["padding"]).lower()
    if padding not in ("valid", "same"):
        raise layer.refuse("padding", f"is {padding!r}; valid and same are known.")
    ends = [
        _ends(padding, (size - 1) * d + 1, s, e)
        for size, d, s, e in zip(kernel.shape[:k], dilations, strides, extra, strict=True)
    ]
    before, after, more = zip(*ends, strict=True)
    made = walker.net.add(
        "conv_transpose",
        name,
        weight=kernel.transpose([k + 1, k, *range(k)]),
        bias=bias[0] if bias else None,
        strides=_ones(strides),
        dilations=_ones(dilations),
        pads=[*before, *after] if any((*before, *after)) else None,
        output_padding=list(more) if any(more) else None,
    )
    return activate(walker, layer, walker.net.value(made, order))


def _ends(padding: str, reach: int, stride: int, extra: int | None) -> tuple[int, int, int]:
    """What is cut off before and behind the whole transposed map, and what is put behind it.

    The whole map has (n - 1) stride + reach positions; Keras wants (n - 1) stride + wanted of them, and cuts as TensorFlow does:
    the smaller half of what a convolution over the result would have been padded by comes first.
    """
    if padding == "valid":
        wanted = max(reach, stride) if extra is None else reach + extra
        before = 0
    else:
        wanted = stride if extra is None else reach % 2 + extra
        before = max(reach - wanted, 0) // 2
    rest = wanted - (reach - before)
    return before, max(-rest, 0), max(rest, 0)
