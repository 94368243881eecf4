"""modelport explain: what an error means, why modelport refuses, and what to do."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..layout import Rows, printable
from .common import add_json, emit, emit_json
from .terminal import colourful, width_of

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("explain", help="explain a kind of error: what it means, why, and what to do")
    command.add_argument(
        "name", nargs="?", help="an error's name (mismatch, Mismatch) or an exit code; all are listed without it"
    )
    add_json(command, "the page")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport explain"""
    from ..explaining import explanation, explanations

    if a.name is None:
        found = explanations()
        if a.json:
            emit_json([{k: v for k, v in vars(e).items() if k != "text"} for e in found])
            return 0
        table = Rows([(e.page, str(e.exit_code), e.summary) for e in found], ("name", "exit code", "what it means"))
        emit("Errors, and the exit codes that a command or a stub ends with:", table)
        return 0
    page = explanation(a.name)
    if a.json:
        emit_json(vars(page))
    elif colourful(sys.stdout):
        from rich.console import Console
        from rich.markdown import Markdown

        Console(force_terminal=True, width=min(width_of(sys.stdout) or 100, 100)).print(Markdown(page.text))
    else:
        emit("\n".join(map(printable, page.text.rstrip("\n").split("\n"))))
    return 0
