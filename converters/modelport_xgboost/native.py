"""XGBoost models that stand alone: boosters asked like estimators, frames with categories, and files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from modelport_sklearn.builder import Array, Builder, Prediction, Table
from modelport_sklearn.dispatch import predict, predicts
from modelport_sklearn.ledger import Ledger

from modelport.errors import ArtifactError, InputError, NotFitted
from modelport.sample import Column, Sample

from . import ubjson
from .graph import add_margin, add_value, prediction
from .model import nodes, parse, parse_state

__all__ = ["Alone", "AloneBooster", "AloneEstimator", "as_estimator", "loaded"]


class Alone:
    """A model and the sample of its rows; a row with a category that the sample's columns do not know is refused.

    XGBoost means to refuse such a row, but takes many an unknown category for its neighbour in the alphabet.
    """

    refuses_unknown_categories = True

    def __init__(self, original: Any, sample: Sample) -> None:
        self.original = original
        self.sample = sample

    def known(self, rows: Any) -> Any:
        """The rows; ValueError for an unknown category."""
        for j, column in enumerate(self.sample.columns):
            if is_category(column) and self.sample.frame:
                unknown = rows.iloc[:, j].cat.categories.difference(column.original.categories)
                if len(unknown):
                    raise ValueError(f"column {column.name!r} does not know the category {unknown[0]!r}")
        return rows


class AloneBooster(Alone):
    """A Booster; predict(rows) is the booster's predict of a DMatrix of the rows."""

    def __init__(self, original: Any, sample: Sample) -> None:
        super().__init__(original, sample)
        self.n_features_in_ = int(original.num_features())
        if original.feature_names is not None:
            self.feature_names_in_ = np.array(original.feature_names, dtype=object)

    def predict(self, rows: Any) -> Array:
        """The booster's answers [n] or [n, outputs] f32."""
        import xgboost

        framed = hasattr(rows, "columns")
        names, types = (None, None) if framed else (self.original.feature_names, self.original.feature_types)
        matrix = xgboost.DMatrix(self.known(rows), feature_names=names, feature_types=types, enable_categorical=True, nthread=1)
        return np.asarray(self.original.predict(matrix))


class AloneEstimator(Alone):
    """A wrapper that is fed a frame with categories."""

    def __init__(self, original: Any, sample: Sample) -> None:
        super().__init__(original, sample)
        self.n_features_in_ = original.n_features_in_

    def predict(self, rows: Any) -> Array:
        """The wrapper's predict."""
        return np.asarray(self.original.predict(self.known(rows)))

    def predict_proba(self, rows: Any) -> Array:
        """The wrapper's predict_proba, if it has one."""
        return np.asarray(self.original.predict_proba(self.known(rows)))


def is_category(column: Column) -> bool:
    """Whether a column of the sample is a categorical one of a frame."""
    return type(column.original).__name__ == "CategoricalDtype"


@predicts(AloneBooster)
def alone_booster(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """All trees: a native predict takes no notice of early stopping."""
    ledger.waive("sample")
    model = parse(ledger["original"])
    margin = add_margin(builder, table, model, missing=float("nan"), trees=None, in_place=False)
    return Prediction(prediction=prediction(builder, add_value(builder, margin, model)))


@predicts(AloneEstimator)
def alone_estimator(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """As the wrapper inside."""
    ledger.waive("sample")
    return predict(ledger["original"], builder, table)


def as_estimator(model: Any, sample: Sample) -> Any:
    """The model itself, or an estimator around a native Booster or a frame with categories."""
    import xgboost

    if isinstance(model, xgboost.Booster):
        try:
            rounds = model.num_boosted_rounds()
        except xgboost.core.XGBoostError:
            rounds = 0
        if not rounds:
            raise NotFitted("This Booster has no boosting round: train it first, then convert.")
        return AloneBooster(model, sample)
    if not model.__sklearn_is_fitted__():
        raise NotFitted(f"This {type(model).__name__} is not fitted: call fit first, then convert.")
    return AloneEstimator(model, sample) if sample.frame and any(map(is_category, sample.columns)) else model


def loaded(data: bytes) -> Any:
    """The model in the bytes of a file: the wrapper that saved it, else a Booster.

    The file is read and checked here first: XGBoost ends the process on many a damaged one.
    """
    import xgboost

    try:
        state = ubjson.loads(data) if ubjson.is_ubjson(data) else json.loads(data)
        model = parse_state(state)
        if model.trees:
            nodes(model, len(model.trees), in_place=True)
        kind = state["learner"]["attributes"].get("scikit_learn")
        kinds = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}
        name = kinds.get(json.loads(kind).get("_estimator_type", ""), "Booster") if kind else "Booster"
        found = getattr(xgboost, name)()
        found.load_model(bytearray(data))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, InputError, RecursionError) as error:
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise ArtifactError(f"The file is no XGBoost model, or it is damaged: {reason}.") from None
    return found
