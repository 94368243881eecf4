"""modelport doctor: what is installed, what is missing for what, and what is known not to work together."""

from __future__ import annotations

import argparse
from itertools import groupby
from typing import Any

from ..layout import Block, Rows
from .common import add_json, emit_json, say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("doctor", help="say what is installed, what works together, and what is missing for what")
    command.add_argument(
        "--check", action="store_true", help="write a tiny model in every format and run it in every consumer here"
    )
    add_json(command, "the findings")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport doctor"""
    from ..doctor import diagnose
    from ..progress import Progress

    with Progress(1) as bar:
        bar.stage("looking at what is installed")
        diagnosis = diagnose(a.check)
    if a.json:
        emit_json(diagnosis.to_json())
        return diagnosis.exit_code
    blocks: list[Block] = []
    for group, findings in groupby(diagnosis.findings, key=lambda f: f.group):
        rows = [("ok" if f.ok else "BAD" if f.bad else "--", f.what, f.says) for f in findings]
        blocks += ["", f"{group}:", Rows(rows)]
    say(*blocks[1:])
    return diagnosis.exit_code
