"""Stubs and any other command: builds, caches, and programs that hang, babble, lie or crash."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

import modelport
from modelport import registry, stubs
from modelport.artifact import Artifact
from modelport.errors import MissingDependency, Refused, UsageError
from modelport.stubs import Stub, command_for, run, run_consumer

CONSUMER = """
import json, os, sys, time
import numpy
mode, rows = sys.argv[1], json.load(sys.stdin)["inputs"]["X"]["shape"][0]
label = {"dtype": "str", "shape": [rows], "data": ["setosa"] * rows}
def probability(value=0.5, dtype="f64", shape=None):
    return {"dtype": dtype, "shape": shape or [rows, 3], "data": [value] * (3 * rows)}
def answer(**outputs):
    print(json.dumps({"outputs": outputs}))
if mode == "words": print("hello")
elif mode == "nothing": pass
elif mode == "bytes": sys.stdout.buffer.write(bytes(range(256)))
elif mode == "bare nan": answer(label=label, probability=probability(float("nan")))
elif mode == "nan": answer(label=label, probability=probability("NaN"))
elif mode == "transposed": answer(label=label, probability=probability(shape=[3, rows]))
elif mode == "integers": answer(label=label, probability=probability(0, "i64"))
elif mode == "more": answer(label=label, probability=probability(), extra=label)
elif mode == "less": answer(label=label)
elif mode == "one row": answer(label=label, probability={"dtype": "f64", "shape": [1, 3], "data": [0.5] * 3})
elif mode == "traceback": raise ValueError("the reason")
elif mode == "killed": os.kill(os.getpid(), 9)
elif mode.isdigit(): sys.exit(int(mode))
"""


@pytest.fixture(scope="module")
def artifact(iris) -> Artifact:  # type: ignore[no-untyped-def]
    return modelport.convert(iris[2], "json", sample=iris[0])


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("consumer") / "consumer.py"
    path.write_text(CONSUMER)
    return f"{sys.executable} {path}"


@pytest.mark.parametrize(
    ("mode", "words", "code"),
    [
        ("words", "answer is not JSON", 2),
        ("nothing", "answer is empty", 2),
        ("bytes", "answer is not UTF-8", 2),
        ("'bare nan'", "bare token NaN", 2),
        ("more", "not exactly the outputs label, probability", 2),
        ("less", "not exactly the outputs label, probability", 2),
        ("traceback", "ValueError: the reason", 1),
        ("killed", "exit code -9", 2),
        ("77", "exit code 77", 2),
        ("3", "exit code 3", 3),
        ("64", "exit code 64", 2),
    ],
)
def test_a_consumer_that_does_not_answer(artifact: Artifact, consumer: str, mode: str, words: str, code: int) -> None:
    report = run_consumer(f"{consumer} {mode}", artifact, artifact.load().vectors)
    assert not report.passed
    assert words in str(report.problem)
    assert report.exit_code == code


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("nan", "nan instead of"),
        ("transposed", "the shape is"),
        ("'one row'", "the shape is"),
        ("integers", "the dtype is int64, not float64"),
    ],
)
def test_a_consumer_that_answers_wrongly(artifact: Artifact, consumer: str, mode: str, words: str) -> None:
    report = modelport.verify(artifact, with_=f"{consumer} {mode}")
    assert [c.passed for c in report.consumers] == [True, False]
    assert words in str(report)


@pytest.mark.parametrize(
    ("command", "words"),
    [("", "empty command"), (" ", "empty command"), ("'", "cannot be read"), ("/", "cannot be run"), ("no-such", "no command")],
)
def test_commands_that_are_none(artifact: Artifact, command: str, words: str) -> None:
    report = run_consumer(command, artifact, artifact.load().vectors)
    assert words in str(report.problem)
    assert report.exit_code == UsageError.exit_code


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True


def test_a_command_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    start = time.monotonic()
    done = run([sys.executable, "-c", code], [], timeout=2)
    assert time.monotonic() - start < 20
    assert (done.code, done.sentence) == (2, "it did not answer within 2 seconds")
    child = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 5
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


def test_a_command_that_says_too_much_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stubs, "MOST_BYTES", 100_000)
    for stream in ("stdout", "stderr"):
        done = run([sys.executable, "-c", f"import sys\nwhile True: sys.{stream}.write('x' * 1000)"], [], timeout=30)
        assert (done.code, done.out) == (2, b"")
        assert "more than 100,000 bytes" in done.sentence


def test_a_command_that_reads_nothing_does_not_block() -> None:
    done = run([sys.executable, "-c", "print('done')"], [], b"x" * 10_000_000, timeout=30)
    assert (done.code, done.out.strip()) == (0, b"done")


# --- building -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """A stub whose build takes a moment and writes down that it ran."""
    folder = tmp_path / "stub"
    folder.mkdir()
    log = tmp_path / "log"
    log.write_text("")
    (folder / "main.txt").write_text("source")
    (folder / "stub.json").write_text(
        json.dumps(
            {
                "name": "slow",
                "files": ["main.txt"],
                "build": [
                    [
                        "{python}",
                        "-c",
                        "import sys, time; time.sleep(0.5); open(sys.argv[2], 'a').write('built\\n'); open(sys.argv[1], 'w')",
                        "{build}/program",
                        str(log),
                    ]
                ],
                "run": ["{python}", "{build}/program"],
            }
        )
    )
    monkeypatch.setenv("MODELPORT_CACHE", str(tmp_path / "cache"))
    return stubs._read(folder)


def log_of(stub: Stub) -> list[str]:
    return (stub.folder.parent / "log").read_text().split()


def cached(stub: Stub) -> list[str]:
    return [p.name for p in (stub.folder.parent / "cache" / "modelport" / "stubs").iterdir()]


def test_a_build_is_kept_until_a_source_changes(built: Stub) -> None:
    first = command_for(built)
    assert Path(first[1]).is_file()
    assert command_for(built) == first
    assert log_of(built) == ["built"]
    (built.folder / "main.txt").write_text("changed")
    assert command_for(built) != first
    assert len(log_of(built)) == 2


def test_two_builds_at_once_do_not_disturb_each_other(built: Stub) -> None:
    commands: list[list[str]] = []
    threads = [threading.Thread(target=lambda: commands.append(command_for(built))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(commands) == 3
    assert commands[0] == commands[1] == commands[2]
    assert Path(commands[0][1]).is_file()
    assert len(cached(built)) == 1


def test_a_build_that_fails_leaves_nothing_and_says_why(built: Stub) -> None:
    said = json.loads((built.folder / "stub.json").read_text())
    said["build"] = [["{python}", "-c", "import sys; sys.exit('no compiler today')"]]
    (built.folder / "stub.json").write_text(json.dumps(said))
    with pytest.raises(Refused, match="no compiler today"):
        command_for(stubs._read(built.folder))
    assert cached(built) == []


def test_missing_sources_toolchains_and_folders_are_one_sentence(
    built: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(MissingDependency, match=r"needs 'no-such-compiler'.*MODELPORT_NO-SUCH-COMPILER"):
        command_for(Stub("odd", built.folder, needs=("no-such-compiler",), run=("x",)))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MODELPORT_CACHE", str(tmp_path / "file"))
    with pytest.raises(Refused, match="MODELPORT_CACHE"):
        command_for(built)
    monkeypatch.setenv("MODELPORT_CACHE", str(tmp_path / "cache"))
    (built.folder / "main.txt").unlink()
    with pytest.raises(Refused, match=r"main\.txt"):
        command_for(built)


def test_a_program_can_be_named_by_an_environment_variable(built: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPORT_ODDLANG", sys.executable)
    stub = Stub("odd", built.folder, needs=("oddlang",), run=("oddlang", "{dir}/main.txt"))
    assert command_for(stub) == [sys.executable, str(built.folder / "main.txt")]


# --- plugins ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", "nonsense", '{"name": "x"}', '{"name": "x", "run": "sh"}', '{"name": 3, "run": ["x"]}', '{"run": ["x"]}'],
)
def test_a_broken_stub_is_reported_and_disturbs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact, content: str
) -> None:
    for name, said in (("broken", content), ("good", '{"name": "good", "run": ["no-such-program"]}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stub.json").write_text(said)
    monkeypatch.setattr(stubs, "data_folder", lambda name: tmp_path)
    (problem,) = stubs.broken_stubs()
    assert "stub.json" in problem
    assert [stub.name for stub in stubs.stubs()] == ["good"]
    assert "no command 'no-such-program'" in str(run_consumer("good", artifact, artifact.load().vectors).problem)
    from modelport.doctor import diagnose

    assert problem in [finding.says for finding in diagnose().findings]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("this is no python", "SyntaxError"),
        ("import no_such_module_at_all", "no_such_module_at_all"),
        ("FORMAT = 'odd'", "it has no SUFFIXES"),
        ("FORMAT = 'odd'\nSUFFIXES = '.json'\nsniff = write = load = print", "SUFFIXES that is no list"),
    ],
)
def test_a_broken_writer_is_reported_and_disturbs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Artifact, source: str, words: str
) -> None:
    from importlib.metadata import EntryPoint

    from modelport.doctor import diagnose
    from modelport.errors import Unsupported

    (tmp_path / "odd_writer_plugin.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_writer_plugin", raising=False)
    odd = EntryPoint("odd", "odd_writer_plugin", "modelport.writers")
    known = {group: registry.plugins(group) for group in registry.GROUPS}
    known["writers"] = {"aaa": odd, **known["writers"]}
    monkeypatch.setattr(registry, "_entries", known.__getitem__)
    with pytest.raises(Unsupported) as caught:
        registry.writer("aaa")
    assert words in str(caught.value)
    assert "aaa" not in dict(registry.writers())
    assert registry.writer_for_path("model.json") == "json"
    assert modelport.load(artifact.data).predict([[5.0, 3.0, 1.0, 0.1]])["label"].shape == (1,)
    assert any(words in finding.says for finding in diagnose().findings)


def test_a_plugin_whose_sniffing_fails_disturbs_no_other(monkeypatch: pytest.MonkeyPatch, artifact: Artifact) -> None:
    import modelport_json
    import modelport_onnx

    def fail(head: bytes) -> bool:
        raise RuntimeError("boom")

    monkeypatch.setattr(modelport_onnx, "sniff", fail)
    assert Artifact.of(artifact.data).format == modelport_json.FORMAT
