"""What a PMML file of somebody else takes and gives, as a source: an input per active field, an output per result.

All numbers travel as f64; a boolean field is a number too, 1 for true and 0 for false.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from modelport_pmml.declaration import Carried
from modelport_pmml.declared import active_fields, declared_in, top_model
from modelport_pmml.parse import Element, parse
from modelport_pmml.reading.texts import boolean_text, number_text

from modelport.document import EXACT, Tolerance, Vectors
from modelport.errors import ArtifactError
from modelport.graph import LIMITS, Input

__all__ = ["PmmlFile"]

#: measures that reading.measures computes without the missing values
FORGIVING = frozenset({"euclidean", "squaredEuclidean"})
Array = np.ndarray[Any, np.dtype[Any]]


class PmmlFile:
    """A PMML file as a model: its bytes, its root element, what it declares and the rows it carries."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.root = parse(data)

    def __repr__(self) -> str:
        return f"PmmlFile({top_model(self.root).tag}, {len(self.data)} bytes)"

    @cached_property
    def carried(self) -> Carried:
        """Inputs and outputs; with the vectors of a file that modelport wrote."""
        found = declared_in(self.root)
        if found.own:
            return found
        whole = _needed_whole(top_model(self.root))
        return replace(found, inputs=tuple(_as_number(v, v.name in whole) for v in found.inputs), vectors=None)

    @cached_property
    def table(self) -> Vectors | None:
        """The rows that the file proves itself with: the exact ones of a file of ours, else those of its ModelVerification."""
        return self.carried.vectors if self.carried.own else _table(top_model(self.root), self.carried)


def _as_number(value: Input, whole: bool) -> Input:
    """Floats are fed as doubles and rounded as the field says; booleans as 1 and 0. whole: missing values are refused."""
    if value.dtype == "str" or (value.dtype == "f64" and not whole):
        return value
    missing = "nan" if value.dtype == "bool" or value.missing != "error" else "error"
    return Input(value.name, "f64", value.shape, "error" if whole else missing)


def _needed_whole(model: Element) -> set[str]:
    """The fields that a model compares with stored points by a measure that leaves out no missing value."""
    measure = model.find("ComparisonMeasure")
    kinds = {c.tag for c in measure.content()} if measure is not None else set()
    if model.tag not in ("ClusteringModel", "NearestNeighborModel", "SupportVectorMachineModel") or kinds & FORGIVING:
        return set()
    places = [*model.all("ClusteringField"), *(e for p in model.all("KNNInputs") for e in p.all("KNNInput"))]
    for dictionary in model.all("VectorDictionary"):
        places += list(dictionary.require("VectorFields").all("FieldRef"))
    replaced = {f.need("name") for f in active_fields(model) if f.get("missingValueReplacement") is not None}
    return {e.need("field") for e in places} - replaced


def _table(model: Element, carried: Carried) -> Vectors | None:
    """A ModelVerification as vectors of all inputs and of the outputs that it names.

    A field that it does not name, and a cell that a row does not have, is missing.
    """
    verification = model.find("ModelVerification")
    if verification is None:
        return None
    columns: dict[str, str] = {}
    outputs = {o.name: o for o in carried.outputs}
    tolerance: dict[str, Tolerance] = {}
    for field in verification.require("VerificationFields").all("VerificationField"):
        name = field.need("field")
        columns[name] = (field.get("column") or name).rpartition(":")[2]
        if name in outputs:
            tolerance[name] = _stated(field) if outputs[name].dtype == "f64" else EXACT
    table = verification.find("InlineTable")
    if table is None:
        raise ArtifactError("The ModelVerification has no InlineTable: rows in other places are not read.")
    rows = [{c.tag: c.text for c in row.children} for row in table.all("row")][: LIMITS.vector_rows]
    proven = [o for o in carried.outputs if o.name in columns]
    if not rows or not proven:
        return None
    given = {v.name: _cells(rows, columns.get(v.name), v.dtype)[:, None] for v in carried.inputs}
    wanted = {o.name: _cells(rows, columns[o.name], o.dtype).reshape(-1, *carried.shapes[o.name]) for o in proven}
    return Vectors(given, wanted, tolerance, "sample", ("verification",) * len(rows))


def _stated(field: Element) -> Tolerance:
    precision = number_text(field.get("precision", "1e-6"), "A VerificationField's precision")
    threshold = number_text(field.get("zeroThreshold", "1e-16"), "A VerificationField's zeroThreshold")
    if not (0 <= precision < 1 and 0 <= threshold < float("inf")):
        raise ArtifactError(
            f"The VerificationField {field.need('field')!r} has precision={precision!r} and zeroThreshold={threshold!r}; a "
            "precision is from 0 to below 1, a threshold from 0."
        )
    return Tolerance(threshold, precision)


def _cells(rows: list[dict[str, str]], column: str | None, dtype: str) -> Array:
    cells = [None if column is None else row.get(column) for row in rows]
    if dtype == "str":
        array = np.empty(len(cells), dtype=object)
        array[:] = cells
        return array
    if dtype == "bool":
        return np.array([boolean_text(c) for c in cells], dtype=bool)
    return np.array([float("nan") if c is None else _number(c, str(column)) for c in cells], dtype=np.float64)


def _number(cell: str, column: str) -> float:
    if cell.strip().lower() in ("true", "false"):
        return float(boolean_text(cell))
    return number_text(cell, f"Column {column!r} of the ModelVerification")


def subset(carried: Carried, outputs: Mapping[str, Any]) -> Carried:
    """The declaration with some of its outputs only, in its own order."""
    return replace(carried, outputs=tuple(o for o in carried.outputs if o.name in outputs))
