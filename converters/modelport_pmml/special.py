"""The inverse normal distribution function as an expression: scorers' own is right to six digits only."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from modelport.ops.special import PPF_A, PPF_B, PPF_C, PPF_D, PPF_E, PPF_F

from .expressions import Expression, Expressions

__all__ = ["norm_ppf"]


def norm_ppf(make: Expressions, p: Expression) -> Expression:
    """Wichura's AS241 (docs/format.md, section 8). At 0 and 1 it is infinite, which scorers cannot all hand out."""
    zero, one = make.constant(0.0), make.constant(1.0)
    q = _named(make.apply("-", p, make.constant(0.5)), "centred probability")
    centre = _named(make.apply("-", make.constant(0.180625), make.apply("*", q, q)), "squared distance")
    middle = make.apply("*", q, _ratio(make, PPF_A, PPF_B, centre))
    below = make.compare("lessThan", q, zero)
    share = make.choose(below, p, make.apply("-", one, p))
    r = _named(make.apply("sqrt", make.apply("*", make.apply("ln", share), make.constant(-1.0))), "tail")
    near = _named(make.apply("-", r, make.constant(1.6)), "near tail")
    far = _named(make.apply("-", r, make.constant(5.0)), "far tail")
    tail = make.choose(
        make.compare("lessOrEqual", r, make.constant(5.0)), _ratio(make, PPF_C, PPF_D, near), _ratio(make, PPF_E, PPF_F, far)
    )
    finite = make.compare("lessOrEqual", r, make.constant(sys.float_info.max))
    tail = _named(make.choose(finite, tail, r), "quantile")
    signed = make.choose(below, make.apply("*", tail, make.constant(-1.0)), tail)
    inside = make.compare("lessOrEqual", make.apply("abs", q), make.constant(0.425))
    return make.choose(inside, middle, signed)


def _named(x: Expression, hint: str) -> Expression:
    x.hint = x.hint or hint
    return x


def _ratio(make: Expressions, top: Sequence[float], bottom: Sequence[float], r: Expression) -> Expression:
    """A quotient of polynomials in r, by Horner's rule."""
    polynomials = []
    for coefficients in (top, bottom):
        value = make.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            value = make.apply("+", make.apply("*", value, r), make.constant(coefficient))
        polynomials.append(value)
    return make.apply("/", *polynomials)
