"""Asks one process of a stub many commands of the stub protocol.

Starting a process costs more than most cases of the conformance suite. The answers are those of the stub's own command line; that
a process of its own gives the same is held by the conformance tests, on a sample and, nightly, on every case.
"""

from __future__ import annotations

import atexit
import base64
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from modelport.stubs import Completed, Stub, command_for, run

HARNESS = Path(__file__).resolve().parent / "stubs" / "harness"

#: asks one command: its arguments, and what it reads
Ask = Callable[..., Completed]


def harness(stub: Stub, folder: Path) -> list[str] | None:
    """The command of the process that answers many, or None for stubs that start in no time, or are not ours."""
    command = command_for(stub)
    if stub.name == "java":
        classes = command[command.index("-cp") + 1]
        compiler = os.environ.get("MODELPORT_JAVAC", "javac")
        subprocess.run([compiler, "-cp", classes, "-d", str(folder), str(HARNESS / "Many.java")], check=True, capture_output=True)
        return [*command[: command.index("-cp")], "-cp", os.pathsep.join([classes, str(folder)]), "Many"]
    if stub.name == "csharp":
        return [*command[:-1], str(_csharp(stub.folder, stub.files) / "modelport.dll")]
    if stub.name == "javascript":
        return [command[0], str(HARNESS / "many.mjs"), str(stub.folder / "cli.mjs")]
    if stub.name == "python":
        return [sys.executable, str(HARNESS / "many.py"), str(stub.folder)]
    return None


@cache
def _csharp(sources: Path, files: tuple[str, ...]) -> Path:
    """The folder of the C# harness with the stub's sources, built once as that takes some seconds; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="many-csharp-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    given = [*(str(sources / name) for name in files if name.endswith(".cs")), str(HARNESS / "Many.cs")]
    command = [sys.executable, str(sources / "build.py"), "--start=Many", str(folder / "built"), *given]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "built"


@contextmanager
def asking(stub: Stub, folder: Path) -> Iterator[Ask]:
    """`ask(["verify", path])` as modelport.stubs.run answers it, from one process where the stub has a harness."""
    many = harness(stub, folder)
    if many is None:
        command = command_for(stub)
        yield lambda arguments, stdin=b"", timeout=None: run(command, arguments, stdin, timeout)
        return
    process = Process(many)
    try:
        yield process.ask
    finally:
        process.stop()


class Process:
    """A harness that runs; one that ended, or does not answer in time, is a failed command, and starts again for the next."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, arguments: Sequence[str], stdin: bytes = b"", timeout: float | None = None) -> Completed:
        """One command."""
        if self.process is None:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        assert self.process.stdin is not None
        words = [stdin, *(argument.encode() for argument in arguments)]
        try:
            self.process.stdin.write(b" ".join(b"." + base64.b64encode(word) for word in words) + b"\n")
            self.process.stdin.flush()
            code, out, err = self._line(60.0 if timeout is None else timeout).split()
        except (OSError, ValueError, TimeoutError) as error:
            self.stop()
            return Completed(-1, b"", f"the process that answers many commands does not answer: {error}")
        return Completed(int(code), base64.b64decode(out[1:]), base64.b64decode(err[1:]).decode("utf-8", "replace"))

    def _line(self, timeout: float) -> bytes:
        assert self.process is not None
        assert self.process.stdout is not None
        end, got = time.monotonic() + timeout, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not got.endswith(b"\n"):
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise TimeoutError(f"it took more than {timeout:g} seconds")
                piece = os.read(self.process.stdout.fileno(), 1 << 20)
                if not piece:
                    raise OSError("it ended")
                got += piece
        return got

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None
