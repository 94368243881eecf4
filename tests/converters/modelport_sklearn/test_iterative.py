"""IterativeImputer: sub-estimators, limits, orders, empty columns, and rows with every number of missing cells."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

import modelport
from modelport.errors import UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, read

rng = np.random.default_rng(0)
X = load_iris().data.copy()
X[rng.random(X.shape) < 0.2] = np.nan
X[7] = np.nan
Y = load_iris().target
FEW = X[:40]
FULL = load_iris().data[:10]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_iter": 0},
        {"max_iter": 3, "imputation_order": "random", "random_state": 0},
        {"max_iter": 3, "imputation_order": "arabic", "initial_strategy": "median"},
        {"max_iter": 2, "n_nearest_features": 2, "random_state": 0},
        {"max_iter": 2, "min_value": 1.0, "max_value": [5.0, 3.0, np.inf, 2.0]},
        {"max_iter": 2, "initial_strategy": "constant", "fill_value": 3.0},
        {"max_iter": 2, "skip_complete": True},
        {"max_iter": 2, "add_indicator": True},
        {"max_iter": 2, "estimator": Ridge()},
    ],
    ids=str,
)
def test_options(options):
    reading = check(IterativeImputer(**options).fit(X), FEW, FULL, rtol=1e-11, atol=1e-12)
    assert reading.graph.inputs[0].missing == "nan"
    assert not reading.probes


@pytest.mark.parametrize("estimator", [DecisionTreeRegressor(max_depth=4), RandomForestRegressor(3, random_state=0)], ids=str)
def test_trees_are_bit_exact_but_for_the_first_means(estimator):
    check(IterativeImputer(estimator, max_iter=2).fit(X), FEW, rtol=1e-15)


def test_a_pipeline_inside():
    inner = make_pipeline(StandardScaler(), Ridge())
    check(IterativeImputer(inner, max_iter=2).fit(X), FEW, rtol=1e-11)


def test_neighbours_inside():
    check(IterativeImputer(KNeighborsRegressor(3), max_iter=1).fit(X), FEW[:10], rtol=1e-11)


@pytest.mark.parametrize("keep", [True, False])
def test_empty_columns(keep):
    rows = np.insert(X, 2, np.nan, axis=1)
    model = IterativeImputer(max_iter=2, keep_empty_features=keep, add_indicator=True).fit(rows)
    given = rows[:20].copy()
    given[::2, 2] = 5.0
    check(model, rows[:20], given, rtol=1e-11)


def test_another_marker():
    rows = np.where(np.isnan(X), -1.0, X)
    check(IterativeImputer(missing_values=-1, max_iter=2).fit(rows), rows[:30], rtol=1e-11)


def test_an_artifact_proves_itself():
    model = make_pipeline(IterativeImputer(max_iter=3), LogisticRegression()).fit(X, Y)
    assert modelport.convert(model, "json", sample=X).report.passed


def test_what_is_not_known_is_refused():
    with pytest.raises(UnsupportedAttribute, match="sample_posterior"):
        read(IterativeImputer(sample_posterior=True, max_iter=1, random_state=0).fit(X), Sample.of(X))
    model = IterativeImputer(max_iter=1).fit(X)
    model.extra_ = 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        read(model, Sample.of(X))


def test_limits_that_are_whole_numbers():
    check(IterativeImputer(max_iter=2, min_value=1, max_value=[5, 4, 4, 2]).fit(X), X, rtol=1e-9)
