// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// modelport for Java: runs modelport JSON artifacts, format 1 (docs/format.md), without any machine-learning framework.
// One file, Java 8, the standard library only: paste it into a project and add a package line. No reflection, no locale,
// no network, no file system.
//
//     Modelport.Model model = Modelport.load(bytes);                          // replays the vectors the artifact carries
//     double[][] p = model.predict(new double[][] {{5.1, 3.5}}).get("probability").matrix();
//
// Sections: 1 Errors, 2 JSON, 3 Tensors, 4 Special functions, 5 Ops, 6 Trees, 7 Model. Numbers of both float types are held in
// double[] (an f32 is a double that a float can hold), integers and booleans in long[], strings in String[]; rows are contiguous.

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
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

/** Loads modelport JSON artifacts and evaluates them. A loaded {@link Model} is immutable and may be shared by threads. */
public final class Modelport {
    private Modelport() { }

    /** Loads a document and replays the vectors it carries; refuses it when one answer differs. */
    public static Model load(byte[] document) {
        return load(document, new Options());
    }

    /** Loads a document held in a string. */
    public static Model load(String document) {
        return load(utf8(document), new Options());
    }

    /** Loads a document under the caller's options. */
    public static Model load(byte[] document, Options options) {
        Guard guard = new Guard(options.limits);
        Json root = Parser.parse(document, "The document", guard);
        return new Loader(root, guard).load(options.replay);
    }

    /** How to load: with the carried vectors replayed (the default) or not, and within which limits. */
    public static final class Options {
        final boolean replay;
        final Limits limits;

        public Options() {
            this(true, new Limits());
        }

        private Options(boolean replay, Limits limits) {
            this.replay = replay;
            this.limits = limits;
        }

        /** Do not replay vectors, and accept a document that carries none. */
        public Options withoutReplay() {
            return new Options(false, limits);
        }

        public Options withLimits(Limits changed) {
            return new Options(replay, changed.copy());
        }
    }

    /** What a document may cost at most (docs/format.md, section 5). Change a field before loading to raise a limit. */
    public static final class Limits {
        public long documentBytes = 512L << 20;
        public int depth = 16;
        public int steps = 10_000;
        public int rank = 6;
        public long tensorElements = 1L << 28;
        public long rowElements = 1L << 20;
        public long totalRowElements = 1L << 22;
        public int carriedRows = 4096;
        /** Bytes that one load or one prediction may allocate; half of the heap by default. */
        public long memory = Runtime.getRuntime().maxMemory() / 2;

        Limits copy() {
            Limits c = new Limits();
            c.documentBytes = documentBytes;
            c.depth = depth;
            c.steps = steps;
            c.rank = rank;
            c.tensorElements = tensorElements;
            c.rowElements = rowElements;
            c.totalRowElements = totalRowElements;
            c.carriedRows = carriedRows;
            c.memory = memory;
            return c;
        }
    }

    /** The limits of one load or prediction, and what is left of its memory: asked before anything large is allocated. */
    private static final class Guard {
        final Limits limits;
        private long left;

        Guard(Limits limits) {
            this.limits = limits;
            this.left = limits.memory;
        }

        void take(long bytes) {
            if (bytes > left) {
                throw new Refused("More than the " + (limits.memory >> 20) + " MB of memory that this reader may use would be needed; "
                    + "raise Limits.memory and the heap of the program (-Xmx).");
            }
            left -= bytes;
        }
    }

    // =================================================================================================================
    // 1 Errors
    // =================================================================================================================

    /** Base of the three errors; the message is one sentence, {@link #exitCode} is what a command line answers with. */
    public abstract static class ModelportException extends RuntimeException {
        private static final long serialVersionUID = 1L;
        public final int exitCode;

        ModelportException(String sentence, int exitCode) {
            super(sentence);
            this.exitCode = exitCode;
        }
    }

    /** The artifact, or the rows, are not acceptable. */
    public static final class Refused extends ModelportException {
        private static final long serialVersionUID = 1L;

        Refused(String sentence) {
            super(sentence, 2);
        }
    }

    /** The numbers are not those of the original model. */
    public static final class Mismatch extends ModelportException {
        private static final long serialVersionUID = 1L;

        Mismatch(String sentence) {
            super(sentence, 1);
        }
    }

    /** The document needs an op or a version that this reader does not have. */
    public static final class Unsupported extends ModelportException {
        private static final long serialVersionUID = 1L;

        Unsupported(String sentence) {
            super(sentence, 3);
        }
    }

    /** A name as it appears in a sentence: in quotes, on one line, not longer than 60 characters. */
    private static String quote(String name) {
        StringBuilder text = new StringBuilder();
        try {
            writeString(name.length() > 60 ? name.substring(0, 60) + "..." : name, text);
        } catch (IOException impossible) {
            throw new IllegalStateException(impossible);
        }
        return text.toString();
    }

    // =================================================================================================================
    // 2 JSON
    // =================================================================================================================

    /** The kinds of JSON values, and how a sentence calls them. */
    private enum Kind {
        OBJECT("an object"), ARRAY("an array"), STRING("a string"), NUMBER("a number"), TRUE("true"), FALSE("false"), NULL("null");

        final String called;

        Kind(String called) {
            this.called = called;
        }

        /** The kind of the value that begins with this byte; null when none does. */
        static Kind of(int first) {
            switch (first) {
                case '{': return OBJECT;
                case '[': return ARRAY;
                case '"': return STRING;
                case 't': return TRUE;
                case 'f': return FALSE;
                case 'n': return NULL;
                default: return first == '-' || first >= '0' && first <= '9' ? NUMBER : null;
            }
        }
    }

    /**
     * A checked JSON value: where it stands in the text. Scalars and the elements of an array are decoded when they are asked for, so
     * that large arrays cost nothing until their dtype is known and numbers keep their spelling. Only an object, and an array that
     * begins with an object, have children.
     */
    private static final class Json {
        final byte[] b;
        final Kind kind;
        final int start;
        final int end;
        final int count;
        final Map<String, Json> members;
        final List<Json> items;

        Json(byte[] b, Kind kind, int start, int end, int count, Map<String, Json> members, List<Json> items) {
            this.b = b;
            this.kind = kind;
            this.start = start;
            this.end = end;
            this.count = count;
            this.members = members;
            this.items = items;
        }

        Json get(String key) {
            return members.get(key);
        }

        /** The members, when this is an object. */
        Json object(String where) {
            if (kind != Kind.OBJECT) {
                throw new Refused(where + " is " + kind.called + "; an object is needed.");
            }
            return this;
        }

        Json need(String key, String where) {
            Json value = object(where).get(key);
            if (value == null) {
                throw new Refused(where + " lacks the key " + quote(key) + "; it is required.");
            }
            return value;
        }

        /** Refuses every key but those listed and those that evaluators ignore. */
        void only(String where, String... keys) {
            for (String key : object(where).members.keySet()) {
                if (!ignored(key) && !Arrays.asList(keys).contains(key)) {
                    throw new Refused(where + " has the unknown key " + quote(key) + "; remove it or begin it with x-.");
                }
            }
        }

        static boolean ignored(String key) {
            return key.startsWith("x-") || key.equals("name") || key.equals("doc") || key.equals("provenance");
        }

        String string(String where) {
            if (kind != Kind.STRING) {
                throw new Refused(where + " is " + kind.called + "; a string is needed.");
            }
            return text(b, start, end);
        }

        /** A cursor on this one value. */
        Cursor scalar(String where) {
            return new Cursor(b, start, where);
        }

        /** A cursor before the first element of this array. */
        Cursor elements(String where) {
            if (kind != Kind.ARRAY) {
                throw new Refused(where + " is " + kind.called + "; an array is needed.");
            }
            return new Cursor(b, start + 1, where);
        }

        List<String> strings(String where) {
            List<String> list = new ArrayList<>();
            for (Cursor c = elements(where); c.next(); ) {
                list.add(c.string(false));
            }
            return list;
        }

        /** The children of an array of objects. */
        List<Json> objects(String where) {
            if (kind != Kind.ARRAY || items == null && count > 0) {
                throw new Refused(where + " is " + (kind == Kind.ARRAY ? "an array of something else" : kind.called) + "; a list of objects is needed.");
            }
            return items == null ? Collections.<Json>emptyList() : items;
        }

        /** The text of the string literal b[start..end), quotes included, whose escapes have been checked. */
        static String text(byte[] b, int start, int end) {
            int from = start + 1;
            int to = end - 1;
            int escape = from;
            while (escape < to && b[escape] != '\\') {
                escape++;
            }
            if (escape == to) {
                return new String(b, from, to - from, StandardCharsets.UTF_8);
            }
            StringBuilder text = new StringBuilder(to - from);
            while (from < to) {
                text.append(new String(b, from, escape - from, StandardCharsets.UTF_8));
                from = escape;
                if (from < to) {
                    text.append(b[from + 1] == 'u' ? (char) hex(b, from + 2) : unescape(b[from + 1]));
                    from += b[from + 1] == 'u' ? 6 : 2;
                }
                escape = from;
                while (escape < to && b[escape] != '\\') {
                    escape++;
                }
            }
            return text.toString();
        }

        private static char unescape(byte letter) {
            switch (letter) {
                case 'b': return '\b';
                case 'f': return '\f';
                case 'n': return '\n';
                case 'r': return '\r';
                case 't': return '\t';
                default: return (char) letter;
            }
        }

        /** The four hexadecimal digits at i as a number; -1 when they are not all there. */
        static int hex(byte[] b, int i) {
            int value = 0;
            for (int k = 0; k < 4; k++) {
                int digit = i + k < b.length ? Character.digit(b[i + k], 16) : -1;
                if (digit < 0) {
                    return -1;
                }
                value = value << 4 | digit;
            }
            return value;
        }
    }

    /** The strict parser: one pass that checks everything JSON demands, plus duplicate keys, depth and overflow. */
    private static final class Parser {
        private static final int LONGEST_NUMBER = 4096;
        private static final int BYTES_PER_MEMBER = 256;
        private final byte[] b;
        private final String what;
        private final Guard guard;
        private int i;
        private int depth;

        private Parser(byte[] b, String what, Guard guard) {
            this.b = b;
            this.what = what;
            this.guard = guard;
        }

        /** The text as one value; `what` begins a sentence. */
        static Json parse(byte[] text, String what, Guard guard) {
            if (text.length > guard.limits.documentBytes) {
                throw new Refused(what + " has " + text.length + " bytes, more than the limit of " + guard.limits.documentBytes + ".");
            }
            guard.take(text.length);
            Parser p = new Parser(text, what, guard);
            if (text.length >= 3 && (text[0] & 255) == 0xEF && (text[1] & 255) == 0xBB && (text[2] & 255) == 0xBF) {
                throw p.fail("a byte-order mark stands before the text; save it without one");
            }
            p.space();
            Json value = p.value();
            p.space();
            if (p.i < text.length) {
                throw p.fail("something follows the end of the value; a document is one JSON value");
            }
            return value;
        }

        private Refused fail(String reason) {
            return new Refused(what + " is not acceptable JSON at byte " + i + ": " + reason + ".");
        }

        private int peek() {
            return i < b.length ? b[i] : -1;
        }

        private void space() {
            while (i < b.length && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t')) {
                i++;
            }
        }

        private Kind kind() {
            Kind kind = Kind.of(peek());
            if (kind == null) {
                int c = peek();
                throw fail(c == 'N' || c == 'I' ? "a bare NaN or Infinity is no JSON; write it in quotes"
                    : i == b.length ? "the text ends too early" : "no value begins here");
            }
            return kind;
        }

        private Json value() {
            int start = i;
            Kind kind = kind();
            if (kind == Kind.OBJECT) {
                return object();
            }
            if (kind == Kind.ARRAY) {
                return array();
            }
            scalar(kind);
            return new Json(b, kind, start, i, 0, null, null);
        }

        private void scalar(Kind kind) {
            switch (kind) {
                case STRING: string(); break;
                case NUMBER: number(); break;
                default: word(kind.called);
            }
        }

        private void word(String word) {
            for (int k = 0; k < word.length(); k++) {
                if (i + k >= b.length || b[i + k] != word.charAt(k)) {
                    throw fail("no value begins here");
                }
            }
            i += word.length();
        }

        private void open() {
            if (++depth > guard.limits.depth) {
                throw fail("the values are nested deeper than the limit of " + guard.limits.depth);
            }
            i++;
            space();
        }

        /** True when another element follows; false after the closing bracket. */
        private boolean more(char close) {
            space();
            if (peek() == close) {
                i++;
                depth--;
                return false;
            }
            if (peek() != ',') {
                throw fail(i == b.length ? "the text ends too early" : "a comma or '" + close + "' is needed here");
            }
            i++;
            space();
            return true;
        }

        private Json object() {
            int start = i;
            Map<String, Json> members = new LinkedHashMap<>();
            Set<String> seen = new HashSet<>();
            open();
            if (peek() == '}') {
                more('}');
                return new Json(b, Kind.OBJECT, start, i, 0, members, null);
            }
            do {
                if (peek() != '"') {
                    throw fail("a key in double quotes is needed here");
                }
                int at = i;
                string();
                guard.take(BYTES_PER_MEMBER + 4L * (i - at));
                String key = Json.text(b, at, i);
                if (!seen.add(lower(key))) {
                    throw fail("the key " + quote(key) + " stands twice in one object, or in two spellings that differ by case only");
                }
                space();
                if (peek() != ':') {
                    throw fail("a colon is needed after a key");
                }
                i++;
                space();
                members.put(key, value());
            } while (more('}'));
            return new Json(b, Kind.OBJECT, start, i, members.size(), members, null);
        }

        private Json array() {
            int start = i;
            int count = 0;
            List<Json> items = null;
            open();
            if (peek() == ']') {
                more(']');
                return new Json(b, Kind.ARRAY, start, i, 0, null, null);
            }
            if (peek() == '{') {
                items = new ArrayList<>();
            }
            do {
                Kind kind = kind();
                if (items != null) {
                    guard.take(BYTES_PER_MEMBER);
                    items.add(value());
                } else if (kind == Kind.OBJECT || kind == Kind.ARRAY) {
                    value();
                } else {
                    scalar(kind);
                }
                count++;
            } while (more(']'));
            return new Json(b, Kind.ARRAY, start, i, count, null, items);
        }

        /** A to Z lowered, and nothing else. */
        private static String lower(String key) {
            char[] c = null;
            for (int k = 0; k < key.length(); k++) {
                if (key.charAt(k) >= 'A' && key.charAt(k) <= 'Z') {
                    c = c == null ? key.toCharArray() : c;
                    c[k] += 'a' - 'A';
                }
            }
            return c == null ? key : new String(c);
        }

        private void number() {
            int start = i;
            i += peek() == '-' ? 1 : 0;
            int leading = i;
            int digits = digits();
            if (digits > 1 && b[leading] == '0') {
                throw fail("a number begins with a needless zero");
            }
            boolean large = digits > 300;
            if (peek() == '.') {
                i++;
                digits();
            }
            if (peek() == 'e' || peek() == 'E') {
                i++;
                i += peek() == '+' || peek() == '-' ? 1 : 0;
                large |= digits() > 2 || digits > 200;
            }
            if (i - start > LONGEST_NUMBER) {
                throw fail("a number has more than " + LONGEST_NUMBER + " characters");
            }
            if (large && Double.isInfinite(Double.parseDouble(new String(b, start, i - start, StandardCharsets.ISO_8859_1)))) {
                throw fail("a number overflows a 64-bit float; infinity is written \"Infinity\"");
            }
        }

        private int digits() {
            int start = i;
            while (i < b.length && b[i] >= '0' && b[i] <= '9') {
                i++;
            }
            if (i == start) {
                throw fail("a digit is needed here");
            }
            return i - start;
        }

        private void string() {
            i++;
            while (true) {
                int c = peek();
                if (c == '"') {
                    i++;
                    return;
                }
                if (c == '\\') {
                    escape();
                } else if (c >= ' ') {
                    i++;
                } else if (i == b.length) {
                    throw fail("the text ends inside a string");
                } else if (c >= 0) {
                    throw fail("a control character stands in a string; write it as an escape");
                } else {
                    i += sequence();
                }
            }
        }

        private void escape() {
            int letter = i + 1 < b.length ? b[i + 1] : -1;
            if (letter != 'u') {
                if (letter < 0 || "\"\\/bfnrt".indexOf(letter) < 0) {
                    throw fail("an unknown escape stands in a string");
                }
                i += 2;
                return;
            }
            int unit = Json.hex(b, i + 2);
            if (unit < 0) {
                throw fail("\\u needs four hexadecimal digits");
            }
            i += 6;
            if (unit >= 0xD800 && unit < 0xE000) {
                boolean paired = unit < 0xDC00 && peek() == '\\' && i + 1 < b.length && b[i + 1] == 'u';
                int second = paired ? Json.hex(b, i + 2) : -1;
                if (second < 0xDC00 || second > 0xDFFF) {
                    throw fail("half of a surrogate pair stands in a string");
                }
                i += 6;
            }
        }

        /** The length of the UTF-8 sequence at i (2 to 4), checked: no overlong form, no surrogate, nothing above U+10FFFF. */
        private int sequence() {
            int c = b[i] & 255;
            int length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
            int code = c & (0xFF >> (length + 1));
            boolean good = c >= 0xC2 && c <= 0xF4 && i + length <= b.length;
            for (int k = 1; good && k < length; k++) {
                good = (b[i + k] & 0xC0) == 0x80;
                code = code << 6 | b[i + k] & 0x3F;
            }
            int least = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
            if (!good || code < least || code > 0x10FFFF || code >= 0xD800 && code <= 0xDFFF) {
                throw fail("the bytes are not UTF-8");
            }
            return length;
        }
    }

    /** Decodes the elements of a checked array one after the other, without an object for each. */
    private static final class Cursor {
        private static final long SAFE = (1L << 53) - 1;
        private static final double[] TEN = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
            1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
        private final byte[] b;
        private final String where;
        private int i;

        Cursor(byte[] b, int i, String where) {
            this.b = b;
            this.i = i;
            this.where = where;
        }

        /** Moves to the next element; false at the closing bracket, which is passed. */
        boolean next() {
            while (b[i] == ' ' || b[i] == ',' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
                i++;
            }
            if (b[i] == ']') {
                i++;
                return false;
            }
            return true;
        }

        Kind kind() {
            return Kind.of(b[i]);
        }

        /** Enters the array that is the current element; its own next() then moves through it. */
        void enter() {
            if (b[i] != '[') {
                throw needed("an array");
            }
            i++;
        }

        private Refused needed(String what) {
            return new Refused(where + " holds " + kind().called + "; " + what + " is needed there.");
        }

        double number(DType dtype) {
            double value = b[i] == '"' ? named() : decimal(dtype);
            if (dtype != DType.F32) {
                return value;
            }
            float rounded = (float) value;
            if (Float.isInfinite(rounded) && !Double.isInfinite(value)) {
                throw new Refused(where + " holds " + value + ", which overflows a 32-bit float; infinity is written \"Infinity\".");
            }
            return rounded;
        }

        private double named() {
            String name = literal();
            switch (name) {
                case "NaN": return Double.NaN;
                case "Infinity": return Double.POSITIVE_INFINITY;
                case "-Infinity": return Double.NEGATIVE_INFINITY;
                default: throw new Refused(where + " holds the string " + quote(name) + "; a number is needed there.");
            }
        }

        /** The decimal at i as the nearest double. Short ones are exact in one operation (Clinger 1990), the rest is parseDouble's. */
        private double decimal(DType dtype) {
            int start = i;
            if (kind() != Kind.NUMBER) {
                throw needed("a number (" + dtype + ")");
            }
            boolean negative = b[i] == '-';
            i += negative ? 1 : 0;
            long digits = 0;
            int point = Integer.MIN_VALUE;
            int kept = 0;
            for (; ; i++) {
                int c = b[i];
                if (c >= '0' && c <= '9') {
                    digits = kept < 18 ? digits * 10 + (c - '0') : digits;
                    kept += digits == 0 ? 0 : 1;
                } else if (c == '.') {
                    point = i;
                } else {
                    break;
                }
            }
            int exponent = point < 0 ? 0 : point + 1 - i;
            boolean plain = kept <= 18 && digits <= 1L << 53;
            if (b[i] == 'e' || b[i] == 'E') {
                exponent += exponent();
            }
            if (!plain || exponent < -22 || exponent > 22) {
                return Double.parseDouble(new String(b, start, i - start, StandardCharsets.ISO_8859_1));
            }
            double value = exponent < 0 ? digits / TEN[-exponent] : digits * TEN[exponent];
            return negative ? -value : value;
        }

        private int exponent() {
            i++;
            boolean negative = b[i] == '-';
            i += b[i] == '-' || b[i] == '+' ? 1 : 0;
            int value = 0;
            for (; b[i] >= '0' && b[i] <= '9'; i++) {
                value = Math.min(value * 10 + (b[i] - '0'), 10_000);
            }
            return negative ? -value : value;
        }

        /** An integer within the dtype: a number without fraction and exponent or, beyond 2^53-1, a string of digits. */
        long integer(DType dtype) {
            boolean quoted = b[i] == '"';
            if (!quoted && kind() != Kind.NUMBER) {
                throw needed("an integer (" + dtype + ")");
            }
            String spelled = quoted ? literal() : token();
            long value = 0;
            boolean good = wellFormed(spelled);
            if (good) {
                try {
                    value = Long.parseLong(spelled);
                    boolean large = value > SAFE || value < -SAFE;
                    good = large == quoted && value >= dtype.min && value <= dtype.max;
                } catch (NumberFormatException tooLong) {
                    good = false;
                }
            }
            if (!good) {
                throw new Refused(where + " holds " + quote(spelled) + "; an integer of " + dtype + " is needed there, without fraction and exponent, "
                    + "and in quotes exactly when it is beyond 2^53-1.");
            }
            return value;
        }

        private static boolean wellFormed(String s) {
            int first = s.startsWith("-") ? 1 : 0;
            boolean good = s.length() > first && s.length() <= 20 && (s.charAt(first) != '0' || s.length() == first + 1);
            for (int k = first; good && k < s.length(); k++) {
                good = s.charAt(k) >= '0' && s.charAt(k) <= '9';
            }
            return good;
        }

        /** Small integers without building a string; everything else by integer(). */
        long fastInteger(DType dtype) {
            int k = b[i] == '-' ? i + 1 : i;
            int first = k;
            long value = 0;
            while (b[k] >= '0' && b[k] <= '9' && k - first < 16) {
                value = value * 10 + (b[k++] - '0');
            }
            boolean ended = b[k] == ',' || b[k] == ']' || b[k] == ' ' || b[k] == '\n';
            value = first > i ? -value : value;
            if (k == first || k - first > 15 || !ended || value < dtype.min || value > dtype.max) {
                return integer(dtype);
            }
            i = k;
            return value;
        }

        boolean bool() {
            Kind kind = kind();
            if (kind != Kind.TRUE && kind != Kind.FALSE) {
                throw needed("true or false");
            }
            i += kind.called.length();
            return kind == Kind.TRUE;
        }

        /** A string, or null where missing is allowed. */
        String string(boolean missing) {
            if (missing && b[i] == 'n') {
                i += 4;
                return null;
            }
            if (b[i] != '"') {
                throw needed("a string");
            }
            return literal();
        }

        private String literal() {
            int start = i;
            skipScalar();
            return Json.text(b, start, i);
        }

        /** Passes an element that is neither an array nor an object. */
        void skipScalar() {
            if (b[i] == '"') {
                i++;
                while (b[i] != '"') {
                    i += b[i] == '\\' ? 2 : 1;
                }
                i++;
            } else {
                while (b[i] != ',' && b[i] != ']' && b[i] > ' ') {
                    i++;
                }
            }
        }

        /** The characters of a number. A number is always followed by something when it is in an array or an object. */
        private String token() {
            int start = i;
            while (i < b.length && "+-.eE0123456789".indexOf(b[i]) >= 0) {
                i++;
            }
            return new String(b, start, i - start, StandardCharsets.ISO_8859_1);
        }
    }

    /** The bytes of a string; half a surrogate pair is refused. */
    private static byte[] utf8(String text) {
        try {
            ByteBuffer bytes = StandardCharsets.UTF_8.newEncoder().onMalformedInput(CodingErrorAction.REPORT).encode(CharBuffer.wrap(text));
            return Arrays.copyOf(bytes.array(), bytes.limit());
        } catch (CharacterCodingException e) {
            throw new Refused("The document holds half of a surrogate pair; it is not Unicode text.");
        }
    }

    /** Writes a JSON string, quotes included. */
    private static void writeString(String s, Appendable out) throws IOException {
        out.append('"');
        for (int k = 0; k < s.length(); k++) {
            char c = s.charAt(k);
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < ' ' || c == 127) {
                out.append("\\u00").append(Character.forDigit(c >> 4, 16)).append(Character.forDigit(c & 15, 16));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }

    // =================================================================================================================
    // 3 Tensors
    // =================================================================================================================

    /** The dtypes, under the names of the format. */
    public enum DType {
        F64("f64", 8, 0, 0), F32("f32", 4, 0, 0),
        I64("i64", 8, Long.MIN_VALUE, Long.MAX_VALUE), I32("i32", 4, Integer.MIN_VALUE, Integer.MAX_VALUE),
        I16("i16", 2, -32768, 32767), I8("i8", 1, -128, 127),
        U32("u32", 4, 0, (1L << 32) - 1), U16("u16", 2, 0, 65535), U8("u8", 1, 0, 255),
        BOOL("bool", 1, 0, 1), STR("str", 0, 0, 0);

        final String spelled;
        final int bytes;
        final long min;
        final long max;

        DType(String spelled, int bytes, long min, long max) {
            this.spelled = spelled;
            this.bytes = bytes;
            this.min = min;
            this.max = max;
        }

        public boolean isFloat() {
            return this == F64 || this == F32;
        }

        public boolean isInteger() {
            return bytes > 0 && !isFloat() && this != BOOL;
        }

        /** Room for n elements: double[], long[] or String[]. */
        Object allocate(int n) {
            return isFloat() ? new double[n] : this == STR ? new String[n] : (Object) new long[n];
        }

        static DType named(String name, String where) {
            for (DType dtype : values()) {
                if (dtype.spelled.equals(name)) {
                    return dtype;
                }
            }
            throw new Refused(where + " has the unknown dtype " + quote(name) + "; it is one of f64 f32 i64 i32 i16 i8 u32 u16 u8 bool str.");
        }

        @Override
        public String toString() {
            return spelled;
        }
    }

    /** An array with its dtype and shape, row-major; for rows, the first axis counts them. The arrays handed out are not copied. */
    public static final class Tensor {
        public final DType dtype;
        final int[] shape;
        final Object data;

        Tensor(DType dtype, Object data, int... shape) {
            this.dtype = dtype;
            this.data = data;
            this.shape = shape;
        }

        public static Tensor of(double... values) {
            return new Tensor(DType.F64, values, values.length);
        }

        public static Tensor of(long... values) {
            return new Tensor(DType.I64, values, values.length);
        }

        public static Tensor of(String... values) {
            return new Tensor(DType.STR, values, values.length);
        }

        public static Tensor of(boolean... values) {
            long[] data = new long[values.length];
            for (int k = 0; k < data.length; k++) {
                data[k] = values[k] ? 1 : 0;
            }
            return new Tensor(DType.BOOL, data, data.length);
        }

        /** Rows of equal length. */
        public static Tensor of(double[][] rows) {
            int width = rows.length == 0 ? 0 : rows[0].length;
            double[] data = new double[elements(rows.length, width)];
            for (int r = 0; r < rows.length; r++) {
                if (rows[r].length != width) {
                    throw new Refused("Row " + r + " has " + rows[r].length + " columns, row 0 has " + width + "; rows are equally long.");
                }
                System.arraycopy(rows[r], 0, data, r * width, width);
            }
            return new Tensor(DType.F64, data, rows.length, width);
        }

        /** Float rows of equal length. */
        public static Tensor of(float[][] rows) {
            double[][] wide = new double[rows.length][];
            for (int r = 0; r < rows.length; r++) {
                wide[r] = widen(rows[r]);
            }
            Tensor t = of(wide);
            return new Tensor(DType.F32, t.data, t.shape);
        }

        /** What callers naturally hold: a Tensor, an array or matrix of a primitive type, strings, or a list of scalars. */
        static Tensor from(Object value, DType wanted, String where) {
            if (value instanceof Tensor) {
                return (Tensor) value;
            } else if (value instanceof double[]) {
                return of((double[]) value);
            } else if (value instanceof double[][]) {
                return of((double[][]) value);
            } else if (value instanceof float[]) {
                return new Tensor(DType.F32, widen((float[]) value), ((float[]) value).length);
            } else if (value instanceof float[][]) {
                return of((float[][]) value);
            } else if (value instanceof long[]) {
                return of((long[]) value);
            } else if (value instanceof int[]) {
                return of(widen((int[]) value));
            } else if (value instanceof boolean[]) {
                return of((boolean[]) value);
            } else if (value instanceof String[]) {
                return of((String[]) value);
            } else if (value instanceof List) {
                List<?> cells = (List<?>) value;
                Object data = wanted.allocate(cells.size());
                for (int k = 0; k < cells.size(); k++) {
                    put(data, k, cells.get(k), wanted, where);
                }
                return new Tensor(wanted, data, cells.size());
            }
            throw new Refused(where + " is given as " + (value == null ? "null" : value.getClass().getSimpleName())
                + "; a Tensor, a primitive array, String[] or a List is needed.");
        }

        private static double[] widen(float[] values) {
            double[] wide = new double[values.length];
            for (int k = 0; k < wide.length; k++) {
                wide[k] = values[k];
            }
            return wide;
        }

        private static long[] widen(int[] values) {
            long[] wide = new long[values.length];
            for (int k = 0; k < wide.length; k++) {
                wide[k] = values[k];
            }
            return wide;
        }

        /** Stores one boxed value; null is NaN or a missing string, a boolean counts as 0 or 1 where a float is wanted. */
        static void put(Object data, int k, Object cell, DType wanted, String where) {
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

        /** This tensor's numbers as another dtype: floats from floats, integers and booleans; anything else only as it is. */
        Object as(DType wanted, String where) {
            if (dtype == wanted || dtype == DType.F32 && wanted == DType.F64) {
                return data;
            }
            if (!wanted.isFloat() || dtype == DType.STR) {
                throw new Refused(where + " holds " + dtype + "; " + wanted + " is needed.");
            }
            int n = size();
            double[] result = new double[n];
            for (int k = 0; k < n; k++) {
                double value = data instanceof double[] ? ((double[]) data)[k] : ((long[]) data)[k];
                result[k] = wanted == DType.F32 ? (float) value : value;
            }
            return result;
        }

        public int[] shape() {
            return shape.clone();
        }

        /** The length of the first axis. */
        public int rows() {
            return shape.length == 0 ? 1 : shape[0];
        }

        /** Elements of one row. */
        public int width() {
            int width = 1;
            for (int axis = 1; axis < shape.length; axis++) {
                width *= shape[axis];
            }
            return width;
        }

        int size() {
            return data instanceof double[] ? ((double[]) data).length : data instanceof long[] ? ((long[]) data).length : ((String[]) data).length;
        }

        /** All elements of a float tensor. */
        public double[] doubles() {
            if (!dtype.isFloat()) {
                throw new IllegalStateException("This tensor holds " + dtype + ", not floats.");
            }
            return (double[]) data;
        }

        /** All elements of an integer tensor, or of booleans as 0 and 1. */
        public long[] longs() {
            if (!(data instanceof long[])) {
                throw new IllegalStateException("This tensor holds " + dtype + ", not integers or booleans.");
            }
            return (long[]) data;
        }

        /** All elements of a str tensor; null is missing. */
        public String[] strings() {
            if (dtype != DType.STR) {
                throw new IllegalStateException("This tensor holds " + dtype + ", not strings.");
            }
            return (String[]) data;
        }

        /** The rows of a float tensor. */
        public double[][] matrix() {
            double[][] rows = new double[rows()][];
            for (int r = 0; r < rows.length; r++) {
                rows[r] = Arrays.copyOfRange(doubles(), r * width(), (r + 1) * width());
            }
            return rows;
        }

        /** One element: Double, Long, Boolean, String or null. */
        public Object get(int k) {
            return data instanceof double[] ? (Object) ((double[]) data)[k]
                : data instanceof String[] ? ((String[]) data)[k]
                : dtype == DType.BOOL ? (Object) (((long[]) data)[k] != 0) : (Object) ((long[]) data)[k];
        }

        /** One element as the format spells it. */
        void write(int k, Appendable out) throws IOException {
            if (dtype == DType.STR) {
                String s = ((String[]) data)[k];
                if (s == null) {
                    out.append("null");
                } else {
                    writeString(s, out);
                }
            } else if (dtype == DType.BOOL) {
                out.append(((long[]) data)[k] != 0 ? "true" : "false");
            } else if (dtype.isInteger()) {
                long v = ((long[]) data)[k];
                String s = Long.toString(v);
                out.append(v > Cursor.SAFE || v < -Cursor.SAFE ? "\"" + s + "\"" : s);
            } else {
                out.append(decimal(((double[]) data)[k]));
            }
        }

        /** A decimal that reads back as the same number; f32 in the digits of a float when these do. */
        private String decimal(double v) {
            if (Double.isNaN(v) || Double.isInfinite(v)) {
                return "\"" + v + "\"";
            }
            if (dtype == DType.F32) {
                String s = Float.toString((float) v);
                return (float) Double.parseDouble(s) == v ? s : Double.toString(v);
            }
            return Double.toString(v);
        }

        /** The object form of the format. */
        void write(Appendable out) throws IOException {
            out.append("{\"dtype\": \"").append(dtype.spelled).append("\", \"shape\": ").append(Arrays.toString(shape)).append(", \"data\": [");
            for (int k = 0, n = size(); k < n; k++) {
                if (k > 0) {
                    out.append(", ");
                }
                write(k, out);
            }
            out.append("]}");
        }

        /** A tensor in any of its three forms. `bare` is the dtype of a bare array; null lets its elements decide (f64 or str). */
        static Tensor read(Json json, DType bare, String where, Guard guard) {
            if (json.kind == Kind.OBJECT) {
                return readObject(json, where, guard);
            }
            if (json.kind != Kind.ARRAY || json.items != null) {
                throw new Refused(where + " is " + (json.items != null ? "an array of objects" : json.kind.called) + "; a tensor is needed.");
            }
            DType dtype = bare == null ? inferred(json, where) : bare;
            Cursor c = json.elements(where);
            if (!c.next() || c.kind() != Kind.ARRAY) {
                Object data = allocate(dtype, json.count, where, guard);
                fill(json.elements(where), dtype, data, 0, json.count, guard);
                return new Tensor(dtype, data, json.count);
            }
            return readNested(json, dtype, where, guard);
        }

        /** Equal-length arrays: rank 2. */
        private static Tensor readNested(Json json, DType dtype, String where, Guard guard) {
            int width = 0;
            Cursor first = json.elements(where);
            first.next();
            first.enter();
            while (first.next()) {
                width++;
                if (first.kind() == Kind.ARRAY || first.kind() == Kind.OBJECT) {
                    throw new Refused(where + " is a bare array nested deeper than two levels; write it in the object form.");
                }
                first.skipScalar();
            }
            // Every element takes two bytes of text at least: more than that is ragged, whatever the counts promise.
            long total = (long) json.count * width;
            if (total > (json.end - json.start) / 2) {
                throw ragged(where, width);
            }
            Object data = allocate(dtype, total, where, guard);
            int k = 0;
            for (Cursor c = json.elements(where); c.next(); k += width) {
                c.enter();
                if (fill(c, dtype, data, k, k + width, guard) != k + width) {
                    throw ragged(where, width);
                }
            }
            return new Tensor(dtype, data, json.count, width);
        }

        private static Refused ragged(String where, int width) {
            return new Refused(where + " is ragged: its first row has " + width + " elements, another has not; rows are equally long.");
        }

        private static Tensor readObject(Json json, String where, Guard guard) {
            json.only(where, "dtype", "shape", "enc", "data");
            DType dtype = DType.named(json.need("dtype", where).string(where + " dtype"), where);
            int[] shape = readShape(json.need("shape", where), where, guard);
            long size = 1;
            for (int length : shape) {
                size = size == 0 || length == 0 ? 0 : size > guard.limits.tensorElements / length ? Long.MAX_VALUE : size * length;
            }
            Json data = json.need("data", where);
            if (json.get("enc") != null) {
                if (!json.get("enc").string(where + " enc").equals("b64") || dtype == DType.STR) {
                    throw new Refused(where + " has an encoding that " + dtype + " does not have; \"b64\" is the only one, and not for str.");
                }
                return new Tensor(dtype, base64(data, dtype, size, where, guard), shape);
            }
            Cursor elements = data.elements(where + " data");
            if (data.count != size) {
                throw new Refused(where + " holds " + data.count + " elements for the shape " + Arrays.toString(shape) + "; they must agree.");
            }
            Object values = allocate(dtype, size, where, guard);
            fill(elements, dtype, values, 0, data.count, guard);
            return new Tensor(dtype, values, shape);
        }

        static int[] readShape(Json json, String where, Guard guard) {
            Cursor c = json.elements(where + " shape");
            if (json.count > guard.limits.rank) {
                throw new Refused(where + " has rank " + json.count + ", more than the limit of " + guard.limits.rank + ".");
            }
            int[] shape = new int[json.count];
            for (int axis = 0; c.next(); axis++) {
                long length = c.integer(DType.I64);
                if (length < 0 || length > Integer.MAX_VALUE) {
                    throw new Refused(where + " has the length " + length + " in its shape; lengths run from 0 to 2^31-1.");
                }
                shape[axis] = (int) length;
            }
            return shape;
        }

        private static Object allocate(DType dtype, long size, String where, Guard guard) {
            if (size > Math.min(guard.limits.tensorElements, Integer.MAX_VALUE - 16)) {
                throw new Refused(where + " has more than " + guard.limits.tensorElements + " elements, the limit for a tensor.");
            }
            guard.take(8 * size);
            return dtype.allocate((int) size);
        }

        /** Decodes the rest of an array into data[from..to); returns the position reached, or to + 1 when there is more. */
        private static int fill(Cursor c, DType dtype, Object data, int from, int to, Guard guard) {
            int k = from;
            if (dtype.isFloat()) {
                double[] out = (double[]) data;
                while (c.next()) {
                    if (k == to) {
                        return to + 1;
                    }
                    out[k++] = c.number(dtype);
                }
            } else if (dtype == DType.STR) {
                String[] out = (String[]) data;
                while (c.next()) {
                    if (k == to) {
                        return to + 1;
                    }
                    String s = c.string(true);
                    guard.take(s == null ? 0 : 56 + 2L * s.length());
                    out[k++] = s;
                }
            } else {
                long[] out = (long[]) data;
                while (c.next()) {
                    if (k == to) {
                        return to + 1;
                    }
                    out[k++] = dtype == DType.BOOL ? (c.bool() ? 1 : 0) : c.fastInteger(dtype);
                }
            }
            return k;
        }

        /** The dtype of a bare array where any is allowed: str when its elements are strings, else f64. */
        private static DType inferred(Json json, String where) {
            boolean some = false;
            Cursor c = json.elements(where);
            int depth = 1;
            while (depth > 0) {
                if (!c.next()) {
                    depth--;
                } else if (c.kind() == Kind.ARRAY) {
                    c.enter();
                    depth++;
                } else if (c.kind() == Kind.STRING || c.kind() == Kind.NULL) {
                    c.string(true);
                    some = true;
                } else {
                    return DType.F64;
                }
            }
            return some ? DType.STR : DType.F64;
        }

        /** Standard base64 with padding, little-endian elements. */
        private static Object base64(Json json, DType dtype, long size, String where, Guard guard) {
            if (json.kind != Kind.STRING) {
                throw new Refused(where + " data is " + json.kind.called + "; with \"enc\": \"b64\" it is a string.");
            }
            byte[] text = json.b;
            int from = json.start + 1;
            int to = json.end - 1;
            boolean escaped = false;
            for (int k = from; k < to && !escaped; k++) {
                escaped = text[k] == '\\';
            }
            if (escaped) {
                guard.take(3L * (to - from));
                text = Json.text(text, json.start, json.end).getBytes(StandardCharsets.UTF_8);
                from = 0;
                to = text.length;
            }
            long bytes = Base64.length(text, from, to);
            if (bytes < 0 || bytes / dtype.bytes != size || bytes % dtype.bytes != 0) {
                throw new Refused(where + (bytes < 0 ? " is not standard base64 with padding." : " holds " + bytes + " bytes, which its shape and dtype "
                    + dtype + " do not make."));
            }
            Object data = allocate(dtype, size, where, guard);
            guard.take(bytes);
            ByteBuffer raw = ByteBuffer.wrap(Base64.decode(text, from, to, (int) bytes, where)).order(ByteOrder.LITTLE_ENDIAN);
            for (int k = 0; k < size; k++) {
                if (dtype.isFloat()) {
                    ((double[]) data)[k] = dtype == DType.F64 ? raw.getDouble() : raw.getFloat();
                } else {
                    ((long[]) data)[k] = integer(raw, dtype, where);
                }
            }
            return data;
        }

        private static long integer(ByteBuffer raw, DType dtype, String where) {
            switch (dtype) {
                case I64: return raw.getLong();
                case I32: return raw.getInt();
                case U32: return raw.getInt() & 0xFFFFFFFFL;
                case I16: return raw.getShort();
                case U16: return raw.getShort() & 0xFFFF;
                case I8: return raw.get();
                case U8: return raw.get() & 0xFF;
                default:
                    long value = raw.get();
                    if (value != 0 && value != 1) {
                        throw new Refused(where + " holds the byte " + value + " for a bool; it is 0 or 1.");
                    }
                    return value;
            }
        }
    }

    /** Standard base64; java.util.Base64 is lenient about padding, and absent from older Android. */
    private static final class Base64 {
        private static final String ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        private static final byte[] VALUE = new byte[128];

        static {
            Arrays.fill(VALUE, (byte) -1);
            for (int k = 0; k < 64; k++) {
                VALUE[ALPHABET.charAt(k)] = (byte) k;
            }
        }

        private Base64() { }

        /** The number of bytes that the text stands for; -1 when its length or padding is wrong. */
        static long length(byte[] text, int from, int to) {
            int n = to - from;
            if (n % 4 != 0) {
                return -1;
            }
            int padding = n == 0 || text[to - 1] != '=' ? 0 : text[to - 2] != '=' ? 1 : 2;
            return n / 4 * 3L - padding;
        }

        static byte[] decode(byte[] text, int from, int to, int length, String where) {
            byte[] out = new byte[length];
            int padding = (int) ((to - from) / 4 * 3L - length);
            int wrong = 0;
            int bits = 0;
            for (int i = from, k = 0; i < to; i += 4, k += 3) {
                bits = 0;
                for (int j = i; j < i + 4; j++) {
                    int value = j >= to - padding ? 0 : text[j] < 0 ? -1 : VALUE[text[j]];
                    wrong |= value;
                    bits = bits << 6 | value & 63;
                }
                out[k] = (byte) (bits >> 16);
                if (k + 1 < length) {
                    out[k + 1] = (byte) (bits >> 8);
                }
                if (k + 2 < length) {
                    out[k + 2] = (byte) bits;
                }
            }
            int unused = padding == 2 ? bits & 0xFFFF : padding == 1 ? bits & 0xFF : 0;
            if (wrong < 0 || unused != 0) {
                throw new Refused(where + " is not standard base64 with padding.");
            }
            return out;
        }
    }

    /** dtype and row shape of a value: rank 0, or rank 1 with a width. */
    private static final class Type {
        final DType dtype;
        final int rank;
        final int width;

        Type(DType dtype, int rank, int width) {
            this.dtype = dtype;
            this.rank = rank;
            this.width = width;
        }

        static Type row(DType dtype, int width) {
            return new Type(dtype, 1, width);
        }

        /** The same row shape with another dtype. */
        Type with(DType changed) {
            return new Type(changed, rank, width);
        }

        /** The shape of n rows. */
        int[] shape(int n) {
            return rank == 0 ? new int[] {n} : new int[] {n, width};
        }

        @Override
        public String toString() {
            return dtype + (rank == 0 ? "[]" : "[" + width + "]");
        }
    }

    /** n x width as an array length. */
    private static int elements(long n, long width) {
        if (n * width > Integer.MAX_VALUE - 16) {
            throw new Refused(n + " rows of " + width + " elements do not fit an array; predict fewer rows at a time.");
        }
        return (int) (n * width);
    }

    // =================================================================================================================
    // 4 Special functions
    // =================================================================================================================

    /** erf and norm_ppf by the algorithms of docs/format.md, section 8; log2; pow as IEEE 754 has it. */
    private static final class Special {
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
        private static final double[] PPF_B = {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
            2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3};
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
            double y = Math.abs(x);
            if (!(y > 0.46875)) {
                double z = y * y;
                return x * cody(ERF_A, ERF_B, 3, z);
            }
            double rest;
            if (y <= 4.0) {
                rest = cody(ERF_C, ERF_D, 7, y);
            } else {
                double z = 1.0 / (y * y);
                rest = (SQRPI - z * cody(ERF_P, ERF_Q, 4, z)) / y;
            }
            double coarse = Math.floor(y * 16.0) / 16.0;
            double erfc = y > 26.6 ? 0.0 : Math.exp(-coarse * coarse) * Math.exp(-(y - coarse) * (y + coarse)) * rest;
            return x < 0 ? erfc - 1.0 : 1.0 - erfc;
        }

        /** Cody's ratio of two polynomials of degree n + 1: the leading coefficient of the numerator is its last entry. */
        private static double cody(double[] top, double[] bottom, int n, double z) {
            double a = top[n + 1] * z;
            double b = z;
            for (int k = 0; k < n; k++) {
                a = (a + top[k]) * z;
                b = (b + bottom[k]) * z;
            }
            return (a + top[n]) / (b + bottom[n]);
        }

        static double normPpf(double p) {
            if (!(p >= 0 && p <= 1)) {
                return Double.NaN;
            }
            if (p == 0 || p == 1) {
                return p == 0 ? Double.NEGATIVE_INFINITY : Double.POSITIVE_INFINITY;
            }
            double q = p - 0.5;
            if (Math.abs(q) <= 0.425) {
                return q * ratio(PPF_A, PPF_B, 0.180625 - q * q);
            }
            double r = Math.sqrt(-Math.log(q < 0 ? p : 1.0 - p));
            double tail = r <= 5.0 ? ratio(PPF_C, PPF_D, r - 1.6) : ratio(PPF_E, PPF_F, r - 5.0);
            return q < 0 ? -tail : tail;
        }

        private static double ratio(double[] top, double[] bottom, double r) {
            double a = 0;
            double b = 0;
            for (int k = top.length - 1; k >= 0; k--) {
                a = a * r + top[k];
                b = b * r + bottom[k];
            }
            return a / b;
        }

        /** Exact for powers of two: the exponent is split off, so that the logarithm is taken near 1. */
        static double log2(double x) {
            if (!(x >= Double.MIN_NORMAL && x <= Double.MAX_VALUE)) {
                return x > 0 && x < Double.MIN_NORMAL ? log2(x * 0x1p54) - 54 : Math.log(x);
            }
            int exponent = Math.getExponent(x);
            double mantissa = Math.scalb(x, -exponent);
            if (mantissa > 1.4142135623730951) {
                mantissa /= 2;
                exponent++;
            }
            return exponent + Math.log(mantissa) / 0.6931471805599453;
        }

        /** Java has NaN where IEEE 754 has 1: for 1 to the power NaN or infinity, and -1 to an infinite power. */
        static double pow(double x, double y) {
            return x == 1 || x == -1 && Double.isInfinite(y) ? 1.0 : Math.pow(x, y);
        }
    }

    // =================================================================================================================
    // 5 Ops
    // =================================================================================================================

    /** The ops of profile tabular, in the order of docs/format.md; each has its entry in {@link #step}. */
    private static final String[] OPS = {"concat", "select", "cast", "constant", "impute", "is_missing", "lookup", "onehot", "bucketize",
        "scale", "clip", "unary", "binary", "where", "linear", "softmax", "log_softmax", "normalize", "reduce", "two_class", "take", "poly",
        "interp", "pairwise", "tree_ensemble", "gaussian_ll", "knn", "ovo_vote"};

    /** The table of ops: the constructor is the check (attributes in, dtype and row shape out), Step.run the evaluation. */
    private static Step step(Args a) {
        switch (a.op) {
            case "concat": return new Concat(a);
            case "select": return new Select(a);
            case "cast": return new Cast(a);
            case "constant": return new Constant(a);
            case "impute": return new Impute(a);
            case "is_missing": return new IsMissing(a);
            case "lookup": return new Lookup(a);
            case "onehot": return new OneHot(a);
            case "bucketize": return new Bucketize(a);
            case "scale": return new Scale(a);
            case "clip": return new Clip(a);
            case "unary": return new Unary(a);
            case "binary": return new Binary(a);
            case "where": return new Where(a);
            case "linear": return new Linear(a);
            case "softmax": return new Softmax(a, false);
            case "log_softmax": return new Softmax(a, true);
            case "normalize": return new Normalize(a);
            case "reduce": return new Reduce(a);
            case "two_class": return new TwoClass(a);
            case "take": return new Take(a);
            case "poly": return new Poly(a);
            case "interp": return new Interp(a);
            case "pairwise": return new Pairwise(a);
            case "tree_ensemble": return new TreeEnsemble(a);
            case "gaussian_ll": return new GaussianLl(a);
            case "knn": return new Knn(a);
            case "ovo_vote": return new OvoVote(a);
            default: throw new IllegalStateException(a.op);
        }
    }

    /** The names of the ops this reader implements, sorted. */
    public static List<String> ops() {
        String[] sorted = OPS.clone();
        Arrays.sort(sorted);
        return Collections.unmodifiableList(Arrays.asList(sorted));
    }

    /** A step while it is being checked: its attributes, read one by one, and the types of what it reads. */
    private static final class Args {
        final String op;
        final String where;
        final int[] in;
        final Type[] types;
        final Guard guard;
        private final Json json;
        private final Set<String> read = new HashSet<>(Arrays.asList("op", "in", "out"));

        Args(String op, String where, Json json, int[] in, Type[] types, Guard guard) {
            this.op = op;
            this.where = where;
            this.json = json;
            this.in = in;
            this.types = types;
            this.guard = guard;
        }

        Refused refuse(String sentence) {
            return new Refused(where + " " + sentence);
        }

        /** Refuses attributes that the op has not read. */
        void finish() {
            for (String key : json.members.keySet()) {
                if (!read.contains(key) && !Json.ignored(key)) {
                    throw refuse("has the unknown attribute " + quote(key) + ", which may change its meaning.");
                }
            }
        }

        void arity(int low, int high) {
            if (types.length < low || types.length > high) {
                throw refuse("reads " + types.length + " values; " + (low == high ? "" + low : low + " or more") + " are needed.");
            }
        }

        /** The only input, of one of the dtypes. */
        Type one(DType... allowed) {
            arity(1, 1);
            return input(0, allowed);
        }

        Type input(int k, DType... allowed) {
            if (!Arrays.asList(allowed).contains(types[k].dtype)) {
                throw refuse("reads " + types[k] + "; " + Arrays.toString(allowed) + " is needed, a cast step may help.");
            }
            return types[k];
        }

        boolean has(String key) {
            return json.get(key) != null;
        }

        private Json attribute(String key) {
            read.add(key);
            Json value = json.get(key);
            if (value == null) {
                throw refuse("lacks the required attribute " + quote(key) + ".");
            }
            return value;
        }

        private String at(String key) {
            return where + " attribute " + quote(key);
        }

        /** One of the options; the first is the default when `optional`. */
        String choice(String key, boolean optional, String... options) {
            if (optional && !has(key)) {
                return options[0];
            }
            String value = attribute(key).string(at(key));
            if (!Arrays.asList(options).contains(value)) {
                throw refuse("has " + quote(key) + " " + quote(value) + "; it is one of " + Arrays.toString(options) + ".");
            }
            return value;
        }

        /** One of the constants of an enum that are spelled as in the format. */
        <E extends Enum<E>> E choice(String key, E[] options) {
            String value = attribute(key).string(at(key));
            for (E option : options) {
                if (option.name().equals(value)) {
                    return option;
                }
            }
            throw refuse("has " + quote(key) + " " + quote(value) + "; it is one of " + Arrays.toString(options) + ".");
        }

        DType floating(String key) {
            return choice(key, true, "f64", "f32").equals("f32") ? DType.F32 : DType.F64;
        }

        boolean flag(String key) {
            return has(key) && attribute(key).scalar(at(key)).bool();
        }

        int integer(String key, long low, long high) {
            long value = attribute(key).scalar(at(key)).integer(DType.I64);
            if (value < low || value > Math.min(high, Integer.MAX_VALUE)) {
                throw refuse("has " + quote(key) + " " + value + "; it lies between " + low + " and " + high + ".");
            }
            return (int) value;
        }

        double number(String key, double otherwise) {
            return has(key) ? attribute(key).scalar(at(key)).number(DType.F64) : otherwise;
        }

        /** One JSON element of the dtype: Double, Long, or String (null only where a missing string is an element). */
        Object element(String key, DType dtype, boolean missing) {
            Cursor c = attribute(key).scalar(at(key));
            return dtype.isFloat() ? (Object) c.number(dtype) : dtype == DType.STR ? c.string(missing)
                : dtype == DType.BOOL ? (Object) (c.bool() ? 1L : 0L) : (Object) c.integer(dtype);
        }

        /** A tensor of the dtype (null: any) and of one of the lowest..highest ranks. */
        Tensor tensor(String key, DType dtype, int lowest, int highest) {
            Tensor t = Tensor.read(attribute(key), dtype, at(key), guard);
            if (dtype != null && t.dtype != dtype) {
                throw refuse("has " + quote(key) + " of dtype " + t.dtype + "; " + dtype + " is needed.");
            }
            if (t.shape.length < lowest || t.shape.length > highest) {
                throw refuse("has " + quote(key) + " of rank " + t.shape.length + "; rank " + highest + " is needed.");
            }
            return t;
        }

        /** A float tensor of rank 1 with so many elements (-1: any number); null when it is absent and optional. */
        double[] floats(String key, DType dtype, boolean optional, int length) {
            if (optional && !has(key)) {
                return null;
            }
            double[] values = tensor(key, dtype, 1, 1).doubles();
            expect(key, values.length, length);
            return values;
        }

        /** A float matrix with so many columns. */
        Tensor matrix(String key, DType dtype, int columns) {
            Tensor t = tensor(key, dtype, 2, 2);
            fits(key, t, columns);
            return t;
        }

        /** Refuses a matrix that has other columns than the row, or more rows than a value may have elements. */
        void fits(String key, Tensor t, int columns) {
            if (t.shape[1] != columns || t.shape[0] > guard.limits.rowElements) {
                throw refuse("has " + quote(key) + " of shape " + Arrays.toString(t.shape) + "; " + columns + " columns and at most "
                    + guard.limits.rowElements + " rows are needed.");
            }
        }

        /** One element per column, or one for all; null when absent. */
        double[] perColumn(String key, DType dtype, int width) {
            double[] values = floats(key, dtype, true, -1);
            if (values != null && values.length != width && values.length != 1) {
                throw refuse("has " + quote(key) + " with " + values.length + " elements; give one for each of the " + width + " columns, or one for all.");
            }
            return values;
        }

        /** A tensor of any integer dtype, of rank 1, with so many elements (-1: any number), each within low..high. */
        int[] ints(String key, int length, long low, long high) {
            return narrow(key, integers(key, 1), length, low, high);
        }

        Tensor integers(String key, int rank) {
            Json value = attribute(key);
            Tensor t = Tensor.read(value, DType.I64, at(key), guard);
            if (!t.dtype.isInteger() || t.shape.length != rank) {
                throw refuse("has " + quote(key) + " of dtype " + t.dtype + " and rank " + t.shape.length + "; integers of rank " + rank + " are needed.");
            }
            return t;
        }

        int[] narrow(String key, Tensor t, int length, long low, long high) {
            long[] values = t.longs();
            expect(key, values.length, length);
            guard.take(4L * values.length);
            int[] narrow = new int[values.length];
            for (int k = 0; k < narrow.length; k++) {
                if (values[k] < low || values[k] > high) {
                    throw refuse("has " + values[k] + " in " + quote(key) + " at position " + k + "; it lies between " + low + " and " + high + ".");
                }
                narrow[k] = (int) values[k];
            }
            return narrow;
        }

        void expect(String key, int found, int needed) {
            if (needed >= 0 && found != needed) {
                throw refuse("has " + quote(key) + " with " + found + " elements; " + needed + " are needed.");
            }
        }

        /** The type of rows that are joined element by element: equal row shapes, or one element. */
        Type broadcast(Type... values) {
            Type widest = values[0];
            for (Type t : values) {
                widest = widest.width == 1 && (t.width != 1 || t.rank > widest.rank) ? t : widest;
            }
            for (Type t : values) {
                if (t.width != 1 && t.width != widest.width) {
                    throw refuse("joins " + Arrays.toString(values) + "; the row shapes must be equal, or have one element.");
                }
            }
            return widest;
        }
    }

    /** The values of one block of rows; `first` is the number of the block's first row in the batch. */
    private static final class Frame {
        final int rows;
        final int first;
        final Object[] values;

        Frame(int rows, int first, Object[] values) {
            this.rows = rows;
            this.first = first;
            this.values = values;
        }
    }

    /** One checked step. run returns the rows of its value: double[], long[] or String[] of rows x width; inputs are never changed. */
    private abstract static class Step {
        static final DType[] ANY = DType.values();
        static final DType[] FLOAT = {DType.F64, DType.F32};
        static final DType[] GAPS = {DType.F64, DType.F32, DType.STR};
        static final DType[] INTEGER = {DType.I64, DType.I32, DType.I16, DType.I8, DType.U32, DType.U16, DType.U8};

        final String where;
        final int[] in;
        final Type[] from;
        final DType dtype;
        Type type;

        Step(Args a) {
            this(a, DType.F64);
        }

        /** An op marked d passes a.floating("dtype"). */
        Step(Args a, DType dtype) {
            this.where = a.where;
            this.in = a.in;
            this.from = a.types;
            this.dtype = dtype;
        }

        abstract Object run(Frame f);

        /** Rounds to the step's dtype. */
        final double round(double v) {
            return dtype == DType.F32 ? (float) v : v;
        }

        final double[] rounded(double[] x) {
            if (dtype == DType.F32) {
                for (int k = 0; k < x.length; k++) {
                    x[k] = (float) x[k];
                }
            }
            return x;
        }

        /** The k-th input, rounded to the step's dtype. */
        final double[] floats(Frame f, int k) {
            double[] x = (double[]) f.values[in[k]];
            return dtype == DType.F32 && from[k].dtype == DType.F64 ? rounded(x.clone()) : x;
        }

        final Refused refuseRow(Frame f, int row, String sentence) {
            return new Refused(where + " refuses row " + (f.first + row) + ": " + sentence);
        }

        /** The parameter of column j: one element stands for all columns. */
        static double at(double[] p, int j) {
            return p.length == 1 ? p[0] : p[j];
        }

        /** Elements by position: k >= 0 is x[k], k < 0 is y[-1 - k]. */
        static Object pick(Object x, Object y, int[] index) {
            int n = index.length;
            if (x instanceof double[]) {
                double[] out = new double[n];
                for (int k = 0; k < n; k++) {
                    out[k] = index[k] >= 0 ? ((double[]) x)[index[k]] : ((double[]) y)[-1 - index[k]];
                }
                return out;
            }
            if (x instanceof long[]) {
                long[] out = new long[n];
                for (int k = 0; k < n; k++) {
                    out[k] = index[k] >= 0 ? ((long[]) x)[index[k]] : ((long[]) y)[-1 - index[k]];
                }
                return out;
            }
            String[] out = new String[n];
            for (int k = 0; k < n; k++) {
                out[k] = index[k] >= 0 ? ((String[]) x)[index[k]] : ((String[]) y)[-1 - index[k]];
            }
            return out;
        }
    }

    /** concat: joins along the last axis. */
    private static final class Concat extends Step {
        Concat(Args a) {
            super(a);
            a.arity(1, Integer.MAX_VALUE);
            long width = 0;
            for (int k = 0; k < from.length; k++) {
                width += a.input(k, from[0].dtype).width;
            }
            type = Type.row(from[0].dtype, (int) Math.min(width, Integer.MAX_VALUE));
        }

        @Override
        Object run(Frame f) {
            Object out = type.dtype.allocate(f.rows * type.width);
            int offset = 0;
            for (int k = 0; k < from.length; k++) {
                int w = from[k].width;
                for (int r = 0; r < f.rows; r++) {
                    System.arraycopy(f.values[in[k]], r * w, out, r * type.width + offset, w);
                }
                offset += w;
            }
            return out;
        }
    }

    /** select: columns by position. */
    private static final class Select extends Step {
        private final int[] index;

        Select(Args a) {
            super(a);
            Type x = a.one(ANY);
            index = a.ints("index", -1, 0, x.width - 1);
            type = Type.row(x.dtype, index.length);
        }

        @Override
        Object run(Frame f) {
            int[] position = new int[f.rows * index.length];
            for (int r = 0, k = 0; r < f.rows; r++) {
                for (int j : index) {
                    position[k++] = r * from[0].width + j;
                }
            }
            return pick(f.values[in[0]], null, position);
        }
    }

    /** cast: changes the dtype; what does not fit an integer is refused. */
    private static final class Cast extends Step {
        Cast(Args a) {
            super(a);
            a.one(DType.F64, DType.F32, DType.I64, DType.I32, DType.I16, DType.I8, DType.U32, DType.U16, DType.U8, DType.BOOL);
            DType to = DType.named(a.choice("to", false, "f64", "f32", "i64", "i32", "i16", "i8", "u32", "u16", "u8", "bool"), where);
            type = from[0].with(to);
        }

        @Override
        Object run(Frame f) {
            Object x = f.values[in[0]];
            DType to = type.dtype;
            int n = f.rows * type.width;
            Object out = to.allocate(n);
            for (int k = 0; k < n; k++) {
                if (to.isFloat()) {
                    ((double[]) out)[k] = x instanceof double[] ? toFloat(((double[]) x)[k]) : toFloat(((long[]) x)[k]);
                } else if (to == DType.BOOL) {
                    ((long[]) out)[k] = (x instanceof double[] ? ((double[]) x)[k] != 0 : ((long[]) x)[k] != 0) ? 1 : 0;
                } else {
                    ((long[]) out)[k] = x instanceof double[] ? toInteger(((double[]) x)[k], f, k) : toInteger(((long[]) x)[k], f, k);
                }
            }
            return out;
        }

        private double toFloat(double v) {
            return type.dtype == DType.F32 ? (float) v : v;
        }

        /** Rounded once: by way of double an integer could be rounded twice. */
        private double toFloat(long v) {
            return type.dtype == DType.F32 ? (float) v : (double) v;
        }

        private long toInteger(double v, Frame f, int k) {
            double whole = v < 0 ? Math.ceil(v) : Math.floor(v);
            // -min and max + 1 are powers of two, exact in a double also where max is not.
            boolean fits = whole >= type.dtype.min && whole < (type.dtype == DType.I64 ? 0x1p63 : type.dtype.max + 1.0);
            if (!fits) {
                throw refuseRow(f, k / type.width, v + " does not fit the dtype " + type.dtype + ".");
            }
            return (long) whole;
        }

        private long toInteger(long v, Frame f, int k) {
            if (v < type.dtype.min || v > type.dtype.max) {
                throw refuseRow(f, k / type.width, v + " does not fit the dtype " + type.dtype + ".");
            }
            return v;
        }
    }

    /** constant: the same row for every row of the batch. */
    private static final class Constant extends Step {
        private final Tensor value;

        Constant(Args a) {
            super(a);
            a.arity(0, 0);
            if (a.has("value") && a.attribute("value").kind != Kind.OBJECT) {
                throw a.refuse("has a bare \"value\"; write it in the object form, which states its dtype.");
            }
            value = a.tensor("value", null, 0, 1);
            type = new Type(value.dtype, value.shape.length, value.size());
        }

        @Override
        Object run(Frame f) {
            Object out = type.dtype.allocate(f.rows * type.width);
            for (int r = 0; r < f.rows; r++) {
                System.arraycopy(value.data, 0, out, r * type.width, type.width);
            }
            return out;
        }
    }

    /** What counts as missing: elements that equal `match`; by default NaN among floats and null among strings. */
    private abstract static class Matching extends Step {
        private final Object match;

        Matching(Args a) {
            super(a);
            Type x = a.one(GAPS);
            match = a.has("match") ? a.element("match", x.dtype, false) : x.dtype == DType.STR ? null : (Object) Double.NaN;
        }

        final boolean matches(Object x, int k) {
            if (x instanceof String[]) {
                String s = ((String[]) x)[k];
                return match == null ? s == null : match.equals(s);
            }
            double v = ((double[]) x)[k];
            double m = (Double) match;
            return v == m || v != v && m != m;
        }
    }

    /** impute: elements that match are replaced by the column's value. */
    private static final class Impute extends Matching {
        private final Tensor values;

        Impute(Args a) {
            super(a);
            values = a.tensor("values", from[0].dtype, 1, 1);
            if (values.size() != from[0].width && values.size() != 1) {
                throw a.refuse("has \"values\" with " + values.size() + " elements; give one for each of the " + from[0].width + " columns, or one for all.");
            }
            type = from[0];
        }

        @Override
        Object run(Frame f) {
            Object x = f.values[in[0]];
            int[] position = new int[f.rows * type.width];
            for (int k = 0; k < position.length; k++) {
                position[k] = !matches(x, k) ? k : values.size() == 1 ? -1 : -1 - k % type.width;
            }
            return pick(x, values.data, position);
        }
    }

    /** is_missing: 1.0 where an element matches, else 0.0. */
    private static final class IsMissing extends Matching {
        IsMissing(Args a) {
            super(a);
            type = from[0].with(DType.F64);
        }

        @Override
        Object run(Frame f) {
            double[] out = new double[f.rows * type.width];
            for (int k = 0; k < out.length; k++) {
                out[k] = matches(f.values[in[0]], k) ? 1.0 : 0.0;
            }
            return out;
        }
    }

    /** lookup: the value of the equal key; NaN equals NaN, null equals null, -0.0 equals 0.0. */
    private static final class Lookup extends Step {
        private final Map<Object, Integer> places = new HashMap<>();
        private final Object values;
        private final int unknown;

        Lookup(Args a) {
            super(a);
            Type x = a.one(DType.F64, DType.F32, DType.I64, DType.BOOL, DType.STR);
            Tensor keys = a.tensor("keys", x.dtype, 1, 1);
            a.guard.take(96L * keys.size());
            for (int k = 0; k < keys.size(); k++) {
                if (places.put(key(keys.data, k), k) != null) {
                    throw a.refuse("has one key twice in \"keys\", at position " + k + "; keys are all different.");
                }
            }
            Tensor table = a.tensor("values", null, 1, 1);
            a.expect("values", table.size(), keys.size());
            unknown = a.has("default") ? keys.size() : -1;
            values = unknown < 0 ? table.data : append(table, a.element("default", table.dtype, true));
            type = x.with(table.dtype);
        }

        private static Object append(Tensor table, Object element) {
            int n = table.size();
            Object longer = table.dtype.allocate(n + 1);
            System.arraycopy(table.data, 0, longer, 0, n);
            if (longer instanceof double[]) {
                ((double[]) longer)[n] = (Double) element;
            } else if (longer instanceof long[]) {
                ((long[]) longer)[n] = (Long) element;
            } else {
                ((String[]) longer)[n] = (String) element;
            }
            return longer;
        }

        /** The key of a map: Double.equals already holds NaN equal; adding 0.0 turns -0.0 into 0.0. */
        private static Object key(Object data, int k) {
            return data instanceof double[] ? (Object) (((double[]) data)[k] + 0.0) : data instanceof long[] ? (Object) ((long[]) data)[k]
                : ((String[]) data)[k];
        }

        @Override
        Object run(Frame f) {
            Object x = f.values[in[0]];
            int[] position = new int[f.rows * type.width];
            for (int k = 0; k < position.length; k++) {
                Object key = key(x, k);
                Integer place = places.get(key);
                if (place == null && unknown < 0) {
                    throw refuseRow(f, k / type.width, "the value " + (key instanceof String ? quote((String) key) : "" + key)
                        + " is none of the known categories.");
                }
                position[k] = place == null ? unknown : place;
            }
            return pick(values, null, position);
        }
    }

    /** onehot: per column a unit vector; -1 gives zeros. */
    private static final class OneHot extends Step {
        private final int size;

        OneHot(Args a) {
            super(a);
            Type x = a.one(INTEGER);
            size = a.integer("size", 1, a.guard.limits.tensorElements);
            type = Type.row(DType.F64, (int) Math.min((long) x.width * size, Integer.MAX_VALUE));
        }

        @Override
        Object run(Frame f) {
            long[] x = (long[]) f.values[in[0]];
            double[] out = new double[f.rows * type.width];
            for (int k = 0; k < f.rows * from[0].width; k++) {
                if (x[k] < -1 || x[k] >= size) {
                    throw refuseRow(f, k / from[0].width, "the code " + x[k] + " lies outside 0.." + (size - 1) + ".");
                }
                if (x[k] >= 0) {
                    out[k * size + (int) x[k]] = 1.0;
                }
            }
            return out;
        }
    }

    /** bucketize: the number of edges below (left), or at and below (right) each element; NaN counts all. */
    private static final class Bucketize extends Step {
        private final double[] edges;
        private final int[] start;
        private final boolean left;

        Bucketize(Args a) {
            super(a);
            Type x = a.one(FLOAT);
            edges = a.floats("edges", x.dtype, false, -1);
            int[] sizes = a.ints("sizes", x.width, 0, edges.length);
            left = a.choice("side", false, "left", "right").equals("left");
            start = new int[sizes.length + 1];
            for (int j = 0; j < sizes.length; j++) {
                start[j + 1] = Math.min(start[j] + sizes[j], edges.length + 1);
                for (int k = start[j]; k < start[j + 1] && start[j + 1] <= edges.length; k++) {
                    if (!(edges[k] >= edges[Math.max(k - 1, start[j])])) {
                        throw a.refuse("has edges of column " + j + " that do not ascend.");
                    }
                }
            }
            a.expect("edges", edges.length, start[sizes.length]);
            type = x.with(DType.I64);
        }

        @Override
        Object run(Frame f) {
            double[] x = (double[]) f.values[in[0]];
            long[] out = new long[f.rows * type.width];
            for (int k = 0; k < out.length; k++) {
                int begin = start[k % type.width];
                int low = begin;
                int high = start[k % type.width + 1];
                while (low < high) {
                    int middle = (low + high) >>> 1;
                    boolean stays = left ? x[k] <= edges[middle] : x[k] < edges[middle];
                    low = stays ? low : middle + 1;
                    high = stays ? middle : high;
                }
                out[k] = low - begin;
            }
            return out;
        }
    }

    /** scale: ((x - sub) / div) * mul + add, absent parts skipped. */
    private static final class Scale extends Step {
        private final double[] sub;
        private final double[] div;
        private final double[] mul;
        private final double[] add;

        Scale(Args a) {
            super(a, a.floating("dtype"));
            type = a.one(FLOAT).with(dtype);
            sub = a.perColumn("sub", dtype, type.width);
            div = a.perColumn("div", dtype, type.width);
            mul = a.perColumn("mul", dtype, type.width);
            add = a.perColumn("add", dtype, type.width);
        }

        @Override
        Object run(Frame f) {
            double[] x = floats(f, 0);
            double[] out = new double[f.rows * type.width];
            for (int r = 0, k = 0; r < f.rows; r++) {
                for (int j = 0; j < type.width; j++, k++) {
                    double v = x[k];
                    v = sub == null ? v : round(v - at(sub, j));
                    v = div == null ? v : round(v / at(div, j));
                    v = mul == null ? v : round(v * at(mul, j));
                    out[k] = add == null ? v : round(v + at(add, j));
                }
            }
            return out;
        }
    }

    /** clip: bounds per column; NaN passes. */
    private static final class Clip extends Step {
        private final double[] min;
        private final double[] max;

        Clip(Args a) {
            super(a, a.floating("dtype"));
            type = a.one(FLOAT).with(dtype);
            min = a.perColumn("min", dtype, type.width);
            max = a.perColumn("max", dtype, type.width);
        }

        @Override
        Object run(Frame f) {
            double[] x = floats(f, 0);
            double[] out = new double[f.rows * type.width];
            for (int k = 0; k < out.length; k++) {
                int j = k % type.width;
                out[k] = min != null && x[k] < at(min, j) ? at(min, j) : max != null && x[k] > at(max, j) ? at(max, j) : x[k];
            }
            return out;
        }
    }

    /** unary: one of the usual functions, element by element; f32 is computed in f64 and rounded. */
    private static final class Unary extends Step {
        /** Spelled as in the format. */
        private enum Fn {
            neg, abs, sign, sqrt, square, reciprocal, floor, ceil, round, trunc, relu, not,
            exp, expm1, log, log1p, log2, log10, sin, cos, tan, arcsin, arccos, arctan, sinh, cosh, tanh,
            sigmoid, log_sigmoid, softplus, erf, norm_ppf
        }

        private final Fn fn;

        Unary(Args a) {
            super(a, a.floating("dtype"));
            fn = a.choice("fn", Fn.values());
            type = fn == Fn.not ? a.one(DType.BOOL) : a.one(FLOAT).with(dtype);
        }

        @Override
        Object run(Frame f) {
            int n = f.rows * type.width;
            if (fn == Fn.not) {
                long[] x = (long[]) f.values[in[0]];
                long[] out = new long[n];
                for (int k = 0; k < n; k++) {
                    out[k] = 1 - x[k];
                }
                return out;
            }
            double[] x = floats(f, 0);
            double[] out = new double[n];
            for (int k = 0; k < n; k++) {
                out[k] = apply(fn, x[k]);
            }
            return rounded(out);
        }

        private static double apply(Fn fn, double x) {
            switch (fn) {
                case neg: return -x;
                case abs: return Math.abs(x);
                case sign: return x > 0 ? 1.0 : x < 0 ? -1.0 : x == 0 ? 0.0 : x;
                case sqrt: return Math.sqrt(x);
                case square: return x * x;
                case reciprocal: return 1.0 / x;
                case floor: return Math.floor(x);
                case ceil: return Math.ceil(x);
                case round: return Math.rint(x);
                case trunc: return x < 0 ? Math.ceil(x) : Math.floor(x);
                case relu: return x > 0 || x != x ? x : 0.0;
                case exp: return Math.exp(x);
                case expm1: return Math.expm1(x);
                case log: return Math.log(x);
                case log1p: return Math.log1p(x);
                case log2: return Special.log2(x);
                case log10: return Math.log10(x);
                case sin: return Math.sin(x);
                case cos: return Math.cos(x);
                case tan: return Math.tan(x);
                case arcsin: return Math.asin(x);
                case arccos: return Math.acos(x);
                case arctan: return Math.atan(x);
                case sinh: return Math.sinh(x);
                case cosh: return Math.cosh(x);
                case tanh: return Math.tanh(x);
                case sigmoid: return sigmoid(x);
                case log_sigmoid: return x >= 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x));
                case softplus: return Math.max(x, 0.0) + Math.log1p(Math.exp(-Math.abs(x)));
                case erf: return Special.erf(x);
                case norm_ppf: return Special.normPpf(x);
                default: throw new IllegalStateException(fn.name());
            }
        }

        static double sigmoid(double x) {
            double e = Math.exp(-Math.abs(x));
            return x >= 0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
        }
    }

    /** binary: arithmetic, comparison or logic of two values that broadcast. */
    private static final class Binary extends Step {
        /** Spelled as in the format. */
        private enum Fn { add, sub, mul, div, min, max, pow, eq, ne, lt, le, gt, ge, and, or, xor }

        private final Fn fn;
        private final boolean compares;

        Binary(Args a) {
            super(a, a.floating("dtype"));
            a.arity(2, 2);
            fn = a.choice("fn", Fn.values());
            compares = fn.compareTo(Fn.eq) >= 0 && fn.compareTo(Fn.ge) <= 0;
            boolean equality = fn == Fn.eq || fn == Fn.ne;
            DType x = from[0].dtype;
            boolean fits = fn.compareTo(Fn.and) >= 0 ? x == DType.BOOL && from[1].dtype == x
                : x.isFloat() && from[1].dtype.isFloat()
                    || compares && from[1].dtype == x && (x == DType.I64 || equality && (x == DType.BOOL || x == DType.STR));
            if (!fits) {
                throw a.refuse("cannot compute " + fn + " of " + from[0] + " and " + from[1] + "; a cast step may help.");
            }
            Type shape = a.broadcast(from[0], from[1]);
            type = shape.with(compares || x == DType.BOOL ? DType.BOOL : dtype);
        }

        @Override
        Object run(Frame f) {
            int w = type.width;
            int n = f.rows * w;
            int wx = from[0].width;
            int wy = from[1].width;
            if (!from[0].dtype.isFloat()) {
                return ofOthers(f, n);
            }
            double[] x = floats(f, 0);
            double[] y = floats(f, 1);
            if (compares) {
                long[] out = new long[n];
                for (int k = 0; k < n; k++) {
                    out[k] = compare(fn, x[wx == w ? k : k / w], y[wy == w ? k : k / w]) ? 1 : 0;
                }
                return out;
            }
            double[] out = new double[n];
            for (int k = 0; k < n; k++) {
                out[k] = apply(fn, x[wx == w ? k : k / w], y[wy == w ? k : k / w]);
            }
            return rounded(out);
        }

        /** Of integers, booleans and strings. */
        private Object ofOthers(Frame f, int n) {
            int w = type.width;
            Object x = f.values[in[0]];
            Object y = f.values[in[1]];
            long[] out = new long[n];
            for (int k = 0; k < n; k++) {
                int i = from[0].width == w ? k : k / w;
                int j = from[1].width == w ? k : k / w;
                boolean result;
                if (x instanceof String[]) {
                    String s = ((String[]) x)[i];
                    String t = ((String[]) y)[j];
                    result = (s == null ? t == null : s.equals(t)) == (fn == Fn.eq);
                } else {
                    result = compare(fn, ((long[]) x)[i], ((long[]) y)[j]);
                }
                out[k] = result ? 1 : 0;
            }
            return out;
        }

        private static double apply(Fn fn, double x, double y) {
            switch (fn) {
                case add: return x + y;
                case sub: return x - y;
                case mul: return x * y;
                case div: return x / y;
                case min: return Math.min(x, y);
                case max: return Math.max(x, y);
                default: return Special.pow(x, y);
            }
        }

        private static boolean compare(Fn fn, double x, double y) {
            switch (fn) {
                case eq: return x == y;
                case ne: return x != y;
                case lt: return x < y;
                case le: return x <= y;
                case gt: return x > y;
                default: return x >= y;
            }
        }

        private static boolean compare(Fn fn, long x, long y) {
            switch (fn) {
                case eq: return x == y;
                case ne: case xor: return x != y;
                case lt: return x < y;
                case le: return x <= y;
                case gt: return x > y;
                case ge: return x >= y;
                case and: return (x & y) != 0;
                default: return (x | y) != 0;
            }
        }
    }

    /** where: the second value where the first is true, else the third. */
    private static final class Where extends Step {
        Where(Args a) {
            super(a);
            a.arity(3, 3);
            a.input(0, DType.BOOL);
            type = a.broadcast(from).with(a.input(2, from[1].dtype).dtype);
        }

        @Override
        Object run(Frame f) {
            int w = type.width;
            long[] condition = (long[]) f.values[in[0]];
            int[] position = new int[f.rows * w];
            for (int k = 0; k < position.length; k++) {
                boolean second = condition[from[0].width == w ? k : k / w] != 0;
                int at = from[second ? 1 : 2].width == w ? k : k / w;
                position[k] = second ? at : -1 - at;
            }
            return pick(f.values[in[1]], f.values[in[2]], position);
        }
    }

    /** linear: sum_j x_j * weight[k][j] in ascending j, rounded once, then + bias[k]. */
    private static final class Linear extends Step {
        private final double[] weight;
        private final double[] bias;

        Linear(Args a) {
            super(a, a.floating("dtype"));
            Tensor w = a.matrix("weight", dtype, a.one(FLOAT).width);
            weight = w.doubles();
            bias = a.floats("bias", dtype, true, w.shape[0]);
            type = Type.row(dtype, w.shape[0]);
        }

        @Override
        Object run(Frame f) {
            double[] x = floats(f, 0);
            double[] out = new double[f.rows * type.width];
            int r = 0;
            for (; r + 4 <= f.rows; r += 4) {
                fourRows(x, r, out);
            }
            for (; r < f.rows; r++) {
                for (int k = 0; k < type.width; k++) {
                    out[r * type.width + k] = biased(dot(x, r * from[0].width, k), k);
                }
            }
            return out;
        }

        private double dot(double[] x, int at, int k) {
            int d = from[0].width;
            double sum = 0.0;
            for (int j = 0; j < d; j++) {
                sum += x[at + j] * weight[k * d + j];
            }
            return sum;
        }

        /** Four independent sums hide the latency of each other's additions; the order within each is the same. */
        private void fourRows(double[] x, int r, double[] out) {
            int d = from[0].width;
            int o = type.width;
            int a = r * d;
            for (int k = 0; k < o; k++) {
                double s0 = 0.0;
                double s1 = 0.0;
                double s2 = 0.0;
                double s3 = 0.0;
                for (int j = 0; j < d; j++) {
                    double w = weight[k * d + j];
                    s0 += x[a + j] * w;
                    s1 += x[a + d + j] * w;
                    s2 += x[a + 2 * d + j] * w;
                    s3 += x[a + 3 * d + j] * w;
                }
                out[r * o + k] = biased(s0, k);
                out[(r + 1) * o + k] = biased(s1, k);
                out[(r + 2) * o + k] = biased(s2, k);
                out[(r + 3) * o + k] = biased(s3, k);
            }
        }

        private double biased(double sum, int k) {
            return bias == null ? round(sum) : round(round(sum) + bias[k]);
        }
    }

    /** softmax and log_softmax: exp(x - max) / sum, and x - max - log(sum). */
    private static final class Softmax extends Step {
        private final boolean log;

        Softmax(Args a, boolean log) {
            super(a, a.floating("dtype"));
            this.log = log;
            type = a.one(FLOAT).with(dtype);
        }

        @Override
        Object run(Frame f) {
            double[] x = floats(f, 0);
            int w = type.width;
            double[] out = new double[f.rows * w];
            double[] e = new double[w];
            for (int at = 0; at < out.length; at += w) {
                double max = Reduce.extreme(x, at, w, true);
                double sum = 0.0;
                for (int j = 0; j < w; j++) {
                    out[at + j] = round(x[at + j] - max);
                    e[j] = round(Math.exp(out[at + j]));
                    sum += e[j];
                }
                sum = log ? round(Math.log(round(sum))) : round(sum);
                for (int j = 0; j < w; j++) {
                    out[at + j] = round(log ? out[at + j] - sum : e[j] / sum);
                }
            }
            return out;
        }
    }

    /** normalize: rows divided by their norm; an all-zero row is unchanged. */
    private static final class Normalize extends Step {
        private final String norm;

        Normalize(Args a) {
            super(a, a.floating("dtype"));
            type = a.one(FLOAT).with(dtype);
            norm = a.choice("norm", false, "l1", "l2", "max");
        }

        @Override
        Object run(Frame f) {
            double[] x = floats(f, 0);
            int w = type.width;
            double[] out = new double[f.rows * w];
            for (int at = 0; at < out.length; at += w) {
                double by = norm(x, at, w);
                for (int j = at; j < at + w; j++) {
                    out[j] = by == 0 ? x[j] : round(x[j] / by);
                }
            }
            return out;
        }

        private double norm(double[] x, int at, int w) {
            double sum = 0.0;
            double max = 0.0;
            for (int j = at; j < at + w; j++) {
                sum += norm.equals("l2") ? x[j] * x[j] : Math.abs(x[j]);
                max = Math.max(max, Math.abs(x[j]));
            }
            return norm.equals("max") ? max : round(norm.equals("l2") ? Math.sqrt(sum) : sum);
        }
    }

    /** reduce: one number per row; ties go to the lowest index, and in min, max, argmin and argmax the first NaN wins. */
    private static final class Reduce extends Step {
        /** Spelled as in the format. */
        private enum Fn { sum, prod, mean, min, max, l2, logsumexp, argmax, argmin }

        private final Fn fn;

        Reduce(Args a) {
            super(a, a.floating("dtype"));
            Type x = a.one(FLOAT);
            fn = a.choice("fn", Fn.values());
            if (x.width == 0) {
                throw a.refuse("reduces a row without columns.");
            }
            boolean position = fn == Fn.argmax || fn == Fn.argmin;
            type = new Type(position ? DType.I64 : dtype, a.flag("keep") ? 1 : 0, 1);
        }

        @Override
        Object run(Frame f) {
            double[] x = floats(f, 0);
            int w = from[0].width;
            if (type.dtype == DType.I64) {
                long[] out = new long[f.rows];
                for (int r = 0; r < f.rows; r++) {
                    out[r] = position(x, r * w, w, fn == Fn.argmax);
                }
                return out;
            }
            double[] out = new double[f.rows];
            for (int r = 0; r < f.rows; r++) {
                out[r] = reduce(x, r * w, w);
            }
            return rounded(out);
        }

        private double reduce(double[] x, int at, int w) {
            switch (fn) {
                case min: return extreme(x, at, w, false);
                case max: return extreme(x, at, w, true);
                case prod: return product(x, at, w);
                case l2: return Math.sqrt(sum(x, x, at, w));
                case mean: return sum(x, null, at, w) / w;
                case sum: return sum(x, null, at, w);
                default: return logsumexp(x, at, w);
            }
        }

        private static double sum(double[] x, double[] times, int at, int w) {
            double sum = 0.0;
            for (int j = at; j < at + w; j++) {
                sum += times == null ? x[j] : x[j] * times[j];
            }
            return sum;
        }

        private static double product(double[] x, int at, int w) {
            double product = 1.0;
            for (int j = at; j < at + w; j++) {
                product *= x[j];
            }
            return product;
        }

        private static double logsumexp(double[] x, int at, int w) {
            double max = extreme(x, at, w, true);
            if (Double.isInfinite(max)) {
                return max;
            }
            double sum = 0.0;
            for (int j = at; j < at + w; j++) {
                sum += Math.exp(x[j] - max);
            }
            return max + Math.log(sum);
        }

        private static int position(double[] x, int at, int w, boolean max) {
            int best = 0;
            for (int j = 1; j < w && x[at + best] == x[at + best]; j++) {
                double v = x[at + j];
                best = v != v || (max ? v > x[at + best] : v < x[at + best]) ? j : best;
            }
            return best;
        }

        /** The largest (or smallest) of a row; NaN when one is NaN, and when there is none. */
        static double extreme(double[] x, int at, int w, boolean max) {
            return w == 0 ? Double.NaN : x[at + position(x, at, w, max)];
        }
    }

    /** two_class: [1 - p, p]. */
    private static final class TwoClass extends Step {
        TwoClass(Args a) {
            super(a, a.floating("dtype"));
            if (a.one(FLOAT).width != 1) {
                throw a.refuse("reads " + from[0] + "; one probability per row is needed.");
            }
            type = Type.row(dtype, 2);
        }

        @Override
        Object run(Frame f) {
            double[] p = floats(f, 0);
            double[] out = new double[2 * f.rows];
            for (int r = 0; r < f.rows; r++) {
                out[2 * r] = round(1.0 - p[r]);
                out[2 * r + 1] = p[r];
            }
            return out;
        }
    }

    /** take: table rows by index. */
    private static final class Take extends Step {
        private final Tensor table;

        Take(Args a) {
            super(a);
            Type x = a.one(INTEGER);
            table = a.tensor("table", null, 1, 2);
            if (table.shape.length == 2 && x.width != 1) {
                throw a.refuse("reads " + x + " with a table of rows; one index per row is needed.");
            }
            type = table.shape.length == 1 ? x.with(table.dtype) : Type.row(table.dtype, table.shape[1]);
        }

        @Override
        Object run(Frame f) {
            long[] x = (long[]) f.values[in[0]];
            int w = table.width();
            int[] position = new int[f.rows * type.width];
            for (int k = 0; k < f.rows * from[0].width; k++) {
                if (x[k] < 0 || x[k] >= table.shape[0]) {
                    throw refuseRow(f, k / from[0].width, "the index " + x[k] + " lies outside the table of " + table.shape[0] + " entries.");
                }
                for (int j = 0; j < w; j++) {
                    position[k * w + j] = (int) x[k] * w + j;
                }
            }
            return pick(table.data, null, position);
        }
    }

    /** poly: products of powers of columns, multiplied from the last factor to the first. */
    private static final class Poly extends Step {
        // Term k is the product of column[c] repeated power[c] times, c from start[k] to start[k + 1] - 1, ascending columns.
        private final int[] start;
        private final int[] column;
        private final int[] power;

        Poly(Args a) {
            super(a, a.floating("dtype"));
            Type x = a.one(FLOAT);
            Tensor t = a.integers("powers", 2);
            a.fits("powers", t, x.width);
            int[] powers = a.narrow("powers", t, -1, 0, 255);
            int count = 0;
            for (int p : powers) {
                count += p > 0 ? 1 : 0;
            }
            a.guard.take(8L * count);
            start = new int[t.shape[0] + 1];
            column = new int[count];
            power = new int[count];
            for (int k = 0, c = 0; k < t.shape[0]; k++, start[k] = c) {
                for (int j = 0; j < x.width; j++) {
                    if (powers[k * x.width + j] > 0) {
                        column[c] = j;
                        power[c++] = powers[k * x.width + j];
                    }
                }
            }
            type = Type.row(dtype, t.shape[0]);
        }

        @Override
        Object run(Frame f) {
            double[] x = floats(f, 0);
            double[] out = new double[f.rows * type.width];
            for (int r = 0; r < f.rows; r++) {
                for (int k = 0; k < type.width; k++) {
                    double product = 1.0;
                    for (int c = start[k + 1] - 1; c >= start[k]; c--) {
                        double v = x[r * from[0].width + column[c]];
                        for (int times = power[c]; times > 0; times--) {
                            product = round(product * v);
                        }
                    }
                    out[r * type.width + k] = product;
                }
            }
            return out;
        }
    }

    /** interp: piecewise linear through the knots (x, y). */
    private static final class Interp extends Step {
        private final double[] x;
        private final double[] y;
        private final String outside;

        Interp(Args a) {
            super(a, a.floating("dtype"));
            type = a.one(FLOAT).with(dtype);
            x = a.floats("x", dtype, false, -1);
            y = a.floats("y", dtype, false, x.length);
            outside = a.choice("outside", false, "clip", "nan", "extend");
            if (x.length < (outside.equals("extend") ? 2 : 1)) {
                throw a.refuse("has too few knots in \"x\"; one is needed, two to extend a line.");
            }
            for (int k = 0; k < x.length; k++) {
                if (!(Math.abs(x[k]) <= Double.MAX_VALUE && Math.abs(y[k]) <= Double.MAX_VALUE) || k > 0 && !(x[k] > x[k - 1])) {
                    throw a.refuse("has a knot at position " + k + " that is not finite, or not above the one before it.");
                }
            }
        }

        @Override
        Object run(Frame f) {
            double[] v = floats(f, 0);
            double[] out = new double[f.rows * type.width];
            for (int k = 0; k < out.length; k++) {
                out[k] = at(v[k]);
            }
            return out;
        }

        private double at(double v) {
            int last = x.length - 1;
            if (v != v || v == x[last]) {
                return v != v ? v : y[last];
            }
            if ((v < x[0] || v > x[last]) && !outside.equals("extend")) {
                return outside.equals("nan") ? Double.NaN : v < x[0] ? y[0] : y[last];
            }
            int low = 0;
            int high = last;
            while (high - low > 1) {
                int middle = (low + high) >>> 1;
                low = x[middle] <= v ? middle : low;
                high = x[middle] <= v ? high : middle;
            }
            double slope = round(round(y[low + 1] - y[low]) / round(x[low + 1] - x[low]));
            return round(round(slope * round(v - x[low])) + y[low]);
        }
    }

    /** pairwise: a distance or kernel between the row and each stored point; f32 is computed in f64 and rounded. */
    private static final class Pairwise extends Step {
        /** Spelled as in the format. */
        private enum Metric { dot, sqeuclidean, euclidean, manhattan, chebyshev, minkowski, cosine, rbf, laplacian, poly, sigmoid }

        private final Metric metric;
        private final double[] points;
        private final double[] norms;
        private final double gamma;
        private final double coef0;
        private final double degree;
        private final double p;

        Pairwise(Args a) {
            super(a, a.floating("dtype"));
            int d = a.one(FLOAT).width;
            Tensor t = a.matrix("points", dtype, d);
            points = t.doubles();
            metric = a.choice("metric", Metric.values());
            gamma = a.number("gamma", 1.0);
            coef0 = a.number("coef0", 0.0);
            degree = a.number("degree", 3.0);
            p = a.number("p", 2.0);
            if (!(p > 0)) {
                throw a.refuse("has \"p\" " + p + "; it is positive.");
            }
            norms = new double[t.shape[0]];
            for (int k = 0; k < norms.length; k++) {
                norms[k] = Math.sqrt(dot(points, k * d, points, k * d, d));
            }
            type = Type.row(dtype, norms.length);
        }

        @Override
        Object run(Frame f) {
            double[] x = floats(f, 0);
            int d = from[0].width;
            double[] out = new double[f.rows * type.width];
            for (int r = 0; r < f.rows; r++) {
                double norm = metric == Metric.cosine ? Math.sqrt(dot(x, r * d, x, r * d, d)) : 0.0;
                for (int k = 0; k < type.width; k++) {
                    out[r * type.width + k] = metric(x, r * d, k, d, norm);
                }
            }
            return rounded(out);
        }

        private double metric(double[] x, int at, int k, int d, double norm) {
            switch (metric) {
                case dot: return dot(x, at, points, k * d, d);
                case poly: return Special.pow(gamma * dot(x, at, points, k * d, d) + coef0, degree);
                case sigmoid: return Math.tanh(gamma * dot(x, at, points, k * d, d) + coef0);
                case cosine:
                    double both = norm * norms[k];
                    return both == 0 ? 1.0 : 1.0 - dot(x, at, points, k * d, d) / both;
                case sqeuclidean: return squares(x, at, k * d, d);
                case euclidean: return Math.sqrt(squares(x, at, k * d, d));
                case rbf: return Math.exp(-gamma * squares(x, at, k * d, d));
                default: return differences(x, at, k * d, d);
            }
        }

        private static double dot(double[] x, int i, double[] y, int k, int d) {
            double sum = 0.0;
            for (int j = 0; j < d; j++) {
                sum += x[i + j] * y[k + j];
            }
            return sum;
        }

        private double squares(double[] x, int i, int k, int d) {
            double sum = 0.0;
            for (int j = 0; j < d; j++) {
                double difference = x[i + j] - points[k + j];
                sum += difference * difference;
            }
            return sum;
        }

        private double differences(double[] x, int i, int k, int d) {
            double sum = 0.0;
            for (int j = 0; j < d; j++) {
                double difference = Math.abs(x[i + j] - points[k + j]);
                sum = metric == Metric.chebyshev ? Math.max(sum, difference) : sum + (metric == Metric.minkowski ? Special.pow(difference, p) : difference);
            }
            return metric == Metric.minkowski ? Special.pow(sum, 1.0 / p) : metric == Metric.laplacian ? Math.exp(-gamma * sum) : sum;
        }
    }

    /** gaussian_ll: log_prior - sum(log(2 pi var)) / 2 - sum((x - mean)^2 / var) / 2. */
    private static final class GaussianLl extends Step {
        private final double[] mean;
        private final double[] var;
        private final double[] base;

        GaussianLl(Args a) {
            super(a, a.floating("dtype"));
            int d = a.one(FLOAT).width;
            Tensor m = a.matrix("mean", dtype, d);
            Tensor v = a.matrix("var", dtype, d);
            mean = m.doubles();
            var = v.doubles();
            a.expect("var", v.shape[0], m.shape[0]);
            double[] prior = a.floats("log_prior", dtype, true, m.shape[0]);
            base = new double[m.shape[0]];
            for (int k = 0; k < base.length; k++) {
                double sum = 0.0;
                for (int j = 0; j < d; j++) {
                    sum += Math.log(2.0 * Math.PI * var[k * d + j]);
                }
                base[k] = (prior == null ? 0.0 : prior[k]) - 0.5 * sum;
            }
            type = Type.row(dtype, base.length);
        }

        @Override
        Object run(Frame f) {
            double[] x = floats(f, 0);
            int d = from[0].width;
            double[] out = new double[f.rows * type.width];
            for (int k = 0; k < out.length; k++) {
                int row = k / type.width * d;
                int centre = k % type.width * d;
                double sum = 0.0;
                for (int j = 0; j < d; j++) {
                    double difference = x[row + j] - mean[centre + j];
                    sum += difference * difference / var[centre + j];
                }
                out[k] = base[k % type.width] - 0.5 * sum;
            }
            return rounded(out);
        }
    }

    /** knn: the weighted mean of the targets of the k smallest distances, or their class weights. */
    private static final class Knn extends Step {
        private final int k;
        private final boolean byDistance;
        private final double[] targets;
        private final int[] classOf;

        Knn(Args a) {
            super(a, a.floating("dtype"));
            int m = a.one(FLOAT).width;
            k = a.integer("k", 1, m);
            byDistance = a.choice("weights", false, "uniform", "distance").equals("distance");
            if (a.has("classes")) {
                int classes = a.integer("classes", 1, a.guard.limits.tensorElements);
                targets = null;
                classOf = a.ints("targets", m, 0, classes - 1);
                type = Type.row(DType.F64, classes);
            } else {
                Tensor t = a.tensor("targets", DType.F64, 2, 2);
                a.expect("targets", t.shape[0], m);
                targets = t.doubles();
                classOf = null;
                type = Type.row(DType.F64, t.shape[1]);
            }
        }

        @Override
        Object run(Frame f) {
            double[] d = floats(f, 0);
            int m = from[0].width;
            double[] out = new double[f.rows * type.width];
            int[] nearest = new int[k];
            for (int r = 0; r < f.rows; r++) {
                nearest(d, r * m, m, nearest);
                mean(d, r * m, nearest, out, r * type.width);
            }
            return out;
        }

        /** The positions of the k smallest: all below the k-th smallest, then the first that equal it. NaN comes last. */
        private void nearest(double[] d, int at, int m, int[] nearest) {
            double[] sorted = new double[m];
            for (int j = 0; j < m; j++) {
                sorted[j] = d[at + j] + 0.0;
            }
            Arrays.sort(sorted);
            double bound = sorted[k - 1];
            int n = 0;
            for (int j = 0; j < m && n < k; j++) {
                if (d[at + j] < bound || bound != bound && d[at + j] == d[at + j]) {
                    nearest[n++] = j;
                }
            }
            for (int j = 0; j < m && n < k; j++) {
                if (d[at + j] == bound || bound != bound && d[at + j] != d[at + j]) {
                    nearest[n++] = j;
                }
            }
        }

        private void mean(double[] d, int at, int[] nearest, double[] out, int to) {
            boolean zero = false;
            for (int j : nearest) {
                zero |= d[at + j] == 0;
            }
            double sum = 0.0;
            for (int j : nearest) {
                double weight = !byDistance ? 1.0 : zero ? (d[at + j] == 0 ? 1.0 : 0.0) : 1.0 / d[at + j];
                sum += weight;
                if (classOf != null) {
                    out[to + classOf[j]] += weight;
                }
                for (int o = 0; classOf == null && o < type.width; o++) {
                    out[to + o] += weight * targets[j * type.width + o];
                }
            }
            for (int o = to; o < to + type.width; o++) {
                out[o] /= sum;
            }
        }
    }

    /** ovo_vote: votes, their one-vs-rest shape, or coupled probabilities, from one decision per pair of classes (i, j), i < j. */
    private static final class OvoVote extends Step {
        private final int classes;
        private final String mode;
        private final double[] probA;
        private final double[] probB;

        OvoVote(Args a) {
            super(a, a.floating("dtype"));
            int pairs = a.one(FLOAT).width;
            classes = a.integer("classes", 2, a.guard.limits.tensorElements);
            mode = a.choice("mode", false, "votes", "ovr", "coupling");
            if (classes * (classes - 1L) / 2 != pairs) {
                throw a.refuse("reads " + from[0] + "; " + classes + " classes have " + classes * (classes - 1L) / 2 + " pairs.");
            }
            boolean coupling = mode.equals("coupling");
            probA = coupling ? a.floats("prob_a", dtype, false, pairs) : null;
            probB = coupling ? a.floats("prob_b", dtype, false, pairs) : null;
            type = Type.row(dtype, classes);
        }

        @Override
        Object run(Frame f) {
            double[] d = floats(f, 0);
            double[] out = new double[f.rows * classes];
            double[][] q = new double[mode.equals("coupling") ? classes : 0][classes];
            for (int r = 0; r < f.rows; r++) {
                if (q.length > 0) {
                    couple(d, r * from[0].width, q, out, r * classes);
                } else {
                    vote(d, r * from[0].width, out, r * classes);
                }
            }
            return rounded(out);
        }

        private void vote(double[] d, int pair, double[] out, int at) {
            double[] sums = new double[classes];
            for (int i = 0; i < classes; i++) {
                for (int j = i + 1; j < classes; j++, pair++) {
                    out[at + (d[pair] > 0 ? i : j)] += 1.0;
                    sums[i] += d[pair];
                    sums[j] -= d[pair];
                }
            }
            for (int i = 0; mode.equals("ovr") && i < classes; i++) {
                out[at + i] += sums[i] / (3.0 * (Math.abs(sums[i]) + 1.0));
            }
        }

        /** Pairwise coupling of Wu, Lin and Weng (2004) as libsvm iterates it. q[t][j] first holds r_tj. */
        private void couple(double[] d, int at, double[][] q, double[] out, int to) {
            for (int i = 0, pair = 0; i < classes; i++) {
                for (int j = i + 1; j < classes; j++, pair++) {
                    double r = Unary.sigmoid(-(probA[pair] * d[at + pair] + probB[pair]));
                    q[i][j] = Math.min(Math.max(r, 1e-7), 1 - 1e-7);
                    q[j][i] = 1 - q[i][j];
                }
            }
            if (classes == 2) {
                out[to] = q[0][1];
                out[to + 1] = q[1][0];
                return;
            }
            for (int t = 0; t < classes; t++) {
                q[t][t] = 0.0;
                for (int j = 0; j < classes; j++) {
                    q[t][t] += j == t ? 0.0 : q[j][t] * q[j][t];
                }
            }
            for (int t = 0; t < classes; t++) {
                for (int j = t + 1; j < classes; j++) {
                    q[t][j] = q[j][t] = -q[j][t] * q[t][j];
                }
            }
            double[] p = new double[classes];
            Arrays.fill(p, 1.0 / classes);
            iterate(q, p);
            System.arraycopy(p, 0, out, to, classes);
        }

        private static void iterate(double[][] q, double[] p) {
            int c = p.length;
            double[] qp = new double[c];
            for (int round = 0; round < Math.max(100, c); round++) {
                double pqp = 0.0;
                for (int t = 0; t < c; t++) {
                    qp[t] = 0.0;
                    for (int j = 0; j < c; j++) {
                        qp[t] += q[t][j] * p[j];
                    }
                    pqp += p[t] * qp[t];
                }
                double error = 0.0;
                for (int t = 0; t < c; t++) {
                    error = Math.max(error, Math.abs(qp[t] - pqp));
                }
                if (!(error >= 0.005 / c)) {
                    return;
                }
                for (int t = 0; t < c; t++) {
                    double diff = (pqp - qp[t]) / q[t][t];
                    p[t] += diff;
                    pqp = (pqp + diff * (diff * q[t][t] + 2 * qp[t])) / (1 + diff) / (1 + diff);
                    for (int j = 0; j < c; j++) {
                        qp[j] = (qp[j] + diff * q[t][j]) / (1 + diff);
                        p[j] /= 1 + diff;
                    }
                }
            }
        }
    }

    // =================================================================================================================
    // 6 Trees
    // =================================================================================================================

    /** tree_ensemble: the sum (or mean) of the leaves that a row reaches, tree by tree in order. Nodes are in preorder: left is i + 1. */
    private static final class TreeEnsemble extends Step {
        final int columns;
        final boolean strict;
        final String missing;
        final int[] root;
        final int[] feature;      // [N] column, or -1 for a leaf
        final int[] next;         // [N] right child, or the leaf's row in `leaf`
        final double[] threshold; // [N] unused at leaves
        private final DType acc;
        private final boolean mean;
        private final int leafWidth;
        private final double[] leaf;
        private final int[] classOf;
        private final double[] init;
        private final boolean[] missingLeft; // [N] with missing = "node"
        final int[] category;                // [N] set of a categorical node, or -1; null without categories
        private int[] setStart;
        private long[] set;
        private volatile PackedTrees packed;
        private volatile boolean unpackable;

        TreeEnsemble(Args a) {
            super(a, a.floating("dtype"));
            a.arity(1, 2);
            columns = a.input(0, FLOAT).width;
            strict = a.choice("cmp", true, "le", "lt").equals("lt");
            missing = a.choice("missing", true, "error", "left", "right", "node");
            acc = a.floating("acc");
            mean = a.choice("aggregate", true, "sum", "mean").equals("mean");
            feature = a.ints("feature", -1, -1, columns - 1);
            root = roots(a);
            int inner = 0;
            for (int column : feature) {
                inner += column >= 0 ? 1 : 0;
            }
            a.guard.take(17L * feature.length);
            next = new int[feature.length];
            preorder(a, a.ints("right", inner, 0, feature.length));
            threshold = perNode(thresholds(a, inner));
            missingLeft = missingLeft(a, inner);
            category = categories(a, inner);
            leafWidth = a.has("leaf_width") ? a.integer("leaf_width", 1, a.guard.limits.rowElements) : 1;
            leaf = leaves(a, feature.length - inner);
            classOf = a.has("class") ? a.ints("class", root.length, 0, Integer.MAX_VALUE) : null;
            type = Type.row(acc, width(a));
            init = a.floats("init", acc, true, type.width);
            if (from.length == 2 && (a.input(1, acc).width != type.width || init != null)) {
                throw a.refuse(init != null ? "has \"init\" and a second value that takes its place; give one of them."
                    : "reads " + from[1] + " as the start of its sum; " + type + " is needed.");
            }
        }

        private int[] roots(Args a) {
            int[] start = a.ints("start", -1, 0, feature.length - 1);
            boolean good = start.length > 0 && start[0] == 0;
            for (int t = 1; good && t < start.length; t++) {
                good = start[t] > start[t - 1];
            }
            if (!good) {
                throw a.refuse("has \"start\" that does not begin with 0 and ascend strictly.");
            }
            return start;
        }

        private int end(int tree) {
            return tree + 1 < root.length ? root[tree + 1] : feature.length;
        }

        /** Checks that every tree is one tree in preorder, so that every walk ends; fills `next`. */
        private void preorder(Args a, int[] right) {
            int[] open = new int[64];
            int inner = 0;
            for (int t = 0, i = 0; t < root.length; t++) {
                int depth = 0;
                for (; i < end(t); i++) {
                    boolean good;
                    if (feature[i] >= 0) {
                        next[i] = root[t] + right[inner++];
                        good = next[i] > i + 1 && next[i] < end(t);
                        open = depth < open.length ? open : Arrays.copyOf(open, 2 * depth);
                        open[depth++] = next[i];
                    } else {
                        next[i] = i - inner;
                        good = depth > 0 ? open[--depth] == i + 1 : i + 1 == end(t);
                    }
                    if (!good) {
                        throw a.refuse("has a tree (number " + t + ") whose nodes do not form one tree in preorder at node " + (i - root[t]) + ".");
                    }
                }
            }
        }

        private static double[] thresholds(Args a, int inner) {
            DType dtype = a.floating("dtype");
            double[] threshold = a.floats("threshold", dtype, false, inner);
            for (int k = 0; k < inner; k++) {
                if (threshold[k] != threshold[k]) {
                    throw a.refuse("has NaN in \"threshold\" at position " + k + ".");
                }
            }
            return threshold;
        }

        /** Values of the inner nodes, spread to all nodes. */
        private double[] perNode(double[] inner) {
            double[] spread = new double[feature.length];
            for (int i = 0, k = 0; i < spread.length; i++) {
                spread[i] = feature[i] >= 0 ? inner[k++] : 0.0;
            }
            return spread;
        }

        private boolean[] missingLeft(Args a, int inner) {
            if (!missing.equals("node")) {
                return null;
            }
            int[] given = a.ints("missing_left", inner, 0, 1);
            boolean[] left = new boolean[feature.length];
            for (int i = 0, k = 0; i < left.length; i++) {
                left[i] = feature[i] >= 0 && given[k++] == 1;
            }
            return left;
        }

        private int[] categories(Args a, int inner) {
            boolean present = a.has("category");
            if (a.has("set_start") != present || a.has("set") != present) {
                throw a.refuse("has some of \"category\", \"set_start\" and \"set\"; they go together.");
            }
            if (!present) {
                return null;
            }
            set = a.integers("set", 1).longs();
            setStart = a.ints("set_start", -1, 0, set.length);
            int[] given = a.ints("category", inner, -1, setStart.length - 1);
            checkSets(a);
            a.guard.take(4L * feature.length);
            int[] spread = new int[feature.length];
            for (int i = 0, k = 0; i < spread.length; i++) {
                spread[i] = feature[i] >= 0 ? given[k++] : -1;
                if (spread[i] >= 0 && threshold[i] != 0) {
                    throw a.refuse("has a categorical node with the threshold " + threshold[i] + "; it is 0.");
                }
            }
            return spread;
        }

        private void checkSets(Args a) {
            boolean good = setStart.length > 0 ? setStart[0] == 0 : set.length == 0;
            for (int s = 0; good && s < setStart.length; s++) {
                good = setStart[s] <= setEnd(s);
                for (int k = setStart[s]; good && k < setEnd(s); k++) {
                    good = set[k] >= 0 && (k == setStart[s] || set[k] > set[k - 1]);
                }
            }
            if (!good) {
                throw a.refuse("has category sets that do not begin at 0, cover \"set\" in order and ascend from 0 each.");
            }
        }

        private int setEnd(int s) {
            return s + 1 < setStart.length ? setStart[s + 1] : set.length;
        }

        /** The distinct leaf rows; with leaf_table the leaves name rows of it, else they are the rows in node order. */
        private double[] leaves(Args a, int count) {
            if (!a.has("leaf_table")) {
                double[] values = a.floats("leaf", acc, false, -1);
                if (values.length != (long) count * leafWidth) {
                    throw a.refuse("has \"leaf\" with " + values.length + " elements; " + count + " leaves of width " + leafWidth + " are needed.");
                }
                return values;
            }
            double[] table = a.floats("leaf_table", acc, false, -1);
            if (table.length % leafWidth != 0) {
                throw a.refuse("has \"leaf_table\" with " + table.length + " elements, which do not make rows of " + leafWidth + ".");
            }
            int[] place = a.ints("leaf", count, 0, table.length / leafWidth - 1);
            for (int i = 0; i < next.length; i++) {
                next[i] = feature[i] < 0 ? place[next[i]] : next[i];
            }
            return table;
        }

        private int width(Args a) {
            if (classOf == null && !a.has("size")) {
                return leafWidth;
            }
            if (classOf == null || leafWidth != 1) {
                throw a.refuse(classOf == null ? "has \"size\" without \"class\"; they go together." : "has \"class\", which needs leaf_width 1.");
            }
            int size = a.integer("size", 1, a.guard.limits.rowElements);
            for (int c : classOf) {
                if (c >= size) {
                    throw a.refuse("has the class " + c + "; it lies between 0 and " + (size - 1) + ".");
                }
            }
            return size;
        }

        @Override
        Object run(Frame f) {
            double[] x = floats(f, 0);
            double[] start = from.length == 2 ? (double[]) f.values[in[1]] : null;
            double[] out = new double[f.rows * type.width];
            for (int r = 0; r < f.rows; r++) {
                begin(out, r, start);
            }
            PackedTrees fast = packed(f.rows);
            boolean[] slow = fast == null ? null : fast.add(x, f.rows, out);
            for (int r = 0; slow != null && r < f.rows; r++) {
                if (slow[r]) {
                    begin(out, r, start);
                }
            }
            for (int t = 0; t < root.length && (fast == null || slow != null); t++) {
                for (int r = 0; r < f.rows; r++) {
                    if (slow == null || slow[r]) {
                        add(out, r, t, walk(root[t], x, r, f));
                    }
                }
            }
            for (int k = 0; mean && k < out.length; k++) {
                out[k] = toAcc(out[k] / root.length);
            }
            return out;
        }

        private void begin(double[] out, int r, double[] start) {
            for (int o = 0; o < type.width; o++) {
                out[r * type.width + o] = start != null ? start[r * type.width + o] : init != null ? init[o] : 0.0;
            }
        }

        private double toAcc(double v) {
            return acc == DType.F32 ? (float) v : v;
        }

        /** Adds a leaf of the tree to row r; every addition is rounded to acc. */
        void add(double[] out, int r, int tree, int leafRow) {
            if (leafWidth == 1) {
                int k = r * type.width + (classOf == null ? 0 : classOf[tree]);
                out[k] = toAcc(out[k] + leaf[leafRow]);
                return;
            }
            for (int o = 0; o < leafWidth; o++) {
                int k = r * leafWidth + o;
                out[k] = toAcc(out[k] + leaf[leafRow * leafWidth + o]);
            }
        }

        /** The leaf row that row r reaches from a node: the walk that knows NaN and categories. */
        private int walk(int node, double[] x, int r, Frame f) {
            int i = node;
            while (feature[i] >= 0) {
                double v = x[r * columns + feature[i]];
                boolean left;
                if (v != v) {
                    left = nanLeft(i, r, f);
                } else if (category != null && category[i] >= 0) {
                    left = contains(category[i], v);
                } else {
                    left = strict ? v < threshold[i] : v <= threshold[i];
                }
                i = left ? i + 1 : next[i];
            }
            return next[i];
        }

        private boolean nanLeft(int i, int r, Frame f) {
            switch (missing) {
                case "left": return true;
                case "right": return false;
                case "node": return missingLeft[i];
                default: throw refuseRow(f, r, "a tree compares column " + feature[i] + ", which is NaN; this model does not accept it.");
            }
        }

        private boolean contains(int s, double v) {
            long code = (long) v;
            return code == v && v < 0x1p63 && Arrays.binarySearch(set, setStart[s], setEnd(s), code) >= 0;
        }

        /** The packed form, built when a batch is large enough to be worth it; null for the walk. */
        private PackedTrees packed(int rows) {
            if (packed == null && !unpackable && 4L * rows * root.length >= feature.length) {
                packed = PackedTrees.of(this);
                unpackable = packed == null;
            }
            return packed;
        }
    }

    /**
     * Trees packed for speed: a node is one long, key << 32 | step << bits | column. The children of a node stand side by side, `step`
     * places after it. A row's number and a threshold are compared as integer keys of the same order, without a branch: right when the
     * row's key is greater. A leaf has step 0, its leaf row as key, and reads an extra column whose key is the smallest of all: the walk
     * stays on it, so that four rows can walk together until the last has arrived.
     */
    private static final class PackedTrees {
        private final TreeEnsemble trees;
        private final long[] node;
        private final int bits;
        private final double[][] edges; // [columns] sorted distinct thresholds, for f64; f32 needs none

        private PackedTrees(TreeEnsemble trees, int bits) {
            this.trees = trees;
            this.bits = bits;
            this.node = new long[trees.feature.length];
            this.edges = trees.dtype == DType.F64 ? edges(trees) : null;
        }

        /** null when a category has to be looked up, or when column and step do not fit 32 bits together. */
        static PackedTrees of(TreeEnsemble trees) {
            int bits = 32 - Integer.numberOfLeadingZeros(trees.columns);
            if (trees.category != null || trees.leaf.length == 0) {
                return null;
            }
            PackedTrees p = new PackedTrees(trees, bits);
            int[] place = new int[p.node.length];
            for (int t = 0; t < trees.root.length; t++) {
                int free = trees.root[t] + 1;
                place[free - 1] = free - 1;
                for (int i = trees.root[t]; i < trees.end(t); i++) {
                    long low = trees.columns;
                    long key = trees.next[i];
                    if (trees.feature[i] >= 0) {
                        long step = free - place[i];
                        if (step >> (32 - bits) != 0) {
                            return null;
                        }
                        place[i + 1] = free++;
                        place[trees.next[i]] = free++;
                        low = step << bits | trees.feature[i];
                        key = p.limit(trees.feature[i], trees.threshold[i]);
                    }
                    p.node[place[i]] = key << 32 | low;
                }
            }
            return p;
        }

        private static double[][] edges(TreeEnsemble trees) {
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
                    edges[j][--count[j]] = trees.threshold[i] + 0.0;
                }
            }
            for (int j = 0; j < edges.length; j++) {
                Arrays.sort(edges[j]);
                int distinct = 0;
                for (double e : edges[j]) {
                    if (distinct == 0 || e > edges[j][distinct - 1]) {
                        edges[j][distinct++] = e;
                    }
                }
                edges[j] = Arrays.copyOf(edges[j], distinct);
            }
            return edges;
        }

        /** The greatest key that goes left at a threshold. */
        private int limit(int column, double threshold) {
            return edges == null ? sortable((float) threshold) - (trees.strict ? 1 : 0) : below(edges[column], threshold, false);
        }

        private int key(int column, double v) {
            return edges == null ? sortable((float) v) : below(edges[column], v, trees.strict);
        }

        /** A float as an integer of the same order; -0.0 is 0.0. The smallest integer stays free for the extra column. */
        private static int sortable(float v) {
            int raw = Float.floatToRawIntBits(v);
            return raw < 0 ? Integer.MIN_VALUE - raw : raw;
        }

        /** The number of edges below v, or not above it. */
        private static int below(double[] edges, double v, boolean orEqual) {
            int low = 0;
            int high = edges.length;
            while (low < high) {
                int middle = (low + high) >>> 1;
                if (orEqual ? edges[middle] <= v : edges[middle] < v) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            return low;
        }

        /** Adds the leaves of all trees to out; returns the rows whose NaN needs the slow walk (out is then to be redone), or null. */
        boolean[] add(double[] x, int rows, double[] out) {
            int stride = trees.columns + 1;
            int block = Math.max(4, Math.min(rows, (1 << 16) / stride));
            int[] keys = new int[block * stride];
            boolean[] slow = null;
            for (int first = 0; first < rows; first += block) {
                int n = Math.min(block, rows - first);
                for (int r = 0; r < n; r++) {
                    if (!keys(x, first + r, keys, r * stride)) {
                        slow = slow == null ? new boolean[rows] : slow;
                        slow[first + r] = true;
                    }
                }
                for (int t = 0; t < trees.root.length; t++) {
                    addTree(t, keys, stride, n, out, first);
                }
            }
            return slow;
        }

        /** The keys of one row; false when NaN does not simply go left or right. */
        private boolean keys(double[] x, int row, int[] keys, int at) {
            boolean left = trees.missing.equals("left");
            boolean clean = true;
            for (int j = 0; j < trees.columns; j++) {
                double v = x[row * trees.columns + j];
                if (v == v) {
                    keys[at + j] = key(j, v);
                } else {
                    keys[at + j] = left ? Integer.MIN_VALUE : Integer.MAX_VALUE;
                    clean = false;
                }
            }
            keys[at + trees.columns] = Integer.MIN_VALUE;
            return clean || left || trees.missing.equals("right");
        }

        private void addTree(int t, int[] x, int stride, int n, double[] out, int first) {
            int root = trees.root[t];
            int r = 0;
            for (; r + 4 <= n; r += 4) {
                int a = r * stride;
                int b = a + stride;
                int c = b + stride;
                int d = c + stride;
                int i = root;
                int j = root;
                int k = root;
                int l = root;
                long p;
                long q;
                long s;
                long u;
                do {
                    p = node[i];
                    q = node[j];
                    s = node[k];
                    u = node[l];
                    i += step(p, x, a);
                    j += step(q, x, b);
                    k += step(s, x, c);
                    l += step(u, x, d);
                } while (((int) (p | q | s | u)) >>> bits != 0);
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

    // =================================================================================================================
    // 7 Model
    // =================================================================================================================

    /** One input of a model. */
    public static final class Input {
        public final String name;
        public final DType dtype;
        /** "error": NaN and null are refused; "nan" or "null": accepted. */
        public final String missing;
        /** The names of a matrix's columns, or null. */
        public final List<String> features;
        final Type type;

        Input(String name, Type type, String missing, List<String> features) {
            this.name = name;
            this.dtype = type.dtype;
            this.type = type;
            this.missing = missing;
            this.features = features;
        }

        /** The shape of one row: {} or {width}. */
        public int[] shape() {
            return type.rank == 0 ? new int[0] : new int[] {type.width};
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
        final int slot;
        final Type type;

        Output(String name, int slot, Type type, String role, List<Object> classes) {
            this.name = name;
            this.dtype = type.dtype;
            this.slot = slot;
            this.type = type;
            this.role = role;
            this.classes = classes;
        }

        /** The shape of one row: {} or {width}. */
        public int[] shape() {
            return type.rank == 0 ? new int[0] : new int[] {type.width};
        }
    }

    /** How one output compared with the vectors. */
    public static final class Check {
        public final String output;
        public final boolean passed;
        /** One sentence: what differs first, or how close the worst element is. */
        public final String sentence;

        Check(String output, boolean passed, String sentence) {
            this.output = output;
            this.passed = passed;
            this.sentence = sentence;
        }
    }

    /** A loaded model. Immutable; may be shared by threads. */
    public static final class Model {
        private static final int BLOCK_ELEMENTS = 1 << 22;
        private static final int BLOCK_ROWS = 1 << 14;
        private final String name;
        private final List<Input> inputs;
        private final List<Output> outputs;
        private final List<String> requires;
        private final List<Step> steps;
        private final long rowElements;
        private final Limits limits;
        private final Vectors carried;

        Model(Loader l, Vectors carried) {
            this.name = l.name;
            this.inputs = Collections.unmodifiableList(l.inputs);
            this.outputs = Collections.unmodifiableList(l.outputs);
            this.requires = Collections.unmodifiableList(l.requires);
            this.steps = l.steps;
            this.rowElements = l.rowElements;
            this.limits = l.guard.limits;
            this.carried = carried;
        }

        public List<Input> inputs() {
            return inputs;
        }

        public List<Output> outputs() {
            return outputs;
        }

        /** The ops that the model uses. */
        public List<String> requires() {
            return requires;
        }

        /** Predicts rows of a model that has one matrix: predict(row), predict(row, row) or predict(rows). */
        public Map<String, Tensor> predict(double[]... rows) {
            if (inputs.size() != 1) {
                throw new Refused("The model has " + inputs.size() + " inputs; give them by name.");
            }
            return predict(Collections.singletonMap(inputs.get(0).name, Tensor.of(rows)));
        }

        /**
         * Predicts columns by name: one Tensor, primitive array, matrix, String[] or List for each input. A matrix with features may be
         * given as one column for each feature instead. Integers and booleans (true = 1) are accepted where floats are expected.
         */
        public Map<String, Tensor> predict(Map<String, ?> columns) {
            Set<String> used = new HashSet<>();
            Object[] bound = new Object[inputs.size()];
            int rows = -1;
            for (int k = 0; k < bound.length; k++) {
                Input input = inputs.get(k);
                Object given = columns.get(input.name);
                Tensor t = given == null && input.features != null ? gather(input, columns, used) : bind(input, given);
                used.add(input.name);
                if (rows >= 0 && t.rows() != rows) {
                    throw new Refused("Input " + quote(input.name) + " has " + t.rows() + " rows, the inputs before it have " + rows + "; give equally many.");
                }
                rows = t.rows();
                bound[k] = t.data;
                missing(input, t.data);
            }
            for (String key : columns.keySet()) {
                if (!used.contains(key)) {
                    throw new Refused("The input " + quote(key) + " is not one of the model's; remove it.");
                }
            }
            return evaluate(bound, rows);
        }

        /** Predicts records: one map per row, from the name of an input of one column, or of a feature, to its value. */
        public Map<String, Tensor> predictRecords(List<? extends Map<String, ?>> records) {
            Map<String, Object> columns = new LinkedHashMap<>();
            for (Input input : inputs) {
                boolean single = input.type.width == 1 && input.features == null;
                if (!single && input.features == null) {
                    throw new Refused("Input " + quote(input.name) + " is a matrix without features; records cannot name its columns.");
                }
                for (String key : single ? Collections.singletonList(input.name) : input.features) {
                    columns.put(key, column(records, key, input));
                }
            }
            for (Map<String, ?> record : records) {
                for (String key : record.keySet()) {
                    if (!columns.containsKey(key)) {
                        throw new Refused("The column " + quote(key) + " of a record is not one of the model's; remove it.");
                    }
                }
            }
            return predict(columns);
        }

        private static Tensor column(List<? extends Map<String, ?>> records, String key, Input input) {
            Object data = input.dtype.allocate(records.size());
            for (int r = 0; r < records.size(); r++) {
                if (!records.get(r).containsKey(key)) {
                    throw new Refused("Row " + r + " lacks " + quote(key) + "; give null where a value is missing.");
                }
                Tensor.put(data, r, records.get(r).get(key), input.dtype, "Input " + quote(key));
            }
            return new Tensor(input.dtype, data, records.size());
        }

        /** A matrix from one column per feature. */
        private static Tensor gather(Input input, Map<String, ?> columns, Set<String> used) {
            int w = input.type.width;
            Tensor result = null;
            for (int j = 0; j < w; j++) {
                String key = input.features.get(j);
                String where = "Column " + quote(key);
                if (columns.get(key) == null) {
                    throw new Refused("Neither input " + quote(input.name) + " nor its column " + quote(key) + " is given; give one value per row.");
                }
                Tensor t = Tensor.from(columns.get(key), input.dtype, where);
                if (result == null) {
                    result = new Tensor(input.dtype, input.dtype.allocate(elements(t.size(), w)), t.size(), w);
                }
                if (t.size() != result.rows() || t.rows() != result.rows()) {
                    throw new Refused(where + " has " + t.size() + " values, the columns before it have " + result.rows() + "; give one value per row.");
                }
                Object data = t.as(input.dtype, where);
                for (int r = 0; r < result.rows(); r++) {
                    System.arraycopy(data, r, result.data, r * w + j, 1);
                }
                used.add(key);
            }
            return result == null ? new Tensor(input.dtype, input.dtype.allocate(0), 0, 0) : result;
        }

        private static Tensor bind(Input input, Object given) {
            String where = "Input " + quote(input.name);
            if (given == null) {
                throw new Refused(where + " is missing; give one value per row.");
            }
            Tensor t = Tensor.from(given, input.dtype, where);
            boolean column = t.shape.length == 1 && input.type.width == 1;
            boolean matrix = t.shape.length == 2 && input.type.rank == 1 && (t.shape[1] == input.type.width || t.shape[0] == 0);
            if (!column && !matrix) {
                throw new Refused(where + " has the shape " + Arrays.toString(t.shape) + "; " + input.type + " per row is needed.");
            }
            return new Tensor(input.dtype, t.as(input.dtype, where), t.rows());
        }

        private static void missing(Input input, Object data) {
            if (input.missing.equals("error") && !(data instanceof long[])) {
                int n = data instanceof double[] ? ((double[]) data).length : ((String[]) data).length;
                for (int k = 0; k < n; k++) {
                    if (data instanceof double[] ? ((double[]) data)[k] != ((double[]) data)[k] : ((String[]) data)[k] == null) {
                        throw new Refused("Input " + quote(input.name) + " has a missing value in row " + k / input.type.width + "; this model does not accept it.");
                    }
                }
            }
        }

        /** Runs the steps block by block, so that memory stays bounded. */
        private Map<String, Tensor> evaluate(Object[] bound, int rows) {
            Guard guard = new Guard(limits);
            Map<String, Tensor> result = new LinkedHashMap<>();
            for (Output o : outputs) {
                guard.take(8L * rows * o.type.width);
                result.put(o.name, new Tensor(o.dtype, o.dtype.allocate(elements(rows, o.type.width)), o.type.shape(rows)));
            }
            int block = (int) Math.max(1, Math.min(BLOCK_ROWS, BLOCK_ELEMENTS / Math.max(1, rowElements)));
            for (int first = 0; first < rows; first += block) {
                Frame f = new Frame(Math.min(block, rows - first), first, new Object[inputs.size() + steps.size()]);
                for (int k = 0; k < bound.length; k++) {
                    Input input = inputs.get(k);
                    f.values[k] = f.rows == rows ? bound[k] : slice(bound[k], input, first, f.rows);
                }
                for (int k = 0; k < steps.size(); k++) {
                    f.values[bound.length + k] = steps.get(k).run(f);
                }
                for (Output o : outputs) {
                    System.arraycopy(f.values[o.slot], 0, result.get(o.name).data, first * o.type.width, f.rows * o.type.width);
                }
            }
            return result;
        }

        private static Object slice(Object data, Input input, int first, int rows) {
            Object part = input.dtype.allocate(rows * input.type.width);
            System.arraycopy(data, first * input.type.width, part, 0, rows * input.type.width);
            return part;
        }

        /** Reads {"inputs": {name: tensor}}, predicts, and returns the outputs (docs/format.md, section 11). */
        public Map<String, Tensor> predictJson(byte[] request) {
            Guard guard = new Guard(limits);
            Json root = Parser.parse(request, "The request", guard);
            root.only("The request", "inputs");
            Json given = root.need("inputs", "The request").object("The request's inputs");
            Map<String, Tensor> columns = new LinkedHashMap<>();
            for (Map.Entry<String, Json> entry : given.members.entrySet()) {
                String where = "Input " + quote(entry.getKey());
                Input input = named(entry.getKey());
                Input owner = input == null ? owner(entry.getKey()) : input;
                Tensor t = Tensor.read(entry.getValue(), owner.dtype, where, guard);
                int[] needed = input == null ? new int[] {t.rows()} : input.type.shape(t.rows());
                if (t.dtype != owner.dtype || !Arrays.equals(t.shape, needed)) {
                    throw new Refused(where + " is " + t.dtype + Arrays.toString(t.shape) + "; " + owner.dtype + Arrays.toString(needed) + " is needed.");
                }
                columns.put(entry.getKey(), t);
            }
            return predict(columns);
        }

        private Input named(String name) {
            for (Input input : inputs) {
                if (input.name.equals(name)) {
                    return input;
                }
            }
            return null;
        }

        private Input owner(String feature) {
            for (Input input : inputs) {
                if (input.features != null && input.features.contains(feature)) {
                    return input;
                }
            }
            throw new Refused("The input " + quote(feature) + " is not one of the model's; remove it.");
        }

        /** Replays the vectors that the document carries. */
        public List<Check> verify() {
            if (carried == null) {
                throw new Refused("The document carries no vectors; give some, or load it without replay.");
            }
            return carried.replay(this);
        }

        /** Replays the vectors of another file: a `verification` object. */
        public List<Check> verify(byte[] vectors) {
            Guard guard = new Guard(limits);
            return Vectors.read(Parser.parse(vectors, "The vectors file", guard), this, Integer.MAX_VALUE, guard).replay(this);
        }

        /** Name, inputs, outputs and ops as JSON. */
        public String info() {
            StringBuilder out = new StringBuilder();
            try {
                out.append("{\"name\": ");
                json(name, out);
                out.append(", \"inputs\": [");
                for (Input i : inputs) {
                    out.append(i == inputs.get(0) ? "" : ", ").append("{\"name\": ");
                    json(i.name, out);
                    out.append(", \"dtype\": \"").append(i.dtype).append("\", \"shape\": ").append(Arrays.toString(i.shape()));
                    out.append(", \"missing\": \"").append(i.missing).append("\"");
                    names(i.features, "features", out);
                    out.append("}");
                }
                out.append("], \"outputs\": [");
                for (Output o : outputs) {
                    out.append(o == outputs.get(0) ? "" : ", ").append("{\"name\": ");
                    json(o.name, out);
                    out.append(", \"dtype\": \"").append(o.dtype).append("\", \"shape\": ").append(Arrays.toString(o.shape()));
                    out.append(", \"role\": \"").append(o.role).append("\"");
                    names(o.classes, "classes", out);
                    out.append("}");
                }
                out.append("]");
                names(requires, "ops", out);
                return out.append("}").toString();
            } catch (IOException impossible) {
                throw new IllegalStateException(impossible);
            }
        }

        private static void names(List<?> values, String key, StringBuilder out) throws IOException {
            for (int k = 0; values != null && k <= values.size(); k++) {
                out.append(k == 0 ? ", \"" + key + "\": [" : k < values.size() ? ", " : "");
                if (k < values.size()) {
                    json(values.get(k), out);
                } else {
                    out.append("]");
                }
            }
        }

        private static void json(Object value, StringBuilder out) throws IOException {
            if (value instanceof String) {
                writeString((String) value, out);
            } else {
                out.append(value);
            }
        }
    }

    /** Writes predictions as {"outputs": {name: tensor}} (docs/format.md, section 11). */
    public static void writeJson(Map<String, Tensor> outputs, Appendable out) throws IOException {
        String separator = "{\"outputs\": {";
        for (Map.Entry<String, Tensor> entry : outputs.entrySet()) {
            out.append(separator);
            writeString(entry.getKey(), out);
            out.append(": ");
            entry.getValue().write(out);
            separator = ", ";
        }
        out.append("}}");
    }

    /** Checks a parsed document and builds the model: header, inputs, steps, outputs, vectors. */
    private static final class Loader {
        private static final String[] ROLES = {"prediction", "probability", "score", "transform", "cluster", "anomaly"};
        final Guard guard;
        final List<Input> inputs = new ArrayList<>();
        final List<Output> outputs = new ArrayList<>();
        final List<Step> steps = new ArrayList<>();
        final Map<String, Integer> slots = new HashMap<>();
        final List<Type> types = new ArrayList<>();
        String name;
        List<String> requires;
        long rowElements;
        private final Json root;

        Loader(Json root, Guard guard) {
            this.root = root.object("The document");
            this.guard = guard;
        }

        Model load(boolean replay) {
            header();
            readInputs();
            readSteps();
            readOutputs();
            Json verification = root.get("verification");
            if (verification == null && replay) {
                throw new Refused("The document carries no verification, so nothing proves its answers; add vectors, or ask to load it unverified.");
            }
            Vectors vectors = null;
            if (verification != null) {
                vectors = Vectors.read(verification, new Model(this, null), guard.limits.carriedRows, guard);
            }
            Model model = new Model(this, vectors);
            if (replay) {
                for (Check check : model.verify()) {
                    if (!check.passed) {
                        throw new Mismatch(check.sentence);
                    }
                }
            }
            return model;
        }

        private void header() {
            if (!root.need("format", "The document").string("The document's format").equals("modelport")) {
                throw new Refused("The document has another format than \"modelport\"; this reader reads that one.");
            }
            version(root.need("version", "The document").string("The document's version"));
            requires = root.need("requires", "The document").strings("The document's requires");
            Set<String> known = new HashSet<>(Arrays.asList(OPS));
            List<String> unknown = new ArrayList<>();
            Set<String> seen = new HashSet<>();
            for (String op : requires) {
                if (!seen.add(op)) {
                    throw new Refused("The document requires " + quote(op) + " twice; every op is listed once.");
                }
                if (!known.contains(op)) {
                    unknown.add(quote(op));
                }
            }
            if (!unknown.isEmpty()) {
                throw new Unsupported("The document requires ops that this reader does not have: "
                    + String.join(", ", unknown.subList(0, Math.min(20, unknown.size()))) + ".");
            }
            root.only("The document", "format", "version", "requires", "inputs", "steps", "outputs", "verification");
            Json given = root.get("name");
            name = given != null && given.kind == Kind.STRING ? given.string("") : null;
        }

        private static void version(String version) {
            int dot = version.indexOf('.');
            if (!digits(dot < 0 ? version : version.substring(0, dot)) || dot >= 0 && !digits(version.substring(dot + 1))) {
                throw new Refused("The document has the version " + quote(version) + "; it is \"1.\" and a decimal number.");
            }
            if (dot < 0 || !version.startsWith("1.")) {
                throw new Unsupported("The document has the version " + quote(version) + "; this reader reads version 1.");
            }
        }

        private static boolean digits(String s) {
            for (int k = 0; k < s.length(); k++) {
                if (s.charAt(k) < '0' || s.charAt(k) > '9') {
                    return false;
                }
            }
            return !s.isEmpty();
        }

        private void readInputs() {
            for (Json json : list("inputs")) {
                String where = "Input " + inputs.size();
                json.only(where, "dtype", "shape", "missing", "features");
                String inputName = json.need("name", where).string(where + " name");
                where = "Input " + quote(inputName);
                DType dtype = DType.named(json.need("dtype", where).string(where + " dtype"), where);
                int[] shape = Tensor.readShape(json.need("shape", where), where, guard);
                if (inputName.isEmpty() || shape.length > 1 || !Arrays.asList(DType.F64, DType.F32, DType.I64, DType.BOOL, DType.STR).contains(dtype)) {
                    throw new Refused(where + " is " + dtype + Arrays.toString(shape) + "; a named input of f64, f32, i64, bool or str and shape [] or [w] is needed.");
                }
                String missing = json.get("missing") == null ? "error" : json.get("missing").string(where + " missing");
                if (!(missing.equals("error") || missing.equals("nan") && dtype.isFloat() || missing.equals("null") && dtype == DType.STR)) {
                    throw new Refused(where + " has missing " + quote(missing) + "; it is \"error\", or \"nan\" for floats, or \"null\" for str.");
                }
                Type type = new Type(dtype, shape.length, shape.length == 0 ? 1 : shape[0]);
                define(inputName, type, where);
                inputs.add(new Input(inputName, type, missing, features(json.get("features"), type, where)));
            }
        }

        private static List<String> features(Json json, Type type, String where) {
            if (json == null) {
                return null;
            }
            List<String> names = json.strings(where + " features");
            if (type.rank != 1 || names.size() != type.width || new HashSet<>(names).size() != names.size()) {
                throw new Refused(where + " has " + names.size() + " features for " + type + "; a matrix has one for each column, all different.");
            }
            return Collections.unmodifiableList(names);
        }

        private List<Json> list(String key) {
            List<Json> items = root.need(key, "The document").objects("The document's " + key);
            if (items.isEmpty() && !key.equals("steps")) {
                throw new Refused("The document has no " + key + "; at least one is needed.");
            }
            return items;
        }

        /** Gives a value its name, and holds it against the limits on row elements. */
        private void define(String value, Type type, String where) {
            rowElements += type.width;
            if (type.width > guard.limits.rowElements || rowElements > guard.limits.totalRowElements) {
                throw new Refused(where + " brings a row to more elements than the limit: " + guard.limits.rowElements + " in one value, "
                    + guard.limits.totalRowElements + " in all.");
            }
            if (slots.put(value, types.size()) != null) {
                throw new Refused(where + " defines a name that is already defined; every name is defined once.");
            }
            types.add(type);
        }

        private void readSteps() {
            List<Json> list = list("steps");
            if (list.size() > guard.limits.steps) {
                throw new Refused("The document has " + list.size() + " steps, more than the limit of " + guard.limits.steps + ".");
            }
            Set<String> used = new HashSet<>();
            for (Json json : list) {
                String number = "Step " + steps.size();
                String op = json.need("op", number).string(number + " op");
                String out = json.need("out", number).string(number + " out");
                String where = "Step " + quote(out) + " (" + (op.length() > 20 ? "op" : op) + ")";
                if (out.isEmpty() || !requires.contains(op)) {
                    throw new Refused(out.isEmpty() ? number + " has an empty name in \"out\"; name its value."
                        : where + " uses an op that \"requires\" does not list; list every op that is used.");
                }
                used.add(op);
                Args a = arguments(op, where, json);
                Step step = step(a);
                a.finish();
                define(out, step.type, where);
                steps.add(step);
            }
            for (String op : requires) {
                if (!used.contains(op)) {
                    throw new Refused("The document requires " + quote(op) + " and uses it in no step; list the ops that are used.");
                }
            }
        }

        private Args arguments(String op, String where, Json json) {
            List<String> names = json.need("in", where).strings(where + " in");
            int[] in = new int[names.size()];
            Type[] from = new Type[in.length];
            for (int k = 0; k < in.length; k++) {
                Integer slot = slots.get(names.get(k));
                if (slot == null) {
                    throw new Refused(where + " reads " + quote(names.get(k)) + ", which no input and no earlier step defines.");
                }
                in[k] = slot;
                from[k] = types.get(slot);
            }
            return new Args(op, where, json, in, from, guard);
        }

        private void readOutputs() {
            Set<String> names = new HashSet<>();
            for (Json json : list("outputs")) {
                String where = "Output " + outputs.size();
                json.only(where, "from", "dtype", "role", "classes");
                String outputName = json.need("name", where).string(where + " name");
                where = "Output " + quote(outputName);
                String source = json.need("from", where).string(where + " from");
                DType dtype = DType.named(json.need("dtype", where).string(where + " dtype"), where);
                String role = json.need("role", where).string(where + " role");
                Integer slot = slots.get(source);
                if (slot == null || types.get(slot).dtype != dtype) {
                    throw new Refused(where + " comes from " + quote(source) + (slot == null ? ", which nothing defines."
                        : ", which is " + types.get(slot) + ", not " + dtype + "."));
                }
                if (outputName.isEmpty() || !names.add(outputName) || !Arrays.asList(ROLES).contains(role)) {
                    throw new Refused(where + " has an empty name, the name of another output, or an unknown role: names differ, roles are " + Arrays.toString(ROLES) + ".");
                }
                outputs.add(new Output(outputName, slot, types.get(slot), role, classes(json.get("classes"), types.get(slot), where)));
            }
        }

        private static List<Object> classes(Json json, Type type, String where) {
            if (json == null) {
                return null;
            }
            List<Object> classes = new ArrayList<>();
            Kind kind = null;
            for (Cursor c = json.elements(where + " classes"); c.next(); ) {
                Kind found = c.kind() == Kind.FALSE ? Kind.TRUE : c.kind();
                if (kind != null && found != kind) {
                    throw new Refused(where + " has classes of several kinds; they are all strings, all integers or all booleans.");
                }
                kind = found;
                classes.add(kind == Kind.TRUE ? (Object) c.bool() : kind == Kind.NUMBER ? (Object) c.integer(DType.I64) : c.string(false));
            }
            if (type.rank == 1 && classes.size() != type.width) {
                throw new Refused(where + " has " + classes.size() + " classes for " + type + "; they name its columns.");
            }
            return Collections.unmodifiableList(classes);
        }
    }

    /** Recorded rows and the original model's answers, with the tolerance of each output. */
    private static final class Vectors {
        private final Map<String, Tensor> inputs = new LinkedHashMap<>();
        private final Map<String, Tensor> expected = new LinkedHashMap<>();
        private final Map<String, Tolerance> tolerance = new HashMap<>();
        private int rows = -1;

        static Vectors read(Json json, Model model, int mostRows, Guard guard) {
            Vectors v = new Vectors();
            json.only("The verification", "source", "inputs", "outputs", "tolerance", "rows");
            String source = json.need("source", "The verification").string("The verification's source");
            if (!source.equals("synthetic") && !source.equals("sample")) {
                throw new Refused("The verification has the source " + quote(source) + "; it is \"synthetic\" or \"sample\".");
            }
            Map<String, Type> in = new LinkedHashMap<>();
            for (Input input : model.inputs) {
                in.put(input.name, input.type);
            }
            Map<String, Type> out = new LinkedHashMap<>();
            for (Output output : model.outputs) {
                out.put(output.name, output.type);
            }
            v.tensors(json.need("inputs", "The verification"), "input", in, v.inputs, guard);
            v.tensors(json.need("outputs", "The verification"), "output", out, v.expected, guard);
            if (v.rows < 1 || v.rows > mostRows) {
                throw new Refused("The verification has " + v.rows + " rows; from 1 to " + mostRows + " are needed.");
            }
            if (json.get("rows") != null && json.get("rows").strings("The verification's rows").size() != v.rows) {
                throw new Refused("The verification says why for another number of rows than its " + v.rows + "; say it for each.");
            }
            v.tolerances(json.get("tolerance"), out);
            return v;
        }

        private void tensors(Json json, String kind, Map<String, Type> declared, Map<String, Tensor> into, Guard guard) {
            String all = "The verification's " + kind + "s";
            for (String key : json.object(all).members.keySet()) {
                if (!declared.containsKey(key)) {
                    throw new Refused(all + " name " + quote(key) + ", which is no " + kind + " of the document.");
                }
            }
            for (Map.Entry<String, Type> entry : declared.entrySet()) {
                Type type = entry.getValue();
                String where = "The verification's " + kind + " " + quote(entry.getKey());
                Tensor t = Tensor.read(json.need(entry.getKey(), all), type.dtype, where, guard);
                boolean shaped = t.shape.length > 0 && (kind.equals("output") || Arrays.equals(t.shape, type.shape(t.shape[0])));
                if (t.dtype != type.dtype || !shaped) {
                    throw new Refused(where + " is " + t.dtype + Arrays.toString(t.shape) + "; rows of " + type + " are needed.");
                }
                if (rows >= 0 && t.rows() != rows) {
                    throw new Refused(where + " has " + t.rows() + " rows, others have " + rows + "; all tensors agree.");
                }
                rows = t.rows();
                into.put(entry.getKey(), t);
            }
        }

        private void tolerances(Json json, Map<String, Type> outputs) {
            if (json == null) {
                return;
            }
            for (Map.Entry<String, Json> entry : json.object("The verification's tolerance").members.entrySet()) {
                String where = "The tolerance of " + quote(entry.getKey());
                Type type = outputs.get(entry.getKey());
                Tolerance t = Tolerance.read(entry.getValue(), where);
                if (type == null || !type.dtype.isFloat() && !t.exact()) {
                    throw new Refused(where + (type == null ? " is for no output of the document." : " is not exact; " + type.dtype + " is always compared exactly."));
                }
                tolerance.put(entry.getKey(), t);
            }
        }

        List<Check> replay(Model model) {
            Map<String, Tensor> got = model.predict(inputs);
            List<Check> checks = new ArrayList<>();
            for (Output o : model.outputs) {
                Tolerance t = tolerance.get(o.name);
                checks.add(compare(o.name, got.get(o.name), expected.get(o.name), t == null ? new Tolerance(0, 0, 0) : t));
            }
            return checks;
        }

        /** Shape first, then element by element; NaN never passes by accident, because only what holds passes. */
        private static Check compare(String name, Tensor got, Tensor expected, Tolerance tolerance) {
            if (!Arrays.equals(got.shape, expected.shape)) {
                return new Check(name, false, "Output " + quote(name) + " has the shape " + Arrays.toString(got.shape) + "; the original's has "
                    + Arrays.toString(expected.shape) + ".");
            }
            double worst = 0.0;
            for (int k = 0; k < got.size(); k++) {
                boolean holds = got.dtype.isFloat() ? tolerance.holds(got.doubles()[k], expected.doubles()[k], got.dtype)
                    : got.get(k) == null ? expected.get(k) == null : got.get(k).equals(expected.get(k));
                if (!holds) {
                    return new Check(name, false, "Output " + quote(name) + " differs from the original in row " + k / expected.width() + ", column "
                        + k % expected.width() + ": got " + spell(got, k) + ", expected " + spell(expected, k) + " (" + tolerance + ").");
                }
                double difference = got.dtype.isFloat() ? Math.abs(got.doubles()[k] - expected.doubles()[k]) : 0.0;
                worst = difference > worst ? difference : worst;
            }
            return new Check(name, true, "Output " + quote(name) + " agrees in " + got.rows() + " rows (" + tolerance + "), largest difference " + worst + ".");
        }

        private static String spell(Tensor t, int k) {
            Object value = t.get(k);
            return value instanceof String ? quote((String) value) : "" + value;
        }
    }

    /** How far an output may lie from the original's. */
    private static final class Tolerance {
        private final double atol;
        private final double rtol;
        private final double ulp;

        Tolerance(double atol, double rtol, double ulp) {
            this.atol = atol;
            this.rtol = rtol;
            this.ulp = ulp;
        }

        static Tolerance read(Json json, String where) {
            if (json.kind == Kind.STRING && json.string(where).equals("exact")) {
                return new Tolerance(0, 0, 0);
            }
            boolean ulp = json.kind == Kind.OBJECT && json.get("ulp") != null;
            if (json.kind != Kind.OBJECT || json.get("atol") == null == !ulp || json.get("rtol") == null == !ulp) {
                throw new Refused(where + " is none of \"exact\", {\"atol\", \"rtol\"} and {\"ulp\"}.");
            }
            json.only(where, ulp ? new String[] {"ulp"} : new String[] {"atol", "rtol"});
            Tolerance t = ulp ? new Tolerance(0, 0, json.get("ulp").scalar(where).integer(DType.I64))
                : new Tolerance(json.get("atol").scalar(where).number(DType.F64), json.get("rtol").scalar(where).number(DType.F64), 0);
            if (!(t.atol >= 0 && t.rtol >= 0 && t.ulp >= 0 && t.atol + t.rtol + t.ulp <= Double.MAX_VALUE)) {
                throw new Refused(where + " is negative or not finite.");
            }
            return t;
        }

        boolean exact() {
            return atol == 0 && rtol == 0 && ulp == 0;
        }

        boolean holds(double got, double expected, DType dtype) {
            if (got == expected || got != got && expected != expected) {
                return true;
            }
            if (!(Math.abs(got) <= Double.MAX_VALUE && Math.abs(expected) <= Double.MAX_VALUE)) {
                return false;
            }
            return ulp > 0 ? distance(got, expected, dtype) <= ulp : Math.abs(got - expected) <= atol + rtol * Math.abs(expected);
        }

        /** How many numbers of the dtype apart. */
        private static double distance(double a, double b, DType dtype) {
            long i = dtype == DType.F32 ? Float.floatToRawIntBits((float) Math.abs(a)) : Double.doubleToRawLongBits(Math.abs(a));
            long j = dtype == DType.F32 ? Float.floatToRawIntBits((float) Math.abs(b)) : Double.doubleToRawLongBits(Math.abs(b));
            return a < 0 == b < 0 ? Math.abs(i - j) : (double) i + (double) j;
        }

        @Override
        public String toString() {
            return exact() ? "exact" : ulp > 0 ? (long) ulp + " ulp" : "atol " + atol + ", rtol " + rtol;
        }
    }
}
