"""Tree ensembles through onnxruntime equal the fitted scikit-learn models in every bit."""

from __future__ import annotations

from typing import Any

import modelport_onnx
import numpy as np
import pytest
from modelport_onnx.audit import DEEPEST
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelport.document import Document
from modelport.errors import InputError, Unsupported
from modelport.graph import Graph, Input, Output, Step
from tests.converters.modelport_onnx.graphs import boundary_rows, of_hist_boosting, of_trees

TARGETS = ("onnxruntime>=1.21", "onnxruntime>=1.17")
RANDOM = np.random.default_rng(7)
X = np.round(RANDOM.normal(size=(600, 5)), 2)
KIND = (X[:, 0] + X[:, 1] * X[:, 2] > 0.2).astype(int) + (X[:, 3] > 1)
Y = X[:, 0] * 3 + np.sin(X[:, 1]) + RANDOM.normal(size=600) * 0.1
HOLES = np.where(RANDOM.random(X.shape) < 0.2, np.nan, X)

pytestmark = pytest.mark.parametrize("target", TARGETS)


def graph_of(attributes: dict[str, Any], missing: str = "nan", dtype: str = "f64", width: int = 5) -> Graph:
    return Graph(
        [Input("x", dtype, (width,), missing)],
        [Step("tree_ensemble", ["x"], "y", attributes)],
        [Output("y", "y", attributes.get("acc", "f64"), "score")],
    )


def answer(graph: Graph, rows: Any, target: str) -> Any:
    return modelport_onnx.load(modelport_onnx.write(Document(graph), {"target": target})).run({"x": rows})["y"]


def rows_for(attributes: dict[str, Any], base: Any) -> Any:
    features = attributes["feature"][attributes["feature"] >= 0]
    return np.concatenate([base, boundary_rows(attributes["threshold"], features, base.shape[1], base)])


@pytest.mark.parametrize("holes", [False, True], ids=["whole", "fitted with NaN"])
@pytest.mark.parametrize("depth", [None, 4])
def test_decision_tree_classifier(target: str, holes: bool, depth: int | None) -> None:
    base = HOLES if holes else X
    model = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(base, KIND)
    attributes = of_trees([model.tree_], [model.tree_.value[:, 0, :]], missing=holes)
    rows = rows_for(attributes, base)
    np.testing.assert_array_equal(answer(graph_of(attributes), rows, target), model.predict_proba(rows))


@pytest.mark.parametrize("holes", [False, True], ids=["whole", "fitted with NaN"])
@pytest.mark.parametrize("depth", [None, 5])
def test_random_forest_classifier(target: str, holes: bool, depth: int | None) -> None:
    base = HOLES if holes else X
    model = RandomForestClassifier(25, max_depth=depth, random_state=0, n_jobs=1).fit(base, KIND)
    trees = [e.tree_ for e in model.estimators_]
    attributes = of_trees(trees, [t.value[:, 0, :] for t in trees], missing=holes) | {"aggregate": "mean"}
    rows = rows_for(attributes, base)
    expected = model.predict_proba(rows)
    np.testing.assert_array_equal(answer(graph_of(attributes), rows, target), expected)
    for n in (0, 1, 2, 49, 50, 51):
        np.testing.assert_array_equal(answer(graph_of(attributes), rows[:n], target), expected[:n])


def test_leaf_table_gives_the_same(target: str) -> None:
    model = RandomForestClassifier(10, max_depth=5, random_state=0, n_jobs=1).fit(X, KIND)
    trees = [e.tree_ for e in model.estimators_]
    attributes = of_trees(trees, [t.value[:, 0, :] for t in trees]) | {"aggregate": "mean"}
    table, index = np.unique(attributes["leaf"].reshape(-1, 3), axis=0, return_inverse=True)
    attributes |= {"leaf_table": table.ravel(), "leaf": index.ravel()}
    np.testing.assert_array_equal(answer(graph_of(attributes), X, target), model.predict_proba(X))


@pytest.mark.parametrize("outputs", [1, 2])
def test_random_forest_regressor(target: str, outputs: int) -> None:
    model = RandomForestRegressor(30, random_state=1, n_jobs=1).fit(X, np.stack([Y, Y**2], axis=1)[:, :outputs].squeeze())
    trees = [e.tree_ for e in model.estimators_]
    attributes = of_trees(trees, [t.value[:, :, 0] for t in trees]) | {"aggregate": "mean"}
    rows = rows_for(attributes, X)
    np.testing.assert_array_equal(answer(graph_of(attributes), rows, target).squeeze(), model.predict(rows))


def test_gradient_boosting_starts_with_its_first_guess(target: str) -> None:
    model = GradientBoostingClassifier(n_estimators=20, random_state=0).fit(X, KIND)
    trees = [e.tree_ for stage in model.estimators_ for e in stage]
    scaled = [model.learning_rate * t.value[:, 0, :] for t in trees]
    attributes = of_trees(trees, scaled) | {"class": np.arange(60) % 3, "size": 3}
    rows = rows_for(attributes, X)
    init = model._raw_predict_init(rows)
    expected = model.decision_function(rows)
    np.testing.assert_array_equal(answer(graph_of(attributes | {"init": init[0]}), rows, target), expected)
    per_row = Graph(
        [Input("x", "f64", (5,)), Input("init", "f64", (3,))],
        [Step("tree_ensemble", ["x", "init"], "y", attributes)],
        [Output("y", "y", "f64", "score")],
    )
    loaded = modelport_onnx.load(modelport_onnx.write(Document(per_row), {"target": target}))
    np.testing.assert_array_equal(loaded.run({"x": rows, "init": init})["y"], expected)


def test_hist_gradient_boosting_compares_in_f64(target: str) -> None:
    model = HistGradientBoostingRegressor(max_iter=30, random_state=0).fit(HOLES, Y)
    attributes = of_hist_boosting(model)
    rows = rows_for(attributes, HOLES)
    rows = np.concatenate([rows, [[np.inf] * 5, [-np.inf] * 5, [np.nan] * 5]])
    np.testing.assert_array_equal(answer(graph_of(attributes), rows, target)[:, 0], model.predict(rows))


def test_hist_gradient_boosting_of_three_classes(target: str) -> None:
    model = HistGradientBoostingClassifier(max_iter=12, random_state=0).fit(HOLES, KIND)
    attributes = of_hist_boosting(model)
    rows = rows_for(attributes, HOLES)
    np.testing.assert_array_equal(answer(graph_of(attributes), rows, target), model.decision_function(rows))


def test_categories_hold_whole_numbers_only(target: str) -> None:
    attributes: dict[str, Any] = {
        "start": np.array([0, 3]),
        "feature": np.array([0, -1, -1, 1, -1, -1]),
        "threshold": np.zeros(2),
        "right": np.array([2, 2]),
        "missing": "node",
        "missing_left": np.array([1, 0]),
        "category": np.array([1, 0]),
        "set_start": np.array([0, 3]),
        "set": np.array([0, 2, 300, 1, 7]),
        "leaf": np.array([1.0, 2.0, 10.0, 20.0]),
    }
    values = np.array([0, -0.0, 1, 2, 7, 8, 300, 0.5, 2.0000001, 1.9999, -1, 1e30, -1e30, np.inf, -np.inf, np.nan, 2**32 + 1])
    first = np.where(np.isin(values, [1, 7]) | np.isnan(values), 1.0, 2.0)
    second = np.where(np.isin(values, [0, 2, 300]), 10.0, 20.0)
    rows = np.stack([values, values], axis=1)
    np.testing.assert_array_equal(answer(graph_of(attributes, width=2), rows, target)[:, 0], first + second)


def test_float32_sums_round_after_every_tree(target: str) -> None:
    leaf = RANDOM.normal(size=120).astype(np.float32) * np.float32(1000)
    attributes: dict[str, Any] = {
        "dtype": "f32",
        "acc": "f32",
        "cmp": "lt",
        "missing": "right",
        "start": np.arange(60) * 3,
        "feature": np.tile([0, -1, -1], 60),
        "threshold": np.linspace(-2, 2, 60, dtype=np.float32),
        "right": np.full(60, 2),
        "leaf": leaf,
        "init": np.array([0.1], dtype=np.float32),
    }
    values = np.concatenate([attributes["threshold"], RANDOM.normal(size=50).astype(np.float32), [np.float32(np.nan)]])
    expected = np.full(len(values), 0.1, dtype=np.float32)
    for t, threshold in enumerate(attributes["threshold"]):
        expected += np.where(values < threshold, leaf[2 * t], leaf[2 * t + 1])
    for dtype in ("f32", "f64"):
        rows = values[:, None].astype(np.float32 if dtype == "f32" else np.float64)
        found = answer(graph_of(attributes, dtype=dtype, width=1), rows, target)
        np.testing.assert_array_equal(found[:, 0], expected)
        assert found.dtype == np.float32


@pytest.mark.parametrize("shape", ["one leaf", "leaf first", "leaf last"])
def test_trees_of_one_leaf(target: str, shape: str) -> None:
    features = {"one leaf": [[-1]], "leaf first": [[-1], [0, -1, -1]], "leaf last": [[0, -1, 0, -1, -1], [-1]]}[shape]
    right = {"one leaf": [], "leaf first": [2], "leaf last": [2, 4]}[shape]
    flat = np.concatenate(features).astype(np.int64)
    leaf = 2.0 ** np.arange((flat < 0).sum())
    attributes: dict[str, Any] = {
        "start": np.concatenate([[0], np.cumsum([len(f) for f in features])])[:-1].astype(np.int64),
        "feature": flat,
        "threshold": np.arange(len(right), dtype=np.float64),
        "right": np.array(right, dtype=np.int64),
        "leaf": leaf,
    }
    expected = {"one leaf": [1.0, 1.0, 1.0], "leaf first": [3.0, 5.0, 5.0], "leaf last": [9.0, 10.0, 12.0]}[shape]
    rows = np.array([[0.0], [1.0], [2.0]])
    np.testing.assert_array_equal(answer(graph_of(attributes, width=1), rows, target)[:, 0], expected)


def test_nan_is_refused_only_where_a_visited_node_reads_it(target: str) -> None:
    model = DecisionTreeRegressor(random_state=0, max_depth=6).fit(X, Y)
    attributes = of_trees([model.tree_, model.tree_], [model.tree_.value[:, :, 0]] * 2)
    unused = np.setdiff1d(np.arange(5), attributes["feature"])
    root = int(attributes["feature"][0])
    graph = graph_of(attributes)
    reads = model.decision_path(X).toarray().astype(bool)
    features = np.where(model.tree_.feature >= 0, model.tree_.feature, -1)
    answered = refused = 0
    for i in range(60):
        column = i % 5
        row = X[[i]].copy()
        row[0, column] = np.nan
        if (features[reads[i]] == column).any():
            with pytest.raises(InputError, match="Row 0: a tree reads NaN"):
                answer(graph, row, target)
            refused += 1
        else:
            np.testing.assert_array_equal(answer(graph, row, target)[0, 0], 2 * model.predict(X[[i]])[0])
            answered += 1
    assert refused > 10
    assert answered > 5
    assert root not in unused
    batch = X[:40].copy()
    batch[23, root] = np.nan
    with pytest.raises(InputError, match="Row 23"):
        answer(graph, batch, target)


def test_deep_trees_are_refused_before_they_crash_the_runtime(target: str) -> None:
    depth = DEEPEST + 1
    attributes: dict[str, Any] = {
        "start": np.array([0]),
        "feature": np.array([0, -1] * depth + [-1]),
        "threshold": np.arange(depth, dtype=np.float64),
        "right": np.arange(depth) * 2 + 2,
        "missing": "right",
        "leaf": np.arange(depth + 1, dtype=np.float64),
    }
    with pytest.raises(Unsupported, match="levels deep"):
        modelport_onnx.write(Document(graph_of(attributes, width=1)), {"target": target})
    shallower = attributes | {
        "feature": attributes["feature"][4:],
        "threshold": attributes["threshold"][:-2],
        "right": attributes["right"][:-2],
        "leaf": attributes["leaf"][:-2],
    }
    rows = np.array([[-1.0], [0.5], [2500.0], [1e9]])
    np.testing.assert_array_equal(answer(graph_of(shallower, width=1), rows, target)[:, 0], [0.0, 1.0, 2500.0, depth - 2])
