"""What a LiteRT file of ours carries behind its model: a zip of two members, which an interpreter never looks at.

TFLite keeps "associated files" in the same way: a zip appended to the model, so that `unzip -l model.tflite` lists them.

* `modelport.json` is a modelport JSON document (docs/format.md): inputs, outputs, vectors and provenance are those of the model.
  Its steps are constants that stand for what the model computes.
* `modelport-tflite.json` is {"format": "modelport-tflite", "version": "1.0", "model": {"bytes", "sha256"},
  "inputs": {name: name in the signature}, "outputs": {name: name in the signature}}.

A file is accepted only when packing what was read gives the same bytes again, so that every flipped bit is noticed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelport_json.read import read_document
from modelport_json.strict import parse
from modelport_json.write import write_document

from modelport.document import Document
from modelport.errors import ArtifactError, ModelportError, Unsupported
from modelport.graph import LIMITS
from modelport.reading import declaration

__all__ = ["Package", "pack", "unpack"]

DECLARATION, BINDING = "modelport.json", "modelport-tflite.json"
FORMAT, VERSION = "modelport-tflite", "1.0"
Names = Mapping[str, str]


@dataclass(frozen=True)
class Package:
    """A model with its document; inputs and outputs map our names to those in the model's signature."""

    model: bytes
    document: Document
    inputs: Names
    outputs: Names


def pack(package: Package) -> bytes:
    """The model's bytes with the rest behind them."""
    document = package.document
    declared = Document(declaration(document.graph), document.vectors, document.provenance, document.doc)
    return _packed(package.model, write_document(declared), package.inputs, package.outputs)


def _packed(model: bytes, declared: bytes, inputs: Names, outputs: Names) -> bytes:
    binding = {
        "format": FORMAT,
        "version": VERSION,
        "model": {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()},
        "inputs": dict(inputs),
        "outputs": dict(outputs),
    }
    buffer = io.BytesIO()
    buffer.write(model)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in ((DECLARATION, declared), (BINDING, json.dumps(binding, ensure_ascii=False).encode())):
            member = zipfile.ZipInfo(name)  # of 1980, so that the bytes do not tell when
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return buffer.getvalue()


def unpack(data: bytes) -> Package:
    """What `pack` made a file of; ArtifactError when it was changed, and for a file that is not ours."""
    if len(data) > LIMITS.document_bytes:
        raise ArtifactError(f"The LiteRT file has {len(data)} bytes, more than the limit of {LIMITS.document_bytes}.")
    if data[4:8] != b"TFL3":
        raise ArtifactError("This is no LiteRT file: it has no TFL3 at its beginning.")
    declared, binding = _members(data)
    content = parse(binding)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ArtifactError(f"The member {BINDING!r} of the LiteRT file is not an object of format {FORMAT!r}.")
    if str(content.get("version")).partition(".")[0] != "1":
        raise Unsupported(f"The LiteRT file is packed in version {content.get('version')!r}; this reader knows version 1.")
    model, inputs, outputs = content.get("model"), _names(content.get("inputs")), _names(content.get("outputs"))
    size = model.get("bytes") if isinstance(model, dict) else None
    if type(size) is not int or not 8 <= size <= len(data):
        raise ArtifactError("The LiteRT file does not say how long its model is.")
    document = read_document(declared)
    if _packed(data[:size], declared, inputs, outputs) != data:
        raise ArtifactError(
            "The LiteRT file is not the one that was written: it was damaged or edited (its SHA-256 or what follows the model "
            "differs). Convert the model again."
        )
    graph = document.graph
    if set(inputs) != {v.name for v in graph.inputs} or set(outputs) != {o.name for o in graph.outputs}:
        raise ArtifactError("The LiteRT file binds other inputs and outputs than it declares.")
    return Package(data[:size], document, inputs, outputs)


def _members(data: bytes) -> tuple[bytes, bytes]:
    """The bytes of the two members, whose sizes are checked before they are unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = {info.filename: info for info in archive.infolist()}
            if set(found) != {DECLARATION, BINDING} or len(archive.infolist()) != 2:
                raise _foreign()
            if any(info.file_size > LIMITS.document_bytes for info in found.values()):
                raise ArtifactError(f"The LiteRT file unpacks to more than the limit of {LIMITS.document_bytes} bytes.")
            return archive.read(DECLARATION), archive.read(BINDING)
    except ModelportError:
        raise
    except Exception:  # zipfile raises errors of many kinds for bytes that are no zip
        raise _foreign() from None


def _foreign() -> ArtifactError:
    return ArtifactError(
        "The LiteRT file carries no declaration and no vectors of modelport, or they are damaged: nothing could prove what it "
        "answers, so it is not run. Convert the Keras model it was made from."
    )


def _names(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ArtifactError("The LiteRT file does not say what its inputs and outputs are called in the model.")
    if len(set(value.values())) != len(value):
        raise ArtifactError("The LiteRT file binds two inputs, or two outputs, to one of the model.")
    return value
