"""Recurrent layers: LSTM, GRU, SimpleRNN, RNN over their cells, and both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelport.errors import UnsupportedModel

from ..activations import gate
from ..builder import Value
from ..network import Layer, flatten
from ..registry import keras_layer
from ..walking import Walker

#: keys of a layer that its cell has, too
CELL_KEYS = (
    *(
        "units",
        "activation",
        "recurrent_activation",
        "use_bias",
        "unit_forget_bias",
        "dropout",
        "recurrent_dropout",
        "reset_after",
    ),
    *("implementation", "seed"),
)


@dataclass(frozen=True)
class Ran:
    """What a recurrence gave: the sequence with every h at its own place (or None), the last h, and all last states."""

    sequence: str | None
    last: str
    states: list[str]


def _cell(layer: Layer, config: Layer) -> tuple[str, dict[str, Any]]:
    """The op for a cell, and its attributes. layer: where the cell's weights are; config: where its options are."""
    kind = config.class_name.removesuffix("Cell")
    config.waive("units", "unit_forget_bias", "dropout", "recurrent_dropout", "implementation")
    biased = config["use_bias"]
    arrays = layer.take(*(["kernel", "recurrent_kernel", "bias"] if biased else ["kernel", "recurrent_kernel"]))
    attributes: dict[str, Any] = {"weight": arrays[0].T, "recurrent": arrays[1].T, "fn": gate(config, "activation")}
    bias = arrays[2] if biased else None
    if kind == "SimpleRNN":
        return "rnn", {**attributes, "bias": bias}
    attributes["gate_fn"] = gate(config, "recurrent_activation")
    if kind == "LSTM":
        return "lstm", {**attributes, "bias": bias}
    if kind == "GRU":
        after = config["reset_after"]
        if after and bias is not None:
            return "gru", {**attributes, "bias": bias[0], "recurrent_bias": bias[1], "reset_after": True}
        return "gru", {**attributes, "bias": bias, "reset_after": True if after else None}
    raise UnsupportedModel(f"{config} is a cell that is not known here: LSTMCell, GRUCell and SimpleRNNCell are.")


@dataclass(frozen=True)
class Recurrence:
    """The options of a recurrent layer that its cells do not have."""

    backwards: bool
    zero_masked: bool


def _ran(
    walker: Walker,
    cell: tuple[str, dict[str, Any]],
    x: str,
    state: Sequence[Value],
    mask: str | None,
    how: Recurrence,
    sequence: bool,
) -> Ran:
    """One cell over a sequence; with `sequence` what it gives at every step."""
    net = walker.net
    op, attributes = cell
    common = {**attributes, "reverse": True if how.backwards else None}
    starts = [net.cast(value, net.near[x].dtype).plain for value in state]
    inputs = [x, *starts, *([mask] if mask is not None else [])]
    zeroed = True if how.zero_masked and mask is not None else None
    whole = net.add(op, *inputs, **common, zero_masked=zeroed, result="sequence") if sequence else None
    last = net.add(op, *inputs, **common, result="last")
    states = [last]
    if op == "lstm":
        states.append(net.add(op, *inputs, **common, result="cell"))
    if mask is not None and how.zero_masked:
        end = [0] if how.backwards else [-1]
        counts = net.add("slice", mask, axes=[0], starts=end, stops=[1 if how.backwards else 1 << 40])
        last = net.add("where", counts, last, net.constant(0.0, net.near[x].dtype))
    if mask is None or not state:
        return Ran(whole, last, states)
    # before the first step that counts Keras gives zeros, and not the state it starts from
    seen = _seen(walker, mask, how.backwards)
    zero = net.constant(0.0, net.near[x].dtype)
    if whole is not None:
        whole = net.add("where", net.insert(seen, -1), whole, zero)
    any_seen = net.add("cast", net.add("reduce", net.add("cast", mask, to="f64"), fn="max", axes=[0], keep=True), to="bool")
    return Ran(whole, net.add("where", any_seen, last, zero), states)


def _seen(walker: Walker, mask: str, backwards: bool) -> str:
    """Per step whether it, or one before it, counts."""
    net = walker.net
    count = net.add("cumsum", net.add("cast", mask, to="i64"), axis=0, reverse=True if backwards else None)
    return net.add("cast", count, to="bool")


def _options(layer: Layer) -> Recurrence:
    layer.demand("stateful", False, instead="a stateful layer answers otherwise with every call.")
    layer.waive("unroll", "time_major", "return_sequences", "return_state", "zero_output_for_mask")
    return Recurrence(bool(layer["go_backwards"]), bool(layer.config.get("zero_output_for_mask", False)))


def _cells(layer: Layer) -> list[tuple[str, dict[str, Any]]]:
    """The cells of a layer, the first one first."""
    if layer.class_name != "RNN":
        inner = layer.child({"class_name": f"{layer.class_name}Cell", "config": _cell_config(layer)}, "cell")
        return [_cell(inner, layer)]
    spec = layer["cell"]
    if not isinstance(spec, Mapping):
        raise layer.refuse("cell", "has no config that is known.")
    outer = layer.child(spec, "cell")
    if spec["class_name"] != "StackedRNNCells":
        cells = [outer]
    else:
        cells = outer.children(outer["cells"], "cells")
        outer.close()
    made = [_cell(cell, cell) for cell in cells]
    for cell in cells:
        cell.close()
    return made


def _cell_config(layer: Layer) -> dict[str, Any]:
    """The cell that Keras makes inside of a layer has the name of its class."""
    from ..naming import snake

    return {"name": snake(f"{layer.class_name}Cell")}


def _run_layer(
    walker: Walker, layer: Layer, x: Value, state: Sequence[Value], mask: Value | None, zero_masked: bool | None = None
) -> tuple[Ran, bool]:
    """A recurrent layer over a value; whether it went backwards."""
    how = _options(layer)
    if zero_masked is not None:
        how = Recurrence(how.backwards, zero_masked)
    cells = _cells(layer)
    sizes = [2 if op == "lstm" else 1 for op, _ in cells]
    if state and len(state) != sum(sizes):
        raise UnsupportedModel(f"{layer} starts from {len(state)} states, and has {sum(sizes)}.")
    name = walker.floats(layer, x).plain
    kept = None if mask is None else walker.tensor(mask, "bool").plain
    states: list[str] = []
    ran = Ran(None, name, [])
    at = 0
    for i, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
        last = i == len(cells) - 1
        part = Recurrence(how.backwards, how.zero_masked and last)
        ran = _ran(walker, cell, name, state[at : at + size], kept, part, layer["return_sequences"] or not last)
        states += ran.states
        at += size
        name = ran.sequence if ran.sequence is not None else name
    return Ran(ran.sequence, ran.last, states), how.backwards


def _states(walker: Walker, layer: Layer, given: Any) -> list[Value]:
    return [] if given is None else [walker.tensor(leaf) for leaf in flatten(given)]


def _rnn_mask(walker: Walker, layer: Layer, bound: Mapping[str, Any], previous: Any) -> Any:
    first = next(iter(flatten(previous)), None)
    return [first if layer.config.get("return_sequences") else None]


@keras_layer("LSTM", "GRU", "SimpleRNN", "RNN", masking=_rnn_mask)
def recurrent(walker: Walker, layer: Layer, sequences: Any, initial_state: Any = None, mask: Any = None) -> Any:
    net = walker.net
    mask = next(iter(flatten(mask)), None)
    ran, backwards = _run_layer(walker, layer, sequences, _states(walker, layer, initial_state), mask)
    if layer["return_sequences"]:
        assert ran.sequence is not None
        output = net.value(net.flip(ran.sequence, 0) if backwards else ran.sequence)
    else:
        output = net.value(ran.last)
    if not layer["return_state"]:
        return output
    return [output, *(net.value(state) for state in ran.states)]


def _both_masks(walker: Walker, layer: Layer, bound: Mapping[str, Any], previous: Any) -> Any:
    first = next(iter(flatten(previous)), None)
    inner = layer.config["layer"]["config"]
    kept = first if inner.get("return_sequences") else None
    return [kept] if layer.config.get("merge_mode") else [kept, kept]


@keras_layer("Bidirectional", masking=_both_masks)
def bidirectional(walker: Walker, layer: Layer, sequences: Any, initial_state: Any = None, mask: Any = None) -> Any:
    net = walker.net
    forward, backward = layer.child(layer["layer"], "forward_layer"), layer.child(layer["backward_layer"], "backward_layer")
    for inner in (forward, backward):
        if inner.class_name not in ("LSTM", "GRU", "SimpleRNN", "RNN"):
            raise UnsupportedModel(f"{layer} goes over {inner}, which is not known in both directions: LSTM, GRU and RNN are.")
    states = _states(walker, layer, initial_state)
    half = len(states) // 2
    mask = next(iter(flatten(mask)), None)
    whole = bool(forward["return_sequences"])
    runs = []
    for inner, state in ((forward, states[:half]), (backward, states[half:])):
        walker.net.scope.append(inner.name)
        runs.append(_run_layer(walker, inner, sequences, state, mask, zero_masked=whole))
        walker.net.scope.pop()
        wants_state = inner["return_state"]
        inner.close()
    (one, one_back), (two, two_back) = runs
    if whole:
        assert one.sequence is not None
        assert two.sequence is not None
        left = net.flip(one.sequence, 0) if one_back else one.sequence
        right = two.sequence if two_back else net.flip(two.sequence, 0)
    else:
        left, right = one.last, two.last
    made = _merged(walker, layer, left, right)
    if not wants_state:
        return made
    outputs = made if isinstance(made, list) else [made]
    return [*outputs, *(net.value(state) for state in (*one.states, *two.states))]


def _merged(walker: Walker, layer: Layer, left: str, right: str) -> Any:
    net, mode = walker.net, layer["merge_mode"]
    if mode is None:
        return [net.value(left), net.value(right)]
    if mode == "concat":
        return net.value(net.add("concat", left, right, axis=len(net.near[left].shape) - 1))
    fn = {"sum": "add", "ave": "add", "mul": "mul"}.get(mode)
    if fn is None:
        raise layer.refuse("merge_mode", f"is {mode!r}, which is not known.")
    made = net.add("binary", left, right, fn=fn)
    return net.value(net.add("scale", made, div=[2.0]) if mode == "ave" else made)
