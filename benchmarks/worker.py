"""A process that converts, or consumes, and tells how long it took: one command per line in, one JSON value per line out.

    worker.py convert CONVERTER MODEL.pkl ARTIFACT
    worker.py consume ENGINE ROWS.pkl ARTIFACT

Commands: ready; convert (seconds, and bytes at the peak); load, one SECONDS, batch SECONDS, answers FILE. The last two measures
repeat for at least SECONDS and give the mean; times are in seconds. The programs in drivers/ take the same commands.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from engines import CONVERTERS, ENGINES

SINGLES = 64


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and what it gave."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def repeated(calls: list[Callable[[], Any]], least: float) -> float:
    """Seconds per call, going round the calls for at least so many seconds."""
    done, started = 0, time.perf_counter()
    while True:
        calls[done % len(calls)]()
        done += 1
        spent = time.perf_counter() - started
        if spent >= least:
            return spent / done


# --- memory -------------------------------------------------------------------------------------------------------------------


def status(key: str) -> int | None:
    """A figure of /proc/self/status in bytes, or None where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")), None)


def measured(call: Callable[[], Any]) -> tuple[dict[str, Any], Any]:
    """Seconds of a call, and bytes: what this process grows by at its peak, plus a child's peak (None where /proc is absent);
    and what the call gave."""
    before = status("VmRSS")
    if before is not None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    seconds, result = timed(call)
    peak = status("VmHWM")
    if before is None or peak is None:
        return {"seconds": seconds, "bytes": None}, result
    return {"seconds": seconds, "bytes": peak - before + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024}, result


# --- the two kinds of worker --------------------------------------------------------------------------------------------------


def converting(name: str, pickled: str, artifact: str) -> dict[str, Callable[..., Any]]:
    """Commands of a converter, which has converted a tiny model before: importing libraries is not measured."""
    from sklearn.linear_model import LogisticRegression

    given = pickle.loads(Path(pickled).read_bytes())
    X = np.array([[0.0], [1.0]])
    CONVERTERS[name](LogisticRegression().fit(X, [0, 1]), X, artifact)

    def convert() -> dict[str, Any]:
        found, data = measured(lambda: CONVERTERS[name](given["model"], given["sample"], artifact))
        if data is not None:
            Path(artifact).write_bytes(data)
        return found

    return {"convert": convert}


def consuming(name: str, pickled: str, artifact: str) -> dict[str, Callable[..., Any]]:
    """Commands of a consumer."""
    data = pickle.loads(Path(pickled).read_bytes())
    engine = ENGINES[name]()
    singles = [data.iloc[i : i + 1] if hasattr(data, "iloc") else data[i : i + 1] for i in range(min(SINGLES, len(data)))]
    prepared: dict[str, Any] = {}

    def load() -> float:
        spent, _ = timed(lambda: engine.load(artifact))
        if not prepared:
            prepared["batch"] = engine.rows(data)
            prepared["one"] = [engine.row(row) for row in singles]
        return spent

    def answers(path: str) -> None:
        labels, probabilities = engine.answers(engine.predict(prepared["batch"]))
        np.savez(path, labels=np.asarray(labels).astype(np.int64), probabilities=np.asarray(probabilities, dtype=np.float64))

    def calls(rows: list[Any]) -> list[Callable[[], Any]]:
        return [partial(engine.predict, row) for row in rows]

    return {
        "load": load,
        "one": lambda least: repeated(calls(prepared["one"]), float(least)),
        "batch": lambda least: repeated(calls([prepared["batch"]]), float(least)),
        "answers": answers,
    }


def main() -> None:
    """Answer commands until there are no more."""
    warnings.simplefilter("ignore")
    kind, name, pickled, artifact = sys.argv[1:]
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no reply
    commands = {"convert": converting, "consume": consuming}[kind](name, pickled, artifact) | {"ready": lambda: None}
    for line in sys.stdin:
        verb, *arguments = line.split()
        try:
            reply: Any = commands[verb](*arguments)
        except Exception as error:  # every library raises its own; the sentence is what the table shows
            reply = {"error": " ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
