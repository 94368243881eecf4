"""The facade in Python: data classes around modelport_stub.py."""

from __future__ import annotations

import json
import keyword
import math
from collections.abc import Iterable, Sequence
from typing import Any

from .example import hint, short
from .naming import fill, identifiers, shown, snake, wrapped
from .page import build_page
from .plan import Bound, Field, Plan, Result

__all__ = ["write"]

RESERVED = {*keyword.kwlist, *keyword.softkwlist, "float", "int", "bool", "str", "dict", "list", "self"}
TYPES = {"number": "float", "integer": "int", "boolean": "bool", "text": "str"}

FACADE = '''"""A typed facade of @model@, written by `modelport stub python --for`: rows and answers by field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import modelport_stub
from modelport_stub import Mismatch, ModelportError, Refused, Unsupported

__all__ = ["Row", "Answer", "Model", "load", "example_row", "compare", "ModelportError", "Refused", "Mismatch", "Unsupported"]
@names@

@dataclass(frozen=True, kw_only=True)
class Row:
    """What the model is asked: None is a missing value, where the type allows it; a sequence is row-major."""

@fields@


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model says: one value per output, or values by class, or a list, row-major; as a text, a line per output."""

@results@

    def __str__(self) -> str:
        return "\\n".join(f"{name}: {' '.join(map(_word, got))}" for name, got in _elements_of(self).items())


class Model:
    """A loaded model, which has proved itself; it may be shared between threads."""

    def __init__(self, inner: modelport_stub.Model) -> None:
        self._inner = inner

    @overload
    def predict(self, rows: Row) -> Answer: ...

    @overload
    def predict(self, rows: Sequence[Row]) -> list[Answer]: ...

    def predict(self, rows: Row | Sequence[Row]) -> Answer | list[Answer]:
        """The answer for a row, or the answers for several; Refused where the model does not accept one."""
        if isinstance(rows, Row):
            return self._predict([rows])[0]
        return self._predict(rows)

    def _predict(self, rows: Sequence[Row]) -> list[Answer]:
        if not rows:
            return []
        outputs = self._inner.predict(_inputs(rows))
@outputs@
        return [
            Answer(
@answers@
            )
            for k in range(len(rows))
        ]


def load(document: bytes) -> Model:
    """The model of an artifact: it is checked, replays the rows it carries, and has to have the columns of this facade."""
    inner = modelport_stub.load(document)
    if _signature(inner) != SIGNATURE:
        raise Refused("the artifact has other inputs or outputs than the one of this facade: write the facade again")
    return Model(inner)


def example_row() -> Row:
    """One of the rows that the artifact of this facade carries."""
    return Row(
        @row@,
    )


def compare(answer: Answer) -> None:
    """Compares an answer for the example row with the one that the artifact carries; Mismatch where they differ."""
    carried: list[tuple[str, list[object], float, float]] = [
@checks@
    ]
    got = _elements_of(answer)
    for name, said, atol, rtol in carried:
        if len(got[name]) != len(said) or not all(_same(g, s, atol, rtol) for g, s in zip(got[name], said)):
            raise Mismatch(f"{name} is not what the artifact carries: {said}")


def _elements_of(answer: Answer) -> dict[str, list[object]]:
    return {
@elements@
    }


def _word(value: object) -> str:
    return "" if value is None else str(value)


def _same(got: object, said: object, atol: float, rtol: float) -> bool:
    if isinstance(got, float) and isinstance(said, float) and got != said:
        return math.isnan(got) and math.isnan(said) or math.isfinite(said) and abs(got - said) <= atol + rtol * abs(said)
    return got == said


def _inputs(rows: Sequence[Row]) -> dict[str, Any]:
    return {
@inputs@
    }

@helpers@

def _signature(model: modelport_stub.Model) -> tuple[str, ...]:
    found: list[str] = []
    for i in model.inputs:
        features = i.features or ()
        found += ["input", i.name, i.dtype, "x".join(map(str, i.shape)), i.missing, str(len(features)), *features]
    for o in model.outputs:
        classes = [str(c).lower() if isinstance(c, bool) else str(c) for c in o.classes or ()]
        found += ["output", o.name, o.kind.dtype, "x".join(map(str, o.kind.shape)), str(len(classes)), *classes]
    return tuple(found)


#: inputs and outputs of the model that this file was written for
SIGNATURE = (
    @signature@,
)
'''

ELEMENTS = """
def _elements(values: Sequence[Any], width: int, name: str) -> list[Any]:
    found = list(values)
    if len(found) != width or any(isinstance(value, (list, tuple)) for value in found):
        raise Refused(f"the field {name} has {len(found)} elements; a flat sequence of {width} is needed")
    return found

"""

SHAPED = """
def _shaped(values: list[Any], shape: tuple[int, ...]) -> Any:
    if len(shape) < 2:
        return values
    size = len(values) // shape[0]
    return [_shaped(values[at : at + size], shape[1:]) for at in range(0, len(values), size)]

"""

EXAMPLE = '''"""Asks @model@ one row, prints its answer and compares it with the one that the artifact carries."""

@math@from pathlib import Path

from @module@ import @names@

model = load(Path(__file__).with_name(@file@).read_bytes())
@row@
answer = model.predict(row)
print(answer)  # or one by one: @answers@
compare(answer)
print("The artifact carries the same answers.")
'''


def write(plan: Plan) -> dict[str, str]:
    """File name -> text: the facade, the example, and how to run it."""
    module = f"{snake(plan.stem)}_facade"
    fields = identifiers((f.name for f in plan.fields), "snake", RESERVED)
    results = identifiers((r.name for r in plan.results), "snake", RESERVED)
    values = {
        "model": shown(plan.model),
        "module": module,
        "file": text(plan.model),
        "names": _names(plan, fields, results),
        "fields": "\n".join(map(_field, plan.fields, fields)),
        "results": "\n".join(map(_result, plan.results, results)),
        "answers": "\n".join(f"                {n}={_answer(r, n, k)}," for k, (r, n) in enumerate(zip(plan.results, results))),
        "outputs": "\n".join(
            f"        o{k} = outputs[{text(r.name)}].reshape(len(rows), -1).tolist()" for k, r in enumerate(plan.results)
        ),
        "inputs": "\n".join(_inputs(plan, fields)),
        "helpers": _helpers(plan),
        "signature": wrapped(map(text, plan.signature), "    "),
        "row": wrapped((f"{name}={_given(f, v)}" for f, name, v in zip(plan.fields, fields, plan.row)), " " * 8),
        "checks": "\n".join(
            f'        ("{n}", {_list(said)}, {atol!r}, {rtol!r}),'
            for n, said, (atol, rtol) in zip(results, plan.answer, plan.tolerance)
        ),
        "elements": "\n".join(f'        "{n}": {_elements(r, n)},' for r, n in zip(plan.results, results)),
    }
    row = wrapped((f"{name}={_given(f, v)}" for f, name, v in zip(plan.fields, fields, plan.row)), "    ")
    example = short(
        EXAMPLE,
        {**values, "answers": hint(results)},
        {"names": "Row, compare, load", "row": f"row = Row(\n    {row},\n)", "math": "import math\n" * ("math." in row)},
        {"names": "compare, example_row, load", "row": f"row = example_row()  # as Row({fields[0]}=..., ...)", "math": ""},
    )
    page = build_page(plan, "Python 3.10 or later and NumPy", "python example.py", [f"{module}.py", "example.py"], "python")
    return {f"{module}.py": fill(FACADE, values), "example.py": example, "BUILD.md": page}


def literal(value: Any) -> str:
    """A value in Python; names are plain ASCII with escapes."""
    if isinstance(value, float) and not math.isfinite(value):
        return "math.nan" if math.isnan(value) else "math.inf" if value > 0 else "-math.inf"
    return text(value) if isinstance(value, str) else repr(value)


def text(value: str) -> str:
    """A string of plain ASCII."""
    return '"' + "".join(json.dumps(c)[1:-1] if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in value) + '"'


def _list(values: Iterable[Any]) -> str:
    return "[" + wrapped(map(literal, values), "        ") + "]"


def _given(field: Field, values: tuple[Any, ...]) -> str:
    missing = [None if field.optional and isinstance(v, float) and math.isnan(v) else v for v in values]
    return literal(missing[0]) if field.width is None else _list(missing)


def _names(plan: Plan, fields: list[str], results: list[str]) -> str:
    found: list[tuple[str, Sequence[Any]]] = []
    found += [(f"{name.upper().rstrip('_')}_NAMES", f.names) for f, name in zip(plan.fields, fields) if f.names]
    found += [(f"{name.upper().rstrip('_')}_CLASSES", r.classes) for r, name in zip(plan.results, results) if r.classes]
    return "".join(f"\n{name} = (\n    {wrapped(map(literal, words), '    ')},\n)" for name, words in found) + "\n" * bool(found)


def _field(field: Field, name: str) -> str:
    one = TYPES[field.kind] + (" | None" if field.optional else "")
    if field.width is None:
        return f"    {name}: {one}  # {shown(field.name)}"
    return f"    {name}: Sequence[{one}]  # {shown(field.name)}: {field.width} elements"


def _result(result: Result, name: str) -> str:
    one = TYPES[result.kind] + (" | None" if result.kind == "text" else "")
    if result.classes:
        return f"    {name}: dict[{TYPES[result.class_kind]}, {one}]  # {shown(result.name)}"
    return (
        f"    {name}: {one}  # {shown(result.name)}"
        if result.width is None
        else f"    {name}: list[{one}]  # {result.width} elements"
    )


def _answer(result: Result, name: str, k: int) -> str:
    if result.classes:
        return f"dict(zip({name.upper().rstrip('_')}_CLASSES, o{k}[k]))"
    return f"o{k}[k]" + ("[0]" if result.width is None else "")


def _inputs(plan: Plan, fields: list[str]) -> Iterable[str]:
    for bound in plan.apart():
        yield f"        {text(bound.input.name)}: [{_cells(plan, bound, fields)} for row in rows],"
    for number in plan.groups():
        name, field = fields[number], plan.fields[number]
        yield (f"        **_columns({name.upper()}_NAMES, [_elements(row.{name}, {field.width}, {text(name)}) for row in rows]),")


def _cells(plan: Plan, bound: Bound, fields: list[str]) -> str:
    if bound.whole is None:
        cells = [f"row.{fields[cell.field]}" for cell in bound.cells]
        return cells[0] if bound.shape == () else "[" + wrapped(cells, " " * 12) + "]"
    name = fields[bound.whole]
    flat = f"_elements(row.{name}, {plan.fields[bound.whole].width}, {text(name)})"
    return flat if len(bound.shape) == 1 else f"_shaped({flat}, {bound.shape})"


def _helpers(plan: Plan) -> str:
    columns = (
        "\ndef _columns(names: tuple[str, ...], rows: list[list[Any]]) -> dict[str, Any]:\n"
        "    return {name: list(column) for name, column in zip(names, zip(*rows))}\n"
    )
    arrays = any(f.width is not None for f in plan.fields)
    shaped = any(bound.whole is not None and len(bound.shape) > 1 for bound in plan.bounds)
    grouped = [b.shape for group in plan.groups().values() for b in group]
    return "\n".join(part for part, wanted in ((ELEMENTS, arrays), (SHAPED, shaped), (columns, grouped)) if wanted)


def _elements(result: Result, name: str) -> str:
    if result.classes:
        return f"[*answer.{name}.values()]"
    return f"[answer.{name}]" if result.width is None else f"[*answer.{name}]"
