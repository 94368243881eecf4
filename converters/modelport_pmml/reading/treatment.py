"""What a MiningField does with values that are missing, invalid or outlying, before the model sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element
from .build import Builder, Column, Vector
from .tables import interval_of, within
from .texts import boolean_text, number_text

__all__ = ["boolean_of", "treated"]


def treated(b: Builder, column: Column, data: Element, mining: Element, foreign: bool = False) -> Column:
    """The column after the MiningField's treatment.

    foreign: the field takes doubles, and the file knows no others than its dataType allows: a fraction is no valid integer.
    """
    name = data.need("name")
    by_property: dict[str, list[str]] = {}
    for v in data.all("Value"):
        by_property.setdefault(v.get("property", "valid") or "valid", []).append(v.need("value"))
    if by_property.get("missing"):
        column = _as_missing(b, column, by_property["missing"])
    column = _valid(b, column, data, mining, by_property, foreign)
    column = _outliers(b, column, name, mining)
    handling = mining.get("missingValueTreatment", "asIs")
    if handling == "returnInvalid":
        return Column(b.refusing(b.column(column), name))
    if handling not in ("asIs", "asMean", "asMode", "asMedian", "asValue"):
        raise Unsupported(f"The MiningField {name!r} has missingValueTreatment={handling!r}, which this reader does not know.")
    return _replaced(b, column, mining.get("missingValueReplacement"), name)


def boolean_of(b: Builder, x: Vector, name: str) -> Column:
    """A number as a boolean field: 1 is true, 0 is false, NaN is missing; other numbers are refused."""
    keys, values = [0.0, 1.0], [0.0, 1.0]
    if x.nullable:
        keys, values = [*keys, math.nan], [*values, math.nan]
    known = b.add("lookup", x.value, hint=f"{name}_flag", keys=np.array(keys), values=np.array(values))
    return Column(b.boolean(b.vector(known, "number", x.nullable)))


def _replaced(b: Builder, column: Column, replacement: str | None, name: str) -> Column:
    """Missing values replaced by one value."""
    if replacement is None or not (column.vector.nullable or column.vector.known):
        return column
    x = b.column(column)
    if x.kind == "bool":
        filling = b.constant([boolean_text(replacement)], "bool")
        return Column(b.choose(str(x.known), Vector(x.value, x.width, "bool"), filling, name))
    filled: Any = np.empty(1, dtype=object)
    filled[:] = [replacement]
    if x.kind == "number":
        filled = np.array([number_text(replacement, "A missingValueReplacement")])
    return Column(b.vector(b.add("impute", x.value, hint=name, values=filled), x.kind))


# --- valid values ---------------------------------------------------------------------------------------------------------------


def _valid(
    b: Builder, column: Column, data: Element, mining: Element, by_property: dict[str, list[str]], foreign: bool
) -> Column:
    """Values that the DataField does not allow are refused, kept, missing, or replaced."""
    name = data.need("name")
    treatment = mining.get("invalidValueTreatment", "returnInvalid") or "returnInvalid"
    if treatment not in ("returnInvalid", "asIs", "asMissing", "asValue"):
        raise Unsupported(f"The MiningField {name!r} has invalidValueTreatment={treatment!r}, which this reader does not know.")
    if column.kind == "bool":
        return column
    valid, invalid = by_property.get("valid", []), by_property.get("invalid", [])
    intervals = list(data.all("Interval"))
    whole = foreign and data.get("dataType") == "integer" and column.kind == "number"
    if treatment == "asIs":
        return _whole_only(b, column, name) if whole else column
    if valid and not (intervals or invalid or treatment == "asValue"):
        return _among(b, column, valid, name, treatment == "asMissing")
    x = b.column(column)
    allowed = _allowed(b, x, valid, intervals, invalid, whole, name)
    if allowed is None:
        return column
    if treatment == "returnInvalid":
        sure = b.add("lookup", allowed, hint=f"{name}_valid", keys=np.array([True]), values=np.array([True]))
        return Column(b.choose(sure, x, _nothing(b, x), name))
    if treatment == "asMissing":
        return Column(b.where_known(allowed, x))
    replacement = mining.get("invalidValueReplacement")
    if replacement is None:
        raise ArtifactError(f"The MiningField {name!r} has invalidValueTreatment='asValue', and no invalidValueReplacement.")
    value: Any = replacement if x.kind == "string" else number_text(replacement, "An invalidValueReplacement")
    return Column(b.choose(allowed, x, b.constant([value], x.kind), name))


def _nothing(b: Builder, x: Vector) -> Vector:
    return b.constant(["" if x.kind == "string" else 0.0], x.kind)


def _whole_only(b: Builder, column: Column, name: str) -> Column:
    """An integer field that takes whatever it is given: of a fraction, scorers make different integers."""
    x = b.column(column)
    sure = b.add("lookup", _whole(b, x), hint=f"{name}_whole", keys=np.array([True]), values=np.array([True]))
    return Column(b.choose(sure, x, _nothing(b, x), name))


def _whole(b: Builder, x: Vector) -> str:
    """A bool value: x is a whole number, or missing."""
    equal = b.add("binary", x.value, b.unary("floor", x).value, hint="whole", fn="eq")
    return equal if not x.nullable else b.add("binary", equal, _absent(b, x), hint="whole", fn="or")


def _absent(b: Builder, x: Vector) -> str:
    return b.add("cast", b.add("is_missing", x.value, hint="missing"), hint="is_missing", to="bool")


def _allowed(
    b: Builder, x: Vector, valid: Sequence[str], intervals: Sequence[Element], invalid: Sequence[str], whole: bool, name: str
) -> str | None:
    """A bool value that is true where x is valid or missing; None where it always is."""
    tests: list[str | None] = [_whole(b, x)] if whole else []
    listed = []
    if valid:
        listed.append(_one_of(b, x, valid, f"{name}_listed"))
    if intervals:
        if x.kind != "number":
            raise ArtifactError(f"The DataField {name!r} holds strings, and is valid in intervals.")
        listed += [within(b, x, interval_of(i), f"{name}_inside") for i in intervals]
    if listed:
        some = listed[0]
        for other in listed[1:]:
            some = b.add("binary", some, other, hint=f"{name}_valid", fn="or")
        if x.nullable:
            some = b.add("binary", some, _absent(b, x), hint=f"{name}_valid", fn="or")
        tests.append(some)
    if invalid:
        tests.append(b.add("unary", _one_of(b, x, invalid, f"{name}_excluded"), hint=f"{name}_allowed", fn="not"))
    return b.all_of(*tests)


def _one_of(b: Builder, x: Vector, values: Sequence[str], hint: str) -> str:
    keys = _keys(x, list(dict.fromkeys(values)), False)
    found = b.add("lookup", x.value, hint=hint, keys=keys, values=np.ones(len(keys)), default=0.0)
    return b.add("cast", found, hint=hint, to="bool")


def _keys(x: Vector, values: Sequence[str], nullable: bool) -> Any:
    if x.kind == "string":
        keys = np.empty(len(values) + nullable, dtype=object)
        keys[:] = [*values, *([None] if nullable else [])]
        return keys
    numbers = [number_text(v, "A Value") + 0.0 for v in values]
    return np.array([*dict.fromkeys(numbers), *([np.nan] if nullable else [])])


def _among(b: Builder, column: Column, valid: Sequence[str], name: str, as_missing: bool) -> Column:
    """The column itself where it holds one of the valid values; a lookup without default refuses the others."""
    x = b.column(column)
    keys = _keys(x, list(dict.fromkeys(valid)), x.nullable)
    if not as_missing:
        return Column(b.vector(b.add("lookup", x.value, hint=name, keys=keys, values=keys), x.kind, x.nullable))
    known = b.add("lookup", x.value, hint=f"{name}_valid", keys=keys, values=np.ones(len(keys)), default=0.0)
    return Column(b.where_known(b.add("cast", known, hint=f"{name}_valid", to="bool"), x))


def _as_missing(b: Builder, column: Column, spelled: Sequence[str]) -> Column:
    """The column with values that stand for a missing one made missing."""
    x = b.column(column)
    keys = _keys(x, list(dict.fromkeys(spelled)), False)
    there = b.add("lookup", x.value, hint="present", keys=keys, values=np.zeros(len(keys)), default=1.0)
    return Column(b.where_known(b.add("cast", there, hint="present", to="bool"), x))


# --- outliers -------------------------------------------------------------------------------------------------------------------


def _outliers(b: Builder, column: Column, name: str, mining: Element) -> Column:
    """Numbers beyond lowValue or highValue: kept, moved to the bound, or missing."""
    handling = mining.get("outliers", "asIs") or "asIs"
    if handling == "asIs":
        return column
    bounds = {k: number_text(v, f"A {k}") for k in ("lowValue", "highValue") if (v := mining.get(k)) is not None}
    if column.kind != "number" or not bounds or handling not in ("asExtremeValues", "asMissingValues"):
        raise Unsupported(f"The MiningField {name!r} has outliers={handling!r} in a way that this reader does not know.")
    low, high = bounds.get("lowValue", -math.inf), bounds.get("highValue", math.inf)
    if not low <= high:
        raise ArtifactError(f"The MiningField {name!r} has a lowValue of {low!r} above its highValue of {high!r}.")
    x = b.column(column)
    if handling == "asExtremeValues":
        limits = {k: np.array([v]) for k, v in (("min", low), ("max", high)) if math.isfinite(v)}
        return Column(b.vector(b.add("clip", x.value, hint=name, **limits), "number", x.nullable))
    return Column(b.where_known(within(b, x, (low, high, True, True), f"{name}_inside"), x))
