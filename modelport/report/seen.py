"""What is kept of a verification while it runs: per consumer and output how the errors spread, the worst rows, the flips.

Which rows match is said by compare.py; here they are only counted and shown. Nothing that is kept grows with the rows or their
width: answers may be large.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compare import ByRow, by_row
from ..document import EXACT, Vectors
from ..graph import Input, Output
from .text import cell, pair, visible

__all__ = ["ConsumerFacts", "Flip", "Histogram", "OutputFacts", "Seen", "WorstRow"]

Array = NDArray[Any]
#: rows shown per consumer and output, cells shown of their inputs, pairs of labels shown, and rows named for each
MOST_ROWS, MOST_CELLS, MOST_PAIRS, MOST_NAMED = 5, 24, 12, 6
#: labels told apart while flips are counted
MOST_COUNTED = 1000


@dataclass(frozen=True)
class Histogram:
    """Rows by their largest error: none at all, per power of ten (exponent, rows that pass, rows that do not), and no number."""

    none: int = 0
    decades: tuple[tuple[int, int, int], ...] = ()
    no_number: int = 0

    def __add__(self, other: Histogram) -> Histogram:
        found = {exponent: (inside, beyond) for exponent, inside, beyond in self.decades}
        for exponent, inside, beyond in other.decades:
            before = found.get(exponent, (0, 0))
            found[exponent] = (before[0] + inside, before[1] + beyond)
        decades = tuple((e, *found[e]) for e in sorted(found))
        return Histogram(self.none + other.none, decades, self.no_number + other.no_number)

    @classmethod
    def of(cls, rows: ByRow) -> Histogram:
        """Counted from the rows of one output."""
        if rows.error is None:
            return cls()
        finite = np.isfinite(rows.error) & (rows.error > 0)
        exponents = np.floor(np.log10(rows.error[finite])).astype(int)
        passed = rows.passed[finite]
        decades = tuple(
            (int(e), int(((exponents == e) & passed).sum()), int(((exponents == e) & ~passed).sum()))
            for e in np.unique(exponents)
        )
        return cls(int((rows.error == 0).sum()), decades, int((~np.isfinite(rows.error)).sum()))


@dataclass(frozen=True)
class WorstRow:
    """A row that differs: why it is there, what is where, what was expected and given, and the first cells of its inputs."""

    row: int
    kind: str
    passed: bool
    error: float | None
    where: str | None
    expected: str
    got: str
    inputs: tuple[tuple[str, str], ...]
    further: int


@dataclass(frozen=True)
class Flip:
    """A label that was given instead of another, how often, and the first rows in which it was."""

    expected: str
    got: str
    count: int
    rows: tuple[int, ...]


@dataclass
class OutputFacts:
    """What one consumer's answers of one output look like, row by row."""

    rows: int = 0
    beyond: int = 0
    differing: int = 0
    histogram: Histogram | None = None
    worst: list[WorstRow] = field(default_factory=list)
    flips: list[Flip] = field(default_factory=list)


@dataclass
class ConsumerFacts:
    """One consumer: its outputs, and the seconds it took; to_load is None where one process loads and answers."""

    consumer: str
    seconds: float = 0.0
    to_load: float | None = None
    rows: int = 0
    sets: int = 0
    outputs: dict[str, OutputFacts] = field(default_factory=dict)


class Seen:
    """A `watch.Watcher` that keeps what a report shows."""

    def __init__(self, inputs: Sequence[Input], outputs: Sequence[Output]) -> None:
        self.inputs = inputs
        self.classes = {o.name: o.classes for o in outputs}
        self.consumers: dict[str, ConsumerFacts] = {}

    def answered(self, consumer: str, rows: Vectors, outputs: Mapping[str, Array], seconds: float, to_load: float | None) -> None:
        """One set of rows."""
        facts = self.consumers.setdefault(consumer, ConsumerFacts(consumer, to_load=to_load))
        for name, expected in rows.outputs.items():
            kept = facts.outputs.setdefault(name, OutputFacts())
            found = by_row(expected, outputs[name], rows.tolerance.get(name, EXACT))
            kept.rows += len(expected)
            kept.beyond += int((~found.passed).sum())
            kept.differing += int(found.differs.sum())
            if found.error is not None:
                kept.histogram = (kept.histogram or Histogram()) + Histogram.of(found)
            fits = np.asarray(outputs[name]).shape == np.asarray(expected).shape
            if fits and expected.dtype.kind != "f":
                kept.flips = _flips(kept.flips, expected, outputs[name], found, facts.rows)
            worst = _worst(self.inputs, rows, expected, outputs[name], found, self.classes.get(name), facts.rows) if fits else ()
            kept.worst = sorted([*kept.worst, *worst], key=_badness)[:MOST_ROWS]
        facts.seconds += seconds
        facts.sets += 1
        facts.rows += len(rows)

    def finished(self) -> dict[str, ConsumerFacts]:
        """What is known of every consumer; the most frequent flips first, and not too many of them."""
        for facts in self.consumers.values():
            for output in facts.outputs.values():
                output.flips = sorted(output.flips, key=lambda flip: (-flip.count, flip.rows))[:MOST_PAIRS]
        return self.consumers


def _badness(row: WorstRow) -> tuple[bool, float, int]:
    return row.passed, -(math.inf if row.error is None else row.error), row.row


def _worst(
    inputs: Sequence[Input], rows: Vectors, expected: Array, got: Array, found: ByRow, classes: Sequence[Any] | None, start: int
) -> Iterator[WorstRow]:
    """The rows of a set that lie furthest apart, those beyond the tolerance first."""
    got = np.asarray(got)
    error = np.full(len(expected), np.inf) if found.error is None else found.error
    differing = np.flatnonzero(found.differs).tolist()
    for i in heapq.nsmallest(MOST_ROWS, differing, key=lambda i: (bool(found.passed[i]), -float(error[i]), i)):
        place = tuple(int(k) for k in np.unravel_index(int(found.worst[i]), expected.shape[1:]))
        at = (i, *place)
        said = pair(expected[at], got[at])
        cells, further = _cells(inputs, {name: array[i] for name, array in rows.inputs.items()})
        yield WorstRow(
            start + i,
            visible(rows.rows[i], 40) if len(rows.rows) else "",
            bool(found.passed[i]),
            None if found.error is None or not np.isfinite(error[i]) else float(error[i]),
            _where(place, expected.shape[1:], classes),
            *said,
            cells,
            further,
        )


def _where(place: tuple[int, ...], shape: tuple[int, ...], classes: Sequence[Any] | None) -> str | None:
    """Which element of a row, or None where there is only one."""
    if math.prod(shape) == 1:
        return None
    if classes is not None and len(place) == 1 and len(classes) == shape[0]:
        return cell(classes[place[0]])
    return f"[{', '.join(map(str, place))}]"


def _cells(inputs: Sequence[Input], row: Mapping[str, Array]) -> tuple[tuple[tuple[str, str], ...], int]:
    """(name, value) of the first cells of a row, and how many more there are; an array of many axes or cells is summed up."""
    cells: list[tuple[str, str]] = []
    total = 0
    for value in inputs:
        array = np.asarray(row[value.name])
        total += array.size if not _summed_up(value, array) else 1
        if len(cells) >= MOST_CELLS:
            continue
        flat = array.reshape(-1)
        if _summed_up(value, array):
            cells.append((visible(value.name, 60), _summary(array)))
        elif flat.size == 1 and value.features is None:
            cells.append((visible(value.name, 60), cell(flat[0])))
        else:
            for j in range(min(flat.size, MOST_CELLS - len(cells))):
                label = value.features[j] if value.features is not None else f"{visible(value.name, 40)}[{j}]"
                cells.append((visible(label, 60), cell(flat[j])))
    return tuple(cells), total - len(cells)


def _summed_up(value: Input, array: Array) -> bool:
    return array.ndim > 1 or (array.size > MOST_CELLS and value.features is None)


def _summary(array: Array) -> str:
    shape = "×".join(map(str, array.shape))
    if array.dtype == object or not array.size:
        first = ", ".join(cell(v) for v in array.reshape(-1)[:4].tolist())
        return f"{shape}: {first}{', …' if array.size > 4 else ''}"
    numbers = array.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return f"{shape}, no finite number"
    odd = array.size - finite.size
    said = f"{shape}, from {finite.min():.6g} to {finite.max():.6g}, mean {finite.mean():.6g}"
    return said + (f", {odd} not finite" if odd else "")


def _flips(before: list[Flip], expected: Array, got: Array, found: ByRow, start: int) -> list[Flip]:
    """The pairs of labels counted so far, with those of a set; beyond MOST_COUNTED pairs only those known already go on."""
    counted = {(flip.expected, flip.got): flip for flip in before}
    for i in np.flatnonzero(found.differs).tolist():
        at = (i, *np.unravel_index(int(found.worst[i]), expected.shape[1:]))
        said = pair(expected[at], np.asarray(got)[at])
        flip = counted.get(said, Flip(*said, 0, ()))
        if not flip.count and len(counted) >= MOST_COUNTED:
            continue
        counted[said] = replace(flip, count=flip.count + 1, rows=(*flip.rows, start + i)[:MOST_NAMED])
    return list(counted.values())
