"""What a model element answers, and how its predicted value is spelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..parse import Element
from .build import Builder, Vector
from .scope import Scope
from .texts import boolean_text, number_text

__all__ = ["Prediction", "classes_of", "predicted", "winning"]


@dataclass
class Prediction:
    """What a model answers.

    A regression has `number`; a classification `classes` with `probabilities` [classes] and perhaps `index`, an f64 value
    that holds the position of the winning class (else the largest probability wins, ties to the first); a clustering has
    `classes` (the clusters' ids), `index` and `affinities`. `numbers` are further targets by name.
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


def winning(b: Builder, p: Prediction) -> Vector:
    """The probability of the predicted class."""
    assert p.probabilities is not None, "a classification with probabilities"
    if p.index is None:
        value = b.add("reduce", p.probabilities.value, hint="largest", fn="max", keep=True)
        return b.vector(value, "number", p.probabilities.nullable)
    places = b.constant([float(i) for i in range(len(p.classes))], "number")
    chosen = b.add("binary", b.number(p.index).value, places.value, hint="chosen", fn="eq")
    shares = b.vector(b.add("where", chosen, p.probabilities.value, b.constant([0.0], "number").value, hint="share"), "number")
    total = b.vector(b.add("reduce", shares.value, hint="share", fn="sum", keep=True), "number", p.probabilities.nullable)
    return b.where_known(b.present(p.index), total)


def classes_of(model: Element, scope: Scope, found: Callable[[], Sequence[str]]) -> tuple[tuple[str, ...], str]:
    """The classes of a model's target and their dataType: as the data dictionary lists them, else as found in the model."""
    fields = model.require("MiningSchema").all("MiningField")
    target = next((f.need("name") for f in fields if f.get("usageType") in ("target", "predicted")), None)
    known = scope.targets.get(target) if target is not None else None
    if known is not None and known.classes:
        return known.classes, known.data_type
    return tuple(dict.fromkeys(found())), known.data_type if known is not None else "string"
