"""Models that compare a row with stored points: support vector machines, clusterings, naive Bayes of normal distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Column, Vector
from .formulas import Formulas
from .measures import distances, weighted
from .prediction import Prediction, classes_of
from .regression import indicator
from .scope import Scope
from .texts import array_items, boolean_text, number_text

__all__ = ["clustering", "naive_bayes", "support_vectors"]

KERNELS = {
    "LinearKernelType": "dot",
    "PolynomialKernelType": "poly",
    "RadialBasisKernelType": "rbf",
    "SigmoidKernelType": "sigmoid",
}


def support_vectors(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """SupportVectorMachineModel; rows with missing values are refused."""
    b = f.builder
    dictionary = model.require("VectorDictionary")
    columns = [_vector_field(f, e, scope) for e in dictionary.require("VectorFields").content()]
    row = b.refusing(b.number(b.gather(columns, "vector")), "vector")
    machines = list(model.all("SupportVectorMachine"))
    if model.get("svmRepresentation", "SupportVectors") == "Coefficients":
        scores = [_plane(f, m, row) for m in machines]
    else:
        kernel = next((c for c in model.children if c.tag in KERNELS), None)
        if kernel is None:
            raise Unsupported("A SupportVectorMachineModel has a kernel that this reader does not know.")
        vectors = {v.need("id"): _numbers(v) for v in dictionary.all("VectorInstance")}
        scores = [_machine(f, kernel, m, row, vectors) for m in machines]
    if model.get("functionName") == "regression":
        if len(scores) != 1:
            raise ArtifactError(f"A SupportVectorMachineModel for regression has {len(scores)} machines; it has one.")
        return Prediction(number=scores[0])
    return _machine_classes(f, model, scope, machines, scores)


def _vector_field(f: Formulas, e: Element, scope: Scope) -> Column:
    """A field of the vectors, or the indicator of a category."""
    if e.tag == "FieldRef":
        return scope.column(e.need("field"))
    if e.tag == "CategoricalPredictor":
        b = f.builder
        x = indicator(f, scope.column(e.need("name")), e.need("value"))
        weight = number_text(e.get("coefficient", "1"), "A coefficient")
        return x if weight == 1.0 else Column(b.binary("mul", b.column(x), b.constant([weight], "number"), "category"))
    raise Unsupported(f"The VectorFields hold {e.tag}, which this reader does not know.")


def _plane(f: Formulas, machine: Element, row: Vector) -> Vector:
    """A machine that is written as one coefficient per field."""
    coefficients = machine.require("Coefficients")
    weights = [number_text(c.get("value", "0"), "A Coefficient") for c in coefficients.all("Coefficient")]
    if len(weights) != row.width:
        raise ArtifactError(f"A SupportVectorMachine has {len(weights)} coefficients for {row.width} fields.")
    bias = number_text(coefficients.get("absoluteValue", "0"), "An absoluteValue")
    value = f.builder.add("linear", row.value, hint="score", weight=np.array([weights]), bias=np.array([bias]))
    return f.builder.vector(value, "number", row.nullable)


def _machine(f: Formulas, kernel: Element, machine: Element, row: Vector, vectors: dict[str, list[float]]) -> Vector:
    b = f.builder
    names = [s.need("vectorId") for s in machine.require("SupportVectors").all("SupportVector")]
    missing = [n for n in names if n not in vectors]
    coefficients = machine.require("Coefficients")
    weights = [number_text(c.get("value", "0"), "A Coefficient") for c in coefficients.all("Coefficient")]
    if missing or len(weights) != len(names) or any(len(vectors[n]) != row.width for n in names):
        raise ArtifactError(
            "A SupportVectorMachine names vectors that are not there, or as many coefficients as it has no vectors."
        )
    bias = number_text(coefficients.get("absoluteValue", "0"), "An absoluteValue")
    settings = {
        "gamma": number_text(kernel.get("gamma", "1"), "gamma"),
        "coef0": number_text(kernel.get("coef0", "1"), "coef0"),
        "degree": number_text(kernel.get("degree", "1"), "degree"),
    }
    points = np.array([vectors[n] for n in names]).reshape(len(names), row.width)
    near = b.add("pairwise", row.value, hint="kernel", points=points, metric=KERNELS[kernel.tag], **settings)
    value = b.add("linear", near, hint="score", weight=np.array([weights]).reshape(1, len(names)), bias=np.array([bias]))
    return b.vector(value, "number", row.nullable)


def _machine_classes(
    f: Formulas, model: Element, scope: Scope, machines: Sequence[Element], scores: Sequence[Vector]
) -> Prediction:
    """Every machine votes for its target category where its score is below the threshold, else for the alternate one; of machines
    that set one class against all others, the lowest score wins (with maxWins the highest)."""
    b = f.builder
    if model.get("classificationMethod", "OneAgainstAll") == "OneAgainstAll" and len(machines) > 1:
        return _against_all(f, model, scope, machines, scores)
    pairs = [(m.get("targetCategory"), m.get("alternateTargetCategory")) for m in machines]
    one_against_one = len(machines) == 1 or model.get("classificationMethod") == "OneAgainstOne"
    if not one_against_one or model.get("maxWins") == "true" or any(p is None or q is None for p, q in pairs):
        raise Unsupported("A SupportVectorMachineModel tells classes apart in a way that this reader does not know.")
    named = [str(k) for pair in pairs for k in pair]
    classes, data_type = classes_of(model, scope, lambda: named)
    if set(named) - set(classes):
        raise ArtifactError("A SupportVectorMachine decides between categories that are not the target's values.")
    votes = b.constant([0.0], "number")
    for machine, score, (first, second) in zip(machines, scores, pairs, strict=True):
        limit = number_text(machine.get("threshold") or model.get("threshold") or "0", "A threshold")
        below = f.compare("lt", score, b.constant([limit], "number"), "below")
        won, lost = ([1.0 if c == k else 0.0 for c in classes] for k in (first, second))
        vote = b.choose(below.value, b.constant(won, "number"), b.constant(lost, "number"), "vote")
        votes = b.binary("add", votes, vote, "votes")
    index = b.add("cast", b.add("reduce", votes.value, hint="winner", fn="argmax"), hint="index", to="f64")
    known = b.all_of(*(b.present(score) for score in scores))
    return Prediction(classes=classes, data_type=data_type, index=b.where_known(known, b.vector(index, "number")))


def _against_all(f: Formulas, model: Element, scope: Scope, machines: Sequence[Element], scores: Sequence[Vector]) -> Prediction:
    b = f.builder
    named = [m.need("targetCategory") for m in machines]
    classes, data_type = classes_of(model, scope, lambda: named)
    if sorted(named) != sorted(classes):
        raise ArtifactError("The SupportVectorMachines are not one for each of the target's values.")
    row = b.gather([Column(scores[named.index(c)]) for c in classes], "scores")
    best = b.add("reduce", row.value, hint="winner", fn="argmax" if model.get("maxWins") == "true" else "argmin")
    index = b.vector(b.add("cast", best, hint="index", to="f64"), "number")
    known = b.all_of(*(b.present(score) for score in scores))
    return Prediction(classes=classes, data_type=data_type, index=b.where_known(known, index))


def _numbers(e: Element) -> list[float]:
    """The numbers of an element's Array or sparse array."""
    array = e.find("Array")
    if array is not None:
        return [number_text(t, "An Array's item") for t in array_items(array)]
    sparse = e.find("REAL-SparseArray")
    if sparse is None:
        raise ArtifactError(f"A PMML element {e.tag} has no Array.")
    length = sparse.get("n") or ""
    if not length.isdigit() or int(length) > 1 << 20:
        raise ArtifactError("A REAL-SparseArray does not say its length.")
    values = [0.0] * int(length)
    places, entries = sparse.find("Indices"), sparse.find("REAL-Entries")
    for place, entry in zip(places.text.split() if places else [], entries.text.split() if entries else [], strict=True):
        if not place.isdigit() or not 1 <= int(place) <= len(values):
            raise ArtifactError("A REAL-SparseArray has an index outside its length.")
        values[int(place) - 1] = number_text(entry, "A REAL-SparseArray's entry")
    return values


# --- clustering ---------------------------------------------------------------------------------------------------------------


def clustering(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """Centre-based ClusteringModel."""
    b = f.builder
    measure = model.require("ComparisonMeasure")
    if model.get("modelClass") != "centerBased":
        raise Unsupported(f"A ClusteringModel has modelClass={model.get('modelClass')!r}; this reader knows centerBased.")
    fields = [c for c in model.all("ClusteringField") if c.get("isCenterField", "true") == "true"]
    row = b.number(b.gather([scope.column(c.need("field")) for c in fields], "point"))
    _plain_missing(model)
    centres = [_numbers(c) for c in model.all("Cluster")]
    if not centres or any(len(c) != row.width for c in centres):
        raise ArtifactError("The Clusters' arrays are not one number per ClusteringField.")
    row, points = weighted(f, measure, fields, row, np.array(centres))
    far = distances(f, measure, row, points)
    best = b.add("cast", b.add("reduce", far.value, hint="nearest", fn="argmin"), hint="cluster", to="f64")
    ids = tuple(c.get("id") or str(i) for i, c in enumerate(model.all("Cluster"), 1))
    return Prediction(classes=ids, index=b.vector(best, "number"), affinities=far)


def _plain_missing(model: Element) -> None:
    """Refuse weights of missing values other than 1."""
    weights = model.find("MissingValueWeights")
    if weights is not None and any(v != 1.0 for v in _numbers(weights)):
        raise Unsupported("A ClusteringModel has MissingValueWeights other than 1, which this reader does not know.")


# --- naive Bayes --------------------------------------------------------------------------------------------------------------


def naive_bayes(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """NaiveBayesModel of Gaussian and of counted inputs; missing values are left out of the product."""
    b = f.builder
    output = model.require("BayesOutput").require("TargetValueCounts")
    counts = {c.need("value"): number_text(c.need("count"), "A count") for c in output.all("TargetValueCount")}
    classes, data_type = classes_of(model, scope, lambda: list(counts))
    if set(classes) != set(counts):
        raise ArtifactError("The TargetValueCounts are not exactly the target's values.")
    prior = np.log(np.array([counts[c] for c in classes]) / sum(counts.values()))
    threshold = number_text(model.get("threshold", "0"), "A threshold")
    inputs = list(model.require("BayesInputs").all("BayesInput"))
    columns = [scope.column(e.need("fieldName")) for e in inputs]
    whole = not any(c.vector.nullable or c.vector.known for c in columns)
    if threshold == 0.0 and whole and all(e.find("TargetValueStats") is not None for e in inputs):
        row = b.number(b.gather(columns, "inputs"))
        mean, var = (np.array(part).T.copy() for part in zip(*(_gaussians(e, classes) for e in inputs), strict=True))
        score = b.add("gaussian_ll", row.value, hint="likelihood", mean=mean, var=var, log_prior=prior)
        shares = b.vector(b.add("softmax", score, hint="probability"), "number")
        return Prediction(classes=classes, data_type=data_type, probabilities=shares)
    total = b.constant(prior.tolist(), "number")
    if total.width < len(classes):
        total = b.gather([Column(total)] * len(classes), "prior")
    for e in inputs:
        part = (
            _density(f, e, scope, classes, threshold) if e.find("PairCounts") is None else _pairs(f, e, scope, classes, threshold)
        )
        total = b.binary("add", total, part, "likelihood")
    shares = b.vector(b.add("softmax", total.value, hint="probability"), "number")
    return Prediction(classes=classes, data_type=data_type, probabilities=shares)


def _gaussians(e: Element, classes: Sequence[str]) -> tuple[list[float], list[float]]:
    """Mean and variance per class."""
    stats = e.find("TargetValueStats")
    if stats is None:
        raise ArtifactError(f"The BayesInput {e.get('fieldName')!r} has neither PairCounts nor TargetValueStats.")
    found = {s.need("value"): s.find("GaussianDistribution") for s in stats.all("TargetValueStat")}
    if any(found.get(c) is None for c in classes):
        raise Unsupported(
            f"The BayesInput {e.get('fieldName')!r} has no GaussianDistribution per class, which this reader does not know."
        )
    pairs = [(found[c].need("mean"), found[c].need("variance")) for c in classes]  # type: ignore[union-attr]
    means, variances = ([number_text(v, "A mean or variance") for v in part] for part in zip(*pairs, strict=True))
    if not all(v > 0 for v in variances):
        raise ArtifactError(f"The BayesInput {e.get('fieldName')!r} has a variance that is not positive.")
    return means, variances


def _density(f: Formulas, e: Element, scope: Scope, classes: Sequence[str], threshold: float) -> Vector:
    """The logarithm of a normal density per class, at least that of the threshold; 0 where the field is missing."""
    b = f.builder
    means, variances = (np.array(part) for part in _gaussians(e, classes))
    x = b.number(b.column(scope.column(e.need("fieldName"))))
    row = b.gather([Column(x)] * len(classes), "input")
    distance = b.add("scale", row.value, hint="distance", sub=means)
    half = b.add("unary", distance, hint="square", fn="square")
    value = b.add("scale", half, hint="density", div=-2.0 * variances, add=-0.5 * np.log(2.0 * math.pi * variances))
    if threshold > 0.0:
        value = b.add("clip", value, hint="density", min=np.array([math.log(threshold)]))
    result = b.vector(value, "number", x.nullable)
    return f.default(result, ["0"] * len(classes), "density")


def _pairs(f: Formulas, e: Element, scope: Scope, classes: Sequence[str], threshold: float) -> Vector:
    """The logarithm of the share of a value among those of a class; 0 where the field is missing or has none of the values."""
    b = f.builder
    if e.find("DerivedField") is not None:
        raise Unsupported(f"The BayesInput {e.get('fieldName')!r} holds a DerivedField, which this reader does not know.")
    x = b.column(scope.column(e.need("fieldName")))
    table: dict[str, dict[str, float]] = {}
    for pair in e.all("PairCounts"):
        counted = pair.require("TargetValueCounts").all("TargetValueCount")
        table[pair.need("value")] = {c.need("value"): number_text(c.need("count"), "A count") for c in counted}
    totals = [sum(counts.get(c, 0.0) for counts in table.values()) for c in classes]
    if not table or not all(t > 0 for t in totals):
        raise ArtifactError(f"The BayesInput {e.get('fieldName')!r} counts nothing for a class.")
    rows: list[list[float]] = []
    for counts in table.values():
        shares = [counts.get(c, 0.0) / t for c, t in zip(classes, totals, strict=True)]
        shares = [threshold if s == 0.0 else s for s in shares]
        if not all(s > 0 for s in shares):
            raise Unsupported(
                f"The BayesInput {e.get('fieldName')!r} has a count of 0 and the threshold is 0, which this reader does not know."
            )
        rows.append([math.log(s) for s in shares])
    rows.append([0.0] * len(classes))
    keys: Any
    if x.kind == "string":
        keys = np.empty(len(table) + x.nullable, dtype=object)
        keys[:] = [*table, *([None] if x.nullable else [])]
    else:
        x = b.number(x)
        keys = np.array(
            [float(boolean_text(k)) if k in ("true", "false") else number_text(k, "A PairCount's value") for k in table]
        )
        if x.nullable:
            keys = np.append(keys, math.nan)
    places = np.minimum(np.arange(len(keys)), len(table))
    place = b.add("lookup", x.value, hint="place", keys=keys, values=places, default=len(table))
    return b.vector(b.add("take", place, hint="share", table=np.array(rows)), "number")
