// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Faster kernels for modelport.js, with the same bits: put this file beside it and load it once, before predicting.
//
//     require("./modelport_fast.js");          // or: import "./modelport_fast.js"; or a classic <script> behind the one of modelport.js
//
// It compiles a WebAssembly module of about three kilobytes, written below as nested arrays, and hands its kernels to modelport.js: walks through
// deep trees, bit vectors for trees of at most 64 leaves, and tiles of sums for matrix products and distances. Where there is no WebAssembly with
// 128-bit vectors (or a page forbids it), nothing happens: `active` is false, and modelport.js does the same work by itself.

(function (root, factory) {
  "use strict";
  if (typeof module === "object" && module !== null && module.exports) module.exports = factory(require("./modelport.js"));
  else root.modelportFast = factory(root.modelport);
})(typeof globalThis === "object" ? globalThis : this, function (modelport) {
"use strict";

if (!modelport) throw new Error("modelport_fast.js needs modelport.js, loaded before it");

const { addLeaves, kernels } = modelport.internals;

// =========================================================================================================== Assembler

// An expression is the name of a local, a number (i32.const), or [instruction, ...operands]. Instructions that touch memory have the offset in
// front of their operands. ["set", local, value] sets a local; ["while", condition, ...statements] repeats the statements, the first time in any case.

const INSTRUCTIONS = {
  __proto__: null,
  "i32.load": [0x28], "f32.load": [0x2a], "f64.load": [0x2b], "i32.load8_u": [0x2d], "i32.store": [0x36], "f64.store": [0x39],
  "i32.lt_u": [0x49], "i32.add": [0x6a], "i32.and": [0x71], "i32.or": [0x72], "i32.shl": [0x74], "i32.shr_u": [0x76],
  "f32.ge": [0x60], "f64.ge": [0x66], "f64.add": [0xa0], "f32.demote_f64": [0xb6], "f64.promote_f32": [0xbb],
  "v128.load": [0xfd, 0x00], "v128.load8_splat": [0xfd, 0x07], "v128.load16_splat": [0xfd, 0x08], "v128.load64_splat": [0xfd, 0x0a],
  "v128.store": [0xfd, 0x0b], "i8x16.splat": [0xfd, 0x0f], "i8x16.ne": [0xfd, 0x24], "i8x16.gt_u": [0xfd, 0x28], "i16x8.gt_u": [0xfd, 0x32],
  "v128.and": [0xfd, 0x4e], "v128.andnot": [0xfd, 0x4f], "v128.bitselect": [0xfd, 0x52], "i8x16.popcnt": [0xfd, 0x62],
  "i8x16.narrow_i16x8_s": [0xfd, 0x65], "i8x16.add": [0xfd, 0x6e], "i8x16.sub": [0xfd, 0x71],
  "f64x2.abs": [0xfd, 0xec, 0x01], "f64x2.add": [0xfd, 0xf0, 0x01], "f64x2.sub": [0xfd, 0xf1, 0x01], "f64x2.mul": [0xfd, 0xf2, 0x01],
};
const I32 = 0x7f, V128 = 0x7b, EMPTY = 0x40;

/** LEB128: of a number that is not negative, and of any i32. */
const unsigned = (x) => (x < 128 ? [x] : [(x & 127) | 128, ...unsigned(x >>> 7)]);
const signed = (x) => (x >= -64 && x < 64 ? [x & 127] : [(x & 127) | 128, ...signed(x >> 7)]);
const vector = (items) => [...unsigned(items.length), ...items.flat()];

/** The bytes of an expression. */
function assemble(node, names) {
  if (typeof node === "string") return [0x20, names.indexOf(node)];
  if (typeof node === "number") return [0x41, ...signed(node)];
  const [name, ...operands] = node, bytes = (part) => assemble(part, names);
  if (name === "set") return [...bytes(operands[1]), 0x21, names.indexOf(operands[0])];
  if (name === "while") return [0x03, EMPTY, ...operands.slice(1).flatMap(bytes), ...bytes(operands[0]), 0x0d, 0, 0x0b];
  const touches = /load|store/.test(name), [offset, ...values] = touches ? operands : [0, ...operands];
  return [...values.flatMap(bytes), ...INSTRUCTIONS[name], ...(touches ? [0, ...unsigned(offset)] : [])];
}

/** A module of functions {name: {parameters, integers, vectors, body}} that take i32 and return nothing; it imports its memory. */
function assembleModule(functions) {
  const list = Object.entries(functions), section = (id, content) => [id, ...unsigned(content.length), ...content];
  const text = (name) => vector(Array.from(name, (letter) => letter.charCodeAt(0)));
  const code = ({ parameters, integers = [], vectors = [], body }) => {
    const names = [...parameters, ...integers, ...vectors];
    const locals = vector([[...unsigned(integers.length), I32], [...unsigned(vectors.length), V128]]);
    const bytes = [...locals, ...body.flatMap((statement) => assemble(statement, names)), 0x0b];
    return [...unsigned(bytes.length), ...bytes];
  };
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, vector(list.map(([, { parameters }]) => [0x60, ...vector(parameters.map(() => I32)), 0]))),
    ...section(2, vector([[...text("host"), ...text("memory"), 2, 0, 1]])),
    ...section(3, vector(list.map((_, i) => i))),
    ...section(7, vector(list.map(([name], i) => [...text(name), 0, i]))),
    ...section(10, vector(list.map(([, one]) => code(one)))),
  ]);
}

const count = (n) => Array.from({ length: n }, (_, i) => i);
const forward = (local, step) => ["set", local, ["i32.add", local, step]];

// ============================================================================================================= Kernels

/**
 * Writes to `leaves` the leaf numbers of the rows at x up to `end`, eight at a time, in the tree at `root`; `stride`: bytes of a row. Nodes are
 * those of modelport.js: 8 bytes (f32 bound, step << 8 | feature) or 16 bytes (f64 bound, feature, step).
 */
function walkKernel(wide) {
  const float = wide ? "f64" : "f32", rows = count(8), [shift, nodeShift] = wide ? [3, 4] : [2, 3];
  const step = (r) => {
    const feature = wide ? ["i32.load", 8, `n${r}`] : ["i32.and", "word", 255], places = wide ? "word" : ["i32.shr_u", "word", 8];
    const right = [`${float}.ge`, [`${float}.load`, 0, ["i32.add", `x${r}`, ["i32.shl", feature, shift]]], [`${float}.load`, 0, `n${r}`]];
    return [
      ["set", "word", ["i32.load", wide ? 12 : 4, `n${r}`]],
      ["set", "any", r === 0 ? "word" : ["i32.or", "any", "word"]],
      forward(`n${r}`, ["i32.shl", ["i32.add", places, right], nodeShift]),
    ];
  };
  return {
    parameters: ["x", "end", "stride", "root", "leaves"],
    integers: ["word", "any", ...rows.map((r) => `n${r}`), ...rows.map((r) => `x${r}`)],
    body: [["while", ["i32.lt_u", "x", "end"],
      ["set", "x0", "x"], ...rows.slice(1).map((r) => ["set", `x${r}`, ["i32.add", `x${r - 1}`, "stride"]]),
      ...rows.map((r) => ["set", `n${r}`, "root"]),
      ["while", wide ? "any" : ["i32.shr_u", "any", 8], ...rows.flatMap(step)],
      ...rows.map((r) => ["i32.store", 4 * r, "leaves", ["i32.load", 0, `n${r}`]]),
      forward("leaves", 32), ["set", "x", ["i32.add", "x7", "stride"]]]],
  };
}

const RECORD = 8; // bytes of a node in front of its planes: u32 offset of its column, u16 rank; see bitsOf

/**
 * Writes to `places` (one byte per row) the leaf of each of `rows` rows in one tree: the lowest bit left when every node of `first` .. `end` whose bound
 * a row reaches has taken the leaves of its left subtree away. Eight leaves make a plane: a byte per row. ranks: [column][row] of `size` bytes.
 */
function bitsKernel(planes, size) {
  const groups = planes <= 4 ? [0, 1] : [0], all = count(planes), step = 16 * groups.length;
  const rank = ["i32.add", "ranks", ["i32.load", 0, "node"]];
  const half = (g, k) => ["i16x8.gt_u", ["v128.load", 32 * g + 16 * k, rank], ["v128.load16_splat", 4, "node"]];
  const reached = (g) => size === 1 ? ["i8x16.gt_u", ["v128.load", 16 * g, rank], ["v128.load8_splat", 4, "node"]] : ["i8x16.narrow_i16x8_s", half(g, 0), half(g, 1)];
  const lowest = (g) => [ // the lowest bit of the first plane that is not empty
    ["set", "bits", `p${g}${planes - 1}`], ["set", "base", ["i8x16.splat", 8 * (planes - 1)]],
    ...all.slice(0, -1).reverse().flatMap((k) => [
      ["set", "right", ["i8x16.ne", `p${g}${k}`, ["i8x16.splat", 0]]],
      ["set", "bits", ["v128.bitselect", `p${g}${k}`, "bits", "right"]],
      ["set", "base", ["v128.bitselect", ["i8x16.splat", 8 * k], "base", "right"]]]),
    ["v128.store", 16 * g, "places", ["i8x16.add", "base", ["i8x16.popcnt", ["v128.andnot", ["i8x16.sub", "bits", ["i8x16.splat", 1]], "bits"]]]],
  ];
  return {
    parameters: ["first", "end", "ranks", "rows", "places"],
    integers: ["node", "stop"],
    vectors: ["right", "bits", "base", ...groups.flatMap((g) => all.map((k) => `p${g}${k}`))],
    body: [["set", "stop", ["i32.add", "places", "rows"]], ["while", ["i32.lt_u", "places", "stop"],
      ...groups.flatMap((g) => all.map((k) => ["set", `p${g}${k}`, ["i8x16.splat", -1]])),
      ["set", "node", "first"],
      ["while", ["i32.lt_u", "node", "end"],
        ...groups.flatMap((g) => [["set", "right", reached(g)],
          ...all.map((k) => ["set", `p${g}${k}`, ["v128.andnot", `p${g}${k}`, ["v128.and", "right", ["v128.load8_splat", RECORD + k, "node"]]]])]),
        forward("node", RECORD + planes)],
      ...groups.flatMap(lowest),
      forward("places", step), forward("ranks", step * size)]],
  };
}

/** sums[r] += values[places[r]] for the f64 of `rows` rows, four at a time; f32: every sum is rounded to f32. */
function addKernel(f32) {
  const rounded = (sum) => (f32 ? ["f64.promote_f32", ["f32.demote_f64", sum]] : sum);
  const value = (r) => ["f64.load", 0, ["i32.add", "values", ["i32.shl", ["i32.load8_u", r, "places"], 3]]];
  return {
    parameters: ["places", "rows", "values", "sums"],
    integers: ["stop"],
    body: [["set", "stop", ["i32.add", "places", "rows"]], ["while", ["i32.lt_u", "places", "stop"],
      ...count(4).map((r) => ["f64.store", 8 * r, "sums", rounded(["f64.add", ["f64.load", 8 * r, "sums"], value(r)])]),
      forward("places", 4), forward("sums", 32)]],
  };
}

/** What one column adds to a sum, from the row's element and the point's. */
const TERMS = {
  products: (x, y) => ["f64x2.mul", x, y],
  squares: (x, y) => [["set", "term", ["f64x2.sub", x, y]], ["f64x2.mul", "term", "term"]],
  absolutes: (x, y) => ["f64x2.abs", ["f64x2.sub", x, y]],
};

/**
 * out[r][k] = bias[k] + the sum of terms over the columns, from 0 in ascending order, for the rows at x up to `end`, four at a time, and four points, whose
 * columns stand at `points` side by side up to `stop`. stride and outStride: bytes of a row.
 */
function tileKernel(term) {
  const rows = count(4), halves = [0, 1];
  const sum = (r, h) => {
    const made = term(`v${r}`, `q${h}`), [before, value] = Array.isArray(made[0]) ? [[made[0]], made[1]] : [[], made];
    return [...before, ["set", `s${r}${h}`, ["f64x2.add", `s${r}${h}`, value]]];
  };
  return {
    parameters: ["x", "end", "stride", "points", "stop", "bias", "out", "outStride"],
    integers: ["point", ...rows.map((r) => `x${r}`)],
    vectors: ["q0", "q1", "term", ...rows.map((r) => `v${r}`), ...rows.flatMap((r) => halves.map((h) => `s${r}${h}`))],
    body: [["while", ["i32.lt_u", "x", "end"],
      ["set", "x0", "x"], ...rows.slice(1).map((r) => ["set", `x${r}`, ["i32.add", `x${r - 1}`, "stride"]]),
      ...rows.flatMap((r) => halves.map((h) => ["set", `s${r}${h}`, ["i8x16.splat", 0]])),
      ["set", "point", "points"],
      ["while", ["i32.lt_u", "point", "stop"],
        ...halves.map((h) => ["set", `q${h}`, ["v128.load", 16 * h, "point"]]),
        ...rows.flatMap((r) => [["set", `v${r}`, ["v128.load64_splat", 0, `x${r}`]], ...halves.flatMap((h) => sum(r, h)), forward(`x${r}`, 8)]),
        forward("point", 32)],
      ...rows.flatMap((r) => [...halves.map((h) => ["v128.store", 16 * h, "out", ["f64x2.add", `s${r}${h}`, ["v128.load", 16 * h, "bias"]]]), forward("out", "outStride")]),
      ["set", "x", "x3"]]],
  };
}

const PLANES = [1, 2, 4, 8], SIZES = [1, 2];

/** The kernels of one realm, and their memory, which grows with what it is asked and is shared by all calls: none of them waits for anything. */
function instantiate() {
  const functions = { walkNarrow: walkKernel(false), walkWide: walkKernel(true), add: addKernel(false), addRounded: addKernel(true) };
  for (const planes of PLANES) for (const size of SIZES) functions[`bits${planes}x${size}`] = bitsKernel(planes, size);
  for (const [name, term] of Object.entries(TERMS)) functions[name] = tileKernel(term);
  const memory = new WebAssembly.Memory({ initial: 1 });
  return { memory, ...new WebAssembly.Instance(new WebAssembly.Module(assembleModule(functions)), { host: { memory } }).exports };
}

/** Places for so many bytes each, from 16 on and aligned to 16, in the memory, which is made large enough. */
function places(wasm, ...sizes) {
  let end = 16;
  const starts = sizes.map((size) => {
    const start = end;
    end += (size + 15) & ~15;
    return start;
  });
  const lacking = end - wasm.memory.buffer.byteLength;
  if (lacking > 0) wasm.memory.grow(Math.ceil(lacking / 65536));
  return starts;
}

// =========================================================================================================== Ensembles

const LARGEST = 2 ** 24; // bytes of nodes, or of weights, that are put into the memory at once
const ROW_BYTES = 2 ** 18; // of rows that stay in the cache while the trees, or the weights, pass by
const FEW_LEAVES = 64, FEWEST_ROWS = 32;
const TOGETHER = 8; // rows of a tree, or trees of a row, that are walked in step
const CHUNK = 512; // rows whose ranks stay in the cache while the trees pass by

/**
 * Adds to `out` the leaves of all trees for the rows of x (`stride` elements each) whose numbers are `rows`; false when modelport.js shall do it. p: what the
 * check of tree_ensemble found.
 */
function addTrees(wasm, p, x, stride, rows, out) {
  if (rows.length < TOGETHER) return addFew(p, x, stride, rows, out);
  if (rows.length < FEWEST_ROWS) return false;
  const bits = bitsOf(p);
  return bits !== null && 8 * CHUNK * p.shape[0] <= LARGEST ? addBits(wasm, p, bits, x, stride, rows, out) : walkTrees(wasm, p, x, stride, rows, out);
}

/** Fewer rows than are walked together: for each of them as many trees. */
function addFew({ nodes, roots, classes, leafValues, leafWidth, shape: [width] }, x, stride, rows, out) {
  const walk = nodes.words.length === nodes.bounds.length ? walkRowNarrow : walkRowWide, leaves = new Int32Array(TOGETHER);
  for (let r = 0; r < rows.length; r++) {
    for (let t = 0; t < roots.length; t += TOGETHER) {
      walk(nodes, x, r * stride, roots, t, leaves);
      for (let k = 0; k < TOGETHER && t + k < roots.length; k++) {
        const to = rows[r] * width + (classes === null ? 0 : classes[t + k]), from = leaves[k] * leafWidth;
        for (let j = 0; j < leafWidth; j++) out[to + j] += leafValues[from + j];
      }
    }
  }
  return true;
}

/** Writes the leaf numbers of the row at x[at ...] in eight trees from number t on, the last tree in place of those that are lacking. */
function walkRowNarrow({ bounds, words }, x, at, roots, t, leaves) {
  const last = roots.length - 1, root = (k) => roots[t + k < last ? t + k : last];
  let a = root(0), b = root(1), c = root(2), d = root(3), e = root(4), f = root(5), g = root(6), h = root(7), w = 0, any = 0;
  do {
    w = words[2 * a + 1]; any = w; a = (a + (w >>> 8) + +(x[at + (w & 255)] >= bounds[2 * a])) | 0;
    w = words[2 * b + 1]; any |= w; b = (b + (w >>> 8) + +(x[at + (w & 255)] >= bounds[2 * b])) | 0;
    w = words[2 * c + 1]; any |= w; c = (c + (w >>> 8) + +(x[at + (w & 255)] >= bounds[2 * c])) | 0;
    w = words[2 * d + 1]; any |= w; d = (d + (w >>> 8) + +(x[at + (w & 255)] >= bounds[2 * d])) | 0;
    w = words[2 * e + 1]; any |= w; e = (e + (w >>> 8) + +(x[at + (w & 255)] >= bounds[2 * e])) | 0;
    w = words[2 * f + 1]; any |= w; f = (f + (w >>> 8) + +(x[at + (w & 255)] >= bounds[2 * f])) | 0;
    w = words[2 * g + 1]; any |= w; g = (g + (w >>> 8) + +(x[at + (w & 255)] >= bounds[2 * g])) | 0;
    w = words[2 * h + 1]; any |= w; h = (h + (w >>> 8) + +(x[at + (w & 255)] >= bounds[2 * h])) | 0;
  } while (any >>> 8);
  leaves[0] = words[2 * a]; leaves[1] = words[2 * b]; leaves[2] = words[2 * c]; leaves[3] = words[2 * d];
  leaves[4] = words[2 * e]; leaves[5] = words[2 * f]; leaves[6] = words[2 * g]; leaves[7] = words[2 * h];
}

function walkRowWide({ bounds, words }, x, at, roots, t, leaves) {
  const last = roots.length - 1, root = (k) => roots[t + k < last ? t + k : last];
  for (let k = 0; k < TOGETHER; k += 4) {
    let a = root(k), b = root(k + 1), c = root(k + 2), d = root(k + 3), s = 0, any = 0;
    do {
      s = words[4 * a + 3]; any = s; a = (a + s + +(x[at + words[4 * a + 2]] >= bounds[2 * a])) | 0;
      s = words[4 * b + 3]; any |= s; b = (b + s + +(x[at + words[4 * b + 2]] >= bounds[2 * b])) | 0;
      s = words[4 * c + 3]; any |= s; c = (c + s + +(x[at + words[4 * c + 2]] >= bounds[2 * c])) | 0;
      s = words[4 * d + 3]; any |= s; d = (d + s + +(x[at + words[4 * d + 2]] >= bounds[2 * d])) | 0;
    } while (any !== 0);
    leaves[k] = words[4 * a]; leaves[k + 1] = words[4 * b]; leaves[k + 2] = words[4 * c]; leaves[k + 3] = words[4 * d];
  }
}

function walkTrees(wasm, p, x, stride, rows, out) {
  const { nodes, roots, classes, leafValues, leafWidth, shape: [width] } = p, wide = nodes.words.length !== nodes.bounds.length, size = x.BYTES_PER_ELEMENT;
  const nodeWords = wide ? 4 : 2, ends = (t) => (t + 1 < roots.length ? roots[t + 1] : nodes.words.length / nodeWords);
  let largest = 0;
  for (let t = 0; t < roots.length; t++) largest = Math.max(largest, ends(t) - roots[t]);
  if (4 * nodeWords * largest > LARGEST || 8 * stride * size > LARGEST) return false;
  const chunk = Math.max(8, Math.floor(ROW_BYTES / (stride * size)) & ~7);
  const [xAt, nodesAt, leavesAt] = places(wasm, chunk * stride * size, 4 * nodeWords * largest, 4 * chunk);
  const held = new x.constructor(wasm.memory.buffer, xAt), words = new Int32Array(wasm.memory.buffer, nodesAt), walk = wide ? wasm.walkWide : wasm.walkNarrow;
  for (let first = 0; first < rows.length; first += chunk) {
    const n = Math.min(chunk, rows.length - first), whole = n & ~7, leaves = new Int32Array(wasm.memory.buffer, leavesAt, n), part = x.subarray(first * stride, (first + n) * stride);
    held.set(part);
    for (let t = 0; t < roots.length; t++) {
      words.set(nodes.words.subarray(nodeWords * roots[t], nodeWords * ends(t)));
      if (whole > 0) walk(xAt, xAt + whole * stride * size, stride * size, nodesAt, leavesAt);
      if (whole < n) nodes.walk(part.subarray(whole * stride), stride, n - whole, roots[t], leaves.subarray(whole));
      addLeaves(out, rows.subarray(first, first + n), leaves, leafValues, leafWidth, width, classes === null ? 0 : classes[t]);
    }
  }
  return true;
}

const bitsOfModels = new WeakMap(); // what bitsOf made of a step, or null

/** The trees of p as bit vectors: the sorted bounds of every column, and the records of all trees; null where trees are too large, or columns too many. */
function bitsOf(p) {
  if (!bitsOfModels.has(p)) bitsOfModels.set(p, makeBits(p));
  return bitsOfModels.get(p);
}

function makeBits({ nodes, roots, columns, leafValues, leafWidth }) {
  const trees = []; // {inner: [node, first leaf of the left subtree, first of the right one], leaves}
  let most = 1;
  for (const root of roots) {
    const tree = readTree(nodes, root);
    if (tree === null) return null;
    trees.push(tree);
    most = Math.max(most, tree.leaves.length);
  }
  const edges = columnEdges(nodes, trees, columns);
  if (edges === null) return null;
  const planes = PLANES.find((k) => 8 * k >= most), slots = 8 * planes * trees.length;
  if (slots > 4 * trees.reduce((sum, { leaves }) => sum + leaves.length, 4096) || 16 * slots > 4 * LARGEST) return null; // the room would be empty, or too large
  const size = edges.some((column) => column.length > 255) ? 2 : 1, length = RECORD + planes;
  const records = new Uint8Array(length * trees.reduce((sum, { inner }) => sum + inner.length, 0)), view = new DataView(records.buffer), ends = new Int32Array(trees.length);
  let at = 0;
  trees.forEach(({ inner }, t) => {
    for (const [node, low, middle] of inner) {
      const column = nodes.feature(node);
      view.setUint32(at, column * CHUNK * size, true);
      view.setUint16(at + 4, rankBelow(edges[column], nodes.bound(node)), true);
      for (let leaf = low; leaf < middle; leaf++) records[at + RECORD + (leaf >> 3)] |= 1 << (leaf & 7);
      at += length;
    }
    ends[t] = at;
  });
  const stride = 8 * planes, numbers = new Int32Array(trees.length * stride), values = leafWidth === 1 ? new Float64Array(trees.length * stride) : null;
  trees.forEach(({ leaves }, t) => {
    numbers.set(leaves, t * stride);
    if (values !== null) leaves.forEach((leaf, k) => { values[t * stride + k] = leafValues[leaf]; });
  });
  return { edges, records, ends, planes, size, stride, numbers, values };
}

/** The inner nodes of a tree and its leaves from left to right; null with more than FEW_LEAVES. */
function readTree(nodes, root) {
  const inner = [], leaves = [];
  const read = (node) => {
    const step = nodes.step(node);
    if (step === 0) return leaves.push(nodes.leaf(node)) <= FEW_LEAVES;
    if (inner.length >= FEW_LEAVES) return false; // a deep tree is not followed to its end
    const record = [node, leaves.length, 0];
    inner.push(record);
    if (!read(node + step)) return false;
    record[2] = leaves.length;
    return read(node + step + 1);
  };
  return read(root) ? { inner, leaves } : null;
}

/** Per column the bounds of all nodes, ascending, each once, and Infinity up to a length of 2^k - 1; null when they are too many or none can be reached. */
function columnEdges(nodes, trees, columns) {
  const sets = new Map();
  for (const { inner } of trees) {
    for (const [node] of inner) {
      const column = nodes.feature(node), bound = nodes.bound(node);
      if (bound !== bound) return null;
      if (!sets.has(column)) sets.set(column, new Set());
      sets.get(column).add(bound);
    }
  }
  if (columns * CHUNK * 2 > LARGEST) return null;
  const edges = Array.from({ length: columns }, (_, column) => {
    const sorted = Float64Array.from(sets.get(column) ?? []).sort();
    const padded = new Float64Array(2 ** Math.ceil(Math.log2(sorted.length + 1)) - 1).fill(Infinity);
    padded.set(sorted);
    return padded;
  });
  return edges.every((column) => column.length < 2 ** 16) ? edges : null;
}

/** The number of edges below v, and of those that v reaches; edges has a length of 2^k - 1. */
function rankBelow(edges, v) {
  let rank = 0;
  for (let half = (edges.length + 1) >> 1; half > 0; half >>= 1) rank += half * +(edges[rank + half - 1] < v);
  return rank;
}

function rankReached(edges, v) {
  let rank = 0;
  for (let half = (edges.length + 1) >> 1; half > 0; half >>= 1) rank += half * +(v >= edges[rank + half - 1]);
  return rank;
}

function addBits(wasm, p, bits, x, stride, rows, out) {
  const { classes, leafValues, leafWidth, shape: [width], columns, roots, dtype } = p, { edges, records, ends, planes, size, numbers, values } = bits;
  const [ranksAt, recordsAt, placesAt, valuesAt, sumsAt] = places(wasm, columns * CHUNK * size, records.length, CHUNK, values === null ? 0 : 8 * values.length, 8 * CHUNK * width);
  const { buffer } = wasm.memory, ranks = new (size === 1 ? Uint8Array : Uint16Array)(buffer, ranksAt, columns * CHUNK), found = new Uint8Array(buffer, placesAt, CHUNK);
  const kernel = wasm[`bits${planes}x${size}`], add = dtype === "f32" ? wasm.addRounded : wasm.add, sums = new Float64Array(buffer, sumsAt, CHUNK * width);
  const leaves = new Int32Array(values === null ? CHUNK : 0);
  new Uint8Array(buffer, recordsAt).set(records);
  if (values !== null) new Float64Array(buffer, valuesAt).set(values);
  for (let first = 0; first < rows.length; first += CHUNK) {
    const n = Math.min(CHUNK, rows.length - first), some = rows.subarray(first, first + n);
    for (let j = 0; j < columns; j++) {
      const column = edges[j];
      for (let r = 0, i = first * stride + j, at = j * CHUNK; column.length > 0 && r < n; r++, i += stride) ranks[at + r] = rankReached(column, x[i]);
    }
    for (let k = 0; values !== null && k < width; k++) for (let r = 0; r < n; r++) sums[k * CHUNK + r] = out[some[r] * width + k];
    for (let t = 0, node = recordsAt; t < roots.length; node = recordsAt + ends[t++]) {
      const column = classes === null ? 0 : classes[t];
      kernel(node, recordsAt + ends[t], ranksAt, CHUNK, placesAt);
      if (values !== null) {
        add(placesAt, CHUNK, valuesAt + 8 * bits.stride * t, sumsAt + 8 * CHUNK * column);
      } else {
        for (let r = 0, from = bits.stride * t; r < n; r++) leaves[r] = numbers[from + found[r]];
        addLeaves(out, some, leaves, leafValues, leafWidth, width, column);
      }
    }
    for (let k = 0; values !== null && k < width; k++) for (let r = 0; r < n; r++) out[some[r] * width + k] = sums[k * CHUNK + r];
  }
  return true;
}

// =============================================================================================================== Tiles

const FEWEST_TILED = 16, FEWEST_TERMS = 2 ** 14;

/**
 * out[at + r * down + k * right] = the sum of `kind` over `width` columns of row r of x and point k, then + bias[k]: n rows by `size` points; false when
 * modelport.js shall do it.
 */
function tile(wasm, kind, x, from, points, start, bias, out, at, down, right, n, width, size) {
  if (n < FEWEST_TILED || width < 4 || size < 4 || n * width * size < FEWEST_TERMS || 32 * width > ROW_BYTES) return false;
  const kernel = wasm[kind], group = Math.min((size + 3) & ~3, Math.max(4, Math.floor(LARGEST / 16 / (8 * width)) & ~3)), rows = Math.min((n + 3) & ~3, Math.max(4, Math.floor(ROW_BYTES / (8 * width)) & ~3, 512 & -Number(width * 4096 <= ROW_BYTES)));
  const [xAt, pointsAt, biasAt, outAt] = places(wasm, 8 * rows * width, 8 * group * width, 8 * group, 8 * rows * group), { buffer } = wasm.memory;
  const held = new Float64Array(buffer, xAt, rows * width), panels = new Float64Array(buffer, pointsAt, group * width), offsets = new Float64Array(buffer, biasAt, group).fill(0);
  const sums = new Float64Array(buffer, outAt, rows * group);
  for (let first = 0; first < size; first += group) {
    const points4 = Math.min(group, size - first);
    for (let k = 0; k < ((points4 + 3) & ~3); k++) {
      const source = start + (first + Math.min(k, points4 - 1)) * width;
      for (let j = 0, to = (k & ~3) * width + (k & 3); j < width; j++, to += 4) panels[to] = points[source + j];
      if (bias !== null) offsets[k] = bias[first + Math.min(k, points4 - 1)];
    }
    for (let row = 0; row < n; row += rows) {
      const m = Math.min(rows, n - row), begin = from + row * width;
      held.set(x.subarray(begin, begin + m * width));
      held.fill(0, m * width, ((m + 3) & ~3) * width);
      for (let k = 0; k < points4; k += 4) {
        kernel(xAt, xAt + 8 * ((m + 3) & ~3) * width, 8 * width, pointsAt + 8 * k * width, pointsAt + 8 * (k + 4) * width, biasAt + 8 * k, outAt + 8 * k, 8 * group);
      }
      const to = at + row * down + first * right;
      if (group === size && right === 1 && down === size) out.set(sums.subarray(0, m * size), to);
      else for (let r = 0; r < m; r++) for (let k = 0; k < points4; k++) out[to + r * down + k * right] = sums[r * group + k];
    }
  }
  return true;
}

/** Hands the kernels to modelport.js, where the engine has what they need; whether it has. */
function activate() {
  try {
    const wasm = instantiate();
    kernels.addTrees = (...given) => addTrees(wasm, ...given);
    kernels.tile = (...given) => tile(wasm, ...given);
    return true;
  } catch (error) {
    if (error instanceof WebAssembly.CompileError || error instanceof EvalError || error instanceof RangeError) return false;
    throw error;
  }
}

return Object.freeze({ active: typeof WebAssembly === "object" && activate() });
});
