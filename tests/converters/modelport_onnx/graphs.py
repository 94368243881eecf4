"""Graphs and documents that several tests use; trees of fitted scikit-learn models as tree_ensemble attributes."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.document import Document, Tolerance, Vectors
from modelport.graph import Graph, Input, Output, Step

Array = np.ndarray[Any, np.dtype[Any]]


def one_step(op: str, attributes: dict[str, Any], *inputs: Input) -> Graph:
    """A graph of one step on its inputs, with the output y."""
    inputs = inputs or (Input("x", "f64", (2,)),)
    step = Step(op, [v.name for v in inputs], "y", attributes)
    dtype = Graph(inputs, [step], [Output("unused", inputs[0].name, inputs[0].dtype, "transform")]).types["y"].dtype
    return Graph(inputs, [step], [Output("y", "y", dtype, "transform")])


def logistic_document() -> Document:
    """A text column and a matrix, standardised and encoded, into the labels and probabilities of three classes; with vectors."""
    random = np.random.default_rng(5)
    graph = Graph(
        [Input("size (cm)", "f64", (2,), features=("a b", "c.d")), Input("town", "str", (1,), "null"), Input("label", "i64", ())],
        [
            Step("scale", ["size (cm)"], "scaled", {"sub": np.array([1.0, 2.0]), "div": np.array([3.0, 0.5])}),
            Step(
                "lookup",
                ["town"],
                "code",
                {"keys": np.array(["Oslo", None, ""], dtype=object), "values": np.arange(3), "default": -1},
            ),
            Step("onehot", ["code"], "kind", {"size": 3}),
            Step("cast", ["label"], "age", {"to": "f64"}),
            Step("concat", ["scaled", "kind", "age"], "all", {}),
            Step("linear", ["all"], "score", {"weight": random.normal(size=(3, 6)), "bias": random.normal(size=3)}),
            Step("softmax", ["score"], "probability", {}),
            Step("reduce", ["probability"], "best", {"fn": "argmax"}),
            Step("take", ["best"], "name", {"table": np.array(["low", "é", None], dtype=object)}),
        ],
        [
            Output("label", "name", "str", "prediction"),
            Output("score", "probability", "f64", "probability", ("low", "é", "none")),
        ],
        "towns",
    )
    rows = 12
    towns = np.array([["Oslo"], [None], [""], ["Bergen"]] * 3, dtype=object)
    feeds = {"size (cm)": random.normal(size=(rows, 2)) * 3, "town": towns, "label": np.arange(rows) - 5}
    x = np.concatenate([(feeds["size (cm)"] - [1.0, 2.0]) / [3.0, 0.5], _kinds(towns), feeds["label"][:, None]], axis=1)
    step = graph.producer("score")
    assert step is not None
    score = x @ step.attributes["weight"].T + step.attributes["bias"]
    e = np.exp(score - score.max(axis=1, keepdims=True))
    probability = e / e.sum(axis=1, keepdims=True)
    labels = np.array(["low", "é", None], dtype=object)[probability.argmax(axis=1)]
    tolerance = {"label": Tolerance(), "score": Tolerance(1e-12, 1e-12)}
    notes = ["plain"] * rows
    vectors = Vectors(feeds, {"label": labels, "score": probability}, tolerance, "synthetic", notes)
    return Document(graph, vectors, {"model": "hand-made", "versions": {"numpy": np.__version__}}, "what it is for")


def _kinds(towns: Array) -> Array:
    return np.array([[float(t == key) for key in ("Oslo", None, "")] for t in towns.ravel()])


# --- fitted trees -------------------------------------------------------------------------------------------------------------


def rounded_down(threshold: Array) -> Array:
    """The largest float32 not above each f64: comparing a float32 with it is comparing with the f64."""
    single = threshold.astype(np.float32)
    above = single.astype(np.float64) > threshold
    single[above] = np.nextafter(single[above], np.float32(-np.inf))
    return single


def of_trees(trees: list[Any], leaves: list[Array], missing: bool = False) -> dict[str, Array]:
    """Structure of scikit-learn `Tree` objects (grown depth first, so in preorder); leaves [nodes, w] per tree."""
    inner = [tree.feature >= 0 for tree in trees]
    sizes = [tree.node_count for tree in trees]
    attributes: dict[str, Any] = {
        "dtype": "f32",
        "start": np.concatenate([[0], np.cumsum(sizes)])[:-1],
        "feature": np.concatenate([np.where(i, tree.feature, -1) for tree, i in zip(trees, inner, strict=True)]),
        "threshold": rounded_down(np.concatenate([tree.threshold[i] for tree, i in zip(trees, inner, strict=True)])),
        "right": np.concatenate([tree.children_right[i] for tree, i in zip(trees, inner, strict=True)]),
        "leaf": np.concatenate([value[~i].ravel() for value, i in zip(leaves, inner, strict=True)]),
        "leaf_width": leaves[0].shape[1],
    }
    for tree, i in zip(trees, inner, strict=True):
        assert (tree.children_left[i] == np.flatnonzero(i) + 1).all()
    if missing:
        go_left = np.concatenate([tree.missing_go_to_left[i] for tree, i in zip(trees, inner, strict=True)])
        attributes |= {"missing": "node", "missing_left": go_left.astype(np.int64)}
    return attributes


def of_hist_boosting(model: Any) -> dict[str, Array]:
    """Trees of a fitted HistGradientBoosting model without its categories; iteration by iteration, class by class."""
    start, feature, threshold, right, left, leaf, column = [], [], [], [], [], [], []
    for iteration in model._predictors:
        for k, predictor in enumerate(iteration):
            nodes, first = predictor.nodes, len(feature)
            start.append(first)
            column.append(k)
            _preorder(nodes, 0, first, feature, threshold, right, left, leaf)
    attributes = {
        "start": np.array(start),
        "feature": np.array(feature),
        "threshold": np.array(threshold),
        "right": np.array(right),
        "missing": "node",
        "missing_left": np.array(left),
        "leaf": np.array(leaf),
        "init": model._baseline_prediction.ravel().astype(np.float64),
    }
    if model.n_trees_per_iteration_ > 1:
        attributes |= {"class": np.array(column), "size": model.n_trees_per_iteration_}
    return attributes


def _preorder(nodes: Any, at: int, first: int, feature: Any, threshold: Any, right: Any, left: Any, leaf: Any) -> None:
    if nodes[at]["is_leaf"]:
        feature.append(-1)
        leaf.append(float(nodes[at]["value"]))
        return
    feature.append(int(nodes[at]["feature_idx"]))
    threshold.append(float(nodes[at]["num_threshold"]))
    left.append(int(nodes[at]["missing_go_to_left"]))
    place = len(right)
    right.append(0)
    _preorder(nodes, int(nodes[at]["left"]), first, feature, threshold, right, left, leaf)
    right[place] = len(feature) - first
    _preorder(nodes, int(nodes[at]["right"]), first, feature, threshold, right, left, leaf)


def around(values: Array) -> Array:
    """The values with both neighbours in f32 and in f64: [5 n]."""
    double, single = values.astype(np.float64), values.astype(np.float32)
    sides = [np.nextafter(double, -np.inf), double, np.nextafter(double, np.inf)]
    with np.errstate(over="ignore"):
        sides += [np.nextafter(single, np.float32(side)).astype(np.float64) for side in (-np.inf, np.inf)]
    return np.concatenate(sides)


def boundary_rows(thresholds: Array, features: Array, width: int, base: Array, limit: int = 400) -> Array:
    """Rows of `base` with one column on a threshold, or one unit in the last place beside it."""
    chosen = np.linspace(0, len(thresholds) - 1, min(limit, len(thresholds))).astype(int)
    values, columns = around(thresholds[chosen]), np.tile(features[chosen], 5)
    fits = np.abs(values) <= np.finfo(np.float32).max  # a split between numbers and NaN has the threshold infinity
    values, columns = values[fits], columns[fits]
    rows = base[np.arange(len(values)) % len(base)].copy()
    rows[np.arange(len(values)), columns] = values
    special = np.tile([[0.0], [-0.0], [1e30], [-1e30], [np.finfo(np.float32).max * 0.999]], (1, width))
    return np.concatenate([rows, special])
