// Measures stubs/javascript/modelport.js inside one process: node bench.mjs LIBRARY ROWS ARTIFACT
// Commands on standard input, one answer per line: ready | load | one SECONDS | batch SECONDS | answers FILE (see ../worker.py).

import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const [library, rowsPath, artifact] = process.argv.slice(2);
const modelport = createRequire(import.meta.url)(library);
createRequire(import.meta.url)(library.replace(/\.js$/, "_fast.js"));
const SINGLES = 64;

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

/** Rows first..last of all inputs, in the form that predict takes. */
const slice = (inputs, first, last) => Object.fromEntries(inputs.map(({ name, width, data }) =>
  [name, { shape: [last - first, width], data: data.slice(first * width, last * width) }]));

const seconds = (since) => Number(process.hrtime.bigint() - since) / 1e9;

/** Seconds per call, going round the feeds for at least so many seconds. */
function repeated(feeds, least) {
  const started = process.hrtime.bigint();
  for (let done = 1; ; done++) {
    model.predict(feeds[(done - 1) % feeds.length]);
    const spent = seconds(started);
    if (spent >= least) return spent / done;
  }
}

const inputs = readRows(rowsPath);
const count = inputs[0].rows;
const batch = [slice(inputs, 0, count)];
const singles = Array.from({ length: Math.min(SINGLES, count) }, (_, i) => slice(inputs, i, i + 1));
let model;

const commands = {
  ready: () => null,
  load() {
    const started = process.hrtime.bigint();
    model = modelport.load(readFileSync(artifact));
    return seconds(started);
  },
  one: (least) => repeated(singles, +least),
  batch: (least) => repeated(batch, +least),
  answers(path) {
    const { label, probability } = model.predict(batch[0]);
    writeFileSync(path, [...label.data, ...probability.data].join("\n"));
    return null;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...rest] = line.split(" ");
  let reply;
  try {
    reply = commands[verb](...rest);
  } catch (error) {
    reply = { error: error.message };
  }
  console.log(JSON.stringify(reply));
}
