"""What is around a model element: its fields, transformations, targets and outputs; and models made of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from modelport.errors import ArtifactError, Unsupported
from modelport.graph import DTYPES

from ..parse import Element
from .build import Builder, Column, Vector
from .formulas import EXPRESSIONS, Formulas
from .models import MODEL_READERS, is_single, tree_prediction
from .predicates import holds, predicate_of
from .prediction import Prediction, classes_of, predicted, winning
from .scope import Scope
from .texts import number_text
from .trees import Forest

__all__ = ["ModelTree"]

#: names that JPMML gave to methods before PMML 4.4 had them
METHODS = {"x-weightedSum": "weightedSum"}
#: segments whose median is sorted out by comparisons of pairs
MEDIANS = 16


class ModelTree:
    """Reads a model element and those inside it."""

    def __init__(self, formulas: Formulas) -> None:
        self.formulas = formulas
        self.builder: Builder = formulas.builder
        #: output fields that cannot be read, and why
        self.refused: dict[str, Unsupported] = {}

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
        method = METHODS.get(segmentation.need("multipleModelMethod"), segmentation.need("multipleModelMethod"))
        handling = segmentation.get("missingPredictionTreatment", "continue")
        if handling not in ("continue", "returnMissing"):
            raise Unsupported(f"A Segmentation has missingPredictionTreatment={handling!r}, which this reader does not know.")
        places = list(segmentation.all("Segment"))
        segments = [_segment(s) for s in places]
        if not segments:
            raise ArtifactError("A Segmentation has no segments.")
        if method == "selectFirst":
            return self._first(model, places, scope), {}
        if any(s.find("True") is None for s in places):
            return self._conditional(model, places, scope, method), {}
        if method == "modelChain":
            return self._chain(segments, scope)
        weights = [number_text(s.get("weight", "1"), "A weight") for s in segmentation.all("Segment")]
        if not method.startswith("weighted"):
            weights = [1.0] * len(segments)
        if all(s.tag == "TreeModel" for s in segments) and method in ("sum", "average") and set(weights) == {1.0}:
            return self._forest(model, segments, scope, method), {}
        if method in ("sum", "average", "weightedSum", "weightedAverage") and model.get("functionName") == "regression":
            return Prediction(number=self._combined(segments, weights, scope, method, is_single(model))), {}
        if method == "median" and model.get("functionName") == "regression":
            return Prediction(number=self._median([self._number(s, scope) for s in segments])), {}
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

    def _first(self, model: Element, places: Sequence[Element], scope: Scope) -> Prediction:
        """What the first segment answers whose predicate holds; nothing where none does."""
        b = self.builder
        answers = [(holds(self.formulas, predicate_of(p), scope), self.read(_segment(p), scope)[0]) for p in places]
        if model.get("functionName") == "regression":
            numbers = [(flag, _number_of(p)) for flag, p in answers]
            return Prediction(number=_choice(b, numbers, b.constant([None], "number")))
        classes, data_type = classes_of(model, scope, lambda: [c for _, p in answers for c in p.classes])
        winners, shares = [], []
        for flag, p in answers:
            if p.number is not None:
                raise ArtifactError("A Segmentation of a classification has a segment that is a regression.")
            winners.append((flag, self._position(p, classes)))
            if p.probabilities is not None and set(p.classes) == set(classes):
                shares.append((flag, self._shares(p, classes)))
        nothing = b.constant([None], "number")
        index = _choice(b, winners, nothing)
        probabilities = None
        if len(shares) == len(answers):
            probabilities = _choice(b, shares, b.gather([Column(nothing)] * len(classes), "nothing"))
        return Prediction(classes=classes, data_type=data_type, probabilities=probabilities, index=index)

    def _position(self, p: Prediction, classes: Sequence[str]) -> Vector:
        """The position of a model's answer among the classes."""
        b = self.builder
        label = predicted(b, p, "string")
        keys = np.empty(len(classes) + label.nullable, dtype=object)
        keys[:] = [*classes, *([None] if label.nullable else [])]
        places = np.array([*map(float, range(len(classes))), *([np.nan] if label.nullable else [])])
        return b.vector(b.add("lookup", label.value, hint="index", keys=keys, values=places), "number", label.nullable)

    def _conditional(self, model: Element, places: Sequence[Element], scope: Scope, method: str) -> Prediction:
        """Sums, means and votes of the segments whose predicates hold; missing where none does."""
        b, votes = self.builder, "Vote" in method
        regress = model.get("functionName") == "regression"
        known = ("sum", "average", "weightedSum", "weightedAverage") if regress else ("majorityVote", "weightedMajorityVote")
        if method not in (*known, *(() if regress else ("average", "weightedAverage"))):
            raise Unsupported(f"Segments under a condition with multipleModelMethod={method!r} are not known to this reader.")
        total: Vector | None = None
        used: Vector | None = None
        classes, data_type = classes_of(model, scope, list) if not regress else ((), "")
        if not regress and not classes:
            raise Unsupported("Segments under a condition vote for values that the data dictionary does not list.")
        for place in places:
            weight = number_text(place.get("weight", "1"), "A weight") if method.startswith("weighted") else 1.0
            flag = holds(self.formulas, predicate_of(place), scope)
            answer = self.read(_segment(place), scope)[0]
            part = _number_of(answer) if regress else self._votes(answer, classes) if votes else self._shares(answer, classes)
            if weight != 1.0:
                part = b.binary("mul", part, b.constant([weight], "number"), "weighted")
            share = b.constant([weight], "number")
            if flag is not None:
                nothing = b.constant([0.0], "number")
                part, share = b.choose(flag, part, nothing, "part"), b.choose(flag, share, nothing, "share")
            total = part if total is None else b.binary("add", total, part, "total")
            used = share if used is None else b.binary("add", used, share, "used")
        assert total is not None, "there are segments"
        assert used is not None, "there are segments"
        some = b.add("binary", used.value, b.constant([0.0], "number").value, hint="some", fn="gt")
        result = total if method in ("sum", "weightedSum") else b.binary("div", total, used, "mean")
        result = b.where_known(some, result)
        if regress:
            return Prediction(number=result)
        return Prediction(classes=classes, data_type=data_type, probabilities=result)

    def _median(self, numbers: Sequence[Vector]) -> Vector:
        """The number in the middle, or the mean of the two there; missing where one of them is."""
        b = self.builder
        if len(numbers) > MEDIANS:
            raise Unsupported(f"A Segmentation has the median of {len(numbers)} segments; this reader knows {MEDIANS} at most.")
        row = list(numbers)
        for end in range(len(row) - 1, 0, -1):  # the largest goes to the end, then the next
            for i in range(end):
                row[i], row[i + 1] = b.binary("min", row[i], row[i + 1], "low"), b.binary("max", row[i], row[i + 1], "high")
        middle = len(row) // 2
        if len(row) % 2:
            return row[middle]
        return b.binary("div", b.binary("add", row[middle - 1], row[middle], "middle"), b.constant([2.0], "number"), "median")

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
        return _number_of(self.read(segment, scope)[0])

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
            if prediction.number is None:
                self._fallback(target, prediction)
                continue
            x = self._default(target, prediction.number)
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

    def _default(self, target: Element, x: Vector) -> Vector:
        """A number with the Target's defaultValue where it is missing."""
        values = list(target.all("TargetValue"))
        if not values or not x.nullable:
            return x
        spelled = values[0].get("defaultValue")
        if len(values) > 1 or spelled is None:
            raise Unsupported("A Target has TargetValues of parts of its range, which this reader does not know.")
        return self.formulas.default(x, [spelled] * x.width, "target")

    def _fallback(self, target: Element, p: Prediction) -> None:
        """The class with the highest priorProbability, where a classification has no answer."""
        if any(target.get(k) is not None for k in ("min", "max", "rescaleFactor", "rescaleConstant", "castInteger")):
            raise Unsupported("A Target rescales or casts a class, which this reader does not know.")
        priors = {v.get("value"): v.get("priorProbability") for v in target.all("TargetValue")}
        missing = any(x is not None and x.nullable for x in (p.index, p.probabilities))
        if missing and any(v is not None for v in priors.values()):
            raise Unsupported("A Target has priorProbability for rows without an answer, which this reader does not know.")

    def _outputs(self, model: Element, prediction: Prediction, scope: Scope) -> dict[str, Column]:
        """The OutputFields of a model; each is a field for those after it."""
        fields: dict[str, Column] = {}
        for output in [o for place in model.all("Output") for o in place.all("OutputField")]:
            name = output.need("name")
            try:
                fields[name] = Column(self._output(output, prediction, scope, name))
            except Unsupported as error:  # said where the field is read
                scope.refuse(name, error)
                self.refused[name] = error
                continue
            scope.define(name, fields[name])
        return fields

    def _output(self, output: Element, p: Prediction, scope: Scope, name: str) -> Vector:
        b = self.builder
        feature = output.get("feature", "predictedValue") or "predictedValue"
        if output.get("segmentId") is not None:
            raise Unsupported(f"The OutputField {name!r} asks a segment by segmentId, which this reader does not know.")
        if feature in ("transformedValue", "decision"):
            expression = next((c for c in output.children if c.tag in EXPRESSIONS), None)
            if expression is None:
                raise Unsupported(f"The OutputField {name!r} holds no expression that this reader knows.")
            value = self.formulas.single(expression, scope, name)
            return self.formulas.typed(value, output.get("dataType")) if feature == "decision" else value
        if feature == "predictedValue":
            target = output.get("targetField")
            if target is not None and target in p.numbers:
                return p.numbers[target]
            return predicted(b, p, output.get("dataType"))
        if feature == "probability" and p.probabilities is not None and output.get("value") is None:
            return winning(b, p)
        if feature == "probability" and p.probabilities is not None:
            return b.gather([Column(p.probabilities, _place(p, output.get("value"), name))], name)
        if feature in ("affinity", "clusterAffinity", "entityAffinity") and p.affinities is not None:
            if output.get("value") is None:
                return winning(b, replace(p, probabilities=p.affinities))
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


def _number_of(p: Prediction) -> Vector:
    if p.number is None:
        raise ArtifactError("A Segmentation of a regression has a segment that is none.")
    return p.number


def _choice(b: Builder, cases: Sequence[tuple[str | None, Vector]], otherwise: Vector) -> Vector:
    """The value of the first case whose flag is true (None: always)."""
    result = otherwise
    for flag, value in reversed(cases):
        result = value if flag is None else b.choose(flag, value, result, "first")
    return result


def _segment(segment: Element) -> Element:
    """The model of a segment."""
    models = segment.models()
    if len(models) != 1:
        raise ArtifactError(f"A Segment holds {len(models)} models; it holds one.")
    return models[0]
