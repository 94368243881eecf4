"""The TypeScript declarations of the JavaScript stub: an example that uses every name compiles, and does what they say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelport.stubs import data_folder

FOLDER = data_folder("stubs") / "javascript"
#: a file of the stub -> its global, where it is a classic script
GLOBALS = {
    "modelport.js": "modelport",
    "modelport_fast.js": "modelportFast",
    "modelport_more.js": "modelportMore",
    "modelport_nn.js": "modelportNn",
}
#: what the example needs of Node, whose own declarations are another package
NODE = 'declare module "node:fs" {\n  export function readFileSync(path: string): Uint8Array<ArrayBuffer>;\n}\n'

#: every name of modelport.d.ts; `main` says what it found. The functions that are never called are wrong on purpose
EXAMPLE = """
async function main(bytes: Uint8Array<ArrayBuffer>): Promise<string[]> {
  const limits: Partial<modelport.Limits> = { work: 2 * modelport.DEFAULT_LIMITS.work, multiplications: 2 ** 35 };
  const tables: modelport.Ops = { ...modelportMore, ...modelportNn };
  const options: modelport.LoadOptions = { verify: true, limits, ops: tables };
  const model: modelport.Model = modelport.load(bytes, options);
  const inputs: modelport.Input[] = model.inputs(), outputs: modelport.Output[] = model.outputs();
  const role: modelport.Role = outputs[0].role, dtypes: modelport.DType[] = [...inputs, ...outputs].map(({ dtype }) => dtype);
  const info: modelport.Info = model.info(), features: string[] = info.inputs[0].features ?? [];

  const scalar: modelport.Scalar = 2, typed: modelport.TypedArray = new Float32Array([1, 2]);
  const list: modelport.List = [1, scalar], nested: modelport.Nested = [typed, list];
  const values: modelport.Values = { shape: [2, 2], data: new Float64Array([1, 2, 1, 2]) };
  const read: modelport.Rows = model.readRows('{"inputs": {"x": [[1, 2], [1, 2]]}}');
  const ways: modelport.RowsLike[] = [
    { x: nested }, { x: values }, { a: [1, 1], b: [2, 2] }, [{ a: true, b: 2 }, { a: 1, b: 2 }], [[1, 2], [1, 2]], typed, read,
  ];
  const answers: modelport.Tensor[] = ways.map((rows) => model.predict(rows).y);
  const arrays: modelport.NestedArray[] = answers.map((tensor) => tensor.toArray());
  const shapes: string[] = answers.map(({ shape, data }) => `${shape.join("x")}=${data.length}`);

  const report: modelport.Report = model.verify(), checked: modelport.OutputReport[] = report.outputs;
  async function* halves(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 50);
    yield bytes.subarray(50);
  }
  const pieces: modelport.Pieces[] = [new Response(bytes), new Blob([bytes]), [bytes], halves()];
  const streamed: modelport.Model[] = await Promise.all(pieces.map((source) => modelport.loadFrom(source, options)));
  const errors: modelport.ModelportError[] = [], whole = new TextDecoder().decode(bytes);
  for (const source of ["{}", whole.replace('"scale"', '"scala"'), whole.replace("-3", "-4")]) {
    try {
      modelport.load(source, options);
    } catch (error) {
      if (error instanceof modelport.ModelportError) errors.push(error);
    }
  }
  const classes = [modelport.Refused, modelport.Unsupported, modelport.Mismatch];
  const codes: Array<1 | 2 | 3> = errors.map(({ exitCode }) => exitCode);
  const kinds = errors.map((error, k) => error instanceof classes[k]);
  const text: string = [...modelport.encode(model.predict([[1, 2]]))].join("");
  const ok = report.ok && checked.every((output) => output.ok);
  return [
    JSON.stringify({ role, dtypes, features, arrays, shapes, rows: read.count, ok }),
    JSON.stringify({ codes, kinds, streamed: streamed.map((one) => one.info().ops) }),
    JSON.stringify({ text, ops: modelport.ops(tables).length > modelport.ops().length, fast: modelportFast.active }),
  ];
}

function wrong(model: modelport.Model): void {
  // @ts-expect-error: a model comes from load
  new modelport.Model();
  // @ts-expect-error: so does a tensor
  new modelport.Tensor();
  // @ts-expect-error: no limit has that name
  modelport.load("", { limits: { wrok: 1 } });
  // @ts-expect-error: one number is no row
  model.predict(1);
  // @ts-expect-error: defaults stay
  modelport.DEFAULT_LIMITS.work = 1;
}
"""

#: classic scripts, as a page runs them
IN_A_PAGE = """
const vm = require("node:vm"), { readFileSync } = require("node:fs");
const context = vm.createContext({ TextDecoder, TextEncoder, WebAssembly, Response, Blob, console });
for (const name of process.argv.slice(1)) vm.runInContext(readFileSync(name, "utf8"), context);
context.main(readFileSync("model.json")).then((lines) => lines.forEach((line) => console.log(line)));
"""


def document() -> dict[str, Any]:
    """x [a, b] -> 3 x - 3."""
    return {
        "format": "modelport",
        "version": "1.0",
        "requires": ["scale"],
        "inputs": [{"name": "x", "dtype": "f64", "shape": [2], "features": ["a", "b"]}],
        "steps": [{"op": "scale", "in": ["x"], "out": "y", "mul": [3], "add": [-3]}],
        "outputs": [{"name": "y", "from": "y", "dtype": "f64", "role": "transform"}],
        "verification": {
            "source": "synthetic",
            "inputs": {"x": [[1.0, 2.0]]},
            "outputs": {"y": [[0.0, 3.0]]},
            "tolerance": {"y": "exact"},
        },
    }


def declared(pattern: str) -> set[str]:
    """Names that modelport.d.ts declares in a way."""
    text = (FOLDER / "modelport.d.ts").read_text(encoding="utf-8")
    return set(re.findall(rf"^  (?:{pattern}) (\w+)", text, re.MULTILINE))


def put(folder: Path) -> None:
    """The files of the stub."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in GLOBALS:
        for file in (name, name.replace(".js", ".d.ts")):
            shutil.copy(FOLDER / file, folder / file)


def said(folder: Path, *command: str) -> list[Any]:
    done = subprocess.run(["node", *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_declared_is_there(need_program: Callable[[str, str], None], tmp_path: Path) -> None:
    need_program("javascript", "node")
    program = "const m = require(process.argv[1]); console.log(JSON.stringify([Object.keys(m), Object.keys(m.DEFAULT_LIMITS)]))"
    ((exported, limits),) = said(tmp_path, "-e", program, str(FOLDER / "modelport.js"))
    assert set(exported) - {"internals"} == declared("class|abstract class|const|function")
    text = (FOLDER / "modelport.d.ts").read_text(encoding="utf-8")
    interface = text.split("interface Limits {")[1].split("}")[0]
    assert set(limits) == set(re.findall(r"^    (\w+): number;", interface, re.MULTILINE))


def test_the_example_uses_every_name() -> None:
    names = declared("class|abstract class|const|function|interface|type")
    assert {"Limits", "Model", "load", "Pieces", "DEFAULT_LIMITS"} < names
    assert [name for name in sorted(names) if not re.search(rf"\bmodelport\.{name}\b", EXAMPLE)] == []


@pytest.mark.xdist_group("tsc")
def test_an_example_compiles_in_every_form_and_runs(tmp_path: Path, tsc: Callable[..., None]) -> None:
    """An ES module, a CommonJS module, a classic script, and a module in a package of ES modules as the README has it."""
    put(tmp_path)
    put(tmp_path / "package" / "modelport")
    (tmp_path / "package" / "package.json").write_text('{"type": "module"}')
    (tmp_path / "package" / "modelport" / "package.json").write_text('{"type": "commonjs"}')
    (tmp_path / "node.d.ts").write_text(NODE)
    (tmp_path / "model.json").write_text(json.dumps(document()))
    imports = {
        "module.mts": 'import {} from "./{}";\n',
        "common.cts": 'import {} = require("./{}");\n',
        "package/module.ts": 'import {} from "./modelport/{}";\n',
    }
    shown = 'import { readFileSync } from "node:fs";\n' + EXAMPLE
    shown += 'main(readFileSync("model.json")).then((lines) => lines.forEach((line) => console.log(line)));\n'
    for file, line in imports.items():
        (tmp_path / file).write_text("".join(line.format(name, library) for library, name in GLOBALS.items()) + shown)
    references = "".join(f'/// <reference path="./{file.replace(".js", ".d.ts")}" />\n' for file in GLOBALS)
    (tmp_path / "script.ts").write_text(references + EXAMPLE)

    tsc(tmp_path, "--noEmitOnError", "--moduleDetection", "legacy", "node.d.ts", "script.ts", *imports)
    lines = [said(tmp_path, file) for file in ("module.mjs", "common.cjs", "package/module.js")]
    lines.append(said(tmp_path, "-e", IN_A_PAGE, *GLOBALS, "script.js"))
    assert lines == [lines[0]] * 4
    values, failures, text = lines[0]
    twice, once = [[0, 3], [0, 3]], [[0, 3]]
    assert values["arrays"] == [twice, twice, twice, twice, twice, once, twice]
    assert values["shapes"] == ["2x2=4"] * 5 + ["1x2=2", "2x2=4"]
    assert (values["role"], values["dtypes"], values["features"]) == ("transform", ["f64", "f64"], ["a", "b"])
    assert (values["rows"], values["ok"]) == (2, True)
    assert failures == {"codes": [2, 3, 1], "kinds": [True] * 3, "streamed": [["scale"]] * 4}
    assert json.loads(text["text"])["outputs"]["y"]["data"] == [0, 3]
    assert text["ops"]
