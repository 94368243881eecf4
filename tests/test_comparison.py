"""The comparison with other converters: what is counted as right, wrong, refused, and that the page says what was measured."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from catalogue import FITTED

ROOT = Path(__file__).resolve().parent.parent


def module(path: Path) -> ModuleType:
    """A script, imported."""
    spec = importlib.util.spec_from_file_location(f"compared_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(loaded)
    sys.path[:] = before
    return loaded


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return module(ROOT / "benchmarks" / "comparison.py")


@pytest.fixture(scope="module")
def case(script: ModuleType) -> Any:
    return script.Case("LogisticRegression")


def original(case: Any) -> Any:
    """Answers of the model itself, asked through scikit-learn."""
    names = list(case.model.feature_names_in_)

    def run(feeds: Any) -> dict[str, Any]:
        import pandas as pd

        rows = pd.DataFrame(feeds["X"], columns=names)
        return {"label": case.model.predict(rows), "probability": case.model.predict_proba(rows)}

    return run


def test_the_original_itself_is_right(script: ModuleType, case: Any) -> None:
    found = script.measured(case, lambda c: (c.pool, original(c)))
    assert found["converts"]
    assert found["runs"]
    assert found["plain"]["rows"] > 100
    assert found["plain"]["wrong"] == 0
    assert "first" not in found["plain"]


@pytest.mark.parametrize("change", ["one probability", "one label", "nan", "no output", "another shape"])
def test_what_is_wrong_is_counted(script: ModuleType, case: Any, change: str) -> None:
    def run(feeds: Any) -> dict[str, Any]:
        answers = original(case)(feeds)
        if change == "one probability":
            answers["probability"][3, 1] += 1e-3
        elif change == "nan":
            answers["probability"][3, 1] = np.nan
        elif change == "one label":
            answers["label"][3] = "daisy"
        elif change == "no output":
            del answers["label"]
        else:
            answers["probability"] = answers["probability"][:, :2]
        return answers

    plain = script.measured(case, lambda c: (c.pool, run))["plain"]
    assert plain["wrong"] == (plain["rows"] if change in ("no output", "another shape") else 1)
    assert plain["first"]


def test_single_precision_is_no_error(script: ModuleType, case: Any) -> None:
    def run(feeds: Any) -> dict[str, Any]:
        answers = original(case)(feeds)
        return {**answers, "probability": answers["probability"].astype(np.float32)}

    found = script.measured(case, lambda c: (c.single(), run))
    assert found["plain"]["wrong"] == 0
    single = case.single().inputs["X"]
    assert np.array_equal(single, single.astype(np.float32).astype(np.float64))


def test_what_refuses_and_what_breaks_is_told_apart(script: ModuleType, case: Any) -> None:
    def refuses(_: Any) -> Any:
        raise script.Refuses("it does not know it.\nmore")

    def breaks(c: Any) -> Any:
        return c.pool, lambda feeds: 1 / 0

    assert script.measured(case, refuses) == {"converts": False, "why": "it does not know it."}
    found = script.measured(case, breaks)
    assert (found["converts"], found["runs"]) == (True, False)
    with pytest.raises(TimeoutError), script.at_most(1):
        __import__("time").sleep(5)


def test_skl2onnx_is_measured_as_stated(script: ModuleType, need_module: Any) -> None:
    """A few estimators again: what comparison.json says of them is found now."""
    need_module("skl2onnx", "skl2onnx")
    need_module("onnxruntime", "onnxruntime")
    stated = json.loads(script.RESULT.read_text(encoding="utf-8"))["peers"]
    for name in ("Normalizer", "SimpleImputer", "CCA"):
        for peer in ("skl2onnx, single", "skl2onnx, double"):
            found = script.measured(script.own_copy(script.Case(name)), script.PEERS[peer][1])
            assert script.short(found) == script.short(stated[peer]["estimators"][name]), (peer, name)


def test_every_peer_was_asked_for_every_estimator(script: ModuleType) -> None:
    result = json.loads(script.RESULT.read_text(encoding="utf-8"))
    assert result["bar"] == script.BAR
    assert {"skl2onnx, single", "skl2onnx, double", "modelport, JSON"} <= set(result["peers"])
    for peer in result["peers"].values():
        assert set(peer["estimators"]) == set(FITTED)


def test_the_page_counts_what_was_measured(script: ModuleType) -> None:
    peers = json.loads(script.RESULT.read_text(encoding="utf-8"))["peers"]
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    rows = {row[0]: [int(n) for n in row[1:]] for row in re.findall(r"^\| ([\w, ]+) \|" + r" (\d+) \|" * 5, page, re.MULTILINE)}
    assert set(rows) == set(peers)
    for name, peer in peers.items():
        results = [script.short(one) for one in peer["estimators"].values()]
        converts, runs, plain, boundary, missing = rows[name]
        assert converts == sum(r != "refuses" for r in results)
        assert runs == sum(r not in ("refuses", "does not run") for r in results)
        parts = [r.split(" / ") for r in results if " / " in r]
        assert plain == sum("wrong" not in p[0] for p in parts)
        assert boundary == sum("wrong" not in p[0] + p[1] for p in parts)
        assert missing == sum("wrong" not in p[0] + p[1] + p[2] for p in parts)


def test_the_page_counts_the_nets() -> None:
    found = json.loads((ROOT / "benchmarks" / "comparison_nets.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) of (PyTorch|Keras) \| ([\w.]+)[^|]*\|" + r" (\d+) \|" * 3, page, re.MULTILINE)
    counted = {(framework, called): (int(n), *map(int, verdicts)) for n, framework, called, *verdicts in rows}
    for framework, exporter in (("PyTorch", "torch.onnx"), ("Keras", "tf2onnx")):
        for backend, called in (("graph", "modelport"), (exporter, exporter)):
            every = [net[backend]["verdict"] for net in found[exporter]["nets"].values()]
            assert len(every) > 20
            wanted = (len(every), *(every.count(verdict) for verdict in ("right", "wrong", "refused")))
            assert counted[framework, called] == wanted
            assert backend != "graph" or "wrong" not in every


def test_our_own_files_are_right_wherever_they_are_written(script: ModuleType) -> None:
    peers = json.loads(script.RESULT.read_text(encoding="utf-8"))["peers"]
    for name in (name for name in peers if name.startswith("modelport")):
        for estimator, one in peers[name]["estimators"].items():
            assert not one["converts"] or "wrong" not in script.short(one), (name, estimator)


def test_the_badge_counts_what_is_proven() -> None:
    pictures = module(ROOT / "docs" / "pictures.py")
    part = {"rows": 1, "equality": "exact", "flips": 0}
    assert pictures.is_proven({"bytes": 1, "plain": part, "boundary": None})
    bad = [{"plain": part}, {"bytes": 1, "plain": {**part, "flips": 1}}, {"bytes": 1, "plain": {**part, "equality": "mismatch"}}]
    assert not any(pictures.is_proven(one) for one in [*bad, {"bytes": 1, "plain": None, "boundary": None}])
    found = json.loads((ROOT / "docs" / "coverage.json").read_text(encoding="utf-8"))["estimators"]
    assert f">{sum(pictures.is_proven(one['formats']['json']) for one in found.values())} of {len(found)}<" in pictures.badge()


def test_the_picture_of_parity_says_what_failed() -> None:
    pictures = module(ROOT / "docs" / "pictures.py")
    output = {"equality": "within", "max_abs": 2e-16, "flips": None}
    consumers = [
        {"consumer": "numpy 2.4", "problem": None, "passed": True, "outputs": [output]},
        {"consumer": "numpy 2.4, carried rows", "problem": None, "passed": True, "outputs": [output]},
        {"consumer": "c", "problem": None, "passed": False, "outputs": [{"equality": "mismatch", "max_abs": None, "flips": 2}]},
        {"consumer": "java", "problem": "no javac", "passed": False, "outputs": []},
    ]
    kept = pictures.kept([{"model": "<m>", "rows": 7, "consumers": consumers}])
    assert set(kept["<m>"]) == {"numpy", "c"}
    assert [pictures.cell(kept["<m>"].get(name))[0] for name in ("numpy", "c", "java")] == ["2e-16", "FAILED", "–"]
