"""x mod a positive divisor, exactly, out of sums and products: what numpy.mod gives."""

from __future__ import annotations

from ..builder import Array, Builder
from .refusing import refuse_where

#: Veltkamp's constant 2^27 + 1: splits a double into two halves of 26 bits.
SPLIT = 134217729.0
#: Each round takes off multiples of the divisor times a power of two; the quotient of a round has less than 53 bits.
ROUNDS = (104, 52, 0)
#: Beyond so many divisors (as a power of two) a row is refused.
FARTHEST = 156


def remainder(builder: Builder, x: str, divisor: Array) -> str:
    """x - floor(x / divisor) divisor, at least 0 and below the divisor; divisor: one positive number per column.

    The remainder of |x| has no rounding error; below zero the divisor minus it is rounded once, as NumPy does.
    """
    size = builder.add("unary", x, hint="size", fn="abs")
    rest = refuse_where(builder, size, "gt", divisor * 2.0**FARTHEST)
    for power in ROUNDS:
        rest = _round(builder, rest, divisor * 2.0**power)
    zero, step = builder.constant([0.0], "zero"), builder.constant(divisor, "period")
    negative = builder.add("binary", x, zero, hint="is_negative", fn="lt")
    present = builder.add("binary", rest, zero, hint="has_rest", fn="gt")
    mirrored = builder.add("binary", negative, present, hint="is_mirrored", fn="and")
    return builder.add("where", mirrored, builder.add("binary", step, rest, hint="mirror", fn="sub"), rest, hint="phase")


def _round(builder: Builder, x: str, divisor: Array) -> str:
    """x - q divisor for x >= 0 and q = floor(x / divisor).

    The quotient, rounded, may be one too large. q times the divisor is kept as a product and its rounding error (Dekker), so the
    difference is exact; where it is negative one divisor is put back.
    """

    def binary(fn: str, a: str, b: str, hint: str) -> str:
        return builder.add("binary", a, b, hint=hint, fn=fn)

    high, low = _halves(divisor)
    quotient = builder.add("unary", builder.add("scale", x, hint="quotient", div=divisor), hint="whole_quotient", fn="floor")
    spread = builder.add("scale", quotient, hint="spread", mul=[SPLIT])
    q_high = binary("sub", spread, binary("sub", spread, quotient, "spread_rest"), "quotient_high")
    q_low = binary("sub", quotient, q_high, "quotient_low")
    product = builder.add("scale", quotient, hint="product", mul=divisor)
    error = binary("sub", builder.add("scale", q_high, hint="high_high", mul=high), product, "product_error")
    for value, half, hint in ((q_high, low, "high_low"), (q_low, high, "low_high"), (q_low, low, "low_low")):
        error = binary("add", error, builder.add("scale", value, hint=hint, mul=half), "product_error")
    rest = binary("sub", binary("sub", x, product, "rest_rounded"), error, "rest")
    below = binary("lt", rest, builder.constant([0.0], "zero"), "is_below")
    moved = builder.add("scale", rest, hint="rest_moved", add=divisor)
    return builder.add("where", below, moved, rest, hint="rest")


def _halves(values: Array) -> tuple[Array, Array]:
    """Doubles as sums of two of 26 bits."""
    spread = values * SPLIT
    high = spread - (spread - values)
    return high, values - high
