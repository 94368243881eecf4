"""The log density of normal distributions with a covariance of their own, shared by discriminants and mixtures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..builder import Array, Builder


def whitened_log_density(
    builder: Builder, centered: Sequence[str], matrices: Sequence[Array], means: Sequence[Array], offsets: Array
) -> str:
    """[k]: offset_k - d/2 log(2 pi) - |x_k matrix_k - mean_k|^2 / 2, one value x_k per component.

    matrix_k [columns, d] turns the component's distribution into one of variance 1; mean_k [d] is where its centre goes.
    """
    parts = []
    for value, matrix, mean, offset in zip(centered, matrices, means, offsets.tolist(), strict=True):
        white = builder.add("linear", value, hint="white", weight=np.ascontiguousarray(matrix.T))
        parts.append(
            builder.add(
                "gaussian_ll",
                white,
                hint="log_density",
                mean=mean[None, :],
                var=np.ones((1, len(mean))),
                log_prior=[float(offset)],
            )
        )
    return parts[0] if len(parts) == 1 else builder.add("concat", *parts, hint="log_densities")
