"""modelport conformance: any consumer against the conformance suite."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import Mismatch
from .common import add_json, emit_json, say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("conformance", help="hold a consumer in any language against the conformance suite")
    command.add_argument(
        "--with", dest="consumer", required=True, metavar="CONSUMER", help="a stub, or any command that speaks the stub protocol"
    )
    command.add_argument(
        "--only",
        action="append",
        metavar="CASES",
        help="cases whose names begin so, such as ops/scale or liars; several may be given",
    )
    command.add_argument("--known", metavar="FILE", help="failures that are expected, a line `name: reason` for each")
    command.add_argument("--fixtures", metavar="DIR", help="another suite than the one that came with modelport")
    add_json(command, "the report")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport conformance"""
    from pathlib import Path

    from ..conformance import conformance, known_failures
    from ..progress import Progress

    known = known_failures(Path(a.known)) if a.known is not None else None
    with Progress(1):
        report = conformance(a.consumer, fixtures=a.fixtures, only=tuple(a.only or [""]), known=known)
    if a.json:
        emit_json(report.to_json())
    else:
        say(report)
    return 0 if report.passed else Mismatch.exit_code
