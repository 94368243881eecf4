"""Normalization layers, activations and merging, option by option, against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from tests.converters.modelport_keras.common import check, normal, one, randomised

NORMS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "batch": (lambda: L.BatchNormalization(), (5,)),
    "batch epsilon": (lambda: L.BatchNormalization(epsilon=0.1, scale=False), (4, 5)),
    "batch axis 1": (lambda: L.BatchNormalization(axis=1, center=False), (4, 5)),
    "batch axis -2": (lambda: L.BatchNormalization(axis=-2), (3, 4, 5)),
    "layer": (lambda: L.LayerNormalization(), (4, 5)),
    "layer epsilon": (lambda: L.LayerNormalization(epsilon=0.3, center=False), (4, 5)),
    "layer axis 1": (lambda: L.LayerNormalization(axis=1), (4, 5)),
    "layer axes": (lambda: L.LayerNormalization(axis=[1, 3], scale=False), (3, 4, 5)),
    "layer deviation": (lambda: L.LayerNormalization(rms_scaling=True), (4, 5)),
    "rms": (lambda: L.RMSNormalization(epsilon=0.01), (4, 5)),
    "group": (lambda: L.GroupNormalization(2), (3, 4, 6)),
    "group axis 1": (lambda: L.GroupNormalization(2, axis=1, center=False), (4, 5)),
    "group instance": (lambda: L.GroupNormalization(-1, epsilon=0.01), (3, 4, 6)),
    "group vector": (lambda: L.GroupNormalization(3), (6,)),
    "unit": (lambda: L.UnitNormalization(), (4, 5)),
    "unit axes": (lambda: L.UnitNormalization(axis=[1, 2]), (4, 5)),
    "spectral": (lambda: L.SpectralNormalization(L.Dense(3)), (5,)),
    "normalization": (lambda: L.Normalization(mean=[1.0, 2.0], variance=[0.5, 0.0]), (2,)),
    "normalization one": (lambda: L.Normalization(axis=None, mean=1.5, variance=2.0), (3, 4)),
    "normalization axis": (lambda: L.Normalization(axis=1, mean=[1.0, 2.0, 0.0], variance=[1.0, 2.0, 3.0]), (3, 4)),
    "normalization axes": (lambda: L.Normalization(axis=(1, 2), mean=np.ones((3, 2)), variance=np.full((3, 2), 2.0)), (3, 2)),
    "normalization invert": (lambda: L.Normalization(mean=[1.0, 2.0], variance=[0.5, 4.0], invert=True), (2,)),
}


@pytest.mark.parametrize("name", sorted(NORMS))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_norm(name: str) -> None:
    make, shape = NORMS[name]
    check(one(make(), shape), normal(5, *shape))


@pytest.mark.parametrize("axis", [-1, None, (1, 2)])
def test_adapted_statistics(axis: Any) -> None:
    layer = L.Normalization(axis=axis)
    layer.adapt(normal(40, 3, 4) * 3 + 1)
    inputs = keras.Input((3, 4))
    check(keras.Model(inputs, layer(inputs)), normal(5, 3, 4))


def test_norm_behind_a_convolution_is_stored_channels_first() -> None:
    model = keras.Sequential(
        [keras.Input((6, 6, 2)), L.Conv2D(3, 3), L.BatchNormalization(), L.ReLU(), L.Conv2D(2, 2), L.Flatten()]
    )
    reading = check(randomised(model), normal(5, 6, 6, 2))
    assert [step.op for step in reading.graph.steps] == [
        *("transpose", "conv", "batch_norm", "unary", "conv", "transpose", "reshape")
    ]


NAMES = (
    *("relu", "leaky_relu", "relu6", "softmax", "celu", "elu", "selu", "softplus", "softsign", "squareplus", "soft_shrink"),
    *("sparse_plus", "silu", "gelu", "glu", "tanh", "tanh_shrink", "sigmoid", "sparse_sigmoid", "exponential", "hard_sigmoid"),
    *("hard_silu", "hard_tanh", "hard_shrink", "linear", "mish", "log_softmax", "log_sigmoid", "swish", "hard_swish"),
)
EDGES = np.array([[-8, -3, -1, -0.5, -1e-3, 0.0], [0.5, 0.25, 1, 3, 6, 8], [-20, 20, -6, 0.1, 2, -2]], dtype=np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_activation_by_name(name: str) -> None:
    sample = np.concatenate([EDGES, normal(3, 6)])
    check(one(L.Activation(name), (6,)), sample)


@pytest.mark.parametrize(
    "make",
    [
        *(lambda: L.ReLU(), lambda: L.ReLU(max_value=2.0), lambda: L.ReLU(negative_slope=0.2), lambda: L.ReLU(threshold=0.5)),
        *(lambda: L.ReLU(max_value=3.0, negative_slope=0.1, threshold=0.25), lambda: L.ReLU(max_value=6.0)),
        *(lambda: L.ReLU(6.0, 0.1), lambda: L.LeakyReLU(), lambda: L.LeakyReLU(0.05), lambda: L.ELU(), lambda: L.ELU(0.3)),
        *(lambda: L.Softmax(), lambda: L.Activation(L.ReLU(2.0)), lambda: L.Dense(6, activation=L.LeakyReLU(0.3))),
        *(lambda: L.PReLU(), lambda: L.Activation(lambda x: keras.activations.gelu(x, approximate=True))),
        lambda: L.Dense(6, activation=lambda x: keras.ops.relu(x) + 1),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_activation_layer(make: Any) -> None:
    check(one(make(), (6,)), np.concatenate([EDGES, normal(3, 6)]))


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
@pytest.mark.parametrize("axis", [-1, 1, [1, 2]])
def test_softmax_axis(shape: tuple[int, ...], axis: Any) -> None:
    check(one(L.Softmax(axis=axis), shape), normal(5, *shape))


@pytest.mark.parametrize("shared", [None, [1], [1, 2]])
def test_prelu_shared_axes_behind_a_convolution(shared: Any) -> None:
    model = keras.Sequential([keras.Input((5, 4, 2)), L.Conv2D(3, 2), L.PReLU(shared_axes=shared)])
    check(randomised(model), normal(5, 5, 4, 2))


MERGES = {name: getattr(L, name) for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")}


@pytest.mark.parametrize("name", sorted(MERGES))
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 4), (1, 4)), ((2, 3, 4), (4,)), ((4,), (4,))])
def test_merge(name: str, shapes: Any) -> None:
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, MERGES[name]()(inputs))
    check(model, [normal(5, *shape) for shape in shapes])


@pytest.mark.parametrize("name", ["Add", "Average", "Maximum"])
def test_merge_of_three(name: str) -> None:
    inputs = [keras.Input((4,)) for _ in range(3)]
    check(keras.Model(inputs, MERGES[name]()(inputs)), [normal(5, 4) for _ in range(3)])


@pytest.mark.parametrize("axis", [-1, 1, 2, 3])
def test_concatenate_behind_convolutions(axis: int) -> None:
    x = keras.Input((6, 6, 2))
    a, b = L.Conv2D(3, 3)(x), L.Conv2D(3, 3, activation="relu")(x)
    check(randomised(keras.Model(x, L.Concatenate(axis=axis)([a, b]))), normal(5, 6, 6, 2))


@pytest.mark.parametrize(
    ("shapes", "axes"),
    [
        (((4,), (4,)), 1),
        (((3, 4), (2, 4)), 2),
        (((3, 4), (4, 2)), (2, 1)),
        (((3, 4), (4,)), (2, 1)),
        (((3, 4), (3, 2)), 1),
        (((4,), (4,)), -1),
    ],
)
@pytest.mark.parametrize("normalize", [False, True])
def test_dot(shapes: Any, axes: Any, normalize: bool) -> None:
    inputs = [keras.Input(shape) for shape in shapes]
    check(keras.Model(inputs, L.Dot(axes, normalize=normalize)(inputs)), [normal(5, *shape) for shape in shapes])


EINSUMS = {
    "abc,cd->abd": ((4, 5), (None, 6), "d"),
    "abc,cde->abde": ((4, 5), (None, 2, 3), "de"),
    "...x,xy->...y": ((4, 5), 6, None),
    "abcd,cde->abe": ((3, 2, 5), (None, 6), "e"),
    "abc,bd->acd": ((4, 5), (5, 6), None),
    "abc,bcd->abd": ((4, 5), (4, 6), "d"),
    "ab,bc->ac": ((5,), (3,), "c"),
}


@pytest.mark.parametrize("equation", sorted(EINSUMS))
def test_einsum_dense(equation: str) -> None:
    shape, out, axes = EINSUMS[equation]
    check(one(L.EinsumDense(equation, output_shape=out, bias_axes=axes, activation="relu"), shape), normal(5, *shape))


@pytest.mark.parametrize("layer", [L.Dense(3, use_bias=False), L.Dense(3, activation="relu")])
@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 3, 4)])
def test_dense(layer: Any, shape: tuple[int, ...]) -> None:
    fresh = type(layer).from_config(layer.get_config())
    check(one(fresh, shape), normal(5, *shape))


@pytest.mark.parametrize(
    "make",
    [
        *(lambda: L.Dropout(0.5), lambda: L.GaussianNoise(0.3), lambda: L.GaussianDropout(0.3), lambda: L.AlphaDropout(0.3)),
        *(lambda: L.SpatialDropout1D(0.3), lambda: L.ActivityRegularization(0.1), lambda: L.Identity()),
    ],
)
def test_nothing_at_inference(make: Any) -> None:
    reading = check(one(make(), (3, 4)), normal(5, 3, 4))
    assert not reading.graph.steps


def test_doubles() -> None:
    inputs = keras.Input((4,), dtype="float64")
    model = keras.Model(inputs, L.Dense(3, dtype="float64", activation="tanh")(inputs))
    check(model, np.random.default_rng(0).normal(size=(5, 4)), unit=1e-13)
