"""Documents and the operations that replaying them takes (docs/format.md, section 5), for the tests of the stubs."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from modelport_json.read import read_document
from suite import document_of_case, graph_cases

from modelport.errors import ArtifactError
from modelport.graph import Limits

__all__ = ["EMPTY", "LEAST", "SMALL", "SMALL_OPERATIONS", "WIDE", "WIDE_OPERATIONS", "of_ops", "operations_in", "small_work"]

#: operations for every byte of a document, beside the limit
PER_BYTE = 4096
#: a limit that refuses every document with a row
LEAST = -(1 << 50)


def _document(shape: list[int | str], steps: list[dict[str, Any]], verification: dict[str, Any], **more: Any) -> str:
    """The text of a document with an input x and an output y of f64; characters are not escaped."""
    document = {
        "format": "modelport",
        "version": "1.1",
        "requires": list(dict.fromkeys(step["op"] for step in steps)),
        **more,
        "steps": steps,
        "outputs": [{"name": "y", "from": "y", "dtype": "f64", "role": "transform"}],
        "verification": {"source": "synthetic", **verification, "tolerance": {"y": "exact"}},
    }
    return json.dumps({"inputs": [{"name": "x", "dtype": "f64", "shape": shape}], **document}, ensure_ascii=False)


def _zeros(*shape: int) -> dict[str, Any]:
    count = 1
    for length in shape:
        count *= length
    return {"dtype": "f64", "shape": list(shape), "data": [0.0] * count}


#: exp(x) times a 3 x 2 weight, added up; two rows of 3 times, and one of 5. Its text has characters of one to four bytes
SMALL = _document(
    ["time", 2],
    [
        {"op": "unary", "in": ["x"], "out": "e", "fn": "exp"},
        {"op": "linear", "in": ["e"], "out": "l", "weight": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]},
        {"op": "reduce", "in": ["l"], "out": "y", "fn": "sum", "axes": [0, 1]},
    ],
    {
        "inputs": {"x": _zeros(2, 3, 2)},
        "outputs": {"y": [12.0, 12.0]},
        "more": [{"inputs": {"x": _zeros(1, 5, 2)}, "outputs": {"y": [20.0]}}],
    },
    lengths={"time": 3},
    doc="1 \N{LATIN SMALL LETTER E WITH ACUTE} \N{EURO SIGN} \N{GRINNING FACE}",
)


def _small_row(time: int) -> int:
    """8 for every element read or given, and the multiplications, of the three steps."""
    return (8 * (2 * time + 2 * time) + 16 * 2 * time) + (8 * (2 * time + 3 * time) + 3 * time * 2) + 8 * (3 * time + 1)


SMALL_OPERATIONS = 2 * _small_row(3) + _small_row(5)
assert SMALL_OPERATIONS == 1498


def small_work() -> int:
    """The limit that SMALL just keeps."""
    size = len(SMALL.encode())
    assert size == len(SMALL) + 1 + 2 + 3
    return SMALL_OPERATIONS - PER_BYTE * size


#: 4,096 rows of 2^22 elements, in a few kilobytes
WIDE = _document(
    [1],
    [
        {"op": "cast", "in": ["x"], "out": "code", "to": "i64"},
        {"op": "onehot", "in": ["code"], "out": "wide", "size": 2**22},
        {"op": "reduce", "in": ["wide"], "out": "y", "fn": "sum"},
    ],
    {"inputs": {"x": _zeros(4096, 1)}, "outputs": {"y": [1.0] * 4096}},
)
WIDE_OPERATIONS = 4096 * 8 * ((1 + 1) + (1 + 2**22) + (2**22 + 1))

#: rows without elements, whose first axes have 2^40 places: who goes through these does not come back
EMPTY = _document(
    [2**20, 2**20, 0],
    [{"op": "concat", "in": ["x", "x"], "out": "y", "axis": 2}],
    {"inputs": {"x": _zeros(1, 2**20, 2**20, 0)}, "outputs": {"y": _zeros(1, 2**20, 2**20, 0)}},
)


def operations_in(sentence: str) -> int:
    """The operations that a refusal names."""
    found = re.search(r"takes (\d+) operations, more than the limit of (-?\d+) ", sentence)
    assert found is not None, sentence
    assert int(found[2]) < int(found[1])
    return int(found[1])


@cache
def of_ops() -> list[tuple[str, str, int]]:
    """(op, document, operations as the reference counts them) of every case with answers, also of rows without elements."""
    found = []
    for op, case in graph_cases():
        if "expected" in case:
            text = json.dumps(document_of_case(case))
            with pytest.raises(ArtifactError) as caught:
                read_document(text.encode(), Limits(work=LEAST))
            found.append((op, text, operations_in(str(caught.value))))
    return found
