"""Shared by the tests of the scikit-learn reader: read a model, feed rows, compare with what the model itself answers."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import numpy as np
import pytest
from modelport_sklearn import read
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

import modelport
from modelport.doubts import in_doubt
from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.reading import Reading
from modelport.run import Evaluator
from modelport.sample import Sample

Feeds = dict[str, np.ndarray]


def feeds_of(reading: Reading, rows: Any) -> Feeds:
    """Rows as feeds of the reading's inputs, whether they are one matrix or one input per column."""
    sample = Sample.of(rows)
    feeds = sample.feeds()
    wanted = {v.name for v in reading.graph.inputs}
    if wanted == set(feeds):
        return feeds
    if len(wanted) == 1 and sample.kind == "matrix":
        return {wanted.pop(): next(iter(feeds.values()))}
    return {c.name: c.values[:, None] for c in sample.columns}


def check(model: Any, sample: Any, *others: Any, rtol: float = 0.0, atol: float = 0.0) -> Reading:
    """Read the model and compare on the sample's rows and on others; equal in every bit unless rtol or atol is given."""
    reading = read(model, Sample.of(sample))
    for rows in (sample, *others):
        check_rows(reading, feeds_of(reading, rows), rtol, atol)
    return reading


def check_settled(model: Any, sample: Any, *others: Any, rtol: float = 1e-12, atol: float = 0.0, share: float = 0.5) -> Reading:
    """As check, on the rows of which the original's answer does not hang on rounding: at least this share of each set of rows.

    atol is relative to the largest of the original's numbers.
    """
    reading = read(model, Sample.of(sample))
    for rows in (sample, *others):
        feeds = feeds_of(reading, rows)
        doubted = in_doubt(reading.graph, reading.doubts, feeds)
        assert (~doubted).mean() >= share, f"{doubted.sum()} of {len(doubted)} rows are in doubt"
        if doubted.all():
            continue
        kept = {name: array[~doubted] for name, array in feeds.items()}
        expected = reading.answer(kept)
        sizes = [np.abs(v[np.isfinite(v)]).max(initial=0.0) for v in expected.values() if v.dtype.kind == "f"]
        check_rows(reading, kept, rtol, atol * max(sizes, default=0.0))
    return reading


def check_rows(reading: Reading, feeds: Feeds, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Compare the graph's outputs with the original's; strings, booleans and integers are always equal."""
    got, expected = Evaluator(reading.graph).run(feeds), reading.answer(feeds)
    assert set(got) == set(expected) == {o.name for o in reading.graph.outputs}
    for name, value in expected.items():
        assert got[name].shape == value.shape, name
        assert got[name].dtype == value.dtype, name
        if value.dtype.kind == "f" and (rtol or atol):
            np.testing.assert_allclose(got[name], value, rtol=rtol, atol=atol, err_msg=name)
        else:
            np.testing.assert_array_equal(got[name], value, err_msg=name)


def check_probes(reading: Reading, rows: Any, rtol: float = 0.0, atol: float = 0.0) -> list[str]:
    """Compare every probed value with the original's; the names of the probed values."""
    feeds = feeds_of(reading, rows)
    values = Evaluator(reading.graph).values(feeds)
    for name, probe in reading.probes.items():
        expected = probe(feeds)
        if expected.dtype == object:
            np.testing.assert_array_equal(values[name], expected, err_msg=name)
        else:
            np.testing.assert_allclose(values[name], expected, rtol=rtol, atol=atol, err_msg=name)
    return list(reading.probes)


def check_formats(model: Any, sample: Any, *formats: str) -> None:
    """Convert with the full proof, to JSON and to the formats named; ONNX only where onnxruntime is installed."""
    for name in ("json", *formats):
        if name == "onnx" and importlib.util.find_spec("onnxruntime") is None:
            continue
        artifact = modelport.convert(model, name, sample=sample, backend="graph")
        assert artifact.report is not None
        assert artifact.report.passed, name


def around(*points: float) -> np.ndarray:
    """The points, and their neighbours one ulp away in f32 and in f64."""
    single = np.asarray(points, dtype=np.float32)
    double = np.asarray(points, dtype=np.float64)
    up, down = np.inf, -np.inf
    return np.concatenate(
        [
            double,
            np.nextafter(double, up),
            np.nextafter(double, down),
            single.astype(np.float64),
            np.nextafter(single, np.float32(up)).astype(np.float64),
            np.nextafter(single, np.float32(down)).astype(np.float64),
        ]
    )


#: Numbers at which careless arithmetic goes wrong.
HARD = np.array([0.0, -0.0, 1.0, -1.0, 1e30, -1e30, 1e-30, 5e-324, 0.1, 1 / 3, 16777217.0, 9007199254740993.0])


def hard_rows(columns: int) -> np.ndarray:
    """Rows of hard numbers, each column starting at another one: [len(HARD), columns]."""
    return np.stack([np.roll(HARD, j) for j in range(columns)], axis=1)


def threshold_rows(rows: np.ndarray, splits: list[tuple[int, int, float]]) -> np.ndarray:
    """Rows with one column on a threshold, and one ulp beside it in f32 and in f64.

    splits: (row that gets there, column, threshold).
    """
    blocks = []
    for number, column, threshold in splits:
        values = around(threshold)
        block = np.repeat(rows[[number]], len(values), axis=0)
        block[:, column] = values
        blocks.append(block)
    return np.concatenate(blocks)


def tree_splits(trees: list[Any], rows: np.ndarray, at_most: int = 60) -> list[tuple[int, int, float]]:
    """(row that reaches the node, column, threshold) of finite splits of sklearn.tree trees, spread over all trees."""
    splits = []
    for tree in trees[:: 1 + len(trees) // 10]:
        path = tree.decision_path(rows.astype(np.float32)).tocsc()
        inner = np.flatnonzero((tree.children_left >= 0) & np.isfinite(tree.threshold))
        for node in inner[:: 1 + len(inner) // (1 + at_most // min(len(trees), 10))]:
            reach = path[:, node].indices
            if len(reach):
                splits.append((int(reach[0]), int(tree.feature[node]), float(tree.threshold[node])))
    return splits


def on_splits(model: Any, rows: np.ndarray) -> np.ndarray:
    """Rows on the splits of an ensemble's trees, in the columns that each tree was given."""
    trees = [estimator.tree_ for estimator in np.ravel(model.estimators_) if hasattr(estimator, "tree_")]
    if not hasattr(model, "estimators_features_"):
        return threshold_rows(rows, tree_splits(trees, rows))
    splits = []
    for tree, columns in zip(trees, model.estimators_features_, strict=True):
        found = tree_splits([tree], rows[:, columns], at_most=20)
        splits += [(row, int(columns[column]), threshold) for row, column, threshold in found]
    return threshold_rows(rows, splits)


def check_refused(model: Any, rows: Any, attribute: str) -> None:
    """The model is refused because of this attribute."""
    with pytest.raises(UnsupportedAttribute) as caught:
        read(model, Sample.of(rows))
    assert caught.value.attribute == attribute


def check_unknown_and_unfitted(model: Any, rows: Any) -> None:
    """A fitted model is refused once it has an attribute that nobody knows, and its kind as long as it is not fitted."""
    with pytest.raises(NotFitted, match="not fitted"):
        read(type(model)(), Sample.of(rows))
    model.threshold_ = 0.3
    check_refused(model, rows, "threshold_")


def standard_wine() -> tuple[np.ndarray, np.ndarray]:
    """The rows of wine, scaled, and their classes."""
    X, y = load_wine(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def moved(X: np.ndarray, seed: int = 0, by: float = 1.0) -> np.ndarray:
    """Rows between and beyond those of X, by so many standard deviations of each column."""
    rng = np.random.default_rng(seed)
    return X[rng.permutation(len(X))] + rng.normal(size=X.shape) * by * X.std(axis=0)


def called(value: Any) -> str:
    """The id of a parameter without addresses, which differ between the processes that collect tests."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
