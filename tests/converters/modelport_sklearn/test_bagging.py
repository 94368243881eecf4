"""Bagging: of trees exact in every bit, of other estimators within rounding; columns drawn, classes that a sample misses."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_probes, hard_rows, on_splits, read

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Label:UserWarning")

IRIS, KIND = load_iris(return_X_y=True)
NAMES = load_iris().target_names[KIND]
X, Y = load_diabetes(return_X_y=True)
TISSUE, BENIGN = (part[:200] for part in load_breast_cancer(return_X_y=True))
HOLES = np.where(np.random.default_rng(1).random(IRIS.shape) < 0.2, np.nan, IRIS)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_features": 2, "bootstrap_features": True},
        {"max_features": 0.5, "bootstrap": False},
        {"estimator": DecisionTreeClassifier(max_leaf_nodes=4), "max_samples": 0.3, "oob_score": True},
        {"estimator": ExtraTreeClassifier(max_depth=3), "n_estimators": 15},
        {"n_estimators": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("labels", [KIND, NAMES, KIND > 1], ids=["integers", "strings", "booleans"])
def test_trees_are_exact_and_one_step(options, labels):
    model = BaggingClassifier(**{"n_estimators": 9, "random_state": 0, **options}).fit(IRIS, labels)
    reading = check(model, IRIS, on_splits(model, IRIS), hard_rows(4))
    assert [step.op for step in reading.graph.steps].count("tree_ensemble") == 1


def test_jobs_do_not_matter():
    model = BaggingRegressor(n_estimators=6, n_jobs=2, random_state=0).fit(X, Y)
    check(model, X, on_splits(model, X))
    assert model.n_jobs == 2


def test_trees_that_have_not_seen_every_class():
    """Versions that draw rows, and do not weigh them, fit such trees."""
    model = BaggingClassifier(n_estimators=4, random_state=0).fit(IRIS, NAMES)
    for k, seen in enumerate(([0, 2], [1])):
        drawn = np.isin(KIND, seen)
        model.estimators_[k].fit(IRIS[drawn], KIND[drawn])
    check(model, IRIS, on_splits(model, IRIS))


def test_trees_take_missing_values():
    model = BaggingClassifier(DecisionTreeClassifier(max_depth=4), 6, max_features=3, random_state=0).fit(HOLES, NAMES)
    reading = check(model, HOLES, np.where(np.eye(4) > 0, np.nan, IRIS[0]))
    assert reading.graph.inputs[0].missing == "nan"


@pytest.mark.parametrize("outputs", [Y, np.column_stack([Y, np.sqrt(Y)])], ids=["one", "two"])
def test_regressing_trees_are_exact(outputs):
    model = BaggingRegressor(DecisionTreeRegressor(max_depth=5), 8, max_features=4, random_state=0).fit(X, outputs)
    check(model, X, on_splits(model, X), hard_rows(10))


@pytest.mark.parametrize(
    "inner",
    [
        LogisticRegression(max_iter=40),
        SVC(),
        LinearSVC(),
        make_pipeline(StandardScaler(), GaussianNB()),
        make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=3)),
        BaggingClassifier(GaussianNB(), 2, random_state=3),
    ],
    ids=lambda e: type(e[-1] if hasattr(e, "steps") else e).__name__,
)
def test_other_classifiers(inner):
    model = BaggingClassifier(inner, 4, max_features=3, bootstrap_features=True, random_state=0).fit(IRIS, NAMES)
    reading = check(model, IRIS, rtol=1e-12, atol=1e-14)
    assert len(check_probes(reading, IRIS, 1e-9, 1e-12)) >= (4 if hasattr(inner, "predict_proba") else 0)


def test_voters_and_means_of_scores():
    """Without predict_proba every estimator has one vote; the mean of the scores is what a calibrator around it asks for."""
    model = BaggingClassifier(LinearSVC(), 5, max_samples=0.2, random_state=0).fit(TISSUE, BENIGN)
    reading = check(model, TISSUE)
    votes = reading.answer({"X": TISSUE})["probability"] * 5
    assert (votes % 5 != 0).sum() > 0


def test_estimators_that_have_not_seen_every_class():
    model = BaggingClassifier(LinearDiscriminantAnalysis(), 6, max_samples=8, random_state=1).fit(IRIS, NAMES)
    assert any(len(inner.classes_) < 3 for inner in model.estimators_)
    check(model, IRIS, rtol=1e-12, atol=1e-14)


def test_other_regressors():
    check(BaggingRegressor(Ridge(), 4, max_features=3, random_state=0).fit(X, Y), X, rtol=1e-12)


def test_an_estimator_inside_takes_missing_values():
    model = BaggingClassifier(HistGradientBoostingClassifier(max_iter=3), 2, random_state=0).fit(HOLES, NAMES)
    check(model, HOLES, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("inner", [DecisionTreeClassifier(max_depth=3), LogisticRegression(max_iter=40), SVC()], ids=str)
def test_all_formats(inner):
    check_formats(BaggingClassifier(inner, 3, max_samples=0.5, random_state=0).fit(IRIS, NAMES), IRIS, "onnx", "pmml")


def test_refusals():
    with pytest.raises(NotFitted, match="BaggingClassifier"):
        read(BaggingClassifier(), Sample.of(IRIS))
    model = BaggingClassifier(n_estimators=3).fit(IRIS, KIND)
    model.extra_ = 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        read(model, Sample.of(IRIS))
    del model.extra_
    model.set_params(n_estimators=2)
    with pytest.raises(UnsupportedAttribute, match="n_estimators"):
        read(model, Sample.of(IRIS))
    model.set_params(n_estimators=3).estimators_[1].extra_ = 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        read(model, Sample.of(IRIS))
