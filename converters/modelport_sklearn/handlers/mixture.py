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
    """[k] log densities plus the offsets, whatever form the precisions have.

    After a fit on float32 rows means and factors are float32, and so is what scikit-learn computes from them alone.
    """
    kind, means, factors = ledger["covariance_type"], np.asarray(ledger["means_"]), np.asarray(ledger["precisions_cholesky_"])
    if kind in ("diag", "spherical"):
        if factors.dtype != np.float64:
            return _expanded(builder, x, kind, means, factors, offsets)
        deviations = factors if kind == "diag" else np.broadcast_to(factors[:, np.newaxis], means.shape)
        return builder.add("gaussian_ll", x, hint="log_density", mean=means, var=1.0 / deviations**2, log_prior=offsets)
    if kind == "tied":
        white = builder.add("linear", x, hint="white", weight=np.ascontiguousarray(_floats(factors).T))
        logs = np.full(len(means), np.log(np.diag(factors)).sum(), dtype=np.float64)
        centres, ones = _floats([mean @ factors for mean in means]), np.ones((len(means), len(factors)))
        return builder.add("gaussian_ll", white, hint="log_density", mean=centres, var=ones, log_prior=offsets + logs)
    if kind != "full":
        raise ledger.refuse("covariance_type", f"is {kind!r}, which is not known: use full, tied, diag or spherical.")
    logs = _floats(np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1))
    centres = [_floats(mean @ factor) for mean, factor in zip(means, factors, strict=True)]
    return whitened_log_density(builder, [x] * len(means), list(_floats(factors)), centres, offsets + logs)


def _expanded(builder: Builder, x: str, kind: str, means: Array, factors: Array, offsets: Array) -> str:
    """[k]: the log densities from x and x^2, whose coefficients scikit-learn rounds to the dtype of the factors one by one."""
    width, precisions = means.shape[1], factors**2
    if kind == "diag":
        constant, slope, curve = (means**2 * precisions).sum(axis=1), _floats(means * precisions), _floats(precisions)
        logs = np.log(factors).sum(axis=1)
    else:
        constant, slope = (means**2).sum(axis=1) * precisions, _floats(means) * _floats(precisions)[:, np.newaxis]
        curve, logs = np.broadcast_to(_floats(precisions)[:, np.newaxis], means.shape), width * np.log(factors)
    terms = builder.add("concat", x, builder.add("unary", x, hint="square", fn="square"), hint="terms")
    bias = offsets + _floats(logs) - 0.5 * (width * np.log(2 * np.pi) + _floats(constant))
    return builder.add("linear", terms, hint="log_density", weight=np.concatenate([slope, -0.5 * curve], axis=1), bias=bias)


def _floats(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64)
