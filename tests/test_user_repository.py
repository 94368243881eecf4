"""A user's repository, run as it would be outside: copied away, its own processes, the installed command line and plugin.

It passes; then one coefficient is changed, or the model fitted again, and it fails for the right reason.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests" / "thirdparty" / "progression"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Need = Callable[[str, str], None]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The repository, outside of ours."""
    target = tmp_path / "progression"
    shutil.copytree(SOURCE, target, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache", "reports"))
    return target


@pytest.fixture
def run(repository: Path, tmp_path: Path) -> Run:
    """run(command, **environment): a line of a shell in the repository, with the installed programs first on the PATH."""
    inherited = [os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    folders = [str(ROOT), str(ROOT / "converters"), *inherited]
    if not any(found.value == "modelport.testing.plugin" for found in entry_points(group="pytest11")):
        info = tmp_path / "entry" / "modelport_entry-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: modelport_entry\nVersion: 1\n", encoding="utf-8")
        entry = "[pytest11]\nmodelport = modelport.testing.plugin\n"
        (info / "entry_points.txt").write_text(entry, encoding="utf-8")
        folders.insert(0, str(info.parent))
    left_out = ("MODELPORT_REQUIRE", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST")
    basis = {key: value for key, value in os.environ.items() if key not in left_out}
    basis |= {
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), basis.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(folders),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def start(command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        shell = ["bash", "-e", "-c", command]
        return subprocess.run(shell, cwd=repository, env={**basis, **(environment or {})}, capture_output=True, text=True)

    return start


@pytest.fixture
def onnx_here(need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("onnxruntime", "onnxruntime")
    need_module("onnxruntime", "onnx")


@pytest.fixture
def toolchains(onnx_here: None, need_program: Need) -> None:
    """What the workflow's machine has."""
    for consumer, program in (("c", "cc"), ("java", "javac"), ("javascript", "node")):
        need_program(consumer, program)


def blocks(kind: str) -> list[str]:
    """The blocks of a kind in docs/ci.md."""
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    return [block[2] for block in BLOCK.finditer(page) if block[1] == kind]


# --- the page shows this repository -------------------------------------------------------------------------------------------


def test_what_the_page_shows_stands_in_the_repository() -> None:
    files = {
        "python": (SOURCE / "tests" / "test_parity.py").read_text(encoding="utf-8"),
        "toml": (SOURCE / "modelport.toml").read_text(encoding="utf-8"),
    }
    for kind, content in files.items():
        assert blocks(kind)
        for block in blocks(kind):
            assert block.strip() in content, block
    workflow = (SOURCE / ".github" / "workflows" / "parity.yml").read_text(encoding="utf-8")
    hooks = (SOURCE / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert blocks("yaml") == [workflow, hooks]


def test_the_workflow_of_the_page_passes(
    run: Run, repository: Path, tmp_path: Path, toolchains: None, need: Need, need_module: Need
) -> None:
    need_module("yaml", "yaml")
    import yaml

    if importlib.util.find_spec("pip") is None:
        need("pip", "pip is not installed, and the workflow begins with it")
    job = yaml.safe_load(blocks("yaml")[0])["jobs"]["parity"]
    steps = [step["run"] for step in job["steps"] if "run" in step]
    assert [step.split()[0] for step in steps] == ["pip", "pytest", "modelport"]
    environment = {**job["env"], "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    for step in steps:
        done = run(step, environment)
        assert done.returncode == 0, f"{step}\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^## (parity|modelport verify): \d+ passed", summary, re.MULTILINE)) == 2
    assert "failed" not in summary
    for consumer in ("c", "java", "javascript", "python", "onnxruntime"):
        assert re.search(rf"\| {consumer}[ .\d]* \| \d+ \| [\d.e-]+ \| .+ \| passed \|", summary), consumer
    junit = (repository / "reports" / "junit.xml").read_text(encoding="utf-8")
    assert 'name="test_the_model_in_every_format[json-javascript]"' in junit
    assert list((repository / "reports").glob("*javascript*.json"))


def test_the_commands_of_the_page_run(
    repository: Path, onnx_here: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from modelport.cli import main

    commands = [line for block in blocks("console") for line in block.splitlines()]
    assert len(commands) >= 6
    known = run_help()
    monkeypatch.chdir(repository)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.delitem(sys.modules, "train", raising=False)
    try:
        for command in commands:
            program, *arguments = command.split()
            if program == "modelport":
                assert main([*arguments, "--with", "python"]) == 0, command
                assert "FAILED" not in capsys.readouterr().out
            else:
                assert program == "pytest"
                assert all(argument.partition("=")[0] in known for argument in arguments), command
    finally:
        sys.modules.pop("train", None)


def run_help() -> set[str]:
    """The options of pytest that the plugin adds, and --junitxml."""
    from modelport.testing import plugin

    parser = pytest.Parser(_ispytest=True)
    plugin.pytest_addoption(parser)
    return {option for group in parser._groups for each in group.options for option in each.names()} | {"--junitxml"}


# --- and it fails for the right reason ----------------------------------------------------------------------------------------


def changed_json(repository: Path) -> None:
    """The first coefficient, a thousandth larger."""
    path = repository / "models" / "progression.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    step = next(step for step in document["steps"] if step["op"] == "linear")
    step["weight"][0][0] *= 1.001
    path.write_text(json.dumps(document), encoding="utf-8")


def changed_onnx(repository: Path) -> None:
    """The same, in the initializer of the ONNX file."""
    import onnx
    from onnx import numpy_helper

    path = repository / "models" / "progression.onnx"
    model = onnx.load(path)
    weights = [found for found in model.graph.initializer if sorted(numpy_helper.to_array(found).shape) == [1, 10]]
    largest = max(weights, key=lambda found: abs(numpy_helper.to_array(found)).max())
    array = numpy_helper.to_array(largest).copy()
    array[(0, 0)] *= 1.001
    largest.CopyFrom(numpy_helper.from_array(array, largest.name))
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("change", "file", "words"),
    [
        (changed_json, "progression.json", "first step that diverges: 'value' (linear)"),
        (changed_onnx, "progression.onnx", "prediction     MISMATCH"),
    ],
)
def test_one_changed_coefficient_fails(run: Run, repository: Path, onnx_here: None, change: Any, file: str, words: str) -> None:
    change(repository)
    done = run("modelport verify --with python")
    assert done.returncode == 1, done.stdout + done.stderr
    assert words in done.stdout
    assert "the artifact does not answer as it did when it was made: the file was changed" in done.stdout
    assert "fitted again" not in done.stdout
    verdicts = {(line.split("  ")[0], line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("progression")}
    other = "progression.onnx" if file == "progression.json" else "progression.json"
    assert (f"progression (models/{file})", "failed") in verdicts
    assert (f"progression (models/{file})", "passed") not in verdicts
    assert (f"progression (models/{other})", "failed") not in verdicts


def test_changed_artifacts_fail_under_pytest(run: Run, repository: Path, onnx_here: None) -> None:
    changed_json(repository)
    changed_onnx(repository)
    done = run("pytest -q -k committed")
    assert done.returncode == 1, done.stdout + done.stderr
    failed = re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    assert failed == [
        f"tests/test_parity.py::{name}[models/progression.{suffix}]"
        for name in ("test_a_committed_artifact_is_still_the_model", "test_a_committed_artifact_answers_as_when_it_was_made")
        for suffix in ("json", "onnx")
    ]
    assert "first step that diverges: 'value' (linear)" in done.stdout
    assert done.stdout.count("prediction     MISMATCH") >= 4


def test_a_model_fitted_again_makes_the_artifacts_stale(run: Run, repository: Path, onnx_here: None) -> None:
    train = repository / "train.py"
    train.write_text(train.read_text(encoding="utf-8").replace("ALPHA = 1.0", "ALPHA = 2.0"), encoding="utf-8")
    done = run("modelport verify --with python")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("the model is another than the one it was made from: it was fitted again") == 2
    assert "the file was changed" not in done.stdout
    done = run("modelport verify --with python --update")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^progression \((.*)\): written$", done.stdout, re.MULTILINE) == [
        "models/progression.json",
        "models/progression.onnx",
    ]


# --- pre-commit ---------------------------------------------------------------------------------------------------------------


def test_the_hooks_run_under_pre_commit(
    run: Run, repository: Path, tmp_path: Path, onnx_here: None, need: Need, need_module: Need
) -> None:
    need_module("yaml", "yaml")
    import yaml

    for name in ("pre_commit", "virtualenv"):
        if importlib.util.find_spec(name) is None:
            need("pre-commit", f"{name} is not installed")
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert {hook["id"] for hook in hooks} == {"modelport-verify", "modelport-project"}
    for hook in hooks:  # the environment that pre-commit would install is the one at hand: nothing is downloaded
        hook["language"] = "system"
        hook.pop("additional_dependencies", None)
    offered = tmp_path / "hooks"
    offered.mkdir()
    (offered / ".pre-commit-hooks.yaml").write_text(yaml.safe_dump(hooks), encoding="utf-8")
    identity = {
        f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "a"), ("EMAIL", "a@b.c"))
    }
    environment = {**identity, "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"), "GIT_CONFIG_GLOBAL": os.devnull}
    commit = "git init -q . && git add -A && git commit -qm first"
    for folder in (offered, repository):
        done = run(f"cd '{folder}' && {commit}", environment)
        assert done.returncode == 0, done.stderr
    try_repo = f"python -m pre_commit try-repo '{offered}'"
    assert run(f"python -m pre_commit validate-manifest '{ROOT / '.pre-commit-hooks.yaml'}'", environment).returncode == 0
    done = run(f"{try_repo} modelport-verify --all-files --verbose", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "models/progression.json" in done.stdout
    assert "models/progression.onnx" in done.stdout
    changed_json(repository)
    done = run(f"{try_repo} modelport-verify --all-files", environment)
    assert done.returncode == 1
    assert "exit code: 1" in done.stdout
    assert "the file was changed" in done.stdout
    done = run(f"{try_repo} modelport-project --files train.py", environment)
    assert done.returncode == 1
    assert "first step that diverges: 'value' (linear)" in done.stdout
