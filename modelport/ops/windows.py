"""Ops of profile `nn` that slide windows over images and sequences: conv, conv_transpose, pool.

A row is [channels, s1..sk] with k of 1 to 3. Sums run over the taps of the kernel: for every tap, the outputs whose input lies
inside take part, so that nothing outside counts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..graph import DTYPES, LIMITS, ValueType
from .base import Array, Attribute, Attributes, floating, length, lengths, parts, register, require, round_to, wide

#: numbers in patches, or in f64 values, that are held at once
PATCHES = 1 << 22
#: the most that a size, stride, dilation or pad may be
REACH = 1 << 20
#: kernels of fewer channels a group are applied to patches, not tap by tap
FEW_CHANNELS = 16

INTS = Attribute("int")
AUTO = Attribute("choice", options=("none", "same_upper", "same_lower"))


# --- geometry -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """How windows lie on an axis of n elements: m windows of `size` taps, `stride` apart, taps `dilation` apart."""

    n: int
    size: int
    stride: int
    dilation: int
    before: int
    after: int
    m: int

    @property
    def reach(self) -> int:
        """Elements from the first tap to the last, both counted."""
        return (self.size - 1) * self.dilation + 1

    @property
    def near(self) -> range:
        """The taps between the first and the last that lie inside in any window."""
        last = (self.m - 1) * self.stride - self.before
        return range(max(0, -(last // self.dilation)), min(self.size, (self.n - 1 + self.before) // self.dilation + 1))

    def tap(self, k: int) -> tuple[slice, slice]:
        """The windows whose tap k lies inside, and the elements it lies on."""
        offset = k * self.dilation - self.before
        first = max(0, -(offset // self.stride))
        last = min(self.m, (self.n - 1 - offset) // self.stride + 1)
        start = first * self.stride + offset
        if last <= first:
            return slice(0, 0), slice(0, 0)
        return slice(first, last), slice(start, start + (last - first - 1) * self.stride + 1, self.stride)


def taps(axes: list[Axis]) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...], tuple[Any, ...]]]:
    """(tap, windows, elements) for every tap of a kernel that lies inside anywhere; the two index [n, channels, ..]."""
    everything = (slice(None), slice(None))
    inside = [[(k, *pair) for k in axis.near if (pair := axis.tap(k))[0] != slice(0, 0)] for axis in axes]
    for chosen in itertools.product(*inside):
        yield (
            tuple(k for k, _, _ in chosen),
            everything + tuple(w for _, w, _ in chosen),
            everything + tuple(e for _, _, e in chosen),
        )


def _kernel(weight: Array, tap: tuple[int, ...]) -> Array:
    """The matrix of a weight [.., .., k1..kk] at one tap."""
    index: tuple[Any, ...] = (slice(None), slice(None), *tap)
    return np.asarray(weight[index])


def _each(a: Attributes, name: str, k: int, default: int, lowest: int) -> list[int]:
    """An attribute with an integer per axis."""
    values: list[int] = a[name].tolist() if name in a else [default] * k
    require(len(values) == k, f"attribute {name!r} has {len(values)} elements, but {k} are needed.")
    require(all(v >= lowest for v in values), f"attribute {name!r} holds a number below {lowest}.")
    require(all(v <= REACH for v in values), f"attribute {name!r} holds a number above {REACH}.")
    return values


def _image(x: ValueType) -> int:
    """The number k of axes behind the channels."""
    floating(x)
    lengths(x)
    require(2 <= len(x.shape) <= 4, f"it reads [channels, ..] with 1 to 3 further axes, but is given {x}.")
    return len(x.shape) - 1


def layout(a: Attributes, shape: tuple[int, ...], size: tuple[int, ...]) -> list[Axis]:
    """The windows of conv and pool on the axes behind the channels."""
    k, auto = len(size), a.get("auto", "none")
    strides, dilations = _each(a, "strides", k, 1, 1), _each(a, "dilations", k, 1, 1)
    require(auto == "none" or "pads" not in a, "the attributes 'auto' and 'pads' exclude each other.")
    pads = _each(a, "pads", 2 * k, 0, 0)
    axes = []
    for i, (n, taken, stride, dilation) in enumerate(zip(shape[1:], size, strides, dilations, strict=True)):
        reach, before, after = (taken - 1) * dilation + 1, pads[i], pads[k + i]
        if auto != "none":
            m = -(-n // stride)
            total = max((m - 1) * stride + reach - n, 0)
            before = total // 2 if auto == "same_upper" else total - total // 2
            after = total - before
        else:
            room = n + before + after - reach
            m = room // stride + 1
            if a.get("ceil", False):
                m = -(-room // stride) + 1
                m -= (m - 1) * stride >= n + before
        require(m >= 1, f"a window that reaches over {reach} elements does not fit axis {i + 1} of {list(shape)}.")
        axes.append(Axis(n, taken, stride, dilation, before, after, m))
    return axes


def _weight(a: Attributes, k: int) -> tuple[int, ...]:
    shape = tuple(a["weight"].shape)
    require(len(shape) == k + 2, f"attribute 'weight' has rank {len(shape)}, but {k + 2} is needed.")
    require(0 not in shape, "attribute 'weight' is empty.")
    require(a["groups"] >= 1, "attribute 'groups' is at least 1.")
    return shape


def _biased(a: Attributes, total: Array) -> Array:
    """The sums [n, o, ..] with the bias of each channel, rounded."""
    if "bias" in a:
        total += wide(a["bias"]).reshape(-1, *[1] * (total.ndim - 2))
    return round_to(a, total)


# --- conv ---------------------------------------------------------------------------------------------------------------------


def infer_conv(a: Attributes, x: ValueType) -> ValueType:
    shape, groups = _weight(a, _image(x)), a["groups"]
    channels, out = x.shape[0], shape[0]
    require(out % groups == 0, f"attribute 'groups' is {groups}, which does not divide {out} output channels.")
    require(
        shape[1] * groups == channels, f"a weight of {shape[1]} channels in {groups} groups does not fit {channels} channels."
    )
    length(a, "bias", out)
    return ValueType(a["dtype"], (out, *(axis.m for axis in layout(a, x.shape, shape[2:]))))


def count_conv(a: Attributes, x: ValueType, result: ValueType) -> int:
    """Elements of the result times the weight's elements per output channel."""
    return int(result.width * (a["weight"].size // a["weight"].shape[0]))


def conv(a: Attributes, x: Array) -> Array:
    """Cross-correlation, in f64."""
    weight = wide(a["weight"])
    axes = layout(a, x.shape[1:], weight.shape[2:])
    m = tuple(axis.m for axis in axes)
    result = np.empty((len(x), len(weight), *m), dtype=DTYPES[a["dtype"]])
    patch = math.prod(m) * weight[0].size
    padded = x.shape[1] * math.prod((axis.m - 1) * axis.stride + axis.reach + axis.n for axis in axes)
    few = a["groups"] == 1 and weight.shape[1] < FEW_CHANNELS and max(patch, padded) <= 4 * PATCHES
    few = few and bool(np.isfinite(weight).all())
    with np.errstate(all="ignore"):
        for part in parts(len(x), patch if few else len(weight) * math.prod(m), PATCHES):
            y = wide(round_to(a, x[part]))
            result[part] = _biased(a, _by_patches(y, weight, axes) if few else _by_taps(y, weight, axes, a["groups"]))
    return result


def _by_taps(x: Array, weight: Array, axes: list[Axis], groups: int) -> Array:
    """A product of matrices per tap: sums [n, o, ..]."""
    n, out, inside = len(x), len(weight) // groups, weight.shape[1]
    total = np.zeros((n, groups * out, *(axis.m for axis in axes)))
    for tap, windows, elements in taps(axes):
        seen = x[elements]
        kernel = _kernel(weight, tap).reshape(groups, out, inside)
        if inside == 1:  # each channel for itself
            total[windows] += np.repeat(seen, out, axis=1) * kernel.reshape(-1, *[1] * len(axes))
        else:
            product = kernel @ seen.reshape(n, groups, inside, math.prod(seen.shape[2:]))
            total[windows] += product.reshape(n, groups * out, *seen.shape[2:])
    return total


def _by_patches(x: Array, weight: Array, axes: list[Axis]) -> Array:
    """One product of matrices, of all patches with all kernels; zeros stand outside, so the weights are finite."""
    n, m = len(x), tuple(axis.m for axis in axes)
    behind = [max(0, (axis.m - 1) * axis.stride + axis.reach - axis.before - axis.n) for axis in axes]
    padded = np.pad(x, [(0, 0), (0, 0), *((axis.before, after) for axis, after in zip(axes, behind, strict=True))])
    view = sliding_window_view(padded, tuple(axis.reach for axis in axes), axis=tuple(range(2, x.ndim)))
    starts = (slice(0, (axis.m - 1) * axis.stride + 1, axis.stride) for axis in axes)
    index: tuple[Any, ...] = (slice(None), slice(None), *starts, *(slice(None, None, axis.dilation) for axis in axes))
    view = view[index]
    order = (0, *range(2, x.ndim), 1, *range(x.ndim, view.ndim))
    patches = view.transpose(order).reshape(n, math.prod(m), weight[0].size)
    product = patches @ weight.reshape(len(weight), -1).T
    return np.ascontiguousarray(product.swapaxes(1, 2)).reshape(n, len(weight), *m)


CONV_ATTRIBUTES: dict[str, Any] = {
    "weight": Attribute("float", required=True, ranks=(3, 4, 5)),
    "bias": Attribute("float"),
    "strides": INTS,
    "dilations": INTS,
    "groups": Attribute("integer", default=1),
    "pads": INTS,
}
register("conv", infer_conv, conv, floating=True, exact=False, since="1.1", cost=count_conv, **CONV_ATTRIBUTES, auto=AUTO)


# --- conv_transpose -----------------------------------------------------------------------------------------------------------


def transposed(a: Attributes, shape: tuple[int, ...], size: tuple[int, ...]) -> list[Axis]:
    """The windows of the map that conv_transpose transposes: they lie on the result, one per element of the input."""
    k = len(size)
    strides, dilations = _each(a, "strides", k, 1, 1), _each(a, "dilations", k, 1, 1)
    pads, more = _each(a, "pads", 2 * k, 0, 0), _each(a, "output_padding", k, 0, 0)
    axes = []
    for i, (m, taken, stride, dilation) in enumerate(zip(shape[1:], size, strides, dilations, strict=True)):
        require(more[i] < max(stride, dilation), f"attribute 'output_padding' holds {more[i]}; it is below stride or dilation.")
        n = stride * (m - 1) + more[i] + (taken - 1) * dilation + 1 - pads[i] - pads[k + i]
        require(n >= 1, f"the pads of axis {i + 1} of {list(shape)} leave nothing.")
        axes.append(Axis(n, taken, stride, dilation, pads[i], pads[k + i], m))
    return axes


def infer_conv_transpose(a: Attributes, x: ValueType) -> ValueType:
    shape, groups = _weight(a, _image(x)), a["groups"]
    channels = x.shape[0]
    require(shape[0] == channels, f"a weight of {shape[0]} channels does not fit {channels} channels.")
    require(channels % groups == 0, f"attribute 'groups' is {groups}, which does not divide {channels} channels.")
    length(a, "bias", shape[1] * groups)
    return ValueType(a["dtype"], (shape[1] * groups, *(axis.n for axis in transposed(a, x.shape, shape[2:]))))


def count_conv_transpose(a: Attributes, x: ValueType, result: ValueType) -> int:
    """Elements of the input times the weight's elements per input channel."""
    return int(x.width * (a["weight"].size // a["weight"].shape[0]))


def conv_transpose(a: Attributes, x: Array) -> Array:
    """The transposed map of conv, in f64."""
    weight, groups = wide(a["weight"]), a["groups"]
    axes = transposed(a, x.shape[1:], weight.shape[2:])
    shape, inside, out = tuple(axis.n for axis in axes), len(weight) // groups, weight.shape[1]
    result = np.empty((len(x), groups * out, *shape), dtype=DTYPES[a["dtype"]])
    with np.errstate(all="ignore"):
        for part in parts(len(x), groups * out * math.prod(shape), PATCHES):
            y = wide(round_to(a, x[part]))
            total = np.zeros((len(y), groups * out, *shape))
            for tap, windows, elements in taps(axes):
                seen = y[windows]
                kernel = _kernel(weight, tap).reshape(groups, inside, out).swapaxes(1, 2)
                product = kernel @ seen.reshape(len(y), groups, inside, math.prod(seen.shape[2:]))
                total[elements] += product.reshape(len(y), groups * out, *seen.shape[2:])
            result[part] = _biased(a, total)
    return result


register(
    "conv_transpose",
    infer_conv_transpose,
    conv_transpose,
    floating=True,
    exact=False,
    since="1.1",
    cost=count_conv_transpose,
    **CONV_ATTRIBUTES,
    output_padding=INTS,
)


# --- pool ---------------------------------------------------------------------------------------------------------------------


def infer_pool(a: Attributes, x: ValueType) -> ValueType:
    k = _image(x)
    size = _each(a, "size", k, 1, 1)
    require(a["fn"] == "mean" or "count_pad" not in a, "attribute 'count_pad' goes with fn 'mean' only.")
    axes = layout(a, x.shape, tuple(size))
    for i, axis in enumerate(axes):
        most = max(axis.before, axis.after)
        require(
            most < axis.reach, f"axis {i + 1} is padded by {most} elements for windows that reach over {axis.reach} elements."
        )
        require(axis.m <= LIMITS.value_width, f"axis {i + 1} of the result has {axis.m} elements, more than a row may have.")
        require(bool((_count(axis, 0, axis.n) > 0).all()), f"a window of axis {i + 1} holds no element of {x}.")
    return ValueType(a["dtype"], (x.shape[0], *(axis.m for axis in axes)))


def _count(axis: Axis, low: int, high: int) -> Array:
    """How many elements of each window [m] lie in low..high-1."""
    starts = np.arange(axis.m) * axis.stride - axis.before
    first = np.maximum(0, -((starts - low) // axis.dilation))
    last = np.minimum(axis.size, (high - 1 - starts) // axis.dilation + 1)
    return np.asarray(np.maximum(0, last - first))


def _counts(axes: list[Axis], padded: bool) -> Array:
    """How many elements of each window lie inside the input, or inside the padded input."""
    total: Array = np.ones(())
    for axis in axes:
        total = total[..., None] * _count(axis, -axis.before * padded, axis.n + axis.after * padded)
    return total


def pool(a: Attributes, x: Array) -> Array:
    """The largest element, or the mean, of each window."""
    axes = layout(a, x.shape[1:], tuple(a["size"].tolist()))
    y, shape = round_to(a, x), (*x.shape[:2], *(axis.m for axis in axes))
    if a["fn"] == "max":
        result = np.full(shape, -np.inf, dtype=y.dtype)
        for _, windows, elements in taps(axes):
            result[windows] = np.maximum(result[windows], y[elements])
        return result
    total = np.zeros(shape)
    with np.errstate(all="ignore"):
        for _, windows, elements in taps(axes):
            total[windows] += y[elements]
        return round_to(a, total / _counts(axes, a.get("count_pad", False)))


register(
    "pool",
    infer_pool,
    pool,
    floating=True,
    exact=False,
    since="1.1",
    cost=lambda a, x, result: result.width * math.prod(a["size"].tolist()),
    fn=Attribute("choice", required=True, options=("max", "mean")),
    size=Attribute("int", required=True),
    strides=INTS,
    dilations=INTS,
    pads=INTS,
    auto=AUTO,
    ceil=Attribute("flag", default=False),
    count_pad=Attribute("flag"),
)
