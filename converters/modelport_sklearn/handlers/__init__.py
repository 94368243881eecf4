"""One module per family of estimators; importing them registers their handlers."""

from . import (
    boosting,
    clustering,
    composition,
    decomposition,
    discretizing,
    encoding,
    forests,
    hist_boosting,
    imputing,
    linear,
    mlp,
    scaling,
    selecting,
    sgd,
    trees,
)

__all__ = [
    "boosting",
    "clustering",
    "composition",
    "decomposition",
    "discretizing",
    "encoding",
    "forests",
    "hist_boosting",
    "imputing",
    "linear",
    "mlp",
    "scaling",
    "selecting",
    "sgd",
    "trees",
]
