"""Accumulation over the columns of a row, in ascending order, without a tensor of rows times points times columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .builder import Value

__all__ = ["fold"]

Array = np.ndarray[Any, np.dtype[Any]]


def fold(
    x: Value, tables: Sequence[Array], width: int, start: float, step: Callable[..., Value], beside: Value | None = None
) -> Value:
    """[N, width]: begins at `start`, then takes step(total, x_j [N, 1], table_j [width] of each table) over ascending j.

    x is [N, i] in f64, every table [i, width]; the column of `beside` [N, i], where there is one, follows that of x. It is one
    Scan over the columns.
    """
    b = x.builder
    columns = [value.transpose(1, 0).unsqueeze(2) for value in (x, beside) if value is not None]  # [i, N, 1]
    constants = [b.constant(np.ascontiguousarray(table, dtype=np.float64)) for table in tables]
    names = [*("column", "beside")[: len(columns)], *(f"table{k}" for k in range(len(tables)))]
    graph = b.body([("total", "f64", None), *((name, "f64", None) for name in names)], lambda values: [step(*values)])
    b.widens(4 * width)
    scanned = [*columns, *constants]
    return b.op("Scan", b.filled(width, start), *scanned, dtype="f64", body=graph, num_scan_inputs=len(scanned))
