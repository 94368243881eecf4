"""Reads PyTorch models into graphs: modules, exported programs (.pt2) and TorchScript, through PyTorch's own ONNX exporter.

A reader plugin of modelport (see `modelport.registry`). Importing it costs nothing: torch and onnx come in when a function needs
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.arrays import Arrays
from modelport.reading import Reading
from modelport.sample import Sample

__all__ = ["OPTIONS", "ask", "open_file", "read", "sample_of"]

OPTIONS = ("lengths",)


def sample_of(model: Any, data: Any) -> Arrays | None:
    """The sample as one array per argument of the model's forward.

    data is an array or tensor for the first argument, a tuple or list of them, or a dict by name.

    Raises InputError for a sample that does not fit.
    """
    from .calling import Original

    return Original(model).sample(data)


def read(model: Any, sample: Sample | Arrays, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a module (as it answers in eval mode), an exported program or a ScriptModule.

    `options["lengths"]` names the axes that vary besides the batch: {"tokens": {1: "time"}}. Raises UnsupportedModel or
    UnsupportedAttribute for what PyTorch does not export or no step expresses.
    """
    from .reading import read_model

    return read_model(model, sample, options or {})


def ask(model: Any, sample: Sample | Arrays, options: Mapping[str, Any] | None = None) -> Reading:
    """A reading without a graph, for a delegate: what the model takes and gives, and how it is asked."""
    from .reading import ask_model

    return ask_model(model, sample, options or {})


def open_file(path: str, kind: str, *, trust: bool = False, factory: str | None = None) -> Any:
    """The model in a file of one of the kinds "pt2", "torchscript", "torch-module" and "state-dict".

    A state_dict needs the factory "package.module:function" that makes its module; a pickled module needs trust.
    """
    from .files import opened

    return opened(path, kind, trust=trust, factory=factory)
