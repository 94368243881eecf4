"""Which consumers there are for a format: its own engine, further engines, stubs - and which of them can run here."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import registry
from .errors import MissingDependency, PluginError, UsageError

__all__ = ["ALL", "Consumer", "consumers_of", "own_engine", "required", "select"]

#: in place of names of consumers: every one that can run here
ALL = "all"


@dataclass(frozen=True)
class Consumer:
    """One consumer of a format.

    kind is "own" (the engine every verification begins with), "engine" (another one for the format), "stub" or "command";
    `problem` is a sentence about what is missing to run it, where that is known without trying.
    """

    name: str
    format: str
    kind: str
    aliases: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return (self.name, *self.aliases)


def own_engine(format_: str) -> str:
    """The name of the engine that a format's own writer brings.

    >>> own_engine("json"), own_engine("onnx")
    ('modelport', 'onnxruntime')
    """
    try:
        return str(getattr(registry.writer(format_), "ENGINE", format_))
    except (MissingDependency, PluginError):
        return format_


def consumers_of(format_: str) -> tuple[Consumer, ...]:
    """Every consumer of a format, its own engine first; nothing is built or run.

    Raises UsageError for a format that no writer has.

    >>> [c.name for c in consumers_of("onnx")]
    ['onnxruntime', 'onnx-node', 'onnx-python']
    """
    from .stubs import stubs, toolchain_problem

    own = own_engine(format_)
    if format_ not in registry.plugins("writers"):
        registry.writer(format_)  # says which formats there are
    found = [Consumer(own, format_, "own")]
    try:
        found += [Consumer(name, format_, "engine") for name in getattr(registry.writer(format_), "CONSUMERS", {})]
    except (MissingDependency, PluginError) as error:
        found = [Consumer(own, format_, "own", problem=str(error))]
    found += [
        Consumer(stub.name, format_, "stub", stub.aliases, _sentence(toolchain_problem(stub)))
        for stub in stubs()
        if stub.format == format_
    ]
    return tuple(found)


def _sentence(problem: str | None) -> str | None:
    return None if problem is None else f"{problem[0].upper()}{problem[1:]}."


def select(formats: Iterable[str], wanted: str | Sequence[str]) -> dict[str, tuple[Consumer, ...]]:
    """Per format the consumers that are wanted: all of them for "all", else those of the names that read the format.

    A format of which none is named keeps its own engine. UsageError for a name that is no consumer of any of the formats, and no
    command either.

    >>> [c.name for c in select(["json", "onnx"], ["python"])["onnx"]]
    ['onnxruntime']
    """
    known = {format_: consumers_of(format_) for format_ in dict.fromkeys(formats)}
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if ALL in names:
        return known
    chosen: dict[str, list[Consumer]] = {format_: [] for format_ in known}
    for name in names:
        fits = [c for found in known.values() for c in found if name in c.names]
        for consumer in fits:
            chosen[consumer.format].append(consumer)
        if not fits and not _is_command(name):
            raise UsageError(_unknown(name, known))
        for format_ in () if fits else known:
            chosen[format_].append(Consumer(name, format_, "command"))
    return {format_: tuple(dict.fromkeys(found)) or known[format_][:1] for format_, found in chosen.items()}


def _is_command(name: str) -> bool:
    try:
        words = shlex.split(name)
    except ValueError:
        return False
    return bool(words) and shutil.which(words[0]) is not None


def _unknown(name: str, known: dict[str, tuple[Consumer, ...]]) -> str:
    here = list(dict.fromkeys(n for found in known.values() for c in found for n in c.names))
    near = difflib.get_close_matches(name, here, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"use 'all', a command, or one of {', '.join(here)}."
    return f"{name!r} is no consumer of {' or '.join(known)}: {hint}"


def required(consumer: Consumer) -> bool:
    """Does MODELPORT_REQUIRE (names, separated by commas) say that a consumer must be able to run here?"""
    wanted = {name.strip() for name in os.environ.get("MODELPORT_REQUIRE", "").split(",")} - {""}
    return bool(wanted & {*consumer.names, consumer.format})
