"""A file proves itself: carried rows, declaration, hash, ModelVerification; it says the same twice."""

from __future__ import annotations

import json
import re

import modelport_pmml
import numpy as np
import pytest
from modelport_pmml.parse import parse
from modelport_sklearn import read
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from modelport.compare import compare
from modelport.document import Document, Tolerance, Vectors
from modelport.errors import ArtifactError, Mismatch, ModelportError
from modelport.graph import Graph, Input, Output, Step
from modelport.sample import Sample
from tests.converters.modelport_pmml.common import CLOSE, strings


@pytest.fixture(scope="module")
def logistic() -> tuple[Document, bytes]:
    data = load_iris(as_frame=True)
    model = LogisticRegression(max_iter=300).fit(data.data, data.target_names[data.target].astype(str))
    reading = read(model, Sample.of(data.data))
    feeds = {k: v[::10] for k, v in Sample.of(data.data).feeds().items()}
    vectors = Vectors(feeds, reading.answer(feeds), {"probability": CLOSE}, "synthetic", tuple(["plain"] * 15))
    document = Document(
        Graph(reading.graph.inputs, reading.graph.steps, reading.graph.outputs, "iris"), vectors, {"a": "<&>"}, "why"
    )
    return document, modelport_pmml.write(document)


def test_the_declaration_comes_back(logistic: tuple[Document, bytes]) -> None:
    document, data = logistic
    loaded = modelport_pmml.load(data)
    assert loaded.engine == "modelport pmml"
    assert loaded.inputs == document.graph.inputs
    said = [(o.name, o.dtype, o.role, o.classes) for o in loaded.outputs]
    assert said == [(o.name, o.dtype, o.role, o.classes) for o in document.graph.outputs]
    assert loaded.provenance == {"a": "<&>"}
    assert loaded.graph is not None
    assert loaded.graph.name == "iris"
    assert loaded.vectors is not None
    assert document.vectors is not None
    assert loaded.vectors.tolerance == document.vectors.tolerance
    assert loaded.vectors.rows == document.vectors.rows
    for name, array in {**document.vectors.inputs, **document.vectors.outputs}.items():
        again = {**loaded.vectors.inputs, **loaded.vectors.outputs}[name]
        assert again.dtype == array.dtype
        assert np.array_equal(again, array)


def test_writing_is_deterministic(logistic: tuple[Document, bytes]) -> None:
    document, data = logistic
    assert modelport_pmml.write(document) == data


def test_column_names_are_not_altered(logistic: tuple[Document, bytes]) -> None:
    root = parse(logistic[1])
    names = [f.get("name") for f in root.require("DataDictionary").all("DataField")]
    assert names[:4] == load_iris().feature_names


def flipped(data: bytes) -> bytes:
    """The file with another sign before its first coefficient."""
    changed, count = re.subn(rb'coefficient="(-?)', lambda m: b'coefficient="' + (b"" if m[1] else b"-"), data, count=1)
    assert count == 1
    return changed


def test_a_flipped_coefficient_is_found_by_the_rows(logistic: tuple[Document, bytes]) -> None:
    loaded = modelport_pmml.load(flipped(logistic[1]), {"altered": True})
    assert loaded.vectors is not None
    got = loaded.run(loaded.vectors.inputs)["probability"]
    assert not compare("probability", loaded.vectors.outputs["probability"], got, CLOSE).passed


def test_a_flipped_coefficient_is_not_loaded(logistic: tuple[Document, bytes]) -> None:
    with pytest.raises(Mismatch, match=r"SHA-256.*'(probability|label)'"):
        modelport_pmml.load(flipped(logistic[1]))


def test_a_change_that_no_row_shows_is_refused_too() -> None:
    X, y = load_iris(return_X_y=True)
    reading = read(RandomForestClassifier(3, random_state=0).fit(X, y), Sample.of(X))
    feeds = {"X": X[:3]}
    data = modelport_pmml.write(Document(reading.graph, Vectors(feeds, reading.answer(feeds))))
    head, _, tail = data.rpartition(b'recordCount="0"')
    changed = head + b'recordCount="5"' + tail
    with pytest.raises(ArtifactError, match="altered=True"):
        modelport_pmml.load(changed)
    assert modelport_pmml.load(changed, {"altered": True}).vectors is not None


def test_every_byte_counts(logistic: tuple[Document, bytes]) -> None:
    data = logistic[1]
    for place in range(200, len(data), 997):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ModelportError):
            modelport_pmml.load(changed)


def test_numbers_come_from_the_elements_and_not_from_the_declaration(logistic: tuple[Document, bytes]) -> None:
    """Rows that the declaration calls answers are not what the model computes."""
    data = logistic[1]
    body = re.search(rb'name="document">(.*?)</Extension>', data, re.S)
    assert body is not None
    declared = json.loads(body[1])
    declared["verification"]["outputs"]["probability"] = [[0.5, 0.25, 0.25]] * 15
    lying = data.replace(body[1], json.dumps(declared).encode())
    loaded = modelport_pmml.load(lying, {"altered": True})
    assert loaded.vectors is not None
    got = loaded.run(loaded.vectors.inputs)
    assert not compare("probability", loaded.vectors.outputs["probability"], got["probability"], CLOSE).passed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d["inputs"][0].update(dtype="str"), "is str, but field|neither a string"),
        (lambda d: d["inputs"][0].update(missing="nan"), None),
        (lambda d: d["inputs"][0].update(fields=["a", "b", "c", "d"]), "does not read"),
        (lambda d: d["inputs"][0].update(fields=["a"]), "with 1 fields"),
        (lambda d: d["outputs"][0].update(fields=["nowhere"]), "does not give"),
        (lambda d: d["outputs"][1].update(shape=[2]), "row shape"),
        (lambda d: d.pop("outputs"), "damaged"),
        (lambda d: d.update(version="2.0"), "version 1"),
        (lambda d: d["verification"]["inputs"].pop("X"), "damaged"),
    ],
)
def test_a_declaration_that_does_not_fit_the_elements(logistic: tuple[Document, bytes], change, sentence) -> None:  # type: ignore[no-untyped-def]
    data = logistic[1]
    body = re.search(rb'name="document">(.*?)</Extension>', data, re.S)
    assert body is not None
    declared = json.loads(body[1])
    change(declared)
    edited = data.replace(body[1], json.dumps(declared).encode())
    if sentence is None:  # the elements refuse missing values all the same
        with pytest.raises(ArtifactError):
            modelport_pmml.load(edited)
        return
    with pytest.raises(ArtifactError, match=sentence):
        modelport_pmml.load(edited, {"altered": True})


def test_model_verification_holds_the_rows(logistic: tuple[Document, bytes]) -> None:
    model = next(c for c in parse(logistic[1]).children if c.tag == "MiningModel")
    proof = model.require("ModelVerification")
    columns = {f.need("field"): f for f in proof.require("VerificationFields").all("VerificationField")}
    assert set(columns) >= {"label", "probability(setosa)", "sepal length (cm)"}
    rows = list(proof.require("InlineTable").all("row"))
    assert len(rows) == 15
    first = {c.tag: c.text for c in rows[0].children}
    assert first[columns["label"].need("column")] == "setosa"
    assert columns["probability(setosa)"].need("precision") == "1e-06"


def test_rows_that_xml_cannot_spell_stay_in_the_declaration() -> None:
    graph = Graph([Input("s", "str", (1,), "null")], [Step("is_missing", ["s"], "m", {})], [Output("y", "m", "f64", "transform")])
    rows = strings("a", "", " b", None)[:, None]
    data = modelport_pmml.write(Document(graph, Vectors({"s": rows}, {"y": np.array([[0.0], [0.0], [0.0], [1.0]])})))
    proof = parse(data).require("RegressionModel").require("ModelVerification")
    assert proof.need("recordCount") == "1"
    loaded = modelport_pmml.load(data)
    assert loaded.vectors is not None
    assert loaded.vectors.inputs["s"][:, 0].tolist() == ["a", "", " b", None]


def test_a_file_without_rows() -> None:
    graph = Graph([Input("x")], [], [Output("y", "x", "f64", "transform")])
    loaded = modelport_pmml.load(modelport_pmml.write(Document(graph)))
    assert loaded.vectors is None
    assert loaded.run({"x": np.array([[2.5]])})["y"].tolist() == [[2.5]]


def test_names_that_clash_are_told_apart() -> None:
    """An output, an input and a step may all have one name."""
    graph = Graph(
        [Input("y", "f64", (2,), "error", ("label", "x0"))],
        [Step("scale", ["y"], "label", {"mul": np.array([2.0])})],
        [Output("label", "label", "f64", "transform"), Output("y", "y", "f64", "transform")],
    )
    loaded = modelport_pmml.load(modelport_pmml.write(Document(graph)))
    got = loaded.run({"y": np.array([[1.0, 2.0]])})
    assert got["label"].tolist() == [[2.0, 4.0]]
    assert got["y"].tolist() == [[1.0, 2.0]]


def test_sniffing() -> None:
    assert modelport_pmml.sniff(b'<?xml version="1.0"?>\n<PMML ')
    assert not modelport_pmml.sniff(b'{"format": "modelport"}')
    assert not modelport_pmml.sniff(b"<html>")


def test_tolerances_become_precision() -> None:
    from modelport_pmml.verification import acceptance

    for tolerance in (Tolerance(), CLOSE, Tolerance(1e-9, 0.0), Tolerance(0.0, 1e-3), Tolerance(ulp=4)):
        precision, threshold = acceptance(tolerance, "f64")
        for expected in (0.0, 1e-300, 1e-9, 0.5, 1e6):
            off = tolerance.atol + tolerance.rtol * expected + (tolerance.ulp or 0) * np.spacing(expected)
            accepted = (expected <= threshold and off <= threshold) or off <= precision * expected * (1 + 1e-9)
            assert accepted or off < 1e-300 or expected + off <= threshold * (1 + 1e-9), (tolerance, expected)
