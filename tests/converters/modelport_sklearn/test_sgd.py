"""Stochastic gradient descent: every loss, every probability rule, averaging."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import PassiveAggressiveClassifier, PassiveAggressiveRegressor, Perceptron, SGDClassifier, SGDRegressor
from sklearn.preprocessing import scale

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, read

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS, KIND = load_iris(return_X_y=True)
IRIS = scale(IRIS)
NAMES = np.array(["setosa", "versicolor", "virginica"])
X, Y = load_diabetes(return_X_y=True)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}
EDGES = np.concatenate([np.zeros((1, 4)), -np.zeros((1, 4)), IRIS[::10] * 1e4, np.eye(4) * 1e30, -np.eye(4) * 1e30])
LOSSES = [
    "hinge",
    "log_loss",
    "modified_huber",
    "squared_hinge",
    "perceptron",
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
]


@pytest.mark.parametrize("average", [False, True, 50])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_sgd_classifier(loss, classes, average):
    labels = NAMES[KIND] if classes == 3 else KIND > 0
    model = SGDClassifier(loss=loss, average=average, alpha=0.01, random_state=0, max_iter=50).fit(IRIS, labels)
    reading = check(model, IRIS, EDGES, **CLOSE)
    given = {o.name for o in reading.graph.outputs}
    assert given == {"label", "probability" if loss in ("log_loss", "modified_huber") else "score"}


def test_modified_huber_row_that_no_class_claims():
    model = SGDClassifier(loss="modified_huber", random_state=0).fit(IRIS, KIND)
    model.coef_, model.intercept_ = np.zeros((3, 4)), np.full(3, -2.0)
    model.coef_[0, 0] = 1.0
    rows = np.array([[0.0, 0, 0, 0], [1.0, 0, 0, 0], [1.5, 0, 0, 0], [9.0, 0, 0, 0]])
    assert model.predict_proba(rows)[:2].tolist() == [[1 / 3] * 3] * 2
    check(model, rows)


def test_log_loss_row_that_no_class_claims():
    model = SGDClassifier(loss="log_loss", random_state=0).fit(IRIS, KIND)
    model.intercept_ = np.full(3, -1e5)
    assert model.predict_proba(IRIS[:1]).tolist() == [[1 / 3] * 3]
    check(model, IRIS, **CLOSE)


def test_modified_huber_at_the_ends_of_its_range():
    model = SGDClassifier(loss="modified_huber", random_state=0).fit(IRIS, KIND > 0)
    model.coef_, model.intercept_ = np.array([[1.0, 0, 0, 0]]), np.array([0.0])
    ends = np.array([-1.0, 1.0, 0.0, -0.0, np.nextafter(1, 0), np.nextafter(1, 2), np.nextafter(-1, 0), np.nextafter(-1, -2)])
    rows = np.zeros((len(ends), 4))
    rows[:, 0] = ends
    check(model, rows)


def test_partial_fit():
    model = SGDClassifier(loss="log_loss", random_state=0)
    for start in range(0, 150, 30):
        model.partial_fit(IRIS[start : start + 30], KIND[start : start + 30], classes=[0, 1, 2])
    check(model, IRIS, **CLOSE)


@pytest.mark.parametrize("labels", [NAMES[KIND], KIND == 2], ids=["three", "two"])
@pytest.mark.parametrize(
    "model",
    [
        Perceptron(penalty="elasticnet", random_state=0),
        Perceptron(fit_intercept=False, class_weight="balanced"),
        PassiveAggressiveClassifier(random_state=0),
        PassiveAggressiveClassifier(loss="squared_hinge", average=True, early_stopping=True, random_state=0),
    ],
    ids=str,
)
def test_other_classifiers(model, labels):
    assert {o.name for o in check(model.fit(IRIS, labels), IRIS, EDGES, **CLOSE).graph.outputs} == {"label", "score"}


@pytest.mark.parametrize(
    "model",
    [
        *(SGDRegressor(loss=loss, random_state=0) for loss in LOSSES[5:]),
        SGDRegressor(average=True, early_stopping=True, random_state=0),
        SGDRegressor(fit_intercept=False, penalty="l1", random_state=0),
        PassiveAggressiveRegressor(random_state=0),
        PassiveAggressiveRegressor(average=True, loss="squared_epsilon_insensitive", random_state=0),
    ],
    ids=str,
)
def test_regressors(model):
    check(model.fit(X, Y), X, X[:5] * 1e8, np.zeros((1, 10)), **CLOSE)


def test_sparsified():
    check(SGDClassifier(penalty="l1", random_state=0).fit(IRIS, KIND).sparsify(), IRIS, **CLOSE)


def test_unknown_attribute_is_refused():
    model = SGDClassifier().fit(IRIS, KIND)
    model.threshold_ = 0.3
    with pytest.raises(UnsupportedAttribute, match="threshold_"):
        read(model, Sample.of(IRIS))


def test_unfitted_is_refused():
    with pytest.raises(NotFitted, match="not fitted"):
        read(SGDRegressor(), Sample.of(X))
