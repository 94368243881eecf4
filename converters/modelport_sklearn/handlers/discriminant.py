"""Discriminant analysis: linear (classes, or a projection) and quadratic."""

from __future__ import annotations

import math

import numpy as np

from ..builder import Builder, Prediction, Table
from ..dispatch import predicts, transforms
from ..ledger import Ledger
from .gaussian import whitened_log_density
from .linear import add_score, dense, two_class_probability

#: How the covariances were estimated; coef_, intercept_, scalings_ and rotations_ hold the result.
ESTIMATING = (
    "covariance_ covariance_estimator explained_variance_ratio_ n_components priors reg_param shrinkage store_covariance tol "
    "_n_features_out"
).split()


@predicts("LinearDiscriminantAnalysis")
def linear_discriminant(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """coef_ x + intercept_; the logistic function of it for two classes, else softmax."""
    ledger.waive(*ESTIMATING, "solver", "means_", "priors_", "scalings_", "xbar_", "_max_components")
    classes, score = ledger["classes_"], add_score(ledger, builder, table)
    if len(classes) == 2:
        probability = two_class_probability(builder, score)
    else:
        probability = builder.add("softmax", score, hint="probability")
    return Prediction(label=builder.label_of_score(score, classes), classes=classes, probability=probability, score=score)


@transforms("LinearDiscriminantAnalysis")
def linear_discriminant_projection(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """(x - xbar_) scalings_ (solver svd) or x scalings_ (solver eigen), the first components."""
    ledger.waive(*ESTIMATING, "means_", "priors_", "classes_", "coef_", "intercept_")
    solver = ledger.demand("solver", "svd", "eigen", instead="this solver finds no projection; use 'svd' or 'eigen'.")
    scalings, x = dense(ledger["scalings_"])[:, : ledger["_max_components"]], builder.matrix(table)
    if solver == "svd":
        x = builder.add("scale", x, hint="centered", sub=dense(ledger["xbar_"]))
    ledger.waive("xbar_")
    return builder.table(builder.add("linear", x, hint="projected", weight=np.ascontiguousarray(scalings.T)))


@predicts("QuadraticDiscriminantAnalysis")
def quadratic_discriminant(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Log prior plus the log density of each class (without its constant); the largest, and softmax of them."""
    ledger.waive(*ESTIMATING, "solver")
    classes, x, means = ledger["classes_"], builder.matrix(table), dense(ledger["means_"])
    scalings, rotations = ledger["scalings_"], ledger["rotations_"]  # float32 after a fit on float32 rows, and so is what follows
    centered = [builder.add("scale", x, hint="centered", sub=mean) for mean in means]
    matrices = [dense(r * s**-0.5) for r, s in zip(rotations, scalings, strict=True)]
    widths = np.array([matrix.shape[1] for matrix in matrices])
    with np.errstate(divide="ignore"):
        prior = dense(np.log(ledger["priors_"]))
    logs = dense([np.log(s).sum() for s in scalings])
    offsets = prior - 0.5 * logs + 0.5 * math.log(2 * math.pi) * widths
    zeros = [np.zeros(int(width)) for width in widths]
    scores = whitened_log_density(builder, centered, matrices, zeros, offsets)
    label = builder.label_of_largest(scores, classes)
    probability = builder.add("softmax", scores, hint="probability")
    score = scores
    if len(classes) == 2:
        first, second = (builder.add("select", scores, hint=f"score_{k}", index=[k]) for k in (0, 1))
        score = builder.scalar(builder.add("binary", second, first, hint="difference", fn="sub"), "decision")
    builder.probe_table(builder.table(scores), ledger.estimator._decision_function)
    return Prediction(label=label, classes=classes, probability=probability, score=score)
