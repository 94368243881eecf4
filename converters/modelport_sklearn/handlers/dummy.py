"""DummyClassifier and DummyRegressor: the same answer for every row."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table, labels_table
from ..dispatch import predicts
from ..ledger import Ledger


@predicts("DummyRegressor")
def dummy_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """constant_: a mean, a median, a quantile or what the user said."""
    ledger.waive("strategy", "constant", "quantile")
    values = np.asarray(ledger["constant_"], dtype=np.float64).reshape(-1)
    if ledger["n_outputs_"] > 1:
        return Prediction(prediction=builder.constant(np.broadcast_to(values, ledger["n_outputs_"]), "prediction"))
    return Prediction(prediction=builder.constant(values[0], "prediction"))


@predicts("DummyClassifier")
def dummy_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The most frequent class or a constant one, with its share of the training rows or certainty; never a random one."""
    ledger.waive("strategy")
    strategy = ledger["_strategy"]
    if strategy not in ("most_frequent", "prior", "constant"):
        raise ledger.refuse(
            "strategy", f"is {strategy!r} and draws at random, so no two answers are the same: use 'prior' or 'most_frequent'."
        )
    if ledger.get("sparse_output_", False):
        raise ledger.refuse("sparse_output_", "is true: fit it on labels that are no sparse matrix.")
    many = ledger["n_outputs_"] > 1
    ledger.waive("n_classes_", "constant")
    classes: list[Array] = ledger["classes_"] if many else [ledger["classes_"]]
    priors: list[Array] = ledger["class_prior_"] if many else [ledger["class_prior_"]]
    chosen = _chosen(ledger, strategy, classes, priors)
    shares = [p if strategy == "prior" else np.eye(len(p))[k] for p, k in zip(priors, chosen, strict=True)]
    labels = labels_table(_labels(ledger, strategy, classes, chosen))
    label = builder.add("constant", hint="label", value=labels if many else labels.reshape(()))
    values = tuple(builder.constant(share, "probability") for share in shares)
    if many:
        return Prediction(label=label, classes=classes, probabilities=values)
    return Prediction(label=label, classes=classes[0], probability=values[0])


def _chosen(ledger: Ledger, strategy: str, classes: list[Array], priors: list[Array]) -> list[int]:
    """The index of the answer, per output."""
    if strategy != "constant":
        return [int(np.argmax(prior)) for prior in priors]
    constants = np.atleast_1d(ledger.estimator.constant).reshape(-1).tolist()
    return [next(i for i, c in enumerate(k.tolist()) if c == wanted) for k, wanted in zip(classes, constants, strict=True)]


def _labels(ledger: Ledger, strategy: str, classes: list[Array], chosen: list[int]) -> Any:
    """[outputs] as `predict` gives them, in the type that fits all outputs."""
    if strategy == "constant":
        return np.atleast_1d(ledger.estimator.constant).reshape(-1)
    return np.asarray([k[i] for k, i in zip(classes, chosen, strict=True)])
