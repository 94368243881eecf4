"""Rows that the graph refuses: no engine answers them, whatever the step that refuses."""

from __future__ import annotations

from typing import Any

import modelport_pmml
import numpy as np
import pytest

from modelport.document import Document
from modelport.errors import ArtifactError, InputError
from modelport.graph import Graph, Input, Output
from tests.converters.modelport_pmml.common import ENGINES, Feeds, agree, chain, engine, strings, write

X = Input("x", "f64", (2,), "nan")
HALF = ("scale", ["x"], "half", {"div": np.array([2.0])})
TABLE = {"keys": np.array([0.0, 1.0, 2.0, 3.0, 4.0]), "values": np.array([0.5, -1.0, 2.0, 7.0, 1e9])}
STUMP = {"start": [0], "feature": [0, -1, -1], "threshold": [0.5], "right": [2], "leaf": [1.0, 2.0], "missing": "error"}


def label(source: str) -> list[tuple[str, list[str], str, dict[str, Any]]]:
    """Probabilities and a label from two scores."""
    return [
        ("softmax", [source], "shares", {}),
        ("reduce", ["shares"], "best", {"fn": "argmax"}),
        ("take", ["best"], "label", {"table": strings("no", "yes")}),
    ]


def number(step: str, attributes: dict[str, Any], *more: tuple[str, list[str], str, dict[str, Any]]) -> Graph:
    """A step on halves of the columns, whose value is handed out."""
    steps = [HALF, *more]
    steps.append((step, [steps[-1][2]], "y", attributes))
    return chain([X], steps, [("y", "y", "transform")])


WHOLE = ("cast", ["half"], "whole", {"to": "i64"})
#: name -> (graph, rows with an answer, rows without one)
CASES: dict[str, tuple[Graph, Any, Any]] = {
    "many keys": (number("lookup", TABLE), [[0.0, 2.0], [8.0, 6.0]], [[1.0, 2.0], [2.0, np.nan], [-2.0, 0.0]]),
    "few keys": (
        number("lookup", {"keys": np.array([1.0]), "values": np.array([0.0])}),
        [[2.0, 2.0]],
        [[2.0, 2.5], [np.nan, 2.0]],
    ),
    "NaN among the keys": (
        number("lookup", {"keys": np.array([1.0, np.nan]), "values": np.array([0.0, 4.0])}),
        [[2.0, 2.0], [np.nan, 2.0]],
        [[2.0, 2.5]],
    ),
    "one of two booleans": (
        number("lookup", {"keys": np.array([True]), "values": np.array([3.0])}, ("cast", ["half"], "some", {"to": "bool"})),
        [[2.0, 2.0]],
        [[0.0, 1.0]],
    ),
    "whole numbers": (number("cast", {"to": "i8"}), [[2.5, -257.9], [255.9, 0.0]], [[256.0, 1.0], [-258.0, 1.0], [np.nan, 0.0]]),
    "codes": (number("onehot", {"size": 3}, WHOLE), [[-2.0, 4.0], [0.0, 2.0]], [[6.0, 0.0], [0.0, -4.0]]),
    "places": (number("take", {"table": np.array([5.0, 6.0, 7.0])}, WHOLE), [[0.0, 4.0]], [[6.0, 0.0], [0.0, -2.0]]),
    "a tree": (
        chain(
            [X],
            [HALF, ("tree_ensemble", ["half"], "y", {k: np.array(v) if isinstance(v, list) else v for k, v in STUMP.items()})],
            [("y", "y", "prediction")],
        ),
        [[1.0, 0.0], [2.0, np.nan]],
        [[np.nan, 0.0]],
    ),
    "behind a label": (
        chain(
            [X],
            [HALF, ("lookup", ["half"], "code", TABLE), *label("code")],
            [("label", "label", "prediction"), ("probability", "shares", "probability")],
        ),
        [[0.0, 2.0], [8.0, 6.0]],
        [[1.0, 2.0], [2.0, np.nan]],
    ),
    "a column that nothing reads": (
        chain(
            [X],
            [HALF, ("lookup", ["half"], "code", TABLE), ("select", ["code"], "first", {"index": np.array([0])})],
            [("y", "first", "prediction")],
        ),
        [[0.0, 2.0], [8.0, 6.0]],
        [[2.0, 1.0], [2.0, np.nan]],
    ),
}


def rows(values: Any) -> Feeds:
    return {"x": np.array(values, dtype=np.float64)}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_rows_with_and_without_an_answer(name: str, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    from modelport.run import Evaluator

    graph, good, bad = CASES[name]
    expected = Evaluator(graph).run(rows(good))
    loaded = engine(kind, write(graph, rows(good), expected), need)
    agree(loaded, rows(good), expected)
    for row in bad:
        with pytest.raises(InputError):
            Evaluator(graph).run(rows([row]))
        if kind == "modelport":
            with pytest.raises(InputError):
                loaded.run(rows([row]))
        else:
            assert unanswered(loaded, rows([row])), row


def unanswered(loaded: Any, feeds: Feeds) -> bool:
    """Is a row refused, or each of its answers missing?"""
    try:
        got = loaded.run(feeds)
    except InputError:
        return True
    return all(v is None or v != v for array in got.values() for v in array.ravel().tolist())


def test_missing_answers_stay_apart_from_refused_rows() -> None:
    steps = [HALF, ("lookup", ["half"], "code", {"keys": np.array([0.0, 1.0, 2.0]), "values": np.array([np.nan, 1.0, 2.0])})]
    graph = chain([X], steps, [("y", "code", "transform")])
    loaded = modelport_pmml.load(modelport_pmml.write(Document(graph)))
    assert np.array_equal(loaded.run(rows([[0.0, 4.0]]))["y"], [[np.nan, 2.0]], equal_nan=True)
    with pytest.raises(InputError):
        loaded.run(rows([[0.0, 3.0]]))


def test_a_declared_field_that_is_not_there() -> None:
    data = modelport_pmml.write(Document(CASES["many keys"][0]))
    changed = data.replace(b'"accepts": "accepted"', b'"accepts": "anything"')
    assert changed != data
    with pytest.raises(ArtifactError, match="'anything' accepts rows, which the model does not give"):
        modelport_pmml.load(changed, {"altered": True})


def test_a_model_that_refuses_nothing_has_no_such_field() -> None:
    graph = Graph([X], [], [Output("y", "x", "f64", "transform")])
    assert b"accept" not in modelport_pmml.write(Document(graph))
