"""A native Booster asked like an estimator, and files saved by LightGBM."""

from __future__ import annotations

from typing import Any

import numpy as np
from modelport_sklearn.builder import Array, Builder, Prediction, Table
from modelport_sklearn.dispatch import predicts
from modelport_sklearn.ledger import Ledger

from modelport.errors import ArtifactError, NotFitted

from .graph import add_raw, add_value, prediction
from .model import parse, parse_text

__all__ = ["NativeBooster", "as_estimator", "loaded"]


class NativeBooster:
    """A Booster; predict(rows) is the booster's own, with one thread."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster
        self.n_features_in_ = int(booster.num_feature())

    def predict(self, rows: Any) -> Array:
        """The booster's answers [n] or [n, outputs]."""
        return np.asarray(self.booster.predict(rows, num_threads=1))


@predicts(NativeBooster)
def native_booster(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What the objective makes of the raw scores, up to the best iteration."""
    model = parse(ledger["booster"])
    return Prediction(prediction=prediction(builder, add_value(builder, add_raw(builder, table, model), model)))


def as_estimator(model: Any) -> Any:
    """The model itself, or an estimator around a native Booster; NotFitted when it has no tree."""
    import lightgbm

    if not isinstance(model, lightgbm.Booster):
        return model
    if not model.num_trees():
        raise NotFitted("This Booster has no tree: train it first, then convert.")
    return NativeBooster(model)


def loaded(data: bytes) -> Any:
    """The Booster in the bytes of a file. The text is checked first: LightGBM ends the process on some damaged files."""
    import lightgbm

    try:
        text = data.decode("utf-8")
        parse_text(text)
        return lightgbm.Booster(model_str=text)
    except (ValueError, KeyError, lightgbm.basic.LightGBMError) as error:
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise ArtifactError(f"The file is no LightGBM model, or it is damaged: {reason}.") from None
