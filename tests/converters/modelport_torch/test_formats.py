"""Every model of the zoo as JSON and as ONNX, from end to end: proven on rows of all lengths and batches, and again on others."""

from __future__ import annotations

import pytest

import modelport
from modelport.errors import UnsupportedModel
from tests.converters.modelport_torch.zoo import Case, each_in_a_process, shared

#: how far an output may lie from the module's, relative to its largest number
SCALE = 1e-5


@pytest.mark.parametrize("case", each_in_a_process())
def test_json_and_onnx(case: Case, need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("onnxruntime", "onnxruntime")
    model, rows = shared(case.name), case.rows()
    options = {"lengths": case.lengths} if case.lengths else {}
    for format_ in ("json", "onnx"):
        if case.refused:
            with pytest.raises(UnsupportedModel, match="Python `if` on data"):
                modelport.convert(model, format_, sample=rows, **options)
            continue
        artifact = modelport.convert(model, format_, sample=rows, **options)
        assert artifact.report is not None
        assert artifact.report.passed
        report = modelport.verify(artifact, model=model, sample=rows, **options)
        assert report.passed, report
        vectors = artifact.load().vectors
        assert len(vectors.sets()) > 1 or not case.lengths
        scales = {name: max(abs(part.outputs[name]).max() for part in vectors.sets()) for name in vectors.outputs}
        for output in artifact.report.consumers[1].outputs:  # the rows the artifact carries
            assert output.max_abs is not None
            assert output.max_abs <= SCALE * scales[output.output]
