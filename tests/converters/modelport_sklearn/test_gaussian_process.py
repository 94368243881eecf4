"""Gaussian processes against scikit-learn: every kernel, scaled and several targets, Laplace's probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)

import modelport
from modelport.errors import Mismatch, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check_settled, moved, read, standard_wine

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def wine():
    X, y = standard_wine()
    return X[::3, :6], y[::3]


KERNELS = {
    "default": None,
    "scaled": ConstantKernel(2.0) * RBF(1.5),
    "anisotropic": RBF(np.arange(1.0, 7.0)),
    "matern 1/2": Matern(nu=0.5),
    "matern 3/2": Matern(length_scale=np.arange(1.0, 7.0), nu=1.5),
    "matern 5/2": Matern(nu=2.5),
    "matern inf": Matern(nu=np.inf),
    "rational": RationalQuadratic(1.5, 0.7),
    "periodic": ExpSineSquared(2.0, 9.0) * RBF(3.0),
    "dot": DotProduct(0.5),
    "power": (DotProduct(1.0) ** 2) * 0.1 + RBF(2.0),
    "linear": PairwiseKernel(metric="linear"),
    "poly": PairwiseKernel(metric="poly", gamma=0.1, pairwise_kernels_kwargs={"degree": 2}),
    "pairwise rbf": PairwiseKernel(metric="rbf", gamma=0.1),
    "laplacian": PairwiseKernel(metric="laplacian", gamma=0.1),
    "cosine": PairwiseKernel(metric="cosine") + RBF(3.0),
    "white": WhiteKernel(0.5),
    "constant": ConstantKernel(3.0) + ConstantKernel(1.0) * ConstantKernel(0.5),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("normalize", [False, True])
def test_regression(wine, name, normalize):
    X, y = wine
    kernel = KERNELS[name]
    kernel = kernel if kernel is None else kernel + WhiteKernel(0.1)
    model = GaussianProcessRegressor(kernel, normalize_y=normalize, optimizer=None).fit(X, y * 10.0)
    check_settled(model, X, moved(X), X[:1] * 100, rtol=1e-9, atol=1e-11, share=0.9)


@pytest.mark.parametrize("name", sorted(set(KERNELS) - {"white", "constant"}, key=str))
def test_classification(wine, name):
    X, y = wine
    kernel = KERNELS[name]
    model = GaussianProcessClassifier(kernel, optimizer=None).fit(X[y < 2], np.array(["no", "yes"])[y[y < 2]])
    check_settled(model, X, moved(X), rtol=1e-9, atol=1e-10, share=0.9)


def test_noise_counts_in_the_variance(wine):
    X, y = wine
    for kernel in (RBF(2.0) + WhiteKernel(2.0), WhiteKernel(0.5) * RBF(1.0) + RBF(2.0)):
        check_settled(
            GaussianProcessClassifier(kernel, optimizer=None).fit(X, y > 0), X, moved(X), rtol=1e-9, atol=1e-10, share=0.9
        )


def test_chi2_kernels_refuse_negative_rows():
    X, y = load_iris(return_X_y=True)
    for metric in ("chi2", "additive_chi2"):
        kernel = PairwiseKernel(metric=metric, gamma=0.2) + ConstantKernel(30.0) * DotProduct() + WhiteKernel()
        check_settled(GaussianProcessRegressor(kernel, optimizer=None).fit(X, y), X, X * 1.3, rtol=1e-8, atol=1e-10)


def test_fitted_hyperparameters_and_targets(wine):
    X, y = wine
    kernel = ConstantKernel(1.0) * RBF(np.ones(6)) + WhiteKernel()
    check_settled(GaussianProcessRegressor(kernel, random_state=0).fit(X, y), X, moved(X), rtol=1e-9, atol=1e-10, share=0.9)
    many = GaussianProcessRegressor(kernel, normalize_y=True, optimizer=None).fit(X, np.c_[y, y**2, -y])
    check_settled(many, X, moved(X), rtol=1e-9, atol=1e-10, share=0.9)


@pytest.mark.parametrize("mode", ["one_vs_rest", "one_vs_one"])
def test_several_classes(wine, mode):
    X, y = wine
    model = GaussianProcessClassifier(RBF(2.0), multi_class=mode, optimizer=None).fit(X, np.array(["a", "b", "c"])[y])
    reading = check_settled(model, X, moved(X), rtol=1e-9, atol=1e-10, share=0.9)
    names = [o.name for o in reading.graph.outputs]
    assert names == (["label", "probability"] if mode == "one_vs_rest" else ["label"])


def test_far_from_every_row_all_covariances_vanish(wine):
    X, y = wine
    far = np.full((1, 6), 1e5)
    check_settled(GaussianProcessClassifier(RBF(1.0), optimizer=None).fit(X, y > 0), far, rtol=1e-12, share=1.0)
    check_settled(GaussianProcessRegressor(RBF(1.0), optimizer=None).fit(X, y), far, share=1.0)


class Own(RBF):
    """A kernel of somebody else."""


@pytest.mark.parametrize(
    ("kernel", "attribute"),
    [
        (Matern(nu=0.7), "nu"),
        (PairwiseKernel(metric=lambda a, b: float(a @ b), gamma=1.0), "metric"),
        (Own(1.0), "kernel_"),
        (CompoundKernel([RBF(1.0)]), "kernel_"),
    ],
)
def test_refusals(wine, kernel, attribute):
    X, y = wine
    model = GaussianProcessRegressor(RBF(1.0), optimizer=None).fit(X, y)
    model.kernel_ = kernel
    with pytest.raises(UnsupportedAttribute) as caught:
        read(model, Sample.of(X))
    assert caught.value.attribute == attribute


def test_an_unknown_attribute_of_a_kernel_is_refused(wine):
    X, y = wine
    model = GaussianProcessRegressor(RBF(1.0), optimizer=None).fit(X, y)
    model.kernel_.shift = 1.0
    with pytest.raises(UnsupportedAttribute, match="shift"):
        read(model, Sample.of(X))


def test_weights_that_cancel_at_the_training_rows_only_are_found_there():
    """Copies of a row with different targets have weights of 1e8 and opposite signs; away from them the kernel is 0."""
    rng = np.random.default_rng(0)
    X, targets = np.round(rng.normal(size=(150, 2)), 1), rng.normal(size=150) * 1e3
    model = GaussianProcessRegressor(1e10 * RBF(1e-5), alpha=1e-6, optimizer=None).fit(X, targets)
    with pytest.raises(Mismatch, match="cancel"):
        modelport.convert(model, "json", sample=X)
