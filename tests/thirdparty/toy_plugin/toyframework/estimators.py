"""A transformer for scikit-learn pipelines that scikit-learn does not have."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

__all__ = ["Winsorizer"]


class Winsorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Moves every value between two quantiles of its column as it was fitted."""

    def __init__(self, low: float = 0.05, high: float = 0.95) -> None:
        self.low = low
        self.high = high

    def fit(self, X: Any, y: Any = None) -> Winsorizer:
        """Learn the quantiles of [n, columns]."""
        X = np.asarray(X, dtype=np.float64)
        self.n_features_in_ = X.shape[1]
        self.low_, self.high_ = np.quantile(X, [self.low, self.high], axis=0)
        return self

    def transform(self, X: Any) -> Any:
        """[n, columns] -> [n, columns]."""
        return np.clip(np.asarray(X, dtype=np.float64), self.low_, self.high_)
