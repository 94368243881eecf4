"""Steps after steps. onnxruntime's optimizer rewrites graphs, and not every rewriting keeps the numbers."""

from __future__ import annotations

from typing import Any

import modelport_onnx
import numpy as np
import pytest
from scipy.special import expit
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from modelport.document import Document
from modelport.graph import Graph, Input, Output, Step
from modelport.run import Evaluator

IRIS, KIND = load_iris(return_X_y=True)
TARGETS = ("onnxruntime>=1.21", "onnxruntime>=1.17")
pytestmark = pytest.mark.parametrize("target", TARGETS)


def run(inputs: list[Input], steps: list[Step], target: str, **feeds: Any) -> Any:
    last = steps[-1].output
    unused = Output("unused", inputs[0].name, inputs[0].dtype, "transform")
    graph = Graph(inputs, steps, [Output("y", last, Graph(inputs, steps, [unused]).types[last].dtype, "transform")])
    return modelport_onnx.load(modelport_onnx.write(Document(graph), {"target": target})).run(feeds)["y"]


# --- rewritings of onnxruntime that would change the answer -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sub", "div", "mul", "add"])
@pytest.mark.parametrize("number", [1e-9, -1e-9, 1 + 1e-9, 1 - 3e-6, 0.0, 1.0])
def test_numbers_near_zero_and_one_are_not_dropped(target: str, name: str, number: float) -> None:
    x = np.array([[1.0], [1e-9], [3.3], [-7.25], [1e9]])
    function = {"sub": np.subtract, "div": np.divide, "mul": np.multiply, "add": np.add}[name]
    with np.errstate(divide="ignore"):
        expected = function(x, number)
    found = run([Input("x")], [Step("scale", ["x"], "y", {name: np.array([number])})], target, x=x)
    np.testing.assert_array_equal(found, expected)


def test_a_factor_beside_a_matrix_product_stays_a_double(target: str) -> None:
    x = np.array([[1.0], [123456.789]])
    steps = [
        Step("scale", ["x"], "scaled", {"div": np.array([0.3])}),
        Step("linear", ["scaled"], "sum", {"weight": np.array([[1.7], [-0.1]])}),
        Step("scale", ["sum"], "y", {"mul": np.array([0.1])}),
    ]
    expected = (x / 0.3) @ np.array([[1.7, -0.1]]) * 0.1
    np.testing.assert_allclose(run([Input("x")], steps, target, x=x), expected, rtol=4e-16, atol=0)


def test_a_reciprocal_before_a_product_is_rounded(target: str) -> None:
    x = np.random.default_rng(0).uniform(1, 3, size=(500, 2))
    steps = [
        Step("unary", ["x"], "inverse", {"fn": "reciprocal"}),
        Step("binary", ["inverse", "x"], "y", {"fn": "mul"}),
    ]
    expected = 1.0 / x * x
    assert (expected != 1.0).any()
    np.testing.assert_array_equal(run([Input("x", "f64", (2,))], steps, target, x=x), expected)


def test_rounding_to_float32_is_not_dropped(target: str) -> None:
    x = np.array([[0.1], [1e30], [1 / 3], [1e-50], [1e300]])
    steps = [Step("cast", ["x"], "single", {"to": "f32"}), Step("cast", ["single"], "y", {"to": "f64"})]
    with np.errstate(over="ignore"):
        expected = x.astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(run([Input("x")], steps, target, x=x), expected)


def test_infinity_does_not_leak_into_other_rows_and_columns(target: str) -> None:
    x = np.array([[1.0, 2.0], [np.inf, 1.0], [3.0, 4.0]])
    weight = np.array([[1.0, 2.0], [0.5, -1.0]])
    found = run([Input("x", "f64", (2,))], [Step("linear", ["x"], "y", {"weight": weight})], target, x=x)
    np.testing.assert_array_equal(found, [[5.0, -1.5], [np.inf, np.inf], [11.0, -2.5]])


# --- whole models -------------------------------------------------------------------------------------------------------------


def test_logistic_regression_behind_a_large_offset(target: str) -> None:
    base = IRIS + 1e7
    scaler = StandardScaler().fit(base)
    model = LogisticRegression(max_iter=500).fit(scaler.transform(base), KIND)
    steps = [
        Step("scale", ["x"], "z", {"sub": scaler.mean_, "div": scaler.scale_}),
        Step("linear", ["z"], "score", {"weight": model.coef_, "bias": model.intercept_}),
        Step("softmax", ["score"], "y", {}),
    ]
    found = run([Input("x", "f64", (4,))], steps, target, x=base)
    np.testing.assert_allclose(found, model.predict_proba(scaler.transform(base)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
def test_multi_layer_perceptron(target: str, activation: str) -> None:
    model = MLPClassifier((8, 5), activation=activation, max_iter=300, random_state=0, tol=1e-3).fit(IRIS, KIND)
    steps, value = [], "x"
    for layer, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        steps.append(Step("linear", [value], f"sum{layer}", {"weight": weight.T.copy(), "bias": bias}))
        fn = {"logistic": "sigmoid"}.get(activation, activation)
        steps.append(Step("unary", [f"sum{layer}"], f"h{layer}", {"fn": fn}))
        value = f"h{layer}"
    steps[-1] = Step("softmax", [steps[-2].output], "y", {})
    found = run([Input("x", "f64", (4,))], steps, target, x=IRIS)
    np.testing.assert_allclose(found, model.predict_proba(IRIS), rtol=1e-11, atol=1e-14)


def test_support_vector_machine(target: str) -> None:
    model = SVC(gamma=0.3, decision_function_shape="ovo").fit(IRIS, KIND)
    machines = np.zeros((3, len(model.support_)))
    ends = np.cumsum(model.n_support_)
    part = [slice(end - n, end) for end, n in zip(ends, model.n_support_, strict=True)]
    for row, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
        machines[row, part[i]] = model.dual_coef_[j - 1, part[i]]
        machines[row, part[j]] = model.dual_coef_[i, part[j]]
    steps = [
        Step("pairwise", ["x"], "kernel", {"points": model.support_vectors_, "metric": "rbf", "gamma": 0.3}),
        Step("linear", ["kernel"], "y", {"weight": machines, "bias": model.intercept_}),
    ]
    found = run([Input("x", "f64", (4,))], steps, target, x=IRIS)
    np.testing.assert_allclose(found, model.decision_function(IRIS), rtol=1e-10, atol=1e-12)


def test_nearest_neighbours_with_ties(target: str) -> None:
    model = KNeighborsClassifier(7, weights="distance", algorithm="brute", metric="manhattan").fit(IRIS[::2], KIND[::2])
    steps = [
        Step("pairwise", ["x"], "distance", {"points": IRIS[::2], "metric": "manhattan"}),
        Step("knn", ["distance"], "y", {"k": 7, "weights": "distance", "targets": KIND[::2], "classes": 3}),
    ]
    rows = np.concatenate([IRIS[::2], IRIS[1::2] + 1e-3])
    found = run([Input("x", "f64", (4,))], steps, target, x=rows)
    np.testing.assert_allclose(found[:75], model.predict_proba(rows[:75]), rtol=1e-12, atol=1e-15)
    assert np.array_equal(found[:75].argmax(axis=1), KIND[::2])


def test_many_points_do_not_need_a_tensor_of_all_differences(target: str) -> None:
    random = np.random.default_rng(3)
    points, rows = random.normal(size=(3000, 40)), random.normal(size=(300, 40))
    steps = [Step("pairwise", ["x"], "y", {"points": points, "metric": "euclidean"})]
    found = run([Input("x", "f64", (40,))], steps, target, x=rows)
    expected = np.sqrt(((rows[:, None, :] - points[None, :50]) ** 2).sum(axis=2))
    np.testing.assert_allclose(found[:, :50], expected, rtol=1e-14)


def test_sigmoid_keeps_its_tail(target: str) -> None:
    x = np.array([[-40.0], [-700.0], [-745.0], [36.0], [0.0]])
    found = run([Input("x")], [Step("unary", ["x"], "y", {"fn": "sigmoid"})], target, x=x)
    np.testing.assert_allclose(found, expit(x), rtol=1e-14, atol=1e-308)


# --- chains of exact ops ------------------------------------------------------------------------------------------------------

NEAR = np.array([1.0, -1.0, 1e-9, -1e-9, 1 + 1e-9, 1 - 1e-9, 1 + 3e-6, 0.5, 2.0, 1e-5, 3.3, -7.1, 1e7, 0.1, 1 + 1e-7])


def chain(random: np.random.Generator) -> Graph:
    """Up to eight exact ops on a matrix and on each other, with numbers near 0 and 1."""
    width = int(random.choice([1, 1, 2, 3]))
    values = [("x", width)]
    steps: list[Step] = []
    for n in range(int(random.integers(2, 9))):
        name, columns = values[random.integers(len(values))]
        dtype = str(random.choice(["f64", "f64", "f32"]))
        kind = random.choice(["scale", "scale", "unary", "binary", "select", "poly"])
        attributes: dict[str, Any] = {"dtype": dtype}
        inputs, result = [name], columns
        if kind == "scale":
            for part in ("sub", "div", "mul", "add"):
                if random.random() < 0.5:
                    numbers = random.choice(NEAR, size=int(random.choice([1, columns])))
                    attributes[part] = numbers.astype(np.float32 if dtype == "f32" else np.float64)
        elif kind == "unary":
            attributes["fn"] = str(random.choice(["neg", "abs", "sqrt", "square", "reciprocal", "floor", "ceil", "round"]))
        elif kind == "binary":
            other, more = values[random.integers(len(values))]
            if more != columns and 1 not in (more, columns):
                continue
            attributes["fn"], inputs, result = str(random.choice(["add", "sub", "mul", "div"])), [name, other], max(columns, more)
        elif kind == "select":
            attributes = {"index": random.integers(0, columns, size=int(random.integers(1, 4)))}
            result = len(attributes["index"])
        else:
            attributes["powers"], result = random.integers(0, 3, size=(2, columns)), 2
        steps.append(Step(str(kind), inputs, f"v{n}", attributes))
        values.append((f"v{n}", result))
    first = [Input("x", "f64", (width,), "nan")]
    types = Graph(first, steps, [Output("unused", "x", "f64", "transform")]).types
    return Graph(
        first,
        steps,
        [Output(f"out {name}", name, types[name].dtype, "transform") for name, _ in values[1:]]
        or [Output("x", "x", "f64", "transform")],
    )


@pytest.mark.parametrize("seed", range(60))
def test_chains_of_exact_ops_keep_every_bit(target: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    graph = chain(random)
    width = graph.inputs[0].shape[0]
    special = random.choice(np.append(NEAR, [0.0, np.nan, np.inf, -np.inf]), size=(20, width))
    rows = np.concatenate([special, random.normal(size=(20, width)) * 10 ** random.uniform(-6, 6, (20, width))])
    found = modelport_onnx.load(modelport_onnx.write(Document(graph), {"target": target})).run({"x": rows})
    for name, expected in Evaluator(graph).run({"x": rows}).items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
