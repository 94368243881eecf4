"""Binarizer, KBinsDiscretizer, PolynomialFeatures and FunctionTransformer, on and beside every edge."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.datasets import load_iris, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    PolynomialFeatures,
    StandardScaler,
)

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import around, check, hard_rows, read

X = load_iris().data
WINE = load_wine().data[:, :5]


@pytest.mark.parametrize("threshold", [0.0, 3.0, -1.5, 0.1])
def test_binarizer(threshold):
    edge = around(threshold, 0.0)
    check(Binarizer(threshold=threshold).fit(X), X, np.column_stack([edge] * 4), hard_rows(4))


def on_edges(edges: np.ndarray) -> np.ndarray:
    """Rows on every edge of every column and one ulp beside it."""
    columns = [around(*column[np.isfinite(column)], 0.0, 1e30, -1e30) for column in edges]
    longest = max(len(c) for c in columns)
    return np.stack([np.resize(c, longest) for c in columns], axis=1)


@pytest.mark.filterwarnings("ignore:Feature 4 is constant", "ignore:Bins whose width", "ignore:Number of distinct clusters")
@pytest.mark.parametrize("encode", ["onehot", "onehot-dense", "ordinal"])
@pytest.mark.parametrize("strategy", ["uniform", "quantile", "kmeans"])
@pytest.mark.parametrize("dtype", [None, np.float32, np.float64], ids=["None", "f32", "f64"])
def test_k_bins(encode, strategy, dtype):
    rows = np.column_stack([X, np.full(len(X), 4.0), (X[:, 3] > 1) * 1.0])
    options = {"quantile_method": "averaged_inverted_cdf"} if strategy == "quantile" else {}
    bins = KBinsDiscretizer(n_bins=[5, 3, 4, 6, 3, 4], encode=encode, strategy=strategy, dtype=dtype, subsample=None, **options)
    check(bins.fit(rows), rows, on_edges(bins.bin_edges_))


def test_k_bins_of_float32_rows():
    bins = KBinsDiscretizer(n_bins=7, encode="ordinal", strategy="kmeans").fit(WINE.astype(np.float32))
    check(bins, WINE, on_edges(bins.bin_edges_))


@pytest.mark.parametrize("interactions", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4, (0, 2), (2, 3), (3, 5)], ids=str)
def test_polynomials(interactions, bias, degree):
    poly = PolynomialFeatures(degree, interaction_only=interactions, include_bias=bias or degree == 0, order="F").fit(WINE)
    check(poly, WINE, hard_rows(5))


@pytest.mark.parametrize("degree", [2, 3, 4])
def test_polynomials_of_sparse_rows(degree):
    """Sparse rows are multiplied in the other order, which changes last bits."""
    encoder, scaler = OneHotEncoder(handle_unknown="ignore"), StandardScaler(with_mean=False)
    rows = X[::10, 2:].round(0)
    check(make_pipeline(encoder, scaler, PolynomialFeatures(degree)).fit(rows), rows, rows + 1)


EXACT = ["sqrt", "abs", "absolute", "fabs", "square", "negative", "sign", "rint", "floor", "ceil", "trunc", "reciprocal"]
INEXACT = [
    "log1p",
    "exp",
    "expm1",
    "log",
    "log2",
    "log10",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
]


@pytest.mark.parametrize("name", EXACT + INEXACT)
def test_functions(name):
    rows = np.clip(X / 10, 0.01, 0.99)
    if name in EXACT and name not in ("sqrt", "reciprocal"):
        rows = np.vstack([rows, hard_rows(4) / 2, np.linspace(-3, 3, 52).reshape(13, 4)])
    rtol = 0.0 if name in EXACT else 1e-14
    check(FunctionTransformer(getattr(np, name)).fit(rows), rows, rtol=rtol)
    table = pd.DataFrame(rows, columns=["a b", "X", "label", "é"])
    check(FunctionTransformer(getattr(np, name), validate=True).fit(table), table, rtol=rtol)


def test_identity_and_scipy():
    check(FunctionTransformer().fit(X), X, hard_rows(4))
    text = pd.DataFrame({"a": ["x", None, "y"], "n": [1.0, np.nan, 3.0]})
    reading = check(FunctionTransformer().fit(text), text)
    assert {v.missing for v in reading.graph.inputs} == {"nan", "null"}
    assert reading.graph.steps == ()
    check(FunctionTransformer(expit).fit(X), X, hard_rows(4), rtol=1e-15)


def double(x):
    return 2 * x


OTHERS = {"lambda": lambda x: x, "def": double, "partial": functools.partial(np.hypot, 1), "sinc": np.sinc}


@pytest.mark.parametrize("function", OTHERS.values(), ids=OTHERS)
def test_other_functions_are_refused(function):
    with pytest.raises(UnsupportedAttribute, match=r"log1p.*before they reach the model") as refusal:
        read(FunctionTransformer(function).fit(X), Sample.of(X))
    assert refusal.value.attribute == "func"


def test_refusals():
    with pytest.raises(UnsupportedAttribute, match="kw_args"):
        read(FunctionTransformer(np.log, kw_args={"where": X > 0}).fit(X), Sample.of(X))
    small = make_pipeline(OneHotEncoder(dtype=np.int8, sparse_output=False), FunctionTransformer(np.log1p)).fit(X)
    with pytest.raises(UnsupportedAttribute, match="int8 columns"):
        read(small, Sample.of(X))
    for model in (KBinsDiscretizer(), PolynomialFeatures()):
        with pytest.raises(NotFitted):
            read(model, Sample.of(X))
    bins = KBinsDiscretizer().fit(X)
    bins.more_ = 1
    with pytest.raises(UnsupportedAttribute, match="more_"):
        read(bins, Sample.of(X))
    with pytest.raises(UnsupportedAttribute, match="255"):
        read(PolynomialFeatures(256).fit(X[:, :1]), Sample.of(X[:, :1]))
