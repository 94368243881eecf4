"""Every family x every format: what convert has proven stays true on other rows. Expected values are scikit-learn's.

CI takes one set of other rows per model; the nightly target takes several and every stub.
"""

from __future__ import annotations

import pytest
from zoo import ZOO, fitted

import modelport
from modelport.errors import Unsupported
from modelport.stubs import stubs, toolchain_problem

#: what PMML has no element for, by model and the step that its refusal names; everything else converts everywhere
REFUSED: dict[tuple[str, str], str] = {}


def proven(name: str, format_: str) -> modelport.Artifact | None:
    """The converted model, or None where the refusal is a known one."""
    model, sample = fitted(name)
    if (name, format_) in REFUSED:
        with pytest.raises(Unsupported, match=REFUSED[name, format_]):
            modelport.convert(model, format_, sample=sample)
        return None
    artifact = modelport.convert(model, format_, sample=sample)
    assert artifact.report is not None
    assert artifact.report.passed
    return artifact


@pytest.mark.parametrize("format_", ["json", "onnx", "pmml"])
@pytest.mark.parametrize("name", ZOO)
def test_other_rows_are_right_too(name: str, format_: str, need_module) -> None:  # type: ignore[no-untyped-def]
    if format_ == "onnx":
        need_module("onnxruntime", "onnxruntime")
    artifact = proven(name, format_)
    if artifact is not None:
        model, sample = fitted(name)
        report = modelport.verify(artifact, model=model, sample=sample, seed=2)
        assert report.passed, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_many_rows_in_every_stub(name: str) -> None:
    model, sample = fitted(name)
    artifact = proven(name, "json")
    assert artifact is not None
    names = [stub.name for stub in stubs() if stub.format == "json" and toolchain_problem(stub) is None]
    for seed in range(3, 8):
        report = modelport.verify(artifact, model=model, sample=sample, seed=seed, with_=names)
        assert report.passed, str(report)


def test_exactness_is_what_is_promised() -> None:
    """Trees, forests and boosted regressors are bit-exact, in JSON and in ONNX."""
    exact = [n for n in ZOO if n.startswith(("DecisionTree", "RandomForest", "ExtraTrees", "GradientBoostingRegressor"))]
    exact += ["HistGradientBoostingRegressor", "StandardScaler"]
    for name in exact:
        for format_ in ("json", "onnx"):
            artifact = proven(name, format_)
            assert artifact is not None
            for output in artifact.report.consumers[0].outputs:
                assert output.equality == "exact", (name, format_, output)
