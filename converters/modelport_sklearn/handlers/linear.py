"""Linear models: regressors, generalised linear regressors, and classifiers by the sign or the largest of their scores."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predict, predicts
from ..ledger import Ledger
from ..versions import sklearn_version

#: What governs or records the fit alone, whatever the linear model; coef_ and intercept_ hold all that predicts.
FITTING = (
    "active_ alpha alpha_ alpha_1 alpha_2 alpha_init alpha_per_target alphas alphas_ best_score_ breakdown_ C class_weight "
    "coef_path_ compute_score criterion criterion_ cv cv_alphas_ cv_results_ cv_values_ dual dual_gap_ early_stopping eps "
    "eps_ epsilon eta0 fit_intercept fit_path gcv_mode intercept_scaling is_clf jitter l1_ratio l1_ratio_ lambda_ lambda_1 "
    "lambda_2 lambda_init learning_rate loss max_iter max_n_alphas max_subpopulation mse_path_ n_alphas n_iter n_iter_ "
    "n_iter_no_change n_nonzero_coefs n_nonzero_coefs_ n_subpopulation_ n_subsamples noise_variance noise_variance_ "
    "normalize outliers_ penalty positive power_t precompute quantile rank_ scale_ scores_ scoring selection shuffle sigma_ "
    "singular_ solver solver_ solver_options store_cv_results store_cv_values threshold_lambda tol validation_fraction "
    "X_offset_ X_scale_ _alphas _store_cv_results"
).split()

#: How RANSACRegressor chose the inliers.
RANSAC_FITTING = (
    "base_estimator estimator inlier_mask_ is_data_valid is_model_valid loss max_skips max_trials min_samples "
    "n_skips_invalid_data_ n_skips_invalid_model_ n_skips_no_inliers_ n_trials_ residual_threshold stop_n_inliers "
    "stop_probability stop_score"
).split()

#: LogisticRegression and LogisticRegressionCV.
LOGISTIC_FITTING = "C C_ Cs Cs_ coefs_paths_ l1_ratios l1_ratios_ refit use_legacy_attributes".split()


def dense(values: Any) -> Array:
    """Coefficients as an f64 array; sparsify() leaves them sparse."""
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)


def add_linear(builder: Builder, table: Table, coef: Any, intercept: Any, hint: str) -> str:
    """coef x + intercept: rank 0 where scikit-learn gives (n,), else [targets]."""
    weight, bias = dense(coef), dense(intercept)
    flat = weight.ndim == 1
    weight = np.atleast_2d(weight)
    bias = np.broadcast_to(bias, (len(weight),))
    value = builder.add(
        "linear", builder.matrix(table), hint="value" if flat else hint, weight=weight, bias=bias if bias.any() else None
    )
    return builder.scalar(value, hint) if flat else value


# --- regressors ---------------------------------------------------------------------------------------------------------------


@predicts(
    "ARDRegression",
    "BayesianRidge",
    "ElasticNet",
    "ElasticNetCV",
    "HuberRegressor",
    "Lars",
    "LarsCV",
    "Lasso",
    "LassoCV",
    "LassoLars",
    "LassoLarsCV",
    "LassoLarsIC",
    "LinearRegression",
    "LinearSVR",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "OrthogonalMatchingPursuit",
    "OrthogonalMatchingPursuitCV",
    "QuantileRegressor",
    "Ridge",
    "RidgeCV",
    "TheilSenRegressor",
)
def linear_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """coef_ x + intercept_."""
    ledger.waive(*FITTING)
    return Prediction(prediction=add_linear(builder, table, ledger["coef_"], ledger["intercept_"], "prediction"))


@predicts("GammaRegressor", "PoissonRegressor", "TweedieRegressor")
def generalized_linear_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The inverse link (identity or exp) of coef_ x + intercept_."""
    ledger.waive(*FITTING, "power", "link")
    link = type(ledger["_base_loss"].link).__name__
    if link not in ("IdentityLink", "LogLink"):
        raise ledger.refuse("_base_loss", f"has the link {link}, which no step expresses: use link='log' or link='identity'.")
    identity = link == "IdentityLink"
    value = add_linear(builder, table, ledger["coef_"], ledger["intercept_"], "prediction" if identity else "log_prediction")
    return Prediction(prediction=value if identity else builder.add("unary", value, hint="prediction", fn="exp"))


@predicts("RANSACRegressor")
def ransac(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What estimator_, fitted on the inliers, predicts; it is given rows without names."""
    ledger.waive(*RANSAC_FITTING)
    unnamed = Table(tuple(replace(column, name=None) for column in table.columns), table.sparse)
    with builder.within(np.asarray):
        return predict(ledger["estimator_"], builder, unnamed)


# --- classifiers --------------------------------------------------------------------------------------------------------------


def add_score(ledger: Ledger, builder: Builder, table: Table) -> str:
    """What decision_function gives: rank 0 for two classes (or a single one), else one score per class."""
    score = add_linear(builder, table, np.atleast_2d(dense(ledger["coef_"])), ledger["intercept_"], "score")
    if builder.width(score) == 1:
        score = builder.scalar(score, "decision")
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    return score


def label_of(ledger: Ledger, builder: Builder, score: str) -> str:
    """The class by the sign of the score or the largest of them; a single class, which a score above 0 must not leave."""
    classes = ledger["classes_"]
    if len(classes) > 1:
        return builder.label_of_score(score, classes)
    if dense(ledger["coef_"]).any() or (dense(ledger["intercept_"]) > 0).any():
        raise ledger.refuse("coef_", "leads away from the only class there is: fit it on two classes or more.")
    return builder.only_label(classes)


def one_vs_rest_probability(builder: Builder, positive: str, *, heals_zeros: bool) -> str:
    """Probabilities [k] of one-vs-rest classifiers divided by their sum; a row of zeros becomes 1/k each where that is healed.

    The logistic ones of scikit-learn before 1.9 give NaN for it.
    """
    total = builder.add("reduce", positive, hint="total", fn="sum", keep=True)
    if not heals_zeros:
        return builder.add("binary", positive, total, hint="probability", fn="div")
    zero, one = builder.constant([0.0], "zero"), builder.constant([1.0], "one")
    none = builder.add("binary", total, zero, hint="all_zero", fn="eq")
    return builder.add("normalize", builder.add("where", none, one, positive, hint="weight"), hint="probability", norm="l1")


def two_class_probability(builder: Builder, score: str, factor: float | None = None) -> str:
    """[1 - p, p] with p the logistic function of the score (times a factor)."""
    if factor is not None:
        score = builder.add("scale", score, hint="logit", mul=[factor])
    return builder.add("two_class", builder.add("unary", score, hint="p", fn="sigmoid"), hint="probability")


@predicts("LogisticRegression", "LogisticRegressionCV")
def logistic_regression(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """argmax of coef_ x + intercept_; the logistic function of it for two classes, else softmax (or one-vs-rest of old fits)."""
    rule = _logistic_rule(ledger)
    ledger.waive(*FITTING, *LOGISTIC_FITTING)
    score = add_score(ledger, builder, table)
    if rule == "logistic":
        probability = two_class_probability(builder, score)
    elif rule == "doubled":
        probability = two_class_probability(builder, score, 2.0)
    elif rule == "softmax":
        probability = builder.add("softmax", score, hint="probability")
    else:
        positive = builder.add("unary", score, hint="p", fn="sigmoid")
        probability = one_vs_rest_probability(builder, positive, heals_zeros=sklearn_version() >= (1, 9))
    return Prediction(
        label=builder.label_of_score(score, ledger["classes_"]), classes=ledger["classes_"], probability=probability, score=score
    )


def _logistic_rule(ledger: Ledger) -> str:
    """How scores become probabilities: "logistic", "doubled" (two classes by softmax of [-s, s]), "softmax" or "one_vs_rest".

    Before 1.8 the parameter multi_class decided. A fit that says something else than what the installed version does is refused:
    its probabilities would not be those it was trained to give.
    """
    model, two = ledger.estimator, len(ledger["classes_"]) == 2
    wanted = ledger.get("multi_class", "auto")
    one_vs_rest = wanted == "ovr" or (wanted in ("auto", "deprecated", "warn") and (two or ledger["solver"] == "liblinear"))
    if one_vs_rest:
        rule = "logistic" if two else "one_vs_rest"
    else:
        rule = "doubled" if two else "softmax"
    if "multi_class" in inspect.signature(type(model).__init__).parameters:
        return rule
    if rule != ("logistic" if two else "softmax"):
        raise ledger.misjudged(
            "multi_class",
            f"is {wanted!r} (solver {ledger['solver']!r}) from an older scikit-learn, and the installed one no longer heeds it: "
            "refit the model (with OneVsRestClassifier for one-vs-rest).",
        )
    return rule


@predicts("LinearSVC")
def linear_svc(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """argmax of coef_ x + intercept_, or its sign for two classes."""
    ledger.waive(*FITTING, "multi_class")
    score = add_score(ledger, builder, table)
    return Prediction(label=builder.label_of_score(score, ledger["classes_"]), classes=ledger["classes_"], score=score)


@predicts("RidgeClassifier", "RidgeClassifierCV")
def ridge_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """As LinearSVC; with several labels per row, 1 for every label whose score is above 0."""
    ledger.waive(*FITTING)
    kind = ledger["_label_binarizer"].y_type_
    if not kind.startswith("multilabel"):
        score = add_score(ledger, builder, table)
        return Prediction(label=label_of(ledger, builder, score), classes=ledger["classes_"], score=score)
    score = add_linear(builder, table, ledger["coef_"], ledger["intercept_"], "score")
    return Prediction(label=labels_above(builder, score, 0.0), classes=ledger["classes_"], score=score)


def labels_above(builder: Builder, values: str, bound: float) -> str:
    """i64 1 for every column above a bound, else 0."""
    above = builder.add("binary", values, builder.constant([bound], "bound"), hint="above", fn="gt")
    return builder.add("cast", above, hint="label", to="i64")
