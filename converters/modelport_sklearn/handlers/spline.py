"""SplineTransformer: every basis function of every column as a polynomial per interval, in the distance from its knot."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from .piecewise import looked_up, places
from .refusing import refuse_where
from .remainder import remainder


@dataclass(frozen=True)
class _Pieces:
    """One column: edges [k] between its pieces, the point [k + 1] each piece starts to count from, and the coefficients
    [k + 1, splines, degree + 1] of its basis functions there, constant term first.
    """

    edges: Array
    origin: Array
    coefficients: Array


@transforms("SplineTransformer")
def spline_transformer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """B-spline basis functions of every column, side by side."""
    ledger.waive("n_knots", "knots", "order", "n_features_out_")  # bsplines_ says it
    splines, extrapolation, degree = ledger["bsplines_"], ledger["extrapolation"], ledger["degree"]
    sparse, zeros = bool(ledger.get("sparse_output", False)), ledger.get("handle_missing", "error") == "zeros"
    if sparse and extrapolation == "periodic" and degree == 0:
        raise ledger.refuse("sparse_output", "drops every column of a periodic spline of degree 0: use sparse_output=False.")
    if sparse and zeros and extrapolation not in ("constant", "linear"):
        raise ledger.refuse(
            "sparse_output", "fills in missing values of a column from other rows of the same call: use sparse_output=False."
        )
    given = x = builder.matrix(table)
    low, high = _range(splines, degree)
    if extrapolation == "error":
        x = refuse_where(builder, x, "lt", low)
    several = splines[0].c.shape[1] > 1  # NumPy has no slice [-0:]; the numbers of one spline fit into the empty one
    if extrapolation == "error" or (extrapolation == "constant" and degree == 0 and several and not sparse):
        x = refuse_where(builder, x, "gt", high)
    if extrapolation == "periodic":
        x = _wrapped(builder, x, low, high)
    pieces = _all_pieces(splines, extrapolation, degree, sparse)
    kept = pieces[0].coefficients.shape[1] - (0 if ledger["include_bias"] else 1)
    if not kept:
        return builder.table(builder.add("select", x, hint="spline", index=np.zeros(0, dtype=np.int64)), sparse=sparse)
    repeated = np.repeat(np.arange(len(table)), kept)
    value = _evaluated(builder, builder.add("select", x, hint="repeated", index=repeated), pieces, kept)
    if zeros:
        missing = builder.add("is_missing", given, hint="is_missing")
        missing = builder.add("select", missing, hint="missing", index=repeated)
        zero = builder.constant([0.0], "zero")
        value = builder.add("where", builder.add("binary", missing, zero, hint="absent", fn="gt"), zero, value, hint="spline")
    return builder.table(value, sparse=sparse)


def _range(splines: Any, degree: int) -> tuple[Array, Array]:
    """First and last base knot of every column."""
    return np.array([s.t[degree] for s in splines]), np.array([s.t[len(s.t) - degree - 1] for s in splines])


def _wrapped(builder: Builder, x: str, low: Array, high: Array) -> str:
    """low + (x - low) mod period; a column of one value only counts as 0."""
    period = high - low
    constant = ~(period > 0)
    offset = builder.add("scale", x, hint="offset", sub=low)
    phase = remainder(builder, offset, np.where(constant, 1.0, period))
    wrapped = builder.add("scale", phase, hint="wrapped", mul=np.where(constant, 0.0, 1.0), add=np.where(constant, 0.0, low))
    return wrapped


def _evaluated(builder: Builder, x: str, pieces: list[_Pieces], kept: int) -> str:
    """Polynomials by Horner's rule, one per repeated column."""
    edges = [p.edges for p in pieces for _ in range(kept)]
    place = places(builder, x, edges, "right")
    origin = looked_up(builder, place, [p.origin for p in pieces for _ in range(kept)], hint="knot")
    distance = builder.add("binary", x, origin, hint="distance", fn="sub")
    value = ""
    for m in range(pieces[0].coefficients.shape[2])[::-1]:
        tables = [p.coefficients[:, j, m] for p in pieces for j in range(kept)]
        coefficient = looked_up(builder, place, tables, hint=f"coefficient_{m}")
        if value:
            raised = builder.add("binary", value, distance, hint="raised", fn="mul")
            coefficient = builder.add("binary", raised, coefficient, hint="spline", fn="add")
        value = coefficient
    return builder.in_other_order(value)


def _all_pieces(splines: Any, extrapolation: str, degree: int, sparse: bool) -> list[_Pieces]:
    """The pieces of every column.

    Linear extrapolation with a degree below 2 continues one function more at each end, and scikit-learn carries that over to the
    columns behind the first: they count as if their degree were one higher, in where their range begins too.
    """
    found, ends = [], degree
    for spline in splines:
        low, high = spline.t[ends], spline.t[len(spline.t) - ends - 1]
        if extrapolation == "linear" and ends <= 1:
            ends += 1
        found.append(_pieces(spline, degree, extrapolation, low, high, ends, sparse))
    return found


def _pieces(spline: Any, degree: int, extrapolation: str, low: float, high: float, ends: int, sparse: bool) -> _Pieces:
    """Below the range, the intervals inside it, its last point, and above it."""
    knots = np.unique(spline.t[(spline.t >= low) & (spline.t <= high)])
    below, above = _outside(spline, degree, extrapolation, low, high, ends, sparse)
    inside = [_taylor(spline, degree, knot) for knot in knots[:-1]]
    last = _constant(spline(high), degree)
    return _Pieces(
        edges=np.concatenate([knots, [np.nextafter(high, np.inf)]]),
        origin=np.concatenate([[below[0]], knots, [above[0]]]),
        coefficients=np.stack([below[1], *inside, last, above[1]]),
    )


def _taylor(spline: Any, degree: int, at: float) -> Array:
    """Coefficients [splines, degree + 1] of the basis functions in the distance from a point, to its right."""
    terms = [spline(at) if m == 0 else spline(at, nu=m) / factorial(m) for m in range(degree + 1)]
    return np.stack(terms, axis=1)


def _constant(values: Array, degree: int) -> Array:
    coefficients = np.zeros((len(values), max(degree, 1) + 1))
    coefficients[:, 0] = values
    return np.asarray(coefficients[:, : degree + 1])


def _outside(
    spline: Any, degree: int, extrapolation: str, low: float, high: float, ends: int, sparse: bool
) -> tuple[tuple[float, Array], tuple[float, Array]]:
    """Origin and coefficients below and above the range."""
    if extrapolation in ("continue", "periodic"):
        before = float(np.nextafter(low, -np.inf))
        return (before, _taylor(spline, degree, before)), (high, _taylor(spline, degree, high))
    least, most = spline(low), spline(high)
    below, above = np.zeros((len(least), 2)), np.zeros((len(most), 2))
    if extrapolation == "constant":
        below[:ends, 0] = least[:ends]
        first = 0 if sparse and ends == 0 else len(most) - ends  # a slice [-0:] of the sparse branch is everything
        above[first:, 0] = most[first:]
    elif extrapolation == "linear":
        below[:ends] = np.stack([least, spline(low, nu=1)], axis=1)[:ends]
        above[len(most) - ends :] = np.stack([most, spline(high, nu=1)], axis=1)[len(most) - ends :]
    return (low, _padded(below, degree)), (high, _padded(above, degree))


def _padded(coefficients: Array, degree: int) -> Array:
    """Coefficients with as many terms as the degree has; a slope where there is none is 0."""
    width = degree + 1
    if width <= 2:
        return np.asarray(coefficients[:, :width])
    return np.pad(coefficients, ((0, 0), (0, width - 2)))
