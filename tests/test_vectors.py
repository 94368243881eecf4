"""Rows are chosen at, just below and just above every kind of boundary; ties are left out; what is carried is bounded."""

from __future__ import annotations

import numpy as np
import pytest

from modelport import registry
from modelport.boundaries import Tracer, boundaries, categories, crossings, neighbours, path_constraints
from modelport.document import EXACT, Tolerance, Vectors
from modelport.errors import InputError
from modelport.graph import Graph, Input, Limits, Output, Step
from modelport.run import Evaluator
from modelport.sample import Sample
from modelport.vectors import (
    MAX_ROWS,
    affordable,
    cancelling,
    carried,
    choose_rows,
    labels_exact,
    record,
    scale_of,
    without_ties,
)
from modelport.verify import build_pool

RNG = np.random.default_rng(0)


def read(model, X):  # type: ignore[no-untyped-def]
    sample = Sample.of(X)
    return registry.load("readers", "sklearn").read(model, sample), sample


def test_neighbours_are_one_ulp_away_in_f64_and_f32() -> None:
    values = neighbours(0.1, "f64")
    assert sorted(values) == [np.nextafter(0.1, 0), 0.1, np.nextafter(0.1, 1)]
    single = np.float32(0.1)
    values = neighbours(float(single), "f32")
    assert {float(single), float(np.nextafter(single, np.float32(1))), float(np.nextafter(single, np.float32(0)))} <= set(values)
    left = [v for v in values if np.float32(v) <= single]
    right = [v for v in values if np.float32(v) > single]
    assert np.nextafter(max(left), np.inf) == min(right)  # the very pair of doubles between which the rounding changes


def test_rows_reach_the_node_whose_threshold_they_try() -> None:
    from sklearn.datasets import load_breast_cancer
    from sklearn.tree import DecisionTreeClassifier

    X, y = load_breast_cancer(return_X_y=True)
    model = DecisionTreeClassifier(random_state=0).fit(X, y)
    reading, _ = read(model, X)
    step = next(s for s in reading.graph.steps if s.op == "tree_ensemble")
    nodes = np.flatnonzero(step.attributes["feature"] >= 0)
    for node in nodes:
        row = np.array(X[0])
        for column, (low, high) in path_constraints(step, int(node)).items():
            inside = high if np.isfinite(high) else np.nextafter(np.float32(low), np.float32(np.inf)) + abs(low)
            row[column] = inside if low < inside else row[column]
        path = model.decision_path(row[None]).indices
        assert node in path


def test_every_threshold_of_a_small_tree_is_tried_from_both_sides() -> None:
    from sklearn.datasets import load_iris
    from sklearn.tree import DecisionTreeClassifier

    X, y = load_iris(return_X_y=True)
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, y)
    reading, sample = read(model, X)
    feeds = choose_rows(reading.graph, sample).feeds()["X"].astype(np.float32)
    for node in np.flatnonzero(model.tree_.feature >= 0):
        at = model.tree_.threshold[node]
        column = feeds[:, model.tree_.feature[node]].astype(np.float64)
        near = column[np.abs(column - at) <= 4 * np.spacing(np.float32(at))]
        assert (near <= at).any()
        assert (near > at).any()


def test_boundaries_behind_a_scaler_are_found_by_bisection() -> None:
    graph = Graph(
        [Input("x", "f64", (2,))],
        [
            Step("scale", ["x"], "z", {"sub": np.array([1.0, 2.0]), "div": np.array([3.0, -7.0])}),
            Step("bucketize", ["z"], "y", {"edges": np.array([0.1, 0.7]), "sizes": np.array([1, 1]), "side": "right"}),
        ],
        [Output("y", "y", "i64", "transform")],
    )
    found = boundaries(graph, RNG, 10)
    assert {(b.column, b.at) for b in found} == {(0, 0.1), (1, 0.7)}
    between = crossings(graph, {"x": np.zeros((1, 2))}, found, Tracer(graph))
    assert len(between) == 2
    evaluator = Evaluator(graph)
    for _, source, low, high in between:
        assert np.nextafter(low, np.inf) == high
        rows = np.zeros((2, 2))
        rows[:, source.column] = [low, high]
        codes = evaluator.run({"x": rows})["y"][:, source.column]
        assert codes[0] != codes[1]


def test_categories_are_traced_to_their_columns(mixed) -> None:
    frame, model = mixed
    reading, _ = read(model, frame)
    found = categories(reading.graph, Tracer(reading.graph))
    assert set(found[("clinic", 0)]) >= {"Oslo", "Bergen", "Tromsø", "Ålesund"}


def test_the_samples_rows_are_not_used() -> None:
    X = RNG.normal(size=(50, 4))
    from sklearn.linear_model import LinearRegression

    reading, sample = read(LinearRegression().fit(X, X[:, 0]), X)
    rows = choose_rows(reading.graph, sample).feeds()["X"]
    assert not {tuple(r) for r in rows.tolist()} & {tuple(r) for r in X.tolist()}


def test_the_choice_is_deterministic() -> None:
    X = RNG.normal(size=(50, 4))
    from sklearn.linear_model import LinearRegression

    reading, sample = read(LinearRegression().fit(X, X[:, 0]), X)
    first, second = (choose_rows(reading.graph, sample, seed=3).feeds()["X"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_rows_the_original_refuses_are_left_out() -> None:
    def answer(feeds: dict) -> dict:
        if (feeds["x"] < 0).any():
            raise ValueError("negative")
        return {"y": feeds["x"] * 2}

    outputs, index = record(answer, {"x": np.array([[1.0], [-1.0], [3.0], [-2.0], [5.0]])})
    assert index.tolist() == [0, 2, 4]
    assert outputs["y"].tolist() == [[2.0], [6.0], [10.0]]
    with pytest.raises(InputError, match=r"none of the 1 rows .*negative"):
        record(answer, {"x": np.array([[-1.0]])})


def test_ties_are_left_out_only_where_there_is_a_tolerance() -> None:
    graph = Graph(
        [Input("x", "f64", (2,))],
        [
            Step("softmax", ["x"], "p", {}),
            Step("reduce", ["p"], "i", {"fn": "argmax"}),
            Step("take", ["i"], "label", {"table": np.array([0, 1])}),
        ],
        [Output("label", "label", "i64", "prediction"), Output("probability", "p", "f64", "probability")],
    )
    outputs = {"label": np.array([0, 1, 0]), "probability": np.array([[0.5, 0.5], [0.4, 0.6], [0.5 + 1e-15, 0.5]])}
    some = {"label": EXACT, "probability": Tolerance(1e-12, 1e-12)}
    assert without_ties(graph, outputs, some).tolist() == [False, True, False]
    assert without_ties(graph, outputs, {"label": EXACT, "probability": EXACT}).tolist() == [True, True, True]


def test_float_labels_can_hang_on_a_tie_too() -> None:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(X, y.astype(float))
    reading, sample = read(model, X)
    pool = build_pool(reading, sample)
    assert pool.outputs["label"].dtype == np.float64
    top = np.sort(pool.outputs["probability"], axis=1)
    assert (top[:, -1] - top[:, -2] > 1e3 * pool.tolerance["probability"].atol).all()


def test_extreme_rows_do_not_widen_the_tolerance() -> None:
    values = np.array([1.0, -3.0, 1e30])
    assert scale_of(values, ["plain", "grid", "extreme"]) == 3.0
    assert scale_of(np.zeros(2), ["plain", "plain"]) == 1.0
    X = RNG.normal(size=(60, 3))
    from sklearn.linear_model import LinearRegression

    reading, sample = read(LinearRegression().fit(X, X @ [1.0, 2.0, 3.0]), X)
    pool = build_pool(reading, sample)
    assert np.abs(pool.outputs["prediction"]).max() > 1e20
    assert pool.tolerance["prediction"].atol < 1e-10


def test_what_is_carried_is_bounded_and_mixed() -> None:
    n = 500
    kinds = ["plain", "boundary", "missing", "grid", "category"]
    pool = Vectors(
        {"x": RNG.normal(size=(n, 3))},
        {"label": np.array([f"class {i % 7}" for i in range(n)], object)},
        {"label": EXACT},
        "synthetic",
        [kinds[i % 5] for i in range(n)],
    )
    graph = Graph([Input("x", "f64", (3,))], [Step("scale", ["x"], "y", {})], [Output("y", "y", "f64", "transform")])
    chosen = carried(pool, graph)
    assert len(chosen) == MAX_ROWS
    assert set(chosen.rows) == set(kinds)
    assert set(chosen.outputs["label"]) == set(pool.outputs["label"])
    wide = Vectors({"x": np.zeros((n, 20_000))}, {"y": np.zeros(n)}, {"y": EXACT}, "synthetic", ["plain"] * n)
    assert 8 <= len(carried(wide, graph)) < 16


def test_no_more_is_carried_than_a_reader_replays() -> None:
    steps = [Step("onehot", ["x"], "wide", {"size": 1 << 22}), Step("reduce", ["wide"], "y", {"fn": "max"})]
    graph = Graph([Input("x", "i64", ())], steps, [Output("y", "y", "f64", "transform")])
    pool = Vectors({"x": np.arange(500)}, {"y": np.ones(500)}, {"y": EXACT}, "synthetic", ["plain"] * 500)
    assert graph.operations == 8 * (1 + 2**22 + 2**22 + 1)
    assert len(carried(pool, graph)) == affordable(graph, pool) == 2**29 // graph.operations == 7
    assert affordable(Graph(graph.inputs, steps, graph.outputs, limits=Limits(work=1)), pool) == 1


def test_fewer_rows_of_long_strings_are_carried() -> None:
    """A text is read, and gives terms of one to 64 characters at every place."""
    terms = {
        "analyzer": "char",
        "min_n": 1,
        "max_n": 64,
        "space": np.array([32, 32]),
        "vocabulary": np.array(["a"], dtype=object),
    }
    graph = Graph([Input("x", "str", ())], [Step("count_terms", ["x"], "y", terms)], [Output("y", "y", "f64", "transform")])
    texts = np.array(["a"] * 499 + ["\N{GRINNING FACE}" * 20_000], dtype=object)
    pool = Vectors({"x": texts}, {"y": np.ones((500, 1))}, {"y": EXACT}, "synthetic", ["plain"] * 500)
    assert (graph.operations, graph.strings) == (8 * 2, 1 + 64 * 65 // 2)
    assert affordable(graph, pool) == 2**29 // (16 + 2081 * 20_000) == 12
    assert len(carried(pool, graph)) == 12


def test_extreme_rows_that_cancel_are_left_out_and_others_stay() -> None:
    """coef (1, -1): two equal huge cells leave nothing but rounding; one huge cell is as good as any."""
    graph = Graph(
        [Input("x", "f64", (2,))],
        [Step("linear", ["x"], "y", {"weight": np.array([[1.0, -1.0]])})],
        [Output("prediction", "y", "f64", "prediction")],
    )
    feeds = {"x": np.array([[1e6, 1e6], [1e30, 1.0], [2.0, 2.0]])}
    assert cancelling(graph, feeds, ["large", "extreme", "plain"]).tolist() == [True, False, False]


@pytest.mark.parametrize("fn", ["sin", "cos", "tan"])
def test_extreme_rows_whose_angle_has_lost_its_digits_are_left_out(fn: str) -> None:
    graph = Graph(
        [Input("x", "f64", (2,))],
        [Step("unary", ("x",), "y", {"fn": fn})],
        [Output("transformed", "y", "f64", "transform")],
    )
    feeds = {"x": np.array([[1e6, 0.0], [1e-30, 0.0], [1e6, 1.0]])}
    assert cancelling(graph, feeds, ["large", "small", "plain"]).tolist() == [True, False, False]


def test_extreme_rows_whose_shares_hang_on_lost_digits_are_left_out() -> None:
    graph = Graph(
        [Input("x", "f64", (2,))],
        [Step("softmax", ("x",), "p", {})],
        [Output("probability", "p", "f64", "probability")],
    )
    feeds = {"x": np.array([[1e6, 1e6 + 1], [1e6, 0.0], [1.0, 0.0], [1e6, 1e6 + 1]])}
    assert cancelling(graph, feeds, ["large", "large", "small", "plain"]).tolist() == [True, False, False, False]


def test_labels_are_exact_where_all_their_steps_are() -> None:
    def graph(op: str) -> Graph:
        return Graph(
            [Input("x", "f64", (2,))],
            [Step(op, ("x",), "s", {}), Step("reduce", ("s",), "c", {"fn": "argmax"})],
            [Output("label", "c", "i64", "prediction"), Output("score", "s", "f64", "score")],
        )

    assert labels_exact(graph("scale"))
    assert not labels_exact(graph("scale"), {"s"})
    assert not labels_exact(graph("softmax"))


def test_rows_between_two_clusters_are_left_out() -> None:
    graph = Graph(
        [Input("x", "f64", (2,))],
        [Step("softmax", ("x",), "p", {}), Step("reduce", ("x",), "c", {"fn": "argmax"})],
        [Output("cluster", "c", "i64", "cluster"), Output("probability", "p", "f64", "probability")],
    )
    outputs = {"cluster": np.array([0, 1]), "probability": np.array([[0.5, 0.5 - 1e-16], [0.4, 0.6]])}
    tolerance = {"cluster": EXACT, "probability": Tolerance(1e-12, 1e-12)}
    assert without_ties(graph, outputs, tolerance).tolist() == [False, True]
