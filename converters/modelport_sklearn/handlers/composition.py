"""Estimators made of estimators: Pipeline, ColumnTransformer, FeatureUnion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..builder import Builder, Prediction, Ref, Table
from ..dispatch import predict, predicts, transform, transforms
from ..ledger import Ledger


@transforms("Pipeline")
def pipeline_transform(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Every step transforms what the one before gives."""
    steps = _steps(ledger)
    return _through(steps, builder, table)


@predicts("Pipeline")
def pipeline_predict(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The last step predicts from what the others transform."""
    *steps, final = _steps(ledger)
    table = _through(steps, builder, table)
    with builder.within(_chain(steps)):
        return predict(final, builder, table)


def _steps(ledger: Ledger) -> list[Any]:
    ledger.waive("transform_input")  # says what becomes of a fit parameter
    return [estimator for _, estimator in ledger["steps"] if estimator is not None and not _is_word(estimator, "passthrough")]


def _through(steps: Sequence[Any], builder: Builder, table: Table) -> Table:
    for k, estimator in enumerate(steps):
        with builder.within(_chain(steps[:k])):
            table = transform(estimator, builder, table)
        builder.probe_table(table, _chain(steps[: k + 1]))
    return table


def _chain(steps: Sequence[Any]) -> Callable[[Any], Any]:
    """What the original makes of rows with these steps."""

    def apply(rows: Any) -> Any:
        for estimator in steps:
            rows = estimator.transform(rows)
        return rows

    return apply


@transforms("ColumnTransformer")
def column_transformer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Each transformer is given its columns; the results stand side by side in the order of transformers_."""
    # transformers_ and sparse_output_ say what these led to
    ledger.waive("transformers", "remainder", "sparse_threshold", "force_int_remainder_cols", "_columns", "_remainder")
    ledger.waive("_n_features", "output_indices_", "_transformers_feature_names_out", "_name_to_fitted_passthrough")
    positions, weights = ledger["_transformer_to_input_indices"], ledger["transformer_weights"] or {}
    results = []
    for name, estimator, columns in ledger["transformers_"]:
        chosen = [int(j) for j in positions[name]]
        if _is_word(estimator, "drop") or not chosen:
            continue
        with builder.within(_picker(columns, chosen)):
            result = transform(estimator, builder, table.select(chosen))
        results.append(_weighted(builder, result, weights.get(name)))
    return _side_by_side(results, bool(ledger["sparse_output_"]))


def _picker(columns: Any, chosen: list[int]) -> Callable[[Any], Any]:
    """The columns of the original's rows, as one axis less when a single one was asked for by its plain name."""
    wanted = chosen[0] if np.isscalar(columns) else chosen

    def pick(rows: Any) -> Any:
        return rows.iloc[:, wanted] if hasattr(rows, "iloc") else rows[:, wanted]

    return pick


@transforms("FeatureUnion")
def feature_union(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Each transformer is given all columns; the results stand side by side."""
    ledger.waive("_transformers_feature_names_out")
    weights = ledger["transformer_weights"] or {}
    results = []
    for name, estimator in ledger["transformer_list"]:
        if not _is_word(estimator, "drop"):
            results.append(_weighted(builder, transform(estimator, builder, table), weights.get(name)))
    return _side_by_side(results, any(result.sparse for result in results))


def _weighted(builder: Builder, table: Table, weight: Any) -> Table:
    if weight is None:
        return table
    weighted = builder.add("scale", builder.matrix(table), hint="weighted", mul=np.array([weight], dtype=np.float64))
    return builder.table(weighted, table.names, sparse=table.sparse)


def _side_by_side(tables: Sequence[Table], sparse: bool) -> Table:
    columns = tuple(ref for table in tables for ref in table.columns)
    return _in_one_dtype(Table(columns, sparse))


def _in_one_dtype(table: Table) -> Table:
    """Stacked numbers are held in the dtype that fits all of them; strings beside them change nothing that can be seen."""
    numbers = Table(tuple(ref for ref in table.columns if ref.dtype != "str"))
    return Table(tuple(_held(ref, numbers.held) for ref in table.columns), table.sparse)


def _held(ref: Ref, dtype: str) -> Ref:
    return ref if ref.dtype == "str" else replace(ref, held=dtype)


def _is_word(estimator: Any, word: str) -> bool:
    return isinstance(estimator, str) and estimator == word
