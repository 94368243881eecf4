"""Ops of profile `nn` that move elements between axes, repeat, cut and pick them: all bit-exact."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import DTYPES, INTEGERS, LIMITS, ValueType
from .base import (
    Array,
    Attribute,
    Attributes,
    finite,
    lengths,
    refuse_index,
    register,
    require,
    round_to,
)

INTS = Attribute("int")
NEEDED_INTS = Attribute("int", required=True)
AXIS = Attribute("integer", required=True)


def _rank(x: ValueType) -> int:
    """The rank of a value that has no axis of length 0."""
    lengths(x)
    return len(x.shape)


def _axis(a: Attributes, x: ValueType) -> int:
    """The attribute `axis`, inside the rank of a value."""
    rank = _rank(x)
    require(a["axis"] < rank, f"attribute 'axis' is {a['axis']}, but it is given {x}.")
    return int(a["axis"])


def check_axes(a: Attributes, x: ValueType) -> list[int]:
    """The attribute `axes`: different axes of a value."""
    axes: list[int] = a["axes"].tolist()
    fits = len(set(axes)) == len(axes) and all(0 <= axis < len(x.shape) for axis in axes)
    require(fits, f"attribute 'axes' is {axes}; they are different axes of {x}.")
    return axes


def _ranked(shape: tuple[int, ...]) -> tuple[int, ...]:
    require(len(shape) <= LIMITS.rank, f"its result has rank {len(shape)}, more than the limit of {LIMITS.rank}.")
    return shape


# --- reshape, transpose, expand -----------------------------------------------------------------------------------------------


def _lengths(a: Attributes, source: ValueType | None) -> list[int]:
    """`shape`, with the lengths that `copy` takes from the axes of a value."""
    shape: list[int] = a["shape"].tolist()
    copy: list[int] = a["copy"].tolist() if "copy" in a else [-1] * len(shape)
    require(len(copy) == len(shape), f"attribute 'copy' has {len(copy)} elements for {len(shape)} axes.")
    for i, axis in enumerate(copy):
        if axis == -1:
            continue
        require(source is not None, "attribute 'copy' needs a second value, whose lengths it copies.")
        assert source is not None
        require(0 <= axis < len(source.shape), f"attribute 'copy' holds {axis}, which is neither -1 nor an axis of {source}.")
        require(shape[i] == 0, f"attribute 'shape' is {shape}; an axis that is copied is 0 in it.")
        shape[i] = source.shape[axis]
    return shape


def reshaped(a: Attributes, x: ValueType) -> tuple[int, ...]:
    """The row shape that `reshape` gives."""
    _rank(x)
    shape = _lengths(a, x)
    left = shape.count(-1)
    require(left <= 1, "attribute 'shape' holds -1 more than once.")
    require(all(n >= 1 or n == -1 for n in shape), f"attribute 'shape' is {a['shape'].tolist()}; its lengths are at least 1.")
    known = math.prod(n for n in shape if n != -1)
    fits = x.width % known == 0 if left else x.width == known
    require(fits, f"{x} has {x.width} elements, which do not fit the lengths {shape}.")
    return _ranked(tuple(x.width // known if n == -1 else n for n in shape))


def infer_reshape(a: Attributes, x: ValueType) -> ValueType:
    return ValueType(x.dtype, reshaped(a, x))


def reshape(a: Attributes, x: Array) -> Array:
    """The same elements in row-major order."""
    return np.reshape(x, (len(x), *reshaped(a, ValueType("", x.shape[1:]))))


def infer_transpose(a: Attributes, x: ValueType) -> ValueType:
    perm = a["perm"].tolist()
    require(sorted(perm) == list(range(_rank(x))), f"attribute 'perm' is {perm}, which does not name every axis of {x} once.")
    return ValueType(x.dtype, tuple(x.shape[axis] for axis in perm))


def transpose(a: Attributes, x: Array) -> Array:
    """Axes in another order."""
    return np.transpose(x, (0, *(a["perm"] + 1).tolist()))


def expanded(a: Attributes, x: ValueType, like: ValueType | None) -> tuple[int, ...]:
    """The row shape that `expand` gives."""
    _rank(x)
    shape = tuple(_lengths(a, like))
    require(all(n >= 1 for n in shape), f"attribute 'shape' is {a['shape'].tolist()}; its lengths are at least 1.")
    rank = len(x.shape)
    fits = rank <= len(shape) and all(n in (1, m) for n, m in zip(x.shape, shape[len(shape) - rank :], strict=True))
    require(fits, f"{x} does not broadcast to the lengths {list(shape)}.")
    return _ranked(shape)


def infer_expand(a: Attributes, x: ValueType, like: ValueType | None = None) -> ValueType:
    return ValueType(x.dtype, expanded(a, x, like))


def expand(a: Attributes, x: Array, like: Array | None = None) -> Array:
    """Axes of length 1 repeated to the lengths."""
    shape = expanded(a, ValueType("", x.shape[1:]), None if like is None else ValueType("", like.shape[1:]))
    return np.broadcast_to(x.reshape(len(x), *[1] * (len(shape) + 1 - x.ndim), *x.shape[1:]), (len(x), *shape))


register("reshape", infer_reshape, reshape, since="1.1", shape=NEEDED_INTS, copy=INTS)
register("transpose", infer_transpose, transpose, since="1.1", perm=NEEDED_INTS)
register("expand", infer_expand, expand, since="1.1", inputs=(1, 2), shape=NEEDED_INTS, copy=INTS)


# --- slice, pad ---------------------------------------------------------------------------------------------------------------


def spans(a: Attributes, x: ValueType) -> dict[int, range]:
    """Axis -> the indices that `slice` takes of it."""
    require(_rank(x) >= 1, f"it reads values of rank 1 or more, but is given {x}.")
    axes = check_axes(a, x)
    for name in ("starts", "stops", "steps"):
        require(name not in a or a[name].size == len(axes), f"attribute {name!r} is not of the length of 'axes'.")
    steps = a["steps"].tolist() if "steps" in a else [1] * len(axes)
    require(0 not in steps, "attribute 'steps' holds 0.")
    found = {}
    for axis, start, stop, step in zip(axes, a["starts"].tolist(), a["stops"].tolist(), steps, strict=True):
        n = x.shape[axis]
        low, high = (0, n) if step > 0 else (-1, n - 1)
        start, stop = (min(max(k + n if k < 0 else k, low), high) for k in (start, stop))
        found[axis] = range(start, stop, step)
        require(len(found[axis]) >= 1, f"no index of axis {axis} of {x} is left.")
    return found


def infer_slice(a: Attributes, x: ValueType) -> ValueType:
    found = spans(a, x)
    return ValueType(x.dtype, tuple(len(found[axis]) if axis in found else n for axis, n in enumerate(x.shape)))


def cut(a: Attributes, x: Array) -> Array:
    """Every so many elements of axes, from a start to a stop."""
    index: list[Any] = [slice(None)] * x.ndim
    for axis, span in spans(a, ValueType("", x.shape[1:])).items():
        stop = span.stop if span.stop >= 0 else None
        index[axis + 1] = slice(span.start, stop, span.step)
    return np.asarray(x[tuple(index)])


def infer_pad(a: Attributes, x: ValueType) -> ValueType:
    rank, mode = _rank(x), a["mode"]
    require(x.dtype != "str", f"it pads numbers, but is given {x}.")
    for name in ("before", "after"):
        require(a[name].size == rank, f"attribute {name!r} has {a[name].size} elements for the {rank} axes of {x}.")
        require(not (a[name] < 0).any(), f"attribute {name!r} holds a negative number.")
        for axis, (n, k) in enumerate(zip(x.shape, a[name].tolist(), strict=True)):
            most = {"reflect": n - 1, "wrap": n}.get(mode, k)
            require(k <= most, f"attribute {name!r} asks for {k} elements at axis {axis} of {x}; {mode} has {most}.")
    require(mode == "constant" or "value" not in a, f"attribute 'value' goes with mode 'constant', not with {mode!r}.")
    finite(a, "value")
    fill(x.dtype, a.get("value", 0.0))
    shape = zip(x.shape, a["before"].tolist(), a["after"].tolist(), strict=True)
    return ValueType(x.dtype, tuple(n + before + after for n, before, after in shape))


def fill(dtype: str, value: float) -> Any:
    """A number cast to a dtype, as `cast` does it."""
    if dtype in INTEGERS:
        bounds, whole = np.iinfo(DTYPES[dtype]), math.trunc(value)
        require(bounds.min <= whole <= bounds.max, f"attribute 'value' is {value}, which does not fit {dtype}.")
        return DTYPES[dtype].type(whole)
    with np.errstate(over="ignore"):
        return np.asarray(value).astype(DTYPES[dtype])[()]


def pad(a: Attributes, x: Array) -> Array:
    """Elements put before and behind axes."""
    widths = [(0, 0), *zip(a["before"].tolist(), a["after"].tolist(), strict=True)]
    if a["mode"] == "constant":
        dtype = next(name for name, known in DTYPES.items() if known == x.dtype)
        return np.pad(x, widths, constant_values=fill(dtype, a.get("value", 0.0)))
    return np.pad(x, widths, mode=a["mode"])


register("slice", infer_slice, cut, since="1.1", axes=NEEDED_INTS, starts=NEEDED_INTS, stops=NEEDED_INTS, steps=INTS)
register(
    "pad",
    infer_pad,
    pad,
    since="1.1",
    before=NEEDED_INTS,
    after=NEEDED_INTS,
    mode=Attribute("choice", default="constant", options=("constant", "reflect", "edge", "wrap")),
    value=Attribute("number"),
)


# --- positions, gather, embedding ---------------------------------------------------------------------------------------------


def infer_positions(a: Attributes, x: ValueType) -> ValueType:
    return ValueType("i64", (x.shape[_axis(a, x)],))


def positions(a: Attributes, x: Array) -> Array:
    """0, 1, 2, .. along an axis."""
    n = x.shape[a["axis"] + 1]
    return np.broadcast_to(np.arange(n, dtype=np.int64), (len(x), n))


def infer_gather(a: Attributes, x: ValueType, index: ValueType) -> ValueType:
    axis = _axis(a, x)
    _integers(index)
    return ValueType(x.dtype, _ranked((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])))


def _integers(index: ValueType) -> None:
    lengths(index)
    require(index.dtype in INTEGERS, f"its indices are integers, but are given as {index}.")


def gather(a: Attributes, x: Array, index: Array) -> Array:
    """Elements of an axis by index; below 0 from the end."""
    axis = a["axis"] + 1
    count, rank = x.shape[axis], index.ndim - 1
    places = index.astype(np.int64)
    places = np.where(places < 0, places + count, places)
    refuse_index(places, count, f"the axis {axis - 1}")
    rows = np.arange(len(x)).reshape(len(x), *[1] * rank)
    found = np.moveaxis(x, axis, 1)[rows, places]  # [n, *index, *axes before, *axes behind]
    moved = [*range(rank + 1, rank + axis), *range(1, rank + 1), *range(rank + axis, found.ndim)]
    return np.transpose(found, (0, *moved))


def infer_embedding(a: Attributes, index: ValueType) -> ValueType:
    _integers(index)
    require(0 not in a["weight"].shape, "attribute 'weight' is empty.")
    return ValueType(a["dtype"], _ranked((*index.shape, a["weight"].shape[1])))


def embedding(a: Attributes, index: Array) -> Array:
    """Rows of the weight by index."""
    weight, places = a["weight"], index.astype(np.int64)
    refuse_index(places, len(weight), "the weight")
    return round_to(a, weight[places])


register("positions", infer_positions, positions, since="1.1", axis=AXIS)
register("gather", infer_gather, gather, since="1.1", inputs=(2, 2), axis=AXIS)
register(
    "embedding", infer_embedding, embedding, since="1.1", floating=True, weight=Attribute("float", required=True, ranks=(2,))
)
