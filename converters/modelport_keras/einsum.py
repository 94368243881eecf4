"""Einstein sums as matrix products: of a value with a kernel, and of two values."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from .builder import Copy, Value
from .network import Array, Layer
from .walking import Walker

__all__ = ["einsum", "einsum_dense"]


def _parts(where: object, equation: str, count: int) -> tuple[list[str], str]:
    """The labels of the operands and of the result; an ellipsis stands for no axis here."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    operands = left.split(",")
    if not arrow or len(operands) != count or any(len(set(o)) != len(o) for o in (*operands, right)):
        raise UnsupportedModel(f"{where}: the equation {equation!r} is not read.")
    return operands, right


def _expanded(where: object, equation: str, ranks: list[int]) -> str:
    """The equation with its ellipsis written out."""
    if "..." not in equation:
        return equation
    left, _, _ = equation.replace(" ", "").partition("->")
    free = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in equation]
    operands = left.split(",")
    counts = [rank - (len(o) - 3) for o, rank in zip(operands, ranks, strict=True) if "..." in o]
    if len(set(counts)) != 1 or counts[0] > len(free):
        raise UnsupportedModel(f"{where}: the equation {equation!r} is not read.")
    names = "".join(free[: counts[0]])
    return equation.replace("...", names)


def einsum_dense(walker: Walker, layer: Layer, value: Value, equation: str, kernel: Array, bias: Array | None) -> Value:
    """An einsum of a value, the batch first, with a kernel that has no batch."""
    equation = _expanded(layer, equation, [value.rank + 1, kernel.ndim])
    (x, k), out = _parts(layer, equation, 2)
    if x[0] != out[:1] or x[0] in k:
        raise UnsupportedModel(f"{layer}: the equation {equation!r} does not keep the batch first.")
    x, out = x[1:], out[1:]
    summed = [c for c in k if c in x and c not in out]
    fresh = [c for c in k if c not in x]
    shared = [c for c in k if c in x and c in out]
    if any(c not in k and c not in out for c in x) or any(c not in out for c in fresh):
        raise UnsupportedModel(f"{layer}: the equation {equation!r} sums over an axis of one operand only, which is not read.")
    lead = [c for c in x if c not in summed]
    net = walker.net
    sizes = {c: kernel.shape[k.index(c)] for c in k}
    if shared:
        made = _product_with(walker, value, x, kernel, k, shared, summed, fresh)
        now = [*(c for c in lead if c not in shared), *fresh]
        now = [*shared, *now]
        name = made
    else:
        order = tuple(x.index(c) for c in (*lead, *summed))
        name = value.form(order)
        kept = net.kept(name)[: len(lead)]
        if len(summed) != 1:
            name = net.reshape(name, [*kept, int(np.prod([sizes[c] for c in summed], dtype=np.int64))])
        weight = kernel.transpose([k.index(c) for c in (*fresh, *summed)])
        weight = weight.reshape(int(np.prod([sizes[c] for c in fresh], dtype=np.int64)), -1)
        flat = None
        if bias is not None and _is_tail(out, fresh, bias):
            flat, bias = np.broadcast_to(bias, [sizes[c] for c in fresh]).ravel(), None
        name = net.add("linear", name, weight=weight, bias=flat)
        if len(fresh) != 1:
            name = net.reshape(name, [*net.kept(name)[:-1], *(sizes[c] for c in fresh)])
        now = [*lead, *fresh]
    made_value = net.value(name, tuple(out.index(c) for c in now))
    if bias is not None:
        made_value = net.join("binary", made_value, net.value(net.constant(bias, value.dtype)), fn="add")
    return made_value


def _is_tail(out: str, fresh: list[str], bias: Array) -> bool:
    """Whether a bias belongs to the axes that the kernel makes, which are the last ones of the result, in their order."""
    return bias.ndim == len(fresh) and out.endswith("".join(fresh))


def _product_with(
    walker: Walker, value: Value, x: str, kernel: Array, k: str, shared: list[str], summed: list[str], fresh: list[str]
) -> str:
    """The product where kernel and value share axes that stay: one matrix product per index of them."""
    net = walker.net
    lead = [c for c in x if c not in summed and c not in shared]
    order = tuple(x.index(c) for c in (*shared, *lead, *summed))
    name = value.form(order)
    axes = net.kept(name)
    count = len(lead)
    sizes = {c: kernel.shape[k.index(c)] for c in k}
    varying = [a for a in axes[len(shared) : len(shared) + count] if isinstance(a, Copy)]
    if len(varying) > 1 or (varying and count > 1):
        raise UnsupportedModel("An einsum with several axes of any length beside shared ones is not read.")
    middle = axes[len(shared) : len(shared) + count]
    rows: Any = middle[0] if count == 1 else int(np.prod([a for a in middle if not isinstance(a, Copy)] or [1]))
    depth = int(np.prod([sizes[c] for c in summed] or [1]))
    flat = net.reshape(name, [*axes[: len(shared)], rows, depth])
    weight = kernel.transpose([k.index(c) for c in (*shared, *summed, *fresh)])
    weight = weight.reshape([*(sizes[c] for c in shared), depth, -1])
    made = net.add("matmul", flat, net.constant(weight, value.dtype))
    left = net.kept(made)
    middle = [left[len(shared)]] if count == 1 else middle
    return net.reshape(made, [*left[: len(shared)], *middle, *(sizes[c] for c in fresh)])


def einsum(walker: Walker, where: object, equation: str, left: Value, right: Value) -> Value:
    """An einsum of two values, the batch first in both and in the result."""
    equation = _expanded(where, equation, [left.rank + 1, right.rank + 1])
    (a, b), out = _parts(where, equation, 2)
    if not a[0] == b[0] == out[:1]:
        raise UnsupportedModel(f"{where}: the equation {equation!r} does not keep the batch first.")
    a, b, out = a[1:], b[1:], out[1:]
    shared = [c for c in a if c in b and c in out]
    summed = [c for c in a if c in b and c not in out]
    mine, theirs = [c for c in a if c not in b], [c for c in b if c not in a]
    if any(c not in out for c in (*mine, *theirs)) or len(mine) > 1 or len(theirs) > 1 or len(summed) != 1:
        raise UnsupportedModel(f"{where}: the equation {equation!r} is not read.")
    net = walker.net
    first = left.form(tuple(a.index(c) for c in (*shared, *mine, *summed)))
    second = right.form(tuple(b.index(c) for c in (*shared, *summed, *theirs)))
    first = first if mine else net.insert(first, len(shared))
    second = second if theirs else net.insert(second, -1)
    made = net.add("matmul", first, second)
    if not theirs:
        made = net.drop(made, len(net.near[made].shape) - 1)
    if not mine:
        made = net.drop(made, len(shared))
    return net.value(made, tuple(out.index(c) for c in (*shared, *mine, *theirs)))
