"""Translations of the ops on distances and kernels between rows and stored points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
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
    if metric in PRODUCTS:
        return _of_product(b, a, _dot(b, y, points), y, points)
    if metric == "minkowski":
        return b.op("Pow", _fold(y, points, lambda total, u, v: total + b.op("Pow", (u - v).abs(), a["p"])), 1.0 / a["p"])
    if metric == "braycurtis":
        return _fold(y, points, _add_gap) / _fold(y, -points, _add_gap)
    if metric == "hamming":
        return _fold(y, points, lambda total, u, v: total + (~u.equals(v)).cast("f64")) / float(points.shape[1])
    if metric == "nan_euclidean":
        return _nan_euclidean(b, y, points)
    name, finish = FOLDED[metric]
    return finish(_fold(y, points, TERMS[name]), gamma)


#: metrics that are functions of the inner product
PRODUCTS = ("dot", "poly", "sigmoid", "cosine")


def _of_product(b: Builder, a: Attributes, dot: Value, y: Value, points: Array) -> Value:
    metric = a["metric"]
    if metric == "dot":
        return dot
    if metric == "cosine":
        own = (y * y).reduce("Sum", [1], keep=True).sqrt()
        others: Array = np.sqrt((points * points).sum(axis=1))
        norm = own * others
        return norm.equals(0.0).where(1.0, 1.0 - dot / norm)
    inner = float(a["gamma"]) * dot + float(a["coef0"])
    return b.op("Pow", inner, a["degree"]) if metric == "poly" else tanh(inner)


def _dot(b: Builder, y: Value, points: Array) -> Value:
    if not points.shape[1]:
        return b.filled(len(points), 0.0)
    return product(y, points)


def _nan_euclidean(b: Builder, y: Value, points: Array) -> Value:
    """Root of the sum of squares over the columns present in both, scaled up by the share of those columns."""
    there = (~np.isnan(points)).astype(np.float64)
    known = ~y.is_nan()
    filled = known.where(y, 0.0)

    def term(total: Value, u: Value, seen: Value, v: Value, present: Value) -> Value:
        gap = u - v
        return total + gap * gap * seen * present

    both = known.cast("f64")
    total = fold(filled, [np.nan_to_num(points).T, there.T], len(points), 0.0, term, beside=both)
    return (total / _dot(b, both, there) * float(points.shape[1])).sqrt()


# --- what is summed over columns ----------------------------------------------------------------------------------------------


def _add_square(total: Value, u: Value, v: Value) -> Value:
    difference = u - v
    return total + difference * difference


def _add_gap(total: Value, u: Value, v: Value) -> Value:
    return total + (u - v).abs()


def _larger_gap(total: Value, u: Value, v: Value) -> Value:
    gap = (u - v).abs()
    return ((gap > total) | gap.is_nan()).where(gap, total)


def _add_canberra(total: Value, u: Value, v: Value) -> Value:
    return total + _quotient((u - v).abs(), u.abs() + v.abs())


def _add_chi2(total: Value, u: Value, v: Value) -> Value:
    difference = u - v
    return total + _quotient(difference * difference, u + v)


def _quotient(above: Value, below: Value) -> Value:
    """above / below, and 0 where below is 0."""
    return below.equals(0.0).where(0.0, above / below)


TERMS: Mapping[str, Callable[[Value, Value, Value], Value]] = {
    "square": _add_square,
    "gap": _add_gap,
    "larger": _larger_gap,
    "canberra": _add_canberra,
    "chi2": _add_chi2,
}
#: metric -> what is accumulated over the columns, and what is made of the result and gamma
FOLDED: Mapping[str, tuple[str, Callable[[Value, float], Value]]] = {
    "sqeuclidean": ("square", lambda total, gamma: total),
    "euclidean": ("square", lambda total, gamma: total.sqrt()),
    "rbf": ("square", lambda total, gamma: (total * -gamma).exp()),
    "manhattan": ("gap", lambda total, gamma: total),
    "laplacian": ("gap", lambda total, gamma: (total * -gamma).exp()),
    "chebyshev": ("larger", lambda total, gamma: total),
    "canberra": ("canberra", lambda total, gamma: total),
    "chi2": ("chi2", lambda total, gamma: (total * -gamma).exp()),
    "additive_chi2": ("chi2", lambda total, gamma: -total),
}


def _fold(y: Value, points: Array, step: Callable[[Value, Value, Value], Value]) -> Value:
    """Accumulate step(total, y_j, p_j) from 0 over ascending j."""
    return fold(y, [points.T], len(points), 0.0, step)


# --- the nearest points -------------------------------------------------------------------------------------------------------


def _nearest(b: Builder, distances: Value, k: int) -> Value:
    """[N, k]: where the k smallest elements of f64 rows stand, ties to the lowest index, NaN last."""
    largest = np.finfo(np.float64).max
    # TopK is undefined for NaN, which comes last here: behind infinities, which take the place of the largest number.
    key = distances.is_nan().where(np.inf, (distances > largest).where(largest, distances))
    return b.ops("TopK", key, np.array([k]), dtypes=("f64", "i64"), axis=1, largest=0, sorted=1)[1]


def smallest(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """1.0 at the k smallest elements of a row, else 0.0."""
    place = _nearest(b, x.matrix().cast("f64"), a["k"])
    if x.free:
        zeros = b.op("ConstantOfShape", b.op("Shape", x.matrix(), dtype="i64"), dtype="f64", value=np.zeros(1))
    else:
        zeros = b.filled(out.width, 0.0)
    marks = b.op("ScatterElements", zeros, place, b.filled(a["k"], 1.0), axis=1)
    b.widens(4 * out.width)
    return replace(marks.squeeze(1) if out.shape == () else marks, nan_free=True)


def knn(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Weighted mean of the targets of the k nearest points, or their class weights."""
    d, k, targets = as_row(a, x), a["k"], a["targets"]
    wide = d.cast("f64")
    nearest = _nearest(b, wide, k)
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


RULES: Mapping[str, Callable[..., Value]] = {"pairwise": pairwise, "smallest": smallest, "knn": knn}
