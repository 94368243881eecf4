"""IsotonicRegression: a piecewise linear function of one column."""

from __future__ import annotations

import numpy as np

from ..builder import Array, Builder, Prediction, Table
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
    if knots.dtype == np.float32:  # fitted on float32 rows: it reads and answers float32
        if values.dtype != np.float32:
            raise ledger.refuse("y_thresholds_", f"are {values.dtype} beside float32 knots, so the fit is damaged: fit it again.")
        x = builder.add("cast", x, hint="single", to="f32")
    if len(knots) == 1:
        return Prediction(prediction=builder.constant(values[0], "prediction"))
    if outside == "raise":
        x = _inside(builder, x, float(knots[0]), float(knots[-1]))
    if knots.dtype == np.float32:
        value = _in_single_precision(builder, x, knots, values, outside)
        return Prediction(prediction=builder.add("cast", value, hint="prediction", to="f64"))
    line = {"x": knots.astype(np.float64), "y": values.astype(np.float64), "outside": "nan" if outside == "nan" else "clip"}
    return Prediction(prediction=builder.add("interp", x, hint="prediction", **line))


def _in_single_precision(builder: Builder, x: str, knots: Array, values: Array, outside: str) -> str:
    """slope (x - x_lo) + y_lo in float32, as scipy.interpolate computes it; a knot belongs to the segment that ends in it."""

    def two(fn: str, a: str, b: str, hint: str) -> str:
        return builder.add("binary", a, b, hint=hint, fn=fn, dtype="f32")

    inner = knots[1:-1]
    nearest = builder.add("clip", x, hint="nearest", dtype="f32", min_=knots[:1], max_=knots[-1:])
    segment = builder.add("bucketize", nearest, hint="segment", edges=inner, sizes=np.array([len(inner)]), side="left")
    tables = {"slope": np.diff(values) / np.diff(knots), "knot": knots[:-1], "start": values[:-1]}
    slope, knot, start = (builder.add("take", segment, hint=name, table=table) for name, table in tables.items())
    rise = two("mul", slope, two("sub", nearest, knot, "offset"), "rise")
    value = two("add", rise, start, "value")
    if outside != "nan":
        return value
    nothing = builder.add("constant", hint="nothing", value=np.array(np.nan, dtype=np.float32))
    return builder.add("where", two("eq", x, nearest, "inside"), value, nothing, hint="value_inside")


def _inside(builder: Builder, x: str, low: float, high: float) -> str:
    """x, where it lies between the outermost knots; other rows are refused."""
    dtype = builder.types[x].dtype
    wide = x if dtype == "f64" else builder.add("cast", x, hint="wide", to="f64")
    nearest = builder.add("clip", wide, hint="nearest", min=[low], max=[high])
    checked = refuse_unless(builder, wide, builder.add("binary", wide, nearest, hint="inside", fn="eq"))
    return checked if dtype == "f64" else builder.add("cast", checked, hint="checked", to=dtype)
