"""The Java stub as a library: every kernel, and several threads, give the same bits; Java 8, and nothing that Android lacks."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import replays
from batches import case, grid, trees
from work import EMPTY, LEAST, SMALL, SMALL_OPERATIONS, WIDE, WIDE_OPERATIONS, operations_in, small_work

from modelport.stubs import data_folder

FOLDER = data_folder("stubs") / "java"
HARNESS = Path(__file__).parent / "harness"
LIBRARY = ["Modelport.java", "ModelportFast.java", "ModelportMore.java", "ModelportNn.java"]


def build(folder: Path, sources: list[Path], *options: str) -> None:
    command = ["javac", "--release", "8", "-encoding", "UTF-8", *options, "-d", str(folder), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory, need_program: Callable[[str, str], None]) -> Path:
    """The library and the programs of the tests, compiled."""
    need_program("java", "javac")
    folder = tmp_path_factory.mktemp("classes")
    build(folder, [*(FOLDER / name for name in LIBRARY), HARNESS / "Batches.java", HARNESS / "Work.java"], "-Xlint:-options")
    return folder


def write(folder: Path, cases: list[dict[str, Any]]) -> None:
    for k, given in enumerate(cases):
        (folder / f"{k}.json").write_text(json.dumps(given["document"]), encoding="utf-8")
        x = given["rows"]["x"]
        (folder / f"{k}.rows.json").write_text(json.dumps({"inputs": {"x": {"dtype": "f64", **x}}}), encoding="utf-8")


def test_batches_have_the_same_bits_by_every_way(tmp_path: Path, classes: Path) -> None:
    rng = np.random.default_rng(0)
    cases = [
        case(trees(rng, 3, 7, leaves, dtype=dtype, missing=missing, **more), grid(rng, rows, 3, 0.02))
        for leaves in (1, 8, 31, 32, 33, 200)
        for dtype, missing, rows, more in [
            ("f64", "left", 40, {}),
            ("f32", "right", 4500, {"cmp": "lt", "aggregate": "mean"}),
            ("f64", "right", 300, {"leaf_width": 2, "acc": "f32"}),
            ("f64", "left", 600, {"class": [t % 3 for t in range(7)], "size": 3, "init": [0.5, 0.25, -1.0]}),
        ]
    ]
    for o, i, n in [(1, 3, 5000), (7, 5, 1), (300, 33, 6)]:
        weight = {"dtype": "f64", "shape": [o, i], "data": rng.normal(size=o * i).tolist()}
        bias = {"bias": rng.normal(size=o).tolist()} if o > 1 else {}
        cases.append(case({"op": "linear", "weight": weight, **bias}, rng.normal(size=(n, i))))
    x = rng.normal(size=(9000, 3))
    x[[5000, 8000], 1] = np.nan  # the first of them is named, whichever thread comes first
    cases.append(case(trees(rng, 3, 30, 8), x))
    proved = case(trees(rng, 3, 2, 2), grid(rng, 4, 3))["document"]
    step = proved["steps"][0]
    pair = [[step["leaf"][2 * t + int(step["threshold"][t] < 0.5)] for t in range(2)]]
    tensors = {"inputs": {"x": [[0.5, 0.5, 0.5]]}, "outputs": {"y": [[pair[0][0] + pair[0][1]]]}}
    proved["verification"] = {"source": "synthetic", **tensors, "tolerance": {"y": "exact"}}
    write(tmp_path, cases)
    (tmp_path / "proved.json").write_text(json.dumps(proved), encoding="utf-8")

    command = ["java", "-XX:+UseSerialGC", "-cp", str(classes), "Batches", str(tmp_path), str(len(cases))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    *found, streamed = done.stdout.splitlines()
    assert len(found) == len(cases)
    for given, line in zip(cases[:-1], found, strict=False):
        step = {key: value for key, value in given["document"]["steps"][0].items() if not isinstance(value, list | dict)}
        assert line.startswith("["), (step, line)
    assert "refuses row 5000" in found[-1]
    assert json.loads(streamed) == [pair[0][0] + pair[0][1]]
    for k in (-4, -3, -2):  # linear is what NumPy says
        step, x = (
            cases[k]["document"]["steps"][0],
            np.array(cases[k]["rows"]["x"]["data"]).reshape(cases[k]["rows"]["x"]["shape"]),
        )
        expected = x @ np.reshape(step["weight"]["data"], step["weight"]["shape"]).T + np.array(step.get("bias", [0.0]))
        first = [float(cell) for cell in re.findall(r"-?\d+\.\d+(?:E-?\d+)?", found[k])[:3]]
        np.testing.assert_allclose(first, expected.ravel()[: len(first)], rtol=1e-9, atol=1e-12)


def loaded(classes: Path, asked: list[tuple[int, bool, str]]) -> list[str]:
    """What loading documents under a limit `work`, with or without a replay, says."""
    lines = "".join(f"{work} {int(replay)} {text}\n" for work, replay, text in asked)
    command = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", str(classes), "Work"]
    done = subprocess.run(command, input=lines.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    said = done.stdout.decode().splitlines()
    assert len(said) == len(asked)
    return said


def test_a_replay_of_too_many_operations_is_refused(classes: Path) -> None:
    most = small_work()
    asked = [(most, True, SMALL), (most - 1, True, SMALL), (most - 1, False, SMALL), (2**30, True, WIDE), (2**30, False, EMPTY)]
    accepted, *refused, wide, empty = loaded(classes, asked)
    assert accepted == "accepted"
    assert [operations_in(one) for one in refused] == [SMALL_OPERATIONS] * 2
    assert operations_in(wide) == WIDE_OPERATIONS
    assert "more elements than the limit" in empty


def test_operations_are_those_of_the_reference_for_every_op(classes: Path) -> None:
    cases = replays.counted()
    said = loaded(classes, [(LEAST, True, text) for _, text, _ in cases])
    wrong = [(op, expected, one) for (op, _, expected), one in zip(cases, said, strict=True) if operations_in(one) != expected]
    assert wrong == []


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library_uses_nothing_that_android_lacks(name: str) -> None:
    imports = re.findall(r"^import (?:static )?([\w.]+);", (FOLDER / name).read_text(encoding="utf-8"), re.MULTILINE)
    allowed = ("java.io.", "java.util.", "java.nio.charset.", "java.text.Normalizer", "java.math.")
    assert imports
    assert [one for one in imports if not one.startswith(allowed) or "reflect" in one] == []


def test_the_library_compiles_without_a_warning(tmp_path: Path, need_program: Callable[[str, str], None]) -> None:
    need_program("java", "javac")
    build(tmp_path, [FOLDER / name for name in LIBRARY], "-Xlint:all", "-Xlint:-options", "-Werror")
    for alone in (["Modelport.java"], ["Modelport.java", "ModelportFast.java"]):
        (tmp_path / alone[-1]).mkdir()
        build(tmp_path / alone[-1], [FOLDER / name for name in alone], "-Xlint:-options")
