"""Gradient boosting: scores exact in every bit, whatever the loss and wherever the sum starts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import (
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelport.errors import InputError, NotFitted, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import (
    check,
    check_formats,
    check_probes,
    hard_rows,
    on_splits,
    read,
)

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS, KIND = load_iris(return_X_y=True)
X, Y = load_diabetes(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
LINK = {"rtol": 4e-15, "atol": 4e-16}


def same_scores(model, *tables):
    """Values before the link are equal in every bit, outputs within what exp may differ."""
    reading = check(model, tables[0], *tables[1:], **LINK)
    for rows in tables:
        if hasattr(model, "decision_function"):
            values = Evaluator(reading.graph).values({"X": rows})
            score = values["decision" if len(model.classes_) == 2 else "score"]
            np.testing.assert_array_equal(score, model.decision_function(rows))
    return reading


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingRegressor(n_estimators=30, random_state=0),
        GradientBoostingRegressor(loss="absolute_error", n_estimators=10, random_state=0),
        GradientBoostingRegressor(loss="huber", alpha=0.7, n_estimators=10, random_state=0),
        GradientBoostingRegressor(loss="quantile", alpha=0.2, n_estimators=10, random_state=0),
        GradientBoostingRegressor(init="zero", learning_rate=0.37, n_estimators=10, random_state=0),
        GradientBoostingRegressor(learning_rate=1.0, n_estimators=5, random_state=0),
        GradientBoostingRegressor(subsample=0.5, max_features="log2", n_estimators=10, random_state=0),
        GradientBoostingRegressor(max_leaf_nodes=9, max_depth=None, n_estimators=10, random_state=0),
        GradientBoostingRegressor(n_estimators=200, n_iter_no_change=2, random_state=0),
        GradientBoostingRegressor(init=DummyRegressor(strategy="median"), n_estimators=5, random_state=0),
        GradientBoostingRegressor(init=DummyRegressor(strategy="constant", constant=11.1), n_estimators=5, random_state=0),
        GradientBoostingRegressor(init=DecisionTreeRegressor(max_depth=3), n_estimators=5, random_state=0),
        GradientBoostingRegressor(init=ExtraTreesRegressor(5, max_depth=3, random_state=0), n_estimators=5, random_state=0),
        GradientBoostingRegressor(init=HistGradientBoostingRegressor(max_iter=5), n_estimators=5, random_state=0),
        GradientBoostingRegressor(init=GradientBoostingRegressor(n_estimators=3), n_estimators=5, random_state=0),
    ],
    ids=str,
)
def test_regressor(model):
    model.fit(X, Y)
    check(model, X, on_splits(model, X), hard_rows(10))


@pytest.mark.parametrize(
    "labels", [KIND > 0, NAMES[KIND], np.where(KIND > 1, "b", "a"), KIND * 5], ids=["booleans", "names", "two", "numbers"]
)
@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingClassifier(n_estimators=15, random_state=0),
        GradientBoostingClassifier(init="zero", n_estimators=5, learning_rate=0.3, random_state=0),
        GradientBoostingClassifier(max_leaf_nodes=5, subsample=0.7, n_estimators=5, random_state=0),
        GradientBoostingClassifier(n_estimators=100, n_iter_no_change=3, tol=0.1, random_state=0),
        GradientBoostingClassifier(init=DummyClassifier(strategy="most_frequent"), n_estimators=4, random_state=0),
    ],
    ids=str,
)
def test_classifier(model, labels):
    model.fit(IRIS, labels)
    same_scores(model, IRIS, on_splits(model, IRIS), hard_rows(4))


def test_exponential_loss():
    model = GradientBoostingClassifier(loss="exponential", n_estimators=20, random_state=0).fit(IRIS, KIND > 1)
    same_scores(model, IRIS, on_splits(model, IRIS))


@pytest.mark.parametrize("labels", [KIND, KIND > 1], ids=["three", "two"])
@pytest.mark.parametrize(
    "start", [DecisionTreeClassifier(max_depth=2), RandomForestClassifier(5, max_depth=3, random_state=0)], ids=str
)
def test_classifier_that_starts_from_another(start, labels):
    model = GradientBoostingClassifier(init=start, n_estimators=4, random_state=0).fit(IRIS, labels)
    check(model, IRIS, on_splits(model, IRIS), rtol=1e-12, atol=1e-12)
    if len(model.classes_) == 2:
        model = GradientBoostingClassifier(loss="exponential", init=start, n_estimators=4, random_state=0).fit(IRIS, labels)
        check(model, IRIS, rtol=1e-12, atol=1e-12)


def test_score_of_zero_is_the_second_class():
    model = GradientBoostingClassifier(init="zero", n_estimators=3, learning_rate=1e-320).fit(
        np.zeros((4, 1)), ["n", "y", "n", "y"]
    )
    rows = np.zeros((1, 1))
    assert model.decision_function(rows).tolist() == [0.0]
    assert model.predict(rows).tolist() == ["y"]
    check(model, rows)


def test_grown_further():
    model = GradientBoostingClassifier(n_estimators=3, warm_start=True, random_state=0).fit(IRIS, KIND)
    same_scores(model.set_params(n_estimators=8).fit(IRIS, KIND), IRIS)


def test_sample_weight_and_float64_rows_on_a_finer_grid():
    rows = np.round(IRIS, 1)
    random = np.random.default_rng(0)
    model = GradientBoostingClassifier(n_estimators=10, random_state=0).fit(rows, KIND, sample_weight=random.uniform(0.1, 2, 150))
    same_scores(model, rows, np.round(random.uniform(rows.min(0), rows.max(0), (1000, 4)) * 20) / 20)


def test_nan_is_refused_as_the_original_does():
    reading = read(GradientBoostingClassifier(n_estimators=3).fit(IRIS, KIND), Sample.of(IRIS))
    assert reading.graph.inputs[0].missing == "error"
    assert reading.graph.steps[0].attributes["missing"] == "error"
    with pytest.raises(InputError, match="missing value"):
        Evaluator(reading.graph).run({"X": np.full((1, 4), np.nan)})


def test_probed_scores():
    reading = read(GradientBoostingClassifier(n_estimators=3).fit(IRIS, KIND), Sample.of(IRIS))
    assert check_probes(reading, IRIS) == ["score"]


LINEAR_STARTS = [
    LinearRegression(),
    Lasso(alpha=0.1),
    SGDRegressor(random_state=0),
    PoissonRegressor(),
    make_pipeline(StandardScaler(), PolynomialFeatures(2), Ridge()),
]


@pytest.mark.parametrize("start", LINEAR_STARTS, ids=str)
def test_start_in_float32_states_its_tolerance(start):
    model = GradientBoostingRegressor(init=start, n_estimators=4, random_state=0).fit(X, Y)
    assert model.init_.predict(X[:1].astype(np.float32)).dtype != np.float64 or isinstance(start, SGDRegressor)
    reading = check(model, X, X[:20] * 1.1, rtol=1e-5, atol=1e-3)
    stated = reading.tolerance["prediction"]
    assert 1e-6 <= stated.rtol <= 1e-5
    assert 1e-4 < stated.atol < 1e-2
    check_formats(model, X, "onnx", "pmml")


@pytest.mark.parametrize("start", [HuberRegressor(), LinearSVR(random_state=0), QuantileRegressor()], ids=str)
def test_start_in_float64_is_as_close_as_ever(start):
    model = GradientBoostingRegressor(init=start, n_estimators=4, random_state=0).fit(X, Y)
    reading = check(model, X, rtol=1e-12, atol=1e-10)
    assert reading.tolerance == {}


@pytest.mark.parametrize("labels", [KIND, KIND > 1], ids=["three", "two"])
@pytest.mark.parametrize(
    "start",
    [
        LogisticRegression(max_iter=500),
        make_pipeline(StandardScaler(), LogisticRegression()),
        SGDClassifier(loss="log_loss", random_state=0),
    ],
    ids=str,
)
def test_classifier_that_starts_from_a_linear_model(start, labels):
    model = GradientBoostingClassifier(init=start, n_estimators=4, random_state=0).fit(IRIS, labels)
    check(model, IRIS, rtol=1e-5, atol=1e-5)
    check_formats(model, IRIS, "onnx", "pmml")


@pytest.mark.parametrize(
    "start",
    [make_pipeline(StandardScaler(), DecisionTreeRegressor()), GaussianProcessRegressor()],
    ids=["a step that jumps", "other"],
)
def test_start_that_cannot_be_repeated_is_refused(start):
    model = GradientBoostingRegressor(init=start, n_estimators=2).fit(X, Y)
    with pytest.raises(UnsupportedAttribute, match="float32") as caught:
        read(model, Sample.of(X))
    assert caught.value.attribute == "init_"


def test_start_at_random_is_refused():
    model = GradientBoostingClassifier(init=DummyClassifier(strategy="stratified"), n_estimators=2).fit(IRIS, KIND)
    with pytest.raises(UnsupportedAttribute, match="stratified") as caught:
        read(model, Sample.of(IRIS))
    assert caught.value.attribute == "init_"


def test_unknown_state_is_refused():
    model = GradientBoostingRegressor(n_estimators=2).fit(X, Y)
    model.shrink_ = 0.5
    with pytest.raises(UnsupportedAttribute, match="shrink_"):
        read(model, Sample.of(X))
    del model.shrink_
    model._loss = object()
    with pytest.raises(UnsupportedAttribute, match="_loss"):
        read(model, Sample.of(X))


def test_unfitted_is_refused():
    with pytest.raises(NotFitted, match="not fitted"):
        read(GradientBoostingClassifier(), Sample.of(IRIS))
