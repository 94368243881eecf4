"""modelport check: what of a model can be exported."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import Unsupported
from .common import TABLES, say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("check", help="say what of a saved model can be exported, how exactly, and what can run it")
    command.add_argument("model", help="a saved model")
    command.add_argument("--sample", required=True, metavar="FILE", help=f"rows the model is fed, as {TABLES}")
    command.add_argument("--trust", action="store_true", help="open a pickle, which runs code stored in it")
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport check"""
    from ..check import check
    from ..files import load_model, load_sample

    report = check(load_model(a.model, trust=a.trust), load_sample(a.sample))
    say(json.dumps(report.to_json(), indent=1, allow_nan=False) if a.json else report)
    return 0 if report.passed else Unsupported.exit_code
