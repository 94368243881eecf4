"""LabelEncoder, LabelBinarizer and MultiLabelBinarizer, on labels of every kind, unknown ones too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from modelport_sklearn import read, sample_of
from sklearn.preprocessing import LabelBinarizer, LabelEncoder, MultiLabelBinarizer

import modelport
from modelport.errors import InputError, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.samples import checked_sample
from tests.converters.modelport_sklearn.common import check_rows

LABELS = {
    "words": ["Oslo", "Bergen", "", "Tromsø", "Oslo"],
    "two words": ["no", "yes", "no", "no"],
    "one word": ["only", "only"],
    "numbers": [3, 1, -7, 1, 20],
    "two numbers": [0, 1, 1],
    "floats": [1.0, 2.0, 3.0, 1.0],
    "flags": [True, False, True],
}


def check_labels(model, labels, *others):
    reading = read(model, sample_of(model, labels) or modelport.sample.Sample.of(labels))
    for rows in (labels, *others):
        (name,) = [v.name for v in reading.graph.inputs]
        dtype = object if reading.graph.inputs[0].dtype == "str" else float
        check_rows(reading, {name: np.array(rows, dtype=dtype)})
    return reading


@pytest.mark.parametrize("kind", list(LABELS))
def test_label_encoder(kind):
    labels = LABELS[kind]
    model = LabelEncoder().fit(labels)
    reading = check_labels(model, labels)
    (name,) = [v.name for v in reading.graph.inputs]
    unknown = np.array(["elsewhere"], dtype=object) if isinstance(labels[0], str) else np.array([99.0])
    if kind != "flags":
        with pytest.raises(InputError):
            Evaluator(reading.graph).run({name: unknown})


@pytest.mark.parametrize(
    "options",
    [{}, {"sparse_output": True}, {"neg_label": -1}, {"neg_label": -3, "pos_label": 0}, {"neg_label": 2, "pos_label": 7}],
    ids=str,
)
@pytest.mark.parametrize("kind", [k for k in LABELS if k != "flags"])
def test_label_binarizer(kind, options):
    labels = LABELS[kind]
    unknown = ["Oslo", "elsewhere", "yes"] if isinstance(labels[0], str) else [1.0, 99.0, -7.0, 0.0]
    check_labels(LabelBinarizer(**options).fit(labels), labels, unknown)


def test_a_fraction_is_no_label():
    model = LabelBinarizer().fit([3, 1, 4])
    reading = check_labels(model, [3, 1, 4])
    with pytest.raises(InputError):
        Evaluator(reading.graph).run({"x": np.array([0.5])})


def test_rows_of_indicators_are_refused():
    rows = np.array([[1, 0, 1], [0, 1, 1]])
    with pytest.raises((UnsupportedAttribute, InputError)):
        modelport.convert(LabelBinarizer().fit(rows), "json", sample=rows)


LISTS = {
    "words": [["sci-fi", "thriller"], ["comedy"], [], ["drama", "comedy", "sci-fi", "drama", ""]],
    "sets": [{"a", "b"}, {"c"}, set(), {"a", "b", "c", "d", "e", "f"}],
    "numbers": [[1, 2], [3], [], [5, 1, 2]],
    "one": [["x"], [], ["y"]],
}


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("kind", list(LISTS))
def test_multi_label_binarizer(kind, sparse):
    rows = LISTS[kind]
    model = MultiLabelBinarizer(sparse_output=sparse).fit(rows)
    sample = sample_of(model, rows)
    reading = read(model, sample)
    feeds = sample.feeds()
    check_rows(reading, feeds)
    expected = model.transform(rows)
    expected = expected.toarray() if sparse else expected
    np.testing.assert_array_equal(Evaluator(reading.graph).run(feeds)["transformed"], expected)
    other = {}
    for name, matrix in feeds.items():
        other[name] = np.full_like(matrix[:1], "unknown" if matrix.dtype == object else 77.0)
    check_rows(reading, other)


def test_given_classes():
    rows = [["b"], ["a", "z"]]
    model = MultiLabelBinarizer(classes=["z", "a", "b"]).fit(rows)
    reading = read(model, sample_of(model, rows))
    check_rows(reading, sample_of(model, rows).feeds())


def test_artifacts_prove_themselves():
    for kind, labels in LABELS.items():
        for model in (LabelEncoder(), LabelBinarizer()):
            if kind == "flags" and isinstance(model, LabelBinarizer):
                continue
            assert modelport.convert(model.fit(labels), "json", sample=labels).report.passed, kind
    for rows in LISTS.values():
        artifact = modelport.convert(MultiLabelBinarizer().fit(rows), "json", sample=rows)
        assert artifact.report.passed
        own = modelport.convert(MultiLabelBinarizer().fit(rows), "json", sample=rows, vectors=rows[:2])
        assert own.report.passed
    frame = pd.DataFrame({"town": LABELS["words"]})
    artifact = modelport.convert(LabelEncoder().fit(LABELS["words"]), "json", sample=frame)
    assert [v.name for v in modelport.load(artifact).inputs] == ["town"]


@pytest.mark.parametrize("rows", [[["a", 1]], ["ab", "c"], [1, 2], [["a", None, "b"]]], ids=str)
def test_lists_that_cannot_be_told_are_refused(rows):
    model = MultiLabelBinarizer().fit([["a"]])
    with pytest.raises(InputError):
        sample_of(model, rows)


def test_what_is_not_known_is_refused():
    model = LabelEncoder().fit(["a", "b"])
    model.extra_ = 1
    with pytest.raises(UnsupportedAttribute, match="extra_"):
        modelport.convert(model, "json", sample=["a", "b"])
    with pytest.raises(UnsupportedAttribute, match="classes_"):
        modelport.convert(LabelEncoder().fit(["a", "b"]), "json", sample=[1, 2])


def test_a_loaded_artifact_takes_lists():
    rows = LISTS["words"]
    model = MultiLabelBinarizer().fit(rows)
    predictor = modelport.load(modelport.convert(model, "json", sample=rows))
    given = [["comedy"], (), {"drama", "thriller"}]
    assert predictor.predict(given)["transformed"].tolist() == model.transform(given).tolist()
    with pytest.raises(InputError, match="6 items, but 'labels' takes 5"):
        predictor.predict([["comedy"] * 6])


@pytest.mark.parametrize("kind", list(LABELS))
def test_a_series_is_as_good_as_a_list(kind):
    labels = pd.Series(LABELS[kind])
    sample = checked_sample(labels, LabelEncoder().fit(labels))
    assert (sample.kind, len(sample), len(sample.columns)) == ("text", len(labels), 1)
