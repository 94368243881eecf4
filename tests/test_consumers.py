"""Which consumers there are for a format, which of them can run, and bounds stricter than an artifact's tolerance."""

from __future__ import annotations

import languages
import numpy as np
import pytest

import modelport
from modelport.bounds import bounded, bounds_of, stated_too_wide, stricter
from modelport.consumers import consumers_of, own_engine, required, select
from modelport.document import Tolerance, Vectors
from modelport.errors import UsageError


def names(format_: str) -> list[str]:
    return [consumer.name for consumer in consumers_of(format_)]


def test_the_consumers_of_a_format_begin_with_its_own_engine() -> None:
    assert names("json") == ["modelport", *languages.NAMES]
    assert names("onnx") == ["onnxruntime", "onnx-node", "onnx-python"]
    assert names("pmml") == ["modelport", "pypmml", "jpmml", "pmml-python"]
    with pytest.raises(UsageError, match="no writer called 'cobol'"):
        consumers_of("cobol")


@pytest.mark.parametrize("format_", ["json", "onnx", "pmml"])
def test_the_own_engine_is_not_asked_twice(iris, format_: str, need_module) -> None:  # type: ignore[no-untyped-def]
    if format_ == "onnx":
        need_module("onnxruntime", "onnxruntime")
    artifact = modelport.convert(iris[2], format_, sample=iris[0])
    report = modelport.verify(artifact, with_=own_engine(format_))
    assert report.passed
    assert [c.consumer for c in report.consumers] == [artifact.load().engine]


def test_a_missing_toolchain_is_known_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPORT_CC", "no-such-compiler")
    c = next(consumer for consumer in consumers_of("json") if consumer.name == "c")
    assert c.problem is not None
    assert "not on the PATH" in c.problem


def test_names_are_chosen_per_format() -> None:
    chosen = select(["json", "onnx", "pmml"], ["js", "pypmml"])
    assert {f: [c.name for c in found] for f, found in chosen.items()} == {
        "json": ["javascript"],
        "onnx": ["onnxruntime"],
        "pmml": ["pypmml"],
    }
    assert [c.kind for c in select(["json"], ["python3 other.py"])["json"]] == ["command"]
    with pytest.raises(UsageError, match="'javascipt' is no consumer of json: did you mean 'javascript'"):
        select(["json"], ["javascipt"])
    with pytest.raises(UsageError, match="'pypmml' is no consumer of json"):
        select(["json"], "pypmml")


def test_required_by_name_alias_or_format(monkeypatch: pytest.MonkeyPatch) -> None:
    javascript = select(["json"], ["javascript"])["json"][0]
    for value, expected in (("", False), ("java, js", True), ("json", True), ("java", False)):
        monkeypatch.setenv("MODELPORT_REQUIRE", value)
        assert required(javascript) is expected


def test_all_leaves_out_what_is_not_here_and_says_so(iris, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    artifact = modelport.convert(iris[2], "json", sample=iris[0])
    for variable in languages.VARIABLES:
        monkeypatch.setenv(variable, "no-such-program")
    monkeypatch.delenv("MODELPORT_REQUIRE", raising=False)
    report = modelport.verify(artifact, with_="all")
    assert report.passed
    assert [c.consumer.partition(" ")[0] for c in report.consumers] == ["numpy", "python"]
    assert set(report.not_run) == set(languages.FOREIGN)
    assert "c: not run: The c stub needs 'cc'" in str(report)
    monkeypatch.setenv("MODELPORT_REQUIRE", "c")
    report = modelport.verify(artifact, with_="all")
    assert not report.passed
    assert [c.consumer for c in report.consumers if c.missing] == ["c"]
    assert not modelport.verify(artifact, with_=["modelport", "java"]).passed, "named is asked for"


# --- bounds -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "bound"),
    [
        (Tolerance(1e-6, 0.0), Tolerance(0.0, 1e-6)),
        (Tolerance(0.0, 0.0, 4), Tolerance(1e-9)),
        (Tolerance(1e-12, 1e-12), Tolerance(1e-9)),
        (Tolerance(1e-3), Tolerance()),
        (Tolerance(), Tolerance(1e-3)),
    ],
)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_the_stricter_of_two_allows_no_number_more_than_either(stated: Tolerance, bound: Tolerance, dtype: str) -> None:
    expected = np.array([0.0, 1e-9, 0.7, -3.0, 1e6, np.inf, np.nan], dtype)
    found = stricter(stated, bound, expected)
    for value in expected[np.isfinite(expected)]:
        allowed = [_most(t, value) for t in (stated, bound, found)]
        assert allowed[2] <= min(allowed[:2])


def _most(tolerance: Tolerance, value: np.floating) -> float:
    if tolerance.ulp:
        return tolerance.ulp * float(np.spacing(abs(value)))
    return tolerance.atol + tolerance.rtol * abs(float(value))


def test_a_bound_never_loosens() -> None:
    vectors = Vectors({"x": np.zeros((1, 1))}, {"y": np.array([1.0]), "label": np.array([1])}, {"y": Tolerance(1e-12)})
    loose = bounded(vectors, bounds_of({"y": 1.0, "label": 5}))
    assert loose.tolerance["y"] == Tolerance(1e-12)
    assert loose.tolerance["label"].exact
    assert bounded(vectors, bounds_of({"y": "exact"})).tolerance["y"].exact
    assert not list(stated_too_wide(vectors, bounds_of({"y": 1e-12})))
    assert "allows 1e-12 where the bound set for it allows 1e-13" in next(stated_too_wide(vectors, bounds_of({"y": 1e-13})))


def test_a_bound_never_loosens_one_of_several_sets() -> None:
    few = Vectors({"x": np.zeros((1, 1))}, {"y": np.array([1.0])}, {})
    vectors = Vectors({"x": np.zeros((1, 2))}, {"y": np.array([100.0])}, {"y": Tolerance(1.0)}, more=(few,))
    for part in bounded(vectors, bounds_of({"y": {"rtol": 0.1}})).sets():
        y = part.outputs["y"][0]
        assert _most(part.tolerance["y"], y) <= min(1.0, 0.1 * y)


@pytest.mark.parametrize("bound", [-1.0, True, "tight", {"abs": 1e-9}, {}, float("nan"), {"atol": float("inf")}, {"ulp": 1.5}])
def test_what_is_no_bound_is_refused(bound: object) -> None:
    with pytest.raises(UsageError, match="The tolerance of 'y' is"):
        bounds_of({"y": bound})


def test_a_bound_is_held(iris) -> None:  # type: ignore[no-untyped-def]
    artifact = modelport.convert(iris[2], "json", sample=iris[0])
    assert modelport.verify(artifact, tolerance={"probability": 1e-9}).passed
    report = modelport.verify(artifact, model=iris[2], sample=iris[0], tolerance={"probability": 1e-14})
    assert not report.passed
    assert "states a tolerance for 'probability'" in str(report)
    assert "fitted again" not in str(report)  # the model is the one it was made from: the bound is what fails
    with pytest.raises(UsageError, match="did you mean 'probability'"):
        modelport.verify(artifact, tolerance={"probabilty": 1e-9})


# --- why it may have failed ---------------------------------------------------------------------------------------------------


def test_a_model_fitted_again_is_told_from_a_changed_file(iris) -> None:  # type: ignore[no-untyped-def]
    from sklearn.base import clone

    X, y, model = iris
    artifact = modelport.convert(model, "json", sample=X)
    again = clone(model).set_params(logisticregression__C=0.5).fit(X, y)
    stale = modelport.verify(artifact, model=again, sample=X)
    assert not stale.passed
    assert any("fitted again" in note for note in stale.notes)
    text = artifact.data.decode()
    start = text.index('"weight":[[') + len('"weight":[[')
    damaged = f"{text[:start]}-0.5{text[text.index(',', start) :]}".encode()
    for report in (modelport.verify(damaged), modelport.verify(damaged, model=model, sample=X)):
        assert not report.passed
        assert any("the file was changed" in note for note in report.notes)
        assert not any("fitted again" in note for note in report.notes)
    assert not modelport.verify(artifact, model=model, sample=X).notes


def test_versions_that_moved_are_named(iris) -> None:  # type: ignore[no-untyped-def]
    import json

    document = json.loads(modelport.convert(iris[2], "json", sample=iris[0]).data)
    document["provenance"]["framework"]["version"] = "0.1"
    document["steps"][0]["sub"][1] += 1e-3
    report = modelport.verify(json.dumps(document).encode())
    assert any("it was made with scikit-learn 0.1 (" in note for note in report.notes)
    document["provenance"]["framework"] = {"name": "../\u0000", "version": "1"}
    assert not modelport.verify(json.dumps(document).encode()).passed
