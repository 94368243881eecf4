"""LabelPropagation and LabelSpreading: the labels of the training rows, weighted by a kernel or taken from the nearest."""

from __future__ import annotations

import numpy as np

from ..builder import Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger
from .distances import add_distances, doubt_nearest
from .linear import dense
from .pairwise_kernels import EXPANDED


@predicts("LabelPropagation", "LabelSpreading")
def label_propagation(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Sums of label_distributions_ divided by their total."""
    ledger.waive("alpha", "max_iter", "tol", "n_iter_", "transduction_", "n_neighbors")
    kernel, classes = ledger["kernel"], ledger["classes_"]
    distributions = np.asarray(ledger["label_distributions_"], dtype=np.float64)
    if kernel == "rbf":
        gamma = float(ledger["gamma"])
        builder.measure(*EXPANDED)
        weights = builder.add(
            "pairwise", builder.matrix(table), hint="weights", points=dense(ledger["X_"]), metric="rbf", gamma=gamma
        )
        ledger.waive("nn_fit")
    elif kernel == "knn":
        ledger.waive("X_", "gamma")
        weights = _nearest(Ledger(ledger["nn_fit"]), builder, table, distributions)
    else:
        name = getattr(kernel, "__name__", type(kernel).__name__)
        raise ledger.refuse("kernel", f"is the function {name}, which cannot be exported as code: use 'rbf' or 'knn'.")
    sums = builder.add("linear", weights, hint="sums", weight=np.ascontiguousarray(distributions.T))
    total = builder.add("reduce", sums, hint="total", fn="sum", keep=True)
    # far from every row the weights leave the range of normal numbers, and with it their digits
    builder.doubt(lambda value: (value[:, 0] != 0) & ~(value[:, 0] > 1e-280), total)
    probability = builder.add("binary", sums, total, hint="probability", fn="div")
    # of the sums: where all are 0 the probabilities are NaN, and the first class is meant
    return Prediction(label=builder.label_of_largest(sums, classes), classes=classes, probability=probability)


def _nearest(neighbors: Ledger, builder: Builder, table: Table, targets: np.ndarray) -> str:
    """1 for the nearest training rows, else 0."""
    k = int(neighbors["n_neighbors"])
    neighbors.waive("radius", "n_samples_fit_")
    distances = add_distances(neighbors, builder, table)
    neighbors.close()
    doubt_nearest(builder, distances, k, targets)
    return builder.add("smallest", distances.value, hint="weights", k=k)
