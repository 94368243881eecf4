"""Categories: lookups of strings and integers, bins, and their encodings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from ..builder import Value
from ..network import Array, Layer
from ..registry import keras_layer
from ..walking import Walker
from .normalization import _plain

#: what stands for a category that is not counted
NOWHERE = -1


def encoded(walker: Walker, layer: Layer, codes: Value, mode: str, depth: int, dtype: str, weights: Value | None = None) -> Value:
    """Codes as one_hot, multi_hot or count of `depth` columns; a code that is none of them counts nowhere."""
    net = walker.net
    if mode == "one_hot":
        name = codes.plain
        if codes.rank > 0 and codes.shape[-1] == 1:
            name = net.drop(name, codes.rank - 1)
        return net.value(net.add("cast", _equal(walker, name, depth), to=dtype))
    if codes.rank == 0:
        raise UnsupportedModel(f"{layer} counts rows of no axis, which is not read: give the input the shape (1,).")
    hits = _equal(walker, codes.plain, depth)
    if weights is not None:
        numbers = net.add("cast", hits, to=weights.dtype)
        numbers = net.add("binary", numbers, net.insert(weights.plain, -1), fn="mul")
        return net.value(net.add("reduce", numbers, fn="sum", axes=[0]))
    fn = {"multi_hot": "max", "count": "sum"}.get(mode)
    if fn is None:
        raise layer.refuse("output_mode", f"is {mode!r}, which is not known.")
    return net.value(net.add("cast", net.add("reduce", net.add("cast", hits, to="f64"), fn=fn, axes=[0]), to=dtype))


def _equal(walker: Walker, name: str, depth: int) -> str:
    """Whether a code is 0, 1, .., per code."""
    net = walker.net
    return net.add("binary", net.insert(name, -1), net.constant(np.arange(depth), "i64"), fn="eq")


@dataclass(frozen=True)
class Vocabulary:
    """The words of a lookup without its special ones, the number of the first of them, and of all."""

    tokens: list[Any]
    first: int

    @property
    def size(self) -> int:
        """Number of all, the special ones among them."""
        return self.first + len(self.tokens)


def vocabulary_of(layer: Layer, whole: bool, mask: Any, oov: Any, spare: int, mode: str) -> Vocabulary:
    """The vocabulary in the layer, in its config, or beside the weights. whole: its words are integers."""
    given = layer.get("vocabulary")
    found = None
    if layer.live is not None or given is None:
        found = layer.weights.vocabulary()
        if found is None:
            raise UnsupportedModel(f"{layer} has no vocabulary: adapt it first, or save it as .keras with its vocabulary.")
    words = list(_plain(given).tolist()) if found is None else found
    words = [int(word) for word in words] if whole else [str(word) for word in words]
    masks = 1 if mask is not None and mode == "int" else 0
    special = [mask] * masks + [oov] * spare
    first = len(special)
    tokens = words[first:] if words[:first] == special else words
    return Vocabulary(tokens, first)


def _lookup(walker: Walker, layer: Layer, inputs: Any, whole: bool) -> Value:
    net = walker.net
    mode, mask, oov, spare = layer["output_mode"], layer["mask_token"], layer["oov_token"], int(layer["num_oov_indices"])
    layer.demand("sparse", False, instead="sparse tensors are not read.")
    invert = layer["invert"]
    words = vocabulary_of(layer, whole, mask, oov, spare, mode)
    limit, pad = layer["max_tokens"], layer["pad_to_max_tokens"]
    layer.waive("vocabulary_size", "vocabulary_dtype", "salt", "oov_method", "encoding")
    if invert:
        layer.waive("idf_weights")
        return _inverse(walker, layer, inputs, words, mask, oov, whole)
    value = walker.tensor(inputs)
    if (value.dtype == "str") == whole:
        raise UnsupportedModel(f"{layer} is given {value}, and looks up {'integers' if whole else 'strings'}.")
    value = value if value.dtype == "str" else net.cast(value, "i64")
    keys = [*words.tokens, *([] if mask is None else [mask])]
    values = [*range(words.first, words.size), *([] if mask is None else [0 if mode == "int" else NOWHERE])]
    codes = _coded(walker, layer, value, keys, values, words.first - spare, spare, whole)
    if mode == "int":
        layer.waive("idf_weights")
        return codes
    depth = int(limit) if pad and limit is not None else words.size
    if mode != "tf_idf":
        layer.waive("idf_weights")
        return encoded(walker, layer, codes, mode, depth, "i64")
    counts = net.cast(encoded(walker, layer, codes, "count", depth, "i64"), "f32")
    return net.value(net.add("scale", counts.plain, mul=idf_of(layer, depth)))


def _coded(
    walker: Walker, layer: Layer, value: Value, keys: list[Any], values: list[int], start: int, spare: int, whole: bool
) -> Value:
    """The code of every element; start: the code of the first that stands for unknown ones."""
    net = walker.net
    table = np.array(keys, dtype=np.int64) if whole else np.array(keys, dtype=object)
    if not keys:
        raise UnsupportedModel(f"{layer} has an empty vocabulary: adapt it first.")
    default = None if spare == 0 else start if spare == 1 else np.iinfo(np.int64).min
    name = net.add("lookup", value.plain, keys=table, values=np.array(values, dtype=np.int64), default=default)
    if spare <= 1:
        return net.value(name)
    if not whole or layer.config.get("oov_method", "floormod") != "floormod":
        raise layer.refuse("num_oov_indices", f"is {spare}: unknown words are hashed, for which there is no step; use 1.")
    number = net.add("cast", value.plain, to="f64")
    fold = net.add("scale", net.add("unary", net.add("scale", number, div=[float(spare)]), fn="floor"), mul=[float(spare)])
    rest = net.add("scale", net.add("binary", number, fold, fn="sub"), add=[float(start)])
    unknown = net.add("binary", name, net.constant(np.iinfo(np.int64).min, "i64"), fn="eq")
    return net.value(net.add("where", unknown, net.add("cast", rest, to="i64"), name))


def _inverse(walker: Walker, layer: Layer, inputs: Any, words: Vocabulary, mask: Any, oov: Any, whole: bool) -> Value:
    """Codes back to words."""
    net = walker.net
    value = walker.tensor(inputs, "i64")
    keys, values = list(range(words.first, words.size)), list(words.tokens)
    if mask is not None:
        if 0 in keys:
            values[keys.index(0)] = mask
        else:
            keys, values = [0, *keys], [mask, *values]
    held = np.array(values, dtype=np.int64 if whole else object)
    made = net.add("lookup", value.plain, keys=np.array(keys, dtype=np.int64), values=held, default=int(oov) if whole else oov)
    return net.value(made)


def idf_of(layer: Layer, depth: int) -> Array:
    """The weights of a tf_idf encoding."""
    given, stored = layer.get("idf_weights"), layer.weights.named("idf_weights")
    if stored is None and given is None:
        raise UnsupportedModel(f"{layer} has no idf weights: adapt it first.")
    found = stored if stored is not None else _plain(given)
    if found.size != depth:
        raise UnsupportedModel(f"{layer} has {found.size} idf weights for {depth} columns.")
    return np.asarray(found, dtype=np.float32)


@keras_layer("StringLookup", masking=False)
def string_lookup(walker: Walker, layer: Layer, inputs: Any) -> Value:
    layer.demand("encoding", "utf-8", instead="texts are Unicode here.")
    return _lookup(walker, layer, inputs, False)


@keras_layer("IntegerLookup", masking=False)
def integer_lookup(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _lookup(walker, layer, inputs, True)


@keras_layer("CategoryEncoding", masking=False)
def category_encoding(walker: Walker, layer: Layer, inputs: Any, count_weights: Any = None) -> Value:
    layer.demand("sparse", False, instead="sparse tensors are not read.")
    weights = None if count_weights is None else walker.floats(layer, count_weights)
    mode = layer["output_mode"]
    return encoded(walker, layer, walker.tensor(inputs, "i64"), mode, int(layer["num_tokens"]), layer.dtype, weights)


@keras_layer("Discretization", masking=False)
def discretization(walker: Walker, layer: Layer, inputs: Any) -> Value:
    layer.demand("sparse", False, instead="sparse tensors are not read.")
    layer.waive("num_bins", "epsilon")
    mode = layer["output_mode"]
    edges = layer["bin_boundaries"]
    if edges is None:
        raise layer.refuse("bin_boundaries", "is not set: adapt the layer first.")
    dtype = "f32" if mode == "int" else layer.dtype
    value = walker.net.cast(walker.tensor(inputs), dtype if walker.tensor(inputs).dtype != "f64" else "f64")
    net = walker.net
    below = net.add("binary", net.insert(value.plain, -1), net.constant(np.asarray(edges, np.float32), value.dtype), fn="lt")
    passed = net.add("cast", net.add("unary", below, fn="not"), to="f64")
    codes = net.value(net.add("cast", net.add("reduce", passed, fn="sum", axes=[value.rank]), to="i64"))
    return codes if mode == "int" else encoded(walker, layer, codes, mode, len(edges) + 1, layer.dtype)
