"""Dense nets in f32 as PMML: every activation, norms, several outputs; expected values are PyTorch's, in every engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import modelport_pmml
import numpy as np
import pytest

import modelport
from modelport.document import Document, Tolerance
from modelport.errors import Unsupported
from modelport.graph import Graph, Input, Output, Step
from tests.converters.modelport_pmml.common import ENGINES, agree, engine, write

NEAR = Tolerance(1e-6, 2e-6)
RNG = np.random.default_rng(5)
ROWS = np.concatenate([RNG.normal(size=(30, 4)), RNG.normal(size=(6, 4)) * 20, np.zeros((1, 4))]).astype(np.float32)
Steps = list[tuple[str, list[str], str, dict[str, Any]]]


@pytest.fixture(scope="module")
def torch(need_module: Callable[[str, str], None]) -> Any:
    need_module("torch", "torch")
    import torch

    torch.manual_seed(1)
    return torch


def graph(steps: Steps, *outputs: tuple[str, str], shape: tuple[int, ...] = (4,), missing: str = "error") -> Graph:
    """A graph of steps; an output is the value of its name, with a role."""
    inputs = [Input("x", "f32", shape, missing)]
    made = [Step(op, names, out, attributes) for op, names, out, attributes in steps]
    types = Graph(inputs, made, [Output("any", "x", "f32", "transform")]).types
    return Graph(inputs, made, [Output(name, name, types[name].dtype, role) for name, role in outputs])


def dense(layer: Any, source: str, name: str) -> tuple[str, list[str], str, dict[str, Any]]:
    attributes = {"dtype": "f32", "weight": layer.weight.detach().numpy(), "bias": layer.bias.detach().numpy()}
    return "linear", [source], name, attributes


def activated(torch: Any) -> Iterator[tuple[str, str, dict[str, Any], Any]]:
    """op, name, attributes, and the module of PyTorch that is the same."""
    nn = torch.nn
    plain = {"relu": nn.ReLU(), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "softplus": nn.Softplus(threshold=1000)}
    plain |= {"exp": torch.exp, "sin": torch.sin, "cos": torch.cos, "square": torch.square, "reciprocal": torch.reciprocal}
    yield from (("unary", fn, {}, module) for fn, module in plain.items())
    named = {
        "selu": nn.SELU(),
        "gelu": nn.GELU(),
        "gelu_tanh": nn.GELU(approximate="tanh"),
        "silu": nn.SiLU(),
        "hard_sigmoid": nn.Hardsigmoid(),
        "hard_swish": nn.Hardswish(),
        "softsign": nn.Softsign(),
        "mish": nn.Mish(),
        "tanh_shrink": nn.Tanhshrink(),
        "elu": nn.ELU(),
        "celu": nn.CELU(),
        "leaky_relu": nn.LeakyReLU(),
        "hard_shrink": nn.Hardshrink(),
        "soft_shrink": nn.Softshrink(),
        "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "squareplus": lambda x: (x + torch.sqrt(x * x + 4)) / 2,
        "threshold": nn.Threshold(0.0, 0.0),
    }
    yield from (("activation", fn, {}, module) for fn, module in named.items())
    yield "activation", "elu", {"alpha": 0.7}, nn.ELU(0.7)
    yield "activation", "celu", {"alpha": 1.5}, nn.CELU(1.5)
    yield "activation", "leaky_relu", {"alpha": 0.3}, nn.LeakyReLU(0.3)
    yield "activation", "hard_shrink", {"alpha": 0.2}, nn.Hardshrink(0.2)
    yield "activation", "soft_shrink", {"alpha": 0.2}, nn.Softshrink(0.2)
    yield "activation", "threshold", {"alpha": 0.1, "beta": -3.0}, nn.Threshold(0.1, -3.0)
    yield "activation", "hard_sigmoid", {"alpha": 0.2, "beta": 0.4}, lambda x: torch.clamp(0.2 * x + 0.4, 0, 1)


@pytest.mark.parametrize("kind", ENGINES)
def test_activations(kind: str, torch: Any, need) -> None:  # type: ignore[no-untyped-def]
    """All of them in one document, each behind a layer; reciprocals are kept away from 0."""
    first = torch.nn.Linear(4, 3)
    steps, expected = [dense(first, "x", "h")], {}
    with torch.no_grad():
        h = first(torch.tensor(ROWS))
        for k, (op, fn, more, module) in enumerate(activated(torch)):
            source, z = "h", h
            if fn in ("reciprocal", "exp"):
                source, z = f"h {k}", torch.clamp(h.abs(), 0.5, 3.0)
                steps.append(("unary", ["h"], f"size {k}", {"fn": "abs", "dtype": "f32"}))
                steps.append(
                    ("clip", [f"size {k}"], source, {"dtype": "f32", "min": np.float32([0.5]), "max": np.float32([3.0])})
                )
            steps.append((op, [source], f"{k} {fn}", {"fn": fn, "dtype": "f32", **more}))
            expected[f"{k} {fn}"] = module(z).numpy()
    made = graph(steps, *((name, "transform") for name in expected))
    tolerance = dict.fromkeys(expected, NEAR)
    data = write(made, {"x": ROWS}, expected, tolerance)
    agree(engine(kind, data, need), {"x": ROWS}, expected, tolerance)


NATIVE = {
    "relu": "rectifier",
    "tanh": "tanh",
    "sigmoid": "logistic",
    "exp": "exponential",
    "square": "square",
    "sin": "sine",
    "cos": "cosine",
    "softsign": "Elliott",
}


@pytest.mark.parametrize("fn", NATIVE)
@pytest.mark.parametrize("kind", ENGINES)
def test_what_a_neural_network_knows_becomes_one(kind: str, fn: str, torch: Any, need) -> None:  # type: ignore[no-untyped-def]
    functions = {"relu": torch.relu, "softsign": torch.nn.functional.softsign}
    first, last = torch.nn.Linear(4, 5), torch.nn.Linear(5, 1)
    op = "activation" if fn == "softsign" else "unary"
    rows = ROWS[:30]
    made = graph(
        [dense(first, "x", "h"), (op, ["h"], "a", {"fn": fn, "dtype": "f32"}), dense(last, "a", "y")],
        ("y", "prediction"),
    )
    with torch.no_grad():
        expected = last(functions.get(fn, getattr(torch, fn, None))(first(torch.tensor(rows)))).numpy()
    data = write(made, {"x": rows}, {"y": expected}, {"y": NEAR})
    assert f'activationFunction="{NATIVE[fn]}"' in data.decode()
    assert b"<MiningModel" not in data
    agree(engine(kind, data, need), {"x": rows}, {"y": expected}, {"y": NEAR})


@pytest.mark.parametrize("kind", ENGINES)
def test_probabilities_norms_and_several_outputs(kind: str, torch: Any, need) -> None:  # type: ignore[no-untyped-def]
    nn = torch.nn
    first, second, score, logits = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2), nn.Linear(6, 3)
    norm, layer, slope = nn.BatchNorm1d(6).eval(), nn.LayerNorm(6), nn.PReLU(6)
    with torch.no_grad():
        for tensor in (norm.running_mean, norm.weight, norm.bias, layer.weight, layer.bias, slope.weight):
            tensor.copy_(torch.randn(6))
        norm.running_var.copy_(torch.rand(6) + 0.5)
    a = {name: tensor.detach().numpy() for name, tensor in norm.state_dict().items() if name != "num_batches_tracked"}
    steps = [
        ("reshape", ["x"], "flat", {"shape": np.array([1, -1])}),
        dense(first, "flat", "h"),
        ("reshape", ["h"], "row", {"shape": np.array([6])}),
        (
            "batch_norm",
            ["row"],
            "n",
            {
                "dtype": "f32",
                "eps": 1e-5,
                "mean": a["running_mean"],
                "var": a["running_var"],
                "scale": a["weight"],
                "bias": a["bias"],
            },
        ),
        ("prelu", ["n"], "p", {"dtype": "f32", "slope": slope.weight.detach().numpy()}),
        dense(second, "p", "z"),
        ("binary", ["z", "p"], "sum", {"fn": "add", "dtype": "f32"}),
        (
            "layer_norm",
            ["sum"],
            "l",
            {"dtype": "f32", "eps": 1e-5, "scale": layer.weight.detach().numpy(), "bias": layer.bias.detach().numpy()},
        ),
        dense(score, "l", "score"),
        dense(logits, "l", "logits"),
        ("softmax", ["logits"], "probability", {"dtype": "f32"}),
        ("reduce", ["l"], "mean", {"dtype": "f32", "fn": "mean", "axes": np.array([0])}),
    ]
    outputs = {"score": "prediction", "probability": "probability", "mean": "transform"}
    made = graph(steps, *outputs.items())
    with torch.no_grad():
        p = slope(norm(first(torch.tensor(ROWS))))
        l_ = layer(second(p) + p)
        expected = {
            "score": score(l_).numpy(),
            "probability": torch.softmax(logits(l_), -1).numpy(),
            "mean": l_.mean(-1).numpy(),
        }
    tolerance = dict.fromkeys(expected, Tolerance(2e-6, 5e-6))
    data = write(made, {"x": ROWS}, expected, tolerance)
    agree(engine(kind, data, need), {"x": ROWS}, expected, tolerance)


@pytest.mark.parametrize("kind", ENGINES[:2])
def test_missing_numbers_stay_missing(kind: str, torch: Any, need) -> None:  # type: ignore[no-untyped-def]
    steps = [("activation", ["x"], fn, {"fn": fn, "dtype": "f32"}) for fn in ("gelu", "hard_shrink", "soft_shrink", "threshold")]
    steps.append(("linear", ["x"], "sum", {"dtype": "f32", "weight": np.ones((1, 2), np.float32)}))
    rows = np.array([[np.nan, 1.0], [2.0, np.nan], [0.1, -3.0]], np.float32)
    z = torch.tensor(rows)
    functions = {
        "gelu": torch.nn.functional.gelu,
        "hard_shrink": torch.nn.functional.hardshrink,
        "soft_shrink": torch.nn.functional.softshrink,
    }
    expected = {fn: function(z).numpy() for fn, function in functions.items()}
    expected = {fn: np.where(np.isnan(rows), np.nan, array).astype(np.float32) for fn, array in expected.items()}
    expected["threshold"] = np.where(np.isnan(rows), np.nan, np.maximum(rows, 0)).astype(np.float32)
    expected["sum"] = rows.sum(axis=1, keepdims=True)
    made = graph(steps, *((name, "transform") for name in expected), shape=(2,), missing="nan")
    tolerance = dict.fromkeys(expected, NEAR)
    agree(engine(kind, write(made, {"x": rows}, expected, tolerance), need), {"x": rows}, expected, tolerance)


def test_a_net_of_pytorch_is_converted(torch: Any, need) -> None:  # type: ignore[no-untyped-def]
    nn = torch.nn
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.GELU(), nn.Dropout(0.5), nn.Linear(6, 3), nn.Softmax(-1)).eval()
    artifact = modelport.convert(net, "pmml", sample=ROWS)
    assert artifact.report.passed
    with torch.no_grad():
        expected = net(torch.tensor(ROWS)).numpy()
    loaded = engine("pypmml", artifact.data, need)
    agree(loaded, {loaded.inputs[0].name: ROWS}, {loaded.outputs[0].name: expected}, {loaded.outputs[0].name: NEAR})


def test_a_net_of_keras_is_converted(need_module: Callable[[str, str], None]) -> None:
    need_module("keras", "keras")
    import keras

    x = keras.Input((4,))
    h = keras.layers.Dense(5, activation="silu")(x)
    net = keras.Model(x, [keras.layers.Dense(1)(h), keras.layers.Dense(3, activation="softmax")(h)])
    artifact = modelport.convert(net, "pmml", sample=ROWS)
    expected = [np.asarray(tensor) for tensor in net(ROWS)]
    given = modelport.load(artifact).predict(ROWS)
    for name, array in zip(given, expected, strict=True):
        np.testing.assert_allclose(given[name], array, rtol=1e-5, atol=1e-6)


def test_weights_are_written_with_all_their_digits(torch: Any) -> None:
    layer = torch.nn.Linear(4, 1)
    data = modelport_pmml.write(Document(graph([dense(layer, "x", "y")], ("y", "prediction")))).decode()
    found = sorted(float(text) for text in re.findall(r'coefficient="([^"]+)"', data))
    assert found == sorted(layer.weight.detach().numpy().astype(np.float64).ravel().tolist())


F32: dict[str, Any] = {"dtype": "f32"}
REFUSED: dict[str, tuple[Graph, str]] = {
    "an image": (
        graph([("unary", ["x"], "y", {"fn": "relu", **F32})], ("y", "transform"), shape=(2, 3)),
        "Input 'x' has rows of",
    ),
    "a convolution": (
        graph(
            [
                ("reshape", ["x"], "image", {"shape": np.array([1, 4])}),
                ("conv", ["image"], "the step", {"weight": np.ones((1, 1, 2), np.float32), **F32}),
                ("reshape", ["the step"], "y", {"shape": np.array([3])}),
            ],
            ("y", "transform"),
        ),
        r"'the step' \(conv\) cannot be written as PMML: a PMML network is dense",
    ),
    "a recurrence": (
        graph(
            [
                ("reshape", ["x"], "sequence", {"shape": np.array([2, 2])}),
                (
                    "rnn",
                    ["sequence"],
                    "the step",
                    {"weight": np.ones((1, 2), np.float32), "recurrent": np.ones((1, 1), np.float32), "result": "last", **F32},
                ),
            ],
            ("the step", "transform"),
        ),
        r"'the step' \(rnn\) cannot be written",
    ),
    "rows that become two": (
        graph(
            [
                ("reshape", ["x"], "the step", {"shape": np.array([2, 2])}),
                ("softmax", ["the step"], "soft", F32),
                ("reshape", ["soft"], "y", {"shape": np.array([4])}),
            ],
            ("y", "transform"),
        ),
        "'the step'.* and PMML has one row of numbers at every step",
    ),
    "an output of two axes": (
        graph([("reshape", ["x"], "y", {"shape": np.array([1, 4])})], ("y", "transform")),
        "Output 'y' is .* a row of fields",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_dense_net_on_a_row_is_refused(name: str) -> None:
    made, sentence = REFUSED[name]
    with pytest.raises(Unsupported, match=sentence) as caught:
        modelport_pmml.write(Document(made))
    assert "JSON or ONNX" in str(caught.value)
