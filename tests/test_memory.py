"""Converting a large forest takes at most three times the artifact's size in memory, beside the model itself."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

import modelport


@pytest.mark.slow
def test_a_forest_of_500_trees() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 30))
    y = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=len(X)) / 2 > 0
    model = RandomForestClassifier(500, n_jobs=2, random_state=0).fit(X, y)
    modelport.convert(RandomForestClassifier(2).fit(X, y), "json", sample=X[:2000])  # what is imported on the way does not count
    tracemalloc.start()
    try:
        artifact = modelport.convert(model, "json", sample=X[:2000])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(artifact.data) > 10_000_000
    assert peak < 3 * len(artifact.data)
