"""The project file, and verify on many artifacts: tables, Markdown, JSON, the job summary, exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest

import modelport
from modelport.cli import main
from modelport.errors import UsageError
from modelport.outcomes import Outcome, escaped, fenced, markdown, table, worst_exit_code
from modelport.project import Project, find_project, read_project

ENTRY = '[[model]]\nname = "iris"\n'
COMMITTED = f'{ENTRY}artifacts = ["iris.json"]\n'
FACTORY = """
def model_and_sample():
    print("training")
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    X, y = load_iris(return_X_y=True, as_frame=True)
    return LogisticRegression(C=C, max_iter=500).fit(X, y), X
def broken():
    raise ZeroDivisionError("no data")
def other():
    return 3
def ends():
    raise SystemExit(0)
"""


@pytest.fixture
def folder(iris, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # type: ignore[no-untyped-def]
    """A working folder with iris.json, model.joblib and rows.csv."""
    X, _, model = iris
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    modelport.convert(model, "iris.json", sample=X)
    joblib.dump(model, "model.joblib")
    X.to_csv("rows.csv", index=False)
    return tmp_path


def factory(name: str, regularization: float = 1.0) -> None:
    Path(f"{name}.py").write_text(f"C = {regularization}\n{FACTORY}", encoding="utf-8")


def declare(text: str) -> None:
    Path("modelport.toml").write_text(text, encoding="utf-8")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(list(arguments))
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "unexpected" not in err
    return code, out, err


def damage(path: str) -> None:
    """One weight becomes another number."""
    text = Path(path).read_text(encoding="utf-8")
    start = text.index('"weight":[[') + len('"weight":[[')
    Path(path).write_text(f"{text[:start]}-0.5{text[text.index(',', start) :]}", encoding="utf-8")


# --- reading ------------------------------------------------------------------------------------------------------------------


def read(text: str, name: str = "modelport.toml") -> Project:
    Path(name).write_text(text, encoding="utf-8")
    return read_project(name)


def test_what_an_entry_may_say(folder: Path) -> None:
    project = read(
        f'{ENTRY}model = "model.joblib"\ntrust = true\nsample = "rows.csv"\nformats = ["json", "onnx", "json"]\n'
        'consumers = ["c", "python"]\nlengths = ["x:1=time"]\nquantize = "int8"\n'
        "[model.tolerance]\nprobability = { atol = 1e-9 }\n"
        '[[model]]\nname = "two"\nfactory = "a:b"\nformats = ["pmml"]\n'
    )
    first, second = project.entries
    assert (first.formats, first.consumers, first.trust) == (("json", "onnx"), ("c", "python"), True)
    assert first.options == {"quantize": "int8", "lengths": {"x": {1: "time"}}}
    assert first.tolerance == {"probability": {"atol": 1e-9}}
    assert (second.factory, second.consumers) == ("a:b", ("all",))
    assert read(f"\ufeff{COMMITTED}").entries[0].artifacts == ("iris.json",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "declares no model"),
        ("model = 3", "declares no model"),
        ("[[model]\n", "is no TOML"),
        ("[[models]]\nname = 'a'", "key 'models', which is not known: did you mean 'model'?"),
        ("[[model]]\nartifacts = ['a.json']", "The model 1 in modelport.toml has no name"),
        (f"{ENTRY}formatz = ['json']", "The model 'iris' in modelport.toml has the key 'formatz', .* did you mean 'formats'"),
        (f"{ENTRY}tolerances = {{}}", "did you mean 'tolerance'"),
        (f"{ENTRY}with = ['c']", "did you mean 'consumers'"),
        (f"{ENTRY}zzz = 1", "has the key 'zzz', which is not known: it has name, model"),
        (f"{ENTRY}", "neither formats nor artifacts"),
        (f"{ENTRY}formats = ['json']", "neither a model nor a factory"),
        (f"{ENTRY}formats = 'json'", "formats = 'json'; it is a list of texts"),
        (f"{ENTRY}formats = [3]", "it is a list of texts"),
        (f"{COMMITTED}consumers = 'c'", "it is 'all' or a list of texts"),
        (f"{COMMITTED}consumers = []", "it is 'all' or a list of texts"),
        (f"{COMMITTED}trust = 'yes'", "it is true or false"),
        (f"{COMMITTED}prune = true", "it is a number"),
        (f"{COMMITTED}model = 'a.joblib'", "only one of model and sample"),
        (f"{COMMITTED}factory = 'a:b'\ntrust = true", "leave out model, sample and trust"),
        (f"{COMMITTED}lengths = ['x']", "The model 'iris' in modelport.toml: --lengths 'x' is not understood"),
        (f"{COMMITTED}tolerance = {{ y = -1 }}", "The model 'iris' in modelport.toml: The tolerance of 'y' is -1"),
        (f"{COMMITTED}tolerance = {{ y = {{ abs = 1 }} }}", "The tolerance of 'y' is"),
        (COMMITTED * 2, "two models called 'iris'"),
        ("a = " + "[" * 5000, "is no TOML"),
    ],
)
def test_what_a_project_file_must_not_say(folder: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(text)


def test_pyproject_declares_too_but_not_both(folder: Path) -> None:
    assert find_project() is None
    Path("pyproject.toml").write_text("[project]\nname = 'modelport-user'\n", encoding="utf-8")
    assert find_project() is None
    with pytest.raises(UsageError, match=r"has no \[tool.modelport\]"):
        read_project("pyproject.toml")
    inside = COMMITTED.replace("[[model]]", "[[tool.modelport.model]]")
    assert read(inside, "pyproject.toml").entries[0].name == "iris"
    assert find_project() == Path("pyproject.toml")
    declare(COMMITTED)
    with pytest.raises(UsageError, match="keep one of them"):
        find_project()
    Path("pyproject.toml").write_bytes(b"modelport = \xff")
    with pytest.raises(UsageError, match="no text in UTF-8"):
        find_project()


# --- running ------------------------------------------------------------------------------------------------------------------


def test_without_a_project_file_an_artifact_is_needed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "verify")
    assert code == 64
    assert "declare models in modelport.toml" in err
    declare(COMMITTED)
    for arguments in (["--model", "model.joblib", "--sample", "rows.csv"], ["--trust"], ["--lengths", "x:1=t"]):
        assert run(capsys, "verify", *arguments)[0] == 64
    for arguments in (["--project", "modelport.toml"], ["--update"]):
        assert run(capsys, "verify", "iris.json", *arguments)[0] == 64
    assert run(capsys, "verify", "--project", "nowhere.toml")[0] == 64


def test_a_project_is_verified_and_one_changed_coefficient_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(f'{COMMITTED}model = "model.joblib"\ntrust = true\nsample = "rows.csv"\nformats = ["pmml"]\nconsumers = ["python"]\n')
    code, out, err = run(capsys, "verify")
    assert (code, err) == (0, "")
    rows = [re.split(r"  +", line) for line in out.splitlines()]
    assert rows[0] == ["model", "format", "consumer", "rows", "max abs error", "tolerance", "verdict"]
    assert [row[0] for row in rows[1:]] == ["iris (iris.json)"] * 3 + ["iris"] * 2
    assert {row[-1] for row in rows[1:]} == {"passed"}
    damage("iris.json")
    code, out, _ = run(capsys, "verify")
    assert code == 1
    assert "first step that diverges: 'score' (linear)" in out
    assert "the file was changed" in out
    assert [line.split()[-1] for line in out.splitlines()[-6:]] == ["verdict", "failed", "failed", "failed", "passed", "passed"]


def test_a_model_fitted_again_is_stale_until_it_is_updated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    factory("train_stale", 1.0)
    text = f'{ENTRY}factory = "train_stale:model_and_sample"\nartifacts = ["made.json"]\nconsumers = ["modelport"]\n'
    declare(text)
    code, out, _ = run(capsys, "verify")
    assert code == 64
    assert "There is no file 'made.json': modelport verify --update writes it from the model." in out
    code, out, err = run(capsys, "verify", "--update")
    assert code == 0
    assert "iris (made.json): written" in out
    assert "training" in err
    assert "training" not in out
    written = Path("made.json").read_bytes()
    assert run(capsys, "verify", "--update")[0] == 0
    assert Path("made.json").read_bytes() == written, "what passes is left as it is"
    factory("train_again", 0.1)
    declare(text.replace("train_stale", "train_again"))
    code, out, _ = run(capsys, "verify")
    assert code == 1
    assert "fitted again" in out
    assert Path("made.json").read_bytes() == written
    assert run(capsys, "verify", "--update")[0] == 0
    assert Path("made.json").read_bytes() != written
    assert run(capsys, "verify")[0] == 0


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("train_bad:broken", 2, "failed (ZeroDivisionError: no data)"),
        ("train_bad:other", 64, "returned int; it returns (model, sample)"),
        ("train_bad:nowhere", 64, "train_bad has no 'nowhere'"),
        ("nowhere_at_all:f", 64, "there is no module 'nowhere_at_all'"),
        ("train_bad", 64, "it is MODULE:FUNCTION"),
        ("needs_more:f", 3, "needs package_that_is_nowhere"),
        ("no_python:f", 2, "SyntaxError"),
        ("script:f", 2, "failed (SystemExit: 0)"),
        ("train_bad:ends", 2, "failed (SystemExit: 0)"),
    ],
)
def test_a_factory_that_fails_is_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, code: int, words: str
) -> None:
    factory("train_bad")
    Path("needs_more.py").write_text("import package_that_is_nowhere", encoding="utf-8")
    Path("no_python.py").write_text("def", encoding="utf-8")
    Path("script.py").write_text("import sys\nsys.exit(0)", encoding="utf-8")  # no main guard
    declare(f'{ENTRY}factory = "{name}"\nformats = ["json"]\n')
    found, out, _ = run(capsys, "verify")
    assert found == code
    assert words in out


def test_a_bound_in_the_project_file_is_held(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(f'{COMMITTED}consumers = ["python"]\ntolerance = {{ probability = 1e-9 }}\n')
    assert run(capsys, "verify")[0] == 0
    declare(f'{COMMITTED}consumers = ["python"]\ntolerance = {{ probability = 1e-15 }}\n')
    code, out, _ = run(capsys, "verify")
    assert code == 1
    assert "where the bound set for it allows 1e-15" in out
    declare(f'{COMMITTED}consumers = ["python"]\ntolerance = {{ probabilities = 1e-9 }}\n')
    code, out, _ = run(capsys, "verify")
    assert code == 64
    assert "did you mean 'probability'" in out


def test_several_artifacts_in_the_consumers_that_read_them(
    folder: Path, iris, capsys: pytest.CaptureFixture[str], need_module
) -> None:  # type: ignore[no-untyped-def]
    need_module("onnxruntime", "onnxruntime")
    modelport.convert(iris[2], "iris.onnx", sample=iris[0])
    code, out, _ = run(capsys, "verify", "iris.json", "iris.onnx", "--with", "python", "--json")
    assert code == 0
    said = json.loads(out)
    assert (said["passed"], said["exit_code"]) == (True, 0)
    assert [[o["consumer"].split()[0] for o in v["outcomes"]] for v in said["verified"]] == [["numpy", "python"], ["onnxruntime"]]
    assert [v["report"]["passed"] for v in said["verified"]] == [True, True]
    code, out, _ = run(capsys, "verify", "iris.json", "iris.onnx", "--with", "pypmml")
    assert code == 64, "it reads neither"
    Path("half.json").write_text(Path("iris.json").read_text(encoding="utf-8")[:900], encoding="utf-8")
    code, out, _ = run(capsys, "verify", "iris.json", "half.json", "nowhere.json")
    assert code == 2, "refused comes before usage"
    assert [line.split()[-1] for line in out.splitlines()[-3:]] == ["passed", "failed", "failed"]
    damage("iris.json")
    assert run(capsys, "verify", "iris.json", "half.json", "nowhere.json")[0] == 1


def test_one_artifact_is_reported_as_before(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "verify", "iris.json", "--json")
    assert code == 0
    assert json.loads(out)["consumers"][0]["passed"] is True
    code, out, _ = run(capsys, "verify", "iris.json", "--with", "all", "--markdown")
    assert code == 0
    assert "| iris.json | json | python | 64 |" in out
    assert run(capsys, "verify", "iris.json", "--json", "--markdown")[0] == 64


def test_update_leaves_alone_what_a_new_file_would_not_help(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("MODELPORT_CC", "no-such-compiler")
    sources = 'model = "model.joblib"\ntrust = true\nsample = "rows.csv"\n'
    declare(f'{COMMITTED}{sources}consumers = ["c"]\n')
    before = Path("iris.json").read_bytes()
    assert run(capsys, "verify", "--update")[0] == 3
    assert Path("iris.json").read_bytes() == before
    Path("iris.json").write_bytes(before[:900])
    declare(f'{COMMITTED}{sources}consumers = ["modelport"]\n')
    assert run(capsys, "verify")[0] == 2
    assert run(capsys, "verify", "--update")[0] == 0
    assert run(capsys, "verify")[0] == 0


@pytest.mark.parametrize("content", [b"", b"\0garbage", b"{}"])
def test_a_damaged_artifact_hides_no_other_and_is_written_again(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    Path("spoilt.json").write_bytes(content)
    Path("odd").write_bytes(content)
    sources = 'model = "model.joblib"\ntrust = true\nsample = "rows.csv"\nconsumers = ["modelport"]\n'
    declare(f'{ENTRY}artifacts = ["spoilt.json", "odd", "iris.json"]\n{sources}')
    code, out, _ = run(capsys, "verify")
    assert code == 2
    assert re.findall(r"^iris \((\S+)\) .* (\w+)$", out, re.MULTILINE)[:3] == [
        ("spoilt.json", "failed"),
        ("odd", "failed"),
        ("iris.json", "passed"),
    ]
    declare(f'{ENTRY}artifacts = ["spoilt.json", "iris.json"]\n{sources}')
    assert run(capsys, "verify", "--update")[0] == 0
    assert run(capsys, "verify")[0] == 0


def test_the_job_summary_of_a_workflow(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    assert run(capsys, "verify", "iris.json")[0] == 0
    damage("iris.json")
    assert run(capsys, "verify", "iris.json", "iris.json")[0] == 1
    assert run(capsys, "verify", "nowhere.json")[0] == 64
    said = (folder / "summary.md").read_text(encoding="utf-8")
    assert said.count("| model | format | consumer | rows | max abs error | tolerance | verdict |") == 3
    assert "## modelport verify: 1 passed\n" in said
    assert "**failed**" in said
    assert "There is no file 'nowhere.json'." in said
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "no" / "such" / "folder"))
    assert run(capsys, "verify", "iris.json")[0] == 1, "a summary that cannot be written changes nothing"


# --- tables -------------------------------------------------------------------------------------------------------------------

HOSTILE = "a|b\n<script>alert(1)</script> [x](http://evil) `code` **bold** \x1b[31m https://evil www.evil.com @team $x$ :tada:"


def test_names_cannot_inject_anything() -> None:
    rows = [
        Outcome(HOSTILE, "json", HOSTILE, "failed", 3, None, HOSTILE, f"```\n{HOSTILE}\n````\n# head", 1),
        Outcome(HOSTILE, "json", HOSTILE, "not run", details=HOSTILE),
    ]
    text = markdown(rows, HOSTILE)
    lines = text.splitlines()
    fence = next(line for line in lines if line.startswith("```"))
    assert fence == "`````text"
    start, end = lines.index(fence), lines.index("`````")
    outside = "\n".join(lines[:start] + lines[end + 1 :])
    assert not re.search(r"(?<!\\)[<`\[]|(?<!\\)\||www\.|https?:|@", re.sub(r"^\|.*?\|$", "", outside, flags=re.MULTILINE))
    cells = [re.split(r"(?<!\\)\|", line) for line in lines[2:6]]
    assert {len(row) for row in cells} == {9}
    assert "\x1b" not in text
    assert "<script>" not in outside
    assert len(table(rows).splitlines()) == 3
    assert "\x1b" not in table(rows)
    assert fenced("a") == "```text\na\n```"


def test_escaped_markdown_is_the_text_again(need_module: Callable[[str, str], None]) -> None:
    need_module("markdown_it", "markdown_it")
    import markdown_it

    html = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(f"# {escaped(HOSTILE)}")
    text = re.sub(r"</?h1>", "", html).strip()
    assert "<" not in text
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(entity, character)
    assert text == HOSTILE.replace("\n", "\\n").replace("\x1b", "\\x1b")


def test_the_worst_exit_code() -> None:
    def rows(*codes: int) -> list[Outcome]:
        return [Outcome("m", "json", "c", "failed" if code else "passed", exit_code=code) for code in codes]

    assert worst_exit_code(rows(0, 0)) == 0
    assert worst_exit_code(rows(64, 3, 0)) == 3
    assert worst_exit_code(rows(0, 3, 2, 1, 64)) == 1
    assert worst_exit_code([Outcome("m", "json", "c", "not run")]) == 3, "nothing was compared"
    assert worst_exit_code([]) == 3
