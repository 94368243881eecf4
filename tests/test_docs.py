"""The pages are true: what they show runs, what they link to exists, what is generated is up to date."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import pytest

from modelport.ops import OPS

ROOT = Path(__file__).resolve().parent.parent
#: pages whose blocks belong to a repository of their own, and are run there (test_user_repository.py)
ELSEWHERE = ("ci.md",)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKED = [*PAGES, *sorted(ROOT.glob("stubs/**/README.md")), ROOT / "fixtures" / "README.md", ROOT / "benchmarks" / "README.md"]
BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLUGIN = "modelport.testing.plugin"
TITLE = re.compile(r' title="([\w./-]+)"$')
#: programs that a page may run: what it is called when it is missing (conftest.py), and what has to be on the PATH for it
PROGRAMS = {"javac": ("java", "javac"), "java": ("java", "java"), "cc": ("c", "cc"), "node": ("javascript", "node")}
PROGRAMS |= {"go": ("go", "go"), "rustc": ("rust", "rustc")}
#: packages that a page may import, and what each is called when it is missing
PACKAGES = {
    **{name: name for name in ("torch", "keras", "tensorflow", "xgboost", "lightgbm", "catboost", "onnxruntime", "skl2onnx")},
    "onnxscript": "torch",
    "jpmml_evaluator": "jpmml",
    "pypmml": "pypmml",
}

#: runs a page's blocks in order, in one namespace and one folder, and stops at the first that does otherwise than it says
RUNNER = """
import contextlib, io, json, pathlib, re, shlex, subprocess, sys, warnings
warnings.simplefilter("ignore")
from modelport.cli import main
namespace = {"__name__": "__page__"}
printed = io.StringIO()

def command(text):
    words = shlex.split(text, comments=True)
    if words[0] == "modelport":
        try:
            return main(words[1:])
        except SystemExit as stop:
            return int(stop.code or 0)
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    print(done.stdout, end="")
    return done.returncode

def tidy(text):
    return "\\n".join(line.rstrip() for line in text.strip().splitlines())

for kind, page, line, text in json.load(sys.stdin):
    if kind == "file":
        name, _, content = text.partition("\\n")
        pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(name).write_text(content, encoding="utf-8")
        continue
    if kind == "output":
        pattern = ".*?".join(re.escape(part) for part in tidy(text).split("..."))
        if not re.fullmatch(pattern, tidy(printed.getvalue()), re.DOTALL):
            sys.exit(f"{page}:{line + 1}: this is shown:\\n{tidy(text)}\\nand this was printed:\\n{tidy(printed.getvalue())}")
        continue
    if kind == "begin":
        printed = io.StringIO()
        continue
    with contextlib.redirect_stdout(printed):
        if kind == "python":
            exec(compile("\\n" * line + text, page, "exec"), namespace)
            continue
        said = re.search(r"# exit code (\\d+)$", text)
        with contextlib.redirect_stderr(printed):
            code = command(text)
    if code != (int(said[1]) if said else 0):
        sys.exit(f"{page}:{line + 1}: exit code {code} of: {text}\\n{printed.getvalue()[-1500:]}")
"""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def steps(page: Path) -> list[tuple[str, str, int, str]]:
    """(kind, page, lines above, text) of what a page does, in order.

    Blocks of Python run; of a console block the commands that are ours or one of PROGRAMS; of a bash block only ours. A block
    with a title is written as a file of that name. A text block right below one that ran is what it printed, `...` standing for
    anything.
    """
    text = page.read_text(encoding="utf-8")
    found: list[tuple[str, str, int, str]] = []
    ran_until = -1
    for block in BLOCK.finditer(text):
        kind, title, body, above = block[1], TITLE.search(block[2]), block[3], text.count("\n", 0, block.start(3))
        begin = ("begin", name_of(page), above, "")
        if title:
            found.append(("file", name_of(page), above, f"{title[1]}\n{body}"))
        elif kind == "python":
            found += [begin, ("python", name_of(page), above, body)]
            ran_until = block.end()
        elif kind in ("console", "bash"):
            lines = re.sub(r" *\\\n *", " ", body).splitlines()
            shown = [(i, line) for i, line in enumerate(lines) if is_run(line, kind)]
            found += [begin] * bool(shown) + [("command", name_of(page), above + i, line) for i, line in shown]
            ran_until = block.end() if shown else ran_until
        elif kind == "text" and ran_until >= 0 and not text[ran_until : block.start()].strip():
            found.append(("output", name_of(page), above, body))
    return found


def is_run(line: str, kind: str) -> bool:
    """Whether a line of a console or bash block is a command that the runner runs."""
    word = line.split(" ", 1)[0]
    return word == "modelport" or (kind == "console" and (word in ("python", *PROGRAMS) or word.startswith("./")))


@pytest.fixture
def folder(iris, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    """What pages may use: model.joblib, rows.csv, model.json, and stand-ins for Android's classes."""
    import joblib

    import modelport

    X, _, model = iris
    joblib.dump(model, tmp_path / "model.joblib")
    X.to_csv(tmp_path / "rows.csv", index=False)
    modelport.convert(model, tmp_path / "model.json", sample=X)
    shutil.copytree(ROOT / "tests" / "android", tmp_path / "android")  # stand-ins for Android's classes
    return tmp_path


def run(blocks: list[tuple[str, str, int, str]], folder: Path) -> subprocess.CompletedProcess[str]:
    """The runner on blocks."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "converters"), os.environ.get("PYTHONPATH", "")]),
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]),
        "PYTHONIOENCODING": "utf-8",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    if not any(found.value == PLUGIN for found in entry_points(group="pytest11")):  # an installation older than the plugin
        environment["PYTEST_PLUGINS"] = PLUGIN
    command = [sys.executable, "-c", RUNNER]
    return subprocess.run(command, input=json.dumps(blocks), cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("page", [pytest.param(p, id=name_of(p)) for p in PAGES if steps(p) and p.name not in ELSEWHERE])
def test_what_a_page_shows_runs(page: Path, folder: Path, need_module, need_program) -> None:  # type: ignore[no-untyped-def]
    blocks = steps(page)
    shown = "\n".join(text for *_, text in blocks)
    if "onnx" in shown:
        need_module("onnxruntime", "onnxruntime")
    for package, name in PACKAGES.items():
        if re.search(rf"^ *(?:import|from) {package}\b", shown, re.MULTILINE) or f'backend="{package}"' in shown:
            need_module(name, package)
    for consumer, program in (("javascript", "node"), ("java", "java"), ("c", "cc")):
        if re.search(rf"--with {consumer}\b", shown) or f'with_="{consumer}"' in shown:
            need_program(consumer, program)
    for kind, _, _, text in blocks:
        if kind == "command" and text.split(" ", 1)[0] in PROGRAMS:
            need_program(*PROGRAMS[text.split(" ", 1)[0]])
    done = run(blocks, folder)
    assert done.returncode == 0, (done.stderr or done.stdout)[-3000:]


def test_the_runner_notices(tmp_path: Path) -> None:
    wrong = [
        [("python", "p", 0, "assert False")],
        [("command", "p", 0, "modelport inspect nowhere.json")],
        [("begin", "p", 0, ""), ("python", "p", 0, "print('a 12 b')"), ("output", "p", 1, "a ... c")],
        [("begin", "p", 0, ""), ("python", "p", 0, "print(1)"), ("begin", "p", 0, ""), ("output", "p", 1, "1")],
        [("file", "p", 0, "bad.js\nthrow new Error();\n"), ("command", "p", 0, f"{sys.executable} bad.js")],
    ]
    for blocks in wrong:
        assert run(blocks, tmp_path).returncode != 0, blocks
    right = [("begin", "p", 0, ""), ("python", "p", 0, "print('a 12 b ')"), ("output", "p", 1, "a ... b\n")]
    assert run(right, tmp_path).returncode == 0


def test_what_is_run_of_a_page(tmp_path: Path) -> None:
    page = ROOT / "docs" / "not-there.md"
    text = (
        'x\n```java title="a/B.java"\nclass B {}\n```\n\n```console\npip install x\njavac \\\n  B.java\n./b\n```\n\n'
        "```text\nout\n```\n\n```text\nno output\n```\n```bash\nnode x.js\nmodelport doctor\n```\n"
    )

    class Fake:
        def read_text(self, **_: str) -> str:
            return text

        def relative_to(self, other: Path) -> Path:
            return page.relative_to(other)

    found = [(kind, body) for kind, _, _, body in steps(Fake())]  # type: ignore[arg-type]
    assert found == [
        ("file", "a/B.java\nclass B {}\n"),
        ("begin", ""), ("command", "javac B.java"), ("command", "./b"), ("output", "out\n"),
        ("begin", ""), ("command", "modelport doctor"),
    ]  # fmt: skip


def test_every_fenced_block_is_closed_and_of_a_known_kind() -> None:
    known = {"", "bash", "c", "console", "csharp", "go", "groovy", "html", "java", "js", "json", "kotlin", "python", "rust"}
    known |= {"text", "toml", "xml", "yaml"}
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
    first = {ROOT / "README.md", ROOT / "docs" / "index.md"}  # where a reader comes in
    assert not [name_of(p) for p in PAGES if p.resolve() not in reached | first]


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
