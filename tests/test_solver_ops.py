"""The ops of profile solver against scikit-learn, asked one row at a time."""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import NMF, LatentDirichletAllocation, MiniBatchNMF, SparseCoder

from modelport.graph import Graph, Input, Output, Step
from modelport.run import Evaluator

RNG = np.random.default_rng(7)
D = 6
X = RNG.gamma(1.0, 1.0, (40, D)) * (RNG.random((40, D)) < 0.7)
X[0] = 0.0


def run(op: str, attributes: dict[str, Any], x: np.ndarray) -> np.ndarray:
    graph = Graph([Input("x", "f64", x.shape[1:])], [Step(op, ["x"], "y", attributes)], [Output("y", "y", "f64", "transform")])
    return np.asarray(Evaluator(graph).run({"x": x})["y"])


def assert_close(got: np.ndarray, model: Any, x: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.vstack([model.transform(line[None]) for line in x])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def fitted(model: Any, x: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x)


@pytest.mark.parametrize("alpha", [0.0, 0.03])
@pytest.mark.parametrize("ratio", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("solver", "loss"), [("cd", 2.0), *product(("mu", "minibatch"), (2.0, 1.0, 0.0, 1.3, -0.7, 2.6))])
def test_nmf(solver: str, loss: float, ratio: float, alpha: float) -> None:
    x = X[1:] + 0.02 if loss <= 0 else X
    options = {"n_components": 3, "init": "random", "random_state": 0, "max_iter": 45, "alpha_W": alpha, "l1_ratio": ratio}
    if solver == "minibatch":
        model = fitted(MiniBatchNMF(beta_loss=loss, **options), x)
    else:
        model = fitted(NMF(solver=solver, beta_loss=loss, **options), x)
    l1, l2 = D * alpha * ratio, D * alpha * (1 - ratio)
    step = {"components": model.components_, "solver": solver, "max_iter": 45, "tol": model.tol, "l1": l1, "l2": l2}
    assert_close(run("nmf", step if solver == "cd" else {**step, "beta": loss}, x), model, x)


@pytest.mark.parametrize("options", [{}, {"n_components": 1}, {"mean_change_tol": 1e-9}, {"doc_topic_prior": 0.02}])
def test_lda_topics(options: dict[str, Any]) -> None:
    counts = RNG.poisson(0.7, (30, 15)).astype(float)
    counts[0] = 0.0
    model = LatentDirichletAllocation(**{"n_components": 4, "max_iter": 3, "random_state": 0, **options}).fit(counts)
    step = {"components": model.exp_dirichlet_component_, "prior": float(model.doc_topic_prior_)}
    step |= {"max_iter": model.max_doc_update_iter, "tol": model.mean_change_tol}
    assert_close(run("lda_topics", step, counts), model, counts)


@pytest.mark.parametrize("atoms", [3, 6, 14])
@pytest.mark.parametrize("nonzero", [1, 3])
def test_omp(atoms: int, nonzero: int) -> None:
    table, x = RNG.normal(size=(atoms, D)), RNG.normal(size=(25, D))
    model = SparseCoder(table, transform_algorithm="omp", transform_n_nonzero_coefs=nonzero)
    assert_close(run("sparse_code", {"atoms": table, "algorithm": "omp", "nonzero": nonzero}, x), model, x)


@pytest.mark.parametrize("rounds", [2, 1000])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.5])
def test_lasso_cd(alpha: float, positive: bool, rounds: int) -> None:
    table, x = np.linalg.qr(RNG.normal(size=(D, D)))[0][:4] + 0.1 * RNG.normal(size=(4, D)), RNG.normal(size=(25, D))
    options = {"transform_alpha": alpha, "positive_code": positive, "transform_max_iter": rounds}
    model = SparseCoder(table, transform_algorithm="lasso_cd", **options)
    step = {"atoms": table, "algorithm": "lasso_cd", "alpha": alpha / D * D, "max_iter": rounds, "positive": positive}
    assert_close(run("sparse_code", step, x), model, x)


@pytest.mark.parametrize(
    ("op", "step"),
    [
        ("nmf", {"components": X[3:6], "solver": "cd", "max_iter": 50, "tol": 1e-4}),
        ("nmf", {"components": X[3:6], "solver": "mu", "max_iter": 50, "tol": 1e-4, "beta": 1.0, "l1": 0.1}),
        ("lda_topics", {"components": X[3:6], "prior": 0.5, "max_iter": 50, "tol": 1e-4}),
        ("sparse_code", {"atoms": X[3:6], "algorithm": "omp", "nonzero": 2}),
        ("sparse_code", {"atoms": X[3:6], "algorithm": "lasso_cd", "alpha": 0.1, "max_iter": 50}),
    ],
    ids=["cd", "mu", "lda", "omp", "lasso_cd"],
)
def test_rows_do_not_influence_each_other(op: str, step: dict[str, Any]) -> None:
    alone = np.vstack([run(op, step, line[None]) for line in X])
    np.testing.assert_array_equal(run(op, step, X), alone)
