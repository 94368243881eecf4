"""Nets: rows of several lengths and batches, recorded, carried and replayed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import modelport
from modelport.arrays import Arrays, named_lengths
from modelport.convert import from_reading
from modelport.document import Vectors
from modelport.errors import InputError, Mismatch, UnsupportedModel, UsageError
from modelport.graph import Graph, Output, Step
from modelport.nets import lengths_to_try
from modelport.reading import Reading

TOKENS = np.random.default_rng(0).normal(size=(6, 7, 2)).astype(np.float32)
SAMPLE = Arrays({"x": TOKENS}, {"x": ("time", None)})


def original(feeds: dict[str, Any]) -> dict[str, Any]:
    """A net of one activation, as its framework computes it: in float32."""
    return {"y": np.tanh(feeds["x"])}


def reading(answer: Callable[[Any], dict[str, Any]] = original, sample: Arrays = SAMPLE) -> Reading:
    step = Step("unary", ["x"], "tanh", {"fn": "tanh", "dtype": "f32"})
    graph = Graph(sample.inputs(), [step], [Output("y", "tanh", "f32", "transform")], lengths=sample.lengths)
    return Reading(graph, answer, sample=sample)


def test_an_artifact_carries_rows_of_several_lengths() -> None:
    artifact = from_reading(reading(), SAMPLE, "json")
    document = json.loads(artifact.data)
    assert document["version"] == "1.1"
    assert document["lengths"] == {"time": 7}
    assert document["inputs"][0]["shape"] == ["time", 2]
    sets = [document["verification"], *document["verification"]["more"]]
    assert [s["inputs"]["x"]["shape"][1] for s in sets] == [t["time"] for t in lengths_to_try({"time": 7})]
    assert set(artifact.report.row_kinds) >= {"plain", "zeros", "large", "padding"}
    predictor = modelport.load(artifact.data)
    for length in (1, 3, 20):
        rows = np.random.default_rng(length).normal(size=(5, length, 2)).astype(np.float32)
        got = predictor.predict(rows)["y"]
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, np.tanh(rows), rtol=1e-6, atol=1e-7)


def test_a_name_does_not_cost_the_lengths() -> None:
    document = json.loads(from_reading(reading(), SAMPLE, "json", name="a net").data)
    assert (document["name"], document["lengths"]) == ("a net", {"time": 7})


def test_the_sample_is_not_carried_unless_asked_for() -> None:
    mine = {row.tobytes() for row in TOKENS}
    carried = modelport.load(from_reading(reading(), SAMPLE, "json").data).vectors
    assert not mine & {row.tobytes() for row in carried.inputs["x"]}
    carried = modelport.load(from_reading(reading(), SAMPLE, "json", vectors="sample").data).vectors
    assert {row.tobytes() for row in carried.inputs["x"]} == mine
    own = np.full((2, 9, 2), 0.25, dtype=np.float32)
    carried = modelport.load(from_reading(reading(), SAMPLE, "json", vectors=own).data).vectors
    np.testing.assert_array_equal(carried.inputs["x"], own)


def test_a_wrong_answer_at_another_length_is_a_mismatch() -> None:
    """The unrolled recurrence: right at the sample's length, wrong at every other."""

    def unrolled(feeds: dict[str, Any]) -> dict[str, Any]:
        x = feeds["x"]
        return {"y": np.where(np.arange(x.shape[1])[:, None] < 7, np.tanh(x), x)}

    with pytest.raises(Mismatch, match="does not answer as the model does"):
        from_reading(reading(unrolled), SAMPLE, "json")


def test_a_lying_set_is_refused_when_loading() -> None:
    document = json.loads(from_reading(reading(), SAMPLE, "json").data)
    outputs = document["verification"]["more"][1]["outputs"]["y"]
    outputs["data"][3] += 0.01
    with pytest.raises(Mismatch, match="'y' differs"):
        modelport.load(json.dumps(document).encode())


def test_rows_that_influence_each_other_are_refused() -> None:
    def normalised(feeds: dict[str, Any]) -> dict[str, Any]:
        return {"y": np.tanh(feeds["x"] - feeds["x"].mean(axis=0))}

    with pytest.raises(UnsupportedModel, match="depending on the rows beside it"):
        from_reading(reading(normalised), SAMPLE, "json")


def test_lengths_the_model_refuses_are_not_carried() -> None:
    def up_to_eight(feeds: dict[str, Any]) -> dict[str, Any]:
        if feeds["x"].shape[1] > 8:
            raise RuntimeError("index out of range in self")
        return original(feeds)

    vectors = modelport.load(from_reading(reading(up_to_eight), SAMPLE, "json").data).vectors
    assert [part.inputs["x"].shape[1] for part in vectors.sets()] == [7, 4, 1]


def test_a_model_that_answers_nothing_says_why() -> None:
    def broken(feeds: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(InputError, match="cannot be multiplied"):
        from_reading(reading(broken), SAMPLE, "json")


def test_nan_answers_must_be_nan() -> None:
    def nan(feeds: dict[str, Any]) -> dict[str, Any]:
        return {"y": np.full_like(feeds["x"], np.nan)}

    with pytest.raises(Mismatch):
        from_reading(reading(nan), SAMPLE, "json")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.zeros((2, 7), np.float32), "rows, time, 2"),
        (np.zeros((2, 7, 3), np.float32), "rows, time, 2"),
        (np.zeros((2, 0, 2), np.float32), "length 0"),
        ({"z": TOKENS}, "'x'"),
        ([["a"]], "is needed"),
        (np.full((1, 4, 2), np.nan, np.float32), "missing value"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: Any, words: str) -> None:
    predictor = modelport.load(from_reading(reading(), SAMPLE, "json").data)
    with pytest.raises(InputError, match=words):
        predictor.predict(rows)


def test_equal_names_are_equal_lengths() -> None:
    both = {"x": TOKENS, "mask": np.ones((6, 7), bool)}
    names = {"x": ("time", None), "mask": ("time",)}
    sample = Arrays(both, names)
    assert sample.lengths == {"time": 7}
    with pytest.raises(InputError, match="another input has 7"):
        Arrays({**both, "mask": np.ones((6, 5), bool)}, names)
    steps = [Step("unary", ["x"], "tanh", {"fn": "tanh", "dtype": "f32"})]
    graph = Graph(sample.inputs(), steps, [Output("y", "tanh", "f32", "transform")], lengths={"time": 7})
    artifact = from_reading(Reading(graph, original, sample=sample), sample, "json")
    predictor = modelport.load(artifact.data)
    with pytest.raises(InputError, match="another input has"):
        predictor.predict({"x": TOKENS, "mask": np.ones((6, 5), bool)})


def test_the_option_lengths_is_checked() -> None:
    ranks = {"tokens": 3}
    assert named_lengths({"tokens": {0: "batch", 2: "time"}}, ranks) == {"tokens": (None, "time")}
    for wrong in ({"other": {1: "time"}}, {"tokens": {3: "time"}}, {"tokens": {1: ""}}, {"tokens": 1}, "time"):
        with pytest.raises(UsageError):
            named_lengths(wrong, ranks)


def test_samples_say_what_is_wrong_with_them() -> None:
    with pytest.raises(InputError, match="number of rows"):
        Arrays({"a": np.zeros((2, 3)), "b": np.zeros((3, 3))})
    with pytest.raises(InputError, match="complex128"):
        Arrays({"a": np.zeros((2, 3), complex)})
    with pytest.raises(InputError, match="are named"):
        Arrays({"a": np.zeros((2, 3))}, {"a": ("time", None)})


def test_verify_against_another_model_of_other_weights_fails() -> None:
    artifact = from_reading(reading(), SAMPLE, "json")
    loaded = artifact.load()
    wrong = replace(loaded.vectors, outputs={"y": loaded.vectors.outputs["y"] + np.float32(0.5)})
    assert all(r.passed for r in modelport.predictor.replay(loaded))
    assert not any(r.passed for r in modelport.predictor.replay(loaded, wrong))


def test_recorded_answers_prove_a_net_whose_original_is_not_here() -> None:
    def not_here(feeds: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("the original was asked")

    given = replace(reading(not_here), recorded=Vectors({"x": TOKENS}, original({"x": TOKENS})))
    artifact = from_reading(given, SAMPLE, "json")
    vectors = modelport.load(artifact.data).vectors
    assert vectors.source == "sample"
    np.testing.assert_array_equal(vectors.inputs["x"], TOKENS)
    wrong = replace(given, recorded=Vectors({"x": TOKENS}, {"y": TOKENS}))
    with pytest.raises(Mismatch):
        from_reading(wrong, SAMPLE, "json")
