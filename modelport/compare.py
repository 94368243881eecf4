"""The comparison of one output: the only place where a tolerance is applied. Comparisons are written so that NaN fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .document import Tolerance

__all__ = ["ByRow", "OutputReport", "by_row", "compare", "merge", "ulps"]

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
    expected, got = _as_compared(expected, got)
    dtype = str(expected.dtype) if expected.dtype != object else "str"
    said = tolerance.to_json()
    problem = _misfit(expected, got)
    if problem is not None:
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
    unequal = _unequal(expected, got)
    rows = unequal.reshape(len(expected), -1).any(axis=1) if expected.size else np.zeros(len(expected), dtype=bool)
    first = int(np.flatnonzero(rows)[0]) if rows.any() else None
    worst = None if first is None else f"{_shown(got, first)} instead of {_shown(expected, first)}"
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


def _shown(labels: Array, row: int) -> str:
    """A row's label as a person writes it."""
    return repr(labels[row].item() if isinstance(labels[row], np.generic) and labels.dtype != object else labels[row])


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


@dataclass(frozen=True)
class ByRow:
    """How far every row of an output lies from the original's.

    error is the largest absolute difference of a row (infinity where it is no number), or None where there is no distance:
    labels, and answers of another shape or dtype. passed says which rows match, differs which are not equal, worst where in the
    row (flat) the element stands that decides.
    """

    passed: Array
    differs: Array
    worst: Array
    error: Array | None = None


def by_row(expected: Array, got: Array, tolerance: Tolerance) -> ByRow:
    """The rows of one output by the same measure as `compare`: it passes when every row does.

    >>> rows = by_row(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 4.5]]), Tolerance(0.25))
    >>> rows.passed.tolist(), rows.error.tolist(), rows.worst.tolist()
    ([True, False], [0.0, 0.5], [0, 1])
    """
    expected, got = _as_compared(expected, got)
    n = len(expected)
    if _misfit(expected, got) is not None:
        return ByRow(np.zeros(n, dtype=bool), np.ones(n, dtype=bool), np.zeros(n, dtype=np.int64))
    if not expected.size:
        return ByRow(np.ones(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64))
    if expected.dtype.kind != "f":
        unequal = _unequal(expected, got).reshape(n, -1)
        equal: Array = np.asarray(~unequal.any(axis=1))
        return ByRow(equal, ~equal, unequal.argmax(axis=1))
    same, inside, difference = (a.reshape(n, -1) for a in _elements(expected, got, tolerance))
    error = np.where(np.isnan(difference), np.inf, difference)
    passed: Array = np.asarray(inside.all(axis=1))
    decides = np.where(inside & ~passed[:, None], -1.0, error)
    return ByRow(passed, np.asarray(~same.all(axis=1)), decides.argmax(axis=1), error.max(axis=1))


def _as_compared(expected: Array, got: Array) -> tuple[Array, Array]:
    expected, got = np.asarray(expected), np.asarray(got)
    return expected, got.astype(object) if got.dtype.kind == "U" else got


def _misfit(expected: Array, got: Array) -> str | None:
    """Why answers cannot be compared element by element, or None."""
    if got.shape != expected.shape:
        return f"the shape is {list(got.shape)}, not {list(expected.shape)}"
    if got.dtype != expected.dtype:
        return f"the dtype is {got.dtype}, not {expected.dtype}"
    return None


def _unequal(expected: Array, got: Array) -> Array:
    """Which labels, flat, are not the same."""
    return np.array([not _same(e, g) for e, g in zip(expected.ravel().tolist(), got.ravel().tolist(), strict=True)], dtype=bool)


def _elements(expected: Array, got: Array, tolerance: Tolerance) -> tuple[Array, Array, Array]:
    """Of floats, element by element: equal, inside the tolerance, and the absolute difference (NaN where it is no number)."""
    with np.errstate(all="ignore"):
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        difference = np.where(same, 0.0, np.abs(got.astype(np.float64) - expected.astype(np.float64)))
        if tolerance.ulp:
            near = _distance(expected, got, same) <= tolerance.ulp
        else:
            near = difference <= tolerance.atol + tolerance.rtol * np.abs(expected.astype(np.float64))
        inside = same | (near & np.isfinite(expected) & np.isfinite(got))
    return same, inside, difference


def _distance(expected: Array, got: Array, same: Array) -> Array:
    """Units in the last place, 0 where the elements are equal."""
    distance = np.zeros(expected.shape)
    distance[~same] = ulps(np.ascontiguousarray(expected[~same]), np.ascontiguousarray(got[~same]))
    return distance


def _same(expected: Any, got: Any) -> bool:
    return type(expected) is type(got) and bool(expected == got)


def _compare_floats(name: str, expected: Array, got: Array, tolerance: Tolerance) -> OutputReport:
    same, inside, difference = _elements(expected, got, tolerance)
    with np.errstate(all="ignore"):
        distance = _distance(expected, got, same)
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
