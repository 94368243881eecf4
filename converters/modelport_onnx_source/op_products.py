"""MatMul, Gemm and Einsum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelport.errors import UnsupportedModel

from .lengths import Dim, Row, product, same
from .nodes import Node, handles
from .pointwise import binary, scalar
from .shaping import transpose
from .summing import linear, matmul, reduce
from .values import Builder, Known, Traced, Value


@handles("MatMul")
def product_of(b: Builder, node: Node) -> Value:
    return matmul(b, node.value(0), node.value(1))


@handles("Gemm")
def gemm(b: Builder, node: Node) -> Value:
    x, weight, bias = node.value(0), node.value(1), node.get(2)
    alpha, beta = float(node.attr("alpha", 1.0)), float(node.attr("beta", 1.0))
    if node.attr("transA", 0):
        x = transpose(b, x, [1, 0])
    if node.attr("transB", 0):
        weight = transpose(b, weight, [1, 0])
    if bias is not None and beta != 1.0:
        bias = binary(b, "mul", bias, scalar(beta, bias.dtype)) if isinstance(bias, Traced) else _scaled(bias, beta)
    flat = (
        isinstance(bias, Known)
        and len([n for n in bias.shape if n != 1]) <= 1
        and (not bias.shape or bias.shape[-1] == bias.array.size)
    )
    if isinstance(weight, Known) and isinstance(x, Traced) and alpha == 1.0 and (bias is None or flat):
        columns = weight.array.T
        held = None
        if isinstance(bias, Known):
            held = np.ascontiguousarray(np.broadcast_to(bias.array.reshape(-1), (len(columns),)))
        return linear(b, x, columns, held)
    result = matmul(b, x, weight)
    if alpha != 1.0:
        result = binary(b, "mul", result, scalar(alpha, result.dtype))
    return result if bias is None else binary(b, "add", result, bias)


def _scaled(bias: Known, beta: float) -> Known:
    return Known(bias.array * bias.array.dtype.type(beta), bias.dtype)


# --- Einsum --------------------------------------------------------------------------------------------------------------------


@handles("Einsum")
def einsum(b: Builder, node: Node) -> Value:
    values = [node.value(k) for k in range(len(node.inputs))]
    terms, result = _labels(str(node.attr("equation")), [len(v.shape) for v in values], node)
    if any(len(set(term)) != len(term) for term in terms):
        raise node.refused("equation", "an equation that takes a diagonal")
    value, labels = values[0], terms[0]
    for k in range(1, len(values)):
        later = {label for term in terms[k + 1 :] for label in term} | set(result)
        value, labels = _pair(b, (value, labels), (values[k], terms[k]), later)
    value, labels = _summed(b, value, labels, set(result))
    return transpose(b, value, [labels.index(label) for label in result])


def _labels(equation: str, ranks: Sequence[int], node: Node) -> tuple[list[list[str]], list[str]]:
    """One label per axis of every input, and of the result; an ellipsis becomes labels of its own."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    given = left.split(",")
    if len(given) != len(ranks):
        raise UnsupportedModel(f"The ONNX model's {node} has the equation {equation!r} for {len(ranks)} inputs.")
    hidden = max(
        (rank - len(term.replace("...", "")) for term, rank in zip(given, ranks, strict=True) if "..." in term), default=0
    )

    def labelled(term: str, count: int) -> list[str]:
        before, dots, behind = term.partition("...")
        return [*before, *([f"*{k}" for k in range(hidden - count, hidden)] if dots else []), *behind]

    terms = [labelled(term, rank - len(term.replace("...", ""))) for term, rank in zip(given, ranks, strict=True)]
    if arrow:
        return terms, labelled(right, hidden)
    every = [label for term in terms for label in term]
    once = sorted(label for label in every if every.count(label) == 1 and not label.startswith("*"))
    return terms, [*(f"*{k}" for k in range(hidden)), *once]


def _summed(b: Builder, value: Value, labels: list[str], kept: set[str]) -> tuple[Value, list[str]]:
    """The value summed over the labels that nobody needs any more."""
    gone = [axis for axis, label in enumerate(labels) if label not in kept]
    if gone:
        value = reduce(b, "sum", b.traced(value), gone, keep=False)
    return value, [label for label in labels if label in kept]


def _pair(
    b: Builder, first: tuple[Value, list[str]], second: tuple[Value, list[str]], later: set[str]
) -> tuple[Value, list[str]]:
    """Two inputs multiplied, and summed over what only they have."""
    x, in_x = _summed(b, *first, later | set(second[1]))
    y, in_y = _summed(b, *second, later | set(in_x))
    shared = [label for label in in_x if label in in_y and label in later]
    inner = [label for label in in_x if label in in_y and label not in later]
    only_x = [label for label in in_x if label not in in_y]
    only_y = [label for label in in_y if label not in in_x]
    lengths: dict[str, Dim] = {}
    for value, labels in ((x, in_x), (y, in_y)):
        for label, n in zip(labels, value.shape, strict=True):
            lengths[label] = n if label not in lengths or same(lengths[label], 1) else lengths[label]

    def sizes(labels: Sequence[str], value: Value, held: list[str]) -> Row:
        return tuple(value.shape[held.index(label)] for label in labels)

    left = transpose(b, x, [in_x.index(label) for label in (*shared, *only_x, *inner)])
    left = b.reshape(left, (*sizes(shared, x, in_x), product(sizes(only_x, x, in_x)), product(sizes(inner, x, in_x))))
    right = transpose(b, y, [in_y.index(label) for label in (*shared, *inner, *only_y)])
    right = b.reshape(right, (*sizes(shared, y, in_y), product(sizes(inner, y, in_y)), product(sizes(only_y, y, in_y))))
    made = matmul(b, left, right)
    labels = [*shared, *only_x, *only_y]
    return b.reshape(made, [lengths[label] for label in labels]), labels
