"""QuantileTransformer: the mean of the interpolations from the left and from the right, bit by bit as numpy.interp."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from .piecewise import looked_up, places
from .refusing import refuse_where

#: sklearn.preprocessing._data.BOUNDS_THRESHOLD: what lies so near to a bound is put on it (normal output only).
NEAR = 1e-7


@transforms("QuantileTransformer")
def quantile_transformer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The share of training values below x, between 0 and 1; with normal output the normal quantile of it."""
    ledger.waive("n_quantiles", "subsample", "n_quantiles_")  # quantiles_ and references_ say it
    quantiles = np.asarray(ledger["quantiles_"], dtype=np.float64)  # [n_quantiles, columns]
    references = np.asarray(ledger["references_"], dtype=np.float64)
    if np.isnan(quantiles).any():
        raise ledger.refuse("quantiles_", "hold NaN, because a column had no value when it was fitted: leave that column out.")
    normal, signed = ledger["output_distribution"] == "normal", ledger["ignore_implicit_zeros"]
    given = x = builder.matrix(table)
    if table.sparse and not signed:
        x = refuse_where(builder, x, "lt", 0.0)
    columns = [_segments(ledger, q, references) for q in quantiles.T]
    value = _bounded(builder, x, _interpolated(builder, x, columns), quantiles[0], quantiles[-1], normal)
    if normal:
        value = _normal(builder, value)
    if table.sparse:  # only what is stored is transformed
        zero = builder.constant([0.0], "zero")
        value = builder.add("where", builder.add("binary", given, zero, hint="absent", fn="eq"), zero, value, hint="transformed")
    return builder.table(value, table.names, sparse=table.sparse)


class _Segments:
    """One column's function: distinct knots [k], and per number of knots passed the slope and both ends of the segment [k + 1].

    A knot that occurs several times is a jump: the segment before it ends at its first reference, the next begins at its last.
    """

    def __init__(self, knots: Array, first: Array, last: Array) -> None:
        rise, run = first[1:] - last[:-1], knots[1:] - knots[:-1]
        self.knots = knots
        with np.errstate(over="ignore"):
            self.slope = np.concatenate([[0.0], rise / run, [0.0]])
        self.left, self.left_value = np.concatenate([knots[:1], knots]), np.concatenate([first[:1], last])
        self.right, self.right_value = np.concatenate([knots, knots[-1:]]), np.concatenate([first, last[-1:]])


def _segments(ledger: Ledger, quantiles: Array, references: Array) -> _Segments:
    knots, first, count = np.unique(quantiles, return_index=True, return_counts=True)
    found = _Segments(knots, references[first], references[first + count - 1])
    if not np.isfinite(found.slope).all():
        raise ledger.refuse("quantiles_", "lie so near to one another that a slope overflows: scale the columns first.")
    return found


def _interpolated(builder: Builder, x: str, columns: list[_Segments]) -> str:
    """Half the sum of the interpolation from the left end of a segment and that from its right end (they part at a knot)."""
    knots = [c.knots for c in columns]
    sides = []
    for side, start, value in (("right", "left", "left_value"), ("left", "right", "right_value")):
        place = places(builder, x, knots, side)

        def table(name: str, place: str = place) -> str:
            return looked_up(builder, place, [getattr(c, name) for c in columns], hint=name)

        offset = builder.add("binary", x, table(start), hint="offset", fn="sub")
        rise = builder.add("binary", table("slope"), offset, hint="rise", fn="mul")
        sides.append(builder.add("binary", rise, table(value), hint=f"from_{start}", fn="add"))
    return builder.add("scale", builder.add("binary", *sides, hint="twice", fn="add"), hint="share", mul=[0.5])


def _bounded(builder: Builder, x: str, value: str, low: Array, high: Array, normal: bool) -> str:
    """0 at the lowest quantile, 1 at the highest, for normal output beyond them too; the lower bound has the last word."""
    least, most = builder.constant(low, "lowest"), builder.constant(high, "highest")
    below, above = x, x
    if normal:
        below = builder.add("scale", x, hint="nearly", sub=[NEAR])
        above = builder.add("scale", x, hint="hardly", add=[NEAR])
    is_low = builder.add("binary", below, least, hint="is_low", fn="lt" if normal else "eq")
    is_high = builder.add("binary", above, most, hint="is_high", fn="gt" if normal else "eq")
    value = builder.add("where", is_high, builder.constant([1.0], "one"), value, hint="share_or_one")
    return builder.add("where", is_low, builder.constant([0.0], "zero"), value, hint="uniform")


def _normal(builder: Builder, share: str) -> str:
    from scipy.stats import norm

    bound: Any = norm.ppf(NEAR - np.spacing(1))
    top: Any = norm.ppf(1 - (NEAR - np.spacing(1)))
    quantile = builder.add("unary", share, hint="normal", fn="norm_ppf")
    return builder.add("clip", quantile, hint="clipped", min=[float(bound)], max=[float(top)])
