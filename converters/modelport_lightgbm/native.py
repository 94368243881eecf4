"""LightGBM models that stand alone: boosters asked like estimators, column names with spaces, and files."""

from __future__ import annotations

from typing import Any

import numpy as np
from modelport_sklearn.builder import Array, Builder, Prediction, Table
from modelport_sklearn.dispatch import predict, predicts
from modelport_sklearn.ledger import Ledger

from modelport.errors import ArtifactError, InputError, NotFitted
from modelport.sample import Sample

from .graph import add_raw, add_value, prediction
from .model import parse, parse_text

__all__ = ["AloneEstimator", "NativeBooster", "as_estimator", "loaded"]


class NativeBooster:
    """A Booster; predict(rows) is the booster's own, with one thread."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster
        self.n_features_in_ = int(booster.num_feature())

    def predict(self, rows: Any) -> Array:
        """The booster's answers [n] or [n, outputs]."""
        return np.asarray(self.booster.predict(rows, num_threads=1))


class AloneEstimator:
    """A wrapper whose own names of columns are not those of its frames: LightGBM writes an underscore for a space."""

    def __init__(self, original: Any) -> None:
        self.original = original
        self.n_features_in_ = original.n_features_in_

    def predict(self, rows: Any) -> Array:
        """The wrapper's predict."""
        return np.asarray(self.original.predict(rows))

    def predict_proba(self, rows: Any) -> Array:
        """The wrapper's predict_proba, if it has one."""
        return np.asarray(self.original.predict_proba(rows))


@predicts(NativeBooster)
def native_booster(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What the objective makes of the raw scores, up to the best iteration."""
    model = parse(ledger["booster"])
    return Prediction(prediction=prediction(builder, add_value(builder, add_raw(builder, table, model), model)))


@predicts(AloneEstimator)
def alone_estimator(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """As the wrapper inside."""
    return predict(ledger["original"], builder, table)


def as_estimator(model: Any, sample: Sample) -> Any:
    """The model itself, or an estimator around it; NotFitted when it has no tree."""
    import lightgbm

    native = isinstance(model, lightgbm.Booster)
    if native and not model.num_trees():
        raise NotFitted("This Booster has no tree: train it first, then convert.")
    if not native and not model.__sklearn_is_fitted__():
        raise NotFitted(f"This {type(model).__name__} is not fitted: call fit first, then convert.")
    spaced = sample.named and any(name != _underscored(name) for name in sample.names)
    if sample.named and (native or spaced):
        _check_names((model if native else model.booster_).feature_name(), sample.names)
    return NativeBooster(model) if native else AloneEstimator(model) if spaced else model


def _underscored(name: str) -> str:
    return "_".join(name.split(" "))


def _check_names(fitted: list[str], given: list[str]) -> None:
    """InputError when the sample's columns are in another order than the model's, or others."""
    unnamed = fitted == [f"Column_{j}" for j in range(len(fitted))]
    if not unnamed and len(fitted) == len(given) and fitted != [_underscored(name) for name in given]:
        raise InputError(f"The sample's columns are {given[:8]}, but the model was fitted on {fitted[:8]}, in this order.")


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
