"""Preprocessing of images: sizes, scales, and random changes, which do nothing at inference."""

from __future__ import annotations

from typing import Any

from modelport.errors import UnsupportedModel

from ..builder import Value
from ..network import Layer
from ..registry import keras_layer
from ..walking import Walker
from .convolution import channel_axis
from .normalization import _plain
from .reshaping import cropped, padded

RANDOM = (
    *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness", "RandomHue"),
    *("RandomSaturation", "RandomColorJitter", "RandomColorDegeneration", "RandomErasing", "RandomGaussianBlur", "RandomInvert"),
    *("RandomShear", "RandomPerspective", "RandomElasticTransform", "CutMix", "MixUp", "RandAugment", "AugMix"),
)


@keras_layer(*RANDOM, masking=False)
def random(walker: Walker, layer: Layer, data: Any) -> Value:
    layer.waive(*layer.config)
    return walker.floats(layer, data)


@keras_layer("Rescaling")
def rescaling(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.floats(layer, inputs)
    scale, offset = _plain(layer["scale"]), _plain(layer["offset"])
    net = walker.net
    if scale.size == 1 and offset.size == 1:
        return net.apply(value, "scale", mul=scale.reshape(1), add=offset.reshape(1))
    if scale.ndim > 1 or offset.ndim > 1:
        raise layer.refuse("scale", f"has {scale.ndim} axes; a number, or one per channel, is read.")
    return net.value(net.add("scale", value.plain, mul=scale.reshape(-1), add=offset.reshape(-1)))


def _sizes(value: Value, channels: int) -> tuple[list[int], list[int | None]]:
    """The axes of height and width, and their lengths."""
    axes = [axis for axis in range(value.rank) if axis != channels]
    if value.rank != 3:
        raise UnsupportedModel(f"An image has 3 axes, and this value has {value.rank}.")
    return axes, [value.shape[axis] for axis in axes]


def resized(walker: Walker, value: Value, axes: list[int], size: tuple[int, int], kind: str) -> Value:
    """An image in another size, as TensorFlow does it."""
    found = sorted((value.main.index(axis), length) for axis, length in zip(axes, size, strict=True))
    how: dict[str, Any] = {"fn": "linear"} if kind == "bilinear" else {"fn": "nearest", "round_": "half_up"}
    places, lengths = [place for place, _ in found], [length for _, length in found]
    return walker.net.value(walker.net.add("resize", value.name, axes=places, sizes=lengths, at="half_pixel", **how), value.main)


@keras_layer("Resizing", masking=False)
def resizing(walker: Walker, layer: Layer, data: Any) -> Value:
    value = walker.tensor(data)
    channels = channel_axis(layer) % value.rank
    size = (int(layer["height"]), int(layer["width"]))
    kind = layer.demand("interpolation", "bilinear", "nearest", instead="bilinear and nearest are read.")
    layer.demand("antialias", False, instead="resizing with antialiasing is not read.")
    if value.dtype not in ("f32", "f64"):
        value = walker.floats(layer, value)
    axes, lengths = _sizes(value, channels)
    crop, pad = layer["crop_to_aspect_ratio"], layer["pad_to_aspect_ratio"]
    layer.demand("fill_mode", "constant", instead="Keras knows no other.")
    fill = float(layer["fill_value"])
    if crop or pad:
        value = _with_ratio(walker, layer, value, axes, lengths, size, bool(crop), fill)
    return resized(walker, value, axes, size, kind)


def _with_ratio(
    walker: Walker,
    layer: Layer,
    value: Value,
    axes: list[int],
    lengths: list[int | None],
    size: tuple[int, int],
    crop: bool,
    fill: float,
) -> Value:
    """The image cut, or filled up, to the ratio of its new size."""
    if None in lengths:
        raise layer.refuse("crop_to_aspect_ratio", "is read for images of a fixed size only.")
    height, width = int(lengths[0] or 0), int(lengths[1] or 0)
    wanted = [int(width * size[0] / size[1]), int(height * size[1] / size[0])]
    sides = [(0, 0)] * value.rank
    for axis, length, target in zip(axes, (height, width), wanted, strict=True):
        if crop:
            left = max(min(length, target), 1)
            start = int((length - left) / 2)
            sides[axis] = (start, length - left - start)
        else:
            more = max(length, target) - length
            start = int(more / 2)
            sides[axis] = (start, start)  # TensorFlow puts as much behind as before
    return cropped(walker, value, sides) if crop else padded(walker, value, sides, number=fill)


@keras_layer("CenterCrop", masking=False)
def center_crop(walker: Walker, layer: Layer, data: Any) -> Value:
    value = walker.floats(layer, data)
    axes, lengths = _sizes(value, channel_axis(layer) % value.rank)
    size = (int(layer["height"]), int(layer["width"]))
    if None in lengths:
        raise layer.refuse("height", "is read for images of a fixed size only.")
    over = [int(length or 0) - target for length, target in zip(lengths, size, strict=True)]
    if min(over) >= 0:
        sides = [(0, 0)] * value.rank
        for axis, more in zip(axes, over, strict=True):
            sides[axis] = (more // 2, more - more // 2)
        return cropped(walker, value, sides)
    value = _with_ratio(walker, layer, value, axes, lengths, size, True, 0.0)
    return resized(walker, value, axes, size, "bilinear")
