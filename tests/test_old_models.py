"""Models saved by older scikit-learn versions: read where their state is understood, refused by name where not.

fixtures/old holds the files and what the old version answered (fixtures/recipes/old_models.py, run with it). An artifact
made today must answer as the old version did, whatever today's scikit-learn makes of the file.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import modelport
from modelport.errors import ModelportError
from modelport.files import load_model

OLD = Path(__file__).resolve().parent.parent / "fixtures" / "old"
CASES = sorted((folder.name, path.stem) for folder in OLD.glob("sklearn-*") for path in folder.glob("*.joblib"))
#: what cannot be read today, with a word of the sentence that says why
ALL = ("sklearn-1.3.2", "sklearn-1.5.2", "sklearn-1.7.2")
REFUSED = {
    **{
        ("sklearn-1.3.2", name): "_gb_losses"
        for name in ("boosting", "boosting_regressor", "boosting_three", "quantile_boosting")
    },
    **{("sklearn-1.3.2", name): "leaves hold class counts" for name in ("tree", "forest")},
    **{("sklearn-1.3.2", name): "divided by their deviation" for name in ("pls", "pls_one", "cca")},
    **{("sklearn-1.3.2", name): "idf_" for name in ("tfidf", "characters")},
    ("sklearn-1.3.2", "hist_boosting"): "_preprocessor",
    ("sklearn-1.3.2", "hist_boosting_regressor"): "since 1.4",
    ("sklearn-1.3.2", "passthrough"): "'passthrough' stands in the place",
    ("sklearn-1.5.2", "hist_boosting_regressor"): "force_all_finite",
    ("sklearn-1.5.2", "quantile_boosting"): "CyPinballLoss",
    **{(version, "centroid"): "class_prior_" for version in ALL[:2]},
    **{(version, "chain"): "'estimator'" for version in ALL[:2]},
    **{(version, name): "SAMME.R" for version in ALL[:2] for name in ("ada", "samme_r")},
    **{(version, "sgd_log"): "'Log'" for version in ALL[:2]},
    **{(version, "tweedie"): "CyHalfTweedieLoss" for version in ALL[:2]},
    **{(version, f"logistic_{kind}"): "multi_class" for version in ALL for kind in ("ovr", "liblinear", "softmax_two")},
    **{(version, name): "_fill_dtype" for version in ALL for name in ("mixed", "iterative")},
    **{(version, "largest"): "'clip'" for version in ALL},
    **{(version, "ridge_classifier"): "'classes_'" for version in ALL},
    **{(version, "spline"): "handle_missing" for version in ALL},
}
METHODS = {"label": "predict", "prediction": "predict", "cluster": "predict", "probability": "predict_proba"}
METHODS |= {"score": "decision_function", "transformed": "transform"}


def rows_of(saved: dict[str, Any]) -> Any:
    """The rows as the model was fed them."""
    rows = saved["rows"]
    if isinstance(rows, dict):
        return pd.DataFrame(rows)
    return rows if isinstance(rows[0], str) else np.array(rows, dtype=np.float64)


@pytest.mark.parametrize(("version", "name"), CASES)
def test_an_old_file_answers_as_it_did(version: str, name: str) -> None:
    saved = json.loads((OLD / version / f"{name}.json").read_text(encoding="utf-8"))
    rows = rows_of(saved)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = load_model(str(OLD / version / f"{name}.joblib"), trust=True)
            artifact = modelport.convert(model, "json", sample=rows)
        except ModelportError as error:
            assert (version, name) in REFUSED, str(error)
            assert REFUSED[version, name] in str(error)
            return
    assert (version, name) not in REFUSED
    answers = modelport.load(artifact).predict(rows)
    assert answers
    for output, got in answers.items():
        expected = np.array(saved["answers"][METHODS[output]])
        if got.dtype.kind == "f":
            expected = expected.astype(np.float64)
            scale = np.nanmax(np.abs(expected), initial=1.0)
            assert got.shape == expected.shape
            assert (np.isnan(got) == np.isnan(expected)).all()
            assert not (np.abs(got - expected) > 1e-9 * scale).any(), output
        else:
            assert got.tolist() == expected.tolist(), output


def test_what_is_refused_stands_in_the_table_for_a_file() -> None:
    assert set(REFUSED) <= set(CASES)


def test_there_are_old_files() -> None:
    assert len(CASES) >= 180
    assert {version for version, _ in CASES} == {"sklearn-1.3.2", "sklearn-1.5.2", "sklearn-1.7.2"}
