"""skl2onnx as a backend: what it gets right is an artifact like ours, what it gets wrong is refused."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC

import modelport
from modelport.errors import InputError, Mismatch, MissingDependency, Unsupported, UnsupportedModel, UsageError

X, y = load_iris(return_X_y=True)
NAMES = load_iris().target_names[y]
D, t = load_diabetes(return_X_y=True, as_frame=True)
FRAME = load_iris(as_frame=True).data


@pytest.fixture(autouse=True)
def _needed(need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("skl2onnx", "skl2onnx")
    need_module("onnxruntime", "onnxruntime")


def converted(model: Any, sample: Any, **options: Any) -> Any:
    return modelport.convert(model, "onnx", sample=sample, backend="skl2onnx", **options)


def mixed_rows() -> tuple[pandas.DataFrame, Any]:
    """A frame whose column names are no identifiers, two of which become one when skl2onnx renames them; and a target."""
    rng = np.random.default_rng(3)
    frame = pandas.DataFrame(
        {"age (y)": rng.normal(size=80), "age [y]": rng.normal(size=80), "town ø": rng.choice(["Oslo", "Bergen", "Å"], 80)}
    )
    return frame, (frame["age (y)"] + (frame["town ø"] == "Oslo") > 0.3).to_numpy()


# --- what it gets right -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "sample", "outputs"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression()).fit(X, NAMES), X, ["label", "probability"]),
        (LogisticRegression().fit(FRAME, NAMES), FRAME, ["label", "probability"]),
        (LogisticRegression().fit(X, y == 0), X, ["label", "probability"]),
        (GaussianNB().fit(X, y), X, ["label", "probability"]),
        (MLPClassifier(hidden_layer_sizes=(5,), max_iter=50, random_state=0).fit(X, y), X, ["label", "probability"]),
        (RidgeClassifier().fit(X, y), X, ["label", "score"]),
        (LinearSVC(random_state=0).fit(X[50:], y[50:]), X[50:], ["label", "score"]),
        (Ridge().fit(D, t), D, ["prediction"]),
        (Ridge().fit(D, np.column_stack([t, -t])), D, ["prediction"]),
        (KMeans(3, n_init=1, random_state=0).fit(X), X, ["cluster"]),
        (make_pipeline(StandardScaler(), PCA(2)).fit(X), X, ["transformed"]),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "get_params") else "",
)
def test_an_artifact_like_ours(model: Any, sample: Any, outputs: list[str]) -> None:
    artifact = converted(model, sample)
    assert artifact.backend == "skl2onnx"
    assert artifact.report.passed
    assert artifact.report.notes[0].startswith("written by skl2onnx ")
    assert {"grid", "plain"} <= set(artifact.report.row_kinds)
    answers = modelport.load(artifact).predict(sample)
    assert list(answers) == outputs
    asked = {
        **dict.fromkeys(("label", "prediction", "cluster"), "predict"),
        "probability": "predict_proba",
        "score": "decision_function",
    }
    for name, got in answers.items():
        expected = getattr(model, asked.get(name, "transform"))(sample)
        if got.dtype.kind == "f":
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
        else:
            assert got.tolist() == expected.tolist()
    assert modelport.verify(artifact, model=model, sample=sample).passed
    assert modelport.inspect(artifact)["provenance"]["backend"].startswith("skl2onnx ")


def test_columns_of_several_kinds_keep_their_names() -> None:
    frame, target = mixed_rows()
    prepare = ColumnTransformer(
        [("n", StandardScaler(), ["age [y]", "age (y)"]), ("s", OneHotEncoder(handle_unknown="ignore"), ["town ø"])]
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(frame, target)
    artifact = converted(model, frame)
    predictor = modelport.load(artifact)
    assert [v.name for v in predictor.inputs] == list(frame.columns)
    assert predictor.predict(frame)["label"].tolist() == model.predict(frame).tolist()
    shuffled = frame[["town ø", "age [y]", "age (y)"]]
    np.testing.assert_allclose(predictor.predict(shuffled)["probability"], model.predict_proba(frame), rtol=1e-12)


def test_a_matrix_whose_columns_are_chosen_by_name_is_taken_apart() -> None:
    first, last = list(FRAME.columns[:1]), list(FRAME.columns[2:])
    prepare = ColumnTransformer([("b", StandardScaler(), last), ("a", "passthrough", first)])
    model = make_pipeline(prepare, LogisticRegression(max_iter=500)).fit(FRAME, NAMES)
    predictor = modelport.load(converted(model, FRAME))
    assert [v.name for v in predictor.inputs] == ["X"]
    np.testing.assert_allclose(predictor.predict(FRAME)["probability"], model.predict_proba(FRAME), rtol=1e-10)


def test_any_onnxruntime_runs_it_with_plain_tensors_under_our_names() -> None:
    import onnxruntime

    model = LogisticRegression().fit(X, NAMES)
    session = onnxruntime.InferenceSession(converted(model, X).data)
    assert [(v.name, v.type, v.shape[1:]) for v in session.get_inputs()] == [("X", "tensor(double)", [4])]
    label, probability = session.run(["label", "probability"], {"X": X})
    assert label.tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(probability, model.predict_proba(X), rtol=1e-12)


def test_a_missing_number_the_model_refuses_is_refused() -> None:
    predictor = modelport.load(converted(LogisticRegression().fit(X, y), X))
    with pytest.raises(InputError, match="missing value"):
        predictor.predict([[np.nan, 1.0, 2.0, 3.0]])


def test_an_input_called_like_an_output() -> None:
    frame = FRAME.set_axis(["label", "probability", "c", "d"], axis=1).assign(e="x")
    prepare = ColumnTransformer([("n", "passthrough", ["label", "probability", "c", "d"])])
    model = make_pipeline(prepare, LogisticRegression(max_iter=500)).fit(frame, NAMES)
    predictor = modelport.load(converted(model, frame))
    assert [v.name for v in predictor.inputs] == list(frame.columns)
    assert predictor.predict(frame)["label"].tolist() == model.predict(frame).tolist()


def test_rows_of_ones_own_and_a_target() -> None:
    artifact = converted(LogisticRegression().fit(X, y), X, vectors=X[:9], target="onnxruntime>=1.17", name="mine")
    said = modelport.inspect(artifact)
    assert said["vectors"]["kinds"] == {"sample": 9}
    with pytest.raises(UsageError, match="has no option 'tarjet'; it has: target"):
        converted(LogisticRegression().fit(X, y), X, tarjet="onnxruntime>=1.17")


# --- what it gets wrong -------------------------------------------------------------------------------------------------------


def nan_forest(infinite: bool) -> tuple[Any, Any]:
    """A forest fitted with missing values, with or without an infinite threshold (one that only parts what is missing)."""
    rng = np.random.default_rng(0)
    rows = X.copy()
    rows[rng.random(X.shape) < 0.15] = np.nan
    for seed in range(200):
        forest = RandomForestClassifier(3, max_depth=3, random_state=seed).fit(rows, y)
        if infinite == any(np.isinf(tree.tree_.threshold).any() for tree in forest.estimators_):
            return forest, rows
    raise AssertionError("no seed gives such a forest")


def test_a_forest_fitted_with_missing_values_is_refused() -> None:
    model, rows = nan_forest(infinite=False)
    with pytest.raises(Mismatch, match="does not answer as the model does; nothing was written") as caught:
        converted(model, rows)
    assert next(o for o in caught.value.report.consumers[0].outputs if o.output == "label").flips > 0


def test_an_infinite_threshold_does_not_hang() -> None:
    model, rows = nan_forest(infinite=True)
    start = time.monotonic()
    with pytest.raises(Unsupported, match=r"splits at an infinite threshold .+ on which skl2onnx does not end"):
        converted(model, rows)
    assert time.monotonic() - start < 30


def test_a_calibrated_pipeline_is_refused() -> None:
    model = CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()), method="sigmoid", cv=3).fit(X, y)
    with pytest.raises(Mismatch) as caught:
        converted(model, X)
    assert next(o for o in caught.value.report.consumers[0].outputs if o.output == "label").flips > 0


def test_boosting_with_categories_is_refused() -> None:
    rng = np.random.default_rng(1)
    rows = np.column_stack([rng.integers(0, 5, 300), rng.normal(size=300)])
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=[0]).fit(rows, rows[:, 0] % 2)
    with pytest.raises((Mismatch, Unsupported)):  # some releases refuse it themselves, others split at the category's number
        converted(model, rows)


@pytest.mark.parametrize(
    "model",
    [RandomForestClassifier(5, random_state=0).fit(X, y), SVC().fit(X, y)],
    ids=["forest at its thresholds", "scores of an SVC"],
)
def test_rows_beside_the_ordinary_ones_tell(model: Any) -> None:
    with pytest.raises(Mismatch):
        converted(model, X)


def test_what_the_model_refuses_has_to_be_refused() -> None:
    frame, _ = mixed_rows()
    with pytest.raises(Mismatch, match=r"answers a row that the model refuses \(unknown category\)"):
        converted(OrdinalEncoder().fit(frame[["town ø"]]), frame[["town ø"]])


def test_a_refusal_of_its_own_is_one_sentence() -> None:
    from sklearn.semi_supervised import LabelPropagation

    with pytest.raises(Unsupported, match=r"^skl2onnx [\d.]+ cannot convert this LabelPropagation: ") as caught:
        converted(LabelPropagation().fit(X, y), X)
    assert len(str(caught.value).splitlines()) == 1


def test_a_format_it_does_not_write_and_a_model_that_is_not_its() -> None:
    with pytest.raises(UsageError, match="The backend 'skl2onnx' writes onnx, not json"):
        modelport.convert(LogisticRegression().fit(X, y), "json", sample=X, backend="skl2onnx")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelport_delegates import onnx_by_skl2onnx

    sentence = "The delegate skl2onnx needs skl2onnx, which is not installed: pip install 'modelport[delegates]'."
    monkeypatch.setattr(onnx_by_skl2onnx, "missing", lambda: sentence)
    with pytest.raises(MissingDependency, match="pip install"):
        converted(LogisticRegression().fit(X, y), X)


# --- auto ---------------------------------------------------------------------------------------------------------------------


class Doubled(TransformerMixin, BaseEstimator):
    """A transformer of somebody's own, for which skl2onnx was given a converter."""

    def fit(self, rows: Any, target: Any = None) -> Doubled:
        self.n_features_in_ = rows.shape[1]
        return self

    def transform(self, rows: Any) -> Any:
        return rows * 2.0


def register_doubled(factor: float) -> None:
    """Teach skl2onnx the transformer: rightly with 2, wrongly with any other factor."""
    from onnx import TensorProto
    from skl2onnx import update_registered_converter

    def shapes(operator: Any) -> None:
        operator.outputs[0].type = type(operator.inputs[0].type)([None, operator.raw_operator.n_features_in_])

    def convert(scope: Any, operator: Any, container: Any) -> None:
        name = scope.get_unique_variable_name("factor")
        container.add_initializer(name, TensorProto.DOUBLE, [1], [factor])
        container.add_node("Mul", [operator.inputs[0].full_name, name], operator.outputs[0].full_name, op_version=14)

    update_registered_converter(Doubled, "TestsDoubled", shapes, convert)


def test_auto_falls_back_on_it_inside_a_pipeline() -> None:
    model = make_pipeline(Doubled(), LogisticRegression()).fit(X, NAMES)
    with pytest.raises(UnsupportedModel, match="No transformer handler knows"):
        modelport.convert(model, "onnx", sample=X, backend="graph")
    register_doubled(2.0)
    artifact = modelport.convert(model, "onnx", sample=X)
    assert artifact.backend == "skl2onnx"
    assert "since the reader refused: No transformer handler knows" in artifact.report.notes[0]
    answers = modelport.load(artifact).predict(X)
    assert answers["label"].tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(answers["probability"], model.predict_proba(X), rtol=1e-12)
    assert modelport.verify(artifact, model=model, sample=X).passed
    assert {o.name: o.classes for o in modelport.load(artifact).outputs}["probability"] == tuple(model.classes_)


def test_auto_refuses_what_it_gets_wrong() -> None:
    model = make_pipeline(Doubled(), LogisticRegression()).fit(X, NAMES)
    register_doubled(2.01)
    with pytest.raises(
        Mismatch, match=r"No transformer handler knows .+ The delegate skl2onnx was tried: The onnx artifact does"
    ):
        modelport.convert(model, "onnx", sample=X)


@pytest.mark.parametrize("kind", ["regressor", "clusterer", "outliers", "transformer", "multilabel"])
def test_outputs_of_an_unread_model_are_those_of_a_read_one(kind: str) -> None:
    """What `ask` declares without a handler is what the handler of the same estimator declares."""
    from modelport_sklearn import ask, read
    from sklearn.ensemble import IsolationForest

    from modelport.sample import Sample

    model = {
        "regressor": Ridge().fit(X, y),
        "clusterer": KMeans(3, n_init=1, random_state=0).fit(X),
        "outliers": IsolationForest(n_estimators=3, random_state=0).fit(X),
        "transformer": StandardScaler().fit(X),
        "multilabel": RandomForestClassifier(3, random_state=0).fit(X, np.column_stack([y, y > 0])),
    }[kind]
    sample = Sample.of(X)
    asked, known = ask(model, sample), read(model, sample)
    assert asked.unread
    assert not known.unread
    assert asked.graph.inputs == known.graph.inputs
    declared = [
        [(o.name, o.dtype, o.role, o.classes, g.types[o.source].shape) for o in g.outputs] for g in (asked.graph, known.graph)
    ]
    assert declared[0] == declared[1]
    feeds = sample.feeds()
    for name, expected in known.answer(feeds).items():
        np.testing.assert_array_equal(asked.answer(feeds)[name], expected)
