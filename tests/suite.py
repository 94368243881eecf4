"""Reads the conformance suite (fixtures/README.md) for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


def graph_cases() -> list[tuple[str, dict[str, Any]]]:
    """The cases that are about the op; those of how a program is fed rows are left out."""
    return [(op, case) for op, case in op_cases() if not ("error" in case and "feed" in case["flags"])]


def op_cases() -> list[tuple[str, dict[str, Any]]]:
    """(op, case) for every case of ops/*.json."""
    found = []
    for path in sorted((FIXTURES / "ops").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found += [(content["op"], case) for case in content["cases"]]
    return found


def document_of_case(case: dict[str, Any]) -> dict[str, Any]:
    """The document a case stands for: one step, one output `y`; its vectors are the expected rows, when it has any.

    For cases that are refused, `y` is declared as the case says, or f64.
    """
    dtype = case["expected"]["dtype"] if "expected" in case else case.get("dtype", "f64")
    document = {
        "format": "modelport",
        "version": "1.1",
        "requires": [case["step"]["op"]],
        "inputs": case["inputs"],
        "steps": [case["step"]],
        "outputs": case.get("outputs", [{"name": "y", "from": case["step"]["out"], "dtype": dtype, "role": "transform"}]),
    }
    if "expected" in case:
        document["verification"] = {
            "source": "synthetic",
            "inputs": case["feed"],
            "outputs": {"y": case["expected"]},
            "tolerance": {"y": case["tolerance"]},
        }
    return document


def invalid_files() -> list[Path]:
    """All of invalid/."""
    return sorted(p for p in (FIXTURES / "invalid").iterdir() if p.is_file())


def artifacts() -> list[Path]:
    """Every artifact that must verify: models/ and compat/."""
    return sorted([*FIXTURES.glob("models/*/*/model.json"), *FIXTURES.glob("compat/v1/*.json")])


def liars() -> list[Path]:
    """Every artifact that carries wrong vectors."""
    return sorted(FIXTURES.glob("liars/*/model.json"))
