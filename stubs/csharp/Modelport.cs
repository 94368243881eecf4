// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// modelport for C#: runs modelport JSON artifacts, format 1 (docs/format.md), without any machine-learning framework. This file and
// ModelportCore.cs, C# 6 for netstandard2.0, the standard library only: paste both into a project. No reflection, no unsafe code, no
// culture, no network, no file system.
//
//     var model = Model.Load(bytes);                          // replays the vectors that the artifact carries
//     double[][] p = model.Predict(new[] {5.1, 3.5})["probability"].Matrix();
//
// Sections: 5 Ops, 6 Trees, 7 Model; 1 to 4 are in ModelportCore.cs.

using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Threading.Tasks;

namespace Modelport {
using static Core;

// ==== 5 Ops =========================================================================================================

/// <summary>A table of ops; Model.Load takes further ones: ModelportMore.Ops (profiles kernel, text, solver) and ModelportNn.Ops (profile nn).</summary>
public sealed class OpTable {
    internal static readonly OpTable TABULAR = new OpTable(Tabular, "concat", "select", "cast", "constant", "impute", "is_missing", "lookup", "onehot",
        "bucketize", "scale", "clip", "unary", "binary", "where", "linear", "softmax", "log_softmax", "normalize", "reduce", "two_class", "take",
        "poly", "interp", "tree_ensemble", "gaussian_ll");
    /// <summary>Their names, in the order of docs/format.md.</summary>
    public IReadOnlyList<string> Names { get; }
    /// <summary>The entry of a.op: checks the attributes and the inputs' types; the step it returns knows its type, and runs.</summary>
    internal readonly Func<Args, Step> Check;
    private readonly HashSet<string> known;
    internal OpTable(Func<Args, Step> check, params string[] names) { Check = check; Names = names; known = new HashSet<string>(names, StringComparer.Ordinal); }
    /// <summary>The table that knows an op, or null. A further table comes first: it may do an op of this file faster.</summary>
    internal static OpTable Of(string op, OpTable[] more) {
        foreach (OpTable table in more) if (table.known.Contains(op)) return table;
        return TABULAR.known.Contains(op) ? TABULAR : null;
    }
}

internal static partial class Core {
    /// <summary>The entry of a.op, in the order of docs/format.md.</summary>
    internal static Step Tabular(Args a) {
        switch (a.op) {
            case "concat": return Concat(a.Deep()); case "select": return Select(a); case "cast": return Cast(a.Deep());
            case "constant": return Constant(a.Deep()); case "impute": return Impute(a); case "is_missing": return IsMissing(a);
            case "lookup": return Lookup(a.Deep()); case "onehot": return Onehot(a); case "bucketize": return Bucketize(a);
            case "scale": return Scale(a.Deep()); case "clip": return Clip(a.Deep()); case "unary": return Unary(a.Deep());
            case "binary": return Binary(a.Deep()); case "where": return Where(a.Deep()); case "linear": return Linear(a.Deep());
            case "softmax": return Softmax(a.Deep(), false); case "log_softmax": return Softmax(a.Deep(), true);
            case "normalize": return Normalize(a.Deep()); case "reduce": return Reduce(a.Deep()); case "two_class": return TwoClass(a);
            case "take": return Take(a.Deep()); case "poly": return Poly(a); case "interp": return Interp(a.Deep());
            case "tree_ensemble": return new Trees(a).Build(); case "gaussian_ll": return GaussianLl(a);
            default: throw new InvalidOperationException(a.op);
        }
    }

    internal const int DEAR = 16, MOVED = 8; // multiplications that an exponential, or a search, counts as, and an element read or defined
    internal static readonly DType[] ANY = DType.All;
    internal static readonly DType[] FLOATS = {DType.F64, DType.F32};
    private static readonly DType[] CAN_BE_MISSING = {DType.F64, DType.F32, DType.Str};
    internal static readonly DType[] INTEGERS = {DType.I64, DType.I32, DType.I16, DType.I8, DType.U32, DType.U16, DType.U8};

    /// <summary>A step while it is being checked: its attributes, read one by one, and the types of what it reads.</summary>
    internal sealed class Args {
        internal const long MOST_WHOLE = 1 << 28; // the largest integer that is an attribute
        internal readonly string op, where;
        internal readonly int[] inputs;
        internal readonly RowType[] types;
        internal readonly Guard guard;
        internal DType dtype = DType.F64; // of ops marked d
        internal long work = 0, strings = 0; // multiplications per row; strings beside those read and defined (docs/format.md, section 5)
        private readonly Json json;
        private readonly Dictionary<object, object> memo; // what attributes have become, when steps are checked more than once; or null
        private readonly HashSet<string> read = new HashSet<string>(StringComparer.Ordinal) {"op", "in", "out"};
        private bool deep;
        internal Args(string op, string where, Json json, int[] inputs, RowType[] types, Dictionary<object, object> memo, Guard guard) {
            this.op = op; this.where = where; this.json = json; this.inputs = inputs; this.types = types; this.memo = memo; this.guard = guard;
        }
        /// <summary>Accepts values of any rank; without it, only rows.</summary>
        internal Args Deep() { deep = true; return this; }
        internal Refused Refuse(string sentence) { return new Refused(where + " " + sentence); }
        /// <summary>Refuses attributes that the op has not read.</summary>
        internal void Finish() {
            foreach (string key in json.Keys())
                if (!read.Contains(key) && !Json.Ignored(key)) throw Refuse("has the unknown attribute " + Quote(key) + ", which may change its meaning.");
        }
        internal void Arity(int low, int high) {
            if (types.Length < low || types.Length > high)
                throw Refuse("reads " + types.Length + " values; " + (low == high ? "exactly " : "at least ") + low + " are needed.");
        }
        internal RowType Input(int k, params DType[] allowed) {
            if (types[k].rank > 1 && !deep) throw Refuse("reads " + types[k] + "; a row of rank 0 or 1 is needed.");
            if (Array.IndexOf(allowed, types[k].dtype) < 0)
                throw Refuse("reads " + types[k] + "; one of " + Show(allowed) + " is needed, a cast step may help.");
            return types[k];
        }
        /// <summary>The only input, of one of the dtypes.</summary>
        internal RowType One(params DType[] allowed) { Arity(1, 1); return Input(0, allowed); }
        /// <summary>The only input of an op marked d: floats, as they are after rounding to the step's dtype.</summary>
        internal RowType Rounded() { dtype = Floating("dtype"); return One(FLOATS).With(dtype); }
        internal DType Floating(string key) { return Choice(key, true, "f64", "f32") == "f32" ? DType.F32 : DType.F64; }
        internal bool Has(string key) { return json.Get(key) != null; }
        internal Json Attribute(string key) {
            read.Add(key);
            Json value = json.Get(key);
            if (value == null) throw Refuse("lacks the required attribute " + Quote(key) + ".");
            return value;
        }
        private string At(string key) { return where + " attribute " + Quote(key); }
        private Refused None(string key, string value, string[] options) {
            return Refuse("has " + Quote(key) + " " + Quote(value) + "; it is one of " + Show(options) + ".");
        }
        /// <summary>One of the options; the first is the default where one is allowed.</summary>
        internal string Choice(string key, bool optional, params string[] options) {
            if (optional && !Has(key)) return options[0];
            string value = Attribute(key).String(At(key));
            if (Array.IndexOf(options, value) < 0) throw None(key, value, options);
            return value;
        }
        /// <summary>The position of a required option.</summary>
        internal int Option(string key, string[] options) { return Array.IndexOf(options, Choice(key, false, options)); }
        internal bool Flag(string key, bool otherwise) { return Has(key) ? Attribute(key).Scalar(At(key)).Bool() : otherwise; }
        internal int Integer(string key, long low, long high) {
            long value = Attribute(key).Scalar(At(key)).Integer(DType.I64);
            high = Math.Min(high, MOST_WHOLE);
            if (value < low || value > high)
                throw Refuse("has " + Quote(key) + " " + value + "; it lies between " + low + " and " + high + ".");
            return (int) value;
        }
        internal double Number(string key, double otherwise) { return Has(key) ? Attribute(key).Scalar(At(key)).Number(DType.F64) : otherwise; }
        /// <summary>One JSON element of the dtype as a tensor; null only where a missing string is an element.</summary>
        internal Tensor Element(string key, DType dtype, bool missing) {
            Cursor c = Attribute(key).Scalar(At(key));
            if (dtype.IsFloat) return new Tensor(dtype, new double[] {c.Number(dtype)}, 1);
            if (dtype != DType.Str) return new Tensor(dtype, new long[] {dtype != DType.Bool ? c.Integer(dtype) : c.Bool() ? 1 : 0}, 1);
            string s = c.String(missing);
            guard.Measure(s);
            return new Tensor(dtype, new string[] {s}, 1);
        }
        /// <summary>The tensor of an attribute; decoded once.</summary>
        private Tensor Decoded(string key, DType bare) {
            Json value = Attribute(key);
            object found = null;
            if (memo != null) memo.TryGetValue(value, out found);
            var t = (Tensor) found;
            if (t == null) t = Tensor.Read(value, bare, At(key), guard);
            if (memo != null) memo[value] = t;
            return t;
        }
        /// <summary>A row shape, held against the limits before anything is allocated by it.</summary>
        internal RowType Shaped(DType dtype, params long[] lengths) {
            int[] dims = new int[lengths.Length];
            for (int k = 0; k < dims.Length; k++) dims[k] = (int) Math.Min(lengths[k], int.MaxValue);
            RowType type = new RowType(dtype, dims);
            if (type.Counted > guard.limits.RowElements || dims.Length > guard.limits.Rank)
                throw Refuse("gives " + type + ", more than the limit of " + guard.limits.RowElements + " elements, or of rank " + guard.limits.Rank + ".");
            return type;
        }
        /// <summary>A tensor of the dtype (null: any) and of one of the lowest..highest ranks.</summary>
        internal Tensor Values(string key, DType dtype, int lowest, int highest) {
            Tensor t = Decoded(key, dtype);
            if (dtype != null && t.DType != dtype || t.shape.Length < lowest || t.shape.Length > highest)
                throw Refuse("has " + Quote(key) + " of dtype " + t.DType + " and rank " + t.shape.Length + "; "
                    + (dtype == null ? "" : dtype + " and ") + "rank " + highest + " is needed.");
            return t;
        }
        /// <summary>Floats of the step's dtype, rank 1, so many (-1: any number).</summary>
        internal double[] Floats(string key, int length) { return Floats(key, dtype, length); }
        internal double[] Floats(string key, DType dtype, int length) {
            double[] values = Values(key, dtype, 1, 1).Doubles();
            Expect(key, values.Length, length);
            return values;
        }
        /// <summary>The same, or null when absent.</summary>
        internal double[] Optional(string key, DType dtype, int length) { return Has(key) ? Floats(key, dtype, length) : null; }
        /// <summary>One element for each column, or one for all; null when absent.</summary>
        internal double[] PerColumn(string key, RowType x) {
            double[] values = Optional(key, x.dtype, -1);
            if (values != null && values.Length != 1) Expect(key, values.Length, x.last);
            return values;
        }
        internal void Expect(string key, int found, int needed) {
            if (needed >= 0 && found != needed) throw Refuse("has " + Quote(key) + " with " + found + " elements; " + needed + " are needed.");
        }
        /// <summary>A float matrix with a column for each of the row's.</summary>
        internal Tensor Matrix(string key, RowType x) { return Fitting(key, Values(key, x.dtype, 2, 2), x); }
        private Tensor Fitting(string key, Tensor t, RowType x) {
            if (t.shape[1] != x.last || t.shape[0] > guard.limits.RowElements)
                throw Refuse("has " + Quote(key) + " of shape " + Show(t.shape) + "; " + x.last + " columns and at most "
                    + guard.limits.RowElements + " rows are needed.");
            return t;
        }
        /// <summary>A tensor of any integer dtype.</summary>
        internal Tensor Integers(string key, int rank) {
            Tensor t = Decoded(key, DType.I64);
            if (!t.DType.IsInteger || t.shape.Length != rank)
                throw Refuse("has " + Quote(key) + " of dtype " + t.DType + " and rank " + t.shape.Length + "; integers of rank " + rank + " are needed.");
            return t;
        }
        /// <summary>Integers of rank 1, so many (-1: any number), each within low..high.</summary>
        internal int[] Ints(string key, int length, long low, long high) {
            Tensor t = Integers(key, 1);
            Expect(key, t.Count, length);
            return Narrow(key, t, low, high);
        }
        /// <summary>An integer matrix with a column for each of the row's.</summary>
        internal Tensor IntMatrix(string key, RowType x) { return Fitting(key, Integers(key, 2), x); }
        internal int[] Narrow(string key, Tensor t, long low, long high) {
            long[] values = t.Longs();
            guard.Take(4L * values.Length);
            int[] narrow = new int[values.Length];
            for (int k = 0; k < narrow.Length; k++) {
                if (values[k] < low || values[k] > high)
                    throw Refuse("has " + values[k] + " in " + Quote(key) + " at position " + k + "; it lies between " + low + " and " + high + ".");
                narrow[k] = (int) values[k];
            }
            return narrow;
        }
        /// <summary>Counts a search, or a function such as exp, for each of so many elements of a row.</summary>
        internal void Dear(long elements) { work += DEAR * elements; }
        /// <summary>The row shape to which those of all inputs broadcast.</summary>
        internal RowType Broadcast(DType dtype) {
            int rank = 0;
            foreach (RowType t in types) rank = Math.Max(rank, t.rank);
            long[] dims = new long[rank];
            Fill(dims, 1);
            foreach (RowType t in types)
                for (int k = rank - t.rank, j = 0; k < rank; k++, j++) {
                    if (t.dims[j] != dims[k] && t.dims[j] != 1 && dims[k] != 1)
                        throw Refuse("joins " + Show(types) + "; the lengths of every axis must be equal, or 1.");
                    dims[k] = dims[k] == 1 ? t.dims[j] : dims[k];
                }
            return Shaped(dtype, dims);
        }
    }

    /// <summary>The values of one block of rows; `first` is the number of the block's first row in the batch.</summary>
    internal sealed class Frame {
        internal readonly int rows, first;
        internal readonly Array[] values;
        internal Frame(int rows, int first, Array[] values) { this.rows = rows; this.first = first; this.values = values; }
    }

    /// <summary>A checked step. run returns the rows of its value, rows x width: double[], long[] or string[]; what it reads is never changed.</summary>
    internal abstract class Step {
        internal readonly string where;
        internal readonly int[] inputs;
        internal readonly RowType[] from;
        internal readonly RowType type;
        internal readonly DType dtype;
        internal long work, strings; // per row, see Args; from when it is checked
        internal Step(Args a, RowType type) { this.where = a.where; this.inputs = a.inputs; this.from = a.types; this.type = type; this.dtype = a.dtype; }
        internal abstract Array Run(Frame f);
        /// <summary>Rounds to the step's dtype.</summary>
        internal double Round(double v) { return dtype == DType.F32 ? (float) v : v; }
        /// <summary>The k-th input, rounded to the step's dtype.</summary>
        internal double[] Floats(Frame f, int k) {
            double[] x = (double[]) f.values[inputs[k]];
            return dtype == DType.F32 && from[k].dtype == DType.F64 ? Rounded(Copy(x), DType.F32) : x;
        }
        internal static double[] Rounded(double[] x, DType to) {
            for (int k = 0; to == DType.F32 && k < x.Length; k++) x[k] = (float) x[k];
            return x;
        }
        internal Refused Refuse(Frame f, int row, string sentence) { return new Refused(where + " refuses row " + (f.first + row) + ": " + sentence); }
    }

    /// <summary>A step that computes floats row by row, along the last axis; results are rounded to the dtype of the value.</summary>
    internal abstract class Rows : Step {
        internal Rows(Args a, RowType type) : base(a, type) { }
        /// <summary>The row x[i..] of the input gives the row y[o..] of the value, which holds zeros.</summary>
        internal abstract void Row(double[] x, int i, double[] y, int o);
        internal override Array Run(Frame f) {
            double[] x = Floats(f, 0), y = new double[f.rows * type.width];
            for (int r = 0, i = from[0].last, o = type.last; r < f.rows * from[0].lanes; r++) Row(x, r * i, y, r * o);
            return Rounded(y, type.dtype);
        }
    }

    /// <summary>A step that moves elements without changing them.</summary>
    private abstract class Moves : Step {
        internal Moves(Args a, RowType type) : base(a, type) { }
        /// <summary>Where element k of the value comes from: k &gt;= 0 is x[k], k &lt; 0 is y[-1 - k].</summary>
        internal abstract int Source(Frame f, int k);
        internal Array Move(Frame f, Array x, Array y) {
            Array output = type.dtype.Allocate(f.rows * type.width);
            for (int k = 0; k < f.rows * type.width; k++) {
                int s = Source(f, k);
                Array from = s >= 0 ? x : y;
                s = s >= 0 ? s : -1 - s;
                if (output is double[]) ((double[]) output)[k] = ((double[]) from)[s];
                else if (output is long[]) ((long[]) output)[k] = ((long[]) from)[s];
                else ((string[]) output)[k] = ((string[]) from)[s];
            }
            return output;
        }
    }

    /// <summary>The parameter of column j: one element stands for all columns.</summary>
    private static double At(double[] p, int j) { return p.Length == 1 ? p[0] : p[j]; }

    /// <summary>concat: joins rows, or values of one rank along an axis.</summary>
    private static Step Concat(Args a) {
        a.Arity(1, int.MaxValue);
        RowType x = a.Input(0, ANY);
        int axis = a.Has("axis") ? a.Integer("axis", 0, x.rank - 1) : -1;
        long width = 0;
        for (int k = 0; k < a.types.Length; k++) {
            RowType t = a.Input(k, x.dtype);
            if (axis < 0 ? t.rank > 1 : t.rank != x.rank || !t.Resized(axis, 1).Same(x.Resized(axis, 1)))
                throw a.Refuse("joins " + Show(a.types) + "; rows are needed or, with \"axis\", shapes that are equal but for that axis.");
            width += axis < 0 ? t.width : t.dims[axis];
        }
        width = Math.Min(width, int.MaxValue);
        return new ConcatStep(a, axis < 0 ? RowType.Row(x.dtype, width) : x.Resized(axis, (int) width)) { axis = axis };
    }

    private sealed class ConcatStep : Step {
        internal int axis;
        internal ConcatStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            Array output = type.dtype.Allocate(f.rows * type.width);
            int lanes = axis < 0 ? 1 : type.Size(0, axis), length = type.width / Math.Max(1, lanes);
            for (int k = 0, offset = 0, n; k < from.Length; offset += n, k++) {
                n = from[k].width / Math.Max(1, lanes);
                for (int r = 0; r < f.rows * lanes; r++) Array.Copy(f.values[inputs[k]], r * n, output, r * length + offset, n);
            }
            return output;
        }
    }

    /// <summary>select: columns by position.</summary>
    private static Step Select(Args a) {
        RowType x = a.One(ANY);
        int[] index = a.Ints("index", -1, 0, x.width - 1);
        return new SelectStep(a, RowType.Row(x.dtype, index.Length)) { x = x, index = index };
    }

    private sealed class SelectStep : Moves {
        internal RowType x;
        internal int[] index;
        internal SelectStep(Args a, RowType type) : base(a, type) { }
        internal override int Source(Frame f, int k) { return k / index.Length * x.width + index[k % index.Length]; }
        internal override Array Run(Frame f) { return Move(f, f.values[inputs[0]], null); }
    }

    /// <summary>cast: changes the dtype; what does not fit an integer is refused. An integer becomes an f32 in one rounding, not by way of f64.</summary>
    private static Step Cast(Args a) {
        RowType x = a.One(Resized(ANY, ANY.Length - 1));
        DType to = DType.Named(a.Choice("to", false, "f64", "f32", "i64", "i32", "i16", "i8", "u32", "u16", "u8", "bool"), a.where);
        return new CastStep(a, x.With(to)) { to = to };
    }

    private sealed class CastStep : Step {
        internal DType to;
        internal CastStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            Array x = f.values[inputs[0]], output = to.Allocate(f.rows * type.width);
            bool floats = x is double[];
            for (int k = 0; k < f.rows * type.width; k++) {
                double v = floats ? ((double[]) x)[k] : 0.0;
                long n = floats ? 0 : ((long[]) x)[k];
                if (to == DType.F64) ((double[]) output)[k] = floats ? v : n;
                else if (to == DType.F32) ((double[]) output)[k] = floats ? (float) v : (float) n;
                else if (to == DType.Bool) ((long[]) output)[k] = (floats ? v != 0 : n != 0) ? 1 : 0;
                else ((long[]) output)[k] = floats ? Truncated(v, f, k) : Within(n >= to.Min && n <= to.Max, n, n, f, k);
            }
            return output;
        }
        private long Truncated(double v, Frame f, int k) {
            double whole = v < 0 ? Math.Ceiling(v) : Math.Floor(v); // max + 1 is a power of two, exact also where max is not
            return Within(whole >= to.Min && whole < (to == DType.I64 ? 9223372036854775808.0 : to.Max + 1.0), (long) whole, v, f, k);
        }
        private long Within(bool fits, long n, object given, Frame f, int k) {
            if (!fits) throw Refuse(f, k / type.width, (given is double ? Show((double) given) : Show((long) given)) + " does not fit the dtype " + to + ".");
            return n;
        }
    }

    /// <summary>constant: the same row for every row of the batch.</summary>
    private static Step Constant(Args a) {
        a.Arity(0, 0);
        if (a.Attribute("value").kind != '{') throw a.Refuse("has a bare \"value\"; write it in the object form, which states its dtype.");
        Tensor value = a.Values("value", null, 0, a.guard.limits.Rank);
        return new ConstantStep(a, new RowType(value.DType, value.shape)) { value = value };
    }

    private sealed class ConstantStep : Step {
        internal Tensor value;
        internal ConstantStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            Array output = type.dtype.Allocate(f.rows * type.width);
            for (int r = 0; r < f.rows; r++) Array.Copy(value.data, 0, output, r * type.width, type.width);
            return output;
        }
    }

    /// <summary>What counts as missing in impute and is_missing: elements that equal `match`; by default NaN among floats, null among strings.</summary>
    private static Tensor Match(Args a, RowType x) {
        return a.Has("match") ? a.Element("match", x.dtype, false) : x.dtype == DType.Str ? Tensor.Of(new string[] {null}) : Tensor.Of(double.NaN);
    }

    /// <summary>The key under which an element is found in a map: NaN equals NaN, null equals null, -0.0 equals 0.0.</summary>
    private static object Key(Array data, int k) {
        return data is double[] ? (object) (((double[]) data)[k] + 0.0) : data is long[] ? (object) ((long[]) data)[k] : ((string[]) data)[k];
    }

    private static bool Alike(object x, object y) { return x == null ? y == null : x.Equals(y); }

    /// <summary>impute: elements that match are replaced by the column's value.</summary>
    private static Step Impute(Args a) {
        RowType x = a.One(CAN_BE_MISSING);
        object match = Key(Match(a, x).data, 0);
        Tensor values = a.Values("values", x.dtype, 1, 1);
        if (values.Count != 1) a.Expect("values", values.Count, x.width);
        return new ImputeStep(a, x) { match = match, values = values };
    }

    private sealed class ImputeStep : Moves {
        internal object match;
        internal Tensor values;
        internal ImputeStep(Args a, RowType type) : base(a, type) { }
        internal override int Source(Frame f, int k) {
            return !Alike(Key(f.values[inputs[0]], k), match) ? k : values.Count == 1 ? -1 : -1 - k % type.width;
        }
        internal override Array Run(Frame f) { return Move(f, f.values[inputs[0]], values.data); }
    }

    /// <summary>is_missing: 1.0 where an element matches, else 0.0.</summary>
    private static Step IsMissing(Args a) {
        RowType x = a.One(CAN_BE_MISSING);
        object match = Key(Match(a, x).data, 0);
        return new IsMissingStep(a, x.With(DType.F64)) { match = match };
    }

    private sealed class IsMissingStep : Step {
        internal object match;
        internal IsMissingStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] output = new double[f.rows * type.width];
            for (int k = 0; k < output.Length; k++) output[k] = Alike(Key(f.values[inputs[0]], k), match) ? 1.0 : 0.0;
            return output;
        }
    }

    /// <summary>lookup: the value of the equal key; the default, or a refusal, for an unknown one.</summary>
    private static Step Lookup(Args a) {
        RowType x = a.One(DType.F64, DType.F32, DType.I64, DType.Bool, DType.Str);
        Tensor keys = a.Values("keys", x.dtype, 1, 1);
        Tensor values = a.Values("values", null, 1, 1);
        Tensor otherwise = a.Has("default") ? a.Element("default", values.DType, true) : null;
        a.Expect("values", values.Count, keys.Count);
        a.guard.Take(96L * keys.Count);
        a.Dear(x.width);
        var places = new KeyPlaces(keys.data);
        if (places.twice >= 0) throw a.Refuse("has one key twice in \"keys\", at position " + Show(places.twice) + "; keys are all different.");
        return new LookupStep(a, x.With(values.DType)) { values = values, otherwise = otherwise, places = places };
    }

    /// <summary>The position of each key; numbers are sorted, so that no choice of them makes the search slow.</summary>
    private sealed class KeyPlaces {
        internal readonly int twice = -1; // the position of a key that was there before
        private readonly Dictionary<string, int> strings;
        private readonly double[] doubles; // ascending, NaN last; -0.0 is 0.0
        private readonly long[] longs;
        private readonly int[] place;
        private readonly int nothing = -1, nan = -1; // of null and of NaN
        internal KeyPlaces(Array keys) {
            place = new int[keys.Length];
            for (int k = 0; k < place.Length; k++) place[k] = k;
            if (keys is string[]) {
                strings = new Dictionary<string, int>(StringComparer.Ordinal);
                for (int k = 0; k < keys.Length; k++) {
                    string key = ((string[]) keys)[k];
                    if (key == null ? nothing >= 0 : strings.ContainsKey(key)) { twice = k; return; }
                    if (key == null) nothing = k;
                    else strings[key] = k;
                }
            } else if (keys is long[]) {
                longs = Copy((long[]) keys);
                Array.Sort(longs, place);
                for (int k = 1; k < longs.Length; k++) if (longs[k] == longs[k - 1]) twice = Math.Max(place[k], place[k - 1]);
            } else {
                doubles = Copy((double[]) keys);
                for (int k = 0; k < doubles.Length; k++) {
                    if (doubles[k] != doubles[k]) {
                        if (nan >= 0) { twice = k; return; }
                        nan = k;
                    }
                    doubles[k] = doubles[k] != doubles[k] ? double.PositiveInfinity : doubles[k] + 0.0;
                }
                Array.Sort(doubles, place);
                for (int k = 1; k < doubles.Length; k++)
                    if (doubles[k] == doubles[k - 1] && place[k] != nan && place[k - 1] != nan) twice = Math.Max(place[k], place[k - 1]);
            }
        }
        /// <summary>Where element k of an array stands among the keys, or -1.</summary>
        internal int Find(Array data, int k) {
            if (strings != null) {
                string key = ((string[]) data)[k];
                int at;
                return key == null ? nothing : strings.TryGetValue(key, out at) ? at : -1;
            }
            if (longs != null) {
                int at = Array.BinarySearch(longs, ((long[]) data)[k]);
                return at < 0 ? -1 : place[at];
            }
            double v = ((double[]) data)[k];
            if (v != v) return nan;
            int low = Count(doubles, 0, doubles.Length, v, false);
            while (low < doubles.Length && doubles[low] == v && place[low] == nan) low++;
            return low < doubles.Length && doubles[low] == v ? place[low] : -1;
        }
    }

    private sealed class LookupStep : Moves {
        internal Tensor values, otherwise;
        internal KeyPlaces places;
        internal LookupStep(Args a, RowType type) : base(a, type) { }
        internal override int Source(Frame f, int k) {
            int place = places.Find(f.values[inputs[0]], k);
            if (place < 0 && otherwise == null) {
                object key = Key(f.values[inputs[0]], k);
                string spelled = key == null ? "null" : key is string ? Quote((string) key) : key is double ? Show((double) key) : Show((long) key);
                throw Refuse(f, k / type.width, spelled + " is none of the known categories.");
            }
            return place;
        }
        internal override Array Run(Frame f) { return Move(f, values.data, otherwise == null ? null : otherwise.data); }
    }

    /// <summary>onehot: per column a unit vector; -1 gives zeros.</summary>
    private static Step Onehot(Args a) {
        RowType x = a.One(INTEGERS);
        int size = a.Integer("size", 1, a.guard.limits.TensorElements);
        return new OnehotStep(a, RowType.Row(DType.F64, (long) x.width * size)) { size = size };
    }

    private sealed class OnehotStep : Step {
        internal int size;
        internal OnehotStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            long[] x = (long[]) f.values[inputs[0]];
            double[] output = new double[f.rows * type.width];
            for (int k = 0; k < f.rows * from[0].width; k++) {
                if (x[k] < -1 || x[k] >= size) throw Refuse(f, k / from[0].width, "the code " + x[k] + " lies outside 0.." + (size - 1) + ".");
                if (x[k] >= 0) output[k * size + (int) x[k]] = 1.0;
            }
            return output;
        }
    }

    /// <summary>bucketize: the number of edges e of the column with not (x &lt;= e) (left) or not (x &lt; e) (right); NaN counts all.</summary>
    private static Step Bucketize(Args a) {
        RowType x = a.One(FLOATS);
        double[] edges = a.Floats("edges", x.dtype, -1);
        int[] sizes = a.Ints("sizes", x.width, 0, edges.Length), start = new int[x.width + 1];
        bool left = a.Choice("side", false, "left", "right") == "left";
        for (int j = 0; j < x.width; j++) {
            start[j + 1] = Math.Min(start[j] + sizes[j], edges.Length + 1);
            for (int k = start[j]; k < Math.Min(start[j + 1], edges.Length); k++)
                if (!(edges[k] >= edges[Math.Max(k - 1, start[j])])) throw a.Refuse("has edges of column " + j + " that do not ascend.");
        }
        a.Expect("edges", edges.Length, start[x.width]);
        a.Dear(x.width);
        return new BucketizeStep(a, x.With(DType.I64)) { edges = edges, start = start, left = left };
    }

    private sealed class BucketizeStep : Step {
        internal double[] edges;
        internal int[] start;
        internal bool left;
        internal BucketizeStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            double[] x = (double[]) f.values[inputs[0]];
            long[] output = new long[f.rows * type.width];
            for (int k = 0; k < output.Length; k++) {
                int j = k % type.width;
                output[k] = Count(edges, start[j], start[j + 1], x[k], !left) - start[j];
            }
            return output;
        }
    }

    /// <summary>The first of the ascending values[low..high) that is above v (or at v, unless `orEqual`); high for NaN.</summary>
    internal static int Count(double[] values, int low, int high, double v, bool orEqual) {
        while (low < high) {
            int middle = (int) ((uint) (low + high) >> 1);
            if (orEqual ? v < values[middle] : v <= values[middle]) high = middle;
            else low = middle + 1;
        }
        return low;
    }

    /// <summary>scale: ((x - sub) / div) * mul + add, absent parts skipped.</summary>
    private static Step Scale(Args a) {
        RowType x = a.Rounded();
        double[] sub = a.PerColumn("sub", x), div = a.PerColumn("div", x), mul = a.PerColumn("mul", x), add = a.PerColumn("add", x);
        return new ScaleStep(a, x) { sub = sub, div = div, mul = mul, add = add };
    }

    private sealed class ScaleStep : Rows {
        internal double[] sub, div, mul, add;
        internal ScaleStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] x, int i, double[] y, int o) {
            for (int j = 0; j < type.last; j++) {
                double v = x[i + j];
                if (sub != null) v = Round(v - At(sub, j));
                if (div != null) v = Round(v / At(div, j));
                if (mul != null) v = Round(v * At(mul, j));
                y[o + j] = add == null ? v : v + At(add, j);
            }
        }
    }

    /// <summary>clip: bounds per column; NaN passes.</summary>
    private static Step Clip(Args a) {
        RowType x = a.Rounded();
        double[] min = a.PerColumn("min", x), max = a.PerColumn("max", x);
        return new ClipStep(a, x) { min = min, max = max };
    }

    private sealed class ClipStep : Rows {
        internal double[] min, max;
        internal ClipStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] x, int i, double[] y, int o) {
            for (int j = 0; j < type.last; j++) {
                double v = x[i + j];
                y[o + j] = min != null && v < At(min, j) ? At(min, j) : max != null && v > At(max, j) ? At(max, j) : v;
            }
        }
    }

    private static readonly string[] UNARY = {"neg", "abs", "sign", "sqrt", "square", "reciprocal", "floor", "ceil", "round", "trunc", "relu", "not",
        "exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "sigmoid",
        "log_sigmoid", "softplus", "erf", "norm_ppf"};

    private const int EXACT_UNARIES = 12; // come first

    /// <summary>The functions of unary, spelled as in the format.</summary>
    private static Func<double, double> Function(string fn) {
        switch (fn) {
            case "neg": return x => -x; case "abs": return Math.Abs;
            case "sign": return Special.Sign; case "sqrt": return Math.Sqrt;
            case "square": return x => x * x; case "reciprocal": return x => 1.0 / x;
            case "floor": return Math.Floor; case "ceil": return Math.Ceiling;
            case "round": return Math.Round; case "trunc": return x => x < 0 ? Math.Ceiling(x) : Math.Floor(x);
            case "relu": return x => x > 0 || x != x ? x : 0.0; case "exp": return Math.Exp;
            case "expm1": return Special.Expm1; case "log": return Math.Log;
            case "log1p": return Special.Log1p; case "log2": return Special.Log2;
            case "log10": return Math.Log10; case "sin": return Math.Sin;
            case "cos": return Math.Cos; case "tan": return Math.Tan;
            case "arcsin": return Math.Asin; case "arccos": return Math.Acos;
            case "arctan": return Math.Atan; case "sinh": return Math.Sinh;
            case "cosh": return Math.Cosh; case "tanh": return Math.Tanh;
            case "sigmoid": return Special.Sigmoid;
            case "log_sigmoid": return x => x >= 0 ? -Special.Log1p(Math.Exp(-x)) : x - Special.Log1p(Math.Exp(x));
            case "softplus": return Special.Softplus;
            case "erf": return Special.Erf; case "norm_ppf": return Special.NormPpf;
            default: throw new InvalidOperationException(fn);
        }
    }

    /// <summary>unary: a function, element by element; f32 is computed in f64 and rounded.</summary>
    private static Step Unary(Args a) {
        string fn = a.Choice("fn", false, UNARY);
        a.dtype = a.Floating("dtype");
        if (fn == "not") return new NotStep(a, a.One(DType.Bool));
        RowType x = a.Rounded();
        if (Array.IndexOf(UNARY, fn) >= EXACT_UNARIES) a.Dear(x.width);
        return new UnaryStep(a, x) { fn = Function(fn) };
    }

    private sealed class UnaryStep : Rows {
        internal Func<double, double> fn;
        internal UnaryStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] x, int i, double[] y, int o) {
            for (int j = 0; j < type.last; j++) y[o + j] = fn(x[i + j]);
        }
    }

    private sealed class NotStep : Step {
        internal NotStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) { return Array.ConvertAll((long[]) f.values[inputs[0]], v => 1 - v); }
    }

    /// <summary>The functions of binary, as in the format: arithmetic, comparisons, logic.</summary>
    private enum Binaries { Add, Sub, Mul, Div, Min, Max, Pow, Eq, Ne, Lt, Le, Gt, Ge, And, Or, Xor }
    private static readonly string[] BINARY = {"add", "sub", "mul", "div", "min", "max", "pow", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor"};

    /// <summary>binary: arithmetic, comparison or logic of two values that broadcast.</summary>
    private static Step Binary(Args a) {
        a.Arity(2, 2);
        a.dtype = a.Floating("dtype");
        var fn = (Binaries) a.Option("fn", BINARY);
        DType x = a.types[0].dtype, y = a.types[1].dtype;
        bool logic = fn >= Binaries.And, equality = fn == Binaries.Eq || fn == Binaries.Ne, compares = fn >= Binaries.Eq && !logic;
        bool compared = compares && x == y && (x == DType.I64 || equality && (x == DType.Bool || x == DType.Str));
        if (!(logic ? x == DType.Bool && y == x : compared || x.IsFloat && y.IsFloat))
            throw a.Refuse("cannot compute " + BINARY[(int) fn] + " of " + a.types[0] + " and " + a.types[1] + "; a cast step may help.");
        RowType wide = a.Broadcast(logic || compares ? DType.Bool : a.dtype);
        int[] i = a.types[0].Spread(wide, a.guard), j = a.types[1].Spread(wide, a.guard);
        if (fn == Binaries.Pow) a.Dear(wide.width);
        if (x == DType.Str) a.strings = wide.Counted;
        return new BinaryStep(a, wide) { fn = fn, i = i, j = j };
    }

    private sealed class BinaryStep : Step {
        internal Binaries fn;
        internal int[] i, j; // where elements of the two stand; or null
        internal BinaryStep(Args a, RowType type) : base(a, type) { }
        internal override Array Run(Frame f) {
            bool floats = from[0].dtype.IsFloat;
            Array x = floats ? Floats(f, 0) : f.values[inputs[0]], y = floats ? Floats(f, 1) : f.values[inputs[1]];
            Array output = type.dtype.Allocate(f.rows * type.width);
            for (int r = 0, k = 0; r < f.rows; r++)
                for (int e = 0, p = r * from[0].width, q = r * from[1].width; e < type.width; e++, k++) {
                    int v = i == null ? p + e : p + i[e], w = j == null ? q + e : q + j[e];
                    if (output is long[]) ((long[]) output)[k] = Holds(x, v, y, w) ? 1 : 0;
                    else ((double[]) output)[k] = Round(Of(((double[]) x)[v], ((double[]) y)[w]));
                }
            return output;
        }
        private double Of(double x, double y) {
            switch (fn) {
                case Binaries.Add: return x + y; case Binaries.Sub: return x - y;
                case Binaries.Mul: return x * y; case Binaries.Div: return x / y;
                case Binaries.Min: return Math.Min(x, y); case Binaries.Max: return Math.Max(x, y);
                default: return Special.Pow(x, y);
            }
        }
        private bool Holds(Array x, int i, Array y, int j) {
            if (x is string[]) return Orders(((string[]) x)[i] == ((string[]) y)[j] ? 0 : 2);
            if (x is long[]) {
                long n = ((long[]) x)[i], m = ((long[]) y)[j];
                return fn == Binaries.And ? n != 0 && m != 0 : fn == Binaries.Or ? n != 0 || m != 0 : fn == Binaries.Xor ? n != 0 != (m != 0)
                    : Orders(n.CompareTo(m));
            }
            double v = ((double[]) x)[i], w = ((double[]) y)[j];
            return Orders(v < w ? -1 : v > w ? 1 : v == w ? 0 : 2);
        }
        /// <summary>Whether x compares so with y; `order` is -1, 0 or 1, and 2 when they are unequal without an order.</summary>
        private bool Orders(int order) {
            switch (fn) {
                case Binaries.Eq: return order == 0; case Binaries.Ne: return order != 0;
                case Binaries.Lt: return order < 0; case Binaries.Le: return order <= 0;
                case Binaries.Gt: return order == 1;
                default: return order == 0 || order == 1;
            }
        }
    }

    /// <summary>where: the second value where the first is true, else the third.</summary>
    private static Step Where(Args a) {
        a.Arity(3, 3);
        a.Input(0, DType.Bool);
        RowType wide = a.Broadcast(a.Input(2, a.types[1].dtype).dtype);
        int[][] places = {a.types[0].Spread(wide, a.guard), a.types[1].Spread(wide, a.guard), a.types[2].Spread(wide, a.guard)};
        return new WhereStep(a, wide) { places = places };
    }

    private sealed class WhereStep : Moves {
        internal int[][] places;
        internal WhereStep(Args a, RowType type) : base(a, type) { }
        private int Place(int j, int k) { return places[j] == null ? k : k / type.width * from[j].width + places[j][k % type.width]; }
        internal override int Source(Frame f, int k) { return ((long[]) f.values[inputs[0]])[Place(0, k)] != 0 ? Place(1, k) : -1 - Place(2, k); }
        internal override Array Run(Frame f) { return Move(f, f.values[inputs[1]], f.values[inputs[2]]); }
    }

    /// <summary>linear: sum_j x_j * weight[k][j] in ascending j, then + bias[k], rounded once.</summary>
    private static Step Linear(Args a) {
        RowType x = a.Rounded();
        Tensor matrix = a.Matrix("weight", x);
        int n = matrix.shape[0];
        a.guard.Take(8L * matrix.Count);
        double[] bias = a.Optional("bias", a.dtype, n), turned = new double[matrix.Count]; // [j, k]: the inner loop has no chain of sums
        for (int k = 0; k < n; k++) for (int j = 0; j < x.last; j++) turned[j * n + k] = matrix.Doubles()[k * x.last + j];
        a.work = (long) x.lanes * matrix.Count;
        return new LinearStep(a, x.rank == 0 ? RowType.Row(a.dtype, n) : x.Resized(x.rank - 1, n)) { x = x, n = n, bias = bias, turned = turned };
    }

    private sealed class LinearStep : Rows {
        internal RowType x;
        internal int n;
        internal double[] bias, turned;
        internal LinearStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] x, int i, double[] y, int o) {
            for (int w = 0; w < turned.Length; w += n, i++) for (int k = 0; k < n; k++) y[o + k] += x[i] * turned[w + k];
            for (int k = 0; bias != null && k < n; k++) y[o + k] += bias[k];
        }
    }

    /// <summary>softmax: exp(x - max) / sum. log_softmax: x - max - log(sum).</summary>
    private static Step Softmax(Args a, bool log) {
        RowType x = a.Rounded();
        a.Dear(x.width);
        return new SoftmaxStep(a, x) { log = log };
    }

    private sealed class SoftmaxStep : Rows {
        internal bool log;
        internal SoftmaxStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] x, int i, double[] y, int o) {
            int w = type.last;
            double max = w == 0 ? 0.0 : x[i + Extreme(x, i, w, true)], sum = 0.0;
            for (int j = 0; j < w; j++) {
                double shifted = Round(x[i + j] - max), e = Round(Math.Exp(shifted));
                y[o + j] = log ? shifted : e;
                sum += e;
            }
            sum = log ? Round(Math.Log(Round(sum))) : Round(sum);
            for (int j = o; j < o + w; j++) y[j] = log ? y[j] - sum : y[j] / sum;
        }
    }

    /// <summary>The position of the largest (or smallest) of a row: ties go to the lowest index, the first NaN wins.</summary>
    private static int Extreme(double[] x, int i, int w, bool max) {
        int best = 0;
        for (int j = 1; j < w && x[i + best] == x[i + best]; j++) {
            double v = x[i + j];
            if (v != v || (max ? v > x[i + best] : v < x[i + best])) best = j;
        }
        return best;
    }

    internal static double Dot(double[] x, int i, double[] y, int k, int w) {
        double sum = 0.0;
        for (int j = 0; j < w; j++) sum += x[i + j] * y[k + j];
        return sum;
    }

    /// <summary>normalize: rows divided by their norm; an all-zero row is unchanged.</summary>
    private static Step Normalize(Args a) {
        RowType x = a.Rounded();
        string norm = a.Choice("norm", false, "l1", "l2", "max");
        return new NormalizeStep(a, x) { norm = norm };
    }

    private sealed class NormalizeStep : Rows {
        internal string norm;
        internal NormalizeStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] x, int i, double[] y, int o) {
            double sum = 0.0, max = 0.0;
            for (int j = i; j < i + type.last; j++) {
                sum += norm == "l2" ? x[j] * x[j] : Math.Abs(x[j]);
                max = Math.Max(max, Math.Abs(x[j]));
            }
            double by = norm == "max" ? max : Round(norm == "l2" ? Math.Sqrt(sum) : sum);
            for (int j = 0; j < type.last; j++) y[o + j] = by == 0 ? x[i + j] : x[i + j] / by;
        }
    }

    private static readonly string[] REDUCTIONS = {"sum", "prod", "mean", "min", "max", "l2", "logsumexp", "argmax", "argmin"};
    private enum Reduction { Sum, Prod, Mean, Min, Max, L2, Logsumexp, Argmax, Argmin }

    /// <summary>reduce: one number per row, or over some axes; f32 is computed in f64 and rounded.</summary>
    private static Step Reduce(Args a) {
        RowType t = a.Rounded();
        var fn = (Reduction) a.Option("fn", REDUCTIONS);
        bool max = fn != Reduction.Min && fn != Reduction.Argmin, position = fn >= Reduction.Argmax;
        bool keep = a.Flag("keep", false), given = a.Has("axes"), good = given || t.rank < 2;
        int[] axes = given ? a.Ints("axes", -1, 0, t.rank - 1) : t.rank == 1 ? new int[] {0} : new int[0];
        for (int k = given ? 0 : 1; k < Math.Max(axes.Length, 1); k++) good &= k < axes.Length && (k == 0 || axes[k] > axes[k - 1] && !position);
        if (!good || t.width == 0)
            throw a.Refuse("reduces " + t + (given ? " over " + Show(axes) : "") + "; ascending axes (one for argmax, argmin) are needed.");
        int[][] offsets = new int[t.rank][]; // of the axes that stay, then of those that are reduced
        int[] dims = new int[keep ? Math.Max(t.rank, 1) : t.rank - axes.Length];
        Fill(dims, 1);
        for (int axis = 0, k = 0; axis < t.rank; axis++) {
            bool reduced = k < axes.Length && axes[k] == axis;
            offsets[reduced ? t.rank - axes.Length + k : axis - k] = t.Along(axis, t.dims[axis]);
            if (!reduced) dims[keep ? axis : axis - k] = t.dims[axis];
            k += reduced ? 1 : 0;
        }
        int[] places = axes.Length == 0 || axes[0] == t.rank - axes.Length ? null : Places(a.guard, offsets);
        var type = new RowType(position ? DType.I64 : a.dtype, dims);
        if (fn == Reduction.Logsumexp) a.Dear(t.width);
        return new ReduceStep(a, type) { w = t.width / type.width, t = t, fn = fn, max = max, position = position, places = places };
    }

    private sealed class ReduceStep : Step {
        internal RowType t;
        internal Reduction fn;
        internal bool max, position;
        internal int[] places;
        internal ReduceStep(Args a, RowType type) : base(a, type) { }
        internal int w; // elements that make one
        internal override Array Run(Frame f) {
            double[] given = Floats(f, 0), x = places == null ? given : new double[given.Length];
            for (int r = 0; places != null && r < x.Length; r += t.width) for (int k = 0; k < t.width; k++) x[r + k] = given[r + places[k]];
            Array output = type.dtype.Allocate(f.rows * type.width);
            for (int k = 0; k < f.rows * type.width; k++)
                if (position) ((long[]) output)[k] = Extreme(x, k * w, w, max);
                else ((double[]) output)[k] = Round(Reduced(x, k * w));
            return output;
        }
        private double Reduced(double[] x, int i) {
            double m = x[i + Extreme(x, i, w, max)], sum = fn == Reduction.Prod ? 1.0 : 0.0;
            for (int j = i; j < i + w; j++)
                sum = fn == Reduction.Prod ? sum * x[j] : sum + (fn == Reduction.L2 ? x[j] * x[j] : fn == Reduction.Logsumexp ? Math.Exp(x[j] - m) : x[j]);
            switch (fn) {
                case Reduction.Min: case Reduction.Max: return m;
                case Reduction.Mean: return sum / w;
                case Reduction.L2: return Math.Sqrt(sum);
                case Reduction.Logsumexp: return double.IsInfinity(m) ? m : m + Math.Log(sum);
                default: return sum;
            }
        }
    }

    /// <summary>two_class: [1 - p, p].</summary>
    private static Step TwoClass(Args a) {
        if (a.Rounded().width != 1) throw a.Refuse("reads " + a.types[0] + "; one probability per row is needed.");
        return new TwoClassStep(a, RowType.Row(a.dtype, 2));
    }

    private sealed class TwoClassStep : Rows {
        internal TwoClassStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] p, int i, double[] y, int o) { y[o] = 1.0 - p[i]; y[o + 1] = p[i]; }
    }

    /// <summary>take: table rows by index.</summary>
    private static Step Take(Args a) {
        RowType x = a.One(INTEGERS);
        Tensor table = a.Values("table", null, 1, 2);
        int w = table.Width;
        if (table.shape.Length == 2 && x.width != 1) throw a.Refuse("reads " + x + " with a table of rows; one index per row is needed.");
        return new TakeStep(a, table.shape.Length == 1 ? x.With(table.DType) : RowType.Row(table.DType, w)) { table = table, w = w };
    }

    private sealed class TakeStep : Moves {
        internal Tensor table;
        internal int w;
        internal TakeStep(Args a, RowType type) : base(a, type) { }
        internal override int Source(Frame f, int k) {
            long index = ((long[]) f.values[inputs[0]])[k / w];
            if (index < 0 || index >= table.shape[0])
                throw Refuse(f, k / type.width, "the index " + index + " lies outside the table of " + table.shape[0] + " entries.");
            return (int) index * w + k % w;
        }
        internal override Array Run(Frame f) { return Move(f, table.data, null); }
    }

    /// <summary>poly: products of powers of columns, multiplied from the last factor to the first.</summary>
    private static Step Poly(Args a) {
        RowType x = a.Rounded();
        Tensor matrix = a.IntMatrix("powers", x);
        int[] powers = a.Narrow("powers", matrix, 0, 255), start = new int[matrix.shape[0] + 1];
        int count = 0;
        foreach (int p in powers) { count += p > 0 ? 1 : 0; a.work += p; }
        a.guard.Take(4L * count);
        int[] factor = new int[count]; // term k multiplies column[c] power[c] times for c in factor[start[k]..start[k + 1]), packed
        for (int k = 0, c = 0; k < powers.Length; k++) {
            if (powers[k] > 0) factor[c++] = k % x.width << 8 | powers[k];
            start[k / x.width + 1] = c;
        }
        return new PolyStep(a, RowType.Row(a.dtype, matrix.shape[0])) { start = start, factor = factor };
    }

    private sealed class PolyStep : Rows {
        internal int[] start, factor;
        internal PolyStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] x, int i, double[] y, int o) {
            for (int k = 0; k < type.width; k++) {
                double product = 1.0;
                for (int c = start[k + 1] - 1; c >= start[k]; c--)
                    for (int times = factor[c] & 255; times > 0; times--) product = Round(product * x[i + (factor[c] >> 8)]);
                y[o + k] = product;
            }
        }
    }

    /// <summary>interp: piecewise linear through the knots (x, y).</summary>
    private static Step Interp(Args a) {
        RowType type = a.Rounded();
        double[] x = a.Floats("x", -1), y = a.Floats("y", x.Length);
        string outside = a.Choice("outside", false, "clip", "nan", "extend");
        int last = x.Length - 1;
        if (last < (outside == "extend" ? 1 : 0)) throw a.Refuse("has too few knots in \"x\"; one is needed, two to extend a line.");
        for (int k = 0; k <= last; k++)
            if (!(Math.Abs(x[k]) <= double.MaxValue && Math.Abs(y[k]) <= double.MaxValue) || k > 0 && !(x[k] > x[k - 1]))
                throw a.Refuse("has a knot at position " + k + " that is not finite, or not above the one before it.");
        a.Dear(type.width);
        return new InterpStep(a, type) { x = x, y = y, outside = outside, last = last };
    }

    private sealed class InterpStep : Rows {
        internal double[] x, y;
        internal string outside;
        internal int last;
        internal InterpStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] v, int i, double[] output, int o) {
            for (int j = 0; j < type.last; j++) output[o + j] = At(v[i + j]);
        }
        private double At(double v) {
            if (v != v || v == x[last]) return v != v ? v : y[last];
            if ((v < x[0] || v > x[last]) && outside != "extend") return outside == "nan" ? double.NaN : v < x[0] ? y[0] : y[last];
            int k = Math.Min(Math.Max(Count(x, 0, last + 1, v, true) - 1, 0), last - 1);
            double slope = Round(Round(y[k + 1] - y[k]) / Round(x[k + 1] - x[k]));
            return Round(slope * Round(v - x[k])) + y[k];
        }
    }

    /// <summary>gaussian_ll: log_prior - sum(log(2 pi var)) / 2 - sum((x - mean)^2 / var) / 2.</summary>
    private static Step GaussianLl(Args a) {
        RowType t = a.Rounded();
        Tensor means = a.Matrix("mean", t), variances = a.Matrix("var", t);
        int classes = means.shape[0];
        a.Expect("var", variances.shape[0], classes);
        a.work = classes * ((long) t.width + DEAR);
        double[] mean = means.Doubles(), variance = variances.Doubles(), prior = a.Optional("log_prior", a.dtype, classes), start = new double[classes];
        for (int k = 0; k < classes; k++) {
            double sum = 0.0;
            for (int j = 0; j < t.width; j++) sum += Math.Log(2.0 * Math.PI * variance[k * t.width + j]);
            start[k] = (prior == null ? 0.0 : prior[k]) - 0.5 * sum;
        }
        return new GaussianLlStep(a, RowType.Row(a.dtype, classes)) { t = t, classes = classes, mean = mean, variance = variance, start = start };
    }

    private sealed class GaussianLlStep : Rows {
        internal RowType t;
        internal int classes;
        internal double[] mean, variance, start;
        internal GaussianLlStep(Args a, RowType type) : base(a, type) { }
        internal override void Row(double[] x, int i, double[] y, int o) {
            for (int k = 0, c = 0; k < classes; k++) {
                double sum = 0.0;
                for (int j = 0; j < t.width; j++, c++) sum += (x[i + j] - mean[c]) * (x[i + j] - mean[c]) / variance[c];
                y[o + k] = start[k] - 0.5 * sum;
            }
        }
    }
}

// ==== 6 Trees =======================================================================================================

internal static partial class Core {
    /// <summary>tree_ensemble: the sum (or mean) of the leaves that a row reaches, tree by tree in order. Nodes are in preorder: left is i + 1.</summary>
    internal class Trees {
        internal readonly int columns, leafWidth;
        internal readonly bool strict, mean;
        internal readonly string missing;
        internal readonly DType dtype, acc;
        internal readonly int[] feature;      // [N] column, or -1 for a leaf
        internal readonly int[] root;         // [T] first node
        internal readonly int[] next;         // [N] right child; for a leaf its row in `leaf`
        internal readonly double[] threshold; // [N] 0 at leaves
        internal readonly int[] category;     // [N] set of a categorical node, or -1; null without categories
        internal readonly int[] missingLeft;  // [N] 1 where NaN goes left; null unless missing is "node"
        internal readonly double[] leaf;      // [rows, leafWidth]
        internal readonly int[] classOf;      // [T] the column that a tree adds to, or null
        internal readonly double[] init;      // [width] or null
        internal readonly RowType type;
        private Args a; // while checking; it holds on to the document
        private int[] setStart;
        private long[] set;
        internal Trees(Args a) {
            this.a = a;
            a.Arity(1, 2);
            dtype = a.dtype = a.Floating("dtype");
            columns = a.Input(0, FLOATS).width;
            strict = a.Choice("cmp", true, "le", "lt") == "lt";
            missing = a.Choice("missing", true, "error", "left", "right", "node");
            acc = a.Floating("acc");
            mean = a.Choice("aggregate", true, "sum", "mean") == "mean";
            feature = a.Ints("feature", -1, -1, columns - 1);
            root = a.Ints("start", -1, 0, feature.Length - 1);
            int inner = 0;
            foreach (int column in feature) inner += column >= 0 ? 1 : 0;
            a.guard.Take(44L * feature.Length); // these arrays and the packed form
            next = Children(a.Ints("right", inner, 0, feature.Length));
            threshold = Thresholds(inner);
            missingLeft = missing == "node" ? PerNode(a.Ints("missing_left", inner, 0, 1)) : null;
            category = Categories(inner);
            leafWidth = a.Has("leaf_width") ? a.Integer("leaf_width", 1, a.guard.limits.RowElements) : 1;
            a.work = (long) root.Length * leafWidth;
            leaf = Leaves(feature.Length - inner);
            bool byClass = a.Has("class");
            if (a.Has("size") != byClass || byClass && leafWidth != 1) throw a.Refuse("has only one of \"class\" and \"size\", or a leaf_width with them.");
            type = RowType.Row(acc, byClass ? a.Integer("size", 1, a.guard.limits.RowElements) : leafWidth);
            classOf = byClass ? a.Ints("class", root.Length, 0, type.width - 1) : null;
            init = a.Optional("init", acc, type.width);
            if (a.types.Length == 2 && (a.Input(1, acc).width != type.width || init != null))
                throw a.Refuse("reads " + a.types[1] + " as the start of its sum; " + type + " is needed, and no \"init\".");
        }
        internal int End(int tree) { return tree + 1 < root.Length ? root[tree + 1] : feature.Length; }
        /// <summary>Checks that the nodes form one tree in preorder for each start, so that every walk ends.</summary>
        private int[] Children(int[] right) {
            int[] next = new int[feature.Length], open = new int[64];
            if (root.Length == 0 || root[0] != 0) throw a.Refuse("has \"start\" that does not begin with 0.");
            for (int t = 0, i = 0, inner = 0; t < root.Length; t++) {
                int depth = 0;
                if (root[t] >= End(t)) throw a.Refuse("has \"start\" that does not ascend strictly.");
                for (; i < End(t); i++) {
                    bool good;
                    if (feature[i] >= 0) {
                        next[i] = root[t] + right[inner++];
                        good = next[i] > i + 1 && next[i] < End(t);
                        if (depth == open.Length) open = Resized(open, 2 * depth);
                        open[depth++] = next[i];
                    } else { next[i] = i - inner; good = depth > 0 ? open[--depth] == i + 1 : i + 1 == End(t); }
                    if (!good) throw a.Refuse("has nodes that do not form one tree in preorder: tree " + t + ", node " + (i - root[t]) + ".");
                }
            }
            return next;
        }
        private double[] Thresholds(int inner) {
            double[] given = a.Floats("threshold", inner), spread = new double[feature.Length];
            for (int i = 0, k = 0; i < spread.Length; i++) {
                if (feature[i] >= 0) spread[i] = given[k++];
                if (spread[i] != spread[i]) throw a.Refuse("has NaN in \"threshold\" at position " + (k - 1) + ".");
            }
            return spread;
        }
        /// <summary>Values of the inner nodes, spread to all nodes.</summary>
        private int[] PerNode(int[] inner) {
            int[] spread = new int[feature.Length];
            for (int i = 0, k = 0; i < spread.Length; i++) spread[i] = feature[i] >= 0 ? inner[k++] : -1;
            return spread;
        }
        private int[] Categories(int inner) {
            bool present = a.Has("category");
            if (a.Has("set_start") != present || a.Has("set") != present) throw a.Refuse("has a part of \"category\", \"set_start\", \"set\".");
            if (!present) return null;
            set = a.Integers("set", 1).Longs();
            setStart = a.Ints("set_start", -1, 0, set.Length);
            int[] spread = PerNode(a.Ints("category", inner, -1, setStart.Length - 1));
            bool good = setStart.Length > 0 ? setStart[0] == 0 : set.Length == 0;
            for (int s = 0; good && s < setStart.Length; s++) {
                good = setStart[s] <= SetEnd(s);
                for (int k = setStart[s]; good && k < SetEnd(s); k++) good = set[k] >= 0 && (k == setStart[s] || set[k] > set[k - 1]);
            }
            if (!good) throw a.Refuse("has category sets that do not cover \"set\" in order, or do not ascend from 0.");
            for (int i = 0; i < spread.Length; i++)
                if (spread[i] >= 0 && threshold[i] != 0) throw a.Refuse("has a categorical node with the threshold " + Show(threshold[i]) + "; it is 0.");
            return spread;
        }
        private int SetEnd(int s) { return s + 1 < setStart.Length ? setStart[s + 1] : set.Length; }
        /// <summary>The leaf rows: those of leaf_table, of which the leaves then name one each, or the leaves' own in node order.</summary>
        private double[] Leaves(int count) {
            double[] table = a.Floats(a.Has("leaf_table") ? "leaf_table" : "leaf", acc, -1);
            if (table.Length % leafWidth != 0) throw a.Refuse("has leaf values that do not make rows of " + leafWidth + ".");
            if (!a.Has("leaf_table")) { a.Expect("leaf", table.Length / leafWidth, count); return table; }
            int[] place = a.Ints("leaf", count, 0, table.Length / leafWidth - 1);
            for (int i = 0; i < next.Length; i++) if (feature[i] < 0) next[i] = place[next[i]];
            return table;
        }
        internal Step Build() {
            Args args = a;
            a = null;
            return new TreesStep(args, type) { trees = this };
        }
        private sealed class TreesStep : Step {
            internal Trees trees;
            internal TreesStep(Args a, RowType type) : base(a, type) { }
            internal override Array Run(Frame f) {
                double[] x = Floats(f, 0), start = from.Length == 2 ? (double[]) f.values[inputs[1]] : null, output = new double[f.rows * type.width];
                for (int r = 0; r < f.rows; r++) trees.Begin(output, r, start);
                int[] rest = trees.AddAll(x, f.rows, output);
                foreach (int r in rest) trees.Begin(output, r, start);
                for (int t = 0; t < trees.root.Length; t++) foreach (int r in rest) trees.Add(output, r, t, LeafOf(t, x, r, f));
                for (int k = 0; trees.mean && k < output.Length; k++) output[k] /= trees.root.Length;
                return Rounded(output, trees.acc);
            }
            /// <summary>The walk that knows NaN and categories.</summary>
            private int LeafOf(int t, double[] x, int r, Frame f) {
                int i = trees.root[t];
                while (trees.feature[i] >= 0) {
                    double v = x[r * trees.columns + trees.feature[i]];
                    if (v != v && trees.missing == "error") throw Refuse(f, r, "a tree compares column " + trees.feature[i] + ", which is NaN.");
                    bool left = v != v ? trees.missingLeft == null ? trees.missing == "left" : trees.missingLeft[i] == 1
                        : trees.category != null && trees.category[i] >= 0 ? trees.Contains(trees.category[i], v) : trees.strict ? v < trees.threshold[i] : v <= trees.threshold[i];
                    i = left ? i + 1 : trees.next[i];
                }
                return trees.next[i];
            }
        }
        private bool Contains(int s, double v) {
            long code = v >= 0 && v < 9223372036854775808.0 ? (long) v : -1;
            return code == v && Array.BinarySearch(set, setStart[s], SetEnd(s) - setStart[s], code) >= 0;
        }
        private void Begin(double[] output, int r, double[] start) {
            for (int o = 0, k = r * type.width; o < type.width; o++, k++) output[k] = start != null ? start[k] : init != null ? init[o] : 0.0;
        }
        /// <summary>Adds a leaf of a tree to row r; every addition is rounded to acc.</summary>
        internal void Add(double[] output, int r, int tree, int leafRow) {
            int k = r * type.width + (classOf == null ? 0 : classOf[tree]);
            for (int o = leafRow * leafWidth; o < (leafRow + 1) * leafWidth; o++, k++)
                output[k] = acc == DType.F32 ? (float) (output[k] + leaf[o]) : output[k] + leaf[o];
        }
        /// <summary>A faster way to add the leaves of all trees, where there is one (ModelportMore.cs); the rows that are left to the walk.</summary>
        internal virtual int[] AddAll(double[] x, int rows, double[] output) {
            int[] rest = new int[rows];
            for (int r = 0; r < rows; r++) rest[r] = r;
            return rest;
        }
    }
}

// ==== 7 Model ========================================================================================================

/// <summary>One input of a model.</summary>
public sealed class Input {
    public string Name { get; }
    public DType DType { get; }
    /// <summary>"error": NaN and null are refused; "nan" or "null": accepted.</summary>
    public string Missing { get; }
    /// <summary>The names of a matrix's columns, or null.</summary>
    public IReadOnlyList<string> Features { get; }
    /// <summary>The shape of one row: lengths (int), and names (string) of lengths that are known when rows come.</summary>
    public IReadOnlyList<object> Shape { get; }
    internal Input(string name, DType dtype, List<object> shape, string missing, List<string> features) {
        Name = name; DType = dtype; Shape = shape.AsReadOnly(); Missing = missing; Features = features?.AsReadOnly();
    }
    /// <summary>Whether a row is one element in one column.</summary>
    internal bool IsColumn => Shape.Count == 1 && 1.Equals(Shape[0]);
    internal RowType RowType(SortedDictionary<string, int> lengths) {
        var dims = new int[Shape.Count];
        for (int k = 0; k < dims.Length; k++) dims[k] = Shape[k] is int ? (int) Shape[k] : lengths[(string) Shape[k]];
        return new RowType(DType, dims);
    }
    /// <summary>Refuses rows of another shape; learns the named lengths that are not known yet.</summary>
    internal void Fit(string where, DType given, int[] shape, SortedDictionary<string, int> lengths) {
        bool fits = given == DType && shape.Length == Shape.Count + 1;
        for (int k = 1; fits && k < shape.Length; k++) {
            var name = Shape[k - 1] as string;
            if (name != null && shape[k] > 0 && !lengths.ContainsKey(name)) lengths[name] = shape[k];
            int needed = -1;
            if (name == null) needed = (int) Shape[k - 1];
            else if (!lengths.TryGetValue(name, out needed)) needed = -1;
            fits = shape[k] == needed;
        }
        if (!fits)
            throw new Refused(where + " is " + given + Show(shape) + "; rows of " + DType + Show(Shape) + " are needed"
                + (lengths.Count == 0 ? "." : ", where " + Spell(lengths) + "."));
    }
    internal static string Spell(SortedDictionary<string, int> lengths) {
        var parts = new List<string>();
        foreach (var pair in lengths) parts.Add(pair.Key + "=" + Core.Show(pair.Value));
        return "{" + string.Join(", ", parts) + "}";
    }
}

/// <summary>One output of a model.</summary>
public sealed class Output {
    public string Name { get; }
    public DType DType { get; }
    /// <summary>prediction, probability, score, transform, cluster or anomaly.</summary>
    public string Role { get; }
    /// <summary>The names of the last axis (string, long or bool), or null.</summary>
    public IReadOnlyList<object> Classes { get; }
    /// <summary>The shape of one row, for the example lengths; where a length is that of an input, its name.</summary>
    public IReadOnlyList<object> Shape { get; }
    internal readonly List<object> axes;
    internal readonly int slot;
    internal Output(string name, DType dtype, List<object> axes, int slot, string role, List<object> classes) {
        Name = name; DType = dtype; this.axes = axes; Shape = axes.AsReadOnly(); this.slot = slot; Role = role; Classes = classes?.AsReadOnly();
    }
}

/// <summary>How one output compared with the vectors; the sentence says what differs first, or how far the worst element is off.</summary>
public sealed class Check {
    public string Output { get; }
    public string Sentence { get; }
    public bool Passed { get; }
    internal Check(string output, bool passed, string sentence) { Output = output; Passed = passed; Sentence = "Output " + Quote(output) + " " + sentence; }
}

internal static partial class Core {
    internal static SortedDictionary<string, int> Lengths() { return new SortedDictionary<string, int>(StringComparer.Ordinal); }

    /// <summary>The steps, checked for given lengths, and how long each value is needed.</summary>
    internal sealed class Plan {
        internal readonly List<RowType> types = new List<RowType>(); // of every value: the inputs, then the steps
        internal readonly List<Step> steps = new List<Step>();
        internal readonly Dictionary<string, int> slots = new Dictionary<string, int>(StringComparer.Ordinal);
        internal readonly List<List<int>> free = new List<List<int>>(); // the values that no step after this one needs
        internal long peak; // the most elements of a row that are held at a time
        internal long operations, strings; // of a row
        private readonly Limits limits;
        private long rowElements, work;
        internal Plan(Model model, SortedDictionary<string, int> lengths, List<Json> list, Guard guard) {
            limits = guard.limits;
            foreach (Input input in model.Inputs) Define(input.Name, input.RowType(lengths), "Input " + Quote(input.Name));
            var listed = new HashSet<string>(model.Requires, StringComparer.Ordinal);
            var unused = new HashSet<string>(listed, StringComparer.Ordinal);
            foreach (Json json in list) {
                string number = "Step " + Show(steps.Count), op = json.Need("op", number).String(number + " op");
                string name = json.Need("out", number).String(number + " out"), where = "Step " + Quote(name) + " (" + op + ")";
                if (name.Length == 0) throw new Refused(number + " has an empty \"out\"; name its value.");
                if (!listed.Contains(op)) throw new Refused(number + " has the op " + Quote(op) + ", which \"requires\" does not list.");
                unused.Remove(op);
                Step step = Find(model, op, where, json, guard);
                work = Plus(work, step.work);
                operations = Plus(operations, step.work);
                strings = Plus(strings, step.strings);
                Count(step.type);
                foreach (RowType read in step.from) Count(read);
                if (work > limits.Multiplications) throw new Refused(where + " brings a row beyond the limit of " + Show(limits.Multiplications) + " multiplications.");
                Define(name, step.type, where);
                steps.Add(step);
            }
            foreach (string op in unused) throw new Refused("The document requires " + Quote(op) + " and uses it in no step; list the ops that are used.");
        }
        private void Count(RowType touched) {
            operations = Plus(operations, (long) MOVED * touched.Counted);
            if (touched.dtype == DType.Str) strings = Plus(strings, touched.Counted);
        }
        /// <summary>Checks a step; what attributes have become is kept for other lengths, and so is a step that reads what it read before.</summary>
        private Step Find(Model model, string op, string where, Json json, Guard guard) {
            Json names = json.Need("in", where).Expect('[', where + " in");
            guard.Take(12L * names.count);
            var inputs = new int[names.count];
            var from = new RowType[inputs.Length];
            int given = 0;
            foreach (string name in names.Texts(where + " in")) {
                if (!slots.TryGetValue(name, out inputs[given])) throw new Refused(where + " reads " + Quote(name) + ", which no input and no earlier step defines.");
                from[given] = types[inputs[given]];
                given++;
            }
            object found = null;
            if (model.memo != null) model.memo.TryGetValue(json, out found);
            var known = (Step) found;
            bool same = known != null;
            for (int k = 0; same && k < inputs.Length; k++) same = known.from[k].Same(from[k]);
            if (same) return known;
            var a = new Args(op, where, json, inputs, from, model.memo, guard);
            Step step = OpTable.Of(op, model.more).Check(a);
            a.Finish();
            step.work = a.work;
            step.strings = a.strings;
            if (model.memo != null) model.memo[json] = step;
            return step;
        }
        /// <summary>Gives a value its name, and holds it against the limits on row elements.</summary>
        private void Define(string value, RowType type, string where) {
            rowElements += type.Counted;
            if (type.Counted > limits.RowElements || type.rank > limits.Rank || rowElements > limits.TotalRowElements)
                throw new Refused(where + " brings a row to more elements than the limit: " + Show(limits.RowElements) + " in one value, "
                    + Show(limits.TotalRowElements) + " in all, or has a rank above " + Show(limits.Rank) + ".");
            if (slots.ContainsKey(value)) throw new Refused(where + " defines a name a second time; every name is defined once.");
            slots[value] = types.Count;
            types.Add(type);
        }
        /// <summary>Finds out when values are no longer needed: those that no output gives, after the last step that reads them.</summary>
        internal void Release(IReadOnlyList<Output> outputs) {
            var last = new int[types.Count];
            int inputs = types.Count - steps.Count;
            for (int k = 0; k < steps.Count; k++) {
                last[inputs + k] = k;
                foreach (int slot in steps[k].inputs) last[slot] = k;
                free.Add(new List<int>());
            }
            foreach (Output o in outputs) last[o.slot] = steps.Count;
            for (int slot = 0; slot < last.Length; slot++) if (last[slot] < steps.Count) free[last[slot]].Add(slot);
            long held = 0;
            for (int slot = 0; slot < last.Length; slot++) {
                peak = Math.Max(peak, held += types[slot].width);
                if (slot >= inputs) foreach (int gone in free[slot - inputs]) held -= types[gone].width;
            }
        }
    }
}

/// <summary>A loaded model. Immutable; may be shared by threads.</summary>
public sealed class Model {
    private const int BLOCK_ELEMENTS = 1 << 22, BLOCK_ROWS = 1 << 14, PLANS = 16, ROWS_PER_THREAD = 512;
    private static readonly string[] ROLES = {"prediction", "probability", "score", "transform", "cluster", "anomaly"};
    private readonly List<Input> inputs = new List<Input>();
    private readonly List<Output> outputs = new List<Output>();
    private readonly SortedDictionary<string, int> lengths = Lengths(); // the examples of the named ones
    private readonly Dictionary<string, Input> owners = new Dictionary<string, Input>(StringComparer.Ordinal); // of a feature's name, and of an input's own
    private readonly Limits limits;
    private readonly Vectors carried;
    private readonly Plan plan; // for the examples
    internal readonly OpTable[] more;
    private readonly List<Json> source; // the steps, and what they have become, where lengths are named; or null
    internal readonly Dictionary<object, object> memo;
    private readonly List<KeyValuePair<string, Plan>> plans = new List<KeyValuePair<string, Plan>>(); // the last ones, the newest behind
    public IReadOnlyList<Input> Inputs { get; }
    public IReadOnlyList<Output> Outputs { get; }
    /// <summary>The ops that the model uses.</summary>
    public IReadOnlyList<string> Requires { get; }
    /// <summary>The document's name, or null.</summary>
    public string Name { get; }

    /// <summary>Loads a document (UTF-8) and replays the vectors it carries; refuses it when one answer differs from the original model's. The
    /// ops of this file are known, and those of `more`: Model.Load(bytes, ModelportMore.Ops, ModelportNn.Ops).</summary>
    public static Model Load(byte[] document, params OpTable[] more) { return Load(document, true, new Limits(), more); }
    /// <summary>Loads a document that is held in a string.</summary>
    public static Model Load(string document, params OpTable[] more) {
        byte[] bytes = Utf8(document);
        if (bytes == null) throw new Refused("The document holds half of a surrogate pair; it is no text.");
        return Load(bytes, more);
    }
    /// <summary>Loads a document from a stream, which is read to its end; gives up beyond the largest document.</summary>
    public static Model Load(Stream document, params OpTable[] more) {
        var limits = new Limits();
        return Load(ReadAll(document, limits), true, limits, more);
    }
    /// <summary>Loads under the caller's terms: without `replay` the vectors are only read, and a document may carry none.</summary>
    public static Model Load(byte[] document, bool replay, Limits limits, params OpTable[] more) {
        if (document == null || limits == null || more == null) throw new ArgumentNullException("document");
        var guard = new Guard(limits);
        var model = new Model(Parser.Parse(document, "The document", guard), guard, more);
        if (replay) foreach (Check check in model.Verify()) if (!check.Passed) throw new Mismatch(check.Sentence);
        return model;
    }
    private static byte[] ReadAll(Stream stream, Limits limits) {
        var bytes = new MemoryStream();
        var part = new byte[1 << 16];
        for (int n; (n = stream.Read(part, 0, part.Length)) > 0; ) {
            bytes.Write(part, 0, n);
            if (bytes.Length > limits.DocumentBytes) throw new Refused("The document has more than the limit of " + Show(limits.DocumentBytes) + " bytes.");
        }
        return bytes.ToArray();
    }
    /// <summary>The names of the ops that this reader implements, alone or with further ones, sorted.</summary>
    public static IReadOnlyList<string> Ops(params OpTable[] more) {
        var sorted = new SortedSet<string>(OpTable.TABULAR.Names, StringComparer.Ordinal);
        foreach (OpTable table in more) sorted.UnionWith(table.Names);
        return new List<string>(sorted);
    }

    /// <summary>Checks a parsed document: header, inputs, steps, outputs, vectors.</summary>
    private Model(Json root, Guard guard, OpTable[] more) {
        limits = guard.limits;
        this.more = more;
        Inputs = inputs.AsReadOnly();
        Outputs = outputs.AsReadOnly();
        Requires = Header(root, guard, more).AsReadOnly();
        Name = root.Get("name") != null && root.Get("name").kind == '"' ? root.Get("name").String("") : null;
        var named = new SortedSet<string>(StringComparer.Ordinal);
        foreach (Json json in ListOf(root, "inputs")) inputs.Add(ReadInput(json, named, guard));
        Json examples = root.Get("lengths");
        int given = examples == null ? 0 : examples.Object("The document's lengths").Size;
        if (given == named.Count && given > 0) ReadLengths(examples);
        if (!named.SetEquals(lengths.Keys) || given != named.Count || examples != null && given == 0)
            throw new Refused("The document has " + Show(given) + " lengths " + Show(lengths.Keys) + "; its inputs name " + Show(named.Count) + ", " + Show(named) + ".");
        foreach (Input input in inputs) if (input.Features != null) foreach (string feature in input.Features) owners[feature] = input;
        foreach (Input input in inputs) owners[input.Name] = input;
        IEnumerable<Json> listed = ListOf(root, "steps");
        int count = root.Get("steps").count;
        if (count > limits.Steps) throw new Refused("The document has " + Show(count) + " steps, more than the limit of " + Show(limits.Steps) + ".");
        var steps = new List<Json>(listed);
        source = named.Count == 0 ? null : steps;
        memo = named.Count == 0 ? null : new Dictionary<object, object>();
        plan = new Plan(this, lengths, steps, guard);
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (Json json in ListOf(root, "outputs")) outputs.Add(ReadOutput(json, names, guard));
        plan.Release(outputs);
        guard.Take(16 * plan.peak);
        foreach (string length in lengths.Keys) NameAxes(length, guard.Attempt());
        carried = root.Get("verification") == null ? null : new Vectors(root.Get("verification"), this, limits.CarriedRows, guard);
        carried?.NeedWork(limits, root.b.Length, guard.longest);
    }
    private void ReadLengths(Json json) {
        foreach (string key in json.Object("The document's lengths").Keys()) {
            long length = json.Get(key).Scalar("The length " + Quote(key)).Integer(DType.I64);
            if (length < 1 || length > 1 << 20) throw new Refused("The length " + Quote(key) + " is " + Show(length) + "; it is 1 to 2^20.");
            lengths[key] = (int) length;
        }
    }
    /// <summary>Gives the axes of outputs that are as long as a named length, and grow with it, its name.</summary>
    private void NameAxes(string length, Guard guard) {
        var longer = Lengths();
        foreach (var pair in lengths) longer[pair.Key] = pair.Value;
        longer[length]++;
        try {
            var other = new Plan(this, longer, source, guard);
            foreach (Output o in outputs) {
                int[] dims = other.types[o.slot].dims;
                for (int k = 0; k < Math.Min(dims.Length, o.axes.Count); k++)
                    if (o.axes[k].Equals(lengths[length]) && dims[k] == longer[length]) o.axes[k] = length;
            }
        } catch (Refused) { // no other length fits
        }
    }
    /// <summary>The plan for given lengths.</summary>
    internal Plan PlanFor(SortedDictionary<string, int> given, Guard guard) {
        bool example = true;
        foreach (var pair in given) example &= lengths[pair.Key] == pair.Value;
        if (example) return plan;
        string key = string.Join(",", given.Values);
        lock (plans) {
            int at = plans.FindIndex(pair => pair.Key == key);
            if (at >= 0) {
                var known = plans[at];
                plans.RemoveAt(at);
                plans.Add(known);
                return known.Value;
            }
            long before = guard.left;
            Plan made;
            try {
                made = new Plan(this, given, source, guard);
            } catch (Refused e) {
                throw new Refused("Rows with the lengths " + Input.Spell(given) + " do not fit: " + e.Message);
            }
            made.Release(outputs);
            if (before - guard.left <= limits.Memory / PLANS / 8) plans.Add(new KeyValuePair<string, Plan>(key, made));
            if (plans.Count > PLANS) plans.RemoveAt(0);
            return made;
        }
    }
    /// <summary>Format, version and ops; returns the ops.</summary>
    private static List<string> Header(Json root, Guard guard, OpTable[] more) {
        string the = "The document", format = root.Need("format", the).String("The document's format");
        if (format != "modelport") throw new Refused("The document has the format " + Quote(format) + "; this reader reads \"modelport\".");
        Version(root.Need("version", the).String("The document's version"));
        var requires = new List<string>();
        var unknown = new StringBuilder();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (string op in root.Need("requires", the).Texts("The document's requires")) {
            guard.Take(96 + 2L * op.Length);
            if (!seen.Add(op)) throw new Refused("The document requires " + Quote(op) + " twice; every op is listed once.");
            if (OpTable.Of(op, more) != null) requires.Add(op);
            else if (unknown.Length < 1000) unknown.Append(unknown.Length == 0 ? "" : ", ").Append(Quote(op));
        }
        if (unknown.Length > 0) throw new Unsupported("The document requires ops that this reader does not have: " + unknown + ".");
        root.Only("The document", "format", "version", "requires", "lengths", "inputs", "steps", "outputs", "verification");
        return requires;
    }
    private static void Version(string version) {
        int dot = version.IndexOf('.');
        bool good = dot > 0 && dot < version.Length - 1;
        for (int k = 0; good && k < version.Length; k++) good = k == dot || version[k] >= '0' && version[k] <= '9';
        if (!good) throw new Refused("The document has the version " + Quote(version) + "; it is \"1.\" and a decimal number.");
        if (!Begins(version, "1.")) throw new Unsupported("The document has the version " + Quote(version) + "; this reader reads version 1.");
    }
    private static IEnumerable<Json> ListOf(Json root, string key) {
        Json list = root.Need(key, "The document").Expect('[', "The document's " + key);
        if (list.count == 0 && key != "steps") throw new Refused("The document has no " + key + "; at least one is needed.");
        return list.Objects("The document's " + key);
    }
    private Input ReadInput(Json json, SortedSet<string> named, Guard guard) {
        string number = "Input " + Show(inputs.Count), name = json.Need("name", number).String(number + " name"), where = "Input " + Quote(name);
        json.Only(where, "dtype", "shape", "missing", "features");
        DType dtype = DType.Named(json.Need("dtype", where).String(where + " dtype"), where);
        var axes = new List<object>();
        Json shape = json.Need("shape", where);
        bool good = shape.Expect('[', where + " shape").count <= limits.Rank && name.Length > 0;
        for (Cursor c = shape.Elements(where + " shape"); good && c.Next(); ) {
            bool text = c.Kind() == '"';
            object axis = text ? (object) c.String(false) : (int) Math.Min(Math.Max(c.Integer(DType.I64), -1), int.MaxValue);
            axes.Add(axis);
            good = text ? ((string) axis).Length > 0 : (int) axis >= 0;
            if (text) named.Add((string) axis);
        }
        if (!good || !(dtype.IsFloat || dtype == DType.I64 || dtype == DType.Bool || dtype == DType.Str))
            throw new Refused(where + " is " + dtype + Show(axes) + "; a name, f64, f32, i64, bool or str, and a shape of lengths and names are needed.");
        string missing = json.Get("missing") == null ? "error" : json.Get("missing").String(where + " missing");
        if (!(missing == "error" || missing == "nan" && dtype.IsFloat || missing == "null" && dtype == DType.Str))
            throw new Refused(where + " has missing " + Quote(missing) + "; it is \"error\", or \"nan\" for floats, or \"null\" for str.");
        List<string> features = json.Get("features") == null ? null : json.Get("features").Strings(where + " features", guard);
        if (features != null && (axes.Count != 1 || !axes[0].Equals(features.Count) || new HashSet<string>(features, StringComparer.Ordinal).Count != features.Count))
            throw new Refused(where + " has " + Show(features.Count) + " features for " + dtype + Show(axes)
                + "; a matrix has one for each column, all different.");
        return new Input(name, dtype, axes, missing, features);
    }
    private Output ReadOutput(Json json, HashSet<string> names, Guard guard) {
        string number = "Output " + Show(outputs.Count), name = json.Need("name", number).String(number + " name"), where = "Output " + Quote(name);
        json.Only(where, "from", "dtype", "role", "classes");
        string from = json.Need("from", where).String(where + " from"), role = json.Need("role", where).String(where + " role");
        DType dtype = DType.Named(json.Need("dtype", where).String(where + " dtype"), where);
        int slot;
        bool known = plan.slots.TryGetValue(from, out slot);
        if (!known || plan.types[slot].dtype != dtype)
            throw new Refused(where + " comes from " + Quote(from) + ", which is " + (known ? plan.types[slot] + "." : "not defined."));
        RowType type = plan.types[slot];
        if (name.Length == 0 || !names.Add(name) || Array.IndexOf(ROLES, role) < 0)
            throw new Refused(where + " has an empty name, that of another output, or the unknown role " + Quote(role) + "; roles are " + Show(ROLES) + ".");
        List<object> classes = json.Get("classes") == null ? null : ReadClasses(json.Get("classes"), where, type, guard);
        var axes = new List<object>();
        foreach (int length in type.dims) axes.Add(length);
        return new Output(name, dtype, axes, slot, role, classes);
    }
    private static List<object> ReadClasses(Json json, string where, RowType type, Guard guard) {
        var classes = new List<object>();
        char first = ' ';
        if (type.rank > 0 && json.Expect('[', where + " classes").count != type.last)
            throw new Refused(where + " has " + Show(json.count) + " classes for " + type + "; they name its last axis.");
        guard.Take(64L * json.count + 2L * (json.end - json.start));
        for (Cursor c = json.Elements(where + " classes"); c.Next(); ) {
            char kind = c.Kind() == 'f' ? 't' : c.Kind();
            first = classes.Count == 0 ? kind : first;
            classes.Add(kind == 't' ? (object) c.Bool() : kind == '0' ? (object) c.Integer(DType.I64) : c.String(false));
            if (kind != first) throw new Refused(where + " has classes of several kinds; they are all strings, all integers or all booleans.");
        }
        return classes;
    }

    /// <summary>Predicts rows of a model that has one matrix: Predict(row), Predict(row, row) or Predict(rows).</summary>
    public Dictionary<string, Tensor> Predict(params double[][] rows) { return Predict(Alone(rows)); }
    /// <summary>Predicts the rows of a dense matrix, for a model that has one input.</summary>
    public Dictionary<string, Tensor> Predict(double[,] rows) { return Predict(Alone(rows)); }
    /// <summary>Predicts rows of a model that has one input, of any shape: Predict(Tensor.Of(pixels).Shaped(2, 3, 32, 32)).</summary>
    public Dictionary<string, Tensor> Predict(Tensor rows) { return Predict(Alone(rows)); }
    private Dictionary<string, object> Alone(object rows) {
        if (inputs.Count != 1) throw new Refused("The model has " + Show(inputs.Count) + " inputs; give them by name.");
        return new Dictionary<string, object>(StringComparer.Ordinal) {{inputs[0].Name, rows}};
    }
    /// <summary>
    /// Predicts columns by name: for each input a Tensor, an array, a matrix, or a list of values. A matrix with features may be given as one
    /// column for each feature instead. Integers and booleans (true = 1) are accepted where floats are expected.
    /// </summary>
    public Dictionary<string, Tensor> Predict(IReadOnlyDictionary<string, object> columns) {
        var unused = new SortedSet<string>(columns.Keys, StringComparer.Ordinal);
        var bound = new Array[inputs.Count];
        var given = Lengths();
        int rows = -1;
        for (int k = 0; k < bound.Length; k++) {
            Input input = inputs[k];
            object value;
            bool whole = columns.TryGetValue(input.Name, out value);
            Tensor t = !whole && input.Features != null ? Gather(input, columns, unused) : Bind(input, value, given);
            unused.Remove(input.Name);
            if (rows >= 0 && t.Rows != rows)
                throw new Refused("Input " + Quote(input.Name) + " has " + Show(t.Rows) + " rows, those before it have " + Show(rows) + "; give equally many.");
            rows = t.Rows;
            bound[k] = t.data;
            if (input.Missing == "error") RefuseMissing(input, t);
        }
        foreach (string key in unused) throw new Refused("The input " + Quote(key) + " is not one of the model's; remove it.");
        foreach (var length in lengths) if (!given.ContainsKey(length.Key)) given[length.Key] = length.Value; // there are no rows
        var guard = new Guard(limits);
        return Evaluate(PlanFor(given, guard), bound, rows, guard);
    }
    /// <summary>Predicts records: one dictionary for each row, from the name of an input of one column, or of a feature, to its value or null.</summary>
    public Dictionary<string, Tensor> PredictRecords(IEnumerable<IReadOnlyDictionary<string, object>> records) {
        var columns = new Dictionary<string, object>(StringComparer.Ordinal);
        foreach (Input input in inputs) {
            if (input.Features == null && input.Shape.Count > 0 && !input.IsColumn)
                throw new Refused("Input " + Quote(input.Name) + " is a matrix without features; records cannot name its columns.");
            foreach (string key in input.Features ?? new[] {input.Name}) columns[key] = new List<object>();
        }
        foreach (var record in records) {
            foreach (string key in record.Keys)
                if (!columns.ContainsKey(key)) throw new Refused("The column " + Quote(key) + " of a record is not one of the model's; remove it.");
            foreach (var column in columns) {
                object cell;
                if (!record.TryGetValue(column.Key, out cell)) throw new Refused("A record lacks " + Quote(column.Key) + "; null is a missing value.");
                ((List<object>) column.Value).Add(cell);
            }
        }
        return Predict(columns);
    }
    /// <summary>A matrix from one column per feature.</summary>
    private static Tensor Gather(Input input, IReadOnlyDictionary<string, object> columns, SortedSet<string> unused) {
        int w = input.Features.Count, rows = 0;
        var data = new Array[w];
        for (int j = 0; j < w; j++) {
            string key = input.Features[j], where = "Column " + Quote(key);
            object given;
            if (!columns.TryGetValue(key, out given))
                throw new Refused("Input " + Quote(input.Name) + " is missing, and so is its column " + Quote(key) + "; give one value per row.");
            Tensor t = Tensor.From(given, input.DType, where);
            rows = j == 0 ? t.Rows : rows;
            if (t.Count != rows || t.Rows != rows)
                throw new Refused(where + " has " + Show(t.Count) + " values; " + Show(rows) + " rows are given before it.");
            data[j] = t.As(input.DType, where);
            unused.Remove(key);
        }
        Array matrix = input.DType.Allocate(CountElements(rows, w));
        for (int j = 0; j < w; j++) {
            var column = data[j] as double[];
            if (column != null) for (int r = 0; r < rows; r++) ((double[]) matrix)[r * w + j] = column[r];
            else for (int r = 0; r < rows; r++) Array.Copy(data[j], r, matrix, r * w + j, 1);
        }
        return new Tensor(input.DType, matrix, rows, w);
    }
    private static Tensor Bind(Input input, object given, SortedDictionary<string, int> lengths) {
        string where = "Input " + Quote(input.Name);
        if (given == null) throw new Refused(where + " is missing; give one value per row.");
        Tensor t = Tensor.From(given, input.DType, where);
        bool column = t.shape.Length == 1 && input.IsColumn, none = t.shape.Length > 1 && t.shape[0] == 0 && input.Shape.Count > 0;
        if (!column && !none) input.Fit(where, input.DType, t.shape, lengths);
        return new Tensor(input.DType, t.As(input.DType, where), t.shape);
    }
    private static void RefuseMissing(Input input, Tensor t) {
        var doubles = t.data as double[];
        var strings = t.data as string[];
        int n = doubles != null || strings != null ? t.Count : 0;
        for (int k = 0; k < n; k++)
            if (strings != null ? strings[k] == null : doubles[k] != doubles[k])
                throw new Refused("Input " + Quote(input.Name) + " has a missing value in row " + Show(k / t.Width) + "; it is not accepted.");
    }
    /// <summary>Runs the steps block by block, so that memory stays bounded, and blocks on several threads when there are many rows.</summary>
    private Dictionary<string, Tensor> Evaluate(Plan plan, Array[] bound, int rows, Guard guard) {
        var result = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        foreach (Output o in outputs) {
            RowType type = plan.types[o.slot];
            guard.Take(8L * rows * type.width);
            result[o.Name] = new Tensor(o.DType, o.DType.Allocate(CountElements(rows, type.width)), type.Shape(rows));
        }
        long most = Math.Max(1, Math.Min(BLOCK_ROWS, Math.Min(BLOCK_ELEMENTS, limits.Memory / 64) / Math.Max(1, plan.peak)));
        int threads = Math.Max(1, Math.Min(limits.Threads, rows / ROWS_PER_THREAD));
        int block = (int) Math.Max(1, Math.Min(most, (rows + threads - 1) / threads));
        int blocks = (rows + block - 1) / block;
        threads = Math.Min(threads, blocks);
        guard.Take(16L * Math.Min(block, rows) * plan.peak * threads);
        if (threads < 2) {
            for (int k = 0; k < blocks; k++) RunBlock(plan, bound, rows, k * block, block, result);
            return result;
        }
        var failures = new Exception[blocks];
        Parallel.For(0, blocks, new ParallelOptions {MaxDegreeOfParallelism = threads}, k => {
            try {
                RunBlock(plan, bound, rows, k * block, block, result);
            } catch (Exception e) {
                failures[k] = e;
            }
        });
        foreach (Exception e in failures) { // the first one, as one thread would find it
            if (e is ModelportException) throw e;
            if (e != null) throw new InvalidOperationException("A block of rows failed: " + e.Message, e);
        }
        return result;
    }
    private void RunBlock(Plan plan, Array[] bound, int rows, int first, int block, Dictionary<string, Tensor> result) {
        var f = new Frame(Math.Min(block, rows - first), first, new Array[plan.types.Count]);
        for (int k = 0; k < bound.Length; k++) f.values[k] = f.rows == rows ? bound[k] : Slice(bound[k], plan.types[k], f);
        for (int k = 0; k < plan.steps.Count; k++) {
            f.values[bound.Length + k] = plan.steps[k].Run(f);
            foreach (int slot in plan.free[k]) f.values[slot] = null;
        }
        foreach (Output o in outputs) {
            int width = plan.types[o.slot].width;
            Array.Copy(f.values[o.slot], 0, result[o.Name].data, first * width, f.rows * width);
        }
    }
    private static Array Slice(Array data, RowType type, Frame f) {
        Array part = type.dtype.Allocate(f.rows * type.width);
        Array.Copy(data, f.first * type.width, part, 0, f.rows * type.width);
        return part;
    }
    /// <summary>Reads {"inputs": {name: tensor}}, predicts, and returns the outputs (docs/format.md, section 11).</summary>
    public Dictionary<string, Tensor> PredictJson(byte[] request) {
        var guard = new Guard(limits);
        Json root = Parser.Parse(request, "The request", guard);
        root.Only("The request", "inputs");
        var columns = new Dictionary<string, object>(StringComparer.Ordinal);
        var given = Lengths();
        Json fed = root.Need("inputs", "The request").Object("The request's inputs");
        foreach (string key in fed.Keys()) {
            string where = "Input " + Quote(key);
            Input owner;
            if (!owners.TryGetValue(key, out owner)) throw new Refused("The input " + Quote(key) + " is not one of the model's; remove it.");
            Tensor t = Tensor.Read(fed.Get(key), owner.DType, where, guard);
            if (owner.Name == key) owner.Fit(where, t.DType, t.shape, given);
            else if (t.DType != owner.DType || t.shape.Length != 1)
                throw new Refused(where + " is " + t.DType + Show(t.shape) + "; one " + owner.DType + " for each row is needed.");
            columns[key] = t;
        }
        return Predict(columns);
    }
    /// <summary>Writes predictions as {"outputs": {name: tensor}} (docs/format.md, section 11).</summary>
    public static void WriteOutputs(IReadOnlyDictionary<string, Tensor> outputs, TextWriter to) {
        var pairs = new List<KeyValuePair<string, object>>();
        foreach (var pair in outputs) pairs.Add(new KeyValuePair<string, object>(pair.Key, pair.Value));
        WriteJson(new List<KeyValuePair<string, object>> {new KeyValuePair<string, object>("outputs", pairs)}, to);
    }
    /// <summary>Replays the vectors that the document carries.</summary>
    public IReadOnlyList<Check> Verify() {
        if (carried == null) throw new Refused("The document carries no verification, so nothing proves its answers; add vectors, or do without a replay.");
        return carried.Replay(this);
    }
    /// <summary>Replays the vectors of another file: a `verification` object.</summary>
    public IReadOnlyList<Check> Verify(byte[] vectors) {
        var guard = new Guard(limits);
        return new Vectors(Parser.Parse(vectors, "The vectors file", guard), this, int.MaxValue, guard).Replay(this);
    }
    /// <summary>Name, inputs, outputs and ops as JSON.</summary>
    public string Info() {
        List<object> given = new List<object>(), results = new List<object>();
        foreach (Input i in inputs)
            given.Add(Pairs("name", i.Name, "dtype", i.DType.ToString(), "shape", i.Shape, "missing", i.Missing, "features", i.Features));
        foreach (Output o in outputs)
            results.Add(Pairs("name", o.Name, "dtype", o.DType.ToString(), "shape", o.Shape, "role", o.Role, "classes", o.Classes));
        return ToJson(Pairs("name", Name, "inputs", given, "outputs", results, "ops", Requires));
    }
    private static List<KeyValuePair<string, object>> Pairs(params object[] pairs) {
        var list = new List<KeyValuePair<string, object>>();
        for (int k = 0; k < pairs.Length; k += 2) if (pairs[k + 1] != null) list.Add(new KeyValuePair<string, object>((string) pairs[k], pairs[k + 1]));
        return list;
    }
}

internal static partial class Core {
    /// <summary>Sets of recorded rows with the original model's answers, and the tolerance of each output.</summary>
    internal sealed class Vectors {
        private const long WORK_PER_BYTE = 1 << 12;
        private long operations, strings; // of all rows
        private readonly List<Dictionary<string, object>> inputs = new List<Dictionary<string, object>>(); // of every set
        private readonly List<Dictionary<string, Tensor>> expected = new List<Dictionary<string, Tensor>>();
        private readonly Dictionary<string, Tolerance> tolerance = new Dictionary<string, Tolerance>(StringComparer.Ordinal);
        internal Vectors(Json json, Model model, int mostRows, Guard guard) {
            const string where = "The verification";
            json.Only(where, "source", "inputs", "outputs", "tolerance", "rows", "more");
            string source = json.Need("source", where).String("The verification's source");
            if (source != "synthetic" && source != "sample")
                throw new Refused("The verification has the source " + Quote(source) + "; it is \"synthetic\" or \"sample\".");
            Json tolerances = json.Need("tolerance", where);
            foreach (Output o in model.Outputs) {
                Tolerance t = Tolerance.Read(tolerances.Need(o.Name, "The verification's tolerance"), "The tolerance of " + Quote(o.Name));
                tolerance[o.Name] = o.DType.IsFloat ? t : Tolerance.EXACT;
            }
            if (tolerances.Size > tolerance.Count) throw new Refused("The verification has a tolerance of an unknown output; remove it.");
            mostRows -= ReadSet(json, where, model, mostRows, guard);
            Json more = json.Get("more");
            if (more != null && more.Expect('[', "The verification's more").count == 0) throw new Refused("The verification's more is empty; leave it out.");
            if (more == null) return;
            foreach (Json set in more.Objects("The verification's more")) {
                set.Only(where, "inputs", "outputs", "rows");
                mostRows -= ReadSet(set, where + "'s set " + Show(inputs.Count), model, mostRows, guard);
            }
        }
        /// <summary>Refuses vectors whose replay takes more operations than a document of so many bytes, with so long a string, may ask for.</summary>
        internal void NeedWork(Limits limits, long bytes, long longest) {
            long most = Plus(limits.Work, WORK_PER_BYTE * bytes), all = Plus(operations, Multiplied(strings, longest));
            if (all > most)
                throw new Refused("Replaying the carried rows takes " + Show(all) + " operations, more than the limit of " + Show(most) + " ("
                    + Show(limits.Work) + ", and " + Show(WORK_PER_BYTE) + " for every byte of the document).");
        }
        private static long Multiplied(long each, long times) { return times > 0 && each > long.MaxValue / times ? long.MaxValue : each * times; }
        /// <summary>Reads one set; returns its number of rows.</summary>
        private int ReadSet(Json json, string where, Model model, int mostRows, Guard guard) {
            Json ins = json.Need("inputs", where), outs = json.Need("outputs", where);
            var given = new Dictionary<string, object>(StringComparer.Ordinal);
            var answers = new Dictionary<string, Tensor>(StringComparer.Ordinal);
            var lengths = Lengths();
            foreach (Input i in model.Inputs) {
                Tensor t = ReadTensor(ins, where + "'s inputs", i.Name, i.DType, guard);
                given[i.Name] = t;
                i.Fit(where + "'s inputs " + Quote(i.Name), t.DType, t.shape, lengths);
            }
            Plan plan = model.PlanFor(lengths, guard);
            int rows = ((Tensor) given[model.Inputs[0].Name]).Rows;
            foreach (Output o in model.Outputs) {
                Tensor t = ReadTensor(outs, where + "'s outputs", o.Name, o.DType, guard);
                RowType type = plan.types[o.slot];
                if (t.DType != o.DType || !Same(t.shape, type.Shape(rows)))
                    throw new Refused(where + "'s outputs " + Quote(o.Name) + " is " + t.DType + Show(t.shape) + "; " + Show(rows) + " rows of " + type
                        + " are needed.");
                answers[o.Name] = t;
            }
            foreach (var pair in given)
                if (((Tensor) pair.Value).Rows != rows)
                    throw new Refused(where + " has inputs of " + Show(rows) + " and of " + Show(((Tensor) pair.Value).Rows) + " rows.");
            if (ins.Size > given.Count || outs.Size > answers.Count)
                throw new Refused(where + " names an input or an output that the document does not have; remove it.");
            if (rows < 1 || rows > mostRows)
                throw new Refused(where + " has " + Show(rows) + " rows; from 1 to " + Show(mostRows) + " are needed, in all sets.");
            int said = 0;
            if (json.Get("rows") != null) foreach (string why in json.Get("rows").Texts(where + "'s rows")) said++;
            if (json.Get("rows") != null && said != rows)
                throw new Refused(where + " says why for another number of rows than its " + Show(rows) + "; say it for each.");
            operations = Plus(operations, Multiplied(plan.operations, rows));
            strings = Plus(strings, Multiplied(plan.strings, rows));
            inputs.Add(given);
            expected.Add(answers);
            return rows;
        }
        private static Tensor ReadTensor(Json json, string all, string key, DType dtype, Guard guard) {
            return Tensor.Read(json.Need(key, all), dtype, all + " " + Quote(key), guard);
        }
        internal List<Check> Replay(Model model) {
            var checks = new List<Check>();
            for (int k = 0; k < inputs.Count; k++) {
                var got = model.Predict(inputs[k]);
                foreach (Output o in model.Outputs) checks.Add(Compare(o.Name, got[o.Name], expected[k][o.Name], tolerance[o.Name]));
            }
            return checks;
        }
        /// <summary>Element by element; NaN never passes by accident, because only what holds passes.</summary>
        private static Check Compare(string name, Tensor got, Tensor expected, Tolerance tolerance) {
            double worst = 0.0;
            bool floats = got.DType.IsFloat;
            for (int k = 0; k < got.Count; k++) {
                double g = floats ? ((double[]) got.data)[k] : 0.0, e = floats ? ((double[]) expected.data)[k] : 0.0;
                if (!(floats ? tolerance.Holds(g, e, got.DType) : Equals(got[k], expected[k])))
                    return new Check(name, false, "differs from the original in row " + Show(k / expected.Width) + ", column " + Show(k % expected.Width)
                        + ": got " + Spell(got[k]) + ", expected " + Spell(expected[k]) + " (" + tolerance + ").");
                worst = Math.Abs(g - e) > worst ? Math.Abs(g - e) : worst;
            }
            return new Check(name, true, "agrees in " + Show(got.Rows) + " rows (" + tolerance + "), largest difference " + Show(worst) + ".");
        }
        private static string Spell(object value) { return value is double ? Show((double) value) : ToJson(value); }
    }

    /// <summary>How far an output may lie from the original's.</summary>
    internal sealed class Tolerance {
        internal static readonly Tolerance EXACT = new Tolerance(0, 0, 0);
        private readonly double atol, rtol, ulp;
        private Tolerance(double atol, double rtol, double ulp) { this.atol = atol; this.rtol = rtol; this.ulp = ulp; }
        internal static Tolerance Read(Json json, string where) {
            if (json.kind == '"' && json.String(where) == "exact") return EXACT;
            bool ulp = json.kind == '{' && json.Get("ulp") != null;
            if (json.kind != '{' || json.Get("atol") == null != ulp || json.Get("rtol") == null != ulp)
                throw new Refused(where + " is none of \"exact\", {\"atol\", \"rtol\"} and {\"ulp\"}.");
            if (ulp) json.Only(where, "ulp");
            else json.Only(where, "atol", "rtol");
            if (ulp && json.Get("ulp").kind == '"') throw new Refused(where + " is a string of digits; it is an integer from 0 to 2^53-1.");
            Tolerance t = ulp ? new Tolerance(0, 0, json.Get("ulp").Scalar(where).Integer(DType.I64))
                : new Tolerance(json.Get("atol").Scalar(where).Number(DType.F64), json.Get("rtol").Scalar(where).Number(DType.F64), 0);
            bool good = t.atol >= 0 && t.rtol >= 0 && t.ulp >= 0 && Math.Max(t.atol, t.rtol) <= double.MaxValue;
            if (!good) throw new Refused(where + " is negative or not finite.");
            return t;
        }
        internal bool Holds(double got, double expected, DType dtype) {
            if (got == expected || got != got && expected != expected) return true;
            bool finite = Math.Abs(got) <= double.MaxValue && Math.Abs(expected) <= double.MaxValue;
            return finite && (ulp > 0 ? Distance(got, expected, dtype) <= ulp : Math.Abs(got - expected) <= atol + rtol * Math.Abs(expected));
        }
        /// <summary>How many numbers of the dtype apart.</summary>
        private static double Distance(double a, double b, DType dtype) {
            long i = Number(Math.Abs(a), dtype), j = Number(Math.Abs(b), dtype);
            return a < 0 == b < 0 ? Math.Abs(i - j) : (double) i + j;
        }
        private static long Number(double v, DType dtype) {
            return dtype == DType.F32 ? new FloatBits {Float = (float) v}.Bits : BitConverter.DoubleToInt64Bits(v);
        }
        public override string ToString() {
            return ulp > 0 ? Show((long) ulp) + " ulp" : atol == 0 && rtol == 0 ? "exact" : "atol " + Show(atol) + ", rtol " + Show(rtol);
        }
    }
}
}
