"""Expressions of PMML as steps.

Expressions of one shape that differ in their fields and constants only, as the DerivedFields of a scaler do, become one vector
computation. A missing argument makes a result missing unless PMML says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Builder, Column, Vector
from .scope import Scope

__all__ = ["EXPRESSIONS", "Formulas", "boolean_text", "number_text"]

EXPRESSIONS = frozenset(
    {"Apply", "Constant", "Discretize", "FieldRef", "MapValues", "NormContinuous", "NormDiscrete", "Aggregate", "Lag", "TextIndex"}
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
Assumed = Sequence[frozenset[str]]


def number_text(text: str | None, where: str) -> float:
    """A number spelled in PMML.

    >>> number_text("1e3", "here")
    1000.0
    """
    spelled = (text or "").strip()
    try:
        return float({"INF": "inf", "-INF": "-inf"}.get(spelled, spelled))
    except ValueError:
        raise ArtifactError(f"{where} is {spelled[:40]!r}, which is no number.") from None


def boolean_text(text: str | None) -> bool:
    """true or false (also 1 and 0)."""
    spelled = (text or "").strip().lower()
    if spelled in ("true", "1", "1.0"):
        return True
    if spelled in ("false", "0", "0.0"):
        return False
    raise ArtifactError(f"A boolean is {spelled[:40]!r}; it is true or false.")


class Formulas:
    """Translates expressions; `define` adds DerivedFields to a scope."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.functions: dict[str, Element] = {}

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
            return b.vector(b.add("cast", narrow, hint="rounded", to="f64"), "number", n.nullable)
        if data_type in ("double", "integer"):
            return b.number(x)
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
        if first.tag in SINGLE:
            pieces = [SINGLE[first.tag](self, e, scope, hint, data_type) for e in group]
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
        missing = group[0].get("mapMissingTo")
        if not x.nullable or missing is not None and float(missing) == 0.0:
            return result
        absent = b.constant([None if missing is None else float(missing)], "number")
        return b.choose(str(b.present(x)), result, absent, hint)

    # --- functions ------------------------------------------------------------------------------------------------------------

    def _apply(self, group: Sequence[Element], scope: Scope, hint: str, assumed: Assumed) -> Vector:
        first = group[0]
        name = first.need("function")
        treatment = first.get("invalidValueTreatment", "returnInvalid")
        if treatment not in ("returnInvalid", "asIs") or first.get("defaultValue") is not None:
            raise Unsupported(f"Apply {name!r} treats invalid values in a way that this reader does not know.")
        columns = list(zip(*(e.content() for e in group), strict=True))
        if name == "if":
            result = self._if(columns, scope, hint, assumed)
        elif name in self.functions:
            result = self._defined(first, scope, hint)
        else:
            arguments = [self.compile(column, scope, hint, assumed) for column in columns]
            result = self.call(name, arguments, hint)
        return self.default(result, [e.get("mapMissingTo") for e in group], hint)

    def _if(self, columns: Sequence[Sequence[Element]], scope: Scope, hint: str, assumed: Assumed) -> Vector:
        if len(columns) not in (2, 3):
            raise ArtifactError(f"Apply 'if' has {len(columns)} arguments; it takes 2 or 3.")
        b = self.builder
        tested = [_tested(e) for e in columns[0]]
        branches = [_present_in(tested, "isNotMissing", assumed), _present_in(tested, "isMissing", assumed)]
        condition = b.boolean(self.compile(columns[0], scope, hint, assumed))
        yes = self.compile(columns[1], scope, hint, branches[0])
        no = self.compile(columns[2], scope, hint, branches[1]) if len(columns) == 3 else None
        if no is None:
            no = b.constant([None], "string" if yes.kind == "string" else "number")
        return b.where_known(condition.known, b.choose(condition.value, yes, no, hint))

    def _defined(self, call: Element, scope: Scope, hint: str) -> Vector:
        """A function that the document defines: its body with the arguments as fields."""
        function = self.functions[call.need("function")]
        parameters = list(function.all("ParameterField"))
        arguments = call.content()
        if len(parameters) != len(arguments):
            raise ArtifactError(f"The function {call.need('function')!r} is called with {len(arguments)} arguments, not {len(parameters)}.")
        inside = Scope(scope)
        for parameter, argument in zip(parameters, arguments, strict=True):
            inside.define(parameter.need("name"), Column(self.single(argument, scope, hint)))
        result = self.single(body_of(function), inside, hint)
        return self.typed(result, function.get("dataType"))

    def call(self, name: str, arguments: Sequence[Vector], hint: str) -> Vector:
        """A built-in function of vectors."""
        b = self.builder
        if name in ARITHMETIC:
            _count(name, arguments, 2)
            return b.binary(ARITHMETIC[name], arguments[0], arguments[1], hint)
        if name in COMPARISONS:
            _count(name, arguments, 2)
            return self.compare(COMPARISONS[name], arguments[0], arguments[1], hint)
        if name in UNARY:
            _count(name, arguments, 1)
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


def body_of(e: Element) -> Element:
    """The expression of a DerivedField or DefineFunction."""
    found = [c for c in e.children if c.tag in EXPRESSIONS]
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
    if condition.tag == "Apply" and condition.get("function") in ("isMissing", "isNotMissing") and len(children) == 1:
        if children[0].tag == "FieldRef" and children[0].get("mapMissingTo") is None:
            return condition.need("function"), children[0].need("field")
    return None


def _present_in(tested: Sequence[tuple[str, str] | None], function: str, assumed: Assumed) -> Assumed:
    """Fields known to be present in the branch that such a condition opens."""
    return [s | {t[1]} if t is not None and t[0] == function else s for t, s in zip(tested, assumed, strict=True)]


def _count(name: str, arguments: Sequence[Vector], wanted: int) -> None:
    if len(arguments) != wanted:
        raise ArtifactError(f"The PMML function {name!r} has {len(arguments)} arguments; it takes {wanted}.")


# --- functions with a form of their own ---------------------------------------------------------------------------------------

Function = Callable[[Formulas, Sequence[Vector], str], Vector]


def _is_missing(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    _count("isMissing", arguments, 1)
    b, present = f.builder, f.builder.present(arguments[0])
    if present is None:
        return b.constant([False], "bool")
    return b.vector(b.add("unary", present, hint=hint, fn="not"), "bool")


def _is_present(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    _count("isNotMissing", arguments, 1)
    present = f.builder.present(arguments[0])
    return f.builder.constant([True], "bool") if present is None else f.builder.vector(present, "bool")


def _not(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    _count("not", arguments, 1)
    x = f.builder.boolean(arguments[0])
    return f.builder.vector(f.builder.add("unary", x.value, hint=hint, fn="not"), "bool", False, x.known)


def _logic(fn: str) -> Function:
    def run(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
        """Three-valued: one false makes an `and` false, one true an `or` true, whatever else is unknown."""
        b = f.builder
        result = b.boolean(arguments[0])
        for argument in arguments[1:]:
            other = b.boolean(argument)
            value = b.add("binary", result.value, other.value, hint=hint, fn=fn)
            result = b.vector(value, "bool", False, _known_of(b, fn, result, other))
        return result

    return run


def _known_of(b: Builder, fn: str, x: Vector, y: Vector) -> str | None:
    if x.known is None and y.known is None:
        return None
    deciding = []
    for v in (x, y):
        decisive = v.value if fn == "or" else b.add("unary", v.value, hint="not", fn="not")
        deciding.append(decisive if v.known is None else b.add("binary", decisive, v.known, hint="decides", fn="and"))
    either = b.add("binary", deciding[0], deciding[1], hint="decided", fn="or")
    both = b.all_of(x.known, y.known)
    assert both is not None, "one of them may be unknown"
    return b.add("binary", either, both, hint="known", fn="or")


def _membership(negated: bool) -> Function:
    def run(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
        if len(arguments) < 2:
            raise ArtifactError("The PMML function 'isIn' has no values to look among.")
        hits = [f.compare("eq", arguments[0], value, hint) for value in arguments[1:]]
        found = _logic("or")(f, hits, hint)
        return _not(f, [found], hint) if negated else found

    return run


def _fold(fn: str, neutral: float) -> Function:
    """sum, product, min, max: missing arguments are left out; missing when all are."""

    def run(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
        b = f.builder
        numbers = [b.number(x) for x in arguments]
        if not numbers:
            raise ArtifactError(f"The PMML function {hint!r} has no arguments.")
        filled = [f.default(x, [repr(neutral)] * max(1, x.width), hint) for x in numbers]
        if len(filled) > 2 and all(x.width == 1 for x in filled) and fn in REDUCTIONS:
            row = b.gather([Column(x) for x in filled], hint)
            result = b.vector(b.add("reduce", row.value, hint=hint, fn=REDUCTIONS[fn], keep=True), "number")
        else:
            result = filled[0]
            for x in filled[1:]:
                result = b.binary(fn, result, x, hint)
        if not all(x.nullable for x in numbers):
            return result
        return b.where_known(_any_present(b, numbers), result)

    return run


REDUCTIONS = {"add": "sum", "mul": "prod", "min": "min", "max": "max"}


def _any_present(b: Builder, numbers: Sequence[Vector]) -> str | None:
    result: str | None = None
    for x in numbers:
        present = b.present(x)
        if present is None:
            return None
        result = present if result is None else b.add("binary", result, present, hint="any_present", fn="or")
    return result


def _average(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    b = f.builder
    total = _fold("add", 0.0)(f, arguments, hint)
    counts = []
    for x in arguments:
        present = b.present(b.number(x))
        counts.append(b.constant([1.0], "number") if present is None else b.number(b.vector(present, "bool")))
    return b.binary("div", total, _fold("add", 0.0)(f, counts, hint), hint)


def _threshold(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    _count("threshold", arguments, 2)
    return f.builder.number(f.compare("gt", arguments[0], arguments[1], hint))


def _power(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    _count("pow", arguments, 2)
    return f.builder.binary("pow", arguments[0], arguments[1], hint)


def _round(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    _count("round", arguments, 1)
    half = f.builder.constant([0.5], "number")
    return f.builder.unary("floor", f.builder.binary("add", arguments[0], half, hint), hint)


def _std_normal_cdf(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    """(1 + erf(x / sqrt 2)) / 2."""
    _count("stdNormalCDF", arguments, 1)
    b = f.builder
    e = b.unary("erf", b.binary("div", arguments[0], b.constant([math.sqrt(2.0)], "number"), hint), hint)
    return b.binary("mul", b.constant([0.5], "number"), b.binary("add", b.constant([1.0], "number"), e, hint), hint)


def _modulo(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    """a - b * floor(a / b)."""
    _count("modulo", arguments, 2)
    b, (x, y) = f.builder, arguments
    whole = b.unary("floor", b.binary("div", x, y, hint), hint)
    return b.binary("sub", x, b.binary("mul", y, whole, hint), hint)


FUNCTIONS: dict[str, Function] = {
    "isMissing": _is_missing,
    "isNotMissing": _is_present,
    "isValid": _is_present,
    "isNotValid": _is_missing,
    "not": _not,
    "and": _logic("and"),
    "or": _logic("or"),
    "isIn": _membership(False),
    "isNotIn": _membership(True),
    "sum": _fold("add", 0.0),
    "product": _fold("mul", 1.0),
    "min": _fold("min", math.inf),
    "max": _fold("max", -math.inf),
    "avg": _average,
    "threshold": _threshold,
    "pow": _power,
    "round": _round,
    "modulo": _modulo,
    "stdNormalCDF": _std_normal_cdf,
}


# --- expressions that are computed one by one ---------------------------------------------------------------------------------


def _map_values(f: Formulas, e: Element, scope: Scope, hint: str, data_type: str | None) -> Vector:
    b = f.builder
    pairs = list(e.all("FieldColumnPair"))
    if len(pairs) != 1:
        raise Unsupported(f"A MapValues reads {len(pairs)} fields; this reader knows those of one.")
    x = b.column(scope.column(pairs[0].need("field")))
    if x.kind == "bool":
        x = b.number(x)
    wanted = e.get("dataType") or data_type or "string"
    table = _inline(e, pairs[0].need("column"), e.need("outputColumn"))
    text = wanted == "string"
    convert = (lambda v: v) if text else (lambda v: float(boolean_text(v)) if wanted == "boolean" else number_text(v, "A MapValues' output"))
    keys: dict[Any, Any] = {}
    for key, value in table:
        keys.setdefault(key if x.kind == "string" else number_text(key, "A MapValues' key") + 0.0, convert(value))
    default, missing = (None if v is None else convert(v) for v in (e.get("defaultValue"), e.get("mapMissingTo")))
    result = _lookup(b, x, keys, default, missing, text, hint)
    return b.boolean(result) if wanted == "boolean" else result


def _inline(e: Element, key: str, output: str) -> list[tuple[str, str]]:
    """The (key, output) pairs of a MapValues' InlineTable."""
    table = e.require("InlineTable")
    rows = []
    for row in table.all("row"):
        cells = {c.tag: c.text for c in row.children}
        if key not in cells or output not in cells:
            raise ArtifactError(f"A row of a MapValues lacks the column {key!r} or {output!r}.")
        rows.append((cells[key], cells[output]))
    return rows


def _lookup(b: Builder, x: Vector, keys: dict[Any, Any], default: Any, missing: Any, text: bool, hint: str) -> Vector:
    """The value of the equal key. A missing result has no place in a table of strings, so a code for it is looked up first."""
    nothing = None if x.kind == "string" else math.nan
    table = dict(keys)
    if x.nullable:
        table[nothing] = missing
    gaps = default is None or any(v is None for v in table.values())
    names: Any = np.empty(len(table), dtype=object)
    names[:] = list(table)
    if x.kind != "string":
        names = names.astype(np.float64)
    if not text:
        values = np.array([math.nan if v is None else v for v in table.values()], dtype=np.float64)
        filling = math.nan if default is None else default
        return b.vector(b.add("lookup", x.value, hint=hint, keys=names, values=values, default=filling), "number", gaps)
    entries = [v for v in dict.fromkeys([*table.values(), default]) if v is not None]
    codes = {v: float(i) for i, v in enumerate(entries)}
    numbers = np.array([codes.get(v, -1.0) for v in table.values()], dtype=np.float64)
    code = b.add("lookup", x.value, hint=f"{hint}_code", keys=names, values=numbers, default=codes.get(default, -1.0))
    spelled = np.empty(len(entries), dtype=object)
    spelled[:] = entries
    places = np.arange(len(entries), dtype=np.float64)
    value = b.vector(b.add("lookup", code, hint=hint, keys=places, values=spelled, default=""), "string")
    if not gaps:
        return value
    there = b.add("binary", code, b.constant([0.0], "number").value, hint="found", fn="ge")
    return b.where_known(there, value)


def _discretize(f: Formulas, e: Element, scope: Scope, hint: str, data_type: str | None) -> Vector:
    b = f.builder
    x = b.number(b.column(scope.column(e.need("field"))))
    wanted = e.get("dataType") or data_type or "string"
    text = wanted == "string"
    values: list[Any] = [bin_.need("binValue") for bin_ in e.all("DiscretizeBin")]
    if not text:
        values = [number_text(v, "A DiscretizeBin's value") for v in values]
    kind = "string" if text else "number"
    intervals = [_interval(bin_.require("Interval")) for bin_ in e.all("DiscretizeBin")]
    side = _partition(intervals)
    spelled = e.get("defaultValue")
    default = spelled if text or spelled is None else number_text(spelled, "A Discretize's defaultValue")
    if side is not None and not text:
        edges = np.array([high for _, high, _, _ in intervals[:-1]])
        count = b.add("bucketize", x.value, hint=hint, edges=edges, sizes=np.array([edges.size]), side=side)
        result = b.vector(b.add("take", count, hint=hint, table=np.array(values, dtype=np.float64)), "number")
    else:
        result = b.constant([default], kind)
        for interval, value in reversed(list(zip(intervals, values, strict=True))):
            result = b.choose(_inside(f, x, interval, hint), b.constant([value], kind), result, hint)
    if x.nullable:
        absent = e.get("mapMissingTo")
        filling = absent if text or absent is None else number_text(absent, "A Discretize's mapMissingTo")
        result = b.choose(str(b.present(x)), result, b.constant([filling], kind), hint)
    return result


Interval = tuple[float, float, bool, bool]


def _interval(e: Element) -> Interval:
    """(low, high, low belongs to it, high belongs to it)."""
    closure = e.need("closure")
    low, high = e.get("leftMargin"), e.get("rightMargin")
    return (
        -math.inf if low is None else number_text(low, "A margin"),
        math.inf if high is None else number_text(high, "A margin"),
        closure.startswith("closed"),
        closure.endswith("Closed"),
    )


def _partition(intervals: Sequence[Interval]) -> str | None:
    """The bucketize side of intervals that follow each other from -infinity to infinity without gap, or None."""
    if len(intervals) < 2 or intervals[0][0] != -math.inf or intervals[-1][1] != math.inf:
        return None
    sides = set()
    for before, after in zip(intervals, intervals[1:], strict=False):
        if before[1] != after[0] or not math.isfinite(before[1]) or before[3] == after[2]:
            return None
        sides.add("left" if before[3] else "right")
    ascending = all(b[1] < a[1] for b, a in zip(intervals, intervals[1:], strict=False))
    return sides.pop() if len(sides) == 1 and ascending else None


def _inside(f: Formulas, x: Vector, interval: Interval, hint: str) -> str:
    b = f.builder
    low, high, low_in, high_in = interval
    tests = []
    if low != -math.inf:
        tests.append(b.add("binary", x.value, b.constant([low], "number").value, hint=hint, fn="ge" if low_in else "gt"))
    if high != math.inf:
        tests.append(b.add("binary", x.value, b.constant([high], "number").value, hint=hint, fn="le" if high_in else "lt"))
    return b.all_of(*tests) or b.constant([True], "bool").value


OUTLIERS = {"asIs": "extend", "asMissingValues": "nan", "asExtremeValues": "clip"}


def _norm_continuous(f: Formulas, e: Element, scope: Scope, hint: str, data_type: str | None) -> Vector:
    b = f.builder
    x = b.number(b.column(scope.column(e.need("field"))))
    knots = [(number_text(k.need("orig"), "A LinearNorm"), number_text(k.need("norm"), "A LinearNorm")) for k in e.all("LinearNorm")]
    outliers = e.get("outliers", "asIs") or "asIs"
    if len(knots) < 2 or outliers not in OUTLIERS:
        raise ArtifactError(f"A NormContinuous has {len(knots)} LinearNorms and outliers={outliers!r}; it needs two and a known treatment.")
    points, values = (np.array(part) for part in zip(*knots, strict=True))
    value = b.add("interp", x.value, hint=hint, x=points, y=values, outside=OUTLIERS[outliers])
    result = b.vector(value, "number", x.nullable or outliers == "asMissingValues")
    missing = e.get("mapMissingTo")
    if missing is None or not x.nullable:
        return result
    return b.choose(str(b.present(x)), result, b.constant([number_text(missing, "mapMissingTo")], "number"), hint)


SINGLE: dict[str, Callable[[Formulas, Element, Scope, str, str | None], Vector]] = {
    "MapValues": _map_values,
    "Discretize": _discretize,
    "NormContinuous": _norm_continuous,
}
