"""IterativeImputer: missing cells are filled in first, and then predicted from the other columns, one column after the other.

A row is answered as the original answers it alone (in one call with others, a row without any present cell is treated otherwise).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predict, transform, transforms
from ..ledger import Ledger
from .imputing import match_of, missing_mask


@transforms("IterativeImputer")
def iterative_imputer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The initial imputation, and then every round of predictions, each within the limits of its column."""
    ledger.demand("sample_posterior", False, instead="it draws random numbers for every row; refit with sample_posterior=False.")
    ledger.waive("estimator", "_estimator", "max_iter", "tol", "n_nearest_features", "initial_strategy", "fill_value")
    ledger.waive(
        "imputation_order", "skip_complete", "min_value", "max_value", "n_iter_", "random_state_", "n_features_with_missing_"
    )
    missing = ledger["missing_values"]
    is_empty = ledger.get("_is_empty_feature")
    if is_empty is None:  # older fits say it through the statistics
        is_empty = np.isnan(np.asarray(ledger["initial_imputer_"].statistics_, dtype=np.float64))
    kept = np.flatnonzero(~is_empty | bool(ledger["keep_empty_features"]))
    empty = is_empty[kept]
    with builder.unprobed():
        filled = transform(ledger["initial_imputer_"], builder, table)
        part = table.select([int(j) for j in kept])
        state = _State(builder, filled, builder.matrix(part), match_of(missing), empty)
        lowest, highest = ledger.get("_min_value"), ledger.get("_max_value")  # not there when there is no round
        for column, neighbours, estimator in ledger["imputation_sequence_"]:
            state.impute(int(column), neighbours, estimator, lowest[column], highest[column])
    result = builder.table(state.result(), filled.names)
    indicator = ledger["indicator_"]
    if not ledger["add_indicator"]:
        return result
    mask = missing_mask(builder, table, missing, False, indicator.features_.tolist())
    return Table(result.columns + mask.columns)


class _State:
    """The row with its cells as imputed so far, and which of them were missing. Columns empty in the fit stay filled."""

    def __init__(self, builder: Builder, filled: Table, given: str, match: Any, empty: Array) -> None:
        self.builder, self.width = builder, len(empty)
        self.filled = self.row = builder.matrix(filled, "filled")
        mask = builder.add("is_missing", given, hint="is_missing", match=match)
        if empty.any():
            mask = builder.add("scale", mask, hint="is_missing", mul=np.where(empty, 0.0, 1.0))
        zero = builder.constant([0.0], "zero")
        self.missing = builder.add("binary", mask, zero, hint="missing", fn="gt")  # bool [width]
        lowest = builder.add("reduce", mask, hint="least_missing", fn="min", keep=True)
        self.none_given = builder.add("binary", lowest, zero, hint="none_given", fn="gt")
        self.masks: dict[int, str] = {}

    def impute(self, column: int, neighbours: Array, estimator: Any, low: float, high: float) -> None:
        """Put a prediction in the place of a missing cell."""
        builder = self.builder
        index = np.asarray(neighbours, dtype=np.int64)
        rows = builder.table(builder.add("select", self.row, hint="others", index=index))
        value = _number(builder, predict(estimator, builder, rows))
        bounds = {name: np.array([float(bound)]) for name, bound in (("min", low), ("max", high)) if np.isfinite(bound)}
        if bounds:
            value = builder.add("clip", value, hint="imputed", **bounds)
        self.row = builder.add("where", self._mask(column), value, self.row, hint="row")

    def _mask(self, column: int) -> str:
        """bool [width]: true in this column alone, where it is missing."""
        if column not in self.masks:
            place = self.builder.add("constant", hint="place", value=np.arange(self.width) == column)
            self.masks[column] = self.builder.add("binary", self.missing, place, hint="missing_here", fn="and")
        return self.masks[column]

    def result(self) -> str:
        """The imputed row; a row without any present cell keeps the initial imputation."""
        if self.row == self.filled:
            return self.row
        return self.builder.add("where", self.none_given, self.filled, self.row, hint="completed")


def _number(builder: Builder, prediction: Prediction) -> str:
    """What the estimator predicts as one f64: a regressor's number, or a classifier's label that is a number."""
    value = prediction.prediction or prediction.label
    assert value is not None, "an estimator that imputes predicts"
    return value if builder.types[value].dtype == "f64" else builder.add("cast", value, hint="number", to="f64")
