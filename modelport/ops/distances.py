"""Ops on distances and kernels between rows and stored points."""

from __future__ import annotations

import numpy as np

from ..graph import ValueType
from .base import Array, Attribute, Attributes, register, require, round_to, row, rows, wide

METRICS = (
    "dot",
    "sqeuclidean",
    "euclidean",
    "manhattan",
    "chebyshev",
    "minkowski",
    "cosine",
    "rbf",
    "laplacian",
    "poly",
    "sigmoid",
)


def infer_pairwise(a: Attributes, x: ValueType) -> ValueType:
    width, points = row(x), a["points"]
    require(points.shape[1] == width, f"attribute 'points' has {points.shape[1]} columns for a row of {width}.")
    require(a["p"] > 0, "attribute 'p' is positive.")
    return ValueType(a["dtype"], (len(points),))


def pairwise(a: Attributes, x: Array) -> Array:
    """Distance or kernel between each row and each point."""
    y, points = wide(rows(round_to(a, x))), wide(a["points"])
    with np.errstate(all="ignore"):
        return round_to(a, _kernel(a, y, points))


def _kernel(a: Attributes, y: Array, points: Array) -> Array:
    metric = a["metric"]
    if metric in ("dot", "poly", "sigmoid"):
        dot = _accumulate(y, points, np.multiply)
        if metric == "dot":
            return dot
        inner = a["gamma"] * dot + a["coef0"]
        return np.asarray(np.power(inner, a["degree"]) if metric == "poly" else np.tanh(inner))
    if metric == "cosine":
        norm = np.sqrt(_accumulate(y, y[:0], np.multiply, own=True))[:, None] * np.sqrt(
            _accumulate(points, points[:0], np.multiply, own=True)
        )
        return np.where(norm == 0, 1.0, 1.0 - _accumulate(y, points, np.multiply) / norm)
    if metric in ("sqeuclidean", "euclidean", "rbf"):
        square = _accumulate(y, points, lambda u, v: np.square(u - v))
        return np.exp(-a["gamma"] * square) if metric == "rbf" else np.sqrt(square) if metric == "euclidean" else square
    if metric == "minkowski":
        return np.asarray(np.power(_accumulate(y, points, lambda u, v: np.power(np.abs(u - v), a["p"])), 1.0 / a["p"]))
    if metric == "chebyshev":
        result = np.zeros((len(y), len(points)))
        for j in range(y.shape[1]):
            result = np.maximum(result, np.abs(y[:, j : j + 1] - points[:, j]))
        return result
    absolute = _accumulate(y, points, lambda u, v: np.abs(u - v))
    return np.exp(-a["gamma"] * absolute) if metric == "laplacian" else absolute


def _accumulate(y: Array, points: Array, term, own: bool = False) -> Array:  # type: ignore[no-untyped-def]
    """Sum of term(y_j, p_j) over ascending j: [n, m]; with `own`, of term(y_j, y_j): [n]."""
    total = np.zeros(len(y)) if own else np.zeros((len(y), len(points)))
    for j in range(y.shape[1]):
        total += term(y[:, j], y[:, j]) if own else term(y[:, j : j + 1], points[:, j])
    return total


NUMBER = Attribute("number")
register(
    "pairwise",
    infer_pairwise,
    pairwise,
    floating=True,
    exact=lambda a: False,
    points=Attribute("float", required=True, ranks=(2,)),
    metric=Attribute("choice", required=True, options=METRICS),
    gamma=Attribute("number", default=1.0),
    coef0=Attribute("number", default=0.0),
    degree=Attribute("number", default=3.0),
    p=Attribute("number", default=2.0),
)


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
    k=Attribute("integer", required=True),
    weights=Attribute("choice", required=True, options=("uniform", "distance")),
    classes=Attribute("integer"),
    targets=Attribute("targets", required=True, ranks=(1, 2)),
)
