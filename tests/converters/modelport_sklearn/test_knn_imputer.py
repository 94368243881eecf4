"""KNNImputer against scikit-learn: donors, weights, unknown distances, columns never seen, indicators."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.impute import KNNImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import modelport
from modelport.errors import UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check_settled, read

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def holes():
    X = StandardScaler().fit_transform(load_wine().data)
    return np.where(np.random.default_rng(0).random(X.shape) < 0.15, np.nan, X)


def moved(X, seed=1):
    rng = np.random.default_rng(seed)
    rows = X + rng.normal(size=X.shape) * 0.3
    return np.where(rng.random(X.shape) < 0.3, np.nan, rows)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("options", [{}, {"n_neighbors": 1}, {"n_neighbors": 500}, {"add_indicator": True}])
def test_values(holes, weights, options):
    check_settled(KNNImputer(weights=weights, **options).fit(holes), moved(holes), rtol=1e-9, atol=1e-11, share=0.9)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("indicator", [False, True])
def test_columns_never_seen(holes, keep, indicator):
    empty = holes.copy()
    empty[:, [2, 7]] = np.nan
    model = KNNImputer(keep_empty_features=keep, add_indicator=indicator).fit(empty)
    check_settled(model, moved(empty), moved(holes), rtol=1e-9, atol=1e-11, share=0.8)


def test_rows_that_share_no_column_with_any_donor_get_the_mean(holes):
    rows = np.full((2, 13), np.nan)
    rows[1, 4] = 0.5
    check_settled(KNNImputer().fit(holes), rows, rtol=1e-12, share=0.5)
    few = np.full((6, 3), np.nan)
    few[:3, 0], few[3:, 1], few[:, 2] = [1.0, 2.0, 4.0], [5.0, 6.0, 9.0], [1.0, 2.0, 4.0, 7.0, 11.0, 16.0]
    check_settled(KNNImputer(n_neighbors=2).fit(few), np.array([[np.nan, 1.0, np.nan], [2.1, np.nan, np.nan]]), share=0.0)


def test_another_mark_for_missing(holes):
    marked = np.where(np.isnan(holes), -99.0, holes)
    rows = moved(holes)
    model = KNNImputer(missing_values=-99).fit(marked)
    check_settled(model, np.where(np.isnan(rows), -99.0, rows), rtol=1e-9, atol=1e-11, share=0.9)


def test_in_a_pipeline_and_its_proof(holes):
    y = np.nansum(holes, axis=1)
    model = make_pipeline(KNNImputer(), LinearRegression()).fit(holes, y)
    report = modelport.convert(model, "json", sample=holes).report
    assert report.passed
    assert report.row_kinds["missing"] >= 8


def test_refusals(holes):
    for model, attribute in [
        (KNNImputer(weights=lambda d: d), "weights"),
        (KNNImputer(metric=lambda a, b, missing_values: 1.0), "metric"),
    ]:
        with pytest.raises(UnsupportedAttribute) as caught:
            read(model.fit(holes), Sample.of(holes))
        assert caught.value.attribute == attribute
    model = KNNImputer().fit(holes)
    model.shift_ = 1.0
    with pytest.raises(UnsupportedAttribute, match="shift_"):
        read(model, Sample.of(holes))
