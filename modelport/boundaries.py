"""Where a graph changes its mind: thresholds, edges, knots, keys - and the input rows that lie on and beside them.

Values at a boundary are found by walking back from the step to an input column; where scalers and other one-column steps lie
between, the crossing is found by bisection on the steps themselves, so a row really is the last one below
and the first one above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import Graph, Input, Output, Step
from .run import Evaluator

__all__ = ["Boundary", "boundaries", "categories", "crossings", "neighbours", "path_constraints"]

Array = NDArray[Any]
ONE_COLUMN = ("scale", "clip", "cast", "impute", "unary")
MOVING = ("concat", "select")


@dataclass(frozen=True)
class Boundary:
    """A value at which column `column` of `value` decides something; node is a tree node's number, or None."""

    step: str
    value: str
    column: int
    at: float
    dtype: str = "f64"
    node: int | None = None


@dataclass(frozen=True)
class Source:
    """The input column a value's column comes from; direct when nothing but moving lies between."""

    input: Input
    column: int
    direct: bool


class Tracer:
    """Walks from values back to input columns."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._producers = {step.output: step for step in graph.steps}
        self._inputs = {value.name: value for value in graph.inputs}

    def source(self, value: str, column: int) -> Source | None:
        """The input column behind a value's column, or None when several columns mix."""
        direct = True
        while value not in self._inputs:
            step = self._producers[value]
            if step.op in ("select", "concat"):
                value, column = self._moved(step, column)
            elif step.op in ONE_COLUMN and len(step.inputs) == 1:
                direct = direct and step.op == "cast"
                value = step.inputs[0]
            else:
                return None
        return Source(self._inputs[value], column, direct)

    def _moved(self, step: Step, column: int) -> tuple[str, int]:
        if step.op == "select":
            return step.inputs[0], int(step.attributes["index"][column])
        for name in step.inputs:
            width = self.graph.types[name].width
            if column < width:
                return name, column
            column -= width
        raise AssertionError(f"column {column} leaves {step}")


def boundaries(graph: Graph, rng: np.random.Generator, limit: int) -> list[Boundary]:
    """At most `limit` boundaries, spread over the steps; within a step sampled when there are many."""
    per_step = [found for step in graph.steps if (found := list(_of_step(graph, step, rng, limit)))]
    chosen: list[Boundary] = []
    share = max(4, limit // max(1, len(per_step)))
    for found in per_step:
        if len(found) > share:
            found = [found[i] for i in sorted(rng.choice(len(found), share, replace=False))]
        chosen += found
    return chosen


def _of_step(graph: Graph, step: Step, rng: np.random.Generator, limit: int) -> Iterator[Boundary]:
    a = step.attributes
    if not step.inputs:
        return
    x = step.inputs[0]
    width = graph.types[x].width
    if step.op == "tree_ensemble":
        yield from _of_trees(step, rng, limit)
    elif step.op == "bucketize":
        columns = np.repeat(np.arange(width), a["sizes"])
        yield from (
            Boundary(step.output, x, int(j), float(e), graph.types[x].dtype) for j, e in zip(columns, a["edges"], strict=True)
        )
    elif step.op == "interp":
        yield from (Boundary(step.output, x, j, float(k), a["dtype"]) for j in range(width) for k in a["x"])
    elif step.op == "clip":
        for side in ("min", "max"):
            if side in a:
                bounds = np.broadcast_to(a[side], width)
                yield from (Boundary(step.output, x, j, float(b), a["dtype"]) for j, b in enumerate(bounds))
    elif step.op == "binary" and a["fn"] in ("lt", "le", "gt", "ge", "eq", "ne", "min", "max"):
        yield from _of_comparison(graph, step)
    elif step.op in ("impute", "is_missing") and isinstance(a.get("match"), (int, float)) and a["match"] == a["match"]:
        yield from (Boundary(step.output, x, j, float(a["match"])) for j in range(width))
    elif step.op == "lookup" and graph.types[x].dtype in ("f64", "f32"):
        keys = [k for k in a["keys"].tolist() if np.isfinite(k)]
        yield from (Boundary(step.output, x, j, float(k)) for j in range(width) for k in keys)
    elif step.op == "unary" and a["fn"] in ("relu", "abs", "sign", "sqrt", "log"):
        yield from (Boundary(step.output, x, j, 0.0, a["dtype"]) for j in range(min(width, limit)))


def _of_comparison(graph: Graph, step: Step) -> Iterator[Boundary]:
    producers = {s.output: s for s in graph.steps}
    for one, other in (step.inputs, step.inputs[::-1]):
        constant = producers.get(other)
        if constant is not None and constant.op == "constant" and constant.attributes["value"].dtype.kind == "f":
            values, width = constant.attributes["value"].ravel(), graph.types[one].width
            if width == 1:  # one element against every number of the constant
                yield from (Boundary(step.output, one, 0, float(v)) for v in values)
                continue
            yield from (Boundary(step.output, one, j, float(v)) for j, v in enumerate(np.broadcast_to(values, width)))


def _of_trees(step: Step, rng: np.random.Generator, limit: int) -> Iterator[Boundary]:
    a = step.attributes
    usable = np.isfinite(a["threshold"])
    if "category" in a:
        usable &= a["category"] < 0
    inner = np.arange(usable.size, dtype=np.int32) if usable.all() else np.flatnonzero(usable)
    if inner.size > limit:
        inner = inner[np.sort(rng.choice(inner.size, limit, replace=False))]
    nodes = np.flatnonzero(a["feature"] >= 0)[inner]
    for node, place in zip(nodes, inner, strict=True):
        yield Boundary(step.output, step.inputs[0], int(a["feature"][node]), float(a["threshold"][place]), a["dtype"], int(node))


def neighbours(at: float, dtype: str) -> list[float]:
    """The boundary itself and its neighbours: one ulp either side in f64 and, where x is rounded to f32 first, in f32 too,
    and the pair of f64 numbers between which that rounding changes.

    >>> len(neighbours(0.5, "f64"))
    3
    """
    values = [at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf)]
    if dtype == "f32":
        with np.errstate(over="ignore"):
            single = np.float32(at)
            up, down = np.nextafter(single, np.float32(np.inf)), np.nextafter(single, np.float32(-np.inf))
        values += [float(up), float(down)]
        if np.isfinite(up):
            middle = (float(single) + float(up)) / 2
            values += [middle, float(np.nextafter(middle, -np.inf)), float(np.nextafter(middle, np.inf))]
    return [float(v) for v in values if np.isfinite(v)]


def path_constraints(step: Step, node: int) -> dict[int, tuple[float, float]]:
    """Per column the open-closed interval (low, high] a row must lie in to reach a node of a tree_ensemble with numeric nodes."""
    a = step.attributes
    feature, start = a["feature"], a["start"]
    t = int(np.searchsorted(start, node, side="right")) - 1
    root = int(start[t])
    place = int(np.count_nonzero(feature[:root] >= 0))
    bounds: dict[int, tuple[float, float]] = {}
    i = root
    while i != node and feature[i] >= 0:
        right, limit, column = root + int(a["right"][place]), float(a["threshold"][place]), int(feature[i])
        low, high = bounds.get(column, (-np.inf, np.inf))
        if node < right:
            bounds[column] = (low, min(high, limit))
            i, place = i + 1, place + 1
        else:
            bounds[column] = (max(low, limit), high)
            place += int(np.count_nonzero(feature[i:right] >= 0))
            i = right
    return bounds


def crossings(
    graph: Graph, base: Mapping[str, Array], found: list[Boundary], tracer: Tracer
) -> list[tuple[Boundary, Source, float, float]]:
    """For boundaries behind one-column steps: the neighbouring f64 input values between which the column crosses the boundary.

    base holds one row per input. Boundaries that cannot be reached are left out.
    """
    by_value: dict[str, list[tuple[Boundary, Source]]] = {}
    for boundary in found:
        source = tracer.source(boundary.value, boundary.column)
        if source is not None and source.input.dtype == "f64" and not source.direct:
            by_value.setdefault(boundary.value, []).append((boundary, source))
    result = []
    for value, pairs in by_value.items():
        result += _bisect(_prefix(graph, value), base, pairs)
    return result


def _prefix(graph: Graph, value: str) -> Evaluator:
    """The part of a graph that computes one value."""
    needed, kept = {value}, []
    for step in reversed(graph.steps):
        if step.output in needed:
            kept.append(step)
            needed.update(step.inputs)
    output = Output("value", value, graph.types[value].dtype, "transform")
    return Evaluator(Graph(graph.inputs, kept[::-1], [output], limits=graph.limits, lengths=graph.lengths))


def _bisect(
    prefix: Evaluator, base: Mapping[str, Array], pairs: list[tuple[Boundary, Source]]
) -> list[tuple[Boundary, Source, float, float]]:
    n = len(pairs)
    columns = np.array([b.column for b, _ in pairs])
    at = np.array([b.at for b, _ in pairs])

    def forward(x: Array) -> Array:
        feeds = {name: np.repeat(row, n, axis=0) for name, row in base.items()}
        for i, (_, source) in enumerate(pairs):
            feeds[source.input.name].reshape(n, -1)[i, source.column] = x[i]
        values = prefix.run(feeds)["value"].reshape(n, -1)
        return np.asarray(values[np.arange(n), columns], dtype=np.float64)

    low, high = np.full(n, -1e18), np.full(n, 1e18)
    rising = forward(high) >= forward(low)
    for _ in range(130):
        middle = _midpoint(low, high)
        below = np.where(rising, forward(middle) <= at, forward(middle) >= at)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    done = np.nextafter(low, np.inf) == high
    return [(b, s, float(low[i]), float(high[i])) for i, (b, s) in enumerate(pairs) if done[i] and abs(low[i]) < 1e17]


def _midpoint(low: Array, high: Array) -> Array:
    """Half-way between two doubles, counted in representable numbers, so that 64 halvings meet."""

    def order(x: Array) -> Array:
        bits = x.view(np.int64)
        return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)

    a, b = order(low), order(high)
    middle = (a >> 1) + (b >> 1) + (a & b & 1)
    return np.asarray(np.where(middle < 0, np.iinfo(np.int64).min - middle, middle).astype(np.int64).view(np.float64))


def categories(graph: Graph, tracer: Tracer) -> dict[tuple[str, int], list[Any]]:
    """Every key a lookup knows, by the input column it reads."""
    found: dict[tuple[str, int], list[Any]] = {}
    for step in graph.steps:
        if step.op == "lookup":
            for column in range(graph.types[step.inputs[0]].width):
                source = tracer.source(step.inputs[0], column)
                if source is not None:
                    found.setdefault((source.input.name, source.column), []).extend(step.attributes["keys"].tolist())
        elif step.op == "tree_ensemble" and "category" in step.attributes:
            _tree_categories(step, tracer, found)
    return found


def _tree_categories(step: Step, tracer: Tracer, found: dict[tuple[str, int], list[Any]]) -> None:
    a = step.attributes
    columns = a["feature"][a["feature"] >= 0][a["category"] >= 0]
    members = [float(v) for v in np.unique(a["set"]).tolist()[:64]]
    for column in np.unique(columns):
        source = tracer.source(step.inputs[0], int(column))
        if source is not None and source.input.dtype == "f64":
            found.setdefault((source.input.name, source.column), []).extend(members)
