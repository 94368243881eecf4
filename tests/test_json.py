"""The JSON format: what is written comes back exactly; whatever the page does not allow is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from modelport_json import JsonModel, load, read_document, write
from modelport_json.tensors import decode, encode
from suite import artifacts, invalid_files, liars

import modelport
from modelport.document import EXACT, Document, Vectors
from modelport.errors import ArtifactError, Mismatch, Refused, Unsupported
from modelport.graph import Graph, Input, Limits, Output, Step
from modelport.predictor import replay, require_match


def roundtrip(array: np.ndarray, default: str | None = None, decimal: int = 4096) -> np.ndarray:
    return decode(json.loads(encode(array, default, decimal)), default if default != "int" else "i64", "it")


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(arrays(np.float64, st.integers(0, 20), elements=st.floats(width=64)))
def test_f64_comes_back_in_every_bit(array: np.ndarray) -> None:
    for decimal in (0, 4096):
        got = roundtrip(array, "f64", decimal)
        nan = np.isnan(array)
        assert (np.isnan(got) == nan).all()
        assert got[~nan].tobytes() == array[~nan].tobytes()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32)))
def test_f32_comes_back_in_every_bit(array: np.ndarray) -> None:
    got = roundtrip(array)
    nan = np.isnan(array)
    assert got.dtype == np.float32
    assert got[~nan].tobytes() == array[~nan].tobytes()


@given(arrays(np.int64, st.integers(0, 20), elements=st.integers(-(2**63), 2**63 - 1)))
def test_i64_comes_back_beyond_2_to_53(array: np.ndarray) -> None:
    assert roundtrip(array, "int").tolist() == array.tolist()


@given(st.lists(st.one_of(st.none(), st.text())))
def test_strings_and_missing_come_back(values: list[str | None]) -> None:
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    array = np.empty(len(values), dtype=object)
    array[:] = values
    assert roundtrip(array).tolist() == values


@pytest.mark.parametrize("dtype", [np.int32, np.int16, np.int8, np.uint32, np.uint16, np.uint8, np.bool_])
@pytest.mark.parametrize("decimal", [0, 4096])
def test_small_integers_and_booleans(dtype: type, decimal: int) -> None:
    array = np.array([[0, 1], [1, 1]]).astype(dtype)
    got = roundtrip(array, None, decimal)
    assert got.dtype == array.dtype
    assert got.tolist() == array.tolist()


@pytest.mark.parametrize("path", invalid_files(), ids=lambda p: p.stem)
def test_invalid_documents_are_refused(path: Path) -> None:
    """Reading refuses, or (a document without vectors, vectors the model itself refuses) proving does."""
    expected = Unsupported if path.name.startswith("unsupported-") else Refused
    with pytest.raises(expected):
        replay(load(path.read_bytes()))


@pytest.mark.parametrize("path", artifacts(), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_artifacts_verify_and_are_written_again_the_same(path: Path) -> None:
    document = read_document(path.read_bytes())
    require_match(replay(JsonModel(document)), path.name)
    again = read_document(write(document))
    assert again.graph.requires == document.graph.requires
    assert write(again) == write(document)


@pytest.mark.parametrize("path", liars(), ids=lambda p: p.parent.name)
def test_liars_are_caught(path: Path) -> None:
    with pytest.raises(Mismatch):
        modelport.load(path)
    assert not modelport.verify(path).passed


def test_styles_answer_alike(iris) -> None:
    X, _, model = iris
    sizes = {}
    for style in ("default", "readable", "compact"):
        artifact = modelport.convert(model, "json", sample=X, style=style)
        sizes[style] = artifact.data.count(b'"b64"')
        np.testing.assert_array_equal(
            modelport.load(artifact).predict(X)["probability"],
            modelport.load(modelport.convert(model, "json", sample=X)).predict(X)["probability"],
        )
    assert sizes["readable"] == 0 < sizes["compact"]


def test_keys_stand_in_the_written_order(iris) -> None:
    X, _, model = iris
    artifact = modelport.convert(model, "json", sample=X, name="iris")
    keys = list(json.loads(artifact.data))
    assert keys == ["format", "version", "name", "requires", "inputs", "steps", "outputs", "verification", "provenance"]


def small() -> dict:
    return {
        "format": "modelport",
        "version": "1.0",
        "requires": ["scale"],
        "inputs": [{"name": "x", "dtype": "f64", "shape": [2]}],
        "steps": [{"op": "scale", "in": ["x"], "out": "y", "sub": [1, 2]}],
        "outputs": [{"name": "y", "from": "y", "dtype": "f64", "role": "transform"}],
    }


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ({"dtype": "f64", "shape": [2], "enc": "b64", "data": base64.b64encode(b"\0" * 8).decode()}, "another length"),
        ({"dtype": "f64", "shape": [2], "enc": "b64", "data": "!" * 24}, "base64"),
        ({"dtype": "f64", "shape": [1 << 20, 1 << 20], "data": []}, "limit"),
        ({"dtype": "f32", "shape": [2], "data": [1, 2]}, "f64 is needed|float32"),
        ([1, "NaN "], "only NaN"),
        ([[1, 2], [3]], "different lengths"),
        ([True, 1], "no number"),
        ("x", "f64 is needed"),
    ],
)
def test_bad_tensors_name_the_step(tensor: object, words: str) -> None:
    document = small()
    document["steps"][0]["sub"] = tensor
    with pytest.raises(ArtifactError, match=words):
        read_document(json.dumps(document).encode())


def test_a_damaged_file_is_one_sentence() -> None:
    data = json.dumps(small()).encode()
    for damaged in (b"", b"   ", data[:-20], b"\xef\xbb\xbf" + data, data.replace(b"scale", b"sc\xffle"), data + b"{}"):
        with pytest.raises(ArtifactError) as caught:
            read_document(damaged)
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)


def test_a_replay_of_too_many_operations_is_refused() -> None:
    """Two sets of rows of other lengths, each counted for its own: 2 rows of 3 x 2 and 1 of 5 x 2."""
    graph = Graph(
        [Input("x", "f64", ("time", 2))],
        [Step("unary", ["x"], "e", {"fn": "exp"}), Step("reduce", ["e"], "y", {"fn": "sum", "axes": np.array([0, 1])})],
        [Output("y", "y", "f64", "transform")],
        "\N{GREEK SMALL LETTER LAMDA}",
        lengths={"time": 3},
    )
    more = Vectors({"x": np.zeros((1, 5, 2))}, {"y": np.full(1, 10.0)}, {"y": EXACT}, "synthetic")
    vectors = Vectors({"x": np.zeros((2, 3, 2))}, {"y": np.full(2, 6.0)}, {"y": EXACT}, "synthetic", more=[more])
    data = write(Document(graph, vectors))
    operations = 2 * ((8 * (6 + 6) + 16 * 6) + 8 * (6 + 1)) + ((8 * (10 + 10) + 16 * 10) + 8 * (10 + 1))
    assert load(data, {"limits": Limits(work=operations - 4096 * len(data))}).vectors is not None
    with pytest.raises(ArtifactError, match=f"takes {operations} operations, more than the limit of {operations - 1} "):
        load(data, {"limits": Limits(work=operations - 1 - 4096 * len(data))})


def test_empty_document_object_can_be_written() -> None:
    document = read_document(json.dumps(small()).encode())
    assert isinstance(document, Document)
    assert document.vectors is None
    with pytest.raises(ArtifactError, match="no vectors"):
        modelport.load(write(document))
    assert modelport.load(write(document), verify=False).predict([[1.0, 2.0]])["y"].tolist() == [[0.0, 0.0]]
