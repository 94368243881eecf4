"""Ops on distances and kernels between rows and stored points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import ValueType
from .base import DEAR, Array, Attribute, Attributes, ascending_sum, dear, products, register, require, round_to, row, rows, wide

Term = Callable[[Array, Array], Array]


# --- pairwise -----------------------------------------------------------------------------------------------------------------


def _accumulate(term: Term) -> Term:
    """Sum of term(y_j, p_j) over ascending j: [n, m]."""

    def total(y: Array, points: Array) -> Array:
        result = np.zeros((len(y), len(points)))
        for j in range(y.shape[1]):
            result += term(y[:, j : j + 1], points[:, j])
        return result

    return total


def _quotient(above: Array, below: Array) -> Array:
    """above / below, and 0 where below is 0."""
    return np.where(below == 0, 0.0, above / below)


square = _accumulate(lambda u, v: np.square(u - v))
manhattan = _accumulate(lambda u, v: np.abs(u - v))
canberra = _accumulate(lambda u, v: _quotient(np.abs(u - v), np.abs(u) + np.abs(v)))
differing = _accumulate(lambda u, v: np.asarray(u != v))
chi2 = _accumulate(lambda u, v: _quotient(np.square(u - v), u + v))


def minkowski(y: Array, points: Array, p: float) -> Array:
    """(sum |y - p|^p)^(1/p)."""
    return np.power(_accumulate(lambda u, v: np.power(np.abs(u - v), p))(y, points), 1.0 / p)


def chebyshev(y: Array, points: Array) -> Array:
    """max |y - p|."""
    result = np.zeros((len(y), len(points)))
    for j in range(y.shape[1]):
        result = np.maximum(result, np.abs(y[:, j : j + 1] - points[:, j]))
    return result


def cosine(y: Array, points: Array) -> Array:
    """1 - dot / (|y| |p|); 1 where a norm is 0."""
    norm = np.sqrt(ascending_sum(y * y))[:, None] * np.sqrt(ascending_sum(points * points))
    return np.where(norm == 0, 1.0, 1.0 - products(y, points) / norm)


def braycurtis(y: Array, points: Array) -> Array:
    """sum |y - p| / sum |y + p|."""
    return np.asarray(manhattan(y, points) / manhattan(y, -points))


def nan_euclidean(y: Array, points: Array) -> Array:
    """Root of the sum of squares over the columns present in both, scaled up by the share of those columns; NaN when none is."""
    both = products((~np.isnan(y)).astype(np.float64), (~np.isnan(points)).astype(np.float64))
    total = _accumulate(lambda u, v: np.where(np.isnan(u) | np.isnan(v), 0.0, np.square(u - v)))(y, points)
    return np.asarray(np.sqrt(total / both * y.shape[1]))


#: metric -> its value from the attributes, rows [n, i] and points [m, i], all f64
METRICS: dict[str, Callable[[Attributes, Array, Array], Array]] = {
    "dot": lambda a, y, p: products(y, p),
    "sqeuclidean": lambda a, y, p: square(y, p),
    "euclidean": lambda a, y, p: np.sqrt(square(y, p)),
    "manhattan": lambda a, y, p: manhattan(y, p),
    "chebyshev": lambda a, y, p: chebyshev(y, p),
    "minkowski": lambda a, y, p: minkowski(y, p, a["p"]),
    "cosine": lambda a, y, p: cosine(y, p),
    "canberra": lambda a, y, p: canberra(y, p),
    "braycurtis": lambda a, y, p: braycurtis(y, p),
    "hamming": lambda a, y, p: np.asarray(differing(y, p) / y.shape[1]),
    "nan_euclidean": lambda a, y, p: nan_euclidean(y, p),
    "chi2": lambda a, y, p: np.exp(-a["gamma"] * chi2(y, p)),
    "additive_chi2": lambda a, y, p: -chi2(y, p),
    "rbf": lambda a, y, p: np.exp(-a["gamma"] * square(y, p)),
    "laplacian": lambda a, y, p: np.exp(-a["gamma"] * manhattan(y, p)),
    "poly": lambda a, y, p: np.power(a["gamma"] * products(y, p) + a["coef0"], a["degree"]),
    "sigmoid": lambda a, y, p: np.tanh(a["gamma"] * products(y, p) + a["coef0"]),
}


def infer_pairwise(a: Attributes, x: ValueType) -> ValueType:
    width, points = row(x), a["points"]
    require(points.shape[1] == width, f"attribute 'points' has {points.shape[1]} columns for a row of {width}.")
    require(a["p"] > 0, "attribute 'p' is positive.")
    unknown = a["metric"] != "nan_euclidean" and bool(np.isnan(points).any())
    require(not unknown, f"attribute 'points' holds NaN, which the metric {a['metric']} does not take.")
    return ValueType(a["dtype"], (len(points),))


def count_pairwise(a: Attributes, x: ValueType, result: ValueType) -> int:
    """The terms of the sums, and a function of each sum."""
    return result.width * ((DEAR if a["metric"] == "minkowski" else 1) * x.width + DEAR)


def pairwise(a: Attributes, x: Array) -> Array:
    """Distance or kernel between each row and each point."""
    y, points = wide(rows(round_to(a, x))), wide(a["points"])
    with np.errstate(all="ignore"):
        return round_to(a, METRICS[a["metric"]](a, y, points))


register(
    "pairwise",
    infer_pairwise,
    pairwise,
    floating=True,
    exact=False,
    cost=count_pairwise,
    points=Attribute("float", required=True, ranks=(2,)),
    metric=Attribute("choice", required=True, options=tuple(METRICS)),
    gamma=Attribute("number", default=1.0),
    coef0=Attribute("number", default=0.0),
    degree=Attribute("number", default=3.0),
    p=Attribute("number", default=2.0),
)


# --- smallest -----------------------------------------------------------------------------------------------------------------


def infer_smallest(a: Attributes, x: ValueType) -> ValueType:
    width = row(x)
    require(1 <= a["k"] <= width, f"attribute 'k' is {a['k']} for a row of {width}.")
    return ValueType("f64", (width,))


def smallest(a: Attributes, x: Array) -> Array:
    """1.0 at the k smallest elements; ties go to the lowest index, NaN is larger than any number."""
    y = rows(x)
    marks = np.zeros(y.shape)
    np.put_along_axis(marks, np.argsort(y, axis=1, kind="stable")[:, : a["k"]], 1.0, axis=1)
    return marks


register("smallest", infer_smallest, smallest, cost=lambda a, *types: 4 * dear(a, *types), k=Attribute("integer", required=True))


# --- knn ----------------------------------------------------------------------------------------------------------------------


def infer_knn(a: Attributes, x: ValueType) -> ValueType:
    points, targets = row(x, ("f64",)), a["targets"]
    require(1 <= a["k"] <= points, f"attribute 'k' is {a['k']} for {points} points.")
    require(len(targets) == points, f"attribute 'targets' has {len(targets)} rows for {points} points.")
    if "classes" in a:
        require(targets.ndim == 1 and targets.dtype.kind in "iu", "with 'classes', attribute 'targets' is integers [m].")
        require(targets.min() >= 0 and targets.max() < a["classes"], "attribute 'targets' leaves 0..classes-1.")
        return ValueType("f64", (a["classes"],))
    require(targets.ndim == 2 and targets.dtype == np.float64, "without 'classes', attribute 'targets' is f64 [m, o].")
    return ValueType("f64", (targets.shape[1],))


def knn(a: Attributes, x: Array) -> Array:
    """Weighted mean of the targets of the k nearest points, or their class weights."""
    d = rows(x)
    nearest = np.argsort(d, axis=1, kind="stable")[:, : a["k"]]
    weights = np.ones(nearest.shape)
    if a["weights"] == "distance":
        near = np.take_along_axis(wide(d), nearest, axis=1)
        with np.errstate(divide="ignore"):
            weights = np.where((near == 0).any(axis=1, keepdims=True), near == 0, 1.0 / near).astype(np.float64)
    targets = a["targets"]
    chosen = (targets[:, None] == np.arange(a["classes"])).astype(np.float64) if "classes" in a else targets
    total, weight = np.zeros((len(d), chosen.shape[1])), np.zeros((len(d), 1))
    for position in range(nearest.shape[1]):
        w = weights[:, position : position + 1]
        total += w * chosen[nearest[:, position]]
        weight += w
    return np.asarray(total / weight)


register(
    "knn",
    infer_knn,
    knn,
    exact=False,
    cost=lambda a, x, result: x.width * (a["k"] + DEAR),
    k=Attribute("integer", required=True),
    weights=Attribute("choice", required=True, options=("uniform", "distance")),
    classes=Attribute("integer"),
    targets=Attribute("targets", required=True, ranks=(1, 2)),
)
