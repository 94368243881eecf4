"""Discriminant analysis: probabilities and projections within 1e-12, labels without a flip."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import OAS
from sklearn.datasets import load_iris, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelport.errors import UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_probes, check_unknown_and_unfitted, read

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS, KIND = load_iris(return_X_y=True)
WINE, GRAPE = load_wine(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
CLOSE = {"rtol": 1e-12, "atol": 1e-12}
FAR = np.concatenate([np.zeros((1, 4)), -np.zeros((1, 4)), np.eye(4) * 1e5, IRIS[:4] * 1e3])

LINEAR = [
    LinearDiscriminantAnalysis(),
    LinearDiscriminantAnalysis(n_components=1, store_covariance=True),
    LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.2),
    LinearDiscriminantAnalysis(solver="eigen", covariance_estimator=OAS()),
    LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
]
QUADRATIC = [
    QuadraticDiscriminantAnalysis(),
    QuadraticDiscriminantAnalysis(reg_param=0.1, store_covariance=True),
    QuadraticDiscriminantAnalysis(solver="eigen", shrinkage="auto"),
    QuadraticDiscriminantAnalysis(solver="eigen", covariance_estimator=OAS()),
]


@pytest.mark.parametrize("labels", [NAMES[KIND], KIND > 0, KIND.astype(float)], ids=["three", "two", "floats"])
@pytest.mark.parametrize("model", [*LINEAR, *QUADRATIC], ids=str)
def test_classes(model, labels):
    reading = check(model.fit(IRIS, labels), IRIS, FAR, rtol=1e-12, atol=1e-11)
    assert [o.name for o in reading.graph.outputs] == ["label", "probability"]
    assert check_probes(reading, IRIS, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", [LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis])
def test_priors(kind):
    check(kind(priors=[0.7, 0.2, 0.1]).fit(IRIS, KIND), IRIS, **CLOSE)


@pytest.mark.parametrize("model", LINEAR[:4], ids=str)
def test_projection_inside_a_pipeline(model):
    pipeline = make_pipeline(StandardScaler(), model, LogisticRegression()).fit(WINE, GRAPE)
    reading = check(pipeline, WINE, **CLOSE)
    assert any(step.output == "projected" for step in reading.graph.steps)
    assert check_probes(reading, WINE, rtol=1e-11, atol=1e-11)


def test_solver_without_projection_is_refused():
    pipeline = make_pipeline(LinearDiscriminantAnalysis(), LogisticRegression()).fit(IRIS, KIND)
    pipeline.steps[0][1].solver = "lsqr"
    with pytest.raises(UnsupportedAttribute, match="solver"):
        read(pipeline, Sample.of(IRIS))


@pytest.mark.parametrize("model", [LINEAR[0], LINEAR[4], QUADRATIC[0]], ids=str)
def test_every_format(model):
    check_formats(model.fit(IRIS, NAMES[KIND]), IRIS, "onnx", "pmml")
    check_formats(model.fit(IRIS, KIND > 1), IRIS, "onnx", "pmml")


@pytest.mark.parametrize("kind", [LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis])
def test_unknown_attribute_and_unfitted_are_refused(kind):
    check_unknown_and_unfitted(kind().fit(IRIS, KIND), IRIS)


@pytest.mark.parametrize("model", [*QUADRATIC, *LINEAR], ids=str)
def test_fitted_on_float32_rows(model):
    check(model.fit(IRIS.astype(np.float32), KIND), IRIS, IRIS * 1.1, rtol=1e-11, atol=1e-11)
