"""RegressionModel: tables of predictors, and the ways their scores are normalised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Column, Vector
from .formulas import Formulas
from .prediction import Prediction, classes_of
from .scope import Scope
from .texts import boolean_text, number_text

__all__ = ["indicator", "link", "regression", "shares"]


def regression(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """RegressionModel."""
    tables = list(model.all("RegressionTable"))
    method = model.get("normalizationMethod", "none") or "none"
    if model.get("functionName") == "regression":
        if len(tables) != 1:
            raise ArtifactError(f"A RegressionModel for regression has {len(tables)} tables; it has one.")
        return Prediction(number=link(f, _table(f, tables[0], scope), method))
    named = [t.need("targetCategory") for t in tables]
    classes, data_type = classes_of(model, scope, lambda: named)
    if set(named) != set(classes) or len(named) != len(classes):
        raise ArtifactError(f"A RegressionModel has tables for {named[:5]}, but the target's values are {list(classes)[:5]}.")
    b = f.builder
    scores = b.gather([Column(_table(f, t, scope)) for t in tables], "scores")
    shares = _normalized(f, scores, method)
    order = [named.index(c) for c in classes]
    if order != list(range(len(order))):
        shares = b.gather([Column(shares, i) for i in order], "probability")
    if named == list(classes):
        return Prediction(classes=classes, data_type=data_type, probabilities=shares)
    return Prediction(classes=classes, data_type=data_type, probabilities=shares, index=_first_listed(f, shares, order))


def _first_listed(f: Formulas, shares: Vector, order: list[int]) -> Vector:
    """The winner's position where ties go to the class whose table stands first."""
    b = f.builder
    listed = b.gather([Column(shares, order.index(i)) for i in range(len(order))], "listed")
    best = b.add("reduce", listed.value, hint="listed_index", fn="argmax")
    places = np.array([float(order.index(i)) for i in range(len(order))])
    result = b.vector(b.add("take", best, hint="winner", table=places), "number")
    if not shares.nullable:
        return result
    first = b.add("select", shares.value, hint="first", index=np.zeros(1, dtype=np.int64))
    return b.where_known(b.present(b.vector(first, "number", True)), result)


def _table(f: Formulas, table: Element, scope: Scope) -> Vector:
    """intercept + sum of predictors, of width 1."""
    b = f.builder
    columns: list[Column] = []
    weights: list[float] = []
    for part in table.content():
        weight = number_text(part.get("coefficient", "1"), "A coefficient")
        if part.tag == "NumericPredictor":
            columns.append(_power(f, scope.column(part.need("name")), part.get("exponent", "1") or "1"))
        elif part.tag == "CategoricalPredictor":
            columns.append(indicator(f, scope.column(part.need("name")), part.need("value")))
        elif part.tag == "PredictorTerm":
            columns.append(_product(f, [scope.column(r.need("field")) for r in part.all("FieldRef")]))
        else:
            raise Unsupported(f"A RegressionTable holds {part.tag}, which this reader does not know.")
        weights.append(weight)
    bias = number_text(table.get("intercept", "0"), "An intercept")
    if not columns:
        return b.constant([bias], "number")
    row = b.gather(columns, "predictors")
    if len(columns) == 1 and weights[0] == 1.0 and bias == 0.0:
        return b.number(row)
    value = b.add("linear", b.number(row).value, hint="score", weight=np.array([weights]), bias=np.array([bias]))
    return b.vector(value, "number", row.nullable)


def _power(f: Formulas, column: Column, exponent: str) -> Column:
    power = number_text(exponent, "An exponent")
    if power == 1.0:
        return column
    b = f.builder
    x = b.number(b.column(column))
    if power == 2.0:
        return Column(b.unary("square", x))
    return Column(b.binary("pow", x, b.constant([power], "number"), "power"))


def indicator(f: Formulas, column: Column, value: str) -> Column:
    """1.0 where the field has the value; a missing one counts 0."""
    b = f.builder
    x = b.column(column)
    wanted: Any = value
    if x.kind == "bool":
        x, wanted = b.number(x), float(boolean_text(value))
    elif x.kind == "number":
        wanted = number_text(value, "A CategoricalPredictor's value")
    equal = b.add("binary", x.value, b.constant([wanted], x.kind).value, hint="category", fn="eq")
    return Column(b.vector(b.add("cast", equal, hint="indicator", to="f64"), "number"))


def _product(f: Formulas, columns: Sequence[Column]) -> Column:
    if not columns:
        raise ArtifactError("A PredictorTerm names no field.")
    result = f.builder.column(columns[0])
    for column in columns[1:]:
        result = f.builder.binary("mul", result, f.builder.column(column), "product")
    return Column(result)


def link(f: Formulas, x: Vector, method: str) -> Vector:
    """The inverse link of one score."""
    b = f.builder
    if method == "none":
        return x
    if method in ("logit", "softmax"):
        return b.unary("sigmoid", x, "probability")
    if method == "exp":
        return b.unary("exp", x, "mean")
    if method == "probit":
        return f.call("stdNormalCDF", [x], "probability")
    if method in ("cloglog", "loglog"):
        sign = b.constant([-1.0], "number")
        inner = b.unary("exp", x if method == "cloglog" else b.binary("mul", x, sign, "negative"))
        outer = b.unary("exp", b.binary("mul", inner, sign, "negative"))
        return outer if method == "loglog" else b.binary("sub", b.constant([1.0], "number"), outer, "probability")
    if method == "cauchit":
        share = b.binary("div", b.unary("arctan", x), b.constant([math.pi], "number"), "angle")
        return b.binary("add", b.constant([0.5], "number"), share, "probability")
    raise Unsupported(f"The normalizationMethod {method!r} is not known to this reader.")


def _normalized(f: Formulas, scores: Vector, method: str) -> Vector:
    """Probabilities of scores, in the order of the tables."""
    b = f.builder
    if method == "softmax":
        return b.vector(b.add("softmax", scores.value, hint="probability"), "number", scores.nullable)
    if method == "simplemax":
        return shares(f, scores)
    if scores.width == 2 or method == "none":
        return _with_rest(f, scores, method)
    return shares(f, link(f, scores, method))


def shares(f: Formulas, x: Vector) -> Vector:
    """Numbers divided by their sum."""
    b = f.builder
    total = b.vector(b.add("reduce", x.value, hint="total", fn="sum", keep=True), "number", x.nullable)
    return b.binary("div", x, total, "probability")


def _with_rest(f: Formulas, scores: Vector, method: str) -> Vector:
    """The last class has what the others leave."""
    b = f.builder
    others = [Column(scores, i) for i in range(scores.width - 1)]
    shares = link(f, b.gather(others, "others"), method)
    if method == "none" and scores.width == 2:  # what is no probability becomes the nearest one
        clipped = b.add("clip", shares.value, hint="clipped", min=np.zeros(1), max=np.ones(1))
        shares = b.vector(clipped, "number", shares.nullable)
    used = b.vector(b.add("reduce", shares.value, hint="used", fn="sum", keep=True), "number", shares.nullable)
    rest = b.binary("sub", b.constant([1.0], "number"), used, "rest")
    return b.gather([*(Column(shares, i) for i in range(shares.width)), Column(rest)], "probability")
