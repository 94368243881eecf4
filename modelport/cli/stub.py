"""modelport stub: a consumer stub's files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .common import add_json, emit_json, say

if TYPE_CHECKING:
    from ..stubs import Stub

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("stub", help="write a consumer stub's files into a folder")
    command.add_argument("language")
    command.add_argument("-o", "--output", required=True, metavar="DIR")
    command.add_argument(
        "--for",
        dest="artifact",
        metavar="FILE",
        help="write what this artifact needs, and a typed facade of it",
    )
    add_json(command, "the names of the files")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport stub"""
    from pathlib import Path

    from ..artifact import write_atomically
    from ..stubs import find_stub, stubs

    stub = find_stub(a.language)
    if stub is None:
        raise UsageError(f"There is no stub {a.language!r}; there are: {', '.join(s.name for s in stubs())}.")
    files = _whole(stub) if a.artifact is None else _for(stub, a.artifact)
    folder = Path(a.output)
    folder.mkdir(parents=True, exist_ok=True)
    written = [write_atomically(folder / name, data) for name, data in files.items()]
    if a.json:
        emit_json({"stub": stub.name, "format": stub.format, "needs": list(stub.needs), "files": list(map(str, written))})
    else:
        say(*written)
    return 0


def _whole(stub: Stub) -> dict[str, bytes]:
    """The stub as it is: the library, the command line around it and the README."""
    from pathlib import Path

    names = [name for name in dict.fromkeys((*stub.library, *stub.files, "README.md")) if (stub.folder / name).is_file()]
    return {Path(name).name: (stub.folder / name).read_bytes() for name in names}


def _for(stub: Stub, path: str) -> dict[str, bytes]:
    """What one artifact needs of the stub, and a facade of it. The artifact has proved itself before anything is written."""
    from pathlib import Path

    from ..api import load
    from ..artifact import Artifact
    from ..facades import facade_files

    load(path)
    return facade_files(stub, Artifact.open(path), Path(path).name)
