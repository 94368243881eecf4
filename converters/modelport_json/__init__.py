"""The modelport JSON format: the graph written down (docs/format.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelport.document import Document, Loaded
from modelport.graph import LIMITS
from modelport.run import Evaluator

from .read import read_document, read_verification
from .sizes import sizes
from .write import verification, write_document

__all__ = [
    "CONSUMERS",
    "ENGINE",
    "FORMAT",
    "LOSSY",
    "OPTIONS",
    "SUFFIXES",
    "JsonModel",
    "load",
    "load_quick",
    "read_document",
    "read_verification",
    "sizes",
    "sniff",
    "verification",
    "write",
]

FORMAT = "json"
SUFFIXES = (".json",)
#: what runs these files here, as a consumer is named
ENGINE = "modelport"
OPTIONS = ("style", "quantize", "prune")
#: options that give up accuracy for size
LOSSY = ("quantize", "prune")
CONSUMERS: dict[str, Any] = {}


def sniff(head: bytes) -> bool:
    """Do these first bytes look like a JSON object?"""
    return head.lstrip()[:1] == b"{"


def write(document: Document, options: Mapping[str, Any] | None = None) -> bytes:
    """The document as JSON bytes; options: style = "default" | "readable" | "compact"."""
    return write_document(document, options)


class JsonModel:
    """A loaded document, run by the reference evaluator."""

    def __init__(self, document: Document) -> None:
        self.graph = document.graph
        self.inputs = document.graph.inputs
        self.outputs = document.graph.outputs
        self.vectors = document.vectors
        self.provenance = document.provenance
        self.engine = f"numpy {np.__version__}"
        self._evaluator = Evaluator(document.graph)

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Output name -> array for input name -> array."""
        return self._evaluator.run(feeds)


def load(data: bytes, options: Mapping[str, Any] | None = None) -> JsonModel:
    """Read a document; options: `limits`, a modelport.graph.Limits."""
    return JsonModel(read_document(data, (options or {}).get("limits", LIMITS)))


def load_quick(data: bytes, options: Mapping[str, Any], verify: bool) -> Loaded | None:
    """The document run by the C stub, compiled on this machine (modelport/compiled.py), or None where NumPy answers."""
    from modelport import compiled

    return compiled.load(data, verify, options, lambda: JsonModel(read_document(data)))
