"""The cases of fixtures/ops as graphs, feeds and expected rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelport_json import read_document
from modelport_json.tensors import decode

from modelport.document import Tolerance
from modelport.graph import Graph, Output

FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "ops"


@dataclass(frozen=True)
class Case:
    """One case: `error` is None, "load" or "predict"."""

    op: str
    name: str
    raw: dict[str, Any]

    @property
    def error(self) -> str | None:
        return self.raw.get("error")

    @property
    def graph(self) -> Graph:
        """The case as a graph with the output y."""
        entry = self.raw["inputs"][0]
        steps = self.raw["step"] if isinstance(self.raw["step"], list) else [self.raw["step"]]
        document = {
            "format": "modelport",
            "version": "1.0",
            "requires": sorted({step["op"] for step in steps}),
            "inputs": self.raw["inputs"],
            "steps": steps,
            "outputs": [{"name": "unused", "from": entry["name"], "dtype": entry["dtype"], "role": "transform"}],
        }
        graph = read_document(json.dumps(document).encode()).graph
        last = graph.steps[-1].output
        return Graph(graph.inputs, graph.steps, [Output("y", last, graph.types[last].dtype, "transform")])

    @property
    def feeds(self) -> dict[str, Any]:
        return {name: decode(value, None, name) for name, value in self.raw["feed"].items()}

    @property
    def expected(self) -> Any:
        return decode(self.raw["expected"], None, "expected")

    @property
    def tolerance(self) -> Tolerance:
        return Tolerance.from_json(self.raw["tolerance"])


def all_cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        for raw in content["cases"]:
            yield Case(content["op"], raw["name"], raw)
