"""An estimator in the manner of scikit-learn, in a package of its own."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin


class DistanceRegressor(RegressorMixin, BaseEstimator):
    """Predicts how far a row lies from a plane: |X coef|. `bug` is what the delegate adds to the coefficients by mistake."""

    def __init__(self, bug=0.0):
        self.bug = bug

    def fit(self, X, y):
        """Least squares."""
        self.coef_ = np.linalg.lstsq(np.asarray(X, dtype=float), np.asarray(y, dtype=float), rcond=None)[0]
        self.n_features_in_ = len(self.coef_)
        return self

    def predict(self, X):
        """One number per row."""
        return np.abs(np.asarray(X) @ self.coef_)
