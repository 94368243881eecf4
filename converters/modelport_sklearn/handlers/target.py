"""TransformedTargetRegressor: a regressor of a transformed target, undone behind it."""

from __future__ import annotations

import numpy as np

from ..builder import Builder, Prediction, Table
from ..dispatch import predict, predicts
from ..ledger import Ledger
from .inverse import invert


@predicts("TransformedTargetRegressor")
def transformed_target(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """inverse_transform of what regressor_ predicts; one target stays [n] when it was fitted on [n]."""
    ledger.waive("regressor", "transformer", "func", "inverse_func", "check_inverse")
    transformer = ledger["transformer_"]
    value = predict(ledger["regressor_"], builder, table).prediction
    if value is None:
        raise ledger.refuse("regressor_", "predicts no numbers: use a regressor.")
    value = invert(transformer, builder, value)
    flat = ledger["_training_dim"] == 1 and builder.width(value) == 1
    if flat:
        return Prediction(prediction=builder.scalar(value, "prediction"))
    if builder.types[value].shape == ():
        value = builder.add("select", value, hint="prediction", index=np.zeros(1, dtype=np.int64))
    return Prediction(prediction=value)
