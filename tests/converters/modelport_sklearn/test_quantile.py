"""QuantileTransformer: bit by bit what numpy.interp gives from both sides, at jumps, bounds and beyond."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

import modelport
from modelport.errors import UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import around, check, read

WINE = load_wine().data[:, :5]
JUMPS = np.column_stack(
    [WINE.round(), np.full(len(WINE), 7.0), np.maximum(WINE[:, 0] - 13, 0), np.repeat([1.0, 2.0], len(WINE) // 2)]
)


def on_knots(model: QuantileTransformer, at_most: int = 40) -> np.ndarray:
    """Rows on knots of every column, beside them, and far outside."""
    columns = []
    for knots in model.quantiles_.T:
        near = [v for k in (knots[0], knots[-1]) for v in (k - 1e-7, k + 1e-7, k - 2e-7, k + 2e-7)]
        columns.append(
            np.concatenate([around(*np.unique(knots)[:: 1 + len(knots) // at_most], knots[-1], 0.0, 1e30, -1e30), near])
        )
    longest = max(len(c) for c in columns)
    return np.stack([np.resize(c, longest) for c in columns], axis=1)


@pytest.mark.parametrize("rows", [WINE, JUMPS], ids=["wine", "jumps"])
@pytest.mark.parametrize("quantiles", [1, 2, 10, 178])
def test_uniform_is_bit_exact(rows, quantiles):
    model = QuantileTransformer(n_quantiles=quantiles).fit(rows)
    missing = rows[:20].copy()
    missing[::3, 1] = np.nan
    reading = check(model, rows, on_knots(model), missing)
    assert reading.graph.inputs[0].missing == "nan"


@pytest.mark.parametrize("rows", [WINE, JUMPS], ids=["wine", "jumps"])
def test_normal(rows):
    model = QuantileTransformer(n_quantiles=50, output_distribution="normal").fit(rows)
    check(model, rows, on_knots(model), rtol=1e-13, atol=1e-14)


def test_subsampled_fits():
    check(QuantileTransformer(n_quantiles=20, subsample=50, random_state=0).fit(WINE), WINE)


@pytest.mark.parametrize("signed", [True, False])
def test_sparse_rows_keep_their_zeros(signed):
    rows = WINE.round()
    parts = [("c", OneHotEncoder(handle_unknown="ignore"), [0, 1]), ("n", "passthrough", [2])]
    columns = ColumnTransformer(parts, sparse_threshold=1.0)
    model = make_pipeline(columns, QuantileTransformer(n_quantiles=10, ignore_implicit_zeros=signed)).fit(rows)
    assert columns.sparse_output_ or model[0].sparse_output_
    check(model, rows, rows + 1)


def test_an_artifact_proves_itself():
    for distribution in ("uniform", "normal"):
        model = QuantileTransformer(n_quantiles=30, output_distribution=distribution).fit(JUMPS)
        assert modelport.convert(model, "json", sample=JUMPS).report.passed


def test_what_is_not_known_is_refused():
    model = QuantileTransformer(n_quantiles=5).fit(WINE)
    model.extra_ = 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        read(model, Sample.of(WINE))
    empty = WINE.copy()
    empty[:, 2] = np.nan
    with pytest.raises(UnsupportedAttribute, match="quantiles_"):
        read(QuantileTransformer(n_quantiles=5).fit(empty), Sample.of(empty))
