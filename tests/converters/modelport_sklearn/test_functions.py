"""FunctionTransformer: functions of NumPy and SciPy, their arguments, and functions registered by hand."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from modelport_sklearn import expresses
from modelport_sklearn.builder import Builder, Table
from scipy import special
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

import modelport
from modelport.errors import InputError, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import around, called, check, check_formats, hard_rows, read

X = load_iris().data
WIDE = np.column_stack([around(*np.geomspace(1e-8, 1e8, 9), *-np.geomspace(1e-8, 1e8, 9), 2.0**28, 0.5)] * 4)
SHARES = np.column_stack([np.linspace(0.001, 0.999, 40)] * 4)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (np.clip, {"a_min": 1.0, "a_max": 5}),
        (np.clip, {"a_min": None, "a_max": 2.0}),
        (np.clip, {"a_min": [0, 1, 2, 3], "a_max": np.inf}),
        (np.round, {}),
        (np.round, {"decimals": 1}),
        (np.around, {"decimals": 3}),
        (np.round, {"decimals": -1}),
        (np.positive, {}),
        (np.asarray, {}),
        (np.deg2rad, {}),
        (np.degrees, {}),
        (functools.partial(np.add, 1), {}),
        (functools.partial(np.subtract, 10.0), {}),
        (functools.partial(np.divide, 2), {}),
        (functools.partial(np.maximum, 3.0), {}),
        (functools.partial(np.clip, a_min=2, a_max=3), {}),
    ],
    ids=called,
)
def test_functions_that_are_exact(function, arguments):
    check(FunctionTransformer(function, kw_args=arguments).fit(X), X, hard_rows(4), WIDE)


def test_missing_values_and_infinities():
    rows = X.copy()
    rows[::4, 1] = np.nan
    for options in ({}, {"nan": -1.0}, {"nan": 2, "posinf": 7.0, "neginf": -7.0}):
        check(FunctionTransformer(np.nan_to_num, kw_args=options).fit(rows), rows, hard_rows(4))
    check(FunctionTransformer(np.isnan).fit(rows), rows)
    check(make_pipeline(FunctionTransformer(np.isnan), StandardScaler()).fit(rows), rows)


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (np.exp2, X),
        (np.cbrt, WIDE),
        (np.arcsinh, WIDE),
        (np.arctanh, SHARES - 0.5),
        (special.logit, SHARES),
        (functools.partial(np.power, 10), X),
    ],
    ids=called,
)
def test_functions_made_of_steps(function, rows):
    check(FunctionTransformer(function).fit(rows), rows, np.zeros((1, 4)) + 0.25, rtol=4e-15, atol=1e-300)


def test_one_column_is_as_good_flat():
    frame = pd.DataFrame({"town": ["Oslo", "Bergen", "Oslo"]}).astype(object)
    encoder = make_pipeline(FunctionTransformer(np.squeeze), FunctionTransformer(lambda v: np.asarray(v)))
    with pytest.raises(UnsupportedAttribute, match="expresses"):
        read(encoder.fit(frame), Sample.of(frame))
    with pytest.raises(UnsupportedAttribute, match="squeeze"):
        read(FunctionTransformer(np.squeeze).fit(X), Sample.of(X))


def span(rows: np.ndarray, times: float = 1.0) -> np.ndarray:
    """A function of somebody's own: two columns become one."""
    return times * (rows[:, [1]] - rows[:, [0]])


def test_a_registered_function():
    model = FunctionTransformer(span, kw_args={"times": 3.0}).fit(X)
    with pytest.raises(UnsupportedAttribute, match="span with kw_args") as refusal:
        read(model, Sample.of(X))
    assert refusal.value.attribute == "func"

    @expresses(span)
    def in_steps(builder: Builder, table: Table, times: float = 1.0) -> Table:
        x = builder.matrix(table)
        second = builder.add("select", x, hint="second", index=np.array([1]))
        first = builder.add("select", x, hint="first", index=np.array([0]))
        value = builder.add("binary", second, first, hint="difference", fn="sub")
        return builder.table(builder.add("scale", value, hint="span", mul=[times]))

    check(model, X, hard_rows(4))
    assert modelport.convert(make_pipeline(model, StandardScaler()).fit(X), "json", sample=X).report.passed


def test_a_handler_that_gives_no_table_is_refused():
    def nothing(rows: np.ndarray) -> np.ndarray:
        return rows

    expresses(nothing)(lambda builder, table: None)
    with pytest.raises(UnsupportedAttribute, match="gives a Table"):
        read(FunctionTransformer(nothing).fit(X), Sample.of(X))


@pytest.mark.parametrize("function", [np.clip, np.round, np.exp], ids=called)
def test_arguments_that_are_not_known_are_refused(function):
    model = FunctionTransformer(function, kw_args={"where": [True, False, True, True]})
    with pytest.raises(UnsupportedAttribute, match="kw_args"):
        read(model, Sample.of(X))


def test_columns_that_are_not_float64_are_refused():
    model = make_pipeline(OneHotEncoder(dtype=np.int8, sparse_output=False, handle_unknown="ignore"), FunctionTransformer(np.exp))
    with pytest.raises(UnsupportedAttribute, match="int8"):
        read(model.fit(X.round()), Sample.of(X.round()))


@pytest.mark.parametrize("fn", [np.log, np.log10, np.sqrt, np.reciprocal, np.log1p, np.exp], ids=lambda fn: fn.__name__)
@pytest.mark.parametrize(
    "behind",
    [
        [LinearRegression()],
        [StandardScaler(), LinearRegression()],
        [DecisionTreeRegressor(max_depth=3)],
        [SimpleImputer(), Ridge()],
    ],
    ids=["linear", "scaler", "tree", "imputer"],
)
def test_rows_of_which_a_function_makes_no_number_are_refused_as_the_original_does(fn, behind):
    """NaN and infinities reach estimators that refuse them; trees and imputers take NaN, and no infinity."""
    model = make_pipeline(FunctionTransformer(fn), *behind).fit(X, X[:, 0] ** 2)
    reading = read(model, Sample.of(X))
    evaluator = Evaluator(reading.graph)
    for cell in (0.0, -0.0, -1.0, -2.0, -0.5, 1e-3, 1.0, 88.0, 89.0, 800.0):
        row = X[:1].copy()
        row[0, 1] = cell
        try:
            expected = reading.answer({"X": row})["prediction"]
        except ValueError:
            with pytest.raises(InputError):
                evaluator.run({"X": row})
        else:
            np.testing.assert_allclose(evaluator.run({"X": row})["prediction"], expected, rtol=1e-9)
    check_formats(model, X, "onnx", "pmml")


def test_a_function_alone_answers_every_row():
    with np.errstate(divide="ignore", invalid="ignore"):
        check(FunctionTransformer(np.log).fit(X), X, np.array([[0.0, -0.0, -1.0, 1.0]]), rtol=1e-14)
