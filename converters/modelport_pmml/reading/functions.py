"""Built-in functions of PMML whose meaning is more than one step: logic of unknown values, sums that leave missing ones out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from modelport.errors import ArtifactError

from .build import Builder, Column, Vector

if TYPE_CHECKING:
    from .formulas import Formulas

__all__ = ["FOLDS", "FUNCTIONS", "count", "fold_row"]

Function = Callable[["Formulas", Sequence[Vector], str], Vector]


def count(name: str, arguments: Sequence[Vector], wanted: int) -> None:
    """Refuse a call with another number of arguments."""
    if len(arguments) != wanted:
        raise ArtifactError(f"The PMML function {name!r} has {len(arguments)} arguments; it takes {wanted}.")


def _is_missing(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    count("isMissing", arguments, 1)
    b, present = f.builder, f.builder.present(arguments[0])
    if present is None:
        return b.constant([False], "bool")
    return b.vector(b.add("unary", present, hint=hint, fn="not"), "bool")


def _is_present(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    count("isNotMissing", arguments, 1)
    present = f.builder.present(arguments[0])
    return f.builder.constant([True], "bool") if present is None else f.builder.vector(present, "bool")


def _not(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    count("not", arguments, 1)
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
        """A missing value is among no values."""
        if len(arguments) < 2:
            raise ArtifactError("The PMML function 'isIn' has no values to look among.")
        b = f.builder
        hits = [f.compare("eq", arguments[0], value, hint) for value in arguments[1:]]
        found = b.all_of(hits[0].value, hits[0].known)
        for hit in hits[1:]:
            found = b.add("binary", str(found), str(b.all_of(hit.value, hit.known)), hint=hint, fn="or")
        result = b.vector(str(found), "bool")
        return _not(f, [result], hint) if negated else result

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


def fold_row(f: Formulas, name: str, row: Vector, hint: str) -> Vector:
    """sum, product, min or max of the elements of a row of numbers; see _fold."""
    b, (fn, neutral) = f.builder, FOLDS[name]
    filled = f.default(row, [repr(neutral)] * row.width, hint)
    result = b.vector(b.add("reduce", filled.value, hint=hint, fn=REDUCTIONS[fn], keep=True), "number")
    present = b.present(row)
    if present is None:
        return result
    counted = b.add("cast", present, hint="present", to="f64")
    some = b.add("cast", b.add("reduce", counted, hint="any_present", fn="max", keep=True), hint="any_present", to="bool")
    return b.where_known(some, result)


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
    count("threshold", arguments, 2)
    return f.builder.number(f.compare("gt", arguments[0], arguments[1], hint))


def _power(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    count("pow", arguments, 2)
    return f.builder.binary("pow", arguments[0], arguments[1], hint)


def _round(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    count("round", arguments, 1)
    half = f.builder.constant([0.5], "number")
    return f.builder.unary("floor", f.builder.binary("add", arguments[0], half, hint), hint)


def _std_normal_cdf(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    """(1 + erf(x / sqrt 2)) / 2."""
    count("stdNormalCDF", arguments, 1)
    b = f.builder
    e = b.unary("erf", b.binary("div", arguments[0], b.constant([math.sqrt(2.0)], "number"), hint), hint)
    return b.binary("mul", b.constant([0.5], "number"), b.binary("add", b.constant([1.0], "number"), e, hint), hint)


def _modulo(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    """a - b * floor(a / b)."""
    count("modulo", arguments, 2)
    b, (x, y) = f.builder, arguments
    whole = b.unary("floor", b.binary("div", x, y, hint), hint)
    return b.binary("sub", x, b.binary("mul", y, whole, hint), hint)


def _numbers(f: Formulas, *values: float) -> list[Vector]:
    return [f.builder.constant([v], "number") for v in values]


def _standardized(f: Formulas, name: str, arguments: Sequence[Vector], hint: str) -> Vector:
    """(x - mean) / deviation of the arguments of a function of a normal distribution."""
    count(name, arguments, 3)
    b = f.builder
    return b.binary("div", b.binary("sub", arguments[0], arguments[1], hint), arguments[2], hint)


def _normal_cdf(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    return _std_normal_cdf(f, [_standardized(f, "normalCDF", arguments, hint)], hint)


def _std_normal_pdf(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    """exp(-x^2 / 2) / sqrt(2 pi)."""
    count("stdNormalPDF", arguments, 1)
    b = f.builder
    two, root = _numbers(f, -2.0, math.sqrt(2.0 * math.pi))
    power = b.unary("exp", b.binary("div", b.unary("square", arguments[0]), two, hint), hint)
    return b.binary("div", power, root, hint)


def _normal_pdf(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    z = _standardized(f, "normalPDF", arguments, hint)
    return f.builder.binary("div", _std_normal_pdf(f, [z], hint), arguments[2], hint)


def _normal_idf(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    """mean + deviation * the inverse of the standard normal distribution."""
    count("normalIDF", arguments, 3)
    b = f.builder
    return b.binary("add", b.binary("mul", b.unary("norm_ppf", arguments[0], hint), arguments[2], hint), arguments[1], hint)


def _hypot(f: Formulas, arguments: Sequence[Vector], hint: str) -> Vector:
    count("hypot", arguments, 2)
    b = f.builder
    return b.unary("sqrt", b.binary("add", b.unary("square", arguments[0]), b.unary("square", arguments[1]), hint), hint)


#: function of any number of arguments -> how two are combined, and what changes nothing
FOLDS = {"sum": ("add", 0.0), "product": ("mul", 1.0), "min": ("min", math.inf), "max": ("max", -math.inf)}
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
    **{name: _fold(*how) for name, how in FOLDS.items()},
    "avg": _average,
    "threshold": _threshold,
    "pow": _power,
    "round": _round,
    "modulo": _modulo,
    "stdNormalCDF": _std_normal_cdf,
    "stdNormalPDF": _std_normal_pdf,
    "normalCDF": _normal_cdf,
    "normalPDF": _normal_pdf,
    "normalIDF": _normal_idf,
    "hypot": _hypot,
}
