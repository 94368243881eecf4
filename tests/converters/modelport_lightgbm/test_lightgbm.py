"""LightGBM: raw scores exact in every bit, missing types, categories, linear trees, every objective, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pandas
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import modelport
from modelport.errors import ArtifactError, InputError, NotFitted, UnsupportedAttribute
from modelport.files import kind_of_model, load_model
from tests.converters.boosters import categories_frame, check, holes, on_thresholds, proved, read, value
from tests.converters.modelport_sklearn.common import hard_rows

IRIS, KIND = load_iris(return_X_y=True)
X, Y = load_diabetes(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
HIGH = np.where(Y > 150, "high", "low")
X_HOLES, IRIS_HOLES = holes(X), holes(IRIS)
ZEROS = np.where(np.isnan(X_HOLES), 0.0, X)
SHORT = {"n_estimators": 12, "num_leaves": 9, "verbose": -1, "n_jobs": 1}
LINK = {"rtol": 4e-15, "atol": 4e-16}
#: beside the size up to which LightGBM takes a number for zero
NEARLY_ZERO = np.float64(np.float32(1e-35)) * np.array([0.0, -0.0, 1.0, -1.0, 1 + 2e-16, -1 - 2e-16, 0.99, 2.0, -2.0])


@pytest.fixture(scope="module")
def lgb(need_module):
    """The library, or a counted skip."""
    need_module("lightgbm", "lightgbm")
    import lightgbm

    return lightgbm


def nearly_zero_rows(rows):
    """Rows with every column in turn nearly zero."""
    blocks = []
    for column in range(rows.shape[1]):
        block = np.repeat(rows[[column]], len(NEARLY_ZERO), axis=0)
        block[:, column] = NEARLY_ZERO
        blocks.append(block)
    return np.concatenate(blocks)


def check_raw(model, reading, rows):
    """The raw score is equal in every bit to the model's own."""
    expected = model.predict(rows, raw_score=True)
    np.testing.assert_array_equal(value(reading, "tree_ensemble", rows).reshape(len(rows), -1), expected.reshape(len(rows), -1))


@pytest.mark.parametrize("rows", [X, X_HOLES, ZEROS], ids=["complete", "holes", "zeros"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"boosting_type": "dart", "drop_rate": 0.5},
        {"data_sample_strategy": "goss", "learning_rate": 0.5},
        {"zero_as_missing": True},
        {"use_missing": False},
        {"objective": "regression_l1"},
        {"objective": "huber"},
        {"objective": "fair"},
        {"objective": "quantile", "alpha": 0.7},
        {"objective": "mape"},
        {"reg_sqrt": True},
        {"extra_trees": True},
        {"boost_from_average": False, "max_depth": 2},
        {"min_child_samples": 400},
        {"max_bin": 4},
    ],
    ids=str,
)
def test_regressor(lgb, options, rows):
    model = lgb.LGBMRegressor(**{**SHORT, **options}).fit(rows, Y)
    reading = check(model, rows, X_HOLES, nearly_zero_rows(X))
    for table in (rows, X_HOLES, on_thresholds(reading, rows), hard_rows(10), nearly_zero_rows(X_HOLES)):
        check_raw(model, reading, table)


@pytest.mark.parametrize("leaves", [2, 3, 4, 6])
def test_trees_of_every_shape(lgb, leaves):
    for seed in range(6):
        rows = np.random.default_rng(seed).normal(size=(80, 3))
        model = lgb.LGBMRegressor(**{**SHORT, "num_leaves": leaves, "min_child_samples": 1}).fit(rows, rows.prod(axis=1))
        check_raw(model, read(model, rows), rows)


@pytest.mark.parametrize("objective", ["poisson", "gamma", "tweedie", "cross_entropy", "cross_entropy_lambda"])
def test_objectives_with_a_link(lgb, objective):
    target = (Y > 150) * 0.9 if objective.startswith("cross") else Y
    model = lgb.train(
        {"objective": objective, "num_leaves": 9, "verbose": -1, "num_threads": 1}, lgb.Dataset(X_HOLES, target), 12
    )
    reading = check(model, X_HOLES, **LINK)
    check_raw(model, reading, X_HOLES)


def test_ranker_and_custom_objective(lgb):
    ranker = lgb.LGBMRanker(**SHORT).fit(X_HOLES, (Y > 150).astype(int), group=[42] + [20] * 20)
    check(ranker, X_HOLES)
    custom = lgb.LGBMRegressor(objective=lambda y, p: (p - y, np.ones_like(y)), **SHORT).fit(X, Y)
    check(custom, X_HOLES)
    classifier = lgb.LGBMClassifier(objective=lambda y, p: (p - y, np.ones_like(y)), **SHORT).fit(X, Y > 150)
    with pytest.raises(UnsupportedAttribute, match="function"):
        read(classifier, X)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"objective": "multiclassova"},
        {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1},
        {"boosting_type": "dart"},
        {"class_weight": "balanced"},
        {"sigmoid": 2.5, "objective": "multiclassova"},
    ],
    ids=str,
)
@pytest.mark.parametrize("labels", [KIND, NAMES[KIND], KIND * 2.0], ids=["integers", "names", "floats"])
def test_classifier(lgb, options, labels):
    model = lgb.LGBMClassifier(**SHORT, **options).fit(IRIS_HOLES, labels)
    reading = check(model, IRIS_HOLES, **LINK)
    check_raw(model, reading, IRIS_HOLES)


@pytest.mark.parametrize(
    "options",
    [{}, {"sigmoid": 0.3}, {"is_unbalance": True}, {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}],
    ids=str,
)
def test_two_classes(lgb, options):
    model = lgb.LGBMClassifier(**SHORT, **options).fit(X_HOLES, HIGH)
    reading = check(model, X_HOLES, **LINK)
    assert reading.graph.outputs[1].classes == ("high", "low")
    check(lgb.LGBMClassifier(**SHORT).fit(X, HIGH == "low"), X_HOLES, **LINK)


def test_early_stopping_asks_the_best_iterations(lgb):
    model = lgb.LGBMClassifier(**{**SHORT, "n_estimators": 200, "learning_rate": 0.3})
    model.fit(X[:200], HIGH[:200], eval_set=[(X[200:], HIGH[200:])], callbacks=[lgb.early_stopping(3, verbose=False)])
    assert 1 < model.best_iteration_ < 200
    for asked in (model, model.booster_):
        step = next(s for s in check(asked, X, **LINK).graph.steps if s.op == "tree_ensemble")
        assert len(step.attributes["start"]) == model.best_iteration_


@pytest.mark.parametrize("rows", [X, X_HOLES], ids=["complete", "holes"])
@pytest.mark.parametrize("options", [{}, {"linear_lambda": 0.1, "max_depth": 3}, {"min_child_samples": 400}], ids=str)
def test_linear_trees(lgb, options, rows):
    model = lgb.LGBMRegressor(**{**SHORT, "linear_tree": True, **options}).fit(rows, Y)
    reading = read(model, rows)
    for table in (rows, X_HOLES, X, np.full((1, 10), np.nan), on_thresholds(reading, rows)):
        expected = reading.answer({"X": table})["prediction"]
        np.testing.assert_allclose(modelport_answer(reading, table), expected, rtol=1e-12, atol=1e-11)
    proved(model, rows)


def modelport_answer(reading, rows):
    """The graph's prediction for a matrix."""
    from modelport.run import Evaluator

    return Evaluator(reading.graph).run({"X": rows})["prediction"]


def test_linear_trees_meet_infinity_only_where_they_use_it(lgb):
    model = lgb.LGBMRegressor(**{**SHORT, "linear_tree": True, "n_estimators": 2, "num_leaves": 3}).fit(X, Y)
    reading = read(model, X)
    for column in range(10):
        rows = X[:20].copy()
        rows[:, column] = np.inf
        np.testing.assert_allclose(modelport_answer(reading, rows), model.predict(rows), rtol=1e-12)


def test_linear_trees_of_several_classes(lgb):
    proved(lgb.LGBMClassifier(**SHORT, linear_tree=True).fit(IRIS_HOLES, KIND), IRIS_HOLES)


# --- categories ---------------------------------------------------------------------------------------------------------------

LOOSE = {**SHORT, "min_data_per_group": 2, "cat_smooth": 0.1, "cat_l2": 0.1, "min_child_samples": 5}


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "holes"])
@pytest.mark.parametrize("options", [{}, {"max_cat_to_onehot": 1}, {"max_cat_to_onehot": 20}], ids=str)
def test_categories_of_a_frame(lgb, options, missing):
    frame, target = categories_frame(missing=missing)
    model = lgb.LGBMRegressor(**LOOSE, **options).fit(frame, target)
    reading = check(model, frame)
    assert any("category" in s.attributes for s in reading.graph.steps if s.op == "tree_ensemble")
    unknown = frame.assign(word=pandas.Categorical(["aardvark"] * len(frame)), code=pandas.Categorical([11] * len(frame)))
    predictor = modelport.load(modelport.convert(model, "json", sample=frame))
    np.testing.assert_array_equal(predictor.predict(unknown)["prediction"], model.predict(unknown))
    proved(model, frame)
    proved(model.booster_, frame)


def test_codes_of_categories(lgb):
    random = np.random.default_rng(0)
    rows = np.column_stack([random.integers(0, 9, 400), random.normal(size=400), random.integers(0, 70, 400)]).astype(float)
    target = (rows[:, 0] == 4) * 3 + rows[:, 1] + (rows[:, 2] % 7 == 1) * 2
    odd = np.array(
        [[v, 0.3, w] for v in (-1, -0.5, 2.7, 3.999, 100, 1e9, np.nan, 0, -0.0) for w in (0, 5, -3, 69.5, 4294967296.0)]
    )
    for table in (rows, holes(rows, 0.1)):
        model = lgb.LGBMRegressor(**LOOSE).fit(table, target, categorical_feature=[0, 2])
        reading = check(model, table, holes(rows), odd)
        check_raw(model, reading, odd)
        proved(model, table)


def test_other_column_types_than_fitted_on_are_refused(lgb):
    frame, target = categories_frame()
    model = lgb.LGBMRegressor(**LOOSE).fit(frame, target)
    with pytest.raises(UnsupportedAttribute, match="column types"):
        read(model, frame.assign(code=frame["code"].astype(float)))


# --- in scikit-learn models -----------------------------------------------------------------------------------------------


def test_inside_scikit_learn(lgb):
    pipeline = make_pipeline(StandardScaler(), lgb.LGBMClassifier(**SHORT)).fit(IRIS, NAMES[KIND])
    proved(pipeline, IRIS)
    proved(GridSearchCV(pipeline, {"lgbmclassifier__num_leaves": [3, 5]}, cv=2).fit(IRIS, KIND), IRIS)
    for method in ("sigmoid", "isotonic"):
        proved(CalibratedClassifierCV(lgb.LGBMClassifier(**SHORT), method=method, cv=2).fit(IRIS, KIND), IRIS)
    members = [("boosted", lgb.LGBMClassifier(**SHORT)), ("linear", LogisticRegression(max_iter=500))]
    proved(VotingClassifier(members, voting="soft").fit(IRIS, KIND), IRIS)
    proved(StackingClassifier(members, cv=2).fit(IRIS, KIND), IRIS)
    frame = pandas.DataFrame({"town": np.array(["Oslo", "Bergen", "Ås"])[KIND], "width": IRIS[:, 1], "length": IRIS[:, 0]})
    narrow = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    proved(make_pipeline(narrow, lgb.LGBMClassifier(**SHORT)).fit(frame[["town"]], KIND), frame[["town"]])
    texts = [f"{'hot sun' if k else 'cold rain'} {k} day {i % 7}" for i, k in enumerate(KIND)]
    proved(make_pipeline(TfidfVectorizer(), lgb.LGBMClassifier(**SHORT)).fit(texts, KIND), texts, "json")
    encode = ColumnTransformer([("town", OneHotEncoder(handle_unknown="ignore"), ["town"])], remainder="passthrough")
    proved(make_pipeline(encode, lgb.LGBMRegressor(**SHORT)).fit(frame, IRIS[:, 2]), frame)


def test_integers_and_narrow_numbers(lgb):
    rows = np.round(IRIS * 2).astype(int)
    proved(lgb.LGBMClassifier(**SHORT).fit(rows, KIND), rows)
    proved(lgb.LGBMClassifier(**SHORT).fit(IRIS.astype(np.float32), KIND), IRIS.astype(np.float32))


# --- files --------------------------------------------------------------------------------------------------------------------


def test_files(lgb, tmp_path):
    path = tmp_path / "model.txt"
    frame, target = categories_frame()
    model = lgb.LGBMRegressor(**LOOSE).fit(frame, target)
    model.booster_.save_model(path)
    assert kind_of_model(path) == "lightgbm"
    check(load_model(path), frame)
    whole = path.read_text(encoding="utf-8")
    damages = [
        whole[:50],
        whole[: len(whole) // 2],
        whole[: whole.index("end of trees")],
        re.sub(r"num_leaves=\d+", "num_leaves=3", whole, count=1),
        re.sub(r"left_child=-?\d+", "left_child=77777", whole, count=1),
        whole.replace("cat_boundaries=", "cat_boundarie=", 1),
        whole.replace("max_feature_idx=2", "max_feature_idx=0", 1),
    ]
    for text in damages:
        assert text != whole
        path.write_text(text, encoding="utf-8")
        with pytest.raises((ArtifactError, UnsupportedAttribute)) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)


# --- refusals -----------------------------------------------------------------------------------------------------------------


def test_refusals(lgb):
    model = lgb.LGBMRegressor(**SHORT).fit(X, Y)
    model.later = 1
    with pytest.raises(UnsupportedAttribute, match="later"):
        read(model, X)
    with pytest.raises(NotFitted):
        read(lgb.LGBMRegressor(), X)
    with pytest.raises(InputError, match="columns"):
        read(lgb.LGBMRegressor(**SHORT).fit(X, Y), X[:, :3])
    with pytest.raises(UnsupportedAttribute, match="pred_early_stop"):
        read(lgb.LGBMClassifier(**SHORT, pred_early_stop=True).fit(X, HIGH), X)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("objective=regression", "objective=novelty", "novelty"),
        ("label_index=0", "label_index=0\nnovelty=1", "novelty"),
        ("num_cat=0", "num_cat=0\nnovelty=1", "novelty"),
        ("objective=regression", "objective=regression deep:3", "deep"),
        ("version=v4", "version=v9", "version"),
    ],
)
def test_what_is_unknown_in_a_model_is_refused(lgb, old, new, named):
    from modelport_lightgbm.model import parse_text

    text = lgb.LGBMRegressor(**SHORT).fit(X, Y).booster_.model_to_string()
    parse_text(text)
    with pytest.raises(UnsupportedAttribute, match=named):
        parse_text(text.replace(old, new, 1))


def test_provenance_and_columns(lgb):
    frame = pandas.DataFrame(X, columns=[f"größe {j} (cm)" for j in range(10)])
    model = lgb.LGBMRegressor(**SHORT).fit(frame, Y)
    reading = check(model, frame)
    assert reading.provenance["framework"] == {"name": "lightgbm", "version": lgb.__version__}
    assert reading.graph.inputs[0].features == tuple(frame.columns)
    assert reading.graph.inputs[0].missing == "nan"
    check(model.booster_, frame)
    for asked in (model, model.booster_):
        with pytest.raises(InputError, match="fitted on"):
            read(asked, frame[frame.columns[::-1]])
