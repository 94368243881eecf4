"""A LightGBM model as steps: columns as its nodes look at them, raw scores in f64, and what the objective makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from modelport_sklearn.boosted import gathered
from modelport_sklearn.builder import Builder, Table

from modelport.errors import InputError

from .arrays import RAW, WHOLE, ZERO, ensemble, looks
from .model import Model, refused


def add_raw(builder: Builder, table: Table, model: Model) -> str:
    """f64 [outputs]: the sums of the trees in order."""
    if len(table) != model.columns:
        raise InputError(f"The LightGBM model takes {model.columns} columns, but is given {len(table)}.")
    columns, coded = _coded(builder, table, model)
    matrix, place = _looked_at(builder, columns, coded, model)
    hint = "score" if model.outputs > 1 else "raw"
    if any(tree.linear is not None for tree in model.trees):
        raw = _linear_scores(builder, columns, matrix, place, model, hint)
    else:
        attributes = ensemble(model.trees, place)
        if model.outputs > 1:
            order = np.arange(len(model.trees), dtype=np.int32) % model.outputs
            attributes |= {"class": order, "size": model.outputs}
        raw = builder.add("tree_ensemble", matrix, hint=hint, **attributes)
    return raw


def _coded(builder: Builder, table: Table, model: Model) -> tuple[str, set[int]]:
    """The columns as numbers, categories of a frame as codes (NaN: unknown or missing); and which columns are codes."""
    categorical = [j for j, ref in enumerate(table.columns) if ref.dtype == "str" or ref.categories is not None]
    if not categorical:
        return builder.matrix(table), set()
    if len(categorical) != len(model.categories):
        raise refused(
            "pandas_categorical",
            f"has {len(model.categories)} lists of categories, but {len(categorical)} columns of the sample are strings or "
            "categories: hand over a frame with the column types the model was fitted on.",
        )
    encoded = {}
    for j, known in zip(categorical, model.categories, strict=True):
        text = table.columns[j].dtype == "str"
        if any(isinstance(v, bool) or not isinstance(v, str if text else (int, float)) for v in known):
            raise refused("pandas_categorical", f"does not hold the kind of values that column {table.named(j)} holds.")
        keys = np.array(known, dtype=object if text else np.float64)
        codes = np.arange(len(known), dtype=np.float64)
        encoded[j] = builder.add("lookup", builder.column(table, j), hint="code", keys=keys, values=codes, default=np.nan)
    return gathered(builder, table, encoded), set(encoded)


def _looked_at(builder: Builder, columns: str, coded: set[int], model: Model) -> tuple[str, dict[tuple[int, str], int]]:
    """The value that trees look at, and where in it: the columns, then those that some node sees in another way."""
    place = {(j, RAW): j for j in range(model.columns)} | {(j, WHOLE): j for j in coded}
    whole = [j for j, how in looks(model.trees) if how == WHOLE and j not in coded]
    zeros = [j for j, how in looks(model.trees) if how not in (WHOLE, RAW)]
    pieces, width = [columns], model.columns
    for some, how, change in ((whole, WHOLE, _whole), (zeros, "zero missing", _without_zeros)):
        if some:
            pieces.append(change(builder, builder.add("select", columns, hint=f"some_{how.split()[0]}", index=some)))
            place |= {(j, how): width + k for k, j in enumerate(some)}
            width += len(some)
    return (columns if len(pieces) == 1 else builder.add("concat", *pieces, hint="looked_at")), place


def _whole(builder: Builder, value: str) -> str:
    return builder.add("unary", value, hint="whole", fn="trunc")


def _without_zeros(builder: Builder, value: str) -> str:
    size = builder.add("unary", value, hint="size", fn="abs")
    zero = builder.add("binary", size, builder.constant([ZERO], "zero"), hint="is_zero", fn="le")
    return builder.add("where", zero, builder.constant([np.nan], "missing"), value, hint="without_zeros")


def _linear_scores(
    builder: Builder, columns: str, matrix: str, place: dict[tuple[int, str], int], model: Model, hint: str
) -> str:
    """Sums of linear leaves: the trees add up constants and coefficients, which then meet the columns once."""
    used = sorted({j for tree in model.trees for _, features, _ in tree.linear or () for j in features})
    scores = []
    for k in range(model.outputs):
        trees = [_as_linear(tree) for tree in model.trees[k :: model.outputs]]
        terms = builder.add("tree_ensemble", matrix, hint="terms", **ensemble(trees, place, used))
        if used:
            slopes = builder.add("select", terms, hint="slopes", index=np.arange(1, len(used) + 1))
            given = builder.add(
                "impute", builder.add("select", columns, hint="linear_columns", index=used), hint="known", values=[0.0]
            )
            product = builder.add("binary", slopes, given, hint="products", fn="mul")
            flat = builder.add("binary", slopes, builder.constant([0.0], "zero"), hint="is_flat", fn="eq")
            parts = builder.add("where", flat, builder.constant([0.0], "zero"), product, hint="parts")
            constant = builder.add("select", terms, hint="constants", index=[0])
            terms = builder.add("concat", constant, parts, hint="summands")
        scores.append(builder.add("reduce", terms, hint="raw", fn="sum", keep=True))
    return scores[0] if len(scores) == 1 else builder.add("concat", *scores, hint=hint)


def _as_linear(tree: Any) -> Any:
    from dataclasses import replace

    return tree if tree.linear is not None else replace(tree, linear=[(float(v), [], []) for v in tree.value])


def add_value(builder: Builder, raw: str, model: Model) -> str:
    """What predict gives for raw scores: those of a forest are divided by the number of its iterations first."""
    if model.average:
        raw = builder.add("scale", raw, hint="mean", div=[float(len(model.trees) // model.outputs)])
    if model.rule == "identity":
        return raw
    if model.rule == "softmax":
        return builder.add("softmax", raw, hint="probability")
    if model.rule == "signed_square":
        squares = builder.add("unary", raw, hint="square", fn="square")
        return builder.add("binary", builder.add("unary", raw, hint="sign", fn="sign"), squares, hint="value", fn="mul")
    factor = float(model.parameters.get("sigmoid", 1))
    if factor != 1:
        raw = builder.add("scale", raw, hint="logit", mul=[factor])
    return builder.add("unary", raw, hint="p" if model.rule == "sigmoid" else "mean", fn=model.rule)


def prediction(builder: Builder, value: str) -> str:
    """What predict gives: rank 0 for one output."""
    return builder.scalar(value, "prediction") if builder.width(value) == 1 else value
