"""Verifications as rows of one table - for a terminal, for Markdown, and for the job summary of a GitHub workflow.

Names come from files of others: in Markdown they are escaped, and details stand in a fence that they cannot close.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .errors import ModelportError, Unsupported

if TYPE_CHECKING:
    from .compare import OutputReport
    from .verify import ConsumerReport, Report

__all__ = ["Outcome", "markdown", "of_error", "of_report", "one_line", "table", "worst_exit_code", "write_job_summary"]

HEAD = ("model", "format", "consumer", "rows", "max abs error", "tolerance", "verdict")
#: a variable of GitHub Actions: the file to which a step's summary is added
SUMMARY = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True)
class Outcome:
    """One row: what one consumer made of one artifact.

    verdict is "passed", "failed" or "not run"; `details` say what failed, `exit_code` is the command line's for this row alone.
    """

    model: str
    format: str
    consumer: str
    verdict: str
    rows: int = 0
    max_abs: float | None = None
    tolerance: str = ""
    details: str = ""
    exit_code: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of the table's head."""
        error = "" if self.verdict == "not run" or not self.rows else "-" if self.max_abs is None else f"{self.max_abs:.3g}"
        rows = str(self.rows) if self.rows else ""
        return (self.model, self.format, self.consumer, rows, error, self.tolerance, self.verdict)


def of_report(model: str, report: Report) -> list[Outcome]:
    """A row per consumer of a report, and per consumer that could not run."""
    rows = [_of_consumer(model, report, c) for c in report.consumers]
    return rows + [Outcome(model, report.format, name, "not run", details=why) for name, why in report.not_run.items()]


def _of_consumer(model: str, report: Report, consumer: ConsumerReport) -> Outcome:
    if consumer.passed:
        verdict, details, code = "passed", "", 0
    else:
        verdict, details = "failed", str(report)
        code = consumer.exit_code if consumer.problem is not None and consumer.exit_code else 1
    if not consumer.outputs:
        return Outcome(model, report.format, consumer.consumer, verdict, details=details, exit_code=code)
    worst = max(consumer.outputs, key=_severity)
    said = worst.tolerance if isinstance(worst.tolerance, str) else json.dumps(worst.tolerance)
    return Outcome(
        model,
        report.format,
        consumer.consumer,
        verdict,
        worst.rows,
        worst.max_abs,
        f"{worst.output}: {re.sub('[{}]', '', said).replace(chr(34), '').replace(':', '')}",
        details,
        code,
    )


def _severity(output: OutputReport) -> tuple[bool, bool, float]:
    """Outputs that fail come first, then those with a number to give, then the largest difference."""
    error = float("inf") if output.max_abs is None else output.max_abs
    return (not output.passed, output.dtype.startswith("float"), error)


def of_error(model: str, format_: str, consumer: str, error: ModelportError) -> Outcome:
    """The row of an artifact that could not be verified at all."""
    return Outcome(model, format_, consumer, "failed", details=str(error), exit_code=error.exit_code)


def worst_exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 when everything passed; else a mismatch before what is refused, unsupported, and wrong usage.

    >>> worst_exit_code([Outcome("m", "json", "c", "failed", exit_code=3), Outcome("m", "json", "numpy", "failed", exit_code=1)])
    1
    """
    if not any(o.verdict == "passed" for o in outcomes) and not any(o.exit_code for o in outcomes):
        return Unsupported.exit_code  # nothing was compared
    return min((o.exit_code for o in outcomes if o.exit_code), default=0)


def table(outcomes: Sequence[Outcome]) -> str:
    """The table for a terminal."""
    rows = [HEAD, *(o.cells for o in outcomes)]
    widths = [max(len(one_line(row[i])) for row in rows) for i in range(len(HEAD))]
    return "\n".join("  ".join(one_line(cell).ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def one_line(text: str) -> str:
    """Text on one line: control characters are shown, not obeyed.

    >>> one_line("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def escaped(text: str) -> str:
    """Text in which nothing is Markdown, HTML or a link, for a cell or a heading.

    >>> print(escaped("a|b <i> [x](http://y)"))
    a\\|b \\<i\\> \\[x\\]\\(http\\://y\\)
    """
    text = re.sub(r"([\\`*_{}\[\]<>()#+!|~:&$@])", r"\\\1", one_line(text)).replace("\\@", "&#64;")
    return re.sub(r"(?i)\b(www)\.", r"\1\\.", text)


def fenced(text: str) -> str:
    """Text in a fence that is longer than any in it."""
    lines = "\n".join(map(one_line, text.split("\n")))
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", lines)), default=0))
    return f"{ticks}text\n{lines}\n{ticks}"


def markdown(outcomes: Sequence[Outcome], title: str = "modelport verify") -> str:
    """One table, then the details of what failed."""
    counts = {verdict: sum(o.verdict == verdict for o in outcomes) for verdict in ("passed", "failed", "not run")}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "nothing was verified"
    lines = [f"## {escaped(title)}: {said}", "", f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    for outcome in outcomes:
        cells = [escaped(cell) for cell in outcome.cells]
        cells[-1] = "**failed**" if outcome.verdict == "failed" else cells[-1]
        lines.append(f"| {' | '.join(cells)} |")
    shown: set[str] = set()
    for outcome in outcomes:
        if outcome.verdict == "failed" and outcome.details not in shown:
            shown.add(outcome.details)
            lines += ["", f"### {escaped(outcome.model)}: {escaped(outcome.format)}, {escaped(outcome.consumer)}", ""]
            lines.append(fenced(outcome.details))
    idle = [o for o in outcomes if o.verdict == "not run" and o.details]
    if idle:
        lines += ["", "Not run:", ""]
        reasons = dict.fromkeys((o.consumer, o.details) for o in idle)
        lines += [f"- {escaped(consumer)}: {escaped(why)}" for consumer, why in reasons]
    return "\n".join(lines) + "\n"


def write_job_summary(text: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Add Markdown to the summary of a GitHub workflow's step, where that is where we run."""
    path = environment.get(SUMMARY)
    if not path:
        return False
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{text}\n")
    except OSError:
        return False  # a summary that cannot be written must not turn a verification into a failure
    return True
