// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Ops of the profiles kernel, text and solver (docs/format.md, section 6), and poly, interp and gaussian_ll of profile tabular, for modelport.js: put it
// beside that file, and hand its table to `load`.
//
//     const model = modelport.load(bytes, { ops: more });
//
// `more` is what `require("./modelport_more.js")` or `import more from "./modelport_more.js"` gives; a classic <script>, behind the one of
// modelport.js, defines it as `modelportMore`. As in modelport.js, check(step) reads an op's attributes, and run(p, inputs, n, first)
// computes n rows.

(function (root, factory) {
  "use strict";
  if (typeof module === "object" && module !== null && module.exports) module.exports = factory(require("./modelport.js"));
  else root.modelportMore = factory(root.modelport);
})(typeof globalThis === "object" ? globalThis : this, function (modelport) {
"use strict";

if (!modelport) throw new Error("modelport_more.js needs modelport.js, loaded before it");

const { COSTLY, FLOATS, INTEGERS, allocate, checkLastAxis, checkRow, dot, elementCount, exp, identity, isWellFormed, kernels, multiplyRows, pow, quote, refuse, sigmoid, toFloat }
  = modelport.internals;

// ============================================================================================================= Tabular

/** Products of powers of columns. */
const poly = {
  check(step) {
    const { width, dtype, round } = checkRow(step), { shape, data } = step.tensor("powers", "i64", INTEGERS, 2);
    if (shape[1] !== width) step.refuse(`has "powers" for ${shape[1]} columns; its input has ${width}`);
    const powers = step.checkIndexes("powers", data, 0, 255), size = step.outputWidth(shape[0]), ends = new Int32Array(size);
    const factors = new Int32Array(2 * powers.reduce((count, power) => count + Number(power > 0), 0)); // column, power, column, power, ..., the last column first
    step.multiply(powers.reduce((sum, power) => sum + power, 0));
    for (let k = 0, at = 0; k < size; ends[k++] = at) {
      for (let j = width - 1; j >= 0; j--) {
        const power = powers[k * width + j];
        if (power > 0) factors[at++] = j, factors[at++] = power;
      }
    }
    return { dtype, shape: [size], width, round, factors, ends };
  },
  run({ dtype, shape: [size], width, round, factors, ends }, [input], n) {
    const x = toFloat(input, dtype), out = allocate(dtype, n * size);
    for (let r = 0; r < n; r++) {
      for (let k = 0, i = 0; k < size; k++) {
        let product = 1;
        for (; i < ends[k]; i += 2) for (let power = factors[i + 1]; power > 0; power--) product = round(x[r * width + factors[i]] * product);
        out[r * size + k] = product;
      }
    }
    return out;
  },
};

/** Piecewise linear, element by element. */
const interp = {
  check(step) {
    const { shape, dtype, round } = checkLastAxis(step), knots = step.tensor("x", dtype, [dtype], 1).data;
    const values = step.floats("y", dtype, [knots.length]), outside = step.choice("outside", ["clip", "nan", "extend"]);
    if (!knots.every(Number.isFinite) || !values.every(Number.isFinite)) step.refuse(`has an element in "x" or "y" that is not finite`);
    if (knots.length === 0) step.refuse(`has no first knot in "x"`);
    for (let i = 1; i < knots.length; i++) if (!(knots[i - 1] < knots[i])) step.refuse(`has knots in "x" that do not ascend strictly`);
    if (outside === "extend" && knots.length < 2) step.refuse(`extends a line from one knot; two are needed`);
    step.multiply(COSTLY * elementCount(shape));
    return { dtype, shape, round, knots, values, outside };
  },
  run(p, [input]) {
    const x = toFloat(input, p.dtype), out = allocate(p.dtype, x.length);
    for (let i = 0; i < x.length; i++) out[i] = interpolate(p, x[i]);
    return out;
  },
};

/** Piecewise linear through (knots, values). */
function interpolate({ knots, values, outside, round }, v) {
  const last = knots.length - 1;
  if (v !== v) return v;
  if (outside !== "extend" && (v < knots[0] || v > knots[last])) return outside === "clip" ? values[v < knots[0] ? 0 : last] : NaN;
  if (v === knots[last]) return values[last];
  let low = 0, high = last; // the segment low..low + 1; outside, the end segment
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (knots[middle] <= v) low = middle;
    else high = middle;
  }
  const slope = round(round(values[low + 1] - values[low]) / round(knots[low + 1] - knots[low]));
  return round(slope * round(v - knots[low])) + values[low];
}

/** The logarithm of normal densities, summed over the columns, and of a prior. */
const gaussianLl = {
  check(step) {
    const { width, dtype, round } = checkRow(step), { shape, data: mean } = step.tensor("mean", dtype, [dtype], 2);
    if (shape[1] !== width) step.refuse(`has "mean" for ${shape[1]} columns; its input has ${width}`);
    step.outputWidth(shape[0]);
    step.multiply(shape[0] * (width + COSTLY));
    const variance = step.floats("var", dtype, shape), start = (step.optionalFloats("log_prior", dtype, [shape[0]]) ?? allocate(dtype, shape[0])).slice();
    for (let k = 0; k < shape[0]; k++) {
      let sum = 0;
      for (let j = k * width; j < (k + 1) * width; j++) sum += round(Math.log(round(round(2 * Math.PI) * variance[j])));
      start[k] -= round(0.5 * round(sum));
    }
    return { dtype, shape: [shape[0]], width, round, mean, variance, start };
  },
  run({ dtype, shape: [size], width, round, mean, variance, start }, [input], n) {
    const x = toFloat(input, dtype), out = allocate(dtype, n * size);
    for (let r = 0; r < n; r++) {
      for (let k = 0; k < size; k++) {
        let sum = 0;
        for (let j = 0; j < width; j++) {
          const d = round(x[r * width + j] - mean[k * width + j]);
          sum += round(round(d * d) / variance[k * width + j]);
        }
        out[r * size + k] = start[k] - round(0.5 * round(sum));
      }
    }
    return out;
  },
};

// ============================================================================================================== Kernel

// ------------------------------------------------------------------------------------------------------------ pairwise

const PANEL = 256; // points that stay in the cache while the rows of a block pass by

/** Sums over the columns j, ascending, of u = x[row + j] and v = y[at + j]; or the largest of them. */
const SUMS = {
  squares(x, row, y, at, width) {
    let sum = 0;
    for (let j = 0; j < width; j++) sum += (x[row + j] - y[at + j]) * (x[row + j] - y[at + j]);
    return sum;
  },
  absolutes(x, row, y, at, width) {
    let sum = 0;
    for (let j = 0; j < width; j++) sum += Math.abs(x[row + j] - y[at + j]);
    return sum;
  },
  largest(x, row, y, at, width) {
    let most = 0;
    for (let j = 0; j < width; j++) most = Math.max(most, Math.abs(x[row + j] - y[at + j]));
    return most;
  },
  powers(x, row, y, at, width, exponent) {
    let sum = 0;
    for (let j = 0; j < width; j++) sum += pow(Math.abs(x[row + j] - y[at + j]), exponent);
    return sum;
  },
  ratios(x, row, y, at, width) {
    let sum = 0;
    for (let j = 0; j < width; j++) {
      const u = x[row + j], v = y[at + j];
      if (u !== 0 || v !== 0) sum += Math.abs(u - v) / (Math.abs(u) + Math.abs(v));
    }
    return sum;
  },
  sizes(x, row, y, at, width) {
    let sum = 0;
    for (let j = 0; j < width; j++) sum += Math.abs(x[row + j] + y[at + j]);
    return sum;
  },
  different(x, row, y, at, width) {
    let count = 0;
    for (let j = 0; j < width; j++) if (x[row + j] !== y[at + j]) count++;
    return count;
  },
  knownSquares(x, row, y, at, width) {
    let sum = 0;
    for (let j = 0; j < width; j++) {
      const difference = x[row + j] - y[at + j];
      if (!Number.isNaN(x[row + j]) && !Number.isNaN(y[at + j])) sum += difference * difference;
    }
    return sum;
  },
  known(x, row, y, at, width) {
    let count = 0;
    for (let j = 0; j < width; j++) if (!Number.isNaN(x[row + j]) && !Number.isNaN(y[at + j])) count++;
    return count;
  },
  chi2(x, row, y, at, width) {
    let sum = 0;
    for (let j = 0; j < width; j++) {
      const u = x[row + j], v = y[at + j];
      if (u + v !== 0) sum += ((u - v) * (u - v)) / (u + v);
    }
    return sum;
  },
};

/** A kernel from one of SUMS: out[k - first] is the sum for the row of x that begins at `row` and point k, for k = first .. last - 1. */
const kernelOf = (sum) => ({ width, points, p: exponent }, x, row, first, last, out) => {
  for (let k = first; k < last; k++) out[k - first] = sum(x, row, points, k * width, width, exponent);
};

/** The kernel of products. */
function multiplyPoints({ width, points }, x, row, first, last, out) {
  multiplyRows(x, row, points, first * width, null, out, 0, 0, 1, 1, width, last - first);
}

/** The kernel of squares; four sums at a time. */
function sumSquares({ width, points }, x, row, first, last, out) {
  let k = first;
  for (; k + 4 <= last; k += 4) {
    let a = 0, b = 0, c = 0, d = 0;
    for (let j = 0, i = k * width; j < width; j++, i++) {
      const v = x[row + j], da = v - points[i], db = v - points[i + width], dc = v - points[i + 2 * width], dd = v - points[i + 3 * width];
      a += da * da;
      b += db * db;
      c += dc * dc;
      d += dd * dd;
    }
    out[k - first] = a;
    out[k - first + 1] = b;
    out[k - first + 2] = c;
    out[k - first + 3] = d;
  }
  for (; k < last; k++) out[k - first] = SUMS.squares(x, row, points, k * width, width);
}

/** The kernel of the products of norms. */
function multiplyNorms({ width, norms }, x, row, first, last, out) {
  const norm = Math.sqrt(dot(x, row, x, row, width));
  for (let k = first; k < last; k++) out[k - first] = norm * norms[k];
}

const sumAbsolutes = kernelOf(SUMS.absolutes);

/** The kernels that modelport_fast.js has too, and their names there. */
const TILED = new Map([[multiplyPoints, "products"], [sumSquares, "squares"], [sumAbsolutes, "absolutes"]]);

/** [kernel, a second kernel or null, the metric from both results and p]. */
const METRICS = {
  __proto__: null,
  dot: [multiplyPoints, null, identity],
  sqeuclidean: [sumSquares, null, identity],
  euclidean: [sumSquares, null, Math.sqrt],
  manhattan: [sumAbsolutes, null, identity],
  chebyshev: [kernelOf(SUMS.largest), null, identity],
  minkowski: [kernelOf(SUMS.powers), null, (sum, _, { p }) => pow(sum, 1 / p)],
  cosine: [multiplyPoints, multiplyNorms, (sum, norms) => (norms === 0 ? 1 : 1 - sum / norms)],
  canberra: [kernelOf(SUMS.ratios), null, identity],
  braycurtis: [sumAbsolutes, kernelOf(SUMS.sizes), (sum, sizes) => sum / sizes],
  hamming: [kernelOf(SUMS.different), null, (count, _, { width }) => count / width],
  nan_euclidean: [kernelOf(SUMS.knownSquares), kernelOf(SUMS.known), (sum, known, { width }) => Math.sqrt((sum / known) * width)],
  chi2: [kernelOf(SUMS.chi2), null, (sum, _, { gamma }) => exp(-gamma * sum)],
  additive_chi2: [kernelOf(SUMS.chi2), null, (sum) => -sum],
  rbf: [sumSquares, null, (sum, _, { gamma }) => exp(-gamma * sum)],
  laplacian: [sumAbsolutes, null, (sum, _, { gamma }) => exp(-gamma * sum)],
  poly: [multiplyPoints, null, (sum, _, { gamma, coef0, degree }) => pow(gamma * sum + coef0, degree)],
  sigmoid: [multiplyPoints, null, (sum, _, { gamma, coef0 }) => Math.tanh(gamma * sum + coef0)],
};

/** A distance or kernel between the row and every point; f32 is computed in f64 and rounded. */
const pairwise = {
  check(step) {
    const { width, dtype } = checkRow(step), { shape, data } = step.tensor("points", dtype, [dtype], 2), points = toFloat(data, "f64");
    if (shape[1] !== width) step.refuse(`has "points" of ${shape[1]} columns; its input has ${width}`);
    step.outputWidth(shape[0]);
    const [gamma, coef0, degree, p] = [["gamma", 1], ["coef0", 0], ["degree", 3], ["p", 2]].map(([key, fallback]) => step.number(key, dtype, fallback));
    if (!(p > 0)) step.refuse(`has a "p" that is not positive`);
    const metric = step.choice("metric", Object.keys(METRICS));
    if (metric !== "nan_euclidean" && points.some(Number.isNaN)) step.refuse(`has NaN in "points", which the metric ${metric} does not take`);
    step.multiply(shape[0] * ((metric === "minkowski" ? COSTLY : 1) * width + COSTLY));
    const norms = Float64Array.from({ length: shape[0] }, (_, k) => Math.sqrt(dot(points, k * width, points, k * width, width)));
    return { dtype, shape: [shape[0]], width, points, norms, metric: METRICS[metric], gamma, coef0, degree, p };
  },
  run(p, [input], n) {
    const { dtype, shape: [size], width, points, metric: [kernel, second, finish] } = p, x = toFloat(toFloat(input, dtype), "f64");
    const out = allocate(dtype, n * size), sums = new Float64Array(PANEL), others = new Float64Array(PANEL);
    if (second === null && TILED.has(kernel) && kernels.tile !== null) {
      const all = dtype === "f64" ? out : new Float64Array(out.length);
      if (kernels.tile(TILED.get(kernel), x, 0, points, 0, null, all, 0, size, 1, n, width, size)) {
        if (finish === identity) return toFloat(all, dtype);
        if (finish === Math.sqrt) for (let i = 0; i < out.length; i++) out[i] = Math.sqrt(all[i]); // a call of its own would cost more than the root
        else for (let i = 0; i < out.length; i++) out[i] = finish(all[i], 0, p);
        return out;
      }
    }
    for (let first = 0; first < size; first += PANEL) {
      const last = Math.min(first + PANEL, size);
      for (let r = 0; r < n; r++) {
        kernel(p, x, r * width, first, last, sums);
        if (second !== null) second(p, x, r * width, first, last, others);
        for (let k = first, at = r * size; k < last; k++) out[at + k] = finish(sums[k - first], others[k - first], p);
      }
    }
    return out;
  },
};

// --------------------------------------------------------------------------------------------------- smallest and knn

/** Whether a comes before b in ascending order: NaN is largest, and equal to itself. */
const before = (a, b) => a < b || (b !== b && a === a);

/** Whether the element at position a of a row stands behind the one at b: ties go by position. */
function isBehind(x, from, a, b) {
  const u = x[from + a], v = x[from + b];
  return before(v, u) || (!before(u, v) && a > b);
}

/** Restores a heap of n positions, the last of the order on top, below place i. */
function sink(x, from, heap, n, i) {
  for (let child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && isBehind(x, from, heap[child + 1], heap[child])) child++;
    if (!isBehind(x, from, heap[child], heap[i])) return;
    [heap[i], heap[child]] = [heap[child], heap[i]];
  }
}

/** The positions of the k smallest elements of a row of `width`, as a heap. */
function findSmallest(x, from, width, k) {
  const heap = Int32Array.from({ length: k }, (_, i) => i);
  for (let i = k >> 1; i-- > 0;) sink(x, from, heap, k, i);
  let last = x[from + heap[0]];
  for (let i = k; i < width; i++) {
    if (x[from + i] >= last || !before(x[from + i], last)) continue; // all positions in the heap are lower
    heap[0] = i;
    sink(x, from, heap, k, 0);
    last = x[from + heap[0]];
  }
  return heap;
}

/** Sorts a heap: the first of the order comes first. */
function sortHeap(x, from, heap) {
  for (let end = heap.length; end-- > 1;) {
    [heap[0], heap[end]] = [heap[end], heap[0]];
    sink(x, from, heap, end, 0);
  }
  return heap;
}

/** 1.0 at the k smallest elements, else 0.0. */
const smallest = {
  check(step) {
    const { width } = step.row(FLOATS);
    step.multiply(4 * COSTLY * width);
    return { dtype: "f64", shape: [width], width, k: step.whole("k", 1, width) };
  },
  run({ width, k }, [x], n) {
    const out = new Float64Array(n * width);
    for (let from = 0; from < out.length; from += width) for (const i of findSmallest(x, from, width, k)) out[from + i] = 1;
    return out;
  },
};

/** The weights of the chosen neighbours of one row. */
function neighbourWeights(distances, from, chosen, byDistance) {
  const weights = new Float64Array(chosen.length).fill(1);
  if (!byDistance) return weights;
  const zero = chosen.some((i) => distances[from + i] === 0);
  return weights.map((_, j) => {
    const d = distances[from + chosen[j]];
    return zero ? Number(d === 0) : 1 / d;
  });
}

/** The (weighted) mean over the k smallest distances. */
const knn = {
  check(step) {
    const { width } = step.row(["f64"]), k = step.whole("k", 1, width);
    step.multiply(width * (k + COSTLY));
    const byDistance = step.choice("weights", ["uniform", "distance"]) === "distance", common = { dtype: "f64", width, k, byDistance };
    if (step.has("classes")) {
      const classes = step.whole("classes", 1, step.limits.rowElements), codes = step.indexes("targets", 0, classes - 1);
      return { ...common, shape: [classes], codes: step.length("targets", codes, width), targets: null };
    }
    const { shape, data: targets } = step.tensor("targets", "f64", ["f64"], 2);
    if (shape[0] !== width) step.refuse(`has "targets" for ${shape[0]} points; its input has ${width}`);
    return { ...common, shape: [shape[1]], codes: null, targets };
  },
  run({ shape: [size], width, k, byDistance, codes, targets }, [x], n) {
    const out = new Float64Array(n * size);
    for (let r = 0; r < n; r++) {
      const chosen = sortHeap(x, r * width, findSmallest(x, r * width, width, k)), weights = neighbourWeights(x, r * width, chosen, byDistance);
      let total = 0;
      for (let j = 0; j < k; j++) {
        total += weights[j];
        if (codes !== null) out[r * size + codes[chosen[j]]] += weights[j];
        else for (let o = 0; o < size; o++) out[r * size + o] += weights[j] * targets[chosen[j] * size + o];
      }
      for (let o = r * size; o < (r + 1) * size; o++) out[o] /= total;
    }
    return out;
  },
};

// ------------------------------------------------------------------------------------------------------------ ovo_vote

/** Pairwise coupling (docs/format.md, section 9). r: [c * c], r[t * c + j] the probability of t against j. */
function couple(r, c) {
  const p = new Float64Array(c).fill(1 / c), q = new Float64Array(c * c), qp = new Float64Array(c);
  for (let t = 0; t < c; t++) {
    for (let j = 0; j < c; j++) {
      if (j === t) continue;
      q[t * c + t] += r[j * c + t] * r[j * c + t];
      q[t * c + j] = -r[j * c + t] * r[t * c + j];
    }
  }
  for (let round = 0; round < Math.max(100, c); round++) {
    let pqp = 0, worst = 0;
    for (let t = 0; t < c; t++) {
      qp[t] = dot(q, t * c, p, 0, c);
      pqp += p[t] * qp[t];
    }
    for (let t = 0; t < c; t++) worst = Math.max(worst, Math.abs(qp[t] - pqp));
    if (worst < 0.005 / c) break;
    for (let t = 0; t < c; t++) {
      const diff = (pqp - qp[t]) / q[t * c + t];
      p[t] += diff;
      pqp = (pqp + diff * (diff * q[t * c + t] + 2 * qp[t])) / (1 + diff) / (1 + diff);
      for (let j = 0; j < c; j++) {
        qp[j] = (qp[j] + diff * q[t * c + j]) / (1 + diff);
        p[j] /= 1 + diff;
      }
    }
  }
  return p;
}

/** Calls visit(i, j, pair) for the pairs i < j of c classes in lexicographic order. */
function forPairs(c, visit) {
  for (let i = 0, pair = 0; i < c; i++) for (let j = i + 1; j < c; j++, pair++) visit(i, j, pair);
}

/** (p, decisions, from) -> the scores of one row. */
const OVO_MODES = {
  __proto__: null,
  votes({ classes }, d, from) {
    const scores = new Float64Array(classes);
    forPairs(classes, (i, j, pair) => { scores[d[from + pair] > 0 ? i : j] += 1; });
    return scores;
  },
  ovr({ classes }, d, from) {
    const scores = new Float64Array(classes), sums = new Float64Array(classes);
    forPairs(classes, (i, j, pair) => {
      scores[d[from + pair] < 0 ? j : i] += 1;
      sums[i] += d[from + pair];
      sums[j] -= d[from + pair];
    });
    return scores.map((votes, i) => votes + sums[i] / (3 * (Math.abs(sums[i]) + 1)));
  },
  coupling({ classes, a, b }, d, from) {
    const r = new Float64Array(classes * classes);
    forPairs(classes, (i, j, pair) => {
      const first = Math.min(Math.max(sigmoid(-(a[pair] * d[from + pair] + b[pair])), 1e-7), 1 - 1e-7);
      r[i * classes + j] = first;
      r[j * classes + i] = 1 - first;
    });
    return classes === 2 ? r.subarray(1, 3) : couple(r, classes);
  },
};

/** Class scores from one-against-one decisions; f32 is computed in f64 and rounded. */
const ovo_vote = {
  check(step) {
    const { width, dtype } = checkRow(step), classes = step.whole("classes", 2, 65536), pairs = (classes * (classes - 1)) / 2;
    if (width !== pairs) step.refuse(`has ${width} decisions; ${classes} classes need ${pairs}`);
    const mode = step.choice("mode", Object.keys(OVO_MODES)), coupling = mode === "coupling";
    const [a, b] = ["prob_a", "prob_b"].map((key) => (coupling ? step.floats(key, dtype, [pairs]) : null));
    if (coupling) step.multiply(classes * classes * Math.max(100, classes));
    return { dtype, shape: [classes], width, classes, mode: OVO_MODES[mode], a, b };
  },
  run(p, [input], n) {
    const x = toFloat(input, p.dtype), out = allocate(p.dtype, n * p.classes);
    for (let r = 0; r < n; r++) out.set(p.mode(p, x, r * p.width), r * p.classes);
    return out;
  },
};

// ================================================================================================================ Text

const LAST_POINT = 0x10ffff, ASCII = 128, LONGEST_TERM = 64;
const SIGMA = 0x3a3, SMALL_SIGMA = "\u03c3", FINAL_SIGMA = "\u03c2";
const HANGUL = 0xac00, LAST_HANGUL = 0xd7a3, LEADS = 0x1100, VOWELS = 0x1161, TRAILS = 0x11a7, VOWEL_COUNT = 21, TRAIL_COUNT = 28;

/** The UTF-16 units of a code point. */
const unitsOf = (point) => (point > 0xffff ? 2 : 1);

/** A rank-1 tensor of strings, without null. */
function readStrings(step, key) {
  const { data } = step.tensor(key, "str", ["str"], 1);
  if (data.includes(null)) step.refuse(`has null in ${quote(key)}`);
  return data;
}

/** Refuses one of two attributes without the other; whether they are there. */
function hasBoth(step, one, other) {
  if (step.has(one) !== step.has(other)) step.refuse(`has only one of ${quote(one)} and ${quote(other)}, which go together`);
  return step.has(one);
}

// -------------------------------------------------------------------------------------------------------- code points

/** The code points of a text. */
function codePoints(text) {
  const points = new Int32Array(text.length);
  let n = 0;
  for (let i = 0; i < text.length; i += unitsOf(points[n++])) points[n] = text.codePointAt(i);
  return points.subarray(0, n);
}

/** A set of code points as a test, from ranges lo, hi, lo, hi, ... */
function readRanges(step, key) {
  const ends = step.indexes(key, 0, LAST_POINT), ascii = new Uint8Array(ASCII);
  if (ends.length % 2 !== 0) step.refuse(`has ${ends.length} elements in ${quote(key)}, so its last range has no end`);
  for (let i = 0; i < ends.length; i += 2) {
    if (!(ends[i] <= ends[i + 1] && (i === 0 || ends[i - 1] < ends[i]))) step.refuse(`has ranges in ${quote(key)} that do not ascend, or overlap`);
    for (let point = ends[i]; point < ASCII && point <= ends[i + 1]; point++) ascii[point] = 1;
  }
  return (point) => (point < ASCII ? ascii[point] === 1 : inRanges(ends, point));
}

function inRanges(ends, point) {
  let low = 0, high = ends.length >> 1; // the number of ranges that do not begin behind the point
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ends[2 * middle] <= point) low = middle + 1;
    else high = middle;
  }
  return low > 0 && point <= ends[2 * low - 1];
}

/** Calls visit(begin, end, number of code points) for the maximal runs of code points that pass a test. */
function forRuns(text, test, visit) {
  let begin = 0, count = 0;
  for (let i = 0; i < text.length;) {
    const point = text.codePointAt(i), passes = test(point);
    if (!passes && count > 0) visit(begin, i, count);
    if (!passes) count = 0;
    else if (count++ === 0) begin = i;
    i += unitsOf(point);
  }
  if (count > 0) visit(begin, text.length, count);
}

// ------------------------------------------------------------------------------------------------------------- folding

/** What becomes of the code points of a text before terms are found in it. */
class Folding {
  constructor(step) {
    this.limit = step.limits.tensorElements;
    this.table = hasBoth(step, "fold_from", "fold_to") ? readFoldTable(step) : new Map();
    this.hangul = step.flag("hangul");
    this.ascii = step.flag("ascii");
    const sigma = hasBoth(step, "cased", "case_ignorable");
    if (this.ascii && (this.hangul || sigma)) step.refuse(`has "ascii" beside "hangul" or "cased", which do not go together`);
    this.cased = sigma ? readRanges(step, "cased") : null;
    this.ignorable = sigma ? readRanges(step, "case_ignorable") : null;
    this.plain = this.table.size === 0 && !this.hangul && !this.ascii && !sigma;
  }

  fold(text) {
    if (this.plain) return text;
    const points = codePoints(text), final = this.cased !== null && points.includes(SIGMA) ? this.finalSigmas(points) : null;
    let folded = "";
    for (let i = 0; i < points.length; i++) {
      folded += this.cased !== null && points[i] === SIGMA ? (final[i] ? FINAL_SIGMA : SMALL_SIGMA) : this.foldPoint(points[i]);
      if (folded.length > this.limit) refuse(`a text has more than ${this.limit} characters when it is folded (limit tensorElements).`);
    }
    return folded;
  }

  foldPoint(point) {
    const folded = this.table.get(point);
    if (folded !== undefined) return folded;
    if (this.ascii && point >= ASCII) return "";
    if (!this.hangul || point < HANGUL || point > LAST_HANGUL) return String.fromCodePoint(point);
    const syllable = point - HANGUL, trail = syllable % TRAIL_COUNT, rest = Math.floor(syllable / TRAIL_COUNT);
    const letters = String.fromCodePoint(LEADS + Math.floor(rest / VOWEL_COUNT), VOWELS + (rest % VOWEL_COUNT));
    return trail === 0 ? letters : letters + String.fromCodePoint(TRAILS + trail);
  }

  /** For each code point whether, beyond case-ignorable ones, a cased one stands before it and none behind. */
  finalSigmas(points) {
    const final = new Uint8Array(points.length);
    for (let i = 0, cased = false; i < points.length; i++) {
      final[i] = Number(cased);
      if (!this.ignorable(points[i])) cased = this.cased(points[i]);
    }
    for (let i = points.length - 1, cased = false; i >= 0; i--) {
      if (cased) final[i] = 0;
      if (!this.ignorable(points[i])) cased = this.cased(points[i]);
    }
    return final;
  }
}

/** Map: code point -> what it becomes. */
function readFoldTable(step) {
  const from = step.indexes("fold_from", 0, LAST_POINT), to = step.length("fold_to", readStrings(step, "fold_to"), from.length);
  for (let i = 1; i < from.length; i++) if (from[i - 1] >= from[i]) step.refuse(`has "fold_from" that does not ascend`);
  return new Map(to.map((text, i) => [from[i], text]));
}

// --------------------------------------------------------------------------------------------------------------- terms

/**
 * A text as the units, words or characters, that terms are runs of: unit i is text.slice(begin[i], end[i]), and a run of units is the
 * text from the begin of its first to the end of its last.
 */
class Units {
  constructor(text) {
    this.text = text;
    this.begin = [];
    this.end = [];
  }

  add(begin, end) {
    this.begin.push(begin);
    this.end.push(end);
  }

  /** The characters of a text. */
  static characters(text) {
    const units = new Units(text);
    for (let i = 0; i < text.length; i = units.end[units.end.length - 1]) units.add(i, i + unitsOf(text.codePointAt(i)));
    return units;
  }

  /** Words joined by spaces. */
  static words(words) {
    const units = new Units(words.join(" "));
    for (let i = 0, at = 0; i < words.length; at += words[i++].length + 1) units.add(at, at + words[i].length);
    return units;
  }

  /** Calls count(text, begin, end) for the runs of n units. */
  forRuns(n, count) {
    for (let i = 0; i + n <= this.begin.length; i++) count(this.text, this.begin[i], this.end[i + n - 1]);
  }
}

/** Every run of two or more spaces becomes one U+0020. */
function joinSpaces(text, space) {
  let joined = "", at = 0;
  forRuns(text, space, (begin, end, count) => {
    if (count < 2) return;
    joined += text.slice(at, begin) + " ";
    at = end;
  });
  return joined + text.slice(at);
}

/** By analyzer: step -> (text, least, most, count), which calls count(text, begin, end) for the terms of a folded text. */
const ANALYZERS = {
  __proto__: null,

  word(step) {
    const inWord = readRanges(step, "word"), shortest = step.has("min_word") ? step.whole("min_word", 1) : 2;
    const stop = new Set(step.has("stop") ? readStrings(step, "stop") : []);
    return (text, least, most, count) => {
      const words = [];
      forRuns(text, inWord, (begin, end, length) => { if (length >= shortest) words.push(text.slice(begin, end)); });
      const units = Units.words(words.filter((word) => !stop.has(word)));
      for (let n = least; n <= most; n++) units.forRuns(n, count);
    };
  },

  char(step) {
    const space = readRanges(step, "space");
    return (text, least, most, count) => {
      const units = Units.characters(joinSpaces(text, space));
      for (let n = least; n <= most; n++) units.forRuns(n, count);
    };
  },

  char_wb(step) {
    const space = readRanges(step, "space"), notSpace = (point) => !space(point);
    return (given, least, most, count) => {
      const text = joinSpaces(given, space);
      forRuns(text, notSpace, (begin, end) => {
        const units = Units.characters(` ${text.slice(begin, end)} `), length = units.begin.length;
        for (let n = least; n <= most && n < length; n++) units.forRuns(n, count);
        if (most >= length) units.forRuns(length, count); // a word that is not longer than n is a term itself, once
      });
    };
  },
};

// -------------------------------------------------------------------------------------------------------------- counts

const rotate = (x, by) => (x << by) | (x >>> (32 - by));
const scramble = (k) => Math.imul(rotate(Math.imul(k, 0xcc9e2d51), 15), 0x1b873593);

/** MurmurHash3 x86 32-bit with seed 0 (Austin Appleby) of bytes given one by one. */
class Murmur {
  constructor() {
    this.hash = 0;
    this.block = 0;
    this.length = 0;
  }

  add(byte) {
    this.block |= byte << (8 * (this.length & 3));
    if ((++this.length & 3) !== 0) return;
    this.hash = (Math.imul(rotate(this.hash ^ scramble(this.block), 13), 5) + 0xe6546b64) | 0;
    this.block = 0;
  }

  /** The UTF-8 of text.slice(begin, end). */
  addText(text, begin, end) {
    for (let i = begin; i < end;) {
      const point = text.codePointAt(i);
      i += unitsOf(point);
      if (point < 0x80) {
        this.add(point);
        continue;
      }
      const more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3; // bytes behind the first
      this.add(((0xf00 >> (more + 1)) & 0xff) | (point >> (6 * more)));
      for (let k = more - 1; k >= 0; k--) this.add(0x80 | ((point >> (6 * k)) & 0x3f));
    }
  }

  /** As a signed integer. */
  finish() {
    let h = this.hash ^ scramble(this.block) ^ this.length;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return h ^ (h >>> 16);
  }
}

function hashOf(text, begin, end) {
  const murmur = new Murmur();
  murmur.addText(text, begin, end);
  return murmur.finish();
}

/** The column of a hash: by its absolute value, of which -2^31 has none. */
const hashColumn = (hash, size) => (hash === -(2 ** 31) ? 2 ** 31 - 1 - (size - 1) : Math.abs(hash)) % size;

const hashSign = (hash, alternate) => (alternate && hash < 0 ? -1 : 1);

function readHashing(step) { return { size: step.whole("size", 1, step.limits.rowElements), alternate: step.flag("alternate", true) }; }

function readVocabulary(step) {
  const terms = readStrings(step, "vocabulary"), vocabulary = new Map(terms.map((term, column) => [term, column]));
  if (vocabulary.size !== terms.length) step.refuse(`has a term twice in "vocabulary"`);
  return { size: step.outputWidth(terms.length), vocabulary };
}

/** (text, begin, end) => void, which counts a term in row `row` of out. */
function counter({ size, vocabulary, alternate, binary }, out, row) {
  const add = (column, value) => { out[row * size + column] = binary ? 1 : out[row * size + column] + value; };
  if (vocabulary !== undefined) {
    return (text, begin, end) => {
      const column = vocabulary.get(text.slice(begin, end));
      if (column !== undefined) add(column, 1);
    };
  }
  return (text, begin, end) => {
    const hash = hashOf(text, begin, end);
    add(hashColumn(hash, size), hashSign(hash, alternate));
  };
}

/** How a text becomes terms. */
function readSplitting(step) {
  const x = step.row(["str"]);
  if (x.width !== 1) step.refuse(`has an input of width ${x.width} instead of 1`);
  const split = ANALYZERS[step.choice("analyzer", Object.keys(ANALYZERS))](step);
  const least = step.whole("min_n", 1, LONGEST_TERM), most = step.whole("max_n", least, LONGEST_TERM);
  const folding = new Folding(step), longest = [...folding.table.values()].reduce((most, text) => Math.max(most, [...text].length), folding.hangul ? 3 : 1); // what a code point becomes
  step.search((longest * (least + most) * (most - least + 1)) / 2);
  return { folding, split, least, most };
}

/** Calls counterOf(r)(text, begin, end) for the terms of the text of each row r. */
function splitRows({ folding, split, least, most }, x, n, first, counterOf) {
  for (let r = 0; r < n; r++) {
    if (x[r] === null) refuse(`row ${first + r}: the text is missing.`);
    if (!isWellFormed(x[r])) refuse(`row ${first + r}: the text holds half of a surrogate pair.`);
    split(folding.fold(x[r]), least, most, counterOf(r));
  }
}

/** Counts of the terms of a text. */
const count_terms = {
  check(step) {
    const splitting = readSplitting(step), counting = step.has("vocabulary") ? readVocabulary(step) : readHashing(step);
    return { dtype: "f64", shape: [counting.size], ...splitting, binary: step.flag("binary"), ...counting };
  },
  run(p, [x], n, first) {
    const out = new Float64Array(n * p.size);
    splitRows(p, x, n, first, (r) => counter(p, out, r));
    return out;
  },
};

/** The terms of a text in order, as numbers; cut or filled up to a length. */
const term_ids = {
  check(step) {
    const splitting = readSplitting(step), { vocabulary } = readVocabulary(step), [first, unknown, fill] = ["first", "unknown", "fill"].map((key) => step.whole(key, 0));
    const length = step.whole("length", 1, step.limits.rowElements);
    return { dtype: "i64", shape: [length], ...splitting, vocabulary, start: first, unknown, fill, length };
  },
  run(p, [x], n, first) {
    const { vocabulary, start, unknown, fill, length } = p, out = new Float64Array(n * length).fill(fill);
    splitRows(p, x, n, first, (r) => {
      let at = r * length;
      return (text, begin, end) => {
        if (at >= (r + 1) * length) return;
        const place = vocabulary.get(text.slice(begin, end));
        out[at++] = place === undefined ? unknown : start + place;
      };
    });
    return out;
  },
};

/** The terms prefix + cell, each with its number or 1.0, in the columns of their hashes. */
const hash_terms = {
  check(step) {
    const [x, values] = step.take(1, 2);
    step.expect(x, ["str"]);
    if (values !== undefined && step.expect(values, ["f64"]).width !== x.width) step.refuse(`has ${values.width} numbers for ${x.width} texts`);
    const prefix = step.columns("prefix", "str", x.width);
    if (prefix !== null && prefix.includes(null)) step.refuse(`has null in "prefix"`);
    const hashing = readHashing(step);
    step.search(elementCount(x.shape.map((extent) => Math.max(1, extent))));
    return { dtype: "f64", shape: [hashing.size], width: x.width, prefix, ...hashing };
  },
  run({ width, prefix, size, alternate }, [x, values], n, first) {
    const out = new Float64Array(n * size);
    for (let i = 0; i < x.length; i++) {
      if (x[i] === null) continue;
      const row = Math.floor(i / width), term = prefix === null ? x[i] : prefix[i % width] + x[i];
      if (!isWellFormed(x[i])) refuse(`row ${first + row}: a text holds half of a surrogate pair.`);
      const hash = hashOf(term, 0, term.length);
      out[row * size + hashColumn(hash, size)] += hashSign(hash, alternate) * (values === undefined ? 1 : values[i]);
    }
    return out;
  },
};

// ============================================================================================================== Solver

const MOST_ROUNDS = 10000, MOST_WORK = 2 ** 30, MOST_PAIRED = 4096;
const TINY = 2 ** -23, EPSILON = 2 ** -52;

// ----------------------------------------------------------------------------------------------- what solvers share

/** A finite number, not below `least`; required unless there is a fallback. */
function readFinite(step, key, fallback, least = 0) {
  if (fallback !== undefined && !step.has(key)) return fallback;
  step.required(key);
  const x = step.number(key, "f64");
  return x >= least ? x : step.refuse(`has ${x} for ${quote(key)}, which is below ${least}`);
}

/** {k, d, table}: the table [k, d] of a step that reads an f64 row. */
function readTable(step, key, negative) {
  const { width } = step.row(["f64"]), { shape: [k, d], data: table } = step.tensor(key, "f64", ["f64"], 2);
  if (d !== width) step.refuse(`has ${quote(key)} for ${d} columns; its input has ${width}`);
  if (table.length === 0) step.refuse(`has an empty table ${quote(key)}`);
  for (const x of table) if (!Number.isFinite(x) || (x < 0 && !negative)) step.refuse(`has ${x} in ${quote(key)}, which is not finite${negative ? "" : ", or is negative"}`);
  step.outputWidth(k);
  return { k, d, table };
}

const ROUND = 64; // multiplications that a round counts as for every row and column of its table

/** Counts the work of a row, and refuses too much of it; counted: its multiplications, where it is not the work itself. */
function checkWork(step, work, counted = work) {
  if (!(work <= MOST_WORK)) step.refuse(`may take ${work} operations for a row, more than ${MOST_WORK}`);
  step.multiply(counted);
}

const readRounds = (step) => step.whole("max_iter", 0, MOST_ROUNDS);

/** The products of all pairs of rows of a table: [k, k]. */
function readGram(step, { k, d, table }) {
  if (k > MOST_PAIRED || k * k * d > MOST_WORK) {
    step.refuse(`has a table of ${k} by ${d}; at most ${MOST_PAIRED} rows, and ${MOST_WORK} operations for their products, are allowed`);
  }
  step.keep(k * k);
  const gram = new Float64Array(k * k);
  multiplyRows(table, 0, table, 0, null, gram, 0, k, 1, k, d, k);
  return gram;
}

/** The sum of n elements from `from` on. */
function total(x, from, n) {
  let sum = 0;
  for (let i = from; i < from + n; i++) sum += x[i];
  return sum;
}

/** out_t = sum over j of x_j table_tj. */
function multiplyTable({ k, d, table }, x, out) { multiplyRows(x, 0, table, 0, null, out, 0, k, 1, 1, d, k); }

/** out_j = sum over t of w_t table_tj. */
function combineRows({ k, d, table }, w, out) {
  out.fill(0);
  for (let t = 0; t < k; t++) for (let j = 0; j < d; j++) out[j] += w[t] * table[t * d + j];
}

/** Solves row by row: solve(p, x [d], w [k] of zeros). accepts(x): whether an element is acceptable, beyond being finite. */
function solveRows(p, x, n, first, accepts, solve) {
  const out = new Float64Array(n * p.k);
  for (let r = 0; r < n; r++) {
    const row = x.subarray(r * p.d, (r + 1) * p.d);
    for (const element of row) if (!Number.isFinite(element) || !accepts(element)) refuse(`row ${first + r}: ${element} is not acceptable.`);
    solve(p, row, out.subarray(r * p.k, (r + 1) * p.k));
  }
  return out;
}

const anyNumber = () => true;
const notNegative = (x) => x >= 0;
const positive = (x) => x > 0;

// ----------------------------------------------------------------------------------------------------------------- nmf

/** Coordinate descent: one round, which gives how far it was from an optimum. */
function descend({ k, gram }, target, w) {
  let violation = 0;
  for (let t = 0; t < k; t++) {
    let gradient = -target[t];
    for (let r = 0; r < k; r++) gradient += gram[t * k + r] * w[r];
    violation += Math.abs(w[t] === 0 ? (gradient < 0 ? gradient : 0) : gradient);
    const own = gram[t * k + t];
    if (own === 0) continue;
    const moved = w[t] - gradient / own;
    w[t] = 0 > moved ? 0 : moved;
  }
  return violation;
}

function nmfDescend(p, x, w) {
  const target = new Float64Array(p.k);
  multiplyTable(p, x, target);
  for (let t = 0; t < p.k; t++) target[t] -= p.l1;
  for (let round = 1, first = 0; round <= p.rounds; round++) {
    const violation = descend(p, target, w);
    if (round === 1) first = violation;
    if (first === 0 || violation / first <= p.tol) return;
  }
}

const floored = (y) => (y < TINY ? TINY : y);

/** Multiplicative updates of the weights w of one row x. */
class Multiplying {
  constructor(p, x, w) {
    Object.assign(this, { p, x, w });
    [this.top, this.bottom] = [new Float64Array(p.k), new Float64Array(p.k)];
    [this.y, this.c, this.b] = [new Float64Array(p.d), new Float64Array(p.d), new Float64Array(p.d)];
    this.totals = p.totals.slice(); // the denominators of beta 1
    w.fill(Math.sqrt(total(x, 0, p.d) / p.d / p.k));
  }

  /** One update. */
  update() {
    const { p, w, top, bottom } = this, { k, l1, l2, beta, gamma } = p;
    this.compare();
    for (let t = 0; t < k; t++) {
      let below = bottom[t];
      if (l1 > 0) below += l1;
      if (l2 > 0) below += l2 * w[t];
      const factor = top[t] / (below === 0 ? TINY : below);
      w[t] *= beta < 1 || beta > 2 ? pow(factor, gamma) : factor;
    }
  }

  /** The numerators and denominators. */
  compare() {
    const { p, x, w, top, bottom, y, c, b, totals } = this, { k, d, beta } = p;
    if (beta === 2) {
      multiplyTable(p, x, top);
      for (let t = 0; t < k; t++) bottom[t] = dot(w, 0, p.gram, t * k, k);
      return;
    }
    combineRows(p, w, y);
    for (let j = 0; j < d; j++) {
      const s = beta < 2 ? floored(y[j]) : y[j];
      c[j] = beta === 1 ? x[j] / s : beta === 0 ? (1 / s) * (1 / s) * x[j] : pow(s, beta - 2) * x[j];
      if (beta !== 1) b[j] = pow(beta < 1 ? floored(y[j]) : y[j], beta - 1);
    }
    multiplyTable(p, c, top);
    if (beta === 1) bottom.set(totals);
    else multiplyTable(p, b, bottom);
  }

  /** How far the row is from what the weights make of the components. */
  error() {
    const { p, x, w, y } = this;
    combineRows(p, w, y);
    if (p.beta !== 2) return Math.sqrt(2 * Math.max(this.divergence(), 0));
    let sum = 0;
    for (let j = 0; j < p.d; j++) sum += (x[j] - y[j]) * (x[j] - y[j]);
    return Math.sqrt(sum);
  }

  divergence() {
    const { p: { k, d, beta, totals }, x, w, y } = this;
    let given = 0, ratios = 0, logarithms = 0, powers = 0, mixed = 0, modelled = 0;
    for (let j = 0; j < d; j++) {
      if (beta !== 1 && beta !== 0) modelled += pow(y[j], beta);
      if (!(x[j] > TINY)) continue;
      const u = floored(y[j]), ratio = x[j] / u;
      given += x[j];
      ratios += ratio;
      logarithms += beta === 1 ? x[j] * Math.log(ratio) : Math.log(ratio);
      powers += pow(x[j], beta);
      mixed += x[j] * pow(u, beta - 1);
    }
    if (beta === 1) return logarithms + (dot(w, 0, totals, 0, k) - given);
    if (beta === 0) return ratios - d - logarithms;
    return (powers - beta * mixed + modelled * (beta - 1)) / (beta * (beta - 1));
  }
}

/** scikit-learn's solver mu. It keeps the denominators of beta 1 between rounds, so that l1 adds up in them. */
function nmfMultiply(p, x, w) {
  const m = new Multiplying(p, x, w), first = p.tol > 0 ? m.error() : 0;
  for (let round = 1, last = first; round <= p.rounds; round++) {
    m.update();
    for (let t = 0; t < p.k; t++) {
      if (p.l1 > 0) m.totals[t] += p.l1;
      if (p.beta < 1 && w[t] < EPSILON) w[t] = 0;
    }
    if (!(p.tol > 0) || round % 10 !== 0) continue;
    const error = m.error();
    if ((last - error) / first < p.tol) return;
    last = error;
  }
}

/** MiniBatchNMF's way: it stops when the weights do. */
function nmfMultiplyBatch(p, x, w) {
  const m = new Multiplying(p, x, w);
  for (let round = 1; round <= p.rounds; round++) {
    const change = w.slice();
    m.update();
    for (let t = 0; t < p.k; t++) change[t] = w[t] - change[t];
    if (p.tol > 0 && Math.sqrt(dot(change, 0, change, 0, p.k)) / Math.sqrt(dot(w, 0, w, 0, p.k)) <= p.tol) return;
  }
}

const NMF_SOLVERS = { __proto__: null, cd: nmfDescend, mu: nmfMultiply, minibatch: nmfMultiplyBatch };

/** Weights, not negative, with which the components add up to something near the row. */
const nmf = {
  check(step) {
    const parts = readTable(step, "components", false), { k, d, table } = parts;
    const solver = step.choice("solver", Object.keys(NMF_SOLVERS)), descent = solver === "cd", rounds = readRounds(step);
    const tol = readFinite(step, "tol"), l1 = readFinite(step, "l1", 0), l2 = readFinite(step, "l2", 0);
    const beta = descent ? 2 : readFinite(step, "beta", 2, -Infinity), gamma = beta < 1 ? 1 / (2 - beta) : 1 / (beta - 1);
    const round = k * (descent ? k : k + d);
    checkWork(step, rounds * round, rounds * (round + ROUND * (k + d)));
    const gram = readGram(step, parts), totals = Float64Array.from({ length: k }, (_, t) => total(table, t * d, d));
    if (descent && l2 !== 0) for (let t = 0; t < k; t++) gram[t * k + t] += l2;
    const accepts = solver === "minibatch" ? anyNumber : solver === "mu" && beta <= 0 ? positive : notNegative;
    return { dtype: "f64", shape: [k], ...parts, gram, totals, rounds, tol, l1, l2, beta, gamma, accepts, solve: NMF_SOLVERS[solver] };
  },
  run(p, [x], n, first) { return solveRows(p, x, n, first, p.accepts, p.solve); },
};

// ---------------------------------------------------------------------------------------------------------- lda_topics

/** The derivative of log gamma, as scikit-learn computes it (J. M. Bernardo, Algorithm AS 103, 1976). */
function psi(x) {
  if (x <= 1e-6) return -0.5772156649015329 - 1 / x;
  let r = 0, z = x;
  for (; z < 6; z += 1) r -= 1 / z;
  let q = 1 / z;
  r += Math.log(z) - 0.5 * q;
  q *= q;
  return r - q * (1 / 12 - q * (1 / 120 - q * (1 / 252)));
}

/** The components of the words that occur in a document, as {k, d, table}, and their counts. */
function gatherWords({ k, d, table }, x) {
  const words = [];
  for (let j = 0; j < d; j++) if (x[j] !== 0) words.push(j);
  const part = new Float64Array(k * words.length);
  for (let t = 0, at = 0; t < k; t++) for (const j of words) part[at++] = table[t * d + j];
  return { counts: Float64Array.from(words, (j) => x[j]), part: { k, d: words.length, table: part } };
}

function findTopics(p, x, g) {
  const { k, prior, rounds, tol } = p, { counts, part } = gatherWords(p, x);
  const ratio = new Float64Array(counts.length), explained = new Float64Array(k), e = new Float64Array(k).fill(exp(psi(1) - psi(k)));
  g.fill(1);
  for (let round = 1; round <= rounds; round++) {
    let change = 0;
    combineRows(part, e, ratio);
    for (let j = 0; j < ratio.length; j++) ratio[j] = counts[j] / (ratio[j] + EPSILON);
    multiplyTable(part, ratio, explained);
    for (let t = 0; t < k; t++) {
      const next = e[t] * explained[t] + prior;
      change += Math.abs(g[t] - next);
      g[t] = next;
    }
    const psiTotal = psi(total(g, 0, k));
    for (let t = 0; t < k; t++) e[t] = exp(psi(g[t]) - psiTotal);
    if (change / k < tol) break;
  }
  const sum = total(g, 0, k);
  for (let t = 0; t < k; t++) g[t] /= sum;
}

/** Shares of topics in a document of counts. */
const lda_topics = {
  check(step) {
    const parts = readTable(step, "components", false), prior = readFinite(step, "prior"), rounds = readRounds(step), tol = readFinite(step, "tol");
    checkWork(step, rounds * parts.k * parts.d, (rounds + 1) * (4 * parts.k * parts.d + ROUND * (parts.k + parts.d)));
    return { dtype: "f64", shape: [parts.k], ...parts, prior, rounds, tol };
  },
  run(p, [x], n, first) { return solveRows(p, x, n, first, notNegative, findTopics); },
};

// ---------------------------------------------------------------------------- sparse_code: orthogonal matching pursuit

/** The first n places of `order` are the atoms chosen; row i of `lower`, at i (i + 1) / 2, is that of the Cholesky factor of their products. */
class Pursuit {
  constructor(p, x) {
    this.p = p;
    this.n = 0;
    this.order = Int32Array.from({ length: p.k }, (_, i) => i);
    this.lower = new Float64Array((p.nonzero * (p.nonzero + 1)) / 2);
    this.products = new Float64Array(p.k); // of the row with all atoms
    multiplyTable(p, x, this.products);
    this.residual = this.products.slice(); // what is left of them
    this.z = new Float64Array(p.nonzero);
    this.w = new Float64Array(p.nonzero);
  }

  /** Where row i of the factor begins. */
  at(i) { return (i * (i + 1)) / 2; }

  /** The place of the first atom with the largest residual; NaN is largest. */
  mostAlike() {
    const { order, residual } = this;
    let best = 0, most = Math.abs(residual[order[0]]);
    for (let m = 1; m < order.length && most === most; m++) {
      const size = Math.abs(residual[order[m]]);
      if (!(size <= most)) [best, most] = [m, size];
    }
    return best;
  }

  /** Adds the atom at place m to those chosen; false if they already span it. */
  choose(m) {
    const { p: { k, gram }, n, order, lower } = this, atom = order[m], last = this.at(n);
    let length = 0;
    for (let i = 0; i < n; i++) {
      const row = this.at(i), x = (gram[atom * k + order[i]] - dot(lower, row, lower, last, i)) / lower[row + i];
      lower[last + i] = x;
      length += x * x;
    }
    const left = gram[atom * k + atom] - length;
    if (n > 0 && left <= EPSILON) return false;
    lower[last + n] = Math.sqrt(left);
    [order[n], order[m]] = [order[m], order[n]];
    this.n++;
    return true;
  }

  /** Finds the weights of the chosen atoms that fit the row best, and what is left of the products. */
  fit() {
    const { p: { k, gram }, n, order, lower, products, residual, z, w } = this;
    for (let i = 0; i < n; i++) z[i] = (products[order[i]] - dot(lower, this.at(i), z, 0, i)) / lower[this.at(i) + i];
    for (let i = n - 1; i >= 0; i--) {
      let sum = 0;
      for (let j = i + 1; j < n; j++) sum += lower[this.at(j) + i] * w[j];
      w[i] = (z[i] - sum) / lower[this.at(i) + i];
    }
    residual.fill(0);
    for (let i = 0; i < n; i++) for (let a = 0; a < k; a++) residual[a] += gram[order[i] * k + a] * w[i];
    for (let a = 0; a < k; a++) residual[a] = products[a] - residual[a];
  }
}

function pursue(p, x, out) {
  const u = new Pursuit(p, x);
  while (u.n < p.nonzero) {
    const m = u.mostAlike(), c = u.residual[u.order[m]];
    if (m < u.n || c * c < EPSILON || !u.choose(m)) break;
    u.fit();
  }
  for (let i = 0; i < u.n; i++) out[u.order[i]] = u.w[i];
}

// -------------------------------------------------- sparse_code: lasso by coordinate descent, with gap safe screening

/** fitted: the products of all atoms with the sum of weighted atoms. An atom that is out has the weight 0 at the optimum. */
class Lasso {
  constructor(p, x, w) {
    const { k, d, gram } = p;
    Object.assign(this, { p, w });
    this.square = dot(x, 0, x, 0, d);
    this.products = new Float64Array(k);
    multiplyTable(p, x, this.products);
    this.fitted = new Float64Array(k);
    this.rest = new Float64Array(k);
    this.out = Uint8Array.from({ length: k }, (_, a) => Number(gram[a * k + a] === 0));
    this.measure();
  }

  setWeight(a, weight) {
    const { p: { k, gram }, fitted, w } = this, change = weight - w[a];
    for (let b = 0; b < k; b++) fitted[b] += change * gram[a * k + b];
    w[a] = weight;
  }

  /** The duality gap, with what screening needs: rest, and its largest element. */
  measure() {
    const { p: { k, alpha, positive: onlyPositive }, w, square, products, fitted, rest } = this;
    let squares = 0, weights = 0, largest = -Infinity;
    for (let a = 0; a < k; a++) {
      rest[a] = products[a] - fitted[a];
      largest = Math.max(largest, onlyPositive ? rest[a] : Math.abs(rest[a]));
      squares += rest[a] * rest[a];
      weights += Math.abs(w[a]);
    }
    const alike = dot(w, 0, products, 0, k), left = square + dot(w, 0, fitted, 0, k) - 2 * alike, s = largest > alpha ? alpha / largest : 1;
    this.largest = largest;
    this.gap = alpha === 0 ? squares : 0.5 * left + alpha * weights - (-0.5 * (s * s) * left + s * (square - alike));
  }

  /** Puts out the atoms that the gap shows to have weight 0. */
  screen() {
    const { p: { k, alpha, gram }, w, out, rest, gap, largest } = this;
    if (alpha === 0) return;
    const radius = Math.sqrt(2 * Math.abs(gap)) / alpha, most = alpha > largest ? alpha : largest;
    for (let a = 0; a < k; a++) {
      if (out[a] || (1 - Math.abs(rest[a] / most)) / Math.sqrt(gram[a * k + a]) <= radius) continue;
      out[a] = 1;
      if (w[a] !== 0) this.setWeight(a, 0);
    }
  }

  /** One round over the atoms; whether it changed little. */
  descend() {
    const { p: { k, alpha, tol, gram, positive: onlyPositive }, w, out, products, fitted } = this;
    let mostChange = 0, mostWeight = 0;
    for (let a = 0; a < k; a++) {
      if (out[a]) continue;
      const own = gram[a * k + a], t = products[a] - fitted[a] + w[a] * own, beyond = Math.abs(t) - alpha;
      const weight = onlyPositive && t < 0 ? 0 : (Math.sign(t) * (beyond > 0 ? beyond : 0)) / own, change = Math.abs(weight - w[a]);
      if (weight !== w[a]) this.setWeight(a, weight);
      if (change > mostChange) mostChange = change;
      if (Math.abs(weight) > mostWeight) mostWeight = Math.abs(weight);
    }
    return mostWeight === 0 || mostChange / mostWeight <= tol;
  }
}

function findLasso(p, x, w) {
  const u = new Lasso(p, x, w), enough = p.tol * u.square;
  if (u.gap >= 0 && u.gap <= enough) return;
  u.screen();
  for (let round = 1; round <= p.rounds; round++) {
    if (!u.descend() && round < p.rounds) continue;
    u.measure();
    if (u.gap <= enough) return;
    u.screen();
  }
}

/** Few weights with which the atoms add up to something near the row. */
const sparse_code = {
  check(step) {
    const parts = readTable(step, "atoms", true), { k } = parts, algorithm = step.choice("algorithm", ["omp", "lasso_cd"]);
    const common = { dtype: "f64", shape: [k], ...parts };
    if (algorithm === "omp") {
      const nonzero = step.whole("nonzero", 1, k);
      checkWork(step, nonzero * k * (nonzero + 1));
      return { ...common, nonzero, gram: readGram(step, parts), solve: pursue };
    }
    const rounds = readRounds(step), alpha = readFinite(step, "alpha"), tol = readFinite(step, "tol", 1e-8);
    checkWork(step, rounds * k * k, rounds * (k * k + ROUND * (k + parts.d)));
    return { ...common, rounds, alpha, tol, positive: step.flag("positive"), gram: readGram(step, parts), solve: findLasso };
  },
  run(p, [x], n, first) { return solveRows(p, x, n, first, anyNumber, p.solve); },
};

return Object.freeze({ __proto__: null, poly, interp, gaussian_ll: gaussianLl, pairwise, smallest, knn, ovo_vote, count_terms, term_ids, hash_terms, nmf, lda_topics, sparse_code });
});
