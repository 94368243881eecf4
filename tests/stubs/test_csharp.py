"""The C# stub as a library: typed errors, rows in every form, threads, decimals, and the README's quick start."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from many import asking
from suite import liars

import modelport
from modelport.stubs import command_for, data_folder, find_stub, toolchain_problem

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "fuzz"))

import replays
from mutate import Command, Once
from work import LEAST, operations_in

FOLDER = data_folder("stubs") / "csharp"
CORE = ("ModelportCore.cs", "Modelport.cs")
LIBRARY = (*CORE, "ModelportMore.cs", "ModelportNn.cs")
PROGRAM = r"""
using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Threading;
using Modelport;

public static class Promises {
    static void Hold(bool holds, string what) {
        if (holds) return;
        Console.WriteLine("wrong: " + what);
        Environment.Exit(1);
    }
    static string Text(IReadOnlyDictionary<string, Tensor> outputs) {
        var to = new StringWriter();
        Model.WriteOutputs(outputs, to);
        return to.ToString();
    }
    static int Code(Action action) {
        try {
            action();
        } catch (ModelportException e) {
            return e.Message.EndsWith(".") ? e.ExitCode : -2;
        }
        return -1;
    }
    public static void Main() {
        byte[] document = File.ReadAllBytes("model.json");
        string text = Encoding.UTF8.GetString(document);
        Model model = Model.Load(document);
        Hold(Text(Model.Load(text).Predict(new double[4])) == Text(model.Predict(new double[4])), "loading from a string");
        using (Stream stream = File.OpenRead("model.json")) Hold(Model.Load(stream).Inputs.Count == 1, "loading from a stream");

        Hold(Code(() => Model.Load("{")) == 2, "refused");
        Hold(Code(() => Model.Load(text + "\ud800")) == 2, "half of a surrogate pair");
        Hold(Code(() => Model.Load(text.Replace("\"version\":\"1.", "\"version\":\"7."))) == 3, "unsupported");
        Hold(Code(() => Model.Load(File.ReadAllBytes("liar.json"), ModelportMore.Ops, ModelportNn.Ops)) == 1, "mismatch");
        Hold(Code(() => Model.Load(document, true, new Limits {Memory = 1000})) == 2, "a limit");
        Hold(model.Verify().Count > 0 && model.Verify()[0].Passed, "verify");

        double[][] rows = {new[] {5.1, 3.5, 1.4, 0.2}, new[] {6.2, 2.9, 4.3, 1.3}};
        string expected = Text(model.Predict(rows));
        var columns = new Dictionary<string, object>();
        var records = new[] {new Dictionary<string, object>(), new Dictionary<string, object>()};
        for (int j = 0; j < 4; j++) {
            string name = model.Inputs[0].Features[j];
            columns[name] = new List<object> {rows[0][j], rows[1][j]};
            for (int r = 0; r < 2; r++) records[r][name] = rows[r][j];
        }
        Hold(Text(model.Predict(new[,] {{5.1, 3.5, 1.4, 0.2}, {6.2, 2.9, 4.3, 1.3}})) == expected, "a dense array");
        Hold(Text(model.Predict(Tensor.Of(5.1, 3.5, 1.4, 0.2, 6.2, 2.9, 4.3, 1.3).Shaped(2, 4))) == expected, "a tensor");
        Hold(Text(model.Predict(columns)) == expected, "columns");
        Hold(Text(model.PredictRecords(records)) == expected, "records");
        string input = model.Inputs[0].Name;
        var ragged = new[] {new[] {1.0, 2, 3, 4}, new[] {1.0}};
        object[] wrong = {null, 1.5, "text", new double[1][], ragged, new[] {"a"}, new uint[4], new double[1, 2, 2]};
        foreach (object rejected in wrong)
            Hold(Code(() => model.Predict(new Dictionary<string, object> {{input, rejected}})) == 2, "refused: " + rejected);
        Hold(Code(() => model.Predict(new[] {1.0, double.NaN, 3, 4})) == 2, "NaN");
        columns["more"] = new[] {1.0, 2.0};
        Hold(Code(() => model.Predict(columns)) == 2, "an extra column");

        // A batch is cut into blocks for several threads; every row answers as it does alone.
        var many = new double[5000][];
        for (int r = 0; r < many.Length; r++) many[r] = new[] {r % 80 / 10.0, r % 7, r % 13 / 2.0, r % 3};
        foreach (int threads in new[] {1, 2, 7}) {
            Model cut = Model.Load(document, true, new Limits {Threads = threads}, ModelportMore.Ops, ModelportNn.Ops);
            var batch = cut.Predict(many);
            for (int r = 0; r < many.Length; r += 97) {
                var alone = model.Predict(many[r]);
                foreach (Output output in model.Outputs) {
                    Tensor one = alone[output.Name], all = batch[output.Name];
                    for (int k = 0; k < one.Count; k++) Hold(Equals(one[k], all[r * one.Count + k]), "one row and a batch");
                }
            }
            many[4321][2] = double.NaN;
            Hold(Code(() => cut.Predict(many)) == 2, "a row that is refused in a batch");
            many[4321][2] = 1.0;
        }
        int failures = 0;
        var workers = new List<Thread>();
        for (int t = 0; t < 8; t++) {
            var worker = new Thread(() => {
                for (int i = 0; i < 50; i++) if (Text(model.Predict(rows)) != expected) Interlocked.Increment(ref failures);
            });
            workers.Add(worker);
            worker.Start();
        }
        foreach (Thread worker in workers) worker.Join();
        Hold(failures == 0, "threads");
        Console.WriteLine(expected);
    }
}
"""


@pytest.fixture(scope="module")
def dotnet(need: Callable[[str, str], None]) -> str:
    stub = find_stub("csharp")
    assert stub is not None
    problem = toolchain_problem(stub)
    if problem is not None:
        need("csharp", problem)
    return os.environ.get("MODELPORT_DOTNET", "dotnet")


@pytest.fixture(scope="module")
def artifact(iris) -> tuple[bytes, dict[str, np.ndarray]]:  # type: ignore[no-untyped-def]
    frame, _, pipeline = iris
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.3, 1.3]])
    made = modelport.convert(pipeline, "json", sample=frame)
    return made.data, dict(made.load().run({made.load().inputs[0].name: rows}))


def ran(dotnet: str, folder: Path, program: str, document: bytes, files: tuple[str, ...] = LIBRARY) -> str:
    """What a program with the library prints."""
    (folder / "Program.cs").write_text(program, encoding="utf-8")
    (folder / "model.json").write_bytes(document)
    sources = [*(str(FOLDER / name) for name in files), "Program.cs"]
    built = subprocess.run(
        [sys.executable, str(FOLDER / "build.py"), "built", *sources], cwd=folder, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    done = subprocess.run([dotnet, "built/modelport.dll"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_library_keeps_its_promises(dotnet: str, tmp_path: Path, artifact: tuple[bytes, dict[str, np.ndarray]]) -> None:
    document, expected = artifact
    shutil.copy(liars()[0], tmp_path / "liar.json")
    said = json.loads(ran(dotnet, tmp_path, PROGRAM, document).splitlines()[-1])["outputs"]
    assert set(said) == set(expected)
    for name, answer in expected.items():
        got = np.array(said[name]["data"]).reshape(answer.shape)
        if answer.dtype.kind == "f":
            np.testing.assert_allclose(got, answer, rtol=1e-12, atol=1e-12)
        else:
            assert got.tolist() == answer.tolist()


@pytest.mark.parametrize("files", [CORE, LIBRARY[:-1], (*CORE, LIBRARY[-1])], ids=["alone", "more", "nn"])
def test_the_readme_runs(
    dotnet: str, tmp_path: Path, artifact: tuple[bytes, dict[str, np.ndarray]], files: tuple[str, ...]
) -> None:
    program = re.search(r"```csharp\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert program is not None
    assert '"outputs"' in ran(dotnet, tmp_path, program[1], artifact[0], files)


def decimals() -> list[str]:
    """Decimals that are hard to read: neighbours of ties, subnormals, the ends, many digits."""
    chosen = random.Random(7)
    hard = [
        *("2.2250738585072011e-308", "2.2250738585072012e-308", "4.9406564584124654e-324", "2.4703282292062327e-324"),
        *(
            "2.4703282292062328e-324",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "9007199254740993",
            "9007199254740992.999999999999",
        ),
        *(
            "0.500000000000000166533453693773481063544750213623046875",
            "6.631236846766476e-316",
            "1e-400",
            "0e999",
            "-0.0",
            "1e23",
            "8.5e22",
        ),
        *(
            "3.237883913302901289588352412501532174863037669423108059901297049552301970670676565786835742587799557860615776559838283435514e-319",
        ),
        "0." + "0" * 400 + "1e401",
        "1" + "0" * 400 + "e-400",
    ]
    for _ in range(3000):
        value = struct.unpack("<d", struct.pack("<Q", chosen.getrandbits(64)))[0]
        if value == value and abs(value) != float("inf"):
            hard.append(repr(value))
            middle = value + (np.nextafter(value, np.inf) - value) / 2
            hard.append(f"{middle:.{chosen.randrange(15, 40)}e}")
            hard.append(f"{value:.{chosen.randrange(0, 20)}e}")
    hard += [f"{chosen.getrandbits(chosen.randrange(1, 80))}e{chosen.randrange(-340, 290)}" for _ in range(3000)]
    halves = (chosen.getrandbits(53) | 1 << 52 for _ in range(500))
    hard += [str((2 * half + 1) * 2 ** chosen.randrange(0, 60)) for half in halves]  # between two doubles, exactly
    return [text for text in hard if abs(float(text)) != float("inf")]


def test_decimals_are_read_and_written_to_the_last_bit(dotnet: str, tmp_path: Path) -> None:
    texts = decimals()
    document = {
        "format": "modelport",
        "version": "1.0",
        "requires": [],
        "inputs": [{"name": "x", "dtype": "f64", "shape": []}],
        "steps": [],
        "outputs": [{"name": "x", "from": "x", "dtype": "f64", "role": "transform"}],
    }
    program = """
using System;
using System.IO;
using Modelport;

public static class Decimals {
    public static void Main() {
        Model model = Model.Load(File.ReadAllBytes("model.json"), false, new Limits());
        var outputs = model.PredictJson(File.ReadAllBytes("request.json"));
        foreach (double v in outputs["x"].Doubles()) Console.WriteLine(BitConverter.DoubleToInt64Bits(v));
        Model.WriteOutputs(outputs, Console.Out);
    }
}
"""
    (tmp_path / "request.json").write_text(f'{{"inputs": {{"x": [{", ".join(texts)}]}}}}', encoding="utf-8")
    *bits, last = ran(dotnet, tmp_path, program, json.dumps(document).encode(), CORE).splitlines()
    expected = [struct.unpack("<q", struct.pack("<d", float(text)))[0] for text in texts]
    assert len(bits) == len(texts)
    assert [text for text, got, bit in zip(texts, bits, expected) if int(got) != bit] == []
    written = json.loads(last)["outputs"]["x"]["data"]
    assert [struct.unpack("<q", struct.pack("<d", value))[0] for value in written] == expected


WORK = """
using System;
using System.IO;
using System.Text;
using Modelport;

public static class Work {
    static string Loaded(byte[] document, bool replay, long work) {
        try {
            Model.Load(document, replay, new Limits {Work = work}, ModelportMore.Ops, ModelportNn.Ops);
            return "loaded";
        } catch (Refused e) {
            return e.Message;
        }
    }
    public static void Main() {
        for (int k = 0; File.Exists(k + ".json"); k++) {
            byte[] document = File.ReadAllBytes(k + ".json");
            long operations = long.Parse(File.ReadAllText(k + ".txt")), work = operations - 4096L * document.Length;
            Console.WriteLine(Loaded(document, true, work));
            Console.WriteLine(Loaded(document, true, work - 1));
            Console.WriteLine(Loaded(document, false, work - 1));
            try {
                Model.Load(Encoding.UTF8.GetString(document), ModelportMore.Ops, ModelportNn.Ops);
                Console.WriteLine("loaded");
            } catch (Refused e) {
                Console.WriteLine(e.Message);
            }
        }
    }
}
"""


def carrying(steps: list[dict], shape: list, rows: list[int], length: int, answer: list[float]) -> dict:  # type: ignore[type-arg]
    """A document of steps over rows of ones, as many in every set, with this answer to each."""

    def carried(n: int, length: int) -> dict:  # type: ignore[type-arg]
        lengths = [length if isinstance(axis, str) else axis for axis in shape]
        x = {"dtype": "f64", "shape": [n, *lengths], "data": [1.0] * (n * int(np.prod(lengths)))}
        y = {"dtype": "f64", "shape": [n, len(answer)], "data": answer * n}
        return {"inputs": {"x": x}, "outputs": {"y": y}}

    document = {
        "format": "modelport",
        "version": "1.1",
        "doc": "\N{GREEK SMALL LETTER LAMDA}",
        "requires": list(dict.fromkeys(step["op"] for step in steps)),
        "inputs": [{"name": "x", "dtype": "f64", "shape": shape}],
        "steps": steps,
        "outputs": [{"name": "y", "from": steps[-1]["out"], "dtype": "f64", "role": "transform"}],
        "verification": {"source": "synthetic", **carried(rows[0], length), "tolerance": {"y": {"atol": 1e-12, "rtol": 0}}},
    }
    if any(isinstance(axis, str) for axis in shape):
        document["lengths"] = {"time": length}
        document["verification"]["more"] = [carried(n, length + 1 + k) for k, n in enumerate(rows[1:])]  # type: ignore[index]
    return document


def test_the_work_of_a_document_is_limited_to_the_last_operation(dotnet: str, tmp_path: Path) -> None:
    """Operations of a row: what every step reads and gives, and its multiplications, counted by hand here."""
    e = float(np.exp(1.0))
    exp = {"op": "unary", "in": ["x"], "out": "e", "fn": "exp"}
    linear = {"op": "linear", "in": ["e"], "out": "y", "weight": [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]}
    squares = {"op": "poly", "in": ["x"], "out": "p", "powers": [[2, 0], [1, 1], [0, 3], [0, 0]]}
    near = {"op": "pairwise", "in": ["p"], "out": "d", "points": [[1, 1, 1, 1], [1, 1, 1, 3]], "metric": "minkowski"}
    twice = {"op": "binary", "in": ["d", "d"], "out": "y", "fn": "add"}
    longest = {"op": "reduce", "in": ["x"], "out": "y", "fn": "logsumexp", "axes": [0]}
    rnn = {"op": "rnn", "in": ["x"], "out": "y", "weight": [[0.0, 0.0]] * 3, "recurrent": [[0.0] * 3] * 3, "result": "last"}
    nmf = {"op": "nmf", "in": ["x"], "out": "y", "components": [[1.0, 0.0]], "solver": "cd", "max_iter": 7, "tol": 0.0}
    cases = [
        (carrying([exp, linear], [2], [5], 0, [e, e, 0.0]), 5 * ((8 * (2 + 2) + 16 * 2) + (8 * (2 + 3) + 3 * 2))),
        (
            carrying([squares, near, twice], [2], [3], 0, [0.0, 4.0]),
            3 * ((8 * (2 + 4) + 7) + (8 * (4 + 2) + 2 * (16 * 4 + 16)) + 8 * (2 + 2 + 2)),
        ),
        (
            carrying([rnn], ["time", 2], [2, 3], 4, [0.0] * 3),
            2 * (8 * (8 + 3) + 4 * (6 + 9 + 144)) + 3 * (8 * (10 + 3) + 5 * (6 + 9 + 144)),
        ),
        (carrying([longest], [4, 1], [2], 0, [1 + np.log(4)]), 2 * (8 * (4 + 1) + 16 * 4)),
        (carrying([nmf], [2], [6], 0, [1.0]), 6 * (8 * (2 + 1) + 7 * (1 + 64 * 3))),
    ]
    for k, (document, operations) in enumerate(cases):
        (tmp_path / f"{k}.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        (tmp_path / f"{k}.txt").write_text(str(operations))
    said = ran(dotnet, tmp_path, WORK, b"").splitlines()
    assert len(said) == 4 * len(cases)
    for k, (_, operations) in enumerate(cases):
        fits, replayed, read, string = said[4 * k : 4 * k + 4]
        assert (fits, string) == ("loaded", "loaded"), (k, fits, string)
        assert replayed == read
        assert replayed.startswith(
            f"Replaying the carried rows takes {operations} operations, more than the limit of {operations - 1} ("
        )


COUNTS = """
using System;
using System.IO;
using System.Text;
using Modelport;

public static class Counts {
    public static void Main() {
        foreach (string line in File.ReadAllLines("model.json")) {
            try {
                byte[] document = Encoding.UTF8.GetBytes(line);
                Model.Load(document, false, new Limits {Work = LEAST}, ModelportMore.Ops, ModelportNn.Ops);
                Console.WriteLine("loaded");
            } catch (Refused e) {
                Console.WriteLine(e.Message);
            }
        }
    }
}
"""


def test_the_work_of_every_op_is_the_one_the_format_states(dotnet: str, tmp_path: Path) -> None:
    cases = replays.counted()
    lines = "\n".join(text for _, text, _ in cases)
    said = ran(dotnet, tmp_path, COUNTS.replace("LEAST", f"{LEAST}L"), lines.encode()).splitlines()
    assert len(said) == len(cases) > 400
    other = [(op, line, count) for (op, _, count), line in zip(cases, said, strict=True) if operations_in(line) != count]
    assert other == []


def test_wide_values_of_many_rows_are_refused_at_once(dotnet: str, tmp_path: Path) -> None:
    """4,096 rows of 2^22 elements, and of products of ten million factors, each of which would take minutes to replay."""
    wide = [
        {"op": "onehot", "in": ["i"], "out": "wide", "size": 1 << 22},
        {"op": "reduce", "in": ["wide"], "out": "y", "fn": "sum"},
    ]
    cast = {"op": "cast", "in": ["x"], "out": "i", "to": "i64"}
    powers = {"dtype": "u8", "shape": [40_000, 1], "enc": "b64", "data": base64.b64encode(b"\xff" * 40_000).decode()}
    poly = [
        {"op": "poly", "in": ["x"], "out": "many", "powers": powers},
        {"op": "reduce", "in": ["many"], "out": "y", "fn": "sum"},
    ]
    for k, steps in enumerate([[cast, *wide], poly]):
        steps[-1] |= {"keep": True}
        (tmp_path / f"{k}.json").write_text(json.dumps(carrying(steps, [1], [4096], 0, [-7.0])))
        (tmp_path / f"{k}.txt").write_text("0")
    said = ran(dotnet, tmp_path, WORK, b"").splitlines()
    for line in (said[3], said[7]):
        assert re.fullmatch(
            r"Replaying the carried rows takes \d{11,12} operations, more than the limit of \d{10} \(1073741824, and .*",
            line,
        )


IDENTITY = {
    "format": "modelport",
    "version": "1.0",
    "requires": [],
    "inputs": [{"name": "x", "dtype": "f64", "shape": []}],
    "steps": [],
    "outputs": [{"name": "x", "from": "x", "dtype": "f64", "role": "transform"}],
}


def spelled(key: str, rng: random.Random) -> str:
    """A key as JSON: every character as it is, or as an escape."""
    names = {"\b": "\\b", "\n": "\\n", "/": "\\/", '"': '\\"', "\\": "\\\\"}
    units = (struct.unpack(f">{len(c.encode('utf-16-be')) // 2}H", c.encode("utf-16-be")) for c in key)
    escaped = ["".join("\\u" + f"{unit:04{rng.choice('xX')}}" for unit in each) for each in units]
    plain = [names.get(c, c) for c in key]
    return '"' + "".join(rng.choice(pair) for pair in zip(plain, escaped, strict=True)) + '"'


def test_equal_keys_are_found_however_they_are_spelled(dotnet: str, tmp_path: Path) -> None:
    """Keys of few and of many characters, in objects of few and of many keys, lowered from A to Z and nowhere else."""
    stub = find_stub("csharp")
    assert stub is not None
    rng = random.Random(5)
    alphabet = 'AaZz@[kK/"\\\b\n\u212a\u00e9\u00c9\u07ff\u0800\uffff\U0001f600\U0010ffff'
    seen = set()
    with asking(stub, tmp_path) as ask:
        for _ in range(300):
            keys = [
                "".join(rng.choices(alphabet, k=rng.choice([0, 1, 2, 2, 3]))) for _ in range(rng.choice([2, 3, 8, 9, 12, 40]))
            ]
            lowered = ["".join(c.lower() if "A" <= c <= "Z" else c for c in key) for key in keys]
            twice = len(set(lowered)) < len(keys)
            inner = ",".join(f"{spelled(key, rng)}:{{}}" for key in keys)
            (tmp_path / "keys.json").write_text(json.dumps(IDENTITY)[:-1] + f',"x-keys":[{{{inner}}}]}}', encoding="utf-8")
            done = ask(["info", str(tmp_path / "keys.json")])
            assert done.code == (2 if twice else 0), (keys, done)
            assert not twice or "stands twice in one object" in done.err
            seen.add((twice, len(keys) > 8))
    assert len(seen) == 4


def test_a_file_of_many_small_values_takes_no_more_than_eight_times_its_size(dotnet: str, tmp_path: Path) -> None:
    stub = find_stub("csharp")
    assert stub is not None
    keys = "{" + ",".join(f'"{k:x}":1' for k in range(100_000)) + "}"
    lists = {of: "[" + ",".join([of] * (1_000_000 // (len(of) + 1))) + "]" for of in ('{"a":1}', '[{"a":1}]', '""')}
    cases = [
        ("x-more", lists['[{"a":1}]'], 0),
        ("x-more", keys, 0),
        ("steps", lists['{"a":1}'], 2),
        ("inputs", lists['{"a":1}'], 2),
    ]
    cases += [("requires", lists['""'], 2), ("lengths", keys, 2)]
    (tmp_path / "small.json").write_text(json.dumps(IDENTITY))
    paths = [tmp_path / "small.json"]
    for where, value, _ in cases:
        paths.append(tmp_path / f"{len(paths)}.json")
        paths[-1].write_text(json.dumps({k: v for k, v in IDENTITY.items() if k != where})[:-1] + f',"{where}":{value}}}')
    process = Once(command_for(stub), tmp_path)
    try:
        small, *many = process.ask([Command(["info", str(path)]) for path in paths])
    finally:
        process.stop()
    assert [answer.done.code for answer in (small, *many)] == [0, *(code for _, _, code in cases)]
    for answer, path in zip(many, paths[1:], strict=True):
        assert answer.memory - small.memory <= 8 * path.stat().st_size, path


def test_the_library_uses_no_more_than_it_says() -> None:
    """Neither reflection nor unsafe code, files, networks or a culture."""
    for name in LIBRARY:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(
            r"System\.Reflection|\bunsafe\b(?! code)|System\.Net\b|\bFile\.|CurrentCulture|\bdynamic\b|DllImport", text
        )
