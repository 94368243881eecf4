"""KNNImputer: a missing cell becomes the mean of its column over the nearest training rows that have it."""

from __future__ import annotations

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from ..missing import is_missing
from .distances import Distances, Space
from .imputing import missing_mask


@transforms("KNNImputer")
def knn_imputer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Distances over the columns present in both rows; columns with the same donors share their neighbours."""
    missing, fitted, absent = ledger["missing_values"], ledger["_fit_X"], np.asarray(ledger["_mask_fit_X"], dtype=bool)
    ledger.demand("metric", "nan_euclidean", instead="use metric='nan_euclidean'.")
    weights, k = _weights(ledger), int(ledger["n_neighbors"])
    seen = np.asarray(ledger["_valid_mask"], dtype=bool)
    fitted = np.where(absent, np.nan, np.asarray(fitted, dtype=np.float64))
    x = _with_nan(builder, builder.matrix(table), missing)
    distances = Space(ledger, builder, x, fitted).pairwise("nan_euclidean")
    filled: dict[int, tuple[str, int]] = {}
    for donors, columns in _groups(absent, seen):
        value = _impute(builder, distances, fitted, donors, columns, min(k, len(donors)), weights)
        filled.update({j: (value, place) for place, j in enumerate(columns)})
    kept = np.flatnonzero(seen)
    result = Table(())
    if len(kept):
        order = builder.table(builder.matrix(_joined(builder, [filled[int(j)] for j in kept]), "neighbors_mean"))
        own = builder.add("select", x, hint="present", index=kept)
        is_absent = builder.add("binary", own, own, hint="is_missing", fn="ne")
        mean = builder.matrix(order)
        imputed = builder.add("where", is_absent, mean, own, hint="imputed")
        result = builder.table(imputed, [table.names[int(j)] for j in kept])
    if ledger["keep_empty_features"]:
        result = _with_empty(builder, table, result, seen)
    indicator = ledger["indicator_"]
    if not ledger["add_indicator"]:
        return result
    return result + missing_mask(builder, table, missing, False, indicator.features_.tolist())


def _weights(ledger: Ledger) -> str:
    weights = ledger["weights"]
    if callable(weights):
        name = getattr(weights, "__name__", type(weights).__name__)
        raise ledger.refuse("weights", f"is the function {name}, which cannot be exported as code: use 'uniform' or 'distance'.")
    return "uniform" if weights is None else str(weights)


def _with_nan(builder: Builder, x: str, missing: object) -> str:
    """The row with NaN for what counts as missing."""
    if is_missing(missing):
        return x
    return builder.add("impute", x, hint="with_nan", match=float(missing), values=np.array([np.nan]))  # type: ignore[arg-type]


def _groups(absent: Array, seen: Array) -> list[tuple[Array, list[int]]]:
    """(rows that have a value, columns) for columns that share those rows; columns that no row has are left out."""
    groups: dict[bytes, list[int]] = {}
    for j in np.flatnonzero(seen).tolist():
        groups.setdefault(absent[:, j].tobytes(), []).append(j)
    return [(np.flatnonzero(~absent[:, columns[0]]), columns) for columns in groups.values()]


def _joined(builder: Builder, columns: list[tuple[str, int]]) -> Table:
    tables = {value: builder.table(value) for value, _ in columns}
    return Table(tuple(tables[value].columns[place] for value, place in columns))


def _with_empty(builder: Builder, table: Table, result: Table, seen: Array) -> Table:
    """All columns, those never seen as zeros."""
    empty = np.flatnonzero(~seen)
    if not len(empty):
        return result
    zeros = builder.table(builder.constant(np.zeros(len(empty)), "never_seen"), [table.names[int(j)] for j in empty])
    parts = {int(j): ref for j, ref in zip(np.flatnonzero(seen), result.columns, strict=True)}
    parts.update({int(j): ref for j, ref in zip(empty, zeros.columns, strict=True)})
    return Table(tuple(parts[j] for j in range(len(seen))))


def _impute(
    builder: Builder, distances: Distances, fitted: Array, donors: Array, columns: list[int], k: int, weights: str
) -> str:
    """[columns]: the weighted mean over the k nearest donors; the column's mean when no donor shares a column with the row."""
    targets = fitted[donors][:, columns]
    d = distances.value
    if len(donors) < len(fitted):
        d = builder.add("select", d, hint="donor_distances", index=donors)
    _doubt(builder, distances, d, donors, columns, targets, k, exact=weights == "distance")
    near = _neighbor_weights(builder, d, k, weights)
    sums = builder.add("linear", near, hint="sums", weight=np.ascontiguousarray(targets.T))
    total = builder.add("reduce", near, hint="total", fn="sum", keep=True)
    some = builder.add("binary", total, builder.constant([0.0], "zero"), hint="has_neighbors", fn="gt")
    mean = builder.add("binary", sums, total, hint="mean", fn="div")
    alone = builder.constant([np.ma.array(column, mask=False).mean() for column in targets.T], "column_means")
    return builder.add("where", some, mean, alone, hint="neighbors_mean")


def _neighbor_weights(builder: Builder, d: str, k: int, weights: str) -> str:
    """[donors]: 1 or 1 / distance for the k nearest whose distance is known, else 0; exact matches rule out all others."""
    zero = builder.constant([0.0], "zero")
    known = builder.add("binary", d, d, hint="is_known", fn="eq")
    marks = builder.add("smallest", d, hint="is_near", k=k)
    near = builder.add("binary", builder.add("binary", marks, zero, hint="is_marked", fn="gt"), known, hint="counts", fn="and")
    if weights == "uniform":
        return builder.add("cast", near, hint="weights", to="f64")
    same = builder.add("binary", builder.add("binary", d, zero, hint="is_zero", fn="eq"), near, hint="is_same", fn="and")
    on_it = builder.add("cast", same, hint="same", to="f64")
    largest = builder.add("reduce", on_it, hint="any_same", fn="max", keep=True)
    has = builder.add("binary", largest, zero, hint="has_same", fn="gt")
    weight = builder.add("where", has, on_it, builder.add("unary", d, hint="inverse", fn="reciprocal"), hint="weight")
    return builder.add("where", near, weight, zero, hint="weights")


def _doubt(
    builder: Builder, distances: Distances, d: str, donors: Array, columns: list[int], targets: Array, k: int, exact: bool
) -> None:
    """Rows that miss one of the columns and of which rounding decides who the nearest donors are."""

    def judge(values: Array, rows: Array) -> Array:
        values = np.where(np.isnan(values), np.inf, values)
        bound = np.partition(values, k - 1, axis=1)[:, k - 1 : k]
        below, near = distances.around(bound, values, rows)
        doubted = (near.sum(axis=1) > k - below.sum(axis=1)) & np.isfinite(bound[:, 0])
        for i in np.flatnonzero(doubted):
            among = targets[near[i]]
            doubted[i] = bool((among != among[:1]).any())
        if exact:
            doubted |= distances.noisy(values, rows).any(axis=1)
        return np.asarray(doubted & np.isnan(rows[:, columns]).any(axis=1))

    builder.doubt(judge, d, distances.x)
