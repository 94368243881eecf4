"""Dummy estimators: the same answer for every row, exactly; no answer drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelport.errors import UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_unknown_and_unfitted, read

IRIS, KIND = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
LABELS = {
    "strings": NAMES[KIND],
    "integers": KIND * 10 - 5,
    "floats": KIND / 2,
    "booleans": KIND > 0,
    "one": np.full(150, "only"),
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("strategy", ["prior", "most_frequent"])
def test_classifier(strategy, labels):
    model = DummyClassifier(strategy=strategy).fit(IRIS, LABELS[labels], sample_weight=np.arange(150))
    reading = check(model, IRIS, np.full((2, 4), np.nan))
    assert [o.name for o in reading.graph.outputs] == ["label", "probability"]
    assert reading.graph.inputs[0].missing == "nan"
    check_formats(model, IRIS, "onnx", "pmml")


def test_constant_class():
    check(DummyClassifier(strategy="constant", constant="virginica").fit(IRIS, NAMES[KIND]), IRIS)
    check(DummyClassifier(strategy="constant", constant=1).fit(IRIS, KIND), IRIS)


@pytest.mark.parametrize("strategy", ["prior", "most_frequent", "constant"])
def test_several_labels_per_row(strategy):
    labels = np.column_stack([KIND, KIND > 1, 5 - KIND])
    model = DummyClassifier(strategy=strategy, constant=[2, 1, 4]).fit(IRIS, labels)
    assert len(check(model, IRIS).graph.outputs) == 4


@pytest.mark.parametrize("strategy", ["stratified", "uniform"])
def test_random_answers_are_refused(strategy):
    with pytest.raises(UnsupportedAttribute, match="draws at random") as caught:
        read(DummyClassifier(strategy=strategy).fit(IRIS, KIND), Sample.of(IRIS))
    assert caught.value.attribute == "strategy"


REGRESSORS = [
    DummyRegressor(),
    DummyRegressor(strategy="median"),
    DummyRegressor(strategy="quantile", quantile=0.8),
    DummyRegressor(strategy="constant", constant=[3, 4]),
]


@pytest.mark.parametrize("model", REGRESSORS, ids=str)
def test_regressor(model):
    check(model.fit(IRIS, IRIS[:, :2]), IRIS)
    if model.strategy != "constant":
        check(model.fit(IRIS, IRIS[:, 0]), IRIS)
        check_formats(model, IRIS, "onnx", "pmml")


def test_integer_constant_and_pipeline():
    check(DummyRegressor(strategy="constant", constant=7).fit(IRIS, KIND), IRIS)
    check(make_pipeline(StandardScaler(), DummyClassifier()).fit(IRIS, KIND), IRIS)


@pytest.mark.parametrize("kind", [DummyClassifier, DummyRegressor])
def test_unknown_attribute_and_unfitted_are_refused(kind):
    check_unknown_and_unfitted(kind().fit(IRIS, KIND), IRIS)
