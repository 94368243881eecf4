"""sklearn2pmml as a backend: what it gets right is an artifact like ours, and its Java program reaches no host."""

from __future__ import annotations

import copy
import os
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVR

import modelport
from modelport.delegation import VARIABLE, fallbacks
from modelport.errors import ArtifactError, InputError, Mismatch, MissingDependency, ModelportError, Unsupported

X, y = load_iris(return_X_y=True)
NAMES = load_iris().target_names[y]
D, t = load_diabetes(return_X_y=True, as_frame=True)


@pytest.fixture(autouse=True)
def _needed(need_module, need_program) -> None:  # type: ignore[no-untyped-def]
    need_module("sklearn2pmml", "sklearn2pmml")
    need_program("java", "java")


def converted(model: Any, sample: Any, **options: Any) -> Any:
    return modelport.convert(model, "pmml", sample=sample, backend="sklearn2pmml", **options)


# --- what it gets right -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "sample"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression()).fit(X, NAMES), X),
        (LogisticRegression().fit(X, y == 0), X),
        (Ridge().fit(D, t), D),
        (SVR().fit(X, y), X),
        (GradientBoostingRegressor(n_estimators=4, max_depth=2, random_state=0).fit(D, t), D),
    ],
    ids=["strings", "booleans", "numbers", "kernel", "float fields, and columns that are not read"],
)
def test_an_artifact_like_ours(model: Any, sample: Any) -> None:
    artifact = converted(model, sample)
    assert artifact.backend == "sklearn2pmml"
    assert artifact.report.passed
    assert artifact.report.notes[0].startswith("written by sklearn2pmml ")
    answers = modelport.load(artifact).predict(sample)
    if "label" in answers:
        assert answers["label"].tolist() == model.predict(sample).tolist()
        np.testing.assert_allclose(answers["probability"], model.predict_proba(sample), atol=1e-12)
    else:
        np.testing.assert_allclose(answers["prediction"], model.predict(sample), rtol=1e-12)
    assert modelport.verify(artifact, model=model, sample=sample).passed
    said = modelport.inspect(artifact)
    assert said["provenance"]["backend"].startswith("sklearn2pmml ")
    assert said["inputs"][0]["shape"] == [sample.shape[1]]
    assert said["steps"], "the file reads back into a graph"


def test_columns_of_several_kinds(mixed) -> None:  # type: ignore[no-untyped-def]
    frame = mixed[0].dropna()
    numbers, strings = ["age (years)", "body.mass"], ["sex", "weight class"]
    prepare = ColumnTransformer(
        [("numbers", StandardScaler(), numbers), ("strings", OneHotEncoder(handle_unknown="ignore"), strings)]
    )
    frame = frame[[*strings, *numbers]]
    model = make_pipeline(prepare, LogisticRegression(max_iter=500)).fit(frame, np.arange(len(frame)) % 3)
    predictor = modelport.load(converted(model, frame))
    assert [v.name for v in predictor.inputs] == list(frame.columns)
    np.testing.assert_allclose(predictor.predict(frame)["probability"], model.predict_proba(frame), atol=1e-12)


def test_its_own_scorer_agrees(need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("jpmml", "jpmml_evaluator")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, NAMES)
    report = modelport.verify(converted(model, X), with_="jpmml")
    assert report.passed, str(report)
    assert [c.consumer for c in report.consumers] == ["modelport pmml", "jpmml"]


def test_the_file_carries_its_rows_and_its_seal() -> None:
    data = converted(LogisticRegression().fit(X, NAMES), X).data
    text = data.decode("utf-8")
    assert text.count("<ModelVerification ") == 1
    assert 'feature="predictedValue"' in text
    assert text.count('missingValueTreatment="returnInvalid"') == X.shape[1]
    at = text.index("coefficient=") + 14
    digit = "1" if text[at] != "1" else "2"
    with pytest.raises((Mismatch, ArtifactError), match="changed after it was written"):
        modelport.load((text[:at] + digit + text[at + 1 :]).encode("utf-8"))


def test_a_missing_number_the_model_refuses_is_refused() -> None:
    predictor = modelport.load(converted(LogisticRegression().fit(X, y), X))
    with pytest.raises(InputError, match="missing value"):
        predictor.predict([[np.nan, 1.0, 2.0, 3.0]])


def test_the_model_stays_as_it_was() -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, NAMES)
    before = [(type(step).__name__, sorted(vars(step))) for _, step in copy.deepcopy(model).steps]
    environment = dict(os.environ)
    converted(model, X)
    assert [(type(step).__name__, sorted(vars(step))) for _, step in model.steps] == before
    assert dict(os.environ) == environment


# --- what it gets wrong -------------------------------------------------------------------------------------------------------


def test_a_forest_fitted_with_missing_values_is_refused() -> None:
    rows = X.copy()
    rows[np.random.default_rng(0).random(X.shape) < 0.15] = np.nan
    with pytest.raises(Mismatch):
        converted(RandomForestClassifier(5, max_depth=5, random_state=0).fit(rows, y), rows)


def test_boosting_with_categories_is_refused() -> None:
    rng = np.random.default_rng(1)
    rows = np.column_stack([rng.integers(0, 5, 300), rng.normal(size=300)])
    with pytest.raises(Mismatch):
        converted(
            HistGradientBoostingClassifier(max_iter=5, categorical_features=[0]).fit(rows, (rows[:, 0] % 2).astype(int)), rows
        )


def test_a_calibrated_pipeline_is_refused_in_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    model = CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()), cv=3).fit(X, y)
    with pytest.raises(ModelportError) as caught:
        converted(model, X)
    assert isinstance(caught.value, Mismatch) or re.match(
        r"sklearn2pmml [\d.]+ cannot convert this CalibratedClassifierCV: \S+Exception: .+\.$", str(caught.value)
    )
    assert capfd.readouterr() == ("", ""), "what its Java program prints is for us, not for the user"


def test_a_transformer_alone_is_no_pmml_model() -> None:
    with pytest.raises(Unsupported, match="holds no model, which a transformer alone does not become"):
        converted(StandardScaler().fit(X), X)


# --- asked for, and offline ---------------------------------------------------------------------------------------------------


def test_auto_does_not_use_it_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LogisticRegression().fit(X, y)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert "sklearn2pmml" not in fallbacks(model, "pmml")
    monkeypatch.setenv(VARIABLE, "sklearn2pmml")
    assert fallbacks(model, "pmml") == ["sklearn2pmml"]


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A java that notes how it was called, and fails as sklearn2pmml's does."""
    log, program = tmp_path / "called.txt", tmp_path / "java"
    program.write_text(
        f'#!/bin/sh\necho "$JAVA_TOOL_OPTIONS | $*" >> {log}\n'
        'case "$*" in *-version*) exit 0;; esac\n'
        "echo 'SEVERE: Failed to convert PKL to PMML' >&2\n"
        "echo 'Exception in thread \"main\" org.jpmml.sklearn.SkLearnException: It is too hard' >&2\n"
        "echo '\tat some.Place(Place.java:1)' >&2\nexit 1\n",
        encoding="utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return log


def test_every_java_program_is_kept_from_the_network(fake_java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dmine=1")
    with pytest.raises(
        Unsupported, match=r"cannot convert this LogisticRegression: org\.jpmml\.sklearn\.SkLearnException: It is too"
    ):
        converted(LogisticRegression().fit(X, y), X)
    calls = fake_java.read_text(encoding="utf-8").splitlines()
    assert len(calls) == 2
    for call in calls:
        options = call.partition(" | ")[0].split()
        assert options[0] == "-Dmine=1"
        assert {"-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=9"} < set(options)
    arguments = calls[-1].partition(" | ")[2].split()
    assert "com.sklearn2pmml.Main" in arguments
    assert arguments.index("-Dhttps.proxyHost=127.0.0.1") < arguments.index("com.sklearn2pmml.Main")
    assert os.environ["JAVA_TOOL_OPTIONS"] == "-Dmine=1"


def test_without_java_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match="needs Java, and no java is on the PATH"):
        converted(LogisticRegression().fit(X, y), X)


def test_a_newer_scikit_learn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn

    monkeypatch.setattr(sklearn, "__version__", "1.9.1")
    from modelport_delegates.pmml_by_sklearn2pmml import _check_version

    with pytest.raises(Unsupported, match=r"takes scikit-learn up to 1\.9\.0, and 1\.9\.1 is installed"):
        _check_version()
