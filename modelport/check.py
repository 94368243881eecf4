"""Check: a dry run that says, estimator by estimator, what can be exported, how exactly, how large, and what can run it.

Nothing is written. What is said of a whole model and a format was tried: the model was converted in memory and held against
the original.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

from . import registry
from .convert import convert
from .delegation import delegates_of
from .document import Document
from .errors import MissingDependency, ModelportError, NotFitted
from .ops import OPS
from .progress import stage
from .reading import SurveyPart
from .samples import checked_sample

__all__ = ["CheckReport", "FormatCheck", "PartCheck", "check"]


@dataclass(frozen=True)
class PartCheck:
    """One estimator inside a model.

    `ops` are those of the steps it makes itself, `bytes` their size as JSON; `exact` tells whether all of them give the same bits
    in every language. `refused` maps formats that cannot express one of its steps to the reason; `problem` is why it cannot be
    read at all.
    """

    name: str
    depth: int
    reader: str
    ops: tuple[str, ...] = ()
    exact: bool | None = None
    bytes: int = 0
    refused: Mapping[str, str] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class FormatCheck:
    """The whole model in one format: its size in bytes and how its outputs compare with the original's, or the refusal.

    `outputs` maps an output to "equal in every bit" or to the tolerance it states.
    """

    format: str
    bytes: int | None = None
    rows: int = 0
    outputs: Mapping[str, Any] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class CheckReport:
    """What can be exported of a model. `stubs` maps every stub to None, or to what it lacks to run the JSON artifact."""

    model: str
    parts: tuple[PartCheck, ...]
    formats: tuple[FormatCheck, ...]
    stubs: Mapping[str, str | None]

    @property
    def passed(self) -> bool:
        """Can the model be exported to at least one format?"""
        return any(f.problem is None for f in self.formats)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        return {"passed": self.passed, **asdict(self)}

    def __str__(self) -> str:
        lines: list[str] = []
        for part in self.parts:
            lines += _part_lines(part)
        lines.append("")
        for f in self.formats:
            lines += _format_lines(f)
        if any(f.problem is None for f in self.formats if f.format == "json"):
            able = [name for name, problem in self.stubs.items() if problem is None]
            lines.append(f"  {'stubs':<6} {', '.join(able) or 'none here'}")
            lines += [f"         {name}: {problem}" for name, problem in self.stubs.items() if problem is not None]
        return "\n".join(lines)


def _part_lines(part: PartCheck) -> list[str]:
    name = f"{'  ' * part.depth}{part.name}"
    if part.problem is not None:
        return [f"  {name:<40} NOT READ: {part.problem}"]
    exact = "" if part.exact is None else "exact" if part.exact else "within a tolerance"
    said = f": {', '.join(part.ops)}; {exact}; {part.bytes:,} bytes" if part.ops else ": no step of its own"
    lines = [f"  {name:<40} {part.reader}{said}"]
    return lines + [f"  {'':<40}   not in {format_}: {why}" for format_, why in (part.refused or {}).items()]


def _format_lines(f: FormatCheck) -> list[str]:
    if f.problem is not None:
        return [f"  {f.format:<6} refused: {f.problem.splitlines()[0]}"]
    said = "; ".join(f"{name}: {what if isinstance(what, str) else json.dumps(what)}" for name, what in (f.outputs or {}).items())
    return [f"  {f.format:<6} {f.bytes:,} bytes, proven on {f.rows} rows; {said}"]


def check(model: Any, sample: Any) -> CheckReport:
    """Say what of a fitted model can be exported: per estimator inside it, per format, per stub.

    sample is what the model is fed. Raises UnsupportedModel when no reader knows the model's framework, NotFitted for a model
    that is not fitted; what is refused of a known framework stands in the report.

    >>> import modelport
    >>> from sklearn.linear_model import LinearRegression
    >>> X = [[0.0], [1.0], [3.0]]
    >>> report = modelport.check(LinearRegression().fit(X, [1.0, 3.0, 7.0]), sample=X)
    >>> [part.name for part in report.parts], report.passed
    (['LinearRegression'], True)
    """
    rows = checked_sample(sample, model)
    name, reader = registry.reader_for(model)
    parts = _surveyed(reader, model, rows)
    by_delegates = {format_ for format_, writer in registry.writers() if getattr(writer, "DELEGATED", False)}
    writers = [(format_, writer) for format_, writer in registry.writers() if format_ not in by_delegates]
    checked = tuple(_part(part, name, writers) for part in parts)
    wanted = [f for f in sorted(registry.plugins("writers")) if f not in by_delegates or delegates_of(model, f)]
    stage("converting in memory", 4 * len(wanted))
    formats = tuple(_format(model, sample, f, "auto" if f in by_delegates else "graph") for f in wanted)
    ops = {op for part in checked for op in part.ops}
    return CheckReport(type(model).__name__, checked, formats, _stubs(ops))


def _surveyed(reader: ModuleType, model: Any, rows: Any) -> Sequence[SurveyPart]:
    if hasattr(reader, "survey"):
        return reader.survey(model, rows, {})  # type: ignore[no-any-return]
    name = type(model).__name__
    try:
        graph = reader.read(model, rows, {}).graph
    except NotFitted:
        raise
    except ModelportError as error:
        return [SurveyPart(name, 0, problem=str(error))]
    return [SurveyPart(name, 0, graph.steps, graph)]


def _part(part: SurveyPart, reader: str, writers: Sequence[tuple[str, ModuleType]]) -> PartCheck:
    if part.problem is not None:
        return PartCheck(part.name, part.depth, reader, problem=part.problem)
    ops = tuple(dict.fromkeys(step.op for step in part.steps))
    exact = all(OPS[step.op].exact(step.attributes) for step in part.steps) if part.steps else None
    refused, size = {}, 0
    document = Document(part.graph, None, {}) if part.graph is not None else None
    for format_, writer in writers if document is not None else ():
        try:
            written = writer.write(document, {})
            size = len(written) if format_ == "json" else size
        except ModelportError as error:
            refused[format_] = str(error)
    return PartCheck(part.name, part.depth, reader, ops, exact, size, refused)


def _format(model: Any, sample: Any, format_: str, backend: str) -> FormatCheck:
    stage(f"converting to {format_}")
    try:
        artifact = convert(model, format_, sample=sample, backend=backend)
    except ModelportError as error:
        return FormatCheck(format_, problem=str(error))
    report = artifact.report
    assert report is not None, "a verified conversion has a report"
    outputs = {o.output: "equal in every bit" if o.equality == "exact" else o.tolerance for o in report.consumers[0].outputs}
    return FormatCheck(format_, len(artifact.data), report.rows, outputs)


def _stubs(ops: set[str]) -> dict[str, str | None]:
    from .stubs import command_for, run, stubs

    stage("asking the stubs", 1)
    found: dict[str, str | None] = {}
    for stub in stubs():
        if stub.format != "json":
            continue
        try:
            done = run(command_for(stub), ["ops"])
            known = set(done.out.decode("utf-8", "replace").split())
            lacking = sorted(ops - known) if done.code == 0 else [done.sentence]
            found[stub.name] = None if not lacking else f"lacks {', '.join(lacking)}"
        except MissingDependency as error:
            found[stub.name] = str(error)
        except ModelportError as error:
            found[stub.name] = str(error)
    return found
