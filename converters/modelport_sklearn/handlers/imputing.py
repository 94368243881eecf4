"""SimpleImputer and MissingIndicator, on numbers and on strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from ..builder import Builder, Ref, Table
from ..dispatch import transforms
from ..ledger import Ledger
from ..missing import is_missing
from .guards import refuse_unless


@transforms("SimpleImputer")
def simple_imputer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Missing values become statistics_; columns without any seen value are dropped unless keep_empty_features."""
    ledger.waive("strategy", "fill_value")  # statistics_ says what they led to
    missing, objects = ledger["missing_values"], ledger["_fit_dtype"].kind == "O"
    fill = ledger["statistics_"]
    kept = [j for j, value in enumerate(fill) if ledger["keep_empty_features"] or value == value]
    values = dict(zip(kept, fill[kept].astype(ledger.get("_fill_dtype", fill.dtype)).tolist(), strict=True))
    columns = list(table.columns)
    for group in _groups(builder, table, kept, missing, objects):
        imputed = _impute(ledger, builder, table.select(group), missing, [values[j] for j in group])
        for j, ref in zip(group, imputed.columns, strict=True):
            columns[j] = replace(ref, origin=ref.origin if objects and not is_missing(missing) else None)
    result = Table(tuple(columns[j] for j in kept), table.sparse)
    indicator = ledger["indicator_"]
    if not ledger["add_indicator"]:
        return result
    mask = missing_mask(builder, table, missing, objects, indicator.features_.tolist())
    return Table(result.columns + tuple(replace(ref, held=result.held) for ref in mask.columns), table.sparse)


def _groups(builder: Builder, table: Table, positions: Sequence[int], missing: Any, objects: bool) -> list[list[int]]:
    """Positions of the columns of numbers, and of strings, in which a value can equal `missing`."""
    chosen = [j for j in positions if _can_match(builder, table.columns[j], missing, objects)]
    groups = ([j for j in chosen if table.columns[j].dtype == dtype] for dtype in ("f64", "str"))
    return [group for group in groups if group]


def _can_match(builder: Builder, ref: Ref, missing: Any, objects: bool) -> bool:
    """Whether `missing` can stand in this column. Columns of objects tell None from NaN, columns of numbers do not."""
    if _is_na(missing):
        return True
    if is_missing(missing):
        return not objects or builder.writes_missing_as(ref, None if missing is None else float("nan"))
    return isinstance(missing, str) == (ref.dtype == "str")


def _impute(ledger: Ledger, builder: Builder, table: Table, missing: Any, values: list[Any]) -> Table:
    """Columns of one kind with their missing values replaced."""
    text = table.columns[0].dtype == "str"
    for j, (ref, value) in enumerate(zip(table.columns, values, strict=True)):
        if not _fits(builder, ref, value):
            raise ledger.refuse(
                "statistics_",
                f"fills column {table.named(j)} of {'strings' if text else 'numbers'} with {value!r}: "
                "use one imputer for the columns of numbers and one for those of strings.",
            )
    x = builder.texts(table) if text else builder.matrix(table)
    fill = np.array(values, dtype=object if text else np.float64)
    imputed = builder.add("impute", x, hint="imputed", match=match_of(missing), values=fill)
    return Table(tuple(replace(ref, value=imputed, index=k) for k, ref in enumerate(table.columns)))


def _fits(builder: Builder, ref: Ref, value: Any) -> bool:
    """Whether a column can hold a fill value: strings in strings, or None where that is how they write a missing one."""
    if ref.dtype != "str":
        return isinstance(value, (Real, np.bool_))
    return isinstance(value, str) or (value is None and builder.writes_missing_as(ref, None))


@transforms("MissingIndicator")
def missing_indicator(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """1 where a value is missing, for the columns features_; with error_on_new one that is missing elsewhere is refused."""
    ledger.waive("_n_features", "_precomputed")
    missing, features = ledger["missing_values"], ledger["features_"].tolist()
    objects = any(ref.dtype == "str" or ref.origin is not None for ref in table.columns)
    mask = missing_mask(builder, table, missing, objects, features)
    if not is_missing(missing) and ledger["features"] == "missing-only" and ledger["error_on_new"]:
        others = table.select(sorted({*range(len(table))} - {*features}))
        mask = _refuse_new(builder, mask, others, missing, objects)
    ledger.waive("features", "error_on_new")  # of NaN and None the inputs say which columns accept them
    sparse = ledger["sparse"]
    return Table(mask.columns, table.sparse if sparse == "auto" else bool(sparse))


def _refuse_new(builder: Builder, mask: Table, table: Table, missing: Any, objects: bool) -> Table:
    """The mask; rows in which a column of the table is missing are refused."""
    if not len(mask) or not len(table):
        return mask
    new = builder.matrix(missing_mask(builder, table, missing, objects, list(range(len(table)))), "is_new")
    count = builder.add("reduce", new, hint="any_new", fn="max", keep=True)
    none = builder.add("binary", count, builder.constant([0.0], "zero"), hint="none_new", fn="eq")
    return builder.table(refuse_unless(builder, builder.matrix(mask, "is_missing"), none), mask.names, held="bool")


def missing_mask(builder: Builder, table: Table, missing: Any, objects: bool, positions: list[int]) -> Table:
    """Columns of 0 and 1, one per position."""
    columns: dict[int, Ref] = {}
    for group in _groups(builder, table, positions, missing, objects):
        part = table.select(group)
        x = builder.texts(part) if part.columns[0].dtype == "str" else builder.matrix(part)
        value = builder.add("is_missing", x, hint="is_missing", match=match_of(missing))
        columns.update(zip(group, builder.table(value, part.names, held="bool").columns, strict=True))
    never = [j for j in positions if j not in columns]
    if never:
        zeros = builder.table(builder.constant(np.zeros(len(never)), "never_missing"), held="bool")
        columns.update(zip(never, zeros.columns, strict=True))
    return Table(tuple(columns[j] for j in positions))


def match_of(missing: Any) -> Any:
    """The attribute `match`: left out for NaN, None and NA."""
    if is_missing(missing):
        return None
    return missing if isinstance(missing, str) else float(missing)


def _is_na(value: Any) -> bool:
    return type(value).__name__ == "NAType"
