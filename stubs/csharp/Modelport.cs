// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// modelport for C#: runs modelport JSON artifacts, format 1 (docs/format.md), without any machine-learning framework. One file, C# 6 for
// netstandard2.0, the standard library only: paste it into a project. No reflection, no unsafe code, no culture, no network, no file system.
//
//     var model = Model.Load(bytes);                          // replays the vectors that the artifact carries
//     double[][] p = model.Predict(new[] {5.1, 3.5})["probability"].Matrix();
//
// Sections: 1 Errors, 2 JSON, 3 Tensors, 4 Special functions, 5 Ops, 6 Trees, 7 Model. Floats of both dtypes are held in double[] (an f32
// is a double that a float can hold), integers and booleans in long[], strings in string[]; arrays are row-major.

using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace Modelport {
using static Core;

/// <summary>What a document may cost at most (docs/format.md, section 5). Raise a value before loading, and leave it then.</summary>
public sealed class Limits {
    public long DocumentBytes = 512L << 20, TensorElements = 1L << 28, RowElements = 1L << 22, TotalRowElements = 1L << 25, Multiplications = 1L << 34;
    public int Depth = 16, Steps = 10000, Rank = 6, CarriedRows = 4096;
    /// <summary>Bytes that one load or one prediction may allocate.</summary>
    public long Memory = 4L << 30;
    /// <summary>Threads that a large batch may use; the answers do not depend on them.</summary>
    public int Threads = Environment.ProcessorCount;
}

// ==== 1 Errors =======================================================================================================

/// <summary>Base of the three errors: the message is one sentence, ExitCode is what a command line answers with.</summary>
public abstract class ModelportException : Exception {
    public int ExitCode { get; }
    internal ModelportException(string sentence, int exitCode) : base(sentence) { ExitCode = exitCode; }
}

/// <summary>The artifact, or the rows, are not acceptable.</summary>
public sealed class Refused : ModelportException {
    internal Refused(string sentence) : base(sentence, 2) { }
}

/// <summary>The numbers are not those of the original model.</summary>
public sealed class Mismatch : ModelportException {
    internal Mismatch(string sentence) : base(sentence, 1) { }
}

/// <summary>The document needs an op or a version that this reader does not have.</summary>
public sealed class Unsupported : ModelportException {
    internal Unsupported(string sentence) : base(sentence, 3) { }
}

// ==== 2 JSON =========================================================================================================

internal static partial class Core {
    /// <summary>The limits of one load or prediction, and what is left of its memory: asked before anything large is allocated.</summary>
    internal sealed class Guard {
        internal readonly Limits limits;
        internal long left;
        internal Guard(Limits limits) : this(limits, limits.Memory) { }
        private Guard(Limits limits, long left) { this.limits = limits; this.left = left; }
        /// <summary>A guard over what is left, for an attempt of which nothing is kept.</summary>
        internal Guard Attempt() { return new Guard(limits, left); }
        internal void Take(long bytes) {
            if (bytes > left)
                throw new Refused("More than the " + Show(limits.Memory >> 20) + " MB of memory that this reader may use would be needed; raise Limits.Memory.");
            left -= bytes;
        }
    }

    /// <summary>A name as it appears in a sentence: in quotes, on one line, not longer than 60 characters.</summary>
    internal static string Quote(string name) { return ToJson(name.Length > 60 ? name.Substring(0, 60) + "..." : name); }

    internal static string Show(long number) { return number.ToString(CultureInfo.InvariantCulture); }

    internal static string Show(double number) { return Decimals.Spell(number); }

    internal static string Show<T>(IEnumerable<T> items) {
        var text = new StringBuilder("[");
        foreach (T item in items) {
            if (text.Length > 1) text.Append(", ");
            object boxed = item;
            text.Append(boxed is int ? Show((int) boxed) : boxed is long ? Show((long) boxed) : boxed == null ? "null" : boxed.ToString());
        }
        return text.Append(']').ToString();
    }

    internal static bool Begins(string text, string with) { return text.StartsWith(with, StringComparison.Ordinal); }

    private static readonly UTF8Encoding STRICT = new UTF8Encoding(false, true);

    /// <summary>The UTF-8 of a text; null where it holds half of a surrogate pair.</summary>
    internal static byte[] Utf8(string text) {
        for (int k = 0; k < text.Length; k++) {
            if (!char.IsSurrogate(text[k])) continue;
            if (!char.IsHighSurrogate(text[k]) || k + 1 == text.Length || !char.IsLowSurrogate(text[++k])) return null;
        }
        return STRICT.GetBytes(text);
    }

    /// <summary>
    /// A checked JSON value: where it stands in the text. Scalars and the elements of an array are decoded when they are asked for, so that
    /// large arrays cost nothing until their dtype is known, and numbers keep their spelling. Only an object, and an array that begins with
    /// an object, have children. The kind is the first character, '0' for every number. An array `holds` numbers (1), strings or null (2).
    /// </summary>
    internal sealed class Json {
        internal readonly byte[] b;
        internal readonly int start, end, count, holds;
        internal readonly char kind;
        internal readonly List<KeyValuePair<string, Json>> members; // in the order of the text
        internal readonly List<Json> items;
        private readonly Dictionary<string, Json> byName;
        internal Json(byte[] b, int start, int end, int count, int holds, List<KeyValuePair<string, Json>> members, List<Json> items) {
            this.b = b; this.start = start; this.end = end; this.count = count; this.holds = holds; kind = Kind(b[start]);
            this.members = members; this.items = items;
            if (members == null) return;
            byName = new Dictionary<string, Json>(StringComparer.Ordinal);
            foreach (var member in members) byName[member.Key] = member.Value;
        }
        /// <summary>'{', '[', '"', '0', 't', 'f' or 'n'; ' ' where no value begins.</summary>
        internal static char Kind(int first) {
            return first == '-' || first >= '0' && first <= '9' ? '0' : first == '{' || first == '[' || first == '"' || first == 't' || first == 'f' || first == 'n'
                ? (char) first : ' ';
        }
        private static readonly string[] NAMES = {"an object", "an array", "a string", "a number", "true", "false", "null"};
        internal static string Called(char kind) { int k = "{[\"0tfn".IndexOf(kind); return k < 0 ? "nothing" : NAMES[k]; }
        internal Json Get(string key) { Json value; return byName.TryGetValue(key, out value) ? value : null; }
        internal Json Expect(char wanted, string where) {
            if (kind != wanted) throw new Refused(where + " is " + Called(kind) + "; " + Called(wanted) + " is needed.");
            return this;
        }
        internal Json Object(string where) { return Expect('{', where); }
        internal string String(string where) { return Text(Expect('"', where).b, start, end); }
        /// <summary>The bytes of a string.</summary>
        internal byte[] Bytes(string where) {
            for (int k = Expect('"', where).start; k < end; k++) if (b[k] == '\\') return STRICT.GetBytes(String(where));
            return Range(b, start + 1, end - 1);
        }
        /// <summary>A cursor before the first element of this array.</summary>
        internal Cursor Elements(string where) { return new Cursor(Expect('[', where).b, start + 1, where); }
        /// <summary>A cursor on this one value.</summary>
        internal Cursor Scalar(string where) { return new Cursor(b, start, where); }
        internal Json Need(string key, string where) {
            Json value = Object(where).Get(key);
            if (value == null) throw new Refused(where + " lacks the key " + Quote(key) + "; it is required.");
            return value;
        }
        /// <summary>Refuses every key but those listed and those that evaluators ignore.</summary>
        internal void Only(string where, params string[] keys) {
            foreach (var member in Object(where).members)
                if (!Ignored(member.Key) && Array.IndexOf(keys, member.Key) < 0)
                    throw new Refused(where + " has the unknown key " + Quote(member.Key) + "; remove it or begin it with x-.");
        }
        internal static bool Ignored(string key) { return Begins(key, "x-") || key == "name" || key == "doc" || key == "provenance"; }
        internal List<string> Strings(string where, Guard guard) {
            guard.Take(64L * count + 2L * (end - start));
            var list = new List<string>();
            for (Cursor c = Elements(where); c.Next(); ) list.Add(c.String(false));
            return list;
        }
        internal List<Json> Objects(string where) {
            Expect('[', where);
            for (int k = 0; k < count; k++)
                if (items == null || items[k].kind != '{') throw new Refused(where + " hold something else than objects; a list of objects is needed.");
            return items ?? new List<Json>();
        }
        /// <summary>The text of the checked string literal b[start..end), quotes included.</summary>
        internal static string Text(byte[] b, int start, int end) {
            string raw = Encoding.UTF8.GetString(b, start + 1, end - start - 2);
            if (raw.IndexOf('\\') < 0) return raw;
            var text = new StringBuilder(raw.Length);
            for (int k = 0; k < raw.Length; k++) {
                char c = raw[k];
                if (c == '\\') {
                    c = raw[++k];
                    int control = "bfnrt".IndexOf(c);
                    if (c == 'u') {
                        int code = 0;
                        for (int j = 0; j < 4; j++) code = code << 4 | Hex(raw[++k]);
                        c = (char) code;
                    } else if (control >= 0) {
                        c = "\b\f\n\r\t"[control];
                    }
                }
                text.Append(c);
            }
            return text.ToString();
        }
    }

    /// <summary>The value of a hexadecimal digit, or -1.</summary>
    private static int Hex(int c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

    /// <summary>The strict parser: one pass that checks what RFC 8259 demands, and duplicate keys, depth and overflow.</summary>
    internal sealed class Parser {
        private const int LONGEST_NUMBER = 4096, BYTES_PER_MEMBER = 256;
        private readonly byte[] b;
        private readonly string what;
        private readonly Guard guard;
        private int i, depth;
        private Parser(byte[] b, string what, Guard guard) { this.b = b; this.what = what; this.guard = guard; }
        /// <summary>The text as one value; `what` begins a sentence.</summary>
        internal static Json Parse(byte[] text, string what, Guard guard) {
            if (text.Length > guard.limits.DocumentBytes)
                throw new Refused(what + " has " + Show(text.Length) + " bytes, more than the limit of " + Show(guard.limits.DocumentBytes) + ".");
            guard.Take(text.Length);
            var p = new Parser(text, what, guard);
            p.Space();
            Json value = p.Value();
            p.Space();
            if (p.i < text.Length) throw p.Fail("something follows the end of the value; a document is one JSON value");
            return value;
        }
        private Refused Fail(string reason) {
            return new Refused(what + " is not acceptable JSON at byte " + Show(i) + ": " + (i < b.Length ? reason : "the text ends too early") + ".");
        }
        private int Peek() { return i < b.Length ? b[i] : -1; }
        private bool At(int c) { return i < b.Length && b[i] == c; }
        private void Space() {
            while (At(' ') || At('\n') || At('\r') || At('\t')) i++;
        }
        private Json Value() {
            int start = i;
            char kind = Json.Kind(Peek());
            if (kind == '{') return Object();
            if (kind == '[') return Items();
            Scalar(kind);
            return new Json(b, start, i, 0, 0, null, null);
        }
        private void Scalar(char kind) {
            if (kind == '"') String();
            else if (kind == '0') Number();
            else if (kind != ' ') Word(Json.Called(kind));
            else throw Fail(At('N') || At('I') ? "a bare NaN or Infinity is no JSON; write it in quotes" : "no value begins here");
        }
        private void Word(string word) {
            for (int k = 0; k < word.Length; k++, i++) if (!At(word[k])) throw Fail("a value is none of true, false and null");
        }
        private void Open() {
            if (++depth > guard.limits.Depth) throw Fail("the values are nested deeper than the limit of " + Show(guard.limits.Depth));
            i++;
            Space();
        }
        /// <summary>True when another element follows; false after the closing bracket.</summary>
        private bool More(char close) {
            Space();
            bool closed = At(close);
            if (!closed && !At(',')) throw Fail("a comma or '" + close + "' is needed here");
            i++;
            if (closed) depth--;
            else Space();
            return !closed;
        }
        private Json Object() {
            int start = i;
            var members = new List<KeyValuePair<string, Json>>();
            var seen = new HashSet<string>(StringComparer.Ordinal);
            Open();
            for (bool more = !At('}') || More('}'); more; more = More('}')) {
                if (!At('"')) throw Fail("a key in double quotes is needed here");
                int from = i;
                String();
                guard.Take(BYTES_PER_MEMBER + 4L * (i - from));
                string key = Json.Text(b, from, i);
                if (!seen.Add(Lower(key))) throw Fail("the key " + Quote(key) + " stands twice in one object, or in spellings that differ by case only");
                Space();
                if (!At(':')) throw Fail("a colon is needed after a key");
                i++;
                Space();
                members.Add(new KeyValuePair<string, Json>(key, Value()));
            }
            return new Json(b, start, i, members.Count, 0, members, null);
        }
        private Json Items() {
            int start = i, count = 0, holds = 0;
            Open();
            List<Json> items = At('{') ? new List<Json>() : null;
            for (bool more = !At(']') || More(']'); more; more = More(']'), count++) {
                char kind = Json.Kind(Peek());
                holds |= kind == '0' ? 1 : kind == '"' || kind == 'n' ? 2 : 0;
                if (items == null && kind != '{' && kind != '[') { Scalar(kind); continue; }
                Json item = Value();
                holds |= item.holds;
                if (items != null) guard.Take(BYTES_PER_MEMBER);
                if (items != null) items.Add(item);
            }
            return new Json(b, start, i, count, holds, null, items);
        }
        /// <summary>A to Z lowered, and nothing else.</summary>
        private static string Lower(string key) {
            char[] c = key.ToCharArray();
            for (int k = 0; k < c.Length; k++) if (c[k] >= 'A' && c[k] <= 'Z') c[k] += (char) 32;
            return new string(c);
        }
        private void Number() {
            int start = i;
            if (At('-')) i++;
            int leading = i;
            int digits = Digits();
            if (digits > 1 && b[leading] == '0') throw Fail("a number begins with a needless zero");
            bool large = digits > 200;
            if (At('.')) { i++; Digits(); }
            if (At('e') || At('E')) {
                i++;
                if (At('+') || At('-')) i++;
                large |= Digits() > 2;
            }
            if (i - start > LONGEST_NUMBER) throw Fail("a number has more than " + Show(LONGEST_NUMBER) + " characters");
            int at = start;
            if (large && double.IsInfinity(Decimals.Read(b, ref at))) throw Fail("a number overflows a 64-bit float; infinity is written \"Infinity\"");
        }
        private int Digits() {
            int start = i;
            while (i < b.Length && b[i] >= '0' && b[i] <= '9') i++;
            if (i == start) throw Fail("a digit is needed here");
            return i - start;
        }
        /// <summary>Checks a string; one with bytes beyond ASCII or \u escapes must be UTF-8, and hold no half of a surrogate pair.</summary>
        private void String() {
            int start = i;
            bool plain = true;
            for (i++; !At('"'); i++) {
                if (i >= b.Length) throw Fail("");
                plain &= b[i] < 128;
                if (b[i] < ' ') throw Fail("a control character stands in a string; write it as an escape");
                if (b[i] != '\\') continue;
                i++;
                if (Peek() < 0 || "\"\\/bfnrtu".IndexOf((char) Peek()) < 0) throw Fail("an unknown escape stands in a string");
                if (b[i] != 'u') continue;
                plain = false;
                for (int k = 0; k < 4; k++) if (++i >= b.Length || Hex(b[i]) < 0) throw Fail("\\u needs four hexadecimal digits");
            }
            i++;
            if (plain) return;
            guard.Take(8L * (i - start));
            try {
                STRICT.GetCharCount(b, start, i - start);
            } catch (ArgumentException) {
                throw Fail("a string is not UTF-8");
            }
            if (Utf8(Json.Text(b, start, i)) == null) throw Fail("a string holds half of a surrogate pair");
        }
    }

    /// <summary>Decimals and doubles, right to the last bit: what a runtime's own functions give differs between .NET Framework, Mono and .NET.</summary>
    internal static class Decimals {
        private const int LOWEST = -400, HIGHEST = 320;
        private static readonly double[] TEN = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
            1e18, 1e19, 1e20, 1e21, 1e22};
        // 10^e = (high * 2^64 + low) * 2^scale, cut off; filled when it is needed
        private static readonly long[] high = new long[HIGHEST - LOWEST + 1], low = new long[HIGHEST - LOWEST + 1];
        private static readonly int[] scale = new int[HIGHEST - LOWEST + 1];

        /// <summary>The decimal at b[i..] as the nearest double; i passes it.</summary>
        internal static double Read(byte[] b, ref int i) {
            int start = i, point = -1, kept = 0, dropped = 0, power = 0;
            bool negative = b[i] == '-', more = false;
            ulong digits = 0;
            for (i += negative ? 1 : 0; i < b.Length && (b[i] == '.' || b[i] >= '0' && b[i] <= '9'); i++) {
                if (b[i] == '.') { point = i; continue; }
                if (kept < 19) { digits = digits * 10 + (ulong) (b[i] - '0'); kept += digits > 0 ? 1 : 0; continue; }
                dropped++;
                more |= b[i] != '0';
            }
            int exponent = point < 0 ? dropped : dropped - (i - 1 - point);
            if (i < b.Length && (b[i] == 'e' || b[i] == 'E')) {
                bool down = b[++i] == '-';
                for (i += down || b[i] == '+' ? 1 : 0; i < b.Length && b[i] >= '0' && b[i] <= '9'; i++) power = Math.Min(power * 10 + (b[i] - '0'), 10000);
                exponent += down ? -power : power;
            }
            double value;
            if (digits == 0) value = 0.0;
            else if (!more && digits <= 1UL << 53 && exponent >= -22 && exponent <= 22) // exact in one operation (Clinger 1990)
                value = exponent < 0 ? digits / TEN[-exponent] : digits * TEN[exponent];
            else if (exponent > HIGHEST) value = double.PositiveInfinity;
            else if (exponent < LOWEST) value = 0.0;
            else if (!Near(digits, exponent, out value) || more && Next(digits, exponent) != value) value = Exact(b, start, i);
            return negative ? -value : value;
        }
        private static double Next(ulong digits, int exponent) { double value; return Near(digits + 1, exponent, out value) ? value : double.NaN; }
        /// <summary>digits * 10^e by a product of 64 by 128 bits; false where that does not decide the rounding.</summary>
        private static bool Near(ulong digits, int e, out double value) {
            value = 0.0;
            if (Volatile.Read(ref high[e - LOWEST]) == 0) Power(e);
            int left = 0;
            while (digits >> 63 == 0) { digits <<= 1; left++; }
            ulong upper, middle, cross, rest;
            Multiply(digits, (ulong) high[e - LOWEST], out upper, out middle);
            Multiply(digits, (ulong) low[e - LOWEST], out cross, out rest);
            middle += cross;
            if (middle < cross) upper++;
            int bits = upper >> 63 != 0 ? 64 : 63, drop = bits - 53; // the product lies between (upper, middle) and two units more
            int exponent = bits - 1 + 128 + scale[e - LOWEST] - left;
            if (exponent < -1021 || exponent > 1022) return false;
            ulong rounded = upper >> drop, over = upper & ((1UL << drop) - 1), half = 1UL << (drop - 1);
            bool up = over > half || over == half && middle > 0, down = over < half - 1 || over == half - 1 && middle <= ulong.MaxValue - 1;
            if (up == down) return false;
            value = BitConverter.Int64BitsToDouble(((long) (exponent + 1022) << 52) + (long) rounded + (up ? 1 : 0));
            return true;
        }
        private static void Multiply(ulong x, ulong y, out ulong upper, out ulong lower) {
            ulong a = x >> 32, b = x & uint.MaxValue, c = y >> 32, d = y & uint.MaxValue;
            ulong low = b * d, middle = a * d + (low >> 32), other = b * c + (middle & uint.MaxValue);
            upper = a * c + (middle >> 32) + (other >> 32);
            lower = other << 32 | low & uint.MaxValue;
        }
        private static void Power(int e) {
            BigInteger five = BigInteger.Pow(5, Math.Abs(e)), top;
            int bits = Bits(five);
            top = e < 0 ? (BigInteger.One << (bits + 127)) / five : bits > 128 ? five >> (bits - 128) : five << (128 - bits);
            scale[e - LOWEST] = e < 0 ? e - bits - 127 : e + bits - 128;
            low[e - LOWEST] = unchecked((long) (ulong) (top & ulong.MaxValue));
            Volatile.Write(ref high[e - LOWEST], unchecked((long) (ulong) (top >> 64))); // last: others may be reading
        }
        private static int Bits(BigInteger n) {
            byte[] bytes = n.ToByteArray();
            int k = bytes.Length - 1, bits = 0;
            while (k > 0 && bytes[k] == 0) k--;
            for (int b = bytes[k]; b > 0; b >>= 1) bits++;
            return 8 * k + bits;
        }
        /// <summary>The nearest double to the decimal b[start..end), by integers of any length.</summary>
        private static double Exact(byte[] b, int start, int end) {
            var text = new StringBuilder("0");
            int i = b[start] == '-' ? start + 1 : start, e = 0;
            bool fraction = false;
            for (; i < end && b[i] != 'e' && b[i] != 'E'; i++) {
                if (b[i] == '.') { fraction = true; continue; }
                text.Append((char) b[i]);
                if (fraction) e--;
            }
            if (i < end) {
                bool down = b[++i] == '-';
                int power = 0;
                for (i += down || b[i] == '+' ? 1 : 0; i < end; i++) power = Math.Min(power * 10 + (b[i] - '0'), 10000);
                e += down ? -power : power;
            }
            BigInteger top = BigInteger.Parse(text.ToString(), NumberStyles.None, CultureInfo.InvariantCulture), bottom = BigInteger.One;
            if (e >= 0) top *= BigInteger.Pow(10, e);
            else bottom = BigInteger.Pow(10, -e);
            int last = Math.Max(Bits(top) - Bits(bottom) - 55, -1076); // the exponent of the last bit of the quotient
            BigInteger rest, quotient = BigInteger.DivRem(last < 0 ? top << -last : top, last > 0 ? bottom << last : bottom, out rest);
            if (last > 1100) return double.PositiveInfinity;
            long q = (long) quotient;
            int drop = Math.Max(Bits(quotient) - 53, -1074 - last);
            if (drop > 62) return 0.0;
            long kept = q >> drop, over = q & ((1L << drop) - 1), half = drop > 0 ? 1L << (drop - 1) : 0;
            if (drop > 0 && (over > half || over == half && (!rest.IsZero || (kept & 1) != 0))) kept++;
            int exponent = last + drop + 1074; // kept < 2^52 only for subnormals, where this is 0; a carry goes into the exponent
            return exponent > 2045 ? double.PositiveInfinity : BitConverter.Int64BitsToDouble(((long) exponent << 52) + kept);
        }
        /// <summary>A short decimal that reads back as the same number.</summary>
        internal static string Spell(double v) {
            if (double.IsNaN(v) || double.IsInfinity(v)) return v != v ? "NaN" : v > 0 ? "Infinity" : "-Infinity";
            if (v == 0) return 1 / v < 0 ? "-0.0" : "0.0";
            if (v == Math.Floor(v) && Math.Abs(v) < 1e15) return ((long) v).ToString(CultureInfo.InvariantCulture) + ".0";
            for (int digits = 15; ; digits++) {
                string text = v.ToString("G" + Show(digits), CultureInfo.InvariantCulture);
                if (digits == 17 || Back(text) == v) return text;
            }
        }
        /// <summary>A short decimal that, read as a double and rounded to a float, gives the same number.</summary>
        internal static string SpellFloat(double v) {
            if (double.IsNaN(v) || double.IsInfinity(v) || v == Math.Floor(v) && Math.Abs(v) < 1e15) return Spell(v);
            for (int digits = 6; digits < 10; digits++) {
                string text = v.ToString("G" + Show(digits), CultureInfo.InvariantCulture);
                if ((float) Back(text) == (float) v) return text;
            }
            return Spell(v);
        }
        private static double Back(string text) {
            int at = 0;
            return Read(Encoding.ASCII.GetBytes(text), ref at);
        }
    }

    internal const long SAFE = (1L << 53) - 1;

    /// <summary>Decodes the elements of a checked array one after the other, without an object for each.</summary>
    internal sealed class Cursor {
        private readonly byte[] b;
        private readonly string where;
        private int i;
        internal Cursor(byte[] b, int i, string where) { this.b = b; this.i = i; this.where = where; }
        /// <summary>Moves to the next element; false at the closing bracket, which is passed.</summary>
        internal bool Next() {
            while (b[i] == ' ' || b[i] == ',' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') i++;
            if (b[i] != ']') return true;
            i++;
            return false;
        }
        internal char Kind() { return Json.Kind(b[i]); }
        /// <summary>Enters the array that is the current element; Next() then moves through it.</summary>
        internal void Enter() {
            if (b[i] != '[') throw Needed("an array");
            i++;
        }
        private Refused Needed(string what) { return new Refused(where + " holds " + Json.Called(Kind()) + "; " + what + " is needed there."); }
        /// <summary>The number of elements of the array that is the current element; it is passed.</summary>
        internal int Length() {
            int length = 0;
            for (Enter(); Next(); length++) {
                if (b[i] == '[' || b[i] == '{') throw new Refused(where + " is nested deeper than two levels; write it in the object form.");
                Skip();
            }
            return length;
        }
        /// <summary>Passes an element that is neither an array nor an object, and returns where it began.</summary>
        internal int Skip() {
            int start = i;
            if (b[i] == '"') {
                for (i++; b[i] != '"'; ) i += b[i] == '\\' ? 2 : 1;
                i++;
            } else {
                while (i < b.Length && b[i] != ',' && b[i] != ']' && b[i] != '}' && b[i] > ' ') i++;
            }
            return start;
        }
        internal double Number(DType dtype) {
            double value;
            if (b[i] == '"') value = Named();
            else if (Kind() == '0') value = Decimals.Read(b, ref i);
            else throw Needed("a number");
            if (dtype != DType.F32) return value;
            if (float.IsInfinity((float) value) && !double.IsInfinity(value))
                throw new Refused(where + " holds " + Show(value) + ", which overflows a 32-bit float; infinity is written \"Infinity\".");
            return (float) value;
        }
        private double Named() {
            string name = String(false);
            if (name == "NaN") return double.NaN;
            if (name == "Infinity" || name == "-Infinity") return name == "Infinity" ? double.PositiveInfinity : double.NegativeInfinity;
            throw new Refused(where + " holds the string " + Quote(name) + "; a number is needed there.");
        }
        /// <summary>An integer within the dtype: a number without fraction and exponent or, beyond 2^53-1, a string of digits.</summary>
        internal long Integer(DType dtype) {
            bool quoted = b[i] == '"';
            if (!quoted && Kind() != '0') throw Needed("an integer (" + dtype + ")");
            int k = quoted ? i + 1 : i;
            bool negative = b[k] == '-';
            int first = negative ? ++k : k;
            long value = 0;
            for (; k < b.Length && b[k] >= '0' && b[k] <= '9' && k - first < 19; k++) value = unchecked(value * 10 + (b[k] - '0'));
            bool fits = value >= 0 || negative && value == long.MinValue; // 19 digits overflow into the sign at most
            value = negative ? unchecked(-value) : value;
            bool large = value > SAFE || value < -SAFE;
            int end = quoted ? k + 1 : k;
            bool whole = k > first && (b[first] != '0' || k == first + 1) && (!quoted || b[k] == '"');
            int start = Skip();
            if (!whole || end != i || !fits || large != quoted || value < dtype.Min || value > dtype.Max)
                throw new Refused(where + " holds " + Quote(Encoding.UTF8.GetString(b, start, Math.Min(i - start, 80))) + "; an integer of " + dtype
                    + " is needed there, without fraction and exponent, and in quotes exactly when it is beyond 2^53-1.");
            return value;
        }
        internal bool Bool() {
            char kind = Kind();
            if (kind != 't' && kind != 'f') throw Needed("true or false");
            Skip();
            return kind == 't';
        }
        /// <summary>A string, or null where missing is allowed.</summary>
        internal string String(bool missing) {
            bool none = missing && b[i] == 'n';
            if (!none && b[i] != '"') throw Needed("a string");
            int start = Skip();
            return none ? null : Json.Text(b, start, i);
        }
    }

    internal static string ToJson(object value) {
        var text = new StringWriter(CultureInfo.InvariantCulture);
        WriteJson(value, text);
        return text.ToString();
    }

    /// <summary>Writes a value as JSON: an object (pairs), a list, a string, a tensor, or a scalar.</summary>
    internal static void WriteJson(object value, TextWriter to) {
        var s = value as string;
        var pairs = value as IEnumerable<KeyValuePair<string, object>>;
        var list = value as System.Collections.IEnumerable;
        var tensor = value as Tensor;
        if (s != null) {
            to.Write('"');
            foreach (char c in s) {
                if (c == '"' || c == '\\') to.Write('\\');
                if (c >= ' ' && c != 127) to.Write(c);
                else to.Write("\\u00" + "0123456789abcdef"[c >> 4] + "0123456789abcdef"[c & 15]);
            }
            to.Write('"');
        } else if (pairs != null) {
            string separator = "{";
            foreach (var pair in pairs) {
                to.Write(separator);
                WriteJson(pair.Key, to);
                to.Write(": ");
                WriteJson(pair.Value, to);
                separator = ", ";
            }
            to.Write(separator == "{" ? "{}" : "}");
        } else if (tensor != null) {
            tensor.Write(to);
        } else if (list != null) {
            string separator = "[";
            foreach (object item in list) {
                to.Write(separator);
                WriteJson(item, to);
                separator = ", ";
            }
            to.Write(separator == "[" ? "[]" : "]");
        } else if (value == null) {
            to.Write("null");
        } else if (value is bool) {
            to.Write((bool) value ? "true" : "false");
        } else {
            to.Write(((IFormattable) value).ToString(null, CultureInfo.InvariantCulture)); // integers
        }
    }

    // Arrays, in words.
    internal static void Fill<T>(T[] array, T value) { Fill(array, 0, array.Length, value); }
    internal static void Fill<T>(T[] array, int from, int to, T value) { for (int k = from; k < to; k++) array[k] = value; }
    internal static T[] Copy<T>(T[] array) { return (T[]) array.Clone(); }
    internal static T[] Range<T>(T[] array, int from, int to) { var part = new T[to - from]; Array.Copy(array, from, part, 0, to - from); return part; }
    internal static T[] Resized<T>(T[] array, int length) { var r = new T[length]; Array.Copy(array, 0, r, 0, Math.Min(length, array.Length)); return r; }
    internal static bool Same(int[] a, int[] b) {
        bool same = a.Length == b.Length;
        for (int k = 0; same && k < a.Length; k++) same = a[k] == b[k];
        return same;
    }
    internal static long FloorDiv(long a, long b) { long q = a / b; return a % b != 0 && a < 0 != b < 0 ? q - 1 : q; }
}

// ==== 3 Tensors ======================================================================================================

/// <summary>The dtypes, under the names of the format.</summary>
public sealed class DType {
    public static readonly DType F64 = new DType("f64", 8, 0, 0), F32 = new DType("f32", 4, 0, 0), I64 = new DType("i64", 8, long.MinValue, long.MaxValue),
        I32 = new DType("i32", 4, int.MinValue, int.MaxValue), I16 = new DType("i16", 2, -32768, 32767), I8 = new DType("i8", 1, -128, 127),
        U32 = new DType("u32", 4, 0, uint.MaxValue), U16 = new DType("u16", 2, 0, 65535), U8 = new DType("u8", 1, 0, 255),
        Bool = new DType("bool", 1, 0, 1), Str = new DType("str", 0, 0, 0);
    internal static readonly DType[] All = {F64, F32, I64, I32, I16, I8, U32, U16, U8, Bool, Str};
    private readonly string spelled;
    internal readonly int Bytes;
    internal readonly long Min, Max;
    private DType(string spelled, int bytes, long min, long max) { this.spelled = spelled; Bytes = bytes; Min = min; Max = max; }
    public bool IsFloat => this == F64 || this == F32;
    public bool IsInteger => Bytes > 0 && !IsFloat && this != Bool;
    /// <summary>Room for n elements: double[], long[] or string[].</summary>
    internal Array Allocate(int n) { return IsFloat ? new double[n] : this == Str ? (Array) new string[n] : new long[n]; }
    internal static DType Named(string name, string where) {
        foreach (DType dtype in All) if (dtype.spelled == name) return dtype;
        throw new Refused(where + " has the unknown dtype " + Quote(name) + "; it is one of " + Show(All) + ".");
    }
    public override string ToString() { return spelled; }
}

internal static partial class Core {
    /// <summary>dtype and row shape of a value; width is the number of elements of a row: `lanes` times the length of the last axis (1 for rank 0).</summary>
    internal sealed class RowType {
        internal readonly DType dtype;
        internal readonly int rank, width, last, lanes;
        internal readonly int[] dims;
        internal RowType(DType dtype, params int[] dims) {
            this.dtype = dtype; this.dims = dims; rank = dims.Length; last = rank == 0 ? 1 : dims[rank - 1];
            lanes = Size(0, rank - 1); width = Size(0, rank);
        }
        internal static RowType Row(DType dtype, long width) { return new RowType(dtype, (int) Math.Min(width, int.MaxValue)); }
        /// <summary>The same row shape with another dtype.</summary>
        internal RowType With(DType changed) { return new RowType(changed, dims); }
        /// <summary>The same row shape with another length of one axis.</summary>
        internal RowType Resized(int axis, int length) { int[] changed = Copy(dims); changed[axis] = length; return new RowType(dtype, changed); }
        /// <summary>The product of the lengths of some axes.</summary>
        internal int Size(int from, int to) {
            long size = 1;
            for (int k = from; k < to; k++) size = Math.Min(size * dims[k], int.MaxValue);
            return (int) size;
        }
        /// <summary>The offsets of the positions along an axis: all of them, or as many zeros where the axis has length 1.</summary>
        internal int[] Along(int axis, int length) {
            var offsets = new int[length];
            for (int k = 0; axis >= 0 && dims[axis] > 1 && k < length; k++) offsets[k] = k * Size(axis + 1, rank);
            return offsets;
        }
        /// <summary>Where the elements of a row of shape `wide` are found in a row of this one, which broadcasts to it; null where at the same place.</summary>
        internal int[] Spread(RowType wide, Guard guard) {
            var offsets = new int[wide.rank][];
            for (int k = 0; k < wide.rank; k++) offsets[k] = Along(k - wide.rank + rank, wide.dims[k]);
            return width == wide.width ? null : Places(guard, offsets);
        }
        /// <summary>The shape of n rows.</summary>
        internal int[] Shape(int n) {
            var shape = new int[rank + 1];
            Array.Copy(dims, 0, shape, 1, rank);
            shape[0] = n;
            return shape;
        }
        internal bool Same(RowType other) { return dtype == other.dtype && Core.Same(dims, other.dims); }
        public override string ToString() { return dtype + Show(dims); }
    }

    /// <summary>The sums of one offset for each axis, in row-major order; -1 where one of them is negative.</summary>
    internal static int[] Places(Guard guard, params int[][] offsets) {
        long size = 1;
        foreach (int[] axis in offsets) size *= axis.Length;
        guard.Take(4 * size);
        var places = new int[(int) size];
        int n = 1;
        foreach (int[] axis in size == 0 ? new int[0][] : offsets) {
            for (int k = n - 1; k >= 0; k--)
                for (int j = axis.Length - 1; j >= 0; j--) places[k * axis.Length + j] = places[k] < 0 || axis[j] < 0 ? -1 : places[k] + axis[j];
            n *= axis.Length;
        }
        return places;
    }

    /// <summary>A float and the int of the same bits.</summary>
    [StructLayout(LayoutKind.Explicit)]
    internal struct FloatBits {
        [FieldOffset(0)] internal float Float;
        [FieldOffset(0)] internal int Bits;
    }

    internal static double Rounded(double v, DType to) { return to == DType.F32 ? (float) v : v; }

    /// <summary>n x width as an array length.</summary>
    internal static int CountElements(long n, long width) {
        if (n * width > int.MaxValue - 64)
            throw new Refused(Show(n) + " rows of " + Show(width) + " elements do not fit an array; predict fewer rows at a time.");
        return (int) (n * width);
    }
}

/// <summary>An array with its dtype and shape, row-major; for rows, the first axis counts them. The arrays handed in and out are not copied.</summary>
public sealed class Tensor {
    public DType DType { get; }
    internal readonly int[] shape;
    internal readonly Array data; // double[], long[] or string[]
    internal Tensor(DType dtype, Array data, params int[] shape) { DType = dtype; this.data = data; this.shape = shape; }
    public static Tensor Of(params double[] values) { return new Tensor(DType.F64, values, values.Length); }
    public static Tensor Of(long[] values) { return new Tensor(DType.I64, values, values.Length); }
    public static Tensor Of(string[] values) { return new Tensor(DType.Str, values, values.Length); }
    public static Tensor Of(int[] values) { return new Tensor(DType.I64, Array.ConvertAll(values, v => (long) v), values.Length); }
    public static Tensor Of(bool[] values) { return new Tensor(DType.Bool, Array.ConvertAll(values, v => v ? 1L : 0L), values.Length); }
    public static Tensor Of(float[] values) { return new Tensor(DType.F32, Array.ConvertAll(values, v => (double) v), values.Length); }
    /// <summary>Rows of equal length.</summary>
    public static Tensor Of(double[][] rows) { return Stack(rows, DType.F64, "The matrix"); }
    /// <summary>A dense matrix, a row for each first index.</summary>
    public static Tensor Of(double[,] rows) {
        var data = new double[rows.Length];
        Buffer.BlockCopy(rows, 0, data, 0, 8 * data.Length);
        return new Tensor(DType.F64, data, rows.GetLength(0), rows.GetLength(1));
    }
    public static Tensor Of(float[,] rows) {
        var data = new float[rows.Length];
        Buffer.BlockCopy(rows, 0, data, 0, 4 * data.Length);
        return Of(data).Shaped(rows.GetLength(0), rows.GetLength(1));
    }
    /// <summary>The same elements in another shape, batch axis first: Tensor.Of(pixels).Shaped(2, 3, 32, 32).</summary>
    public Tensor Shaped(params int[] shape) {
        if (Product(shape, int.MaxValue) != Count)
            throw new Refused("A tensor of " + Show(Count) + " elements cannot have the shape " + Show(shape) + "; they must agree.");
        return new Tensor(DType, data, Copy(shape));
    }
    private static Tensor Stack(Array rows, DType wanted, string where) {
        Tensor first = rows.Length == 0 ? new Tensor(wanted, wanted.Allocate(0), 0) : From(rows.GetValue(0), wanted, where);
        int width = first.Count;
        Array data = first.DType.Allocate(CountElements(rows.Length, width));
        for (int r = 0; r < rows.Length; r++) {
            Tensor row = r == 0 ? first : From(rows.GetValue(r), wanted, where);
            if (!Same(row.shape, first.shape)) throw new Refused(where + " is ragged in row " + Show(r) + "; rows are equally long.");
            Array.Copy(row.As(first.DType, where), 0, data, r * width, width);
        }
        return new Tensor(first.DType, data, new RowType(first.DType, first.shape).Shape(rows.Length));
    }
    /// <summary>What callers naturally hold: a Tensor, an array, a matrix, or a list of values, of which null is missing.</summary>
    internal static Tensor From(object value, DType wanted, string where) {
        // A runtime takes an array of int for one of uint as well, and so on: the element's type is asked for, not the array's.
        var array = value as Array;
        Type element = array == null ? null : array.GetType().GetElementType();
        if (value is Tensor) return (Tensor) value;
        if (array != null && array.Rank == 1 && array.GetLowerBound(0) == 0) {
            if (element == typeof(double)) return Of((double[]) value);
            if (element == typeof(float)) return Of((float[]) value);
            if (element == typeof(long)) return Of((long[]) value);
            if (element == typeof(int)) return Of((int[]) value);
            if (element == typeof(bool)) return Of((bool[]) value);
            if (element == typeof(string)) return Of((string[]) value);
            if (element.IsArray) return Stack(array, wanted, where);
        } else if (array != null) {
            if (element == typeof(double) && array.Rank == 2) return Of((double[,]) value);
            if (element == typeof(float) && array.Rank == 2) return Of((float[,]) value);
        }
        var list = value as System.Collections.IEnumerable;
        if (list == null || value is string || array != null && array.Rank > 1)
            throw new Refused(where + " is given as " + (value == null ? "null" : value is string ? "a string" : "another kind of object")
                + "; a Tensor, an array or matrix, or a list is needed.");
        var cells = new List<object>();
        foreach (object cell in list) cells.Add(cell);
        Array data = wanted.Allocate(cells.Count);
        for (int k = 0; k < cells.Count; k++) Put(data, k, cells[k], wanted, where);
        return new Tensor(wanted, data, cells.Count);
    }
    private static void Put(Array data, int k, object cell, DType wanted, string where) {
        bool whole = cell is long || cell is int || cell is short || cell is sbyte || cell is byte || cell is ushort || cell is uint;
        bool number = whole || cell is double || cell is float || cell is decimal || cell is ulong;
        if (wanted.IsFloat && (cell == null || cell is bool || number)) {
            double value = cell == null ? double.NaN : cell is bool ? ((bool) cell ? 1 : 0) : Convert.ToDouble(cell, CultureInfo.InvariantCulture);
            ((double[]) data)[k] = Rounded(value, wanted);
        } else if (wanted == DType.Str && (cell == null || cell is string)) {
            ((string[]) data)[k] = (string) cell;
        } else if (wanted == DType.Bool && cell is bool) {
            ((long[]) data)[k] = (bool) cell ? 1 : 0;
        } else if (wanted == DType.I64 && whole) {
            ((long[]) data)[k] = Convert.ToInt64(cell, CultureInfo.InvariantCulture);
        } else {
            throw new Refused(where + " holds " + (cell == null ? "null" : Quote(Convert.ToString(cell, CultureInfo.InvariantCulture))) + " in row " + Show(k)
                + "; " + wanted + " is needed.");
        }
    }
    /// <summary>The data as another dtype: floats from floats, integers and booleans; anything else only as it is.</summary>
    internal Array As(DType wanted, string where) {
        if (DType == wanted || DType == DType.F32 && wanted == DType.F64) return data;
        if (!wanted.IsFloat || DType == DType.Str) throw new Refused(where + " holds " + DType + "; " + wanted + " is needed.");
        var result = new double[Count];
        for (int k = 0; k < result.Length; k++)
            result[k] = wanted != DType.F32 ? ((long[]) data)[k] : data is double[] ? (float) ((double[]) data)[k] : (double) (float) ((long[]) data)[k];
        return result;
    }
    public int[] Shape => Copy(shape);
    /// <summary>The length of the first axis.</summary>
    public int Rows => shape.Length == 0 ? 1 : shape[0];
    /// <summary>Elements of one row.</summary>
    public int Width => new RowType(DType, shape).Size(1, shape.Length);
    /// <summary>All elements.</summary>
    public int Count => data.Length;
    private Array Held(bool good, string what) {
        if (!good) throw new InvalidOperationException("This tensor holds " + DType + ", not " + what + ".");
        return data;
    }
    /// <summary>All elements of a float tensor.</summary>
    public double[] Doubles() { return (double[]) Held(data is double[], "floats"); }
    /// <summary>All elements of an integer tensor, or of booleans as 0 and 1.</summary>
    public long[] Longs() { return (long[]) Held(data is long[], "integers or booleans"); }
    /// <summary>All elements of a str tensor; null is missing.</summary>
    public string[] Strings() { return (string[]) Held(data is string[], "strings"); }
    /// <summary>The rows of a float tensor.</summary>
    public double[][] Matrix() {
        var rows = new double[Rows][];
        int width = Width;
        for (int r = 0; r < rows.Length; r++) rows[r] = Range(Doubles(), r * width, (r + 1) * width);
        return rows;
    }
    /// <summary>One element: double, long, bool, string or null.</summary>
    public object this[int k] => data is double[] ? ((double[]) data)[k] : data is string[] ? ((string[]) data)[k]
        : DType == DType.Bool ? (object) (((long[]) data)[k] != 0) : ((long[]) data)[k];
    /// <summary>The object form of the format.</summary>
    internal void Write(TextWriter to) {
        to.Write("{\"dtype\": \"" + DType + "\", \"shape\": " + Show(shape) + ", \"data\": [");
        for (int k = 0, n = Count; k < n; k++) {
            if (k > 0) to.Write(", ");
            if (data is double[]) {
                double v = ((double[]) data)[k];
                string text = DType == DType.F32 ? Decimals.SpellFloat(v) : Decimals.Spell(v);
                to.Write(double.IsNaN(v) || double.IsInfinity(v) ? "\"" + text + "\"" : text);
            } else if (data is long[] && DType != DType.Bool) {
                long v = ((long[]) data)[k];
                to.Write(v <= SAFE && v >= -SAFE ? Show(v) : "\"" + Show(v) + "\"");
            } else {
                WriteJson(this[k], to);
            }
        }
        to.Write("]}");
    }
    /// <summary>A tensor in any of its three forms. `bare` is the dtype of a bare array; null lets its elements decide (f64 or str).</summary>
    internal static Tensor Read(Json json, DType bare, string where, Guard guard) {
        if (json.kind == '{') return ReadObject(json, where, guard);
        DType dtype = bare ?? (json.holds == 2 ? DType.Str : DType.F64);
        Cursor c = json.Elements(where);
        int width = c.Next() && c.Kind() == '[' ? c.Length() : -1;
        // Every element takes two bytes of text at least: more than that is ragged, whatever the counts promise.
        long total = width < 0 ? json.count : (long) json.count * width;
        bool even = total <= (json.end - json.start) / 2;
        Array data = even ? Allocate(dtype, total, where, guard) : null;
        c = json.Elements(where);
        if (width < 0) Fill(c, dtype, data, 0, json.count, guard);
        for (int k = 0; width >= 0 && even && c.Next(); k += width) {
            c.Enter();
            even = Fill(c, dtype, data, k, k + width, guard) == k + width;
        }
        if (!even) throw new Refused(where + " is ragged: its first row has " + Show(width) + " elements, another has not; rows are equally long.");
        return width < 0 ? new Tensor(dtype, data, json.count) : new Tensor(dtype, data, json.count, width);
    }
    private static Tensor ReadObject(Json json, string where, Guard guard) {
        json.Only(where, "dtype", "shape", "enc", "scale", "mask", "data");
        DType dtype = DType.Named(json.Need("dtype", where).String(where + " dtype"), where);
        int[] shape = ReadShape(json.Need("shape", where), where, guard);
        long size = Product(shape, guard.limits.TensorElements);
        Json data = json.Need("data", where), encoding = json.Get("enc"), scale = json.Get("scale"), mask = json.Get("mask");
        string enc = encoding == null ? "" : encoding.String(where + " enc");
        if (encoding != null && (dtype == DType.Str || enc != "b64" && !(enc == "i8" && dtype.IsFloat)))
            throw new Refused(where + " has an encoding that " + dtype + " does not have; \"b64\" is one, not for str, and \"i8\" for floats.");
        if ((scale != null) != (enc == "i8") || mask != null && (encoding == null || dtype == DType.Bool))
            throw new Refused(where + " has \"scale\" without \"enc\" \"i8\", or without it, or a \"mask\" without \"enc\" or of bool.");
        if (encoding != null) return new Tensor(dtype, Encoded(json, dtype, shape, size, where, guard), shape);
        Cursor elements = data.Elements(where + " data");
        if (data.count != size)
            throw new Refused(where + " holds " + Show(data.count) + " elements for the shape " + Show(shape) + "; they must agree.");
        Array values = Allocate(dtype, size, where, guard);
        Fill(elements, dtype, values, 0, data.count, guard);
        return new Tensor(dtype, values, shape);
    }
    private static int[] ReadShape(Json json, string where, Guard guard) {
        Cursor c = json.Elements(where + " shape");
        if (json.count > guard.limits.Rank)
            throw new Refused(where + " has rank " + Show(json.count) + ", more than the limit of " + Show(guard.limits.Rank) + ".");
        var shape = new int[json.count];
        for (int axis = 0; c.Next(); axis++) {
            long n = c.Integer(DType.I64);
            if (n < 0 || n > int.MaxValue) throw new Refused(where + " has the length " + Show(n) + " in its shape; lengths run from 0 to 2^31-1.");
            shape[axis] = (int) n;
        }
        return shape;
    }
    private static Array Allocate(DType dtype, long size, string where, Guard guard) {
        if (size > Math.Min(guard.limits.TensorElements, int.MaxValue - 64))
            throw new Refused(where + " has more than " + Show(guard.limits.TensorElements) + " elements, the limit of a tensor.");
        guard.Take(8 * size);
        return dtype.Allocate((int) size);
    }
    /// <summary>Decodes the rest of an array into data[k..to); returns the position reached, or to + 1 when there is more.</summary>
    private static int Fill(Cursor c, DType dtype, Array data, int k, int to, Guard guard) {
        var doubles = data as double[];
        var longs = dtype.IsFloat ? null : data as long[];
        for (; c.Next(); k++) {
            if (k == to) return to + 1;
            if (doubles != null) {
                doubles[k] = c.Number(dtype);
            } else if (longs != null) {
                longs[k] = dtype != DType.Bool ? c.Integer(dtype) : c.Bool() ? 1 : 0;
            } else {
                string s = c.String(true);
                guard.Take(s == null ? 0 : 56 + 2L * s.Length);
                ((string[]) data)[k] = s;
            }
        }
        return k;
    }
    /// <summary>The product of a shape; long.MaxValue beyond a limit.</summary>
    private static long Product(int[] shape, long limit) {
        long size = 1;
        foreach (int n in shape) size = n == 0 || size == 0 ? 0 : n < 0 || size > limit / n ? long.MaxValue : size * n;
        return size;
    }
    /// <summary>Elements in base64: little-endian or, with a scale, signed bytes to be multiplied by it; with a mask, only those that it has.</summary>
    private static Array Encoded(Json json, DType dtype, int[] shape, long size, string where, Guard guard) {
        if (size > guard.limits.TensorElements) Allocate(dtype, size, where, guard); // refuses
        double[] scale = json.Get("scale") == null ? null : Scales(json.Get("scale"), dtype, shape, where + " scale", guard);
        byte[] mask = json.Get("mask") == null ? null : Base64(json.Get("mask"), (size + 7) / 8, where + " mask", guard);
        long written = mask == null ? size : 0, per = scale == null || scale.Length == 1 ? long.MaxValue : size / shape[0];
        for (int k = 0; mask != null && k < mask.Length; k++) for (int m = mask[k]; m != 0; m >>= 1) written += m & 1;
        bool beyond = mask != null && size % 8 != 0 && mask[mask.Length - 1] >> (int) (size % 8) != 0;
        if (beyond) throw new Refused(where + " mask goes beyond the last element; the bits behind it are 0.");
        byte[] bytes = Base64(json.Get("data"), scale == null ? written * dtype.Bytes : written, where + " data", guard);
        Array data = Allocate(dtype, size, where, guard);
        var doubles = data as double[];
        for (int k = 0, i = 0; k < size; k++) {
            if (mask != null && (mask[k >> 3] >> (k & 7) & 1) == 0) continue;
            if (scale != null) { doubles[k] = Rounded((sbyte) bytes[i++] * scale[(int) (k / per)], dtype); continue; }
            long bits = 0;
            for (int shift = 0; shift < 8 * dtype.Bytes; shift += 8) bits |= (long) bytes[i++] << shift;
            if (dtype == DType.F64) {
                doubles[k] = BitConverter.Int64BitsToDouble(bits);
            } else if (dtype == DType.F32) {
                doubles[k] = new FloatBits {Bits = unchecked((int) bits)}.Float;
            } else {
                int unused = dtype.Min < 0 ? 64 - 8 * dtype.Bytes : 0; // of a signed integer: filled with the sign
                ((long[]) data)[k] = bits << unused >> unused;
            }
            if (dtype == DType.Bool && bits > 1) throw new Refused(where + " holds the byte " + Show(bits) + " for a bool; it is 0 or 1.");
        }
        return data;
    }
    private static double[] Scales(Json json, DType dtype, int[] shape, string where, Guard guard) {
        Cursor c = json.Elements(where);
        if (json.count != 1 && (shape.Length == 0 || json.count != shape[0]))
            throw new Refused(where + " has " + Show(json.count) + " numbers; one is needed, or one for each index of the first axis.");
        var scale = (double[]) Allocate(dtype, json.count, where, guard);
        Fill(c, dtype, scale, 0, scale.Length, guard);
        foreach (double v in scale) if (!(v > 0 && v <= double.MaxValue)) throw new Refused(where + " holds " + Show(v) + "; it is positive and finite.");
        return scale;
    }
    private const string DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    /// <summary>So many bytes in standard base64, padded (Convert.FromBase64String would pass over white space). The length is checked first.</summary>
    private static byte[] Base64(Json json, long needed, string where, Guard guard) {
        guard.Take(2L * (json.end - json.start));
        byte[] text = json.Bytes(where);
        int n = text.Length, padding = n == 0 || text[n - 1] != '=' ? 0 : n > 1 && text[n - 2] == '=' ? 2 : 1;
        long length = n / 4 * 3L - padding;
        if (n % 4 != 0 || length != needed)
            throw new Refused(where + " holds " + Show(n) + " characters of base64 with padding; its shape and dtype need another number.");
        var bytes = new byte[(int) length];
        var value = new sbyte[256];
        Core.Fill(value, (sbyte) -1);
        for (int k = 0; k < 64; k++) value[DIGITS[k]] = (sbyte) k;
        int wrong = 0, bits = 0, held = 0, at = 0;
        for (int i = 0; i < n - padding; i++) {
            int digit = value[text[i]];
            wrong |= digit;
            bits = bits << 6 | digit & 63;
            held += held >= 2 ? -2 : 6;
            if (held != 6) bytes[at++] = unchecked((byte) (bits >> held));
        }
        if (wrong < 0 || (bits & ((1 << held) - 1)) != 0) throw new Refused(where + " is not standard base64 with padding.");
        return bytes;
    }
}

// ==== 4 Special functions ===========================================================================================

internal static partial class Core {
    /// <summary>erf and norm_ppf by the algorithms of docs/format.md, section 8; log2, log1p, expm1; pow as IEEE 754 has it.</summary>
    internal static class Special {
        // W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969).
        private static readonly double[] ERF_A = {3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03,
            1.85777706184603153e-1};
        private static readonly double[] ERF_B = {2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03};
        private static readonly double[] ERF_C = {5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e01, 2.98635138197400131e02,
            8.81952221241769090e02, 1.71204761263407058e03, 2.05107837782607147e03, 1.23033935479799725e03, 2.15311535474403846e-8};
        private static readonly double[] ERF_D = {1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03,
            3.29079923573345963e03, 4.36261909014324716e03, 3.43936767414372164e03, 1.23033935480374942e03};
        private static readonly double[] ERF_P = {3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2,
            6.58749161529837803e-4, 1.63153871373020978e-2};
        private static readonly double[] ERF_Q = {2.56852019228982242e00, 1.87295284992346725e00, 5.27905102951428412e-1, 6.05183413124413191e-2,
            2.33520497626869185e-3};
        private static readonly double SQRPI = 5.6418958354775628695e-1;
        // M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988); PPND16.
        private static readonly double[] PPF_A = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
            4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3};
        private static readonly double[] PPF_B = {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
            3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3};
        private static readonly double[] PPF_C = {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
            1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4};
        private static readonly double[] PPF_D = {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
            1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9};
        private static readonly double[] PPF_E = {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
            2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7};
        private static readonly double[] PPF_F = {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
            7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15};
        internal static double Erf(double x) {
            double y = Math.Abs(x), z = 1.0 / (y * y);
            if (!(y > 0.46875)) return x * Cody(ERF_A, ERF_B, 3, y * y);
            double rest = y <= 4.0 ? Cody(ERF_C, ERF_D, 7, y) : (SQRPI - z * Cody(ERF_P, ERF_Q, 4, z)) / y;
            double coarse = Math.Floor(y * 16.0) / 16.0;
            double erfc = y > 26.6 ? 0.0 : Math.Exp(-coarse * coarse) * Math.Exp(-(y - coarse) * (y + coarse)) * rest;
            return x < 0 ? erfc - 1.0 : 1.0 - erfc;
        }
        /// <summary>Cody's ratio of two polynomials of degree n + 1: the leading coefficient of the numerator is its last entry.</summary>
        private static double Cody(double[] top, double[] bottom, int n, double z) {
            double a = top[n + 1] * z, b = z;
            for (int k = 0; k < n; k++) { a = (a + top[k]) * z; b = (b + bottom[k]) * z; }
            return (a + top[n]) / (b + bottom[n]);
        }
        internal static double NormPpf(double p) {
            if (!(p > 0 && p < 1)) return p == 0 ? double.NegativeInfinity : p == 1 ? double.PositiveInfinity : double.NaN;
            double q = p - 0.5;
            if (Math.Abs(q) <= 0.425) return q * Ratio(PPF_A, PPF_B, 0.180625 - q * q);
            double r = Math.Sqrt(-Math.Log(q < 0 ? p : 1.0 - p));
            double tail = r <= 5.0 ? Ratio(PPF_C, PPF_D, r - 1.6) : Ratio(PPF_E, PPF_F, r - 5.0);
            return q < 0 ? -tail : tail;
        }
        private static double Ratio(double[] top, double[] bottom, double r) {
            double a = 0, b = 0;
            for (int k = top.Length - 1; k >= 0; k--) { a = a * r + top[k]; b = b * r + bottom[k]; }
            return a / b;
        }
        /// <summary>Exact for powers of two: the exponent is split off, so that the logarithm is taken near 1.</summary>
        internal static double Log2(double x) {
            if (x > 0 && x < 2.2250738585072014e-308) return Log2(x * 18014398509481984.0) - 54;
            if (!(x > 0 && x <= double.MaxValue)) return Math.Log(x);
            int exponent = (int) (BitConverter.DoubleToInt64Bits(x / 1.4142135623730951) >> 52) - 1022;
            long bits = BitConverter.DoubleToInt64Bits(x) - ((long) exponent << 52); // x / 2^exponent
            return exponent + Math.Log(BitConverter.Int64BitsToDouble(bits)) / 0.6931471805599453;
        }
        /// <summary>As IEEE 754 has it, also where .NET Framework gives NaN: 1 to any power, any number to the power 0, -1 to an infinite one.</summary>
        internal static double Pow(double x, double y) { return x == 1 || y == 0 || x == -1 && double.IsInfinity(y) ? 1.0 : Math.Pow(x, y); }
        /// <summary>log(1 + x) where x is small: the rounding of 1 + x is divided out (W. Kahan).</summary>
        internal static double Log1p(double x) {
            double u = 1.0 + x;
            return u == 1.0 || x == double.PositiveInfinity ? x : Math.Abs(x) > 0.5 ? Math.Log(u) : Math.Log(u) * (x / (u - 1.0));
        }
        /// <summary>exp(x) - 1 where x is small, in the same way.</summary>
        internal static double Expm1(double x) {
            double u = Math.Exp(x);
            return u == 1.0 ? x : Math.Abs(x) > 1.0 || x != x ? u - 1.0 : (u - 1.0) * (x / Math.Log(u));
        }
        internal static double Sign(double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x + 0.0; }
        internal static double Softplus(double x) { return Math.Max(x, 0.0) + Log1p(Math.Exp(-Math.Abs(x))); }
        /// <summary>The two-branch form: exp never overflows.</summary>
        internal static double Sigmoid(double x) { double e = Math.Exp(-Math.Abs(x)); return x >= 0 ? 1.0 / (1.0 + e) : e / (1.0 + e); }
    }
}

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

    internal static readonly DType[] ANY = DType.All;
    internal static readonly DType[] FLOATS = {DType.F64, DType.F32};
    private static readonly DType[] CAN_BE_MISSING = {DType.F64, DType.F32, DType.Str};
    internal static readonly DType[] INTEGERS = {DType.I64, DType.I32, DType.I16, DType.I8, DType.U32, DType.U16, DType.U8};

    /// <summary>A step while it is being checked: its attributes, read one by one, and the types of what it reads.</summary>
    internal sealed class Args {
        internal readonly string op, where;
        internal readonly int[] inputs;
        internal readonly RowType[] types;
        internal readonly Guard guard;
        internal DType dtype = DType.F64; // of ops marked d
        internal long work; // multiplications per row, of the profile nn
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
            foreach (var member in json.members)
                if (!read.Contains(member.Key) && !Json.Ignored(member.Key)) throw Refuse("has the unknown attribute " + Quote(member.Key) + ", which may change its meaning.");
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
            if (value < low || value > Math.Min(high, int.MaxValue))
                throw Refuse("has " + Quote(key) + " " + value + "; it lies between " + low + " and " + high + ".");
            return (int) value;
        }
        internal double Number(string key, double otherwise) { return Has(key) ? Attribute(key).Scalar(At(key)).Number(DType.F64) : otherwise; }
        /// <summary>One JSON element of the dtype as a tensor; null only where a missing string is an element.</summary>
        internal Tensor Element(string key, DType dtype, bool missing) {
            Cursor c = Attribute(key).Scalar(At(key));
            return dtype.IsFloat ? new Tensor(dtype, new double[] {c.Number(dtype)}, 1)
                : dtype == DType.Str ? new Tensor(dtype, new string[] {c.String(missing)}, 1)
                : new Tensor(dtype, new long[] {dtype != DType.Bool ? c.Integer(dtype) : c.Bool() ? 1 : 0}, 1);
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
            if (type.width > guard.limits.RowElements || dims.Length > guard.limits.Rank)
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
        internal readonly long work;
        internal Step(Args a, RowType type) { this.where = a.where; this.inputs = a.inputs; this.from = a.types; this.type = type; this.dtype = a.dtype; this.work = a.work; }
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
        if (fn != "not") return new UnaryStep(a, a.Rounded()) { fn = Function(fn) };
        return new NotStep(a, a.One(DType.Bool));
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
        return new SoftmaxStep(a, a.Rounded()) { log = log };
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
        foreach (int p in powers) count += p > 0 ? 1 : 0;
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
        private readonly Limits limits;
        private long rowElements, work;
        internal Plan(Model model, SortedDictionary<string, int> lengths, List<Json> list, Guard guard) {
            limits = guard.limits;
            foreach (Input input in model.Inputs) Define(input.Name, input.RowType(lengths), "Input " + Quote(input.Name));
            var listed = new HashSet<string>(model.Requires, StringComparer.Ordinal);
            var unused = new HashSet<string>(listed, StringComparer.Ordinal);
            if (list.Count > limits.Steps) throw new Refused("The document has " + Show(list.Count) + " steps, more than the limit of " + Show(limits.Steps) + ".");
            foreach (Json json in list) {
                string number = "Step " + Show(steps.Count), op = json.Need("op", number).String(number + " op");
                string name = json.Need("out", number).String(number + " out"), where = "Step " + Quote(name) + " (" + op + ")";
                if (name.Length == 0) throw new Refused(number + " has an empty \"out\"; name its value.");
                if (!listed.Contains(op)) throw new Refused(number + " has the op " + Quote(op) + ", which \"requires\" does not list.");
                unused.Remove(op);
                Step step = Find(model, op, where, json, guard);
                work = step.work > long.MaxValue - work ? long.MaxValue : work + step.work;
                if (work > limits.Multiplications) throw new Refused(where + " brings a row beyond the limit of " + Show(limits.Multiplications) + " multiplications.");
                Define(name, step.type, where);
                steps.Add(step);
            }
            foreach (string op in unused) throw new Refused("The document requires " + Quote(op) + " and uses it in no step; list the ops that are used.");
        }
        /// <summary>Checks a step; what attributes have become is kept for other lengths, and so is a step that reads what it read before.</summary>
        private Step Find(Model model, string op, string where, Json json, Guard guard) {
            List<string> names = json.Need("in", where).Strings(where + " in", guard);
            var inputs = new int[names.Count];
            var from = new RowType[inputs.Length];
            for (int k = 0; k < inputs.Length; k++) {
                if (!slots.TryGetValue(names[k], out inputs[k])) throw new Refused(where + " reads " + Quote(names[k]) + ", which no input and no earlier step defines.");
                from[k] = types[inputs[k]];
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
            if (model.memo != null) model.memo[json] = step;
            return step;
        }
        /// <summary>Gives a value its name, and holds it against the limits on row elements.</summary>
        private void Define(string value, RowType type, string where) {
            rowElements += type.width;
            if (type.width > limits.RowElements || type.rank > limits.Rank || rowElements > limits.TotalRowElements)
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
        if (root.Get("lengths") != null) ReadLengths(root.Get("lengths"));
        var named = new SortedSet<string>(StringComparer.Ordinal);
        foreach (Json json in ListOf(root, "inputs")) inputs.Add(ReadInput(json, named, guard));
        if (!named.SetEquals(lengths.Keys) || root.Get("lengths") != null && named.Count == 0)
            throw new Refused("The document has lengths for " + Show(lengths.Keys) + "; its inputs name " + Show(named) + ".");
        foreach (Input input in inputs) if (input.Features != null) foreach (string feature in input.Features) owners[feature] = input;
        foreach (Input input in inputs) owners[input.Name] = input;
        List<Json> steps = ListOf(root, "steps");
        source = named.Count == 0 ? null : steps;
        memo = named.Count == 0 ? null : new Dictionary<object, object>();
        plan = new Plan(this, lengths, steps, guard);
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (Json json in ListOf(root, "outputs")) outputs.Add(ReadOutput(json, names, guard));
        plan.Release(outputs);
        guard.Take(16 * plan.peak);
        foreach (string length in lengths.Keys) NameAxes(length, guard.Attempt());
        carried = root.Get("verification") == null ? null : new Vectors(root.Get("verification"), this, limits.CarriedRows, guard);
    }
    private void ReadLengths(Json json) {
        foreach (var member in json.Object("The document's lengths").members) {
            long length = member.Value.Scalar("The length " + Quote(member.Key)).Integer(DType.I64);
            if (length < 1 || length > 1 << 20) throw new Refused("The length " + Quote(member.Key) + " is " + Show(length) + "; it is 1 to 2^20.");
            lengths[member.Key] = (int) length;
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
        List<string> requires = root.Need("requires", the).Strings("The document's requires", guard);
        var unknown = new StringBuilder();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (string op in requires) {
            if (!seen.Add(op)) throw new Refused("The document requires " + Quote(op) + " twice; every op is listed once.");
            if (OpTable.Of(op, more) == null && unknown.Length < 1000) unknown.Append(unknown.Length == 0 ? "" : ", ").Append(Quote(op));
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
    private static List<Json> ListOf(Json root, string key) {
        List<Json> items = root.Need(key, "The document").Objects("The document's " + key);
        if (items.Count == 0 && key != "steps") throw new Refused("The document has no " + key + "; at least one is needed.");
        return items;
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
        List<object> classes = json.Get("classes") == null ? null : ReadClasses(json.Get("classes"), where, guard);
        if (classes != null && type.rank > 0 && classes.Count != type.last)
            throw new Refused(where + " has " + Show(classes.Count) + " classes for " + type + "; they name its last axis.");
        var axes = new List<object>();
        foreach (int length in type.dims) axes.Add(length);
        return new Output(name, dtype, axes, slot, role, classes);
    }
    private static List<object> ReadClasses(Json json, string where, Guard guard) {
        var classes = new List<object>();
        char first = ' ';
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
        foreach (var member in root.Need("inputs", "The request").Object("The request's inputs").members) {
            string key = member.Key, where = "Input " + Quote(key);
            Input owner;
            if (!owners.TryGetValue(key, out owner)) throw new Refused("The input " + Quote(key) + " is not one of the model's; remove it.");
            Tensor t = Tensor.Read(member.Value, owner.DType, where, guard);
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
            if (tolerances.members.Count > tolerance.Count) throw new Refused("The verification has a tolerance of an unknown output; remove it.");
            var sets = new List<Json> {json};
            if (json.Get("more") != null) sets.AddRange(json.Get("more").Objects("The verification's more"));
            if (json.Get("more") != null && sets.Count == 1) throw new Refused("The verification's more is empty; leave it out.");
            foreach (Json set in sets) {
                if (set != json) set.Only(where, "inputs", "outputs", "rows");
                mostRows -= ReadSet(set, set == json ? where : where + "'s set " + Show(inputs.Count), model, mostRows, guard);
            }
        }
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
            if (ins.members.Count > given.Count || outs.members.Count > answers.Count)
                throw new Refused(where + " names an input or an output that the document does not have; remove it.");
            if (rows < 1 || rows > mostRows)
                throw new Refused(where + " has " + Show(rows) + " rows; from 1 to " + Show(mostRows) + " are needed, in all sets.");
            if (json.Get("rows") != null && json.Get("rows").Strings(where + "'s rows", guard).Count != rows)
                throw new Refused(where + " says why for another number of rows than its " + Show(rows) + "; say it for each.");
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
