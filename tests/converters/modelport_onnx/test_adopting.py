"""Models of others with our declaration and vectors: nets with rows of any rank and lengths."""

from __future__ import annotations

from typing import Any

import modelport_onnx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelport.document import Document, Tolerance, Vectors
from modelport.errors import ArtifactError, Unsupported
from modelport.graph import Graph, Input, Output, Step

FLOAT = TensorProto.FLOAT


def model_of(shape: list[Any], given: list[Any] | None = None) -> Any:
    """x [rows, time, 2] in f32, doubled as `out` and summed over time as `sums`; with what exporters note."""
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["out"], doc_string="File net_of_somebody.py, line 3"),
        helper.make_node("ReduceSum", ["x", "axes"], ["sums"], keepdims=0),
        helper.make_node("Clip", ["x", "two", ""], ["clipped"]),
    ]
    entry = nodes[0].metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.stack_trace", "File net_of_somebody.py, line 3"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info(name, FLOAT, given) for name in ("out", "sums", "clipped")],
        [numpy_helper.from_array(np.array(2, np.float32), "two"), numpy_helper.from_array(np.array([1]), "axes")],
        value_info=[helper.make_tensor_value_info("two", FLOAT, [])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def declared(shape: tuple[int | str, ...] = ("time", 2)) -> Graph:
    """As a placeholder: what the outputs are is not known."""
    steps = [
        Step("constant", [], "answered doubled", {"value": np.zeros((3, 2), np.float32)}),
        Step("constant", [], "answered total", {"value": np.zeros(2, np.float32)}),
    ]
    outputs = [
        Output("doubled", "answered doubled", "f32", "transform"),
        Output("total", "answered total", "f32", "score"),
    ]
    return Graph([Input("x", "f32", shape)], steps, outputs, lengths={"time": 3} if "time" in shape else {})


def answers(n: int, length: int) -> Vectors:
    x = np.random.default_rng(length).normal(size=(n, length, 2)).astype(np.float32)
    tolerance = {"doubled": Tolerance(), "total": Tolerance(1e-5)}
    return Vectors({"x": x}, {"doubled": 2 * x, "total": x.sum(axis=1)}, tolerance)


FIELDS = {"doubled": ["out"], "total": ["sums"]}


def test_a_net_with_a_named_length() -> None:
    first, *more = (answers(n, length) for n, length in ((3, 3), (2, 5), (1, 1)))
    vectors = Vectors(first.inputs, first.outputs, first.tolerance, more=more)
    data = modelport_onnx.adopt(model_of(["b", "t", 2]).SerializeToString(), Document(declared(), vectors), FIELDS, {})
    assert b"somebody" not in data
    loaded = modelport_onnx.load(data)
    assert loaded.inputs == (Input("x", "f32", ("time", 2)),)
    assert [o.name for o in loaded.outputs] == ["doubled", "total"]
    assert loaded.vectors is not None
    assert len(loaded.vectors.sets()) == 3
    for part in (*loaded.vectors.sets(), answers(4, 11)):
        found = loaded.run(part.inputs)
        np.testing.assert_array_equal(found["doubled"], part.outputs["doubled"])
        np.testing.assert_allclose(found["total"], part.outputs["total"], atol=1e-5)
    shapes = {o.name: loaded._metadata.shapes[o.name] for o in loaded.outputs}  # type: ignore[attr-defined]
    assert shapes == {"doubled": ("time", 2), "total": (2,)}
    model = onnx.load_from_string(data)
    assert not model.graph.value_info
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert all(node.input[-1] for node in model.graph.node)


def test_rows_of_one_length_say_nothing_of_others() -> None:
    data = modelport_onnx.adopt(model_of(["b", "t", 2]).SerializeToString(), Document(declared(), answers(3, 3)), FIELDS, {})
    loaded = modelport_onnx.load(data)
    part = answers(2, 6)
    np.testing.assert_array_equal(loaded.run(part.inputs)["doubled"], part.outputs["doubled"])


def test_a_net_of_fixed_lengths() -> None:
    data = modelport_onnx.adopt(model_of(["b", 3, 2]).SerializeToString(), Document(declared((3, 2)), answers(3, 3)), FIELDS, {})
    assert modelport_onnx.load(data).inputs == (Input("x", "f32", (3, 2)),)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ([3, "t", 2], ("time", 2)),  # a fixed number of rows
        (["b", 3, 2], ("time", 2)),  # a fixed length
        (["b", "t", 3], ("time", 2)),
        (["b", "t"], ("time", 2)),
        (["b", 4, 2], (3, 2)),
    ],
)
def test_inputs_of_other_shapes_are_refused(shape: list[Any], wanted: tuple[int | str, ...]) -> None:
    with pytest.raises(Unsupported, match=r"The ONNX model takes 'x' of the shape \[.*\]; the original takes \[rows, "):
        modelport_onnx.adopt(model_of(shape).SerializeToString(), Document(declared(wanted)), FIELDS, {})


def test_other_inputs_and_outputs_are_refused() -> None:
    model = model_of(["b", "t", 2])
    with pytest.raises(Unsupported, match="gives no f32 tensor 'doubled'"):
        modelport_onnx.adopt(model.SerializeToString(), Document(declared()), {"total": ["sums"]}, {})
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    with pytest.raises(Unsupported, match="not the original's inputs"):
        modelport_onnx.adopt(model.SerializeToString(), Document(declared()), FIELDS, {})


def test_tensors_in_other_files_are_refused() -> None:
    model = model_of(["b", "t", 2])
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    with pytest.raises(ArtifactError, match="another file"):
        modelport_onnx.adopt(model.SerializeToString(), Document(declared()), FIELDS, {})
