"""Finds the handler of an estimator by the name of its scikit-learn class, and runs it with a ledger.

A transformer handler is `(ledger, builder, table) -> Table`, a predictor handler `(ledger, builder, table) -> Prediction`.
Handlers consume or waive every attribute; the ledger refuses what is left over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelport.errors import UnsupportedAttribute, UnsupportedModel

from .builder import Builder, Prediction, Table
from .ledger import Ledger

Transformer = Callable[[Ledger, Builder, Table], Table]
Predictor = Callable[[Ledger, Builder, Table], Prediction]

TRANSFORMERS: dict[str, Transformer] = {}
PREDICTORS: dict[str, Predictor] = {}


def transforms(*names: str) -> Callable[[Transformer], Transformer]:
    """Register the handler of transformer classes."""

    def register(handler: Transformer) -> Transformer:
        TRANSFORMERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def predicts(*names: str) -> Callable[[Predictor], Predictor]:
    """Register the handler of predictor classes."""

    def register(handler: Predictor) -> Predictor:
        PREDICTORS.update(dict.fromkeys(names, handler))
        return handler

    return register


def known_class(estimator: Any, table: dict[str, Any]) -> str | None:
    """The name of the scikit-learn class whose handler fits, or None.

    A subclass is read like its parent unless it overrides a method of the parent: then its answers are its own.
    """
    for cls in type(estimator).__mro__:
        if cls.__module__.partition(".")[0] == "sklearn" and cls.__name__ in table:
            own = type(estimator).__mro__[: type(estimator).__mro__.index(cls)]
            for child in own:
                changed = sorted(n for n, v in vars(child).items() if callable(v) and not n.startswith("__") and hasattr(cls, n))
                if changed and child.__module__.partition(".")[0] != "sklearn":
                    raise UnsupportedModel(
                        f"{child.__name__} overrides {cls.__name__}.{changed[0]}, so it may answer differently: "
                        "write a converter for it, or use the original class."
                    )
                if child.__module__.partition(".")[0] == "sklearn":
                    return None
            return cls.__name__
    return None


def transform(estimator: Any, builder: Builder, table: Table) -> Table:
    """Read a fitted transformer: the table it gives for the table it is given."""
    if estimator is None or (isinstance(estimator, str) and estimator == "passthrough"):
        return table
    name = known_class(estimator, TRANSFORMERS)
    if name is None:
        raise _unknown(estimator, "transformer")
    _check_precision(name, table)
    if not accepts_nan(estimator):
        builder.refuse_unknown(table)
    ledger = Ledger(estimator)
    result = TRANSFORMERS[name](ledger, builder, table)
    ledger.close()
    return result


def predict(estimator: Any, builder: Builder, table: Table) -> Prediction:
    """Read a fitted predictor."""
    name = known_class(estimator, PREDICTORS)
    if name is None:
        raise _unknown(estimator, "predictor")
    _check_precision(name, table)
    if not accepts_nan(estimator):
        builder.refuse_unknown(table)
    ledger = Ledger(estimator)
    result = PREDICTORS[name](ledger, builder, table)
    ledger.close()
    return result


def accepts_nan(estimator: Any) -> bool:
    """Whether an estimator answers rows with NaN, or leaves that to the estimators inside it."""
    if hasattr(estimator, "transformers_") or hasattr(estimator, "transformer_list") or hasattr(estimator, "steps"):
        return True
    try:
        from sklearn.utils import get_tags
    except ImportError:  # before scikit-learn 1.6
        return bool(estimator._get_tags()["allow_nan"])
    tags = get_tags(estimator)
    return bool(tags.input_tags.allow_nan or tags.no_validation)


#: Estimators that give the same answer on the small whole numbers that encoders hold in float32: they compare, move or replace.
PRECISION_FREE = frozenset(
    {
        *("Pipeline", "ColumnTransformer", "FeatureUnion", "FunctionTransformer", "RFE", "RFECV", "SequentialFeatureSelector"),
        *("SimpleImputer", "MissingIndicator", "OneHotEncoder", "OrdinalEncoder", "KBinsDiscretizer", "VarianceThreshold"),
        *("SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe", "GenericUnivariateSelect", "SelectFromModel"),
        *("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor", "IsolationForest"),
        *("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"),
        *("GradientBoostingClassifier", "GradientBoostingRegressor"),
        *("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
    }
)


def _check_precision(name: str, table: Table) -> None:
    """Rows that an encoder gives in float32 make the original compute in float32: refuse what would then differ."""
    if table.held in ("float32", "float16") and name not in PRECISION_FREE:
        raise UnsupportedAttribute(
            f"{name} is given {table.held} columns by an encoder and computes in {table.held}, which is not read: "
            "fit the encoder with dtype=np.float64.",
            "dtype",
        )


def _unknown(estimator: Any, kind: str) -> UnsupportedModel:
    cls = type(estimator)
    return UnsupportedModel(
        f"No {kind} handler knows {cls.__module__}.{cls.__qualname__}: write a converter for it (docs/add-a-converter.md)."
    )
