"""One estimator per output, and chains in every order and by every method."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import (
    check,
    check_formats,
    check_probes,
    hard_rows,
    read,
    threshold_rows,
    tree_splits,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Label:UserWarning")

IRIS, KIND = load_iris(return_X_y=True)
NAMES = load_iris().target_names[KIND]
X, Y = (part[:200] for part in load_diabetes(return_X_y=True))
TWO = np.column_stack([Y, np.sqrt(Y)])
WIDE = IRIS[:, 1] > 3.0
MANY = np.column_stack([KIND == 0, WIDE, IRIS[:, 2] > 4.0]).astype(int)
KINDS = {
    "integers": np.column_stack([KIND, WIDE]),
    "strings": np.column_stack([NAMES, np.where(WIDE, "wide", "narrow")]),
    "floats": np.column_stack([KIND + 0.5, WIDE]),
    "one": KIND.reshape(-1, 1),
}


def tree():
    return DecisionTreeClassifier(max_depth=3, random_state=0)


@pytest.mark.parametrize(
    "inner", [LogisticRegression(max_iter=40), RandomForestClassifier(3, random_state=0), LinearSVC()], ids=str
)
@pytest.mark.parametrize("kind", ["integers", "strings", "one"])
def test_classifiers(inner, kind):
    reading = check(MultiOutputClassifier(inner).fit(IRIS, KINDS[kind]), IRIS, rtol=1e-12, atol=1e-14)
    check_probes(reading, IRIS, 1e-9, 1e-12)
    assert ("probability_0" in {o.name for o in reading.graph.outputs}) == hasattr(inner, "predict_proba")


def test_labels_of_two_kinds_become_strings_as_in_numpy():
    model = MultiOutputClassifier(tree()).fit(IRIS, KINDS["integers"])
    model.estimators_[1].fit(IRIS, KINDS["strings"][:, 1])
    model.classes_ = [estimator.classes_ for estimator in model.estimators_]
    assert model.predict(IRIS[:1]).tolist() == [["0", "wide"]]
    check(model, IRIS)


def test_columns_of_a_frame():
    towns = np.array(["Oslo", "Bergen", "Røst"])[(IRIS[:, 0] * 10).astype(int) % 3]
    frame = pd.DataFrame(IRIS, columns=["a b", "c", "d", "e"]).assign(town=towns)
    prepare = make_column_transformer((StandardScaler(), ["a b", "c"]), (OneHotEncoder(handle_unknown="ignore"), ["town"]))
    model = MultiOutputClassifier(make_pipeline(prepare, LogisticRegression())).fit(frame, KINDS["strings"])
    check(model, frame, frame.assign(town="Tromsø"), rtol=1e-12, atol=1e-14)
    check_formats(model, frame, "onnx", "pmml")


@pytest.mark.parametrize("target", [TWO, TWO[:, :1]], ids=["two", "one"])
def test_regressors(target):
    check(MultiOutputRegressor(Ridge()).fit(X, target), X, rtol=1e-12)
    model = MultiOutputRegressor(GradientBoostingRegressor(n_estimators=5, random_state=0)).fit(X, target)
    trees = [t.tree_ for e in model.estimators_ for t in e.estimators_.ravel()]
    check(model, X, threshold_rows(X, tree_splits(trees, X)), hard_rows(10))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
@pytest.mark.parametrize("order", [None, [2, 0, 1], "random"], ids=str)
def test_chains(method, order):
    model = ClassifierChain(LogisticRegression(max_iter=40), chain_method=method, order=order, random_state=1)
    check_probes(check(model.fit(IRIS, MANY), IRIS, rtol=1e-10, atol=1e-12), IRIS, 1e-9, 1e-12)


@pytest.mark.parametrize(
    ("inner", "method"),
    [
        (tree(), "predict"),
        (tree(), ["decision_function", "predict_proba"]),
        (GaussianNB(), "predict_log_proba"),
        (LinearSVC(), "decision_function"),
        (CalibratedClassifierCV(LinearSVC(), cv=2), "predict_proba"),
    ],
    ids=str,
)
@pytest.mark.parametrize("cv", [None, 3])
def test_chains_of_others(inner, method, cv):
    model = ClassifierChain(inner, chain_method=method, cv=cv, order=[1, 2, 0]).fit(IRIS, MANY)
    check(model, IRIS, rtol=1e-10, atol=1e-12)


def test_a_chain_of_several_classes_gives_labels_alone():
    """scikit-learn's predict_proba of such a chain fails."""
    reading = check(ClassifierChain(LogisticRegression(max_iter=40)).fit(IRIS, KINDS["integers"]), IRIS)
    assert [(o.name, o.dtype) for o in reading.graph.outputs] == [("label", "f64")]


@pytest.mark.parametrize("options", [{}, {"order": [1, 0]}, {"cv": 3}], ids=str)
def test_chains_of_regressors(options):
    check(RegressorChain(Ridge(), **options).fit(X, TWO), X, rtol=1e-11)
    model = RegressorChain(DecisionTreeRegressor(max_depth=4, random_state=0), **options).fit(X, TWO)
    first = [model.estimators_[0].tree_]
    check(model, X, threshold_rows(X, tree_splits(first, X)), hard_rows(10))


@pytest.mark.parametrize(
    ("model", "rows", "target"),
    [
        (MultiOutputClassifier(LogisticRegression(max_iter=40)), IRIS, KINDS["strings"]),
        (MultiOutputClassifier(LinearSVC()), IRIS, KINDS["integers"]),
        (MultiOutputRegressor(Ridge()), X, TWO),
        (ClassifierChain(tree(), chain_method="predict_proba"), IRIS, MANY),
        (RegressorChain(Ridge(), order=[1, 0]), X, TWO),
        (RandomForestClassifier(3, random_state=0), IRIS, MANY),
    ],
    ids=str,
)
def test_all_formats(model, rows, target):
    check_formats(model.fit(rows, target), rows, "onnx", "pmml")


def test_refusals():
    with pytest.raises(NotFitted, match="ClassifierChain"):
        read(ClassifierChain(GaussianNB()), Sample.of(IRIS))
    for kind in (MultiOutputClassifier, ClassifierChain):
        model = kind(GaussianNB()).fit(IRIS, MANY)
        model.extra_ = 1
        with pytest.raises(UnsupportedAttribute, match="extra_"):
            read(model, Sample.of(IRIS))
    for kind in (MultiOutputRegressor, RegressorChain):
        model = kind(Ridge()).fit(X, TWO)
        model.estimators_[1].extra_ = 1
        with pytest.raises(UnsupportedAttribute, match="extra_"):
            read(model, Sample.of(X))
    chain = ClassifierChain(KNeighborsClassifier(), chain_method="predict_proba").fit(IRIS, MANY)
    chain.chain_method_ = "predict_log_proba"
    with pytest.raises(UnsupportedAttribute, match="predict_log_proba"):
        read(chain, Sample.of(IRIS))
