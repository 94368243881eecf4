"""Predicates as conditions of a row: true, false, or unknown where a field is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Vector
from .formulas import COMPARISONS, Formulas
from .scope import Scope
from .texts import array_items, boolean_text, number_text

__all__ = ["PREDICATES", "condition", "holds", "predicate_of"]

PREDICATES = ("True", "False", "SimplePredicate", "CompoundPredicate", "SimpleSetPredicate")


def predicate_of(e: Element) -> Element:
    """The predicate among an element's children."""
    found = next((c for c in e.children if c.tag in PREDICATES), None)
    if not isinstance(found, Element):
        raise ArtifactError(f"A PMML element {e.tag} has no predicate.")
    return found


def holds(f: Formulas, predicate: Element, scope: Scope) -> str | None:
    """A bool value that is true where a predicate is true, and false where it is unknown; None where it always is true."""
    if predicate.tag == "True":
        return None
    x = condition(f, predicate, scope)
    return f.builder.all_of(x.value, x.known)


def condition(f: Formulas, predicate: Element, scope: Scope) -> Vector:
    """The condition of a predicate."""
    b = f.builder
    if predicate.tag in ("True", "False"):
        return b.constant([predicate.tag == "True"], "bool")
    if predicate.tag == "SimplePredicate":
        return _simple(f, predicate, scope)
    if predicate.tag == "SimpleSetPredicate":
        return _set(f, predicate, scope)
    if predicate.tag != "CompoundPredicate":
        raise Unsupported(f"The predicate {predicate.tag} is not known to this reader.")
    operator = predicate.need("booleanOperator")
    parts = [condition(f, part, scope) for part in predicate.content()]
    if len(parts) < 2:
        raise ArtifactError(f"A CompoundPredicate has {len(parts)} predicates; it has two or more.")
    if operator in ("and", "or"):
        return f.call(operator, parts, "condition")
    if operator == "xor":
        result = parts[0]
        for part in parts[1:]:
            known = b.all_of(result.known, part.known)
            result = b.vector(b.add("binary", result.value, part.value, hint="condition", fn="xor"), "bool", False, known)
        return result
    if operator == "surrogate":
        result = parts[-1]
        for part in reversed(parts[:-1]):
            if part.known is not None:
                result = b.choose(part.known, replace(part, known=None), result, "surrogate")
            else:
                result = part
        return result
    raise ArtifactError(f"A CompoundPredicate has booleanOperator={operator!r}; it is and, or, xor or surrogate.")


def _simple(f: Formulas, predicate: Element, scope: Scope) -> Vector:
    b, operator = f.builder, predicate.need("operator")
    x = b.column(scope.column(predicate.need("field")))
    if operator in ("isMissing", "isNotMissing"):
        return f.call(operator, [x], "condition")
    if operator not in COMPARISONS:
        raise ArtifactError(f"A SimplePredicate has the unknown operator {operator!r}.")
    return f.compare(COMPARISONS[operator], x, literal(f, x, predicate.need("value"), scope, predicate), "condition")


def literal(f: Formulas, x: Vector, value: str, scope: Scope, predicate: Element) -> Vector:
    """A value that a field is compared with, in the field's own kind."""
    b = f.builder
    if x.kind == "string":
        return b.constant([value], "string")
    if x.kind == "bool":
        return b.constant([boolean_text(value)], "bool")
    number = number_text(value, "A predicate's value")
    if scope.column(predicate.need("field")).vector.single:
        with np.errstate(over="ignore"):
            number = float(np.float32(number))
    return b.constant([number], "number")


def _set(f: Formulas, predicate: Element, scope: Scope) -> Vector:
    operator = predicate.need("booleanOperator")
    if operator not in ("isIn", "isNotIn"):
        raise ArtifactError(f"A SimpleSetPredicate has booleanOperator={operator!r}; it is isIn or isNotIn.")
    x = f.builder.column(scope.column(predicate.need("field")))
    values = [literal(f, x, v, scope, predicate) for v in array_items(predicate.require("Array"))]
    found = f.call(operator, [x, *values], "condition")
    return replace(found, known=f.builder.present(x))
