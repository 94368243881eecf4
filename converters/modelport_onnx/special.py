"""Functions that onnxruntime has no f64 kernel for, composed of operators that it has. All take and give f64.

The algorithms are those of docs/format.md where it names one; otherwise classical ones, cited at the function.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelport.ops import special as reference

from .builder import Value

__all__ = ["arctan", "cosh", "erf", "expm1", "log1p", "norm_ppf", "sigmoid", "sinh", "tan", "tanh"]

# S. L. Moshier, Cephes `atan.c`: x + x^3 P(x^2)/Q(x^2) on |x| <= 0.66.
ATAN_P = (
    -6.485021904942025371773e1,
    -1.228866684490136173410e2,
    -7.500855792314704667340e1,
    -1.615753718733365076637e1,
    -8.750608600031904122785e-1,
)
ATAN_Q = (
    1.945506571482613964425e2,
    4.853903996359136964868e2,
    4.328810604912902668951e2,
    1.650270098316988542046e2,
    2.485846490142306297962e1,
    1.0,
)
TAN_3_PI_8 = 2.41421356237309504880


def polynomial(coefficients: Sequence[float], x: Value) -> Value:
    """sum_k coefficients[k] x^k, by Horner's rule."""
    result = x * coefficients[-1] + coefficients[-2]
    for c in coefficients[-3::-1]:
        result = result * x + c
    return result


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x)), without overflow and without loss for negative x (which onnxruntime's Sigmoid has)."""
    e = (-x.abs()).exp()
    return (x >= 0.0).where(1.0, e) / (1.0 + e)


def log1p(x: Value) -> Value:
    """log(1 + x) by W. Kahan's correction of the rounding in 1 + x; for x >= -1."""
    u = 1.0 + x
    plain = u.log()
    corrected = plain * (x / (u - 1.0))
    exact = u.equals(1.0)
    return exact.where(x, (u.equals(math.inf)).where(u, corrected))


def expm1(x: Value) -> Value:
    """exp(x) - 1 by W. Kahan's correction of the rounding in exp."""
    u = x.exp()
    shifted = u - 1.0
    corrected = shifted * (x / u.log())
    plain = u.equals(math.inf) | (shifted <= -1.0)
    return (u.equals(1.0)).where(x, plain.where(shifted, corrected))


def log_sigmoid(x: Value) -> Value:
    """log(sigmoid(x)) without overflow."""
    tail = log1p((-x.abs()).exp())
    return (x >= 0.0).where(-tail, x - tail)


def softplus(x: Value) -> Value:
    """log(1 + exp(x)) without overflow."""
    return (x <= 0.0).where(0.0, x) + log1p((-x.abs()).exp())


def cos(x: Value) -> Value:
    """1 - 2 sin^2(x / 2): exact halving, no loss of phase."""
    s = x.builder.op("Sin", x * 0.5)
    return 1.0 - 2.0 * s * s


def tan(x: Value) -> Value:
    """sin / cos."""
    return x.builder.op("Sin", x) / cos(x)


def arctan(x: Value) -> Value:
    """Cephes: reduced by pi/2 above tan(3 pi/8), by pi/4 above 0.66."""
    y = x.abs()
    far, middle = y > TAN_3_PI_8, y > 0.66
    reduced = far.where(-1.0 / y, middle.where((y - 1.0) / (y + 1.0), y))
    base = far.where(math.pi / 2, middle.where(math.pi / 4, 0.0))
    low = far.where(6.123233995736765886e-17, middle.where(3.061616997868382943e-17, 0.0))
    z = reduced * reduced
    result = base + (reduced * (z * polynomial(ATAN_P, z) / polynomial(ATAN_Q, z)) + reduced + low)
    return (x < 0.0).where(-result, result)


def arcsin(x: Value) -> Value:
    """2 arctan(x / (1 + sqrt(1 - x^2))); NaN outside [-1, 1]."""
    return 2.0 * arctan(x / (1.0 + ((1.0 - x) * (1.0 + x)).sqrt()))


def arccos(x: Value) -> Value:
    """2 arctan(sqrt((1 - x) / (1 + x))); NaN outside [-1, 1]."""
    return 2.0 * arctan(((1.0 - x) / (1.0 + x)).sqrt())


def sinh(x: Value) -> Value:
    """(u + u/(u + 1)) / 2 with u = expm1(|x|); near overflow as a product of two halves."""
    y = x.abs()
    u = expm1(y)
    half = (0.5 * y).exp()
    result = (y > 22.0).where((0.5 * half) * half, 0.5 * (u + u / (u + 1.0)))
    return (x < 0.0).where(-result, result)


def cosh(x: Value) -> Value:
    """(e + 1/e) / 2 with e = exp(|x|); near overflow as a product of two halves."""
    y = x.abs()
    e, half = y.exp(), (0.5 * y).exp()
    return (y > 22.0).where((0.5 * half) * half, 0.5 * (e + 1.0 / e))


def tanh(x: Value) -> Value:
    """onnxruntime's, or -u/(u + 2) with u = expm1(-2|x|) where that cannot be used."""
    if not x.builder.target.fused_tanh:
        return x.builder.op("Tanh", x)
    u = expm1(-2.0 * x.abs())
    result = -u / (u + 2.0)
    return (x < 0.0).where(-result, result)


def erf(x: Value) -> Value:
    """The error function (docs/format.md, section 8)."""
    y = x.abs()
    near = (y <= 0.46875).where(_erf_near(x, y), (x < 0.0).where(-1.0, 1.0) * (1.0 - _erfc(y)))
    return x.is_nan().where(x, near)


def _erf_near(x: Value, y: Value) -> Value:
    z = y * y
    top, bottom = reference.ERF_A[4] * z, z
    for a, b in zip(reference.ERF_A[:3], reference.ERF_B[:3], strict=True):
        top, bottom = (top + a) * z, (bottom + b) * z
    return x * (top + reference.ERF_A[3]) / (bottom + reference.ERF_B[3])


def _erfc(y: Value) -> Value:
    """1 - erf for y > 0.46875."""
    top, bottom = reference.ERF_C[8] * y, y
    for c, d in zip(reference.ERF_C[:7], reference.ERF_D[:7], strict=True):
        top, bottom = (top + c) * y, (bottom + d) * y
    middle = (top + reference.ERF_C[7]) / (bottom + reference.ERF_D[7])
    z = 1.0 / (y * y)
    top, bottom = reference.ERF_P[5] * z, z
    for p, q in zip(reference.ERF_P[:4], reference.ERF_Q[:4], strict=True):
        top, bottom = (top + p) * z, (bottom + q) * z
    far = (reference.SQRPI - z * (top + reference.ERF_P[4]) / (bottom + reference.ERF_Q[4])) / y
    whole = y.builder.op("Floor", y * 16.0) / 16.0
    scale = (-whole * whole).exp() * (-(y - whole) * (y + whole)).exp()
    return (y > 26.6).where(0.0, scale * (y <= 4.0).where(middle, far))


def norm_ppf(p: Value) -> Value:
    """The inverse of the normal distribution function (docs/format.md, section 8)."""
    q = p - 0.5
    low = q < 0.0
    centre = 0.180625 - q * q
    middle = q * (polynomial(reference.PPF_A, centre) / polynomial(reference.PPF_B, centre))
    r = (-low.where(p, 1.0 - p).log()).sqrt()
    near, far = r - 1.6, r - 5.0
    tail = (r <= 5.0).where(
        polynomial(reference.PPF_C, near) / polynomial(reference.PPF_D, near),
        polynomial(reference.PPF_E, far) / polynomial(reference.PPF_F, far),
    )
    inside = (q.abs() <= 0.425).where(middle, low.where(-tail, tail))
    ends = (p.equals(0.0)).where(-math.inf, (p.equals(1.0)).where(math.inf, inside))
    return ((p >= 0.0) & (p <= 1.0)).where(ends, math.nan)
