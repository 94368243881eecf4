"""OneHotEncoder and OrdinalEncoder: categories become codes by lookup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..builder import Array, Builder, Ref, Table
from ..dispatch import transforms
from ..ledger import Ledger
from ..versions import sklearn_version


@dataclass(frozen=True)
class Codes:
    """What one column's categories become: keys (f64 or object) [k], values [k], the value of any other (None: refused)."""

    keys: Array
    values: Array
    default: int | float | None

    def same(self, other: Codes) -> bool:
        """Whether one lookup serves both."""
        return (
            self.keys.dtype == other.keys.dtype
            and _equal(self.keys, other.keys)
            and _equal(self.values, other.values)
            and repr(self.default) == repr(other.default)
        )


@transforms("OneHotEncoder")
def one_hot_encoder(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """A unit vector per column; dropped and ignored categories give zeros, infrequent ones share the last place."""
    ledger.waive("categories", "drop", "drop_idx_", "min_frequency", "max_categories")  # categories_ and the groupings say it
    ledger.waive("feature_name_combiner", "_n_features_outs", "sparse")  # fit moved an old "sparse" to sparse_output
    categories, sparse = ledger["categories_"], bool(ledger["sparse_output"])
    dropped, grouped = ledger["_drop_idx_after_grouping"], _groupings(ledger)
    unknown = ledger["handle_unknown"]
    codes, sizes = [], []
    for j in range(len(table)):
        drop = None if dropped is None else dropped[j]
        places, size, infrequent = _places(len(categories[j]), grouped[j], drop)
        default = _default(unknown, infrequent)
        codes.append(category_codes(ledger, builder, table, j, categories[j], places, default))
        sizes.append(size)
    coded = lookups(builder, table, codes, "code")
    return one_hot(builder, coded, sizes, held=_held(ledger), sparse=sparse)


def _places(count: int, grouping: Array | None, drop: Any) -> tuple[Array, int, int | None]:
    """Per category its place in the unit vector (-1: none), the vector's size, and the place of the infrequent ones.

    Places are given after grouping; a dropped place makes those behind it move up.
    """
    places = np.arange(count) if grouping is None else np.asarray(grouping)
    size = int(places.max()) + 1 if count else 0
    infrequent = None if grouping is None else int(places.max())
    if drop is None:
        return places, size, infrequent
    moved = np.arange(size) - (np.arange(size) > drop)
    moved[int(drop)] = -1
    return moved[places], size - 1, None if infrequent is None else int(moved[infrequent])


def _default(unknown: str, infrequent: int | None) -> int | None:
    """The place of an unknown category: refused, none, or with the infrequent ones."""
    if unknown == "error":
        return None
    grouping = ("infrequent_if_exist", "warn") if sklearn_version() >= (1, 8) else ("infrequent_if_exist",)
    return infrequent if unknown in grouping and infrequent is not None else -1


def one_hot(builder: Builder, codes: Table, sizes: Sequence[int], *, held: str, sparse: bool) -> Table:
    """Unit vectors of integer codes, one per column, side by side; neighbours of one size share a step.

    A column without any place adds nothing, but stays in the graph, so that its unknown categories are refused.
    """
    values = []
    for start, end in _runs(sizes):
        size = sizes[start]
        vectors = builder.add("onehot", builder.integers(codes.select(range(start, end))), hint="onehot", size=max(size, 1))
        if size == 0:
            vectors = builder.add("select", vectors, hint="no_place", index=np.zeros(0, dtype=np.int64))
        values.append(vectors)
    if 0 in sizes and len(values) > 1:
        values = [builder.add("concat", *values, hint="onehot")]
    return Table(tuple(ref for value in values for ref in builder.table(value, held=held).columns), sparse)


@transforms("OrdinalEncoder")
def ordinal_encoder(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The number of the category; unknown_value for others, encoded_missing_value for NaN."""
    ledger.waive("categories", "min_frequency", "max_categories")
    categories, grouped, missing = ledger["categories_"], _groupings(ledger), ledger["_missing_indices"]
    unknown, dtype, of_missing = ledger["unknown_value"], np.dtype(ledger["dtype"]), ledger["encoded_missing_value"]
    default = None if ledger["handle_unknown"] == "error" else float(np.asarray(unknown).astype(dtype))
    codes = []
    for j in range(len(table)):
        numbers = np.arange(len(categories[j])).astype(dtype)
        if grouped[j] is not None:
            numbers[: len(grouped[j])] = grouped[j]
        if j in missing:
            numbers[missing[j]] = of_missing
        codes.append(category_codes(ledger, builder, table, j, categories[j], numbers.astype(np.float64), default))
    coded = lookups(builder, table, codes, "code")
    held = _held(ledger)
    return Table(tuple(replace(ref, held=held) for ref in coded.columns))


def _groupings(ledger: Ledger) -> list[Any]:
    """Per column the code of each category after infrequent ones are grouped, or None."""
    ledger.waive("_infrequent_indices", "_default_to_infrequent_mappings")
    columns = len(ledger["categories_"])
    if not ledger.get("_infrequent_enabled", False):
        return [None] * columns
    return list(ledger["_default_to_infrequent_mappings"])


def _held(ledger: Ledger) -> str:
    dtype = np.dtype(ledger["dtype"])
    if dtype.kind not in "fiub":
        raise ledger.refuse("dtype", f"is {dtype}, which no artifact carries: use np.float64.")
    return str(dtype.name)


def category_codes(
    ledger: Ledger, builder: Builder, table: Table, j: int, categories: Array, values: Array, default: Any
) -> Codes:
    """The lookup of one column. A missing category counts only if the rows write it the way the encoder saw it."""
    ref = table.columns[j]
    known = categories.tolist()
    none, nan = any(c is None for c in known), any(c is not None and c != c for c in known)
    if none and nan:
        raise ledger.refuse(
            "categories_",
            f"hold both None and NaN in column {table.named(j)}, but rows of an artifact know one missing value: "
            "write it in one way and refit.",
        )
    counts = [not _missing(c) or builder.writes_missing_as(ref, c) for c in known]
    index = [i for i, counted in enumerate(counts) if counted]
    keys = _keys(ledger, table, j, [known[i] for i in index])
    return Codes(keys, values[index], default)


def _keys(ledger: Ledger, table: Table, j: int, categories: list[Any]) -> Array:
    """Categories in the column's own dtype: strings with None for missing, or floats with NaN."""
    text = table.columns[j].dtype == "str"
    wrong = [c for c in categories if not _missing(c) and isinstance(c, str) != text]
    if wrong:
        kinds = ("strings", "number") if text else ("numbers", "string")
        raise ledger.refuse(
            "categories_",
            f"of column {table.named(j)} hold the {kinds[1]} {wrong[0]!r}, but the sample's column holds {kinds[0]}: "
            "give the sample the types the model was fitted on.",
        )
    if text:
        keys = np.empty(len(categories), dtype=object)
        keys[:] = [None if _missing(c) else str(c) for c in categories]
        return keys
    numbers = np.array([np.nan if _missing(c) else float(c) for c in categories], dtype=np.float64)
    inexact = [c for c, n in zip(categories, numbers.tolist(), strict=True) if not _missing(c) and n != c]
    if inexact:
        raise ledger.refuse(
            "categories_", f"hold {inexact[0]!r}, which is no float64: turn such a column into strings and refit."
        )
    return numbers


def lookups(builder: Builder, table: Table, codes: Sequence[Codes], hint: str) -> Table:
    """Codes of all columns; neighbours with the same categories share a step."""
    refs: list[Ref] = []
    start = 0
    while start < len(table):
        end = start + 1
        while end < len(table) and codes[end].same(codes[start]):
            end += 1
        part = table.select(range(start, end))
        x = builder.texts(part) if part.columns[0].dtype == "str" else builder.matrix(part)
        c = codes[start]
        value = builder.add("lookup", x, hint=hint, keys=c.keys, values=c.values, default=c.default)
        refs += builder.table(value, part.names).columns
        start = end
    return Table(tuple(refs))


def _runs(items: Sequence[int]) -> list[tuple[int, int]]:
    """Start and end of runs of equal neighbours.

    >>> _runs([3, 3, 1])
    [(0, 2), (2, 3)]
    """
    starts = [i for i, item in enumerate(items) if i == 0 or item != items[i - 1]]
    return list(zip(starts, [*starts[1:], len(items)], strict=True)) if starts else []


def _equal(a: Array, b: Array) -> bool:
    return a.shape == b.shape and repr(a.tolist()) == repr(b.tolist())


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
