"""ONNX models written as text for the tests, and the comparison of what is read of them with onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import modelport_onnx_source
import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

from modelport.graph import Graph
from modelport.run import Evaluator

CODES = {"float32": 1, "int64": 7, "bool": 9, "float64": 11, "int32": 6, "uint8": 2, "int8": 3}
SCALE = 2e-6


def net(
    text: str,
    inputs: Mapping[str, np.ndarray],
    weights: Mapping[str, Any] | None = None,
    opset: int = 20,
    outputs: Sequence[str] = ("y",),
    dims: Mapping[str, Sequence[Any]] | None = None,
) -> onnx.ModelProto:
    """A model of nodes as text, one per line; every axis of an input but the first has a fixed length, unless dims says else."""
    nodes = [parser.parse_node(line.strip()) for line in text.strip().splitlines() if line.strip()]
    for node in nodes:  # nested graphs see names of the outer one only by that name
        node.name = f"{node.op_type} {node.output[0]}"
    given = []
    for name, array in inputs.items():
        shape = (dims or {}).get(name, ["N", *array.shape[1:]])
        given.append(helper.make_tensor_value_info(name, CODES[str(array.dtype)], shape))
    ends = [onnx.ValueInfoProto(name=name) for name in outputs]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(nodes, "net", given, ends, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 10
    return model


def read(model: onnx.ModelProto, sample: Mapping[str, np.ndarray], **options: Any) -> Any:
    """The reading of a model."""
    return modelport_onnx_source.read(model, modelport_onnx_source.sample_of(model, sample), options)


def agree(
    text: str,
    inputs: Mapping[str, np.ndarray],
    weights: Mapping[str, Any] | None = None,
    opset: int = 20,
    outputs: Sequence[str] = ("y",),
    lengths: Mapping[str, Mapping[int, str]] | None = None,
    others: Sequence[Mapping[str, np.ndarray]] = (),
    dims: Mapping[str, Sequence[Any]] | None = None,
    exact: bool = False,
    **options: Any,
) -> Graph:
    """Read a model, compare its answers with onnxruntime's, row by row and at other lengths; gives the graph."""
    if lengths is not None and dims is None:
        dims = {
            name: [lengths.get(name, {}).get(k, n) if k else "N" for k, n in enumerate(a.shape)] for name, a in inputs.items()
        }
    reading = read(
        net(text, inputs, weights, opset, outputs, dims), inputs, **({"lengths": lengths} if lengths else {}), **options
    )
    compare(reading, inputs, exact)
    compare(reading, {name: array[:1] for name, array in inputs.items()}, exact)
    for rows in others:
        compare(reading, rows, exact)
    return reading.graph


def compare(reading: Any, feeds: Mapping[str, np.ndarray], exact: bool = False) -> None:
    """The graph's answers are the original's, within float32 relative to the tensor's scale."""
    expected = reading.answer(feeds)
    graph = reading.graph
    if graph.lengths:
        from modelport.graph import bind

        graph = graph.at(bind(graph.inputs, {name: array.shape[1:] for name, array in feeds.items()}))
    got = Evaluator(graph).run(feeds)
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].shape == array.shape, (name, got[name].shape, array.shape)
        assert got[name].dtype == array.dtype, (name, got[name].dtype, array.dtype)
        if array.dtype.kind != "f" or exact:
            np.testing.assert_array_equal(got[name], array)
            continue
        finite = array[np.isfinite(array)]
        scale = float(np.abs(finite).max(initial=0.0)) or 1.0
        np.testing.assert_allclose(got[name], array, rtol=SCALE, atol=SCALE * scale)


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Normal numbers; three rows where only a row shape is given."""
    return np.random.default_rng(seed + len(shape)).normal(size=shape).astype(dtype)


def whole(*shape: int, low: int = -5, high: int = 6, dtype: Any = np.int64) -> np.ndarray:
    """Whole numbers."""
    return np.random.default_rng(len(shape)).integers(low, high, size=shape).astype(dtype)
