// Measures onnxruntime-node inside one process: node bench_onnx.mjs PACKAGE ROWS ARTIFACT
// Commands on standard input, one answer per line: ready | load | one SECONDS | batch SECONDS | answers FILE (see ../worker.py).
// PACKAGE is the folder of the npm package onnxruntime-node. A bare session of one thread; rows in the dtype the file declares.

import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const [library, rowsPath, artifact] = process.argv.slice(2);
const { InferenceSession, Tensor } = createRequire(import.meta.url)(library);
const SINGLES = 64;
const ARRAYS = { float32: Float32Array, float64: Float64Array, string: Array };

/** The inputs of a rows file: per input a line "name kind width rows", then one element per line. */
function readRows(path) {
  const lines = readFileSync(path, "utf8").split("\n");
  const inputs = [];
  for (let at = 0; at < lines.length - 1;) {
    const [name, kind, width, rows] = lines[at++].split(" ");
    const cells = lines.slice(at, (at += width * rows));
    inputs.push({ name, width: +width, rows: +rows, data: kind === "str" ? cells : Float64Array.from(cells, Number) });
  }
  return inputs;
}

const inputs = readRows(rowsPath);
const count = inputs[0].rows;
let session, batch, singles;

/** Rows first..last of all inputs as tensors of the session. */
function feeds(first, last) {
  const types = new Map(session.inputMetadata.map(({ name, type }) => [name, type]));
  return Object.fromEntries(inputs.map(({ name, width, data }) => {
    const type = types.get(name), part = data.slice(first * width, last * width);
    return [name, new Tensor(type, ARRAYS[type].from(part), [last - first, width])];
  }));
}

const seconds = (since) => Number(process.hrtime.bigint() - since) / 1e9;

/** Seconds per call, going round the feeds for at least so many seconds. */
async function repeated(given, least) {
  const started = process.hrtime.bigint();
  for (let done = 1; ; done++) {
    await session.run(given[(done - 1) % given.length]);
    const spent = seconds(started);
    if (spent >= least) return spent / done;
  }
}

const commands = {
  ready: () => null,
  async load() {
    const started = process.hrtime.bigint();
    session = await InferenceSession.create(artifact, { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4 });
    const spent = seconds(started);
    batch ??= [feeds(0, count)];
    singles ??= Array.from({ length: Math.min(SINGLES, count) }, (_, i) => feeds(i, i + 1));
    return spent;
  },
  one: (least) => repeated(singles, +least),
  batch: (least) => repeated(batch, +least),
  async answers(path) {
    const outputs = await session.run(batch[0]), named = (part) => outputs[session.outputNames.find((name) => name.includes(part))].data;
    writeFileSync(path, [...named("label"), ...named("prob")].join("\n"));
    return null;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...rest] = line.split(" ");
  let reply;
  try {
    reply = await commands[verb](...rest);
  } catch (error) {
    reply = { error: error.message };
  }
  console.log(JSON.stringify(reply));
}
