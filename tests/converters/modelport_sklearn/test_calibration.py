"""CalibratedClassifierCV: every method over every kind of score, ensembles, pipelines, classes a classifier does not know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from modelport_sklearn.builder import Builder
from modelport_sklearn.handlers.calibration import steep
from modelport_sklearn.handlers.sums import row_sum
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.graph import Input
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_probes, read, threshold_rows, tree_splits

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Label:UserWarning")

IRIS, KIND = load_iris(return_X_y=True)
NAMES = load_iris().target_names[KIND]
TISSUE, BENIGN = (part[:240, :6] if part.ndim == 2 else part[:240] for part in load_breast_cancer(return_X_y=True))
DIGITS, DIGIT = (part[:400] for part in load_digits(return_X_y=True))
FRAME = pd.DataFrame(IRIS, columns=["a b", "c", "d", "e"]).assign(
    town=np.array(["Oslo", "Bergen", "Røst"])[(IRIS[:, 0] * 10).astype(int) % 3]
)

CLASSIFIERS = {
    "LR": LogisticRegression(max_iter=40),
    "SVC": SVC(),
    "forest": RandomForestClassifier(5, random_state=0),
    "bayes": GaussianNB(),
    "SGD": SGDClassifier(random_state=0),
    "LR in a pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "SVC in a pipeline": make_pipeline(StandardScaler(), SVC()),
    "bagging": BaggingClassifier(LinearSVC(), 2, random_state=0),
}


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("inner", CLASSIFIERS)
@pytest.mark.parametrize(("rows", "labels"), [(IRIS, NAMES), (TISSUE, BENIGN > 0)], ids=["three", "two"])
def test_classifiers(method, ensemble, inner, rows, labels):
    model = CalibratedClassifierCV(CLASSIFIERS[inner], method=method, ensemble=ensemble, cv=2).fit(rows, labels)
    check(model, rows, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("rows", "labels"), [(IRIS, NAMES), (TISSUE, BENIGN), (DIGITS, DIGIT)], ids=["three", "two", "ten"])
def test_curves_of_trees_are_exact_where_classes_tie(rows, labels):
    """Isotonic curves have plateaus, so classes tie often; the sum of ten shares goes in NumPy's own order."""
    model = CalibratedClassifierCV(DecisionTreeClassifier(max_depth=4, random_state=0), method="isotonic", cv=3)
    model.fit(rows, labels)
    trees = [pair.estimator.tree_ for pair in model.calibrated_classifiers_]
    check(model, rows, threshold_rows(rows, tree_splits(trees, rows)), rtol=1e-15, atol=1e-300)


@pytest.mark.parametrize("width", [1, 3, 7, 8, 9, 16, 23, 127, 128, 129, 300])
def test_sums_in_the_order_of_numpy(width):
    rows = np.random.default_rng(0).uniform(0, 1, (300, width)) ** 8
    builder = Builder([Input("X", "f64", (width,))])
    total = row_sum(builder, "X", "total")
    graph = builder.graph([builder.output("total", total, "transform")])
    np.testing.assert_array_equal(Evaluator(graph).run({"X": rows})["total"][:, 0], rows.sum(axis=1))


def test_rows_on_a_steep_curve_are_in_doubt_when_the_score_is_rounded():
    knots, heights = np.array([-1.0, 0.5, 0.5 + 1e-12, 2.0]), np.array([0.0, 0.25, 0.75, 1.0])
    scores = np.array([-3.0, -1.0, 0.0, 0.5, 0.5 + 5e-13, 0.51, 2.0, np.nan])
    assert steep(scores, knots, heights).tolist() == [False, False, False, True, True, False, False, True]
    linear = CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=2).fit(IRIS, NAMES)
    assert read(linear, Sample.of(IRIS)).doubts
    trees = CalibratedClassifierCV(DecisionTreeClassifier(), method="isotonic", cv=2).fit(IRIS, NAMES)
    assert not read(trees, Sample.of(IRIS)).doubts


def test_a_classifier_fitted_before():
    model = CalibratedClassifierCV(FrozenEstimator(LogisticRegression(max_iter=40).fit(IRIS, NAMES))).fit(IRIS, NAMES)
    assert check_probes(check(model, IRIS, rtol=1e-11, atol=1e-13), IRIS, 1e-9, 1e-12)


def test_a_classifier_that_does_not_know_every_class():
    some = KIND > 0
    inner = FrozenEstimator(GaussianNB().fit(np.concatenate([IRIS[some], IRIS[some] + 9]), np.repeat([1, 2, 3, 4], 50)))
    labels = np.where(KIND == 0, 0, KIND)
    labels[:8], labels[8:16] = 3, 4
    check(CalibratedClassifierCV(inner, method="sigmoid").fit(IRIS, labels), IRIS, rtol=1e-11, atol=1e-13)


def test_columns_of_a_frame():
    prepare = make_column_transformer((StandardScaler(), ["a b", "c"]), (OneHotEncoder(handle_unknown="ignore"), ["town"]))
    model = CalibratedClassifierCV(make_pipeline(prepare, LinearSVC()), cv=2).fit(FRAME, NAMES)
    check(model, FRAME, FRAME.assign(town="Tromsø"), rtol=1e-11, atol=1e-13)
    check_formats(model, FRAME, "onnx", "pmml")


def test_jobs_inside_are_set_to_one_and_back():
    model = CalibratedClassifierCV(RandomForestClassifier(5, n_jobs=2, random_state=0), cv=2).fit(IRIS, NAMES)
    check(model, IRIS, rtol=1e-12)
    assert {pair.estimator.n_jobs for pair in model.calibrated_classifiers_} == {2}


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("inner", ["forest", "SVC in a pipeline"])
@pytest.mark.parametrize(("rows", "labels"), [(IRIS, NAMES), (TISSUE, BENIGN)], ids=["three", "two"])
def test_all_formats(method, inner, rows, labels):
    check_formats(CalibratedClassifierCV(CLASSIFIERS[inner], method=method, cv=2).fit(rows, labels), rows, "onnx", "pmml")


def test_refusals():
    with pytest.raises(NotFitted, match="CalibratedClassifierCV"):
        read(CalibratedClassifierCV(), Sample.of(IRIS))
    model = CalibratedClassifierCV(GaussianNB(), cv=2).fit(IRIS, KIND)
    pair = model.calibrated_classifiers_[1]
    pair.method = "beta"
    with pytest.raises(UnsupportedAttribute, match="beta"):
        read(model, Sample.of(IRIS))
    pair.method, pair.extra_ = "sigmoid", 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        read(model, Sample.of(IRIS))
    del pair.extra_
    pair.calibrators[0].extra_ = 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        read(model, Sample.of(IRIS))


def test_temperature_of_probabilities_near_one_states_what_it_can_answer():
    """1 - p + 1e-12 keeps four digits of a p near 1; a small temperature shows them."""
    cells, kind = load_breast_cancer(return_X_y=True)
    model = CalibratedClassifierCV(GaussianNB(), cv=2, method="temperature").fit(cells, kind)
    reading = read(model, Sample.of(cells))
    stated = reading.tolerance["probability"].atol
    assert 1e-12 < stated <= 1e-5
    check(model, cells, atol=stated)
    check_formats(model, cells, "json")
    certain = CalibratedClassifierCV(RandomForestClassifier(5, random_state=0), cv=2, method="temperature").fit(cells, kind)
    assert not read(certain, Sample.of(cells)).tolerance
