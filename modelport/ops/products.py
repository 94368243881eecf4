"""Ops of profile `nn` that multiply values with values, and running sums: matmul, attention, cumsum."""

from __future__ import annotations

import math

import numpy as np

from ..errors import GraphError
from ..graph import DTYPES, FLOATS, ValueType
from .base import DEAR, Array, Attribute, Attributes, align, finite, floating, lengths, parts, register, require, round_to, wide

#: numbers in the scores of an attention that are held at once
SCORES = 1 << 22


def _matrices(*values: ValueType) -> None:
    for value in values:
        floating(value)
        lengths(value)
        require(len(value.shape) >= 2, f"it reads values of rank 2 or more, but is given {value}.")


def _leading(*values: ValueType) -> tuple[int, ...]:
    """The broadcast lengths of the axes before the last two."""
    try:
        return np.broadcast_shapes(*(v.shape[:-2] for v in values))
    except ValueError:
        raise GraphError(f"the axes before the last two of {', '.join(map(str, values))} do not fit together.") from None


# --- matmul -------------------------------------------------------------------------------------------------------------------


def infer_matmul(a: Attributes, x: ValueType, y: ValueType) -> ValueType:
    _matrices(x, y)
    require(x.shape[-1] == y.shape[-2], f"the columns of {x} are not the rows of {y}.")
    return ValueType(a["dtype"], (*_leading(x, y), x.shape[-2], y.shape[-1]))


def matmul(a: Attributes, x: Array, y: Array) -> Array:
    """Products of matrices, the axes before them broadcast."""
    x, y = align(round_to(a, x), round_to(a, y))
    with np.errstate(all="ignore"):
        return round_to(a, np.matmul(wide(x), wide(y)))


register(
    "matmul",
    infer_matmul,
    matmul,
    inputs=(2, 2),
    floating=True,
    exact=False,
    since="1.1",
    cost=lambda a, x, y, result: result.width * x.shape[-1],
)


# --- attention ----------------------------------------------------------------------------------------------------------------


def infer_attention(a: Attributes, q: ValueType, k: ValueType, v: ValueType, bias: ValueType | None = None) -> ValueType:
    _matrices(q, k, v)
    require(q.shape[-1] == k.shape[-1], f"the queries {q} and the keys {k} differ in their last axis.")
    require(k.shape[-2] == v.shape[-2], f"the keys {k} and the values {v} differ in their number.")
    finite(a, "scale")
    leading, scores = _leading(q, k, v), (q.shape[-2], k.shape[-2])
    if bias is not None:
        floating(bias)
        whole = (*leading, *scores)
        fits = len(bias.shape) <= len(whole) and all(
            n in (1, m) for n, m in zip(bias.shape, whole[len(whole) - len(bias.shape) :], strict=True)
        )
        require(fits, f"the bias {bias} does not broadcast to {list(whole)}.")
    return ValueType(a["dtype"], (*leading, q.shape[-2], v.shape[-1]))


def count_attention(a: Attributes, q: ValueType, k: ValueType, v: ValueType, *more: ValueType) -> int:
    """Elements of the scores times what each is multiplied with, and its exponential."""
    scores = math.prod(_leading(q, k, v)) * q.shape[-2] * k.shape[-2]
    return int(scores * (q.shape[-1] + v.shape[-1] + DEAR))


def attention(a: Attributes, q: Array, k: Array, v: Array, bias: Array | None = None) -> Array:
    """softmax(scale * q k' + bias) v."""
    given = [round_to(a, value) for value in (q, k, v, *([] if bias is None else [bias]))]
    aligned = align(*given)
    leading = np.broadcast_shapes(*(value.shape[1:-2] for value in aligned[:3]))
    result = np.empty((len(q), *leading, q.shape[-2], v.shape[-1]), dtype=DTYPES[a["dtype"]])
    scores = math.prod(leading) * q.shape[-2] * k.shape[-2]
    with np.errstate(all="ignore"):
        for part in parts(len(q), scores, SCORES):
            some = [wide(value[part]) for value in aligned]
            if scores <= SCORES:
                result[part] = round_to(a, _attend(a, 0, *some))
                continue
            spread = [np.broadcast_to(value, (*value.shape[:1], *leading, *value.shape[-2:])) for value in some]
            for place in np.ndindex(leading):
                here = (slice(None), *place)
                _in_parts(a, result[part][here], *(value[here] for value in spread))
    return result


def _in_parts(a: Attributes, result: Array, q: Array, k: Array, v: Array, bias: Array | None = None) -> None:
    """One head of large scores, some queries at a time."""
    for some in parts(q.shape[1], k.shape[1], SCORES):
        beside = [] if bias is None else [bias[:, some] if bias.shape[1] > 1 else bias]
        result[:, some] = round_to(a, _attend(a, some.start, q[:, some], k, v, *beside))


def _attend(a: Attributes, first: int, q: Array, k: Array, v: Array, bias: Array | None = None) -> Array:
    """The answers to queries, of which the first one is number `first`."""
    scores = a.get("scale", 1.0 / math.sqrt(q.shape[-1])) * np.matmul(q, k.swapaxes(-1, -2))
    if bias is not None:
        scores = scores + bias
    if a["causal"]:
        later = np.arange(scores.shape[-1]) > np.arange(first, first + scores.shape[-2])[:, None]
        scores = np.where(later, -np.inf, scores)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    if a["causal"]:
        weights = np.where(later, 0.0, weights)
    weights /= weights.sum(axis=-1, keepdims=True)
    if not a["causal"] or np.isfinite(v).all():
        return np.asarray(np.matmul(weights, v))
    # a value that is not finite must not reach the queries before it, not even times 0
    ends = range(first + 1, first + weights.shape[-2] + 1)
    seen = [np.matmul(weights[..., i : i + 1, :end], v[..., :end, :]) for i, end in enumerate(ends)]
    return np.concatenate(seen, axis=-2)


register(
    "attention",
    infer_attention,
    attention,
    inputs=(3, 4),
    floating=True,
    exact=False,
    since="1.1",
    cost=count_attention,
    scale=Attribute("number"),
    causal=Attribute("flag", default=False),
)


# --- cumsum -------------------------------------------------------------------------------------------------------------------


def infer_cumsum(a: Attributes, x: ValueType) -> ValueType:
    require(x.dtype in (*FLOATS, "i64"), f"it reads f64, f32 or i64, but is given {x}; a cast step is needed.")
    lengths(x)
    require(a["axis"] < len(x.shape), f"attribute 'axis' is {a['axis']}, but it is given {x}.")
    return ValueType("i64" if x.dtype == "i64" else a["dtype"], x.shape)


def cumsum(a: Attributes, x: Array) -> Array:
    """Running sums along an axis."""
    axis, whole = a["axis"] + 1, x.dtype == np.int64
    y = np.moveaxis(x if whole else wide(round_to(a, x)), axis, -1)
    y = y[..., ::-1] if a["reverse"] else y
    zero = y.dtype.type(0)
    with np.errstate(all="ignore"):
        sums = np.cumsum(y, axis=-1) + zero  # sums begin at 0.0, so none is -0.0
    if a["exclusive"]:
        sums = np.concatenate([np.full_like(sums[..., :1], zero), sums[..., :-1]], axis=-1)
    sums = np.moveaxis(sums[..., ::-1] if a["reverse"] else sums, -1, axis)
    return sums if whole else round_to(a, sums)


register(
    "cumsum",
    infer_cumsum,
    cumsum,
    floating=True,
    exact=False,
    since="1.1",
    axis=Attribute("integer", required=True),
    exclusive=Attribute("flag", default=False),
    reverse=Attribute("flag", default=False),
)
