"""modelport diff: whether two artifacts answer the same, and where they part."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import Mismatch
from .common import TABLES, add_json, emit_json, say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("diff", help="say whether two artifacts answer the same, and where they part")
    command.add_argument("a", metavar="A")
    command.add_argument("b", metavar="B")
    command.add_argument("--sample", metavar="FILE", help=f"further rows to compare them on, as {TABLES}")
    add_json(command)
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport diff"""
    from ..diff import diff
    from ..files import load_sample
    from ..progress import Progress
    from ..telling import blocks_of

    with Progress(1) as bar:
        bar.stage("reading")
        sample = None if a.sample is None else load_sample(a.sample)
        found = diff(a.a, a.b, sample=sample)
    if a.json:
        emit_json(found.to_json())
    else:
        say(*blocks_of(found))
    return 0 if found.same else Mismatch.exit_code
