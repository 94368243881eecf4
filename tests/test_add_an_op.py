"""docs/add-an-op.md: what the page puts into each stub makes the op, and touches nothing else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import languages
import numpy as np
import pytest
from suite import document_of_case

from modelport import stubs
from modelport.stubs import command_for, run, toolchain_problem

PAGE = (languages.FOLDER.parent / "docs/add-an-op.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```\w+ title="stubs/(\w+)/([\w.]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def with_wrap(name: str, folder: Path) -> Path:
    """A copy of a stub with what the page adds to it."""
    copied = shutil.copytree(languages.FOLDER / name, folder / name)
    found = [(file, text) for language, file, text in BLOCK.findall(PAGE) if language == name]
    assert found
    assert len({file for file, _ in found}) == 1, "an op is added in one file"
    for file, text in found:
        path = copied / file
        before = path.read_text(encoding="utf-8")
        last = text.splitlines(keepends=True)[-1]
        assert before.count(f"\n{last}") == 1, f"{file} has this line once: {last}"
        path.write_text(before.replace(f"\n{last}", f"\n{text}"), encoding="utf-8")
    return copied


def case(dtype: str, period: list[float], given: np.ndarray[Any, Any]) -> dict[str, Any]:
    """A case of the op, as in fixtures/ops, whose answers are NumPy's."""
    kind = {"f64": np.float64, "f32": np.float32}[dtype]
    x, p = given.astype(kind), np.array(period, dtype=kind)
    expected = x - p * np.floor(x / p)
    assert expected.dtype == kind

    def tensor(values: np.ndarray[Any, Any]) -> dict[str, Any]:
        data = ["NaN" if np.isnan(v) else float(v) for v in values.ravel()]
        return {"dtype": dtype, "shape": list(values.shape), "data": data}

    return {
        "name": f"wrap in {dtype}",
        "inputs": [{"name": "x", "dtype": dtype, "shape": [2], "missing": "nan"}],
        "step": {"op": "wrap", "in": ["x"], "out": "y", "dtype": dtype, "period": period},
        "feed": {"x": tensor(x)},
        "expected": tensor(expected),
        "tolerance": "exact",
    }


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.xdist_group(n)) for n in languages.NAMES])
def test_an_op_is_added_in_one_place(
    name: str, tmp_path: Path, need: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = stubs._read(with_wrap(name, tmp_path))
    problem = toolchain_problem(stub)
    if problem is not None:
        need(name, problem)
    monkeypatch.setenv("MODELPORT_CACHE", str(tmp_path / "cache"))
    quicker = tuple(tuple(word for word in line if word != "-O") for line in stub.build)  # rustc builds sooner
    command = command_for(replace(stub, build=quicker))
    assert "wrap" in run(command, ["ops"]).out.decode().split()
    steps = np.array([-1.0, -np.finfo(float).tiny, -0.0, 0.0, 0.1, 6.9999999, 7.0, np.nextafter(7.0, 8), 23.5, 24.0, 1e9, np.nan])
    rows = np.stack([steps, steps[::-1] * 1.1], axis=1)
    path = tmp_path / "case.json"
    for dtype in ("f64", "f32"):
        right = case(dtype, [24.0, 7.1], rows)
        path.write_text(json.dumps(document_of_case(right)), encoding="utf-8")
        done = run(command, ["verify", str(path)])
        assert done.code == 0, done.err
        wrong = json.loads(json.dumps(document_of_case(right)))
        wrong["verification"]["outputs"]["y"]["data"][0] += 0.5
        path.write_text(json.dumps(wrong), encoding="utf-8")
        assert run(command, ["verify", str(path)]).code == 1
    for period in (None, [1.0, 2.0, 3.0]):
        faulty = case("f64", [24.0, 7.1], rows)
        faulty["step"] = {key: value for key, value in {**faulty["step"], "period": period}.items() if value is not None}
        path.write_text(json.dumps(document_of_case(faulty)), encoding="utf-8")
        done = run(command, ["verify", str(path)])
        assert (done.code, "period" in done.err) == (2, True), done.err


def test_every_language_has_its_blocks() -> None:
    assert {language for language, _, _ in BLOCK.findall(PAGE)} == set(languages.NAMES)
