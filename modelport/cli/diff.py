"""modelport diff: whether two artifacts answer the same, and where they part."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import Mismatch
from .common import TABLES, add_json, emit_json, say
from .terminal import Block, Rows

if TYPE_CHECKING:
    from ..compare import OutputReport
    from ..diff import Crossing, Difference

__all__ = ["add", "blocks_of", "run"]

#: so many changed steps and parameters of a step are shown; --json has all
MOST = 20


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

    with Progress(1) as bar:
        bar.stage("reading")
        sample = None if a.sample is None else load_sample(a.sample)
        found = diff(a.a, a.b, sample=sample)
    if a.json:
        emit_json(found.to_json())
    else:
        say(*blocks_of(found))
    return 0 if found.same else Mismatch.exit_code


def blocks_of(found: Difference) -> list[Block]:
    """What `diff` found, for a person."""
    rows = sum(c.rows for c in found.crossings)
    verdict = "SAME" if found.same else "DIFFERENT"
    blocks: list[Block] = [f"{verdict}  A = {found.a} ({found.formats[0]}), B = {found.b} ({found.formats[1]}), {rows} rows"]
    if found.structure:
        blocks += ["", "What they declare:", Rows([(sentence,) for sentence in found.structure])]
    for crossing in found.crossings:
        blocks += ["", f"Rows {crossing.rows_of}: {crossing.rows}", *_crossing(crossing)]
    if found.steps:
        blocks += ["", "Steps:", Rows(list(_steps(found)))]
    elif found.steps is not None:
        blocks += ["", "Steps: the same, with the same parameters"]
    return [*blocks, *(f"note: {note}" for note in found.notes)]


def _crossing(c: Crossing) -> Iterator[Block]:
    table = [_output(o) for o in c.outputs]
    if table:
        header = ("output", "verdict", "max abs", "max rel", "max ulp", "flips", "tolerance")
        yield Rows(table, header, frozenset({2, 3, 4, 5}))
    for name, worst in (c.worst or {}).items():
        yield f"  worst rows of {name}:"
        rows = [(f"row {w.row}", w.kind, *_answers(w.a, w.b), _text(w.inputs, 6)) for w in worst]
        yield Rows(rows, ("", "", "A", "B", "inputs"), indent=4)
    yield from (f"  {sentence}" for sentence in c.refused)


def _answers(a: Any, b: Any) -> tuple[str, str]:
    """Two answers, in as many digits as it takes to tell them apart."""
    return next(pair for digits in (6, 17) if (pair := (_text(a, digits), _text(b, digits)))[0] != pair[1] or digits == 17)


def _text(value: Any, digits: int) -> str:
    """A cell, or cells, as text."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_text(cell, digits)}" for name, cell in value.items())
    if isinstance(value, list):
        return f"[{', '.join(_text(cell, digits) for cell in value)}]"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return "missing" if value is None else str(value)


def _output(o: OutputReport) -> tuple[str, ...]:
    verdict = {"exact": "equal in every bit", "within": "within", "mismatch": "DIFFERENT"}[o.equality]
    numbers = ["-" if v is None else f"{v:.3g}" for v in (o.max_abs, o.max_rel, o.max_ulp)]
    flips = "" if o.flips is None else f"{o.flips:,}"
    allowed = o.tolerance if isinstance(o.tolerance, str) else json.dumps(o.tolerance)
    return (o.output, verdict, *numbers, flips, o.problem or allowed)


def _steps(found: Difference) -> Iterator[tuple[str, str, str]]:
    steps = found.steps or ()
    for step in steps[:MOST]:
        yield step.change, f"{step.step} ({step.op})", "; ".join(map(str, step.parameters[:MOST]))
    if len(steps) > MOST:
        yield "...", f"{len(steps) - MOST} more", ""
