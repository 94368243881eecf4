"""Forests are exact in every bit, whatever they were grown on."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, hard_rows, on_splits, read

IRIS, KIND = load_iris(return_X_y=True)
X, Y = load_diabetes(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
RANDOM = np.random.default_rng(1)
HOLES = IRIS.copy()
HOLES[RANDOM.random(IRIS.shape) < 0.2] = np.nan
X_HOLES = np.where(RANDOM.random(X.shape) < 0.2, np.nan, X)
NAN_ROWS = np.concatenate([np.full((1, 4), np.nan), np.where(np.eye(4) > 0, np.nan, IRIS[0])])


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(30, random_state=0),
        RandomForestClassifier(17, max_depth=3, class_weight="balanced_subsample", random_state=0),
        RandomForestClassifier(10, bootstrap=False, max_features=1, criterion="log_loss", random_state=0),
        RandomForestClassifier(12, max_leaf_nodes=6, oob_score=True, random_state=0),
        RandomForestClassifier(1, random_state=0),
        RandomForestClassifier(20, max_samples=0.3, n_jobs=2, random_state=0),
        ExtraTreesClassifier(25, random_state=0),
        ExtraTreesClassifier(15, bootstrap=True, class_weight="balanced", random_state=0),
    ],
    ids=str,
)
@pytest.mark.parametrize("labels", [KIND, NAMES[KIND], KIND > 1], ids=["integers", "strings", "booleans"])
@pytest.mark.filterwarnings("ignore")
def test_classifier(model, labels):
    model.fit(IRIS, labels)
    check(model, IRIS, on_splits(model, IRIS), hard_rows(4), NAN_ROWS)


def test_class_weights_of_ones_own():
    model = RandomForestClassifier(10, class_weight={"setosa": 1, "versicolor": 9, "virginica": 0.2}, random_state=0)
    check(model.fit(IRIS, NAMES[KIND]), IRIS)


def test_class_that_a_bootstrap_sample_misses():
    labels = KIND.copy()
    labels[labels == 2] = 0
    labels[0] = 2
    model = RandomForestClassifier(20, random_state=0).fit(IRIS, labels)
    assert any(tree.tree_.value[:, 0, 2].max() == 0 for tree in model.estimators_)
    check(model, IRIS)


def test_sample_weights():
    model = RandomForestClassifier(20, max_depth=4, random_state=0).fit(IRIS, KIND, sample_weight=RANDOM.uniform(0, 2, 150))
    check(model, IRIS, on_splits(model, IRIS))


@pytest.mark.parametrize("forest", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("kind", [int, str])
def test_classifier_of_several_outputs(forest, kind):
    labels = np.column_stack([KIND, (IRIS[:, 0] > 5.8) + 3, KIND // 2]).astype(kind)
    model = forest(15, max_depth=4, random_state=0).fit(IRIS, labels)
    reading = check(model, IRIS, on_splits(model, IRIS))
    assert [o.name for o in reading.graph.outputs] == ["label", "probability_0", "probability_1", "probability_2"]


@pytest.mark.parametrize(
    "model",
    [
        RandomForestRegressor(20, random_state=0),
        RandomForestRegressor(9, max_leaf_nodes=30, oob_score=True, random_state=0),
        RandomForestRegressor(15, criterion="absolute_error", max_depth=3, random_state=0),
        RandomForestRegressor(20, n_jobs=2, max_features=0.5, random_state=0),
        ExtraTreesRegressor(20, random_state=0),
        ExtraTreesRegressor(7, bootstrap=True, max_samples=0.5, random_state=0),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_regressor(model):
    model.fit(X, Y)
    check(model, X, on_splits(model, X), hard_rows(10))
    model.fit(X, np.column_stack([Y, Y**2]))
    check(model, X, on_splits(model, X))


@pytest.mark.parametrize("model", [RandomForestClassifier(20, random_state=0), ExtraTreesClassifier(20, random_state=0)], ids=str)
def test_classifier_fitted_with_nan(model):
    model.fit(HOLES, KIND)
    reading = check(model, HOLES, IRIS, on_splits(model, HOLES), NAN_ROWS)
    assert reading.graph.steps[0].attributes["missing"] == "node"


@pytest.mark.parametrize("model", [RandomForestRegressor(10, random_state=0), ExtraTreesRegressor(10, random_state=0)], ids=str)
def test_regressor_fitted_with_nan(model):
    model.fit(X_HOLES, Y)
    check(model, X_HOLES, X, on_splits(model, X_HOLES))


def test_float64_rows_on_a_finer_grid():
    rows = np.round(IRIS, 1)
    model = RandomForestClassifier(40, random_state=0).fit(rows, KIND)
    check(model, rows, np.round(RANDOM.uniform(rows.min(0), rows.max(0), (2000, 4)) * 20) / 20)


def test_forest_grown_further():
    model = RandomForestClassifier(5, warm_start=True, random_state=0).fit(IRIS, KIND)
    check(model.set_params(n_estimators=12).fit(IRIS, KIND), IRIS)


def test_fully_grown_classifier_has_a_leaf_table():
    attributes = read(RandomForestClassifier(20, random_state=0).fit(IRIS, KIND), Sample.of(IRIS)).graph.steps[0].attributes
    assert attributes["leaf_table"].reshape(-1, 3).shape[0] == 3
    assert attributes["leaf"].dtype == np.uint8


def test_what_the_reader_does_not_know_is_refused():
    model = RandomForestClassifier(3, random_state=0).fit(IRIS, KIND)
    model.estimators_[1].shift_ = 1.0
    with pytest.raises(UnsupportedAttribute, match="shift_"):
        read(model, Sample.of(IRIS))
    del model.estimators_[1].shift_
    model.weights_ = [1, 2, 3]
    with pytest.raises(UnsupportedAttribute, match="weights_"):
        read(model, Sample.of(IRIS))
    del model.weights_
    model.estimators_[2] = DecisionTreeClassifier().fit(IRIS, KIND > 0)
    with pytest.raises(UnsupportedAttribute, match="other classes"):
        read(model, Sample.of(IRIS))
    model.estimators_ = []
    with pytest.raises(UnsupportedAttribute, match="empty"):
        read(model, Sample.of(IRIS))


def test_unfitted_is_refused():
    with pytest.raises(NotFitted, match="not fitted"):
        read(ExtraTreesRegressor(), Sample.of(X))
