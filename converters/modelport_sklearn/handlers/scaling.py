"""Scalers: StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, Normalizer.

All repeat scikit-learn's own order of arithmetic. Sparse rows are multiplied by the reciprocal of the scale, dense rows divided.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger

#: Rows whose norm is below this are left as they are (sklearn.preprocessing._data._handle_zeros_in_scale).
TINY_NORM = 10 * np.finfo(np.float64).eps


@transforms("StandardScaler")
def standard_scaler(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """(x - mean_) / scale_."""
    ledger.waive("var_", "n_samples_seen_")
    mean = ledger["mean_"] if ledger["with_mean"] else None
    scale = ledger["scale_"] if ledger["with_std"] else None
    ledger.waive("mean_", "scale_")
    return _shift_and_scale(builder, table, mean, scale)


@transforms("RobustScaler")
def robust_scaler(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """(x - center_) / scale_; scale_ holds what unit_variance adjusts."""
    ledger.waive("quantile_range", "unit_variance")
    center = ledger["center_"] if ledger["with_centering"] else None
    scale = ledger["scale_"] if ledger["with_scaling"] else None
    ledger.waive("center_", "scale_")
    return _shift_and_scale(builder, table, center, scale)


@transforms("MinMaxScaler")
def min_max_scaler(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """x * scale_ + min_, clipped to feature_range when asked for."""
    ledger.waive("data_min_", "data_max_", "data_range_", "n_samples_seen_")
    x = builder.matrix(table)
    scaled = builder.add("scale", x, hint="scaled", mul=_floats(ledger["scale_"]), add=_floats(ledger["min_"]))
    low, high = ledger["feature_range"]
    if ledger.get("clip", False):
        scaled = _clip(builder, scaled, low, high)
    return builder.table(scaled, table.names)


@transforms("MaxAbsScaler")
def max_abs_scaler(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """x / scale_, clipped to -1..1 when asked for."""
    ledger.waive("max_abs_", "n_samples_seen_")
    result = _shift_and_scale(builder, table, None, ledger["scale_"])
    if not ledger.get("clip", False):
        return result
    return builder.table(_clip(builder, builder.matrix(result), -1.0, 1.0), table.names, sparse=table.sparse)


@transforms("Normalizer")
def normalizer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Rows divided by their norm. Dense rows with a norm below 10 eps stay as they are, sparse ones only when it is 0."""
    normalized = unit_rows(builder, builder.matrix(table), ledger["norm"], sparse=table.sparse)
    return builder.table(normalized, table.names, sparse=table.sparse)


def unit_rows(builder: Builder, x: str, norm: str, *, sparse: bool = False) -> str:
    """Rows divided by their norm ("l1", "l2" or "max") as sklearn.preprocessing.normalize divides dense or sparse ones."""
    if sparse:
        return builder.add("normalize", x, hint="normalized", norm=norm)
    size = x if norm == "l2" else builder.add("unary", x, hint="absolute", fn="abs")
    length = builder.add("reduce", size, hint="norm", fn={"l1": "sum", "l2": "l2", "max": "max"}[norm], keep=True)
    tiny = builder.add("binary", length, builder.constant([TINY_NORM], "tiny"), hint="is_tiny", fn="lt")
    divisor = builder.add("where", tiny, builder.constant([1.0], "one"), length, hint="divisor")
    return builder.add("binary", x, divisor, hint="normalized", fn="div")


def _shift_and_scale(builder: Builder, table: Table, shift: Any, scale: Any) -> Table:
    x = builder.matrix(table)
    if shift is None and scale is None:
        return table
    shift, scale = _floats(shift), _floats(scale)
    if table.sparse and scale is not None:
        scaled = builder.add("scale", x, hint="scaled", mul=1.0 / scale)
    else:
        scaled = builder.add("scale", x, hint="scaled", sub=shift, div=scale)
    return builder.table(scaled, table.names, sparse=table.sparse)


def _clip(builder: Builder, value: str, low: float, high: float) -> str:
    return builder.add("clip", value, hint="clipped", min=_floats(low), max=_floats(high))


def _floats(values: Any) -> Array | None:
    return None if values is None else np.atleast_1d(np.asarray(values, dtype=np.float64))
