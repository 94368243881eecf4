// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Ops of the profiles kernel, text and solver (docs/format.md, section 6), and four of profile tabular (bucketize, poly, interp,
// gaussian_ll), for Modelport.java: paste it beside that file, with the same package line, and hand them to it.
//
//     Modelport.Model model = Modelport.load(bytes, ModelportMore.OPS);
//
// Sections: 1 Tabular, 2 Kernel, 3 Text, 4 Solver. As in Modelport.java, an op checks its attributes and the types of what it reads, and returns a step.

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/** Further ops: see {@link #OPS}. */
public final class ModelportMore {
    private ModelportMore() { }

    /** The table of ops of the profiles kernel, text and solver, and four of profile tabular, in the order of docs/format.md. */
    public static final Modelport.Ops OPS = new Modelport.Ops() {
        private final List<String> names = Arrays.asList("bucketize", "poly", "interp", "gaussian_ll", "pairwise", "smallest", "knn", "ovo_vote",
            "count_terms", "term_ids", "hash_terms", "nmf", "lda_topics", "sparse_code");

        @Override
        List<String> names() {
            return names;
        }

        @Override
        Modelport.Step step(Modelport.Args a) {
            switch (a.op) {
                case "bucketize": return bucketize(a);
                case "poly": return poly(a);
                case "interp": return interp(a.deep());
                case "gaussian_ll": return gaussianLl(a);
                case "pairwise": return pairwise(a);
                case "smallest": return smallest(a);
                case "knn": return knn(a);
                case "ovo_vote": return ovoVote(a);
                case "count_terms": return countTerms(a);
                case "term_ids": return termIds(a);
                case "hash_terms": return hashTerms(a);
                case "nmf": return nmf(a);
                case "lda_topics": return new LdaTopics(a, new Table(a, "components", false));
                case "sparse_code": return sparseCode(a);
                default: throw new IllegalStateException(a.op);
            }
        }
    };

    // ==== 1 Tabular ==================================================================================================

    /** bucketize: the number of edges e of the column with not (x <= e) (left) or not (x < e) (right); NaN counts all. */
    private static Modelport.Step bucketize(Modelport.Args a) {
        Modelport.Type x = a.one(Modelport.FLOATS);
        final double[] edges = a.floats("edges", x.dtype, -1);
        final int[] sizes = a.ints("sizes", x.width, 0, edges.length), start = new int[x.width + 1];
        final boolean left = a.choice("side", false, "left", "right").equals("left");
        for (int j = 0; j < x.width; j++) {
            start[j + 1] = Math.min(start[j] + sizes[j], edges.length + 1);
            for (int k = start[j]; k < Math.min(start[j + 1], edges.length); k++)
                if (!(edges[k] >= edges[Math.max(k - 1, start[j])])) throw a.refuse("has edges of column " + j + " that do not ascend.");
        }
        a.expect("edges", edges.length, start[x.width]);
        a.cost = (long) Modelport.COSTLY * x.width;
        return new Modelport.Step(a, x.with(Modelport.DType.I64)) {
            @Override Object run(Modelport.Frame f) {
                double[] x = (double[]) f.values[in[0]];
                long[] out = new long[f.rows * type.width];
                for (int k = 0; k < out.length; k++) {
                    int j = k % type.width;
                    out[k] = Modelport.count(edges, start[j], start[j + 1], x[k], !left) - start[j];
                }
                return out;
            }
        };
    }

    /** poly: products of powers of columns, multiplied from the last factor to the first. */
    private static Modelport.Step poly(Modelport.Args a) {
        Modelport.Type x = a.rounded();
        Modelport.Tensor matrix = a.intMatrix("powers", x);
        final int[] powers = a.narrow("powers", matrix, 0, 255), start = new int[matrix.shape[0] + 1];
        int count = 0;
        for (int p : powers) {
            count += p > 0 ? 1 : 0;
            a.cost += p;
        }
        a.guard.take(4L * count);
        final int[] factor = new int[count]; // term k multiplies column[c] power[c] times for c in factor[start[k]..start[k + 1]), packed
        for (int k = 0, c = 0; k < powers.length; k++) {
            if (powers[k] > 0) factor[c++] = k % x.width << 8 | powers[k];
            start[k / x.width + 1] = c;
        }
        return new Modelport.Rows(a, Modelport.Type.row(a.dtype, matrix.shape[0])) {
            @Override void row(double[] x, int i, double[] y, int o) {
                for (int k = 0; k < type.width; k++) {
                    double product = 1.0;
                    for (int c = start[k + 1] - 1; c >= start[k]; c--)
                        for (int times = factor[c] & 255; times > 0; times--) product = round(product * x[i + (factor[c] >>> 8)]);
                    y[o + k] = product;
                }
            }
        };
    }

    /** interp: piecewise linear through the knots (x, y). */
    private static Modelport.Step interp(Modelport.Args a) {
        Modelport.Type type = a.rounded();
        final double[] x = a.floats("x", -1), y = a.floats("y", x.length);
        final String outside = a.choice("outside", false, "clip", "nan", "extend");
        final int last = x.length - 1;
        if (last < (outside.equals("extend") ? 1 : 0)) throw a.refuse("has too few knots in \"x\"; one is needed, two to extend a line.");
        for (int k = 0; k <= last; k++)
            if (!(Math.abs(x[k]) <= Double.MAX_VALUE && Math.abs(y[k]) <= Double.MAX_VALUE) || k > 0 && !(x[k] > x[k - 1]))
                throw a.refuse("has a knot at position " + k + " that is not finite, or not above the one before it.");
        a.cost = (long) Modelport.COSTLY * type.width;
        return new Modelport.Rows(a, type) {
            @Override void row(double[] v, int i, double[] out, int o) {
                for (int j = 0; j < type.last; j++) out[o + j] = at(v[i + j]);
            }
            private double at(double v) {
                if (v != v || v == x[last]) return v != v ? v : y[last];
                if ((v < x[0] || v > x[last]) && !outside.equals("extend")) return outside.equals("nan") ? Double.NaN : v < x[0] ? y[0] : y[last];
                int k = Math.min(Math.max(Modelport.count(x, 0, last + 1, v, true) - 1, 0), last - 1);
                double slope = round(round(y[k + 1] - y[k]) / round(x[k + 1] - x[k]));
                return round(slope * round(v - x[k])) + y[k];
            }
        };
    }

    /** gaussian_ll: log_prior - sum(log(2 pi var)) / 2 - sum((x - mean)^2 / var) / 2. */
    private static Modelport.Step gaussianLl(Modelport.Args a) {
        final Modelport.Type t = a.rounded();
        Modelport.Tensor means = a.matrix("mean", t), variances = a.matrix("var", t);
        final int classes = means.shape[0];
        a.expect("var", variances.shape[0], classes);
        a.cost = classes * ((long) t.width + Modelport.COSTLY);
        final double[] mean = means.doubles(), var = variances.doubles(), prior = a.optional("log_prior", a.dtype, classes), base = new double[classes];
        for (int k = 0; k < classes; k++) {
            double sum = 0.0;
            for (int j = 0; j < t.width; j++) sum += Math.log(2.0 * Math.PI * var[k * t.width + j]);
            base[k] = (prior == null ? 0.0 : prior[k]) - 0.5 * sum;
        }
        return new Modelport.Rows(a, Modelport.Type.row(a.dtype, classes)) {
            @Override void row(double[] x, int i, double[] y, int o) {
                for (int k = 0, c = 0; k < classes; k++) {
                    double sum = 0.0;
                    for (int j = 0; j < t.width; j++, c++) sum += (x[i + j] - mean[c]) * (x[i + j] - mean[c]) / var[c];
                    y[o + k] = base[k] - 0.5 * sum;
                }
            }
        };
    }

    // ==== 2 Kernel ===================================================================================================

    /** What is summed over the columns of a row x and a point p. */
    private enum Sum { products, squares, absolutes, largest, powers, ratios, sums, different, knownSquares, known, chi2 }

    /** The metrics of pairwise, spelled as in the format, and the one or two sums that each needs. */
    private enum Metric {
        dot(Sum.products), sqeuclidean(Sum.squares), euclidean(Sum.squares), manhattan(Sum.absolutes), chebyshev(Sum.largest),
        minkowski(Sum.powers), cosine(Sum.products), canberra(Sum.ratios), braycurtis(Sum.absolutes, Sum.sums), hamming(Sum.different),
        nan_euclidean(Sum.knownSquares, Sum.known), chi2(Sum.chi2), additive_chi2(Sum.chi2), rbf(Sum.squares), laplacian(Sum.absolutes),
        poly(Sum.products), sigmoid(Sum.products);

        final Sum sum;
        final Sum other; // or null

        Metric(Sum sum) {
            this(sum, null);
        }

        Metric(Sum sum, Sum other) {
            this.sum = sum;
            this.other = other;
        }
    }

    /** pairwise: a distance or kernel between the row and each stored point; f32 is computed in f64 and rounded. */
    private static Modelport.Step pairwise(Modelport.Args a) {
        return new Pairwise(a, a.rounded());
    }

    private static final class Pairwise extends Modelport.Step {
        private final int panel; // points
        private final Metric metric;
        private final double gamma, coef0, degree, p;
        private final double[] norms;
        private final double[] panels; // column j of point k is at [k / panel][j][k % panel]: sums of a panel run side by side

        Pairwise(Modelport.Args a, Modelport.Type x) {
            this(a, x, a.matrix("points", x));
        }

        private Pairwise(Modelport.Args a, Modelport.Type x, Modelport.Tensor points) {
            super(a, Modelport.Type.row(a.dtype, points.shape[0]));
            metric = a.choice("metric", Metric.values());
            gamma = a.number("gamma", 1.0);
            coef0 = a.number("coef0", 0.0);
            degree = a.number("degree", 3.0);
            p = a.number("p", 2.0);
            if (!(p > 0)) {
                throw a.refuse("has \"p\" " + p + "; it is positive.");
            }
            double[] all = points.doubles();
            for (int k = 0; metric != Metric.nan_euclidean && k < all.length; k++) {
                if (all[k] != all[k]) {
                    throw a.refuse("has NaN in \"points\"; only the metric nan_euclidean takes it.");
                }
            }
            int n = points.shape[0];
            a.cost = n * ((metric == Metric.minkowski ? (long) Modelport.COSTLY : 1) * x.width + Modelport.COSTLY);
            panel = n >= 256 ? 256 : 64;
            long room = (n + panel - 1L) / panel * panel * x.width;
            a.guard.take(8 * room + 8L * n);
            if (room > Integer.MAX_VALUE - 16) {
                throw a.refuse("has \"points\" that do not fit an array.");
            }
            norms = new double[n];
            panels = new double[(int) room];
            for (int k = 0; k < n; k++) {
                norms[k] = Math.sqrt(Modelport.dot(all, k * x.width, all, k * x.width, x.width));
                for (int j = 0; j < x.width; j++) {
                    panels[(k / panel * x.width + j) * panel + k % panel] = all[k * x.width + j];
                }
            }
        }

        @Override
        Object run(Modelport.Frame f) {
            int w = from[0].width, n = norms.length;
            double[] x = floats(f, 0), y = new double[f.rows * n], sums = new double[panel], others = new double[panel];
            double[] rowNorms = new double[metric == Metric.cosine ? f.rows : 0];
            for (int r = 0; r < rowNorms.length; r++) {
                rowNorms[r] = Math.sqrt(Modelport.dot(x, r * w, x, r * w, w));
            }
            for (int first = 0; first < n; first += panel) { // a panel stays in the cache
                for (int r = 0; r < f.rows; r++) {
                    sum(metric.sum, x, r * w, w, first * w, sums);
                    if (metric.other != null) {
                        sum(metric.other, x, r * w, w, first * w, others);
                    }
                    int count = Math.min(panel, n - first);
                    if (metric == Metric.euclidean) { // as finish does, several at once
                        for (int k = 0; k < panel; k++) sums[k] = Math.sqrt(sums[k]);
                    }
                    if (metric.sum == Sum.squares && metric != Metric.rbf) {
                        System.arraycopy(sums, 0, y, r * n + first, count);
                        continue;
                    }
                    for (int k = first; k < first + count; k++) {
                        double other = metric == Metric.cosine ? rowNorms[r] * norms[k] : others[k - first];
                        y[r * n + k] = finish(sums[k - first], other, w);
                    }
                }
            }
            return rounded(y, dtype);
        }

        /** The sum over the columns of the row x[i..], for each point of the panel at `at`. */
        private void sum(Sum kind, double[] x, int i, int w, int at, double[] sums) {
            Arrays.fill(sums, 0.0);
            int j = 0;
            for (; kind == Sum.squares && j + 4 <= w; j += 4) {
                addSquares(x[i + j], x[i + j + 1], x[i + j + 2], x[i + j + 3], panels, at + j * panel, sums);
            }
            for (; kind == Sum.products && j + 4 <= w; j += 4) {
                addProducts(x[i + j], x[i + j + 1], x[i + j + 2], x[i + j + 3], panels, at + j * panel, sums);
            }
            for (; j < w; j++) {
                add(kind, x[i + j], at + j * panel, sums);
            }
        }

        /** Four columns at once, each after the one before it. */
        private void addSquares(double a, double b, double c, double d, double[] q, int at, double[] sums) {
            for (int k = 0; k < panel; k++) {
                double u = a - q[at + k], v = b - q[at + panel + k], w = c - q[at + 2 * panel + k], z = d - q[at + 3 * panel + k];
                sums[k] = sums[k] + u * u + v * v + w * w + z * z;
            }
        }

        private void addProducts(double a, double b, double c, double d, double[] q, int at, double[] sums) {
            for (int k = 0; k < panel; k++) {
                sums[k] = sums[k] + a * q[at + k] + b * q[at + panel + k] + c * q[at + 2 * panel + k] + d * q[at + 3 * panel + k];
            }
        }

        /** Adds what one column makes: v in the row, panels[at..] in the points. */
        private void add(Sum kind, double v, int at, double[] sums) {
            double[] q = panels;
            switch (kind) {
                case products:
                    for (int k = 0; k < panel; k++) sums[k] += v * q[at + k];
                    break;
                case squares:
                    for (int k = 0; k < panel; k++) sums[k] += (v - q[at + k]) * (v - q[at + k]);
                    break;
                case absolutes:
                    for (int k = 0; k < panel; k++) sums[k] += Math.abs(v - q[at + k]);
                    break;
                case largest:
                    for (int k = 0; k < panel; k++) sums[k] = Math.max(sums[k], Math.abs(v - q[at + k]));
                    break;
                case powers:
                    for (int k = 0; k < panel; k++) sums[k] += Modelport.Special.pow(Math.abs(v - q[at + k]), p);
                    break;
                case ratios:
                    for (int k = 0; k < panel; k++) {
                        if (v != 0 || q[at + k] != 0) sums[k] += Math.abs(v - q[at + k]) / (Math.abs(v) + Math.abs(q[at + k]));
                    }
                    break;
                case sums:
                    for (int k = 0; k < panel; k++) sums[k] += Math.abs(v + q[at + k]);
                    break;
                case different:
                    for (int k = 0; k < panel; k++) sums[k] += v != q[at + k] ? 1.0 : 0.0;
                    break;
                case knownSquares:
                    for (int k = 0; k < panel; k++) {
                        if (v == v && q[at + k] == q[at + k]) sums[k] += (v - q[at + k]) * (v - q[at + k]);
                    }
                    break;
                case known:
                    for (int k = 0; k < panel; k++) sums[k] += v == v && q[at + k] == q[at + k] ? 1.0 : 0.0;
                    break;
                default: // chi2
                    for (int k = 0; k < panel; k++) {
                        if (v + q[at + k] != 0) sums[k] += (v - q[at + k]) * (v - q[at + k]) / (v + q[at + k]);
                    }
            }
        }

        /** The distance or kernel that a sum over w columns stands for; `other` is the second sum, or the product of the norms. */
        private double finish(double sum, double other, int w) {
            switch (metric) {
                case euclidean: return Math.sqrt(sum);
                case minkowski: return Modelport.Special.pow(sum, 1.0 / p);
                case cosine: return other == 0 ? 1.0 : 1.0 - sum / other;
                case braycurtis: return sum / other;
                case hamming: return sum / w;
                case nan_euclidean: return other == 0 ? Double.NaN : Math.sqrt(w / other * sum);
                case additive_chi2: return -sum;
                case chi2: case rbf: case laplacian: return Math.exp(-gamma * sum);
                case poly: return Modelport.Special.pow(gamma * sum + coef0, degree);
                case sigmoid: return Math.tanh(gamma * sum + coef0);
                default: return sum;
            }
        }
    }

    /** The positions of the k smallest of the row x[i..i + m), ties to the lowest; NaN is larger than any number. */
    private static final class Smallest {
        private final double[] x;
        private final int i;
        private final int[] heap; // the largest on top

        Smallest(double[] x, int i, int m, int k) {
            this.x = x;
            this.i = i;
            heap = new int[k];
            for (int j = 0; j < k; j++) {
                heap[j] = j;
            }
            for (int j = k / 2 - 1; j >= 0; j--) {
                sink(k, j);
            }
            double last = x[i + heap[0]];
            for (int j = k; j < m; j++) {
                if (!(x[i + j] >= last) && behind(heap[0], j)) { // all positions in the heap are lower
                    heap[0] = j;
                    sink(k, 0);
                    last = x[i + heap[0]];
                }
            }
        }

        /** In any order. */
        int[] any() {
            return heap;
        }

        /** The smallest first. */
        int[] ascending() {
            for (int end = heap.length - 1; end > 0; end--) {
                int largest = heap[0];
                heap[0] = heap[end];
                heap[end] = largest;
                sink(end, 0);
            }
            return heap;
        }

        /** Whether element a comes behind b: it is larger, or as large and has the higher position. */
        private boolean behind(int a, int b) {
            double v = x[i + a], w = x[i + b];
            return v > w || v != v && w == w || a > b && (v == w || v != v && w != w);
        }

        /** Restores a heap of n below position j. */
        private void sink(int n, int j) {
            for (int child; (child = 2 * j + 1) < n; j = child) {
                child += child + 1 < n && behind(heap[child + 1], heap[child]) ? 1 : 0;
                if (!behind(heap[child], heap[j])) {
                    return;
                }
                int lower = heap[child];
                heap[child] = heap[j];
                heap[j] = lower;
            }
        }
    }

    /** smallest: 1.0 at the k smallest elements, else 0.0. */
    private static Modelport.Step smallest(Modelport.Args a) {
        final int m = a.one(Modelport.FLOATS).width, k = a.integer("k", 1, m);
        a.cost = 4L * Modelport.COSTLY * m;
        return new Modelport.Rows(a, Modelport.Type.row(Modelport.DType.F64, m)) {
            @Override
            void row(double[] x, int i, double[] y, int o) {
                for (int j : new Smallest(x, i, m, k).any()) {
                    y[o + j] = 1.0;
                }
            }
        };
    }

    /** knn: the weighted mean of the targets of the k smallest distances, or their class weights. */
    private static Modelport.Step knn(Modelport.Args a) {
        final Modelport.Type t = a.one(Modelport.DType.F64);
        final int m = t.width, k = a.integer("k", 1, m);
        a.cost = m * ((long) k + Modelport.COSTLY);
        final int classes = a.has("classes") ? a.integer("classes", 1, a.guard.limits.rowElements) : 0;
        final boolean byDistance = a.choice("weights", false, "uniform", "distance").equals("distance");
        final int[] classOf = classes > 0 ? a.ints("targets", m, 0, classes - 1) : null;
        final Modelport.Tensor targets = classes > 0 ? null : a.tensor("targets", Modelport.DType.F64, 2, 2);
        if (targets != null) {
            a.expect("targets", targets.shape[0], m);
        }
        return new Modelport.Rows(a, Modelport.Type.row(Modelport.DType.F64, classes > 0 ? classes : targets.width())) {
            @Override
            void row(double[] d, int i, double[] y, int o) {
                int[] nearest = new Smallest(d, i, m, k).ascending();
                double sum = 0.0;
                boolean zero = false;
                for (int j : nearest) {
                    zero |= d[i + j] == 0;
                }
                for (int j : nearest) {
                    double weight = !byDistance ? 1.0 : zero ? (d[i + j] == 0 ? 1.0 : 0.0) : 1.0 / d[i + j];
                    sum += weight;
                    if (classOf != null) {
                        y[o + classOf[j]] += weight;
                    } else {
                        for (int q = 0; q < type.width; q++) {
                            y[o + q] += weight * targets.doubles()[j * type.width + q];
                        }
                    }
                }
                for (int q = o; q < o + type.width; q++) {
                    y[q] /= sum;
                }
            }
        };
    }

    /** ovo_vote: votes, their one-vs-rest shape, or coupled probabilities, from one decision per pair of classes (i, j), i < j. */
    private static Modelport.Step ovoVote(Modelport.Args a) {
        Modelport.Type x = a.rounded();
        final int c = a.integer("classes", 2, a.guard.limits.tensorElements);
        final String mode = a.choice("mode", false, "votes", "ovr", "coupling");
        if (c * (c - 1L) / 2 != x.width) {
            throw a.refuse("reads " + x + "; " + c + " classes have " + c * (c - 1L) / 2 + " pairs.");
        }
        final boolean coupling = mode.equals("coupling");
        a.guard.take(coupling ? 8L * c * c : 0);
        a.cost = coupling ? (long) c * c * Math.max(100, c) : 0;
        final double[] probA = coupling ? a.floats("prob_a", x.width) : null, probB = coupling ? a.floats("prob_b", x.width) : null;
        return new Modelport.Rows(a, Modelport.Type.row(a.dtype, c)) {
            @Override
            void row(double[] d, int at, double[] y, int o) {
                if (coupling) {
                    System.arraycopy(coupled(probabilities(d, at)), 0, y, o, c);
                } else {
                    vote(d, at, y, o);
                }
            }

            private void vote(double[] d, int at, double[] y, int o) {
                boolean votes = mode.equals("votes");
                double[] sums = new double[c];
                for (int i = 0, pair = at; i < c; i++) {
                    for (int j = i + 1; j < c; j++, pair++) {
                        y[o + ((votes ? d[pair] > 0 : !(d[pair] < 0)) ? i : j)] += 1.0;
                        sums[i] += d[pair];
                        sums[j] -= d[pair];
                    }
                }
                for (int i = 0; !votes && i < c; i++) {
                    y[o + i] += sums[i] / (3.0 * (Math.abs(sums[i]) + 1.0));
                }
            }

            /** r[i][j]: how probable i is among i and j. */
            private double[][] probabilities(double[] d, int at) {
                double[][] r = new double[c][c];
                for (int i = 0, pair = 0; i < c; i++) {
                    for (int j = i + 1; j < c; j++, pair++) {
                        double v = Modelport.Special.sigmoid(-(probA[pair] * d[at + pair] + probB[pair]));
                        r[i][j] = Math.min(Math.max(v, 1e-7), 1 - 1e-7);
                        r[j][i] = 1 - r[i][j];
                    }
                }
                return r;
            }
        };
    }

    /** Pairwise coupling of Wu, Lin and Weng (2004) as libsvm iterates it; r becomes their Q. */
    private static double[] coupled(double[][] r) {
        int c = r.length;
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
        Arrays.fill(p, 1.0 / c);
        for (int round = 0; round < Math.max(100, c); round++) {
            for (int t = 0; t < c; t++) {
                qp[t] = Modelport.dot(r[t], 0, p, 0, c);
            }
            double pqp = Modelport.dot(p, 0, qp, 0, c), error = 0.0;
            for (int t = 0; t < c; t++) {
                error = Math.max(error, Math.abs(qp[t] - pqp));
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

    // ==== 3 Text =====================================================================================================

    private static final int LAST_POINT = 0x10ffff, ASCII = 128, SPACE = 0x20, SIGMA = 0x3a3, SMALL_SIGMA = 0x3c3, FINAL_SIGMA = 0x3c2;
    private static final int HANGUL = 0xac00, LAST_HANGUL = 0xd7a3, LEADS = 0x1100, VOWELS = 0x1161, TRAILS = 0x11a7;
    private static final int VOWEL_COUNT = 21, TRAIL_COUNT = 28, MOST_UNITS = 64, NOT_FOUND = -1;

    /** UTF-8 and code points. */
    private static final class Unicode {
        private Unicode() { }

        /** The code points of a string; null if it holds half of a surrogate pair. */
        static int[] points(String s) {
            int[] points = new int[s.length()];
            int n = 0;
            for (int i = 0; i < s.length(); i += Character.charCount(points[n++])) {
                points[n] = s.codePointAt(i);
                if (points[n] >= 0xd800 && points[n] <= 0xdfff) {
                    return null;
                }
            }
            return n == points.length ? points : Arrays.copyOf(points, n);
        }

        /** The UTF-8 of a string; null if it holds half of a surrogate pair. */
        static byte[] bytes(String s) {
            for (int i = 0; i < s.length(); i++) {
                if (Character.isSurrogate(s.charAt(i))) {
                    return points(s) == null ? null : s.getBytes(StandardCharsets.UTF_8);
                }
            }
            return s.getBytes(StandardCharsets.UTF_8);
        }

        /** Writes a code point at `at` as UTF-8; returns what follows it. */
        static int write(int point, byte[] to, int at) {
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

    /** MurmurHash3 x86 32-bit, seed 0 (Austin Appleby), and the columns of hashed terms. */
    private static final class Hash {
        private Hash() { }

        static int of(byte[] b, int from, int to) {
            int h = 0, k = 0, whole = from + ((to - from) & ~3);
            for (int i = from; i < whole; i += 4) {
                int word = b[i] & 255 | (b[i + 1] & 255) << 8 | (b[i + 2] & 255) << 16 | b[i + 3] << 24;
                h = Integer.rotateLeft(h ^ scramble(word), 13) * 5 + 0xe6546b64;
            }
            for (int i = to - 1; i >= whole; i--) {
                k = k << 8 | b[i] & 255;
            }
            h ^= scramble(k) ^ (to - from);
            h = (h ^ h >>> 16) * 0x85ebca6b;
            h = (h ^ h >>> 13) * 0xc2b2ae35;
            return h ^ h >>> 16;
        }

        private static int scramble(int k) {
            return Integer.rotateLeft(k * 0xcc9e2d51, 15) * 0x1b873593;
        }

        /** By the absolute value, of which -2^31 has none. */
        static int column(int h, int size) {
            return h == Integer.MIN_VALUE ? (Integer.MAX_VALUE - (size - 1)) % size : Math.abs(h) % size;
        }
    }

    /** Strings in buckets by hash, sorted within each: found at once as a rule, and by halving whatever a document holds. */
    private static final class Dictionary {
        private final byte[][] strings;
        private final int[] place; // in the original order
        private final int[] start;
        private final int shift;

        Dictionary(Modelport.Args a, String key, boolean different) {
            String[] given = a.tensor(key, Modelport.DType.STR, 1, 1).strings();
            a.guard.take(120L * given.length);
            final byte[][] all = new byte[given.length][];
            Integer[] order = new Integer[given.length];
            for (int k = 0; k < given.length; k++) {
                all[k] = notNull(a, key, given[k]).getBytes(StandardCharsets.UTF_8);
                a.guard.take(all[k].length);
                order[k] = k;
            }
            Arrays.sort(order, (Integer i, Integer j) -> compare(all[i], all[j], 0, all[j].length));
            int bits = 1;
            while (bits < 30 && 1 << bits < all.length) {
                bits++;
            }
            shift = 32 - bits;
            strings = new byte[all.length][];
            place = new int[all.length];
            start = new int[(1 << bits) + 1];
            for (int k = 0; k < all.length; k++) {
                if (different && k > 0 && Arrays.equals(all[order[k - 1]], all[order[k]])) {
                    throw a.refuse("has the same string twice in " + Modelport.quote(key) + "; they are all different.");
                }
                start[bucket(all[k], 0, all[k].length) + 1]++;
            }
            for (int b = 1; b < start.length; b++) {
                start[b] += start[b - 1];
            }
            int[] next = start.clone();
            for (int k : order) {
                int to = next[bucket(all[k], 0, all[k].length)]++;
                strings[to] = all[k];
                place[to] = k;
            }
        }

        private int bucket(byte[] b, int from, int to) {
            return Hash.of(b, from, to) >>> shift;
        }

        /** The order of a and b[from..to), by bytes. */
        private static int compare(byte[] a, byte[] b, int from, int to) {
            int shorter = Math.min(a.length, to - from);
            for (int k = 0; k < shorter; k++) {
                if (a[k] != b[from + k]) {
                    return (a[k] & 255) - (b[from + k] & 255);
                }
            }
            return a.length - (to - from);
        }

        /** Where b[from..to) stands, or NOT_FOUND. */
        int find(byte[] b, int from, int to) {
            int bucket = bucket(b, from, to), low = start[bucket], high = start[bucket + 1];
            while (low < high) {
                int middle = (low + high) >>> 1, order = compare(strings[middle], b, from, to);
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

    private static String notNull(Modelport.Args a, String key, String s) {
        if (s == null) {
            throw a.refuse("has null in " + Modelport.quote(key) + "; a string is needed.");
        }
        return s;
    }

    /** A set of code points: ranges lo, hi, lo, hi ... */
    private static final class Ranges {
        private final int[] pairs;
        private final boolean[] ascii = new boolean[ASCII];

        Ranges(Modelport.Args a, String key) {
            pairs = a.ints(key, -1, 0, LAST_POINT);
            boolean good = pairs.length % 2 == 0;
            for (int k = 1; good && k < pairs.length; k++) {
                good = k % 2 == 1 ? pairs[k - 1] <= pairs[k] : pairs[k - 1] < pairs[k];
            }
            if (!good) {
                throw a.refuse("has " + Modelport.quote(key) + " that is not made of ascending ranges lo, hi.");
            }
            for (int k = 0; k < pairs.length; k += 2) {
                for (int point = pairs[k]; point < ASCII && point <= pairs[k + 1]; point++) {
                    ascii[point] = true;
                }
            }
        }

        boolean has(int point) {
            if (point < ASCII) {
                return ascii[point];
            }
            int low = 0, high = pairs.length / 2; // the number of pairs whose lo is not above the point
            while (low < high) {
                int middle = (low + high) >>> 1;
                if (pairs[2 * middle] <= point) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            return low > 0 && point <= pairs[2 * low - 1];
        }
    }

    /** What becomes of the code points of a text before terms are found. */
    private static final class Folding {
        private final int[] from; // ascending; or null
        private final int[][] to;
        private final int[] found = new int[ASCII]; // position in from, or NOT_FOUND
        private final boolean hangul, ascii;
        private final Ranges cased, ignorable; // both or neither
        private final long limit;

        Folding(Modelport.Args a) {
            boolean table = both(a, "fold_from", "fold_to"), sigma = both(a, "cased", "case_ignorable");
            from = table ? a.ints("fold_from", -1, 0, LAST_POINT) : new int[0];
            to = new int[from.length][];
            if (table) {
                readTable(a, a.tensor("fold_to", Modelport.DType.STR, 1, 1).strings());
            }
            Arrays.fill(found, NOT_FOUND);
            for (int k = 0; k < from.length && from[k] < ASCII; k++) {
                found[from[k]] = k;
            }
            hangul = a.flag("hangul", false);
            ascii = a.flag("ascii", false);
            cased = sigma ? new Ranges(a, "cased") : null;
            ignorable = sigma ? new Ranges(a, "case_ignorable") : null;
            limit = a.guard.limits.tensorElements;
            if (ascii && (hangul || sigma)) {
                throw a.refuse("has \"ascii\" beside \"hangul\" or \"cased\"; they do not go together.");
            }
        }

        /** How many code points may become of one. */
        long longest() {
            long longest = hangul ? 3 : 1;
            for (int[] points : to) {
                longest = Math.max(longest, points.length);
            }
            return longest;
        }

        /** Whether two attributes are there; refuses one without the other. */
        private static boolean both(Modelport.Args a, String one, String other) {
            if (a.has(one) != a.has(other)) {
                throw a.refuse("has only one of \"" + one + "\" and \"" + other + "\".");
            }
            return a.has(one);
        }

        private void readTable(Modelport.Args a, String[] strings) {
            a.expect("fold_to", strings.length, from.length);
            for (int k = 0; k < from.length; k++) {
                if (k > 0 && from[k] <= from[k - 1]) {
                    throw a.refuse("has \"fold_from\" that does not ascend at position " + k + ".");
                }
                a.guard.take(24 + 4L * notNull(a, "fold_to", strings[k]).length());
                to[k] = Unicode.points(strings[k]);
            }
        }

        /** The folded text; null if it grows beyond the limit of a tensor. */
        int[] fold(int[] text) {
            if (from.length == 0 && !hangul && !ascii && cased == null) {
                return text;
            }
            boolean[] last = cased == null ? null : finals(text);
            int[] own = new int[3];
            long total = 0;
            for (int i = 0; i < text.length; i++) {
                total += fold(text[i], last != null && last[i], own, null, 0);
                if (total > limit) {
                    return null;
                }
            }
            int[] folded = new int[(int) total];
            int n = 0;
            for (int i = 0; i < text.length; i++) {
                n += fold(text[i], last != null && last[i], own, folded, n);
            }
            return folded;
        }

        /** Writes what a code point becomes to out[at..] (null: nowhere); returns how many code points that are. */
        private int fold(int point, boolean last, int[] own, int[] out, int at) {
            boolean sigma = cased != null && point == SIGMA;
            int k = sigma ? NOT_FOUND : point < ASCII ? found[point] : Arrays.binarySearch(from, point);
            int[] source = k >= 0 ? to[k] : own;
            int n = k >= 0 ? to[k].length : decompose(sigma ? last ? FINAL_SIGMA : SMALL_SIGMA : point, own);
            if (out != null) {
                System.arraycopy(source, 0, out, at, n);
            }
            return n;
        }

        /** What becomes of a code point that is not in the table. */
        private int decompose(int point, int[] own) {
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

        /** For every code point whether a sigma there ends a word. */
        private boolean[] finals(int[] text) {
            boolean[] finals = cased(text, 0, 1), behind = cased(text, text.length - 1, -1);
            for (int i = 0; i < text.length; i++) {
                finals[i] &= !behind[i];
            }
            return finals;
        }

        /** For every code point whether what stands before it, when walked in steps of `step`, beyond case-ignorable ones is cased. */
        private boolean[] cased(int[] text, int first, int step) {
            boolean[] marks = new boolean[text.length];
            boolean last = false;
            for (int i = first; i >= 0 && i < text.length; i += step) {
                marks[i] = last;
                if (!ignorable.has(text[i])) {
                    last = cased.has(text[i]);
                }
            }
            return marks;
        }
    }

    /** The columns in which terms are counted: those of a vocabulary, or of their hashes. */
    private static final class Counting {
        final int size;
        private final Dictionary vocabulary; // or null
        private final boolean alternate;

        Counting(Modelport.Args a, boolean byHash) {
            vocabulary = byHash ? null : new Dictionary(a, "vocabulary", true);
            size = byHash ? a.integer("size", 1, a.guard.limits.tensorElements) : vocabulary.strings.length;
            alternate = byHash && a.flag("alternate", true);
        }

        /** Adds `value`, or sets 1.0 (binary), in the column of the term b[from..to) of the row y[o..]. */
        void add(byte[] b, int from, int to, double value, boolean binary, double[] y, int o) {
            int h = vocabulary == null ? Hash.of(b, from, to) : 0;
            int column = vocabulary == null ? Hash.column(h, size) : vocabulary.find(b, from, to);
            if (column != NOT_FOUND) {
                y[o + column] = binary ? 1.0 : y[o + column] + (alternate && h < 0 ? -value : value);
            }
        }
    }

    /** A text in units, words or code points: unit i is bytes[begin[i]..end[i]), so that a term is a stretch of bytes. */
    private static final class Units {
        final byte[] bytes;
        final int[] begin, end;
        int n, at;

        Units(int most) {
            bytes = new byte[4 * most];
            begin = new int[most];
            end = new int[most];
        }

        void add(int point) {
            begin[n] = at;
            end[n++] = at = Unicode.write(point, bytes, at);
        }

        /** Adds points[from..to) behind a space, but not a stop word. */
        void addWord(int[] points, int from, int to, Dictionary stop) {
            int before = at;
            begin[n] = at = Unicode.write(SPACE, bytes, at);
            for (int k = from; k < to; k++) {
                at = Unicode.write(points[k], bytes, at);
            }
            end[n] = at;
            if (stop != null && stop.find(bytes, begin[n], at) != NOT_FOUND) {
                at = before;
            } else {
                n++;
            }
        }
    }

    /** count_terms: how often the terms of a text occur. */
    private static Modelport.Step countTerms(Modelport.Args a) {
        oneText(a);
        final Counting counting = new Counting(a, !a.has("vocabulary"));
        final boolean binary = a.flag("binary", false);
        final Analyzer analyzer = new Analyzer(a);
        return new Modelport.Step(a, Modelport.Type.row(Modelport.DType.F64, counting.size)) {
            @Override
            Object run(Modelport.Frame f) {
                final double[] y = new double[f.rows * type.width];
                for (int r = 0; r < f.rows; r++) {
                    final int o = r * type.width;
                    Terms terms = (b, from, to) -> {
                        counting.add(b, from, to, 1.0, binary, y, o);
                        return true;
                    };
                    analyzer.analyze(this, f, r, terms);
                }
                return y;
            }
        };
    }

    /** term_ids: the terms of a text in order, as numbers. */
    private static Modelport.Step termIds(Modelport.Args a) {
        oneText(a);
        final Dictionary vocabulary = new Dictionary(a, "vocabulary", true);
        final int length = a.integer("length", 1, a.guard.limits.rowElements);
        final long first = a.integer("first", 0, 1 << 28), unknown = a.integer("unknown", 0, 1 << 28);
        final long fill = a.integer("fill", 0, 1 << 28);
        final Analyzer analyzer = new Analyzer(a);
        return new Modelport.Step(a, Modelport.Type.row(Modelport.DType.I64, length)) {
            @Override
            Object run(Modelport.Frame f) {
                final long[] y = new long[f.rows * length];
                Arrays.fill(y, fill);
                for (int r = 0; r < f.rows; r++) {
                    final int[] at = {r * length, (r + 1) * length};
                    Terms terms = (b, from, to) -> {
                        int place = vocabulary.find(b, from, to);
                        y[at[0]++] = place == NOT_FOUND ? unknown : first + place;
                        return at[0] < at[1];
                    };
                    analyzer.analyze(this, f, r, terms);
                }
                return y;
            }
        };
    }

    private static void oneText(Modelport.Args a) {
        Modelport.Type x = a.one(Modelport.DType.STR);
        if (x.width != 1) {
            throw a.refuse("reads " + x + "; one text per row is needed.");
        }
    }

    /** Takes the terms of a text, one after the other: b[from..to); false when no more are wanted. */
    private interface Terms {
        boolean add(byte[] b, int from, int to);
    }

    /** Finds the terms of a text. */
    private static final class Analyzer {
        private final String analyzer;
        private final int least, most, leastWord;
        private final Folding folding;
        private final Ranges word, space;
        private final Dictionary stop;

        Analyzer(Modelport.Args a) {
            analyzer = a.choice("analyzer", false, "word", "char", "char_wb");
            least = a.integer("min_n", 1, MOST_UNITS);
            most = a.integer("max_n", least, MOST_UNITS);
            folding = new Folding(a);
            a.strings = folding.longest() * (least + most) * (most - least + 1) / 2;
            boolean words = analyzer.equals("word");
            word = words ? new Ranges(a, "word") : null;
            space = words ? null : new Ranges(a, "space");
            leastWord = words && a.has("min_word") ? a.integer("min_word", 1, 1 << 28) : 2;
            stop = words && a.has("stop") ? new Dictionary(a, "stop", false) : null;
        }

        /** Hands over the terms of the text in row r. */
        void analyze(Modelport.Step step, Modelport.Frame f, int r, Terms terms) {
            String given = ((String[]) f.values[step.in[0]])[r];
            int[] text = given == null ? null : Unicode.points(given);
            if (text == null) {
                throw step.refuse(f, r, given == null ? "a text is missing." : "a text holds half of a surrogate pair.");
            }
            int[] points = folding.fold(text);
            if (points == null) {
                throw step.refuse(f, r, "a text has more code points than a tensor may have elements when it is folded.");
            }
            if (word != null) {
                addWords(points, terms);
            } else if (analyzer.equals("char")) {
                addCharacters(points, joinSpaces(points), terms);
            } else {
                addWithinWords(points, joinSpaces(points), terms);
            }
        }

        private void addWords(int[] points, Terms terms) {
            Units u = new Units(points.length + 1); // a space for every word: no more than code points, but for the first
            for (int i = 0, end; i < points.length; i = end + 1) {
                for (end = i; end < points.length && word.has(points[end]); ) {
                    end++;
                }
                if (end - i >= leastWord) {
                    u.addWord(points, i, end, stop);
                }
            }
            addRuns(u, terms);
        }

        private void addCharacters(int[] points, int n, Terms terms) {
            Units u = new Units(n);
            for (int i = 0; i < n; i++) {
                u.add(points[i]);
            }
            addRuns(u, terms);
        }

        private void addWithinWords(int[] points, int length, Terms terms) {
            Units u = new Units(length + 2);
            boolean more = true;
            for (int i = 0, end; more && i < length; i = end + 1) {
                for (end = i; end < length && !space.has(points[end]); ) {
                    end++;
                }
                u.n = u.at = 0;
                u.add(SPACE);
                for (int k = i; k < end; k++) {
                    u.add(points[k]);
                }
                u.add(SPACE);
                if (end > i) {
                    more = addPadded(u, terms);
                }
            }
        }

        /** Every run of two or more spaces becomes one U+0020, in place; returns the length of what is left. */
        private int joinSpaces(int[] points) {
            int n = 0;
            for (int i = 0, end; i < points.length; i = end) {
                for (end = i; end < points.length && space.has(points[end]); ) {
                    end++;
                }
                points[n++] = end > i + 1 ? SPACE : points[i];
                end = Math.max(end, i + 1);
            }
            return n;
        }

        /** All terms of the units. */
        private void addRuns(Units u, Terms terms) {
            boolean more = true;
            for (int n = least; n <= most && n <= u.n; n++) {
                for (int i = 0; more && i + n <= u.n; i++) {
                    more = terms.add(u.bytes, u.begin[i], u.end[i + n - 1]);
                }
            }
        }

        /** The terms of a word between spaces; if it is shorter than n, it is a term itself, once. False when no more are wanted. */
        private boolean addPadded(Units u, Terms terms) {
            boolean more = true;
            for (int n = least; more && n <= most; n++) {
                for (int i = 0; more && i + n <= u.n; i++) {
                    more = terms.add(u.bytes, u.begin[i], u.end[i + n - 1]);
                }
                if (more && n > u.n) {
                    more = terms.add(u.bytes, 0, u.at);
                }
                if (n >= u.n) {
                    return more;
                }
            }
            return more;
        }
    }

    /** hash_terms: values at the places of the hashes of prefix + cell. */
    private static Modelport.Step hashTerms(Modelport.Args a) {
        a.arity(1, 2);
        final int w = a.input(0, Modelport.DType.STR).width;
        final boolean weighted = a.types.length == 2;
        if (weighted && a.input(1, Modelport.DType.F64).width != w) {
            throw a.refuse("reads " + Arrays.toString(a.types) + "; as many numbers as strings are needed.");
        }
        final String[] prefix = a.has("prefix") ? a.tensor("prefix", Modelport.DType.STR, 1, 1).strings() : new String[] {""};
        if (prefix.length != 1) {
            a.expect("prefix", prefix.length, w);
        }
        for (String s : prefix) {
            notNull(a, "prefix", s);
        }
        final Counting counting = new Counting(a, true);
        a.strings = a.types[0].counted;
        return new Modelport.Step(a, Modelport.Type.row(Modelport.DType.F64, counting.size)) {
            @Override
            Object run(Modelport.Frame f) {
                String[] x = (String[]) f.values[in[0]];
                double[] values = weighted ? (double[]) f.values[in[1]] : null, y = new double[f.rows * type.width];
                for (int k = 0; k < f.rows * w; k++) {
                    if (x[k] == null) {
                        continue;
                    }
                    byte[] term = Unicode.bytes(prefix[prefix.length == 1 ? 0 : k % w] + x[k]);
                    if (term == null) {
                        throw refuse(f, k / w, "a string holds half of a surrogate pair.");
                    }
                    counting.add(term, 0, term.length, weighted ? values[k] : 1.0, false, y, k / w * type.width);
                }
                return y;
            }
        };
    }

    // ==== 4 Solver ===================================================================================================

    private static final int MOST_ROUNDS = 10_000, MOST_PAIRED = 4096, ROUNDS_PER_ERROR = 10;
    private static final long MOST_WORK = 1L << 30;
    private static final double FLOAT_EPSILON = 0x1p-23, DOUBLE_EPSILON = 0x1p-52;

    /** The table of an op of this section: k rows t of d numbers. */
    private static final class Table {
        final int k, d;
        final double[] data, turned; // [k, d], [d, k]

        Table(Modelport.Args a, String key, boolean negative) {
            Modelport.Tensor t = a.matrix(key, a.one(Modelport.DType.F64));
            k = t.shape[0];
            d = t.shape[1];
            data = t.doubles();
            if (data.length == 0) {
                throw a.refuse("has no numbers in " + Modelport.quote(key) + ".");
            }
            a.guard.take(8L * data.length);
            turned = new double[data.length];
            for (int i = 0; i < data.length; i++) {
                if (!(Math.abs(data[i]) <= Double.MAX_VALUE) || data[i] < 0 && !negative) {
                    throw a.refuse("has " + data[i] + " in " + Modelport.quote(key) + "; finite numbers" + (negative ? "" : " from 0 on") + " are needed.");
                }
                turned[i % d * k + i / d] = data[i];
            }
        }

        /** y_t = sum_j x_j table_tj. */
        void multiply(double[] x, int at, double[] y) {
            Arrays.fill(y, 0.0);
            for (int j = 0; j < d; j++) {
                double v = x[at + j];
                for (int t = 0; t < k; t++) {
                    y[t] += v * turned[j * k + t];
                }
            }
        }

        /** y_j = sum_t w_t table_tj. */
        void combine(double[] w, double[] y) {
            Arrays.fill(y, 0.0);
            for (int t = 0; t < k; t++) {
                for (int j = 0; j < d; j++) {
                    y[j] += w[t] * data[t * d + j];
                }
            }
        }

        /** The products of all pairs of rows. */
        double[][] gram(Modelport.Args a) {
            if (k > MOST_PAIRED) {
                throw a.refuse("has a table of " + k + " rows, more than the limit of " + MOST_PAIRED + ".");
            }
            work(a, k, k, d);
            a.guard.take((8L * k + 32) * k);
            double[][] gram = new double[k][];
            for (int t = 0; t < k; t++) {
                gram[t] = new double[k];
                multiply(data, t * d, gram[t]);
            }
            return gram;
        }

        /** The sums of the rows. */
        double[] totals() {
            double[] totals = new double[k];
            for (int t = 0; t < k; t++) {
                totals[t] = total(data, t * d, d);
            }
            return totals;
        }
    }

    private static double total(double[] x, int i, int n) {
        double sum = 0.0;
        for (int j = i; j < i + n; j++) {
            sum += x[j];
        }
        return sum;
    }

    private static double norm(double[] x) {
        return Math.sqrt(Modelport.dot(x, 0, x, 0, x.length));
    }

    /** An attribute that is a finite number; `otherwise` (null: it is required) when absent. */
    private static double finite(Modelport.Args a, String key, Double otherwise, boolean negative) {
        if (otherwise != null && !a.has(key)) {
            return otherwise;
        }
        char kind = a.attribute(key).kind;
        double x = kind == '0' ? a.number(key, 0.0) : Double.NaN;
        if (!(Math.abs(x) <= Double.MAX_VALUE) || x < 0 && !negative) {
            throw a.refuse("has " + Modelport.quote(key) + " that is not a finite number" + (negative ? "." : " from 0 on."));
        }
        return x;
    }

    private static int rounds(Modelport.Args a) {
        return a.integer("max_iter", 0, MOST_ROUNDS);
    }

    /** The product of the factors; refused when it is more than a row, or loading, may cost. */
    private static final long ROUND = 64; // multiplications that a round counts as for every row and column of its table

    private static long work(Modelport.Args a, long x, long y, long z) {
        if (x > 0 && (y > MOST_WORK / x || z > MOST_WORK / (x * y))) {
            throw a.refuse("may need more than 2^30 operations for a row or when it is loaded, which is more than the limit.");
        }
        return x * y * z;
    }

    /** A step that solves for every row x the weights w of the rows of its table. */
    private abstract static class Solver extends Modelport.Step {
        final Table table;
        final int k, d;

        Solver(Modelport.Args a, Table table) {
            super(a, Modelport.Type.row(Modelport.DType.F64, table.k));
            this.table = table;
            this.k = table.k;
            this.d = table.d;
        }

        /** Whether an element of a row may be x, a finite number. */
        abstract boolean accepts(double x);

        /** The weights for the row x. */
        abstract double[] solve(double[] x);

        @Override
        Object run(Modelport.Frame f) {
            double[] rows = (double[]) f.values[in[0]], y = new double[f.rows * k];
            for (int r = 0; r < f.rows; r++) {
                double[] x = Arrays.copyOfRange(rows, r * d, (r + 1) * d);
                for (double v : x) {
                    if (!(Math.abs(v) <= Double.MAX_VALUE) || !accepts(v)) {
                        throw refuse(f, r, "the element " + v + " is not accepted by this model.");
                    }
                }
                System.arraycopy(solve(x), 0, y, r * k, k);
            }
            return y;
        }
    }

    /** nmf: weights from 0 on with which the components come near the row. */
    private static Modelport.Step nmf(Modelport.Args a) {
        String solver = a.choice("solver", false, "cd", "mu", "minibatch");
        Table table = new Table(a, "components", false);
        return solver.equals("cd") ? new NmfDescent(a, table) : new NmfMultiplication(a, table, solver.equals("minibatch"));
    }

    /** nmf by coordinate descent. */
    private static final class NmfDescent extends Solver {
        private final int rounds;
        private final double tol, l1;
        private final double[][] gram;

        NmfDescent(Modelport.Args a, Table table) {
            super(a, table);
            rounds = rounds(a);
            tol = finite(a, "tol", null, false);
            l1 = finite(a, "l1", 0.0, false);
            double l2 = finite(a, "l2", 0.0, false);
            a.cost = work(a, rounds, k, k) + ROUND * rounds * ((long) k + d);
            gram = table.gram(a);
            for (int t = 0; l2 != 0 && t < k; t++) {
                gram[t][t] += l2;
            }
        }

        @Override
        boolean accepts(double x) {
            return x >= 0;
        }

        @Override
        double[] solve(double[] x) {
            double[] w = new double[k], target = new double[k];
            table.multiply(x, 0, target);
            for (int t = 0; l1 != 0 && t < k; t++) {
                target[t] -= l1;
            }
            double first = 0.0;
            for (int round = 0; round < rounds; round++) {
                double violation = descend(target, w);
                first = round == 0 ? violation : first;
                if (first == 0 || violation / first <= tol) {
                    break;
                }
            }
            return w;
        }

        /** One round; returns how far it was from an optimum. */
        private double descend(double[] target, double[] w) {
            double violation = 0.0;
            for (int t = 0; t < k; t++) {
                double[] q = gram[t];
                double gradient = -target[t];
                for (int r = 0; r < k; r++) {
                    gradient += q[r] * w[r];
                }
                violation += Math.abs(w[t] == 0 ? (gradient < 0 ? gradient : 0.0) : gradient);
                if (q[t] != 0) {
                    double moved = w[t] - gradient / q[t];
                    w[t] = 0 > moved ? 0.0 : moved;
                }
            }
            return violation;
        }
    }

    /** nmf by multiplicative updates: as NMF's solver mu makes them, or (minibatch) as MiniBatchNMF does. */
    private static final class NmfMultiplication extends Solver {
        private final boolean minibatch;
        private final int rounds;
        private final double tol, l1, l2, beta, gamma;
        private final double[][] gram;
        private final double[] totals;

        NmfMultiplication(Modelport.Args a, Table table, boolean minibatch) {
            super(a, table);
            this.minibatch = minibatch;
            rounds = rounds(a);
            tol = finite(a, "tol", null, false);
            l1 = finite(a, "l1", 0.0, false);
            l2 = finite(a, "l2", 0.0, false);
            beta = finite(a, "beta", 2.0, true);
            gamma = beta < 1 ? 1 / (2 - beta) : beta > 2 ? 1 / (beta - 1) : 1.0;
            a.cost = work(a, rounds, k, (long) k + d) + ROUND * rounds * ((long) k + d);
            gram = table.gram(a);
            totals = table.totals();
        }

        @Override
        boolean accepts(double x) {
            return minibatch || x > 0 || x == 0 && beta > 0;
        }

        @Override
        double[] solve(double[] x) {
            double[] w = new double[k];
            Arrays.fill(w, Math.sqrt(total(x, 0, d) / d / k));
            if (minibatch) {
                untilWeightsStay(x, w);
            } else {
                untilErrorStays(x, w);
            }
            return w;
        }

        private void untilWeightsStay(double[] x, double[] w) {
            for (int round = 1; round <= rounds; round++) {
                double[] moved = w.clone();
                update(x, w, totals);
                for (int t = 0; t < k; t++) {
                    moved[t] = w[t] - moved[t];
                }
                if (tol > 0 && norm(moved) / norm(w) <= tol) {
                    return;
                }
            }
        }

        /** scikit-learn keeps the denominators of beta 1 between rounds, so that l1 adds up in them. */
        private void untilErrorStays(double[] x, double[] w) {
            double[] sums = totals.clone();
            double first = tol > 0 ? error(x, w) : 0.0, last = first;
            for (int round = 1; round <= rounds; round++) {
                update(x, w, sums);
                for (int t = 0; l1 > 0 && t < k; t++) {
                    sums[t] += l1;
                }
                for (int t = 0; beta < 1 && t < k; t++) {
                    w[t] = w[t] < DOUBLE_EPSILON ? 0.0 : w[t];
                }
                if (tol > 0 && round % ROUNDS_PER_ERROR == 0) {
                    double error = error(x, w);
                    if ((last - error) / first < tol) {
                        return;
                    }
                    last = error;
                }
            }
        }

        private static double floored(double y) {
            return y < FLOAT_EPSILON ? FLOAT_EPSILON : y;
        }

        private void update(double[] x, double[] w, double[] sums) {
            double[] top = new double[k], bottom = new double[k];
            if (beta == 2) {
                table.multiply(x, 0, top);
                for (int t = 0; t < k; t++) {
                    bottom[t] = Modelport.dot(w, 0, gram[t], 0, k);
                }
            } else {
                divideByModel(x, w, sums, top, bottom);
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
                w[t] *= gamma == 1 ? factor : Modelport.Special.pow(factor, gamma);
            }
        }

        /** The numerators and denominators for a beta that is not 2. */
        private void divideByModel(double[] x, double[] w, double[] sums, double[] top, double[] bottom) {
            double[] y = new double[d], c = new double[d], b = new double[d];
            table.combine(w, y);
            for (int j = 0; j < d; j++) {
                double s = beta < 2 ? floored(y[j]) : y[j];
                c[j] = beta == 1 ? x[j] / s : beta == 0 ? 1 / s * (1 / s) * x[j] : Modelport.Special.pow(s, beta - 2) * x[j];
                b[j] = beta == 1 ? 0.0 : Modelport.Special.pow(beta < 1 ? floored(y[j]) : y[j], beta - 1);
            }
            table.multiply(c, 0, top);
            if (beta == 1) {
                System.arraycopy(sums, 0, bottom, 0, k);
            } else {
                table.multiply(b, 0, bottom);
            }
        }

        private double error(double[] x, double[] w) {
            double[] y = new double[d];
            table.combine(w, y);
            if (beta != 2) {
                double r = divergence(x, w, y);
                return Math.sqrt(2 * (r < 0 ? 0.0 : r));
            }
            for (int j = 0; j < d; j++) {
                y[j] = x[j] - y[j];
            }
            return norm(y);
        }

        /** The divergence of x from the model y, for a beta that is not 2. */
        private double divergence(double[] x, double[] w, double[] y) {
            double given = 0, ratios = 0, logarithms = 0, powers = 0, mixed = 0, modelled = 0;
            for (int j = 0; j < d; j++) {
                double u = floored(y[j]), ratio = x[j] / u;
                modelled += Modelport.Special.pow(y[j], beta);
                if (x[j] > FLOAT_EPSILON) {
                    given += x[j];
                    ratios += ratio;
                    logarithms += beta == 1 ? x[j] * Math.log(ratio) : Math.log(ratio);
                    powers += Modelport.Special.pow(x[j], beta);
                    mixed += x[j] * Modelport.Special.pow(u, beta - 1);
                }
            }
            return beta == 1 ? logarithms + (Modelport.dot(w, 0, totals, 0, k) - given)
                : beta == 0 ? ratios - d - logarithms
                : (powers - beta * mixed + modelled * (beta - 1)) / (beta * (beta - 1));
        }
    }

    /** lda_topics: the shares of topics in a row of counts. */
    private static final class LdaTopics extends Solver {
        private final double prior, tol;
        private final int rounds;

        LdaTopics(Modelport.Args a, Table table) {
            super(a, table);
            prior = finite(a, "prior", null, false);
            rounds = rounds(a);
            tol = finite(a, "tol", null, false);
            work(a, rounds, k, d);
            a.cost = (rounds + 1) * (4L * k * d + ROUND * ((long) k + d));
        }

        @Override
        boolean accepts(double x) {
            return x >= 0;
        }

        @Override
        double[] solve(double[] x) {
            int n = 0;
            int[] column = new int[d]; // of the n elements that are not 0
            for (int j = 0; j < d; j++) {
                if (x[j] != 0) {
                    column[n++] = j;
                }
            }
            double[] w = new double[k], e = new double[k], ratio = new double[n];
            Arrays.fill(w, 1.0);
            Arrays.fill(e, Math.exp(psi(1) - psi(k)));
            for (int round = 0; round < rounds; round++) {
                explain(x, column, e, ratio);
                if (share(column, e, ratio, w) / k < tol) {
                    break;
                }
            }
            double sum = total(w, 0, k);
            for (int t = 0; t < k; t++) {
                w[t] /= sum;
            }
            return w;
        }

        /** ratio: the counts over what the topics, weighted by e, give them. */
        private void explain(double[] x, int[] column, double[] e, double[] ratio) {
            Arrays.fill(ratio, 0.0);
            for (int t = 0; t < k; t++) {
                for (int j = 0; j < ratio.length; j++) {
                    ratio[j] += e[t] * table.data[t * d + column[j]];
                }
            }
            for (int j = 0; j < ratio.length; j++) {
                ratio[j] = x[column[j]] / (ratio[j] + DOUBLE_EPSILON);
            }
        }

        /** New weights w, and e; returns how much the weights have changed together. */
        private double share(int[] column, double[] e, double[] ratio, double[] w) {
            double change = 0.0;
            for (int t = 0; t < k; t++) {
                double sum = 0.0;
                for (int j = 0; j < ratio.length; j++) {
                    sum += ratio[j] * table.data[t * d + column[j]];
                }
                double next = e[t] * sum + prior;
                change += Math.abs(w[t] - next);
                w[t] = next;
            }
            double all = psi(total(w, 0, k));
            for (int t = 0; t < k; t++) {
                e[t] = Math.exp(psi(w[t]) - all);
            }
            return change;
        }

        /** The derivative of log gamma, as scikit-learn computes it (J. M. Bernardo, Algorithm AS 103, 1976). */
        private static double psi(double z) {
            if (z <= 1e-6) {
                return -0.5772156649015329 - 1 / z;
            }
            double r = 0.0;
            for (; z < 6; z += 1) {
                r -= 1 / z;
            }
            double q = 1 / z;
            r += Math.log(z) - 0.5 * q;
            q *= q;
            return r - q * (1.0 / 12 - q * (1.0 / 120 - q * (1.0 / 252)));
        }
    }

    /** sparse_code: few weights with which the atoms come near the row. */
    private static Modelport.Step sparseCode(Modelport.Args a) {
        String algorithm = a.choice("algorithm", false, "omp", "lasso_cd");
        Table table = new Table(a, "atoms", true);
        return algorithm.equals("omp") ? new Pursuit(a, table) : new Lasso(a, table);
    }

    /** sparse_code by orthogonal matching pursuit. */
    private static final class Pursuit extends Solver {
        private final int nonzero;
        private final double[][] gram;

        Pursuit(Modelport.Args a, Table table) {
            super(a, table);
            nonzero = a.integer("nonzero", 1, k);
            a.cost = work(a, nonzero, k, nonzero + 1L);
            gram = table.gram(a);
        }

        @Override
        boolean accepts(double x) {
            return true;
        }

        @Override
        double[] solve(double[] x) {
            return new Choice(x).weights();
        }

        /** The atoms chosen for one row: the first n of `order`; lower is the Cholesky factor of their products. */
        private final class Choice {
            private final int[] order = new int[k];
            private final double[][] lower = new double[nonzero][];
            private final double[] products = new double[k], w = new double[nonzero];
            private double[] residual; // what is left of the products of all atoms with the row
            private int n;

            Choice(double[] x) {
                table.multiply(x, 0, products);
                residual = products;
                for (int a = 0; a < k; a++) {
                    order[a] = a;
                }
            }

            double[] weights() {
                while (n < nonzero) {
                    int m = mostAlike();
                    double c = residual[order[m]];
                    if (m < n || c * c < DOUBLE_EPSILON || !choose(m)) {
                        break;
                    }
                    fit();
                }
                double[] all = new double[k];
                for (int i = 0; i < n; i++) {
                    all[order[i]] = w[i];
                }
                return all;
            }

            /** The place in the order of the first atom with the largest residual; NaN is largest. */
            private int mostAlike() {
                int best = 0;
                for (int m = 1; m < k && residual[order[best]] == residual[order[best]]; m++) {
                    double held = Math.abs(residual[order[best]]), found = Math.abs(residual[order[m]]);
                    if (found != found || found > held) {
                        best = m;
                    }
                }
                return best;
            }

            /** Adds the atom at place m of the order to those chosen; false if they already span it. */
            private boolean choose(int m) {
                int atom = order[m];
                double[] row = gram[atom], last = new double[n + 1];
                double length = 0.0;
                for (int i = 0; i < n; i++) {
                    last[i] = (row[order[i]] - Modelport.dot(lower[i], 0, last, 0, i)) / lower[i][i];
                    length += last[i] * last[i];
                }
                if (n > 0 && row[atom] - length <= DOUBLE_EPSILON) {
                    return false;
                }
                last[n] = Math.sqrt(n > 0 ? row[atom] - length : row[atom]);
                lower[n] = last;
                order[m] = order[n];
                order[n++] = atom;
                return true;
            }

            /** The weights of the chosen atoms that fit the row best, and what is left of the products of all. */
            private void fit() {
                double[] z = new double[n], fitted = new double[k];
                for (int i = 0; i < n; i++) {
                    z[i] = (products[order[i]] - Modelport.dot(lower[i], 0, z, 0, i)) / lower[i][i];
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

    /** sparse_code as lasso by coordinate descent, with gap safe screening. */
    private static final class Lasso extends Solver {
        private final double alpha, tol;
        private final int rounds;
        private final boolean positive;
        private final double[][] gram;

        Lasso(Modelport.Args a, Table table) {
            super(a, table);
            alpha = finite(a, "alpha", null, false);
            rounds = rounds(a);
            tol = finite(a, "tol", 1e-8, false);
            positive = a.flag("positive", false);
            a.cost = work(a, rounds, k, k) + ROUND * rounds * ((long) k + d);
            gram = table.gram(a);
        }

        @Override
        boolean accepts(double x) {
            return true;
        }

        @Override
        double[] solve(double[] x) {
            return new Descent(x).weights();
        }

        /** The descent for one row. `fitted` are the products of all atoms with the sum of the weighted atoms. */
        private final class Descent {
            private final double square;
            private final double[] w = new double[k], products = new double[k], fitted = new double[k], rest = new double[k];
            private final boolean[] out = new boolean[k]; // screened: the weight is 0 at the optimum
            private double gap, largest; // the largest element of rest

            Descent(double[] x) {
                square = Modelport.dot(x, 0, x, 0, d);
                table.multiply(x, 0, products);
            }

            double[] weights() {
                double enough = tol * square;
                measureGap();
                if (gap >= 0 && gap <= enough) {
                    return w;
                }
                for (int a = 0; a < k; a++) {
                    out[a] = gram[a][a] == 0;
                }
                screen();
                for (int round = 1; round <= rounds; round++) {
                    if (descend() || round == rounds) {
                        measureGap();
                        if (gap <= enough) {
                            break;
                        }
                        screen();
                    }
                }
                return w;
            }

            private void set(int a, double weight) {
                double change = weight - w[a];
                for (int b = 0; b < k; b++) {
                    fitted[b] += change * gram[a][b];
                }
                w[a] = weight;
            }

            /** The duality gap, with what screening needs. */
            private void measureGap() {
                double alike = Modelport.dot(w, 0, products, 0, k), squares = 0.0, weights = 0.0;
                double left = square + Modelport.dot(w, 0, fitted, 0, k) - 2 * alike;
                for (int a = 0; a < k; a++) {
                    rest[a] = products[a] - fitted[a];
                    double size = positive ? rest[a] : Math.abs(rest[a]);
                    largest = a == 0 || size > largest ? size : largest;
                    squares += rest[a] * rest[a];
                    weights += Math.abs(w[a]);
                }
                double s = largest > alpha ? alpha / largest : 1.0;
                gap = alpha == 0 ? squares : 0.5 * left + alpha * weights - (-0.5 * (s * s) * left + s * (square - alike));
            }

            /** Drops the atoms that the gap shows to have weight 0. */
            private void screen() {
                double radius = Math.sqrt(2 * Math.abs(gap)) / alpha, most = alpha > largest ? alpha : largest;
                for (int a = 0; alpha != 0 && a < k; a++) {
                    if (!out[a] && !((1 - Math.abs(rest[a] / most)) / Math.sqrt(gram[a][a]) <= radius)) {
                        out[a] = true;
                        if (w[a] != 0) {
                            set(a, 0.0);
                        }
                    }
                }
            }

            /** One round over the atoms; true if it changed little. */
            private boolean descend() {
                double mostChange = 0.0, mostWeight = 0.0;
                for (int a = 0; a < k; a++) {
                    if (out[a]) {
                        continue;
                    }
                    double t = products[a] - fitted[a] + w[a] * gram[a][a];
                    double weight = positive && t < 0 ? 0.0 : Math.signum(t) * Math.max(Math.abs(t) - alpha, 0.0) / gram[a][a];
                    double change = Math.abs(weight - w[a]);
                    if (weight != w[a]) {
                        set(a, weight);
                    }
                    mostChange = change > mostChange ? change : mostChange;
                    mostWeight = Math.abs(weight) > mostWeight ? Math.abs(weight) : mostWeight;
                }
                return mostWeight == 0 || mostChange / mostWeight <= tol;
            }
        }
    }
}
