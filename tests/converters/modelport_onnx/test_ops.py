"""Every case of fixtures/ops, written as ONNX and answered by onnxruntime. The expected values are not modelport's."""

from __future__ import annotations

import modelport_onnx
import numpy as np
import pytest

from modelport.compare import compare
from modelport.document import Document, Tolerance
from modelport.errors import InputError
from tests.converters.modelport_onnx.cases import Case, all_cases

TARGETS = ("onnxruntime>=1.21", "onnxruntime>=1.17")
#: Where onnxruntime's own kernel is not exact to the case's tolerance: (op, case) -> tolerance that is kept, and why.
LOOSER: dict[tuple[str, str], tuple[Tolerance, str]] = {}
CASES = [case for case in all_cases() if case.error != "load"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op}-{case.name}")
def test_case(case: Case, target: str) -> None:
    loaded = modelport_onnx.load(modelport_onnx.write(Document(case.graph), {"target": target}))
    if case.error == "predict":
        with pytest.raises(InputError) as refusal:
            loaded.run(case.feeds)
        assert str(refusal.value).endswith(".")
        return
    tolerance = LOOSER.get((case.op, case.name), (case.tolerance, ""))[0]
    report = compare("y", case.expected, loaded.run(case.feeds)["y"], tolerance)
    assert report.passed, report


def test_the_list_of_exceptions_is_not_stale() -> None:
    assert set(LOOSER) <= {(case.op, case.name) for case in CASES}


def test_there_are_cases_for_every_op() -> None:
    from modelport_onnx.writer import RULES

    from modelport.ops import OPS

    assert {case.op for case in CASES} == set(OPS) == set(RULES)
    assert len(CASES) > 400 and np.mean([case.error is None for case in CASES]) > 0.5
