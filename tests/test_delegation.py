"""Delegates: what others write is proven like what we write, `auto` falls back on them, and they can be put side by side."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.cluster import DBSCAN

import modelport
from modelport import registry
from modelport.cli import main
from modelport.delegation import VARIABLE, fallbacks
from modelport.errors import Mismatch, Unsupported, UnsupportedModel, UsageError

HERE = Path(__file__).resolve().parent
RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 3))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, need_module) -> Path:  # type: ignore[no-untyped-def]
    """The folder into which pip installed the toy delegate, without a network."""
    need_module("onnxruntime", "onnxruntime")
    need_module("pip", "pip")
    source, target = tmp_path_factory.mktemp("source") / "toy", tmp_path_factory.mktemp("installed")
    shutil.copytree(HERE / "thirdparty" / "toy_delegate", source, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    done = subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def toymodels(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The package toymodels, with its delegate among the plugins."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.syspath_prepend(str(installed))
    registry._entries.cache_clear()
    import toymodels

    yield toymodels
    registry._entries.cache_clear()


def fitted(toymodels: Any, **parameters: Any) -> Any:
    return toymodels.DistanceRegressor(**parameters).fit(X, X @ [1.5, -2.0, 0.25])


# --- auto ---------------------------------------------------------------------------------------------------------------------


def test_auto_falls_back_for_a_class_that_only_the_delegate_knows(toymodels: Any, tmp_path: Path) -> None:
    model, path = fitted(toymodels), tmp_path / "distance.onnx"
    artifact = modelport.convert(model, path, sample=X)
    assert artifact.backend == "toydelegate"
    assert artifact.report.passed
    assert artifact.report.row_kinds["plain"] == 512
    assert artifact.report.row_kinds["sample"] == len(X)
    assert "written by toydelegate, not from a graph, since the reader refused: No predictor handler knows" in str(
        artifact.report
    )
    assert "no boundary row was tried" in str(artifact.report)
    rows = RNG.normal(size=(9, 3))
    np.testing.assert_allclose(modelport.load(path).predict(rows)["prediction"], model.predict(rows), rtol=1e-12)
    said = modelport.inspect(path)
    assert said["provenance"]["backend"] == "toydelegate"
    assert said["provenance"]["model"] == "DistanceRegressor"
    assert "sample" not in said["vectors"]["kinds"], "rows of the sample are compared, and not stored unasked"


def test_such_an_artifact_is_verified_against_the_model(toymodels: Any) -> None:
    model = fitted(toymodels)
    artifact = modelport.convert(model, "onnx", sample=X)
    assert modelport.verify(artifact, model=model, sample=X).passed
    other = toymodels.DistanceRegressor().fit(X, X @ [1.5, -2.0, 0.2500001])
    report = modelport.verify(artifact, model=other, sample=X)
    assert not report.passed
    assert report.divergence is None


def test_what_a_delegate_gets_wrong_is_refused(toymodels: Any, tmp_path: Path) -> None:
    model = fitted(toymodels, bug=1e-7)
    for backend in ("auto", "toydelegate"):
        with pytest.raises(Mismatch, match="does not answer as the model does; nothing was written") as caught:
            modelport.convert(model, tmp_path / "wrong.onnx", sample=X, backend=backend)
        assert caught.value.report.consumers[0].outputs[0].max_abs > 1e-8
    assert not list(tmp_path.iterdir())


def test_graph_never_falls_back(toymodels: Any) -> None:
    with pytest.raises(UnsupportedModel, match=r"No predictor handler knows toymodels\.DistanceRegressor"):
        modelport.convert(fitted(toymodels), "onnx", sample=X, backend="graph")


def test_without_a_delegate_of_the_format_the_refusal_is_the_readers(toymodels: Any) -> None:
    with pytest.raises(UnsupportedModel, match=r"(?m)No predictor handler knows [^:]+: write a converter for it \([^)]+\)\.$"):
        modelport.convert(fitted(toymodels), "pmml", sample=X)


def test_what_a_delegate_refuses_is_said_after_the_readers_refusal(toymodels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import modelport_toy_delegate

    def refuse(*_: Any) -> bytes:
        raise Unsupported("The toy delegate is tired.")

    monkeypatch.setattr(modelport_toy_delegate, "convert", refuse)
    with pytest.raises(
        UnsupportedModel, match=r"(?m)No predictor handler .+ The delegate toydelegate was tried: The toy .+ tired\.$"
    ):
        modelport.convert(fitted(toymodels), "onnx", sample=X)


def test_a_known_model_needs_no_delegate(toymodels: Any, iris) -> None:  # type: ignore[no-untyped-def]
    rows, _, model = iris
    artifact = modelport.convert(model, "onnx", sample=rows)
    assert artifact.backend == "graph"
    assert not artifact.report.notes
    assert "backend" not in modelport.inspect(artifact)["provenance"]


def test_the_environment_chooses_the_delegates_of_auto(toymodels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted(toymodels)
    assert fallbacks(model, "onnx")[-1] == "toydelegate"
    monkeypatch.setenv(VARIABLE, "")
    assert fallbacks(model, "onnx") == []
    with pytest.raises(UnsupportedModel):
        modelport.convert(model, "onnx", sample=X)
    monkeypatch.setenv(VARIABLE, "toydelegate, sklearn2pmml")
    assert fallbacks(model, "onnx") == ["toydelegate"]
    monkeypatch.setenv(VARIABLE, "nobody")
    with pytest.raises(
        UsageError, match=r"MODELPORT_DELEGATES names 'nobody', which is no delegate; installed are: .*toydelegate"
    ):
        modelport.convert(model, "onnx", sample=X)


def test_one_that_needs_opting_in_is_not_fallen_back_on(toymodels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import modelport_toy_delegate

    model = fitted(toymodels)
    monkeypatch.setattr(modelport_toy_delegate, "OPT_IN", True, raising=False)
    assert "toydelegate" not in fallbacks(model, "onnx")
    monkeypatch.setenv(VARIABLE, "toydelegate")
    assert fallbacks(model, "onnx") == ["toydelegate"]
    monkeypatch.setattr(modelport_toy_delegate, "missing", lambda: "It needs what is not there.", raising=False)
    assert fallbacks(model, "onnx") == []


# --- the contract -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"convert": lambda *_: 1 / 0}, r"(?m)toydelegate cannot convert this DistanceRegressor: division by zero\.$"),
        ({"convert": lambda *_: b"no model"}, "The file is no ONNX model"),
        ({"FORMATS": ("json",)}, "The backend 'toydelegate' writes json, not onnx"),
        ({"ROOTS": ("elsewhere",)}, "toydelegate takes models of elsewhere, which toymodels.DistanceRegressor is not"),
        ({"OPTIONS": ()}, "The backend 'toydelegate' has no option 'target'; it has: none"),
    ],
)
def test_what_is_wrong_with_a_delegate_is_one_sentence(
    toymodels: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], wrong: str
) -> None:
    import modelport_toy_delegate

    for name, value in changes.items():
        monkeypatch.setattr(modelport_toy_delegate, name, value)
    with pytest.raises(modelport.ModelportError, match=wrong) as caught:
        modelport.convert(fitted(toymodels), "onnx", sample=X, backend="toydelegate", target="onnxruntime>=1.21")
    assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_backend_is_named(iris) -> None:  # type: ignore[no-untyped-def]
    rows, _, model = iris
    with pytest.raises(UsageError, match=r"There is no backend 'nobody'; installed are: auto, graph, .*skl2onnx, sklearn2pmml"):
        modelport.convert(model, "onnx", sample=rows, backend="nobody")


def test_a_file_that_gives_something_else_is_refused(toymodels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import modelport_toy_delegate

    honest = modelport_toy_delegate.convert

    def renamed(model: Any, format_: str, wanted: Any, options: Any) -> bytes:
        output = SimpleNamespace(name="something else", **{k: getattr(wanted.outputs[0], k) for k in ("dtype", "role")})
        return honest(model, format_, SimpleNamespace(sample=wanted.sample, inputs=wanted.inputs, outputs=(output,)), options)

    monkeypatch.setattr(modelport_toy_delegate, "convert", renamed)
    with pytest.raises(Unsupported, match="gives no f64 tensor 'prediction', which the original does"):
        modelport.convert(fitted(toymodels), "onnx", sample=X, backend="toydelegate")


# --- side by side, doctor -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toymodels: Any) -> Path:
    """A working folder with models that are right and wrong, and rows.csv."""
    monkeypatch.chdir(tmp_path)
    joblib.dump(fitted(toymodels), "right.joblib")
    joblib.dump(fitted(toymodels, bug=1e-3), "wrong.joblib")
    np.savetxt("rows.csv", X, delimiter=",", header="a,b,c", comments="")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    return (code, *capsys.readouterr())


def compared(capsys: pytest.CaptureFixture[str], model: str, *more: str) -> tuple[int, str]:
    code, out, err = run(capsys, "convert", model, "--trust", "--sample", "rows.csv", "--to", "onnx", "--compare", *more)
    assert err == ""
    return code, out


def test_compare_goes_on_behind_a_refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(os.listdir())
    code, out = compared(capsys, "right.joblib", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["passed"] is True
    ours, toy = (next(e for e in found["entries"] if e["backend"] == name) for name in ("graph", "toydelegate"))
    assert not ours["passed"]
    assert "No predictor handler knows" in ours["problem"]
    assert ours["error"] is ours["bytes"] is None
    assert toy["passed"]
    assert toy["bytes"] > 0
    assert toy["seconds"] > 0
    assert toy["error"] < 1e-8
    assert toy["problem"] is None
    assert sorted(os.listdir()) == before, "nothing is written"


def test_compare_says_how_wrong_a_delegate_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = compared(capsys, "wrong.joblib")
    assert code == Unsupported.exit_code
    header, *rows = out.splitlines()
    assert header.split() == ["format", "backend", "bytes", "seconds", "rows", "worst", "error", "flips", "verdict"]
    toy = next(row for row in rows if "toydelegate" in row)
    assert "refused: The onnx artifact does not answer as the model does" in toy
    code, out = compared(capsys, "wrong.joblib", "--json")
    entry = next(e for e in json.loads(out)["entries"] if e["backend"] == "toydelegate")
    assert entry["error"] > 1e-4
    assert entry["rows"] > 500


@pytest.mark.parametrize("more", [["--compare", "-o", "x.onnx"], ["--compare", "--backend", "graph"]])
def test_compare_and_its_options_belong_together(folder: Path, capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    code, out, err = run(capsys, "convert", "right.joblib", "--trust", "--sample", "rows.csv", "--to", "onnx", *more)
    assert (code, out) == (UsageError.exit_code, "")
    assert len(err.splitlines()) == 2


def test_the_command_line_says_which_backend_was_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "convert", "right.joblib", "--trust", "--sample", "rows.csv", "-o", "right.onnx")
    assert code == 0
    assert "note: written by toydelegate, not from a graph, since the reader refused" in out
    code, _, _ = run(capsys, "convert", "right.joblib", "--trust", "--sample", "rows.csv", "-o", "x.onnx", "--backend", "graph")
    assert code == UnsupportedModel.exit_code
    assert not Path("x.onnx").exists()


def test_plugins_and_doctor_list_delegates(toymodels: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "plugins")[1].count("modelport_toy_delegate") == 1
    said = {finding["what"]: finding for finding in json.loads(run(capsys, "doctor", "--json")[1])["findings"]}
    assert said["toydelegate delegate"]["ok"] is True
    assert said["toydelegate delegate"]["says"] == "writes onnx; what 'auto' falls back on"
    assert {"skl2onnx delegate", "sklearn2pmml delegate"} <= set(said)


@pytest.mark.parametrize("backend", ["auto", "skl2onnx"])
def test_a_model_that_gives_nothing_is_refused_by_name(backend: str) -> None:
    with pytest.raises(UnsupportedModel, match="DBSCAN"):
        modelport.convert(DBSCAN().fit(X), "onnx", sample=X, backend=backend)
