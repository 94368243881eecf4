"""The kernels of Gaussian processes, composed as they are: covariances with the training rows, and a row's own variance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelport.errors import UnsupportedAttribute

from ..builder import Array, Builder
from ..ledger import Ledger
from .guards import refuse_below
from .pairwise_kernels import EXPANDED, KERNELS, unit_points
from .scaling import unit_rows

#: A name of a value, or the same number for every row.
Amount = str | float


class Covariance:
    """Makes the steps of one kernel for the row `x` and the training rows `points`."""

    def __init__(self, builder: Builder, x: str, points: Array) -> None:
        self.builder, self.x, self.points = builder, x, points

    def with_points(self, kernel: Any) -> str:
        """[m]: the covariance with every training row."""
        value = self.cross(kernel)
        return self.builder.constant(np.full(len(self.points), value), "covariance") if isinstance(value, float) else value

    def cross(self, kernel: Any) -> Amount:
        """The covariance with every training row; a float where it is the same for all."""
        ledger = _ledger(kernel)
        value = CROSS[ledger.name](self, ledger)
        ledger.close()
        return value

    def own(self, kernel: Any) -> Amount:
        """[1]: the variance of the row itself, as the kernel's `diag` gives it."""
        ledger = _ledger(kernel)
        value = OWN[ledger.name](self, ledger)
        ledger.close()
        return value

    # --- sums, products and powers --------------------------------------------------------------------------------------------

    def add(self, a: Amount, b: Amount) -> Amount:
        """a + b."""
        if isinstance(a, float) and isinstance(b, float):
            return a + b
        if isinstance(a, float) or isinstance(b, float):
            value, number = (b, a) if isinstance(a, float) else (a, b)
            return self.scaled(str(value), add=float(number))
        return self.builder.add("binary", a, b, hint="covariance", fn="add")

    def multiply(self, a: Amount, b: Amount) -> Amount:
        """a * b."""
        if isinstance(a, float) and isinstance(b, float):
            return a * b
        if isinstance(a, float) or isinstance(b, float):
            value, number = (b, a) if isinstance(a, float) else (a, b)
            return self.scaled(str(value), mul=float(number))
        return self.builder.add("binary", a, b, hint="covariance", fn="mul")

    def power(self, a: Amount, exponent: float) -> Amount:
        """a ** exponent."""
        if isinstance(a, float):
            return float(a**exponent)
        return self.builder.add("binary", a, self.builder.constant([exponent], "exponent"), hint="covariance", fn="pow")

    # --- steps ----------------------------------------------------------------------------------------------------------------

    def scaled(self, value: str, hint: str = "covariance", **parts: float) -> str:
        """A `scale` step with one number per part."""
        return self.builder.add("scale", value, hint=hint, **{name: [number] for name, number in parts.items()})

    def unary(self, value: str, fn: str, hint: str = "covariance") -> str:
        """A `unary` step."""
        return self.builder.add("unary", value, hint=hint, fn=fn)

    def pairwise(self, metric: str, length: Any = None, hint: str = "covariance", **parameters: float) -> str:
        """A `pairwise` step, between the row and the training rows divided by their length scales."""
        x, points = self.x, self.points
        if length is not None:
            scales = np.atleast_1d(np.squeeze(np.asarray(length, dtype=np.float64)))
            x, points = self.builder.add("scale", x, hint="scaled", div=scales), points / scales
        return self.builder.add("pairwise", x, hint=hint, points=points, metric=metric, **parameters)

    def square_length(self, x: str | None = None) -> str:
        """[1]: the row times itself."""
        square = self.builder.add("unary", self.x if x is None else x, hint="squares", fn="square")
        return self.builder.add("reduce", square, hint="square_length", fn="sum", keep=True)


def _ledger(kernel: Any) -> Ledger:
    cls = type(kernel)
    if cls.__name__ not in CROSS or cls.__module__.partition(".")[0] != "sklearn":
        raise UnsupportedAttribute(
            f"The kernel {cls.__module__}.{cls.__qualname__} is not known: use kernels of sklearn.gaussian_process.kernels.",
            "kernel_",
        )
    ledger = Ledger(kernel)
    ledger.waive(*(name for name in vars(kernel) if name.endswith("_bounds")))
    return ledger


# --- covariances with the training rows ---------------------------------------------------------------------------------------


def _rbf(c: Covariance, ledger: Ledger) -> Amount:
    return c.pairwise("rbf", ledger["length_scale"], gamma=0.5)


def _matern(c: Covariance, ledger: Ledger) -> Amount:
    nu, length = float(ledger["nu"]), ledger["length_scale"]
    if nu == np.inf:
        return c.pairwise("rbf", length, gamma=0.5)
    if nu not in (0.5, 1.5, 2.5):
        raise ledger.refuse("nu", f"is {nu}, which needs Bessel functions: use 0.5, 1.5, 2.5 or inf.")
    distance = c.pairwise("euclidean", length, hint="distance")
    if nu == 0.5:
        return c.unary(c.unary(distance, "neg", "exponent"), "exp")
    k = c.scaled(distance, "distance", mul=float(np.sqrt(2 * nu)))
    decay = c.unary(c.unary(k, "neg", "exponent"), "exp", "decay")
    factor = c.scaled(k, "polynomial", add=1.0)
    if nu == 2.5:
        square = c.scaled(c.unary(k, "square", "square"), "square", div=3.0)
        factor = c.builder.add("binary", factor, square, hint="polynomial", fn="add")
    return c.multiply(factor, decay)


def _rational_quadratic(c: Covariance, ledger: Ledger) -> Amount:
    alpha, length = float(ledger["alpha"]), float(ledger["length_scale"])
    distance = c.pairwise("sqeuclidean", hint="squared_distance")
    return c.power(c.scaled(distance, "base", div=2 * alpha * length**2, add=1.0), -alpha)


def _exp_sine_squared(c: Covariance, ledger: Ledger) -> Amount:
    distance = c.pairwise("euclidean", hint="distance")
    turns = c.scaled(distance, "turns", mul=float(np.pi))
    turns = c.scaled(turns, "phase", div=float(ledger["periodicity"]))
    wave = c.scaled(c.unary(turns, "sin", "sine"), "sine", div=float(ledger["length_scale"]))
    return c.unary(c.scaled(c.unary(wave, "square", "square"), "exponent", mul=-2.0), "exp")


def _dot_product(c: Covariance, ledger: Ledger) -> Amount:
    return c.scaled(c.pairwise("dot"), add=float(ledger["sigma_0"]) ** 2)


def _constant(c: Covariance, ledger: Ledger) -> Amount:
    return float(ledger["constant_value"])


def _no_noise(c: Covariance, ledger: Ledger) -> Amount:
    ledger.waive("noise_level")
    return 0.0


def _pairwise(c: Covariance, ledger: Ledger) -> Amount:
    metric, given = _pairwise_parameters(ledger)
    x, points = c.x, c.points
    if ledger["metric"] == "cosine":
        x, points = unit_rows(c.builder, x, "l2"), unit_points(points)
    elif ledger["metric"] in ("chi2", "additive_chi2"):
        x = refuse_below(c.builder, x, 0.0)
    if metric == "rbf":
        c.builder.measure(*EXPANDED)
    return c.builder.add("pairwise", x, hint="covariance", points=points, metric=metric, **given)


def _pairwise_parameters(ledger: Ledger) -> tuple[str, dict[str, float]]:
    """The metric of `pairwise`, and the parameters it takes."""
    name = ledger["metric"]
    if callable(name) or name not in KERNELS:
        shown = getattr(name, "__name__", repr(name))
        raise ledger.refuse("metric", f"is {shown}, which cannot be exported: use one of {', '.join(sorted(KERNELS))}.")
    metric, defaults = KERNELS[name]
    given = {"gamma": ledger["gamma"], **(ledger["pairwise_kernels_kwargs"] or {})}
    chosen = {key: given.get(key, default) for key, default in defaults.items()}
    return metric, {key: float(value) for key, value in chosen.items() if value is not None}


def _both(combine: str, part: str) -> Callable[[Covariance, Ledger], Amount]:
    """The sum or product of the parts k1 and k2; part is `cross` or `own`."""

    def value(c: Covariance, ledger: Ledger) -> Amount:
        of = getattr(c, part)
        result: Amount = getattr(c, combine)(of(ledger["k1"]), of(ledger["k2"]))
        return result

    return value


def _power(part: str) -> Callable[[Covariance, Ledger], Amount]:
    def value(c: Covariance, ledger: Ledger) -> Amount:
        return c.power(getattr(c, part)(ledger["kernel"]), float(ledger["exponent"]))

    return value


# --- variances ----------------------------------------------------------------------------------------------------------------


def _one(c: Covariance, ledger: Ledger) -> Amount:
    ledger.waive("length_scale", "nu", "alpha", "periodicity")
    return 1.0


def _noise(c: Covariance, ledger: Ledger) -> Amount:
    return float(ledger["noise_level"])


def _own_dot_product(c: Covariance, ledger: Ledger) -> Amount:
    return c.scaled(c.square_length(), add=float(ledger["sigma_0"]) ** 2)


def _own_pairwise(c: Covariance, ledger: Ledger) -> Amount:
    metric, given = _pairwise_parameters(ledger)
    if metric in ("rbf", "laplacian", "chi2"):
        return 1.0
    if metric == "additive_chi2":
        return 0.0
    if ledger["metric"] == "cosine":
        return c.square_length(unit_rows(c.builder, c.x, "l2"))
    value = c.square_length()
    if metric == "dot":
        return value
    inner = c.scaled(value, "inner", mul=given["gamma"], add=given["coef0"])
    return c.power(inner, given["degree"]) if metric == "poly" else c.unary(inner, "tanh")


CROSS: dict[str, Callable[[Covariance, Ledger], Amount]] = {
    "RBF": _rbf,
    "Matern": _matern,
    "RationalQuadratic": _rational_quadratic,
    "ExpSineSquared": _exp_sine_squared,
    "DotProduct": _dot_product,
    "ConstantKernel": _constant,
    "WhiteKernel": _no_noise,
    "PairwiseKernel": _pairwise,
    "Sum": _both("add", "cross"),
    "Product": _both("multiply", "cross"),
    "Exponentiation": _power("cross"),
}
OWN: dict[str, Callable[[Covariance, Ledger], Amount]] = {
    **dict.fromkeys(("RBF", "Matern", "RationalQuadratic", "ExpSineSquared"), _one),
    "DotProduct": _own_dot_product,
    "ConstantKernel": _constant,
    "WhiteKernel": _noise,
    "PairwiseKernel": _own_pairwise,
    "Sum": _both("add", "own"),
    "Product": _both("multiply", "own"),
    "Exponentiation": _power("own"),
}
