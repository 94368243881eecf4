"""Texts to verify with: of known or shared words, the same for the same seed, and never one of the sample's."""

from __future__ import annotations

import numpy as np
import pytest

from modelport.graph import Graph, Input, Output, Step
from modelport.sample import Column, Sample
from modelport.texts import SPECIAL, TextPool, term_columns, text_columns
from modelport.vectors import choose_rows

WORD = np.array([97, 122], dtype=np.int64)
TEXTS = np.array(["alpha beta secret", "beta gamma hidden", "alpha gamma"], dtype=object)


def counting(**counted: object) -> Graph:
    step = Step("count_terms", ["text"], "counts", {"analyzer": "word", "min_n": 1, "max_n": 1, "word": WORD, **counted})
    return Graph([Input("text", "str", ())], [step], [Output("counts", "counts", "f64", "transform")])


def test_words_come_from_the_vocabulary():
    graph = counting(vocabulary=np.array(["delta", "epsilon"], dtype=object))
    (pool,) = text_columns(graph, {"text": TEXTS}, np.random.default_rng(0)).values()
    assert {"delta", "epsilon"} <= set(pool.words)
    assert not {"alpha", "secret"} & set(pool.words)


def test_words_of_a_hashing_model_are_those_that_several_texts_share():
    (pool,) = text_columns(counting(size=8), {"text": TEXTS}, np.random.default_rng(0)).values()
    assert {"alpha", "beta", "gamma"} <= set(pool.words)
    assert not {"secret", "hidden"} & set(pool.words)


def test_a_pool_without_words_still_draws():
    (pool,) = text_columns(counting(size=8), {"text": TEXTS[:1]}, np.random.default_rng(0)).values()
    assert pool.draw(0.5)


def test_the_same_seed_draws_the_same_texts():
    draws = [[TextPool(["one", "two"], np.random.default_rng(7)).draw(q) for q in (0.0, 0.5, 1.0)] for _ in range(2)]
    assert draws[0] == draws[1]


def test_rows_hold_special_texts_and_none_of_the_sample():
    sample = Sample((Column("text", "str", TEXTS),), "text", False, False)
    rows = choose_rows(counting(size=8), sample)
    texts = rows.feeds()["text"].tolist()
    assert set(SPECIAL) <= set(texts)
    assert not set(TEXTS.tolist()) & set(texts)
    assert rows.notes.count("text") == len(SPECIAL)


def test_hashed_columns_are_found():
    step = Step("hash_terms", ["terms"], "hashed", {"size": 4})
    graph = Graph([Input("terms", "str", (2,), "null")], [step], [Output("hashed", "hashed", "f64", "transform")])
    assert term_columns(graph) == [("terms", 0), ("terms", 1)]


@pytest.mark.parametrize("text", SPECIAL)
def test_special_texts_can_be_written_down(text):
    assert text.encode("utf-8").decode("utf-8") == text
