"""Translations of the ops on distances and kernels between rows and stored points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from modelport.graph import ValueType
from modelport.ops.base import Attributes

from .arithmetic import product, rounded
from .builder import Builder, Value
from .folds import fold
from .scores import as_row
from .special import tanh

__all__ = ["RULES"]

Array = np.ndarray[Any, np.dtype[Any]]


def pairwise(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Distance or kernel between each row and each point, [N, m].

    Differences are summed as they are: |x|^2 + |p|^2 - 2 x p would be faster, and wrong for points that lie close together.
    """
    y, points = as_row(a, x).cast("f64"), a["points"].astype(np.float64)
    return rounded(a, _kernel(b, a, y, points))


def _kernel(b: Builder, a: Attributes, y: Value, points: Array) -> Value:
    metric, gamma = a["metric"], float(a["gamma"])
    if metric in ("dot", "poly", "sigmoid", "cosine"):
        dot = _dot(b, y, points)
        if metric == "dot":
            return dot
        if metric == "cosine":
            own = (y * y).reduce("Sum", [1], keep=True).sqrt()
            others: Array = np.sqrt((points * points).sum(axis=1))
            norm = own * others
            return norm.equals(0.0).where(1.0, 1.0 - dot / norm)
        inner = gamma * dot + float(a["coef0"])
        return b.op("Pow", inner, a["degree"]) if metric == "poly" else tanh(inner)
    if metric == "chebyshev":
        return _fold(y, points, lambda total, d: ((d > total) | d.is_nan()).where(d, total))
    if metric == "minkowski":
        return b.op("Pow", _fold(y, points, lambda total, d: total + b.op("Pow", d, a["p"])), 1.0 / a["p"])
    if metric in ("manhattan", "laplacian"):
        absolute = _fold(y, points, lambda total, d: total + d)
        return absolute if metric == "manhattan" else (absolute * -gamma).exp()
    square = fold(y, [points.T], len(points), 0.0, _add_square)
    if metric == "rbf":
        return (square * -gamma).exp()
    return square.sqrt() if metric == "euclidean" else square


def _dot(b: Builder, y: Value, points: Array) -> Value:
    if not points.shape[1]:
        return b.filled(len(points), 0.0)
    return product(y, points)


def _add_square(total: Value, column: Value, point: Value) -> Value:
    difference = column - point
    return total + difference * difference


def _fold(y: Value, points: Array, step: Callable[[Value, Value], Value]) -> Value:
    """Accumulate step(total, |y_j - p_j|)."""
    return fold(y, [points.T], len(points), 0.0, lambda total, column, point: step(total, (column - point).abs()))


def knn(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Weighted mean of the targets of the k nearest points, or their class weights."""
    d, k, targets = as_row(a, x), a["k"], a["targets"]
    largest = np.finfo(np.float64).max
    wide = d.cast("f64")
    # TopK is undefined for NaN, which comes last here: behind infinities, which take the place of the largest number.
    key = wide.is_nan().where(np.inf, (wide > largest).where(largest, wide))
    _, nearest = b.ops("TopK", key, np.array([k]), dtypes=("f64", "i64"), axis=1, largest=0, sorted=1)
    if "classes" in a:
        chosen = b.constant(targets.astype(np.int64)).gather(nearest).unsqueeze(2).equals(np.arange(a["classes"])).cast("f64")
    else:
        chosen = b.constant(targets).gather(nearest)  # [N, k, o]
    b.widens(2 * k * out.width)
    if a["weights"] == "uniform":
        return chosen.reduce("Sum", [1]) / float(k)
    near = b.op("GatherElements", wide, nearest, axis=1)
    zero = near.equals(0.0)
    some = zero.cast("i64").reduce("Max", [1], keep=True).cast("bool")
    weights = some.where(zero.cast("f64"), 1.0 / near)
    return (chosen * weights.unsqueeze(2)).reduce("Sum", [1]) / weights.reduce("Sum", [1], keep=True)


RULES: Mapping[str, Callable[..., Value]] = {"pairwise": pairwise, "knn": knn}
