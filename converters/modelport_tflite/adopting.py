"""A foreign LiteRT model as an artifact: its signature is held against what the document declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelport.document import Document
from modelport.errors import ArtifactError, Unsupported

from .container import Package, pack
from .running import Interpreter

__all__ = ["adopt_model"]


def adopt_model(model: bytes, document: Document, fields: Mapping[str, Sequence[str]]) -> bytes:
    """See `modelport_tflite.adopt`."""
    graph = document.graph
    inputs = {value.name: _bound(value.name, fields) for value in graph.inputs}
    outputs = {output.name: _bound(output.name, fields) for output in graph.outputs}
    try:
        interpreter = Interpreter(model)
        interpreter.check(inputs, outputs, graph)
    except ArtifactError as error:
        raise Unsupported(f"The LiteRT model is not what the original takes and gives: {error}") from None
    return pack(Package(model, document, inputs, outputs))


def _bound(name: str, fields: Mapping[str, Sequence[str]]) -> str:
    """The name of an input or output in the signature."""
    found = list(fields.get(name, [name]))
    if len(found) != 1:
        raise Unsupported(f"The LiteRT model gives {name!r} as {len(found)} tensors; one is needed.")
    return found[0]
