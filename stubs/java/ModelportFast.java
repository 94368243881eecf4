// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// A faster tree_ensemble for Modelport.java, with the same bits: paste it beside that file, with the same package line, and hand it over.
//
//     Modelport.Model model = Modelport.load(bytes, ModelportFast.OPS);
//
// Batches that are large enough to be worth it go through trees that are laid out anew: trees of at most 32 leaves as bit vectors over blocks
// of rows, larger ones as one long per node, four rows at a time. Without this file Modelport.java walks row by row.

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Faster ops: see {@link #OPS}. */
public final class ModelportFast {
    private ModelportFast() { }

    /** A table with a faster tree_ensemble. */
    public static final Modelport.Ops OPS = new Modelport.Ops() {
        @Override
        List<String> names() {
            return Collections.singletonList("tree_ensemble");
        }

        @Override
        Modelport.Step step(Modelport.Args a) {
            return new FastTrees(a).step();
        }
    };

    /** A layout of the trees. */
    private interface Kernel {
        /** The number of rows from which on it is worth it. */
        int fewest();

        /** Adds the leaves of all trees to out; returns the rows whose NaN needs the slow walk: they are to be redone. */
        int[] add(double[] x, int rows, double[] out);
    }

    /** The tree_ensemble of Modelport.java with a faster walk, once a batch is large enough to be worth laying out the trees. */
    private static final class FastTrees extends Modelport.Trees {
        private volatile Kernel kernel;
        private volatile boolean none;

        FastTrees(Modelport.Args a) {
            super(a);
        }

        @Override
        int[] addAll(double[] x, int rows, double[] out) {
            if (kernel == null && !none && 4L * rows * root.length >= feature.length) {
                Kernel made = category != null ? null : BitTrees.fits(this) ? new BitTrees(this) : PackedTrees.of(this);
                none = made == null;
                kernel = made;
            }
            Kernel now = kernel;
            return now == null || rows < now.fewest() ? super.addAll(x, rows, out) : now.add(x, rows, out);
        }
    }

    /** The thresholds of each column, ascending. */
    private static double[][] sortedEdges(Modelport.Trees trees) {
        int[] count = new int[trees.columns];
        for (int column : trees.feature) {
            if (column >= 0) {
                count[column]++;
            }
        }
        double[][] edges = new double[trees.columns][];
        for (int j = 0; j < edges.length; j++) {
            edges[j] = new double[count[j]];
        }
        for (int i = 0; i < trees.feature.length; i++) {
            int j = trees.feature[i];
            if (j >= 0) {
                edges[j][--count[j]] = trees.threshold[i];
            }
        }
        for (double[] column : edges) {
            Arrays.sort(column);
        }
        return edges;
    }

    /**
     * Trees of at most 32 leaves as bit vectors: bit k of a row stands for leaf k of a tree, from left to right. Every node whose threshold a
     * row is above takes the leaves of its left subtree away; the lowest bit left is the row's leaf. Rows lie side by side, so that the
     * virtual machine can compare several of them at once, and numbers are the counts of the column's thresholds that they are above.
     */
    private static final class BitTrees implements Kernel {
        private static final int MOST = 32, BLOCK = 256;
        private final Modelport.Trees trees;
        private final double[][] edges;
        private final int[] start; // [T + 1] of the nodes below
        private final int[] column; // [inner nodes]
        private final int[] limit; // the number of edges below the node's threshold
        private final int[] left; // the leaves of its left subtree
        private final int[] leaf; // [T * MOST] leaf rows

        BitTrees(Modelport.Trees trees) {
            this.trees = trees;
            int inner = 0;
            for (int f : trees.feature) {
                inner += f >= 0 ? 1 : 0;
            }
            edges = sortedEdges(trees);
            start = new int[trees.root.length + 1];
            column = new int[inner];
            limit = new int[inner];
            left = new int[inner];
            leaf = new int[trees.root.length * MOST];
            int[] leavesBefore = new int[trees.feature.length + 1];
            int node = 0;
            for (int t = 0; t < trees.root.length; t++) {
                int leaves = 0;
                for (int i = trees.root[t]; i < trees.end(t); i++) {
                    leavesBefore[i] = leaves;
                    if (trees.feature[i] < 0) {
                        leaf[t * MOST + leaves++] = trees.next[i];
                    }
                }
                for (int i = trees.root[t]; i < trees.end(t); i++) {
                    int j = trees.feature[i];
                    if (j >= 0) {
                        column[node] = j;
                        limit[node] = Modelport.count(edges[j], 0, edges[j].length, trees.threshold[i], false);
                        left[node++] = (1 << leavesBefore[trees.next[i]]) - (1 << leavesBefore[i]);
                    }
                }
                start[t + 1] = node;
            }
        }

        /** Whether no tree has more than 32 leaves, and most have several. */
        static boolean fits(Modelport.Trees trees) {
            for (int t = 0; t < trees.root.length; t++) {
                if (trees.end(t) - trees.root[t] > 2 * MOST - 1) {
                    return false;
                }
            }
            return trees.columns <= 1 << 12 && (long) MOST * trees.root.length <= 4L * trees.feature.length + 4096; // room that is not empty
        }

        @Override
        public int fewest() {
            return 32;
        }

        @Override
        public int[] add(double[] x, int rows, double[] out) {
            int[][] keys = new int[trees.columns][BLOCK];
            int[] bits = new int[BLOCK], slow = new int[rows];
            int count = 0;
            for (int first = 0; first < rows; first += BLOCK) {
                int n = Math.min(BLOCK, rows - first);
                for (int r = 0; r < n; r++) {
                    if (!keys(x, first + r, keys, r)) {
                        slow[count++] = first + r;
                    }
                }
                for (int t = 0; t < trees.root.length; t++) {
                    Arrays.fill(bits, -1);
                    for (int k = start[t]; k < start[t + 1]; k++) {
                        clear(bits, keys[column[k]], limit[k], left[k]);
                    }
                    addLeaves(t, bits, n, out, first);
                }
            }
            return Arrays.copyOf(slow, count);
        }

        /** Takes bits from the rows whose key is above the limit. */
        private static void clear(int[] bits, int[] key, int limit, int left) {
            for (int r = 0; r < BLOCK; r++) {
                bits[r] &= ~((limit - key[r]) >> 31 & left);
            }
        }

        private void addLeaves(int t, int[] bits, int n, double[] out, int first) {
            if (trees.leafWidth > 1 || trees.acc == Modelport.DType.F32) {
                for (int r = 0; r < n; r++) {
                    trees.add(out, first + r, t, leaf[t * MOST + Integer.numberOfTrailingZeros(bits[r])]);
                }
                return;
            }
            double[] values = new double[MOST];
            for (int k = 0; k < MOST; k++) {
                values[k] = trees.leaf.length == 0 ? 0.0 : trees.leaf[leaf[t * MOST + k]];
            }
            int width = trees.type.width, k = first * width + (trees.classOf == null ? 0 : trees.classOf[t]);
            for (int r = 0; r < n; r++, k += width) {
                out[k] += values[Integer.numberOfTrailingZeros(bits[r]) & MOST - 1];
            }
        }

        /** The keys of one row; false when NaN does not simply go left or right. */
        private boolean keys(double[] x, int row, int[][] keys, int r) {
            boolean toLeft = trees.missing.equals("left"), fits = true;
            for (int j = 0; j < trees.columns; j++) {
                double v = x[row * trees.columns + j];
                if (edges[j].length > 0) {
                    keys[j][r] = v == v ? Modelport.count(edges[j], 0, edges[j].length, v, trees.strict) : toLeft ? 0 : edges[j].length + 1;
                }
                fits &= v == v || toLeft || trees.missing.equals("right");
            }
            return fits;
        }
    }

    /**
     * Trees packed for speed: a node is one long, key << 32 | step << bits | column. The children of a node stand side by side, `step`
     * places after it. A row's number and a threshold are compared as integer keys of the same order, without a branch: right when the
     * row's key is greater. A leaf has step 0, its leaf row as key, and reads an extra column whose key is the smallest of all: the walk
     * stays on it, so that four rows can walk together until the last has arrived.
     */
    private static final class PackedTrees implements Kernel {
        private final Modelport.Trees trees;
        private final long[] node;
        private final int bits;
        private final double[][] edges; // [columns] sorted thresholds, for f64; f32 needs none

        private PackedTrees(Modelport.Trees trees) {
            this.trees = trees;
            this.bits = 32 - Integer.numberOfLeadingZeros(trees.columns);
            this.node = new long[trees.feature.length];
            this.edges = trees.dtype == Modelport.DType.F64 ? sortedEdges(trees) : null;
        }

        /** null when a category has to be looked up, or when column and step do not fit 32 bits together. */
        static PackedTrees of(Modelport.Trees trees) {
            if (trees.category != null) {
                return null;
            }
            PackedTrees p = new PackedTrees(trees);
            int[] place = new int[p.node.length];
            for (int t = 0; t < trees.root.length; t++) {
                int free = trees.root[t];
                place[free] = free++;
                for (int i = trees.root[t]; i < trees.end(t); i++) {
                    long low = trees.columns, key = trees.next[i];
                    if (trees.feature[i] >= 0) {
                        long step = free - place[i];
                        if (step >> (32 - p.bits) != 0) {
                            return null;
                        }
                        place[i + 1] = free++;
                        place[trees.next[i]] = free++;
                        low = step << p.bits | trees.feature[i];
                        key = p.limit(trees.feature[i], trees.threshold[i]);
                    }
                    p.node[place[i]] = key << 32 | low;
                }
            }
            return p;
        }

        /** The greatest key that goes left at a threshold. For f64 it is the number of the column's thresholds that are below. */
        private int limit(int column, double threshold) {
            return edges == null ? sortable((float) threshold) - (trees.strict ? 1 : 0)
                : Modelport.count(edges[column], 0, edges[column].length, threshold, false);
        }

        /** The key of a row's number; for f64 the number of edges that it is above (or at, under "lt"). */
        private int key(int column, double v) {
            return edges == null ? sortable((float) v) : Modelport.count(edges[column], 0, edges[column].length, v, trees.strict);
        }

        /** A float as an integer of the same order; -0.0 is 0.0. The smallest integer stays free for the extra column. */
        private static int sortable(float v) {
            int raw = Float.floatToRawIntBits(v);
            return raw < 0 ? Integer.MIN_VALUE - raw : raw;
        }

        @Override
        public int fewest() {
            return 1;
        }

        @Override
        public int[] add(double[] x, int rows, double[] out) {
            int stride = trees.columns + 1, block = Math.max(4, Math.min(rows, (1 << 16) / stride)), count = 0;
            int[] keys = new int[block * stride], slow = new int[rows];
            for (int first = 0; first < rows; first += block) {
                int n = Math.min(block, rows - first);
                for (int r = 0; r < n; r++) {
                    if (!keys(x, first + r, keys, r * stride)) {
                        slow[count++] = first + r;
                    }
                }
                for (int t = 0; t < trees.root.length; t++) {
                    addTree(t, keys, stride, n, out, first);
                }
            }
            return Arrays.copyOf(slow, count);
        }

        /** The keys of one row; false when NaN does not simply go left or right. */
        private boolean keys(double[] x, int row, int[] keys, int at) {
            boolean left = trees.missing.equals("left"), clean = left || trees.missing.equals("right");
            boolean fits = true;
            for (int j = 0; j < trees.columns; j++) {
                double v = x[row * trees.columns + j];
                keys[at + j] = v == v ? key(j, v) : left ? Integer.MIN_VALUE : Integer.MAX_VALUE;
                fits &= clean || v == v;
            }
            keys[at + trees.columns] = Integer.MIN_VALUE;
            return fits;
        }

        private void addTree(int t, int[] x, int stride, int n, double[] out, int first) {
            int root = trees.root[t], r = 0;
            for (; r + 4 <= n; r += 4) {
                int a = r * stride, b = a + stride, c = b + stride, d = c + stride, i = root, j = root, k = root, l = root;
                long p, q, s, u;
                do {
                    i += step(p = node[i], x, a);
                    j += step(q = node[j], x, b);
                    k += step(s = node[k], x, c);
                    l += step(u = node[l], x, d);
                } while ((int) (p | q | s | u) >>> bits != 0);
                trees.add(out, first + r, t, (int) (p >> 32));
                trees.add(out, first + r + 1, t, (int) (q >> 32));
                trees.add(out, first + r + 2, t, (int) (s >> 32));
                trees.add(out, first + r + 3, t, (int) (u >> 32));
            }
            for (; r < n; r++) {
                int i = root;
                while ((int) node[i] >>> bits != 0) {
                    i += step(node[i], x, r * stride);
                }
                trees.add(out, first + r, t, (int) (node[i] >> 32));
            }
        }

        /** To the left child, or one further to the right one; 0 at a leaf. */
        private int step(long p, int[] x, int at) {
            int low = (int) p;
            return (low >>> bits) + (int) (((p >> 32) - x[at + (low & ~(-1 << bits))]) >>> 63);
        }
    }
}
