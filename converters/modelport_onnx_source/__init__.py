"""Reads ONNX models into graphs, whoever wrote them. The original is onnxruntime on that very file.

A reader plugin of modelport (see `modelport.registry`). Importing it costs nothing: onnx and onnxruntime come in when a function
needs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.arrays import Arrays
from modelport.reading import Reading
from modelport.sample import Sample

__all__ = ["OPTIONS", "open_file", "read", "sample_of"]

OPTIONS = ("batch", "lengths")


def sample_of(model: Any, data: Any) -> Arrays | None:
    """The sample as one array per input of the model: an array, a tuple or list of them, or a dict by name."""
    from .original import sample

    return sample(model, data)


def read(model: Any, sample: Sample | Arrays, options: Mapping[str, Any] | None = None) -> Reading:
    """Read an onnx.ModelProto.

    `options["lengths"]` names the axes that vary besides the batch: {"tokens": {1: "time"}}; `options["batch"]` says which axis
    of an input of the model is the batch, where it is not the first: {"frames": 1}. Raises UnsupportedModel or
    UnsupportedAttribute for what no step expresses, naming node and operator.
    """
    from .original import read_model

    return read_model(model, sample, options or {})


def open_file(path: str, kind: str = "onnx", *, trust: bool = False, factory: str | None = None) -> Any:
    """The model in a file, with the weights in files beside it."""
    from .original import opened

    return opened(path)
