"""IncrementalPCA, FactorAnalysis, FastICA, SparsePCA, BernoulliRBM and KernelCenterer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.decomposition import FactorAnalysis, FastICA, IncrementalPCA, MiniBatchSparsePCA, SparsePCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KernelCenterer, MinMaxScaler, OneHotEncoder

import modelport
from modelport.errors import UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, read

X, y = load_wine(return_X_y=True)
Z = (X - X.mean(axis=0)) / X.std(axis=0)
CLOSE = {"rtol": 1e-11, "atol": 1e-12}
pytestmark = pytest.mark.filterwarnings("ignore")

MODELS = [
    IncrementalPCA(3),
    IncrementalPCA(whiten=True, batch_size=40),
    FactorAnalysis(3),
    FactorAnalysis(3, rotation="varimax"),
    FactorAnalysis(2, svd_method="lapack", rotation="quartimax"),
    FastICA(3, random_state=0),
    FastICA(3, whiten="arbitrary-variance", algorithm="deflation", random_state=0),
    FastICA(whiten=False, random_state=0),
    SparsePCA(3, max_iter=10, random_state=0),
    SparsePCA(3, ridge_alpha=0, max_iter=10, random_state=0),
    MiniBatchSparsePCA(3, max_iter=5, alpha=0.3, random_state=0),
    BernoulliRBM(4, n_iter=3, random_state=0),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_projections(model):
    check(model.fit(Z), Z, -Z[:9], Z[:9] * 100, **CLOSE)


def test_partial_fits_and_sparse_rows():
    model = IncrementalPCA(3)
    for part in np.array_split(Z, 4):
        model.partial_fit(part)
    check(model, Z, **CLOSE)
    rows = X[:, :3].round()
    check(make_pipeline(OneHotEncoder(), IncrementalPCA(2)).fit(rows), rows, **CLOSE)
    check(make_pipeline(OneHotEncoder(), BernoulliRBM(2, n_iter=2, random_state=0)).fit(rows), rows, **CLOSE)


def test_kernel_centerer():
    kernel = rbf_kernel(Z, gamma=0.1)
    check(KernelCenterer().fit(kernel), kernel, kernel[:5] * 3, rtol=1e-11, atol=1e-13)


def test_artifacts_prove_themselves():
    for model in (IncrementalPCA(3), FactorAnalysis(3), FastICA(3, random_state=0), SparsePCA(3, max_iter=5, random_state=0)):
        assert modelport.convert(make_pipeline(model, LogisticRegression()).fit(Z, y), "json", sample=Z).report.passed
    rbm = make_pipeline(MinMaxScaler(), BernoulliRBM(4, n_iter=3, random_state=0), LogisticRegression()).fit(X, y)
    assert modelport.convert(rbm, "json", sample=X).report.passed


@pytest.mark.parametrize(
    "model", [FactorAnalysis(2), FastICA(2, random_state=0), SparsePCA(2, max_iter=3), IncrementalPCA(2)], ids=str
)
def test_what_is_not_known_is_refused(model):
    model = model.fit(Z)
    model.extra_ = 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        read(model, Sample.of(Z))


@pytest.mark.parametrize("model", [SparsePCA(2, max_iter=5), MiniBatchSparsePCA(2, max_iter=5)], ids=str)
def test_sparse_components_of_float32_rows_are_refused(model):
    with pytest.raises(UnsupportedAttribute, match=r"float32.*fit it on float64"):
        read(model.fit(Z.astype(np.float32)), Sample.of(Z))
