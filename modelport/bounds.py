"""Bounds a team sets on outputs: stricter than what an artifact states, never looser."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .document import EXACT, Tolerance, Vectors
from .errors import ArtifactError, UsageError

__all__ = ["bounded", "bounds_of", "stated_too_wide", "stricter"]

Array = NDArray[Any]


def bounds_of(given: Mapping[str, Any] | None, outputs: Sequence[str] | None = None) -> dict[str, Tolerance]:
    """Bounds as they are written, per output: a number (`atol`), {"atol", "rtol"}, {"ulp"} or "exact".

    UsageError for what is no bound, and for an output that is none of `outputs`.

    >>> bounds_of({"probability": {"rtol": 1e-9}})
    {'probability': Tolerance(atol=0.0, rtol=1e-09, ulp=None)}
    """
    found: dict[str, Tolerance] = {}
    if given is not None and not isinstance(given, Mapping):
        raise UsageError(f"The tolerance is {given!r}; it names outputs, such as {{'probability': {{'atol': 1e-9}}}}.")
    for name, value in (given or {}).items():
        if outputs is not None and name not in outputs:
            near = difflib.get_close_matches(str(name), outputs, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(outputs)}."
            raise UsageError(f"A tolerance is set for the output {name!r}, which the artifact does not have: {hint}")
        found[name] = _bound(name, value)
    return found


def _bound(name: str, value: Any) -> Tolerance:
    said = value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = {"atol": value, "rtol": 0.0}
    elif isinstance(value, Mapping) and value and set(value) <= {"atol", "rtol"}:
        value = {"atol": 0.0, "rtol": 0.0, **value}
    try:
        return Tolerance.from_json(value)
    except ArtifactError:
        raise UsageError(
            f"The tolerance of {name!r} is {said!r}; it is a number, {{'atol', 'rtol'}}, {{'ulp'}} or 'exact', from 0."
        ) from None


def allowed(tolerance: Tolerance, expected: Array) -> Array:
    """How far every finite element may lie away.

    >>> allowed(Tolerance(0.5, 0.25), np.array([0.0, -2.0])).tolist()
    [0.5, 1.0]
    """
    finite = np.abs(expected[np.isfinite(expected)])
    if tolerance.ulp:
        return tolerance.ulp * np.spacing(finite).astype(np.float64)
    return tolerance.atol + tolerance.rtol * finite.astype(np.float64)


def stricter(stated: Tolerance, bound: Tolerance, expected: Array) -> Tolerance:
    """A tolerance that allows no element more than either of two.

    >>> stricter(Tolerance(1e-6), Tolerance(1e-9), np.array([1.0])).atol
    1e-09
    >>> stricter(Tolerance(1e-12), Tolerance(1e-9), np.array([1.0])).atol
    1e-12
    """
    if expected.dtype.kind != "f":
        return stated
    mine, theirs = allowed(stated, expected), allowed(bound, expected)
    if (mine <= theirs).all():
        return stated
    if (theirs <= mine).all():
        return bound
    half = float(np.finfo(expected.dtype).eps) / 2  # a unit in the last place is at least that share of a number
    both = [Tolerance(0.0, t.ulp * half) if t.ulp else t for t in (stated, bound)]
    return Tolerance(min(t.atol for t in both), min(t.rtol for t in both))


def bounded(vectors: Vectors, bounds: Mapping[str, Tolerance]) -> Vectors:
    """The same rows, with bounds on their tolerances."""
    if not bounds:
        return vectors
    tolerance = dict(vectors.tolerance)
    for name, bound in bounds.items():
        expected = [part.outputs[name].ravel() for part in vectors.sets() if name in part.outputs]
        if expected:
            tolerance[name] = stricter(tolerance.get(name, EXACT), bound, np.concatenate(expected))
    return replace(vectors, tolerance=tolerance)


def stated_too_wide(vectors: Vectors, bounds: Mapping[str, Tolerance]) -> Iterator[str]:
    """A sentence for every output whose stated tolerance allows some answer more than its bound does."""
    for name, bound in bounds.items():
        stated = vectors.tolerance.get(name, EXACT)
        for part in vectors.sets():
            expected = part.outputs.get(name)
            if expected is None or expected.dtype.kind != "f":
                continue
            mine, theirs = allowed(stated, expected), allowed(bound, expected)
            over = np.flatnonzero(mine > theirs)
            if over.size:
                at = over[np.argmax(mine[over] - theirs[over])]
                yield (
                    f"the artifact states a tolerance for {name!r} that allows {mine[at]:.3g} where the bound set for it allows "
                    f"{theirs[at]:.3g}: set a bound that this artifact can keep, or convert the model in another way"
                )
                break
