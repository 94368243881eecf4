"""Ops of profile `nn` beside their cases: rows do not influence each other, parts of memory do not show, costs are counted."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from modelport_json import read_document
from modelport_json.tensors import decode
from suite import document_of_case, graph_cases

from modelport.compare import compare
from modelport.document import Tolerance
from modelport.errors import GraphError
from modelport.graph import Graph, Input, Output, Step
from modelport.ops import OPS, arithmetic, products, recurrent, windows
from modelport.run import Evaluator

ANSWERED: dict[str, list[dict[str, Any]]] = {}
for name, found in graph_cases():
    if "expected" in found:
        ANSWERED.setdefault(name, []).append(found)
RNG = np.random.default_rng(0)


def one_step(op: str, *values: np.ndarray, **attributes: Any) -> Evaluator:
    """An evaluator of one step on f64 values."""
    names = [f"v{i}" for i in range(len(values))]
    inputs = [Input(n, "bool" if v.dtype == bool else "f64", v.shape[1:]) for n, v in zip(names, values, strict=True)]
    return Evaluator(Graph(inputs, [Step(op, names, "y", attributes)], [Output("y", "y", "f64", "transform")]))


def answer(op: str, *values: np.ndarray, **attributes: Any) -> np.ndarray:
    feeds = {f"v{i}": value for i, value in enumerate(values)}
    return one_step(op, *values, **attributes).run(feeds)["y"]


@pytest.mark.parametrize("op", sorted(ANSWERED))
def test_rows_do_not_influence_each_other(op: str) -> None:
    for case in ANSWERED[op]:
        evaluator = Evaluator(read_document(json.dumps(document_of_case(case), ensure_ascii=False).encode()).graph)
        feeds = {v["name"]: decode(case["feed"][v["name"]], v["dtype"], "feed") for v in case["inputs"]}
        expected = decode(case["expected"], None, "expected")
        empty = evaluator.run({key: value[:0] for key, value in feeds.items()})["y"]
        assert (empty.shape, empty.dtype) == ((0, *expected.shape[1:]), expected.dtype), case["name"]
        if len(expected) > 1:
            alone = [evaluator.run({key: value[i : i + 1] for key, value in feeds.items()})["y"] for i in range(len(expected))]
            got = np.concatenate(alone)
            assert compare("y", expected, got, Tolerance.from_json(case["tolerance"])).passed, case["name"]


@pytest.mark.parametrize(
    ("module", "limit", "op", "values", "attributes"),
    [
        (windows, "PATCHES", "conv", [(7, 3, 6, 5)], {"weight": RNG.normal(size=(4, 3, 3, 2)), "pads": np.array([1, 0, 1, 1])}),
        (windows, "PATCHES", "conv", [(7, 4, 6)], {"weight": RNG.normal(size=(4, 2, 3)), "groups": 2}),
        (windows, "PATCHES", "conv_transpose", [(7, 3, 6)], {"weight": RNG.normal(size=(3, 2, 3)), "strides": np.array([2])}),
        (recurrent, "GATES", "lstm", [(7, 5, 3)], {"weight": RNG.normal(size=(8, 3)), "recurrent": RNG.normal(size=(8, 2))}),
        (
            recurrent,
            "GATES",
            "gru",
            [(7, 5, 3), (7, 2)],
            {"weight": RNG.normal(size=(6, 3)), "recurrent": RNG.normal(size=(6, 2))},
        ),
        (recurrent, "GATES", "rnn", [(7, 5, 3)], {"weight": RNG.normal(size=(2, 3)), "recurrent": np.eye(2), "reverse": True}),
        (products, "SCORES", "attention", [(7, 2, 3, 4), (7, 2, 5, 4), (7, 2, 5, 2)], {}),
        (products, "SCORES", "attention", [(7, 2, 3, 4), (7, 5, 4), (7, 1, 5, 2)], {"causal": True}),
        (products, "SCORES", "attention", [(7, 3, 4), (7, 5, 4), (7, 5, 2), (7, 3, 5)], {"scale": 0.3}),
        (products, "SCORES", "attention", [(7, 2, 3, 4), (7, 2, 5, 4), (7, 2, 5, 2), (7, 1, 5)], {"causal": True}),
    ],
)
def test_memory_in_parts_does_not_show(
    module: Any, limit: str, op: str, values: list[tuple[int, ...]], attributes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = [RNG.normal(size=shape) for shape in values]
    whole = answer(op, *arrays, **attributes)
    monkeypatch.setattr(module, limit, 1)
    np.testing.assert_allclose(answer(op, *arrays, **attributes), whole, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 1, 7, 8), (1, 2, 4, 5, 6)])
def test_patches_and_taps_agree(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    k = len(shape) - 2
    x, weight = RNG.normal(size=shape), RNG.normal(size=(5, shape[1], *(3, 2, 2)[:k]))
    said = {
        "weight": weight,
        "strides": np.array((2, 1, 2)[:k]),
        "dilations": np.array((1, 3, 1)[:k]),
        "pads": np.array([2] * 2 * k),
    }
    patches = answer("conv", x, **said)
    monkeypatch.setattr(windows, "FEW_CHANNELS", 0)
    np.testing.assert_allclose(answer("conv", x, **said), patches, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("op", "shape", "attributes"),
    [
        ("pool", (1, 1), {"fn": "mean", "size": np.array([1 << 20]), "pads": np.array([(1 << 20) - 1] * 2)}),
        ("pool", (1, 5), {"fn": "max", "size": np.array([2]), "strides": np.array([1 << 62])}),
        ("conv", (1, 5), {"weight": np.ones((1, 1, 2)), "pads": np.array([1 << 62, 1])}),
        ("conv", (1, 5), {"weight": np.ones((1, 1, 2)), "pads": np.array([1 << 20] * 2), "dilations": np.array([1 << 40])}),
        ("conv_transpose", (1, 5), {"weight": np.ones((1, 1, 2)), "strides": np.array([1 << 20])}),
        ("resize", (5,), {"axes": np.array([0]), "scales": np.array([1e300]), "fn": "linear", "at": "half_pixel"}),
        ("pad", (5,), {"before": np.array([1 << 62]), "after": np.array([1 << 62])}),
        ("expand", (1,), {"shape": np.array([1 << 40])}),
        ("reshape", (4,), {"shape": np.array([1 << 40, -1])}),
    ],
)
def test_what_asks_for_too_much_is_refused_before_it_costs(op: str, shape: tuple[int, ...], attributes: dict[str, Any]) -> None:
    with pytest.raises(GraphError):
        one_step(op, np.zeros((1, *shape)), **attributes)


def test_far_windows_cost_what_they_see() -> None:
    said = {"weight": np.ones((1, 1, 2)), "pads": np.array([1 << 20, 1 << 20]), "strides": np.array([1 << 20])}
    assert answer("conv", np.array([[[1.0, 2.0]]]), **said).tolist() == [[[0.0, 3.0, 0.0]]]


def test_a_large_linear_is_the_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = RNG.normal(size=(5, 30)), RNG.normal(size=(7, 30))
    small = answer("linear", x, weight=weight, bias=weight[:, 0])
    monkeypatch.setattr(arithmetic, "EXACT_WEIGHTS", 1)
    np.testing.assert_allclose(answer("linear", x, weight=weight, bias=weight[:, 0]), small, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "expected"),
    [
        ("matmul", [(2, 3, 4), (4, 5)], {}, 2 * 3 * 5 * 4),
        ("conv", [(4, 9, 9)], {"weight": np.zeros((6, 2, 3, 3)), "groups": 2}, 6 * 7 * 7 * 2 * 9),
        ("conv_transpose", [(4, 5)], {"weight": np.zeros((4, 3, 2))}, 4 * 5 * 3 * 2),
        ("pool", [(2, 6)], {"fn": "max", "size": np.array([3])}, 2 * 4 * 3),
        (
            "resize",
            [(2, 3, 4)],
            {"axes": np.array([1, 2]), "sizes": np.array([6, 8]), "fn": "linear", "at": "half_pixel"},
            4 * (2 * 6 * 4 + 2 * 6 * 8),
        ),
        ("lstm", [(7, 3)], {"weight": np.zeros((8, 3)), "recurrent": np.zeros((8, 2))}, 7 * (24 + 16 + 48 * 8)),
        ("gru", [(7, 3)], {"weight": np.zeros((6, 3)), "recurrent": np.zeros((6, 2))}, 7 * (18 + 12 + 48 * 6)),
        ("rnn", [(7, 3)], {"weight": np.zeros((2, 3)), "recurrent": np.zeros((2, 2))}, 7 * (6 + 4 + 48 * 2)),
        ("attention", [(2, 3, 4), (2, 5, 4), (2, 5, 6)], {}, 2 * 3 * 5 * (4 + 6 + 16)),
        ("activation", [(2, 3)], {"fn": "gelu"}, 16 * 6),
        ("linear", [(2, 3)], {"weight": np.zeros((5, 3))}, 2 * 5 * 3),
        ("linear", [()], {"weight": np.zeros((5, 1))}, 5),
        ("pairwise", [(3,)], {"points": np.zeros((7, 3)), "metric": "rbf"}, 7 * (3 + 16)),
        ("pairwise", [(3,)], {"points": np.zeros((7, 3)), "metric": "minkowski"}, 7 * (16 * 3 + 16)),
        ("gaussian_ll", [(3,)], {"mean": np.zeros((2, 3)), "var": np.ones((2, 3))}, 2 * (3 + 16)),
        ("poly", [(2,)], {"powers": np.array([[0, 3], [2, 1]])}, 6),
        ("knn", [(7,)], {"k": 2, "weights": "uniform", "targets": np.zeros((7, 1))}, 7 * (2 + 16)),
        ("ovo_vote", [(3,)], {"classes": 3, "mode": "votes"}, 0),
        ("ovo_vote", [(3,)], {"classes": 3, "mode": "coupling", "prob_a": np.ones(3), "prob_b": np.ones(3)}, 9 * 100),
        ("reduce", [(7,)], {"fn": "sum"}, 0),
        ("reduce", [(7,)], {"fn": "logsumexp"}, 16 * 7),
        ("unary", [(2, 3)], {"fn": "sqrt"}, 0),
        ("unary", [(2, 3)], {"fn": "exp"}, 16 * 6),
        ("binary", [(2, 3), (3,)], {"fn": "add"}, 0),
        ("binary", [(2, 3), (3,)], {"fn": "pow"}, 16 * 6),
        ("softmax", [(2, 3)], {}, 16 * 6),
        ("log_softmax", [(2, 3)], {}, 16 * 6),
        ("lookup", [(2, 3)], {"keys": np.array([0.0]), "values": np.array([1.0]), "default": 2.0}, 16 * 6),
        ("bucketize", [(2,)], {"edges": np.array([0.0, 1.0]), "sizes": np.array([1, 1]), "side": "left"}, 16 * 2),
        ("interp", [(2, 3)], {"x": np.array([0.0]), "y": np.array([1.0]), "outside": "clip"}, 16 * 6),
        ("smallest", [(7,)], {"k": 2}, 64 * 7),
        ("nmf", [(3,)], {"components": np.ones((2, 3)), "solver": "cd", "max_iter": 5, "tol": 0.0}, 5 * (4 + 64 * 5)),
        ("nmf", [(3,)], {"components": np.ones((2, 3)), "solver": "mu", "max_iter": 5, "tol": 0.0}, 5 * (2 * 5 + 64 * 5)),
        ("lda_topics", [(3,)], {"components": np.ones((2, 3)), "prior": 0.5, "max_iter": 5, "tol": 0.0}, 6 * (4 * 6 + 64 * 5)),
        ("sparse_code", [(3,)], {"atoms": np.ones((4, 3)), "algorithm": "omp", "nonzero": 2}, 2 * 4 * 3),
        (
            "sparse_code",
            [(3,)],
            {"atoms": np.ones((4, 3)), "algorithm": "lasso_cd", "alpha": 1.0, "max_iter": 5},
            5 * (16 + 64 * 7),
        ),
    ],
)
def test_multiplications_are_counted(op: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any], expected: int) -> None:
    inputs = [Input(f"v{i}", "f64", shape) for i, shape in enumerate(shapes)]
    names = [value.name for value in inputs]
    graph = Graph(inputs, [Step(op, names, "y", attributes)], [Output("x", "v0", "f64", "transform")])
    step, cost = graph.steps[0], OPS[op].cost
    assert cost is not None
    assert cost(step.attributes, *(graph.types[name] for name in names), graph.types["y"]) == expected
    assert graph.operations == expected + 8 * sum(value.width for value in graph.types.values())


def test_only_what_the_format_says_is_counted() -> None:
    counted = {name for name, op in OPS.items() if op.cost is not None}
    nn = {"matmul", "conv", "conv_transpose", "pool", "resize", "lstm", "gru", "rnn", "attention", "activation"}
    kernel = {"pairwise", "smallest", "knn", "ovo_vote"}
    tabular = {
        "linear",
        "gaussian_ll",
        "poly",
        "reduce",
        "unary",
        "binary",
        "softmax",
        "log_softmax",
        "lookup",
        "bucketize",
        "interp",
        "tree_ensemble",
    }
    assert counted == nn | kernel | tabular | {"nmf", "lda_topics", "sparse_code"}
