"""The translation of resize.

The operator Resize of ONNX holds scales and coordinates in float32, where a coordinate may fall to the other side of a boundary.
It is used where that cannot happen (whole factors); otherwise the positions read and their weights are computed in f64, when
the model is written or, for lengths that are known only when rows come, by the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.graph import ValueType
from modelport.ops.base import Attributes

from .arithmetic import rounded
from .builder import Builder, Value
from .lengths import Length, length
from .shaping import counted

__all__ = ["RULES"]

Array = np.ndarray[Any, np.dtype[Any]]
#: a table known when the model is written, or one that the model computes
Table = Array | Value
ROUNDINGS = {"floor": "floor", "ceil": "ceil", "half_down": "round_prefer_floor", "half_up": "round_prefer_ceil"}


def resize(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Axes made longer or shorter, one after the other."""
    y = rounded(a, x)
    factors = _whole_factors(a, out, x)
    if factors is not None:
        scales = np.ones(1 + len(out.shape), np.float32)
        scales[1:] = factors
        words: dict[str, Any] = {"mode": a["fn"], "coordinate_transformation_mode": a["at"]}
        if a["fn"] == "nearest":
            words["nearest_mode"] = ROUNDINGS[a.get("round", "half_down")]
        return b.op("Resize", y, None, scales, **words)
    for place, axis in enumerate(a["axes"].tolist()):
        y = _one_axis(b, a, y, place, axis, len(out.shape))
    return y


def _whole_factors(a: Attributes, out: ValueType, x: Value) -> list[int] | None:
    """Per axis the whole number it grows by, where Resize does exactly that."""
    assert x.shape is not None
    rank = len(out.shape)
    if out.dtype != "f32" or a["fn"] == "cubic" or a["at"] == "align_corners" or rank != 3 or x.free:
        return None
    given = a["axes"].tolist()
    if 0 in given or len(set(given)) != len(given):
        return None
    factors = [1] * rank
    for place, axis in enumerate(given):
        factor = float(a["scales"][place]) if "scales" in a else out.shape[axis] / x.shape[axis]
        if factor < 1 or factor != int(factor) or factor > 64:
            return None
        factors[axis] = int(factor)
    if a["fn"] == "nearest" and a["at"] == "half_pixel" and any(f & (f - 1) for f in factors):
        return None
    return factors


def _one_axis(b: Builder, a: Attributes, y: Value, place: int, axis: int, rank: int) -> Value:
    n = length(y, axis)
    scale = float(a["scales"][place]) if "scales" in a else None
    m: Length
    if scale is None:
        m = int(a["sizes"][place])
    elif isinstance(n, int):
        m = math.floor(n * scale)
    else:
        m = b.op("Floor", n.cast("f64") * scale).cast("i64")
    u = _coordinates(b, a["at"], n, m, scale)
    assert y.shape is not None
    shape = tuple((m if isinstance(m, int) else k) if i == axis else k for i, k in enumerate(y.shape))
    behind = rank - 1 - axis

    def read(index: Table) -> Value:
        """The elements at positions, moved into the axis."""
        return y.gather(_integer(_bounded(index, n)), axis + 1)

    def weigh(weight: Table) -> Table:
        """A weight per position as it stands beside the axes behind."""
        if isinstance(weight, Value):
            return (weight.unsqueeze(*range(1, behind + 1)) if behind else weight).cast(y.dtype)
        return weight.reshape(-1, *(1 for _ in range(behind))).astype(np.float32 if y.dtype == "f32" else np.float64)

    if a["fn"] == "nearest":
        result = read(_nearest(a.get("round", "half_down"), u))
    elif a["fn"] == "linear":
        u = _bounded(u, n)
        g = _floor(u)
        result = read(g) * weigh(1.0 - (u - g)) + read(g + 1.0) * weigh(u - g)
    else:
        g = _floor(u)
        near, far = _cubic(float(a.get("cubic", -0.75)))
        w = u - g
        parts = [(-1.0, far(w + 1.0)), (0.0, near(w)), (1.0, near(1.0 - w)), (2.0, far(2.0 - w))]
        terms = [read(g + offset) * weigh(k) for offset, k in parts]
        result = terms[0] + terms[1] + terms[2] + terms[3]
    return replace(result, shape=shape, free=y.free)


def _coordinates(b: Builder, at: str, n: Length, m: Length, scale: float | None) -> Table:
    """Where each position of the result reads, in f64."""
    if isinstance(n, int) and isinstance(m, int):
        o = np.arange(m, dtype=np.float64)
        if at == "align_corners":
            return o * (n - 1) / (m - 1) if m > 1 else o
        f = m / n if scale is None else scale
        return (o + 0.5) / f - 0.5 if at == "half_pixel" else o / f
    count = b.constant(np.arange(m)) if isinstance(m, int) else counted(m)
    p = count.cast("f64")
    size, made = (k.cast("f64") if isinstance(k, Value) else b.constant(np.array([float(k)])) for k in (n, m))
    if at == "align_corners":
        last = made - 1.0
        return p * (size - 1.0) / (last < 1.0).where(1.0, last)
    f_ = made / size if scale is None else b.constant(np.array([scale]))
    return (p + 0.5) / f_ - 0.5 if at == "half_pixel" else p / f_


def _nearest(how: str, u: Table) -> Table:
    if how == "floor":
        return _floor(u)
    if how == "half_up":
        return _floor(u + 0.5)
    v = u if how == "ceil" else u - 0.5
    return v.builder.op("Ceil", v) if isinstance(v, Value) else np.ceil(v)


def _floor(u: Table) -> Table:
    return u.builder.op("Floor", u) if isinstance(u, Value) else np.floor(u)


def _bounded(u: Table, n: Length) -> Table:
    """Moved into 0..n-1."""
    if isinstance(u, Value):
        last = n.cast("f64") - 1.0 if isinstance(n, Value) else u.builder.constant(np.array([n - 1.0]))
        return (u < 0.0).where(0.0, (u > last).where(last, u))
    assert isinstance(n, int)
    return np.clip(u, 0.0, n - 1.0)


def _integer(u: Table) -> Table:
    return u.cast("i64") if isinstance(u, Value) else u.astype(np.int64)


def _cubic(A: float) -> tuple[Callable[[Table], Table], Callable[[Table], Table]]:
    """The cubic kernel within a distance of 1, and between 1 and 2."""
    return (
        lambda z: ((A + 2.0) * z - (A + 3.0)) * z * z + 1.0,
        lambda z: ((A * z - 5.0 * A) * z + 8.0 * A) * z - 4.0 * A,
    )


RULES: Mapping[str, Callable[..., Value]] = {"resize": resize}
