"""Rows on which the original's own answer hangs on the last bits of a number: no artifact can be held against it there.

The k-th and the next neighbour of a row may lie equally far; which of them a model takes then depends on how it searches, and
an artifact that takes the other one is not wrong. Readers state such doubts with the steps they make; rows in doubt are left out
where an artifact is held against the original.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ModelportError
from .graph import Graph, Output
from .run import Evaluator

__all__ = ["Doubt", "in_doubt"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Doubt:
    """judge(*values) -> bool [n]: is a row in doubt, given the graph's values of these names (arrays [n, *row shape])?"""

    values: tuple[str, ...]
    judge: Callable[..., Array]


def in_doubt(graph: Graph, doubts: Sequence[Doubt], feeds: Mapping[str, Array]) -> Array:
    """bool [n]: rows of which a doubt holds; a row that the graph refuses is in none."""
    n = len(next(iter(feeds.values())))
    found = np.zeros(n, dtype=bool)
    doubts = [doubt for doubt in doubts if all(name in graph.types for name in doubt.values)]
    if not doubts or not n:
        return found
    names = sorted({name for doubt in doubts for name in doubt.values})
    prefix = _prefix(graph, names)
    with np.errstate(all="ignore"):
        for part, values in _answered(prefix, feeds, np.arange(n)):
            for doubt in doubts:
                found[part] |= np.asarray(doubt.judge(*(values[name] for name in doubt.values)), dtype=bool)
    return found


def _prefix(graph: Graph, names: Sequence[str]) -> Evaluator:
    """The part of a graph that computes some values."""
    needed, kept = set(names), []
    for step in reversed(graph.steps):
        if step.output in needed:
            kept.append(step)
            needed.update(step.inputs)
    outputs = [Output(name, name, graph.types[name].dtype, "transform") for name in names]
    return Evaluator(Graph(graph.inputs, kept[::-1], outputs, limits=graph.limits, lengths=graph.lengths))


def _answered(evaluator: Evaluator, feeds: Mapping[str, Array], rows: Array) -> list[tuple[Array, dict[str, Array]]]:
    """Parts of the rows with their values; a part that is refused is halved until the refused rows stand alone."""
    try:
        return [(rows, evaluator.run({name: array[rows] for name, array in feeds.items()}))]
    except ModelportError:
        if len(rows) == 1:
            return []
        middle = len(rows) // 2
        return _answered(evaluator, feeds, rows[:middle]) + _answered(evaluator, feeds, rows[middle:])
