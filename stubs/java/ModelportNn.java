// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Ops of the profile nn, neural networks (docs/format.md, section 6.3), for Modelport.java: paste it beside that file,
// with the same package line, and hand them to it.
//
//     Modelport.Model model = Modelport.load(bytes, ModelportNn.OPS);
//     model.predict(Modelport.Tensor.of(pixels).shaped(1, 3, 32, 32)).get("scores").matrix();
//
// Sections: 1 Shapes, 2 Resize, 3 Products, 4 Pooling, 5 Norms, 6 Activations, 7 Recurrences, 8 Attention. As in Modelport.java, an op checks
// its attributes and the types of what it reads, and returns a step. Lengths are static here: named ones are known when a step is checked.

import java.util.Arrays;
import java.util.List;

/** Ops of neural networks: see {@link #OPS}. */
public final class ModelportNn {
    private ModelportNn() { }

    /** The table of ops of the profile nn, in the order of docs/format.md. */
    public static final Modelport.Ops OPS = new Modelport.Ops() {
        private final List<String> names = Arrays.asList("reshape", "transpose", "slice", "expand", "positions", "gather", "embedding", "pad",
            "resize", "matmul", "conv", "conv_transpose", "pool", "batch_norm", "layer_norm", "group_norm", "activation", "prelu", "lstm",
            "gru", "rnn", "attention", "cumsum");

        @Override
        List<String> names() {
            return names;
        }

        @Override
        Modelport.Step step(Modelport.Args a) {
            a.deep();
            for (Modelport.Type t : a.types) {
                if (t.width == 0) {
                    throw a.refuse("reads " + t + "; all lengths are at least 1.");
                }
            }
            switch (a.op) {
                case "reshape": return reshape(a);
                case "transpose": return transpose(a);
                case "slice": return slice(a);
                case "expand": return expand(a);
                case "positions": return positions(a);
                case "gather": return gather(a);
                case "embedding": return embedding(a);
                case "pad": return pad(a);
                case "resize": return new Resize(a, a.rounded());
                case "matmul": return matmul(a);
                case "conv": return conv(a);
                case "conv_transpose": return convTranspose(a);
                case "pool": return pool(a);
                case "batch_norm": return batchNorm(a);
                case "layer_norm": return layerNorm(a);
                case "group_norm": return groupNorm(a);
                case "activation": return activation(a);
                case "prelu": return prelu(a);
                case "lstm": return new Recurrence(a, 4, 2).step();
                case "gru": return new Recurrence(a, 3, 1).step();
                case "rnn": return new Recurrence(a, 1, 1).step();
                case "attention": return attention(a);
                case "cumsum": return cumsum(a);
                default: throw new IllegalStateException(a.op);
            }
        }
    };

    /** A product of counts; as good as infinite when it overflows. */
    private static long times(long... factors) {
        long product = 1;
        for (long factor : factors) {
            product = factor != 0 && product > Long.MAX_VALUE / factor ? Long.MAX_VALUE : product * factor;
        }
        return product;
    }

    private static long[] longs(int[] values) {
        long[] longs = new long[values.length];
        for (int k = 0; k < values.length; k++) {
            longs[k] = values[k];
        }
        return longs;
    }

    /** The lengths of axes a.., b.., c.. one after the other. */
    private static long[] joined(int[]... parts) {
        int n = 0;
        for (int[] part : parts) {
            n += part.length;
        }
        long[] joined = new long[n];
        n = 0;
        for (int[] part : parts) {
            for (int length : part) {
                joined[n++] = length;
            }
        }
        return joined;
    }

    /** The row shape of a value, every length at least 1. */
    private static Modelport.Type shaped(Modelport.Args a, Modelport.DType dtype, long... lengths) {
        for (long length : lengths) {
            if (length < 1) {
                throw a.refuse("gives " + dtype + Arrays.toString(lengths) + "; all lengths are at least 1.");
            }
        }
        return a.shaped(dtype, lengths);
    }

    /** An attribute that is a finite number; required when there is no default. */
    private static double finite(Modelport.Args a, String key, Double otherwise) {
        if (otherwise == null) {
            a.attribute(key);
        }
        double value = a.number(key, otherwise == null ? 0.0 : otherwise);
        if (!(Math.abs(value) <= Double.MAX_VALUE)) {
            throw a.refuse("has \"" + key + "\" " + value + "; it is finite.");
        }
        return value;
    }

    /** Refuses a value whose rank is below the lowest. */
    private static Modelport.Type ranked(Modelport.Args a, Modelport.Type t, int lowest, int highest) {
        if (t.rank < lowest || t.rank > highest) {
            throw a.refuse("reads " + t + "; rank " + lowest + (highest == lowest ? "" : highest < 100 ? " to " + highest : " or more") + " is needed.");
        }
        return t;
    }

    private static final int MANY = 1000;

    // ==== 1 Shapes ===================================================================================================

    /** Moves elements: element k of a row of the value is element places[k] of the row read, or the fill where that is -1. */
    private static final class Picks extends Modelport.Step {
        private final int[] places;
        private final int[] runs; // where stretches of neighbours begin, if they are long enough to be copied at once; or null
        private final Object fill; // an array of one element; or null

        Picks(Modelport.Args a, Modelport.Type type, int[] places, Object fill) {
            super(a, type);
            this.places = places;
            this.fill = fill;
            int n = 0;
            for (int k = 0; k < places.length; k++) {
                n += begins(k) ? 1 : 0;
            }
            runs = 4L * n > places.length ? null : new int[n + 1];
            n = 0;
            for (int k = 0; runs != null && k < places.length; k++) {
                if (begins(k)) {
                    runs[n++] = k;
                }
            }
            if (runs != null) {
                a.guard.take(4L * runs.length);
                runs[n] = places.length;
            }
        }

        private boolean begins(int k) {
            return k == 0 || places[k] != (places[k - 1] < 0 ? -1 : places[k - 1] + 1);
        }

        @Override
        Object run(Modelport.Frame f) {
            Object x = f.values[in[0]], out = type.dtype.allocate(f.rows * type.width);
            if (fill instanceof double[]) {
                Arrays.fill((double[]) out, ((double[]) fill)[0]);
            } else if (fill != null) {
                Arrays.fill((long[]) out, ((long[]) fill)[0]);
            }
            for (int r = 0; r < f.rows; r++) {
                row(x, r * from[0].width, out, r * type.width);
            }
            return out;
        }

        private void row(Object x, int i, Object out, int o) {
            if (runs != null) {
                for (int k = 0; k + 1 < runs.length; k++) {
                    if (places[runs[k]] >= 0) {
                        System.arraycopy(x, i + places[runs[k]], out, o + runs[k], runs[k + 1] - runs[k]);
                    }
                }
            } else if (x instanceof double[]) {
                double[] y = (double[]) out, v = (double[]) x;
                for (int k = 0; k < places.length; k++) {
                    if (places[k] >= 0) y[o + k] = v[i + places[k]];
                }
            } else if (x instanceof long[]) {
                long[] y = (long[]) out, v = (long[]) x;
                for (int k = 0; k < places.length; k++) {
                    if (places[k] >= 0) y[o + k] = v[i + places[k]];
                }
            } else {
                String[] y = (String[]) out, v = (String[]) x;
                for (int k = 0; k < places.length; k++) {
                    if (places[k] >= 0) y[o + k] = v[i + places[k]];
                }
            }
        }
    }

    /** The lengths that "shape" gives, those of `like` where "copy" names one of its axes; -1 stays where it is allowed. */
    private static long[] lengths(Modelport.Args a, Modelport.Type like, boolean rest) {
        int[] shape = a.ints("shape", -1, rest ? -1 : 0, Integer.MAX_VALUE), copy = null;
        if (a.has("copy")) {
            if (like == null) {
                throw a.refuse("has \"copy\" without a second value.");
            }
            copy = a.ints("copy", shape.length, -1, like.rank - 1);
        }
        if (shape.length > a.guard.limits.rank) {
            throw a.refuse("has a \"shape\" of rank " + shape.length + ", more than the limit of " + a.guard.limits.rank + ".");
        }
        long[] lengths = longs(shape);
        for (int k = 0; k < shape.length; k++) {
            boolean copied = copy != null && copy[k] >= 0;
            if (copied != (shape[k] == 0)) {
                throw a.refuse("has the length " + shape[k] + " in \"shape\" at position " + k + "; it is 0 exactly where \"copy\" names an axis.");
            }
            lengths[k] = copied ? like.dims[copy[k]] : shape[k];
        }
        return lengths;
    }

    /** reshape: the same elements in row-major order. */
    private static Modelport.Step reshape(Modelport.Args a) {
        Modelport.Type x = a.one(Modelport.ANY);
        long[] lengths = lengths(a, x, true);
        int open = -1;
        long known = 1;
        for (int k = 0; k < lengths.length; k++) {
            if (lengths[k] < 0 && open >= 0) {
                throw a.refuse("has -1 twice in \"shape\".");
            }
            open = lengths[k] < 0 ? k : open;
            known = lengths[k] < 0 ? known : times(known, lengths[k]);
        }
        if (open >= 0) {
            lengths[open] = x.width / known;
        }
        if (open >= 0 ? x.width % known != 0 : x.width != known) {
            throw a.refuse("cannot give the elements of " + x + " the shape " + Arrays.toString(lengths) + ".");
        }
        return new Modelport.Step(a, shaped(a, x.dtype, lengths)) {
            @Override
            Object run(Modelport.Frame f) {
                return f.values[in[0]];
            }
        };
    }

    /** transpose: axis i of the result is axis perm[i] of the input. */
    private static Modelport.Step transpose(Modelport.Args a) {
        Modelport.Type x = a.one(Modelport.ANY);
        int[] perm = a.ints("perm", x.rank, 0, x.rank - 1);
        long[] lengths = new long[x.rank];
        int[][] offsets = new int[x.rank][];
        boolean[] seen = new boolean[x.rank];
        for (int k = 0; k < perm.length; k++) {
            if (seen[perm[k]]) {
                throw a.refuse("has the axis " + perm[k] + " twice in \"perm\".");
            }
            seen[perm[k]] = true;
            lengths[k] = x.dims[perm[k]];
            offsets[k] = x.along(perm[k], x.dims[perm[k]]);
        }
        return new Picks(a, shaped(a, x.dtype, lengths), Modelport.places(a.guard, offsets), null);
    }

    /** The axes that an attribute names, all different and within the rank. */
    private static int[] axes(Modelport.Args a, Modelport.Type x) {
        int[] axes = a.ints("axes", -1, 0, x.rank - 1);
        boolean[] seen = new boolean[x.rank];
        for (int axis : axes) {
            if (seen[axis]) {
                throw a.refuse("has the axis " + axis + " twice in \"axes\".");
            }
            seen[axis] = true;
        }
        return axes;
    }

    /** slice: start, start + step, .. before stop, along some axes. */
    private static Modelport.Step slice(Modelport.Args a) {
        Modelport.Type x = ranked(a, a.one(Modelport.ANY), 1, MANY);
        int[] axes = axes(a, x);
        long[] starts = a.integers("starts", 1).longs(), stops = a.integers("stops", 1).longs();
        long[] steps = a.has("steps") ? a.integers("steps", 1).longs() : null;
        a.expect("starts", starts.length, axes.length);
        a.expect("stops", stops.length, axes.length);
        a.expect("steps", steps == null ? axes.length : steps.length, axes.length);
        long[] lengths = longs(x.dims);
        int[][] offsets = new int[x.rank][];
        for (int axis = 0; axis < x.rank; axis++) {
            offsets[axis] = x.along(axis, x.dims[axis]);
        }
        for (int k = 0; k < axes.length; k++) {
            int n = x.dims[axes[k]];
            long step = steps == null ? 1 : Math.max(-Integer.MAX_VALUE, Math.min(steps[k], Integer.MAX_VALUE));
            long start = end(starts[k], n, step), stop = end(stops[k], n, step);
            long count = step > 0 ? (stop - start + step - 1) / step : step < 0 ? (start - stop - step - 1) / -step : 0;
            if (step == 0 || (step > 0 ? start >= stop : start <= stop)) {
                throw a.refuse("takes nothing of the axis " + axes[k] + " of " + x + ": from " + starts[k] + " to " + stops[k] + " in steps of " + step + ".");
            }
            int[] all = offsets[axes[k]];
            offsets[axes[k]] = new int[(int) count];
            for (int j = 0; j < count; j++) {
                offsets[axes[k]][j] = all[(int) (start + j * step)];
            }
            lengths[axes[k]] = count;
        }
        return new Picks(a, shaped(a, x.dtype, lengths), Modelport.places(a.guard, offsets), null);
    }

    /** A start or stop of a slice, counted from the end when negative, within the axis. */
    private static long end(long given, int n, long step) {
        long at = given < 0 ? given + n : given;
        return step > 0 ? Math.max(0, Math.min(at, n)) : Math.max(-1, Math.min(at, n - 1));
    }

    /** expand: broadcasts to given lengths. */
    private static Modelport.Step expand(Modelport.Args a) {
        a.arity(1, 2);
        Modelport.Type x = a.types[0];
        long[] lengths = lengths(a, a.types.length == 2 ? a.types[1] : null, false);
        Modelport.Type wide = shaped(a, x.dtype, lengths);
        onto(a, x, wide);
        int[] places = x.spread(wide, a.guard);
        return places != null ? new Picks(a, wide, places, null) : new Modelport.Step(a, wide) {
            @Override
            Object run(Modelport.Frame f) {
                return f.values[in[0]];
            }
        };
    }

    /** Refuses a shape that does not broadcast to another one as it is. */
    private static void onto(Modelport.Args a, Modelport.Type x, Modelport.Type wide) {
        boolean good = x.rank <= wide.rank;
        for (int k = 0; good && k < x.rank; k++) {
            good = x.dims[k] == 1 || x.dims[k] == wide.dims[k + wide.rank - x.rank];
        }
        if (!good) {
            throw a.refuse("cannot broadcast " + Arrays.toString(x.dims) + " to " + Arrays.toString(wide.dims) + ".");
        }
    }

    /** positions: 0, 1, 2, .. along an axis. */
    private static Modelport.Step positions(Modelport.Args a) {
        Modelport.Type x = ranked(a, a.one(Modelport.ANY), 1, MANY);
        return new Modelport.Step(a, shaped(a, Modelport.DType.I64, x.dims[a.integer("axis", 0, x.rank - 1)])) {
            @Override
            Object run(Modelport.Frame f) {
                long[] out = new long[f.rows * type.width];
                for (int k = 0; k < out.length; k++) {
                    out[k] = k % type.width;
                }
                return out;
            }
        };
    }

    /** gather: elements by index along an axis; an index below 0 counts from the end. */
    private static Modelport.Step gather(Modelport.Args a) {
        a.arity(2, 2);
        final Modelport.Type x = ranked(a, a.types[0], 1, MANY), index = a.input(1, Modelport.INTEGERS);
        final int axis = a.integer("axis", 0, x.rank - 1), n = x.dims[axis], before = x.size(0, axis), behind = x.size(axis + 1, x.rank);
        long[] lengths = joined(Arrays.copyOf(x.dims, axis), index.dims, Arrays.copyOfRange(x.dims, axis + 1, x.rank));
        return new Modelport.Step(a, shaped(a, x.dtype, lengths)) {
            @Override
            Object run(Modelport.Frame f) {
                Object out = type.dtype.allocate(f.rows * type.width);
                long[] given = (long[]) f.values[in[1]];
                int[] at = new int[index.width];
                for (int r = 0, o = 0; r < f.rows; r++) {
                    for (int k = 0; k < at.length; k++) {
                        long place = given[r * at.length + k];
                        if (place < -n || place >= n) {
                            throw refuse(f, r, "the index " + place + " lies outside the axis of length " + n + ".");
                        }
                        at[k] = (int) (place < 0 ? place + n : place);
                    }
                    for (int b = 0; b < before; b++) {
                        for (int k = 0; k < at.length; k++, o += behind) {
                            System.arraycopy(f.values[in[0]], r * x.width + (b * n + at[k]) * behind, out, o, behind);
                        }
                    }
                }
                return out;
            }
        };
    }

    /** embedding: rows of the weight by index. */
    private static Modelport.Step embedding(Modelport.Args a) {
        a.dtype = a.floating("dtype");
        final Modelport.Type x = a.one(Modelport.INTEGERS);
        Modelport.Tensor table = a.tensor("weight", a.dtype, 2, 2);
        final int m = table.shape[0], w = table.shape[1];
        final double[] weight = table.doubles();
        if (m == 0) {
            throw a.refuse("has a \"weight\" without rows.");
        }
        return new Modelport.Step(a, shaped(a, a.dtype, joined(x.dims, new int[] {w}))) {
            @Override
            Object run(Modelport.Frame f) {
                long[] index = (long[]) f.values[in[0]];
                double[] y = new double[f.rows * type.width];
                for (int k = 0; k < f.rows * x.width; k++) {
                    if (index[k] < 0 || index[k] >= m) {
                        throw refuse(f, k / x.width, "the index " + index[k] + " lies outside the weight of " + m + " rows.");
                    }
                    System.arraycopy(weight, (int) index[k] * w, y, k * w, w);
                }
                return y;
            }
        };
    }

    /** pad: elements before and behind every axis. */
    private static Modelport.Step pad(Modelport.Args a) {
        Modelport.Type x = a.one(Arrays.copyOf(Modelport.ANY, Modelport.ANY.length - 1));
        int[] before = a.ints("before", x.rank, 0, Integer.MAX_VALUE), after = a.ints("after", x.rank, 0, Integer.MAX_VALUE);
        String mode = a.choice("mode", true, "constant", "reflect", "edge", "wrap");
        boolean constant = mode.equals("constant");
        if (a.has("value") && !constant) {
            throw a.refuse("has a \"value\" beside the mode " + Modelport.quote(mode) + ", which puts in none.");
        }
        double value = finite(a, "value", 0.0);
        long[] lengths = new long[x.rank];
        for (int k = 0; k < x.rank; k++) {
            int most = mode.equals("reflect") ? x.dims[k] - 1 : mode.equals("wrap") ? x.dims[k] : Integer.MAX_VALUE;
            if (Math.max(before[k], after[k]) > most) {
                throw a.refuse("pads the axis " + k + " of " + x + " by more than " + most + ", the most in mode " + Modelport.quote(mode) + ".");
            }
            lengths[k] = (long) before[k] + x.dims[k] + after[k];
        }
        Modelport.Type wide = shaped(a, x.dtype, lengths);
        int[][] offsets = new int[x.rank][];
        for (int k = 0; k < x.rank; k++) {
            offsets[k] = new int[wide.dims[k]];
            int n = x.dims[k], stride = x.size(k + 1, x.rank);
            for (int j = 0; j < wide.dims[k]; j++) {
                int at = j - before[k];
                boolean inside = at >= 0 && at < n;
                at = inside || constant ? at : mode.equals("edge") ? Math.max(0, Math.min(at, n - 1)) : mode.equals("wrap") ? (at + n) % n
                    : at < 0 ? -at : 2 * (n - 1) - at;
                offsets[k][j] = constant && !inside ? -1 : at * stride;
            }
        }
        return new Picks(a, wide, Modelport.places(a.guard, offsets), constant ? filling(a, x.dtype, value) : null);
    }

    /** One element of a dtype, cast from a number. */
    private static Object filling(Modelport.Args a, Modelport.DType dtype, double value) {
        if (dtype.isFloat()) {
            return new double[] {Modelport.rounded(value, dtype)};
        }
        if (dtype == Modelport.DType.BOOL) {
            return new long[] {value != 0 ? 1 : 0};
        }
        double whole = value < 0 ? Math.ceil(value) : Math.floor(value);
        if (!(whole >= dtype.min && whole < (dtype == Modelport.DType.I64 ? 0x1p63 : dtype.max + 1.0))) {
            throw a.refuse("has \"value\" " + value + ", which does not fit the dtype " + dtype + ".");
        }
        return new long[] {(long) whole};
    }

    // ==== 2 Resize ===================================================================================================

    /** resize: along some axes, one after the other; a result is a weighted sum of one, two or four elements. */
    private static final class Resize extends Modelport.Step {
        private final Along[] along;

        Resize(Modelport.Args a, Modelport.Type x) {
            this(a, x, new Sizes(a, x));
        }

        private Resize(Modelport.Args a, Modelport.Type x, Sizes sizes) {
            super(a, sizes.last);
            along = sizes.along;
        }

        @Override
        Object run(Modelport.Frame f) {
            double[] x = floats(f, 0), y = new double[f.rows * type.width];
            for (int r = 0; r < f.rows; r++) { // row by row: what lies between two axes may be larger than the result
                double[] row = Arrays.copyOfRange(x, r * from[0].width, (r + 1) * from[0].width);
                for (Along axis : along) {
                    row = rounded(axis.run(row), dtype);
                }
                System.arraycopy(row, 0, y, r * type.width, type.width);
            }
            return y;
        }
    }

    /** The axes of a resize. */
    private static final class Sizes {
        final Along[] along;
        final Modelport.Type last;

        Sizes(Modelport.Args a, Modelport.Type x) {
            Modelport.Type type = ranked(a, x, 1, MANY);
            int[] axes = axes(a, x);
            if (axes.length == 0 || a.has("sizes") == a.has("scales")) {
                throw a.refuse("has no axes, or both or none of \"sizes\" and \"scales\".");
            }
            int[] sizes = a.has("sizes") ? a.ints("sizes", axes.length, 1, Integer.MAX_VALUE) : null;
            double[] scales = sizes == null ? a.floats("scales", Modelport.DType.F64, axes.length) : null;
            String fn = a.choice("fn", false, "nearest", "linear", "cubic");
            String at = a.choice("at", false, "half_pixel", "align_corners", "asymmetric");
            boolean nearest = fn.equals("nearest"), cubic = fn.equals("cubic");
            if (a.has("round") && !nearest || a.has("cubic") && !cubic) {
                throw a.refuse("has \"round\" or \"cubic\", which \"" + fn + "\" does not use.");
            }
            String round = nearest ? a.choice("round", true, "half_down", "floor", "ceil", "half_up") : "";
            double shape = finite(a, "cubic", -0.75);
            along = new Along[axes.length];
            for (int k = 0; k < axes.length; k++) {
                int n = type.dims[axes[k]];
                if (scales != null && !(scales[k] > 0 && scales[k] <= Double.MAX_VALUE)) {
                    throw a.refuse("has the scale " + scales[k] + "; it is positive and finite.");
                }
                double m = sizes != null ? sizes[k] : Math.floor(n * scales[k]);
                long[] lengths = longs(type.dims);
                lengths[axes[k]] = (long) Math.min(m, Integer.MAX_VALUE);
                int behind = type.size(axes[k] + 1, type.rank);
                type = shaped(a, x.dtype, lengths);
                a.cost = Math.min(a.cost + 4L * type.width, Long.MAX_VALUE / 2);
                int taps = nearest ? 1 : cubic ? 4 : 2;
                along[k] = new Along(n, (int) m, behind, taps, scales == null ? m / n : scales[k], at, round, shape);
            }
            last = type;
        }
    }

    /** One axis of a resize: which elements a result is made of, and how much of each. */
    private static final class Along {
        private static final int PLACED = 128; // elements whose taps are found at a time, so that they take no memory
        private final int n, m, behind, taps;
        private final double f, shape;
        private final String at, round;

        Along(int n, int m, int behind, int taps, double f, String at, String round, double shape) {
            this.n = n;
            this.m = m;
            this.behind = behind;
            this.taps = taps;
            this.f = f;
            this.at = at;
            this.round = round;
            this.shape = shape;
        }

        private void fill(int first, int count, int[] place, double[] share) {
            for (int j = 0; j < count; j++) {
                int o = first + j;
                double u = at.equals("half_pixel") ? (o + 0.5) / f - 0.5 : at.equals("asymmetric") ? o / f
                    : m == 1 ? 0.0 : (double) o * (n - 1) / (m - 1);
                if (taps == 1) {
                    place[j] = within(round.equals("floor") ? Math.floor(u) : round.equals("ceil") ? Math.ceil(u)
                        : round.equals("half_down") ? Math.ceil(u - 0.5) : Math.floor(u + 0.5));
                    continue;
                }
                u = taps == 2 ? Math.max(0.0, Math.min(u, n - 1.0)) : u;
                double g = Math.floor(u), w = u - g;
                for (int q = 0; q < taps; q++) {
                    int step = taps == 2 ? q : q - 1;
                    place[j * taps + q] = within(g + step);
                    share[j * taps + q] = taps == 4 ? cubic(Math.abs(w - step), shape) : q == 0 ? 1 - w : w;
                }
            }
        }

        private int within(double index) {
            return (int) Math.max(0.0, Math.min(index, n - 1.0));
        }

        private static double cubic(double z, double a) {
            return z <= 1 ? ((a + 2) * z - (a + 3)) * z * z + 1 : z < 2 ? ((a * z - 5 * a) * z + 8 * a) * z - 4 * a : 0.0;
        }

        double[] run(double[] x) {
            int before = x.length / n / behind, most = Math.min(m, PLACED);
            double[] y = new double[before * m * behind], share = new double[most * taps];
            int[] place = new int[most * taps];
            for (int first = 0; first < m; first += PLACED) {
                int count = Math.min(PLACED, m - first);
                fill(first, count, place, share);
                for (int b = 0; b < before; b++) {
                    for (int j = 0; j < count; j++) {
                        int to = (b * m + first + j) * behind;
                        for (int q = j * taps; q < (j + 1) * taps; q++) {
                            int i = (b * n + place[q]) * behind;
                            double s = share[q];
                            if (taps == 1) {
                                System.arraycopy(x, i, y, to, behind);
                            } else {
                                for (int k = 0; k < behind; k++) y[to + k] += x[i + k] * s;
                            }
                        }
                    }
                }
            }
            return y;
        }
    }

    // ==== 3 Products =================================================================================================

    /**
     * A product of matrices in panels: sums[i][j] = sum over p of a[i][p] * b[p][j] in ascending p, in f64. The rows of b are written, four at a
     * time, to arrays of their own, where the virtual machine can compute several columns at once; two rows of sums share them.
     */
    private abstract static class Panels {
        private static final int WIDTH = 256, HEIGHT = 64, DEPTH = 4;

        /** Writes b[p][j..j + n). */
        abstract void fill(int p, int j, int n, double[] to);

        /** Takes the sums [i][j..j + n). */
        abstract void take(int i, int j, int n, double[] sums);

        /** Multiplies a, which is m x k, row i at `at` + i * stride, by the k x n of fill. */
        final void run(double[] a, int at, int stride, int m, int k, int n) {
            double[][] b = new double[DEPTH][WIDTH], sums = new double[Math.min(m, HEIGHT)][WIDTH];
            for (int j = 0; j < n; j += WIDTH) {
                int w = Math.min(WIDTH, n - j);
                for (int i = 0; i < m; i += HEIGHT) {
                    int h = Math.min(HEIGHT, m - i);
                    for (int r = 0; r < h; r++) {
                        Arrays.fill(sums[r], 0.0);
                    }
                    for (int p = 0; p < k; p += DEPTH) {
                        for (int q = 0; q < Math.min(DEPTH, k - p); q++) {
                            fill(p + q, j, w, b[q]);
                        }
                        add(a, at + i * stride + p, stride, h, Math.min(DEPTH, k - p), b, sums, w);
                    }
                    for (int r = 0; r < h; r++) {
                        take(i + r, j, w, sums[r]);
                    }
                }
            }
        }

        private static void add(double[] a, int i, int stride, int h, int depth, double[][] b, double[][] sums, int w) {
            int r = 0;
            for (; depth == DEPTH && r + 1 < h; r += 2) {
                int k = i + r * stride, l = k + stride;
                add(a[k], a[k + 1], a[k + 2], a[k + 3], a[l], a[l + 1], a[l + 2], a[l + 3], b[0], b[1], b[2], b[3], sums[r], sums[r + 1], w);
            }
            for (; r < h; r++) {
                for (int q = 0; q < depth; q++) {
                    add(a[i + r * stride + q], b[q], sums[r], w);
                }
            }
        }

        private static void add(double a0, double a1, double a2, double a3, double c0, double c1, double c2, double c3, double[] b0, double[] b1,
                double[] b2, double[] b3, double[] s, double[] t, int w) {
            for (int j = 0; j < w; j++) {
                double v0 = b0[j], v1 = b1[j], v2 = b2[j], v3 = b3[j];
                s[j] = s[j] + a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3;
                t[j] = t[j] + c0 * v0 + c1 * v1 + c2 * v2 + c3 * v3;
            }
        }

        private static void add(double a, double[] b, double[] s, int w) {
            for (int j = 0; j < w; j++) s[j] += a * b[j];
        }
    }

    /** Where panels begin to be worth it. */
    private static final int FEW = 48;

    /** y[i][j] += sum over p of x[i][p] * w[j][p], in ascending p: m rows by n rows, both of k elements; l.. are the distances of rows. */
    private static void multiply(final double[] x, final int at, final int lx, int m, double[] w, int j, int lw, int n, int k, final double[] y,
            final int o, final int ly) {
        if (m >= FEW && n > 1) {
            new Panels() {
                @Override
                void fill(int p, int first, int count, double[] to) {
                    for (int q = 0, i = at + first * lx + p; q < count; q++, i += lx) to[q] = x[i];
                }

                @Override
                void take(int i, int first, int count, double[] sums) {
                    for (int q = 0, k = o + first * ly + i; q < count; q++, k += ly) y[k] += sums[q];
                }
            }.run(w, j, lw, n, k, m);
            return;
        }
        int r = 0;
        for (; r + 4 <= m; r += 4) {
            int c = 0;
            for (; c + 4 <= n; c += 4) {
                tile(x, at + r * lx, lx, w, j + c * lw, lw, k, y, o + r * ly + c, ly);
            }
            for (; c < n; c++) {
                strip(w, j + c * lw, x, at + r * lx, lx, k, y, o + r * ly + c, ly);
            }
        }
        for (; r < m; r++) {
            int c = 0;
            for (; c + 4 <= n; c += 4) {
                strip(x, at + r * lx, w, j + c * lw, lw, k, y, o + r * ly + c, 1);
            }
            for (; c < n; c++) {
                y[o + r * ly + c] += Modelport.dot(x, at + r * lx, w, j + c * lw, k);
            }
        }
    }

    /** Four rows of x by four of w, in registers. */
    private static void tile(double[] x, int i, int lx, double[] w, int j, int lw, int k, double[] y, int o, int ly) {
        double s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
        double s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
        for (int end = i + k; i < end; i++, j++) {
            double x0 = x[i], x1 = x[i + lx], x2 = x[i + 2 * lx], x3 = x[i + 3 * lx];
            double w0 = w[j], w1 = w[j + lw], w2 = w[j + 2 * lw], w3 = w[j + 3 * lw];
            s00 += x0 * w0;
            s01 += x0 * w1;
            s02 += x0 * w2;
            s03 += x0 * w3;
            s10 += x1 * w0;
            s11 += x1 * w1;
            s12 += x1 * w2;
            s13 += x1 * w3;
            s20 += x2 * w0;
            s21 += x2 * w1;
            s22 += x2 * w2;
            s23 += x2 * w3;
            s30 += x3 * w0;
            s31 += x3 * w1;
            s32 += x3 * w2;
            s33 += x3 * w3;
        }
        put(y, o, 1, s00, s01, s02, s03);
        put(y, o + ly, 1, s10, s11, s12, s13);
        put(y, o + 2 * ly, 1, s20, s21, s22, s23);
        put(y, o + 3 * ly, 1, s30, s31, s32, s33);
    }

    /** One row of x by four of w. */
    private static void strip(double[] x, int i, double[] w, int j, int lw, int k, double[] y, int o, int step) {
        double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (int end = i + k; i < end; i++, j++) {
            double v = x[i];
            s0 += v * w[j];
            s1 += v * w[j + lw];
            s2 += v * w[j + 2 * lw];
            s3 += v * w[j + 3 * lw];
        }
        put(y, o, step, s0, s1, s2, s3);
    }

    private static void put(double[] y, int o, int step, double s0, double s1, double s2, double s3) {
        y[o] += s0;
        y[o + step] += s1;
        y[o + 2 * step] += s2;
        y[o + 3 * step] += s3;
    }

    /** y[i][j] += sum over p of x[i][p] * b[p][j]: m x k by k x n, both without gaps. */
    private static void multiplyMatrices(double[] x, int at, int m, int k, final double[] b, final int from, final int n, final double[] y,
            final int o) {
        if (n < FEW || m < 4) {
            double[] turned = new double[k * n];
            for (int p = 0; p < k; p++) {
                for (int j = 0; j < n; j++) turned[j * k + p] = b[from + p * n + j];
            }
            multiply(x, at, k, m, turned, 0, k, n, k, y, o, n);
            return;
        }
        new Panels() {
            @Override
            void fill(int p, int j, int count, double[] to) {
                System.arraycopy(b, from + p * n + j, to, 0, count);
            }

            @Override
            void take(int i, int j, int count, double[] sums) {
                for (int q = 0; q < count; q++) y[o + i * n + j + q] += sums[q];
            }
        }.run(x, at, k, m, k, n);
    }

    /** The lengths to which two shapes broadcast. */
    private static int[] broadcast(Modelport.Args a, int[] x, int[] y) {
        int[] wide = new int[Math.max(x.length, y.length)];
        for (int k = 1; k <= wide.length; k++) {
            int v = k > x.length ? 1 : x[x.length - k], w = k > y.length ? 1 : y[y.length - k];
            if (v != w && v != 1 && w != 1) {
                throw a.refuse("joins " + Arrays.toString(a.types) + "; the lengths of the axes before the last two must be equal, or 1.");
            }
            wide[wide.length - k] = v == 1 ? w : v;
        }
        return wide;
    }

    /** The axes before the last two. */
    private static int[] front(Modelport.Type t) {
        return Arrays.copyOf(t.dims, t.rank - 2);
    }

    /** The number of the matrix of x that stands at each place of the wide axes; null where it is the same. */
    private static int[] spread(Modelport.Args a, Modelport.Type x, int[] wide) {
        return new Modelport.Type(x.dtype, front(x)).spread(new Modelport.Type(x.dtype, wide), a.guard);
    }

    private static int at(int[] spread, int b) {
        return spread == null ? b : spread[b];
    }

    /** matmul: matrices by matrices; the axes before the last two broadcast. */
    private static Modelport.Step matmul(Modelport.Args a) {
        a.arity(2, 2);
        a.dtype = a.floating("dtype");
        final Modelport.Type x = ranked(a, a.input(0, Modelport.FLOATS), 2, MANY), y = ranked(a, a.input(1, Modelport.FLOATS), 2, MANY);
        final int m = x.dims[x.rank - 2], k = x.last, n = y.last;
        if (y.dims[y.rank - 2] != k) {
            throw a.refuse("multiplies " + x + " by " + y + "; the last length of the first must be the second last of the second.");
        }
        int[] wide = broadcast(a, front(x), front(y));
        Modelport.Type type = shaped(a, a.dtype, joined(wide, new int[] {m, n}));
        a.cost = times(type.width, k);
        final int[] i = spread(a, x, wide), j = spread(a, y, wide);
        return new Modelport.Step(a, type) {
            @Override
            Object run(Modelport.Frame f) {
                double[] v = floats(f, 0), w = floats(f, 1), out = new double[f.rows * type.width];
                for (int r = 0; r < f.rows; r++) {
                    for (int b = 0; b < type.width / (m * n); b++) {
                        multiplyMatrices(v, r * x.width + at(i, b) * m * k, m, k, w, r * y.width + at(j, b) * k * n, n, out, r * type.width + b * m * n);
                    }
                }
                return rounded(out, dtype);
            }
        };
    }

    /** How windows lie on the one to three axes behind the channels, which are taken as three: the first ones have length 1. */
    private static final class Grid {
        private static final int MOST = 1 << 20; // of kernel sizes, strides, dilations and pads
        private static final long FARTHEST = 1 << 29; // so that no position overflows
        final int axes;
        final int[] n = {1, 1, 1}, kernel = {1, 1, 1}, stride = {1, 1, 1}, dilation = {1, 1, 1}, before = new int[3], after = new int[3];
        final int[] out = {1, 1, 1};
        final int taps, size;
        int positions;

        /** Reads what conv, conv_transpose and pool have in common. */
        Grid(Modelport.Args a, Modelport.Type x, int[] kernel) {
            axes = x.rank - 1;
            set(this.kernel, kernel);
            set(n, Arrays.copyOfRange(x.dims, 1, x.rank));
            if (a.has("strides")) {
                set(stride, a.ints("strides", axes, 1, MOST));
            }
            if (a.has("dilations")) {
                set(dilation, a.ints("dilations", axes, 1, MOST));
            }
            if (a.has("pads")) {
                int[] pads = a.ints("pads", 2 * axes, 0, MOST);
                set(before, Arrays.copyOf(pads, axes));
                set(after, Arrays.copyOfRange(pads, axes, 2 * axes));
            }
            for (int k = 0; k < 3; k++) {
                if (this.kernel[k] > MOST || reach(k) > FARTHEST) {
                    throw a.refuse("has a kernel of more than 2^20 elements along an axis, or one that reaches over more than 2^29.");
                }
            }
            taps = this.kernel[0] * this.kernel[1] * this.kernel[2];
            size = n[0] * n[1] * n[2];
        }

        private void set(int[] to, int[] values) {
            System.arraycopy(values, 0, to, 3 - axes, axes);
        }

        long reach(int k) {
            return (kernel[k] - 1L) * dilation[k] + 1;
        }

        /** The pads of "auto", and the lengths of the result; `ceil` rounds them up. */
        void windows(Modelport.Args a, boolean ceil) {
            String auto = a.choice("auto", true, "none", "same_upper", "same_lower");
            if (a.has("pads") && !auto.equals("none")) {
                throw a.refuse("has \"pads\" beside \"auto\".");
            }
            for (int k = 0; k < 3; k++) {
                if (!auto.equals("none")) {
                    long m = (n[k] - 1L) / stride[k] + 1, total = Math.max((m - 1) * stride[k] + reach(k) - n[k], 0);
                    long first = auto.equals("same_upper") ? total / 2 : total - total / 2;
                    before[k] = (int) Math.min(first, Integer.MAX_VALUE);
                    after[k] = (int) Math.min(total - first, Integer.MAX_VALUE);
                    out[k] = (int) m;
                    continue;
                }
                long room = (long) n[k] + before[k] + after[k] - reach(k);
                long m = (ceil ? -Math.floorDiv(-room, (long) stride[k]) : Math.floorDiv(room, (long) stride[k])) + 1;
                if (ceil && (m - 1) * stride[k] >= (long) n[k] + before[k]) {
                    m--;
                }
                if (m < 1) {
                    throw a.refuse("has a kernel that does not fit " + a.types[0] + "; at least one position is needed.");
                }
                out[k] = (int) Math.min(m, Integer.MAX_VALUE);
            }
        }

        /** The row shape of the result, channels first. */
        Modelport.Type type(Modelport.Args a, int channels) {
            Modelport.Type type = shaped(a, a.dtype, joined(new int[] {channels}, Arrays.copyOfRange(out, 3 - axes, 3)));
            positions = type.width / channels;
            return type;
        }

        boolean padded() {
            for (int k = 0; k < 3; k++) {
                if (before[k] > 0 || after[k] > 0) {
                    return true;
                }
            }
            return false;
        }

        /** Where the tap t of axis k lies for position 0. */
        int offset(int k, int tap) {
            int t = k == 2 ? tap % kernel[2] : k == 1 ? tap / kernel[2] % kernel[1] : tap / kernel[2] / kernel[1];
            return t * dilation[k] - before[k];
        }

        /** Makes one long axis of an image whose every position reads itself only. */
        void flatten() {
            boolean plain = taps == 1 && !padded();
            for (int k = 0; k < 3; k++) {
                plain &= stride[k] == 1 && n[k] == out[k];
            }
            if (plain) {
                n[2] = out[2] = size;
                n[0] = n[1] = out[0] = out[1] = 1;
            }
        }
    }

    /** The first position o of 0..m for which o * step + offset is at least `low`. */
    private static int first(long offset, int step, long low, int m) {
        return (int) Math.max(0, Math.min(m, Math.floorDiv(low - offset + step - 1, (long) step)));
    }

    private static Modelport.Type image(Modelport.Args a) {
        return ranked(a, a.rounded(), 2, 4);
    }

    private static int groups(Modelport.Args a, int channels) {
        int groups = a.has("groups") ? a.integer("groups", 1, channels) : 1;
        if (channels % groups != 0) {
            throw a.refuse("has " + groups + " groups for " + channels + " channels; they must divide.");
        }
        return groups;
    }

    private static int[] kernel(Modelport.Args a, Modelport.Type x, Modelport.Tensor weight, int channels) {
        boolean good = weight.shape[1] == channels && weight.size() > 0;
        if (!good) {
            throw a.refuse("has \"weight\" of shape " + Arrays.toString(weight.shape) + " for " + x + "; " + channels + " channels are needed.");
        }
        return Arrays.copyOfRange(weight.shape, 2, weight.shape.length);
    }

    /** conv: cross-correlation. */
    private static Modelport.Step conv(Modelport.Args a) {
        Modelport.Type x = image(a);
        int groups = groups(a, x.dims[0]);
        Modelport.Tensor weight = a.tensor("weight", a.dtype, x.rank + 1, x.rank + 1);
        Grid g = new Grid(a, x, kernel(a, x, weight, x.dims[0] / groups));
        g.windows(a, false);
        if (weight.shape[0] % groups != 0) {
            throw a.refuse("has " + groups + " groups for " + weight.shape[0] + " channels of its result; they must divide.");
        }
        Modelport.Type type = g.type(a, weight.shape[0]);
        g.flatten();
        a.cost = times(type.width, weight.width());
        return new Conv(a, type, g, groups, weight.doubles(), a.optional("bias", a.dtype, weight.shape[0]));
    }

    private static final class Conv extends Modelport.Step {
        private final Grid g;
        private final int groups, channels, outputs, sums; // channels of a group, of its result, and elements of the weight per output
        private final double[] weight, bias;
        private final boolean direct;

        Conv(Modelport.Args a, Modelport.Type type, Grid g, int groups, double[] weight, double[] bias) {
            super(a, type);
            this.g = g;
            this.groups = groups;
            this.weight = weight;
            this.bias = bias;
            channels = from[0].dims[0] / groups;
            outputs = type.dims[0] / groups;
            sums = channels * g.taps;
            boolean all = true;
            for (int k = 0; all && g.padded() && k < weight.length; k++) {
                all = Math.abs(weight[k]) <= Double.MAX_VALUE; // of others, a product with a zero outside would not be zero
            }
            direct = outputs < 4 || !all;
        }

        @Override
        Object run(Modelport.Frame f) {
            double[] x = floats(f, 0), y = new double[f.rows * type.width];
            for (int group = 0; group < groups; group++) {
                if (direct) {
                    for (int r = 0; r < f.rows; r++) {
                        for (int c = 0; c < outputs; c++) {
                            channel(x, (r * from[0].dims[0] + group * channels) * g.size, group * outputs + c, y, r * type.width);
                        }
                    }
                } else {
                    new Columns(x, y, group).run(weight, group * outputs * sums, sums, outputs, sums, f.rows * g.positions);
                }
            }
            for (int k = 0; bias != null && k < y.length; k += g.positions) {
                double b = bias[k / g.positions % bias.length];
                for (int j = 0; j < g.positions; j++) y[k + j] += b;
            }
            return rounded(y, dtype);
        }

        /** One channel of the result, tap by tap; the input's channels begin at x[i..]. */
        private void channel(double[] x, int i, int c, double[] y, int row) {
            int w = g.out[2], step = g.stride[2];
            for (int p = 0; p < sums; p++) {
                double v = weight[c * sums + p];
                int tap = p % g.taps, base = i + p / g.taps * g.size, at = g.offset(2, tap);
                int low = first(at, step, 0, w), high = first(at, step, g.n[2], w);
                for (int line = 0; line < g.out[0] * g.out[1]; line++) {
                    int i1 = line / g.out[1] * g.stride[0] + g.offset(0, tap), i2 = line % g.out[1] * g.stride[1] + g.offset(1, tap);
                    if (i1 < 0 || i1 >= g.n[0] || i2 < 0 || i2 >= g.n[1]) {
                        continue;
                    }
                    int from = base + (i1 * g.n[1] + i2) * g.n[2] + at, to = row + c * g.positions + line * w;
                    if (step == 1) {
                        for (int o = low; o < high; o++) y[to + o] += v * x[from + o];
                    } else {
                        for (int o = low; o < high; o++) y[to + o] += v * x[from + o * step];
                    }
                }
            }
        }

        /** The windows of a group as columns: row p is a tap of a channel, column j a position of a row. */
        private final class Columns extends Panels {
            private final double[] x, y;
            private final int group;

            Columns(double[] x, double[] y, int group) {
                this.x = x;
                this.y = y;
                this.group = group;
            }

            @Override
            void fill(int p, int j, int n, double[] to) {
                int tap = p % g.taps, channel = group * channels + p / g.taps, step = g.stride[2], w = g.out[2];
                int at0 = g.offset(0, tap), at1 = g.offset(1, tap), at2 = g.offset(2, tap);
                int low = first(at2, step, 0, w), high = first(at2, step, g.n[2], w);
                for (int k = 0, run; k < n; k += run) {
                    int r = (j + k) / g.positions, position = (j + k) % g.positions, line = position / w, o = position % w;
                    run = Math.min(n - k, w - o);
                    int i1 = line / g.out[1] * g.stride[0] + at0, i2 = line % g.out[1] * g.stride[1] + at1;
                    if (i1 < 0 || i1 >= g.n[0] || i2 < 0 || i2 >= g.n[1]) {
                        Arrays.fill(to, k, k + run, 0.0);
                        continue;
                    }
                    int from = (r * ModelportNn.Conv.this.from[0].dims[0] + channel) * g.size + (i1 * g.n[1] + i2) * g.n[2] + at2;
                    int begin = Math.max(o, Math.min(low, o + run)), end = Math.max(begin, Math.min(high, o + run)), shift = k - o;
                    for (int q = o; q < begin; q++) to[q + shift] = 0.0;
                    if (step == 1) {
                        System.arraycopy(x, begin < end ? from + begin : 0, to, begin + shift, end - begin);
                    } else {
                        for (int q = begin; q < end; q++) to[q + shift] = x[from + q * step];
                    }
                    for (int q = end; q < o + run; q++) to[q + shift] = 0.0;
                }
            }

            @Override
            void take(int c, int j, int n, double[] sums) {
                for (int k = 0, run; k < n; k += run) {
                    int r = (j + k) / g.positions, position = (j + k) % g.positions;
                    run = Math.min(n - k, g.positions - position);
                    System.arraycopy(sums, k, y, (r * type.dims[0] + group * outputs + c) * g.positions + position, run);
                }
            }
        }
    }

    /** conv_transpose: the transposed map. */
    private static Modelport.Step convTranspose(Modelport.Args a) {
        Modelport.Type x = image(a);
        final int groups = groups(a, x.dims[0]), channels = x.dims[0] / groups;
        Modelport.Tensor weight = a.tensor("weight", a.dtype, x.rank + 1, x.rank + 1);
        if (weight.shape[0] != x.dims[0] || weight.size() == 0) {
            throw a.refuse("has \"weight\" of shape " + Arrays.toString(weight.shape) + " for " + x + "; a row for each channel is needed.");
        }
        final Grid g = new Grid(a, x, Arrays.copyOfRange(weight.shape, 2, weight.shape.length));
        final int outputs = weight.shape[1], rows = outputs * g.taps;
        int[] more = a.has("output_padding") ? a.ints("output_padding", g.axes, 0, Integer.MAX_VALUE) : new int[g.axes];
        for (int k = 3 - g.axes; k < 3; k++) {
            int extra = more[k - 3 + g.axes];
            long length = times(g.stride[k], g.n[k] - 1) + extra + g.reach(k) - g.before[k] - g.after[k];
            if (extra >= Math.max(g.stride[k], g.dilation[k]) || length < 1 || times(g.stride[k], g.n[k] - 1) > Grid.FARTHEST) {
                throw a.refuse("has \"output_padding\" that is not below the stride or the dilation, or pads that leave nothing of " + x
                    + ", or strides that reach beyond 2^29 elements.");
            }
            g.out[k] = (int) Math.min(length, Integer.MAX_VALUE);
        }
        if ((long) outputs * groups > a.guard.limits.rowElements) {
            throw a.refuse("has more channels in its result than a row may have elements.");
        }
        final Modelport.Type type = g.type(a, outputs * groups);
        a.cost = times(x.width, weight.width());
        final double[] bias = a.optional("bias", a.dtype, outputs * groups), given = weight.doubles();
        a.guard.take(8L * given.length);
        final double[] turned = new double[given.length]; // [group, channel and tap of the result, channel]
        for (int k = 0; k < given.length; k++) {
            int c = k / rows;
            turned[(c / channels * rows + k % rows) * channels + c % channels] = given[k];
        }
        return new Modelport.Step(a, type) {
            @Override
            Object run(Modelport.Frame f) {
                final double[] x = floats(f, 0), y = new double[f.rows * type.width];
                final int all = from[0].dims[0];
                for (int group = 0; group < groups; group++) {
                    final int from = group * channels, to = group * outputs;
                    new Panels() {
                        @Override
                        void fill(int p, int j, int n, double[] b) {
                            for (int k = 0, run; k < n; k += run) {
                                int r = (j + k) / g.size, position = (j + k) % g.size;
                                run = Math.min(n - k, g.size - position);
                                System.arraycopy(x, (r * all + from + p) * g.size + position, b, k, run);
                            }
                        }

                        @Override
                        void take(int i, int j, int n, double[] sums) {
                            for (int k = 0, run; k < n; k += run) {
                                int r = (j + k) / g.size, position = (j + k) % g.size, line = position / g.n[2], q = position % g.n[2];
                                run = Math.min(n - k, g.n[2] - q);
                                add(i % g.taps, line, q, run, sums, k, y, (r * type.dims[0] + to + i / g.taps) * g.positions);
                            }
                        }
                    }.run(turned, group * rows * channels, channels, rows, channels, f.rows * g.size);
                }
                for (int k = 0; bias != null && k < y.length; k += g.positions) {
                    double b = bias[k / g.positions % bias.length];
                    for (int j = 0; j < g.positions; j++) y[k + j] += b;
                }
                return rounded(y, dtype);
            }

            /** Adds a stretch of a line of the input, times a tap's weight, where it belongs. */
            private void add(int tap, int line, int q, int run, double[] sums, int k, double[] y, int o) {
                int o1 = line / g.n[1] * g.stride[0] + g.offset(0, tap), o2 = line % g.n[1] * g.stride[1] + g.offset(1, tap);
                if (o1 < 0 || o1 >= g.out[0] || o2 < 0 || o2 >= g.out[1]) {
                    return;
                }
                int step = g.stride[2], at = g.offset(2, tap);
                int begin = Math.max(q, first(at, step, 0, q + run)), end = Math.min(q + run, first(at, step, g.out[2], q + run));
                int to = o + (o1 * g.out[1] + o2) * g.out[2] + at;
                for (int i = begin; i < end; i++) y[to + i * step] += sums[k + i - q];
            }
        };
    }

    // ==== 4 Pooling ==================================================================================================

    /** pool: the largest or the mean of every window. */
    private static Modelport.Step pool(Modelport.Args a) {
        final Modelport.Type x = image(a);
        final boolean max = a.choice("fn", false, "max", "mean").equals("max");
        int[] size = a.ints("size", x.rank - 1, 1, Grid.MOST);
        long taps = times(longs(size));
        if (taps > a.guard.limits.tensorElements) {
            throw a.refuse("has windows of more elements than a tensor may have.");
        }
        final Grid g = new Grid(a, x, size);
        for (int k = 0; k < 3; k++) {
            if (Math.max(g.before[k], g.after[k]) >= g.reach(k)) {
                throw a.refuse("has \"pads\" that are not below the reach of its windows.");
            }
        }
        g.windows(a, a.flag("ceil", false));
        if (max && a.has("count_pad")) {
            throw a.refuse("has \"count_pad\", which \"max\" does not use.");
        }
        final boolean countPad = a.flag("count_pad", false);
        Modelport.Type type = g.type(a, x.dims[0]);
        a.cost = times(type.width, taps);
        a.guard.take(12L * (g.out[0] + g.out[1] + g.out[2]));
        final int[][] low = new int[3][], high = new int[3][], count = new int[3][];
        for (int k = 0; k < 3; k++) {
            low[k] = new int[g.out[k]];
            high[k] = new int[g.out[k]];
            count[k] = new int[g.out[k]];
            for (int o = 0; o < g.out[k]; o++) {
                long at = (long) o * g.stride[k] - g.before[k];
                low[k][o] = first(at, g.dilation[k], 0, g.kernel[k]);
                high[k][o] = first(at, g.dilation[k], g.n[k], g.kernel[k]);
                count[k][o] = countPad ? first(at, g.dilation[k], (long) g.n[k] + g.after[k], g.kernel[k]) : high[k][o] - low[k][o];
                if (low[k][o] >= high[k][o]) {
                    throw a.refuse("has a window that holds no element of " + x + ": position " + o + " of axis " + (k - 2 + g.axes) + ".");
                }
            }
        }
        return new Modelport.Step(a, type) {
            @Override
            Object run(Modelport.Frame f) {
                double[] x = floats(f, 0), y = new double[f.rows * type.width];
                int k = 0;
                for (int c = 0; c < f.rows * type.dims[0]; c++) {
                    for (int o0 = 0; o0 < g.out[0]; o0++) {
                        for (int o1 = 0; o1 < g.out[1]; o1++) {
                            for (int o2 = 0; o2 < g.out[2]; o2++) {
                                y[k++] = window(x, c * g.size, o0, o1, o2);
                            }
                        }
                    }
                }
                return rounded(y, dtype);
            }

            private double window(double[] x, int channel, int o0, int o1, int o2) {
                double sum = max ? Double.NEGATIVE_INFINITY : 0.0;
                int step = g.dilation[2], first = o2 * g.stride[2] - g.before[2];
                int begin = first + low[2][o2] * step, end = first + (high[2][o2] - 1) * step;
                for (int t0 = low[0][o0]; t0 < high[0][o0]; t0++) {
                    int i0 = channel + (o0 * g.stride[0] - g.before[0] + t0 * g.dilation[0]) * g.n[1] * g.n[2];
                    for (int t1 = low[1][o1]; t1 < high[1][o1]; t1++) {
                        int i1 = i0 + (o1 * g.stride[1] - g.before[1] + t1 * g.dilation[1]) * g.n[2];
                        for (int i = i1 + begin; i <= i1 + end; i += step) {
                            double v = x[i];
                            if (!max) {
                                sum += v;
                            } else if (v > sum || v != v) {
                                sum = v;
                                if (v != v) {
                                    return v;
                                }
                            }
                        }
                    }
                }
                return max ? sum : sum / ((double) count[0][o0] * count[1][o1] * count[2][o2]);
            }
        };
    }

    // ==== 5 Norms ====================================================================================================

    /** batch_norm: (x - mean) / sqrt(var + eps) * scale + bias, per channel. */
    private static Modelport.Step batchNorm(Modelport.Args a) {
        final Modelport.Type x = ranked(a, a.rounded(), 1, MANY);
        final int c = x.dims[0], per = x.width / c;
        final double[] mean = a.floats("mean", c), root = a.floats("var", c).clone();
        final double[] scale = a.optional("scale", a.dtype, c), bias = a.optional("bias", a.dtype, c);
        double eps = finite(a, "eps", null);
        for (int k = 0; k < c; k++) {
            root[k] = Math.sqrt(root[k] + eps);
        }
        return new Modelport.Step(a, x) {
            @Override
            Object run(Modelport.Frame f) {
                double[] x = floats(f, 0), y = new double[f.rows * type.width];
                for (int k = 0, o = 0; k < f.rows * c; k++, o += per) {
                    int j = k % c;
                    affine(x, y, o, per, mean[j], root[j], scale == null ? 1.0 : scale[j], bias == null ? 0.0 : bias[j]);
                }
                return rounded(y, dtype);
            }
        };
    }

    private static void affine(double[] x, double[] y, int o, int n, double mean, double root, double scale, double bias) {
        for (int k = o; k < o + n; k++) y[k] = (x[k] - mean) / root * scale + bias;
    }

    /** The mean of x[i..i + n), or 0 without center. */
    private static double mean(double[] x, int i, int n, boolean center) {
        double sum = 0.0;
        for (int k = i; center && k < i + n; k++) sum += x[k];
        return sum / n;
    }

    /** sqrt(v + eps), v the mean of (x - m)^2 over x[i..i + n). */
    private static double root(double[] x, int i, int n, double m, double eps) {
        double sum = 0.0;
        for (int k = i; k < i + n; k++) sum += (x[k] - m) * (x[k] - m);
        return Math.sqrt(sum / n + eps);
    }

    /** layer_norm: over the last axes. */
    private static Modelport.Step layerNorm(Modelport.Args a) {
        final Modelport.Type x = a.rounded();
        int axes = a.has("axes") ? a.integer("axes", 1, Integer.MAX_VALUE) : 1;
        int[] over = Arrays.copyOfRange(ranked(a, x, axes, MANY).dims, x.rank - axes, x.rank);
        final int w = x.size(x.rank - axes, x.rank);
        final double[] scale = shapedLike(a, "scale", over), bias = shapedLike(a, "bias", over);
        final double eps = finite(a, "eps", null);
        final boolean center = a.flag("center", true);
        return new Modelport.Step(a, x) {
            @Override
            Object run(Modelport.Frame f) {
                double[] x = floats(f, 0), y = new double[f.rows * type.width];
                for (int o = 0; o < y.length; o += w) {
                    double m = mean(x, o, w, center), root = root(x, o, w, m, eps);
                    for (int k = 0; k < w; k++) {
                        double v = (x[o + k] - m) / root;
                        v = scale == null ? v : v * scale[k];
                        y[o + k] = bias == null ? v : v + bias[k];
                    }
                }
                return rounded(y, dtype);
            }
        };
    }

    /** Floats of the step's dtype and of a shape; null when absent. */
    private static double[] shapedLike(Modelport.Args a, String key, int[] shape) {
        if (!a.has(key)) {
            return null;
        }
        Modelport.Tensor t = a.tensor(key, a.dtype, shape.length, shape.length);
        if (!Arrays.equals(t.shape, shape)) {
            throw a.refuse("has \"" + key + "\" of shape " + Arrays.toString(t.shape) + "; " + Arrays.toString(shape) + " is needed.");
        }
        return t.doubles();
    }

    /** group_norm: over groups of neighbouring channels; scale and bias are per channel. */
    private static Modelport.Step groupNorm(Modelport.Args a) {
        final Modelport.Type x = ranked(a, a.rounded(), 1, MANY);
        final int c = x.dims[0], per = x.width / c;
        a.attribute("groups");
        final int groups = groups(a, c), w = x.width / groups;
        final double[] scale = a.optional("scale", a.dtype, c), bias = a.optional("bias", a.dtype, c);
        final double eps = finite(a, "eps", null);
        return new Modelport.Step(a, x) {
            @Override
            Object run(Modelport.Frame f) {
                double[] x = floats(f, 0), y = new double[f.rows * type.width];
                for (int o = 0; o < y.length; o += w) {
                    double m = mean(x, o, w, true), root = root(x, o, w, m, eps);
                    for (int k = o; k < o + w; k += per) {
                        int j = k / per % c;
                        affine(x, y, k, per, m, root, scale == null ? 1.0 : scale[j], bias == null ? 0.0 : bias[j]);
                    }
                }
                return rounded(y, dtype);
            }
        };
    }

    // ==== 6 Activations ==============================================================================================

    private static final double NONE = Double.NaN;

    /** The functions of activation and of recurrences, spelled as in the format, and the defaults of alpha and beta where they have them. */
    private enum Fn {
        elu(1, NONE), celu(1, NONE), selu, leaky_relu(0.01, NONE), gelu, gelu_tanh, quick_gelu(1.702, NONE), silu, hard_sigmoid(1.0 / 6.0, 0.5),
        hard_swish, softsign, mish, tanh_shrink, hard_shrink(0.5, NONE), soft_shrink(0.5, NONE), threshold(0, 0), squareplus(4, NONE),
        tanh, sigmoid, relu, linear, softplus; // these in recurrences only

        final double alpha;
        final double beta;

        Fn() {
            this(NONE, NONE);
        }

        Fn(double alpha, double beta) {
            this.alpha = alpha;
            this.beta = beta;
        }

        double of(double x, double a, double b) {
            if (x != x) {
                return x;
            }
            switch (this) {
                case elu: return x > 0 ? x : a * Math.expm1(x);
                case celu: return Math.max(x, 0) + Math.min(0, a * Math.expm1(x / a));
                case selu: return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x));
                case leaky_relu: return x >= 0 ? x : a * x;
                case gelu: return x / 2 * (1 + Modelport.Special.erf(x / Math.sqrt(2.0)));
                case gelu_tanh: return x / 2 * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))));
                case quick_gelu: return x * Modelport.Special.sigmoid(a * x);
                case silu: return x * Modelport.Special.sigmoid(x);
                case hard_sigmoid: return Math.min(1, Math.max(0, a * x + b));
                case hard_swish: return x * Math.min(1, Math.max(0, x / 6 + 0.5));
                case softsign: return x / (1 + Math.abs(x));
                case mish: return x * Math.tanh(softplus(x));
                case tanh_shrink: return x - Math.tanh(x);
                case hard_shrink: return Math.abs(x) > a ? x : 0.0;
                case soft_shrink: return x > a ? x - a : x < -a ? x + a : 0.0;
                case threshold: return x > a ? x : b;
                case squareplus: return (x + Math.sqrt(x * x + a)) / 2;
                case tanh: return Math.tanh(x);
                case sigmoid: return Modelport.Special.sigmoid(x);
                case relu: return x > 0 ? x : 0.0;
                case linear: return x;
                default: return softplus(x);
            }
        }

        double of(double x) {
            return of(x, alpha, beta);
        }

        private static double softplus(double x) {
            return Math.max(x, 0.0) + Math.log1p(Math.exp(-Math.abs(x)));
        }
    }

    private static final Fn[] ACTIVATIONS = Arrays.copyOf(Fn.values(), Fn.tanh.ordinal());
    private static final Fn[] RECURRENT = {Fn.tanh, Fn.sigmoid, Fn.relu, Fn.hard_sigmoid, Fn.linear, Fn.softsign, Fn.silu, Fn.elu, Fn.selu,
        Fn.softplus, Fn.gelu};

    /** activation: a function, element by element. */
    private static Modelport.Step activation(Modelport.Args a) {
        Modelport.Type x = a.rounded();
        final Fn fn = a.choice("fn", ACTIVATIONS);
        if (a.has("alpha") && fn.alpha != fn.alpha || a.has("beta") && fn.beta != fn.beta) {
            throw a.refuse("has \"alpha\" or \"beta\", which " + fn + " does not have.");
        }
        final double alpha = a.has("alpha") ? finite(a, "alpha", null) : fn.alpha, beta = a.has("beta") ? finite(a, "beta", null) : fn.beta;
        if (fn == Fn.celu && alpha == 0) {
            throw a.refuse("has \"alpha\" 0; celu divides by it.");
        }
        a.cost = (long) Modelport.COSTLY * x.width;
        return new Modelport.Step(a, x) {
            @Override
            Object run(Modelport.Frame f) {
                double[] x = floats(f, 0), y = new double[x.length];
                for (int k = 0; k < y.length; k++) {
                    y[k] = fn.of(x[k], alpha, beta);
                }
                return rounded(y, dtype);
            }
        };
    }

    /** prelu: x >= 0 ? x : slope * x. */
    private static Modelport.Step prelu(Modelport.Args a) {
        final Modelport.Type x = a.rounded();
        Modelport.Tensor t = a.tensor("slope", a.dtype, 0, a.guard.limits.rank);
        Modelport.Type shape = new Modelport.Type(a.dtype, t.shape);
        onto(a, shape, x);
        final double[] slope = t.doubles();
        final int[] places = shape.spread(x, a.guard);
        return new Modelport.Step(a, x) {
            @Override
            Object run(Modelport.Frame f) {
                double[] x = floats(f, 0), y = new double[x.length];
                for (int r = 0; r < y.length; r += type.width) {
                    for (int k = 0; k < type.width; k++) {
                        y[r + k] = x[r + k] >= 0 ? x[r + k] : slope[at(places, k)] * x[r + k];
                    }
                }
                return rounded(y, dtype);
            }
        };
    }

    // ==== 7 Recurrences ==============================================================================================

    /** lstm, gru and rnn: the state h (and c) of all rows of a block, time by time. */
    private static final class Recurrence {
        private final Modelport.Args a;
        private final String op;
        private final int t, i, u, gates, states;
        private final boolean masked, reverse, zeroMasked, resetAfter;
        private final Fn fn, gateFn;
        private final String result;
        private final double[] weight, recurrent, bias, recurrentBias;

        Recurrence(Modelport.Args a, int gates, int mostStates) {
            this.a = a;
            this.op = a.op;
            this.gates = gates;
            a.arity(1, 2 + mostStates);
            a.dtype = a.floating("dtype");
            Modelport.Type x = ranked(a, a.input(0, Modelport.FLOATS), 2, 2);
            t = x.dims[0];
            i = x.dims[1];
            int n = a.types.length;
            masked = n > 1 && a.types[n - 1].dtype == Modelport.DType.BOOL;
            states = n - 1 - (masked ? 1 : 0);
            Modelport.Tensor w = a.tensor("weight", a.dtype, 2, 2), v = a.tensor("recurrent", a.dtype, 2, 2);
            u = v.shape[1];
            if (u < 1 || u > a.guard.limits.rowElements || w.shape[0] != (long) gates * u || v.shape[0] != w.shape[0] || w.shape[1] != i) {
                throw a.refuse("has \"weight\" of shape " + Arrays.toString(w.shape) + " and \"recurrent\" of shape " + Arrays.toString(v.shape) + " for "
                    + x + "; " + gates + " u rows, " + i + " and u columns are needed.");
            }
            if (states != 0 && states != mostStates) {
                throw a.refuse("reads " + Arrays.toString(a.types) + "; the sequence, perhaps " + mostStates + " states, and perhaps a mask are needed.");
            }
            for (int k = 1; k <= states; k++) {
                if (a.input(k, Modelport.FLOATS).rank != 1 || a.types[k].width != u) {
                    throw a.refuse("reads the state " + a.types[k] + "; [" + u + "] is needed.");
                }
            }
            if (!masked && a.flag("zero_masked", false)) {
                throw a.refuse("has \"zero_masked\" without a mask.");
            }
            if (masked && (a.types[n - 1].rank != 1 || a.types[n - 1].width != t)) {
                throw a.refuse("reads the mask " + a.types[n - 1] + "; [" + t + "] is needed.");
            }
            weight = w.doubles();
            recurrent = v.doubles();
            boolean gru = op.equals("gru"), lstm = op.equals("lstm");
            bias = a.optional("bias", a.dtype, gates * u);
            recurrentBias = gru ? a.optional("recurrent_bias", a.dtype, gates * u) : null;
            resetAfter = gru && a.flag("reset_after", false);
            fn = a.has("fn") ? a.choice("fn", RECURRENT) : Fn.tanh;
            gateFn = gates > 1 && a.has("gate_fn") ? a.choice("gate_fn", RECURRENT) : Fn.sigmoid;
            reverse = a.flag("reverse", false);
            zeroMasked = a.flag("zero_masked", false);
            result = lstm ? a.choice("result", true, "sequence", "last", "cell") : a.choice("result", true, "sequence", "last");
            a.cost = times(t, weight.length + (long) recurrent.length + 3L * Modelport.COSTLY * gates * u);
        }

        Modelport.Step step() {
            final boolean sequence = result.equals("sequence");
            Modelport.Type type = sequence ? shaped(a, a.dtype, t, u) : shaped(a, a.dtype, u);
            return new Running(a, type, this, sequence);
        }
    }

    private static final class Running extends Modelport.Step {
        private final Recurrence q;
        private final boolean sequence, cell;
        private final int t, u, wide;

        Running(Modelport.Args a, Modelport.Type type, Recurrence q, boolean sequence) {
            super(a, type);
            this.q = q;
            this.sequence = sequence;
            this.cell = q.result.equals("cell");
            this.t = q.t;
            this.u = q.u;
            this.wide = q.gates * q.u;
        }

        @Override
        Object run(Modelport.Frame f) {
            double[] x = floats(f, 0), y = new double[sequence ? f.rows * type.width : 0], z = new double[f.rows * wide];
            double[] h = q.states > 0 ? floats(f, 1).clone() : new double[f.rows * u];
            double[] c = q.states > 1 ? floats(f, 2).clone() : new double[q.op.equals("lstm") ? f.rows * u : 0];
            double[] more = new double[q.op.equals("gru") ? f.rows * wide : 0];
            long[] mask = q.masked ? (long[]) f.values[in[in.length - 1]] : null;
            for (int s = 0; s < t; s++) {
                int time = q.reverse ? t - 1 - s : s;
                start(z, q.bias);
                multiply(x, time * q.i, t * q.i, f.rows, q.weight, 0, q.i, wide, q.i, z, 0, wide);
                if (more.length > 0) {
                    gru(f.rows, z, h, more, mask, time);
                } else {
                    multiply(h, 0, u, f.rows, q.recurrent, 0, u, wide, u, z, 0, wide);
                    for (int r = 0; r < f.rows; r++) {
                        if (mask == null || mask[r * t + time] != 0) {
                            advance(z, r * wide, h, c, r * u);
                        }
                    }
                }
                for (int r = 0; sequence && r < f.rows; r++) {
                    if (!q.zeroMasked || mask == null || mask[r * t + time] != 0) {
                        System.arraycopy(h, r * u, y, (r * t + time) * u, u);
                    }
                }
            }
            return sequence ? y : cell ? c : h;
        }

        /** Fills the sums of every row with the bias, or with zeros. */
        private void start(double[] z, double[] bias) {
            for (int o = 0; o < z.length; o += wide) {
                if (bias == null) {
                    Arrays.fill(z, o, o + wide, 0.0);
                } else {
                    System.arraycopy(bias, 0, z, o, wide);
                }
            }
        }

        /** One row of lstm or rnn: the sums z[i..] become h[o..] (and c[o..]). */
        private void advance(double[] z, int i, double[] h, double[] c, int o) {
            for (int k = 0; k < u; k++, i++, o++) {
                if (c.length == 0) {
                    h[o] = round(q.fn.of(z[i]));
                    continue;
                }
                double next = q.gateFn.of(z[i + u]) * c[o] + q.gateFn.of(z[i]) * q.fn.of(z[i + 2 * u]);
                h[o] = round(q.gateFn.of(z[i + 3 * u]) * q.fn.of(next));
                c[o] = round(next);
            }
        }

        /** All rows of gru: z holds weight x + bias; `more` gets what comes from h. */
        private void gru(int rows, double[] z, double[] h, double[] more, long[] mask, int time) {
            start(more, q.recurrentBias);
            multiply(h, 0, u, rows, q.recurrent, 0, u, q.resetAfter ? wide : 2 * u, u, more, 0, wide);
            if (!q.resetAfter) {
                double[] reset = new double[rows * u];
                for (int k = 0; k < reset.length; k++) {
                    int i = k / u * wide + u + k % u;
                    reset[k] = q.gateFn.of(z[i] + more[i]) * h[k];
                }
                multiply(reset, 0, u, rows, q.recurrent, 2 * u * u, u, u, u, more, 2 * u, wide);
            }
            for (int k = 0; k < rows * u; k++) {
                int i = k / u * wide + k % u;
                if (mask == null || mask[k / u * t + time] != 0) {
                    double update = q.gateFn.of(z[i] + more[i]), reset = q.resetAfter ? q.gateFn.of(z[i + u] + more[i + u]) : 1.0;
                    h[k] = round((1 - update) * q.fn.of(z[i + 2 * u] + reset * more[i + 2 * u]) + update * h[k]);
                }
            }
        }
    }

    // ==== 8 Attention ================================================================================================

    /** attention: values weighted by the softmax of how queries and keys agree. */
    private static Modelport.Step attention(Modelport.Args a) {
        a.arity(3, 4);
        a.dtype = a.floating("dtype");
        for (int k = 0; k < 3; k++) {
            ranked(a, a.input(k, Modelport.FLOATS), 2, MANY);
        }
        final Modelport.Type q = a.types[0], k = a.types[1], v = a.types[2];
        final int m = q.dims[q.rank - 2], d = q.last, n = k.dims[k.rank - 2], e = v.last;
        if (k.last != d || v.dims[v.rank - 2] != n) {
            throw a.refuse("reads " + Arrays.toString(a.types) + "; [.., m, d], [.., n, d] and [.., n, e] are needed.");
        }
        final double scale = finite(a, "scale", 1 / Math.sqrt(d));
        final boolean causal = a.flag("causal", false);
        int[] wide = broadcast(a, broadcast(a, front(q), front(k)), front(v));
        Modelport.Type type = shaped(a, a.dtype, joined(wide, new int[] {m, e}));
        Modelport.Type scores = new Modelport.Type(a.dtype, toInts(joined(wide, new int[] {m, n})));
        final int[] i = spread(a, q, wide), j = spread(a, k, wide), l = spread(a, v, wide);
        int lanes = new Modelport.Type(a.dtype, wide).width;
        a.cost = times(lanes, m, n, (long) d + e + Modelport.COSTLY);
        final Modelport.Type bias = a.types.length == 4 ? a.input(3, Modelport.FLOATS) : null;
        final int[][] places = new int[2][]; // of bias: for every matrix where it begins, within a matrix where its elements are
        if (bias != null) {
            onto(a, bias, scores);
            int[][] offsets = new int[scores.rank][];
            for (int axis = 0; axis < scores.rank; axis++) {
                offsets[axis] = bias.along(axis - scores.rank + bias.rank, scores.dims[axis]);
            }
            places[0] = Modelport.places(a.guard, Arrays.copyOf(offsets, wide.length));
            places[1] = offsets[wide.length];
        }
        final int columns = bias == null || bias.rank == 0 || bias.last == 1 ? 0 : 1, block = Math.max(1, Math.min(m, Math.min(64, (1 << 16) / n)));
        return new Modelport.Step(a, type) {
            @Override
            Object run(Modelport.Frame f) {
                double[] x = floats(f, 0), y = floats(f, 1), z = floats(f, 2), b = bias == null ? null : floats(f, 3);
                double[] out = new double[f.rows * type.width], s = new double[block * n];
                for (int r = 0; r < f.rows; r++) {
                    for (int p = 0; p < type.width / (m * e); p++) {
                        int values = r * v.width + at(l, p) * n * e, keys = r * k.width + at(j, p) * n * d;
                        for (int first = 0; first < m; first += block) {
                            int h = Math.min(block, m - first);
                            Arrays.fill(s, 0.0);
                            multiply(x, r * q.width + (at(i, p) * m + first) * d, d, h, y, keys, d, n, d, s, 0, n);
                            for (int row = 0; row < h; row++) {
                                int at = b == null ? 0 : r * bias.width + places[0][p] + places[1][first + row];
                                weights(s, row * n, causal ? Math.min(n, first + row + 1) : n, b, at);
                            }
                            sum(s, h, first, z, values, out, r * type.width + (p * m + first) * e);
                        }
                    }
                }
                return rounded(out, dtype);
            }

            /** Adds the values, weighted: without those that do not count, whatever they hold. */
            private void sum(double[] s, int h, int first, double[] z, int values, double[] out, int o) {
                boolean all = true;
                for (int c = values; causal && all && c < values + n * e; c++) all = Math.abs(z[c]) <= Double.MAX_VALUE;
                if (all) {
                    for (int row = 0; causal && row < h; row++) Arrays.fill(s, row * n + Math.min(n, first + row + 1), (row + 1) * n, 0.0);
                    multiplyMatrices(s, 0, h, n, z, values, e, out, o);
                    return;
                }
                for (int row = 0; row < h; row++) {
                    for (int key = 0; key < Math.min(n, first + row + 1); key++) {
                        double w = s[row * n + key];
                        for (int c = 0; c < e; c++) out[o + row * e + c] += w * z[values + key * e + c];
                    }
                }
            }

            /** The softmax of the first `count` scores of a row, scaled and with the bias at b[at..]. */
            private void weights(double[] s, int i, int count, double[] b, int at) {
                double max = Double.NEGATIVE_INFINITY, sum = 0.0;
                for (int k = 0; k < count; k++) {
                    s[i + k] = b == null ? scale * s[i + k] : scale * s[i + k] + b[at + k * columns];
                    max = Math.max(max, s[i + k]);
                }
                for (int k = 0; k < count; k++) {
                    s[i + k] = Math.exp(s[i + k] - max);
                    sum += s[i + k];
                }
                for (int k = 0; k < count; k++) s[i + k] /= sum;
            }
        };
    }

    private static int[] toInts(long[] values) {
        int[] ints = new int[values.length];
        for (int k = 0; k < ints.length; k++) {
            ints[k] = (int) values[k];
        }
        return ints;
    }

    /** cumsum: running sums along an axis. */
    private static Modelport.Step cumsum(Modelport.Args a) {
        a.dtype = a.floating("dtype");
        final Modelport.Type x = ranked(a, a.one(Modelport.DType.F64, Modelport.DType.F32, Modelport.DType.I64), 1, MANY);
        final int axis = a.integer("axis", 0, x.rank - 1), n = x.dims[axis], behind = x.size(axis + 1, x.rank);
        final boolean exclusive = a.flag("exclusive", false), reverse = a.flag("reverse", false), whole = x.dtype == Modelport.DType.I64;
        return new Modelport.Step(a, whole ? x : x.with(a.dtype)) {
            @Override
            Object run(Modelport.Frame f) {
                Object x = whole ? f.values[in[0]] : floats(f, 0), out = type.dtype.allocate(f.rows * type.width);
                for (int lane = 0; lane < f.rows * type.width / n; lane++) {
                    int first = lane / behind * n * behind + lane % behind;
                    double sum = 0.0;
                    long count = 0;
                    for (int s = 0; s < n; s++) {
                        int k = first + (reverse ? n - 1 - s : s) * behind;
                        double before = sum;
                        long counted = count;
                        if (whole) {
                            count += ((long[]) x)[k];
                            ((long[]) out)[k] = exclusive ? counted : count;
                        } else {
                            sum += ((double[]) x)[k];
                            ((double[]) out)[k] = round(exclusive ? before : sum);
                        }
                    }
                }
                return out;
            }
        };
    }
}
