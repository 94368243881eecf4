"""Convolutions, pooling and what moves pixels, option by option, against Keras."""

from __future__ import annotations

from typing import Any

import pytest
from keras import layers as L

from tests.converters.modelport_keras.common import check, normal, one

CONVOLUTIONS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "1d valid": (lambda: L.Conv1D(4, 3), (9, 2)),
    "1d same stride 2": (lambda: L.Conv1D(4, 3, strides=2, padding="same"), (9, 2)),
    "1d same even": (lambda: L.Conv1D(4, 4, strides=3, padding="same", use_bias=False), (10, 2)),
    "1d causal": (lambda: L.Conv1D(4, 3, padding="causal", dilation_rate=2), (9, 2)),
    "1d causal stride": (lambda: L.Conv1D(4, 3, padding="causal", strides=2), (9, 2)),
    "1d groups": (lambda: L.Conv1D(4, 3, groups=2), (9, 6)),
    "2d rectangular": (lambda: L.Conv2D(3, (2, 3), strides=(2, 1), padding="same", activation="tanh"), (7, 6, 2)),
    "2d dilated": (lambda: L.Conv2D(3, 3, dilation_rate=(1, 2), padding="same"), (7, 8, 2)),
    "2d groups": (lambda: L.Conv2D(4, 3, groups=2), (7, 6, 4)),
    "3d": (lambda: L.Conv3D(3, 2, strides=2, padding="same"), (5, 4, 6, 2)),
    "depthwise 1d": (lambda: L.DepthwiseConv1D(3, depth_multiplier=2, padding="same", strides=2), (9, 3)),
    "depthwise 2d dilated": (lambda: L.DepthwiseConv2D(3, dilation_rate=2, padding="same", use_bias=False), (8, 8, 3)),
    "depthwise 2d stride and dilation": (lambda: L.DepthwiseConv2D(3, strides=2, dilation_rate=2, padding="same"), (9, 8, 3)),
    "separable 1d": (lambda: L.SeparableConv1D(4, 3, padding="same", depth_multiplier=2, strides=2), (9, 3)),
    "separable 2d": (lambda: L.SeparableConv2D(4, (3, 2), strides=2, padding="same", activation="relu"), (9, 8, 3)),
    "separable 2d dilated": (lambda: L.SeparableConv2D(4, 3, dilation_rate=2), (9, 8, 3)),
    "transpose 1d": (lambda: L.Conv1DTranspose(3, 4, strides=3, padding="same"), (5, 2)),
    "transpose 1d stride over kernel": (lambda: L.Conv1DTranspose(3, 2, strides=4), (5, 2)),
    "transpose 1d same stride over kernel": (lambda: L.Conv1DTranspose(3, 2, strides=4, padding="same"), (5, 2)),
    "transpose 1d output padding": (lambda: L.Conv1DTranspose(3, 3, strides=2, output_padding=1), (5, 2)),
    "transpose 2d same": (lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same"), (4, 5, 2)),
    "transpose 2d same even": (lambda: L.Conv2DTranspose(3, 4, strides=2, padding="same"), (4, 5, 2)),
    "transpose 2d same output padding": (
        lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=1, activation="relu"),
        (4, 5, 2),
    ),
    "transpose 2d same output padding 0": (
        lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=0),
        (4, 5, 2),
    ),
    "transpose 2d valid": (lambda: L.Conv2DTranspose(3, (3, 2), strides=(2, 1), use_bias=False), (4, 5, 2)),
    "transpose 3d": (lambda: L.Conv3DTranspose(2, 2, strides=2, padding="same"), (3, 4, 2, 2)),
}


@pytest.mark.parametrize("name", sorted(CONVOLUTIONS))
def test_convolution(name: str) -> None:
    make, shape = CONVOLUTIONS[name]
    check(one(make(), shape), normal(5, *shape))


POOLING: dict[str, tuple[Any, tuple[int, ...]]] = {
    "max 1d": (lambda: L.MaxPooling1D(3, strides=2, padding="same"), (8, 2)),
    "max 2d": (lambda: L.MaxPooling2D((2, 3), padding="same"), (7, 7, 2)),
    "max 2d strides": (lambda: L.MaxPooling2D(3, strides=1), (6, 7, 2)),
    "max 3d": (lambda: L.MaxPooling3D(2, padding="same"), (5, 4, 3, 2)),
    "average 1d": (lambda: L.AveragePooling1D(3, strides=2, padding="same"), (8, 2)),
    "average 2d edge": (lambda: L.AveragePooling2D(3, strides=2, padding="same"), (7, 8, 2)),
    "average 2d valid": (lambda: L.AveragePooling2D((2, 3)), (7, 8, 2)),
    "average 3d": (lambda: L.AveragePooling3D(2, strides=1, padding="same"), (4, 3, 5, 2)),
    "global max 1d": (lambda: L.GlobalMaxPooling1D(), (6, 3)),
    "global max 2d keep": (lambda: L.GlobalMaxPooling2D(keepdims=True), (4, 5, 3)),
    "global max 3d": (lambda: L.GlobalMaxPooling3D(), (4, 5, 2, 3)),
    "global average 1d keep": (lambda: L.GlobalAveragePooling1D(keepdims=True), (6, 3)),
    "global average 2d keep": (lambda: L.GlobalAveragePooling2D(keepdims=True), (4, 5, 3)),
    "global average 3d": (lambda: L.GlobalAveragePooling3D(), (4, 5, 2, 3)),
    "adaptive average": (lambda: L.AdaptiveAveragePooling2D((2, 3)), (4, 6, 3)),
    "adaptive max": (lambda: L.AdaptiveMaxPooling1D(2), (6, 3)),
}


@pytest.mark.parametrize("name", sorted(POOLING))
def test_pooling(name: str) -> None:
    make, shape = POOLING[name]
    check(one(make(), shape), normal(5, *shape))


FIRST: dict[str, tuple[Any, tuple[int, ...]]] = {
    "max pooling": (lambda: L.MaxPooling2D(2, data_format="channels_first"), (2, 6, 4)),
    "average pooling": (lambda: L.AveragePooling2D(3, padding="same", data_format="channels_first"), (2, 6, 4)),
    "global": (lambda: L.GlobalAveragePooling2D(data_format="channels_first"), (2, 6, 4)),
    "global 1d": (lambda: L.GlobalAveragePooling1D(data_format="channels_first"), (2, 6)),
    "flatten": (lambda: L.Flatten(data_format="channels_first"), (2, 3, 4)),
    "padding": (lambda: L.ZeroPadding2D(((1, 0), (2, 1)), data_format="channels_first"), (2, 3, 4)),
    "cropping": (lambda: L.Cropping2D(((1, 0), (2, 1)), data_format="channels_first"), (2, 3, 4)),
    "upsampling": (lambda: L.UpSampling2D((2, 3), data_format="channels_first"), (2, 3, 4)),
    "upsampling bilinear": (lambda: L.UpSampling2D(2, interpolation="bilinear", data_format="channels_first"), (2, 3, 4)),
    "depthwise": (lambda: L.DepthwiseConv2D(2, data_format="channels_first"), (2, 4, 4)),
}


@pytest.mark.parametrize("name", sorted(FIRST))
def test_channels_first(name: str) -> None:
    make, shape = FIRST[name]
    check(one(make(), shape), normal(5, *shape))


MOVING: dict[str, tuple[Any, tuple[int, ...]]] = {
    "flatten": (lambda: L.Flatten(), (2, 3, 4)),
    "flatten row": (lambda: L.Flatten(), (3,)),
    "reshape": (lambda: L.Reshape((4, -1)), (2, 3, 4)),
    "reshape all": (lambda: L.Reshape((3, 2, 4)), (2, 3, 4)),
    "permute": (lambda: L.Permute((3, 1, 2)), (2, 3, 4)),
    "repeat": (lambda: L.RepeatVector(3), (4,)),
    "pad 1d": (lambda: L.ZeroPadding1D((1, 2)), (3, 4)),
    "pad 2d": (lambda: L.ZeroPadding2D((1, 2)), (3, 4, 2)),
    "pad 2d sides": (lambda: L.ZeroPadding2D(((1, 0), (2, 3))), (3, 4, 2)),
    "pad 3d": (lambda: L.ZeroPadding3D(1), (2, 3, 4, 2)),
    "crop 1d": (lambda: L.Cropping1D((1, 2)), (6, 2)),
    "crop 1d end": (lambda: L.Cropping1D((0, 2)), (6, 2)),
    "crop 2d": (lambda: L.Cropping2D(((1, 0), (2, 1))), (5, 6, 2)),
    "crop 3d": (lambda: L.Cropping3D(1), (4, 5, 6, 2)),
    "up 1d": (lambda: L.UpSampling1D(3), (4, 2)),
    "up 2d": (lambda: L.UpSampling2D((2, 3)), (4, 3, 2)),
    "up 2d bilinear": (lambda: L.UpSampling2D((2, 3), interpolation="bilinear"), (4, 3, 2)),
    "up 3d": (lambda: L.UpSampling3D((2, 1, 3)), (2, 3, 2, 2)),
    "resize": (lambda: L.Resizing(5, 7), (4, 3, 2)),
    "resize down": (lambda: L.Resizing(3, 4), (9, 10, 2)),
    "resize nearest": (lambda: L.Resizing(5, 7, interpolation="nearest"), (4, 3, 2)),
    "resize nearest down": (lambda: L.Resizing(3, 4, interpolation="nearest"), (8, 10, 2)),
    "resize crop": (lambda: L.Resizing(4, 4, crop_to_aspect_ratio=True), (7, 10, 2)),
    "resize pad": (lambda: L.Resizing(4, 4, pad_to_aspect_ratio=True, fill_value=0.5), (6, 10, 2)),
    "center crop": (lambda: L.CenterCrop(3, 4), (6, 7, 2)),
    "center crop small": (lambda: L.CenterCrop(8, 4), (6, 7, 2)),
    "rescale": (lambda: L.Rescaling(1 / 255, offset=-0.5), (3, 4, 2)),
    "random": (lambda: L.RandomFlip(), (3, 4, 2)),
    "random rotation": (lambda: L.RandomRotation(0.2), (3, 4, 2)),
    "random zoom": (lambda: L.RandomZoom(0.2), (3, 4, 2)),
    "random translation": (lambda: L.RandomTranslation(0.2, 0.1), (3, 4, 2)),
    "random contrast": (lambda: L.RandomContrast(0.2), (3, 4, 2)),
    "random brightness": (lambda: L.RandomBrightness(0.2), (3, 4, 2)),
}


@pytest.mark.parametrize("name", sorted(MOVING))
def test_moving(name: str) -> None:
    make, shape = MOVING[name]
    check(one(make(), shape), normal(5, *shape))


@pytest.mark.parametrize(
    "make", [lambda: L.Conv2D(3, 3, padding="same", strides=2), lambda: L.UpSampling2D(2), lambda: L.MaxPooling2D(2)]
)
def test_images_of_any_size(make: Any) -> None:
    check(one(make(), (None, None, 2)), normal(5, 6, 8, 2), other=normal(2, 9, 5, 2))
