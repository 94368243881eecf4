"""Kernel maps, kernel ridge and random projections: within 1e-12 of the output's scale."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.kernel_approximation import AdditiveChi2Sampler, Nystroem, PolynomialCountSketch, RBFSampler, SkewedChi2Sampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from modelport.errors import InputError, UnsupportedAttribute
from modelport.ops.distances import METRICS
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_unknown_and_unfitted, read

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS, KIND = load_iris(return_X_y=True)
X, Y = load_diabetes(return_X_y=True)
FEW, TARGET = X[:80], Y[:80]
TWO = np.column_stack([TARGET, TARGET[::-1] ** 1.1])
CLOSE = {"rtol": 1e-11, "atol": 1e-12}
FAR = np.concatenate([np.zeros((1, 4)), -np.zeros((1, 4)), IRIS[:3] * 20, np.eye(4) * 5e-324])

KERNELS = ["linear", "poly", "polynomial", "rbf", "laplacian", "sigmoid", "cosine"]
CHI2 = [kernel for kernel in ("chi2", "additive_chi2") if kernel in METRICS]


# --- kernel ridge -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("gamma", [None, 0.3])
def test_kernel_ridge(kernel, gamma):
    model = KernelRidge(kernel=kernel, gamma=gamma, degree=2, coef0=0.5).fit(FEW, TARGET)
    check(model, FEW, np.zeros((1, 10)), FEW[:3] * 1e-17, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("kernel", CHI2)
def test_kernel_ridge_of_positive_rows(kernel):
    rows = np.abs(FEW)
    model = KernelRidge(kernel=kernel, gamma=0.7).fit(rows, TARGET)
    reading = check(model, rows, np.zeros((1, 10)), rtol=1e-11, atol=1e-9)
    with pytest.raises(ValueError, match="negative"):
        model.predict(-rows[:1])
    with pytest.raises(InputError):
        Evaluator(reading.graph).run({"X": -rows[:1]})


@pytest.mark.parametrize("target", [TARGET, TARGET[:, None], TWO], ids=["[n]", "[n, 1]", "[n, 2]"])
def test_kernel_ridge_keeps_the_axes_of_its_target(target):
    reading = check(KernelRidge(kernel="rbf").fit(FEW, target), FEW, rtol=1e-11, atol=1e-10)
    assert reading.graph.types[reading.graph.outputs[0].source].shape == target.shape[1:]


def test_kernel_ridge_of_given_kernels():
    check(KernelRidge(kernel="precomputed").fit(rbf_kernel(FEW), TARGET), rbf_kernel(X[:20], FEW), rtol=1e-11, atol=1e-10)


def test_fractional_degree():
    check(KernelRidge(kernel="poly", degree=2.5, coef0=1.0, gamma=0.1).fit(IRIS, KIND), IRIS, rtol=1e-9, atol=1e-9)


def test_kernels_of_sparse_rows():
    pipeline = make_pipeline(KBinsDiscretizer(3), KernelRidge(kernel="cosine")).fit(IRIS, KIND)
    check(pipeline, IRIS, **CLOSE)
    # equal rows among the chosen ones make the normalisation ill-conditioned
    mapped = make_pipeline(KBinsDiscretizer(3), Nystroem(n_components=9, random_state=0), Ridge()).fit(IRIS, KIND)
    check(mapped, IRIS, rtol=1e-9, atol=1e-9)


# --- maps ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [*KERNELS, *CHI2])
def test_nystroem(kernel):
    if kernel == "sigmoid":
        model = Nystroem(kernel=kernel, n_components=12, random_state=0, gamma=0.01).fit(IRIS)
    else:
        model = Nystroem(kernel=kernel, n_components=12, random_state=0).fit(IRIS)
    scale = np.abs(model.transform(IRIS)).max() * max(1.0, np.abs(model.normalization_).max())
    check(model, IRIS, rtol=1e-11, atol=1e-12 * scale)


def test_nystroem_parameters():
    for parameters in ({"gamma": 0.3}, {"kernel_params": {"gamma": 0.3}}, {"kernel_params": {"gamma": 9.0}, "gamma": 0.3}):
        model = Nystroem(n_components=20, random_state=0, **parameters).fit(IRIS)
        check(model, IRIS, rtol=1e-10, atol=1e-10)
    check(Nystroem("poly", n_components=5, degree=2, coef0=0.0, gamma=0.1, random_state=0).fit(IRIS), IRIS, rtol=1e-8, atol=1e-6)


MAPS = [
    RBFSampler(n_components=20, random_state=0),
    RBFSampler(gamma="scale", n_components=7, random_state=0),
    SkewedChi2Sampler(n_components=20, random_state=0),
    SkewedChi2Sampler(skewedness=0.1, n_components=5, random_state=0),
    AdditiveChi2Sampler(sample_steps=1),
    AdditiveChi2Sampler(),
    AdditiveChi2Sampler(sample_steps=3),
    AdditiveChi2Sampler(sample_steps=5, sample_interval=0.37),
    PolynomialCountSketch(n_components=16, random_state=0),
    PolynomialCountSketch(n_components=15, degree=3, coef0=2, gamma=0.3, random_state=0),
    PolynomialCountSketch(n_components=1, degree=1, random_state=0),
]


@pytest.mark.parametrize("model", MAPS, ids=str)
def test_maps(model):
    scale = np.abs(model.fit(IRIS).transform(FAR)).max()
    check(model, IRIS, FAR, rtol=1e-12, atol=1e-13 * max(1.0, scale))


@pytest.mark.parametrize("model", MAPS, ids=str)
def test_maps_feed_the_next_step(model):
    check(make_pipeline(model, LogisticRegression(max_iter=500)).fit(IRIS, KIND), IRIS, rtol=1e-10, atol=1e-10)


def test_additive_map_of_sparse_rows():
    check(make_pipeline(KBinsDiscretizer(3), AdditiveChi2Sampler(), Ridge()).fit(IRIS, KIND), IRIS, **CLOSE)


@pytest.mark.parametrize(("model", "bound", "passes"), [(MAPS[5], 0.0, True), (MAPS[2], -1.0, False)], ids=["additive", "skewed"])
def test_rows_outside_the_domain_are_refused(model, bound, passes):
    reading = read(model.fit(IRIS), Sample.of(IRIS))
    for cell, answered in ((bound, passes), (np.nextafter(bound, -9), False), (np.nextafter(bound, 9), True)):
        row = IRIS[:1].copy()
        row[0, 1] = cell
        if answered:
            check(model, IRIS, row, **CLOSE)
            continue
        with pytest.raises(ValueError, match=r"egative|skewedness"):
            model.transform(row)
        with pytest.raises(InputError):
            Evaluator(reading.graph).run({"X": row})


@pytest.mark.parametrize(
    "model",
    [
        GaussianRandomProjection(n_components=3, random_state=0, compute_inverse_components=True),
        SparseRandomProjection(n_components=3, random_state=0),
        SparseRandomProjection(n_components=3, density=0.5, dense_output=True, random_state=0),
    ],
    ids=str,
)
def test_random_projections(model):
    check(make_pipeline(KBinsDiscretizer(4), model, Ridge()).fit(X, Y), X, rtol=1e-11, atol=1e-11)
    check(model.fit(X), X, X[:3] * 1e6, **CLOSE)
    check_formats(model, X, "onnx", "pmml")


@pytest.mark.parametrize("model", [MAPS[0], MAPS[3], MAPS[6], MAPS[9], Nystroem(n_components=9, random_state=0)], ids=str)
def test_every_format(model):
    refuses = isinstance(model, (AdditiveChi2Sampler, SkewedChi2Sampler))
    check_formats(model.fit(IRIS), IRIS, *(("onnx",) if refuses else ("onnx", "pmml")))
    check_formats(make_pipeline(StandardScaler(), KernelRidge(kernel="rbf")).fit(FEW, TARGET), FEW, "onnx", "pmml")


# --- refusals -----------------------------------------------------------------------------------------------------------------


def product(a, b, **_):
    return float(a @ b)


@pytest.mark.parametrize("model", [KernelRidge(kernel=product), Nystroem(product, n_components=5)], ids=["ridge", "nystroem"])
def test_kernels_of_ones_own_are_refused(model):
    with pytest.raises(UnsupportedAttribute, match="product") as caught:
        read(model.fit(IRIS, KIND), Sample.of(IRIS))
    assert caught.value.attribute == "kernel"


@pytest.mark.parametrize("model", [MAPS[0], MAPS[2], MAPS[8], KernelRidge(), Nystroem(), GaussianRandomProjection(2)], ids=str)
def test_unknown_attribute_and_unfitted_are_refused(model):
    check_unknown_and_unfitted(model.fit(IRIS, KIND), IRIS)
    del model.threshold_
