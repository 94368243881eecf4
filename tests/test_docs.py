"""The pages are true: what they show runs, what they link to exists, what is generated is up to date."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from modelport.ops import OPS

ROOT = Path(__file__).resolve().parent.parent
#: pages whose blocks belong to a repository of their own, and are run there (test_user_repository.py)
ELSEWHERE = ("ci.md",)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, *sorted(ROOT.glob("stubs/**/README.md")), ROOT / "fixtures" / "README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: runs a page's blocks in order, in one namespace and one folder, and stops at the first that does otherwise than it says
RUNNER = """
import json, re, shlex, sys, warnings
warnings.simplefilter("ignore")
from modelport.cli import main
namespace = {"__name__": "__page__"}
for kind, page, line, text in json.load(sys.stdin):
    if kind == "python":
        exec(compile("\\n" * line + text, page, "exec"), namespace)
        continue
    said = re.search(r"# exit code (\\d+)$", text)
    try:
        code = main(shlex.split(text, comments=True)[1:])
    except SystemExit as stop:
        code = int(stop.code or 0)
    if code != (int(said[1]) if said else 0):
        sys.exit(f"{page}:{line + 1}: exit code {code} of: {text}")
"""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def steps(page: Path) -> list[tuple[str, str, int, str]]:
    """(kind, page, lines above, text) of every block of Python, and every modelport command of a console block."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in BLOCK.finditer(text):
        kind, above = block[1], text.count("\n", 0, block.start(2))
        if kind == "python":
            found.append(("python", name_of(page), above, block[2]))
        elif kind in ("console", "bash"):
            lines = block[2].splitlines()
            found += [("command", name_of(page), above + i, s) for i, s in enumerate(lines) if s.startswith("modelport ")]
    return found


@pytest.fixture
def folder(iris, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    """What pages may use: model.joblib, rows.csv and model.json."""
    import joblib

    import modelport

    X, _, model = iris
    joblib.dump(model, tmp_path / "model.joblib")
    X.to_csv(tmp_path / "rows.csv", index=False)
    modelport.convert(model, tmp_path / "model.json", sample=X)
    return tmp_path


@pytest.mark.parametrize("page", [pytest.param(p, id=name_of(p)) for p in PAGES if steps(p) and p.name not in ELSEWHERE])
def test_what_a_page_shows_runs(page: Path, folder: Path, need_module, need_program) -> None:  # type: ignore[no-untyped-def]
    blocks = steps(page)
    shown = "\n".join(text for *_, text in blocks)
    if "onnx" in shown:
        need_module("onnxruntime", "onnxruntime")
    if 'backend="skl2onnx"' in shown:
        need_module("skl2onnx", "skl2onnx")
    for consumer, program in (("javascript", "node"), ("java", "java"), ("c", "cc")):
        if f"--with {consumer}\n" in f"{shown}\n" or f'with_="{consumer}"' in shown:
            need_program(consumer, program)
    bin_ = os.path.dirname(sys.executable)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "converters"), os.environ.get("PYTHONPATH", "")]),
        "PATH": os.pathsep.join([bin_, os.environ.get("PATH", "")]),
        "PYTHONIOENCODING": "utf-8",
    }
    command = [sys.executable, "-c", RUNNER]
    done = subprocess.run(command, input=json.dumps(blocks), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_runner_notices() -> None:
    for block in (("python", "p", 0, "assert False"), ("command", "p", 0, "modelport inspect nowhere.json")):
        done = subprocess.run([sys.executable, "-c", RUNNER], input=json.dumps([block]), capture_output=True, text=True)
        assert done.returncode != 0


def test_every_fenced_block_is_closed_and_of_a_known_kind() -> None:
    known = {"", "python", "console", "bash", "json", "toml", "js", "java", "c", "html", "text", "yaml"}
    for page in LINKED:
        text = page.read_text(encoding="utf-8")
        assert text.count("\n```") % 2 == 0, name_of(page)
        assert {block[1] for block in BLOCK.finditer(text)} <= known, name_of(page)


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links, outside of blocks and code."""
    text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked to."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [pytest.param(p, id=name_of(p)) for p in LINKED])
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        assert ROOT in target.parents, f"{name_of(page)} links to {link}, which is outside of the repository"
        if anchor:
            assert anchor in anchors(target), f"{name_of(page)} links to {link}"


def test_every_page_is_linked_from_another() -> None:
    reached = {(page.parent / link.partition("#")[0]).resolve() for page in LINKED for link in links(page)}
    assert not [name_of(p) for p in PAGES[1:] if p.resolve() not in reached]


def generator() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date() -> None:
    pages = generator().pages()
    assert pages
    for name, content in pages.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == content, f"docs/{name} is stale: run make docs"


def test_the_format_page_lists_every_op_as_the_code_has_it() -> None:
    text = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!op )([a-z_]+)(\*?)( d)? \|", text[text.index("\n## 6") : text.index("\n## 7")], re.MULTILINE)
    assert {name for name, *_ in rows} == set(OPS)
    for name, star, floating in rows:
        op = OPS[name]
        functions = op.attributes["fn"].options if "fn" in op.attributes else ("",)
        assert bool(star) == all(op.exact({"fn": fn}) for fn in functions), f"{name} is exact or not"
        if name != "tree_ensemble":  # section 7 is its row
            assert bool(floating) == ("dtype" in op.attributes), f"{name} has the attribute dtype or not"


def test_every_command_is_described() -> None:
    from modelport.cli import build_parser

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    actions = {a.dest: a for a in build_parser()._actions}
    for name, parser in actions["command"].choices.items():
        assert f"modelport {name}" in page
        for action in parser._actions if name == "convert" else ():
            if action.option_strings and action.dest != "help":
                assert any(f"`{option}" in page for option in action.option_strings), action.option_strings
