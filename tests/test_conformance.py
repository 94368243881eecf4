"""Stubs x fixtures: every stub whose toolchain is here is held against the whole conformance suite, as a stranger's would be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
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


def test_ops(stub: Stub, consumer: list[str], tmp_path: Path) -> None:
    path = tmp_path / "case.json"

    def verified(document: dict) -> str | None:
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        return problem(run(consumer, ["verify", str(path)]), 0)

    def failures() -> Iterator[tuple[str, str | None]]:
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
            found = verified(document_of_case(case)) if "error" not in case else None
            if "error" not in case:
                yield name, found
                continue
            path.write_text(json.dumps(document_of_case(case), ensure_ascii=False), encoding="utf-8")
            rows = json.dumps({"inputs": case.get("feed", {})}, ensure_ascii=False).encode()
            done = run(consumer, ["predict", "--no-verify", str(path)], rows)
            unsupported = case["error"] == "load" and done.code == 3
            yield name, None if unsupported else problem(done, 2)

    judge(stub, failures())


def test_invalid(stub: Stub, consumer: list[str]) -> None:
    def failures() -> Iterator[tuple[str, str | None]]:
        for path in invalid_files():
            code = 3 if path.name.startswith("unsupported-") else 2
            done = run(consumer, ["verify", str(path)], timeout=SECONDS * 10)
            yield f"invalid/{path.stem}", problem(done, code)

    judge(stub, failures())


def test_liars(stub: Stub, consumer: list[str]) -> None:
    def failures() -> Iterator[tuple[str, str | None]]:
        for path in liars():
            document = json.loads(path.read_text(encoding="utf-8"))
            rows = json.dumps({"inputs": typed(document)}).encode()
            yield (
                f"liars/{path.parent.name}",
                problem(run(consumer, ["verify", str(path)]), 1) or problem(run(consumer, ["predict", str(path)], rows), 1),
            )

    judge(stub, failures())


def typed(document: dict) -> dict:
    """The carried rows as inputs."""
    return document["verification"]["inputs"]


def test_models(stub: Stub, consumer: list[str]) -> None:
    def failures() -> Iterator[tuple[str, str | None]]:
        for path in artifacts():
            found = problem(run(consumer, ["verify", str(path)]), 0)
            more = path.parent / "vectors.json"
            if found is None and more.is_file():
                found = problem(run(consumer, ["verify", str(path), str(more)]), 0)
            yield f"{path.parent.name}/{path.stem}", found

    judge(stub, failures())


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
