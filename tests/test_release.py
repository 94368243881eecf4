"""What is released: the sdist, the wheel built from it, and what the wheel does on every supported Python, alone or not."""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import public_names
import pytest
import wheels
from test_docs import RUNNER, steps
from test_layout import tracked
from wheels import NIGHTLY, PLACES, ROOT, Place

from modelport.version import __version__

HERE = Path(__file__).resolve().parent
#: tests that need no framework; they hold the evaluator and the Python stub to the whole conformance suite
SUITE = ("test_ops.py", "test_graph.py", "test_compare.py", "test_sums.py", "test_conformance.py")
PAGES = [path for path in (ROOT / "README.md", ROOT / "docs" / "tutorials" / "scikit-learn.md") if path.is_file()]
#: top-level files and folders that are for the repository, not for who gets the source
NOT_IN_SDIST = (".gitignore", ".github")

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
COMPATIBILITY = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def places(*which: Place) -> list[object]:
    """Parameters; all tests of an environment stay in one process, which makes it once."""
    slow = [pytest.mark.slow]
    return [pytest.param(p, id=str(p), marks=[pytest.mark.xdist_group(str(p)), *slow * (p in NIGHTLY)]) for p in which]


EVERYWHERE = pytest.mark.parametrize("place", places(*PLACES, *NIGHTLY))
WITH_SKLEARN = pytest.mark.parametrize("place", places(*(place for place in (*PLACES, *NIGHTLY) if place.sklearn)))
#: the newest environment, where pages and the type checker run
NEWEST = pytest.mark.parametrize("place", places(PLACES[-1]))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, need_module: Callable[[str, str], None]) -> tuple[Path, Path]:
    """(sdist, wheel), built once for all processes of a test run."""
    need_module("build", "build")
    base = tmp_path_factory.getbasetemp()
    return wheels.built((base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "release", tracked())


@pytest.fixture(scope="session")
def python_of(
    built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, need: Callable[[str, str], None]
) -> Iterator[Callable[..., Path]]:
    """python_of(place, *more): the Python of an environment with the wheel and NumPy, and whatever else was asked for so far."""
    folder, made, has = tmp_path_factory.mktemp("places"), {}, {}

    def asked(place: Place, *more: str) -> Path:
        if place not in made:
            base = wheels.interpreter(place.python)
            if base is None:
                need(f"python{place.python}", "it is neither on the PATH nor among pyenv's")
            numpy = f"numpy=={place.numpy}" if place.numpy else "numpy"
            made[place], has[place] = wheels.environment(base, folder / str(place), [built[1], numpy]), [numpy]
        new = [requirement for requirement in more if requirement not in has[place]]
        if new:
            wheels.install(made[place], [*has[place], *new])
            has[place] += new
        return made[place]

    yield asked
    shutil.rmtree(folder, ignore_errors=True)


# --- what is in the files -----------------------------------------------------------------------------------------------------


@pytest.mark.xdist_group(str(PLACES[0]))
def test_the_wheel_holds_the_library_and_nothing_else(built: tuple[Path, Path]) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in tracked()}
    expected = {name for name in files if name.startswith("modelport/")}
    expected |= {name.removeprefix("converters/") for name in files if name.startswith("converters/")}
    folders = wheels.shipped((ROOT / "setup.py").read_text(encoding="utf-8"))
    for folder, target in folders.items():
        expected |= {target + name.removeprefix(folder) for name in files if name.startswith(f"{folder}/")}
    with zipfile.ZipFile(built[1]) as wheel:
        held = set(wheel.namelist())
    info = f"modelport-{__version__}.dist-info/"
    licences = {f"{info}licenses/{name}" for name in files if name == "LICENSE" or name.startswith("LICENSES/")}
    own = {info + name for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt")} | licences
    assert held == expected | own
    assert {"modelport/py.typed", "modelport/_data/stubs/java/Modelport.java"} <= held
    assert built[1].name == f"modelport-{__version__}-py3-none-any.whl"


@pytest.mark.xdist_group(str(PLACES[0]))
def test_the_sdist_holds_the_repository_and_nothing_else(built: tuple[Path, Path]) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in tracked()}
    with tarfile.open(built[0]) as sdist:
        held = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    made = {name for name in held if name in ("PKG-INFO", "setup.cfg") or name.startswith("modelport.egg-info/")}
    assert held - made == {name for name in files if name.partition("/")[0] not in NOT_IN_SDIST}


@pytest.mark.xdist_group(str(PLACES[0]))
def test_the_metadata_is_what_an_index_takes(built: tuple[Path, Path], need_module: Callable[[str, str], None]) -> None:
    need_module("twine", "twine")
    done = wheels.run([sys.executable, "-m", "twine", "check", "--strict", *built], built[0].parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2, done.stdout


# --- what the wheel does ------------------------------------------------------------------------------------------------------


@EVERYWHERE
def test_the_wheel_alone_verifies_what_was_released(place: Place, python_of: Callable[..., Path], tmp_path: Path) -> None:
    done = wheels.run([python_of(place), HERE / "release" / "alone.py", ROOT / "fixtures"], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "done"


@EVERYWHERE
def test_the_suite_passes_with_the_installed_wheel(place: Place, python_of: Callable[..., Path], tmp_path: Path) -> None:
    """Its evaluator, its arithmetic and its Python stub, with NumPy and nothing else."""
    python = python_of(place, "pytest")
    where = tmp_path / "test_where.py"
    where.write_text(
        f"import modelport\n\ndef test_where():\n    assert modelport.__file__.startswith({str(python.parent.parent)!r})\n"
    )
    options = ["-q", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT]
    chosen = ["-m", "not slow", "-k", "not test_conformance or (python and not process)"]
    done = wheels.run([python, "-m", "pytest", *options, *chosen, where, *(HERE / name for name in SUITE)], tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 2000


@WITH_SKLEARN
def test_pipelines_and_forests_are_converted(place: Place, python_of: Callable[..., Path], tmp_path: Path) -> None:
    python = python_of(place, *place.sklearn)
    done = wheels.run([python, HERE / "release" / "converting.py", "json", "onnx", "pmml"], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "12 conversions"


@NEWEST
@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_a_page_runs_from_the_wheel(place: Place, page: Path, python_of: Callable[..., Path], tmp_path: Path) -> None:
    python = python_of(place, *place.sklearn, "pytest")
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
    done = wheels.run([python, "-c", RUNNER], tmp_path, stdin=json.dumps(steps(page)), PATH=path)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


@NEWEST
def test_the_wheel_is_typed(place: Place, python_of: Callable[..., Path], tmp_path: Path, need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("mypy", "mypy")
    program = (HERE / "release" / "program.py").read_text(encoding="utf-8")
    wrong = {
        "passed: bool = report.passed": "passed: str = report.passed",
        'modelport.convert(model, "json", sample=sample)': 'modelport.convert(model, "json", sampel=sample, name=3)',
    }
    (tmp_path / "right.py").write_text(program, encoding="utf-8")
    for right, mistaken in wrong.items():
        assert right in program
        program = program.replace(right, mistaken)
    (tmp_path / "mistaken.py").write_text(program, encoding="utf-8")
    options = ["--strict", "--no-error-summary", "--python-executable", python_of(place), "--cache-dir", tmp_path / "cache"]
    done = wheels.run([sys.executable, "-m", "mypy", *options, "right.py"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = wheels.run([sys.executable, "-m", "mypy", *options, "mistaken.py"], tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "mistaken.py" in done.stdout
    assert {"assignment", "arg-type"} & set(re.findall(r"\[([\w-]+)\]$", done.stdout, re.MULTILINE))


# --- what is promised ---------------------------------------------------------------------------------------------------------


def test_the_public_names_are_those_listed() -> None:
    version, before = public_names.listed()
    now = public_names.names()
    lost = public_names.broken(before, now)
    assert not lost or public_names.allows_breaking(version, __version__), (
        f"{version} promised these (docs/compatibility.md), so that {__version__} may not take them away: {lost}"
    )
    changed = sorted(set(before) ^ set(now))
    assert not changed, f"say so in CHANGELOG.md and run make names: {changed[:20]}"
    assert before == now
    assert version == __version__, "run make names: the list is of this version"


def test_a_lost_name_is_seen() -> None:
    now = public_names.names()
    for line in ("modelport.verify(with_) by keyword, optional", "class modelport.errors.Mismatch(ModelportError)"):
        assert line in now
        assert public_names.broken([*now], [other for other in now if other != line]) == [f"gone: {line}"]
    needed = "modelport.load(salt) by keyword, required"
    assert public_names.broken(now, [*now, needed]) == [f"now required: {needed}"]
    assert any(line.startswith("$ modelport verify ") for line in now)
    assert len([line for line in now if line.startswith("exit code ")]) == 6
    for module in (public_names, wheels):
        assert doctest.testmod(module).failed == 0
        assert doctest.testmod(module).attempted > 0


def versions() -> list[tuple[str, str]]:
    """(version, date) of the changelog's headings, newest first."""
    return re.findall(r"^## \[([^\]]+)\](?: - (\S+))?$", CHANGELOG, re.MULTILINE)


def test_version_and_changelog_agree() -> None:
    heads = versions()
    assert heads[0] == ("Unreleased", "")
    assert heads[1][0] == __version__
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for _, date in heads[1:])
    assert [date for _, date in heads[1:]] == sorted((date for _, date in heads[1:]), reverse=True)
    kinds = set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert re.fullmatch(r"\d+\.\d+\.\d+(?:rc\d+)?", __version__)


def test_the_page_on_compatibility_says_what_is_declared_and_tested() -> None:
    said = dict(re.findall(r"^\| ([\w-]+) \| (\S+) and newer", COMPATIBILITY, re.MULTILINE))
    for package in (
        "numpy",
        "scikit-learn",
        "pandas",
        "onnx",
        "onnxruntime",
        "torch",
        "keras",
        "xgboost",
        "lightgbm",
        "catboost",
    ):
        declared = re.search(rf'"{package}>=([\d.]+)"', PYPROJECT)
        assert declared is not None, package
        assert said[package] == declared[1], package
    oldest = dict(requirement.split("==") for requirement in wheels.OLDEST)
    for package in ("scikit-learn", "pandas", "joblib", "skops", "onnx", "onnxruntime"):
        assert oldest[package].startswith(re.search(rf'"{package}>=([\d.]+)"', PYPROJECT)[1]), package  # type: ignore[index]
    pythons = [place.python for place in PLACES]
    assert re.findall(r"Python :: (3\.\d+)", PYPROJECT) == pythons
    assert f'requires-python = ">={pythons[0]}"' in PYPROJECT
    assert f"Python {pythons[0]} to {pythons[-1]}" in COMPATIBILITY


def test_every_released_artifact_is_still_there() -> None:
    """Their bytes are what was released: a reader that could not read them any more must not be helped by changing them."""
    said = (ROOT / "fixtures" / "compat" / "SHA256SUMS").read_text(encoding="utf-8")
    sums = dict(reversed(line.split("  ")) for line in said.splitlines())
    import hashlib

    found = {
        path.relative_to(ROOT / "fixtures" / "compat").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (ROOT / "fixtures" / "compat").glob("v*/*")
    }
    assert found == sums
    assert len(found) > 10
