"""PCA, TruncatedSVD, KMeans and MiniBatchKMeans."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, read

X, y = load_wine(return_X_y=True)
IRIS = load_iris().data


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"n_components": 3}, {"n_components": 0.9}, {"n_components": 2, "svd_solver": "randomized"}], ids=str
)
def test_pca(whiten, options):
    check(PCA(whiten=whiten, random_state=0, **options).fit(X), X, -X[:5], rtol=1e-11, atol=1e-11)


def test_pca_of_deficient_rows_float32_rows_and_offsets():
    deficient = np.column_stack([IRIS, IRIS[:, :2].sum(axis=1), np.zeros(len(IRIS))])
    pca = PCA(whiten=True, svd_solver="covariance_eigh").fit(deficient)
    reading = read(pca, Sample.of(deficient))
    assert reading.graph.steps[-1].attributes["div"].min() >= np.finfo(float).eps
    check(PCA(n_components=4, whiten=True).fit(deficient), deficient, rtol=1e-10, atol=1e-10)
    check(PCA(2).fit(X.astype(np.float32)), X, rtol=1e-11, atol=1e-11)
    check(PCA(2).fit(IRIS + 1e7), IRIS + 1e7, rtol=0, atol=1e-7)


@pytest.mark.parametrize("algorithm", ["randomized", "arpack"])
def test_truncated_svd(algorithm):
    check(TruncatedSVD(3, algorithm=algorithm, random_state=0).fit(X), X, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("reduction", [PCA(2, svd_solver="arpack"), TruncatedSVD(2)], ids=str)
def test_sparse_rows(reduction):
    rows = IRIS.round(0)
    check(make_pipeline(OneHotEncoder(handle_unknown="ignore"), reduction).fit(rows), rows, rows + 1, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("rows", [X, IRIS, IRIS * 1e-3], ids=["wine", "iris", "small"])
@pytest.mark.parametrize("clusterer", [KMeans(5, n_init=2), KMeans(1, n_init=1), MiniBatchKMeans(8, n_init=2)], ids=str)
def test_clusters(clusterer, rows):
    random = np.random.default_rng(0).normal(rows.mean(axis=0), 3 * rows.std(axis=0), size=(500, rows.shape[1]))
    model = clusterer.set_params(random_state=0).fit(rows)
    reading = check(model, rows, random, model.cluster_centers_)
    assert [(o.name, o.role, o.dtype) for o in reading.graph.outputs] == [("cluster", "cluster", "i64")]
    check(make_pipeline(StandardScaler(), clusterer).fit(rows), rows, random)


def test_a_row_between_two_centers_goes_to_the_first():
    model = KMeans(2, n_init=1, init=np.array([[0.0, 0.0], [2.0, 0.0]])).fit([[0.0, 0.0], [2.0, 0.0]])
    middle = np.array([[1.0, 0.0], [1.0, 5.0], [np.nextafter(1, 2), 0.0], [np.nextafter(1, 0), 0.0]])
    check(model, np.array([[0.0, 0.0], [2.0, 0.0]]), middle)


@pytest.mark.parametrize("clusterer", [KMeans(5, n_init=1, random_state=0), MiniBatchKMeans(4, n_init=1, random_state=0)])
def test_distances_inside_a_pipeline(clusterer):
    model = make_pipeline(StandardScaler(), clusterer, LogisticRegression()).fit(X, y)
    check(model, X, rtol=1e-9, atol=1e-12)
    check(make_pipeline(StandardScaler(), clusterer, "passthrough").fit(X), X, rtol=1e-9)


def test_partial_fit_and_refusals():
    model = MiniBatchKMeans(3, random_state=0, n_init=1)
    for part in np.array_split(X, 3):
        model.partial_fit(part)
    check(model, X)
    with pytest.raises(UnsupportedAttribute, match="refit on float64 rows"):
        read(KMeans(3, n_init=1).fit(X.astype(np.float32)), Sample.of(X))
    for unfitted in (PCA(), TruncatedSVD(), KMeans()):
        with pytest.raises(NotFitted):
            read(unfitted, Sample.of(X))
    pca = PCA(2).fit(X)
    pca.rotation_ = 1
    with pytest.raises(UnsupportedAttribute, match="rotation_"):
        read(pca, Sample.of(X))
