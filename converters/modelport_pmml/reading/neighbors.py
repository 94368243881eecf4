"""NearestNeighborModel: the targets of the stored rows that lie nearest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Vector
from .formulas import Formulas
from .measures import distances, weighted
from .prediction import Prediction, classes_of
from .scope import Scope
from .texts import number_text

__all__ = ["nearest_neighbors"]

Array = np.ndarray[Any, np.dtype[Any]]


def nearest_neighbors(f: Formulas, model: Element, scope: Scope) -> Prediction:
    """NearestNeighborModel."""
    b = f.builder
    inputs = list(model.require("KNNInputs").all("KNNInput"))
    measure = model.require("ComparisonMeasure")
    names = [e.need("field") for e in inputs]
    table = _table(model, names)
    k = model.get("numberOfNeighbors") or ""
    target = _target(model)
    stored = table.get(target)
    if not k.isdigit() or not 1 <= int(k) <= len(stored or []):
        raise ArtifactError(f"A NearestNeighborModel has numberOfNeighbors={k!r} and {len(stored or [])} stored rows.")
    assert stored is not None, "it has rows"
    row = b.number(b.gather([scope.column(n) for n in names], "point"))
    points = np.array([[number_text(v, f"The instance field {n!r}") for v in table[n]] for n in names]).T
    x, points = weighted(f, measure, inputs, row, np.ascontiguousarray(points))
    far = distances(f, measure, x, points)
    near = b.vector(b.add("smallest", far.value, hint="nearest", k=int(k)), "number")
    if model.get("functionName") == "regression":
        return Prediction(number=_mean(f, model, near, far, [number_text(v, "A stored target") for v in stored]))
    method = model.get("categoricalScoringMethod", "majorityVote")
    votes = _weights(f, model, near, far, method, ("majorityVote", "weightedMajorityVote"), "categoricalScoringMethod")
    classes, data_type = classes_of(model, scope, lambda: list(dict.fromkeys(stored)))
    odd = [v for v in stored if v not in classes]
    if odd:
        raise ArtifactError(f"A NearestNeighborModel stores the target {odd[0]!r}, which is none of the target's values.")
    belongs = np.array([[1.0 if v == c else 0.0 for v in stored] for c in classes])
    scores = b.vector(b.add("linear", votes.value, hint="votes", weight=belongs), "number")
    total = b.vector(b.add("reduce", scores.value, hint="total", fn="sum", keep=True), "number")
    return Prediction(classes=classes, data_type=data_type, probabilities=b.binary("div", scores, total, "probability"))


def _mean(f: Formulas, model: Element, near: Vector, far: Vector, targets: Sequence[float]) -> Vector:
    b = f.builder
    method = model.get("continuousScoringMethod", "average")
    weights = _weights(f, model, near, far, method, ("average", "weightedAverage"), "continuousScoringMethod")
    top = b.vector(b.add("linear", weights.value, hint="sum", weight=np.array([targets])), "number")
    total = b.vector(b.add("reduce", weights.value, hint="total", fn="sum", keep=True), "number")
    return b.binary("div", top, total, "mean")


def _weights(
    f: Formulas, model: Element, near: Vector, far: Vector, method: str, known: tuple[str, str], attribute: str
) -> Vector:
    """1 for a neighbour, or 1 / (distance + threshold); 0 for the other rows."""
    if method not in known:
        raise Unsupported(f"A NearestNeighborModel has {attribute}={method!r}; this reader knows {' and '.join(known)}.")
    if method == known[0]:
        return near
    b = f.builder
    threshold = number_text(model.get("threshold", "0.001"), "A threshold")
    return b.binary("div", near, b.binary("add", far, b.constant([threshold], "number"), "distance"), "weight")


def _target(model: Element) -> str:
    fields = model.require("MiningSchema").all("MiningField")
    targets = [m.need("name") for m in fields if m.get("usageType") in ("target", "predicted")]
    if len(targets) != 1:
        raise Unsupported(f"A NearestNeighborModel has {len(targets)} targets; this reader knows those with one.")
    return targets[0]


def _table(model: Element, names: Sequence[str]) -> dict[str, list[str]]:
    """Field -> the stored cells."""
    instances = model.require("TrainingInstances")
    columns = {
        e.need("field"): (e.get("column") or e.need("field")).rpartition(":")[2]
        for e in instances.require("InstanceFields").all("InstanceField")
    }
    wanted = [*names, _target(model)]
    lacking = [n for n in wanted if n not in columns]
    if lacking:
        raise ArtifactError(f"A NearestNeighborModel stores no field {lacking[0]!r}.")
    found: dict[str, list[str]] = {n: [] for n in wanted}
    for row in instances.require("InlineTable").all("row"):
        cells = {c.tag: c.text for c in row.children}
        for n in wanted:
            if columns[n] not in cells:
                raise Unsupported(f"A stored row of a NearestNeighborModel lacks the field {n!r}: missing values are not read.")
            found[n].append(cells[columns[n]])
    return found
