"""Documents of one step with batches of rows, for tests of kernels that only large batches reach."""

from __future__ import annotations

from typing import Any

import numpy as np


def trees(rng: np.random.Generator, columns: int, count: int, leaves: int, **attributes: Any) -> dict[str, Any]:
    """A step of random trees of so many leaves each, thresholds on a grid so that rows lie on them."""
    start, feature, threshold, right = [], [], [], []

    def grow(size: int, root: int) -> None:
        if size == 1:
            feature.append(-1)
            return
        left = int(rng.integers(1, size))
        feature.append(int(rng.integers(columns)))
        threshold.append(float(rng.integers(-40, 40)) / 8)
        right.append(0)
        mine = len(right) - 1
        grow(left, root)
        right[mine] = len(feature) - root
        grow(size - left, root)

    for _ in range(count):
        start.append(len(feature))
        grow(leaves, len(feature))
    width = attributes.get("leaf_width", 1)
    leaf = rng.normal(size=count * leaves * width).astype(np.float32).tolist()
    step = {"start": start, "feature": feature, "threshold": threshold, "right": right, "leaf": leaf, **attributes}
    return {"op": "tree_ensemble", **step}


def case(step: dict[str, Any], data: np.ndarray[Any, Any], dtype: str = "f64") -> dict[str, Any]:
    """A document of one step, and rows."""
    given = {"name": "x", "dtype": dtype, "shape": list(data.shape[1:]), "missing": "nan"}
    result = step.get("acc", "f64") if step["op"] == "tree_ensemble" else step.get("dtype", "f64")
    found = {"name": "y", "from": "y", "dtype": result, "role": "transform"}
    document = {"format": "modelport", "version": "1.1", "requires": [step["op"]], "inputs": [given]}
    document |= {"steps": [{"in": ["x"], "out": "y", **step}], "outputs": [found]}
    cells = [x if np.isfinite(x) else str(x).replace("inf", "Infinity").replace("nan", "NaN") for x in data.ravel().tolist()]
    return {"document": document, "rows": {"x": {"shape": list(data.shape), "data": cells}}}


def grid(rng: np.random.Generator, rows: int, columns: int, missing: float = 0.0) -> np.ndarray[Any, Any]:
    """Rows on the grid of the thresholds, infinities among them, and so many missing."""
    x = rng.integers(-44, 44, size=(rows, columns)) / 8
    x[rng.random(x.shape) < 0.02] = np.inf
    x[rng.random(x.shape) < 0.02] = -np.inf
    x[rng.random(x.shape) < missing] = np.nan
    return x
