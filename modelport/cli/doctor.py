"""modelport doctor: what is installed, and what is missing."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .common import say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("doctor", help="say what is installed and what is missing for what")
    command.add_argument("--json", action="store_true")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport doctor"""
    from ..doctor import diagnose

    findings = diagnose()
    if a.json:
        say(json.dumps(findings, indent=1))
        return 0
    for finding in findings:
        say(f"{'ok  ' if finding['ok'] else '--  '} {finding['what']:<28} {finding['says']}")
    return 0
