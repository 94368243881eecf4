"""NeuralNetwork."""

from __future__ import annotations

import math

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Builder, Column, Vector
from .formulas import Formulas, body_of
from .prediction import Prediction, classes_of
from .regression import shares
from .scope import Scope
from .texts import number_text

__all__ = ["network"]

#: a layer is a dense matrix: of at most so many elements, or so many per connection
DENSE, SPARSE = 1 << 20, 16
ACTIVATIONS = {"identity": "", "logistic": "sigmoid", "tanh": "tanh", "rectifier": "relu", "exponential": "exp"}


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
    if len(cells) * len(places) > DENSE + SPARSE * sum(map(len, links)):
        raise ArtifactError("A NeuralLayer connects too few of its neurons to be computed as a whole.")
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
        x = b.binary(
            "div",
            b.binary("mul", b.constant([2.0], "number"), b.unary("arctan", x), "arctan"),
            b.constant([math.pi], "number"),
            "activation",
        )
    elif name == "threshold":
        limit = number_text(layer.get("threshold") or model.get("threshold") or "0", "A threshold")
        x = f.call("threshold", [x, b.constant([limit], "number")], "activation")
    elif name != "identity":
        raise Unsupported(f"The activationFunction {name!r} is not known to this reader.")
    method = layer.get("normalizationMethod") or model.get("normalizationMethod") or "none"
    if method == "softmax":
        return b.vector(b.add("softmax", x.value, hint="normalized"), "number", x.nullable)
    if method == "simplemax":
        return shares(f, x)
    if method != "none":
        raise Unsupported(f"The normalizationMethod {method!r} of a NeuralLayer is not known to this reader.")
    return x


def _network_answer(f: Formulas, model: Element, scope: Scope, neurons: dict[str, Column], b: Builder) -> Prediction:
    outputs = list(model.require("NeuralOutputs").all("NeuralOutput"))
    found: dict[str, Column] = {}
    numbers: dict[str, Vector] = {}
    for output in outputs:
        source = neurons.get(output.need("outputNeuron"))
        if source is None:
            raise ArtifactError(f"A NeuralOutput is neuron {output.need('outputNeuron')!r}, which no layer has.")
        expression = body_of(output.require("DerivedField"))
        if expression.tag == "NormDiscrete":
            found[expression.need("value")] = source
        elif expression.tag == "FieldRef":
            numbers[expression.need("field")] = b.gather([source], "output")
        elif expression.tag == "NormContinuous":
            numbers[expression.need("field")] = _denormalized(f, expression, b.gather([source], "output"))
        else:
            raise Unsupported(f"A NeuralOutput is a {expression.tag}, which this reader does not know.")
    if found:
        classes, data_type = classes_of(model, scope, lambda: list(found))
        if set(classes) != set(found):
            raise ArtifactError("The NeuralOutputs are not exactly the target's values.")
        row = b.gather([found[c] for c in classes], "probability")
        return Prediction(classes=classes, data_type=data_type, probabilities=row)
    return Prediction(number=next(iter(numbers.values())), numbers=numbers)


def _denormalized(f: Formulas, e: Element, x: Vector) -> Vector:
    """The inverse of a NormContinuous of two knots."""
    knots = [
        (number_text(k.need("orig"), "A LinearNorm"), number_text(k.need("norm"), "A LinearNorm")) for k in e.all("LinearNorm")
    ]
    if len(knots) != 2 or knots[0][1] == knots[1][1]:
        raise Unsupported("A NeuralOutput is normalised with something else than one line, which this reader does not know.")
    (a, p), (c, q) = knots
    b = f.builder
    value = b.add(
        "scale", x.value, hint="output", sub=np.array([p]), div=np.array([q - p]), mul=np.array([c - a]), add=np.array([a])
    )
    return b.vector(value, "number", x.nullable)
