"""What sums: reductions, products of matrices, dense layers, softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelport.errors import UnsupportedModel

from .lengths import Dim, product, same
from .pointwise import cast, float_of, unary
from .shaping import transpose
from .values import FLOATS, Builder, Known, Traced, Value, stripped

__all__ = ["linear", "matmul", "over_last", "reduce"]


def reduce(b: Builder, fn: str, value: Value, axes: Sequence[int], keep: bool) -> Value:
    """One of the op `reduce`'s functions over ONNX axes; integers as integers."""
    given = b.traced(float_of(b, b.traced(value)))
    arg = fn.startswith("arg")
    axes = sorted(axes)
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(given.shape) if keep or axis not in axes)
    if not arg and fn != "l2" and fn != "logsumexp" and all(same(given.shape[axis], 1) for axis in axes):
        return _restored(b, b.traced(b.reshape(given, shape)), value.dtype)
    long = [axis for axis in axes if not same(given.shape[axis], 1)]
    name, row, places = b.placed(given, long or axes)
    new = tuple(1 if axis in places else n for axis, n in enumerate(row) if keep or axis not in places)
    dtype = "i64" if arg else given.dtype
    made = b.add("reduce", [name], dtype, new, fn=fn, axes=np.array(places), keep=True if keep else None, dtype=given.dtype)
    result = Traced(made, new, shape, dtype)
    return result if arg else _restored(b, result, value.dtype)


def _restored(b: Builder, value: Traced, dtype: str) -> Value:
    if dtype in FLOATS:
        return value
    made = b.add("cast", [value.name], "i64", value.row, to="i64") if b.dtypes[value.name] != "i64" else value.name
    return Traced(made, value.row, value.shape, dtype)


def linear(b: Builder, value: Traced, weight: np.ndarray, bias: np.ndarray | None = None) -> Traced:
    """A dense layer along the last axis; weight [o, i]."""
    name, row = b.last(value)
    new, shape = row[:-1] + (len(weight),), value.shape[:-1] + (len(weight),)
    weight = np.ascontiguousarray(weight)
    made = b.add("linear", [name], value.dtype, new, weight=weight, bias=bias, dtype=value.dtype)
    return Traced(made, new, shape, value.dtype)


def matmul(b: Builder, first: Value, second: Value) -> Value:
    """An ONNX MatMul."""
    if first.dtype not in FLOATS:
        product_ = matmul(b, cast(b, first, "f64"), cast(b, second, "f64"))
        return _restored(b, b.traced(product_), first.dtype)
    if isinstance(second, Known) and len(second.shape) == 2:
        return linear(b, b.traced(first), second.array.T)
    if isinstance(second, Known) and len(second.shape) == 1:
        found = linear(b, b.traced(first), second.array[None])
        return b.reshape(found, found.shape[:-1])
    if isinstance(first, Known) and len(first.shape) == 2 and len(second.shape) >= 2:
        rank = len(second.shape)
        swap = [*range(rank - 2), rank - 1, rank - 2]
        return transpose(b, linear(b, b.traced(transpose(b, second, swap)), first.array), swap)
    x, y = b.traced(first), b.traced(second)
    flat_x, flat_y = len(x.shape) == 1, len(y.shape) == 1
    if flat_x:
        x = b.traced(b.reshape(x, (1, *x.shape)))
    if flat_y:
        y = b.traced(b.reshape(y, (*y.shape, 1)))
    if not same(x.shape[-1], y.shape[-2]):
        raise UnsupportedModel(f"Matrices of shapes {list(x.shape)} and {list(y.shape)} are multiplied, which do not fit.")
    (a, row_a), (c, row_c) = b.aligned(x, 2), b.aligned(y, 2)
    row = b.broadcast(row_a[:-2], row_c[:-2]) + (row_a[-2], row_c[-1])
    shape = b.broadcast(x.shape[:-2], y.shape[:-2]) + (x.shape[-2], y.shape[-1])
    made = Traced(b.add("matmul", [a, c], x.dtype, row, dtype=x.dtype), row, shape, x.dtype)
    kept = [n for k, n in enumerate(shape) if not (flat_x and k == len(shape) - 2) and not (flat_y and k == len(shape) - 1)]
    return b.reshape(made, kept)


def over_last(b: Builder, op: str, value: Value, axis: int, **attributes: object) -> Value:
    """An op along one ONNX axis, as softmax: the axis comes last, and goes back."""
    v = b.traced(value)
    rank = len(v.shape)
    order = [*(k for k in range(rank) if k != axis), axis]
    moved = b.traced(transpose(b, v, order))
    name, row = b.last(moved)
    made = Traced(b.add(op, [name], v.dtype, row, dtype=v.dtype, **attributes), row, moved.shape, v.dtype)
    back = [order.index(k) for k in range(rank)]
    return transpose(b, made, back)


def over_flattened(b: Builder, op: str, value: Value, axis: int) -> Value:
    """Softmax as before opset 13: over all axes from `axis` on, as one."""
    v = b.traced(value)
    shape = v.shape
    merged = b.reshape(v, (*shape[:axis], product(shape[axis:])))
    return b.reshape(over_last(b, op, merged, axis), shape)


def mean_of_squares(b: Builder, value: Value, axes: Sequence[int], keep: bool) -> Value:
    """The sum of squares over axes."""
    return reduce(b, "sum", unary(b, "square", value), axes, keep)


def total(dims: Sequence[Dim]) -> Dim:
    """How many elements a shape has."""
    return product(stripped(tuple(dims)))
