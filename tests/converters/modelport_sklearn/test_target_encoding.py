"""TargetEncoder: every kind of target, unknown and missing categories, numbers and strings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder

import modelport
from modelport.errors import UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, read

rng = np.random.default_rng(0)
N = 90
FRAME = pd.DataFrame(
    {
        "town": rng.choice(["Oslo", "Bergen", "", "Tromsø"], N).astype(object),
        "rooms": rng.integers(1, 6, N).astype(float),
        "kind": rng.choice(["flat", "house"], N).astype(object),
    }
)
TARGETS = {
    "binary": rng.choice(["no", "yes"], N),
    "multiclass": rng.choice(["a", "b", "c"], N),
    "continuous": rng.normal(size=N),
}
UNSEEN = pd.DataFrame({"town": ["Paris", "oslo", "Oslo"], "rooms": [99.0, 1.5, 1.0], "kind": ["flat", "x", "house"]}).astype(
    {"town": object, "kind": object}
)


@pytest.mark.parametrize("missing", [None, float("nan"), "none there"], ids=str)
@pytest.mark.parametrize("kind", list(TARGETS))
@pytest.mark.parametrize("smooth", ["auto", 0.0, 5.0])
def test_every_target(kind, smooth, missing):
    frame = FRAME.copy()
    if missing != "none there":
        frame["town"] = pd.Series([missing if j % 7 == 0 else v for j, v in enumerate(frame["town"])], dtype=object)
        frame.loc[::8, "rooms"] = np.nan
    encoder = TargetEncoder(smooth=smooth).fit(frame, TARGETS[kind])
    check(encoder, frame, UNSEEN)


@pytest.mark.parametrize("kind", list(TARGETS))
def test_rows_of_numbers(kind):
    rows = FRAME[["rooms"]].to_numpy()
    rows = np.column_stack([rows, rows % 2])
    check(TargetEncoder().fit(rows, TARGETS[kind]), rows, np.full((3, 2), 77.0))


def test_given_categories():
    categories = [["Oslo", "Paris", "Bergen", "", "Tromsø"], [1.0, 2, 3, 4, 5, 6], ["house", "flat"]]
    check(TargetEncoder(categories=categories).fit(FRAME, TARGETS["multiclass"]), FRAME, UNSEEN)


def test_an_artifact_proves_itself():
    for kind in ("binary", "multiclass"):
        model = make_pipeline(TargetEncoder(), LogisticRegression()).fit(FRAME, TARGETS[kind])
        assert modelport.convert(model, "json", sample=FRAME).report.passed


def test_what_is_not_known_is_refused():
    encoder = TargetEncoder().fit(FRAME, TARGETS["binary"])
    encoder.bonus_ = 1
    with pytest.raises(UnsupportedAttribute, match="bonus_"):
        read(encoder, Sample.of(FRAME))
