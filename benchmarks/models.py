"""The models that are measured: fitted here, on data drawn from a fixed seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["MODELS", "Case", "fitted"]

Array = np.ndarray[Any, np.dtype[Any]]
FEATURES = 30
TOWNS = ("Oslo", "Malmö", "Porto", "Kyoto", "Lima")


@dataclass(frozen=True)
class Case:
    """A fitted classifier, what it is fed (a sample for converting, rows for predicting), and what it is."""

    name: str
    about: str
    model: Any
    sample: Any
    rows: Any


def matrix(rng: np.random.Generator, n: int) -> Array:
    """Normal numbers that float32 holds exactly, so that a consumer of float32 is given the very same rows."""
    return rng.normal(size=(n, FEATURES)).astype(np.float32).astype(np.float64)


def classes(rng: np.random.Generator, X: Array, count: int) -> Array:
    """Class numbers that depend on X linearly and not linearly, and on chance."""
    weights = rng.normal(size=(X.shape[1], count))
    return np.asarray((X @ weights + 2 * np.sin(X[:, :count] * X[:, 1:2]) + 3 * rng.normal(size=(len(X), count))).argmax(axis=1))


def frame(rng: np.random.Generator, n: int) -> tuple[Any, Array]:
    """Six columns of numbers, a tenth of them missing, and three of strings; and class numbers."""
    import pandas

    numbers = matrix(rng, n)[:, :6]
    texts = {
        "town": rng.choice(TOWNS, n),
        "shop": [f"shop {k}" for k in rng.integers(0, 20, n)],
        "item": [f"item {k}" for k in rng.integers(0, 50, n)],
    }
    y = classes(rng, numbers, 2) ^ (texts["town"] == "Oslo")
    data = {f"n{j}": np.where(rng.random(n) < 0.1, np.nan, numbers[:, j]) for j in range(6)}
    return pandas.DataFrame({**data, **{k: np.asarray(v, dtype=object) for k, v in texts.items()}}), y


def _logreg(quick: bool) -> tuple[Any, int, int]:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=500), 500 if quick else 5000, 3


def _mlp(quick: bool) -> tuple[Any, int, int]:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((100, 50), max_iter=3 if quick else 20, random_state=0), 500 if quick else 5000, 10


def _hgb300(quick: bool) -> tuple[Any, int, int]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=10 if quick else 300, early_stopping=False, random_state=0)
    return model, 500 if quick else 20_000, 2


def _gb300(quick: bool) -> tuple[Any, int, int]:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=10 if quick else 300, random_state=0), 500 if quick else 5000, 2


def _rf100(quick: bool) -> tuple[Any, int, int]:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(10 if quick else 100, random_state=0), 500 if quick else 20_000, 2


def _columns() -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), [f"n{j}" for j in range(6)]),
            ("strings", OneHotEncoder(handle_unknown="ignore"), ["town", "shop", "item"]),
        ]
    )
    return make_pipeline(prepare, LogisticRegression(max_iter=500))


MATRIX_MODELS: dict[str, tuple[str, Callable[[bool], tuple[Any, int, int]]]] = {
    "logreg": ("logistic regression, 30 features, 3 classes", _logreg),
    "mlp": ("MLP 30-100-50-10", _mlp),
    "hgb300": ("HistGradientBoosting, 300 iterations of 31 leaves, 30 features", _hgb300),
    "gb300": ("GradientBoosting, 300 trees of depth 3, 30 features", _gb300),
    "rf100": ("RandomForest, 100 trees of unlimited depth, fitted on 20,000 x 30", _rf100),
}
#: name -> what it is
MODELS: dict[str, str] = {
    "logreg": MATRIX_MODELS["logreg"][0],
    "columns": "ColumnTransformer (6 numbers with missing values, 3 strings of 5, 20 and 50 categories) + logistic regression",
    **{name: about for name, (about, _) in MATRIX_MODELS.items() if name != "logreg"},
}


def fitted(name: str, quick: bool) -> Case:
    """Fit one of MODELS; `quick` makes it small."""
    rng = np.random.default_rng(0)
    rows = 500 if quick else 10_000
    if name == "columns":
        X, y = frame(rng, 500 if quick else 5000)
        return Case(name, MODELS[name], _columns().fit(X, y), X, frame(rng, rows)[0])
    model, n, count = MATRIX_MODELS[name][1](quick)
    X = matrix(rng, n)
    return Case(name, MODELS[name], model.fit(X, classes(rng, X, count)), X, matrix(rng, rows))
