"""Builds a graph from PMML: columns, vectors of columns, and steps that are added as they are needed.

Numbers are f64 values whose NaN is PMML's missing value, strings are str values with null, booleans are bool values with a second
bool value that says where the first one is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported
from modelport.graph import Input, Step, ValueType
from modelport.ops import check

__all__ = ["Builder", "Column", "Vector"]

Array = np.ndarray[Any, np.dtype[Any]]
#: before those that no output needs are dropped
MAX_STEPS = 40_000


@dataclass(frozen=True)
class Vector:
    """A value of row shape [width] (or of one element).

    kind is "number", "string" or "bool"; nullable says that elements may be missing. For booleans `known` names a bool value
    that is true where the element is known, None when all are. single: the numbers are of dataType float, and so is what
    predicates compare them with.
    """

    value: str
    width: int
    kind: str
    nullable: bool = False
    known: str | None = None
    single: bool = False


@dataclass(frozen=True)
class Column:
    """One element of a vector: a PMML field."""

    vector: Vector
    index: int = 0

    @property
    def kind(self) -> str:
        """number, string or bool."""
        return self.vector.kind


class Builder:
    """Collects steps; names are made unique, attributes are checked at once."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs = list(inputs)
        self.steps: list[Step] = []
        self.types: dict[str, ValueType] = {v.name: v.type for v in inputs}
        self._numbers: dict[str, int] = {}
        self._constants: dict[Any, str] = {}
        self._gathered: dict[Any, Vector] = {}
        #: value that only moves columns -> where each of them comes from
        self._moved: dict[str, list[tuple[str, int]]] = {}

    def add(self, op: str, *inputs: str, hint: str, **attributes: Any) -> str:
        """Add a step and return the name it defines."""
        if len(self.steps) >= MAX_STEPS:
            raise ArtifactError(f"The PMML document needs more than {MAX_STEPS} computations.")
        name = hint
        while name in self.types:
            self._numbers[hint] = self._numbers.get(hint, 1) + 1
            name = f"{hint}_{self._numbers[hint]}"
        step = Step(op, inputs, name, {k: v for k, v in attributes.items() if v is not None})
        checked, self.types[name] = check(step, [self.types[i] for i in inputs])
        self.steps.append(checked)
        return name

    def constant(self, values: Sequence[Any], kind: str) -> Vector:
        """The same row for every row; None is missing."""
        row = list(values)
        if len({_key(v) for v in row}) == 1:
            row = row[:1]
        key = (kind, tuple(map(_key, row)))
        if key not in self._constants:
            array: Array
            if kind == "string":
                array = np.empty(len(row), dtype=object)
                array[:] = row
            else:
                array = np.array([np.nan if v is None else v for v in row], dtype=np.bool_ if kind == "bool" else np.float64)
            self._constants[key] = self.add("constant", hint="constant", value=array)
        missing = any(v is None or v != v for v in row)
        return Vector(self._constants[key], len(row), kind, missing)

    def vector(self, value: str, kind: str, nullable: bool = False, known: str | None = None) -> Vector:
        """A value as a vector."""
        return Vector(value, self.types[value].width, kind, nullable, known)

    # --- gathering ------------------------------------------------------------------------------------------------------------

    def gather(self, columns: Sequence[Column], hint: str = "row") -> Vector:
        """Columns of one kind side by side; numbers and booleans mix as numbers."""
        if not columns:
            raise ArtifactError("A PMML element reads no field where at least one is needed.")
        kinds = {c.kind for c in columns}
        if kinds == {"number", "bool"}:
            columns = [Column(self.number(self.column(c))) if c.kind == "bool" else c for c in columns]
        elif len(kinds) > 1:
            raise Unsupported("A PMML element mixes strings with numbers, which this reader does not know.")
        key = tuple((c.vector.value, c.index) for c in columns)
        if key not in self._gathered:
            self._gathered[key] = self._gather(columns, hint)
        nullable = any(c.vector.nullable for c in columns)
        return replace(self._gathered[key], nullable=nullable)

    def _gather(self, columns: Sequence[Column], hint: str) -> Vector:
        value = self._join([(c.vector.value, c.index) for c in columns], hint)
        known = None
        if any(c.vector.known for c in columns):
            sure = self.constant([True], "bool").value
            known = self._join([(c.vector.known, c.index) if c.vector.known else (sure, 0) for c in columns], f"{hint}_known")
        return Vector(value, len(columns), columns[0].kind, False, known)

    def _join(self, places: Sequence[tuple[str, int]], hint: str) -> str:
        """Elements (value, index) side by side; an element of a single one stands for any index."""
        origins = []
        for value, index in places:
            single = 0 if self.types[value].width == 1 else index
            origins.append(self._moved[value][single] if value in self._moved else (value, single))
        pieces: list[tuple[str, list[int]]] = []
        for value, index in origins:
            if not pieces or pieces[-1][0] != value:
                pieces.append((value, []))
            pieces[-1][1].append(index)
        values = [self._select(value, index, hint) for value, index in pieces]
        joined = values[0] if len(values) == 1 else self.add("concat", *values, hint=hint)
        if joined not in dict(origins):
            self._moved[joined] = origins
        return joined

    def _select(self, value: str, index: list[int], hint: str) -> str:
        if index == list(range(self.types[value].width)):
            return value
        return self.add("select", value, hint=hint, index=np.array(index, dtype=np.int64))

    def column(self, column: Column) -> Vector:
        """A single column as a vector of width 1."""
        return self.gather([column], "column")

    # --- kinds ----------------------------------------------------------------------------------------------------------------

    def number(self, x: Vector) -> Vector:
        """Booleans as 0.0 and 1.0; numbers as they are."""
        if x.kind == "number":
            return x
        if x.kind == "string":
            raise Unsupported("PMML computes with a string where this reader needs a number.")
        value = self.add("cast", x.value, hint="number", to="f64")
        if x.known is None:
            return self.vector(value, "number")
        nothing = self.constant([None], "number").value
        return self.vector(self.add("where", x.known, value, nothing, hint="number"), "number", True)

    def boolean(self, x: Vector) -> Vector:
        """Numbers as x != 0; booleans as they are."""
        if x.kind == "bool":
            return x
        if x.kind == "string":
            raise Unsupported("PMML uses a string as a condition, which this reader does not know.")
        return self.vector(self.add("cast", x.value, hint="condition", to="bool"), "bool", False, self.present(x))

    def present(self, x: Vector) -> str | None:
        """A bool value that is true where x is not missing; None when it never is."""
        if x.kind == "bool":
            return x.known
        if not x.nullable:
            return None
        missing = self.add("is_missing", x.value, hint="missing")
        return self.add("unary", self.add("cast", missing, hint="is_missing", to="bool"), hint="present", fn="not")

    def refusing(self, x: Vector, hint: str) -> Vector:
        """x, where rows with a missing element are refused: true is the only key of a lookup without default."""
        present = self.present(x)
        if present is None:
            return x
        sure = self.add("lookup", present, hint=f"{hint}_present", keys=np.array([True]), values=np.array([True]))
        nothing = self.constant(["" if x.kind == "string" else False if x.kind == "bool" else 0.0], x.kind)
        return self.choose(sure, Vector(x.value, x.width, x.kind), nothing, hint)

    def choose(self, condition: str, yes: Vector, no: Vector, hint: str = "choice") -> Vector:
        """yes where a known condition holds, else no."""
        if yes.kind != no.kind:
            yes, no = self.number(yes), self.number(no)
        value = self.add("where", condition, yes.value, no.value, hint=hint)
        known = None
        if yes.kind == "bool" and (yes.known or no.known):
            sure = self.constant([True], "bool").value
            known = self.add("where", condition, yes.known or sure, no.known or sure, hint=f"{hint}_known")
        return self.vector(value, yes.kind, yes.nullable or no.nullable, known)

    def where_known(self, known: str | None, x: Vector) -> Vector:
        """x where a value is known, else missing."""
        if known is None:
            return x
        if x.kind == "bool":
            both = self.add("binary", known, x.known, hint="known", fn="and") if x.known else known
            return replace(x, known=both)
        nothing = self.constant([None], x.kind)
        return self.vector(self.add("where", known, x.value, nothing.value, hint="known"), x.kind, True)

    def all_of(self, *conditions: str | None) -> str | None:
        """The conjunction of bool values; None stands for true."""
        present = list(dict.fromkeys(c for c in conditions if c is not None))
        if not present:
            return None
        result = present[0]
        for other in present[1:]:
            result = self.add("binary", result, other, hint="known", fn="and")
        return result

    def binary(self, fn: str, x: Vector, y: Vector, hint: str) -> Vector:
        """Arithmetic of numbers; missing where one is."""
        a, b = self.number(x), self.number(y)
        return self.vector(self.add("binary", a.value, b.value, hint=hint, fn=fn), "number", a.nullable or b.nullable)

    def unary(self, fn: str, x: Vector, hint: str | None = None) -> Vector:
        """A function of numbers."""
        a = self.number(x)
        return self.vector(self.add("unary", a.value, hint=hint or fn, fn=fn), "number", a.nullable)

    def kept(self, needed: set[str]) -> list[Step]:
        """The steps that some values need."""
        kept: list[Step] = []
        for step in reversed(self.steps):
            if step.output in needed:
                kept.append(step)
                needed.update(step.inputs)
        return kept[::-1]


def _key(value: Any) -> Any:
    return ("NaN",) if value is None or value != value else (type(value).__name__, repr(value))
