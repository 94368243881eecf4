"""What an ONNX file holds, told without running it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from . import metadata
from .proto import nodes, parse_model

__all__ = ["describe"]


def describe(data: bytes) -> dict[str, Any]:
    """Versions, producer, inputs, outputs, nodes by operator (subgraphs included), initializers and sizes, as plain values.

    Raises ArtifactError when the bytes are no ONNX model.
    """
    model = parse_model(data)
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
        "metadata": sorted(entry.key for entry in model.metadata_props),
        "modelport": any(entry.key == metadata.KEY for entry in model.metadata_props),
    }


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
