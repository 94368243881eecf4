"""Model elements: what a step that is a model of its own becomes. Each is a segment of a chain, or the whole document's model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .expressions import Expression
from .text import attribute, element, lines, number

if TYPE_CHECKING:
    from .fields import Scope
    from .trees import Forest

__all__ = [
    "Block",
    "LinearBlock",
    "Model",
    "NetworkBlock",
    "SvmBlock",
    "TreeBlock",
    "assemble",
    "regression_table",
    "schema",
    "segmentation",
]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Model:
    """A model element in pieces: its name, attributes, what comes after the transformations, and its target fields."""

    tag: str
    attributes: dict[str, Any]
    content: list[str]
    targets: list[str] = field(default_factory=list)


@dataclass
class Block:
    """A model that answers one or more numbers per row; `wishes` are names for them, type is double or float."""

    wishes: list[str]
    inputs: list[Expression]
    nullable: bool
    index: int = 0
    type: str = "double"

    def model(self, scope: Scope) -> Model:
        """The model element; its inputs become fields of the scope."""
        raise NotImplementedError


class LinearBlock(Block):
    """sum of x * weight, then + bias."""

    def __init__(self, wish: str, terms: Sequence[tuple[Expression, float]], bias: float) -> None:
        super().__init__([wish], [x for x, _ in terms], any(x.nullable for x, _ in terms))
        self.terms, self.bias = list(terms), bias

    def model(self, scope: Scope) -> Model:
        return Model("RegressionModel", {"functionName": "regression"}, [regression_table(scope, self.terms, self.bias)])


def regression_table(scope: Scope, terms: Sequence[tuple[Expression, float]], bias: float, category: str | None = None) -> str:
    """A RegressionTable with one NumericPredictor per term.

    A field stands at most once in a table, so repeated terms are added up.
    """
    weights: dict[str, float] = {}
    for x, weight in terms:
        name = scope.field(x)
        weights[name] = weights[name] + weight if name in weights else weight
    predictors = "".join(f'<NumericPredictor name="{attribute(n)}" coefficient="{number(w)}"/>' for n, w in weights.items())
    return element("RegressionTable", predictors, intercept=number(bias), targetCategory=category)


class SvmBlock(Block):
    """sum of weight * kernel(x, vector), then + bias."""

    def __init__(
        self,
        wish: str,
        inputs: list[Expression],
        kernel: str,
        settings: dict[str, float],
        vectors: Array,
        weights: Array,
        bias: float,
    ) -> None:
        super().__init__([wish], inputs, any(x.nullable for x in inputs))
        self.kernel, self.settings, self.vectors, self.weights, self.bias = kernel, settings, vectors, weights, bias

    def _kernel(self) -> str:
        gamma, coef0, degree = (number(self.settings[k]) for k in ("gamma", "coef0", "degree"))
        if self.kernel == "dot":
            return element("LinearKernelType")
        if self.kernel == "rbf":
            return element("RadialBasisKernelType", gamma=gamma)
        if self.kernel == "sigmoid":
            return element("SigmoidKernelType", gamma=gamma, coef0=coef0)
        return element("PolynomialKernelType", gamma=gamma, coef0=coef0, degree=degree)

    def model(self, scope: Scope) -> Model:
        width = len(self.inputs)
        fields = "".join(f'<FieldRef field="{attribute(scope.field(x))}"/>' for x in self.inputs)
        instances = "".join(
            f'<VectorInstance id="{i}"><Array type="real" n="{width}">{" ".join(map(number, row))}</Array></VectorInstance>'
            for i, row in enumerate(self.vectors.tolist())
        )
        count = len(self.vectors)
        supports = "".join(f'<SupportVector vectorId="{i}"/>' for i in range(count))
        coefficients = "".join(f'<Coefficient value="{number(w)}"/>' for w in self.weights.tolist())
        machine = element(
            "SupportVectorMachine",
            element("SupportVectors", supports, numberOfAttributes=width, numberOfSupportVectors=count),
            element("Coefficients", coefficients, numberOfCoefficients=count, absoluteValue=number(self.bias)),
        )
        dictionary = element(
            "VectorDictionary", element("VectorFields", fields, numberOfFields=width), instances, numberOfVectors=count
        )
        return Model("SupportVectorMachineModel", {"functionName": "regression"}, [self._kernel(), dictionary, machine])


class NetworkBlock(Block):
    """Layers of (weight [o, i], bias [o], activation); the answers are the last layer's neurons."""

    def __init__(self, wishes: list[str], inputs: list[Expression], layers: list[tuple[Array, Array, str]]) -> None:
        super().__init__(wishes, inputs, any(x.nullable for x in inputs))
        self.layers = layers

    def model(self, scope: Scope) -> Model:
        inputs = "".join(
            f'<NeuralInput id="0,{i}"><DerivedField optype="continuous" dataType="double">'
            f'<FieldRef field="{attribute(scope.field(x))}"/></DerivedField></NeuralInput>'
            for i, x in enumerate(self.inputs)
        )
        content = [element("NeuralInputs", inputs, numberOfInputs=len(self.inputs))]
        for depth, (weight, bias, activation) in enumerate(self.layers, 1):
            neurons = []
            for j, (row, b) in enumerate(zip(weight.tolist(), bias.tolist(), strict=True)):
                links = "".join(f'<Con from="{depth - 1},{i}" weight="{number(w)}"/>' for i, w in enumerate(row))
                neurons.append(f'<Neuron id="{depth},{j}" bias="{number(b)}">{links}</Neuron>')
            content.append(element("NeuralLayer", *neurons, numberOfNeurons=len(neurons), activationFunction=activation))
        targets = [scope.names.unique("y") for _ in self.wishes]
        outputs = "".join(
            f'<NeuralOutput outputNeuron="{len(self.layers)},{k}"><DerivedField optype="continuous" dataType="double">'
            f'<FieldRef field="{attribute(name)}"/></DerivedField></NeuralOutput>'
            for k, name in enumerate(targets)
        )
        content.append(element("NeuralOutputs", outputs, numberOfOutputs=len(targets)))
        return Model("NeuralNetwork", {"functionName": "regression", "activationFunction": "identity"}, content, targets)


class TreeBlock(Block):
    """One column of an ensemble: the sum of its trees from `start`, or their average."""

    def __init__(
        self,
        wish: str,
        forest: Forest,
        inputs: dict[int, Expression],
        column: int,
        start: Expression | float | None,
        average: bool,
    ) -> None:
        step = forest.step
        self.columns = inputs
        needed = list(self.columns.values()) + ([start] if isinstance(start, Expression) else [])
        super().__init__([wish], needed, isinstance(start, Expression) and start.nullable)
        self.forest, self.step = forest, step
        self.column, self.start, self.average = column, start, average
        self.type = "float" if self.step.attributes["acc"] == "f32" else "double"

    def model(self, scope: Scope) -> Model:
        from .trees import regression

        return regression(self, scope)


def schema(active: Sequence[str], targets: Sequence[str] = (), treatments: dict[str, dict[str, str]] | None = None) -> str:
    """A MiningSchema of active fields and targets."""
    known = treatments or {}
    fields = [element("MiningField", name=name, **known.get(name, {})) for name in active]
    fields += [element("MiningField", name=name, usageType="target") for name in targets]
    return f"<MiningSchema>{''.join(fields)}</MiningSchema>"


def segmentation(models: Sequence[str], method: str) -> str:
    """A Segmentation of models that all hold."""
    segments = [f'<Segment id="{i}"><True/>{model}</Segment>' for i, model in enumerate(models, 1)]
    return f'<Segmentation multipleModelMethod="{method}">{lines(segments)}</Segmentation>'


def assemble(model: Model, schema_: str, output: str, transformations: str, verification: str = "") -> str:
    """The model element with its parts in the order the PMML schema asks for."""
    return element(model.tag, schema_, output, transformations, *model.content, verification, **model.attributes)
