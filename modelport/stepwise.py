"""Two lists of steps beside each other: which are added, removed or changed, and which parameters by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ParameterChange", "StepChange", "changed_steps"]

#: a step as a format gives it: what it defines, its op, its parameters
Part = tuple[str, str, Mapping[str, Any]]


@dataclass(frozen=True)
class ParameterChange:
    """A parameter of a step: how many of its elements changed, and by how much at most; `says` where that is no number."""

    name: str
    elements: int
    changed: int | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    says: str | None = None

    def __str__(self) -> str:
        if self.says is not None:
            return f"{self.name}: {self.says}"
        how = "" if self.max_abs is None else f", by {self.max_abs:.3g} at most"
        share = "" if self.max_rel is None else f" (relatively {self.max_rel:.3g})"
        return f"{self.name}: {self.changed:,} of {self.elements:,} changed{how}{share}"


@dataclass(frozen=True)
class StepChange:
    """A step that only A has ("removed"), only B has ("added"), or both have with other parameters ("changed")."""

    step: str
    op: str
    change: str
    parameters: tuple[ParameterChange, ...] = ()


def changed_steps(a: Sequence[Part], b: Sequence[Part]) -> tuple[StepChange, ...]:
    """What differs between two lists of steps, which belong together by the names of what they define.

    >>> one = [("y", "scale", {"sub": np.array([1.0, 2.0])})]
    >>> changed_steps(one, [("y", "scale", {"sub": np.array([1.0, 2.5])})])[0].parameters[0].max_abs
    0.5
    """
    mine, theirs = {out: (op, p) for out, op, p in a}, {out: (op, p) for out, op, p in b}
    found = []
    for out, (op, parameters) in mine.items():
        if out not in theirs:
            found.append(StepChange(out, op, "removed"))
        elif theirs[out][0] != op:
            found += [StepChange(out, op, "removed"), StepChange(out, theirs[out][0], "added")]
        else:
            changes = _parameters(parameters, theirs[out][1])
            found += [StepChange(out, op, "changed", changes)] if changes else []
    found += [StepChange(out, op, "added") for out, (op, _) in theirs.items() if out not in mine]
    shared = [out for out in mine if out in theirs]
    if not found and shared != [out for out in theirs if out in mine]:
        found.append(StepChange(shared[0], mine[shared[0]][0], "moved"))
    return tuple(found)


def _parameters(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[ParameterChange, ...]:
    changes = [_parameter(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])]
    return tuple(change for change in changes if change is not None)


def _parameter(name: str, a: Any, b: Any) -> ParameterChange | None:
    if a is None or b is None:
        return None if a is b else ParameterChange(name, 0, says="only in B" if a is None else "only in A")
    if not hasattr(a, "shape") or not hasattr(b, "shape"):
        same = type(a) is type(b) and bool(a == b)
        return None if same else ParameterChange(name, 1, says=f"{_short(a)} in A, {_short(b)} in B")
    if a.shape != b.shape or a.dtype != b.dtype:
        return ParameterChange(name, a.size, says=f"{a.dtype}{list(a.shape)} in A, {b.dtype}{list(b.shape)} in B")
    if a.dtype.kind not in "fiu":
        differing = sum(x != y for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
        return ParameterChange(name, a.size, differing) if differing else None
    with np.errstate(all="ignore"):
        x, y = a.astype(np.float64), b.astype(np.float64)
        same_cell = (a == b) | ((x != x) & (y != y))
        gap = np.where(same_cell, 0.0, np.abs(y - x))
        share = np.where(same_cell, 0.0, gap / np.abs(x))
    if same_cell.all():
        return None
    return ParameterChange(name, a.size, int((~same_cell).sum()), _largest(gap), _largest(share))


def _largest(values: Any) -> float | None:
    return float(values.max()) if np.isfinite(values).all() else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
