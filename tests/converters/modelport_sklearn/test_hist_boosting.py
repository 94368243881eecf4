"""Histogram gradient boosting: raw scores exact in every bit, with missing values and categories of every kind."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import (
    check,
    check_formats,
    check_probes,
    check_rows,
    hard_rows,
    read,
    threshold_rows,
)

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS, KIND = load_iris(return_X_y=True)
X, Y = load_diabetes(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
RANDOM = np.random.default_rng(2)
LINK = {"rtol": 4e-15, "atol": 4e-16}
HOLES = np.where(RANDOM.random(IRIS.shape) < 0.2, np.nan, IRIS)
X_HOLES = np.where(RANDOM.random(X.shape) < 0.2, np.nan, X)


def on_splits(model, rows):
    """Rows on the finite thresholds of numeric splits that they reach, and beside them."""
    splits = []
    trees = [tree.nodes for iteration in model._predictors for tree in iteration]
    for nodes in trees[:: 1 + len(trees) // 10]:
        reach = {0: np.arange(len(rows))}
        for number, node in enumerate(nodes):
            here = reach.get(number, [])
            if node["is_leaf"] or node["is_categorical"] or not len(here):
                continue
            column = rows[here, node["feature_idx"]]
            left = np.where(np.isnan(column), node["missing_go_to_left"] > 0, column <= node["num_threshold"])
            reach[int(node["left"])], reach[int(node["right"])] = here[left], here[~left]
            if np.isfinite(node["num_threshold"]):
                splits.append((int(here[0]), int(node["feature_idx"]), float(node["num_threshold"])))
    return threshold_rows(rows, splits[:: 1 + len(splits) // 100])


def check_scores(model, *tables):
    """Raw values are equal in every bit, outputs within what exp may differ."""
    reading = check(model, *tables, **LINK)
    sample = Sample.of(tables[0])
    for rows in tables:
        feeds = Sample.of(rows).feeds()
        raw = Evaluator(reading.graph).values(feeds)[_raw_name(reading)]
        np.testing.assert_array_equal(raw, model._raw_predict(sample.restore(feeds)))
    return reading


def _raw_name(reading):
    return next(step.output for step in reading.graph.steps if step.op == "tree_ensemble")


@pytest.mark.parametrize("rows", [X, X_HOLES], ids=["complete", "holes"])
@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingRegressor(max_iter=30),
        HistGradientBoostingRegressor(loss="absolute_error", max_iter=10),
        HistGradientBoostingRegressor(loss="gamma", max_iter=10),
        HistGradientBoostingRegressor(loss="poisson", max_iter=10, max_leaf_nodes=None, max_depth=4),
        HistGradientBoostingRegressor(loss="quantile", quantile=0.8, max_iter=10),
        HistGradientBoostingRegressor(early_stopping=True, n_iter_no_change=2, max_iter=100, random_state=0),
        HistGradientBoostingRegressor(max_iter=5, max_bins=8, monotonic_cst=[1] + [0] * 9, interaction_cst="no_interactions"),
        HistGradientBoostingRegressor(max_iter=5, max_features=0.3, l2_regularization=2.0, random_state=0),
        HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=300),
    ],
    ids=str,
)
def test_regressor(model, rows):
    model.fit(rows, Y)
    splits = on_splits(model, rows) if model.min_samples_leaf < 300 else rows[:1]
    check_scores(
        model, rows, X, splits, hard_rows(10), np.full((1, 10), np.nan), np.full((1, 10), np.inf), np.full((1, 10), -np.inf)
    )


@pytest.mark.parametrize(
    "labels", [KIND, NAMES[KIND], KIND > 0, np.where(KIND > 1, "b", "a")], ids=["numbers", "names", "booleans", "two"]
)
@pytest.mark.parametrize("rows", [IRIS, HOLES], ids=["complete", "holes"])
def test_classifier(rows, labels):
    model = HistGradientBoostingClassifier(max_iter=12, class_weight="balanced").fit(rows, labels)
    reading = check_scores(model, rows, IRIS, on_splits(model, rows), hard_rows(4), np.full((1, 4), np.nan))
    assert check_probes(reading, rows) == ["decision" if len(model.classes_) == 2 else "score"]
    assert reading.graph.inputs[0].missing == "nan"


def test_many_classes_start_from_their_baselines():
    labels = np.digitize(Y, np.quantile(Y, [0.1, 0.5, 0.6, 0.95]))
    model = HistGradientBoostingClassifier(max_iter=4).fit(X, labels)
    reading = check_scores(model, X)
    np.testing.assert_array_equal(reading.graph.steps[0].attributes["init"], model._baseline_prediction.ravel())


def test_early_stopping_and_warm_start():
    model = HistGradientBoostingClassifier(max_iter=200, early_stopping=True, n_iter_no_change=2, random_state=0).fit(IRIS, KIND)
    assert model.n_iter_ < 200
    check_scores(model, IRIS)
    model = HistGradientBoostingClassifier(max_iter=3, warm_start=True).fit(IRIS, KIND)
    check_scores(model.set_params(max_iter=6).fit(IRIS, KIND), IRIS)


def test_missing_apart_from_all_numbers():
    rows = np.concatenate([np.linspace(0, 1, 60), np.full(40, np.nan)])[:, None]
    model = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5).fit(rows, np.isnan(rows[:, 0]) * 9.0)
    assert np.isinf(model._predictors[0][0].nodes["num_threshold"][0])
    check_scores(model, rows, np.array([[np.inf], [-np.inf], [1e300], [np.nan], [0.0], [-0.0]]))


# --- categories ---------------------------------------------------------------------------------------------------------------

N = 400
TOWN = np.array(["Oslo", "Bergen", "Ålesund", "St. John's", "", "nan", "7"])
CODES = RANDOM.integers(0, 7, N)
NUMBER = RANDOM.normal(size=(N, 2)).round(1)
TARGET = np.sin(CODES * 2.7) * 3 + NUMBER[:, 0] + RANDOM.normal(size=N) * 0.1
SMALL = {"max_iter": 8, "min_samples_leaf": 3}


def as_matrix(codes):
    return np.column_stack([NUMBER[:, 0], codes, NUMBER[:, 1]])


@pytest.mark.parametrize("categorical", [[1], [False, True, False], np.array([1]), [1, 2], [0, 1, 2]], ids=str)
def test_numbered_categories_in_a_matrix(categorical):
    codes = np.array([3.0, -1.0, 0.5, 100.0, 7.0, 8.0, 1e6])[CODES]
    rows = as_matrix(codes)
    model = HistGradientBoostingRegressor(categorical_features=categorical, **SMALL).fit(rows, TARGET)
    assert any(tree.nodes["is_categorical"].any() for iteration in model._predictors for tree in iteration)
    strange = rows[:9].copy()
    strange[:, 1] = [np.nan, 2.0, -5.0, 0.0, -0.0, 3.5, 1e30, np.nextafter(3.0, 4), 256.0]
    check_scores(model, rows, strange, np.full((1, 3), np.nan))


def test_missing_category_in_the_fit():
    codes = np.where(RANDOM.random(N) < 0.2, np.nan, CODES)
    rows = as_matrix(codes)
    model = HistGradientBoostingClassifier(categorical_features=[1], **SMALL).fit(rows, TARGET > 0)
    strange = rows[:4].copy()
    strange[:, 1] = [np.nan, 99, -1, 3]
    check_scores(model, rows, strange)


def test_many_categories_fill_the_bitsets():
    codes = np.arange(N) % 250
    rows = as_matrix(codes)
    model = HistGradientBoostingRegressor(categorical_features=[1], max_iter=5, min_samples_leaf=1, max_leaf_nodes=40).fit(
        rows, codes % 7
    )
    check_scores(model, rows, as_matrix(np.arange(N) + 0.0))


def frame(**columns):
    return pandas.DataFrame({"size": NUMBER[:, 0], **columns, "weight (kg)": NUMBER[:, 1]})


FRAMES = {
    "category dtype": frame(town=pandas.Categorical(TOWN[CODES])),
    "ordered categories": frame(town=pandas.Categorical(TOWN[CODES], categories=sorted(TOWN, reverse=True), ordered=True)),
    "numeric category dtype": frame(town=pandas.Categorical(CODES * 10)),
    "category dtype with missing": frame(town=pandas.Categorical(np.where(CODES == 3, None, TOWN[CODES]))),
    "numeric category dtype with missing": frame(town=pandas.Categorical(np.where(CODES == 3, np.nan, CODES))),
    "two category columns": frame(town=pandas.Categorical(TOWN[CODES]), street=pandas.Categorical(TOWN[CODES[::-1]])),
    "boolean category dtype": frame(town=pandas.Categorical(CODES > 2)),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_categories_from_dtype(kind):
    rows = FRAMES[kind]
    model = HistGradientBoostingRegressor(categorical_features="from_dtype", **SMALL).fit(rows, TARGET)
    assert model.is_categorical_.sum() == len(rows.columns) - 2
    check_frame(model, rows)


@pytest.mark.parametrize("labels", [TARGET > 0, np.digitize(TARGET, [-2, 2])], ids=["two", "three"])
def test_classifier_of_categories(labels):
    rows = FRAMES["category dtype with missing"]
    check_frame(HistGradientBoostingClassifier(**SMALL).fit(rows, labels), rows)


@pytest.mark.parametrize(
    "towns",
    [TOWN[CODES].astype(object), CODES * 10.0, np.where(CODES == 2, np.nan, TOWN[CODES].astype(object))],
    ids=["strings", "numbers", "missing"],
)
def test_categories_by_name(towns):
    rows = frame(town=pandas.Series(towns))
    check_frame(HistGradientBoostingRegressor(categorical_features=["town"], **SMALL).fit(rows, TARGET), rows)


def check_frame(model, rows):
    """The rows, then rows whose categories are missing or unknown, then rows whose numbers are missing."""
    reading = read(model, Sample.of(rows))
    feeds = Sample.of(rows).feeds()
    check_rows(reading, feeds, **LINK)
    check_rows(reading, strange_feeds(feeds, len(rows.columns)), **LINK)
    assert {v.missing for v in reading.graph.inputs} <= {"nan", "null"}


def strange_feeds(feeds, width):
    n = 12
    if list(feeds) == ["X"]:
        rows = feeds["X"][:n].copy()
        rows[:4, 1 : width - 1], rows[4:8, 1 : width - 1], rows[8:, 0] = np.nan, 12345.0, np.nan
        return {"X": rows}
    changed = {}
    for name, values in feeds.items():
        part = values[:n].copy()
        if part.dtype == object:
            part[:4], part[4:8] = None, "Atlantis"
        elif name in ("town", "street"):
            part[:4], part[4:8] = np.nan, 12345.0
        else:
            part[8:] = np.nan
        changed[name] = part
    return changed


def test_state_without_encoder_is_refused():
    model = HistGradientBoostingRegressor(categorical_features=[1], max_iter=2).fit(as_matrix(CODES), TARGET)
    model._preprocessor = None
    with pytest.raises(UnsupportedAttribute, match=r"since 1\.4"):
        read(model, Sample.of(as_matrix(CODES)))


def test_unknown_state_is_refused():
    model = HistGradientBoostingRegressor(max_iter=2).fit(X, Y)
    model.linear_leaves_ = True
    with pytest.raises(UnsupportedAttribute, match="linear_leaves_"):
        read(model, Sample.of(X))


def test_a_single_class():
    model = HistGradientBoostingClassifier(max_iter=2).fit(IRIS, np.full(len(IRIS), "only"))
    reading = check(model, IRIS, rtol=1e-12, atol=1e-12)
    assert reading.graph.outputs[1].classes is None  # scikit-learn gives two columns
    check_formats(model, IRIS, "onnx", "pmml")
    model._baseline_prediction = np.array([[1.0]])
    with pytest.raises(UnsupportedAttribute, match="only class"):
        read(model, Sample.of(IRIS))


def test_unfitted_is_refused():
    with pytest.raises(NotFitted, match="not fitted"):
        read(HistGradientBoostingClassifier(), Sample.of(IRIS))


def test_a_model_without_splits_gives_every_row_the_same_label():
    rows = IRIS[:20]
    model = HistGradientBoostingClassifier(max_iter=3).fit(rows, np.arange(20) % 2)
    check_formats(model, rows, "onnx", "pmml")
