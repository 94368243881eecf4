"""The kernels of sklearn.metrics.pairwise between a row and stored points, shared by the estimators that name one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..builder import Array, Builder, Table
from ..ledger import Ledger
from .guards import refuse_below
from .scaling import unit_rows

#: scikit-learn's name -> the metric of `pairwise`, and the parameters it takes with their defaults (None: 1 / columns).
KERNELS: Mapping[str, tuple[str, Mapping[str, float | None]]] = {
    "linear": ("dot", {}),
    "poly": ("poly", {"gamma": None, "coef0": 1.0, "degree": 3.0}),
    "polynomial": ("poly", {"gamma": None, "coef0": 1.0, "degree": 3.0}),
    "rbf": ("rbf", {"gamma": None}),
    "laplacian": ("laplacian", {"gamma": None}),
    "sigmoid": ("sigmoid", {"gamma": None, "coef0": 1.0}),
    "chi2": ("chi2", {"gamma": 1.0}),
    "additive_chi2": ("additive_chi2", {}),
    "cosine": ("dot", {}),
}

#: scikit-learn computes |x - p|^2 as |x|^2 - 2 x p + |p|^2 and so loses digits near the points; the graph does not. The tolerance
#: that this takes, relative to the scale: at least and at most.
EXPANDED = (1e-12, 1e-9)


def add_kernel(
    ledger: Ledger, builder: Builder, table: Table, points: Any, given: Mapping[str, Any], hint: str = "kernel"
) -> str:
    """[points]: the kernel named by the attribute `kernel` between a row and each point [m, columns].

    given holds the parameters that are set; the others have the kernel's defaults. Kernel "precomputed": the row itself.
    """
    kernel = ledger["kernel"]
    if callable(kernel):
        name = getattr(kernel, "__name__", type(kernel).__name__)
        raise ledger.refuse(
            "kernel", f"is the function {name}, which cannot be exported as code: use one of {', '.join(sorted(KERNELS))}."
        )
    if kernel == "precomputed":
        return builder.matrix(table)
    if kernel not in KERNELS:
        raise ledger.refuse("kernel", f"is {kernel!r}, which is not known: use one of {', '.join(sorted(KERNELS))}.")
    metric, defaults = KERNELS[kernel]
    stored = np.asarray(points.toarray() if hasattr(points, "toarray") else points, dtype=np.float64)
    parameters = {name: default if given.get(name) is None else given[name] for name, default in defaults.items()}
    if "gamma" in parameters and parameters["gamma"] is None:
        parameters["gamma"] = 1.0 / stored.shape[1]
    x = builder.matrix(table)
    if kernel == "cosine":
        x, stored = unit_rows(builder, x, "l2", sparse=table.sparse), unit_points(stored)
    elif kernel in ("chi2", "additive_chi2"):
        x = refuse_below(builder, x, 0.0)
    if metric == "rbf":
        builder.measure(*EXPANDED)
    numbers = {name: float(value) for name, value in parameters.items() if value is not None}
    return builder.add("pairwise", x, hint=hint, points=stored, metric=metric, **numbers)


def unit_points(points: Array) -> Array:
    """Points divided by their length as scikit-learn divides them."""
    from sklearn.preprocessing import normalize

    return np.asarray(normalize(points), dtype=np.float64)
