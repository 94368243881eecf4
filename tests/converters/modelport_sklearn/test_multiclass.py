"""One estimator per class, per pair, per bit of a code: ties, thresholds, labels that every or no row has."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_probes, hard_rows, on_splits, read

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Label:UserWarning")

IRIS, KIND = load_iris(return_X_y=True)
NAMES = load_iris().target_names[KIND]
TISSUE, BENIGN = (part[:200] for part in load_breast_cancer(return_X_y=True))
DIGITS, DIGIT = (part[:400] for part in load_digits(return_X_y=True))
MANY = np.column_stack([KIND == 0, IRIS[:, 1] > 3.0, IRIS[:, 2] > 4.0]).astype(int)
CONSTANT = np.column_stack([MANY, np.ones_like(KIND), np.zeros_like(KIND)])

INNER = {
    "LR": LogisticRegression(max_iter=40),
    "SVC": LinearSVC(),
    "rbf": SVC(),
    "bayes": GaussianNB(),
    "ridge": Ridge(),
    "bagging": BaggingClassifier(GaussianNB(), 2, random_state=0),
}


def tree(depth=3):
    return DecisionTreeClassifier(max_depth=depth, max_features=2, random_state=0)


@pytest.mark.parametrize("kind", [OneVsRestClassifier, OneVsOneClassifier])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize(
    ("rows", "labels"), [(IRIS, NAMES), (TISSUE, BENIGN), (IRIS, KIND > 0)], ids=["strings", "integers", "booleans"]
)
def test_classes(kind, inner, rows, labels):
    reading = check(kind(INNER[inner]).fit(rows, labels), rows, rtol=1e-11, atol=1e-13)
    check_probes(reading, rows, 1e-9, 1e-12)


@pytest.mark.parametrize("kind", [OneVsRestClassifier, OneVsOneClassifier])
@pytest.mark.parametrize("inner", [tree(), tree(1), DecisionTreeRegressor(max_depth=2, random_state=0)], ids=str)
@pytest.mark.parametrize(("rows", "labels"), [(IRIS, NAMES), (DIGITS, DIGIT), (TISSUE, BENIGN)], ids=["three", "ten", "two"])
def test_trees_tie_often_and_labels_are_exact(kind, inner, rows, labels):
    model = kind(inner).fit(rows, labels)
    check(model, rows, on_splits(model, rows), hard_rows(rows.shape[1]), rtol=1e-15)


@pytest.mark.parametrize("inner", [e for e in INNER if e != "ridge"])
@pytest.mark.parametrize("size", [0.7, 1.5, 4.0])
def test_codes(inner, size):
    model = OutputCodeClassifier(INNER[inner], code_size=size, random_state=0).fit(IRIS, NAMES)
    check(model, IRIS)


@pytest.mark.parametrize("size", [0.3, 1.5])
def test_codes_of_trees(size):
    """A short code has classes with the same word: the first of them wins."""
    model = OutputCodeClassifier(tree(2), code_size=size, random_state=0).fit(DIGITS, DIGIT)
    assert (len(np.unique(model.code_book_, axis=0)) < 10) == (size < 1)
    check(model, DIGITS)


@pytest.mark.parametrize("inner", [*INNER, "tree"])
@pytest.mark.parametrize(
    "labels", [MANY, CONSTANT, CONSTANT[:, ::-1], MANY[:, :1]], ids=["three", "constant", "constant first", "one"]
)
def test_several_labels_per_row(inner, labels):
    """A label that every row has gets a constant in place of an estimator; the first estimator says where yes begins for all."""
    model = OneVsRestClassifier(INNER.get(inner, tree())).fit(IRIS, labels)
    reading = check(model, IRIS, rtol=1e-11, atol=1e-13)
    if labels.shape[1] > 1:
        assert reading.graph.types[reading.graph.outputs[0].source].shape == (labels.shape[1],)


def test_a_single_class():
    with pytest.warns(UserWarning, match="present in all"):
        model = OneVsRestClassifier(LogisticRegression()).fit(IRIS, np.repeat("all", len(IRIS)))
    check(model, IRIS)


@pytest.mark.parametrize("kind", [OneVsRestClassifier, OneVsOneClassifier, OutputCodeClassifier])
@pytest.mark.parametrize("inner", [LogisticRegression(max_iter=40), tree(2)], ids=str)
@pytest.mark.parametrize("labels", [NAMES, KIND > 0], ids=["three", "two"])
def test_all_formats(kind, inner, labels):
    check_formats(kind(inner).fit(IRIS, labels), IRIS, "onnx", "pmml")


def test_all_formats_of_several_labels():
    for labels in (MANY, CONSTANT):
        check_formats(OneVsRestClassifier(LogisticRegression(max_iter=40)).fit(IRIS, labels), IRIS, "onnx", "pmml")


def test_refusals():
    sample = Sample.of(IRIS)
    with pytest.raises(NotFitted, match="OneVsRestClassifier"):
        read(OneVsRestClassifier(GaussianNB()), sample)
    for kind in (OneVsRestClassifier, OneVsOneClassifier, OutputCodeClassifier):
        model = kind(GaussianNB()).fit(IRIS, KIND)
        model.extra_ = 1
        with pytest.raises(UnsupportedAttribute, match="extra_"):
            read(model, sample)
    kernel = IRIS @ IRIS.T
    with pytest.raises(UnsupportedAttribute, match="pairwise_indices_"):
        read(OneVsOneClassifier(SVC(kernel="precomputed")).fit(kernel, KIND), Sample.of(kernel))
