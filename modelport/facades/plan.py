"""What a facade of one model has, before any language: the fields of a row, where they go, what comes back, a carried row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..document import Loaded, Tolerance, Vectors
from ..errors import Refused, Unsupported
from ..graph import Input, Output

__all__ = ["Bound", "Cell", "Field", "Plan", "Result", "plan_of"]

#: named columns that become fields of their own; of more, an array and the list of their names
MOST_FIELDS = 200
#: elements of a row and of its answers that a facade has in all, and of them those that are no floats
MOST_ELEMENTS, MOST_OTHERS = 16_384, 4_096
#: characters of a name, which becomes a string of the language
LONGEST_NAME = 500

KINDS = {"f64": "number", "f32": "number", "bool": "boolean", "str": "text"}
Value = float | int | bool | str | None


@dataclass(frozen=True)
class Field:
    """A field of a row: one value, or (with a width) an array, row-major; `names` are those of an array's columns.

    `kind` is "number", "integer", "boolean" or "text"; `optional` says that a missing value is accepted.
    """

    name: str
    kind: str
    optional: bool = False
    width: int | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One element: of the field with this number, its value or (`at`) an element of its array."""

    field: int
    at: int | None = None


@dataclass(frozen=True)
class Bound:
    """An input and what its rows are made of: the array of one field (`whole`), or its elements one by one."""

    input: Input
    cells: tuple[Cell, ...] = ()
    whole: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The row shape, which has no named length."""
        return tuple(int(length) for length in self.input.shape)

    @property
    def kind(self) -> str:
        """The kind of its elements."""
        return KINDS.get(self.input.dtype, "integer")


@dataclass(frozen=True)
class Result:
    """An output: one value, an array (`width`), or values by class (`classes`, all different, and as many as `width`)."""

    name: str
    kind: str
    width: int | None = None
    classes: tuple[str | int | bool, ...] = ()

    @property
    def class_kind(self) -> str:
        """The kind of the classes: "text", "integer" or "boolean"."""
        return {bool: "boolean", int: "integer"}.get(type(self.classes[0]), "text")


@dataclass(frozen=True)
class Plan:
    """A facade before any language.

    `signature` is what a loaded model is held against: a list of strings (see `signature_of`). `row` has the values of a carried
    row, field by field, `answer` those of its outputs; `tolerance` is (atol, rtol) for each output.
    """

    model: str
    stem: str
    library: tuple[str, ...]
    fields: tuple[Field, ...]
    bounds: tuple[Bound, ...]
    results: tuple[Result, ...]
    signature: tuple[str, ...]
    row: tuple[tuple[Value, ...], ...]
    answer: tuple[tuple[Value, ...], ...]
    tolerance: tuple[tuple[float, float], ...]

    def groups(self) -> dict[int, list[Bound]]:
        """Field number -> the inputs of one element each that are elements of its array, in order."""
        found: dict[int, list[Bound]] = {}
        for bound in self.bounds:
            if bound.cells and bound.cells[0].at is not None:
                found.setdefault(bound.cells[0].field, []).append(bound)
        return found

    def apart(self) -> list[Bound]:
        """The inputs that are in no group."""
        return [bound for bound in self.bounds if not bound.cells or bound.cells[0].at is None]


def plan_of(loaded: Loaded, model: str, stem: str, library: Sequence[str]) -> Plan:
    """The plan for a model that carries rows; Unsupported where a record cannot hold its rows, or code not its names."""
    if loaded.vectors is None:
        raise Refused(
            "The artifact carries no rows, so that nothing proves what a facade of it answers: convert the model with a sample."
        )
    _check(loaded.inputs, loaded.outputs, loaded.vectors)
    fields, bounds = _bind(loaded.inputs)
    results = tuple(_result(output, loaded.vectors.outputs[output.name].shape[1:]) for output in loaded.outputs)
    at = _chosen(loaded.inputs, loaded.vectors)
    given = {name: _values(array[at]) for name, array in loaded.vectors.inputs.items()}
    return Plan(
        model=model,
        stem=stem,
        library=tuple(library),
        fields=fields,
        bounds=bounds,
        results=results,
        signature=signature_of(loaded.inputs, loaded.outputs, loaded.vectors),
        row=_row(fields, bounds, given),
        answer=tuple(_values(loaded.vectors.outputs[output.name][at]) for output in loaded.outputs),
        tolerance=tuple(_pair(loaded.vectors.tolerance.get(o.name, Tolerance()), o.dtype) for o in loaded.outputs),
    )


def signature_of(inputs: Sequence[Input], outputs: Sequence[Output], vectors: Vectors) -> tuple[str, ...]:
    """Inputs and outputs as one list of strings, which every facade makes from the model it loads.

    Of an input: "input", name, dtype, shape ("2x3"), missing, the number of features, and the features. Of an output: "output",
    name, dtype, shape, the number of classes, and the classes (integers in decimal, booleans as true and false).
    """
    found: list[str] = []
    for each in inputs:
        shape, features = "x".join(map(str, each.shape)), each.features or ()
        found += ["input", each.name, each.dtype, shape, each.missing, str(len(features)), *features]
    for output in outputs:
        shape, classes = "x".join(map(str, vectors.outputs[output.name].shape[1:])), output.classes or ()
        words = [str(c).lower() if isinstance(c, bool) else str(c) for c in classes]
        found += ["output", output.name, output.dtype, shape, str(len(classes)), *words]
    return tuple(found)


def _check(inputs: Sequence[Input], outputs: Sequence[Output], vectors: Vectors) -> None:
    instead = "Leave out --for, and feed the library itself."
    for each in inputs:
        if each.lengths:
            raise Unsupported(
                f"Input {each.name!r} has a length that is known only when rows come ({each.lengths[0]!r}); the fields of a "
                f"record have fixed sizes. {instead}"
            )
    arrays = [*vectors.inputs.values(), *vectors.outputs.values()]
    sizes = [math.prod(array.shape[1:]) for array in arrays]
    others = sum(size for size, array in zip(sizes, arrays) if array.dtype.kind != "f")
    if 0 in sizes:
        raise Unsupported(f"An input or output of the model has no elements; a record has no field for it. {instead}")
    if sum(sizes) > MOST_ELEMENTS or others > MOST_OTHERS:
        raise Unsupported(
            f"A row and its answers have {sum(sizes):,} elements ({others:,} of them no floats); a facade has at most "
            f"{MOST_ELEMENTS:,} ({MOST_OTHERS:,}). {instead}"
        )
    names = [*(i.name for i in inputs), *(o.name for o in outputs), *(f for i in inputs for f in i.features or ())]
    names += [str(c) for o in outputs for c in o.classes or ()]
    long = next((name for name in names if len(name) > LONGEST_NAME), None)
    if long is not None:
        raise Unsupported(f"The name {long[:40]!r}... has {len(long):,} characters; a facade takes {LONGEST_NAME}. {instead}")


def _bind(inputs: Sequence[Input]) -> tuple[tuple[Field, ...], tuple[Bound, ...]]:
    """The fields of a row, and where they go."""
    single = [i for i in inputs if i.features is None and i.shape in ((), (1,))]
    columns = len(single) + sum(len(i.features or ()) for i in inputs)
    grouped = len(single) > MOST_FIELDS
    fields: list[Field] = []
    bounds: list[Bound] = []
    group_of: dict[str, int] = {}
    for each in inputs:
        kind, optional = KINDS.get(each.dtype, "integer"), each.missing != "error"
        if each.features is None and each.shape in ((), (1,)) and grouped:
            if kind not in group_of:
                group_of[kind] = len(fields)
                fields.append(Field(f"{kind}s", kind, optional, 0))
            number = group_of[kind]
            old = fields[number]
            bounds.append(Bound(each, (Cell(number, old.width),)))
            names = (*old.names, each.name)
            fields[number] = Field(old.name, kind, optional or old.optional, len(names), names)
        elif each.features is None and each.shape in ((), (1,)):
            bounds.append(Bound(each, (Cell(len(fields)),)))
            fields.append(Field(each.name, kind, optional))
        elif each.features is not None and columns <= MOST_FIELDS:
            bounds.append(Bound(each, tuple(Cell(len(fields) + j) for j in range(len(each.features)))))
            fields += [Field(name, kind, optional) for name in each.features]
        else:
            bounds.append(Bound(each, whole=len(fields)))
            width = math.prod(int(length) for length in each.shape)
            fields.append(Field(each.name, kind, optional, width, each.features or ()))
    return tuple(fields), tuple(bounds)


def _result(output: Output, shape: tuple[int, ...]) -> Result:
    kind, classes = KINDS.get(output.dtype, "integer"), output.classes or ()
    if shape in ((), (1,)) and not classes:
        return Result(output.name, kind)
    by_class = len(shape) == 1 and shape[0] == len(classes) == len(set(classes)) and kind != "text"
    return Result(output.name, kind, math.prod(shape), tuple(classes) if by_class else ())


def _chosen(inputs: Sequence[Input], vectors: Vectors) -> int:
    """A carried row of the first set whose texts have no NUL, which would end them in C; else the first."""
    texts = [vectors.inputs[i.name] for i in inputs if i.dtype == "str"]
    rows = len(next(iter(vectors.inputs.values())))
    return next((r for r in range(rows) if not any("\0" in str(t) for array in texts for t in array[r : r + 1].flat)), 0)


def _values(element: Any) -> tuple[Value, ...]:
    import numpy as np

    return tuple(np.asarray(element).reshape(-1).tolist())


def _row(fields: Sequence[Field], bounds: Sequence[Bound], given: dict[str, tuple[Value, ...]]) -> tuple[tuple[Value, ...], ...]:
    row: list[list[Value]] = [[None] * (field.width or 1) for field in fields]
    for bound in bounds:
        if bound.whole is not None:
            row[bound.whole] = list(given[bound.input.name])
        for cell, value in zip(bound.cells, given[bound.input.name]):
            row[cell.field][cell.at or 0] = value
    return tuple(map(tuple, row))


def _pair(tolerance: Tolerance, dtype: str) -> tuple[float, float]:
    """(atol, rtol) that let through what a tolerance does; a unit in the last place is at most 2^-52 (f32: 2^-23) of a number."""
    if tolerance.ulp is not None:
        return 5e-324, tolerance.ulp * 2.0 ** (-23 if dtype == "f32" else -52)
    return tolerance.atol, tolerance.rtol
