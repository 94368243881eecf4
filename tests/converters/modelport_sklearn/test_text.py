"""Vectorizers of texts: every analyzer and option, on texts in many scripts, and in pipelines."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from modelport_sklearn.handlers.token_patterns import token_rule
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC

import modelport
from modelport.errors import InputError, UnsupportedAttribute
from modelport.sample import Sample
from modelport.texts import SPECIAL
from tests.converters.modelport_sklearn.common import called, check, check_rows, read

DOCS = [
    "The quick brown fox jumps over the lazy dog",
    "A naïve café, l'été à Paris: déjà-vu!",
    "ΟΔΥΣΣΕΥΣ και ο ΣΙΣΥΦΟΣ",
    "İstanbul'da IĞDIR ve ısırgan",
    "Straße STRASSE straße",
    "quick quick foxes_and dogs 42 times 3rd",
    "한국어 텍스트 漢字 かな",
    "the and of a I",
    "emoji 👍🏽 and ❤️ hearts",
    "don't panic, don't panic",
] * 2
Y = np.array([0, 1, 1, 0, 1, 0, 1, 0, 1, 0] * 2)


def feeds(texts):
    return {"text": np.array(texts, dtype=object)}


def check_texts(model, rtol: float = 0.0, atol: float = 0.0):
    reading = read(model, Sample.of(DOCS))
    check_rows(reading, feeds([*DOCS, *SPECIAL, " ".join(SPECIAL)]), rtol, atol)
    return reading


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lowercase": False},
        {"strip_accents": "unicode"},
        {"strip_accents": "ascii"},
        {"strip_accents": "unicode", "lowercase": False},
        {"strip_accents": "ascii", "lowercase": False},
        {"stop_words": "english"},
        {"stop_words": ["quick", "the", "der"], "ngram_range": (1, 3)},
        {"ngram_range": (2, 2)},
        {"ngram_range": (2, 4), "max_features": 20},
        {"binary": True, "min_df": 3},
        {"token_pattern": r"(?u)\b\w+\b"},
        {"token_pattern": r"\S+"},
        {"token_pattern": r"[a-zA-Z]{3,}"},
        {"token_pattern": r"(?a)\w\w+"},
        {"token_pattern": r"(\w{2,})"},
        {"tokenizer": str.split, "token_pattern": None},
        {"analyzer": str.split},
        {"analyzer": "char"},
        {"analyzer": "char", "ngram_range": (1, 4), "strip_accents": "unicode"},
        {"analyzer": "char", "ngram_range": (3, 3), "lowercase": False},
        {"analyzer": "char_wb", "ngram_range": (2, 5)},
        {"analyzer": "char_wb", "ngram_range": (1, 2), "strip_accents": "ascii"},
        {"vocabulary": ["quick", "fox", "never", "the lazy"], "ngram_range": (1, 2)},
        {"vocabulary": {"dog": 1, "fox": 0}},
        {"dtype": np.float64},
    ],
    ids=called,
)
@pytest.mark.filterwarnings("ignore")
def test_counts(options):
    check_texts(CountVectorizer(**options).fit(DOCS))


@pytest.mark.parametrize("norm", ["l1", "l2", None])
@pytest.mark.parametrize(
    "options", [{}, {"sublinear_tf": True}, {"use_idf": False}, {"smooth_idf": False, "sublinear_tf": True}], ids=called
)
def test_tfidf(norm, options):
    check_texts(TfidfVectorizer(norm=norm, **options).fit(DOCS), rtol=4e-15)
    check_texts(make_pipeline(CountVectorizer(ngram_range=(1, 2)), TfidfTransformer(norm=norm, **options)).fit(DOCS), rtol=4e-15)


@pytest.mark.parametrize("norm", ["l1", "l2", None])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alternate_sign": False},
        {"binary": True},
        {"analyzer": "char_wb", "ngram_range": (2, 3)},
        {"ngram_range": (1, 2), "n_features": 3},
    ],
    ids=called,
)
def test_hashing(norm, options):
    options = {"n_features": 64, **options}
    check_texts(HashingVectorizer(norm=norm, **options).fit(DOCS), rtol=4e-15)


@pytest.mark.parametrize(
    "final",
    [
        LogisticRegression(),
        LinearSVC(),
        MultinomialNB(),
        SGDClassifier(random_state=0),
        SGDClassifier("log_loss", random_state=0),
    ],
    ids=called,
)
def test_classifiers_behind_a_vectorizer(final):
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), final).fit(DOCS, Y)
    artifact = modelport.convert(model, "json", sample=DOCS)
    assert artifact.report.passed
    assert artifact.report.row_kinds["text"] > 5  # without ties
    answers = modelport.load(artifact).predict(DOCS)
    assert answers["label"].tolist() == model.predict(DOCS).tolist()


def test_longer_pipelines():
    union = FeatureUnion([("words", TfidfVectorizer()), ("chars", TfidfVectorizer(analyzer="char", ngram_range=(2, 3)))])
    hashing = HashingVectorizer(n_features=256, norm=None, alternate_sign=False)
    for model in (
        make_pipeline(union, TruncatedSVD(4, random_state=0), StandardScaler(), LogisticRegression()),
        make_pipeline(hashing, TfidfTransformer(), Normalizer("l1"), LinearSVC()),
        CalibratedClassifierCV(make_pipeline(CountVectorizer(), MultinomialNB()), cv=2),
    ):
        assert modelport.convert(model.fit(DOCS, Y), "json", sample=DOCS).report.passed


def test_a_column_of_texts_in_a_frame():
    frame = pd.DataFrame({"age": np.arange(len(DOCS)) * 1.5, "note": DOCS, "title": DOCS[::-1]})
    columns = [
        ("t", TfidfVectorizer(), "note"),
        ("h", CountVectorizer(analyzer="char"), "title"),
        ("n", StandardScaler(), ["age"]),
    ]
    model = make_pipeline(ColumnTransformer(columns), LogisticRegression(max_iter=500)).fit(frame, Y)
    artifact = modelport.convert(model, "json", sample=frame)
    assert artifact.report.passed
    predictor = modelport.load(artifact)
    assert [v.name for v in predictor.inputs] == ["age", "note", "title"]
    assert {v.missing for v in predictor.inputs} == {"error"}
    np.testing.assert_allclose(predictor.predict(frame)["probability"], model.predict_proba(frame), rtol=1e-12)


def test_no_text_of_the_sample_is_carried():
    secret = [f"{text} top secret number {i}" for i, text in enumerate(DOCS)]
    for vectorizer in (TfidfVectorizer(), HashingVectorizer(n_features=32)):
        artifact = modelport.convert(make_pipeline(vectorizer, LogisticRegression()).fit(secret, Y), "json", sample=secret)
        carried = artifact.load().vectors.inputs["text"].tolist()
        assert not set(carried) & set(secret)
        assert len(set(carried)) > 30


def test_a_frame_of_one_column_is_as_good_as_a_list():
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(DOCS, Y)
    artifact = modelport.convert(model, "json", sample=pd.DataFrame({"review": DOCS}))
    assert artifact.report.passed
    assert [v.name for v in modelport.load(artifact).inputs] == ["review"]
    with pytest.raises(InputError, match="one text"):
        modelport.convert(model, "json", sample=pd.DataFrame({"review": DOCS, "other": DOCS}))


def identity(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"tokenizer": identity}, "tokenizer"),
        ({"preprocessor": identity}, "preprocessor"),
        ({"analyzer": identity}, "analyzer"),
        ({"token_pattern": r"\b[a-z]+\b"}, "token_pattern"),
        ({"token_pattern": r"[a-z]\w+"}, "token_pattern"),
        ({"token_pattern": r"(?i)[a-z]+"}, "token_pattern"),
        ({"token_pattern": r"\w{2,5}"}, "token_pattern"),
        ({"token_pattern": r"\w+?"}, "token_pattern"),
        ({"token_pattern": r"(?<!x)\w+"}, "token_pattern"),
    ],
    ids=called,
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_exported_is_refused(options, name):
    with pytest.raises(UnsupportedAttribute) as refusal:
        read(CountVectorizer(**options).fit(DOCS), Sample.of(DOCS))
    assert refusal.value.attribute == name


def test_other_precisions_and_attributes_are_refused():
    with pytest.raises(UnsupportedAttribute, match="dtype"):
        read(TfidfVectorizer(dtype=np.float32).fit(DOCS), Sample.of(DOCS))
    model = CountVectorizer().fit(DOCS)
    model.boost_ = 2
    with pytest.raises(UnsupportedAttribute, match="boost_"):
        read(model, Sample.of(DOCS))


PATTERNS = [r"(?u)\b\w\w+\b", r"\w+", r"\b(\w+)\b", r"\S+", r"\S\S\S+", r"[a-zA-Z]+", r"[^\s,.]+", r"[^\W\d_]{2,}", r"\d+"]


@pytest.mark.parametrize("pattern", [*PATTERNS, r"(?a)\b\w+\b", r"[à-ÿa-z]\w*"])
def test_rules_cut_as_the_pattern_does(pattern):
    rule = token_rule(pattern)
    if pattern == r"[à-ÿa-z]\w*":
        assert rule is None
        return
    member = np.zeros(0x110001, dtype=bool)
    for low, high in rule.word.reshape(-1, 2):
        member[low : high + 1] = True
    for text in [*SPECIAL, *DOCS, "".join(map(chr, range(1, 0x3000)))]:
        runs, run = [], ""
        for c in text + "\U0010ffff":
            if member[ord(c)] and c != "\U0010ffff":
                run += c
                continue
            if len(run) >= rule.least:
                runs.append(run)
            run = ""
        assert runs == re.findall(pattern, text)


def test_check_helper_reads_texts():
    check(make_pipeline(CountVectorizer(), MultinomialNB()).fit(DOCS, Y), DOCS, rtol=1e-12)
