"""The ops of profile text against scikit-learn's vectorizers, on texts nobody wrote by hand."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from modelport_json import read_document, write_document
from modelport_sklearn.unicode_tables import folding, space_ranges, word_ranges
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.utils import murmurhash3_32

from modelport.document import Document
from modelport.errors import GraphError, InputError
from modelport.graph import Graph, Input, Output, Step
from modelport.ops.text import murmur
from modelport.run import Evaluator

#: what goes wrong in other places than plain words: sigmas, marks, ligatures, syllables, blanks, letters beyond U+FFFF
ALPHABET = (
    "abcABC019_ \t\n.-'\u03a3\u03c3\u03c2\u0391\u0301\u0323\u0130\u0131\u00df\u1e9e\ufb01\u00e9\u00c5"
    "\ud55c\uac00\u2460\u00a0\u3000\u2003\U00010400\U0001f642"
)


def texts(seed: int, count: int, longest: int = 24) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choice(ALPHABET) for _ in range(rng.randrange(longest))) for _ in range(count)]


def evaluator(attributes: dict[str, Any]) -> Evaluator:
    graph = Graph([Input("x", "str", ())], [Step("count_terms", ["x"], "y", attributes)], [Output("y", "y", "f64", "transform")])
    return Evaluator(graph)


def attributes_of(model: Any) -> dict[str, Any]:
    result = {"analyzer": model.analyzer, "min_n": model.ngram_range[0], "max_n": model.ngram_range[1], "binary": model.binary}
    result |= folding(model.lowercase, model.strip_accents)
    if model.analyzer == "word":
        return result | {"word": word_ranges()}
    return result | {"space": space_ranges()}


@pytest.mark.parametrize("strip", [None, "unicode", "ascii"])
@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize(("analyzer", "ngrams"), [("word", (1, 3)), ("char", (1, 4)), ("char_wb", (2, 5))])
def test_counts(analyzer: str, ngrams: tuple[int, int], lowercase: bool, strip: str | None) -> None:
    options = {"analyzer": analyzer, "ngram_range": ngrams, "lowercase": lowercase, "strip_accents": strip}
    model = CountVectorizer(**options, max_features=400).fit(texts(1, 150))
    vocabulary = np.array(sorted(model.vocabulary_, key=model.vocabulary_.__getitem__), dtype=object)
    rows = [*texts(1, 60), *texts(2, 90)]
    got = evaluator(attributes_of(model) | {"vocabulary": vocabulary}).run({"x": np.array(rows, dtype=object)})["y"]
    np.testing.assert_array_equal(got, model.transform(rows).toarray())
    assert got.sum() > 100


@pytest.mark.parametrize("alternate", [True, False])
@pytest.mark.parametrize("binary", [True, False])
def test_hashed_counts(alternate: bool, binary: bool) -> None:
    model = HashingVectorizer(
        n_features=61, norm=None, analyzer="char_wb", ngram_range=(1, 4), alternate_sign=alternate, binary=binary
    )
    rows = texts(3, 100)
    got = evaluator(attributes_of(model) | {"size": 61, "alternate": alternate}).run({"x": np.array(rows, dtype=object)})["y"]
    np.testing.assert_array_equal(got, model.transform(rows).toarray())


@pytest.mark.parametrize("style", ["default", "readable", "compact"])
def test_tables_survive_being_written(style: str) -> None:
    vocabulary = np.array(["NaN", "Infinity", "ab", "\u03c3\u03c2"], dtype=object)
    attributes = folding(True, "unicode") | {"analyzer": "word", "min_n": 1, "max_n": 1, "word": word_ranges()}
    graph = evaluator(attributes | {"vocabulary": vocabulary, "stop": np.array([], dtype=object)}).graph
    again = read_document(write_document(Document(graph), {"style": style})).graph
    x = {"x": np.array([*texts(5, 50), "ab \u03a3\u03a3"], dtype=object)}
    np.testing.assert_array_equal(Evaluator(again).run(x)["y"], Evaluator(graph).run(x)["y"])
    for name, value in graph.steps[0].attributes.items():
        np.testing.assert_array_equal(again.steps[0].attributes[name], value)


def test_murmur_is_that_of_scikit_learn() -> None:
    for text in texts(4, 500):
        assert murmur(text) == murmurhash3_32(text, 0)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    counts = evaluator({"analyzer": "word", "min_n": 1, "max_n": 1, "word": np.array([97, 122]), "size": 4})
    with pytest.raises(InputError, match="Row 1: a text holds half of a surrogate pair"):
        counts.run({"x": np.array(["ab", "a\udc80"], dtype=object)})


def test_a_long_text_costs_no_more_than_its_length() -> None:
    attributes = folding(True, "unicode") | {"analyzer": "word", "min_n": 1, "max_n": 2, "word": word_ranges(), "size": 8}
    text = "\u03a3" + "\u0301" * 50_000 + "\u03a3 " * 20_000
    assert evaluator(attributes).run({"x": np.array([text], dtype=object)})["y"].shape == (1, 8)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"word": np.array([97, 122, 100, 130])}, "the ranges of attribute 'word' do not ascend, or overlap"),
        ({"size": None}, "it takes one of the attributes 'vocabulary' and 'size'"),
        ({"max_n": 65}, "1 <= min_n <= max_n <= 64"),
        ({"space": np.array([32, 32])}, "attribute 'space' does not go with analyzer 'word'"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], sentence: str) -> None:
    good = {"analyzer": "word", "min_n": 1, "max_n": 1, "word": np.array([97, 122]), "size": 4}
    evaluator(good)
    with pytest.raises(GraphError, match=sentence):
        evaluator(good | change)
