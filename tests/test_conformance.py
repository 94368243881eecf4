"""Stubs x fixtures: every stub whose toolchain is here is held against the whole conformance suite, as a stranger's would be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from many import Ask, asking
from suite import artifacts, document_of_case, invalid_files, joinable, joined_cases, liars, op_cases

from modelport.stubs import Completed, Stub, command_for, run, stubs, toolchain_problem

STUBS = [pytest.param(stub, id=stub.name, marks=pytest.mark.xdist_group(stub.name)) for stub in stubs()]
SECONDS = 2.0


@pytest.fixture(params=STUBS)
def stub(request: pytest.FixtureRequest, need) -> Stub:  # type: ignore[no-untyped-def]
    problem = toolchain_problem(request.param)
    if problem is not None:
        need(request.param.name, problem)
    return request.param


@pytest.fixture
def consumer(stub: Stub) -> list[str]:
    return command_for(stub)


def known_failures(stub: Stub) -> dict[str, str]:
    """name -> reason; lines that begin with # are comments."""
    lines = (stub.folder / "known_failures.txt").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(":")
            assert reason.strip(), f"{stub.name}: the known failure {name!r} has no reason"
            found[name.strip()] = reason.strip()
    return found


def judge(stub: Stub, failures: Iterator[tuple[str, str | None]]) -> None:
    """Fail on a failure that is not listed, and on a listed one that passes."""
    listed = known_failures(stub)
    results = dict(failures)
    assert results, "no case was run"
    unexpected = {name: problem for name, problem in results.items() if problem and name not in listed}
    stale = [name for name in listed if name in results and results[name] is None]
    assert not unexpected, "\n".join(f"{n}: {p}" for n, p in list(unexpected.items())[:20])
    assert not stale, f"known failures that pass now: {stale}"


def problem(done: Completed, code: int) -> str | None:
    """What is wrong with a finished process, given the exit code it should have."""
    if done.code != code:
        return f"exit code {done.code} instead of {code}: {done.err.strip()[:300]}"
    if code and (
        not done.err.strip() or any(word in done.err for word in ("Traceback", "    at ", "Exception in", "panic", "Sanitizer"))
    ):
        return f"no sentence on standard error: {done.err.strip()[:300]!r}"
    if code not in (0, 1) and done.out:
        return "output although it was refused"
    return None


Command = tuple[list[str], bytes]


@pytest.fixture
def ask(stub: Stub, tmp_path: Path) -> Iterator[Ask]:
    """Asks one process of the stub many commands: starting one costs more than most cases (tests/many.py)."""
    with asking(stub, tmp_path) as asked:
        yield asked


def op_failures(ask: Ask, path: Path) -> Iterator[tuple[str, str | None]]:
    """Every case of ops/, told as a document in the file `path`; cases of an op that have answers together where that goes."""

    def verified(document: dict) -> str | None:
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        return problem(ask(["verify", str(path)]), 0)

    together: dict[tuple[str, int], list[dict]] = {}
    alone = []
    for op, case in op_cases():
        rows = joinable(case)
        if rows is None:
            alone.append((op, case))
        else:
            together.setdefault((op, rows), []).append(case)
    for (op, _), cases in together.items():
        if verified(joined_cases(cases)) is None:
            yield from ((f"ops/{op}/{case['name']}", None) for case in cases)
        else:
            alone += [(op, case) for case in cases]
    for op, case in alone:
        name = f"ops/{op}/{case['name']}"
        if "error" not in case:
            yield name, verified(document_of_case(case))
            continue
        done = ask(*refused_case(case, path))
        unsupported = case["error"] == "load" and done.code == 3
        yield name, None if unsupported else problem(done, 2)


def refused_case(case: dict, path: Path) -> Command:
    """The command that must refuse a case, with its document in the file `path`."""
    path.write_text(json.dumps(document_of_case(case), ensure_ascii=False), encoding="utf-8")
    rows = json.dumps({"inputs": case.get("feed", {})}, ensure_ascii=False).encode()
    return ["predict", "--no-verify", str(path)], rows


def invalid_failures(ask: Ask) -> Iterator[tuple[str, str | None]]:
    """Every file of invalid/."""
    for path in invalid_files():
        code = 3 if path.name.startswith("unsupported-") else 2
        yield f"invalid/{path.stem}", problem(ask(["verify", str(path)], timeout=SECONDS * 10), code)


def test_ops(stub: Stub, ask: Ask, tmp_path: Path) -> None:
    judge(stub, op_failures(ask, tmp_path / "case.json"))


def test_invalid(stub: Stub, ask: Ask) -> None:
    judge(stub, invalid_failures(ask))


def test_liars(stub: Stub, ask: Ask) -> None:
    judge(stub, liar_failures(ask))


def test_models(stub: Stub, ask: Ask) -> None:
    judge(stub, model_failures(ask))


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

    for failures in (op_failures(ask, tmp_path / "case.json"), invalid_failures(ask), liar_failures(ask), model_failures(ask)):
        judge(stub, failures)


def liar_failures(ask: Ask) -> Iterator[tuple[str, str | None]]:
    """Every artifact that carries wrong vectors."""
    for path in liars():
        rows = json.dumps({"inputs": carried(path)}).encode()
        found = problem(ask(["verify", str(path)]), 1) or problem(ask(["predict", str(path)], rows), 1)
        yield f"liars/{path.parent.name}", found


def carried(path: Path) -> dict:
    """The rows an artifact carries, as inputs."""
    return json.loads(path.read_text(encoding="utf-8"))["verification"]["inputs"]


def model_failures(ask: Ask) -> Iterator[tuple[str, str | None]]:
    """Every artifact that must verify."""
    for path in artifacts():
        found = problem(ask(["verify", str(path)]), 0)
        more = path.parent / "vectors.json"
        if found is None and more.is_file():
            found = problem(ask(["verify", str(path), str(more)]), 0)
        yield f"{path.parent.name}/{path.stem}", found


def test_protocol(stub: Stub, consumer: list[str], tmp_path: Path) -> None:
    from modelport.ops import OPS

    listed = run(consumer, ["ops"])
    assert listed.code == 0
    assert sorted(listed.out.decode().split()) == sorted(OPS)
    for arguments in ([], ["fly"], ["verify"], ["verify", str(tmp_path / "nowhere.json")]):
        done = run(consumer, arguments)
        assert done.code in (2, 64), (arguments, done)
        assert done.err.strip()
        assert not done.out
    assert run(consumer, []).code == 64
    artifact = artifacts()[0]
    info = run(consumer, ["info", str(artifact)])
    assert info.code == 0
    assert {"inputs", "outputs", "ops"} <= set(json.loads(info.out))
    for rows in (b"", b"{}", b"[]", b'{"inputs": {}}', b"\xff"):
        done = run(consumer, ["predict", str(artifact)], rows)
        assert problem(done, 2) is None, (rows, done)
