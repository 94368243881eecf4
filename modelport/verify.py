"""Verify: hold an artifact against the original's answers, in any consumer, and say where they part."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import nets, registry
from .arrays import Arrays
from .artifact import Artifact
from .bounds import bounded, bounds_of, stated_too_wide
from .compare import OutputReport, compare, merge
from .consumers import ALL, consumers_of, own_engine, required
from .document import EXACT, Loaded, Tolerance, Vectors
from .doubts import in_doubt
from .errors import (
    ArtifactError,
    InputError,
    Misjudged,
    Mismatch,
    MissingDependency,
    ModelportError,
    Unsupported,
    UnsupportedModel,
    UsageError,
)
from .graph import Graph
from .lossy import WIDEST_LOSS, ordinary
from .progress import stage
from .reading import Reading
from .reasons import reasons
from .run import Evaluator
from .sample import Sample
from .samples import carried_sample, checked_sample
from .vectors import EXTREME, cancelling, choose_rows, default_tolerance, labels_exact, record, scale_of, without_ties
from .watch import Watcher

__all__ = ["ConsumerReport", "Divergence", "Prepared", "Report", "build_pool", "first_divergence", "prepare", "verify"]

#: Where the order of floating-point operations cannot be kept, an answer may lie this far from the original's, relative to
#: the output's scale, before it is refused; what was measured is what the artifact states, ten times over.
WIDEST = 1e-9
#: so many plain rows at least are drawn for a model that was not read
PLAIN_UNREAD = 512

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class Divergence:
    """The first step whose value differs from the original's, or from the same step read freshly from the model."""

    step: str
    op: str
    row: int
    expected: str
    got: str

    def __str__(self) -> str:
        return f"first step that diverges: {self.step!r} ({self.op}), row {self.row}: {self.got} instead of {self.expected}"


@dataclass(frozen=True)
class ConsumerReport:
    """How one consumer's answers compare, per output; `problem` when it could not answer at all, `missing` where that is because
    a package or a program is not installed."""

    consumer: str
    outputs: tuple[OutputReport, ...] = ()
    problem: str | None = None
    exit_code: int = 0
    missing: bool = False

    @property
    def passed(self) -> bool:
        """True when every output matches; a consumer that compared nothing has not passed."""
        return self.problem is None and bool(self.outputs) and all(o.passed and o.rows > 0 for o in self.outputs)


@dataclass(frozen=True)
class Report:
    """A verification: what was compared, per consumer and output.

    `passed` is true only when there was at least one row, one consumer and one output, and all of them match. `not_run` says of
    consumers that were not asked for by name why they cannot run here.
    """

    format: str
    source: str
    rows: int
    consumers: tuple[ConsumerReport, ...]
    artifact: str | None = None
    divergence: Divergence | None = None
    notes: tuple[str, ...] = ()
    row_kinds: Mapping[str, int] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Did everything match?"""
        return self.rows > 0 and bool(self.consumers) and all(c.passed for c in self.consumers)

    @property
    def stale(self) -> bool:
        """Did an answer differ, or the file? Then making the artifact again may help, which it does not where a consumer is
        missing."""
        return any((c.problem is None and not c.passed) or c.consumer.endswith(FILE) for c in self.consumers)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        return {
            "artifact": self.artifact,
            "format": self.format,
            "source": self.source,
            "rows": self.rows,
            "row_kinds": dict(self.row_kinds),
            "passed": self.passed,
            "consumers": [
                {"consumer": c.consumer, "passed": c.passed, "problem": c.problem, "outputs": [o.to_json() for o in c.outputs]}
                for c in self.consumers
            ],
            "not_run": dict(self.not_run),
            "divergence": None if self.divergence is None else vars(self.divergence),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        head = f"{'PASSED' if self.passed else 'FAILED'}  {self.artifact or self.format} against {self.source}, {self.rows} rows"
        lines = [head, *(_consumer_lines(c) for c in self.consumers)]
        lines += [f"  {name}: not run: {why}" for name, why in self.not_run.items()]
        if self.divergence is not None:
            lines.append(f"  {self.divergence}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def _consumer_lines(consumer: ConsumerReport) -> str:
    if consumer.problem is not None:
        return f"  {consumer.consumer}: {consumer.problem}"
    lines = []
    for o in consumer.outputs:
        what = {"exact": "equal in every bit", "within": f"within {json.dumps(o.tolerance)}", "mismatch": "MISMATCH"}[o.equality]
        numbers = (
            ""
            if o.equality == "exact" or o.max_abs is None
            else f"; max abs {o.max_abs:.3g}, rel {_short(o.max_rel)}, ulp {_short(o.max_ulp)}"
        )
        flips = f"; {o.flips} of {o.rows} rows flipped" if o.flips else ""
        worst = f"; worst row {o.worst_row}: {o.worst}" if o.worst_row is not None and not o.passed else ""
        problem = f": {o.problem}" if o.problem else ""
        lines.append(f"  {consumer.consumer:<22} {o.output:<14} {what}{problem}{numbers}{flips}{worst}")
    return "\n".join(lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


# --- rows with the original's answers -----------------------------------------------------------------------------------------


def build_pool(
    reading: Reading, sample: Sample | Arrays, *, seed: int = 0, plain: int = 64, boundary: int = 96, own_rows: bool = False
) -> Vectors:
    """The answered rows of `split_pool`."""
    return split_pool(reading, sample, seed=seed, plain=plain, boundary=boundary, own_rows=own_rows)[0]


def split_pool(
    reading: Reading, sample: Sample | Arrays, *, seed: int = 0, plain: int = 64, boundary: int = 96, own_rows: bool = False
) -> tuple[Vectors, Vectors]:
    """Many rows with the original's answers: boundary rows, and synthetic plain rows or (own_rows) the sample's.

    An unread model has no boundaries that could be known: it answers both kinds of plain rows, and more of them; one that states
    a tolerance of its own loses digits near the sample's rows and answers both kinds too. Rows whose label hangs on less than
    the tolerance are left out, rows in doubt (doubts.py; when that is every other row, rows between the sample's values are
    added), and extreme rows that cancel. Second: the rows the original refuses, without outputs.
    """
    sample = reading.sample or sample
    if isinstance(sample, Arrays):
        return nets.split_pool(reading, sample, seed=seed, own_rows=own_rows)
    if reading.recorded is not None:
        rows = reading.recorded
        return rows, Vectors({k: v[:0] for k, v in rows.inputs.items()}, {}, {}, rows.source, ())
    plain = max(plain, PLAIN_UNREAD) if reading.unread else plain
    chosen = choose_rows(reading.graph, sample, seed=seed, plain=plain, boundary=boundary)
    if reading.doubts and in_doubt(reading.graph, reading.doubts, chosen.feeds()).mean() > 0.5:
        chosen = choose_rows(reading.graph, sample, seed=seed, plain=plain, boundary=boundary, between=plain)
    feeds, notes = chosen.feeds(), list(chosen.notes)
    if own_rows or reading.unread or reading.tolerance:
        given = {k: v[:512] for k, v in sample.feeds().items()}
        keep = [i for i, note in enumerate(notes) if note != "plain" or reading.unread or not own_rows]
        feeds = {k: np.concatenate([given[k], v[keep]]) for k, v in feeds.items()}
        notes = ["sample"] * len(next(iter(given.values()))) + [notes[i] for i in keep]
    if reading.undecided is not None:
        told = np.flatnonzero(~reading.undecided(feeds))
        feeds, notes = {k: v[told] for k, v in feeds.items()}, [notes[i] for i in told]
    outputs, index = record(reading.answer, feeds)
    refused = Vectors(feeds, {}, {}, "synthetic", tuple(notes)).take(np.setdiff1d(np.arange(len(notes)), index))
    feeds = {k: v[index] for k, v in feeds.items()}
    notes = [notes[i] for i in index]
    tolerance = {**default_tolerance(reading.graph, outputs, notes, reading.unread, reading.approximate), **reading.tolerance}
    pool = Vectors(feeds, outputs, tolerance, "sample" if own_rows else "synthetic", tuple(notes))
    untied = without_ties(reading.graph, outputs, tolerance)
    if not untied.any() and not reading.unread and labels_exact(reading.graph, reading.approximate):
        untied[:] = True  # no rounding decides these labels: a model that gives every row the same score still has one
    keep_rows = untied & ~cancelling(reading.graph, feeds, notes)
    keep_rows &= ~in_doubt(reading.graph, reading.doubts, feeds)
    if not keep_rows.any():
        raise InputError(
            "Every row of the sample is a tie, between two classes or two neighbours that lie equally far, or its answer hangs "
            "on rounding in the model itself: hand over rows the model can tell apart."
        )
    return pool.take(np.flatnonzero(keep_rows)), refused


def answered_anyway(run: Run, refused: Vectors, most: int = 24) -> str | None:
    """A sentence about a row that a consumer answers and the original refuses, or None. At most `most` rows are tried.

    Far outside the sample (`EXTREME`) the original may refuse a number only because it overflows on the way; these do not count.
    """
    rows = [i for i, note in enumerate(refused.rows) if note not in EXTREME]
    spread = sorted({k * len(rows) // most for k in range(most)} if len(rows) > most else range(len(rows)))
    for i in (rows[k] for k in spread):
        row = {name: array[i : i + 1] for name, array in refused.inputs.items()}
        try:
            run(row)
        except ModelportError:
            continue
        cells = {name: array[0].tolist() for name, array in list(row.items())[:12]}
        return f"it answers a row that the model refuses ({refused.rows[i]}): {cells}"
    return None


def read_or_ask(model: Any, rows: Sample | Arrays, options: Mapping[str, Any] | None = None) -> Reading:
    """The reading of a model; without a graph where its reader does not know it, but can ask it."""
    reader = registry.reader_for(model)[1]
    try:
        return reader.read(model, rows, options)  # type: ignore[no-any-return]
    except UnsupportedModel as error:
        if isinstance(error, Misjudged) or not hasattr(reader, "ask"):
            raise
        return reader.ask(model, rows, options)  # type: ignore[no-any-return]


def widest(expected: Array, notes: Sequence[str]) -> Tolerance:
    """The widest tolerance there is for an output: WIDEST of its scale (ten thousand times that for f32)."""
    unit = WIDEST if expected.dtype == np.float64 else 1e4 * WIDEST
    return Tolerance(unit * scale_of(expected, notes), unit)


def answers(run: Run, vectors: Vectors) -> dict[str, Array]:
    """What a consumer answers on one set of rows; ArtifactError when an output is missing."""
    got = run(vectors.inputs)
    missing = sorted(set(vectors.outputs) - set(got))
    if missing:
        raise ArtifactError(f"The consumer gave no output {missing[0]!r}.")
    return got


def compare_all(
    run: Run, vectors: Vectors, told: Callable[[Vectors, dict[str, Array], float], None] | None = None
) -> tuple[OutputReport, ...]:
    """Every output of a consumer against vectors, all sets of them; told gets the answers to each set, and the seconds."""
    found: dict[str, list[OutputReport]] = {name: [] for name in vectors.outputs}
    for part in vectors.sets():
        start = time.perf_counter()
        got = answers(run, part)
        if told is not None:
            told(part, got, time.perf_counter() - start)
        for name, expected in part.outputs.items():
            found[name].append(compare(name, expected, got[name], part.tolerance.get(name, EXACT)))
    return tuple(merge(reports) for reports in found.values())


def consumer_report(
    name: str, run: Run, vectors: Vectors, watch: Watcher | None = None, to_load: float | None = None
) -> ConsumerReport:
    """One consumer against vectors; an error becomes the report's problem. watch is told its answers."""

    def told(part: Vectors, got: dict[str, Array], seconds: float) -> None:
        if watch is not None:
            watch.answered(name, part, got, seconds, to_load)

    try:
        return ConsumerReport(name, compare_all(run, vectors, told))
    except ModelportError as error:
        return failed(name, error)


def failed(name: str, error: ModelportError) -> ConsumerReport:
    """A consumer that could not answer."""
    return ConsumerReport(name, (), str(error), error.exit_code, isinstance(error, MissingDependency))


# --- where it starts to differ ------------------------------------------------------------------------------------------------


def first_divergence(artifact: Graph | None, reading: Reading, vectors: Vectors) -> Divergence | None:
    """The first step of the artifact whose value is not what the original (where it can be asked) or a fresh reading gives."""
    if vectors.more:
        start = 0
        for part in vectors.sets():
            found = first_divergence(artifact, reading, part)
            if found is not None:
                return replace(found, row=start + found.row)
            start += len(part)
        return None
    fresh = Evaluator(reading.graph)
    expected = fresh.values(vectors.inputs)
    for name, probe in reading.probes.items():
        step = reading.graph.producer(name)
        if step is None or name not in expected:
            continue
        try:
            asked = probe(vectors.inputs)
        except (ValueError, TypeError, KeyError):
            continue
        if asked.size == expected[name].size:
            asked = asked.reshape(expected[name].shape)
        found = _differs(step.output, step.op, asked, expected[name], vectors.rows)
        if found is not None:
            return found
    if artifact is None:
        return None
    got = Evaluator(artifact).values(vectors.inputs)
    for step in artifact.steps:
        if step.output in expected:
            found = _differs(step.output, step.op, expected[step.output], got[step.output], vectors.rows)
            if found is not None:
                return found
    return None


def _differs(step: str, op: str, expected: Array, got: Array, notes: Sequence[str]) -> Divergence | None:
    expected, got = np.asarray(expected), np.asarray(got)
    if expected.dtype != got.dtype or expected.shape != got.shape:
        return Divergence(step, op, 0, f"{expected.dtype}{list(expected.shape)}", f"{got.dtype}{list(got.shape)}")
    tolerance = Tolerance(1e-9 * scale_of(expected, notes), 1e-9) if expected.dtype.kind == "f" else EXACT
    result = compare(step, expected, got, tolerance)
    if result.passed:
        return None
    row = result.worst_row or 0
    return Divergence(step, op, row, _cell(expected[row], got[row]), _cell(got[row], expected[row]))


def _cell(row: Any, other: Any) -> str:
    """The first element of a row that differs."""
    flat, against = np.asarray(row).reshape(-1), np.asarray(other).reshape(-1)
    differing = np.flatnonzero([a != b for a, b in zip(flat.tolist(), against.tolist(), strict=True)])
    return (
        repr(flat[differing[0]].item() if flat.dtype != object else flat[differing[0]]) if differing.size else repr(flat.tolist())
    )


# --- the public verb ----------------------------------------------------------------------------------------------------------


def verify(
    artifact: str | os.PathLike[str] | Artifact | bytes,
    *,
    model: Any = None,
    sample: Any = None,
    with_: str | Sequence[str] = (),
    vectors: str | None = None,
    seed: int = 1,
    tolerance: Mapping[str, Any] | None = None,
    **options: Any,
) -> Report:
    """Verify an artifact against the vectors it carries, or against the live model with boundary rows added.

    with_ names consumers beside our own: a stub ("javascript"), another engine for the format ("pypmml"), any command that
    speaks the stub protocol, or "all" that can run here. vectors="carried" (default without a model) or "model"; against the
    model, the carried vectors are replayed as well. tolerance bounds outputs more strictly than the artifact does
    ({"probability": {"atol": 1e-9}}); it never loosens what the artifact states. options are the reader's own (`lengths` for
    nets). The report's `passed` tells the result; damaged artifacts raise ArtifactError.
    """
    prepared = prepare(artifact, model=model, sample=sample, vectors=vectors, seed=seed, tolerance=tolerance, **options)
    return prepared.report(with_)


@dataclass(frozen=True)
class Prepared:
    """An artifact with the rows it is held against: consumers can be asked one after another, and the model was read once.

    to_load is how many seconds loading took; watch is told every consumer's answers.
    """

    name: str | None
    artifact: Artifact
    loaded: Loaded
    pool: Vectors
    refused: Vectors | None = None
    reading: Reading | None = None
    too_wide: tuple[str, ...] = ()
    edited: ModelportError | None = None
    to_load: float = 0.0
    watch: Watcher | None = None

    def report(self, with_: str | Sequence[str] = ()) -> Report:
        """The format's own engine, then the consumers that are named, or all that can run here."""
        own = self.own()
        names = [with_] if isinstance(with_, str) else list(with_)
        others = [self.other(name) for name in dict.fromkeys(names) if name not in (ALL, own_engine(self.artifact.format))]
        not_run: dict[str, str] = {}
        for consumer in consumers_of(self.artifact.format)[1:] if ALL in names else ():
            if set(consumer.names) & set(names):
                continue
            found = self.other(consumer.name)
            if found.problem is None or found.exit_code != Unsupported.exit_code or (found.missing and required(consumer)):
                others.append(found)
            else:
                not_run[consumer.name] = found.problem
        return self.of(own[:1] + tuple(others) + own[1:], not_run)

    def of(self, reports: Sequence[ConsumerReport], not_run: Mapping[str, str] | None = None) -> Report:
        """A report of what consumers answered; where our own engine parts from the model, it says where."""
        pool, divergence, first = self.pool, None, reports[0]
        ours = first.consumer == self.loaded.engine and first.problem is None
        if self.reading is not None and ours and not first.passed and not self.reading.unread:
            divergence = first_divergence(self.loaded.graph, self.reading, pool)
        kinds: dict[str, int] = {}
        for note in pool.notes:
            kinds[note] = kinds.get(note, 0) + 1
        source = "the vectors it carries" if self.reading is None else "the model"
        notes = _said_of_itself(self.loaded) + reasons(self, reports)
        return Report(
            self.artifact.format, source, len(pool), tuple(reports), self.name, divergence, notes, kinds, dict(not_run or {})
        )

    def own(self) -> tuple[ConsumerReport, ...]:
        """Our own engine for the format: the rows, then rows the original refuses, the carried rows and stated tolerances."""
        engine = self.loaded.engine
        stage(f"replaying in {engine}")
        reports = [consumer_report(engine, self.loaded.run, self.pool, self.watch, self.to_load)]
        if self.edited is not None:
            reports.append(failed(f"{engine}{FILE}", self.edited))
        reports += [ConsumerReport(f"{engine}, tolerance", (), why, Mismatch.exit_code) for why in self.too_wide]
        if self.refused is not None:
            problem = answered_anyway(self.loaded.run, self.refused)
            if problem is not None:
                reports.append(ConsumerReport(f"{engine}, refused rows", (), problem, Mismatch.exit_code))
            if self.loaded.vectors is not None:
                carried = self.loaded.vectors
                reports.append(consumer_report(f"{engine}{CARRIED}", self.loaded.run, carried, self.watch, self.to_load))
        return tuple(reports)

    def other(self, name: str) -> ConsumerReport:
        """Another consumer, by name, on the same rows."""
        return _other_consumer(name, self.artifact, self.pool, self.watch)


#: how our own engine's report on the carried rows is called, behind the engine's name
CARRIED = ", carried rows"
#: and its refusal of a file that was changed since it was written
FILE = ", file"


def prepare(
    artifact: str | os.PathLike[str] | Artifact | bytes,
    *,
    model: Any = None,
    sample: Any = None,
    vectors: str | None = None,
    seed: int = 1,
    tolerance: Mapping[str, Any] | None = None,
    **options: Any,
) -> Prepared:
    """An artifact and the rows to hold it against, as `verify` describes them; nothing is compared yet."""
    if vectors not in (None, "carried", "model"):
        raise UsageError(f"vectors={vectors!r} is not known: use 'carried' or 'model'.")
    bare = model is not None and sample is None and carried_sample(model) is None
    if bare or (model is None and sample is not None) or (vectors == "model" and model is None):
        raise UsageError(
            "To verify against the model, hand over the model and a sample of what it is fed (model=model, sample=X)."
        )
    opened = Artifact.of(artifact)
    name = os.path.basename(os.fspath(artifact)) if isinstance(artifact, (str, os.PathLike)) else None
    stage(f"reading {name or opened.format}", 2)
    start = time.perf_counter()
    loaded, edited = _loaded(opened)
    to_load = time.perf_counter() - start
    reading: Reading | None = None
    refused: Vectors | None = None
    if model is not None and vectors != "carried":
        rows = checked_sample(sample, model)
        stage("asking the original", 1)
        reading = read_or_ask(model, rows, options)
        check_declaration(reading.graph, loaded)
        pool, refused = split_pool(reading, rows, seed=seed, plain=256, boundary=256, own_rows=True)
        pool = _with_tolerance(pool, loaded)
        if loaded.provenance.get("approximation"):
            pool = ordinary(pool)
        elif isinstance(reading.sample or rows, Arrays):
            pool = nets.steady(loaded.run, pool)
    elif loaded.vectors is None:
        raise ArtifactError(
            f"{name or 'The artifact'} carries no vectors, so nothing proves it: convert the model again, "
            "or verify it against the model."
        )
    else:
        pool = loaded.vectors
    bounds = bounds_of(tolerance, [o.name for o in loaded.outputs])
    too_wide = tuple(stated_too_wide(loaded.vectors, bounds)) if loaded.vectors is not None else ()
    return Prepared(name, opened, loaded, bounded(pool, bounds), refused, reading, too_wide, edited, to_load)


def _loaded(artifact: Artifact) -> tuple[Loaded, ModelportError | None]:
    """The artifact, also one that was changed since it was written; then the refusal too, and the verification has failed."""
    try:
        return artifact.load(), None
    except (ArtifactError, Mismatch) as error:
        module = registry.writer(artifact.format)
        with contextlib.suppress(ModelportError):
            if hasattr(module, "EDITED"):
                return module.load(artifact.data, module.EDITED), error
        raise


def _said_of_itself(loaded: Loaded) -> tuple[str, ...]:
    """A note about an artifact that only approximates its model."""
    given = loaded.provenance.get("approximation")
    if not given:
        return ()
    return (f"the artifact approximates its model ({json.dumps(given)}): it is held to the tolerance it states itself",)


def check_declaration(graph: Graph, loaded: Loaded) -> None:
    """ArtifactError when an artifact names other inputs, outputs, features or classes than the model's graph.

    Rows are fed by these names and answers are read by them: in another order they would be silently wrong.
    """
    mine, theirs = [v.name for v in graph.inputs], [v.name for v in loaded.inputs]
    pairs: list[tuple[str, Any, Any]] = [
        ("inputs", mine, theirs),
        ("outputs", sorted(o.name for o in graph.outputs), sorted(o.name for o in loaded.outputs)),
    ]
    if mine == theirs:
        pairs += [(f"features of {v.name!r}", v.features, w.features) for v, w in zip(graph.inputs, loaded.inputs, strict=True)]
    outputs = {o.name: o for o in loaded.outputs}
    pairs += [(f"classes of {o.name!r}", o.classes, outputs[o.name].classes) for o in graph.outputs if o.name in outputs]
    for what, expected, found in pairs:
        if expected != found and expected is not None and found is not None:
            raise ArtifactError(
                f"The artifact's {what} {list(found)} are not the model's {list(expected)}: it was made from another model."
            )


def _with_tolerance(pool: Vectors, loaded: Loaded) -> Vectors:
    """The tolerance the artifact states where it is wider than ours, but never wider than a conversion may state."""
    if loaded.vectors is None:
        return pool
    tolerance = dict(pool.tolerance)
    for output in loaded.outputs:
        stated = loaded.vectors.tolerance.get(output.name)
        expected = pool.outputs[output.name]
        if stated is not None and expected.dtype.kind == "f":
            mine, most = tolerance[output.name], widest(expected, pool.rows)
            if loaded.provenance.get("approximation"):
                most = Tolerance(WIDEST_LOSS * scale_of(expected, pool.rows), most.rtol)
            rtol = stated.rtol if not stated.ulp else stated.ulp * float(np.finfo(expected.dtype).eps)
            tolerance[output.name] = Tolerance(
                max(mine.atol, min(stated.atol, 10 * most.atol)), max(mine.rtol, min(rtol, 10 * most.rtol)), mine.ulp
            )
    return replace(pool, tolerance=tolerance)


def _other_consumer(name: str, artifact: Artifact, vectors: Vectors, watch: Watcher | None) -> ConsumerReport:
    stage(f"replaying in {name}", 1)
    module = registry.writer(artifact.format)
    if name in getattr(module, "CONSUMERS", {}):
        try:
            start = time.perf_counter()
            run = module.CONSUMERS[name](artifact.data).run
            return consumer_report(name, run, vectors, watch, time.perf_counter() - start)
        except ModelportError as error:
            return failed(name, error)
    from .stubs import run_consumer

    return run_consumer(name, artifact, vectors, watch)
