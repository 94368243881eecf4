"""CatBoost: raw values exact in every bit, borders in f32, missing values, one-hot categories, losses, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import modelport
from modelport.errors import ArtifactError, InputError, NotFitted, UnsupportedAttribute, UntrustedFile
from modelport.files import kind_of_model, load_model
from tests.converters.boosters import check, holes, on_thresholds, proved, read, value
from tests.converters.modelport_sklearn.common import hard_rows

IRIS, KIND = load_iris(return_X_y=True)
X, Y = load_diabetes(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
HIGH = np.where(Y > 150, "high", "low")
X_HOLES, IRIS_HOLES = holes(X), holes(IRIS)
SHORT = {"iterations": 12, "depth": 4, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
LINK = {"rtol": 4e-15, "atol": 1e-15}


@pytest.fixture(scope="module")
def cat(need_module):
    """The library, or a counted skip."""
    need_module("catboost", "catboost")
    import catboost

    return catboost


def check_raw(model, reading, rows):
    """The raw value is equal in every bit to the model's own."""
    expected = model.predict(rows, prediction_type="RawFormulaVal", thread_count=1)
    np.testing.assert_array_equal(value(reading, "scale", rows).reshape(len(rows), -1), expected.reshape(len(rows), -1))


@pytest.mark.parametrize("rows", [X, X_HOLES], ids=["complete", "holes"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nan_mode": "Max"},
        {"grow_policy": "Lossguide", "max_leaves": 9},
        {"grow_policy": "Depthwise"},
        {"boosting_type": "Ordered"},
        {"depth": 1},
        {"border_count": 3},
        {"boost_from_average": False},
        {"model_shrink_rate": 0.2},
        {"posterior_sampling": True, "langevin": True},
        {"loss_function": "MAE"},
        {"loss_function": "Quantile:alpha=0.3"},
        {"loss_function": "Huber:delta=2"},
        {"loss_function": "Expectile:alpha=0.7"},
        {"loss_function": "LogCosh"},
        {"loss_function": "Lq:q=2.5"},
        {"loss_function": "MAPE"},
        {"min_data_in_leaf": 500, "grow_policy": "Depthwise"},
    ],
    ids=str,
)
def test_regressor(cat, options, rows):
    model = cat.CatBoostRegressor(**{**SHORT, **options}).fit(rows, Y)
    reading = check(model, rows, X_HOLES)
    for table in (
        rows,
        X_HOLES,
        on_thresholds(reading, rows),
        hard_rows(10),
        np.full((1, 10), np.inf),
        np.full((1, 10), -np.inf),
    ):
        check_raw(model, reading, table)


@pytest.mark.parametrize("loss", ["Poisson", "Tweedie:variance_power=1.5", "RMSEWithUncertainty"])
def test_losses_with_a_link(cat, loss):
    model = cat.CatBoostRegressor(**SHORT, loss_function=loss).fit(X_HOLES, Y)
    reading = check(model, X_HOLES, **LINK)
    if loss != "RMSEWithUncertainty":
        check_raw(model, reading, X_HOLES)
    plain = cat.CatBoost({**SHORT, "loss_function": loss}).fit(X_HOLES, Y)  # answers the raw value whatever the loss
    check(plain, X_HOLES)


def test_several_targets_and_rankers(cat):
    targets = np.stack([Y, -Y, Y**2], axis=1)
    for options in ({"loss_function": "MultiRMSE"}, {"loss_function": "MultiQuantile:alpha=0.1,0.5,0.9"}):
        target = targets if options["loss_function"] == "MultiRMSE" else Y
        model = cat.CatBoostRegressor(**SHORT, **options).fit(X_HOLES, target)
        check_raw(model, check(model, X_HOLES), X_HOLES)
    ranker = cat.CatBoostRanker(**SHORT, loss_function="YetiRank").fit(X_HOLES, Y > 150, group_id=np.arange(len(X)) // 20)
    check(ranker, X_HOLES)


@pytest.mark.parametrize("options", [{}, {"loss_function": "MultiClassOneVsAll"}, {"grow_policy": "Lossguide"}], ids=str)
@pytest.mark.parametrize(
    "labels", [KIND, NAMES[KIND], KIND + 0.5, KIND + 7], ids=["numbers", "names", "fractions", "other numbers"]
)
def test_classifier(cat, options, labels):
    model = cat.CatBoostClassifier(**SHORT, **options).fit(IRIS_HOLES, labels)
    reading = check(model, IRIS_HOLES, **LINK)
    check_raw(model, reading, IRIS_HOLES)
    assert reading.graph.types["label"].shape == (1,)  # as CatBoost answers it


@pytest.mark.parametrize(
    "labels", [HIGH, Y > 150, (Y > 150) * 1, (Y > 150) * 2.5], ids=["names", "booleans", "integers", "floats"]
)
def test_two_classes(cat, labels):
    model = cat.CatBoostClassifier(**SHORT).fit(X_HOLES, labels)
    reading = check(model, X_HOLES, **LINK)
    check_raw(model, reading, X_HOLES)
    assert reading.graph.types["label"].shape == ()
    for threshold in (0.7, 0.01):
        model.set_probability_threshold(threshold)
        check(model, X_HOLES, **LINK)


def test_other_losses_of_classifiers(cat):
    check(cat.CatBoostClassifier(**SHORT, loss_function="CrossEntropy").fit(X, (Y > 150) * 0.9), X_HOLES, **LINK)
    check(cat.CatBoostClassifier(**SHORT, loss_function="Focal:focal_alpha=0.5;focal_gamma=1.0").fit(X, Y > 150), X, **LINK)
    labels = np.stack([Y > 150, Y < 100, Y > 200], axis=1).astype(int)
    check(cat.CatBoostClassifier(**SHORT, loss_function="MultiLogloss").fit(X, labels), X_HOLES, **LINK)


def test_scale_bias_and_best_model(cat):
    model = cat.CatBoostRegressor(**SHORT).fit(X_HOLES, Y)
    for scale, bias in ((0.3, 0.7), (1.0, 0.1), (-2.5, 0.0)):
        model.set_scale_and_bias(scale, [bias])
        check(model, X_HOLES)
    stopped = cat.CatBoostRegressor(**{**SHORT, "iterations": 300, "learning_rate": 0.5})
    stopped.fit(X[:200], Y[:200], eval_set=(X[200:], Y[200:]), early_stopping_rounds=3)
    assert stopped.tree_count_ < 300
    check(stopped, X_HOLES)


def test_a_label_on_the_threshold(cat):
    model = cat.CatBoostClassifier(**{**SHORT, "iterations": 1}).fit(np.zeros((4, 1)) + [[0], [0], [1], [1]], [0, 1, 0, 1])
    check(model, np.array([[0.0], [1.0], [0.5]]), **LINK)


# --- categories ---------------------------------------------------------------------------------------------------------------


def mixed(rows=400):
    """A frame of strings, integers and numbers; a target that needs all."""
    random = np.random.default_rng(3)
    words = np.array(["x", "y", "Ålesund", 'q"u\\o', "", "nan", "7", "long " * 30])[random.integers(0, 8, rows)]
    frame = pandas.DataFrame({"word": words, "number": random.normal(size=rows), "code": random.integers(-2, 5, rows)})
    return frame, (words == "Ålesund") * 3 + (frame["code"] == 2) * 2 + frame["number"] - (words == "7")


@pytest.mark.parametrize("options", [{}, {"grow_policy": "Lossguide"}, {"grow_policy": "Depthwise"}, {"depth": 8}], ids=str)
def test_categories(cat, options):
    frame, target = mixed()
    model = cat.CatBoostRegressor(**{**SHORT, **options}, one_hot_max_size=20, cat_features=["word", "code"]).fit(frame, target)
    reading = check(model, frame, frame.assign(word="unheard of", code=77))
    assert any("category" in s.attributes for s in reading.graph.steps)
    proved(model, frame)
    artifact = modelport.load(modelport.convert(model, "json", sample=frame))
    with pytest.raises(InputError):
        artifact.predict([{"word": "x", "number": 1.0, "code": 0.5}])


def test_categories_of_other_containers(cat):
    frame, target = mixed()
    typed = frame.assign(word=pandas.Categorical(frame["word"]), code=pandas.Categorical(frame["code"]))
    proved(cat.CatBoostRegressor(**SHORT, one_hot_max_size=20, cat_features=["word", "code"]).fit(typed, target), typed)
    codes = np.column_stack([frame["code"], frame["code"][::-1]])
    proved(cat.CatBoostRegressor(**SHORT, one_hot_max_size=20, cat_features=[0]).fit(codes, target), codes)
    labels = np.where(target > 1, "big", "small")
    proved(cat.CatBoostClassifier(**SHORT, one_hot_max_size=20, cat_features=[0, 2]).fit(frame, labels), frame)


def test_what_cannot_be_read_of_categories_is_refused(cat):
    frame, target = mixed()
    model = cat.CatBoostRegressor(**SHORT, one_hot_max_size=20, cat_features=["word", "code"]).fit(frame, target)
    with pytest.raises(UnsupportedAttribute, match="every category"):
        read(model, frame[frame["word"] == "x"])
    counted = cat.CatBoostRegressor(**SHORT, one_hot_max_size=2, cat_features=["word"]).fit(frame, target)
    with pytest.raises(UnsupportedAttribute, match="CTR"):
        read(counted, frame)
    with pytest.raises(UnsupportedAttribute, match="stands alone"):
        modelport.convert(make_pipeline(model), "json", sample=frame)


def test_hashes(cat):
    from modelport_catboost.native import hashes

    frame, target = mixed()
    model = cat.CatBoostRegressor(**SHORT, one_hot_max_size=20, cat_features=["word"]).fit(frame, target)
    from modelport_catboost.model import parse

    tested = parse(model).tested()[0]
    assert set(tested) <= set(hashes(set(frame["word"])).values())
    assert hashes({3, 4}) == {3: hashes({"3"})["3"], 4: hashes({"4"})["4"]}
    assert hashes(set()) == {}


# --- in scikit-learn models -----------------------------------------------------------------------------------------------


def test_inside_scikit_learn(cat):
    pipeline = make_pipeline(StandardScaler(), cat.CatBoostClassifier(**SHORT)).fit(IRIS, NAMES[KIND])
    proved(pipeline, IRIS)
    grid = GridSearchCV(
        make_pipeline(StandardScaler(), cat.CatBoostRegressor(**SHORT)), {"catboostregressor__depth": [1, 2]}, cv=2
    )
    proved(grid.fit(X, Y), X)
    proved(CalibratedClassifierCV(cat.CatBoostClassifier(**SHORT), cv=2).fit(IRIS, KIND), IRIS)
    members = [("boosted", cat.CatBoostClassifier(**SHORT)), ("linear", LogisticRegression(max_iter=500))]
    proved(VotingClassifier(members, voting="soft").fit(IRIS, KIND), IRIS)
    frame = pandas.DataFrame({"town": np.array(["Oslo", "Bergen", "Ås"])[KIND], "width": IRIS[:, 1], "length": IRIS[:, 0]})
    texts = [f"{'hot sun' if k else 'cold rain'} {k} day {i % 7}" for i, k in enumerate(KIND)]
    proved(make_pipeline(TfidfVectorizer(), cat.CatBoostClassifier(**SHORT)).fit(texts, KIND), texts, "json")
    encode = ColumnTransformer([("town", OneHotEncoder(handle_unknown="ignore"), ["town"])], remainder="passthrough")
    proved(make_pipeline(encode, cat.CatBoostRegressor(**SHORT)).fit(frame, IRIS[:, 2]), frame)


def test_integers_and_narrow_numbers(cat):
    rows = np.round(IRIS * 2).astype(int)
    proved(cat.CatBoostClassifier(**SHORT).fit(rows, KIND), rows)
    proved(cat.CatBoostClassifier(**SHORT).fit(IRIS.astype(np.float32), KIND), IRIS.astype(np.float32))


# --- files --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cbm", "json"])
def test_files(cat, tmp_path, kind):
    path = tmp_path / f"model.{kind}"
    for model, rows in (
        (cat.CatBoostClassifier(**SHORT).fit(IRIS_HOLES, NAMES[KIND]), IRIS_HOLES),
        (cat.CatBoostRegressor(**SHORT, loss_function="Poisson").fit(X, Y), X_HOLES),
    ):
        model.save_model(str(path), format=kind)
        assert kind_of_model(path) == "catboost"
        if kind == "cbm":
            with pytest.raises(UntrustedFile, match="--trust"):
                load_model(path)
        opened = load_model(path, trust=kind == "cbm")
        assert type(opened) is type(model)
        check(opened, rows, **LINK)
    whole = path.read_bytes()
    for cut in (60, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        with pytest.raises(ArtifactError) as caught:
            load_model(path, trust=True)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("key", "number"), [("float_feature_index", 77), ("split_index", 10**9)])
def test_damaged_files_are_refused(cat, tmp_path, key, number):
    path = tmp_path / "model.json"
    cat.CatBoostRegressor(**SHORT).fit(X, Y).save_model(str(path), format="json")
    state = json.loads(path.read_text(encoding="utf-8"))
    state["oblivious_trees"][0]["splits"][0][key] = number
    path.write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(UnsupportedAttribute, match="damaged"):
        load_model(path)


# --- refusals -----------------------------------------------------------------------------------------------------------------


def test_refusals(cat):
    model = cat.CatBoostRegressor(**SHORT).fit(X, Y)
    model.later = 1
    for asked in (model, make_pipeline(model)):
        with pytest.raises(UnsupportedAttribute, match="later"):
            modelport.convert(asked, "json", sample=X, backend="graph")
    with pytest.raises(NotFitted):
        read(cat.CatBoostRegressor(), X)
    with pytest.raises(InputError, match="columns"):
        read(cat.CatBoostRegressor(**SHORT).fit(X, Y), X[:, :3])


@pytest.mark.parametrize("where", [(), ("features_info",), ("features_info", "float_features", 0)])
def test_an_unknown_key_of_the_model_is_refused(cat, tmp_path, where):
    from modelport_catboost.model import parse_state

    path = tmp_path / "model.json"
    cat.CatBoostRegressor(**SHORT).fit(X, Y).save_model(str(path), format="json")
    state = json.loads(path.read_text(encoding="utf-8"))
    parse_state(state)
    place = state
    for key in where:
        place = place[key]
    place["novelty"] = 1
    with pytest.raises(UnsupportedAttribute, match="novelty"):
        parse_state(state)


def test_what_is_no_number_is_refused(cat, tmp_path):
    from modelport_catboost.model import parse_state

    path = tmp_path / "model.json"
    cat.CatBoostRegressor(**SHORT).fit(X, Y).save_model(str(path), format="json")
    state = json.loads(path.read_text(encoding="utf-8"))
    state["model_info"]["params"]["loss_function"]["type"] = "Novelty"
    with pytest.raises(UnsupportedAttribute, match="Novelty"):
        parse_state(state)
    state["features_info"]["text_features"] = [{"feature_index": 0}]
    with pytest.raises(UnsupportedAttribute, match="text_features"):
        parse_state(state)


def test_provenance_and_columns(cat):
    frame = pandas.DataFrame(X, columns=[f"größe {j} (cm)" for j in range(10)])
    reading = check(cat.CatBoostRegressor(**SHORT).fit(frame, Y), frame)
    assert reading.provenance["framework"] == {"name": "catboost", "version": cat.__version__}
    assert reading.provenance["model"] == "CatBoostRegressor"
    assert reading.graph.inputs[0].features == tuple(frame.columns)
    assert reading.graph.inputs[0].missing == "nan"
