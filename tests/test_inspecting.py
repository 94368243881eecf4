"""inspect: what an artifact of any format is, for a person and as JSON; nothing of it is run."""

from __future__ import annotations

import json
from pathlib import Path

import languages
import pytest

import modelport
from modelport.cli import main
from modelport.errors import ArtifactError
from modelport.ops import OPS
from modelport.profiles import PROFILES, profile_of
from modelport.stubs import stubs

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def artifacts(mixed, iris, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """mixed.json, mixed.pmml, iris.json."""
    folder = tmp_path_factory.mktemp("artifacts")
    for format_ in ("json", "pmml"):
        modelport.convert(mixed[1], folder / f"mixed.{format_}", sample=mixed[0], name="a mixed frame")
    modelport.convert(iris[2], folder / "iris.json", sample=iris[0])
    return folder


def test_what_a_pipeline_with_strings_is(artifacts: Path, mixed) -> None:  # type: ignore[no-untyped-def]
    frame, model = mixed
    d = modelport.inspect(artifacts / "mixed.json")
    assert (d["format"], d["name"]) == ("json", "a mixed frame")
    assert d["model"].startswith("Pipeline(ColumnTransformer(")
    assert d["bytes"] == (artifacts / "mixed.json").stat().st_size == sum(d["sizes"].values())
    assert min(d["sizes"].values()) > 0
    inputs = {v["name"]: v for v in d["inputs"]}
    assert list(inputs) == list(frame.columns)
    for name in ("sex", "weight class", "clinic"):
        assert set(inputs[name]["categories"][name]) == set(frame[name].dropna())
    assert inputs["body.mass"]["categories"] is None
    assert inputs["body.mass"]["missing"] == "nan"
    weights = model[-1].coef_.size + model[-1].intercept_.size
    assert next(s for s in d["steps"] if s["op"] == "linear")["parameters"] == weights
    assert d["parameters"] == sum(s["parameters"] for s in d["steps"])
    assert d["outputs"][1]["classes"] == model.classes_.tolist()
    assert d["vectors"]["in_words"] == {"label": "equal in every bit", "probability": "within 1e-12 of the scale, which is 1"}
    assert sum(d["vectors"]["kinds"].values()) == d["vectors"]["rows"]


def test_what_can_run_it(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    d = modelport.inspect(artifacts / "mixed.json")
    assert d["profiles"] == ["tabular"]
    assert {c["consumer"] for c in d["consumers"] if c["takes"]} >= {"c stub", "java stub", "javascript stub", "python stub"}
    monkeypatch.setenv("MODELPORT_NODE", "no-such-program")
    there = {c["consumer"]: c for c in modelport.inspect(artifacts / "mixed.json")["consumers"]}
    assert there["javascript stub"]["here"] is False
    assert "MODELPORT_NODE" in there["javascript stub"]["says"]
    names = [c["consumer"] for c in modelport.inspect(artifacts / "mixed.pmml")["consumers"]]
    assert names == ["modelport pmml", "pypmml", "jpmml"]


def test_a_stub_that_lacks_a_profile_cannot_run_it(monkeypatch: pytest.MonkeyPatch, artifacts: Path) -> None:
    from dataclasses import replace

    from modelport import inspecting

    small = [replace(stub, profiles=("kernel",) if stub.name == "c" else ()) for stub in stubs()]
    monkeypatch.setattr(inspecting, "stubs", lambda: iter(small))
    found = {c["consumer"]: c for c in modelport.inspect(artifacts / "mixed.json")["consumers"]}
    assert (found["c stub"]["takes"], found["c stub"]["says"]) == (False, "lacks profile tabular")
    assert found["python stub"]["takes"] is None


def test_profiles_are_those_of_the_format_and_of_the_stubs() -> None:
    """docs/format.md lists every op under the profile that `profile_of` gives it; our stubs have all of them."""
    import re

    text = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    for name in ("text", "solver", "nn"):
        section = re.split(r"^#+ ", text.split(f"Ops of profile `{name}`")[1], maxsplit=1, flags=re.MULTILINE)[0]
        assert set(re.findall(r"^\| (?!op )([a-z_]+)\*?(?: d)? \|", section, re.MULTILINE)) == set(PROFILES[name])
    said = re.search(r"The ops ((?:`\w+`(?:, | and )?)+) form profile `kernel`", text)
    assert said is not None
    assert set(re.findall(r"`(\w+)`", said[1])) == set(PROFILES["kernel"])
    assert {profile_of(op) for op in OPS} == {"tabular", *PROFILES}
    for stub in stubs():
        if stub.name in languages.NAMES:  # tests/test_conformance.py: they list every op
            assert stub.profiles == ("tabular", *PROFILES)


def test_an_onnx_file_is_told_by_its_nodes(iris, tmp_path: Path, need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("onnxruntime", "onnxruntime")
    modelport.convert(iris[2], tmp_path / "iris.onnx", sample=iris[0])
    d = modelport.inspect(tmp_path / "iris.onnx")
    assert "steps" not in d
    assert d["contents"]["nodes"]["Gemm"] == 1
    assert d["contents"]["target"] == "onnxruntime>=1.21"
    assert sum(d["sizes"].values()) == d["bytes"]
    assert d["sizes"]["vectors"] > d["vectors"]["rows"]


def test_a_file_of_somebody_else_carries_nothing_that_proves_it(
    iris, tmp_path: Path, need_module, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    need_module("skl2onnx", "skl2onnx")
    from skl2onnx import to_onnx

    model = to_onnx(iris[2], iris[0].to_numpy()[:1], options={"zipmap": False})
    (tmp_path / "theirs.onnx").write_bytes(model.SerializeToString())
    d = modelport.inspect(tmp_path / "theirs.onnx")
    assert (d["model"], d["vectors"], d["provenance"]) == (None, None, {})
    assert d["contents"]["producer"].startswith("skl2onnx")
    assert main(["inspect", str(tmp_path / "theirs.onnx")]) == 0
    out = capsys.readouterr().out
    assert "nothing proves this artifact" in out
    assert "not recorded" in out


@pytest.mark.parametrize(
    ("framework", "said"),
    [({"name": "torch", "version": "2.1"}, "made with   torch 2.1"), ({"name": "onnx", "opset": 17}, "made with   onnx\n")],
)
def test_what_it_was_made_with(artifacts: Path, tmp_path: Path, capsys, framework: dict, said: str) -> None:  # type: ignore[no-untyped-def]
    document = json.loads((artifacts / "iris.json").read_text(encoding="utf-8"))
    document["provenance"]["framework"] = framework
    (tmp_path / "model.json").write_text(json.dumps(document), encoding="utf-8")
    assert main(["inspect", str(tmp_path / "model.json")]) == 0
    assert said in capsys.readouterr().out


def test_forests_are_told_by_trees_and_nodes(iris) -> None:  # type: ignore[no-untyped-def]
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(7, random_state=0).fit(iris[0], iris[1])
    steps = modelport.inspect(modelport.convert(forest, "json", sample=iris[0]))["steps"]
    said = next(s["says"] for s in steps if s["op"] == "tree_ensemble")
    assert said == f"7 trees, {sum(t.tree_.node_count for t in forest.estimators_):,} nodes"


def test_sizes_of_a_document_with_what_readers_allow(artifacts: Path) -> None:
    """White space between members, a mark at the beginning, and names in other scripts."""
    from modelport_json.sizes import members, sizes

    document = json.loads((artifacts / "iris.json").read_text(encoding="utf-8"))
    wide = b"\xef\xbb\xbf" + json.dumps(document, indent=3).encode()
    assert sizes(wide)["vectors"] > sizes((artifacts / "iris.json").read_bytes())["vectors"]
    assert list(members(' {"größe" : "ü\\"}" ,\n"b":{}} ')) == [("größe", 7), ("b", 2)]
    assert list(members("{}")) == []


def test_the_command_line_tells_all_of_it(artifacts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(artifacts / "mixed.json")]) == 0
    out = capsys.readouterr().out
    for words in (
        "a mixed frame",
        "female, male",
        "within 1e-12 of the scale",
        "unary (sigmoid)",
        "--with javascript",
        "scikit-learn",
    ):
        assert words in out
    assert main(["inspect", str(artifacts / "mixed.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(modelport.inspect(artifacts / "mixed.json")))


def test_a_damaged_file_is_refused(artifacts: Path) -> None:
    with pytest.raises(ArtifactError):
        modelport.inspect((artifacts / "mixed.json").read_bytes()[:500])


def test_nets_with_named_lengths() -> None:
    """Sets of rows of other lengths are counted together."""
    d = modelport.inspect(ROOT / "fixtures/models/keras/conv1d_dilated/model.json")
    assert d["vectors"]["sets"] > 1
    assert any(isinstance(length, str) for v in d["inputs"] for length in v["shape"])
    assert set(d["vectors"]["in_words"]) == {o["name"] for o in d["outputs"]}
    assert d["profiles"] == ["tabular", "nn"] or d["profiles"] == ["nn"]
