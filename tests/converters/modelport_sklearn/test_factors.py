"""NMF, MiniBatchNMF, LatentDirichletAllocation, DictionaryLearning, SparseCoder: rows as the original answers each alone."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import (
    NMF,
    DictionaryLearning,
    LatentDirichletAllocation,
    MiniBatchDictionaryLearning,
    MiniBatchNMF,
    SparseCoder,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import modelport
from modelport.errors import InputError, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, feeds_of, read

X = load_wine().data
DIGITS = load_digits().data[:200]
FEW = np.concatenate([DIGITS[:30], np.zeros((1, 64)), DIGITS[:2] * 1e-6, DIGITS[:2] + 100])
CENTRED = (X - X.mean(axis=0)) / X.std(axis=0)
CLOSE = {"rtol": 1e-10, "atol": 1e-11}
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    "options",
    [{}, {"alpha_W": 0.01}, {"alpha_W": 0.02, "l1_ratio": 0.5}, {"tol": 0, "max_iter": 30}, {"max_iter": 5}],
    ids=str,
)
def test_nmf_by_coordinate_descent(options):
    options = {"max_iter": 60, **options}
    check(NMF(5, random_state=0, init="nndsvda", **options).fit(DIGITS), FEW, **CLOSE)


@pytest.mark.parametrize("beta", ["frobenius", "kullback-leibler", 1.5, 0.5, 3])
@pytest.mark.parametrize("options", [{}, {"alpha_W": 0.01, "l1_ratio": 0.5}], ids=str)
def test_nmf_by_multiplicative_updates(beta, options):
    model = NMF(4, solver="mu", beta_loss=beta, max_iter=30, random_state=0, init="nndsvda", **options).fit(DIGITS)
    check(model, FEW[:30], **CLOSE)


def test_itakura_saito():
    rows = X / X.max(axis=0)
    model = NMF(3, solver="mu", beta_loss="itakura-saito", max_iter=30, random_state=0, init="nndsvda").fit(rows)
    reading = check(model, rows[:30], **CLOSE)
    with pytest.raises(InputError):
        Evaluator(reading.graph).run(feeds_of(reading, np.zeros((1, 13))))


@pytest.mark.parametrize("beta", ["frobenius", "kullback-leibler"])
def test_mini_batch_nmf(beta):
    check(MiniBatchNMF(4, beta_loss=beta, max_iter=10, random_state=0).fit(DIGITS), FEW[:30], **CLOSE)
    check(
        MiniBatchNMF(4, beta_loss=beta, transform_max_iter=3, alpha_W=0.01, max_iter=5, random_state=0).fit(DIGITS),
        FEW[:30],
        **CLOSE,
    )


def test_negative_rows_are_refused():
    reading = read(NMF(3, max_iter=20).fit(X), Sample.of(X))
    with pytest.raises(InputError):
        Evaluator(reading.graph).run(feeds_of(reading, -X[:1]))


def test_random_orders_are_refused():
    with pytest.raises(UnsupportedAttribute, match="shuffle"):
        read(NMF(3, shuffle=True, max_iter=20).fit(X), Sample.of(X))


@pytest.mark.parametrize(
    "options", [{}, {"doc_topic_prior": 0.9}, {"max_doc_update_iter": 3}, {"mean_change_tol": 1e-8}], ids=str
)
def test_latent_dirichlet_allocation(options):
    check(LatentDirichletAllocation(5, max_iter=3, random_state=0, **options).fit(DIGITS), FEW, **CLOSE)


def test_topics_of_texts():
    docs = ["dogs and cats", "cats and mice", "planes and trains", "trains and cars and planes"] * 5
    model = make_pipeline(CountVectorizer(), LatentDirichletAllocation(2, max_iter=3, random_state=0))
    assert modelport.convert(model.fit(docs), "json", sample=docs).report.passed


ALGORITHMS = [
    {"transform_algorithm": "omp"},
    {"transform_algorithm": "omp", "transform_n_nonzero_coefs": 3},
    {"transform_algorithm": "lasso_cd", "transform_alpha": 0.1},
    {"transform_algorithm": "lasso_cd", "transform_alpha": 0.5, "positive_code": True},
    {"transform_algorithm": "lasso_cd", "transform_alpha": 0.1, "transform_max_iter": 3},
    {"transform_algorithm": "threshold", "transform_alpha": 0.7},
    {"transform_algorithm": "threshold", "positive_code": True, "split_sign": True},
    {"transform_algorithm": "omp", "split_sign": True},
]


@pytest.mark.parametrize("options", ALGORITHMS, ids=str)
@pytest.mark.parametrize("kind", [DictionaryLearning, MiniBatchDictionaryLearning])
def test_dictionaries(kind, options):
    model = kind(6, max_iter=3, random_state=0, fit_algorithm="cd", **options).fit(CENTRED)
    check(model, CENTRED[:40], np.zeros((1, 13)), **CLOSE)


@pytest.mark.parametrize("options", ALGORITHMS, ids=str)
def test_sparse_coder(options):
    atoms = CENTRED[:7] / np.linalg.norm(CENTRED[:7], axis=1, keepdims=True)
    check(SparseCoder(atoms, **options).fit(CENTRED), CENTRED[:40], **CLOSE)


@pytest.mark.parametrize("algorithm", ["lars", "lasso_lars"])
def test_least_angles_are_refused(algorithm):
    model = DictionaryLearning(3, transform_algorithm=algorithm, max_iter=2).fit(CENTRED)
    with pytest.raises(UnsupportedAttribute, match="transform_algorithm"):
        read(model, Sample.of(CENTRED))


def test_artifacts_prove_themselves():
    y = load_wine().target
    for model in (
        make_pipeline(MinMaxScaler(clip=True), NMF(3, max_iter=50, random_state=0), LogisticRegression()),
        make_pipeline(MinMaxScaler(clip=True), LatentDirichletAllocation(3, max_iter=2, random_state=0), LogisticRegression()),
        make_pipeline(DictionaryLearning(4, max_iter=2, random_state=0), LogisticRegression()),
    ):
        rows = CENTRED if isinstance(model[0], DictionaryLearning) else X
        assert modelport.convert(model.fit(rows, y), "json", sample=rows).report.passed


@pytest.mark.parametrize(
    "model", [NMF(2, max_iter=9), MiniBatchNMF(2, max_iter=3), LatentDirichletAllocation(2, max_iter=1)], ids=str
)
def test_what_is_not_known_is_refused(model):
    model = model.fit(X)
    model.extra_ = 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        read(model, Sample.of(X))


def test_rows_of_which_mini_batches_make_nan_are_refused():
    model = MiniBatchNMF(2, random_state=0).fit(np.abs(CENTRED[:, :4]))
    predictor = modelport.load(modelport.convert(model, "json", sample=np.abs(CENTRED[:, :4])))
    with pytest.raises(ValueError, match="NaN"):
        model.transform([[-1e6, 0.5, 1.0, 1.0]])
    with pytest.raises(InputError):
        predictor.predict([[-1e6, 0.5, 1.0, 1.0]])
