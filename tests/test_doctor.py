"""doctor: what is installed, what is missing for what, what is known to go wrong, and a self test of all of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelport import doctor, selftest
from modelport.cli import main
from modelport.doctor import COMBINATIONS, diagnose, older
from modelport.stubs import Stub, find_stub, toolchain, toolchain_problem


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """versions(onnxruntime="1.26.0"): as if these packages were installed, None: as if one were not."""

    def pretend(**given: str | None) -> None:
        real = doctor.installed
        named = {name.replace("_", "-"): value for name, value in given.items()}
        monkeypatch.setattr(doctor, "installed", lambda package: named[package] if package in named else real(package))

    return pretend


def finding(what: str) -> Any:
    return next(f for f in diagnose().findings if f.what == what)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("1.9.0", "1.10", True),
        ("1.26", "1.26.0", False),
        ("1.26.0.post1", "1.26", False),
        ("2.13.0+cpu", "2.14", True),
        ("1.10", "1.9", False),
    ],
)
def test_versions_are_compared_as_numbers(a: str, b: str, expected: bool) -> None:
    assert older(a, b) is expected


def test_what_is_missing_is_said_with_what_it_is_for(versions) -> None:  # type: ignore[no-untyped-def]
    versions(torch=None, onnxscript=None)
    said = finding("PyTorch models")
    assert (said.ok, said.bad) == (False, False)
    assert said.says == "exporting and reading them needs torch and onnxscript: pip install 'modelport[torch]'"
    versions(tensorflow=None, torch=None, jax=None, keras="3.15.1", h5py="3.14.0")
    assert finding("Keras models").says.startswith("reading and asking them needs one of tensorflow, torch, jax:")
    assert diagnose().exit_code == 0


@pytest.mark.parametrize(
    ("given", "words", "code"),
    [
        ({"onnxruntime": "1.26.0"}, "answers binary random forests wrongly", 3),
        ({"onnxruntime": "1.25.1"}, None, 0),
        ({"onnxruntime": "1.26.1"}, None, 0),
        ({"onnxruntime": "1.16.3"}, "this one does not run them", 3),
        ({"onnxruntime": "1.19.2"}, "--target 'onnxruntime>=1.17'", 0),
        ({"sklearn2pmml": "0.133.1", "scikit_learn": "1.9.1"}, "refuses scikit-learn newer than 1.9.0", 0),
        ({"sklearn2pmml": "0.133.1", "scikit_learn": "1.9.0"}, None, 0),
        ({"sklearn2pmml": "0.140.0", "scikit_learn": "1.9.1"}, None, 0),
    ],
)
def test_combinations_that_are_known_to_go_wrong(
    given: dict[str, str], words: str | None, code: int, versions, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(doctor, "requires", lambda name: [])
    versions(**{"onnxruntime": "1.31.1", "sklearn2pmml": None, **given})
    found = diagnose()
    said = [f for f in found.findings if f.group == "What works together"]
    assert (found.exit_code, found.passed) == (code, code == 0)
    assert len(said) == 1
    assert words is None or words in said[0].says
    assert said[0].ok == (words is None)


def test_packages_that_are_too_old_are_named(versions, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    asked = ["numpy>=1.26", 'scikit-learn>=1.3; extra == "sklearn"', 'modelport[sklearn]; extra == "xgboost"']
    monkeypatch.setattr(doctor, "requires", lambda name: asked)
    versions(scikit_learn="1.2.2", onnxruntime="1.31.1", sklearn2pmml=None)
    found = diagnose()
    (said,) = (f for f in found.findings if f.group == "What works together")
    assert (said.what, said.bad, found.exit_code) == ("scikit-learn 1.2.2", True, 3)
    assert "modelport[sklearn] needs 1.3 or newer" in said.says


def test_every_combination_says_what_to_do() -> None:
    assert COMBINATIONS
    assert all(": " in known.says and known.packages for known in COMBINATIONS)


def test_toolchains_are_told_with_their_versions(need_program) -> None:  # type: ignore[no-untyped-def]
    need_program("javascript", "node")
    stub = find_stub("javascript")
    assert stub is not None
    assert toolchain(stub)["node"].startswith("v")
    odd = replace(stub, needs=("true",))
    assert toolchain(odd)["true"]


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for words in (
        "Models to convert:",
        "Formats to write, run and verify:",
        "Stubs:",
        "What works together:",
        f"Python     {sys.version.split()[0]}",
    ):
        assert words in out
    assert main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["passed"] is True
    assert {f["group"] for f in said["findings"]} >= {"modelport", "Models to convert", "Stubs"}


# --- the self test ------------------------------------------------------------------------------------------------------------


def test_the_answers_of_the_self_test_are_right() -> None:
    """2 a - 3 b + 0.5 in whole fractions, so that no rounding is involved."""
    from fractions import Fraction

    for a, b, expected in selftest.ROWS:
        assert Fraction(a) * 2 - Fraction(b) * 3 + Fraction(1, 2) == Fraction(expected)
    outputs = selftest.tiny().vectors.outputs["prediction"]  # type: ignore[union-attr]
    np.testing.assert_array_equal(outputs, [expected for *_, expected in selftest.ROWS])


@pytest.fixture
def only_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The self test of one stub: building the others is tested elsewhere."""
    monkeypatch.setattr(selftest, "engine_problem", lambda name: None if name == "python" else "not now")


def test_the_self_test_runs_every_consumer(only_python: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--check", "--json"]) == 0
    said = {f["what"]: f for f in json.loads(capsys.readouterr().out)["findings"] if f["group"] == "Self test"}
    assert "json in python" in said
    assert "pmml in modelport pmml" in said
    assert all(f["ok"] and f["says"] == "5 rows equal in every bit" for f in said.values())


def test_a_consumer_that_is_wrong_fails_the_self_test(
    only_python: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from modelport import stubs

    real = stubs.run

    def wrong(command: Any, arguments: Any, *rest: Any, **more: Any) -> Any:
        done = real(command, arguments, *rest, **more)
        return replace(done, out=done.out.replace(b"13", b"14"))

    monkeypatch.setattr(stubs, "run", wrong)
    assert main(["doctor", "--check"]) == 1
    out = capsys.readouterr().out
    assert "MISMATCH: 14.0 instead of 13.0" in out


def test_a_stub_may_check_for_more_than_programs() -> None:
    def stub(code: str) -> Stub:
        return Stub("odd", Path(), run=("true",), check=("{python}", "-c", code))

    assert toolchain_problem(stub("pass")) is None
    said = toolchain_problem(stub("import sys; sys.exit('there is no compiler: install one')"))
    assert said == "the odd stub cannot be built here: there is no compiler: install one"
