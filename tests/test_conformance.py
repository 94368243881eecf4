"""Stubs x fixtures: every stub whose toolchain is here is held against the whole conformance suite, as a stranger's would be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from many import Ask, asking
from suite import SUITE, artifacts, document_of_case, invalid_files, liars, op_cases

from modelport.conformance import carried, known_failures, of_invalid, of_liars, of_models, of_ops, of_protocol, refused_case
from modelport.stubs import Completed, Stub, command_for, run, stubs, toolchain_problem

STUBS = [pytest.param(stub, id=stub.name, marks=pytest.mark.xdist_group(stub.name)) for stub in stubs() if stub.format == "json"]


@pytest.fixture(params=STUBS)
def stub(request: pytest.FixtureRequest, need) -> Stub:  # type: ignore[no-untyped-def]
    problem = toolchain_problem(request.param)
    if problem is not None:
        need(request.param.name, problem)
    return request.param


@pytest.fixture
def consumer(stub: Stub) -> list[str]:
    return command_for(stub)


def judge(stub: Stub, failures: Iterator[tuple[str, str | None]]) -> None:
    """Fail on a failure that is not listed, and on a listed one that passes."""
    listed = known_failures(stub.folder / "known_failures.txt")
    results = dict(failures)
    assert results, "no case was run"
    unexpected = {name: problem for name, problem in results.items() if problem and name not in listed}
    stale = [name for name in listed if name in results and results[name] is None]
    assert not unexpected, "\n".join(f"{n}: {p}" for n, p in list(unexpected.items())[:20])
    assert not stale, f"known failures that pass now: {stale}"


@pytest.fixture
def ask(stub: Stub, tmp_path: Path) -> Iterator[Ask]:
    """Asks one process of the stub many commands: starting one costs more than most cases (tests/many.py)."""
    with asking(stub, tmp_path) as asked:
        yield asked


def test_ops(stub: Stub, ask: Ask, tmp_path: Path) -> None:
    judge(stub, of_ops(ask, SUITE, tmp_path))


def test_invalid(stub: Stub, ask: Ask, tmp_path: Path) -> None:
    judge(stub, of_invalid(ask, SUITE, tmp_path))


def test_liars(stub: Stub, ask: Ask, tmp_path: Path) -> None:
    judge(stub, of_liars(ask, SUITE, tmp_path))


def test_models(stub: Stub, ask: Ask, tmp_path: Path) -> None:
    judge(stub, of_models(ask, SUITE, tmp_path))


def test_a_process_of_its_own_answers_as_one_asked_much(stub: Stub, ask: Ask, consumer: list[str], tmp_path: Path) -> None:
    """Exit code, standard output and standard error, on a sample; the nightly run asks a process for every case."""
    refused = [case for _, case in op_cases() if "error" in case][::60]
    answered = [case for _, case in op_cases() if "error" not in case][::200]
    commands = [refused_case(case, tmp_path / f"{i}.json") for i, case in enumerate(refused)]
    commands += [(["verify", str(path)], b"") for path in (*invalid_files()[::80], *liars()[::10], *artifacts()[::20])]
    for i, case in enumerate(answered):
        path = tmp_path / f"answered {i}.json"
        path.write_text(json.dumps(document_of_case(case), ensure_ascii=False), encoding="utf-8")
        commands.append((["verify", str(path)], b""))
    commands.append((["predict", str(artifacts()[0])], json.dumps({"inputs": carried(artifacts()[0])}).encode()))
    assert len(commands) > 30
    assert {run(consumer, *command).code for command in commands[-1:]} == {0}
    for command in commands:
        assert ask(*command) == run(consumer, *command), command


@pytest.mark.slow
def test_every_case_in_a_process_of_its_own(stub: Stub, consumer: list[str], tmp_path: Path) -> None:
    def ask(arguments: list[str], stdin: bytes = b"", timeout: float | None = None) -> Completed:
        return run(consumer, arguments, stdin, timeout)

    for failures in (
        of_ops(ask, SUITE, tmp_path),
        of_invalid(ask, SUITE, tmp_path),
        of_liars(ask, SUITE, tmp_path),
        of_models(ask, SUITE, tmp_path),
    ):
        judge(stub, failures)


def test_protocol(stub: Stub, consumer: list[str], tmp_path: Path) -> None:
    from modelport.ops import OPS

    def ask(arguments: list[str], stdin: bytes = b"", timeout: float | None = None) -> Completed:
        return run(consumer, arguments, stdin, timeout)

    judge(stub, of_protocol(ask, SUITE, tmp_path))
    assert sorted(run(consumer, ["ops"]).out.decode().split()) == sorted(OPS)
