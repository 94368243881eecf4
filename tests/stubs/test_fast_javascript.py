"""modelport_fast.js: the bits of modelport.js in every kernel, however the rows lie; and a realm without WebAssembly."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from batches import case, grid, trees

from modelport.stubs import data_folder

FOLDER = data_folder("stubs") / "javascript"
PROGRAM = """
const modelport = require("./modelport.js"), more = require("./modelport_more.js"), nn = require("./modelport_nn.js");
const cases = JSON.parse(require("node:fs").readFileSync(0, "utf8")), { kernels } = modelport.internals, own = { ...kernels };
const { active } = require("./modelport_fast.js"), fast = { ...kernels };
let done = 0; // calls that the kernels took on
for (const name of Object.keys(fast)) {
  const kernel = fast[name];
  if (kernel === null) continue;
  fast[name] = (...given) => { const took = kernel(...given); done += Number(took); return took; };
}
const results = cases.map(({ document, rows, arrays }) => {
  const model = modelport.load(JSON.stringify(document), { ops: { ...more, ...nn }, verify: false });
  const ask = (table) => {
    Object.assign(kernels, table);
    const { shape, data } = rows.x;
    return Object.values(model.predict({ x: { shape, data: data.map(Number) } })).map((output) => output.data);
  };
  done = 0;
  const quick = ask(fast), taken = done, slow = ask(own);
  const equal = quick.every((data, k) => data.every((x, i) => Object.is(x, slow[k][i])));
  return { taken, equal, first: Array.from(quick[0].slice(0, 8)) };
});
process.stdout.write(JSON.stringify({ active, results }));
"""


def ask(cases: list[dict[str, Any]], before: str = "") -> Any:
    command = ["node", "-e", before + PROGRAM]
    done = subprocess.run(command, input=json.dumps(cases), cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(next(line for line in done.stderr.splitlines() if "Error" in line or "Refused" in line)[:500])
    return json.loads(done.stdout)


def test_the_kernels_give_the_same_bits(need_program: Callable[[str, str], None]) -> None:
    need_program("javascript", "node")
    rng = np.random.default_rng(0)
    cases = [
        case(trees(rng, 5, 20, leaves, dtype=dtype, missing="right", **more), grid(rng, rows, 5, 0.02), "f64")
        for leaves in (1, 2, 8, 9, 31, 64, 65, 300)
        for dtype, rows, more in [
            ("f64", 75, {}),
            ("f32", 1030, {"cmp": "lt", "aggregate": "mean"}),
            ("f32", 100, {"leaf_width": 3}),
            ("f64", 600, {"class": [t % 3 for t in range(20)], "size": 3, "acc": "f32", "init": [0.5, 0.25, -1.0]}),
        ]
    ]
    for number, rows in [(1, 1), (3, 1), (7, 2), (8, 1), (9, 7), (20, 1), (20, 7)]:  # few rows: trees are walked together
        for dtype, more in [
            ("f64", {"missing": "left"}),
            ("f32", {"leaf_width": 3, "cmp": "lt"}),
            ("f32", {"class": [t % 3 for t in range(number)], "size": 3, "acc": "f32", "init": [0.5, 0.25, -1.0]}),
        ]:
            cases.append(case(trees(rng, 5, number, 40, dtype=dtype, **more), grid(rng, rows, 5, 0), "f64"))
    many = trees(rng, 2, 40, 30)  # more bounds in a column than a byte counts
    many["threshold"] = rng.normal(size=len(many["threshold"])).tolist()
    cases.append(case(many, rng.normal(size=(700, 2))))
    deep = trees(rng, 2, 1, 2)  # a chain to the left, deeper than any stack
    depth = 30_000
    deep |= {"feature": [0] * depth + [-1] * (depth + 1), "threshold": [0.0] * depth, "leaf": [1.0] * (depth + 1)}
    deep["right"] = [2 * depth - k for k in range(depth)]
    cases.append(case(deep, rng.normal(size=(40, 2))))
    for dtype in ("f64", "f32"):
        for o, i, n in [(4, 4, 1100), (5, 7, 500), (130, 33, 17), (64, 513, 70)]:
            bias = {} if o == 5 else {"bias": rng.normal(size=o).astype(np.float32).tolist()}
            weight = {"dtype": dtype, "shape": [o, i], "data": rng.normal(size=o * i).astype(np.float32).tolist()}
            cases.append(case({"op": "linear", "weight": weight, "dtype": dtype, **bias}, rng.normal(size=(n, i)), "f64"))
        for metric in ("dot", "euclidean", "sqeuclidean", "manhattan", "rbf", "laplacian", "poly"):
            points = {"dtype": dtype, "shape": [37, 6], "data": rng.normal(size=222).astype(np.float32).tolist()}
            cases.append(case({"op": "pairwise", "points": points, "metric": metric, "dtype": dtype}, rng.normal(size=(150, 6))))
    conv = {"dtype": "f32", "shape": [8, 3, 3, 3], "data": rng.normal(size=216).astype(np.float32).tolist()}
    step = {"op": "conv", "weight": conv, "dtype": "f32", "pads": {"dtype": "i64", "shape": [4], "data": [1, 1, 1, 1]}}
    cases.append(case(step, rng.normal(size=(2, 3, 20, 20))))
    found = ask(cases)
    assert found["active"] is True
    for given, result in zip(cases, found["results"], strict=True):
        step = {key: value for key, value in given["document"]["steps"][0].items() if not isinstance(value, list | dict)}
        assert result["equal"] is True, step
        assert result["taken"] >= 1, step


def test_a_batch_of_trees_is_what_numpy_adds(need_program: Callable[[str, str], None]) -> None:
    """One threshold per tree: the sum over trees of the leaf, in order."""
    need_program("javascript", "node")
    rng = np.random.default_rng(1)
    step = trees(rng, 3, 50, 2)
    x = grid(rng, 64, 3)
    leaf = np.array(step["leaf"]).reshape(50, 2)
    expected = np.zeros(len(x))
    for t in range(50):
        expected = expected + np.where(x[:, step["feature"][3 * t]] <= step["threshold"][t], leaf[t, 0], leaf[t, 1])
    (result,) = ask([case(step, x)])["results"]
    assert result["taken"] == 1
    assert result["first"] == expected[:8].tolist()


FORBIDDEN = "WebAssembly.Module = class { constructor() { throw new WebAssembly.CompileError('no'); } };"


@pytest.mark.parametrize("before", ["delete globalThis.WebAssembly;", FORBIDDEN])
def test_without_webassembly_nothing_happens(before: str, need_program: Callable[[str, str], None]) -> None:
    need_program("javascript", "node")
    rng = np.random.default_rng(2)
    found = ask([case(trees(rng, 3, 5, 8), grid(rng, 64, 3))], before)
    assert found["active"] is False
    assert found["results"][0] | {"first": []} == {"taken": 0, "equal": True, "first": []}
