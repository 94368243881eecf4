"""Ops that turn scores into probabilities, norms, votes and decisions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..graph import ValueType
from .arithmetic import sigmoid
from .base import (
    DEAR,
    Array,
    Attribute,
    Attributes,
    ascending_sum,
    dear,
    floating,
    last_axis,
    length,
    lines,
    register,
    require,
    round_to,
    row,
    rows,
    wide,
)

# --- softmax, log_softmax, normalize ------------------------------------------------------------------------------------------


def infer_same(a: Attributes, x: ValueType) -> ValueType:
    last_axis(x)
    return ValueType(a["dtype"], x.shape)


def _shifted(a: Attributes, x: Array) -> tuple[Array, Array]:
    """x - max and its exponential, both in the step's dtype, as `lines`."""
    y = lines(round_to(a, x))
    if y.shape[1] == 0:
        return y, y
    shifted = y - y.max(axis=1, keepdims=True)
    return shifted, round_to(a, np.exp(wide(shifted)))


def softmax(a: Attributes, x: Array) -> Array:
    """exp(x - max) / sum."""
    with np.errstate(all="ignore"):
        _, e = _shifted(a, x)
        total = round_to(a, ascending_sum(wide(e)))
        return np.asarray(e / total[:, None]).reshape(x.shape)


def log_softmax(a: Attributes, x: Array) -> Array:
    """x - max - log(sum(exp(x - max)))."""
    with np.errstate(all="ignore"):
        shifted, e = _shifted(a, x)
        total = round_to(a, np.log(wide(round_to(a, ascending_sum(wide(e))))))
        return np.asarray(shifted - total[:, None]).reshape(x.shape)


def normalize(a: Attributes, x: Array) -> Array:
    """Rows divided by their l1, l2 or max norm; an all-zero row is unchanged."""
    y = lines(round_to(a, x))
    with np.errstate(all="ignore"):
        if a["norm"] == "l1":
            norm = ascending_sum(wide(np.abs(y)))
        elif a["norm"] == "l2":
            norm = np.sqrt(ascending_sum(wide(np.square(y))))
        else:
            norm = np.abs(y).max(axis=1, initial=0.0)
        norm = round_to(a, norm)
        return np.asarray(y / np.where(norm == 0, 1, norm).astype(y.dtype)[:, None]).reshape(x.shape)


register("softmax", infer_same, softmax, floating=True, exact=False, cost=dear)
register("log_softmax", infer_same, log_softmax, floating=True, exact=False, cost=dear)
register(
    "normalize",
    infer_same,
    normalize,
    floating=True,
    exact=False,
    norm=Attribute("choice", required=True, options=("l1", "l2", "max")),
)


# --- reduce, two_class --------------------------------------------------------------------------------------------------------


def product(x: Array) -> Array:
    """Product over the last axis in ascending index."""
    total = np.ones(x.shape[:-1])
    for j in range(x.shape[-1]):
        total = total * x[..., j]
    return total


def logsumexp(x: Array) -> Array:
    """m + log(sum(exp(x - m))); m where m is infinite."""
    m = x.max(axis=-1)
    return np.asarray(np.where(np.isinf(m), m, m + np.log(ascending_sum(np.exp(x - m[..., None])))))


def l2(x: Array) -> Array:
    """Square root of the sum of squares."""
    return np.sqrt(ascending_sum(x * x))


REDUCTIONS: dict[str, Callable[[Array], Array]] = {
    "sum": ascending_sum,
    "prod": product,
    "mean": lambda x: ascending_sum(x) / x.shape[-1],
    "min": lambda x: np.asarray(x.min(axis=-1)),
    "max": lambda x: np.asarray(x.max(axis=-1)),
    "l2": l2,
    "logsumexp": logsumexp,
    "argmax": lambda x: np.asarray(x.argmax(axis=-1)),
    "argmin": lambda x: np.asarray(x.argmin(axis=-1)),
}
EXACT_REDUCTIONS = ("min", "max", "argmax", "argmin")


def infer_reduce(a: Attributes, x: ValueType) -> ValueType:
    dtype, axes = "i64" if a["fn"].startswith("arg") else a["dtype"], a.get("axes")
    if axes is None:
        require(row(x) >= 1, "it reduces rows of at least one column.")
        return ValueType(dtype, (1,) if a["keep"] else ())
    floating(x)
    gone, rank = axes.tolist(), len(x.shape)
    require(gone != [] and gone == sorted(set(gone)), f"attribute 'axes' is {gone}; its axes ascend, and there is at least one.")
    require(gone[0] >= 0 and gone[-1] < rank, f"attribute 'axes' is {gone}, which leaves the axes 0..{rank - 1} of {x}.")
    require(dtype != "i64" or len(gone) == 1, f"{a['fn']!r} goes over one axis, but 'axes' is {gone}.")
    require(all(x.shape[axis] >= 1 for axis in gone), f"it reduces axes of at least one element, but is given {x}.")
    kept = [1 if axis in gone else n for axis, n in enumerate(x.shape) if a["keep"] or axis not in gone]
    return ValueType(dtype, tuple(kept))


def reduce(a: Attributes, x: Array) -> Array:
    """One number per row, or per position of the axes that stay; ties go to the lowest index, the first NaN wins."""
    y, fn, shape = round_to(a, x), a["fn"], [1] * a["keep"]
    if "axes" in a:
        gone = (a["axes"] + 1).tolist()
        stay = [axis for axis in range(1, x.ndim) if axis not in gone]
        shape = [1 if axis in gone else x.shape[axis] for axis in range(1, x.ndim) if a["keep"] or axis not in gone]
        y = y.transpose(0, *stay, *gone).reshape(len(x), *(x.shape[axis] for axis in stay), math.prod(x.shape[i] for i in gone))
    else:
        y = rows(y)
    with np.errstate(all="ignore"):
        result = REDUCTIONS[fn](y if fn in EXACT_REDUCTIONS else wide(y))
    result = result.astype(np.int64) if fn.startswith("arg") else round_to(a, result)
    return result.reshape(len(x), *shape)


def infer_two_class(a: Attributes, x: ValueType) -> ValueType:
    require(row(x) == 1, f"it reads one probability per row, but is given {x}.")
    return ValueType(a["dtype"], (2,))


def two_class(a: Attributes, x: Array) -> Array:
    """[1 - p, p]."""
    p = rows(round_to(a, x))
    return np.concatenate([1 - p, p], axis=1).astype(p.dtype)


register(
    "reduce",
    infer_reduce,
    reduce,
    floating=True,
    exact=lambda a: a["fn"] in EXACT_REDUCTIONS,
    cost=lambda a, x, result: DEAR * x.width if a["fn"] == "logsumexp" else 0,
    fn=Attribute("choice", required=True, options=tuple(REDUCTIONS)),
    axes=Attribute("int"),
    keep=Attribute("flag", default=False),
)
register("two_class", infer_two_class, two_class, floating=True)


# --- gaussian_ll, ovo_vote ----------------------------------------------------------------------------------------------------


def infer_gaussian_ll(a: Attributes, x: ValueType) -> ValueType:
    width, mean, var = row(x), a["mean"], a["var"]
    require(mean.shape == var.shape and mean.shape[1] == width, f"'mean' and 'var' are not both [k, {width}].")
    length(a, "log_prior", len(mean))
    return ValueType(a["dtype"], (len(mean),))


def gaussian_ll(a: Attributes, x: Array) -> Array:
    """log_prior - sum(log(2 pi var)) / 2 - sum((x - mean)^2 / var) / 2."""
    y, mean, var = wide(rows(round_to(a, x))), wide(a["mean"]), wide(a["var"])
    with np.errstate(all="ignore"):
        base = -0.5 * ascending_sum(np.log(2.0 * math.pi * var))
        if "log_prior" in a:
            base = wide(a["log_prior"]) + base
        total = np.zeros((len(y), len(mean)))
        for j in range(y.shape[1]):
            total += np.square(y[:, j : j + 1] - mean[:, j]) / var[:, j]
        return round_to(a, base - 0.5 * total)


def infer_ovo_vote(a: Attributes, x: ValueType) -> ValueType:
    classes = a["classes"]
    require(classes >= 2, "attribute 'classes' is at least 2.")
    pairs = classes * (classes - 1) // 2
    require(row(x) == pairs, f"{classes} classes have {pairs} pairs, but it is given {x}.")
    coupling = a["mode"] == "coupling"
    for name in ("prob_a", "prob_b"):
        require((name in a) == coupling, f"attribute {name!r} goes with mode 'coupling' and only with it.")
        length(a, name, pairs)
    return ValueType(a["dtype"], (classes,))


def count_ovo_vote(a: Attributes, *types: ValueType) -> int:
    """All rounds of the coupling."""
    return int(a["classes"] ** 2 * max(100, a["classes"])) if a["mode"] == "coupling" else 0


def ovo_vote(a: Attributes, x: Array) -> Array:
    """Votes, scikit-learn's one-vs-rest shape of them, or coupled probabilities, from one decision per pair of classes."""
    d, classes = wide(rows(round_to(a, x))), a["classes"]
    first, second = np.triu_indices(classes, 1)
    with np.errstate(all="ignore"):
        return _voted(a, d, classes, first, second)


def _voted(a: Attributes, d: Array, classes: int, first: Array, second: Array) -> Array:
    if a["mode"] == "coupling":
        return round_to(a, _coupling(d, wide(a["prob_a"]), wide(a["prob_b"]), classes, first, second))
    winners = np.where(d > 0 if a["mode"] == "votes" else ~(d < 0), first, second) + classes * np.arange(len(d))[:, None]
    votes = np.bincount(winners.ravel(), minlength=len(d) * classes).reshape(-1, classes).astype(np.float64)
    if a["mode"] == "votes":
        return round_to(a, votes)
    sums = np.zeros((len(d), classes))
    for i, decisions in enumerate(d):  # the pairs (j, i), j < i, come before the pairs (i, j), each kind in ascending order
        table = np.zeros((classes, classes))
        table[first, second], table[second, first] = decisions, -decisions
        sums[i] = ascending_sum(table)
    return round_to(a, votes + sums / (3 * (np.abs(sums) + 1)))


def _coupling(d: Array, a: Array, b: Array, classes: int, first: Array, second: Array) -> Array:
    """Wu, Lin and Weng (2004), second method, as libsvm iterates it."""
    r = np.zeros((len(d), classes, classes))
    pair = np.clip(sigmoid(-(a * d + b)), 1e-7, 1 - 1e-7)
    r[:, first, second], r[:, second, first] = pair, 1 - pair
    if classes == 2:
        return r[:, [0, 1], [1, 0]]
    return np.array([_couple_row(matrix, classes) for matrix in r]).reshape(len(d), classes)


def _couple_row(r: Array, classes: int) -> Array:
    q = -r.T * r
    np.fill_diagonal(q, [sum(r[j, t] * r[j, t] for j in range(classes) if j != t) for t in range(classes)])
    p = np.full(classes, 1.0 / classes)
    for _ in range(max(100, classes)):
        qp = ascending_sum(q * p)
        pqp = float(ascending_sum(p * qp))
        if not np.abs(qp - pqp).max() >= 0.005 / classes:
            break
        for t in range(classes):
            diff = (pqp - qp[t]) / q[t, t]
            p[t] += diff
            pqp = (pqp + diff * (diff * q[t, t] + 2 * qp[t])) / (1 + diff) / (1 + diff)
            qp = (qp + diff * q[t]) / (1 + diff)
            p = p / (1 + diff)
    return p


register(
    "gaussian_ll",
    infer_gaussian_ll,
    gaussian_ll,
    floating=True,
    exact=False,
    cost=lambda a, x, result: result.width * (x.width + DEAR),
    mean=Attribute("float", required=True, ranks=(2,)),
    var=Attribute("float", required=True, ranks=(2,)),
    log_prior=Attribute("float"),
)
register(
    "ovo_vote",
    infer_ovo_vote,
    ovo_vote,
    floating=True,
    exact=False,
    cost=count_ovo_vote,
    classes=Attribute("integer", required=True),
    mode=Attribute("choice", required=True, options=("votes", "ovr", "coupling")),
    prob_a=Attribute("float"),
    prob_b=Attribute("float"),
)
