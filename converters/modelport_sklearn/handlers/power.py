"""PowerTransformer: Yeo-Johnson and Box-Cox, in the forms SciPy computes them by, then standardised."""

from __future__ import annotations

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from .refusing import refuse_infinite, refuse_where

EPS = np.finfo(np.float64).eps
#: scipy.special.boxcox: lambdas nearer to 0 mean the logarithm, and above LARGEST expm1 is written otherwise.
SMALLEST, LARGEST = 1e-19, 709.78


@transforms("PowerTransformer")
def power_transformer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """(x^lambda - 1) / lambda of x (Box-Cox) or of 1 + |x| with the sign of x (Yeo-Johnson), then (y - mean) / deviation."""
    method, lambdas = ledger["method"], np.asarray(ledger["lambdas_"])
    x = builder.matrix(table)
    value = yeo_johnson(builder, x, lambdas) if method == "yeo-johnson" else box_cox(builder, x, lambdas.astype(np.float64))
    ledger.waive("_scaler")
    if ledger["standardize"]:
        scaler = ledger["_scaler"]
        value = refuse_infinite(builder, value)
        value = builder.add("scale", value, hint="standardized", sub=scaler.mean_, div=scaler.scale_)
    return builder.table(value, table.names)


def yeo_johnson(builder: Builder, x: str, lambdas: Array) -> str:
    """sign(x) expm1(p log1p|x|) / p per column, with p = lambda for x >= 0, else 2 - lambda; p = 0 means log1p|x| itself.

    lambdas have the dtype of the rows of the fit, in which SciPy takes 2 - lambda.
    """
    above = np.where(np.abs(lambdas) < EPS, 0.0, lambdas)
    below = np.where(np.abs(lambdas - 2) > EPS, 2 - lambdas, 0.0)
    zero = builder.constant([0.0], "zero")
    positive = builder.add("binary", x, zero, hint="is_positive", fn="ge")
    size = builder.add("unary", builder.add("unary", x, hint="size", fn="abs"), hint="log_size", fn="log1p")
    power = builder.add(
        "where", positive, builder.constant(above, "power_above"), builder.constant(below, "power_below"), hint="power"
    )
    value = _powered(builder, size, power, bool((above == 0).any() or (below == 0).any()))
    return builder.add("where", positive, value, builder.add("unary", value, hint="negated", fn="neg"), hint="transformed")


def _powered(builder: Builder, log: str, power: str, zeros: bool) -> str:
    """expm1(power log) / power; log where the power is 0."""
    product = builder.add("binary", power, log, hint="exponent", fn="mul")
    raised = builder.add("unary", product, hint="raised", fn="expm1")
    if not zeros:
        return builder.add("binary", raised, power, hint="powered", fn="div")
    none = builder.add("binary", power, builder.constant([0.0], "zero"), hint="is_log", fn="eq")
    divisor = builder.add("where", none, builder.constant([1.0], "one"), power, hint="divisor")
    return builder.add(
        "where", none, log, builder.add("binary", raised, divisor, hint="powered", fn="div"), hint="powered_or_log"
    )


def box_cox(builder: Builder, x: str, lambdas: Array) -> str:
    """expm1(lambda log x) / lambda per column, log x where lambda is 0; x that is not above 0 is refused."""
    x = refuse_where(builder, x, "le", 0.0)
    log = builder.add("unary", x, hint="log", fn="log")
    logs = np.abs(lambdas) < SMALLEST
    divisor = np.where(logs, 1.0, lambdas)
    exponent = builder.add("scale", log, hint="exponent", mul=np.where(logs, 0.0, lambdas))
    raised = builder.add("scale", builder.add("unary", exponent, hint="raised", fn="expm1"), hint="powered", div=divisor)
    shifted = builder.add("scale", exponent, hint="shifted", sub=np.log(np.abs(divisor)))
    large = builder.add("unary", shifted, hint="large", fn="exp")
    large = builder.add("scale", large, hint="powered_large", mul=np.copysign(1.0, divisor), add=-1.0 / divisor)
    fits = builder.add("binary", exponent, builder.constant([LARGEST], "largest"), hint="fits", fn="lt")
    value = builder.add("where", fits, raised, large, hint="transformed")
    if not logs.any():
        return value
    is_log = builder.add("binary", builder.constant(logs, "log_columns"), builder.constant([0.0], "zero"), hint="is_log", fn="gt")
    return builder.add("where", is_log, log, value, hint="transformed")
