"""Multi-layer perceptrons: every activation and every kind of target."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import scale

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, read

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS, KIND = load_iris(return_X_y=True)
IRIS = scale(IRIS)
X, Y = load_diabetes(return_X_y=True)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}
FAR = np.concatenate([np.zeros((1, 4)), -np.zeros((1, 4)), IRIS[::20] * 1e3, np.eye(4) * 1e10])
TARGETS = {
    "three": np.array(["a", "b", "c"])[KIND],
    "two": np.where(KIND > 0, "yes", "no"),
    "booleans": KIND > 1,
    "several": np.column_stack([KIND > 0, KIND > 1, IRIS[:, 0] > 0]).astype(int),
}


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("target", TARGETS)
def test_classifier(activation, target):
    model = MLPClassifier((7, 5), activation=activation, max_iter=30, random_state=0).fit(IRIS, TARGETS[target])
    check(model, IRIS, FAR, **CLOSE)


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
def test_solvers_leave_the_same_kind_of_state(solver):
    stopping = solver != "lbfgs"
    model = MLPClassifier((4,), solver=solver, early_stopping=stopping, max_iter=10, random_state=0).fit(IRIS, KIND)
    check(model, IRIS, **CLOSE)


def test_partial_fit():
    model = MLPClassifier((4,), random_state=0)
    for _ in range(3):
        model.partial_fit(IRIS, KIND, classes=[0, 1, 2])
    check(model, IRIS, **CLOSE)


def test_probability_of_exactly_one_half_is_the_first_class():
    model = MLPClassifier((3,), max_iter=2, random_state=0).fit(IRIS, TARGETS["two"])
    model.coefs_[-1][:] = 0
    for bias in (0.0, -0.0, 5e-324, 1e-17, -1e-17, 3e-16, -3e-16):
        model.intercepts_[-1][:] = bias
        check(model, IRIS[:3], **CLOSE)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("targets", [Y, np.column_stack([Y, -Y])], ids=["one", "two"])
def test_regressor(activation, targets):
    check(
        MLPRegressor(hidden_layer_sizes=(6,), activation=activation, max_iter=20, random_state=0).fit(X, targets),
        X,
        X[:4] * 1e5,
        **CLOSE,
    )


def test_no_hidden_layer_and_one_target_as_a_column():
    check(MLPRegressor(hidden_layer_sizes=(), max_iter=20, random_state=0).fit(X, Y[:, None]), X, **CLOSE)


def test_poisson_loss_ends_in_exp():
    model = MLPRegressor(hidden_layer_sizes=(5,), loss="poisson", max_iter=20, random_state=0).fit(X, Y / 100)
    assert model.out_activation_ == "exp"
    check(model, X, **CLOSE)


def test_float32_fit_answers_float64_rows():
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=20, random_state=0).fit(X.astype(np.float32), Y.astype(np.float32))
    assert model.coefs_[0].dtype == np.float32
    check(model, X, **CLOSE)


def test_unknown_state_is_refused():
    model = MLPClassifier((3,), max_iter=2).fit(IRIS, KIND)
    model.temperature_ = 2.0
    with pytest.raises(UnsupportedAttribute, match="temperature_"):
        read(model, Sample.of(IRIS))
    del model.temperature_
    model.activation = "gelu"
    with pytest.raises(UnsupportedAttribute, match="gelu"):
        read(model, Sample.of(IRIS))


def test_a_single_class():
    model = MLPClassifier((3,), max_iter=2).fit(IRIS, np.full(len(IRIS), "only"))
    reading = check(model, IRIS, IRIS * 1e6, rtol=1e-12, atol=1e-12)
    assert reading.graph.outputs[1].classes is None  # scikit-learn gives two columns
    check_formats(model, IRIS, "onnx", "pmml")


def test_unfitted_is_refused():
    with pytest.raises(NotFitted, match="not fitted"):
        read(MLPRegressor(), Sample.of(X))
