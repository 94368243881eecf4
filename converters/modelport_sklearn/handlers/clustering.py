"""KMeans and MiniBatchKMeans: the nearest centre, or the distances to all."""

from __future__ import annotations

import numpy as np

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predicts, transforms
from ..ledger import Ledger

#: How the centres were found, and what partial_fit needs to go on.
TRAINING = (
    *("n_clusters", "init", "n_init", "max_iter", "tol", "algorithm", "copy_x", "labels_", "inertia_", "n_iter_", "n_steps_"),
    *("batch_size", "compute_labels", "init_size", "max_no_improvement", "reassignment_ratio", "_n_features_out", "_n_threads"),
    *("_tol", "_n_init", "_algorithm", "_batch_size", "_init_size", "_counts", "_ewa_inertia", "_ewa_inertia_min"),
    *("_no_improvement", "_n_since_last_reassign", "_random_state"),
)


@predicts("KMeans", "MiniBatchKMeans")
def k_means(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The centre with the smallest |c|^2 - 2 x c, ties to the first, as scikit-learn computes it."""
    centers = _centers(ledger)
    offset = np.einsum("ij,ij->i", centers, centers)
    distance = builder.add("linear", builder.matrix(table), hint="distance", weight=-2.0 * centers, bias=offset)
    return Prediction(cluster=builder.add("reduce", distance, hint="cluster", fn="argmin"))


@transforms("KMeans", "MiniBatchKMeans")
def k_means_distances(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The euclidean distance to each centre."""
    distances = builder.add("pairwise", builder.matrix(table), hint="distances", points=_centers(ledger), metric="euclidean")
    return builder.table(distances)


def _centers(ledger: Ledger) -> Array:
    ledger.waive(*TRAINING)
    centers = np.asarray(ledger["cluster_centers_"])
    if centers.dtype != np.float64:
        raise ledger.refuse("cluster_centers_", f"is {centers.dtype}, so it cannot answer float64 rows: refit on float64 rows.")
    return centers
