"""Lengths of axes: numbers where they are fixed, tensors where they are known only when rows come.

A value that follows from an input with a named length is *free*: what the graph's example lengths say of its axes is not written
into the model. Its lengths are read from it at run time wherever an operator has to be told them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from modelport.errors import ModelportError
from modelport.graph import Graph

from .builder import Builder, Value

__all__ = ["Length", "align", "declared", "largest", "length", "lengths", "like", "names_of", "shaped", "unflattened", "vector"]

Array = np.ndarray[Any, np.dtype[Any]]
#: a number, or an i64 tensor [1]
Length = int | Value


def length(x: Value, axis: int) -> Length:
    """The length of an axis of the row."""
    assert x.shape is not None
    if not x.free:
        return x.shape[axis]
    axis %= len(x.shape)
    return x.builder.op("Shape", x, dtype="i64", start=axis + 1, end=axis + 2)


def lengths(x: Value) -> list[Length]:
    """The lengths of all axes of the row."""
    assert x.shape is not None
    return [length(x, axis) for axis in range(len(x.shape))]


def vector(b: Builder, parts: Sequence[Length]) -> Value:
    """Numbers and tensors [1] as one i64 tensor."""
    if all(isinstance(part, int) for part in parts):
        return b.constant(np.array(parts, dtype=np.int64))
    joined: list[Value] = []
    numbers: list[int] = []
    for part in [*parts, None]:
        if isinstance(part, int):
            numbers.append(part)
            continue
        if numbers:
            joined.append(b.constant(np.array(numbers, dtype=np.int64)))
            numbers = []
        if part is not None:
            joined.append(part)
    return b.concat(joined, axis=0)


def shaped(x: Value, parts: Sequence[Length]) -> Value:
    """The rows in another shape; one part may be -1."""
    return x.builder.op("Reshape", x, vector(x.builder, [0, *parts]))


def like(x: Value, other: Value) -> Value:
    """The rows in the shape of those of another value."""
    return shaped(x, lengths(other))


def unflattened(flat: Value, x: Value) -> Value:
    """Elements [all, 1] in the shape of x, batch axis included."""
    assert x.shape is not None
    if x.free:
        return x.builder.op("Reshape", flat, x.builder.op("Shape", x, dtype="i64"))
    return flat.reshape(-1, *x.shape)


def align(rank: int, *values: Value) -> list[Value]:
    """Values whose rows have that rank: new axes of length 1 stand before the others of the row, behind the batch axis."""
    aligned = []
    for value in values:
        assert value.shape is not None
        lacking = rank - len(value.shape)
        aligned.append(value.unsqueeze(*range(1, lacking + 1)) if lacking > 0 else value)
    return aligned


def largest(b: Builder, left: Length, right: Length) -> Length:
    """The larger of two lengths."""
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    return b.op("Max", vector(b, [left]), vector(b, [right]), dtype="i64")


# --- what a model declares ----------------------------------------------------------------------------------------------------


def names_of(graph: Graph) -> set[str]:
    """The values that follow from an input with a named length."""
    free = {v.name for v in graph.inputs if any(isinstance(k, str) for k in v.shape)}
    for step in graph.steps:
        if free.intersection(step.inputs):
            free.add(step.output)
    return free


def declared(graph: Graph, names: Sequence[str]) -> dict[str, tuple[int | str | None, ...]]:
    """The row shapes of values as a model declares them: numbers, named lengths, None for a length that follows from them.

    Found by looking at the graph at other lengths; a length is called fixed when it is the same at all that the graph admits.
    """
    free = names_of(graph)
    shapes: dict[str, list[int | str | None]] = {name: list(graph.types[name].shape) for name in names}
    seen = []
    if free.intersection(names):
        seen = [(at, found) for at in _others(graph.lengths) if (found := _types_at(graph, at)) is not None]
        seen.append((dict(graph.lengths), graph.types))
    for name in free.intersection(names):
        for axis in range(len(shapes[name])):
            found = [types[name].shape[axis] for _, types in seen]
            named = [n for n in graph.lengths if found == [at[n] for at, _ in seen]]
            fixed = len(seen) > 1 and len(set(found)) == 1
            shapes[name][axis] = named[0] if len(named) == 1 and len(seen) > 1 else found[-1] if fixed else None
    return {name: tuple(shape) for name, shape in shapes.items()}


def _others(known: Mapping[str, int]) -> list[dict[str, int]]:
    """Other lengths to look at: each name by itself, and all together."""
    changes: list[Callable[[int], int]] = [
        lambda k: k + 1,
        lambda k: k + 2,
        lambda k: 2 * k + 3,
        lambda k: k + 67,
        lambda k: max(1, k - 1),
        lambda k: 1,
    ]
    found = [{**known, name: change(k)} for name, k in known.items() for change in changes]
    return found + [{name: change(k) for name, k in known.items()} for change in changes]


def _types_at(graph: Graph, at: Mapping[str, int]) -> Any:
    try:
        return graph.at(at).types
    except ModelportError:
        return None
