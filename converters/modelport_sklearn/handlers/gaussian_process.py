"""Gaussian processes: the posterior mean for regression, Laplace's approximation for classification."""

from __future__ import annotations

import numpy as np

from ..builder import Array, Builder, Prediction, Table, labels_table
from ..dispatch import predict, predicts
from ..ledger import Ledger
from .covariance_functions import Covariance
from .linear import dense
from .pairwise_kernels import EXPANDED

#: How the hyper-parameters in kernel_ were found.
FITTING = (
    "kernel optimizer n_restarts_optimizer copy_X_train max_iter_predict log_marginal_likelihood_value_ y_train_ rng _rng "
    "f_cached n_targets"
).split()

#: Williams and Barber (1998): the logistic function as a sum of five error functions (sklearn.gaussian_process._gpc).
LAMBDAS = np.array([0.41, 0.4, 0.37, 0.44, 0.39])
COEFS = np.array([-1854.8214151, 3516.89893646, 221.29346712, 128.12323805, -2010.49422654])


@predicts("GaussianProcessRegressor")
def gaussian_process_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The covariances with the training rows times alpha_, scaled back to the targets."""
    ledger.waive(*FITTING, "alpha", "normalize_y", "L_")
    points, weights = dense(ledger["X_train_"]), dense(ledger["alpha_"])
    kernel = Covariance(builder, builder.matrix(table), points).with_points(ledger["kernel_"])
    weights = weights.reshape(len(weights), -1).T
    scale, shift = (np.atleast_1d(np.asarray(ledger[name], dtype=np.float64)) for name in ("_y_train_std", "_y_train_mean"))
    flat = len(weights) == 1
    value = builder.add("linear", kernel, hint="posterior", weight=np.ascontiguousarray(weights))
    value = builder.add("scale", value, hint="value" if flat else "prediction", mul=scale, add=shift)
    sizes = np.abs(weights).T * np.abs(scale)
    builder.measure(*EXPANDED)  # large weights of alpha_ may cancel at the training rows
    usual = (np.abs(ledger.estimator.kernel_(points, points)) @ sizes).max(axis=0)
    builder.doubt(lambda k, v: _cancels(np.abs(k) @ sizes, v.reshape(len(v), -1), shift, usual), kernel, value)
    return Prediction(prediction=builder.scalar(value, "prediction") if flat else value)


def _cancels(terms: Array, value: Array, shift: Array, usual: Array) -> Array:
    """bool [n]: rows far outside the training rows whose terms cancel, so that fewer than twelve digits of the sum are left."""
    outside = ~(terms <= 10 * usual)
    return np.asarray((outside & ~(np.abs(value) + np.abs(shift) > 2e-4 * terms)).any(axis=1))


@predicts("GaussianProcessClassifier")
def gaussian_process_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Two classes: one process; more: one against the rest, or one against one."""
    ledger.waive(*FITTING, "warm_start")
    found = predict(ledger["base_estimator_"], builder, table)
    pairs = ledger["multi_class"] == "one_vs_one" and len(ledger["classes_"]) > 2
    ledger.waive("n_classes_")
    if pairs:
        return Prediction(label=found.label, classes=ledger["classes_"])  # neither scores nor probabilities are offered
    return Prediction(label=found.label, classes=ledger["classes_"], probability=found.probability)


@predicts("_BinaryGaussianProcessClassifierLaplace")
def laplace_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The second class where the latent mean is above 0; its probability is the logistic function averaged over latents."""
    ledger.waive(*FITTING, "warm_start")
    points, classes = dense(ledger["X_train_"]), ledger["classes_"]
    pull = np.asarray(ledger.estimator.y_train_ - ledger["pi_"], dtype=np.float64)
    covariance = Covariance(builder, builder.matrix(table), points)
    kernel = covariance.with_points(ledger["kernel_"])
    mean = builder.add("linear", kernel, hint="latent_mean", weight=pull[None, :])
    size = np.abs(pull)[:, None]
    # far from every training row the mean is exactly 0, and the first class is meant
    builder.doubt(lambda k, m: ~(np.abs(m[:, 0]) > 1e-13 * (np.abs(k) @ size)[:, 0]) & (k != 0).any(axis=1), kernel, mean)
    variance = _latent_variance(ledger, covariance, kernel)
    above = builder.add("binary", builder.scalar(mean, "latent"), builder.constant(0.0, "zero"), hint="is_above", fn="gt")
    index = builder.add("cast", above, hint="index", to="i64")
    label = builder.add("take", index, hint="label", table=labels_table(classes))
    return Prediction(label=label, classes=classes, probability=_averaged(builder, mean, variance))


def _latent_variance(ledger: Ledger, covariance: Covariance, kernel: str) -> str:
    """[1]: the row's own variance minus |L^-1 (w * k)|^2."""
    builder, root = covariance.builder, np.asarray(ledger["W_sr_"], dtype=np.float64)
    lower = np.asarray(ledger["L_"], dtype=np.float64)
    inverse = np.linalg.solve(lower, np.diag(root))
    explained = builder.add("linear", kernel, hint="explained", weight=inverse)
    square = builder.add("unary", explained, hint="squares", fn="square")
    total = builder.add("reduce", square, hint="explained_variance", fn="sum", keep=True)
    own = covariance.own(ledger.estimator.kernel_)
    own = builder.constant([own], "own_variance") if isinstance(own, float) else own
    return builder.add("binary", own, total, hint="latent_variance", fn="sub")


def _averaged(builder: Builder, mean: str, variance: str) -> str:
    """[1 - p, p] with p the sum over five error functions.

    sqrt(pi / alpha) / (2 sqrt(2 pi variance)) with alpha = 1 / (2 variance) is kept as it is computed.
    """
    alpha = builder.add("unary", builder.add("scale", variance, hint="doubled", mul=[2.0]), hint="alpha", fn="reciprocal")
    gamma = builder.add("binary", builder.constant(LAMBDAS, "lambdas"), mean, hint="gamma", fn="mul")
    below = builder.add("binary", alpha, builder.constant(LAMBDAS**2, "lambdas_squared"), hint="alpha_and_lambda", fn="add")
    share = builder.add("unary", builder.add("binary", alpha, below, hint="share", fn="div"), hint="root_share", fn="sqrt")
    errors = builder.add("unary", builder.add("binary", gamma, share, hint="argument", fn="mul"), hint="erf", fn="erf")
    pi = builder.constant([np.pi], "pi")
    width = builder.add("unary", builder.add("binary", pi, alpha, hint="pi_alpha", fn="div"), hint="width", fn="sqrt")
    spread = builder.add("unary", builder.add("scale", variance, hint="spread", mul=[2 * np.pi]), hint="spread", fn="sqrt")
    weighted = builder.add("binary", width, errors, hint="weighted", fn="mul")
    integrals = builder.add("binary", weighted, builder.add("scale", spread, hint="twice", mul=[2.0]), hint="integrals", fn="div")
    p = builder.add("linear", integrals, hint="p", weight=COEFS[None, :], bias=[0.5 * float(COEFS.sum())])
    return builder.add("two_class", p, hint="probability")
