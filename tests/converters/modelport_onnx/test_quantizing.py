"""Models with weights of 8 and of 16 bits: smaller, near the original, and still with its declaration and vectors."""

from __future__ import annotations

from typing import Any

import modelport_onnx
import numpy as np
import onnx
import pytest
import torch
from modelport_onnx.quantizing import KINDS
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from torch import nn

from modelport.compare import compare
from modelport.document import Document, Tolerance, Vectors
from modelport.errors import InputError, Unsupported, UsageError
from modelport.graph import Graph, Input, Output, Step

Array = np.ndarray[Any, np.dtype[Any]]
IMAGES, KIND = load_digits(return_X_y=True)
X = (IMAGES / 16).astype(np.float32)
EXACT = {"dtype": "f32"}


def weights(layer: Any) -> dict[str, Any]:
    return {"weight": layer.weight.detach().numpy(), "bias": layer.bias.detach().numpy(), **EXACT}


def trained(net: Any, x: torch.Tensor) -> Any:
    """The net after some steps on the digits."""
    torch.manual_seed(0)
    for layer in net:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    optimizer, labels = torch.optim.Adam(net.parameters(), lr=0.01), torch.from_numpy(KIND)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        optimizer.step()
    return net.eval()


def carried(graph: Graph, net: Any, x: Array) -> Document:
    """A document with rows of the digits and PyTorch's answers."""
    with torch.no_grad():
        y = net(torch.from_numpy(x)).numpy()
    return Document(graph, Vectors({"x": x}, {"y": y}, {"y": Tolerance(1e-4, 1e-4)}), {"model": "digits"})


def dense() -> tuple[Document, Any, Array]:
    net = trained(
        nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 10)), torch.from_numpy(X)
    )
    steps = [
        Step("linear", ["x"], "a", weights(net[0])),
        Step("unary", ["a"], "b", {"fn": "relu", **EXACT}),
        Step("linear", ["b"], "c", weights(net[2])),
        Step("unary", ["c"], "d", {"fn": "tanh", **EXACT}),
        Step("linear", ["d"], "y", weights(net[4])),
    ]
    graph = Graph([Input("x", "f32", (64,))], steps, [Output("y", "y", "f32", "score")])
    return carried(graph, net, X[:8]), net, X


def convolutional() -> tuple[Document, Any, Array]:
    layers = [
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    ]
    images = X.reshape(-1, 1, 8, 8)
    net = trained(nn.Sequential(*layers), torch.from_numpy(images))
    pads = np.ones(4, np.int64)
    steps = [
        Step("conv", ["x"], "a", {**weights(net[0]), "pads": pads}),
        Step("unary", ["a"], "b", {"fn": "relu", **EXACT}),
        Step("pool", ["b"], "p", {"fn": "max", "size": np.array([2, 2]), "strides": np.array([2, 2]), **EXACT}),
        Step("conv", ["p"], "c", {**weights(net[3]), "pads": pads}),
        Step("unary", ["c"], "d", {"fn": "relu", **EXACT}),
        Step("reshape", ["d"], "flat", {"shape": np.array([-1])}),
        Step("linear", ["flat"], "y", weights(net[6])),
    ]
    graph = Graph([Input("x", "f32", (1, 8, 8))], steps, [Output("y", "y", "f32", "score")])
    return carried(graph, net, images[:8]), net, images


MODELS = {"dense": dense(), "convolutional": convolutional()}
#: kind -> how many of the bytes may be left, how far the scores may lie off as a share of their range
BOUNDS = {"int8": (0.5, 0.02), "static": (0.5, 0.04), "float16": (0.6, 0.001)}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_smaller_near_the_original_and_carries_what_it_did(name: str, kind: str) -> None:
    document, net, x = MODELS[name]
    assert document.vectors is not None
    plain = modelport_onnx.write(document)
    data = modelport_onnx.write(document, {"quantize": kind, "calibration": {"x": x[:200]}})
    onnx.checker.check_model(onnx.load_from_string(data))
    most, off = BOUNDS[kind]
    assert len(data) < most * len(plain)
    assert f"{kind} makes" in modelport_onnx.report_line(plain, data, kind)
    assert modelport_onnx.report_line(plain, data, kind).endswith(" %).")
    loaded, before = modelport_onnx.load(data), modelport_onnx.load(plain)
    assert (loaded.inputs, loaded.outputs, loaded.provenance) == (before.inputs, before.outputs, before.provenance)
    assert loaded.vectors is not None
    for part in ("inputs", "outputs"):
        for key, array in getattr(document.vectors, part).items():
            np.testing.assert_array_equal(getattr(loaded.vectors, part)[key], array)
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    assert compare("y", expected, before.run({"x": x})["y"], Tolerance(1e-4, 1e-4)).passed
    got = loaded.run({"x": x})["y"]
    scale = float(np.abs(expected).max())
    assert compare("y", expected, got, Tolerance(off * scale)).passed
    assert not np.array_equal(expected, got)
    right, left = ((scores.argmax(axis=1) == KIND).mean() for scores in (expected, got))
    assert right > 0.93
    assert left > right - 0.01


@pytest.mark.parametrize("name", MODELS)
def test_no_row_changes_the_answer_for_another(name: str) -> None:
    """The steps of dynamic quantization follow from all rows that are run together: ours runs them one by one."""
    document, _, x = MODELS[name]
    loaded = modelport_onnx.load(modelport_onnx.write(document, {"quantize": "int8"}))
    together = loaded.run({"x": np.concatenate([x[:3], 1000 * x[3:4]])})["y"]
    np.testing.assert_array_equal(together[:3], loaded.run({"x": x[:3]})["y"])
    np.testing.assert_array_equal(together[:1], loaded.run({"x": x[:1]})["y"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_document_gives_the_same_bytes(kind: str) -> None:
    document, _, x = MODELS["dense"]
    options = {"quantize": kind, "calibration": {"x": x[:50]}}
    assert modelport_onnx.write(document, options) == modelport_onnx.write(document, options)


def test_recurrences_and_lengths() -> None:
    random = np.random.default_rng(0)
    weight, recurrent = (random.normal(size=(256, k)).astype(np.float32) / k**0.5 for k in (8, 64))
    steps = [
        Step("lstm", ["x"], "h", {"weight": weight, "recurrent": recurrent, "result": "last", **EXACT}),
        Step("linear", ["h"], "y", {"weight": random.normal(size=(32, 64)).astype(np.float32) / 8, **EXACT}),
    ]
    graph = Graph([Input("x", "f32", ("time", 8))], steps, [Output("y", "y", "f32", "score")], lengths={"time": 5})
    plain = modelport_onnx.write(Document(graph))
    x = random.normal(size=(20, 7, 8)).astype(np.float32)
    expected = modelport_onnx.load(plain).run({"x": x})["y"]
    for kind in KINDS:
        data = modelport_onnx.quantize(plain, kind, [{"x": x}, {"x": x[:, :2]}])
        loaded = modelport_onnx.load(data)
        assert len(data) < len(plain)
        assert loaded.inputs == graph.inputs
        assert compare("y", expected, loaded.run({"x": x})["y"], Tolerance(0.05 * float(np.abs(expected).max()))).passed


def test_a_net_too_small_to_gain_is_called_that() -> None:
    weight = np.eye(3, dtype=np.float32)
    steps = [Step("linear", ["x"], "h", {"weight": weight, **EXACT}), Step("linear", ["h"], "y", {"weight": weight, **EXACT})]
    plain = modelport_onnx.write(Document(Graph([Input("x", "f32", (3,))], steps, [Output("y", "y", "f32", "score")])))
    data = modelport_onnx.quantize(plain, "int8")
    assert len(data) > len(plain)
    assert "too small to gain" in modelport_onnx.report_line(plain, data, "int8")
    with pytest.raises(Unsupported, match="no tables of float32"):
        modelport_onnx.quantize(plain, "float16")


def test_what_cannot_be_quantized_is_refused() -> None:
    document, _, x = MODELS["dense"]
    plain = modelport_onnx.write(document)
    with pytest.raises(UsageError, match="one of int8, static, float16"):
        modelport_onnx.quantize(plain, "int4")
    with pytest.raises(UsageError, match="give a sample"):
        modelport_onnx.quantize(plain, "static")
    with pytest.raises(InputError, match="lack the input 'x'"):
        modelport_onnx.quantize(plain, "static", [{"z": x[:4]}])
    steps = [Step("linear", ["x"], "y", {"weight": np.ones((64, 64))})]
    double = modelport_onnx.write(Document(Graph([Input("x", "f64", (64,))], steps, [Output("y", "y", "f64", "score")])))
    for kind in KINDS:
        with pytest.raises(Unsupported, match="without quantization"):
            modelport_onnx.quantize(double, kind, [{"x": x[:4].astype(np.float64)}])


def foreign(numbers: Array) -> bytes:
    """A dense layer as others write it, with types of its initializers among the value_info."""
    nodes = [helper.make_node("Gemm", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        [numpy_helper.from_array(numbers, "w")],
        value_info=[helper.make_tensor_value_info("w", TensorProto.FLOAT, [64, 64])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = "author", "somebody"
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_others_adopted_or_not(kind: str) -> None:
    numbers = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    data = foreign(numbers)
    small = modelport_onnx.quantize(data, kind, [{"x": X[:50]}])
    assert modelport_onnx.load(small).vectors is None
    assert "author" in modelport_onnx.describe(small)["metadata"]
    assert modelport_onnx.describe(small)["producer"] == modelport_onnx.describe(data)["producer"]
    steps = [Step("constant", [], "answered", {"value": np.zeros(64, np.float32)})]
    graph = Graph([Input("x", "f32", (64,))], steps, [Output("y", "answered", "f32", "score")])
    expected = np.maximum(X[:20] @ numbers, 0)
    vectors = Vectors({"x": X[:20]}, {"y": expected}, {"y": Tolerance(0.2)})
    adopted = modelport_onnx.adopt(data, Document(graph, vectors), {}, {"quantize": kind, "calibration": {"x": X[:50]}})
    loaded = modelport_onnx.load(adopted)
    assert len(adopted) < len(modelport_onnx.adopt(data, Document(graph, vectors), {}, {}))
    assert loaded.vectors is not None
    assert compare("y", expected, loaded.run(loaded.vectors.inputs)["y"], Tolerance(0.2)).passed


def test_what_float16_cannot_hold_stays_float32() -> None:
    numbers = np.ones((64, 64), np.float32)
    numbers[3, 3] = 1e30
    with pytest.raises(Unsupported, match="no tables of float32"):
        modelport_onnx.quantize(foreign(numbers), "float16")
