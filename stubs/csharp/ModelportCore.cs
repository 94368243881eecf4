// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// What Modelport.cs stands on, and needs: sections 1 Errors, 2 JSON, 3 Tensors, 4 Special functions. Floats of both dtypes are held in double[]
// (an f32 is a double that a float can hold), integers and booleans in long[], strings in string[]; arrays are row-major.

using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;

namespace Modelport {
using static Core;

/// <summary>What a document may cost at most (docs/format.md, section 5). Raise a value before loading, and leave it then.</summary>
public sealed class Limits {
    public long DocumentBytes = 512L << 20, TensorElements = 1L << 28, RowElements = 1L << 22, TotalRowElements = 1L << 25, Multiplications = 1L << 34;
    public int Depth = 16, Steps = 10000, Rank = 6, CarriedRows = 4096;
    /// <summary>Operations that the replay of all carried rows may take, beside 4,096 for every byte of the document.</summary>
    public long Work = 1L << 30;
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
    public Refused(string sentence) : base(sentence, 2) { }
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
        internal int longest; // code points of the longest string among the elements that were read
        internal Guard(Limits limits) : this(limits, limits.Memory) { }
        private Guard(Limits limits, long left) { this.limits = limits; this.left = left; }
        /// <summary>A guard over what is left, for an attempt of which nothing is kept.</summary>
        internal Guard Attempt() { return new Guard(limits, left); }
        internal void Take(long bytes) {
            if (bytes > left)
                throw new Refused("More than the " + Show(limits.Memory >> 20) + " MB of memory that this reader may use would be needed; raise Limits.Memory.");
            left -= bytes;
        }
        /// <summary>Remembers how long an element is.</summary>
        internal void Measure(string s) {
            if (s == null || s.Length <= longest) return;
            int points = 0;
            foreach (char c in s) points += char.IsLowSurrogate(c) ? 0 : 1;
            longest = Math.Max(longest, points);
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

    /// <summary>A checked text, and where its long arrays and objects end, so that they can be passed at once.</summary>
    internal sealed class Source {
        internal struct Extent { internal int end, count, holds; }
        internal const int LONG = 4096;
        internal readonly byte[] b;
        internal readonly Guard guard;
        internal readonly Dictionary<int, Extent> extents = new Dictionary<int, Extent>(); // of values of LONG bytes and more, by their start
        internal Source(byte[] b, Guard guard) { this.b = b; this.guard = guard; }
        internal int Space(int i) {
            while (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') i++;
            return i;
        }
        /// <summary>Behind the separator (a comma or a colon) after a value or key that ends at i; at a closing bracket, before it.</summary>
        internal int Next(int i) { i = Space(i); return b[i] == ',' || b[i] == ':' ? Space(i + 1) : i; }
        internal int String(int i) {
            for (i++; b[i] != '"'; ) i += b[i] == '\\' ? 2 : 1;
            return i + 1;
        }
        /// <summary>The end of the value that begins at i.</summary>
        internal int Pass(int i) {
            Extent known;
            if (b[i] == '"') return String(i);
            if (b[i] != '{' && b[i] != '[') {
                while (i < b.Length && b[i] != ',' && b[i] != ']' && b[i] != '}' && b[i] > ' ') i++;
                return i;
            }
            if (extents.TryGetValue(i, out known)) return known.end;
            int depth = 0;
            do {
                if (b[i] == '"') { i = String(i); continue; }
                if (b[i] == '{' || b[i] == '[') depth++;
                else if (b[i] == '}' || b[i] == ']') depth--;
                i++;
            } while (depth > 0);
            return i;
        }
        /// <summary>What the array that begins at i has and holds, with the arrays in it; i passes it.</summary>
        internal Extent Survey(ref int i) {
            Extent found;
            if (extents.TryGetValue(i, out found)) { i = found.end; return found; }
            for (i = Space(i + 1); b[i] != ']'; i = Next(i), found.count++) {
                found.holds |= Holds(Json.Kind(b[i]));
                if (b[i] == '[') found.holds |= Survey(ref i).holds;
                else i = Pass(i);
            }
            found.end = ++i;
            return found;
        }
        /// <summary>Numbers (1), strings or null (2).</summary>
        internal static int Holds(char kind) { return kind == '0' ? 1 : kind == '"' || kind == 'n' ? 2 : 0; }
    }

    /// <summary>
    /// A checked JSON value: where it stands in the text. Everything in it is found and decoded when it is asked for, so that what nobody asks
    /// for costs nothing, and numbers keep their spelling. The kind is the first character, '0' for every number.
    /// </summary>
    internal sealed class Json {
        private struct Member { internal string key; internal int start, end; internal Json value; }
        internal readonly byte[] b;
        internal readonly int start, end;
        internal readonly char kind;
        private readonly Source source;
        private Source.Extent extent; // of an array, once it is asked for
        private Member[] members; // in the order of the text
        private int[] order; // by key, where there are more than a few
        internal Json(Source source, int start, int end) {
            this.source = source; this.start = start; this.end = end; b = source.b; kind = Kind(b[start]);
        }
        /// <summary>The number of elements of an array, and whether it holds numbers (1), strings or null (2); 0 for all other values.</summary>
        internal int count => Surveyed().count;
        internal int holds => Surveyed().holds;
        private Source.Extent Surveyed() {
            int i = start;
            if (kind == '[' && extent.end == 0) extent = source.Survey(ref i);
            return extent;
        }
        private Member[] Members() {
            if (members != null) return members;
            int n = Size, i = source.Space(start + 1);
            source.guard.Take((n > FEW ? 96L : 64L) * n + 4L * (end - start));
            members = new Member[n];
            for (int k = 0; k < n; k++) {
                int key = i;
                i = source.String(i);
                members[k].key = Text(b, key, i);
                members[k].start = source.Next(i);
                members[k].end = source.Pass(members[k].start);
                i = source.Next(members[k].end);
            }
            if (n <= FEW) return members;
            order = new int[n];
            for (int k = 0; k < n; k++) order[k] = k;
            Array.Sort(order, (x, y) => string.CompareOrdinal(members[x].key, members[y].key));
            return members;
        }
        /// <summary>The number of keys of an object.</summary>
        internal int Size {
            get {
                int n = 0;
                if (members != null) return members.Length;
                for (int i = source.Space(start + 1); b[i] != '}'; i = source.Next(source.Pass(source.Next(source.String(i))))) n++;
                return n;
            }
        }
        internal IEnumerable<string> Keys() { foreach (Member member in Members()) yield return member.key; }
        /// <summary>'{', '[', '"', '0', 't', 'f' or 'n'; ' ' where no value begins.</summary>
        internal static char Kind(int first) {
            return first == '-' || first >= '0' && first <= '9' ? '0' : first == '{' || first == '[' || first == '"' || first == 't' || first == 'f' || first == 'n'
                ? (char) first : ' ';
        }
        private static readonly string[] NAMES = {"an object", "an array", "a string", "a number", "true", "false", "null"};
        internal static string Called(char kind) { int k = "{[\"0tfn".IndexOf(kind); return k < 0 ? "nothing" : NAMES[k]; }
        internal const int FEW = 8;
        internal Json Get(string key) {
            Member[] all = Members();
            int k = 0, low = 0, high = all.Length;
            if (order == null) {
                while (k < all.Length && all[k].key != key) k++;
            } else {
                while (low < high) {
                    int middle = (low + high) >> 1;
                    if (string.CompareOrdinal(all[order[middle]].key, key) < 0) low = middle + 1;
                    else high = middle;
                }
                k = low < all.Length && all[order[low]].key == key ? order[low] : all.Length;
            }
            if (k == all.Length) return null;
            return all[k].value ?? (all[k].value = new Json(source, all[k].start, all[k].end));
        }
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
            foreach (string key in Object(where).Keys())
                if (!Ignored(key) && Array.IndexOf(keys, key) < 0)
                    throw new Refused(where + " has the unknown key " + Quote(key) + "; remove it or begin it with x-.");
        }
        internal static bool Ignored(string key) { return Begins(key, "x-") || key == "name" || key == "doc" || key == "provenance"; }
        internal List<string> Strings(string where, Guard guard) {
            guard.Take(64L * Expect('[', where).count + 2L * (end - start));
            return new List<string>(Texts(where));
        }
        /// <summary>The strings of an array, one after the other.</summary>
        internal IEnumerable<string> Texts(string where) { for (Cursor c = Elements(where); c.Next(); ) yield return c.String(false); }
        /// <summary>The objects of an array, one after the other.</summary>
        internal IEnumerable<Json> Objects(string where) {
            Expect('[', where);
            for (int i = source.Space(start + 1), behind; b[i] != ']'; i = source.Next(behind)) {
                behind = source.Pass(i);
                if (b[i] != '{') throw new Refused(where + " hold something else than objects; a list of objects is needed.");
                yield return new Json(source, i, behind);
            }
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
    internal sealed class Parser : IComparer<int> {
        private const int LONGEST_NUMBER = 4096;
        private readonly byte[] b;
        private readonly string what;
        private readonly Guard guard;
        private readonly Source source;
        private int i, depth, top;
        private int[] keys = new int[64]; // where the keys of the objects that are open begin
        private Parser(byte[] b, string what, Guard guard) { this.b = b; this.what = what; this.guard = guard; source = new Source(b, guard); }
        /// <summary>The text as one value; `what` begins a sentence.</summary>
        internal static Json Parse(byte[] text, string what, Guard guard) {
            if (text.Length > guard.limits.DocumentBytes)
                throw new Refused(what + " has " + Show(text.Length) + " bytes, more than the limit of " + Show(guard.limits.DocumentBytes) + ".");
            guard.Take(text.Length);
            var p = new Parser(text, what, guard);
            p.Space();
            int start = p.i;
            p.Value(Json.Kind(p.Peek()));
            int end = p.i;
            p.Space();
            if (p.i < text.Length) throw p.Fail("something follows the end of the value; a document is one JSON value");
            return new Json(p.source, start, end);
        }
        private Refused Fail(string reason) { return Fail(reason, i); }
        private Refused Fail(string reason, int i) {
            return new Refused(what + " is not acceptable JSON at byte " + Show(i) + ": " + (i < b.Length ? reason : "the text ends too early") + ".");
        }
        private int Peek() { return i < b.Length ? b[i] : -1; }
        private bool At(int c) { return i < b.Length && b[i] == c; }
        private void Space() {
            while (At(' ') || At('\n') || At('\r') || At('\t')) i++;
        }
        /// <summary>Passes a value; returns what it holds if it is an array.</summary>
        private int Value(char kind) {
            int start = i;
            if (kind != '{' && kind != '[') {
                if (kind == '"') String();
                else if (kind == '0') Number();
                else if (kind != ' ') Word(Json.Called(kind));
                else throw Fail(At('N') || At('I') ? "a bare NaN or Infinity is no JSON; write it in quotes" : "no value begins here");
                return 0;
            }
            Source.Extent found = new Source.Extent();
            if (kind == '{') Object();
            else found = Items();
            found.end = i;
            if (i - start >= Source.LONG) {
                guard.Take(64);
                source.extents[start] = found;
            }
            return found.holds;
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
        private void Object() {
            int first = top;
            Open();
            for (bool more = !At('}') || More('}'); more; more = More('}')) {
                if (!At('"')) throw Fail("a key in double quotes is needed here");
                if (top == keys.Length) {
                    guard.Take(8L * top);
                    keys = Resized(keys, 2 * top);
                }
                keys[top++] = i;
                String();
                Space();
                if (!At(':')) throw Fail("a colon is needed after a key");
                i++;
                Space();
                Value(Json.Kind(Peek()));
            }
            int n = top - first, twice = -1;
            if (n > Json.FEW) {
                Array.Sort(keys, first, n, this);
                for (int k = first + 1; k < top; k++) if (Compare(keys[k - 1], keys[k]) == 0) twice = keys[k];
            } else {
                for (int k = first + 1; k < top; k++) for (int j = first; j < k; j++) if (Compare(keys[j], keys[k]) == 0) twice = keys[k];
            }
            if (twice >= 0)
                throw Fail("the key " + Quote(Json.Text(b, twice, source.String(twice))) + " stands twice in one object, or in spellings that differ by case only", twice);
            top = first;
        }
        private Source.Extent Items() {
            var found = new Source.Extent();
            Open();
            for (bool more = !At(']') || More(']'); more; more = More(']'), found.count++) {
                char kind = Json.Kind(Peek());
                found.holds |= Source.Holds(kind) | Value(kind);
            }
            return found;
        }
        /// <summary>The order of two checked keys, which begin at x and y, by their code points, A to Z lowered.</summary>
        public int Compare(int x, int y) {
            if (x == y) return 0;
            for (int p, q; ; ) {
                p = Point(ref x);
                q = Point(ref y);
                if (p != q || p < 0) return p.CompareTo(q);
            }
        }
        /// <summary>The code point behind k, which moves to its last byte; -1 at the end of the string.</summary>
        private int Point(ref int k) {
            int c = b[++k];
            if (c == '"') return -1;
            if (c == '\\') {
                c = b[++k];
                int control = "bfnrt".IndexOf((char) c);
                if (control >= 0) c = "\b\f\n\r\t"[control];
                if (c == 'u') {
                    c = Code(k + 1);
                    k += 4;
                    if ((c & 0xFC00) == 0xD800) { c = 0x10000 + ((c & 0x3FF) << 10) + (Code(k + 3) & 0x3FF); k += 6; }
                }
            } else if (c >= 0xC0) {
                int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
                for (c &= 0x3F >> more; more > 0; more--) c = c << 6 | b[++k] & 0x3F;
            }
            return c >= 'A' && c <= 'Z' ? c + 32 : c;
        }
        /// <summary>What the four hexadecimal digits at k say; -1 where there are none.</summary>
        private int Code(int k) {
            int code = 0;
            for (int end = k + 4; k < end; k++) {
                int digit = k < b.Length ? Hex(b[k]) : -1;
                code = digit < 0 || code < 0 ? -1 : code << 4 | digit;
            }
            return code;
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
        /// <summary>Checks a string: its escapes, that it is UTF-8, and that no half of a surrogate pair stands in it.</summary>
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
                int code = Code(i + 1);
                if (code < 0) throw Fail("\\u needs four hexadecimal digits");
                i += 4;
                if ((code & 0xF800) != 0xD800) continue;
                bool whole = (code & 0x400) == 0 && i + 2 < b.Length && b[i + 1] == '\\' && b[i + 2] == 'u' && (Code(i + 3) & ~0x3FF) == 0xDC00;
                if (!whole) throw Fail("a string holds half of a surrogate pair");
                i += 6;
            }
            i++;
            if (plain) return;
            try {
                STRICT.GetCharCount(b, start, i - start);
            } catch (ArgumentException) {
                throw Fail("a string is not UTF-8");
            }
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
    /// <summary>The sum of two counts; as good as infinite when it overflows.</summary>
    internal static long Plus(long a, long b) { return b > 0 && a > long.MaxValue - b ? long.MaxValue : a + b; }
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
        /// <summary>The elements of a row as limits count them: an axis of length 0 counts as 1.</summary>
        internal int Counted => width > 0 ? width : new RowType(dtype, Array.ConvertAll(dims, n => Math.Max(1, n))).width;
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
        foreach (string key in json.Keys())
            if (Json.Ignored(key)) throw new Refused(where + " has the key " + Quote(key) + "; a tensor has none such.");
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
                guard.Measure(s);
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
        /// <summary>Where exp overflows the quotient is 0.</summary>
        internal static double Sigmoid(double x) { return 1.0 / (1.0 + Math.Exp(-x)); }
    }
}
}
