"""ONNX bytes as protobuf objects of the package onnx, and walks over them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from modelport.errors import ArtifactError, MissingDependency

from . import wire

__all__ = ["imported", "nodes", "parse_model", "tensors"]


def imported(name: str) -> Any:
    """A package that reading ONNX files needs."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency(f"ONNX files need {name}, which cannot be imported: pip install 'modelport[onnx]'.") from error


def parse_model(data: bytes) -> Any:
    """The bytes as an onnx.ModelProto with a graph; ArtifactError when they are no such thing."""
    onnx = imported("onnx")
    if not wire.looks_like_model(data[:4096]):
        raise ArtifactError("The file is no ONNX model: it does not begin like one.")
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # google.protobuf's DecodeError, which moves between releases
        raise ArtifactError(f"The file is no ONNX model: its protobuf encoding is damaged ({error}).") from None
    if not model.HasField("graph") or not model.graph.output:
        raise ArtifactError("The file is no ONNX model: it holds no graph with outputs.")
    return model


def _graphs_and_nodes(model: Any) -> Iterator[tuple[Any, Any]]:
    """Every graph as (graph, None) and every node as (None, node), in subgraphs and functions too."""
    graphs, waiting = [model.graph], [node for function in model.functions for node in function.node]
    while graphs or waiting:
        if graphs:
            graph = graphs.pop()
            yield graph, None
            waiting.extend(graph.node)
            continue
        node = waiting.pop()
        yield None, node
        for attribute in node.attribute:
            graphs += [attribute.g] if attribute.HasField("g") else []
            graphs.extend(attribute.graphs)


def nodes(model: Any) -> Iterator[Any]:
    """Every node."""
    return (node for _, node in _graphs_and_nodes(model) if node is not None)


def tensors(model: Any) -> Iterator[Any]:
    """Every tensor: initializers and attributes."""
    for graph, node in _graphs_and_nodes(model):
        holders = [graph] if node is None else list(node.attribute)
        for holder in holders:
            if node is None:
                yield from holder.initializer
                sparse = list(holder.sparse_initializer)
            else:
                yield from ([holder.t] if holder.HasField("t") else [])
                yield from holder.tensors
                sparse = [*([holder.sparse_tensor] if holder.HasField("sparse_tensor") else []), *holder.sparse_tensors]
            for pair in sparse:
                yield from (pair.values, pair.indices)
