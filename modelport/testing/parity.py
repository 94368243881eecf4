"""What the fixture and the mark do: convert once per format, verify in every consumer, and fail with the report."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

from ..artifact import Artifact
from ..consumers import ALL, Consumer, consumers_of, own_engine, required, select
from ..convert import convert
from ..errors import ArtifactError, Mismatch, MissingDependency, ModelportError, Unsupported, WriteError
from ..outcomes import Outcome, markdown, of_error, of_report, one_line, write_job_summary
from ..project import options_for
from ..verify import ConsumerReport, Prepared, Report, prepare
from ..version import __version__
from .files import write_files

__all__ = ["Parity", "Pending", "cases_of", "run_case", "summary_lines"]

T = TypeVar("T")


# --- failing and skipping -----------------------------------------------------------------------------------------------------


def _shown(text: str) -> str:
    """Lines in which control characters are shown, not obeyed: names come from files of others."""
    return "\n".join(map(one_line, text.split("\n")))


def _fail(sentence: str) -> NoReturn:
    __tracebackhide__ = True
    raise pytest.fail.Exception(_shown(sentence), pytrace=False) from None


def _skip(reason: str) -> NoReturn:
    """A counted skip that is said to stand where the test does."""
    __tracebackhide__ = True
    raise pytest.skip.Exception(_shown(reason), _use_item_location=True) from None


def _lacking(consumer: Consumer, why: str) -> str:
    """The reason for a skip; a failure where MODELPORT_REQUIRE names the consumer."""
    __tracebackhide__ = True
    if required(consumer):
        _fail(f"{consumer.name} is required here (MODELPORT_REQUIRE), but: {why}")
    return f"{consumer.name}: {why}"


def _lines(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


# --- what is kept per test ----------------------------------------------------------------------------------------------------


def _note(item: pytest.Item, outcome: Outcome) -> None:
    """A row of the table at the end."""
    item.__dict__.setdefault("modelport_outcomes", []).append(outcome.to_json())


def _record(item: pytest.Item, label: str, report: Report, prepared: Prepared, **sources: Any) -> None:
    """A report becomes properties (JUnit), rows of the table at the end, and files where these are asked for."""
    __tracebackhide__ = True
    outcomes = of_report(label, report)
    for outcome in outcomes:
        _note(item, outcome)
    said = item.user_properties
    said += [("modelport", __version__), ("modelport.python", platform.python_version())]
    said += [("modelport.format", report.format), ("modelport.engine", prepared.loaded.engine)]
    framework = prepared.loaded.provenance.get("framework")
    if isinstance(framework, Mapping):
        parts = (framework.get("name"), framework.get("version"))
        said.append(("modelport.framework", " ".join(one_line(str(part)) for part in parts if part)))
    own = own_engine(report.format)
    for consumer in report.consumers:
        plain = consumer.consumer.replace(prepared.loaded.engine, own).replace(", ", ".").replace(" ", "_")
        for output in consumer.outputs:
            values = {"rows": output.rows, "max_abs": output.max_abs, "tolerance": output.tolerance, "passed": output.passed}
            said += [(one_line(f"modelport.{plain}.{output.output}.{key}"), str(value)) for key, value in values.items()]
    folder = item.config.getoption("--modelport-report")
    if folder is not None:
        test, target = str(item.nodeid), item.config.invocation_params.dir / folder
        taken = item.__dict__.setdefault("modelport_files", set())
        try:
            write_files(target, test, outcomes, report, prepared.artifact, taken, **sources)
        except (OSError, WriteError) as error:
            why = error if isinstance(error, WriteError) else f"{error.strerror or error}."
            _fail(f"The files of --modelport-report cannot be written into {folder!r}: {why}\n{report}")


def summary_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is said at the end of a session; the whole table goes into the job summary where there is one."""
    outcomes = [Outcome(**row) for row in rows]
    write_job_summary(markdown([o for o in outcomes if o.verdict != "written"], "parity"))
    counts = {verdict: sum(o.verdict == verdict for o in outcomes) for verdict in ("passed", "failed", "not run", "written")}
    yield f"parity: {', '.join(f'{count} {verdict}' for verdict, count in counts.items() if count)}"
    for name, why in dict.fromkeys((o.consumer, o.details) for o in outcomes if o.verdict == "not run"):
        yield one_line(f"not run: {name}: {why}")
    for name in dict.fromkeys(o.model for o in outcomes if o.verdict == "written"):
        yield one_line(f"written: {name} (commit it)")


# --- the fixture --------------------------------------------------------------------------------------------------------------


class Parity:
    """The fixture `parity` of one test."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._pending: list[Pending] = []

    def __call__(self, model: Any, *, sample: Any) -> Pending:
        """A model and what it is fed; say next what it is converted to: `.to("json", "onnx")`."""
        self._pending.append(Pending(self._item, model, sample))
        return self._pending[-1]

    def finish(self) -> None:
        """Called when the test is over: a model of which nothing was verified is a mistake in the test, and so is no model."""
        if any(not pending.used for pending in self._pending):
            _fail('parity(model, sample=X) alone verifies nothing: say .to("json") or other formats.')
        known = self._item.__dict__
        if not (self._pending or known.get("modelport_outcomes") or known.get("modelport_interrupted")):
            _fail("The test asks for the fixture 'parity' and verifies nothing: call it, leave it out, or skip with a reason.")

    def baseline(
        self,
        path: str | Path,
        *,
        model: Any = None,
        sample: Any = None,
        consumers: str | Sequence[str] = ALL,
        tolerance: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Report:
        """Verify an artifact of the repository with what is installed now; a relative path is relative to pytest's rootdir.

        With model and sample it is held against the model, and the rows it carries are replayed; without, it is replayed alone.
        --modelport-update writes one that is missing, and with a model one that failed.
        """
        __tracebackhide__ = True
        _check_names(consumers)
        item, target = self._item, self._item.config.rootpath / path
        update = bool(item.config.getoption("--modelport-update"))
        label, reader_options = str(path), _reader_options(options)

        def write() -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            made = convert(model, str(target), sample=sample, verify=True, **_kept(target, options))
            _note(item, Outcome(label, made.format, "", "written"))

        def look() -> tuple[Prepared, Report]:
            found = prepare(target, model=model, sample=sample, tolerance=tolerance, **reader_options)
            chosen = select([found.artifact.format], consumers)[found.artifact.format]
            return found, found.report(_names(chosen, consumers))

        try:
            if not target.is_file():
                if not update:
                    _fail(f"There is no baseline {label!r}: run pytest --modelport-update once, and commit what it writes.")
                if model is None:
                    _fail(f"There is no baseline {label!r}, and no model to write it from: hand over model= and sample=.")
                write()
            try:
                prepared, report = look()
                again = report.stale
            except ArtifactError:
                again = True
                if not update or model is None:
                    raise
            if again and update and model is not None:
                write()
                prepared, report = look()
        except MissingDependency as error:
            _skip(_lacking(_owner(target), str(error)))
        except ModelportError as error:
            _fail(f"The baseline {label!r} was not verified. {_lines(error)}")
        _record(item, label, report, prepared, model=model, sample=sample, tolerance=tolerance, **reader_options)
        _judge(report, prepared.artifact.format, f"The baseline {label!r} failed.", consumers)
        return report


@dataclass
class Pending:
    """A model that waits for the formats to convert it to."""

    item: pytest.Item
    model: Any
    sample: Any
    used: bool = False

    def to(
        self,
        *formats: str,
        consumers: str | Sequence[str] = ALL,
        tolerance: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list[Report]:
        """Convert to each format and verify it in every consumer; the reports, when all of them passed.

        consumers are names, or "all" that can run here; tolerance bounds outputs more strictly than the artifact does; options
        are those of `modelport.convert`. A format whose package is not installed makes the test a skip, once the others passed.
        """
        __tracebackhide__ = True
        self.used = True
        if not formats or not all(isinstance(format_, str) for format_ in formats):
            _fail('parity(...).to() names no format: say .to("json") or others.')
        _check_names(consumers)
        found, absent, wrong = [], [], []
        try:
            chosen = select(formats, consumers)
        except ModelportError as error:
            _fail(str(error))
        for format_ in dict.fromkeys(formats):
            try:
                artifact = convert(self.model, format_, sample=self.sample, **options_for(format_, options))
                prepared = prepare(
                    artifact, model=self.model, sample=self.sample, tolerance=tolerance, **_reader_options(options)
                )
                report = prepared.report(_names(chosen[format_], consumers))
            except MissingDependency as error:
                absent.append(_lacking(chosen[format_][0], str(error)))
                continue
            except ModelportError as error:
                wrong.append(f"{format_}: {_lines(error)}")
                continue
            sources = {"model": self.model, "sample": self.sample, "tolerance": tolerance, **_reader_options(options)}
            _record(self.item, type(self.model).__name__, report, prepared, **sources)
            found.append(report)
            if not report.passed:
                lacking = _absent(report, format_, consumers)
                absent += lacking
                wrong += [] if lacking and _only_absent(report) else [str(report)]
        if wrong:
            _fail("\n".join(wrong))
        if absent:
            _skip("; ".join(absent))
        return found


def _check_names(consumers: Any) -> None:
    """Consumers are named by a text, or by several of them."""
    __tracebackhide__ = True
    several = consumers if isinstance(consumers, (list, tuple, set, frozenset)) else [consumers]
    if not all(isinstance(name, str) for name in several):
        _fail(f"consumers={consumers!r} is not understood: it is 'all', or a list of names.")


def _names(chosen: Sequence[Consumer], consumers: str | Sequence[str]) -> list[str]:
    """The names to hand to a report: "all", or those that were chosen for the format."""
    return [ALL] if consumers == ALL or ALL in consumers else [consumer.name for consumer in chosen]


def _reader_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key == "lengths"}


def _kept(target: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    return options_for(target.suffix.lstrip(".").lower(), options)


def _owner(target: Path) -> Consumer:
    """The consumer that a file's format begins with."""
    try:
        return consumers_of(Artifact.open(target).format)[0]
    except ModelportError:
        return consumers_of(target.suffix.lstrip(".").lower())[0]


def _absent(report: Report, format_: str, consumers: str | Sequence[str]) -> list[str]:
    """Consumers that were asked for by name and are not installed; a failure where they are required."""
    known = {c.name: c for c in consumers_of(format_)}
    missing = [c for c in report.consumers if c.missing]
    return [_lacking(known.get(c.consumer, Consumer(c.consumer, format_, "command")), c.problem or "") for c in missing]


def _only_absent(report: Report) -> bool:
    """Did everything match but for consumers that are not installed?"""
    return all(c.passed or c.missing for c in report.consumers)


def _judge(report: Report, format_: str, head: str, consumers: str | Sequence[str]) -> None:
    """Fail with the report, or skip where nothing but a consumer that is not installed is amiss."""
    __tracebackhide__ = True
    if report.passed:
        return
    absent = _absent(report, format_, consumers)
    if absent and _only_absent(report):
        _skip("; ".join(absent))
    _fail(f"{head}\n{report}")


# --- the mark -----------------------------------------------------------------------------------------------------------------


def _read_mark(mark: pytest.Mark) -> tuple[tuple[str, ...], str | Sequence[str], Any, dict[str, Any]]:
    """(formats, consumers, tolerance, options of the conversion)."""
    options = dict(mark.kwargs)
    return tuple(dict.fromkeys(mark.args)), options.pop("consumers", ALL), options.pop("tolerance", None), options


def cases_of(mark: pytest.Mark) -> list[tuple[str, str]]:
    """(format, consumer) of every test a mark makes; the same on every machine with the same packages."""
    if not mark.args or not all(isinstance(format_, str) for format_ in mark.args):
        _fail('The mark names no format: write @pytest.mark.parity("json") or others.')
    formats, consumers, *_ = _read_mark(mark)
    _check_names(consumers)
    try:
        chosen = select(formats, consumers)
    except ModelportError as error:
        _fail(str(error))
    return [(format_, consumer.name) for format_, found in chosen.items() for consumer in found]


class Once:
    """Values that are computed once; an exception is kept as well and raised each time."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[bool, Any]] = {}

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """The value of a key."""
        __tracebackhide__ = True
        if key not in self._known:
            try:
                self._known[key] = True, make()
            except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
                self._known[key] = False, error
        fine, value = self._known[key]
        if not fine:
            raise value
        return value  # type: ignore[no-any-return]


@dataclass
class _Kept:
    """What the tests of one session share."""

    once: Once = field(default_factory=Once)


KEPT = pytest.StashKey[_Kept]()


def run_case(item: pytest.Function, format_: str, name: str) -> None:
    """One format in one consumer: the function is called once, and the model converted once per format."""
    __tracebackhide__ = True
    mark = item.get_closest_marker("parity")
    assert mark is not None, "a test that the mark made has it"
    _, consumers, tolerance, options = _read_mark(mark)
    kept = item.config.stash.setdefault(KEPT, _Kept())
    indices = {key: index for key, index in item.callspec.indices.items() if key != "modelport_case"}
    key = (item.parent.nodeid if item.parent else "", item.originalname, tuple(sorted(indices.items())))
    model, sample = kept.once.get(key, lambda: _sources(item))

    def prepared_once() -> Prepared:
        artifact = convert(model, format_, sample=sample, **options_for(format_, options))
        return prepare(artifact, model=model, sample=sample, tolerance=tolerance, **_reader_options(options))

    known = consumers_of(format_)
    consumer = next((c for c in known if c.name == name), Consumer(name, format_, "command"))
    try:
        prepared = kept.once.get((*key, format_), prepared_once)
        reports = prepared.own() if consumer.kind == "own" else _other(prepared, name)
    except MissingDependency as error:
        _note(item, Outcome(item.originalname, format_, name, "not run", details=str(error)))
        _skip(_lacking(consumer, str(error)))
    except ModelportError as error:
        _note(item, of_error(item.originalname, format_, name, error))
        _fail(f"{format_}: {_lines(error)}")
    first = reports[0]
    everyone = consumers == ALL or ALL in consumers
    if first.missing or (first.problem is not None and first.exit_code == Unsupported.exit_code and everyone):
        _note(item, Outcome(item.originalname, format_, name, "not run", details=first.problem or ""))
        _skip(_lacking(consumer, first.problem or "") if first.missing else f"{name}: {first.problem}")
    report = prepared.of(reports)
    sources = {"model": model, "sample": sample, "tolerance": tolerance, **_reader_options(options)}
    _record(item, item.originalname, report, prepared, **sources)
    if not report.passed:
        _fail(str(report))


def _sources(item: pytest.Function) -> tuple[Any, Any]:
    """What the function returns."""
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    given = item.obj(**arguments)
    if not isinstance(given, tuple) or len(given) != 2:
        _fail(f"{item.originalname} returned {type(given).__name__}; with the mark 'parity' a function returns (model, sample).")
    return given


def _other(prepared: Prepared, name: str) -> tuple[ConsumerReport, ...]:
    """Another consumer's report, with what is wrong about the artifact's tolerances."""
    wide = (ConsumerReport(f"{name}, tolerance", (), why, Mismatch.exit_code) for why in prepared.too_wide)
    return (prepared.other(name), *wide)
