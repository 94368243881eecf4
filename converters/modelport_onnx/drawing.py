"""The nodes of an ONNX file for who draws them: what reads what, and how many numbers each holds."""

from __future__ import annotations

import math
from typing import Any

from .proto import parse_model

__all__ = ["drawn"]

Step = tuple[str, str, tuple[str, ...], tuple[str, ...], int]
#: what a node without a named output is called
UNNAMED = "(no output)"


def drawn(data: bytes) -> tuple[list[tuple[str, str]], list[Step], list[tuple[str, str]]]:
    """Inputs as (name, type), nodes as (name, operator, values read, values made, numbers held), outputs as (name, value)."""
    graph = parse_model(data).graph
    held = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    held |= {tensor.values.name: math.prod(tensor.values.dims) for tensor in graph.sparse_initializer}
    inputs = [(value.name, _type(value.type)) for value in graph.input if value.name not in held]
    nodes: list[Step] = []
    for node in graph.node:
        reads = tuple(name for name in node.input if name and name not in held)
        makes = tuple(name for name in node.output if name)
        numbers = sum(held.get(name, 0) for name in set(node.input)) + sum(map(_numbers, node.attribute))
        nodes.append((makes[0] if makes else node.name or UNNAMED, node.op_type, reads, makes, numbers))
    return inputs, nodes, [(value.name, value.name) for value in graph.output]


def _numbers(attribute: Any) -> int:
    """How many numbers an attribute holds that may be learned: the tensor of a Constant, the lists of a tree ensemble."""
    tensor = math.prod(attribute.t.dims) if attribute.HasField("t") else 0
    return tensor + len(attribute.floats)


def _type(kind: Any) -> str:
    """An input's type as it is written elsewhere, such as f64[batch, 3]."""
    import onnx

    if not kind.HasField("tensor_type"):
        return ""
    tensor = kind.tensor_type
    dims = [str(d.dim_param or (d.dim_value if d.HasField("dim_value") else "?")) for d in tensor.shape.dim]
    name = (
        onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        if tensor.elem_type in onnx.TensorProto.DataType.values()
        else "?"
    )
    return f"{name}[{', '.join(dims)}]"
