"""Forests read group by group are the forests read at once, and an evaluator in passing answers as a lasting one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from modelport_sklearn.handlers import tree_groups
from modelport_sklearn.handlers.tree_arrays import sklearn_nodes, tree_attributes
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor

import modelport.ops.trees
from modelport.ops.base import in_passing
from modelport.run import Evaluator
from modelport.sample import Sample

X, y = load_iris(return_X_y=True)
D, t = load_diabetes(return_X_y=True)
HOLES = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
FORESTS = {
    "classes": (lambda: RandomForestClassifier(30, random_state=0).fit(X, y)),
    "missing": (lambda: RandomForestClassifier(30, random_state=0).fit(HOLES, y)),
    "values": (lambda: RandomForestRegressor(20, random_state=0).fit(D, t)),
    "few values, best first": (lambda: ExtraTreesRegressor(20, max_leaf_nodes=9, random_state=0).fit(D, np.round(t / 30))),
    "best first": (lambda: RandomForestClassifier(20, random_state=0, max_leaf_nodes=12).fit(D, t > 150)),
}


@pytest.mark.parametrize("size", [1, 50, 300])
@pytest.mark.parametrize("name", FORESTS)
def test_groups_are_joined_as_if_read_at_once(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = [tree.tree_ for tree in FORESTS[name]().estimators_]
    columns = np.arange(trees[0].value[0].size)
    whole = tree_attributes(sklearn_nodes(trees, columns, True), "f32")
    monkeypatch.setattr(tree_groups, "GROUP", size)
    joined = tree_groups.forest_attributes(trees, columns, True)
    assert joined.keys() == whole.keys()
    for key, value in whole.items():
        assert np.array_equal(joined[key], value), key
        assert getattr(joined[key], "dtype", None) == getattr(value, "dtype", None), key


@pytest.mark.parametrize("size", [1, 40, 1 << 16])
@pytest.mark.parametrize("kind", ["forest", "categories"])
def test_an_evaluator_in_passing_answers_as_a_lasting_one(kind: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelport_sklearn import read

    model: Any = RandomForestClassifier(12, random_state=0).fit(HOLES, y)
    rows = HOLES
    if kind == "categories":
        rows = np.column_stack([np.round(X * 2), y])
        model = HistGradientBoostingClassifier(max_iter=6, categorical_features=[0, 4]).fit(rows, y)
    graph = read(model, Sample.of(rows)).graph
    feeds = {graph.inputs[0].name: rows}
    lasting = Evaluator(graph).run(feeds)
    monkeypatch.setattr(modelport.ops.trees, "GROUP", size)
    with in_passing():
        passing = Evaluator(graph)
    for _ in range(2):
        found = passing.run(feeds)
        assert all(np.array_equal(found[name], lasting[name]) for name in lasting)
