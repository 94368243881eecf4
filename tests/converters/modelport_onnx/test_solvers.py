"""Iterations as loops of ONNX: every row goes its own way, whatever stands beside it. The judge is scikit-learn, row by row."""

from __future__ import annotations

from typing import Any

import modelport_onnx
import numpy as np
import pytest
from modelport_sklearn import read
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF, LatentDirichletAllocation, MiniBatchNMF, SparseCoder

from modelport.document import Document
from modelport.errors import InputError
from modelport.graph import Graph, Input, Output, Step
from modelport.sample import Sample

COUNTS = load_digits().data[:120, 2:62:4]
ATOMS = np.random.default_rng(0).normal(size=(7, 15))
ATOMS /= np.linalg.norm(ATOMS, axis=1, keepdims=True)
MODELS: dict[str, Any] = {
    "descent": NMF(3, random_state=0),
    "descent with penalties": NMF(3, alpha_W=0.01, l1_ratio=0.5, random_state=0),
    "multiplicative": NMF(3, solver="mu", random_state=0),
    "Kullback-Leibler": NMF(3, solver="mu", beta_loss="kullback-leibler", random_state=0),
    "mini-batch": MiniBatchNMF(3, random_state=0),
    "topics": LatentDirichletAllocation(4, random_state=0),
    "pursuit": SparseCoder(ATOMS, transform_n_nonzero_coefs=3),
    "lasso": SparseCoder(ATOMS, transform_algorithm="lasso_cd", transform_alpha=0.5),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", ["onnxruntime>=1.21", "onnxruntime>=1.17"])
@pytest.mark.parametrize("name", MODELS)
def test_rows_side_by_side_and_alone(name: str, target: str) -> None:
    model = MODELS[name].fit(COUNTS[:80])
    reading = read(model, Sample.of(COUNTS))
    loaded = modelport_onnx.load(modelport_onnx.write(Document(reading.graph), {"target": target}))
    rows = np.concatenate([COUNTS[60:100], np.zeros((1, 15)), 1e3 * COUNTS[100:110]])
    feeds = Sample.of(rows).feeds()
    expected = np.concatenate([model.transform(row[None]) for row in rows])
    (got,) = loaded.run(feeds).values()
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    alone = [loaded.run({k: v[i : i + 1] for k, v in feeds.items()}) for i in range(0, len(rows), 9)]
    np.testing.assert_allclose(np.concatenate([next(iter(a.values())) for a in alone]), got[::9], rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize(("bad", "sentence"), [(-1.0, "negative"), (np.inf, "not finite")])
def test_rows_that_are_refused(bad: float, sentence: str) -> None:
    step = Step("nmf", ["x"], "y", {"components": np.eye(2), "solver": "cd", "max_iter": 9, "tol": 1e-4})
    graph = Graph([Input("x", "f64", (2,))], [step], [Output("y", "y", "f64", "transform")])
    loaded = modelport_onnx.load(modelport_onnx.write(Document(graph)))
    with pytest.raises(InputError, match=f"Row 1: an element is {sentence}"):
        loaded.run({"x": np.array([[1.0, 2.0], [bad, 1.0]])})
