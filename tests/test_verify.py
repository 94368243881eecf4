"""verify: against carried vectors and against the live model, with the first step that diverges."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import modelport
from modelport.artifact import Artifact
from modelport.errors import ArtifactError, Mismatch, UsageError
from modelport.verify import Report


def changed(artifact: Artifact, change) -> Artifact:  # type: ignore[no-untyped-def]
    document = json.loads(artifact.data)
    change(document)
    return Artifact(artifact.format, json.dumps(document).encode())


def nudge_mean(document: dict) -> None:
    document["steps"][0]["sub"][1] += 1e-3


def nudge_weight(document: dict) -> None:
    document["steps"][1]["weight"][0][0] += 1e-4


@pytest.fixture(scope="module")
def artifact(iris) -> Artifact:
    return modelport.convert(iris[2], "json", sample=iris[0])


def test_passes_against_its_vectors_and_the_model(iris, artifact: Artifact, tmp_path: Path) -> None:
    path = artifact.save(tmp_path / "m.json")
    carried = modelport.verify(path)
    assert carried.passed
    live = modelport.verify(path, model=iris[2], sample=iris[0])
    assert live.passed
    assert live.rows > carried.rows
    assert {"sample", "extreme"} <= set(live.row_kinds)


def test_a_report_can_be_read_by_people_and_programs(artifact: Artifact) -> None:
    report = modelport.verify(artifact)
    assert isinstance(report, Report)
    assert "PASSED" in str(report)
    said = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert said["passed"] is True
    label, probability = said["consumers"][0]["outputs"]
    assert (label["equality"], label["flips"]) == ("exact", 0)
    assert probability["max_abs"] <= 1e-12


@pytest.mark.parametrize(("change", "step"), [(nudge_mean, "scaled"), (nudge_weight, "score")])
def test_one_changed_coefficient_is_found_and_located(iris, artifact: Artifact, change, step: str) -> None:  # type: ignore[no-untyped-def]
    damaged = changed(artifact, change)
    with pytest.raises(Mismatch, match="does not answer as the original model did"):
        modelport.load(damaged)
    assert not modelport.verify(damaged).passed
    report = modelport.verify(damaged, model=iris[2], sample=iris[0])
    assert not report.passed
    assert report.divergence is not None
    assert report.divergence.step == step
    assert f"first step that diverges: '{step}'" in str(report)
    json.dumps(report.to_json(), allow_nan=False)


def test_another_models_artifact_is_refused(iris, mixed, artifact: Artifact) -> None:
    frame, model = mixed
    with pytest.raises(ArtifactError, match="another model"):
        modelport.verify(artifact, model=model, sample=frame)


def test_no_vectors_is_not_a_pass(iris, artifact: Artifact) -> None:
    def strip(document: dict) -> None:
        del document["verification"]

    bare = changed(artifact, strip)
    with pytest.raises(ArtifactError, match="no vectors"):
        modelport.verify(bare)
    with pytest.raises(ArtifactError, match="no vectors"):
        modelport.load(bare)
    assert modelport.verify(bare, model=iris[2], sample=iris[0]).passed
    assert not Report("json", "nothing", 0, ()).passed
    assert not Report("json", "nothing", 5, ()).passed


def test_a_model_without_a_sample_is_a_usage_error(iris, artifact: Artifact) -> None:
    with pytest.raises(UsageError, match="sample"):
        modelport.verify(artifact, model=iris[2])


def test_any_command_can_be_the_consumer(artifact: Artifact, tmp_path: Path) -> None:
    """A stranger's program that speaks the protocol, right and wrong."""
    program = tmp_path / "consumer.py"
    program.write_text(
        "import sys, json, modelport\n"
        "rows = json.load(sys.stdin)['inputs']['X']\n"
        "import numpy as np\n"
        "X = np.array(rows['data']).reshape(rows['shape'])\n"
        "answers = modelport.load(sys.argv[-1], verify='--no-verify' not in sys.argv).predict(X)\n"
        "p = answers['probability'] + float(sys.argv[1])\n"
        "print(json.dumps({'outputs': {\n"
        "  'label': {'dtype': 'str', 'shape': [len(X)], 'data': answers['label'].tolist()},\n"
        "  'probability': {'dtype': 'f64', 'shape': list(p.shape), 'data': p.ravel().tolist()}}}))\n"
    )
    right = modelport.verify(artifact, with_=[f"{sys.executable} {program} 0"])
    assert right.passed, str(right)
    wrong = modelport.verify(artifact, with_=[f"{sys.executable} {program} 1e-6"])
    assert [c.passed for c in wrong.consumers] == [True, False]
    broken = modelport.verify(artifact, with_=[f"{sys.executable} {program}"])
    assert broken.consumers[1].problem
    nowhere = modelport.verify(artifact, with_="no-such-consumer")
    assert "no-such-consumer" in str(nowhere)
    assert not nowhere.passed


def test_boundary_rows_catch_what_plain_rows_miss() -> None:
    """A tree whose thresholds are off by one f32 ulp agrees on ordinary rows; the rows beside thresholds tell."""
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    model = DecisionTreeClassifier(max_depth=5, random_state=0).fit(X, y)
    artifact = modelport.convert(model, "json", sample=X)

    def shift(document: dict) -> None:
        step = document["steps"][0]
        step["threshold"] = {
            "dtype": "f32",
            "shape": [len(step["threshold"])],
            "data": [float(np.nextafter(np.float32(t), np.float32(np.inf))) for t in step["threshold"]],
        }

    damaged = changed(artifact, shift)
    rows = rng.normal(size=(2000, 3))
    assert (modelport.load(damaged, verify=False).predict(rows)["label"] == model.predict(rows)).all()
    assert not modelport.verify(damaged).passed
    assert not modelport.verify(damaged, model=model, sample=X).passed
