"""Linear models fitted by stochastic gradient descent: SGD*, Perceptron, PassiveAggressive*."""

from __future__ import annotations

from ..builder import Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger
from ..versions import sklearn_version
from .linear import FITTING, add_linear, add_score, dense, one_vs_rest_probability, two_class_probability
from .outliers import inlier_label

#: With average=True coef_ already holds the average: the other copies serve partial_fit.
SGD_FITTING = (
    "average average_coef_ average_intercept_ loss_function_ standard_coef_ standard_intercept_ t_ _average_coef "
    "_average_intercept _expanded_class_weight _loss_function_ _standard_coef _standard_intercept"
).split()


@predicts("SGDRegressor", "PassiveAggressiveRegressor")
def sgd_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """coef_ x + intercept_."""
    ledger.waive(*FITTING, *SGD_FITTING)
    return Prediction(prediction=add_linear(builder, table, ledger["coef_"], ledger["intercept_"], "prediction"))


@predicts("SGDClassifier", "Perceptron", "PassiveAggressiveClassifier")
def sgd_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """argmax (or the sign, for two classes) of the scores; the losses log_loss and modified_huber also give probabilities."""
    ledger.waive(*FITTING, *SGD_FITTING)
    classes, score = ledger["classes_"], add_score(ledger, builder, table)
    label = builder.label_of_score(score, classes)
    probability = None
    if ledger.name == "SGDClassifier" and ledger["loss"] == "log_loss":
        probability = _log_loss_probability(builder, score, len(classes))
    elif ledger.name == "SGDClassifier" and ledger["loss"] == "modified_huber":
        probability = _modified_huber_probability(builder, score, len(classes))
    return Prediction(label=label, classes=classes, probability=probability, score=score)


def _log_loss_probability(builder: Builder, score: str, classes: int) -> str:
    if classes == 2:
        return two_class_probability(builder, score)
    positive = builder.add("unary", score, hint="p", fn="sigmoid")
    return one_vs_rest_probability(builder, positive, heals_zeros=sklearn_version() >= (1, 9))


def _modified_huber_probability(builder: Builder, score: str, classes: int) -> str:
    """(clip(score, -1, 1) + 1) / 2."""
    clipped = builder.add("clip", score, hint="clipped", min_=[-1.0], max_=[1.0])
    p = builder.add("scale", clipped, hint="p", sub=[-1.0], div=[2.0])
    return (
        builder.add("two_class", p, hint="probability") if classes == 2 else one_vs_rest_probability(builder, p, heals_zeros=True)
    )


@predicts("SGDOneClassSVM")
def sgd_one_class(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """coef_ x - offset_, and whether it is at least 0."""
    ledger.waive(*FITTING, *SGD_FITTING, "nu")
    score = add_linear(builder, table, dense(ledger["coef_"]).reshape(-1), -dense(ledger["offset_"]), "score")
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    return Prediction(label=inlier_label(builder, score), score=score, role="anomaly")
