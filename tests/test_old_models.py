"""Models saved by older scikit-learn versions: read where their state is understood, refused by name where not.

fixtures/old holds the files and what the old version answered (fixtures/recipes/old_models.py, run with it). An artifact
made today must answer as the old version did, whatever today's scikit-learn makes of the file.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import modelport
from modelport.errors import Misjudged, ModelportError
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
    rows, path = rows_of(saved), str(OLD / version / f"{name}.joblib")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if (version, name) in REFUSED:
            with pytest.raises(ModelportError, match=re.escape(REFUSED[version, name])):
                modelport.convert(load_model(path, trust=True), "json", sample=rows)
            return
        artifact = modelport.convert(load_model(path, trust=True), "json", sample=rows)
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


@pytest.mark.parametrize("name", ["tree", "pls", "logistic_ovr", "samme_r"])
def test_no_delegate_takes_what_the_installed_version_answers_otherwise(name: str) -> None:
    saved = json.loads((OLD / ALL[0] / f"{name}.json").read_text(encoding="utf-8"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = load_model(str(OLD / ALL[0] / f"{name}.joblib"), trust=True)
        for backend in ("auto", "graph", "skl2onnx"):
            with pytest.raises(Misjudged):
                modelport.convert(model, "onnx", sample=rows_of(saved), backend=backend)


def test_what_is_refused_stands_in_the_table_for_a_file() -> None:
    assert set(REFUSED) <= set(CASES)


def test_there_are_old_files() -> None:
    assert len(CASES) >= 180
    assert {version for version, _ in CASES} == {"sklearn-1.3.2", "sklearn-1.5.2", "sklearn-1.7.2"}
