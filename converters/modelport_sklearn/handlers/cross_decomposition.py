"""Partial least squares and canonical correlation: PLSRegression, PLSCanonical, CCA (predict and transform), PLSSVD."""

from __future__ import annotations

import numpy as np

from ..builder import Builder, Prediction, Table
from ..dispatch import predicts, transforms
from ..ledger import Ledger
from ..versions import sklearn_version
from .linear import dense

#: How weights, loadings and scores were found.
FITTING = (
    "algorithm deflation_mode max_iter mode n_components n_iter_ norm_y_weights scale tol x_loadings_ x_scores_ x_weights_ "
    "y_loadings_ y_rotations_ y_scores_ y_weights_ _coef_ _n_features_out _norm_y_weights _x_scores _y_mean _y_scores _y_std"
).split()


@predicts("PLSRegression", "PLSCanonical", "CCA")
def pls(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """(x - mean) coef_' + intercept_; before scikit-learn 1.5 divided by the deviation in between."""
    ledger.waive(*FITTING, "x_rotations_", "_x_std")
    mean, weight = dense(ledger["_x_mean"]), dense(ledger["coef_"])
    scaling = {"sub": mean}
    if _is_for_scaled(ledger):
        if sklearn_version() >= (1, 5):
            raise ledger.misjudged(
                "coef_",
                "is for columns divided by their deviation, as scikit-learn before 1.5 kept it, and the scikit-learn installed "
                "here would answer with it for columns that are not: convert it where it was saved, or fit it again.",
            )
        scaling["div"] = dense(ledger["_x_std"])
    flat = ledger.get("_predict_1d", False)
    centered = builder.add("scale", builder.matrix(table), hint="centered", **scaling)
    hint = "value" if flat else "prediction"
    value = builder.add("linear", centered, hint=hint, weight=np.ascontiguousarray(weight), bias=dense(ledger["intercept_"]))
    return Prediction(prediction=builder.scalar(value, "prediction") if flat else value)


def _is_for_scaled(ledger: Ledger) -> bool:
    """Whether coef_ says what x / deviation is multiplied by, and not x."""
    model, deviation = ledger.estimator, dense(ledger["_x_std"])
    scaled = (dense(model.x_rotations_) @ dense(model.y_loadings_).T * dense(model._y_std)).T
    weight = dense(ledger["coef_"])
    if (deviation == 1.0).all() or weight.shape != scaled.shape:
        return False
    return bool(np.abs(weight - scaled).max() < np.abs(weight - scaled / deviation).max())


@transforms("PLSRegression", "PLSCanonical", "CCA")
def pls_scores(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """(x - mean) / deviation, times x_rotations_."""
    ledger.waive(*FITTING, "coef_", "intercept_", "_predict_1d")
    return _projected(builder, table, ledger, "x_rotations_")


@transforms("PLSSVD")
def pls_svd(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """(x - mean) / deviation, times x_weights_."""
    result = _projected(builder, table, ledger, "x_weights_")
    ledger.waive(*FITTING)
    return result


def _projected(builder: Builder, table: Table, ledger: Ledger, name: str) -> Table:
    mean, deviation, rotations = dense(ledger["_x_mean"]), dense(ledger["_x_std"]), dense(ledger[name])
    scaled = builder.add("scale", builder.matrix(table), hint="scaled", sub=mean, div=deviation)
    return builder.table(builder.add("linear", scaled, hint="projected", weight=np.ascontiguousarray(rotations.T)))
