"""Selectors keep the columns get_support() names, exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from modelport.errors import InputError, NotFitted, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, feeds_of, hard_rows, read

X, y = load_wine(return_X_y=True)
TABLE = pd.DataFrame(X, columns=[f"a.{j} é" for j in range(X.shape[1])])

SELECTORS = [
    SelectKBest(k=4),
    SelectKBest(k="all"),
    SelectPercentile(percentile=30),
    SelectFpr(alpha=1e-20),
    SelectFdr(alpha=1e-15),
    SelectFwe(alpha=1e-15),
    GenericUnivariateSelect(mode="k_best", param=3),
    VarianceThreshold(0.2),
    SelectFromModel(RandomForestClassifier(5, random_state=0)),
    SelectFromModel(Ridge(), threshold="0.5*mean", max_features=3, norm_order=2),
    RFE(LogisticRegression(max_iter=20), n_features_to_select=3),
    RFECV(Ridge(), cv=2, min_features_to_select=2),
    SequentialFeatureSelector(Ridge(), n_features_to_select=2, cv=2),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("selector", SELECTORS, ids=lambda s: str(s)[:40])
def test_selectors(selector):
    reading = check(make_pipeline(selector, "passthrough").fit(X, y), X, hard_rows(X.shape[1]))
    assert {s.op for s in reading.graph.steps} <= {"select"}
    check(make_pipeline(selector, None).fit(TABLE, y), TABLE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", [LogisticRegression(max_iter=20), RandomForestClassifier(5, random_state=0)], ids=str)
def test_elimination_predicts_with_what_is_left(estimator):
    model = RFE(estimator, n_features_to_select=4).fit(X, y)
    reading = check(model, X, rtol=1e-9)
    assert [o.name for o in reading.graph.outputs] == ["label", "probability"]


def test_prefit_and_a_changed_threshold():
    prefit = SelectFromModel(Ridge().fit(X, y), prefit=True)
    check(prefit.fit(X), X)
    selector = SelectFromModel(Ridge(), threshold="mean").fit(X, y)
    selector.threshold = "1.5*mean"
    check(selector, X)


@pytest.mark.filterwarnings("ignore")
def test_inside_a_pipeline():
    model = make_pipeline(SelectKBest(k=5), SelectPercentile(percentile=60), LogisticRegression(max_iter=50)).fit(X, y)
    check(model, X, rtol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_columns_that_are_not_chosen_may_be_missing():
    rows = X.copy()
    rows[::3, 1] = np.nan
    model = make_pipeline(VarianceThreshold(2.0), LogisticRegression(max_iter=50))
    rows = np.column_stack([X[:, 0], rows[:, 1], X[:, 12]])
    assert VarianceThreshold(2.0).fit(rows).get_support().tolist() == [False, False, True]
    reading = check(model.fit(rows, y), rows, rtol=1e-9)
    assert [v.missing for v in reading.graph.inputs] == ["nan", "nan", "error"]
    feeds = feeds_of(reading, rows)
    feeds["x2"][0] = np.nan
    with pytest.raises(InputError, match="'x2'"):
        Evaluator(reading.graph).run(feeds)


@pytest.mark.filterwarnings("ignore")
def test_no_column_at_all():
    reading = check(SelectKBest(k=0).fit(X, y), X)
    assert Evaluator(reading.graph).run(feeds_of(reading, X))["transformed"].shape == (len(X), 0)


def test_refusals():
    ridge = Ridge()
    for selector in (SelectKBest(), VarianceThreshold(), RFE(ridge), SequentialFeatureSelector(ridge), SelectFromModel(ridge)):
        with pytest.raises(NotFitted):
            read(selector, Sample.of(X))
        with pytest.raises(NotFitted):
            read(make_pipeline(selector, Ridge().fit(X, y)), Sample.of(X))
    selector = SelectKBest().fit(X, y)
    selector.mask_ = None
    with pytest.raises(UnsupportedAttribute, match="mask_"):
        read(selector, Sample.of(X))
