"""Attention layers, with every kind of mask, against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from modelport.errors import UnsupportedModel
from tests.converters.modelport_keras.common import check, normal, randomised

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "value dim": {"value_dim": 5},
    "no bias": {"use_bias": False},
    "output shape": {"output_shape": 7},
    "output shapes": {"output_shape": (2, 3)},
    "dropout": {"dropout": 0.3},
    "gate": {"use_gate": True, "value_dim": 4},
    "window": {"sliding_window": 2},
}
CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"use_causal_mask": True},
    "scores": {"return_attention_scores": True},
    "causal scores": {"use_causal_mask": True, "return_attention_scores": True},
}


def tokens(*shape: int) -> np.ndarray:
    rows = np.random.default_rng(4).integers(0, 9, size=shape)
    rows[0, -2:] = rows[1, 0] = rows[-1] = 0
    return rows


@pytest.mark.parametrize("call", sorted(CALLS))
@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_multi_head(name: str, call: str) -> None:
    x = keras.Input((None, 6))
    made = L.MultiHeadAttention(2, 4, **OPTIONS[name])(x, x, **CALLS[call])
    check(randomised(keras.Model(x, made)), normal(5, 5, 6), other=normal(2, 8, 6))


@pytest.mark.parametrize("call", sorted(CALLS))
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_multi_head_with_masked_tokens(call: str, dropout: float) -> None:
    ids, others = keras.Input((5,), dtype="int32"), keras.Input((4,), dtype="int32")
    q, v = L.Embedding(9, 6, mask_zero=True)(ids), L.Embedding(9, 6, mask_zero=True)(others)
    made = L.MultiHeadAttention(2, 3, dropout=dropout)(q, v, **CALLS[call])
    first = made[0] if isinstance(made, tuple) else made
    ends = [*(made if isinstance(made, tuple) else [made]), L.LSTM(3)(first), L.GlobalAveragePooling1D()(q)]
    check(randomised(keras.Model([ids, others], ends)), [tokens(6, 5), tokens(6, 4)])


@pytest.mark.parametrize("shape", [(5, 4), (1, 5, 4), (2, 5, 4)])
def test_multi_head_with_an_explicit_mask(shape: tuple[int, ...]) -> None:
    q, v, k = keras.Input((5, 6)), keras.Input((4, 6)), keras.Input((4, 7))
    mask = keras.Input(shape, dtype="bool")
    made = L.MultiHeadAttention(2, 3)(q, v, key=k, attention_mask=mask)
    given = np.random.default_rng(1).random((5, *shape)) < 0.6
    check(randomised(keras.Model([q, v, k, mask], made)), [normal(5, 5, 6), normal(5, 4, 6), normal(5, 4, 7), given])


@pytest.mark.parametrize("call", sorted(CALLS))
@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"dropout": 0.1}])
def test_grouped(call: str, options: dict[str, Any]) -> None:
    ids = keras.Input((5,), dtype="int32")
    x = L.Embedding(9, 6, mask_zero=True)(ids)
    made = L.GroupQueryAttention(3, 4, 2, **options)(x, x, **CALLS[call])
    check(randomised(keras.Model(ids, made)), tokens(6, 5))


@pytest.mark.parametrize("call", sorted(CALLS))
@pytest.mark.parametrize(
    "make",
    [
        *(lambda: L.Attention(), lambda: L.Attention(use_scale=True), lambda: L.Attention(score_mode="concat")),
        *(lambda: L.Attention(score_mode="concat", use_scale=True), lambda: L.AdditiveAttention()),
        lambda: L.AdditiveAttention(use_scale=False),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_scores(make: Any, call: str, masked: bool) -> None:
    ids, others = keras.Input((5,), dtype="int32"), keras.Input((4,), dtype="int32")
    q, v = L.Embedding(9, 6, mask_zero=masked)(ids), L.Embedding(9, 6, mask_zero=masked)(others)
    made = make()([q, v], **CALLS[call])
    ends = [*(made if isinstance(made, tuple) else [made])]
    check(randomised(keras.Model([ids, others], ends)), [tokens(6, 5), tokens(6, 4)])


def test_attention_with_keys() -> None:
    q, v, k = keras.Input((None, 6)), keras.Input((4, 5)), keras.Input((4, 6))
    check(keras.Model([q, v, k], L.Attention()([q, v, k])), [normal(5, 3, 6), normal(5, 4, 5), normal(5, 4, 6)])


def test_a_transformer_of_tokens() -> None:
    ids = keras.Input((None,), dtype="int32")
    x = L.Embedding(9, 8, mask_zero=True)(ids)
    for _ in range(2):
        x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)]))
        x = L.LayerNormalization()(L.Add()([x, L.Dense(8)(L.Dense(12, activation="gelu")(x))]))
    check(randomised(keras.Model(ids, L.GlobalAveragePooling1D()(x))), tokens(6, 5)[:5], other=tokens(3, 9)[:2])


def test_refusals() -> None:
    x = keras.Input((3, 4, 6))
    with pytest.raises(UnsupportedModel):
        check(keras.Model(x, L.MultiHeadAttention(2, 3, attention_axes=(1, 2))(x, x)), normal(5, 3, 4, 6))
