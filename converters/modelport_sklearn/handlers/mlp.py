"""Multi-layer perceptrons: MLP*."""

from __future__ import annotations

import numpy as np

from ..builder import Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger
from .linear import labels_above

TRAINING = (
    "alpha batch_size best_loss_ best_validation_score_ beta_1 beta_2 early_stopping epsilon hidden_layer_sizes "
    "learning_rate learning_rate_init loss loss_ loss_curve_ max_fun max_iter momentum n_iter_ n_iter_no_change n_layers_ "
    "n_outputs_ nesterovs_momentum power_t shuffle solver t_ tol validation_fraction validation_scores_ _best_coefs "
    "_best_intercepts _coef_indptr _intercept_indptr _no_improvement_count _optimizer _random_state"
).split()

HIDDEN = {"identity": None, "logistic": "sigmoid", "relu": "relu", "tanh": "tanh"}


@predicts("MLPRegressor")
def mlp_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Layers; the last one is plain, or exp for the Poisson loss."""
    value = _layers(ledger, builder, table)
    if ledger.demand("out_activation_", "identity", "exp", instead="use MLPRegressor as scikit-learn fits it.") == "exp":
        value = builder.add("unary", value, hint="prediction", fn="exp")
    return Prediction(prediction=builder.scalar(value, "prediction") if builder.width(value) == 1 else value)


@predicts("MLPClassifier")
def mlp_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Layers, then softmax and the largest; with two classes or several labels per row the logistic function and above 0.5."""
    classes, binarizer = ledger["classes_"], ledger["_label_binarizer"]
    value = _layers(ledger, builder, table)
    if ledger.demand("out_activation_", "softmax", "logistic", instead="use MLPClassifier as scikit-learn fits it.") == "softmax":
        probability = builder.add("softmax", value, hint="probability")
        return Prediction(label=builder.label_of_largest(probability, classes), classes=classes, probability=probability)
    if binarizer.y_type_.startswith("multilabel"):
        probability = builder.add("unary", value, hint="probability", fn="sigmoid")
        return Prediction(label=labels_above(builder, probability, 0.5), classes=classes, probability=probability)
    probability = builder.add("two_class", builder.add("unary", value, hint="p", fn="sigmoid"), hint="probability")
    if len(classes) == 1:  # the label is known, whatever the network answers
        label = builder.only_label(classes)
    else:
        label = builder.label_of_largest(probability, classes)
    return Prediction(label=label, classes=classes, probability=probability)


def _layers(ledger: Ledger, builder: Builder, table: Table) -> str:
    """coefs_ x + intercepts_ layer by layer, the activation after all but the last."""
    ledger.waive(*TRAINING)
    weights, biases = ledger["coefs_"], ledger["intercepts_"]
    fn = HIDDEN[ledger.demand("activation", *HIDDEN, instead=f"use one of {', '.join(HIDDEN)}.")]
    value = builder.matrix(table)
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        last = number == len(weights) - 1
        hint = "output" if last else f"layer_{number + 1}"
        value = builder.add("linear", value, hint=hint, weight=weight.T.astype(np.float64), bias=bias.astype(np.float64))
        if not last and fn:
            value = builder.add("unary", value, hint=f"activation_{number + 1}", fn=fn)
    return value
