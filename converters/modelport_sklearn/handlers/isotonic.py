"""IsotonicRegression: a piecewise linear function of one column."""

from __future__ import annotations

import numpy as np

from ..builder import Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger
from .guards import refuse_unless


@predicts("IsotonicRegression")
def isotonic_regression(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Between two knots the line through them; outside the end value, NaN, or a refusal, as out_of_bounds says."""
    ledger.waive("increasing", "increasing_", "y_min", "y_max", "f_")
    knots, values = np.asarray(ledger["X_thresholds_"]), np.asarray(ledger["y_thresholds_"])
    if (knots[0], knots[-1]) != (ledger["X_min_"], ledger["X_max_"]):
        raise ledger.refuse("X_min_", "is not where the knots begin, so the fit is damaged: fit the model again.")
    outside = ledger.demand("out_of_bounds", "nan", "clip", "raise", instead="use 'nan', 'clip' or 'raise'.")
    x = builder.scalar(builder.matrix(table), "x")
    single = knots.dtype == np.float32  # fitted on float32 rows: it reads and answers float32
    if single:
        x = _rounded(builder, x, "x_rounded")
    if outside == "raise" and len(knots) > 1:
        x = _inside(builder, x, float(knots[0]), float(knots[-1]))
    value = builder.add(
        "interp",
        x,
        hint="prediction" if not single else "value",
        x=knots.astype(np.float64),
        y=values.astype(np.float64),
        outside="nan" if outside == "nan" and len(knots) > 1 else "clip",
    )
    return Prediction(prediction=_rounded(builder, value, "prediction") if single else value)


def _inside(builder: Builder, x: str, low: float, high: float) -> str:
    """x, where it lies between the outermost knots; other rows are refused."""
    return refuse_unless(
        builder,
        x,
        builder.add("binary", x, builder.add("clip", x, hint="nearest", min=[low], max=[high]), hint="inside", fn="eq"),
    )


def _rounded(builder: Builder, value: str, hint: str) -> str:
    return builder.add("cast", builder.add("cast", value, hint="single", to="f32"), hint=hint, to="f64")
