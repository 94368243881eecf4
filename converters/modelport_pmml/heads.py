"""The last model of a document, found in the graph from its outputs backwards.

Whatever a graph computes becomes fields; the head decides which model element crowns them, so that a logistic regression is a
RegressionModel with its coefficients, a forest a MiningModel of trees, and so on. Outputs that the crown does not answer by
itself are fields handed out as OutputFields.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelport.graph import Output, Step

from . import rows
from .blocks import LinearBlock, Model, regression_table
from .compiler import Compiler
from .expressions import Expression
from .fields import Scope
from .text import element, label, number

__all__ = ["Head", "find_head"]


@dataclass
class Head:
    """The last model: what it reads, and which outputs it answers.

    classes are the values of the target, in the order of the graph. predicts and spreads name the outputs that are the predicted
    value and the probabilities; decides names the output that is the class of the largest probability (or, with by_inputs, of
    the largest input). Scorers part where several are the largest, so that label is spelled out.
    """

    inputs: list[Expression] = field(default_factory=list)
    classes: Sequence[Any] | None = None
    predicts: str | None = None
    spreads: str | None = None
    decides: str | None = None
    by_inputs: bool = False

    def model(self, scope: Scope) -> Model:
        """The model element; its inputs become fields of the scope."""
        raise NotImplementedError

    def absorb(self, c: Compiler, uses: Counter[int]) -> None:
        """Take over the terms of a linear model that nothing else reads."""


@dataclass
class ScoreHead(Head):
    """A function of one score: sum of x * weight, then + bias."""

    terms: list[tuple[Expression, float]] = field(default_factory=list)
    bias: float = 0.0

    def absorb(self, c: Compiler, uses: Counter[int]) -> None:
        score = self.terms[0][0]
        block = c.blocks[score.data[0]] if score.kind == "raw" else None
        if isinstance(block, LinearBlock) and uses[score.index] == 1:
            self.terms, self.bias = block.terms, block.bias
            self.inputs = block.inputs


class ConstantHead(Head):
    """A regression that answers 0: the outputs are fields."""

    def model(self, scope: Scope) -> Model:
        return Model("RegressionModel", {"functionName": "regression"}, [element("RegressionTable", intercept="0.0")])


@dataclass
class RegressionHead(ScoreHead):
    """The score, or its exponential."""

    link: str | None = None

    def model(self, scope: Scope) -> Model:
        attributes = {"functionName": "regression", "normalizationMethod": self.link}
        return Model("RegressionModel", attributes, [regression_table(scope, self.terms, self.bias)])


@dataclass
class BlockHead(Head):
    """A model that is the whole document's."""

    block: Any = None

    def model(self, scope: Scope) -> Model:
        found: Model = self.block.model(scope)
        return found


class LogitHead(ScoreHead):
    """Two classes from one score: its logistic function is the second one's probability."""

    def model(self, scope: Scope) -> Model:
        assert self.classes is not None, "two classes"
        second = regression_table(scope, self.terms, self.bias, label(self.classes[1]))
        first = regression_table(scope, [], 0.0, label(self.classes[0]))
        attributes = {"functionName": "classification", "normalizationMethod": "logit"}
        return Model("RegressionModel", attributes, [second, first])


@dataclass
class ShareHead(Head):
    """Classes from one number each: softmax of scores, or their shares of the sum (simplemax)."""

    method: str = "softmax"

    def model(self, scope: Scope) -> Model:
        assert self.classes is not None, "one class per number"
        tables = [regression_table(scope, [(x, 1.0)], 0.0, label(k)) for x, k in zip(self.inputs, self.classes, strict=True)]
        attributes = {"functionName": "classification", "normalizationMethod": self.method}
        return Model("RegressionModel", attributes, tables)


@dataclass
class ForestHead(Head):
    """The mean of trees whose leaves are probabilities."""

    forest: Any = None
    columns: dict[int, Expression] = field(default_factory=dict)

    def model(self, scope: Scope) -> Model:
        from .trees import classification

        assert self.classes is not None, "one class per column"
        return classification(self.forest, self.columns, scope, self.classes)


@dataclass
class ClusterHead(Head):
    """The nearest of some centres."""

    points: Any = None

    def model(self, scope: Scope) -> Model:
        width = len(self.inputs)
        content = [element("ComparisonMeasure", element("squaredEuclidean"), kind="distance", compareFunction="absDiff")]
        content += [element("ClusteringField", field=scope.field(x), compareFunction="absDiff") for x in self.inputs]
        for i, point in enumerate(self.points.astype(float).tolist()):
            array = element("Array", " ".join(map(number, point)), type="real", n=width)
            content.append(element("Cluster", array, id=i))
        attributes = {"functionName": "clustering", "modelClass": "centerBased", "numberOfClusters": len(self.points)}
        return Model("ClusteringModel", attributes, content)


# --- recognition --------------------------------------------------------------------------------------------------------------


def find_head(c: Compiler) -> Head:
    """The head of a graph."""
    outputs = c.graph.outputs
    floats = ("f64", "f32") if c.loose else ("f64",)
    spread = [o for o in outputs if o.role == "probability" and c.type(o.source).width > 1 and o.dtype in floats]
    labels = [o for o in outputs if o.role in ("prediction", "anomaly") and c.type(o.source).shape == () and _decision(c, o)]
    if len(spread) == 1:
        return _classifier(c, spread[0], labels[0] if labels else None)
    if labels and not spread:
        found = _decider(c, labels[0])
        if found is not None:
            return found
    if len(outputs) == 1 and outputs[0].role == "cluster":
        found = _clusters(c, outputs[0])
        if found is not None:
            return found
    numbers = [o for o in outputs if o.role == "prediction" and o.dtype in floats and c.type(o.source).width == 1]
    if len(numbers) == 1:
        return _regression(c, numbers[0])
    return ConstantHead()


def _producer(c: Compiler, value: str, op: str) -> Step | None:
    """The step that defines a value, if it is of the op; reductions of one column are looked through."""
    step = c.producers.get(value)
    while step is not None and step.op == "reduce" and c.type(step.inputs[0]).width == 1 and op != "reduce":
        step = c.producers.get(step.inputs[0])
    return step if step is not None and step.op == op else None


@dataclass(frozen=True)
class Decision:
    """A label that is the class of the largest column of a value, ties to the first."""

    value: str
    classes: list[Any]


def _decision(c: Compiler, output: Output) -> Decision | None:
    take = c.producers.get(output.source)
    if take is None or take.op != "take" or take.attributes["table"].ndim != 1:
        return None
    index = c.producers.get(take.inputs[0])
    classes = take.attributes["table"].tolist()
    if index is None or index.op != "reduce" or index.attributes["fn"] != "argmax":
        return None
    if index.attributes["dtype"] != c.type(index.inputs[0]).dtype == "f64":
        return None  # what it compares is rounded first
    plain = all(v is not None and v == v for v in classes) and len(set(map(label, classes))) == len(classes) > 1
    if not plain or len(classes) != c.type(index.inputs[0]).width:
        return None
    return Decision(index.inputs[0], classes)


def _zero_or(c: Compiler, value: str) -> str | None:
    """s, where the value is [0, s]."""
    step = _producer(c, value, "concat")
    if step is None or len(step.inputs) != 2 or c.type(step.inputs[1]).width != 1:
        return None
    zero = _producer(c, step.inputs[0], "constant")
    constant = zero is not None and zero.attributes["value"].size == 1 and float(zero.attributes["value"].ravel()[0]) == 0.0
    return step.inputs[1] if constant else None


def _logit_score(c: Compiler, value: str) -> str | None:
    """s, where the value is [1 - sigmoid(s), sigmoid(s)]."""
    pair = _producer(c, value, "two_class")
    step = _producer(c, pair.inputs[0], "unary") if pair else None
    return step.inputs[0] if step is not None and step.attributes["fn"] == "sigmoid" else None


def _classifier(c: Compiler, spread: Output, labelled: Output | None) -> Head:
    decision = _decision(c, labelled) if labelled else None
    width = c.type(spread.source).width
    classes = decision.classes if decision and len(decision.classes) == width else _classes(spread, width)
    named = labelled.name if labelled else None
    decided = decision.value if decision else None
    score = _logit_score(c, spread.source)
    if score is not None:
        x = c.column(score, 0)
        follows = decided == spread.source or (decided is not None and _same(c, _zero_or(c, decided), score))
        return LogitHead([x], classes, None, spread.name, named if follows else None, terms=[(x, 1.0)])
    forest = _producer(c, spread.source, "tree_ensemble")
    if forest is not None and rows.averages(forest) and forest.attributes["acc"] == "f64" and _forest_fits(c, forest):
        columns = rows.tree_inputs(c, forest)
        label_ = named if decided == spread.source else None
        nodes = rows.prepared_forest(c, forest)
        return ForestHead(list(columns.values()), classes, None, spread.name, label_, forest=nodes, columns=columns)
    soft = _producer(c, spread.source, "softmax")
    if soft is not None and not any(x.nullable for x in c.row(soft.inputs[0])):
        scores = decided == soft.inputs[0]
        label_ = named if scores or decided == spread.source else None
        return ShareHead(_below_largest(c, soft.inputs[0]), classes, None, spread.name, label_, scores)
    return ShareHead(c.row(spread.source), classes, method="simplemax")


def _forest_fits(c: Compiler, step: Step) -> bool:
    from .trees import probability_rows

    return probability_rows(step) and not rows.refuses_missing(c, step)


def _same(c: Compiler, one: str | None, other: str) -> bool:
    return one is not None and c.row(one) == c.row(other)


def _classes(output: Output, width: int) -> list[Any]:
    found = output.classes
    return list(found) if found is not None and len(found) == width else list(range(width))


def _below_largest(c: Compiler, value: str) -> list[Expression]:
    """Scores less their largest: softmax is the same, and no scorer's exp overflows."""
    row = c.row(value)
    top = c.make.extreme("max", row)
    top.hint = top.hint or f"max({value})"
    result = []
    for j, x in enumerate(row):
        shifted = c.make.apply("-", x, top)
        shifted.hint = shifted.hint or f"{value}({j}) - max"
        result.append(shifted)
    return result


def _decider(c: Compiler, labelled: Output) -> Head | None:
    """A label without probabilities."""
    decision = _decision(c, labelled)
    assert decision is not None, "the caller found one"
    score = _zero_or(c, decision.value)
    if score is None:
        score = _logit_score(c, decision.value)
    if score is not None:
        x = c.column(score, 0)
        return LogitHead([x], decision.classes, terms=[(x, 1.0)])
    if any(x.nullable for x in c.row(decision.value)):
        return None
    return ShareHead(_below_largest(c, decision.value), decision.classes, decides=labelled.name, by_inputs=True)


def _clusters(c: Compiler, output: Output) -> Head | None:
    index = _producer(c, output.source, "reduce")
    far = _producer(c, index.inputs[0], "pairwise") if index is not None and index.attributes["fn"] == "argmin" else None
    if far is None or far.attributes["metric"] not in ("sqeuclidean", "euclidean") or far.attributes["dtype"] != "f64":
        return None
    points = far.attributes["points"]
    x = c.row(far.inputs[0])
    if not np.isfinite(points).all() or any(e.nullable for e in x) or len({e.index for e in x}) != len(x):
        return None
    return ClusterHead(x, None, output.name, points=points)


def _regression(c: Compiler, output: Output) -> Head:
    x = c.column(output.source, 0)
    if x.kind == "raw":
        block = c.blocks[x.data[0]]
        if len(block.wishes) == 1 and len(c.graph.outputs) == 1 and not c.guards:
            return BlockHead(block.inputs, None, output.name, block=block)
    if x.nullable:
        return ConstantHead()  # not every scorer lets a model be without an answer
    if x.kind == "apply" and x.data == "exp":
        return RegressionHead([x.args[0]], None, output.name, terms=[(x.args[0], 1.0)], link="exp")
    return RegressionHead([x], None, output.name, terms=[(x, 1.0)])
