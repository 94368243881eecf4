"""erf and the inverse normal distribution function, by published rational approximations (docs/format.md, section 8).

The standard libraries of several languages lack them, so every reader computes them by the same algorithms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969); coefficients of his CALERF.
ERF_A = (3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03, 1.85777706184603153e-1)
ERF_B = (2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03)
ERF_C = (
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e01,
    2.98635138197400131e02,
    8.81952221241769090e02,
    1.71204761263407058e03,
    2.05107837782607147e03,
    1.23033935479799725e03,
    2.15311535474403846e-8,
)
ERF_D = (
    1.57449261107098347e01,
    1.17693950891312499e02,
    5.37181101862009858e02,
    1.62138957456669019e03,
    3.29079923573345963e03,
    4.36261909014324716e03,
    3.43936767414372164e03,
    1.23033935480374942e03,
)
ERF_P = (
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
    1.63153871373020978e-2,
)
ERF_Q = (2.56852019228982242e00, 1.87295284992346725e00, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3)
SQRPI = 5.6418958354775628695e-1

# M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988); PPND16.
PPF_A = (
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
PPF_B = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
PPF_C = (
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
PPF_D = (
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)
PPF_E = (
    6.65790464350110377720e0,
    5.46378491116411436990e0,
    1.78482653991729133580e0,
    2.96560571828504891230e-1,
    2.65321895265761230930e-2,
    1.24266094738807843860e-3,
    2.71155556874348757815e-5,
    2.01033439929228813265e-7,
)
PPF_F = (
    1.0,
    5.99832206555887937690e-1,
    1.36929880922735805310e-1,
    1.48753612908506148525e-2,
    7.86869131145613259100e-4,
    1.84631831751005468180e-5,
    1.42151175831644588870e-7,
    2.04426310338993978564e-15,
)


#: elements that are looked at together, few enough for the caches
ELEMENTS = 1 << 14


def erf(x: Array) -> Array:
    """The error function of an f64 array; NaN passes.

    >>> erf(np.array([0.0, 0.5, -3.0])).round(12).tolist()
    [0.0, 0.520499877813, -0.999977909503]
    """
    result = np.array(x, dtype=np.float64).reshape(-1)
    with np.errstate(all="ignore"):
        for start in range(0, result.size, ELEMENTS):
            part = result[start : start + ELEMENTS]
            y = np.abs(part)
            for chosen, function in (
                (y <= 0.46875, _erf_small),
                ((y > 0.46875) & (y <= 4.0), _erf_middle),
                (y > 4.0, _erf_far),
            ):
                some = np.flatnonzero(chosen)
                if some.size:
                    part[some] = function(part[some], y[some])
    return result.reshape(np.shape(x))


def _erf_small(x: Array, y: Array) -> Array:
    z = y * y
    top, bottom = ERF_A[4] * z, z
    for a, b in zip(ERF_A[:3], ERF_B[:3], strict=True):
        top, bottom = (top + a) * z, (bottom + b) * z
    return np.asarray(x * (top + ERF_A[3]) / (bottom + ERF_B[3]))


def _erf_middle(x: Array, y: Array) -> Array:
    """For y of 0.46875 to 4."""
    top, bottom = ERF_C[8] * y, y
    for c, d in zip(ERF_C[:7], ERF_D[:7], strict=True):
        top, bottom = (top + c) * y, (bottom + d) * y
    return _signed(x, _scale(y) * ((top + ERF_C[7]) / (bottom + ERF_D[7])))


def _erf_far(x: Array, y: Array) -> Array:
    """For y above 4."""
    z = 1.0 / (y * y)
    top, bottom = ERF_P[5] * z, z
    for p, q in zip(ERF_P[:4], ERF_Q[:4], strict=True):
        top, bottom = (top + p) * z, (bottom + q) * z
    far = (SQRPI - z * (top + ERF_P[4]) / (bottom + ERF_Q[4])) / y
    return _signed(x, np.where(y > 26.6, 0.0, _scale(y) * far))


def _scale(y: Array) -> Array:
    """exp(-y^2) in two parts."""
    whole = np.trunc(y * 16.0) / 16.0
    return np.asarray(np.exp(-whole * whole) * np.exp(-(y - whole) * (y + whole)))


def _signed(x: Array, complement: Array) -> Array:
    """1 - complement with the sign of x."""
    return np.asarray(np.where(x < 0, -1.0, 1.0) * (1.0 - complement))


def norm_ppf(p: Array) -> Array:
    """The inverse of the normal distribution function; 0 and 1 give infinities, NaN outside [0, 1].

    >>> norm_ppf(np.array([0.0, 0.5, 0.975])).round(12).tolist()
    [-inf, 0.0, 1.95996398454]
    """
    q = p - 0.5
    with np.errstate(all="ignore"):
        centre = 0.180625 - q * q
        middle = q * _ratio(PPF_A, PPF_B, centre)
        r = np.sqrt(-np.log(np.where(q < 0, p, 1.0 - p)))
        tail = np.where(r <= 5.0, _ratio(PPF_C, PPF_D, r - 1.6), _ratio(PPF_E, PPF_F, r - 5.0))
        result = np.where(np.abs(q) <= 0.425, middle, np.where(q < 0, -tail, tail))
    result = np.where(p == 0, -np.inf, np.where(p == 1, np.inf, result))
    return np.where((p >= 0) & (p <= 1), result, np.nan)


def _ratio(top: tuple[float, ...], bottom: tuple[float, ...], r: Array) -> Array:
    a, b = np.full_like(r, top[-1]), np.full_like(r, bottom[-1])
    for i in range(len(top) - 2, -1, -1):
        a, b = a * r + top[i], b * r + bottom[i]
    return np.asarray(a / b)
