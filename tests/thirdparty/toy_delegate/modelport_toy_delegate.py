"""Writes toymodels as ONNX: the plugin module of the entry point `toydelegate` in the group `modelport.delegates`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.delegation import Wanted
from modelport.errors import Unsupported

ROOTS = ("toymodels",)
FORMATS = ("onnx",)
OPTIONS = ("target",)


def convert(model: Any, format_: str, wanted: Wanted, options: Mapping[str, Any]) -> bytes:
    """Abs(X coef), with the inputs and outputs that are wanted."""
    from onnx import TensorProto, helper, numpy_helper

    if wanted.sample.kind != "matrix":
        raise Unsupported("The toy delegate takes rows of numbers only.")
    (matrix,), (output,) = wanted.inputs, wanted.outputs
    coef = numpy_helper.from_array(model.coef_ + model.bug, "coef")
    graph = helper.make_graph(
        [helper.make_node("MatMul", [matrix.name, "coef"], ["product"]), helper.make_node("Abs", ["product"], [output.name])],
        "toy",
        [helper.make_tensor_value_info(matrix.name, TensorProto.DOUBLE, ["n", *matrix.shape])],
        [helper.make_tensor_value_info(output.name, TensorProto.DOUBLE, ["n"])],
        [coef],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(made.SerializeToString())
