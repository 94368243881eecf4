"""Verifies many artifacts in many consumers: those named on the command line, or what a project file declares."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .artifact import Artifact
from .consumers import ALL, select
from .convert import convert
from .errors import ArtifactError, ModelportError, UsageError
from .outcomes import Outcome, of_error, of_report
from .project import Entry, Project, options_for
from .verify import Report, prepare

__all__ = ["Verified", "verify_artifacts", "verify_project"]

Said = Callable[[str], None]


@dataclass(frozen=True)
class Verified:
    """One artifact: its rows of the table, and its report unless it could not be verified at all."""

    model: str
    outcomes: tuple[Outcome, ...]
    report: Report | None = None
    updated: bool = False

    @classmethod
    def of(cls, model: str, report: Report, updated: bool = False) -> Verified:
        """From a report."""
        return cls(model, tuple(of_report(model, report)), report, updated)

    @classmethod
    def failed(cls, model: str, format_: str, error: ModelportError) -> Verified:
        """Of an artifact that could not be verified at all."""
        return cls(model, (of_error(model, format_, "", error),))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model,
            "updated": self.updated,
            "outcomes": [outcome.to_json() for outcome in self.outcomes],
            "report": None if self.report is None else self.report.to_json(),
        }


def verify_artifacts(
    paths: Sequence[str], consumers: Sequence[str], said: Said, *, model: Any, sample: Any, options: Mapping[str, Any]
) -> Iterator[Verified]:
    """Each artifact in the consumers that read its format; a name that reads none of the formats is tried on all of them."""
    opened = {path: _opened(path) for path in dict.fromkeys(paths)}
    formats = {found.format for found in opened.values() if isinstance(found, Artifact)}
    for path, found in opened.items():
        said(f"verifying {path}")
        if not isinstance(found, Artifact):
            yield Verified.failed(path, _suffix(path), found)
            continue
        try:
            names = _names_for(found.format, formats, consumers)
            prepared = prepare(path, model=model, sample=sample, **options)
            yield Verified.of(path, prepared.report(names))
        except ModelportError as error:
            yield Verified.failed(path, found.format, error)


def _opened(path: str) -> Artifact | ModelportError:
    try:
        return Artifact.open(path)
    except ModelportError as error:
        return error


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lstrip(".")


def _names_for(format_: str, formats: set[str], consumers: Sequence[str]) -> list[str]:
    """Of several names those that read a format: a consumer of another format at hand is not asked."""
    if ALL in consumers:
        return list(consumers)
    elsewhere = select(formats - {format_}, ALL)
    here = {name for consumer in select([format_], ALL)[format_] for name in consumer.names}
    others = {name for found in elsewhere.values() for consumer in found for name in consumer.names}
    return [name for name in consumers if name in here or name not in others]


def verify_project(project: Project, said: Said, *, consumers: Sequence[str] = (), update: bool = False) -> Iterator[Verified]:
    """Everything a project file declares. consumers takes the place of what it says; update writes committed artifacts that are
    missing, or that do not answer as their model does, again."""
    for entry in project.entries:
        said(f"opening {entry.name}")
        try:
            model, sample = entry.sources(project.root)
            wanted = tuple(consumers) or entry.consumers
            found = _Run(project.root, entry, model, sample, update)
            formats = [*entry.formats, *(_format_of(project.root / path) for path in entry.artifacts)]
            chosen = select(dict.fromkeys(filter(None, formats)), wanted)
        except ModelportError as error:
            yield Verified.failed(entry.name, ", ".join(entry.formats), error)
            continue
        names = {f: [ALL] if wanted == ALL or ALL in wanted else [c.name for c in found_] for f, found_ in chosen.items()}
        for path in entry.artifacts:
            said(f"verifying {entry.name} ({path})")
            yield found.committed(path, names)
        for format_ in entry.formats:
            said(f"converting {entry.name} to {format_}")
            yield found.fresh(format_, names[format_])


def _format_of(path: Path) -> str | None:
    """The format of a committed artifact: by its content, or where it is damaged or not there yet, by its suffix; None where
    that is no format's either."""
    from .registry import writer_for_path

    if path.is_file():
        with contextlib.suppress(ModelportError):
            return Artifact.open(path).format
    return writer_for_path(str(path))


@dataclass(frozen=True)
class _Run:
    """One entry with its model."""

    root: Path
    entry: Entry
    model: Any
    sample: Any
    update: bool

    def committed(self, path: str, names: Mapping[str, Sequence[str]]) -> Verified:
        """An artifact that lies in the repository."""
        model, target = f"{self.entry.name} ({path})", self.root / path
        format_ = _suffix(path)
        try:
            known = _format_of(target)
            if known is None and target.is_file():
                Artifact.open(target)  # says what is wrong with it
            if known is None:
                raise UsageError(f"There is no file {path!r}, and its suffix is no format's.")
            format_ = known
            if target.is_file():
                report = self._committed_report(target, names[format_])
                if report is not None:
                    return Verified.of(model, report)
            elif not self.update:
                hint = "modelport verify --update writes it from the model" if self.model is not None else "restore it"
                raise UsageError(f"There is no file {path!r}: {hint}.")
            elif self.model is None:
                raise UsageError(f"There is no file {path!r}, and no model from which it could be written: restore it.")
            self._convert(format_).save(target)
            return Verified.of(model, self._report(target, names[format_]), updated=True)
        except ModelportError as error:
            return Verified.failed(model, format_, error)

    def fresh(self, format_: str, names: Sequence[str]) -> Verified:
        """What the model becomes here and now."""
        try:
            return Verified.of(self.entry.name, self._report(self._convert(format_), names))
        except ModelportError as error:
            return Verified.failed(self.entry.name, format_, error)

    def _committed_report(self, target: Path, names: Sequence[str]) -> Report | None:
        """A report, or None where the file is to be written again."""
        again = self.update and self.model is not None
        try:
            report = self._report(target, names)
        except ArtifactError:
            if again:
                return None
            raise
        return None if again and report.stale else report

    def _convert(self, format_: str) -> Artifact:
        return convert(self.model, format_, sample=self.sample, **options_for(format_, self.entry.options))

    def _report(self, artifact: Artifact | Path, names: Sequence[str]) -> Report:
        options = {key: value for key, value in self.entry.options.items() if key == "lengths"}
        prepared = prepare(artifact, model=self.model, sample=self.sample, tolerance=self.entry.tolerance, **options)
        return prepared.report(names)
