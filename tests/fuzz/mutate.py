"""Shows structured mutants of valid artifacts to stubs, and judges what they do: refused or right, nothing else.

    python tests/fuzz/mutate.py --count 100000 --stub c --stub java        (make fuzz runs all stubs that can be built)

Every mutant is judged by the reference (modelport's own reader and evaluator) first. A stub then has to give the same verdict, by
its own `verify`: 0 right, 1 the vectors do not match, 2 refused, 3 not supported; with a sentence when it is not 0. What a stub
accepts also has to answer, by `predict`, the rows that the mutant carries as the mutant says, and rows with strange numbers in
them as the reference does. It must not crash, nor take more than two seconds of processor time, nor more memory than eight times
the file beyond what the stub needs for undamaged artifacts and a few times the values that the document itself says it computes
with.

Findings are printed with the mutant's number; `--show NUMBER` writes that mutant to standard output. `--json` keeps the counts.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
for _folder in (ROOT, ROOT / "converters", ROOT / "tests", ROOT / "tests" / "fuzz"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

# ruff: noqa: E402
import numpy as np
from many import harness
from modelport_json import JsonModel, load, read_document
from mutations import Mutator, places
from suite import artifacts, document_of_case, op_cases

from modelport.compare import compare
from modelport.document import EXACT, Tolerance, Vectors
from modelport.errors import ModelportError
from modelport.ops import OPS
from modelport.predictor import replay
from modelport.stubs import Completed, Stub, command_for, outputs_from_json, rows_as_json, stubs, toolchain_problem

#: seconds of processor time that a stub may take for one file
SECONDS = 2.0
#: a file may cost so many times its size
TIMES = 8
#: and so many times the values that the document itself says it computes with (64 bits an element)
VALUES = 3
#: bytes a process may take beyond that, for buffers, pages and what a garbage collector has not given back yet
SLACK = 24 << 20
#: seconds after which a command is given up
PATIENCE = 120.0
#: mutants that are made before the stubs are asked
BATCH = 100
#: how the processes are to be held: what a garbage collector may leave lying counts as memory too
BOUNDS = {
    "java": ["-Xms256m", "-Xmx256m", "-XX:+AlwaysPreTouch"],
    "javascript": ["--max-old-space-size=96", "--max-semi-space-size=4"],
}
#: and by the environment: the youngest generation of .NET is collected after so many bytes, in hexadecimal (here 4 MB)
SURROUNDINGS = {"csharp": {"COMPlus_GCgen0size": "400000", "DOTNET_GCgen0size": "400000"}}


@cache
def seeds(largest: int = 12_000) -> list[dict[str, Any]]:
    """The valid artifacts and op cases that are damaged: those with a small text, as each is written and read 100,000 times."""
    documents = [json.loads(path.read_bytes()) for path in artifacts() if path.stat().st_size <= largest]
    cases = [document_of_case(case) for _, case in op_cases() if "error" not in case]
    documents += [case for case in cases if len(json.dumps(case)) <= largest]
    for document in documents:
        document.pop("provenance", None)
    return documents


# --- the reference ------------------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """What the reference says of a document."""

    code: int
    sentence: str = ""
    model: JsonModel | None = None
    seconds: float = 0.0

    @property
    def exact(self) -> bool:
        """Must every reader give the same bits?"""
        return self.model is not None and all(OPS[step.op].exact(step.attributes) for step in self.model.graph.steps)


def judge(data: bytes) -> Verdict:
    """The reference's verdict."""
    began = time.process_time()
    verdict = Verdict(0)
    try:
        verdict.model = load(data)
        wrong = [report for report in replay(verdict.model) if not report.passed]
        verdict.code, verdict.sentence = (1, f"{wrong[0].output}: {wrong[0].problem}") if wrong else (0, "")
    except ModelportError as error:
        verdict.code, verdict.sentence = error.exit_code, str(error)
    verdict.seconds = time.process_time() - began
    return verdict


def stated(data: bytes) -> int:
    """Bytes of the values that a document says it computes with, for one block of its rows; of a graph that is wrong, the largest
    number up to the limit that stands in it, as it may be the width of a value."""
    numbers: list[int] = [0]
    try:
        parsed = json.loads(data)
        numbers += [node[key] for node, key in places(parsed) if type(node[key]) is int and 0 < node[key] <= 1 << 22]
        rows = sum(len(v["data"]) for v in parsed.pop("verification")["inputs"].values() if isinstance(v.get("data"), list))
        graph = read_document(json.dumps(parsed).encode()).graph
    except (ModelportError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 8 * max(numbers)
    total = sum(value.width for value in graph.types.values())
    tensors = sum(np.asarray(a).nbytes for step in graph.steps for a in step.attributes.values() if isinstance(a, np.ndarray))
    return 8 * total * min(max(1, rows), max(1, (1 << 22) // max(1, total))) + tensors


# --- processes ----------------------------------------------------------------------------------------------------------------


@dataclass
class Command:
    """What a stub is asked."""

    arguments: list[str]
    stdin: bytes = b""


@dataclass
class Answer:
    """What a stub did with one command; seconds and memory are those of all commands asked together where the process is one."""

    done: Completed
    seconds: float
    #: the most memory its process had so far, in bytes
    memory: int


class Once:
    """A stub that starts in no time: a process for every command, whose memory and time the system counts exactly."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.command = list(command)
        self.folder = folder
        launch = [sys.executable, "-S", "-E", str(Path(__file__).with_name("launch.py"))]
        self.launcher = subprocess.Popen(launch, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, commands: Sequence[Command]) -> list[Answer]:
        """Some commands."""
        assert self.launcher.stdin is not None
        assert self.launcher.stdout is not None
        lines = []
        for i, command in enumerate(commands):
            files = [str(self.folder / f"{i}.{name}") for name in ("stdin", "stdout", "stderr")]
            Path(files[0]).write_bytes(command.stdin)
            lines.append(json.dumps([*files, *self.command, *command.arguments]) + "\n")
        writing = threading.Thread(target=_written, args=(self.launcher.stdin, "".join(lines)))
        writing.start()
        answers = []
        for i in range(len(commands)):
            code, seconds, memory = self.launcher.stdout.readline().split()
            out, err = (self.folder / f"{i}.{name}" for name in ("stdout", "stderr"))
            done = Completed(int(code), out.read_bytes(), err.read_text("utf-8", "replace"))
            answers.append(Answer(done, float(seconds), int(memory)))
        writing.join()
        return answers

    def stop(self) -> None:
        """End the launcher."""
        self.launcher.communicate()


def _written(stream: Any, content: Any) -> None:
    with contextlib.suppress(OSError):  # the process ended; what it did not answer tells
        stream.write(content)
        stream.flush()


class Longlived:
    """A stub behind a harness (tests/stubs/harness): one process that answers many commands, until it ends or grows."""

    def __init__(self, command: Sequence[str], surroundings: Mapping[str, str]) -> None:
        self.command = command
        self.environment = {**os.environ, **surroundings}
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, commands: Sequence[Command]) -> list[Answer]:
        """Some commands; the first that the process does not answer is a failed one, and those behind it are asked again."""
        answers: list[Answer] = []
        while len(answers) < len(commands):
            done, seconds, memory = self._asked(commands[len(answers) :])
            answers += [Answer(one, seconds, memory) for one in done]
        return answers

    def _asked(self, commands: Sequence[Command]) -> tuple[list[Completed], float, int]:
        if self.process is None:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self.environment,
            )
        process = self.process
        assert process.stdout is not None
        before = self._seconds()
        lines = b"".join(line_of(command) for command in commands)
        writing = threading.Thread(target=_written, args=(process.stdin, lines))
        watching = threading.Timer(PATIENCE, process.kill)
        watching.start()
        writing.start()
        done = []
        for _ in commands:
            words = process.stdout.readline().split()
            if len(words) != 3:
                break
            out, err = (base64.b64decode(word[1:]) for word in words[1:])
            done.append(Completed(int(words[0]), out, err.decode("utf-8", "replace")))
        if len(done) == len(commands):
            writing.join()
            watching.cancel()
            return done, self._seconds() - before, self._memory()
        in_time = watching.is_alive()
        watching.cancel()
        self.stop()
        writing.join()
        said = "the process ended" if in_time else f"no answer within {PATIENCE:g} seconds"
        return [*done, Completed(-1, b"", said)], 0.0 if in_time else PATIENCE, 0

    def _seconds(self) -> float:
        assert self.process is not None
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _memory(self) -> int:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)

    def stop(self) -> None:
        """End the process; the next command begins a new one."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
            self.process = None


def line_of(command: Command) -> bytes:
    """A command as the harness reads it."""
    words = [command.stdin, *(argument.encode() for argument in command.arguments)]
    return b" ".join(b"." + base64.b64encode(word) for word in words) + b"\n"


def started(stub: Stub, folder: Path) -> Once | Longlived:
    """A stub's process or processes."""
    many = harness(stub, folder)
    if many is None:
        return Once(command_for(stub), folder)
    return Longlived([many[0], *BOUNDS.get(stub.name, []), *many[1:]], SURROUNDINGS.get(stub.name, {}))


# --- mutants ------------------------------------------------------------------------------------------------------------------


@dataclass
class Rows:
    """What is fed to an accepted mutant, and (array, tolerance) per output, or None where the rows are refused."""

    stdin: bytes
    expected: dict[str, tuple[Any, Tolerance]] | None


@dataclass
class Mutant:
    """One mutant, in a file."""

    number: int
    data: bytes
    path: Path
    verdict: Verdict
    rows: list[Rows]


def predicting(mutant: Mutant, rows: Rows) -> Command:
    """The command that answers rows."""
    return Command(["predict", "--no-verify", str(mutant.path)], rows.stdin)


# --- one stub -----------------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A stub, what it was asked, and what was found."""

    stub: Stub
    process: Once | Longlived
    #: the most memory that any undamaged artifact takes
    base: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    longest: float = 0.0
    most: int = 0

    def warm(self, documents: Sequence[dict[str, Any]], folder: Path) -> None:
        """Show it undamaged artifacts: what they take is its base."""
        path = folder / "undamaged.json"
        for document in documents:
            path.write_bytes(json.dumps(document).encode())
            (answer,) = self.process.ask([Command(["verify", str(path)])])
            assert answer.done.code == 0, f"{self.stub.name} does not verify an undamaged artifact: {answer.done.sentence}"
            self.base = max(self.base, answer.memory)

    def check(self, mutants: Sequence[Mutant]) -> None:
        """Some mutants, first verified, then asked where they are accepted."""
        commands = [Command(["verify", str(mutant.path)]) for mutant in mutants]
        answers = self._asked(mutants, commands)
        accepted, asking = [], []
        for mutant, answer in zip(mutants, answers, strict=True):
            code = answer.done.code
            self.verdicts[str(code)] += 1
            if code not in (0, 1, 2, 3):
                self._found(mutant, f"exit {code}: {answer.done.err.strip()[-300:]}")
            elif code != 0 and not one_sentence(answer.done.err):
                self._found(mutant, f"exit {code}, but what it says is no sentence: {answer.done.err[:200]!r}")
            elif code != mutant.verdict.code and not ({code, mutant.verdict.code} == {0, 1} and self._close(mutant)):
                said = answer.done.sentence if code else "right"
                self._found(mutant, f"exit {code} ({said}) instead of {mutant.verdict.code} ({mutant.verdict.sentence[:150]})")
            if code == 0 and mutant.verdict.code == 0:
                for rows in mutant.rows:
                    accepted.append((mutant, rows))
                    asking.append(predicting(mutant, rows))
        for (mutant, rows), answer in zip(accepted, self._asked([m for m, _ in accepted], asking), strict=True):
            self.verdicts["predicted"] += 1
            if rows.expected is not None:
                problem = differs(answer.done, rows.expected, mutant.verdict)
                if problem:
                    self._found(mutant, f"predict: {problem}")
            elif answer.done.code != 2 or not one_sentence(answer.done.err):
                self._found(mutant, f"predict: exit {answer.done.code} for rows that are refused")

    def _close(self, mutant: Mutant) -> bool:
        """Do ops that are not exact differ by no more than their last digits, so that a strict tolerance decides otherwise?"""
        if mutant.verdict.exact or not mutant.rows or mutant.rows[0].expected is None:
            return False
        rows = mutant.rows[0]
        (answer,) = self.process.ask([predicting(mutant, rows)])
        near = {name: (array, Tolerance(1e-9, 1e-7)) for name, (array, _) in rows.expected.items()}
        self.verdicts["apart by rounding"] += 1
        return differs(answer.done, near, mutant.verdict) is None

    def _asked(self, mutants: Sequence[Mutant], commands: Sequence[Command]) -> list[Answer]:
        if not commands:
            return []
        answers = self.process.ask(commands)
        allowed = [self.base + SLACK + TIMES * (len(m.data) + len(c.stdin)) for m, c in zip(mutants, commands, strict=True)]
        if isinstance(self.process, Longlived):
            if answers[-1].memory < max(allowed) and all(a.seconds < SECONDS for a in answers):
                return answers
            answers = []  # which is it, or is it garbage of earlier ones? each alone and, if it still seems so, in a new process
            for command, most in zip(commands, allowed, strict=True):
                (answer,) = self.process.ask([command])
                if answer.memory > most or answer.seconds > SECONDS:
                    self.process.stop()
                    self.process.ask([Command(["ops"])])
                    (answer,) = self.process.ask([command])
                answers.append(answer)
        for mutant, command, answer, most in zip(mutants, commands, answers, allowed, strict=True):
            self.longest, self.most = max(self.longest, answer.seconds), max(self.most, answer.memory - self.base)
            if answer.seconds > SECONDS:
                what = f"{command.arguments[0]} took {answer.seconds:.1f} s (the reference: {mutant.verdict.seconds:.1f} s)"
                self._found(mutant, what)
            if answer.memory > most + VALUES * stated(mutant.data):
                more, size = (answer.memory - self.base) >> 20, len(mutant.data)
                self._found(mutant, f"{command.arguments[0]} took {more} MB more than undamaged artifacts, for {size} bytes")
        return answers

    def _found(self, mutant: Mutant, what: str) -> None:
        self.findings.append(f"mutant {mutant.number}: {what}")
        print(f"{self.stub.name}: mutant {mutant.number}: {what}", flush=True)

    def summary(self) -> dict[str, Any]:
        """The counts."""
        keep = {str(k): self.verdicts[k] for k in sorted(self.verdicts)}
        return {
            "stub": self.stub.name,
            "verdicts": keep,
            "findings": len(self.findings),
            "longest_seconds": round(self.longest, 2),
            "base_mb": self.base >> 20,
            "most_mb_beyond_base": max(0, self.most) >> 20,
        }


def one_sentence(text: str) -> bool:
    """Is it one line, with something in it, and not where a program failed?"""
    lines = [line for line in text.split("\n") if line.strip()]
    return len(lines) == 1 and not lines[0].startswith(("Traceback", "Exception in"))


def differs(done: Completed, expected: dict[str, tuple[Any, Tolerance]], verdict: Verdict) -> str | None:
    """What is wrong with an answer; None when it is right."""
    assert verdict.model is not None
    if done.code != 0:
        return f"exit {done.code}: {done.sentence}"
    try:
        got = outputs_from_json(done.out, verdict.model.outputs)
    except ModelportError as error:
        return f"the answer cannot be read: {error}"
    for name, (array, tolerance) in expected.items():
        report = compare(name, array, got[name], tolerance)
        if not report.passed:
            return f"output {name!r} differs: {report.problem or report.worst}"
    return None


def asked_rows(verdict: Verdict, rng: random.Random) -> list[Rows]:
    """Rows for an accepted mutant: those it carries, and strange ones; for one whose numbers do not match, what it answers."""
    if verdict.model is None or verdict.model.vectors is None:
        return []
    first: Vectors = verdict.model.vectors.sets()[0]
    with np.errstate(all="ignore"):
        if verdict.code == 0:
            carried = {name: (array, first.tolerance.get(name, EXACT)) for name, array in first.outputs.items()}
            rows = [Rows(rows_as_json(first.inputs), carried)]
            if verdict.exact:
                feeds = strange(first.inputs, rng)
                rows.append(Rows(rows_as_json(feeds), answered(verdict.model, feeds)))
            return rows
        return [Rows(rows_as_json(first.inputs), answered(verdict.model, first.inputs))]


def answered(model: JsonModel, feeds: Any) -> dict[str, tuple[Any, Tolerance]] | None:
    """What the reference answers."""
    try:
        return {name: (array, EXACT) for name, array in model.run(feeds).items()}
    except ModelportError:
        return None


def strange(inputs: Any, rng: random.Random) -> dict[str, Any]:
    """Rows with one element that models seldom see."""
    feeds = {name: np.array(array) for name, array in inputs.items()}
    name = rng.choice(list(feeds))
    flat = feeds[name].reshape(-1)
    if flat.size:
        kind = flat.dtype.kind
        choices: list[Any] = [True, False]
        if kind == "f":
            choices = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e30, -1e30, 5e-324, 0.1, 2**53 + 2.0, -1.0, 2.0]
        elif kind == "i":
            choices = [0, -1, 1, 2**31, -(2**63), 2**63 - 1, 2**53 + 1]
        elif kind == "O":
            choices = [None, "", "a", "\u03a3", "\u0130\U0001f600", "\x00", "x" * 100]
        flat[rng.randrange(flat.size)] = rng.choice(choices)
    return feeds


def mutate(names: Sequence[str], count: int, seed: int, first: int = 0, every: int = 0) -> list[Run]:
    """Show `count` mutants to the stubs of these names."""
    documents = seeds()
    mutator = Mutator(documents)
    chosen = [stub for stub in stubs() if stub.name in names]
    with tempfile.TemporaryDirectory(prefix="mutate-") as name, ThreadPoolExecutor(len(chosen)) as pool:
        folder = Path(name)
        runs = []
        for stub in chosen:
            (folder / stub.name).mkdir()
            runs.append(Run(stub, started(stub, folder / stub.name)))
        try:
            largest = sorted(documents, key=lambda document: -len(json.dumps(document)))[:60]
            list(pool.map(lambda run: run.warm([*largest, *documents[::20]], folder / run.stub.name), runs))
            for begin in range(first, first + count, BATCH):
                end = min(begin + BATCH, first + count)
                mutants = [made(mutator, seed, number, folder / f"{number - begin}.json") for number in range(begin, end)]
                list(pool.map(lambda run, mutants=mutants: run.check(mutants), runs))
                if every and (end - first) // every > (begin - first) // every:
                    print(json.dumps({"mutants": end - first, "runs": [run.summary() for run in runs]}), flush=True)
        finally:
            for run in runs:
                run.process.stop()
    return runs


def made(mutator: Mutator, seed: int, number: int, path: Path) -> Mutant:
    """A mutant, judged by the reference, in its file."""
    data = mutator.mutant(seed, number)
    path.write_bytes(data)
    verdict = judge(data)
    return Mutant(number, data, path, verdict, asked_rows(verdict, random.Random(number)))


def main() -> int:
    """The command line."""
    known = [stub.name for stub in stubs() if toolchain_problem(stub) is None]
    parser = argparse.ArgumentParser(description="shows structured mutants to stubs")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--stub", action="append", choices=known, help="a stub; may be repeated (default: all that can be built)")
    parser.add_argument("--every", type=int, default=0, help="print the counts after so many mutants")
    parser.add_argument("--show", type=int, help="write this mutant to standard output, and do nothing else")
    parser.add_argument("--json", type=Path, help="write the summary to this file")
    options = parser.parse_args()
    if options.show is not None:
        sys.stdout.buffer.write(Mutator(seeds()).mutant(options.seed, options.show))
        return 0
    runs = mutate(options.stub or known, options.count, options.seed, options.first, options.every)
    summary = {"count": options.count, "seed": options.seed, "first": options.first, "runs": [run.summary() for run in runs]}
    print(json.dumps(summary, indent=1))
    if options.json:
        options.json.write_text(json.dumps(summary | {"found": {run.stub.name: run.findings for run in runs}}, indent=1) + "\n")
    return 1 if any(run.findings for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
