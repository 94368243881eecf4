"""The adapters for ONNX and PMML: bound by name, replayed as the JSON stubs do, the same protocol."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modelport
from modelport.cli import main
from modelport.stubs import Completed, Stub, command_for, find_stub, run, toolchain_problem

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("onnx-python", "onnx-node", "pmml-python")
#: the version of onnxruntime-node that is installed for the tests
RUNTIME = "1.30.0"


@pytest.fixture(scope="session")
def node_modules(npm_package: Callable[[str, str, str], Path]) -> Path:
    """A folder with onnxruntime-node."""
    return npm_package("onnxruntime-node", "onnxruntime-node", RUNTIME).parent.parent


@pytest.fixture(params=[pytest.param(n, marks=pytest.mark.xdist_group(n)) for n in NAMES])
def stub(request: pytest.FixtureRequest, need, monkeypatch: pytest.MonkeyPatch) -> Stub:  # type: ignore[no-untyped-def]
    found = find_stub(request.param)
    assert found is not None
    problem = toolchain_problem(found)
    if problem is not None:
        need({"node": "javascript"}.get(found.needs[0], found.needs[0]), problem)
    if found.name == "onnx-node":
        monkeypatch.setenv("MODELPORT_NODE_MODULES", str(request.getfixturevalue("node_modules")))
    else:
        module = "onnxruntime" if found.format == "onnx" else "pypmml"
        request.getfixturevalue("need_module")(module, module)
    return found


@pytest.fixture(scope="session")
def converted(iris: Any, mixed: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Path]]:
    folder, found = tmp_path_factory.mktemp("artifacts"), {}

    def artifacts(format_: str) -> dict[str, Path]:
        for name, sample, model in (("iris", iris[0], iris[2]), ("mixed", mixed[0], mixed[1])):
            path = folder / f"{name}.{format_}"
            if path not in found.values():
                found[format_, name] = path
                modelport.convert(model, path, sample=sample)
        return {name: found[format_, name] for name in ("iris", "mixed")}

    return artifacts


@pytest.fixture
def files(stub: Stub, converted: Callable[[str], dict[str, Path]]) -> dict[str, Path]:
    """An artifact of a matrix of numbers, and one of columns of strings and numbers that may be missing."""
    return converted(stub.format)


def ask(stub: Stub, *arguments: object, rows: Any = None) -> Completed:
    stdin = b"" if rows is None else json.dumps({"inputs": rows}).encode()
    return run(command_for(stub), [str(a) for a in arguments], stdin, timeout=120)


def test_answers_are_the_originals(stub: Stub, files: dict[str, Path], iris: Any) -> None:
    for path in files.values():
        done = ask(stub, "verify", path)
        assert done.code == 0, done.sentence
    X = iris[0].iloc[::30]
    done = ask(stub, "predict", files["iris"], rows={"X": X.to_numpy().tolist()})
    assert done.code == 0, done.sentence
    outputs = json.loads(done.out)["outputs"]
    assert outputs["label"]["data"] == iris[2].predict(X).tolist()
    expected = iris[2].predict_proba(X)
    got = np.array(outputs["probability"]["data"]).reshape(outputs["probability"]["shape"])
    assert np.all(np.abs(got - expected) <= 1e-12)
    report = modelport.verify(files["mixed"], with_=stub.name)
    assert report.passed, str(report)


def test_no_rows_and_info(stub: Stub, files: dict[str, Path]) -> None:
    done = ask(stub, "predict", files["iris"], rows={"X": {"dtype": "f64", "shape": [0, 4], "data": []}})
    assert done.code == 0, done.sentence
    assert json.loads(done.out)["outputs"]["probability"]["shape"] == [0, 3]
    info = json.loads(ask(stub, "info", files["iris"]).out)
    declared = modelport.load(files["iris"])
    assert [i["name"] for i in info["inputs"]] == ["X"]
    assert info["inputs"][0]["features"] == list(declared.inputs[0].features or ())
    assert [o["name"] for o in info["outputs"]] == ["label", "probability"]
    assert ask(stub, "ops").code == 0
    assert ask(stub, "nonsense").code == 64


@pytest.mark.parametrize(
    "rows",
    [
        {},
        {"X": [[1.0, 2.0, 3.0]]},
        {"X": [[1.0, 2.0, 3.0, "a"]]},
        {"X": [[1.0, 2.0, 3.0, "NaN"]]},
        {"X": [[1.0, 2.0, 3.0, 4.0]], "more": [1]},
    ],
)
def test_rows_that_do_not_fit_are_refused(stub: Stub, files: dict[str, Path], rows: Any) -> None:
    done = ask(stub, "predict", "--no-verify", files["iris"], rows=rows)
    assert done.code == 2
    assert done.out == b""
    assert "Traceback" not in done.err
    assert done.err.strip()


def changed(path: Path, target: Path) -> Path:
    """The artifact with another answer among those it carries."""
    data = path.read_bytes()
    if path.suffix == ".pmml":
        at = data.index(b'"outputs": {"label"', data.index(b'"verification"'))
        first = re.compile(rb'"(setosa|virginica|versicolor)"').search(data, at)
        assert first is not None
        new = b'"virginica"' if first[1] != b"virginica" else b'"setosa"'
        target.write_bytes(data[: first.start()] + new + data[first.end() :])
        return target
    import onnx

    model = onnx.load_from_string(data)
    for entry in model.metadata_props:
        if entry.key == "modelport.document":
            content = json.loads(entry.value)
            labels = content["verification"]["outputs"]["label"]
            cells = labels if isinstance(labels, list) else labels["data"]
            cells[3] = "setosa" if cells[3] != "setosa" else "virginica"
            entry.value = json.dumps(content)
    target.write_bytes(model.SerializeToString())
    return target


def test_a_file_that_carries_other_answers_is_a_mismatch(stub: Stub, files: dict[str, Path], tmp_path: Path) -> None:
    liar = changed(files["iris"], tmp_path / f"liar.{stub.format}")
    for arguments in (["verify", liar], ["predict", liar]):
        done = ask(stub, *arguments, rows={"X": [[5.1, 3.5, 1.4, 0.2]]})
        assert done.code == 1, done.sentence
        assert "label" in done.err
    assert ask(stub, "predict", "--no-verify", liar, rows={"X": [[5.1, 3.5, 1.4, 0.2]]}).code == 0


def test_vectors_of_another_file_are_replayed(stub: Stub, files: dict[str, Path], tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.json"
    value = {"source": "sample", "inputs": {"X": [[5.1, 3.5, 1.4, 0.2]]}, "outputs": {"label": ["setosa"]}, "tolerance": {}}
    value["outputs"]["probability"] = [[1.0, 0.0, 0.0]]  # type: ignore[index]
    value["tolerance"] = {"label": "exact", "probability": {"atol": 0.1, "rtol": 0}}
    vectors.write_text(json.dumps(value))
    assert ask(stub, "verify", files["iris"], vectors).code == 0
    value["tolerance"] = {"label": "exact", "probability": "exact"}
    vectors.write_text(json.dumps(value))
    assert ask(stub, "verify", files["iris"], vectors).code == 1


def test_hostile_files_are_refused(stub: Stub, files: dict[str, Path], tmp_path: Path) -> None:
    data = files["iris"].read_bytes()
    path = tmp_path / "hostile"
    cases = [b"", b"\x00" * 100, data[: len(data) // 2], b"<PMML", b"\x0a" * 1000, b"\xff" * 64]
    if stub.format == "pmml":
        cases += [b'<!DOCTYPE PMML [<!ENTITY a "b">]>' + data, data.replace(b"<Header>", b"<Header>" + b"<a>" * 200, 1)]
        cases += [data.replace(b'extender="modelport" name="document"', b'extender="modelport" name="other"')]
    else:
        cases.append(re.sub(rb"modelport\.document", b"modelport.something", data))
        import onnx

        model = onnx.load_from_string(data)
        tensor = model.graph.initializer.add()
        tensor.name, tensor.data_type, tensor.data_location = "w", 1, onnx.TensorProto.EXTERNAL
        cases.append(model.SerializeToString())
    for case in cases:
        path.write_bytes(case)
        done = ask(stub, "verify", path)
        assert done.code == 2, f"{case[:40]!r}: {done.code} {done.sentence}"
        assert len(done.err.strip().splitlines()) == 1


def test_the_readme_runs(stub: Stub, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `modelport stub` writes, and the quick start of its README, elsewhere."""
    folder = tmp_path / "taken"
    assert main(["stub", stub.name, "-o", str(folder)]) == 0
    assert {p.name for p in folder.iterdir()} == {*(Path(n).name for n in stub.files), "README.md"}
    shutil.copy(files["iris"], folder / f"model.{stub.format}")
    text = (folder / "README.md").read_text(encoding="utf-8")
    language = "js" if stub.name == "onnx-node" else "python"
    (quick,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    if language == "js":
        (folder / "node_modules").symlink_to(Path(os.environ["MODELPORT_NODE_MODULES"]) / "node_modules")
        (folder / "quick.mjs").write_text(quick)
        command = ["node", "quick.mjs"]
    else:
        kept = [line for line in quick.splitlines() if '"age"' not in line]
        (folder / "quick.py").write_text("\n".join([*kept, "print(model.predict([[5.1, 3.5, 1.4, 0.2]])['label'])"]))
        command = [sys.executable, "quick.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "setosa" in done.stdout


@pytest.mark.xdist_group("onnx-python")
def test_named_lengths(need_module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """Rows of several lengths are carried, and all sets are replayed."""
    need_module("onnxruntime", "onnxruntime")
    from modelport.artifact import Artifact
    from modelport.document import Document, Tolerance, Vectors
    from modelport.graph import Graph, Input, Output, Step

    graph = Graph(
        [Input("x", "f32", ("time", 2))],
        [Step("reduce", ["x"], "y", {"fn": "sum", "axes": np.array([0]), "dtype": "f32"})],
        [Output("y", "y", "f32", "transform")],
        lengths={"time": 3},
    )
    sets = []
    for n in (3, 5):
        x = np.arange(2 * n, dtype=np.float32).reshape(1, n, 2)
        sets.append(Vectors({"x": x}, {"y": x.sum(axis=1)}, {"y": Tolerance(1e-6, 1e-6)}))
    from dataclasses import replace

    import modelport_onnx

    data = modelport_onnx.write(Document(graph, replace(sets[0], more=(sets[1],))), None)
    Artifact("onnx", data).save(tmp_path / "m.onnx")
    stub = find_stub("onnx-python")
    assert stub is not None
    done = ask(stub, "verify", tmp_path / "m.onnx")
    assert done.code == 0, done.sentence
    assert "2 rows" in done.out.decode()
    done = ask(stub, "predict", tmp_path / "m.onnx", rows={"x": {"dtype": "f32", "shape": [1, 4, 2], "data": [1] * 8}})
    assert json.loads(done.out)["outputs"]["y"]["data"] == [4, 4]
