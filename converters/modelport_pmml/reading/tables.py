"""MapValues, Discretize and NormContinuous: expressions with tables of their own, computed one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Builder, Vector
from .scope import Scope
from .texts import boolean_text, number_text

if TYPE_CHECKING:
    from .formulas import Formulas

__all__ = ["TABLES", "interval_of", "within"]


def _map_values(f: Formulas, e: Element, scope: Scope, hint: str, data_type: str | None) -> Vector:
    b = f.builder
    pairs = list(e.all("FieldColumnPair"))
    wanted = e.get("dataType") or data_type or "string"
    text = wanted == "string"

    def convert(v: str) -> Any:
        return v if text else float(boolean_text(v)) if wanted == "boolean" else number_text(v, "A MapValues' output")

    if not pairs:
        raise ArtifactError("A MapValues has no FieldColumnPair.")
    names = [p.need("column") for p in pairs]
    columns = [_compared(b, b.column(scope.column(p.need("field")))) for p in pairs]
    table = _inline(e, names, e.need("outputColumn"))
    default, missing = (None if v is None else convert(v) for v in (e.get("defaultValue"), e.get("mapMissingTo")))
    keys: dict[Any, Any] = {}
    if len(pairs) == 1:
        for (key,), value in table:
            keys.setdefault(_cell(columns[0], key), convert(value))
        result = _lookup(b, columns[0], keys, default, missing, text, hint)
        return b.boolean(result) if wanted == "boolean" else result
    code, places = _combined(b, columns, [cells for cells, _ in table])
    for place, (_, value) in zip(places, table, strict=True):
        keys.setdefault(place, convert(value))
    result = _lookup(b, code, keys, default, missing, text, hint)
    return b.boolean(result) if wanted == "boolean" else result


def _compared(b: Builder, x: Vector) -> Vector:
    return b.number(x) if x.kind == "bool" else x


def _cell(x: Vector, spelled: str) -> Any:
    if x.kind == "string":
        return spelled
    return float(boolean_text(spelled)) if spelled in ("true", "false") else number_text(spelled, "A MapValues' key") + 0.0


def _combined(b: Builder, columns: Sequence[Vector], rows: Sequence[Sequence[str]]) -> tuple[Vector, list[float]]:
    """One number for the cells of several fields, missing where one of them is, and that number for every row of a table.

    A value that the table does not have makes the number one that no row has.
    """
    total: Vector | None = None
    places = [0.0] * len(rows)
    size = 1.0
    for j, x in enumerate(columns):
        cells = [_cell(x, row[j]) for row in rows]
        known = {v: float(i) for i, v in enumerate(dict.fromkeys(cells))}
        names: Any = np.empty(len(known) + x.nullable, dtype=object)
        names[:] = [*known, *([None if x.kind == "string" else math.nan] if x.nullable else [])]
        if x.kind != "string":
            names = names.astype(np.float64)
        values = np.array([*known.values(), *([math.nan] if x.nullable else [])]) * size
        code = b.vector(
            b.add("lookup", x.value, hint="code", keys=names, values=values, default=-(2.0**60)), "number", x.nullable
        )
        total = code if total is None else b.binary("add", total, code, "codes")
        places = [place + known[cell] * size for place, cell in zip(places, cells, strict=True)]
        size *= len(known) + 1
    if size > 2.0**50 or total is None:
        raise Unsupported("A MapValues has more combinations of values than this reader can number.")
    return total, places


def _inline(e: Element, keys: Sequence[str], output: str) -> list[tuple[list[str], str]]:
    """The (keys, output) pairs of a MapValues' InlineTable."""
    rows = []
    for row in e.require("InlineTable").all("row"):
        cells = {c.tag: c.text for c in row.children}
        lacking = next((k for k in (*keys, output) if k not in cells), None)
        if lacking is not None:
            raise ArtifactError(f"A row of a MapValues lacks the column {lacking!r}.")
        rows.append(([cells[k] for k in keys], cells[output]))
    return rows


def _lookup(b: Builder, x: Vector, keys: dict[Any, Any], default: Any, missing: Any, text: bool, hint: str) -> Vector:
    """The value of the equal key. A missing result has no place in a table of strings, so a code for it is looked up first."""
    nothing = None if x.kind == "string" else math.nan
    table = dict(keys)
    if x.nullable:
        table[nothing] = missing
    gaps = default is None or any(v is None for v in table.values())
    names: Any = np.empty(len(table), dtype=object)
    names[:] = list(table)
    if x.kind != "string":
        names = names.astype(np.float64)
    if not text:
        values = np.array([math.nan if v is None else v for v in table.values()], dtype=np.float64)
        filling = math.nan if default is None else default
        return b.vector(b.add("lookup", x.value, hint=hint, keys=names, values=values, default=filling), "number", gaps)
    entries = [v for v in dict.fromkeys([*table.values(), default]) if v is not None]
    codes = {v: float(i) for i, v in enumerate(entries)}
    numbers = np.array([codes.get(v, -1.0) for v in table.values()], dtype=np.float64)
    code = b.add("lookup", x.value, hint=f"{hint}_code", keys=names, values=numbers, default=codes.get(default, -1.0))
    spelled = np.empty(len(entries), dtype=object)
    spelled[:] = entries
    places = np.arange(len(entries), dtype=np.float64)
    value = b.vector(b.add("lookup", code, hint=hint, keys=places, values=spelled, default=""), "string")
    if not gaps:
        return value
    there = b.add("binary", code, b.constant([0.0], "number").value, hint="found", fn="ge")
    return b.where_known(there, value)


def _discretize(f: Formulas, e: Element, scope: Scope, hint: str, data_type: str | None) -> Vector:
    b = f.builder
    x = b.number(b.column(scope.column(e.need("field"))))
    wanted = e.get("dataType") or data_type or "string"
    text = wanted == "string"
    values: list[Any] = [bin_.need("binValue") for bin_ in e.all("DiscretizeBin")]
    if not text:
        values = [number_text(v, "A DiscretizeBin's value") for v in values]
    kind = "string" if text else "number"
    intervals = [interval_of(bin_.require("Interval")) for bin_ in e.all("DiscretizeBin")]
    side = _partition(intervals)
    spelled = e.get("defaultValue")
    default = spelled if text or spelled is None else number_text(spelled, "A Discretize's defaultValue")
    if side is not None and not text:
        edges = np.array([high for _, high, _, _ in intervals[:-1]])
        count = b.add("bucketize", x.value, hint=hint, edges=edges, sizes=np.array([edges.size]), side=side)
        result = b.vector(b.add("take", count, hint=hint, table=np.array(values, dtype=np.float64)), "number")
    else:
        result = b.constant([default], kind)
        for interval, value in reversed(list(zip(intervals, values, strict=True))):
            result = b.choose(within(b, x, interval, hint), b.constant([value], kind), result, hint)
    if x.nullable:
        absent = e.get("mapMissingTo")
        filling = absent if text or absent is None else number_text(absent, "A Discretize's mapMissingTo")
        result = b.choose(str(b.present(x)), result, b.constant([filling], kind), hint)
    return result


Interval = tuple[float, float, bool, bool]


def interval_of(e: Element) -> Interval:
    """(low, high, low belongs to it, high belongs to it)."""
    closure = e.need("closure")
    low, high = e.get("leftMargin"), e.get("rightMargin")
    return (
        -math.inf if low is None else number_text(low, "A margin"),
        math.inf if high is None else number_text(high, "A margin"),
        closure.startswith("closed"),
        closure.endswith("Closed"),
    )


def _partition(intervals: Sequence[Interval]) -> str | None:
    """The bucketize side of intervals that follow each other from -infinity to infinity without gap, or None."""
    if len(intervals) < 2 or intervals[0][0] != -math.inf or intervals[-1][1] != math.inf:
        return None
    sides = set()
    for before, after in pairwise(intervals):
        if before[1] != after[0] or not math.isfinite(before[1]) or before[3] == after[2]:
            return None
        sides.add("left" if before[3] else "right")
    ascending = all(b[1] < a[1] for b, a in pairwise(intervals))
    return sides.pop() if len(sides) == 1 and ascending else None


def within(b: Builder, x: Vector, interval: Interval, hint: str) -> str:
    """A bool value: x lies in an interval."""
    low, high, low_in, high_in = interval
    tests = []
    if low != -math.inf:
        tests.append(b.add("binary", x.value, b.constant([low], "number").value, hint=hint, fn="ge" if low_in else "gt"))
    if high != math.inf:
        tests.append(b.add("binary", x.value, b.constant([high], "number").value, hint=hint, fn="le" if high_in else "lt"))
    return b.all_of(*tests) or b.constant([True], "bool").value


OUTLIERS = {"asIs": "extend", "asMissingValues": "nan", "asExtremeValues": "clip"}


def _norm_continuous(f: Formulas, e: Element, scope: Scope, hint: str, data_type: str | None) -> Vector:
    b = f.builder
    x = b.number(b.column(scope.column(e.need("field"))))
    knots = [
        (number_text(k.need("orig"), "A LinearNorm"), number_text(k.need("norm"), "A LinearNorm")) for k in e.all("LinearNorm")
    ]
    outliers = e.get("outliers", "asIs") or "asIs"
    if len(knots) < 2 or outliers not in OUTLIERS:
        raise ArtifactError(
            f"A NormContinuous has {len(knots)} LinearNorms and outliers={outliers!r}; it needs two and a known treatment."
        )
    points, values = (np.array(part) for part in zip(*knots, strict=True))
    value = b.add("interp", x.value, hint=hint, x=points, y=values, outside=OUTLIERS[outliers])
    result = b.vector(value, "number", x.nullable or outliers == "asMissingValues")
    missing = e.get("mapMissingTo")
    if missing is None or not x.nullable:
        return result
    return b.choose(str(b.present(x)), result, b.constant([number_text(missing, "mapMissingTo")], "number"), hint)


TABLES: dict[str, Callable[[Formulas, Element, Scope, str, str | None], Vector]] = {
    "MapValues": _map_values,
    "Discretize": _discretize,
    "NormContinuous": _norm_continuous,
}
