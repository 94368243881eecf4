"""Translations of conv, conv_transpose and pool.

onnxruntime has kernels of them for f32. In f64 a convolution is a matrix product with what the taps of its window see, a mean the
sum of that; it costs memory, and gives every digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.errors import Unsupported
from modelport.graph import DTYPES, ValueType
from modelport.ops.base import Attributes

from . import wire
from .arithmetic import rounded
from .builder import Builder, Value
from .lengths import Length, lengths, shaped, vector
from .windows import Window, bordered

__all__ = ["RULES"]

Array = np.ndarray[Any, np.dtype[Any]]


def _ints(values: Sequence[int]) -> wire.Ints:
    return wire.Ints(np.array(values, dtype=np.int64))


def _finite(b: Builder, weight: Array) -> Array:
    """A weight, which is to be finite: where padding is zeros, any other number times it is none."""
    if not np.isfinite(weight).all():
        raise Unsupported(
            f"Step {b.scope!r} has a weight that is not finite, which ONNX multiplies with the zeros around a row. Write JSON "
            "instead."
        )
    return weight


# --- conv ---------------------------------------------------------------------------------------------------------------------


def conv(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Cross-correlation of channels with a weight."""
    y, weight, groups = rounded(a, x), _finite(b, a["weight"]), a["groups"]
    window = Window.of(a, weight.shape[2:])
    before, after = window.borders(a, y)
    if out.dtype == "f64":
        return _by_taps(b, bordered(y, before, after), weight, a.get("bias"), window, groups, y)
    stated = [k for k in (*before, *after) if isinstance(k, int)]
    if len(stated) < 2 * len(before):
        y, stated = bordered(y, before, after), [0] * 2 * len(before)
    return b.op("Conv", y, weight, a.get("bias"), pads=_ints(stated), group=groups, **_sizes(window))


def _sizes(window: Window) -> dict[str, Any]:
    sizes = {"kernel_shape": window.size, "strides": window.strides, "dilations": window.dilations}
    return {name: _ints(values) for name, values in sizes.items()}


def _by_taps(b: Builder, padded: Value, weight: Array, bias: Array | None, window: Window, groups: int, like: Value) -> Value:
    """[N, o, ..] by one matrix product; `like` tells whether lengths are free."""
    outputs, channels = weight.shape[0], weight.shape[1]
    taps = list(window.taps(padded))
    first = taps[0]
    count = len(taps)
    spatial: list[Length] = [b.op("Shape", first, dtype="i64", start=k, end=k + 1) for k in range(2, 2 + len(window.size))]
    seen = b.concat([tap.unsqueeze(2) for tap in taps], axis=2)  # [N, c, taps, ..]
    columns = shaped(seen, [groups, channels * count, -1])
    table = np.ascontiguousarray(weight.reshape(groups, outputs // groups, channels * count))
    result = b.op("Einsum", columns, table, equation="ngcp,goc->ngop")
    whole = shaped(result, [outputs, *spatial])
    b.widens(2 * channels * groups * count * max(1, math.prod((like.shape or (1, 1))[1:])))
    return whole if bias is None else whole + bias.reshape(-1, *(1 for _ in window.size))


# --- conv_transpose -----------------------------------------------------------------------------------------------------------


def conv_transpose(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """The transposed map of a convolution."""
    y, weight, groups = rounded(a, x), _finite(b, a["weight"]), a["groups"]
    window = Window.of(a, weight.shape[2:])
    before, after = window.pads(a)
    beyond = [int(k) for k in a["output_padding"]] if "output_padding" in a else [0] * len(before)
    if out.dtype == "f32":
        return b.op(
            "ConvTranspose",
            y,
            weight,
            a.get("bias"),
            pads=_ints([*before, *after]),
            output_padding=_ints(beyond),
            group=groups,
            **_sizes(window),
        )
    for axis, stride in enumerate(window.strides):
        y = _spread(y, axis + 1, stride)
    rest = [reach - 1 for reach in window.reach]
    around: tuple[list[Length], list[Length]] = (
        [r - k for r, k in zip(rest, before, strict=True)],
        [r - k + more for r, k, more in zip(rest, after, beyond, strict=True)],
    )
    dense = Window(window.size, (1,) * len(rest), window.dilations)
    each = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])  # [g, c/g, o/g, ..]
    turned = np.flip(each.swapaxes(1, 2), axis=tuple(range(3, each.ndim)))
    return _by_taps(b, bordered(y, *around), turned.reshape(-1, *turned.shape[2:]), a.get("bias"), dense, groups, y)


def _spread(y: Value, axis: int, stride: int) -> Value:
    """Rows with stride - 1 zeros between neighbours along an axis."""
    if stride == 1:
        return y
    b, at = y.builder, axis + 1
    sizes = lengths(y)
    n = sizes[axis]
    wider = b.op("Pad", y.unsqueeze(at + 1), np.array([0, stride - 1]), b.constant(np.array(0.0)), np.array([at + 1]))
    joined = shaped(wider, [*sizes[:axis], n * stride, *sizes[axis + 1 :]])
    cut = b.op("Slice", joined, np.array([0]), np.array([1 - stride]), np.array([at]), np.array([1]))
    assert y.shape is not None
    shape = tuple((k - 1) * stride + 1 if i == axis else k for i, k in enumerate(y.shape))
    return replace(cut, shape=shape, free=y.free)


# --- pool ---------------------------------------------------------------------------------------------------------------------


def pool(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """The largest element or the mean of every window, of its elements inside the row."""
    y, window = rounded(a, x), Window.of(a, a["size"].tolist())
    return _largest(b, a, y, window) if a["fn"] == "max" else _mean(b, a, y, window)


def _native(window: Window, before: Sequence[Length], after: Sequence[Length]) -> dict[str, Any] | None:
    """The attributes of the runtime's own operator, where it has one for such borders."""
    stated = [k for k in (*before, *after) if isinstance(k, int)]
    fits = len(stated) == 2 * len(before) and all(k < size for k, size in zip(stated, window.size * 2, strict=True))
    return {**_sizes(window), "pads": _ints(stated)} if fits else None


def _largest(b: Builder, a: Attributes, y: Value, window: Window) -> Value:
    """onnxruntime starts from the lowest number and drops NaN: where a row is not all finite, what it says is looked at again."""
    before, after = window.borders(a, y, a.get("ceil", False))
    sizes = _native(window, before, after)
    outside = [0] * 2 * len(window.size)

    def widest(value: Value, number: float) -> Value:
        if sizes is not None:
            return b.op("MaxPool", value, **sizes)
        return b.op("MaxPool", bordered(value, before, after, number), **_sizes(window), pads=_ints(outside))

    result = widest(y, -math.inf)
    total = y.reduce("Sum", None)
    odd = ~(total.abs() < math.inf)

    def corrected(_: list[Value]) -> list[Value]:
        kind = y.is_nan().where(2.0, (y > -math.inf).cast(y.dtype))  # 0: -inf, 1: a number, 2: NaN
        highest = widest(replace(kind, shape=y.shape, free=y.free), 0.0)
        return [(highest > 1.5).where(math.nan, (highest > 0.5).where(result, -math.inf))]

    then, other = b.body([], corrected), b.body([], lambda _: [result])
    return b.op("If", odd, dtype=y.dtype, then_branch=then, else_branch=other)


def _mean(b: Builder, a: Attributes, y: Value, window: Window) -> Value:
    """Sums divided by the number of elements that count."""
    before, after = window.borders(a, y, a.get("ceil", False))
    if a.get("count_pad", False):  # padding of the attributes counts, what `ceil` adds does not
        plain = (before, after) if a.get("auto", "none") != "none" else window.pads(a)
        padded = bordered(y, *plain)
        shape = _grown(y, *plain)
        rest: list[Length] = [k - p for k, p in zip(after, plain[1], strict=True)]
        y, before, after = replace(padded, shape=shape, free=y.free), [0] * len(before), rest
    sizes = _native(window, before, after)
    if sizes is not None and y.dtype == "f32":
        return b.op("AveragePool", y, **sizes)
    ones = b.op("ConstantOfShape", vector(b, [1, 1, *lengths(y)[1:]]), dtype=y.dtype, value=np.ones(1, DTYPES[y.dtype]))
    total, count = (_sum(window, bordered(value, before, after)) for value in (y, ones))
    return total / count


def _grown(y: Value, before: Sequence[Length], after: Sequence[Length]) -> tuple[int, ...]:
    """The row shape with a border, as far as it is known."""
    assert y.shape is not None
    sizes = [k + sum(p for p in (u, v) if isinstance(p, int)) for k, u, v in zip(y.shape[1:], before, after, strict=True)]
    return (y.shape[0], *sizes)


def _sum(window: Window, padded: Value) -> Value:
    taps = list(window.taps(padded))
    total = taps[0]
    for tap in taps[1:]:
        total = total + tap
    return total


RULES: Mapping[str, Callable[..., Value]] = {"conv": conv, "conv_transpose": conv_transpose, "pool": pool}
