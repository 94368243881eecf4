"""What gates are made of: a bar and what was measured, races, fitted models and their artifacts."""

from __future__ import annotations

import gc
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from engines import CONVERTERS, OnnxRuntime
from models import classes, fitted, matrix
from process import Absent, Failed, Worker
from run import write_cells

__all__ = ["Bench", "Gate", "Race", "against", "around", "micro", "race", "rows_files"]

SECONDS = 0.02


@dataclass(frozen=True)
class Gate:
    """One bar: a ratio of at least `bar` (or, with `most`, at most), and what was measured; None is absent, and `says` why."""

    what: str
    rival: str
    bar: float
    ratio: float | None
    most: bool = False
    says: str = ""

    @property
    def verdict(self) -> str:
        """met, missed or absent."""
        if self.ratio is None:
            return "absent"
        return "met" if (self.ratio <= self.bar if self.most else self.ratio >= self.bar) else "missed"

    def row(self) -> list[str]:
        """Its line of the table."""
        bar = f"{'at most' if self.most else 'at least'} {self.bar:g}"
        return [self.what, self.rival, bar, "-" if self.ratio is None else f"{self.ratio:.3g}", self.verdict, self.says]


# --- measuring ----------------------------------------------------------------------------------------------------------------


def race(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each call; the contenders take turns, each for at least SECONDS, after a turn that warms up."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        for turn in range(repeats + 1):
            for name, call in calls.items():
                done, started = 0, time.process_time()
                while True:
                    call()
                    done += 1
                    used = time.process_time() - started
                    if used >= SECONDS:
                        break
                if turn:
                    spent[name].append(used / done)
    finally:
        gc.enable()
    return {name: median(times) for name, times in spent.items()}


def around(predict: Callable[[Any], Any], rows: Sequence[Any]) -> Callable[[], Any]:
    """A call that goes round single rows."""
    state = {"at": 0}

    def call() -> Any:
        state["at"] = (state["at"] + 1) % len(rows)
        return predict(rows[state["at"]])

    return call


def micro(seconds: float) -> str:
    """A time as a person reads it."""
    return f"{seconds * 1e6:.3g} us" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def against(what: str, rival: str, bar: float, times: Mapping[str, float], ours: str, theirs: str, most: bool = False) -> Gate:
    """A gate of two times: how often ours fits into theirs, or with `most` how many times theirs ours is."""
    ratio = times[ours] / times[theirs] if most else times[theirs] / times[ours]
    return Gate(what, rival, bar, ratio, most, f"{micro(times[ours])} against {micro(times[theirs])}")


# --- models and their artifacts -------------------------------------------------------------------------------------------------


class Bench:
    """Fitted models and their files in a folder, made when they are asked for."""

    def __init__(self, folder: Path, quick: bool, repeats: int) -> None:
        self.folder, self.quick, self.repeats = folder, quick, repeats
        self.build = folder / "build"
        self.build.mkdir(parents=True, exist_ok=True)

    def case(self, name: str) -> dict[str, Any]:
        """model, sample and rows of a name."""
        path = self.folder / f"{name}{'-quick' if self.quick else ''}.pkl"
        if not path.is_file():
            path.write_bytes(pickle.dumps(self._fitted(name)))
        case: dict[str, Any] = pickle.loads(path.read_bytes())
        return case

    def _fitted(self, name: str) -> dict[str, Any]:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.svm import SVC

        rng, count = np.random.default_rng(0), 500 if self.quick else 5000
        if name in ("knn", "svc"):
            X = matrix(rng, count)
            y = classes(rng, X, 3)
            model = KNeighborsClassifier(5).fit(X, y) if name == "knn" else SVC().fit(X[:2000], y[:2000])
            return {"model": model, "sample": X[:2000], "rows": matrix(rng, 1000)}
        if name == "rf500":
            X = matrix(rng, 500 if self.quick else 20_000)
            model = RandomForestClassifier(10 if self.quick else 500, random_state=0).fit(X, classes(rng, X, 2))
            return {"model": model, "sample": X, "rows": matrix(rng, 1000)}
        if name == "lgb300":
            from lightgbm import LGBMClassifier

            X = matrix(rng, 500 if self.quick else 20_000)
            booster = LGBMClassifier(n_estimators=10 if self.quick else 300, num_leaves=31, n_jobs=1, verbose=-1, random_state=0)
            rows = matrix(rng, 500 if self.quick else 10_000)
            return {"model": booster.fit(X, classes(rng, X, 2)), "sample": X[:2000], "rows": rows}
        case = fitted(name, self.quick)
        return {"model": case.model, "sample": case.sample, "rows": case.rows}

    def artifact(self, name: str, converter: str) -> Path:
        """A file of a converter: "modelport json", "modelport onnx", "skl2onnx", or "readable" (JSON in decimals)."""
        path = self.folder / f"{name}{'-quick' if self.quick else ''}-{converter.replace(' ', '-')}"
        path = path.with_suffix(".onnx" if "onnx" in converter else ".json")
        if not path.is_file():
            if converter == "skl2onnx" and find_spec("skl2onnx") is None:
                raise Absent("skl2onnx is not installed")
            case = self.case(name)
            if converter == "readable":
                import modelport

                data: bytes | None = modelport.convert(case["model"], "json", sample=case["sample"], style="readable").data
            else:
                data = CONVERTERS[converter](case["model"], case["sample"], str(path))
            assert data is not None
            path.write_bytes(data)
        return path

    def ours(self, name: str, engine: str = "c", threads: int = 1) -> Any:
        """The JSON artifact in modelport.load."""
        import modelport

        return modelport.load(self.artifact(name, "modelport json"), engine=engine, threads=threads)

    def runtime(self, path: Path, data: Any) -> tuple[OnnxRuntime, Any]:
        """onnxruntime on a file, and rows in the form it takes."""
        if find_spec("onnxruntime") is None:
            raise Absent("onnxruntime is not installed")
        engine = OnnxRuntime()
        engine.load(str(path))
        return engine, engine.rows(data)

    def rival(self, name: str) -> Path:
        """The file that onnxruntime runs: skl2onnx's, or, where that has none, modelport's."""
        try:
            return self.artifact(name, "skl2onnx")
        except Absent:
            raise
        except Exception:  # skl2onnx raises whatever it likes
            return self.artifact(name, "modelport onnx")


class Race:
    """Workers in programs of their own, asked in turn; one that is absent or fails has its sentence in `problems`."""

    def __init__(self, bench: Bench) -> None:
        self._repeats, self._workers = bench.repeats, dict[str, Worker]()
        self.problems: dict[str, str] = {}

    def __enter__(self) -> Race:
        return self

    def __exit__(self, *problem: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def add(self, name: str, command: Callable[[], list[str]]) -> None:
        """A worker that has loaded its artifact."""
        try:
            worker = Worker(command())
            self._workers[name] = worker
            worker.ask("ready")
            worker.ask("load")
        except (Absent, Failed) as why:
            self.problems[name] = str(why)
            self._workers.pop(name, None)

    def race(self, command: str) -> dict[str, float]:
        """Median seconds of every worker."""
        spent: dict[str, list[float]] = {name: [] for name in self._workers}
        for turn in range(self._repeats + 1):
            for name, worker in self._workers.items():
                reply = worker.ask(command)
                if turn:
                    spent[name].append(reply)
        return {name: median(times) for name, times in spent.items()}

    def answers(self, folder: Path) -> dict[str, Path]:
        """The file of every worker's answers."""
        found = {name: folder / f"answers-{name}" for name in self._workers}
        for name, worker in self._workers.items():
            worker.ask(f"answers {found[name]}")
        return found


def rows_files(bench: Bench, name: str, data: Any) -> tuple[Path, Path]:
    """Rows pickled for workers in Python, and as text for the others."""
    rows, cells = bench.folder / f"{name}-rows.pkl", bench.folder / f"{name}-rows.txt"
    rows.write_bytes(pickle.dumps(data))
    write_cells(data, cells)
    return rows, cells
