"""Ops of profile `nn` that walk along a sequence: lstm, gru, rnn. All in f64; the states are rounded after every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..graph import ValueType
from .activations import elu, gelu, hard_sigmoid, selu
from .arithmetic import relu, sigmoid, softplus
from .base import DEAR, Array, Attribute, Attributes, floating, length, lengths, parts, register, require, round_to, wide

#: numbers in the gates of sequences that are held at once
GATES = 1 << 22

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "hard_sigmoid": hard_sigmoid,
    "linear": lambda x: x,
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "silu": lambda x: x * sigmoid(x),
    "elu": elu,
    "selu": selu,
    "softplus": softplus,
    "gelu": gelu,
}


# --- what the three share -----------------------------------------------------------------------------------------------------


def _check(a: Attributes, parts_of_weight: int, states: int, x: ValueType, more: tuple[ValueType, ...]) -> ValueType:
    """The type of the result; `more` are the first states, all or none, and perhaps a mask."""
    floating(x)
    lengths(x)
    require(len(x.shape) == 2, f"it reads a sequence [time, features], but is given {x}.")
    time, width = x.shape
    rows, units = a["weight"].shape[0], a["recurrent"].shape[1]
    require(units >= 1, "attribute 'recurrent' is empty.")
    found, needed = a["recurrent"].shape[0], parts_of_weight * units
    require(rows == found == needed, f"'weight' has {rows} rows and 'recurrent' {found}; {units} units need {needed}.")
    require(a["weight"].shape[1] == width, f"attribute 'weight' has {a['weight'].shape[1]} columns for {width} features.")
    for name in ("bias", "recurrent_bias"):
        length(a, name, rows)
    masked = bool(more) and more[-1].dtype == "bool"
    if masked:
        require(more[-1].shape == (time,), f"the mask of {time} steps is given as {more[-1]}.")
    require(masked or not a["zero_masked"], "attribute 'zero_masked' goes with a mask.")
    given = more[: len(more) - masked]
    require(len(given) in (0, states), f"it takes {states} first states or none, but is given {len(given)}.")
    for value in given:
        floating(value)
        require(value.shape == (units,), f"a first state of {units} units is given as {value}.")
    return ValueType(a["dtype"], (time, units) if a["result"] == "sequence" else (units,))


def _count(a: Attributes, x: ValueType, *more: ValueType) -> int:
    """Steps times the elements of weight and recurrent, and the functions of the gates."""
    return int(x.shape[0] * (a["weight"].size + a["recurrent"].size + 3 * DEAR * len(a["weight"])))


Turn = Callable[[Array, list[Array]], list[Array]]


def _walk(a: Attributes, turn: Turn, states: int, x: Array, more: tuple[Array, ...]) -> Array:
    """The result for rows x [n, t, i]: turn(z, states) advances the states, z being weight x + bias at one time."""
    masked = bool(more) and more[-1].dtype == np.bool_
    units = a["recurrent"].shape[1]
    blocks = []
    with np.errstate(all="ignore"):
        for part in parts(len(x), x.shape[1] * len(a["weight"]), GATES):
            y = wide(round_to(a, x[part]))
            first = [wide(round_to(a, state[part])) for state in more[: len(more) - masked]]
            first = first or [np.zeros((len(y), units)) for _ in range(states)]
            blocks.append(_steps(a, turn, y, first, more[-1][part] if masked else None))
    return round_to(a, np.concatenate(blocks))


def _gates(a: Attributes, y: Array) -> Iterator[tuple[int, Array]]:
    """(t, weight x_t + bias) in the order in which time is walked, computed for some of it at once."""
    weight, bias = wide(a["weight"]).T, wide(a["bias"]) if "bias" in a else 0.0
    spans = list(parts(y.shape[1], len(y) * weight.shape[1], GATES))
    for span in reversed(spans) if a["reverse"] else spans:
        z = y[:, span] @ weight + bias
        times = range(span.start, span.stop)
        for t in reversed(times) if a["reverse"] else times:
            yield t, z[:, t - span.start]


def _steps(a: Attributes, turn: Turn, y: Array, states: list[Array], mask: Array | None) -> Array:
    n, time = y.shape[:2]
    sequence = np.zeros((n, time, states[0].shape[1])) if a["result"] == "sequence" else None
    for t, z in _gates(a, y):
        after = [wide(round_to(a, state)) for state in turn(z, states)]
        if mask is not None:
            here = mask[:, t, None]
            after = [np.where(here, new, old) for new, old in zip(after, states, strict=True)]
        states = after
        if sequence is not None:
            sequence[:, t] = np.where(here, states[0], 0.0) if a["zero_masked"] else states[0]
    if sequence is not None:
        return sequence
    return states[1] if a["result"] == "cell" else states[0]


def _attributes(*results: str, gates: bool = True, **more: Attribute) -> dict[str, Any]:
    gate = {"gate_fn": Attribute("choice", default="sigmoid", options=tuple(FUNCTIONS))} if gates else {}
    return {
        "weight": Attribute("float", required=True, ranks=(2,)),
        "recurrent": Attribute("float", required=True, ranks=(2,)),
        "bias": Attribute("float"),
        **more,
        "fn": Attribute("choice", default="tanh", options=tuple(FUNCTIONS)),
        **gate,
        "reverse": Attribute("flag", default=False),
        "zero_masked": Attribute("flag", default=False),
        "result": Attribute("choice", default="sequence", options=("sequence", "last", *results)),
    }


# --- lstm, gru, rnn -----------------------------------------------------------------------------------------------------------


def infer_lstm(a: Attributes, x: ValueType, *more: ValueType) -> ValueType:
    return _check(a, 4, 2, x, more)


def lstm(a: Attributes, x: Array, *more: Array) -> Array:
    """Gates in the order input, forget, cell, output."""
    fn, gate, recurrent = FUNCTIONS[a["fn"]], FUNCTIONS[a["gate_fn"]], wide(a["recurrent"]).T

    def turn(z: Array, states: list[Array]) -> list[Array]:
        h, c = states
        i, f, g, o = np.split(z + h @ recurrent, 4, axis=1)
        c = gate(f) * c + gate(i) * fn(g)
        return [gate(o) * fn(c), c]

    return _walk(a, turn, 2, x, more)


def infer_gru(a: Attributes, x: ValueType, *more: ValueType) -> ValueType:
    return _check(a, 3, 1, x, more)


def gru(a: Attributes, x: Array, *more: Array) -> Array:
    """Gates in the order update, reset, new."""
    fn, gate, recurrent = FUNCTIONS[a["fn"]], FUNCTIONS[a["gate_fn"]], wide(a["recurrent"])
    units = recurrent.shape[1]
    gates, new = recurrent[: 2 * units].T, recurrent[2 * units :].T
    bias = wide(a["recurrent_bias"]) if "recurrent_bias" in a else np.zeros(3 * units)

    def turn(z: Array, states: list[Array]) -> list[Array]:
        (h,) = states
        u, r = np.split(gate(z[:, : 2 * units] + h @ gates + bias[: 2 * units]), 2, axis=1)
        if a["reset_after"]:
            n = fn(z[:, 2 * units :] + r * (h @ new + bias[2 * units :]))
        else:
            n = fn(z[:, 2 * units :] + (r * h) @ new + bias[2 * units :])
        return [(1 - u) * n + u * h]

    return _walk(a, turn, 1, x, more)


def infer_rnn(a: Attributes, x: ValueType, *more: ValueType) -> ValueType:
    return _check(a, 1, 1, x, more)


def rnn(a: Attributes, x: Array, *more: Array) -> Array:
    """h = fn(weight x + bias + recurrent h)."""
    fn, recurrent = FUNCTIONS[a["fn"]], wide(a["recurrent"]).T

    def turn(z: Array, states: list[Array]) -> list[Array]:
        return [fn(z + states[0] @ recurrent)]

    return _walk(a, turn, 1, x, more)


register("lstm", infer_lstm, lstm, inputs=(1, 4), floating=True, exact=False, since="1.1", cost=_count, **_attributes("cell"))
register(
    "gru",
    infer_gru,
    gru,
    inputs=(1, 3),
    floating=True,
    exact=False,
    since="1.1",
    cost=_count,
    **_attributes(recurrent_bias=Attribute("float"), reset_after=Attribute("flag", default=False)),
)
register("rnn", infer_rnn, rnn, inputs=(1, 3), floating=True, exact=False, since="1.1", cost=_count, **_attributes(gates=False))
