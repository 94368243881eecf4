"""The C stub: no warning, clean under the address and undefined-behaviour sanitizers on the suite and on mutated artifacts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from suite import artifacts, document_of_case, invalid_files, liars, op_cases

from modelport.stubs import data_folder

FOLDER = data_folder("stubs") / "c"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off"]
MORE = "-DMODELPORT_MORE"  # with the profiles kernel, text and solver
SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1", "UBSAN_OPTIONS": "print_stacktrace=1"}

pytestmark = pytest.mark.xdist_group("c-sanitizers")


@pytest.fixture(scope="module")
def compiler(need: Callable[[str, str], None]) -> str:
    name = os.environ.get("MODELPORT_CC", "cc")
    if shutil.which(name) is None:
        need("c", f"{name} is not on the PATH")
    return name


def build(compiler: str, target: Path, *arguments: object) -> Path:
    done = subprocess.run(
        [compiler, *STRICT, *map(str, arguments), "-o", str(target), "-lm"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr
    return target


@pytest.fixture(scope="module")
def sanitized(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c")
    return build(compiler, folder / "modelport", MORE, *SANITIZE, FOLDER / "modelport.c", FOLDER / "main.c")


@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3"])
@pytest.mark.parametrize("profiles", [[], [MORE]], ids=["tabular", "all"])
def test_no_warning_at_any_level(compiler: str, tmp_path: Path, level: str, profiles: list[str]) -> None:
    build(compiler, tmp_path / "modelport", level, *profiles, FOLDER / "modelport.c", FOLDER / "main.c")


@pytest.mark.parametrize("profiles", [[], [MORE]], ids=["tabular", "all"])
def test_a_build_of_every_file_of_the_folder_works(compiler: str, tmp_path: Path, profiles: list[str]) -> None:
    build(compiler, tmp_path / "modelport", *profiles, *sorted(FOLDER.glob("*.c")))


def test_the_main_file_alone_leaves_further_profiles_out(compiler: str, sanitized: Path, tmp_path: Path) -> None:
    alone = build(compiler, tmp_path / "modelport", FOLDER / "modelport.c", FOLDER / "main.c")
    tabular, every = (set(run(program, "ops").stdout.decode().split()) for program in (alone, sanitized))
    more = every - tabular
    assert tabular < every
    assert {"pairwise", "knn", "ovo_vote"} <= more
    cases = [(name, document_of_case(case)) for name, case in op_cases() if case["step"]["op"] in more and "error" not in case]
    assert cases
    for number, (name, document) in enumerate(cases):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        done = run(alone, "verify", str(path))
        assert done.returncode == 3, name
        assert document["requires"][0] in done.stderr.decode()


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([program, *arguments], capture_output=True, env=ENVIRONMENT, timeout=60, check=False)
    assert done.returncode in (0, 1, 2, 3, 64), done.stderr.decode()
    assert b"Sanitizer" not in done.stderr, done.stderr.decode()
    assert b"runtime error" not in done.stderr, done.stderr.decode()
    return done


def test_the_suite_is_clean_under_sanitizers(sanitized: Path, tmp_path: Path) -> None:
    for path in [*artifacts(), *invalid_files(), *liars()]:
        run(sanitized, "verify", str(path))
    for path in artifacts():
        assert run(sanitized, "verify", str(path)).returncode == 0
    case_file = tmp_path / "case.json"
    for _, case in op_cases():
        case_file.write_text(json.dumps(document_of_case(case), ensure_ascii=False), encoding="utf-8")
        run(sanitized, "verify", str(case_file))


def mutate(compiler: str, folder: Path, count: int, seed: int) -> None:
    sources = [FOLDER / "modelport.c", Path(__file__).with_name("c_mutate.c")]
    program = build(compiler, folder / "mutate", MORE, *SANITIZE, f"-I{FOLDER}", *sources)
    files = [str(path) for path in artifacts() if path.stat().st_size < 30_000]
    done = subprocess.run(
        [program, str(count), str(seed), *files], capture_output=True, text=True, env=ENVIRONMENT, timeout=3000, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]


def test_mutated_artifacts_never_crash_or_hang(compiler: str, tmp_path: Path) -> None:
    mutate(compiler, tmp_path, 2000, 1)


@pytest.mark.slow
def test_many_mutated_artifacts_never_crash_or_hang(compiler: str, tmp_path: Path) -> None:
    mutate(compiler, tmp_path, 100_000, 2)
