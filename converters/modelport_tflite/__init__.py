"""LiteRT (TFLite): files that TensorFlow's converter made of Keras models, with our declaration and vectors beside the model.

A writer plugin of modelport (see `modelport.registry`) for a delegate's files: it writes no graph of its own. Importing it costs
nothing: NumPy and LiteRT come in when a function needs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelport.document import Document, Loaded

__all__ = ["DELEGATED", "ENGINE", "FORMAT", "OPTIONS", "SUFFIXES", "adopt", "load", "sizes", "sniff", "write"]

FORMAT = "tflite"
SUFFIXES = (".tflite",)
#: what runs these files here, as a consumer is named
ENGINE = "litert"
OPTIONS = ()
#: only delegates write this format: the backend "auto" asks one of them at once
DELEGATED = True


def sniff(head: bytes) -> bool:
    """True when a file that begins with `head` is a LiteRT model.

    >>> sniff(b"\\x1c\\0\\0\\0TFL3"), sniff(b'{"format": "modelport"}')
    (True, False)
    """
    return head[4:8] == b"TFL3"


def write(document: Document, options: Mapping[str, Any] | None = None) -> bytes:
    """Raises Unsupported: a LiteRT file is made of a Keras model, by the delegate `tensorflow`, and not of a graph."""
    from modelport.errors import Unsupported

    raise Unsupported(
        "A LiteRT (tflite) file is not written from a graph: TensorFlow's own converter makes it of a Keras model, with "
        "backend='tensorflow'. Any other model can be written as ONNX or JSON."
    )


def adopt(
    data: bytes, document: Document, fields: Mapping[str, Sequence[str]], options: Mapping[str, Any] | None = None
) -> bytes:
    """Somebody else's LiteRT model with the document's declaration, vectors and provenance appended; the model stays as it is.

    fields maps inputs and outputs to their names in the model's signature, where they are others. Raises Unsupported for a model
    whose signature does not take and give what the document declares.
    """
    from .adopting import adopt_model

    return adopt_model(bytes(data), document, fields)


def load(data: bytes, options: Mapping[str, Any] | None = None) -> Loaded:
    """A runner for a LiteRT file of ours; `options`: "threads" (1).

    Raises ArtifactError for a file that is damaged, or that carries no declaration.
    """
    from .running import load as load_model

    return load_model(bytes(data), options or {})


def sizes(data: bytes) -> dict[str, int]:
    """Bytes of the LiteRT model; the vectors are compressed behind it, with the declaration."""
    from .container import unpack

    model = len(unpack(bytes(data)).model)
    return {"model": model, "vectors": len(data) - model}
