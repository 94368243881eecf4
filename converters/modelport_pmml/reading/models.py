"""Model elements as steps: each gives a Prediction, from which OutputFields and later models are fed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Builder, Column, Vector
from .formulas import Formulas, body_of, boolean_text, number_text
from .scope import Scope
from .trees import Forest, array_items

__all__ = ["MODEL_READERS", "Prediction", "predicted", "tree_prediction"]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Prediction:
    """What a model answers.

    A regression has `number`; a classification `classes` with `probabilities` [classes] and perhaps `index`, an f64 value that
    holds the position of the winning class (else the largest probability wins, ties to the first); a clustering has `classes` (the
    clusters' ids), `index` and `affinities`. `numbers` are further targets by name.
    """

    number: Vector | None = None
    classes: tuple[str, ...] = ()
    data_type: str = "string"
    probabilities: Vector | None = None
    index: Vector | None = None
    affinities: Vector | None = None
    numbers: dict[str, Vector] = field(default_factory=dict)


def predicted(b: Builder, p: Prediction, data_type: str | None) -> Vector:
    """The predicted value, as a field of a dataType (a class in the target's own type by default)."""
    if p.number is not None:
        return p.number
    wanted = data_type or p.data_type
    kind = "string" if wanted == "string" else "bool" if wanted == "boolean" else "number"
    index, nullable = _winner(b, p)
    entries: Any
    if kind == "string":
        entries = np.empty(len(p.classes), dtype=object)
        entries[:] = p.classes
    elif kind == "bool":
        entries = np.array([boolean_text(c) for c in p.classes])
    else:
        entries = np.array([number_text(c, "A class") for c in p.classes])
    if not nullable:
        return b.vector(b.add("take", index.value, hint="label", table=entries), kind)
    present = b.present(index)
    safe = b.add("impute", index.value, hint="index", values=np.zeros(1))
    chosen = b.add("take", b.add("cast", safe, hint="index", to="i64"), hint="label", table=entries)
    return b.where_known(present, b.vector(chosen, kind))


def _winner(b: Builder, p: Prediction) -> tuple[Vector, bool]:
    """The position of the winning class: i64, or f64 with NaN where there is none."""
    if p.index is not None:
        if not p.index.nullable:
            return b.vector(b.add("cast", p.index.value, hint="index", to="i64"), "number"), False
        return p.index, True
    assert p.probabilities is not None, "a classification has probabilities"
    best = b.add("reduce", p.probabilities.value, hint="index", fn="argmax")
    if not p.probabilities.nullable:
        return b.vector(best, "number"), False
    first = b.add("select", p.probabilities.value, hint="first", index=np.zeros(1, dtype=np.int64))
    known = b.present(b.vector(first, "number", True))
    return b.where_known(known, b.vector(b.add("cast", best, hint="index", to="f64"), "number")), True


def classes_of(model: Element, scope: Scope, found: Sequence[str] = ()) -> tuple[tuple[str, ...], str]:
    """The classes of a model's target and their dataType: as the data dictionary lists them, else as found in the model."""
    target = next((f.need("name") for f in model.require("MiningSchema").all("MiningField") if f.get("usageType") in ("target", "predicted")), None)
    known = scope.targets.get(target) if target is not None else None
    if known is None:
        return tuple(dict.fromkeys(found)), "string"
    return (known.classes or tuple(dict.fromkeys(found))), known.data_type


# --- regression ---------------------------------------------------------------------------------------------------------------


def regression(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """RegressionModel."""
    tables = list(model.all("RegressionTable"))
    method = model.get("normalizationMethod", "none") or "none"
    if model.get("functionName") == "regression":
        if len(tables) != 1:
            raise ArtifactError(f"A RegressionModel for regression has {len(tables)} tables; it has one.")
        return Prediction(number=_link(f, _table(f, tables[0], scope), method))
    named = [t.need("targetCategory") for t in tables]
    classes, data_type = classes_of(model, scope, named)
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
            columns.append(_category(f, scope.column(part.need("name")), part.need("value")))
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


def _category(f: Formulas, column: Column, value: str) -> Column:
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


def _link(f: Formulas, x: Vector, method: str) -> Vector:
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
        return _shares(f, scores)
    if scores.width == 2 or method == "none":
        return _with_rest(f, scores, method)
    return _shares(f, _link(f, scores, method))


def _shares(f: Formulas, x: Vector) -> Vector:
    b = f.builder
    total = b.vector(b.add("reduce", x.value, hint="total", fn="sum", keep=True), "number", x.nullable)
    return b.binary("div", x, total, "probability")


def _with_rest(f: Formulas, scores: Vector, method: str) -> Vector:
    """The last class has what the others leave."""
    b = f.builder
    others = [Column(scores, i) for i in range(scores.width - 1)]
    shares = _link(f, b.gather(others, "others"), method)
    used = b.vector(b.add("reduce", shares.value, hint="used", fn="sum", keep=True), "number", shares.nullable)
    rest = b.binary("sub", b.constant([1.0], "number"), used, "rest")
    return b.gather([*(Column(shares, i) for i in range(shares.width)), Column(rest)], "probability")


# --- trees --------------------------------------------------------------------------------------------------------------------


def tree(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """A lone TreeModel."""
    return tree_prediction(f, [model], [scope], model, "sum")


def tree_prediction(f: Formulas, models: Sequence[Element], scopes: Sequence[Scope], owner: Element, aggregate: str) -> Prediction:
    """TreeModels together: their sum or mean, or, for one, its own answer."""
    b = f.builder
    regress = models[0].get("functionName") == "regression"
    classes, data_type = classes_of(owner, scopes[0], () if regress else _scores(models))
    forest = Forest(b, scopes[0], None if regress else classes)
    for model, scope in zip(models, scopes, strict=True):
        forest.add(model, scope)
    result = forest.step("trees", aggregate)
    if regress:
        return Prediction(number=result)
    width = len(classes)
    shares = b.gather([Column(result, i) for i in range(width)], "probability")
    if len(models) > 1:
        if not forest.leaves.all_distributed:
            raise Unsupported("Trees are averaged whose Nodes have no ScoreDistribution: their probabilities are not known.")
        return Prediction(classes=classes, data_type=data_type, probabilities=shares)
    own = b.gather([Column(result, width)], "index")
    return Prediction(classes=classes, data_type=data_type, probabilities=shares, index=own)


def _scores(models: Sequence[Element]) -> list[str]:
    """The scores and ScoreDistribution values of trees, in order of appearance."""
    found: dict[str, None] = {}
    for model in models:
        queue = [c for c in model.children if c.tag == "Node"]
        while queue:
            node = queue.pop()
            if node.score is not None:
                found.setdefault(node.score)
            for value, _, _ in node.counts or ():
                found.setdefault(value)
            queue.extend(reversed(node.children))
    return list(found)


# --- neural networks ----------------------------------------------------------------------------------------------------------

ACTIVATIONS = {"identity": "", "logistic": "sigmoid", "tanh": "tanh", "rectifier": "relu", "exponential": "exp"}
MORE_ACTIVATIONS = ("reciprocal", "square", "sine", "cosine")


def network(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """NeuralNetwork."""
    b = f.builder
    neurons: dict[str, Column] = {}
    inputs = list(model.require("NeuralInputs").all("NeuralInput"))
    inner = Scope(scope)
    fields = []
    for i, given in enumerate(inputs):
        derived = given.require("DerivedField")
        copy = Element("DerivedField", {**derived.attributes, "name": f"neural input {i}"})
        copy.children = derived.children
        fields.append(copy)
    f.define(fields, inner)
    for i, given in enumerate(inputs):
        neurons[given.need("id")] = inner.column(f"neural input {i}")
    for layer in model.all("NeuralLayer"):
        neurons.update(_layer(f, model, layer, neurons))
    return _network_answer(f, model, scope, neurons, b)


def _layer(f: Formulas, model: Element, layer: Element, neurons: dict[str, Column]) -> dict[str, Column]:
    """The neurons of a layer: weights of neurons that it does not connect are zero."""
    b = f.builder
    cells = list(layer.all("Neuron"))
    places: dict[str, int] = {}
    links = []
    for cell in cells:
        connections = [(c.need("from"), number_text(c.need("weight"), "A weight")) for c in cell.all("Con")]
        for name, _ in connections:
            if name not in neurons:
                raise ArtifactError(f"A Neuron is connected from {name!r}, which no layer before it has.")
            places.setdefault(name, len(places))
        links.append(connections)
    weight = np.zeros((len(cells), len(places)))
    for i, connections in enumerate(links):
        for name, value in connections:
            weight[i, places[name]] += value
    bias = np.array([number_text(cell.get("bias", "0"), "A bias") for cell in cells])
    if not places:
        raise ArtifactError("A NeuralLayer has no connections.")
    row = b.number(b.gather([neurons[name] for name in places], "layer_input"))
    out = b.vector(b.add("linear", row.value, hint="layer", weight=weight, bias=bias), "number", row.nullable)
    out = _activate(f, model, layer, out)
    return {cell.need("id"): Column(out, i) for i, cell in enumerate(cells)}


def _activate(f: Formulas, model: Element, layer: Element, x: Vector) -> Vector:
    b = f.builder
    name = layer.get("activationFunction") or model.need("activationFunction")
    if ACTIVATIONS.get(name):
        x = b.unary(ACTIVATIONS[name], x, "activation")
    elif name in ("sine", "cosine"):
        x = b.unary(name[:3] if name == "cosine" else "sin", x, "activation")
    elif name in ("reciprocal", "square"):
        x = b.unary(name, x, "activation")
    elif name == "Gauss":
        x = b.unary("exp", b.unary("neg", b.unary("square", x)), "activation")
    elif name == "Elliott":
        x = b.binary("div", x, b.binary("add", b.constant([1.0], "number"), b.unary("abs", x), "elliott"), "activation")
    elif name == "arctan":
        x = b.binary("div", b.binary("mul", b.constant([2.0], "number"), b.unary("arctan", x), "arctan"), b.constant([math.pi], "number"), "activation")
    elif name == "threshold":
        limit = number_text(layer.get("threshold") or model.get("threshold") or "0", "A threshold")
        x = f.call("threshold", [x, b.constant([limit], "number")], "activation")
    elif name != "identity":
        raise Unsupported(f"The activationFunction {name!r} is not known to this reader.")
    method = layer.get("normalizationMethod") or model.get("normalizationMethod") or "none"
    if method == "softmax":
        return b.vector(b.add("softmax", x.value, hint="normalized"), "number", x.nullable)
    if method == "simplemax":
        return _shares(f, x)
    if method != "none":
        raise Unsupported(f"The normalizationMethod {method!r} of a NeuralLayer is not known to this reader.")
    return x


def _network_answer(f: Formulas, model: Element, scope: Scope, neurons: dict[str, Column], b: Builder) -> Prediction:
    outputs = list(model.require("NeuralOutputs").all("NeuralOutput"))
    shares: dict[str, Column] = {}
    numbers: dict[str, Vector] = {}
    for output in outputs:
        source = neurons.get(output.need("outputNeuron"))
        if source is None:
            raise ArtifactError(f"A NeuralOutput is neuron {output.need('outputNeuron')!r}, which no layer has.")
        expression = body_of(output.require("DerivedField"))
        if expression.tag == "NormDiscrete":
            shares[expression.need("value")] = source
        elif expression.tag == "FieldRef":
            numbers[expression.need("field")] = b.gather([source], "output")
        elif expression.tag == "NormContinuous":
            numbers[expression.need("field")] = _denormalized(f, expression, b.gather([source], "output"))
        else:
            raise Unsupported(f"A NeuralOutput is a {expression.tag}, which this reader does not know.")
    if shares:
        classes, data_type = classes_of(model, scope, list(shares))
        if set(classes) != set(shares):
            raise ArtifactError("The NeuralOutputs are not exactly the target's values.")
        row = b.gather([shares[c] for c in classes], "probability")
        return Prediction(classes=classes, data_type=data_type, probabilities=row)
    return Prediction(number=next(iter(numbers.values())), numbers=numbers)


def _denormalized(f: Formulas, e: Element, x: Vector) -> Vector:
    """The inverse of a NormContinuous of two knots."""
    knots = [(number_text(k.need("orig"), "A LinearNorm"), number_text(k.need("norm"), "A LinearNorm")) for k in e.all("LinearNorm")]
    if len(knots) != 2 or knots[0][1] == knots[1][1]:
        raise Unsupported("A NeuralOutput is normalised with something else than one line, which this reader does not know.")
    (a, p), (c, q) = knots
    b = f.builder
    value = b.add(
        "scale", x.value, hint="output", sub=np.array([p]), div=np.array([q - p]), mul=np.array([c - a]), add=np.array([a])
    )
    return b.vector(value, "number", x.nullable)


# --- support vector machines --------------------------------------------------------------------------------------------------

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
        raise ArtifactError("A SupportVectorMachine names vectors that are not there, or as many coefficients as it has no vectors.")
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


def _machine_classes(f: Formulas, model: Element, scope: Scope, machines: Sequence[Element], scores: Sequence[Vector]) -> Prediction:
    """One machine for two classes: below the threshold the target category wins, else the alternate one."""
    b = f.builder
    if len(machines) != 1 or machines[0].get("alternateTargetCategory") is None:
        raise Unsupported("A SupportVectorMachineModel votes among several machines, which this reader does not know.")
    first, second = machines[0].need("targetCategory"), machines[0].need("alternateTargetCategory")
    classes, data_type = classes_of(model, scope, [first, second])
    if {first, second} != set(classes) or len(classes) != 2:
        raise ArtifactError("A SupportVectorMachine decides between categories that are not the target's values.")
    limit = number_text(machines[0].get("threshold") or model.get("threshold") or "0", "A threshold")
    above = b.number(f.compare("gt", scores[0], b.constant([limit], "number"), "above"))
    if second != classes[1]:
        above = b.binary("sub", b.constant([1.0], "number"), above, "index")
    return Prediction(classes=classes, data_type=data_type, index=above)


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
    """Centre-based ClusteringModel."""
    b = f.builder
    measure = model.require("ComparisonMeasure")
    kind = next((c.tag for c in measure.content()), "nothing")
    if model.get("modelClass") != "centerBased" or measure.get("kind") != "distance" or kind not in DISTANCES:
        raise Unsupported(f"A ClusteringModel of class {model.get('modelClass')!r} compares by {kind}, which this reader does not know.")
    fields = [c for c in model.all("ClusteringField") if c.get("isCenterField", "true") == "true"]
    for c in fields:
        if (c.get("compareFunction") or measure.get("compareFunction", "absDiff")) != "absDiff":
            raise Unsupported("A ClusteringField has a compareFunction other than absDiff, which this reader does not know.")
    row = b.number(b.gather([scope.column(c.need("field")) for c in fields], "point"))
    if row.nullable or model.find("MissingValueWeights") is not None:
        raise Unsupported("A ClusteringModel reads fields that may be missing, which this reader does not know.")
    weights = np.array([number_text(c.get("fieldWeight", "1"), "A fieldWeight") for c in fields])
    points = np.array([_numbers(c) for c in model.all("Cluster")])
    if points.ndim != 2 or points.shape[1] != row.width:
        raise ArtifactError("The Clusters' arrays are not one number per ClusteringField.")
    if (weights != 1.0).any():
        raise Unsupported("A ClusteringModel weights its fields, which this reader does not know.")
    far = b.add("pairwise", row.value, hint="distance", points=points, metric=DISTANCES[kind])
    best = b.add("cast", b.add("reduce", far, hint="nearest", fn="argmin"), hint="cluster", to="f64")
    ids = tuple(c.get("id") or str(i) for i, c in enumerate(model.all("Cluster"), 1))
    return Prediction(classes=ids, index=b.vector(best, "number"), affinities=b.vector(far, "number"))


# --- naive Bayes --------------------------------------------------------------------------------------------------------------


def naive_bayes(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """NaiveBayesModel of Gaussian inputs."""
    b = f.builder
    output = model.require("BayesOutput").require("TargetValueCounts")
    counts = {c.need("value"): number_text(c.need("count"), "A count") for c in output.all("TargetValueCount")}
    classes, data_type = classes_of(model, scope, list(counts))
    if set(classes) != set(counts):
        raise ArtifactError("The TargetValueCounts are not exactly the target's values.")
    columns, means, variances = [], [], []
    for given in model.require("BayesInputs").all("BayesInput"):
        stats = given.find("TargetValueStats")
        if stats is None:
            raise Unsupported("A NaiveBayesModel counts the values of an input, which this reader does not know.")
        found = {s.need("value"): s.find("GaussianDistribution") for s in stats.all("TargetValueStat")}
        if any(found.get(c) is None for c in classes):
            raise Unsupported("A NaiveBayesModel has an input without a GaussianDistribution per class, which this reader does not know.")
        columns.append(scope.column(given.need("fieldName")))
        means.append([number_text(found[c].need("mean"), "A mean") for c in classes])  # type: ignore[union-attr]
        variances.append([number_text(found[c].need("variance"), "A variance") for c in classes])  # type: ignore[union-attr]
    row = b.number(b.gather(columns, "inputs"))
    if row.nullable:
        raise Unsupported("A NaiveBayesModel reads fields that may be missing, which this reader does not know.")
    prior = np.log(np.array([counts[c] for c in classes]) / sum(counts.values()))
    score = b.add("gaussian_ll", row.value, hint="likelihood", mean=np.array(means).T.copy(), var=np.array(variances).T.copy(), log_prior=prior)
    shares = b.vector(b.add("softmax", score, hint="probability"), "number")
    return Prediction(classes=classes, data_type=data_type, probabilities=shares)


ModelReader = Callable[[Formulas, Element, Scope], Prediction]
MODEL_READERS: dict[str, ModelReader] = {
    "RegressionModel": regression,
    "TreeModel": tree,
    "NeuralNetwork": network,
    "SupportVectorMachineModel": support_vectors,
    "ClusteringModel": clustering,
    "NaiveBayesModel": naive_bayes,
}
