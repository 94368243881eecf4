"""The tree evaluator walks whole batches; here it answers every bit as a plain reading of docs/format.md, section 7, does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from modelport.errors import GraphError, InputError
from modelport.graph import Graph, Input, Output, Step
from modelport.ops import trees as module
from modelport.run import Evaluator

Array = np.ndarray[Any, np.dtype[Any]]
FLOATS = {"f64": np.float64, "f32": np.float32}
WIDTH = 4
EDGES = [-np.inf, -1.5, -0.0, 0.0, 0.1, 1.0, 2.0, np.inf]


# --- the plain reading --------------------------------------------------------------------------------------------------------


def plain(a: Mapping[str, Any], x: Array, init: Array | None = None) -> Array:
    """Row by row, tree by tree, node by node; KeyError where NaN is refused."""
    acc, inner = FLOATS[a.get("acc", "f64")], np.cumsum(a["feature"] >= 0) - 1
    leaf_number = np.cumsum(a["feature"] < 0) - 1
    w = a.get("leaf_width", 1)
    values = np.asarray(a.get("leaf_table", a["leaf"])).reshape(-1, w)
    width = a["size"] if "class" in a else w
    rows = []
    for i, row in enumerate(x.astype(FLOATS[a.get("dtype", "f64")])):
        total = np.array(init[i] if init is not None else a.get("init", np.zeros(width)), dtype=acc)
        for t, root in enumerate(a["start"]):
            node = int(root)
            while a["feature"][node] >= 0:
                k = inner[node]
                node = node + 1 if goes_left(a, k, row[a["feature"][node]]) else int(root) + int(a["right"][k])
            number = leaf_number[node]
            leaf = values[a["leaf"][number] if "leaf_table" in a else number]
            where = a["class"][t] if "class" in a else slice(None)
            total[where] += leaf[0] if "class" in a else leaf
        rows.append(total / acc(len(a["start"])) if a.get("aggregate") == "mean" else total)
    return np.array(rows, dtype=acc).reshape(len(x), width)


def goes_left(a: Mapping[str, Any], k: int, value: Any) -> bool:
    if np.isnan(value):
        return {"left": True, "right": False, "node": bool(a.get("missing_left", {k: 0})[k])}[a.get("missing", "error")]
    if "category" in a and a["category"][k] >= 0:
        bounds = [*a["set_start"], len(a["set"])]
        return bool(value in a["set"][bounds[a["category"][k]] : bounds[a["category"][k] + 1]].tolist())
    limit = FLOATS[a.get("dtype", "f64")](a["threshold"][k])
    return bool(value <= limit if a.get("cmp", "le") == "le" else value < limit)


# --- random ensembles ---------------------------------------------------------------------------------------------------------


def tree(rng: np.random.Generator, splits: int) -> tuple[list[int], list[int]]:
    """A random tree in preorder: features (-1 for leaves), right children as offsets from the root."""
    if splits == 0:
        return [-1], []
    left = int(rng.integers(0, splits))
    (lf, lr), (rf, rr) = tree(rng, left), tree(rng, splits - 1 - left)
    at = 1 + len(lf)
    return [int(rng.integers(0, WIDTH)), *lf, *rf], [at, *(r + 1 for r in lr), *(r + at for r in rr)]


def ensemble(rng: np.random.Generator, count: int, splits: int, **given: Any) -> dict[str, Any]:
    """Attributes of an ensemble of `count` random trees of up to `splits` inner nodes."""
    made = [tree(rng, int(rng.integers(0, splits + 1))) for _ in range(count)]
    feature = np.array([f for features, _ in made for f in features])
    inner, dtype, acc = int((feature >= 0).sum()), FLOATS[given.get("dtype", "f64")], FLOATS[given.get("acc", "f64")]
    a: dict[str, Any] = {
        "start": np.cumsum([0, *(len(f) for f, _ in made[:-1])]),
        "feature": feature,
        "threshold": np.where(rng.random(inner) < 0.5, rng.choice(EDGES, inner), rng.normal(size=inner)).astype(dtype),
        "right": np.array([r for _, rights in made for r in rights], dtype=np.int64),
        **given,
    }
    leaves, w = feature.size - inner, given.get("leaf_width", 1)
    if given.get("missing") == "node":
        a["missing_left"] = rng.integers(0, 2, inner)
    if "leaf_table" in given:
        a["leaf_table"] = rng.normal(size=7 * w).astype(acc)
        a["leaf"] = rng.integers(0, 7, leaves)
    else:
        a["leaf"] = rng.normal(size=leaves * w).astype(acc)
    if "size" in given:
        a["class"] = rng.integers(0, given["size"], count)
    if given.get("category"):
        a["set_start"], a["set"] = np.array([0, 2, 2]), np.array([0, 2, 1, 3, 2**40])
        a["category"] = rng.integers(-1, 3, inner)
        a["threshold"] = np.where(a["category"] >= 0, 0, a["threshold"]).astype(dtype)
    return a


def batch(rng: np.random.Generator, a: Mapping[str, Any], n: int, missing: bool) -> Array:
    """Rows of ordinary numbers, thresholds and their neighbours, category codes, and (missing) NaN."""
    x = rng.normal(size=(n, WIDTH))
    near = rng.choice(np.append(a["threshold"].astype(float), EDGES), x.shape)
    near = np.where(rng.random(x.shape) < 0.3, np.nextafter(near, 9.0), near)
    x = np.where(rng.random(x.shape) < 0.5, near, x)
    x = np.where(rng.random(x.shape) < 0.2, rng.integers(-1, 5, x.shape), x)
    return np.where(rng.random(x.shape) < 0.2, np.nan, x) if missing else x


def evaluator(a: Mapping[str, Any], width: int, init: bool = False) -> Evaluator:
    acc = a.get("acc", "f64")
    inputs = [Input("x", "f64", (WIDTH,), "nan"), *([Input("init", acc, (width,))] if init else [])]
    step = Step("tree_ensemble", [v.name for v in inputs], "y", a)
    return Evaluator(Graph(inputs, [step], [Output("y", "y", acc, "score")]))


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "f32": {"dtype": "f32"},
    "less than": {"cmp": "lt", "missing": "left"},
    "less than, f32": {"cmp": "lt", "missing": "node", "dtype": "f32"},
    "nan right": {"missing": "right"},
    "nan by node": {"missing": "node"},
    "wide leaves": {"leaf_width": 3, "missing": "left"},
    "wide leaves in a table": {"leaf_width": 3, "leaf_table": True, "aggregate": "mean"},
    "table": {"leaf_table": True, "acc": "f32"},
    "classes": {"size": 3, "init": np.array([0.1, -0.0, 3.0])},
    "classes from a table": {"size": 3, "leaf_table": True},
    "mean in f32": {"aggregate": "mean", "acc": "f32", "dtype": "f32"},
    "categories": {"category": True, "missing": "node"},
    "categories, less than": {"category": True, "missing": "left", "cmp": "lt"},
    "categories, nan refused": {"category": True, "dtype": "f32"},
}


def identical(got: Array, expected: Array) -> bool:
    """Every bit, and the sign of zero too."""
    return got.dtype == expected.dtype and got.shape == expected.shape and got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("count", "splits", "n"), [(1, 0, 5), (1, 9, 70), (40, 12, 1), (9, 30, 300), (3, 200, 300)])
def test_every_bit(variant: str, count: int, splits: int, n: int) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        a = ensemble(rng, count, splits, **VARIANTS[variant])
        x = batch(rng, a, n, missing="missing" in a)
        expected = plain(a, x)
        assert identical(evaluator(a, expected.shape[1]).run({"x": x})["y"], expected)


@pytest.mark.parametrize("splits", [1, 7, 8, 9, 63])
@pytest.mark.parametrize("variant", VARIANTS)
def test_large_batches_of_small_trees(variant: str, splits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From ROWS rows on every node of a small tree is asked about all rows; blocks are as equal as can be."""
    monkeypatch.setattr(module, "ROWS", 64)
    for seed in range(6 if splits == 63 else 2):
        rng = np.random.default_rng(seed)
        a = ensemble(rng, 4, splits, **VARIANTS[variant])
        x = batch(rng, a, 700, missing="missing" in a)
        expected = plain(a, x)
        assert identical(evaluator(a, expected.shape[1]).run({"x": x})["y"], expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_row_walks_trees_that_are_many(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to ALL nodes are asked at once; beyond, only those on the way are."""
    rng = np.random.default_rng(0)
    a = ensemble(rng, 40, 12, **VARIANTS[variant])
    x = batch(rng, a, 1, missing="missing" in a)
    expected = plain(a, x)
    for most in (0, 1 << 15):
        monkeypatch.setattr(module, "ALL", most)
        assert identical(evaluator(a, expected.shape[1]).run({"x": x})["y"], expected)


def test_category_sets_beyond_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLAGS", 0)
    rng = np.random.default_rng(3)
    a = ensemble(rng, 5, 20, category=True, missing="right")
    x = batch(rng, a, 200, missing=True)
    x[:5, 0] = [2.0**40, 2.0**40 + 1, 2**63, -(2.0**63), 0.5]
    assert identical(evaluator(a, 1).run({"x": x})["y"], plain(a, x))


@pytest.mark.parametrize("n", [1, 50, 5000])
def test_second_value_takes_the_place_of_init(n: int) -> None:
    rng = np.random.default_rng(0)
    a = ensemble(rng, 20, 10, size=2)
    x, init = batch(rng, a, n, missing=False), rng.normal(size=(n, 2))
    got = evaluator(a, 2, init=True).run({"x": x, "init": init})["y"]
    some = slice(0, None, max(1, n // 50))
    assert identical(np.ascontiguousarray(got[some]), plain(a, x[some], init[some]))


def test_no_rows() -> None:
    a = ensemble(np.random.default_rng(0), 3, 5)
    assert evaluator(a, 1).run({"x": np.zeros((0, WIDTH))})["y"].shape == (0, 1)


@pytest.mark.parametrize("n", [100, 9000, 40_000])
def test_nan_is_refused_only_where_a_node_reads_it(n: int) -> None:
    a = {
        "start": np.array([0]),
        "feature": np.array([0, -1, 1, -1, -1]),
        "threshold": np.array([0.0, 0.0]),
        "right": np.array([2, 4]),
        "leaf": np.array([1.0, 2.0, 3.0]),
    }
    x = np.zeros((n, WIDTH))
    x[:, 1] = np.nan  # read only by rows that go right at the root
    assert (evaluator(a, 1).run({"x": x})["y"] == 1.0).all()
    x[n - 7, 0] = x[n - 3, 0] = 5.0
    with pytest.raises(InputError, match=rf"Row {n - 7}: a tree reads NaN"):
        evaluator(a, 1).run({"x": x})


# --- what is no tree in preorder ----------------------------------------------------------------------------------------------


def test_only_the_right_children_of_the_preorder_are_accepted() -> None:
    """All other claims about a small forest are refused, without exception."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        a = ensemble(rng, 3, 6)
        if a["right"].size == 0:
            continue
        evaluator(a, 1)
        for k in range(a["right"].size):
            for claim in range(-1, a["feature"].size + 2):
                if claim != a["right"][k]:
                    with pytest.raises(GraphError, match="'right' does not point"):
                        evaluator({**a, "right": np.where(np.arange(a["right"].size) == k, claim, a["right"])}, 1)


def test_exchanged_right_children_are_refused() -> None:
    rng = np.random.default_rng(2)
    tried = 0
    while tried < 200:
        a = ensemble(rng, 2, 8)
        order = rng.permutation(a["right"].size)
        if (a["right"][order] != a["right"]).any():
            tried += 1
            with pytest.raises(GraphError, match="'right' does not point"):
                evaluator({**a, "right": a["right"][order]}, 1)


@pytest.mark.parametrize(
    ("start", "feature"),
    [
        ([0], [0, -1]),
        ([0], [-1, -1]),
        ([0], [0, -1, -1, -1]),
        ([0, 1], [-1, 0, -1]),
        ([0, 1], [0, -1, -1, -1]),
        ([0, 2], [-1, -1, -1]),
    ],
)
def test_nodes_that_are_no_trees_are_refused(start: list[int], feature: list[int]) -> None:
    inner = sum(f >= 0 for f in feature)
    a = {
        "start": np.array(start),
        "feature": np.array(feature),
        "threshold": np.zeros(inner),
        "right": np.full(inner, 2),
        "leaf": np.zeros(len(feature) - inner),
    }
    with pytest.raises(GraphError, match="one tree in preorder"):
        evaluator(a, 1)
