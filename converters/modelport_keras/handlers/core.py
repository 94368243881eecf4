"""Dense, EinsumDense, Embedding, and layers that do nothing at inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from ..activations import activate
from ..builder import Value
from ..einsum import einsum_dense
from ..network import Layer
from ..registry import keras_layer
from ..walking import Walker, _trace


@keras_layer("Dense")
def dense(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.floats(layer, inputs)
    layer.waive("units")
    names = ["kernel", "bias"] if layer["use_bias"] else ["kernel"]
    kernel, *bias = layer.take(*names)
    made = walker.net.value(walker.net.add("linear", value.plain, weight=kernel.T, bias=bias[0] if bias else None))
    return activate(walker, layer, made)


@keras_layer("EinsumDense", masking=False)
def einsum_layer(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.floats(layer, inputs)
    axes = layer["bias_axes"]
    kernel, *bias = layer.take(*(["kernel", "bias"] if axes else ["kernel"]))
    layer.waive("output_shape")
    made = einsum_dense(walker, layer, value, layer["equation"], kernel, bias[0] if bias else None)
    return activate(walker, layer, made)


def _embedding_mask(walker: Walker, layer: Layer, bound: Mapping[str, Any], previous: Any) -> Value | None:
    if not layer.config.get("mask_zero"):
        return None
    value = walker.tensor(bound["inputs"])
    zero = walker.net.scalar(0, value)
    return walker.net.join("binary", value, zero, fn="ne")


@keras_layer("Embedding", masking=_embedding_mask)
def embedding(walker: Walker, layer: Layer, inputs: Any) -> Value:
    layer.waive("input_dim", "output_dim", "input_length", "mask_zero")
    value = walker.tensor(inputs, "i64")
    (weight,) = layer.take("embeddings")
    return walker.net.value(walker.net.add("embedding", value.plain, weight=weight, dtype=layer.dtype))


@keras_layer("ReversibleEmbedding", masking=lambda walker, layer, bound, previous: None)
def reversible(walker: Walker, layer: Layer, inputs: Any, reverse: bool = False) -> Value:
    tied = layer["tie_weights"]
    layer.demand("reverse_dtype", None, instead="the table is multiplied in the layer's own dtype only.")
    table, *other = layer.take(*(["embeddings"] if tied else ["embeddings", "reverse_embeddings"]))
    cap = layer.get("logit_soft_cap")
    layer.waive("input_dim", "output_dim", "mask_zero")
    net = walker.net
    if not reverse:
        found = net.value(net.add("embedding", walker.tensor(inputs, "i64").plain, weight=table, dtype=layer.dtype))
        found.mask = _embedding_mask(walker, layer, {"inputs": inputs}, None)
        return found
    made = net.add("linear", walker.floats(layer, inputs).plain, weight=table if tied else other[0].T)
    if cap is not None:
        made = net.add("scale", net.add("unary", net.add("scale", made, div=[cap]), fn="tanh"), mul=[cap])
    return net.value(made)


@keras_layer("Masking", masking=lambda walker, layer, bound, previous: None)
def masking(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.floats(layer, inputs)
    number = layer["mask_value"]
    if isinstance(number, Mapping):
        number = number["config"]["value"]
    net = walker.net
    differs = net.add("binary", value.plain, net.constant(float(number), value.dtype), fn="ne")
    mask = any_true(walker, differs, [value.rank - 1], keep=False)
    kept = net.insert(mask, -1)
    made = net.value(net.add("where", kept, value.plain, net.constant(0.0, value.dtype)))
    made.mask = net.value(mask)
    return made


def any_true(walker: Walker, name: str, axes: list[int], keep: bool) -> str:
    """Whether any element along the axes is true."""
    net = walker.net
    most = net.add("reduce", net.add("cast", name, to="f64"), fn="max", axes=axes, keep=keep or None)
    return net.add("cast", most, to="bool")


@keras_layer("Identity", "Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization")
def nothing(walker: Walker, layer: Layer, inputs: Any) -> Any:
    layer.waive("rate", "noise_shape", "stddev", "l1", "l2")
    return inputs


@keras_layer("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
def spatial_dropout(walker: Walker, layer: Layer, inputs: Any) -> Any:
    layer.waive("rate", "noise_shape", "data_format")
    return inputs


@keras_layer("Lambda")
def function(walker: Walker, layer: Layer, inputs: Any, mask: Any = None) -> Any:
    if layer.live is None:
        from ..reasons import NOT_EXPORTABLE

        raise UnsupportedModel(f"{layer} cannot be exported. {NOT_EXPORTABLE['Lambda']}")
    layer.demand("mask", None, instead="a Lambda with a mask function is not read: write a layer class.")
    layer.waive("function", "arguments", "output_shape")
    for leaf in (inputs,) if isinstance(inputs, Value) else inputs:
        if isinstance(leaf, Value) and leaf.mask is not None and "mask" in layer.live.function.__code__.co_varnames:
            raise UnsupportedModel(f"{layer} takes a mask, which is not read: write a layer class.")
    return _trace(walker, layer, inputs=inputs)


def bias_for(bias: Any, rank: int) -> Any:
    """A bias as it meets rows of so many axes."""
    return np.asarray(bias).reshape((1,) * (rank - np.ndim(bias)) + np.shape(bias))
