"""What PMML cannot carry is refused with a sentence that names the step and what to do instead."""

from __future__ import annotations

from typing import Any

import modelport_pmml
import numpy as np
import pytest

from modelport.document import Document
from modelport.errors import Unsupported
from modelport.graph import Graph, Input, Output, Step
from tests.converters.modelport_pmml.common import strings


def graph(op: str, attributes: dict[str, Any], width: int = 3, dtype: str = "f64", missing: str = "error") -> Graph:
    step = Step(op, ["x"], "the step", attributes)
    inputs = [Input("x", dtype, (width,), missing)]
    types = Graph(inputs, [step], [Output("x", "x", dtype, "transform")]).types
    return Graph(inputs, [step], [Output("y", "the step", types["the step"].dtype, "transform")])


CASES = {
    "an iteration": graph("nmf", {"components": np.ones((2, 3)), "solver": "cd", "max_iter": 5, "tol": 1e-4}),
    "infinite edges": graph("bucketize", {"edges": np.array([np.inf]), "sizes": np.array([1, 0, 0]), "side": "left"}),
    "position among missing": graph("reduce", {"fn": "argmax"}, missing="nan"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_sentence_names_the_step_and_the_way_out(name: str) -> None:
    with pytest.raises(Unsupported, match="'the step'") as caught:
        modelport_pmml.write(Document(CASES[name]))
    assert "JSON" in str(caught.value)
    assert "ONNX" in str(caught.value)


def test_constants_are_finite() -> None:
    with pytest.raises(Unsupported, match="constants are finite"):
        modelport_pmml.write(Document(graph("scale", {"add": np.array([np.inf])})))


def test_characters_that_xml_lacks() -> None:
    inputs = [Input("bell \x07", "f64", (1,))]
    with pytest.raises(Unsupported, match="which XML cannot carry"):
        modelport_pmml.write(Document(Graph(inputs, [], [Output("y", inputs[0].name, "f64", "transform")])))


def test_large_integers_keep_their_digits_or_are_refused() -> None:
    with pytest.raises(Unsupported, match="64-bit integers of the data"):
        modelport_pmml.write(Document(graph("select", {"index": np.array([0])}, dtype="i64")))
    keys = {"keys": strings("a"), "values": np.array([2**53 + 1]), "default": 0}
    with pytest.raises(Unsupported, match="9007199254740993"):
        modelport_pmml.write(Document(graph("lookup", keys, dtype="str")))


def test_a_chain_of_thousands_of_steps() -> None:
    steps = [Step("scale", ["x" if i == 0 else f"s{i - 1}"], f"s{i}", {"add": np.array([1.0])}) for i in range(3000)]
    long = Graph([Input("x", "f64", (1,))], steps, [Output("y", "s2999", "f64", "transform")])
    with pytest.raises(Unsupported, match="too many steps"):
        modelport_pmml.write(Document(long))


def test_a_row_of_no_columns() -> None:
    with pytest.raises(Unsupported, match="reads at least one"):
        modelport_pmml.write(Document(Graph([Input("x", "f64", (0,))], [], [Output("y", "x", "f64", "transform")])))


def test_text_is_for_json_alone() -> None:
    with pytest.raises(Unsupported, match=r"'the step' \(hash_terms\) cannot be written as PMML: .*TextIndex.* JSON instead"):
        modelport_pmml.write(Document(graph("hash_terms", {"size": 4}, dtype="str")))
