"""modelport verify: an artifact against the original's answers."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import UsageError
from .common import TABLES, add_net_options, factory_of, lengths_of, say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("verify", help="hold an artifact against the original's answers")
    command.add_argument("artifact")
    command.add_argument("--model", help="the saved model, to verify against it with boundary rows added")
    command.add_argument("--sample", metavar="FILE", help=f"rows the model is fed, as {TABLES}")
    add_net_options(command)
    command.add_argument(
        "--with",
        dest="consumers",
        action="append",
        default=[],
        metavar="CONSUMER",
        help="a stub, an engine, or any command; may repeat",
    )
    command.add_argument("--trust", action="store_true", help="open a pickle, which runs code stored in it")
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport verify"""
    from ..files import load_model, load_sample
    from ..verify import verify

    if (a.model is None) != (a.sample is None):
        raise UsageError("--model and --sample go together: the sample says what the model is fed.")
    model = load_model(a.model, trust=a.trust, factory=factory_of(a)) if a.model else None
    sample = load_sample(a.sample) if a.sample else None
    lengths = lengths_of(a.lengths)
    options: dict[str, Any] = {"lengths": lengths} if lengths else {}
    report = verify(a.artifact, model=model, sample=sample, with_=a.consumers, **options)
    say(json.dumps(report.to_json(), indent=1, allow_nan=False) if a.json else report)
    if report.passed:
        return 0
    codes = [c.exit_code for c in report.consumers if c.problem is not None and c.exit_code]
    mismatch = any(c.problem is None and not c.passed for c in report.consumers)
    return 1 if mismatch or not codes else codes[0]
