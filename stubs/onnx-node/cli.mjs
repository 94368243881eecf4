#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// The stub protocol (stubs/README.md) around modelport_onnx.mjs.

import { closeSync, openSync, readSync } from "node:fs";

import { createRequire } from "node:module";

import { Mismatch, Refused, encode, load as open } from "./modelport_onnx.mjs";

const LIMIT = 512 * 2 ** 20;
/** The package, from the folder that MODELPORT_NODE_MODULES names, or where Node finds it. */
const places = process.env.MODELPORT_NODE_MODULES;
const runtime = places === undefined ? undefined : createRequire(`${places}/`)("onnxruntime-node");

const USAGE = `usage: cli.mjs predict [--no-verify] ARTIFACT < inputs.json > outputs.json
       cli.mjs verify ARTIFACT [VECTORS]
       cli.mjs info ARTIFACT
       cli.mjs ops
`;

class Usage extends Error {}

/** The bytes of a file, at most `limit` of them, and one more when it is longer. */
function readBytes(path, limit = LIMIT) {
  let file;
  try {
    file = openSync(path, "r");
    const chunks = [];
    for (let length = 0; length <= limit;) {
      const chunk = Buffer.allocUnsafe(Math.min(1 << 22, limit + 1 - length));
      const count = readSync(file, chunk, 0, chunk.length, null);
      if (count === 0) break;
      chunks.push(chunk.subarray(0, count));
      length += count;
    }
    return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
  } catch (error) {
    throw new Refused(`The file ${JSON.stringify(path)} cannot be read (${error.code ?? error.message}).`);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

async function readStandardInput(limit = LIMIT) {
  const chunks = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > limit) break;
  }
  return Buffer.concat(chunks);
}

function load(artifact, verify) { return open(readBytes(artifact), { verify, runtime }); }

async function predict(flags, [artifact]) {
  const model = await load(artifact, !flags.has("--no-verify"));
  const outputs = await model.predict(model.readRows(await readStandardInput()));
  for (const piece of encode(outputs)) process.stdout.write(piece);
  return 0;
}

async function verify(flags, [artifact, vectors]) {
  const model = await load(artifact, false);
  const report = await (vectors === undefined ? model.verify() : model.verify(readBytes(vectors)));
  for (const { ok, message } of report.outputs) console.log(`${ok ? "ok" : "MISMATCH"}: ${message}`);
  if (!report.ok) throw new Mismatch(report.message);
  return 0;
}

async function info(flags, [artifact]) {
  console.log(JSON.stringify((await load(artifact, false)).info(), null, 2));
  return 0;
}

async function ops() {
  return 0; // the runtime has the operators, this file has none
}

/** command: [function, fewest arguments, most arguments, flags] */
const COMMANDS = new Map([
  ["predict", [predict, 1, 1, ["--no-verify"]]],
  ["verify", [verify, 1, 2, []]],
  ["info", [info, 1, 1, []]],
  ["ops", [ops, 0, 0, []]],
]);

async function main(given) {
  const isFlag = (argument) => argument.startsWith("--");
  const [command, ...rest] = given.filter((argument) => !isFlag(argument)), flags = new Set(given.filter(isFlag));
  if (!COMMANDS.has(command)) throw new Usage();
  const [run, fewest, most, known] = COMMANDS.get(command);
  if (rest.length < fewest || rest.length > most || [...flags].some((flag) => !known.includes(flag))) throw new Usage();
  return run(flags, rest);
}

process.stdout.on("error", () => process.exit(2)); // the reader of the outputs went away

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof Usage) {
    process.stderr.write(USAGE);
    process.exitCode = 64;
  } else {
    process.stderr.write(`modelport: ${error.message.replace(/\s+/g, " ")}\n`);
    process.exitCode = error.exitCode ?? 2;
  }
}
