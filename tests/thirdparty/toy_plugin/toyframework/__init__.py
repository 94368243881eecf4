"""A framework with one model: a linear map."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["LinearModel"]


class LinearModel:
    """prediction[k] = sum_j x[j] * weight[k][j] + bias[k]; weight is [outputs, inputs]."""

    def __init__(self, weight: Any, bias: Any) -> None:
        self.weight = np.asarray(weight, dtype=np.float64)
        self.bias = np.asarray(bias, dtype=np.float64)

    def predict(self, rows: Any) -> np.ndarray[Any, np.dtype[Any]]:
        """[n, outputs] for [n, inputs]; ValueError for NaN."""
        x = np.asarray(rows, dtype=np.float64)
        if np.isnan(x).any():
            raise ValueError("the rows hold NaN")
        return x @ self.weight.T + self.bias
