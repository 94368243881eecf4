"""What the XML cannot say by itself, in Extensions of the Header.

The declared inputs and outputs, the carried rows exactly, where the model comes from, and a hash of the whole file.

The numbers of the model are never read from here, only from the PMML elements.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelport.document import Document, Tolerance, Vectors, check_vectors
from modelport.errors import ArtifactError
from modelport.graph import Input, Limits, Output

from .text import element, text

__all__ = ["Carried", "Declared", "declaration", "intact", "read_declaration", "seal"]

EXTENDER = "modelport"
_ZEROS = "0" * 64
_SEAL = re.compile(rb'<Extension extender="modelport" name="sha256" value="([0-9a-f]{64})"/>')


@dataclass(frozen=True)
class Declared:
    """Which PMML fields an input or output is made of, in order.

    accepts is the OutputField that is true in the rows that are answered; None when the data dictionary refuses all others.
    """

    inputs: Mapping[str, Sequence[str]]
    outputs: Mapping[str, Sequence[str]]
    accepts: str | None = None


@dataclass(frozen=True)
class Carried:
    """A declaration read back: inputs and outputs as the graph had them, row shapes of outputs, and what proves them."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    shapes: Mapping[str, tuple[int, ...]]
    fields: Declared
    vectors: Vectors | None
    provenance: Mapping[str, Any]
    name: str | None = None
    #: read from a declaration, and not put together from a file of somebody else's
    own: bool = False


# --- writing ------------------------------------------------------------------------------------------------------------------


def declaration(document: Document, declared: Declared) -> list[str]:
    """The Extension elements of a document; the hash is a row of zeros until `seal` fills it in."""
    graph = document.graph
    value: dict[str, Any] = {"version": "1.0"}
    if graph.name is not None:
        value["name"] = graph.name
    value["inputs"] = [_input(v, declared) for v in graph.inputs]
    value["outputs"] = [_output(o, graph.types[o.source].shape, declared) for o in graph.outputs]
    if declared.accepts is not None:
        value["accepts"] = declared.accepts
    if document.provenance:
        value["provenance"] = dict(document.provenance)
    body = json.dumps(value, allow_nan=False)
    if document.vectors is not None:
        from modelport_json import verification

        proof = json.dumps(json.loads(verification(document.vectors, graph)))
        body = f'{body[:-1]}, "verification": {proof}}}'
    return [
        f'<Extension extender="{EXTENDER}" name="sha256" value="{_ZEROS}"/>',
        element("Extension", text(body), extender=EXTENDER, name="document"),
    ]


def _input(value: Input, declared: Declared) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": value.name, "dtype": value.dtype, "shape": list(value.shape), "missing": value.missing}
    if value.features is not None:
        fields["features"] = list(value.features)
    return {**fields, "fields": list(declared.inputs[value.name])}


def _output(output: Output, shape: tuple[int, ...], declared: Declared) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": output.name, "dtype": output.dtype, "role": output.role, "shape": list(shape)}
    if output.classes is not None:
        fields["classes"] = list(output.classes)
    return {**fields, "fields": list(declared.outputs[output.name])}


def seal(data: bytes) -> bytes:
    """The file with its SHA-256 in place of the zeros; the hash is of the file with the zeros."""
    digest = hashlib.sha256(data).hexdigest().encode("ascii")
    found = _SEAL.search(data, 0, _header_end(data))
    assert found is not None, "a declaration stands in the header"
    return data[: found.start(1)] + digest + data[found.end(1) :]


def _header_end(data: bytes) -> int:
    return max(0, data.find(b"</Header>"))


# --- reading ------------------------------------------------------------------------------------------------------------------


def intact(data: bytes) -> bool | None:
    """Is every byte as it was written? None for a file without a hash."""
    found = _SEAL.search(data, 0, _header_end(data))
    if found is None:
        return None
    digest = hashlib.sha256(data[: found.start(1)])
    digest.update(_ZEROS.encode("ascii"))
    digest.update(data[found.end(1) :])
    return digest.hexdigest().encode("ascii") == found.group(1)


def read_declaration(body: str, limits: Limits) -> Carried:
    """The declaration of a file; ArtifactError when it is not one."""
    from modelport_json.strict import parse

    value = parse(body.encode("utf-8"), limits)
    if not isinstance(value, dict) or not str(value.get("version", "")).startswith("1."):
        raise ArtifactError("The modelport declaration in the Header is not of version 1: a newer modelport may read it.")
    try:
        return _carried(value, limits)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"The modelport declaration in the Header is damaged ({type(error).__name__}: {error}).") from None


def _carried(value: Mapping[str, Any], limits: Limits) -> Carried:
    inputs = tuple(
        Input(v["name"], v["dtype"], tuple(v["shape"]), v["missing"], tuple(v["features"]) if "features" in v else None)
        for v in value["inputs"]
    )
    outputs = tuple(
        Output(v["name"], v["name"], v["dtype"], v["role"], tuple(v["classes"]) if "classes" in v else None)
        for v in value["outputs"]
    )
    shapes = {v["name"]: tuple(int(k) for k in v["shape"]) for v in value["outputs"]}
    fields = Declared(
        {v["name"]: [str(f) for f in v["fields"]] for v in value["inputs"]},
        {v["name"]: [str(f) for f in v["fields"]] for v in value["outputs"]},
        str(value["accepts"]) if "accepts" in value else None,
    )
    _check_widths(inputs, shapes, fields)
    provenance = value.get("provenance", {})
    if not isinstance(provenance, dict):
        raise ArtifactError("The modelport declaration's provenance is no object.")
    vectors = _vectors(value["verification"], inputs, outputs, shapes, limits) if "verification" in value else None
    name = value.get("name")
    return Carried(inputs, outputs, shapes, fields, vectors, provenance, name if isinstance(name, str) else None, own=True)


def _check_widths(inputs: Sequence[Input], shapes: Mapping[str, tuple[int, ...]], fields: Declared) -> None:
    for value in inputs:
        if len(fields.inputs[value.name]) != value.type.width:
            raise ArtifactError(
                f"Input {value.name!r} is declared with {len(fields.inputs[value.name])} fields for {value.type}."
            )
    for name, shape in shapes.items():
        width = 1
        for length in shape:
            width *= length
        if len(fields.outputs[name]) != width or len(shape) > 1:
            raise ArtifactError(
                f"Output {name!r} is declared with {len(fields.outputs[name])} fields for row shape {list(shape)}."
            )


def _vectors(
    value: Mapping[str, Any],
    inputs: Sequence[Input],
    outputs: Sequence[Output],
    shapes: Mapping[str, tuple[int, ...]],
    limits: Limits,
) -> Vectors:
    from modelport_json.tensors import decode

    given = {v.name: decode(value["inputs"][v.name], v.dtype, f"The vectors of {v.name!r}") for v in inputs}
    wanted = {o.name: decode(value["outputs"][o.name], o.dtype, f"The vectors of {o.name!r}") for o in outputs}
    tolerance = {k: Tolerance.from_json(v) for k, v in value.get("tolerance", {}).items()}
    vectors = Vectors(given, wanted, tolerance, str(value.get("source", "synthetic")), tuple(map(str, value.get("rows", ()))))
    check_vectors(vectors, inputs, outputs, limits.vector_rows)
    for name, shape in shapes.items():
        if wanted[name].shape[1:] != shape:
            raise ArtifactError(
                f"The vectors of output {name!r} have row shape {list(wanted[name].shape[1:])}, not {list(shape)}."
            )
    return vectors
