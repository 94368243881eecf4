"""Errors that teach: every class has a page, its examples raise that very class, and what they print stands on the page."""

from __future__ import annotations

import ast
import json
import pickle
import re
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelport import errors, registry
from modelport.cli import main
from modelport.errors import PAGES, Mismatch, ModelportError, Refused, UnsupportedAttribute, UsageError
from modelport.explaining import BY_EXIT_CODE, classes, explanation, explanations

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "errors"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = ("What it means", "Why ", "Example", "What to do")
#: classes that are bases: they are raised as one of their own kinds
BASES = (ModelportError,)


def page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


# --- the pages ----------------------------------------------------------------------------------------------------------------


def test_every_class_has_a_page_and_every_page_a_class() -> None:
    listed = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    raised = {cls.__name__ for cls in every(ModelportError) if cls.__module__ == "modelport.errors"}
    assert listed == raised
    assert {path.stem for path in FOLDER.glob("*.md")} - {"index"} == set(classes())
    assert len(classes()) == len(listed)


def every(cls: type[Exception]) -> set[type[Exception]]:
    return {cls}.union(*(every(sub) for sub in cls.__subclasses__()))


@pytest.mark.parametrize("name", sorted(classes()))
def test_a_page_says_what_why_and_what_to_do(name: str) -> None:
    text, cls = page(name), classes()[name]
    assert text.startswith(f"# {cls.__name__}\n")
    headings = re.findall(r"^## (.+)$", BLOCK.sub("", text), re.MULTILINE)
    places = [next((i for i, h in enumerate(headings) if h.startswith(section)), -1) for section in SECTIONS]
    assert -1 not in places, (name, headings)
    if cls not in BASES:
        assert f"Exit code **{cls.exit_code}**" in " ".join(text.split())
    assert explanation(name).summary


def test_the_index_lists_every_page_with_its_exit_code() -> None:
    rows = dict(re.findall(r"^\| \[\w+\]\(([\w-]+)\.md\) \| (\d+) \|", page("index"), re.MULTILINE))
    assert {name: int(code) for name, code in rows.items()} == {name: cls.exit_code for name, cls in classes().items()}


class Watched(ast.NodeTransformer):
    """Notes which class every `except` clause caught, and fails where nothing was raised."""

    def visit_Try(self, node: ast.Try) -> ast.Try:
        self.generic_visit(node)
        for handler in node.handlers:
            assert handler.name, "an example names what it caught"
            handler.body.insert(0, ast.parse(f"_caught.append({handler.name})").body[0])
        node.orelse = [ast.parse("raise AssertionError('the example raised nothing')").body[0]]
        return node


@pytest.fixture(scope="module")
def prepared(iris, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """What pages may use: model.joblib, rows.csv and model.json."""
    import joblib

    import modelport

    X, _, model = iris
    folder = tmp_path_factory.mktemp("prepared")
    joblib.dump(model, folder / "model.joblib")
    X.to_csv(folder / "rows.csv", index=False)
    modelport.convert(model, folder / "model.json", sample=X)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a page's own; what an example changes is put back."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    registry._entries.cache_clear()


@pytest.mark.parametrize("name", ["index", *sorted(classes())])
def test_what_a_page_shows_is_so(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Examples raise that very class, print what stands below them, and commands end with the exit code that they say."""
    caught: list[ModelportError] = []
    namespace: dict[str, Any] = {"__name__": "__page__", "_caught": caught}
    printed = ""
    for kind, text in [(m[1], m[2]) for m in BLOCK.finditer(page(name))]:
        if kind == "text":
            assert printed == text
        elif kind == "python":
            tree = ast.fix_missing_locations(Watched().visit(ast.parse(text)))
            exec(compile(tree, f"{name}.md", "exec"), namespace)
            printed = capsys.readouterr().out
        elif kind == "console":
            for line in text.splitlines():
                command, _, said = line.partition("# exit code ")
                assert run(*command.split()[1:]) == int(said or 0), (line, capsys.readouterr())
            capsys.readouterr()
    if name != "index":
        cls = classes()[name]
        assert caught
        assert all(isinstance(error, cls) if cls in BASES else type(error) is cls for error in caught)


def run(*arguments: str) -> int:
    try:
        return main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)


def texts_of_the_code() -> str:
    """Every string of our modules, with the strings that Python puts together put together."""
    found = []
    for path in [*(ROOT / "modelport").rglob("*.py"), *(ROOT / "converters").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_the_messages_on_the_pages_are_ones_that_occur() -> None:
    code = texts_of_the_code()
    quoted = {name: re.findall(r"^\| `([^`]+)`", page(name), re.MULTILINE) for name in classes()}
    assert sum(map(len, quoted.values())) > 30
    assert not [(name, text) for name, texts in quoted.items() for text in texts if text not in code]


# --- errors -------------------------------------------------------------------------------------------------------------------


def test_an_error_knows_its_page_and_stays_a_sentence() -> None:
    error = Mismatch("The numbers differ.", report=7)
    assert str(error) == "The numbers differ."
    assert error.page == "mismatch"
    assert error.address == f"{PAGES}mismatch/"
    shown = "".join(traceback.format_exception(error))
    assert ("modelport explain mismatch" in shown) == (sys.version_info >= (3, 11))

    class Special(Refused):
        """A stranger's."""

    assert Special("x").page == "refused"


@pytest.mark.parametrize("error", [Mismatch("a", 1), UnsupportedAttribute("b", "shift_"), UsageError("c")])
def test_an_error_survives_pickling(error: ModelportError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


# --- on the command line ------------------------------------------------------------------------------------------------------


def test_the_command_line_shows_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "nowhere.json"]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "modelport: There is no file 'nowhere.json'.",
        f"  see {PAGES}usage-error/ or: modelport explain usage-error",
    ]


@pytest.mark.parametrize("arguments", [["inspect", "nowhere.json", "--json"], ["inspect", "--json"]])
def test_under_json_an_error_is_an_object(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(*arguments)
    out, err = capsys.readouterr()
    said = json.loads(err)
    assert (code, out) == (64, "")
    assert (said["error"], said["exit_code"], said["page"]) == ("UsageError", 64, "usage-error")
    assert said["address"] == f"{PAGES}usage-error/"
    assert said["message"]


@pytest.mark.parametrize(
    ("name", "title"),
    [("mismatch", "Mismatch"), ("MissingDependency", "MissingDependency"), ("modelport.errors.InputError", "InputError"),
     ("missing dependency", "MissingDependency"), ("3", "Unsupported"), ("64", "UsageError")],
)  # fmt: skip
def test_explain_prints_a_page(name: str, title: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"# {title}\n")
    assert out == page(classes_by_title()[title])
    assert main(["explain", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == title


def classes_by_title() -> dict[str, str]:
    return {cls.__name__: name for name, cls in classes().items()}


def test_explain_lists_all_and_refuses_what_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in classes())
    assert main(["explain", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [e["page"] for e in listed] == [e.page for e in explanations()]
    assert main(["explain", "nonsense"]) == 64
    assert "There is no error 'nonsense'" in capsys.readouterr().err


def test_exit_codes_of_stubs_have_pages() -> None:
    """The exit codes of the protocol (stubs/README.md), and the pages that they lead to."""
    codes = set(re.findall(r"\*\*(\d+)\*\*", (ROOT / "stubs" / "README.md").read_text(encoding="utf-8").split("Exit codes:")[1]))
    assert codes - {"0"} == set(BY_EXIT_CODE)
    for code, name in BY_EXIT_CODE.items():
        assert classes()[name].exit_code == int(code)
        assert f"| {code} |" in page("index").split("## Exit codes of stubs")[1]
