"""Trees at their thresholds, with missing values, with categories: every engine goes the way the graph goes, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from modelport_pmml.trees import narrow_limit, record_counts, widest_double

from modelport.document import Tolerance
from modelport.graph import Graph, Input, Output, Step
from tests.converters.modelport_pmml.common import ENGINES, agree, beside, engine, write


def stump(**changes: Any) -> dict[str, Any]:
    """x <= 0.1 ? -1 : 1, with other attributes."""
    attributes: dict[str, Any] = {
        "start": np.array([0]),
        "feature": np.array([0, -1, -1]),
        "threshold": np.array([0.1]),
        "right": np.array([2]),
        "leaf": np.array([-1.0, 1.0]),
    }
    return {**attributes, **changes}


def trees(
    attributes: dict[str, Any], dtype: str = "f64", missing: str = "nan", width: int = 1, before: tuple[Step, ...] = ()
) -> Graph:
    """An ensemble on a matrix x."""
    source = before[-1].output if before else "x"
    steps = [*before, Step("tree_ensemble", [source], "y", attributes)]
    return Graph([Input("x", dtype, (width,), missing)], steps, [Output("prediction", "y", "f64", "prediction")])


def rows_of(values: Any, dtype: Any = np.float64) -> dict[str, np.ndarray]:
    return {"x": np.asarray(values, dtype=dtype).reshape(-1, 1)}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("threshold", [0.1, 0.5, -0.0, 1e-45, 3.4028234663852886e38, 16777216.0, 0.30000001192092896])
@pytest.mark.parametrize(("rule", "cmp"), [("f32", "le"), ("f32", "lt"), ("f64", "le"), ("f64", "lt")])
def test_boundary_rows(rule: str, cmp: str, threshold: float, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    dtype = np.float32 if rule == "f32" else np.float64
    limit = dtype(threshold)
    with np.errstate(over="ignore"):
        x = beside(float(limit))
        x = np.concatenate([x[np.isfinite(x)], [0.0, -0.0, 1e30, -1e30]])
        seen = x.astype(dtype)
    expected = {"prediction": np.where(seen <= limit if cmp == "le" else seen < limit, -1.0, 1.0)[:, None]}
    graph = trees(stump(dtype=rule, cmp=cmp, threshold=np.array([limit])), missing="error")
    agree(engine(kind, write(graph, rows_of(x), expected), need), rows_of(x), expected)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("rule", ["f32", "f64"])
def test_boundary_rows_of_float32_columns(rule: str, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    dtype = np.float32 if rule == "f32" else np.float64
    x = beside(0.1).astype(np.float32)
    expected = {"prediction": np.where(x.astype(dtype) <= dtype(0.1), -1.0, 1.0)[:, None]}
    graph = trees(stump(dtype=rule, threshold=np.array([0.1], dtype=dtype)), "f32", "error")
    agree(engine(kind, write(graph, rows_of(x, np.float32), expected), need), rows_of(x, np.float32), expected)


@pytest.mark.parametrize("kind", ENGINES)
def test_a_cast_before_the_trees_costs_nothing(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    x = beside(0.1)
    with np.errstate(over="ignore"):
        expected = {"prediction": np.where(x.astype(np.float32).astype(np.float64) <= 0.1, -1.0, 1.0)[:, None]}
    cast = (Step("cast", ["x"], "narrow", {"to": "f32"}), Step("cast", ["narrow"], "wide", {"to": "f64"}))
    data = write(trees(stump(), missing="error", before=cast[:1]), rows_of(x), expected)
    assert b"DerivedField" not in data
    agree(engine(kind, data, need), rows_of(x), expected)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("missing", ["left", "right", "node"])
def test_where_missing_values_go(missing: str, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    """Two trees on two columns; every node has a side of its own."""
    attributes = {
        "start": np.array([0, 5]),
        "feature": np.array([0, 1, -1, -1, -1, 1, -1, 0, -1, -1]),
        "threshold": np.array([0.5, 1.5, 2.5, -1.0]),
        "right": np.array([4, 3, 2, 4]),
        "leaf": np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]),
        "missing": missing,
    }
    sides = {"left": [1, 1, 1, 1], "right": [0, 0, 0, 0], "node": [0, 1, 1, 0]}[missing]
    if missing == "node":
        attributes["missing_left"] = np.array(sides)
    grid = [0.0, 1.0, 2.0, 3.0, -2.0, np.nan]
    X = np.array([[a, b] for a in grid for b in grid])

    def left(value: float, limit: float, side: int) -> bool:
        return bool(side) if np.isnan(value) else value <= limit

    def walk(a: float, b: float) -> float:
        first = (1.0 if left(b, 1.5, sides[1]) else 2.0) if left(a, 0.5, sides[0]) else 4.0
        second = 8.0 if left(b, 2.5, sides[2]) else 16.0 if left(a, -1.0, sides[3]) else 32.0
        return first + second

    expected = {"prediction": np.array([[walk(a, b)] for a, b in X])}
    agree(engine(kind, write(trees(attributes, width=2), {"x": X}, expected), need), {"x": X}, expected)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("side", [0, 1])
def test_categories(side: int, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    attributes = stump(
        threshold=np.array([0.0]),
        category=np.array([0]),
        set_start=np.array([0]),
        set=np.array([0, 3, 64]),
        missing="node",
        missing_left=np.array([side]),
    )
    x = np.array([0.0, -0.0, 1.0, 3.0, 3.0000000000000004, 64.0, -3.0, 0.5, 1e30, np.nan])
    inside = np.array([1, 1, 0, 1, 0, 1, 0, 0, 0, side], dtype=bool)
    expected = {"prediction": np.where(inside, -1.0, 1.0)[:, None]}
    agree(engine(kind, write(trees(attributes), rows_of(x), expected), need), rows_of(x), expected)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(("cmp", "limit"), [("le", np.inf), ("lt", np.inf), ("le", -np.inf), ("lt", -np.inf)])
def test_infinite_thresholds(cmp: str, limit: float, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    """A split that only sets missing values apart has the threshold infinity."""
    x = np.array([-1e300, 0.0, 1e300, 1.7976931348623157e308, np.nan])
    attributes = stump(cmp=cmp, threshold=np.array([limit]), missing="node", missing_left=np.array([0]))
    expected = {"prediction": np.where(x <= limit if cmp == "le" else x < limit, -1.0, 1.0)[:, None]}
    agree(engine(kind, write(trees(attributes), rows_of(x), expected), need), rows_of(x), expected)


@pytest.mark.parametrize("kind", ENGINES)
def test_sums_run_in_the_order_of_the_graph(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    """0.1 + 0.2 + 0.3 from an initial value that a sum done last would lose."""
    attributes = {
        "start": np.array([0, 1, 2]),
        "feature": np.array([-1, -1, -1]),
        "threshold": np.zeros(0),
        "right": np.zeros(0, dtype=np.int64),
        "leaf": np.array([0.1, 0.2, 0.3]),
        "init": np.array([1e15]),
    }
    expected = {"prediction": np.array([[((1e15 + 0.1) + 0.2) + 0.3]])}
    agree(engine(kind, write(trees(attributes), rows_of([1.0]), expected), need), rows_of([1.0]), expected)


@pytest.mark.parametrize("kind", ENGINES)
def test_a_refused_missing_value_gives_no_answer(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    from modelport.errors import InputError

    data = write(trees(stump(), missing="error"), rows_of([0.0]), {"prediction": np.array([[-1.0]])})
    with pytest.raises(InputError):
        engine(kind, data, need).run(rows_of([np.nan]))


def test_a_deep_tree_is_written_and_read() -> None:
    depth = 3000
    attributes = {
        "start": np.array([0]),
        "feature": np.array([0, -1] * depth + [-1]),
        "threshold": np.arange(depth, dtype=float),
        "right": np.arange(2, 2 * depth + 2, 2),
        "leaf": np.arange(depth + 1, dtype=float),
    }
    x = np.array([-1.0, 0.5, 1234.0, 1e6])
    expected = {"prediction": np.array([[0.0], [1.0], [1234.0], [3000.0]])}
    import modelport_pmml

    agree(modelport_pmml.load(write(trees(attributes, missing="error"), rows_of(x), expected)), rows_of(x), expected)


def test_the_widest_double_is_the_last_that_rounds_down() -> None:
    limits = np.array([0.1, 0.3, 1e-45, 16777216.0, 16777218.0, -0.1, 3.4028234663852886e38], dtype=np.float32)
    wide = widest_double(limits)
    with np.errstate(over="ignore"):
        assert (wide.astype(np.float32) <= limits).all()
        assert (np.nextafter(wide, np.inf).astype(np.float32) > limits).all()


def test_limits_of_float32_columns() -> None:
    x = beside(0.1).astype(np.float32)
    for t in beside(0.1):
        assert np.array_equal(x <= narrow_limit(np.array([t]), False)[0], x.astype(float) <= t)
        assert np.array_equal(x <= narrow_limit(np.array([t]), True)[0], x.astype(float) < t)


@pytest.mark.parametrize("counts", [[1, 2], [0, 7], [3, 5, 11, 2], [1, 10**5, 77]])
def test_record_counts_give_the_probabilities_back(counts: list[int]) -> None:
    row = [k / sum(counts) for k in counts]
    found = record_counts(row)
    assert found is not None
    assert [k / sum(found) for k in found] == row


# --- sums in float32 ----------------------------------------------------------------------------------------------------------


def grove(count: int, **changes: Any) -> dict[str, Any]:
    """Stumps on one column with float32 leaves whose sums depend on the rounding."""
    r = np.random.default_rng(7)
    return {
        "start": np.arange(count) * 3,
        "feature": np.tile([0, -1, -1], count),
        "threshold": r.normal(size=count).astype(np.float32),
        "right": np.full(count, 2),
        "leaf": (r.normal(size=2 * count) * 10.0 ** r.integers(-3, 4, 2 * count)).astype(np.float32),
        "dtype": "f32",
        "acc": "f32",
        **changes,
    }


def added(attributes: dict[str, Any], x: Any, width: int, start: Any) -> Any:
    """The trees added one by one in float32."""
    total = np.tile(np.asarray(start, dtype=np.float32), (len(x), 1))
    leaves = attributes["leaf"].reshape(-1, 2)
    for t, (limit, (low, high)) in enumerate(zip(attributes["threshold"], leaves, strict=True)):
        column = attributes["class"][t] if "class" in attributes else 0
        total[:, column] += np.where(x.astype(np.float32) <= limit, low, high)
    return total


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("start", [0.0, 0.1])
def test_sums_in_float32(classes: int, start: float, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    x = np.linspace(-2, 2, 41)
    changes: dict[str, Any] = {"init": np.full(classes, start, dtype=np.float32)}
    if classes > 1:
        changes |= {"class": np.arange(20) % classes, "size": classes}
    attributes = grove(20, **changes)
    expected = added(attributes, x, classes, changes["init"])
    steps = [Step("tree_ensemble", ["x"], "y", attributes), Step("cast", ["y"], "wide", {"to": "f64"})]
    graph = Graph([Input("x", "f64", (1,))], steps, [Output("score", "wide", "f64", "score")])
    wide = {"score": expected.astype(np.float64)}
    exact = np.sum(
        [np.where(x <= t, *p) for t, p in zip(attributes["threshold"], attributes["leaf"].reshape(-1, 2).astype(float))], 0
    )
    assert classes > 1 or (exact + np.float32(start) != wide["score"][:, 0]).any(), "the rounding shows"
    # PMML4S adds in double
    tolerance = {"score": Tolerance(1e-3, 1e-6)} if kind == "pypmml" else {}
    agree(engine(kind, write(graph, rows_of(x), wide), need), rows_of(x), wide, tolerance)
