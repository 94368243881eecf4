"""The facade in C#: plain classes around Modelport.cs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .example import hint, short
from .naming import fill, identifiers, pascal, shown, wrapped
from .page import build_page
from .plan import Bound, Field, Plan, Result

__all__ = ["write"]

#: members that every class has, and the names of the classes themselves; keywords of C# begin in lower case, fields here do not
RESERVED = {"equals", "finalize", "getHashCode", "getType", "memberwiseClone", "referenceEquals", "toString", "row", "answer"}
RESERVED |= {"example", "compare"}
ONE = {"number": "double", "integer": "long?", "boolean": "bool?", "text": "string"}
MANY = {"number": "double", "integer": "long", "boolean": "bool", "text": "string"}

FACADE = """using System;
using System.Collections.Generic;
using Modelport;

/// <summary>A typed facade of @model@, written by `modelport stub csharp --for`: rows and answers by field.</summary>
public sealed class @class@ {
    /// <summary>What the model is asked. A field that is not set is missing: such a row may be refused.</summary>
    public sealed class Row {
@fields@

        /// <summary>One of the rows that the artifact of this facade carries.</summary>
        public static Row Example() {
            return new Row {
@row@
            };
        }
    }

    /// <summary>What the model says: one value per output, or values by class, or an array, row-major.</summary>
    public sealed class Answer {
@results@

        internal Answer(IReadOnlyDictionary<string, Tensor> outputs, int k) {
@answers@
        }

        /// <summary>Compares an answer for the example row with the one that the artifact carries; throws Mismatch.</summary>
        public void Compare() {
@checks@
        }

        /// <summary>A line per output.</summary>
        public override string ToString() {
            return string.Join("\\n", new[] {
@lines@
            });
        }
    }
@names@
    private readonly Model inner;

    private @class@(Model inner) {
        this.inner = inner;
    }

    /// <summary>The model of an artifact: it replays the rows it carries, and has to have the columns of this facade.</summary>
    public static @class@ Load(byte[] document) {
        Model inner = Model.Load(document@ops@);
        List<string> found = SignatureOf(inner);
        bool same = found.Count == Signature.Length;
        for (int k = 0; same && k < found.Count; k++) {
            same = found[k] == Signature[k];
        }
        if (!same) {
            throw new Refused("The artifact has other inputs or outputs than the one of this facade: write it again.");
        }
        return new @class@(inner);
    }

    /// <summary>The answer for a row.</summary>
    public Answer Predict(Row row) {
        return Predict(new[] {row})[0];
    }

    /// <summary>The answers for rows; throws Refused where the model does not accept one.</summary>
    public IReadOnlyList<Answer> Predict(IReadOnlyList<Row> rows) {
        var answers = new List<Answer>(rows.Count);
        if (rows.Count == 0) {
            return answers;
        }
        var inputs = new Dictionary<string, object>();
@inputs@
        IReadOnlyDictionary<string, Tensor> outputs = inner.Predict(inputs);
        for (int k = 0; k < rows.Count; k++) {
            answers.Add(new Answer(outputs, k));
        }
        return answers;
    }
@helpers@
    private static string Line(string name, System.Collections.IEnumerable got) {
        var text = new System.Text.StringBuilder(name).Append(":");
        foreach (object value in got) {
            var culture = System.Globalization.CultureInfo.InvariantCulture;
            text.Append(" ").Append(value is double ? ((double) value).ToString("R", culture) : Convert.ToString(value, culture));
        }
        return text.ToString();
    }

    private static void Check(string name, System.Collections.IEnumerable got, object[] said, double atol, double rtol) {
        bool same = true;
        int n = 0;
        foreach (object value in got) {
            same = same && n < said.Length && Same(value, said[n], atol, rtol);
            n++;
        }
        if (!same || n != said.Length) {
            throw new Mismatch(name + " is not what the artifact carries.");
        }
    }

    private static bool Same(object got, object said, double atol, double rtol) {
        if (!(got is double && said is double)) {
            return Equals(got, said);
        }
        double g = (double) got, s = (double) said;
        return g.Equals(s) || g == s || !double.IsInfinity(s) && Math.Abs(g - s) <= atol + rtol * Math.Abs(s);
    }

    private static int Size(IReadOnlyList<Row> rows, int width) {
        if ((long) rows.Count * width > int.MaxValue - 64) {
            throw new Refused("There are too many rows for one array; ask for fewer at a time.");
        }
        return rows.Count * width;
    }

    private static List<string> SignatureOf(Model model) {
        var found = new List<string>();
        foreach (Input input in model.Inputs) {
            IReadOnlyList<string> features = input.Features ?? new string[0];
            string shape = string.Join("x", input.Shape);
            found.AddRange(new[] {"input", input.Name, input.DType.ToString(), shape, input.Missing, Word(features.Count)});
            found.AddRange(features);
        }
        foreach (Output output in model.Outputs) {
            IReadOnlyList<object> classes = output.Classes ?? new object[0];
            string shape = string.Join("x", output.Shape);
            found.AddRange(new[] {"output", output.Name, output.DType.ToString(), shape, Word(classes.Count)});
            foreach (object word in classes) {
                found.Add(Word(word));
            }
        }
        return found;
    }

    private static string Word(object value) {
        var culture = System.Globalization.CultureInfo.InvariantCulture;
        return value is bool ? ((bool) value ? "true" : "false") : Convert.ToString(value, culture);
    }

    /// <summary>Inputs and outputs of the model that this file was written for.</summary>
    private static readonly string[] Signature = {
        @signature@,
    };
}
"""

#: kind -> how a value of a row becomes an element
CELLS = {
    kind: f"""
    private static {kind} Set({kind}? value, string name) {{
        if (value == null) {{
            throw new Refused("The field " + name + " is not set.");
        }}
        return value.Value;
    }}
"""
    for kind in ("long", "bool")
}

ELEMENTS = """
    private static @type@[] Elements(@type@[] values, int width, string name) {
        if (values == null || values.Length != width) {
            throw new Refused("The field " + name + " has to be an array of another length.");
        }
        return values;
    }
"""

EXAMPLE = """using System;
using System.IO;

/// <summary>Asks @model@ one row, prints its answer and compares it with the one that the artifact carries.</summary>
public static class Example {
    public static void Main() {
        Console.OutputEncoding = new System.Text.UTF8Encoding(false);
        @class@ model = @class@.Load(File.ReadAllBytes(@file@));
        @class@.Row row = @row@
        @class@.Answer answer = model.Predict(row);
        Console.WriteLine(answer); // or one by one: @hint@
        answer.Compare();
        Console.WriteLine("The artifact carries the same answers.");
    }
}
"""


def write(plan: Plan) -> dict[str, str]:
    """File name -> text: the facade, the example, and how to run it."""
    name = f"{pascal(plan.stem)}Facade"
    fields = [word[0].upper() + word[1:] for word in identifiers((f.name for f in plan.fields), "camel", RESERVED)]
    results = [word[0].upper() + word[1:] for word in identifiers((r.name for r in plan.results), "camel", RESERVED)]
    further = [file.removesuffix(".cs") for file in plan.library if file in ("ModelportMore.cs", "ModelportNn.cs")]
    values = {
        "model": shown(plan.model).replace("&", "?"),
        "class": name,
        "file": literal(plan.model),
        "ops": "".join(f", {file}.Ops" for file in further),
        "fields": "\n".join(map(_field, plan.fields, fields)),
        "results": "\n".join(map(_result, plan.results, results)),
        "answers": "\n".join(line for r, n in zip(plan.results, results) for line in _answer(r, n)),
        "names": "".join(_names(f, n) for f, n in zip(plan.fields, fields) if f.names),
        "inputs": "\n".join(line for k, bound in enumerate(plan.apart()) for line in _input(bound, fields, k)),
        "signature": wrapped(map(literal, plan.signature), " " * 8),
    }
    values["inputs"] += "".join(_groups(plan, fields))
    single = {MANY[f.kind] for f in plan.fields if f.width is None}
    values["helpers"] = "".join(text for kind, text in CELLS.items() if kind in single)
    arrays = {MANY[f.kind] for f in plan.fields if f.width is not None}
    values["helpers"] += "".join(ELEMENTS.replace("@type@", kind) for kind in MANY.values() if kind in arrays)
    given = [f"{n} = {_given(f, v)}" for f, n, v in zip(plan.fields, fields, plan.row)]
    values["row"] = "\n".join(f"                {each}," for each in given)
    values["checks"] = "\n".join(_checks(plan, results))
    values["lines"] = "\n".join(f'                Line("{n}", {_elements(r, n)}),' for r, n in zip(plan.results, results))
    example = short(
        EXAMPLE,
        {**values, "hint": hint(results)},
        {"row": f"new {name}.Row {{\n            {wrapped(given, ' ' * 12, 100)},\n        }};"},
        {"row": f"{name}.Row.Example(); // its fields can be set: row.{fields[0]} = ..."},
    )
    written = [f"{name}.cs", "Example.cs"]
    sources = " ".join([*(file for file in plan.library if file.endswith(".cs")), *written])
    commands = (
        f"dotnet new console --output app\nrm app/Program.cs\ncp {sources} app\ncp {shown(plan.model)} app\ncd app\ndotnet run"
    )
    page = build_page(plan, "the .NET SDK", commands, written, "csharp")
    return {written[0]: fill(FACADE, values), written[1]: example, "BUILD.md": page}


def _names(field: Field, name: str) -> str:
    words = wrapped(map(literal, field.names), " " * 8)
    return (
        f"\n    /// <summary>The names of the columns of {name}.</summary>\n"
        f"    public static readonly IReadOnlyList<string> {name}Names ="
        f" Array.AsReadOnly(new string[] {{\n        {words},\n    }});\n"
    )


def literal(value: Any) -> str:
    """A value in C#. Of a string, what is not printable ASCII is \\uXXXX."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value}L"
    if isinstance(value, float):
        if math.isfinite(value):
            return repr(value)
        return f"double.{'NaN' if math.isnan(value) else 'PositiveInfinity' if value > 0 else 'NegativeInfinity'}"
    units = value.encode("utf-16-be", "surrogatepass")
    return '"' + "".join(_unit(units[k] << 8 | units[k + 1]) for k in range(0, len(units), 2)) + '"'


def _unit(code: int) -> str:
    return chr(code) if 32 <= code < 127 and chr(code) not in '"\\' else f"\\u{code:04x}"


def _array(kind: str, values: Sequence[Any]) -> str:
    return f"new {MANY[kind]}[] {{{wrapped(map(literal, values), ' ' * 12)}}}"


def _given(field: Field, values: tuple[Any, ...]) -> str:
    return literal(values[0]) if field.width is None else _array(field.kind, values)


def _field(field: Field, name: str) -> str:
    if field.width is None:
        start = " = double.NaN" if field.kind == "number" else ""
        return f"        /// <summary>{shown(field.name)}</summary>\n        public {ONE[field.kind]} {name}{start};"
    return (
        f"        /// <summary>{shown(field.name)}: {field.width} elements</summary>\n        public {MANY[field.kind]}[] {name};"
    )


def _type(result: Result) -> str:
    if result.classes:
        return f"IReadOnlyDictionary<{MANY[result.class_kind]}, {MANY[result.kind]}>"
    return MANY[result.kind] + "[]" * (result.width is not None)


def _result(result: Result, name: str) -> str:
    return f"        /// <summary>{shown(result.name)}</summary>\n        public readonly {_type(result)} {name};"


def _answer(result: Result, name: str) -> Iterable[str]:
    tensor, kind = f"outputs[{literal(result.name)}]", MANY[result.kind]
    if result.width is None:
        yield f"            {name} = ({kind}) {tensor}[k];"
    elif result.classes:
        key = MANY[result.class_kind]
        words = wrapped(map(literal, result.classes), " " * 16)
        yield "            {"
        yield f"                {key}[] words = {{{words}}};"
        yield f"                var found = new Dictionary<{key}, {kind}>();"
        yield "                for (int j = 0; j < words.Length; j++) {"
        yield f"                    found[words[j]] = ({kind}) {tensor}[words.Length * k + j];"
        yield "                }"
        yield f"                {name} = found;"
        yield "            }"
    else:
        yield f"            {name} = new {kind}[{result.width}];"
        yield f"            for (int j = 0; j < {result.width}; j++) {{"
        yield f"                {name}[j] = ({kind}) {tensor}[{result.width} * k + j];"
        yield "            }"


def _cell(kind: str, expression: str, name: str) -> str:
    return f'Set({expression}, "{name}")' if kind in ("integer", "boolean") else expression


def _input(bound: Bound, fields: list[str], k: int) -> Iterable[str]:
    kind = MANY[bound.kind]
    width = math.prod(bound.shape)
    yield f"        var in{k} = new {kind}[Size(rows, {width})];"
    yield "        for (int k = 0; k < rows.Count; k++) {"
    yield "            Row row = rows[k];"
    if bound.whole is not None:
        name = fields[bound.whole]
        yield f'            Array.Copy(Elements(row.{name}, {width}, "{name}"), 0, in{k}, {width} * k, {width});'
    for j, cell in enumerate(bound.cells):
        name = fields[cell.field]
        place = "k" if width == 1 else f"{width} * k + {j}"
        yield f"            in{k}[{place}] = {_cell(bound.kind, f'row.{name}', name)};"
    yield "        }"
    shape = "".join(f", {length}" for length in bound.shape)
    yield f"        inputs[{literal(bound.input.name)}] = Tensor.Of(in{k}).Shaped(rows.Count{shape});"


def _groups(plan: Plan, fields: list[str]) -> Iterable[str]:
    for number in plan.groups():
        name, field = fields[number], plan.fields[number]
        kind = MANY[field.kind]
        yield f"""
        for (int j = 0; j < {field.width}; j++) {{
            var column = new {kind}[rows.Count];
            for (int k = 0; k < rows.Count; k++) {{
                column[k] = Elements(rows[k].{name}, {field.width}, "{name}")[j];
            }}
            inputs[{name}Names[j]] = column;
        }}"""


def _elements(result: Result, name: str) -> str:
    if result.classes:
        return f"{name}.Values"
    return f"new object[] {{{name}}}" if result.width is None else name


def _checks(plan: Plan, results: list[str]) -> Iterable[str]:
    for result, name, said, (atol, rtol) in zip(plan.results, results, plan.answer, plan.tolerance):
        words = f"new object[] {{{wrapped(map(literal, said), ' ' * 16)}}}"
        yield f'            Check("{name}", {_elements(result, name)}, {words}, {atol!r}, {rtol!r});'
