"""PMML 4.4, written and read natively: no Java, no licence beyond our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelport.document import Document, Loaded

__all__ = ["CONSUMERS", "EDITED", "ENGINE", "FORMAT", "OPTIONS", "SUFFIXES", "adopt", "load", "sizes", "sniff", "write"]

FORMAT = "pmml"
SUFFIXES = (".pmml",)
#: what runs these files here, as a consumer is named
ENGINE = "modelport"
OPTIONS = ()


def sniff(head: bytes) -> bool:
    """Do these first bytes look like a PMML document?"""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start[:1] == b"<" and b"<PMML" in start[:4096]


def write(document: Document, options: Mapping[str, Any] | None = None) -> bytes:
    """The document as PMML 4.4; Unsupported, naming the step, for what PMML cannot carry."""
    from .writer import write_document

    return write_document(document, options)


def adopt(
    data: bytes, document: Document, fields: Mapping[str, Sequence[str]], options: Mapping[str, Any] | None = None
) -> bytes:
    """Somebody else's PMML file with the document's declaration, vectors and provenance; its model stays as it is.

    fields maps outputs to OutputFields where neither the predicted value nor the probability of a class is meant. Raises
    Unsupported for a file that does not take and give what the document declares.
    """
    from .adopting import adopt_document

    return adopt_document(data, document, fields)


def load(data: bytes, options: Mapping[str, Any] | None = None) -> Loaded:
    """A PMML document as a graph, evaluated from its elements; options: `limits`, and `altered` to accept a changed file."""
    from .reader import load_document

    return load_document(data, options)


def sizes(data: bytes) -> dict[str, int]:
    """Bytes of the model's elements and of the vectors (exact ones in the header, rounded ones in ModelVerification)."""
    import html
    import re

    from modelport_json.sizes import members

    rounded = sum(len(m[0]) for m in re.finditer(rb"<ModelVerification\b.*?</ModelVerification>", data, re.DOTALL))
    head = data.partition(b"</Header>")
    declared = re.search(rb'<Extension[^>]*name="document"[^>]*>(.*?)</Extension>', head[0], re.DOTALL)
    exact = dict(members(html.unescape(declared[1].decode("utf-8")))).get("verification", 0) if declared else 0
    return {"model": len(head[2] or data) - rounded, "vectors": exact + rounded}


def _pypmml(data: bytes) -> Loaded:
    """The file scored by PMML4S; MissingDependency without pypmml or Java."""
    from .consumers import pypmml

    return pypmml(data)


def _jpmml(data: bytes) -> Loaded:
    """The file scored by JPMML-Evaluator; MissingDependency without jpmml_evaluator or Java."""
    from .consumers import jpmml

    return jpmml(data)


CONSUMERS = {"pypmml": _pypmml, "jpmml": _jpmml}
#: options of `load` that open a file which something changed after it was written, so that a verification can say what differs
EDITED = {"altered": True}
