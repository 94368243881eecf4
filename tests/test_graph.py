"""A graph is checked when it is constructed."""

from __future__ import annotations

import numpy as np
import pytest

from modelport.errors import GraphError, InputError, Unsupported
from modelport.graph import Graph, Input, Limits, Output, Step
from modelport.run import Evaluator

X = Input("x", "f64", (2,))
OUT = [Output("y", "y", "f64", "transform")]


def scale(**attributes: object) -> list[Step]:
    return [Step("scale", ["x"], "y", attributes)]


def test_types_follow_from_the_steps() -> None:
    graph = Graph([X], scale(sub=np.array([1.0, 2.0])), OUT)
    assert str(graph.types["y"]) == "f64[2]"
    assert graph.requires == ["scale"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([Step("scale", ["z"], "y", {})], "no earlier step defines"),
        ([Step("scale", ["x"], "x", {})], "a second time"),
        ([Step("scale", ["x"], "y", {"sub": np.array([1.0, 2.0, 3.0])})], "3 elements for 2 columns"),
        ([Step("scale", ["x"], "y", {"sub": np.array([1, 2])})], "f64 is needed"),
        ([Step("scale", ["x"], "y", {"colour": 1})], "unknown attribute 'colour'"),
        ([Step("scale", ["x", "x"], "y", {})], "reads 2 values"),
        ([Step("linear", ["x"], "y", {})], "required attribute 'weight'"),
        ([Step("select", ["x"], "y", {"index": np.array([2])})], "leaves the row"),
        ([Step("scale", ["x"], "y", {"dtype": "f16"})], "one of f64, f32"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_a_sentence(steps: list[Step], words: str) -> None:
    with pytest.raises(GraphError, match=words):
        Graph([X], steps, OUT)


def test_an_unknown_op_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="teleport"):
        Graph([X], [Step("teleport", ["x"], "y", {})], OUT)


def test_declared_output_dtype_must_be_the_values() -> None:
    with pytest.raises(GraphError, match="declared str"):
        Graph([X], scale(), [Output("y", "y", "str", "transform")])


def test_widths_are_bounded() -> None:
    wide = Step("onehot", ["i"], "y", {"size": 1 << 23})
    with pytest.raises(GraphError, match="more than the limit"):
        Graph([Input("i", "i64", (1,))], [wide], OUT)
    with pytest.raises(GraphError, match="together"):
        Graph(
            [X],
            [Step("scale", ["x"], f"y{i}", {}) for i in range(4)],
            [Output("y", "y0", "f64", "transform")],
            limits=Limits(total_width=6),
        )


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({}, "missing"),
        ({"x": np.zeros((1, 3))}, "shape"),
        ({"x": np.zeros((1, 2)), "z": np.zeros((1, 2))}, "'z' is not one of"),
        ({"x": np.array([["a", "b"]], dtype=object)}, "f64 is needed"),
        ({"x": np.array([[0.0, 0.0], [1.0, np.nan]])}, "Row 1"),
    ],
)
def test_feeds_that_do_not_fit_are_refused(feeds: dict, words: str) -> None:
    evaluator = Evaluator(Graph([X], scale(), OUT))
    with pytest.raises(InputError, match=words):
        evaluator.run(feeds)


def test_rows_are_counted_over_blocks() -> None:
    graph = Graph(
        [Input("s", "str", (1,))], [Step("lookup", ["s"], "y", {"keys": np.array(["a"], object), "values": np.array([1.0])})], OUT
    )
    evaluator = Evaluator(graph)
    evaluator._block = 2
    rows = np.array([["a"], ["a"], ["a"], ["b"]], dtype=object)
    with pytest.raises(InputError, match=r"^Row 3: .*'b'"):
        evaluator.run({"s": rows})
    assert evaluator.run({"s": rows[:3]})["y"].tolist() == [[1.0], [1.0], [1.0]]


def test_no_rows_give_no_rows() -> None:
    assert Evaluator(Graph([X], scale(), OUT)).run({"x": np.zeros((0, 2))})["y"].shape == (0, 2)
