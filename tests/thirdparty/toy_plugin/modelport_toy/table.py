"""Writes and reads toytable files: the plugin module of the entry point `toytable` in the group `modelport.writers`.

A toytable is a CSV file that holds one linear step and the rows that prove it:

    toytable,1
    input,NAME,WIDTH
    feature,NAME              one line per column, when the columns have names
    output,NAME,ATOL,RTOL
    weight,W0,W1,...          one line per output column
    bias,B0,B1,...
    row,WHY,X0,X1,...,Y0,Y1,...
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelport.document import Document, Tolerance, Vectors, check_vectors
from modelport.errors import ArtifactError, GraphError, Unsupported
from modelport.graph import Graph, Input, Output, Step
from modelport.run import Evaluator

FORMAT = "toytable"
SUFFIXES = (".toytable",)
HEAD = ["toytable", "1"]


def sniff(head: bytes) -> bool:
    """Do these first bytes look like a toytable?"""
    return head.startswith(b"toytable,")


def write(document: Document, options: Mapping[str, Any] | None = None) -> bytes:
    """The document as a toytable; Unsupported for anything but one linear step on one matrix."""
    graph = document.graph
    _check_writable(graph)
    source, output = graph.inputs[0], graph.outputs[0]
    weight, vectors = graph.steps[0].attributes["weight"], document.vectors
    bias = graph.steps[0].attributes.get("bias", np.zeros(len(weight)))
    bound = Tolerance() if vectors is None else vectors.tolerance[output.name]
    lines = [HEAD, ["input", source.name, weight.shape[1]]]
    lines += [["feature", name] for name in source.features or ()]
    lines += [["output", output.name, repr(bound.atol), repr(bound.rtol)]]
    lines += [["weight", *_decimals(row)] for row in weight] + [["bias", *_decimals(bias)]]
    if vectors is not None:
        rows = np.hstack([vectors.inputs[source.name], vectors.outputs[output.name]])
        lines += [["row", why, *_decimals(row)] for why, row in zip(vectors.rows or [""] * len(rows), rows, strict=True)]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue().encode("utf-8")


def _check_writable(graph: Graph) -> None:
    for step in graph.steps:
        if step.op != "linear" or step.attributes["dtype"] != "f64":
            raise Unsupported(f"{step} cannot be written as toytable, which holds one linear step: write JSON instead.")
    if len(graph.steps) != 1 or len(graph.inputs) != 1 or len(graph.outputs) != 1 or graph.inputs[0].missing != "error":
        raise Unsupported("A toytable holds one linear step with one input without NaN and one output: write JSON instead.")


def _decimals(values: Any) -> list[str]:
    """The shortest decimals that round-trip."""
    return [repr(float(v)) for v in values]


class ToyModel:
    """A loaded toytable, run by the reference evaluator."""

    def __init__(self, graph: Graph, vectors: Vectors | None) -> None:
        self.graph = graph
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.vectors = vectors
        self.provenance: Mapping[str, Any] = {}
        self.engine = "toytable"
        self._evaluator = Evaluator(graph)

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Output name -> array for input name -> array."""
        return self._evaluator.run(feeds)


def load(data: bytes, options: Mapping[str, Any] | None = None) -> ToyModel:
    """Read a toytable; ArtifactError when it is damaged."""
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8"))))
        if not lines or lines[0] != HEAD:
            raise ArtifactError("The file is no toytable of version 1: its first line says something else.")
        return _model(lines[1:])
    except GraphError:
        raise
    except (ValueError, KeyError, IndexError, csv.Error) as error:
        raise ArtifactError(f"The toytable is damaged: {error}.") from None


def _model(lines: Sequence[Sequence[str]]) -> ToyModel:
    by_key: dict[str, list[Sequence[str]]] = {}
    for line in lines:
        by_key.setdefault(line[0], []).append(line[1:])
    (name, width), (output, atol, rtol) = by_key["input"][0], by_key["output"][0]
    features = tuple(line[0] for line in by_key.get("feature", ())) or None
    weight = np.array([[float(v) for v in line] for line in by_key["weight"]])
    bias = np.array([float(v) for v in by_key["bias"][0]])
    graph = Graph(
        [Input(name, "f64", (int(width),), "error", features)],
        [Step("linear", [name], "linear", {"weight": weight, "bias": bias})],
        [Output(output, "linear", "f64", "prediction")],
    )
    if "row" not in by_key:
        return ToyModel(graph, None)
    rows = np.array([[float(v) for v in line[1:]] for line in by_key["row"]])
    bound = Tolerance.from_json({"atol": float(atol), "rtol": float(rtol)})
    inputs, outputs = {name: rows[:, : int(width)]}, {output: rows[:, int(width) :]}
    vectors = Vectors(inputs, outputs, {output: bound}, "synthetic", tuple(line[0] for line in by_key["row"]))
    check_vectors(vectors, graph.inputs, graph.outputs)
    return ToyModel(graph, vectors)
