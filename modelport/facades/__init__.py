"""Typed facades: what `modelport stub LANG --for model.json` writes around a stub's library for one model.

A stub's stub.json names the module that writes its facade (`facade`); that module has a function `write`, which makes files
(name -> text) of a Plan. `further` says which files of the library only some models need (stubs/README.md).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PluginError, Unsupported, UsageError
from ..profiles import profile_of
from .plan import Plan, plan_of

if TYPE_CHECKING:
    from ..artifact import Artifact
    from ..stubs import Stub

__all__ = ["Plan", "facade_files", "library_for"]


def facade_files(stub: Stub, artifact: Artifact, name: str) -> dict[str, bytes]:
    """All files of a facade, by name: the library that the model needs, what is written for it, and itself, called `name`."""
    if not stub.facade:
        raise UsageError(f"The stub {stub.name!r} brings no facade: leave out --for, and feed its library as its README says.")
    if artifact.format != stub.format:
        raise Unsupported(f"The {stub.name} stub reads {stub.format}, not {artifact.format}: convert the model to {stub.format}.")
    loaded = artifact.load()
    library = library_for(stub, loaded.graph.requires if loaded.graph is not None else ())
    written = _written(stub, plan_of(loaded, name, Path(name).stem, library))
    taken = sorted({word for word in (*library, *written) if word.lower() == name.lower()})
    if taken:
        raise UsageError(f"The artifact is called {name!r}, as a file of the {stub.name} facade is: give it another name.")
    files = {file: (stub.folder / file).read_bytes() for file in library}
    files |= {file: text.encode("utf-8") for file, text in written.items()}
    return {**files, name: artifact.data}


def library_for(stub: Stub, ops: Sequence[str]) -> list[str]:
    """The files of a stub's library that a model with these ops needs; Unsupported for an op that the stub does not have.

    A file that `further` does not name is always needed, one that it names for an op or a profile that is named there.
    """
    if stub.profiles:
        lacking = sorted(op for op in ops if profile_of(op) not in stub.profiles and not _named(op, stub.further))
        if lacking:
            raise Unsupported(f"The {stub.name} stub does not have the ops of this model: it lacks {', '.join(lacking)}.")
    return [
        file
        for file in stub.library
        if file not in stub.further or any(op in stub.further[file] or profile_of(op) in stub.further[file] for op in ops)
    ]


def _named(op: str, further: Mapping[str, Sequence[str]]) -> bool:
    return any(op in needs for needs in further.values())


def _written(stub: Stub, plan: Plan) -> dict[str, str]:
    """What the stub's module writes."""
    try:
        write = importlib.import_module(stub.facade).write
    except Exception as error:  # a stranger's module may raise anything
        raise PluginError(f"The facade of the stub {stub.name!r} ({stub.facade}) cannot be used: {error!r}.") from None
    written: dict[str, str] = write(plan)
    odd = next((name for name in written if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name)), None)
    if odd is not None:
        raise PluginError(f"The facade of the stub {stub.name!r} writes a file called {odd!r}, which is no plain name.")
    return written
