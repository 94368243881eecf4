"""Selection of columns: what get_support() says, whatever led to it."""

from __future__ import annotations

import numpy as np

from modelport.errors import NotFitted

from ..builder import Builder, Prediction, Table
from ..dispatch import predict, predicts, transforms
from ..ledger import Ledger

#: Per class what decides which columns stay: parameters and fitted state that get_support() has taken into account.
DECIDED = {
    "SelectKBest": ("score_func", "k", "scores_", "pvalues_"),
    "SelectPercentile": ("score_func", "percentile", "scores_", "pvalues_"),
    "SelectFpr": ("score_func", "alpha", "scores_", "pvalues_"),
    "SelectFdr": ("score_func", "alpha", "scores_", "pvalues_"),
    "SelectFwe": ("score_func", "alpha", "scores_", "pvalues_"),
    "GenericUnivariateSelect": ("score_func", "mode", "param", "scores_", "pvalues_"),
    "VarianceThreshold": ("threshold", "variances_"),
    "SelectFromModel": (
        "estimator", "estimator_", "threshold", "prefit", "importance_getter", "norm_order", "max_features", "max_features_",
    ),
    "RFE": (
        "estimator", "estimator_", "n_features_to_select", "step", "importance_getter", "n_features_", "support_", "ranking_",
        "classes_", "step_n_features_", "step_scores_", "step_support_", "step_ranking_",
    ),
    "RFECV": (
        "estimator", "estimator_", "min_features_to_select", "n_features_to_select", "step", "importance_getter", "cv", "scoring",
        "n_features_", "support_", "ranking_", "classes_", "cv_results_",
    ),
    "SequentialFeatureSelector": (
        "estimator", "n_features_to_select", "n_features_to_select_", "tol", "direction", "scoring", "cv", "support_",
    ),
}  # fmt: skip


@transforms(*DECIDED)
def selector(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The columns that get_support() keeps, in order."""
    return table.select(_kept(ledger))


@predicts("RFE", "RFECV")
def elimination(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The estimator fitted last, on the columns that were kept."""
    table = table.select(_kept(ledger))
    with builder.within(ledger.estimator.transform):
        return predict(ledger["estimator_"], builder, table)


def _kept(ledger: Ledger) -> list[int]:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    for cls in type(ledger.estimator).__mro__:
        ledger.waive(*DECIDED.get(cls.__name__, ()))
    try:
        if not ledger.get("prefit", False):
            check_is_fitted(ledger.estimator)
        return [int(j) for j in np.flatnonzero(ledger.estimator.get_support())]
    except NotFittedError:
        raise NotFitted(f"This {ledger.name} is not fitted: call fit first, then convert.") from None
