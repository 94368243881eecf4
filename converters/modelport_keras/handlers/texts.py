"""TextVectorization: TensorFlow's rules for lowering, stripping and splitting, with ASCII in mind."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from ..builder import Value
from ..network import Layer
from ..registry import keras_layer
from ..walking import Walker
from .lookups import idf_of, vocabulary_of

PUNCTUATION = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: code points that are no ASCII white space, as ranges
WORD = [0, 8, 14, 31, 33, 0x10FFFF]


def _analyzer(layer: Layer) -> dict[str, Any]:
    """The attributes of the ops of profile `text` for a layer's rules."""
    folded: dict[str, str] = {}
    rule = layer["standardize"]
    if rule not in (None, "lower", "strip_punctuation", "lower_and_strip_punctuation"):
        raise layer.refuse("standardize", "is a function of its own, which is not read.")
    if rule in ("lower", "lower_and_strip_punctuation"):
        folded.update({capital: capital.lower() for capital in CAPITALS})
    if rule in ("strip_punctuation", "lower_and_strip_punctuation"):
        folded.update(dict.fromkeys(PUNCTUATION, ""))
    ngrams, split = layer["ngrams"], layer["split"]
    widths = list(range(1, ngrams + 1)) if isinstance(ngrams, int) else [1] if ngrams is None else [int(n) for n in ngrams]
    if widths != list(range(widths[0], widths[-1] + 1)):
        raise layer.refuse("ngrams", f"is {ngrams}: runs of {widths[0]} to {widths[-1]} words, all in turn, are read.")
    found: dict[str, Any] = {"min_n": widths[0], "max_n": widths[-1]}
    if split == "whitespace":
        found |= {"analyzer": "word", "word": WORD, "min_word": 1}
    elif split == "character" and widths == [1]:
        found |= {"analyzer": "char", "space": []}
    else:
        raise layer.refuse(
            "split", f"is {split!r}, which is not read with these ngrams: split by white space, or into characters."
        )
    if folded:
        letters = sorted(folded)
        found |= {"fold_from": [ord(letter) for letter in letters], "fold_to": [folded[letter] for letter in letters]}
    return found


@keras_layer("TextVectorization", masking=False)
def text_vectorization(walker: Walker, layer: Layer, inputs: Any) -> Value:
    net = walker.net
    value = walker.tensor(inputs)
    if value.dtype != "str" or value.shape not in ((), (1,)):
        raise UnsupportedModel(f"{layer} reads {value}; one text per row is read.")
    layer.demand("encoding", "utf-8", instead="texts are Unicode here.")
    layer.demand("ragged", False, instead="rows of different lengths are no tensor.")
    layer.demand("sparse", False, instead="sparse tensors are not read.")
    layer.waive("vocabulary_size")
    mode, limit, pad, length = (
        layer[key] for key in ("output_mode", "max_tokens", "pad_to_max_tokens", "output_sequence_length")
    )
    rules = _analyzer(layer)
    words = vocabulary_of(layer, False, "", "[UNK]", 1, mode)
    if not words.tokens:
        raise UnsupportedModel(f"{layer} has an empty vocabulary: adapt it first.")
    if mode == "int":
        layer.waive("idf_weights")
        if length is None:
            raise layer.refuse(
                "output_sequence_length", "is not set, so that a row's answer depends on the longest text beside it: set it."
            )
        made = net.add(
            "term_ids",
            value.plain,
            **rules,
            vocabulary=words.tokens,
            first=words.first,
            unknown=words.first - 1,
            fill=0,
            length=int(length),
        )
        return net.value(made)
    return _counted(walker, layer, value, rules, words.tokens, mode, int(limit) if pad and limit else words.size)


def _counted(walker: Walker, layer: Layer, value: Value, rules: dict[str, Any], words: list[str], mode: str, depth: int) -> Value:
    """Counts of the words, with those that are not known in front."""
    net = walker.net
    if mode not in ("count", "multi_hot", "tf_idf"):
        raise layer.refuse("output_mode", f"is {mode!r}; int, count, multi_hot and tf_idf are read.")
    known = net.add("count_terms", value.plain, **rules, vocabulary=words)
    whole = net.add("count_terms", value.plain, **rules, size=1, alternate=False)
    found = net.add("reduce", known, fn="sum", axes=[0], keep=True)
    unknown = net.add("binary", whole, found, fn="sub")
    parts = [unknown, known]
    if depth > len(words) + 1:
        parts.append(net.constant(np.zeros(depth - len(words) - 1), "f64"))
    counts = net.add("concat", *parts)
    if mode == "tf_idf":
        return net.value(net.add("scale", net.add("cast", counts, to="f32"), mul=idf_of(layer, depth)))
    layer.waive("idf_weights")
    if mode == "multi_hot":
        counts = net.add("clip", counts, max_=[1.0])
    return net.value(net.add("cast", counts, to="i64"))
