"""IsolationForest: labels exact at the offset; RandomTreesEmbedding: the leaf of every tree."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import IsolationForest, RandomTreesEmbedding
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelport.errors import InputError, NotFitted, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_probes, hard_rows, on_splits, read

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Label:UserWarning")

IRIS, KIND = load_iris(return_X_y=True)
HOLES = np.where(np.random.default_rng(1).random(IRIS.shape) < 0.2, np.nan, IRIS)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"contamination": 0.1},
        {"contamination": 0.02, "max_features": 2},
        {"max_features": 0.5, "bootstrap": True},
        {"max_samples": 0.9, "n_estimators": 25, "n_jobs": 2},
    ],
    ids=str,
)
def test_forests(options):
    model = IsolationForest(**{"n_estimators": 8, "random_state": 0, **options}).fit(IRIS)
    reading = check(model, IRIS, on_splits(model, IRIS), hard_rows(4), rtol=1e-14, atol=1e-16)
    assert [o.name for o in reading.graph.outputs] == ["label", "score"]
    assert check_probes(reading, IRIS, 1e-14, 1e-16)


def test_a_row_at_the_offset_is_inside():
    """The offset is a percentile, so it can be the very score of a row; the label does not hang on a power's last bit."""
    for share in (0.02, 0.1, 0.26, 0.4):
        model = IsolationForest(n_estimators=10, contamination=share, random_state=0)
        model.fit(np.concatenate([IRIS, IRIS[:1]]))  # 151 rows: percentiles fall on rows
        assert (model.decision_function(IRIS) == 0).any()
        check(model, IRIS, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("samples", [1, 2])
def test_forests_that_tell_nothing_apart(samples):
    model = IsolationForest(n_estimators=4, max_samples=samples, random_state=0).fit(IRIS)
    check(model, IRIS)
    check_formats(model, IRIS, "onnx", "pmml")


def test_missing_values():
    model = IsolationForest(n_estimators=6, random_state=0).fit(HOLES)
    check(model, HOLES, np.where(np.eye(4) > 0, np.nan, IRIS[0]), rtol=1e-14, atol=1e-16)


def test_all_formats():
    model = make_pipeline(StandardScaler(), IsolationForest(n_estimators=6, contamination=0.1, random_state=0)).fit(IRIS)
    check_formats(model, IRIS, "onnx", "pmml")


@pytest.mark.parametrize("options", [{}, {"sparse_output": False}, {"max_leaf_nodes": 6}, {"max_depth": 2}], ids=str)
def test_embedding(options):
    model = RandomTreesEmbedding(**{"n_estimators": 5, "random_state": 0, **options}).fit(IRIS)
    rows = on_splits(model, IRIS)
    check(model, IRIS, rows, hard_rows(4))
    check_formats(model, IRIS, "onnx", "pmml")
    check(make_pipeline(model, LogisticRegression()).fit(IRIS, KIND), IRIS, rtol=1e-12, atol=1e-14)


def test_a_leaf_that_no_row_reached_is_refused():
    model = RandomTreesEmbedding(n_estimators=2, max_depth=2, random_state=0).fit(IRIS)
    known = model.one_hot_encoder_.categories_[1]
    lost = model.apply(IRIS)[:, 1] == known[0]
    model.one_hot_encoder_.categories_[1] = known[1:]
    model.one_hot_encoder_._n_features_outs[1] -= 1
    check(model, IRIS[~lost])
    with pytest.raises(ValueError, match="unknown categories"):
        model.transform(IRIS[lost])
    with pytest.raises(InputError):
        Evaluator(read(model, Sample.of(IRIS[~lost])).graph).run({"X": IRIS[lost]})


def test_refusals():
    for kind in (IsolationForest, RandomTreesEmbedding):
        with pytest.raises(NotFitted, match=kind.__name__):
            read(kind(), Sample.of(IRIS))
        model = kind(n_estimators=3).fit(IRIS)
        model.estimators_[1].extra_ = 1
        with pytest.raises(UnsupportedAttribute, match="extra_"):
            read(model, Sample.of(IRIS))
        del model.estimators_[1].extra_
        model.extra_ = 1
        with pytest.raises(UnsupportedAttribute, match="extra_"):
            read(model, Sample.of(IRIS))
