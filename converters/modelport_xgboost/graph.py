"""An XGBoost model as steps: columns as it sees them, the margin in f32, and what the objective makes of the margin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from modelport_sklearn.boosted import gathered, single
from modelport_sklearn.builder import Builder, Table

from modelport.errors import InputError

from .model import OBJECTIVES, Model, nodes, refused

#: Above this margin the logistic function, computed in f32 as XGBoost does, is above 0.5.
HALF = np.float32(1.5 * 2.0**-24)


def add_margin(builder: Builder, table: Table, model: Model, *, missing: float, trees: int | None, in_place: bool) -> str:
    """f32 [outputs]: base score, then the trees in order, or the linear model.

    missing: a number that counts as missing beside NaN (NaN: none); trees: how many are asked (None: all).
    """
    if len(table) != model.columns:
        raise InputError(f"The XGBoost model takes {model.columns} columns, but is given {len(table)}.")
    columns = _columns(builder, table, model)
    if table.sparse:  # of a sparse matrix, what is not stored is missing
        columns = builder.add("impute", columns, hint="stored", match=0.0, values=np.array([np.nan]))
    columns = _without_missing(builder, columns, missing)
    if model.weight is not None:
        zeros = builder.add("impute", columns, hint="present", values=np.zeros(1, _held(builder, columns)))
        bias = model.bias + model.margin if model.bias is not None else model.margin
        return builder.add("linear", zeros, hint="margin", weight=model.weight, bias=bias, dtype="f32")
    count = len(model.trees) if trees is None else trees
    if not count:
        return builder.add("constant", hint="margin", value=model.margin)
    attributes = single(nodes(model, count, in_place))
    columns = _whole_codes(builder, table, columns, model)
    if model.class_ is not None and model.outputs > 1:
        attributes |= {"class": model.class_[:count], "size": model.outputs}
    return builder.add("tree_ensemble", columns, hint="margin", init=model.margin, **attributes)


def _held(builder: Builder, value: str) -> str:
    return "float32" if builder.types[value].dtype == "f32" else "float64"


def _without_missing(builder: Builder, columns: str, missing: float) -> str:
    """Columns with NaN where they equal the number that stands for a missing value, once rounded to f32."""
    if missing != missing:
        return columns
    with np.errstate(over="ignore"):
        match = np.float32(missing)
    if not np.isfinite(match):
        raise refused("missing", f"{missing} cannot be exported: use NaN, or a number that float32 holds.")
    rounded = builder.add("cast", columns, hint="rounded", to="f32")
    return builder.add("impute", rounded, hint="known", match=float(match), values=np.array([np.nan], dtype=np.float32))


def _whole_codes(builder: Builder, table: Table, columns: str, model: Model) -> str:
    """Columns whose codes of categories, where they are fed as numbers, are cut to whole ones (2.7 is category 2)."""
    given = [j for j in np.flatnonzero(model.categorical).tolist() if not _is_framed(table, j)]
    if not given:
        return columns
    if builder.types[columns].dtype != "f32":
        columns = builder.add("cast", columns, hint="rounded", to="f32")
    codes = builder.add("unary", builder.add("select", columns, hint="codes", index=given), hint="whole", fn="floor", dtype="f32")
    index = np.arange(model.columns)
    index[given] = model.columns + np.arange(len(given))
    return builder.add("select", builder.add("concat", columns, codes, hint="both"), hint="coded", index=index)


def _is_framed(table: Table, j: int) -> bool:
    """Whether a column is fed as a categorical one of a frame."""
    return table.columns[j].dtype == "str" or table.columns[j].categories is not None


def _columns(builder: Builder, table: Table, model: Model) -> str:
    """One value [columns] of numbers; categories of a frame as their codes, an unknown one is refused."""
    encoded = {}
    for j in np.flatnonzero(model.categorical).tolist():
        if _is_framed(table, j):
            encoded[j] = _codes(builder, table, j, model.categories[j])
    return gathered(builder, table, encoded)


def _codes(builder: Builder, table: Table, j: int, known: Sequence[Any] | None) -> str:
    """Codes of the categories of a frame. XGBoost itself takes many an unknown category for its neighbour in the alphabet."""
    if not getattr(builder.parts[0].estimator, "refuses_unknown_categories", False):
        raise refused("cats", f"(column {table.named(j)}) can be read only where the model stands alone: convert it by itself.")
    if known is not None and None in known:
        known = table.columns[j].categories if len(table.columns[j].categories or ()) == len(known) else None
    text = table.columns[j].dtype == "str"
    if known is None or any(isinstance(v, str) != text for v in known):
        raise refused(
            "cats",
            f"does not hold the categories of column {table.named(j)}: hand over a frame with the column types the model was "
            "fitted on (XGBoost 3.1 or later saves categories).",
        )
    keys = np.array([*known, None], dtype=object) if text else np.array([*map(float, known), np.nan])
    return builder.add("lookup", builder.column(table, j), hint="code", keys=keys, values=np.array([*range(len(known)), np.nan]))


def add_value(builder: Builder, margin: str, model: Model) -> str:
    """What predict gives for a margin: [outputs] or [1], in f32 unless it is the margin or a class number itself."""
    rule = OBJECTIVES[model.objective][1]
    if rule == "identity":
        return margin
    if rule in ("sigmoid", "exp"):
        return builder.add("unary", margin, hint="p" if rule == "sigmoid" else "mean", fn=rule, dtype="f32")
    if rule == "step":
        return builder.add("cast", above(builder, margin, 0.0), hint="step", to="f32")
    if rule == "softmax":
        return builder.add("softmax", margin, hint="shares", dtype="f32")
    return builder.add("cast", builder.add("reduce", margin, hint="index", fn="argmax", keep=True), hint="class_number", to="f32")


def above(builder: Builder, value: str, limit: float) -> str:
    """bool: whether each element is above an f32 limit."""
    bound = builder.add("constant", hint="limit", value=np.array([limit], dtype=np.float32))
    return builder.add("binary", value, bound, hint="is_above", fn="gt", dtype="f32")


def wide(builder: Builder, value: str, hint: str) -> str:
    """A value as f64."""
    return value if builder.types[value].dtype == "f64" else builder.add("cast", value, hint=hint, to="f64")


def prediction(builder: Builder, value: str) -> str:
    """What predict gives, as f64: rank 0 for one output."""
    if builder.width(value) == 1:
        return builder.scalar(value, "prediction")
    return wide(builder, value, "prediction")
