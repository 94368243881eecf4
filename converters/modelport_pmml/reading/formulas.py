"""Expressions of PMML as steps.

Expressions of one shape that differ in their fields and constants only, as the DerivedFields of a scaler do, become one vector
computation. A missing argument makes a result missing unless PMML says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Builder, Column, Vector
from .functions import FOLDS, FUNCTIONS, count, fold_row
from .scope import Scope
from .tables import TABLES
from .texts import boolean_text, number_text

__all__ = ["EXPRESSIONS", "Formulas", "body_of"]

EXPRESSIONS = frozenset(
    {
        "Apply",
        "Constant",
        "Discretize",
        "FieldRef",
        "MapValues",
        "NormContinuous",
        "NormDiscrete",
        "Aggregate",
        "Lag",
        "TextIndex",
    }
)
CONSTANT_KINDS = {"string": "string", "boolean": "bool"}
ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
COMPARISONS = {
    "equal": "eq",
    "notEqual": "ne",
    "lessThan": "lt",
    "lessOrEqual": "le",
    "greaterThan": "gt",
    "greaterOrEqual": "ge",
}
UNARY = {
    "abs": "abs",
    "sqrt": "sqrt",
    "floor": "floor",
    "ceil": "ceil",
    "rint": "round",
    "exp": "exp",
    "expm1": "expm1",
    "ln": "log",
    "ln1p": "log1p",
    "log10": "log10",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "erf": "erf",
    "stdNormalIDF": "norm_ppf",
}
#: functions that may answer though an argument is missing
HEEDLESS = frozenset({*FOLDS, "avg", "and", "or", "isMissing", "isNotMissing", "isValid", "isNotValid", "isIn", "isNotIn"})
#: functions that have no result for some numbers, and how a step is called that refuses these
PARTIAL = {
    "/": "divided",
    "ln": "ln",
    "log10": "log10",
    "sqrt": "sqrt",
    "pow": "pow",
    "ln1p": "ln1p",
    "modulo": "modulo",
    "asin": "asin",
    "acos": "acos",
    "stdNormalIDF": "stdNormalIDF",
    "normalIDF": "normalIDF",
}
Assumed = Sequence[frozenset[str]]


class Formulas:
    """Translates expressions; `define` adds DerivedFields to a scope."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.functions: dict[str, Element] = {}
        #: rows are refused in which a function has no result, though it has its arguments, as the specification wants it
        self.strict = False
        #: a bool value: the expression that is being compiled is evaluated in these rows; None for all
        self._active: str | None = None

    # --- derived fields -------------------------------------------------------------------------------------------------------

    def define(self, fields: Sequence[Element], scope: Scope) -> None:
        """Add DerivedFields to a scope, level by level, fields of one shape together."""
        waiting = {f.need("name"): f for f in fields}
        if len(waiting) < len(fields):
            raise ArtifactError("Two DerivedFields of one place have the same name.")
        reads = {name: _fields_read(body_of(f)) & waiting.keys() for name, f in waiting.items()}
        while waiting:
            ready = [name for name in waiting if not reads[name] & waiting.keys()]
            if not ready:
                raise ArtifactError(f"The DerivedField {next(iter(waiting))!r} is defined by itself.")
            groups: dict[Any, list[Element]] = {}
            for name in ready:
                f = waiting[name]
                shape = (f.get("dataType"), self._shape(body_of(f), scope))
                groups.setdefault(shape, []).append(f)
            for group in groups.values():
                self._define_group(group, scope)
            for name in ready:
                del waiting[name]

    def _define_group(self, group: list[Element], scope: Scope) -> None:
        names = [f.need("name") for f in group]
        vector = self.compile([body_of(f) for f in group], scope, names[0], data_type=group[0].get("dataType"))
        vector = self.typed(vector, group[0].get("dataType"))
        for i, name in enumerate(names):
            scope.define(name, Column(vector, i if vector.width > 1 else 0))

    def typed(self, x: Vector, data_type: str | None) -> Vector:
        """A vector as a field of a dataType."""
        b = self.builder
        if data_type == "float":
            n = b.number(x)
            narrow = b.add("cast", n.value, hint="float", to="f32")
            return replace(b.vector(b.add("cast", narrow, hint="rounded", to="f64"), "number", n.nullable), single=True)
        if data_type in ("double", "integer"):
            return replace(b.number(x), single=False)
        if data_type == "boolean":
            return b.boolean(x)
        if data_type == "string" and x.kind != "string":
            raise Unsupported("A DerivedField of dataType string holds numbers, which this reader does not know how to spell.")
        return x

    def single(self, expression: Element, scope: Scope, hint: str) -> Vector:
        """One expression."""
        return self.compile([expression], scope, hint)

    # --- shapes ---------------------------------------------------------------------------------------------------------------

    def _shape(self, e: Element, scope: Scope) -> Any:
        """What expressions that can be computed together have in common."""
        if e.tag == "FieldRef":
            found = scope.column(e.need("field"))
            return e.tag, found.kind, found.vector.nullable, found.vector.known is None, e.get("mapMissingTo") is None
        if e.tag == "Constant":
            return e.tag, CONSTANT_KINDS.get(e.get("dataType") or "", "number"), e.get("missing")
        if e.tag == "NormDiscrete":
            found = scope.column(e.need("field"))
            return e.tag, found.kind, found.vector.nullable, e.get("mapMissingTo")
        if e.tag == "Apply" and e.need("function") not in self.functions:
            kept = tuple(sorted((k, v) for k, v in e.attributes.items()))
            return e.tag, kept, tuple(self._shape(child, scope) for child in e.content())
        return e.tag, id(e)

    # --- expressions ----------------------------------------------------------------------------------------------------------

    def compile(
        self, group: Sequence[Element], scope: Scope, hint: str, assumed: Assumed | None = None, data_type: str | None = None
    ) -> Vector:
        """A vector with one element per expression of the group; `assumed` names, per expression, fields known to be present."""
        first = group[0]
        known = assumed if assumed is not None else [frozenset[str]()] * len(group)
        if first.tag == "FieldRef":
            return self._field_ref(group, scope, hint, known)
        if first.tag == "Constant":
            return self._constant(group)
        if first.tag == "Apply":
            return self._apply(group, scope, hint, known)
        if first.tag == "NormDiscrete":
            return self._norm_discrete(group, scope, hint)
        if first.tag in TABLES:
            pieces = [TABLES[first.tag](self, e, scope, hint, data_type) for e in group]
            return pieces[0] if len(pieces) == 1 else self.builder.gather([Column(p) for p in pieces], hint)
        raise Unsupported(f"The PMML expression {first.tag} is not known to this reader.")

    def _field_ref(self, group: Sequence[Element], scope: Scope, hint: str, assumed: Assumed) -> Vector:
        names = [e.need("field") for e in group]
        vector = self.builder.gather([scope.column(n) for n in names], hint)
        if all(n in present for n, present in zip(names, assumed, strict=True)):
            vector = Vector(vector.value, vector.width, vector.kind)
        return self.default(vector, [e.get("mapMissingTo") for e in group], hint)

    def default(self, x: Vector, values: Sequence[str | None], hint: str) -> Vector:
        """x with missing elements replaced (one text per element, or all None)."""
        if values[0] is None or not (x.nullable or x.known):
            return x
        if x.kind == "bool":
            filling = self.builder.constant([boolean_text(v) for v in values], "bool")
            return self.builder.choose(str(x.known), Vector(x.value, x.width, "bool"), filling, hint)
        filled: Any
        if x.kind == "string":
            filled = np.empty(len(values), dtype=object)
            filled[:] = list(values)
        else:
            filled = np.array([number_text(v, "mapMissingTo") for v in values])
        return self.builder.vector(self.builder.add("impute", x.value, hint=hint, values=filled), x.kind)

    def _constant(self, group: Sequence[Element]) -> Vector:
        kind = CONSTANT_KINDS.get(group[0].get("dataType") or "", "number")
        if group[0].get("missing") == "true":
            return self.builder.constant([None], "number" if kind == "bool" else kind)
        values: list[Any] = []
        for e in group:
            if kind == "string":
                values.append(e.text)
            else:
                values.append(boolean_text(e.text) if kind == "bool" else number_text(e.text, "A Constant"))
        return self.builder.constant(values, kind)

    def _norm_discrete(self, group: Sequence[Element], scope: Scope, hint: str) -> Vector:
        b = self.builder
        x = b.gather([scope.column(e.need("field")) for e in group], hint)
        values: list[Any] = [e.need("value") for e in group]
        if x.kind == "bool":
            values = [float(boolean_text(v)) for v in values]
            x = b.number(x)
        elif x.kind == "number":
            values = [number_text(v, "A NormDiscrete's value") for v in values]
        equal = b.add("binary", x.value, b.constant(values, x.kind).value, hint=hint, fn="eq")
        result = b.vector(b.add("cast", equal, hint=hint, to="f64"), "number")
        spelled = group[0].get("mapMissingTo")
        missing = None if spelled is None else number_text(spelled, "mapMissingTo")
        if not x.nullable or missing == 0.0:
            return result
        absent = b.constant([missing], "number")
        return b.choose(str(b.present(x)), result, absent, hint)

    # --- functions ------------------------------------------------------------------------------------------------------------

    def _apply(self, group: Sequence[Element], scope: Scope, hint: str, assumed: Assumed) -> Vector:
        first = group[0]
        name = first.need("function")
        treatment = first.get("invalidValueTreatment", "returnInvalid")
        if treatment not in ("returnInvalid", "asIs"):
            raise Unsupported(f"Apply {name!r} has invalidValueTreatment={treatment!r}, which this reader does not know.")
        columns = list(zip(*(e.content() for e in group), strict=True))
        if name == "if":
            result = self._if(columns, scope, hint, assumed)
        elif name in self.functions:
            result = self._defined(first, scope, hint)
        elif name in FOLDS and len(group) == 1 and len(columns) > 2 and first.get("mapMissingTo") is None:
            result = fold_row(self, name, self._side_by_side(first.content(), scope, hint, assumed[0]), hint)
        else:
            arguments = [self.compile(column, scope, hint, assumed) for column in columns]
            result = self.call(name, arguments, hint)
            if self.strict and name in PARTIAL and not _divides_by_constant(name, group):
                result = self._defined_only(arguments, result, f"{hint}_{PARTIAL[name]}")
            if name in HEEDLESS and first.get("mapMissingTo") is not None:
                result = self._where_all_present(arguments, result, hint)
        result = self.default(result, [e.get("mapMissingTo") for e in group], hint)
        return self.default(result, [e.get("defaultValue") for e in group], hint)

    def _defined_only(self, arguments: Sequence[Vector], result: Vector, hint: str) -> Vector:
        """The result; rows are refused in which it is no number though the arguments are, where it is evaluated."""
        b = self.builder
        nothing = b.add("cast", b.add("is_missing", result.value, hint="no_number"), hint="no_number", to="bool")
        bad = b.all_of(nothing, self._active, *(b.present(x) for x in arguments))
        fine = b.add("unary", str(bad), hint="fine", fn="not")
        sure = b.add("lookup", fine, hint=hint, keys=np.array([True]), values=np.array([True]))
        chosen = b.choose(sure, result, b.constant([0.0], "number"), hint)
        return replace(chosen, nullable=any(x.nullable for x in arguments))

    def _where_all_present(self, arguments: Sequence[Vector], result: Vector, hint: str) -> Vector:
        """The result, missing where an argument is, for functions that answer all the same."""
        b = self.builder
        known = b.all_of(*(b.present(x) for x in arguments))
        return b.where_known(known, result)

    def _side_by_side(self, arguments: Sequence[Element], scope: Scope, hint: str, present: frozenset[str]) -> Vector:
        """Numbers of one row, those of one shape computed together."""
        groups: dict[Any, list[int]] = {}
        for i, e in enumerate(arguments):
            groups.setdefault(self._shape(e, scope), []).append(i)
        columns: dict[int, Column] = {}
        for places in groups.values():
            vector = self.builder.number(self.compile([arguments[i] for i in places], scope, hint, [present] * len(places)))
            columns.update((i, Column(vector, n if vector.width > 1 else 0)) for n, i in enumerate(places))
        return self.builder.gather([columns[i] for i in range(len(arguments))], hint)

    def _if(self, columns: Sequence[Sequence[Element]], scope: Scope, hint: str, assumed: Assumed) -> Vector:
        if len(columns) not in (2, 3):
            raise ArtifactError(f"Apply 'if' has {len(columns)} arguments; it takes 2 or 3.")
        b = self.builder
        tested = [_tested(e) for e in columns[0]]
        branches = [_present_in(tested, "isNotMissing", assumed), _present_in(tested, "isMissing", assumed)]
        condition = b.boolean(self.compile(columns[0], scope, hint, assumed))
        outer = self._active
        if self.strict:
            self._active = b.all_of(outer, condition.value, condition.known)
        yes = self.compile(columns[1], scope, hint, branches[0])
        if self.strict and len(columns) == 3:
            otherwise = b.add("unary", condition.value, hint="otherwise", fn="not")
            self._active = b.all_of(outer, otherwise, condition.known)
        no = self.compile(columns[2], scope, hint, branches[1]) if len(columns) == 3 else None
        self._active = outer
        if no is None:
            no = b.constant([None], "string" if yes.kind == "string" else "number")
        return b.where_known(condition.known, b.choose(condition.value, yes, no, hint))

    def _defined(self, call: Element, scope: Scope, hint: str) -> Vector:
        """A function that the document defines: its body with the arguments as fields."""
        function = self.functions[call.need("function")]
        parameters = list(function.all("ParameterField"))
        arguments = call.content()
        if len(parameters) != len(arguments):
            raise ArtifactError(
                f"The function {call.need('function')!r} is called with {len(arguments)} arguments, not {len(parameters)}."
            )
        inside = Scope(scope)
        for parameter, argument in zip(parameters, arguments, strict=True):
            inside.define(parameter.need("name"), Column(self.single(argument, scope, hint)))
        result = self.single(body_of(function), inside, hint)
        return self.typed(result, function.get("dataType"))

    def call(self, name: str, arguments: Sequence[Vector], hint: str) -> Vector:
        """A built-in function of vectors."""
        b = self.builder
        if name in ARITHMETIC:
            count(name, arguments, 2)
            return b.binary(ARITHMETIC[name], arguments[0], arguments[1], hint)
        if name in COMPARISONS:
            count(name, arguments, 2)
            return self.compare(COMPARISONS[name], arguments[0], arguments[1], hint)
        if name in UNARY:
            count(name, arguments, 1)
            return b.unary(UNARY[name], arguments[0], hint)
        if name in FUNCTIONS:
            return FUNCTIONS[name](self, arguments, hint)
        raise Unsupported(f"The PMML function {name!r} is not known to this reader.")

    def compare(self, fn: str, x: Vector, y: Vector, hint: str) -> Vector:
        """A comparison, unknown where an argument is missing."""
        b = self.builder
        known = b.all_of(b.present(x), b.present(y))
        if {x.kind, y.kind} != {"string"}:
            x, y = b.number(x), b.number(y)
        return b.vector(b.add("binary", x.value, y.value, hint=hint, fn=fn), "bool", False, known)


def _divides_by_constant(name: str, group: Sequence[Element]) -> bool:
    """Are these divisions by a number that is not 0?"""
    if name != "/":
        return False
    divisors = [e.content()[-1] for e in group]
    return all(d.tag == "Constant" and d.get("missing") != "true" and number_text(d.text, "A Constant") != 0.0 for d in divisors)


def body_of(e: Element) -> Element:
    """The expression of a DerivedField or DefineFunction."""
    found: list[Element] = [c for c in e.children if c.tag in EXPRESSIONS]
    if len(found) != 1:
        named = next((c.tag for c in e.content() if c.tag not in ("ParameterField", "Value", "Interval")), "nothing")
        raise Unsupported(f"The {e.tag} {e.get('name')!r} holds {named}, where this reader knows one expression of PMML.")
    return found[0]


def _fields_read(e: Element) -> set[str]:
    read: set[str] = set()
    queue = [e]
    while queue:
        part = queue.pop()
        name = part.get("field")
        if name is not None:
            read.add(name)
        queue.extend(part.children)
    return read


def _tested(condition: Element) -> tuple[str, str] | None:
    """("isMissing" or "isNotMissing", field) of a condition that asks just that."""
    children = condition.content()
    asks = condition.tag == "Apply" and condition.get("function") in ("isMissing", "isNotMissing") and len(children) == 1
    if not asks or children[0].tag != "FieldRef" or children[0].get("mapMissingTo") is not None:
        return None
    return condition.need("function"), children[0].need("field")


def _present_in(tested: Sequence[tuple[str, str] | None], function: str, assumed: Assumed) -> Assumed:
    """Fields known to be present in the branch that such a condition opens."""
    return [s | {t[1]} if t is not None and t[0] == function else s for t, s in zip(tested, assumed, strict=True)]
