"""SplineTransformer: every extrapolation, degree and kind of knots, on the knots, between them and far outside."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.preprocessing import SplineTransformer

import modelport
from modelport.errors import InputError, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import around, check, feeds_of, read

X = load_wine().data[:, :3]
GIVEN = np.array([[11.0, 0, 1], [12, 1, 2], [12.5, 4, 2.5], [15, 6, 4]])
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


def on_knots(model: SplineTransformer, *further: float) -> np.ndarray:
    """Rows on every knot of every column and beside it, and on further numbers."""
    columns = [around(*np.unique(s.t), *further) for s in model.bsplines_]
    longest = max(len(c) for c in columns)
    return np.stack([np.resize(c, longest) for c in columns], axis=1)


KINDS = list(itertools.product([0, 1, 2, 3, 5], ["constant", "linear", "continue", "periodic"], [False, True]))
KINDS.remove((0, "periodic", True))  # scikit-learn drops every column there


@pytest.mark.parametrize(("degree", "extrapolation", "sparse"), KINDS)
def test_every_extrapolation(degree, extrapolation, sparse):
    model = SplineTransformer(n_knots=7, degree=degree, extrapolation=extrapolation, sparse_output=sparse).fit(X)
    if (degree, extrapolation, sparse) == (0, "constant", False):
        rows = on_knots(model, -50.0)
        check(model, X, rows[(rows <= X.max(axis=0)).all(axis=1)], **CLOSE)
        return
    check(model, X, on_knots(model, 0.0, 20.0, -50.0), **CLOSE)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "knots", ["uniform", "quantile", np.array([[11.0, 0, 1], [12, 1, 2], [12.5, 4, 2.5], [15, 6, 4]])], ids=str
)
def test_knots_and_bias(knots, bias):
    model = SplineTransformer(knots=knots, include_bias=bias, n_knots=4).fit(X)
    check(model, X, on_knots(model), **CLOSE)


@pytest.mark.parametrize("extrapolation", ["constant", "linear", "continue", "periodic"])
def test_repeated_knots_and_constant_columns(extrapolation):
    rows = np.column_stack([X[:, 0].round(), np.full(len(X), 2.0), np.maximum(X[:, 1] - 2, 0)])
    model = SplineTransformer(n_knots=5, knots="quantile", degree=2, extrapolation=extrapolation).fit(rows)
    check(model, rows, rows[:, [1, 1, 2]], rows[::-1], **CLOSE)


@pytest.mark.parametrize("far", [1e6, 1e12, 1e17, 1e30, 12345678901234567.0])
def test_the_remainder_of_periodic_splines_is_exact(far):
    hours = np.linspace(0, 24, 50)[:, None]
    model = SplineTransformer(n_knots=9, extrapolation="periodic", knots=np.linspace(0, 24, 9)[:, None]).fit(hours)
    check(model, hours, far + hours, -far - hours, hours - 24, **CLOSE)
    thirds = SplineTransformer(n_knots=5, degree=0, extrapolation="periodic").fit(hours / 3 + 0.1)
    periods = np.outer(np.arange(-40, 40), np.ptp(hours / 3 + 0.1)).ravel() + 0.1
    check(thirds, hours / 3 + 0.1, around(*periods)[:, None], far * np.linspace(-1, 1, 33)[:, None])


def test_a_row_beyond_all_periods_is_refused():
    hours = np.linspace(0, 24, 50)[:, None]
    reading = read(SplineTransformer(extrapolation="periodic").fit(hours), Sample.of(hours))
    with pytest.raises(InputError):
        Evaluator(reading.graph).run(feeds_of(reading, np.array([[1e60]])))


@pytest.mark.parametrize("extrapolation", ["constant", "linear", "continue", "periodic", "error"])
@pytest.mark.parametrize("sparse", [False, True])
def test_missing_values(extrapolation, sparse):
    rows = X.copy()
    rows[::5, 1] = np.nan
    rows[3] = np.nan
    model = SplineTransformer(handle_missing="zeros", extrapolation=extrapolation, sparse_output=sparse).fit(rows)
    if sparse and extrapolation not in ("constant", "linear"):
        with pytest.raises(UnsupportedAttribute, match="sparse_output"):
            read(model, Sample.of(rows))
        return
    reading = check(model, rows, **CLOSE)
    assert reading.graph.inputs[0].missing == "nan"


def test_rows_beyond_the_knots_are_refused():
    flat, strict = SplineTransformer(extrapolation="constant", degree=0).fit(X), SplineTransformer(extrapolation="error").fit(X)
    below, above = np.nextafter(X[:, 1].min(), -np.inf), np.nextafter(X[:, 1].max(), np.inf)
    for model, cell in ((flat, above), (strict, below), (strict, above), (strict, 1e6)):
        reading = check(model, X, **CLOSE)
        row = X[:1].copy()
        row[0, 1] = cell
        with pytest.raises(ValueError, match=r"beyond|broadcast"):
            model.transform(row)
        with pytest.raises(InputError):
            Evaluator(reading.graph).run(feeds_of(reading, row))


@pytest.mark.parametrize("extrapolation", ["constant", "linear", "continue", "periodic", "error"])
def test_an_artifact_proves_itself(extrapolation):
    model = SplineTransformer(extrapolation=extrapolation).fit(X)
    assert modelport.convert(model, "json", sample=X).report.passed


def test_what_is_not_known_is_refused():
    model = SplineTransformer().fit(X)
    model.weights_ = 1
    with pytest.raises(UnsupportedAttribute, match="weights_"):
        read(model, Sample.of(X))


def test_no_basis_function_is_left():
    check(SplineTransformer(2, degree=0, include_bias=False).fit(X), X)


def test_a_single_spline_of_degree_0_answers_above_its_range():
    model = SplineTransformer(n_knots=2, degree=0).fit(X)
    check(model, X, on_knots(model, -50.0, 50.0))
    assert modelport.convert(model, "json", sample=X).report.passed
