"""`modelport conformance`: right consumers conform, and consumers that are wrong in one way are found out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from suite import SUITE

from modelport.cli import main
from modelport.conformance import ConformanceReport, Finding, conformance
from modelport.errors import UsageError
from modelport.stubs import data_folder

STUB = data_folder("stubs") / "python" / "cli.py"
#: a consumer around the Python stub: what it changes of an answer stands in the middle
AROUND = """
import subprocess, sys
done = subprocess.run([sys.executable, {stub!r}, *sys.argv[1:]], stdin=sys.stdin, capture_output=True)
code, out, err = done.returncode, done.stdout, done.stderr
{change}
sys.stdout.buffer.write(out)
sys.stderr.buffer.write(err)
sys.exit(code)
"""


def consumer(folder: Path, change: str) -> str:
    path = folder / "consumer.py"
    path.write_text(AROUND.format(stub=str(STUB), change=change), encoding="utf-8")
    return f"'{sys.executable}' '{path}'"


def test_a_consumer_that_conforms(tmp_path: Path) -> None:
    command = consumer(tmp_path, "")
    for only in ("protocol", "liars/one-ulp", "ops/scale/", "compat/v1/"):
        report = conformance(command, only=only)
        assert report.passed, str(report)
        assert all(finding.name.startswith(only) for finding in report.findings)
    names = [name for name in SUITE.names() if name.startswith("ops/scale/")]
    assert sorted(f.name for f in conformance("python", only="ops/scale/").findings) == sorted(names)


@pytest.mark.parametrize(
    ("change", "only", "said"),
    [
        ("code = 0", "liars/", "exit code 0 instead of 1"),
        ("code = 0", "invalid/duplicate-key-case", "exit code 0 instead of 2"),
        ("err = b''", "invalid/duplicate-key-case", "no sentence on standard error"),
        ("err = b'Traceback (most recent call last)'", "invalid/duplicate-key-case", "no sentence on standard error"),
        ("out = out or b'[]'", "invalid/duplicate-key-case", "output although it was refused"),
        ("out = b''", "ops/scale/", "0 lines on standard output; verify prints one for each output"),
        ("out = b''", "compat/v1/", "0 lines on standard output; verify prints one for each output"),
        ("code = 3", "ops/scale/", "exit code 3 instead of 0"),
        ("out = b'{}' if 'info' in sys.argv else out", "protocol/info", "has no 'inputs'"),
        ("out = b'' if 'ops' in sys.argv else out", "protocol/ops", "lists the ops it knows"),
        ("out = out.replace(b'1', b'2') if 'predict' in sys.argv else out", "compat/v1/", "predict gives other answers"),
        (
            "out = b'{}' if 'predict' in sys.argv else out",
            "models/sklearn/iris_logistic",
            "predict: The consumer's answer has not",
        ),
        ("code = 2 if 'predict' in sys.argv else code", "models/torch/mlp", "predict: exit code 2 instead of 0"),
        ("code = 1 if len(sys.argv) == 1 else code", "protocol/no arguments", "exit code 1 instead of 64"),
    ],
)
def test_a_consumer_that_is_wrong(tmp_path: Path, change: str, only: str, said: str) -> None:
    report = conformance(consumer(tmp_path, change), only=only)
    assert report.findings
    assert not report.passed
    assert any(said in (finding.problem or "") for finding in report.findings), str(report)
    assert said in str(report)
    assert report.to_json()["passed"] is False


def test_known_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, listed = consumer(tmp_path, "code = 3 if 'verify' in sys.argv else code"), tmp_path / "known.txt"
    name = conformance(command, only="liars/").findings[0].name
    listed.write_text(f"# a comment\n\n{name}: it verifies nothing yet\n", encoding="utf-8")
    assert main(["conformance", "--with", command, "--only", name, "--known", str(listed), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["passed"] is True
    assert said["findings"][0]["known"] == "it verifies nothing yet"
    assert main(["conformance", "--with", "python", "--only", name, "--known", str(listed)]) == 1  # it passes: off the list
    assert "take it off the list" in capsys.readouterr().out
    listed.write_text(name, encoding="utf-8")
    assert main(["conformance", "--with", "python", "--only", name, "--known", str(listed)]) == 64
    assert "has no reason" in capsys.readouterr().err


def test_several_beginnings_are_all_asked() -> None:
    names = [f.name for f in conformance("python", only=("liars/", "protocol/ops")).findings]
    assert "protocol/ops" in names
    assert any(name.startswith("liars/") for name in names)
    assert main(["conformance", "--with", "python", "--only", "protocol/ops", "--only", "nix"]) == 64


def test_nothing_asked_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not ConformanceReport("nobody", ()).passed
    assert not Finding("a", None, "a reason").passed
    with pytest.raises(UsageError, match="has no case whose name begins with 'nix'"):
        conformance("python", only="nix")
    with pytest.raises(UsageError, match="has no case whose name begins with 'nix'"):
        conformance("python", only=("protocol/ops", "nix"))
    with pytest.raises(UsageError, match="no conformance suite"):
        conformance("python", fixtures=tmp_path)
    assert main(["conformance", "--with", "no-such-consumer", "--only", "protocol/ops"]) == 64
    assert "There is no command 'no-such-consumer'" in capsys.readouterr().err
