"""Scalers repeat scikit-learn's arithmetic bit by bit, on dense and on sparse rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, OneHotEncoder, RobustScaler, StandardScaler

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, hard_rows, read

X = load_wine().data
CONSTANT = np.column_stack([X[:, :3], np.full(len(X), 0.1), np.zeros(len(X))])
NAN = X.copy()
NAN[::7, 2] = np.nan

SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    StandardScaler(with_mean=False, with_std=False),
    MinMaxScaler(),
    MinMaxScaler(feature_range=(-3, 0.7)),
    MinMaxScaler(clip=True),
    MinMaxScaler(feature_range=(0.25, 3), clip=True),
    MaxAbsScaler(),
    MaxAbsScaler(clip=True),
    RobustScaler(),
    RobustScaler(unit_variance=True),
    RobustScaler(with_centering=False, quantile_range=(10, 60)),
    RobustScaler(with_scaling=False),
    RobustScaler(with_centering=False, with_scaling=False),
]


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
@pytest.mark.parametrize("rows", [X, CONSTANT, NAN, X + 1e7], ids=["wine", "constant", "nan", "offset"])
def test_scalers_are_bit_exact(scaler, rows):
    reading = check(scaler.fit(rows), rows, hard_rows(rows.shape[1]))
    assert reading.graph.inputs[0].missing == "nan"


def test_state_fitted_on_float32_answers_float64_rows():
    for scaler in (StandardScaler(), RobustScaler(), MinMaxScaler(), MaxAbsScaler()):
        check(scaler.fit(X.astype(np.float32)), X, hard_rows(X.shape[1]))


def test_partial_fit():
    scaler = StandardScaler()
    for part in np.array_split(X, 4):
        scaler.partial_fit(part)
    check(scaler, X)


@pytest.mark.parametrize("scaler", [StandardScaler(with_mean=False), MaxAbsScaler(), RobustScaler(with_centering=False)], ids=str)
def test_sparse_rows_are_multiplied_by_the_reciprocal(scaler):
    iris = load_iris().data.round(1)
    dense_part = ("n", "passthrough", [0])
    columns = ColumnTransformer([("c", OneHotEncoder(handle_unknown="ignore"), [1, 2, 3]), dense_part], sparse_threshold=1.0)
    model = make_pipeline(columns, scaler).fit(iris)
    assert columns.sparse_output_
    reading = check(model, iris, np.random.default_rng(0).uniform(1, 8, size=(2000, 4)))
    assert "mul" in reading.graph.steps[-1].attributes
    check(make_pipeline(columns.set_params(sparse_threshold=0), scaler).fit(iris), iris)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_normalizer(norm):
    tiny = np.array([[0, 0, 0], [1e-16, -1e-16, 0], [2e-15, 0, 0], [2.3e-15, 0, 0], [-0.0, 3, 4], [1e200, 1, 0]], dtype=float)
    check(Normalizer(norm=norm).fit(X), X, hard_rows(X.shape[1])[:, :13], rtol=4e-15)
    check(Normalizer(norm=norm).fit(tiny), tiny, rtol=4e-15)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_normalizer_of_sparse_rows(norm):
    rows = load_iris().data.round(0)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), Normalizer(norm=norm)).fit(rows)
    check(model, rows, rows[:3] + 77, rtol=4e-15)


def test_what_is_not_known_is_refused():
    scaler = StandardScaler().fit(X)
    scaler.sign_ = -1
    with pytest.raises(UnsupportedAttribute, match="sign_") as refusal:
        read(scaler, Sample.of(X))
    assert refusal.value.attribute == "sign_"
    with pytest.raises(NotFitted):
        read(RobustScaler(), Sample.of(X))
