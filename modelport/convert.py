"""Convert: model -> graph -> artifact, with the vectors that prove it. Nothing is handed out before it is verified."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import nets, registry
from .arrays import Arrays
from .artifact import Artifact
from .compare import compare
from .delegation import Delegated, Wanted, delegate, delegated, delegates_of, fallbacks, lacking, reading_for
from .document import EXACT, Document, Tolerance, Vectors
from .errors import (
    ArtifactError,
    InputError,
    Misjudged,
    Mismatch,
    MissingDependency,
    Unsupported,
    UnsupportedAttribute,
    UnsupportedModel,
    UsageError,
)
from .graph import Graph
from .lossy import LOSSLESS, Loss
from .ops.base import in_passing
from .progress import stage
from .reading import Reading
from .run import Evaluator
from .sample import Column, Sample, is_missing
from .samples import checked_sample
from .vectors import cancelling_step, carried, scale_of
from .verify import (
    ConsumerReport,
    Report,
    Run,
    answered_anyway,
    answers,
    check_declaration,
    consumer_report,
    first_divergence,
    split_pool,
    widest,
)
from .version import __version__

__all__ = ["convert"]

Array = NDArray[Any]


def convert(
    model: Any,
    to: str | os.PathLike[str],
    *,
    sample: Any = None,
    verify: bool = True,
    backend: str = "auto",
    vectors: Any = "synthetic",
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> Artifact:
    """Convert a fitted model to "json", "onnx" or "pmml", or to a path whose suffix chooses the format.

    model may be the path of a saved model that opens without trust (a PMML or an ONNX file, a booster's, ...). sample is what
    the model is fed (an array, a DataFrame, a dict of columns, a list of records or strings), and may be left out for a PMML file
    that carries rows; its rows are not stored unless vectors="sample" (or vectors=<rows of the same kind>). backend is "graph"
    (our own readers and writers), a delegate's name ("skl2onnx"), or "auto": a delegate only where our reader does not know the
    model. name and metadata go into the artifact; further options are the format's own (JSON: style; ONNX: target) and the
    reader's (PMML: scorer, answers, keep). With a path the file is written atomically.

    Raises UnsupportedModel or UnsupportedAttribute for what cannot be exported, Mismatch when the artifact does not answer as
    the model does, InputError for a sample that does not fit.

    >>> import modelport
    >>> from sklearn.linear_model import LinearRegression
    >>> X = [[0.0], [1.0], [3.0]]
    >>> artifact = modelport.convert(LinearRegression().fit(X, [1.0, 3.0, 7.0]), "json", sample=X)
    >>> artifact.report.passed
    True
    """
    format_, path = _target(to)
    if isinstance(model, (str, os.PathLike)):
        from .files import load_model

        model = load_model(model)
    rows = checked_sample(sample, model)

    def finish(reading: Reading, by: Delegated | None) -> Artifact:
        if verify:
            _check_number_types(reading, sample, rows)
        return from_reading(
            reading, rows, format_, verify=verify, vectors=vectors, name=name, metadata=metadata, options=options, by=by
        )

    def through(delegate_name: str, why: str | None = None) -> Artifact:
        module = delegate(delegate_name, model, format_)
        reading = reading_for(module, model, rows, options)
        wanted = Wanted.of(reading.graph, reading.sample or rows)
        return finish(reading, delegated(delegate_name, model, format_, wanted, options, why))

    if backend not in ("auto", "graph"):
        artifact = through(backend)
    elif backend == "auto" and getattr(registry.writer(format_), "DELEGATED", False):
        artifact = through(_only_delegate(model, format_))
    else:
        try:
            reading = _read(model, rows, format_, options)
        except UnsupportedModel as refusal:
            if backend == "graph" or isinstance(refusal, Misjudged):
                raise
            artifact = _fallen_back(refusal, fallbacks(model, format_), through)
        else:
            artifact = finish(reading, None)
    if path is not None:
        artifact.save(path)
    return artifact


def _target(to: str | os.PathLike[str]) -> tuple[str, str | None]:
    text = os.fspath(to)
    if text in registry.plugins("writers"):
        return text, None
    found = registry.writer_for_path(text)
    if found is None:
        known = ", ".join(sorted(registry.plugins("writers")))
        raise UsageError(f"{text!r} is neither a format nor a path with a format's suffix; formats are: {known}.")
    return found, text


def _check_options(format_: str, reader: ModuleType, options: Mapping[str, Any]) -> None:
    """UsageError for an option that a writer with OPTIONS does not list, nor the reader: a misspelt one must not go unheard."""
    known = getattr(registry.writer(format_), "OPTIONS", None)
    unknown = sorted(set(options) - set(known or ()) - set(getattr(reader, "OPTIONS", ())))
    if known is not None and unknown:
        raise UsageError(f"{format_} has no option {unknown[0]!r}; it has: {', '.join(known) or 'none'}.")


#: how far the original may part from itself between the sample's own number types and float64, relative to the scale
NARROW = 1e-4


def _check_number_types(reading: Reading, data: Any, sample: Sample | Arrays) -> None:
    """InputError when the original answers the sample's narrow numbers (int8, float32, ...) differently from the same float64.

    An artifact answers what the original answers on float64 rows; arithmetic that wraps round or overflows in a narrow type
    would make that another model.
    """
    narrow = [c for c in sample.columns if getattr(c.original, "kind", "O") in "iuf" and c.original.itemsize < 8]
    if not narrow or reading.as_given is None or not (isinstance(data, np.ndarray) or hasattr(data, "iloc")):
        return
    feeds = {name: array[:512] for name, array in (reading.sample or sample).feeds().items()}
    try:
        given, widened = reading.as_given(data[:512]), reading.answer(feeds)
    except (ValueError, TypeError):
        return  # rows the original refuses are dealt with where the vectors are recorded
    for name, expected in given.items():
        got = widened[name]
        scale = scale_of(expected, ()) if expected.dtype.kind == "f" else 0.0
        if not compare(name, expected, got, Tolerance(NARROW * scale, NARROW) if scale else EXACT).passed:
            raise InputError(
                f"The model answers {narrow[0].original} rows differently from the same rows in float64 (output {name!r}), "
                "and an artifact computes in float64: fit and feed the model float64, and hand over such a sample."
            )


def _read(model: Any, rows: Sample | Arrays, format_: str, options: Mapping[str, Any]) -> Reading:
    reader = registry.reader_for(model)[1]
    _check_options(format_, reader, options)
    return reader.read(model, rows, options)  # type: ignore[no-any-return]


def _only_delegate(model: Any, format_: str) -> str:
    """The delegate that writes a format which has no writer of ours."""
    able = fallbacks(model, format_)
    if not able:
        known = delegates_of(model, format_)
        lacks = [problem for name in known if (problem := lacking(registry.load("delegates", name)))]
        raise Unsupported(
            f"{format_} is written by delegates only, and none here takes a {type(model).__name__}: write json or onnx."
            if not lacks
            else f"{format_} is written by a delegate only. {lacks[0]}"
        )
    return able[0]


def _fallen_back(refusal: UnsupportedModel, names: Sequence[str], through: Callable[[str, str], Artifact]) -> Artifact:
    """The artifact of the first delegate whose file passes; else the reader's refusal, with what came of the delegates."""
    said, mismatch = str(refusal), None
    for name in names:
        try:
            return through(name, str(refusal))
        except Mismatch as error:
            mismatch = error
            said += f" The delegate {name} was tried: {error}"
        except (MissingDependency, Unsupported) as error:
            said += f" The delegate {name} was tried: {error}"
    if mismatch is not None:
        raise Mismatch(said, mismatch.report) from refusal
    if said == str(refusal):
        raise refusal
    if isinstance(refusal, UnsupportedAttribute):
        raise UnsupportedAttribute(said, refusal.attribute) from refusal
    raise UnsupportedModel(said) from refusal


@in_passing()
def from_reading(
    reading: Reading,
    sample: Sample | Arrays,
    format_: str,
    *,
    verify: bool = True,
    vectors: Any = "synthetic",
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    by: Delegated | None = None,
) -> Artifact:
    """Write a read model in a format, with vectors, and verify it; `by` is the delegate that writes it, if one does."""
    provenance = _provenance(reading.provenance, metadata)
    if by is not None:
        provenance["backend"] = by.producer
    _check_names(reading.graph, name)
    graph = reading.graph if name is None else replace(reading.graph, name=name)
    reading = replace(reading, graph=graph)
    stage("asking the original")
    pool, carry, refused = _recorded(reading, sample, vectors)
    stage("comparing the graph with the original")
    if verify and by is None:
        _check_refused(Evaluator(graph).run, refused, "The graph read from the model")
        pool = _settle(reading, pool, Evaluator(graph).run, "The graph read from the model")
    module = registry.writer(format_)
    loss = Loss.of(module, options or {}, reading.sample or sample)
    options = loss.options
    provenance |= loss.provenance
    document = Document(graph, _same_tolerance(carry, pool), provenance)
    write = module.write if by is None else by.write
    backend = "graph" if by is None else by.name
    stage(f"writing {format_} and verifying it")
    data = write(document, options)
    if not verify:
        return Artifact(format_, data, None, backend)
    with _answerable(by):
        loaded = module.load(data, None)
        check_declaration(graph, loaded)
        if isinstance(reading.sample or sample, Arrays):
            pool, carry = nets.steady(loaded.run, pool), nets.steady(loaded.run, carry)
        pool, carry = loss.same_labels(loaded.run, pool), loss.same_labels(loaded.run, carry, count=False)
        settled = _settle(reading, pool, loaded.run, f"The {format_} artifact", loss)
    _check_refused(loaded.run, refused, f"The {format_} artifact")
    assert document.vectors is not None
    if settled.tolerance != pool.tolerance or len(carry) != len(document.vectors):
        document = Document(graph, _same_tolerance(carry, settled), provenance)
        data = write(document, options)
        loaded = module.load(data, None)
    if loaded.vectors is None:
        raise Mismatch(f"The {format_} artifact lost its vectors while it was written.")
    reports = (
        consumer_report(loaded.engine, loaded.run, settled),
        consumer_report(f"{loaded.engine}, carried rows", loaded.run, loaded.vectors),
    )
    kinds: dict[str, int] = {}
    for note in settled.notes:
        kinds[note] = kinds.get(note, 0) + 1

    def again(changed: Mapping[str, Any], vectors: bool) -> bytes:
        return write(document if vectors else replace(document, vectors=None), changed)

    notes = _notes(reading, by) + loss.notes(data, again, reports[0].outputs, settled)
    report = Report(format_, "the model", len(settled), reports, name, None, notes, kinds)
    if not report.passed:
        raise Mismatch(f"The {format_} artifact does not answer as the model does.\n{report}", report)
    return Artifact(format_, data, report, backend)


@contextmanager
def _answerable(by: Delegated | None) -> Iterator[None]:
    """A delegate's file that cannot be loaded or run is no damaged artifact: the delegate cannot write this model."""
    try:
        yield
    except (ArtifactError, Unsupported) as error:
        if by is None or isinstance(error, MissingDependency):
            raise
        raise Unsupported(f"{by.producer} wrote a file that cannot be used: {error}") from error


def _notes(reading: Reading, by: Delegated | None) -> tuple[str, ...]:
    notes = list(reading.notes) if by is None else [*reading.notes, by.note]
    if reading.unread:
        notes.append("the model was not read into a graph, so its boundaries are not known and no boundary row was tried")
    return tuple(notes)


def _check_refused(run: Run, refused: Vectors, what: str) -> None:
    problem = answered_anyway(run, refused)
    if problem is not None:
        raise Mismatch(f"{what} does not refuse what the model refuses; nothing was written: {problem}.")


def _recorded(reading: Reading, sample: Sample | Arrays, vectors: Any) -> tuple[Vectors, Vectors, Vectors]:
    """Many rows to verify with, the rows to carry, and rows the original refuses."""
    sample = reading.sample or sample
    if isinstance(sample, Arrays):
        return _recorded_net(reading, sample, vectors)
    if isinstance(vectors, str):
        if vectors not in ("synthetic", "sample"):
            raise UsageError(f"vectors={vectors!r} is not known: use 'synthetic', 'sample' or rows of your own.")
        pool, refused = split_pool(reading, sample, own_rows=vectors == "sample")
        if reading.recorded is not None:
            return pool, carried(pool, reading.graph), refused
        return pool, carried(pool if vectors == "sample" else _synthetic(pool), reading.graph), refused
    if reading.recorded is not None:
        raise UsageError("vectors= goes with a model that can be asked: this one's answers were recorded for other rows.")
    own = _own_rows(vectors, sample)
    reading = replace(reading, sample=own)
    pool, refused = split_pool(reading, own, own_rows=True)
    given = [i for i, note in enumerate(pool.rows) if note == "sample"]
    if not given:
        raise InputError("The model answers none of the rows given as vectors.")
    return pool, carried(pool.take(given), reading.graph), refused


def _recorded_net(reading: Reading, sample: Arrays, vectors: Any) -> tuple[Vectors, Vectors, Vectors]:
    if isinstance(vectors, str) and vectors not in ("synthetic", "sample"):
        raise UsageError(f"vectors={vectors!r} is not known: use 'synthetic', 'sample' or rows of your own.")
    own_rows = reading.recorded is not None or not isinstance(vectors, str) or vectors != "synthetic"
    rows = sample if isinstance(vectors, str) else sample.like(vectors)
    pool, refused = nets.split_pool(reading, rows, own_rows=own_rows)
    return pool, nets.carried(pool, reading.graph, own_rows), refused


def _synthetic(pool: Vectors) -> Vectors:
    """The rows that are not the sample's: by default an artifact stores none of those."""
    made = [i for i, note in enumerate(pool.rows) if note != "sample"]
    if not made:
        raise InputError("The model answers rows of the sample only, none that are made from it: say vectors='sample'.")
    return pool if len(made) == len(pool) else pool.take(made)


def _same_tolerance(vectors: Vectors, settled: Vectors) -> Vectors:
    return replace(vectors, tolerance=settled.tolerance)


def _own_rows(vectors: Any, sample: Sample) -> Sample:
    """The rows a user wants carried, with the columns of the sample: by name where both have names, else by position."""
    own = sample.like(vectors)
    if not len(own):
        raise InputError("There are no rows in vectors=: hand over at least one.")
    given = {column.name: column for column in own.columns}
    if own.named and sample.named:
        missing = [name for name in sample.names if name not in given]
        if missing:
            raise InputError(f"The rows in vectors= have no column {missing[0]!r}, which the sample has.")
        columns = [given[name] for name in sample.names]
    elif len(own.columns) == len(sample.columns):
        columns = list(own.columns)
    else:
        raise InputError(f"The rows in vectors= have {len(own.columns)} columns, but the sample has {len(sample.columns)}.")
    return replace(sample, columns=tuple(_like(column, model) for column, model in zip(columns, sample.columns, strict=True)))


def _like(column: Column, model: Column) -> Column:
    """A column under the name of the sample's, of the same dtype; one without any value can be of either."""
    values = column.values
    if column.dtype != model.dtype:
        if not all(is_missing(v) for v in values.tolist()):
            kinds = {"f64": "numbers", "str": "strings"}
            raise InputError(
                f"Column {model.name!r} holds {kinds[column.dtype]} in vectors=, but {kinds[model.dtype]} in the sample."
            )
        values = np.full(len(values), np.nan) if model.dtype == "f64" else np.full(len(values), None, dtype=object)
    return replace(model, values=values)


def _settle(reading: Reading, pool: Vectors, run: Run, what: str, loss: Loss = LOSSLESS) -> Vectors:
    """The pool with the tolerance that was needed, at most WIDEST relative to the output's scale; else Mismatch.

    An exact output whose format has no operator of the same bits, and an ill-conditioned sum, get what was measured, ten
    times over. Labels, codes and strings are never tolerated.
    """
    if pool.more:
        for part in pool.sets():
            part = replace(part, tolerance=pool.tolerance)
            pool = replace(pool, tolerance=_settle(reading, part, run, what, loss).tolerance)
        return pool
    try:
        got = answers(run, pool)
    except InputError as error:
        raise Mismatch(f"{what} refuses what the model answers; nothing was written: {error}") from error
    tolerance = dict(pool.tolerance)
    reports = {name: compare(name, expected, got[name], tolerance[name]) for name, expected in pool.outputs.items()}
    net = isinstance(reading.sample, Arrays)  # what a net gives is one tensor, of one scale
    shared = {o.name for o in reading.graph.outputs if net or o.role in ("probability", "score")}
    for name, report in reports.items():
        if report.passed:
            continue
        stated = tolerance[name]
        tolerable = report.max_abs is not None and (
            loss.tolerable(pool.outputs[name], got[name], pool.rows)
            if loss
            else _tolerable(pool.outputs[name], got[name], stated, pool.rows, name in shared)
        )
        if report.max_abs is None or not tolerable:
            divergence = None if reading.unread else first_divergence(None, reading, pool)
            result = Report("graph", "the model", len(pool), (ConsumerReport(what, tuple(reports.values())),), None, divergence)
            advice = loss.advice or _advice(reading, pool, report.worst_row)
            raise Mismatch(f"{what} does not answer as the model does; nothing was written.{advice}\n{result}", result)
        needed = _beyond(pool.outputs[name], got[name], stated)
        tolerance[name] = Tolerance(max(float(f"{loss.margin * needed:.3g}"), stated.atol), stated.rtol)
    return replace(pool, tolerance=tolerance)


def _advice(reading: Reading, pool: Vectors, row: int | None) -> str:
    """What to do where the model itself loses the digits that the comparison misses."""
    step = None if reading.unread or row is None else cancelling_step(reading.graph, pool.inputs, row)
    if step is None:
        return ""
    return (
        f" In {step!r} huge terms cancel, and what is left hangs on the order of addition, in the model too: scale the columns, "
        "leave out constant ones and copies of others, and fit again."
    )


def _beyond(expected: Array, got: Array, stated: Tolerance) -> float:
    """The largest error among the elements outside the tolerance; what rtol covers far outside the sample does not count."""
    with np.errstate(invalid="ignore"):
        error = np.abs(got - expected)
        outside = ~(error <= stated.atol + stated.rtol * np.abs(expected)) & np.isfinite(error)
    return float(error[outside].max(initial=0.0))


def _limit(expected: Array, notes: Sequence[str], stated: Tolerance) -> Tolerance:
    return Tolerance(widest(expected, notes).atol, stated.rtol)


def _tolerable(expected: Array, got: Array, stated: Tolerance, notes: Sequence[str], shared: bool) -> bool:
    """Whether what lies beyond the tolerance is within WIDEST of its scale.

    The columns of a probability or score share one scale; any others have their own, so that a large column hides no small one.
    """
    if expected.dtype.kind != "f":
        return False
    limit = _limit(expected, notes, stated)
    if shared or expected.ndim == 1:
        return compare("", expected, got, limit).passed
    columns = zip(expected.reshape(len(expected), -1).T, got.reshape(len(got), -1).T, strict=True)
    return all(compare("", e, g, stated).passed or compare("", e, g, _limit(e, notes, stated)).passed for e, g in columns)


def _check_names(graph: Graph, name: str | None) -> None:
    if name is not None and (not isinstance(name, str) or not _is_text(name)):
        raise UsageError(f"name={name!r} is no text that can be written down: give a string.")
    seen: dict[bytes, str] = {}
    for value in (v.name for v in graph.inputs):
        other = seen.setdefault(value.encode("utf-8", "surrogatepass").lower(), value)  # lowers A-Z only
        if other != value:
            raise InputError(
                f"The columns {other!r} and {value!r} differ in upper and lower case only, which artifacts cannot tell apart: "
                "rename one and fit the model again."
            )


def _is_text(text: str) -> bool:
    """Whether a string has a form in UTF-8 (halves of surrogate pairs have none)."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _provenance(provenance: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    result = {"producer": f"modelport {__version__}", "created": moment(), **provenance}
    if metadata:
        try:
            result["metadata"] = dict(metadata)
            json.dumps(result["metadata"], ensure_ascii=False, allow_nan=False).encode("utf-8")
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(
                f"The metadata cannot be written as JSON ({error}): use a dict of strings, numbers and lists."
            ) from None
    return result


def moment() -> str:
    """Now, or the time of SOURCE_DATE_EPOCH."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        now = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else datetime.now(timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"SOURCE_DATE_EPOCH is {epoch!r}: it is a whole number of seconds since 1970.") from None
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
