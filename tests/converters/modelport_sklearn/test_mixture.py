"""Gaussian mixtures: clusters without a flip, shares within 1e-12."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_probes, check_unknown_and_unfitted, read

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS = load_iris().data
CLOSE = {"rtol": 1e-11, "atol": 1e-12}
FORMS = ["full", "tied", "diag", "spherical"]
FAR = np.concatenate([np.zeros((1, 4)), -np.zeros((1, 4)), np.eye(4) * 100, IRIS[:4] * 30])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("components", [1, 3])
def test_gaussian_mixture(form, components):
    model = GaussianMixture(components, covariance_type=form, random_state=0, n_init=2, warm_start=True).fit(IRIS)
    reading = check(model, IRIS, FAR, **CLOSE)
    assert [(o.name, o.role) for o in reading.graph.outputs] == [("cluster", "cluster"), ("probability", "probability")]
    assert check_probes(reading, IRIS, **CLOSE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prior", ["dirichlet_process", "dirichlet_distribution"])
def test_bayesian_mixture(form, prior):
    model = BayesianGaussianMixture(
        n_components=4, covariance_type=form, weight_concentration_prior_type=prior, max_iter=30, random_state=0
    )
    check(model.fit(IRIS), IRIS, FAR, **CLOSE)


@pytest.mark.parametrize("form", FORMS)
def test_every_format(form):
    check_formats(GaussianMixture(2, covariance_type=form, random_state=0).fit(IRIS), IRIS, "onnx", "pmml")


def test_inside_a_pipeline():
    check(make_pipeline(StandardScaler(), GaussianMixture(3, random_state=0)).fit(IRIS), IRIS, **CLOSE)


@pytest.mark.parametrize("form", FORMS)
def test_a_component_so_far_that_its_distance_overflows(form):
    model = GaussianMixture(2, covariance_type=form, random_state=0).fit(IRIS)
    model.means_[1] = 1e200
    got = Evaluator(read(model, Sample.of(IRIS)).graph).run({"X": IRIS[:3]})
    assert got["cluster"].tolist() == [0, 0, 0]
    assert got["probability"].tolist() == [[1.0, 0.0]] * 3


@pytest.mark.parametrize("kind", [GaussianMixture, BayesianGaussianMixture])
def test_unknown_attribute_and_unfitted_are_refused(kind):
    check_unknown_and_unfitted(kind().fit(IRIS), IRIS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [GaussianMixture, BayesianGaussianMixture])
def test_fitted_on_float32_rows(kind, form):
    """What scikit-learn computes from means and factors alone is then float32."""
    model = kind(n_components=3, covariance_type=form, random_state=0).fit(IRIS.astype(np.float32))
    assert kind is BayesianGaussianMixture or model.means_.dtype == np.float32
    check(model, IRIS, IRIS * 1.1, rtol=1e-10, atol=1e-11)
