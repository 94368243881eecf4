"""ONNX: the graph as an ONNX model, and ONNX models as runners through onnxruntime.

A writer plugin of modelport (see `modelport.registry`). Importing it costs nothing: NumPy, onnx and onnxruntime come in when a
function needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelport.document import Document, Loaded

__all__ = [
    "CONSUMERS",
    "EDITED",
    "ENGINE",
    "FORMAT",
    "LOSSY",
    "OPTIONS",
    "SUFFIXES",
    "adopt",
    "describe",
    "drawn",
    "load",
    "parts",
    "quantize",
    "report_line",
    "sizes",
    "sniff",
    "write",
]

FORMAT = "onnx"
SUFFIXES = (".onnx",)
#: what runs these files here, as a consumer is named
ENGINE = "onnxruntime"
OPTIONS = ("target", "quantize")
#: options that give up accuracy for size
LOSSY = ("quantize",)
CONSUMERS: Mapping[str, Callable[[bytes], Loaded]] = {}
#: options of `load` that open a file which something changed after it was written, so that a verification can say what differs
EDITED = {"digest": False}


def sniff(head: bytes) -> bool:
    """True when a file that begins with `head` is an ONNX model.

    >>> sniff(b'{"format": "modelport"}')
    False
    """
    from .wire import looks_like_model

    return looks_like_model(head)


def write(document: Document, options: Mapping[str, Any] | None = None) -> bytes:
    """The document as ONNX bytes; `options["target"]` names the oldest onnxruntime that must run it ("onnxruntime>=1.21").

    `options["quantize"]` is "int8", "static" (which looks at the rows of `options["calibration"]`, name -> array) or "float16".
    Raises Unsupported for a step that the target cannot express.
    """
    from .writer import write as write_model

    return _quantized(write_model(document, options or {}), options or {})


def adopt(
    data: bytes, document: Document, fields: Mapping[str, Sequence[str]], options: Mapping[str, Any] | None = None
) -> bytes:
    """Somebody else's ONNX model with the document's declaration, vectors and provenance; its graph stays as it is.

    fields maps outputs to their names in the model, where they are others; what is not declared is no output any more. Raises
    Unsupported for a model that does not take and give what the document declares, as plain tensors.
    """
    from .adopting import adopt_model

    return _quantized(adopt_model(data, document, fields, options or {}), options or {})


def _quantized(data: bytes, options: Mapping[str, Any]) -> bytes:
    kind, rows = options.get("quantize"), options.get("calibration")
    return data if kind is None else quantize(data, kind, [] if rows is None else [rows])


def load(data: bytes, options: Mapping[str, Any] | None = None) -> Loaded:
    """A runner for ONNX bytes; `options`: "threads" (1), "digest" (True: refuse a file that was changed after it was written).

    Raises ArtifactError for anything that is not a sound model.
    """
    from .loader import load as load_model

    return load_model(data, options or {})


def describe(data: bytes) -> dict[str, Any]:
    """What an ONNX file holds: versions, inputs, outputs, nodes by operator, sizes. Nothing is run."""
    from .contents import describe as describe_model

    return describe_model(data)


def drawn(data: bytes) -> tuple[list[Any], list[Any], list[Any]]:
    """The nodes of an ONNX file, for `modelport report`: inputs as (name, type), nodes as (name, operator, values read, values
    made, numbers held), outputs as (name, value)."""
    from .drawing import drawn as drawn_of

    return drawn_of(data)


def parts(data: bytes) -> list[tuple[str, str, dict[str, Any]]]:
    """The nodes of an ONNX file in order, as (first output, operator, parameters), for `modelport diff`."""
    from .contents import parts as parts_of

    return parts_of(data)


def sizes(data: bytes) -> dict[str, int]:
    """Where the bytes of an ONNX file go."""
    from .contents import sizes as sizes_of

    return sizes_of(data)


def quantize(data: bytes, kind: str, feeds: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """An ONNX model with smaller weights: `kind` is "int8", "static" (which looks at rows: sets of feeds) or "float16".

    The declaration and the vectors stay; the tolerance has to be measured anew.
    """
    from .quantizing import quantize as quantize_model

    return quantize_model(data, kind, feeds)


def report_line(before: bytes, after: bytes, kind: str) -> str:
    """What a quantization did to the size, as a sentence."""
    from .quantizing import report_line as sentence

    return sentence(before, after, kind)
