"""Finds the handler of an estimator by its class, and runs it with a ledger.

A transformer handler is `(ledger, builder, table) -> Table`, a predictor handler `(ledger, builder, table) -> Prediction`.
Handlers consume or waive every attribute; the ledger refuses what is left over.

Classes of scikit-learn are known by their name. A class of somebody else becomes known through `transforms(TheClass)` and
`predicts(TheClass)`, or through an installed package: the entry point group `modelport.estimators` names a module for the root
module of the class, with `TRANSFORMERS` and/or `PREDICTORS`, dicts from class name to handler.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from modelport import registry
from modelport.errors import ModelportError, UnsupportedAttribute, UnsupportedModel

from .builder import Builder, Prediction, Table
from .ledger import Ledger
from .reasons import NOT_EXPORTABLE

Transformer = Callable[[Ledger, Builder, Table], Table]
Predictor = Callable[[Ledger, Builder, Table], Prediction]

TRANSFORMERS: dict[str, Transformer] = {}
PREDICTORS: dict[str, Predictor] = {}


def transforms(*classes: str | type) -> Callable[[Transformer], Transformer]:
    """Register the handler of transformer classes: names of scikit-learn's classes, or classes of your own.

    >>> class Halves:
    ...     def transform(self, X):
    ...         return X / 2
    >>> @transforms(Halves)
    ... def halves(ledger, builder, table):
    ...     return builder.table(builder.add("scale", builder.matrix(table), hint="halves", div=[2.0]), table.names)
    """

    def register(handler: Transformer) -> Transformer:
        TRANSFORMERS.update(dict.fromkeys(map(_named, classes), handler))
        return handler

    return register


def predicts(*classes: str | type) -> Callable[[Predictor], Predictor]:
    """Register the handler of predictor classes: names of scikit-learn's classes, or classes of your own."""

    def register(handler: Predictor) -> Predictor:
        PREDICTORS.update(dict.fromkeys(map(_named, classes), handler))
        return handler

    return register


def _named(cls: str | type) -> str:
    return cls if isinstance(cls, str) else f"{cls.__module__}.{cls.__qualname__}"


def _root(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _key(cls: type, table: dict[str, Any]) -> str | None:
    """The key under which a class stands in a table of handlers, or None; an installed package's handlers are loaded when met."""
    own = _named(cls)
    if own in table:
        return own
    root = _root(cls)
    if root == "sklearn":
        return cls.__name__ if cls.__name__ in table else None
    if root in registry.plugins("estimators"):
        module = registry.load("estimators", root)
        for known, name in ((TRANSFORMERS, "TRANSFORMERS"), (PREDICTORS, "PREDICTORS")):
            for label, handler in getattr(module, name, {}).items():
                known.setdefault(f"{root}.{label}", handler)
        return f"{root}.{cls.__name__}" if f"{root}.{cls.__name__}" in table else None
    return None


def known_class(estimator: Any, table: dict[str, Any]) -> str | None:
    """The key of the class whose handler fits, or None.

    A subclass is read like its parent unless it overrides a method of the parent: then its answers are its own. A library's own
    subclasses are other estimators.
    """
    for cls in type(estimator).__mro__:
        key = _key(cls, table)
        if key is None:
            continue
        for child in type(estimator).__mro__[: type(estimator).__mro__.index(cls)]:
            if _root(child) == _root(cls) and key != _named(cls):
                return None
            changed = sorted(n for n, v in vars(child).items() if callable(v) and not n.startswith("__") and hasattr(cls, n))
            if changed:
                raise UnsupportedModel(
                    f"{child.__name__} overrides {cls.__name__}.{changed[0]}, so it may answer differently: "
                    "write a converter for it, or use the original class."
                )
        return key
    return None


def transform(estimator: Any, builder: Builder, table: Table) -> Table:
    """Read a fitted transformer: the table it gives for the table it is given."""
    if estimator is None or (isinstance(estimator, str) and estimator == "passthrough"):
        return table
    with builder.part(estimator) as part:
        try:
            return _handled(estimator, builder, table, TRANSFORMERS, "transformer")
        except ModelportError as error:
            if not part.survives(error):
                raise
            return builder.stand_in(estimator, table)


def predict(estimator: Any, builder: Builder, table: Table) -> Prediction:
    """Read a fitted predictor."""
    with builder.part(estimator) as part:
        try:
            return _handled(estimator, builder, table, PREDICTORS, "predictor")
        except ModelportError as error:
            if not part.survives(error):
                raise
            return builder.stand_in_prediction(estimator)


def _handled(estimator: Any, builder: Builder, table: Table, handlers: dict[str, Any], kind: str) -> Any:
    name = known_class(estimator, handlers)
    if name is None:
        raise _unknown(estimator, kind)
    _check_precision(estimator, name, table)
    if not accepts_nan(estimator):
        builder.refuse_unknown(table)
    table = _finite(estimator, builder, table)
    ledger = Ledger(estimator)
    result = handlers[name](ledger, builder, table)
    ledger.close()
    return result


def _finite(estimator: Any, builder: Builder, table: Table) -> Table:
    """The table, without the rows of which a function before it made numbers that the estimator refuses: it is asked."""
    from .handlers.guards import refuse_not_finite

    columns = builder.unsafe_columns(table)
    if not columns or hands_on(estimator):
        return table
    nan = not accepts_nan(estimator)
    if not nan and "infinity" not in _said_of(estimator, len(table), np.inf):
        return table
    single = "float32" in _said_of(estimator, len(table), LARGEST)
    return refuse_not_finite(builder, table, columns, nan=nan, largest=LARGEST_SINGLE if single else LARGEST)


def _said_of(estimator: Any, width: int, number: float) -> str:
    """What an estimator says when it refuses a row of such numbers; nothing when it does not."""
    answer = getattr(estimator, "predict", None) or getattr(estimator, "transform", None)
    if answer is None:
        return ""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            answer(np.full((1, width), number))
        except (ValueError, TypeError, AttributeError) as error:
            return str(error)
    return ""


def hands_on(estimator: Any) -> bool:
    """Whether an estimator hands its rows on to estimators inside it, which look at them themselves."""
    inside = ("transformers_", "transformer_list", "steps")
    return type(estimator).__name__ in DELEGATING or any(hasattr(estimator, name) for name in inside)


def accepts_nan(estimator: Any) -> bool:
    """Whether an estimator answers rows with NaN, or leaves that to the estimators inside it."""
    if type(estimator).__name__ in DELEGATING:
        return True
    if hasattr(estimator, "transformers_") or hasattr(estimator, "transformer_list") or hasattr(estimator, "steps"):
        return True
    try:
        from sklearn.utils import get_tags
    except ImportError:  # before scikit-learn 1.6
        return bool(estimator._get_tags()["allow_nan"])
    try:
        tags = get_tags(estimator)
    except (AttributeError, TypeError):  # a class of somebody else without tags
        return False
    return bool(tags.input_tags.allow_nan or tags.no_validation)


#: The largest number, and the largest one that stays finite when it is rounded to float32.
LARGEST = float(np.finfo(np.float64).max)
LARGEST_SINGLE = float(np.nextafter(2.0**128 - 2.0**103, 0))

#: Estimators that hand rows on to estimators inside them without looking for NaN.
DELEGATING = frozenset(
    {
        *("BaggingClassifier", "BaggingRegressor", "CalibratedClassifierCV", "FixedThresholdClassifier", "FrozenEstimator"),
        *("GridSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "MultiOutputClassifier", "MultiOutputRegressor"),
        *("OneVsOneClassifier", "OneVsRestClassifier", "OutputCodeClassifier", "RandomizedSearchCV", "SelfTrainingClassifier"),
        *("StackingClassifier", "StackingRegressor", "TunedThresholdClassifierCV", "VotingClassifier", "VotingRegressor"),
        *("RANSACRegressor", "TransformedTargetRegressor", "_ConstantPredictor"),
    }
)

#: Estimators that give the same answer on the small whole numbers that encoders hold in float32: they compare, move or replace.
PRECISION_FREE = DELEGATING | frozenset(
    {
        *("AdaBoostClassifier", "AdaBoostRegressor", "RandomTreesEmbedding"),
        *("Pipeline", "ColumnTransformer", "FeatureUnion", "FunctionTransformer", "RFE", "RFECV", "SequentialFeatureSelector"),
        *("SimpleImputer", "MissingIndicator", "OneHotEncoder", "OrdinalEncoder", "KBinsDiscretizer", "VarianceThreshold"),
        *("SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe", "GenericUnivariateSelect", "SelectFromModel"),
        *("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor", "IsolationForest"),
        *("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"),
        *("GradientBoostingClassifier", "GradientBoostingRegressor"),
        *("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
    }
)


#: Estimators of libsvm, which turn their rows into float64.
LIBSVM = frozenset({"SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"})


#: Libraries whose models answer float32 rows as they answer the same rows in float64.
BOOSTERS = frozenset({"xgboost", "lightgbm", "catboost"})


def computes_in_double(estimator: Any) -> bool:
    """Whether an estimator answers float32 rows as float64 ones: libsvm's, boosters, linear models with float64 coefficients."""
    if _root(type(estimator)) in BOOSTERS:
        return True
    coef, intercept = getattr(estimator, "coef_", None), getattr(estimator, "intercept_", None)
    linear = type(estimator).__module__.startswith(("sklearn.linear_model.", "sklearn.svm."))
    held = {str(getattr(part, "dtype", "")) for part in (coef, np.asarray(intercept))}
    return type(estimator).__name__ in LIBSVM or (linear and coef is not None and held == {"float64"})


def _check_precision(estimator: Any, name: str, table: Table) -> None:
    """Rows that an encoder gives in float32 make the original compute in float32: refuse what would then differ."""
    if table.held in ("float32", "float16") and name not in PRECISION_FREE and not computes_in_double(estimator):
        raise UnsupportedAttribute(
            f"{name} is given {table.held} columns by an encoder and computes in {table.held}, which is not read: "
            "fit the encoder with dtype=np.float64.",
            "dtype",
        )


def _unknown(estimator: Any, kind: str) -> UnsupportedModel:
    cls = type(estimator)
    if _root(cls) == "sklearn" and cls.__name__ in NOT_EXPORTABLE:
        return UnsupportedModel(f"{cls.__name__} cannot be exported. {NOT_EXPORTABLE[cls.__name__]}")
    if kind == "transformer" and known_class(estimator, PREDICTORS) is not None:
        return UnsupportedModel(
            f"{cls.__name__} is read as a predictor only: as a step that gives columns to the next one it has no handler here."
        )
    return UnsupportedModel(
        f"No {kind} handler knows {cls.__module__}.{cls.__qualname__}: write a converter for it (docs/add-a-converter.md)."
    )
