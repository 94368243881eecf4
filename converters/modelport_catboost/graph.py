"""A CatBoost model as steps: columns, the raw values in f64, and what the loss makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from modelport_sklearn.boosted import gathered, integer_codes
from modelport_sklearn.builder import Array, Builder, Prediction, Table
from modelport_sklearn.handlers.tree_arrays import tree_attributes

from modelport.errors import InputError

from .model import CLASS_LOSSES, MULTI_LABEL, REGRESSION_LINKS, Model, nodes, refused

#: Per categorical feature, the categories whose hash is known: hash -> category.
Known = Mapping[int, Mapping[int, Any]]


def add_raw(builder: Builder, table: Table, model: Model, known: Known) -> str:
    """f64 [outputs]: the trees in order, times the scale, plus the bias."""
    if len(table) < model.columns:
        raise InputError(f"The CatBoost model takes {model.columns} columns, but is given {len(table)}.")
    outputs = len(model.bias)
    if not model.trees:
        return builder.constant(model.bias, "raw")
    columns, codes = _columns(builder, table, model, known)
    attributes = tree_attributes(nodes(model, model.categorical, codes), "f32")
    total = builder.add("tree_ensemble", columns, hint="sum", **attributes)
    assert builder.width(total) == outputs, "a leaf has one value per output"
    scale = [model.scale] if model.scale != 1 else None
    return builder.add("scale", total, hint="raw", mul=scale, add=model.bias)


def _columns(builder: Builder, table: Table, model: Model, known: Known) -> tuple[str, dict[int, dict[int, int]]]:
    """The columns as numbers, categories as codes; per categorical feature the code of each hash that is tested."""
    tested = model.tested()
    encoded: dict[int, str] = {}
    codes: dict[int, dict[int, int]] = {}
    for feature, j in model.categorical.items():
        hashes = tested.get(feature, [])
        names = known.get(feature, {})
        lost = [h for h in hashes if h not in names]
        if lost:
            raise refused(
                "cat_features",
                f"tests {len(lost)} categories of column {table.named(j)} that the sample does not hold, and CatBoost stores "
                "their hashes only: hand over a sample with every category the model was fitted on.",
            )
        codes[feature] = {h: k for k, h in enumerate(hashes)}
        encoded[j] = _codes(builder, table, j, [names[h] for h in hashes])
    return gathered(builder, table, encoded), codes


def _codes(builder: Builder, table: Table, j: int, names: Sequence[Any]) -> str:
    column = builder.column(table, j)
    if table.columns[j].dtype != "str":
        return integer_codes(builder, column, names, missing=-1.0)
    if not names:
        return builder.constant([-1.0], "no_code")
    keys = np.array(names, dtype=object)
    return builder.add("lookup", column, hint="code", keys=keys, values=np.arange(len(names), dtype=np.float64), default=-1.0)


def regression(builder: Builder, raw: str, model: Model, plain: bool) -> Prediction:
    """What CatBoostRegressor answers (plain: CatBoost and rankers, always the raw value)."""
    rule = None if plain else REGRESSION_LINKS.get(model.loss)
    if rule == "exp":
        raw = builder.add("unary", raw, hint="mean", fn="exp")
    elif rule == "uncertainty":
        mean, deviation = (builder.add("select", raw, hint=h, index=[k]) for k, h in enumerate(("mean", "log_deviation")))
        doubled = builder.add("scale", deviation, hint="log_variance", mul=[2.0])
        raw = builder.add("concat", mean, builder.add("unary", doubled, hint="variance", fn="exp"), hint="prediction")
    return Prediction(prediction=builder.scalar(raw, "prediction") if builder.width(raw) == 1 else raw)


def classification(builder: Builder, raw: str, model: Model, classes: Array) -> Prediction:
    """Two classes: the second where its probability is above the threshold. More: the class of the largest raw value."""
    rule = CLASS_LOSSES[model.loss]
    if model.loss in MULTI_LABEL:
        positive = builder.add("binary", raw, builder.constant([_logit(model)], "limit"), hint="is_above", fn="gt")
        probability = builder.add("unary", raw, hint="probability", fn="sigmoid")
        return Prediction(label=builder.add("cast", positive, hint="label", to="i64"), classes=classes, probability=probability)
    if builder.width(raw) == 1:
        shifted = builder.add("binary", raw, builder.constant([_logit(model)], "limit"), hint="is_second", fn="gt")
        number = builder.add("cast", shifted, hint="number", to="i64")
        label = _rank_zero_label(builder, number, classes)
        probability = builder.add("two_class", builder.add("unary", raw, hint="p", fn=rule), hint="probability")
        return Prediction(label=label, classes=classes, probability=probability)
    if len(classes) != builder.width(raw):
        raise refused("classes_", f"holds {len(classes)} classes, but the model answers {builder.width(raw)} numbers.")
    probability = (
        builder.add("softmax", raw, hint="probability")
        if rule == "softmax"
        else builder.add("unary", raw, hint="probability", fn=rule)
    )
    index = builder.add("reduce", raw, hint="index", fn="argmax", keep=True)
    return Prediction(label=_take(builder, index, classes), classes=classes, probability=probability)


def _logit(model: Model) -> float:
    """The raw value above which a probability is above the threshold."""
    p = model.threshold
    with np.errstate(divide="ignore"):
        return float(np.log(p) - np.log1p(-p)) if p != 0.5 else 0.0


def _rank_zero_label(builder: Builder, number: str, classes: Array) -> str:
    wide = builder.scalar(builder.add("cast", number, hint="second", to="f64"), "index_number")
    return _take(builder, builder.add("cast", wide, hint="index", to="i64"), classes)


def _take(builder: Builder, index: str, classes: Array) -> str:
    from modelport_sklearn.builder import labels_table

    return builder.add("take", index, hint="label", table=labels_table(classes))
