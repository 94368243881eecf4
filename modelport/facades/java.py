"""The facade in Java 8: plain classes around Modelport.java."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .example import hint, short
from .naming import fill, identifiers, pascal, shown, wrapped
from .page import build_page
from .plan import Bound, Field, Plan, Result

__all__ = ["write"]

RESERVED = set(
    """abstract assert boolean break byte case catch char class const continue default do double else enum extends false
    final finally float for goto if implements import instanceof int interface long native new null package private
    protected public return short static strictfp super switch synchronized this throw throws transient true try void
    volatile while var record yield""".split()
)
ONE = {"number": "double", "integer": "Long", "boolean": "Boolean", "text": "String"}
MANY = {"number": "double", "integer": "long", "boolean": "boolean", "text": "String"}
BOXED = {"number": "Double", "integer": "Long", "boolean": "Boolean", "text": "String"}

#: strings of one method, whose code has at most 64 KB
CHUNK = 1000

FACADE = """import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A typed facade of @model@, written by `modelport stub java --for`: rows and answers by field. */
public final class @class@ {
    /** What the model is asked. A field that is not set is missing; where the model does not accept that, it refuses the row. */
    public static final class Row {
@fields@

        /** One of the rows that the artifact of this facade carries. */
        public static Row example() {
            Row row = new Row();
@row@
            return row;
        }
    }

    /** What the model says: one value per output, or values by class, or an array, row-major. */
    public static final class Answer {
@results@

        private Answer(Map<String, Modelport.Tensor> outputs, int k) {
@answers@
        }

        /** Compares an answer for the example row with the one that the artifact carries; throws Modelport.Mismatch. */
        public void compare() {
@checks@
        }

        /** A line per output. */
        @Override
        public String toString() {
            StringBuilder text = new StringBuilder();
@lines@
            return text.toString();
        }
    }
@names@
    private final Modelport.Model inner;

    private @class@(Modelport.Model inner) {
        this.inner = inner;
    }

    /** The model of an artifact: it is checked, replays the rows it carries, and has to have the columns of this facade. */
    public static @class@ load(byte[] document) {
        Modelport.Model inner = Modelport.load(document@ops@);
        if (!signature(inner).equals(SIGNATURE)) {
            throw new Modelport.Refused("The artifact has other inputs or outputs than the one of this facade: write it again.");
        }
        return new @class@(inner);
    }

    /** The answer for a row. */
    public Answer predict(Row row) {
        return predict(Collections.singletonList(row)).get(0);
    }

    /** The answers for rows; throws Modelport.Refused where the model does not accept one. */
    public List<Answer> predict(List<Row> rows) {
        List<Answer> answers = new ArrayList<>(rows.size());
        if (rows.isEmpty()) {
            return answers;
        }
        Map<String, Object> inputs = new LinkedHashMap<>();
@inputs@
        Map<String, Modelport.Tensor> outputs = inner.predict(inputs);
        for (int k = 0; k < rows.size(); k++) {
            answers.add(new Answer(outputs, k));
        }
        return answers;
    }
@helpers@
    private static void line(StringBuilder text, String name, List<?> got) {
        text.append(text.length() == 0 ? "" : "\\n").append(name).append(":");
        for (Object element : got) {
            text.append(" ").append(element == null ? "" : element);
        }
    }

    private static void check(String name, List<?> got, List<?> said, double atol, double rtol) {
        boolean same = got.size() == said.size();
        for (int k = 0; same && k < got.size(); k++) {
            same = same(got.get(k), said.get(k), atol, rtol);
        }
        if (!same) {
            throw new Modelport.Mismatch(name + " is not what the artifact carries: " + said);
        }
    }

    private static boolean same(Object got, Object said, double atol, double rtol) {
        if (got instanceof Double && said instanceof Double) {
            double g = (Double) got;
            double s = (Double) said;
            return g == s || g != g && s != s || !Double.isInfinite(s) && Math.abs(g - s) <= atol + rtol * Math.abs(s);
        }
        return got == null ? said == null : got.equals(said);
    }

    private static int size(List<Row> rows, int width) {
        if ((long) rows.size() * width > Integer.MAX_VALUE - 8) {
            throw new Modelport.Refused("There are " + rows.size() + " rows of " + width + " elements; ask for fewer at a time.");
        }
        return rows.size() * width;
    }

    private static List<String> signature(Modelport.Model model) {
        List<String> found = new ArrayList<>();
        for (Modelport.Input i : model.inputs()) {
            List<String> features = i.features == null ? Collections.<String>emptyList() : i.features;
            Collections.addAll(found, "input", i.name, i.dtype.toString(), joined(i.shape()), i.missing, "" + features.size());
            found.addAll(features);
        }
        for (Modelport.Output o : model.outputs()) {
            List<Object> classes = o.classes == null ? Collections.<Object>emptyList() : o.classes;
            Collections.addAll(found, "output", o.name, o.dtype.toString(), joined(o.shape()), "" + classes.size());
            for (Object word : classes) {
                found.add(word.toString());
            }
        }
        return found;
    }

    private static String joined(List<Object> shape) {
        StringBuilder text = new StringBuilder();
        for (Object length : shape) {
            text.append(text.length() == 0 ? "" : "x").append(length);
        }
        return text.toString();
    }

    private static List<String> together(String[]... parts) {
        List<String> all = new ArrayList<>();
        for (String[] part : parts) {
            all.addAll(Arrays.asList(part));
        }
        return Collections.unmodifiableList(all);
    }

    /** Inputs and outputs of the model that this file was written for. */
    private static final List<String> SIGNATURE = @signature@;
@chunks@}
"""

#: kind -> how a value of a row becomes an element
CELLS = {
    "integer": """
    private static long integer(Long value, String name) {
        if (value == null) {
            throw new Modelport.Refused("The field " + name + " is not set.");
        }
        return value;
    }
""",
    "boolean": """
    private static boolean bool(Boolean value, String name) {
        if (value == null) {
            throw new Modelport.Refused("The field " + name + " is not set.");
        }
        return value;
    }
""",
}

ELEMENTS = """
    private static @type@[] elements(@type@[] values, int width, String name) {
        if (values == null || values.length != width) {
            throw new Modelport.Refused("The field " + name + " has to be an array of " + width + " elements.");
        }
        return values;
    }
"""

EXAMPLE = """import java.nio.file.Files;
import java.nio.file.Paths;

/** Asks @model@ one row, prints its answer and compares it with the one that the artifact carries. */
public final class Example {
    public static void main(String[] args) throws Exception {
        @class@ model = @class@.load(Files.readAllBytes(Paths.get(@file@)));
@row@
        @class@.Answer answer = model.predict(row);
        System.out.println(answer); // or one by one: @answers@
        answer.compare();
        System.out.println("The artifact carries the same answers.");
    }
}
"""


NUMBERS = """
    /** Numbers, from their decimals. */
    private static double[] numbers(String... lines) {
        List<Double> all = new ArrayList<>();
        for (String line : lines) {
            for (String word : line.split(" ")) {
                all.add(Double.valueOf(word));
            }
        }
        double[] numbers = new double[all.size()];
        for (int k = 0; k < numbers.length; k++) {
            numbers[k] = all.get(k);
        }
        return numbers;
    }
"""

LISTS = {
    "number": """
    private static List<Double> list(double[] values) {
        List<Double> all = new ArrayList<>();
        for (double value : values) {
            all.add(value);
        }
        return all;
    }
""",
    "integer": """
    private static List<Long> list(long[] values) {
        List<Long> all = new ArrayList<>();
        for (long value : values) {
            all.add(value);
        }
        return all;
    }
""",
    "boolean": """
    private static List<Boolean> list(boolean[] values) {
        List<Boolean> all = new ArrayList<>();
        for (boolean value : values) {
            all.add(value);
        }
        return all;
    }
""",
    "text": """
    private static List<String> list(String[] values) {
        return Arrays.asList(values);
    }
""",
}


def write(plan: Plan) -> dict[str, str]:
    """File name -> text: the facade, the example, and how to run it."""
    name = f"{pascal(plan.stem)}Facade"
    fields = identifiers((f.name for f in plan.fields), "camel", RESERVED)
    results = identifiers((r.name for r in plan.results), "camel", RESERVED)
    further = [file.removesuffix(".java") for file in plan.library if file != "Modelport.java"]
    chunks: list[str] = []
    values = {
        "model": shown(plan.model),
        "class": name,
        "file": literal(plan.model),
        "ops": "".join(f", {file}.OPS" for file in further),
        "fields": "\n".join(map(_field, plan.fields, fields)),
        "results": "\n".join(map(_result, plan.results, results)),
        "answers": "\n".join(line for r, n in zip(plan.results, results) for line in _answer(r, n)),
        "names": "".join(
            f"\n    /** The names of the columns of {n}. */\n    public static final List<String> {_constant(n)}_NAMES = "
            f"{_table(f.names, _constant(n).lower(), chunks)};\n"
            for f, n in zip(plan.fields, fields)
            if f.names
        ),
        "inputs": "\n".join(line for k, bound in enumerate(plan.apart()) for line in _input(plan, bound, fields, k)),
        "signature": _table(plan.signature, "signature", chunks),
        "chunks": "".join(chunks),
    }
    values["inputs"] += "".join(_groups(plan, fields))
    single = {f.kind for f in plan.fields if f.width is None}
    values["helpers"] = "".join(text for kind, text in CELLS.items() if kind in single)
    arrays = {MANY[f.kind] for f in plan.fields if f.width is not None}
    values["helpers"] += "".join(ELEMENTS.replace("@type@", kind) for kind in MANY.values() if kind in arrays)
    values["row"] = "\n".join(f"            row.{n} = {_given(f, v)};" for f, n, v in zip(plan.fields, fields, plan.row))
    values["checks"] = "\n".join(_checks(plan, results))
    values["lines"] = "\n".join(f'            line(text, "{n}", {_elements(r, n)});' for r, n in zip(plan.results, results))
    lists = {r.kind for r in plan.results if r.width is not None} | ({"number"} if any(map(_is_long, plan.answer)) else set())
    values["helpers"] += "".join(text for kind, text in LISTS.items() if kind in lists)
    values["helpers"] += NUMBERS * ("numbers(" in values["row"] + values["checks"])
    row = [f"        row.{n} = {_given(f, v)};" for f, n, v in zip(plan.fields, fields, plan.row)]
    example = short(
        EXAMPLE,
        {**values, "answers": hint(results)},
        None if any(map(_is_long, plan.row)) else {"row": "\n".join([f"        {name}.Row row = new {name}.Row();", *row])},
        {"row": f"        {name}.Row row = {name}.Row.example(); // its fields can be set: row.{fields[0]} = ..."},
    )
    written = [f"{name}.java", "Example.java"]
    sources = " ".join([*plan.library, *written])
    commands = f"javac -encoding UTF-8 -d build {sources}\njava -cp build Example"
    page = build_page(plan, "Java 8 or later", commands, written, "java")
    return {written[0]: fill(FACADE, values), written[1]: example, "BUILD.md": page}


def literal(value: Any) -> str:
    """A value in Java. Of a string, what is not printable ASCII is octal or, beyond 127, \\uXXXX, which Java reads first."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}L"
    if isinstance(value, float):
        if math.isfinite(value):
            return repr(value)
        return f"Double.{'NaN' if math.isnan(value) else 'POSITIVE_INFINITY' if value > 0 else 'NEGATIVE_INFINITY'}"
    units = value.encode("utf-16-be", "surrogatepass")
    return '"' + "".join(_unit(units[k] << 8 | units[k + 1]) for k in range(0, len(units), 2)) + '"'


def _unit(code: int) -> str:
    if code > 126:
        return f"\\u{code:04x}" if code > 127 else "\\177"
    return f"\\{code:03o}" if code < 32 or chr(code) in '"\\' else chr(code)


def _constant(name: str) -> str:
    return "".join("_" + c if c.isupper() else c for c in name).upper().rstrip("_")


def _table(words: Sequence[str], method: str, chunks: list[str]) -> str:
    """An expression for a list of strings, made by methods that are appended to `chunks`."""
    calls = []
    for at in range(0, len(words), CHUNK):
        calls.append(f"{method}{at // CHUNK}()")
        body = wrapped(map(literal, words[at : at + CHUNK]), " " * 12)
        chunks.append(
            f"\n    private static String[] {calls[-1]} {{\n"
            f"        return new String[] {{\n            {body},\n        }};\n    }}\n"
        )
    return f"together({wrapped(calls, ' ' * 8)})"


def _is_long(values: Sequence[Any]) -> bool:
    return len(values) > 16 and isinstance(values[0], float)


def _array(kind: str, values: Sequence[Any]) -> str:
    if kind == "number" and len(values) > 16:
        lines = [" ".join(map(_word, values[at : at + 12])) for at in range(0, len(values), 12)]
        return "numbers(\n            " + ",\n            ".join(f'"{line}"' for line in lines) + ")"
    return f"new {MANY[kind]}[] {{" + wrapped(map(literal, values), " " * 12) + "}"


def _word(value: float) -> str:
    return repr(value) if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _given(field: Field, values: tuple[Any, ...]) -> str:
    return literal(values[0]) if field.width is None else _array(field.kind, values)


def _field(field: Field, name: str) -> str:
    if field.width is None:
        start = " = Double.NaN" if field.kind == "number" else ""
        return f"        /** {shown(field.name)} */\n        public {ONE[field.kind]} {name}{start};"
    return f"        /** {shown(field.name)}: {field.width} elements */\n        public {MANY[field.kind]}[] {name};"


def _type(result: Result) -> str:
    if result.classes:
        return f"Map<{BOXED[result.class_kind]}, {BOXED[result.kind]}>"
    return MANY[result.kind] + "[]" * (result.width is not None)


def _result(result: Result, name: str) -> str:
    return f"        /** {shown(result.name)} */\n        public final {_type(result)} {name};"


def _answer(result: Result, name: str) -> Iterable[str]:
    tensor = f"outputs.get({literal(result.name)})"
    if result.width is None:
        yield f"            this.{name} = ({BOXED[result.kind]}) {tensor}.get(k);"
    elif result.classes:
        key, value = BOXED[result.class_kind], BOXED[result.kind]
        words = wrapped(map(literal, result.classes), " " * 16)
        yield "            {"
        yield f"                {key}[] words = {{{words}}};"
        yield f"                Map<{key}, {value}> found = new LinkedHashMap<>();"
        yield "                for (int j = 0; j < words.length; j++) {"
        yield f"                    found.put(words[j], ({value}) {tensor}.get(words.length * k + j));"
        yield "                }"
        yield f"                this.{name} = Collections.unmodifiableMap(found);"
        yield "            }"
    elif result.kind == "boolean":
        yield f"            this.{name} = new boolean[{result.width}];"
        yield f"            for (int j = 0; j < {result.width}; j++) {{"
        yield f"                this.{name}[j] = (Boolean) {tensor}.get({result.width} * k + j);"
        yield "            }"
    else:
        data = {"number": "doubles", "integer": "longs", "text": "strings"}[result.kind]
        yield f"            this.{name} = Arrays.copyOfRange({tensor}.{data}(), {result.width} * k, {result.width} * (k + 1));"


def _cell(kind: str, expression: str, name: str) -> str:
    wrap = {"integer": "integer", "boolean": "bool"}.get(kind)
    return f'{wrap}({expression}, "{name}")' if wrap else expression


def _input(plan: Plan, bound: Bound, fields: list[str], k: int) -> Iterable[str]:
    kind = MANY[bound.kind]
    width = math.prod(bound.shape)
    yield f"        {kind}[] in{k} = new {kind}[size(rows, {width})];"
    yield "        for (int k = 0; k < rows.size(); k++) {"
    yield "            Row row = rows.get(k);"
    if bound.whole is not None:
        name = fields[bound.whole]
        yield f'            System.arraycopy(elements(row.{name}, {width}, "{name}"), 0, in{k}, {width} * k, {width});'
    for j, cell in enumerate(bound.cells):
        name = fields[cell.field]
        place = "k" if width == 1 else f"{width} * k + {j}"
        yield f"            in{k}[{place}] = {_cell(bound.kind, f'row.{name}', name)};"
    yield "        }"
    shape = "".join(f", {length}" for length in bound.shape)
    yield f"        inputs.put({literal(bound.input.name)}, Modelport.Tensor.of(in{k}).shaped(rows.size(){shape}));"


def _groups(plan: Plan, fields: list[str]) -> Iterable[str]:
    for number in plan.groups():
        name, field = fields[number], plan.fields[number]
        kind = MANY[field.kind]
        yield f"""
        for (int j = 0; j < {field.width}; j++) {{
            {kind}[] column = new {kind}[rows.size()];
            for (int k = 0; k < rows.size(); k++) {{
                column[k] = elements(rows.get(k).{name}, {field.width}, "{name}")[j];
            }}
            inputs.put({_constant(name)}_NAMES.get(j), column);
        }}"""


def _elements(result: Result, name: str) -> str:
    if result.classes:
        return f"new ArrayList<>(this.{name}.values())"
    return f"Collections.singletonList(this.{name})" if result.width is None else f"list(this.{name})"


def _checks(plan: Plan, results: list[str]) -> Iterable[str]:
    for result, name, said, (atol, rtol) in zip(plan.results, results, plan.answer, plan.tolerance):
        words = f"list({_array(result.kind, said)})" if _is_long(said) else _listed(result, said)
        yield f'            check("{name}", {_elements(result, name)}, {words}, {atol!r}, {rtol!r});'


def _listed(result: Result, said: tuple[Any, ...]) -> str:
    if result.width is not None and not result.classes:
        return f"list({_array(result.kind, said)})"
    return f"Arrays.asList(new {BOXED[result.kind]}[] {{{wrapped(map(literal, said), ' ' * 12)}}})"
