"""What an ONNX file holds, told without running it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
from modelport_json.sizes import members

from . import metadata
from .proto import nodes, parse_model

__all__ = ["describe", "parts", "sizes"]

#: attributes that hold numbers of the model: the fields of a protobuf AttributeProto
NUMBERS = ("floats", "ints")


def describe(data: bytes) -> dict[str, Any]:
    """Versions, producer, inputs, outputs, nodes by operator (subgraphs included), initializers and sizes, as plain values.

    Raises ArtifactError when the bytes are no ONNX model.
    """
    model = parse_model(data)
    document = _document(model)
    kinds = Counter(f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in nodes(model))
    return {
        "ir_version": model.ir_version,
        "producer": " ".join(filter(None, (model.producer_name, model.producer_version))),
        "opsets": {entry.domain: entry.version for entry in model.opset_import},
        "inputs": [_value(v) for v in model.graph.input],
        "outputs": [_value(v) for v in model.graph.output],
        "nodes": dict(sorted(kinds.items())),
        "initializers": len(model.graph.initializer),
        "initializer_bytes": sum(t.ByteSize() for t in model.graph.initializer),
        "bytes": len(data),
        "target": json.loads(document).get("target") if document else None,
        "metadata": sorted(entry.key for entry in model.metadata_props),
        "modelport": any(entry.key == metadata.KEY for entry in model.metadata_props),
    }


def _document(model: Any) -> str:
    """The text of our metadata, or nothing."""
    return next((str(entry.value) for entry in model.metadata_props if entry.key == metadata.KEY), "")


def sizes(data: bytes) -> dict[str, int]:
    """Bytes of the graph with its weights ("model") and of the vectors."""
    model = parse_model(data)
    document = _document(model)
    return {"model": model.graph.ByteSize(), "vectors": dict(members(document)).get("verification", 0) if document else 0}


def parts(data: bytes) -> list[tuple[str, str, dict[str, Any]]]:
    """The nodes of the graph in order, as (first output, operator, parameters): the tensors that a node reads or holds."""
    from onnx import numpy_helper

    model = parse_model(data)
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        parameters: dict[str, Any] = {
            f"input {j}": numpy_helper.to_array(known[name]) for j, name in enumerate(node.input) if name in known
        }
        for attribute in node.attribute:
            if attribute.HasField("t"):
                parameters[attribute.name] = numpy_helper.to_array(attribute.t)
            for numbers in filter(len, (getattr(attribute, f) for f in NUMBERS)):
                parameters[attribute.name] = np.array(numbers)
            if attribute.strings:
                parameters[attribute.name] = np.array([s.decode("utf-8", "replace") for s in attribute.strings], dtype=object)
        kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        found.append((node.output[0] if node.output else node.name, kind, parameters))
    return found


def _value(info: Any) -> dict[str, Any]:
    import onnx

    if not info.type.HasField("tensor_type"):
        return {"name": info.name, "type": info.type.WhichOneof("value") or "unknown", "shape": None}
    tensor = info.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]
    known = tensor.elem_type in onnx.TensorProto.DataType.values()
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower() if known else f"type {tensor.elem_type}"
    return {"name": info.name, "type": kind, "shape": shape}
