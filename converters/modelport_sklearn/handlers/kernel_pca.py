"""KernelPCA, KernelCenterer and Isomap: projections of a centred kernel."""

from __future__ import annotations

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transform, transforms
from ..ledger import Ledger
from .distances import add_distances, doubt_nearest, doubt_radius
from .guards import refuse_unless
from .pairwise_kernels import add_kernel


@transforms("KernelCenterer")
def kernel_centerer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """k - K_fit_rows_ - mean(k) + K_fit_all_."""
    return builder.table(centered(ledger, builder, builder.matrix(table)), table.names)


def centered(ledger: Ledger, builder: Builder, kernel: str) -> str:
    """A row of kernel values [m], centred in feature space."""
    rows = np.asarray(ledger["K_fit_rows_"], dtype=np.float64)
    total = builder.add("reduce", kernel, hint="kernel_sum", fn="sum", keep=True)
    mean = builder.add("scale", total, hint="kernel_mean", div=[float(len(rows))])
    moved = builder.add("scale", kernel, hint="kernel_moved", sub=rows)
    moved = builder.add("binary", moved, mean, hint="kernel_moved", fn="sub")
    return builder.add("scale", moved, hint="kernel_centered", add=[float(ledger["K_fit_all_"])])


@transforms("KernelPCA")
def kernel_pca(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The centred kernel times the eigenvectors, each divided by the root of its eigenvalue (0 where that is 0)."""
    ledger.waive("n_components", "alpha", "fit_inverse_transform", "eigen_solver", "tol", "max_iter", "iterated_power")
    ledger.waive("remove_zero_eig", "dual_coef_", "X_transformed_fit_", "_n_features_out")
    ledger.waive("kernel_params")  # parameters of a callable kernel, which is refused
    given = {"gamma": ledger.get("gamma_", ledger["gamma"]), "degree": ledger["degree"], "coef0": ledger["coef0"]}
    kernel = add_kernel(ledger, builder, table, ledger["X_fit_"], given)
    centerer = Ledger(ledger["_centerer"])
    usual = float(np.abs(centerer["K_fit_rows_"]).max(initial=0.0))
    value = centered(centerer, builder, kernel)
    centerer.close()
    values, vectors = np.asarray(ledger["eigenvalues_"]), np.asarray(ledger["eigenvectors_"])
    scaled = np.zeros_like(vectors)
    present = np.flatnonzero(values)
    scaled[:, present] = vectors[:, present] / np.sqrt(values[present])
    weight = np.ascontiguousarray(scaled.T, dtype=np.float64)
    projected = builder.add("linear", value, hint="projected", weight=weight)
    _doubt_centering(builder, kernel, projected, weight, usual)
    return builder.table(projected)


def _doubt_centering(builder: Builder, kernel: str, projected: str, weight: Array, usual: float) -> None:
    """Rows far outside the training rows whose kernel values are so large that centring them leaves fewer than twelve digits.

    usual: the largest mean kernel value of the fit.
    """
    sizes = np.abs(weight).sum(axis=1)

    def judge(k: Array, p: Array) -> Array:
        size = np.abs(k).max(axis=1, keepdims=True)
        outside = ~(size <= 10 * usual)
        lost = ~(np.abs(p) > 2e-4 * size * sizes)
        return np.asarray((outside & lost).any(axis=1))

    builder.doubt(judge, kernel, projected)


# --- Isomap -------------------------------------------------------------------------------------------------------------------


@transforms("Isomap")
def isomap(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The shortest way to every training row, through one of the nearest; its square times -1/2 is projected as a kernel."""
    ledger.waive("n_neighbors", "radius", "n_components", "eigen_solver", "tol", "max_iter", "path_method", "p", "metric")
    ledger.waive("neighbors_algorithm", "metric_params", "embedding_", "_n_features_out")
    ways = np.asarray(ledger["dist_matrix_"], dtype=np.float64)
    neighbors = Ledger(ledger["nbrs_"])
    by_number = ledger.estimator.n_neighbors is not None
    k, radius = neighbors["n_neighbors"], neighbors["radius"]
    neighbors.waive("n_samples_fit_")
    distances = add_distances(neighbors, builder, table)
    neighbors.close()
    zero = builder.constant([0.0], "zero")
    if by_number:
        doubt_nearest(builder, distances, int(k), ways, exact=True)
        near = builder.add("smallest", distances.value, hint="is_near", k=int(k))
        marked = builder.add("binary", near, zero, hint="is_marked", fn="gt")
    else:
        doubt_radius(builder, distances, float(radius), exact=True)
        marked = builder.add("binary", distances.value, builder.constant([float(radius)], "radius"), hint="is_near", fn="le")
    first = builder.add("where", marked, distances.value, zero, hint="first_part")
    if not by_number:
        first = _some(builder, first, marked)
    shortest = _shortest(builder, first, marked, ways)
    kernel = builder.add("scale", builder.add("unary", shortest, hint="square", fn="square"), hint="kernel", mul=[-0.5])
    return transform(ledger["kernel_pca_"], builder, builder.table(kernel))


def _some(builder: Builder, value: str, marked: str) -> str:
    """The value; a row without any mark, which the original refuses, is refused."""
    count = builder.add("reduce", builder.add("cast", marked, hint="marks", to="f64"), hint="count", fn="sum", keep=True)
    some = builder.add("binary", count, builder.constant([0.0], "zero"), hint="has_neighbors", fn="gt")
    checked = refuse_unless(builder, count, some)
    nothing = builder.add("scale", checked, hint="nothing", mul=[0.0])
    return builder.add("binary", value, nothing, hint="first_part", fn="add")


def _shortest(builder: Builder, first: str, marked: str, ways: Array) -> str:
    """[m]: for each j the smallest first_i + ways_ij over the marked i.

    With c larger than any such sum it is c - max_i (c - first_i - ways_ij), and the largest is a chebyshev distance: from
    c - first_i for the marked i, which is at least ways_ij away from 0, and from 0 for the others, which is at most that.
    """
    span = builder.constant([2.0 * float(ways.max(initial=0.0))], "span")
    farthest = builder.add("reduce", first, hint="farthest", fn="max", keep=True)
    top = builder.add("binary", farthest, span, hint="top", fn="add")
    left = builder.add("binary", top, first, hint="left", fn="sub")
    start = builder.add("where", marked, left, builder.constant([0.0], "zero"), hint="start")
    largest = builder.add("pairwise", start, hint="largest", points=np.ascontiguousarray(ways.T), metric="chebyshev")
    return builder.add("binary", top, largest, hint="shortest", fn="sub")
