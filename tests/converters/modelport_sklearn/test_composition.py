"""Pipelines, ColumnTransformers and FeatureUnions, above all on frames of several kinds of columns with missing values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)

from modelport.errors import InputError, NotFitted, UnsupportedAttribute, UnsupportedModel
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_probes, check_rows, feeds_of, hard_rows, read

X, y = load_iris(return_X_y=True)
NAN = float("nan")
TABLE = pd.DataFrame(X, columns=["a b", "label", "X", "é.ü"])


# --- Pipeline -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, "passthrough"])
def test_steps_that_do_nothing(nothing):
    check(Pipeline([("a", StandardScaler()), ("b", nothing), ("c", MinMaxScaler())]).fit(X), X, hard_rows(4))
    check(Pipeline([("a", StandardScaler()), ("b", nothing)]).fit(X), X, hard_rows(4))
    check(Pipeline([("b", nothing)]).fit(X), X, hard_rows(4))
    check(Pipeline([("b", nothing), ("c", RandomForestClassifier(4, random_state=0))]).fit(X, y), X)


def test_nested_pipelines_and_probes():
    inner = make_pipeline(StandardScaler(), make_pipeline(PolynomialFeatures(2), MinMaxScaler()))
    model = make_pipeline(inner, make_pipeline(SelectKBest(k=5), LogisticRegression())).fit(X, y)
    reading = check(model, X, rtol=1e-11)
    assert len(check_probes(reading, X, rtol=1e-11, atol=1e-12)) >= 3
    check(inner.fit(X), X, hard_rows(4))
    kept = make_pipeline(StandardScaler(), memory=None, verbose=True)
    check(kept.fit(X), X)


def test_pandas_output_keeps_the_columns():
    columns = make_column_transformer((StandardScaler(), ["X", "a b"]), remainder="passthrough", verbose_feature_names_out=False)
    second = make_column_transformer((MinMaxScaler(), ["label"]), (PCA(1), ["X", "é.ü"]), remainder="drop")
    model = make_pipeline(columns, second).set_output(transform="pandas").fit(TABLE)
    check(model, TABLE, rtol=1e-12, atol=1e-12)


# --- ColumnTransformer --------------------------------------------------------------------------------------------------------

COLUMNS = [
    ["X", "a b"],
    [2, 0],
    [-1],
    slice(1, 3),
    slice("label", "X"),
    [True, False, False, True],
    np.array([False, True, True, False]),
    np.array([3, 1]),
    lambda rows: ["é.ü"],
    make_column_selector("a"),
    make_column_selector(dtype_include=float),
    [],
    [False, False, False, False],
]


@pytest.mark.parametrize("columns", COLUMNS, ids=lambda v: repr(v).partition(" at 0x")[0])
@pytest.mark.parametrize("remainder", ["drop", "passthrough", StandardScaler()], ids=lambda v: repr(v).partition(" at 0x")[0])
def test_ways_to_name_columns(columns, remainder):
    parts = [("s", MinMaxScaler(), columns), ("p", "passthrough", [1]), ("d", "drop", [0])]
    model = ColumnTransformer(parts, remainder=remainder)
    check(model.fit(TABLE), TABLE, pd.DataFrame(hard_rows(4), columns=TABLE.columns))
    if isinstance(columns, (list, np.ndarray)) and not any(isinstance(c, str) for c in columns):
        check(model.fit(X), X, hard_rows(4))


def test_columns_used_twice_weights_and_stacking():
    encoder = OneHotEncoder(handle_unknown="ignore")
    parts = [("a", StandardScaler(), [0, 1]), ("b", MaxAbsScaler(), [1, 0]), ("c", encoder, [3]), ("d", "drop", [2])]
    model = ColumnTransformer(parts, transformer_weights={"a": 0.1, "c": 3, "d": 2}, remainder="passthrough")
    for threshold in (0, 0.3, 1.0):
        model.set_params(sparse_threshold=threshold).fit(X)
        check(model, X, hard_rows(4))
    check(ColumnTransformer([("a", model, [0, 1, 2, 3]), ("n", make_pipeline(StandardScaler(), model), [3, 2, 1, 0])]).fit(X), X)


def test_a_single_column_given_by_its_name_is_one_dimensional():
    """Such a transformer sees strings or numbers without a second axis."""
    text = pd.DataFrame({"t": pd.Series(["a", None, "b", "a"], dtype=object), "n": [1.0, 2.0, 3.0, 4.0]})
    series = FunctionTransformer().fit(text)
    model = ColumnTransformer([("f", make_pipeline(series), ["t"]), ("n", StandardScaler(), ["n"])]).fit(text)
    reading = check(model, text)
    assert [o.dtype for o in reading.graph.outputs] == ["str", "f64"]


def test_numbers_of_a_frame_without_names():
    table = pd.DataFrame(X)
    check(make_column_transformer((StandardScaler(), [0, 3]), remainder="passthrough").fit(table), table)


# --- FeatureUnion -------------------------------------------------------------------------------------------------------------


def test_union():
    bins = KBinsDiscretizer(3, strategy="uniform")
    parts = [("s", StandardScaler()), ("p", "passthrough"), ("d", "drop"), ("b", bins), ("v", VarianceThreshold(0.5))]
    check(FeatureUnion(parts).fit(X), X, hard_rows(4))
    weighted = FeatureUnion(parts, transformer_weights={"s": 0.3, "v": 0.7}).fit(X)
    check(weighted, X, hard_rows(4))
    check(make_pipeline(weighted, MaxAbsScaler()).fit(X), X)
    check(make_union(make_union(StandardScaler(), PCA(2)), MinMaxScaler()).fit(X), X, rtol=1e-11, atol=1e-12)
    check(FeatureUnion(parts[:2]).set_output(transform="pandas").fit(TABLE), TABLE)


# --- frames of several kinds of columns ---------------------------------------------------------------------------------------


def people(rows: int = 120, missing=None) -> pd.DataFrame:
    """Numbers, integers, strings, a categorical, booleans and objects, most with missing values; awkward names."""
    random = np.random.default_rng(7)
    towns = np.array(["Oslo", "Zürich", "São Paulo", "x", ""], dtype=object)[random.integers(0, 5, rows)]
    table = pd.DataFrame(
        {
            "age in years": random.normal(40, 12, rows).round(1),
            "label": random.integers(0, 5, rows),
            "X": pd.Series(towns, dtype=object),
            "Größe.cm": random.lognormal(1, 1, rows),
            "class": pd.Categorical(np.array(["first", "second", "third"])[random.integers(0, 3, rows)]),
            "member": random.integers(0, 2, rows).astype(bool),
            "smoker": pd.Series(np.array([True, False, missing], dtype=object)[random.integers(0, 3, rows)], dtype=object),
            "note": np.array(["short", "a rather long text", "#"])[random.integers(0, 3, rows)],
        }
    )
    table.loc[::6, "age in years"] = NAN
    table.loc[::11, "class"] = None
    table.loc[::9, "note"] = None
    table["X"] = pd.Series([missing if j % 7 == 3 else v for j, v in enumerate(towns)], dtype=object)
    return table


def target(table: pd.DataFrame) -> np.ndarray:
    score = (
        table["Größe.cm"] / 3 + table["member"] + (table["class"].astype(str) == "first") + table["age in years"].fillna(40) / 40
    )
    return np.array(["no", "yes", "perhaps"])[np.digitize(score, [2.0, 4.0])]


def columns(missing=NAN, encoder=None) -> ColumnTransformer:
    numeric = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    text = make_pipeline(
        SimpleImputer(missing_values=missing, strategy="most_frequent"),
        encoder or OneHotEncoder(handle_unknown="ignore", min_frequency=3),
    )
    constant = make_pipeline(SimpleImputer(strategy="constant", fill_value="(none)"), OneHotEncoder(handle_unknown="ignore"))
    return ColumnTransformer(
        [
            ("numbers", numeric, ["age in years", "Größe.cm"]),
            ("logarithm", FunctionTransformer(np.log1p), ["Größe.cm"]),
            ("text", text, ["X", "smoker"]),
            ("constant", constant, ["class", "note"]),
            (
                "ordinal",
                OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
                ["label", "class"],
            ),
        ],
        remainder="passthrough",
    )


MODELS = [LogisticRegression(max_iter=2000), RandomForestClassifier(8, random_state=0, n_jobs=2)]
REFUSE = [{"member", "Größe.cm"}, set()]  # the forest takes NaN in columns that reach it as they are


@pytest.mark.parametrize("missing", [None, NAN], ids=["None", "NaN"])
@pytest.mark.parametrize(("model", "refuse"), list(zip(MODELS, REFUSE, strict=True)), ids=["logistic", "forest"])
def test_from_imputer_to_classifier(missing, model, refuse):
    table = people(missing=missing)
    pipeline = make_pipeline(columns(missing), model).fit(table, target(table))
    reading = check(pipeline, table, rtol=1e-9)
    accepts = {v.name: v.missing for v in reading.graph.inputs}
    assert {name for name, word in accepts.items() if word == "error"} == refuse
    assert accepts["X"] == accepts["note"] == "null"
    assert accepts["smoker"] == accepts["age in years"] == "nan"
    feeds = feeds_of(reading, table)
    for name in ("X", "class", "note"):
        feeds[name][:4] = [["unseen"], ["oslo"], [""], [None]]
    feeds["label"][:3] = [[77.0], [NAN], [2.0000000000000004]]
    feeds["smoker"][:3] = [[NAN], [0.0], [1.0]]
    check_rows(reading, feeds, rtol=1e-9)
    for name in refuse:
        refused = {**feeds, name: np.where(np.arange(len(table))[:, None] == 2, NAN, feeds[name])}
        with pytest.raises(ValueError, match="NaN"):
            reading.answer(refused)
        with pytest.raises(InputError, match=f"Row 2 of input '{name}'"):
            Evaluator(reading.graph).run(refused)


def test_none_is_not_imputed_as_nan():
    """missing_values=nan leaves None as a category of its own, which the graph has to repeat."""
    table = people(missing=None)[["X", "member"]]
    model = make_column_transformer((make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["X"]))
    names = model.fit(table).get_feature_names_out()
    assert any("None" in name for name in names)
    check(model, table)


def test_a_sample_without_missing_values_leaves_the_graph_as_accepting():
    for missing in (None, NAN):
        table = people(missing=missing)
        pipeline = make_pipeline(columns(missing), MODELS[1]).fit(table, target(table))
        reading = check(pipeline, table.dropna().reset_index(drop=True))
        check_rows(reading, feeds_of(reading, table))


ENCODERS = [
    OrdinalEncoder(),
    OneHotEncoder(drop="first"),
    OneHotEncoder(drop="if_binary", handle_unknown="warn", max_categories=3),
]


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda v: repr(v).partition(" at 0x")[0])
def test_other_encoders(encoder):
    table = people(missing=NAN)
    pipeline = make_pipeline(columns(NAN, encoder), RandomForestClassifier(8, random_state=0)).fit(table, target(table))
    check(pipeline, table)


def test_transformed_frames_and_probes():
    table = people(missing=NAN)
    reading = check(columns().fit(table), table, rtol=1e-15)
    assert [o.name for o in reading.graph.outputs] == ["transformed"]
    pipeline = make_pipeline(columns(), StandardScaler(with_mean=False), LogisticRegression(max_iter=2000)).fit(
        table, target(table)
    )
    assert len(check_probes(check(pipeline, table, rtol=1e-9), table, rtol=1e-9)) >= 3


def test_strings_stay_strings():
    table = people(missing=NAN)
    imputer = SimpleImputer(strategy="most_frequent")
    model = make_column_transformer((imputer, ["X", "note"]), (StandardScaler(), ["Größe.cm"]), ("passthrough", ["class"])).fit(
        table
    )
    reading = check(model, table)
    assert [o.dtype for o in reading.graph.outputs] == ["str", "str", "f64", "str"]
    text = make_pipeline(make_column_transformer((imputer, ["X", "note"])), OneHotEncoder()).fit(table)
    check(text, table)


def test_rows_as_dicts_and_object_arrays():
    table = people(missing=None)[["X", "label", "age in years"]]
    model = make_column_transformer(
        (
            make_pipeline(
                SimpleImputer(missing_values=None, strategy="constant", fill_value="?"), OneHotEncoder(handle_unknown="ignore")
            ),
            [0],
        ),
        (SimpleImputer(), [2]),
        remainder="passthrough",
    )
    rows = table.to_numpy()
    check(model.fit(rows), rows)
    records = table.to_dict("records")
    by_name = make_column_transformer((OrdinalEncoder(), ["X"]), (SimpleImputer(), ["label", "age in years"])).fit(table)
    check(by_name, records)


def test_missing_indicator_beside_an_imputer():
    table = people(missing=NAN)
    union = make_union(SimpleImputer(strategy="mean"), MissingIndicator(features="all"))
    model = make_pipeline(make_column_transformer((union, ["age in years", "Größe.cm"])), LogisticRegression()).fit(
        table, target(table)
    )
    check(model, table, rtol=1e-9)


def test_regression_on_wine_with_bins_and_interactions():
    wine, kind = load_wine(return_X_y=True)
    model = make_pipeline(
        make_column_transformer(
            (KBinsDiscretizer(4, encode="onehot-dense", strategy="uniform"), [0, 1, 2]), (PolynomialFeatures(2), [3, 4])
        ),
        RandomForestRegressor(5, random_state=0),
    ).fit(wine, kind)
    check(model, wine)


# --- refusals -----------------------------------------------------------------------------------------------------------------


class Doubler(FunctionTransformer):
    """A user's own transformer."""

    def transform(self, X):
        return 2 * X


def test_refusals():
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    model.postprocess_ = 1
    with pytest.raises(UnsupportedAttribute, match="postprocess_"):
        read(model, Sample.of(X))
    table = make_column_transformer((StandardScaler(), [0])).fit(X)
    table.order_ = 1
    with pytest.raises(UnsupportedAttribute, match="order_"):
        read(table, Sample.of(X))
    union = make_union(StandardScaler()).fit(X)
    union.order_ = 1
    with pytest.raises(UnsupportedAttribute, match="order_"):
        read(union, Sample.of(X))
    with pytest.raises(UnsupportedModel, match=r"Doubler overrides FunctionTransformer\.transform"):
        read(make_pipeline(Doubler(), LogisticRegression()).fit(X, y), Sample.of(X))
    with pytest.raises(NotFitted):
        read(make_column_transformer((StandardScaler(), [0])), Sample.of(X))
    with pytest.raises(NotFitted):
        read(make_pipeline(StandardScaler(), LogisticRegression().fit(X, y)), Sample.of(X))
    text = pd.DataFrame({"t": ["a", "b"] * 3, "n": range(6)})
    broken = make_pipeline(ColumnTransformer([("p", "passthrough", ["t"])]), RandomForestClassifier(2)).fit(
        text.assign(t=range(6)), [0, 1] * 3
    )
    with pytest.raises(InputError, match="'t' holds strings"):
        read(broken, Sample.of(text))
