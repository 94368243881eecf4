"""Reads Keras 3 models into graphs: live ones, and `.keras` and `.h5` files, for which neither Keras nor a backend is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.arrays import Arrays
from modelport.reading import Reading

from .registry import layers

__all__ = ["OPTIONS", "ask", "layers", "load_file", "open_file", "read", "sample_of"]

#: names for open lengths, {input: {axis: name}}; and recorded answers, for a saved model that cannot be asked here
OPTIONS = ("lengths", "answers")


def sample_of(model: Any, data: Any) -> Arrays:
    """A user's sample as one array per input of the model."""
    from . import feeding

    return feeding.sample_of(model, data)


def read(model: Any, sample: Any, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a Functional, Sequential or subclassed model, or a saved one.

    Raises NotFitted for a model that was never built, UnsupportedModel for a layer that is not known, UnsupportedAttribute for
    an option of a layer that no step expresses.
    """
    from .reading import read_model

    return read_model(model, sample, options or {})


def ask(model: Any, sample: Any, options: Mapping[str, Any] | None = None) -> Reading:
    """A reading without a graph, for a model that `read` does not know: what it takes and gives, and its answers."""
    from .reading import ask_model

    return ask_model(model, sample, options or {})


def load_file(data: bytes) -> Any:
    """The model in the bytes of a `.keras` or a whole-model `.h5` file; nothing in it is run."""
    from .stored import load

    return load(data)


def open_file(path: str, kind: str, *, trust: bool = False, factory: str | None = None) -> Any:
    """The model in a file that Keras wrote, or in a SavedModel folder, which is a TensorFlow program and needs trust."""
    if kind == "savedmodel":
        from modelport.errors import UntrustedFile

        from .savedmodel import opened

        if not trust:
            raise UntrustedFile(
                f"Opening {path!r} would run the TensorFlow program in it. If you made it, or trust who did, say --trust "
                "(trust=True); a .keras file needs no trust."
            )
        return opened(path)
    with open(path, "rb") as file:
        return load_file(file.read())
