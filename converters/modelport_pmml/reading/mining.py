"""What is around a model element: its fields, transformations, targets and outputs; and models made of models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelport.errors import ArtifactError, Unsupported
from modelport.graph import DTYPES

from ..parse import Element
from .build import Builder, Column, Vector
from .formulas import EXPRESSIONS, Formulas
from .models import MODEL_READERS, is_single, tree_prediction
from .prediction import Prediction, classes_of, predicted
from .scope import Scope
from .texts import number_text
from .trees import Forest

__all__ = ["ModelTree"]


class ModelTree:
    """Reads a model element and those inside it."""

    def __init__(self, formulas: Formulas) -> None:
        self.formulas = formulas
        self.builder: Builder = formulas.builder

    def read(self, model: Element, outer: Scope) -> tuple[Prediction, Scope, dict[str, Column]]:
        """What a model answers, the scope inside it, and its output fields."""
        scope = Scope(outer)
        self._transformations(model, scope)
        if model.tag == "MiningModel":
            prediction, fields = self._mining(model, scope)
        elif model.tag in MODEL_READERS:
            prediction, fields = MODEL_READERS[model.tag](self.formulas, model, scope), {}
        else:
            raise Unsupported(f"The PMML model {model.tag} is not known to this reader: score the file with pypmml or jpmml.")
        self._targets(model, prediction)
        inside = Scope(scope)
        for name, column in fields.items():
            inside.define(name, column)
        return prediction, scope, {**fields, **self._outputs(model, prediction, inside)}

    def _transformations(self, model: Element, scope: Scope) -> None:
        for place in model.all("LocalTransformations"):
            self.formulas.define(list(place.all("DerivedField")), scope)

    # --- models of models -----------------------------------------------------------------------------------------------------

    def _mining(self, model: Element, scope: Scope) -> tuple[Prediction, dict[str, Column]]:
        segmentation = model.require("Segmentation")
        method = segmentation.need("multipleModelMethod")
        segments = [_segment(s) for s in segmentation.all("Segment")]
        if not segments:
            raise ArtifactError("A Segmentation has no segments.")
        if method == "modelChain":
            return self._chain(segments, scope)
        weights = [number_text(s.get("weight", "1"), "A weight") for s in segmentation.all("Segment")]
        if not method.startswith("weighted"):
            weights = [1.0] * len(segments)
        if all(s.tag == "TreeModel" for s in segments) and method in ("sum", "average") and set(weights) == {1.0}:
            return self._forest(model, segments, scope, method), {}
        if method in ("sum", "average", "weightedSum", "weightedAverage") and model.get("functionName") == "regression":
            return Prediction(number=self._combined(segments, weights, scope, method, is_single(model))), {}
        if method in ("average", "weightedAverage", "majorityVote", "weightedMajorityVote"):
            return self._voted(model, segments, weights, scope, "Vote" in method), {}
        raise Unsupported(f"The multipleModelMethod {method!r} is not known to this reader.")

    def _chain(self, segments: Sequence[Element], scope: Scope) -> tuple[Prediction, dict[str, Column]]:
        """Each model's output fields are fields for those after it."""
        prediction = Prediction()
        fields: dict[str, Column] = {}
        for segment in segments:
            prediction, _, fields = self.read(segment, scope)
            for name, column in fields.items():
                scope.define(name, column)
        return prediction, fields

    def _forest(self, model: Element, segments: Sequence[Element], scope: Scope, method: str) -> Prediction:
        scopes = []
        for segment in segments:
            inner = Scope(scope)
            self._transformations(segment, inner)
            scopes.append(inner)
        return tree_prediction(self.formulas, segments, scopes, model, "mean" if method == "average" else "sum")

    def _combined(self, segments: Sequence[Element], weights: Sequence[float], scope: Scope, method: str, single: bool) -> Vector:
        """The (weighted) sum or mean of numbers, added in the order of the segments; single: all of it in float32."""
        b = self.builder

        def rounded(x: Vector) -> Vector:
            return self.formulas.typed(x, "float") if single else x

        plain = set(weights) == {1.0}
        total: Vector | None = None
        for trees, group, shares in _runs(segments, weights):
            if trees and plain:
                total = self._trees(group, scope, total, single)
                continue
            for segment, weight in zip(group, shares, strict=True):
                part = rounded(self._number(segment, scope))
                if not plain:
                    part = rounded(b.binary("mul", part, b.constant([weight], "number"), "weighted"))
                total = part if total is None else rounded(b.binary("add", total, part, "total"))
        assert total is not None, "there are segments"
        if method in ("sum", "weightedSum"):
            return total
        return rounded(b.binary("div", total, b.constant([sum(weights)], "number"), "mean"))

    def _trees(self, group: Sequence[Element], scope: Scope, start: Vector | None, single: bool) -> Vector:
        """start plus the trees, one after the other."""
        forest = Forest(self.builder, scope, None)
        for segment in group:
            inner = Scope(scope)
            self._transformations(segment, inner)
            forest.add(segment, inner)
        return forest.step("trees", "sum", start, single)

    def _number(self, segment: Element, scope: Scope) -> Vector:
        prediction, _, _ = self.read(segment, scope)
        if prediction.number is None:
            raise ArtifactError("A Segmentation adds up the answers of a model that is no regression.")
        return prediction.number

    def _voted(
        self, model: Element, segments: Sequence[Element], weights: Sequence[float], scope: Scope, votes: bool
    ) -> Prediction:
        """Weighted mean of probabilities, or of one vote per model."""
        b = self.builder
        predictions = [self.read(s, scope)[0] for s in segments]
        classes, data_type = classes_of(model, scope, lambda: [c for p in predictions for c in p.classes])
        total: Vector | None = None
        for p, weight in zip(predictions, weights, strict=True):
            part = self._votes(p, classes) if votes else self._shares(p, classes)
            if weight != 1.0:
                part = b.binary("mul", part, b.constant([weight], "number"), "weighted")
            total = part if total is None else b.binary("add", total, part, "total")
        assert total is not None, "there are segments"
        mean = b.binary("div", total, b.constant([sum(weights)], "number"), "probability")
        return Prediction(classes=classes, data_type=data_type, probabilities=mean)

    def _shares(self, p: Prediction, classes: Sequence[str]) -> Vector:
        if p.probabilities is None or set(p.classes) != set(classes):
            raise Unsupported("A Segmentation averages models that do not all give probabilities of the target's values.")
        return self.builder.gather([Column(p.probabilities, p.classes.index(c)) for c in classes], "probability")

    def _votes(self, p: Prediction, classes: Sequence[str]) -> Vector:
        label = predicted(self.builder, p, "string")
        return self.builder.number(self.formulas.compare("eq", label, self.builder.constant(list(classes), "string"), "vote"))

    # --- targets and outputs --------------------------------------------------------------------------------------------------

    def _targets(self, model: Element, prediction: Prediction) -> None:
        """Rescale a predicted number."""
        b = self.builder
        for target in [t for place in model.all("Targets") for t in place.all("Target")]:
            if target.find("TargetValue") is not None or prediction.number is None:
                raise Unsupported("A Target has TargetValues or belongs to no regression, which this reader does not know.")
            x = prediction.number
            low, high = target.get("min"), target.get("max")
            if low is not None or high is not None:
                bounds = {
                    k: np.array([number_text(v, f"A Target's {k}")]) for k, v in (("min", low), ("max", high)) if v is not None
                }
                x = b.vector(b.add("clip", x.value, hint="target", **bounds), "number", x.nullable)
            factor, constant = (number_text(target.get(k, d), k) for k, d in (("rescaleFactor", "1"), ("rescaleConstant", "0")))
            if factor != 1.0 or constant != 0.0:
                dtype = "f32" if is_single(model) else "f64"
                how = {"mul": np.array([factor], dtype=DTYPES[dtype]), "add": np.array([constant], dtype=DTYPES[dtype])}
                value = b.add("scale", x.value, hint="target", dtype=dtype, **how)
                x = self.formulas.typed(b.vector(b.add("cast", value, hint="target", to="f64"), "number", x.nullable), "double")
            cast = target.get("castInteger")
            if cast == "round":
                x = self.formulas.call("round", [x], "target")
            elif cast in ("ceiling", "floor"):
                x = b.unary("ceil" if cast == "ceiling" else "floor", x, "target")
            prediction.number = x

    def _outputs(self, model: Element, prediction: Prediction, scope: Scope) -> dict[str, Column]:
        """The OutputFields of a model; each is a field for those after it."""
        fields: dict[str, Column] = {}
        for output in [o for place in model.all("Output") for o in place.all("OutputField")]:
            name = output.need("name")
            fields[name] = Column(self._output(output, prediction, scope, name))
            scope.define(name, fields[name])
        return fields

    def _output(self, output: Element, p: Prediction, scope: Scope, name: str) -> Vector:
        b = self.builder
        feature = output.get("feature", "predictedValue") or "predictedValue"
        if feature == "transformedValue":
            expression = next((c for c in output.children if c.tag in EXPRESSIONS), None)
            if expression is None:
                raise Unsupported(f"The OutputField {name!r} holds no expression that this reader knows.")
            return self.formulas.single(expression, scope, name)
        if feature == "predictedValue":
            target = output.get("targetField")
            if target is not None and target in p.numbers:
                return p.numbers[target]
            return predicted(b, p, output.get("dataType"))
        if feature == "probability" and p.probabilities is not None:
            return b.gather([Column(p.probabilities, _place(p, output.get("value"), name))], name)
        if feature == "affinity" and p.affinities is not None:
            return b.gather([Column(p.affinities, _place(p, output.get("value"), name))], name)
        if feature in ("entityId", "clusterId") and p.affinities is not None and output.get("rank", "1") == "1":
            return predicted(b, p, output.get("dataType"))
        raise Unsupported(f"The OutputField {name!r} has feature={feature!r}, which this reader does not know for this model.")


def _runs(segments: Sequence[Element], weights: Sequence[float]) -> list[tuple[bool, list[Element], list[float]]]:
    """Segments in order, TreeModels that follow each other together."""
    runs: list[tuple[bool, list[Element], list[float]]] = []
    for segment, weight in zip(segments, weights, strict=True):
        trees = segment.tag == "TreeModel" and segment.find("Targets") is None
        if not runs or runs[-1][0] != trees:
            runs.append((trees, [], []))
        runs[-1][1].append(segment)
        runs[-1][2].append(weight)
    return runs


def _place(p: Prediction, value: str | None, name: str) -> int:
    """The position of a class that an OutputField names; numbers may be spelled differently."""
    if value is None:
        raise Unsupported(f"The OutputField {name!r} names no value, which this reader does not know.")
    if value in p.classes:
        return p.classes.index(value)
    if p.data_type != "string":
        for i, c in enumerate(p.classes):
            if _same_number(c, value):
                return i
    raise ArtifactError(f"The OutputField {name!r} asks for {value!r}, which is none of the target's values.")


def _same_number(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _segment(segment: Element) -> Element:
    """The model of a segment that holds always."""
    if segment.find("True") is None:
        raise Unsupported("A Segment holds under a condition, which this reader does not know.")
    models = segment.models()
    if len(models) != 1:
        raise ArtifactError(f"A Segment holds {len(models)} models; it holds one.")
    return models[0]
