// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// modelport for Java: runs modelport JSON artifacts, format 1 (docs/format.md), without any machine-learning framework. One file, Java 8,
// the standard library only: paste it into a project and add a package line. No reflection, no locale, no network, no file system.
//
//     Modelport.Model model = Modelport.load(bytes);                          // replays the vectors that the artifact carries
//     double[][] p = model.predict(new double[][] {{5.1, 3.5}}).get("probability").matrix();
//
// Sections: 1 Errors, 2 JSON, 3 Tensors, 4 Special functions, 5 Ops, 6 Trees, 7 Model. Floats of both dtypes are held in double[] (an f32
// is a double that a float can hold), integers and booleans in long[], strings in String[]; arrays are row-major.

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;

/** Loads modelport JSON artifacts and evaluates them. A loaded {@link Model} is immutable and may be shared by threads. */
@SuppressWarnings("serial")
public final class Modelport {
    private Modelport() { }

    /** Loads a document (UTF-8) and replays the vectors it carries; refuses it when one answer differs from the original model's. The
     *  ops of this file are known, and those of `more`: {@code Modelport.load(bytes, ModelportMore.OPS)}. */
    public static Model load(byte[] document, Ops... more) { return load(document, true, new Limits(), more); }

    /** Loads a document that is held in a string. */
    public static Model load(String document, Ops... more) {
        byte[] bytes = document.getBytes(StandardCharsets.UTF_8);
        if (!new String(bytes, StandardCharsets.UTF_8).equals(document)) throw new Refused("The document holds half of a surrogate pair; it is no text.");
        return load(bytes, more);
    }

    /** Loads a document from a stream, which is read to its end and left open. */
    public static Model load(InputStream document, Ops... more) throws IOException {
        Limits limits = new Limits();
        long most = Math.min(limits.documentBytes, limits.memory / 4);
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        byte[] piece = new byte[1 << 16];
        for (int n = document.read(piece); n >= 0; n = document.read(piece)) {
            if (all.size() + n > most) throw new Refused("The document has more than " + most + " bytes; load larger ones from an array.");
            all.write(piece, 0, n);
        }
        return load(all.toByteArray(), more);
    }

    /** Loads under the caller's terms: without `replay` the vectors are only read, and a document may carry none. */
    public static Model load(byte[] document, boolean replay, Limits limits, Ops... more) {
        Guard guard = new Guard(limits);
        Model model = new Model(Parser.parse(document, "The document", guard), guard, more);
        if (replay) for (Check check : model.verify()) if (!check.passed) throw new Mismatch(check.sentence);
        return model;
    }

    /** What a document may cost at most (docs/format.md, section 5). Raise a field before loading, and leave it then. */
    public static final class Limits {
        public long documentBytes = 512L << 20, tensorElements = 1L << 28, rowElements = 1L << 22, totalRowElements = 1L << 25;
        public long multiplications = 1L << 34, work = 1L << 30;
        public int depth = 16, steps = 10_000, rank = 6, carriedRows = 4096;
        /** Bytes that one load or one prediction may allocate; half of the heap by default. */
        public long memory = Runtime.getRuntime().maxMemory() / 2;
    }

    /** The limits of one load or prediction, and what is left of its memory: asked before anything large is allocated. */
    static final class Guard {
        final Limits limits;
        private long left;
        private int longest; // code points of the longest string among the elements
        Guard(Limits limits) { this(limits, limits.memory); }
        private Guard(Limits limits, long left) { this.limits = limits; this.left = left; }
        /** A guard over what is left, for an attempt of which nothing is kept. */
        Guard attempt() { return new Guard(limits, left); }
        void measure(String s) { if (s != null && s.length() > longest) longest = Math.max(longest, s.codePointCount(0, s.length())); }
        void take(long bytes) {
            if (bytes > left)
                throw new Refused("More than the " + (limits.memory >> 20) + " MB of memory that this reader may use would be needed; "
                    + "raise Limits.memory and the heap of the program (-Xmx).");
            left -= bytes;
        }
    }

    // ==== 1 Errors ===================================================================================================

    /** Base of the three errors: the message is one sentence, exitCode is what a command line answers with. */
    public abstract static class ModelportException extends RuntimeException {
        public final int exitCode;
        private ModelportException(String sentence, int exitCode) { super(sentence); this.exitCode = exitCode; }
    }

    /** The artifact, or the rows, are not acceptable. */
    public static final class Refused extends ModelportException {
        Refused(String sentence) { super(sentence, 2); }
    }

    /** The numbers are not those of the original model. */
    public static final class Mismatch extends ModelportException {
        Mismatch(String sentence) { super(sentence, 1); }
    }

    /** The document needs an op or a version that this reader does not have. */
    public static final class Unsupported extends ModelportException {
        private Unsupported(String sentence) { super(sentence, 3); }
    }

    /** A name as it appears in a sentence: in quotes, on one line, not longer than 60 characters. */
    static String quote(String name) { return json(name.length() > 60 ? name.substring(0, 60) + "..." : name); }

    // ==== 2 JSON =====================================================================================================

    /**
     * A checked JSON value: where it stands in the text. Scalars and the elements of an array are decoded when they are asked for, so that
     * large arrays cost nothing until their dtype is known, and numbers keep their spelling. Only an object, and an array that begins with
     * an object, have children. The kind is the first character, '0' for every number. An array `holds` numbers (1), strings or null (2).
     */
    static final class Json {
        final byte[] b;
        final int start, end, count, holds;
        final char kind;
        final Map<String, Json> members;
        final List<Json> items;
        Json(byte[] b, int start, int end, int count, int holds, Map<String, Json> members, List<Json> items) {
            this.b = b; this.start = start; this.end = end; this.count = count; this.holds = holds; this.kind = kind(b[start]);
            this.members = members; this.items = items;
        }
        /** '{', '[', '"', '0', 't', 'f' or 'n'; ' ' where no value begins. */
        static char kind(int first) {
            return first == '-' || first >= '0' && first <= '9' ? '0' : "{[\"tfn".indexOf(first) >= 0 ? (char) first : ' ';
        }
        static String called(char kind) {
            String[] names = {"an object", "an array", "a string", "a number", "true", "false", "null"};
            return names["{[\"0tfn".indexOf(kind)];
        }
        Json get(String key) { return members.get(key); }
        private Json expect(char wanted, String where) {
            if (kind != wanted) throw new Refused(where + " is " + called(kind) + "; " + called(wanted) + " is needed.");
            return this;
        }
        Json object(String where) { return expect('{', where); }
        String string(String where) { return text(expect('"', where).b, start, end); }
        /** The bytes of a string. */
        byte[] bytes(String where) {
            for (int k = expect('"', where).start; k < end; k++) if (b[k] == '\\') return string(where).getBytes(StandardCharsets.UTF_8);
            return Arrays.copyOfRange(b, start + 1, end - 1);
        }
        /** A cursor before the first element of this array. */
        Cursor elements(String where) { return new Cursor(expect('[', where).b, start + 1, where); }
        /** A cursor on this one value. */
        Cursor scalar(String where) { return new Cursor(b, start, where); }
        Json need(String key, String where) {
            Json value = object(where).get(key);
            if (value == null) throw new Refused(where + " lacks the key " + quote(key) + "; it is required.");
            return value;
        }
        /** Refuses every key but those listed and those that evaluators ignore. */
        void only(String where, String... keys) {
            for (String key : object(where).members.keySet())
                if (!ignored(key) && !Arrays.asList(keys).contains(key))
                    throw new Refused(where + " has the unknown key " + quote(key) + "; remove it or begin it with x-.");
        }
        static boolean ignored(String key) {
            return key.startsWith("x-") || key.equals("name") || key.equals("doc") || key.equals("provenance");
        }
        List<String> strings(String where, Guard guard) {
            guard.take(64L * count + 2L * (end - start));
            List<String> list = new ArrayList<>();
            for (Cursor c = elements(where); c.next(); ) list.add(c.string(false));
            return Collections.unmodifiableList(list);
        }
        List<Json> objects(String where) {
            expect('[', where);
            for (int k = 0; k < count; k++)
                if (items == null || items.get(k).kind != '{') throw new Refused(where + " hold something else than objects; a list of objects is needed.");
            return items == null ? Collections.<Json>emptyList() : items;
        }
        /** The text of the checked string literal b[start..end), quotes included. */
        static String text(byte[] b, int start, int end) {
            String raw = new String(b, start + 1, end - start - 2, StandardCharsets.UTF_8);
            if (raw.indexOf('\\') < 0) return raw;
            StringBuilder text = new StringBuilder(raw.length());
            for (int k = 0; k < raw.length(); k++) {
                char c = raw.charAt(k);
                if (c == '\\') {
                    c = raw.charAt(++k);
                    int control = "bfnrt".indexOf(c);
                    c = c == 'u' ? (char) Integer.parseInt(raw.substring(k + 1, (k += 4) + 1), 16) : control >= 0 ? "\b\f\n\r\t".charAt(control) : c;
                }
                text.append(c);
            }
            return text.toString();
        }
    }

    /** The strict parser: one pass that checks what RFC 8259 demands, and duplicate keys, depth and overflow. */
    private static final class Parser {
        private static final int LONGEST_NUMBER = 4096, BYTES_PER_MEMBER = 256;
        private final byte[] b;
        private final String what;
        private final Guard guard;
        private int i, depth;
        private Parser(byte[] b, String what, Guard guard) { this.b = b; this.what = what; this.guard = guard; }
        /** The text as one value; `what` begins a sentence. */
        static Json parse(byte[] text, String what, Guard guard) {
            if (text.length > guard.limits.documentBytes)
                throw new Refused(what + " has " + text.length + " bytes, more than the limit of " + guard.limits.documentBytes + ".");
            guard.take(text.length);
            Parser p = new Parser(text, what, guard);
            p.space();
            Json value = p.value();
            p.space();
            if (p.i < text.length) throw p.fail("something follows the end of the value; a document is one JSON value");
            return value;
        }
        private Refused fail(String reason) {
            return new Refused(what + " is not acceptable JSON at byte " + i + ": " + (i < b.length ? reason : "the text ends too early") + ".");
        }
        private int peek() { return i < b.length ? b[i] : -1; }
        private boolean at(int c) { return i < b.length && b[i] == c; }
        private void space() {
            while (at(' ') || at('\n') || at('\r') || at('\t')) i++;
        }
        private Json value() {
            int start = i;
            char kind = Json.kind(peek());
            if (kind == '{') return object();
            if (kind == '[') return array();
            scalar(kind);
            return new Json(b, start, i, 0, 0, null, null);
        }
        private void scalar(char kind) {
            if (kind == '"') string();
            else if (kind == '0') number();
            else if (kind != ' ') word(Json.called(kind));
            else throw fail(at('N') || at('I') ? "a bare NaN or Infinity is no JSON; write it in quotes" : "no value begins here");
        }
        private void word(String word) {
            for (int k = 0; k < word.length(); k++, i++) if (!at(word.charAt(k))) throw fail("a value is none of true, false and null");
        }
        private void open() {
            if (++depth > guard.limits.depth) throw fail("the values are nested deeper than the limit of " + guard.limits.depth);
            i++;
            space();
        }
        /** True when another element follows; false after the closing bracket. */
        private boolean more(char close) {
            space();
            boolean closed = at(close);
            if (!closed && !at(',')) throw fail("a comma or '" + close + "' is needed here");
            i++;
            if (closed) depth--;
            else space();
            return !closed;
        }
        private Json object() {
            int start = i;
            Map<String, Json> members = new LinkedHashMap<>();
            Set<String> seen = new HashSet<>();
            open();
            for (boolean more = !at('}') || more('}'); more; more = more('}')) {
                if (!at('"')) throw fail("a key in double quotes is needed here");
                int from = i;
                string();
                guard.take(BYTES_PER_MEMBER + 4L * (i - from));
                String key = Json.text(b, from, i);
                if (!seen.add(lower(key))) throw fail("the key " + quote(key) + " stands twice in one object, or in spellings that differ by case only");
                space();
                if (!at(':')) throw fail("a colon is needed after a key");
                i++;
                space();
                members.put(key, value());
            }
            return new Json(b, start, i, members.size(), 0, members, null);
        }
        private Json array() {
            int start = i, count = 0, holds = 0;
            open();
            List<Json> items = at('{') ? new ArrayList<Json>() : null;
            for (boolean more = !at(']') || more(']'); more; more = more(']'), count++) {
                char kind = Json.kind(peek());
                holds |= kind == '0' ? 1 : kind == '"' || kind == 'n' ? 2 : 0;
                if (items == null && kind != '{' && kind != '[') { scalar(kind); continue; }
                Json item = value();
                holds |= item.holds;
                if (items != null) guard.take(BYTES_PER_MEMBER);
                if (items != null) items.add(item);
            }
            return new Json(b, start, i, count, holds, null, items);
        }
        /** A to Z lowered, and nothing else. */
        private static String lower(String key) {
            char[] c = key.toCharArray();
            for (int k = 0; k < c.length; k++) c[k] += c[k] >= 'A' && c[k] <= 'Z' ? 'a' - 'A' : 0;
            return new String(c);
        }
        private void number() {
            int start = i;
            if (at('-')) i++;
            int leading = i, digits = digits();
            if (digits > 1 && b[leading] == '0') throw fail("a number begins with a needless zero");
            boolean large = digits > 200;
            if (at('.')) { i++; digits(); }
            if (at('e') || at('E')) {
                i++;
                if (at('+') || at('-')) i++;
                large |= digits() > 2;
            }
            if (i - start > LONGEST_NUMBER) throw fail("a number has more than " + LONGEST_NUMBER + " characters");
            if (large && Double.isInfinite(Double.parseDouble(new String(b, start, i - start, StandardCharsets.ISO_8859_1))))
                throw fail("a number overflows a 64-bit float; infinity is written \"Infinity\"");
        }
        private int digits() {
            int start = i;
            while (i < b.length && b[i] >= '0' && b[i] <= '9') i++;
            if (i == start) throw fail("a digit is needed here");
            return i - start;
        }
        /** Checks a string; one with bytes beyond ASCII or \\u escapes must survive being decoded and encoded. */
        private void string() {
            int start = i;
            boolean plain = true;
            for (i++; !at('"'); i++) {
                if (i < b.length && b[i] >= ' ' && b[i] != '\\') continue;
                boolean escape = at('\\'), unicode = escape && i + 1 < b.length && b[i + 1] == 'u';
                plain &= peek() >= 0 && !unicode;
                if (!escape && peek() >= 0) throw fail("a control character stands in a string; write it as an escape");
                if (escape) i++;
                if (escape && (peek() < 0 || "\"\\/bfnrtu".indexOf(peek()) < 0)) throw fail("an unknown escape stands in a string");
                for (int k = 0; unicode && k < 4; k++) if (++i >= b.length || Character.digit(b[i], 16) < 0) throw fail("\\u needs four hexadecimal digits");
                if (i >= b.length) throw fail("");
            }
            i++;
            if (plain) return;
            guard.take(8L * (i - start));
            byte[] raw = Arrays.copyOfRange(b, start, i);
            String text = Json.text(b, start, i);
            if (!Arrays.equals(new String(raw, StandardCharsets.UTF_8).getBytes(StandardCharsets.UTF_8), raw)) throw fail("a string is not UTF-8");
            if (!new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8).equals(text)) throw fail("a string holds half of a surrogate pair");
        }
    }

    /** Decodes the elements of a checked array one after the other, without an object for each. */
    static final class Cursor {
        private static final long SAFE = (1L << 53) - 1;
        private static final double[] TEN = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
            1e18, 1e19, 1e20, 1e21, 1e22};
        private final byte[] b;
        private final String where;
        private int i;
        Cursor(byte[] b, int i, String where) { this.b = b; this.i = i; this.where = where; }
        /** Moves to the next element; false at the closing bracket, which is passed. */
        boolean next() {
            while (b[i] == ' ' || b[i] == ',' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') i++;
            if (b[i] != ']') return true;
            i++;
            return false;
        }
        char kind() { return Json.kind(b[i]); }
        /** Enters the array that is the current element; next() then moves through it. */
        void enter() {
            if (b[i] != '[') throw needed("an array");
            i++;
        }
        private Refused needed(String what) { return new Refused(where + " holds " + Json.called(kind()) + "; " + what + " is needed there."); }
        /** The number of elements of the array that is the current element; it is passed. */
        int length() {
            int length = 0;
            for (enter(); next(); length++) {
                if (b[i] == '[' || b[i] == '{') throw new Refused(where + " is nested deeper than two levels; write it in the object form.");
                skip();
            }
            return length;
        }
        /** Passes an element that is neither an array nor an object, and returns where it began. */
        int skip() {
            int start = i;
            if (b[i] == '"') {
                for (i++; b[i] != '"'; ) i += b[i] == '\\' ? 2 : 1;
                i++;
            } else {
                while (b[i] != ',' && b[i] != ']' && b[i] != '}' && b[i] > ' ') i++;
            }
            return start;
        }
        double number(DType dtype) {
            double value = b[i] == '"' ? named() : decimal();
            if (dtype != DType.F32) return value;
            if (Float.isInfinite((float) value) && !Double.isInfinite(value))
                throw new Refused(where + " holds " + value + ", which overflows a 32-bit float; infinity is written \"Infinity\".");
            return (float) value;
        }
        private double named() {
            String name = string(false);
            if (name.equals("NaN")) return Double.NaN;
            if (name.equals("Infinity") || name.equals("-Infinity")) return name.equals("Infinity") ? Double.POSITIVE_INFINITY : Double.NEGATIVE_INFINITY;
            throw new Refused(where + " holds the string " + quote(name) + "; a number is needed there.");
        }
        /** The decimal at i as the nearest double. Short ones are exact in one operation (Clinger 1990), the rest is parseDouble's. */
        private double decimal() {
            if (kind() != '0') throw needed("a number");
            int start = i, point = -1, kept = 0, exponent = 0;
            boolean negative = b[i] == '-';
            long digits = 0;
            for (i += negative ? 1 : 0; b[i] == '.' || b[i] >= '0' && b[i] <= '9'; i++) {
                if (b[i] == '.') point = i;
                else if (kept++ < 18) digits = digits * 10 + (b[i] - '0');
                if (digits == 0) kept = 0; // leading zeros
            }
            if (point >= 0) exponent = point + 1 - i;
            if (b[i] == 'e' || b[i] == 'E') {
                boolean down = b[++i] == '-';
                int power = 0;
                for (i += down || b[i] == '+' ? 1 : 0; b[i] >= '0' && b[i] <= '9'; i++) power = Math.min(power * 10 + (b[i] - '0'), 10_000);
                exponent += down ? -power : power;
            }
            if (kept > 18 || digits > 1L << 53 || exponent < -22 || exponent > 22)
                return Double.parseDouble(new String(b, start, i - start, StandardCharsets.ISO_8859_1));
            double value = exponent < 0 ? digits / TEN[-exponent] : digits * TEN[exponent];
            return negative ? -value : value;
        }
        /** An integer within the dtype: a number without fraction and exponent or, beyond 2^53-1, a string of digits. */
        long integer(DType dtype) {
            boolean quoted = b[i] == '"';
            if (!quoted && kind() != '0') throw needed("an integer (" + dtype + ")");
            int k = quoted ? i + 1 : i;
            boolean negative = b[k] == '-';
            int first = negative ? ++k : k;
            long value = 0;
            for (; b[k] >= '0' && b[k] <= '9' && k - first < 19; k++) value = value * 10 + (b[k] - '0');
            boolean fits = value >= 0 || negative && value == Long.MIN_VALUE; // 19 digits overflow into the sign at most
            value = negative ? -value : value;
            boolean large = value > SAFE || value < -SAFE;
            int end = quoted ? k + 1 : k;
            boolean whole = k > first && (b[first] != '0' || k == first + 1) && (!quoted || b[k] == '"');
            int start = skip();
            if (!whole || end != i || !fits || large != quoted || value < dtype.min || value > dtype.max)
                throw new Refused(where + " holds " + quote(new String(b, start, Math.min(i - start, 80), StandardCharsets.UTF_8)) + "; an integer of " + dtype
                    + " is needed there, without fraction and exponent, and in quotes exactly when it is beyond 2^53-1.");
            return value;
        }
        boolean bool() {
            char kind = kind();
            if (kind != 't' && kind != 'f') throw needed("true or false");
            skip();
            return kind == 't';
        }
        /** A string, or null where missing is allowed. */
        String string(boolean missing) {
            boolean none = missing && b[i] == 'n';
            if (!none && b[i] != '"') throw needed("a string");
            int start = skip();
            return none ? null : Json.text(b, start, i);
        }
    }

    private static String json(Object value) {
        StringBuilder text = new StringBuilder();
        try {
            writeJson(value, text);
        } catch (IOException impossible) {
            throw new IllegalStateException(impossible);
        }
        return text.toString();
    }

    /** Writes a value as JSON: a map, a list, a string, or something whose toString is JSON. */
    private static void writeJson(Object value, Appendable out) throws IOException {
        if (value instanceof String) {
            String s = (String) value;
            out.append('"');
            for (int k = 0; k < s.length(); k++) {
                char c = s.charAt(k);
                if (c == '"' || c == '\\') out.append('\\').append(c);
                else if (c >= ' ' && c != 127) out.append(c);
                else out.append("\\u00").append(Character.forDigit(c >> 4, 16)).append(Character.forDigit(c & 15, 16));
            }
            out.append('"');
        } else if (value instanceof Map || value instanceof List) {
            boolean map = value instanceof Map;
            String separator = map ? "{" : "[";
            for (Object item : map ? ((Map<?, ?>) value).entrySet() : (List<?>) value) {
                out.append(separator);
                if (map) writeJson(((Map.Entry<?, ?>) item).getKey(), out);
                if (map) out.append(": ");
                writeJson(map ? ((Map.Entry<?, ?>) item).getValue() : item, out);
                separator = ", ";
            }
            out.append(separator.equals("{") ? "{}" : separator.equals("[") ? "[]" : map ? "}" : "]");
        } else if (value instanceof Tensor) {
            ((Tensor) value).write(out);
        } else {
            out.append(String.valueOf(value));
        }
    }

    // ==== 3 Tensors ==================================================================================================

    /** The dtypes, under the names of the format. */
    public enum DType {
        F64("f64", 8, 0, 0), F32("f32", 4, 0, 0), I64("i64", 8, Long.MIN_VALUE, Long.MAX_VALUE),
        I32("i32", 4, Integer.MIN_VALUE, Integer.MAX_VALUE), I16("i16", 2, -32768, 32767), I8("i8", 1, -128, 127),
        U32("u32", 4, 0, (1L << 32) - 1), U16("u16", 2, 0, 65535), U8("u8", 1, 0, 255), BOOL("bool", 1, 0, 1), STR("str", 0, 0, 0);
        private final String spelled;
        final int bytes;
        final long min, max;
        DType(String spelled, int bytes, long min, long max) { this.spelled = spelled; this.bytes = bytes; this.min = min; this.max = max; }
        public boolean isFloat() { return this == F64 || this == F32; }
        public boolean isInteger() { return bytes > 0 && !isFloat() && this != BOOL; }
        /** Room for n elements: double[], long[] or String[]. */
        Object allocate(int n) { return isFloat() ? new double[n] : this == STR ? new String[n] : (Object) new long[n]; }
        static DType named(String name, String where) {
            for (DType dtype : values()) if (dtype.spelled.equals(name)) return dtype;
            throw new Refused(where + " has the unknown dtype " + quote(name) + "; it is one of " + Arrays.toString(values()) + ".");
        }
        @Override public String toString() { return spelled; }
    }

    /** dtype and row shape; width: elements of a row, `lanes` times the `last` axis (1 for rank 0); counted: the same for limits, where a length of 0 is 1. */
    static final class Type {
        final DType dtype;
        final int rank, width, last, lanes, counted;
        final int[] dims;
        Type(DType dtype, int... dims) {
            this.dtype = dtype; this.dims = dims; this.rank = dims.length; this.last = rank == 0 ? 1 : dims[rank - 1];
            this.lanes = size(0, rank - 1, 0); this.width = size(0, rank, 0); this.counted = size(0, rank, 1);
        }
        static Type row(DType dtype, long width) { return new Type(dtype, (int) Math.min(width, Integer.MAX_VALUE)); }
        /** The same row shape with another dtype. */
        Type with(DType changed) { return new Type(changed, dims); }
        /** The same row shape with another length of one axis. */
        Type resized(int axis, int length) { int[] changed = dims.clone(); changed[axis] = length; return new Type(dtype, changed); }
        /** The product of the lengths of some axes. */
        int size(int from, int to) { return size(from, to, 0); }
        private int size(int from, int to, int least) {
            long size = 1;
            for (int k = from; k < to; k++) size = Math.min(size * Math.max(dims[k], least), Integer.MAX_VALUE);
            return (int) size;
        }
        /** The offsets of the positions along an axis: all of them, or as many zeros where the axis has length 1. */
        int[] along(int axis, int length) {
            int[] offsets = new int[length];
            for (int k = 0; axis >= 0 && dims[axis] > 1 && k < length; k++) offsets[k] = k * size(axis + 1, rank);
            return offsets;
        }
        /** Where the elements of a row of shape `wide` are found in a row of this one, which broadcasts to it; null where at the same place. */
        int[] spread(Type wide, Guard guard) {
            int[][] offsets = new int[wide.rank][];
            for (int k = 0; k < wide.rank; k++) offsets[k] = along(k - wide.rank + rank, wide.dims[k]);
            return width == wide.width ? null : places(guard, offsets);
        }
        /** The shape of n rows. */
        int[] shape(int n) {
            int[] shape = new int[rank + 1];
            System.arraycopy(dims, 0, shape, 1, rank);
            shape[0] = n;
            return shape;
        }
        boolean same(Type other) { return dtype == other.dtype && Arrays.equals(dims, other.dims); }
        @Override public String toString() { return dtype + Arrays.toString(dims); }
    }

    /** The sums of one offset for each axis, in row-major order; -1 where one of them is negative. */
    static int[] places(Guard guard, int[]... offsets) {
        long size = 1;
        for (int[] axis : offsets) size *= axis.length;
        guard.take(4 * size);
        int[] places = new int[(int) size];
        int n = 1;
        for (int[] axis : size == 0 ? new int[0][] : offsets) {
            for (int k = n - 1; k >= 0; k--)
                for (int j = axis.length - 1; j >= 0; j--) places[k * axis.length + j] = places[k] < 0 || axis[j] < 0 ? -1 : places[k] + axis[j];
            n *= axis.length;
        }
        return places;
    }

    /** An array with its dtype and shape, row-major; for rows, the first axis counts them. The arrays handed in and out are not copied. */
    public static final class Tensor {
        public final DType dtype;
        final int[] shape;
        final Object data; // double[], long[] or String[]
        Tensor(DType dtype, Object data, int... shape) { this.dtype = dtype; this.data = data; this.shape = shape; }
        public static Tensor of(double... values) { return new Tensor(DType.F64, values, values.length); }
        public static Tensor of(long... values) { return new Tensor(DType.I64, values, values.length); }
        public static Tensor of(String... values) { return new Tensor(DType.STR, values, values.length); }
        public static Tensor of(boolean... values) {
            long[] data = new long[values.length];
            for (int k = 0; k < data.length; k++) data[k] = values[k] ? 1 : 0;
            return new Tensor(DType.BOOL, data, data.length);
        }
        public static Tensor of(float... values) {
            double[] data = new double[values.length];
            for (int k = 0; k < data.length; k++) data[k] = values[k];
            return new Tensor(DType.F32, data, data.length);
        }
        /** The same elements in another shape, batch axis first: {@code Tensor.of(pixels).shaped(2, 3, 32, 32)}. */
        public Tensor shaped(int... shape) {
            if (product(shape, Integer.MAX_VALUE) != size())
                throw new Refused("A tensor of " + size() + " elements cannot have the shape " + Arrays.toString(shape) + "; they must agree.");
            return new Tensor(dtype, data, shape.clone());
        }
        /** Rows of equal length. */
        public static Tensor of(double[][] rows) { return stack(rows, DType.F64, "The matrix"); }
        private static Tensor stack(Object[] rows, DType wanted, String where) {
            Tensor first = rows.length == 0 ? new Tensor(wanted, wanted.allocate(0), 0) : from(rows[0], wanted, where);
            int width = first.size();
            Object data = first.dtype.allocate(elements(rows.length, width));
            for (int r = 0; r < rows.length; r++) {
                Tensor row = from(rows[r], wanted, where);
                if (!Arrays.equals(row.shape, first.shape)) throw new Refused(where + " is ragged in row " + r + "; rows are equally long.");
                System.arraycopy(row.as(first.dtype, where), 0, data, r * width, width);
            }
            return new Tensor(first.dtype, data, new Type(first.dtype, first.shape).shape(rows.length));
        }
        /** What callers naturally hold: a Tensor, an array, a matrix, or a list of boxed values, of which null is missing. */
        static Tensor from(Object value, DType wanted, String where) {
            if (value instanceof Tensor) return (Tensor) value;
            if (value instanceof double[]) return of((double[]) value);
            if (value instanceof float[]) return of((float[]) value);
            if (value instanceof long[]) return of((long[]) value);
            if (value instanceof boolean[]) return of((boolean[]) value);
            if (value instanceof String[]) return of((String[]) value);
            if (value instanceof Object[]) return stack((Object[]) value, wanted, where);
            if (value instanceof int[]) {
                long[] data = new long[((int[]) value).length];
                for (int k = 0; k < data.length; k++) data[k] = ((int[]) value)[k];
                return of(data);
            }
            if (!(value instanceof List))
                throw new Refused(where + " is given as " + (value == null ? "null" : value.getClass().getSimpleName())
                    + "; a Tensor, a primitive array or matrix, String[] or a List is needed.");
            Object[] cells = ((List<?>) value).toArray();
            Object data = wanted.allocate(cells.length);
            for (int k = 0; k < cells.length; k++) put(data, k, cells[k], wanted, where);
            return new Tensor(wanted, data, cells.length);
        }
        private static void put(Object data, int k, Object cell, DType wanted, String where) {
            boolean whole = cell instanceof Long || cell instanceof Integer || cell instanceof Short || cell instanceof Byte;
            if (wanted.isFloat() && (cell == null || cell instanceof Number || cell instanceof Boolean)) {
                double value = cell == null ? Double.NaN : cell instanceof Boolean ? ((Boolean) cell ? 1 : 0) : ((Number) cell).doubleValue();
                ((double[]) data)[k] = wanted == DType.F32 ? (float) value : value;
            } else if (wanted == DType.STR && (cell == null || cell instanceof String)) {
                ((String[]) data)[k] = (String) cell;
            } else if (wanted == DType.BOOL && cell instanceof Boolean) {
                ((long[]) data)[k] = (Boolean) cell ? 1 : 0;
            } else if (wanted == DType.I64 && whole) {
                ((long[]) data)[k] = ((Number) cell).longValue();
            } else {
                throw new Refused(where + " holds " + (cell == null ? "null" : quote(cell.toString())) + " in row " + k + "; " + wanted + " is needed.");
            }
        }
        /** The data as another dtype: floats from floats, integers and booleans; anything else only as it is. */
        Object as(DType wanted, String where) {
            if (dtype == wanted || dtype == DType.F32 && wanted == DType.F64) return data;
            if (!wanted.isFloat() || dtype == DType.STR) throw new Refused(where + " holds " + dtype + "; " + wanted + " is needed.");
            double[] result = new double[size()];
            for (int k = 0; k < result.length; k++) {
                double value = data instanceof double[] ? ((double[]) data)[k] : ((long[]) data)[k];
                result[k] = wanted == DType.F32 ? (float) value : value;
            }
            return result;
        }
        public int[] shape() { return shape.clone(); }
        /** The length of the first axis. */
        public int rows() { return shape.length == 0 ? 1 : shape[0]; }
        /** Elements of one row. */
        public int width() { return new Type(dtype, shape).size(1, shape.length); }
        int size() {
            return data instanceof double[] ? ((double[]) data).length : data instanceof long[] ? ((long[]) data).length : ((String[]) data).length;
        }
        private Object held(boolean good, String what) {
            if (!good) throw new IllegalStateException("This tensor holds " + dtype + ", not " + what + ".");
            return data;
        }
        /** All elements of a float tensor. */
        public double[] doubles() { return (double[]) held(data instanceof double[], "floats"); }
        /** All elements of an integer tensor, or of booleans as 0 and 1. */
        public long[] longs() { return (long[]) held(data instanceof long[], "integers or booleans"); }
        /** All elements of a str tensor; null is missing. */
        public String[] strings() { return (String[]) held(data instanceof String[], "strings"); }
        /** The rows of a float tensor. */
        public double[][] matrix() {
            double[][] rows = new double[rows()][];
            for (int r = 0; r < rows.length; r++) rows[r] = Arrays.copyOfRange(doubles(), r * width(), (r + 1) * width());
            return rows;
        }
        /** One element: Double, Long, Boolean, String or null. */
        public Object get(int k) {
            return data instanceof double[] ? (Object) ((double[]) data)[k] : data instanceof String[] ? ((String[]) data)[k]
                : dtype == DType.BOOL ? (Object) (((long[]) data)[k] != 0) : (Object) ((long[]) data)[k];
        }
        /** One element as the format spells it: a float as a decimal that reads back as the same number. */
        private Object spelled(int k) {
            Object element = get(k);
            if (element instanceof Long) return (Long) element <= Cursor.SAFE && (Long) element >= -Cursor.SAFE ? element : element.toString();
            if (!(element instanceof Double)) return element;
            double v = (Double) element;
            if (Double.isNaN(v) || Double.isInfinite(v)) return element.toString();
            return dtype == DType.F32 && (float) Double.parseDouble(Float.toString((float) v)) == v ? (Object) (float) v : element;
        }
        /** The object form of the format. */
        void write(Appendable out) throws IOException {
            out.append("{\"dtype\": \"" + dtype + "\", \"shape\": " + Arrays.toString(shape) + ", \"data\": [");
            for (int k = 0, n = size(); k < n; k++) {
                if (k > 0) out.append(", ");
                writeJson(spelled(k), out);
            }
            out.append("]}");
        }
        /** A tensor in any of its three forms. `bare` is the dtype of a bare array; null lets its elements decide (f64 or str). */
        static Tensor read(Json json, DType bare, String where, Guard guard) {
            if (json.kind == '{') return readObject(json, where, guard);
            DType dtype = bare != null ? bare : json.holds == 2 ? DType.STR : DType.F64;
            Cursor c = json.elements(where);
            int width = c.next() && c.kind() == '[' ? c.length() : -1;
            // Every element takes two bytes of text at least: more than that is ragged, whatever the counts promise.
            long total = width < 0 ? json.count : (long) json.count * width;
            boolean even = total <= (json.end - json.start) / 2;
            Object data = even ? allocate(dtype, total, where, guard) : null;
            c = json.elements(where);
            if (width < 0) fill(c, dtype, data, 0, json.count, guard);
            for (int k = 0; width >= 0 && even && c.next(); k += width) {
                c.enter();
                even = fill(c, dtype, data, k, k + width, guard) == k + width;
            }
            if (!even) throw new Refused(where + " is ragged: its first row has " + width + " elements, another has not; rows are equally long.");
            return new Tensor(dtype, data, width < 0 ? new int[] {json.count} : new int[] {json.count, width});
        }
        private static Tensor readObject(Json json, String where, Guard guard) {
            json.only(where, "dtype", "shape", "enc", "scale", "mask", "data");
            for (String key : json.members.keySet()) if (Json.ignored(key)) throw new Refused(where + " has the key " + quote(key) + "; a tensor has none such.");
            DType dtype = DType.named(json.need("dtype", where).string(where + " dtype"), where);
            int[] shape = readShape(json.need("shape", where), where, guard);
            long size = product(shape, guard.limits.tensorElements);
            Json data = json.need("data", where), encoding = json.get("enc"), scale = json.get("scale"), mask = json.get("mask");
            String enc = encoding == null ? "" : encoding.string(where + " enc");
            if (encoding != null && (dtype == DType.STR || !enc.equals("b64") && !(enc.equals("i8") && dtype.isFloat())))
                throw new Refused(where + " has an encoding that " + dtype + " does not have; \"b64\" is one, not for str, and \"i8\" for floats.");
            if ((scale != null) != enc.equals("i8") || mask != null && (encoding == null || dtype == DType.BOOL))
                throw new Refused(where + " has \"scale\" without \"enc\" \"i8\", or without it, or a \"mask\" without \"enc\" or of bool.");
            if (encoding != null) return new Tensor(dtype, encoded(json, dtype, shape, size, where, guard), shape);
            Cursor elements = data.elements(where + " data");
            if (data.count != size)
                throw new Refused(where + " holds " + data.count + " elements for the shape " + Arrays.toString(shape) + "; they must agree.");
            Object values = allocate(dtype, size, where, guard);
            fill(elements, dtype, values, 0, data.count, guard);
            return new Tensor(dtype, values, shape);
        }
        static int[] readShape(Json json, String where, Guard guard) {
            Cursor c = json.elements(where + " shape");
            if (json.count > guard.limits.rank) throw new Refused(where + " has rank " + json.count + ", more than the limit of " + guard.limits.rank + ".");
            int[] shape = new int[json.count];
            for (int axis = 0; c.next(); axis++) {
                long n = c.integer(DType.I64);
                if (n < 0 || n > Integer.MAX_VALUE) throw new Refused(where + " has the length " + n + " in its shape; lengths run from 0 to 2^31-1.");
                shape[axis] = (int) n;
            }
            return shape;
        }
        private static Object allocate(DType dtype, long size, String where, Guard guard) {
            if (size > Math.min(guard.limits.tensorElements, Integer.MAX_VALUE - 16))
                throw new Refused(where + " has more than " + guard.limits.tensorElements + " elements, the limit of a tensor.");
            guard.take(8 * size);
            return dtype.allocate((int) size);
        }
        /** Decodes the rest of an array into data[k..to); returns the position reached, or to + 1 when there is more. */
        private static int fill(Cursor c, DType dtype, Object data, int k, int to, Guard guard) {
            for (; c.next(); k++) {
                if (k == to) return to + 1;
                if (dtype.isFloat()) {
                    ((double[]) data)[k] = c.number(dtype);
                } else if (dtype == DType.STR) {
                    String s = c.string(true);
                    guard.take(s == null ? 0 : 56 + 2L * s.length());
                    guard.measure(((String[]) data)[k] = s);
                } else {
                    ((long[]) data)[k] = dtype != DType.BOOL ? c.integer(dtype) : c.bool() ? 1 : 0;
                }
            }
            return k;
        }
        /** The product of a shape; Long.MAX_VALUE beyond a limit. */
        private static long product(int[] shape, long limit) {
            long size = 1;
            for (int n : shape) size = n == 0 || size == 0 ? 0 : n < 0 || size > limit / n ? Long.MAX_VALUE : size * n;
            return size;
        }
        /** Elements in base64: little-endian or, with a scale, signed bytes to be multiplied by it; with a mask, only those that it has. */
        private static Object encoded(Json json, DType dtype, int[] shape, long size, String where, Guard guard) {
            if (size > guard.limits.tensorElements) allocate(dtype, size, where, guard); // refuses
            double[] scale = json.get("scale") == null ? null : scales(json.get("scale"), dtype, shape, where + " scale", guard);
            byte[] mask = json.get("mask") == null ? null : base64(json.get("mask"), (size + 7) / 8, where + " mask", guard);
            long written = mask == null ? size : 0, per = scale == null || scale.length == 1 ? Long.MAX_VALUE : size / shape[0];
            for (int k = 0; mask != null && k < mask.length; k++) written += Integer.bitCount(mask[k] & 255);
            boolean beyond = mask != null && size % 8 != 0 && (mask[mask.length - 1] & 255) >> size % 8 != 0;
            if (beyond) throw new Refused(where + " mask goes beyond the last element; the bits behind it are 0.");
            byte[] bytes = base64(json.get("data"), scale == null ? written * dtype.bytes : written, where + " data", guard);
            Object data = allocate(dtype, size, where, guard);
            for (int k = 0, i = 0; k < size; k++) {
                if (mask != null && (mask[k >> 3] >> (k & 7) & 1) == 0) continue;
                if (scale != null) { ((double[]) data)[k] = rounded(bytes[i++] * scale[(int) (k / per)], dtype); continue; }
                long bits = 0;
                for (int shift = 0; shift < 8 * dtype.bytes; shift += 8) bits |= (bytes[i++] & 255L) << shift;
                int unused = dtype.min < 0 ? 64 - 8 * dtype.bytes : 0; // of a signed integer: filled with the sign
                if (dtype == DType.F64) ((double[]) data)[k] = Double.longBitsToDouble(bits);
                else if (dtype == DType.F32) ((double[]) data)[k] = Float.intBitsToFloat((int) bits);
                else ((long[]) data)[k] = bits << unused >> unused;
                if (dtype == DType.BOOL && bits > 1) throw new Refused(where + " holds the byte " + bits + " for a bool; it is 0 or 1.");
            }
            return data;
        }
        private static double[] scales(Json json, DType dtype, int[] shape, String where, Guard guard) {
            Cursor c = json.elements(where);
            if (json.count != 1 && (shape.length == 0 || json.count != shape[0]))
                throw new Refused(where + " has " + json.count + " numbers; one is needed, or one for each index of the first axis.");
            double[] scale = (double[]) allocate(dtype, json.count, where, guard);
            fill(c, dtype, scale, 0, scale.length, guard);
            for (double v : scale) if (!(v > 0 && v <= Double.MAX_VALUE)) throw new Refused(where + " holds " + v + "; it is positive and finite.");
            return scale;
        }
        /** So many bytes in standard base64, padded. The length is checked before anything is allocated. */
        private static byte[] base64(Json json, long needed, String where, Guard guard) {
            guard.take(2L * (json.end - json.start));
            byte[] text = json.bytes(where);
            int n = text.length, padding = n == 0 || text[n - 1] != '=' ? 0 : n > 1 && text[n - 2] == '=' ? 2 : 1;
            int length = (int) (n / 4 * 3L - padding);
            if (n % 4 != 0 || length != needed)
                throw new Refused(where + " holds " + n + " characters of base64 with padding; its shape and dtype need another number.");
            byte[] bytes = decode(text, n - padding, length);
            if (bytes == null) throw new Refused(where + " is not standard base64 with padding.");
            return bytes;
        }
        /** Standard base64 (java.util.Base64 is lenient about padding, and absent from older Android): the bytes of text[0..end), its padding
         *  left out; null when a character is foreign, or bits that stand for nothing are set. */
        private static byte[] decode(byte[] text, int end, int length) {
            byte[] out = new byte[length], value = new byte[256];
            Arrays.fill(value, (byte) -1);
            for (int k = 0; k < 64; k++) value["ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".charAt(k)] = (byte) k;
            int wrong = 0, bits = 0, held = 0, k = 0;
            for (int i = 0; i < end; i++) {
                wrong |= value[text[i] & 255];
                bits = bits << 6 | value[text[i] & 255] & 63;
                held += held >= 2 ? -2 : 6;
                if (held != 6) out[k++] = (byte) (bits >> held);
            }
            return wrong < 0 || (bits & ((1 << held) - 1)) != 0 ? null : out;
        }
    }

    static double rounded(double v, DType to) { return to == DType.F32 ? (float) v : v; }

    /** n x width as an array length. */
    private static int elements(long n, long width) {
        if (n * width > Integer.MAX_VALUE - 16) throw new Refused(n + " rows of " + width + " elements do not fit an array; predict fewer rows at a time.");
        return (int) (n * width);
    }

    // ==== 4 Special functions ========================================================================================

    /** erf and norm_ppf by the algorithms of docs/format.md, section 8; log2; pow as IEEE 754 has it. */
    static final class Special {
        // W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969).
        private static final double[] ERF_A = {3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03,
            1.85777706184603153e-1};
        private static final double[] ERF_B = {2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03};
        private static final double[] ERF_C = {5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e01, 2.98635138197400131e02,
            8.81952221241769090e02, 1.71204761263407058e03, 2.05107837782607147e03, 1.23033935479799725e03, 2.15311535474403846e-8};
        private static final double[] ERF_D = {1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03,
            3.29079923573345963e03, 4.36261909014324716e03, 3.43936767414372164e03, 1.23033935480374942e03};
        private static final double[] ERF_P = {3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2,
            6.58749161529837803e-4, 1.63153871373020978e-2};
        private static final double[] ERF_Q = {2.56852019228982242e00, 1.87295284992346725e00, 5.27905102951428412e-1, 6.05183413124413191e-2,
            2.33520497626869185e-3};
        private static final double SQRPI = 5.6418958354775628695e-1;
        // M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988); PPND16.
        private static final double[] PPF_A = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
            4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3};
        private static final double[] PPF_B = {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
            3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3};
        private static final double[] PPF_C = {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
            1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4};
        private static final double[] PPF_D = {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
            1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9};
        private static final double[] PPF_E = {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
            2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7};
        private static final double[] PPF_F = {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
            7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15};
        private Special() { }
        static double erf(double x) {
            double y = Math.abs(x), z = 1.0 / (y * y);
            if (!(y > 0.46875)) return x * cody(ERF_A, ERF_B, 3, y * y);
            double rest = y <= 4.0 ? cody(ERF_C, ERF_D, 7, y) : (SQRPI - z * cody(ERF_P, ERF_Q, 4, z)) / y;
            double coarse = Math.floor(y * 16.0) / 16.0;
            double erfc = y > 26.6 ? 0.0 : Math.exp(-coarse * coarse) * Math.exp(-(y - coarse) * (y + coarse)) * rest;
            return x < 0 ? erfc - 1.0 : 1.0 - erfc;
        }
        /** Cody's ratio of two polynomials of degree n + 1: the leading coefficient of the numerator is its last entry. */
        private static double cody(double[] top, double[] bottom, int n, double z) {
            double a = top[n + 1] * z, b = z;
            for (int k = 0; k < n; k++) { a = (a + top[k]) * z; b = (b + bottom[k]) * z; }
            return (a + top[n]) / (b + bottom[n]);
        }
        static double normPpf(double p) {
            if (!(p > 0 && p < 1)) return p == 0 ? Double.NEGATIVE_INFINITY : p == 1 ? Double.POSITIVE_INFINITY : Double.NaN;
            double q = p - 0.5;
            if (Math.abs(q) <= 0.425) return q * ratio(PPF_A, PPF_B, 0.180625 - q * q);
            double r = Math.sqrt(-Math.log(q < 0 ? p : 1.0 - p));
            double tail = r <= 5.0 ? ratio(PPF_C, PPF_D, r - 1.6) : ratio(PPF_E, PPF_F, r - 5.0);
            return q < 0 ? -tail : tail;
        }
        private static double ratio(double[] top, double[] bottom, double r) {
            double a = 0, b = 0;
            for (int k = top.length - 1; k >= 0; k--) { a = a * r + top[k]; b = b * r + bottom[k]; }
            return a / b;
        }
        /** Exact for powers of two: the exponent is split off, so that the logarithm is taken near 1. */
        static double log2(double x) {
            if (x > 0 && x < Double.MIN_NORMAL) return log2(x * 0x1p54) - 54;
            if (!(x > 0 && x <= Double.MAX_VALUE)) return Math.log(x);
            int exponent = Math.getExponent(x / 1.4142135623730951) + 1;
            return exponent + Math.log(Math.scalb(x, -exponent)) / 0.6931471805599453;
        }
        /** Java has NaN where IEEE 754 has 1: for 1 to the power NaN or infinity, and -1 to an infinite power. */
        static double pow(double x, double y) { return x == 1 || x == -1 && Double.isInfinite(y) ? 1.0 : Math.pow(x, y); }
        /** Where exp overflows the quotient is 0. */
        static double sigmoid(double x) { return 1.0 / (1.0 + Math.exp(-x)); }
    }

    // ==== 5 Ops ======================================================================================================

    /** The table of ops of profile tabular, in the order of docs/format.md. */
    private static final Ops TABULAR = new Ops() {
        private final List<String> names = Arrays.asList("concat", "select", "cast", "constant", "impute", "is_missing", "lookup", "onehot",
            "scale", "clip", "unary", "binary", "where", "linear", "softmax", "log_softmax", "normalize", "reduce", "two_class",
            "take", "tree_ensemble");
        @Override List<String> names() { return names; }
        @Override Step step(Args a) {
            switch (a.op) {
                case "concat": return concat(a.deep()); case "select": return select(a); case "cast": return cast(a.deep());
                case "constant": return constant(a.deep()); case "impute": return impute(a); case "is_missing": return isMissing(a);
                case "lookup": return lookup(a.deep()); case "onehot": return onehot(a);
                case "scale": return scale(a.deep()); case "clip": return clip(a.deep()); case "unary": return unary(a.deep());
                case "binary": return binary(a.deep()); case "where": return where(a.deep()); case "linear": return linear(a.deep());
                case "softmax": return softmax(a.deep(), false); case "log_softmax": return softmax(a.deep(), true);
                case "normalize": return normalize(a.deep()); case "reduce": return reduce(a.deep()); case "two_class": return twoClass(a);
                case "take": return take(a.deep()); case "tree_ensemble": return new Trees(a).step();
                default: throw new IllegalStateException(a.op);
            }
        }
    };

    /** A further table of ops: {@link #load} takes ModelportMore.OPS (profiles kernel, text, solver) and ModelportNn.OPS (profile nn). */
    public abstract static class Ops {
        Ops() { }
        /** Their names, in the order of docs/format.md. */
        abstract List<String> names();
        /** The entry of a.op: checks the attributes and the inputs' types; the step it returns knows its type, and runs. */
        abstract Step step(Args a);
    }

    /** The table that knows an op, or null. A further table comes first: it may do an op of this file faster. */
    private static Ops tableOf(String op, Ops[] more) {
        for (Ops table : more) if (table.names().contains(op)) return table;
        return TABULAR.names().contains(op) ? TABULAR : null;
    }

    /** The names of the ops that this reader implements, alone or with further ones, sorted. */
    public static List<String> ops(Ops... more) {
        Set<String> sorted = new TreeSet<>(TABULAR.names());
        for (Ops table : more) sorted.addAll(table.names());
        return new ArrayList<>(sorted);
    }

    static final int COSTLY = 16, MOVED = 8; // multiplications that exp, pow or a search counts for, and an element that is read or defined
    static final DType[] ANY = DType.values();
    static final DType[] FLOATS = {DType.F64, DType.F32};
    private static final DType[] CAN_BE_MISSING = {DType.F64, DType.F32, DType.STR};
    static final DType[] INTEGERS = {DType.I64, DType.I32, DType.I16, DType.I8, DType.U32, DType.U16, DType.U8};

    /** A step while it is being checked: its attributes, read one by one, and the types of what it reads. */
    static final class Args {
        final String op, where;
        final int[] in;
        final Type[] types;
        final Guard guard;
        DType dtype = DType.F64; // of ops marked d
        long cost, strings; // for a row: multiplications, the op's number in docs/format.md; strings beside those read and defined
        private final Json json;
        private final Map<Object, Object> memo; // what attributes have become, when steps are checked more than once; or null
        private final Set<String> read = new HashSet<>(Arrays.asList("op", "in", "out"));
        private boolean deep;
        Args(String op, String where, Json json, int[] in, Type[] types, Map<Object, Object> memo, Guard guard) {
            this.op = op; this.where = where; this.json = json; this.in = in; this.types = types; this.memo = memo; this.guard = guard;
        }
        /** Accepts values of any rank; without it, only rows. */
        Args deep() { deep = true; return this; }
        Refused refuse(String sentence) { return new Refused(where + " " + sentence); }
        /** Refuses attributes that the op has not read. */
        void finish() {
            for (String key : json.members.keySet())
                if (!read.contains(key) && !Json.ignored(key)) throw refuse("has the unknown attribute " + quote(key) + ", which may change its meaning.");
        }
        void arity(int low, int high) {
            if (types.length < low || types.length > high)
                throw refuse("reads " + types.length + " values; " + (low == high ? "exactly " : "at least ") + low + " are needed.");
        }
        Type input(int k, DType... allowed) {
            if (types[k].rank > 1 && !deep) throw refuse("reads " + types[k] + "; a row of rank 0 or 1 is needed.");
            if (!Arrays.asList(allowed).contains(types[k].dtype))
                throw refuse("reads " + types[k] + "; one of " + Arrays.toString(allowed) + " is needed, a cast step may help.");
            return types[k];
        }
        /** The only input, of one of the dtypes. */
        Type one(DType... allowed) { arity(1, 1); return input(0, allowed); }
        /** The only input of an op marked d: floats, as they are after rounding to the step's dtype. */
        Type rounded() { dtype = floating("dtype"); return one(FLOATS).with(dtype); }
        DType floating(String key) { return choice(key, true, "f64", "f32").equals("f32") ? DType.F32 : DType.F64; }
        boolean has(String key) { return json.get(key) != null; }
        Json attribute(String key) {
            read.add(key);
            Json value = json.get(key);
            if (value == null) throw refuse("lacks the required attribute " + quote(key) + ".");
            return value;
        }
        private String at(String key) { return where + " attribute " + quote(key); }
        private Refused none(String key, String value, Object[] options) {
            return refuse("has " + quote(key) + " " + quote(value) + "; it is one of " + Arrays.toString(options) + ".");
        }
        /** One of the options; the first is the default where one is allowed. */
        String choice(String key, boolean optional, String... options) {
            if (optional && !has(key)) return options[0];
            String value = attribute(key).string(at(key));
            if (!Arrays.asList(options).contains(value)) throw none(key, value, options);
            return value;
        }
        /** The constant of an enum whose names are spelled as in the format. */
        <E extends Enum<E>> E choice(String key, E[] options) {
            String value = attribute(key).string(at(key));
            for (E option : options) if (option.name().equals(value)) return option;
            throw none(key, value, options);
        }
        boolean flag(String key, boolean otherwise) { return has(key) ? attribute(key).scalar(at(key)).bool() : otherwise; }
        int integer(String key, long low, long high) {
            long value = attribute(key).scalar(at(key)).integer(DType.I64), most = Math.min(high, 1 << 28);
            if (value < low || value > most)
                throw refuse("has " + quote(key) + " " + value + "; it lies between " + low + " and " + most + ".");
            return (int) value;
        }
        double number(String key, double otherwise) { return has(key) ? attribute(key).scalar(at(key)).number(DType.F64) : otherwise; }
        /** One JSON element of the dtype as a tensor; null only where a missing string is an element. */
        Tensor element(String key, DType dtype, boolean missing) {
            Cursor c = attribute(key).scalar(at(key));
            if (dtype.isFloat()) return new Tensor(dtype, new double[] {c.number(dtype)}, 1);
            if (dtype != DType.STR) return new Tensor(dtype, new long[] {dtype != DType.BOOL ? c.integer(dtype) : c.bool() ? 1 : 0}, 1);
            String s = c.string(missing); guard.measure(s); return new Tensor(dtype, new String[] {s}, 1);
        }
        /** The tensor of an attribute; decoded once. */
        private Tensor decoded(String key, DType bare) {
            Json value = attribute(key);
            Tensor t = memo == null ? null : (Tensor) memo.get(value);
            if (t == null) t = Tensor.read(value, bare, at(key), guard);
            if (memo != null) memo.put(value, t);
            return t;
        }
        /** A row shape, held against the limits before anything is allocated by it. */
        Type shaped(DType dtype, long... lengths) {
            int[] dims = new int[lengths.length];
            for (int k = 0; k < dims.length; k++) dims[k] = (int) Math.min(lengths[k], Integer.MAX_VALUE);
            Type type = new Type(dtype, dims);
            if (type.counted > guard.limits.rowElements || dims.length > guard.limits.rank)
                throw refuse("gives " + type + ", more than the limit of " + guard.limits.rowElements + " elements, or of rank " + guard.limits.rank + ".");
            return type;
        }
        /** A tensor of the dtype (null: any) and of one of the lowest..highest ranks. */
        Tensor tensor(String key, DType dtype, int lowest, int highest) {
            Tensor t = decoded(key, dtype);
            if (dtype != null && t.dtype != dtype || t.shape.length < lowest || t.shape.length > highest)
                throw refuse("has " + quote(key) + " of dtype " + t.dtype + " and rank " + t.shape.length + "; "
                    + (dtype == null ? "" : dtype + " and ") + "rank " + highest + " is needed.");
            return t;
        }
        /** Floats of the step's dtype, rank 1, so many (-1: any number). */
        double[] floats(String key, int length) { return floats(key, dtype, length); }
        double[] floats(String key, DType dtype, int length) {
            double[] values = tensor(key, dtype, 1, 1).doubles();
            expect(key, values.length, length);
            return values;
        }
        /** The same, or null when absent. */
        double[] optional(String key, DType dtype, int length) { return has(key) ? floats(key, dtype, length) : null; }
        /** One element for each column, or one for all; null when absent. */
        double[] perColumn(String key, Type x) {
            double[] values = optional(key, x.dtype, -1);
            if (values != null && values.length != 1) expect(key, values.length, x.last);
            return values;
        }
        void expect(String key, int found, int needed) {
            if (needed >= 0 && found != needed) throw refuse("has " + quote(key) + " with " + found + " elements; " + needed + " are needed.");
        }
        /** A float matrix with a column for each of the row's. */
        Tensor matrix(String key, Type x) { return fitting(key, tensor(key, x.dtype, 2, 2), x); }
        private Tensor fitting(String key, Tensor t, Type x) {
            if (t.shape[1] != x.last || t.shape[0] > guard.limits.rowElements)
                throw refuse("has " + quote(key) + " of shape " + Arrays.toString(t.shape) + "; " + x.last + " columns and at most "
                    + guard.limits.rowElements + " rows are needed.");
            return t;
        }
        /** A tensor of any integer dtype. */
        Tensor integers(String key, int rank) {
            Tensor t = decoded(key, DType.I64);
            if (!t.dtype.isInteger() || t.shape.length != rank)
                throw refuse("has " + quote(key) + " of dtype " + t.dtype + " and rank " + t.shape.length + "; integers of rank " + rank + " are needed.");
            return t;
        }
        /** Integers of rank 1, so many (-1: any number), each within low..high. */
        int[] ints(String key, int length, long low, long high) {
            Tensor t = integers(key, 1);
            expect(key, t.size(), length);
            return narrow(key, t, low, high);
        }
        /** An integer matrix with a column for each of the row's. */
        Tensor intMatrix(String key, Type x) { return fitting(key, integers(key, 2), x); }
        int[] narrow(String key, Tensor t, long low, long high) {
            long[] values = t.longs();
            guard.take(4L * values.length);
            int[] narrow = new int[values.length];
            for (int k = 0; k < narrow.length; k++) {
                if (values[k] < low || values[k] > high)
                    throw refuse("has " + values[k] + " in " + quote(key) + " at position " + k + "; it lies between " + low + " and " + high + ".");
                narrow[k] = (int) values[k];
            }
            return narrow;
        }
        /** The row shape to which those of all inputs broadcast. */
        Type broadcast(DType dtype) {
            int rank = 0;
            for (Type t : types) rank = Math.max(rank, t.rank);
            long[] dims = new long[rank];
            Arrays.fill(dims, 1);
            for (Type t : types) for (int k = rank - t.rank, j = 0; k < rank; k++, j++) {
                if (t.dims[j] != dims[k] && t.dims[j] != 1 && dims[k] != 1)
                    throw refuse("joins " + Arrays.toString(types) + "; the lengths of every axis must be equal, or 1.");
                dims[k] = dims[k] == 1 ? t.dims[j] : dims[k];
            }
            return shaped(dtype, dims);
        }
    }

    /** The values of one block of rows; `first` is the number of the block's first row in the batch. */
    static final class Frame {
        final int rows, first;
        final Object[] values;
        Frame(int rows, int first, Object[] values) { this.rows = rows; this.first = first; this.values = values; }
    }

    /** A checked step. run returns the rows of its value, rows x width: double[], long[] or String[]; what it reads is never changed. */
    abstract static class Step {
        final String where;
        final int[] in;
        final Type[] from;
        final Type type;
        final DType dtype;
        long cost, strings; // for a row, see Args
        Step(Args a, Type type) { this.where = a.where; this.in = a.in; this.from = a.types; this.type = type; this.dtype = a.dtype; }
        abstract Object run(Frame f);
        /** Rounds to the step's dtype. */
        final double round(double v) { return dtype == DType.F32 ? (float) v : v; }
        /** The k-th input, rounded to the step's dtype. */
        final double[] floats(Frame f, int k) {
            double[] x = (double[]) f.values[in[k]];
            return dtype == DType.F32 && from[k].dtype == DType.F64 ? rounded(x.clone(), DType.F32) : x;
        }
        static double[] rounded(double[] x, DType to) {
            for (int k = 0; to == DType.F32 && k < x.length; k++) x[k] = (float) x[k];
            return x;
        }
        final Refused refuse(Frame f, int row, String sentence) { return new Refused(where + " refuses row " + (f.first + row) + ": " + sentence); }
    }

    /** A step that computes floats row by row, along the last axis; results are rounded to the dtype of the value. */
    abstract static class Rows extends Step {
        Rows(Args a, Type type) { super(a, type); }
        /** The row x[i..] of the input gives the row y[o..] of the value, which holds zeros. */
        abstract void row(double[] x, int i, double[] y, int o);
        @Override Object run(Frame f) {
            double[] x = floats(f, 0), y = new double[f.rows * type.width];
            for (int r = 0, i = from[0].last, o = type.last; r < f.rows * from[0].lanes; r++) row(x, r * i, y, r * o);
            return rounded(y, type.dtype);
        }
    }

    /** A step that moves elements without changing them. */
    private abstract static class Moves extends Step {
        Moves(Args a, Type type) { super(a, type); }
        /** Where element k of the value comes from: k >= 0 is x[k], k < 0 is y[-1 - k]. */
        abstract int source(Frame f, int k);
        final Object move(Frame f, Object x, Object y) {
            Object out = type.dtype.allocate(f.rows * type.width);
            for (int k = 0; k < f.rows * type.width; k++) {
                int s = source(f, k);
                Object from = s >= 0 ? x : y;
                s = s >= 0 ? s : -1 - s;
                if (out instanceof double[]) ((double[]) out)[k] = ((double[]) from)[s];
                else if (out instanceof long[]) ((long[]) out)[k] = ((long[]) from)[s];
                else ((String[]) out)[k] = ((String[]) from)[s];
            }
            return out;
        }
    }

    /** The parameter of column j: one element stands for all columns. */
    private static double at(double[] p, int j) { return p.length == 1 ? p[0] : p[j]; }

    /** concat: joins rows, or values of one rank along an axis. */
    private static Step concat(Args a) {
        a.arity(1, Integer.MAX_VALUE);
        final Type x = a.input(0, ANY);
        final int axis = a.has("axis") ? a.integer("axis", 0, x.rank - 1) : -1;
        long width = 0;
        for (int k = 0; k < a.types.length; k++) {
            Type t = a.input(k, x.dtype);
            if (axis < 0 ? t.rank > 1 : t.rank != x.rank || !t.resized(axis, 1).same(x.resized(axis, 1)))
                throw a.refuse("joins " + Arrays.toString(a.types) + "; rows are needed or, with \"axis\", shapes that are equal but for that axis.");
            width += axis < 0 ? t.width : t.dims[axis];
        }
        width = Math.min(width, Integer.MAX_VALUE);
        return new Step(a, axis < 0 ? Type.row(x.dtype, width) : x.resized(axis, (int) width)) {
            @Override Object run(Frame f) {
                Object out = type.dtype.allocate(f.rows * type.width);
                int lanes = axis < 0 ? 1 : type.size(0, axis), length = type.width / Math.max(1, lanes);
                for (int k = 0, offset = 0, n; k < from.length; offset += n, k++) {
                    n = from[k].width / Math.max(1, lanes);
                    for (int r = 0; r < f.rows * lanes; r++) System.arraycopy(f.values[in[k]], r * n, out, r * length + offset, n);
                }
                return out;
            }
        };
    }

    /** select: columns by position. */
    private static Step select(Args a) {
        final Type x = a.one(ANY);
        final int[] index = a.ints("index", -1, 0, x.width - 1);
        return new Moves(a, Type.row(x.dtype, index.length)) {
            @Override int source(Frame f, int k) { return k / index.length * x.width + index[k % index.length]; }
            @Override Object run(Frame f) { return move(f, f.values[in[0]], null); }
        };
    }

    /** cast: changes the dtype; what does not fit an integer is refused. An integer becomes an f32 in one rounding, not by way of f64. */
    private static Step cast(Args a) {
        Type x = a.one(Arrays.copyOf(ANY, ANY.length - 1));
        final DType to = DType.named(a.choice("to", false, "f64", "f32", "i64", "i32", "i16", "i8", "u32", "u16", "u8", "bool"), a.where);
        return new Step(a, x.with(to)) {
            @Override Object run(Frame f) {
                Object x = f.values[in[0]], out = to.allocate(f.rows * type.width);
                boolean floats = x instanceof double[];
                for (int k = 0; k < f.rows * type.width; k++) {
                    double v = floats ? ((double[]) x)[k] : 0.0;
                    long n = floats ? 0 : ((long[]) x)[k];
                    if (to == DType.F64) ((double[]) out)[k] = floats ? v : n;
                    else if (to == DType.F32) ((double[]) out)[k] = floats ? (float) v : (float) n;
                    else if (to == DType.BOOL) ((long[]) out)[k] = (floats ? v != 0 : n != 0) ? 1 : 0;
                    else ((long[]) out)[k] = floats ? truncated(v, f, k) : within(n >= to.min && n <= to.max, n, n, f, k);
                }
                return out;
            }
            private long truncated(double v, Frame f, int k) {
                double whole = v < 0 ? Math.ceil(v) : Math.floor(v); // max + 1 is a power of two, exact also where max is not
                return within(whole >= to.min && whole < (to == DType.I64 ? 0x1p63 : to.max + 1.0), (long) whole, v, f, k);
            }
            private long within(boolean fits, long n, Object given, Frame f, int k) {
                if (!fits) throw refuse(f, k / type.width, given + " does not fit the dtype " + to + ".");
                return n;
            }
        };
    }

    /** constant: the same row for every row of the batch. */
    private static Step constant(Args a) {
        a.arity(0, 0);
        if (a.attribute("value").kind != '{') throw a.refuse("has a bare \"value\"; write it in the object form, which states its dtype.");
        final Tensor value = a.tensor("value", null, 0, a.guard.limits.rank);
        return new Step(a, new Type(value.dtype, value.shape)) {
            @Override Object run(Frame f) {
                Object out = type.dtype.allocate(f.rows * type.width);
                for (int r = 0; r < f.rows; r++) System.arraycopy(value.data, 0, out, r * type.width, type.width);
                return out;
            }
        };
    }

    /** What counts as missing in impute and is_missing: elements that equal `match`; by default NaN among floats, null among strings. */
    private static Tensor match(Args a, Type x) {
        return a.has("match") ? a.element("match", x.dtype, false) : x.dtype == DType.STR ? Tensor.of((String) null) : Tensor.of(Double.NaN);
    }

    /** The key under which an element is found in a map: NaN equals NaN, null equals null, -0.0 equals 0.0. */
    private static Object key(Object data, int k) {
        return data instanceof double[] ? (Object) (((double[]) data)[k] + 0.0) : data instanceof long[] ? (Object) ((long[]) data)[k] : ((String[]) data)[k];
    }

    private static boolean same(Object x, Object y) { return x == null ? y == null : x.equals(y); }

    /** impute: elements that match are replaced by the column's value. */
    private static Step impute(Args a) {
        Type x = a.one(CAN_BE_MISSING);
        final Object match = key(match(a, x).data, 0);
        final Tensor values = a.tensor("values", x.dtype, 1, 1);
        if (values.size() != 1) a.expect("values", values.size(), x.width);
        return new Moves(a, x) {
            @Override int source(Frame f, int k) {
                return !same(key(f.values[in[0]], k), match) ? k : values.size() == 1 ? -1 : -1 - k % type.width;
            }
            @Override Object run(Frame f) { return move(f, f.values[in[0]], values.data); }
        };
    }

    /** is_missing: 1.0 where an element matches, else 0.0. */
    private static Step isMissing(Args a) {
        Type x = a.one(CAN_BE_MISSING);
        final Object match = key(match(a, x).data, 0);
        return new Step(a, x.with(DType.F64)) {
            @Override Object run(Frame f) {
                double[] out = new double[f.rows * type.width];
                for (int k = 0; k < out.length; k++) out[k] = same(key(f.values[in[0]], k), match) ? 1.0 : 0.0;
                return out;
            }
        };
    }

    /** lookup: the value of the equal key; the default, or a refusal, for an unknown one. */
    private static Step lookup(Args a) {
        Type x = a.one(DType.F64, DType.F32, DType.I64, DType.BOOL, DType.STR);
        Tensor keys = a.tensor("keys", x.dtype, 1, 1);
        final Tensor values = a.tensor("values", null, 1, 1);
        final Tensor otherwise = a.has("default") ? a.element("default", values.dtype, true) : null;
        a.expect("values", values.size(), keys.size());
        a.guard.take(96L * keys.size());
        a.cost = (long) COSTLY * x.width;
        final Map<Object, Integer> places = new HashMap<>();
        for (int k = 0; k < keys.size(); k++)
            if (places.put(key(keys.data, k), k) != null) throw a.refuse("has one key twice in \"keys\", at position " + k + "; keys are all different.");
        return new Moves(a, x.with(values.dtype)) {
            @Override int source(Frame f, int k) {
                Object key = key(f.values[in[0]], k);
                Integer place = places.get(key);
                if (place == null && otherwise == null)
                    throw refuse(f, k / type.width, (key instanceof String ? quote((String) key) : "" + key) + " is none of the known categories.");
                return place == null ? -1 : place;
            }
            @Override Object run(Frame f) { return move(f, values.data, otherwise == null ? null : otherwise.data); }
        };
    }

    /** onehot: per column a unit vector; -1 gives zeros. */
    private static Step onehot(Args a) {
        Type x = a.one(INTEGERS);
        final int size = a.integer("size", 1, a.guard.limits.tensorElements);
        return new Step(a, Type.row(DType.F64, (long) x.width * size)) {
            @Override Object run(Frame f) {
                long[] x = (long[]) f.values[in[0]];
                double[] out = new double[f.rows * type.width];
                for (int k = 0; k < f.rows * from[0].width; k++) {
                    if (x[k] < -1 || x[k] >= size) throw refuse(f, k / from[0].width, "the code " + x[k] + " lies outside 0.." + (size - 1) + ".");
                    if (x[k] >= 0) out[k * size + (int) x[k]] = 1.0;
                }
                return out;
            }
        };
    }

    /** The first of the ascending values[low..high) that is above v (or at v, unless `orEqual`); high for NaN. */
    static int count(double[] values, int low, int high, double v, boolean orEqual) {
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (orEqual ? v < values[middle] : v <= values[middle]) high = middle;
            else low = middle + 1;
        }
        return low;
    }

    /** scale: ((x - sub) / div) * mul + add, absent parts skipped. */
    private static Step scale(Args a) {
        Type x = a.rounded();
        final double[] sub = a.perColumn("sub", x), div = a.perColumn("div", x), mul = a.perColumn("mul", x), add = a.perColumn("add", x);
        return new Rows(a, x) {
            @Override void row(double[] x, int i, double[] y, int o) {
                for (int j = 0; j < type.last; j++) {
                    double v = x[i + j];
                    if (sub != null) v = round(v - at(sub, j));
                    if (div != null) v = round(v / at(div, j));
                    if (mul != null) v = round(v * at(mul, j));
                    y[o + j] = add == null ? v : v + at(add, j);
                }
            }
        };
    }

    /** clip: bounds per column; NaN passes. */
    private static Step clip(Args a) {
        Type x = a.rounded();
        final double[] min = a.perColumn("min", x), max = a.perColumn("max", x);
        return new Rows(a, x) {
            @Override void row(double[] x, int i, double[] y, int o) {
                for (int j = 0; j < type.last; j++) {
                    double v = x[i + j];
                    y[o + j] = min != null && v < at(min, j) ? at(min, j) : max != null && v > at(max, j) ? at(max, j) : v;
                }
            }
        };
    }

    /** The functions of unary, spelled as in the format. */
    private enum Unary {
        neg, abs, sign, sqrt, square, reciprocal, floor, ceil, round, trunc, relu, not, exp, expm1, log, log1p, log2, log10, sin, cos, tan,
        arcsin, arccos, arctan, sinh, cosh, tanh, sigmoid, log_sigmoid, softplus, erf, norm_ppf;
        boolean exact() { return compareTo(not) <= 0; }
        double of(double x) {
            switch (this) {
                case neg: return -x; case abs: return Math.abs(x); case sign: return x > 0 ? 1.0 : x < 0 ? -1.0 : x + 0.0;
                case sqrt: return Math.sqrt(x); case square: return x * x; case reciprocal: return 1.0 / x;
                case floor: return Math.floor(x); case ceil: return Math.ceil(x); case round: return Math.rint(x);
                case trunc: return x < 0 ? Math.ceil(x) : Math.floor(x); case relu: return x > 0 || x != x ? x : 0.0;
                case exp: return Math.exp(x); case expm1: return Math.expm1(x);
                case log: return Math.log(x); case log1p: return Math.log1p(x); case log2: return Special.log2(x); case log10: return Math.log10(x);
                case sin: return Math.sin(x); case cos: return Math.cos(x); case tan: return Math.tan(x);
                case arcsin: return Math.asin(x); case arccos: return Math.acos(x); case arctan: return Math.atan(x);
                case sinh: return Math.sinh(x); case cosh: return Math.cosh(x); case tanh: return Math.tanh(x); case sigmoid: return Special.sigmoid(x);
                case log_sigmoid: return x >= 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x));
                case softplus: return Math.max(x, 0.0) + Math.log1p(Math.exp(-Math.abs(x))); case erf: return Special.erf(x); case norm_ppf: return Special.normPpf(x);
                default: throw new IllegalStateException(name());
            }
        }
    }

    /** unary: a function, element by element; f32 is computed in f64 and rounded. */
    private static Step unary(Args a) {
        final Unary fn = a.choice("fn", Unary.values());
        a.dtype = a.floating("dtype");
        final Type x = fn == Unary.not ? a.one(DType.BOOL) : a.rounded();
        a.cost = fn.exact() ? 0 : (long) COSTLY * x.width;
        if (fn != Unary.not)
            return new Rows(a, x) {
                @Override void row(double[] x, int i, double[] y, int o) {
                    for (int j = 0; j < type.last; j++) y[o + j] = fn.of(x[i + j]);
                }
            };
        return new Step(a, x) {
            @Override Object run(Frame f) {
                long[] x = ((long[]) f.values[in[0]]).clone();
                for (int k = 0; k < x.length; k++) x[k] = 1 - x[k];
                return x;
            }
        };
    }

    /** The functions of binary, spelled as in the format: arithmetic, comparisons, logic. */
    private enum Binary {
        add, sub, mul, div, min, max, pow, eq, ne, lt, le, gt, ge, and, or, xor;
        boolean compares() { return compareTo(eq) >= 0 && compareTo(ge) <= 0; }
        double of(double x, double y) {
            switch (this) {
                case add: return x + y; case sub: return x - y; case mul: return x * y; case div: return x / y;
                case min: return Math.min(x, y); case max: return Math.max(x, y); default: return Special.pow(x, y);
            }
        }
        /** Whether x compares so with y; `order` is negative, zero or positive, and 2 when they are unequal without an order. */
        boolean holds(int order) {
            switch (this) {
                case eq: return order == 0; case ne: return order != 0; case lt: return order < 0; case le: return order <= 0;
                case gt: return order == 1; default: return order == 0 || order == 1;
            }
        }
        boolean of(boolean x, boolean y) { return this == and ? x && y : this == or ? x || y : x != y; }
    }

    /** binary: arithmetic, comparison or logic of two values that broadcast. */
    private static Step binary(Args a) {
        a.arity(2, 2);
        a.dtype = a.floating("dtype");
        final Binary fn = a.choice("fn", Binary.values());
        DType x = a.types[0].dtype, y = a.types[1].dtype;
        boolean logic = fn.compareTo(Binary.and) >= 0, equality = fn == Binary.eq || fn == Binary.ne;
        boolean compared = fn.compares() && x == y && (x == DType.I64 || equality && (x == DType.BOOL || x == DType.STR));
        if (!(logic ? x == DType.BOOL && y == x : compared || x.isFloat() && y.isFloat()))
            throw a.refuse("cannot compute " + fn + " of " + a.types[0] + " and " + a.types[1] + "; a cast step may help.");
        final Type wide = a.broadcast(logic || fn.compares() ? DType.BOOL : a.dtype);
        final int[] i = a.types[0].spread(wide, a.guard), j = a.types[1].spread(wide, a.guard);
        a.cost = fn == Binary.pow ? (long) COSTLY * wide.width : 0;
        a.strings = x == DType.STR ? wide.counted : 0;
        return new Step(a, wide) {
            @Override Object run(Frame f) {
                boolean floats = from[0].dtype.isFloat();
                Object x = floats ? floats(f, 0) : f.values[in[0]], y = floats ? floats(f, 1) : f.values[in[1]];
                Object out = type.dtype.allocate(f.rows * type.width);
                for (int r = 0, k = 0; r < f.rows; r++)
                    for (int e = 0, p = r * from[0].width, q = r * from[1].width; e < type.width; e++, k++) {
                        int v = i == null ? p + e : p + i[e], w = j == null ? q + e : q + j[e];
                        if (out instanceof long[]) ((long[]) out)[k] = holds(x, v, y, w) ? 1 : 0;
                        else ((double[]) out)[k] = round(fn.of(((double[]) x)[v], ((double[]) y)[w]));
                    }
                return out;
            }
            private boolean holds(Object x, int i, Object y, int j) {
                if (x instanceof String[]) return fn.holds(same(((String[]) x)[i], ((String[]) y)[j]) ? 0 : 2);
                if (x instanceof long[]) {
                    long v = ((long[]) x)[i], w = ((long[]) y)[j];
                    return fn.compares() ? fn.holds(Long.compare(v, w)) : fn.of(v != 0, w != 0);
                }
                double v = ((double[]) x)[i], w = ((double[]) y)[j];
                return fn.holds(v < w ? -1 : v > w ? 1 : v == w ? 0 : 2);
            }
        };
    }

    /** where: the second value where the first is true, else the third. */
    private static Step where(Args a) {
        a.arity(3, 3);
        a.input(0, DType.BOOL);
        final Type wide = a.broadcast(a.input(2, a.types[1].dtype).dtype);
        final int[][] places = {a.types[0].spread(wide, a.guard), a.types[1].spread(wide, a.guard), a.types[2].spread(wide, a.guard)};
        return new Moves(a, wide) {
            private int place(int j, int k) { return places[j] == null ? k : k / type.width * from[j].width + places[j][k % type.width]; }
            @Override int source(Frame f, int k) { return ((long[]) f.values[in[0]])[place(0, k)] != 0 ? place(1, k) : -1 - place(2, k); }
            @Override Object run(Frame f) { return move(f, f.values[in[1]], f.values[in[2]]); }
        };
    }

    /** linear: sum_j x_j * weight[k][j] in ascending j, then + bias[k], rounded once. */
    private static Step linear(Args a) {
        final Type x = a.rounded();
        Tensor matrix = a.matrix("weight", x);
        final int n = matrix.shape[0], w = x.last;
        a.guard.take(8L * matrix.size());
        a.cost = (long) x.width * n;
        final double[] bias = a.optional("bias", a.dtype, n), turned = new double[matrix.size()]; // [j, k]: the inner loop has no chain of sums
        for (int k = 0; k < n; k++) for (int j = 0; j < w; j++) turned[j * n + k] = matrix.doubles()[k * w + j];
        return new Step(a, x.rank == 0 ? Type.row(a.dtype, n) : x.resized(x.rank - 1, n)) {
            @Override Object run(Frame f) {
                int rows = f.rows * x.lanes;
                double[] v = floats(f, 0), y = new double[rows * n], s = new double[Math.min(n, PANEL)], t = new double[Math.min(n, PANEL)];
                for (int first = 0; first < n; first += PANEL) // a panel of the weights stays in the cache, while pairs of rows pass by
                    for (int r = 0, count = Math.min(PANEL, n - first); r < rows; r += 2) {
                        int other = r + 1 < rows ? r + 1 : r;
                        Arrays.fill(s, 0.0);
                        Arrays.fill(t, 0.0);
                        addProducts(v, r * w, other * w, w, turned, first, n, s, t, count);
                        finish(s, first, count, y, r * n);
                        if (other > r) finish(t, first, count, y, other * n);
                    }
                return rounded(y, dtype);
            }
            private void finish(double[] s, int first, int count, double[] y, int o) {
                for (int k = 0; k < count; k++) y[o + first + k] = bias == null ? s[k] : s[k] + bias[first + k];
            }
        };
    }
    private static final int PANEL = 256;

    /** s[k] += sum_j x[i + j] * m[j * stride + at + k] in ascending j, and t[k] likewise for x[l + j]; loops that the virtual machine computes several k at once. */
    static void addProducts(double[] x, int i, int l, int w, double[] m, int at, int stride, double[] s, double[] t, int count) {
        int j = 0;
        for (int q = at; j + 4 <= w; j += 4, q += 4 * stride)
            addFour(x[i + j], x[i + j + 1], x[i + j + 2], x[i + j + 3], x[l + j], x[l + j + 1], x[l + j + 2], x[l + j + 3], m, q, stride, s, t, count);
        for (; j < w; j++) {
            double a = x[i + j], b = x[l + j];
            for (int k = 0, q = at + j * stride; k < count; k++) { s[k] += a * m[q + k]; t[k] += b * m[q + k]; }
        }
    }
    private static void addFour(double a0, double a1, double a2, double a3, double b0, double b1, double b2, double b3, double[] m, int q, int stride,
            double[] s, double[] t, int count) {
        for (int k = 0, q1 = q + stride, q2 = q1 + stride, q3 = q2 + stride; k < count; k++) {
            double v0 = m[q + k], v1 = m[q1 + k], v2 = m[q2 + k], v3 = m[q3 + k];
            s[k] = s[k] + a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3;
            t[k] = t[k] + b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3;
        }
    }

    /** softmax: exp(x - max) / sum. log_softmax: x - max - log(sum). */
    private static Step softmax(Args a, final boolean log) {
        Type x = a.rounded();
        a.cost = (long) COSTLY * x.width;
        return new Rows(a, x) {
            @Override void row(double[] x, int i, double[] y, int o) {
                int w = type.last;
                double max = w == 0 ? 0.0 : x[i + extreme(x, i, w, true)], sum = 0.0;
                for (int j = 0; j < w; j++) {
                    double shifted = round(x[i + j] - max), e = round(Math.exp(shifted));
                    y[o + j] = log ? shifted : e;
                    sum += e;
                }
                sum = log ? round(Math.log(round(sum))) : round(sum);
                for (int j = o; j < o + w; j++) y[j] = log ? y[j] - sum : y[j] / sum;
            }
        };
    }

    /** The position of the largest (or smallest) of a row: ties go to the lowest index, the first NaN wins. */
    private static int extreme(double[] x, int i, int w, boolean max) {
        int best = 0;
        for (int j = 1; j < w && x[i + best] == x[i + best]; j++) {
            double v = x[i + j];
            if (v != v || (max ? v > x[i + best] : v < x[i + best])) best = j;
        }
        return best;
    }

    static double dot(double[] x, int i, double[] y, int k, int w) {
        double sum = 0.0;
        for (int j = 0; j < w; j++) sum += x[i + j] * y[k + j];
        return sum;
    }

    /** normalize: rows divided by their norm; an all-zero row is unchanged. */
    private static Step normalize(Args a) {
        Type x = a.rounded();
        final String norm = a.choice("norm", false, "l1", "l2", "max");
        return new Rows(a, x) {
            @Override void row(double[] x, int i, double[] y, int o) {
                double sum = 0.0, max = 0.0;
                for (int j = i; j < i + type.last; j++) {
                    sum += norm.equals("l2") ? x[j] * x[j] : Math.abs(x[j]);
                    max = Math.max(max, Math.abs(x[j]));
                }
                double by = norm.equals("max") ? max : round(norm.equals("l2") ? Math.sqrt(sum) : sum);
                for (int j = 0; j < type.last; j++) y[o + j] = by == 0 ? x[i + j] : x[i + j] / by;
            }
        };
    }

    /** The functions of reduce, spelled as in the format. */
    private enum Reduction { sum, prod, mean, min, max, l2, logsumexp, argmax, argmin }

    /** reduce: one number per row, or over some axes; f32 is computed in f64 and rounded. */
    private static Step reduce(Args a) {
        final Type t = a.rounded();
        final Reduction fn = a.choice("fn", Reduction.values());
        final boolean max = fn != Reduction.min && fn != Reduction.argmin, position = fn.compareTo(Reduction.argmax) >= 0;
        boolean keep = a.flag("keep", false), given = a.has("axes"), good = given || t.rank < 2;
        int[] axes = given ? a.ints("axes", -1, 0, t.rank - 1) : t.rank == 1 ? new int[] {0} : new int[0];
        for (int k = given ? 0 : 1; k < Math.max(axes.length, 1); k++) good &= k < axes.length && (k == 0 || axes[k] > axes[k - 1] && !position);
        if (!good || t.width == 0)
            throw a.refuse("reduces " + t + (given ? " over " + Arrays.toString(axes) : "") + "; ascending axes (one for argmax, argmin) are needed.");
        a.cost = fn == Reduction.logsumexp ? (long) COSTLY * t.width : 0;
        int[][] offsets = new int[t.rank][]; // of the axes that stay, then of those that are reduced
        int[] dims = new int[keep ? Math.max(t.rank, 1) : t.rank - axes.length];
        Arrays.fill(dims, 1);
        for (int axis = 0, k = 0; axis < t.rank; axis++) {
            boolean reduced = k < axes.length && axes[k] == axis;
            offsets[reduced ? t.rank - axes.length + k : axis - k] = t.along(axis, t.dims[axis]);
            if (!reduced) dims[keep ? axis : axis - k] = t.dims[axis];
            k += reduced ? 1 : 0;
        }
        final int[] places = axes.length == 0 || axes[0] == t.rank - axes.length ? null : places(a.guard, offsets);
        return new Step(a, new Type(position ? DType.I64 : a.dtype, dims)) {
            private final int w = t.width / type.width;
            @Override Object run(Frame f) {
                double[] given = floats(f, 0), x = places == null ? given : new double[given.length];
                for (int r = 0; places != null && r < x.length; r += t.width) for (int k = 0; k < t.width; k++) x[r + k] = given[r + places[k]];
                Object out = type.dtype.allocate(f.rows * type.width);
                for (int k = 0; k < f.rows * type.width; k++)
                    if (position) ((long[]) out)[k] = extreme(x, k * w, w, max);
                    else ((double[]) out)[k] = round(reduced(x, k * w));
                return out;
            }
            private double reduced(double[] x, int i) {
                double m = x[i + extreme(x, i, w, max)], sum = fn == Reduction.prod ? 1.0 : 0.0;
                for (int j = i; j < i + w; j++)
                    sum = fn == Reduction.prod ? sum * x[j] : sum + (fn == Reduction.l2 ? x[j] * x[j] : fn == Reduction.logsumexp ? Math.exp(x[j] - m) : x[j]);
                switch (fn) {
                    case min: case max: return m;
                    case mean: return sum / w; case l2: return Math.sqrt(sum);
                    case logsumexp: return Double.isInfinite(m) ? m : m + Math.log(sum);
                    default: return sum;
                }
            }
        };
    }

    /** two_class: [1 - p, p]. */
    private static Step twoClass(Args a) {
        if (a.rounded().width != 1) throw a.refuse("reads " + a.types[0] + "; one probability per row is needed.");
        return new Rows(a, Type.row(a.dtype, 2)) {
            @Override void row(double[] p, int i, double[] y, int o) { y[o] = 1.0 - p[i]; y[o + 1] = p[i]; }
        };
    }

    /** take: table rows by index. */
    private static Step take(Args a) {
        final Type x = a.one(INTEGERS);
        final Tensor table = a.tensor("table", null, 1, 2);
        final int w = table.width();
        if (table.shape.length == 2 && x.width != 1) throw a.refuse("reads " + x + " with a table of rows; one index per row is needed.");
        return new Moves(a, table.shape.length == 1 ? x.with(table.dtype) : Type.row(table.dtype, w)) {
            @Override int source(Frame f, int k) {
                long index = ((long[]) f.values[in[0]])[k / w];
                if (index < 0 || index >= table.shape[0])
                    throw refuse(f, k / type.width, "the index " + index + " lies outside the table of " + table.shape[0] + " entries.");
                return (int) index * w + k % w;
            }
            @Override Object run(Frame f) { return move(f, table.data, null); }
        };
    }

    // ==== 6 Trees ====================================================================================================

    /** tree_ensemble: the sum (or mean) of the leaves that a row reaches, tree by tree in order. Nodes are in preorder: left is i + 1. */
    static class Trees {
        final int columns, leafWidth;
        final boolean strict, mean;
        final String missing;
        final DType dtype, acc;
        final int[] feature;      // [N] column, or -1 for a leaf
        final int[] root;         // [T] first node
        final int[] next;         // [N] right child; for a leaf its row in `leaf`
        final double[] threshold; // [N] 0 at leaves
        final int[] category;     // [N] set of a categorical node, or -1; null without categories
        final int[] missingLeft;  // [N] 1 where NaN goes left; null unless missing is "node"
        final double[] leaf;      // [rows, leafWidth]
        final int[] classOf;      // [T] the column that a tree adds to, or null
        final double[] init;      // [width] or null
        final Type type;
        private Args a; // while checking; it holds on to the document
        private int[] setStart;
        private long[] set;
        Trees(Args a) {
            this.a = a;
            a.arity(1, 2);
            dtype = a.dtype = a.floating("dtype");
            columns = a.input(0, FLOATS).width;
            strict = a.choice("cmp", true, "le", "lt").equals("lt");
            missing = a.choice("missing", true, "error", "left", "right", "node");
            acc = a.floating("acc");
            mean = a.choice("aggregate", true, "sum", "mean").equals("mean");
            feature = a.ints("feature", -1, -1, columns - 1);
            root = a.ints("start", -1, 0, feature.length - 1);
            int inner = 0;
            for (int column : feature) inner += column >= 0 ? 1 : 0;
            a.guard.take(72L * feature.length); // these arrays and those of a faster layout
            next = children(a.ints("right", inner, 0, feature.length));
            threshold = thresholds(inner);
            missingLeft = missing.equals("node") ? perNode(a.ints("missing_left", inner, 0, 1)) : null;
            category = categories(inner);
            leafWidth = a.has("leaf_width") ? a.integer("leaf_width", 1, a.guard.limits.rowElements) : 1;
            a.cost = (long) root.length * leafWidth; leaf = leaves(feature.length - inner);
            boolean byClass = a.has("class");
            if (a.has("size") != byClass || byClass && leafWidth != 1) throw a.refuse("has only one of \"class\" and \"size\", or a leaf_width with them.");
            type = Type.row(acc, byClass ? a.integer("size", 1, a.guard.limits.rowElements) : leafWidth);
            classOf = byClass ? a.ints("class", root.length, 0, type.width - 1) : null;
            init = a.optional("init", acc, type.width);
            if (a.types.length == 2 && (a.input(1, acc).width != type.width || init != null))
                throw a.refuse("reads " + a.types[1] + " as the start of its sum; " + type + " is needed, and no \"init\".");
        }
        final int end(int tree) { return tree + 1 < root.length ? root[tree + 1] : feature.length; }
        /** Checks that the nodes form one tree in preorder for each start, so that every walk ends. */
        private int[] children(int[] right) {
            int[] next = new int[feature.length], open = new int[64];
            if (root.length == 0 || root[0] != 0) throw a.refuse("has \"start\" that does not begin with 0.");
            for (int t = 0, i = 0, inner = 0; t < root.length; t++) {
                int depth = 0;
                if (root[t] >= end(t)) throw a.refuse("has \"start\" that does not ascend strictly.");
                for (; i < end(t); i++) {
                    boolean good;
                    if (feature[i] >= 0) {
                        next[i] = root[t] + right[inner++];
                        good = next[i] > i + 1 && next[i] < end(t);
                        if (depth == open.length) open = Arrays.copyOf(open, 2 * depth);
                        open[depth++] = next[i];
                    } else { next[i] = i - inner; good = depth > 0 ? open[--depth] == i + 1 : i + 1 == end(t); }
                    if (!good) throw a.refuse("has nodes that do not form one tree in preorder: tree " + t + ", node " + (i - root[t]) + ".");
                }
            }
            return next;
        }
        private double[] thresholds(int inner) {
            double[] given = a.floats("threshold", inner), spread = new double[feature.length];
            for (int i = 0, k = 0; i < spread.length; i++) {
                if (feature[i] >= 0) spread[i] = given[k++];
                if (spread[i] != spread[i]) throw a.refuse("has NaN in \"threshold\" at position " + (k - 1) + ".");
            }
            return spread;
        }
        /** Values of the inner nodes, spread to all nodes. */
        private int[] perNode(int[] inner) {
            int[] spread = new int[feature.length];
            for (int i = 0, k = 0; i < spread.length; i++) spread[i] = feature[i] >= 0 ? inner[k++] : -1;
            return spread;
        }
        private int[] categories(int inner) {
            boolean present = a.has("category");
            if (a.has("set_start") != present || a.has("set") != present) throw a.refuse("has a part of \"category\", \"set_start\", \"set\".");
            if (!present) return null;
            set = a.integers("set", 1).longs();
            setStart = a.ints("set_start", -1, 0, set.length);
            int[] spread = perNode(a.ints("category", inner, -1, setStart.length - 1));
            boolean good = setStart.length > 0 ? setStart[0] == 0 : set.length == 0;
            for (int s = 0; good && s < setStart.length; s++) {
                good = setStart[s] <= setEnd(s);
                for (int k = setStart[s]; good && k < setEnd(s); k++) good = set[k] >= 0 && (k == setStart[s] || set[k] > set[k - 1]);
            }
            if (!good) throw a.refuse("has category sets that do not cover \"set\" in order, or do not ascend from 0.");
            for (int i = 0; i < spread.length; i++)
                if (spread[i] >= 0 && threshold[i] != 0) throw a.refuse("has a categorical node with the threshold " + threshold[i] + "; it is 0.");
            return spread;
        }
        private int setEnd(int s) { return s + 1 < setStart.length ? setStart[s + 1] : set.length; }
        /** The leaf rows: those of leaf_table, of which the leaves then name one each, or the leaves' own in node order. */
        private double[] leaves(int count) {
            double[] table = a.floats(a.has("leaf_table") ? "leaf_table" : "leaf", acc, -1);
            if (table.length % leafWidth != 0) throw a.refuse("has leaf values that do not make rows of " + leafWidth + ".");
            if (!a.has("leaf_table")) { a.expect("leaf", table.length / leafWidth, count); return table; }
            int[] place = a.ints("leaf", count, 0, table.length / leafWidth - 1);
            for (int i = 0; i < next.length; i++) if (feature[i] < 0) next[i] = place[next[i]];
            return table;
        }
        final Step step() {
            Args args = a;
            a = null;
            return new Step(args, type) {
                @Override Object run(Frame f) {
                    double[] x = floats(f, 0), start = from.length == 2 ? (double[]) f.values[in[1]] : null, out = new double[f.rows * type.width];
                    for (int r = 0; r < f.rows; r++) begin(out, r, start);
                    int[] rest = addAll(x, f.rows, out);
                    for (int r : rest) begin(out, r, start);
                    for (int t = 0; t < root.length; t++) for (int r : rest) add(out, r, t, leafOf(t, x, r, f));
                    for (int k = 0; mean && k < out.length; k++) out[k] /= root.length;
                    return rounded(out, acc);
                }
                /** The walk that knows NaN and categories. */
                private int leafOf(int t, double[] x, int r, Frame f) {
                    int i = root[t];
                    while (feature[i] >= 0) {
                        double v = x[r * columns + feature[i]];
                        if (v != v && missing.equals("error")) throw refuse(f, r, "a tree compares column " + feature[i] + ", which is NaN.");
                        boolean left = v != v ? missingLeft == null ? missing.equals("left") : missingLeft[i] == 1
                            : category != null && category[i] >= 0 ? contains(category[i], v) : strict ? v < threshold[i] : v <= threshold[i];
                        i = left ? i + 1 : next[i];
                    }
                    return next[i];
                }
            };
        }
        private boolean contains(int s, double v) {
            long code = (long) v;
            return code == v && v < 0x1p63 && Arrays.binarySearch(set, setStart[s], setEnd(s), code) >= 0;
        }
        private void begin(double[] out, int r, double[] start) {
            for (int o = 0, k = r * type.width; o < type.width; o++, k++) out[k] = start != null ? start[k] : init != null ? init[o] : 0.0;
        }
        /** Adds a leaf of a tree to row r; every addition is rounded to acc. */
        final void add(double[] out, int r, int tree, int leafRow) {
            int k = r * type.width + (classOf == null ? 0 : classOf[tree]);
            for (int o = leafRow * leafWidth; o < (leafRow + 1) * leafWidth; o++, k++)
                out[k] = acc == DType.F32 ? (float) (out[k] + leaf[o]) : out[k] + leaf[o];
        }
        /** A faster way to add the leaves of all trees, where there is one (ModelportMore.java); the rows that are left to the walk. */
        int[] addAll(double[] x, int rows, double[] out) {
            int[] rest = new int[rows];
            for (int r = 0; r < rows; r++) rest[r] = r;
            return rest;
        }
    }

    // ==== 7 Model ====================================================================================================

    /** One input of a model. */
    public static final class Input {
        public final String name;
        public final DType dtype;
        /** "error": NaN and null are refused; "nan" or "null": accepted. */
        public final String missing;
        /** The names of a matrix's columns, or null. */
        public final List<String> features;
        private final List<Object> axes;
        private Input(String name, DType dtype, List<Object> axes, String missing, List<String> features) {
            this.name = name; this.dtype = dtype; this.axes = axes; this.missing = missing; this.features = features;
        }
        /** The shape of one row: lengths (Integer), and names (String) of lengths that are known when rows come. */
        public List<Object> shape() { return Collections.unmodifiableList(axes); }
        private Type type(Map<String, Integer> lengths) {
            int[] dims = new int[axes.size()];
            for (int k = 0; k < dims.length; k++) dims[k] = axes.get(k) instanceof Integer ? (Integer) axes.get(k) : lengths.get(axes.get(k));
            return new Type(dtype, dims);
        }
        /** Refuses rows of another shape; learns the named lengths that are not known yet. */
        private void fit(String where, DType given, int[] shape, Map<String, Integer> lengths) {
            boolean fits = given == dtype && shape.length == axes.size() + 1;
            for (int k = 1; fits && k < shape.length; k++) {
                boolean named = axes.get(k - 1) instanceof String;
                if (named && shape[k] > 0 && !lengths.containsKey(axes.get(k - 1))) lengths.put((String) axes.get(k - 1), shape[k]);
                fits = ((Integer) shape[k]).equals(named ? lengths.get(axes.get(k - 1)) : axes.get(k - 1));
            }
            if (!fits)
                throw new Refused(where + " is " + given + Arrays.toString(shape) + "; rows of " + dtype + axes + " are needed"
                    + (lengths.isEmpty() ? "." : ", where " + lengths + "."));
        }
    }

    /** One output of a model. */
    public static final class Output {
        public final String name;
        public final DType dtype;
        /** prediction, probability, score, transform, cluster or anomaly. */
        public final String role;
        /** The names of the last axis (String, Long or Boolean), or null. */
        public final List<Object> classes;
        private final List<Object> axes;
        private final int slot;
        private Output(String name, DType dtype, List<Object> axes, int slot, String role, List<Object> classes) {
            this.name = name; this.dtype = dtype; this.axes = axes; this.slot = slot; this.role = role; this.classes = classes;
        }
        /** The shape of one row, for the example lengths; where a length is that of an input, its name. */
        public List<Object> shape() { return Collections.unmodifiableList(axes); }
    }
    /** How one output compared with the vectors; the sentence says what differs first, or how far the worst element is off. */
    public static final class Check {
        public final String output, sentence;
        public final boolean passed;
        private Check(String output, boolean passed, String sentence) {
            this.output = output; this.passed = passed; this.sentence = "Output " + quote(output) + " " + sentence;
        }
    }
    /** The steps, checked for given lengths, and how long each value is needed. */
    private static final class Plan {
        final List<Type> types = new ArrayList<>(); // of every value: the inputs, then the steps
        final List<Step> steps = new ArrayList<>();
        final Map<String, Integer> slots = new HashMap<>();
        final List<List<Integer>> free = new ArrayList<>(); // the values that no step after this one needs
        long peak; // the most elements of a row that are held at a time
        double operations, strings; // for a row: the elements that the steps read and give, and their multiplications; strings of these
        private final Limits limits;
        private double cost;
        private long rowElements;
        Plan(Model model, Map<String, Integer> lengths, List<Json> list, Guard guard) {
            limits = guard.limits;
            for (Input input : model.inputs) define(input.name, input.type(lengths), "Input " + quote(input.name));
            Set<String> unused = new HashSet<>(model.requires);
            if (list.size() > limits.steps) throw new Refused("The document has " + list.size() + " steps, more than the limit of " + limits.steps + ".");
            for (Json json : list) {
                String number = "Step " + steps.size(), op = json.need("op", number).string(number + " op");
                String out = json.need("out", number).string(number + " out"), where = "Step " + quote(out) + " (" + op + ")";
                if (out.isEmpty()) throw new Refused(number + " has an empty \"out\"; name its value.");
                if (!model.requires.contains(op)) throw new Refused(number + " has the op " + quote(op) + ", which \"requires\" does not list.");
                unused.remove(op);
                Step step = step(model, op, where, json, guard);
                operations += step.cost; strings += step.strings;
                for (int k = -1; k < step.from.length; k++) count(k < 0 ? step.type : step.from[k]);
                cost += step.cost;
                if (cost > limits.multiplications) throw new Refused(where + " brings a row beyond the limit of " + limits.multiplications + " multiplications.");
                define(out, step.type, where); steps.add(step);
            }
            for (String op : unused) throw new Refused("The document requires " + quote(op) + " and uses it in no step; list the ops that are used.");
        }
        /** Checks a step; what attributes have become is kept for other lengths, and so is a step that reads what it read before. */
        private Step step(Model model, String op, String where, Json json, Guard guard) {
            List<String> names = json.need("in", where).strings(where + " in", guard);
            int[] in = new int[names.size()];
            Type[] from = new Type[in.length];
            for (int k = 0; k < in.length; k++) {
                Integer slot = slots.get(names.get(k));
                if (slot == null) throw new Refused(where + " reads " + quote(names.get(k)) + ", which no input and no earlier step defines.");
                in[k] = slot; from[k] = types.get(slot);
            }
            Step known = model.memo == null ? null : (Step) model.memo.get(json);
            boolean same = known != null;
            for (int k = 0; same && k < in.length; k++) same = known.from[k].same(from[k]);
            if (same) return known;
            Args a = new Args(op, where, json, in, from, model.memo, guard);
            Step step = tableOf(op, model.more).step(a);
            a.finish(); step.cost = a.cost; step.strings = a.strings;
            if (model.memo != null) model.memo.put(json, step);
            return step;
        }
        private void count(Type touched) { operations += (double) MOVED * touched.counted; if (touched.dtype == DType.STR) strings += touched.counted; }
        /** Gives a value its name, and holds it against the limits on row elements. */
        private void define(String value, Type type, String where) {
            rowElements += type.counted;
            if (type.counted > limits.rowElements || type.rank > limits.rank || rowElements > limits.totalRowElements)
                throw new Refused(where + " brings a row to more elements than the limit: " + limits.rowElements + " in one value, "
                    + limits.totalRowElements + " in all, or has a rank above " + limits.rank + ".");
            if (slots.put(value, types.size()) != null) throw new Refused(where + " defines a name a second time; every name is defined once.");
            types.add(type);
        }
        /** Finds out when values are no longer needed: those that no output gives, after the last step that reads them. */
        void release(List<Output> outputs) {
            int[] last = new int[types.size()];
            int inputs = types.size() - steps.size();
            for (int k = 0; k < steps.size(); k++) {
                last[inputs + k] = k;
                for (int slot : steps.get(k).in) last[slot] = k;
                free.add(new ArrayList<Integer>());
            }
            for (Output o : outputs) last[o.slot] = steps.size();
            for (int slot = 0; slot < last.length; slot++) if (last[slot] < steps.size()) free.get(last[slot]).add(slot);
            long held = 0;
            for (int slot = 0; slot < last.length; slot++) {
                peak = Math.max(peak, held += types.get(slot).width);
                if (slot >= inputs) for (int gone : free.get(slot - inputs)) held -= types.get(gone).width;
            }
        }
    }
    /** A loaded model. Immutable; may be shared by threads. */
    public static final class Model {
        private static final int BLOCK_ELEMENTS = 1 << 22, BLOCK_ROWS = 1 << 14, PLANS = 16, THREAD_ROWS = 2048, OPERATIONS_PER_BYTE = 4096;
        private static final List<Integer> ONE = Collections.singletonList(1);
        private static final List<String> ROLES = Arrays.asList("prediction", "probability", "score", "transform", "cluster", "anomaly");
        private final List<Input> inputs = new ArrayList<>();
        private final List<Output> outputs = new ArrayList<>();
        private final Map<String, Integer> lengths = new TreeMap<>(); // the examples of the named ones
        private final Map<String, Input> owners = new HashMap<>(); // of a feature's name, and of an input's own
        private final List<String> requires;
        private final String name;
        private final Limits limits;
        private final Vectors carried;
        private final Plan plan; // for the examples
        private final Ops[] more;
        private final List<Json> source; // the steps, and what they have become, where lengths are named; or null
        private final Map<Object, Object> memo;
        private final Map<Map<String, Integer>, Plan> plans; // and the memo: shared with the models of other numbers of threads, and locked
        private final int threads;
        private static final class Plans extends LinkedHashMap<Map<String, Integer>, Plan> {
            Plans() { super(PLANS, 0.75f, true); }
            @Override protected boolean removeEldestEntry(Map.Entry<Map<String, Integer>, Plan> eldest) { return size() > PLANS; }
        }
        /** Checks a parsed document: header, inputs, steps, outputs, vectors. */
        private Model(Json root, Guard guard, Ops[] more) {
            limits = guard.limits;
            plans = new Plans();
            threads = 1;
            this.more = more;
            requires = header(root, guard, more);
            name = root.get("name") != null && root.get("name").kind == '"' ? root.get("name").string("") : null;
            if (root.get("lengths") != null) readLengths(root.get("lengths"));
            Set<String> named = new HashSet<>();
            for (Json json : list(root, "inputs")) inputs.add(input(json, named, guard));
            if (!named.equals(lengths.keySet()) || root.get("lengths") != null && named.isEmpty())
                throw new Refused("The document has lengths for " + lengths.keySet() + "; its inputs name " + named + ".");
            for (Input input : inputs) if (input.features != null) for (String feature : input.features) owners.put(feature, input);
            for (Input input : inputs) owners.put(input.name, input);
            List<Json> steps = list(root, "steps");
            source = named.isEmpty() ? null : steps;
            memo = named.isEmpty() ? null : new HashMap<>();
            plan = new Plan(this, lengths, steps, guard);
            Set<String> names = new HashSet<>();
            for (Json json : list(root, "outputs")) outputs.add(output(json, names, guard));
            plan.release(outputs);
            guard.take(16 * plan.peak);
            for (String length : lengths.keySet()) nameAxes(length, guard.attempt());
            carried = root.get("verification") == null ? null : new Vectors(root.get("verification"), this, limits.carriedRows, guard);
            double most = limits.work + (double) OPERATIONS_PER_BYTE * root.b.length;
            double operations = carried == null ? 0 : carried.operations + carried.strings * guard.longest;
            if (operations > most)
                throw new Refused("Replaying the carried rows takes " + (long) operations + " operations, more than the limit of " + (long) most
                    + " (" + limits.work + ", and " + OPERATIONS_PER_BYTE + " for every byte of the document).");
        }
        private void readLengths(Json json) {
            for (Map.Entry<String, Json> entry : json.object("The document's lengths").members.entrySet()) {
                long length = entry.getValue().scalar("The length " + quote(entry.getKey())).integer(DType.I64);
                if (length < 1 || length > 1 << 20) throw new Refused("The length " + quote(entry.getKey()) + " is " + length + "; it is 1 to 2^20.");
                lengths.put(entry.getKey(), (int) length);
            }
        }
        /** Gives the axes of outputs that are as long as a named length, and grow with it, its name. */
        private void nameAxes(String length, Guard guard) {
            Map<String, Integer> longer = new TreeMap<>(lengths);
            longer.put(length, lengths.get(length) + 1);
            try {
                Plan other = new Plan(this, longer, source, guard);
                for (Output o : outputs) {
                    int[] dims = other.types.get(o.slot).dims;
                    for (int k = 0; k < Math.min(dims.length, o.axes.size()); k++)
                        if (lengths.get(length).equals(o.axes.get(k)) && dims[k] == lengths.get(length) + 1) o.axes.set(k, length);
                }
            } catch (Refused none) { } // no other length fits
        }
        /** The plan for given lengths. */
        private Plan plan(Map<String, Integer> given, Guard guard) {
            if (given.equals(lengths)) return plan;
            synchronized (plans) { return planned(given, guard); }
        }
        private Plan planned(Map<String, Integer> given, Guard guard) {
            Plan found = plans.get(given);
            long before = guard.left;
            if (found != null) return found;
            try {
                found = new Plan(this, given, source, guard);
            } catch (Refused e) {
                throw new Refused("Rows with the lengths " + given + " do not fit: " + e.getMessage());
            }
            found.release(outputs);
            if (before - guard.left <= limits.memory / PLANS / 8) plans.put(given, found);
            return found;
        }
        /** Format, version and ops; returns the ops. */
        private static List<String> header(Json root, Guard guard, Ops[] more) {
            String the = "The document", format = root.need("format", the).string("The document's format");
            if (!format.equals("modelport")) throw new Refused("The document has the format " + quote(format) + "; this reader reads \"modelport\".");
            version(root.need("version", the).string("The document's version"));
            List<String> requires = root.need("requires", the).strings("The document's requires", guard);
            StringBuilder unknown = new StringBuilder();
            Set<String> seen = new HashSet<>();
            for (String op : requires) {
                if (!seen.add(op)) throw new Refused("The document requires " + quote(op) + " twice; every op is listed once.");
                if (tableOf(op, more) == null && unknown.length() < 1000) unknown.append(unknown.length() == 0 ? "" : ", ").append(quote(op));
            }
            if (unknown.length() > 0) throw new Unsupported("The document requires ops that this reader does not have: " + unknown + ".");
            root.only("The document", "format", "version", "requires", "lengths", "inputs", "steps", "outputs", "verification");
            return requires;
        }
        private static void version(String version) {
            int dot = version.indexOf('.');
            boolean good = dot > 0 && dot < version.length() - 1;
            for (int k = 0; good && k < version.length(); k++) good = k == dot || version.charAt(k) >= '0' && version.charAt(k) <= '9';
            if (!good) throw new Refused("The document has the version " + quote(version) + "; it is \"1.\" and a decimal number.");
            if (!version.startsWith("1.")) throw new Unsupported("The document has the version " + quote(version) + "; this reader reads version 1.");
        }
        private static List<Json> list(Json root, String key) {
            List<Json> items = root.need(key, "The document").objects("The document's " + key);
            if (items.isEmpty() && !key.equals("steps")) throw new Refused("The document has no " + key + "; at least one is needed.");
            return items;
        }
        private Input input(Json json, Set<String> named, Guard guard) {
            String number = "Input " + inputs.size(), inputName = json.need("name", number).string(number + " name"), where = "Input " + quote(inputName);
            json.only(where, "dtype", "shape", "missing", "features");
            DType dtype = DType.named(json.need("dtype", where).string(where + " dtype"), where);
            List<Object> axes = new ArrayList<>();
            Json shape = json.need("shape", where);
            for (Cursor c = shape.elements(where + " shape"); c.next() && shape.count <= limits.rank; ) {
                boolean text = c.kind() == '"';
                axes.add(text ? (Object) c.string(false) : (Object) (int) Math.min(Math.max(c.integer(DType.I64), -1), Integer.MAX_VALUE));
                if (text) named.add((String) axes.get(axes.size() - 1));
            }
            boolean accepted = dtype.isFloat() || dtype == DType.I64 || dtype == DType.BOOL || dtype == DType.STR;
            if (inputName.isEmpty() || shape.count > limits.rank || axes.contains(-1) || axes.contains("") || !accepted)
                throw new Refused(where + " is " + dtype + axes + "; a name, f64, f32, i64, bool or str, and a shape of lengths and names are needed.");
            String missing = json.get("missing") == null ? "error" : json.get("missing").string(where + " missing");
            if (!(missing.equals("error") || missing.equals("nan") && dtype.isFloat() || missing.equals("null") && dtype == DType.STR))
                throw new Refused(where + " has missing " + quote(missing) + "; it is \"error\", or \"nan\" for floats, or \"null\" for str.");
            List<String> features = json.get("features") == null ? null : json.get("features").strings(where + " features", guard);
            if (features != null && (!axes.equals(Collections.singletonList(features.size())) || new HashSet<>(features).size() != features.size()))
                throw new Refused(where + " has " + features.size() + " features for " + dtype + axes + "; a matrix has one for each column, all different.");
            return new Input(inputName, dtype, axes, missing, features);
        }
        private Output output(Json json, Set<String> names, Guard guard) {
            String number = "Output " + outputs.size(), outputName = json.need("name", number).string(number + " name"), where = "Output " + quote(outputName);
            json.only(where, "from", "dtype", "role", "classes");
            String source = json.need("from", where).string(where + " from"), role = json.need("role", where).string(where + " role");
            DType dtype = DType.named(json.need("dtype", where).string(where + " dtype"), where);
            Integer slot = plan.slots.get(source);
            if (slot == null || plan.types.get(slot).dtype != dtype)
                throw new Refused(where + " comes from " + quote(source) + ", which is " + (slot == null ? "not defined." : plan.types.get(slot) + "."));
            Type type = plan.types.get(slot);
            if (outputName.isEmpty() || !names.add(outputName) || !ROLES.contains(role))
                throw new Refused(where + " has an empty name, that of another output, or the unknown role " + quote(role) + "; roles are " + ROLES + ".");
            List<Object> classes = json.get("classes") == null ? null : classes(json.get("classes"), where, guard);
            if (classes != null && type.rank > 0 && classes.size() != type.last)
                throw new Refused(where + " has " + classes.size() + " classes for " + type + "; they name its last axis.");
            List<Object> axes = new ArrayList<>();
            for (int length : type.dims) axes.add(length);
            return new Output(outputName, dtype, axes, slot, role, classes);
        }
        private static List<Object> classes(Json json, String where, Guard guard) {
            List<Object> classes = new ArrayList<>();
            guard.take(64L * json.count + 2L * (json.end - json.start));
            for (Cursor c = json.elements(where + " classes"); c.next(); ) {
                char kind = c.kind();
                classes.add(kind == 't' || kind == 'f' ? (Object) c.bool() : kind == '0' ? (Object) c.integer(DType.I64) : c.string(false));
                if (classes.get(0).getClass() != classes.get(classes.size() - 1).getClass())
                    throw new Refused(where + " has classes of several kinds; they are all strings, all integers or all booleans.");
            }
            return Collections.unmodifiableList(classes);
        }
        private Model(Model model, int threads) {
            this.threads = threads; limits = model.limits; more = model.more; requires = model.requires; name = model.name; source = model.source;
            memo = model.memo; plan = model.plan; carried = model.carried; plans = model.plans;
            inputs.addAll(model.inputs); outputs.addAll(model.outputs); lengths.putAll(model.lengths); owners.putAll(model.owners);
        }
        /** The same model, which gives batches of 4,096 rows and more to so many threads at most; the answers keep their bits. */
        public Model threads(int most) {
            if (most < 1) throw new Refused("The model is given " + most + " threads; at least one is needed.");
            return new Model(this, most);
        }
        public List<Input> inputs() { return Collections.unmodifiableList(inputs); }
        public List<Output> outputs() { return Collections.unmodifiableList(outputs); }
        /** The ops that the model uses. */
        public List<String> requires() { return requires; }
        /** Predicts rows of a model that has one matrix: predict(row), predict(row, row) or predict(rows). */
        public Map<String, Tensor> predict(double[]... rows) {
            if (inputs.size() != 1) throw new Refused("The model has " + inputs.size() + " inputs; give them by name.");
            return predict(Collections.singletonMap(inputs.get(0).name, rows));
        }
        /** Predicts rows of a model that has one input, of any shape: predict(Tensor.of(pixels).shaped(2, 3, 32, 32)). */
        public Map<String, Tensor> predict(Tensor rows) {
            if (inputs.size() != 1) throw new Refused("The model has " + inputs.size() + " inputs; give them by name.");
            return predict(Collections.singletonMap(inputs.get(0).name, rows));
        }
        /**
         * Predicts columns by name: for each input a Tensor, a primitive array, a matrix, String[] or a List. A matrix with features may be
         * given as one column for each feature instead. Integers and booleans (true = 1) are accepted where floats are expected.
         */
        public Map<String, Tensor> predict(Map<String, ?> columns) {
            Set<String> unused = new HashSet<>(columns.keySet());
            Object[] bound = new Object[inputs.size()];
            Map<String, Integer> given = new TreeMap<>();
            int rows = -1;
            for (int k = 0; k < bound.length; k++) {
                Input input = inputs.get(k);
                boolean apart = !columns.containsKey(input.name) && input.features != null;
                Tensor t = apart ? gather(input, columns, unused) : bind(input, columns.get(input.name), given);
                unused.remove(input.name);
                if (rows >= 0 && t.rows() != rows)
                    throw new Refused("Input " + quote(input.name) + " has " + t.rows() + " rows, those before it have " + rows + "; give equally many.");
                rows = t.rows();
                bound[k] = t.data;
                if (input.missing.equals("error")) refuseMissing(input, t);
            }
            for (String key : unused) throw new Refused("The input " + quote(key) + " is not one of the model's; remove it.");
            for (String length : lengths.keySet()) if (!given.containsKey(length)) given.put(length, lengths.get(length)); // there are no rows
            Guard guard = new Guard(limits);
            return evaluate(plan(given, guard), bound, rows, guard);
        }
        /** Predicts records: one map for each row, from the name of an input of one column, or of a feature, to its value or null. */
        public Map<String, Tensor> predictRecords(List<? extends Map<String, ?>> records) {
            Map<String, Object> columns = new LinkedHashMap<>();
            for (Input input : inputs) {
                if (input.features == null && !input.axes.isEmpty() && !input.axes.equals(ONE))
                    throw new Refused("Input " + quote(input.name) + " is a matrix without features; records cannot name its columns.");
                for (String key : input.features != null ? input.features : Collections.singletonList(input.name)) columns.put(key, new ArrayList<Object>());
            }
            for (Map<String, ?> record : records) {
                for (String key : record.keySet())
                    if (!columns.containsKey(key)) throw new Refused("The column " + quote(key) + " of a record is not one of the model's; remove it.");
                for (Map.Entry<String, Object> column : columns.entrySet()) {
                    if (!record.containsKey(column.getKey())) throw new Refused("A record lacks " + quote(column.getKey()) + "; null is a missing value.");
                    @SuppressWarnings("unchecked") List<Object> cells = (List<Object>) column.getValue();
                    cells.add(record.get(column.getKey()));
                }
            }
            return predict(columns);
        }
        /** A matrix from one column per feature. */
        private static Tensor gather(Input input, Map<String, ?> columns, Set<String> unused) {
            int w = input.features.size(), rows = 0;
            Object[] data = new Object[w];
            for (int j = 0; j < w; j++) {
                String key = input.features.get(j), where = "Column " + quote(key);
                if (!columns.containsKey(key))
                    throw new Refused("Input " + quote(input.name) + " is missing, and so is its column " + quote(key) + "; give one value per row.");
                Tensor t = Tensor.from(columns.get(key), input.dtype, where);
                rows = j == 0 ? t.rows() : rows;
                if (t.size() != rows || t.rows() != rows) throw new Refused(where + " has " + t.size() + " values; " + rows + " rows are given before it.");
                data[j] = t.as(input.dtype, where);
                unused.remove(key);
            }
            Object matrix = input.dtype.allocate(elements(rows, w));
            for (int j = 0; j < w; j++) for (int r = 0; r < rows; r++) System.arraycopy(data[j], r, matrix, r * w + j, 1);
            return new Tensor(input.dtype, matrix, rows, w);
        }
        private static Tensor bind(Input input, Object given, Map<String, Integer> lengths) {
            String where = "Input " + quote(input.name);
            if (given == null) throw new Refused(where + " is missing; give one value per row.");
            Tensor t = Tensor.from(given, input.dtype, where);
            boolean column = t.shape.length == 1 && input.axes.equals(ONE), none = t.shape.length > 1 && t.shape[0] == 0 && !input.axes.isEmpty();
            if (!column && !none) input.fit(where, input.dtype, t.shape, lengths);
            return new Tensor(input.dtype, t.as(input.dtype, where), t.shape);
        }
        private static void refuseMissing(Input input, Tensor t) {
            for (int k = 0, n = t.dtype.isFloat() || t.dtype == DType.STR ? t.size() : 0; k < n; k++)
                if (t.dtype == DType.STR ? t.strings()[k] == null : t.doubles()[k] != t.doubles()[k])
                    throw new Refused("Input " + quote(input.name) + " has a missing value in row " + k / t.width() + "; it is not accepted.");
        }
        /** Runs the steps block by block, so that memory stays bounded. */
        private Map<String, Tensor> evaluate(Plan plan, Object[] bound, int rows, Guard guard) {
            Map<String, Tensor> result = new LinkedHashMap<>();
            for (Output o : outputs) {
                Type type = plan.types.get(o.slot);
                guard.take(8L * rows * type.width);
                result.put(o.name, new Tensor(o.dtype, o.dtype.allocate(elements(rows, type.width)), type.shape(rows)));
            }
            int crew = Math.min(threads, rows / THREAD_ROWS), share = crew > 1 ? (rows + crew - 1) / crew : rows;
            int block = (int) Math.max(1, Math.min(Math.min(BLOCK_ROWS, share), Math.min(BLOCK_ELEMENTS, limits.memory / 64) / Math.max(1, plan.peak)));
            guard.take(16L * Math.max(1, crew) * Math.min(block, rows) * plan.peak);
            if (crew > 1) evaluateTogether(plan, bound, rows, block, crew, result);
            else for (int first = 0; first < rows; first += block) evaluate(plan, bound, rows, first, block, result);
            return result;
        }
        /** One block of rows; it is written to its own part of the result. */
        private void evaluate(Plan plan, Object[] bound, int rows, int first, int block, Map<String, Tensor> result) {
            Frame f = new Frame(Math.min(block, rows - first), first, new Object[plan.types.size()]);
            for (int k = 0; k < bound.length; k++) f.values[k] = f.rows == rows ? bound[k] : slice(bound[k], plan.types.get(k), f);
            for (int k = 0; k < plan.steps.size(); k++) {
                f.values[bound.length + k] = plan.steps.get(k).run(f);
                for (int slot : plan.free.get(k)) f.values[slot] = null;
            }
            for (Output o : outputs) {
                int width = plan.types.get(o.slot).width;
                System.arraycopy(f.values[o.slot], 0, result.get(o.name).data, first * width, f.rows * width);
            }
        }
        /** All blocks, each by the next thread that is free; of several failures the one of the first block is thrown, as with one thread. */
        private void evaluateTogether(final Plan plan, final Object[] bound, final int rows, final int block, int crew, final Map<String, Tensor> result) {
            final AtomicInteger next = new AtomicInteger();
            final Throwable[] failures = new Throwable[(rows + block - 1) / block];
            Thread[] helpers = new Thread[crew - 1];
            Runnable work = new Runnable() {
                @Override public void run() {
                    for (int k = next.getAndIncrement(); k < failures.length; k = next.getAndIncrement()) {
                        try {
                            evaluate(plan, bound, rows, k * block, block, result);
                        } catch (RuntimeException | Error e) {
                            failures[k] = e;
                            next.set(failures.length);
                        }
                    }
                }
            };
            for (int k = 0; k < helpers.length; k++) (helpers[k] = new Thread(work, "modelport")).start();
            work.run();
            boolean interrupted = false;
            for (Thread helper : helpers) while (helper.isAlive())
                try { helper.join(); } catch (InterruptedException e) { interrupted = true; }
            if (interrupted) Thread.currentThread().interrupt();
            for (Throwable failure : failures) {
                if (failure instanceof Error) throw (Error) failure;
                if (failure != null) throw (RuntimeException) failure;
            }
        }
        private static Object slice(Object data, Type type, Frame f) {
            Object part = type.dtype.allocate(f.rows * type.width);
            System.arraycopy(data, f.first * type.width, part, 0, f.rows * type.width);
            return part;
        }
        /** Reads {"inputs": {name: tensor}}, predicts, and returns the outputs (docs/format.md, section 11). */
        public Map<String, Tensor> predictJson(byte[] request) {
            Guard guard = new Guard(limits);
            Json root = Parser.parse(request, "The request", guard);
            root.only("The request", "inputs");
            Map<String, Tensor> columns = new LinkedHashMap<>();
            Map<String, Integer> given = new TreeMap<>();
            for (Map.Entry<String, Json> entry : root.need("inputs", "The request").object("The request's inputs").members.entrySet()) {
                String key = entry.getKey(), where = "Input " + quote(key);
                Input owner = owners.get(key);
                if (owner == null) throw new Refused("The input " + quote(key) + " is not one of the model's; remove it.");
                Tensor t = Tensor.read(entry.getValue(), owner.dtype, where, guard);
                if (owner.name.equals(key)) owner.fit(where, t.dtype, t.shape, given);
                else if (t.dtype != owner.dtype || t.shape.length != 1)
                    throw new Refused(where + " is " + t.dtype + Arrays.toString(t.shape) + "; one " + owner.dtype + " for each row is needed.");
                columns.put(key, t);
            }
            return predict(columns);
        }
        /** Replays the vectors that the document carries. */
        public List<Check> verify() {
            if (carried == null) throw new Refused("The document carries no verification, so nothing proves its answers; add vectors, or do without a replay.");
            return carried.replay(this);
        }
        /** Replays the vectors of another file: a `verification` object. */
        public List<Check> verify(byte[] vectors) {
            Guard guard = new Guard(limits);
            return new Vectors(Parser.parse(vectors, "The vectors file", guard), this, Integer.MAX_VALUE, guard).replay(this);
        }
        /** Name, inputs, outputs and ops as JSON. */
        public String info() {
            List<Object> in = new ArrayList<>(), out = new ArrayList<>();
            for (Input i : inputs)
                in.add(object("name", i.name, "dtype", i.dtype.toString(), "shape", i.shape(), "missing", i.missing, "features", i.features));
            for (Output o : outputs) out.add(object("name", o.name, "dtype", o.dtype.toString(), "shape", o.shape(), "role", o.role, "classes", o.classes));
            return json(object("name", name, "inputs", in, "outputs", out, "ops", requires));
        }
        private static Map<String, Object> object(Object... pairs) {
            Map<String, Object> object = new LinkedHashMap<>();
            for (int k = 0; k < pairs.length; k += 2) if (pairs[k + 1] != null) object.put((String) pairs[k], pairs[k + 1]);
            return object;
        }
    }
    /** Writes predictions as {"outputs": {name: tensor}} (docs/format.md, section 11). */
    public static void writeOutputs(Map<String, Tensor> outputs, Appendable out) throws IOException {
        writeJson(Collections.singletonMap("outputs", outputs), out);
    }
    /** Sets of recorded rows with the original model's answers, and the tolerance of each output. */
    private static final class Vectors {
        private final List<Map<String, Tensor>> inputs = new ArrayList<>(), expected = new ArrayList<>(); // of every set
        private final Map<String, Tolerance> tolerance = new HashMap<>();
        private double operations, strings; // that the replay takes, and goes through
        Vectors(Json json, Model model, int mostRows, Guard guard) {
            String where = "The verification";
            json.only(where, "source", "inputs", "outputs", "tolerance", "rows", "more");
            String source = json.need("source", where).string("The verification's source");
            if (!source.equals("synthetic") && !source.equals("sample"))
                throw new Refused("The verification has the source " + quote(source) + "; it is \"synthetic\" or \"sample\".");
            Json tolerances = json.need("tolerance", where);
            for (Output o : model.outputs) {
                Tolerance t = Tolerance.read(tolerances.need(o.name, "The verification's tolerance"), "The tolerance of " + quote(o.name));
                tolerance.put(o.name, o.dtype.isFloat() ? t : Tolerance.EXACT);
            }
            if (tolerances.members.size() > tolerance.size()) throw new Refused("The verification has a tolerance of an unknown output; remove it.");
            List<Json> sets = new ArrayList<>(Collections.singletonList(json));
            if (json.get("more") != null) sets.addAll(json.get("more").objects("The verification's more"));
            if (json.get("more") != null && sets.size() == 1) throw new Refused("The verification's more is empty; leave it out.");
            for (Json set : sets) {
                if (set != json) set.only(where, "inputs", "outputs", "rows");
                mostRows -= readSet(set, set == json ? where : where + "'s set " + inputs.size(), model, mostRows, guard);
            }
        }
        /** Reads one set; returns its number of rows. */
        private int readSet(Json json, String where, Model model, int mostRows, Guard guard) {
            Json in = json.need("inputs", where), out = json.need("outputs", where);
            Map<String, Tensor> given = new LinkedHashMap<>(), answers = new LinkedHashMap<>();
            Map<String, Integer> lengths = new TreeMap<>();
            for (Input i : model.inputs) given.put(i.name, tensor(in, where + "'s inputs", i.name, i.dtype, guard));
            for (Input i : model.inputs) i.fit(where + "'s inputs " + quote(i.name), given.get(i.name).dtype, given.get(i.name).shape, lengths);
            Plan plan = model.plan(lengths, guard);
            int rows = given.get(model.inputs.get(0).name).rows();
            for (Output o : model.outputs) {
                Tensor t = tensor(out, where + "'s outputs", o.name, o.dtype, guard);
                Type type = plan.types.get(o.slot);
                if (t.dtype != o.dtype || !Arrays.equals(t.shape, type.shape(rows)))
                    throw new Refused(where + "'s outputs " + quote(o.name) + " is " + t.dtype + Arrays.toString(t.shape) + "; " + rows + " rows of " + type
                        + " are needed.");
                answers.put(o.name, t);
            }
            for (Tensor t : given.values()) if (t.rows() != rows) throw new Refused(where + " has inputs of " + rows + " and of " + t.rows() + " rows.");
            if (in.members.size() > given.size() || out.members.size() > answers.size())
                throw new Refused(where + " names an input or an output that the document does not have; remove it.");
            if (rows < 1 || rows > mostRows) throw new Refused(where + " has " + rows + " rows; from 1 to " + mostRows + " are needed, in all sets.");
            if (json.get("rows") != null && json.get("rows").strings(where + "'s rows", guard).size() != rows)
                throw new Refused(where + " says why for another number of rows than its " + rows + "; say it for each.");
            operations += rows * plan.operations; strings += rows * plan.strings;
            inputs.add(given); expected.add(answers); return rows;
        }
        private static Tensor tensor(Json json, String all, String key, DType dtype, Guard guard) {
            return Tensor.read(json.need(key, all), dtype, all + " " + quote(key), guard);
        }
        List<Check> replay(Model model) {
            List<Check> checks = new ArrayList<>();
            for (int k = 0; k < inputs.size(); k++) {
                Map<String, Tensor> got = model.predict(inputs.get(k));
                for (Output o : model.outputs) checks.add(compare(o.name, got.get(o.name), expected.get(k).get(o.name), tolerance.get(o.name)));
            }
            return checks;
        }
        /** Element by element; NaN never passes by accident, because only what holds passes. */
        private static Check compare(String name, Tensor got, Tensor expected, Tolerance tolerance) {
            double worst = 0.0;
            for (int k = 0; k < got.size(); k++) {
                Object g = got.get(k), e = expected.get(k);
                boolean holds = got.dtype.isFloat() ? tolerance.holds((Double) g, (Double) e, got.dtype) : same(g, e);
                if (!holds)
                    return new Check(name, false, "differs from the original in row " + k / expected.width() + ", column " + k % expected.width() + ": got "
                        + spell(g) + ", expected " + spell(e) + " (" + tolerance + ").");
                double difference = got.dtype.isFloat() ? Math.abs((Double) g - (Double) e) : 0.0;
                worst = difference > worst ? difference : worst;
            }
            return new Check(name, true, "agrees in " + got.rows() + " rows (" + tolerance + "), largest difference " + worst + ".");
        }
        private static String spell(Object value) { return value instanceof String ? quote((String) value) : "" + value; }
    }
    /** How far an output may lie from the original's. */
    private static final class Tolerance {
        static final Tolerance EXACT = new Tolerance(0, 0, 0);
        private final double atol, rtol, ulp;
        Tolerance(double atol, double rtol, double ulp) { this.atol = atol; this.rtol = rtol; this.ulp = ulp; }
        static Tolerance read(Json json, String where) {
            if (json.kind == '"' && json.string(where).equals("exact")) return EXACT;
            boolean ulp = json.kind == '{' && json.get("ulp") != null;
            if (json.kind != '{' || json.get("atol") == null != ulp || json.get("rtol") == null != ulp)
                throw new Refused(where + " is none of \"exact\", {\"atol\", \"rtol\"} and {\"ulp\"}.");
            json.only(where, ulp ? new String[] {"ulp"} : new String[] {"atol", "rtol"});
            if (ulp && json.get("ulp").kind == '"') throw new Refused(where + " is a string of digits; it is an integer from 0 to 2^53-1.");
            Tolerance t = ulp ? new Tolerance(0, 0, json.get("ulp").scalar(where).integer(DType.I64))
                : new Tolerance(json.get("atol").scalar(where).number(DType.F64), json.get("rtol").scalar(where).number(DType.F64), 0);
            boolean good = t.atol >= 0 && t.rtol >= 0 && t.ulp >= 0 && Math.max(t.atol, t.rtol) <= Double.MAX_VALUE;
            if (!good) throw new Refused(where + " is negative or not finite.");
            return t;
        }
        boolean exact() { return atol == 0 && rtol == 0 && ulp == 0; }
        boolean holds(double got, double expected, DType dtype) {
            if (got == expected || got != got && expected != expected) return true;
            boolean finite = Math.abs(got) <= Double.MAX_VALUE && Math.abs(expected) <= Double.MAX_VALUE;
            return finite && (ulp > 0 ? distance(got, expected, dtype) <= ulp : Math.abs(got - expected) <= atol + rtol * Math.abs(expected));
        }
        /** How many numbers of the dtype apart. */
        private static double distance(double a, double b, DType dtype) {
            long i = dtype == DType.F32 ? Float.floatToRawIntBits((float) Math.abs(a)) : Double.doubleToRawLongBits(Math.abs(a));
            long j = dtype == DType.F32 ? Float.floatToRawIntBits((float) Math.abs(b)) : Double.doubleToRawLongBits(Math.abs(b));
            return a < 0 == b < 0 ? Math.abs(i - j) : (double) i + (double) j;
        }
        @Override public String toString() { return exact() ? "exact" : ulp > 0 ? (long) ulp + " ulp" : "atol " + atol + ", rtol " + rtol; }
    }
}
