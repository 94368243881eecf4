"""The facts of a report: artifacts of one model, verified, with what was seen of every consumer's answers."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .. import registry, stubs
from ..artifact import Artifact
from ..consumers import ALL, select
from ..convert import moment
from ..doctor import PACKAGES
from ..document import Loaded
from ..errors import ModelportError, UsageError
from ..graph import Graph, Step
from ..progress import Progress
from ..verify import Report, prepare
from ..version import __version__
from .seen import ConsumerFacts, Seen
from .text import visible

__all__ = ["ArtifactFacts", "Facts", "InputFacts", "OutputDeclared", "StepFacts", "gather"]

Given = str | os.PathLike[str] | Artifact | bytes

#: inputs, names and entries of provenance that are kept at most, and nodes of a foreign graph that is drawn
MOST_INPUTS, MOST_NAMES, MOST_ENTRIES, MOST_STEPS = 400, 64, 60, 10_000
#: how programs say their version
VERSION_OF = {"node": "--version", "java": "-version", "cc": "--version", "go": "version"}


@dataclass(frozen=True)
class InputFacts:
    """A declared input; features are the first of its column names."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    missing: str
    features: tuple[str, ...]
    further: int


@dataclass(frozen=True)
class OutputDeclared:
    """A declared output; classes are the first of its labels."""

    name: str
    dtype: str
    role: str
    classes: tuple[str, ...]
    further: int


@dataclass(frozen=True)
class StepFacts:
    """A step of a graph: what it reads and gives, and how many numbers it holds; makes names its values, when not as itself."""

    name: str
    op: str
    detail: str
    reads: tuple[str, ...]
    gives: str
    parameters: int
    makes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GraphFacts:
    """A graph to draw, where it was taken from, and the names of the values that the outputs are."""

    source: str
    inputs: tuple[tuple[str, str], ...]
    steps: tuple[StepFacts, ...]
    outputs: tuple[tuple[str, str], ...]


@dataclass
class ArtifactFacts:
    """One artifact: what it declares, what verifying it found, and what was seen while it ran."""

    name: str
    format: str
    bytes: int
    sha256: str
    engine: str
    to_load: float
    model: str | None
    inputs: tuple[InputFacts, ...]
    more_inputs: int
    outputs: tuple[OutputDeclared, ...]
    more_outputs: int
    steps: int | None
    provenance: tuple[tuple[str, str], ...]
    report: Report
    consumers: Mapping[str, ConsumerFacts]


@dataclass
class Facts:
    """Artifacts of one model, verified."""

    title: str
    artifacts: list[ArtifactFacts]
    graph: GraphFacts | None
    created: str
    environment: tuple[tuple[str, str], ...] = field(default_factory=tuple)

    @property
    def reports(self) -> list[Report]:
        """What verifying each artifact found."""
        return [artifact.report for artifact in self.artifacts]

    @property
    def passed(self) -> bool:
        """Whether every artifact passed."""
        return bool(self.artifacts) and all(report.passed for report in self.reports)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`: the reports as `verify` gives them, and what is shown beside them."""
        return {
            "title": self.title,
            "passed": self.passed,
            "created": self.created,
            "artifacts": [{**_plain(a), "report": a.report.to_json()} for a in self.artifacts],
            "graph": None if self.graph is None else asdict(self.graph),
            "environment": dict(self.environment),
        }


def _plain(artifact: ArtifactFacts) -> dict[str, Any]:
    said = {key: value for key, value in vars(artifact).items() if key not in ("report", "consumers", "inputs", "outputs")}
    return {
        **said,
        "inputs": [asdict(value) for value in artifact.inputs],
        "outputs": [asdict(value) for value in artifact.outputs],
        "provenance": dict(artifact.provenance),
        "consumers": {name: asdict(facts) for name, facts in artifact.consumers.items()},
    }


def gather(
    artifacts: Given | Sequence[Given],
    *,
    model: Any = None,
    sample: Any = None,
    with_: str | Sequence[str] = (),
    title: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Facts:
    """Verify artifacts of one model as `modelport.verify` does, and keep what a report shows.

    with_ names consumers; each is asked for the artifacts of the formats it reads, "all" are those that can run here. options are
    those of `verify`.
    """
    several = [artifacts] if isinstance(artifacts, (str, os.PathLike, Artifact, bytes)) else list(artifacts)
    if not several:
        raise UsageError("There is no artifact to report on: name at least one.")
    opened = [(_name_of(given), Artifact.of(given)) for given in several]
    names = [with_] if isinstance(with_, str) else list(with_)
    chosen = select([artifact.format for _, artifact in opened], names)
    found: list[ArtifactFacts] = []
    graphs: list[tuple[str, Graph]] = []
    labels = _labels(several, [artifact.format for _, artifact in opened])
    for label, (_, artifact) in zip(labels, opened, strict=True):
        if progress is not None:
            progress.stage(f"verifying {label}")
        try:
            prepared = prepare(artifact, model=model, sample=sample, **options)
        except ModelportError as error:
            if len(several) > 1:
                error.args = (f"{label}: {error}",)
            raise
        loaded = prepared.loaded
        seen = Seen(loaded.inputs, loaded.outputs)
        asked = names if ALL in names else [consumer.name for consumer in chosen[artifact.format]]
        report = replace(prepared, name=label, watch=seen).report(asked)
        found.append(_facts(label, artifact, loaded, prepared.to_load, report, seen))
        if loaded.graph is not None:
            graphs.append((label, loaded.graph))
        elif prepared.reading is not None and not prepared.reading.unread:
            graphs.append(("the model", prepared.reading.graph))
    graph = min(graphs, key=lambda entry: len(entry[1].steps), default=None)
    drawn = _graph(*graph) if graph is not None else next(filter(None, map(_contents, labels, (a for _, a in opened))), None)
    return Facts(
        title or _title([name or f"{artifact.format} artifact" for name, artifact in opened]),
        found,
        drawn,
        moment(),
        tuple(_environment(found)),
    )


def _name_of(given: Given) -> str | None:
    return os.path.basename(os.fspath(given)) if isinstance(given, (str, os.PathLike)) else None


def _labels(given: Sequence[Given], formats: Sequence[str]) -> list[str]:
    """What artifacts are called: a file's name, with its folder where two have one name, numbered where that is not enough."""
    paths = [os.fspath(g) if isinstance(g, (str, os.PathLike)) else f"{f} artifact" for g, f in zip(given, formats, strict=True)]
    names = [os.path.basename(path) for path in paths]
    if len(set(names)) < len(names):
        names = [os.path.join(*path.split(os.sep)[-2:]) for path in paths]
    return [name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})" for i, name in enumerate(names)]


def _title(names: Sequence[str]) -> str:
    """The files' common stem, or their names."""
    stems = {os.path.splitext(name)[0] for name in names}
    return names[0] if len(names) == 1 else stems.pop() if len(stems) == 1 else ", ".join(names)


def _facts(name: str, artifact: Artifact, loaded: Loaded, to_load: float, report: Report, seen: Seen) -> ArtifactFacts:
    inputs = [
        InputFacts(
            v.name,
            v.dtype,
            tuple(v.shape),
            v.missing,
            (v.features or ())[:MOST_NAMES],
            max(0, len(v.features or ()) - MOST_NAMES),
        )
        for v in loaded.inputs[:MOST_INPUTS]
    ]
    outputs = [
        OutputDeclared(
            o.name,
            o.dtype,
            o.role,
            tuple(map(str, (o.classes or ())[:MOST_NAMES])),
            max(0, len(o.classes or ()) - MOST_NAMES),
        )
        for o in loaded.outputs[:MOST_INPUTS]
    ]
    model = loaded.provenance.get("model")
    return ArtifactFacts(
        name,
        artifact.format,
        len(artifact.data),
        hashlib.sha256(artifact.data).hexdigest(),
        loaded.engine,
        to_load,
        str(model) if model else None,
        tuple(inputs),
        max(0, len(loaded.inputs) - MOST_INPUTS),
        tuple(outputs),
        max(0, len(loaded.outputs) - MOST_INPUTS),
        None if loaded.graph is None else len(loaded.graph.steps),
        tuple(_entries(loaded.provenance))[:MOST_ENTRIES],
        report,
        seen.finished(),
    )


def _graph(source: str, graph: Graph) -> GraphFacts:
    return GraphFacts(
        source,
        tuple((v.name, f"{v.dtype}[{', '.join(map(str, v.shape))}]") for v in graph.inputs),
        tuple(_step(step, str(graph.types[step.output])) for step in graph.steps),
        tuple((o.name, o.source) for o in graph.outputs),
    )


def _contents(source: str, artifact: Artifact) -> GraphFacts | None:
    """What is inside of a file that does not read back into a graph, where its writer can tell."""
    tell = getattr(registry.writer(artifact.format), "drawn", None)
    if tell is None:
        return None
    inputs, nodes, outputs = tell(artifact.data)
    if len(nodes) > MOST_STEPS:
        return None
    steps = tuple(StepFacts(name, op, "", reads[:MOST_NAMES], "", held, makes) for name, op, reads, makes, held in nodes)
    return GraphFacts(source, tuple(inputs), steps, tuple(outputs))


def _step(step: Step, gives: str) -> StepFacts:
    said = [
        f"{key}={visible(value, 24)}"
        for key, value in step.attributes.items()
        if isinstance(value, (str, int, float)) and value is not False and key != "dtype"
    ]
    held = sum(int(value.size) for value in step.attributes.values() if hasattr(value, "size"))
    return StepFacts(step.output, step.op, ", ".join(said[:3]), step.inputs[:MOST_NAMES], gives, held)


def _entries(given: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Provenance as rows of a table: nested names are joined by dots."""
    for key, value in given.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value and above.count(".") < 4:
            yield from _entries(value, f"{name}.")
        else:
            yield visible(name, 80), visible(value, 400)


def _environment(artifacts: Sequence[ArtifactFacts]) -> Iterator[tuple[str, str]]:
    """What ran: versions are read from metadata, and asked of the programs that consumers need."""
    yield "modelport", __version__
    yield "Python", f"{platform.python_implementation()} {platform.python_version()}"
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} processors"
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
    ran = {c.consumer for a in artifacts for c in a.report.consumers}
    needs = {need for name in ran if (stub := stubs.find_stub(name)) is not None for need in stub.needs}
    for program, flag in VERSION_OF.items():
        command = os.environ.get(f"MODELPORT_{program.upper()}", program)
        if program in needs and shutil.which(command) is not None:
            try:
                done = stubs.run([command], [flag], timeout=20.0)
            except ModelportError:
                continue
            said = (done.out.decode("utf-8", "replace") or done.err).strip().splitlines()
            if said:
                yield program, visible(said[0])
