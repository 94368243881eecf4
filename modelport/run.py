"""The reference evaluator: a loop over the steps. It is the judge that explains a graph, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GraphError, InputError
from .graph import DTYPES, Graph, Input, bind
from .ops import OPS

__all__ = ["Evaluator", "check_inputs"]

Array = NDArray[Any]
BLOCK_ELEMENTS = 1 << 22
#: graphs for other lengths that an evaluator keeps
KEPT_LENGTHS = 8


def check_inputs(inputs: tuple[Input, ...], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The feeds as arrays of the declared dtype and shape [n, *row shape].

    Raises InputError for a missing, extra, mis-shaped or mis-typed input, and for NaN or null where it is not accepted.
    """
    known = {value.name for value in inputs}
    extra = sorted(feeds.keys() - known)
    if extra:
        raise InputError(f"The input {extra[0]!r} is not one of the model's: {', '.join(sorted(known))}.")
    checked: dict[str, Array] = {}
    for value in inputs:
        if value.name not in feeds:
            raise InputError(f"The input {value.name!r} is missing: give one value per row for it.")
        checked[value.name] = _checked(value, np.asarray(feeds[value.name]))
    counts = {name: len(array) for name, array in checked.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"The inputs differ in their number of rows: {counts}.")
    bind(inputs, {name: array.shape[1:] for name, array in checked.items()})
    return checked


def _checked(value: Input, array: Array) -> Array:
    if array.ndim == 0 or not value.takes(array.shape[1:]):
        needed = ", ".join(["rows", *map(str, value.shape)])
        raise InputError(f"Input {value.name!r} has shape {list(array.shape)}; [{needed}] is needed.")
    if array.dtype.kind == "U":
        array = array.astype(object)
    if (array.dtype == object) != (value.dtype == "str") or array.dtype.kind not in "fiubO":
        raise InputError(f"Input {value.name!r} holds {array.dtype}; {value.dtype} is needed.")
    if value.dtype == "str":
        cells = array.ravel().tolist()
        if not set(map(type, cells)) <= {str, type(None)}:
            wrong = [v for v in cells if not (v is None or isinstance(v, str))]
            if wrong:
                raise InputError(f"Input {value.name!r} holds {wrong[0]!r}, which is neither a string nor missing.")
        missing = np.array([v is None for v in cells] if value.missing == "error" else [], dtype=bool)
    else:
        target = DTYPES[value.dtype]
        if target.kind in "ib" and array.dtype.kind != target.kind and not (target.kind == "i" and array.dtype.kind in "ub"):
            raise InputError(f"Input {value.name!r} holds {array.dtype}; {value.dtype} is needed.")
        with np.errstate(over="ignore"):
            array = array.astype(target, copy=False)
        missing = np.isnan(array) if target.kind == "f" else np.zeros(0, dtype=bool)
    if value.missing == "error" and missing.any():
        first = int(np.flatnonzero(missing.reshape(len(array), -1).any(axis=1))[0])
        raise InputError(f"Row {first} of input {value.name!r} has a missing value, which this model does not accept.")
    return array


class Evaluator:
    """Runs a graph on arrays.

    >>> from modelport.graph import Graph, Input, Output, Step
    >>> graph = Graph([Input("x", "f64", (2,))], [Step("scale", ["x"], "y", {"sub": np.array([1.0, 2.0])})],
    ...               [Output("transformed", "y", "f64", "transform")])
    >>> Evaluator(graph).run({"x": np.array([[1.0, 5.0]])})["transformed"].tolist()
    [[0.0, 3.0]]
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._program = []
        last = {name: i for i, step in enumerate(graph.steps) for name in step.inputs}
        kept = {output.source for output in graph.outputs}
        for i, step in enumerate(graph.steps):
            op = OPS[step.op]
            attributes = op.prepare(step.attributes, *(graph.types[n] for n in step.inputs)) if op.prepare else step.attributes
            done = [name for name in dict.fromkeys(step.inputs) if last[name] == i and name not in kept]
            self._program.append((step, op, attributes, done))
        total = sum(value.width for value in graph.types.values())
        self._block = max(1, BLOCK_ELEMENTS // max(1, total))
        self._others: dict[tuple[int, ...], Evaluator] = {}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name -> array [n, *row shape]; rows are evaluated in blocks so that memory stays bounded."""
        checked = check_inputs(self.graph.inputs, feeds)
        return self._fitting(checked)._run(checked)

    def values(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every value of the graph by name, intermediate ones included."""
        checked = check_inputs(self.graph.inputs, feeds)
        return self._fitting(checked)._values(checked, keep=True)

    def _fitting(self, checked: Mapping[str, Array]) -> Evaluator:
        """This evaluator, or one of the graph for the lengths that the rows have."""
        if not self.graph.lengths:
            return self
        lengths = bind(self.graph.inputs, {name: array.shape[1:] for name, array in checked.items()})
        if lengths == dict(self.graph.lengths):
            return self
        key = tuple(lengths[name] for name in self.graph.lengths)
        if key not in self._others:
            try:
                fitting = Evaluator(self.graph.at(lengths))
            except GraphError as error:
                said = ", ".join(f"{name} {length}" for name, length in lengths.items())
                raise InputError(f"The model does not take rows of the lengths {said}: {error}") from None
            if len(self._others) >= KEPT_LENGTHS:
                self._others.clear()
            self._others[key] = fitting
        return self._others[key]

    def _run(self, checked: Mapping[str, Array]) -> dict[str, Array]:
        n = len(next(iter(checked.values())))
        outputs = {o.name: o.source for o in self.graph.outputs}
        blocks = []
        for start in range(0, max(n, 1), self._block):
            part = {name: array[start : start + self._block] for name, array in checked.items()}
            try:
                values = self._values(part)
            except InputError as error:
                raise InputError(_shift_row(str(error), start)) from None
            blocks.append({name: values[source] for name, source in outputs.items()})
        return {name: np.concatenate([block[name] for block in blocks]) for name in outputs}

    def _values(self, checked: Mapping[str, Array], keep: bool = False) -> dict[str, Array]:
        values = dict(checked)
        n = len(next(iter(checked.values())))
        for step, op, attributes, done in self._program:
            arguments = [values[name] for name in step.inputs]
            try:
                values[step.output] = op.run(attributes, *arguments) if arguments else op.run(attributes, n)
            except InputError as error:
                raise InputError(f"{error} (at {step})") from None
            if not keep:
                for name in done:
                    del values[name]
        return values


def _shift_row(sentence: str, start: int) -> str:
    """'Row 3: ...' counted from the first row of the whole batch."""
    head, colon, rest = sentence.partition(":")
    if start and head.startswith("Row ") and head[4:].isdigit():
        return f"Row {int(head[4:]) + start}{colon}{rest}"
    return sentence
