"""Aligning two artifacts: which inputs and outputs are the same ones, and a sentence for everything they declare otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .document import Loaded
from .errors import InputError
from .graph import Input, Output
from .predictor import to_feeds

__all__ = ["Alignment", "Pair", "align"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """An output of both: `order` puts B's columns into A's order of classes, where it is another."""

    a: Output
    b: Output
    order: tuple[int, ...] | None = None

    def of(self, a: Mapping[str, Array], b: Mapping[str, Array]) -> tuple[Array, Array]:
        """The two arrays that are to be compared."""
        mine, theirs = a[self.a.name], b[self.b.name]
        return mine, theirs if self.order is None or theirs.ndim != 2 else theirs[:, list(self.order)]


@dataclass(frozen=True)
class Alignment:
    """How the inputs and outputs of two artifacts belong together; `problems` are differences, `notes` are none."""

    inputs: tuple[tuple[Input, ...], tuple[Input, ...]]
    outputs: tuple[Pair, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        """Whether there is an output that both have."""
        return bool(self.outputs)

    def feeds(self, rows: Mapping[str, Array], owner: int, i: int) -> dict[str, Array]:
        """One artifact's rows as artifact i takes them: by the names of inputs, else of columns; InputError where one lacks."""
        mine, theirs = self.inputs[owner], self.inputs[i]
        if owner == i or all(v.name in rows and v.takes(rows[v.name].shape[1:]) for v in theirs):
            return {v.name: _cast(rows[v.name], v) for v in theirs}
        columns: dict[str, Any] = {}
        for v in mine:
            array = rows[v.name]
            columns[v.name] = array if array.ndim == 1 else array.reshape(len(array), -1)
            for j, feature in enumerate(v.features or ()):
                columns[feature] = array.reshape(len(array), -1)[:, j]
        wanted = {name for v in theirs for name in (v.name, *(v.features or ()))}
        return to_feeds(theirs, {name: column for name, column in columns.items() if name in wanted})


def _cast(array: Array, value: Input) -> Array:
    """Numbers in the dtype of an input, where every one of them is the same in it."""
    if value.dtype in ("str", "bool") or array.dtype == object:
        return array
    target = {"f64": np.float64, "f32": np.float32, "i64": np.int64}[value.dtype]
    with np.errstate(all="ignore"):
        changed = array.astype(target)
        same = (changed == array) | ((changed != changed) & (array != array))
    if not same.all():
        raise InputError(f"Input {value.name!r} holds a number that is another in {value.dtype}.")
    return changed


def align(a: Loaded, b: Loaded) -> Alignment:
    """Align two loaded artifacts by the names of their inputs and outputs."""
    problems, notes = _inputs(a, b)
    pairs = []
    theirs = {o.name: o for o in b.outputs}
    for mine in a.outputs:
        if mine.name not in theirs:
            problems.append(f"B has no output {mine.name!r}.")
            continue
        pair, said = _pair(mine, theirs[mine.name])
        problems += said
        pairs += [pair] if pair is not None else []
    problems += [f"A has no output {o.name!r}." for o in b.outputs if o.name not in {m.name for m in a.outputs}]
    return Alignment((a.inputs, b.inputs), tuple(pairs), tuple(problems), tuple(notes))


def _columns(inputs: Sequence[Input]) -> list[str]:
    """The columns that a table for these inputs has, in order."""
    return [name for v in inputs for name in (v.features or (v.name,))]


def _inputs(a: Loaded, b: Loaded) -> tuple[list[str], list[str]]:
    """Differences between the inputs, and what is none: columns in one input or several."""
    mine, theirs = {v.name: v for v in a.inputs}, {v.name: v for v in b.inputs}
    if set(mine) != set(theirs) and sorted(_columns(a.inputs)) == sorted(_columns(b.inputs)):
        return [], ["the same columns are put together in other inputs, and are fed by their names"]
    problems: list[str] = []
    notes: list[str] = []
    problems += [f"B has no input {name!r}." for name in mine if name not in theirs]
    problems += [f"A has no input {name!r}." for name in theirs if name not in mine]
    declared = [one for one in (a, b) if one.vectors is not None or one.provenance]
    for name in mine:
        v, w = mine[name], theirs.get(name)
        if w is None:
            continue
        for what, x, y in (("dtype", v.dtype, w.dtype), ("shape", list(v.shape), list(w.shape))):
            if x != y:
                problems.append(f"Input {name!r} has the {what} {x} in A and {y} in B.")
        if v.features != w.features and v.features and w.features:
            problems.append(f"Input {name!r} names other columns: {_unlike(v.features, w.features)}.")
        if v.missing != w.missing:
            said = f"Input {name!r} has missing={v.missing!r} in A and {w.missing!r} in B"
            (problems if len(declared) == 2 else notes).append(said + ("." if len(declared) == 2 else ""))
    return problems, notes


def _pair(a: Output, b: Output) -> tuple[Pair | None, list[str]]:
    """Two outputs of one name: how they are compared (None: they cannot be), and what they declare otherwise."""
    problems = []
    if a.role != b.role:
        problems.append(f"Output {a.name!r} is a {a.role} in A and a {b.role} in B.")
    if a.dtype != b.dtype:
        return None, [*problems, f"Output {a.name!r} has the dtype {a.dtype} in A and {b.dtype} in B: it is not compared."]
    if a.classes == b.classes or a.classes is None or b.classes is None:
        return Pair(a, b), problems
    if sorted(map(str, a.classes)) != sorted(map(str, b.classes)):
        said = f"Output {a.name!r} has other classes: {_unlike(a.classes, b.classes)}; it is not compared."
        return None, [*problems, said]
    order = tuple(b.classes.index(c) for c in a.classes if c in b.classes)
    if len(order) != len(a.classes):
        return None, [*problems, f"Output {a.name!r} has classes of another kind: it is not compared."]
    return Pair(a, b, order), [*problems, f"Output {a.name!r} has its classes in another order; they are compared by name."]


def _unlike(a: Sequence[Any], b: Sequence[Any]) -> str:
    """What two lists do not have in common."""
    only = [f"{name} only {', '.join(map(repr, some[:4]))}" for name, some in _only(a, b) if some]
    return "; ".join(only) or "they stand in another order"


def _only(a: Sequence[Any], b: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    return [("A", [x for x in a if x not in b]), ("B", [x for x in b if x not in a])]
