"""A foreign ONNX model as an artifact: the declaration, the vectors and the provenance are put beside its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelport.document import Document
from modelport.errors import Unsupported
from modelport.graph import Graph, Input, bind

from . import metadata, targets
from .audit import drop_empty_inputs, refuse_external
from .lengths import declared, names_of
from .proto import nodes, parse_model, tensors
from .wire import ELEMENT_TYPES

__all__ = ["adopt_model"]

#: elements per row that a model of unknown make may hold at once, and how many for each it is fed; decides how many rows are run
#: together
WIDEST = 4096
GROWTH = 32


def adopt_model(data: bytes, document: Document, fields: Mapping[str, Sequence[str]], options: Mapping[str, Any]) -> bytes:
    """See `modelport_onnx.adopt`."""
    model = parse_model(data)
    graph = document.graph
    refuse_external(model)
    given = {v.name: v for v in model.graph.output}
    names = {}
    for output in graph.outputs:
        found = list(fields.get(output.name, [output.name]))
        if len(found) != 1 or found[0] not in given or _dtype(given[found[0]]) != ELEMENT_TYPES[output.dtype]:
            raise Unsupported(f"The ONNX model gives no {output.dtype} tensor {output.name!r}, which the original does.")
        names[output.name] = found[0]
    _check_inputs(model, graph)
    target = targets.parse(options.get("target", targets.DEFAULT))
    _check_versions(model, target)
    del model.graph.output[:]
    model.graph.output.extend(given[name] for name in names.values())
    foreign = [entry for entry in model.metadata_props if entry.key not in (metadata.KEY, metadata.DIGEST)]
    del model.metadata_props[:]
    model.metadata_props.extend(foreign)
    forget_origins(model)
    drop_empty_inputs(model)
    fed = sum(graph.types[v.name].width for v in graph.inputs)
    sealed = model.SerializeToString(deterministic=True)
    return metadata.seal(sealed, document, names, target.name, max(WIDEST, GROWTH * fed), _shapes(document))


# --- what it takes ------------------------------------------------------------------------------------------------------------


def _dtype(value: Any) -> int:
    """The element type of a tensor, 0 for anything else."""
    return int(value.type.tensor_type.elem_type) if value.type.HasField("tensor_type") else 0


def _check_inputs(model: Any, graph: Graph) -> None:
    """Unsupported for a model that takes others than the graph's inputs, or rows of other shapes."""
    constant = {tensor.name for tensor in model.graph.initializer}
    found = {v.name: v for v in model.graph.input if v.name not in constant}
    wanted = {v.name: ELEMENT_TYPES[v.dtype] for v in graph.inputs}
    if {name: _dtype(v) for name, v in found.items()} != wanted:
        raise Unsupported(f"The ONNX model reads {sorted(found)} and not the original's inputs {[v.name for v in graph.inputs]}.")
    for value in graph.inputs:
        _check_shape(value, found[value.name])


def _check_shape(value: Input, info: Any) -> None:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return
    axes = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    wanted = [None, *(None if isinstance(k, str) else k for k in value.shape)]
    fits = len(axes) == len(wanted) and all(k is None or k == other for k, other in zip(axes, wanted, strict=True))
    if not fits:
        said = ", ".join("any" if k is None else str(k) for k in axes)
        raise Unsupported(
            f"The ONNX model takes {value.name!r} of the shape [{said}]; the original takes [rows, "
            f"{', '.join(map(str, value.shape))}], any number of rows."
        )


def _check_versions(model: Any, target: targets.Target) -> None:
    """Unsupported for a model of newer versions than the oldest runtime that must run it reads."""
    known = max(release for release in targets.RELEASES if release <= target.release)
    opset, ml, ir = targets.RELEASES[known]
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    found = (versions.get("ai.onnx", 0), versions.get("ai.onnx.ml", 0), model.ir_version)
    for what, version, newest in zip(("ai.onnx", "ai.onnx.ml", "IR"), found, (opset, ml, ir), strict=True):
        if version > newest:
            raise Unsupported(f"The ONNX model is of {what} version {version}, and {target.name} reads at most {newest}.")


# --- what it carries ----------------------------------------------------------------------------------------------------------


def forget_origins(model: Any) -> None:
    """Take out what exporters note at nodes and values: lines of source code, paths, traces; and types of initializers, which
    onnxruntime's quantization stumbles over.
    """
    constant = {tensor.name for tensor in model.graph.initializer}
    kept = [v for v in model.graph.value_info if v.name not in constant]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    graph = model.graph
    noted = [*nodes(model), *tensors(model), *graph.value_info, *graph.input, *graph.output, graph, *model.functions]
    for item in noted:
        item.ClearField("doc_string")
        if hasattr(item, "metadata_props"):
            del item.metadata_props[:]


def _shapes(document: Document) -> metadata.Shapes | None:
    """The row shapes of outputs that a graph of other lengths does not tell: those that the vectors have."""
    graph, vectors = document.graph, document.vectors
    if not graph.lengths:
        return None
    found = declared(graph, [output.source for output in graph.outputs])
    free, sets = names_of(graph), [] if vectors is None else vectors.sets()
    lengths = [bind(graph.inputs, {v.name: part.inputs[v.name].shape[1:] for v in graph.inputs}) for part in sets]
    shapes: dict[str, metadata.Shape] = {}
    for output in graph.outputs:
        if output.source in free:
            shapes[output.name] = found[output.source]
            continue
        rows = [part.outputs[output.name].shape[1:] for part in sets]
        axes: list[int | str | None] = [None] * len(graph.types[output.source].shape)
        if len({len(row) for row in rows}) == 1:
            axes = [_axis([row[i] for row in rows], lengths, graph) for i in range(len(rows[0]))]
        shapes[output.name] = tuple(axes)
    return shapes


def _axis(seen: list[int], lengths: list[dict[str, int]], graph: Graph) -> int | str | None:
    """What an axis has been, a number or a named length, where rows of more than one length of every name tell it; else None."""
    if any(len({at[name] for at in lengths}) < 2 for name in graph.lengths):
        return None
    named = [name for name in graph.lengths if seen == [at[name] for at in lengths]]
    if len(named) == 1:
        return named[0]
    return seen[0] if len(set(seen)) == 1 else None
