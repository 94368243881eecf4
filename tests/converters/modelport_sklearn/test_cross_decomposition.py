"""Partial least squares: predictions and scores within 1e-12."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA, PLSSVD, PLSCanonical, PLSRegression
from sklearn.datasets import load_linnerud
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

from tests.converters.modelport_sklearn.common import check, check_formats, check_unknown_and_unfitted

pytestmark = pytest.mark.filterwarnings("ignore")

X, Y = load_linnerud(return_X_y=True)
CLOSE = {"rtol": 1e-12, "atol": 1e-11}
FAR = np.concatenate([np.zeros((1, 3)), -np.zeros((1, 3)), X[:3] * 1e6])

MODELS = [
    PLSRegression(),
    PLSRegression(n_components=3, scale=False),
    PLSCanonical(),
    PLSCanonical(n_components=1, algorithm="svd"),
    CCA(),
    CCA(n_components=1, scale=False),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_several_targets(model):
    reading = check(model.fit(X, Y), X, FAR, **CLOSE)
    assert reading.graph.types[reading.graph.outputs[0].source].shape == (3,)


@pytest.mark.parametrize("target", [Y[:, 0], Y[:, :1]], ids=["[n]", "[n, 1]"])
def test_one_target_keeps_its_axes(target):
    reading = check(PLSRegression().fit(X, target), X, **CLOSE)
    assert reading.graph.types[reading.graph.outputs[0].source].shape == target.shape[1:]


@pytest.mark.parametrize("model", [*MODELS, PLSSVD(), PLSSVD(n_components=1, scale=False)], ids=str)
def test_scores_feed_the_next_step(model):
    model.fit(X, Y)
    pipeline = Pipeline([("scores", model), ("line", LinearRegression().fit(model.transform(X), Y[:, 0]))])
    reading = check(pipeline, X, **CLOSE)
    assert any(step.output == "projected" for step in reading.graph.steps)


def test_svd_scores():
    assert [o.name for o in check(PLSSVD().fit(X, Y), X, FAR, **CLOSE).graph.outputs] == ["transformed"]


@pytest.mark.parametrize("model", [PLSRegression(), CCA(n_components=1), PLSSVD()], ids=str)
def test_every_format(model):
    check_formats(model.fit(X, Y), X, "onnx", "pmml")


@pytest.mark.parametrize("kind", [PLSRegression, PLSCanonical, CCA, PLSSVD])
def test_unknown_attribute_and_unfitted_are_refused(kind):
    check_unknown_and_unfitted(kind().fit(X, Y), X)
