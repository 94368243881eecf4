"""Layers that move elements: Reshape, Flatten, Permute, padding and cropping, upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelport.errors import UnsupportedModel

from ..builder import Copy, Value
from ..network import Layer
from ..registry import keras_layer
from ..walking import Walker
from .convolution import channel_axis, numbers


@keras_layer("Flatten", masking=False)
def flatten(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.tensor(inputs)
    net = walker.net
    if channel_axis(layer) == 0 and value.rank > 1:
        name = value.form((*range(1, value.rank), 0))
    else:
        name = value.plain
    return net.value(net.reshape(name, [-1 if None in value.shape else _size(value.shape)]))


def _size(shape: Sequence[int | None]) -> int:
    size = 1
    for length in shape:
        size *= length or 0
    return size


@keras_layer("Reshape", masking=False)
def reshape_layer(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return reshaped(walker, walker.tensor(inputs), [None if k is None else int(k) for k in layer["target_shape"]])


def reshaped(walker: Walker, value: Value, target: Sequence[int | None]) -> Value:
    """A value with other axes; -1 or None is what is left."""
    net = walker.net
    axes = [-1 if k is None else k for k in target]
    if axes.count(-1) > 1:
        raise UnsupportedModel(f"A reshape to {list(target)} has two lengths that are not known.")
    if None not in value.shape and -1 in axes:
        known = _size([k for k in axes if k != -1])
        axes[axes.index(-1)] = _size(value.shape) // known if known else 0
    return net.value(net.reshape(value.plain, axes))


@keras_layer("Permute", masking=False)
def permute(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.tensor(inputs)
    return transposed(walker, value, [int(k) - 1 for k in layer["dims"]])


def transposed(walker: Walker, value: Value, perm: Sequence[int]) -> Value:
    """A value whose axis i is axis perm[i] of another: nothing is moved, the order of the axes is only known to be another."""
    order = tuple(list(perm).index(axis) for axis in value.main)
    return walker.net.value(value.name, order)


@keras_layer("RepeatVector", masking=False)
def repeat_vector(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.tensor(inputs)
    net = walker.net
    name = net.insert(value.plain, 0)
    return net.value(net.add("expand", name, shape=[int(layer["n"]), *(value.shape[:1] if value.shape[0] is not None else [1])]))


def _sides(layer: Layer, key: str, count: int) -> list[tuple[int, int]]:
    """What is put, or taken, before and behind every dimension."""
    value = layer[key]
    if isinstance(value, int):
        return [(value, value)] * count
    if count == 1 and len(value) == 2 and not isinstance(value[0], (list, tuple)):
        return [(int(value[0]), int(value[1]))]
    return [(int(side[0]), int(side[1])) if isinstance(side, (list, tuple)) else (int(side), int(side)) for side in value]


@keras_layer("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", masking=False)
def zero_padding(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.tensor(inputs)
    channels = channel_axis(layer) % value.rank
    sides = iter(_sides(layer, "padding", value.rank - 1))
    pads = [(0, 0) if axis == channels else next(sides) for axis in range(value.rank)]
    return padded(walker, value, pads)


def padded(walker: Walker, value: Value, pads: Sequence[tuple[int, int]], mode: str = "constant", number: float = 0.0) -> Value:
    """A value with something around it, per axis."""
    ordered = [pads[axis] for axis in value.main]
    made = walker.net.add(
        "pad",
        value.name,
        before=[before for before, _ in ordered],
        after=[after for _, after in ordered],
        mode=None if mode == "constant" else mode,
        value=float(number) if mode == "constant" and number else None,
    )
    return walker.net.value(made, value.main)


@keras_layer("Cropping1D", "Cropping2D", "Cropping3D", masking=False)
def cropping(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.tensor(inputs)
    channels = -1 % value.rank if "data_format" not in layer.config else channel_axis(layer) % value.rank
    sides = iter(_sides(layer, "cropping", value.rank - 1))
    cuts = [(0, 0) if axis == channels else next(sides) for axis in range(value.rank)]
    return cropped(walker, value, cuts)


def cropped(walker: Walker, value: Value, cuts: Sequence[tuple[int, int]]) -> Value:
    """A value without some elements at the ends of its axes."""
    places = [i for i, axis in enumerate(value.main) if cuts[axis] != (0, 0)]
    if not places:
        return value
    starts = [cuts[value.main[i]][0] for i in places]
    stops = [-cuts[value.main[i]][1] or 1 << 40 for i in places]
    return walker.net.value(walker.net.add("slice", value.name, axes=places, starts=starts, stops=stops), value.main)


@keras_layer("UpSampling1D", "UpSampling2D", "UpSampling3D", masking=False)
def upsampling(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.floats(layer, inputs)
    channels = -1 % value.rank if "data_format" not in layer.config else channel_axis(layer) % value.rank
    factors = numbers(layer, "size", value.rank - 1)
    kind = layer.demand("interpolation", "nearest", "bilinear", instead="nearest and bilinear are read.")
    spatial = [axis for axis in range(value.rank) if axis != channels]
    places = [value.main.index(axis) for axis in spatial]
    found = sorted(zip(places, factors, strict=True))
    at: dict[str, Any] = {"fn": "nearest", "at": "asymmetric", "round_": "floor"}
    if kind == "bilinear":
        at = {"fn": "linear", "at": "half_pixel"}
    made = walker.net.add(
        "resize", value.name, axes=[place for place, _ in found], scales=[float(factor) for _, factor in found], **at
    )
    return walker.net.value(made, value.main)


def kept(value: Value) -> list[int | Copy]:
    """The axes of a value in Keras's order, as the builder's `reshape` takes them."""
    return value.builder.kept(value.plain)
