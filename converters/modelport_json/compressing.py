"""Weights made small at the price of accuracy: quantized to one byte, or without their smallest elements.

What a reader of the document gets is what `Packed.elements` says; how far the model moves by it is measured by who asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelport.errors import UsageError
from modelport.graph import DTYPES, Graph, Step
from modelport.ops.base import dtype_name

from .tensors import Packed

Array = NDArray[Any]

#: op -> the attributes that hold its weights
WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "linear": ("weight",),
    "conv": ("weight",),
    "conv_transpose": ("weight",),
    "embedding": ("weight",),
    "lstm": ("weight", "recurrent"),
    "gru": ("weight", "recurrent"),
    "rnn": ("weight", "recurrent"),
}
#: smaller weights stay as they are: they cost little, and each of their elements counts
FEWEST_ELEMENTS = 1024
LARGEST_CODE = 127


def packing(graph: Graph, options: Mapping[str, Any]) -> dict[tuple[str, str], Packed]:
    """(step's output, attribute) -> how its weight is written, for the options `quantize` and `prune`; all others stay exact.

    quantize is "int8": every weight becomes integers of one byte with a scale per index of its first axis. prune is a share above
    0 and below 1: so many of the elements of every weight, the smallest by magnitude, become 0. Both may be asked for: small
    elements go first. Weights that hold NaN or infinities stay.
    """
    quantize, prune = options.get("quantize"), options.get("prune")
    if quantize not in (None, "int8"):
        raise UsageError(f"quantize={quantize!r} is not known to json; it is 'int8'.")
    number = isinstance(prune, (int, float)) and not isinstance(prune, bool)
    if prune is not None and not (number and 0 < prune < 1):
        raise UsageError(f"prune={prune!r} is no share above 0 and below 1, such as 0.5.")
    if quantize is None and prune is None:
        return {}
    found = {}
    for step, name in _weights(graph):
        packed = _packed(step.attributes[name], quantize is not None, float(prune or 0))
        if packed is not None:
            found[step.output, name] = packed
    return found


def _weights(graph: Graph) -> Iterator[tuple[Step, str]]:
    """The steps and attributes that hold large weights; constants are weights where a matmul reads them."""
    multiplied = {name for step in graph.steps if step.op == "matmul" for name in step.inputs}
    for step in graph.steps:
        names = WEIGHTS.get(step.op, ("value",) if step.op == "constant" and step.output in multiplied else ())
        for name in names:
            if step.attributes[name].dtype.kind == "f" and step.attributes[name].size >= FEWEST_ELEMENTS:
                yield step, name


def _packed(weight: Array, quantize: bool, share: float) -> Packed | None:
    """None where the weight has to stay as it is, or would not become smaller."""
    if not np.isfinite(weight).all():
        return None
    dtype = dtype_name(weight)
    values = pruned(weight, share)
    if quantize:
        codes, scale = quantized(values)
        if not np.isfinite(codes.astype(DTYPES[dtype]) * scale.reshape(-1, *[1] * (weight.ndim - 1))).all():
            return None
        packed = Packed(codes, scale, dtype)
    else:
        packed = Packed(values, None, dtype)
    mask = packed.values != 0
    gone = (mask.size - int(np.count_nonzero(mask))) * packed.values.itemsize
    if share and gone > -(-mask.size // 8):
        return Packed(packed.values, packed.scale, dtype, mask)
    return packed if quantize or share else None


def pruned(weight: Array, share: float) -> Array:
    """The weight with a share of its elements, the smallest by magnitude, set to 0; of equal ones the first.

    >>> pruned(np.array([[3.0, -1.0], [0.5, 2.0]]), 0.5).tolist()
    [[3.0, 0.0], [0.0, 2.0]]
    """
    count = math.floor(share * weight.size)
    if not count:
        return weight
    values = weight.copy().reshape(-1)
    values[np.argsort(np.abs(values), kind="stable")[:count]] = 0
    return values.reshape(weight.shape)


def quantized(weight: Array) -> tuple[Array, Array]:
    """Codes of one byte and the scale per index of the first axis: the largest magnitude of it is 127 times its scale.

    >>> codes, scale = quantized(np.array([[1.27, -0.5], [0.0, 0.0]]))
    >>> codes.tolist(), scale.tolist()
    ([[127, -50], [0, 0]], [0.01, 1.0])
    """
    lines = weight.reshape(len(weight), -1)
    scale = (np.abs(lines).max(axis=1) / LARGEST_CODE).astype(weight.dtype)
    scale[scale == 0] = 1
    codes = np.rint(lines.astype(np.float64) / scale.astype(np.float64)[:, None])
    return np.clip(codes, -LARGEST_CODE, LARGEST_CODE).astype(np.int8).reshape(weight.shape), scale
