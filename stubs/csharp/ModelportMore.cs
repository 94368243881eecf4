// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Ops of the profiles kernel, text and solver (docs/format.md, section 6) for Modelport.cs, and a faster tree_ensemble: put it beside
// that file and hand them to it.
//
//     var model = Model.Load(bytes, ModelportMore.Ops);
//
// Sections: 1 Kernel, 2 Text, 3 Solver, 4 Trees. As in Modelport.cs, an op checks its attributes and the types of what it reads, and returns a step.

using System;
using System.Collections.Generic;
using System.Text;
using System.Threading;

namespace Modelport {
using static Core;

/// <summary>Further ops: see Ops.</summary>
public static class ModelportMore {
    /// <summary>The table of ops of the profiles kernel, text and solver, in the order of docs/format.md, and a faster tree_ensemble.</summary>
    public static readonly OpTable Ops = new OpTable(Check, "pairwise", "smallest", "knn", "ovo_vote", "count_terms", "term_ids", "hash_terms",
        "nmf", "lda_topics", "sparse_code", "tree_ensemble");

    private static Step Check(Args a) {
        switch (a.op) {
            case "pairwise": return new Pairwise(a, a.Rounded());
            case "smallest": return Smallest(a);
            case "knn": return Knn(a);
            case "ovo_vote": return OvoVote(a);
            case "count_terms": return CountTerms(a);
            case "term_ids": return TermIds(a);
            case "hash_terms": return HashTerms(a);
            case "nmf": return Nmf(a);
            case "lda_topics": return new LdaTopics(a, new Table(a, "components", false));
            case "sparse_code": return SparseCode(a);
            case "tree_ensemble": return new FastTrees(a).Build();
            default: throw new InvalidOperationException(a.op);
        }
    }

    // ==== 1 Kernel ===================================================================================================

    /// <summary>What is summed over the columns of a row x and a point p.</summary>
    private enum Sum { Products, Squares, Absolutes, Largest, Powers, Ratios, Sums, Different, KnownSquares, Known, Chi2 }

    /// <summary>The metrics of pairwise, in the order of METRICS.</summary>
    private enum Metric {
        Dot, Sqeuclidean, Euclidean, Manhattan, Chebyshev, Minkowski, Cosine, Canberra, Braycurtis, Hamming, NanEuclidean, Chi2, AdditiveChi2, Rbf,
        Laplacian, Poly, Sigmoid
    }

    private static readonly string[] METRICS = {"dot", "sqeuclidean", "euclidean", "manhattan", "chebyshev", "minkowski", "cosine", "canberra",
        "braycurtis", "hamming", "nan_euclidean", "chi2", "additive_chi2", "rbf", "laplacian", "poly", "sigmoid"};

    /// <summary>The sum that each metric needs; Braycurtis and NanEuclidean need another one.</summary>
    private static readonly Sum[] SUMS = {Sum.Products, Sum.Squares, Sum.Squares, Sum.Absolutes, Sum.Largest, Sum.Powers, Sum.Products, Sum.Ratios,
        Sum.Absolutes, Sum.Different, Sum.KnownSquares, Sum.Chi2, Sum.Chi2, Sum.Squares, Sum.Absolutes, Sum.Products, Sum.Products};

    /// <summary>pairwise: a distance or kernel between the row and each stored point; f32 is computed in f64 and rounded.</summary>
    private sealed class Pairwise : Step {
        private const int PANEL = 64;
        private readonly Metric metric;
        private readonly double gamma, coef0, degree, p;
        private readonly double[] norms;
        private readonly double[] panels; // column j of point k is at [k / PANEL][j][k % PANEL]: sums of a panel run side by side

        internal Pairwise(Args a, RowType x) : this(a, x, a.Matrix("points", x)) {
        }

        private Pairwise(Args a, RowType x, Tensor points) : base(a, RowType.Row(a.dtype, points.shape[0])) {
            metric = (Metric) a.Option("metric", METRICS);
            gamma = a.Number("gamma", 1.0);
            coef0 = a.Number("coef0", 0.0);
            degree = a.Number("degree", 3.0);
            p = a.Number("p", 2.0);
            if (!(p > 0)) {
                throw a.Refuse("has \"p\" " + p + "; it is positive.");
            }
            a.work = points.shape[0] * ((metric == Metric.Minkowski ? DEAR : 1) * (long) x.width + DEAR);
            double[] all = points.Doubles();
            for (int k = 0; metric != Metric.NanEuclidean && k < all.Length; k++) {
                if (all[k] != all[k]) {
                    throw a.Refuse("has NaN in \"points\"; only the metric nan_euclidean takes it.");
                }
            }
            int n = points.shape[0];
            long room = (n + PANEL - 1L) / PANEL * PANEL * x.width;
            a.guard.Take(8 * room + 8L * n);
            if (room > int.MaxValue - 16) {
                throw a.Refuse("has \"points\" that do not fit an array.");
            }
            norms = new double[n];
            panels = new double[(int) room];
            for (int k = 0; k < n; k++) {
                norms[k] = Math.Sqrt(Dot(all, k * x.width, all, k * x.width, x.width));
                for (int j = 0; j < x.width; j++) {
                    panels[(k / PANEL * x.width + j) * PANEL + k % PANEL] = all[k * x.width + j];
                }
            }
        }

        internal override Array Run(Frame f) {
            int w = from[0].width, n = norms.Length;
            double[] x = Floats(f, 0), y = new double[f.rows * n], sums = new double[PANEL], others = new double[PANEL];
            double[] rowNorms = new double[metric == Metric.Cosine ? f.rows : 0];
            for (int r = 0; r < rowNorms.Length; r++) {
                rowNorms[r] = Math.Sqrt(Dot(x, r * w, x, r * w, w));
            }
            for (int first = 0; first < n; first += PANEL) { // a panel stays in the cache
                for (int r = 0; r < f.rows; r++) {
                    Add(SUMS[(int) metric], x, r * w, w, first * w, sums);
                    if (metric == Metric.Braycurtis || metric == Metric.NanEuclidean) {
                        Add(metric == Metric.Braycurtis ? Sum.Sums : Sum.Known, x, r * w, w, first * w, others);
                    }
                    for (int k = first; k < Math.Min(first + PANEL, n); k++) {
                        double other = metric == Metric.Cosine ? rowNorms[r] * norms[k] : others[k - first];
                        y[r * n + k] = Finish(sums[k - first], other, w);
                    }
                }
            }
            return Rounded(y, dtype);
        }

        /// <summary>The sum over the columns of the row x[i..], for each point of the panel at `at`.</summary>
        private void Add(Sum kind, double[] x, int i, int w, int at, double[] sums) {
            Fill(sums, 0.0);
            for (int j = 0; j < w; j++) {
                Add(kind, x[i + j], at + j * PANEL, sums);
            }
        }

        /// <summary>Adds what one column makes: v in the row, panels[at..] in the points.</summary>
        private void Add(Sum kind, double v, int at, double[] sums) {
            double[] q = panels;
            switch (kind) {
                case Sum.Products:
                    for (int k = 0; k < PANEL; k++) sums[k] += v * q[at + k];
                    break;
                case Sum.Squares:
                    for (int k = 0; k < PANEL; k++) sums[k] += (v - q[at + k]) * (v - q[at + k]);
                    break;
                case Sum.Absolutes:
                    for (int k = 0; k < PANEL; k++) sums[k] += Math.Abs(v - q[at + k]);
                    break;
                case Sum.Largest:
                    for (int k = 0; k < PANEL; k++) sums[k] = Math.Max(sums[k], Math.Abs(v - q[at + k]));
                    break;
                case Sum.Powers:
                    for (int k = 0; k < PANEL; k++) sums[k] += Special.Pow(Math.Abs(v - q[at + k]), p);
                    break;
                case Sum.Ratios:
                    for (int k = 0; k < PANEL; k++) {
                        if (v != 0 || q[at + k] != 0) sums[k] += Math.Abs(v - q[at + k]) / (Math.Abs(v) + Math.Abs(q[at + k]));
                    }
                    break;
                case Sum.Sums:
                    for (int k = 0; k < PANEL; k++) sums[k] += Math.Abs(v + q[at + k]);
                    break;
                case Sum.Different:
                    for (int k = 0; k < PANEL; k++) sums[k] += v != q[at + k] ? 1.0 : 0.0;
                    break;
                case Sum.KnownSquares:
                    for (int k = 0; k < PANEL; k++) {
                        if (v == v && q[at + k] == q[at + k]) sums[k] += (v - q[at + k]) * (v - q[at + k]);
                    }
                    break;
                case Sum.Known:
                    for (int k = 0; k < PANEL; k++) sums[k] += v == v && q[at + k] == q[at + k] ? 1.0 : 0.0;
                    break;
                default: // chi2
                    for (int k = 0; k < PANEL; k++) {
                        if (v + q[at + k] != 0) sums[k] += (v - q[at + k]) * (v - q[at + k]) / (v + q[at + k]);
                    }
                    break;
            }
        }

        /// <summary>The distance or kernel that a sum over w columns stands for; `other` is the second sum, or the product of the norms.</summary>
        private double Finish(double sum, double other, int w) {
            switch (metric) {
                case Metric.Euclidean: return Math.Sqrt(sum);
                case Metric.Minkowski: return Special.Pow(sum, 1.0 / p);
                case Metric.Cosine: return other == 0 ? 1.0 : 1.0 - sum / other;
                case Metric.Braycurtis: return sum / other;
                case Metric.Hamming: return sum / w;
                case Metric.NanEuclidean: return other == 0 ? double.NaN : Math.Sqrt(w / other * sum);
                case Metric.AdditiveChi2: return -sum;
                case Metric.Chi2: case Metric.Rbf: case Metric.Laplacian: return Math.Exp(-gamma * sum);
                case Metric.Poly: return Special.Pow(gamma * sum + coef0, degree);
                case Metric.Sigmoid: return Math.Tanh(gamma * sum + coef0);
                default: return sum;
            }
        }
    }

    /// <summary>The positions of the k smallest of the row x[i..i + m), ties to the lowest; NaN is larger than any number.</summary>
    private sealed class Nearest {
        private readonly double[] x;
        private readonly int i;
        private readonly int[] heap; // the largest on top

        internal Nearest(double[] x, int i, int m, int k) {
            this.x = x;
            this.i = i;
            heap = new int[k];
            for (int j = 0; j < k; j++) {
                heap[j] = j;
            }
            for (int j = k / 2 - 1; j >= 0; j--) {
                Sink(k, j);
            }
            for (int j = k; j < m; j++) {
                if (Behind(heap[0], j)) {
                    heap[0] = j;
                    Sink(k, 0);
                }
            }
        }

        /// <summary>In any order.</summary>
        internal int[] Any() {
            return heap;
        }

        /// <summary>The smallest first.</summary>
        internal int[] Ascending() {
            for (int end = heap.Length - 1; end > 0; end--) {
                int largest = heap[0];
                heap[0] = heap[end];
                heap[end] = largest;
                Sink(end, 0);
            }
            return heap;
        }

        /// <summary>Whether element a comes behind b: it is larger, or as large and has the higher position.</summary>
        private bool Behind(int a, int b) {
            double v = x[i + a], w = x[i + b];
            return v > w || v != v && w == w || a > b && (v == w || v != v && w != w);
        }

        /// <summary>Restores a heap of n below position j.</summary>
        private void Sink(int n, int j) {
            for (int child; (child = 2 * j + 1) < n; j = child) {
                child += child + 1 < n && Behind(heap[child + 1], heap[child]) ? 1 : 0;
                if (!Behind(heap[child], heap[j])) {
                    return;
                }
                int lower = heap[child];
                heap[child] = heap[j];
                heap[j] = lower;
            }
        }
    }

    /// <summary>smallest: 1.0 at the k smallest elements, else 0.0.</summary>
    private static Step Smallest(Args a) {
        int m = a.One(FLOATS).width, k = a.Integer("k", 1, m);
        a.Dear(4L * m);
        return new SmallestStep(a, RowType.Row(DType.F64, m)) { m = m, k = k };
    }

    private sealed class SmallestStep : Rows {
        internal int m, k;
        internal SmallestStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] x, int i, double[] y, int o) {
            foreach (int j in new Nearest(x, i, m, k).Any()) {
                y[o + j] = 1.0;
            }
        }
    }

    /// <summary>knn: the weighted mean of the targets of the k smallest distances, or their class weights.</summary>
    private static Step Knn(Args a) {
        RowType t = a.One(DType.F64);
        int m = t.width, k = a.Integer("k", 1, m);
        a.work = m * ((long) k + DEAR);
        int classes = a.Has("classes") ? a.Integer("classes", 1, a.guard.limits.RowElements) : 0;
        bool byDistance = a.Choice("weights", false, "uniform", "distance") == "distance";
        int[] classOf = classes > 0 ? a.Ints("targets", m, 0, classes - 1) : null;
        Tensor targets = classes > 0 ? null : a.Values("targets", DType.F64, 2, 2);
        if (targets != null) {
            a.Expect("targets", targets.shape[0], m);
        }
        return new KnnStep(a, RowType.Row(DType.F64, classes > 0 ? classes : targets.Width)) { m = m, k = k, byDistance = byDistance, classOf = classOf, targets = targets };
    }

    private sealed class KnnStep : Rows {
        internal int m, k;
        internal bool byDistance;
        internal int[] classOf;
        internal Tensor targets;
        internal KnnStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] d, int i, double[] y, int o) {
            int[] nearest = new Nearest(d, i, m, k).Ascending();
            double sum = 0.0;
            bool zero = false;
            foreach (int j in nearest) {
                zero |= d[i + j] == 0;
            }
            foreach (int j in nearest) {
                double weight = !byDistance ? 1.0 : zero ? (d[i + j] == 0 ? 1.0 : 0.0) : 1.0 / d[i + j];
                sum += weight;
                if (classOf != null) {
                    y[o + classOf[j]] += weight;
                } else {
                    for (int q = 0; q < type.width; q++) {
                        y[o + q] += weight * targets.Doubles()[j * type.width + q];
                    }
                }
            }
            for (int q = o; q < o + type.width; q++) {
                y[q] /= sum;
            }
        }
    }

    /// <summary>ovo_vote: votes, their one-vs-rest shape, or coupled probabilities, from one decision per pair of classes (i, j), i &lt; j.</summary>
    private static Step OvoVote(Args a) {
        RowType x = a.Rounded();
        int c = a.Integer("classes", 2, a.guard.limits.TensorElements);
        string mode = a.Choice("mode", false, "votes", "ovr", "coupling");
        if (c * (c - 1L) / 2 != x.width) {
            throw a.Refuse("reads " + x + "; " + c + " classes have " + c * (c - 1L) / 2 + " pairs.");
        }
        bool coupling = mode == "coupling";
        a.guard.Take(coupling ? 8L * c * c : 0);
        a.work = coupling ? (long) c * c * Math.Max(100, c) : 0;
        double[] probA = coupling ? a.Floats("prob_a", x.width) : null, probB = coupling ? a.Floats("prob_b", x.width) : null;
        return new OvoVoteStep(a, RowType.Row(a.dtype, c)) { c = c, mode = mode, coupling = coupling, probA = probA, probB = probB };
    }

    private sealed class OvoVoteStep : Rows {
        internal int c;
        internal string mode;
        internal bool coupling;
        internal double[] probA, probB;
        internal OvoVoteStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] d, int at, double[] y, int o) {
            if (coupling) {
                Array.Copy(Coupled(Probabilities(d, at)), 0, y, o, c);
            } else {
                Vote(d, at, y, o);
            }
        }

        private void Vote(double[] d, int at, double[] y, int o) {
            bool votes = mode == "votes";
            double[] sums = new double[c];
            for (int i = 0, pair = at; i < c; i++) {
                for (int j = i + 1; j < c; j++, pair++) {
                    y[o + ((votes ? d[pair] > 0 : !(d[pair] < 0)) ? i : j)] += 1.0;
                    sums[i] += d[pair];
                    sums[j] -= d[pair];
                }
            }
            for (int i = 0; !votes && i < c; i++) {
                y[o + i] += sums[i] / (3.0 * (Math.Abs(sums[i]) + 1.0));
            }
        }

        /// <summary>r[i][j]: how probable i is among i and j.</summary>
        private double[][] Probabilities(double[] d, int at) {
            double[][] r = new double[c][];
            for (int i = 0; i < c; i++) r[i] = new double[c];
            for (int i = 0, pair = 0; i < c; i++) {
                for (int j = i + 1; j < c; j++, pair++) {
                    double v = Special.Sigmoid(-(probA[pair] * d[at + pair] + probB[pair]));
                    r[i][j] = Math.Min(Math.Max(v, 1e-7), 1 - 1e-7);
                    r[j][i] = 1 - r[i][j];
                }
            }
            return r;
        }
    }

    /// <summary>Pairwise coupling of Wu, Lin and Weng (2004) as libsvm iterates it; r becomes their Q.</summary>
    private static double[] Coupled(double[][] r) {
        int c = r.Length;
        if (c == 2) {
            return new double[] {r[0][1], r[1][0]};
        }
        for (int t = 0; t < c; t++) {
            for (int j = 0; j < c; j++) {
                if (j != t) {
                    r[t][t] += r[j][t] * r[j][t];
                }
            }
        }
        for (int t = 0; t < c; t++) {
            for (int j = t + 1; j < c; j++) {
                r[t][j] = r[j][t] = -r[j][t] * r[t][j];
            }
        }
        double[] p = new double[c], qp = new double[c];
        Fill(p, 1.0 / c);
        for (int round = 0; round < Math.Max(100, c); round++) {
            for (int t = 0; t < c; t++) {
                qp[t] = Dot(r[t], 0, p, 0, c);
            }
            double pqp = Dot(p, 0, qp, 0, c), error = 0.0;
            for (int t = 0; t < c; t++) {
                error = Math.Max(error, Math.Abs(qp[t] - pqp));
            }
            if (!(error >= 0.005 / c)) {
                break;
            }
            for (int t = 0; t < c; t++) {
                double diff = (pqp - qp[t]) / r[t][t];
                p[t] += diff;
                pqp = (pqp + diff * (diff * r[t][t] + 2 * qp[t])) / (1 + diff) / (1 + diff);
                for (int j = 0; j < c; j++) {
                    qp[j] = (qp[j] + diff * r[t][j]) / (1 + diff);
                    p[j] /= 1 + diff;
                }
            }
        }
        return p;
    }

    // ==== 2 Text =====================================================================================================

    private const int LAST_POINT = 0x10ffff, ASCII = 128, SPACE = 0x20, SIGMA = 0x3a3, SMALL_SIGMA = 0x3c3, FINAL_SIGMA = 0x3c2;
    private const int HANGUL = 0xac00, LAST_HANGUL = 0xd7a3, LEADS = 0x1100, VOWELS = 0x1161, TRAILS = 0x11a7;
    private const int VOWEL_COUNT = 21, TRAIL_COUNT = 28, MOST_UNITS = 64, NOT_FOUND = -1;

    /// <summary>UTF-8 and code points.</summary>
    private static class Unicode {
        /// <summary>The code points of a string; null if it holds half of a surrogate pair.</summary>
        internal static int[] Points(string s) {
            var points = new int[s.Length];
            int n = 0;
            for (int i = 0; i < s.Length; i++) {
                bool pair = char.IsHighSurrogate(s[i]) && i + 1 < s.Length && char.IsLowSurrogate(s[i + 1]);
                if (!pair && char.IsSurrogate(s[i])) {
                    return null;
                }
                points[n++] = pair ? char.ConvertToUtf32(s[i], s[++i]) : s[i];
            }
            return n == points.Length ? points : Resized(points, n);
        }

        /// <summary>Writes a code point at `at` as UTF-8; returns what follows it.</summary>
        internal static int Write(int point, byte[] to, int at) {
            if (point < 0x80) {
                to[at] = (byte) point;
                return at + 1;
            }
            int n = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
            to[at++] = (byte) (0xf00 >> n | point >> 6 * (n - 1));
            for (int k = n - 2; k >= 0; k--) {
                to[at++] = (byte) (0x80 | point >> 6 * k & 0x3f);
            }
            return at;
        }
    }

    /// <summary>MurmurHash3 x86 32-bit, seed 0 (Austin Appleby), and the columns of hashed terms.</summary>
    private static class Hash {
        internal static int Of(byte[] b, int from, int to) {
            unchecked {
                uint h = 0, k = 0;
                int whole = from + ((to - from) & ~3);
                for (int i = from; i < whole; i += 4) {
                    uint word = b[i] | (uint) b[i + 1] << 8 | (uint) b[i + 2] << 16 | (uint) b[i + 3] << 24;
                    h = Rotate(h ^ Scramble(word), 13) * 5 + 0xe6546b64;
                }
                for (int i = to - 1; i >= whole; i--) {
                    k = k << 8 | b[i];
                }
                h ^= Scramble(k) ^ (uint) (to - from);
                h = (h ^ h >> 16) * 0x85ebca6b;
                h = (h ^ h >> 13) * 0xc2b2ae35;
                return (int) (h ^ h >> 16);
            }
        }

        private static uint Rotate(uint x, int by) {
            return x << by | x >> (32 - by);
        }

        private static uint Scramble(uint k) {
            return unchecked(Rotate(k * 0xcc9e2d51, 15) * 0x1b873593);
        }

        /// <summary>By the absolute value, of which -2^31 has none.</summary>
        internal static int Column(int h, int size) {
            return h == int.MinValue ? (int.MaxValue - (size - 1)) % size : Math.Abs(h) % size;
        }
    }

    /// <summary>Strings in buckets by hash, sorted within each: found at once as a rule, and by halving whatever a document holds.</summary>
    private sealed class Dictionary {
        internal readonly byte[][] strings;
        private readonly int[] place; // in the original order
        private readonly int[] start;
        private readonly int shift;

        internal Dictionary(Args a, string key, bool different) {
            string[] given = a.Values(key, DType.Str, 1, 1).Strings();
            a.guard.Take(120L * given.Length);
            var all = new byte[given.Length][];
            var order = new int[given.Length];
            for (int k = 0; k < given.Length; k++) {
                all[k] = Encoding.UTF8.GetBytes(NotNull(a, key, given[k]));
                a.guard.Take(all[k].Length);
                order[k] = k;
            }
            Array.Sort(order, (i, j) => Compare(all[i], all[j], 0, all[j].Length));
            int bits = 1;
            while (bits < 30 && 1 << bits < all.Length) {
                bits++;
            }
            shift = 32 - bits;
            strings = new byte[all.Length][];
            place = new int[all.Length];
            start = new int[(1 << bits) + 1];
            for (int k = 0; k < all.Length; k++) {
                if (different && k > 0 && Compare(all[order[k - 1]], all[order[k]], 0, all[order[k]].Length) == 0) {
                    throw a.Refuse("has the same string twice in " + Quote(key) + "; they are all different.");
                }
                start[Bucket(all[k], 0, all[k].Length) + 1]++;
            }
            for (int b = 1; b < start.Length; b++) {
                start[b] += start[b - 1];
            }
            int[] next = Copy(start);
            foreach (int k in order) {
                int to = next[Bucket(all[k], 0, all[k].Length)]++;
                strings[to] = all[k];
                place[to] = k;
            }
        }

        private int Bucket(byte[] b, int from, int to) {
            return (int) ((uint) Hash.Of(b, from, to) >> shift);
        }

        /// <summary>The order of a and b[from..to), by bytes.</summary>
        private static int Compare(byte[] a, byte[] b, int from, int to) {
            int shorter = Math.Min(a.Length, to - from);
            for (int k = 0; k < shorter; k++) {
                if (a[k] != b[from + k]) {
                    return (a[k] & 255) - (b[from + k] & 255);
                }
            }
            return a.Length - (to - from);
        }

        /// <summary>Where b[from..to) stands, or NOT_FOUND.</summary>
        internal int Find(byte[] b, int from, int to) {
            int bucket = Bucket(b, from, to), low = start[bucket], high = start[bucket + 1];
            while (low < high) {
                int middle = (int) ((uint) (low + high) >> 1), order = Compare(strings[middle], b, from, to);
                if (order == 0) {
                    return place[middle];
                }
                if (order < 0) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            return NOT_FOUND;
        }
    }

    private static string NotNull(Args a, string key, string s) {
        if (s == null) {
            throw a.Refuse("has null in " + Quote(key) + "; a string is needed.");
        }
        return s;
    }

    /// <summary>A set of code points: ranges lo, hi, lo, hi ...</summary>
    private sealed class Ranges {
        private readonly int[] pairs;
        private readonly bool[] ascii = new bool[ASCII];

        internal Ranges(Args a, string key) {
            pairs = a.Ints(key, -1, 0, LAST_POINT);
            bool good = pairs.Length % 2 == 0;
            for (int k = 1; good && k < pairs.Length; k++) {
                good = k % 2 == 1 ? pairs[k - 1] <= pairs[k] : pairs[k - 1] < pairs[k];
            }
            if (!good) {
                throw a.Refuse("has " + Quote(key) + " that is not made of ascending ranges lo, hi.");
            }
            for (int k = 0; k < pairs.Length; k += 2) {
                for (int point = pairs[k]; point < ASCII && point <= pairs[k + 1]; point++) {
                    ascii[point] = true;
                }
            }
        }

        internal bool Has(int point) {
            if (point < ASCII) {
                return ascii[point];
            }
            int low = 0, high = pairs.Length / 2; // the number of pairs whose lo is not above the point
            while (low < high) {
                int middle = (int) ((uint) (low + high) >> 1);
                if (pairs[2 * middle] <= point) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            return low > 0 && point <= pairs[2 * low - 1];
        }
    }

    /// <summary>What becomes of the code points of a text before terms are found.</summary>
    private sealed class Folding {
        private readonly int[] from; // ascending; or null
        private readonly int[][] to;
        private readonly int[] found = new int[ASCII]; // position in from, or NOT_FOUND
        private readonly bool hangul, ascii;
        private readonly Ranges cased, ignorable; // both or neither
        private readonly long limit;

        internal Folding(Args a) {
            bool table = Both(a, "fold_from", "fold_to"), sigma = Both(a, "cased", "case_ignorable");
            from = table ? a.Ints("fold_from", -1, 0, LAST_POINT) : new int[0];
            to = new int[from.Length][];
            if (table) {
                ReadTable(a, a.Values("fold_to", DType.Str, 1, 1).Strings());
            }
            Fill(found, NOT_FOUND);
            for (int k = 0; k < from.Length && from[k] < ASCII; k++) {
                found[from[k]] = k;
            }
            hangul = a.Flag("hangul", false);
            ascii = a.Flag("ascii", false);
            cased = sigma ? new Ranges(a, "cased") : null;
            ignorable = sigma ? new Ranges(a, "case_ignorable") : null;
            limit = a.guard.limits.TensorElements;
            if (ascii && (hangul || sigma)) {
                throw a.Refuse("has \"ascii\" beside \"hangul\" or \"cased\"; they do not go together.");
            }
        }

        /// <summary>How many code points may become of one.</summary>
        internal long Longest {
            get {
                long longest = hangul ? 3 : 1;
                foreach (int[] points in to) {
                    longest = Math.Max(longest, points.Length);
                }
                return longest;
            }
        }

        /// <summary>Whether two attributes are there; refuses one without the other.</summary>
        private static bool Both(Args a, string one, string other) {
            if (a.Has(one) != a.Has(other)) {
                throw a.Refuse("has only one of \"" + one + "\" and \"" + other + "\".");
            }
            return a.Has(one);
        }

        private void ReadTable(Args a, string[] strings) {
            a.Expect("fold_to", strings.Length, from.Length);
            for (int k = 0; k < from.Length; k++) {
                if (k > 0 && from[k] <= from[k - 1]) {
                    throw a.Refuse("has \"fold_from\" that does not ascend at position " + k + ".");
                }
                a.guard.Take(24 + 4L * NotNull(a, "fold_to", strings[k]).Length);
                to[k] = Unicode.Points(strings[k]);
            }
        }

        /// <summary>The folded text; null if it grows beyond the limit of a tensor.</summary>
        internal int[] Fold(int[] text) {
            if (from.Length == 0 && !hangul && !ascii && cased == null) {
                return text;
            }
            bool[] last = cased == null ? null : Finals(text);
            int[] own = new int[3];
            long total = 0;
            for (int i = 0; i < text.Length; i++) {
                total += Fold(text[i], last != null && last[i], own, null, 0);
                if (total > limit) {
                    return null;
                }
            }
            int[] folded = new int[(int) total];
            int n = 0;
            for (int i = 0; i < text.Length; i++) {
                n += Fold(text[i], last != null && last[i], own, folded, n);
            }
            return folded;
        }

        /// <summary>Writes what a code point becomes to out[at..] (null: nowhere); returns how many code points that are.</summary>
        private int Fold(int point, bool last, int[] own, int[] output, int at) {
            bool sigma = cased != null && point == SIGMA;
            int k = sigma ? NOT_FOUND : point < ASCII ? found[point] : Array.BinarySearch(from, point);
            int[] source = k >= 0 ? to[k] : own;
            int n = k >= 0 ? to[k].Length : Decompose(sigma ? last ? FINAL_SIGMA : SMALL_SIGMA : point, own);
            if (output != null) {
                Array.Copy(source, 0, output, at, n);
            }
            return n;
        }

        /// <summary>What becomes of a code point that is not in the table.</summary>
        private int Decompose(int point, int[] own) {
            own[0] = point;
            if (!hangul || point < HANGUL || point > LAST_HANGUL) {
                return ascii && point >= ASCII ? 0 : 1;
            }
            int syllable = point - HANGUL, trail = syllable % TRAIL_COUNT;
            own[0] = LEADS + syllable / (VOWEL_COUNT * TRAIL_COUNT);
            own[1] = VOWELS + syllable / TRAIL_COUNT % VOWEL_COUNT;
            own[2] = TRAILS + trail;
            return trail > 0 ? 3 : 2;
        }

        /// <summary>For every code point whether a sigma there ends a word.</summary>
        private bool[] Finals(int[] text) {
            bool[] finals = Cased(text, 0, 1), behind = Cased(text, text.Length - 1, -1);
            for (int i = 0; i < text.Length; i++) {
                finals[i] &= !behind[i];
            }
            return finals;
        }

        /// <summary>For every code point whether what stands before it, when walked in steps of `step`, beyond case-ignorable ones is cased.</summary>
        private bool[] Cased(int[] text, int first, int step) {
            bool[] marks = new bool[text.Length];
            bool last = false;
            for (int i = first; i >= 0 && i < text.Length; i += step) {
                marks[i] = last;
                if (!ignorable.Has(text[i])) {
                    last = cased.Has(text[i]);
                }
            }
            return marks;
        }
    }

    /// <summary>The columns in which terms are counted: those of a vocabulary, or of their hashes.</summary>
    private sealed class Counting {
        internal readonly int size;
        private readonly Dictionary vocabulary; // or null
        private readonly bool alternate;

        internal Counting(Args a, bool byHash) {
            vocabulary = byHash ? null : new Dictionary(a, "vocabulary", true);
            size = byHash ? a.Integer("size", 1, a.guard.limits.TensorElements) : vocabulary.strings.Length;
            alternate = byHash && a.Flag("alternate", true);
        }

        /// <summary>Adds `value`, or sets 1.0 (binary), in the column of the term b[from..to) of the row y[o..].</summary>
        internal void Add(byte[] b, int from, int to, double value, bool binary, double[] y, int o) {
            int h = vocabulary == null ? Hash.Of(b, from, to) : 0;
            int column = vocabulary == null ? Hash.Column(h, size) : vocabulary.Find(b, from, to);
            if (column != NOT_FOUND) {
                y[o + column] = binary ? 1.0 : y[o + column] + (alternate && h < 0 ? -value : value);
            }
        }
    }

    /// <summary>A text in units, words or code points: unit i is bytes[begin[i]..end[i]), so that a term is a stretch of bytes.</summary>
    private sealed class Units {
        internal readonly byte[] bytes;
        internal readonly int[] begin, end;
        internal int n, at;

        internal Units(int most) {
            bytes = new byte[4 * most];
            begin = new int[most];
            end = new int[most];
        }

        internal void Add(int point) {
            begin[n] = at;
            end[n++] = at = Unicode.Write(point, bytes, at);
        }

        /// <summary>Adds points[from..to) behind a space, but not a stop word.</summary>
        internal void AddWord(int[] points, int from, int to, Dictionary stop) {
            int before = at;
            begin[n] = at = Unicode.Write(SPACE, bytes, at);
            for (int k = from; k < to; k++) {
                at = Unicode.Write(points[k], bytes, at);
            }
            end[n] = at;
            if (stop != null && stop.Find(bytes, begin[n], at) != NOT_FOUND) {
                at = before;
            } else {
                n++;
            }
        }
    }

    /// <summary>count_terms: how often the terms of a text occur.</summary>
    private static Step CountTerms(Args a) {
        OneText(a);
        Counting counting = new Counting(a, !a.Has("vocabulary"));
        bool binary = a.Flag("binary", false);
        Analyzer analyzer = new Analyzer(a);
        return new CountTermsStep(a, RowType.Row(DType.F64, counting.size)) { counting = counting, binary = binary, analyzer = analyzer };
    }

    private sealed class CountTermsStep : Step {
        internal Counting counting;
        internal bool binary;
        internal Analyzer analyzer;
        internal CountTermsStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] y = new double[f.rows * type.width];
            for (int r = 0; r < f.rows; r++) {
                int o = r * type.width;
                Terms terms = (b, i, end) => {
                    counting.Add(b, i, end, 1.0, binary, y, o);
                    return true;
                };
                analyzer.Analyze(this, f, r, terms);
            }
            return y;
        }
    }

    /// <summary>term_ids: the terms of a text in order, as numbers.</summary>
    private static Step TermIds(Args a) {
        OneText(a);
        Dictionary vocabulary = new Dictionary(a, "vocabulary", true);
        int length = a.Integer("length", 1, a.guard.limits.RowElements);
        long first = a.Integer("first", 0, Args.MOST_WHOLE), unknown = a.Integer("unknown", 0, Args.MOST_WHOLE);
        long fill = a.Integer("fill", 0, Args.MOST_WHOLE);
        Analyzer analyzer = new Analyzer(a);
        return new TermIdsStep(a, RowType.Row(DType.I64, length)) { vocabulary = vocabulary, length = length, first = first, unknown = unknown, fill = fill, analyzer = analyzer };
    }

    private sealed class TermIdsStep : Step {
        internal Dictionary vocabulary;
        internal int length;
        internal long first, unknown, fill;
        internal Analyzer analyzer;
        internal TermIdsStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            long[] y = new long[f.rows * length];
            Fill(y, fill);
            for (int r = 0; r < f.rows; r++) {
                int[] at = {r * length, (r + 1) * length};
                Terms terms = (b, i, end) => {
                    int place = vocabulary.Find(b, i, end);
                    y[at[0]++] = place == NOT_FOUND ? unknown : first + place;
                    return at[0] < at[1];
                };
                analyzer.Analyze(this, f, r, terms);
            }
            return y;
        }
    }

    private static void OneText(Args a) {
        RowType x = a.One(DType.Str);
        if (x.width != 1) {
            throw a.Refuse("reads " + x + "; one text per row is needed.");
        }
    }

    /// <summary>Takes the terms of a text, one after the other: b[from..to); false when no more are wanted.</summary>
    private delegate bool Terms(byte[] b, int from, int to);

    /// <summary>Finds the terms of a text.</summary>
    private sealed class Analyzer {
        private readonly string analyzer;
        private readonly int least, most, leastWord;
        private readonly Folding folding;
        private readonly Ranges word, space;
        private readonly Dictionary stop;

        internal Analyzer(Args a) {
            analyzer = a.Choice("analyzer", false, "word", "char", "char_wb");
            least = a.Integer("min_n", 1, MOST_UNITS);
            most = a.Integer("max_n", least, MOST_UNITS);
            folding = new Folding(a);
            a.strings = folding.Longest * (least + most) * (most - least + 1) / 2;
            bool words = analyzer == "word";
            word = words ? new Ranges(a, "word") : null;
            space = words ? null : new Ranges(a, "space");
            leastWord = words && a.Has("min_word") ? a.Integer("min_word", 1, Args.MOST_WHOLE) : 2;
            stop = words && a.Has("stop") ? new Dictionary(a, "stop", false) : null;
        }

        /// <summary>Hands over the terms of the text in row r.</summary>
        internal void Analyze(Step step, Frame f, int r, Terms terms) {
            string given = ((string[]) f.values[step.inputs[0]])[r];
            int[] text = given == null ? null : Unicode.Points(given);
            if (text == null) {
                throw step.Refuse(f, r, given == null ? "a text is missing." : "a text holds half of a surrogate pair.");
            }
            int[] points = folding.Fold(text);
            if (points == null) {
                throw step.Refuse(f, r, "a text has more code points than a tensor may have elements when it is folded.");
            }
            if (word != null) {
                AddWords(points, terms);
            } else if (analyzer == "char") {
                AddCharacters(points, JoinSpaces(points), terms);
            } else {
                AddWithinWords(points, JoinSpaces(points), terms);
            }
        }

        private void AddWords(int[] points, Terms terms) {
            Units u = new Units(points.Length + 1); // a space for every word: no more than code points, but for the first
            for (int i = 0, end; i < points.Length; i = end + 1) {
                for (end = i; end < points.Length && word.Has(points[end]); ) {
                    end++;
                }
                if (end - i >= leastWord) {
                    u.AddWord(points, i, end, stop);
                }
            }
            AddRuns(u, terms);
        }

        private void AddCharacters(int[] points, int n, Terms terms) {
            Units u = new Units(n);
            for (int i = 0; i < n; i++) {
                u.Add(points[i]);
            }
            AddRuns(u, terms);
        }

        private void AddWithinWords(int[] points, int length, Terms terms) {
            Units u = new Units(length + 2);
            bool more = true;
            for (int i = 0, end; more && i < length; i = end + 1) {
                for (end = i; end < length && !space.Has(points[end]); ) {
                    end++;
                }
                u.n = u.at = 0;
                u.Add(SPACE);
                for (int k = i; k < end; k++) {
                    u.Add(points[k]);
                }
                u.Add(SPACE);
                if (end > i) {
                    more = AddPadded(u, terms);
                }
            }
        }

        /// <summary>Every run of two or more spaces becomes one U+0020, in place; returns the length of what is left.</summary>
        private int JoinSpaces(int[] points) {
            int n = 0;
            for (int i = 0, end; i < points.Length; i = end) {
                for (end = i; end < points.Length && space.Has(points[end]); ) {
                    end++;
                }
                points[n++] = end > i + 1 ? SPACE : points[i];
                end = Math.Max(end, i + 1);
            }
            return n;
        }

        /// <summary>All terms of the units.</summary>
        private void AddRuns(Units u, Terms terms) {
            bool more = true;
            for (int n = least; n <= most && n <= u.n; n++) {
                for (int i = 0; more && i + n <= u.n; i++) {
                    more = terms(u.bytes, u.begin[i], u.end[i + n - 1]);
                }
            }
        }

        /// <summary>The terms of a word between spaces; if it is shorter than n, it is a term itself, once. False when no more are wanted.</summary>
        private bool AddPadded(Units u, Terms terms) {
            bool more = true;
            for (int n = least; more && n <= most; n++) {
                for (int i = 0; more && i + n <= u.n; i++) {
                    more = terms(u.bytes, u.begin[i], u.end[i + n - 1]);
                }
                if (more && n > u.n) {
                    more = terms(u.bytes, 0, u.at);
                }
                if (n >= u.n) {
                    return more;
                }
            }
            return more;
        }
    }

    /// <summary>hash_terms: values at the places of the hashes of prefix + cell.</summary>
    private static Step HashTerms(Args a) {
        a.Arity(1, 2);
        int w = a.Input(0, DType.Str).width;
        bool weighted = a.types.Length == 2;
        if (weighted && a.Input(1, DType.F64).width != w) {
            throw a.Refuse("reads " + Show(a.types) + "; as many numbers as strings are needed.");
        }
        string[] prefix = a.Has("prefix") ? a.Values("prefix", DType.Str, 1, 1).Strings() : new string[] {""};
        if (prefix.Length != 1) {
            a.Expect("prefix", prefix.Length, w);
        }
        foreach (string s in prefix) {
            NotNull(a, "prefix", s);
        }
        Counting counting = new Counting(a, true);
        a.strings = a.types[0].Counted;
        return new HashTermsStep(a, RowType.Row(DType.F64, counting.size)) { w = w, weighted = weighted, prefix = prefix, counting = counting };
    }

    private sealed class HashTermsStep : Step {
        internal int w;
        internal bool weighted;
        internal string[] prefix;
        internal Counting counting;
        internal HashTermsStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            string[] x = (string[]) f.values[inputs[0]];
            double[] values = weighted ? (double[]) f.values[inputs[1]] : null, y = new double[f.rows * type.width];
            for (int k = 0; k < f.rows * w; k++) {
                if (x[k] == null) {
                    continue;
                }
                byte[] term = Utf8(prefix[prefix.Length == 1 ? 0 : k % w] + x[k]);
                if (term == null) {
                    throw Refuse(f, k / w, "a string holds half of a surrogate pair.");
                }
                counting.Add(term, 0, term.Length, weighted ? values[k] : 1.0, false, y, k / w * type.width);
            }
            return y;
        }
    }

    // ==== 3 Solver ===================================================================================================

    private const int MOST_ROUNDS = 10000, MOST_PAIRED = 4096, ROUNDS_PER_ERROR = 10;
    private const long MOST_WORK = 1L << 30;
    private const double FLOAT_EPSILON = 1.1920928955078125e-07, DOUBLE_EPSILON = 2.220446049250313e-16;

    /// <summary>The table of an op of this section: k rows t of d numbers.</summary>
    private sealed class Table {
        internal readonly int k, d;
        internal readonly double[] data, turned; // [k, d], [d, k]

        internal Table(Args a, string key, bool negative) {
            Tensor t = a.Matrix(key, a.One(DType.F64));
            k = t.shape[0];
            d = t.shape[1];
            data = t.Doubles();
            if (data.Length == 0) {
                throw a.Refuse("has no numbers in " + Quote(key) + ".");
            }
            a.guard.Take(8L * data.Length);
            turned = new double[data.Length];
            for (int i = 0; i < data.Length; i++) {
                if (!(Math.Abs(data[i]) <= double.MaxValue) || data[i] < 0 && !negative) {
                    throw a.Refuse("has " + data[i] + " in " + Quote(key) + "; finite numbers" + (negative ? "" : " from 0 on") + " are needed.");
                }
                turned[i % d * k + i / d] = data[i];
            }
        }

        /// <summary>y_t = sum_j x_j table_tj.</summary>
        internal void Multiply(double[] x, int at, double[] y) {
            Fill(y, 0.0);
            for (int j = 0; j < d; j++) {
                double v = x[at + j];
                for (int t = 0; t < k; t++) {
                    y[t] += v * turned[j * k + t];
                }
            }
        }

        /// <summary>y_j = sum_t w_t table_tj.</summary>
        internal void Combine(double[] w, double[] y) {
            Fill(y, 0.0);
            for (int t = 0; t < k; t++) {
                for (int j = 0; j < d; j++) {
                    y[j] += w[t] * data[t * d + j];
                }
            }
        }

        /// <summary>The products of all pairs of rows.</summary>
        internal double[][] Gram(Args a) {
            if (k > MOST_PAIRED) {
                throw a.Refuse("has a table of " + k + " rows, more than the limit of " + MOST_PAIRED + ".");
            }
            NeedWork(a, k, k, d);
            a.guard.Take((8L * k + 32) * k);
            double[][] gram = new double[k][];
            for (int t = 0; t < k; t++) {
                gram[t] = new double[k];
                Multiply(data, t * d, gram[t]);
            }
            return gram;
        }

        /// <summary>The sums of the rows.</summary>
        internal double[] Totals() {
            double[] totals = new double[k];
            for (int t = 0; t < k; t++) {
                totals[t] = Total(data, t * d, d);
            }
            return totals;
        }
    }

    private static double Total(double[] x, int i, int n) {
        double sum = 0.0;
        for (int j = i; j < i + n; j++) {
            sum += x[j];
        }
        return sum;
    }

    private static double Norm(double[] x) {
        return Math.Sqrt(Dot(x, 0, x, 0, x.Length));
    }

    /// <summary>An attribute that is a finite number; `otherwise` (null: it is required) when absent.</summary>
    private static double Finite(Args a, string key, double? otherwise, bool negative) {
        if (otherwise != null && !a.Has(key)) {
            return (double) otherwise;
        }
        char kind = a.Attribute(key).kind;
        double x = kind == '0' ? a.Number(key, 0.0) : double.NaN;
        if (!(Math.Abs(x) <= double.MaxValue) || x < 0 && !negative) {
            throw a.Refuse("has " + Quote(key) + " that is not a finite number" + (negative ? "." : " from 0 on."));
        }
        return x;
    }

    private static int Rounds(Args a) {
        return a.Integer("max_iter", 0, MOST_ROUNDS);
    }

    /// <summary>Refuses factors that multiply to more than a row, or loading, may cost.</summary>
    private const long ROUND = 64; // multiplications that a round counts as for every row and column of its table

    private static void NeedWork(Args a, long x, long y, long z) {
        if (x > 0 && (y > MOST_WORK / x || z > MOST_WORK / (x * y))) {
            throw a.Refuse("may need more than 2^30 operations for a row or when it is loaded, which is more than the limit.");
        }
    }

    /// <summary>The same of what a row may cost, which is counted.</summary>
    private static void RowWork(Args a, long x, long y, long z) {
        NeedWork(a, x, y, z);
        a.work = x * y * z;
    }

    /// <summary>A step that solves for every row x the weights w of the rows of its table.</summary>
    private abstract class Solver : Step {
        internal readonly Table table;
        internal readonly int k, d;

        internal Solver(Args a, Table table) : base(a, RowType.Row(DType.F64, table.k)) {
            this.table = table;
            this.k = table.k;
            this.d = table.d;
        }

        /// <summary>Whether an element of a row may be x, a finite number.</summary>
        internal abstract bool Accepts(double x);

        /// <summary>The weights for the row x.</summary>
        internal abstract double[] Solve(double[] x);

        internal override Array Run(Frame f) {
            double[] rows = (double[]) f.values[inputs[0]], y = new double[f.rows * k];
            for (int r = 0; r < f.rows; r++) {
                double[] x = Range(rows, r * d, (r + 1) * d);
                foreach (double v in x) {
                    if (!(Math.Abs(v) <= double.MaxValue) || !Accepts(v)) {
                        throw Refuse(f, r, "the element " + v + " is not accepted by this model.");
                    }
                }
                Array.Copy(Solve(x), 0, y, r * k, k);
            }
            return y;
        }
    }

    /// <summary>nmf: weights from 0 on with which the components come near the row.</summary>
    private static Step Nmf(Args a) {
        string solver = a.Choice("solver", false, "cd", "mu", "minibatch");
        Table table = new Table(a, "components", false);
        return solver == "cd" ? (Step) new NmfDescent(a, table) : new NmfMultiplication(a, table, solver == "minibatch");
    }

    /// <summary>nmf by coordinate descent.</summary>
    private sealed class NmfDescent : Solver {
        private readonly int rounds;
        private readonly double tol, l1;
        private readonly double[][] gram;

        internal NmfDescent(Args a, Table table) : base(a, table) {
            rounds = Rounds(a);
            tol = Finite(a, "tol", null, false);
            l1 = Finite(a, "l1", 0.0, false);
            double l2 = Finite(a, "l2", 0.0, false);
            RowWork(a, rounds, k, k);
            a.work += ROUND * rounds * ((long) k + d);
            gram = table.Gram(a);
            for (int t = 0; l2 != 0 && t < k; t++) {
                gram[t][t] += l2;
            }
        }

        internal override bool Accepts(double x) {
            return x >= 0;
        }

        internal override double[] Solve(double[] x) {
            double[] w = new double[k], target = new double[k];
            table.Multiply(x, 0, target);
            for (int t = 0; l1 != 0 && t < k; t++) {
                target[t] -= l1;
            }
            double first = 0.0;
            for (int round = 0; round < rounds; round++) {
                double violation = Descend(target, w);
                first = round == 0 ? violation : first;
                if (first == 0 || violation / first <= tol) {
                    break;
                }
            }
            return w;
        }

        /// <summary>One round; returns how far it was from an optimum.</summary>
        private double Descend(double[] target, double[] w) {
            double violation = 0.0;
            for (int t = 0; t < k; t++) {
                double[] q = gram[t];
                double gradient = -target[t];
                for (int r = 0; r < k; r++) {
                    gradient += q[r] * w[r];
                }
                violation += Math.Abs(w[t] == 0 ? (gradient < 0 ? gradient : 0.0) : gradient);
                if (q[t] != 0) {
                    double moved = w[t] - gradient / q[t];
                    w[t] = 0 > moved ? 0.0 : moved;
                }
            }
            return violation;
        }
    }

    /// <summary>nmf by multiplicative updates: as NMF's solver mu makes them, or (minibatch) as MiniBatchNMF does.</summary>
    private sealed class NmfMultiplication : Solver {
        private readonly bool minibatch;
        private readonly int rounds;
        private readonly double tol, l1, l2, beta, gamma;
        private readonly double[][] gram;
        private readonly double[] totals;

        internal NmfMultiplication(Args a, Table table, bool minibatch) : base(a, table) {
            this.minibatch = minibatch;
            rounds = Rounds(a);
            tol = Finite(a, "tol", null, false);
            l1 = Finite(a, "l1", 0.0, false);
            l2 = Finite(a, "l2", 0.0, false);
            beta = Finite(a, "beta", 2.0, true);
            gamma = beta < 1 ? 1 / (2 - beta) : beta > 2 ? 1 / (beta - 1) : 1.0;
            RowWork(a, rounds, k, (long) k + d);
            a.work += ROUND * rounds * ((long) k + d);
            gram = table.Gram(a);
            totals = table.Totals();
        }

        internal override bool Accepts(double x) {
            return minibatch || x > 0 || x == 0 && beta > 0;
        }

        internal override double[] Solve(double[] x) {
            double[] w = new double[k];
            Fill(w, Math.Sqrt(Total(x, 0, d) / d / k));
            if (minibatch) {
                UntilWeightsStay(x, w);
            } else {
                UntilErrorStays(x, w);
            }
            return w;
        }

        private void UntilWeightsStay(double[] x, double[] w) {
            for (int round = 1; round <= rounds; round++) {
                double[] moved = Copy(w);
                Update(x, w, totals);
                for (int t = 0; t < k; t++) {
                    moved[t] = w[t] - moved[t];
                }
                if (tol > 0 && Norm(moved) / Norm(w) <= tol) {
                    return;
                }
            }
        }

        /// <summary>scikit-learn keeps the denominators of beta 1 between rounds, so that l1 adds up in them.</summary>
        private void UntilErrorStays(double[] x, double[] w) {
            double[] sums = Copy(totals);
            double first = tol > 0 ? Error(x, w) : 0.0, last = first;
            for (int round = 1; round <= rounds; round++) {
                Update(x, w, sums);
                for (int t = 0; l1 > 0 && t < k; t++) {
                    sums[t] += l1;
                }
                for (int t = 0; beta < 1 && t < k; t++) {
                    w[t] = w[t] < DOUBLE_EPSILON ? 0.0 : w[t];
                }
                if (tol > 0 && round % ROUNDS_PER_ERROR == 0) {
                    double error = Error(x, w);
                    if ((last - error) / first < tol) {
                        return;
                    }
                    last = error;
                }
            }
        }

        private static double Floored(double y) {
            return y < FLOAT_EPSILON ? FLOAT_EPSILON : y;
        }

        private void Update(double[] x, double[] w, double[] sums) {
            double[] top = new double[k], bottom = new double[k];
            if (beta == 2) {
                table.Multiply(x, 0, top);
                for (int t = 0; t < k; t++) {
                    bottom[t] = Dot(w, 0, gram[t], 0, k);
                }
            } else {
                DivideByModel(x, w, sums, top, bottom);
            }
            for (int t = 0; t < k; t++) {
                double b = bottom[t];
                if (l1 > 0) {
                    b += l1;
                }
                if (l2 > 0) {
                    b += l2 * w[t];
                }
                double factor = top[t] / (b == 0 ? FLOAT_EPSILON : b);
                w[t] *= gamma == 1 ? factor : Special.Pow(factor, gamma);
            }
        }

        /// <summary>The numerators and denominators for a beta that is not 2.</summary>
        private void DivideByModel(double[] x, double[] w, double[] sums, double[] top, double[] bottom) {
            double[] y = new double[d], c = new double[d], b = new double[d];
            table.Combine(w, y);
            for (int j = 0; j < d; j++) {
                double s = beta < 2 ? Floored(y[j]) : y[j];
                c[j] = beta == 1 ? x[j] / s : beta == 0 ? 1 / s * (1 / s) * x[j] : Special.Pow(s, beta - 2) * x[j];
                b[j] = beta == 1 ? 0.0 : Special.Pow(beta < 1 ? Floored(y[j]) : y[j], beta - 1);
            }
            table.Multiply(c, 0, top);
            if (beta == 1) {
                Array.Copy(sums, 0, bottom, 0, k);
            } else {
                table.Multiply(b, 0, bottom);
            }
        }

        private double Error(double[] x, double[] w) {
            double[] y = new double[d];
            table.Combine(w, y);
            if (beta != 2) {
                double r = Divergence(x, w, y);
                return Math.Sqrt(2 * (r < 0 ? 0.0 : r));
            }
            for (int j = 0; j < d; j++) {
                y[j] = x[j] - y[j];
            }
            return Norm(y);
        }

        /// <summary>The divergence of x from the model y, for a beta that is not 2.</summary>
        private double Divergence(double[] x, double[] w, double[] y) {
            double given = 0, ratios = 0, logarithms = 0, powers = 0, mixed = 0, modelled = 0;
            for (int j = 0; j < d; j++) {
                double u = Floored(y[j]), ratio = x[j] / u;
                modelled += Special.Pow(y[j], beta);
                if (x[j] > FLOAT_EPSILON) {
                    given += x[j];
                    ratios += ratio;
                    logarithms += beta == 1 ? x[j] * Math.Log(ratio) : Math.Log(ratio);
                    powers += Special.Pow(x[j], beta);
                    mixed += x[j] * Special.Pow(u, beta - 1);
                }
            }
            return beta == 1 ? logarithms + (Dot(w, 0, totals, 0, k) - given)
                : beta == 0 ? ratios - d - logarithms
                : (powers - beta * mixed + modelled * (beta - 1)) / (beta * (beta - 1));
        }
    }

    /// <summary>lda_topics: the shares of topics in a row of counts.</summary>
    private sealed class LdaTopics : Solver {
        private readonly double prior, tol;
        private readonly int rounds;

        internal LdaTopics(Args a, Table table) : base(a, table) {
            prior = Finite(a, "prior", null, false);
            rounds = Rounds(a);
            tol = Finite(a, "tol", null, false);
            NeedWork(a, rounds, k, d);
            a.work = (rounds + 1) * (4L * k * d + ROUND * ((long) k + d));
        }

        internal override bool Accepts(double x) {
            return x >= 0;
        }

        internal override double[] Solve(double[] x) {
            int n = 0;
            int[] column = new int[d]; // of the n elements that are not 0
            for (int j = 0; j < d; j++) {
                if (x[j] != 0) {
                    column[n++] = j;
                }
            }
            double[] w = new double[k], e = new double[k], ratio = new double[n];
            Fill(w, 1.0);
            Fill(e, Math.Exp(Psi(1) - Psi(k)));
            for (int round = 0; round < rounds; round++) {
                Explain(x, column, e, ratio);
                if (Share(column, e, ratio, w) / k < tol) {
                    break;
                }
            }
            double sum = Total(w, 0, k);
            for (int t = 0; t < k; t++) {
                w[t] /= sum;
            }
            return w;
        }

        /// <summary>ratio: the counts over what the topics, weighted by e, give them.</summary>
        private void Explain(double[] x, int[] column, double[] e, double[] ratio) {
            Fill(ratio, 0.0);
            for (int t = 0; t < k; t++) {
                for (int j = 0; j < ratio.Length; j++) {
                    ratio[j] += e[t] * table.data[t * d + column[j]];
                }
            }
            for (int j = 0; j < ratio.Length; j++) {
                ratio[j] = x[column[j]] / (ratio[j] + DOUBLE_EPSILON);
            }
        }

        /// <summary>New weights w, and e; returns how much the weights have changed together.</summary>
        private double Share(int[] column, double[] e, double[] ratio, double[] w) {
            double change = 0.0;
            for (int t = 0; t < k; t++) {
                double sum = 0.0;
                for (int j = 0; j < ratio.Length; j++) {
                    sum += ratio[j] * table.data[t * d + column[j]];
                }
                double next = e[t] * sum + prior;
                change += Math.Abs(w[t] - next);
                w[t] = next;
            }
            double all = Psi(Total(w, 0, k));
            for (int t = 0; t < k; t++) {
                e[t] = Math.Exp(Psi(w[t]) - all);
            }
            return change;
        }

        /// <summary>The derivative of log gamma, as scikit-learn computes it (J. M. Bernardo, Algorithm AS 103, 1976).</summary>
        private static double Psi(double z) {
            if (z <= 1e-6) {
                return -0.5772156649015329 - 1 / z;
            }
            double r = 0.0;
            for (; z < 6; z += 1) {
                r -= 1 / z;
            }
            double q = 1 / z;
            r += Math.Log(z) - 0.5 * q;
            q *= q;
            return r - q * (1.0 / 12 - q * (1.0 / 120 - q * (1.0 / 252)));
        }
    }

    /// <summary>sparse_code: few weights with which the atoms come near the row.</summary>
    private static Step SparseCode(Args a) {
        string algorithm = a.Choice("algorithm", false, "omp", "lasso_cd");
        Table table = new Table(a, "atoms", true);
        return algorithm == "omp" ? (Step) new Pursuit(a, table) : new Lasso(a, table);
    }

    /// <summary>sparse_code by orthogonal matching pursuit.</summary>
    private sealed class Pursuit : Solver {
        private readonly int nonzero;
        private readonly double[][] gram;

        internal Pursuit(Args a, Table table) : base(a, table) {
            nonzero = a.Integer("nonzero", 1, k);
            RowWork(a, nonzero, k, nonzero + 1L);
            gram = table.Gram(a);
        }

        internal override bool Accepts(double x) {
            return true;
        }

        internal override double[] Solve(double[] x) {
            return new Choice(this, x).Weights();
        }

        /// <summary>The atoms chosen for one row: the first n of `order`; lower is the Cholesky factor of their products.</summary>
        private sealed class Choice {
            private readonly int k, nonzero;
            private readonly int[] order;
            private readonly double[][] gram, lower;
            private readonly double[] products, w;
            private double[] residual; // what is left of the products of all atoms with the row
            private int n;

            internal Choice(Pursuit of, double[] x) {
                k = of.k;
                nonzero = of.nonzero;
                gram = of.gram;
                order = new int[k];
                lower = new double[nonzero][];
                products = new double[k];
                w = new double[nonzero];
                of.table.Multiply(x, 0, products);
                residual = products;
                for (int a = 0; a < k; a++) {
                    order[a] = a;
                }
            }

            internal double[] Weights() {
                while (n < nonzero) {
                    int m = MostAlike();
                    double c = residual[order[m]];
                    if (m < n || c * c < DOUBLE_EPSILON || !Choose(m)) {
                        break;
                    }
                    Fit();
                }
                double[] all = new double[k];
                for (int i = 0; i < n; i++) {
                    all[order[i]] = w[i];
                }
                return all;
            }

            /// <summary>The place in the order of the first atom with the largest residual; NaN is largest.</summary>
            private int MostAlike() {
                int best = 0;
                for (int m = 1; m < k && residual[order[best]] == residual[order[best]]; m++) {
                    double held = Math.Abs(residual[order[best]]), found = Math.Abs(residual[order[m]]);
                    if (found != found || found > held) {
                        best = m;
                    }
                }
                return best;
            }

            /// <summary>Adds the atom at place m of the order to those chosen; false if they already span it.</summary>
            private bool Choose(int m) {
                int atom = order[m];
                double[] row = gram[atom], last = new double[n + 1];
                double length = 0.0;
                for (int i = 0; i < n; i++) {
                    last[i] = (row[order[i]] - Dot(lower[i], 0, last, 0, i)) / lower[i][i];
                    length += last[i] * last[i];
                }
                if (n > 0 && row[atom] - length <= DOUBLE_EPSILON) {
                    return false;
                }
                last[n] = Math.Sqrt(n > 0 ? row[atom] - length : row[atom]);
                lower[n] = last;
                order[m] = order[n];
                order[n++] = atom;
                return true;
            }

            /// <summary>The weights of the chosen atoms that fit the row best, and what is left of the products of all.</summary>
            private void Fit() {
                double[] z = new double[n], fitted = new double[k];
                for (int i = 0; i < n; i++) {
                    z[i] = (products[order[i]] - Dot(lower[i], 0, z, 0, i)) / lower[i][i];
                }
                for (int i = n - 1; i >= 0; i--) {
                    double sum = 0.0;
                    for (int j = i + 1; j < n; j++) {
                        sum += lower[j][i] * w[j];
                    }
                    w[i] = (z[i] - sum) / lower[i][i];
                }
                for (int i = 0; i < n; i++) {
                    for (int a = 0; a < k; a++) {
                        fitted[a] += gram[order[i]][a] * w[i];
                    }
                }
                for (int a = 0; a < k; a++) {
                    fitted[a] = products[a] - fitted[a];
                }
                residual = fitted;
            }
        }
    }

    /// <summary>sparse_code as lasso by coordinate descent, with gap safe screening.</summary>
    private sealed class Lasso : Solver {
        private readonly double alpha, tol;
        private readonly int rounds;
        private readonly bool positive;
        private readonly double[][] gram;

        internal Lasso(Args a, Table table) : base(a, table) {
            alpha = Finite(a, "alpha", null, false);
            rounds = Rounds(a);
            tol = Finite(a, "tol", 1e-8, false);
            positive = a.Flag("positive", false);
            RowWork(a, rounds, k, k);
            a.work += ROUND * rounds * ((long) k + d);
            gram = table.Gram(a);
        }

        internal override bool Accepts(double x) {
            return true;
        }

        internal override double[] Solve(double[] x) {
            return new Descent(this, x).Weights();
        }

        /// <summary>The descent for one row. `fitted` are the products of all atoms with the sum of the weighted atoms.</summary>
        private sealed class Descent {
            private readonly int k, rounds;
            private readonly double alpha, tol, square;
            private readonly bool positive;
            private readonly double[][] gram;
            private readonly double[] w, products, fitted, rest;
            private readonly bool[] screened;  // screened: the weight is 0 at the optimum
            private double gap, largest; // the largest element of rest

            internal Descent(Lasso of, double[] x) {
                k = of.k;
                rounds = of.rounds;
                alpha = of.alpha;
                tol = of.tol;
                positive = of.positive;
                gram = of.gram;
                w = new double[k];
                products = new double[k];
                fitted = new double[k];
                rest = new double[k];
                screened = new bool[k];
                square = Dot(x, 0, x, 0, of.d);
                of.table.Multiply(x, 0, products);
            }

            internal double[] Weights() {
                double enough = tol * square;
                MeasureGap();
                if (gap >= 0 && gap <= enough) {
                    return w;
                }
                for (int a = 0; a < k; a++) {
                    screened[a] = gram[a][a] == 0;
                }
                Screen();
                for (int round = 1; round <= rounds; round++) {
                    if (Descend() || round == rounds) {
                        MeasureGap();
                        if (gap <= enough) {
                            break;
                        }
                        Screen();
                    }
                }
                return w;
            }

            private void Set(int a, double weight) {
                double change = weight - w[a];
                for (int b = 0; b < k; b++) {
                    fitted[b] += change * gram[a][b];
                }
                w[a] = weight;
            }

            /// <summary>The duality gap, with what screening needs.</summary>
            private void MeasureGap() {
                double alike = Dot(w, 0, products, 0, k), squares = 0.0, weights = 0.0;
                double left = square + Dot(w, 0, fitted, 0, k) - 2 * alike;
                for (int a = 0; a < k; a++) {
                    rest[a] = products[a] - fitted[a];
                    double size = positive ? rest[a] : Math.Abs(rest[a]);
                    largest = a == 0 || size > largest ? size : largest;
                    squares += rest[a] * rest[a];
                    weights += Math.Abs(w[a]);
                }
                double s = largest > alpha ? alpha / largest : 1.0;
                gap = alpha == 0 ? squares : 0.5 * left + alpha * weights - (-0.5 * (s * s) * left + s * (square - alike));
            }

            /// <summary>Drops the atoms that the gap shows to have weight 0.</summary>
            private void Screen() {
                double radius = Math.Sqrt(2 * Math.Abs(gap)) / alpha, most = alpha > largest ? alpha : largest;
                for (int a = 0; alpha != 0 && a < k; a++) {
                    if (!screened[a] && !((1 - Math.Abs(rest[a] / most)) / Math.Sqrt(gram[a][a]) <= radius)) {
                        screened[a] = true;
                        if (w[a] != 0) {
                            Set(a, 0.0);
                        }
                    }
                }
            }

            /// <summary>One round over the atoms; true if it changed little.</summary>
            private bool Descend() {
                double mostChange = 0.0, mostWeight = 0.0;
                for (int a = 0; a < k; a++) {
                    if (screened[a]) {
                        continue;
                    }
                    double t = products[a] - fitted[a] + w[a] * gram[a][a];
                    double weight = positive && t < 0 ? 0.0 : Special.Sign(t) * Math.Max(Math.Abs(t) - alpha, 0.0) / gram[a][a];
                    double change = Math.Abs(weight - w[a]);
                    if (weight != w[a]) {
                        Set(a, weight);
                    }
                    mostChange = change > mostChange ? change : mostChange;
                    mostWeight = Math.Abs(weight) > mostWeight ? Math.Abs(weight) : mostWeight;
                }
                return mostWeight == 0 || mostChange / mostWeight <= tol;
            }
        }
    }

    // ==== 4 Trees ====================================================================================================

    /// <summary>The tree_ensemble of Modelport.cs with a faster walk, once a batch is large enough to be worth packing the trees.</summary>
    private sealed class FastTrees : Trees {
        private volatile PackedTrees packed;
        private volatile bool unpackable;

        internal FastTrees(Args a) : base(a) {
        }

        internal override int[] AddAll(double[] x, int rows, double[] output) {
            if (packed == null && !unpackable && 4L * rows * root.Length >= feature.Length) {
                packed = PackedTrees.Of(this);
                unpackable = packed == null;
            }
            return packed == null ? base.AddAll(x, rows, output) : packed.Add(x, rows, output);
        }
    }

    /// <summary>Trees packed for speed: a node is one long, key &lt;&lt; 32 | step &lt;&lt; bits | column. The children of a node stand side by side, `step`
    /// places after it. A row's number and a threshold are compared as integer keys of the same order, without a branch: right when the
    /// row's key is greater. A leaf has step 0, its leaf row as key, and reads an extra column whose key is the smallest of all: the walk
    /// stays on it, so that four rows can walk together until the last has arrived.</summary>
    private sealed class PackedTrees {
        private readonly Trees trees;
        private readonly long[] node;
        private readonly int bits;
        private readonly double[][] edges; // [columns] sorted thresholds, for f64; f32 needs none

        private PackedTrees(Trees trees) {
            this.trees = trees;
            this.bits = Bits(trees.columns);
            this.node = new long[trees.feature.Length];
            this.edges = trees.dtype == DType.F64 ? Edges(trees) : null;
        }

        /// <summary>null when a category has to be looked up, or when column and step do not fit 32 bits together.</summary>
        internal static PackedTrees Of(Trees trees) {
            if (trees.category != null) {
                return null;
            }
            PackedTrees p = new PackedTrees(trees);
            int[] place = new int[p.node.Length];
            for (int t = 0; t < trees.root.Length; t++) {
                int free = trees.root[t];
                place[free] = free++;
                for (int i = trees.root[t]; i < trees.End(t); i++) {
                    long low = trees.columns, key = trees.next[i];
                    if (trees.feature[i] >= 0) {
                        long step = free - place[i];
                        if (step >> (32 - p.bits) != 0) {
                            return null;
                        }
                        place[i + 1] = free++;
                        place[trees.next[i]] = free++;
                        low = step << p.bits | (uint) trees.feature[i];
                        key = p.Limit(trees.feature[i], trees.threshold[i]);
                    }
                    p.node[place[i]] = key << 32 | low;
                }
            }
            return p;
        }

        private static double[][] Edges(Trees trees) {
            int[] count = new int[trees.columns];
            foreach (int column in trees.feature) {
                if (column >= 0) {
                    count[column]++;
                }
            }
            double[][] edges = new double[trees.columns][];
            for (int j = 0; j < edges.Length; j++) {
                edges[j] = new double[count[j]];
            }
            for (int i = 0; i < trees.feature.Length; i++) {
                int j = trees.feature[i];
                if (j >= 0) {
                    edges[j][--count[j]] = trees.threshold[i];
                }
            }
            foreach (double[] column in edges) {
                Array.Sort(column);
            }
            return edges;
        }

        /// <summary>The greatest key that goes left at a threshold. For f64 it is the number of the column's thresholds that are below.</summary>
        private int Limit(int column, double threshold) {
            return edges == null ? Sortable((float) threshold) - (trees.strict ? 1 : 0)
                : Count(edges[column], 0, edges[column].Length, threshold, false);
        }

        /// <summary>The key of a row's number; for f64 the number of edges that it is above (or at, under "lt").</summary>
        private int Key(int column, double v) {
            return edges == null ? Sortable((float) v) : Count(edges[column], 0, edges[column].Length, v, trees.strict);
        }

        /// <summary>A float as an integer of the same order; -0.0 is 0.0. The smallest integer stays free for the extra column.</summary>
        private static int Sortable(float v) {
            int raw = new FloatBits {Float = v}.Bits;
            return raw < 0 ? int.MinValue - raw : raw;
        }

        private static int Bits(int n) {
            int bits = 0;
            for (; n > 0; n >>= 1) bits++;
            return bits;
        }

        /// <summary>Adds the leaves of all trees to out; returns the rows whose NaN needs the slow walk: they are to be redone.</summary>
        internal int[] Add(double[] x, int rows, double[] output) {
            int stride = trees.columns + 1, block = Math.Max(4, Math.Min(rows, (1 << 16) / stride)), count = 0;
            int[] keys = new int[block * stride], slow = new int[rows];
            for (int first = 0; first < rows; first += block) {
                int n = Math.Min(block, rows - first);
                for (int r = 0; r < n; r++) {
                    if (!Keys(x, first + r, keys, r * stride)) {
                        slow[count++] = first + r;
                    }
                }
                for (int t = 0; t < trees.root.Length; t++) {
                    AddTree(t, keys, stride, n, output, first);
                }
            }
            return Resized(slow, count);
        }

        /// <summary>The keys of one row; false when NaN does not simply go left or right.</summary>
        private bool Keys(double[] x, int row, int[] keys, int at) {
            bool left = trees.missing == "left", clean = left || trees.missing == "right";
            bool fits = true;
            for (int j = 0; j < trees.columns; j++) {
                double v = x[row * trees.columns + j];
                keys[at + j] = v == v ? Key(j, v) : left ? int.MinValue : int.MaxValue;
                fits &= clean || v == v;
            }
            keys[at + trees.columns] = int.MinValue;
            return fits;
        }

        private void AddTree(int t, int[] x, int stride, int n, double[] output, int first) {
            int root = trees.root[t], r = 0;
            for (; r + 4 <= n; r += 4) {
                int a = r * stride, b = a + stride, c = b + stride, d = c + stride, i = root, j = root, k = root, l = root;
                long p, q, s, u;
                do {
                    i += Step(p = node[i], x, a);
                    j += Step(q = node[j], x, b);
                    k += Step(s = node[k], x, c);
                    l += Step(u = node[l], x, d);
                } while ((uint) (p | q | s | u) >> bits != 0);
                trees.Add(output, first + r, t, (int) (p >> 32));
                trees.Add(output, first + r + 1, t, (int) (q >> 32));
                trees.Add(output, first + r + 2, t, (int) (s >> 32));
                trees.Add(output, first + r + 3, t, (int) (u >> 32));
            }
            for (; r < n; r++) {
                int i = root;
                while ((uint) node[i] >> bits != 0) {
                    i += Step(node[i], x, r * stride);
                }
                trees.Add(output, first + r, t, (int) (node[i] >> 32));
            }
        }

        /// <summary>To the left child, or one further to the right one; 0 at a leaf.</summary>
        private int Step(long p, int[] x, int at) {
            int low = (int) p;
            return (int) ((uint) low >> bits) + (int) ((ulong) ((p >> 32) - x[at + (low & ~(-1 << bits))]) >> 63);
        }
    }
}
}
