"""GeneralRegressionModel: products of covariates and indicators of factors, weighted, and the inverse of a link."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Column, Vector
from .formulas import Formulas
from .prediction import Prediction, classes_of
from .regression import link
from .scope import Scope
from .texts import boolean_text, number_text

__all__ = ["general_regression"]

KINDS = ("regression", "generalLinear", "generalizedLinear", "multinomialLogistic", "ordinalMultinomial")
CUMULATIVE = {"logit": "logit", "probit": "probit", "cloglog": "cloglog", "loglog": "loglog", "cauchit": "cauchit"}


def general_regression(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """GeneralRegressionModel."""
    kind = model.need("modelType")
    if kind not in KINDS:
        raise Unsupported(f"A GeneralRegressionModel has modelType={kind!r}, which this reader does not know.")
    parameters = _parameters(f, model, scope)
    cells = list(model.require("ParamMatrix").all("PCell"))
    by_category: dict[str | None, dict[str, float]] = {}
    for cell in cells:
        name = cell.need("parameterName")
        if name not in parameters:
            raise ArtifactError(f"A PCell names the parameter {name!r}, which the ParameterList does not have.")
        own = by_category.setdefault(cell.get("targetCategory"), {})
        own[name] = own.get(name, 0.0) + number_text(cell.need("beta"), "A beta")
    if model.get("functionName") != "classification":
        if kind in ("multinomialLogistic", "ordinalMultinomial"):
            raise ArtifactError(f"A GeneralRegressionModel of modelType={kind!r} has functionName={model.get('functionName')!r}.")
        betas = {k: v for own in by_category.values() for k, v in own.items()}
        score = _offset(f, model, scope, _score(f, parameters, betas))
        value = _inverse(f, model, score) if kind == "generalizedLinear" else score
        return Prediction(number=_trials(f, model, scope, value))
    return _classes(f, model, scope, kind, parameters, by_category)


# --- parameters -----------------------------------------------------------------------------------------------------------------


def _parameters(f: Formulas, model: Element, scope: Scope) -> dict[str, Vector | None]:
    """Parameter -> the product of its cells; None for one without cells, which is 1."""
    b = f.builder
    factors, covariates = (
        {p.need("name"): p for place in model.all(tag) for p in place.all("Predictor")} for tag in ("FactorList", "CovariateList")
    )
    for name, factor in factors.items():
        if factor.find("Matrix") is not None:
            raise Unsupported(f"The Predictor {name!r} has a contrast Matrix, which this reader does not know.")
    names = [p.need("name") for p in model.require("ParameterList").all("Parameter")]
    found: dict[str, Vector | None] = dict.fromkeys(names)
    for place in model.all("PPMatrix"):
        for cell in place.all("PPCell"):
            name, predictor, value = cell.need("parameterName"), cell.need("predictorName"), cell.need("value")
            if name not in found:
                raise ArtifactError(f"A PPCell names the parameter {name!r}, which the ParameterList does not have.")
            if cell.get("targetCategory") is not None:
                raise Unsupported(f"The PPCell of {name!r} has a targetCategory, which this reader does not know.")
            column = scope.column(predictor)
            if predictor in factors:
                part = _indicator(f, column, value)
            elif predictor in covariates:
                part = _raised(f, column, number_text(value, "A PPCell's value"))
            else:
                raise ArtifactError(f"A PPCell names the predictor {predictor!r}, which no list of predictors has.")
            before = found[name]
            found[name] = part if before is None else b.binary("mul", before, part, "parameter")
    return found


def _indicator(f: Formulas, column: Column, value: str) -> Vector:
    """1.0 where a factor has a value, 0.0 where it has another; missing where it is."""
    b, x = f.builder, f.builder.column(column)
    wanted: Any = value
    if x.kind == "number":
        wanted = number_text(value, "A PPCell's value")
    elif x.kind == "bool":
        wanted = boolean_text(value)
    return b.number(f.compare("eq", x, b.constant([wanted], x.kind), "factor"))


def _raised(f: Formulas, column: Column, exponent: float) -> Vector:
    x = f.builder.number(f.builder.column(column))
    if exponent == 1.0:
        return x
    if exponent == 2.0:
        return f.builder.unary("square", x)
    return f.builder.binary("pow", x, f.builder.constant([exponent], "number"), "covariate")


def _score(f: Formulas, parameters: Mapping[str, Vector | None], betas: Mapping[str, float]) -> Vector:
    """The weighted sum of parameters, in the order of the ParameterList."""
    b = f.builder
    bias, columns, weights = 0.0, [], []
    for name, vector in parameters.items():
        if name not in betas:
            continue
        if vector is None:
            bias += betas[name]
        else:
            columns.append(Column(vector))
            weights.append(betas[name])
    if not columns:
        return b.constant([bias], "number")
    row = b.number(b.gather(columns, "parameters"))
    value = b.add("linear", row.value, hint="score", weight=np.array([weights]), bias=np.array([bias]))
    return b.vector(value, "number", row.nullable)


def _offset(f: Formulas, model: Element, scope: Scope, x: Vector) -> Vector:
    return _with(f, model, scope, x, "offset", "add")


def _trials(f: Formulas, model: Element, scope: Scope, x: Vector) -> Vector:
    return _with(f, model, scope, x, "trials", "mul")


def _with(f: Formulas, model: Element, scope: Scope, x: Vector, what: str, fn: str) -> Vector:
    """x and the field or number that an offset or a number of trials is."""
    b = f.builder
    field, value = model.get(f"{what}Variable"), model.get(f"{what}Value")
    if field is not None:
        return b.binary(fn, x, b.column(scope.column(field)), what)
    if value is not None:
        return b.binary(fn, x, b.constant([number_text(value, f"An {what}Value")], "number"), what)
    return x


# --- links ----------------------------------------------------------------------------------------------------------------------


def _inverse(f: Formulas, model: Element, x: Vector) -> Vector:
    """The inverse of the link function."""
    name = model.get("linkFunction")
    if name is None:
        raise ArtifactError("A GeneralRegressionModel of modelType='generalizedLinear' has no linkFunction.")
    if name not in LINKS:
        raise Unsupported(f"The linkFunction {name!r} is not known to this reader.")
    return LINKS[name](f, x, model)


def _known(method: str) -> Callable[[Formulas, Vector, Element], Vector]:
    return lambda f, x, _: link(f, x, method)


def _one(f: Formulas) -> Vector:
    return f.builder.constant([1.0], "number")


def _logc(f: Formulas, x: Vector, _: Element) -> Vector:
    """1 - exp(x)."""
    return f.builder.binary("sub", _one(f), f.builder.unary("exp", x), "mean")


def _power(f: Formulas, x: Vector, model: Element) -> Vector:
    """x^(1/d), or exp(x) for d = 0."""
    d = number_text(model.need("linkParameter"), "A linkParameter")
    if d == 0.0:
        return f.builder.unary("exp", x, "mean")
    return f.builder.binary("pow", x, f.builder.constant([1.0 / d], "number"), "mean")


def _odds_power(f: Formulas, x: Vector, model: Element) -> Vector:
    """1 / (1 + (1 + d x)^(-1/d)), or the logistic function for d = 0."""
    b, d = f.builder, number_text(model.need("linkParameter"), "A linkParameter")
    if d == 0.0:
        return link(f, x, "logit")
    inner = b.binary("add", _one(f), b.binary("mul", b.constant([d], "number"), x, "odds"), "odds")
    power = b.binary("pow", inner, b.constant([-1.0 / d], "number"), "odds")
    return b.binary("div", _one(f), b.binary("add", _one(f), power, "odds"), "mean")


def _negative_binomial(f: Formulas, x: Vector, model: Element) -> Vector:
    """1 / (c (exp(-x) - 1))."""
    b, c = f.builder, number_text(model.need("distParameter"), "A distParameter")
    less = b.binary("sub", b.unary("exp", b.unary("neg", x)), _one(f), "odds")
    return b.binary("div", _one(f), b.binary("mul", b.constant([c], "number"), less, "odds"), "mean")


LINKS: Mapping[str, Callable[[Formulas, Vector, Element], Vector]] = {
    "identity": _known("none"),
    "log": _known("exp"),
    "logit": _known("logit"),
    "probit": _known("probit"),
    "cloglog": _known("cloglog"),
    "loglog": _known("loglog"),
    "cauchit": _known("cauchit"),
    "logc": _logc,
    "power": _power,
    "oddspower": _odds_power,
    "negbin": _negative_binomial,
}


# --- classes --------------------------------------------------------------------------------------------------------------------


def _classes(
    f: Formulas,
    model: Element,
    scope: Scope,
    kind: str,
    parameters: Mapping[str, Vector | None],
    by_category: Mapping[str | None, Mapping[str, float]],
) -> Prediction:
    b = f.builder
    reference = model.get("targetReferenceCategory")
    named = [c for c in by_category if c is not None]
    known = [*named, *([reference] if reference is not None and reference not in named else [])]
    classes, data_type = classes_of(model, scope, lambda: known)
    odd = [c for c in known if c not in classes]
    if odd:
        raise ArtifactError(f"A GeneralRegressionModel speaks of the category {odd[0]!r}, which is none of the target's values.")
    if kind == "ordinalMultinomial":
        return _ordinal(f, model, scope, parameters, by_category, classes, data_type)
    rest = reference
    if rest is None or rest in named:
        left = [c for c in classes if c not in named]
        rest = left[0] if len(left) == 1 else None
    common = dict(by_category.get(None, {}))
    if common and not named and len(classes) == 2:  # one column of numbers, for the category that is not the reference
        other = next(c for c in reversed(classes) if c != rest)
        by_category, named, common = {other: common}, [other], {}
        rest = next(c for c in classes if c != other)
    if set(named) | {rest} != set(classes) or common:
        raise Unsupported("A GeneralRegressionModel has PCells that do not tell its target's values apart by targetCategory.")
    scores = {c: _offset(f, model, scope, _score(f, parameters, by_category[c])) for c in named}
    if kind == "generalizedLinear":
        if len(classes) != 2 or rest is None:
            raise Unsupported("A GeneralRegressionModel of modelType='generalizedLinear' has more than two classes.")
        p = _inverse(f, model, scores[named[0]])
        shares = {named[0]: p, rest: b.binary("sub", _one(f), p, "rest")}
        row = b.gather([Column(shares[c]) for c in classes], "probability")
        return Prediction(classes=classes, data_type=data_type, probabilities=row)
    if kind != "multinomialLogistic":
        raise Unsupported(f"A GeneralRegressionModel of modelType={kind!r} is a classification, which this reader does not know.")
    nothing = b.constant([0.0], "number")
    row = b.gather([Column(scores.get(c, nothing)) for c in classes], "scores")
    shared = b.vector(b.add("softmax", b.number(row).value, hint="probability"), "number", row.nullable)
    return Prediction(classes=classes, data_type=data_type, probabilities=shared)


def _ordinal(
    f: Formulas,
    model: Element,
    scope: Scope,
    parameters: Mapping[str, Vector | None],
    by_category: Mapping[str | None, Mapping[str, float]],
    classes: Sequence[str],
    data_type: str,
) -> Prediction:
    """Differences of cumulative probabilities, in the order of the target's values."""
    b = f.builder
    name = model.get("cumulativeLink") or model.get("cumulativeLinkFunction") or "logit"
    if name not in CUMULATIVE:
        raise Unsupported(f"The cumulativeLink {name!r} is not known to this reader.")
    common = by_category.get(None, {})
    if len(classes) < 2 or any(c not in by_category for c in classes[:-1]) or classes[-1] in by_category:
        raise ArtifactError("An ordinalMultinomial model has PCells for other categories than all of the target's but the last.")
    sums: list[Vector] = []
    for c in classes[:-1]:
        score = _score(f, parameters, {**common, **by_category[c]})
        sums.append(link(f, _offset(f, model, scope, score), CUMULATIVE[name]))
    parts = [sums[0], *(b.binary("sub", y, x, "share") for x, y in itertools.pairwise(sums))]
    parts.append(b.binary("sub", _one(f), sums[-1], "rest"))
    row = b.gather([Column(p) for p in parts], "probability")
    return Prediction(classes=tuple(classes), data_type=data_type, probabilities=row)
