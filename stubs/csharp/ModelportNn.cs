// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Ops of the profile nn, neural networks (docs/format.md, section 6.3), for Modelport.cs, and a faster linear: put it beside that file and
// hand them to it.
//
//     var model = Model.Load(bytes, ModelportNn.Ops);
//     model.Predict(Tensor.Of(pixels).Shaped(1, 3, 32, 32))["scores"].Matrix();
//
// Sections: 1 Shapes, 2 Resize, 3 Products, 4 Pooling, 5 Norms, 6 Activations, 7 Recurrences, 8 Attention. As in Modelport.cs, an op checks
// its attributes and the types of what it reads, and returns a step. Lengths are static here: named ones are known when a step is checked.

using System;

namespace Modelport {
using static Core;

/// <summary>Ops of neural networks: see Ops.</summary>
public static class ModelportNn {
    /// <summary>The table of ops of the profile nn, in the order of docs/format.md, and a faster linear.</summary>
    public static readonly OpTable Ops = new OpTable(Check, "reshape", "transpose", "slice", "expand", "positions", "gather", "embedding", "pad",
        "resize", "matmul", "conv", "conv_transpose", "pool", "batch_norm", "layer_norm", "group_norm", "activation", "prelu", "lstm", "gru", "rnn",
        "attention", "cumsum", "linear");

    private static Step Check(Args a) {
        a.Deep();
        if (a.op == "linear") {
            return Linear(a);
        }
        foreach (RowType t in a.types) {
            if (t.width == 0) {
                throw a.Refuse("reads " + t + "; all lengths are at least 1.");
            }
        }
        switch (a.op) {
            case "reshape": return Reshape(a);
            case "transpose": return Transpose(a);
            case "slice": return Slice(a);
            case "expand": return Expand(a);
            case "positions": return Positions(a);
            case "gather": return Gather(a);
            case "embedding": return Embedding(a);
            case "pad": return Pad(a);
            case "resize": return new Resize(a, a.Rounded());
            case "matmul": return Matmul(a);
            case "conv": return Convolution(a);
            case "conv_transpose": return ConvTranspose(a);
            case "pool": return Pool(a);
            case "batch_norm": return BatchNorm(a);
            case "layer_norm": return LayerNorm(a);
            case "group_norm": return GroupNorm(a);
            case "activation": return Activation(a);
            case "prelu": return Prelu(a);
            case "lstm": return new Recurrence(a, 4, 2).Build();
            case "gru": return new Recurrence(a, 3, 1).Build();
            case "rnn": return new Recurrence(a, 1, 1).Build();
            case "attention": return Attention(a);
            case "cumsum": return Cumsum(a);
            default: throw new InvalidOperationException(a.op);
        }
    }

    /// <summary>A product of counts; as good as infinite when it overflows.</summary>
    private static long Times(params long[] factors) {
        long product = 1;
        foreach (long factor in factors) {
            product = factor != 0 && product > long.MaxValue / factor ? long.MaxValue : product * factor;
        }
        return product;
    }

    private static long[] Longs(int[] values) {
        long[] longs = new long[values.Length];
        for (int k = 0; k < values.Length; k++) {
            longs[k] = values[k];
        }
        return longs;
    }

    /// <summary>The lengths of axes a.., b.., c.. one after the other.</summary>
    private static long[] Joined(params int[][] parts) {
        int n = 0;
        foreach (int[] part in parts) {
            n += part.Length;
        }
        long[] joined = new long[n];
        n = 0;
        foreach (int[] part in parts) {
            foreach (int length in part) {
                joined[n++] = length;
            }
        }
        return joined;
    }

    /// <summary>The row shape of a value, every length at least 1.</summary>
    private static RowType Shaped(Args a, DType dtype, params long[] lengths) {
        foreach (long length in lengths) {
            if (length < 1) {
                throw a.Refuse("gives " + dtype + Show(lengths) + "; all lengths are at least 1.");
            }
        }
        return a.Shaped(dtype, lengths);
    }

    /// <summary>An attribute that is a finite number; required when there is no default.</summary>
    private static double Finite(Args a, string key, double? otherwise) {
        if (otherwise == null) {
            a.Attribute(key);
        }
        double value = a.Number(key, otherwise ?? 0.0);
        if (!(Math.Abs(value) <= double.MaxValue)) {
            throw a.Refuse("has \"" + key + "\" " + value + "; it is finite.");
        }
        return value;
    }

    /// <summary>Refuses a value whose rank is below the lowest.</summary>
    private static RowType Ranked(Args a, RowType t, int lowest, int highest) {
        if (t.rank < lowest || t.rank > highest) {
            throw a.Refuse("reads " + t + "; rank " + lowest + (highest == lowest ? "" : highest < 100 ? " to " + highest : " or more") + " is needed.");
        }
        return t;
    }

    private const int MANY = 1000;

    // ==== 1 Shapes ===================================================================================================

    /// <summary>Moves elements: element k of a row of the value is element places[k] of the row read, or the fill where that is -1.</summary>
    private sealed class Picks : Step {
        private readonly int[] places;
        private readonly int[] runs; // where stretches of neighbours begin, if they are long enough to be copied at once; or null
        private readonly Array fill; // an array of one element; or null

        internal Picks(Args a, RowType type, int[] places, Array fill) : base(a, type) {
            this.places = places;
            this.fill = fill;
            int n = 0;
            for (int k = 0; k < places.Length; k++) {
                n += Begins(k) ? 1 : 0;
            }
            runs = 4L * n > places.Length ? null : new int[n + 1];
            n = 0;
            for (int k = 0; runs != null && k < places.Length; k++) {
                if (Begins(k)) {
                    runs[n++] = k;
                }
            }
            if (runs != null) {
                a.guard.Take(4L * runs.Length);
                runs[n] = places.Length;
            }
        }

        private bool Begins(int k) {
            return k == 0 || places[k] != (places[k - 1] < 0 ? -1 : places[k - 1] + 1);
        }

        internal override Array Run(Frame f) {
            Array x = f.values[inputs[0]], output = type.dtype.Allocate(f.rows * type.width);
            if (fill is double[]) {
                Fill((double[]) output, ((double[]) fill)[0]);
            } else if (fill != null) {
                Fill((long[]) output, ((long[]) fill)[0]);
            }
            for (int r = 0; r < f.rows; r++) {
                Row(x, r * from[0].width, output, r * type.width);
            }
            return output;
        }

        private void Row(Array x, int i, Array output, int o) {
            if (runs != null) {
                for (int k = 0; k + 1 < runs.Length; k++) {
                    if (places[runs[k]] >= 0) {
                        Array.Copy(x, i + places[runs[k]], output, o + runs[k], runs[k + 1] - runs[k]);
                    }
                }
            } else if (x is double[]) {
                double[] y = (double[]) output, v = (double[]) x;
                for (int k = 0; k < places.Length; k++) {
                    if (places[k] >= 0) y[o + k] = v[i + places[k]];
                }
            } else if (x is long[]) {
                long[] y = (long[]) output, v = (long[]) x;
                for (int k = 0; k < places.Length; k++) {
                    if (places[k] >= 0) y[o + k] = v[i + places[k]];
                }
            } else {
                string[] y = (string[]) output, v = (string[]) x;
                for (int k = 0; k < places.Length; k++) {
                    if (places[k] >= 0) y[o + k] = v[i + places[k]];
                }
            }
        }
    }

    /// <summary>The lengths that "shape" gives, those of `like` where "copy" names one of its axes; -1 stays where it is allowed.</summary>
    private static long[] Lengths(Args a, RowType like, bool rest) {
        int[] shape = a.Ints("shape", -1, rest ? -1 : 0, int.MaxValue), copy = null;
        if (a.Has("copy")) {
            if (like == null) {
                throw a.Refuse("has \"copy\" without a second value.");
            }
            copy = a.Ints("copy", shape.Length, -1, like.rank - 1);
        }
        if (shape.Length > a.guard.limits.Rank) {
            throw a.Refuse("has a \"shape\" of rank " + shape.Length + ", more than the limit of " + a.guard.limits.Rank + ".");
        }
        long[] lengths = Longs(shape);
        for (int k = 0; k < shape.Length; k++) {
            bool copied = copy != null && copy[k] >= 0;
            if (copied != (shape[k] == 0)) {
                throw a.Refuse("has the length " + shape[k] + " in \"shape\" at position " + k + "; it is 0 exactly where \"copy\" names an axis.");
            }
            lengths[k] = copied ? like.dims[copy[k]] : shape[k];
        }
        return lengths;
    }

    /// <summary>reshape: the same elements in row-major order.</summary>
    private static Step Reshape(Args a) {
        RowType x = a.One(ANY);
        long[] lengths = Lengths(a, x, true);
        int open = -1;
        long known = 1;
        for (int k = 0; k < lengths.Length; k++) {
            if (lengths[k] < 0 && open >= 0) {
                throw a.Refuse("has -1 twice in \"shape\".");
            }
            open = lengths[k] < 0 ? k : open;
            known = lengths[k] < 0 ? known : Times(known, lengths[k]);
        }
        if (open >= 0) {
            lengths[open] = x.width / known;
        }
        if (open >= 0 ? x.width % known != 0 : x.width != known) {
            throw a.Refuse("cannot give the elements of " + x + " the shape " + Show(lengths) + ".");
        }
        return new ReshapeStep(a, Shaped(a, x.dtype, lengths));
    }

    private sealed class ReshapeStep : Step {
        internal ReshapeStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            return f.values[inputs[0]];
        }
    }

    /// <summary>transpose: axis i of the result is axis perm[i] of the input.</summary>
    private static Step Transpose(Args a) {
        RowType x = a.One(ANY);
        int[] perm = a.Ints("perm", x.rank, 0, x.rank - 1);
        long[] lengths = new long[x.rank];
        int[][] offsets = new int[x.rank][];
        bool[] seen = new bool[x.rank];
        for (int k = 0; k < perm.Length; k++) {
            if (seen[perm[k]]) {
                throw a.Refuse("has the axis " + perm[k] + " twice in \"perm\".");
            }
            seen[perm[k]] = true;
            lengths[k] = x.dims[perm[k]];
            offsets[k] = x.Along(perm[k], x.dims[perm[k]]);
        }
        return new Picks(a, Shaped(a, x.dtype, lengths), Places(a.guard, offsets), null);
    }

    /// <summary>The axes that an attribute names, all different and within the rank.</summary>
    private static int[] Axes(Args a, RowType x) {
        int[] axes = a.Ints("axes", -1, 0, x.rank - 1);
        bool[] seen = new bool[x.rank];
        foreach (int axis in axes) {
            if (seen[axis]) {
                throw a.Refuse("has the axis " + axis + " twice in \"axes\".");
            }
            seen[axis] = true;
        }
        return axes;
    }

    /// <summary>slice: start, start + step, .. before stop, along some axes.</summary>
    private static Step Slice(Args a) {
        RowType x = Ranked(a, a.One(ANY), 1, MANY);
        int[] axes = Axes(a, x);
        long[] starts = a.Integers("starts", 1).Longs(), stops = a.Integers("stops", 1).Longs();
        long[] steps = a.Has("steps") ? a.Integers("steps", 1).Longs() : null;
        a.Expect("starts", starts.Length, axes.Length);
        a.Expect("stops", stops.Length, axes.Length);
        a.Expect("steps", steps == null ? axes.Length : steps.Length, axes.Length);
        long[] lengths = Longs(x.dims);
        int[][] offsets = new int[x.rank][];
        for (int axis = 0; axis < x.rank; axis++) {
            offsets[axis] = x.Along(axis, x.dims[axis]);
        }
        for (int k = 0; k < axes.Length; k++) {
            int n = x.dims[axes[k]];
            long step = steps == null ? 1 : Math.Max(-int.MaxValue, Math.Min(steps[k], int.MaxValue));
            long start = End(starts[k], n, step), stop = End(stops[k], n, step);
            long count = step > 0 ? (stop - start + step - 1) / step : step < 0 ? (start - stop - step - 1) / -step : 0;
            if (step == 0 || (step > 0 ? start >= stop : start <= stop)) {
                throw a.Refuse("takes nothing of the axis " + axes[k] + " of " + x + ": from " + starts[k] + " to " + stops[k] + " in steps of " + step + ".");
            }
            int[] all = offsets[axes[k]];
            offsets[axes[k]] = new int[(int) count];
            for (int j = 0; j < count; j++) {
                offsets[axes[k]][j] = all[(int) (start + j * step)];
            }
            lengths[axes[k]] = count;
        }
        return new Picks(a, Shaped(a, x.dtype, lengths), Places(a.guard, offsets), null);
    }

    /// <summary>A start or stop of a slice, counted from the end when negative, within the axis.</summary>
    private static long End(long given, int n, long step) {
        long at = given < 0 ? given + n : given;
        return step > 0 ? Math.Max(0, Math.Min(at, n)) : Math.Max(-1, Math.Min(at, n - 1));
    }

    /// <summary>expand: broadcasts to given lengths.</summary>
    private static Step Expand(Args a) {
        a.Arity(1, 2);
        RowType x = a.types[0];
        long[] lengths = Lengths(a, a.types.Length == 2 ? a.types[1] : null, false);
        RowType wide = Shaped(a, x.dtype, lengths);
        Onto(a, x, wide);
        int[] places = x.Spread(wide, a.guard);
        return places != null ? (Step) new Picks(a, wide, places, null) : new ExpandStep(a, wide);
    }

    private sealed class ExpandStep : Step {
        internal ExpandStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            return f.values[inputs[0]];
        }
    }

    /// <summary>Refuses a shape that does not broadcast to another one as it is.</summary>
    private static void Onto(Args a, RowType x, RowType wide) {
        bool good = x.rank <= wide.rank;
        for (int k = 0; good && k < x.rank; k++) {
            good = x.dims[k] == 1 || x.dims[k] == wide.dims[k + wide.rank - x.rank];
        }
        if (!good) {
            throw a.Refuse("cannot broadcast " + Show(x.dims) + " to " + Show(wide.dims) + ".");
        }
    }

    /// <summary>positions: 0, 1, 2, .. along an axis.</summary>
    private static Step Positions(Args a) {
        RowType x = Ranked(a, a.One(ANY), 1, MANY);
        return new PositionsStep(a, Shaped(a, DType.I64, x.dims[a.Integer("axis", 0, x.rank - 1)]));
    }

    private sealed class PositionsStep : Step {
        internal PositionsStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            long[] output = new long[f.rows * type.width];
            for (int k = 0; k < output.Length; k++) {
                output[k] = k % type.width;
            }
            return output;
        }
    }

    /// <summary>gather: elements by index along an axis; an index below 0 counts from the end.</summary>
    private static Step Gather(Args a) {
        a.Arity(2, 2);
        RowType x = Ranked(a, a.types[0], 1, MANY), index = a.Input(1, INTEGERS);
        int axis = a.Integer("axis", 0, x.rank - 1), n = x.dims[axis], before = x.Size(0, axis), behind = x.Size(axis + 1, x.rank);
        long[] lengths = Joined(Resized(x.dims, axis), index.dims, Range(x.dims, axis + 1, x.rank));
        return new GatherStep(a, Shaped(a, x.dtype, lengths)) { x = x, index = index, n = n, before = before, behind = behind };
    }

    private sealed class GatherStep : Step {
        internal RowType x, index;
        internal int n, before, behind;
        internal GatherStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            Array output = type.dtype.Allocate(f.rows * type.width);
            long[] given = (long[]) f.values[inputs[1]];
            int[] at = new int[index.width];
            for (int r = 0, o = 0; r < f.rows; r++) {
                for (int k = 0; k < at.Length; k++) {
                    long place = given[r * at.Length + k];
                    if (place < -n || place >= n) {
                        throw Refuse(f, r, "the index " + place + " lies outside the axis of length " + n + ".");
                    }
                    at[k] = (int) (place < 0 ? place + n : place);
                }
                for (int b = 0; b < before; b++) {
                    for (int k = 0; k < at.Length; k++, o += behind) {
                        Array.Copy(f.values[inputs[0]], r * x.width + (b * n + at[k]) * behind, output, o, behind);
                    }
                }
            }
            return output;
        }
    }

    /// <summary>embedding: rows of the weight by index.</summary>
    private static Step Embedding(Args a) {
        a.dtype = a.Floating("dtype");
        RowType x = a.One(INTEGERS);
        Tensor table = a.Values("weight", a.dtype, 2, 2);
        int m = table.shape[0], w = table.shape[1];
        double[] weight = table.Doubles();
        if (m == 0) {
            throw a.Refuse("has a \"weight\" without rows.");
        }
        return new EmbeddingStep(a, Shaped(a, a.dtype, Joined(x.dims, new int[] {w}))) { x = x, m = m, w = w, weight = weight };
    }

    private sealed class EmbeddingStep : Step {
        internal RowType x;
        internal int m, w;
        internal double[] weight;
        internal EmbeddingStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            long[] index = (long[]) f.values[inputs[0]];
            double[] y = new double[f.rows * type.width];
            for (int k = 0; k < f.rows * x.width; k++) {
                if (index[k] < 0 || index[k] >= m) {
                    throw Refuse(f, k / x.width, "the index " + index[k] + " lies outside the weight of " + m + " rows.");
                }
                Array.Copy(weight, (int) index[k] * w, y, k * w, w);
            }
            return y;
        }
    }

    /// <summary>pad: elements before and behind every axis.</summary>
    private static Step Pad(Args a) {
        RowType x = a.One(Resized(ANY, ANY.Length - 1));
        int[] before = a.Ints("before", x.rank, 0, int.MaxValue), after = a.Ints("after", x.rank, 0, int.MaxValue);
        string mode = a.Choice("mode", true, "constant", "reflect", "edge", "wrap");
        bool constant = mode == "constant";
        if (a.Has("value") && !constant) {
            throw a.Refuse("has a \"value\" beside the mode " + Quote(mode) + ", which puts in none.");
        }
        double value = Finite(a, "value", 0.0);
        long[] lengths = new long[x.rank];
        for (int k = 0; k < x.rank; k++) {
            int most = mode == "reflect" ? x.dims[k] - 1 : mode == "wrap" ? x.dims[k] : int.MaxValue;
            if (Math.Max(before[k], after[k]) > most) {
                throw a.Refuse("pads the axis " + k + " of " + x + " by more than " + most + ", the most in mode " + Quote(mode) + ".");
            }
            lengths[k] = (long) before[k] + x.dims[k] + after[k];
        }
        RowType wide = Shaped(a, x.dtype, lengths);
        int[][] offsets = new int[x.rank][];
        for (int k = 0; k < x.rank; k++) {
            offsets[k] = new int[wide.dims[k]];
            int n = x.dims[k], stride = x.Size(k + 1, x.rank);
            for (int j = 0; j < wide.dims[k]; j++) {
                int at = j - before[k];
                bool inside = at >= 0 && at < n;
                at = inside || constant ? at : mode == "edge" ? Math.Max(0, Math.Min(at, n - 1)) : mode == "wrap" ? (at + n) % n
                    : at < 0 ? -at : 2 * (n - 1) - at;
                offsets[k][j] = constant && !inside ? -1 : at * stride;
            }
        }
        return new Picks(a, wide, Places(a.guard, offsets), constant ? Filling(a, x.dtype, value) : null);
    }

    /// <summary>One element of a dtype, cast from a number.</summary>
    private static Array Filling(Args a, DType dtype, double value) {
        if (dtype.IsFloat) {
            return new double[] {Rounded(value, dtype)};
        }
        if (dtype == DType.Bool) {
            return new long[] {value != 0 ? 1 : 0};
        }
        double whole = value < 0 ? Math.Ceiling(value) : Math.Floor(value);
        if (!(whole >= dtype.Min && whole < (dtype == DType.I64 ? 9223372036854775808.0 : dtype.Max + 1.0))) {
            throw a.Refuse("has \"value\" " + value + ", which does not fit the dtype " + dtype + ".");
        }
        return new long[] {(long) whole};
    }

    // ==== 2 Resize ===================================================================================================

    /// <summary>resize: along some axes, one after the other; a result is a weighted sum of one, two or four elements.</summary>
    private sealed class Resize : Step {
        private readonly Along[] along;

        internal Resize(Args a, RowType x) : this(a, x, new Sizes(a, x)) {
        }

        private Resize(Args a, RowType x, Sizes sizes) : base(a, sizes.last) {
            along = sizes.along;
        }

        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[f.rows * type.width];
            for (int r = 0; r < f.rows; r++) { // row by row: what lies between two axes may be larger than the result
                double[] row = Range(x, r * from[0].width, (r + 1) * from[0].width);
                foreach (Along axis in along) {
                    row = Rounded(axis.Run(row), dtype);
                }
                Array.Copy(row, 0, y, r * type.width, type.width);
            }
            return y;
        }
    }

    /// <summary>The axes of a resize.</summary>
    private sealed class Sizes {
        internal readonly Along[] along;
        internal readonly RowType last;

        internal Sizes(Args a, RowType x) {
            RowType type = Ranked(a, x, 1, MANY);
            int[] axes = Axes(a, x);
            if (axes.Length == 0 || a.Has("sizes") == a.Has("scales")) {
                throw a.Refuse("has no axes, or both or none of \"sizes\" and \"scales\".");
            }
            int[] sizes = a.Has("sizes") ? a.Ints("sizes", axes.Length, 1, int.MaxValue) : null;
            double[] scales = sizes == null ? a.Floats("scales", DType.F64, axes.Length) : null;
            string fn = a.Choice("fn", false, "nearest", "linear", "cubic");
            string at = a.Choice("at", false, "half_pixel", "align_corners", "asymmetric");
            bool nearest = fn == "nearest", cubic = fn == "cubic";
            if (a.Has("round") && !nearest || a.Has("cubic") && !cubic) {
                throw a.Refuse("has \"round\" or \"cubic\", which \"" + fn + "\" does not use.");
            }
            string round = nearest ? a.Choice("round", true, "half_down", "floor", "ceil", "half_up") : "";
            double shape = Finite(a, "cubic", -0.75);
            along = new Along[axes.Length];
            for (int k = 0; k < axes.Length; k++) {
                int n = type.dims[axes[k]];
                if (scales != null && !(scales[k] > 0 && scales[k] <= double.MaxValue)) {
                    throw a.Refuse("has the scale " + scales[k] + "; it is positive and finite.");
                }
                double m = sizes != null ? sizes[k] : Math.Floor(n * scales[k]);
                long[] lengths = Longs(type.dims);
                lengths[axes[k]] = (long) Math.Min(m, int.MaxValue);
                int behind = type.Size(axes[k] + 1, type.rank);
                type = Shaped(a, x.dtype, lengths);
                a.work = Math.Min(a.work + 4L * type.width, long.MaxValue / 2);
                int taps = nearest ? 1 : cubic ? 4 : 2;
                along[k] = new Along(n, (int) m, behind, taps, scales == null ? m / n : scales[k], at, round, shape);
            }
            last = type;
        }
    }

    /// <summary>One axis of a resize: which elements a result is made of, and how much of each.</summary>
    private sealed class Along {
        private const int PLACED = 128; // elements whose taps are found at a time, so that they take no memory
        private readonly int n, m, behind, taps;
        private readonly double f, shape;
        private readonly string at, round;

        internal Along(int n, int m, int behind, int taps, double f, string at, string round, double shape) {
            this.n = n;
            this.m = m;
            this.behind = behind;
            this.taps = taps;
            this.f = f;
            this.at = at;
            this.round = round;
            this.shape = shape;
        }

        private void Fill(int first, int count, int[] place, double[] share) {
            for (int j = 0; j < count; j++) {
                int o = first + j;
                double u = at == "half_pixel" ? (o + 0.5) / f - 0.5 : at == "asymmetric" ? o / f
                    : m == 1 ? 0.0 : (double) o * (n - 1) / (m - 1);
                if (taps == 1) {
                    place[j] = Within(round == "floor" ? Math.Floor(u) : round == "ceil" ? Math.Ceiling(u)
                        : round == "half_down" ? Math.Ceiling(u - 0.5) : Math.Floor(u + 0.5));
                    continue;
                }
                u = taps == 2 ? Math.Max(0.0, Math.Min(u, n - 1.0)) : u;
                double g = Math.Floor(u), w = u - g;
                for (int q = 0; q < taps; q++) {
                    int step = taps == 2 ? q : q - 1;
                    place[j * taps + q] = Within(g + step);
                    share[j * taps + q] = taps == 4 ? Cubic(Math.Abs(w - step), shape) : q == 0 ? 1 - w : w;
                }
            }
        }

        private int Within(double index) {
            return (int) Math.Max(0.0, Math.Min(index, n - 1.0));
        }

        private static double Cubic(double z, double a) {
            return z <= 1 ? ((a + 2) * z - (a + 3)) * z * z + 1 : z < 2 ? ((a * z - 5 * a) * z + 8 * a) * z - 4 * a : 0.0;
        }

        internal double[] Run(double[] x) {
            int before = x.Length / n / behind, most = Math.Min(m, PLACED);
            double[] y = new double[before * m * behind], share = new double[most * taps];
            int[] place = new int[most * taps];
            for (int first = 0; first < m; first += PLACED) {
                int count = Math.Min(PLACED, m - first);
                Fill(first, count, place, share);
                for (int b = 0; b < before; b++) {
                    for (int j = 0; j < count; j++) {
                        int to = (b * m + first + j) * behind;
                        for (int q = j * taps; q < (j + 1) * taps; q++) {
                            int i = (b * n + place[q]) * behind;
                            double s = share[q];
                            if (taps == 1) {
                                Array.Copy(x, i, y, to, behind);
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

    /// <summary>A product of matrices in panels: sums[i][j] = sum over p of a[i][p] * b[p][j] in ascending p, in f64. The rows of b are written, four at a
    /// time, to arrays of their own, where the virtual machine can compute several columns at once; two rows of sums share them.</summary>
    private abstract class Panels {
        private const int WIDTH = 256, HEIGHT = 64, DEPTH = 4;

        /// <summary>Writes b[p][j..j + n).</summary>
        internal abstract void Fill(int p, int j, int n, double[] to);

        /// <summary>Takes the sums [i][j..j + n).</summary>
        internal abstract void Take(int i, int j, int n, double[] sums);

        private static double[][] Jagged(int rows) {
            var jagged = new double[rows][];
            for (int k = 0; k < rows; k++) jagged[k] = new double[WIDTH];
            return jagged;
        }

        /// <summary>Multiplies a, which is m x k, row i at `at` + i * stride, by the k x n of fill.</summary>
        internal void Run(double[] a, int at, int stride, int m, int k, int n) {
            double[][] b = Jagged(DEPTH), sums = Jagged(Math.Min(m, HEIGHT));
            for (int j = 0; j < n; j += WIDTH) {
                int w = Math.Min(WIDTH, n - j);
                for (int i = 0; i < m; i += HEIGHT) {
                    int h = Math.Min(HEIGHT, m - i);
                    for (int r = 0; r < h; r++) {
                        Core.Fill(sums[r], 0.0);
                    }
                    for (int p = 0; p < k; p += DEPTH) {
                        for (int q = 0; q < Math.Min(DEPTH, k - p); q++) {
                            Fill(p + q, j, w, b[q]);
                        }
                        Add(a, at + i * stride + p, stride, h, Math.Min(DEPTH, k - p), b, sums, w);
                    }
                    for (int r = 0; r < h; r++) {
                        Take(i + r, j, w, sums[r]);
                    }
                }
            }
        }

        private static void Add(double[] a, int i, int stride, int h, int depth, double[][] b, double[][] sums, int w) {
            int r = 0;
            for (; depth == DEPTH && r + 1 < h; r += 2) {
                int k = i + r * stride, l = k + stride;
                Add(a[k], a[k + 1], a[k + 2], a[k + 3], a[l], a[l + 1], a[l + 2], a[l + 3], b[0], b[1], b[2], b[3], sums[r], sums[r + 1], w);
            }
            for (; r < h; r++) {
                for (int q = 0; q < depth; q++) {
                    Add(a[i + r * stride + q], b[q], sums[r], w);
                }
            }
        }

        private static void Add(double a0, double a1, double a2, double a3, double c0, double c1, double c2, double c3, double[] b0, double[] b1,
                double[] b2, double[] b3, double[] s, double[] t, int w) {
            for (int j = 0; j < w; j++) {
                double v0 = b0[j], v1 = b1[j], v2 = b2[j], v3 = b3[j];
                s[j] = s[j] + a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3;
                t[j] = t[j] + c0 * v0 + c1 * v1 + c2 * v2 + c3 * v3;
            }
        }

        private static void Add(double a, double[] b, double[] s, int w) {
            for (int j = 0; j < w; j++) s[j] += a * b[j];
        }
    }

    /// <summary>Where panels begin to be worth it.</summary>
    private const int FEW = 48;

    /// <summary>y[i][j] += sum over p of x[i][p] * w[j][p], in ascending p: m rows by n rows, both of k elements; l.. are the distances of rows.</summary>
    private static void Multiply(double[] x, int at, int lx, int m, double[] w, int j, int lw, int n, int k, double[] y,
            int o, int ly) {
        if (m >= FEW && n > 1) {
            new MultiplyPanels() { x = x, at = at, lx = lx, y = y, o = o, ly = ly }.Run(w, j, lw, n, k, m);
            return;
        }
        int r = 0;
        for (; r + 4 <= m; r += 4) {
            int c = 0;
            for (; c + 4 <= n; c += 4) {
                Tile(x, at + r * lx, lx, w, j + c * lw, lw, k, y, o + r * ly + c, ly);
            }
            for (; c < n; c++) {
                Strip(w, j + c * lw, x, at + r * lx, lx, k, y, o + r * ly + c, ly);
            }
        }
        for (; r < m; r++) {
            int c = 0;
            for (; c + 4 <= n; c += 4) {
                Strip(x, at + r * lx, w, j + c * lw, lw, k, y, o + r * ly + c, 1);
            }
            for (; c < n; c++) {
                y[o + r * ly + c] += Dot(x, at + r * lx, w, j + c * lw, k);
            }
        }
    }

    private sealed class MultiplyPanels : Panels {
        internal double[] x, y;
        internal int at, lx, o, ly;
        internal override void Fill(int p, int first, int count, double[] to) {
            for (int q = 0, i = at + first * lx + p; q < count; q++, i += lx) to[q] = x[i];
        }

        internal override void Take(int i, int first, int count, double[] sums) {
            for (int q = 0, k = o + first * ly + i; q < count; q++, k += ly) y[k] += sums[q];
        }
    }

    /// <summary>Four rows of x by four of w, in registers.</summary>
    private static void Tile(double[] x, int i, int lx, double[] w, int j, int lw, int k, double[] y, int o, int ly) {
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
        Put(y, o, 1, s00, s01, s02, s03);
        Put(y, o + ly, 1, s10, s11, s12, s13);
        Put(y, o + 2 * ly, 1, s20, s21, s22, s23);
        Put(y, o + 3 * ly, 1, s30, s31, s32, s33);
    }

    /// <summary>One row of x by four of w.</summary>
    private static void Strip(double[] x, int i, double[] w, int j, int lw, int k, double[] y, int o, int step) {
        double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (int end = i + k; i < end; i++, j++) {
            double v = x[i];
            s0 += v * w[j];
            s1 += v * w[j + lw];
            s2 += v * w[j + 2 * lw];
            s3 += v * w[j + 3 * lw];
        }
        Put(y, o, step, s0, s1, s2, s3);
    }

    private static void Put(double[] y, int o, int step, double s0, double s1, double s2, double s3) {
        y[o] += s0;
        y[o + step] += s1;
        y[o + 2 * step] += s2;
        y[o + 3 * step] += s3;
    }

    /// <summary>y[i][j] += sum over p of x[i][p] * b[p][j]: m x k by k x n, both without gaps.</summary>
    private static void MultiplyMatrices(double[] x, int at, int m, int k, double[] b, int from, int n, double[] y,
            int o) {
        if (n < FEW || m < 4) {
            double[] turned = new double[k * n];
            for (int p = 0; p < k; p++) {
                for (int j = 0; j < n; j++) turned[j * k + p] = b[from + p * n + j];
            }
            Multiply(x, at, k, m, turned, 0, k, n, k, y, o, n);
            return;
        }
        new MultiplyMatricesPanels() { b = b, from = from, n = n, y = y, o = o }.Run(x, at, k, m, k, n);
    }

    private sealed class MultiplyMatricesPanels : Panels {
        internal double[] b, y;
        internal int from, n, o;
        internal override void Fill(int p, int j, int count, double[] to) {
            Array.Copy(b, from + p * n + j, to, 0, count);
        }

        internal override void Take(int i, int j, int count, double[] sums) {
            for (int q = 0; q < count; q++) y[o + i * n + j + q] += sums[q];
        }
    }

    /// <summary>linear: sum_j x_j * weight[k][j] in ascending j, then + bias[k], rounded once.</summary>
    private static Step Linear(Args a) {
        RowType x = a.Rounded();
        Tensor matrix = a.Matrix("weight", x);
        double[] weight = matrix.Doubles();
        int n = matrix.shape[0];
        double[] bias = a.Optional("bias", a.dtype, n);
        a.work = Times(x.lanes, matrix.Count);
        return new LinearStep(a, x.rank == 0 ? RowType.Row(a.dtype, n) : x.Resized(x.rank - 1, n)) { x = x, weight = weight, n = n, bias = bias };
    }

    private sealed class LinearStep : Step {
        internal RowType x;
        internal double[] weight, bias;
        internal int n;
        internal LinearStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] y = new double[f.rows * type.width];
            Multiply(Floats(f, 0), 0, x.last, f.rows * x.lanes, weight, 0, x.last, n, x.last, y, 0, n);
            for (int o = 0; bias != null && o < y.Length; o += n) {
                for (int k = 0; k < n; k++) y[o + k] += bias[k];
            }
            return Rounded(y, dtype);
        }
    }

    /// <summary>The lengths to which two shapes broadcast.</summary>
    private static int[] Broadcast(Args a, int[] x, int[] y) {
        int[] wide = new int[Math.Max(x.Length, y.Length)];
        for (int k = 1; k <= wide.Length; k++) {
            int v = k > x.Length ? 1 : x[x.Length - k], w = k > y.Length ? 1 : y[y.Length - k];
            if (v != w && v != 1 && w != 1) {
                throw a.Refuse("joins " + Show(a.types) + "; the lengths of the axes before the last two must be equal, or 1.");
            }
            wide[wide.Length - k] = v == 1 ? w : v;
        }
        return wide;
    }

    /// <summary>The axes before the last two.</summary>
    private static int[] Front(RowType t) {
        return Resized(t.dims, t.rank - 2);
    }

    /// <summary>The number of the matrix of x that stands at each place of the wide axes; null where it is the same.</summary>
    private static int[] Spread(Args a, RowType x, int[] wide) {
        return new RowType(x.dtype, Front(x)).Spread(new RowType(x.dtype, wide), a.guard);
    }

    private static int At(int[] spread, int b) {
        return spread == null ? b : spread[b];
    }

    /// <summary>matmul: matrices by matrices; the axes before the last two broadcast.</summary>
    private static Step Matmul(Args a) {
        a.Arity(2, 2);
        a.dtype = a.Floating("dtype");
        RowType x = Ranked(a, a.Input(0, FLOATS), 2, MANY), y = Ranked(a, a.Input(1, FLOATS), 2, MANY);
        int m = x.dims[x.rank - 2], k = x.last, n = y.last;
        if (y.dims[y.rank - 2] != k) {
            throw a.Refuse("multiplies " + x + " by " + y + "; the last length of the first must be the second last of the second.");
        }
        int[] wide = Broadcast(a, Front(x), Front(y));
        RowType type = Shaped(a, a.dtype, Joined(wide, new int[] {m, n}));
        a.work = Times(type.width, k);
        int[] i = Spread(a, x, wide), j = Spread(a, y, wide);
        return new MatmulStep(a, type) { x = x, y = y, m = m, k = k, n = n, i = i, j = j };
    }

    private sealed class MatmulStep : Step {
        internal RowType x, y;
        internal int m, k, n;
        internal int[] i, j;
        internal MatmulStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] v = Floats(f, 0), w = Floats(f, 1), output = new double[f.rows * type.width];
            for (int r = 0; r < f.rows; r++) {
                for (int b = 0; b < type.width / (m * n); b++) {
                    MultiplyMatrices(v, r * x.width + At(i, b) * m * k, m, k, w, r * y.width + At(j, b) * k * n, n, output, r * type.width + b * m * n);
                }
            }
            return Rounded(output, dtype);
        }
    }

    /// <summary>How windows lie on the one to three axes behind the channels, which are taken as three: the first ones have length 1.</summary>
    private sealed class Grid {
        internal const int MOST = 1 << 20; // of kernel sizes, strides, dilations and pads
        internal const long FARTHEST = 1 << 29; // so that no position overflows
        internal readonly int axes;
        internal readonly int[] n = {1, 1, 1}, kernel = {1, 1, 1}, stride = {1, 1, 1}, dilation = {1, 1, 1}, before = new int[3], after = new int[3];
        internal readonly int[] output = {1, 1, 1};
        internal int taps, size;
        internal int positions;

        /// <summary>Reads what conv, conv_transpose and pool have in common.</summary>
        internal Grid(Args a, RowType x, int[] kernel) {
            axes = x.rank - 1;
            Set(this.kernel, kernel);
            Set(n, Range(x.dims, 1, x.rank));
            if (a.Has("strides")) {
                Set(stride, a.Ints("strides", axes, 1, MOST));
            }
            if (a.Has("dilations")) {
                Set(dilation, a.Ints("dilations", axes, 1, MOST));
            }
            if (a.Has("pads")) {
                int[] pads = a.Ints("pads", 2 * axes, 0, MOST);
                Set(before, Resized(pads, axes));
                Set(after, Range(pads, axes, 2 * axes));
            }
            for (int k = 0; k < 3; k++) {
                if (this.kernel[k] > MOST || Reach(k) > FARTHEST) {
                    throw a.Refuse("has a kernel of more than 2^20 elements along an axis, or one that reaches over more than 2^29.");
                }
            }
            taps = this.kernel[0] * this.kernel[1] * this.kernel[2];
            size = n[0] * n[1] * n[2];
        }

        private void Set(int[] to, int[] values) {
            Array.Copy(values, 0, to, 3 - axes, axes);
        }

        internal long Reach(int k) {
            return (kernel[k] - 1L) * dilation[k] + 1;
        }

        /// <summary>The pads of "auto", and the lengths of the result; `ceil` rounds them up.</summary>
        internal void Windows(Args a, bool ceil) {
            string auto = a.Choice("auto", true, "none", "same_upper", "same_lower");
            if (a.Has("pads") && auto != "none") {
                throw a.Refuse("has \"pads\" beside \"auto\".");
            }
            for (int k = 0; k < 3; k++) {
                if (auto != "none") {
                    long count = (n[k] - 1L) / stride[k] + 1, total = Math.Max((count - 1) * stride[k] + Reach(k) - n[k], 0);
                    long first = auto == "same_upper" ? total / 2 : total - total / 2;
                    before[k] = (int) Math.Min(first, int.MaxValue);
                    after[k] = (int) Math.Min(total - first, int.MaxValue);
                    output[k] = (int) count;
                    continue;
                }
                long room = (long) n[k] + before[k] + after[k] - Reach(k);
                long m = (ceil ? -FloorDiv(-room, (long) stride[k]) : FloorDiv(room, (long) stride[k])) + 1;
                if (ceil && (m - 1) * stride[k] >= (long) n[k] + before[k]) {
                    m--;
                }
                if (m < 1) {
                    throw a.Refuse("has a kernel that does not fit " + a.types[0] + "; at least one position is needed.");
                }
                output[k] = (int) Math.Min(m, int.MaxValue);
            }
        }

        /// <summary>The row shape of the result, channels first.</summary>
        internal RowType Type(Args a, int channels) {
            RowType type = Shaped(a, a.dtype, Joined(new int[] {channels}, Range(output, 3 - axes, 3)));
            positions = type.width / channels;
            return type;
        }

        internal bool Padded() {
            for (int k = 0; k < 3; k++) {
                if (before[k] > 0 || after[k] > 0) {
                    return true;
                }
            }
            return false;
        }

        /// <summary>Where the tap t of axis k lies for position 0.</summary>
        internal int Offset(int k, int tap) {
            int t = k == 2 ? tap % kernel[2] : k == 1 ? tap / kernel[2] % kernel[1] : tap / kernel[2] / kernel[1];
            return t * dilation[k] - before[k];
        }

        /// <summary>Makes one long axis of an image whose every position reads itself only.</summary>
        internal void Flatten() {
            bool plain = taps == 1 && !Padded();
            for (int k = 0; k < 3; k++) {
                plain &= stride[k] == 1 && n[k] == output[k];
            }
            if (plain) {
                n[2] = output[2] = size;
                n[0] = n[1] = output[0] = output[1] = 1;
            }
        }
    }

    /// <summary>The first position o of 0..m for which o * step + offset is at least `low`.</summary>
    private static int First(long offset, int step, long low, int m) {
        return (int) Math.Max(0, Math.Min(m, FloorDiv(low - offset + step - 1, (long) step)));
    }

    private static RowType Image(Args a) {
        return Ranked(a, a.Rounded(), 2, 4);
    }

    private static int Groups(Args a, int channels) {
        int groups = a.Has("groups") ? a.Integer("groups", 1, channels) : 1;
        if (channels % groups != 0) {
            throw a.Refuse("has " + groups + " groups for " + channels + " channels; they must divide.");
        }
        return groups;
    }

    private static int[] Kernel(Args a, RowType x, Tensor weight, int channels) {
        bool good = weight.shape[1] == channels && weight.Count > 0;
        if (!good) {
            throw a.Refuse("has \"weight\" of shape " + Show(weight.shape) + " for " + x + "; " + channels + " channels are needed.");
        }
        return Range(weight.shape, 2, weight.shape.Length);
    }

    /// <summary>conv: cross-correlation.</summary>
    private static Step Convolution(Args a) {
        RowType x = Image(a);
        int groups = Groups(a, x.dims[0]);
        Tensor weight = a.Values("weight", a.dtype, x.rank + 1, x.rank + 1);
        Grid g = new Grid(a, x, Kernel(a, x, weight, x.dims[0] / groups));
        g.Windows(a, false);
        if (weight.shape[0] % groups != 0) {
            throw a.Refuse("has " + groups + " groups for " + weight.shape[0] + " channels of its result; they must divide.");
        }
        RowType type = g.Type(a, weight.shape[0]);
        g.Flatten();
        a.work = Times(type.width, weight.Width);
        return new Conv(a, type, g, groups, weight.Doubles(), a.Optional("bias", a.dtype, weight.shape[0]));
    }

    private sealed class Conv : Step {
        private readonly Grid g;
        private int groups, channels, outputs, sums; // channels of a group, of its result, and elements of the weight per output
        private double[] weight, bias;
        private readonly bool direct;

        internal Conv(Args a, RowType type, Grid g, int groups, double[] weight, double[] bias) : base(a, type) {
            this.g = g;
            this.groups = groups;
            this.weight = weight;
            this.bias = bias;
            channels = from[0].dims[0] / groups;
            outputs = type.dims[0] / groups;
            sums = channels * g.taps;
            bool all = true;
            for (int k = 0; all && g.Padded() && k < weight.Length; k++) {
                all = Math.Abs(weight[k]) <= double.MaxValue; // of others, a product with a zero outside would not be zero
            }
            direct = outputs < 4 || !all;
        }

        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[f.rows * type.width];
            for (int group = 0; group < groups; group++) {
                if (direct) {
                    for (int r = 0; r < f.rows; r++) {
                        for (int c = 0; c < outputs; c++) {
                            Channel(x, (r * from[0].dims[0] + group * channels) * g.size, group * outputs + c, y, r * type.width);
                        }
                    }
                } else {
                    new Columns(this, x, y, group).Run(weight, group * outputs * sums, sums, outputs, sums, f.rows * g.positions);
                }
            }
            for (int k = 0; bias != null && k < y.Length; k += g.positions) {
                double b = bias[k / g.positions % bias.Length];
                for (int j = 0; j < g.positions; j++) y[k + j] += b;
            }
            return Rounded(y, dtype);
        }

        /// <summary>One channel of the result, tap by tap; the input's channels begin at x[i..].</summary>
        private void Channel(double[] x, int i, int c, double[] y, int row) {
            int w = g.output[2], step = g.stride[2];
            for (int p = 0; p < sums; p++) {
                double v = weight[c * sums + p];
                int tap = p % g.taps, start = i + p / g.taps * g.size, at = g.Offset(2, tap);
                int low = First(at, step, 0, w), high = First(at, step, g.n[2], w);
                for (int line = 0; line < g.output[0] * g.output[1]; line++) {
                    int i1 = line / g.output[1] * g.stride[0] + g.Offset(0, tap), i2 = line % g.output[1] * g.stride[1] + g.Offset(1, tap);
                    if (i1 < 0 || i1 >= g.n[0] || i2 < 0 || i2 >= g.n[1]) {
                        continue;
                    }
                    int from = start + (i1 * g.n[1] + i2) * g.n[2] + at, to = row + c * g.positions + line * w;
                    if (step == 1) {
                        for (int o = low; o < high; o++) y[to + o] += v * x[from + o];
                    } else {
                        for (int o = low; o < high; o++) y[to + o] += v * x[from + o * step];
                    }
                }
            }
        }

        /// <summary>The windows of a group as columns: row p is a tap of a channel, column j a position of a row.</summary>
        private sealed class Columns : Panels {
            private readonly Grid g;
            private readonly double[] x, y;
            private readonly int group, channels, outputs, all, made; // all and made: channels of the image and of the result

            internal Columns(Conv of, double[] x, double[] y, int group) {
                g = of.g;
                channels = of.channels;
                outputs = of.outputs;
                all = of.from[0].dims[0];
                made = of.type.dims[0];
                this.x = x;
                this.y = y;
                this.group = group;
            }

            internal override void Fill(int p, int j, int n, double[] to) {
                int tap = p % g.taps, channel = group * channels + p / g.taps, step = g.stride[2], w = g.output[2];
                int at0 = g.Offset(0, tap), at1 = g.Offset(1, tap), at2 = g.Offset(2, tap);
                int low = First(at2, step, 0, w), high = First(at2, step, g.n[2], w);
                for (int k = 0, run; k < n; k += run) {
                    int r = (j + k) / g.positions, position = (j + k) % g.positions, line = position / w, o = position % w;
                    run = Math.Min(n - k, w - o);
                    int i1 = line / g.output[1] * g.stride[0] + at0, i2 = line % g.output[1] * g.stride[1] + at1;
                    if (i1 < 0 || i1 >= g.n[0] || i2 < 0 || i2 >= g.n[1]) {
                        Core.Fill(to, k, k + run, 0.0);
                        continue;
                    }
                    int from = (r * all + channel) * g.size + (i1 * g.n[1] + i2) * g.n[2] + at2;
                    int begin = Math.Max(o, Math.Min(low, o + run)), end = Math.Max(begin, Math.Min(high, o + run)), shift = k - o;
                    for (int q = o; q < begin; q++) to[q + shift] = 0.0;
                    if (step == 1) {
                        Array.Copy(x, begin < end ? from + begin : 0, to, begin + shift, end - begin);
                    } else {
                        for (int q = begin; q < end; q++) to[q + shift] = x[from + q * step];
                    }
                    for (int q = end; q < o + run; q++) to[q + shift] = 0.0;
                }
            }

            internal override void Take(int c, int j, int n, double[] sums) {
                for (int k = 0, run; k < n; k += run) {
                    int r = (j + k) / g.positions, position = (j + k) % g.positions;
                    run = Math.Min(n - k, g.positions - position);
                    Array.Copy(sums, k, y, (r * made + group * outputs + c) * g.positions + position, run);
                }
            }
        }
    }

    /// <summary>conv_transpose: the transposed map.</summary>
    private static Step ConvTranspose(Args a) {
        RowType x = Image(a);
        int groups = Groups(a, x.dims[0]), channels = x.dims[0] / groups;
        Tensor weight = a.Values("weight", a.dtype, x.rank + 1, x.rank + 1);
        if (weight.shape[0] != x.dims[0] || weight.Count == 0) {
            throw a.Refuse("has \"weight\" of shape " + Show(weight.shape) + " for " + x + "; a row for each channel is needed.");
        }
        Grid g = new Grid(a, x, Range(weight.shape, 2, weight.shape.Length));
        int outputs = weight.shape[1], rows = outputs * g.taps;
        int[] more = a.Has("output_padding") ? a.Ints("output_padding", g.axes, 0, int.MaxValue) : new int[g.axes];
        for (int k = 3 - g.axes; k < 3; k++) {
            int extra = more[k - 3 + g.axes];
            long length = Times(g.stride[k], g.n[k] - 1) + extra + g.Reach(k) - g.before[k] - g.after[k];
            if (extra >= Math.Max(g.stride[k], g.dilation[k]) || length < 1 || Times(g.stride[k], g.n[k] - 1) > Grid.FARTHEST) {
                throw a.Refuse("has \"output_padding\" that is not below the stride or the dilation, or pads that leave nothing of " + x
                    + ", or strides that reach beyond 2^29 elements.");
            }
            g.output[k] = (int) Math.Min(length, int.MaxValue);
        }
        if ((long) outputs * groups > a.guard.limits.RowElements) {
            throw a.Refuse("has more channels in its result than a row may have elements.");
        }
        RowType type = g.Type(a, outputs * groups);
        a.work = Times(x.width, weight.Width);
        double[] bias = a.Optional("bias", a.dtype, outputs * groups), given = weight.Doubles();
        a.guard.Take(8L * given.Length);
        double[] turned = new double[given.Length]; // [group, channel and tap of the result, channel]
        for (int k = 0; k < given.Length; k++) {
            int c = k / rows;
            turned[(c / channels * rows + k % rows) * channels + c % channels] = given[k];
        }
        return new ConvTransposeStep(a, type) { groups = groups, channels = channels, g = g, outputs = outputs, rows = rows, bias = bias, turned = turned };
    }

    private sealed class ConvTransposeStep : Step {
        internal int groups, channels, outputs, rows;
        internal Grid g;
        internal double[] bias, turned;
        internal ConvTransposeStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[f.rows * type.width];
            int all = from[0].dims[0];
            for (int group = 0; group < groups; group++) {
                int from = group * channels, to = group * outputs;
                new ConvTransposePanels() { g = g, type = type, x = x, y = y, all = all, from = from, to = to }.Run(turned, group * rows * channels, channels, rows, channels, f.rows * g.size);
            }
            for (int k = 0; bias != null && k < y.Length; k += g.positions) {
                double b = bias[k / g.positions % bias.Length];
                for (int j = 0; j < g.positions; j++) y[k + j] += b;
            }
            return Rounded(y, dtype);
        }
    }

    private sealed class ConvTransposePanels : Panels {
        internal Grid g;
        internal RowType type;
        internal double[] x, y;
        internal int all, from, to;
        internal override void Fill(int p, int j, int n, double[] b) {
            for (int k = 0, run; k < n; k += run) {
                int r = (j + k) / g.size, position = (j + k) % g.size;
                run = Math.Min(n - k, g.size - position);
                Array.Copy(x, (r * all + from + p) * g.size + position, b, k, run);
            }
        }

        internal override void Take(int i, int j, int n, double[] sums) {
            for (int k = 0, run; k < n; k += run) {
                int r = (j + k) / g.size, position = (j + k) % g.size, line = position / g.n[2], q = position % g.n[2];
                run = Math.Min(n - k, g.n[2] - q);
                Spread(i % g.taps, line, q, run, sums, k, y, (r * type.dims[0] + to + i / g.taps) * g.positions);
            }
        }

        /// <summary>Adds a stretch of a line of the input, times a tap's weight, where it belongs.</summary>
        private void Spread(int tap, int line, int q, int run, double[] sums, int k, double[] y, int o) {
            int o1 = line / g.n[1] * g.stride[0] + g.Offset(0, tap), o2 = line % g.n[1] * g.stride[1] + g.Offset(1, tap);
            if (o1 < 0 || o1 >= g.output[0] || o2 < 0 || o2 >= g.output[1]) {
                return;
            }
            int step = g.stride[2], at = g.Offset(2, tap);
            int begin = Math.Max(q, First(at, step, 0, q + run)), end = Math.Min(q + run, First(at, step, g.output[2], q + run));
            int to = o + (o1 * g.output[1] + o2) * g.output[2] + at;
            for (int i = begin; i < end; i++) y[to + i * step] += sums[k + i - q];
        }
    }

    // ==== 4 Pooling ==================================================================================================

    /// <summary>pool: the largest or the mean of every window.</summary>
    private static Step Pool(Args a) {
        RowType x = Image(a);
        bool max = a.Choice("fn", false, "max", "mean") == "max";
        int[] size = a.Ints("size", x.rank - 1, 1, Grid.MOST);
        long taps = Times(Longs(size));
        if (taps > a.guard.limits.TensorElements) {
            throw a.Refuse("has windows of more elements than a tensor may have.");
        }
        Grid g = new Grid(a, x, size);
        for (int k = 0; k < 3; k++) {
            if (Math.Max(g.before[k], g.after[k]) >= g.Reach(k)) {
                throw a.Refuse("has \"pads\" that are not below the reach of its windows.");
            }
        }
        g.Windows(a, a.Flag("ceil", false));
        if (max && a.Has("count_pad")) {
            throw a.Refuse("has \"count_pad\", which \"max\" does not use.");
        }
        bool countPad = a.Flag("count_pad", false);
        RowType type = g.Type(a, x.dims[0]);
        a.work = Times(type.width, taps);
        a.guard.Take(12L * (g.output[0] + g.output[1] + g.output[2]));
        int[][] low = new int[3][], high = new int[3][], count = new int[3][];
        for (int k = 0; k < 3; k++) {
            low[k] = new int[g.output[k]];
            high[k] = new int[g.output[k]];
            count[k] = new int[g.output[k]];
            for (int o = 0; o < g.output[k]; o++) {
                long at = (long) o * g.stride[k] - g.before[k];
                low[k][o] = First(at, g.dilation[k], 0, g.kernel[k]);
                high[k][o] = First(at, g.dilation[k], g.n[k], g.kernel[k]);
                count[k][o] = countPad ? First(at, g.dilation[k], (long) g.n[k] + g.after[k], g.kernel[k]) : high[k][o] - low[k][o];
                if (low[k][o] >= high[k][o]) {
                    throw a.Refuse("has a window that holds no element of " + x + ": position " + o + " of axis " + (k - 2 + g.axes) + ".");
                }
            }
        }
        return new PoolStep(a, type) { x = x, max = max, g = g, low = low, high = high, count = count };
    }

    private sealed class PoolStep : Step {
        internal RowType x;
        internal bool max;
        internal Grid g;
        internal int[][] low, high, count;
        internal PoolStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[f.rows * type.width];
            int k = 0;
            for (int c = 0; c < f.rows * type.dims[0]; c++) {
                for (int o0 = 0; o0 < g.output[0]; o0++) {
                    for (int o1 = 0; o1 < g.output[1]; o1++) {
                        for (int o2 = 0; o2 < g.output[2]; o2++) {
                            y[k++] = Window(x, c * g.size, o0, o1, o2);
                        }
                    }
                }
            }
            return Rounded(y, dtype);
        }

        private double Window(double[] x, int channel, int o0, int o1, int o2) {
            double sum = max ? double.NegativeInfinity : 0.0;
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
    }

    // ==== 5 Norms ====================================================================================================

    /// <summary>batch_norm: (x - mean) / sqrt(var + eps) * scale + bias, per channel.</summary>
    private static Step BatchNorm(Args a) {
        RowType x = Ranked(a, a.Rounded(), 1, MANY);
        int c = x.dims[0], per = x.width / c;
        double[] mean = a.Floats("mean", c), root = Copy(a.Floats("var", c));
        double[] scale = a.Optional("scale", a.dtype, c), bias = a.Optional("bias", a.dtype, c);
        double eps = Finite(a, "eps", null);
        for (int k = 0; k < c; k++) {
            root[k] = Math.Sqrt(root[k] + eps);
        }
        return new BatchNormStep(a, x) { x = x, c = c, per = per, mean = mean, root = root, scale = scale, bias = bias };
    }

    private sealed class BatchNormStep : Step {
        internal RowType x;
        internal int c, per;
        internal double[] mean, root, scale, bias;
        internal BatchNormStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[f.rows * type.width];
            for (int k = 0, o = 0; k < f.rows * c; k++, o += per) {
                int j = k % c;
                Affine(x, y, o, per, mean[j], root[j], scale == null ? 1.0 : scale[j], bias == null ? 0.0 : bias[j]);
            }
            return Rounded(y, dtype);
        }
    }

    private static void Affine(double[] x, double[] y, int o, int n, double mean, double root, double scale, double bias) {
        for (int k = o; k < o + n; k++) y[k] = (x[k] - mean) / root * scale + bias;
    }

    /// <summary>The mean of x[i..i + n), or 0 without center.</summary>
    private static double Mean(double[] x, int i, int n, bool center) {
        double sum = 0.0;
        for (int k = i; center && k < i + n; k++) sum += x[k];
        return sum / n;
    }

    /// <summary>sqrt(v + eps), v the mean of (x - m)^2 over x[i..i + n).</summary>
    private static double Root(double[] x, int i, int n, double m, double eps) {
        double sum = 0.0;
        for (int k = i; k < i + n; k++) sum += (x[k] - m) * (x[k] - m);
        return Math.Sqrt(sum / n + eps);
    }

    /// <summary>layer_norm: over the last axes.</summary>
    private static Step LayerNorm(Args a) {
        RowType x = a.Rounded();
        int axes = a.Has("axes") ? a.Integer("axes", 1, Args.MOST_WHOLE) : 1;
        int[] over = Range(Ranked(a, x, axes, MANY).dims, x.rank - axes, x.rank);
        int w = x.Size(x.rank - axes, x.rank);
        double[] scale = ShapedLike(a, "scale", over), bias = ShapedLike(a, "bias", over);
        double eps = Finite(a, "eps", null);
        bool center = a.Flag("center", true);
        return new LayerNormStep(a, x) { x = x, w = w, scale = scale, bias = bias, eps = eps, center = center };
    }

    private sealed class LayerNormStep : Step {
        internal RowType x;
        internal int w;
        internal double[] scale, bias;
        internal double eps;
        internal bool center;
        internal LayerNormStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[f.rows * type.width];
            for (int o = 0; o < y.Length; o += w) {
                double m = Mean(x, o, w, center), root = Root(x, o, w, m, eps);
                for (int k = 0; k < w; k++) {
                    double v = (x[o + k] - m) / root;
                    v = scale == null ? v : v * scale[k];
                    y[o + k] = bias == null ? v : v + bias[k];
                }
            }
            return Rounded(y, dtype);
        }
    }

    /// <summary>Floats of the step's dtype and of a shape; null when absent.</summary>
    private static double[] ShapedLike(Args a, string key, int[] shape) {
        if (!a.Has(key)) {
            return null;
        }
        Tensor t = a.Values(key, a.dtype, shape.Length, shape.Length);
        if (!Same(t.shape, shape)) {
            throw a.Refuse("has \"" + key + "\" of shape " + Show(t.shape) + "; " + Show(shape) + " is needed.");
        }
        return t.Doubles();
    }

    /// <summary>group_norm: over groups of neighbouring channels; scale and bias are per channel.</summary>
    private static Step GroupNorm(Args a) {
        RowType x = Ranked(a, a.Rounded(), 1, MANY);
        int c = x.dims[0], per = x.width / c;
        a.Attribute("groups");
        int groups = Groups(a, c), w = x.width / groups;
        double[] scale = a.Optional("scale", a.dtype, c), bias = a.Optional("bias", a.dtype, c);
        double eps = Finite(a, "eps", null);
        return new GroupNormStep(a, x) { x = x, c = c, per = per, w = w, scale = scale, bias = bias, eps = eps };
    }

    private sealed class GroupNormStep : Step {
        internal RowType x;
        internal int c, per, w;
        internal double[] scale, bias;
        internal double eps;
        internal GroupNormStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[f.rows * type.width];
            for (int o = 0; o < y.Length; o += w) {
                double m = Mean(x, o, w, true), root = Root(x, o, w, m, eps);
                for (int k = o; k < o + w; k += per) {
                    int j = k / per % c;
                    Affine(x, y, k, per, m, root, scale == null ? 1.0 : scale[j], bias == null ? 0.0 : bias[j]);
                }
            }
            return Rounded(y, dtype);
        }
    }

    // ==== 6 Activations ==============================================================================================

    private const double NONE = double.NaN;

    /// <summary>A function of activation and of recurrences, of x, alpha and beta, and the defaults of alpha and beta where it has them.</summary>
    private sealed class Fn {
        internal readonly string name;
        internal readonly double alpha, beta;
        private readonly Func<double, double, double, double> of;

        internal Fn(string name, double alpha, double beta, Func<double, double, double, double> of) {
            this.name = name;
            this.alpha = alpha;
            this.beta = beta;
            this.of = of;
        }

        internal double Of(double x, double a, double b) {
            return x != x ? x : of(x, a, b);
        }

        internal double Of(double x) {
            return x != x ? x : of(x, alpha, beta);
        }
    }

    /// <summary>The functions, spelled as in the format; the last ones in recurrences only.</summary>
    private static readonly Fn[] FUNCTIONS = {
        new Fn("elu", 1, NONE, (x, a, b) => x > 0 ? x : a * Special.Expm1(x)),
        new Fn("celu", 1, NONE, (x, a, b) => Math.Max(x, 0) + Math.Min(0, a * Special.Expm1(x / a))),
        new Fn("selu", NONE, NONE, (x, a, b) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Special.Expm1(x))),
        new Fn("leaky_relu", 0.01, NONE, (x, a, b) => x >= 0 ? x : a * x),
        new Fn("gelu", NONE, NONE, (x, a, b) => x / 2 * (1 + Special.Erf(x / Math.Sqrt(2.0)))),
        new Fn("gelu_tanh", NONE, NONE, (x, a, b) => x / 2 * (1 + Math.Tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))))),
        new Fn("quick_gelu", 1.702, NONE, (x, a, b) => x * Special.Sigmoid(a * x)),
        new Fn("silu", NONE, NONE, (x, a, b) => x * Special.Sigmoid(x)),
        new Fn("hard_sigmoid", 1.0 / 6.0, 0.5, (x, a, b) => Math.Min(1, Math.Max(0, a * x + b))),
        new Fn("hard_swish", NONE, NONE, (x, a, b) => x * Math.Min(1, Math.Max(0, x / 6 + 0.5))),
        new Fn("softsign", NONE, NONE, (x, a, b) => x / (1 + Math.Abs(x))),
        new Fn("mish", NONE, NONE, (x, a, b) => x * Math.Tanh(Special.Softplus(x))),
        new Fn("tanh_shrink", NONE, NONE, (x, a, b) => x - Math.Tanh(x)),
        new Fn("hard_shrink", 0.5, NONE, (x, a, b) => Math.Abs(x) > a ? x : 0.0),
        new Fn("soft_shrink", 0.5, NONE, (x, a, b) => x > a ? x - a : x < -a ? x + a : 0.0),
        new Fn("threshold", 0, 0, (x, a, b) => x > a ? x : b),
        new Fn("squareplus", 4, NONE, (x, a, b) => (x + Math.Sqrt(x * x + a)) / 2),
        new Fn("tanh", NONE, NONE, (x, a, b) => Math.Tanh(x)),
        new Fn("sigmoid", NONE, NONE, (x, a, b) => Special.Sigmoid(x)),
        new Fn("relu", NONE, NONE, (x, a, b) => x > 0 ? x : 0.0),
        new Fn("linear", NONE, NONE, (x, a, b) => x),
        new Fn("softplus", NONE, NONE, (x, a, b) => Special.Softplus(x)),
    };

    private static readonly string[] ACTIVATIONS = Array.ConvertAll(Range(FUNCTIONS, 0, 17), fn => fn.name);
    private static readonly string[] RECURRENT = {"tanh", "sigmoid", "relu", "hard_sigmoid", "linear", "softsign", "silu", "elu", "selu", "softplus",
        "gelu"};

    private static Fn Named(string name) {
        return Array.Find(FUNCTIONS, fn => fn.name == name);
    }

    /// <summary>activation: a function, element by element.</summary>
    private static Step Activation(Args a) {
        RowType x = a.Rounded();
        Fn fn = Named(a.Choice("fn", false, ACTIVATIONS));
        if (a.Has("alpha") && fn.alpha != fn.alpha || a.Has("beta") && fn.beta != fn.beta) {
            throw a.Refuse("has \"alpha\" or \"beta\", which " + fn.name + " does not have.");
        }
        double alpha = a.Has("alpha") ? Finite(a, "alpha", null) : fn.alpha, beta = a.Has("beta") ? Finite(a, "beta", null) : fn.beta;
        if (fn.name == "celu" && alpha == 0) {
            throw a.Refuse("has \"alpha\" 0; celu divides by it.");
        }
        a.Dear(x.width);
        return new ActivationStep(a, x) { fn = fn, alpha = alpha, beta = beta };
    }

    private sealed class ActivationStep : Step {
        internal Fn fn;
        internal double alpha, beta;
        internal ActivationStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[x.Length];
            for (int k = 0; k < y.Length; k++) {
                y[k] = fn.Of(x[k], alpha, beta);
            }
            return Rounded(y, dtype);
        }
    }

    /// <summary>prelu: x &gt;= 0 ? x : slope * x.</summary>
    private static Step Prelu(Args a) {
        RowType x = a.Rounded();
        Tensor t = a.Values("slope", a.dtype, 0, a.guard.limits.Rank);
        RowType shape = new RowType(a.dtype, t.shape);
        Onto(a, shape, x);
        double[] slope = t.Doubles();
        int[] places = shape.Spread(x, a.guard);
        return new PreluStep(a, x) { x = x, slope = slope, places = places };
    }

    private sealed class PreluStep : Step {
        internal RowType x;
        internal double[] slope;
        internal int[] places;
        internal PreluStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[x.Length];
            for (int r = 0; r < y.Length; r += type.width) {
                for (int k = 0; k < type.width; k++) {
                    y[r + k] = x[r + k] >= 0 ? x[r + k] : slope[At(places, k)] * x[r + k];
                }
            }
            return Rounded(y, dtype);
        }
    }

    // ==== 7 Recurrences ==============================================================================================

    /// <summary>lstm, gru and rnn: the state h (and c) of all rows of a block, time by time.</summary>
    private sealed class Recurrence {
        internal readonly Args a;
        internal readonly string op;
        internal readonly int t, i, u, gates, states;
        internal readonly bool masked, reverse, zeroMasked, resetAfter;
        internal readonly Fn fn, gateFn;
        internal readonly string result;
        internal readonly double[] weight, recurrent, bias, recurrentBias;

        internal Recurrence(Args a, int gates, int mostStates) {
            this.a = a;
            this.op = a.op;
            this.gates = gates;
            a.Arity(1, 2 + mostStates);
            a.dtype = a.Floating("dtype");
            RowType x = Ranked(a, a.Input(0, FLOATS), 2, 2);
            t = x.dims[0];
            i = x.dims[1];
            int n = a.types.Length;
            masked = n > 1 && a.types[n - 1].dtype == DType.Bool;
            states = n - 1 - (masked ? 1 : 0);
            Tensor w = a.Values("weight", a.dtype, 2, 2), v = a.Values("recurrent", a.dtype, 2, 2);
            u = v.shape[1];
            if (u < 1 || u > a.guard.limits.RowElements || w.shape[0] != (long) gates * u || v.shape[0] != w.shape[0] || w.shape[1] != i) {
                throw a.Refuse("has \"weight\" of shape " + Show(w.shape) + " and \"recurrent\" of shape " + Show(v.shape) + " for "
                    + x + "; " + gates + " u rows, " + i + " and u columns are needed.");
            }
            if (states != 0 && states != mostStates) {
                throw a.Refuse("reads " + Show(a.types) + "; the sequence, perhaps " + mostStates + " states, and perhaps a mask are needed.");
            }
            for (int k = 1; k <= states; k++) {
                if (a.Input(k, FLOATS).rank != 1 || a.types[k].width != u) {
                    throw a.Refuse("reads the state " + a.types[k] + "; [" + u + "] is needed.");
                }
            }
            if (!masked && a.Flag("zero_masked", false)) {
                throw a.Refuse("has \"zero_masked\" without a mask.");
            }
            if (masked && (a.types[n - 1].rank != 1 || a.types[n - 1].width != t)) {
                throw a.Refuse("reads the mask " + a.types[n - 1] + "; [" + t + "] is needed.");
            }
            weight = w.Doubles();
            recurrent = v.Doubles();
            bool gru = op == "gru", lstm = op == "lstm";
            bias = a.Optional("bias", a.dtype, gates * u);
            recurrentBias = gru ? a.Optional("recurrent_bias", a.dtype, gates * u) : null;
            resetAfter = gru && a.Flag("reset_after", false);
            fn = a.Has("fn") ? Named(a.Choice("fn", false, RECURRENT)) : Named("tanh");
            gateFn = gates > 1 && a.Has("gate_fn") ? Named(a.Choice("gate_fn", false, RECURRENT)) : Named("sigmoid");
            reverse = a.Flag("reverse", false);
            zeroMasked = a.Flag("zero_masked", false);
            result = lstm ? a.Choice("result", true, "sequence", "last", "cell") : a.Choice("result", true, "sequence", "last");
            a.work = Times(t, weight.Length + (long) recurrent.Length + 3L * DEAR * w.shape[0]);
        }

        internal Step Build() {
            bool sequence = result == "sequence";
            RowType type = sequence ? Shaped(a, a.dtype, t, u) : Shaped(a, a.dtype, u);
            return new Running(a, type, this, sequence);
        }
    }

    private sealed class Running : Step {
        private readonly Recurrence q;
        private readonly bool sequence, cell;
        private int t, u, wide;

        internal Running(Args a, RowType type, Recurrence q, bool sequence) : base(a, type) {
            this.q = q;
            this.sequence = sequence;
            this.cell = q.result == "cell";
            this.t = q.t;
            this.u = q.u;
            this.wide = q.gates * q.u;
        }

        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[sequence ? f.rows * type.width : 0], z = new double[f.rows * wide];
            double[] h = q.states > 0 ? Copy(Floats(f, 1)) : new double[f.rows * u];
            double[] c = q.states > 1 ? Copy(Floats(f, 2)) : new double[q.op == "lstm" ? f.rows * u : 0];
            double[] more = new double[q.op == "gru" ? f.rows * wide : 0];
            long[] mask = q.masked ? (long[]) f.values[inputs[inputs.Length - 1]] : null;
            for (int s = 0; s < t; s++) {
                int time = q.reverse ? t - 1 - s : s;
                Start(z, q.bias);
                Multiply(x, time * q.i, t * q.i, f.rows, q.weight, 0, q.i, wide, q.i, z, 0, wide);
                if (more.Length > 0) {
                    Gru(f.rows, z, h, more, mask, time);
                } else {
                    Multiply(h, 0, u, f.rows, q.recurrent, 0, u, wide, u, z, 0, wide);
                    for (int r = 0; r < f.rows; r++) {
                        if (mask == null || mask[r * t + time] != 0) {
                            Advance(z, r * wide, h, c, r * u);
                        }
                    }
                }
                for (int r = 0; sequence && r < f.rows; r++) {
                    if (!q.zeroMasked || mask == null || mask[r * t + time] != 0) {
                        Array.Copy(h, r * u, y, (r * t + time) * u, u);
                    }
                }
            }
            return sequence ? y : cell ? c : h;
        }

        /// <summary>Fills the sums of every row with the bias, or with zeros.</summary>
        private void Start(double[] z, double[] bias) {
            for (int o = 0; o < z.Length; o += wide) {
                if (bias == null) {
                    Fill(z, o, o + wide, 0.0);
                } else {
                    Array.Copy(bias, 0, z, o, wide);
                }
            }
        }

        /// <summary>One row of lstm or rnn: the sums z[i..] become h[o..] (and c[o..]).</summary>
        private void Advance(double[] z, int i, double[] h, double[] c, int o) {
            for (int k = 0; k < u; k++, i++, o++) {
                if (c.Length == 0) {
                    h[o] = Round(q.fn.Of(z[i]));
                    continue;
                }
                double next = q.gateFn.Of(z[i + u]) * c[o] + q.gateFn.Of(z[i]) * q.fn.Of(z[i + 2 * u]);
                h[o] = Round(q.gateFn.Of(z[i + 3 * u]) * q.fn.Of(next));
                c[o] = Round(next);
            }
        }

        /// <summary>All rows of gru: z holds weight x + bias; `more` gets what comes from h.</summary>
        private void Gru(int rows, double[] z, double[] h, double[] more, long[] mask, int time) {
            Start(more, q.recurrentBias);
            Multiply(h, 0, u, rows, q.recurrent, 0, u, q.resetAfter ? wide : 2 * u, u, more, 0, wide);
            if (!q.resetAfter) {
                double[] reset = new double[rows * u];
                for (int k = 0; k < reset.Length; k++) {
                    int i = k / u * wide + u + k % u;
                    reset[k] = q.gateFn.Of(z[i] + more[i]) * h[k];
                }
                Multiply(reset, 0, u, rows, q.recurrent, 2 * u * u, u, u, u, more, 2 * u, wide);
            }
            for (int k = 0; k < rows * u; k++) {
                int i = k / u * wide + k % u;
                if (mask == null || mask[k / u * t + time] != 0) {
                    double update = q.gateFn.Of(z[i] + more[i]), reset = q.resetAfter ? q.gateFn.Of(z[i + u] + more[i + u]) : 1.0;
                    h[k] = Round((1 - update) * q.fn.Of(z[i + 2 * u] + reset * more[i + 2 * u]) + update * h[k]);
                }
            }
        }
    }

    // ==== 8 Attention ================================================================================================

    /// <summary>attention: values weighted by the softmax of how queries and keys agree.</summary>
    private static Step Attention(Args a) {
        a.Arity(3, 4);
        a.dtype = a.Floating("dtype");
        for (int p = 0; p < 3; p++) {
            Ranked(a, a.Input(p, FLOATS), 2, MANY);
        }
        RowType q = a.types[0], k = a.types[1], v = a.types[2];
        int m = q.dims[q.rank - 2], d = q.last, n = k.dims[k.rank - 2], e = v.last;
        if (k.last != d || v.dims[v.rank - 2] != n) {
            throw a.Refuse("reads " + Show(a.types) + "; [.., m, d], [.., n, d] and [.., n, e] are needed.");
        }
        double scale = Finite(a, "scale", 1 / Math.Sqrt(d));
        bool causal = a.Flag("causal", false);
        int[] wide = Broadcast(a, Broadcast(a, Front(q), Front(k)), Front(v));
        RowType type = Shaped(a, a.dtype, Joined(wide, new int[] {m, e}));
        RowType scores = new RowType(a.dtype, ToInts(Joined(wide, new int[] {m, n})));
        int[] i = Spread(a, q, wide), j = Spread(a, k, wide), l = Spread(a, v, wide);
        int lanes = new RowType(a.dtype, wide).width;
        a.work = Times(lanes, m, n, (long) d + e + DEAR);
        RowType bias = a.types.Length == 4 ? a.Input(3, FLOATS) : null;
        int[][] places = new int[2][]; // of bias: for every matrix where it begins, within a matrix where its elements are
        if (bias != null) {
            Onto(a, bias, scores);
            int[][] offsets = new int[scores.rank][];
            for (int axis = 0; axis < scores.rank; axis++) {
                offsets[axis] = bias.Along(axis - scores.rank + bias.rank, scores.dims[axis]);
            }
            places[0] = Places(a.guard, Resized(offsets, wide.Length));
            places[1] = offsets[wide.Length];
        }
        int columns = bias == null || bias.rank == 0 || bias.last == 1 ? 0 : 1, block = Math.Max(1, Math.Min(m, Math.Min(64, (1 << 16) / n)));
        return new AttentionStep(a, type) { q = q, k = k, v = v, m = m, d = d, n = n, e = e, scale = scale, causal = causal, i = i, j = j, l = l, bias = bias, places = places, columns = columns, block = block };
    }

    private sealed class AttentionStep : Step {
        internal RowType q, k, v, bias;
        internal int m, d, n, e, columns, block;
        internal double scale;
        internal bool causal;
        internal int[] i, j, l;
        internal int[][] places;
        internal AttentionStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = Floats(f, 1), z = Floats(f, 2), b = bias == null ? null : Floats(f, 3);
            double[] output = new double[f.rows * type.width], s = new double[block * n];
            for (int r = 0; r < f.rows; r++) {
                for (int p = 0; p < type.width / (m * e); p++) {
                    int values = r * v.width + At(l, p) * n * e, keys = r * k.width + At(j, p) * n * d;
                    for (int first = 0; first < m; first += block) {
                        int h = Math.Min(block, m - first);
                        Fill(s, 0.0);
                        Multiply(x, r * q.width + (At(i, p) * m + first) * d, d, h, y, keys, d, n, d, s, 0, n);
                        for (int row = 0; row < h; row++) {
                            int at = b == null ? 0 : r * bias.width + places[0][p] + places[1][first + row];
                            Weights(s, row * n, causal ? Math.Min(n, first + row + 1) : n, b, at);
                        }
                        Sum(s, h, first, z, values, output, r * type.width + (p * m + first) * e);
                    }
                }
            }
            return Rounded(output, dtype);
        }

        /// <summary>Adds the values, weighted: without those that do not count, whatever they hold.</summary>
        private void Sum(double[] s, int h, int first, double[] z, int values, double[] output, int o) {
            bool all = true;
            for (int c = values; causal && all && c < values + n * e; c++) all = Math.Abs(z[c]) <= double.MaxValue;
            if (all) {
                for (int row = 0; causal && row < h; row++) Fill(s, row * n + Math.Min(n, first + row + 1), (row + 1) * n, 0.0);
                MultiplyMatrices(s, 0, h, n, z, values, e, output, o);
                return;
            }
            for (int row = 0; row < h; row++) {
                for (int key = 0; key < Math.Min(n, first + row + 1); key++) {
                    double w = s[row * n + key];
                    for (int c = 0; c < e; c++) output[o + row * e + c] += w * z[values + key * e + c];
                }
            }
        }

        /// <summary>The softmax of the first `count` scores of a row, scaled and with the bias at b[at..].</summary>
        private void Weights(double[] s, int i, int count, double[] b, int at) {
            double max = double.NegativeInfinity, sum = 0.0;
            for (int k = 0; k < count; k++) {
                s[i + k] = b == null ? scale * s[i + k] : scale * s[i + k] + b[at + k * columns];
                max = Math.Max(max, s[i + k]);
            }
            for (int k = 0; k < count; k++) {
                s[i + k] = Math.Exp(s[i + k] - max);
                sum += s[i + k];
            }
            for (int k = 0; k < count; k++) s[i + k] /= sum;
        }
    }

    private static int[] ToInts(long[] values) {
        int[] ints = new int[values.Length];
        for (int k = 0; k < ints.Length; k++) {
            ints[k] = (int) values[k];
        }
        return ints;
    }

    /// <summary>cumsum: running sums along an axis.</summary>
    private static Step Cumsum(Args a) {
        a.dtype = a.Floating("dtype");
        RowType x = Ranked(a, a.One(DType.F64, DType.F32, DType.I64), 1, MANY);
        int axis = a.Integer("axis", 0, x.rank - 1), n = x.dims[axis], behind = x.Size(axis + 1, x.rank);
        bool exclusive = a.Flag("exclusive", false), reverse = a.Flag("reverse", false), whole = x.dtype == DType.I64;
        return new CumsumStep(a, whole ? x : x.With(a.dtype)) { x = x, n = n, behind = behind, exclusive = exclusive, reverse = reverse, whole = whole };
    }

    private sealed class CumsumStep : Step {
        internal RowType x;
        internal int n, behind;
        internal bool exclusive, reverse, whole;
        internal CumsumStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            Array x = whole ? f.values[inputs[0]] : Floats(f, 0), output = type.dtype.Allocate(f.rows * type.width);
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
                        ((long[]) output)[k] = exclusive ? counted : count;
                    } else {
                        sum += ((double[]) x)[k];
                        ((double[]) output)[k] = Round(exclusive ? before : sum);
                    }
                }
            }
            return output;
        }
    }
}
}
