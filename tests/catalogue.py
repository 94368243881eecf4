"""Every estimator of scikit-learn, fitted on bundled real data, or the reason why it cannot be exported.

`FITTED[name]()` gives (model, sample). `NOT_EXPORTABLE[name]` is why no artifact can answer as the estimator does. Together they
cover `sklearn.utils.all_estimators()`; a test holds them to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from modelport_sklearn.reasons import NOT_EXPORTABLE
from sklearn import datasets, kernel_approximation, linear_model
from sklearn.base import BaseEstimator
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.utils import all_estimators

Array = np.ndarray[Any, np.dtype[Any]]
#: names of experimental estimators, which all_estimators() does not list by itself
EXPERIMENTAL = ("HalvingGridSearchCV", "HalvingRandomSearchCV", "IterativeImputer")


@lru_cache
def iris() -> tuple[pd.DataFrame, Any]:
    data = datasets.load_iris(as_frame=True)
    return data.data, data.target_names[data.target].astype(str)


@lru_cache
def cancer() -> tuple[pd.DataFrame, Any]:
    data = datasets.load_breast_cancer(as_frame=True)
    return data.data.iloc[:240, :6], data.target.to_numpy()[:240]


@lru_cache
def diabetes() -> tuple[Array, Any]:
    X, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    return X[:200, :6], y[:200]


@lru_cache
def counts() -> tuple[Array, Any]:
    """Small counts: the 8 x 8 digits, every third pixel."""
    X, y = datasets.load_digits(return_X_y=True, n_class=4)
    return X[:160, 2:62:4], y[:160]


@lru_cache
def holes() -> tuple[Array, Any]:
    X, y = diabetes()
    return np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X), y


@lru_cache
def strings() -> tuple[pd.DataFrame, Any]:
    X, y = iris()
    town = np.array(["Oslo", "Bergen", "Tromsø", "Røst"])[(X.iloc[:, 0] * 10).astype(int) % 4]
    size = np.array(["small", "middle", "large"])[(X.iloc[:, 2] / 2.6).astype(int)]
    return pd.DataFrame({"town": town, "size": size}), y


@lru_cache
def mixed() -> tuple[pd.DataFrame, Any]:
    X, y = iris()
    return pd.concat([X.iloc[:, :2], strings()[0]], axis=1), y


TEXTS = [
    *("The quick brown fox jumps over the lazy dog", "A dog's day: 3 cats, 2 dogs", "naïve café owners sell crème brûlée"),
    *("cats and dogs", "Don't panic", "the fox and the cat", "It was the best of times", "it was the worst of times"),
    *("2001: a space odyssey", "the lazy cat"),
]


def texts() -> tuple[list[str], Any]:
    return TEXTS * 4, np.array([0, 1, 2, 1, 0, 0, 2, 2, 1, 0] * 4)


def records() -> list[dict[str, Any]]:
    """Records with keys that some of them lack."""
    X, _ = mixed()
    return [{k: v for k, v in row.items() if (i + j) % 5} for i, row in enumerate(X.to_dict("records")) for j in (0,)]


def two_targets() -> tuple[Array, Array]:
    X, y = diabetes()
    return X, np.column_stack([y, np.sqrt(y) + X[:, 2]])


def two_labels() -> tuple[pd.DataFrame, Array]:
    X, y = iris()
    return X, np.column_stack([y == "setosa", X.iloc[:, 1] > 3.0]).astype(int)


def half_known() -> tuple[pd.DataFrame, Array]:
    X, y = iris()
    codes = np.unique(y, return_inverse=True)[1]
    return X, np.where(np.arange(len(codes)) % 3 == 0, codes, -1)


def few(n: int = 60) -> tuple[Array, Any]:
    X, y = diabetes()
    return X[:n], y[:n]


@lru_cache
def classes() -> dict[str, Any]:
    """All estimator classes by name."""
    return dict(all_estimators())


def made(name: str, **parameters: Any) -> BaseEstimator:
    """An estimator with few rounds and a fixed seed where it takes them."""
    cls = classes()[name]
    known = cls._get_param_names() if hasattr(cls, "_get_param_names") else ()
    for key, value in (("random_state", 0), ("n_estimators", 8)):
        if key in known:
            parameters.setdefault(key, value)
    return cls(**parameters)


def fit(model: Any, X: Any, y: Any = None) -> tuple[Any, Any]:
    """The model fitted on the rows, and the rows as its sample."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (model.fit(X) if y is None else model.fit(X, y)), X


def _logistic() -> Any:
    return linear_model.LogisticRegression(max_iter=2000)


def _of_kernel() -> tuple[Any, Any]:
    K = np.asarray(kernel_approximation.pairwise_kernels(few(20)[0] / 100.0))
    return fit(made("KernelCenterer"), K)


def _sparse_coder() -> tuple[Any, Any]:
    X, _ = few()
    dictionary = X[:5] / np.linalg.norm(X[:5], axis=1, keepdims=True)
    return fit(made("SparseCoder", dictionary=dictionary, transform_n_nonzero_coefs=2), X)


def _labels() -> list[str]:
    return list(strings()[0]["town"][:40])


def _label_rows() -> Array:
    """Rows of labels, filled up with None."""
    rows = [["a", "b"], ["c", None], ["b", "c"], ["a", None]] * 5
    return np.array(rows, dtype=object)


def _fit_on_lists() -> tuple[Any, Any]:
    rows = _label_rows()
    return made("MultiLabelBinarizer").fit([[v for v in row if v is not None] for row in rows]), rows


def _frozen() -> tuple[Any, Any]:
    return fit(classes()["FrozenEstimator"](_logistic().fit(*iris())), *iris())


def _columns() -> tuple[Any, Any]:
    numbers, words = (made("StandardScaler"), list(iris()[0].columns[:2])), (made("OneHotEncoder"), ["town", "size"])
    return fit(made("ColumnTransformer", transformers=[("n", *numbers), ("w", *words)]), *mixed())


def _whole_pipeline() -> tuple[Any, Any]:
    prepare = _columns()[0]
    return fit(made("Pipeline", steps=[("prepare", prepare), ("model", _logistic())]), *mixed())


def _named(*names: str) -> list[tuple[str, Any]]:
    return [(name, made(name)) for name in names]


def _searched(name: str, **more: Any) -> tuple[Any, Any]:
    values = {"C": [0.1, 1.0]}
    key = "param_grid" if "Grid" in name else "param_distributions"
    return fit(made(name, estimator=_logistic(), cv=3, **{key: values}, **more), *iris())


SPECIAL: dict[str, Callable[[], tuple[Any, Any]]] = {
    "AdditiveChi2Sampler": lambda: fit(made("AdditiveChi2Sampler"), counts()[0]),
    "BernoulliRBM": lambda: fit(made("BernoulliRBM", n_components=6, n_iter=3), counts()[0] / 16.0),
    "BernoulliNB": lambda: fit(made("BernoulliNB", binarize=4.0), *counts()),
    "CCA": lambda: fit(made("CCA"), *two_targets()),
    "CategoricalNB": lambda: fit(made("CategoricalNB"), (counts()[0] // 4).astype(float), counts()[1]),
    "ClassifierChain": lambda: fit(classes()["ClassifierChain"](_logistic(), order=[1, 0]), *two_labels()),
    "ColumnTransformer": _columns,
    "ComplementNB": lambda: fit(made("ComplementNB"), *counts()),
    "CountVectorizer": lambda: fit(made("CountVectorizer"), texts()[0]),
    "DictVectorizer": lambda: fit(made("DictVectorizer", sparse=False), records()),
    "DictionaryLearning": lambda: fit(made("DictionaryLearning", n_components=5, max_iter=5), few(40)[0] / 100.0),
    "FeatureHasher": lambda: fit(made("FeatureHasher", n_features=16), records()),
    "FeatureUnion": lambda: fit(made("FeatureUnion", transformer_list=_named("StandardScaler", "PCA")), iris()[0]),
    "FixedThresholdClassifier": lambda: fit(classes()["FixedThresholdClassifier"](_logistic(), threshold=0.3), *cancer()),
    "FrozenEstimator": _frozen,
    "FunctionTransformer": lambda: fit(made("FunctionTransformer", func=np.log1p), counts()[0]),
    "GammaRegressor": lambda: fit(made("GammaRegressor"), *few()),
    "GaussianProcessClassifier": lambda: fit(made("GaussianProcessClassifier"), iris()[0].iloc[::3], iris()[1][::3]),
    "GaussianProcessRegressor": lambda: fit(made("GaussianProcessRegressor", alpha=1.0), few(40)[0] / 50.0, few(40)[1]),
    "GaussianRandomProjection": lambda: fit(made("GaussianRandomProjection", n_components=3), iris()[0]),
    "SparseRandomProjection": lambda: fit(made("SparseRandomProjection", n_components=3), iris()[0]),
    "GridSearchCV": lambda: _searched("GridSearchCV"),
    "HalvingGridSearchCV": lambda: _searched("HalvingGridSearchCV"),
    "HalvingRandomSearchCV": lambda: _searched("HalvingRandomSearchCV"),
    "HashingVectorizer": lambda: fit(made("HashingVectorizer", n_features=32), texts()[0]),
    "IsotonicRegression": lambda: fit(made("IsotonicRegression", out_of_bounds="clip"), diabetes()[0][:, 2:3], diabetes()[1]),
    "IterativeImputer": lambda: fit(made("IterativeImputer", max_iter=4), holes()[0]),
    "KNNImputer": lambda: fit(made("KNNImputer"), holes()[0]),
    "KernelCenterer": _of_kernel,
    "LabelBinarizer": lambda: (made("LabelBinarizer").fit(_labels()), _labels()),
    "LabelEncoder": lambda: (made("LabelEncoder").fit(_labels()), _labels()),
    "LabelPropagation": lambda: fit(made("LabelPropagation"), *half_known()),
    "LabelSpreading": lambda: fit(made("LabelSpreading"), *half_known()),
    "LatentDirichletAllocation": lambda: fit(made("LatentDirichletAllocation", n_components=4), counts()[0]),
    "LocalOutlierFactor": lambda: fit(made("LocalOutlierFactor", novelty=True), diabetes()[0]),
    "MLPClassifier": lambda: fit(made("MLPClassifier", hidden_layer_sizes=(12,), max_iter=80), *iris()),
    "MLPRegressor": lambda: fit(made("MLPRegressor", hidden_layer_sizes=(12,), max_iter=80), *diabetes()),
    "MiniBatchDictionaryLearning": lambda: fit(
        made("MiniBatchDictionaryLearning", n_components=5, max_iter=5), few(40)[0] / 100.0
    ),
    "MiniBatchNMF": lambda: fit(made("MiniBatchNMF", n_components=3), counts()[0]),
    "MissingIndicator": lambda: fit(made("MissingIndicator"), holes()[0]),
    "MultiLabelBinarizer": _fit_on_lists,
    "MultiOutputClassifier": lambda: fit(classes()["MultiOutputClassifier"](_logistic()), *two_labels()),
    "MultiOutputRegressor": lambda: fit(classes()["MultiOutputRegressor"](linear_model.Ridge()), *two_targets()),
    **{
        name: (lambda name=name: fit(made(name), *two_targets()))
        for name in ("MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV")
    },
    "MultinomialNB": lambda: fit(made("MultinomialNB"), *counts()),
    "NMF": lambda: fit(made("NMF", n_components=3), counts()[0]),
    "OneHotEncoder": lambda: fit(made("OneHotEncoder", handle_unknown="ignore"), strings()[0]),
    "OneVsOneClassifier": lambda: fit(classes()["OneVsOneClassifier"](_logistic()), *iris()),
    "OneVsRestClassifier": lambda: fit(classes()["OneVsRestClassifier"](_logistic()), *iris()),
    "OrdinalEncoder": lambda: fit(made("OrdinalEncoder", handle_unknown="use_encoded_value", unknown_value=-1), strings()[0]),
    "OutputCodeClassifier": lambda: fit(classes()["OutputCodeClassifier"](_logistic(), random_state=0), *iris()),
    "PLSCanonical": lambda: fit(made("PLSCanonical"), *two_targets()),
    "PLSRegression": lambda: fit(made("PLSRegression"), *two_targets()),
    "PLSSVD": lambda: fit(made("PLSSVD"), *two_targets()),
    "Pipeline": _whole_pipeline,
    "RadiusNeighborsClassifier": lambda: fit(made("RadiusNeighborsClassifier", outlier_label="setosa"), *iris()),
    "RadiusNeighborsRegressor": lambda: fit(made("RadiusNeighborsRegressor", radius=60.0), *diabetes()),
    "RadiusNeighborsTransformer": lambda: fit(made("RadiusNeighborsTransformer", radius=30.0), few()[0]),
    "RandomizedSearchCV": lambda: _searched("RandomizedSearchCV", n_iter=2),
    "RFE": lambda: fit(classes()["RFE"](_logistic()), *iris()),
    "RFECV": lambda: fit(classes()["RFECV"](_logistic()), *iris()),
    "RegressorChain": lambda: fit(classes()["RegressorChain"](linear_model.Ridge(), order=[1, 0]), *two_targets()),
    "SelectFromModel": lambda: fit(classes()["SelectFromModel"](_logistic()), *iris()),
    "SelfTrainingClassifier": lambda: fit(classes()["SelfTrainingClassifier"](_logistic()), *half_known()),
    "SequentialFeatureSelector": lambda: fit(
        classes()["SequentialFeatureSelector"](_logistic(), n_features_to_select=2), *iris()
    ),
    "SimpleImputer": lambda: fit(made("SimpleImputer", add_indicator=True), holes()[0]),
    "SkewedChi2Sampler": lambda: fit(made("SkewedChi2Sampler", n_components=8), counts()[0]),
    "SparseCoder": _sparse_coder,
    "StackingClassifier": lambda: fit(
        made("StackingClassifier", estimators=_named("RandomForestClassifier", "GaussianNB"), final_estimator=_logistic()),
        *iris(),
    ),
    "StackingRegressor": lambda: fit(made("StackingRegressor", estimators=_named("Ridge", "RandomForestRegressor")), *diabetes()),
    "TargetEncoder": lambda: fit(made("TargetEncoder"), *strings()),
    "TfidfTransformer": lambda: fit(made("TfidfTransformer"), counts()[0]),
    "TfidfVectorizer": lambda: fit(made("TfidfVectorizer"), texts()[0]),
    "TransformedTargetRegressor": lambda: fit(
        made("TransformedTargetRegressor", regressor=linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1), *diabetes()
    ),
    "TunedThresholdClassifierCV": lambda: fit(classes()["TunedThresholdClassifierCV"](_logistic()), *cancer()),
    "VotingClassifier": lambda: fit(
        made("VotingClassifier", estimators=_named("RandomForestClassifier", "GaussianNB"), voting="soft"), *iris()
    ),
    "VotingRegressor": lambda: fit(made("VotingRegressor", estimators=_named("Ridge", "RandomForestRegressor")), *diabetes()),
}


def _plain(name: str) -> tuple[Any, Any]:
    """An estimator that needs nothing special: on classes, on a target, or on rows alone."""
    from sklearn.base import is_classifier, is_regressor

    model = made(name)
    if is_classifier(model):
        return fit(model, *iris())
    if is_regressor(model):
        return fit(model, *diabetes())
    X, y = iris()
    return fit(model, X, np.unique(y, return_inverse=True)[1])


def estimator_names() -> list[str]:
    """Every estimator scikit-learn has, sorted."""
    return sorted({*classes(), *EXPERIMENTAL})


FITTED: dict[str, Callable[[], tuple[Any, Any]]] = {
    name: SPECIAL.get(name) or (lambda name=name: _plain(name))  # type: ignore[misc]
    for name in estimator_names()
    if name not in NOT_EXPORTABLE
}
