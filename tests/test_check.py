"""`modelport check`: what it says of a model is what conversion then does."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import modelport
from modelport.cli import main
from modelport.errors import NotFitted, UnsupportedModel

X, y = load_iris(return_X_y=True)


class Reverse(TransformerMixin, BaseEstimator):
    """Columns in reverse order; no handler knows it."""

    def fit(self, X, y=None):  # type: ignore[no-untyped-def]
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):  # type: ignore[no-untyped-def]
        return X[:, ::-1]


def test_a_readable_model() -> None:
    model = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(X, y)
    report = modelport.check(model, X)
    assert [(p.name, p.depth, p.problem) for p in report.parts] == [
        ("Pipeline", 0, None),
        ("StandardScaler", 1, None),
        ("RandomForestClassifier", 1, None),
    ]
    assert report.parts[1].ops == ("scale",)
    assert report.parts[2].exact
    assert {f.format for f in report.formats} == {"json", "onnx", "pmml"}
    for f in report.formats:
        assert f.problem is None
        artifact = modelport.convert(model, f.format, sample=X)
        assert f.bytes is not None
        assert abs(f.bytes - len(artifact.data)) < 200  # the time of writing stands in it
        assert f.outputs == {"label": "equal in every bit", "probability": "equal in every bit"}
    assert report.stubs["python"] is None
    assert "equal in every bit" in str(report)


def test_the_survey_goes_on_behind_a_refusal() -> None:
    union = FeatureUnion([("small", MinMaxScaler()), ("odd", Reverse())])
    model = make_pipeline(union, StandardScaler(), LogisticRegression(max_iter=500)).fit(X, y)
    report = modelport.check(model, X)
    problems = {p.name: p.problem for p in report.parts}
    assert [name for name, problem in problems.items() if problem] == ["Reverse"]
    assert "write a converter for it" in str(problems["Reverse"])
    assert not report.passed
    assert all("Reverse" in str(f.problem) for f in report.formats)
    assert "NOT READ" in str(report)


def test_what_a_format_cannot_express_is_named_by_part() -> None:
    texts = ["the cat sat", "a dog and a cat", "dogs chase cats", "the day of the dog"] * 5
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [0, 1, 1, 0] * 5)
    report = modelport.check(model, texts)
    refused = {p.name: sorted(p.refused or {}) for p in report.parts}
    assert "onnx" in refused["CountVectorizer"]
    assert refused["LogisticRegression"] == []
    problems = {f.format: f.problem for f in report.formats}
    assert problems["json"] is None
    assert "count_terms" in str(problems["onnx"])
    assert report.parts[-1].exact is False
    json.dumps(report.to_json(), allow_nan=False)


def test_unfitted_and_unknown_models_are_refused() -> None:
    with pytest.raises(NotFitted):
        modelport.check(LogisticRegression(), X)
    with pytest.raises(UnsupportedModel, match="No reader knows"):
        modelport.check(object(), X)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    joblib.dump(LogisticRegression(max_iter=500).fit(X, y), tmp_path / "model.joblib")
    np.savetxt(tmp_path / "rows.csv", X, delimiter=",", header="a,b,c,d", comments="")
    arguments = ["check", str(tmp_path / "model.joblib"), "--sample", str(tmp_path / "rows.csv"), "--trust"]
    assert main(arguments) == 0
    assert "LogisticRegression" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    assert {p.name for p in tmp_path.iterdir()} == {"model.joblib", "rows.csv"}  # a dry run
    union = FeatureUnion([("odd", Reverse())]).fit(X)
    joblib.dump(union, tmp_path / "model.joblib")
    assert main(arguments) == 3
    assert "Reverse" in capsys.readouterr().out
    assert main(arguments[:-1]) == 2
