"""Damaged artifacts, nightly in one process each: every stub refuses, or accepts and proves, what the reference reader does."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from many import Ask, asking
from modelport_json import load
from suite import artifacts, document_of_case, op_cases
from test_mutations import mutate

from modelport.errors import ModelportError
from modelport.predictor import replay, require_match
from modelport.stubs import Stub, command_for, run, stubs, toolchain_problem

STUBS = [pytest.param(stub, id=stub.name, marks=pytest.mark.xdist_group(stub.name)) for stub in stubs() if stub.format == "json"]


def small_documents() -> list[dict]:
    """Artifacts and op cases to damage."""
    documents = [json.loads(path.read_bytes()) for path in artifacts() if path.stat().st_size < 30_000]
    documents += [document_of_case(case) for _, case in op_cases() if "error" not in case]
    for document in documents:
        document.pop("provenance", None)
    return documents


def verdict(data: bytes) -> int:
    """The reference reader's exit code."""
    try:
        require_match(replay(load(data)), "it")
    except ModelportError as error:
        return error.exit_code
    return 0


def disagreements(ask: Ask, folder: Path, count: int, seed: int) -> list[str]:
    """Mutants on which a stub and the reference part."""
    rng, documents = random.Random(seed), small_documents()
    path, found, refused = folder / "mutant.json", [], 0
    for number in range(count):
        data = json.dumps(mutate(rng.choice(documents), rng)).encode()
        path.write_bytes(data)
        expected, done = verdict(data), ask(["verify", str(path)], timeout=20)
        refused += expected != 0
        if done.code != expected or (expected and not done.err.strip()):
            found.append(f"mutant {number} of seed {seed}: exit {done.code} instead of {expected}: {done.sentence}")
    assert 0 < refused < count
    return found


@pytest.fixture(params=STUBS)
def stub(request: pytest.FixtureRequest, need) -> Stub:  # type: ignore[no-untyped-def]
    problem = toolchain_problem(request.param)
    if problem is not None:
        need(request.param.name, problem)
    return request.param


def test_stubs_judge_damaged_artifacts_alike(stub: Stub, tmp_path: Path) -> None:
    with asking(stub, tmp_path) as ask:
        assert disagreements(ask, tmp_path, 120, seed=0) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_stubs_judge_many_damaged_artifacts_alike(stub: Stub, tmp_path: Path, seed: int) -> None:
    command = command_for(stub)
    assert disagreements(lambda arguments, timeout: run(command, arguments, timeout=timeout), tmp_path, 1000, seed) == []
