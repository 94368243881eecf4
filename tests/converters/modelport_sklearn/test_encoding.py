"""OneHotEncoder and OrdinalEncoder: every option, unknown and missing categories, categories of every type."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from modelport.errors import InputError, NotFitted, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_rows, feeds_of, read

NAN = float("nan")


def frame(missing=None) -> pd.DataFrame:
    """Strings, numbers, booleans and a categorical; with `missing`, objects that write a missing value that way."""
    rows = 40
    data = {
        "town, of birth": np.array(["Oslo", "", "Zürich", "Oslo", "NaN", "None", "10", "a"] * 5, dtype=object),
        "size.cm": np.array([1.5, 2.0, -0.0, 1e30, 7.0] * 8),
        "label": np.array([True, False, True, True] * 10),
        "X": pd.Categorical(["low", "mid", "high", "low", "low"] * 8, categories=["low", "mid", "high", "never"]),
        "n": np.arange(rows) % 3,
        "constant": np.array(["only"] * rows, dtype=object),
    }
    table = pd.DataFrame(data).astype({"town, of birth": object, "constant": object})
    if missing is not None:
        towns = [missing[0] if j % 9 == 0 else v for j, v in enumerate(table["town, of birth"])]
        table["town, of birth"] = pd.Series(towns, dtype=object)
        table.loc[::5, "size.cm"] = NAN
        table.loc[::6, "X"] = None
    return table


def unseen() -> pd.DataFrame:
    """Rows with unknown and with missing categories."""
    table = frame().iloc[:6].copy()
    table["town, of birth"] = np.array(["oslo", "Oslo ", "Z", "", "a", "nan"], dtype=object)
    table["size.cm"] = [1.5, 2.0000000000000004, 0.0, 9.9e29, 3.0, 7.0]
    table["n"] = [5, 0, 1, 2, -1, 0]
    table["X"] = pd.Categorical(["never", "other", "mid", "low", "high", "low"])
    table["constant"] = np.array(["only", "Only", "only", "", "only", "x"], dtype=object)
    return table


LIMITS = [{}, {"min_frequency": 6}, {"max_categories": 2}, {"min_frequency": 0.2}, {"max_categories": 1}]


@pytest.mark.parametrize("drop", [None, "first", "if_binary"])
@pytest.mark.parametrize("unknown", ["ignore", "infrequent_if_exist", "warn"])
@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("sparse", [True, False])
def test_one_hot(drop, unknown, limits, sparse):
    encoder = OneHotEncoder(drop=drop, handle_unknown=unknown, sparse_output=sparse, **limits)
    reading = check(encoder.fit(frame()), frame(), unseen())
    assert {v.missing for v in reading.graph.inputs} == {"nan", "null"}
    missing = feeds_of(reading, frame())
    for values in missing.values():
        values[::3] = None if values.dtype == object else NAN
    check_rows(reading, missing)


@pytest.mark.parametrize("missing", [(None,), (NAN,)], ids=["None", "NaN"])
@pytest.mark.parametrize(
    "options", [{}, {"drop": "first"}, {"handle_unknown": "ignore"}, {"min_frequency": 7, "handle_unknown": "warn"}], ids=str
)
def test_one_hot_of_missing_categories(missing, options):
    encoder = OneHotEncoder(**options).fit(frame(missing))
    assert any(c is None or c != c for c in encoder.categories_[0])
    check(encoder, frame(missing), frame(missing)[::-1].reset_index(drop=True))


def test_a_missing_category_is_the_one_the_model_knows():
    """A sample without missing values says nothing on how the model's rows write them: the model's categories do."""
    for missing in ((None,), (NAN,)):
        table = frame(missing)[["town, of birth"]]
        encoder = OneHotEncoder(handle_unknown="ignore").fit(table)
        reading = check(encoder, table.dropna())
        check_rows(reading, feeds_of(reading, table))
        assert Evaluator(reading.graph).run(feeds_of(reading, table))["transformed"].sum(axis=1).tolist() == [1.0] * len(table)


def test_a_missing_value_written_otherwise_is_unknown():
    encoder = OneHotEncoder(handle_unknown="ignore").fit(frame((None,))[["town, of birth"]])
    other = frame((NAN,))[["town, of birth"]]
    reading = check(encoder, other)
    assert Evaluator(reading.graph).run(feeds_of(reading, other))["transformed"][0].sum() == 0


def test_none_beside_nan_is_refused():
    table = frame((None,))[["town, of birth"]]
    table.iloc[1, 0] = NAN
    for encoder in (OneHotEncoder(), OrdinalEncoder()):
        with pytest.raises(UnsupportedAttribute, match="both None and NaN in column 'town, of birth'"):
            read(encoder.fit(table), Sample.of(table))


def test_unknown_categories_are_refused_where_the_original_refuses():
    table = frame()[["town, of birth", "n", "constant"]]
    for encoder in (OneHotEncoder(drop="first"), OneHotEncoder(), OrdinalEncoder()):
        reading = check(encoder.fit(table), table)
        assert {v.missing for v in reading.graph.inputs} == {"error"}
        for name, value in (("town, of birth", "x"), ("n", 9.0), ("constant", "other")):
            feeds = feeds_of(reading, table)
            feeds[name][3] = value
            with pytest.raises(ValueError, match="unknown categories"):
                reading.answer(feeds)
            with pytest.raises(InputError, match="Row 3"):
                Evaluator(reading.graph).run(feeds)


def test_a_constant_column_alone_gives_no_column():
    table = frame()[["constant"]]
    reading = check(OneHotEncoder(drop="first").fit(table), table)
    assert Evaluator(reading.graph).run(feeds_of(reading, table))["transformed"].shape == (len(table), 0)


def test_given_categories_and_dropped_ones():
    rows = np.array([["b", "x"], ["a", "y"], ["c", "x"]], dtype=object)
    encoder = OneHotEncoder(categories=[["c", "b", "a", "z"], ["y", "x"]], drop=["b", "y"], handle_unknown="ignore")
    check(encoder.fit(rows), rows, np.array([["z", "q"], ["", "x"]], dtype=object))
    strings = np.array([["b", "x"], ["a", "y"]])
    check(OneHotEncoder(handle_unknown="ignore").fit(strings), strings, np.array([["longer", "x"]]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, np.int64, bool], ids=lambda t: t.__name__)
def test_output_dtypes(dtype):
    check(OneHotEncoder(dtype=dtype).fit(frame()), frame())


def test_numeric_columns_of_a_matrix_share_steps():
    digits = np.random.default_rng(0).integers(0, 4, size=(60, 12)).astype(float)
    reading = check(OneHotEncoder(handle_unknown="ignore").fit(digits), digits, digits + 0.5, digits - 2)
    assert [s.op for s in reading.graph.steps] == ["lookup", "onehot"]
    ints = OneHotEncoder(handle_unknown="ignore").fit(digits.astype(int))
    reading = check(ints, digits, digits + 1e-12)
    assert reading.graph.inputs[0].missing == "nan"
    check_rows(reading, {"X": np.full((2, 12), NAN)})
    with_nan = digits.copy()
    with_nan[::5, 3] = NAN
    check(OneHotEncoder(handle_unknown="ignore").fit(with_nan), with_nan, np.full((1, 12), NAN))
    thirds = digits.astype(np.float32) / np.float32(3)
    check(OneHotEncoder(handle_unknown="ignore").fit(thirds), digits / 3, thirds)


def test_object_columns_of_numbers_and_booleans():
    table = pd.DataFrame({"a": [1, 2, None, 1] * 5, "b": [True, None, False, True] * 5}, dtype=object)
    for encoder in (OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)):
        check(encoder.fit(table), table)
    nan = table.where(table.notna(), NAN).astype(object)
    check(OneHotEncoder(handle_unknown="ignore").fit(nan), nan)


def test_categoricals_of_numbers_and_booleans():
    columns = {"n": [3, 1, 3, 2] * 4, "b": [True, False, True, True] * 4, "f": [0.5, None] * 8}
    table = pd.DataFrame({name: pd.Categorical(values) for name, values in columns.items()})
    for encoder in (OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)):
        reading = check(encoder.fit(table), table)
        check_rows(reading, {"X": np.array([[1.0, 1.0, NAN], [7.0, 0.5, 1.0], [NAN, NAN, 0.5]])})


def test_pandas_strings():
    for dtype in ("str", "string"):
        table = pd.DataFrame({"t": pd.Series(["a", "b", "a", "c"] * 4, dtype=dtype)})
        reading = check(OneHotEncoder(handle_unknown="ignore").fit(table), table)
        check_rows(reading, {"t": np.array([["a"], ["zz"], [None]], dtype=object)})
    table.loc[2, "t"] = None
    missing = table.astype("str")
    check(OneHotEncoder().fit(missing), missing)


ORDINAL = [
    {"handle_unknown": "use_encoded_value", "unknown_value": -1},
    {"handle_unknown": "use_encoded_value", "unknown_value": NAN},
    {"handle_unknown": "use_encoded_value", "unknown_value": 77, "encoded_missing_value": -2},
    {"handle_unknown": "use_encoded_value", "unknown_value": -1, "encoded_missing_value": -1, "dtype": np.int32},
    {"handle_unknown": "use_encoded_value", "unknown_value": -1, "min_frequency": 6},
    {"handle_unknown": "use_encoded_value", "unknown_value": -1, "max_categories": 3, "encoded_missing_value": -5},
    {"handle_unknown": "use_encoded_value", "unknown_value": -1, "dtype": np.float32},
]


@pytest.mark.parametrize("options", ORDINAL, ids=str)
@pytest.mark.parametrize("missing", [None, (None,), (NAN,)], ids=["full", "None", "NaN"])
def test_ordinal(options, missing):
    encoder = OrdinalEncoder(**options).fit(frame(missing))
    reading = check(encoder, frame(missing), unseen() if missing is None else frame(missing))
    feeds = feeds_of(reading, frame(missing))
    for values in feeds.values():
        values[1::4] = None if values.dtype == object else NAN
    check_rows(reading, feeds)


@pytest.mark.parametrize("between", ["passthrough", StandardScaler(), SimpleImputer()], ids=str)
def test_unknown_as_nan_is_refused_where_the_next_step_refuses_nan(between):
    table, y = frame()[["town, of birth", "n"]], np.arange(40) % 2
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=NAN)
    other = table.assign(n=7)
    sums = make_pipeline(encoder, between, LogisticRegression()).fit(table, y)
    reading = check(sums, table, rtol=1e-12)
    if isinstance(between, SimpleImputer):
        check(sums, table, other, rtol=1e-12)
    else:
        with pytest.raises(ValueError, match="NaN"):
            reading.answer(feeds_of(reading, other))
        with pytest.raises(InputError, match="Row 0"):
            Evaluator(reading.graph).run(feeds_of(reading, other))
    check(make_pipeline(encoder, between, HistGradientBoostingClassifier(max_iter=3)).fit(table, y), table, other)


def test_float32_columns_are_fine_for_trees_and_refused_for_sums():
    table = frame()[["town, of birth", "n", "X"]]
    y = np.arange(len(table)) % 2
    encoder = OneHotEncoder(dtype=np.float32, handle_unknown="ignore")
    check(make_pipeline(encoder, RandomForestClassifier(5, random_state=0)).fit(table, y), table, unseen()[list(table)])
    model = make_pipeline(encoder, LogisticRegression()).fit(table, y)
    with pytest.raises(UnsupportedAttribute, match=r"dtype=np\.float64"):
        read(model, Sample.of(table))
    with pytest.raises(UnsupportedAttribute, match="StandardScaler is given float32"):
        read(make_pipeline(encoder, StandardScaler(with_mean=False)).fit(table), Sample.of(table))


def test_refusals():
    encoder = OneHotEncoder().fit(frame())
    encoder.extra_ = 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        read(encoder, Sample.of(frame()))
    with pytest.raises(NotFitted):
        read(OrdinalEncoder(), Sample.of(frame()))
    numbers = frame()[["n"]]
    with pytest.raises(UnsupportedAttribute, match="sample's column holds strings"):
        read(OneHotEncoder(handle_unknown="ignore").fit(numbers), Sample.of(numbers.astype(str)))
    large = pd.DataFrame({"n": [2**53 + 1, 2]})
    with pytest.raises(UnsupportedAttribute, match="no float64"):
        read(OneHotEncoder(handle_unknown="ignore").fit(large), Sample.of(large))
