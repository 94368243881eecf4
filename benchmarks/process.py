"""Processes that answer one JSON value per line, and what is needed to start them."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["ENVIRONMENT", "Absent", "Failed", "Worker", "converter_command", "engine_command"]

HERE = Path(__file__).resolve().parent
STUBS = HERE.parent / "stubs"
#: one thread everywhere; no Java program reaches a host
ENVIRONMENT = {
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "LOKY")},
    "JAVA_TOOL_OPTIONS": " ".join(f"-D{s}.proxy{what}" for s in ("http", "https") for what in ("Host=127.0.0.1", "Port=9")),
}
NEEDED = {
    "skl2onnx": ("skl2onnx",),
    "sklearn2pmml": ("sklearn2pmml", "java"),
    "modelport onnx": ("onnx", "onnxruntime"),
    "onnxruntime": ("onnxruntime",),
    "jpmml": ("jpmml_evaluator", "java"),
    "pypmml": ("pypmml", "java"),
    "javascript": ("node",),
    "onnxruntime-node": ("node", "npm"),
    "java": ("javac", "java"),
    "c": ("cc",),
    "go": ("go",),
    "rust": ("rustc",),
}
#: the version of the npm package that is measured
ONNXRUNTIME_NODE = "1.30.0"
PROGRAMS = {"java", "javac", "node", "npm", "cc", "rustc", "go"}


class Absent(Exception):
    """A contender that is not installed; the text says what is missing."""


class Failed(Exception):
    """A contender that could not do it; the text says why."""


class Worker:
    """A process that is asked line by line."""

    def __init__(self, command: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env={**os.environ, **ENVIRONMENT}
        )

    def ask(self, line: str, timeout: float = 300.0) -> Any:
        """The answer to a command; Failed when there is none in time, or an error."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            reply = json.loads(self._line(timeout))
        except (OSError, EOFError, ValueError):
            raise Failed(self._last_words()) from None
        if isinstance(reply, dict) and "error" in reply:
            raise Failed(reply["error"])
        return reply

    def _line(self, timeout: float) -> bytes:
        assert self._process.stdout is not None
        read, deadline = b"", time.monotonic() + timeout
        while not read.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.close()
                raise Failed(f"no answer within {timeout:g} s")
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                raise EOFError
            read += piece
        return read

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][:200] if lines else "the process ended"

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except OSError:  # the rest of a command that nobody reads any more
                    continue


def require(name: str) -> None:
    """Absent when a program or package that a contender needs is not there."""
    if name == "csharp" and shutil.which(os.environ.get("MODELPORT_DOTNET", "dotnet")) is None:
        raise Absent("dotnet is not installed")
    for need in NEEDED.get(name, ()):
        if (shutil.which(need) if need in PROGRAMS else find_spec(need)) is None:
            raise Absent(f"{need} is not installed")


def converter_command(name: str, model: Path, artifact: Path) -> list[str]:
    """The command of a converter's worker."""
    require(name)
    return [sys.executable, str(HERE / "worker.py"), "convert", name, str(model), str(artifact)]


def engine_command(name: str, rows: Path, cells: Path, artifact: Path, build: Path) -> list[str]:
    """The command of a consumer's worker; the drivers in other languages are built first. cells are the rows as text."""
    require(name)
    if name == "javascript":
        return ["node", str(HERE / "drivers/bench.mjs"), str(STUBS / "javascript/modelport.js"), str(cells), str(artifact)]
    if name == "onnxruntime-node":
        return ["node", str(HERE / "drivers/bench_onnx.mjs"), str(_onnxruntime_node(build)), str(cells), str(artifact)]
    if name == "java":
        sources = [*map(str, sorted((STUBS / "java").glob("Modelport*.java"))), str(HERE / "drivers/Bench.java")]
        _build(["javac", "-encoding", "UTF-8", "-d", str(build / "java"), *sources], build / "java/Bench.class")
        return ["java", "-XX:+UseSerialGC", "-cp", str(build / "java"), "Bench", str(cells), str(artifact)]
    if name == "c":
        sources = [str(HERE / "drivers/bench.c"), str(STUBS / "c/modelport.c")]
        parts = [f"-DMODELPORT_{part}" for part in ("FAST", "MORE", "NN")]
        options = ["-std=c11", "-O2", "-ffp-contract=off", *parts, "-I", str(STUBS / "c")]
        _build(["cc", *options, "-o", str(build / "bench"), *sources, "-lm"], build / "bench")
        return [str(build / "bench"), str(cells), str(artifact)]
    if name == "rust":
        folder, driver = build / "rust", _driver("bench.rs")
        folder.mkdir(exist_ok=True)
        for source in (driver, *(STUBS / "rust").glob("modelport*.rs")):
            shutil.copy(source, folder)
        _build(["rustc", "-O", "--edition", "2021", "-o", str(folder / "bench"), str(folder / "bench.rs")], folder / "bench")
        return [str(folder / "bench"), str(cells), str(artifact)]
    if name == "csharp":
        folder, library = build / "csharp", STUBS / "csharp"
        sources = [str(path) for path in (*sorted(library.glob("Modelport*.cs")), _driver("Bench.cs"))]
        _build([sys.executable, str(library / "build.py"), str(folder), *sources], folder / "modelport.dll")
        return [os.environ.get("MODELPORT_DOTNET", "dotnet"), str(folder / "modelport.dll"), str(cells), str(artifact)]
    if name == "go":
        command = ["go", "build", "-buildvcs=false", "-trimpath", "-o", str(build / "bench-go"), str(_driver("bench.go"))]
        _build(command, build / "bench-go", STUBS / "go")
        return [str(build / "bench-go"), str(cells), str(artifact)]
    return [sys.executable, str(HERE / "worker.py"), "consume", name, str(rows), str(artifact)]


def _onnxruntime_node(build: Path) -> Path:
    """The folder of the npm package: the one that MODELPORT_ONNXRUNTIME_NODE names, or a fresh one beside what else is built."""
    folder = Path(os.environ.get("MODELPORT_ONNXRUNTIME_NODE") or build / "npm/node_modules/onnxruntime-node")
    if not folder.is_dir():
        folder = build / "npm/node_modules/onnxruntime-node"
        (build / "npm").mkdir(exist_ok=True)
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(build / "npm")]
        command = ["npm", "install", *options, f"onnxruntime-node@{ONNXRUNTIME_NODE}"]
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=300)
        except subprocess.SubprocessError:
            raise Absent("npm cannot install onnxruntime-node here") from None
    return folder


def _driver(name: str) -> Path:
    path = HERE / "drivers" / name
    if not path.is_file():
        raise Absent(f"there is no drivers/{name}")
    return path


def _build(command: list[str], result: Path, folder: Path | None = None) -> None:
    if not result.exists():
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, cwd=folder, check=False)
        if done.returncode != 0:
            raise Failed(f"{command[0]}: {(done.stderr or done.stdout).strip().splitlines()[0][:200]}")
