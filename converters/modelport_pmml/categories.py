"""How keys, codes, bins and table entries are written as PMML expressions. Importing this registers them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from modelport.graph import INTEGERS, Step

from .compiler import Compiler, columns, no_form
from .expressions import Expression, exact

#: up to so many keys a lookup of numbers is written as nested comparisons, beyond as MapValues
FEW = 3


@columns("lookup")
def lookup(c: Compiler, step: Step, j: int) -> Expression:
    """The value of the equal key; without default an unknown key is refused."""
    x, a = c.column(step.inputs[0], j), step.attributes
    keys, values = a["keys"].tolist(), [_present(v) for v in a["values"].tolist()]
    refuses, default = "default" not in a, _present(a.get("default"))
    if refuses:
        c.per_row(step, "guards", lambda: _require_keys(c, step))
    pairs = [(k, v) for k, v in zip(keys, values, strict=True) if _present(k) is not None]
    missing = next((v for k, v in zip(keys, values, strict=True) if _present(k) is None), default)
    gaps = [k for k, v in pairs if v is None and (default is not None or refuses)]
    pairs = [(k, v) for k, v in pairs if v is not None]
    if a["values"].dtype == np.bool_:
        pairs, default, missing = [(k, exact(v)) for k, v in pairs], _number(default), _number(missing)
    text = a["values"].dtype == object
    if x.type == "boolean":
        result = _boolean_lookup(c, step, x, dict(pairs), default)
    elif not text and x.type != "string" and len(pairs) <= FEW and default is not None and missing is not None:
        result = _few_comparisons(c, x, pairs, default, missing)
    else:
        spelled = [(_key(k), v if text else exact(v)) for k, v in pairs]
        otherwise, absent = (v if text else _number(v) for v in (default, missing))
        result = c.make.table(x, spelled, otherwise, absent, "string" if text else "double", refuses)
    if gaps:
        result = c.make.only_where(c.make.logic("not", _is_among(c, x, gaps)), result)
    return c.make.compare("equal", result, c.make.constant(1.0)) if a["values"].dtype == np.bool_ else result


def _require_keys(c: Compiler, step: Step) -> list[Expression]:
    """Refuse what is none of a lookup's keys: in the data dictionary where the column is a field, else by a condition."""
    keys = step.attributes["keys"].tolist()
    for x in c.row(step.inputs[0]):
        if x.kind == "field":
            c.accepts(x.data, keys)
        else:
            c.require(_is_among(c, x, keys))
    return []


def _is_among(c: Compiler, x: Expression, keys: list[Any]) -> Expression:
    """True where x is one of some keys; NaN and null are missing values."""
    make = c.make
    known = [k for k in keys if _present(k) is not None]
    absent = [make.is_missing(x)] if len(known) < len(keys) else []
    if x.type == "boolean":
        hits = [x if k else make.logic("not", x) for k in known]
        return make.constant(True) if len(hits) == 2 else make.any_of(hits)
    if len(known) <= FEW:
        constants = [make.constant(k if isinstance(k, str) else exact(k) + 0.0) for k in known]
        return make.any_of([*absent, *(make.compare("equal", x, k) for k in constants)] or [make.constant(False)])
    found = make.table(x, [(_key(k), 1.0) for k in known], 0.0, 1.0 if absent else 0.0, "double")
    return make.compare("equal", found, make.constant(1.0))


def _present(value: Any) -> Any:
    """The value, or None for NaN and null."""
    return None if value is None or value != value else value


def _few_comparisons(c: Compiler, x: Expression, pairs: list[tuple[Any, Any]], default: Any, missing: Any) -> Expression:
    """A lookup of a few numbers as a chain of comparisons."""
    result = c.make.constant(exact(default))
    for key, value in reversed(pairs):
        result = c.make.choose(c.make.compare("equal", x, c.make.constant(exact(key))), c.make.constant(exact(value)), result)
    if x.nullable and missing != default:
        result = c.make.choose(c.make.is_missing(x), c.make.constant(exact(missing)), result)
    return result


def _boolean_lookup(c: Compiler, step: Step, x: Expression, pairs: dict[Any, Any], default: Any) -> Expression:
    known = [v for v in (*pairs.values(), default) if v is not None]
    if not known:
        raise no_form(step, "it refuses both true and false")
    chosen = [pairs.get(flag, known[0] if default is None else default) for flag in (True, False)]
    yes, no = (c.make.constant(v if isinstance(v, str) else exact(v)) for v in chosen)
    return c.make.choose(x, yes, no)


def _number(value: Any) -> float | None:
    return None if value is None else exact(value)


def _key(key: Any) -> Any:
    """A key of MapValues: numbers as floats, -0.0 as 0.0."""
    return key if isinstance(key, str) else exact(key) + 0.0


@columns("onehot")
def onehot(c: Compiler, step: Step, j: int) -> Expression:
    """1.0 where the code of the column is j modulo size."""
    size = step.attributes["size"]
    column, code = divmod(j, size)
    direct = _indicator(c, step.inputs[0], column, code)
    if direct is not None:
        direct.hint = (
            direct.hint or f"{step.output}({c.column_label(step.inputs[0], column)}={_category(c, step.inputs[0], column, code)})"
        )
        return direct
    if not all(_bounded(c, step.inputs[0], i, size) for i in range(c.type(step.inputs[0]).width)):
        c.per_row(step, "guards", lambda: _require_codes(c, step, -1, size))
    return c.make.number(c.make.compare("equal", c.column(step.inputs[0], column), c.make.constant(float(code))))


def _require_codes(c: Compiler, step: Step, low: int, end: int) -> list[Expression]:
    """Refuse codes outside low..end-1."""
    make = c.make
    for x in c.row(step.inputs[0]):
        inside = [make.compare("greaterOrEqual", x, make.constant(float(low)))]
        c.require(make.all_of([*inside, make.compare("lessThan", x, make.constant(float(end)))]))
    return []


def _bounded(c: Compiler, value: str, j: int, size: int, lowest: int = -1) -> bool:
    """Can the codes of a column be nothing but lowest..size-1?"""
    step, j = _origin(c, value, j)
    if step is None:
        return False
    a = step.attributes
    if step.op == "lookup":
        codes = [*a["values"].tolist(), *([a["default"]] if "default" in a else [])]
        return all(lowest <= v < size for v in codes)
    if step.op == "bucketize":
        return bool(a["sizes"][j] < size)
    return step.op == "reduce" and c.type(step.inputs[0]).width <= size


def _origin(c: Compiler, value: str, j: int) -> tuple[Step | None, int]:
    """The step that computes column j of a value, with its column, behind selects, concats and integer casts."""
    while value in c.producers:
        step = c.producers[value]
        if step.op == "select":
            value, j = step.inputs[0], int(step.attributes["index"][j])
        elif step.op == "concat":
            for name in step.inputs:
                if j < c.type(name).width:
                    value = name
                    break
                j -= c.type(name).width
        elif step.op == "cast" and c.type(step.output).dtype in INTEGERS:
            value = step.inputs[0]
        else:
            return step, j
    return None, j


def _keys_of(c: Compiler, value: str, j: int, code: int) -> tuple[Expression, list[Any]] | None:
    """The text column and the keys whose code it is, when nothing but these keys has the code."""
    step, column = _origin(c, value, j)
    if step is None or step.op != "lookup":
        return None
    a = step.attributes
    if a["keys"].dtype != object or a["values"].dtype.kind not in "if" or a.get("default") == code:
        return None
    x = c.column(step.inputs[0], column)
    if a.get("default") is None:
        c.column(step.output, column)  # declares the accepted values
    return x, [k for k, v in zip(a["keys"].tolist(), a["values"].tolist(), strict=True) if v == code]


def _indicator(c: Compiler, value: str, j: int, code: int) -> Expression | None:
    """onehot of a lookup of text is an indicator of the text itself."""
    found = _keys_of(c, value, j, code)
    if found is None:
        return None
    x, keys = found
    terms = [c.make.number(c.make.is_missing(x)) if k is None else c.make.indicator(x, k) for k in keys]
    return c.make.total(terms) if terms else c.make.constant(0.0)


def _category(c: Compiler, value: str, j: int, code: int) -> str:
    found = _keys_of(c, value, j, code)
    return "|".join("" if k is None else str(k) for k in found[1]) if found else str(code)


@columns("bucketize")
def bucketize(c: Compiler, step: Step, j: int) -> Expression:
    """The number of edges below (left) or not above (right); a missing value counts all."""
    a = step.attributes
    ends = np.cumsum(a["sizes"])
    edges = [float(e) for e in a["edges"][ends[j] - a["sizes"][j] : ends[j]]]
    x = c.column(step.inputs[0], j)
    if not edges:
        return c.make.constant(0.0)
    if not all(math.isfinite(e) for e in edges):
        raise no_form(step, "one of its edges is infinite")
    closure = "openClosed" if a["side"] == "left" else "closedOpen"
    if len(set(edges)) < len(edges) or len(edges) == 1:
        result = _count(c, x, edges, "greaterThan" if a["side"] == "left" else "greaterOrEqual")
    else:
        result = c.make.bins(x, edges, closure)
    if not x.nullable:
        return result
    return c.make.choose(c.make.is_missing(x), c.make.constant(float(len(edges))), result)


def _count(c: Compiler, x: Expression, edges: list[float], function: str) -> Expression:
    return c.make.total([c.make.number(c.make.compare(function, x, c.make.constant(e))) for e in edges])


@columns("take")
def take(c: Compiler, step: Step, j: int) -> Expression:
    """A table entry by index, column by column."""
    table = step.attributes["table"]
    entries = (table if table.ndim == 1 else table[:, j]).tolist()
    index = c.column(step.inputs[0], j if table.ndim == 1 else 0)
    if _chooses(index):
        return _chosen(c, index, entries)
    column = j if table.ndim == 1 else 0
    span = _span(c, step.inputs[0], column)
    low, high = span or (0, len(entries) - 1)
    inside = _bounded(c, step.inputs[0], column, len(entries), 0) if span is None else low >= 0 and high < len(entries)
    if not inside:
        c.per_row(step, "guards", lambda: _require_codes(c, step, 0, len(entries)))
        low, high = max(low, 0), min(high, len(entries) - 1)
    if table.dtype == np.bool_:
        hits = c.make.table(index, [(float(i), float(v)) for i, v in enumerate(entries)], None, None, "double", True)
        return c.make.compare("equal", hits, c.make.constant(1.0))
    type_ = "string" if table.dtype == object else "double"
    known = [(i, _present(v)) for i, v in enumerate(entries) if low <= i <= high]
    rows = [(float(i), v if type_ == "string" else exact(v)) for i, v in known if v is not None]
    return c.make.table(index, rows, None, None, type_, len(rows) == len(known))


def _span(c: Compiler, value: str, j: int) -> tuple[int, int] | None:
    """The lowest and highest code that a column of bins can hold, also moved by a whole number."""
    step, j = _origin(c, value, j)
    if step is None:
        return None
    a = step.attributes
    if step.op == "bucketize":
        return 0, int(a["sizes"][j])
    if step.op == "scale" and set(a) <= {"dtype", "add"} and a["dtype"] == "f64":
        inner = c.producers.get(step.inputs[0])
        shift = float(a["add"][j] if len(a["add"]) > 1 else a["add"][0])
        span = _span(c, inner.inputs[0], j) if inner is not None and inner.op == "cast" else None
        return None if span is None or shift != int(shift) else (span[0] + int(shift), span[1] + int(shift))
    return None


def _chooses(index: Expression) -> bool:
    """Is the index a choice between constants?"""
    if index.kind == "apply" and index.data == "if":
        return all(_chooses(a) for a in index.args[1:])
    return index.kind == "constant"


def _chosen(c: Compiler, index: Expression, entries: list[Any]) -> Expression:
    """A choice between entries instead of between their positions."""
    if index.kind == "constant":
        entry = entries[int(index.data)]
        return c.make.nothing(entry is None) if entry is None or entry != entry else c.make.constant(entry)
    condition, yes, no = index.args
    return c.make.choose(condition, _chosen(c, yes, entries), _chosen(c, no, entries))
