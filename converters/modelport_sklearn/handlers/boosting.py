"""Gradient boosting with exact splits: GradientBoosting*."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table, labels_table
from ..dispatch import PREDICTORS, computes_in_double, known_class, predict, predicts
from ..ledger import Ledger
from ..versions import sklearn_version
from .linear import generalized_linear_regressor, linear_regressor, logistic_regression, two_class_probability
from .sgd import sgd_classifier, sgd_regressor
from .tree_arrays import sklearn_nodes, tree_attributes
from .trees import GROWING, inner_trees

STAGES = (
    "alpha init loss loss_ n_estimators n_estimators_ n_iter_no_change n_trees_per_iteration_ oob_improvement_ oob_score_ "
    "oob_scores_ presort subsample tol train_score_ validation_fraction _rng"
).split()

#: Links of the losses, as the installed loss module names them.
REGRESSION_LINKS = ("IdentityLink",)
CLASSIFICATION_LINKS = ("LogitLink", "HalfLogitLink", "MultinomialLogit")

#: Start estimators that answer float32 rows in float64 arithmetic, so that the answer can be given again bit for bit.
EXACT_STARTS = {
    f"{family}{task}": None
    for family in ("DecisionTree", "ExtraTree", "RandomForest", "ExtraTrees", "GradientBoosting", "HistGradientBoosting")
    for task in ("Classifier", "Regressor")
}
#: The tolerance behind a sum in float32, relative to the scale: at least and at most.
SINGLE = (1e-6, 1e-5)
#: Start estimators, and steps before them, that turn a small error into a small one.
CONTINUOUS = (linear_regressor, generalized_linear_regressor, logistic_regression, sgd_regressor, sgd_classifier)
CONTINUOUS_STEPS = dict.fromkeys(("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "PCA", "PolynomialFeatures"))
#: The links of the losses that scikit-learn 1.3 kept in the module _gb_losses.
OLD_LOSSES = {
    **dict.fromkeys(("LeastSquaresError", "LeastAbsoluteError", "HuberLossFunction", "QuantileLossFunction"), "IdentityLink"),
    "BinomialDeviance": "LogitLink",
    "ExponentialLoss": "HalfLogitLink",
    "MultinomialDeviance": "MultinomialLogit",
}
DUMMIES = {"DummyClassifier": None, "DummyRegressor": None}
EPSILON = float(np.finfo(np.float64).eps)


@predicts("GradientBoostingRegressor")
def boosting_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The start plus learning_rate times each tree, in order."""
    link_of(ledger, REGRESSION_LINKS)
    raw = _raw(ledger, builder, table, "raw")
    return Prediction(prediction=builder.scalar(raw, "prediction"))


@predicts("GradientBoostingClassifier")
def boosting_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Two classes: the second where the score is 0 or above. More: the class of the largest score, ties to the first."""
    link = link_of(ledger, CLASSIFICATION_LINKS)
    classes = ledger["classes_"]
    ledger.waive("n_classes_", "_n_classes")
    score = _raw(ledger, builder, table, "score")
    if len(classes) == 2:
        score = builder.scalar(score, "decision")
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    if len(classes) > 2:
        probability = builder.add("softmax", score, hint="probability")
        label = builder.label_of_largest(probability if _is_old(ledger) else score, classes)
        return Prediction(label=label, classes=classes, probability=probability, score=score)
    if _is_old(ledger):
        probability = two_class_probability(builder, score, 2.0 if link == "HalfLogitLink" else None)
        label = builder.label_of_largest(probability, classes)
        return Prediction(label=label, classes=classes, probability=probability, score=score)
    index = builder.add("bucketize", score, hint="index", edges=[0.0], sizes=[1], side="right")
    label = builder.add("take", index, hint="label", table=labels_table(classes))
    probability = two_class_probability(builder, score, 2.0 if link == "HalfLogitLink" else None)
    return Prediction(label=label, classes=classes, probability=probability, score=score)


def link_of(ledger: Ledger, known: tuple[str, ...]) -> str:
    """The name of the loss's link; a loss of the user's own is refused."""
    loss = ledger["_loss"]
    link = OLD_LOSSES.get(type(loss).__name__, "") if _is_old(ledger) else type(getattr(loss, "link", None)).__name__
    if type(loss).__module__.partition(".")[0] != "sklearn" or link not in known:
        raise ledger.refuse(
            "_loss", f"is {type(loss).__name__} with the link {link}, which no step expresses: use a loss of scikit-learn's."
        )
    return link


def _is_old(ledger: Ledger) -> bool:
    """Whether the loss is one of scikit-learn 1.3, where the largest probability makes the label."""
    return type(ledger["_loss"]).__module__ == "sklearn.ensemble._gb_losses"


def _raw(ledger: Ledger, builder: Builder, table: Table, hint: str) -> str:
    """[k]: the start, then += learning_rate * leaf, stage by stage and class by class."""
    ledger.waive(*GROWING, *STAGES)
    estimators: Array = ledger["estimators_"]
    stages, width = estimators.shape
    trees = inner_trees(ledger, estimators.ravel().tolist())
    nodes = sklearn_nodes(trees, np.arange(1), receives_nan=False, factor=float(ledger["learning_rate"]))
    attributes = tree_attributes(nodes, "f32")
    if width > 1:
        attributes |= {"class": np.tile(np.arange(width, dtype=np.int32), stages), "size": width}
    start = ledger["init_"]
    x = builder.matrix(table)
    if (isinstance(start, str) and start == "zero") or known_class(start, DUMMIES):
        return builder.add("tree_ensemble", x, hint=hint, init=_constant_start(ledger, start, width), **attributes)
    return builder.add("tree_ensemble", x, _computed_start(ledger, builder, x, start, width), hint=hint, **attributes)


def _constant_start(ledger: Ledger, start: Any, width: int) -> Array:
    """[k]: what a dummy estimator makes every row start from, as the model itself computes it."""
    if getattr(start, "strategy", None) in ("stratified", "uniform"):
        raise ledger.refuse(
            "init_", f"draws at random (strategy={start.strategy!r}), so no two answers are the same: use init='zero'."
        )
    model = ledger.estimator
    given = np.asarray(model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32)), dtype=np.float64)
    return given.reshape(width) + 0.0


def _computed_start(ledger: Ledger, builder: Builder, x: str, start: Any, width: int) -> str:
    """[k]: the link of what an estimator answers to the rows rounded to float32."""
    answer, single = _started(ledger, builder, x, start)
    if answer.prediction is not None:
        return _held(builder, answer.prediction, single)
    if answer.probability is None or len(answer.classes) != len(ledger["classes_"]):
        raise ledger.refuse("init_", "gives no probability per class: use init='zero' or the default.")
    if _is_old(ledger):
        raise ledger.refuse("init_", "is read with scikit-learn 1.4 or newer only: use init='zero' or the default.")
    p = _held(builder, answer.probability, single)
    least = EPSILON if sklearn_version() >= (1, 8) else float(np.finfo(np.float32).eps)
    p = builder.add("clip", p, hint="start_probability", min_=[least], max_=[1.0 - least])
    if width > 1:
        log = builder.add("unary", p, hint="log", fn="log")
        mean = builder.add("reduce", log, hint="log_mean", fn="mean", keep=True)
        return builder.add("binary", log, mean, hint="start", fn="sub")
    p = builder.add("select", p, hint="start_p", index=[1])
    odds = builder.add("binary", p, builder.add("scale", p, hint="rest", mul=[-1.0], add=[1.0]), hint="odds", fn="div")
    half = 0.5 if type(ledger["_loss"].link).__name__ == "HalfLogitLink" else 1.0
    return builder.add("scale", builder.add("unary", odds, hint="log_odds", fn="log"), hint="start", mul=[half])


def _started(ledger: Ledger, builder: Builder, x: str, start: Any) -> tuple[Prediction, bool]:
    """What the start estimator answers, and whether it computes in float32, where no two machines add alike."""
    exact = known_class(start, EXACT_STARTS) is not None
    single = not exact and not computes_in_double(start)
    if single:
        if not _continuous(start):
            raise ledger.refuse(
                "init_",
                f"is {type(start).__name__}, which is given float32 rows and may compute in float32, where machines differ in "
                "the last digits: use init='zero', the default, trees, or a linear model.",
            )
        builder.measure(*SINGLE)
    rounded = builder.add("cast", builder.add("cast", x, hint="single", to="f32"), hint="rounded", to="f64")
    with builder.within(lambda rows: np.asarray(rows, dtype=np.float32)):
        return predict(start, builder, builder.table(rounded, held="float32" if exact else "float64")), single


def _continuous(start: Any) -> bool:
    """Whether a small error on the way stays a small error: linear models, behind scalers and projections or not."""
    if type(start).__name__ == "Pipeline":
        *steps, final = [step for _, step in start.steps if step is not None and not isinstance(step, str)]
        return all(known_class(step, CONTINUOUS_STEPS) for step in steps) and _continuous(final)
    name = known_class(start, PREDICTORS)
    return name is not None and PREDICTORS[name] in CONTINUOUS


def _held(builder: Builder, value: str, single: bool) -> str:
    """A value as the original holds it: rounded to float32, or as it is."""
    if not single:
        return value
    return builder.add("cast", builder.add("cast", value, hint="start_single", to="f32"), hint="start_rounded", to="f64")
