"""Random graphs of many ops: what is computed from the XML is what the reference evaluator computes from the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import modelport_pmml
import numpy as np
import pytest

from modelport.document import Document, Tolerance
from modelport.errors import GraphError, InputError, Unsupported
from modelport.graph import Graph, Input, Output, Step
from modelport.run import Evaluator
from tests.converters.modelport_pmml.common import agree, engine, strings

Random = np.random.Generator
LETTERS = strings(*"abcdefghijkl")


class Maker:
    """Adds random steps to a graph on a matrix X and a string s."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        missing = self.random.random() < 0.4
        self.inputs = [
            Input("X", "f64", (int(self.random.integers(2, 5)),), "nan" if missing else "error"),
            Input("s", "str", (1,), "null" if self.random.random() < 0.5 else "error"),
        ]
        self.steps: list[Step] = []
        self.types = {v.name: v.type for v in self.inputs}

    def add(self, op: str, *names: str | None, **attributes: Any) -> str | None:
        """Add a step if its inputs exist and fit."""
        if any(name is None for name in names):
            return None
        step = Step(op, [str(n) for n in names], f"v{len(self.steps)}", attributes)
        try:
            graph = Graph(self.inputs, [*self.steps, step], [Output("o", "X", "f64", "transform")])
        except GraphError:
            return None
        self.steps.append(step)
        self.types = dict(graph.types)
        return step.output

    def pick(self, dtype: str, width: int | None = None) -> str | None:
        """Some value of a dtype."""
        found = [n for n, t in self.types.items() if t.dtype == dtype and width in (None, t.width)]
        return str(self.random.choice(found)) if found else None

    def numbers(self, *shape: int) -> np.ndarray:
        """Numbers of two decimals."""
        return np.round(self.random.normal(size=shape), 2)

    def graph(self) -> Graph | None:
        """The graph with up to three outputs."""
        for _ in range(int(self.random.integers(2, 10))):
            x = self.pick("f64")
            assert x is not None
            RULES[int(self.random.integers(len(RULES)))](self, x, self.types[x].width)
        names = [step.output for step in self.steps]
        if not names:
            return None
        chosen = self.random.permutation(names)[:3]
        outputs = [Output(f"o{i}", str(n), self.types[str(n)].dtype, "transform") for i, n in enumerate(chosen)]
        return Graph(self.inputs, self.steps, outputs)

    def rows(self) -> dict[str, np.ndarray]:
        """Rows with zeros of both signs, ties and missing cells."""
        X = np.round(self.random.normal(size=(40, self.inputs[0].shape[0])), 1)
        X[0], X[1] = -0.0, 1.0
        if self.inputs[0].missing == "nan":
            X[self.random.random(X.shape) < 0.15] = np.nan
        s = self.random.choice(strings("a", "b", "zz", ""), (40, 1))
        if self.inputs[1].missing == "null":
            s[self.random.random((40, 1)) < 0.2] = None
        return {"X": X, "s": s}


def network(m: Maker, x: str, w: int) -> None:
    hidden = m.add("unary", m.add("linear", x, weight=m.numbers(3, w)), fn="relu")
    m.add("linear", hidden, weight=m.numbers(2, 3), bias=m.numbers(2))


def trees(m: Maker, x: str, w: int) -> None:
    sides = m.random.integers(0, 2, 2)
    nodes = {"start": np.array([0, 3]), "feature": np.array([0, -1, -1, w - 1, -1, -1]), "right": np.array([2, 2])}
    m.add("tree_ensemble", x, **nodes, threshold=m.numbers(2), leaf=m.numbers(4), missing="node", missing_left=sides)


def text_codes(m: Maker, x: str, w: int) -> None:
    keys = strings("a", "b", "", None)[: int(m.random.integers(2, 5))]
    m.add("onehot", m.add("lookup", "s", keys=keys, values=np.arange(len(keys)), default=-1), size=4)


def buckets(m: Maker, x: str, w: int) -> None:
    side = str(m.random.choice(["left", "right"]))
    m.add("onehot", m.add("bucketize", x, edges=np.tile([-0.5, 0.0, 1.0], w), sizes=np.full(w, 3), side=side), size=4)


def chosen_letter(m: Maker, x: str, w: int) -> None:
    m.add(
        "take",
        m.add("reduce", x, fn=str(m.random.choice(["argmax", "argmin"]))),
        table=LETTERS[:w] if w <= len(LETTERS) else None,
    )


def compared(m: Maker, x: str, w: int) -> None:
    other = m.pick("f64", w)
    flag = m.add("binary", x, other, fn=str(m.random.choice(["lt", "le", "gt", "ge", "eq", "ne"])))
    m.add("where", flag, x, m.pick("f64", w))


def function(m: Maker, x: str, w: int) -> None:
    names = [
        "neg",
        "abs",
        "sign",
        "relu",
        "exp",
        "tanh",
        "sigmoid",
        "softplus",
        "log_sigmoid",
        "square",
        "round",
        "floor",
        "trunc",
        "erf",
    ]
    m.add("unary", x, fn=str(m.random.choice(names)))


RULES: list[Callable[[Maker, str, int], object]] = [
    network,
    trees,
    text_codes,
    buckets,
    chosen_letter,
    compared,
    function,
    lambda m, x, w: m.add("scale", x, sub=m.numbers(w), div=np.abs(m.numbers(w)) + 0.5),
    lambda m, x, w: m.add("clip", x, min=np.array([-1.0]), max=np.array([1.0])),
    lambda m, x, w: m.add("binary", x, m.pick("f64", w), fn=str(m.random.choice(["add", "sub", "mul", "min", "max"]))),
    lambda m, x, w: m.add("linear", x, weight=m.numbers(2, w)),
    lambda m, x, w: m.add("select", x, index=m.random.integers(0, w, 2)),
    lambda m, x, w: m.add("concat", x, m.pick("f64")),
    lambda m, x, w: m.add("lookup", x, keys=np.array([0.0, 1.0, np.nan]), values=np.array([5.0, 6.0, 7.0]), default=2.5),
    lambda m, x, w: m.add("impute", x, values=np.array([0.25])),
    lambda m, x, w: m.add("is_missing", x),
    lambda m, x, w: m.add("poly", x, powers=m.random.integers(0, 3, (2, w))),
    lambda m, x, w: m.add("softmax", x),
    lambda m, x, w: m.add("reduce", x, fn=str(m.random.choice(["sum", "mean", "min", "max", "l2"])), keep=True),
    lambda m, x, w: m.add("normalize", x, norm=str(m.random.choice(["l1", "l2", "max"]))),
    lambda m, x, w: m.add("interp", x, x=np.array([-1.0, 0.0, 2.0]), y=np.array([0.0, 1.0, -1.0]), outside="extend"),
    lambda m, x, w: m.add(
        "pairwise", x, points=m.numbers(2, w), metric=str(m.random.choice(["euclidean", "manhattan", "rbf", "cosine"]))
    ),
    lambda m, x, w: m.add("two_class", m.pick("f64", 1)),
]


def case(seed: int) -> tuple[Graph, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Tolerance], bytes] | None:
    """A graph with rows, what it answers, how close, and its PMML; None for what is refused."""
    maker = Maker(seed)
    graph = maker.graph()
    if graph is None:
        return None
    feeds = maker.rows()
    try:
        expected = Evaluator(graph).run(feeds)
        data = modelport_pmml.write(Document(graph))
    except (InputError, Unsupported):
        return None
    tolerance = {}
    for name, rows in expected.items():
        if rows.dtype.kind == "f":
            scale = max(1.0, float(np.abs(np.where(np.isfinite(rows), rows, 0.0)).max(initial=0.0)))
            tolerance[name] = Tolerance(1e-9 * scale, 1e-9)
    return graph, feeds, expected, tolerance, data


def test_the_reader_agrees_with_the_graph() -> None:
    written = 0
    for seed in range(300):
        made = case(seed)
        if made is not None:
            _, feeds, expected, tolerance, data = made
            agree(modelport_pmml.load(data), feeds, expected, tolerance)
            written += 1
    assert written > 240


@pytest.mark.parametrize("kind", ["pypmml", "jpmml"])
def test_public_scorers_agree_with_the_graph(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    for seed in range(1000, 1030):
        made = case(seed)
        if made is None or any(np.isinf(v).any() for v in made[2].values() if v.dtype.kind == "f"):
            continue
        _, feeds, expected, tolerance, data = made
        agree(engine(kind, data, need), feeds, expected, tolerance)
