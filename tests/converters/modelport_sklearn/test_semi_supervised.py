"""LabelPropagation and LabelSpreading against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

import modelport
from modelport.errors import Mismatch, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check_settled, moved, read, standard_wine

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def wine():
    X, y = standard_wine()
    hidden = np.random.default_rng(0).random(len(y)) < 0.6
    return X, np.where(hidden, -1, y)


@pytest.mark.parametrize("cls", [LabelPropagation, LabelSpreading])
@pytest.mark.parametrize("options", [{"gamma": 0.3}, {"gamma": 20}, {"kernel": "knn"}, {"kernel": "knn", "n_neighbors": 3}])
def test_labels_and_probabilities(wine, cls, options):
    X, y = wine
    check_settled(cls(**options).fit(X, y), X, moved(X), rtol=1e-8, atol=1e-11, share=0.7)


def test_far_from_every_row_the_probabilities_are_nan_and_the_first_class_is_meant(wine):
    X, y = wine
    model = LabelPropagation(gamma=1.0).fit(X, y)
    far = np.full((1, 13), 1e4)
    assert np.isnan(model.predict_proba(far)).all()
    check_settled(model, far, share=1.0)


def test_refusals(wine):
    X, y = wine
    with pytest.raises(UnsupportedAttribute, match="kernel"):
        read(LabelSpreading(kernel=lambda a, b: np.exp(-((a[:, None] - b) ** 2).sum(-1))).fit(X, y), Sample.of(X))
    model = LabelPropagation(gamma=1.0).fit(X, y)
    model.shift_ = 1.0
    with pytest.raises(UnsupportedAttribute, match="shift_"):
        read(model, Sample.of(X))


def test_a_kernel_of_which_the_original_knows_no_digit_on_the_training_rows_is_refused():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 5)) * 1e9, np.arange(40) % 3 - 1
    with pytest.raises(Mismatch):
        modelport.convert(LabelPropagation(gamma=2.0).fit(X, y), "json", sample=X)


def test_a_kernel_far_from_zero_states_what_the_original_loses(wine):
    X, y = wine
    model = LabelSpreading(gamma=0.3).fit(X + 100.0, y)
    artifact = modelport.convert(model, "json", sample=X + 100.0)
    assert 1e-12 < modelport.load(artifact).vectors.tolerance["probability"].rtol <= 1e-9
    assert modelport.verify(artifact, model=model, sample=X + 100.0).passed
