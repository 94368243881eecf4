"""Compares graphs with Keras on PyTorch, in a process of its own: a backend is chosen once. Prints a JSON object of errors."""

from __future__ import annotations

import json
import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers as L

import modelport
from tests.converters.modelport_keras.common import check, normal, one, randomised


def recurrent() -> None:
    ids = keras.Input((None,), dtype="int32")
    x = L.Bidirectional(L.LSTM(4, return_sequences=True))(L.Embedding(9, 4)(ids))
    rows = np.random.default_rng(0).integers(0, 9, size=(5, 6))
    check(randomised(keras.Model(ids, L.GRU(3)(x))), rows, other=rows[:, :3])


def attention() -> None:
    x = keras.Input((None, 6))
    y = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)]))
    check(randomised(keras.Model(x, L.Dense(3, activation="gelu")(y))), normal(5, 4, 6), other=normal(2, 7, 6))


def converted() -> None:
    net = keras.Sequential(
        [keras.Input((8, 8, 2)), L.Conv2D(3, 3, strides=2, padding="same"), L.BatchNormalization(), L.Flatten()]
    )
    assert modelport.convert(randomised(net), "json", sample=normal(5, 8, 8, 2)).report.passed


CASES = {
    "dense": lambda: check(one(L.Dense(3, activation="softmax"), (4,)), normal(5, 4)),
    "convolution": lambda: check(one(L.Conv2D(3, 3, strides=2, padding="same"), (7, 8, 2)), normal(5, 7, 8, 2)),
    "channels first 1d": lambda: check(one(L.Conv1D(3, 3, data_format="channels_first"), (2, 7)), normal(5, 2, 7)),
    "channels first 2d": lambda: check(
        one(L.Conv2D(3, 3, padding="same", data_format="channels_first"), (2, 6, 7)), normal(5, 2, 6, 7)
    ),
    "channels first separable": lambda: check(
        one(L.SeparableConv2D(3, 3, data_format="channels_first"), (2, 6, 7)), normal(5, 2, 6, 7)
    ),
    "channels first transposed": lambda: check(
        one(L.Conv2DTranspose(3, 3, strides=2, data_format="channels_first"), (2, 6, 7)), normal(5, 2, 6, 7)
    ),
    "channels first 3d": lambda: check(one(L.Conv3D(3, 2, data_format="channels_first"), (2, 4, 5, 3)), normal(5, 2, 4, 5, 3)),
    "transposed and dilated": lambda: check(one(L.Conv2DTranspose(3, 3, dilation_rate=2), (4, 5, 2)), normal(5, 4, 5, 2)),
    "pooling": lambda: check(one(L.AveragePooling2D(3, strides=1, padding="same"), (7, 8, 2)), normal(5, 7, 8, 2)),
    "group norm": lambda: check(one(L.GroupNormalization(2), (3, 4, 6)), normal(5, 3, 4, 6)),
    "rms": lambda: check(one(L.RMSNormalization(), (4, 6)), normal(5, 4, 6)),
    "recurrent": recurrent,
    "attention": attention,
    "converted": converted,
}

if __name__ == "__main__":
    assert keras.config.backend() == "torch"
    found = {}
    for name, case in CASES.items():
        try:
            case()
            found[name] = ""
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"[:400]
    print(json.dumps(found))
