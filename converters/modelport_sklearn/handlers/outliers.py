"""What outlier detectors have in common: 1 for an inlier, -1 for an outlier."""

from __future__ import annotations

import numpy as np

from ..builder import Builder


def inlier_label(builder: Builder, score: str, bound: float = 0.0) -> str:
    """i64 1 where the score (rank 0) is at the bound or above, else -1; NaN is an outlier."""
    inside = builder.add("binary", score, builder.constant(bound, "bound"), hint="inside", fn="ge")
    index = builder.add("cast", inside, hint="index", to="i64")
    return builder.add("take", index, hint="label", table=np.array([-1, 1], dtype=np.int64))
