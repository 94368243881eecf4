"""Twenty-eight small Keras models of every common architecture, with weights at random.

Each is a function that gives the model, a sample, and a sample of other lengths where lengths vary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as L
from keras import ops

from tests.converters.modelport_keras.common import randomised

Made = tuple[Any, Any, Any]
ZOO: dict[str, Callable[[], Made]] = {}
WORDS = ["the cat sat on the mat", "A Dog, a cat!", "nothing known here", "", "mat mat dog. cat"]


def model(function: Callable[[], Made]) -> Callable[[], Made]:
    def made() -> Made:
        keras.utils.set_random_seed(3)
        net, sample, other = function()
        return randomised(net), sample, other

    ZOO[function.__name__] = made
    return made


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def codes(high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, high, size=shape)


@model
def sequential_mlp() -> Made:
    net = keras.Sequential([keras.Input((6,)), L.Dense(8, activation="relu"), L.Dropout(0.3), L.Dense(3, activation="softmax")])
    return net, numbers(5, 6), None


@model
def functional_two_inputs() -> Made:
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    joined = L.Concatenate()([L.Dense(5, activation="tanh")(a), b])
    return keras.Model([a, b], L.Dense(2)(joined)), {"a": numbers(5, 4), "b": numbers(5, 3)}, None


@model
def two_outputs() -> Made:
    x = keras.Input((4,))
    trunk = L.Dense(6, activation="elu")(x)
    return (
        keras.Model(x, [L.Dense(2, name="score")(trunk), L.Dense(1, activation="sigmoid", name="chance")(trunk)]),
        numbers(5, 4),
        None,
    )


@model
def dict_outputs() -> Made:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    total = L.Add()([a, b])
    return (
        keras.Model({"a": a, "b": b}, {"sum": L.Dense(2)(total), "difference": L.Subtract()([a, b])}),
        {"b": numbers(5, 4), "a": numbers(5, 4) + 1},
        None,
    )


@model
def cnn_batch_norm() -> Made:
    net = keras.Sequential(
        [
            keras.Input((12, 10, 3)),
            L.Conv2D(6, 3, strides=2, padding="same"),
            L.BatchNormalization(),
            L.ReLU(),
            L.MaxPooling2D(2),
            L.Conv2D(4, 2, activation="relu"),
            L.AveragePooling2D(2, padding="same"),
            L.Flatten(),
            L.Dense(3),
        ]
    )
    return net, numbers(5, 12, 10, 3), None


@model
def depthwise_separable() -> Made:
    net = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            L.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, activation="relu6"),
            L.SeparableConv2D(5, 3, padding="same", activation="hard_swish"),
            L.GlobalAveragePooling2D(),
        ]
    )
    return net, numbers(5, 9, 9, 3), None


@model
def residual() -> Made:
    x = keras.Input((8, 8, 4))
    y = L.Conv2D(4, 3, padding="same", use_bias=False)(x)
    y = L.BatchNormalization()(y)
    y = L.Activation("relu")(y)
    y = L.Conv2D(4, 3, padding="same")(y)
    y = L.Add()([x, y])
    return keras.Model(x, L.Dense(2)(L.GlobalMaxPooling2D()(L.Activation("relu")(y)))), numbers(5, 8, 8, 4), None


@model
def conv1d_dilated() -> Made:
    net = keras.Sequential(
        [
            keras.Input((None, 3)),
            L.Conv1D(5, 3, dilation_rate=2, padding="causal", activation="relu"),
            L.Conv1D(4, 3, padding="same", activation="tanh"),
            L.GlobalMaxPooling1D(),
        ]
    )
    return net, numbers(5, 9, 3), numbers(3, 14, 3)


@model
def conv2d_transpose() -> Made:
    net = keras.Sequential(
        [
            keras.Input((5, 4, 3)),
            L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu"),
            L.Conv2DTranspose(2, 2, strides=3),
            L.UpSampling2D(2, interpolation="bilinear"),
            L.Cropping2D(((1, 2), (0, 1))),
        ]
    )
    return net, numbers(5, 5, 4, 3), None


@model
def lstm() -> Made:
    net = keras.Sequential([keras.Input((7, 3)), L.LSTM(5), L.Dense(2)])
    return net, numbers(5, 7, 3), None


@model
def gru_reset_after() -> Made:
    return keras.Sequential([keras.Input((7, 3)), L.GRU(5, reset_after=True), L.Dense(2)]), numbers(5, 7, 3), None


@model
def gru_reset_before() -> Made:
    return keras.Sequential([keras.Input((7, 3)), L.GRU(5, reset_after=False), L.Dense(2)]), numbers(5, 7, 3), None


@model
def simple_rnn() -> Made:
    return keras.Sequential([keras.Input((7, 3)), L.SimpleRNN(5, activation="relu"), L.Dense(2)]), numbers(5, 7, 3), None


@model
def bidirectional_stacked() -> Made:
    net = keras.Sequential(
        [
            keras.Input((6, 3)),
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.Bidirectional(L.GRU(3), merge_mode="ave"),
            L.Dense(2),
        ]
    )
    return net, numbers(5, 6, 3), None


@model
def masked_lstm() -> Made:
    sample = numbers(5, 6, 3)
    sample[:, 4:] = 0
    sample[2, 1] = 0
    net = keras.Sequential([keras.Input((6, 3)), L.Masking(), L.LSTM(4, return_sequences=True), L.GRU(3), L.Dense(2)])
    return net, sample, None


@model
def unknown_length() -> Made:
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = L.Embedding(12, 6, mask_zero=True)(tokens)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True))(x)
    x = L.TimeDistributed(L.Dense(3, activation="tanh"))(x)
    return keras.Model(tokens, L.Dense(2)(L.LSTM(5)(x))), codes(12, 5, 7), codes(12, 3, 11)


@model
def embedding_pooling() -> Made:
    net = keras.Sequential([keras.Input((8,), dtype="int32"), L.Embedding(20, 6), L.GlobalAveragePooling1D(), L.Dense(2)])
    return net, codes(20, 5, 8), None


@model
def attention_block() -> Made:
    x = keras.Input((None, 8), name="x")
    y = L.MultiHeadAttention(2, 4)(L.LayerNormalization()(x), x)
    x2 = L.Add()([x, y])
    z = L.Dense(16, activation="gelu")(L.LayerNormalization(epsilon=1e-5)(x2))
    return keras.Model(x, L.Add()([x2, L.Dense(8)(z)])), numbers(5, 6, 8), numbers(2, 9, 8)


@model
def layer_norm_gelu() -> Made:
    net = keras.Sequential(
        [keras.Input((5, 6)), L.LayerNormalization(axis=[1, 2]), L.Dense(7, activation="gelu"), L.LayerNormalization()]
    )
    return net, numbers(5, 5, 6), None


@model
def group_norm() -> Made:
    net = keras.Sequential(
        [
            keras.Input((6, 6, 8)),
            L.GroupNormalization(4),
            L.Conv2D(6, 3),
            L.GroupNormalization(-1),
            L.UnitNormalization(),
            L.Flatten(),
        ]
    )
    return net, numbers(5, 6, 6, 8), None


@model
def activations() -> Made:
    x = keras.Input((6,))
    y = L.ELU(0.7)(L.Dense(6)(x))
    y = L.LeakyReLU(0.2)(L.Dense(6)(y))
    y = L.PReLU()(L.Dense(6)(y))
    y = L.Dense(6, activation="selu")(y)
    return keras.Model(x, L.Dense(4, activation="swish")(y)), numbers(5, 6), None


@model
def normalization() -> Made:
    layer = L.Normalization()
    layer.adapt(numbers(50, 4) * 3 + 2)
    net = keras.Sequential([keras.Input((4,)), layer, L.Dense(3)])
    return net, numbers(5, 4), None


@model
def string_lookup() -> Made:
    town = keras.Input((1,), dtype="string", name="town")
    layer = L.StringLookup(output_mode="one_hot")
    layer.adapt(np.array([["oslo"], ["rome"], ["oslo"], ["münchen"]]))
    age = keras.Input((1,), name="age")
    joined = L.Concatenate()([layer(town), age])
    towns = np.array([["oslo"], ["rome"], ["paris"], ["münchen"], ["Oslo"]], dtype=object)
    return keras.Model([town, age], L.Dense(2)(joined)), {"town": towns, "age": numbers(5, 1)}, None


@model
def integer_lookup() -> Made:
    net = keras.Sequential(
        [keras.Input((3,), dtype="int64"), L.IntegerLookup(vocabulary=[5, 9, 42, 7], output_mode="multi_hot"), L.Dense(2)]
    )
    return net, np.array([[5, 9, 1], [7, 7, 7], [0, 1, 2], [42, 5, 9], [9, 9, 3]]), None


@model
def text_vectorization() -> Made:
    layer = L.TextVectorization(output_sequence_length=6)
    layer.adapt(np.array(WORDS))
    net = keras.Sequential([keras.Input((1,), dtype="string"), layer, L.Embedding(12, 4, mask_zero=True), L.LSTM(3), L.Dense(2)])
    return net, np.array([[text] for text in WORDS], dtype=object), None


@model
def lambda_layer() -> Made:
    x = keras.Input((4,))
    y = L.Lambda(lambda t: ops.relu(t) * 2.0 + ops.mean(t, axis=-1, keepdims=True))(L.Dense(5)(x))
    return keras.Model(x, y), numbers(5, 4), None


@keras.saving.register_keras_serializable("zoo")
class Gated(L.Layer):
    """A layer of somebody's own: a dense layer with a gate."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.value, self.gate = L.Dense(units), L.Dense(units, activation="sigmoid")

    def build(self, shape: Any) -> None:
        self.value.build(shape)
        self.gate.build(shape)
        self.scale = self.add_weight(shape=(self.units,), initializer="ones", name="scale")

    def call(self, inputs: Any) -> Any:
        return self.value(inputs) * self.gate(inputs) * self.scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@model
def custom_layer() -> Made:
    return keras.Sequential([keras.Input((4,)), Gated(5), L.Dense(2)]), numbers(5, 4), None


class Subclassed(keras.Model):
    """A model with a `call` of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = L.Dense(6, activation="relu"), L.Dense(2)
        self.drop = L.Dropout(0.5)

    def call(self, inputs: Any, training: bool = False) -> Any:
        hidden = self.first(inputs)
        return self.second(self.drop(hidden, training=training)) + ops.sum(hidden, axis=1, keepdims=True)


@model
def subclassed() -> Made:
    net = Subclassed()
    net(numbers(2, 4))
    return net, numbers(5, 4), None
