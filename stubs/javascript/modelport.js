// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// modelport for JavaScript: runs modelport JSON artifacts (format 1) and nothing else.
// One file, no dependencies. It works in Node (require or import) and in browsers (a classic <script> defines `modelport`).
// It has the ops of profile tabular but for poly, interp and gaussian_ll; modelport_more.js has these and those of kernel, text and solver,
// modelport_nn.js those of nn. modelport_fast.js, once loaded, makes large batches faster; the bits stay the same.
//
//     const model = modelport.load(bytes);                       // replays the vectors the artifact carries
//     const { label } = model.predict({ X: [[5.1, 3.5, 1.4, 0.2]] });
//     label.data                                                 // a typed array, or an array of strings
//
// Values at run time: n rows of `width` elements, row-major, in one array chosen by dtype. i64 are safe integers in a Float64Array or,
// when one of them lies beyond 2^53 - 1, a BigInt64Array; bool is a Uint8Array of 0 and 1; str is an Array of strings and nulls.

(function (root, factory) {
  "use strict";
  if (typeof module === "object" && module !== null && module.exports) module.exports = factory();
  else root.modelport = factory();
})(typeof globalThis === "object" ? globalThis : this, function () {
"use strict";

// ============================================================================================================== Errors

class ModelportError extends Error {
  constructor(message, exitCode) {
    super(message);
    this.name = new.target.name;
    this.exitCode = exitCode;
  }
}
/** The artifact, or the rows, are not acceptable. */
class Refused extends ModelportError { constructor(message) { super(message, 2); } }
/** The numbers do not match the vectors. */
class Mismatch extends ModelportError { constructor(message) { super(message, 1); } }
/** An op or a version this reader does not implement. */
class Unsupported extends ModelportError { constructor(message) { super(message, 3); } }

/** Throws Refused with one sentence. */
function refuse(message) { throw new Refused(message[0].toUpperCase() + message.slice(1)); }

/** Any text in quotes, on one line and short enough for a sentence. */
function quote(text) {
  const shown = String(text);
  return JSON.stringify(shown.length > 80 ? shown.slice(0, 77) + "..." : shown);
}

/** Calls `work`, and turns the engine's own limits (memory, string length) into a refusal. */
function guarded(what, work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) refuse(`${what} is too large for this JavaScript engine (${error.message}); use a smaller one.`);
    throw error;
  }
}

// ================================================================================================================ JSON

// Parsed JSON: Map, Array, Numbers (an array of numbers only), Num, string, true, false, null.

/** A number, and whether it was spelled without fraction and exponent. */
class Num { constructor(value, integral) { this.value = value; this.integral = integral; } }

/** A non-empty array of numbers; `integral` when all of them were spelled without fraction and exponent. */
class Numbers {
  constructor(values, integral) { this.values = values; this.integral = integral; }
  get length() { return this.values.length; }
}

const DEFAULT_LIMITS = Object.freeze({
  bytes: 2 ** 29, depth: 16, steps: 10000, rank: 6, tensorElements: 2 ** 28,
  rowElements: 2 ** 22, totalRowElements: 2 ** 25, carriedRows: 4096, multiplications: 2 ** 34,
  work: 2 ** 30, // operations that replaying the carried rows may take, beside OPERATIONS_PER_BYTE
  jsonValues: 2 ** 24, // strings, keys and scalars count 1, containers 4: bounds what a hostile text can make of the heap
});

const QUOTE = 34, COMMA = 44, COLON = 58, OPEN_ARRAY = 91, BACKSLASH = 92, CLOSE_ARRAY = 93, OPEN_OBJECT = 123, CLOSE_OBJECT = 125;
const NUMBER_CHUNK = 1 << 20;

/** RFC 8259, and: no key twice in one object (also not in another case), no literal that overflows, no lone surrogate. */
class JsonReader {
  constructor(text, limits, what) {
    this.text = text;
    this.limits = limits;
    this.what = what;
    this.at = 0;
    this.budget = limits.jsonValues;
    this.numberToken = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
    this.numberSpan = /[-+.0-9eE, \t\n\r]*/y;
  }

  document() {
    const value = this.value(1);
    this.space();
    if (this.at < this.text.length) this.fail("something follows the JSON value");
    return value;
  }

  fail(problem) { refuse(`${this.what} is not acceptable JSON: ${problem} at character ${this.at}.`); }

  spend(cost) {
    this.budget -= cost;
    if (this.budget < 0) this.fail(`more than ${this.limits.jsonValues} values (limit jsonValues)`);
  }

  /** The code of the next character that is not white space; NaN at the end. */
  space() {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return code;
      this.at++;
    }
  }

  value(depth) {
    const code = this.space();
    if (code === OPEN_OBJECT) return this.object(depth);
    if (code === OPEN_ARRAY) return this.array(depth);
    this.spend(1);
    if (code === QUOTE) return this.string();
    if (code === 45 || (code >= 48 && code <= 57)) return this.number();
    for (const [word, value] of [["true", true], ["false", false], ["null", null]]) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.fail(this.at < this.text.length ? `unexpected ${quote(this.text.slice(this.at, this.at + 10))}` : "the text ends");
  }

  open(depth) {
    if (depth > this.limits.depth) this.fail(`nesting is deeper than ${this.limits.depth}`);
    this.spend(4);
    this.at++;
  }

  object(depth) {
    this.open(depth);
    const map = new Map();
    let folded = null; // lowered keys, kept from the first key with a capital on
    if (this.space() === CLOSE_OBJECT) return this.at++, map;
    for (;;) {
      if (this.space() !== QUOTE) this.fail("a key is missing");
      this.spend(1);
      const key = this.string();
      if (folded === null && /[A-Z]/.test(key)) folded = new Set(map.keys());
      const lowered = folded === null ? key : key.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
      if ((folded ?? map).has(lowered)) this.fail(`the key ${quote(key)} appears twice (upper and lower case count as equal)`);
      folded?.add(lowered);
      if (this.space() !== COLON) this.fail("a colon is missing");
      this.at++;
      map.set(key, this.value(depth + 1));
      const code = this.space();
      this.at++;
      if (code === CLOSE_OBJECT) return map;
      if (code !== COMMA) this.at--, this.fail("a comma or a closing brace is missing");
    }
  }

  array(depth) {
    this.open(depth);
    const numbers = this.numbers();
    if (numbers !== null) return numbers;
    const list = [];
    if (this.space() === CLOSE_ARRAY) return this.at++, list;
    for (;;) {
      list.push(this.value(depth + 1));
      const code = this.space();
      this.at++;
      if (code === CLOSE_ARRAY) return list;
      if (code !== COMMA) this.at--, this.fail("a comma or a closing bracket is missing");
    }
  }

  /** The array that begins at `at` when nothing but numbers is in it, else null. The engine's own parser reads the digits. */
  numbers() {
    const { text, numberSpan } = this;
    numberSpan.lastIndex = this.at;
    numberSpan.test(text);
    const end = numberSpan.lastIndex;
    if (text.charCodeAt(end) !== CLOSE_ARRAY || this.space() === CLOSE_ARRAY) return null;
    const chunks = [];
    let length = 0, integral = true;
    while (this.at < end) {
      const last = this.chunkEnd(end);
      const piece = text.slice(this.at, last);
      const values = this.numberList(piece);
      integral = integral && !/[.eE]/.test(piece);
      chunks.push(values);
      length += values.length;
      if (last < end && last + 1 >= end) this.fail("a number is missing");
      this.at = last < end ? last + 1 : end;
    }
    this.at = end + 1;
    return new Numbers(chunks.length === 1 ? chunks[0] : joinArrays(Float64Array, chunks, length), integral);
  }

  /** The place of a comma about a chunk behind `at`, or `end`. */
  chunkEnd(end) {
    const from = this.at + NUMBER_CHUNK;
    if (from >= end) return end;
    const before = this.text.lastIndexOf(",", from);
    if (before >= this.at) return before;
    const after = this.text.indexOf(",", from);
    return after >= 0 && after < end ? after : end;
  }

  numberList(piece) {
    let values;
    try {
      values = JSON.parse("[" + piece + "]");
    } catch {
      this.fail("an array of numbers is malformed");
    }
    if (values.length === 0) this.fail("a number is missing");
    if (values.length < 64) this.spend(values.length >> 3);
    const list = values.length < 64 ? values : new Float64Array(values);
    for (let i = 0; i < list.length; i++) if (!Number.isFinite(list[i])) this.fail("a number overflows");
    return list;
  }

  number() {
    const { numberToken } = this;
    numberToken.lastIndex = this.at;
    const match = numberToken.exec(this.text);
    if (match === null) this.fail("a number is malformed");
    const value = Number(match[0]);
    if (!Number.isFinite(value)) this.fail("a number overflows");
    this.at = numberToken.lastIndex;
    return new Num(value, match[1] === undefined && match[2] === undefined);
  }

  /** The string that begins at `at`, as a copy that does not keep the whole text alive. */
  string() {
    const { text } = this;
    let end = this.at;
    for (;;) {
      end = text.indexOf('"', end + 1);
      if (end < 0) this.fail("a string does not end");
      let first = end;
      while (text.charCodeAt(first - 1) === BACKSLASH) first--;
      if ((end - first) % 2 === 0) break;
    }
    let value;
    try {
      value = JSON.parse(text.slice(this.at, end + 1));
    } catch {
      this.fail("a string is malformed");
    }
    if (!isWellFormed(value)) this.fail("a string holds half of a surrogate pair");
    this.at = end + 1;
    return value;
  }
}

function isWellFormed(text) {
  return typeof text.isWellFormed === "function" ? text.isWellFormed() : !/\p{Surrogate}/u.test(text);
}

function parseJson(source, limits, what) {
  return guarded(what, () => new JsonReader(decodeText(source, limits, what), limits, what).document());
}

/** source: a string, an ArrayBuffer or a view of one. */
function decodeText(source, limits, what) {
  const isText = typeof source === "string";
  if (!isText && !(source instanceof ArrayBuffer) && !ArrayBuffer.isView(source)) {
    refuse(`${what} is neither text nor bytes; pass a string, a Uint8Array or an ArrayBuffer.`);
  }
  if ((isText ? source.length : source.byteLength) > limits.bytes) refuse(`${what} is larger than ${limits.bytes} bytes (limit bytes).`);
  let text = source;
  if (isText && !isWellFormed(text)) refuse(`${what} is not Unicode text: it holds half of a surrogate pair.`);
  try {
    if (!isText) text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(source);
  } catch {
    refuse(`${what} is not UTF-8, or too long for this JavaScript engine.`);
  }
  if (text.charCodeAt(0) === 0xfeff) refuse(`${what} begins with a byte-order mark; remove it.`);
  return text;
}

const IGNORED_KEY = /^(?:name|doc|provenance)$|^x-/;

/** The bytes of a source; of a string, those of its UTF-8. */
function countBytes(source) {
  if (typeof source !== "string") return source.byteLength;
  let count = 0;
  for (let i = 0; i < source.length; i++) {
    const code = source.charCodeAt(i);
    count += code < 0x80 ? 1 : code < 0x800 || (code & 0xf800) === 0xd800 ? 2 : 3; // of a surrogate pair, each half has two of the four
  }
  return count;
}

/** `node` as a Map whose keys are among `required` and `optional`, or are ignored at every level. */
function readObject(node, required, optional, where) {
  if (!(node instanceof Map)) refuse(`${where} is not a JSON object.`);
  for (const key of required) if (!node.has(key)) refuse(`${where} lacks the key ${quote(key)}.`);
  for (const key of node.keys()) {
    if (!required.includes(key) && !optional.includes(key) && !IGNORED_KEY.test(key)) refuse(`${where} has the unknown key ${quote(key)}.`);
  }
  return node;
}

function readList(node, where) {
  if (node instanceof Numbers) return Array.from(node.values, (value) => new Num(value, node.integral));
  return Array.isArray(node) ? node : refuse(`${where} is not a JSON array.`);
}

function readText(node, where) { return typeof node === "string" ? node : refuse(`${where} is not a string.`); }
function readName(node, where) { return readText(node, where) !== "" ? node : refuse(`${where} is empty.`); }

function readChoice(node, options, where) {
  return options.includes(node) ? node : refuse(`${where} is not one of ${options.join(", ")}.`);
}

/** A JSON integer between least and most. */
function readWhole(node, least, most, where) {
  if (!(node instanceof Num && node.integral)) refuse(`${where} is not an integer.`);
  if (!(node.value >= least && node.value <= most)) refuse(`${where} is ${node.value}, not in ${least}..${most}.`);
  return node.value + 0; // -0 becomes 0
}

/** A Map from name to what `read` makes of the element, for exactly the names of `values`. */
function readNamed(node, values, where, read) {
  if (!(node instanceof Map)) refuse(`${where} is not a JSON object.`);
  const known = new Set(values.map(({ name }) => name));
  for (const name of node.keys()) if (!known.has(name)) refuse(`${where} has ${quote(name)}, which the model does not have.`);
  return new Map(values.map((value) => {
    if (!node.has(value.name)) refuse(`${where} lacks ${quote(value.name)}.`);
    return [value.name, read(node.get(value.name), value)];
  }));
}

// ============================================================================================================= Tensors

const SAFE = Number.MAX_SAFE_INTEGER;

const DTYPES = Object.freeze({
  __proto__: null,
  f64: { kind: "float", bytes: 8, array: Float64Array },
  f32: { kind: "float", bytes: 4, array: Float32Array },
  i64: { kind: "int", bytes: 8, array: Float64Array, least: -(2n ** 63n), most: 2n ** 63n - 1n },
  i32: { kind: "int", bytes: 4, array: Int32Array, least: -(2 ** 31), most: 2 ** 31 - 1 },
  i16: { kind: "int", bytes: 2, array: Int16Array, least: -32768, most: 32767 },
  i8: { kind: "int", bytes: 1, array: Int8Array, least: -128, most: 127 },
  u32: { kind: "int", bytes: 4, array: Uint32Array, least: 0, most: 2 ** 32 - 1 },
  u16: { kind: "int", bytes: 2, array: Uint16Array, least: 0, most: 65535 },
  u8: { kind: "int", bytes: 1, array: Uint8Array, least: 0, most: 255 },
  bool: { kind: "bool", bytes: 1, array: Uint8Array },
  str: { kind: "str", bytes: 0, array: Array },
});

const FLOATS = ["f64", "f32"];
const INTEGERS = Object.keys(DTYPES).filter((dtype) => DTYPES[dtype].kind === "int");
const SPECIAL_FLOATS = Object.freeze({ __proto__: null, NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity });
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

const isBig = (array) => array instanceof BigInt64Array;
const allocate = (dtype, length) => new DTYPES[dtype].array(length);

/** A new array that holds what `array` can hold. */
const emptyLike = (array, length) => new array.constructor(length);

/** The arrays, all able to hold the same elements: with one BigInt64Array among i64, all become BigInt64Array. */
function align(arrays) {
  return arrays.some(isBig) ? arrays.map((array) => (isBig(array) ? array : BigInt64Array.from(array, BigInt))) : arrays;
}

/** An i64 array as a Float64Array when every element is safe there. */
function compactBig(array) {
  for (let i = 0; i < array.length; i++) if (array[i] > SAFE || array[i] < -SAFE) return array;
  return Float64Array.from(array, Number);
}

/** The i64 array of numbers and bigints. */
const fromIntegers = (list) => (list.some((x) => typeof x === "bigint") ? compactBig(BigInt64Array.from(list, BigInt)) : Float64Array.from(list));

/** An integer as a number where it is safe, so that equal integers are one Map key. */
const canonical = (x) => (typeof x === "bigint" && x <= SAFE && x >= -SAFE ? Number(x) : x);

function joinArrays(Type, parts, length) {
  const joined = new Type(length);
  let at = 0;
  for (const part of parts) {
    if (Type === Array) for (let i = 0; i < part.length; i++) joined[at + i] = part[i];
    else joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** x of dtype f64 or f32 as an array of `dtype`; the same array when it is one already. */
function toFloat(x, dtype) {
  const { array } = DTYPES[dtype];
  return x instanceof array ? x : new array(x);
}

const identity = (x) => x;
const rounding = (dtype) => (dtype === "f32" ? Math.fround : identity);

const elementCount = (shape) => shape.reduce((count, extent) => count * extent, 1);
const sameShape = (a, b) => a.length === b.length && a.every((extent, i) => extent === b[i]);
const showShape = (shape) => `[${shape.join(", ")}]`;

/** How far apart the elements of a row stand along each axis; 0 along an axis of length 1. */
function stridesOf(shape) {
  const strides = new Array(shape.length);
  for (let i = shape.length - 1, step = 1; i >= 0; step *= shape[i--]) strides[i] = shape[i] === 1 ? 0 : step;
  return strides;
}

/** n rows of `shape` out of rows of `width` elements: element (i, j, ..) stands at offset + i * strides[0] + j * strides[1] + .. of its row. */
function pick(x, n, width, shape, strides, offset = 0) {
  const axes = []; // [length, stride], without axes of length 1, neighbours joined where that goes
  for (let i = 0; i < shape.length; i++) {
    const last = axes[axes.length - 1];
    if (shape[i] === 1) continue;
    if (last !== undefined && last[1] === strides[i] * shape[i]) axes[axes.length - 1] = [last[0] * shape[i], strides[i]];
    else axes.push([shape[i], strides[i]]);
  }
  const [count, stride] = axes.pop() ?? [1, 0], size = elementCount(shape), out = emptyLike(x, n * size), at = new Array(axes.length).fill(0);
  for (let r = 0, from = offset, to = 0; to < out.length; ) {
    for (let i = 0, k = from; i < count; i++, k += stride) out[to++] = x[k];
    let axis = axes.length - 1;
    for (; axis >= 0; from -= axes[axis][0] * axes[axis--][1]) {
      from += axes[axis][1];
      if (++at[axis] < axes[axis][0]) break;
      at[axis] = 0;
    }
    if (axis < 0) from = offset + ++r * width;
  }
  return out;
}

/**
 * A tensor of the document: {dtype, shape, data}.
 * bare: the dtype of a bare array, or null where only the object form is allowed; allowed: the dtypes the object form may declare.
 */
function readTensor(node, bare, allowed, limits, where) {
  if (node instanceof Map) return readTensorObject(node, allowed, limits, where);
  if (bare === null) refuse(`${where} is not a tensor in the object form.`);
  if (!Array.isArray(node) && !(node instanceof Numbers)) refuse(`${where} is not a tensor.`);
  const rows = Array.isArray(node) && node.length > 0 && isArrayNode(node[0]) ? node : null;
  if (rows === null) {
    checkElements(node.length, limits, where);
    return { dtype: bare, shape: [node.length], data: readElements(bare, [node], node.length, where) };
  }
  const width = rows[0].length;
  for (const row of rows) if (!isArrayNode(row) || row.length !== width) refuse(`${where} is ragged: its rows are not arrays of one length.`);
  checkElements(rows.length * width, limits, where);
  return { dtype: bare, shape: [rows.length, width], data: readElements(bare, rows, rows.length * width, where) };
}

const isArrayNode = (node) => Array.isArray(node) || node instanceof Numbers;

function checkElements(count, limits, where) {
  if (!(count <= limits.tensorElements)) refuse(`${where} has ${count} elements, more than ${limits.tensorElements} (limit tensorElements).`);
}

const TENSOR_KEYS = ["dtype", "shape", "enc", "scale", "mask", "data"];

function readTensorObject(node, allowed, limits, where) {
  for (const key of node.keys()) if (!TENSOR_KEYS.includes(key)) refuse(`${where} has the unknown key ${quote(key)}.`);
  for (const key of ["dtype", "shape", "data"]) if (!node.has(key)) refuse(`${where} lacks the key ${quote(key)}.`);
  const dtype = readChoice(node.get("dtype"), allowed, `the dtype of ${where}`);
  const shape = readShape(node.get("shape"), limits, `the shape of ${where}`), count = elementCount(shape);
  checkElements(count, limits, where);
  if (node.has("enc")) return { dtype, shape, data: readEncoded(node, dtype, shape, count, where) };
  for (const key of ["scale", "mask"]) if (node.has(key)) refuse(`${where} has ${quote(key)} without an encoding.`);
  const data = node.get("data");
  if (!isArrayNode(data)) refuse(`the data of ${where} is not an array.`);
  if (data.length !== count) refuse(`${where} has ${data.length} elements, but its shape ${showShape(shape)} says ${count}.`);
  return { dtype, shape, data: readElements(dtype, [data], count, where) };
}

/** named: whether a name may stand for a length. */
function readShape(node, limits, where, named = false) {
  const shape = readList(node, where).map((extent) => {
    if (named && typeof extent === "string") return readName(extent, `a length in ${where}`);
    return readWhole(extent, 0, limits.tensorElements, `an extent in ${where}`);
  });
  if (shape.length > limits.rank) refuse(`${where} has rank ${shape.length}, more than ${limits.rank} (limit rank).`);
  return shape;
}

/** The elements of a tensor in base64: all of them or those that its mask names, as they are or, in "i8", to be multiplied by a scale. */
function readEncoded(node, dtype, shape, count, where) {
  const quantized = node.get("enc") === "i8", { kind } = DTYPES[dtype];
  if (quantized ? kind !== "float" : node.get("enc") !== "b64" || kind === "str") {
    refuse(`${where} has an encoding that does not exist for ${dtype}; "b64" does for all but str, "i8" for f64 and f32.`);
  }
  if (node.has("scale") !== quantized) refuse(`${where} has only one of "scale" and the encoding "i8", which go together.`);
  const scales = quantized ? readScales(node.get("scale"), dtype, shape, where) : null;
  const mask = node.has("mask") ? readMask(node.get("mask"), kind, count, where) : null, isWritten = (i) => mask === null || (mask[i >> 3] >> (i & 7)) & 1;
  let written = 0;
  for (let i = 0; i < count; i++) written += isWritten(i) ? 1 : 0;
  const data = readBase64(readText(node.get("data"), `the data of ${where}`), quantized ? "i8" : dtype, written, where);
  if (!quantized && mask === null) return data;
  const out = quantized ? allocate(dtype, count) : emptyLike(data, count), perScale = quantized ? count / scales.length : 0;
  for (let i = 0, k = 0; i < count; i++) if (isWritten(i)) out[i] = quantized ? data[k++] * scales[Math.floor(i / perScale)] : data[k++];
  return out;
}

/** One scale per index of the first axis, or one for all. */
function readScales(node, dtype, shape, where) {
  const count = isArrayNode(node) ? node.length : -1;
  if (count !== 1 && !(shape.length > 0 && count === shape[0])) refuse(`${where} has a scale that is not a bare array, or not of a length that fits the shape ${showShape(shape)}.`);
  const scales = readElements(dtype, [node], count, `the scale of ${where}`);
  return scales.every((scale) => scale > 0 && scale < Infinity) ? scales : refuse(`${where} has a scale that is not positive and finite.`);
}

/** Bytes with one bit per element, the least significant first. */
function readMask(node, kind, count, where) {
  if (kind === "bool") refuse(`${where} has "mask", which does not exist for bool.`);
  const mask = readBase64(readText(node, `the mask of ${where}`), "u8", Math.ceil(count / 8), `the mask of ${where}`);
  if (count % 8 !== 0 && mask[mask.length - 1] >> (count % 8) !== 0) refuse(`the mask of ${where} has bits beyond the last element.`);
  return mask;
}

/** The elements of `nodes` (Numbers or Arrays, together `count` long) as one array of `dtype`. */
function readElements(dtype, nodes, count, where) {
  const out = dtype === "i64" && nodes.some((node) => Array.isArray(node) && node.some((x) => typeof x === "string"))
    ? new BigInt64Array(count) : allocate(dtype, count);
  const store = ELEMENT_READERS[DTYPES[dtype].kind];
  let at = 0;
  for (const node of nodes) {
    store(out, at, node, dtype, where);
    at += node.length;
  }
  return out;
}

/** How a list of JSON elements is stored from `at` on, by kind of dtype. */
const ELEMENT_READERS = {
  float(out, at, node, dtype, where) {
    const list = node instanceof Numbers ? node.values : node;
    for (let i = 0; i < list.length; i++) {
      const x = typeof list[i] === "number" ? list[i] : readFloat(list[i], where);
      out[at + i] = x;
      if (dtype === "f32" && out[at + i] - out[at + i] !== 0 && Number.isFinite(x)) refuse(`${where} has ${x}, which overflows f32.`);
    }
  },
  int(out, at, node, dtype, where) {
    const big = isBig(out);
    if (node instanceof Numbers && !big) {
      if (!node.integral) refuse(`${where} has a number with a fraction or an exponent where ${dtype} are expected.`);
      for (let i = 0; i < node.length; i++) out[at + i] = checkInteger(node.values[i], dtype, where);
    } else {
      const list = readList(node, where);
      for (let i = 0; i < list.length; i++) out[at + i] = (big ? BigInt : identity)(readInteger(list[i], dtype, where));
    }
  },
  bool(out, at, node, dtype, where) {
    const list = readList(node, where);
    for (let i = 0; i < list.length; i++) {
      if (typeof list[i] !== "boolean") refuse(`${where} has an element that is not true or false.`);
      out[at + i] = Number(list[i]);
    }
  },
  str(out, at, node, dtype, where) {
    const list = readList(node, where);
    for (let i = 0; i < list.length; i++) out[at + i] = list[i] === null ? null : readText(list[i], `an element of ${where}`);
  },
};

/** One float: a number, or "NaN", "Infinity", "-Infinity". */
function readFloat(node, where) {
  if (node instanceof Num) return node.value;
  if (typeof node === "string" && node in SPECIAL_FLOATS) return SPECIAL_FLOATS[node];
  return refuse(`${where} has an element that is not a number, "NaN", "Infinity" or "-Infinity".`);
}

/** One integer of `dtype`: a number, or a bigint for a decimal string beyond 2^53 - 1. */
function readInteger(node, dtype, where) {
  if (node instanceof Num && node.integral) return checkInteger(node.value, dtype, where);
  if (typeof node !== "string") refuse(`${where} has an element that is not an integer.`);
  if (!/^-?[1-9][0-9]{15,18}$/.test(node)) refuse(`${where} has ${quote(node)}, which is not an i64 beyond 2^53 - 1.`);
  const x = BigInt(node);
  if (x <= SAFE && x >= -SAFE) refuse(`${where} has ${quote(node)}; integers up to 2^53 - 1 are written as numbers.`);
  if (!(x >= DTYPES[dtype].least && x <= DTYPES[dtype].most)) refuse(`${where} has ${node}, which is out of the range of ${dtype}.`);
  return x;
}

function checkInteger(x, dtype, where) {
  const { least, most } = DTYPES[dtype];
  if (!(x <= SAFE && x >= -SAFE)) refuse(`${where} has ${x} as a number; integers beyond 2^53 - 1 are written as strings.`);
  if (dtype !== "i64" && !(x >= least && x <= most)) refuse(`${where} has ${x}, which is out of the range of ${dtype}.`);
  return x + 0; // -0 becomes 0
}

/** Little-endian elements from strict base64: padding required, no white space, no stray bits. */
function readBase64(text, dtype, count, where) {
  const length = count * DTYPES[dtype].bytes, characters = 4 * Math.ceil(length / 3);
  const padding = (characters / 4) * 3 - length;
  if (text.length !== characters || !text.endsWith("=".repeat(padding)) || text.endsWith("=".repeat(padding + 1))) refuse(`${where} has ${text.length} characters of base64, but ${length} bytes need ${characters}.`);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (let from = 0; from < text.length; from += NUMBER_CHUNK) {
    const piece = text.slice(from, from + NUMBER_CHUNK), decoded = decodeBase64(piece, bytes, at);
    if (decoded !== piece) refuse(`${where} is not standard base64 with padding, about character ${from}.`);
    at += (piece.length / 4) * 3;
  }
  if (text.slice(0, -2).includes("=")) refuse(`${where} has base64 padding before the end.`);
  if (!LITTLE_ENDIAN) for (let i = 0, { bytes: size } = DTYPES[dtype]; i < length; i += size) bytes.subarray(i, i + size).reverse();
  if (dtype === "i64") return compactBig(new BigInt64Array(bytes.buffer));
  if (dtype === "bool") for (let i = 0; i < count; i++) if (bytes[i] > 1) refuse(`${where} has a bool byte that is neither 0 nor 1.`);
  return new DTYPES[dtype].array(bytes.buffer);
}

/** Decodes base64 into bytes[at ...], and returns what was decoded encoded again: the same text when it was strict base64. */
function decodeBase64(text, bytes, at) {
  if (typeof Buffer === "function") {
    const target = Buffer.from(bytes.buffer, at);
    return target.toString("base64", 0, target.write(text, "base64"));
  }
  let binary;
  try {
    binary = atob(text);
  } catch {
    return null;
  }
  for (let i = 0; i < binary.length; i++) bytes[at + i] = binary.charCodeAt(i);
  return btoa(binary);
}

/** The tensor as JSON text, in pieces. */
function* encodeTensor({ dtype, shape, data }) {
  yield `{"dtype":"${dtype}","shape":[${shape.join(",")}],"data":[`;
  const encode = dtype === "f32" ? encodeFloat32 : ELEMENT_WRITERS[DTYPES[dtype].kind];
  for (let from = 0; from < data.length; from += 8192) {
    const piece = Array.from(data.slice(from, from + 8192), encode).join(",");
    yield from === 0 ? piece : "," + piece;
  }
  yield "]}";
}

const ELEMENT_WRITERS = {
  float: encodeFloat,
  int: (x) => (x <= SAFE && x >= -SAFE ? String(x) : `"${x}"`),
  bool: (x) => (x ? "true" : "false"),
  str: (x) => JSON.stringify(x),
};

function encodeFloat(x) {
  if (!Number.isFinite(x)) return `"${x}"`;
  return Object.is(x, -0) ? "-0.0" : String(x);
}

/** The shortest decimal that gives x when rounded to f32. */
function encodeFloat32(x) {
  for (let digits = 6; digits <= 9 && Number.isFinite(x); digits++) {
    const near = Number(x.toPrecision(digits));
    if (Math.fround(near) === x) return encodeFloat(near);
  }
  return encodeFloat(x);
}

// =================================================================================================== Special functions

/** Horner's rule; the highest power first. */
function polynomial(x, coefficients) {
  let sum = coefficients[0];
  for (let i = 1; i < coefficients.length; i++) sum = sum * x + coefficients[i];
  return sum;
}

/** 2^(j/128) as high + low, j = 0..127, from integers of 120 bits; and the exact powers 2^-540 .. 2^540. */
const [EXP_HIGH, EXP_LOW, POWERS_OF_TWO] = (function () {
  const one = 1n << 120n, unit = 2 ** -60;
  const root = (square) => { // floor of the square root, by Newton's method
    let x = one * 2n;
    for (;;) {
      const next = (x + square / x) >> 1n;
      if (next >= x) return x;
      x = next;
    }
  };
  let step = one * 2n;
  for (let i = 0; i < 7; i++) step = root(step * one);
  const high = new Float64Array(128), low = new Float64Array(128), powers = new Float64Array(1081);
  for (let j = 0, x = one; j < 128; j++, x = (x * step) >> 120n) {
    high[j] = Number(x) * unit * unit;
    low[j] = Number(x - BigInt(high[j] / unit) * (one >> 60n)) * unit * unit;
  }
  powers[540] = 1;
  for (let i = 1; i <= 540; i++) {
    powers[540 + i] = powers[539 + i] * 2;
    powers[540 - i] = powers[541 - i] / 2;
  }
  return [high, low, powers];
})();

/** exp to 0.51 ulp, the same bits in every engine: exp(x) = 2^(k/128) exp(r) with |r| <= log(2)/256. */
function exp(x) {
  if (!(x > -746)) return x !== x ? x : 0;
  if (x > 709.782712893384) return Infinity;
  const k = Math.floor(x * 184.6649652337873 + 0.5); // 128 / log(2)
  const r = (x - k * 0.005415212347998022) - k * 1.2655086083325438e-13; // log(2) / 128, the first part of 34 bits
  const p = r + r * r * (0.5 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120))));
  const j = k & 127, e = k >> 7, half = e >> 1;
  return (EXP_HIGH[j] + (EXP_LOW[j] + EXP_HIGH[j] * p)) * POWERS_OF_TWO[540 + half] * POWERS_OF_TWO[540 + e - half];
}

// W. J. Cody, Rational Chebyshev approximations for the error function (1969); the highest power first.
const ERF_SMALL = [
  [1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3],
  [1, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3]];
const ERFC_MIDDLE = [
  [2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
    8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3],
  [1, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573345963e3,
    4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3]];
const ERFC_LARGE = [
  [1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4],
  [1, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3]];
const ONE_OVER_SQRT_PI = 5.6418958354775628695e-1;

function erf(x) {
  const y = Math.abs(x);
  if (x !== x) return x;
  if (y <= 0.46875) return x * polynomial(x * x, ERF_SMALL[0]) / polynomial(x * x, ERF_SMALL[1]);
  if (y >= 6) return Math.sign(x);
  const z = 1 / (y * y), far = (ONE_OVER_SQRT_PI - z * polynomial(z, ERFC_LARGE[0]) / polynomial(z, ERFC_LARGE[1])) / y;
  const tail = y <= 4 ? polynomial(y, ERFC_MIDDLE[0]) / polynomial(y, ERFC_MIDDLE[1]) : far; // erfc(y) exp(y^2)
  const coarse = Math.trunc(y * 16) / 16;
  const erfc = exp(-coarse * coarse) * exp(-(y - coarse) * (y + coarse)) * tail;
  return Math.sign(x) * (0.5 - erfc + 0.5);
}

// M. J. Wichura, Algorithm AS 241, PPND16 (1988); the highest power first.
const PPF_CENTRE = [
  [2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4, 1.3731693765509461125e4,
    1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080],
  [5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4, 5.3941960214247511077e3,
    6.8718700749205790830e2, 4.2313330701600911252e1, 1]];
const PPF_MIDDLE = [
  [7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258, 3.64784832476320460504,
    5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734],
  [1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
    6.89767334985100004550e-1, 1.67638483018380384940, 2.05319162663775882187, 1]];
const PPF_TAIL = [
  [2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
    2.96560571828504891230e-1, 1.78482653991729133580, 5.46378491116411436990, 6.65790464350110377720],
  [2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
    1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1]];

/** The inverse of the normal distribution function. */
function normPpf(p) {
  if (!(p >= 0 && p <= 1)) return NaN;
  if (p === 0 || p === 1) return p === 0 ? -Infinity : Infinity;
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    const z = 0.180625 - q * q;
    return q * polynomial(z, PPF_CENTRE[0]) / polynomial(z, PPF_CENTRE[1]);
  }
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  const [shift, parts] = r <= 5 ? [1.6, PPF_MIDDLE] : [5, PPF_TAIL];
  return Math.sign(q) * polynomial(r - shift, parts[0]) / polynomial(r - shift, parts[1]);
}

/** IEEE 754 pow; Math.pow differs for a base of 1 or -1. */
function pow(x, y) {
  if (x === 1 || (x === -1 && Math.abs(y) === Infinity)) return 1;
  return Math.pow(x, y);
}

/** To the nearest integer, ties to even, the sign kept. */
function roundEven(x) {
  const big = 2 ** 52;
  if (!(Math.abs(x) < big) || x === 0) return x;
  return x > 0 ? x + big - big : -(big - x - big);
}

/** Where exp overflows the quotient is 0. */
function sigmoid(x) {
  return 1 / (1 + exp(-x));
}

const UNARY = {
  __proto__: null,
  neg: (x) => -x,
  abs: Math.abs,
  sign: (x) => Math.sign(x) + 0, // -0 becomes 0
  sqrt: Math.sqrt, square: (x) => x * x, reciprocal: (x) => 1 / x,
  floor: Math.floor, ceil: Math.ceil, trunc: Math.trunc,
  round: roundEven,
  relu: (x) => (x > 0 || x !== x ? x : 0),
  exp, expm1: Math.expm1, log: Math.log, log1p: Math.log1p, log2: Math.log2, log10: Math.log10,
  sin: Math.sin, cos: Math.cos, tan: Math.tan, arcsin: Math.asin, arccos: Math.acos, arctan: Math.atan, sinh: Math.sinh, cosh: Math.cosh, tanh: Math.tanh,
  sigmoid,
  log_sigmoid: (x) => (x >= 0 ? -Math.log1p(exp(-x)) : x - Math.log1p(exp(x))),
  softplus: (x) => Math.max(x, 0) + Math.log1p(exp(-Math.abs(x))),
  erf, norm_ppf: normPpf,
};

const EXACT = ["neg", "abs", "sign", "sqrt", "square", "reciprocal", "floor", "ceil", "trunc", "round", "relu"];

const ARITHMETIC = {
  __proto__: null,
  add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b, min: Math.min, max: Math.max, pow,
};

// `==` and `<` compare a number with a bigint by value; no operand is ever of another kind.
const COMPARISONS = {
  __proto__: null,
  eq: (a, b) => a == b, ne: (a, b) => a != b, lt: (a, b) => a < b, le: (a, b) => a <= b, gt: (a, b) => a > b, ge: (a, b) => a >= b,
};

const LOGIC = { __proto__: null, and: (a, b) => a & b, or: (a, b) => a | b, xor: (a, b) => a ^ b };

// ================================================================================================================= Ops

/** What a reader knows of a value when it loads. shape: of a row. */
function valueType(dtype, shape) { return { dtype, shape, width: elementCount(shape) }; }

/** A step's JSON object while its op checks it: inputs by position, attributes by name. */
class StepReader {
  constructor(node, inputs, where, limits, budget, memo) {
    this.node = node;
    this.inputs = inputs; // value types
    this.where = where;
    this.limits = limits;
    this.budget = budget; // {kept, multiplications, strings, longest} of the steps so far: the elements that they keep beside their attributes, their multiplications for a row, strings that these search, and the longest one read
    this.memo = memo; // Map or null: what is the same with all lengths
    this.read = new Set(["op", "in", "out"]);
  }

  /** What `make` gives; made once for all lengths, so nobody may change it. */
  once(key, make) {
    if (this.memo === null) return make();
    if (!this.memo.has(key)) this.memo.set(key, make());
    return this.memo.get(key);
  }

  refuse(problem) { refuse(`${this.where} ${problem}.`); }
  named(key) { return `${this.where}: ${quote(key)}`; }

  /** Counts elements that the step is about to compute and keep. */
  keep(elements) {
    this.budget.kept += elements;
    if (!(this.budget.kept <= this.limits.tensorElements)) this.refuse(`keeps ${elements} elements beside its attributes; with the steps before it, these are more than ${this.limits.tensorElements} (limit tensorElements)`);
  }

  /** Counts multiplications for a row: the op's number of section 6. */
  multiply(count) {
    this.budget.multiplications += count;
    if (!(this.budget.multiplications <= this.limits.multiplications)) this.refuse(`takes ${count} multiplications for a row; with the steps before it, these are more than ${this.limits.multiplications} (limit multiplications)`);
  }

  /** Counts strings that a row goes through beside those of inputs and results. */
  search(count) { this.budget.strings += count; }

  /** The step's inputs, `least` to `most` of them. */
  take(least, most = least) {
    const count = this.inputs.length;
    if (count < least || count > most) this.refuse(`has ${count} inputs; the op takes ${least === most ? least : `${least} to ${most}`}`);
    return this.inputs;
  }

  /** The only input, of one of `dtypes`. */
  only(dtypes) {
    const [x] = this.take(1);
    return this.expect(x, dtypes);
  }

  /** The only input, of one of `dtypes` and of rank 0 or 1. */
  row(dtypes) {
    const x = this.only(dtypes);
    if (x.shape.length > 1) this.refuse(`has an input of row shape ${showShape(x.shape)}; the op takes rank 0 or 1`);
    return x;
  }

  expect(x, dtypes) {
    if (!dtypes.includes(x.dtype)) this.refuse(`has an input of dtype ${x.dtype}; the op takes ${dtypes.join(", ")}`);
    return x;
  }

  has(key) { return this.node.has(key); }

  /** The attribute's JSON, or undefined. */
  optional(key) {
    this.read.add(key);
    return this.node.get(key);
  }

  required(key) {
    if (!this.node.has(key)) this.refuse(`lacks the attribute ${quote(key)}`);
    return this.optional(key);
  }

  dtype(key = "dtype") { return this.choice(key, FLOATS, "f64"); }
  choice(key, options, fallback) {
    if (fallback !== undefined && !this.has(key)) return this.read.add(key), fallback;
    return readChoice(this.required(key), options, this.named(key));
  }

  whole(key, least, most = 2 ** 28) { return readWhole(this.required(key), least, Math.min(most, 2 ** 28), this.named(key)); }
  flag(key, fallback = false) {
    const node = this.optional(key);
    return node === undefined ? fallback : typeof node === "boolean" ? node : this.refuse(`has ${quote(key)}, which is not true or false`);
  }

  /** One JSON number, rounded to `dtype`. */
  number(key, dtype, fallback) {
    const node = this.optional(key);
    if (node === undefined) return fallback;
    if (!(node instanceof Num)) this.refuse(`has ${quote(key)}, which is not a number`);
    return readElements(dtype, [[node]], 1, this.named(key))[0];
  }

  /** A required tensor; see readTensor. rank: the ranks allowed. */
  tensor(key, bare, allowed, ...rank) {
    const node = this.required(key), tensor = this.once(`${key} as ${bare}`, () => readTensor(node, bare, allowed, this.limits, this.named(key)));
    if (this.memo !== null && node instanceof Map) node.clear(); // the text may go
    if (tensor.dtype === "str") this.budget.longest = longestString(tensor.data, this.budget.longest);
    if (rank.length > 0 && !rank.includes(tensor.shape.length)) this.refuse(`has ${quote(key)} of rank ${tensor.shape.length} instead of ${rank.join(" or ")}`);
    return tensor;
  }

  /** The data of a float tensor whose shape is known. */
  floats(key, dtype, shape) {
    const tensor = this.tensor(key, dtype, [dtype]);
    if (!sameShape(tensor.shape, shape)) this.refuse(`has ${quote(key)} of shape ${showShape(tensor.shape)} instead of ${showShape(shape)}`);
    return tensor.data;
  }

  optionalFloats(key, dtype, shape) { return this.has(key) ? this.floats(key, dtype, shape) : null; }

  /** One element per column, from one per column or one for all; null when absent. */
  columns(key, dtype, width, allowed = [dtype]) {
    if (!this.has(key)) return null;
    const { data } = this.tensor(key, dtype, allowed, 0, 1);
    if (data.length === width) return data;
    if (data.length !== 1) this.refuse(`has ${quote(key)} with ${data.length} elements for ${width} columns`);
    return emptyLike(data, width).fill(data[0]);
  }

  /** A rank-1 tensor of any integer dtype, every element in least..most (at most 2^31 - 1), as an Int32Array. */
  indexes(key, least, most) { return this.checkIndexes(key, this.tensor(key, "i64", INTEGERS, 1).data, least, most); }

  checkIndexes(key, data, least, most) {
    for (let i = 0; i < data.length; i++) {
      if (!(data[i] >= least && data[i] <= most)) this.refuse(`has ${data[i]} in ${quote(key)}, which is not in ${least}..${most}`);
    }
    return isBig(data) ? Int32Array.from(data, Number) : new Int32Array(data);
  }

  /** A number of output columns, before anything of that size is allocated. */
  outputWidth(width) {
    if (width > this.limits.rowElements) this.refuse(`gives rows of ${width} elements, more than ${this.limits.rowElements} (limit rowElements)`);
    return width;
  }

  length(key, array, length) {
    if (array.length !== length) this.refuse(`has ${array.length} elements in ${quote(key)} instead of ${length}`);
    return array;
  }

  /** A tensor of any dtype; a bare array is str when its elements are strings, else f64. */
  table(key, ...rank) {
    const node = this.required(key);
    const first = Array.isArray(node) && Array.isArray(node[0]) ? node[0] : node;
    const texts = Array.isArray(first) && first.some((x) => typeof x === "string") && first.every((x) => x === null || typeof x === "string");
    return this.tensor(key, texts ? "str" : "f64", Object.keys(DTYPES), ...rank);
  }

  /** One JSON element of `dtype`. */
  element(key, dtype) {
    if (this.required(key) === null) this.refuse(`has null for ${quote(key)}`);
    const element = readElements(dtype, [[this.required(key)]], 1, this.named(key))[0];
    if (dtype === "str") this.budget.longest = longestString([element], this.budget.longest);
    return element;
  }

  finish() {
    for (const key of this.node.keys()) if (!this.read.has(key) && !IGNORED_KEY.test(key)) this.refuse(`has the unknown attribute ${quote(key)}`);
  }
}

const COSTLY = 16, MOVED = 8; // multiplications that exp, pow or a search counts for, and an element that is read or defined

/** Code points of the longest of some strings; `least` if that is more. */
function longestString(strings, least) {
  return strings.reduce((longest, s) => (s === null || s.length <= longest ? longest : Math.max(longest, [...s].length)), least);
}

/** The row shape that inputs broadcast to, aligned at their last axes. */
function broadcastShapes(step, shapes) {
  const shape = new Array(Math.max(...shapes.map((one) => one.length))).fill(1);
  for (const one of shapes) {
    for (let i = one.length, k = shape.length; i-- > 0; ) {
      if (shape[--k] === 1) shape[k] = one[i];
      else if (one[i] !== 1 && one[i] !== shape[k]) step.refuse(`has row shapes ${shapes.map(showShape).join(", ")}, which do not broadcast`);
    }
  }
  return shape;
}

/** n rows of x, of row shape `from`, as rows of the shape it broadcasts to. */
function spread(x, from, shape, n) {
  if (sameShape(from, shape)) return x;
  const added = new Array(shape.length - from.length).fill(0);
  return pick(x, n, elementCount(from), shape, [...added, ...stridesOf(from)]);
}

function equalTest(match) { return match !== match ? (x) => x !== x : (x) => x === match; }

/** The `match` of impute and is_missing: the element that counts as missing. */
function readMatch(step, dtype) {
  if (step.has("match")) return step.element("match", dtype);
  return dtype === "str" ? null : NaN;
}

/** Integer x as the nearest f32 (ties to even), also beyond 2^53. */
function integerToFloat32(element) {
  const x = canonical(element);
  if (typeof x === "number") return Math.fround(x);
  const sticky = x & 0x7ffn ? 1n : 0n; // 53 bits, the last one set when anything below it is
  return Math.fround(Number((x >> 11n) | sticky) * 2048);
}

/** x (an element of any dtype but str) as an integer: a number, or a bigint beyond 2^53 - 1. */
function toInteger(x, dtype, first, i, width) {
  const whole = typeof x === "bigint" ? x : Math.trunc(x) + 0;
  if (dtype === "i64" && Math.abs(Number(whole)) < SAFE) return Number(whole);
  const { least, most } = DTYPES[dtype];
  if (!(whole >= least && whole <= most)) refuse(`row ${first + Math.floor(i / width)}: ${x} is not within ${dtype}.`);
  return typeof whole === "bigint" || Math.abs(whole) <= SAFE ? canonical(whole) : BigInt(whole);
}

/** Faster ways to the same bits, which modelport_fast.js puts here; each returns whether it has done the work. */
const kernels = { addTrees: null, tile: null };

/** The sum of weight * x, from 0.0 in ascending index. */
function dot(a, i, b, j, width) {
  let sum = 0;
  for (let c = 0; c < width; c++) sum += a[i + c] * b[j + c];
  return sum;
}

const PANEL = 2 ** 14; // elements of weights that stay in the cache while the rows pass by

/**
 * out[at + r * down + k * right] = sum over j of x[from + r * width + j] * weight[start + k * width + j], then + bias[k]: n rows times `size`
 * rows of weights, in tiles of four by four; every sum from 0.0 in ascending j.
 */
function multiplyRows(x, from, weight, start, bias, out, at, down, right, n, width, size) {
  if (kernels.tile !== null && kernels.tile("products", x, from, weight, start, bias, out, at, down, right, n, width, size)) return;
  const panel = Math.max(4, Math.floor(PANEL / Math.max(1, width)) & ~3);
  for (let first = 0; first < size; first += panel) {
    const last = Math.min(size, first + panel);
    for (let r = 0; r < n; r += 4) {
      const a = from + r * width, b = r + 1 < n ? a + width : a, c = r + 2 < n ? b + width : a, d = r + 3 < n ? c + width : a;
      for (let k = first; k < last; k += 4) {
        const e = start + k * width, f = k + 1 < last ? e + width : e, g = k + 2 < last ? f + width : e, h = k + 3 < last ? g + width : e;
        if (r + 3 < n) multiplyTile(x, a, b, c, d, weight, e, f, g, h, width);
        else for (let i = r; i < n; i++) multiplyFour(x, from + i * width, weight, e, f, g, h, width, 4 * (i - r));
        for (let i = 0; i < 4 && r + i < n; i++) {
          for (let j = 0; j < 4 && k + j < last; j++) out[at + (r + i) * down + (k + j) * right] = bias === null ? TILE[4 * i + j] : TILE[4 * i + j] + bias[k + j];
        }
      }
    }
  }
}

const TILE = new Float64Array(16); // the sums of one call of the two functions below

function multiplyTile(x, a, b, c, d, weight, e, f, g, h, width) {
  let ae = 0, af = 0, ag = 0, ah = 0, be = 0, bf = 0, bg = 0, bh = 0, ce = 0, cf = 0, cg = 0, ch = 0, de = 0, df = 0, dg = 0, dh = 0;
  for (let j = 0; j < width; j++) {
    const p = weight[e + j], q = weight[f + j], s = weight[g + j], t = weight[h + j], u = x[a + j], v = x[b + j], w = x[c + j], z = x[d + j];
    ae += u * p; af += u * q; ag += u * s; ah += u * t;
    be += v * p; bf += v * q; bg += v * s; bh += v * t;
    ce += w * p; cf += w * q; cg += w * s; ch += w * t;
    de += z * p; df += z * q; dg += z * s; dh += z * t;
  }
  TILE[0] = ae; TILE[1] = af; TILE[2] = ag; TILE[3] = ah; TILE[4] = be; TILE[5] = bf; TILE[6] = bg; TILE[7] = bh;
  TILE[8] = ce; TILE[9] = cf; TILE[10] = cg; TILE[11] = ch; TILE[12] = de; TILE[13] = df; TILE[14] = dg; TILE[15] = dh;
}

function multiplyFour(x, a, weight, e, f, g, h, width, to) {
  let p = 0, q = 0, s = 0, t = 0;
  for (let j = 0; j < width; j++) {
    const u = x[a + j];
    p += u * weight[e + j]; q += u * weight[f + j]; s += u * weight[g + j]; t += u * weight[h + j];
  }
  TILE[to] = p; TILE[to + 1] = q; TILE[to + 2] = s; TILE[to + 3] = t;
}

/** The largest element of a row; the first NaN wins. */
function rowMax(x, from, width) {
  let best = x[from];
  for (let j = from + 1; j < from + width && best === best; j++) if (x[j] > best || x[j] !== x[j]) best = x[j];
  return best;
}

/** The position of the element no other beats; the first NaN, else the lowest index among ties. */
function rowBest(x, from, width, beats) {
  let best = 0;
  for (let j = 0; j < width; j++) {
    if (x[from + j] !== x[from + j]) return j;
    if (beats(x[from + j], x[from + best])) best = j;
  }
  return best;
}

const greater = (a, b) => a > b;
const less = (a, b) => a < b;

/** log(sum exp(x_j - m)) of a row with maximum m. */
function logSumExp(x, from, width, m, round) {
  let sum = 0;
  for (let j = 0; j < width; j++) sum += round(exp(round(x[from + j] - m)));
  return round(Math.log(round(sum)));
}

/** (x, from, width, round) -> one element. */
const REDUCTIONS = {
  __proto__: null,
  sum(x, from, width) {
    let sum = 0;
    for (let j = from; j < from + width; j++) sum += x[j];
    return sum;
  },
  prod(x, from, width, round) {
    let product = 1;
    for (let j = from; j < from + width; j++) product = round(product * x[j]);
    return product;
  },
  mean: (x, from, width, round) => round(REDUCTIONS.sum(x, from, width)) / width,
  min: (x, from, width) => x[from + rowBest(x, from, width, less)],
  max: rowMax,
  l2: (x, from, width, round) => Math.sqrt(round(dot(x, from, x, from, width))),
  logsumexp(x, from, width, round) {
    const m = rowMax(x, from, width);
    return Math.abs(m) === Infinity ? m : m + logSumExp(x, from, width, m, round);
  },
  argmax: (x, from, width) => rowBest(x, from, width, greater),
  argmin: (x, from, width) => rowBest(x, from, width, less),
};

const NORMS = {
  __proto__: null,
  l1(x, from, width) {
    let sum = 0;
    for (let j = from; j < from + width; j++) sum += Math.abs(x[j]);
    return sum;
  },
  l2: REDUCTIONS.l2,
  max(x, from, width) {
    let most = 0;
    for (let j = from; j < from + width && most === most; j++) if (Math.abs(x[j]) > most || x[j] !== x[j]) most = Math.abs(x[j]);
    return most;
  },
};

/**
 * The ops of profile tabular; modelport_more.js has another such table. check(step) reads the attributes and returns {dtype, shape, ...what run needs};
 * run(p, inputs, n, first) returns the values of n rows. `first` is the number of the first row, for messages.
 */
const OPS = {
  __proto__: null,

  concat: {
    check(step) {
      const inputs = step.take(1, Infinity), [{ dtype, shape: first }] = inputs, joined = step.has("axis");
      const axis = joined ? step.whole("axis", 0, first.length - 1) : 0, cut = (shape) => shape.filter((_, i) => i !== axis);
      for (const x of inputs) {
        step.expect(x, [dtype]);
        if (joined ? x.shape.length !== first.length || !sameShape(cut(x.shape), cut(first)) : x.shape.length > 1) {
          step.refuse(`has inputs of row shapes ${inputs.map((one) => showShape(one.shape)).join(", ")}, which cannot be joined`);
        }
      }
      const inner = joined ? elementCount(first.slice(axis + 1)) : 1, shape = joined ? [...first] : [0];
      shape[axis] = inputs.reduce((sum, x) => sum + (joined ? x.shape[axis] : x.width), 0);
      return { dtype, shape, outer: joined ? elementCount(first.slice(0, axis)) : 1, width: shape[axis] * inner, widths: inputs.map((x) => (joined ? x.shape[axis] * inner : x.width)) };
    },
    run({ outer, width, widths }, inputs, n) {
      const aligned = align(inputs), rows = n * outer, out = emptyLike(aligned[0], rows * width);
      for (let k = 0, offset = 0; k < aligned.length; offset += widths[k++]) {
        const x = aligned[k], w = widths[k];
        for (let r = 0; r < rows; r++) for (let j = 0; j < w; j++) out[r * width + offset + j] = x[r * w + j];
      }
      return out;
    },
  },

  select: {
    check(step) {
      const x = step.row(Object.keys(DTYPES));
      const index = step.indexes("index", 0, x.width - 1);
      return { dtype: x.dtype, shape: [index.length], width: x.width, index };
    },
    run({ width, index }, [x], n) {
      const k = index.length, out = emptyLike(x, n * k);
      for (let r = 0; r < n; r++) for (let j = 0; j < k; j++) out[r * k + j] = x[r * width + index[j]];
      return out;
    },
  },

  cast: {
    check(step) {
      const dtypes = Object.keys(DTYPES).filter((dtype) => dtype !== "str");
      const x = step.only(dtypes);
      return { dtype: step.choice("to", dtypes), shape: x.shape, width: x.width };
    },
    run({ dtype, width }, [x], n, first) {
      const { kind } = DTYPES[dtype], out = allocate(dtype, x.length);
      if (kind === "int") {
        const list = Array.from(x, (element, i) => toInteger(element, dtype, first, i, width));
        return dtype === "i64" ? fromIntegers(list) : out.constructor.from(list);
      }
      for (let i = 0; i < x.length; i++) out[i] = kind === "bool" ? Number(x[i] != 0) : dtype === "f32" ? integerToFloat32(x[i]) : Number(x[i]);
      return out;
    },
  },

  constant: {
    check(step) {
      step.take(0);
      return step.tensor("value", null, Object.keys(DTYPES)); // dtype, shape, data
    },
    run({ data }, inputs, n) {
      const out = emptyLike(data, n * data.length);
      for (let i = 0; i < out.length; i += data.length) for (let j = 0; j < data.length; j++) out[i + j] = data[j];
      return out;
    },
  },

  impute: {
    check(step) {
      const x = step.row(["f64", "f32", "str"]);
      step.required("values");
      return { ...x, isMatch: equalTest(readMatch(step, x.dtype)), values: step.columns("values", x.dtype, x.width) };
    },
    run({ width, isMatch, values }, [x]) {
      const out = x.slice();
      for (let i = 0; i < x.length; i++) if (isMatch(x[i])) out[i] = values[i % width];
      return out;
    },
  },

  is_missing: {
    check(step) {
      const x = step.row(["f64", "f32", "str"]);
      return { dtype: "f64", shape: x.shape, isMatch: equalTest(readMatch(step, x.dtype)) };
    },
    run({ isMatch }, [x]) { return Float64Array.from(x, (element) => Number(isMatch(element))); },
  },

  lookup: {
    check(step) {
      const x = step.only(["f64", "f32", "i64", "bool", "str"]);
      const keys = step.tensor("keys", x.dtype, [x.dtype], 1).data, table = step.table("values", 1);
      step.length("values", table.data, keys.length);
      const index = new Map(); // NaN equals NaN, and -0 equals 0, as the format wants it
      for (let k = 0; k < keys.length; k++) {
        if (index.has(canonical(keys[k]))) step.refuse(`has the key ${quote(keys[k])} twice`);
        index.set(canonical(keys[k]), k);
      }
      step.multiply(COSTLY * x.width);
      const extra = step.has("default") ? oneElement(table.dtype, step.element("default", table.dtype)) : emptyLike(table.data, 0), parts = align([table.data, extra]);
      return { dtype: table.dtype, shape: x.shape, width: x.width, index, values: joinArrays(parts[0].constructor, parts, keys.length + extra.length) };
    },
    run({ width, index, values }, [x], n, first) {
      const out = emptyLike(values, x.length), other = values.length > index.size ? index.size : undefined;
      for (let i = 0; i < x.length; i++) {
        const k = index.get(canonical(x[i])) ?? other;
        if (k === undefined) refuse(`row ${first + Math.floor(i / width)}: ${quote(x[i])} is an unknown key, and there is no default.`);
        out[i] = values[k];
      }
      return out;
    },
  },

  onehot: {
    check(step) {
      const x = step.row(INTEGERS), size = step.whole("size", 1, step.limits.rowElements);
      return { dtype: "f64", shape: [x.width * size], width: x.width, size };
    },
    run({ width, size }, [x], n, first) {
      const out = new Float64Array(x.length * size);
      for (let i = 0; i < x.length; i++) {
        const code = Number(x[i]);
        if (!(code >= -1 && code < size)) refuse(`row ${first + Math.floor(i / width)}: the code ${x[i]} is not in -1..${size - 1}.`);
        if (code >= 0) out[i * size + code] = 1;
      }
      return out;
    },
  },

  bucketize: {
    check(step) {
      const x = step.row(FLOATS);
      const edges = step.tensor("edges", x.dtype, [x.dtype], 1).data, sizes = step.indexes("sizes", 0, edges.length);
      step.length("sizes", sizes, x.width);
      const ends = Float64Array.from(sizes);
      for (let j = 1; j < ends.length; j++) ends[j] += ends[j - 1];
      step.length("edges", edges, x.width === 0 ? 0 : ends[x.width - 1]);
      for (let j = 0, e = 0; j < ends.length; j++) {
        for (const start = e; e < ends[j]; e++) {
          if (edges[e] !== edges[e] || (e > start && !(edges[e - 1] <= edges[e]))) step.refuse(`has edges of column ${j} that do not ascend`);
        }
      }
      step.multiply(COSTLY * x.width);
      return { dtype: "i64", shape: x.shape, width: x.width, edges, ends, left: step.choice("side", ["left", "right"]) === "left" };
    },
    run({ width, edges, ends, left }, [x]) {
      const out = new Float64Array(x.length);
      for (let i = 0; i < x.length; i++) {
        const j = i % width, start = j === 0 ? 0 : ends[j - 1], v = x[i];
        let low = start, high = ends[j]; // the first edge that v does not pass lies in low..high
        while (low < high) {
          const middle = (low + high) >>> 1;
          if (!(left ? v <= edges[middle] : v < edges[middle])) low = middle + 1;
          else high = middle;
        }
        out[i] = low - start;
      }
      return out;
    },
  },

  scale: {
    check(step) {
      const { dtype, shape, width } = checkLastAxis(step);
      const parts = ["sub", "div", "mul", "add"].map((key) => [ARITHMETIC[key], step.columns(key, dtype, width)]);
      return { dtype, shape, width, parts: parts.filter(([, values]) => values !== null) };
    },
    run({ dtype, width, parts }, [x]) {
      const out = toFloat(x, dtype).slice();
      for (const [apply, values] of parts) {
        for (let i = 0; i < out.length; i += width) for (let j = 0; j < width; j++) out[i + j] = apply(out[i + j], values[j]);
      }
      return out;
    },
  },

  clip: {
    check(step) {
      const { dtype, shape, width } = checkLastAxis(step);
      return { dtype, shape, width, min: step.columns("min", dtype, width), max: step.columns("max", dtype, width) };
    },
    run({ dtype, width, min, max }, [x]) {
      const out = toFloat(x, dtype).slice();
      for (let i = 0; i < out.length; i++) {
        const v = out[i], j = i % width;
        if (min !== null && v < min[j]) out[i] = min[j];
        else if (max !== null && v > max[j]) out[i] = max[j];
      }
      return out;
    },
  },

  unary: {
    check(step) {
      const fn = step.choice("fn", [...Object.keys(UNARY), "not"]);
      const x = step.only(fn === "not" ? ["bool"] : FLOATS), dtype = step.dtype();
      if (fn === "not") return { dtype: "bool", shape: x.shape, apply: (element) => 1 - element };
      if (!EXACT.includes(fn)) step.multiply(COSTLY * x.width);
      return { dtype, shape: x.shape, apply: UNARY[fn] };
    },
    run({ dtype, apply }, [x]) {
      const v = dtype === "bool" ? x : toFloat(x, dtype), out = emptyLike(v, v.length);
      for (let i = 0; i < v.length; i++) out[i] = apply(v[i]);
      return out;
    },
  },

  binary: {
    check(step) {
      const [a, b] = step.take(2), dtype = step.dtype();
      const fn = step.choice("fn", [...Object.keys(ARITHMETIC), ...Object.keys(COMPARISONS), ...Object.keys(LOGIC)]);
      const float = FLOATS.includes(a.dtype);
      if (fn in LOGIC) step.expect(a, ["bool"]);
      else if (fn in ARITHMETIC) step.expect(a, FLOATS);
      else if (!float) step.expect(a, fn === "eq" || fn === "ne" ? ["i64", "bool", "str"] : ["i64"]);
      step.expect(b, float ? FLOATS : [a.dtype]);
      const shapes = [a.shape, b.shape], shape = broadcastShapes(step, shapes), apply = ARITHMETIC[fn] ?? COMPARISONS[fn] ?? LOGIC[fn];
      if (fn === "pow") step.multiply(COSTLY * elementCount(shape));
      if (a.dtype === "str") step.search(elementCount(shape.map((extent) => Math.max(1, extent))));
      return { dtype: fn in ARITHMETIC ? dtype : "bool", shape, shapes, rounded: float ? dtype : null, apply };
    },
    run({ dtype, shape, shapes, rounded, apply }, inputs, n) {
      const [a, b] = inputs.map((x, k) => spread(rounded === null ? x : toFloat(x, rounded), shapes[k], shape, n));
      const out = allocate(dtype, a.length);
      for (let i = 0; i < out.length; i++) out[i] = apply(a[i], b[i]);
      return out;
    },
  },

  where: {
    check(step) {
      const [condition, a, b] = step.take(3);
      step.expect(condition, ["bool"]);
      step.expect(b, [a.dtype]);
      const shapes = [condition.shape, a.shape, b.shape];
      return { dtype: a.dtype, shape: broadcastShapes(step, shapes), shapes };
    },
    run({ shape, shapes }, inputs, n) {
      const [condition, a, b] = inputs.map((x, k) => spread(x, shapes[k], shape, n));
      const [yes, no] = align([a, b]), out = emptyLike(yes, condition.length);
      for (let i = 0; i < out.length; i++) out[i] = condition[i] ? yes[i] : no[i];
      return out;
    },
  },

  linear: {
    check(step) {
      const { dtype, shape: given, width } = checkLastAxis(step), { shape, data: weight } = step.tensor("weight", dtype, [dtype], 2), [size] = shape;
      if (shape[1] !== width) step.refuse(`has "weight" for ${shape[1]} columns; its input has ${width}`);
      const before = given.slice(0, -1), rows = elementCount(before);
      step.multiply(rows * size * width);
      return { dtype, shape: [...before, size], rows, width, size, weight, bias: step.optionalFloats("bias", dtype, [size]) };
    },
    run({ dtype, rows, width, size, weight, bias }, [x], n) {
      const out = allocate(dtype, n * rows * size);
      multiplyRows(toFloat(x, dtype), 0, weight, 0, bias, out, 0, size, 1, n * rows, width, size);
      return out;
    },
  },

  softmax: {
    check: checkExponentials,
    run({ dtype, width, round }, [input]) {
      const x = toFloat(input, dtype), out = allocate(dtype, x.length);
      for (let from = 0; from < out.length; from += width) {
        const m = rowMax(x, from, width);
        for (let j = from; j < from + width; j++) out[j] = exp(round(x[j] - m));
        const sum = round(REDUCTIONS.sum(out, from, width));
        for (let j = from; j < from + width; j++) out[j] /= sum;
      }
      return out;
    },
  },

  log_softmax: {
    check: checkExponentials,
    run({ dtype, width, round }, [input]) {
      const x = toFloat(input, dtype), out = allocate(dtype, x.length);
      for (let from = 0; from < out.length; from += width) {
        const m = rowMax(x, from, width), log = logSumExp(x, from, width, m, round);
        for (let j = from; j < from + width; j++) out[j] = round(x[j] - m) - log;
      }
      return out;
    },
  },

  normalize: {
    check(step) { return { ...checkLastAxis(step), norm: NORMS[step.choice("norm", Object.keys(NORMS))] }; },
    run({ dtype, width, round, norm }, [x]) {
      const out = toFloat(x, dtype).slice();
      for (let from = 0; from < out.length; from += width) {
        const size = round(norm(out, from, width, round));
        if (size !== 0) for (let j = from; j < from + width; j++) out[j] /= size;
      }
      return out;
    },
  },

  reduce: {
    check(step) {
      const x = step.has("axes") ? step.only(FLOATS) : step.row(FLOATS), dtype = step.dtype(), rank = x.shape.length;
      const axes = step.has("axes") ? Array.from(step.indexes("axes", 0, rank - 1).subarray(0, rank + 1)) : x.shape.map((_, i) => i);
      if (step.has("axes") && (axes.length === 0 || axes.some((axis, i) => i > 0 && axis <= axes[i - 1]))) step.refuse(`has "axes" that are none, or do not ascend`);
      const fn = step.choice("fn", Object.keys(REDUCTIONS)), keep = step.flag("keep"), inverse = fn.startsWith("arg");
      if (inverse && axes.length > 1) step.refuse(`takes the ${fn} over ${axes.length} axes; it takes one`);
      const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i)), order = [...kept, ...axes], strides = stridesOf(x.shape);
      const width = elementCount(axes.map((axis) => x.shape[axis])), moved = order.some((axis, i) => axis !== i);
      if (width === 0) step.refuse(`takes the ${fn} of rows without columns`);
      if (fn === "logsumexp") step.multiply(COSTLY * x.width);
      const reduced = rank === 0 ? [1] : x.shape.map((extent, i) => (axes.includes(i) ? 1 : extent)); // rank 0 counts as one axis
      return {
        dtype: inverse ? "i64" : dtype, shape: keep ? reduced : kept.map((axis) => x.shape[axis]), rowWidth: x.width, width, rounded: dtype, round: rounding(dtype),
        reduction: REDUCTIONS[fn], order: moved ? { shape: order.map((axis) => x.shape[axis]), strides: order.map((axis) => strides[axis]) } : null,
      };
    },
    run({ dtype, rowWidth, width, rounded, round, reduction, order }, [input], n) {
      const given = toFloat(input, rounded), x = order === null ? given : pick(given, n, rowWidth, order.shape, order.strides);
      const out = allocate(dtype, x.length / width);
      for (let i = 0; i < out.length; i++) out[i] = reduction(x, i * width, width, round);
      return out;
    },
  },

  two_class: {
    check(step) {
      const { width, dtype } = checkRow(step);
      if (width !== 1) step.refuse(`has an input of width ${width} instead of 1`);
      return { dtype, shape: [2] };
    },
    run({ dtype }, [x], n) {
      const p = toFloat(x, dtype), out = allocate(dtype, 2 * n);
      for (let i = 0; i < out.length; i++) out[i] = i % 2 === 0 ? 1 - p[i / 2] : p[(i - 1) / 2];
      return out;
    },
  },

  take: {
    check(step) {
      const x = step.only(INTEGERS), { dtype, shape, data } = step.table("table", 1, 2);
      if (shape.length === 2 && x.width !== 1) step.refuse(`has an input of width ${x.width}; a table of rows takes one of width 1`);
      return { dtype, shape: shape.length === 2 ? [shape[1]] : x.shape, width: x.width, data, size: shape[0], stride: shape[1] ?? 1 };
    },
    run({ width, data, size, stride }, [x], n, first) {
      const out = emptyLike(data, x.length * stride);
      for (let i = 0; i < x.length; i++) {
        const k = Number(x[i]);
        if (!(k >= 0 && k < size)) refuse(`row ${first + Math.floor(i / width)}: the index ${x[i]} is not in 0..${size - 1}.`);
        for (let j = 0; j < stride; j++) out[i * stride + j] = data[k * stride + j];
      }
      return out;
    },
  },

  tree_ensemble: { check: checkTrees, run: runTrees },
};

/** The check shared by the ops that take one row of floats and have a dtype. */
function checkRow(step) {
  step.row(FLOATS);
  return checkLastAxis(step);
}

/** The check shared by the ops that take floats of any rank and have a dtype. width: of the last axis. */
function checkLastAxis(step) {
  const { shape } = step.only(FLOATS), dtype = step.dtype();
  return { dtype, shape, width: shape.length === 0 ? 1 : shape[shape.length - 1], round: rounding(dtype) };
}

/** The check of softmax and log_softmax. */
function checkExponentials(step) {
  const checked = checkLastAxis(step);
  step.multiply(COSTLY * elementCount(checked.shape));
  return checked;
}

/** An array of one element. */
function oneElement(dtype, x) {
  if (typeof x === "bigint") return BigInt64Array.of(x);
  const array = allocate(dtype, 1);
  array[0] = x;
  return array;
}

// =============================================================================================================== Trees

// Nodes are laid out anew when loading: the two children of a node stand side by side, pairs in preorder of their parents, so that a walk
// needs one number per node: `step`, from the node to its left child (the right one is next to it). A leaf has step 0 and looks at an extra
// column that holds -Infinity: walking on from a leaf stays there, and several rows walk in step without a branch.
// A node sends x right when x >= bound. For `le` the bound is the next float after the threshold; the bound of a leaf is never reached.

/** 8 bytes: f32 bound, then step << 8 | feature. A leaf keeps its number in place of the bound. */
class NarrowNodes {
  constructor(count) {
    const buffer = new ArrayBuffer(8 * count);
    this.bounds = new Float32Array(buffer);
    this.words = new Int32Array(buffer);
    this.Row = Float32Array;
  }
  static fits(dtype, width, largestTree) { return dtype === "f32" && width <= 255 && largestTree < 1 << 23; }
  setInner(i, bound, feature, step) {
    this.bounds[2 * i] = bound;
    this.words[2 * i + 1] = (step << 8) | feature;
  }
  setLeaf(i, number, feature) {
    this.words[2 * i] = number;
    this.words[2 * i + 1] = feature;
  }
  bound(i) { return this.bounds[2 * i]; }
  feature(i) { return this.words[2 * i + 1] & 255; }
  step(i) { return this.words[2 * i + 1] >>> 8; }
  leaf(i) { return this.words[2 * i]; }

  /** Writes the leaf number of each of n rows of x (stride elements each) in the tree at `root`. */
  walk(x, stride, n, root, leaves) {
    const { bounds, words } = this;
    let r = 0;
    for (; r + 8 <= n; r += 8) {
      const x0 = r * stride, x1 = x0 + stride, x2 = x1 + stride, x3 = x2 + stride, x4 = x3 + stride, x5 = x4 + stride, x6 = x5 + stride, x7 = x6 + stride;
      let a = root, b = root, c = root, d = root, e = root, f = root, g = root, h = root, w = 0, any = 0;
      do {
        w = words[2 * a + 1]; any = w; a = (a + (w >>> 8) + +(x[x0 + (w & 255)] >= bounds[2 * a])) | 0;
        w = words[2 * b + 1]; any |= w; b = (b + (w >>> 8) + +(x[x1 + (w & 255)] >= bounds[2 * b])) | 0;
        w = words[2 * c + 1]; any |= w; c = (c + (w >>> 8) + +(x[x2 + (w & 255)] >= bounds[2 * c])) | 0;
        w = words[2 * d + 1]; any |= w; d = (d + (w >>> 8) + +(x[x3 + (w & 255)] >= bounds[2 * d])) | 0;
        w = words[2 * e + 1]; any |= w; e = (e + (w >>> 8) + +(x[x4 + (w & 255)] >= bounds[2 * e])) | 0;
        w = words[2 * f + 1]; any |= w; f = (f + (w >>> 8) + +(x[x5 + (w & 255)] >= bounds[2 * f])) | 0;
        w = words[2 * g + 1]; any |= w; g = (g + (w >>> 8) + +(x[x6 + (w & 255)] >= bounds[2 * g])) | 0;
        w = words[2 * h + 1]; any |= w; h = (h + (w >>> 8) + +(x[x7 + (w & 255)] >= bounds[2 * h])) | 0;
      } while (any >>> 8);
      leaves[r] = words[2 * a]; leaves[r + 1] = words[2 * b]; leaves[r + 2] = words[2 * c]; leaves[r + 3] = words[2 * d];
      leaves[r + 4] = words[2 * e]; leaves[r + 5] = words[2 * f]; leaves[r + 6] = words[2 * g]; leaves[r + 7] = words[2 * h];
    }
    for (; r < n; r++) {
      let i = root;
      for (let w; (w = words[2 * i + 1]) >>> 8; ) i = (i + (w >>> 8) + +(x[r * stride + (w & 255)] >= bounds[2 * i])) | 0;
      leaves[r] = words[2 * i];
    }
  }
}

/** 16 bytes: f64 bound, i32 feature, i32 step. A leaf keeps its number in place of the bound. */
class WideNodes {
  constructor(count) {
    const buffer = new ArrayBuffer(16 * count);
    this.bounds = new Float64Array(buffer);
    this.words = new Int32Array(buffer);
    this.Row = Float64Array;
  }
  setInner(i, bound, feature, step) {
    this.bounds[2 * i] = bound;
    this.words[4 * i + 2] = feature;
    this.words[4 * i + 3] = step;
  }
  setLeaf(i, number, feature) {
    this.words[4 * i] = number;
    this.words[4 * i + 2] = feature;
  }
  bound(i) { return this.bounds[2 * i]; }
  feature(i) { return this.words[4 * i + 2]; }
  step(i) { return this.words[4 * i + 3]; }
  leaf(i) { return this.words[4 * i]; }

  walk(x, stride, n, root, leaves) {
    const { bounds, words } = this;
    let r = 0;
    for (; r + 4 <= n; r += 4) {
      const x0 = r * stride, x1 = x0 + stride, x2 = x1 + stride, x3 = x2 + stride;
      let a = root, b = root, c = root, d = root, s = 0, any = 0;
      do {
        s = words[4 * a + 3]; any = s; a = (a + s + +(x[x0 + words[4 * a + 2]] >= bounds[2 * a])) | 0;
        s = words[4 * b + 3]; any |= s; b = (b + s + +(x[x1 + words[4 * b + 2]] >= bounds[2 * b])) | 0;
        s = words[4 * c + 3]; any |= s; c = (c + s + +(x[x2 + words[4 * c + 2]] >= bounds[2 * c])) | 0;
        s = words[4 * d + 3]; any |= s; d = (d + s + +(x[x3 + words[4 * d + 2]] >= bounds[2 * d])) | 0;
      } while (any !== 0);
      leaves[r] = words[4 * a]; leaves[r + 1] = words[4 * b]; leaves[r + 2] = words[4 * c]; leaves[r + 3] = words[4 * d];
    }
    for (; r < n; r++) {
      let i = root;
      for (let s; (s = words[4 * i + 3]) !== 0; ) i = (i + s + +(x[r * stride + words[4 * i + 2]] >= bounds[2 * i])) | 0;
      leaves[r] = words[4 * i];
    }
  }
}

/** A copy with the next float above each element; above +Infinity that is NaN, which nothing reaches. */
function nextUp(values, dtype) {
  const out = values.slice();
  const wide = dtype === "f64", high = wide && LITTLE_ENDIAN ? 1 : 0, size = wide ? 2 : 1;
  const words = new Int32Array(out.buffer, out.byteOffset, out.length * size);
  for (let i = 0; i < out.length; i++) {
    if (out[i] === 0) out[i] = 0; // -0 becomes 0
    const low = size * i + (wide ? 1 - high : 0), up = words[size * i + high] < 0 ? -1 : 1;
    words[low] += up;
    if (wide && words[low] === (up > 0 ? 0 : -1)) words[size * i + high] += up; // the carry, or the borrow
  }
  return out;
}

const MISSING = ["error", "left", "right", "node"];

function checkTrees(step) {
  const inputs = step.take(1, 2), x = step.expect(inputs[0], FLOATS);
  if (x.shape.length > 1) step.refuse(`has an input of row shape ${showShape(x.shape)}; the op takes rank 0 or 1`);
  const dtype = step.dtype(), acc = step.dtype("acc");
  const arrays = readTreeArrays(step, x.width, dtype);
  const leaves = readLeaves(step, acc, arrays.start.length, arrays.leafCount);
  const { width, classes } = readTreeOutput(step, leaves, arrays.start.length);
  if (inputs.length === 2 && (inputs[1].dtype !== acc || inputs[1].width !== width)) step.refuse(`has a second input of dtype ${inputs[1].dtype} and width ${inputs[1].width} instead of ${acc} and ${width}`);
  if (inputs.length === 2 && step.has("init")) step.refuse(`has a second input and "init", which exclude each other`);
  const init = step.optionalFloats("init", acc, [width]) ?? allocate(acc, width);
  const mean = step.choice("aggregate", ["sum", "mean"], "sum") === "mean";
  return {
    dtype: acc, shape: [width], rounded: dtype, columns: x.width, init, mean, classes, leafValues: leaves.values, leafWidth: leaves.width,
    ...packTrees(step, arrays, leaves, x.width, dtype),
  };
}

/** start, feature, threshold, right, missing and categories, with the counts checked. */
function readTreeArrays(step, width, dtype) {
  const feature = step.indexes("feature", -1, width - 1), start = step.indexes("start", 0, feature.length - 1);
  if (start.length === 0 || start[0] !== 0) step.refuse(`has trees that do not start at node 0`);
  for (let t = 1; t < start.length; t++) if (start[t] <= start[t - 1]) step.refuse(`has "start" that does not ascend strictly`);
  let inner = 0;
  for (let i = 0; i < feature.length; i++) if (feature[i] >= 0) inner++;
  const threshold = step.floats("threshold", dtype, [inner]);
  for (let i = 0; i < inner; i++) if (threshold[i] !== threshold[i]) step.refuse(`has NaN in "threshold"`);
  const right = step.length("right", step.indexes("right", 0, feature.length), inner);
  const missing = step.choice("missing", MISSING, "error");
  const missingLeft = missing === "node" ? step.length("missing_left", step.indexes("missing_left", 0, 1), inner) : null;
  return { feature, start, threshold, right, missing, missingLeft, leafCount: feature.length - inner, ...readCategories(step, threshold) };
}

/** category: per inner node; sets: the category values, set s at sets.start[s] .. sets.start[s + 1] - 1. Null without categories. */
function readCategories(step, threshold) {
  if (!step.has("category")) return { category: null, sets: null };
  const values = step.tensor("set", "i64", INTEGERS, 1).data, start = step.indexes("set_start", 0, values.length);
  const category = step.length("category", step.indexes("category", -1, start.length - 1), threshold.length);
  if (start.length > 0 ? start[0] !== 0 : values.length > 0) step.refuse(`has category sets that do not start at 0`);
  for (let s = 0; s < start.length; s++) {
    const end = start[s + 1] ?? values.length;
    if (end < start[s]) step.refuse(`has "set_start" that does not ascend`);
    for (let i = start[s]; i < end; i++) {
      if (values[i] < 0 || (i > start[s] && values[i] <= values[i - 1])) step.refuse(`has a category set that is negative or does not ascend`);
    }
  }
  for (let i = 0; i < category.length; i++) if (category[i] >= 0 && threshold[i] !== 0) step.refuse(`has a category node whose threshold is not 0`);
  const ends = new Int32Array(start.length + 1).fill(values.length);
  ends.set(start);
  return { category, sets: { start: ends, values } };
}

/** The leaf values: [count * width], one row per leaf number. */
function readLeaves(step, acc, trees, leafCount) {
  const width = step.has("leaf_width") ? step.whole("leaf_width", 1, step.limits.rowElements) : 1;
  step.multiply(trees * width);
  if (!step.has("leaf_table")) return { width, rows: null, values: step.floats("leaf", acc, [leafCount * width]) };
  const values = step.tensor("leaf_table", acc, [acc], 1).data;
  if (values.length % width !== 0) step.refuse(`has ${values.length} elements in "leaf_table", which is not a multiple of ${width}`);
  const rows = step.length("leaf", step.indexes("leaf", 0, values.length / width - 1), leafCount);
  return { width, rows, values };
}

/** The width of the output, and per tree the column it adds to (null: all of them). */
function readTreeOutput(step, leaves, trees) {
  if (step.has("class")) {
    if (leaves.width !== 1) step.refuse(`has "class" with leaves of width ${leaves.width}; it needs width 1`);
    const size = step.whole("size", 1, step.limits.rowElements);
    return { width: size, classes: step.length("class", step.indexes("class", 0, size - 1), trees) };
  }
  if (step.has("size")) step.refuse(`has "size" without "class"`);
  return { width: leaves.width, classes: null };
}

/** The nodes of all trees in their new order, with what the careful walk needs besides. */
function packTrees(step, arrays, leaves, width, dtype) {
  const { feature, start, threshold, right, category, missingLeft } = arrays;
  const sizes = start.map((from, t) => (t + 1 < start.length ? start[t + 1] : feature.length) - from);
  const largest = sizes.reduce((most, size) => Math.max(most, size), 0);
  const count = feature.length + start.length; // one node of padding per tree, so that pairs begin at even places
  const nodes = NarrowNodes.fits(dtype, width, largest) ? new NarrowNodes(count) : new WideNodes(count);
  const bounds = step.choice("cmp", ["le", "lt"], "le") === "le" ? nextUp(threshold, dtype) : threshold;
  const nanRight = missingLeft === null ? null : new Uint8Array(count), set = category === null ? null : new Int32Array(count);
  const roots = new Int32Array(start.length), place = new Int32Array(largest), pending = [];
  let inner = 0, leaf = 0;
  for (let t = 0, base = 0; t < start.length; base += sizes[t++] + 1) {
    roots[t] = base;
    place[0] = base;
    for (let i = 0, pair = base + 2; i < sizes[t]; i++) {
      const column = feature[start[t] + i], at = place[i];
      if (column < 0) {
        nodes.setLeaf(at, leaves.rows === null ? leaf : leaves.rows[leaf], width);
        leaf++;
        if (i + 1 !== (pending.length > 0 ? pending.pop() : sizes[t])) step.refuse(`has a tree ${t} whose nodes are not one tree in preorder (node ${i})`);
        continue;
      }
      const r = right[inner];
      if (!(r > i + 1 && r < sizes[t])) step.refuse(`has a node ${i} of tree ${t} whose right child ${r} is not in ${i + 2}..${sizes[t] - 1}`);
      nodes.setInner(at, bounds[inner], column, pair - at);
      if (nanRight !== null) nanRight[at] = 1 - missingLeft[inner];
      if (set !== null) set[at] = category[inner] + 1;
      place[i + 1] = pair;
      place[r] = pair + 1;
      pair += 2;
      pending.push(r);
      inner++;
    }
  }
  return { nodes, roots, nanRight, set, sets: arrays.sets, missing: arrays.missing };
}

function runTrees(p, [input, sums], n, first) {
  const { nodes, roots, columns, init, leafValues, leafWidth, classes, shape: [width] } = p;
  const out = sums === undefined ? OPS.constant.run({ data: init }, [], n) : sums.slice();
  const { x, clean, careful } = arrangeRows(p, toFloat(input, p.rounded), n), stride = columns + 1;
  const done = kernels.addTrees !== null && kernels.addTrees(p, x, stride, clean, out);
  const leaves = new Int32Array(done ? 0 : clean.length), row = new Int32Array(1), leaf = new Int32Array(1);
  for (let t = 0; t < roots.length && !(done && careful.length === 0); t++) {
    const column = classes === null ? 0 : classes[t];
    if (!done) nodes.walk(x, stride, clean.length, roots[t], leaves);
    if (!done) addLeaves(out, clean, leaves, leafValues, leafWidth, width, column);
    for (let k = 0; k < careful.length; k++) {
      row[0] = careful[k];
      leaf[0] = walkCarefully(p, x, (clean.length + k) * stride, roots[t], first + careful[k]);
      addLeaves(out, row, leaf, leafValues, leafWidth, width, column);
    }
  }
  if (p.mean) for (let i = 0; i < out.length; i++) out[i] /= roots.length;
  return out;
}

/** The rows with one more column of -Infinity: those `clean` of NaN, which walk in step, then the `careful` ones; and the numbers of both. */
function arrangeRows({ nodes, columns, missing, set }, input, n) {
  const needsCare = new Uint8Array(n);
  let count = 0;
  for (let r = 0; r < n; r++) {
    let sum = 0; // NaN when, and nearly only when, an element is: inf - inf only costs time
    if (missing !== "left") for (let j = r * columns; j < (r + 1) * columns; j++) sum += input[j];
    needsCare[r] = Number(set !== null || sum !== sum);
    count += needsCare[r];
  }
  const stride = columns + 1, x = new nodes.Row(n * stride), clean = new Int32Array(n - count), careful = new Int32Array(count);
  for (let r = 0, i = 0, k = 0; r < n; r++) {
    const to = (needsCare[r] ? clean.length + k : i) * stride;
    for (let j = 0; j < columns; j++) x[to + j] = input[r * columns + j];
    x[to + columns] = -Infinity;
    if (needsCare[r]) careful[k++] = r;
    else clean[i++] = r;
  }
  return { x, clean, careful };
}

/** out[rows[i]][column ...] += the values of leaves[i]; the array rounds every sum to its dtype. */
function addLeaves(out, rows, leaves, values, leafWidth, width, column) {
  if (leafWidth === 1) {
    for (let i = 0; i < rows.length; i++) out[rows[i] * width + column] += values[leaves[i]];
    return;
  }
  for (let i = 0; i < rows.length; i++) {
    const to = rows[i] * width, from = leaves[i] * leafWidth;
    for (let j = 0; j < leafWidth; j++) out[to + j] += values[from + j];
  }
}

/** The leaf number of the row at x[at ...], with missing values and categories. */
function walkCarefully({ nodes, nanRight, set, sets, missing }, x, at, root, rowNumber) {
  for (let i = root; ;) {
    const step = nodes.step(i);
    if (step === 0) return nodes.leaf(i);
    const v = x[at + nodes.feature(i)];
    let right;
    if (v !== v) {
      if (missing === "error") refuse(`row ${rowNumber}: column ${nodes.feature(i)} is NaN, and a tree asks for it.`);
      right = nanRight !== null ? nanRight[i] : Number(missing === "right");
    } else {
      right = set !== null && set[i] > 0 ? Number(!inSet(sets, set[i] - 1, v)) : Number(v >= nodes.bound(i));
    }
    i += step + right;
  }
}

function inSet({ start, values }, s, v) {
  let low = start[s], high = start[s + 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] < v) low = middle + 1;
    else high = middle;
  }
  return low < start[s + 1] && values[low] == v; // also between a bigint and a number
}

// =============================================================================================================== Model

const BLOCK_ELEMENTS = 2 ** 22; // rows of a block times elements per row, at most
const BLOCK_ROWS = 4096;
const KEPT_GRAPHS = 4;
const OPERATIONS_PER_BYTE = 4096; // of the artifact, which replaying its carried rows may take beside the limit `work`
const NO_VECTORS = "The artifact carries no vectors, so nothing shows that its numbers are right; load it without verification to use it all the same.";
const ROLES = ["prediction", "probability", "score", "transform", "cluster", "anomaly"];
const HEADER_KEYS = ["format", "version", "requires", "inputs", "steps", "outputs"];

/** A document of ops of `table`, checked: nothing is left to be found out while predicting but NaN, missing and unknown categories, and lengths. */
class Plan {
  /** countBytes() is the size of the document's text. */
  constructor(document, table, limits, countBytes) {
    if (!(document instanceof Map)) refuse("The artifact is not a JSON object.");
    this.requires = readHeader(document, table);
    readObject(document, HEADER_KEYS, ["lengths", "verification"], "The artifact");
    this.version = document.get("version");
    this.limits = limits;
    this.inputs = readList(document.get("inputs"), `"inputs"`).map((node, i) => readInput(node, `input ${i}`, limits)); // shapes with named lengths
    this.lengths = readLengths(document, this.inputs); // Map: named length -> its example
    this.graphs = new Map(); // a few of those made last, by their lengths
    this.make = (lengths) => readGraph(document, this, table, lengths);
    this.memos = this.lengths.size === 0 ? null : []; // a Map per step
    this.graph(this.lengths);
    if (this.lengths.size === 0) this.make = null; // there is no other graph, and the document may go
    this.vectors = document.has("verification") ? readVectors(document.get("verification"), this, limits.carriedRows, `"verification"`) : null;
    document.delete("verification");
    if (this.vectors !== null) refuseWork(this.vectors.sets, this.graph(this.lengths).longest, limits.work, countBytes);
  }

  /** The graph for given lengths: types of inputs, steps, and outputs. */
  graph(lengths) {
    const all = [...this.lengths.keys()].map((name) => [name, lengths.get(name) ?? this.lengths.get(name)]), key = all.join();
    if (this.graphs.has(key)) return this.graphs.get(key);
    const graph = orRefused(() => this.make(new Map(all)));
    if (graph instanceof Refused) {
      if (this.graphs.size === 0) throw graph;
      refuse(`with ${all.slice(0, 5).map(([name, length]) => `${quote(name)} = ${length}`).join(", ")}: ${graph.message}`);
    }
    if (this.graphs.size >= KEPT_GRAPHS) this.graphs.delete(this.graphs.keys().next().value);
    this.graphs.set(key, graph);
    return graph;
  }

  /** The outputs, with null for a length that is another one with other named lengths. */
  describeOutputs() {
    const { outputs } = this.graph(this.lengths), others = this.lengths.size === 0 ? [] : (this.vectors?.sets ?? []).slice(0, KEPT_GRAPHS).map(({ lengths }) => lengths);
    if (this.lengths.size > 0) others.push(...[(x) => x + 1, (x) => 2 * x].map((change) => new Map(Array.from(this.lengths, ([name, x]) => [name, change(x)]))));
    const seen = others.map((lengths) => orRefused(() => this.graph(lengths).outputs)).filter((other) => !(other instanceof Refused));
    return outputs.map((output, k) => ({ ...output, shape: output.shape.map((x, i) => (seen.every((other) => other[k].shape[i] === x) ? x : null)) }));
  }
}

/** What `work` gives, or the refusal it throws. */
function orRefused(work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
}

/** Refuses sets of carried rows whose replay takes more operations than `work` and the size of the document allow. longest: code points of the longest string in steps. */
function refuseWork(sets, longest, work, countBytes) {
  for (const { inputs, outputs } of sets) for (const data of [...inputs.values(), ...outputs.values()]) if (Array.isArray(data)) longest = longestString(data, longest);
  const operations = sets.reduce((sum, set) => sum + set.operations + set.strings * longest, 0);
  if (operations <= work) return;
  const most = work + OPERATIONS_PER_BYTE * countBytes();
  if (!(operations <= most)) refuse(`Replaying the carried rows takes ${operations} operations, more than the limit of ${most} (limit work: ${work}, and ${OPERATIONS_PER_BYTE} for every byte of the artifact).`);
}

function readGraph(document, { inputs: declared, requires, limits, memos }, table, lengths) {
  const values = []; // value types with names; a value's slot is its index
  const slots = new Map();
  let rowElements = 0;
  const define = (name, type, where) => {
    if (slots.has(name)) refuse(`${where} defines the name ${quote(name)} a second time.`);
    if (type.shape.length > limits.rank) refuse(`${where} has rows of rank ${type.shape.length}, more than ${limits.rank} (limit rank).`);
    const counted = elementCount(type.shape.map((extent) => Math.max(1, extent))); // for limits an axis of length 0 counts as 1
    if (counted > limits.rowElements) refuse(`${where} has rows of ${counted} elements, more than ${limits.rowElements} (limit rowElements).`);
    rowElements += counted;
    if (rowElements > limits.totalRowElements) refuse(`All values of a row have more than ${limits.totalRowElements} elements (limit totalRowElements).`);
    slots.set(name, values.length);
    values.push({ name, counted, ...type });
  };
  const inputs = declared.map((input) => ({ ...input, ...valueType(input.dtype, input.shape.map((extent) => lengths.get(extent) ?? extent)) }));
  for (const input of inputs) define(input.name, input, `input ${quote(input.name)}`);
  const { steps, multiplications, strings, longest } = readSteps(document.get("steps"), requires, table, values, slots, define, limits, memos);
  const touched = steps.flatMap(({ from, slot }) => [...from, slot]).map((index) => values[index]), count = (sum, { counted }) => sum + counted;
  const operations = multiplications + MOVED * touched.reduce(count, 0), ofStrings = touched.filter(({ dtype }) => dtype === "str").reduce(count, strings);
  const outputs = readList(document.get("outputs"), `"outputs"`).map((node, i) => readOutput(node, `output ${i}`, values, slots));
  if (inputs.length === 0 || outputs.length === 0) refuse("The artifact has no input or no output.");
  refuseRepeats(outputs.map(({ name }) => name), `"outputs"`);
  const most = findLastUses(values, inputs.length, steps, outputs);
  return { lengths, inputs, steps, outputs, operations, longest, strings: ofStrings, blockRows: Math.max(1, Math.min(BLOCK_ROWS, Math.floor(BLOCK_ELEMENTS / Math.max(1, most)))) };
}

/** Puts into every step the slots that nothing needs behind it; the most elements of a row that exist at once. */
function findLastUses(values, inputCount, steps, outputs) {
  const needed = new Set(outputs.map(({ slot }) => slot));
  for (let i = steps.length; i-- > 0; ) {
    const touched = [...new Set([...steps[i].from, steps[i].slot])];
    steps[i].dead = touched.filter((slot) => !needed.has(slot));
    for (const slot of touched) needed.add(slot);
  }
  let now = values.slice(0, inputCount).reduce((sum, { width }) => sum + width, 0), most = now;
  for (const { slot, dead } of steps) {
    most = Math.max(most, (now += values[slot].width));
    for (const gone of dead) now -= values[gone].width;
  }
  return most;
}

/** Checks format and version, and returns the ops required. */
function readHeader(document, table) {
  if (document.get("format") !== "modelport") refuse(`The artifact does not say "format": "modelport".`);
  const version = document.get("version");
  if (typeof version !== "string" || !/^(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)$/.test(version)) refuse(`The artifact has no "version" such as "1.0".`);
  if (!version.startsWith("1.")) throw new Unsupported(`The artifact is of format version ${quote(version)}; this reader implements version 1.`);
  if (!document.has("requires")) refuse(`The artifact lacks the key "requires".`);
  const requires = readList(document.get("requires"), `"requires"`).map((op) => readText(op, `an entry of "requires"`));
  refuseRepeats(requires, `"requires"`);
  const unknown = requires.filter((op) => !(op in table));
  if (unknown.length > 0) {
    const listed = unknown.slice(0, 50).map(quote).join(", ") + (unknown.length > 50 ? `, and ${unknown.length - 50} more` : "");
    throw new Unsupported(`The artifact requires ops this reader does not implement: ${listed}.`);
  }
  return requires;
}

function refuseRepeats(names, where) {
  const seen = new Set();
  for (const name of names) {
    if (seen.has(name)) refuse(`${where} lists ${quote(name)} twice.`);
    seen.add(name);
  }
}

function readInput(node, where, limits) {
  readObject(node, ["name", "dtype", "shape"], ["missing", "features"], where);
  const name = readName(node.get("name"), `the name of ${where}`);
  const dtype = readChoice(node.get("dtype"), ["f64", "f32", "i64", "bool", "str"], `the dtype of ${where}`);
  const shape = readShape(node.get("shape"), limits, `the shape of ${where}`, true);
  const allowed = { float: ["error", "nan"], str: ["error", "null"] }[DTYPES[dtype].kind] ?? ["error"];
  const missing = node.has("missing") ? readChoice(node.get("missing"), allowed, `"missing" of ${where}`) : "error";
  let features = null;
  if (node.has("features")) {
    features = Object.freeze(readList(node.get("features"), `"features" of ${where}`).map((feature) => readText(feature, `a feature of ${where}`)));
    if (shape.length !== 1 || features.length !== shape[0]) refuse(`${where} has ${features.length} features for rows of shape ${showShape(shape)}.`);
    refuseRepeats(features, `"features" of ${where}`);
  }
  return { name, dtype, shape, missing, features };
}

/** Map: named length -> its example, in the order of the inputs. */
function readLengths(document, inputs) {
  const names = new Set(inputs.flatMap(({ shape }) => shape.filter((extent) => typeof extent === "string")));
  if (!document.has("lengths") && names.size === 0) return new Map();
  if (names.size === 0 || !document.has("lengths")) refuse(`The artifact has only one of "lengths" and inputs with named lengths, which go together.`);
  const read = (node, { name }) => readWhole(node, 1, 2 ** 20, `the length ${quote(name)}`);
  return readNamed(document.get("lengths"), Array.from(names, (name) => ({ name })), `"lengths"`, read);
}

/** Refuses a shape that is not `first` (if that is a number) and the expected row shape, whose names stand for `lengths` or new ones. */
function matchShape(first, expected, shape, lengths, where) {
  const fits = shape.length === expected.length + 1 && (typeof first !== "number" || shape[0] === first) && expected.every((extent, i) => {
    if (typeof extent === "number") return shape[i + 1] === extent;
    if (!lengths.has(extent) && shape[i + 1] >= 1) lengths.set(extent, shape[i + 1]);
    return shape[i + 1] === lengths.get(extent);
  });
  const meant = expected.map((extent) => (typeof extent === "number" ? extent : quote(extent) + (lengths.has(extent) ? ` = ${lengths.get(extent)}` : "")));
  if (!fits) refuse(`${where} has the shape ${showShape(shape)} instead of ${showShape([first, ...meant])}.`);
}

function readOutput(node, where, values, slots) {
  readObject(node, ["name", "from", "dtype", "role"], ["classes"], where);
  const name = readName(node.get("name"), `the name of ${where}`), from = readText(node.get("from"), `"from" of ${where}`);
  if (!slots.has(from)) refuse(`${where} comes from ${quote(from)}, which is not defined.`);
  const slot = slots.get(from), { dtype, shape, width } = values[slot];
  if (node.get("dtype") !== dtype) refuse(`${where} does not have the dtype of ${quote(from)}, which is ${dtype}.`);
  const role = readChoice(node.get("role"), ROLES, `the role of ${where}`);
  const classes = node.has("classes") ? readClasses(node.get("classes"), `"classes" of ${where}`) : null;
  if (classes !== null && shape.length > 0 && classes.length !== shape[shape.length - 1]) {
    refuse(`${where} has ${classes.length} classes for rows of shape ${showShape(shape)}.`);
  }
  return { name, role, classes, slot, dtype, shape, width };
}

/** Strings, integers or booleans, all of one kind. */
function readClasses(node, where) {
  const classes = readList(node, where).map((x) => (x instanceof Num ? readWhole(x, -SAFE, SAFE, `an element of ${where}`) : x));
  const kind = typeof classes[0];
  if (classes.some((x) => typeof x !== kind || x === null || kind === "object")) refuse(`${where} are not all strings, all integers or all booleans.`);
  return Object.freeze(classes);
}

/** {steps, ...}, see StepReader's budget: {op, where, check's result, slots of the inputs, slot of the value} per step, and those of a row in all steps. memos: null, or per step what is kept for other lengths. */
function readSteps(node, requires, table, values, slots, define, limits, memos) {
  const nodes = readList(node, `"steps"`), used = new Set(), budget = { kept: 0, multiplications: 0, strings: 0, longest: 0 };
  if (nodes.length > limits.steps) refuse(`The artifact has ${nodes.length} steps, more than ${limits.steps} (limit steps).`);
  const steps = nodes.map((stepNode, i) => {
    if (!(stepNode instanceof Map)) refuse(`step ${i} is not a JSON object.`);
    const op = readText(stepNode.get("op"), `"op" of step ${i}`), where = `step ${i} (${quote(op)})`;
    if (!requires.includes(op)) refuse(`${where} uses an op that "requires" does not list.`);
    used.add(op);
    const from = readList(stepNode.get("in"), `"in" of ${where}`).map((name) => {
      if (!slots.has(readText(name, `an input of ${where}`))) refuse(`${where} takes ${quote(name)}, which is not defined before it.`);
      return slots.get(name);
    });
    const out = readName(stepNode.get("out"), `"out" of ${where}`);
    const types = from.map((slot) => values[slot]), params = checkStep(table[op], new StepReader(stepNode, types, where, limits, budget, memos === null ? null : (memos[i] ??= new Map())));
    define(out, valueType(params.dtype, params.shape), where);
    return { run: table[op].run, params, from, slot: slots.get(out), where };
  });
  for (const op of requires) if (!used.has(op)) refuse(`"requires" lists ${quote(op)}, which no step uses.`);
  return { steps, ...budget };
}

/** What the op's check finds; what it found last, when the inputs are of the same types as then. */
function checkStep(op, step) {
  const types = step.inputs.map(({ dtype, shape }) => `${dtype}${showShape(shape)}`).join(), last = step.memo?.get("checked"), { budget } = step;
  if (last?.types === types) {
    step.keep(last.kept);
    step.multiply(last.multiplications);
    step.search(last.strings);
    return last.params;
  }
  const before = { ...budget }, params = op.check(step);
  step.finish();
  step.memo?.set("checked", { types, params, kept: budget.kept - before.kept, multiplications: budget.multiplications - before.multiplications, strings: budget.strings - before.strings });
  return params;
}

/** A verification object: {rows, sets: [{rows, lengths, operations, strings, inputs, outputs}], tolerance}, Maps by name. */
function readVectors(node, plan, mostRows, where) {
  readObject(node, ["source", "inputs", "outputs", "tolerance"], ["rows", "more"], where);
  readChoice(node.get("source"), ["synthetic", "sample"], `"source" of ${where}`);
  const more = node.has("more") ? readList(node.get("more"), `"more" of ${where}`) : null;
  if (more?.length === 0) refuse(`"more" of ${where} is empty.`);
  const parts = [[node, where], ...(more ?? []).map((part, i) => [readObject(part, ["inputs", "outputs"], ["rows"], `set ${i} of "more" of ${where}`), `set ${i} of "more" of ${where}`])];
  let rows = 0;
  const sets = parts.map(([part, place]) => {
    const set = readSet(part, plan, place);
    rows += set.rows;
    if (!(set.rows >= 1 && rows <= mostRows)) refuse(`${place} has ${set.rows} rows; every set has one, and all sets together at most ${mostRows} (limit carriedRows).`);
    return set;
  });
  return { rows, sets, tolerance: readNamed(node.get("tolerance"), plan.graph(plan.lengths).outputs, `"tolerance" of ${where}`, readTolerance) };
}

function readSet(node, plan, where) {
  const lengths = new Map();
  let rows = null;
  const read = (group, values) => readNamed(node.get(group), values, `"${group}" of ${where}`, (tensorNode, { name, dtype, shape }) => {
    const label = `${quote(name)} in "${group}" of ${where}`, tensor = readTensor(tensorNode, dtype, [dtype], plan.limits, label);
    if (tensor.shape.length === 0) refuse(`${label} has no batch axis.`);
    rows = rows ?? tensor.shape[0];
    matchShape(rows, shape, tensor.shape, lengths, label);
    return tensor.data;
  });
  const inputs = read("inputs", plan.inputs), graph = plan.graph(lengths), outputs = read("outputs", graph.outputs);
  if (node.has("rows")) {
    const reasons = readList(node.get("rows"), `"rows" of ${where}`).map((reason) => readText(reason, `an element of "rows" of ${where}`));
    if (reasons.length !== rows) refuse(`"rows" of ${where} has ${reasons.length} elements for ${rows} rows.`);
  }
  return { rows, lengths, operations: rows * graph.operations, strings: rows * graph.strings, inputs, outputs };
}

/** {atol, rtol} or {ulp}; "exact" is {atol: 0, rtol: 0}. */
function readTolerance(node, { name }) {
  const where = `the tolerance of ${quote(name)}`;
  if (node === "exact") return { atol: 0, rtol: 0, text: "exact" };
  const keys = node instanceof Map && node.has("ulp") ? ["ulp"] : ["atol", "rtol"];
  readObject(node, keys, [], where);
  const tolerance = { text: "" };
  for (const key of keys) {
    const number = node.get(key);
    if (!(number instanceof Num && number.value >= 0 && (key !== "ulp" || (number.integral && number.value <= SAFE)))) {
      refuse(`${quote(key)} in ${where} is not ${key === "ulp" ? "an integer" : "a number"} from 0 on.`);
    }
    tolerance[key] = number.value;
    tolerance.text += `${tolerance.text === "" ? "" : ", "}${key} ${number.value}`;
  }
  return tolerance;
}

/** One output of a set of the vectors against what the model gives: {worst, problem}. */
function compareOutput({ name, dtype, width }, got, expected, tolerance, place) {
  const float = DTYPES[dtype].kind === "float";
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    if (got[i] == expected[i] || (float && got[i] !== got[i] && expected[i] !== expected[i])) continue; // == also compares a number with a bigint
    const difference = float ? Math.abs(got[i] - expected[i]) : NaN;
    if (!(float && within(got[i], expected[i], difference, tolerance, dtype))) {
      const [now, then] = [got[i], expected[i]].map(quoteElement), text = float ? tolerance.text : "exact";
      return { worst, problem: `output ${quote(name)} is ${now} in ${place}row ${Math.floor(i / width)}, column ${i % width}; the vectors say ${then} (${text})` };
    }
    worst = Math.max(worst, difference);
  }
  return { worst, problem: null };
}

/** {name, ok, rows, message} per output. */
function replay(plan, { rows, sets, tolerance }) {
  const reports = plan.graph(plan.lengths).outputs.map(({ name, dtype }) => ({ name, dtype, worst: 0, problem: null }));
  sets.forEach((set, i) => {
    const graph = plan.graph(set.lengths), place = i === 0 ? "" : `set ${i - 1} of "more", `;
    for (const input of graph.inputs) checkMissing(set.inputs.get(input.name), input);
    const arrays = execute(graph, set.rows, set.inputs);
    graph.outputs.forEach((output, k) => {
      const { worst, problem } = compareOutput(output, arrays[k], set.outputs.get(output.name), tolerance.get(output.name), place);
      reports[k].worst = Math.max(reports[k].worst, worst);
      reports[k].problem ??= problem;
    });
  });
  return reports.map(({ name, dtype, worst, problem }) => {
    const text = DTYPES[dtype].kind === "float" ? `${tolerance.get(name).text}; largest difference ${worst}` : "exact";
    return { name, ok: problem === null, rows, message: problem ?? `output ${quote(name)} agrees in ${rows} rows (${text})` };
  });
}

const quoteElement = (x) => (typeof x === "string" ? quote(x) : String(x));

function within(got, expected, difference, { atol, rtol, ulp }, dtype) {
  if (!Number.isFinite(got) || !Number.isFinite(expected)) return false;
  return ulp === undefined ? difference <= atol + rtol * Math.abs(expected) : ulpDistance(got, expected, dtype) <= ulp;
}

/** How many floats of `dtype` lie between a and b, plus one. */
function ulpDistance(a, b, dtype) {
  const floats = allocate(dtype, 2);
  floats.set([a, b]);
  const bits = dtype === "f64" ? new BigInt64Array(floats.buffer) : new Int32Array(floats.buffer);
  const least = dtype === "f64" ? -(2n ** 63n) : -(2n ** 31n);
  const [i, j] = Array.from(bits, (word) => (word < 0 ? least - BigInt(word) : BigInt(word)));
  return Number(i > j ? i - j : j - i);
}

/** Rows that fit a model: one array per input. */
class Rows {
  /** graph: of the rows' lengths; columns: Map, input name -> array */
  constructor(plan, graph, count, columns) { Object.freeze(Object.assign(this, { plan, graph, count, columns })); }
}

/** Rows from named data: whole(name, input) and column(name, input) read the names in keys as {shape, data}; without rows a shape may be null. */
function gatherRows(plan, keys, whole, column) {
  const left = new Set(keys), columns = new Map(), lengths = new Map();
  let count = null;
  const agree = ({ shape, data }, name, expected, isColumn = false) => {
    const where = `The input ${quote(name)}`, rows = shape === null ? 0 : shape[0];
    if (shape !== null && !(isColumn && shape.length === 2 && shape[1] === 1)) matchShape("rows", expected, shape, lengths, where);
    count = count ?? rows;
    if (rows !== count) refuse(`${where} has ${rows} rows; the inputs before it have ${count}.`);
    return data;
  };
  for (const input of plan.inputs) {
    if (left.delete(input.name)) {
      columns.set(input.name, agree(whole(input.name, input), input.name, input.shape));
    } else if (input.features !== null && input.features.length > 0 && input.features.some((feature) => left.has(feature))) {
      const parts = input.features.map((feature) => {
        if (!left.delete(feature)) refuse(`The column ${quote(feature)} of the input ${quote(input.name)} is missing.`);
        return agree(column(feature, input), feature, [], true);
      });
      columns.set(input.name, interleave(parts, count));
    } else {
      refuse(`The input ${quote(input.name)} is missing.`);
    }
  }
  for (const key of left) refuse(`The model has no input ${quote(key)}.`);
  const graph = plan.graph(lengths);
  for (const input of graph.inputs) checkMissing(columns.get(input.name), input);
  return new Rows(plan, graph, count, columns);
}

/** One matrix, row-major, from its columns. */
function interleave(parts, count) {
  const columns = align(parts), width = columns.length, out = emptyLike(columns[0], count * width);
  for (let j = 0; j < width; j++) for (let r = 0; r < count; r++) out[r * width + j] = columns[j][r];
  return out;
}

function checkMissing(data, { name, dtype, width, missing }) {
  if (missing !== "error" || !["float", "str"].includes(DTYPES[dtype].kind)) return;
  for (let i = 0; i < data.length; i++) {
    if (data[i] !== data[i] || data[i] === null) {
      refuse(`Row ${Math.floor(i / width)} of the input ${quote(name)} is missing (${data[i]}); the model does not accept that.`);
    }
  }
}

/** Rows from the JSON a program is fed with (docs/format.md, section 11). */
function readRowsJson(plan, source) {
  const document = parseJson(source, plan.limits, "The JSON of the rows");
  const inputs = readObject(document, ["inputs"], [], "The JSON of the rows").get("inputs");
  if (!(inputs instanceof Map)) refuse(`"inputs" of the rows is not a JSON object.`);
  const read = (name, { dtype }) => readTensor(inputs.get(name), dtype, [dtype], plan.limits, `The input ${quote(name)}`);
  return gatherRows(plan, inputs.keys(), read, read);
}

/** Rows from JavaScript values: an object of columns, an array of records, or the rows of the only input. */
function readRowsHost(plan, given) {
  if (given instanceof Rows) return given.plan === plan ? given : refuse("The rows were read for another model.");
  if (Array.isArray(given) && given.length > 0 && isRecord(given[0])) return readRowsHost(plan, columnsOf(given));
  if (isList(given)) {
    if (plan.inputs.length !== 1) refuse(`The model has ${plan.inputs.length} inputs; name them.`);
    return readRowsHost(plan, Object.fromEntries([[plan.inputs[0].name, given]]));
  }
  if (!isRecord(given)) refuse("The rows are neither an object of columns nor an array.");
  const whole = (name, { dtype, shape }) => hostPart(given[name], dtype, shape, name), column = (name, { dtype }) => hostPart(given[name], dtype, [], name);
  return gatherRows(plan, Object.keys(given), whole, column);
}

const isList = (x) => Array.isArray(x) || (ArrayBuffer.isView(x) && !(x instanceof DataView));
const isRecord = (x) => typeof x === "object" && x !== null && !isList(x);

/** {column: values} from records, which all have the same keys. */
function columnsOf(records) {
  const keys = Object.keys(records[0]), columns = keys.map(() => new Array(records.length));
  records.forEach((record, r) => {
    if (!isRecord(record) || Object.keys(record).length !== keys.length) refuse(`Record ${r} does not have the keys of the first one.`);
    keys.forEach((key, k) => {
      if (!Object.hasOwn(record, key)) refuse(`Record ${r} lacks ${quote(key)}.`);
      columns[k][r] = record[key];
    });
  });
  return Object.fromEntries(keys.map((key, k) => [key, columns[k]]));
}

/** {shape, data}, batch axis first, from {shape, data}, from nested lists, or from a flat list whose rows have one element or, typed, a known length. */
function hostPart(given, dtype, shape, name) {
  const where = `The input ${quote(name)}`;
  if (isRecord(given) && Array.isArray(given.shape) && isList(given.data)) {
    const fits = given.shape.length > 0 && given.shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0) && given.data.length === elementCount(given.shape);
    if (!fits) refuse(`${where} has the shape ${showShape(given.shape)}, and ${given.data.length} elements.`);
    return { shape: given.shape, data: hostElements(given.data, dtype, where) };
  }
  if (!isList(given)) refuse(`${where} is not an array.`);
  const width = shape.every(Number.isInteger) ? elementCount(shape) : NaN, typed = !Array.isArray(given), nested = given.length > 0 && isList(given[0]);
  if (nested || given.length === 0) {
    const { list, lengths } = flatten(given, where);
    return { shape: nested ? lengths : null, data: hostElements(list, dtype, where) };
  }
  if (!(width === 1 || (typed && width > 0 && given.length % width === 0))) refuse(`${where} is flat; its shape is [rows${shape.map((extent) => `, ${typeof extent === "number" ? extent : quote(extent)}`).join("")}].`);
  return { shape: [given.length / width, ...shape], data: hostElements(given, dtype, where) };
}

/** The elements of nested lists in order, and the lengths of the lists at each depth. */
function flatten(given, where) {
  const lengths = [], list = [];
  for (let part = given; isList(part) && lengths.length < 10; part = part[0]) lengths.push(part.length);
  const add = (part, depth) => {
    if (!isList(part) || part.length !== lengths[depth]) refuse(`${where} is ragged: it has no array of ${lengths[depth]} elements where the first row has one.`);
    for (let i = 0; i < part.length; i++) depth + 1 === lengths.length ? list.push(part[i]) : add(part[i], depth + 1);
  };
  add(given, 0);
  return { list, lengths };
}

/** JavaScript values as an array of `dtype`; booleans count as 0 and 1 where floats are expected. */
function hostElements(list, dtype, where) {
  const { kind, array } = DTYPES[dtype];
  if (kind === "float" && list instanceof array) return list;
  const out = Array.from(list, HOST_READERS[kind](dtype, where));
  return dtype === "i64" ? fromIntegers(out) : kind === "str" ? out : array.from(out);
}

const HOST_READERS = {
  float: (dtype, where) => (x, i) => {
    if (typeof x !== "number" && typeof x !== "boolean") refuse(`${where} has ${quote(x)} at position ${i}, which is not a number.`);
    if (dtype === "f32" && Number.isFinite(x) && !Number.isFinite(Math.fround(x))) refuse(`${where} has ${x} at position ${i}, which overflows f32.`);
    return Number(x);
  },
  int: (dtype, where) => (x, i) => {
    if (typeof x !== "bigint" && !Number.isSafeInteger(x)) refuse(`${where} has ${quote(x)} at position ${i}, which is not a safe integer or a bigint.`);
    if (!(x >= DTYPES[dtype].least && x <= DTYPES[dtype].most)) refuse(`${where} has ${x} at position ${i}, which is out of the range of ${dtype}.`);
    return typeof x === "bigint" ? x : x + 0;
  },
  bool: (dtype, where) => (x, i) => {
    if (typeof x !== "boolean" && x !== 0 && x !== 1) refuse(`${where} has ${quote(x)} at position ${i}, which is not true or false.`);
    return Number(x);
  },
  str: (dtype, where) => (x, i) => {
    if (typeof x !== "string" && x !== null) refuse(`${where} has ${quote(x)} at position ${i}, which is not a string.`);
    return x;
  },
};

/** The outputs of a graph for `count` rows that were checked: one array per output. */
function execute({ inputs, steps, outputs, blockRows }, count, columns) {
  const parts = outputs.map(() => []), whole = inputs.map(({ name }) => columns.get(name));
  for (let first = 0; first < count || parts[0].length === 0; first += blockRows) {
    const n = Math.min(blockRows, count - first);
    const values = whole.map((data, i) => slicePart(data, first * inputs[i].width, (first + n) * inputs[i].width));
    for (const step of steps) {
      values[step.slot] = runStep(step, values, n, first);
      for (const slot of step.dead) values[slot] = null;
    }
    outputs.forEach(({ slot }, k) => parts[k].push(values[slot]));
  }
  return outputs.map(({ width, dtype }, k) => {
    const aligned = align(parts[k]);
    return joinArrays(dtype === "str" ? Array : aligned[0].constructor, aligned, count * width);
  });
}

const slicePart = (data, from, to) => (Array.isArray(data) ? data.slice(from, to) : data.subarray(from, to));

function runStep({ run, params, from, where }, values, n, first) {
  const value = orRefused(() => run(params, from.map((slot) => values[slot]), n, first));
  return value instanceof Refused ? refuse(`${where}: ${value.message}`) : value;
}

/** One output: {dtype, shape, data}, row-major. */
class Tensor {
  constructor(dtype, shape, data) { Object.freeze(Object.assign(this, { dtype, shape: Object.freeze(shape), data })); }

  /** Nested arrays, one depth per axis; bool as true and false. */
  toArray() {
    let list = Array.from(this.data, this.dtype === "bool" ? Boolean : identity);
    for (let axis = this.shape.length - 1; axis > 0; axis--) {
      const flat = list, length = this.shape[axis];
      list = Array.from({ length: elementCount(this.shape.slice(0, axis)) }, (_, i) => flat.slice(i * length, (i + 1) * length));
    }
    return list;
  }
}

/** A loaded model. It never changes, and keeps nothing between calls. */
class Model {
  #plan;

  constructor(plan) {
    this.#plan = plan;
    Object.freeze(this);
  }

  inputs() {
    return this.#plan.inputs.map(({ name, dtype, shape, missing, features }) => {
      const input = { name, dtype, shape: [...shape], missing };
      return features === null ? input : { ...input, features: [...features] };
    });
  }

  outputs() {
    return this.#plan.describeOutputs().map(({ name, dtype, shape, role, classes }) => {
      const output = { name, dtype, shape: [...shape], role };
      return classes === null ? output : { ...output, classes: [...classes] };
    });
  }

  info() {
    const { version, requires, vectors, lengths } = this.#plan, carriedRows = vectors === null ? 0 : vectors.rows, common = { format: "modelport", version };
    const inputs = this.inputs(), named = lengths.size === 0 ? {} : { lengths: Object.fromEntries(lengths) };
    return { ...common, inputs, ...named, outputs: this.outputs(), ops: [...requires].sort(), carriedRows };
  }

  /** {output name: Tensor} for rows as an object of columns, an array of records, or the rows of the only input. */
  predict(rows) {
    return guarded("The prediction", () => {
      const { graph, count, columns } = readRowsHost(this.#plan, rows), arrays = execute(graph, count, columns);
      return Object.fromEntries(graph.outputs.map(({ name, dtype, shape }, k) => [name, new Tensor(dtype, [count, ...shape], arrays[k])]));
    });
  }

  /** Rows for predict from the JSON of docs/format.md, section 11. */
  readRows(source) { return readRowsJson(this.#plan, source); }

  /** Replays the carried vectors, or those of `source` (the JSON of a verification object): {ok, rows, outputs: [{name, ok, rows, message}], message}. */
  verify(source) {
    const plan = this.#plan;
    const vectors = source === undefined ? plan.vectors : readVectors(parseJson(source, plan.limits, "The vectors"), plan, Infinity, "the vectors");
    if (vectors === null) refuse(NO_VECTORS);
    const outputs = guarded("The replay", () => replay(plan, vectors));
    const wrong = outputs.find(({ ok }) => !ok), message = wrong === undefined ? "" : `The numbers do not match the vectors: ${wrong.message}.`;
    return { ok: wrong === undefined, rows: vectors.rows, outputs, message };
  }
}

/**
 * A Model from an artifact (a string, or its bytes). It throws Refused, Unsupported or, when the replay of the carried vectors fails,
 * Mismatch. options.verify = false leaves the replay out; options.limits raises limits (see DEFAULT_LIMITS); options.ops is a further
 * table of ops, the one of modelport_more.js.
 */
function load(source, options = {}) {
  const limits = Object.freeze({ ...DEFAULT_LIMITS, ...options.limits }), table = { __proto__: null, ...options.ops, ...OPS };
  const model = guarded("The artifact", () => new Model(new Plan(parseJson(source, limits, "The artifact"), table, limits, () => countBytes(source))));
  if (options.verify !== false) {
    const report = model.verify();
    if (!report.ok) throw new Mismatch(report.message);
  }
  return model;
}

/** The pieces of a Response, a Blob, a ReadableStream or an iterable. */
async function* piecesOf(source) {
  const stream = typeof source?.stream === "function" ? source.stream() : source?.body ?? source;
  if (typeof stream?.getReader === "function") {
    const reader = stream.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } else if (stream?.[Symbol.asyncIterator] !== undefined || stream?.[Symbol.iterator] !== undefined) {
    yield* stream;
  } else {
    refuse("The artifact is no Response, no Blob, and nothing that gives pieces of bytes.");
  }
}

/** A promise of the Model of an artifact that comes in pieces of bytes: a Response, a Blob, a stream, an iterable. Options are those of load. */
async function loadFrom(source, options = {}) {
  if (typeof source === "string" || source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return load(source, options);
  if (source?.ok === false) refuse(`The artifact did not come: the server answered with the status ${source.status}.`);
  const most = options.limits?.bytes ?? DEFAULT_LIMITS.bytes, pieces = [];
  let length = 0;
  for await (const piece of piecesOf(source)) {
    if (!(piece instanceof ArrayBuffer) && !ArrayBuffer.isView(piece)) refuse("A piece of the artifact is not bytes; read the stream without an encoding.");
    const bytes = piece instanceof ArrayBuffer ? new Uint8Array(piece) : new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
    length += bytes.length;
    if (length > most) refuse(`The artifact is larger than ${most} bytes (limit bytes).`);
    pieces.push(bytes);
  }
  return load(joinArrays(Uint8Array, pieces, length), options);
}

/** What predict returned, as the JSON of docs/format.md, section 11, in pieces. */
function* encode(outputs) {
  yield `{"outputs":{`;
  let separator = "";
  for (const [name, tensor] of Object.entries(outputs)) {
    yield `${separator}${JSON.stringify(name)}:`;
    yield* encodeTensor(tensor);
    separator = ",";
  }
  yield "}}\n";
}

/** The ops this reader implements, with those of a further table, sorted. */
function ops(more = {}) { return Object.keys({ ...OPS, ...more }).sort(); }

/** What modelport_more.js and modelport_nn.js share with this file; no part of the interface. */
const internals = Object.freeze({
  COSTLY, DTYPES, FLOATS, INTEGERS, UNARY, addLeaves, align, allocate, broadcastShapes, checkLastAxis, checkRow, dot, elementCount, emptyLike, erf, exp, identity, isWellFormed, kernels, multiplyRows,
  pick, pow, quote, refuse, sameShape, showShape, sigmoid, spread, stridesOf, toFloat,
});

return Object.freeze({ load, loadFrom, encode, ops, Model, Tensor, ModelportError, Refused, Mismatch, Unsupported, DEFAULT_LIMITS, internals });
});
