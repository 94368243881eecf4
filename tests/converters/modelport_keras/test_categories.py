"""Lookups, bins, encodings and texts against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from modelport.errors import UnsupportedAttribute, UnsupportedModel
from tests.converters.modelport_keras.common import check, normal, one

WORDS = ["a", "bb", "ccc", "a", "münchen", "日本", "b"]


def texts(*shape: int) -> np.ndarray:
    cells = np.array(["a", "bb", "ccc", "zz", "münchen", "MASK", "日本", "A", "unknown"], dtype=object)
    return cells[np.random.default_rng(6).integers(0, len(cells), size=shape)]


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize(
    "options", [{}, {"mask_token": "MASK"}, {"max_tokens": 12, "pad_to_max_tokens": True}, {"max_tokens": 4}]
)
@pytest.mark.parametrize("given", [False, True])
def test_strings(mode: str, options: dict[str, Any], given: bool) -> None:
    if mode == "int" and "pad_to_max_tokens" in options:
        options = {"max_tokens": 12}
    if given:
        layer = L.StringLookup(vocabulary=["a", "bb", "日本"], output_mode=mode, **options)
    else:
        layer = L.StringLookup(output_mode=mode, **options)
        layer.adapt(np.array(WORDS))
    shape = (1,) if mode == "one_hot" else (3,)
    check(one(layer, shape, "string"), texts(5, *shape))


def test_strings_without_unknown_ones() -> None:
    layer = L.StringLookup(vocabulary=["a", "bb"], num_oov_indices=0)
    reading = check(one(layer, (2,), "string"), np.array([["a", "bb"]] * 5, dtype=object))
    assert "default" not in reading.graph.steps[0].attributes


def test_tf_idf() -> None:
    layer = L.StringLookup(output_mode="tf_idf")
    layer.adapt(np.array([["a", "bb", "a"], ["ccc", "a", "zz"], ["bb", "bb", "a"]]))
    check(one(layer, (4,), "string"), texts(5, 4))
    given = L.StringLookup(vocabulary=["a", "bb"], idf_weights=[0.5, 2.0], output_mode="tf_idf")
    check(one(given, (4,), "string"), texts(5, 4))


def test_back_to_strings() -> None:
    layer = L.StringLookup(vocabulary=["a", "bb", "日本"], invert=True, mask_token="MASK")
    check(one(layer, (3,), "int64"), np.array([[0, 1, 2], [3, 4, 99], [4, 4, 0], [1, 1, 1], [-1, 2, 3]]))
    check(one(L.IntegerLookup(vocabulary=[7, 9], invert=True), (2,), "int64"), np.array([[0, 1], [2, 3], [1, 2], [0, 0], [2, 2]]))


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("options", [{}, {"mask_token": 9}, {"num_oov_indices": 3}])
def test_integers(mode: str, options: dict[str, Any]) -> None:
    layer = L.IntegerLookup(vocabulary=[5, 42, -7, 10**12], output_mode=mode, **options)
    shape = (1,) if mode == "one_hot" else (3,)
    cells = np.array([5, 42, -7, 9, 10**12, 0, 1, -4, 8])
    check(one(layer, shape, "int64"), cells[np.random.default_rng(1).integers(0, len(cells), size=(5, *shape))])


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("shape", [(1,), (3,)])
def test_category_encoding(mode: str, shape: tuple[int, ...]) -> None:
    check(one(L.CategoryEncoding(6, output_mode=mode), shape, "int32"), np.random.default_rng(1).integers(0, 6, size=(5, *shape)))


def test_counted_with_weights() -> None:
    x, w = keras.Input((3,), dtype="int32"), keras.Input((3,))
    model = keras.Model([x, w], L.CategoryEncoding(4, output_mode="count")(x, count_weights=w))
    check(model, [np.random.default_rng(1).integers(0, 4, size=(5, 3)), normal(5, 3)])


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_bins(mode: str) -> None:
    layer = L.Discretization([-1.0, 0.1, 2.5], output_mode=mode)
    rows = np.array([[-2, -1, 0.1], [0.1, 2.5, 3], [0, 0, 0], [2.4999998, -1.0000001, 0.099999994], [1e9, -1e9, 1]], np.float32)
    shape = (1,) if mode == "one_hot" else (3,)
    check(one(layer, shape), rows[:, : shape[0]])


def test_adapted_bins() -> None:
    layer = L.Discretization(num_bins=4)
    layer.adapt(normal(100, 1))
    check(one(layer, (2,)), normal(5, 2))


TEXTS = np.array(
    [
        ["The cat, the DOG and a Bird."],
        ["  tabs\tand\nlines\u000b \u2003 end  "],
        ["ÉCOLE Straße İstanbul 日本 münchen"],
        [""],
        ["don't stop-me now! #1 (x) a/b \\ ~ `q` É"],
        ["the the the cat\u00a0cat"],
        ["unknown words only"],
        ["a b c d e f g h i j k"],
    ],
    dtype=object,
)
RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "lower": {"standardize": "lower"},
    "strip": {"standardize": "strip_punctuation"},
    "as it is": {"standardize": None},
    "characters": {"split": "character"},
    "bigrams": {"ngrams": 2},
    "two and three": {"ngrams": (2, 3)},
    "few": {"max_tokens": 6},
}


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize("mode", ["int", "count", "multi_hot", "tf_idf"])
def test_text(name: str, mode: str) -> None:
    layer = L.TextVectorization(output_mode=mode, output_sequence_length=7 if mode == "int" else None, **RULES[name])
    layer.adapt(TEXTS[:5])
    check(one(layer, (1,), "string"), TEXTS)


def test_text_with_a_vocabulary() -> None:
    layer = L.TextVectorization(vocabulary=["the", "cat", "école"], output_sequence_length=4)
    check(one(layer, (), "string"), TEXTS[:, 0])
    padded = L.TextVectorization(vocabulary=["the", "cat"], output_mode="count", max_tokens=6, pad_to_max_tokens=True)
    check(one(padded, (1,), "string"), TEXTS)


def test_refusals() -> None:
    with pytest.raises(UnsupportedAttribute, match="longest text beside it"):
        check(one(L.TextVectorization(vocabulary=["a"]), (1,), "string"), TEXTS)
    layer = L.TextVectorization(vocabulary=["a"], standardize=lambda text: text, output_sequence_length=2)
    with pytest.raises(UnsupportedAttribute, match="standardize"):
        check(one(layer, (1,), "string"), TEXTS)
    with pytest.raises(UnsupportedAttribute, match="ngrams"):
        check(one(L.TextVectorization(vocabulary=["a"], ngrams=(1, 3), output_sequence_length=2), (1,), "string"), TEXTS)
    with pytest.raises(UnsupportedAttribute, match="hashed"):
        check(one(L.StringLookup(vocabulary=["a"], num_oov_indices=2), (2,), "string"), texts(5, 2))
    with pytest.raises(UnsupportedModel, match="FarmHash"):
        check(one(L.Hashing(4), (2,), "string"), texts(5, 2))
