"""Converting through somebody else's converter. What a delegate writes is held to the same proof as what we write.

A delegate gives the bytes of a file. The format's own `adopt` puts the declaration, the vectors and the provenance into it, and
from there on it is an artifact like any other: loaded, compared with the original, refused when it answers otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from . import registry
from .arrays import Arrays
from .document import Document
from .errors import Misjudged, ModelportError, Unsupported, UnsupportedModel, UsageError
from .graph import Graph, Input, Output
from .reading import Reading
from .sample import Sample
from .verify import read_or_ask

__all__ = ["VARIABLE", "Delegated", "Wanted", "Written", "delegate", "delegated", "delegates_of", "fallbacks", "reading_for"]

#: the environment variable that names the delegates `auto` may fall back on, in order
VARIABLE = "MODELPORT_DELEGATES"
Write = Callable[[Document, Mapping[str, Any]], bytes]


@dataclass(frozen=True)
class Wanted:
    """What a delegate's file is to take and give: `sample` is what the model is fed, `shapes` the row shapes of the outputs."""

    sample: Sample | Arrays
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, graph: Graph, sample: Sample | Arrays) -> Wanted:
        """What a graph takes and gives."""
        return cls(sample, graph.inputs, graph.outputs, {o.name: graph.types[o.source].shape for o in graph.outputs})


@dataclass(frozen=True)
class Written:
    """A delegate's file. `fields` maps outputs to their names in it, where they are others; `producer` says what wrote it."""

    data: bytes
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    producer: str | None = None


@dataclass(frozen=True)
class Delegated:
    """A delegate at work: write(document, options) gives its file with the document's vectors; `why` auto fell back on it."""

    name: str
    producer: str
    write: Write
    why: str | None = None

    @property
    def note(self) -> str:
        """For the report: what wrote the artifact."""
        return f"written by {self.producer}, not from a graph" + (f", since the reader refused: {self.why}" if self.why else "")


def delegate(name: str, model: Any, format_: str) -> ModuleType:
    """The delegate called `name`, which has to take such a model and write the format."""
    installed = registry.plugins("delegates")
    if name not in installed:
        known = ", ".join(["auto", "graph", *sorted(installed)])
        raise UsageError(f"There is no backend {name!r}; installed are: {known}.")
    module = registry.load("delegates", name)
    if format_ not in module.FORMATS:
        raise UsageError(f"The backend {name!r} writes {', '.join(module.FORMATS)}, not {format_}: use backend='graph'.")
    if not set(module.ROOTS) & set(registry.roots(model)):
        cls = type(model)
        raise UnsupportedModel(
            f"{name} takes models of {', '.join(module.ROOTS)}, which {cls.__module__}.{cls.__qualname__} is not: "
            "use backend='graph'."
        )
    return module


def delegates_of(model: Any, format_: str) -> list[str]:
    """The installed delegates that take such a model and write the format, whether or not what they need is installed."""
    found = []
    for name in sorted(registry.plugins("delegates")):
        try:
            delegate(name, model, format_)
        except ModelportError:
            continue
        found.append(name)
    return found


def fallbacks(model: Any, format_: str) -> list[str]:
    """The delegates that `auto` may use, in order: those the environment names, else those that need no opting in."""
    named = os.environ.get(VARIABLE)
    if named is None:
        chosen = [d for d in delegates_of(model, format_) if not getattr(registry.load("delegates", d), "OPT_IN", False)]
    else:
        asked = [name.strip() for name in named.split(",") if name.strip()]
        unknown = [name for name in asked if name not in registry.plugins("delegates")]
        if unknown:
            known = ", ".join(sorted(registry.plugins("delegates"))) or "none"
            raise UsageError(f"{VARIABLE} names {unknown[0]!r}, which is no delegate; installed are: {known}.")
        able = delegates_of(model, format_)
        chosen = [name for name in asked if name in able]
    return [name for name in chosen if lacking(registry.load("delegates", name)) is None]


def lacking(module: ModuleType) -> str | None:
    """What a delegate needs and does not find here, as a sentence, or None."""
    return module.missing() if hasattr(module, "missing") else None


def reading_for(module: ModuleType, model: Any, rows: Sample | Arrays, options: Mapping[str, Any]) -> Reading:
    """The reading of a model for a delegate: its reader's, with a graph or without, else the delegate's own."""
    try:
        return read_or_ask(model, rows, options)
    except UnsupportedModel as error:
        if isinstance(error, Misjudged) or not hasattr(module, "ask"):
            raise
        return module.ask(model, rows, options)  # type: ignore[no-any-return]


def delegated(
    name: str, model: Any, format_: str, wanted: Wanted, options: Mapping[str, Any], why: str | None = None
) -> Delegated:
    """Let a delegate write the model; Unsupported, in one sentence, when it cannot."""
    module = delegate(name, model, format_)
    known = getattr(module, "OPTIONS", None)
    unknown = sorted(set(options) - set(known or ()))
    if known is not None and unknown:
        raise UsageError(f"The backend {name!r} has no option {unknown[0]!r}; it has: {', '.join(known) or 'none'}.")
    adopt = getattr(registry.writer(format_), "adopt", None)
    if adopt is None:
        raise Unsupported(
            f"The {format_} writer puts no vectors into files of others, so nothing could prove what {name} writes."
        )
    try:
        given = module.convert(model, format_, wanted, options)
    except ModelportError:
        raise
    except Exception as error:  # a stranger's converter can raise anything
        raise Unsupported(f"{name} cannot convert this {type(model).__name__}: {first_line(error)}") from error
    written = given if isinstance(given, Written) else Written(bytes(given))

    def write(document: Document, options: Mapping[str, Any]) -> bytes:
        return adopt(written.data, document, written.fields, options)  # type: ignore[no-any-return]

    return Delegated(name, written.producer or name, write, why)


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, at most 300 characters of it, as the end of a sentence."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return (text if len(text) <= 300 else f"{text[:297]}...").rstrip(".:") + "."
