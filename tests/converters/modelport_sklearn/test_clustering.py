"""Clusterers against scikit-learn: the nearest centre, distances to the centres, groups of columns."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import AffinityPropagation, Birch, BisectingKMeans, FeatureAgglomeration, KMeans, MeanShift, MiniBatchKMeans
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_settled, moved, read, standard_wine

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def wine():
    return standard_wine()[0]


CLUSTERERS = [
    KMeans(4, n_init=1, random_state=0),
    MiniBatchKMeans(5, n_init=1, random_state=0),
    BisectingKMeans(7, random_state=0),
    BisectingKMeans(5, bisecting_strategy="largest_cluster", random_state=1),
    BisectingKMeans(1, random_state=1),
    MeanShift(bandwidth=3.0),
    AffinityPropagation(random_state=0),
    AffinityPropagation(max_iter=2, random_state=0),
    Birch(n_clusters=3),
    Birch(n_clusters=None, threshold=2.0),
    Birch(n_clusters=KMeans(3, n_init=1, random_state=0)),
]


@pytest.mark.parametrize("model", CLUSTERERS, ids=lambda m: type(m).__name__)
def test_clusters(wine, model):
    reading = check_settled(model.fit(wine), wine, moved(wine), np.full((1, 13), 1e3), share=0.9)
    assert [(o.name, o.role) for o in reading.graph.outputs] == [("cluster", "cluster")]


@pytest.mark.parametrize("model", [m for m in CLUSTERERS if hasattr(m, "transform")], ids=lambda m: type(m).__name__)
def test_distances(wine, model):
    pipeline = make_pipeline(model, LinearRegression()).fit(wine, wine[:, 0] ** 2)
    check_settled(pipeline, moved(wine), rtol=1e-9, atol=1e-11, share=0.9)
    check_settled(pipeline, wine, rtol=1e-9, atol=1e-11, share=0.0)  # a row that is a centre has no sure distance to it


def test_clusters_of_sparse_rows(wine):
    from scipy.sparse import csr_array

    rows = np.where(np.abs(wine) > 1, wine, 0.0)
    for model in (KMeans(3, n_init=1, random_state=0), BisectingKMeans(4, random_state=0), Birch(), MeanShift(bandwidth=2.0)):
        fitted = model.fit(rows if isinstance(model, MeanShift) else csr_array(rows))
        check_settled(fitted, rows, moved(rows), share=0.9)


def test_a_row_between_two_centres_is_in_doubt():
    X = np.array([[0.0], [0.2], [1.8], [2.0]])
    model = KMeans(2, n_init=1, random_state=0).fit(X)
    middle = np.array([[model.cluster_centers_.mean()]])
    check_settled(model, X, middle, share=0.0)
    reading = read(model, Sample.of(X))
    assert reading.doubts[0].judge(Evaluator(reading.graph).values({"X": middle})["distance"], middle).tolist() == [True]


@pytest.mark.parametrize("pool", [np.mean, np.max, np.min, np.median, np.sum, np.amax, np.amin], ids=lambda f: f.__name__)
@pytest.mark.parametrize("clusters", [1, 4, 13])
def test_feature_agglomeration(wine, pool, clusters):
    exact = pool is not np.sum
    check(
        FeatureAgglomeration(clusters, pooling_func=pool).fit(wine),
        wine,
        moved(wine),
        np.zeros((1, 13)),
        rtol=0 if exact else 1e-12,
    )


def test_refusals(wine):
    for model, attribute in [
        (FeatureAgglomeration(3, pooling_func=lambda rows, axis: rows.mean(axis)), "pooling_func"),
        (KMeans(3, n_init=1).fit(wine.astype(np.float32)), "cluster_centers_"),
        (AffinityPropagation(affinity="precomputed"), "affinity"),
    ]:
        fitted = model if hasattr(model, "cluster_centers_") else model.fit(wine @ wine.T if attribute == "affinity" else wine)
        with pytest.raises(UnsupportedAttribute) as caught:
            read(fitted, Sample.of(wine @ wine.T if attribute == "affinity" else wine))
        assert caught.value.attribute == attribute


def test_unknown_attribute_and_unfitted(wine):
    model = Birch().fit(wine)
    model.shift_ = 1.0
    with pytest.raises(UnsupportedAttribute, match="shift_"):
        read(model, Sample.of(wine))
    with pytest.raises(NotFitted):
        read(MeanShift(), Sample.of(wine))
