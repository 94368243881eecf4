"""The table of releases, and what it says of the onnxruntime that is installed."""

from __future__ import annotations

import modelport_onnx
import numpy as np
import onnxruntime
import pytest
from modelport_onnx import targets, wire
from onnx import TensorProto, helper

from modelport.document import Document
from modelport.errors import Unsupported, UsageError
from modelport.graph import Graph, Input, Output, Step

onnxruntime.set_default_logger_severity(4)
INSTALLED = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])


def accepts(opset: int, ml: int, ir: int) -> bool:
    info = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", info[:1], info[1:])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=ir).SerializeToString()
    try:
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception:
        return False
    return True


def test_the_table_holds_for_the_installed_release() -> None:
    known = max(release for release in targets.RELEASES if release <= INSTALLED)
    opset, ml, ir = targets.RELEASES[known]
    assert accepts(opset, 3, 8)
    assert accepts(17, ml, 8)
    assert accepts(17, 3, ir)
    if known == INSTALLED:
        assert not accepts(opset + 1, 3, 8)
        assert not accepts(17, 3, ir + 1)


@pytest.mark.parametrize(
    ("text", "opsets", "ir"),
    [
        ("onnxruntime>=1.17", {"": 20, "ai.onnx.ml": 3}, 9),
        ("onnxruntime==1.20.1", {"": 20, "ai.onnx.ml": 3}, 9),
        (" onnxruntime >= 1.21 ", {"": 20, "ai.onnx.ml": 5}, 10),
        ("onnxruntime 1.31.1", {"": 20, "ai.onnx.ml": 5}, 10),
        ("onnxruntime>=2.0", {"": 20, "ai.onnx.ml": 5}, 10),
    ],
)
def test_a_target_chooses_versions(text: str, opsets: dict[str, int], ir: int) -> None:
    graph = Graph([Input("x")], [Step("scale", ["x"], "y", {"mul": np.array([2.0])})], [Output("y", "y", "f64", "transform")])
    found = modelport_onnx.describe(modelport_onnx.write(Document(graph), {"target": text}))
    assert (found["opsets"], found["ir_version"]) == (opsets, ir)


def test_the_default_is_in_the_table() -> None:
    assert targets.parse(targets.DEFAULT).release in targets.RELEASES


@pytest.mark.parametrize("text", ["", "1.20", "onnxruntime", "onnxruntime<=1.20", "onnxruntime>=1", "tract>=0.21", None, 1.21])
def test_other_words_are_refused(text: object) -> None:
    with pytest.raises(UsageError, match="not understood"):
        targets.parse(text)  # type: ignore[arg-type]


def test_too_old_a_release_is_unsupported() -> None:
    with pytest.raises(Unsupported, match=r"1\.17 or newer"):
        targets.parse("onnxruntime>=1.16.3")


# --- the wire format ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[0], [127, 128, 300], [2**63 - 1, -1, 0, -(2**63)], [], list(range(-5, 20000, 7))])
def test_packed_integers_are_what_protobuf_reads(values: list[int]) -> None:
    from onnx import AttributeProto

    encoded = wire.attribute("a", wire.Ints(np.array(values, dtype=np.int64)))
    assert list(AttributeProto.FromString(encoded).ints) == values
    assert b"".join(wire.varint(v) for v in values) == wire.varints(np.array(values, dtype=np.int64))


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "i2", "i1", "u4", "u2", "u1", "?"])
def test_tensors_are_what_onnx_reads(dtype: str) -> None:
    from onnx import TensorProto, numpy_helper

    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    for shaped in (array, array[:, :0], array[0, 0].reshape(())):
        found = numpy_helper.to_array(TensorProto.FromString(wire.tensor(shaped, "name")))
        assert found.dtype == shaped.dtype
        np.testing.assert_array_equal(found, shaped)


def test_strings_are_what_onnx_reads() -> None:
    from onnx import TensorProto, numpy_helper

    array = np.array([["a", ""], ["é", "𝛼\0b"]], dtype=object)
    found = numpy_helper.to_array(TensorProto.FromString(wire.tensor(array)))
    assert [[bytes(v).decode() if isinstance(v, bytes) else v for v in row] for row in found] == array.tolist()


def test_scalar_attributes_are_what_onnx_reads() -> None:
    from onnx import AttributeProto, helper

    for value in (3, -7, 0.5, "text", ["a", "b", "a"]):
        found = AttributeProto.FromString(wire.attribute("name", value))
        read = helper.get_attribute_value(found)
        plain = read.decode() if isinstance(read, bytes) else [v.decode() for v in read] if isinstance(read, list) else read
        assert (found.name, plain) == ("name", value)
