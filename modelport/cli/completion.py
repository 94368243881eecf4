"""modelport completion: a script that completes commands, options and files in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from ..errors import MissingDependency
from .common import emit

__all__ = ["SHELLS", "add", "run"]

#: what shtab writes scripts for
SHELLS = ("bash", "zsh", "fish", "tcsh")
#: arguments that are artifacts, other files, or folders, by their names
ARTIFACTS, FILES, FOLDERS = ("artifact", "artifacts", "a", "b"), ("PATH", "FILE"), ("DIR", "FOLDER")


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("completion", help="print a script that completes commands, options and files in a shell")
    command.add_argument("shell", choices=SHELLS)
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport completion"""
    try:
        import shtab
    except ImportError:
        raise MissingDependency(
            "Completion scripts are written by shtab, which is not installed: pip install 'modelport[cli]'."
        ) from None
    from . import build_parser

    parser = build_parser()
    for command in _parsers(parser):
        for action in command._actions:
            _teach(action, shtab)
    emit(shtab.complete(parser, a.shell).rstrip("\n"))
    return 0


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _parsers(each)


def _teach(action: Any, shtab: Any) -> None:
    """Say what an option takes: an artifact, a file, a folder, or one of some names."""
    from .. import registry
    from ..explaining import classes
    from ..stubs import stubs

    names = {
        "to": sorted(registry.plugins("writers")),
        "backend": ["auto", "graph", *sorted(registry.plugins("delegates"))],
        "consumers": [stub.name for stub in stubs()],
        "language": [stub.name for stub in stubs()],
        "name": sorted(classes()) if not action.option_strings else None,
    }
    if names.get(action.dest):
        action.choices = names[action.dest]
    elif action.dest in ARTIFACTS and not action.option_strings:
        action.complete = shtab.glob(*(f"*{suffix}" for _, module in registry.writers() for suffix in module.SUFFIXES))
    elif action.metavar in FOLDERS:
        action.complete = shtab.DIRECTORY
    elif action.metavar in FILES or (action.dest in ("model", "rows", "sample") and action.nargs != 0):
        action.complete = shtab.FILE
