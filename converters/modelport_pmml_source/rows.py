"""Rows for a PMML file: the user's sample as one column per field, or the rows the file carries."""

from __future__ import annotations

from typing import Any

import numpy as np
from modelport_pmml.declared import data_fields

from modelport.errors import InputError
from modelport.sample import Column, Sample, is_missing

from .declaring import PmmlFile

__all__ = ["own_rows", "sample", "strings"]


def sample(model: PmmlFile, data: Any) -> Sample:
    """See `modelport_pmml_source.sample_of`."""
    inputs = model.carried.inputs
    if model.carried.own and any(v.features is not None or v.type.width > 1 or v.shape == () for v in inputs):
        names = [n for v in inputs for n in (v.features or [v.name] * v.type.width)]
        return Sample.of(data, names)
    given = Sample.of(data, [v.name for v in inputs])
    columns = {c.name: c for c in given.columns}
    missing = [v.name for v in inputs if v.name not in columns]
    if missing:
        raise InputError(f"The sample has no column {missing[0]!r}, a field that the PMML model reads.")
    found = tuple(_column(columns[v.name], v.dtype) for v in inputs)
    return Sample(found, "table", True, True)


def _column(column: Column, dtype: str) -> Column:
    """The column with cells of a dtype; a column without any value can be of either."""
    wanted = "str" if dtype == "str" else "f64"
    if column.dtype == wanted:
        return column
    if not all(is_missing(v) for v in column.values.tolist()):
        kinds = {"f64": "numbers", "str": "strings"}
        raise InputError(
            f"Column {column.name!r} of the sample holds {kinds[column.dtype]}; the PMML field holds {kinds[wanted]}."
        )
    n = len(column.values)
    values = np.full(n, np.nan) if wanted == "f64" else np.full(n, None, dtype=object)
    return Column(column.name, wanted, values)


def own_rows(model: PmmlFile) -> Sample | None:
    """See `modelport_pmml_source.own_sample`."""
    table, inputs = model.table, model.carried.inputs
    if table is None:
        return None
    if model.carried.own:
        kinds = {v.dtype for v in inputs}
        if kinds == {"f64"} and len(inputs) == 1 and len(inputs[0].shape) == 1:
            return Sample.of(table.inputs[inputs[0].name], inputs[0].features)
        columns = [Column(v.name, "str" if v.dtype == "str" else "f64", _flat(table.inputs[v.name])) for v in inputs]
        return Sample(tuple(columns), "table", True, True)
    return Sample(tuple(Column(v.name, v.dtype, table.inputs[v.name][:, 0]) for v in inputs), "table", True, True)


def _flat(array: Any) -> Any:
    column = array.reshape(len(array), -1)[:, 0]
    return column if column.dtype == object else column.astype(np.float64)


def strings(model: PmmlFile) -> dict[str, set[str]]:
    """See `modelport_pmml_source.strings_of`."""
    fields = data_fields(model.root)
    names = [n for v in model.carried.inputs if v.dtype == "str" for n in model.carried.fields.inputs[v.name]]
    return {n: {v.get("value", "") for v in fields[n].all("Value")} for n in names if n in fields}
