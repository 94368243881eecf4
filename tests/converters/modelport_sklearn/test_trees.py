"""Decision trees are exact in every bit: on thresholds, beside them, with NaN, with every kind of target."""

from __future__ import annotations

import numpy as np
import pytest
from modelport_sklearn.handlers.tree_arrays import distinct_rows, round_down
from sklearn.datasets import load_diabetes, load_iris
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from modelport.errors import InputError, NotFitted, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import around, check, hard_rows, read, threshold_rows, tree_splits

IRIS, KIND = load_iris(return_X_y=True)
X, Y = load_diabetes(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.uniform(0.1, 3, len(IRIS))
TWO_KINDS = np.column_stack([KIND, (IRIS[:, 0] > 5.8) + 1, KIND // 2])

HOLES = IRIS.copy()
HOLES[RANDOM.random(IRIS.shape) < 0.15] = np.nan
X_HOLES = X.copy()
X_HOLES[RANDOM.random(X.shape) < 0.15] = np.nan
NAN_ROWS = np.concatenate(
    [np.full((1, 4), np.nan), np.where(np.eye(4) > 0, np.nan, IRIS[0]), np.where(np.eye(4) > 0, IRIS[70], np.nan)]
)


def on_splits(model, rows):
    return threshold_rows(rows, tree_splits([model.tree_], rows))


CLASSIFIERS = [
    DecisionTreeClassifier(random_state=0),
    DecisionTreeClassifier(max_depth=2, criterion="entropy", random_state=0),
    DecisionTreeClassifier(max_leaf_nodes=7, random_state=0),
    DecisionTreeClassifier(splitter="random", class_weight="balanced", random_state=0),
    DecisionTreeClassifier(ccp_alpha=0.02, class_weight={0: 1, 1: 5, 2: 0.3}, random_state=0),
    DecisionTreeClassifier(max_depth=3, monotonic_cst=None, max_features="sqrt", random_state=0),
    ExtraTreeClassifier(random_state=0),
    ExtraTreeClassifier(max_leaf_nodes=9, random_state=0),
]


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=str)
def test_classifier(model, weight):
    model.fit(IRIS, KIND, sample_weight=weight)
    check(model, IRIS, on_splits(model, IRIS), hard_rows(4), NAN_ROWS)


@pytest.mark.parametrize(
    "labels",
    [NAMES[KIND], NAMES[KIND].astype(object), KIND > 0, KIND - 1, KIND.astype(float), np.zeros(150, dtype=int), KIND[:, None]],
    ids=["strings", "objects", "booleans", "negative", "floats", "one class", "column"],
)
def test_labels_keep_their_type(labels):
    check(DecisionTreeClassifier(max_depth=3).fit(IRIS, labels), IRIS)


@pytest.mark.parametrize(
    "labels", [TWO_KINDS, TWO_KINDS.astype(str), NAMES[np.column_stack([KIND, KIND[::-1]])]], ids=["numbers", "digits", "names"]
)
def test_several_outputs(labels):
    model = DecisionTreeClassifier(random_state=0, max_depth=5).fit(IRIS, labels)
    reading = check(model, IRIS, on_splits(model, IRIS))
    assert [o.name for o in reading.graph.outputs] == ["label", *(f"probability_{k}" for k in range(labels.shape[1]))]


REGRESSORS = [
    DecisionTreeRegressor(random_state=0),
    DecisionTreeRegressor(max_leaf_nodes=40, random_state=0),
    DecisionTreeRegressor(criterion="absolute_error", max_depth=5, random_state=0),
    DecisionTreeRegressor(criterion="poisson", max_depth=6, random_state=0),
    DecisionTreeRegressor(criterion="friedman_mse", ccp_alpha=5.0, random_state=0),
    DecisionTreeRegressor(max_depth=4, monotonic_cst=[1, 0, -1] + [0] * 7, random_state=0),
    ExtraTreeRegressor(random_state=0),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", REGRESSORS, ids=str)
def test_regressor(model):
    model.fit(X, Y)
    check(model, X, on_splits(model, X), hard_rows(10))


def test_regressor_of_several_outputs():
    model = DecisionTreeRegressor(max_depth=7).fit(X, np.column_stack([Y, -Y, Y**2]))
    check(model, X, on_splits(model, X))
    check(DecisionTreeRegressor(max_depth=3).fit(X, Y[:, None]), X)


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(random_state=0),
        DecisionTreeClassifier(max_leaf_nodes=12, random_state=0),
        ExtraTreeClassifier(random_state=0),
    ],
    ids=str,
)
def test_fitted_with_nan(model):
    model.fit(HOLES, KIND)
    reading = check(model, HOLES, on_splits(model, HOLES), NAN_ROWS)
    assert reading.graph.inputs[0].missing == "nan"
    assert reading.graph.steps[0].attributes["missing"] == "node"


def test_regressor_fitted_with_nan():
    for model in (DecisionTreeRegressor(random_state=0), ExtraTreeRegressor(max_depth=8, random_state=0)):
        check(model.fit(X_HOLES, Y), X_HOLES, X, on_splits(model, X_HOLES))


def test_infinite_threshold():
    rows = np.array([[1.0], [2.0], [3.0], [4.0], [np.nan], [np.nan], [np.nan]])
    model = DecisionTreeClassifier().fit(rows, [0, 0, 0, 0, 1, 1, 1])
    assert np.isinf(model.tree_.threshold[0])
    check(model, rows, np.array([[np.nan], [3e38], [-3e38], [0.0], [-0.0]]))


def test_nan_at_predict_only():
    model = DecisionTreeClassifier(random_state=0).fit(IRIS, KIND)
    check(model, NAN_ROWS, IRIS)


def test_tree_that_refuses_nan_says_so():
    model = ExtraTreeClassifier(splitter="best", random_state=0).fit(IRIS, KIND)
    reading = check(model, IRIS)
    assert reading.graph.inputs[0].missing == "error"
    assert reading.graph.steps[0].attributes["missing"] == "error"
    with pytest.raises(InputError, match="missing value"):
        Evaluator(reading.graph).run({"X": NAN_ROWS})


def test_float64_rows_on_a_finer_grid():
    rows = np.round(IRIS, 1)
    model = DecisionTreeClassifier(random_state=0).fit(rows, KIND)
    grid = np.round(RANDOM.uniform(rows.min(0), rows.max(0), (3000, 4)) * 20) / 20
    check(model, rows, grid)


def test_thresholds_that_float32_cannot_hold():
    rows = np.array([[16777216.0], [16777218.0], [1e30], [3e38], [-3e38]])
    model = DecisionTreeRegressor().fit(rows, [1.0, 2.0, 3.0, 4.0, 5.0])
    check(model, rows, around(*model.tree_.threshold[model.tree_.feature >= 0])[:, None])


def test_round_down_keeps_every_comparison():
    thresholds = np.concatenate([RANDOM.normal(size=2000), [0.0, -0.0, 0.1, 1e-46, -1e-46, 1e39, -1e39, np.inf]])
    rounded = round_down(thresholds)
    for candidates in (rounded, np.nextafter(rounded, np.float32(np.inf)), np.nextafter(rounded, np.float32(-np.inf))):
        np.testing.assert_array_equal(candidates <= rounded, candidates.astype(np.float64) <= thresholds)


def test_distinct_rows():
    rows = np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.25, 0.75]] * 10)
    table, number = distinct_rows(rows)
    assert len(table) == 4
    np.testing.assert_array_equal(table[number].view(np.uint64), rows.view(np.uint64))
    assert distinct_rows(RANDOM.normal(size=(5000, 1))) is None


def test_compact_arrays():
    attributes = read(DecisionTreeRegressor().fit(X, Y), Sample.of(X)).graph.steps[0].attributes
    kinds = {name: attributes[name].dtype.name for name in ("feature", "right", "threshold", "start")}
    assert kinds == {"feature": "int8", "right": "uint16", "threshold": "float32", "start": "uint32"}


def test_stump_and_single_leaf():
    check(DecisionTreeClassifier(max_depth=1).fit(IRIS, KIND), IRIS, NAN_ROWS)
    check(DecisionTreeRegressor(min_samples_leaf=300).fit(X, Y), X, hard_rows(10))


def test_unknown_attribute_is_refused():
    model = DecisionTreeClassifier().fit(IRIS, KIND)
    model.leaf_bias_ = 1
    with pytest.raises(UnsupportedAttribute, match="leaf_bias_"):
        read(model, Sample.of(IRIS))


def test_unfitted_is_refused():
    with pytest.raises(NotFitted, match="not fitted"):
        read(DecisionTreeRegressor(), Sample.of(X))
