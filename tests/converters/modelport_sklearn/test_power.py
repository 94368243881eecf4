"""PowerTransformer: both methods, standardised or not, lambdas of every kind, on rows far outside the sample too."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.preprocessing import PowerTransformer

import modelport
from modelport.errors import InputError, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import around, check, feeds_of, read

X = load_wine().data
NAN = X.copy()
NAN[::9, 3] = np.nan
#: ordinary and far rows whose powers stay finite
FAR = np.stack([np.roll([0.0, -0.0, 1.0, -1.0, 1e3, -1e3, 1e-30, -1e-30, 5e-324, 0.1, 1 / 3, -7.5, 40.0], j) for j in range(13)])
CONSTANT = np.column_stack([X[:, :3], np.full(len(X), 0.1), np.linspace(-3, 3, len(X)), np.exp(np.linspace(0, 3, len(X)))])


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("rows", [X, NAN, X - X.mean(axis=0)], ids=["positive", "nan", "centred"])
def test_yeo_johnson(rows, standardize):
    check(PowerTransformer(standardize=standardize).fit(rows), rows, FAR, rtol=1e-13, atol=1e-13)


def test_yeo_johnson_of_a_constant_column():
    check(PowerTransformer().fit(CONSTANT), CONSTANT, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("power", [0.0, 2.0, 1.0, -0.7, 3.5, 1e-17, 2 + 1e-17])
def test_powers_that_are_logarithms(power):
    transformer = PowerTransformer(standardize=False).fit(X)
    transformer.lambdas_ = np.array([power, *transformer.lambdas_[1:-1], 1 - power])
    check(transformer, X, -X, around(*np.repeat(0.5, 13))[:13][None], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("standardize", [True, False])
def test_box_cox(standardize):
    rows = X + 0.1
    rows[::7, 1] = np.nan
    tiny = np.abs(FAR) + 1e-30
    check(PowerTransformer(method="box-cox", standardize=standardize).fit(rows), rows, tiny, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("power", [0.0, 1e-20, 2.0, -2.0, 0.5])
def test_box_cox_near_overflow(power):
    rows = load_iris().data[:, :2]
    transformer = PowerTransformer(method="box-cox", standardize=False).fit(rows)
    transformer.lambdas_ = np.array([power, 1.0])
    check(transformer, rows, np.array([[9.9e153, 1.0], [1.2e154, 1.0], [1e-154, 1.0], [1e-155, 1.0]]), rtol=1e-12)


def test_box_cox_refuses_what_is_not_positive():
    transformer = PowerTransformer(method="box-cox").fit(X + 0.1)
    reading = read(transformer, Sample.of(X + 0.1))
    for cell in (0.0, -0.0, -1.0):
        row = X[:1] + 0.1
        row[0, 4] = cell
        with pytest.raises(ValueError, match="strictly positive"):
            transformer.transform(row)
        with pytest.raises(InputError):
            Evaluator(reading.graph).run(feeds_of(reading, row))


def test_an_artifact_of_either_method_proves_itself():
    for method in ("yeo-johnson", "box-cox"):
        artifact = modelport.convert(PowerTransformer(method=method).fit(X + 0.1), "json", sample=X + 0.1)
        assert artifact.report.passed


def test_what_is_not_known_is_refused():
    transformer = PowerTransformer().fit(X)
    transformer.shift_ = 1.0
    with pytest.raises(UnsupportedAttribute, match="shift_"):
        read(transformer, Sample.of(X))


@pytest.mark.parametrize(
    ("method", "rows"), [("yeo-johnson", X - X.mean(axis=0)), ("box-cox", X)], ids=["yeo-johnson", "box-cox"]
)
def test_fitted_on_float32_rows(method, rows):
    """The exponents are then float32, and so is 2 minus an exponent."""
    model = PowerTransformer(method=method).fit(rows.astype(np.float32))
    assert model.lambdas_.dtype == np.float32
    check(model, rows, rows * 1.5, rtol=1e-9, atol=1e-12)
