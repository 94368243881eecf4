"""What an ONNX model of ours carries beside its graph: the declaration of inputs and outputs, vectors, provenance, digests.

metadata_props has two entries. `modelport.document` is one JSON object:

    {"format": "modelport-onnx", "version": "1.0", "name"?, "doc"?, "target": "onnxruntime>=1.21",
     "lengths"?: {"time": 7},   an example of every named length
     "inputs": [{"name", "dtype", "shape", "missing", "features"?}],
     "outputs": [{"name", "onnx"?, "dtype", "shape", "role", "classes"?}],   "onnx": its name in the graph, where that differs
     "null"?: the string that stands for a missing one,
     "block": rows to run at once,
     "verification"?: as in docs/format.md, section 10,
     "provenance"?: {...}}

A shape has a number, or a named length, per axis of the row; that of an output has null where the length only follows from named
ones. With named lengths, and with further sets of rows, the version is "1.1".

`modelport.digest` is {"graph": SHA-256 of the file without metadata_props, "document": SHA-256 of the document's text}, so that
every flipped bit is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from modelport_json.strict import parse
from modelport_json.tensors import decode
from modelport_json.write import verification

from modelport.document import Document, Tolerance, Vectors, check_vectors
from modelport.errors import ArtifactError, Unsupported
from modelport.graph import LIMITS, Input, Output, bind

from . import wire
from .builder import NULL
from .lengths import declared

__all__ = ["DIGEST", "KEY", "Metadata", "Shape", "Shapes", "fits", "read", "resealed", "row_by_row", "seal"]

#: a row shape as it is declared: numbers, named lengths, None for what is not said
Shape = tuple[int | str | None, ...]
Shapes = Mapping[str, Shape]

KEY, DIGEST = "modelport.document", "modelport.digest"
FORMAT = "modelport-onnx"
BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class Metadata:
    """A model's declared inputs and outputs; `names` maps each output to its name in the ONNX graph."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    names: Mapping[str, str]
    shapes: Shapes
    vectors: Vectors | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    null: str | None = None
    block: int | None = None
    lengths: Mapping[str, int] = field(default_factory=dict)


def fits(shape: tuple[int, ...], declared_: Shape, lengths: Mapping[str, int]) -> bool:
    """Whether a row has the shape that is declared, for the lengths of its inputs."""
    return len(shape) == len(declared_) and all(
        wanted is None or k == (lengths.get(wanted) if isinstance(wanted, str) else wanted)
        for k, wanted in zip(shape, declared_, strict=True)
    )


# --- writing ------------------------------------------------------------------------------------------------------------------


def seal(
    model: bytes, document: Document, names: Mapping[str, str], target: str, widest: int, shapes: Shapes | None = None
) -> bytes:
    """The model with the document's metadata appended; `names` as in Metadata, `widest` the elements of its widest row.

    shapes are the row shapes of the outputs, where they are not those of the document's graph.
    """
    graph, vectors = document.graph, document.vectors
    later = bool(graph.lengths) or (vectors is not None and bool(vectors.more))
    content: dict[str, Any] = {"format": FORMAT, "version": "1.1" if later else "1.0", "target": target}
    content.update({key: text for key, text in (("name", graph.name), ("doc", document.doc)) if text is not None})
    if graph.lengths:
        content["lengths"] = dict(graph.lengths)
    if shapes is None:
        found = declared(graph, [output.source for output in graph.outputs])
        shapes = {output.name: found[output.source] for output in graph.outputs}
    content["inputs"] = [_declared(v) for v in graph.inputs]
    content["outputs"] = [_output(o, shapes[o.name], names[o.name]) for o in graph.outputs]
    if any(value.dtype == "str" for value in graph.types.values()):
        content["null"] = NULL
    content["block"] = max(1, BLOCK_ELEMENTS // widest)
    if vectors is not None:
        content["verification"] = json.loads(verification(vectors, graph))
    if document.provenance:
        content["provenance"] = dict(document.provenance)
    return _sealed(model, _json(content))


def _sealed(model: bytes, text: str) -> bytes:
    return model + wire.metadata(KEY, text) + wire.metadata(DIGEST, _json(_digests(model, text.encode())))


def resealed(model: bytes, text: str) -> bytes:
    """A model whose graph was changed, without our metadata, with the text of the document that it had."""
    return _sealed(model, text)


def _declared(value: Input) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": value.name, "dtype": value.dtype, "shape": list(value.shape), "missing": value.missing}
    return fields if value.features is None else {**fields, "features": list(value.features)}


def _output(output: Output, shape: Shape, name: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": output.name, "dtype": output.dtype, "shape": list(shape), "role": output.role}
    if name != output.name:
        fields["onnx"] = name
    return fields if output.classes is None else {**fields, "classes": list(output.classes)}


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _digests(data: bytes, text: bytes) -> dict[str, str]:
    """SHA-256 of an encoded model without its metadata_props, and of its document's text."""
    graph, view = hashlib.sha256(), memoryview(data)
    for item in wire.fields(view):
        if item.number != wire.METADATA_FIELD:
            graph.update(view[item.start : item.end])
    return {"graph": graph.hexdigest(), "document": hashlib.sha256(text).hexdigest()}


def row_by_row(text: str) -> str:
    """The text of a document of ours, for a model whose rows are to be run one at a time."""
    return _json({**json.loads(text), "block": 1})


# --- reading ------------------------------------------------------------------------------------------------------------------


def read(data: bytes, entries: Mapping[str | bytes, str | bytes], check_digest: bool = True) -> Metadata | None:
    """What a model's bytes declare, of which `entries` is metadata_props; None for a model that is not ours.

    Raises ArtifactError when it is damaged or, with `check_digest`, when the file is not the one that was written.
    """
    if KEY not in entries and DIGEST not in entries:
        return None
    # protobuf gives text that is no UTF-8 as bytes
    document, digest = (v if isinstance(v, bytes) else v.encode() for v in (entries.get(KEY, b""), entries.get(DIGEST, b"")))
    if check_digest:
        _check_digests(data, document, digest)
    content = parse(document)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ArtifactError(f"The metadata {KEY!r} is not an object of format {FORMAT!r}.")
    if str(content.get("version")).partition(".")[0] != "1":
        raise Unsupported(f"The model's metadata is of version {content.get('version')!r}; this reader knows version 1.")
    try:
        return _metadata(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"The metadata {KEY!r} is not well-formed: {type(error).__name__} {error}.") from None


def _check_digests(data: bytes, document: bytes, digest: bytes) -> None:
    written = parse(digest) if digest else None
    for part, found in _digests(data, document).items():
        if not isinstance(written, dict) or written.get(part) != found:
            raise ArtifactError(
                f"The {part} in this ONNX file is not the one that was written: it was damaged or edited (its SHA-256 differs). "
                "Convert the model again, or load it with digest=False."
            )


def _metadata(content: Mapping[str, Any]) -> Metadata:
    inputs = tuple(
        Input(v["name"], v["dtype"], _shape(v["shape"], "input"), v["missing"], _listed(v, "features")) for v in content["inputs"]
    )
    outputs = tuple(Output(o["name"], o["name"], o["dtype"], o["role"], _listed(o, "classes")) for o in content["outputs"])
    names = {o["name"]: str(o.get("onnx", o["name"])) for o in content["outputs"]}
    shapes = {o["name"]: _shape(o["shape"], "output") for o in content["outputs"]}
    unique = len({v.name for v in inputs}) == len(inputs) and len(names) == len(outputs) == len(set(names.values()))
    null, block, provenance = content.get("null"), content.get("block"), content.get("provenance", {})
    good = isinstance(null, (str, type(None))) and isinstance(block, (int, type(None))) and isinstance(provenance, dict)
    if not (inputs and outputs and unique and good and (block is None or block >= 1)):
        raise ArtifactError(f"The metadata {KEY!r} is not well-formed: names occur twice, or a field has a wrong kind.")
    lengths = _lengths(content.get("lengths", {}), inputs, shapes)
    found = _vectors(content["verification"], inputs, outputs, shapes) if "verification" in content else None
    return Metadata(inputs, outputs, names, shapes, found, provenance, null, block, lengths)


def _listed(fields: Mapping[str, Any], key: str) -> tuple[Any, ...] | None:
    return None if fields.get(key) is None else tuple(fields[key])


def _shape(value: Any, kind: str) -> tuple[Any, ...]:
    def sound(k: Any) -> bool:
        if isinstance(k, int):
            return not isinstance(k, bool) and k >= 0
        return (isinstance(k, str) and bool(k)) or (k is None and kind == "output")

    if not isinstance(value, list) or len(value) > LIMITS.rank or not all(map(sound, value)):
        raise ArtifactError(
            f"The metadata {KEY!r} declares the row shape {value!r}; it is a list of non-negative integers and names of lengths."
        )
    return tuple(value)


def _lengths(value: Any, inputs: tuple[Input, ...], shapes: Shapes) -> dict[str, int]:
    """An example for every named length of the inputs, and for no other; outputs have none of their own."""
    named = {name for v in inputs for name in v.lengths}
    used = {k for shape in shapes.values() for k in shape if isinstance(k, str)}
    sound = isinstance(value, dict) and set(value) == named and used <= named
    if not sound or not all(type(k) is int and 1 <= k <= LIMITS.length for k in value.values()):
        raise ArtifactError(f"The metadata {KEY!r} gives the lengths {value!r}, where {sorted(named | used)} are named.")
    return dict(value)


def _vectors(value: Any, inputs: tuple[Input, ...], outputs: tuple[Output, ...], shapes: Shapes) -> Vectors:
    tolerance = {name: Tolerance.from_json(bound) for name, bound in value["tolerance"].items()}
    source = value.get("source", "synthetic")
    further = value.get("more", [])
    if not isinstance(further, list):
        raise ArtifactError("The vectors' 'more' is no list of further sets of rows.")
    first, *more = (_set(part, inputs, outputs, tolerance, source) for part in (value, *further))
    vectors = replace(first, more=tuple(more))
    check_vectors(vectors, inputs, outputs)
    for part in vectors.sets():
        lengths = bind(inputs, {v.name: part.inputs[v.name].shape[1:] for v in inputs})
        for name, shape in shapes.items():
            if not fits(np.shape(part.outputs[name])[1:], shape, lengths):
                raise ArtifactError(f"The vectors of output {name!r} have another row shape than {list(shape)}.")
    return vectors


def _set(
    value: Any, inputs: tuple[Input, ...], outputs: tuple[Output, ...], tolerance: Mapping[str, Tolerance], source: str
) -> Vectors:
    arrays = [
        {v.name: decode(value[kind][v.name], v.dtype, f"The vectors of {kind[:-1]} {v.name!r}") for v in declared_}
        for kind, declared_ in (("inputs", inputs), ("outputs", outputs))
        if len(value[kind]) == len(declared_)
    ]
    if len(arrays) != 2:
        raise ArtifactError("The vectors' inputs and outputs are not exactly the model's.")
    return Vectors(arrays[0], arrays[1], tolerance, source, tuple(value.get("rows", ())))
