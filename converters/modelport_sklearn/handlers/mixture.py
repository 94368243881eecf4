"""Mixtures of normal distributions: the component a row most likely comes from, and the share of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger
from .gaussian import whitened_log_density

#: Priors, start values and records of the fit; means_, precisions_cholesky_ and the weights hold the result.
FITTING = (
    "converged_ covariance_prior covariance_prior_ covariances_ degrees_of_freedom_prior degrees_of_freedom_prior_ init_params "
    "lower_bound_ lower_bounds_ max_iter mean_precision_prior mean_precision_prior_ mean_prior mean_prior_ means_init "
    "n_components n_init n_iter_ precisions_ precisions_init reg_covar tol verbose_interval weight_concentration_prior "
    "weight_concentration_prior_ weights_init"
).split()


@predicts("GaussianMixture")
def gaussian_mixture(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """log weight plus log density of each component."""
    ledger.waive(*FITTING)
    ledger["weights_"]
    return _components(ledger, builder, table, np.zeros(len(ledger["means_"])))


@predicts("BayesianGaussianMixture")
def bayesian_mixture(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The same, with the expected log weights and log densities of the variational posterior."""
    ledger.waive(*FITTING, "weight_concentration_prior_type", "weight_concentration_", "weights_")
    means, freedom, precision = ledger["means_"], ledger["degrees_of_freedom_"], ledger["mean_precision_"]
    return _components(ledger, builder, table, _expected(means.shape[1], freedom, precision))


def _expected(width: int, freedom: Array, precision: Array) -> Array:
    """[k]: what the uncertainty of means and precisions adds to the log densities."""
    from scipy.special import digamma

    log_lambda = width * np.log(2.0) + digamma(0.5 * (freedom - np.arange(width)[:, np.newaxis])).sum(axis=0)
    return np.asarray(-0.5 * width * np.log(freedom) + 0.5 * (log_lambda - width / precision))


def _components(ledger: Ledger, builder: Builder, table: Table, extra: Array) -> Prediction:
    weights = np.asarray(ledger.estimator._estimate_log_weights(), dtype=np.float64)
    density = _log_density(ledger, builder, builder.matrix(table), weights + extra)
    probability = builder.add("softmax", density, hint="probability")
    builder.probe_table(builder.table(probability), ledger.estimator.predict_proba)
    cluster = builder.add("reduce", density, hint="cluster", fn="argmax")
    return Prediction(cluster=cluster, probability=probability)


def _log_density(ledger: Ledger, builder: Builder, x: str, offsets: Array) -> str:
    """[k] log densities plus the offsets, whatever form the precisions have."""
    kind, means, factors = ledger["covariance_type"], _floats(ledger["means_"]), _floats(ledger["precisions_cholesky_"])
    if kind in ("diag", "spherical"):
        deviations = factors if kind == "diag" else np.broadcast_to(factors[:, np.newaxis], means.shape)
        return builder.add("gaussian_ll", x, hint="log_density", mean=means, var=1.0 / deviations**2, log_prior=offsets)
    if kind == "tied":
        white = builder.add("linear", x, hint="white", weight=np.ascontiguousarray(factors.T))
        logs = np.full(len(means), np.log(np.diag(factors)).sum())
        ones = np.ones((len(means), len(factors)))
        return builder.add("gaussian_ll", white, hint="log_density", mean=means @ factors, var=ones, log_prior=offsets + logs)
    if kind != "full":
        raise ledger.refuse("covariance_type", f"is {kind!r}, which is not known: use full, tied, diag or spherical.")
    logs = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    centres = [mean @ factor for mean, factor in zip(means, factors, strict=True)]
    return whitened_log_density(builder, [x] * len(means), list(factors), centres, offsets + logs)


def _floats(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64)
