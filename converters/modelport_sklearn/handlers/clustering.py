"""Clusterers that answer new rows: the nearest centre, or the distances to all."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predicts, transforms
from ..ledger import Ledger
from .distances import EPS
from .linear import dense

#: How the centres were found, and what partial_fit needs to go on.
TRAINING = (
    *("n_clusters", "init", "n_init", "max_iter", "tol", "algorithm", "copy_x", "labels_", "inertia_", "n_iter_", "n_steps_"),
    *("batch_size", "compute_labels", "init_size", "max_no_improvement", "reassignment_ratio", "_n_features_out", "_n_threads"),
    *("_tol", "_n_init", "_algorithm", "_batch_size", "_init_size", "_counts", "_ewa_inertia", "_ewa_inertia_min"),
    *("_no_improvement", "_n_since_last_reassign", "_random_state"),
)


def nearest(builder: Builder, x: str, centers: Array, squares: Array | None = None, hint: str = "cluster") -> str:
    """The number of the centre with the smallest |c|^2 - 2 x c, ties to the first, as scikit-learn computes it.

    squares: |c|^2, where the original keeps them.
    """
    offset = np.einsum("ij,ij->i", centers, centers) if squares is None else squares
    distance = builder.add("linear", x, hint="distance", weight=-2.0 * centers, bias=offset)
    if len(centers) > 1:
        doubt_expanded(builder, distance, x, centers)
    return builder.add("reduce", distance, hint=hint, fn="argmin")


def doubt_expanded(builder: Builder, squares: str, x: str, centers: Array) -> None:
    """Rows whose two smallest squared distances, from |x|^2 + |c|^2 - 2 x c, differ by no more than rounding."""
    share, largest = (8 + centers.shape[1]) * EPS, float(np.square(centers).sum(axis=1).max(initial=0.0))

    def judge(values: Array, rows: Array) -> Array:
        two = np.partition(values, 1, axis=1)[:, :2]
        return np.asarray(~(two[:, 1] - two[:, 0] > share * (np.square(rows).sum(axis=1) + largest)))

    builder.doubt(judge, squares, x)


def center_distances(builder: Builder, x: str, centers: Array) -> str:
    """The euclidean distance to each centre. Rows so near a centre that the original cannot measure it are in doubt."""
    distances = builder.add("pairwise", x, hint="distances", points=centers, metric="euclidean")
    share, largest = (8 + centers.shape[1]) * EPS, float(np.square(centers).sum(axis=1).max(initial=0.0))

    def judge(d: Array, rows: Array) -> Array:
        size = np.sqrt(np.square(rows).sum(axis=1) + largest)
        return np.asarray(~(d.min(axis=1, initial=np.inf) > 0.5e10 * share * size))

    builder.doubt(judge, distances, x)
    return distances


# --- k-means ------------------------------------------------------------------------------------------------------------------


@predicts("KMeans", "MiniBatchKMeans")
def k_means(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The nearest centre."""
    return Prediction(cluster=nearest(builder, builder.matrix(table), _centers(ledger)))


@transforms("KMeans", "MiniBatchKMeans")
def k_means_distances(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The euclidean distance to each centre."""
    return builder.table(center_distances(builder, builder.matrix(table), _centers(ledger)))


def _centers(ledger: Ledger) -> Array:
    ledger.waive(*TRAINING)
    centers = np.asarray(ledger["cluster_centers_"])
    if centers.dtype != np.float64:
        raise ledger.refuse("cluster_centers_", f"is {centers.dtype}, so it cannot answer float64 rows: refit on float64 rows.")
    return centers


@predicts("BisectingKMeans")
def bisecting_k_means(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Down the tree of bisections: at every node the nearer of two centres, the left one of equals."""
    ledger.waive("bisecting_strategy", "_kmeans_single")
    _centers(ledger)
    nodes, leaves = _bisections(ledger["_bisecting_tree"], ledger.get("_X_mean"))
    if not nodes:
        return Prediction(cluster=builder.add("constant", hint="cluster", value=np.array(0, dtype=np.int64)))
    x, k = builder.matrix(table), len(nodes)
    centers = np.array([center for pair in nodes for center in pair])
    offset = np.einsum("ij,ij->i", centers, centers)
    distance = builder.add("linear", x, hint="distance", weight=-2.0 * centers, bias=offset)
    left = builder.add("select", distance, hint="distance_left", index=np.arange(0, 2 * k, 2))
    right = builder.add("select", distance, hint="distance_right", index=np.arange(1, 2 * k, 2))
    goes_left = builder.add("binary", left, right, hint="is_left", fn="le")
    turns = builder.add("cast", goes_left, hint="turns", to="f64")
    # a leaf's weights are 1 for every left turn and -1 for every right one: only the leaf that is reached loses none of them
    paths = np.zeros((len(leaves), k))
    for leaf, path in enumerate(leaves):
        for node, turn in path:
            paths[leaf, node] = 1.0 if turn == "left" else -1.0
    reached = builder.add("linear", turns, hint="reached", weight=paths, bias=-(paths > 0).sum(axis=1).astype(np.float64))
    share, largest = (8 + centers.shape[1]) * EPS, float(offset.max())

    def judge(one: Array, other: Array, rows: Array) -> Array:
        error = share * (np.square(rows).sum(axis=1) + largest)
        return np.asarray(~(np.abs(one - other).min(axis=1) > error))

    builder.doubt(judge, left, right, x)
    return Prediction(cluster=builder.add("reduce", reached, hint="cluster", fn="argmax"))


def _bisections(root: Any, mean: Any) -> tuple[list[tuple[Array, Array]], list[list[tuple[int, str]]]]:
    """(left centre, right centre) of every node, and the turns (node, "left" or "right") to every leaf, by its label."""
    nodes: list[tuple[Array, Array]] = []
    paths: dict[int, list[tuple[int, str]]] = {}
    stack: list[tuple[Any, list[tuple[int, str]]]] = [(root, [])]
    while stack:
        node, path = stack.pop()
        if node.left is None:
            paths[int(node.label)] = path
            continue
        number = len(nodes)
        left, right = (np.asarray(child.center, dtype=np.float64) for child in (node.left, node.right))
        nodes.append((left, right) if mean is None else (left + mean, right + mean))
        stack += [(node.left, [*path, (number, "left")]), (node.right, [*path, (number, "right")])]
    return nodes, [paths[label] for label in range(len(paths))]


@transforms("BisectingKMeans")
def bisecting_k_means_distances(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The euclidean distance to each centre."""
    ledger.waive("bisecting_strategy", "_kmeans_single", "_bisecting_tree", "_X_mean")
    return builder.table(center_distances(builder, builder.matrix(table), _centers(ledger)))


# --- other centres ------------------------------------------------------------------------------------------------------------


@predicts("MeanShift")
def mean_shift(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The nearest centre."""
    ledger.waive("bandwidth", "seeds", "bin_seeding", "min_bin_freq", "cluster_all", "max_iter", "n_iter_", "labels_")
    return Prediction(cluster=nearest(builder, builder.matrix(table), dense(ledger["cluster_centers_"])))


@predicts("AffinityPropagation")
def affinity_propagation(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The nearest exemplar; -1 where the fit found none."""
    ledger.waive("damping", "max_iter", "convergence_iter", "preference", "labels_", "n_iter_", "affinity_matrix_")
    ledger.waive("cluster_centers_indices_")
    ledger.demand("affinity", "euclidean", instead="scikit-learn answers no new rows then; use affinity='euclidean'.")
    centers = dense(ledger["cluster_centers_"])
    if not len(centers):
        return Prediction(cluster=builder.add("constant", hint="cluster", value=np.array(-1, dtype=np.int64)))
    return Prediction(cluster=nearest(builder, builder.matrix(table), centers))


#: How the tree of subclusters was grown; subcluster_centers_ and subcluster_labels_ hold the result.
BIRCH = "threshold branching_factor n_clusters compute_labels root_ dummy_leaf_ labels_ n_features_ _n_features_out".split()


@predicts("Birch")
def birch(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The label of the nearest subcluster."""
    ledger.waive(*BIRCH)
    centers, labels = dense(ledger["subcluster_centers_"]), np.asarray(ledger["subcluster_labels_"], dtype=np.int64)
    squares = np.asarray(ledger["_subcluster_norms"], dtype=np.float64)
    index = nearest(builder, builder.matrix(table), centers, squares, hint="subcluster")
    return Prediction(cluster=builder.add("take", index, hint="cluster", table=labels))


@transforms("Birch")
def birch_distances(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The euclidean distance to each subcluster."""
    ledger.waive(*BIRCH, "subcluster_labels_", "_subcluster_norms")
    return builder.table(center_distances(builder, builder.matrix(table), dense(ledger["subcluster_centers_"])))


# --- groups of columns --------------------------------------------------------------------------------------------------------


LARGEST, SMALLEST = (np.max, np.amax), (np.min, np.amin)


@transforms("FeatureAgglomeration")
def feature_agglomeration(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """One column per cluster of columns: their mean, or what pooling_func makes of them."""
    ledger.waive("n_clusters", "metric", "memory", "connectivity", "compute_full_tree", "linkage", "distance_threshold")
    ledger.waive("compute_distances", "n_clusters_", "n_leaves_", "n_connected_components_", "children_", "distances_")
    ledger.waive("affinity", "_metric", "_n_features_out")
    labels, pool = np.asarray(ledger["labels_"]), ledger["pooling_func"]
    x, groups = builder.matrix(table), [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if pool in (np.mean, np.sum):
        member = (labels == np.unique(labels)[:, None]).astype(np.float64)
        value = builder.add("linear", x, hint="sums", weight=member)
        if pool is np.mean:
            value = builder.add("scale", value, hint="means", div=member.sum(axis=1))
        return builder.table(value)
    if pool not in (*LARGEST, *SMALLEST, np.median):
        name = getattr(pool, "__name__", type(pool).__name__)
        raise ledger.refuse("pooling_func", f"is {name}, which cannot be exported: use numpy.mean, median, sum, min or max.")
    parts = [builder.add("select", x, hint="group", index=group) for group in groups]
    if pool is np.median:
        pooled = [_median(builder, part) for part in parts]
    else:
        fn = "max" if pool in LARGEST else "min"
        pooled = [builder.add("reduce", part, hint="pooled", fn=fn, keep=True) for part in parts]
    return builder.table(builder.add("concat", *pooled, hint="pooled"))


def _median(builder: Builder, x: str) -> str:
    """[1]: the middle element, or the mean of the two."""
    width = builder.width(x)
    lower = _ranked(builder, x, (width + 1) // 2)
    if width % 2:
        return lower
    total = builder.add("binary", lower, _ranked(builder, x, width // 2 + 1), hint="middle_sum", fn="add")
    return builder.add("scale", total, hint="median", div=[2.0])


def _ranked(builder: Builder, x: str, k: int) -> str:
    """[1]: the k-th smallest element."""
    marks = builder.add("smallest", x, hint="is_small", k=k)
    small = builder.add("binary", marks, builder.constant([0.0], "zero"), hint="is_marked", fn="gt")
    kept = builder.add("where", small, x, builder.constant([-np.inf], "lowest"), hint="small")
    return builder.add("reduce", kept, hint="ranked", fn="max", keep=True)
