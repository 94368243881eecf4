"""Nearest neighbours against scikit-learn: metrics, weights, radius, graphs, densities, ties."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NearestCentroid,
    NeighborhoodComponentsAnalysis,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
    RadiusNeighborsTransformer,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import modelport
from modelport.doubts import in_doubt
from modelport.errors import InputError, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import (
    check,
    check_formats,
    check_refused,
    check_settled,
    check_unknown_and_unfitted,
    moved,
    read,
    standard_wine,
)

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def wine():
    return standard_wine()


COVARIANCE = np.cov(StandardScaler().fit_transform(load_wine(return_X_y=True)[0]).T)
METRICS = [
    ("euclidean", {}),
    ("l1", {}),
    ("chebyshev", {}),
    ("minkowski", {"p": 1}),
    ("minkowski", {"p": 3}),
    ("minkowski", {"p": np.inf}),
    ("minkowski", {"p": 1.5, "metric_params": {"w": np.arange(1.0, 14.0)}}),
    ("cosine", {}),
    ("correlation", {}),
    ("canberra", {}),
    ("sqeuclidean", {}),
    ("nan_euclidean", {}),
    ("seuclidean", {"metric_params": {"V": np.arange(1.0, 14.0)}}),
    ("mahalanobis", {"metric_params": {"VI": np.linalg.inv(COVARIANCE)}}),
]


@pytest.mark.parametrize("weights", ["uniform", "distance", None])
@pytest.mark.parametrize("algorithm", ["auto", "brute"])
@pytest.mark.parametrize(("metric", "options"), METRICS, ids=lambda v: v if isinstance(v, str) else "")
def test_metrics(wine, metric, options, algorithm, weights):
    X, y = wine
    model = KNeighborsRegressor(6, weights=weights, algorithm=algorithm, metric=metric, **options).fit(X, y * 1.0)
    check_settled(model, moved(X, by=0.7)[::2], rtol=1e-10, atol=1e-12, share=0.9)
    # on a stored row itself brute force by these metrics gives no clean 0
    expanded = ("cosine", "correlation", "nan_euclidean", "euclidean", "sqeuclidean")
    blind = weights == "distance" and model._fit_method == "brute" and metric in expanded
    check_settled(model, X[::4], rtol=1e-10, atol=1e-12, share=0.0 if blind else 0.9)


@pytest.mark.parametrize("metric", ["hamming", "jaccard", "rogerstanimoto", "sokalsneath", "yule", "dice", "russellrao"])
@pytest.mark.parametrize("algorithm", ["ball_tree", "brute"])
def test_metrics_of_truth_values(metric, algorithm):
    """Few distances are possible, so that most rows are on a tie; the targets tell the neighbours apart."""
    rng = np.random.default_rng(1)
    X, rows = (rng.random((n, 40)) < 0.4 for n in (30, 60))
    algorithm = "brute" if metric == "yule" else algorithm
    model = KNeighborsRegressor(3, algorithm=algorithm, metric=metric).fit(X.astype(float), rng.random(30))
    if metric in ("dice", "russellrao") and algorithm == "ball_tree":
        with pytest.raises(UnsupportedAttribute, match="brute"):
            read(model, Sample.of(X.astype(float)))
        return
    check_settled(model, rows.astype(float), share=0.1)


def test_braycurtis(wine):
    X, y = wine
    check_settled(KNeighborsRegressor(algorithm="brute", metric="braycurtis").fit(X, y), X, moved(X, by=0.7), share=0.9)
    with pytest.raises(UnsupportedAttribute, match="brute"):
        read(KNeighborsRegressor(metric="braycurtis").fit(X, y), Sample.of(X))


def test_haversine():
    rng = np.random.default_rng(0)
    X, rows = rng.uniform(-1.5, 1.5, (60, 2)), rng.uniform(-1.5, 1.5, (60, 2))
    for weights in ("uniform", "distance"):
        check_settled(KNeighborsRegressor(3, weights=weights, metric="haversine").fit(X, X[:, 0]), X, rows, rtol=1e-11)


def test_precomputed(wine):
    X, y = wine
    D, rows = pairwise_distances(X), pairwise_distances(moved(X, by=0.7), X)
    check_settled(KNeighborsClassifier(metric="precomputed").fit(D, y), D, rows, share=0.8)
    check_settled(RadiusNeighborsRegressor(3.0, metric="precomputed").fit(D, y * 1.0), D, rows)
    reading = read(KNeighborsClassifier(metric="precomputed").fit(D, y), Sample.of(D))
    with pytest.raises(InputError):
        Evaluator(reading.graph).run({"X": -D[1:2]})


def test_a_sparse_graph_is_no_matrix_of_distances(wine):
    X, y = wine
    model = make_pipeline(KNeighborsTransformer(n_neighbors=9, mode="distance"), KNeighborsClassifier(metric="precomputed"))
    with pytest.raises(UnsupportedAttribute, match="sparse graph"):
        read(model.fit(X, y), Sample.of(X))


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_classifiers_and_outputs(wine, weights):
    X, y = wine
    names = np.array(["a", "b", "c"])[y]
    check_settled(KNeighborsClassifier(weights=weights).fit(X, names), X, moved(X, by=0.7), rtol=1e-11, share=0.95)
    many = KNeighborsClassifier(weights=weights).fit(X, np.c_[y, y > 1])
    reading = check_settled(many, X, moved(X, by=0.7), rtol=1e-11, share=0.95)
    assert [o.name for o in reading.graph.outputs] == ["label", "probability_0", "probability_1"]
    check_settled(KNeighborsRegressor(weights=weights).fit(X, np.c_[y, -y]), X, moved(X, by=0.7), rtol=1e-11, share=0.95)
    check_settled(RadiusNeighborsRegressor(3.0, weights=weights).fit(X, np.c_[y, -y] * 1.0), X, moved(X, by=0.7), rtol=1e-11)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("label", ["most_frequent", 0, 9])
def test_radius_classifier_and_its_outliers(wine, weights, label):
    X, y = wine
    rows = np.vstack([moved(X, by=0.7), np.full((1, 13), 50.0)])
    for algorithm in ("auto", "brute"):
        for metric in ("euclidean", "manhattan"):
            model = RadiusNeighborsClassifier(2.5, weights=weights, outlier_label=label, algorithm=algorithm, metric=metric).fit(
                X, y
            )
            check_settled(model, rows, rtol=1e-10)
            blind = weights == "distance" and (algorithm, metric) == ("brute", "euclidean")
            check_settled(model, X, rtol=1e-11, share=0.0 if blind else 0.9)
    check_settled(RadiusNeighborsClassifier(2.5, weights=weights, outlier_label=label).fit(X, np.c_[y, y]), X, rows, rtol=1e-11)


def test_radius_classifier_by_brute_force_takes_the_label_for_a_number():
    """Classes 1 and 2, outlier label 1: scikit-learn's brute force gives outliers the class number 1, which is 2."""
    X, y = np.arange(8.0)[:, None], np.array([1, 2] * 4)
    model = RadiusNeighborsClassifier(1.5, outlier_label=1, algorithm="brute", metric="manhattan").fit(X, y)
    check_settled(model, np.array([[0.25], [90.0]]))


def test_radius_classifier_without_outlier_label_refuses(wine):
    X, y = wine
    reading = read(RadiusNeighborsClassifier(2.5).fit(X, y), Sample.of(X))
    with pytest.raises(InputError):
        Evaluator(reading.graph).run({"X": np.full((1, 13), 50.0)})
    check_settled(RadiusNeighborsClassifier(2.5).fit(X, y), X)


def test_radius_regressor_is_nan_without_neighbours(wine):
    X, y = wine
    model = RadiusNeighborsRegressor(2.5).fit(X, y * 1.0)
    reading = check_settled(model, X, np.full((1, 13), 50.0))
    assert np.isnan(Evaluator(reading.graph).run({"X": np.full((1, 13), 50.0)})["prediction"]).all()
    # whole-number targets have no NaN: the original answers what it becomes there
    check_settled(RadiusNeighborsRegressor(2.5).fit(X, y), X, np.full((1, 13), 50.0))
    check_settled(RadiusNeighborsRegressor(2.5, weights="distance").fit(X, np.c_[y, y]), X, np.full((2, 13), 50.0), share=0.4)


@pytest.mark.parametrize("mode", ["connectivity", "distance"])
def test_graphs(wine, mode):
    X, _ = wine
    check_settled(KNeighborsTransformer(mode=mode, n_neighbors=4).fit(X), X, moved(X, by=0.7))
    check_settled(KNeighborsTransformer(mode=mode, metric="cosine").fit(X), moved(X, by=0.7), rtol=1e-9, atol=1e-12)
    check_settled(RadiusNeighborsTransformer(mode=mode, radius=3.0).fit(X), X, moved(X, by=0.7))


def test_local_outlier_factor(wine):
    X, _ = wine
    for options in ({}, {"metric": "manhattan", "contamination": 0.2}, {"n_neighbors": 3, "algorithm": "brute"}):
        check_settled(LocalOutlierFactor(novelty=True, **options).fit(X), X, moved(X, by=0.7), rtol=1e-10, atol=1e-12)
    with pytest.raises(UnsupportedAttribute, match="novelty"):
        read(LocalOutlierFactor().fit(X), Sample.of(X))


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
@pytest.mark.parametrize("priors", ["uniform", "empirical", [0.6, 0.3, 0.1]])
@pytest.mark.parametrize("shrink", [None, 0.7])
def test_nearest_centroid(wine, metric, priors, shrink):
    X, y = wine
    check_settled(
        NearestCentroid(metric=metric, shrink_threshold=shrink, priors=priors).fit(X, y),
        X,
        moved(X, by=0.7),
        rtol=1e-9,
        atol=1e-12,
    )
    two = NearestCentroid(metric=metric, priors="empirical").fit(X[y < 2], y[y < 2])
    check_settled(two, X, moved(X, by=0.7), rtol=1e-9, atol=1e-12)


def test_neighborhood_components(wine):
    X, y = wine
    check_settled(
        NeighborhoodComponentsAnalysis(3, max_iter=5, random_state=0).fit(X, y), X, moved(X, by=0.7), rtol=1e-11, atol=1e-13
    )


def test_missing_values_by_nan_euclidean(wine):
    X, y = wine
    rng = np.random.default_rng(0)
    holes = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    model = KNeighborsClassifier(metric="nan_euclidean").fit(holes, y)
    check_settled(model, holes, moved(X, by=0.7), share=0.8)


# --- ties ---------------------------------------------------------------------------------------------------------------------


def test_rows_on_a_tie_are_in_doubt_and_only_those():
    X, y = np.array([[0.0], [2.0], [4.0]]), np.array([0, 1, 0])
    reading = read(KNeighborsClassifier(1).fit(X, y), Sample.of(X))
    rows = np.array([[1.0], [0.9], [3.0], [2.0], [1.0 + 1e-9]])
    assert in_doubt(reading.graph, reading.doubts, {"X": rows}).tolist() == [True, False, True, False, False]
    same = read(KNeighborsClassifier(1).fit(X, [0, 0, 1]), Sample.of(X))
    assert in_doubt(same.graph, same.doubts, {"X": rows}).tolist() == [False, False, True, False, False]


def test_duplicates_with_different_targets():
    """The answer of a row that meets one of two equal points depends on the search; the proof leaves it out, and still is one."""
    rng = np.random.default_rng(3)
    X = rng.integers(0, 4, (120, 3)).astype(float)
    y = rng.integers(0, 3, 120)
    for algorithm in ("kd_tree", "ball_tree", "brute"):
        model = KNeighborsClassifier(4, algorithm=algorithm).fit(X, y)
        artifact = modelport.convert(model, "json", sample=X)
        assert artifact.report.passed
        assert artifact.report.rows >= 16
        assert artifact.report.row_kinds["between"] > 8


def test_brute_force_by_expanded_squares_is_in_doubt_where_it_cannot_see():
    """|x|^2 + |p|^2 - 2 x p has no digits left a million away from the origin; a tree, which subtracts first, has."""
    X, y = load_iris(return_X_y=True)
    far = X + np.random.default_rng(0).random(X.shape) + 1e8
    for algorithm, doubted in (("kd_tree", False), ("brute", True)):
        reading = read(KNeighborsClassifier(algorithm=algorithm).fit(far, y), Sample.of(far))
        share = in_doubt(reading.graph, reading.doubts, {"X": far}).mean()
        assert share > 0.2 if doubted else share < 0.05
        check_settled(KNeighborsClassifier(algorithm=algorithm).fit(far, y), far, share=0.0)


@pytest.mark.parametrize(
    ("model", "attribute"),
    [
        (KNeighborsClassifier(weights=lambda d: d), "weights"),
        (KNeighborsClassifier(metric=lambda a, b: abs(a - b).sum()), "metric"),
        (KNeighborsRegressor(metric="cosine", metric_params={"w": np.ones(13)}), "metric_params"),
        (KNeighborsRegressor(n_neighbors=500), "n_neighbors"),
        (RadiusNeighborsRegressor(weights=lambda d: d), "weights"),
    ],
)
def test_refusals(wine, model, attribute):
    X, y = wine
    check_refused(model.fit(X, y), X, attribute)


def test_unknown_attribute_and_unfitted(wine):
    X, y = wine
    check_unknown_and_unfitted(KNeighborsClassifier().fit(X, y), X)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_a_row_without_length_stays_as_it_is_under_cosines(weights):
    X, y = load_iris(return_X_y=True)
    model = KNeighborsRegressor(4, metric="cosine", weights=weights).fit(X, y * 1.0)
    predictor = modelport.load(modelport.convert(model, "json", sample=X))
    for size in (1e-300, 1e-30, 1e-15):
        rows = np.full((1, 4), size) * [1.0, 2.0, 3.0, 4.0]
        assert np.array_equal(predictor.predict(rows)["prediction"], model.predict(rows))


def test_local_outliers_among_copies_of_rows():
    """Copies have the same density, so that it does not matter which of them is among the nearest."""
    X = np.random.default_rng(0).integers(-3, 8, (150, 1)) * 1.0
    model = LocalOutlierFactor(5, novelty=True).fit(X)
    check_settled(model, X, share=0.9)
    assert modelport.convert(model, "json", sample=X).report.passed


def test_nearest_centroids_far_from_zero_state_what_the_original_loses():
    X, y = load_iris(return_X_y=True)
    model = NearestCentroid(shrink_threshold=0.1, priors="empirical").fit(X + 50.0, y)
    artifact = modelport.convert(model, "json", sample=X + 50.0)
    assert 1e-12 <= modelport.load(artifact).vectors.tolerance["probability"].rtol <= 1e-9
    rows = np.array([[1e6, 60.0, 51.0, 50.0], [55.0, -1e6, 51.0, 50.0], *(X[::10] + 50.0)])
    assert modelport.verify(artifact, model=model, sample=rows).passed


@pytest.mark.parametrize("metric", ["l1", "chebyshev", "euclidean"])
def test_a_row_whose_distance_has_no_finite_inverse_counts_as_the_same_row(metric):
    X, y = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0], [0.5, 0.5]]), np.array([0, 1, 1, 2])
    rows = np.array([[5e-324, 1.0], [2.0**-1024, 1.0], [2.0**-1023, 1.0], [-(2.0**-1030), 1.0], [1.0, 1.0]])
    for estimator in (KNeighborsClassifier, KNeighborsRegressor):
        model = estimator(3, metric=metric, weights="distance", algorithm="kd_tree").fit(X, y)
        check(model, rows, rows[::-1], rtol=1e-15)
        check_formats(model, X, "onnx", "pmml")
