"""The Python stub as a library: named lengths, further sets of rows, quantized and sparse tensors, limits of nets, threads."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import replays
from work import LEAST, operations_in

FOLDER = Path(__file__).resolve().parents[2] / "stubs" / "python"
Document = dict[str, Any]


@pytest.fixture(scope="module")
def stub() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))
    try:
        import modelport_stub

        yield modelport_stub
    finally:
        sys.path.remove(str(FOLDER))


def document(shape: list[Any], steps: list[Document], dtype: str = "f64") -> Document:
    """One input x, and the last step's value as output y."""
    return {
        "format": "modelport",
        "version": "1.1",
        "requires": sorted({step["op"] for step in steps}),
        "inputs": [{"name": "x", "dtype": "f64", "shape": shape}],
        "steps": steps,
        "outputs": [{"name": "y", "from": steps[-1]["out"], "dtype": dtype, "role": "transform"}],
    }


def tensor(array: Any) -> Document:
    array = np.asarray(array)
    return {
        "dtype": {"float64": "f64", "int64": "i64"}[array.dtype.name],
        "shape": list(array.shape),
        "data": array.ravel().tolist(),
    }


def b64(array: Any) -> str:
    return base64.b64encode(np.asarray(array).tobytes()).decode()


WEIGHT = np.random.default_rng(1).normal(size=(4, 3))


def net(**more: Any) -> Document:
    """[time, 3] -> dense -> [time, 4]."""
    steps = [{"op": "linear", "in": ["x"], "out": "y", "weight": tensor(WEIGHT)}]
    return {**document(["time", 3], steps), "lengths": {"time": 5}, **more}


def vectors(*sizes: tuple[int, int], change: float = 0.0) -> Document:
    """Sets of rows for the net, each (rows, time); the last answers are changed."""
    sets = []
    for rows, time in sizes:
        x = np.random.default_rng(time).normal(size=(rows, time, 3))
        sets.append({"inputs": {"x": tensor(x)}, "outputs": {"y": tensor(x @ WEIGHT.T)}})
    sets[-1]["outputs"]["y"]["data"][-1] += change
    more = {"more": sets[1:]} if sets[1:] else {}
    return {"source": "synthetic", **sets[0], "tolerance": {"y": {"atol": 1e-12, "rtol": 1e-12}}, **more}


def load(stub: ModuleType, content: Document, **options: Any) -> Any:
    return stub.load(json.dumps(content), **options)


def test_rows_of_any_length_are_answered(stub: ModuleType) -> None:
    model = load(stub, net(), verify=False)
    for time in (1, 2, 5, 9, 2, 33, 7, 5):
        x = np.random.default_rng(time).normal(size=(2, time, 3))
        np.testing.assert_allclose(model.predict(x)["y"], x @ WEIGHT.T, rtol=1e-12)
        answer = model.predict_json(json.dumps({"inputs": {"x": tensor(x)}}))["outputs"]["y"]
        assert answer["shape"] == [2, time, 4]
    assert model.predict_json('{"inputs": {"x": []}}')["outputs"]["y"]["shape"] == [0, 5, 4]


def test_named_lengths_are_shown_by_name(stub: ModuleType) -> None:
    info = load(stub, net(), verify=False).info()
    assert info["inputs"][0]["shape"] == ["time", 3]
    assert info["outputs"][0]["shape"] == ["time", 4]
    assert info["lengths"] == {"time": 5}
    twice = {"op": "concat", "in": ["x", "x"], "out": "y", "axis": 0}
    assert load(stub, {**net(), "requires": ["concat"], "steps": [twice]}, verify=False).info()["outputs"][0]["shape"] == [
        None,
        3,
    ]


def test_equal_names_are_equal_lengths(stub: ModuleType) -> None:
    content = net(requires=["binary"], steps=[{"op": "binary", "in": ["x", "z"], "out": "y", "fn": "add"}])
    content["inputs"].append({"name": "z", "dtype": "f64", "shape": ["time", 1]})
    model = load(stub, content, verify=False)
    assert model.predict({"x": np.ones((2, 4, 3)), "z": np.ones((2, 4, 1))})["y"].tolist() == np.full((2, 4, 3), 2.0).tolist()
    with pytest.raises(stub.Refused, match=r"input 'z' has shape \[2, 5, 1\]; it must be rows of shape \[time = 4, 1\]"):
        model.predict({"x": np.ones((2, 4, 3)), "z": np.ones((2, 5, 1))})
    request = {"x": tensor(np.ones((1, 2, 3))), "z": tensor(np.ones((1, 3, 1)))}
    with pytest.raises(stub.Refused, match="input 'z' has rows of shape"):
        model.predict_json(json.dumps({"inputs": request}))


def test_what_does_not_fit_other_lengths_is_refused_when_rows_come(stub: ModuleType) -> None:
    flat = {"op": "reshape", "in": ["x"], "out": "flat", "shape": [15]}
    model = load(stub, net(requires=["reshape"], steps=[{**flat, "out": "y"}]), verify=False)
    assert model.predict(np.ones((2, 5, 3)))["y"].shape == (2, 15)
    with pytest.raises(stub.Refused, match=r"step 0 \(reshape\) makes"):
        model.predict(np.ones((2, 6, 3)))
    with pytest.raises(stub.Refused, match="rows of shape"):
        model.predict(np.ones((2, 0, 3)))


@pytest.mark.parametrize(
    "change",
    [
        {"lengths": {}},
        {"lengths": {"time": 0}},
        {"lengths": {"time": 2**20 + 1}},
        {"lengths": {"time": 5, "other": 1}},
        {"lengths": [5]},
        {"lengths": {"time": 5.5}},
        {"lengths": None},
        {"inputs": [{"name": "x", "dtype": "f64", "shape": [5, 3]}]},
        {"inputs": [{"name": "x", "dtype": "f64", "shape": ["", 3]}]},
        {"inputs": [{"name": "x", "dtype": "f64", "shape": ["time", 3], "features": ["a", "b", "c"]}]},
        {"inputs": [{"name": "x", "dtype": "f64", "shape": ["time", 3, 1, 1, 1, 1, 1]}]},
    ],
)
def test_wrong_lengths_are_refused(stub: ModuleType, change: Document) -> None:
    with pytest.raises(stub.Refused):
        load(stub, {**net(), **change}, verify=False)


def test_missing_lengths_are_refused(stub: ModuleType) -> None:
    content = net()
    del content["lengths"]
    with pytest.raises(stub.Refused, match="must have lengths, an object with an example of 'time'"):
        load(stub, content, verify=False)


def test_all_sets_of_rows_are_replayed(stub: ModuleType) -> None:
    model = load(stub, net(verification=vectors((3, 5), (2, 1), (1, 8))))
    assert [(check.rows, check.problem) for check in model.verify()] == [(6, None)]
    with pytest.raises(stub.Mismatch, match=r"output 'y' is .* in row 0, at \[7, 3\], but"):
        load(stub, net(verification=vectors((3, 5), (1, 8), change=1e-6)))
    with pytest.raises(stub.Refused, match="4097 rows"):
        load(stub, net(verification=vectors((4095, 1), (2, 2))))
    wrong = vectors((3, 5), (2, 4))
    wrong["more"][0]["outputs"] = wrong["outputs"]
    with pytest.raises(stub.Refused, match="must have shape"):
        load(stub, net(verification=wrong))
    with pytest.raises(stub.Refused, match="at least one set"):
        load(stub, net(verification={**vectors((3, 5)), "more": []}))


def test_plans_are_shared_by_threads(stub: ModuleType) -> None:
    model = load(stub, net(), verify=False)

    def ask(seed: int) -> bool:
        x = np.random.default_rng(seed).normal(size=(2, 1 + seed % 11, 3))
        return np.allclose(model.predict(x)["y"], x @ WEIGHT.T, rtol=1e-12)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(300)))
    assert len(model._plans) <= 4


def constant(stub: ModuleType, value: Document) -> np.ndarray:
    """What a tensor is read as."""
    content = document([], [{"op": "constant", "in": [], "out": "y", "value": value}], value["dtype"])
    return load(stub, content, verify=False).predict([0.0])["y"][0]


def test_quantized_tensors(stub: ModuleType) -> None:
    q = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    scale = np.array([0.1, 0.5, 3.0])
    value = {"dtype": "f32", "shape": [3, 4], "enc": "i8", "scale": scale.tolist(), "data": b64(q)}
    expected = (q * scale.astype(np.float32).astype(np.float64)[:, None]).astype(np.float32)
    assert constant(stub, value).tolist() == expected.tolist()
    assert constant(stub, {**value, "scale": [0.1]}).tolist() == (q * np.float64(np.float32(0.1))).astype(np.float32).tolist()
    assert constant(stub, {**value, "dtype": "f64"}).tolist() == (q * scale[:, None]).tolist()
    assert constant(stub, {**value, "shape": [], "scale": [2], "data": b64(q[:1, :1])}) == -12
    for bad in ({"scale": [1.0, 2.0]}, {"scale": 1.0}, {"scale": [0.0]}, {"scale": ["NaN"]}, {"scale": [-1.0]}, {"dtype": "i64"}):
        with pytest.raises(stub.Refused):
            constant(stub, {**value, **bad})
    for missing in ("scale", "enc"):
        with pytest.raises(stub.Refused):
            constant(stub, {key: item for key, item in value.items() if key != missing})


def test_sparse_tensors(stub: ModuleType) -> None:
    full = np.where(np.random.default_rng(0).random((3, 5)) < 0.4, np.arange(15.0).reshape(3, 5) + 1, 0)
    mask = np.packbits(full.ravel() != 0, bitorder="little")
    value = {"dtype": "f64", "shape": [3, 5], "enc": "b64", "mask": b64(mask), "data": b64(full[full != 0])}
    assert constant(stub, value).tolist() == full.tolist()
    ones = {**value, "enc": "i8", "scale": [1.0, 2.0, 4.0], "data": b64(np.ones(int((full != 0).sum()), np.int8))}
    assert constant(stub, ones).tolist() == ((full != 0) * np.array([1.0, 2.0, 4.0])[:, None]).tolist()
    beyond = mask.copy()
    beyond[-1] |= 128
    for bad in ({"mask": b64(beyond)}, {"mask": b64(mask[:1])}, {"mask": 3}, {"data": b64(full)}, {"dtype": "bool"}):
        with pytest.raises(stub.Refused):
            constant(stub, {**value, **bad})
    plain = {"dtype": "f64", "shape": [1], "mask": b64(np.uint8([1])), "data": [1.0]}
    with pytest.raises(stub.Refused, match="goes with an encoding"):
        constant(stub, plain)


def test_too_many_multiplications_are_refused(stub: ModuleType) -> None:
    times = {"op": "matmul", "in": ["x", "x"], "out": "y"}
    content = document([64, 64], [times])
    assert load(stub, content, verify=False, limits=stub.Limits(multiplications=64**3))
    with pytest.raises(stub.Refused, match="262144 multiplications per row"):
        load(stub, content, verify=False, limits=stub.Limits(multiplications=64**3 - 1))
    long = {**document(["n", "n"], [times]), "lengths": {"n": 2}}
    model = load(stub, long, verify=False, limits=stub.Limits(multiplications=64**3))
    assert model.predict(np.ones((1, 64, 64)))["y"][0, 0, 0] == 64
    with pytest.raises(stub.Refused, match="multiplications per row"):
        model.predict(np.ones((1, 65, 65)))


@pytest.mark.parametrize("name", ["modelport_stub", "modelport_stub_pure"])
def test_a_replay_of_too_many_operations_is_refused(stub: ModuleType, name: str) -> None:
    """Operations of a row: the inputs and outputs of every step, 16 for every element of exp, 3 x 2 products."""
    stub = importlib.import_module(name)
    steps: list[Document] = [
        {"op": "unary", "in": ["x"], "out": "e", "fn": "exp"},
        {"op": "linear", "in": ["e"], "out": "y", "weight": [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]},
    ]
    content = {**document([2], steps), "doc": "\N{GREEK SMALL LETTER LAMDA}"}
    content["verification"] = {
        "source": "synthetic",
        "inputs": {"x": {"dtype": "f64", "shape": [5, 2], "data": [0.0] * 10}},
        "outputs": {"y": {"dtype": "f64", "shape": [5, 3], "data": [1.0, 1.0, 0.0] * 5}},
        "tolerance": {"y": "exact"},
    }
    operations = 5 * ((8 * (2 + 2) + 16 * 2) + (8 * (2 + 3) + 3 * 2))
    text = json.dumps(content, ensure_ascii=False)
    for given in (text, text.encode()):
        size = len(text.encode())
        assert size == len(text) + 1
        assert stub.load(given, limits=stub.Limits(work=operations - 4096 * size))
        with pytest.raises(stub.Refused, match=f"takes {operations} operations, more than the limit of {operations - 1} "):
            stub.load(given, limits=stub.Limits(work=operations - 1 - 4096 * size))
        with pytest.raises(stub.Refused, match="operations"):
            stub.load(given, verify=False, limits=stub.Limits(work=operations - 1 - 4096 * size))


@pytest.mark.parametrize("name", ["modelport_stub", "modelport_stub_pure"])
def test_operations_are_those_of_the_reference_for_every_op(stub: ModuleType, name: str) -> None:
    stub = importlib.import_module(name)
    counted = set()
    for op, text, operations in replays.counted():
        with pytest.raises((stub.Refused, stub.Unsupported)) as caught:
            stub.load(text, limits=stub.Limits(work=LEAST))
        if not isinstance(caught.value, stub.Unsupported):
            assert operations_in(str(caught.value)) == operations, op
            counted.add(op)
    assert {"linear", "lookup", "binary", "tree_ensemble"} <= counted
    assert name == "modelport_stub_pure" or {"texts", "count_terms", "hash_terms", "conv", "nmf"} <= counted


def test_rows_of_the_highest_rank(stub: ModuleType) -> None:
    content = document([1, 2, 1, 2, 2], [{"op": "unary", "in": ["x"], "out": "y", "fn": "neg"}])
    x = np.arange(16.0).reshape(2, 1, 2, 1, 2, 2)
    assert load(stub, content, verify=False).predict_json(json.dumps({"inputs": {"x": tensor(x)}}))["outputs"]["y"] == tensor(-x)
    one = {"dtype": "f64", "shape": [1, 1, 1, 1, 1, 1, 1], "data": [1.0]}
    with pytest.raises(stub.Refused, match="at most 6 lengths"):
        load(stub, {**content, "requires": ["constant"], "steps": [{"op": "constant", "in": [], "out": "y", "value": one}]})


def test_an_infinite_weight_does_not_meet_padding(stub: ModuleType) -> None:
    weight = {"dtype": "f64", "shape": [1, 1, 3], "data": ["Infinity", 1.0, 1.0]}
    step = {"op": "conv", "in": ["x"], "out": "y", "weight": weight, "pads": [1, 0]}
    model = load(stub, document([1, 3], [step]), verify=False)
    assert model.predict(np.ones((1, 1, 3)))["y"].tolist() == [[[2.0, np.inf]]]
