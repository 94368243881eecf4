"""The reference evaluator on the conformance suite's op cases, whose expected values come from NumPy, SciPy and scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from modelport_json import read_document
from modelport_json.tensors import decode
from suite import document_of_case, graph_cases

from modelport.compare import compare
from modelport.document import Tolerance
from modelport.errors import ArtifactError, InputError, Unsupported
from modelport.ops import OPS
from modelport.run import Evaluator

CASES = graph_cases()


def test_every_op_has_cases() -> None:
    assert {op for op, _ in CASES} == set(OPS)


@pytest.mark.parametrize(("op", "case"), CASES, ids=[f"{op}-{case['name']}" for op, case in CASES])
def test_op(op: str, case: dict[str, Any]) -> None:
    data = json.dumps(document_of_case(case), ensure_ascii=False).encode()
    if case.get("error") == "load":
        with pytest.raises((ArtifactError, Unsupported)):
            read_document(data)
        return
    graph = read_document(data).graph
    feeds = {v["name"]: decode(case["feed"][v["name"]], v["dtype"], "feed") for v in case["inputs"]}
    if case.get("error") == "predict":
        with pytest.raises(InputError):
            Evaluator(graph).run(feeds)
        return
    expected = decode(case["expected"], None, "expected")
    result = compare("y", expected, Evaluator(graph).run(feeds)["y"], Tolerance.from_json(case["tolerance"]))
    assert result.passed, result


def test_special_functions_against_scipy(need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("scipy", "scipy")
    import numpy as np
    from scipy.special import erf, ndtri

    from modelport.ops import special

    x = np.concatenate([np.linspace(-7, 7, 20001), [0.46875, -0.46875, 4.0, -4.0, 1e-300, 30.0, np.inf, -np.inf]])
    for edge in (0.46875, 4.0):
        x = np.append(x, [np.nextafter(edge, 0), np.nextafter(edge, 9)])
    np.testing.assert_allclose(special.erf(x), erf(x), rtol=2e-15, atol=0)
    p = np.concatenate([np.linspace(0, 1, 4001), 10.0 ** -np.arange(1, 300), [0.075, 0.925]])
    np.testing.assert_allclose(special.norm_ppf(p), ndtri(p), rtol=1e-14, atol=1e-15)
    assert np.isnan(special.norm_ppf(np.array([-0.1, 1.1, np.nan]))).all()


def test_fixture_folder_has_one_file_per_op(root: Path) -> None:
    assert {p.stem for p in (root / "fixtures/ops").glob("*.json")} == set(OPS)
