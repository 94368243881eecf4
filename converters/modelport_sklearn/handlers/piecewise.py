"""Functions in pieces, a different one per column: the number of the piece by bucketize, what belongs to it from tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..builder import Array, Builder


def places(builder: Builder, x: str, edges: Sequence[Array], side: str) -> str:
    """Per column the number of its piece (edges passed, 0..k), counted on from column to column: i64 of x's shape.

    edges: one ascending array [k] per column. side: "right" counts edges e <= x, "left" edges e < x; NaN passes all.
    """
    sizes = np.array([len(e) for e in edges], dtype=np.int64)
    piece = builder.add("bucketize", x, hint="piece", edges=np.concatenate([*edges, np.zeros(0)]), sizes=sizes, side=side)
    if len(edges) == 1:
        return piece
    start = np.concatenate([[0], np.cumsum(sizes + 1)[:-1]]).astype(np.float64)
    moved = builder.add("scale", builder.add("cast", piece, hint="piece_number", to="f64"), hint="place", add=start)
    return builder.add("cast", moved, hint="place", to="i64")


def looked_up(builder: Builder, place: str, tables: Sequence[Array], hint: str) -> str:
    """What belongs to each column's piece: one table [k + 1] per column."""
    return builder.add("take", place, hint=hint, table=np.concatenate(tables).astype(np.float64))
