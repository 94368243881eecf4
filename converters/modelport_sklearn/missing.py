"""Missing values of the inputs: which columns accept them, and whether the original reads them as None or as NaN."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.graph import Input
from modelport.sample import Column, Sample

NAN = float("nan")
#: kinds of samples whose missing cells only fill up rows (see feeding)
FILLED = ("lists", "pairs", "records")


def is_missing(value: Any) -> bool:
    """None, NaN and pandas' NA."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def holds_objects(sample: Sample, column: Column) -> bool:
    """Whether the model is fed this column as Python objects, among which None differs from NaN."""
    if not sample.frame:
        return sample.kind == "table" and any(c.dtype == "str" for c in sample.columns)
    kind, name = getattr(column.original, "kind", "O"), type(column.original).__name__
    if column.dtype == "f64":
        return column.original is not None and kind == "O" and name not in ("StringDtype", "CategoricalDtype")
    return name != "CategoricalDtype"


def decided_markers(sample: Sample) -> dict[str, Any]:
    """Column name -> how its missing values are written, for the columns of objects in which that is fixed already.

    Columns of a pandas string dtype have that dtype's marker; others the one the sample shows, if it shows one.
    """
    decided = {}
    for column in sample.columns:
        if type(column.original).__name__ == "StringDtype" and sample.frame:
            decided[column.name] = column.original.na_value
        elif holds_objects(sample, column) and _shows_missing(column):
            decided[column.name] = column.missing
    return decided


def with_markers(sample: Sample, markers: Mapping[str, Any]) -> Sample:
    """The sample whose columns write missing values as decided."""
    return replace(sample, columns=tuple(replace(c, missing=markers.get(c.name, c.missing)) for c in sample.columns))


def accepting_columns(model: Any, sample: Sample) -> list[bool]:
    """Per column whether the model answers a row in which it is missing: the model itself is asked."""
    if sample.kind in FILLED:
        return [True] * len(sample.columns)
    if sample.kind == "text" or not len(sample):
        return [False] * len(sample.columns)
    accepted: set[int] = set()
    queue = [list(range(len(sample.columns)))]
    while queue:
        columns = queue.pop()
        if _answers_without(model, sample, columns):
            accepted.update(columns)
        elif len(columns) > 1 and _looks_at_columns(model):
            queue += [columns[: len(columns) // 2], columns[len(columns) // 2 :]]
    return [j in accepted for j in range(len(sample.columns))]


def split_if_needed(model: Any, sample: Sample) -> Sample:
    """One input per column for a matrix with missing values in the sample that only some columns may have."""
    if sample.kind != "matrix" or not any(_shows_missing(c) for c in sample.columns):
        return sample
    accepted = accepting_columns(model, sample)
    return replace(sample, kind="table") if any(accepted) and not all(accepted) else sample


def declared(inputs: Sequence[Input], sample: Sample, accepted: Sequence[bool]) -> list[Input]:
    """The inputs with what they accept: NaN or null where the model does, for a matrix where it does in all columns."""
    if sample.kind in FILLED:
        return list(sample.inputs())
    if sample.kind == "matrix":
        accepted = [bool(accepted) and all(accepted)]
    words = {"f64": "nan", "str": "null"}
    return [replace(v, missing=words[v.dtype] if yes else "error") for v, yes in zip(inputs, accepted, strict=True)]


def _shows_missing(column: Column) -> bool:
    if column.dtype == "f64":
        return bool(np.isnan(column.values).any())
    return any(is_missing(v) for v in column.values.tolist())


def _answers_without(model: Any, sample: Sample, columns: Sequence[int]) -> bool:
    """Whether the model answers the sample's first row with these columns missing."""
    feeds = {name: array[:1].copy() for name, array in sample.feeds().items()}
    for j in columns:
        if sample.kind == "matrix":
            next(iter(feeds.values()))[0, j] = NAN
        else:
            feeds[sample.columns[j].name][...] = NAN if sample.columns[j].dtype == "f64" else None
    from .asking import plain_errors

    method = next(m for m in ("predict", "transform") if hasattr(model, m))
    try:
        with warnings.catch_warnings(), plain_errors():
            warnings.simplefilter("ignore")
            getattr(model, method)(sample.restore(feeds))
    except (ValueError, TypeError, AttributeError, LookupError):
        return False
    return True


def _looks_at_columns(model: Any) -> bool:
    """Whether some part treats columns differently, so that one may accept what another refuses."""
    from .asking import parts

    signs = ("transformers_", "categories_", "get_support", "features_")
    return any(hasattr(part, name) for part in parts(model) for name in signs)
