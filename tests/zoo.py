"""Fitted models of every family the scikit-learn reader covers, on bundled real data, for sweeps over formats and consumers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import (
    compose,
    datasets,
    decomposition,
    ensemble,
    feature_selection,
    impute,
    linear_model,
    neural_network,
    pipeline,
    svm,
    tree,
)
from sklearn import preprocessing as prep
from sklearn.cluster import KMeans

RECIPES = Path(__file__).resolve().parent.parent / "fixtures" / "recipes"
pipe = pipeline.make_pipeline


@lru_cache
def iris() -> tuple[pd.DataFrame, Any]:
    data = datasets.load_iris(as_frame=True)
    return data.data, data.target_names[data.target].astype(str)


@lru_cache
def cancer() -> tuple[pd.DataFrame, Any]:
    data = datasets.load_breast_cancer(as_frame=True)
    return data.data.iloc[:, :10], data.target.to_numpy().astype(bool)


@lru_cache
def cancer_holes() -> tuple[pd.DataFrame, Any]:
    X, y = cancer()
    return X.mask(np.random.default_rng(0).random(X.shape) < 0.1), y


@lru_cache
def diabetes() -> tuple[pd.DataFrame, Any]:
    data = datasets.load_diabetes(as_frame=True, scaled=False)
    return data.data, data.target.to_numpy()


@lru_cache
def diabetes_two() -> tuple[pd.DataFrame, Any]:
    X, y = diabetes()
    return X, np.column_stack([y, np.sqrt(y)])


@lru_cache
def wine() -> tuple[np.ndarray, Any]:
    return datasets.load_wine(return_X_y=True)


@lru_cache
def offset() -> tuple[np.ndarray, Any]:
    """Columns around ten million: float32 graphs lose the digits that decide."""
    X, y = wine()
    return X + 1e7, y


@lru_cache
def grid() -> tuple[np.ndarray, Any]:
    """Data of one decimal; rows on a 0.05 grid fall on thresholds."""
    X, y = datasets.load_iris(return_X_y=True)
    return np.round(X, 1), y


@lru_cache
def mixed() -> tuple[pd.DataFrame, Any]:
    spec = importlib.util.spec_from_file_location("mixed_frame", RECIPES / "mixed_frame.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.mixed_frame()


def columns(numbers: Any, strings: Any) -> compose.ColumnTransformer:
    """Numbers and strings of the mixed frame, each through its own pipeline."""
    return compose.ColumnTransformer(
        [
            ("numbers", numbers, ["age (years)", "body.mass", "blutdruck größe"]),
            ("strings", strings, ["sex", "weight class", "clinic"]),
            ("flag", "passthrough", ["glucose high"]),
        ]
    )


def fill_then(*steps: Any) -> Any:
    return pipe(impute.SimpleImputer(strategy="most_frequent"), *steps)


LOGISTIC = {"max_iter": 500}
#: name -> (data, estimator)
ZOO: dict[str, tuple[Callable[[], tuple[Any, Any]], Callable[[], Any]]] = {
    "LinearRegression": (diabetes, linear_model.LinearRegression),
    "LinearRegression two outputs": (diabetes_two, linear_model.LinearRegression),
    "Ridge scaled": (diabetes, lambda: pipe(prep.StandardScaler(), linear_model.Ridge())),
    "Lasso": (diabetes, linear_model.Lasso),
    "ElasticNet robust": (diabetes, lambda: pipe(prep.RobustScaler(), linear_model.ElasticNet())),
    "LogisticRegression": (iris, lambda: linear_model.LogisticRegression(**LOGISTIC)),
    "LogisticRegression bool": (cancer, lambda: pipe(prep.StandardScaler(), linear_model.LogisticRegression())),
    "LogisticRegression offset": (offset, lambda: pipe(prep.StandardScaler(), linear_model.LogisticRegression())),
    **{
        f"SGDClassifier {loss}": (
            iris,
            lambda loss=loss: pipe(prep.StandardScaler(), linear_model.SGDClassifier(loss=loss, random_state=0)),
        )
        for loss in ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", "huber")
    },
    "SGDClassifier modified_huber binary": (
        cancer,
        lambda: pipe(prep.StandardScaler(), linear_model.SGDClassifier(loss="modified_huber", random_state=0)),
    ),
    "SGDRegressor": (diabetes, lambda: pipe(prep.StandardScaler(), linear_model.SGDRegressor(random_state=0))),
    "LinearSVC": (iris, lambda: svm.LinearSVC(random_state=0)),
    "LinearSVC binary": (cancer, lambda: pipe(prep.MinMaxScaler(), svm.LinearSVC(random_state=0))),
    "LinearSVR": (diabetes, lambda: pipe(prep.MaxAbsScaler(), svm.LinearSVR(random_state=0))),
    "RidgeClassifier": (iris, linear_model.RidgeClassifier),
    "RidgeClassifier binary": (cancer, linear_model.RidgeClassifier),
    "DecisionTreeClassifier": (iris, lambda: tree.DecisionTreeClassifier(random_state=0)),
    "DecisionTreeClassifier missing": (cancer_holes, lambda: tree.DecisionTreeClassifier(max_depth=7, random_state=0)),
    "DecisionTreeClassifier best first": (
        cancer,
        lambda: tree.DecisionTreeClassifier(max_leaf_nodes=12, random_state=0, class_weight="balanced"),
    ),
    "DecisionTreeRegressor two outputs": (diabetes_two, lambda: tree.DecisionTreeRegressor(max_depth=5, random_state=0)),
    "RandomForestClassifier": (iris, lambda: ensemble.RandomForestClassifier(12, random_state=0)),
    "RandomForestClassifier grid": (grid, lambda: ensemble.RandomForestClassifier(12, random_state=0)),
    "RandomForestClassifier missing": (cancer_holes, lambda: ensemble.RandomForestClassifier(8, max_depth=6, random_state=0)),
    "RandomForestRegressor": (diabetes, lambda: ensemble.RandomForestRegressor(8, max_depth=6, random_state=0)),
    "ExtraTreesClassifier": (wine, lambda: ensemble.ExtraTreesClassifier(8, random_state=0)),
    "ExtraTreesRegressor two outputs": (diabetes_two, lambda: ensemble.ExtraTreesRegressor(5, max_depth=5, random_state=0)),
    "GradientBoostingClassifier": (iris, lambda: ensemble.GradientBoostingClassifier(n_estimators=8, random_state=0)),
    "GradientBoostingClassifier binary": (cancer, lambda: ensemble.GradientBoostingClassifier(n_estimators=15, random_state=0)),
    "GradientBoostingClassifier exponential": (
        cancer,
        lambda: ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=10, random_state=0),
    ),
    "GradientBoostingRegressor huber": (
        diabetes,
        lambda: ensemble.GradientBoostingRegressor(loss="huber", n_estimators=20, random_state=0),
    ),
    "HistGradientBoostingClassifier": (iris, lambda: ensemble.HistGradientBoostingClassifier(max_iter=8, random_state=0)),
    "HistGradientBoostingClassifier missing": (
        cancer_holes,
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=15, random_state=0),
    ),
    "HistGradientBoostingRegressor": (diabetes, lambda: ensemble.HistGradientBoostingRegressor(max_iter=15, random_state=0)),
    "HistGradientBoostingRegressor poisson": (
        diabetes,
        lambda: ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=10, random_state=0),
    ),
    "MLPClassifier": (
        iris,
        lambda: pipe(prep.StandardScaler(), neural_network.MLPClassifier((6,), max_iter=150, random_state=0)),
    ),
    "MLPClassifier tanh binary": (
        cancer,
        lambda: pipe(prep.StandardScaler(), neural_network.MLPClassifier((5, 4), activation="tanh", random_state=0)),
    ),
    "MLPRegressor": (
        diabetes,
        lambda: pipe(prep.StandardScaler(), neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=100, random_state=0)),
    ),
    "KMeans": (wine, lambda: pipe(prep.StandardScaler(), KMeans(4, n_init=1, random_state=0))),
    "PCA": (wine, lambda: pipe(prep.StandardScaler(), decomposition.PCA(3))),
    "PCA logistic": (
        wine,
        lambda: pipe(prep.StandardScaler(), decomposition.PCA(4, whiten=True), linear_model.LogisticRegression()),
    ),
    "polynomial ridge": (diabetes, lambda: pipe(prep.StandardScaler(), prep.PolynomialFeatures(2), linear_model.Ridge())),
    "bins logistic": (
        iris,
        lambda: pipe(prep.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), linear_model.LogisticRegression()),
    ),
    "select logistic": (
        cancer,
        lambda: pipe(prep.MinMaxScaler(), feature_selection.SelectKBest(k=4), linear_model.LogisticRegression()),
    ),
    "normalizer logistic": (wine, lambda: pipe(prep.Normalizer(), linear_model.LogisticRegression(**LOGISTIC))),
    "binarizer tree": (
        diabetes,
        lambda: pipe(prep.Binarizer(threshold=30.0), tree.DecisionTreeRegressor(max_depth=4, random_state=0)),
    ),
    "union logistic": (
        wine,
        lambda: pipe(
            pipeline.make_union(prep.StandardScaler(), prep.MinMaxScaler()), linear_model.LogisticRegression(**LOGISTIC)
        ),
    ),
    "imputer logistic": (
        cancer_holes,
        lambda: pipe(impute.SimpleImputer(add_indicator=True), prep.StandardScaler(), linear_model.LogisticRegression()),
    ),
    "StandardScaler": (wine, prep.StandardScaler),
    "mixed logistic": (
        mixed,
        lambda: pipe(
            columns(
                pipe(impute.SimpleImputer(strategy="median"), prep.StandardScaler()),
                fill_then(prep.OneHotEncoder(handle_unknown="ignore")),
            ),
            linear_model.LogisticRegression(**LOGISTIC),
        ),
    ),
    "mixed ordinal forest": (
        mixed,
        lambda: pipe(
            columns(
                "passthrough", prep.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
            ),
            ensemble.RandomForestClassifier(6, max_depth=6, random_state=0),
        ),
    ),
    "mixed infrequent boosting": (
        mixed,
        lambda: pipe(
            columns(
                impute.SimpleImputer(),
                prep.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=30, sparse_output=False),
            ),
            ensemble.GradientBoostingClassifier(n_estimators=8, random_state=0),
        ),
    ),
    "mixed one-hot hist boosting": (
        mixed,
        lambda: pipe(
            columns("passthrough", prep.OneHotEncoder(drop="if_binary", sparse_output=False)),
            ensemble.HistGradientBoostingClassifier(max_iter=8, random_state=0),
        ),
    ),
}


@cache
def fitted(name: str) -> tuple[Any, Any]:
    """(model, sample) of a name."""
    data, build = ZOO[name]
    X, y = data()
    return build().fit(X, y), X
