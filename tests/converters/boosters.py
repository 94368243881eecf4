"""Shared by the tests of the boosting libraries: rows on and beside thresholds, and the comparison with the library itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas

import modelport
from modelport import registry
from modelport.reading import Reading
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import around, check_rows, feeds_of, hard_rows

RANDOM = np.random.default_rng(7)


def holes(rows: np.ndarray, share: float = 0.2) -> np.ndarray:
    """The rows with some cells missing."""
    return np.where(np.random.default_rng(1).random(rows.shape) < share, np.nan, rows)


def read(model: Any, sample: Any) -> Reading:
    """The reading of a model by the reader of its own library."""
    return registry.reader_for(model)[1].read(model, Sample.of(sample), {})


def on_thresholds(reading: Reading, rows: np.ndarray, at_most: int = 60) -> np.ndarray:
    """Rows with one column on a threshold of the ensemble, and one ulp beside it in f32 and in f64."""
    blocks = []
    for step in reading.graph.steps:
        if step.op != "tree_ensemble":
            continue
        feature = step.attributes["feature"]
        splits = [
            (int(j), float(t)) for j, t in zip(feature[feature >= 0], step.attributes["threshold"], strict=True) if np.isfinite(t)
        ]
        for k, (column, threshold) in enumerate(splits[:: 1 + len(splits) // at_most]):
            if column >= rows.shape[1]:
                continue
            block = np.repeat(rows[[k % len(rows), (7 * k + 3) % len(rows)]], len(around(threshold)), axis=0)
            block[:, column] = np.tile(around(threshold), 2)
            blocks.append(block)
    return np.concatenate(blocks) if blocks else rows[:1]


def check(model: Any, sample: Any, *others: Any, rtol: float = 0.0, atol: float = 0.0) -> Reading:
    """Read a model of a library and compare on the sample's rows, on others and (for arrays) on hard rows and thresholds."""
    reading = read(model, sample)
    tables = [sample, *others]
    if isinstance(sample, np.ndarray):
        tables += [on_thresholds(reading, sample), hard_rows(sample.shape[1]), np.full((1, sample.shape[1]), np.nan)]
    for rows in tables:
        check_rows(reading, feeds_of(reading, rows), rtol, atol)
    return reading


def value(reading: Reading, op: str, rows: Any) -> np.ndarray:
    """The value of the last step with this op, for rows."""
    name = [step.output for step in reading.graph.steps if step.op == op][-1]
    return Evaluator(reading.graph).values(feeds_of(reading, rows))[name]


def proved(model: Any, sample: Any, *formats: str) -> list[dict[str, float | None]]:
    """Convert with the full proof: per format the largest difference of every output."""
    found = []
    for name in formats or ("json", "onnx"):
        artifact = modelport.convert(model, name, sample=sample, backend="graph")
        assert artifact.report is not None
        assert artifact.report.passed
        found.append({o.output: o.max_abs for o in artifact.report.consumers[0].outputs})
    return found


def categories_frame(rows: int = 500, missing: float = 0.0) -> tuple[pandas.DataFrame, np.ndarray]:
    """A frame of a categorical column of strings, one of integers, and one of numbers; and a target that needs all three."""
    random = np.random.default_rng(3)
    words = np.array(["x", "y", "zebra", "w", "o r", "r", "k", "m"])[random.integers(0, 8, rows)]
    codes, number = random.integers(0, 6, rows) * 3 + 10, random.normal(size=rows)
    target = (words == "x") * 3 - (codes == 16) * 4.0 + number + (words == "m") * 1.3
    gone = random.random((2, rows)) < missing
    frame = pandas.DataFrame(
        {
            "word": pandas.Categorical([None if g else w for w, g in zip(words, gone[0], strict=True)]),
            "number": number,
            "code": pandas.Categorical([None if g else c for c, g in zip(codes, gone[1], strict=True)]),
        }
    )
    return frame, target
