"""XGBoost: margins exact in every bit, f32 comparisons, missing values, categories, every objective, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import BaggingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import modelport
from modelport.errors import ArtifactError, InputError, NotFitted, UnsupportedAttribute
from modelport.files import kind_of_model, load_model
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.boosters import categories_frame, check, holes, on_thresholds, proved, read, value
from tests.converters.modelport_sklearn.common import feeds_of, hard_rows

IRIS, KIND = load_iris(return_X_y=True)
X, Y = load_diabetes(return_X_y=True)
HIGH = (Y > 150).astype(int)
X_HOLES, IRIS_HOLES = holes(X), holes(IRIS)
SHORT = {"n_estimators": 12, "max_depth": 4, "n_jobs": 1}
#: what exp in f32 may differ by
LINK = {"rtol": 1e-6, "atol": 1e-7}


@pytest.fixture(scope="module")
def xgb(need_module):
    """The library, or a counted skip."""
    need_module("xgboost", "xgboost")
    import xgboost

    return xgboost


def check_margin(xgb, model, reading, rows):
    """The margin is equal in every bit to the model's own."""
    rows = np.asarray(rows, dtype=np.float64)
    if isinstance(model, xgb.Booster):
        expected = model.predict(xgb.DMatrix(rows), output_margin=True)
    else:
        expected = model.predict(rows, output_margin=True)
    got = value(reading, "tree_ensemble", rows)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.reshape(len(rows), -1), expected.reshape(len(rows), -1))


@pytest.mark.parametrize("rows", [X, X_HOLES], ids=["complete", "holes"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"booster": "dart", "rate_drop": 0.3, "one_drop": 1},
        {"base_score": 0.25},
        {"base_score": -1e6},
        {"num_parallel_tree": 3, "subsample": 0.5},
        {"tree_method": "exact", "gamma": 20000.0},
        {"tree_method": "approx", "max_leaves": 9, "grow_policy": "lossguide"},
        {"objective": "reg:absoluteerror"},
        {"objective": "reg:pseudohubererror"},
        {"objective": "reg:quantileerror", "quantile_alpha": 0.3},
        {"objective": "reg:squaredlogerror"},
        {"max_depth": 0, "max_leaves": 4, "grow_policy": "lossguide"},
        {"max_depth": 1, "learning_rate": 1.0},
        {"min_child_weight": 1e9},
    ],
    ids=str,
)
def test_regressor(xgb, options, rows):
    model = xgb.XGBRegressor(**{**SHORT, **options}).fit(rows, Y)
    reading = check(model, rows, X_HOLES)
    for table in (rows, on_thresholds(reading, rows), hard_rows(10)):
        check_margin(xgb, model, reading, table)


@pytest.mark.parametrize(
    "objective", ["count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "reg:logistic", "survival:aft", "rank:pairwise"]
)
def test_objectives_with_a_link(xgb, objective):
    target = {"reg:logistic": HIGH * 0.9, "rank:pairwise": HIGH}.get(objective, Y)
    data = xgb.DMatrix(X_HOLES, target)
    if objective == "survival:aft":
        data.set_float_info("label_lower_bound", Y)
        data.set_float_info("label_upper_bound", Y + 10)
    model = xgb.train({"objective": objective, "max_depth": 3, "nthread": 1}, data, 10)
    reading = check(model, X_HOLES, **LINK)
    check_margin(xgb, model, reading, X_HOLES)


def test_ranker_and_custom_objective(xgb):
    ranker = xgb.XGBRanker(**SHORT).fit(X_HOLES, HIGH, qid=np.arange(len(X)) // 20)
    check(ranker, X_HOLES)
    custom = xgb.XGBRegressor(objective=lambda y, p: (p - y, np.ones_like(y)), **SHORT).fit(X, Y)
    check(custom, X_HOLES)


def test_several_targets(xgb):
    targets = np.stack([Y, -Y, Y**2], axis=1)
    for options in ({}, {"multi_strategy": "multi_output_tree"}, {"booster": "dart", "rate_drop": 0.5}):
        model = xgb.XGBRegressor(**SHORT, **options).fit(X_HOLES, targets)
        reading = check(model, X_HOLES)
        check_margin(xgb, model, reading, X_HOLES)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"objective": "multi:softmax"},
        {"booster": "dart", "rate_drop": 0.4},
        {"num_parallel_tree": 2, "subsample": 0.6},
        {"scale_pos_weight": 3.0},
        {"base_score": 0.7},
    ],
    ids=str,
)
def test_classifier(xgb, options):
    model = xgb.XGBClassifier(**SHORT, **options).fit(IRIS_HOLES, KIND)
    reading = check(model, IRIS_HOLES, **LINK)
    check_margin(xgb, model, reading, np.concatenate([IRIS_HOLES, on_thresholds(reading, IRIS)]))
    if options.get("objective") != "multi:softmax":
        two = xgb.XGBClassifier(**SHORT, **options).fit(X_HOLES, HIGH)
        reading = check(two, X_HOLES, **LINK)
        check_margin(xgb, two, reading, np.concatenate([X_HOLES, on_thresholds(reading, X)]))


@pytest.mark.parametrize("objective", ["binary:hinge", "binary:logitraw"])
def test_classifiers_without_probability(xgb, objective):
    model = xgb.XGBClassifier(objective=objective, **SHORT).fit(X_HOLES, HIGH)
    check(model, X_HOLES)


def test_forests_and_several_labels(xgb):
    forest = xgb.XGBRFClassifier(n_estimators=10).fit(IRIS, KIND)
    check(forest, IRIS_HOLES, **LINK)
    check(xgb.XGBRFRegressor(n_estimators=10).fit(X, Y), X_HOLES)
    labels = np.stack([HIGH, Y < 100, Y > 200], axis=1).astype(int)
    reading = check(xgb.XGBClassifier(**SHORT).fit(X, labels), X_HOLES, **LINK)
    assert [o.name for o in reading.graph.outputs] == ["label", "probability"]


def test_the_margin_at_which_the_label_changes(xgb):
    """XGBoost compares the f32 probability with 0.5: the smallest margin that is the second class is not the smallest above 0."""
    from modelport_xgboost.graph import HALF

    up, down = np.float32(1), np.float32(0)
    margins = np.array([0, -1e-7, HALF, np.nextafter(HALF, down), np.nextafter(HALF, up), 1e-7], dtype=np.float32)
    flat = xgb.train({"objective": "binary:logistic", "learning_rate": 0.0}, xgb.DMatrix(X, HIGH), 1)
    data = xgb.DMatrix(np.repeat(X[:1], len(margins), axis=0), base_margin=margins)
    np.testing.assert_array_equal(flat.predict(data, output_margin=True), margins)
    np.testing.assert_array_equal(flat.predict(data) > 0.5, margins > HALF)


def test_labels_of_balanced_leaves(xgb):
    rows = np.array([[0.0], [0.0], [1.0], [1.0]])
    model = xgb.XGBClassifier(n_estimators=3, base_score=0.5, min_child_weight=0).fit(rows, [0, 1, 1, 1])
    check(model, rows, **LINK)
    tie = xgb.XGBClassifier(n_estimators=3, base_score=0.5).fit(np.zeros((4, 1)), [0, 1, 0, 1])
    assert read(tie, np.zeros((2, 1))).answer({"X": np.zeros((1, 1))})["label"].tolist() == [0]
    check(tie, np.zeros((4, 1)), **LINK)


def test_early_stopping_asks_the_best_rounds(xgb):
    model = xgb.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=0.6, num_parallel_tree=2)
    model.fit(X[:200], HIGH[:200], eval_set=[(X[200:], HIGH[200:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    reading = check(model, X, **LINK)
    step = next(s for s in reading.graph.steps if s.op == "tree_ensemble")
    assert len(step.attributes["start"]) == 2 * (model.best_iteration + 1)
    native = check(model.get_booster(), X, **LINK)  # a native predict asks all of them
    step = next(s for s in native.graph.steps if s.op == "tree_ensemble")
    assert len(step.attributes["start"]) == 2 * model.get_booster().num_boosted_rounds()


@pytest.mark.parametrize("missing", [0, -999.0, 0.1, None, 16777217])
def test_a_number_is_missing(xgb, missing):
    rows = X_HOLES if missing is None else np.where(np.isnan(X_HOLES), missing, X)
    model = xgb.XGBRegressor(missing=np.nan if missing is None else missing, **SHORT).fit(rows, Y)
    beside = rows[:20].copy()
    if missing is not None:
        beside[:, 2] = np.float64(np.float32(missing))
        beside[:, 3] = np.nextafter(missing, np.inf)
    reading = check(model, rows, X_HOLES, beside)
    check_margin(xgb, model, reading, beside)


def test_linear_booster(xgb):
    for target, options in ((Y, {}), (np.stack([Y, -Y], axis=1), {"base_score": 3.0})):
        model = xgb.XGBRegressor(booster="gblinear", n_estimators=10, n_jobs=1, **options).fit(X, target)
        reading = read(model, X)
        for rows in (X, X_HOLES):
            feeds = feeds_of(reading, rows)
            got, expected = Evaluator(reading.graph).run(feeds), reading.answer(feeds)
            np.testing.assert_allclose(got["prediction"], expected["prediction"], rtol=1e-5, atol=1e-3)
    classifier = xgb.XGBClassifier(booster="gblinear", n_estimators=10, n_jobs=1, missing=0).fit(IRIS, KIND)
    proved(classifier, IRIS)


def test_integers_booleans_and_narrow_numbers(xgb):
    rows = np.round(IRIS * 2).astype(int)
    model = xgb.XGBClassifier(**SHORT).fit(rows, KIND)
    proved(model, rows)
    proved(xgb.XGBClassifier(**SHORT).fit(IRIS.astype(np.float32), KIND), IRIS.astype(np.float32))


# --- categories ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["complete", "holes"])
@pytest.mark.parametrize("options", [{}, {"max_cat_to_onehot": 1}, {"max_cat_to_onehot": 20}, {"missing": 0}], ids=str)
def test_categories_of_a_frame(xgb, options, missing):
    frame, target = categories_frame(missing=missing)
    model = xgb.XGBRegressor(**SHORT, enable_categorical=True, **options).fit(frame, target)
    reading = check(model, frame)
    assert any("category" in s.attributes for s in reading.graph.steps if s.op == "tree_ensemble")
    proved(model, frame)
    data = xgb.DMatrix(frame, target, enable_categorical=True)
    proved(xgb.train({"max_depth": 4, "nthread": 1}, data, 5), frame)


def test_an_unknown_category_is_refused(xgb):
    frame, target = categories_frame()
    artifact = modelport.convert(xgb.XGBRegressor(**SHORT, enable_categorical=True).fit(frame, target), "json", sample=frame)
    predictor = modelport.load(artifact)
    for row in ({"word": "aardvark", "number": 0.5, "code": 10}, {"word": "x", "number": 0.5, "code": 11}):
        with pytest.raises(InputError):
            predictor.predict([row])


def test_categories_beyond_ascii(xgb):
    frame, target = categories_frame()
    words = frame["word"].cat.rename_categories({"zebra": "Ålesund", "x": "日本"})
    frame = frame.assign(word=words)
    proved(xgb.XGBRegressor(**SHORT, enable_categorical=True).fit(frame, target), frame)


def test_codes_of_categories(xgb):
    random = np.random.default_rng(0)
    rows = np.column_stack([random.integers(0, 9, 400), random.normal(size=400), random.integers(0, 70, 400)]).astype(float)
    target = (rows[:, 0] == 4) * 3 + rows[:, 1] + (rows[:, 2] % 7 == 1) * 2
    model = xgb.XGBRegressor(**SHORT, enable_categorical=True, feature_types=["c", "q", "c"]).fit(holes(rows, 0.1), target)
    odd = np.array([[v, 0.3, w] for v in (-1, -0.5, 2.7, 3.999, 100, 1e9, np.nan, 0, -0.0) for w in (0, 5, -3, 69.5, 16777216)])
    check(model, rows, holes(rows), odd)
    proved(model, rows)


def test_a_frame_with_categories_inside_a_pipeline_is_refused(xgb):
    frame, target = categories_frame()
    model = make_pipeline(xgb.XGBRegressor(**SHORT, enable_categorical=True)).fit(frame, target)
    with pytest.raises(UnsupportedAttribute, match="stands alone"):
        modelport.convert(model, "json", sample=frame)


# --- in scikit-learn models -----------------------------------------------------------------------------------------------


def test_inside_scikit_learn(xgb):
    pipeline = make_pipeline(StandardScaler(), xgb.XGBClassifier(**SHORT)).fit(IRIS, KIND)
    proved(pipeline, IRIS)
    proved(GridSearchCV(pipeline, {"xgbclassifier__max_depth": [1, 2]}, cv=2).fit(IRIS, KIND), IRIS)
    for method in ("sigmoid", "isotonic"):
        proved(CalibratedClassifierCV(xgb.XGBClassifier(**SHORT), method=method, cv=2).fit(IRIS, KIND), IRIS)
    proved(BaggingRegressor(xgb.XGBRegressor(**SHORT), n_estimators=2).fit(X, Y), X)
    logarithmic = TransformedTargetRegressor(xgb.XGBRegressor(**SHORT), func=np.log, inverse_func=np.exp)
    proved(logarithmic.fit(X, Y), X)
    frame = pandas.DataFrame({"town": np.array(["Oslo", "Bergen", "Ås"])[KIND], "width": IRIS[:, 1], "length": IRIS[:, 0]})
    texts = [f"{'hot sun' if k else 'cold rain'} {k} day {i % 7}" for i, k in enumerate(KIND)]
    proved(make_pipeline(TfidfVectorizer(), xgb.XGBClassifier(**SHORT, missing=1.0)).fit(texts, KIND), texts, "json")
    narrow = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    proved(make_pipeline(narrow, xgb.XGBClassifier(**SHORT)).fit(frame[["town"]], KIND), frame[["town"]])
    encode = ColumnTransformer([("town", OneHotEncoder(handle_unknown="ignore"), ["town"])], remainder="passthrough")
    proved(make_pipeline(encode, xgb.XGBRegressor(**SHORT)).fit(frame, IRIS[:, 2]), frame)


def test_all_formats_of_the_proof(xgb):
    found = proved(xgb.XGBRegressor(**SHORT).fit(X_HOLES, Y), X_HOLES, "json", "onnx")
    assert [f["prediction"] for f in found] == [0.0, 0.0]


# --- files --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.json", "model.ubj"])
def test_files(xgb, tmp_path, name):
    model = xgb.XGBClassifier(**SHORT).fit(IRIS_HOLES, KIND)
    model.save_model(tmp_path / name)
    assert kind_of_model(tmp_path / name) == "xgboost"
    opened = load_model(tmp_path / name)
    assert type(opened) is xgb.XGBClassifier
    check(opened, IRIS_HOLES, **LINK)
    model.get_booster().save_model(tmp_path / name)
    assert type(load_model(tmp_path / name)) is xgb.Booster
    whole = (tmp_path / name).read_bytes()
    for cut in (40, 500, len(whole) // 2, len(whole) - 1):
        (tmp_path / name).write_bytes(whole[:cut])
        with pytest.raises(ArtifactError) as caught:
            load_model(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_the_command_line_does_not_overwrite_the_model(xgb, tmp_path, monkeypatch):
    from modelport.cli import main

    monkeypatch.chdir(tmp_path)
    model = xgb.XGBClassifier(**SHORT).fit(pandas.DataFrame(IRIS, columns=list("abcd")), KIND)
    model.save_model("model.json")
    whole = (tmp_path / "model.json").read_bytes()
    pandas.DataFrame(IRIS, columns=list("abcd")).to_csv("rows.csv", index=False)
    assert main(["convert", "model.json", "--sample", "rows.csv", "--to", "json"]) == 64
    assert (tmp_path / "model.json").read_bytes() == whole
    assert main(["convert", "model.json", "--sample", "rows.csv", "-o", "artifact.json"]) == 0
    predictor = modelport.load(tmp_path / "artifact.json")
    np.testing.assert_array_equal(predictor.predict(IRIS)["label"], model.predict(IRIS))


def test_binary_files_are_read_as_json_is(xgb):
    from modelport_xgboost import ubjson

    for options in ({}, {"booster": "dart"}, {"booster": "gblinear"}):
        booster = xgb.XGBClassifier(**{**SHORT, **options}).fit(IRIS, KIND).get_booster()
        assert (
            ubjson.loads(bytes(booster.save_raw("ubj")))["learner"].keys()
            == json.loads(booster.save_raw("json"))["learner"].keys()
        )


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("left_children", lambda a: [10**9, *a[1:]]),
        ("right_children", lambda a: [0, *a[1:]]),
        ("parents", lambda a: [*a[:-1], 10**9]),
        ("split_indices", lambda a: [10**6, *a[1:]]),
        ("default_left", lambda a: a[:-1]),
        ("strange", lambda a: 1),
    ],
)
def test_damaged_files_are_refused(xgb, tmp_path, key, change):
    state = json.loads(xgb.XGBRegressor(**SHORT).fit(X, Y).get_booster().save_raw("json"))
    tree = state["learner"]["gradient_booster"]["model"]["trees"][0]
    tree[key] = change(tree.get(key))
    (tmp_path / "model.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(modelport.ModelportError):
        load_model(tmp_path / "model.json")


# --- refusals -----------------------------------------------------------------------------------------------------------------


def test_refusals(xgb):
    model = xgb.XGBRegressor(**SHORT).fit(X, Y)
    model.later = 1
    with pytest.raises(UnsupportedAttribute, match="later"):
        read(model, X)
    with pytest.raises(NotFitted):
        read(xgb.XGBRegressor(), X)
    with pytest.raises(NotFitted):
        read(xgb.Booster(), X)
    with pytest.raises(InputError, match="columns"):
        read(xgb.XGBRegressor(**SHORT).fit(X, Y), X[:, :3])
    infinite = xgb.XGBRegressor(**SHORT).fit(X, Y)
    infinite.missing = np.inf
    with pytest.raises(UnsupportedAttribute, match="missing"):
        read(infinite, X)


@pytest.mark.parametrize("where", [("learner",), ("learner", "objective"), ("learner", "gradient_booster", "model")])
def test_an_unknown_key_of_the_model_is_refused(xgb, where):
    from modelport_xgboost.model import parse_state

    state = json.loads(xgb.XGBRegressor(**SHORT).fit(X, Y).get_booster().save_raw("json"))
    place = state
    for key in where:
        place = place[key]
    place["novelty"] = 1
    with pytest.raises(UnsupportedAttribute, match="novelty"):
        parse_state(state)


def test_an_unknown_objective_is_refused(xgb):
    from modelport_xgboost.model import parse_state

    state = json.loads(xgb.XGBRegressor(**SHORT).fit(X, Y).get_booster().save_raw("json"))
    state["learner"]["objective"]["name"] = "reg:novelty"
    with pytest.raises(UnsupportedAttribute, match="reg:novelty"):
        parse_state(state)


def test_provenance_and_columns(xgb):
    frame = pandas.DataFrame(X, columns=[f"größe {j} (cm)" for j in range(10)])
    model = xgb.XGBRegressor(**SHORT).fit(frame, Y)
    reading = read(model, frame)
    assert reading.provenance["framework"] == {"name": "xgboost", "version": xgb.__version__}
    assert reading.graph.inputs[0].features == tuple(frame.columns)
    assert reading.graph.inputs[0].missing == "nan"
    native = xgb.train({"nthread": 1}, xgb.DMatrix(frame, Y), 3)
    with pytest.raises(InputError, match="another order"):
        read(native, frame[frame.columns[::-1]])
    check(native, frame)
    assert Sample.of(frame).kind == "matrix"
