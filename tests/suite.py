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


def joined_cases(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """One document of several cases of one op that have answers, and equally many rows: a step and an output for each.

    A process per case costs more than the case; where this document fails, its cases are asked one by one.
    """
    documents = [document_of_case(case) for case in cases]
    joined: dict[str, Any] = {**documents[0], "inputs": [], "steps": [], "outputs": []}
    rows: dict[str, Any] = {"source": "synthetic", "inputs": {}, "outputs": {}, "tolerance": {}}
    for i, document in enumerate(documents):
        for value in document["inputs"]:
            joined["inputs"].append({**value, "name": f"{i} {value['name']}"})
            rows["inputs"][f"{i} {value['name']}"] = document["verification"]["inputs"][value["name"]]
        (step,), (output,) = document["steps"], document["outputs"]
        joined["steps"].append({**step, "in": [f"{i} {name}" for name in step["in"]], "out": f"{i} {step['out']}"})
        joined["outputs"].append({**output, "name": f"{i} y", "from": f"{i} {output['from']}"})
        for key in ("outputs", "tolerance"):
            rows[key][f"{i} y"] = document["verification"][key]["y"]
    return {**joined, "verification": rows}


def joinable(case: dict[str, Any]) -> int | None:
    """How many rows a case has, where it can stand in one document with others."""
    plain = "expected" in case and "outputs" not in case and "lengths" not in case and "feed" not in case["flags"]
    static = all(isinstance(n, int) for value in case["inputs"] for n in value["shape"])
    fed = all(isinstance(tensor, dict) for tensor in case.get("feed", {}).values())
    return case["expected"]["shape"][0] if plain and static and fed else None


def invalid_files() -> list[Path]:
    """All of invalid/."""
    return sorted(p for p in (FIXTURES / "invalid").iterdir() if p.is_file())


def artifacts() -> list[Path]:
    """Every artifact that must verify: models/ and compat/."""
    return sorted([*FIXTURES.glob("models/*/*/model.json"), *FIXTURES.glob("compat/v1/*.json")])


def liars() -> list[Path]:
    """Every artifact that carries wrong vectors."""
    return sorted(FIXTURES.glob("liars/*/model.json"))
