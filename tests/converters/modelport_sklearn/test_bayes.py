"""Naive Bayes: probabilities within 1e-12, labels without a flip, and rows refused that scikit-learn refuses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder

from modelport import doubts
from modelport.errors import InputError, UnsupportedAttribute
from modelport.reading import Reading
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import around, check, check_formats, check_probes, check_unknown_and_unfitted, read

pytestmark = pytest.mark.filterwarnings("ignore")

IRIS, KIND = load_iris(return_X_y=True)
CODES = IRIS.round()
NAMES = np.array(["setosa", "versicolor", "virginica"])
CLOSE = {"rtol": 1e-12, "atol": 1e-12}
LABELS = {"three": NAMES[KIND], "two": KIND > 0, "one": np.zeros(150, dtype=int), "floats": KIND.astype(float)}

MODELS = [
    GaussianNB(),
    GaussianNB(priors=[0.5, 0.25, 0.25], var_smoothing=0.1),
    MultinomialNB(),
    MultinomialNB(alpha=[0.1, 0.5, 1.0, 2.0], fit_prior=False),
    MultinomialNB(class_prior=[0.2, 0.2, 0.6]),
    ComplementNB(),
    ComplementNB(norm=True, alpha=0.3),
    BernoulliNB(),
    BernoulliNB(binarize=2.5, alpha=0.1),
    BernoulliNB(binarize=None),
    CategoricalNB(),
    CategoricalNB(min_categories=12, alpha=0.2, fit_prior=False),
    CategoricalNB(min_categories=[9, 8, 10, 5]),
]


def rows_of(model: object) -> np.ndarray:
    return CODES if isinstance(model, CategoricalNB) else (IRIS > 2).astype(float) if _plain_bernoulli(model) else IRIS


def _plain_bernoulli(model: object) -> bool:
    return isinstance(model, BernoulliNB) and model.binarize is None


def _labels_of(model: object) -> list[str]:
    """A prior that is given names three classes."""
    given = getattr(model, "priors", None) or getattr(model, "class_prior", None)
    return ["three", "floats"] if given else list(LABELS)


@pytest.mark.parametrize(("model", "labels"), [(model, labels) for model in MODELS for labels in _labels_of(model)], ids=str)
def test_classes_and_probabilities(model, labels):
    rows = rows_of(model)
    reading = check(model.fit(rows, LABELS[labels]), rows, rows[::-1] + 1.0 if rows is IRIS else rows, **CLOSE)
    assert [o.name for o in reading.graph.outputs] == ["label", "probability"]
    assert check_probes(reading, rows, **CLOSE)


@pytest.mark.parametrize("model", [GaussianNB(), MultinomialNB(), ComplementNB(), BernoulliNB(binarize=1.0)], ids=str)
def test_rows_far_away(model):
    far = np.concatenate([np.zeros((1, 4)), -np.zeros((1, 4)), np.eye(4) * 1e6, IRIS[:4] * 1e4, np.eye(4) * 5e-324])
    check(model.fit(IRIS, KIND), IRIS, far, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("model", MODELS[::3], ids=str)
def test_every_format(model):
    rows = rows_of(model)
    formats = ("onnx",) if isinstance(model, CategoricalNB) else ("onnx", "pmml")
    check_formats(model.fit(rows, NAMES[KIND]), rows, *formats)


def test_a_cell_at_the_bound_of_bernoulli():
    model = BernoulliNB(binarize=1.5).fit(IRIS, KIND)
    rows = np.repeat(IRIS[:1], len(around(1.5)), axis=0)
    rows[:, 2] = around(1.5)
    check(model, IRIS, rows, **CLOSE)


def test_categorical_truncates_cells():
    model = CategoricalNB().fit(CODES, KIND)
    rows = np.repeat(CODES[:1], 5, axis=0)
    rows[:, 3] = [-0.5, -0.0, 0.999, np.nextafter(1.0, 0.0), 1.5]
    check(model, CODES, rows, **CLOSE)


@pytest.mark.parametrize("cell", [3.0, 1e30, -1.0, -1e30])
def test_categorical_refuses_what_it_never_counted(cell):
    model = CategoricalNB().fit(CODES, KIND)
    row = CODES[:1].copy()
    row[0, 3] = cell
    with pytest.raises((IndexError, ValueError)):
        model.predict(row)
    with pytest.raises(InputError):
        Evaluator(read(model, Sample.of(CODES)).graph).run({"X": row})


def test_categorical_with_impossible_categories():
    rows, labels = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1], [2, 1]]), np.array([0, 0, 1, 1, 1])
    model = CategoricalNB(alpha=0, force_alpha=True).fit(rows, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isneginf(model.feature_log_prob_[0]).any()
    check(model, rows, **CLOSE)


def test_impossible_counts_of_dense_rows():
    rows = np.array([[1.0, 0, 2], [2, 0, 1], [1, 3, 0], [2, 1, 0]])
    model = MultinomialNB(alpha=0, force_alpha=True).fit(rows, [0, 0, 1, 1])
    check(model, rows + 1, **CLOSE)


def test_impossible_counts_of_sparse_rows_are_refused():
    codes = np.array([[0.0], [1.0], [2.0], [0.0]])
    model = make_pipeline(OneHotEncoder(), MultinomialNB(alpha=0, force_alpha=True)).fit(codes, [0, 0, 1, 0])
    with pytest.raises(UnsupportedAttribute, match="alpha above 0") as caught:
        read(model, Sample.of(codes))
    assert caught.value.attribute == "feature_log_prob_"


@pytest.mark.parametrize("model", [MultinomialNB(), BernoulliNB(), ComplementNB()], ids=str)
def test_behind_an_encoder_of_sparse_rows(model):
    pipeline = make_pipeline(KBinsDiscretizer(4), model).fit(IRIS, KIND)
    check(pipeline, IRIS, **CLOSE)


def test_categories_from_an_encoder():
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    pipeline = make_pipeline(encoder, CategoricalNB()).fit(CODES, KIND)
    check(pipeline, CODES, **CLOSE)
    with pytest.raises(InputError):
        Evaluator(read(pipeline, Sample.of(CODES)).graph).run({"X": CODES[:1] + 50})


def test_a_class_that_was_never_seen():
    model = MultinomialNB().partial_fit(IRIS[KIND < 2], KIND[KIND < 2], classes=[0, 1, 2])
    assert np.isneginf(model.class_log_prior_[2])
    check(model, IRIS, **CLOSE)
    check(GaussianNB(priors=[0.5, 0.5, 0.0]).fit(IRIS, KIND), IRIS, **CLOSE)


def test_partial_fit():
    model = GaussianNB()
    for start in range(0, 150, 50):
        model.partial_fit(IRIS[start : start + 50], KIND[start : start + 50], classes=[0, 1, 2])
    check(model, IRIS, **CLOSE)


@pytest.mark.parametrize("model", [GaussianNB(), MultinomialNB(), ComplementNB(), BernoulliNB(), CategoricalNB()], ids=str)
def test_unknown_attribute_and_unfitted_are_refused(model):
    check_unknown_and_unfitted(model.fit(CODES, KIND), CODES)


@pytest.mark.parametrize("priors", [None, [0.0, 0.25, 0.75]])
def test_gaussian_fitted_on_float32_rows(priors):
    """The constant of each class is then a float32 in scikit-learn."""
    model = GaussianNB(priors=priors).fit(IRIS.astype(np.float32), KIND)
    assert model.var_.dtype == np.float32
    check(model, IRIS, IRIS * 1.1, **CLOSE)


@pytest.mark.parametrize("columns", [2, 11])
def test_gaussian_with_a_column_that_never_varied(columns):
    """Rows that differ in it have a density of e^-1e9, whose last bits tell the classes apart: they prove nothing."""
    rng = np.random.default_rng(columns)
    rows, labels = rng.normal(size=(240, columns)), rng.choice(NAMES, 240)
    rows[:, -1] = 1.0
    model = GaussianNB().fit(rows, labels)
    check(model, rows, rows * [*[1.5] * (columns - 1), 1.0], **CLOSE)
    check_formats(model, rows, "json", "onnx", "pmml")
    moved = np.where(np.arange(columns) == columns - 1, 0.0, rows)
    reading = read(model, Sample.of(rows))
    assert in_doubt(reading, moved).all()
    assert not in_doubt(reading, rows).any()


def in_doubt(reading: Reading, rows: np.ndarray) -> np.ndarray:
    return doubts.in_doubt(reading.graph, reading.doubts, {"X": rows})
