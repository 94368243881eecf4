"""The op resize of profile `nn`: axes made longer or shorter by reading between their elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from ..graph import ValueType
from .base import Array, Attribute, Attributes, finite, floating, lengths, register, require, round_to, wide
from .shapes import check_axes


def _plan(a: Attributes, x: ValueType) -> Iterator[tuple[int, int, float]]:
    """(axis, new length, factor) for every axis that is resized, in order."""
    for i, axis in enumerate(a["axes"].tolist()):
        n = x.shape[axis]
        if "sizes" in a:
            m = int(a["sizes"][i])
            yield axis, m, m / n
        else:
            factor = float(a["scales"][i])
            yield axis, math.floor(n * factor), factor


def infer_resize(a: Attributes, x: ValueType) -> ValueType:
    floating(x)
    lengths(x)
    axes = check_axes(a, x)
    require(len(axes) >= 1, "attribute 'axes' is empty.")
    require(("sizes" in a) != ("scales" in a), "it takes one of the attributes 'sizes' and 'scales'.")
    given = a["sizes"] if "sizes" in a else a["scales"]
    require(given.size == len(axes), f"{given.size} lengths are given for {len(axes)} axes.")
    require(bool((np.isfinite(given) & (given > 0)).all()), "a length or scale is not a positive number.")
    require(a["fn"] == "nearest" or "round" not in a, "attribute 'round' goes with fn 'nearest' only.")
    require(a["fn"] == "cubic" or "cubic" not in a, "attribute 'cubic' goes with fn 'cubic' only.")
    finite(a, "cubic")
    shape = list(x.shape)
    for axis, m, _ in _plan(a, x):
        require(m >= 1, f"nothing is left of axis {axis} of {x}.")
        shape[axis] = m
    return ValueType(a["dtype"], tuple(shape))


def count_resize(a: Attributes, x: ValueType, result: ValueType) -> int:
    """Four times the elements of the result of every axis."""
    shape, total = list(x.shape), 0
    for axis, m, _ in _plan(a, x):
        shape[axis] = m
        total += 4 * math.prod(shape)
    return total


def _coordinates(at: str, n: int, m: int, factor: float) -> Array:
    """Where on an axis of n elements the m results are read."""
    o = np.arange(m, dtype=np.float64)
    if at == "half_pixel":
        return (o + 0.5) / factor - 0.5
    if at == "asymmetric":
        return o / factor
    return o * (n - 1) / (m - 1) if m > 1 else np.zeros(1)


ROUND: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "half_down": lambda u: np.ceil(u - 0.5),
    "half_up": lambda u: np.floor(u + 0.5),
}


def _kernel(z: Array, a: float) -> Array:
    """The cubic convolution kernel at distances z below 2."""
    near = ((a + 2) * z - (a + 3)) * z * z + 1
    far = ((a * z - 5 * a) * z + 8 * a) * z - 4 * a
    return np.where(z <= 1, near, np.where(z < 2, far, 0.0))


def _reads(a: Attributes, u: Array, n: int) -> Iterator[tuple[Array, Array]]:
    """(indices, weights) whose products make the results."""
    if a["fn"] == "linear":
        u = np.clip(u, 0, n - 1)
    low = np.floor(u)
    w, g = u - low, low.astype(np.int64)
    if a["fn"] == "linear":
        yield g, 1 - w
        yield np.minimum(g + 1, n - 1), w
    else:
        for q in range(-1, 3):
            yield np.clip(g + q, 0, n - 1), _kernel(np.abs(w - q), a.get("cubic", -0.75))


def resize(a: Attributes, x: Array) -> Array:
    """The axes one after the other, each rounded."""
    y = round_to(a, x)
    for axis, m, factor in _plan(a, ValueType("", x.shape[1:])):
        place, n = axis + 1, x.shape[axis + 1]
        u = _coordinates(a["at"], n, m, factor)
        if a["fn"] == "nearest":
            index = np.clip(ROUND[a.get("round", "half_down")](u), 0, n - 1).astype(np.int64)
            y = y.take(index, axis=place)
            continue
        source, total = wide(y), np.zeros(())
        beside = [1] * (y.ndim - 1 - place)
        with np.errstate(all="ignore"):
            for index, weight in _reads(a, u, n):
                total = total + source.take(index, axis=place) * weight.reshape(-1, *beside)
        y = round_to(a, total)
    return y


register(
    "resize",
    infer_resize,
    resize,
    floating=True,
    exact=False,
    since="1.1",
    cost=count_resize,
    axes=Attribute("int", required=True),
    sizes=Attribute("int"),
    scales=Attribute("f64"),
    fn=Attribute("choice", required=True, options=("nearest", "linear", "cubic")),
    at=Attribute("choice", required=True, options=("half_pixel", "align_corners", "asymmetric")),
    round=Attribute("choice", options=tuple(ROUND)),
    cubic=Attribute("number"),
)
