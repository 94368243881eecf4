"""ComparisonMeasure: distances of a row from stored points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Vector
from .formulas import Formulas
from .texts import number_text

__all__ = ["distances", "weighted"]

Array = np.ndarray[Any, np.dtype[Any]]
DISTANCES = {
    "squaredEuclidean": "sqeuclidean",
    "euclidean": "euclidean",
    "cityBlock": "manhattan",
    "chebychev": "chebyshev",
    "minkowski": "minkowski",
}


def _measure(measure: Element) -> Element:
    kind = next(iter(measure.content()), None)
    if kind is None or measure.get("kind") != "distance" or kind.tag not in DISTANCES:
        called = kind.tag if kind is not None else "nothing"
        raise Unsupported(
            f"A ComparisonMeasure of kind {measure.get('kind')!r} compares by {called}, which this reader does not know."
        )
    return kind


def _order(kind: Element) -> float:
    p = number_text(kind.get("p-parameter"), "A p-parameter")
    if not (p > 0 and math.isfinite(p)):
        raise ArtifactError(f"A minkowski measure has a p-parameter of {p!r}; it is a positive number.")
    return p


def weighted(f: Formulas, measure: Element, fields: Sequence[Element], row: Vector, points: Array) -> tuple[Vector, Array]:
    """The row and the points, with columns scaled so that plain distances are those of weighted fields."""
    kind = _measure(measure)
    for e in fields:
        compare = e.get("compareFunction") or measure.get("compareFunction", "absDiff")
        if compare != "absDiff":
            raise Unsupported(f"A field of a {kind.tag} measure has compareFunction={compare!r}; this reader knows absDiff.")
    weights = np.array([number_text(e.get("fieldWeight", "1"), "A fieldWeight") for e in fields])
    if points.ndim != 2 or points.shape[1] != len(fields):
        raise ArtifactError("The stored points have not one number per field that is compared.")
    if (weights == 1.0).all():
        return row, points
    if not ((weights >= 0) & np.isfinite(weights)).all():
        raise ArtifactError("A fieldWeight is negative, or no number.")
    if kind.tag in ("squaredEuclidean", "euclidean"):
        weights = np.sqrt(weights)
    elif kind.tag == "minkowski":
        weights = weights ** (1.0 / _order(kind))
    scaled = f.builder.add("scale", row.value, hint="weighted", mul=weights)
    return f.builder.vector(scaled, "number", row.nullable), points * weights


def distances(f: Formulas, measure: Element, row: Vector, points: Array) -> Vector:
    """The distances of a row from all points.

    Missing values are left out, and the sum grows by the share that they would have had, where one step does that (euclidean);
    elsewhere rows with missing values are refused, and so are rows in which all are missing.
    """
    kind, b = _measure(measure), f.builder
    if row.nullable and kind.tag in ("euclidean", "squaredEuclidean"):
        far = b.add("pairwise", row.value, hint="distance", points=points, metric="nan_euclidean")
        if kind.tag == "squaredEuclidean":
            far = b.add("unary", far, hint="distance", fn="square")
        return b.refusing(b.vector(far, "number", True), "distance")
    row = b.refusing(row, "point")
    p = {"p": _order(kind)} if kind.tag == "minkowski" else {}
    value = b.add("pairwise", row.value, hint="distance", points=points, metric=DISTANCES[kind.tag], **p)
    return b.vector(value, "number")
