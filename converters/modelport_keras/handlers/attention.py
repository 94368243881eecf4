"""Attention: multi-head, grouped, and the plain layers of scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.errors import UnsupportedModel

from ..builder import Value
from ..network import Layer, flatten
from ..registry import keras_layer
from ..walking import Walker

#: what is added to scores that do not count: far below any score, and not infinite, so that a row without any gives equal weights
LOWEST = {"f32": -1.7e38, "f64": -1.7e38}


def _heads(walker: Walker, value: Value, arrays: list[Any], weights: str = "") -> str:
    """A projection [t, d] to [heads, t, k]."""
    net = walker.net
    kernel, *bias = arrays
    heads, size = kernel.shape[1:]
    flat = net.add("linear", value.plain, weight=kernel.reshape(kernel.shape[0], -1).T, bias=bias[0].ravel() if bias else None)
    split = net.reshape(flat, [net.kept(flat)[0], heads, size])
    return net.add("transpose", split, perm=[1, 0, 2])


def _together(walker: Walker, name: str, arrays: list[Any]) -> Value:
    """[heads, t, v] projected to [t, o]."""
    net = walker.net
    kernel, *bias = arrays
    moved = net.add("transpose", name, perm=[1, 0, 2])
    axes = net.kept(moved)
    flat = net.reshape(moved, [axes[0], kernel.shape[0] * kernel.shape[1]])
    out = kernel.shape[2:]
    weight = kernel.reshape(kernel.shape[0] * kernel.shape[1], -1).T
    made = net.add("linear", flat, weight=weight, bias=bias[0].ravel() if bias else None)
    if len(out) != 1:
        made = net.reshape(made, [net.kept(made)[0], *out])
    return net.value(made)


def order_mask(walker: Walker, query: Value, value: Value, op: str, window: int | None = None) -> str:
    """A mask [t, s] of positions: causal (op "ge"), or within a window on both sides."""
    net = walker.net
    rows = net.insert(net.add("cast", net.add("positions", query.plain, axis=0), to="f64"), 1)
    columns = net.insert(net.add("cast", net.add("positions", value.plain, axis=0), to="f64"), 0)
    if window is None:
        return net.add("binary", rows, columns, fn=op)
    apart = net.add("unary", net.add("binary", rows, columns, fn="sub"), fn="abs")
    return net.add("binary", apart, net.constant(float(window), "f64"), fn="lt")


def _both(walker: Walker, left: str | None, right: str | None) -> str | None:
    if left is None or right is None:
        return left if right is None else right
    return walker.net.add("binary", left, right, fn="and")


def _whole_mask(
    walker: Walker,
    query: Value,
    value: Value,
    masks: tuple[Value | None, Value | None, Value | None],
    given: Any,
    causal: bool,
    window: int | None,
) -> str | None:
    """All masks joined, [t, s] or with one more axis in front."""
    net = walker.net
    mask: str | None = None
    for own, axis in zip(masks, (1, 0, 0), strict=True):
        if own is not None:
            mask = _both(walker, mask, net.insert(walker.tensor(own, "bool").plain, axis))
    if causal:
        mask = _both(walker, mask, order_mask(walker, query, value, "ge"))
    if window is not None:
        mask = _both(walker, mask, order_mask(walker, query, value, "ge", window))
    if given is not None:
        explicit = walker.steady(given, 2)
        mask = _both(walker, walker.net.cast(explicit, "bool").plain, mask)
    return mask


def _weighted(
    walker: Walker, query: str, key: str, value: str, mask: str | None, scale: float, causal: bool, explicit: bool
) -> tuple[str, str | None]:
    """Attention over heads, and its scores where Keras computes them openly."""
    net = walker.net
    dtype = net.near[query].dtype
    if not explicit:
        bias = None if mask is None else net.add("where", mask, net.constant(0.0, dtype), net.constant(LOWEST[dtype], dtype))
        inputs = [query, key, value, *([] if bias is None else [bias])]
        return net.add("attention", *inputs, scale=scale, causal=True if causal else None), None
    scaled = net.add("scale", query, mul=[scale])
    scores = net.add("matmul", scaled, net.add("transpose", key, perm=[0, 2, 1]))
    if mask is not None:
        scores = net.add("where", mask, scores, net.constant(-1e9, dtype))
    scores = net.add("softmax", scores)
    if mask is not None:
        scores = net.add("where", mask, scores, net.constant(0.0, dtype))
    return net.add("matmul", scores, value), scores


def _parts(layer: Layer, biased: bool, gate: bool) -> dict[str, list[Any]]:
    names = ["kernel", "bias"] if biased else ["kernel"]
    parts = [("query_dense", "query"), ("key_dense", "key"), ("value_dense", "value"), ("output_dense", "attention_output")]
    if gate:
        parts.append(("gate_dense", "gate"))
    return {name: layer.part(attribute, name, *names) for attribute, name in parts}


def _attend(
    walker: Walker,
    layer: Layer,
    query: Value,
    value: Value,
    key: Value,
    mask: str | None,
    size: int,
    dropout: float,
    gated: bool,
    causal: bool,
    scores_wanted: bool,
    repeats: int = 1,
) -> tuple[Value, Value | None]:
    net = walker.net
    if any(part.rank != 2 for part in (query, value, key)):
        raise UnsupportedModel(f"{layer} attends over rows of {query.rank} axes; sequences [time, features] are read.")
    parts = _parts(layer, bool(layer["use_bias"]), gated)
    q = _heads(walker, query, parts["query"])
    k, v = _heads(walker, key, parts["key"]), _heads(walker, value, parts["value"])
    if repeats > 1:
        index = net.constant([i // repeats for i in range(repeats * net.near[k].shape[0])], "i64")
        k, v = net.add("gather", k, index, axis=0), net.add("gather", v, index, axis=0)
    explicit = dropout > 0 or scores_wanted
    if explicit and causal:
        mask, causal = _both(walker, order_mask(walker, query, value, "ge"), mask), False
    made, scores = _weighted(walker, q, k, v, mask, size**-0.5, causal, explicit)
    if gated:
        opened = net.add("unary", _heads(walker, query, parts["gate"]), fn="sigmoid")
        made = net.add("binary", made, opened, fn="mul")
    output = _together(walker, made, parts["attention_output"])
    return output, None if scores is None else net.value(scores)


@keras_layer("MultiHeadAttention")
def multi_head(
    walker: Walker,
    layer: Layer,
    query: Any,
    value: Any,
    key: Any = None,
    query_mask: Any = None,
    value_mask: Any = None,
    key_mask: Any = None,
    attention_mask: Any = None,
    return_attention_scores: bool = False,
    use_causal_mask: bool = False,
) -> Any:
    key = value if key is None else key
    asked = walker.tensor(query)
    query_mask = asked.mask  # Keras takes the one that the tensor has, and removes it from all three
    for tensor in (query, value, key):
        if isinstance(tensor, Value):
            tensor.mask = None
    axes = layer["attention_axes"]
    if axes is not None and list(axes if isinstance(axes, (list, tuple)) else [axes]) not in ([1], [-2]):
        raise layer.refuse("attention_axes", f"is {axes}; attention over one axis of time is read.")
    layer.waive("num_heads", "value_dim", "output_shape")
    q, v, k = (walker.floats(layer, part) for part in (query, value, key))
    window = layer.get("sliding_window")
    masks = (query_mask, value_mask, key_mask)
    alone = use_causal_mask and all(m is None for m in masks) and attention_mask is None and window is None
    mask = None if alone else _whole_mask(walker, q, v, masks, attention_mask, use_causal_mask, window)
    output, scores = _attend(
        walker,
        layer,
        q,
        v,
        k,
        mask,
        int(layer["key_dim"]),
        float(layer["dropout"]),
        bool(layer.get("use_gate", False)),
        alone,
        return_attention_scores,
    )
    output.mask = query_mask
    return [output, scores] if return_attention_scores else output


@keras_layer("GroupQueryAttention", "GroupedQueryAttention")
def grouped(
    walker: Walker,
    layer: Layer,
    query: Any,
    value: Any,
    key: Any = None,
    query_mask: Any = None,
    value_mask: Any = None,
    key_mask: Any = None,
    attention_mask: Any = None,
    return_attention_scores: bool = False,
    use_causal_mask: bool = False,
) -> Any:
    q, v, k = (walker.floats(layer, part) for part in (query, value, value if key is None else key))
    window = layer.get("sliding_window")
    masks = (query_mask, value_mask, key_mask)
    alone = use_causal_mask and all(m is None for m in masks) and attention_mask is None and window is None
    mask = None if alone else _whole_mask(walker, q, v, masks, attention_mask, use_causal_mask, window)
    repeats = int(layer["num_query_heads"]) // int(layer["num_key_value_heads"])
    output, scores = _attend(
        walker,
        layer,
        q,
        v,
        k,
        mask,
        int(layer["head_dim"]),
        float(layer["dropout"]),
        bool(layer.get("use_gate", False)),
        alone,
        return_attention_scores,
        repeats,
    )
    return [output, scores] if return_attention_scores else output


# --- layers of scores ---------------------------------------------------------------------------------------------------------


def _first_mask(walker: Walker, layer: Layer, bound: Mapping[str, Any], previous: Any) -> Any:
    return [next(iter(flatten(previous)), None)]


@keras_layer("Attention", masking=_first_mask)
def attention(
    walker: Walker,
    layer: Layer,
    inputs: Any,
    mask: Any = None,
    return_attention_scores: bool = False,
    use_causal_mask: bool = False,
) -> Any:
    net = walker.net
    q, v, k = _three(walker, layer, inputs)
    scaled, mode = layer["use_scale"], layer.get("score_mode", "dot")
    layer.waive("dropout")
    arrays = layer.take(*(["scale"] if scaled else []), *(["concat_score_weight"] if mode == "concat" else []))
    scale = arrays[0].reshape(1) if scaled else None
    if mode == "dot":
        scores = net.add("matmul", q.plain, net.add("transpose", k.plain, perm=[1, 0]))
        scores = net.add("scale", scores, mul=scale) if scaled else scores
    else:
        joined = _sums(walker, q, k)
        joined = net.add("scale", joined, mul=scale) if scaled else joined
        scores = net.add("reduce", net.add("unary", joined, fn="tanh"), fn="sum", axes=[2])
        scores = net.add("scale", scores, mul=arrays[-1].reshape(1))
    return _scored(walker, q, v, scores, mask, use_causal_mask, return_attention_scores)


@keras_layer("AdditiveAttention", masking=_first_mask)
def additive(
    walker: Walker,
    layer: Layer,
    inputs: Any,
    mask: Any = None,
    return_attention_scores: bool = False,
    use_causal_mask: bool = False,
) -> Any:
    net = walker.net
    q, v, k = _three(walker, layer, inputs)
    layer.waive("dropout")
    bent = net.add("unary", _sums(walker, q, k), fn="tanh")
    if layer["use_scale"]:
        (scale,) = layer.take("scale")
        bent = net.add("scale", bent, mul=scale)
    scores = net.add("reduce", bent, fn="sum", axes=[2])
    return _scored(walker, q, v, scores, mask, use_causal_mask, return_attention_scores)


def _three(walker: Walker, layer: Layer, inputs: Any) -> tuple[Value, Value, Value]:
    parts = [walker.floats(layer, part) for part in inputs]
    if any(part.rank != 2 for part in parts):
        raise UnsupportedModel(f"{layer} attends over rows of {parts[0].rank} axes; sequences [time, features] are read.")
    return parts[0], parts[1], parts[2] if len(parts) > 2 else parts[1]


def _sums(walker: Walker, q: Value, k: Value) -> str:
    net = walker.net
    return net.add("binary", net.insert(q.plain, 1), net.insert(k.plain, 0), fn="add")


def _scored(walker: Walker, q: Value, v: Value, scores: str, mask: Any, causal: bool, wanted: bool) -> Any:
    """Scores masked as Keras does it, as weights of the values."""
    net = walker.net
    masks = list(mask) if isinstance(mask, (list, tuple)) else [None, None]
    kept: str | None = None
    if len(masks) > 1 and masks[1] is not None:
        kept = net.insert(walker.tensor(masks[1], "bool").plain, 0)
    if causal:
        kept = _both(walker, kept, order_mask(walker, q, v, "ge"))
    if kept is not None:
        scores = net.add("where", kept, scores, net.add("scale", scores, add=[-1e9]))
    weights = net.add("softmax", scores)
    made = net.add("matmul", weights, v.plain)
    if masks[0] is not None:
        asked = net.insert(walker.tensor(masks[0], "bool").plain, 1)
        made = net.add("where", asked, made, net.constant(0.0, v.dtype))
    return [net.value(made), net.value(weights)] if wanted else net.value(made)
