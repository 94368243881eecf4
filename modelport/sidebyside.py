"""Our artifact and those of the delegates, side by side: every one is held to the same proof, and a refusal ends nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import registry
from .convert import convert
from .delegation import delegates_of, lacking
from .errors import Mismatch, MissingDependency, ModelportError
from .verify import Report

__all__ = ["Entry", "SideBySide", "side_by_side"]


@dataclass(frozen=True)
class Entry:
    """One backend and format: `seconds` it took to convert and prove, and how its answers compare with the original's.

    error is the largest absolute one over all rows and outputs, flips the rows of which a label differs; None where it came to no
    number, as `problem` says.
    """

    format: str
    backend: str
    passed: bool
    seconds: float
    bytes: int | None = None
    rows: int | None = None
    error: float | None = None
    flips: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class SideBySide:
    """What every backend makes of one model."""

    entries: tuple[Entry, ...]

    @property
    def passed(self) -> bool:
        """Is there an artifact that answers as the model does?"""
        return any(entry.passed for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        return {"passed": self.passed, "entries": [asdict(entry) for entry in self.entries]}

    def __str__(self) -> str:
        header = ("format", "backend", "bytes", "seconds", "rows", "worst error", "flips", "verdict")
        table = [header, *(_cells(entry) for entry in self.entries)]
        widths = [max(len(row[j]) for row in table) for j in range(len(header) - 1)]
        numbers = range(2, len(header) - 1)
        return "\n".join(
            "  ".join([*(c.rjust(w) if j in numbers else c.ljust(w) for j, (c, w) in enumerate(zip(row, widths))), row[-1]])
            for row in table
        )


def _cells(e: Entry) -> tuple[str, ...]:
    sizes = ("-" if e.bytes is None else f"{e.bytes:,}", f"{e.seconds:.2f}", "-" if e.rows is None else str(e.rows))
    errors = ("-" if e.error is None else f"{e.error:.3g}", "-" if e.flips is None else str(e.flips))
    return (e.format, e.backend, *sizes, *errors, "passed" if e.passed else f"refused: {(e.problem or '').splitlines()[0]}")


def side_by_side(
    model: Any,
    formats: Sequence[str],
    *,
    sample: Any,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **common: Any,
) -> SideBySide:
    """Convert a model to formats with our own writer and with every delegate that takes it, those that need opting in too.

    options maps formats to their own options; common ones go to every conversion (`vectors`, `name`). Nothing is written.
    """
    entries = []
    for format_ in formats:
        given = dict((options or {}).get(format_, {}))
        for backend in ("graph", *delegates_of(model, format_)):
            known = getattr(registry.load("delegates", backend), "OPTIONS", given) if backend != "graph" else given
            asked = {name: value for name, value in given.items() if name in known}
            entries.append(_entry(model, format_, sample, backend, {**common, **asked}))
    return SideBySide(tuple(entries))


def _entry(model: Any, format_: str, sample: Any, backend: str, options: Mapping[str, Any]) -> Entry:
    start = time.perf_counter()
    try:
        if backend != "graph":
            missing = lacking(registry.load("delegates", backend))
            if missing is not None:
                raise MissingDependency(missing)
        artifact = convert(model, format_, sample=sample, backend=backend, **options)
    except ModelportError as error:
        report = error.report if isinstance(error, Mismatch) and isinstance(error.report, Report) else None
        return Entry(format_, backend, False, _since(start), **_compared(report), problem=str(error))
    return Entry(format_, backend, True, _since(start), len(artifact.data), **_compared(artifact.report))


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 4)


def _compared(report: Report | None) -> dict[str, Any]:
    """The numbers of a report's first consumer, which has answered all rows."""
    if report is None or not report.consumers:
        return {}
    outputs = report.consumers[0].outputs
    errors = [o.max_abs for o in outputs if o.flips is None]
    known = [e for e in errors if e is not None]
    flips = [o.flips for o in outputs if o.flips is not None]
    worst = max(known) if known and len(known) == len(errors) else None
    return {"rows": report.rows, "error": worst, "flips": max(flips, default=None)}
