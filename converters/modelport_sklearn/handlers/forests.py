"""Forests: RandomForest*, ExtraTrees*."""

from __future__ import annotations

import numpy as np

from ..builder import Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger
from .trees import GROWING, inner_trees, tree_classes, tree_values

#: How the forest was grown: sampling, weights, out-of-bag records.
SAMPLING = (
    "base_estimator base_estimator_ bootstrap estimator estimator_ estimator_params max_samples n_estimators "
    "oob_decision_function_ oob_prediction_ oob_score oob_score_ _n_samples _n_samples_bootstrap _sample_weight"
).split()


@predicts("RandomForestClassifier", "ExtraTreesClassifier")
def forest_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Class fractions of the leaves summed tree by tree, divided once by the number of trees."""
    ledger.waive(*GROWING, *SAMPLING)
    estimators, sizes = ledger["estimators_"], np.atleast_1d(ledger["n_classes_"])
    trees = inner_trees(ledger, estimators)
    if not all(np.array_equal(np.atleast_1d(tree.n_classes_), sizes) for tree in estimators):
        raise ledger.refuse("estimators_", f"holds a tree with other classes than the forest's {sizes.tolist()}.")
    return tree_classes(ledger, builder, table, estimators, trees)


@predicts("RandomForestRegressor", "ExtraTreesRegressor")
def forest_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Leaf values summed tree by tree, divided once by the number of trees."""
    ledger.waive(*GROWING, *SAMPLING)
    estimators = ledger["estimators_"]
    return tree_values(ledger, builder, table, estimators, inner_trees(ledger, estimators))
