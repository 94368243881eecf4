"""Rows that a transformer refuses by comparison with a bound; NaN, which no bound refuses, passes."""

from __future__ import annotations

import numpy as np

from ..builder import Array, Builder
from .guards import refuse_unless


def refuse_where(builder: Builder, x: str, fn: str, bound: Array | float) -> str:
    """x; a row in which `x fn bound` holds in any column is refused (bound: one number, or one per column)."""
    limit = builder.constant(np.atleast_1d(bound), "bound")
    forbidden = builder.add("binary", x, limit, hint="is_forbidden", fn=fn)
    return refuse_unless(builder, x, builder.add("unary", forbidden, hint="is_not_forbidden", fn="not"))


def refuse_infinite(builder: Builder, x: str) -> str:
    """x; a row with an infinity is refused, as every estimator does that is given one by the estimator before it."""
    size = builder.add("unary", x, hint="size", fn="abs")
    finite = builder.add("binary", size, builder.constant([np.finfo(np.float64).max], "largest"), hint="is_infinite", fn="gt")
    return refuse_unless(builder, x, builder.add("unary", finite, hint="is_finite", fn="not"))


def refuse_fractions(builder: Builder, x: str) -> str:
    """x; a row with a number that is not whole, NaN among them, is refused."""
    whole = builder.add("unary", x, hint="whole", fn="floor")
    return refuse_unless(builder, x, builder.add("binary", x, whole, hint="is_whole", fn="eq"))
