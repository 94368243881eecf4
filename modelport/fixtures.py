"""Reads the conformance suite's folder (fixtures/README.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError

__all__ = ["Fixtures", "document_of_case", "joinable", "joined_cases"]


@dataclass(frozen=True)
class Fixtures:
    """The suite in a folder; UsageError when it is none."""

    folder: Path

    def __post_init__(self) -> None:
        missing = [part for part in ("ops", "models", "invalid", "liars", "compat") if not (self.folder / part).is_dir()]
        if missing:
            raise UsageError(
                f"There is no conformance suite in {str(self.folder)!r} (no folder {missing[0]!r}): name the folder fixtures/ of "
                "modelport's sources."
            )

    def op_cases(self) -> list[tuple[str, dict[str, Any]]]:
        """(op, case) for every case of ops/*.json."""
        found = []
        for path in sorted((self.folder / "ops").glob("*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            found += [(content["op"], case) for case in content["cases"]]
        return found

    def invalid_files(self) -> list[Path]:
        """All of invalid/."""
        return sorted(p for p in (self.folder / "invalid").iterdir() if p.is_file())

    def artifacts(self) -> list[Path]:
        """Every artifact that must verify: models/ and compat/."""
        return sorted([*self.folder.glob("models/*/*/model.json"), *self.folder.glob("compat/v1/*.json")])

    def liars(self) -> list[Path]:
        """Every artifact that carries wrong vectors."""
        return sorted(self.folder.glob("liars/*/model.json"))

    def names(self) -> list[str]:
        """What the cases are called."""
        ops = [f"ops/{op}/{case['name']}" for op, case in self.op_cases()]
        return ops + [self.name_of(path) for path in (*self.artifacts(), *self.invalid_files(), *self.liars())]

    def name_of(self, path: Path) -> str:
        """What a file's case is called: its path in the suite, or its folder's where that holds one artifact."""
        shown = path.parent if path.name == "model.json" else path.with_suffix("")
        return shown.relative_to(self.folder).as_posix()


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
