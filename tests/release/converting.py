"""Run in an environment that holds the wheel and scikit-learn: pipelines and forests to every format, held against the model.

python converting.py json onnx pmml
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import modelport


def models() -> Iterator[tuple[str, Any, Any]]:
    """(name, fitted model, sample)."""
    iris = load_iris(as_frame=True)
    X, y = iris.data, iris.target_names[iris.target]
    mixed = X.copy()
    mixed["place"] = np.array(["north", "south", "west"], dtype=object)[np.arange(len(X)) % 3]
    mixed.iloc[::7, 0] = np.nan
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    prepare = ColumnTransformer([("n", numbers, list(X.columns)), ("s", OneHotEncoder(handle_unknown="ignore"), ["place"])])
    yield "pipeline", make_pipeline(prepare, LogisticRegression(max_iter=500)).fit(mixed, y), mixed
    yield "forest", RandomForestClassifier(20, random_state=0).fit(X, y), X
    yield "histogram boosting", HistGradientBoostingClassifier(max_iter=10).fit(X, y), X
    diabetes = load_diabetes(as_frame=True)
    yield "boosting", GradientBoostingRegressor(n_estimators=20).fit(diabetes.data, diabetes.target), diabetes.data


def main(formats: list[str]) -> None:
    """Convert, and verify with other rows."""
    warnings.simplefilter("ignore")
    count = 0
    for name, model, sample in models():
        for format_ in formats:
            artifact = modelport.convert(model, format_, sample=sample)
            report = modelport.verify(artifact, model=model, sample=sample, seed=3)
            assert artifact.report is not None, name
            assert artifact.report.passed, name
            assert report.passed, f"{name} as {format_}: {report}"
            count += 1
    print(f"{count} conversions")


if __name__ == "__main__":
    main(sys.argv[1:])
