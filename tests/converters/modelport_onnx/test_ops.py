"""Every case of fixtures/ops, written as ONNX and answered by onnxruntime. The expected values are not modelport's."""

from __future__ import annotations

import modelport_onnx
import numpy as np
import onnx
import pytest
from modelport_onnx.writer import NET, REASONS, RULES

from modelport.compare import compare
from modelport.document import Document, Tolerance
from modelport.errors import InputError, Unsupported
from modelport.ops import OPS
from tests.converters.modelport_onnx.cases import Case, all_cases

TARGETS = ("onnxruntime>=1.21", "onnxruntime>=1.17")
PRODUCT = "onnxruntime's matrix product adds in blocks and fuses multiplication with addition; linear is not an exact op"
SUMS = "the terms of a sum cancel, and onnxruntime adds those of f32 in f32"
#: Where onnxruntime cannot keep a case's tolerance: the tolerance that it keeps, and why. A case that needs none is to leave.
LOOSER = {
    ("linear", "64 terms in ascending order"): (Tolerance(1e-14, 1e-14), PRODUCT),
    ("linear", "no fused multiply-add"): (Tolerance(1e-15, 0.0), PRODUCT),
    ("conv", "f32 cancels, f32"): (Tolerance(1.0, 0.0), SUMS),
    ("matmul", "f32 cancels, f32"): (Tolerance(1.0, 0.0), SUMS),
    ("pool", "mean in f32, f32"): (Tolerance(2.0, 0.0), SUMS),
}
#: cases whose step is refused when the model is written
REFUSED = {("conv", "an infinite weight meets padding"): "a weight that is not finite"}
#: the flag `feed` marks cases about rows spelled in JSON, which never reach ONNX
EVERY = [case for case in all_cases() if case.error != "load" and "feed" not in case.raw["flags"]]
CASES = [case for case in EVERY if case.op in RULES]


def in_single(case: Case) -> Tolerance:
    """What is held where onnxruntime computes in f32, and the format in f64: units in the last place of the largest element."""
    largest = float(np.nanmax(np.abs(case.expected), initial=0.0, where=np.isfinite(case.expected)))
    return Tolerance(max(2e-7 * largest, 1e-7), 1e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op}-{case.name}")
def test_case(case: Case, target: str) -> None:
    if (case.op, case.name) in REFUSED:
        with pytest.raises(Unsupported, match=REFUSED[case.op, case.name]):
            modelport_onnx.write(Document(case.graph), {"target": target})
        return
    data = modelport_onnx.write(Document(case.graph), {"target": target})
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    loaded = modelport_onnx.load(data)
    if case.error == "predict":
        with pytest.raises(InputError, match=r"(?m)\.$"):
            loaded.run(case.feeds)
        return
    got = loaded.run(case.feeds)["y"]
    report = compare("y", case.expected, got, case.tolerance)
    if (case.op, case.name) in LOOSER:
        assert not report.passed, "the case needs no exception any more"
        report = compare("y", case.expected, got, LOOSER[case.op, case.name][0])
    elif not report.passed and case.op in NET and got.dtype == np.float32:
        report = compare("y", case.expected, got, in_single(case))
    assert report.passed, report


def test_there_are_cases_for_every_op() -> None:
    assert {case.op for case in CASES} == set(RULES)
    assert {case.op for case in EVERY} == set(OPS) == {*RULES, *REASONS}
    assert {*LOOSER, *REFUSED} <= {(case.op, case.name) for case in CASES}
    assert len(CASES) > 400


@pytest.mark.parametrize("op", REASONS)
def test_ops_without_translation_are_refused_by_name(op: str) -> None:
    case = next(case for case in EVERY if case.op == op)
    with pytest.raises(Unsupported, match=rf"\({op}\) cannot be written as ONNX: ONNX has no operator .* Write JSON"):
        modelport_onnx.write(Document(case.graph))


@pytest.mark.parametrize("case", CASES[::7], ids=lambda case: f"{case.op}-{case.name}")
def test_the_same_document_gives_the_same_bytes(case: Case) -> None:
    assert modelport_onnx.write(Document(case.graph)) == modelport_onnx.write(Document(case.graph))
