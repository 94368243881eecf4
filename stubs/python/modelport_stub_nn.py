# SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
# mypy: disable-error-code="no-any-return,import-not-found,no-redef"
# ruff: noqa: I001
"""Ops of profile nn (docs/format.md, section 6.3) for modelport_stub.py: neural networks.

Copy it beside that file, under this name: loading a document that requires one of these ops imports it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

if not __package__:
    from modelport_stub import DTYPES, FLOATS, INTEGERS, UNARY_CLOSE, UNARY_EXACT, Array, Attributes, Check, Kind, Op, Run
    from modelport_stub import broadcast, enter, erf, spread, _float_value, _need
else:  # both files lie in a package
    from .modelport_stub import DTYPES, FLOATS, INTEGERS, UNARY_CLOSE, UNARY_EXACT, Array, Attributes, Check, Kind, Op, Run
    from .modelport_stub import broadcast, enter, erf, spread, _float_value, _need

__all__ = ["OPS"]

OPS: dict[str, Op] = {}
TOGETHER = 2**22  # elements of a product that are computed together: bounds the memory


def op(fewest: int, most: int | None = None) -> Callable[[Check], Check]:
    """Enters an op of this profile, in which all lengths are at least 1."""

    def register(check: Check) -> Check:
        def checked(a: Attributes, *kinds: Kind) -> tuple[Kind, Run]:
            for kind in kinds:
                if 0 in kind.shape:
                    raise a.refuse(f"reads rows of shape {list(kind.shape)}; all lengths must be at least 1")
            kind, run = check(a, *kinds)
            if not all(length >= 1 for length in kind.shape):
                raise a.refuse(f"gives rows of shape {list(kind.shape)}; all lengths must be at least 1")
            return kind, run

        checked.__name__, checked.__doc__ = check.__name__.rstrip("_"), check.__doc__
        enter(OPS, fewest, most)(checked)
        return check

    return register


def _axis(a: Attributes, kind: Kind) -> int:
    """The attribute axis: an axis of the row."""
    _need_rank(a, kind, 1)
    return a.integer("axis", 0, len(kind.shape) - 1)


def _need_rank(a: Attributes, kind: Kind, least: int, most: int | None = None) -> None:
    if len(kind.shape) < least or (most is not None and len(kind.shape) > most):
        wanted = f"at least {least}" if most is None else f"{least} to {most}" if most > least else str(least)
        raise a.refuse(f"reads rows of shape {list(kind.shape)}; it takes rank {wanted}")


_MOST_REACH = 2**20  # kernel sizes, strides, dilations and pads


def _integers(
    a: Attributes, key: str, length: int | None, least: int, default: int | None = None, most: int = 2**63
) -> list[int]:
    """A list of integers, none below `least` or above `most`; with a default, the attribute may be absent."""
    if default is not None and not a.has(key):
        return [default] * (length or 0)
    values: list[int] = a.integers(key, length).tolist()
    if any(value < least for value in values):
        raise a.refuse(f"has {min(values)} in {key}; it must be at least {least}")
    if any(value > most for value in values):
        raise a.refuse(f"has {max(values)} in {key}; it must be at most {most}")
    return values


def _number(a: Attributes, key: str, default: float | None = None) -> float:
    """A finite number, which stays f64."""
    value = a.number(key, "f64", default)
    if not math.isfinite(value):
        raise a.refuse(f"has a {key} that is not finite")
    return value


def _wide(a: Attributes, key: str, dtype: str, *shape: int | None) -> Array:
    """A float parameter in f64, converted once."""
    array = a.tensor(key, (dtype,), *shape)
    return a.once((key, "wide"), lambda: array.astype(np.float64))


def _wide_if(a: Attributes, key: str, dtype: str, *shape: int | None) -> Array | None:
    return _wide(a, key, dtype, *shape) if a.has(key) else None


def _computed(np_dtype: np.dtype, compute: Run) -> Run:
    """A run that rounds its float inputs to the dtype, computes in f64 and rounds once."""

    def widen(x: Array) -> Array:
        return x.astype(np_dtype, copy=False).astype(np.float64, copy=False) if x.dtype.kind == "f" else x

    return lambda *xs: compute(*map(widen, xs)).astype(np_dtype, copy=False)


# ==== Shapes ==========================================================================================================


def _copied_shape(a: Attributes, other: Kind | None, least: int) -> list[int]:
    """The attributes shape and copy: a length is given, or is that of an axis of another value."""
    shape = a.integers("shape", None).tolist()
    copy = a.integers("copy", len(shape)).tolist() if a.has("copy") else [-1] * len(shape)
    if len(shape) > a.limits.rank:
        raise a.refuse(f"has a shape of rank {len(shape)}, more than the {a.limits.rank} allowed")
    for i, axis in enumerate(copy):
        if axis >= 0:
            if other is None or axis >= len(other.shape):
                raise a.refuse(f"copies the length of axis {axis}, which is not there")
            if shape[i] != 0:
                raise a.refuse(f"has {shape[i]} in shape where it copies a length; it must be 0")
            shape[i] = other.shape[axis]
        elif axis < -1:
            raise a.refuse(f"has {axis} in copy; it must be an axis, or -1")
        elif shape[i] < least or shape[i] == 0:
            raise a.refuse(f"has {shape[i]} in shape; a length is at least 1")
    return shape


@op(1)
def reshape(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The same elements in row-major order, with other axes."""
    shape = _copied_shape(a, kind, -1)
    if shape.count(-1) > 1:
        raise a.refuse("has -1 twice in shape")
    known = math.prod(length for length in shape if length != -1)
    if -1 in shape and kind.width % known == 0:
        shape[shape.index(-1)] = kind.width // known
    if math.prod(shape) != kind.width:
        raise a.refuse(f"makes {shape} of rows of shape {list(kind.shape)}; the numbers of elements differ")
    return Kind(kind.dtype, tuple(shape)), lambda x: x.reshape(len(x), *shape)


@op(1)
def transpose(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The axes in another order."""
    perm = a.integers("perm", len(kind.shape)).tolist()
    if sorted(perm) != list(range(len(perm))):
        raise a.refuse(f"has the perm {perm}, which is no order of the axes 0..{len(perm) - 1}")
    order = (0, *(axis + 1 for axis in perm))
    return Kind(kind.dtype, tuple(kind.shape[axis] for axis in perm)), lambda x: x.transpose(order)


def _range(start: int, stop: int, step: int, length: int) -> range:
    """The indices of a slice along an axis."""
    low, high = (0, length) if step > 0 else (-1, length - 1)
    start, stop = (min(max(end + length if end < 0 else end, low), high) for end in (start, stop))
    return range(start, stop, step)


@op(1)
def slice_(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Every step-th index from start to stop, per axis."""
    _need_rank(a, kind, 1)
    axes = _different_axes(a, kind)
    starts, stops = a.integers("starts", len(axes)).tolist(), a.integers("stops", len(axes)).tolist()
    steps = a.integers("steps", len(axes)).tolist() if a.has("steps") else [1] * len(axes)
    if 0 in steps:
        raise a.refuse("has a step of 0")
    shape, cut = list(kind.shape), [slice(None)] * (len(kind.shape) + 1)
    for axis, start, stop, step in zip(axes, starts, stops, steps):
        indices = _range(start, stop, step, shape[axis])
        if not indices:
            raise a.refuse(f"leaves nothing of axis {axis}, whose length is {shape[axis]}")
        shape[axis] = len(indices)
        cut[axis + 1] = slice(indices.start, None if indices.stop < 0 else indices.stop, step)
    return Kind(kind.dtype, tuple(shape)), lambda x: x[tuple(cut)]


def _different_axes(a: Attributes, kind: Kind) -> list[int]:
    axes: list[int] = a.integers("axes", None).tolist()
    if len(set(axes)) != len(axes) or not all(0 <= axis < len(kind.shape) for axis in axes):
        raise a.refuse(f"has the axes {axes}; they must be different ones of 0..{len(kind.shape) - 1}")
    return axes


@op(1, 2)
def expand(a: Attributes, kind: Kind, like: Kind | None = None) -> tuple[Kind, Run]:
    """Broadcast to given lengths, or to those of another value."""
    shape = tuple(_copied_shape(a, like, 1))
    if broadcast(a, kind.shape, shape) != shape:
        raise a.refuse(f"cannot broadcast rows of shape {list(kind.shape)} to {list(shape)}")
    return Kind(kind.dtype, shape), lambda x, _=None: np.broadcast_to(spread(x, len(shape)), (len(x), *shape))


@op(1)
def positions(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """0, 1, 2, .. along an axis."""
    length = kind.shape[_axis(a, kind)]
    return Kind("i64", (length,)), lambda x: np.broadcast_to(np.arange(length), (len(x), length))


@op(2)
def gather(a: Attributes, kind: Kind, index: Kind) -> tuple[Kind, Run]:
    """Elements by index along an axis."""
    axis = _axis(a, kind)
    _need(a, index, INTEGERS)
    length, rank = kind.shape[axis], len(index.shape)

    def run(x: Array, at: Array) -> Array:
        at = at.astype(np.int64, copy=False)
        outside = (at < -length) | (at >= length)
        if outside.any():
            raise a.refuse(f"reads the index {at[outside][0]}, outside {-length}..{length - 1}")
        chosen = np.moveaxis(x, axis + 1, 1)[np.arange(len(x)).reshape(-1, *(1,) * rank), at]
        return np.moveaxis(chosen, range(1, rank + 1), range(axis + 1, axis + 1 + rank))

    return Kind(kind.dtype, (*kind.shape[:axis], *index.shape, *kind.shape[axis + 1 :])), run


@op(1)
def embedding(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Rows of a table by index."""
    _need(a, kind, INTEGERS)
    dtype = a.word("dtype", *FLOATS, default="f64")
    weight = a.tensor("weight", (dtype,), None, None)

    def run(x: Array) -> Array:
        outside = (x < 0) | (x >= len(weight))
        if outside.any():
            raise a.refuse(f"reads the index {x[outside][0]}, outside 0..{len(weight) - 1}")
        return weight[x]

    return Kind(dtype, (*kind.shape, weight.shape[1])), run


@op(1)
def pad(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Elements put before and behind every axis."""
    _need(a, kind, [dtype for dtype in DTYPES if dtype != "str"])
    before, after = (_integers(a, key, len(kind.shape), 0) for key in ("before", "after"))
    mode = a.word("mode", "constant", "reflect", "edge", "wrap", default="constant")
    options: dict[str, Any] = {"constant_values": _cast_number(a, kind.dtype)} if mode == "constant" else {}
    for axis, (length, *ends) in enumerate(zip(kind.shape, before, after)):
        if max(ends) > {"reflect": length - 1, "wrap": length}.get(mode, max(ends)):
            raise a.refuse(f"pads axis {axis} of length {length} by {max(ends)}, which is too much for mode {mode}")
    widths = [(0, 0), *zip(before, after)]
    shape = tuple(length + sum(ends) for length, *ends in zip(kind.shape, before, after))
    return Kind(kind.dtype, shape), lambda x: np.pad(x, widths, mode, **options)


def _cast_number(a: Attributes, dtype: str) -> Any:
    """The number that fills, in the dtype of the value."""
    value = _number(a, "value", 0.0)
    if dtype in INTEGERS:
        info = np.iinfo(DTYPES[dtype])
        if not info.min <= math.trunc(value) <= info.max:
            raise a.refuse(f"has the value {value}, which does not fit {dtype}")
        return math.trunc(value)
    with np.errstate(over="ignore"):
        return value != 0 if dtype == "bool" else DTYPES[dtype].type(value)


@op(1)
def cumsum(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Running sums along an axis."""
    dtype, axis = a.word("dtype", *FLOATS, default="f64"), _axis(a, kind) + 1
    _need(a, kind, (*FLOATS, "i64"))
    exclusive, backwards = a.flag("exclusive"), a.flag("reverse")

    def run(x: Array) -> Array:
        x = np.flip(x, axis) if backwards else x
        sums = np.add.accumulate(x, axis=axis) + x.dtype.type(0)
        if exclusive:
            moved = np.moveaxis(np.zeros_like(sums), axis, 0)
            moved[1:] = np.moveaxis(sums, axis, 0)[:-1]
            sums = np.moveaxis(moved, 0, axis)
        return np.flip(sums, axis) if backwards else sums

    return (kind, run) if kind.dtype == "i64" else (Kind(dtype, kind.shape), _computed(DTYPES[dtype], run))


# ==== Images ==========================================================================================================


# -- resize ------------------------------------------------------------------------------------------------------------

ROUNDING: dict[str, Run] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "half_down": lambda u: np.ceil(u - 0.5),
    "half_up": lambda u: np.floor(u + 0.5),
}


class Resizing(NamedTuple):
    """How every axis is read."""

    fn: str
    at: str
    round: str
    cubic: float

    def taps(self, n: int, m: int, factor: float) -> list[tuple[Array, Array | None]]:
        """(indices (m,), weights (m,) or none for 1) of what is added up, for an axis of length n that becomes m."""
        o = np.arange(m, dtype=np.float64)
        if self.at == "half_pixel":
            u = (o + 0.5) / factor - 0.5
        elif self.at == "align_corners":
            u = o * (n - 1) / (m - 1) if m > 1 else np.zeros(1)
        else:
            u = o / factor
        if self.fn == "nearest":
            return [(_inside(ROUNDING[self.round](u), n), None)]
        if self.fn == "linear":
            u = np.clip(u, 0, n - 1)
            g = np.floor(u)
            return [(_inside(g, n), 1 - (u - g)), (_inside(g + 1, n), u - g)]
        g = np.floor(u)
        return [(_inside(g + q, n), self._kernel(np.abs(u - g - q))) for q in (-1, 0, 1, 2)]

    def _kernel(self, z: Array) -> Array:
        a = self.cubic
        return np.where(
            z <= 1, ((a + 2) * z - (a + 3)) * z * z + 1, np.where(z < 2, ((a * z - 5 * a) * z + 8 * a) * z - 4 * a, 0.0)
        )


def _inside(index: Array, n: int) -> Array:
    return np.clip(index, 0, n - 1).astype(np.int64)


@op(1)
def resize(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Other lengths of some axes, by what lies nearest or between; axis by axis, each rounded to the dtype."""
    dtype, np_dtype = _float_value(a, kind)
    _need_rank(a, kind, 1)
    axes, shape = _different_axes(a, kind), list(kind.shape)
    if not axes:
        raise a.refuse("has no axes")
    if a.has("sizes") == a.has("scales"):
        raise a.refuse("must have either sizes or scales")
    if a.has("sizes"):
        sizes = _integers(a, "sizes", len(axes), 1)
        factors = [size / shape[axis] for axis, size in zip(axes, sizes)]
    else:
        factors = a.tensor("scales", ("f64",), len(axes)).tolist()
        if not all(0 < factor < math.inf for factor in factors):
            raise a.refuse("has a scale that is not positive and finite")
        lengths = [math.floor(min(shape[axis] * factor, 2.0**62)) for axis, factor in zip(axes, factors)]
        if min(lengths) < 1:
            raise a.refuse("makes an axis of length 0")
        sizes = lengths
    fn, at = a.word("fn", "nearest", "linear", "cubic"), a.word("at", "half_pixel", "align_corners", "asymmetric")
    for key, only in (("round", "nearest"), ("cubic", "cubic")):
        if a.has(key) and fn != only:
            raise a.refuse(f"has the attribute {key}, which goes with fn {only} only, not with {fn}")
    resizing = Resizing(fn, at, a.word("round", *ROUNDING, default="half_down"), _number(a, "cubic", -0.75))
    passes = []
    for axis, size, factor in zip(axes, sizes, factors):
        n, shape[axis] = shape[axis], size
        elements = math.prod(shape)
        if elements > a.limits.value_width:
            raise a.refuse(f"gives {elements} elements per row, more than the {a.limits.value_width} allowed")
        a.multiply(4 * elements)
        passes.append((axis + 1, (n, size, factor)))

    def run(x: Array) -> Array:
        x = x.astype(np_dtype, copy=False)
        for axis, lengths in passes:
            along, taps = (-1, *(1,) * (x.ndim - 1 - axis)), resizing.taps(*lengths)
            parts = [x.take(index, axis) if w is None else x.take(index, axis) * w.reshape(along) for index, w in taps]
            x = sum(parts[1:], parts[0]).astype(np_dtype, copy=False)
        return x

    return Kind(dtype, tuple(shape)), run


# -- windows -----------------------------------------------------------------------------------------------------------


class Axis(NamedTuple):
    """How a kernel of `taps` taps moves along an axis of length `n`."""

    n: int
    taps: int
    stride: int
    dilation: int
    before: int
    after: int
    out: int

    def reached(self, tap: int) -> tuple[slice, slice]:
        """(positions of the result for which a tap lies in the input, the elements of the input it then reads)."""
        offset = tap * self.dilation - self.before
        low = max(0, -(offset // self.stride))  # the first position with position * stride + offset >= 0
        high = min(self.out, (self.n - 1 - offset) // self.stride + 1)
        if low >= high:
            return slice(0, 0), slice(0, 0)
        first = low * self.stride + offset
        return slice(low, high), slice(first, first + (high - low - 1) * self.stride + 1, self.stride)


def _kernel_attributes(a: Attributes, k: int) -> tuple[list[int], list[int], list[int]]:
    """strides, dilations and pads."""
    steps, dilations = (_integers(a, key, k, 1, 1, _MOST_REACH) for key in ("strides", "dilations"))
    return steps, dilations, _integers(a, "pads", 2 * k, 0, 0, _MOST_REACH)


def _windows(a: Attributes, kind: Kind, size: Sequence[int], ceil: bool = False) -> list[Axis]:
    """The axes behind the channels, and how the windows of conv and pool move along them."""
    k = len(size)
    automatic = a.word("auto", "none", "same_upper", "same_lower", default="none")
    if automatic != "none" and a.has("pads"):
        raise a.refuse(f"has pads beside auto {automatic}")
    axes = []
    for i, (strides, dilations, pads) in enumerate([_kernel_attributes(a, k)] * k):
        n, taps, stride, dilation, before, after = kind.shape[i + 1], size[i], strides[i], dilations[i], pads[i], pads[k + i]
        reach = (taps - 1) * dilation + 1
        if automatic != "none":
            out = -(-n // stride)
            total = max((out - 1) * stride + reach - n, 0)
            before = total // 2 if automatic == "same_upper" else total - total // 2
            after = total - before
        else:
            room = n + before + after - reach
            out = (-(-room // stride) if ceil else room // stride) + 1
            if ceil and (out - 1) * stride >= n + before:
                out -= 1
        if out < 1:
            raise a.refuse(f"has a kernel that reaches over {reach} elements of an axis of {n + before + after}")
        axes.append(Axis(n, taps, stride, dilation, before, after, out))
    return axes


def _taps(axes: list[Axis]) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
    """For every tap of the kernel, in row-major order: its index, positions of the result, elements of the input."""
    for tap in product(*(range(axis.taps) for axis in axes)):
        places, elements = zip(*(axis.reached(t) for axis, t in zip(axes, tap)))
        if all(place.stop > place.start for place in places):
            yield tap, places, elements


def _read_groups(a: Attributes, channels: int, divided: int) -> int:
    groups = a.integer("groups", 1) if a.has("groups") else 1
    if channels % groups or divided % groups:
        raise a.refuse(f"has {groups} groups for {channels} and {divided} channels")
    return groups


def _any_kernel(a: Attributes, kind: Kind, dtype: str) -> Array:
    """The weight in f64, of as many axes as a row has and one more."""
    _need_rank(a, kind, 2, 4)
    return _wide(a, "weight", dtype, *(None,) * (len(kind.shape) + 1))


@op(1)
def conv(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Cross-correlation with a kernel per output channel."""
    dtype, np_dtype = _float_value(a, kind)
    weight, channels = _any_kernel(a, kind, dtype), kind.shape[0]
    outputs, each, *size = weight.shape
    if not weight.size:
        raise a.refuse("has a weight without elements")
    groups = _read_groups(a, channels, outputs)
    if each * groups != channels:
        raise a.refuse(
            f"has a weight for {each} channels per group; {channels} channels in {groups} groups have {channels // groups}"
        )
    bias = _wide_if(a, "bias", dtype, outputs)
    axes = _windows(a, kind, size)
    out = (outputs, *(axis.out for axis in axes))
    a.multiply(math.prod(out) * (weight.size // outputs))
    padded = channels * math.prod(axis.n + axis.before + axis.after for axis in axes)
    columns = channels * math.prod(size) * math.prod(out[1:])
    by_group = weight.reshape(groups, outputs // groups, -1)
    # In a padded input a weight that is not finite would meet zeros that are not there.
    whole = padded == kind.width or a.once("finite", lambda: bool(np.isfinite(weight).all()))
    convolve = _by_columns if whole and max(padded, columns) <= TOGETHER else _by_taps

    def run(x: Array) -> Array:
        total = np.empty((len(x), *out))
        block = max(1, TOGETHER // max(columns, padded))
        for begin in range(0, len(x), block):
            total[begin : begin + block] = convolve(x[begin : begin + block], axes, by_group, size).reshape(-1, *out)
        return total if bias is None else total + bias.reshape(-1, *(1,) * len(axes))

    return Kind(dtype, out), _computed(np_dtype, run)


def _by_columns(x: Array, axes: list[Axis], weight: Array, size: list[int]) -> Array:
    """conv as one product: every window becomes a column. Weight is (groups, o / groups, elements of a kernel)."""
    n, k, groups = len(x), len(axes), len(weight)
    if any(axis.before or axis.after for axis in axes):
        x = np.pad(x, [(0, 0), (0, 0), *((axis.before, axis.after) for axis in axes)])
    reach = tuple((axis.taps - 1) * axis.dilation + 1 for axis in axes)
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(2, k + 2)))
    at = tuple(slice(0, (axis.out - 1) * axis.stride + 1, axis.stride) for axis in axes)
    windows = windows[(slice(None), slice(None), *at, *(slice(None, None, axis.dilation) for axis in axes))]
    columns = windows.transpose(0, 1, *range(k + 2, 2 * k + 2), *range(2, k + 2))
    return weight @ columns.reshape(n, groups, weight.shape[2], math.prod(axis.out for axis in axes))


def _by_taps(x: Array, axes: list[Axis], weight: Array, size: list[int]) -> Array:
    """conv tap by tap, which takes no more memory than the result."""
    n, groups, o = len(x), len(weight), weight.shape[1]
    kernels = weight.reshape(groups, o, -1, *size)
    x = x.reshape(n, groups, -1, *x.shape[2:])
    total = np.zeros((n, groups, o, *(axis.out for axis in axes)))
    for tap, places, elements in _taps(axes):
        part = x[(..., *elements)]
        product_ = kernels[(..., *tap)] @ part.reshape(n, groups, part.shape[2], -1)
        total[(..., *places)] += product_.reshape(n, groups, o, *part.shape[3:])
    return total


@op(1)
def conv_transpose(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The transposed map of conv: every element of the input adds a kernel to the result."""
    dtype, np_dtype = _float_value(a, kind)
    weight, channels = _any_kernel(a, kind, dtype), kind.shape[0]
    inputs, each, *size = weight.shape
    if not weight.size:
        raise a.refuse("has a weight without elements")
    if inputs != channels:
        raise a.refuse(f"has a weight for {inputs} channels; it reads {channels}")
    groups = _read_groups(a, channels, channels)
    outputs = each * groups
    bias = _wide_if(a, "bias", dtype, outputs)
    k = len(size)
    strides, dilations, pads = _kernel_attributes(a, k)
    extra = _integers(a, "output_padding", k, 0, 0)
    axes = []
    for i, n in enumerate(kind.shape[1:]):
        if extra[i] >= max(strides[i], dilations[i]):
            raise a.refuse(f"has an output_padding of {extra[i]}; it must be below the stride or the dilation")
        length = strides[i] * (n - 1) + extra[i] + (size[i] - 1) * dilations[i] + 1 - pads[i] - pads[k + i]
        if length < 1:
            raise a.refuse(f"has pads that leave nothing of axis {i + 1}")
        axes.append(Axis(length, size[i], strides[i], dilations[i], pads[i], pads[k + i], n))  # conv from the result to the input
    out = (outputs, *(axis.n for axis in axes))
    a.multiply(kind.width * (weight.size // channels))
    kernels = weight.reshape(groups, channels // groups, each, *size).swapaxes(1, 2)

    def run(x: Array) -> Array:
        n = len(x)
        x = x.reshape(n, groups, -1, *kind.shape[1:])
        total = np.zeros((n, groups, each, *out[1:]))
        for tap, elements, places in _taps(axes):
            part = x[(..., *elements)]
            products = kernels[(..., *tap)] @ part.reshape(n, groups, part.shape[2], -1)
            total[(..., *places)] += products.reshape(n, groups, each, *part.shape[3:])
        total = total.reshape(n, *out)
        return total if bias is None else total + bias.reshape(-1, *(1,) * k)

    return Kind(dtype, out), _computed(np_dtype, run)


@op(1)
def pool(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The largest element, or the mean, of every window."""
    dtype, np_dtype = _float_value(a, kind)
    _need_rank(a, kind, 2, 4)
    fn, size = a.word("fn", "max", "mean"), _integers(a, "size", len(kind.shape) - 1, 1, None, _MOST_REACH)
    ceil = a.flag("ceil")
    if fn == "max" and a.has("count_pad"):
        raise a.refuse("has a count_pad, which goes with the mean only")
    count_pad = a.flag("count_pad")
    axes = _windows(a, kind, size, ceil)
    counts = np.ones(())
    for axis in axes:
        if max(axis.before, axis.after) >= (axis.taps - 1) * axis.dilation + 1:
            raise a.refuse(f"has pads of {max(axis.before, axis.after)}, beyond the reach of its kernel")
        inside = _count(axis, 0, axis.n)
        if not inside.all():
            raise a.refuse("has a window without an element of the input")
        counts = counts[..., None] * (_count(axis, -axis.before, axis.n + axis.after) if count_pad else inside)
    out = (kind.shape[0], *(axis.out for axis in axes))
    a.multiply(math.prod(out) * math.prod(size))

    def run(x: Array) -> Array:
        for i in reversed(range(len(axes))):
            x = _pool_axis(np.moveaxis(x, i + 2, -1), axes[i], fn)
            x = np.moveaxis(x, -1, i + 2)
        return x if fn == "max" else x / counts

    return Kind(dtype, out), _computed(np_dtype, run)


def _count(axis: Axis, low: int, high: int) -> Array:
    """The number of taps of every window that lie in low..high-1."""
    first = np.arange(axis.out) * axis.stride - axis.before
    begin = np.maximum(-((first - low) // axis.dilation), 0)
    end = np.minimum((high - 1 - first) // axis.dilation + 1, axis.taps)
    return np.maximum(end - begin, 0)


def _pool_axis(x: Array, axis: Axis, fn: str) -> Array:
    """The largest element, or the sum, of every window along the last axis: by taps or, when they are fewer, by windows."""
    total = np.full((*x.shape[:-1], axis.out), -np.inf if fn == "max" else 0.0)
    if axis.taps <= axis.out:
        add = np.maximum if fn == "max" else np.add
        for tap in range(axis.taps):
            places, elements = axis.reached(tap)
            add(total[..., places], x[..., elements], out=total[..., places])
        return total
    for place in range(axis.out):
        first = place * axis.stride - axis.before
        first += max(0, -(first // axis.dilation)) * axis.dilation
        end = place * axis.stride - axis.before + (axis.taps - 1) * axis.dilation + 1
        window = x[..., first : min(end, axis.n) : axis.dilation]
        total[..., place] = window.max(axis=-1) if fn == "max" else window.sum(axis=-1)
    return total


# ==== Norms ===========================================================================================================


@op(1)
def batch_norm(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """(x - mean) / sqrt(var + eps) * scale + bias, per channel."""
    dtype, np_dtype = _float_value(a, kind)
    _need_rank(a, kind, 1)
    channels = kind.shape[0]
    mean, var = (_wide(a, key, dtype, channels) for key in ("mean", "var"))
    scale, bias = (_wide_if(a, key, dtype, channels) for key in ("scale", "bias"))
    eps, along = _number(a, "eps"), (channels, *(1,) * (len(kind.shape) - 1))

    def run(x: Array) -> Array:
        y = (x - mean.reshape(along)) / np.sqrt(var + eps).reshape(along)
        return _scaled(y, scale, bias, along)

    return Kind(dtype, kind.shape), _computed(np_dtype, run)


def _scaled(y: Array, scale: Array | None, bias: Array | None, along: tuple[int, ...]) -> Array:
    y = y if scale is None else y * scale.reshape(along)
    return y if bias is None else y + bias.reshape(along)


def _normed(x: Array, axes: tuple[int, ...], eps: float, center: bool) -> Array:
    """(x - mean) / sqrt(mean of squares + eps) over the axes."""
    centred = x - x.mean(axis=axes, keepdims=True) if center else x
    return centred / np.sqrt(np.square(centred).mean(axis=axes, keepdims=True) + eps)


@op(1)
def layer_norm(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Normalised over the last axes."""
    dtype, np_dtype = _float_value(a, kind)
    _need_rank(a, kind, 1)
    count = a.integer("axes", 1, len(kind.shape)) if a.has("axes") else 1
    shape = kind.shape[-count:]
    scale, bias = (_wide_if(a, key, dtype, *shape) for key in ("scale", "bias"))
    eps, center, axes = _number(a, "eps"), a.flag("center", True), tuple(range(-count, 0))
    return Kind(dtype, kind.shape), _computed(np_dtype, lambda x: _scaled(_normed(x, axes, eps, center), scale, bias, shape))


@op(1)
def group_norm(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Normalised over groups of neighbouring channels; scale and bias per channel."""
    dtype, np_dtype = _float_value(a, kind)
    _need_rank(a, kind, 1)
    channels = kind.shape[0]
    groups = a.integer("groups", 1)
    if channels % groups:
        raise a.refuse(f"has {groups} groups for {channels} channels")
    scale, bias = (_wide_if(a, key, dtype, channels) for key in ("scale", "bias"))
    eps, along = _number(a, "eps"), (channels, *(1,) * (len(kind.shape) - 1))

    def run(x: Array) -> Array:
        y = _normed(x.reshape(len(x), groups, kind.width // groups), (2,), eps, True)
        return _scaled(y.reshape(x.shape), scale, bias, along)

    return Kind(dtype, kind.shape), _computed(np_dtype, run)


# -- activations -------------------------------------------------------------------------------------------------------

sigmoid, softplus = UNARY_CLOSE["sigmoid"], UNARY_CLOSE["softplus"]


class Activation(NamedTuple):
    run: Callable[[Array, float, float], Array]
    alpha: float | None = None  # the default; none: the function takes no alpha
    beta: float | None = None


ACTIVATIONS: dict[str, Activation] = {
    "elu": Activation(lambda x, alpha, _: np.where(x > 0, x, alpha * np.expm1(x)), 1.0),
    "celu": Activation(lambda x, alpha, _: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha)), 1.0),
    "selu": Activation(lambda x, *_: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
    "leaky_relu": Activation(lambda x, alpha, _: np.where(x >= 0, x, alpha * x), 0.01),
    "gelu": Activation(lambda x, *_: x / 2 * (1 + erf(x / math.sqrt(2)))),
    "gelu_tanh": Activation(lambda x, *_: x / 2 * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))))),
    "quick_gelu": Activation(lambda x, alpha, _: x * sigmoid(alpha * x), 1.702),
    "silu": Activation(lambda x, *_: x * sigmoid(x)),
    "hard_sigmoid": Activation(lambda x, alpha, beta: np.minimum(1, np.maximum(0, alpha * x + beta)), 1 / 6, 0.5),
    "hard_swish": Activation(lambda x, *_: x * np.minimum(1, np.maximum(0, x / 6 + 0.5))),
    "softsign": Activation(lambda x, *_: x / (1 + np.abs(x))),
    "mish": Activation(lambda x, *_: x * np.tanh(softplus(x))),
    "tanh_shrink": Activation(lambda x, *_: x - np.tanh(x)),
    "hard_shrink": Activation(lambda x, alpha, _: np.where(np.abs(x) > alpha, x, 0.0), 0.5),
    "soft_shrink": Activation(lambda x, alpha, _: np.where(x > alpha, x - alpha, np.where(x < -alpha, x + alpha, 0.0)), 0.5),
    "threshold": Activation(lambda x, alpha, beta: np.where(x > alpha, x, beta), 0.0, 0.0),
    "squareplus": Activation(lambda x, alpha, _: (x + np.sqrt(x * x + alpha)) / 2, 4.0),
}


@op(1)
def activation(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """A function of one element, perhaps with parameters."""
    dtype, np_dtype = _float_value(a, kind)
    fn = a.word("fn", *ACTIVATIONS)
    function = ACTIVATIONS[fn]
    a.look(kind.width)
    alpha = 0.0 if function.alpha is None else _number(a, "alpha", function.alpha)
    beta = 0.0 if function.beta is None else _number(a, "beta", function.beta)
    if fn == "celu" and alpha == 0:
        raise a.refuse("has an alpha of 0, by which celu divides")
    return Kind(dtype, kind.shape), _computed(np_dtype, lambda x: np.where(np.isnan(x), x, function.run(x, alpha, beta)))


@op(1)
def prelu(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """x, or slope * x below 0."""
    dtype, np_dtype = _float_value(a, kind)
    slope = a.any_tensor("slope", (dtype,), range(len(kind.shape) + 1))[1].astype(np.float64)
    if broadcast(a, kind.shape, slope.shape) != kind.shape:
        raise a.refuse(f"has a slope of shape {list(slope.shape)} for rows of shape {list(kind.shape)}")
    return Kind(dtype, kind.shape), _computed(np_dtype, lambda x: np.where(x >= 0, x, slope * x))


# ==== Sequences =======================================================================================================

GATES: dict[str, Run] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": UNARY_EXACT["relu"],
    "linear": lambda x: x,
    "softplus": softplus,
    **{
        fn: partial(lambda function, x: function.run(x, function.alpha, function.beta), ACTIVATIONS[fn])
        for fn in ("hard_sigmoid", "softsign", "silu", "elu", "selu", "gelu")
    },
}
Advance = Callable[[Array, "list[Array]"], "list[Array]"]  # a row's part of z, and its states -> its next states


class Recurrence:
    """What lstm, gru and rnn share: their parameters, their optional inputs, and the walk along the sequence."""

    def __init__(self, a: Attributes, gates: int, states: int, kinds: Sequence[Kind]) -> None:
        self.dtype, self.np_dtype = _float_value(a, kinds[0])
        _need_rank(a, kinds[0], 2, 2)
        self.length, features = kinds[0].shape
        recurrent = a.tensor("recurrent", (self.dtype,), None, None)
        self.units = recurrent.shape[1]
        if not self.units or len(recurrent) != gates * self.units:
            raise a.refuse(f"has a recurrent of shape {list(recurrent.shape)}; it must have {gates} rows per column")
        self.recurrent = a.once("recurrent, wide", lambda: np.ascontiguousarray(recurrent.T, dtype=np.float64))  # [u, g u]
        weight = a.tensor("weight", (self.dtype,), gates * self.units, features)
        self.weight = a.once("weight, wide", lambda: np.ascontiguousarray(weight.T, dtype=np.float64))  # [i, g u]
        self.bias = _wide_if(a, "bias", self.dtype, gates * self.units)
        self.fn = GATES[a.word("fn", *GATES, default="tanh")]
        self._reverse, self._zero_masked = a.flag("reverse"), a.flag("zero_masked")
        results = ("sequence", "last", "cell")[: states + 1]
        self._result = a.word("result", *results, default="sequence")
        self._states = states
        self._masked = self._check_others(a, kinds[1:])
        a.multiply(self.length * (weight.size + recurrent.size + 48 * len(weight)))

    def _check_others(self, a: Attributes, kinds: Sequence[Kind]) -> bool:
        """Checks the states to begin with, and whether a mask comes last."""
        masked = bool(kinds) and kinds[-1].dtype == "bool"
        if self._zero_masked and not masked:
            raise a.refuse("has zero_masked, but reads no mask")
        states = kinds[: len(kinds) - masked]
        if len(states) not in (0, self._states):
            raise a.refuse(f"reads {len(states)} states to begin with; it takes {self._states} or none")
        for kind in states:
            if kind.dtype not in FLOATS or kind.shape != (self.units,):
                raise a.refuse(f"begins with a {kind.dtype} state of shape {list(kind.shape)}; it must be a float [{self.units}]")
        if masked and kinds[-1].shape != (self.length,):
            raise a.refuse(f"reads a mask of shape {list(kinds[-1].shape)} for a sequence of {self.length}")
        return masked

    @property
    def kind(self) -> Kind:
        return Kind(self.dtype, (self.length, self.units) if self._result == "sequence" else (self.units,))

    def run(self, advance: Advance) -> Run:
        """The run of the op, given what happens at a time."""

        def walk(x: Array, *others: Array) -> Array:
            mask = others[-1] if self._masked else None
            states = list(others[: len(others) - self._masked]) or [np.zeros((len(x), self.units))] * self._states
            sequence = np.empty((len(x), self.length, self.units))
            z = x @ self.weight
            z = z if self.bias is None else z + self.bias
            for t in reversed(range(self.length)) if self._reverse else range(self.length):
                following = [self._rounded(state) for state in advance(z[:, t], states)]
                if mask is not None:
                    going = mask[:, t, None]
                    following = [np.where(going, new, old) for new, old in zip(following, states)]
                states = following
                sequence[:, t] = states[0]
                if mask is not None and self._zero_masked:
                    sequence[:, t] = np.where(going, states[0], 0.0)
            return sequence if self._result == "sequence" else states[0 if self._result == "last" else 1]

        return _computed(self.np_dtype, walk)

    def _rounded(self, state: Array) -> Array:
        return state.astype(self.np_dtype, copy=False).astype(np.float64, copy=False)

    def gate(self, a: Attributes) -> Run:
        return GATES[a.word("gate_fn", *GATES, default="sigmoid")]


@op(1, 4)
def lstm(a: Attributes, *kinds: Kind) -> tuple[Kind, Run]:
    """Long short-term memory; gates in the order input, forget, cell, output."""
    r = Recurrence(a, 4, 2, kinds)
    u, gate = r.units, r.gate(a)

    def advance(z: Array, states: list[Array]) -> list[Array]:
        h, c = states
        z = z + h @ r.recurrent
        c = gate(z[:, u : 2 * u]) * c + gate(z[:, :u]) * r.fn(z[:, 2 * u : 3 * u])
        return [gate(z[:, 3 * u :]) * r.fn(c), c]

    return r.kind, r.run(advance)


@op(1, 3)
def gru(a: Attributes, *kinds: Kind) -> tuple[Kind, Run]:
    """Gated recurrent unit; gates in the order update, reset, new."""
    r = Recurrence(a, 3, 1, kinds)
    u, gate, after = r.units, r.gate(a), a.flag("reset_after")
    bias = _wide(a, "recurrent_bias", r.dtype, 3 * u) if a.has("recurrent_bias") else np.zeros(3 * u)
    two, third = np.ascontiguousarray(r.recurrent[:, : 2 * u]), np.ascontiguousarray(r.recurrent[:, 2 * u :])

    def advance(z: Array, states: list[Array]) -> list[Array]:
        (h,) = states
        gates = gate(z[:, : 2 * u] + h @ two + bias[: 2 * u])
        update, reset = gates[:, :u], gates[:, u:]
        old = reset * (h @ third + bias[2 * u :]) if after else (reset * h) @ third + bias[2 * u :]
        return [(1 - update) * r.fn(z[:, 2 * u :] + old) + update * h]

    return r.kind, r.run(advance)


@op(1, 3)
def rnn(a: Attributes, *kinds: Kind) -> tuple[Kind, Run]:
    """The simple recurrence h = fn(weight x + bias + recurrent h)."""
    r = Recurrence(a, 1, 1, kinds)
    return r.kind, r.run(lambda z, states: [r.fn(z + states[0] @ r.recurrent)])


# ==== Attention =======================================================================================================


@op(2)
def matmul(a: Attributes, left: Kind, right: Kind) -> tuple[Kind, Run]:
    """Products of matrices; the axes before them broadcast."""
    dtype, np_dtype = _float_value(a, left, right)
    for kind in (left, right):
        _need_rank(a, kind, 2)
    if left.shape[-1] != right.shape[-2]:
        raise a.refuse(f"multiplies rows of shapes {list(left.shape)} and {list(right.shape)}, which do not fit")
    shape = (*broadcast(a, left.shape[:-2], right.shape[:-2]), left.shape[-2], right.shape[-1])
    a.multiply(math.prod(shape) * left.shape[-1])
    return Kind(dtype, shape), _computed(np_dtype, lambda x, y: spread(x, len(shape)) @ spread(y, len(shape)))


@op(3, 4)
def attention(a: Attributes, q: Kind, k: Kind, v: Kind, bias: Kind | None = None) -> tuple[Kind, Run]:
    """softmax(scale q k' + bias) v."""
    kinds = (q, k, v) if bias is None else (q, k, v, bias)
    dtype, np_dtype = _float_value(a, *kinds)
    for kind in (q, k, v):
        _need_rank(a, kind, 2)
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise a.refuse(f"reads q, k, v of row shapes {[list(kind.shape) for kind in (q, k, v)]}, which do not fit")
    (m, d), (n, e) = q.shape[-2:], v.shape[-2:]
    scale, causal = _number(a, "scale", 1.0 / math.sqrt(d)), a.flag("causal")
    before = broadcast(a, q.shape[:-2], k.shape[:-2], v.shape[:-2])
    if bias is not None and broadcast(a, (*before, m, n), bias.shape) != (*before, m, n):
        raise a.refuse(f"reads a bias of row shape {list(bias.shape)}, which does not broadcast to {[*before, m, n]}")
    a.multiply(math.prod(before) * m * n * (d + e + 16))
    rank = len(before) + 2

    def run(*values: Array) -> Array:
        x, keys, vectors, *offset = (spread(value, rank) for value in values)
        keys = keys.swapaxes(-1, -2)
        step = max(1, TOGETHER // max(1, len(x) * math.prod(before) * n))
        if causal and not np.isfinite(vectors).all():
            step = 1  # a weight of 0 would not hide what does not count
        result = np.empty((len(x), *before, m, e))
        for i in range(0, m, step):
            seen = min(n, i + step) if causal else n
            s = scale * (x[..., i : i + step, :] @ keys[..., :seen])
            if offset:
                part = offset[0] if offset[0].shape[-2] == 1 else offset[0][..., i : i + step, :]
                s = s + (part if part.shape[-1] == 1 else part[..., :seen])
            if causal:
                s = np.where(np.arange(seen) > np.arange(i, min(i + step, m))[:, None], -np.inf, s)
            w = np.exp(s - s.max(axis=-1, keepdims=True))
            result[..., i : i + step, :] = (w / w.sum(axis=-1, keepdims=True)) @ vectors[..., :seen, :]
        return result

    return Kind(dtype, (*before, m, e)), _computed(np_dtype, run)
