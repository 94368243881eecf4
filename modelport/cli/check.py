"""modelport check: what of a model can be exported."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import Unsupported
from .common import TABLES, add_json, emit_json, say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("check", help="say what of a saved model can be exported, how exactly, and what can run it")
    command.add_argument("model", help="a saved model")
    command.add_argument("--sample", required=True, metavar="FILE", help=f"rows the model is fed, as {TABLES}")
    command.add_argument("--trust", action="store_true", help="open a pickle, which runs code stored in it")
    add_json(command, "the report")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport check"""
    from ..check import check
    from ..files import load_model, load_sample
    from ..progress import Progress

    with Progress(3) as bar:
        bar.stage(f"opening {a.model}")
        model = load_model(a.model, trust=a.trust)
        bar.stage(f"reading {a.sample}")
        sample = load_sample(a.sample)
        bar.stage("trying every format")
        report = check(model, sample)
    if a.json:
        emit_json(report.to_json())
    else:
        say(report)
    return 0 if report.passed else Unsupported.exit_code
