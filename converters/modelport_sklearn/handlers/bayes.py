"""Naive Bayes: the joint log likelihood of a row and each class, its largest, and its softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger

#: Smoothing, priors and counts that the log probabilities were made from.
COUNTING = (
    "alpha category_count_ class_count_ class_prior class_prior_ epsilon_ feature_all_ feature_count_ fit_prior force_alpha "
    "min_categories norm priors sigma_ var_smoothing"
).split()

#: What is left of the last bit of a sum, relative to its size; from where on that shows in a probability; and which share of a
#: second class is one that matters, also where logarithms of probabilities are calibrated.
ROUNDING, VISIBLE, SHARE = 1.2e-16, 5e-13, 1e-25


def _classes_of(ledger: Ledger, builder: Builder, likelihood: str) -> Prediction:
    """The class of the largest joint log likelihood, ties to the first; softmax of them."""
    classes = ledger["classes_"]
    probability = builder.add("softmax", likelihood, hint="probability")
    label = builder.label_of_largest(likelihood, classes)
    if hasattr(ledger.estimator, "predict_joint_log_proba"):
        builder.probe_table(builder.table(likelihood), ledger.estimator.predict_joint_log_proba)
    return Prediction(label=label, classes=classes, probability=probability)


@predicts("GaussianNB")
def gaussian_nb(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """log prior plus the log density of each column's own normal distribution."""
    offset = _log(ledger["class_prior_"])
    ledger.waive(*COUNTING)
    mean, var = _floats(ledger["theta_"]), np.asarray(ledger["var_"])
    if var.dtype != np.float64:  # fitted on float32 rows: the sum of the logarithms is a float32
        offset = offset - 0.5 * (_log_sum(var) - _log_sum(_floats(var)))
    # the prior comes last, as in the original: beside a column of hardly any variance a density has no digits left for it
    density = builder.add("gaussian_ll", builder.matrix(table), hint="log_density", mean=mean, var=_floats(var))
    likelihood = builder.add("scale", density, hint="log_likelihood", add=offset)
    given = _classes_of(ledger, builder, likelihood)
    if given.probability is not None:
        builder.doubt(_lost_digits, likelihood, given.probability)
    return given


def _lost_digits(likelihood: Array, probability: Array) -> Array:
    """bool [n]: whether densities are so small that their last bits show in the probabilities.

    scikit-learn takes the logarithm of the sum off again, which is as coarse as the densities are: beside a column that hardly
    varied, a row that differs in it has a density of e^-1e9, and its probabilities have seven digits.
    """
    coarse = ~(ROUNDING * np.abs(likelihood).min(axis=1) <= VISIBLE)
    second = np.sort(probability, axis=1)[:, -2:-1].max(axis=1, initial=0.0)
    return np.asarray(coarse & ~(second <= SHARE))


def _log_sum(var: Array) -> Array:
    """Per class the sum of log(2 pi var), computed in the dtype of var."""
    return np.array([np.sum(np.log(2.0 * np.pi * row)) for row in var], dtype=np.float64)


@predicts("MultinomialNB")
def multinomial_nb(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Counts times feature_log_prob_, plus class_log_prior_."""
    ledger.waive(*COUNTING)
    return _weighted(ledger, builder, table, _floats(ledger["feature_log_prob_"]), _floats(ledger["class_log_prior_"]))


@predicts("ComplementNB")
def complement_nb(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Counts times feature_log_prob_ (of the other classes); the prior counts only where there is a single class."""
    ledger.waive(*COUNTING)
    prior = _floats(ledger["class_log_prior_"])
    bias = prior if len(prior) == 1 else None
    return _weighted(ledger, builder, table, _floats(ledger["feature_log_prob_"]), bias)


@predicts("BernoulliNB")
def bernoulli_nb(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Columns above `binarize` count with log p, the others with log(1 - p)."""
    ledger.waive(*COUNTING)
    present = _floats(ledger["feature_log_prob_"])
    with np.errstate(divide="ignore", invalid="ignore"):
        absent = np.log(1 - np.exp(present))
        weight, bias = present - absent, _floats(ledger["class_log_prior_"]) + absent.sum(axis=1)
    bound = ledger["binarize"]
    if bound is not None:
        above = builder.add("binary", builder.matrix(table), builder.constant([bound], "bound"), hint="above", fn="gt")
        table = builder.table(builder.add("cast", above, hint="binary", to="f64"), sparse=table.sparse)
    return _weighted(ledger, builder, table, weight, bias)


def _weighted(ledger: Ledger, builder: Builder, table: Table, weight: Array, bias: Array | None) -> Prediction:
    if table.sparse and not np.isfinite(weight).all():
        raise ledger.refuse(
            "feature_log_prob_",
            "holds an infinite number, which scikit-learn leaves out where a sparse row has no entry: fit with alpha above 0.",
        )
    likelihood = builder.add("linear", builder.matrix(table), hint="log_likelihood", weight=weight, bias=bias)
    return _classes_of(ledger, builder, likelihood)


@predicts("CategoricalNB")
def categorical_nb(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The log probability of each column's category, summed column by column, plus class_log_prior_.

    A cell is truncated to its category; one that was not counted (unseen or negative) is refused, as the original does. Category
    times the number of columns, plus the column, is a key of its own for every category of every column.
    """
    ledger.waive(*COUNTING)
    tables: list[Array] = ledger["feature_log_prob_"]
    counted, columns = np.asarray(ledger["n_categories_"]), len(tables)
    if any(t.shape[1] != n for t, n in zip(tables, counted, strict=True)):
        raise ledger.refuse("n_categories_", "does not fit feature_log_prob_: fit the model again.")
    keys = np.concatenate([np.arange(n, dtype=np.float64) * columns + j for j, n in enumerate(counted)])
    values = np.concatenate(tables, axis=1)
    category = builder.add("unary", builder.matrix(table), hint="category", fn="trunc")
    place = builder.add("scale", category, hint="place", mul=[float(columns)], add=np.arange(columns, dtype=np.float64))
    sums = []
    for row in values:
        each = builder.add("lookup", place, hint="log_probability", keys=keys, values=np.ascontiguousarray(row))
        sums.append(builder.add("reduce", each, hint="log_probability_sum", fn="sum", keep=True))
    total = builder.add("concat", *sums, hint="log_probability_sums")
    prior = builder.constant(ledger["class_log_prior_"], "log_prior")
    return _classes_of(ledger, builder, builder.add("binary", total, prior, hint="log_likelihood", fn="add"))


def _floats(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64)


def _log(values: Any) -> Array:
    """Logarithms, taken in the dtype of the values."""
    with np.errstate(divide="ignore"):
        return _floats(np.log(values))
