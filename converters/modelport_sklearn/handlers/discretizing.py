"""Columns made of numbers by rule: Binarizer, KBinsDiscretizer, PolynomialFeatures."""

from __future__ import annotations

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from .encoding import one_hot


@transforms("Binarizer")
def binarizer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """1 where x > threshold, else 0."""
    threshold = builder.constant([ledger["threshold"]], "threshold")
    above = builder.add("binary", builder.matrix(table), threshold, hint="above", fn="gt")
    return builder.table(builder.add("cast", above, hint="binarized", to="f64"), table.names, sparse=table.sparse)


@transforms("KBinsDiscretizer")
def k_bins_discretizer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The number of inner edges e with e <= x, as a number or as a unit vector."""
    ledger.waive("n_bins", "strategy", "quantile_method", "subsample", "_encoder")  # bin_edges_ and n_bins_ say it
    dtype, encode, bins = ledger["dtype"], ledger["encode"], [int(k) for k in ledger["n_bins_"]]
    inner = [np.asarray(edges, dtype=np.float64)[1:-1] for edges in ledger["bin_edges_"]]
    x, held = builder.matrix(table), table.held if dtype is None else np.dtype(dtype).name
    if held == "float32":
        x = builder.add("cast", builder.add("cast", x, hint="single", to="f32"), hint="rounded", to="f64")
    sizes = np.array([len(edges) for edges in inner], dtype=np.int64)
    codes = builder.add("bucketize", x, hint="bin", edges=np.concatenate(inner or [np.zeros(0)]), sizes=sizes, side="right")
    if encode == "ordinal":
        return builder.table(builder.add("cast", codes, hint="binned", to="f64"), table.names, held=held)
    return one_hot(builder, builder.table(codes, table.names), bins, held=held, sparse=encode == "onehot")


@transforms("PolynomialFeatures")
def polynomial_features(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Products of powers. Dense rows are multiplied from the last factor to the first, sparse rows the other way round."""
    ledger.waive("degree", "interaction_only", "include_bias", "order")  # powers_ says it
    ledger.waive("_min_degree", "_max_degree", "_n_out_full")
    powers = _powers(ledger)
    if table.sparse:
        table, powers = table.select(range(len(table))[::-1]), powers[:, ::-1]
    product = builder.add("poly", builder.matrix(table), hint="product", powers=powers)
    return builder.table(product, sparse=table.sparse)


def _powers(ledger: Ledger) -> Array:
    ledger["n_output_features_"]
    powers = np.asarray(ledger.estimator.powers_, dtype=np.int64)
    if powers.size and powers.max() > 255:
        raise ledger.refuse("degree", "is above 255, the largest power an artifact carries: use a smaller one.")
    return powers
