"""Diff: whether two artifacts answer the same, and where they part. Each answers the rows that the other one carries."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import registry
from .aligning import Alignment, align
from .arrays import is_net
from .artifact import Artifact
from .compare import OutputReport, by_row, compare, merge
from .document import EXACT, Loaded, Tolerance, Vectors
from .errors import ArtifactError, InputError, ModelportError
from .lossy import ordinary
from .predictor import replay, require_match, to_feeds
from .progress import stage
from .stepwise import StepChange, changed_steps
from .vectors import EXTREME, cancelling, choose_rows, without_ties

__all__ = ["Crossing", "Difference", "WorstRow", "diff"]

Array = NDArray[Any]
#: so many of the worst rows are kept per output
WORST = 3
#: cells of a row that are shown
CELLS = 12


@dataclass(frozen=True)
class WorstRow:
    """A row on which two artifacts part: its inputs, and what either answers."""

    row: int
    kind: str
    inputs: Mapping[str, Any]
    a: Any
    b: Any


@dataclass(frozen=True)
class Crossing:
    """One set of rows, answered by both: `rows_of` says whose they are.

    outputs compare B's answers with A's, `worst` has the worst rows per output, `refused` a sentence per artifact that refuses
    rows which the other one answers.
    """

    rows_of: str
    rows: int
    outputs: tuple[OutputReport, ...] = ()
    worst: Mapping[str, tuple[WorstRow, ...]] | None = None
    refused: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """True when something was compared and all of it is the same."""
        return self.rows > 0 and bool(self.outputs) and not self.refused and all(o.passed for o in self.outputs)


@dataclass(frozen=True)
class Difference:
    """What `diff` found of artifacts a and b.

    `structure` has a sentence for everything they declare otherwise; `steps` what differs between their steps, None where these
    cannot be compared. `same` tells whether they declare the same and answered the same on every row that was tried.
    """

    a: str
    b: str
    formats: tuple[str, str]
    structure: tuple[str, ...]
    crossings: tuple[Crossing, ...]
    steps: tuple[StepChange, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Do they answer the same?"""
        return not self.structure and bool(self.crossings) and all(c.same for c in self.crossings)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        said = asdict(self)
        for crossing, given in zip(said["crossings"], self.crossings, strict=True):
            crossing["same"] = given.same
        return {"same": self.same, **_plain(said)}

    def __str__(self) -> str:
        from .layout import lines_of
        from .telling import blocks_of

        return "\n".join(lines_of(blocks_of(self)))


def diff(
    a: str | os.PathLike[str] | Artifact | bytes,
    b: str | os.PathLike[str] | Artifact | bytes,
    *,
    sample: Any = None,
    seed: int = 0,
) -> Difference:
    """Say whether artifact b answers as artifact a does, on the rows that either carries, and where they part.

    Works for two versions of a model and for two formats of one. Rows at the boundaries of their graphs are drawn too, where both
    have one; sample adds rows of your own. An output may lie as far apart as the wider of the stated tolerances. Raises Mismatch
    for an artifact that does not answer its own rows as its original did, ArtifactError where there is no row to compare on.
    """
    opened = Artifact.of(a), Artifact.of(b)
    names = _name(a, "A"), _name(b, "B")
    loaded = opened[0].load(), opened[1].load()
    for name, one in zip(names, loaded, strict=True):
        stage(f"replaying {name}", 1)
        if one.vectors is not None:
            require_match(replay(one), repr(name))
    stage("comparing", 2)
    aligned = align(loaded[0], loaded[1])
    approximate = [name for name, one in zip(names, loaded, strict=True) if one.provenance.get("approximation")]
    crossings = []
    for i, (name, one) in enumerate(zip(names, loaded, strict=True)):
        if one.vectors is not None:
            rows = ordinary(one.vectors) if approximate else one.vectors
            crossings.append(_crossing(aligned, loaded, rows, i, f"carried by {name}"))
    if sample is not None:
        given = Vectors(to_feeds(loaded[0].inputs, sample), {})
        if not len(given):
            raise InputError("The sample has no rows: hand over at least one, or leave it out.")
        crossings.append(_crossing(aligned, loaded, given, 0, "of the sample"))
    if not crossings:
        raise ArtifactError("Neither artifact carries vectors, so there is no row to compare them on: hand over rows (sample=X).")
    steps, notes = _steps(opened, loaded)
    notes += [f"{name!r} approximates its model: rows far outside the sample are left out" for name in approximate]
    if steps and aligned.outputs and not approximate:
        stage("looking at boundaries")
        crossings += _on_boundaries(aligned, loaded, seed)
    notes += [
        f"{name!r} carries no vectors: nothing proves what it answers" for name, one in zip(names, loaded) if not one.vectors
    ]
    if steps and not aligned.problems and all(c.same for c in crossings):
        notes.append("their steps differ, so rows that were not tried may be answered otherwise")
    formats = opened[0].format, opened[1].format
    return Difference(names[0], names[1], formats, aligned.problems, tuple(crossings), steps, (*aligned.notes, *notes))


def _name(given: Any, otherwise: str) -> str:
    return os.fspath(given) if isinstance(given, (str, os.PathLike)) else otherwise


def _steps(opened: Sequence[Artifact], loaded: Sequence[Loaded]) -> tuple[tuple[StepChange, ...] | None, list[str]]:
    """What differs between the steps, where both are of one format; across formats steps have other names."""
    if opened[0].format != opened[1].format:
        return None, ["the artifacts are of two formats, whose steps are not comparable: their answers are compared"]
    found = []
    for artifact, one in zip(opened, loaded, strict=True):
        module = registry.writer(artifact.format)
        if one.graph is not None:
            found.append([(s.output, s.op, dict(s.attributes)) for s in one.graph.steps])
        elif hasattr(module, "parts"):
            found.append(module.parts(artifact.data))
    if len(found) < 2:
        return None, [f"a {opened[0].format} file has no steps that could be compared: the answers are"]
    return changed_steps(found[0], found[1]), []


# --- rows ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Given:
    """Rows as `choose_rows` wants a sample."""

    columns: Mapping[str, Array]

    def feeds(self) -> dict[str, Array]:
        return dict(self.columns)


def _on_boundaries(aligned: Alignment, loaded: Sequence[Loaded], seed: int) -> list[Crossing]:
    """Rows at the boundaries of both graphs, made of values that they carry; none for nets and files without a graph.

    Rows whose label hangs on less than the tolerance, and extreme ones that cancel, are left out, as in every verification.
    """
    feeds = [one.vectors.inputs for one in loaded if one.vectors is not None]
    names = [{v.name: (v.dtype, v.shape, v.missing) for v in one.inputs} for one in loaded]
    if not feeds or names[0] != names[1] or is_net(loaded[0].inputs) or is_net(loaded[1].inputs):
        return []
    given: Any = _Given({name: np.concatenate([f[name] for f in feeds]) for name in names[0]})
    found = []
    for i, one in enumerate(loaded):
        if one.graph is None:
            return []
        try:
            chosen = choose_rows(one.graph, given, seed=seed + i, plain=64, boundary=128)
        except ModelportError:
            continue
        index, answers, _ = _run(one.run, chosen.feeds(), len(chosen))
        if not index.size:
            continue
        rows = Vectors({k: v[index] for k, v in chosen.feeds().items()}, answers, {}, "drawn", [chosen.notes[k] for k in index])
        tolerance = {o.name: _wider(loaded, o.name, o.name) for o in one.outputs}
        keep = without_ties(one.graph, answers, tolerance) & ~cancelling(one.graph, rows.inputs, rows.rows)
        if keep.any():
            found.append(_crossing(aligned, loaded, rows.take(np.flatnonzero(keep)), i, f"drawn at the boundaries of {'AB'[i]}"))
    return found


def _crossing(aligned: Alignment, loaded: Sequence[Loaded], vectors: Vectors, owner: int, rows_of: str) -> Crossing:
    """Both artifacts on one artifact's rows. What the owner is to answer is recorded in the rows, or else asked."""
    reports: dict[str, list[OutputReport]] = {}
    worst: dict[str, list[WorstRow]] = {}
    refused: dict[int, tuple[int, str]] = {}
    count = past = 0
    for part in vectors.sets():
        answered = _answered(aligned, loaded, part, owner, refused)
        before, past = past, past + len(part)
        if answered is None:
            continue
        index, answers = answered
        count += len(index)
        for pair in aligned.outputs:
            a, b = pair.of(answers[0], answers[1])
            tolerance = _wider(loaded, pair.a.name, pair.b.name)
            report = compare(pair.a.name, a, b, tolerance)
            reports.setdefault(pair.a.name, []).append(report)
            rows = _worst(part, index, a, b, report, tolerance)
            worst.setdefault(pair.a.name, []).extend(replace(row, row=row.row + before) for row in rows)
    sentences = tuple(
        f"{'AB'[i]} refuses {n} of the {len(vectors)} rows that the other answers: {why}" for i, (n, why) in refused.items()
    )
    merged = tuple(merge(found) for found in reports.values())
    return Crossing(rows_of, count, merged, {name: tuple(rows[:WORST]) for name, rows in worst.items() if rows}, sentences)


Answers = Mapping[str, Array]


def _answered(
    aligned: Alignment, loaded: Sequence[Loaded], part: Vectors, owner: int, refused: dict[int, tuple[int, str]]
) -> tuple[Array, tuple[Answers, Answers]] | None:
    """The rows that both answer, and the answers; rows that only one refuses are counted in `refused`."""
    n = len(part)
    found: list[tuple[Array, Answers]] = []
    said: dict[int, str] = {}
    for i, one in enumerate(loaded):
        if i == owner and part.outputs:
            found.append((np.arange(n), part.outputs))
            continue
        try:
            feeds = aligned.feeds(part.inputs, owner, i)
        except InputError as error:
            said[i] = str(error)
            found.append((np.arange(0), {}))
            continue
        index, answers, why = _run(one.run, feeds, n)
        found.append((index, answers))
        if why is not None:
            said[i] = why
    for i, why in said.items():
        lost = len(np.setdiff1d(found[1 - i][0], found[i][0]))
        if lost:
            before = refused.get(i, (0, why))
            refused[i] = before[0] + lost, before[1]
    both = np.intersect1d(found[0][0], found[1][0])
    if not both.size:
        return None
    taken = [{k: v[np.searchsorted(index, both)] for k, v in answers.items()} for index, answers in found]
    return both, (taken[0], taken[1])


def _run(run: Callable[[Answers], dict[str, Array]], feeds: Answers, n: int) -> tuple[Array, Answers, str | None]:
    """The rows that are answered, the answers, and why another is refused: halves are asked where a whole is refused."""
    kept: list[tuple[int, int, dict[str, Array]]] = []
    reasons: list[str] = []

    def ask(first: int, last: int) -> None:
        try:
            kept.append((first, last, run({name: array[first:last] for name, array in feeds.items()})))
        except InputError as error:
            if last - first == 1:
                reasons.append(re.sub(r"^Row 0\b", f"Row {first}", str(error)))
                return
            middle = (first + last) // 2
            ask(first, middle)
            ask(middle, last)

    if n:
        ask(0, n)
    why = reasons[0] if reasons else None
    if not kept:
        return np.arange(0), {}, why
    index = np.concatenate([np.arange(first, last) for first, last, _ in kept])
    return index, {name: np.concatenate([out[name] for *_, out in kept]) for name in kept[0][2]}, why


def _wider(loaded: Sequence[Loaded], a: str, b: str) -> Tolerance:
    """The wider of what two artifacts state for an output."""
    stated = [one.vectors.tolerance.get(name, EXACT) for one, name in zip(loaded, (a, b), strict=True) if one.vectors is not None]
    if len({t.ulp for t in stated}) == 1 and stated and stated[0].ulp:
        return stated[0]
    share = [t.rtol if not t.ulp else t.ulp * float(np.finfo(np.float64).eps) for t in stated]
    return Tolerance(max((t.atol for t in stated), default=0.0), max(share, default=0.0))


def _worst(part: Vectors, index: Array, a: Array, b: Array, report: OutputReport, tolerance: Tolerance) -> Iterator[WorstRow]:
    """The rows that lie farthest apart, of an output that does not pass."""
    if report.passed or report.problem is not None:
        return
    rows = by_row(a, b, tolerance)
    badness: Array = np.where(rows.passed, -1.0, 1.0 if rows.error is None else rows.error)
    far = np.array([bool(part.rows) and part.rows[int(k)] in EXTREME for k in index])  # of rows as bad as each other the last
    for i in np.lexsort((far, -badness))[:WORST]:
        if badness[i] < 0:
            return
        row = int(index[i])
        cells = {name: _cells(array[row]) for name, array in part.inputs.items()}
        yield WorstRow(row, part.rows[row] if part.rows else "", dict(list(cells.items())[:CELLS]), _cells(a[i]), _cells(b[i]))


def _cells(value: Any) -> Any:
    """A row's cells, or the first of them where there are many."""
    flat = np.asarray(value).reshape(-1).tolist()
    shown = flat[:CELLS] + ([f"... {len(flat) - CELLS} more"] if len(flat) > CELLS else [])
    return shown[0] if len(shown) == 1 else shown


def _plain(value: Any) -> Any:
    """Plain values for JSON, which has no NaN and no infinity: these as strings."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
