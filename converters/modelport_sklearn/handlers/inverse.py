"""What `inverse_transform` makes of numbers: transformers of a target, undone. A registry like those of dispatch.

A handler is `(ledger, builder, value) -> value`, the value an f64 row with one column per column of the transformer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from ..builder import Array, Builder
from ..dispatch import known_class
from ..expressing import expressed
from ..ledger import Ledger
from . import functions
from .decomposition import PCA_FITTING

Inverse = Callable[[Ledger, Builder, str], str]

INVERSES: dict[str, Inverse] = {}
EPS = float(np.spacing(1.0))
#: sklearn.preprocessing._data.BOUNDS_THRESHOLD: shares so near to 0 and 1 become the outermost quantiles (normal output only).
NEAR = 1e-7


def inverts(*names: str) -> Callable[[Inverse], Inverse]:
    """Register the inverse of transformer classes."""

    def register(handler: Inverse) -> Inverse:
        INVERSES.update(dict.fromkeys(names, handler))
        return handler

    return register


def invert(transformer: Any, builder: Builder, value: str) -> str:
    """The value before a fitted transformer transformed it."""
    name = known_class(transformer, INVERSES)
    if name is None:
        raise UnsupportedModel(
            f"The inverse of {type(transformer).__name__} is not known: use one of {', '.join(sorted(INVERSES))}, or predict the "
            "transformed target and undo it behind the model."
        )
    ledger = Ledger(transformer)
    result = INVERSES[name](ledger, builder, value)
    ledger.close()
    return result


@inverts("Pipeline")
def _pipeline(ledger: Ledger, builder: Builder, value: str) -> str:
    ledger.waive("transform_input")
    for _, step in reversed(ledger["steps"]):
        if step is not None and not isinstance(step, str):
            value = invert(step, builder, value)
    return value


@inverts("FunctionTransformer")
def _function(ledger: Ledger, builder: Builder, value: str) -> str:
    ledger.waive("func", "kw_args", "check_inverse", "feature_names_out", "accept_sparse", "validate")
    function, arguments = ledger["inverse_func"], dict(ledger["inv_kw_args"] or {})
    if function is None:
        return value
    handler = expressed(function)
    if handler is not None:
        return builder.matrix(handler(builder, builder.table(value), **arguments), "inverse")
    result = functions.apply_function(builder, value, function, arguments)
    if result is None:
        raise ledger.refuse(
            "inverse_func", f"is {functions.shown(function, arguments)}, which cannot be exported as code: {functions.ADVICE}"
        )
    return result


# --- scalers ------------------------------------------------------------------------------------------------------------------


@inverts("StandardScaler")
def _standard(ledger: Ledger, builder: Builder, value: str) -> str:
    ledger.waive("var_", "n_samples_seen_", "mean_", "scale_")
    scale = ledger["scale_"] if ledger["with_std"] else None
    mean = ledger["mean_"] if ledger["with_mean"] else None
    return _scaled(builder, value, mul=scale, add=mean)


@inverts("RobustScaler")
def _robust(ledger: Ledger, builder: Builder, value: str) -> str:
    ledger.waive("quantile_range", "unit_variance", "scale_", "center_")
    scale = ledger["scale_"] if ledger["with_scaling"] else None
    center = ledger["center_"] if ledger["with_centering"] else None
    return _scaled(builder, value, mul=scale, add=center)


@inverts("MinMaxScaler")
def _min_max(ledger: Ledger, builder: Builder, value: str) -> str:
    ledger.waive("data_min_", "data_max_", "data_range_", "n_samples_seen_", "feature_range", "clip")
    return _scaled(builder, value, sub=ledger["min_"], div=ledger["scale_"])


@inverts("MaxAbsScaler")
def _max_abs(ledger: Ledger, builder: Builder, value: str) -> str:
    ledger.waive("max_abs_", "n_samples_seen_", "clip")
    return _scaled(builder, value, mul=ledger["scale_"])


def _scaled(builder: Builder, value: str, **parts: Any) -> str:
    present = {name: np.atleast_1d(np.asarray(part, dtype=np.float64)) for name, part in parts.items() if part is not None}
    return builder.add("scale", value, hint="unscaled", **present) if present else value


@inverts("PCA", "IncrementalPCA")
def _pca(ledger: Ledger, builder: Builder, value: str) -> str:
    """value components_ + mean_, the components times the standard deviations when whitened."""
    ledger.waive(*PCA_FITTING)
    components, variance = np.asarray(ledger["components_"]), np.asarray(ledger["explained_variance_"])
    if ledger["whiten"]:
        components = np.sqrt(variance[:, np.newaxis]) * components
    weight = np.ascontiguousarray(components.T, dtype=np.float64)
    return builder.add("linear", value, hint="unprojected", weight=weight, bias=np.asarray(ledger["mean_"], dtype=np.float64))


# --- PowerTransformer ---------------------------------------------------------------------------------------------------------


@inverts("PowerTransformer")
def _power(ledger: Ledger, builder: Builder, value: str) -> str:
    """Column by column, in scikit-learn's (Yeo-Johnson) or SciPy's (Box-Cox) own order of arithmetic."""
    method, lambdas = ledger["method"], np.asarray(ledger["lambdas_"])
    ledger.waive("_scaler")
    if ledger["standardize"]:
        value = invert(ledger["_scaler"], builder, value)
    undo = _box_cox if method == "box-cox" else _yeo_johnson
    return _by_column(builder, value, [partial(undo, builder, power=power) for power in lambdas])


def _by_column(builder: Builder, value: str, functions: list[Callable[[str], str]]) -> str:
    """A function of its own for every column."""
    if len(functions) == 1:
        return functions[0](value)
    columns = [builder.add("select", value, hint="target", index=[j]) for j in range(len(functions))]
    return builder.add("concat", *(f(x) for f, x in zip(functions, columns, strict=True)), hint="targets")


def _box_cox(builder: Builder, x: str, power: Any) -> str:
    """exp(log1p(power x) / power); exp(x) for power 0."""
    power = float(power)
    if power == 0:
        return builder.add("unary", x, hint="unpowered", fn="exp")
    log = builder.add("unary", builder.add("scale", x, hint="product", mul=[power]), hint="log", fn="log1p")
    return builder.add("unary", builder.add("scale", log, hint="exponent", div=[power]), hint="unpowered", fn="exp")


def _yeo_johnson(builder: Builder, x: str, power: Any) -> str:
    """(x power + 1)^(1 / power) - 1 for x >= 0, else 1 - (1 - (2 - power) x)^(1 / (2 - power)), exponentials in the limits.

    power is a NumPy number of the dtype of the target of the fit, in which its own arithmetic stays.
    """
    if abs(power) < EPS:
        above = builder.add("unary", x, hint="exponential", fn="exp")
    else:
        above = _raised(builder, x, power, 1 / power)
    above = builder.add("scale", above, hint="above", sub=[1.0])
    if abs(power - 2) > EPS:
        below = _raised(builder, x, -(2 - power), 1 / (2 - power))
    else:
        below = builder.add("unary", builder.add("unary", x, hint="negated", fn="neg"), hint="exponential", fn="exp")
    below = builder.add("scale", builder.add("unary", below, hint="minus", fn="neg"), hint="below", add=[1.0])
    positive = builder.add("binary", x, builder.constant([0.0], "zero"), hint="is_positive", fn="ge")
    return builder.add("where", positive, above, below, hint="unpowered")


def _raised(builder: Builder, x: str, factor: Any, exponent: Any) -> str:
    base = builder.add("scale", x, hint="base", mul=[float(factor)], add=[1.0])
    return builder.add("binary", base, builder.constant([float(exponent)], "exponent"), hint="raised", fn="pow")


# --- QuantileTransformer ------------------------------------------------------------------------------------------------------


@inverts("QuantileTransformer")
def _quantile(ledger: Ledger, builder: Builder, value: str) -> str:
    """The quantile at a share; behind normal output the share is the normal distribution function of the number."""
    ledger.waive("n_quantiles", "subsample", "n_quantiles_", "ignore_implicit_zeros")
    quantiles = np.asarray(ledger["quantiles_"], dtype=np.float64)  # [n_quantiles, columns]
    references = np.asarray(ledger["references_"], dtype=np.float64)
    if not np.isfinite(quantiles).all():
        raise ledger.refuse("quantiles_", "hold NaN, because a column had no value when it was fitted: leave that column out.")
    undo = _normal_quantile if ledger["output_distribution"] == "normal" else _uniform_quantile
    columns = np.ascontiguousarray(quantiles.T)
    return _by_column(builder, value, [partial(undo, builder, references=references, quantiles=column) for column in columns])


def _uniform_quantile(builder: Builder, share: str, references: Array, quantiles: Array) -> str:
    return builder.add("interp", share, hint="quantile", x=references, y=np.ascontiguousarray(quantiles), outside="clip")


def _normal_quantile(builder: Builder, x: str, references: Array, quantiles: Array) -> str:
    """The outermost quantiles within NEAR of the ends, which are found as bounds of x itself, so that no rounding moves them."""
    from scipy.stats import norm

    error = builder.add("unary", builder.add("scale", x, hint="argument", div=[float(np.sqrt(2.0))]), hint="error", fn="erf")
    share = builder.add("scale", error, hint="share", mul=[0.5], add=[0.5])
    inner = _uniform_quantile(builder, share, references, quantiles)
    low = _first_double(lambda v: not norm.cdf(v) - NEAR < 0)
    high = _first_double(lambda v: bool(norm.cdf(v) + NEAR > 1))
    is_high = builder.add("binary", x, builder.constant([high], "upper"), hint="is_high", fn="ge")
    is_low = builder.add("binary", x, builder.constant([low], "lower"), hint="is_low", fn="lt")
    most, least = builder.constant(quantiles[-1:], "highest"), builder.constant(quantiles[:1], "lowest")
    bounded = builder.add("where", is_high, most, inner, hint="quantile_or_highest")
    return builder.add("where", is_low, least, bounded, hint="quantile_in_bounds")


def _first_double(holds: Callable[[float], bool]) -> float:
    """The smallest double between -40 and 40 at which a rising condition holds."""
    low, high = -40.0, 40.0
    while True:
        middle = low + (high - low) / 2
        if not low < middle < high:
            return high
        low, high = (low, middle) if holds(middle) else (middle, high)
