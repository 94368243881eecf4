"""Every model of the zoo as JSON and as ONNX, from end to end: proven on rows of all lengths and batches, and again on others."""

from __future__ import annotations

import pytest

import modelport
from modelport.errors import Unsupported
from tests.converters.modelport_keras.zoo import ZOO

#: how far an output may lie from the model's, relative to its largest number
SCALE = 1e-5
#: what ONNX has no operators for
NOT_ONNX = {"text_vectorization": "splits text"}


@pytest.mark.parametrize("name", sorted(ZOO))
def test_json_and_onnx(name: str, need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("onnxruntime", "onnxruntime")
    model, rows, _ = ZOO[name]()
    for format_ in ("json", "onnx"):
        if format_ == "onnx" and name in NOT_ONNX:
            with pytest.raises(Unsupported, match=NOT_ONNX[name]):
                modelport.convert(model, format_, sample=rows)
            continue
        artifact = modelport.convert(model, format_, sample=rows)
        assert artifact.report is not None
        assert artifact.report.passed
        assert artifact.backend == "graph"
        report = modelport.verify(artifact, model=model, sample=rows)
        assert report.passed, report
        vectors = artifact.load().vectors
        for output in artifact.report.consumers[1].outputs:  # the rows the artifact carries
            scale = max(abs(part.outputs[output.output]).max() for part in vectors.sets())
            assert output.max_abs is not None
            assert output.max_abs <= SCALE * scale


def test_all_but_one_are_onnx_too() -> None:
    assert (len(ZOO), len(NOT_ONNX)) == (28, 1)
