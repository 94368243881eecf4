"""EllipticEnvelope: the distance from the centre of the data, in units of its covariance."""

from __future__ import annotations

from ..builder import Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger
from .linear import dense
from .outliers import inlier_label

#: How location and covariance were estimated.
ESTIMATING = (
    "assume_centered contamination covariance_ dist_ raw_covariance_ raw_location_ raw_support_ store_precision support_ "
    "support_fraction"
).split()


@predicts("EllipticEnvelope")
def elliptic_envelope(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """-(x - location_)' precision (x - location_) - offset_, and whether it is at least 0."""
    ledger.waive(*ESTIMATING, "precision_")
    location, precision = dense(ledger["location_"]), dense(ledger.estimator.get_precision())
    centered = builder.add("scale", builder.matrix(table), hint="centered", sub=location)
    weighted = builder.add("linear", centered, hint="weighted", weight=precision)
    product = builder.add("binary", centered, weighted, hint="product", fn="mul")
    square = builder.add("reduce", product, hint="distance_squared", fn="sum")
    distance = builder.add("unary", square, hint="distance", fn="sqrt")  # NaN where rounding makes the square negative
    negative = builder.add("unary", builder.add("unary", distance, hint="squared", fn="square"), hint="negative", fn="neg")
    score = builder.add("scale", negative, hint="score", sub=[float(ledger["offset_"])])
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    return Prediction(label=inlier_label(builder, score), score=score, role="anomaly")
