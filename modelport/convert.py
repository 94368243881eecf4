"""Convert: model -> graph -> artifact, with the vectors that prove it. Nothing is handed out before it is verified."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np

from . import registry
from .artifact import Artifact
from .compare import OutputReport
from .document import Document, Tolerance, Vectors
from .errors import InputError, Mismatch, Unsupported, UsageError
from .graph import Graph
from .reading import Reading
from .run import Evaluator
from .sample import Sample
from .vectors import carried, scale_of
from .verify import ConsumerReport, Report, build_pool, compare_all, consumer_report, first_divergence
from .version import __version__

__all__ = ["convert"]

#: Where the order of floating-point operations cannot be kept, an answer may lie this far from the original's, relative to
#: the output's scale, before the export is refused; what was measured is what the artifact states.
WIDEST = 1e-9


def convert(
    model: Any,
    to: str | os.PathLike[str],
    *,
    sample: Any,
    verify: bool = True,
    backend: str = "auto",
    vectors: Any = "synthetic",
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> Artifact:
    """Convert a fitted model to "json", "onnx" or "pmml", or to a path whose suffix chooses the format.

    sample is what the model is fed (an array, a DataFrame, a dict of columns, a list of records or strings); its rows are not
    stored unless vectors="sample" (or vectors=<rows of the same kind>). backend is "auto", "graph" (our own readers and
    writers) or a delegate's name. name and metadata go into the artifact; further options are the format's own (JSON:
    style; ONNX: target). With a path the file is written atomically.

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
    if sample is None:
        raise UsageError("A sample of what the model is fed is needed: sample=X.")
    if backend not in ("auto", "graph"):
        artifact = _delegate(backend, model, format_, sample, options)
    else:
        rows = Sample.of(sample, getattr(model, "feature_names_in_", None))
        if not len(rows):
            raise InputError("The sample has no rows: hand over at least a few.")
        reading = registry.reader_for(model)[1].read(model, rows, options)
        artifact = from_reading(
            reading, rows, format_, verify=verify, vectors=vectors, name=name, metadata=metadata, options=options
        )
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


def _delegate(backend: str, model: Any, format_: str, sample: Any, options: Mapping[str, Any]) -> Artifact:
    known = ", ".join(["auto", "graph", *sorted(registry.plugins("delegates"))])
    if backend not in registry.plugins("delegates"):
        raise UsageError(f"There is no backend {backend!r}; installed are: {known}.")
    raise Unsupported(f"The backend {backend!r} cannot be verified by this version: use backend='graph'.")


def from_reading(
    reading: Reading,
    sample: Sample,
    format_: str,
    *,
    verify: bool = True,
    vectors: Any = "synthetic",
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Artifact:
    """Write a read model in a format, with vectors, and verify it."""
    graph = reading.graph if name is None else Graph(reading.graph.inputs, reading.graph.steps, reading.graph.outputs, name)
    reading = replace(reading, graph=graph)
    pool, carry = _recorded(reading, sample, vectors)
    if verify:
        pool = _settle(reading, pool, compare_all(Evaluator(graph).run, pool), "The graph read from the model")
    module = registry.writer(format_)
    provenance = _provenance(reading.provenance, metadata)
    document = Document(graph, _same_tolerance(carry, pool), provenance)
    data = module.write(document, options or {})
    if not verify:
        return Artifact(format_, data)
    loaded = module.load(data, None)
    settled = _settle(reading, pool, compare_all(loaded.run, pool), f"The {format_} artifact")
    if settled.tolerance != pool.tolerance:
        document = Document(graph, _same_tolerance(carry, settled), provenance)
        data = module.write(document, options or {})
        loaded = module.load(data, None)
    if loaded.vectors is None:
        raise Mismatch(f"The {format_} artifact lost its vectors while it was written.")
    reports = (
        consumer_report(loaded.engine, loaded.run, settled),
        consumer_report(f"{loaded.engine}, carried rows", loaded.run, loaded.vectors),
    )
    kinds: dict[str, int] = {}
    for note in settled.rows:
        kinds[note] = kinds.get(note, 0) + 1
    report = Report(format_, "the model", len(settled), reports, name, None, (), kinds)
    if not report.passed:
        raise Mismatch(f"The {format_} artifact does not answer as the model does.\n{report}", report)
    return Artifact(format_, data, report)


def _recorded(reading: Reading, sample: Sample, vectors: Any) -> tuple[Vectors, Vectors]:
    """Many rows to verify with, and the rows to carry."""
    if isinstance(vectors, str):
        if vectors not in ("synthetic", "sample"):
            raise UsageError(f"vectors={vectors!r} is not known: use 'synthetic', 'sample' or rows of your own.")
        pool = build_pool(reading, sample, own_rows=vectors == "sample")
        return pool, carried(pool)
    own = Sample.of(vectors, sample.names if sample.named else None)
    if reading.sample is not None and own.kind == "matrix":
        own = replace(own, kind=reading.sample.kind)
    reading = replace(reading, sample=own)
    pool = build_pool(reading, own, own_rows=True)
    given = [i for i, note in enumerate(pool.rows) if note == "sample"]
    if not given:
        raise InputError("The model answers none of the rows given as vectors.")
    return pool, carried(pool.take(given))


def _same_tolerance(vectors: Vectors, settled: Vectors) -> Vectors:
    return Vectors(vectors.inputs, vectors.outputs, settled.tolerance, vectors.source, vectors.rows)


def _settle(reading: Reading, pool: Vectors, reports: tuple[OutputReport, ...], what: str) -> Vectors:
    """The pool with the tolerance that was needed, at most WIDEST relative to the output's scale; else Mismatch.

    An exact output whose format has no operator of the same bits, and an ill-conditioned sum, get what was measured, ten
    times over. Labels, codes and strings are never tolerated.
    """
    tolerance = dict(pool.tolerance)
    for report in reports:
        if report.passed:
            continue
        expected = pool.outputs[report.output]
        unit = 1.0 if expected.dtype == np.float64 else 1e4
        scale = scale_of(expected, pool.rows) if expected.dtype.kind == "f" else 0.0
        if expected.dtype.kind != "f" or report.max_abs is None or not report.max_abs <= WIDEST * unit * scale:
            divergence = first_divergence(None, reading, pool)
            result = Report("graph", "the model", len(pool), (ConsumerReport(what, reports),), None, divergence)
            raise Mismatch(f"{what} does not answer as the model does; nothing was written.\n{result}", result)
        widened = Tolerance(float(f"{10 * report.max_abs:.3g}"), 0.0)
        stated = tolerance[report.output]
        tolerance[report.output] = Tolerance(max(widened.atol, stated.atol), stated.rtol)
    return Vectors(pool.inputs, pool.outputs, tolerance, pool.source, pool.rows)


def _provenance(provenance: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else datetime.now(timezone.utc)
    created = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    result = {"producer": f"modelport {__version__}", "created": created, **provenance}
    if metadata:
        result["metadata"] = dict(metadata)
    return result
