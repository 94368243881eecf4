"""The scikit-learn wrappers of XGBoost, wherever they stand in scikit-learn models."""

from __future__ import annotations

from typing import Any

import numpy as np
from modelport_sklearn.builder import Builder, Prediction, Table
from modelport_sklearn.ledger import Ledger

from .graph import HALF, above, add_margin, add_value, prediction, wide
from .model import Model, parse

__all__ = ["PREDICTORS"]

#: How the booster was grown; the booster itself is read.
GROWING = (
    "base_score callbacks colsample_bylevel colsample_bynode colsample_bytree device early_stopping_rounds enable_categorical "
    "eval_metric feature_types feature_weights gamma grow_policy importance_type interaction_constraints learning_rate max_bin "
    "max_cat_threshold max_cat_to_onehot max_delta_step max_depth max_leaves min_child_weight monotone_constraints "
    "multi_strategy n_estimators num_parallel_tree reg_alpha reg_lambda sampling_method scale_pos_weight subsample tree_method "
    "validate_parameters verbosity evals_result_ gpu_id predictor use_label_encoder sketch_eps"
).split()


def regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What the objective makes of the margin; rankers too."""
    model, margin = _margin(ledger, builder, table)
    _ = ledger["objective"]
    return Prediction(prediction=prediction(builder, add_value(builder, margin, model)))


def classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Two classes: the second where the prediction is above 0.5. More: the class of the largest share, ties to the first.

    Several targets: 1 for each whose prediction is above 0.5.
    """
    model, margin = _margin(ledger, builder, table)
    count = int(ledger["n_classes_"])
    if ledger["objective"] == "multi:softmax":
        return _by_class_number(ledger, builder, margin, model, count)
    value = add_value(builder, margin, model)
    classes = np.arange(count)
    if builder.width(value) > 1 and count != 2:
        if builder.width(value) != count:
            raise ledger.refuse("n_classes_", f"is {count}, but the booster answers {builder.width(value)} numbers.")
        return Prediction(
            label=builder.label_of_largest(value, classes), classes=classes, probability=wide(builder, value, "probability")
        )
    if model.objective in ("binary:logistic", "reg:logistic"):
        positive = above(builder, margin, HALF)
    else:
        positive = above(builder, value, 0.5)
    if builder.width(value) > 1:
        label = builder.add("cast", positive, hint="label", to="f64")
        return Prediction(label=label, probability=wide(builder, value, "probability"))
    index = builder.add("reduce", builder.add("cast", positive, hint="is_second", to="f64"), hint="index", fn="max")
    label = builder.add("take", builder.add("cast", index, hint="number", to="i64"), hint="label", table=classes)
    both = builder.add("two_class", value, hint="shares", dtype="f32")
    return Prediction(label=label, classes=classes, probability=wide(builder, both, "probability"))


def _by_class_number(ledger: Ledger, builder: Builder, margin: str, model: Model, count: int) -> Prediction:
    """multi:softmax: predict gives the number of the largest margin, predict_proba the shares."""
    if model.objective != "multi:softmax" or builder.width(margin) != count:
        raise ledger.refuse("objective", f"is 'multi:softmax', but the booster was fitted with {model.objective!r}.")
    classes = np.arange(count)
    shares = builder.add("softmax", margin, hint="shares", dtype="f32")
    label = builder.label_of_largest(margin, classes)
    return Prediction(label=label, classes=classes, probability=wide(builder, shares, "probability"))


def _margin(ledger: Ledger, builder: Builder, table: Table) -> tuple[Model, str]:
    ledger.waive(*GROWING)
    model = parse(ledger.estimator.get_booster())
    ledger.waive("_Booster", "kwargs")
    in_place = ledger.get("booster") != "gblinear"
    trees = None
    if model.best_iteration is not None and model.weight is None:
        if model.best_iteration >= len(model.ends):
            raise ledger.refuse("best_iteration", f"is {model.best_iteration}, beyond the rounds of the booster.")
        trees = model.ends[model.best_iteration]
    missing = ledger.get("missing", np.nan)
    margin = add_margin(builder, table, model, missing=_number(ledger, missing), trees=trees, in_place=in_place)
    return model, margin


def _number(ledger: Ledger, missing: Any) -> float:
    if missing is None:
        return float("nan")
    if not isinstance(missing, (int, float, np.number)):
        raise ledger.refuse("missing", f"is {missing!r}: use NaN or a number.")
    return float(missing)


PREDICTORS = {
    "XGBClassifier": classifier,
    "XGBRFClassifier": classifier,
    "XGBRegressor": regressor,
    "XGBRFRegressor": regressor,
    "XGBRanker": regressor,
    "XGBModel": regressor,
}
