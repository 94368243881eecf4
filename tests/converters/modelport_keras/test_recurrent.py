"""Recurrent layers, option by option, with and without masks and states, against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from modelport.errors import UnsupportedAttribute, UnsupportedModel
from tests.converters.modelport_keras.common import check, normal, one, randomised

KINDS = {
    "lstm": L.LSTM,
    "gru": L.GRU,
    "gru before": lambda units, **options: L.GRU(units, reset_after=False, **options),
    "rnn": L.SimpleRNN,
}


def padded() -> np.ndarray:
    """Sequences with masked steps at both ends and inside; one is masked throughout."""
    rows = normal(6, 5, 3)
    rows[0, 3:] = rows[1, :2] = rows[2, 2] = rows[3] = 0
    return rows


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_directions(kind: str, sequences: bool, backwards: bool) -> None:
    layer = KINDS[kind](4, return_sequences=sequences, go_backwards=backwards)
    check(one(layer, (None, 3)), normal(5, 6, 3), other=normal(2, 9, 3))


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(
    "options", [{"use_bias": False}, {"activation": "relu"}, {"unroll": True}, {"dropout": 0.2, "recurrent_dropout": 0.1}]
)
def test_options(kind: str, options: dict[str, Any]) -> None:
    check(one(KINDS[kind](4, **options), (6, 3)), normal(5, 6, 3))


@pytest.mark.parametrize(
    "fn", ["tanh", "sigmoid", "relu", "hard_sigmoid", "linear", "softsign", "silu", "elu", "selu", "softplus", "gelu"]
)
def test_functions(fn: str) -> None:
    check(one(L.LSTM(4, activation=fn), (5, 3)), normal(5, 5, 3))
    check(one(L.GRU(4, recurrent_activation=fn), (5, 3)), normal(5, 5, 3) * 0.3)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_masks(kind: str, sequences: bool, backwards: bool, zero: bool) -> None:
    x = keras.Input((5, 3))
    options = {"return_sequences": sequences, "go_backwards": backwards}
    layer = L.RNN(L.LSTMCell(4), zero_output_for_mask=zero, **options) if kind == "lstm" else KINDS[kind](4, **options)
    check(randomised(keras.Model(x, layer(L.Masking()(x)))), padded())


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_states(kind: str, masked: bool, backwards: bool) -> None:
    x, h, c = keras.Input((5, 3)), keras.Input((4,)), keras.Input((4,))
    states = [h, c] if kind == "lstm" else [h]
    layer = KINDS[kind](4, return_sequences=True, return_state=True, go_backwards=backwards)
    mask = L.Masking().compute_mask(x) if masked else None
    outputs = layer(x, initial_state=states, mask=mask)
    model = randomised(keras.Model([x, *states], outputs))
    check(model, [padded(), *(normal(6, 4) for _ in states)])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_state_and_a_mask_give_zeros_before_the_first_step(kind: str) -> None:
    x, h, c = keras.Input((5, 3)), keras.Input((4,)), keras.Input((4,))
    states = [h, c] if kind == "lstm" else [h]
    last = KINDS[kind](4)(x, initial_state=states, mask=L.Masking().compute_mask(x))
    check(randomised(keras.Model([x, *states], last)), [padded(), *(normal(6, 4) for _ in states)])


@pytest.mark.parametrize("merge", ["concat", "sum", "ave", "mul", None])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_bidirectional(merge: Any, sequences: bool, masked: bool) -> None:
    x = keras.Input((5, 3))
    inner = L.Masking()(x) if masked else x
    layer = L.Bidirectional(L.LSTM(4, return_sequences=sequences), merge_mode=merge)
    check(randomised(keras.Model(x, layer(inner))), padded())


def test_bidirectional_with_another_backward_layer() -> None:
    layer = L.Bidirectional(L.GRU(4, go_backwards=True, return_sequences=True), backward_layer=L.GRU(3, return_sequences=True))
    check(one(layer, (5, 3)), normal(5, 5, 3))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_bidirectional_states(kind: str) -> None:
    x = keras.Input((5, 3))
    count = 4 if kind == "lstm" else 2
    states = [keras.Input((4,)) for _ in range(count)]
    outputs = L.Bidirectional(KINDS[kind](4, return_sequences=True, return_state=True))(x, initial_state=states)
    check(randomised(keras.Model([x, *states], outputs)), [normal(5, 5, 3), *(normal(5, 4) for _ in states)])


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_cells(sequences: bool, masked: bool) -> None:
    cells = [L.LSTMCell(4), L.GRUCell(3, reset_after=False), L.SimpleRNNCell(5, activation="relu"), L.LSTMCell(2)]
    x = keras.Input((5, 3))
    inner = L.Masking()(x) if masked else x
    check(randomised(keras.Model(x, L.RNN(cells, return_sequences=sequences)(inner))), padded())
    check(randomised(keras.Model(x, L.RNN(L.GRUCell(4))(inner))), padded())


def test_encoder_and_decoder() -> None:
    source, target = keras.Input((None, 3), name="source"), keras.Input((None, 2), name="target")
    _, h, c = L.LSTM(4, return_state=True)(source)
    made = L.LSTM(4, return_sequences=True)(target, initial_state=[h, c])
    model = randomised(keras.Model([source, target], L.Dense(2)(made)))
    reading = check(
        model,
        {"source": normal(5, 6, 3), "target": normal(5, 4, 2)},
        other={"source": normal(2, 3, 3), "target": normal(2, 8, 2)},
    )
    assert set(reading.graph.lengths) == {"source_1", "target_1"}


INNER: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "dense": (lambda: L.Dense(3, activation="relu"), (None, 4)),
    "conv": (lambda: L.Conv2D(2, 2), (3, 4, 4, 2)),
    "flatten": (lambda: L.Flatten(), (None, 4, 2)),
    "flatten fixed": (lambda: L.Flatten(), (3, 4, 2)),
    "lstm": (lambda: L.LSTM(3), (3, 4, 2)),
    "model": (lambda: keras.Sequential([keras.Input((4, 4, 2)), L.Conv2D(3, 2), L.GlobalMaxPooling2D()]), (3, 4, 4, 2)),
}


@pytest.mark.parametrize("name", sorted(INNER))
def test_time_distributed(name: str) -> None:
    make, shape = INNER[name]
    sample = normal(5, *(6 if k is None else k for k in shape))
    check(one(L.TimeDistributed(make()), shape), sample)


def test_masks_go_through_layers_as_in_keras() -> None:
    tokens = keras.Input((6,), dtype="int32")
    x = L.Embedding(9, 4, mask_zero=True)(tokens)
    a = L.Dropout(0.1)(L.Dense(4)(x))
    b = L.Embedding(9, 4, mask_zero=True)(tokens)
    added = L.Add()([a, L.TimeDistributed(L.Dense(4))(b)])
    both = L.Concatenate(axis=1)([added, x])
    lost = L.Conv1D(4, 1)(added)
    ends = [L.LSTM(3)(added), L.GRU(3)(both), L.LSTM(2)(lost), L.GlobalAveragePooling1D()(added)]
    rows = np.random.default_rng(3).integers(0, 9, size=(6, 6))
    rows[:, 4:] = 0
    rows[0, 0] = 0
    check(randomised(keras.Model(tokens, ends)), rows)


@pytest.mark.parametrize("name", ["Multiply", "Maximum", "Minimum", "Add", "Average", "Subtract"])
@pytest.mark.parametrize("masked", [(True, True), (True, False), (False, True), (True, True, True), (False, True, True)])
def test_merging_of_masked_values(name: str, masked: tuple[bool, ...]) -> None:
    if name == "Subtract":
        masked = masked[:2]
    inputs = [keras.Input((5,), dtype="int32") for _ in masked]
    values = [L.Embedding(9, 4, mask_zero=on)(x) for x, on in zip(inputs, masked, strict=True)]
    made = getattr(L, name)()(values)
    rows = [np.random.default_rng(i).integers(0, 3, size=(6, 5)) for i in range(len(masked))]
    check(randomised(keras.Model(inputs, [made, L.LSTM(3)(made)])), rows)


def test_softmax_with_a_mask() -> None:
    x, m = keras.Input((3, 4)), keras.Input((3, 4), dtype="bool")
    mask = np.random.default_rng(1).random((5, 3, 4)) < 0.5
    mask[0, 0] = False
    check(keras.Model([x, m], L.Softmax()(x, mask=m)), [normal(5, 3, 4), mask])


def test_refusals() -> None:
    x = keras.Input(batch_shape=(5, 4, 3))
    with pytest.raises(UnsupportedAttribute, match="stateful"):
        check(keras.Model(x, L.LSTM(2, stateful=True)(x)), normal(5, 4, 3))
    with pytest.raises(UnsupportedModel, match="recurrence of convolutions"):
        check(one(L.ConvLSTM1D(2, 2), (3, 5, 2)), normal(5, 3, 5, 2))
    with pytest.raises(UnsupportedAttribute, match="activation"):
        check(one(L.LSTM(2, activation="mish"), (3, 2)), normal(5, 3, 2))
