"""The facade in Go 1.19: one more file of the package, with structs and methods around the library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .example import hint, short
from .naming import fill, identifiers, pascal, shown, snake, wrapped
from .page import build_page
from .plan import Bound, Field, Plan, Result

__all__ = ["write"]

MANY = {"number": "[]float64", "integer": "[]int64", "boolean": "[]bool", "text": "[]*string"}
ONE = {"number": "*float64", "integer": "*int64", "boolean": "*bool", "text": "*string"}
#: what an answer has; a text may be missing
SAID = {"number": "float64", "integer": "int64", "boolean": "bool", "text": "*string"}
KEYS = {"integer": "int64", "boolean": "bool", "text": "string"}
TENSORS = {"number": "Floats", "integer": "Integers", "boolean": "Booleans", "text": "Strings"}

FACADE = """package modelport

import (
	"fmt"
	"math"
	"strings"
)

// @class@ is a typed facade of @model@, written by "modelport stub go --for": rows and answers by field.
type @class@ struct {
	inner *Model
}

// @class@Row is what the model is asked. A field that is nil is missing; where the model does not accept that, it refuses the
// row. Of makes a pointer of a value.
type @class@Row struct {
@fields@
}

// @class@Answer is what the model says: one value per output, or values by class, or an array, row-major.
type @class@Answer struct {
@results@
}
@names@
// @class@Example is one of the rows that the artifact of this facade carries.
func @class@Example() @class@Row {
	row := @class@Row{}
@row@
	return row
}

// Compare compares an answer for the example row with the one that the artifact carries, and says so; or *Mismatch.
func (answer @class@Answer) Compare() (string, error) {
	carried := [][]any{
@said@
	}
	tolerances := [][2]float64{
@tolerance@
	}
	for k, got := range answer.elements() {
		same := len(got) == len(carried[k])
		for j := 0; same && j < len(got); j++ {
			same = @private@Close(got[j], carried[k][j], tolerances[k][0], tolerances[k][1])
		}
		if !same {
			return "", &Mismatch{fmt.Sprint(@private@Results[k], " is not what the artifact carries: ", carried[k])}
		}
	}
	return "The artifact carries the same answers.", nil
}

// String has a line per output.
func (answer @class@Answer) String() string {
	lines := []string{}
	for k, got := range answer.elements() {
		line := @private@Results[k] + ":"
		for _, element := range got {
			line += fmt.Sprint(" ", element)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\\n")
}

func (answer @class@Answer) elements() [][]any {
	all := make([][]any, len(@private@Results))
@elements@
	return all
}

var @private@Results = []string{@words@}

// Load@class@ loads an artifact: it is checked, replays the rows it carries, and has to have the columns of this facade.
func Load@class@(document []byte) (*@class@, error) {
	inner, err := Load(document)
	if err != nil {
		return nil, err
	}
	said, known := @private@Signature(inner), @private@Names
	same := len(said) == len(known)
	for k := 0; same && k < len(said); k++ {
		same = said[k] == known[k]
	}
	if !same {
		return nil, &Refused{"The artifact has other inputs or outputs than the one of this facade: write it again."}
	}
	return &@class@{inner}, nil
}

// Predict gives the answer for a row.
func (m *@class@) Predict(row @class@Row) (@class@Answer, error) {
	answers, err := m.PredictRows([]@class@Row{row})
	if err != nil {
		return @class@Answer{}, err
	}
	return answers[0], nil
}

// PredictRows gives the answers for rows; an error where the model does not accept one of them.
func (m *@class@) PredictRows(rows []@class@Row) ([]@class@Answer, error) {
	answers := make([]@class@Answer, len(rows))
	if len(rows) == 0 {
		return answers, nil
	}
	inputs := map[string]any{}
@inputs@
	outputs, err := m.inner.PredictColumns(inputs)
	if err != nil {
		return nil, err
	}
	for k := range answers {
@answers@
	}
	return answers, nil
}
@helpers@
// @private@Signature has the inputs and outputs of a model, as strings.
func @private@Signature(m *Model) []string {
	joined := func(shape []Axis) string {
		lengths := []string{}
		for _, axis := range shape {
			lengths = append(lengths, axis.String())
		}
		return strings.Join(lengths, "x")
	}
	found := []string{}
	for _, in := range m.Inputs() {
		found = append(found, "input", in.Name, in.DType.String(), joined(in.Shape), in.Missing, fmt.Sprint(len(in.Features)))
		found = append(found, in.Features...)
	}
	for _, out := range m.Outputs() {
		found = append(found, "output", out.Name, out.DType.String(), joined(out.Shape), fmt.Sprint(len(out.Classes)))
		for _, class := range out.Classes {
			found = append(found, fmt.Sprint(class))
		}
	}
	return found
}

// @private@Names are the inputs and outputs of the model that this file was written for.
var @private@Names = []string{
	@signature@,
}
"""

ELEMENTS = """
func @private@Close(got, said any, atol, rtol float64) bool {
	g, number := got.(float64)
	s, other := said.(float64)
	if number && other {
		return g == s || g != g && s != s || !math.IsInf(s, 0) && math.Abs(g-s) <= atol+rtol*math.Abs(s)
	}
	return got == said
}

func @private@List(values []float64) []any {
	all := []any{}
	for _, value := range values {
		all = append(all, value)
	}
	return all
}

func @private@Text(value *string) any {
	if value == nil {
		return ""
	}
	return *value
}

func @private@Missing(field string, k int) error {
	return &Refused{fmt.Sprintf("The field %s is not set in row %d.", field, k)}
}

func @private@Length(field string, k, length, width int) error {
	return &Refused{fmt.Sprintf("The field %s has %d elements in row %d; %d are needed.", field, length, k, width)}
}
"""

EXAMPLE = """//go:build ignore

// Asks @model@ one row, prints its answer and compares it with the one that the artifact carries.
package main

import (
	"fmt"
	"modelport"
	"os"
)

func main() {
	model := modelport.Must(modelport.Load@class@(modelport.Must(os.ReadFile(@file@))))
@row@
	answer := modelport.Must(model.Predict(row))
	fmt.Println(answer) // or one by one: @hint@
	fmt.Println(modelport.Must(answer.Compare()))
}
"""


def write(plan: Plan) -> dict[str, str]:
    """File name -> text: the facade, the example, and how to run it."""
    class_ = f"{pascal(plan.stem)}Facade"
    private = class_[0].lower() + class_[1:]
    fields = [_exported(n) for n in identifiers((f.name for f in plan.fields), "camel", ())]
    results = [_exported(n) for n in identifiers((r.name for r in plan.results), "camel", {"compare", "string"})]
    values = {
        "model": shown(plan.model),
        "class": class_,
        "private": private,
        "file": literal(plan.model),
        "fields": "\n\n".join(map(_field, plan.fields, fields)),
        "results": "\n\n".join(map(_result, plan.results, results)),
        "names": "".join(
            f"\n// {class_}{n}Columns are the names of the columns of {n}.\n"
            f"var {class_}{n}Columns = []string{{\n\t{_lines(map(literal, f.names))},\n}}\n"
            for f, n in zip(plan.fields, fields)
            if f.names
        )
        + "".join(
            f"\n// {class_}{n}Classes are the classes of {n}, in the order of the model.\n"
            f"var {class_}{n}Classes = []{KEYS[r.class_kind]}{{\n\t{_lines(map(literal, r.classes))},\n}}\n"
            for r, n in zip(plan.results, results)
            if r.classes
        ),
        "inputs": "\n".join(line for k, bound in enumerate(plan.apart()) for line in _input(bound, fields, private, k)),
        "answers": "\n".join(line for r, n in zip(plan.results, results) for line in _answer(r, n, class_)),
        "signature": _lines(map(literal, plan.signature)),
    }
    values["inputs"] += "".join(_groups(plan, fields, class_, private))
    values["row"] = "\n".join(f"\trow.{n} = {_given(f, v)}" for f, n, v in zip(plan.fields, fields, plan.row))
    values["elements"] = "\n".join(
        line for k, (r, n) in enumerate(zip(plan.results, results)) for line in _elements(r, n, k, values)
    )
    values["words"] = ", ".join(f'"{n}"' for n in results)
    values["said"] = "\n".join(f"\t\t{_said(r, s, private)}," for r, s in zip(plan.results, plan.answer))
    values["tolerance"] = "\n".join(f"\t\t{{{atol!r}, {rtol!r}}}," for atol, rtol in plan.tolerance)
    values["helpers"] = ELEMENTS.replace("@private@", private)
    facade = fill(FACADE, values)
    body = facade.partition(")")[2]
    for package in ("fmt", "math", "strings"):
        if f"{package}." not in body:
            facade = facade.replace(f'\t"{package}"\n', "", 1)
    given = [(f"row.{n}", _given(f, v, "modelport.")) for f, n, v in zip(plan.fields, fields, plan.row)]
    pairs = [zip(*given[at : at + 2]) for at in range(0, len(given), 2)]
    lines = [f"\trow := modelport.{class_}Row{{}}", *(f"\t{', '.join(names)} = {', '.join(said)}" for names, said in pairs)]
    example = short(
        EXAMPLE,
        {**values, "hint": hint(results)},
        None if any("math." in said for _, said in given) else {"row": "\n".join(lines)},
        {"row": f"\trow := modelport.{class_}Example() // its fields can be set: row.{fields[0]} = ..."},
    )
    written = [f"{snake(plan.stem)}_facade.go", "example.go"]
    page = build_page(plan, "Go 1.19 or later", "go run example.go", written, "go")
    return {written[0]: facade, written[1]: example, "BUILD.md": page}


def literal(value: Any) -> str:
    """A value in Go; of a string, what is not printable ASCII is escaped."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return "math.Copysign(0, -1)" if value == 0 and math.copysign(1, value) < 0 else repr(value)
        return "math.NaN()" if math.isnan(value) else f"math.Inf({1 if value > 0 else -1})"
    return '"' + "".join(map(_character, value)) + '"'


def _character(c: str) -> str:
    if " " <= c <= "~":
        return f"\\{c}" if c in '"\\' else c
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


def _exported(name: str) -> str:
    return name[0].upper() + name[1:]


def _lines(items: Iterable[str]) -> str:
    return wrapped(items, "\t")


def _comment(name: str) -> str:
    return f"\t// {shown(name)}".rstrip(" ")


def _field(field: Field, name: str) -> str:
    if field.width is None:
        return f"{_comment(field.name)}\n\t{name} {ONE[field.kind]}"
    return f"\t// {shown(field.name)}: {field.width} elements\n\t{name} {MANY[field.kind]}"


def _result(result: Result, name: str) -> str:
    kind = SAID[result.kind]
    if result.classes:
        kind = f"map[{KEYS[result.class_kind]}]{kind}"
    elif result.width is not None:
        kind = f"[]{kind}"
    return f"{_comment(result.name)}\n\t{name} {kind}"


def _input(bound: Bound, fields: Sequence[str], private: str, k: int) -> Iterable[str]:
    width = math.prod(bound.shape)
    yield (
        f"\tin{k} := make({MANY[bound.kind]}, {width}*len(rows))"
        if width > 1
        else f"\tin{k} := make({MANY[bound.kind]}, len(rows))"
    )
    yield "\tfor k, row := range rows {"
    if bound.whole is not None:
        name = fields[bound.whole]
        yield f"\t\tif len(row.{name}) != {width} {{"
        yield f'\t\t\treturn nil, {private}Length("{name}", k, len(row.{name}), {width})'
        yield "\t\t}"
        yield f"\t\tcopy(in{k}[{width}*k:], row.{name})"
    for j, cell in enumerate(bound.cells):
        name = fields[cell.field]
        place = "k" if width == 1 else f"{width}*k+{j}" if j else f"{width}*k"
        if bound.kind == "text":
            yield f"\t\tin{k}[{place}] = row.{name}"
            continue
        if bound.kind == "number":
            yield f"\t\tin{k}[{place}] = math.NaN()"
        yield f"\t\tif row.{name} != nil {{"
        yield f"\t\t\tin{k}[{place}] = *row.{name}"
        if bound.kind != "number":
            yield "\t\t} else {"
            yield f'\t\t\treturn nil, {private}Missing("{name}", k)'
        yield "\t\t}"
    yield "\t}"
    shape = "".join(f", {length}" for length in bound.shape)
    yield f"\tinputs[{literal(bound.input.name)}] = {TENSORS[bound.kind]}(in{k}, len(rows){shape})"


def _groups(plan: Plan, fields: Sequence[str], class_: str, private: str) -> Iterable[str]:
    for number in plan.groups():
        name, field = fields[number], plan.fields[number]
        yield f"""
	for j, name := range {class_}{name}Columns {{
		column := make({MANY[field.kind]}, len(rows))
		for k, row := range rows {{
			if len(row.{name}) != {field.width} {{
				return nil, {private}Length("{name}", k, len(row.{name}), {field.width})
			}}
			column[k] = row.{name}[j]
		}}
		inputs[name] = {TENSORS[field.kind]}(column)
	}}"""


def _element(kind: str, tensor: str, place: str) -> str:
    data = {"number": "Floats", "text": "Strings"}.get(kind, "Integers")
    return f"{tensor}.{data}()[{place}]" + " != 0" * (kind == "boolean")


def _answer(result: Result, name: str, class_: str) -> Iterable[str]:
    tensor = f"outputs[{literal(result.name)}]"
    width = result.width
    if width is None:
        yield f"\t\tanswers[k].{name} = {_element(result.kind, tensor, 'k')}"
    elif result.classes:
        key, value = KEYS[result.class_kind], SAID[result.kind]
        place = "k" if width == 1 else f"{width}*k+j"
        yield f"\t\tanswers[k].{name} = map[{key}]{value}{{}}"
        yield f"\t\tfor j, class := range {class_}{name}Classes {{"
        if width == 1:
            place = "k+j"
        yield f"\t\t\tanswers[k].{name}[class] = {_element(result.kind, tensor, place)}"
        yield "\t\t}"
    elif result.kind == "boolean":
        yield f"\t\tfor _, element := range {tensor}.Integers()[{width}*k : {width}*(k+1)] {{"
        yield f"\t\t\tanswers[k].{name} = append(answers[k].{name}, element != 0)"
        yield "\t\t}"
    else:
        data = {"number": "Floats", "integer": "Integers", "text": "Strings"}[result.kind]
        yield f"\t\tanswers[k].{name} = {tensor}.{data}()[{width}*k : {width}*(k+1) : {width}*(k+1)]"


def _of(kind: str, value: Any, package: str) -> str:
    """A pointer to a value, or nil."""
    if value is None or (kind == "number" and math.isnan(value)):
        return "nil"
    return f"{package}Of{'[int64]' * (kind == 'integer')}({literal(value)})"


def _given(field: Field, values: tuple[Any, ...], package: str = "") -> str:
    if field.width is None:
        return _of(field.kind, values[0], package)
    items = [_of("text", v, package) for v in values] if field.kind == "text" else list(map(literal, values))
    if len(items) <= 8:
        return f"{MANY[field.kind]}{{{', '.join(items)}}}"
    return f"{MANY[field.kind]}{{\n\t\t{wrapped(items, chr(9) * 2)},\n\t}}"


def _elements(result: Result, name: str, k: int, values: dict[str, str]) -> Iterable[str]:
    """Code that appends the elements of an output to all[k]."""
    each = f"{values['private']}Text({{}})" if result.kind == "text" else "{}"
    if result.width is None:
        yield f"\tall[{k}] = []any{{{each.format(f'answer.{name}')}}}"
        return
    if result.classes:
        yield f"\tfor _, class := range {values['class']}{name}Classes {{"
        yield f"\t\tall[{k}] = append(all[{k}], answer.{name}[class])"
    else:
        yield f"\tfor _, element := range answer.{name} {{"
        yield f"\t\tall[{k}] = append(all[{k}], {each.format('element')})"
    yield "\t}"


def _any(kind: str, value: Any) -> str:
    if value is None:
        return '""'
    return (
        f"int64({literal(value)})" if kind == "integer" else f"float64({literal(value)})" if kind == "number" else literal(value)
    )


def _said(result: Result, said: Sequence[Any], private: str) -> str:
    if result.kind == "number" and len(said) > 1:
        return f"{private}List([]float64{{\n\t\t\t{wrapped(map(literal, said), chr(9) * 3)},\n\t\t}})"
    return f"{{{wrapped([_any(result.kind, v) for v in said], chr(9) * 3)}}}"
