"""Finds consumer stubs, builds them, and drives any command that speaks the stub protocol (stubs/README.md)."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import registry
from .document import Vectors
from .errors import ArtifactError, Mismatch, MissingDependency, ModelportError, Refused, Unsupported, UsageError
from .graph import Output

if TYPE_CHECKING:
    from .artifact import Artifact
    from .verify import ConsumerReport

__all__ = ["Completed", "Stub", "command_for", "data_folder", "find_stub", "run", "run_consumer", "stubs", "toolchain_problem"]

TIMEOUT = 600.0


@dataclass(frozen=True)
class Stub:
    """One stub: its folder and what its stub.json says."""

    name: str
    folder: Path
    aliases: tuple[str, ...] = ()
    format: str = "json"
    needs: tuple[str, ...] = ()
    library: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    build: tuple[tuple[str, ...], ...] = ()
    run: tuple[str, ...] = ()
    example: str = ""


@dataclass(frozen=True)
class Completed:
    """What a stub process gave: exit code (see the protocol), standard output and error."""

    code: int
    out: bytes = b""
    err: str = field(default="")

    @property
    def sentence(self) -> str:
        """The first line it said on standard error."""
        return next((line.strip() for line in self.err.splitlines() if line.strip()), f"it ended with exit code {self.code}")


def data_folder(name: str) -> Path:
    """A shipped folder ("stubs", "fixtures/schema"): beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parent / "_data" / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name


def stubs() -> Iterator[Stub]:
    """All stubs: ours and those of plugins, by name."""
    folders = sorted(p.parent for p in data_folder("stubs").glob("*/stub.json"))
    for name in registry.plugins("stubs"):
        folders += [Path(folder) for folder in registry.load("stubs", name).FOLDERS]
    for folder in folders:
        yield _read(folder)


def _read(folder: Path) -> Stub:
    try:
        said = json.loads((folder / "stub.json").read_text(encoding="utf-8"))
        lists = {key: tuple(said.get(key, ())) for key in ("aliases", "needs", "library", "files", "run")}
        build = tuple(tuple(line) for line in said.get("build", ()))
        return Stub(
            said["name"], folder, format=said.get("format", "json"), build=build, example=said.get("example", ""), **lists
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / 'stub.json'} is no description of a stub: {error}.") from None


def find_stub(name: str) -> Stub | None:
    """The stub of a name or alias, or None."""
    return next((stub for stub in stubs() if name == stub.name or name in stub.aliases), None)


def _program(name: str) -> str:
    """A program's name, or what MODELPORT_<NAME> says to use instead."""
    return os.environ.get(f"MODELPORT_{name.upper()}", name)


def toolchain_problem(stub: Stub) -> str | None:
    """A sentence about the program that is missing to build or run a stub, or None."""
    for need in stub.needs:
        if shutil.which(_program(need)) is None:
            return f"the {stub.name} stub needs {need!r}, which is not on the PATH: install it, or set MODELPORT_{need.upper()}"
    return None


def command_for(stub: Stub) -> list[str]:
    """The command that runs a stub, built first where that is needed.

    Builds are kept in the user's cache folder under a name made of the sources' digest.
    """
    problem = toolchain_problem(stub)
    if problem is not None:
        raise MissingDependency(f"{problem[0].upper()}{problem[1:]}.")
    build = _built(stub) if stub.build else stub.folder
    return _filled(stub.run, stub, build)


def _filled(command: Sequence[str], stub: Stub, build: Path) -> list[str]:
    names = {"dir": str(stub.folder), "build": str(build), "python": sys.executable}
    parts = []
    for position, part in enumerate(command):
        for key, value in names.items():
            part = part.replace("{" + key + "}", value)
        parts.append(_program(part) if position == 0 and part in stub.needs else part)
    return parts


def _built(stub: Stub) -> Path:
    digest = hashlib.sha256()
    for name in (*stub.files, "stub.json"):
        digest.update((stub.folder / name).read_bytes())
    digest.update(repr([(need, shutil.which(_program(need))) for need in stub.needs]).encode())
    target = _cache() / f"{stub.name}-{digest.hexdigest()[:16]}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{stub.name}-", dir=target.parent))
    try:
        for line in stub.build:
            done = subprocess.run(_filled(line, stub, work), capture_output=True, text=True, timeout=TIMEOUT, check=False)
            if done.returncode != 0:
                raise Refused(
                    f"The {stub.name} stub does not build with {line[0]!r}: {(done.stderr or done.stdout).strip()[:2000]}"
                )
        try:
            work.rename(target)
        except OSError:
            if not target.is_dir():  # somebody else may have built it meanwhile
                raise
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"The {stub.name} stub cannot be built: {error}.") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _cache() -> Path:
    base = os.environ.get("MODELPORT_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "modelport" / "stubs"


def run(command: Sequence[str], arguments: Sequence[str], stdin: bytes = b"", timeout: float = TIMEOUT) -> Completed:
    """Run one stub process."""
    try:
        done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, timeout=timeout, check=False)
    except FileNotFoundError:
        raise UsageError(f"There is no command {command[0]!r}: name a stub (see modelport plugins) or a program.") from None
    except OSError as error:
        raise UsageError(f"The command {command[0]!r} cannot be run: {error.strerror or error}.") from None
    except subprocess.TimeoutExpired:
        return Completed(2, b"", f"it did not answer within {timeout:g} seconds")
    return Completed(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def rows_as_json(vectors: Vectors) -> bytes:
    """Input rows as a stub reads them on standard input."""
    from modelport_json.tensors import encode

    inputs = ",".join(f"{json.dumps(name, ensure_ascii=False)}:{encode(array)}" for name, array in vectors.inputs.items())
    return f'{{"inputs":{{{inputs}}}}}'.encode()


def outputs_from_json(data: bytes, outputs: Sequence[Output]) -> dict[str, Any]:
    """A stub's answer as arrays of the declared dtypes."""
    from modelport_json.strict import parse
    from modelport_json.tensors import decode

    value = parse(data)
    given = value.get("outputs") if isinstance(value, dict) else None
    if not isinstance(given, Mapping) or set(given) != {o.name for o in outputs}:
        raise ArtifactError(f"The consumer's answer has not exactly the outputs {', '.join(o.name for o in outputs)}.")
    return {o.name: decode(given[o.name], o.dtype, f"The consumer's output {o.name!r}") for o in outputs}


def run_consumer(name: str, artifact: Artifact, vectors: Vectors) -> ConsumerReport:
    """One stub or command against vectors, compared here and not by itself."""
    from .verify import ConsumerReport, consumer_report

    stub = find_stub(name)
    if stub is not None and stub.format != artifact.format:
        return ConsumerReport(name, (), f"the {stub.name} stub reads {stub.format}, not {artifact.format}", Unsupported.exit_code)
    try:
        command = command_for(stub) if stub is not None else shlex.split(name)
        if not command:
            raise UsageError("An empty command cannot be run: name a stub or a program.")
    except ModelportError as error:
        return ConsumerReport(name, (), str(error), error.exit_code)
    outputs = artifact.load().outputs
    with tempfile.TemporaryDirectory(prefix="modelport-") as folder:
        path = Path(folder) / f"artifact.{artifact.format}"
        path.write_bytes(artifact.data)

        def ask(feeds: Mapping[str, Any]) -> dict[str, Any]:
            done = run(command, ["predict", "--no-verify", str(path)], rows_as_json(vectors))
            if done.code != 0:
                kind = {1: Mismatch, 3: Unsupported}.get(done.code, Refused)
                raise kind(done.sentence)
            return outputs_from_json(done.out, outputs)

        return consumer_report(stub.name if stub else name, ask, vectors)
