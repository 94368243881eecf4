"""Projections: PCA, TruncatedSVD."""

from __future__ import annotations

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger


@transforms("PCA")
def pca(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """x components_' - mean_ components_', divided by the standard deviations when whitened."""
    ledger.waive("n_components", "svd_solver", "tol", "iterated_power", "n_oversamples", "power_iteration_normalizer")
    ledger.waive("_fit_svd_solver")
    ledger.waive("n_components_", "n_samples_", "noise_variance_", "explained_variance_ratio_", "singular_values_", "n_features_")
    components, mean, variance = ledger["components_"], ledger["mean_"], ledger["explained_variance_"]
    offset = None if mean is None else -_floats((mean.reshape(1, -1) @ components.T)[0])
    x = builder.matrix(table)
    projected = builder.add("linear", x, hint="projected", weight=_floats(components), bias=offset)
    if ledger["whiten"]:
        deviation = np.maximum(np.sqrt(variance), np.finfo(variance.dtype).eps)
        projected = builder.add("scale", projected, hint="whitened", div=_floats(deviation))
    return builder.table(projected)


@transforms("TruncatedSVD")
def truncated_svd(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """x components_'."""
    ledger.waive("n_components", "algorithm", "n_iter", "n_oversamples", "power_iteration_normalizer", "tol")
    ledger.waive("explained_variance_", "explained_variance_ratio_", "singular_values_")
    x = builder.matrix(table)
    return builder.table(builder.add("linear", x, hint="projected", weight=_floats(ledger["components_"])))


def _floats(values: Array) -> Array:
    return np.asarray(values, dtype=np.float64)
