"""Windows that slide over the axes behind the channels: where they lie, and what they see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from modelport.graph import DTYPES
from modelport.ops.base import Attributes

from .builder import Builder, Number, Value
from .lengths import Length, largest, length, vector

__all__ = ["Window", "bordered"]

Array = np.ndarray[Any, np.dtype[Any]]
END = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Window:
    """Sizes, strides and dilations of a window per axis behind the channels."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]

    @classmethod
    def of(cls, a: Attributes, size: Sequence[int]) -> Window:
        """As the attributes of conv, conv_transpose and pool say."""
        ones = (1,) * len(size)
        strides, dilations = (tuple(int(k) for k in a[name]) if name in a else ones for name in ("strides", "dilations"))
        return cls(tuple(int(k) for k in size), strides, dilations)

    @property
    def reach(self) -> tuple[int, ...]:
        """How many elements a window spans."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.size, self.dilations, strict=True))

    def pads(self, a: Attributes) -> tuple[list[int], list[int]]:
        """The padding that the attributes state, before and after every axis."""
        stated = [int(k) for k in a["pads"]] if "pads" in a else [0] * 2 * len(self.size)
        return stated[: len(self.size)], stated[len(self.size) :]

    def borders(self, a: Attributes, x: Value, ceil: bool = False) -> tuple[list[Length], list[Length]]:
        """The padding of [c, s1..sk], so wide that the last window of `ceil` fits in as well."""
        automatic = a.get("auto", "none")
        befores, afters = self.pads(a)
        before, after = list[Length](befores), list[Length](afters)
        for axis, (reach, stride) in enumerate(zip(self.reach, self.strides, strict=True)):
            if automatic != "none":
                before[axis], after[axis] = _same(length(x, axis + 1), reach, stride, automatic == "same_upper")
            elif ceil:
                after[axis] = _whole(length(x, axis + 1), befores[axis], afters[axis], reach, stride)
        return before, after

    def taps(self, padded: Value) -> Iterator[Value]:
        """For every element of the window, what it sees at all positions: the strided parts of padded rows [N, c, s1..sk]."""
        b, axes = padded.builder, np.arange(2, 2 + len(self.size))
        for tap in product(*(range(k) for k in self.size)):
            starts = [t * d for t, d in zip(tap, self.dilations, strict=True)]
            behind = [(k - 1 - t) * d for k, t, d in zip(self.size, tap, self.dilations, strict=True)]
            stops = [-k if k else END for k in behind]
            yield b.op("Slice", padded, np.array(starts), np.array(stops), axes, np.array(self.strides))


def _same(n: Length, reach: int, stride: int, upper: bool) -> tuple[Length, Length]:
    """The padding with which there are ceil(n / stride) windows."""
    if isinstance(n, int):
        total = max((-(-n // stride) - 1) * stride + reach - n, 0)
        small = total // 2
        return (small, total - small) if upper else (total - small, small)
    b = n.builder
    whole = largest(b, ((n + (stride - 1)) / stride - 1) * stride + reach - n, 0)
    assert isinstance(whole, Value)
    half = whole / 2
    return (half, whole - half) if upper else (whole - half, half)


def _whole(n: Length, before: int, after: int, reach: int, stride: int) -> Length:
    """The padding behind an axis with which its last window is whole, if it begins inside the axis or before it."""
    if isinstance(n, int):
        count = -(-(n + before + after - reach) // stride) + 1
        count -= (count - 1) * stride >= n + before
        return max(after, (count - 1) * stride + reach - n - before)
    count_ = (n + (before + after - reach + stride - 1)) / stride + 1
    count_ = count_ - ((count_ - 1) * stride >= n + before).cast("i64")
    return largest(n.builder, (count_ - 1) * stride + (reach - before) - n, after)


def bordered(x: Value, before: Sequence[Length], after: Sequence[Length], number: Number = 0.0) -> Value:
    """Rows [c, s1..sk] with that many numbers around them."""
    b: Builder = x.builder
    sizes = [*before, *after]
    if all(isinstance(k, int) and k == 0 for k in sizes):
        return x
    axes = np.arange(2, 2 + len(before))
    return b.op("Pad", x, vector(b, sizes), b.constant(np.array(number, dtype=DTYPES[x.dtype])), axes)
