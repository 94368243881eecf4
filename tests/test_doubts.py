"""Rows in doubt: judged by the graph's own values, and left out of what an artifact is held against."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from modelport import convert, verify
from modelport.doubts import Doubt, in_doubt
from modelport.errors import InputError
from modelport.graph import Graph, Input, Output, Step
from modelport.reading import Reading
from modelport.sample import Sample
from modelport.verify import split_pool


def halved() -> Graph:
    """y = x / 2, for x in 0, 1, ..., 9; other rows are refused."""
    keys = np.arange(10.0)
    steps = [
        Step("lookup", ["x"], "known", {"keys": keys, "values": keys}),
        Step("scale", ["known"], "y", {"div": np.array([2.0])}),
        Step("scale", ["known"], "unused", {"div": np.array([4.0])}),
    ]
    return Graph([Input("x", "f64", ())], steps, [Output("prediction", "y", "f64", "prediction")])


def test_rows_are_judged_by_values_of_the_graph():
    rows = {"x": np.array([0.0, 1.0, 2.0, 8.0, 9.0])}
    doubts = [Doubt(("y",), lambda y: y > 3.9), Doubt(("x", "known"), lambda x, known: x + known == 2.0)]
    assert in_doubt(halved(), doubts, rows).tolist() == [False, True, False, True, True]
    assert in_doubt(halved(), [], rows).tolist() == [False] * 5


def test_rows_the_graph_refuses_are_in_no_doubt_and_hide_no_other():
    rows = {"x": np.array([1.0, 99.0, 1.5, 8.0])}
    assert in_doubt(halved(), [Doubt(("y",), lambda y: y >= 0)], rows).tolist() == [True, False, False, True]


def test_a_doubt_about_a_value_that_the_graph_lacks_is_none():
    assert not in_doubt(halved(), [Doubt(("elsewhere",), lambda v: v == v)], {"x": np.array([1.0])}).any()


def test_doubted_rows_leave_the_pool_and_rows_between_come_in():
    sample = Sample.of(np.repeat(np.arange(4.0), 5)[:, None])
    graph_input = next(iter(sample.feeds()))
    graph = Graph(
        [Input(graph_input, "f64", (1,))],
        [Step("scale", [graph_input], "y", {"mul": np.array([2.0])})],
        [Output("transformed", "y", "f64", "transform")],
    )
    whole = Doubt(("y",), lambda y: y[:, 0] == np.trunc(y[:, 0] / 2) * 2)
    reading = Reading(graph, lambda feeds: {"transformed": feeds[graph_input] * 2.0}, doubts=[whole])
    pool, refused = split_pool(reading, sample)
    values = pool.inputs[graph_input][:, 0]
    assert len(refused) == 0
    assert (values != np.trunc(values)).all()
    assert pool.rows.count("between") > 32
    with pytest.raises(InputError, match="tie"):
        split_pool(dataclasses.replace(reading, doubts=[Doubt(("y",), lambda y: np.ones(len(y), dtype=bool))]), sample)


def test_a_wrong_answer_is_found_beside_the_doubt():
    """Doubts about ties hide nothing else: an artifact of a model with one other target fails against this one."""
    from sklearn.neighbors import KNeighborsRegressor

    X = np.arange(12.0)[:, None]
    other = X[:, 0] + 1e-6 * (X[:, 0] == 7.0)
    artifact = convert(KNeighborsRegressor(1).fit(X, other), "json", sample=X)
    assert artifact.report is not None
    assert artifact.report.passed
    assert not verify(artifact, model=KNeighborsRegressor(1).fit(X, X[:, 0]), sample=X).passed
