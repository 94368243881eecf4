"""CatBoost's estimators inside scikit-learn models."""

from __future__ import annotations

from typing import Any

import numpy as np
from modelport_sklearn.builder import Builder, Prediction, Table
from modelport_sklearn.ledger import Ledger

from .graph import Known, add_raw, classification, regression
from .model import CLASS_LOSSES, Model, parse, refused

__all__ = ["PREDICTORS"]

#: What describes the fit; the model itself is saved and read.
RECORDS = (
    "_init_params _canonized_params _object _is_fitted_ _random_seed _learning_rate _tree_count _n_features_in "
    "_prediction_values_change _loss_value_change _estimator_type _callbacks"
).split()


def nested(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """A model that is fed numbers."""
    ledger.waive(*RECORDS)
    model = parse(ledger.estimator)
    if model.tested():
        raise refused("cat_features", "can be read only where the model stands alone: convert it by itself, with its frame.")
    return answer(builder, table, ledger.estimator, model, {})


def answer(builder: Builder, table: Table, estimator: Any, model: Model, known: Known) -> Prediction:
    """What predict (and predict_proba) of the estimator give, by the kind of estimator."""
    raw = add_raw(builder, table, model, known)
    kinds = [cls.__name__ for cls in type(estimator).__mro__]
    if "CatBoostClassifier" in kinds:
        if model.loss not in CLASS_LOSSES:
            raise refused("loss_function", f"{model.loss!r} is no loss of classifiers that is known.")
        return classification(builder, raw, model, np.asarray(estimator.classes_))
    return regression(builder, raw, model, plain="CatBoostRegressor" not in kinds)


PREDICTORS = dict.fromkeys(("CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker", "CatBoost"), nested)
