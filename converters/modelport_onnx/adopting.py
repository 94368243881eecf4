"""A foreign ONNX model as an artifact: the declaration, the vectors and the provenance are put beside its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelport.document import Document
from modelport.errors import Unsupported

from . import metadata, targets
from .proto import parse_model
from .wire import ELEMENT_TYPES

__all__ = ["adopt_model"]

#: elements per row that a model of unknown make may hold at once; decides how many rows are run together
WIDEST = 4096


def adopt_model(data: bytes, document: Document, fields: Mapping[str, Sequence[str]], options: Mapping[str, Any]) -> bytes:
    """See `modelport_onnx.adopt`."""
    model = parse_model(data)
    graph = document.graph
    given = {v.name: v for v in model.graph.output}
    names = {}
    for output in graph.outputs:
        found = list(fields.get(output.name, [output.name]))
        if len(found) != 1 or found[0] not in given or _dtype(given[found[0]]) != ELEMENT_TYPES[output.dtype]:
            raise Unsupported(f"The ONNX model gives no {output.dtype} tensor {output.name!r}, which the original does.")
        names[output.name] = found[0]
    taken = {v.name: _dtype(v) for v in model.graph.input}
    if taken != {v.name: ELEMENT_TYPES[v.dtype] for v in graph.inputs}:
        raise Unsupported(f"The ONNX model reads {sorted(taken)} and not the original's inputs {[v.name for v in graph.inputs]}.")
    target = targets.parse(options.get("target", targets.DEFAULT))
    _check_versions(model, target)
    del model.graph.output[:]
    model.graph.output.extend(given[name] for name in names.values())
    foreign = [entry for entry in model.metadata_props if entry.key not in (metadata.KEY, metadata.DIGEST)]
    del model.metadata_props[:]
    model.metadata_props.extend(foreign)
    return metadata.seal(model.SerializeToString(deterministic=True), document, names, target.name, WIDEST)


def _dtype(value: Any) -> int:
    """The element type of a tensor, 0 for anything else."""
    return int(value.type.tensor_type.elem_type) if value.type.HasField("tensor_type") else 0


def _check_versions(model: Any, target: targets.Target) -> None:
    """Unsupported for a model of newer versions than the oldest runtime that must run it reads."""
    known = max(release for release in targets.RELEASES if release <= target.release)
    opset, ml, ir = targets.RELEASES[known]
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    found = (versions.get("ai.onnx", 0), versions.get("ai.onnx.ml", 0), model.ir_version)
    for what, version, newest in zip(("ai.onnx", "ai.onnx.ml", "IR"), found, (opset, ml, ir), strict=True):
        if version > newest:
            raise Unsupported(f"The ONNX model is of {what} version {version}, and {target.name} reads at most {newest}.")
