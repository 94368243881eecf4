"""Sums in NumPy's own order: a sum along rows of eight and more numbers goes in eight strands."""

from __future__ import annotations

import numpy as np

from ..builder import Builder

#: From here on NumPy halves the row first; up to here it runs eight strands.
BLOCK = 128


def row_sum(builder: Builder, value: str, hint: str) -> str:
    """[1]: the sum of a row [k], bit for bit as NumPy's sum along the last axis of an array in C order."""
    width = builder.width(value)
    if width < 8:
        return builder.add("reduce", value, hint=hint, fn="sum", keep=True)
    return _part(builder, value, 0, width, hint)


def _part(builder: Builder, value: str, begin: int, end: int, hint: str) -> str:
    count = end - begin
    if count < 8:
        part = _columns(builder, value, list(range(begin, end)))
        return builder.add("reduce", part, hint=hint, fn="sum", keep=True)
    if count > BLOCK:
        middle = begin + count // 2 - count // 2 % 8
        halves = _part(builder, value, begin, middle, hint), _part(builder, value, middle, end, hint)
        return builder.add("binary", *halves, hint=hint, fn="add")
    whole = begin + count // 8 * 8
    strands = _columns(builder, value, list(range(begin, begin + 8)))
    for at in range(begin + 8, whole, 8):
        strands = _plus(builder, strands, _columns(builder, value, list(range(at, at + 8))))
    for size in (8, 4, 2):
        left, right = _columns(builder, strands, list(range(0, size, 2))), _columns(builder, strands, list(range(1, size, 2)))
        strands = _plus(builder, left, right)
    for at in range(whole, end):
        strands = _plus(builder, strands, _columns(builder, value, [at]))
    return strands


def _columns(builder: Builder, value: str, index: list[int]) -> str:
    return builder.add("select", value, hint="strand", index=np.array(index, dtype=np.int64))


def _plus(builder: Builder, left: str, right: str) -> str:
    return builder.add("binary", left, right, hint="partial_sum", fn="add")
