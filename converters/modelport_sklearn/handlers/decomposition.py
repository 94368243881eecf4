"""Projections: PCA and its kin, TruncatedSVD, FactorAnalysis, FastICA, SparsePCA, and the hidden units of BernoulliRBM."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger

#: How the components were found.
PCA_FITTING = (
    "batch_size batch_size_ explained_variance_ratio_ iterated_power n_components n_components_ n_features_ n_oversamples "
    "n_samples_ n_samples_seen_ noise_variance_ power_iteration_normalizer singular_values_ svd_solver tol var_ _fit_svd_solver"
).split()


@transforms("PCA", "IncrementalPCA")
def pca(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """x components_' - mean_ components_', divided by the standard deviations when whitened."""
    ledger.waive(*PCA_FITTING)
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


@transforms("FactorAnalysis")
def factor_analysis(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The expected factors: (x - mean_) W' (I + W components_')^-1 with W = components_ / noise_variance_."""
    ledger.waive("n_components", "tol", "max_iter", "svd_method", "noise_variance_init", "iterated_power", "rotation")
    ledger.waive("loglike_", "n_iter_")
    components = _floats(ledger["components_"])
    weighted = components / _floats(ledger["noise_variance_"])
    covariance = np.linalg.inv(np.eye(len(components)) + weighted @ components.T)
    return _centred_projection(builder, table, ledger["mean_"], covariance.T @ weighted)


@transforms("FastICA")
def fast_ica(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """(x - mean_) components_', without the mean where nothing was whitened."""
    ledger.waive("n_components", "algorithm", "fun", "fun_args", "max_iter", "tol", "w_init", "whiten_solver")
    ledger.waive("n_iter_", "whitening_", "mixing_", "_unmixing", "_whiten")
    ledger.waive("mean_")
    mean = ledger["mean_"] if ledger["whiten"] else None
    return _centred_projection(builder, table, mean, ledger["components_"])


@transforms("SparsePCA", "MiniBatchSparsePCA")
def sparse_pca(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The ridge regression of x - mean_ on the components: (C C' + ridge_alpha I)^-1 C (x - mean_)."""
    ledger.waive("n_components", "n_components_", "alpha", "max_iter", "tol", "method", "U_init", "V_init", "n_iter_", "error_")
    ledger.waive("callback", "batch_size", "shuffle", "max_no_improvement", "n_iter")
    if np.asarray(ledger["components_"]).dtype != np.float64:
        raise ledger.refuse(
            "components_",
            "are float32, since it was fitted on float32 rows, and then it solves for every row in float32, where machines "
            "differ in the last digits: fit it on float64 rows.",
        )
    components = _floats(ledger["components_"])
    gram = components @ components.T
    gram.flat[:: len(gram) + 1] += ledger["ridge_alpha"]
    return _centred_projection(builder, table, ledger["mean_"], np.linalg.solve(gram, components))


@transforms("BernoulliRBM")
def bernoulli_rbm(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The probability of every hidden unit: the logistic function of x components_' + intercept_hidden_."""
    ledger.waive("n_components", "learning_rate", "batch_size", "n_iter", "_n_features_out", "intercept_visible_", "h_samples_")
    x, bias = builder.matrix(table), _floats(ledger["intercept_hidden_"])
    field = builder.add("linear", x, hint="field", weight=_floats(ledger["components_"]), bias=bias)
    return builder.table(builder.add("unary", field, hint="hidden", fn="sigmoid"))


def _centred_projection(builder: Builder, table: Table, mean: Any, weight: Any) -> Table:
    x = builder.matrix(table)
    if mean is not None:
        x = builder.add("scale", x, hint="centred", sub=_floats(mean))
    return builder.table(builder.add("linear", x, hint="projected", weight=_floats(weight)))


def _floats(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64)
