"""Models that compare a row with stored points: support vector machines, clusterings, naive Bayes of normal distributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Vector
from .formulas import Formulas
from .prediction import Prediction, classes_of
from .scope import Scope
from .texts import array_items, number_text

__all__ = ["clustering", "naive_bayes", "support_vectors"]

KERNELS = {
    "LinearKernelType": "dot",
    "PolynomialKernelType": "poly",
    "RadialBasisKernelType": "rbf",
    "SigmoidKernelType": "sigmoid",
}


def support_vectors(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """SupportVectorMachineModel for regression, or for two classes."""
    b = f.builder
    if model.get("svmRepresentation", "SupportVectors") != "SupportVectors":
        raise Unsupported("A SupportVectorMachineModel is written as coefficients of fields, which this reader does not know.")
    kernel = next((c for c in model.children if c.tag in KERNELS), None)
    if kernel is None:
        raise Unsupported("A SupportVectorMachineModel has a kernel that this reader does not know.")
    dictionary = model.require("VectorDictionary")
    fields = dictionary.require("VectorFields").content()
    if any(e.tag != "FieldRef" for e in fields):
        raise Unsupported("The VectorFields hold something else than FieldRefs, which this reader does not know.")
    row = b.number(b.gather([scope.column(e.need("field")) for e in fields], "vector"))
    vectors = {v.need("id"): _numbers(v) for v in dictionary.all("VectorInstance")}
    machines = list(model.all("SupportVectorMachine"))
    scores = [_machine(f, kernel, m, row, vectors) for m in machines]
    if model.get("functionName") == "regression":
        if len(scores) != 1:
            raise ArtifactError(f"A SupportVectorMachineModel for regression has {len(scores)} machines; it has one.")
        return Prediction(number=scores[0])
    return _machine_classes(f, model, scope, machines, scores)


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
    """Every machine votes for its target category where its score is below the threshold, else for the alternate one."""
    b = f.builder
    pairs = [(m.get("targetCategory"), m.get("alternateTargetCategory")) for m in machines]
    one_against_one = len(machines) == 1 or model.get("classificationMethod") == "OneAgainstOne"
    if not one_against_one or model.get("maxWins") == "true" or any(p is None or q is None for p, q in pairs):
        raise Unsupported("A SupportVectorMachineModel sets classes against all others, which this reader does not know.")
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

DISTANCES = {"squaredEuclidean": "sqeuclidean", "euclidean": "euclidean", "cityBlock": "manhattan", "chebychev": "chebyshev"}


def clustering(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """Centre-based ClusteringModel; rows with missing values are refused, though PMML has rules for them."""
    b = f.builder
    measure = model.require("ComparisonMeasure")
    kind = next((c.tag for c in measure.content()), "nothing")
    if model.get("modelClass") != "centerBased" or measure.get("kind") != "distance" or kind not in DISTANCES:
        raise Unsupported(
            f"A ClusteringModel of class {model.get('modelClass')!r} compares by {kind}, which this reader does not know."
        )
    fields = [c for c in model.all("ClusteringField") if c.get("isCenterField", "true") == "true"]
    for c in fields:
        if (c.get("compareFunction") or measure.get("compareFunction", "absDiff")) != "absDiff":
            raise Unsupported("A ClusteringField has a compareFunction other than absDiff, which this reader does not know.")
    row = b.refusing(b.number(b.gather([scope.column(c.need("field")) for c in fields], "point")), "point")
    weights = np.array([number_text(c.get("fieldWeight", "1"), "A fieldWeight") for c in fields])
    centres = [_numbers(c) for c in model.all("Cluster")]
    if not centres or any(len(c) != row.width for c in centres):
        raise ArtifactError("The Clusters' arrays are not one number per ClusteringField.")
    points = np.array(centres)
    if (weights != 1.0).any():
        raise Unsupported("A ClusteringModel weights its fields, which this reader does not know.")
    far = b.add("pairwise", row.value, hint="distance", points=points, metric=DISTANCES[kind])
    best = b.add("cast", b.add("reduce", far, hint="nearest", fn="argmin"), hint="cluster", to="f64")
    ids = tuple(c.get("id") or str(i) for i, c in enumerate(model.all("Cluster"), 1))
    return Prediction(classes=ids, index=b.vector(best, "number"), affinities=b.vector(far, "number"))


# --- naive Bayes --------------------------------------------------------------------------------------------------------------


def naive_bayes(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """NaiveBayesModel of Gaussian inputs; rows with missing values are refused, though PMML leaves them out of the product."""
    b = f.builder
    output = model.require("BayesOutput").require("TargetValueCounts")
    counts = {c.need("value"): number_text(c.need("count"), "A count") for c in output.all("TargetValueCount")}
    classes, data_type = classes_of(model, scope, lambda: list(counts))
    if set(classes) != set(counts):
        raise ArtifactError("The TargetValueCounts are not exactly the target's values.")
    columns, means, variances = [], [], []
    for given in model.require("BayesInputs").all("BayesInput"):
        stats = given.find("TargetValueStats")
        if stats is None:
            raise Unsupported("A NaiveBayesModel counts the values of an input, which this reader does not know.")
        found = {s.need("value"): s.find("GaussianDistribution") for s in stats.all("TargetValueStat")}
        if any(found.get(c) is None for c in classes):
            raise Unsupported(
                "A NaiveBayesModel has an input without a GaussianDistribution per class, which this reader does not know."
            )
        columns.append(scope.column(given.need("fieldName")))
        means.append([number_text(found[c].need("mean"), "A mean") for c in classes])  # type: ignore[union-attr]
        variances.append([number_text(found[c].need("variance"), "A variance") for c in classes])  # type: ignore[union-attr]
    row = b.refusing(b.number(b.gather(columns, "inputs")), "inputs")
    prior = np.log(np.array([counts[c] for c in classes]) / sum(counts.values()))
    score = b.add(
        "gaussian_ll",
        row.value,
        hint="likelihood",
        mean=np.array(means).T.copy(),
        var=np.array(variances).T.copy(),
        log_prior=prior,
    )
    shares = b.vector(b.add("softmax", score, hint="probability"), "number")
    return Prediction(classes=classes, data_type=data_type, probabilities=shares)
