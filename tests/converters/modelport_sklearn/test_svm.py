"""Support vector machines against scikit-learn: kernels, votes, scores, Platt's probabilities, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

import modelport
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import (
    check_refused,
    check_settled,
    check_unknown_and_unfitted,
    moved,
    read,
    standard_wine,
)

pytestmark = pytest.mark.filterwarnings("ignore")
KERNELS = ["linear", "poly", "rbf", "sigmoid"]


@pytest.fixture(scope="module")
def wine():
    return standard_wine()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("probability", [False, True])
def test_classifiers(wine, kernel, classes, probability):
    X, y = wine
    kept = y < classes
    model = SVC(kernel=kernel, probability=probability, coef0=0.3, random_state=0).fit(X[kept], y[kept])
    reading = check_settled(model, X, moved(X), rtol=1e-11, atol=1e-12, share=0.95)
    names = [o.name for o in reading.graph.outputs]
    assert names == ["label", "probability" if probability else "score"]


@pytest.mark.parametrize("labels", [np.array(["a", "b", "c"]), np.array([7, 3, 5])])
@pytest.mark.parametrize("options", [{}, {"decision_function_shape": "ovo"}, {"break_ties": True}])
def test_labels_and_scores(wine, labels, options):
    X, y = wine
    for model in (SVC(**options), NuSVC(nu=0.3, **options)):
        reading = check_settled(model.fit(X, labels[y]), X, moved(X), rtol=1e-11, atol=1e-12, share=0.95)
        score = reading.graph.outputs[1]
        pairs = options.get("decision_function_shape") == "ovo"
        assert score.classes == (None if pairs else tuple(sorted(labels.tolist())))


def test_two_class_probability_is_what_the_coupling_leaves():
    """libsvm stops its iteration early, so that the probability is not the sigmoid itself: 2.4e-3 apart here."""
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)[y > 0]
    model = SVC(probability=True, random_state=0).fit(X, y[y > 0])
    rows = moved(X, 1)
    sigmoid = 1 / (1 + np.exp(-(model._probA * model.decision_function(rows) * -1 + model._probB) * -1))
    assert np.abs(model.predict_proba(rows)[:, 1] - sigmoid).max() > 1e-4
    check_settled(model, X, rows, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kernel", KERNELS)
def test_regressors(kernel):
    X, y = load_diabetes(return_X_y=True)
    for model in (SVR(kernel=kernel, C=10.0), NuSVR(kernel=kernel)):
        check_settled(model.fit(X[:200], y[:200]), X, moved(X), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_class(wine, kernel):
    X = wine[0] + 2.0
    check_settled(OneClassSVM(nu=0.2, kernel=kernel).fit(X), X, moved(X), rtol=1e-11, atol=1e-12, share=0.9)


def test_precomputed_kernel(wine):
    X, y = wine
    for model in (SVC(kernel="precomputed"), SVR(kernel="precomputed"), OneClassSVM(kernel="precomputed", nu=0.2)):
        check_settled(model.fit(X @ X.T, y), X @ X.T, moved(X) @ X.T, rtol=1e-10, atol=1e-12)


def test_regressor_without_support_vectors(wine):
    X, y = wine
    model = SVR(epsilon=100.0).fit(X, y)
    assert not len(model.support_vectors_)
    check_settled(model, X)


def test_sparse_fit():
    rng = np.random.default_rng(0)
    X = rng.choice(list("abc"), (80, 4)).astype(object)
    y = (X[:, 0] == "a").astype(int) + (X[:, 1] == "b")
    for final in (SVC(), SVC(kernel="linear", probability=True, random_state=0), SVR(), OneClassSVM(nu=0.3)):
        model = make_pipeline(OneHotEncoder(), final).fit(X, y)
        assert model[-1]._sparse
        check_settled(model, X, rtol=1e-11, atol=1e-12, share=0.7)


def test_far_from_every_support_vector(wine):
    """All kernels vanish there, and the sign of the intercept decides."""
    X, y = wine
    rows = np.full((1, X.shape[1]), 1e6)
    check_settled(SVC().fit(X, y), X, rows, share=0.95)
    check_settled(SVC().fit(X[y < 2], y[y < 2]), X, rows, share=0.95)


@pytest.mark.parametrize(
    ("model", "attribute"),
    [
        (SVC(kernel=lambda a, b: a @ b.T), "kernel"),
        (SVR(kernel=lambda a, b: a @ b.T), "kernel"),
        (SVC(break_ties=True, decision_function_shape="ovo"), "break_ties"),
    ],
)
def test_refusals(wine, model, attribute):
    X, y = wine
    check_refused(model.fit(X, y), X, attribute)


def test_unknown_attribute_and_unfitted(wine):
    X, y = wine
    check_unknown_and_unfitted(SVC().fit(X, y), X)


def test_a_linear_kernel_needs_no_support_vectors_unless_they_cancel(wine):
    X, y = wine
    raw = load_wine().data
    reading = read(SVC(kernel="linear").fit(raw, y), Sample.of(raw))
    assert [s.op for s in reading.graph.steps].count("pairwise") == 1
    check_settled(SVC(kernel="linear").fit(raw, y), raw, rtol=1e-12, atol=1e-13)
    reading = read(SVC(kernel="linear").fit(X, y), Sample.of(X))
    assert [s.op for s in reading.graph.steps].count("pairwise") == 0
    assert Evaluator(reading.graph).run({"X": X[:3]})["label"].shape == (3,)


def test_powers_of_columns_that_are_not_scaled_state_what_rounding_makes_of_them():
    """Rows that were no part of the proof stay within the tolerance, too."""
    X, y = load_diabetes(return_X_y=True, scaled=False)
    model = SVR(kernel="poly", degree=5, C=100, max_iter=20000).fit(X, y)
    artifact = modelport.convert(model, "json", sample=X, backend="graph")
    tolerance = artifact.load().vectors.tolerance["prediction"]
    rng = np.random.default_rng(0)
    rows = np.concatenate([X * (1 + 0.3 * rng.normal(size=X.shape)), np.column_stack([rng.permutation(c) for c in X.T])])
    expected, got = model.predict(rows), modelport.load(artifact).predict(rows)["prediction"]
    assert not (np.abs(got - expected) > tolerance.atol + tolerance.rtol * np.abs(expected)).any()
    assert tolerance.rtol < 1e-9
