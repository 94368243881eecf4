"""modelport plugins: what is installed as a plugin."""

from __future__ import annotations

import argparse
from typing import Any

from ..layout import Rows
from .common import add_json, emit_json, say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("plugins", help="list readers, writers, delegates and stubs")
    add_json(command)
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport plugins"""
    from .. import registry
    from ..stubs import stubs

    found = {group: {name: entry.value for name, entry in registry.plugins(group).items()} for group in registry.GROUPS[:4]}
    found["stubs"] = {stub.name: stub.format for stub in stubs()}
    if a.json:
        emit_json(found)
        return 0
    for group, entries in found.items():
        say(f"{group.capitalize()}:", Rows(sorted(entries.items()) or [("none",)]))
    return 0
