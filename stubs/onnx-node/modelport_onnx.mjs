// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Runs modelport ONNX artifacts with onnxruntime-node, after they have answered the rows they carry as the original model did.
//
//     import { load } from "./modelport_onnx.mjs";
//     const model = await load(readFileSync("model.onnx"));
//     const { label } = await model.predict([{ age: 41, colour: "red" }]);
//
// Needs modelport.js (the JavaScript stub) beside it, and the package onnxruntime-node. Rows are checked, and answers compared, by the
// JavaScript stub itself, on documents that hand their inputs through.

// ============================================================================================================== Errors

const beside = async (path) => (await import(path)).default ?? globalThis.modelport;
const modelport = await beside("./modelport.js").catch((error) => {
  if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  return beside("../javascript/modelport.js"); // as the files lie in modelport's own tree
});
export const { Refused, Mismatch, Unsupported, Tensor, encode } = modelport;

const KEY = "modelport.document", PREFIX = "refused: ", LIMIT = 512 * 2 ** 20, DEPTH = 60;
const refuse = (message) => { throw new Refused(message); };
const quote = (text) => JSON.stringify(text);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

// ================================================================================================================ JSON

/** A value as JSON that reads back to the same: the sign of -0 is kept. */
function write(value) {
  if (Array.isArray(value)) return `[${value.map(write).join(",")}]`;
  if (isObject(value)) return `{${Object.entries(value).map(([key, item]) => `${quote(key)}:${write(item)}`).join(",")}}`;
  if (Object.is(value, -0)) return "-0.0";
  if (typeof value === "number" && !Number.isFinite(value)) refuse("The declaration holds a number that overflows.");
  return JSON.stringify(value);
}

function parse(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    refuse(`The metadata ${quote(KEY)} is not JSON (${error.message}).`);
  }
  if (!isObject(value) || value.format !== "modelport-onnx") refuse(`The metadata ${quote(KEY)} is not of format "modelport-onnx".`);
  if (String(value.version).split(".")[0] !== "1") throw new Unsupported(`The declaration is of version ${quote(value.version)}; this reader knows version 1.`);
  for (const key of ["inputs", "outputs"]) {
    if (!Array.isArray(value[key]) || value[key].length === 0 || !value[key].every(isObject)) refuse(`The declaration's ${key} are no list of objects.`);
  }
  const names = value.outputs.map(({ name }) => name);
  if (new Set(names).size !== names.length || !names.every((name) => typeof name === "string")) refuse("The declaration's outputs have no names, or one name twice.");
  return value;
}

// ---- protobuf: just enough to find metadata_props, and tensors that are kept in other files

const INNER = {
  model: { 7: "graph", 25: "func" }, graph: { 1: "node", 5: "tensor" }, func: { 7: "node" }, node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph" }, tensor: {},
};

/** [field number, bytes or number] of a message. */
function* fieldsOf(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0, scale = 1;
    for (let k = 0; k < 10; k++) {
      if (at >= bytes.length) refuse("The file is no ONNX model, or it is cut off.");
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
    return refuse("The file is no ONNX model, or a damaged one.");
  };
  while (at < bytes.length) {
    const key = varint(), wire = key % 8, number = Math.floor(key / 8);
    if (number === 0) refuse("The file is no ONNX model: a field has the number 0.");
    if (wire === 0) { yield [number, varint()]; continue; }
    const size = wire === 2 ? varint() : wire === 1 ? 8 : wire === 5 ? 4 : refuse("The file is no ONNX model, or a damaged one.");
    if (size > bytes.length - at) refuse("The file is no ONNX model, or it is cut off.");
    yield [number, bytes.subarray(at, at + size)];
    at += size;
  }
}

function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return refuse("The model's metadata is not UTF-8.");
  }
}

function declarationOf(bytes) {
  const found = [];
  for (const [number, value] of fieldsOf(bytes)) {
    if (number !== 14 || typeof value === "number") continue;
    const entry = new Map([...fieldsOf(value)].filter(([, part]) => typeof part !== "number"));
    if (entry.has(1) && textOf(entry.get(1)) === KEY) found.push(entry.get(2) ?? new Uint8Array(0));
  }
  if (found.length !== 1) refuse(`The file is no ONNX model of modelport: it has ${found.length} entries ${quote(KEY)} in its metadata, not one.`);
  return parse(textOf(found[0]));
}

function refuseExternal(bytes, kind, depth) {
  if (depth > DEPTH) refuse("The ONNX model's graphs are nested too deeply.");
  for (const [number, value] of fieldsOf(bytes)) {
    if (kind === "tensor" && (number === 13 || (number === 14 && value !== 0))) refuse("The ONNX model keeps tensors in another file, which is refused: an artifact is whole.");
    if (INNER[kind][number] !== undefined && typeof value !== "number") refuseExternal(value, INNER[kind][number], depth + 1);
  }
}

// ============================================================================================================= Tensors

const TYPES = { f64: "float64", f32: "float32", i64: "int64", i32: "int32", i16: "int16", i8: "int8", u32: "uint32", u16: "uint16", u8: "uint8", bool: "bool", str: "string" };
const FED = ["f64", "f32", "i64", "bool", "str"]; // dtypes that an input of a document may have

/** A tensor of the JavaScript stub as onnxruntime takes it. */
function toRuntime(runtime, { dtype, shape, data }, null_, name) {
  if (dtype === "i64") data = data instanceof BigInt64Array ? data : BigInt64Array.from(data, BigInt);
  if (dtype === "str") {
    if (null_ === undefined && data.includes(null)) refuse(`Input ${quote(name)} holds a missing value, which this ONNX model cannot be given.`);
    if (null_ !== undefined && data.includes(null_)) refuse(`Input ${quote(name)} holds the text that stands for a missing one in this file.`);
    data = data.map((text) => text ?? null_);
  }
  return new runtime.Tensor(TYPES[dtype], data, shape);
}

/** A result of onnxruntime as a tensor of the declared dtype. */
function fromRuntime({ name, dtype, shape }, result, count, null_) {
  const dims = result.dims.map(Number), fits = dims[0] === count && dims.length === shape.length + 1 && shape.every((n, k) => typeof n !== "number" || n === dims[k + 1]);
  if (!fits || result.type !== TYPES[dtype]) refuse(`Output ${quote(name)} came as ${result.type}[${dims}] for ${count} rows, which is not what the file declares.`);
  let { data } = result;
  if (dtype === "str") data = Array.from(data, (text) => (text === null_ ? null : text));
  return new Tensor(dtype, dims, data);
}

/** No elements of a dtype. */
const emptyOf = (dtype) => (dtype === "str" ? [] : new Float64Array(0));

function joined(tensors) {
  if (tensors.length === 1) return tensors[0];
  const [{ dtype, shape }] = tensors, data = dtype === "str" ? tensors.flatMap((t) => t.data) : new tensors[0].data.constructor(tensors.reduce((n, t) => n + t.data.length, 0));
  if (dtype !== "str") tensors.reduce((at, t) => { data.set(t.data, at); return at + t.data.length; }, 0);
  return new Tensor(dtype, [tensors.reduce((n, t) => n + t.shape[0], 0), ...shape.slice(1)], data);
}

// ================================================================================================================ Rows

/** A document whose outputs are its inputs: it checks rows, binds them by name and gives them as tensors. */
function handedThrough({ inputs, lengths }) {
  const given = inputs.map(({ name, dtype, shape, missing, features }) => ({ name, dtype, shape, ...(missing === undefined ? {} : { missing }), ...(features === undefined ? {} : { features }) }));
  const outputs = inputs.map(({ name, dtype }) => ({ name, from: name, dtype, role: "transform" }));
  const document = { format: "modelport", version: "1.1", requires: [], ...(lengths === undefined ? {} : { lengths }), inputs: given, steps: [], outputs };
  return modelport.load(write(document), { verify: false });
}

/** The comparison of answers with the original's, by a document whose inputs are the answers: {outputs: [{name, ok, message}]}. */
function compared(declared, got, expected, tolerance) {
  const inputs = [], steps = [], outputs = [], fed = {};
  declared.forEach(({ name, dtype }, k) => {
    const kind = FED.includes(dtype) ? dtype : "i64", input = `answer ${k}`, tensor = got[name];
    inputs.push({ name: input, dtype: kind, shape: tensor.shape.slice(1), missing: { f64: "nan", f32: "nan", str: "null" }[kind] ?? "error" });
    if (kind !== dtype) steps.push({ op: "cast", in: [input], out: `narrow ${k}`, to: dtype });
    outputs.push({ name, from: kind === dtype ? input : `narrow ${k}`, dtype, role: "transform" });
    fed[input] = kind === dtype ? tensor : new Tensor(kind, tensor.shape, Float64Array.from(tensor.data));
  });
  const head = { format: "modelport", version: "1.1", requires: steps.length > 0 ? ["cast"] : [], inputs, steps, outputs };
  const rows = [...encode(fed)].join("").trim().slice(`{"outputs":`.length, -1);
  const proof = `{"source":"sample","inputs":${rows},"outputs":${write(expected)},"tolerance":${write(tolerance)}}`;
  return modelport.load(`${write(head).slice(0, -1)},"verification":${proof}}`, { verify: false }).verify();
}

// =============================================================================================================== Model

class Model {
  #declared; #feeder; #session; #runtime;

  constructor(declared, session, runtime) {
    this.#declared = declared;
    this.#feeder = handedThrough(declared);
    this.#session = session;
    this.#runtime = runtime;
    Object.freeze(this);
  }

  inputs() { return this.#feeder.inputs(); }

  outputs() { return this.#declared.outputs.map(({ name, dtype, shape, role, classes }) => ({ name, dtype, shape, role, ...(classes === undefined ? {} : { classes }) })); }

  info() { return { format: "modelport-onnx", version: this.#declared.version, inputs: this.inputs(), outputs: this.outputs(), ops: [], engine: "onnxruntime-node" }; }

  /** Rows for predict from the JSON of docs/format.md, section 11. */
  readRows(source) { return this.#feeder.readRows(source); }

  /** {output name: Tensor} for rows as an object of columns, an array of records, or the rows of the only input. */
  async predict(rows) { return this.#answer(this.#feeder.predict(rows)); }

  /** Replays the carried rows, or those of `source` (the JSON of a verification object): {ok, outputs: [{name, ok, message}], message}. */
  async verify(source) {
    const chosen = source === undefined ? this.#declared.verification : parseVectors(source);
    if (!isObject(chosen)) refuse("There are no vectors to verify with: the file carries none.");
    const found = [];
    for (const part of [chosen, ...(Array.isArray(chosen.more) ? chosen.more : [])]) {
      if (!isObject(part) || !isObject(part.inputs) || !isObject(part.outputs)) refuse("The carried rows are no object with inputs and outputs.");
      const got = await this.#answer(this.#feeder.predict(this.#feeder.readRows(write({ inputs: part.inputs }))));
      found.push(...this.#compare(got, part.outputs, chosen.tolerance));
    }
    const wrong = found.find(({ ok }) => !ok);
    return { ok: wrong === undefined, outputs: found, message: wrong === undefined ? "" : `The numbers do not match the vectors: ${wrong.message}.` };
  }

  #compare(got, expected, tolerance) {
    try {
      return compared(this.#declared.outputs, got, expected, tolerance).outputs;
    } catch (error) {
      if (error instanceof Refused && /shape|row/.test(error.message)) throw new Mismatch(`The answers have another shape than the original's: ${error.message}`);
      throw error;
    }
  }

  async #answer(fed) {
    const { outputs, block } = this.#declared, count = Object.values(fed)[0].shape[0], size = Number.isInteger(block) && block > 0 ? block : count;
    if (count === 0) return Object.fromEntries(outputs.map(({ name, dtype, shape }) => [name, new Tensor(dtype, [0, ...shape.map((n) => (typeof n === "number" ? n : 0))], emptyOf(dtype))]));
    const parts = [];
    for (let at = 0; at < count; at += size) parts.push(await this.#part(fed, at, Math.min(count, at + size)));
    return Object.fromEntries(outputs.map(({ name }) => [name, joined(parts.map((part) => part[name]))]));
  }

  async #part(fed, start, stop) {
    const { outputs, null: null_ } = this.#declared, feeds = {}, count = stop - start;
    for (const [name, { dtype, shape, data }] of Object.entries(fed)) {
      const width = shape.slice(1).reduce((a, b) => a * b, 1);
      feeds[name] = toRuntime(this.#runtime, { dtype, shape: [count, ...shape.slice(1)], data: data.slice(start * width, stop * width) }, null_, name);
    }
    let results;
    try {
      results = await this.#session.run(feeds);
    } catch (error) {
      if (count > 1) for (let row = start; row < stop; row++) await this.#part(fed, row, row + 1);
      const said = String(error.message).match(/Name:'refused: (.*?)(?:_[0-9]+)?' Status Message/s);
      refuse(`Row ${start}: ${said ? said[1] : `onnxruntime failed: ${String(error.message).slice(0, 300)}`}`);
    }
    return Object.fromEntries(outputs.map((output) => {
      const result = results[output.onnx ?? output.name];
      if (result === undefined) refuse(`The ONNX graph has no output ${quote(output.onnx ?? output.name)}.`);
      return [output.name, fromRuntime(output, result, count, null_)];
    }));
  }
}

function parseVectors(source) {
  try {
    return JSON.parse(typeof source === "string" ? source : textOf(source));
  } catch (error) {
    if (error instanceof Refused) throw error;
    return refuse(`The vectors are not JSON (${error.message}).`);
  }
}

/** A loaded model; without `verify` its carried rows are not replayed, and may be absent. `runtime` is the module onnxruntime-node. */
export async function load(bytes, { verify = true, runtime } = {}) {
  if (bytes.length > LIMIT) refuse(`The file has ${bytes.length} bytes, more than the ${LIMIT} allowed.`);
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  refuseExternal(view, "model", 0);
  const declared = declarationOf(view);
  const found = runtime ?? (await import("onnxruntime-node").catch(() => { throw new Unsupported("onnxruntime-node is not installed: npm install onnxruntime-node."); }));
  const engine = found.InferenceSession === undefined ? found.default : found;
  let session;
  try {
    session = await engine.InferenceSession.create(view, { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4 });
  } catch (error) {
    const text = String(error.message).replace(/\s+/g, " ").slice(0, 300);
    throw new (/NOT_IMPLEMENTED|not a registered/.test(text) ? Unsupported : Refused)(`onnxruntime does not take this model: ${text}`);
  }
  const named = (list, wanted) => list.length === wanted.length && wanted.every((name) => list.includes(name));
  if (!named(session.inputNames, declared.inputs.map(({ name }) => name)) || !named(session.outputNames, declared.outputs.map(({ name, onnx }) => onnx ?? name))) {
    refuse("The ONNX graph has other inputs or outputs than the file declares.");
  }
  const model = new Model(declared, session, engine);
  if (verify) {
    if (declared.verification === undefined) refuse("The file carries no verification; load it with verify off if you trust it.");
    const report = await model.verify();
    if (!report.ok) throw new Mismatch(report.message);
  }
  return model;
}
