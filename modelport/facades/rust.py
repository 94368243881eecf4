"""The facade in Rust 2021: structs around modelport.rs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .example import hint, short
from .naming import fill, identifiers, shown, snake, wrapped
from .page import build_page
from .plan import Bound, Field, Plan, Result

__all__ = ["write"]

RESERVED = set(
    """abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if impl
    in let loop macro match mod move mut override priv pub ref return self static struct super trait true try type typeof
    unsafe unsized use virtual where while yield""".split()
)
ONE = {"number": "f64", "integer": "Option<i64>", "boolean": "Option<bool>", "text": "Option<String>"}
MANY = {"number": "f64", "integer": "i64", "boolean": "bool", "text": "Option<String>"}
CLASS = {"integer": "i64", "boolean": "bool", "text": "&'static str"}
DATA = {"number": "floats", "integer": "integers", "boolean": "integers", "text": "strings"}

FACADE = """// A typed facade of @model@, written by `modelport stub rust --for`: rows and answers by field.

#![allow(dead_code)]

use crate::modelport::{Classes, Error, Model, Ops, Tensor};

/// What the model is asked. A missing number is NaN, anything else missing is None; where the model does not accept that, it
/// refuses the row.
#[derive(Clone, Debug)]
pub struct Row {
@fields@
}
impl Row {
    /// One of the rows that the artifact of this facade carries.
    pub fn example() -> Row {
        Row {
@row@
        }
    }
}
impl Default for Row {
    /// A row in which everything is missing.
    fn default() -> Row {
        Row {
@defaults@
        }
    }
}

/// What the model says: one value per output, or values by class, or a list, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
@results@
}
@names@
impl Answer {
    /// Compares an answer for the example row with the one that the artifact carries; Mismatch where they differ.
    pub fn compare(&self) -> Result<(), Error> {
        let carried: Vec<(Vec<Word>, f64, f64)> = vec![
@checks@
        ];
        for ((name, got), (said, atol, rtol)) in self.elements().into_iter().zip(carried) {
            if got.len() != said.len() || !got.iter().zip(&said).all(|(g, s)| g.is(s, atol, rtol)) {
                return Err(Error::Mismatch(format!("{} is not what the artifact carries.", name)));
            }
        }
        Ok(())
    }
    fn elements(&self) -> Vec<(&'static str, Vec<Word>)> {
        vec![
@elements@
        ]
    }
}
/// A line per output.
impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        for (k, (name, got)) in self.elements().iter().enumerate() {
            write!(f, "{}{}:", if k == 0 { "" } else { "\\n" }, name)?;
            for word in got {
                match word {
                    Word::Number(value) => write!(f, " {:?}", value)?,
                    Word::Other(value) => write!(f, " {}", value)?,
                }
            }
        }
        Ok(())
    }
}

/// An element of an answer.
enum Word {
    Number(f64),
    Other(String),
}
impl From<&f64> for Word { fn from(v: &f64) -> Word { Word::Number(*v) } }
impl From<&i64> for Word { fn from(v: &i64) -> Word { Word::Other(v.to_string()) } }
impl From<&bool> for Word { fn from(v: &bool) -> Word { Word::Other(v.to_string()) } }
impl From<&Option<String>> for Word { fn from(v: &Option<String>) -> Word { Word::Other(v.clone().unwrap_or_default()) } }
impl Word {
    fn is(&self, said: &Word, atol: f64, rtol: f64) -> bool {
        match (self, said) {
            (Word::Number(g), Word::Number(s)) => {
                g == s || g.is_nan() && s.is_nan() || s.is_finite() && (g - s).abs() <= atol + rtol * s.abs()
            }
            (Word::Other(g), Word::Other(s)) => g == s,
            _ => false,
        }
    }
}
fn words<'a, T>(values: &'a [T]) -> Vec<Word> where Word: From<&'a T> {
    values.iter().map(Word::from).collect()
}

static OPS: &[&Ops] = &[@ops@];

/// The model. Immutable; may be shared by threads.
pub struct Facade {
    inner: Model,
}
impl Facade {
    /// The model of an artifact: it is checked, replays the rows it carries, and has to have the columns of this facade.
    pub fn load(document: impl AsRef<[u8]>) -> Result<Facade, Error> {
        let inner = Model::load_with(document, OPS)?;
        if signature(&inner) != SIGNATURE {
            let other = "The artifact has other inputs or outputs than the one of this facade: write it again.";
            return Err(Error::Refused(other.to_string()));
        }
        Ok(Facade { inner })
    }
    /// The answer for a row.
    pub fn predict(&self, row: &Row) -> Result<Answer, Error> {
        self.predict_rows(std::slice::from_ref(row))?.pop().ok_or_else(|| odd("A row"))
    }
    /// The answers for rows; an error where the model does not accept one.
    pub fn predict_rows(&self, rows: &[Row]) -> Result<Vec<Answer>, Error> {
        let mut answers = Vec::with_capacity(rows.len());
        if rows.is_empty() {
            return Ok(answers);
        }
        let mut inputs: Vec<(&str, Tensor)> = Vec::new();
@inputs@
        let outputs = self.inner.predict(&inputs)?;
@outputs@
        for k in 0..rows.len() {
            answers.push(Answer {
@answers@
            });
        }
        Ok(answers)
    }
}

fn odd(what: &str) -> Error {
    Error::Refused(format!("{} has no answer of its kind.", what))
}
fn given<T: Copy>(value: Option<T>, name: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::Refused(format!("The field {} is missing.", name)))
}
fn elements<'a, T>(values: &'a [T], width: usize, name: &str) -> Result<&'a [T], Error> {
    if values.len() != width {
        return Err(Error::Refused(format!("The field {} has {} elements; {} are needed.", name, values.len(), width)));
    }
    Ok(values)
}
fn signature(model: &Model) -> Vec<String> {
    fn joined(lengths: &[impl ToString]) -> String {
        lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
    }
    let mut found = Vec::new();
    for i in model.inputs() {
        let features = i.features.clone().unwrap_or_default();
        let (name, shape, missing) = (i.name.clone(), joined(&i.shape), i.missing.clone());
        found.extend(["input".to_string(), name, i.dtype.to_string(), shape, missing, features.len().to_string()]);
        found.extend(features);
    }
    for o in model.outputs() {
        let classes: Vec<String> = match &o.classes {
            None => Vec::new(),
            Some(Classes::Texts(all)) => all.clone(),
            Some(Classes::Integers(all)) => all.iter().map(ToString::to_string).collect(),
            Some(Classes::Booleans(all)) => all.iter().map(ToString::to_string).collect(),
        };
        found.extend(["output".to_string(), o.name.clone(), o.dtype.to_string(), joined(&o.shape), classes.len().to_string()]);
        found.extend(classes);
    }
    found
}

/// Inputs and outputs of the model that this file was written for.
static SIGNATURE: &[&str] = &[
    @signature@,
];
"""

EXAMPLE = """// Asks @model@ one row, prints its answer and compares it with the one that the artifact carries.
@modules@
mod @file@;
use @file@::{Facade, Row};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Facade::load(std::fs::read(@artifact@)?)?;
    let row = @row@;
    let answer = model.predict(&row)?;
    println!("{}", answer); // or one by one: @hint@
    answer.compare()?;
    println!("The artifact carries the same answers.");
    Ok(())
}
"""


def write(plan: Plan) -> dict[str, str]:
    """File name -> text: the facade, the example, and how to run it."""
    name = f"{snake(plan.stem)}_facade"
    fields = identifiers((f.name for f in plan.fields), "snake", RESERVED)
    results = identifiers((r.name for r in plan.results), "snake", RESERVED)
    modules = [file.removesuffix(".rs") for file in plan.library]
    values = {
        "model": shown(plan.model),
        "file": name,
        "artifact": literal(plan.model),
        "modules": "\n".join(f"mod {module};" for module in modules),
        "ops": ", ".join(f"&crate::{module}::OPS" for module in modules if module != "modelport"),
        "fields": "\n".join(map(_field, plan.fields, fields)),
        "defaults": "\n".join(f"            {n}: {_missing(f)}," for f, n in zip(plan.fields, fields)),
        "results": "\n".join(f"    /// {shown(r.name)}\n    pub {n}: {_type(r)}," for r, n in zip(plan.results, results)),
        "names": "".join(_names(f, n) for f, n in zip(plan.fields, fields) if f.names),
        "inputs": "\n".join(line for bound in plan.apart() for line in _input(bound, fields)) + "".join(_groups(plan, fields)),
        "outputs": "\n".join(_output(k, result) for k, result in enumerate(plan.results)),
        "answers": "\n".join(_answer(k, r, n) for k, (r, n) in enumerate(zip(plan.results, results))),
        "signature": wrapped(map(literal, plan.signature), " " * 4),
        "row": "\n".join(f"            {n}: {_given(f, v)}," for f, n, v in zip(plan.fields, fields, plan.row)),
        "checks": "\n".join(_checks(plan)),
        "elements": "\n".join(f'            ("{n}", {_elements(r, n)}),' for r, n in zip(plan.results, results)),
    }
    given = wrapped((f"{n}: {_given(f, v)}" for f, n, v in zip(plan.fields, fields, plan.row)), " " * 8)
    example = short(
        EXAMPLE,
        {**values, "hint": hint(results)},
        {"row": f"Row {{\n        {given},\n    }}"},
        {"row": f"Row::example() /* as Row {{ {fields[0]}: ..., ... }} */"},
    )
    commands = "rustc -O --edition 2021 example.rs\n./example"
    page = build_page(plan, "Rust 1.63 or later", commands, [f"{name}.rs", "example.rs"], "rust")
    return {f"{name}.rs": fill(FACADE, values), "example.rs": example, "BUILD.md": page}


def literal(value: Any) -> str:
    """A value in Rust. Of a string, what is not printable ASCII is an escape."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value}i64"
    if isinstance(value, float):
        if math.isfinite(value):
            return f"{value!r}f64"
        return "f64::NAN" if math.isnan(value) else "f64::INFINITY" if value > 0 else "f64::NEG_INFINITY"
    return '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\u{{{ord(c):x}}}" for c in value) + '"'


def _owned(kind: str, value: Any) -> str:
    """A value as the field of a row has it, within its kind."""
    if kind == "text":
        return "None" if value is None else f"Some({literal(value)}.to_string())"
    return literal(value)


def _list(kind: str, values: Sequence[Any]) -> str:
    return f"vec![{wrapped([_owned(kind, v) for v in values], ' ' * 12)}]"


def _given(field: Field, values: tuple[Any, ...]) -> str:
    if field.width is not None:
        return _list(field.kind, values)
    if field.kind in ("number", "text"):
        return _owned(field.kind, values[0])
    return f"Some({literal(values[0])})"


def _field(field: Field, name: str) -> str:
    if field.width is None:
        return f"    /// {shown(field.name)}\n    pub {name}: {ONE[field.kind]},"
    return f"    /// {shown(field.name)}: {field.width} elements\n    pub {name}: Vec<{MANY[field.kind]}>,"


def _missing(field: Field) -> str:
    if field.width is not None:
        return "Vec::new()"
    return "f64::NAN" if field.kind == "number" else "None"


def _names(field: Field, name: str) -> str:
    words = wrapped(map(literal, field.names), " " * 4)
    return f"\n/// The names of the columns of {name}.\npub static {name.upper()}_NAMES: &[&str] = &[\n    {words},\n];\n"


def _type(result: Result) -> str:
    if result.classes:
        return f"Vec<({CLASS[result.class_kind]}, {MANY[result.kind]})>"
    return MANY[result.kind] if result.width is None else f"Vec<{MANY[result.kind]}>"


def _cell(kind: str, name: str) -> str:
    if kind == "text":
        return f"row.{name}.as_deref()"
    return f"row.{name}" if kind == "number" else f'given(row.{name}, "{name}")?'


def _input(bound: Bound, fields: list[str]) -> Iterable[str]:
    width = math.prod(bound.shape)
    yield f"        let mut values = Vec::with_capacity(rows.len() * {width});"
    yield "        for row in rows {"
    if bound.whole is not None:
        name = fields[bound.whole]
        each = ".map(Option::as_deref)" if bound.kind == "text" else ".copied()"
        yield f'            values.extend(elements(&row.{name}, {width}, "{name}")?.iter(){each});'
    else:
        cells = wrapped([_cell(bound.kind, fields[cell.field]) for cell in bound.cells], " " * 16)
        yield f"            values.extend([{cells}]);"
    yield "        }"
    shape = "".join(f", {length}" for length in bound.shape)
    yield f"        inputs.push(({literal(bound.input.name)}, Tensor::from(values).shaped(&[rows.len(){shape}])?));"


def _groups(plan: Plan, fields: list[str]) -> Iterable[str]:
    for number in plan.groups():
        name, field = fields[number], plan.fields[number]
        each = ".as_deref()" if field.kind == "text" else ""
        yield f"""
        for (j, input) in {name.upper()}_NAMES.iter().enumerate() {{
            let mut values = Vec::with_capacity(rows.len());
            for row in rows {{
                values.push(elements(&row.{name}, {field.width}, "{name}")?[j]{each});
            }}
            inputs.push((input, Tensor::from(values)));
        }}"""


def _output(k: int, result: Result) -> str:
    name = literal(result.name)
    return f"        let o{k} = outputs.get({name}).and_then(Tensor::{DATA[result.kind]}).ok_or_else(|| odd({name}))?;"


def _answer(k: int, result: Result, name: str) -> str:
    one = {"boolean": "{} != 0", "text": "{}.as_ref().map(|text| text.to_string())"}.get(result.kind, "{}")
    if result.width is None:
        return f"                {name}: {one.format(f'o{k}[k]')},"
    part = f"o{k}[{result.width} * k..{result.width} * (k + 1)].iter()"
    value = one.format("v") if result.kind == "text" else one.format("*v")
    if result.classes:
        words = wrapped(map(literal, result.classes), " " * 20)
        return f"                {name}: [{words}].into_iter().zip({part}).map(|(class, v)| (class, {value})).collect(),"
    return f"                {name}: {part}.map(|v| {value}).collect(),"


def _elements(result: Result, name: str) -> str:
    if result.classes:
        return f"self.{name}.iter().map(|(_, v)| Word::from(v)).collect()"
    return f"words(std::slice::from_ref(&self.{name}))" if result.width is None else f"words(&self.{name})"


def _checks(plan: Plan) -> Iterable[str]:
    for result, said, (atol, rtol) in zip(plan.results, plan.answer, plan.tolerance):
        words = wrapped([_owned(result.kind, v) for v in said], " " * 16)
        yield f"            (words(&[{words}]), {literal(atol)}, {literal(rtol)}),"
