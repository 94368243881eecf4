"""Terminal output: aligned, coloured on a terminal only, quiet when asked, the same in every pipe; completion in a real shell."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import languages
import pytest

import modelport
from modelport.cli import build_parser, main
from modelport.cli.completion import SHELLS
from modelport.cli.terminal import colourful
from modelport.layout import Rows, lines_of
from modelport.progress import Progress, stage

Need = Callable[[str, str], None]

ESCAPE = re.compile(r"\x1b[\[(?][0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def folder(iris, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """model.json, model.joblib, rows.csv."""
    import joblib

    folder = tmp_path_factory.mktemp("terminal")
    joblib.dump(iris[2], folder / "model.joblib")
    iris[0].to_csv(folder / "rows.csv", index=False)
    modelport.convert(iris[2], folder / "model.json", sample=iris[0])
    return folder


def on_a_terminal(arguments: list[str], folder: Path, **variables: str) -> tuple[int, str]:
    """(exit code, what is seen) of a command whose standard streams are a terminal of 60 columns."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS")}
    environment = {**kept, "TERM": "xterm-256color", "COLUMNS": "60", **variables}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "modelport.cli", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen, end = b"", time.monotonic() + 120
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                read = os.read(ours, 65536)
            except OSError:
                break
            if not read:
                break
            seen += read
    os.close(ours)
    return process.wait(60), seen.decode("utf-8", "replace").replace("\r\n", "\n")


# --- layout -------------------------------------------------------------------------------------------------------------------


def test_tables_are_aligned_whatever_the_script() -> None:
    rows = Rows([("größe", "1", "x"), ("模型", "200", "yy")], ("name", "n", "why"), frozenset({1}))
    assert list(lines_of([rows])) == ["  name     n  why", "  größe    1  x", "  模型   200  yy"]


def test_only_a_terminal_is_wrapped_to_its_width() -> None:
    words = " ".join(["word"] * 30)
    assert len(list(lines_of([Rows([("name", words)])]))) == 1
    wrapped = list(lines_of([Rows([("name", words)])], 50))
    assert len(wrapped) > 2
    assert max(map(len, wrapped)) <= 50
    assert all(line.startswith(" " * 8) for line in wrapped[1:])
    assert " ".join(" ".join(wrapped).split()) == f"name {words}"


def test_names_break_no_line_and_reach_no_terminal() -> None:
    assert list(lines_of([Rows([("a\nb", "\x1b[2J")])])) == [r"  a b  \x1b[2J"]


# --- colour -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "variables", "wanted"),
    [
        (io.StringIO(), {}, False),
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (Terminal(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
    ],
)
def test_colour(
    stream: io.StringIO,
    variables: dict[str, str],
    wanted: bool,
    monkeypatch: pytest.MonkeyPatch,
    need_module: Need,
) -> None:
    need_module("rich", "rich")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert colourful(stream) is wanted


def test_colour_changes_no_word(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, need_module: Need
) -> None:
    need_module("rich", "rich")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(folder)
    commands = (["inspect", "model.json"], ["diff", "model.json", "model.json"], ["verify", "model.json"], ["inspect", "nowhere"])
    for command in commands:
        main(command)
        plain = capsys.readouterr()
        monkeypatch.setenv("FORCE_COLOR", "1")
        main(command)
        coloured = capsys.readouterr()
        monkeypatch.delenv("FORCE_COLOR")
        assert "\x1b" not in plain.out + plain.err
        assert "\x1b[" in coloured.out + coloured.err
        assert (ESCAPE.sub("", coloured.out), ESCAPE.sub("", coloured.err)) == plain


def test_without_rich_all_of_it_is_said(folder: Path) -> None:
    code = (
        "import sys; sys.modules['rich'] = None\n"
        "import importlib.util; found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'rich' else found(name, *rest)\n"
        "from modelport.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    environment = {**os.environ, "FORCE_COLOR": "1"}
    command = [sys.executable, "-c", code, "diff", "model.json", "model.json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("SAME  A = model.json")
    assert "\x1b" not in done.stdout


# --- on a terminal, in a pipe -------------------------------------------------------------------------------------------------


def test_a_bar_is_shown_on_a_terminal_and_erased(folder: Path) -> None:
    arguments = ["diff", "model.json", "model.json"]
    code, seen = on_a_terminal(arguments, folder)
    assert code == 0
    before, _, after = seen.partition("SAME")
    assert "replaying model.json" in before
    assert "\x1b[2K" in before or "\x1b[K" in before
    assert "equal in every bit" in after
    code, seen = on_a_terminal([*arguments, "--quiet"], folder)
    assert (code, seen) == (0, "")
    code, seen = on_a_terminal(arguments, folder, TERM="dumb")
    assert code == 0
    assert seen.startswith("SAME  A = model.json")
    assert "\x1b" not in seen
    done = subprocess.run([sys.executable, "-m", "modelport.cli", *arguments], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout


def test_stages_are_counted_and_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelport import progress

    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    stage("nobody looks on")
    out = Terminal()
    with Progress(2, out) as bar:
        bar.stage("one")
        assert bar.left() == ""
        now[0] = 10.0
        stage("two\x1b", more=2)
        assert bar.left() == " (about 30 s left)"
        now[0] = 400.0
        stage("three")
        assert bar.left() == " (about 7 min left)"
    shown = out.getvalue()
    assert "two?" in shown
    assert shown.endswith("\r\x1b[K")
    stage("nobody looks on any more")
    assert out.getvalue() == shown


# --- --json and --quiet -------------------------------------------------------------------------------------------------------

COMMANDS = {
    "convert": ["convert", "model.joblib", "--trust", "--sample", "rows.csv", "-o", "out.json"],
    "predict": ["predict", "model.json", "rows.csv"],
    "inspect": ["inspect", "model.json"],
    "diff": ["diff", "model.json", "model.json"],
    "verify": ["verify", "model.json"],
    "plugins": ["plugins"],
    "stub": ["stub", "python", "-o", "out"],
    "explain": ["explain", "mismatch"],
    "doctor": ["doctor"],
}
#: what these print is data, with --quiet too
DATA = ("predict", "explain")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_speaks_json_and_keeps_quiet(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main([*COMMANDS[name], "--json"]) == 0
    out, err = capsys.readouterr()
    assert isinstance(json.loads(out), (dict, list))
    assert err == ""
    assert main(["--quiet", *COMMANDS[name], "--json"]) == 0
    assert capsys.readouterr().out == out or name in ("convert", "doctor")
    assert main([*COMMANDS[name], "-q"]) == 0
    assert (capsys.readouterr().out == "") == (name not in DATA)


def test_the_list_of_commands_with_json_is_whole() -> None:
    commands = next(a for a in build_parser()._actions if a.dest == "command").choices
    with_json = {name for name, parser in commands.items() if "--json" in parser._option_string_actions}
    assert set(COMMANDS) <= with_json
    assert set(commands) - with_json == {"completion"}
    assert all("--quiet" in parser._option_string_actions for parser in commands.values())


def test_predict_as_json_is_what_a_stub_answers(folder: Path, iris, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    import numpy as np

    from modelport.stubs import outputs_from_json

    assert main(["predict", str(folder / "model.json"), str(folder / "rows.csv"), "--json"]) == 0
    outputs = outputs_from_json(capsys.readouterr().out.encode(), modelport.load(folder / "model.json").outputs)
    assert outputs["label"].tolist() == iris[2].predict(iris[0]).tolist()
    np.testing.assert_allclose(outputs["probability"], iris[2].predict_proba(iris[0]), rtol=1e-12, atol=1e-14)
    assert main(["predict", str(folder / "model.json"), str(folder / "rows.csv"), "--json", "-o", str(folder / "x.csv")]) == 64


# --- completion ---------------------------------------------------------------------------------------------------------------

TRY = """
source completion.bash
function=$(complete -p modelport | sed 's/.*-F \\([^ ]*\\).*/\\1/')
try() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  $function modelport "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
  echo "${COMPREPLY[@]}"
}
"""


@pytest.mark.parametrize(
    ("words", "expected", "absent"),
    [
        ("modelport ins", {"inspect"}, {"diff"}),
        ("modelport inspect mo", {"model.json"}, {"model.joblib"}),
        ("modelport diff model.json ''", {"model.json"}, {"rows.csv", "model.joblib"}),
        ("modelport convert --to ''", {"json", "onnx", "pmml"}, {"model.json"}),
        ("modelport convert --sample ro", {"rows.csv"}, {"model.json"}),
        ("modelport stub ''", {*languages.NAMES}, {"rows.csv"}),
        ("modelport explain mis", {"mismatch", "misjudged", "missing-dependency"}, {"refused"}),
        ("modelport inspect --", {"--json", "--quiet", "--help"}, {"--trust"}),
    ],
)
def test_completion_in_bash(
    words: str,
    expected: set[str],
    absent: set[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    need_module: Need,
) -> None:
    need_module("shtab", "shtab")
    assert main(["completion", "bash"]) == 0
    (folder / "completion.bash").write_text(capsys.readouterr().out, encoding="utf-8")
    command = ["bash", "--norc", "-c", f"{TRY}try {words}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    found = set(done.stdout.split())
    assert expected <= found
    assert not absent & found


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_scripts_are_sound(shell: str, folder: Path, capsys: pytest.CaptureFixture[str], need_module: Need) -> None:
    need_module("shtab", "shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "modelport" in script
    assert "missing-dependency" in script
    if shell != "tcsh" and shutil.which(shell) is not None:
        (folder / f"script.{shell}").write_text(script, encoding="utf-8")
        done = subprocess.run([shell, "-n", f"script.{shell}"], cwd=folder, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_completion_without_shtab_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "pip install 'modelport[cli]'" in err
