"""Short runs of the fuzzers in tests/fuzz with fixed seeds; the long ones are nightly (tests/fuzz/README.md)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parent / "fuzz"
sys.path.insert(0, str(FUZZ))

import mutate  # noqa: E402
from mutations import CHANGES, Mutator, copied, places, spelled  # noqa: E402

from modelport.stubs import Stub, stubs, toolchain_problem  # noqa: E402

STUBS = [pytest.param(stub, id=stub.name, marks=pytest.mark.xdist_group(stub.name)) for stub in stubs() if stub.format == "json"]
SANITIZED = "-std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -DMODELPORT_MORE -DMODELPORT_NN"


@pytest.fixture(params=STUBS)
def stub(request: pytest.FixtureRequest, need) -> Stub:  # type: ignore[no-untyped-def]
    problem = toolchain_problem(request.param)
    if problem is not None:
        need(request.param.name, problem)
    return request.param


@pytest.fixture(scope="module")
def mutator() -> Mutator:
    return Mutator(mutate.seeds())


def test_a_mutant_is_always_the_same_and_another_for_every_number(mutator: Mutator) -> None:
    first = [mutator.mutant(7, number) for number in range(60)]
    assert first == [Mutator(mutate.seeds()).mutant(7, number) for number in range(60)]
    assert len(set(first)) == 60
    assert mutator.mutant(8, 0) != first[0]


def test_mutants_are_of_every_kind_and_some_are_accepted(mutator: Mutator) -> None:
    codes = [mutate.judge(mutator.mutant(9, number)).code for number in range(400)]
    assert {0, 1, 2} <= set(codes)
    assert 0.1 < codes.count(0) / 400 < 0.6


@pytest.mark.parametrize("change", sorted(set(CHANGES), key=lambda change: change.__name__), ids=lambda change: change.__name__)
def test_every_change_changes_something_of_some_document(mutator: Mutator, change) -> None:  # type: ignore[no-untyped-def]
    import random

    rng, changed = random.Random(3), 0
    for document in mutator.documents[:60]:
        other = copied(document)
        change(mutator, other, rng)
        changed += spelled(other) != spelled(document)
        assert places(document)
    assert changed > 0


def test_the_judge_sees_what_is_wrong(mutator: Mutator, tmp_path: Path) -> None:
    """A stub that accepts everything and answers nothing, one that says nothing, one that ends by a signal."""
    for script, said in (
        ("import sys; print(); sys.exit(0)", "instead of 2"),
        ("import sys; sys.exit(2)", "no sentence"),
        ("import os; os.abort()", "exit -6"),
        ("import sys; x = bytearray(1 << 27); sys.stderr.write('No.'); sys.exit(2)", "MB more"),
        ("import time; t = time.process_time()\nwhile time.process_time() < t + 2.2: pass\nraise SystemExit('No.')", "took 2."),
    ):
        run = mutate.Run(Stub("odd", tmp_path), mutate.Once([sys.executable, "-S", "-E", "-c", script], tmp_path), base=32 << 20)
        try:
            run.check([mutate.made(mutator, 9, number, tmp_path / f"{number}.json") for number in (1, 2, 3)])
        finally:
            run.process.stop()
        assert any(said in finding for finding in run.findings), (script, run.findings)


def test_stubs_refuse_mutants_or_answer_them(stub: Stub) -> None:
    (run,) = mutate.mutate([stub.name], 400, seed=3)
    assert run.findings == []
    assert run.verdicts["0"] > 40
    assert run.verdicts["predicted"] > 40


@pytest.mark.slow
def test_stubs_refuse_many_mutants_or_answer_them(stub: Stub) -> None:
    (run,) = mutate.mutate([stub.name], 100_000, seed=4)
    assert run.findings == []


# --- coverage-guided ----------------------------------------------------------------------------------------------------------


def corpus(folder: Path) -> Path:
    """A folder with the small artifacts and op cases, a file each."""
    folder.mkdir()
    for i, document in enumerate(mutate.seeds(6000)):
        (folder / f"{i}.json").write_bytes(json.dumps(document).encode())
    return folder


def ran(command: list[str], folder: Path) -> str:
    """What a fuzzer said; it ends with 0, or the test fails with its last words."""
    # A process begins with the peak memory of the one that started it, which libFuzzer would take for its own: a shell is small.
    command = ["sh", "-c", '"$@"; exit $?', "sh", *command]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def libfuzzer(root: Path, folder: Path, need, runs: int) -> None:  # type: ignore[no-untyped-def]
    program = folder / "fuzz_c"
    sources = ["-I", str(root / "stubs/c"), str(FUZZ / "fuzz_c.c"), str(root / "stubs/c/modelport.c"), "-lm"]
    try:
        built = subprocess.run(["clang", *SANITIZED.split(), *sources, "-o", str(program)], capture_output=True, text=True)
    except FileNotFoundError:
        need("libfuzzer", "clang is not on the PATH")
        return
    if built.returncode != 0 and "libclang_rt.fuzzer" in built.stderr:
        need("libfuzzer", "clang has no libFuzzer (Debian: libclang-rt-14-dev)")
    assert built.returncode == 0, built.stderr
    options = [f"-runs={runs}", "-seed=1", "-timeout=20", "-rss_limit_mb=2000", "-max_len=16000", "-verbosity=1"]
    assert "DONE" in ran([str(program), *options, str(corpus(folder / "corpus"))], folder)


def test_libfuzzer_finds_nothing_in_the_c_stub(root: Path, tmp_path: Path, need) -> None:  # type: ignore[no-untyped-def]
    libfuzzer(root, tmp_path, need, 6000)


@pytest.mark.slow
def test_libfuzzer_finds_nothing_in_the_c_stub_for_long(root: Path, tmp_path: Path, need) -> None:  # type: ignore[no-untyped-def]
    libfuzzer(root, tmp_path, need, 2_000_000)


def guided(which: str, folder: Path, runs: int) -> None:
    command = [
        sys.executable,
        str(FUZZ / "fuzz_python.py"),
        which,
        str(corpus(folder / "corpus")),
        f"-runs={runs}",
        "-seed=1",
        "-timeout=20",
    ]
    assert "DONE" in ran(command, folder)


@pytest.mark.parametrize("which", ["stub", "reader"])
def test_atheris_finds_nothing(which: str, tmp_path: Path, need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("atheris", "atheris")
    guided(which, tmp_path, 3000)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["stub", "reader"])
def test_atheris_finds_nothing_for_long(which: str, tmp_path: Path, need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("atheris", "atheris")
    guided(which, tmp_path, 300_000)
