"""Estimators that hand their rows on to one estimator inside: searches, frozen and self-trained estimators."""

from __future__ import annotations

from ..builder import Builder, Prediction, Table
from ..dispatch import predict, predicts, transform, transforms
from ..ledger import Ledger
from ..responses import as_rows, unnamed

SEARCHES = ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")

#: What was searched, how, and what was found besides the best estimator.
SEARCHING = (
    "aggressive_elimination best_index_ best_params_ best_score_ cv cv_results_ error_score estimator factor max_resources "
    "max_resources_ min_resources min_resources_ multimetric_ n_candidates n_candidates_ n_iter n_iterations_ "
    "n_possible_iterations_ n_remaining_candidates_ n_required_iterations_ n_resources_ n_splits_ param_distributions "
    "param_grid pre_dispatch refit_time_ resource return_train_score scorer_ scoring _checked_cv_orig _n_samples_orig"
).split()

#: How labels were given to rows without one.
SELF_TRAINING = (
    "base_estimator base_estimator_ classes_ criterion estimator k_best labeled_iter_ max_iter n_iter_ termination_condition_ "
    "threshold transduction_"
).split()


@predicts(*SEARCHES)
def search_predict(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What the best estimator predicts."""
    return predict(_best(ledger), builder, table)


@transforms(*SEARCHES)
def search_transform(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """What the best estimator transforms."""
    return transform(_best(ledger), builder, table)


def _best(ledger: Ledger) -> object:
    if ledger["refit"] is False:
        raise ledger.refuse(
            "refit", "is False, so no best estimator was kept: fit with refit=True, or convert the one you choose."
        )
    ledger.waive(*SEARCHING)
    return ledger["best_estimator_"]


@predicts("FrozenEstimator")
def frozen_predict(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What the frozen estimator predicts."""
    return predict(ledger["estimator"], builder, table)


@transforms("FrozenEstimator")
def frozen_transform(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """What the frozen estimator transforms."""
    return transform(ledger["estimator"], builder, table)


@predicts("SelfTrainingClassifier")
def self_training(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What the estimator fitted last predicts; it is given rows without names."""
    ledger.waive(*SELF_TRAINING)
    fitted = "base_estimator_" if hasattr(ledger.estimator, "base_estimator_") else "estimator_"  # before 1.6 and since
    with builder.within(as_rows):
        return predict(ledger[fitted], builder, unnamed(table))
