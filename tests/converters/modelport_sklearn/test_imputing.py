"""SimpleImputer and MissingIndicator on numbers, strings and columns of both, with every way to write a missing value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelport.errors import InputError, NotFitted, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import HARD, check, check_formats, check_rows, feeds_of, hard_rows, read

NAN = float("nan")
NUMBERS = np.array(
    [[1.0, NAN, 3.0, NAN, -1.0], [NAN, 2.5, 3.0, NAN, 0.0], [7.0, 0.1, -1.0, NAN, -0.0], [1.0, 1e30, -1.0, NAN, -1.0]],
)


def spread(column: np.ndarray) -> float:
    """A strategy of a user's own."""
    return float(column.max() - column.min()) if len(column) else NAN


@pytest.mark.parametrize(
    "strategy", ["mean", "median", "most_frequent", "constant", spread], ids=lambda s: s if isinstance(s, str) else s.__name__
)
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("indicator", [True, False])
def test_numbers(strategy, keep, indicator):
    imputer = SimpleImputer(strategy=strategy, keep_empty_features=keep, add_indicator=indicator).fit(NUMBERS)
    reading = check(imputer, NUMBERS, hard_rows(5), np.full((2, 5), NAN))
    assert reading.graph.inputs[0].missing == "nan"


@pytest.mark.parametrize("missing", [-1, -1.0, 0, 1e30])
@pytest.mark.parametrize("indicator", [True, False])
def test_a_number_that_stands_for_missing(missing, indicator):
    rows = np.nan_to_num(NUMBERS, nan=4.0)
    whole = np.where(rows == 1e30, 5, rows)
    imputer = SimpleImputer(missing_values=missing, add_indicator=indicator)
    reading = check(imputer.fit(rows), rows, hard_rows(5))
    assert reading.graph.inputs[0].missing == "error"
    check(SimpleImputer(missing_values=-1, strategy="constant", fill_value=9).fit(whole.astype(int)), rows, hard_rows(5) / 2)


def test_statistics_of_float32_rows():
    for strategy in ("mean", "median"):
        check(SimpleImputer(strategy=strategy).fit((NUMBERS / 3).astype(np.float32)), NUMBERS, hard_rows(5))


def mixed(missing) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a b": pd.Series(["x", missing, "y", "x", "", missing], dtype=object),
            "é": [1.0, NAN, 2.0, 2.0, 5.0, NAN],
            "ok": pd.Series([True, missing, False, True, True, True], dtype=object),
            "label": pd.Series(["?", "u", "?", missing, "u", "v"], dtype=object),
            "gone": pd.Series([missing] * 6, dtype=object),
        }
    )


@pytest.mark.parametrize("missing", [None, NAN], ids=["None", "NaN"])
@pytest.mark.parametrize("strategy", ["most_frequent", "constant"])
@pytest.mark.parametrize("indicator", [True, False])
def test_strings_and_numbers(missing, strategy, indicator):
    """Object rows tell None from NaN: only the one that missing_values names is replaced."""
    text = mixed(missing)[["a b", "label", "gone"]]
    for named in (None, NAN, "?"):
        imputer = SimpleImputer(missing_values=named, strategy=strategy, fill_value="other", add_indicator=indicator)
        try:
            imputer.fit(text)
        except ValueError:  # scikit-learn refuses NaN where it does not stand for a missing value
            continue
        check(imputer, text, text[::-1].reset_index(drop=True))


@pytest.mark.parametrize("indicator", [True, False])
def test_most_frequent_of_a_mixed_frame(indicator):
    table = mixed(NAN)
    imputer = SimpleImputer(strategy="most_frequent", add_indicator=indicator).fit(table)
    reading = check(imputer, table)
    assert [o.dtype for o in reading.graph.outputs][:4] == ["str", "f64", "f64", "str"]
    assert {v.missing for v in reading.graph.inputs} == {"nan", "null"}
    full = table.drop(columns="gone").ffill()
    imputer = SimpleImputer(strategy="most_frequent", add_indicator=indicator).fit(table.drop(columns="gone"))
    reading = check(imputer, full)
    check_rows(reading, feeds_of(reading, table.drop(columns="gone")))


def test_an_object_array():
    for missing in (None, NAN):
        rows = mixed(missing)[["a b", "label"]].to_numpy()
        imputer = SimpleImputer(missing_values=missing, strategy="most_frequent").fit(rows)
        check(imputer, rows)
        other = np.array([["zz", missing]], dtype=object)
        check(make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore")).fit(rows), rows, other)


def test_pandas_na():
    table = pd.DataFrame({"n": pd.array([1, None, 3, 3], dtype="Int64"), "f": pd.array([0.5, 1.5, None, 2.5], dtype="Float64")})
    for strategy in ("mean", "most_frequent"):
        check(SimpleImputer(missing_values=pd.NA, strategy=strategy).fit(table), table)
        check(SimpleImputer(strategy=strategy).fit(table), table)


def test_kinds_that_do_not_fit_are_refused():
    table = mixed(NAN).drop(columns="gone")
    imputer = SimpleImputer(strategy="constant", fill_value="missing").fit(table)
    with pytest.raises(UnsupportedAttribute, match="fills column 'é' of numbers with 'missing'"):
        read(imputer, Sample.of(table))
    gone = mixed(None)[["gone", "a b"]]
    imputer = SimpleImputer(missing_values=None, strategy="most_frequent", keep_empty_features=True).fit(gone)
    with pytest.raises(UnsupportedAttribute, match="fills column 'gone' of strings with 0"):
        read(imputer, Sample.of(gone))


@pytest.mark.parametrize("features", ["missing-only", "all"])
@pytest.mark.parametrize("sparse", ["auto", True, False])
def test_indicator(features, sparse):
    rows = NUMBERS[:, [0, 2, 1]]
    indicator = MissingIndicator(features=features, sparse=sparse, error_on_new=False).fit(rows)
    check(indicator, rows, np.full((2, 3), NAN), hard_rows(3))
    filled = np.nan_to_num(rows, nan=-1)
    check(MissingIndicator(missing_values=-1, features=features, error_on_new=False).fit(filled), filled, hard_rows(3))


@pytest.mark.parametrize("missing", [None, NAN], ids=["None", "NaN"])
def test_indicator_of_strings(missing):
    table = mixed(missing)
    for named in (missing, "?"):
        try:
            indicator = MissingIndicator(missing_values=named, error_on_new=False).fit(table)
        except ValueError:
            continue
        check(indicator, table)


def test_indicator_refuses_new_missing_columns():
    """error_on_new: the columns that had none accept none, so they are inputs of their own."""
    rows = NUMBERS[:, [0, 2, 1]]
    model = FeatureUnion([("i", SimpleImputer()), ("m", MissingIndicator())]).fit(rows)
    reading = check(model, rows)
    assert [v.missing for v in reading.graph.inputs] == ["nan", "error", "nan"]
    feeds = feeds_of(reading, rows)
    feeds["x1"][2] = NAN
    with pytest.raises(ValueError, match="missing values"):
        reading.answer(feeds)
    with pytest.raises(InputError, match="'x1'"):
        Evaluator(reading.graph).run(feeds)


def test_a_matrix_of_which_some_columns_may_be_missing():
    rows = np.column_stack([NUMBERS[:, 0], NUMBERS[:, 4], HARD[:4]])
    columns = ColumnTransformer([("i", SimpleImputer(), [0]), ("o", OneHotEncoder(), [1]), ("p", "passthrough", [2])])
    table = pd.DataFrame(rows, columns=["a", "X", "b.c"])
    for fed in (rows, table):
        reading = check(columns.fit(fed), fed)
        assert [v.missing for v in reading.graph.inputs] == ["nan", "error", "nan"]


def test_refusals():
    imputer = SimpleImputer().fit(NUMBERS)
    imputer.rescale_ = True
    with pytest.raises(UnsupportedAttribute, match="rescale_"):
        read(imputer, Sample.of(NUMBERS))
    with pytest.raises(NotFitted):
        read(MissingIndicator(), Sample.of(NUMBERS))


@pytest.mark.parametrize("further", [{}, {"error_on_new": False}, {"features": "all"}], ids=str)
def test_zeros_where_there_were_none_are_refused_as_the_original_does(further):
    rows = np.array([[0.0, 1.0, 5.0], [2.0, 3.0, 5.0], [0.0, 1.0, 4.0]])
    model = MissingIndicator(missing_values=0, **further).fit(rows)
    reading = check(model, rows)
    new = feeds_of(reading, np.array([[2.0, 0.0, 4.0]]))
    if further:
        check_rows(reading, new)
    else:
        with pytest.raises(ValueError, match="missing values in transform"):
            reading.answer(new)
        with pytest.raises(InputError):
            Evaluator(reading.graph).run(new)
    check_formats(model, rows)
