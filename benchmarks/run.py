"""Measures modelport beside skl2onnx and sklearn2pmml in one run: converting, size, memory, loading, one row, 10,000 rows.

Usage: python benchmarks/run.py [--quick] [--models logreg,rf100] [--only "json, c stub;skl2onnx"] [--repeats 3] [--output DIR]

Prints two tables per model. A whole run writes results.md and results.json beside this file; a partial one writes only where
--output says. What is not installed is printed as absent.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from process import ENVIRONMENT, HERE, Absent, Failed, Worker, converter_command, engine_command

os.environ.update(ENVIRONMENT)  # before anything here computes

from models import MODELS, Case, fitted
from report import markdown, model_tables

#: once a contender has spent so many seconds on one figure it is not asked again; SLOW more when that was the first time
BUDGET, SLOW = 4.0, 6.0
#: what a converter needs less than is not told from nothing, in bytes
MEMORY_FLOOR = 1_000_000
QUICK = ("columns",)
RIVALS = {"modelport json": "skl2onnx", "modelport onnx": "skl2onnx", "modelport pmml": "sklearn2pmml"}
CONVERTERS = [*RIVALS, "skl2onnx", "sklearn2pmml"]


@dataclass(frozen=True)
class Consumer:
    """A consumer of one converter's artifact, and the consumer it is held against."""

    name: str
    artifact: str | None
    engine: str
    rival: str | None = None


ONNX, JPMML, PYPMML = "skl2onnx, onnxruntime", "sklearn2pmml, jpmml", "sklearn2pmml, pypmml"
CONSUMERS = [
    Consumer("scikit-learn", None, "scikit-learn"),
    Consumer("json, modelport.load", "modelport json", "modelport.load", ONNX),
    Consumer("json, python stub", "modelport json", "python stub", ONNX),
    Consumer("json, javascript stub", "modelport json", "javascript", ONNX),
    Consumer("json, java stub", "modelport json", "java", ONNX),
    Consumer("json, c stub", "modelport json", "c", ONNX),
    Consumer("json, go stub", "modelport json", "go", ONNX),
    Consumer("onnx, onnxruntime-node", "modelport onnx", "onnxruntime-node", ONNX),
    Consumer("onnx, onnxruntime", "modelport onnx", "onnxruntime", ONNX),
    Consumer(ONNX, "skl2onnx", "onnxruntime"),
    Consumer("pmml, modelport.load", "modelport pmml", "modelport.load", JPMML),
    Consumer("pmml, jpmml", "modelport pmml", "jpmml", JPMML),
    Consumer(JPMML, "sklearn2pmml", "jpmml"),
    Consumer("pmml, pypmml", "modelport pmml", "pypmml", PYPMML),
    Consumer(PYPMML, "sklearn2pmml", "pypmml"),
]


@dataclass(frozen=True)
class Settings:
    """What was asked for on the command line."""

    quick: bool
    models: tuple[str, ...]
    only: tuple[str, ...]
    repeats: int

    def wants(self, consumer: Consumer) -> bool:
        """Whether a consumer was asked for, by its own or its artifact's name."""
        return not self.only or consumer.name in self.only or consumer.artifact in self.only

    def wants_artifact(self, name: str) -> bool:
        """Whether an artifact was asked for, or is needed by a consumer that was."""
        return not self.only or name in self.only or any(c.artifact == name for c in CONSUMERS if self.wants(c))


# --- measuring ----------------------------------------------------------------------------------------------------------------


class Bench:
    """One model: its files in a folder, and what was measured."""

    def __init__(self, case: Case, folder: Path, build: Path, settings: Settings) -> None:
        self.case, self.folder, self.build, self.settings = case, folder, build, settings
        self.model, self.rows, self.cells = folder / "model.pkl", folder / "rows.pkl", folder / "rows.txt"
        self.model.write_bytes(pickle.dumps({"model": case.model, "sample": case.sample}))
        self.rows.write_bytes(pickle.dumps(case.rows))
        write_cells(case.rows, self.cells)

    def path(self, artifact: str | None) -> Path:
        """An artifact's file; the pickled model for None."""
        if artifact is None:
            return self.model
        suffix = {"skl2onnx": "onnx", "sklearn2pmml": "pmml"}.get(artifact) or artifact.split()[-1]
        return self.folder / f"{artifact.split()[0]}.{suffix}"

    def artifacts(self) -> dict[str, dict[str, Any]]:
        """Seconds and peak memory of every converter, and the size of what it writes."""
        names = [name for name in CONVERTERS if self.settings.wants_artifact(name)]
        results: dict[str, dict[str, Any]] = {name: {"rival": RIVALS.get(name)} for name in names}
        with Workers(results, {n: partial(converter_command, n, self.model, self.path(n)) for n in names}) as workers:
            for name, replies in workers.race("convert", self.settings.repeats).items():
                results[name]["convert"] = settled([reply["seconds"] for reply in replies])
                peaks = [reply["bytes"] for reply in replies if reply["bytes"] is not None]
                results[name]["memory"] = [max(MEMORY_FLOOR, *peaks)] if peaks else []  # only the first one starts from nothing
                results[name]["size"] = [self.path(name).stat().st_size]
        return results

    def consumers(self, artifacts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Seconds of every consumer to load, for one row and for the batch; and how its answers compare with the model's."""
        wanted = [c for c in CONSUMERS if self.settings.wants(c)]
        results: dict[str, dict[str, Any]] = {c.name: {"rival": c.rival} for c in wanted}
        for c in wanted:
            if c.artifact is not None and "problem" in artifacts[c.artifact]:
                results[c.name]["problem"] = f"no artifact: {c.artifact}"
        with Workers(results, {c.name: partial(self._command, c) for c in wanted}) as workers:
            for key, command in (("load", "load"), ("one", "one 0.05"), ("batch", "batch 0.1")):
                for name, replies in workers.race(command, self.settings.repeats).items():
                    results[name][key] = settled(replies)
            for name, file in workers.answers(self.folder).items():
                results[name].update(self._compared(file))
        return results

    def _command(self, consumer: Consumer) -> list[str]:
        return engine_command(consumer.engine, self.rows, self.cells, self.path(consumer.artifact), self.build)

    def _compared(self, file: Path) -> dict[str, Any]:
        """Labels that differ from the model's and the largest error of a probability; NaN counts as infinite."""
        expected = self.case.model.predict_proba(self.case.rows)
        labels, probabilities = read_answers(file, len(expected))
        errors = np.abs(probabilities.reshape(expected.shape) - expected)
        flips = int((labels != self.case.model.predict(self.case.rows)).sum())
        return {"largest_error": float(np.where(np.isnan(errors), np.inf, errors).max()), "flips": flips}


class Workers:
    """The workers of some contenders; one that is absent or fails gets a problem in its result and takes no further part."""

    def __init__(self, results: dict[str, dict[str, Any]], commands: Mapping[str, Callable[[], list[str]]]) -> None:
        self._results = results
        self._workers: dict[str, Worker] = {}
        for name, command in commands.items():
            if "problem" not in results[name]:
                with self._problems(name):
                    self._workers[name] = Worker(command())
        for name, worker in self._workers.items():
            with self._problems(name):
                worker.ask("ready")  # nobody is measured while others start

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *problem: object) -> None:
        for worker in self._workers.values():
            worker.close()

    @contextmanager
    def _problems(self, name: str) -> Iterator[None]:
        try:
            yield
        except Absent as why:
            self._results[name]["problem"] = f"absent: {why}"
        except Failed as why:
            self._results[name]["problem"] = f"failed: {why}"

    def race(self, command: str, repeats: int) -> dict[str, list[Any]]:
        """Replies to a command per contender, all of them asked in turn, once more than `repeats` for the warm-up."""
        replies: dict[str, list[Any]] = {name: [] for name in self._workers}
        left = dict.fromkeys(self._workers, BUDGET + SLOW)
        for number in range(repeats + (repeats > 1)):
            for name, worker in self._workers.items():
                if "problem" not in self._results[name] and left[name] > 0:
                    begun = time.perf_counter()
                    with self._problems(name):
                        replies[name].append(worker.ask(command))
                    left[name] -= time.perf_counter() - begun
                    if number == 0:
                        left[name] = min(left[name], BUDGET)
        return {name: found for name, found in replies.items() if "problem" not in self._results[name]}

    def answers(self, folder: Path) -> dict[str, Path]:
        """The file of every contender's answers to the batch."""
        files = {}
        for number, (name, worker) in enumerate(self._workers.items()):
            if "problem" not in self._results[name]:
                file = folder / f"answers{number}.npz"
                with self._problems(name):
                    worker.ask(f"answers {file}")
                    files[name] = file
        return files


def settled(replies: list[Any]) -> list[Any]:
    """Without the first one, the warm-up, unless it is the only one."""
    return replies[1:] or replies


def write_cells(rows: Any, path: Path) -> None:
    """Rows as text for the drivers: per input a line "name kind width rows", then one element per line."""
    with path.open("w", encoding="utf-8", newline="\n") as out:
        inputs = {name: rows[name].to_numpy() for name in rows.columns} if hasattr(rows, "columns") else {"X": rows}
        for name, array in inputs.items():
            kind, width = "str" if array.dtype == object else "f64", array.size // len(array)
            cells = array.ravel().tolist()
            print(name, kind, width, len(array), file=out)
            print("\n".join(cells if kind == "str" else ["NaN" if v != v else repr(v) for v in cells]), file=out)


def read_answers(file: Path, rows: int) -> tuple[Any, Any]:
    """(labels, probabilities) of a worker (npz), or of a driver: a label per line, then the probabilities."""
    if file.read_bytes()[:2] == b"PK":
        arrays = np.load(file)
        return arrays["labels"], arrays["probabilities"]
    cells = file.read_text().split()
    return np.array(cells[:rows], dtype=np.int64), np.array([float(cell) for cell in cells[rows:]])


# --- the machine --------------------------------------------------------------------------------------------------------------


def machine(settings: Settings) -> dict[str, str]:
    """What was measured, when, where, and with which versions."""
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor()
    )
    packages = (
        "modelport",
        "numpy",
        "scikit-learn",
        "onnx",
        "onnxruntime",
        "skl2onnx",
        "sklearn2pmml",
        "jpmml_evaluator",
        "pypmml",
    )
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "run": f"{'quick: small models, ' if settings.quick else ''}{settings.repeats} repetitions, one thread each",
        "machine": f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; load average at the start {load}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in packages),
        "programs": ", ".join(f"{name} {_program(*command)}" for name, *command in PROGRAMS),
    }


PROGRAMS = [
    ("python", sys.executable, "-V"),
    ("node", "node", "--version"),
    ("java", "java", "-version"),
    ("cc", "cc", "--version"),
    ("go", "go", "version"),
]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _program(name: str, option: str) -> str:
    """The version a program tells on its first line."""
    if shutil.which(name) is None:
        return "absent"
    environment = {key: value for key, value in os.environ.items() if key != "JAVA_TOOL_OPTIONS"}
    done = subprocess.run([name, option], capture_output=True, text=True, env=environment, check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "of unknown version"


# --- the command line ---------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"small models, one repetition; {' and '.join(QUICK)} unless told")
    parser.add_argument("--models", help=f"of {', '.join(MODELS)}; all of them unless told")
    parser.add_argument("--only", default="", help="names of artifacts or consumers as the tables show them, separated by ;")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a folder for results.md and results.json")
    said = parser.parse_args(arguments)
    only = tuple(name.strip() for name in said.only.split(";") if name.strip())
    models = tuple(said.models.split(",")) if said.models else QUICK if said.quick else tuple(MODELS)
    settings = Settings(said.quick, models, only, 1 if said.quick else max(1, said.repeats))
    unknown = [*set(settings.models) - set(MODELS), *set(only) - {c.name for c in CONSUMERS} - set(CONVERTERS)]
    if unknown:
        parser.error(
            f"there is no {unknown[0]!r}: models are {', '.join(MODELS)}; contenders "
            f"{'; '.join([*CONVERTERS, *(c.name for c in CONSUMERS)])}"
        )
    about = machine(settings)
    print("\n".join(f"{key}: {value}" for key, value in about.items()), flush=True)
    results = list(measured(settings))
    whole = not settings.quick and not only and settings.models == tuple(MODELS)
    folder = said.output or (HERE if whole else None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.md").write_text(markdown(about, results), encoding="utf-8")
        (folder / "results.json").write_text(json.dumps({"machine": about, "results": results}, indent=1), encoding="utf-8")
        print(f"results.md and results.json written to {folder}")
    return 0


def measured(settings: Settings) -> Iterator[dict[str, Any]]:
    """Each model's result, printed as soon as it is known."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="modelport-bench-") as name:
        build = Path(name) / "build"
        build.mkdir()
        for model in settings.models:
            folder = Path(name) / model
            folder.mkdir()
            begun = time.perf_counter()
            case = fitted(model, settings.quick)
            fit_seconds = time.perf_counter() - begun
            bench = Bench(case, folder, build, settings)
            artifacts = bench.artifacts()
            result = {"model": model, "about": case.about, "rows": len(case.rows), "fit_seconds": fit_seconds}
            result |= {"artifacts": artifacts, "consumers": bench.consumers(artifacts)}
            print("\n" + model_tables(result), flush=True)
            shutil.rmtree(folder)
            yield result


if __name__ == "__main__":
    sys.exit(main())
