"""modelport stub: a consumer stub's files."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import UsageError
from .common import add_json, emit_json, say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("stub", help="write a consumer stub's files into a folder")
    command.add_argument("language")
    command.add_argument("-o", "--output", required=True, metavar="DIR")
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
    folder = Path(a.output)
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in dict.fromkeys((*stub.library, *stub.files, "README.md")) if (stub.folder / name).is_file()]
    written = [write_atomically(folder / name, (stub.folder / name).read_bytes()) for name in names]
    if a.json:
        emit_json({"stub": stub.name, "format": stub.format, "needs": list(stub.needs), "files": list(map(str, written))})
    else:
        say(*written)
    return 0
