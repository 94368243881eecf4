"""Translations of the ops that turn scores into probabilities, norms, votes and decisions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.graph import ValueType
from modelport.ops.base import Attributes

from . import special
from .arithmetic import rounded
from .builder import Builder, Value
from .folds import fold

__all__ = ["RULES", "as_row"]

Array = np.ndarray[Any, np.dtype[Any]]


def as_row(a: Attributes, x: Value) -> Value:
    """The value in the step's dtype; rank 0 as [N, 1]."""
    return rounded(a, x).matrix()


def _like(result: Value, x: Value) -> Value:
    """[N, 1] back to [N] where x had rank 0."""
    return result.squeeze(1) if x.shape == () else result


def _any_nan(x: Value, axes: Sequence[int] = (-1,)) -> Value:
    """True where NaN is found along the axes, which stay with length 1."""
    return x.is_nan().cast("i64").reduce("Max", axes, keep=True).cast("bool")


def _extreme(x: Value, kind: str, axes: Sequence[int] = (-1,)) -> Value:
    """The largest (Max) or smallest (Min) element along the axes, or NaN (which onnxruntime may drop)."""
    found = x.reduce(kind, axes, keep=True)
    return found if x.nan_free else _any_nan(x, axes).where(math.nan, found)


def _position(x: Value, kind: str, axis: int = -1) -> Value:
    """Where the extreme element is along the axis; ties to the lowest index, the first NaN wins."""
    if x.nan_free:
        return x.builder.op(kind, x, dtype="i64", axis=axis, keepdims=1)
    nan = x.is_nan().cast("f64")
    judged = _any_nan(x, [axis]).where(nan if kind == "ArgMax" else -nan, x.cast("f64"))
    return x.builder.op(kind, judged, dtype="i64", axis=axis, keepdims=1)


# --- softmax, log_softmax, normalize ------------------------------------------------------------------------------------------


def _shifted(a: Attributes, y: Value) -> tuple[Value, Value]:
    """y - max, its exponential (in the step's dtype)."""
    shifted = y - y.reduce("Max", [-1], keep=True)
    return shifted, rounded(a, shifted.cast("f64").exp())


def softmax(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """exp(x - max) / sum."""
    y = as_row(a, x)
    if b.net and y.dtype == "f32":
        return _like(b.op("Softmax", y, axis=-1), x)
    _, e = _shifted(a, y)
    return _like(e / rounded(a, e.cast("f64").reduce("Sum", [-1], keep=True)), x)


def log_softmax(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """x - max - log(sum(exp(x - max)))."""
    y = as_row(a, x)
    if b.net and y.dtype == "f32":
        return _like(b.op("LogSoftmax", y, axis=-1), x)
    shifted, e = _shifted(a, y)
    total = rounded(a, e.cast("f64").reduce("Sum", [-1], keep=True))
    return _like(shifted - rounded(a, total.cast("f64").log()), x)


def normalize(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Rows divided by their l1, l2 or max norm; an all-zero row is unchanged."""
    y = as_row(a, x)
    if a["norm"] == "l1":
        norm = y.abs().cast("f64").reduce("Sum", [-1], keep=True)
    elif a["norm"] == "l2":
        norm = (y * y).cast("f64").reduce("Sum", [-1], keep=True).sqrt()
    else:
        norm = _extreme(replace(y.abs(), nan_free=y.nan_free), "Max")
    norm = rounded(a, norm)
    return _like(y / norm.equals(0.0).where(1.0, norm), x)


# --- reduce, two_class --------------------------------------------------------------------------------------------------------


def _sum(x: Value) -> Value:
    """[N, 1]: the sum in ascending order."""
    assert x.shape is not None
    return x.cumulative_sum(1).gather(np.array([x.shape[0] - 1]), axis=1)


def _product(x: Value) -> Value:
    """[N, 1]: the product in ascending order."""
    return fold(x, [], 1, 1.0, lambda total, column: total * column)


def _l2(x: Value) -> Value:
    return _sum(replace(x * x, shape=x.shape)).sqrt()


def _mean(x: Value) -> Value:
    assert x.shape is not None
    return _sum(x) / float(x.shape[0])


def _logsumexp(x: Value) -> Value:
    m = _extreme(x, "Max")
    total = m + (x - m).exp().reduce("Sum", [1], keep=True).log()
    return (m.abs().equals(math.inf)).where(m, total)


REDUCTIONS: dict[str, Callable[[Value], Value]] = {
    "sum": _sum,
    "prod": _product,
    "mean": _mean,
    "min": lambda x: _extreme(x, "Min"),
    "max": lambda x: _extreme(x, "Max"),
    "l2": _l2,
    "logsumexp": _logsumexp,
    "argmax": lambda x: _position(x, "ArgMax"),
    "argmin": lambda x: _position(x, "ArgMin"),
}


def reduce(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """One number per row."""
    fn, y = a["fn"], as_row(a, x)
    if "axes" in a or (x.free and x.shape):
        return _over_axes(a, rounded(a, x), out)
    if fn in ("min", "max"):
        result = _extreme(y, fn.capitalize())
    elif fn in ("argmin", "argmax"):
        assert y.shape is not None
        result = replace(REDUCTIONS[fn](y), bounds=(0, y.shape[0] - 1))
    else:
        result = rounded(a, REDUCTIONS[fn](replace(y.cast("f64"), shape=y.shape, nan_free=y.nan_free)))
    return result if a["keep"] else replace(result.squeeze(1), bounds=result.bounds)


#: elements over which a net's f32 is summed in f32
SINGLE_SUM = 256


def _over_axes(a: Attributes, y: Value, out: ValueType) -> Value:
    """One number per position of the axes that stay."""
    fn, gone = a["fn"], [int(axis) + 1 for axis in a.get("axes", (0,))]
    assert y.shape is not None
    if fn in ("argmin", "argmax"):
        result = _position(y, "ArgMin" if fn == "argmin" else "ArgMax", gone[0])
    elif fn in ("min", "max"):
        result = _extreme(y, fn.capitalize(), gone)
    else:
        width = math.prod(y.shape[axis - 1] for axis in gone)
        single = y.builder.net and y.dtype == "f32" and not y.free and width <= SINGLE_SUM
        z = y if single else y.cast("f64")
        if fn == "l2":
            z = (z * z).reduce("Sum", gone, keep=True).sqrt()
        elif fn == "logsumexp":
            m = _extreme(z, "Max", gone)
            z = m.abs().equals(math.inf).where(m, m + (z - m).exp().reduce("Sum", gone, keep=True).log())
        else:
            z = z.reduce(fn.capitalize(), gone, keep=True)
        result = rounded(a, z)
    return result if a["keep"] else result.squeeze(*gone)


def two_class(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """[1 - p, p]."""
    p = as_row(a, x)
    return replace(b.concat([1.0 - p, p]), nan_free=x.nan_free)


# --- gaussian_ll, ovo_vote ----------------------------------------------------------------------------------------------------


def gaussian_ll(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """log_prior - sum(log(2 pi var)) / 2 - sum((x - mean)^2 / var) / 2."""
    mean, var = a["mean"].astype(np.float64), a["var"].astype(np.float64)
    with np.errstate(all="ignore"):
        logs = np.cumsum(np.log(2.0 * math.pi * var), axis=1)[:, -1] if var.shape[1] else np.zeros(len(var))
        base = -0.5 * logs
    if "log_prior" in a:
        base = a["log_prior"].astype(np.float64) + base

    def term(total: Value, column: Value, m: Value, v: Value) -> Value:
        distance = column - m
        return total + distance * distance / v

    total = fold(as_row(a, x).cast("f64"), [mean.T, var.T], len(mean), 0.0, term)
    return rounded(a, b.constant(base) - 0.5 * total)


def ovo_vote(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Votes, scikit-learn's one-vs-rest shape of them, or coupled probabilities, from one decision per pair of classes."""
    d, classes = as_row(a, x).cast("f64"), a["classes"]
    first, second = np.triu_indices(classes, 1)
    if a["mode"] == "coupling":
        return rounded(a, _coupling(b, d, a, classes))
    pair = np.array([np.flatnonzero((first == k) | (second == k)) for k in range(classes)])  # [c, c - 1]
    own = np.array([first[p] == k for k, p in enumerate(pair)])  # is the class the first of its pair
    sign = np.where(own, 1.0, -1.0)
    won = d > 0.0 if a["mode"] == "votes" else ~(d < 0.0)  # they part at 0
    wins = won.cast("f64").gather(pair, axis=1)  # [N, c, c - 1]
    votes = (b.constant(own).where(wins, 1.0 - wins)).reduce("Sum", [2])
    if a["mode"] == "votes":
        return rounded(a, votes)
    sums = (d.gather(pair, axis=1) * sign).cumulative_sum(2).gather(np.array(classes - 2), axis=2)
    return rounded(a, votes + sums / (3.0 * (sums.abs() + 1.0)))


def _coupling(b: Builder, d: Value, a: Attributes, classes: int) -> Value:
    """Pairwise coupling (docs/format.md, section 9): all rows at once, each frozen when it has converged."""
    prob_a, prob_b = a["prob_a"].astype(np.float64), a["prob_b"].astype(np.float64)
    pair = special.sigmoid(-(d * prob_a + prob_b))
    pair = (pair < 1e-7).where(1e-7, (pair > 1 - 1e-7).where(1 - 1e-7, pair))
    both = b.concat([pair, 1.0 - pair])
    if classes == 2:
        return both
    pairs = pair_positions(classes)
    r = both.gather(pairs.ravel(), axis=1).reshape(0, classes, classes)  # the diagonal is masked out below
    rt = r.transpose(0, 2, 1)
    off = 1.0 - np.eye(classes)
    own = (rt * rt * off).reduce("Sum", [2], keep=True)  # [N, c, 1]: Q_tt
    q = b.constant(np.eye(classes, dtype=bool)).where(own, -rt * r)
    diagonal = own.squeeze(2)
    rounds = max(100, classes)

    def body(values: list[Value]) -> list[Value]:
        _, _, p = values
        qp = (q * p.unsqueeze(1)).reduce("Sum", [2])
        pqp = (p * qp).reduce("Sum", [1], keep=True)
        active = (qp - pqp).abs().reduce("Max", [1], keep=True) >= 0.005 / classes
        following = active.where(_sweep(q, diagonal, p, qp, pqp, classes), p)
        return [active.cast("i64").reduce("Max", None).cast("bool"), following]

    start = b.filled(classes, 1.0 / classes)
    graph = b.body([("round", "i64", []), ("going", "bool", []), ("p", "f64", [b.batch, classes])], body)
    return b.op("Loop", b.constant(np.array(rounds)), b.constant(np.array(True)), start, dtype="f64", body=graph)


def pair_positions(classes: int) -> Array:
    """[c, c]: where r_ij stands in [r of the pairs, 1 - r of the pairs]; anything on the diagonal."""
    first, second = np.triu_indices(classes, 1)
    positions = np.zeros((classes, classes), dtype=np.int64)
    positions[first, second] = np.arange(len(first))
    positions[second, first] = np.arange(len(first)) + len(first)
    return positions


def _sweep(q: Value, diagonal: Value, p: Value, qp: Value, pqp: Value, classes: int) -> Value:
    """One pass over the classes: p [N, c], Qp [N, c], pQp [N, 1]; q is [N, c, c], diagonal [N, c]."""
    for t in range(classes):
        at = np.array([t])
        own = diagonal.gather(at, axis=1)
        diff = (pqp - qp.gather(at, axis=1)) / own
        grown = 1.0 + diff
        p = (p + diff * (np.arange(classes) == t).astype(np.float64)) / grown
        pqp = (pqp + diff * (diff * own + 2.0 * qp.gather(at, axis=1))) / grown / grown
        qp = (qp + diff * q.gather(np.array(t), axis=1)) / grown
    return p


RULES: Mapping[str, Callable[..., Value]] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "normalize": normalize,
    "reduce": reduce,
    "two_class": two_class,
    "gaussian_ll": gaussian_ll,
    "ovo_vote": ovo_vote,
}
