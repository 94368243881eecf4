"""Every case of fixtures/ops: written as PMML and computed from its elements as the case expects, or refused by name."""

from __future__ import annotations

import json
import re
from typing import Any

import modelport_pmml
import pytest
from modelport_json import read_document
from modelport_pmml.dense import REASONS
from suite import document_of_case, op_cases

from modelport.document import EXACT, Document
from modelport.errors import InputError, Unsupported
from tests.converters.modelport_onnx.cases import Case
from tests.converters.modelport_pmml.common import agree

CASES = [(op, case) for op, case in op_cases() if "expected" in case]
#: cases with rows that are refused; those marked `feed` are about how rows are spelled in JSON
REFUSED = [(op, case) for op, case in op_cases() if case.get("error") == "predict" and "feed" not in case["flags"]]

#: why a case is refused, by a word of the sentence
WHY = re.compile(
    "finite|missing|64-bit integers|as the double|f32|infinite|iterates|single knot|cannot carry|TextIndex|without any number|"
    "network is dense|no axes to move|has a row of columns|has a row of fields|one row of numbers"
)


def written(case: dict[str, Any]) -> tuple[Document, bytes, str]:
    """A case as a document, its PMML, and the sentence that refuses it; one of the two is empty."""
    document = read_document(json.dumps(document_of_case(case)).encode())
    try:
        return document, modelport_pmml.write(document), ""
    except Unsupported as error:
        return document, b"", str(error)


@pytest.mark.parametrize(("op", "case"), [pytest.param(op, c, id=f"{op}: {c['name']}") for op, c in CASES])
def test_case(op: str, case: dict[str, Any]) -> None:
    document, data, refused = written(case)
    if refused:
        assert WHY.search(refused), refused
        assert "JSON" in refused
        return
    assert document.vectors is not None
    tolerance = {"y": document.vectors.tolerance.get("y", EXACT)}
    agree(modelport_pmml.load(data), document.vectors.inputs, document.vectors.outputs, tolerance)


@pytest.mark.parametrize(("op", "case"), [pytest.param(op, c, id=f"{op}: {c['name']}") for op, c in REFUSED])
def test_refused_rows(op: str, case: dict[str, Any]) -> None:
    try:
        data = modelport_pmml.write(Document(Case(op, case["name"], case).graph))
    except Unsupported:
        return
    with pytest.raises(InputError):
        modelport_pmml.load(data).run(Case(op, case["name"], case).feeds)


def test_most_cases_are_written() -> None:
    never = {"count_terms", "hash_terms", "lda_topics", "nmf", "sparse_code", *REASONS}
    kept = {op: 0 for op, _ in CASES}
    sayable = 0
    for op, case in CASES:
        kept[op] += not written(case)[2]
        sayable += op not in never and on_rows(case)
    assert {op for op, count in kept.items() if not count} == never
    assert sum(kept.values()) > 0.93 * sayable


def on_rows(case: dict[str, Any]) -> bool:
    """Whether a case reads and gives rows of columns."""
    return all(len(value["shape"]) <= 1 for value in case["inputs"]) and len(case["expected"]["shape"]) <= 2
