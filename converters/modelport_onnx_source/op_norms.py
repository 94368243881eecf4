"""Normalisations."""

from __future__ import annotations

import numpy as np

from modelport.errors import UnsupportedModel

from .lengths import same
from .nodes import ADVICE, Node, handles
from .pointwise import binary, scalar, unary
from .shaping import transpose
from .summing import reduce
from .values import Builder, Known, Traced, Value, stripped


def _statistic(node: Node, index: int, what: str) -> np.ndarray:
    found = node.known(index, what)
    if found is None:
        raise UnsupportedModel(f"The ONNX model's {node} lacks {what}.")
    return found.array


@handles("BatchNormalization")
def batch_norm(b: Builder, node: Node) -> Value:
    x = node.traced(b, 0)
    node.waive("momentum")
    node.only("training_mode", 0)
    node.only("spatial", 1)
    node.only("is_test", 1, 0)
    node.first_only()
    names = ("scale", "bias", "mean", "var")
    held = {name: _statistic(node, k + 1, f"the {name}").astype(_float(x)) for k, name in enumerate(names)}
    eps = float(node.attr("epsilon", 1e-5))
    one = same(x.shape[0], 1)
    moved = x if one else b.traced(transpose(b, x, [1, 0, *range(2, len(x.shape))]))
    name, row = b.exactly(moved, 1 if one else 0)
    made = b.add("batch_norm", [name], x.dtype, row, eps=eps, dtype=x.dtype, **held)
    result = Traced(made, row, moved.shape, x.dtype)
    return result if one else transpose(b, result, [1, 0, *range(2, len(x.shape))])


def _float(x: Value) -> type[np.floating]:
    return np.float32 if x.dtype == "f32" else np.float64


@handles("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def layer_norm(b: Builder, node: Node) -> Value:
    x, scale, bias = node.traced(b, 0), node.get(1), node.get(2)
    node.only("stash_type", 1)
    node.first_only()
    axis = node.axis(-1, len(x.shape))
    count = len(x.shape) - axis
    center = node.kind == "LayerNormalization"
    given = {name: part for name, part in (("scale", scale), ("bias", bias)) if part is not None}
    whole = all(isinstance(n, int) for n in x.shape[axis:])
    inside = whole and all(isinstance(p, Known) and len(stripped(p.shape)) <= count for p in given.values())
    held = {}
    if inside:
        size = tuple(int(n) for n in x.shape[axis:])
        for name, part in given.items():
            assert isinstance(part, Known)
            array = part.array.reshape([int(n) for n in stripped(part.shape)])
            held[name] = np.ascontiguousarray(np.broadcast_to(array, size))
    name, row = b.aligned(x, count)
    if count == 1:
        name, row = b.last(x)
    made = b.add(
        "layer_norm", [name], x.dtype, row, axes=count if count != 1 else None, eps=float(node.attr("epsilon", 1e-5)),
        center=None if center else False, dtype=x.dtype, **held,
    )  # fmt: skip
    result: Value = Traced(made, row, x.shape, x.dtype)
    if not inside and scale is not None:
        result = binary(b, "mul", result, scale)
    if not inside and bias is not None:
        result = binary(b, "add", result, bias)
    return result


@handles("InstanceNormalization")
def instance_norm(b: Builder, node: Node) -> Value:
    x = node.traced(b, 0)
    scale, bias = (_statistic(node, k, what).astype(_float(x)) for k, what in ((1, "the scale"), (2, "the bias")))
    return _groups(b, node, x, len(scale), scale, bias)


@handles("GroupNormalization")
def group_norm(b: Builder, node: Node) -> Value:
    x, groups = node.traced(b, 0), int(node.attr("num_groups"))
    node.only("stash_type", 1)
    scale, bias = (_statistic(node, k, what).astype(_float(x)) for k, what in ((1, "the scale"), (2, "the bias")))
    if node.opset < 21 and isinstance(x.shape[1], int):
        scale, bias = (np.repeat(part, x.shape[1] // groups) for part in (scale, bias))
    return _groups(b, node, x, groups, scale, bias)


def _groups(b: Builder, node: Node, x: Traced, groups: int, scale: np.ndarray, bias: np.ndarray) -> Value:
    if not same(x.shape[0], 1):
        raise UnsupportedModel(f"The ONNX model's {node} reads several images of a row at once. {ADVICE}")
    name, row = b.exactly(x, 1)
    plain = bool((scale == 1).all() and (bias == 0).all())
    made = b.add(
        "group_norm", [name], x.dtype, row, groups=groups, scale=None if plain else scale, bias=None if plain else bias,
        eps=float(node.attr("epsilon", 1e-5)), dtype=x.dtype,
    )  # fmt: skip
    return Traced(made, row, x.shape, x.dtype)


@handles("MeanVarianceNormalization")
def mean_variance(b: Builder, node: Node) -> Value:
    x = node.traced(b, 0)
    axes = [int(a) % len(x.shape) for a in node.attr("axes", [0, 2, 3])]
    centred = binary(b, "sub", x, reduce(b, "mean", x, axes, keep=True))
    spread = unary(b, "sqrt", reduce(b, "mean", unary(b, "square", centred), axes, keep=True))
    return binary(b, "div", centred, binary(b, "add", spread, scalar(1e-9, x.dtype)))
