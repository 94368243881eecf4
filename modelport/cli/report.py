"""modelport report: what verifying found, as an HTML file."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import UsageError
from .common import add_json, add_verifying_options, check_net_options, check_output, emit_json, factory_of, lengths_of, say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("report", help="verify artifacts of one model, and write what was found as an HTML file")
    command.add_argument("artifacts", nargs="+", metavar="artifact", help="artifacts of one model, of any formats")
    add_verifying_options(command)
    command.add_argument("-o", "--output", metavar="PATH", help="the HTML file to write")
    command.add_argument("--title", help="what the page is called; the artifacts' name when left out")
    add_json(command, "the facts of the report")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport report"""
    from ..files import load_model, load_sample
    from ..outcomes import of_report, worst_exit_code
    from ..progress import Progress
    from ..report import gather, plots, write_page

    if (a.model is None) != (a.sample is None):
        raise UsageError("--model and --sample go together: the sample says what the model is fed.")
    check_net_options(a)
    if a.output is None and not a.json:
        raise UsageError("Say where to write the report: -o report.html, or --json to print its facts.")
    if a.output is not None:
        check_output(a.output)
        plots.require()
    lengths = lengths_of(a.lengths)
    options: dict[str, Any] = {"lengths": lengths} if lengths else {}
    with Progress(len(a.artifacts) + 2) as bar:
        model = sample = None
        if a.model is not None:
            bar.stage(f"opening {a.model}")
            model = load_model(a.model, trust=a.trust, factory=factory_of(a))
            sample = load_sample(a.sample)
        facts = gather(a.artifacts, model=model, sample=sample, with_=a.consumers, title=a.title, progress=bar, **options)
        if a.output is not None:
            bar.stage("drawing")
            write_page(a.output, [facts])
    if a.json:
        emit_json(facts.to_json())
    else:
        for report in facts.reports:
            say(report)
        say(f"report written to {a.output}")
    return worst_exit_code([outcome for report in facts.reports for outcome in of_report(facts.title, report)])
