// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Ops of profile nn, neural networks (docs/format.md, section 6.3), for modelport.js: put it beside that file, and hand its table to `load`.
//
//     const model = modelport.load(bytes, { ops: nn });                  // or { ...more, ...nn }, with the table of modelport_more.js
//
// `nn` is what `require("./modelport_nn.js")` or `import nn from "./modelport_nn.js"` gives; a classic <script>, behind the one of
// modelport.js, defines it as `modelportNn`. As in modelport.js, check(step) reads an op's attributes, and run(p, inputs, n, first)
// computes n rows. A check is made for given lengths, and again for others; what it makes with step.once serves all of them.

(function (root, factory) {
  "use strict";
  if (typeof module === "object" && module !== null && module.exports) module.exports = factory(require("./modelport.js"));
  else root.modelportNn = factory(root.modelport);
})(typeof globalThis === "object" ? globalThis : this, function (modelport) {
"use strict";

if (!modelport) throw new Error("modelport_nn.js needs modelport.js, loaded before it");

const {
  COSTLY, DTYPES, FLOATS, INTEGERS, UNARY, align, allocate, broadcastShapes, elementCount, emptyLike, erf, identity, multiplyRows, pick, quote, refuse,
  sameShape, showShape, sigmoid, spread, stridesOf, toFloat,
} = modelport.internals;

const MOST_INDEX = 2 ** 31 - 1, MOST_REACH = 2 ** 20; // the latter of kernel sizes, strides, dilations and pads

/** The integers of a rank-1 tensor as an Array, `count` of them unless that is null, each in least..most; `fallback`, so many times, when it is absent. */
function readIntegers(step, key, count, least, most, fallback) {
  if (fallback !== undefined && !step.has(key)) return new Array(count).fill(fallback);
  return Array.from(shortList(step, key, step.indexes(key, least, most), count));
}

/** A list with `count` elements or, when that is null, not more than a row has axes; before it becomes an Array. */
function shortList(step, key, list, count) {
  if (count === null && list.length > step.limits.rank) step.refuse(`has ${list.length} elements in ${quote(key)}; values have rank ${step.limits.rank} at most (limit rank)`);
  return count === null ? list : step.length(key, list, count);
}

/** An input of float dtype and of rank least..most. */
function floatInput(step, x, least, most = Infinity) {
  step.expect(x, FLOATS);
  if (x.shape.length < least || x.shape.length > most) step.refuse(`has an input of row shape ${showShape(x.shape)}; the op takes rank ${least}${most === least ? "" : most === Infinity ? " or more" : ` to ${most}`}`);
  return x;
}

/** An input with an axis of that number; the number. */
function readAxis(step, x, key = "axis") {
  if (x.shape.length === 0) step.refuse("has an input of rank 0; the op takes rank 1 or more");
  return step.whole(key, 0, x.shape.length - 1);
}

/** Different axes of an input. */
function readAxes(step, x) {
  const axes = readIntegers(step, "axes", null, 0, x.shape.length - 1);
  if (new Set(axes).size !== axes.length) step.refuse(`names an axis twice in "axes"`);
  return axes;
}

/** Whether a shape broadcasts to another one, which stays as it is. */
function checkBroadcast(step, shape, target, what) {
  const fits = shape.length <= target.length && shape.every((extent, i) => extent === 1 || extent === target[i + target.length - shape.length]);
  if (!fits) step.refuse(`has ${what} of shape ${showShape(shape)}, which does not broadcast to ${showShape(target)}`);
}

// ============================================================================================================== Shapes

/** The attributes `shape` and `copy` of reshape and expand: lengths, some of them those of axes of `source`. least: -1 where one may be left open. */
function readLengths(step, source, least) {
  const shape = readIntegers(step, "shape", null, least, MOST_INDEX);
  if (source === undefined && step.has("copy")) step.refuse(`has "copy" without a second value, whose lengths it copies`);
  const copy = source === undefined ? shape.map(() => -1) : readIntegers(step, "copy", shape.length, -1, source.shape.length - 1, -1);
  return shape.map((length, i) => {
    if ((copy[i] >= 0) !== (length === 0)) step.refuse(`has the length ${length} in "shape" for an axis that is ${copy[i] >= 0 ? "" : "not "}copied; exactly these are 0`);
    return copy[i] >= 0 ? source.shape[copy[i]] : length;
  });
}

/** The same elements in row-major order, with other axes. */
const reshape = {
  check(step) {
    const [x] = step.take(1), shape = readLengths(step, x, -1), open = shape.indexOf(-1);
    if (open !== shape.lastIndexOf(-1)) step.refuse(`has more than one -1 in "shape"`);
    if (open >= 0) shape[open] = x.width / -elementCount(shape);
    if (!shape.every(Number.isInteger) || elementCount(shape) !== x.width) step.refuse(`has an input of ${x.width} elements, which do not fit its "shape"`);
    return { dtype: x.dtype, shape };
  },
  run(p, [x]) { return x; },
};

/** Axes in another order. */
const transpose = {
  check(step) {
    const [x] = step.take(1), rank = x.shape.length, perm = readIntegers(step, "perm", rank, 0, rank - 1), strides = stridesOf(x.shape);
    if (new Set(perm).size !== rank) step.refuse(`has "perm" that does not name every axis once`);
    return { dtype: x.dtype, shape: perm.map((axis) => x.shape[axis]), width: x.width, strides: perm.map((axis) => strides[axis]), offset: 0 };
  },
  run: runPicking,
};

function runPicking({ shape, width, strides, offset }, [x], n) { return pick(x, n, width, shape, strides, offset); }

/** An integer tensor with an element per axis, of any size. */
function readSpan(step, key, count) { return Array.from(shortList(step, key, step.tensor(key, "i64", INTEGERS, 1).data, count), Number); }

/** Every so many elements of axes, from a start to a stop. */
const slice = {
  check(step) {
    const [x] = step.take(1), axes = x.shape.length > 0 ? readAxes(step, x) : step.refuse("has an input of rank 0; the op takes rank 1 or more");
    const starts = readSpan(step, "starts", axes.length), stops = readSpan(step, "stops", axes.length);
    const steps = step.has("steps") ? readSpan(step, "steps", axes.length) : axes.map(() => 1);
    const shape = [...x.shape], strides = stridesOf(x.shape);
    let offset = 0;
    axes.forEach((axis, i) => {
      const length = x.shape[axis], by = steps[i], [low, high] = by > 0 ? [0, length] : [-1, length - 1];
      if (by === 0) step.refuse(`has 0 in "steps"`);
      const [start, stop] = [starts[i], stops[i]].map((at) => Math.min(Math.max(at < 0 ? at + length : at, low), high));
      const count = Math.ceil((stop - start) / by);
      if (!(count >= 1)) step.refuse(`leaves nothing of axis ${axis} of ${showShape(x.shape)}`);
      offset += start * strides[axis];
      shape[axis] = count;
      strides[axis] = count === 1 ? 0 : strides[axis] * by;
    });
    return { dtype: x.dtype, shape, width: x.width, strides, offset };
  },
  run: runPicking,
};

/** Axes of length 1 repeated to given lengths, or to those of a second value. */
const expand = {
  check(step) {
    const [x, like] = step.take(1, 2), shape = readLengths(step, like, 0);
    checkBroadcast(step, x.shape, shape, "an input");
    return { dtype: x.dtype, shape, given: x.shape };
  },
  run({ shape, given }, [x], n) { return spread(x, given, shape, n); },
};

/** 0, 1, 2, .. along an axis. */
const positions = {
  check(step) {
    const [x] = step.take(1);
    return { dtype: "i64", shape: [x.shape[readAxis(step, x)]] };
  },
  run({ shape: [length] }, inputs, n) { return Float64Array.from({ length: n * length }, (_, i) => i % length); },
};

/** An index of a row as a place 0..length - 1. */
function placeOf(index, length, row) {
  const place = Number(index);
  return place >= 0 && place < length ? place : refuse(`row ${row}: the index ${index} is not in 0..${length - 1}.`);
}

/** Elements of an axis by index; below 0 from the end. */
const gather = {
  check(step) {
    const [x, index] = step.take(2), axis = readAxis(step, x), before = x.shape.slice(0, axis), behind = x.shape.slice(axis + 1);
    step.expect(index, INTEGERS);
    return {
      dtype: x.dtype, shape: [...before, ...index.shape, ...behind], outer: elementCount(before), length: x.shape[axis], inner: elementCount(behind),
      count: index.width,
    };
  },
  run({ outer, length, inner, count }, [x, indexes], n, first) {
    const out = emptyLike(x, n * outer * count * inner), places = new Int32Array(count);
    for (let r = 0, to = 0; r < n; r++) {
      for (let i = 0; i < count; i++) {
        const index = indexes[r * count + i];
        places[i] = index < 0 && index >= -length ? Number(index) + length : placeOf(index, length, first + r);
      }
      for (let o = r * outer; o < (r + 1) * outer; o++) {
        for (let i = 0; i < count; i++) for (let k = 0, from = (o * length + places[i]) * inner; k < inner; k++) out[to++] = x[from + k];
      }
    }
    return out;
  },
};

/** Rows of the weight by index. */
const embedding = {
  check(step) {
    const index = step.only(INTEGERS), dtype = step.dtype(), { shape: [size, width], data: weight } = step.tensor("weight", dtype, [dtype], 2);
    if (weight.length === 0) step.refuse(`has an empty "weight"`);
    return { dtype, shape: [...index.shape, width], count: index.width, weight, size, stride: width };
  },
  run({ dtype, count, weight, size, stride }, [indexes], n, first) {
    const out = allocate(dtype, indexes.length * stride);
    for (let i = 0, to = 0; i < indexes.length; i++) {
      for (let k = 0, from = placeOf(indexes[i], size, first + Math.floor(i / count)) * stride; k < stride; k++) out[to++] = weight[from + k];
    }
    return out;
  },
};

/** By mode: which element of an axis of `length` stands at place i of the padded axis; i < 0 before the axis. -1: none. */
const PADDINGS = {
  __proto__: null,
  constant: (i, length) => (i >= 0 && i < length ? i : -1),
  reflect: (i, length) => (i < 0 ? -i : i < length ? i : 2 * (length - 1) - i),
  edge: (i, length) => Math.min(Math.max(i, 0), length - 1),
  wrap: (i, length) => (i < 0 ? i + length : i < length ? i : i - length),
};

/** One element of a dtype from a number, as cast does it. */
function castNumber(step, value, dtype) {
  const { kind, least, most } = DTYPES[dtype], whole = Math.trunc(value) + 0, one = allocate(dtype, 1);
  if (kind === "int" && !(whole >= least && whole <= most)) step.refuse(`has the "value" ${value}, which does not fit ${dtype}`);
  if (dtype === "i64" && !Number.isSafeInteger(whole)) return BigInt64Array.of(BigInt(whole));
  one[0] = kind === "int" ? whole : kind === "bool" ? Number(value !== 0) : value;
  return one;
}

/** Elements put before and behind axes. */
const pad = {
  check(step) {
    const x = step.only(Object.keys(DTYPES).filter((dtype) => dtype !== "str")), rank = x.shape.length, mode = step.choice("mode", Object.keys(PADDINGS), "constant");
    const [before, after] = ["before", "after"].map((key) => readIntegers(step, key, rank, 0, MOST_INDEX));
    const most = { reflect: -1, wrap: 0 }[mode] ?? Infinity; // so many more than the length of the axis
    x.shape.forEach((length, i) => {
      if (Math.max(before[i], after[i]) > length + most) step.refuse(`pads axis ${i} of ${showShape(x.shape)} by more than the mode ${mode} has elements for`);
    });
    if (mode !== "constant" && step.has("value")) step.refuse(`has "value", which goes with the mode constant only`);
    const value = castNumber(step, step.number("value", "f64", 0), x.dtype), shape = x.shape.map((length, i) => before[i] + length + after[i]);
    step.keep(step.outputWidth(elementCount(shape)));
    let table = Int32Array.of(0); // for each element of the result its place in the row, or -1
    x.shape.forEach((length, i) => {
      const places = Int32Array.from({ length: shape[i] }, (_, k) => PADDINGS[mode](k - before[i], length)), next = new Int32Array(table.length * places.length);
      table.forEach((at, k) => places.forEach((place, j) => { next[k * places.length + j] = at < 0 || place < 0 ? -1 : at * length + place; }));
      table = next;
    });
    return { dtype: x.dtype, shape, width: x.width, table, value };
  },
  run({ width, table, value }, [given], n) {
    const [x, [fill]] = align([given, value]), out = emptyLike(x, n * table.length);
    for (let r = 0, to = 0; r < n; r++) for (let i = 0; i < table.length; i++, to++) out[to] = table[i] < 0 ? fill : x[r * width + table[i]];
    return out;
  },
};

// ============================================================================================================== Resize

/** Where the result o of m reads an axis of length n; f = m / n or the scale. */
const COORDINATES = {
  __proto__: null,
  half_pixel: (o, f) => (o + 0.5) / f - 0.5,
  align_corners: (o, f, n, m) => (m === 1 ? 0 : (o * (n - 1)) / (m - 1)),
  asymmetric: (o, f) => o / f,
};

const ROUNDINGS = {
  __proto__: null,
  half_down: (u) => Math.ceil(u - 0.5),
  half_up: (u) => Math.floor(u + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

const within = (i, n) => Math.min(Math.max(i, 0), n - 1);

function cubicKernel(z, a) {
  if (z <= 1) return ((a + 2) * z - (a + 3)) * z * z + 1;
  return z < 2 ? ((a * z - 5 * a) * z + 8 * a) * z - 4 * a : 0;
}

/** By fn: the places and weights of a coordinate u on an axis of length n. */
const SAMPLINGS = {
  __proto__: null,
  nearest: (u, n, { round }) => [[within(round(u), n), 1]],
  linear(u, n) {
    const inside = within(u, n), g = Math.floor(inside), w = inside - g;
    return [[g, 1 - w], [Math.min(g + 1, n - 1), w]];
  },
  cubic(u, n, { cubic }) {
    const g = Math.floor(u), w = u - g;
    return [-1, 0, 1, 2].map((q) => [within(g + q, n), cubicKernel(Math.abs(w - q), cubic)]);
  },
};

const TAPS = { __proto__: null, nearest: 1, linear: 2, cubic: 4 };
const PLACED = 128; // results whose places and weights are found at a time, so that they take no memory

/** Axes made longer or shorter, one after the other. */
const resize = {
  check(step) {
    const x = floatInput(step, step.take(1)[0], 1), dtype = step.dtype(), axes = readAxes(step, x), fn = step.choice("fn", Object.keys(SAMPLINGS));
    if (axes.length === 0) step.refuse(`has empty "axes"`);
    if (step.has("sizes") === step.has("scales")) step.refuse(`has both or none of "sizes" and "scales"`);
    const sizes = step.has("sizes") ? readIntegers(step, "sizes", axes.length, 1, MOST_INDEX) : null;
    const scales = sizes === null ? step.length("scales", step.tensor("scales", "f64", ["f64"], 1).data, axes.length) : null;
    const at = COORDINATES[step.choice("at", Object.keys(COORDINATES))], shape = [...x.shape], stages = [];
    for (const [key, only] of [["round", "nearest"], ["cubic", "cubic"]]) if (step.has(key) && fn !== only) step.refuse(`has ${quote(key)}, which goes with ${only} only`);
    const how = { round: ROUNDINGS[step.choice("round", Object.keys(ROUNDINGS), "half_down")], cubic: step.number("cubic", "f64", -0.75) };
    axes.forEach((axis, i) => {
      const n = shape[axis], f = sizes === null ? scales[i] : sizes[i] / n;
      if (!(f > 0 && f < Infinity)) step.refuse("has a scale that is not positive and finite");
      const m = sizes === null ? Math.floor(n * f) : sizes[i];
      if (!(m >= 1)) step.refuse(`leaves nothing of axis ${axis} of ${showShape(x.shape)}`);
      shape[axis] = m;
      step.multiply(4 * step.outputWidth(elementCount(shape)));
      const outer = elementCount(shape.slice(0, axis)), inner = elementCount(shape.slice(axis + 1));
      stages.push({ outer, length: n, m, inner, taps: TAPS[fn], sample: (o) => SAMPLINGS[fn](at(o, f, n, m), n, how) });
    });
    return { dtype, shape, stages };
  },
  run({ dtype, stages }, [input], n) {
    return stages.reduce((x, stage) => resample(stage, x, n, dtype), toFloat(input, dtype));
  },
};

/** One axis: a result is the sum of its weights times the elements at its places, which are found for some results at a time. */
function resample({ outer, length, m, inner, taps, sample }, x, n, dtype) {
  const out = allocate(dtype, n * outer * m * inner), most = Math.min(m, PLACED), places = new Int32Array(most * taps), weights = new Float64Array(most * taps);
  for (let begin = 0; begin < m; begin += PLACED) {
    const end = Math.min(begin + PLACED, m);
    for (let o = begin, at = 0; o < end; o++) for (const [place, weight] of sample(o)) {
      places[at] = place;
      weights[at++] = weight;
    }
    for (let r = 0; r < n * outer; r++) {
      const from = r * length * inner;
      for (let o = begin, to = (r * m + begin) * inner, first = 0; o < end; o++, first += taps) {
        for (let j = 0; j < inner; j++, to++) {
          let sum = x[from + places[first] * inner + j]; // nearest: bit for bit
          if (taps > 1) sum *= weights[first];
          for (let k = first + 1; k < first + taps; k++) sum += x[from + places[k] * inner + j] * weights[k];
          out[to] = sum;
        }
      }
    }
  }
  return out;
}

// ============================================================================================================ Products

/** Where the matrix of each place of the leading axes `all` begins in a row of an operand whose own leading axes are `own`; `size` elements each. */
function matrixOffsets(step, all, own, size) {
  const strides = [...new Array(all.length - own.length).fill(0), ...stridesOf(own)];
  step.keep(elementCount(all));
  return all.reduce((offsets, length, axis) => {
    const next = new Int32Array(offsets.length * length);
    offsets.forEach((at, k) => { for (let i = 0; i < length; i++) next[k * length + i] = at + i * strides[axis] * size; });
    return next;
  }, Int32Array.of(0));
}

/** The matrix [rows, columns] at `from` turned over: [columns, rows]. */
function turnOver(x, from, rows, columns, out) {
  for (let j = 0, to = 0; j < columns; j++) for (let i = 0; i < rows; i++) out[to++] = x[from + i * columns + j];
}

/** Products of matrices. */
const matmul = {
  check(step) {
    const [a, b] = step.take(2).map((x) => floatInput(step, x, 2)), dtype = step.dtype();
    const [m, k] = a.shape.slice(-2), [inner, columns] = b.shape.slice(-2), [before, other] = [a, b].map(({ shape }) => shape.slice(0, -2));
    if (k !== inner) step.refuse(`has matrices of shapes ${showShape(a.shape)} and ${showShape(b.shape)}, which do not go together`);
    const leading = broadcastShapes(step, [before, other]), shape = [...leading, m, columns];
    step.multiply(step.outputWidth(elementCount(shape)) * k);
    const offsets = [matrixOffsets(step, leading, before, m * k), matrixOffsets(step, leading, other, k * columns)];
    return { dtype, shape, m, k, columns, widths: [a.width, b.width], offsets };
  },
  run({ dtype, m, k, columns, widths, offsets: [atA, atB] }, inputs, n) {
    const [a, b] = inputs.map((x) => toFloat(x, dtype)), size = m * columns, out = allocate(dtype, n * atA.length * size), turned = allocate(dtype, k * columns);
    for (let r = 0, to = 0, last = -1; r < n; r++) {
      for (let i = 0; i < atA.length; i++, to += size) {
        const from = r * widths[1] + atB[i];
        if (from !== last) turnOver(b, from, k, columns, turned);
        last = from;
        multiplyRows(a, r * widths[0] + atA[i], turned, 0, null, out, to, columns, 1, m, k, columns);
      }
    }
    return out;
  },
};

// ------------------------------------------------------------------------------------------------------------- windows

// Images have three axes behind the channels from here on; the first ones have length 1 where there are fewer.

const AUTOS = ["none", "same_upper", "same_lower"];
const threeOf = (list, fill) => [...new Array(3 - list.length).fill(fill), ...list];

/** [channels, ..] of 1 to 3 axes behind the channels. */
function imageInput(step) { return floatInput(step, step.take(1)[0], 2, 4); }

/** strides, dilations and pads of windows of given sizes. */
function readWindows(step, sizes) {
  const k = sizes.length, strides = readIntegers(step, "strides", k, 1, MOST_REACH, 1), dilations = readIntegers(step, "dilations", k, 1, MOST_REACH, 1);
  const pads = readIntegers(step, "pads", 2 * k, 0, MOST_REACH, 0);
  return sizes.map((size, i) => ({ size, stride: strides[i], dilation: dilations[i], reach: (size - 1) * dilations[i] + 1, before: pads[i], after: pads[k + i] }));
}

/** The windows of conv and pool over axes of given lengths: per axis also n, and m, how many there are. */
function layWindows(step, lengths, sizes, ceil = false) {
  const auto = step.choice("auto", AUTOS, "none"), windows = readWindows(step, sizes);
  if (auto !== "none" && step.has("pads")) step.refuse(`has "pads" beside "auto"`);
  return windows.map((window, i) => {
    const n = lengths[i], { stride, reach } = window;
    let { before, after } = window, m;
    if (auto === "none") {
      const room = n + before + after - reach;
      m = (ceil ? Math.ceil : Math.floor)(room / stride) + 1;
      if (ceil && (m - 1) * stride >= n + before) m--;
    } else {
      m = Math.ceil(n / stride);
      const total = Math.max((m - 1) * stride + reach - n, 0);
      before = (auto === "same_upper" ? Math.floor : Math.ceil)(total / 2);
      after = total - before;
    }
    if (!(m >= 1)) step.refuse(`has windows that reach over ${reach} elements, which do not fit axis ${i + 1} of length ${n}`);
    return { ...window, n, m, before, after };
  });
}

/** Per tap of an axis the windows whose tap lies inside it, first and behind the last. */
function insideOf({ n, m, size, stride, dilation, before }) {
  const ends = new Int32Array(2 * size);
  for (let k = 0; k < size; k++) {
    const offset = k * dilation - before;
    ends[2 * k] = Math.min(m, Math.max(0, Math.ceil(-offset / stride)));
    ends[2 * k + 1] = Math.max(ends[2 * k], Math.min(m, Math.floor((n - 1 - offset) / stride) + 1));
  }
  return ends;
}

const NO_AXIS = Object.freeze({ n: 1, m: 1, size: 1, stride: 1, dilation: 1, before: 0, after: 0 });

/** The weight of conv and conv_transpose, its groups and its bias. inner: which axis of the weight is for the channels of the input. */
function readKernel(step, x, dtype, inner) {
  const weight = step.tensor("weight", dtype, [dtype], x.shape.length + 1), { shape } = weight, channels = x.shape[0];
  if (weight.data.length === 0) step.refuse(`has an empty "weight"`);
  const groups = step.has("groups") ? step.whole("groups", 1) : 1;
  const [given, taken] = inner === 1 ? [shape[1] * groups, shape[0]] : [shape[0], shape[0]];
  if (given !== channels || taken % groups !== 0) step.refuse(`has "weight" of shape ${showShape(shape)} in ${groups} groups for ${channels} channels`);
  const outputs = inner === 1 ? shape[0] : shape[1] * groups, bias = step.optionalFloats("bias", dtype, [outputs]);
  return { weight: weight.data, sizes: shape.slice(2), taps: weight.data.length / shape[0], groups, outputs, bias, channels };
}

// ---------------------------------------------------------------------------------------------------------------- conv

const MOST_COLUMNS = 2 ** 15; // elements of unfolded windows at a time
const FEW = 4; // output channels of a group that are not worth unfolding for

/** Cross-correlation. */
const conv = {
  check(step) {
    const x = imageInput(step), dtype = step.dtype(), kernel = readKernel(step, x, dtype, 1), axes = layWindows(step, x.shape.slice(1), kernel.sizes);
    const shape = [kernel.outputs, ...axes.map(({ m }) => m)], { weight, taps, groups, outputs } = kernel;
    step.multiply(step.outputWidth(elementCount(shape)) * taps);
    const finite = step.once("finite", () => weight.every(Number.isFinite)); // else taps outside the input would count
    const three = threeOf(axes, NO_AXIS), direct = !finite || outputs / groups < FEW || taps > MOST_COLUMNS;
    if (direct) step.keep(2 * three[2].size);
    return { dtype, shape, width: x.width, ...kernel, axes: three, unfolds: !direct, inside: direct ? insideOf(three[2]) : null };
  },
  run(p, [input], n) {
    const x = toFloat(input, p.dtype), size = elementCount(p.shape), out = allocate(p.dtype, n * size);
    for (let r = 0; r < n; r++) (p.unfolds ? convolveUnfolded : convolveDirectly)(p, x, r * p.width, out, r * size);
    return out;
  },
};

/** One row: the windows as rows of a matrix, times the kernels. */
function convolveUnfolded({ dtype, width, weight, taps, groups, outputs, bias, channels, axes }, x, from, out, to) {
  const count = axes[0].m * axes[1].m * axes[2].m, block = Math.min(count, Math.max(4, Math.floor(MOST_COLUMNS / taps) & ~3));
  const columns = allocate(dtype, block * taps), inner = channels / groups, size = outputs / groups;
  for (let g = 0; g < groups; g++) {
    const own = bias === null ? null : bias.subarray(g * size, (g + 1) * size);
    for (let first = 0; first < count; first += block) {
      const n = Math.min(block, count - first);
      unfold(axes, x, from + g * inner * (width / channels), inner, width / channels, first, n, columns);
      multiplyRows(columns, 0, weight, g * size * taps, own, out, to + g * size * count + first, 1, count, n, taps, size);
    }
  }
}

/** The elements of n windows from `first` on, a row of channels and taps each, 0 outside. */
function unfold([a, b, c], x, from, channels, plane, first, n, columns) {
  const lastReach = (c.size - 1) * c.dilation;
  for (let q = first, to = 0; q < first + n; q++) {
    const k = q % c.m, rest = (q - k) / c.m, j = rest % b.m, i = (rest - j) / b.m;
    const x0 = i * a.stride - a.before, y0 = j * b.stride - b.before, z0 = k * c.stride - c.before, clear = z0 >= 0 && z0 + lastReach < c.n;
    for (let channel = 0, base = from; channel < channels; channel++, base += plane) {
      for (let d = 0, u = x0; d < a.size; d++, u += a.dilation) {
        for (let e = 0, v = y0; e < b.size; e++, v += b.dilation) {
          const outside = u < 0 || u >= a.n || v < 0 || v >= b.n;
          let at = base + (u * b.n + v) * c.n + z0;
          if (clear && !outside) for (let f = 0; f < c.size; f++, at += c.dilation) columns[to++] = x[at];
          else for (let f = 0, w = z0; f < c.size; f++, w += c.dilation, at += c.dilation) columns[to++] = !outside && w >= 0 && w < c.n ? x[at] : 0;
        }
      }
    }
  }
}

/** One row, tap by tap: sums of a line of the result at a time. */
function convolveDirectly({ width, weight, taps, groups, outputs, bias, channels, axes: [a, b, c], inside }, x, from, out, to) {
  const line = new Float64Array(c.m), inner = channels / groups, plane = width / channels;
  for (let o = 0; o < outputs; o++) {
    const group = from + Math.floor(o / (outputs / groups)) * inner * plane, add = bias === null ? 0 : bias[o];
    for (let i = 0; i < a.m; i++) {
      for (let j = 0; j < b.m; j++) {
        line.fill(0);
        for (let channel = 0, tap = o * taps; channel < inner; channel++) {
          for (let d = 0; d < a.size; d++) {
            const u = i * a.stride + d * a.dilation - a.before;
            for (let e = 0; e < b.size; e++, tap += c.size) {
              const v = j * b.stride + e * b.dilation - b.before;
              if (u < 0 || u >= a.n || v < 0 || v >= b.n) continue;
              const base = group + channel * plane + (u * b.n + v) * c.n - c.before;
              for (let f = 0; f < c.size; f++) addLine(line, inside[2 * f], inside[2 * f + 1], weight[tap + f], x, base + f * c.dilation, c.stride);
            }
          }
        }
        for (let k = 0; k < c.m; k++) out[to++] = line[k] + add;
      }
    }
  }
}

/** line[k] += w * x[from + k * stride] for k = first .. last - 1. */
function addLine(line, first, last, w, x, from, stride) {
  if (stride === 1) for (let k = first; k < last; k++) line[k] += w * x[from + k];
  else for (let k = first, at = from + first * stride; k < last; k++, at += stride) line[k] += w * x[at];
}

/** The transposed map: every element of the input adds to a window of the result. */
const conv_transpose = {
  check(step) {
    const x = imageInput(step), dtype = step.dtype(), kernel = readKernel(step, x, dtype, 0), windows = readWindows(step, kernel.sizes);
    const more = readIntegers(step, "output_padding", windows.length, 0, MOST_INDEX, 0);
    const axes = windows.map((window, i) => { // the windows lie on the result
      const { stride, dilation, reach, before, after } = window, m = x.shape[i + 1], n = stride * (m - 1) + more[i] + reach - before - after;
      if (more[i] >= Math.max(stride, dilation)) step.refuse(`has ${more[i]} in "output_padding", which is not below the stride or the dilation`);
      return n >= 1 ? { ...window, n, m } : step.refuse(`has "pads" that leave nothing of axis ${i + 1}`);
    });
    const shape = [kernel.outputs, ...axes.map(({ n }) => n)], three = threeOf(axes, NO_AXIS);
    step.outputWidth(elementCount(shape));
    step.multiply(x.width * kernel.taps);
    step.keep(2 * three[2].size);
    return { dtype, shape, width: x.width, ...kernel, axes: three, inside: insideOf(three[2]) };
  },
  run(p, [input], n) {
    const x = toFloat(input, p.dtype), size = elementCount(p.shape), out = allocate(p.dtype, n * size);
    for (let r = 0; r < n; r++) spreadWindows(p, x, r * p.width, out, r * size);
    return out;
  },
};

/** One row of conv_transpose; sums of an output channel at a time. */
function spreadWindows({ width, weight, taps, groups, outputs, bias, channels, axes: [a, b, c], inside }, x, from, out, to) {
  const size = outputs / groups, inner = channels / groups, plane = width / channels, kernel = taps / size, sums = new Float64Array(a.n * b.n * c.n);
  for (let o = 0; o < outputs; o++, to += sums.length) {
    const group = Math.floor(o / size), add = bias === null ? 0 : bias[o];
    sums.fill(0);
    for (let channel = group * inner; channel < (group + 1) * inner; channel++) {
      let tap = channel * taps + (o % size) * kernel;
      for (let d = 0; d < a.size; d++) {
        for (let e = 0; e < b.size; e++, tap += c.size) {
          for (let i = 0; i < a.m; i++) {
            const u = i * a.stride + d * a.dilation - a.before;
            for (let j = 0; u >= 0 && u < a.n && j < b.m; j++) {
              const v = j * b.stride + e * b.dilation - b.before, at = from + channel * plane + (i * b.m + j) * c.m, base = (u * b.n + v) * c.n - c.before;
              if (v < 0 || v >= b.n) continue;
              for (let f = 0; f < c.size; f++) {
                const w = weight[tap + f], last = inside[2 * f + 1];
                for (let k = inside[2 * f], place = base + f * c.dilation + k * c.stride; k < last; k++, place += c.stride) sums[place] += w * x[at + k];
              }
            }
          }
        }
      }
    }
    for (let k = 0; k < sums.length; k++) out[to + k] = sums[k] + add;
  }
}

// ============================================================================================================= Pooling

/** The taps of each window on an axis that lie in low..high - 1: first, and behind the last. */
function tapsIn({ m, size, stride, dilation, before }, low, high) {
  const ends = new Int32Array(2 * m);
  for (let i = 0; i < m; i++) {
    const start = i * stride - before;
    ends[2 * i] = Math.min(size, Math.max(0, Math.ceil((low - start) / dilation)));
    ends[2 * i + 1] = Math.max(ends[2 * i], Math.min(size, Math.floor((high - 1 - start) / dilation) + 1));
  }
  return ends;
}

/** The largest element, or the mean, of each window. */
const pool = {
  check(step) {
    const x = imageInput(step), dtype = step.dtype(), k = x.shape.length - 1, sizes = readIntegers(step, "size", k, 1, MOST_REACH);
    const mean = step.choice("fn", ["max", "mean"]) === "mean", axes = layWindows(step, x.shape.slice(1), sizes, step.flag("ceil"));
    if (!mean && step.has("count_pad")) step.refuse(`has "count_pad", which goes with the mean only`);
    const padded = step.flag("count_pad"), shape = [x.shape[0], ...axes.map(({ m }) => m)];
    step.multiply(step.outputWidth(elementCount(shape)) * elementCount(sizes));
    step.keep(4 * axes.reduce((sum, { m }) => sum + m, 0));
    axes.forEach(({ before, after, reach }, i) => {
      if (Math.max(before, after) >= reach) step.refuse(`pads axis ${i + 1} by ${Math.max(before, after)} elements for windows that reach over ${reach}`);
    });
    const three = threeOf(axes, NO_AXIS), inside = three.map((axis) => tapsIn(axis, 0, axis.n));
    if (inside.some((ends) => ends.some((end, i) => i % 2 === 1 && end === ends[i - 1]))) step.refuse("has a window that holds no element of its input");
    const counted = padded ? three.map((axis) => tapsIn(axis, -axis.before, axis.n + axis.after)) : inside;
    return { dtype, shape, planes: x.shape[0], plane: x.width / x.shape[0], axes: three, inside, counted, pool: mean ? meanOf : maxOf, mean };
  },
  run({ dtype, planes, plane, axes: [a, b, c], inside: [ia, ib, ic], counted: [ca, cb, cc], pool: apply, mean }, [input], n) {
    const x = toFloat(input, dtype), out = allocate(dtype, n * planes * a.m * b.m * c.m);
    for (let at = 0, to = 0; to < out.length; at += plane) {
      for (let i = 0; i < a.m; i++) {
        for (let j = 0; j < b.m; j++) {
          for (let k = 0; k < c.m; k++, to++) {
            const count = mean ? (ca[2 * i + 1] - ca[2 * i]) * (cb[2 * j + 1] - cb[2 * j]) * (cc[2 * k + 1] - cc[2 * k]) : 1;
            const from = at + ((i * a.stride - a.before) * b.n + j * b.stride - b.before) * c.n + k * c.stride - c.before;
            out[to] = apply(x, from, ia[2 * i], ia[2 * i + 1], a.dilation * b.n * c.n, ib[2 * j], ib[2 * j + 1], b.dilation * c.n, ic[2 * k], ic[2 * k + 1], c.dilation, count);
          }
        }
      }
    }
    return out;
  },
};

/** Over the taps d, e, f of a window: the element of each is at from + d * down + e * along + f * right. */
function maxOf(x, from, d0, d1, down, e0, e1, along, f0, f1, right) {
  let most = -Infinity;
  for (let d = d0; d < d1; d++) {
    for (let e = e0; e < e1; e++) {
      for (let f = f0, at = from + d * down + e * along + f0 * right; f < f1; f++, at += right) if (x[at] > most || x[at] !== x[at]) most = x[at];
    }
  }
  return most;
}

function meanOf(x, from, d0, d1, down, e0, e1, along, f0, f1, right, count) {
  let sum = 0;
  for (let d = d0; d < d1; d++) {
    for (let e = e0; e < e1; e++) for (let f = f0, at = from + d * down + e * along + f0 * right; f < f1; f++, at += right) sum += x[at];
  }
  return sum / count;
}

// =============================================================================================================== Norms

/** [channels, ..], and `key` read per channel. */
function checkChannels(step, keys) {
  const x = floatInput(step, step.take(1)[0], 1), dtype = step.dtype(), [channels] = x.shape;
  const [first, second] = keys.map((key) => (step.required(key), step.floats(key, dtype, [channels])));
  const scale = step.optionalFloats("scale", dtype, [channels]), bias = step.optionalFloats("bias", dtype, [channels]);
  return { dtype, shape: x.shape, channels, first, second, scale, bias, eps: readEps(step) };
}

function readEps(step) {
  step.required("eps");
  return step.number("eps", "f64");
}

/** By mean and variance of each channel as they were in training. */
const batch_norm = {
  check(step) {
    const { first: mean, second: variance, ...p } = checkChannels(step, ["mean", "var"]);
    return { ...p, mean, roots: step.once("roots", () => Float64Array.from(variance, (v) => Math.sqrt(v + p.eps))) };
  },
  run({ dtype, shape, channels, mean, roots, scale, bias }, [input]) {
    const x = toFloat(input, dtype), out = allocate(dtype, x.length), size = elementCount(shape) / channels;
    for (let at = 0, c = 0; at < x.length; c = (c + 1) % channels) {
      const m = mean[c], root = roots[c], times = scale === null ? 1 : scale[c], add = bias === null ? 0 : bias[c];
      for (const end = at + size; at < end; at++) out[at] = ((x[at] - m) / root) * times + add;
    }
    return out;
  },
};

/** [mean or 0, root of the variance + eps] of `size` elements. */
function momentsOf(x, from, size, eps, center) {
  let sum = 0, squares = 0;
  if (center) for (let j = from; j < from + size; j++) sum += x[j];
  const mean = sum / size;
  for (let j = from; j < from + size; j++) squares += (x[j] - mean) * (x[j] - mean);
  return [mean, Math.sqrt(squares / size + eps)];
}

/** Over the last axes. */
const layer_norm = {
  check(step) {
    const x = floatInput(step, step.take(1)[0], 1), dtype = step.dtype(), axes = step.has("axes") ? step.whole("axes", 1, x.shape.length) : 1;
    const last = x.shape.slice(-axes), scale = step.optionalFloats("scale", dtype, last), bias = step.optionalFloats("bias", dtype, last);
    return { dtype, shape: x.shape, size: elementCount(last), scale, bias, eps: readEps(step), center: step.flag("center", true) };
  },
  run({ dtype, size, scale, bias, eps, center }, [input]) {
    const x = toFloat(input, dtype), out = allocate(dtype, x.length);
    for (let from = 0; from < x.length; from += size) {
      const [mean, root] = momentsOf(x, from, size, eps, center);
      for (let j = 0; j < size; j++) {
        const y = (x[from + j] - mean) / root, scaled = scale === null ? y : y * scale[j];
        out[from + j] = bias === null ? scaled : scaled + bias[j];
      }
    }
    return out;
  },
};

/** Over groups of neighbouring channels. */
const group_norm = {
  check(step) {
    const p = checkChannels(step, []), groups = step.whole("groups", 1, p.channels), size = elementCount(p.shape) / groups;
    if (p.channels % groups !== 0) step.refuse(`has ${groups} groups, which do not divide ${p.channels} channels`);
    return { ...p, size, perChannel: elementCount(p.shape) / p.channels };
  },
  run({ dtype, channels, size, perChannel, scale, bias, eps }, [input]) {
    const x = toFloat(input, dtype), out = allocate(dtype, x.length);
    for (let from = 0; from < x.length; from += size) {
      const [mean, root] = momentsOf(x, from, size, eps, true);
      for (let at = from; at < from + size; ) {
        const c = (at / perChannel) % channels, times = scale === null ? 1 : scale[c], add = bias === null ? 0 : bias[c];
        for (const end = at + perChannel; at < end; at++) out[at] = ((x[at] - mean) / root) * times + add;
      }
    }
    return out;
  },
};

// ========================================================================================================= Activations

const { relu, softplus } = UNARY;
const elu = (x, alpha = 1) => (x > 0 ? x : alpha * Math.expm1(x));
const selu = (x) => 1.0507009873554805 * elu(x, 1.6732632423543772);
const gelu = (x) => (x / 2) * (1 + erf(x / Math.SQRT2));
const silu = (x) => x * sigmoid(x);
const softsign = (x) => x / (1 + Math.abs(x));
const hardSigmoid = (x, alpha = 1 / 6, beta = 0.5) => Math.min(1, Math.max(0, alpha * x + beta));

/** fn: [the function of x, alpha and beta, the defaults of those it takes]. */
const ACTIVATIONS = {
  __proto__: null,
  elu: [elu, 1],
  celu: [(x, alpha) => Math.max(x, 0) + Math.min(0, alpha * Math.expm1(x / alpha)), 1],
  selu: [selu],
  leaky_relu: [(x, alpha) => (x >= 0 ? x : alpha * x), 0.01],
  gelu: [gelu],
  gelu_tanh: [(x) => (x / 2) * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))],
  quick_gelu: [(x, alpha) => x * sigmoid(alpha * x), 1.702],
  silu: [silu],
  hard_sigmoid: [hardSigmoid, 1 / 6, 0.5],
  hard_swish: [(x) => x * hardSigmoid(x, 1 / 6, 0.5)],
  softsign: [softsign],
  mish: [(x) => x * Math.tanh(softplus(x))],
  tanh_shrink: [(x) => x - Math.tanh(x)],
  hard_shrink: [(x, alpha) => (Math.abs(x) > alpha ? x : 0), 0.5],
  soft_shrink: [(x, alpha) => (x > alpha ? x - alpha : x < -alpha ? x + alpha : 0), 0.5],
  threshold: [(x, alpha, beta) => (x > alpha ? x : beta), 0, 0],
  squareplus: [(x, alpha) => (x + Math.sqrt(x * x + alpha)) / 2, 4],
};

/** One of the usual activations, element by element. */
const activation = {
  check(step) {
    const { shape } = step.only(FLOATS), dtype = step.dtype(), fn = step.choice("fn", Object.keys(ACTIVATIONS)), [apply, ...defaults] = ACTIVATIONS[fn];
    const [alpha, beta] = ["alpha", "beta"].map((key, i) => {
      if (i >= defaults.length && step.has(key)) step.refuse(`has ${quote(key)}, which does not go with ${fn}`);
      return step.number(key, "f64", defaults[i]);
    });
    if (fn === "celu" && alpha === 0) step.refuse(`has 0 for "alpha", by which celu divides`);
    step.multiply(COSTLY * elementCount(shape));
    return { dtype, shape, apply, alpha, beta };
  },
  run({ dtype, apply, alpha, beta }, [input]) {
    const x = toFloat(input, dtype), out = allocate(dtype, x.length);
    for (let i = 0; i < x.length; i++) out[i] = x[i] !== x[i] ? NaN : apply(x[i], alpha, beta);
    return out;
  },
};

/** x where it is not negative, else a slope times x. */
const prelu = {
  check(step) {
    const x = step.only(FLOATS), dtype = step.dtype(), slope = step.tensor("slope", dtype, [dtype]);
    checkBroadcast(step, slope.shape, x.shape, `"slope"`);
    step.keep(x.width);
    return { dtype, shape: x.shape, width: x.width, slope: spread(slope.data, slope.shape, x.shape, 1) };
  },
  run({ dtype, width, slope }, [input]) {
    const x = toFloat(input, dtype), out = allocate(dtype, x.length);
    for (let from = 0; from < x.length; from += width) for (let j = 0; j < width; j++) out[from + j] = x[from + j] >= 0 ? x[from + j] : slope[j] * x[from + j];
    return out;
  },
};

// ========================================================================================================= Recurrences

const CELL_FUNCTIONS = {
  __proto__: null, tanh: Math.tanh, sigmoid, relu, hard_sigmoid: (x) => hardSigmoid(x), linear: identity, softsign, silu, elu: (x) => elu(x), selu, softplus, gelu,
};

const MOST_TURNS = 64; // rows times times whose products with the weight are made at once

/** What lstm, gru and rnn share; `parts` rows of the weight per unit, `states` first states or none. */
function checkRecurrence(step, parts, states, results) {
  const [x, ...more] = step.take(1, states + 2), dtype = step.dtype(), [time, width] = floatInput(step, x, 2, 2).shape;
  const masked = more.length > 0 && more[more.length - 1].dtype === "bool", given = more.slice(0, more.length - Number(masked));
  const weight = step.tensor("weight", dtype, [dtype], 2), recurrent = step.tensor("recurrent", dtype, [dtype], 2), units = recurrent.shape[1];
  const gates = parts * units, fits = units >= 1 && sameShape(weight.shape, [gates, width]) && recurrent.shape[0] === gates;
  if (!fits) step.refuse(`has "weight" of shape ${showShape(weight.shape)} and "recurrent" of shape ${showShape(recurrent.shape)} for ${width} features`);
  if (given.length !== 0 && given.length !== states) step.refuse(`has ${given.length} first states; it takes ${states}, or none`);
  for (const state of given) if (!sameShape(floatInput(step, state, 1, 1).shape, [units])) step.refuse(`has a first state of row shape ${showShape(state.shape)} for ${units} units`);
  if (masked && !sameShape(more[more.length - 1].shape, [time])) step.refuse(`has a mask of row shape ${showShape(more[more.length - 1].shape)} for ${time} times`);
  const bias = step.optionalFloats("bias", dtype, [gates]), fn = CELL_FUNCTIONS[step.choice("fn", Object.keys(CELL_FUNCTIONS), "tanh")];
  const reverse = step.flag("reverse"), zeroMasked = step.flag("zero_masked"), result = step.choice("result", results, "sequence");
  if (zeroMasked && !masked) step.refuse(`has "zero_masked" without a mask`);
  step.multiply(time * (weight.data.length + recurrent.data.length + 3 * COSTLY * gates));
  return {
    dtype, shape: result === "sequence" ? [time, units] : [units], time, width, units, gates, states, masked, weight: weight.data, recurrent: recurrent.data, bias,
    recurrentBias: null, fn, gate: null, reverse, zeroMasked, result,
  };
}

function readGate(step) { return CELL_FUNCTIONS[step.choice("gate_fn", Object.keys(CELL_FUNCTIONS), "sigmoid")]; }

/**
 * The rows of a recurrence. turn(p, z, at, y, states, r) advances the states of row r: z[at ...] is weight x + bias, y[r * gates ...] is
 * recurrent h + recurrent bias. before(p, z, at, y, states, n), where there is one, comes ahead of the turns of n rows.
 */
function runRecurrence(p, turn, before, inputs, n) {
  const { dtype, time, width, units, gates, states: count, masked, weight, recurrent, bias, recurrentBias, reverse, zeroMasked, result } = p;
  const x = toFloat(inputs[0], dtype), mask = masked ? inputs[inputs.length - 1] : null, sequence = result === "sequence";
  const states = Array.from({ length: count }, (_, i) => (inputs.length - Number(masked) > 1 ? toFloat(inputs[1 + i], dtype).slice() : allocate(dtype, n * units)));
  const out = allocate(dtype, sequence ? n * time * units : 0), block = Math.max(1, Math.min(time, Math.floor(MOST_TURNS / Math.max(1, n))));
  const rows = allocate(dtype, block * n * width), z = new Float64Array(block * n * gates), y = new Float64Array(n * gates);
  const placeOfTurn = (turnNumber) => (reverse ? time - 1 - turnNumber : turnNumber);
  for (let first = 0; first < time; first += block) {
    const turns = Math.min(block, time - first);
    for (let i = 0, to = 0; i < turns; i++) {
      for (let r = 0; r < n; r++) for (let j = 0, from = (r * time + placeOfTurn(first + i)) * width; j < width; j++) rows[to++] = x[from + j];
    }
    multiplyRows(rows, 0, weight, 0, bias, z, 0, gates, 1, turns * n, width, gates);
    for (let i = 0; i < turns; i++) {
      const at = placeOfTurn(first + i);
      multiplyRows(states[0], 0, recurrent, 0, recurrentBias, y, 0, gates, 1, n, units, p.early);
      if (before !== null) before(p, z, i * n * gates, y, states, n);
      for (let r = 0; r < n; r++) {
        const seen = mask === null || mask[r * time + at] !== 0, to = (r * time + at) * units;
        if (seen) turn(p, z, (i * n + r) * gates, y, states, r);
        if (sequence && (seen || !zeroMasked)) for (let j = 0; j < units; j++) out[to + j] = states[0][r * units + j];
      }
    }
  }
  return sequence ? out : states[result === "cell" ? 1 : 0];
}

/** Gates in the order input, forget, cell, output. */
const lstm = {
  check(step) {
    const p = checkRecurrence(step, 4, 2, ["sequence", "last", "cell"]);
    return { ...p, gate: readGate(step), early: p.gates };
  },
  run(p, inputs, n) { return runRecurrence(p, turnLstm, null, inputs, n); },
};

function turnLstm({ units, gates, fn, gate }, z, at, y, [h, c], r) {
  for (let j = 0, a = at, b = r * gates, k = r * units; j < units; j++, a++, b++, k++) {
    const cell = gate(z[a + units] + y[b + units]) * c[k] + gate(z[a] + y[b]) * fn(z[a + 2 * units] + y[b + 2 * units]);
    h[k] = gate(z[a + 3 * units] + y[b + 3 * units]) * fn(cell);
    c[k] = cell;
  }
}

/** Gates in the order update, reset, new. */
const gru = {
  check(step) {
    const p = checkRecurrence(step, 3, 1, ["sequence", "last"]), after = step.flag("reset_after");
    const recurrentBias = step.optionalFloats("recurrent_bias", p.dtype, [p.gates]);
    return { ...p, gate: readGate(step), recurrentBias, after, early: after ? p.gates : 2 * p.units };
  },
  run(p, inputs, n) { return runRecurrence(p, turnGru, p.after ? null : resetGru, inputs, n); },
};

/** Before the new part of a gru without reset_after: recurrent (r h) of all rows. */
function resetGru({ units, gates, gate, recurrent, recurrentBias }, z, at, y, [h], n) {
  const kept = new Float64Array(n * units), bias = recurrentBias === null ? null : recurrentBias.subarray(2 * units);
  for (let r = 0; r < n; r++) {
    for (let j = 0; j < units; j++) kept[r * units + j] = gate(z[at + r * gates + units + j] + y[r * gates + units + j]) * h[r * units + j];
  }
  multiplyRows(kept, 0, recurrent, 2 * units * units, bias, y, 2 * units, gates, 1, n, units, units);
}

function turnGru({ units, gates, fn, gate, after }, z, at, y, [h], r) {
  for (let j = 0, a = at, b = r * gates, k = r * units; j < units; j++, a++, b++, k++) {
    const update = gate(z[a] + y[b]), reset = after ? gate(z[a + units] + y[b + units]) : 1;
    h[k] = (1 - update) * fn(z[a + 2 * units] + reset * y[b + 2 * units]) + update * h[k];
  }
}

/** h = fn(weight x + bias + recurrent h). */
const rnn = {
  check(step) {
    const p = checkRecurrence(step, 1, 1, ["sequence", "last"]);
    return { ...p, early: p.gates };
  },
  run(p, inputs, n) { return runRecurrence(p, turnRnn, null, inputs, n); },
};

function turnRnn({ units, fn }, z, at, y, [h], r) {
  for (let j = 0, k = r * units; j < units; j++, k++) h[k] = fn(z[at + j] + y[k]);
}

// =========================================================================================================== Attention

const MOST_SCORES = 2 ** 15; // scores that are held at once

/** Softmax of scaled products of queries and keys, plus a bias, times values. */
const attention = {
  check(step) {
    const [q, k, v, bias] = step.take(3, 4), dtype = step.dtype();
    for (const x of [q, k, v]) floatInput(step, x, 2);
    const [m, d] = q.shape.slice(-2), [n, dk] = k.shape.slice(-2), [nv, e] = v.shape.slice(-2), leads = [q, k, v].map(({ shape }) => shape.slice(0, -2));
    if (d !== dk || n !== nv) step.refuse(`has inputs of row shapes ${[q, k, v].map(({ shape }) => showShape(shape)).join(", ")}, which do not go together`);
    const leading = broadcastShapes(step, leads), scored = [...leading, m, n], shape = [...leading, m, e];
    step.outputWidth(elementCount(shape));
    step.multiply(elementCount(scored) * (d + e + COSTLY));
    if (bias !== undefined) checkBroadcast(step, step.expect(bias, FLOATS).shape, scored, "a bias");
    const offsets = [m * d, n * d, n * e].map((size, i) => matrixOffsets(step, leading, leads[i], size));
    const own = bias === undefined ? null : [...new Array(scored.length - bias.shape.length).fill(1), ...bias.shape], strides = own === null ? [0, 0] : stridesOf(own).slice(-2);
    if (own !== null) offsets.push(matrixOffsets(step, leading, own.slice(0, -2), own[own.length - 2] * own[own.length - 1]));
    const scale = step.number("scale", "f64", 1 / Math.sqrt(d)), causal = step.flag("causal");
    return { dtype, shape, m, n, d, e, widths: step.inputs.map((x) => x.width), offsets, strides, scale, causal };
  },
  run(p, inputs, rows) {
    const { dtype, m, n, d, e, widths, offsets, causal } = p, [q, k, v, bias] = inputs.map((x) => toFloat(x, dtype)), count = offsets[0].length;
    const block = Math.min(m, Math.max(4, Math.floor(MOST_SCORES / n) & ~3)), scores = new Float64Array(block * n), turned = allocate(dtype, n * e);
    const out = allocate(dtype, rows * count * m * e);
    for (let r = 0, to = 0; r < rows; r++) {
      for (let i = 0; i < count; i++, to += m * e) {
        const [atQ, atK, atV, atBias] = offsets.map((places, input) => r * widths[input] + places[i]);
        if (!causal) turnOver(v, atV, n, e, turned);
        for (let first = 0; first < m; first += block) {
          const size = Math.min(block, m - first);
          multiplyRows(q, atQ + first * d, k, atK, null, scores, 0, n, 1, size, d, n);
          for (let j = 0; j < size; j++) weigh(p, scores, j * n, first + j, bias, atBias);
          if (causal) for (let j = 0; j < size; j++) addValues(scores, j * n, Math.min(n, first + j + 1), v, atV, e, out, to + (first + j) * e);
          else multiplyRows(scores, 0, turned, 0, null, out, to + first * e, e, 1, size, n, e);
        }
      }
    }
    return out;
  },
};

/** The products of query i, at `from`, become weights. */
function weigh({ n, strides: [down, right], scale, causal }, scores, from, i, bias, atBias) {
  const last = from + (causal ? Math.min(n, i + 1) : n);
  let most = -Infinity, sum = 0;
  for (let j = from; j < last; j++) {
    scores[j] *= scale;
    if (bias !== undefined) scores[j] += bias[atBias + i * down + (j - from) * right];
    if (scores[j] > most || scores[j] !== scores[j]) most = scores[j];
  }
  for (let j = from; j < last; j++) sum += scores[j] = UNARY.exp(scores[j] - most);
  for (let j = from; j < last; j++) scores[j] /= sum;
}

/** out[to ...] = the sum of the first `count` values, each by its weight. */
function addValues(weights, from, count, v, at, e, out, to) {
  const sums = new Float64Array(e);
  for (let j = 0; j < count; j++) {
    const w = weights[from + j];
    for (let k = 0; k < e; k++) sums[k] += w * v[at + j * e + k];
  }
  for (let k = 0; k < e; k++) out[to + k] = sums[k];
}

// ================================================================================================================ Sums

/** Running sums along an axis. */
const cumsum = {
  check(step) {
    const x = step.only([...FLOATS, "i64"]), dtype = step.dtype(), axis = readAxis(step, x), { shape } = x;
    return {
      dtype: x.dtype === "i64" ? "i64" : dtype, shape, outer: elementCount(shape.slice(0, axis)), length: shape[axis], inner: elementCount(shape.slice(axis + 1)),
      exclusive: step.flag("exclusive"), reverse: step.flag("reverse"),
    };
  },
  run(p, [input], n) {
    if (p.dtype !== "i64") return runSums(p, toFloat(input, p.dtype), n, 0);
    const sums = input instanceof BigInt64Array ? null : runSums(p, input, n, 0);
    return sums !== null && sums.every(Number.isSafeInteger) ? sums : runSums(p, align([input, BigInt64Array.of(0n)])[0], n, 0n);
  },
};

function runSums({ outer, length, inner, exclusive, reverse }, x, n, zero) {
  const out = emptyLike(x, x.length), by = reverse ? -inner : inner;
  for (let o = 0; o < n * outer; o++) {
    for (let j = 0; j < inner; j++) {
      let sum = zero, at = (o * length + (reverse ? length - 1 : 0)) * inner + j;
      for (let i = 0; i < length; i++, at += by) {
        if (exclusive) out[at] = sum;
        sum += x[at];
        if (!exclusive) out[at] = sum;
      }
    }
  }
  return out;
}

// ================================================================================================================ Table

/** An op whose check also holds what all of them have in common: no axis has length 0. */
function withLengths({ check, run }) {
  const refuseEmpty = (step, { shape }, what) => { if (shape.includes(0)) step.refuse(`has ${what} of row shape ${showShape(shape)}; all lengths are at least 1`); };
  return {
    check(step) {
      for (const x of step.inputs) refuseEmpty(step, x, "an input");
      const p = check(step);
      refuseEmpty(step, p, "a result");
      return p;
    },
    run,
  };
}

const OPS = {
  reshape, transpose, slice, expand, positions, gather, embedding, pad, resize, matmul, conv, conv_transpose, pool, batch_norm, layer_norm, group_norm, activation,
  prelu, lstm, gru, rnn, attention, cumsum,
};

return Object.freeze({ __proto__: null, ...Object.fromEntries(Object.entries(OPS).map(([name, op]) => [name, withLengths(op)])) });
});
