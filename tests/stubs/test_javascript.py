"""The JavaScript stub as a library in Node: rows of any rank, named lengths, what it says of a model; expected: NumPy's.

The rest of its interface is held by the conformance suite, and in a browser by test_browser.py.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import replays
from work import EMPTY, LEAST, SMALL, SMALL_OPERATIONS, WIDE, WIDE_OPERATIONS, operations_in, small_work

from modelport.stubs import data_folder

FOLDER = data_folder("stubs") / "javascript"
PROGRAM = """
const modelport = require("./modelport.js"), nn = require("./modelport_nn.js");
const { document, calls } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const model = modelport.load(JSON.stringify(document), { ops: nn });
const results = calls.map((call) => {
  try {
    return eval(call);
  } catch (error) {
    return { error: error.name, message: error.message };
  }
});
process.stdout.write(JSON.stringify(results));
"""

WEIGHT = [[0.5, -1.0], [2.0, 0.25], [1.0, 1.0]]


@pytest.fixture(scope="module")
def ask(need_program: Callable[[str, str], None]) -> Callable[..., list[Any]]:
    """What JavaScript expressions give, after the model `model` of a document was loaded."""
    need_program("javascript", "node")

    def run(document: dict[str, Any], *calls: str) -> list[Any]:
        text = json.dumps({"document": document, "calls": calls})
        done = subprocess.run(["node", "-e", PROGRAM], input=text, cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    return run


def document(time: int = 3) -> dict[str, Any]:
    """Sequences [time, 2] and the number of a place -> products of their elements, the mean of these, the one at the place."""
    x = np.arange(4.0 * time).reshape(2, time, 2)
    y = x @ np.array(WEIGHT).T
    tensor = {"dtype": "f64", "shape": list(y.shape), "data": y.reshape(-1).tolist()}
    return {
        "format": "modelport",
        "version": "1.1",
        "requires": ["linear", "reduce", "gather", "slice"],
        "lengths": {"time": time},
        "inputs": [{"name": "x", "dtype": "f64", "shape": ["time", 2]}, {"name": "at", "dtype": "i64", "shape": []}],
        "steps": [
            {"op": "linear", "in": ["x"], "out": "y", "weight": WEIGHT},
            {"op": "reduce", "in": ["y"], "out": "mean", "fn": "mean", "axes": [0]},
            {"op": "gather", "in": ["y", "at"], "out": "found", "axis": 0},
            {"op": "slice", "in": ["y"], "out": "second", "axes": [0], "starts": [1], "stops": [2]},
        ],
        "outputs": [{"name": n, "from": n, "dtype": "f64", "role": "transform"} for n in ("y", "mean", "found", "second")],
        "verification": {
            "source": "synthetic",
            "inputs": {"x": {**tensor, "shape": list(x.shape), "data": x.reshape(-1).tolist()}, "at": [0, -1]},
            "outputs": {
                "y": tensor,
                "mean": y.mean(axis=1).tolist(),
                "found": [y[0, 0].tolist(), y[1, -1].tolist()],
                "second": {"dtype": "f64", "shape": [2, 1, 3], "data": y[:, 1].reshape(-1).tolist()},
            },
            "tolerance": {n: {"atol": 1e-12, "rtol": 1e-12} for n in ("y", "mean", "found", "second")},
        },
    }


def test_rows_of_any_rank_in_every_form(ask: Callable[..., list[Any]]) -> None:
    x = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [-7.0, 8.0]]])
    flat, nested = x.reshape(-1).tolist(), x.tolist()
    records = [{"x": row, "at": 1} for row in nested]
    given = [
        f"{{ x: {nested}, at: [1, 1] }}",
        f"{{ x: {{ data: new Float64Array({flat}), shape: [2, 2, 2] }}, at: {{ data: [1, 1], shape: [2] }} }}",
        f"{{ x: {{ data: {flat}, shape: [2, 2, 2] }}, at: [1n, -1] }}",
        f"{nested[0]} && [{{ x: {nested[0]}, at: 1 }}, {{ x: [new Float64Array({nested[1][0]}), {nested[1][1]}], at: -1 }}]",
        json.dumps(records),
    ]
    shaped = {"dtype": "f64", "shape": [2, 2, 2], "data": flat}
    given.append(f"model.readRows({json.dumps(json.dumps({'inputs': {'x': shaped, 'at': [1, 1]}}))})")
    expected = x @ np.array(WEIGHT).T
    for found in ask(document(), *(f"Object.entries(model.predict({form})).map(([k, v]) => [k, v.toArray()])" for form in given)):
        assert "error" not in found, found
        outputs = dict(found)
        np.testing.assert_allclose(outputs["y"], expected, rtol=1e-12)
        np.testing.assert_allclose(outputs["mean"], expected.mean(axis=1), rtol=1e-12)
        np.testing.assert_allclose(outputs["found"], expected[:, 1], rtol=1e-12)
        np.testing.assert_allclose(outputs["second"], expected[:, 1:2], rtol=1e-12)


def test_what_a_model_says_of_named_lengths(ask: Callable[..., list[Any]]) -> None:
    inputs, outputs, info, empty = ask(
        document(), "model.inputs()", "model.outputs()", "model.info()", "model.predict({ x: [], at: [] }).y.shape"
    )
    assert [one["shape"] for one in inputs] == [["time", 2], []]
    assert [one["shape"] for one in outputs] == [[None, 3], [3], [3], [1, 3]]
    assert info["lengths"] == {"time": 3}
    assert empty == [0, 3, 3]


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ("{ x: [[[1, 2]], [[1, 2], [3, 4]]], at: [0, 0] }", "ragged"),
        ("{ x: [[[1, 2, 3]]], at: [0] }", '[rows, "time" = 1, 2]'),
        ("{ x: [[1, 2]], at: [0] }", '[rows, "time", 2]'),
        ("{ x: [1, 2], at: [0] }", "flat"),
        ("{ x: [[]], at: [0] }", '"x"'),
        ("{ x: { data: [1, 2, 3], shape: [1, 2, 2] }, at: [0] }", "3 elements"),
        ("{ x: [[[1, 2], [3, 4]]], at: [2] }", "the index 2 is not in 0..1"),
        ("{ x: [[[1, 2]]], at: [0] }", '"time" = 1'),
        ("{ x: { data: new Float64Array(2 ** 22), shape: [1, 2 ** 21, 2] }, at: [0] }", "limit rowElements"),
    ],
)
def test_rows_that_do_not_fit_are_refused(ask: Callable[..., list[Any]], rows: str, part: str) -> None:
    (found,) = ask(document(), f"model.predict({rows})")
    assert found["error"] == "Refused"
    assert part in found["message"]


def test_a_model_that_was_asked_with_many_lengths_stays_right(ask: Callable[..., list[Any]]) -> None:
    lengths = [2, 9, 3, 17, 2, 5, 4, 9, 3]
    calls = [f"model.predict({{ x: [{[[float(i), 1.0] for i in range(n)]}], at: [-1] }}).found.toArray()" for n in lengths]
    found = ask(document(), *calls)
    for n, answer in zip(lengths, found, strict=True):
        np.testing.assert_allclose(answer, [np.array(WEIGHT) @ [n - 1.0, 1.0]], rtol=1e-12)


def test_the_file_of_nets_is_needed_for_them(tmp_path: Path, need_program: Callable[[str, str], None]) -> None:
    need_program("javascript", "node")
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document()), encoding="utf-8")
    load = 'require("./modelport.js").load(require("node:fs").readFileSync(process.argv[1]))'
    code = f"try {{ {load} }} catch (e) {{ console.log(e.name, e.message) }}"
    done = subprocess.run(["node", "-e", code, str(path)], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Unsupported"), done
    assert '"gather"' in done.stdout


LOADS = """
const modelport = require("./modelport.js"), ops = { ...require("./modelport_more.js"), ...require("./modelport_nn.js") };
const say = ({ work, verify, text, bytes }) => {
  try {
    modelport.load(bytes ? Buffer.from(text) : text, { verify, ops, limits: { work } });
    return "accepted";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
process.stdout.write(JSON.stringify(JSON.parse(require("node:fs").readFileSync(0, "utf8")).map(say)));
"""


def loaded(asked: list[tuple[int, bool, bool, str]]) -> list[str]:
    """What loading documents under a limit `work`, with or without a replay, from bytes or a string, says."""
    given = [{"work": work, "verify": verify, "bytes": by, "text": text} for work, verify, by, text in asked]
    done = subprocess.run(["node", "-e", LOADS], input=json.dumps(given), cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("by", [True, False], ids=["bytes", "string"])
def test_a_replay_of_too_many_operations_is_refused(need_program: Callable[[str, str], None], by: bool) -> None:
    need_program("javascript", "node")
    most = small_work()
    asked = [(most, True, SMALL), (most - 1, True, SMALL), (most - 1, False, SMALL), (2**30, True, WIDE), (2**30, False, EMPTY)]
    accepted, *refused = loaded([(work, verify, by, text) for work, verify, text in asked])
    assert accepted == "accepted"
    assert all(one.startswith("Refused: ") for one in refused)
    assert [operations_in(one) for one in refused[:3]] == [SMALL_OPERATIONS, SMALL_OPERATIONS, WIDE_OPERATIONS]
    assert f"{2**40} elements" in refused[3]


def test_operations_are_those_of_the_reference_for_every_op(need_program: Callable[[str, str], None]) -> None:
    need_program("javascript", "node")
    cases = replays.counted()
    said = loaded([(LEAST, True, False, text) for _, text, _ in cases])
    wrong = [(op, expected, one) for (op, _, expected), one in zip(cases, said, strict=True) if operations_in(one) != expected]
    assert wrong == []


STREAMS = """
const modelport = require("./modelport.js"), { Worker } = require("node:worker_threads");
const { createReadStream, readFileSync } = require("node:fs"), path = process.argv[1], ops = require("./modelport_nn.js");
const rows = { x: [[[1, 2], [3, 4]]], at: [0] }, answer = (model) => JSON.stringify(model.predict(rows).y.toArray());
const said = (error) => error.name + ": " + error.message;
const failure = (source, options) => modelport.loadFrom(source, { ops, ...options }).then(() => "none", said);
const work = () => {
  const { parentPort, workerData: { folder, bytes } } = require("node:worker_threads");
  const ops = require(folder + "/modelport_nn.js"), model = require(folder + "/modelport.js").load(bytes, { ops });
  parentPort.postMessage(JSON.stringify(model.predict({ x: [[[1, 2], [3, 4]]], at: [0] }).y.toArray()));
};
const ask = (bytes) => new Promise((resolve, reject) => {
  const worker = new Worker(`(${work})()`, { eval: true, workerData: { folder: process.cwd(), bytes } });
  worker.on("message", resolve).on("error", reject);
});
(async () => {
  const bytes = readFileSync(path), halves = [bytes.subarray(0, 100), bytes.subarray(100)];
  const whole = [new Response(bytes), new Blob([bytes]), new Response(bytes).body, bytes, String(bytes)];
  const sources = [...whole, createReadStream(path, { highWaterMark: 64 }), halves];
  const answers = await Promise.all(sources.map(async (source) => answer(await modelport.loadFrom(source, { ops }))));
  const workers = await Promise.all([0, 1, 2].map(() => ask(bytes)));
  const failures = [
    await failure(createReadStream(path, { encoding: "utf8" })), await failure(new Response("no", { status: 404 })),
    await failure(17), await failure([bytes], { limits: { bytes: 10 } }), await failure([bytes.subarray(3)]),
  ];
  console.log(JSON.stringify({ answers, workers, failures }));
})();
"""


def test_streams_and_workers_give_the_same_answers(tmp_path: Path, need_program: Callable[[str, str], None]) -> None:
    need_program("javascript", "node")
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document()), encoding="utf-8")
    done = subprocess.run(["node", "-e", STREAMS, str(path)], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = (np.array([[1.0, 2.0], [3.0, 4.0]]) @ np.array(WEIGHT).T).tolist()
    assert [json.loads(answer) for answer in found["answers"] + found["workers"]] == [[expected]] * 10
    parts = ["without an encoding", "status 404", "no Response", "limit bytes", "not acceptable JSON"]
    for sentence, part in zip(found["failures"], parts, strict=True):
        assert sentence.startswith("Refused: ")
        assert part in sentence


def test_it_is_a_module_and_a_classic_script(tmp_path: Path, need_program: Callable[[str, str], None]) -> None:
    """`import` in a package of ES modules, and a script without `module`, as browsers run it."""
    need_program("javascript", "node")
    names = ["modelport.js", "modelport_fast.js", "modelport_more.js", "modelport_nn.js"]
    for name in names:
        (tmp_path / name).write_text((FOLDER / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    imports = "".join(f'import "./{name}";\n' for name in names)
    count = "{0}modelport.ops({{ ...{0}modelportMore, ...{0}modelportNn }}).length"
    said = "console.log([typeof {0}modelport.load, {0}modelportFast.active, " + count + "].join())"
    (tmp_path / "module.mjs").write_text(imports + said.format("globalThis."), encoding="utf-8")
    runs = 'const vm = require("node:vm"), fs = require("node:fs");\n'
    runs += "const context = vm.createContext({ TextDecoder, TextEncoder, WebAssembly, console });\n"
    runs += "".join(f'vm.runInContext(fs.readFileSync("{name}", "utf8"), context);\n' for name in names)
    runs += f"vm.runInContext({json.dumps(said.format(''))}, context);"
    (tmp_path / "script.cjs").write_text(runs, encoding="utf-8")
    texts = []
    for name in ("module.mjs", "script.cjs"):
        done = subprocess.run(["node", name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        texts.append(done.stdout)
    assert texts[0] == texts[1]
    assert texts[0].startswith("function,true,")
