"""The comparison of one output: the only place where a tolerance is applied. Comparisons are written so that NaN fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .document import Tolerance

__all__ = ["OutputReport", "compare", "merge", "ulps"]

Array = NDArray[Any]


@dataclass(frozen=True)
class OutputReport:
    """How one output of one consumer compares with the original.

    equality: "exact" (equal in every bit), "within" (inside the tolerance) or "mismatch". max_abs, max_rel and max_ulp are over
    all elements that differ (0 when none; None where there is no number to give); flips counts rows whose label differs;
    worst_row is the row with the largest error, or None.
    """

    output: str
    dtype: str
    rows: int
    equality: str
    passed: bool
    tolerance: Any
    max_abs: float | None = 0.0
    max_rel: float | None = 0.0
    max_ulp: float | None = 0.0
    differing: int = 0
    flips: int | None = None
    worst_row: int | None = None
    worst: str | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def ulps(expected: Array, got: Array) -> Array:
    """Units in the last place between two arrays of one float dtype; infinity where exactly one is NaN.

    >>> ulps(np.array([1.0, 0.0]), np.array([np.nextafter(1.0, 2.0), -0.0])).tolist()
    [1.0, 0.0]
    """
    whole = np.int64 if expected.dtype == np.float64 else np.int32
    lowest = np.iinfo(whole).min
    with np.errstate(over="ignore"):
        ordered = [np.where((b := v.view(whole)) < 0, lowest - b, b).astype(object) for v in (expected, got)]
    distance = np.abs(ordered[0] - ordered[1]).astype(np.float64)
    nans = np.isnan(expected) != np.isnan(got)
    return np.where(np.isnan(expected) & np.isnan(got), 0.0, np.where(nans, np.inf, distance))


def compare(name: str, expected: Array, got: Array, tolerance: Tolerance) -> OutputReport:
    """Compare one output's rows with the original's; shape and dtype first."""
    expected, got = np.asarray(expected), np.asarray(got)
    if got.dtype.kind == "U":
        got = got.astype(object)
    dtype = str(expected.dtype) if expected.dtype != object else "str"
    said = tolerance.to_json()
    problem = None
    if got.shape != expected.shape:
        problem = f"the shape is {list(got.shape)}, not {list(expected.shape)}"
    elif got.dtype != expected.dtype:
        problem = f"the dtype is {got.dtype}, not {expected.dtype}"
    if problem:
        return OutputReport(
            name,
            dtype,
            len(expected),
            "mismatch",
            False,
            said,
            max_abs=None,
            max_rel=None,
            max_ulp=None,
            differing=expected.size,
            problem=problem,
        )
    if expected.dtype.kind == "f":
        return _compare_floats(name, expected, got, tolerance)
    unequal = np.array(
        [not _same(e, g) for e, g in zip(expected.ravel().tolist(), got.ravel().tolist(), strict=True)], dtype=bool
    )
    rows = unequal.reshape(len(expected), -1).any(axis=1) if expected.size else np.zeros(len(expected), dtype=bool)
    first = int(np.flatnonzero(rows)[0]) if rows.any() else None
    worst = None if first is None else f"{got[first]!r} instead of {expected[first]!r}"
    passed = not unequal.any()
    none = 0.0 if passed else None
    return OutputReport(
        name,
        dtype,
        len(expected),
        "exact" if passed else "mismatch",
        passed,
        said,
        max_abs=none,
        max_rel=none,
        max_ulp=none,
        differing=int(unequal.sum()),
        flips=int(rows.sum()),
        worst_row=first,
        worst=worst,
    )


def merge(reports: Sequence[OutputReport]) -> OutputReport:
    """One report of an output over several sets of rows; rows are counted through the sets."""
    if len(reports) == 1:
        return reports[0]
    starts = np.cumsum([0, *(r.rows for r in reports)]).tolist()
    order = sorted(range(len(reports)), key=lambda i: (reports[i].passed, -(reports[i].max_abs or 0.0)))
    worst = reports[order[0]]
    row = None if worst.worst_row is None else starts[order[0]] + worst.worst_row
    return replace(
        worst,
        rows=starts[-1],
        passed=all(r.passed for r in reports),
        max_abs=_most([r.max_abs for r in reports]),
        max_rel=_most([r.max_rel for r in reports]),
        max_ulp=_most([r.max_ulp for r in reports]),
        differing=sum(r.differing for r in reports),
        flips=None if worst.flips is None else sum(r.flips or 0 for r in reports),
        equality=max((r.equality for r in reports), key=("exact", "within", "mismatch").index),
        worst_row=row,
    )


def _most(values: Sequence[float | None]) -> float | None:
    return None if any(v is None for v in values) else max(v for v in values if v is not None)


def _same(expected: Any, got: Any) -> bool:
    return type(expected) is type(got) and bool(expected == got)


def _compare_floats(name: str, expected: Array, got: Array, tolerance: Tolerance) -> OutputReport:
    with np.errstate(all="ignore"):
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        difference = np.where(same, 0.0, np.abs(got.astype(np.float64) - expected.astype(np.float64)))
        distance = np.zeros(expected.shape)
        distance[~same] = ulps(np.ascontiguousarray(expected[~same]), np.ascontiguousarray(got[~same]))
        if tolerance.ulp:
            inside = same | (distance <= tolerance.ulp)
        else:
            bound = tolerance.atol + tolerance.rtol * np.abs(expected.astype(np.float64))
            inside = same | ((difference <= bound) & np.isfinite(expected))
        relative = np.where(same, 0.0, difference / np.abs(expected.astype(np.float64)))
    passed = bool(inside.all())
    equality = "exact" if bool(same.all()) else "within" if passed else "mismatch"
    worst_row = worst = None
    if not same.all():
        error = np.where(np.isnan(difference), np.inf, difference)
        at = np.unravel_index(int(np.where(inside, -1.0, error).argmax() if not passed else error.argmax()), error.shape)
        worst_row = int(at[0])
        worst = f"{got[at].item()!r} instead of {expected[at].item()!r}"
    return OutputReport(
        name,
        str(expected.dtype),
        len(expected),
        equality,
        passed,
        tolerance.to_json(),
        _largest(difference),
        _largest(relative),
        _largest(distance),
        int((~same).sum()),
        None,
        worst_row,
        worst,
    )


def _largest(values: Array) -> float | None:
    if not values.size:
        return 0.0
    return None if not np.isfinite(values).all() else float(values.max())
