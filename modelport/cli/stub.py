"""modelport stub: a consumer stub's files."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import UsageError
from .common import say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("stub", help="write a consumer stub's files into a folder")
    command.add_argument("language")
    command.add_argument("-o", "--output", required=True, metavar="DIR")
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
    for name in dict.fromkeys((*stub.library, *stub.files, "README.md")):
        source = stub.folder / name
        if source.is_file():
            say(write_atomically(folder / name, source.read_bytes()))
    return 0
