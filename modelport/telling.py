"""What `diff` found, for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .layout import Block, Rows

if TYPE_CHECKING:
    from .compare import OutputReport
    from .diff import Crossing, Difference

__all__ = ["blocks_of"]

#: so many changed steps and parameters of a step are shown; to_json() has all
MOST = 20


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
