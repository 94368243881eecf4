"""The facade in Go 1.19: one more file of the package, with structs and methods around the library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

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
func @private@Missing(field string, k int) error {
	return &Refused{fmt.Sprintf("The field %s is not set in row %d.", field, k)}
}

func @private@Length(field string, k, length, width int) error {
	return &Refused{fmt.Sprintf("The field %s has %d elements in row %d; %d are needed.", field, length, k, width)}
}
"""

EXAMPLE = """//go:build ignore

// Asks @model@ one row, prints its answers and compares them with those that the artifact carries.
package main

import (
	"fmt"
	"log"
	"math"
	"os"

	"modelport"
)

func main() {
	document, err := os.ReadFile(@file@)
	if err != nil {
		log.Fatal(err)
	}
	model, err := modelport.Load@class@(document)
	if err != nil {
		log.Fatal(err)
	}
	row := modelport.@class@Row{}
@row@
	answer, err := model.Predict(row)
	if err != nil {
		log.Fatal(err)
	}
@checks@
	fmt.Println("The artifact carries the same answers.")
}

func check(name string, got, said []any, atol, rtol float64) {
	fmt.Print(name, ":")
	same := len(got) == len(said)
	for k, value := range got {
		fmt.Print(" ", value)
		same = same && close(value, said[k], atol, rtol)
	}
	fmt.Println()
	if !same {
		log.Fatal(name, " is not what the artifact carries: ", said)
	}
}

func close(got, said any, atol, rtol float64) bool {
	g, number := got.(float64)
	s, other := said.(float64)
	if number && other {
		return g == s || g != g && s != s || !math.IsInf(s, 0) && math.Abs(g-s) <= atol+rtol*math.Abs(s)
	}
	return got == said
}
@helpers@"""

LIST = """
func list[T any](values []T) []any {
	all := []any{}
	for _, value := range values {
		all = append(all, value)
	}
	return all
}
"""
ORDERED = """
func ordered[K comparable, V any](classes []K, values map[K]V) []any {
	all := []any{}
	for _, class := range classes {
		all = append(all, values[class])
	}
	return all
}
"""
TEXTS = """
func text(value *string) any {
	if value == nil {
		return ""
	}
	return *value
}
"""


def write(plan: Plan) -> dict[str, str]:
    """File name -> text: the facade, the example, and how to run it."""
    class_ = f"{pascal(plan.stem)}Facade"
    private = class_[0].lower() + class_[1:]
    fields = [_exported(n) for n in identifiers((f.name for f in plan.fields), "camel", ())]
    results = [_exported(n) for n in identifiers((r.name for r in plan.results), "camel", ())]
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
    values["helpers"] = ELEMENTS.replace("@private@", private)
    facade = fill(FACADE, values)
    body = facade.partition(")")[2]
    for package in ("fmt", "math", "strings"):
        if f"{package}." not in body:
            facade = facade.replace(f'\t"{package}"\n', "", 1)
    checks = "\n".join(_checks(plan, results, class_))
    example = {
        **values,
        "row": "\n".join(f"\trow.{n} = {_given(f, v)}" for f, n, v in zip(plan.fields, fields, plan.row)),
        "checks": checks,
        "helpers": LIST * ("list(" in checks) + ORDERED * ("ordered(" in checks) + TEXTS * ("text(" in checks),
    }
    written = [f"{snake(plan.stem)}_facade.go", "example.go"]
    page = build_page(plan, "Go 1.19 or later", "go run example.go", written, "go")
    return {written[0]: facade, written[1]: fill(EXAMPLE, example), "BUILD.md": page}


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


def _of(kind: str, value: Any) -> str:
    """A pointer to a value, or nil."""
    if value is None or (kind == "number" and math.isnan(value)):
        return "nil"
    return f"modelport.Of{'[int64]' * (kind == 'integer')}({literal(value)})"


def _given(field: Field, values: tuple[Any, ...]) -> str:
    if field.width is None:
        return _of(field.kind, values[0])
    items = [_of("text", v) for v in values] if field.kind == "text" else list(map(literal, values))
    return f"{MANY[field.kind]}{{\n\t\t{wrapped(items, chr(9) * 2)},\n\t}}"


def _any(kind: str, value: Any) -> str:
    if value is None:
        return '""'
    return (
        f"int64({literal(value)})" if kind == "integer" else f"float64({literal(value)})" if kind == "number" else literal(value)
    )


def _checks(plan: Plan, results: Sequence[str], class_: str) -> Iterable[str]:
    for result, name, said, (atol, rtol) in zip(plan.results, results, plan.answer, plan.tolerance):
        text = result.kind == "text"
        if result.classes:
            got = f"ordered(modelport.{class_}{name}Classes, answer.{name})"
        elif result.width is not None and not text:
            got = f"list(answer.{name})"
        else:
            each = [f"answer.{name}" + (f"[{j}]" if result.width is not None else "") for j in range(result.width or 1)]
            got = f"[]any{{{wrapped([f'text({e})' if text else e for e in each], chr(9) * 2)}}}"
        if result.kind == "number" and len(said) > 1:
            words = f"list([]float64{{\n\t\t{wrapped(map(literal, said), chr(9) * 2)},\n\t}})"
        else:
            words = f"[]any{{{wrapped([_any(result.kind, v) for v in said], chr(9) * 2)}}}"
        yield f'\tcheck("{name}", {got}, {words}, {atol!r}, {rtol!r})'
