"""Finds consumer stubs, builds them, and drives any command that speaks the stub protocol (stubs/README.md)."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from . import registry
from .document import Vectors
from .errors import ArtifactError, Mismatch, MissingDependency, ModelportError, Refused, Unsupported, UsageError
from .graph import Output

if TYPE_CHECKING:
    from .artifact import Artifact
    from .verify import ConsumerReport
    from .watch import Watcher

__all__ = [
    "Completed",
    "Stub",
    "broken_stubs",
    "build_of",
    "built",
    "command_for",
    "command_of",
    "data_folder",
    "find_stub",
    "run",
    "run_consumer",
    "stubs",
    "toolchain",
    "toolchain_problem",
]

#: seconds a stub or a build may take, and bytes a stub may say
TIMEOUT = 600.0
MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Stub:
    """One stub: its folder and what its stub.json says; `profiles` are those it has whole, none where it does not say.

    `further` says of files of the library which profiles or ops need them; `facade` names the module that writes typed facades;
    `check` is a command that says on standard error what else is missing to build it.
    """

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
    profiles: tuple[str, ...] = ()
    further: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facade: str = ""
    check: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completed:
    """What a stub process gave: exit code (see the protocol), standard output and error."""

    code: int
    out: bytes = b""
    err: str = field(default="")

    @property
    def sentence(self) -> str:
        """The first line it said on standard error, or of a Python traceback the last."""
        lines = [line.strip() for line in self.err.splitlines() if line.strip()]
        if not lines:
            return f"it ended with exit code {self.code}"
        return lines[-1 if lines[0].startswith("Traceback") else 0]


def data_folder(name: str) -> Path:
    """A shipped folder ("stubs", "fixtures/schema"): beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parent / "_data" / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name


def stubs() -> Iterator[Stub]:
    """All stubs that can be read: ours and those of plugins, by name."""
    return (found for found in _found() if isinstance(found, Stub))


def broken_stubs() -> list[str]:
    """A sentence for every stub and every plugin of stubs that cannot be read."""
    return [str(found) for found in _found() if not isinstance(found, Stub)]


def _found() -> Iterator[Stub | ModelportError]:
    folders = sorted(p.parent for p in data_folder("stubs").glob("*/stub.json"))
    for name in registry.plugins("stubs"):
        try:
            folders += [Path(folder) for folder in registry.load("stubs", name).FOLDERS]
        except ModelportError as error:
            yield error
    for folder in folders:
        try:
            yield _read(folder)
        except ModelportError as error:
            yield error


def _read(folder: Path) -> Stub:
    try:
        said = json.loads((folder / "stub.json").read_text(encoding="utf-8"))
        lists = {
            key: _words(said.get(key, []), key) for key in ("aliases", "needs", "library", "files", "run", "profiles", "check")
        }
        build = tuple(_words(line, "build") for line in said.get("build", []))
        further = {file: _words(needs, "further") for file, needs in said.get("further", {}).items()}
        name, format_, example = _words([said["name"], said.get("format", "json"), said.get("example", "")], "name")
        (facade,) = _words([said.get("facade", "")], "facade")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{str(folder / 'stub.json')!r} is no description of a stub: {error}.") from None
    if not lists["run"] or not name:
        raise ArtifactError(f"{str(folder / 'stub.json')!r} does not say how to run the stub: give 'name' and 'run'.")
    return Stub(name, folder, format=format_, build=build, example=example, further=further, facade=facade, **lists)


def _words(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError(f"{key!r} is {value!r}")
    return tuple(value)


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
    if stub.check:
        programs = tuple(shutil.which(_program(need)) or "" for need in stub.needs)
        said = _checked(tuple(_filled(stub.check, stub, stub.folder)), programs)
        return None if said is None else f"the {stub.name} stub cannot be built here: {said}"
    return None


@functools.cache
def _checked(command: tuple[str, ...], programs: tuple[str, ...]) -> str | None:
    """What a stub's own check says is missing, while the programs it needs are these."""
    done = run(command, (), timeout=60.0)
    return None if done.code == 0 else done.sentence


def toolchain(stub: Stub) -> dict[str, str]:
    """The programs that a stub needs, by name, and what each says of its version."""
    found = {}
    for need in stub.needs:
        for option in ("--version", "-version", "version", "--list-runtimes"):
            done = run([_program(need)], [option], timeout=30.0)
            lines = [line.strip() for line in (done.out.decode("utf-8", "replace") + done.err).splitlines() if line.strip()]
            found[need] = lines[0] if lines else "does not say its version"
            if done.code == 0:
                break
    return found


def command_for(stub: Stub) -> list[str]:
    """The command that runs a stub, built first where that is needed.

    Builds are kept in the user's cache folder under a name made of the sources' digest.
    """
    problem = toolchain_problem(stub)
    if problem is not None:
        raise MissingDependency(f"{problem[0].upper()}{problem[1:]}.")
    build = built(stub) if stub.build else stub.folder
    return _filled(stub.run, stub, build)


def _filled(command: Sequence[str], stub: Stub, build: Path) -> list[str]:
    names = {"dir": str(stub.folder), "build": str(build), "python": sys.executable}
    parts = []
    for position, part in enumerate(command):
        for key, value in names.items():
            part = part.replace("{" + key + "}", value)
        parts.append(_program(part) if position == 0 and part in stub.needs else part)
    return parts


def built(stub: Stub) -> Path:
    """The folder of a stub's build, made when it is not there yet; Refused when it does not build."""
    try:
        return _build(stub)
    except OSError as error:
        raise Refused(
            f"The {stub.name} stub cannot be built: {error.strerror or error} ({error.filename}); "
            "MODELPORT_CACHE names the folder where builds are kept."
        ) from None


def build_of(stub: Stub) -> Path:
    """The folder that a stub's build has, or would have."""
    digest = hashlib.sha256()
    for name in (*stub.files, "stub.json"):
        digest.update((stub.folder / name).read_bytes())
    digest.update(repr(([(need, shutil.which(_program(need))) for need in stub.needs], stub.build)).encode())
    return _cache() / f"{stub.name}-{digest.hexdigest()[:16]}"


def _build(stub: Stub) -> Path:
    """The same, made when it is not there yet. Several processes may do this at once."""
    target = build_of(stub)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{stub.name}-", dir=target.parent))
    try:
        for line in stub.build:
            done = run(_filled(line, stub, work), (), folder=stub.folder)
            if done.code != 0:
                said = (done.err or done.out.decode("utf-8", "replace")).strip() or done.sentence
                raise Refused(f"The {stub.name} stub does not build with {line[0]!r}: {said[:2000]}")
        try:
            work.rename(target)
        except OSError:
            if not target.is_dir():  # somebody else may have built it meanwhile
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _cache() -> Path:
    base = os.environ.get("MODELPORT_CACHE") or os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "modelport" / "stubs"
    except RuntimeError:
        raise UsageError("There is no home folder to keep built stubs in: set MODELPORT_CACHE to a folder.") from None


def run(
    command: Sequence[str], arguments: Sequence[str], stdin: bytes = b"", timeout: float | None = None, folder: Path | None = None
) -> Completed:
    """Run one stub process, in `folder`; with everything it started it is stopped when it takes too long or says too much."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                [*command, *arguments], stdin=given, stdout=out, stderr=err, start_new_session=True, cwd=folder
            )
        except FileNotFoundError:
            raise UsageError(f"There is no command {command[0]!r}: name a stub (see modelport plugins) or a program.") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            why = getattr(error, "strerror", None) or error
            raise UsageError(f"The command {command[0]!r} cannot be run: {why}.") from None
        try:
            problem = _wait(process, [out, err], TIMEOUT if timeout is None else timeout)
        finally:
            _stop(process)
        if problem is not None:
            return Completed(Refused.exit_code, b"", problem)
        out.seek(0)
        err.seek(0)
        return Completed(process.returncode, out.read(), err.read().decode("utf-8", "replace"))


def _wait(process: subprocess.Popen[bytes], streams: Sequence[IO[bytes]], timeout: float) -> str | None:
    """Wait for a process; what is wrong when it has to be stopped."""
    end = time.monotonic() + timeout
    while True:
        finished = True
        try:
            process.wait(max(0.0, min(0.1, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            finished = False
        if any(os.fstat(stream.fileno()).st_size > MOST_BYTES for stream in streams):
            return f"it said more than {MOST_BYTES:,} bytes"
        if finished:
            return None
        if time.monotonic() >= end:
            return f"it did not answer within {timeout:g} seconds"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that still runs, and the processes it started."""
    if process.poll() is not None:
        return
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def rows_as_json(feeds: Mapping[str, Any]) -> bytes:
    """Input rows as a stub reads them on standard input."""
    from modelport_json.tensors import encode

    inputs = ",".join(f"{json.dumps(name, ensure_ascii=False)}:{encode(array)}" for name, array in feeds.items())
    return f'{{"inputs":{{{inputs}}}}}'.encode()


def outputs_from_json(data: bytes, outputs: Sequence[Output]) -> dict[str, Any]:
    """A stub's answer as arrays of the declared dtypes."""
    from modelport_json.strict import parse
    from modelport_json.tensors import decode

    try:
        value = parse(data)
    except ArtifactError as error:
        raise ArtifactError(str(error).replace("The document", "The consumer's answer", 1)) from None
    given = value.get("outputs") if isinstance(value, dict) else None
    if not isinstance(given, Mapping) or set(given) != {o.name for o in outputs}:
        raise ArtifactError(f"The consumer's answer has not exactly the outputs {', '.join(o.name for o in outputs)}.")
    return {o.name: decode(given[o.name], o.dtype, f"The consumer's output {o.name!r}") for o in outputs}


def run_consumer(name: str, artifact: Artifact, vectors: Vectors, watch: Watcher | None = None) -> ConsumerReport:
    """One stub or command against vectors, compared here and not by itself."""
    from .verify import ConsumerReport, consumer_report, failed

    stub = find_stub(name)
    if stub is not None and stub.format != artifact.format:
        return ConsumerReport(name, (), f"the {stub.name} stub reads {stub.format}, not {artifact.format}", Unsupported.exit_code)
    try:
        command = command_for(stub) if stub is not None else command_of(name)
    except ModelportError as error:
        return failed(name, error)
    outputs = artifact.load().outputs
    with tempfile.TemporaryDirectory(prefix="modelport-") as folder:
        path = Path(folder) / f"artifact.{artifact.format}"
        path.write_bytes(artifact.data)

        def ask(feeds: Mapping[str, Any]) -> dict[str, Any]:
            done = run(command, ["predict", "--no-verify", str(path)], rows_as_json(feeds))
            if done.code != 0:
                kind = {1: Mismatch, 3: Unsupported}.get(done.code, Refused)
                raise kind(done.sentence)
            return outputs_from_json(done.out, outputs)

        return consumer_report(stub.name if stub else name, ask, vectors, watch)


def command_of(text: str) -> list[str]:
    """The words of a command as a shell would read them; UsageError for none."""
    try:
        command = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"The command cannot be read: {error}.") from None
    if not command:
        raise UsageError("An empty command cannot be run: name a stub or a program.")
    return command
