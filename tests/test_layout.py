"""What belongs where: module sizes, imports, docstrings, the shape of a stub, the fixtures' schemas, nothing of one machine."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from suite import FIXTURES, artifacts, document_of_case, liars, op_cases

import modelport
from modelport.ops import OPS

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted([*(ROOT / "modelport").rglob("*.py"), *(ROOT / "converters").rglob("*.py")])
PACKAGES = sorted(p.name for p in (ROOT / "converters").iterdir() if (p / "__init__.py").is_file())
STUBS = sorted(p.parent for p in (ROOT / "stubs").glob("*/stub.json"))
MODULE_LINES, STUB_LINES = 600, 2500
LICENCE = "SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT"
SECTIONS = ("Errors", "JSON", "Tensors", "Special functions", "Ops", "Trees", "Model")
#: files that a stub may have beside its library and its command line: what builds it, and a library that does without NumPy
BESIDE = {"build.py", "modelport_stub_pure.py"}
#: of adapters, which hand rows to somebody else's runtime
ADAPTER_SECTIONS = ("Errors", "JSON", "Tensors", "Rows", "Model")
TEXT = {
    *(".c", ".cfg", ".cjs", ".cs", ".csproj", ".csv", ".go", ".h", ".html", ".in", ".java", ".js", ".json", ".md", ".mjs"),
    *(".mod", ".pmml", ".py", ".rs", ".sh", ".toml", ".ts", ".txt", ".xml", ".yaml", ".yml", ""),
}
MACHINE = re.compile(r"(?<![\w.])/(?:work|home|root|Users|mnt|srv)/\w|[A-Z]:\\\\?Users|file:///\w")
REGISTRY = re.compile(
    r"index[-_]url|https?://(?:localhost|(?:\d+\.){3}\d+):\d|https?://[\w.:@-]*(?:pypi|pythonhosted|npmjs|artifactory|nexus|registry|mirror|proxy)",
    re.IGNORECASE,
)


def name_of(path: Path) -> str:
    """A path as it is called in the repository."""
    return path.relative_to(ROOT).as_posix()


# --- modules ------------------------------------------------------------------------------------------------------------------


def dotted(path: Path) -> str:
    """The importable name of a module below modelport/ or converters/."""
    start = ROOT / "converters" if ROOT / "converters" in path.parents else ROOT
    return ".".join(path.relative_to(start).with_suffix("").parts).removesuffix(".__init__")


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_modules_are_read_in_one_sitting() -> None:
    long = {name_of(path): n for path in MODULES if (n := line_count(path)) > MODULE_LINES}
    assert MODULES
    assert not long


def roots_imported_at_once(tree: ast.Module) -> Iterator[str]:
    """Root modules that importing a module imports: everything but what stands in functions and under TYPE_CHECKING."""
    queue: list[ast.AST] = list(tree.body)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module:
                yield node.module.partition(".")[0]
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            queue += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            queue += ast.iter_child_nodes(node)


def test_importing_brings_no_framework() -> None:
    core = {"numpy", "modelport"} | sys.stdlib_module_names
    found = {}
    for path in MODULES:
        allowed = core if ROOT / "converters" not in path.parents else core | set(PACKAGES)
        if ROOT / "modelport" / "testing" in path.parents:
            allowed = core | {"pytest"}  # which is what imports the plugin
        foreign = set(roots_imported_at_once(ast.parse(path.read_text(encoding="utf-8")))) - allowed
        if foreign:
            found[name_of(path)] = sorted(foreign)
    assert not found


def test_the_import_check_sees_what_it_should() -> None:
    source = (
        "import a.b\nif TYPE_CHECKING:\n    import c\ntry:\n    from d import e\nexcept ImportError:\n    pass\n"
        "def f():\n    import g\nfrom .h import i\n"
    )
    assert sorted(roots_imported_at_once(ast.parse(source))) == ["a", "d"]


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """(name, object) of everything a module offers: __all__, and the public methods of its classes."""
    for name in getattr(module, "__all__", ()):
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        yield f"{module.__name__}.{name}", thing
        if inspect.isclass(thing):
            fields = getattr(thing, "__dataclass_fields__", {})
            for member, value in vars(thing).items():
                method = inspect.isfunction(value) or isinstance(value, (property, classmethod))
                if method and member not in fields and not member.startswith("_"):
                    yield f"{module.__name__}.{name}.{member}", value


def has_docstring(thing: Any) -> bool:
    written = inspect.getdoc(thing.__func__ if isinstance(thing, classmethod) else thing) or ""
    generated = inspect.isclass(thing) and written.startswith(f"{thing.__name__}(")
    return bool(written.strip()) and not generated


@pytest.mark.parametrize("path", [pytest.param(path, id=dotted(path)) for path in MODULES])
def test_public_names_have_docstrings(path: Path) -> None:
    module = importlib.import_module(dotted(path))
    assert (module.__doc__ or "").strip(), f"{module.__name__} has no docstring"
    assert not [name for name, thing in public(module) if not has_docstring(thing)]


def entry_points() -> dict[str, dict[str, str]]:
    """Group -> name -> module, as pyproject.toml says (read without tomllib, which Python 3.10 lacks)."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    groups = re.findall(r'^\[project\.entry-points\."modelport\.(\w+)"\]\n((?:.+\n)+)', text, re.MULTILINE)
    return {group: dict(re.findall(r'^(\w+) = "([\w.]+)"$', body, re.MULTILINE)) for group, body in groups}


def test_converters_are_entry_points_and_keep_the_contract() -> None:
    from modelport.registry import CONTRACTS

    said = entry_points()
    assert {module.partition(".")[0] for group in said.values() for module in group.values()} == set(PACKAGES)
    assert set(said) <= set(CONTRACTS)
    for group, members in said.items():
        for name, module in members.items():
            loaded = importlib.import_module(module)
            assert not [part for part in CONTRACTS[group] if not hasattr(loaded, part)], module
            if group == "writers":
                assert name == loaded.FORMAT
                assert all(suffix.startswith(".") for suffix in loaded.SUFFIXES)


# --- stubs --------------------------------------------------------------------------------------------------------------------


def stub_json(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "stub.json").read_text(encoding="utf-8")))


@cache
def schema(name: str) -> Any:
    """A validator for fixtures/schema/NAME."""
    from jsonschema import Draft202012Validator

    content = json.loads((FIXTURES / "schema" / name).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(content)
    return Draft202012Validator(content)


def faults(validator: Any, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder.name) for folder in STUBS])
def test_every_stub_has_the_same_shape(folder: Path) -> None:
    said = stub_json(folder)
    assert not faults(schema("stub.json"), said)
    assert said["name"] == folder.name
    files, library = set(said["files"]), set(said["library"])
    present = {p.name for p in folder.iterdir() if p.is_file() and p.suffix not in (".pyc", ".class", ".o")}
    assert library < files
    types = {name for name in files if name.endswith(".d.ts")}
    assert len(files - library - types - BESIDE) == 1, (
        "beside the library there is one file, the command line, and what is known here"
    )
    shared = {name for name in files if name.startswith("../")}
    assert all((folder / name).is_file() for name in shared)
    files -= shared
    assert files | {"stub.json", "README.md", "known_failures.txt"} <= present
    extra = present - files - {"stub.json", "README.md", "known_failures.txt"}
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert not [name for name in extra if name not in readme], "a further file is named in the stub's README"


@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder.name) for folder in STUBS])
def test_every_stub_library_is_readable(folder: Path) -> None:
    """The sections stand in their order in the files that every model needs: one, but where a formatter spreads it out."""
    said = stub_json(folder)
    for name in said["files"]:
        head = (folder / name).read_text(encoding="utf-8").splitlines()[:3]
        assert any(LICENCE in line for line in head), f"{name} lacks its SPDX line"
        assert line_count(folder / name) <= STUB_LINES, name
    always = [folder / name for name in said["library"] if name not in said.get("further", {}) and not is_for_speed(name)]
    words = SECTIONS if said["format"] == "json" else ADAPTER_SECTIONS
    titles = [[t for line in path.read_text(encoding="utf-8").splitlines() if (t := section(line, words))] for path in always]
    if said["format"] == "json":
        assert tuple(t for each in titles for t in each) == SECTIONS
    else:  # an adapter, with the JSON stub of its language
        assert list(ADAPTER_SECTIONS) in titles


def is_for_speed(name: str) -> bool:
    """A file without which the others do the same, later: modelport_fast.c, ModelportFast.java."""
    return Path(name).stem.lower().endswith("fast")


def section(line: str, words: tuple[str, ...]) -> str | None:
    """The one of these sections that a comment line opens: `# ==== Ops ====`, `// 5 Ops`, `/* ==== 5 Ops and more ====`."""
    match = re.match(r"^\s*(?:#|//|/\*) ?=*\s*(?:\d )?([A-Z][\w ]*?)(?: and [\w ]+?)?\s*=*\s*(?:\*/)?$", line)
    return match[1] if match and match[1] in words and ("=" in line or re.search(r"\d [A-Z]", line)) else None


def test_stub_names_and_aliases_are_all_different() -> None:
    names = [name for folder in STUBS for name in (stub_json(folder)["name"], *stub_json(folder)["aliases"])]
    assert STUBS
    assert len(set(names)) == len(names)


# --- fixtures -----------------------------------------------------------------------------------------------------------------


def test_op_cases_fit_their_schema() -> None:
    validator = schema("op-case.json")
    paths = sorted((FIXTURES / "ops").glob("*.json"))
    assert {path.stem for path in paths} == set(OPS), "one file of cases per op"
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content["op"] == path.stem
        assert not faults(validator, content), path.name
        names = [case["name"] for case in content["cases"]]
        assert len(set(names)) == len(names), path.name


def test_the_schemas_know_every_op() -> None:
    known = json.loads((FIXTURES / "schema" / "op-case.json").read_text(encoding="utf-8"))["properties"]["op"]["enum"]
    assert sorted(known) == sorted(OPS)


def test_documents_of_op_cases_fit_the_format() -> None:
    validator = schema("format-1.json")
    for op, case in op_cases():
        if "error" not in case:
            assert not faults(validator, document_of_case(case)), f"{op}: {case['name']}"


@pytest.mark.parametrize("path", [pytest.param(p, id=name_of(p)) for p in (*artifacts(), *liars())])
def test_artifacts_fit_the_format(path: Path) -> None:
    validator = schema("format-1.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert not faults(validator, document)
    more = path.parent / "vectors.json"
    if more.is_file():
        document["verification"] = json.loads(more.read_text(encoding="utf-8"))
        assert not faults(validator, document)


@pytest.mark.parametrize("style", ["default", "readable", "compact"])
def test_a_fresh_artifact_fits_the_format(mixed, iris, style: str) -> None:  # type: ignore[no-untyped-def]
    validator = schema("format-1.json")
    for sample, model in ((mixed[0], mixed[1]), (iris[0], iris[2])):
        artifact = modelport.convert(model, "json", sample=sample, name="fresh", metadata={"a": 1}, style=style)
        assert not faults(validator, json.loads(artifact.data))


def test_the_schema_refuses_what_it_should(iris) -> None:  # type: ignore[no-untyped-def]
    validator = schema("format-1.json")
    document = json.loads(modelport.convert(iris[2], "json", sample=iris[0]).data)
    for change in ({"requires": None}, {"more": 1}, {"version": "2.0"}, {"inputs": []}, {"outputs": [{"name": "y"}]}):
        assert faults(validator, {**document, **change}), change


# --- files --------------------------------------------------------------------------------------------------------------------


def tracked() -> list[Path]:
    """The repository's files: what git lists (new files too), or, without git, every file outside of folders that tools make."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        found = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        made = {"build", "dist", "demo-output", "__pycache__"}
        found = [
            path
            for path in ROOT.rglob("*")
            if not any(part.startswith(".") or part in made for part in path.relative_to(ROOT).parts)
        ]
    return [path for path in found if path.is_file()]


def test_no_file_speaks_of_one_machine() -> None:
    found = []
    for path in tracked():
        if path.suffix not in TEXT or FIXTURES / "invalid" in path.parents:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if MACHINE.search(line) or REGISTRY.search(line):
                found.append(f"{name_of(path)}:{number}: {line.strip()[:120]}")
    assert not found


@pytest.mark.parametrize(
    "line",
    ["see " + "/".join(("", "work", "x")), "/".join(("", "home", "ann", "model")), "\\".join(("C:", "Users", "ann")),
     "--index" + "-url x", "http://" + "localhost:8081/simple", "https://" + "registry.example/x"],
)  # fmt: skip
def test_the_machine_check_sees_what_it_should(line: str) -> None:
    assert MACHINE.search(line) or REGISTRY.search(line)
