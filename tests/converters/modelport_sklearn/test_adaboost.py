"""AdaBoost: weighted votes and the weighted median, exact over trees."""

from __future__ import annotations

import numpy as np
import pytest
from modelport_sklearn.builder import Builder
from modelport_sklearn.handlers import adaboost
from modelport_sklearn.handlers.adaboost import weighted_median
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.graph import Input
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_probes, hard_rows, on_splits, read

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Label:UserWarning")

IRIS, KIND = load_iris(return_X_y=True)
NAMES = load_iris().target_names[KIND]
X, Y = (part[:200] for part in load_diabetes(return_X_y=True))
TISSUE, BENIGN = (part[:200] for part in load_breast_cancer(return_X_y=True))
DIGITS, DIGIT = (part[:300] for part in load_digits(return_X_y=True))


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("labels", [KIND, NAMES, KIND > 0, NAMES == "setosa", KIND + 0.0], ids=str)
def test_trees(depth, labels):
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=depth), n_estimators=9, learning_rate=0.7, random_state=0)
    model.fit(IRIS, labels)
    reading = check(model, IRIS, on_splits(model, IRIS), hard_rows(4), rtol=1e-14)
    assert [step.op for step in reading.graph.steps].count("tree_ensemble") == 1
    assert check_probes(reading, IRIS)  # decision_function, in every bit


def test_many_classes():
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=12, random_state=0).fit(DIGITS, DIGIT)
    check(model, DIGITS, on_splits(model, DIGITS), rtol=1e-14)


@pytest.mark.parametrize("inner", [LogisticRegression(max_iter=40), GaussianNB()], ids=str)
@pytest.mark.parametrize(("rows", "labels"), [(IRIS, NAMES), (TISSUE, BENIGN)], ids=["three", "two"])
def test_other_classifiers(inner, rows, labels):
    check(AdaBoostClassifier(inner, n_estimators=4, random_state=0).fit(rows, labels), rows, rtol=1e-13)


def test_a_single_class():
    check(AdaBoostClassifier(n_estimators=3).fit(IRIS[:20], NAMES[:20]), IRIS)


@pytest.mark.parametrize("loss", ["linear", "square", "exponential"])
@pytest.mark.parametrize("depth", [1, 3, None])
def test_regressing_trees_are_exact(loss, depth):
    inner = DecisionTreeRegressor(max_depth=depth)
    model = AdaBoostRegressor(inner, n_estimators=10, loss=loss, random_state=0).fit(X, Y)
    check(model, X, on_splits(model, X), hard_rows(10))


@pytest.mark.parametrize("rounds", [1, 2, 7])
def test_other_regressors(rounds):
    check(AdaBoostRegressor(Ridge(), n_estimators=rounds, random_state=0).fit(X, Y), X, rtol=1e-12)


@pytest.mark.parametrize(
    "weights", [[1.0] * 4, [1.0] * 5, [0.1] * 10, [1.0, 3.0], [3.0, 1.0, 1.0], [0.2, 0.3, 0.5], [2.0, 0.25, 0.125, 1.0]], ids=str
)
def test_weighted_median_is_that_of_scikit_learn(weights):
    """Equal values, equal weights, and weights of which some make exactly half."""

    class Given:
        def __init__(self, column):
            self.column = column

        def predict(self, rows):
            return rows[:, self.column]

    k = len(weights)
    model = AdaBoostRegressor()
    model.estimators_, model.estimator_weights_ = [Given(j) for j in range(k)], np.array(weights)
    rows = np.random.default_rng(0).integers(-2, 3, (400, k)).astype(np.float64)
    builder = Builder([Input("X", "f64", (k,))])
    graph = builder.graph([builder.output("prediction", weighted_median(builder, "X", weights), "prediction")])
    np.testing.assert_array_equal(Evaluator(graph).run({"X": rows})["prediction"], model._get_median_predict(rows, k))


@pytest.mark.parametrize("inner", [DecisionTreeClassifier(max_depth=2), LogisticRegression(max_iter=40)], ids=str)
@pytest.mark.parametrize(("rows", "labels"), [(IRIS, NAMES), (IRIS, KIND > 0)], ids=["three", "two"])
def test_all_formats(inner, rows, labels):
    check_formats(AdaBoostClassifier(inner, n_estimators=4, random_state=0).fit(rows, labels), rows, "onnx", "pmml")


def test_all_formats_of_the_regressor():
    check_formats(AdaBoostRegressor(n_estimators=6, random_state=0).fit(X, Y), X, "onnx", "pmml")


@pytest.mark.parametrize("inner", ["trees", "others"])
@pytest.mark.parametrize("labels", [NAMES, KIND > 0], ids=["three", "two"])
def test_sums_of_log_probabilities_of_older_versions(inner, labels, monkeypatch):
    """SAMME.R, as scikit-learn 1.3 to 1.5 compute it; newer versions no longer do, so that the formula stands here."""
    monkeypatch.setattr(adaboost, "sklearn_version", lambda: (1, 5))
    estimator = DecisionTreeClassifier(max_depth=2) if inner == "trees" else GaussianNB()
    model = AdaBoostClassifier(estimator, n_estimators=4, random_state=0).fit(IRIS, labels)
    model.algorithm, model.estimator_weights_ = "SAMME.R", np.ones(4)
    n = len(model.classes_)
    logs = [np.log(np.clip(e.predict_proba(IRIS), np.finfo(float).eps, None)) for e in model.estimators_]
    decision = sum((n - 1) * (log - (1.0 / n) * log.sum(axis=1)[:, np.newaxis]) for log in logs) / 4
    expected = decision if n > 2 else decision[:, 1] - decision[:, 0]
    shares = softmax(decision / (n - 1) if n > 2 else np.column_stack([-expected, expected]) / 2, axis=1)
    graph = read(model, Sample.of(IRIS)).graph
    got = Evaluator(graph).run({"X": IRIS})
    np.testing.assert_allclose(got["probability"], shares, rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(got["label"], model.classes_[shares.argmax(axis=1)].astype(got["label"].dtype))


def test_refusals():
    with pytest.raises(NotFitted, match="AdaBoostClassifier"):
        read(AdaBoostClassifier(), Sample.of(IRIS))
    model = AdaBoostClassifier(n_estimators=3).fit(IRIS, KIND)
    model.algorithm = "SAMME.R"
    with pytest.raises(UnsupportedAttribute, match="SAMME"):
        read(model, Sample.of(IRIS))
    model.algorithm = "SAMME"
    check(model, IRIS, rtol=1e-14)
    model.extra_ = 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        read(model, Sample.of(IRIS))
