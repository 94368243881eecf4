"""Translations of matmul and attention: products of two values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from modelport.graph import ValueType
from modelport.ops.base import Attributes

from .arithmetic import rounded
from .builder import Builder, Value
from .lengths import align, length
from .shaping import counted

__all__ = ["RULES", "multiplied"]


def multiplied(x: Value, y: Value, transposed: bool = False) -> Value:
    """[.., m, k] times [.., k, n] (or, transposed, [.., n, k]), values of one rank.

    In f64 by Einsum: a MatMul beside a factor is fused with it by onnxruntime, which then holds the factor in float32.
    """
    b = x.builder
    if x.dtype == "f64":
        return b.op("Einsum", x, y, equation="...ij,...kj->...ik" if transposed else "...ij,...jk->...ik")
    if transposed:
        assert y.shape is not None
        rank = len(y.shape) + 1
        y = y.transpose(*range(rank - 2), rank - 1, rank - 2)
    return b.op("MatMul", x, y)


def _ready(a: Attributes, rank: int, *values: Value) -> list[Value]:
    """Values in the step's dtype, aligned to one rank of the row."""
    held = [rounded(a, v) for v in values]
    return [replace(v, shape=(*(1 for _ in range(rank)),)) for v in align(rank, *held)]


def matmul(b: Builder, a: Attributes, out: ValueType, x: Value, y: Value) -> Value:
    """A matrix product per row and per position of the axes before."""
    x, y = _ready(a, len(out.shape), *b.broadcastable(x, y))
    return multiplied(x, y)


def attention(
    b: Builder, a: Attributes, out: ValueType, query: Value, key: Value, value: Value, bias: Value | None = None
) -> Value:
    """softmax(scale q k + bias) v."""
    query, key, value = (b.whole(v) for v in (query, key, value))
    assert query.shape is not None
    rank = len(out.shape)
    scale = float(a["scale"]) if "scale" in a else 1.0 / math.sqrt(query.shape[-1])
    m, n = length(query, -2), length(key, -2)
    q, k, v = _ready(a, rank, query, key, value)
    scores = multiplied(q * scale, k, transposed=True)
    if bias is not None:
        scores = scores + _ready(a, rank, b.row(bias))[0]
    if not a["causal"]:
        return multiplied(b.op("Softmax", scores, axis=-1), v)
    if isinstance(m, int) and isinstance(n, int):
        later = b.constant(np.arange(n)[None, :] > np.arange(m)[:, None])
    else:
        rows, columns = (b.constant(np.arange(k)) if isinstance(k, int) else counted(k) for k in (m, n))
        later = columns.unsqueeze(0) > rows.unsqueeze(1)
    weights = b.op("Softmax", later.where(-math.inf, scores), axis=-1)
    return _earlier(b, weights, later, v)


def _earlier(b: Builder, weights: Value, later: Value, v: Value) -> Value:
    """weights times v, where what comes later does not count: nor does NaN there, which 0 times would bring in."""
    odd = ~(v.reduce("Sum", None).abs() < math.inf)

    def apart(_: list[Value]) -> list[Value]:
        terms = later.unsqueeze(2).where(0.0, weights.unsqueeze(-1) * v.unsqueeze(-3))  # [.., m, n, e]
        return [terms.reduce("Sum", [-2])]

    then, other = b.body([], apart), b.body([], lambda _: [multiplied(weights, v)])
    return b.op("If", odd, dtype=v.dtype, then_branch=then, else_branch=other)


RULES: Mapping[str, Callable[..., Value]] = {"matmul": matmul, "attention": attention}
