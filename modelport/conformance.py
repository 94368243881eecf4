"""The conformance suite (fixtures/README.md): a consumer in any language is held against it through its command line."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .artifact import Artifact
from .errors import ModelportError, Refused, UsageError
from .fixtures import Fixtures, document_of_case, joinable, joined_cases
from .progress import stage
from .stubs import Completed, command_for, command_of, data_folder, find_stub, outputs_from_json, rows_as_json, run
from .verify import compare_all

__all__ = ["ConformanceReport", "Finding", "conformance", "findings", "known_failures", "problem"]

#: asks a consumer one command of the stub protocol: its arguments, what it reads, and after how many seconds it is stopped
Ask = Callable[..., Completed]
Found = Iterator[tuple[str, str | None]]
#: so long a refusal may take
SECONDS = 20.0
#: what a crash says, in any language
CRASHED = ("Traceback", "    at ", "Exception in", "panic", "Sanitizer")


@dataclass(frozen=True)
class Finding:
    """One case: its name, what is wrong with the answer, and the reason why that is known."""

    name: str
    problem: str | None = None
    known: str | None = None

    @property
    def passed(self) -> bool:
        """Right, or a known failure that still fails: one that passes now has to be taken off the list."""
        return (self.problem is None) == (self.known is None)


@dataclass(frozen=True)
class ConformanceReport:
    """What a consumer does with every case of the suite; `passed` is true when there was a case and nothing is unexpected."""

    consumer: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Does the consumer conform, but for its known failures?"""
        return bool(self.findings) and all(finding.passed for finding in self.findings)

    def groups(self) -> dict[str, list[Finding]]:
        """The findings by folder of the suite: ops, models, compat, invalid, liars, protocol."""
        found: dict[str, list[Finding]] = {}
        for finding in self.findings:
            found.setdefault(finding.name.partition("/")[0], []).append(finding)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        return {
            "consumer": self.consumer,
            "passed": self.passed,
            "cases": len(self.findings),
            "findings": [
                {"name": f.name, "passed": f.passed, "problem": f.problem, "known": f.known}
                for f in self.findings
                if f.problem is not None or f.known is not None
            ],
        }

    def __str__(self) -> str:
        lines = [f"{'CONFORMS' if self.passed else 'FAILED'}  {self.consumer}, {len(self.findings)} cases"]
        for group, found in self.groups().items():
            wrong = [f for f in found if not f.passed]
            known = sum(f.known is not None and f.passed for f in found)
            lines.append(
                f"  {group:<9} {len(found) - len(wrong) - known:>5} right, {len(wrong)} wrong"
                + (f", {known} known" * bool(known))
            )
            lines += [
                f"    {f.name}: {f.problem or 'is a known failure, and passes now: take it off the list'}" for f in wrong[:20]
            ]
            lines += [f"    and {len(wrong) - 20} more"] if len(wrong) > 20 else []
        return "\n".join(lines)


def conformance(
    consumer: str, *, fixtures: str | Path | None = None, only: str | tuple[str, ...] = "", known: Mapping[str, str] | None = None
) -> ConformanceReport:
    """Hold a consumer against the suite: a stub's name, or any command that speaks the stub protocol.

    fixtures is the suite's folder, the one that came with modelport when left out; only is the beginning of the names of cases to
    ask ("ops/scale", "liars"), or a tuple of several. known tells case -> reason of failures that are expected; for a stub they
    are those of its known_failures.txt. Raises UsageError for a folder that holds no suite, a command that is not found, or a
    name of no case.
    """
    stub = find_stub(consumer)
    command = command_for(stub) if stub is not None else command_of(consumer)
    if known is None:
        known = known_failures(stub.folder / "known_failures.txt") if stub is not None else {}
    suite = Fixtures(Path(fixtures) if fixtures is not None else data_folder("fixtures"))

    def ask(arguments: list[str], stdin: bytes = b"", timeout: float | None = None) -> Completed:
        return run(command, arguments, stdin, timeout)

    with tempfile.TemporaryDirectory(prefix="modelport-") as folder:
        stage("the command line", sum(name.startswith(only) for name in suite.names()))
        found = []
        for name, wrong in findings(ask, suite, Path(folder), only):
            stage(name)
            found.append(Finding(name, wrong, known.get(name)))
    for begin in (only,) if isinstance(only, str) else only:
        if not any(finding.name.startswith(begin) for finding in found):
            raise UsageError(f"The suite in {str(suite.folder)!r} has no case whose name begins with {begin!r}.")
    return ConformanceReport(stub.name if stub is not None else consumer, tuple(found))


def known_failures(path: Path) -> dict[str, str]:
    """The lines `name: reason` of a file; those that begin with # are comments. UsageError for a failure without a reason."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The list of known failures {str(path)!r} cannot be read: {error}.") from None
    found = {}
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        name, _, reason = line.partition(":")
        if not reason.strip():
            raise UsageError(f"The known failure {name.strip()!r} in {str(path)!r} has no reason: write `name: reason`.")
        found[name.strip()] = reason.strip()
    return found


def problem(done: Completed, code: int) -> str | None:
    """What is wrong with a finished process, given the exit code it should have."""
    said = " ".join(done.err.split())[:300]
    if done.code != code:
        return f"exit code {done.code} instead of {code}: {said or 'nothing on standard error'}"
    if code and (not said or any(word in done.err for word in CRASHED)):
        return f"no sentence on standard error: {said!r}"
    if code not in (0, 1) and done.out:
        return "output although it was refused"
    return None


def _agrees(done: Completed, document: Mapping[str, Any]) -> str | None:
    """What is wrong with a `verify` that must pass: what says nothing of the outputs may not have looked at them."""
    wrong, outputs = problem(done, 0), len(document["outputs"])
    lines = sum(bool(line.strip()) for line in done.out.splitlines())
    said = f"{lines} lines on standard output; verify prints one for each output, of which there are {outputs}"
    return wrong or (None if lines >= outputs else said)


def findings(ask: Ask, suite: Fixtures, folder: Path, only: str | tuple[str, ...] = "") -> Found:
    """(case, what is wrong or None) for every case whose name begins with `only`; documents are written into `folder`."""
    for group in (of_protocol, of_ops, of_models, of_invalid, of_liars):
        yield from group(ask, suite, folder, only)


def of_ops(ask: Ask, suite: Fixtures, folder: Path, only: str | tuple[str, ...] = "") -> Found:
    """Every case of ops/, told as a document; cases of an op that have answers together where that goes."""
    path = folder / "case.json"

    def verified(document: dict[str, Any]) -> str | None:
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        return _agrees(ask(["verify", str(path)]), document)

    together: dict[tuple[str, int], list[dict[str, Any]]] = {}
    alone = []
    for op, case in suite.op_cases():
        if not f"ops/{op}/{case['name']}".startswith(only):
            continue
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


def refused_case(case: dict[str, Any], path: Path) -> tuple[list[str], bytes]:
    """The command that must refuse a case, with its document in the file `path`."""
    path.write_text(json.dumps(document_of_case(case), ensure_ascii=False), encoding="utf-8")
    rows = json.dumps({"inputs": case.get("feed", {})}, ensure_ascii=False).encode()
    return ["predict", "--no-verify", str(path)], rows


def of_models(ask: Ask, suite: Fixtures, folder: Path, only: str | tuple[str, ...] = "") -> Found:
    """Every artifact that must verify, with the further rows that lie beside it."""
    for path in suite.artifacts():
        name = suite.name_of(path)
        if not name.startswith(only):
            continue
        document = json.loads(path.read_text(encoding="utf-8"))
        found = _agrees(ask(["verify", str(path)]), document)
        more = path.parent / "vectors.json"
        if found is None and more.is_file():
            found = _agrees(ask(["verify", str(path), str(more)]), document)
        yield name, found or _predicts(ask, path)


def _predicts(ask: Ask, path: Path) -> str | None:
    """What is wrong with the answers to the rows an artifact carries, compared here: `verify` is the consumer's own word."""
    loaded = Artifact.open(path).load()
    if loaded.vectors is None:
        return None

    def answer(feeds: Mapping[str, Any]) -> dict[str, Any]:
        done = ask(["predict", str(path)], rows_as_json(feeds))
        wrong = problem(done, 0)
        if wrong is not None:
            raise Refused(wrong)
        return outputs_from_json(done.out, loaded.outputs)

    try:
        wrong = [report for report in compare_all(answer, loaded.vectors) if not report.passed]
    except ModelportError as error:
        return f"predict: {error}"
    return f"predict gives other answers than the artifact carries: {wrong[0]}" if wrong else None


def of_invalid(ask: Ask, suite: Fixtures, folder: Path, only: str | tuple[str, ...] = "") -> Found:
    """Every file of invalid/ is refused, soon, with a sentence."""
    for path in suite.invalid_files():
        name = suite.name_of(path)
        if name.startswith(only):
            code = 3 if path.name.startswith("unsupported-") else 2
            yield name, problem(ask(["verify", str(path)], timeout=SECONDS), code)


def of_liars(ask: Ask, suite: Fixtures, folder: Path, only: str | tuple[str, ...] = "") -> Found:
    """Every artifact that carries wrong vectors is found out, by verify and by predict."""
    for path in suite.liars():
        name = suite.name_of(path)
        if name.startswith(only):
            rows = json.dumps({"inputs": carried(path)}).encode()
            yield name, problem(ask(["verify", str(path)]), 1) or problem(ask(["predict", str(path)], rows), 1)


def carried(path: Path) -> dict[str, Any]:
    """The rows an artifact carries, as inputs."""
    return json.loads(path.read_text(encoding="utf-8"))["verification"]["inputs"]  # type: ignore[no-any-return]


def of_protocol(ask: Ask, suite: Fixtures, folder: Path, only: str | tuple[str, ...] = "") -> Found:
    """The command line itself: what it says of itself, and what it does with calls and rows that are none."""
    artifact = str(suite.artifacts()[0])
    cases: dict[str, Callable[[], str | None]] = {
        "ops": lambda: _says_words(ask(["ops"])),
        "info": lambda: _says_keys(ask(["info", artifact]), {"inputs", "outputs", "ops"}),
        "no arguments": lambda: problem(ask([]), 64),
        "an unknown command": lambda: _refused(ask(["fly"])),
        "no artifact": lambda: _refused(ask(["verify"])),
        "a missing artifact": lambda: _refused(ask(["verify", str(folder / "nowhere.json")])),
        "rows: nothing": lambda: problem(ask(["predict", artifact], b""), 2),
        "rows: no inputs": lambda: problem(ask(["predict", artifact], b"{}"), 2),
        "rows: a list": lambda: problem(ask(["predict", artifact], b"[]"), 2),
        "rows: no value": lambda: problem(ask(["predict", artifact], b'{"inputs": {}}'), 2),
        "rows: no text": lambda: problem(ask(["predict", artifact], b"\xff"), 2),
    }
    for name, wrong in cases.items():
        if f"protocol/{name}".startswith(only):
            yield f"protocol/{name}", wrong()


def _refused(done: Completed) -> str | None:
    return problem(done, done.code if done.code in (2, 64) else 2)


def _says_words(done: Completed) -> str | None:
    return problem(done, 0) or (None if done.out.split() else "nothing on standard output: it lists the ops it knows")


def _says_keys(done: Completed, keys: set[str]) -> str | None:
    wrong = problem(done, 0)
    if wrong is not None:
        return wrong
    try:
        said = json.loads(done.out)
    except ValueError:
        return f"no JSON on standard output: {done.out[:80]!r}"
    missing = sorted(keys - set(said)) if isinstance(said, dict) else sorted(keys)
    return f"standard output has no {missing[0]!r}" if missing else None
