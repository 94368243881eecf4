"""verify: against carried vectors and against the live model, with the first step that diverges."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import modelport
from modelport.artifact import Artifact
from modelport.compare import compare
from modelport.document import Tolerance
from modelport.errors import ArtifactError, InputError, Mismatch, UsageError
from modelport.outcomes import of_report, worst_exit_code
from modelport.verify import ConsumerReport, Report


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


def swap_features(document: dict) -> None:
    features = document["inputs"][0]["features"]
    features[0], features[1] = features[1], features[0]


def swap_classes(document: dict) -> None:
    classes = document["outputs"][1]["classes"]
    classes[0], classes[1] = classes[1], classes[0]


@pytest.mark.parametrize(("change", "words"), [(swap_features, "features of 'X'"), (swap_classes, "classes of 'probability'")])
def test_names_in_another_order_are_found(iris, artifact: Artifact, change, words: str) -> None:  # type: ignore[no-untyped-def]
    """Rows are fed, and probabilities read, by these names: the numbers alone do not show that they moved."""
    with pytest.raises(ArtifactError, match=words):
        modelport.verify(changed(artifact, change), model=iris[2], sample=iris[0])


def test_inputs_in_another_order_are_found(mixed) -> None:  # type: ignore[no-untyped-def]
    frame, model = mixed

    def turn(document: dict) -> None:
        document["inputs"].reverse()

    with pytest.raises(ArtifactError, match="inputs"):
        modelport.verify(changed(modelport.convert(model, "json", sample=frame), turn), model=model, sample=frame)


@pytest.mark.parametrize("tolerance", [{"atol": 1e300, "rtol": 0.0}, {"atol": 0.0, "rtol": 1e300}, {"ulp": 2**53 - 1}])
def test_an_artifact_cannot_excuse_itself_before_the_model(iris, artifact: Artifact, tolerance: dict) -> None:  # type: ignore[no-untyped-def]
    def change(document: dict) -> None:
        nudge_weight(document)
        document["verification"]["tolerance"]["probability"] = tolerance

    assert not modelport.verify(changed(artifact, change), model=iris[2], sample=iris[0]).passed


def test_carried_rows_are_replayed_before_the_model_too(iris, artifact: Artifact) -> None:  # type: ignore[no-untyped-def]
    """Else an artifact would pass here that cannot be loaded."""

    def lie(document: dict) -> None:
        labels = document["verification"]["outputs"]["label"]
        labels[0] = next(label for label in labels if label != labels[0])

    report = modelport.verify(changed(artifact, lie), model=iris[2], sample=iris[0])
    assert [c.passed for c in report.consumers] == [True, False]
    assert not report.passed


@pytest.mark.parametrize(
    "arguments",
    [{"vectors": "model"}, {"vectors": "all"}, {"sample": [[1.0, 2.0, 3.0, 4.0]]}],
)
def test_arguments_that_contradict_each_other(artifact: Artifact, arguments: dict) -> None:
    with pytest.raises(UsageError):
        modelport.verify(artifact, **arguments)


def test_a_sample_without_rows_proves_nothing(iris, artifact: Artifact) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="no rows"):
        modelport.verify(artifact, model=iris[2], sample=iris[0].iloc[:0])


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


def test_no_rows_are_no_success_anywhere() -> None:
    nothing = ConsumerReport("numpy", (compare("y", np.zeros(0), np.zeros(0), Tolerance(1.0)),))
    assert not nothing.passed
    report = Report("json", "the model", 0, (nothing,))
    outcomes = of_report("model", report)
    assert (report.passed, [o.verdict for o in outcomes], worst_exit_code(outcomes)) == (False, ["failed"], 1)
