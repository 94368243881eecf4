"""Outlier detectors of linear kind: scores within 1e-12, labels without a flip, the bound itself an inlier."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import EllipticEnvelope
from sklearn.datasets import load_iris
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.pipeline import make_pipeline

from tests.converters.modelport_sklearn.common import check, check_formats, check_probes, check_unknown_and_unfitted

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS = load_iris().data
CLOSE = {"rtol": 1e-11, "atol": 1e-11}
FAR = np.concatenate([np.zeros((1, 4)), -np.zeros((1, 4)), np.eye(4) * 1e6, IRIS[:4] * 30])

MODELS = [
    EllipticEnvelope(random_state=0),
    EllipticEnvelope(random_state=0, store_precision=False, assume_centered=True, contamination=0.3),
    EllipticEnvelope(random_state=0, support_fraction=0.8),
    SGDOneClassSVM(random_state=0),
    SGDOneClassSVM(random_state=0, nu=0.1, average=True, fit_intercept=False),
    make_pipeline(Nystroem(n_components=30, random_state=0), SGDOneClassSVM(random_state=0)),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_label_and_score(model):
    reading = check(model.fit(IRIS), IRIS, FAR, **CLOSE)
    assert [(o.name, o.role, o.dtype) for o in reading.graph.outputs] == [("label", "anomaly", "i64"), ("score", "score", "f64")]
    assert check_probes(reading, IRIS, **CLOSE)


@pytest.mark.parametrize("model", [MODELS[0], MODELS[3]], ids=str)
def test_every_format(model):
    check_formats(model.fit(IRIS), IRIS, "onnx", "pmml")


def test_a_score_of_zero_is_an_inlier():
    model = SGDOneClassSVM(random_state=0).fit(IRIS)
    model.coef_, model.offset_ = np.array([1.0, 0, 0, 0]), np.array([2.0])
    rows = np.zeros((3, 4))
    rows[:, 0] = [2.0, np.nextafter(2.0, 0), np.nextafter(2.0, 3)]
    assert model.predict(rows).tolist() == [1, -1, 1]
    check(model, rows)


@pytest.mark.parametrize("kind", [EllipticEnvelope, SGDOneClassSVM])
def test_unknown_attribute_and_unfitted_are_refused(kind):
    check_unknown_and_unfitted(kind().fit(IRIS), IRIS)
