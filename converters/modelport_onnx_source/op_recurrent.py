"""LSTM, GRU and RNN: every direction is one step, or two where its last state is wanted beside the sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from .lengths import Dim, same
from .nodes import ADVICE, Node, handles
from .shaping import concat, cut, transpose
from .values import END, Builder, Known, Traced, Value

#: the gates of the format in the order of ONNX: input, output, forget, cell there
GATES = {"LSTM": (0, 2, 3, 1), "GRU": (0, 1, 2), "RNN": (0,)}
FUNCTIONS = {
    "relu": "relu", "tanh": "tanh", "sigmoid": "sigmoid", "affine": "linear", "hardsigmoid": "hard_sigmoid", "elu": "elu",
    "softsign": "softsign", "softplus": "softplus",
}  # fmt: skip
DEFAULTS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
#: the alpha and beta that the format's functions have
CONSTANTS = {"affine": (1.0, 0.0), "hardsigmoid": (1 / 6, 0.5), "elu": (1.0, 0.0)}
ONNX_CONSTANTS = {"affine": (1.0, 0.0), "hardsigmoid": (0.2, 0.5), "elu": (1.0, 0.0)}


@handles("LSTM", "GRU", "RNN")
def recurrent(b: Builder, node: Node) -> list[Value | None]:
    cell = _Cell(b, node)
    parts = [cell.run(k) for k in range(cell.directions)]
    node.first_only(1, 2)
    outputs: list[Value | None] = [None] * len(node.used)
    for index, place in enumerate(("sequence", "last", "cell")):
        if index < len(node.used) and node.used[index]:
            joined = _joined(b, [part[place] for part in parts], 1 if place == "sequence" else 0)
            outputs[index] = cell.laid_out(joined, place)
    return outputs


def _joined(b: Builder, values: Sequence[Value], axis: int) -> Value:
    """The directions beside each other: [t, u] each becomes [t, directions, u]."""
    parts = [b.reshape(v, (*v.shape[:axis], 1, v.shape[-1])) for v in values]
    if len(parts) == 1:
        return parts[0]
    flat = concat(b, values, len(values[0].shape) - 1)  # along the units, from where the new axis is a reshape away
    return b.reshape(flat, (*values[0].shape[:axis], len(parts), values[0].shape[-1]))


class _Cell:
    """A node's weights and states, direction by direction."""

    def __init__(self, b: Builder, node: Node) -> None:
        self.b, self.node = b, node
        self.layout = int(node.attr("layout", 0))
        x = node.traced(b, 0)
        if self.layout:
            x = b.traced(transpose(b, x, [1, 0, 2]))
        if not same(x.shape[1], 1):
            raise UnsupportedModel(f"The ONNX model's {node} reads {x.shape[1]} sequences of a row at once. {ADVICE}")
        self.x, self.time = x, x.shape[0]
        weight, recurrent_ = node.known(1, "the weight"), node.known(2, "the recurrent weight")
        assert weight is not None
        assert recurrent_ is not None
        self.weight, self.recurrent, self.bias = weight.array, recurrent_.array, node.known(3, "the bias")
        self.directions, self.units = len(self.weight), self.recurrent.shape[2]
        node.waive("hidden_size", "output_sequence")
        direction = node.attr("direction", "forward")
        self.reversed = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}.get(direction)
        if self.reversed is None or len(self.reversed) != self.directions:
            raise node.refused("direction", f"direction={direction!r} and {self.directions} sets of weights")
        self._check_lengths()
        self.states = [node.get(k) for k in ((5, 6) if node.kind == "LSTM" else (5,))]
        self._check_shapes()
        peepholes = node.known(7, "the peepholes") if node.kind == "LSTM" else None
        if peepholes is not None and peepholes.array.any():
            raise UnsupportedModel(f"The ONNX model's {node} has peepholes, which no step expresses. {ADVICE}")
        if node.kind == "LSTM":
            node.only("input_forget", 0)
        if node.attr("clip") is not None:
            raise node.refused("clip", f"clip={node.attr('clip')}")
        self.reset_after = bool(node.attr("linear_before_reset", 0)) if node.kind == "GRU" else None

    def _check_shapes(self) -> None:
        """The gates stand below each other, each of as many units as the states have (torch.onnx drops proj_size silently)."""
        rows = len(GATES[self.node.kind]) * self.units
        wanted: list[tuple[str, Sequence[Dim], Sequence[Dim]]] = [
            ("weights W", self.weight.shape, (self.directions, rows, self.x.shape[2])),
            ("recurrent weights R", self.recurrent.shape, (self.directions, rows, self.units)),
        ]
        if self.bias is not None:
            wanted.append(("biases B", self.bias.array.shape, (self.directions, 2 * rows)))
        for what, state in zip(("a first state", "a first cell state"), self.states, strict=False):
            if state is not None:
                wanted.append((what, state.shape[-1:], (self.units,)))
        for what, shape, asked in wanted:
            if len(shape) != len(asked) or not all(same(a, b) for a, b in zip(shape, asked, strict=True)):
                raise UnsupportedModel(
                    f"The ONNX model's {self.node} has {what} of {list(shape)} where {self.units} units ask for {list(asked)}: "
                    "a projection of the states (proj_size) is nothing that ONNX has. Use an LSTM without it, and a linear layer."
                )

    def _check_lengths(self) -> None:
        given = self.node.get(4)
        if given is None:
            return
        full = isinstance(given, Known) and all(same(n, self.time) for n in given.array.ravel().tolist())
        if not full:
            raise UnsupportedModel(f"The ONNX model's {self.node} has sequence_lens, which no step expresses. {ADVICE}")

    def _functions(self, k: int) -> dict[str, str]:
        """fn and gate_fn of a direction, where they are not the defaults."""
        defaults = DEFAULTS[self.node.kind]
        names = [str(n).lower() for n in self.node.attr("activations", list(defaults) * self.directions)]
        alphas, betas = (list(self.node.attr(name, [])) for name in ("activation_alpha", "activation_beta"))
        for name in names:
            own = name not in FUNCTIONS
            constants = ONNX_CONSTANTS.get(name, (None, None))
            found = (alphas[0] if alphas else constants[0], betas[0] if betas else constants[1])
            if own or (name in CONSTANTS and any(abs(f - c) > 1e-7 for f, c in zip(found, CONSTANTS[name], strict=True))):
                raise self.node.refused("activations", f"the activation {name!r} with alpha, beta = {found}")
        mine = names[k * len(defaults) : (k + 1) * len(defaults)]
        if self.node.kind == "LSTM" and mine[1] != mine[2]:
            raise self.node.refused("activations", f"different activations {mine[1:]} of cell and output")
        found_ = {"fn": FUNCTIONS[mine[-1]]} if mine[-1] != "tanh" else {}
        if len(mine) > 1 and mine[0] != "sigmoid":
            found_["gate_fn"] = FUNCTIONS[mine[0]]
        return found_

    def _gates(self, array: np.ndarray) -> np.ndarray:
        parts = np.split(array, len(GATES[self.node.kind]))
        return np.ascontiguousarray(np.concatenate([parts[k] for k in GATES[self.node.kind]]))

    def _attributes(self, k: int) -> dict[str, Any]:
        found: dict[str, Any] = {"weight": self._gates(self.weight[k]), "recurrent": self._gates(self.recurrent[k])}
        if self.bias is not None:
            first, second = (self._gates(part) for part in np.split(self.bias.array[k], 2))
            if self.node.kind == "GRU":
                found |= {"bias": first, "recurrent_bias": second}
            else:
                total = first.astype(np.float64) + second.astype(np.float64)
                found["bias"] = total.astype(first.dtype)
        if self.reset_after:
            found["reset_after"] = True
        return {**found, **self._functions(k), "reverse": True if self.reversed and self.reversed[k] else None}

    def _start(self, k: int) -> list[str]:
        """The names of the states that direction k begins with; zeros are left out."""
        given = [state for state in self.states if state is not None]
        if all(isinstance(state, Known) and not state.array.any() for state in given):
            return []
        names = []
        for state in self.states:
            if state is None:
                names.append(self.b.constant(np.zeros(self.units, dtype=self.weight.dtype)))
                continue
            if self.layout:
                state = transpose(self.b, state, [1, 0, 2])
            one = self.b.traced(cut(self.b, state, [0], [k], [k + 1], [1]))
            names.append(self.b.form(one, (self.units,)))
        return names

    def run(self, k: int) -> dict[str, Value]:
        """What is wanted of direction k: the sequence [t, u], the last state [u], the last cell [u]."""
        b, node = self.b, self.node
        inputs = [b.form(self.x, (self.time, self.x.shape[2])), *self._start(k)]
        attributes = self._attributes(k)
        dtype = self.x.dtype
        used = [*node.used, False, False, False]
        found: dict[str, Value] = {}

        def step(result: str | None, row: tuple[Dim, ...]) -> Traced:
            made = b.add(node.kind.lower(), inputs, dtype, row, **attributes, result=result, dtype=dtype)
            return Traced(made, row, row, dtype)

        if used[0]:
            found["sequence"] = sequence = step(None, (self.time, self.units))
        if used[1]:
            if used[0]:
                at_end = [0, 1] if attributes["reverse"] else [-1, END]
                found["last"] = b.reshape(cut(b, sequence, [0], at_end[:1], at_end[1:], [1]), (self.units,))
            else:
                found["last"] = step("last", (self.units,))
        if used[2]:
            found["cell"] = step("cell", (self.units,))
        return found

    def laid_out(self, value: Value, place: str) -> Value:
        """The axes of ONNX: [t, directions, n, u] and [directions, n, u], or with n first."""
        shape = value.shape
        batch = (1, *shape) if self.layout else (*shape[:-1], 1, shape[-1])
        return self.b.reshape(value, batch)
