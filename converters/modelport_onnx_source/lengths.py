"""Integers that depend on named lengths: what becomes of `Shape` in a model whose inputs vary in length.

A `Length` is a polynomial in named lengths and in parts such as `floor(time / 2)`; a number without any name is a plain int, so
that equal lengths are equal objects. What hangs on the lengths in a way that cannot be told for all of them is refused.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from modelport.errors import UnsupportedModel

__all__ = ["Dim", "Length", "Part", "Row", "at", "largest", "least", "named", "parts_of", "product", "quotient", "same"]


@dataclass(frozen=True)
class Part:
    """One of `floordiv`, `mod`, `min`, `max` of two integers that depend on lengths."""

    kind: str
    first: Dim
    second: Dim

    def __str__(self) -> str:
        return f"{self.kind}({self.first}, {self.second})"


class Length:
    """A sum of products of names and parts, each with a whole factor.

    >>> time = named("time")
    >>> str(2 * time + 3 - time), (time + 1) - time, at(time * 4 - 2, {"time": 5})
    ('3 + time', 1, 18)
    """

    __slots__ = ("terms",)
    terms: frozenset[tuple[tuple[Any, ...], int]]

    def __init__(self, terms: Mapping[tuple[Any, ...], int]) -> None:
        self.terms = frozenset(terms.items())

    def __eq__(self, other: object) -> bool:
        """Whether two lengths are equal for all lengths; refused where they are for some only."""
        if not isinstance(other, (int, Length)):
            return False
        return same(self, other) or (not _apart(self, other) and _undecided(f"{self} = {other}"))

    def __hash__(self) -> int:
        return hash(self.terms)

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, (int, Length)):
            return NotImplemented
        return _collected(itertools.chain(_terms(self), _terms(other)))

    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, (int, Length)):
            return NotImplemented
        pairs = itertools.product(_terms(self), _terms(other))
        return _collected((tuple(sorted(a + b, key=str)), m * n) for (a, m), (b, n) in pairs)

    def __neg__(self) -> Any:
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return self + other * -1 if isinstance(other, (int, Length)) else NotImplemented

    def __rsub__(self, other: Any) -> Any:
        return self * -1 + other

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other: Any) -> Any:
        return _divided(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _divided(other, self)

    def __mod__(self, other: Any) -> Any:
        exact = quotient(self, other)
        return 0 if exact is not None else _of(Part("mod", self, other))

    def __lt__(self, other: Any) -> bool:
        return _less(self, other)

    def __gt__(self, other: Any) -> bool:
        return _less(other, self)

    def __le__(self, other: Any) -> bool:
        return not _less(other, self)

    def __ge__(self, other: Any) -> bool:
        return not _less(self, other)

    def __bool__(self) -> bool:
        return self != 0

    def __str__(self) -> str:
        shown = []
        for names, factor in sorted(self.terms, key=lambda term: (len(term[0]), str(term[0]))):
            factors = ([str(factor)] if factor != 1 or not names else []) + [str(n) for n in names]
            shown.append(" * ".join(factors))
        return " + ".join(shown)

    __repr__ = __str__


Dim: TypeAlias = "int | Length"
Row: TypeAlias = "tuple[Dim, ...]"


def named(name: str) -> Length:
    """The length called `name`."""
    return Length({(name,): 1})


def _of(part: Part) -> Length:
    return Length({(part,): 1})


def _terms(value: Dim) -> list[tuple[tuple[Any, ...], int]]:
    if isinstance(value, Length):
        return list(value.terms)
    return [((), int(value))] if value else []


def _collected(terms: Any) -> Dim:
    found: dict[tuple[Any, ...], int] = {}
    for names, factor in terms:
        found[names] = found.get(names, 0) + factor
    kept = {names: factor for names, factor in found.items() if factor}
    if not kept:
        return 0
    return kept[()] if set(kept) == {()} else Length(kept)


def quotient(value: Dim, by: Dim) -> Dim | None:
    """value / by where that is whole for all lengths and simple to tell, else None."""
    if isinstance(value, int) and isinstance(by, int):
        return value // by if by and value % by == 0 else None
    if same(value, by):
        return 1
    divisor = _terms(by)
    if len(divisor) != 1:
        return None
    names, factor = divisor[0]
    result: dict[tuple[Any, ...], int] = {}
    for held, number in _terms(value):
        left = list(held)
        for name in names:
            if name not in left:
                return None
            left.remove(name)
        if number % factor:
            return None
        result[tuple(left)] = number // factor
    return _collected(result.items())


def _divided(value: Dim, by: Dim) -> Dim:
    """floor(value / by)."""
    exact = quotient(value, by)
    if exact is not None:
        return exact
    if isinstance(by, int) and by > 0:  # what is whole comes out in front: floor((2 t + 3) / 2) = t + 1
        whole = {n: f // by for n, f in _terms(value) if f % by == 0 or not n}
        rest = {n: (f if n else f % by) for n, f in _terms(value) if f % by}
        if any(rest.get(n) for n in rest if n):
            inner = _collected(rest.items())
            return _collected([*whole.items(), ((Part("floordiv", inner, by),), 1)])
        return _collected(whole.items())
    return _of(Part("floordiv", value, by))


def _bounds(value: Dim) -> tuple[float, float]:
    """The least and the largest a length can be."""
    low = high = 0.0
    for names, factor in _terms(value):
        a = b = 1.0
        for name in names:
            c, d = _part_bounds(name)
            if c < 0 or a < 0:
                return -math.inf, math.inf
            a, b = a * c, b * d if d else 0.0
        low, high = low + factor * (a if factor > 0 else b), high + factor * (b if factor > 0 else a)
    return low, high


def _part_bounds(part: str | Part) -> tuple[float, float]:
    if isinstance(part, str):
        return 1.0, math.inf
    (a, b), (c, d) = _bounds(part.first), _bounds(part.second)
    if part.kind == "min":
        return min(a, c), min(b, d)
    if part.kind == "max":
        return max(a, c), max(b, d)
    if c > 0 and c == d:
        return (
            (math.floor(a / c) if math.isfinite(a) else a, math.floor(b / c) if math.isfinite(b) else b)
            if part.kind == "floordiv"
            else (0, c - 1)
        )
    return -math.inf, math.inf


def same(first: Dim, second: Dim) -> bool:
    """Whether two lengths are known to be equal, without refusing where that cannot be told."""
    if isinstance(first, Length) and isinstance(second, Length):
        return first.terms == second.terms
    return isinstance(first, int) and isinstance(second, int) and first == second


def _apart(first: Dim, second: Dim) -> bool:
    low, high = _bounds(first - second)
    return low > 0 or high < 0


def _less(first: Dim, second: Dim) -> bool:
    low, high = _bounds(first - second)
    if high < 0:
        return True
    return False if low >= 0 else _undecided(f"{first} < {second}")


def _undecided(question: str) -> bool:
    raise UnsupportedModel(
        f"The model does one thing or another depending on whether {question}, which varies with the lengths of its inputs: "
        "export it with these lengths fixed."
    )


def least(first: Dim, second: Dim) -> Dim:
    """The smaller of two lengths."""
    low, high = _bounds(first - second)
    if high <= 0:
        return first
    return second if low >= 0 else _of(Part("min", first, second))


def largest(first: Dim, second: Dim) -> Dim:
    """The larger of two lengths."""
    low, high = _bounds(first - second)
    if low >= 0:
        return first
    return second if high <= 0 else _of(Part("max", first, second))


def product(dims: Sequence[Dim]) -> Dim:
    """The product of lengths."""
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return result


def at(value: Dim, lengths: Mapping[str, int]) -> int:
    """The number a length is at given lengths."""
    total = 0
    for names, factor in _terms(value):
        for name in names:
            factor *= lengths[name] if isinstance(name, str) else _part_at(name, lengths)
        total += factor
    return total


def _part_at(part: Part, lengths: Mapping[str, int]) -> int:
    a, b = at(part.first, lengths), at(part.second, lengths)
    return {"floordiv": lambda: a // b, "mod": lambda: a % b, "min": lambda: min(a, b), "max": lambda: max(a, b)}[part.kind]()


def parts_of(value: Dim) -> list[Any]:
    """The names and parts in a length."""
    return [name for names, _ in _terms(value) for name in names]
