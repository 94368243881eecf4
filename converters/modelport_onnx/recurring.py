"""Translations of lstm, gru and rnn.

onnxruntime's own operators know f32, one mask for all and few functions. What they do not know is a Scan over time, in the dtype
of the step: it gives the numbers of the format for masks, for f64 and for any function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelport.graph import DTYPES, ValueType
from modelport.ops.base import Attributes

from . import wire
from .activations import GATES
from .arithmetic import rounded
from .builder import Builder, Shape, Value

__all__ = ["RULES"]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Recurrence:
    """What one of the three is given: the sequence [t, i], perhaps the states it starts from, perhaps a mask [t]."""

    b: Builder
    a: Attributes
    dtype: str
    x: Value
    states: list[Value]
    mask: Value | None

    @classmethod
    def of(cls, b: Builder, a: Attributes, out: ValueType, x: Value, others: Sequence[Value]) -> Recurrence:
        """The inputs told apart: a mask is the only one of dtype bool."""
        mask = others[-1] if others and others[-1].dtype == "bool" else None
        states = [rounded(a, v) for v in others if v is not mask]
        return cls(b, a, out.dtype, rounded(a, x), states, mask)

    @property
    def units(self) -> int:
        """The width of the state."""
        return int(self.a["recurrent"].shape[1])

    @property
    def reverse(self) -> int:
        return int(self.a.get("reverse", False))

    def plain(self, functions: Mapping[str, str]) -> bool:
        """Whether the runtime's own operator computes this: f32, no mask, and these functions (attribute -> its only value)."""
        same = all(self.a.get(name, value) == value for name, value in functions.items())
        return self.dtype == "f32" and self.mask is None and same

    def native(self, kind: str, order: Sequence[int], biases: Sequence[Array | None], **attributes: Any) -> Value:
        """One node of the runtime's own operator; order: the format's gates in that of ONNX."""
        b, u = self.b, self.units

        def sorted_(table: Array) -> Array:
            return np.concatenate([table[k * u : (k + 1) * u] for k in order])

        none = np.zeros(len(order) * u, np.float32)
        bias = np.concatenate([sorted_(none if v is None else v) for v in biases])[None]
        weights = [np.ascontiguousarray(sorted_(self.a[name])[None]) for name in ("weight", "recurrent")]
        start = [v.unsqueeze(0) for v in self.states]
        absent = [None] if start else []
        words: dict[str, Any] = {"hidden_size": u, "direction": "reverse" if self.reverse else "forward", **attributes}
        count = 3 if kind == "LSTM" else 2
        time_first = self.x.transpose(1, 0, 2)
        found = b.ops(kind, time_first, *weights, bias, *absent, *start, dtypes=(self.dtype,) * count, **words)
        result = self.a.get("result", "sequence")
        if result == "sequence":
            return found[0].squeeze(1).transpose(1, 0, 2)
        return found[1 if result == "last" else 2].squeeze(0)

    def entering(self, bias: Array | None) -> Value:
        """weight x_t + bias of every t, [N, t, gates * units]."""
        b, weight = self.b, self.a["weight"]
        if self.dtype == "f32":
            z = b.op("MatMul", self.x, np.ascontiguousarray(weight.T))
            return z if bias is None else z + bias
        flat = b.op("Reshape", self.x, np.array([-1, weight.shape[1]]))
        more = [] if bias is None else [bias]
        z = b.op("Gemm", flat, np.ascontiguousarray(weight), *more, transB=1)
        return b.op("Reshape", z, self._sizes(len(weight)))

    def _sizes(self, width: int) -> Value:
        """[number of rows, t, width]."""
        leading = self.b.op("Shape", self.x, dtype="i64", start=0, end=2)
        return self.b.concat([leading, self.b.constant(np.array([width]))], axis=0)

    def scan(self, entering: Value, count: int, step: Callable[..., list[Value]]) -> Value:
        """step(z [N, gates * units], *states) -> next states, for every t; `count` states, zeros unless they are given."""
        b, u, mask = self.b, self.units, self.mask
        zeros = b.filled(u, 0.0).cast(self.dtype)
        start = self.states or [zeros] * count
        shapes: list[Shape] = [[b.batch, u]] * count

        def body(values: list[Value]) -> list[Value]:
            states, (z, *rest) = values[:count], values[count:]
            following = step(z, *states)
            if not rest:
                return [*following, following[0]]
            here = rest[0].unsqueeze(1)
            kept = [here.where(new, old) for new, old in zip(following, states, strict=True)]
            return [*kept, here.where(kept[0], 0.0) if self.a.get("zero_masked", False) else kept[0]]

        width = len(self.a["weight"])
        inputs: list[tuple[str, str, Shape]] = [("state", self.dtype, shape) for shape in shapes]
        inputs.append(("z", self.dtype, [b.batch, width]))
        inputs += [("mask", "bool", [b.batch])] if mask is not None else []
        graph = b.body(inputs, body, [*shapes, [b.batch, u]])
        scanned = [entering] if mask is None else [entering, mask]
        many = len(scanned)
        words: dict[str, Any] = {
            "num_scan_inputs": many,
            "scan_input_axes": wire.Ints(np.ones(many, np.int64)),
            "scan_input_directions": wire.Ints(np.full(many, self.reverse)),
            "scan_output_axes": wire.Ints(np.ones(1, np.int64)),
            "scan_output_directions": wire.Ints(np.full(1, self.reverse)),
        }
        found = b.ops("Scan", *start, *scanned, dtypes=(self.dtype,) * (count + 1), body=graph, **words)
        return found[{"sequence": count, "last": 0, "cell": 1}[self.a.get("result", "sequence")]]

    def times(self, state: Value, weight: Array, bias: Array | None = None) -> Value:
        """weight state + bias: [N, gates * units]."""
        more = [] if bias is None else [bias]
        return self.b.op("Gemm", state, np.ascontiguousarray(weight), *more, transB=1)

    def gates(self, z: Value, count: int) -> list[Value]:
        """The parts of z that belong to the gates."""
        return self.b.ops("Split", z, np.full(count, self.units), dtypes=(self.dtype,) * count, axis=1)

    def fn(self, name: str, default: str) -> Callable[[Value], Value]:
        """The function that an attribute names."""
        return GATES[self.a.get(name, default)]


def lstm(b: Builder, a: Attributes, out: ValueType, x: Value, *others: Value) -> Value:
    """Gates in the order input, forget, cell, output."""
    r, bias = Recurrence.of(b, a, out, x, others), a.get("bias")
    if r.plain({"fn": "tanh", "gate_fn": "sigmoid"}):
        return r.native("LSTM", (0, 3, 1, 2), (bias, None))
    fn, gate = r.fn("fn", "tanh"), r.fn("gate_fn", "sigmoid")

    def step(z: Value, h: Value, c: Value) -> list[Value]:
        i, f, g, o = r.gates(z + r.times(h, a["recurrent"]), 4)
        cell = gate(f) * c + gate(i) * fn(g)
        return [gate(o) * fn(cell), cell]

    return r.scan(r.entering(bias), 2, step)


def gru(b: Builder, a: Attributes, out: ValueType, x: Value, *others: Value) -> Value:
    """Gates in the order update, reset, new."""
    r, bias, recurrent_bias = Recurrence.of(b, a, out, x, others), a.get("bias"), a.get("recurrent_bias")
    after, u = a.get("reset_after", False), r.units
    if r.plain({"fn": "tanh", "gate_fn": "sigmoid"}):
        return r.native("GRU", (0, 1, 2), (bias, recurrent_bias), linear_before_reset=int(after))
    fn, gate = r.fn("fn", "tanh"), r.fn("gate_fn", "sigmoid")
    weight = a["recurrent"]
    parts = [None, None] if recurrent_bias is None else [recurrent_bias[: 2 * u], recurrent_bias[2 * u :]]
    one = np.ones(1, DTYPES[out.dtype])

    def step(z: Value, h: Value) -> list[Value]:
        zu, zr, zn = r.gates(z, 3)
        update, reset = r.gates(r.times(h, weight[: 2 * u], parts[0]), 2)
        update, reset = gate(zu + update), gate(zr + reset)
        carried = reset * r.times(h, weight[2 * u :], parts[1]) if after else r.times(reset * h, weight[2 * u :], parts[1])
        return [(b.constant(one) - update) * fn(zn + carried) + update * h]

    return r.scan(r.entering(bias), 1, step)


def rnn(b: Builder, a: Attributes, out: ValueType, x: Value, *others: Value) -> Value:
    """h = fn(weight x_t + bias + recurrent h)."""
    r, bias = Recurrence.of(b, a, out, x, others), a.get("bias")
    for name in ("tanh", "relu", "sigmoid"):
        if a.get("fn", "tanh") == name and r.plain({}):
            return r.native("RNN", (0,), (bias, None), activations=[name.capitalize()])
    fn = r.fn("fn", "tanh")
    return r.scan(r.entering(bias), 1, lambda z, h: [fn(z + r.times(h, a["recurrent"]))])


RULES: Mapping[str, Callable[..., Value]] = {"lstm": lstm, "gru": gru, "rnn": rnn}
