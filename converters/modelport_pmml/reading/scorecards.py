"""Scorecard: of every characteristic, the score of its first attribute that holds."""

from __future__ import annotations

import numpy as np

from modelport.errors import ArtifactError

from ..parse import Element
from .build import Vector
from .formulas import EXPRESSIONS, Formulas
from .predicates import condition, predicate_of
from .prediction import Prediction
from .scope import Scope
from .texts import number_text

__all__ = ["scorecard"]


def scorecard(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """Scorecard. A row in which no attribute of a characteristic holds is refused."""
    b = f.builder
    total = b.constant([number_text(model.get("initialScore", "0"), "An initialScore")], "number")
    for characteristic in model.require("Characteristics").all("Characteristic"):
        total = b.binary("add", total, _points(f, characteristic, scope), "score")
    return Prediction(number=total)


def _points(f: Formulas, characteristic: Element, scope: Scope) -> Vector:
    b = f.builder
    attributes = list(characteristic.all("Attribute"))
    if not attributes:
        raise ArtifactError(f"The Characteristic {characteristic.get('name')!r} has no Attribute.")
    result: Vector | None = None
    some: str | None = None
    for i, attribute in enumerate(reversed(attributes)):
        points = _partial(f, attribute, characteristic, scope)
        x = condition(f, predicate_of(attribute), scope)
        true = b.all_of(x.value, x.known)
        assert true is not None, "the value itself is one of them"
        result = points if i == 0 or result is None else b.choose(true, points, result, "points")
        some = true if some is None else b.add("binary", some, true, hint="any", fn="or")
    assert result is not None, "there are attributes"
    sure = b.add("lookup", str(some), hint="scored", keys=np.array([True]), values=np.array([True]))
    return b.choose(sure, result, b.constant([0.0], "number"), "points")


def _partial(f: Formulas, attribute: Element, characteristic: Element, scope: Scope) -> Vector:
    complex_ = attribute.find("ComplexPartialScore")
    if complex_ is not None:
        expression = next((c for c in complex_.children if c.tag in EXPRESSIONS), None)
        if expression is None:
            raise ArtifactError("A ComplexPartialScore has no expression.")
        return f.builder.number(f.single(expression, scope, "points"))
    spelled = attribute.get("partialScore")
    if spelled is None:
        raise ArtifactError(f"An Attribute of the Characteristic {characteristic.get('name')!r} has no partialScore.")
    return f.builder.constant([number_text(spelled, "A partialScore")], "number")
