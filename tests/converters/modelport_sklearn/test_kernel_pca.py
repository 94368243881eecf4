"""KernelPCA, KernelCenterer and Isomap against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import KernelPCA
from sklearn.manifold import Isomap
from sklearn.preprocessing import KernelCenterer

import modelport
from modelport.errors import InputError, Mismatch, NotFitted, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_settled, moved, read, standard_wine

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def wine():
    return standard_wine()[0]


@pytest.mark.parametrize("kernel", ["linear", "poly", "rbf", "sigmoid", "cosine"])
@pytest.mark.parametrize("options", [{"n_components": 3}, {"n_components": 4, "gamma": 0.02, "degree": 2, "coef0": 0.5}])
def test_kernels(wine, kernel, options):
    check(KernelPCA(kernel=kernel, **options).fit(wine), wine, moved(wine), rtol=1e-9, atol=1e-11)


def test_null_space(wine):
    """More components than the kernel's rank: eigenvalues of 0 give 0, or are left out."""
    for keep in (False, True):
        model = KernelPCA(20, kernel="linear", remove_zero_eig=keep, eigen_solver="dense").fit(wine)
        model.eigenvalues_ = np.where(model.eigenvalues_ > 1e-6, model.eigenvalues_, 0.0)
        check(model, wine, moved(wine), rtol=1e-9, atol=1e-10)


def test_precomputed_kernel_centerer_and_single_precision(wine):
    K, rows = wine @ wine.T, moved(wine) @ wine.T
    check(KernelPCA(2, kernel="precomputed").fit(K), K, rows, rtol=1e-9, atol=1e-10)
    check(KernelCenterer().fit(K), K, rows, rtol=1e-12, atol=1e-12)
    check(KernelPCA(2, kernel="rbf").fit(wine.astype(np.float32)), wine, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "options", [{}, {"n_neighbors": 8, "metric": "manhattan"}, {"n_neighbors": None, "radius": 4.0}, {"path_method": "D"}]
)
def test_isomap(wine, options):
    scaled = wine * 1e-3 if not options else wine  # lengths far from 1
    beside = scaled + np.random.default_rng(0).normal(size=wine.shape) * scaled.std() * 0.2
    check_settled(Isomap(n_components=3, **options).fit(scaled), scaled, beside, rtol=1e-8, atol=1e-10, share=0.3)


def test_isomap_refuses_rows_without_neighbours(wine):
    reading = read(Isomap(n_neighbors=None, radius=4.0).fit(wine), Sample.of(wine))
    with pytest.raises(InputError):
        Evaluator(reading.graph).run({"X": np.full((1, 13), 100.0)})


def test_refusals(wine):
    with pytest.raises(UnsupportedAttribute, match="kernel"):
        read(KernelPCA(2, kernel=lambda a, b: a @ b).fit(wine), Sample.of(wine))
    model = Isomap().fit(wine)
    model.nbrs_.shift_ = 1.0
    with pytest.raises(UnsupportedAttribute, match="shift_"):
        read(model, Sample.of(wine))
    with pytest.raises(NotFitted):
        read(KernelPCA(), Sample.of(wine))


def test_a_row_whose_centred_kernel_keeps_no_digits_is_no_reason_to_refuse_isomap():
    X = np.random.default_rng(0).normal(size=(12, 200))
    assert modelport.convert(Isomap(n_neighbors=3, n_components=1).fit(X), "json", sample=X).report.passed


def test_isomap_of_copies_of_rows():
    """Copies lead to the same ways, so that it does not matter which of them is among the nearest."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8, 3))[rng.integers(0, 8, 40)]
    model = Isomap(n_neighbors=12, n_components=1).fit(X)
    check_settled(model, X, rtol=1e-9, atol=1e-11)
    assert modelport.convert(model, "json", sample=X).report.passed


def test_kernels_of_which_the_original_knows_no_digit_on_the_training_rows_are_refused():
    X = np.random.default_rng(0).normal(size=(12, 9)) * 1e9
    with pytest.raises(Mismatch):
        modelport.convert(KernelPCA(1, kernel="rbf", gamma=0.3).fit(X), "json", sample=X)
