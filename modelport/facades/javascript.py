"""The facade in JavaScript: an ES module with its types around modelport.js."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from .example import hint, short
from .naming import camel, fill, identifiers, shown, snake, wrapped
from .page import build_page
from .plan import Bound, Field, Plan, Result

__all__ = ["write"]

RESERVED = set(
    """abstract any arguments as async await bigint boolean break case catch class const continue debugger declare
    default delete do else enum eval export extends false finally for function get if implements import in instanceof
    interface let module namespace never new null number object of package private protected public readonly return
    set static string super switch symbol then this throw true try type typeof undefined unknown var void while with
    yield constructor toString valueOf hasOwnProperty isPrototypeOf propertyIsEnumerable toLocaleString proto""".split()
)
TYPES = {"number": "number", "integer": "number | bigint", "boolean": "boolean", "text": "string"}

FACADE = """// A typed facade of @model@, written by `modelport stub javascript --for`: rows and answers by field.

// CommonJS, or globals when a package.json makes .js files ES modules, and in browsers
const modelport = (await import("./modelport.js")).default ?? globalThis.modelport;
await import("./modelport_fast.js");
@imports@
const FIELDS = new Set([@fields@]);
@names@
/** The model of an artifact: it is checked, replays the rows it carries, and has to have the columns of this facade. */
export function load(source) {
  const inner = modelport.load(source@ops@);
  const found = signature(inner);
  if (found.length !== SIGNATURE.length || found.some((word, k) => word !== SIGNATURE[k])) {
    throw new modelport.Refused("The artifact has other inputs or outputs than the one of this facade: write the facade again.");
  }
  return new Model(inner);
}

/** A loaded model, which has proved itself. */
export class Model {
  #inner;

  constructor(inner) { this.#inner = inner; }

  /** The answer for a row, or the answers for an array of rows; throws modelport.Refused where the model does not accept one. */
  predict(rows) {
    if (!Array.isArray(rows)) return this.predict([rows])[0];
    if (rows.length === 0) return [];
    rows.forEach(check);
    const outputs = this.#inner.predict(inputs(rows));
@results@
    return rows.map((_, k) => ({
@answers@
    }));
  }
}

/** One of the rows that the artifact of this facade carries. */
export function exampleRow() {
  return {
    @row@,
  };
}

/** An answer as text, a line per output. */
export function describe(answer) {
  const words = (got) => got.map((element) => element ?? "").join(" ");
  return Object.entries(elementsOf(answer)).map(([name, got]) => `${name}: ${words(got)}`).join("\\n");
}

/** Compares an answer for the example row with the one that the artifact carries; throws modelport.Mismatch where they differ. */
export function compare(answer) {
  const got = elementsOf(answer);
  const carried = [
@checks@
  ];
  for (const [name, said, atol, rtol] of carried) {
    if (got[name].length !== said.length || !got[name].every((element, k) => same(element, said[k], atol, rtol))) {
      throw new modelport.Mismatch(`${name} is not what the artifact carries.`);
    }
  }
}

const elementsOf = (answer) => ({
@elements@
});

const same = (got, said, atol, rtol) => got == said || (Number.isNaN(got) && Number.isNaN(said))
  || (Number.isFinite(said) && Math.abs(got - said) <= atol + rtol * Math.abs(said));

/** Refuses a row that is no object with exactly the fields of the model. */
function check(row, k) {
  if (typeof row !== "object" || row === null) throw new modelport.Refused(`Row ${k} is no object.`);
  const lacks = [...FIELDS].find((field) => !Object.hasOwn(row, field));
  if (lacks !== undefined) throw new modelport.Refused(`Row ${k} lacks the field ${lacks}.`);
  const odd = Object.keys(row).find((key) => !FIELDS.has(key));
  if (odd !== undefined) throw new modelport.Refused(`Row ${k} has ${JSON.stringify(odd)}, which is no field of the model.`);
}

function inputs(rows) {
  const n = rows.length;
  return Object.fromEntries([
@inputs@
  ]);
}
@helpers@
function signature(model) {
  const found = [];
  for (const { name, dtype, shape, missing, features = [] } of model.inputs()) {
    found.push("input", name, dtype, shape.join("x"), missing, String(features.length), ...features);
  }
  for (const { name, dtype, shape, classes = [] } of model.outputs()) {
    found.push("output", name, dtype, shape.join("x"), String(classes.length), ...classes.map(String));
  }
  return found;
}

/** Inputs and outputs of the model that this file was written for. */
const SIGNATURE = [
  @signature@,
];
"""

NUMBERS = """
const number = (value) => (value === null ? NaN : value);
"""

ELEMENTS = """
/** The elements of a field of several, which is flat and has the right length. */
function elements(values, width, name) {
  const list = Array.isArray(values) || ArrayBuffer.isView(values) ? Array.from(values) : null;
  if (list === null || list.length !== width) throw new modelport.Refused(`The field ${name} is no array of ${width} elements.`);
  return list;
}
"""

TYPED = """// Types of @module@.mjs, written by `modelport stub javascript --for`.

/** What the model is asked: null is a missing value, where the type allows it; an array is row-major. */
export interface Row {
@fields@
}

/** What the model says: one value per output, or values by class, or an array, row-major. */
export interface Answer {
@results@
}

/** A loaded model, which has proved itself. */
export class Model {
  private constructor();
  predict(row: Row): Answer;
  predict(rows: readonly Row[]): Answer[];
}

/** The model of an artifact: it is checked, replays the rows it carries, and has to have the columns of this facade. */
export function load(source: string | ArrayBuffer | ArrayBufferView): Model;

/** One of the rows that the artifact of this facade carries. */
export function exampleRow(): Row;

/** An answer as text, a line per output. */
export function describe(answer: Answer): string;

/** Compares an answer for the example row with the one that the artifact carries; throws modelport.Mismatch where they differ. */
export function compare(answer: Answer): void;
@names@"""

EXAMPLE = """// Asks @model@ one row, prints its answer and compares it with the one that the artifact carries.

import { readFileSync } from "node:fs";
import { @names@ } from "./@module@.mjs";

const model = load(readFileSync(new URL(@file@, import.meta.url)));
@row@
const answer = model.predict(row);
console.log(describe(answer)); // or one by one: @answers@
compare(answer);
console.log("The artifact carries the same answers.");
"""


def write(plan: Plan) -> dict[str, str]:
    """File name -> text: the module, its types, the example, and how to run it."""
    module = f"{snake(plan.stem)}_facade"
    fields = identifiers((f.name for f in plan.fields), "camel", RESERVED)
    results = identifiers((r.name for r in plan.results), "camel", RESERVED)
    files = [name for name in plan.library if name not in ("modelport.js", "modelport_fast.js") and name.endswith(".js")]
    globals_ = [camel(name.removesuffix(".js")) for name in files]
    constants = _constants(plan, fields, results)
    values = {
        "model": shown(plan.model),
        "module": module,
        "file": literal("./" + _path(plan.model)),
        "imports": "".join(
            f'const {g} = (await import("./{name}")).default ?? globalThis.{g};\n' for g, name in zip(globals_, files)
        ),
        "ops": f", {{ ops: {{ {', '.join('...' + g for g in globals_)} }} }}" if globals_ else "",
        "fields": wrapped((f'"{name}"' for name in fields), "  "),
        "names": "".join(
            f"\nexport const {name} = Object.freeze([\n  {wrapped(map(literal, words), '  ')},\n]);\n"
            for name, words in constants
        ),
        "results": "\n".join(f"    const o{k} = {_output(r)};" for k, r in enumerate(plan.results)),
        "answers": "\n".join(f"      {name}: {_answer(r, name, k)}," for k, (r, name) in enumerate(zip(plan.results, results))),
        "inputs": "\n".join(_inputs(plan, fields)),
        "helpers": _helpers(plan),
        "signature": wrapped(map(literal, plan.signature), "  "),
        "row": wrapped((f"{name}: {_given(f, v)}" for f, name, v in zip(plan.fields, fields, plan.row)), "    "),
        "checks": "\n".join(
            f'    ["{n}", [{wrapped(map(literal, said), "      ")}], {atol!r}, {rtol!r}],'
            for n, said, (atol, rtol) in zip(results, plan.answer, plan.tolerance)
        ),
        "elements": "\n".join(f"  {n}: {_elements(r, n)}," for r, n in zip(plan.results, results)),
    }
    row = wrapped((f"{name}: {_given(f, v)}" for f, name, v in zip(plan.fields, fields, plan.row)), "  ")
    example = short(
        EXAMPLE,
        {**values, "answers": hint(results)},
        {"names": "compare, describe, load", "row": f"const row = {{\n  {row},\n}};"},
        {"names": "compare, describe, exampleRow, load", "row": f"const row = exampleRow(); // as {{ {fields[0]}: ..., ... }}"},
    )
    types = {
        **values,
        "fields": "\n".join(map(_field, plan.fields, fields)),
        "results": "\n".join(map(_result, plan.results, results)),
        "names": "".join(f"export const {name}: readonly {_class_type(words[0])}[];\n" for name, words in constants),
    }
    written = [f"{module}.mjs", f"{module}.d.mts", "example.mjs"]
    page = build_page(plan, "Node 18 or later, or a browser for the facade alone", "node example.mjs", written, "javascript")
    texts = (fill(FACADE, values), fill(TYPED, types), example, page)
    return dict(zip([*written, "BUILD.md"], texts))


def literal(value: Any) -> str:
    """A value in JavaScript; a string stays one within a script of a page too."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value) if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return f"{value}n"
    return json.dumps(value).replace("<", "\\u003c")


def _path(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


def _given(field: Field, values: tuple[Any, ...]) -> str:
    missing = [None if field.optional and isinstance(v, float) and math.isnan(v) else v for v in values]
    return literal(missing[0]) if field.width is None else "[" + wrapped(map(literal, missing), "    ") + "]"


def _constants(plan: Plan, fields: list[str], results: list[str]) -> list[tuple[str, tuple[Any, ...]]]:
    found: list[tuple[str, tuple[Any, ...]]] = [(f"{name}Names", f.names) for f, name in zip(plan.fields, fields) if f.names]
    return found + [(f"{name}Classes", r.classes) for r, name in zip(plan.results, results) if r.classes]


def _class_type(value: Any) -> str:
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "(number | bigint)"


def _field(field: Field, name: str) -> str:
    one = TYPES[field.kind] + (" | null" if field.optional else "")
    typed = one if field.width is None else f"ReadonlyArray<{one}>" + " | Float64Array | Float32Array" * (field.kind == "number")
    size = "" if field.width is None else f": {field.width} elements"
    return f"  /** {shown(field.name)}{size} */\n  {name}: {typed};"


def _result(result: Result, name: str) -> str:
    one = TYPES[result.kind] + (" | null" if result.kind == "text" else "")
    typed = one if result.width is None else f"Array<{one}>"
    if result.classes:
        typed = f"Map<{_class_type(result.classes[0]).strip('()')}, {one}>"
    return f"  /** {shown(result.name)} */\n  {name}: {typed};"


def _output(result: Result) -> str:
    return f"outputs[{literal(result.name)}].toArray().flat(Infinity)"


def _answer(result: Result, name: str, k: int) -> str:
    if result.width is None:
        return f"o{k}[k]"
    part = f"o{k}.slice({result.width} * k, {result.width} * (k + 1))"
    return f"new Map({name}Classes.map((word, j) => [word, o{k}[{result.width} * k + j]]))" if result.classes else part


def _inputs(plan: Plan, fields: list[str]) -> Iterable[str]:
    for bound in plan.apart():
        shape = ", ".join(["n", *map(str, bound.shape)])
        yield f"    [{literal(bound.input.name)}, {{ shape: [{shape}], data: {_data(plan, bound, fields)} }}],"
    for number in plan.groups():
        name, field = fields[number], plan.fields[number]
        yield f'    ...columns({name}Names, rows.map((row) => elements(row.{name}, {field.width}, "{name}")){_wrap(field.kind)}),'


def _wrap(kind: str) -> str:
    return ".map((list) => list.map(number))" if kind == "number" else ""


def _data(plan: Plan, bound: Bound, fields: list[str]) -> str:
    if bound.whole is not None:
        name, field = fields[bound.whole], plan.fields[bound.whole]
        return f'rows.flatMap((row) => elements(row.{name}, {field.width}, "{name}"))' + ".map(number)" * (bound.kind == "number")
    cells = [f"row.{fields[cell.field]}" for cell in bound.cells]
    cells = [f"number({cell})" for cell in cells] if bound.kind == "number" else cells
    if len(cells) == 1:
        return f"rows.map((row) => {cells[0]})"
    return f"rows.flatMap((row) => [\n      {wrapped(cells, '      ')},\n    ])"


def _helpers(plan: Plan) -> str:
    columns = "\nconst columns = (names, lists) => names.map((name, k) => [name, lists.map((list) => list[k])]);\n"
    numbers, arrays = (any(b.kind == "number" for b in plan.bounds), any(f.width is not None for f in plan.fields))
    return NUMBERS * numbers + ELEMENTS * arrays + columns * bool(plan.groups())


def _elements(result: Result, name: str) -> str:
    if result.classes:
        return f"[...answer.{name}.values()]"
    return f"[answer.{name}]" if result.width is None else f"answer.{name}"
