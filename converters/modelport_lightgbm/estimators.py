"""The scikit-learn wrappers of LightGBM, wherever they stand in scikit-learn models."""

from __future__ import annotations

from modelport_sklearn.builder import Builder, Prediction, Table
from modelport_sklearn.ledger import Ledger

from .graph import add_raw, add_value, prediction
from .model import Model, parse

__all__ = ["PREDICTORS"]

#: How the booster was grown, and records of it; the booster itself is read.
GROWING = (
    "boosting_type objective num_leaves max_depth learning_rate n_estimators subsample_for_bin min_split_gain min_child_weight "
    "min_child_samples subsample subsample_freq colsample_bytree reg_alpha reg_lambda importance_type class_weight client "
    "fitted_ _evals_result _best_score _best_iteration _class_weight _class_map _fitted_with_feature_names _n_features "
    "_n_features_in _le _n_classes _eval_at"
).split()
#: Parameters that predict would pay attention to, had they been given at construction.
ASKED_AT_PREDICT = ("pred_early_stop", "pred_early_stop_freq", "pred_early_stop_margin", "start_iteration_predict")
COUNTS = ("num_iteration_predict", "predict_raw_score", "is_predict_raw_score", "predict_leaf_index", "predict_contrib")


def regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What the objective makes of the raw score; rankers too."""
    model = _model(ledger)
    ledger.waive("_objective", "_classes")
    return Prediction(prediction=prediction(builder, add_value(builder, add_raw(builder, table, model), model)))


def classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The class of the largest probability, ties to the first."""
    model = _model(ledger)
    if callable(ledger["_objective"]):
        raise ledger.refuse("objective", "is a function, so predict answers raw scores in place of labels: use the Booster.")
    classes = ledger["_classes"]
    raw = add_raw(builder, table, model)
    value = add_value(builder, raw, model)
    if builder.width(value) == 1:
        if len(classes) != 2:
            raise ledger.refuse("classes_", f"holds {len(classes)} classes, but the booster answers one number.")
        value = builder.add("two_class", value, hint="probability")
        raw = builder.scalar(raw, "decision")
    elif builder.width(value) != len(classes):
        raise ledger.refuse("classes_", f"holds {len(classes)} classes, but the booster answers {builder.width(value)} numbers.")
    score = raw if hasattr(ledger.estimator, "decision_function") else None
    label = builder.label_of_largest(value, classes)
    return Prediction(label=label, classes=classes, probability=value, score=score)


def _model(ledger: Ledger) -> Model:
    ledger.waive(*GROWING)
    given = ledger.get("_other_params") or {}
    asked = next((name for name in (*ASKED_AT_PREDICT, *COUNTS) if given.get(name)), None)
    if asked is not None:
        raise ledger.refuse(asked, "changes what predict answers, which is not read: leave it out.")
    ledger.waive(*given)
    booster = ledger["_Booster"]
    if booster is None:
        booster = ledger.estimator.booster_
    return parse(booster)


PREDICTORS = {"LGBMClassifier": classifier, "LGBMRegressor": regressor, "LGBMRanker": regressor, "LGBMModel": regressor}
