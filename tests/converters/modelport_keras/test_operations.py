"""Functions of keras.ops inside functional models against Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from modelport.errors import UnsupportedModel
from tests.converters.modelport_keras.common import check, normal

#: functions of a value [n, 3, 4]
UNARY: dict[str, Callable[[Any], Any]] = {
    **{
        name: getattr(ops, name)
        for name in ("abs", "negative", "sign", "square", "exp", "expm1", "floor", "ceil", "round", "tanh")
    },
    **{name: getattr(ops, name) for name in ("sigmoid", "relu", "relu6", "softplus", "softsign", "silu", "gelu", "elu", "selu")},
    **{name: getattr(ops, name) for name in ("hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid", "celu")},
    **{name: getattr(ops, name) for name in ("sin", "cos", "tan", "arctan", "sinh", "cosh", "erf", "hard_shrink", "soft_shrink")},
    **{
        name: getattr(ops, name)
        for name in ("tanh_shrink", "squareplus", "sparse_plus", "log_softmax", "softmax", "stop_gradient")
    },
    "sqrt": lambda x: ops.sqrt(ops.abs(x) + 0.1),
    "rsqrt": lambda x: ops.rsqrt(ops.abs(x) + 0.1),
    "log": lambda x: ops.log(ops.abs(x) + 0.1),
    "log1p": lambda x: ops.log1p(ops.abs(x)),
    "log2": lambda x: ops.log2(ops.abs(x) + 0.1) + ops.log10(ops.abs(x) + 0.1),
    "reciprocal": lambda x: ops.reciprocal(ops.abs(x) + 0.5),
    "arcsin": lambda x: ops.arcsin(ops.clip(x, -1, 1)) + ops.arccos(ops.clip(x, -1, 1)),
    "scalars": lambda x: 2.0 * x + 1 - x / 3 + (1.0 - x) ** 2 - 2 / (ops.abs(x) + 1),
    "power": lambda x: ops.power(ops.abs(x) + 0.1, 1.5),
    "maximum": lambda x: ops.maximum(x, 0.25) + ops.minimum(x, 0.5),
    "constant": lambda x: x * np.arange(4, dtype="float32") + np.ones((1, 3, 1), "float32"),
    "gelu tanh": lambda x: ops.gelu(x, approximate=True),
    "softmax axis": lambda x: ops.softmax(x, axis=1),
    "clip": lambda x: ops.clip(x, -0.5, 0.75),
    "cast": lambda x: ops.cast(ops.cast(x * 5, "int32"), "float32"),
    "compare": lambda x: ops.cast(x > 0.1, "float32") + ops.cast(ops.less_equal(x, -0.2), "float32"),
    "logic": lambda x: ops.logical_or(ops.logical_not(x > 0), ops.logical_and(x > 1, x < 2)),
    "where": lambda x: ops.where(x > 0, x, x * 0.1),
    "where numbers": lambda x: ops.where(x > 0, 1.0, -1.0),
    "mean": lambda x: ops.mean(x, axis=1),
    "mean keep": lambda x: x - ops.mean(x, axis=-1, keepdims=True),
    "sum axes": lambda x: ops.sum(x, axis=(1, 2)),
    "max": lambda x: ops.max(x, axis=2) + ops.min(x, axis=2),
    "prod": lambda x: ops.prod(x, axis=1),
    "var": lambda x: ops.var(x, axis=-1) + ops.std(x, axis=-1),
    "logsumexp": lambda x: ops.logsumexp(x, axis=-1),
    "argmax": lambda x: ops.argmax(x, axis=-1),
    "any": lambda x: ops.any(x > 1, axis=1),
    "all": lambda x: ops.all(x > -1, axis=-1, keepdims=True),
    "norm": lambda x: ops.norm(x, axis=-1),
    "normalize": lambda x: ops.normalize(x, axis=-1),
    "cumsum": lambda x: ops.cumsum(x, axis=1),
    "reshape": lambda x: ops.reshape(x, (-1, 2, 6)),
    "transpose": lambda x: ops.transpose(x, (0, 2, 1)),
    "swapaxes": lambda x: ops.swapaxes(x, 1, 2),
    "moveaxis": lambda x: ops.moveaxis(x, -1, 1),
    "expand": lambda x: ops.squeeze(ops.expand_dims(ops.expand_dims(x, -1), 1), axis=1),
    "stack": lambda x: ops.stack([x, 2 * x], axis=1),
    "stack last": lambda x: ops.stack([x, 2 * x], axis=-1),
    "concatenate": lambda x: ops.concatenate([x, x * 2], axis=-1),
    "split": lambda x: ops.split(x, 2, axis=2)[1] + ops.split(x, [1, 3], axis=2)[1],
    "item": lambda x: x[:, 1] + x[..., 0:3:2, :][:, 0],
    "item new": lambda x: x[:, None, ::-1, 1:],
    "item end": lambda x: x[:, -1, -2:],
    "flip": lambda x: ops.flip(x, axis=1),
    "pad": lambda x: ops.pad(x, [[0, 0], [1, 2], [0, 1]], constant_values=0.5),
    "pad reflect": lambda x: ops.pad(x, [[0, 0], [1, 2], [0, 1]], mode="reflect"),
    "repeat": lambda x: ops.repeat(x, 3, axis=1),
    "tile": lambda x: ops.tile(x, (1, 2, 1)),
    "take": lambda x: ops.take(x, [2, 0], axis=1),
    "zeros": lambda x: x + ops.ones_like(x) - ops.zeros_like(x),
    "matmul": lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
    "matmul constant": lambda x: ops.matmul(x, np.arange(8, dtype="float32").reshape(4, 2)),
    "dot": lambda x: ops.dot(x, np.arange(8, dtype="float32").reshape(4, 2)),
    "einsum": lambda x: ops.einsum("bij,bkj->bik", x, x * 2),
    "einsum constant": lambda x: ops.einsum("bij,jk->bik", x, np.arange(8, dtype="float32").reshape(4, 2)),
    "integers": lambda x: ops.cast(x * 3, "int32") * 2 - 1,
    "integers by number": lambda x: ops.cast(x * 3, "int32") / 2,
    "one hot": lambda x: ops.one_hot(ops.cast(ops.abs(x), "int32"), 3),
}


@pytest.mark.parametrize("name", sorted(UNARY))
def test_function(name: str) -> None:
    x = keras.Input((3, 4), name="x")
    check(keras.Model(x, UNARY[name](x)), normal(5, 3, 4))


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum", "minimum", "not_equal", "greater"])
def test_of_two(name: str) -> None:
    x, y = keras.Input((3, 4), name="x"), keras.Input((1, 4), name="y")
    check(keras.Model([x, y], getattr(ops, name)(x, y)), [normal(5, 3, 4), normal(5, 1, 4)])


def test_lengths_that_vary() -> None:
    x = keras.Input((None, 4), name="x")
    y = ops.concatenate([x, ops.flip(x, axis=1)], axis=1)
    check(keras.Model(x, [y, ops.mean(y, axis=1), x[:, -1], ops.swapaxes(x, 1, 2)]), normal(5, 3, 4), other=normal(2, 6, 4))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda x: ops.mean(x), "mixes the rows"),
        (lambda x: ops.sum(x, axis=0, keepdims=True) + x, "does not mix rows"),
        (lambda x: ops.reshape(x, (5, 12)), "fixes the batch"),
        (lambda x: ops.sort(x, axis=-1), "Sort"),
    ],
)
def test_refusals(make: Any, says: str) -> None:
    x = keras.Input((3, 4), name="x")
    with pytest.raises(UnsupportedModel, match=says):
        check(keras.Model(x, make(x)), normal(5, 3, 4))
