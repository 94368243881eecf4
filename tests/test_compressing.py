"""Quantized and sparse tensors, and the options that ask for them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from modelport_json import read_document, write
from modelport_json.compressing import packing, pruned, quantized
from modelport_json.tensors import Packed, decode, encode

import modelport
from modelport.document import Document
from modelport.errors import UsageError
from modelport.graph import Graph, Input, Output, Step

RNG = np.random.default_rng(0)


def read_back(packed: Packed) -> np.ndarray:
    return decode(json.loads(encode(packed)), None, "it")


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("shape", [(6,), (3, 5), (4, 2, 3, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_quantized_tensors_are_codes_times_scale(dtype: str, shape: tuple[int, ...], masked: bool) -> None:
    codes = RNG.integers(-128, 128, shape).astype(np.int8)
    held = {"f32": np.float32, "f64": np.float64}[dtype]
    scale = RNG.uniform(1e-3, 1.0, shape[0]).astype(held)
    mask = RNG.random(shape) < 0.5 if masked else None
    got = read_back(Packed(codes, scale, dtype, mask))
    factor = scale.astype(np.float64).reshape(-1, *[1] * (len(shape) - 1))
    expected = (codes.astype(np.float64) * factor * (1 if mask is None else mask)).astype(held)
    assert got.dtype == held
    np.testing.assert_array_equal(got, expected)


def test_one_scale_for_all_and_rank_0() -> None:
    assert read_back(Packed(np.array([[2, -3]], dtype=np.int8), np.array([0.5]), "f64")).tolist() == [[1.0, -1.5]]
    assert decode({"dtype": "f32", "shape": [], "enc": "i8", "scale": [0.1], "data": "Aw=="}, None, "it") == np.float32(0.1) * 3
    empty = decode({"dtype": "f32", "shape": [0, 4], "enc": "i8", "scale": [], "data": ""}, None, "it")
    assert empty.shape == (0, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int8, np.uint16])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 64, 1001])
def test_sparse_tensors(dtype: type, size: int) -> None:
    values = RNG.integers(0, 100, size).astype(dtype)
    mask = RNG.random(size) < 0.3
    name = {"f4": "f32", "f8": "f64", "i8": "i64", "i1": "i8", "u2": "u16"}[np.dtype(dtype).str[1:]]
    got = read_back(Packed(values, None, name, mask))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, np.where(mask, values, 0))


def test_the_bits_of_a_mask_stand_from_the_lowest() -> None:
    spelled = {"dtype": "i8", "shape": [10], "enc": "b64", "mask": "IQI=", "data": "AQID"}  # 0x21 0x02: elements 0, 5, 9
    assert decode(spelled, None, "it").tolist() == [1, 0, 0, 0, 0, 2, 0, 0, 0, 3]


def test_quantizing_is_symmetric_per_line() -> None:
    weight = RNG.normal(size=(5, 400)).astype(np.float32)
    weight[2] = 0
    weight[3] *= 1e-3
    codes, scale = quantized(weight)
    assert scale.dtype == np.float32
    assert np.abs(codes).max(axis=1).tolist() == [127, 127, 0, 127, 127]
    error = np.abs(codes * scale.astype(np.float64)[:, None] - weight)
    assert (error <= scale[:, None] * 0.5001).all()


def test_pruning_takes_the_smallest() -> None:
    weight = RNG.normal(size=(40, 30))
    result = pruned(weight, 0.25)
    gone = result == 0
    assert gone.sum() == 300
    assert np.abs(weight[gone]).max() <= np.abs(weight[~gone]).min()
    np.testing.assert_array_equal(result[~gone], weight[~gone])
    assert pruned(np.ones((2, 3)), 0.5).tolist() == [[0, 0, 0], [1, 1, 1]]


def net() -> Graph:
    """Large and small weights of many kinds."""
    large, bias = RNG.normal(size=(40, 64)).astype(np.float32), RNG.normal(size=2000).astype(np.float32)
    odd = large.copy()
    odd[0, 0] = np.inf
    steps = [
        Step("linear", ["x"], "a", {"dtype": "f32", "weight": large}),
        Step("linear", ["a"], "b", {"dtype": "f32", "weight": RNG.normal(size=(2000, 40)).astype(np.float32), "bias": bias}),
        Step("linear", ["b"], "c", {"dtype": "f32", "weight": RNG.normal(size=(3, 2000)).astype(np.float32)}),
        Step("linear", ["x"], "d", {"dtype": "f32", "weight": odd}),
        Step("linear", ["c"], "e", {"dtype": "f32", "weight": np.ones((2, 3), dtype=np.float32)}),
        Step("constant", [], "multiplied", {"value": large}),
        Step("constant", [], "kept", {"value": large}),
        Step("reshape", ["x"], "m", {"shape": np.array([2, 32])}),
        Step("slice", ["kept"], "s", {"axes": np.array([0]), "starts": np.array([0]), "stops": np.array([1])}),
        Step("reshape", ["a"], "n", {"shape": np.array([1, 40])}),
        Step("matmul", ["n", "multiplied"], "p", {"dtype": "f32"}),
    ]
    return Graph([Input("x", "f32", (64,))], steps, [Output("y", "e", "f32", "transform")])


@pytest.mark.parametrize("options", [{"quantize": "int8"}, {"prune": 0.5}, {"quantize": "int8", "prune": 0.5}])
def test_large_weights_are_packed_and_nothing_else(options: dict[str, Any]) -> None:
    graph = net()
    table = packing(graph, options)
    assert set(table) == {("a", "weight"), ("b", "weight"), ("c", "weight"), ("multiplied", "value")}
    data = write(Document(graph), options)
    assert len(data) < 0.75 * len(write(Document(graph)))
    assert json.loads(data)["version"] == "1.1"
    again = read_document(data).graph
    for before, after in zip(graph.steps, again.steps, strict=True):
        for name, value in before.attributes.items():
            expected = table[before.output, name].elements() if (before.output, name) in table else value
            np.testing.assert_array_equal(after.attributes[name], expected)
            if "prune" in options and (before.output, name) in table:
                assert (after.attributes[name] == 0).mean() >= 0.5


@pytest.mark.parametrize(
    "options", [{"quantize": "int4"}, {"quantize": True}, {"prune": 0}, {"prune": 1}, {"prune": True}, {"prune": "half"}]
)
def test_other_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"quantize|prune"):
        packing(net(), options)


def test_a_quantized_model_says_what_it_costs() -> None:
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    X, y = load_digits(return_X_y=True)
    model = MLPClassifier((32,), max_iter=30, random_state=0).fit(X / 16, y)
    plain = modelport.convert(model, "json", sample=X / 16)
    small = modelport.convert(model, "json", sample=X / 16, quantize="int8")
    assert small.report is not None
    assert small.report.passed
    assert len(small.data) < len(plain.data)
    assert "quantize int8" in str(small.report)
