"""DictVectorizer and FeatureHasher: absent keys, strings and numbers, terms in every script."""

from __future__ import annotations

import numpy as np
import pytest
from modelport_sklearn import read, sample_of
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import modelport
from modelport.errors import InputError, UnsupportedAttribute
from modelport.texts import SPECIAL
from tests.converters.modelport_sklearn.common import check_rows

DICTS = [
    {"city": "Dubai", "temperature": 33.0, "wind": 1},
    {"city": "London", "temperature": 12},
    {"city": "San Francisco", "wind": 2.5, "sunny": True},
    {},
    {"city": "", "note": "a=b", "temperature": -0.0},
    {"city": "Tromsø", "note": "ΣΑΣ", "wind": 0.0},
]
Y = [0, 1, 0, 0, 1, 0]
LISTS = [["dog", "cat", "dog"], [], ["ünïcode", "", "x"], ["👍", "a=b"]]
PAIRS = [[("dog", 1), ("cat", 2.5)], [], [("dog", -1.0), ("dog", 3), ("", 1)], [("ünïcode", 1e30)]]


def read_checked(model, rows, *others):
    sample = sample_of(model, rows)
    reading = read(model, sample)
    for given in (rows, *others):
        check_rows(reading, sample.like(given).feeds())
    return reading


@pytest.mark.parametrize("options", [{}, {"sparse": False}, {"sort": False}, {"separator": "::"}], ids=str)
def test_dict_vectorizer(options):
    unseen = [{"city": "Oslo", "temperature": 1e30}, {"note": "?", "city": "Dubai"}, {"wind": 7.0}]
    reading = read_checked(DictVectorizer(**options).fit(DICTS), DICTS, unseen)
    assert {v.missing for v in reading.graph.inputs} == {"nan", "null"}


def test_keys_and_values_that_meet_in_one_feature():
    rows = [{"a": "b=c", "a=b": "c"}, {"a": "b=c"}, {"a=b": "c", "a=b=c": 4.0}]
    read_checked(DictVectorizer(sparse=False).fit(rows), rows)


def test_a_sample_without_a_known_key_is_refused():
    model = DictVectorizer().fit(DICTS)
    with pytest.raises(UnsupportedAttribute, match="'note="):
        read(model, sample_of(model, DICTS[:3]))


@pytest.mark.parametrize("alternate", [True, False])
@pytest.mark.parametrize("size", [1, 7, 1024])
def test_feature_hasher(size, alternate):
    options = {"n_features": size, "alternate_sign": alternate}
    read_checked(FeatureHasher(input_type="dict", **options), DICTS)
    read_checked(FeatureHasher(input_type="string", **options), LISTS, [[text] for text in SPECIAL])
    read_checked(FeatureHasher(input_type="pair", **options), PAIRS)


def test_artifacts_prove_themselves():
    for model, rows in (
        (make_pipeline(DictVectorizer(), LogisticRegression()), DICTS),
        (make_pipeline(FeatureHasher(16), LogisticRegression()), DICTS),
        (make_pipeline(FeatureHasher(16, input_type="string"), LogisticRegression()), LISTS[:3] * 2),
        (make_pipeline(FeatureHasher(16, input_type="pair"), LogisticRegression()), PAIRS[:3] * 2),
    ):
        artifact = modelport.convert(model.fit(rows, Y), "json", sample=rows)
        assert artifact.report.passed
        assert modelport.convert(model, "json", sample=rows, vectors=rows[:2]).report.passed


def test_a_dict_of_one_row_is_one_row():
    model = DictVectorizer().fit([DICTS[0]])
    assert len(sample_of(model, DICTS[0])) == 1


@pytest.mark.parametrize(
    ("model", "rows"),
    [
        (DictVectorizer(), [{1: 2}]),
        (DictVectorizer(), [{"a": ["x", "y"]}]),
        (FeatureHasher(input_type="pair"), [[("a", "b")]]),
        (FeatureHasher(input_type="pair"), [["a"]]),
        (FeatureHasher(input_type="string"), ["abc"]),
    ],
    ids=str,
)
def test_rows_that_cannot_be_told_are_refused(model, rows):
    with pytest.raises(InputError):
        sample_of(model, rows)


def test_rows_to_carry_that_do_not_fit_are_refused():
    hasher = FeatureHasher(16, input_type="string")
    with pytest.raises(InputError, match="longer"):
        sample_of(hasher, LISTS).like([["a"] * 9])
    with pytest.raises(InputError, match="'other'"):
        sample_of(FeatureHasher(16), DICTS).like([{"other": 1.0}])
    with pytest.raises(InputError, match="longer"):
        sample_of(FeatureHasher(16, input_type="pair"), PAIRS).like([[("a", 1)] * 9])


@pytest.mark.parametrize("model", [DictVectorizer(dtype=np.float32), FeatureHasher(dtype=np.float32)], ids=str)
def test_other_precisions_are_refused(model):
    model = model.fit(DICTS)
    with pytest.raises(UnsupportedAttribute, match="dtype"):
        read(model, sample_of(model, DICTS))
