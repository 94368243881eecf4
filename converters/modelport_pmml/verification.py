"""ModelVerification: the carried rows in PMML's own form, for any scorer that checks them."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.document import EXACT, Document, Tolerance

from .declaration import Declared
from .text import element, label, lines, text

__all__ = ["model_verification"]

Array = np.ndarray[Any, np.dtype[Any]]
#: a row of an InlineTable has at least so many cells
LEAST_CELLS = 2
#: PMML's default precision: a relative tolerance
PRECISION = 1e-6


def model_verification(document: Document, declared: Declared) -> str:
    """The rows that PMML can spell: no infinite numbers, no missing answers, no strings whose spaces an XML reader may drop."""
    vectors, graph = document.vectors, document.graph
    if vectors is None:
        return ""
    cells: list[tuple[str, Array]] = []
    fields: list[str] = []
    for value in graph.inputs:
        matrix = vectors.inputs[value.name].reshape(len(vectors), -1)
        for j, name in enumerate(declared.inputs[value.name]):
            fields.append(element("VerificationField", field=name, column=f"c{len(fields)}"))
            cells.append(("input", matrix[:, j]))
    for output in graph.outputs:
        matrix = vectors.outputs[output.name].reshape(len(vectors), -1)
        precision, threshold = acceptance(vectors.tolerance.get(output.name, EXACT), output.dtype)
        for j, name in enumerate(declared.outputs[output.name]):
            bounds = {"precision": precision, "zeroThreshold": threshold} if matrix.dtype.kind == "f" else {}
            fields.append(element("VerificationField", field=name, column=f"c{len(fields)}", **bounds))
            cells.append(("output", matrix[:, j]))
    spelled = [i for i in range(len(vectors)) if all(_can_be_spelled(kind, column[i]) for kind, column in cells)]
    rows = [row for i in spelled if len(row := _row(cells, i)) >= LEAST_CELLS]
    if not rows:
        return ""
    return element(
        "ModelVerification",
        element("VerificationFields", *fields),
        element("InlineTable", lines([f"<row>{''.join(row)}</row>" for row in rows])),
        recordCount=len(rows),
        fieldCount=len(fields),
    )


def acceptance(tolerance: Tolerance, dtype: str) -> tuple[float, float]:
    """precision (relative) and zeroThreshold (below it, values count as zero) that accept whatever the tolerance accepts.

    >>> acceptance(Tolerance(), "f64"), acceptance(Tolerance(1e-12, 1e-12), "f64")
    ((0.0, 0.0), (1e-06, 1e-06))
    """
    if tolerance.exact:
        return 0.0, 0.0
    unit = 2.0**-23 if dtype == "f32" else 2.0**-52
    relative = tolerance.rtol + (tolerance.ulp or 0) * unit
    precision = max(PRECISION, relative)
    return precision, tolerance.atol / precision


def _can_be_spelled(kind: str, value: Any) -> bool:
    if value is None:
        return kind == "input"
    if isinstance(value, str):
        return value == value.strip() and value != ""
    plain = float(value)
    return bool(np.isfinite(plain)) or (kind == "input" and plain != plain)


def _row(cells: list[tuple[str, Array]], i: int) -> list[str]:
    """The cells of a row that are not missing."""
    parts = []
    for number, (_, column) in enumerate(cells):
        value = column[i]
        plain = value.item() if isinstance(value, np.generic) else value
        if plain is not None and plain == plain:
            parts.append(f"<c{number}>{text(label(plain))}</c{number}>")
    return parts
