"""diff: whether two artifacts answer the same. What is expected comes from the models they were made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modelport
from modelport.cli import main
from modelport.document import EXACT, Document, Vectors
from modelport.errors import ArtifactError, InputError, Mismatch
from modelport.graph import Graph, Input, Output, Step


@pytest.fixture(scope="module")
def upgrade(iris, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:  # type: ignore[no-untyped-def]
    """(a folder with old.json, new.json, old.pmml; the two models)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, labels, old = iris
    new = make_pipeline(StandardScaler(), LogisticRegression(C=0.3)).fit(X, labels)
    folder = tmp_path_factory.mktemp("upgrade")
    modelport.convert(old, folder / "old.json", sample=X)
    modelport.convert(old, folder / "old.pmml", sample=X)
    modelport.convert(new, folder / "new.json", sample=X)
    return folder, old, new


def test_two_formats_of_one_model_are_the_same(upgrade) -> None:  # type: ignore[no-untyped-def]
    folder = upgrade[0]
    found = modelport.diff(folder / "old.json", folder / "old.pmml")
    assert found.same
    assert (found.structure, found.steps) == ((), None)
    assert [c.rows for c in found.crossings] == [64, 64]
    assert all(o.passed for c in found.crossings for o in c.outputs)


def test_an_artifact_is_the_same_as_itself(upgrade) -> None:  # type: ignore[no-untyped-def]
    found = modelport.diff(upgrade[0] / "old.json", upgrade[0] / "old.json")
    assert found.same
    assert found.steps == ()
    assert found.notes == ()


def test_an_upgrade_is_told_by_numbers_that_the_models_give(upgrade, iris) -> None:  # type: ignore[no-untyped-def]
    folder, old, new = upgrade
    found = modelport.diff(folder / "old.json", folder / "new.json", sample=iris[0])
    assert not found.same
    of_sample = next(c for c in found.crossings if c.rows_of == "of the sample")
    label, probability = of_sample.outputs
    assert of_sample.rows == len(iris[0])
    assert label.flips == int((old.predict(iris[0]) != new.predict(iris[0])).sum())
    gap = np.abs(old.predict_proba(iris[0]) - new.predict_proba(iris[0]))
    assert probability.max_abs == pytest.approx(gap.max(), rel=1e-9)
    worst = of_sample.worst["probability"][0]
    assert worst.row == int(gap.max(axis=1).argmax())
    assert worst.inputs == {"X": iris[0].iloc[worst.row].tolist()}
    np.testing.assert_allclose(worst.a, old.predict_proba(iris[0])[worst.row], rtol=1e-9)
    np.testing.assert_allclose(worst.b, new.predict_proba(iris[0])[worst.row], rtol=1e-9)
    (step,) = found.steps
    assert (step.change, step.op) == ("changed", "linear")
    weight = next(p for p in step.parameters if p.name == "weight")
    assert (weight.elements, weight.changed) == (12, 12)
    assert weight.max_abs == pytest.approx(np.abs(old[-1].coef_ - new[-1].coef_).max(), rel=1e-9)


def test_either_side_answers_the_others_rows(upgrade) -> None:  # type: ignore[no-untyped-def]
    folder = upgrade[0]
    found = modelport.diff(folder / "old.json", folder / "new.json")
    back = modelport.diff(folder / "new.json", folder / "old.json")
    carried = [c.rows_of for c in found.crossings[:2]]
    assert carried == [f"carried by {folder / 'old.json'}", f"carried by {folder / 'new.json'}"]
    assert found.crossings[0].outputs[1].max_abs == pytest.approx(back.crossings[1].outputs[1].max_abs, rel=1e-9)


def proven(inputs: dict[str, Any], outputs: dict[str, Any]) -> Vectors:
    """Plain rows, of which every output is to be equal in every bit."""
    rows = len(next(iter(inputs.values())))
    return Vectors(inputs, outputs, dict.fromkeys(outputs, EXACT), rows=("plain",) * rows)


def clipped(most: float, rows: list[float]) -> bytes:
    """min(x, most), proven on rows of which none reaches it: only rows at its boundary tell two of them apart."""
    from modelport_json import write

    x = np.array(rows)[:, None]
    graph = Graph(
        [Input("x")],
        [Step("clip", ("x",), "clipped", {"max": np.array([most])})],
        [Output("transformed", "clipped", "f64", "transform")],
    )
    return write(Document(graph, proven({"x": x}, {"transformed": np.minimum(x, most)})))


def test_rows_at_the_boundaries_tell_apart_what_carried_rows_do_not() -> None:
    found = modelport.diff(clipped(90.0, [1.0, 2.0]), clipped(95.0, [1.0, 2.0]))
    carried, drawn = found.crossings[:2], found.crossings[2:]
    assert all(c.same for c in carried)
    assert [c.rows_of for c in drawn] == ["drawn at the boundaries of A", "drawn at the boundaries of B"]
    assert not found.same
    assert max(c.outputs[0].max_abs for c in drawn) == 5.0


def test_a_changed_file_is_no_version_of_a_model(upgrade, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    document = json.loads((upgrade[0] / "old.json").read_text(encoding="utf-8"))
    next(s for s in document["steps"] if s["op"] == "linear")["weight"][0][0] += 1.0
    (tmp_path / "changed.json").write_text(json.dumps(document))
    with pytest.raises(Mismatch, match=r"changed\.json"):
        modelport.diff(upgrade[0] / "old.json", tmp_path / "changed.json")


# --- what is declared otherwise -----------------------------------------------------------------------------------------------


def shifted(by: float = 1.0, **changes: Any) -> bytes:
    """x - by, with other declarations."""
    from modelport_json import write

    given = {"input": Input("x"), "name": "prediction", "role": "prediction", "proven": True, **changes}
    x = np.array([[1.0], [2.0]])
    graph = Graph(
        [given["input"]],
        [Step("scale", (given["input"].name,), "y", {"sub": np.array([by])})],
        [Output(given["name"], "y", "f64", given["role"])],
    )
    vectors = proven({given["input"].name: x}, {given["name"]: x - by}) if given["proven"] else None
    return write(Document(graph, vectors))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input": Input("z")}, ["B has no input 'x'.", "A has no input 'z'."]),
        ({"name": "answer"}, ["B has no output 'prediction'.", "A has no output 'answer'."]),
        ({"input": Input("x", missing="nan")}, ["Input 'x' has missing='error' in A and 'nan' in B."]),
        ({"role": "score"}, ["Output 'prediction' is a prediction in A and a score in B."]),
    ],
)
def test_what_is_declared_otherwise_is_a_sentence(changes: dict[str, Any], words: list[str]) -> None:
    found = modelport.diff(shifted(), shifted(**changes))
    assert list(found.structure) == words
    assert not found.same


def labelled(classes: tuple[str, ...], dtype: str = "f64") -> bytes:
    """Three scores, of which the labels stand in an order of their own: the scores of one label are always the same."""
    from modelport_json import write

    order = [("a", "b", "c", "d").index(c) for c in classes]
    x = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    graph = Graph(
        [Input("x", shape=(4,))],
        [Step("select", ("x",), "chosen", {"index": np.array(order)}), Step("cast", ("chosen",), "score", {"to": dtype})],
        [Output("score", "score", dtype, "score", classes)],
    )
    scores = x[:, order].astype({"f64": np.float64, "f32": np.float32}[dtype])
    return write(Document(graph, proven({"x": x}, {"score": scores})))


def test_classes_in_another_order_are_compared_by_name() -> None:
    found = modelport.diff(labelled(("a", "b", "c")), labelled(("c", "a", "b")))
    assert list(found.structure) == ["Output 'score' has its classes in another order; they are compared by name."]
    assert all(o.equality == "exact" for c in found.crossings[:2] for o in c.outputs)
    assert not found.same


def test_other_classes_and_another_dtype_are_not_compared() -> None:
    found = modelport.diff(labelled(("a", "b", "c")), labelled(("a", "b", "d")))
    assert list(found.structure) == ["Output 'score' has other classes: A only 'c'; B only 'd'; it is not compared."]
    assert not any(c.outputs for c in found.crossings)
    found = modelport.diff(labelled(("a", "b")), labelled(("a", "b"), "f32"))
    assert list(found.structure) == ["Output 'score' has the dtype f64 in A and f32 in B: it is not compared."]


def test_the_same_columns_in_other_inputs_are_fed_by_name() -> None:
    from modelport_json import write

    columns = np.array([[1.0, 2.0], [3.0, 5.0]])
    output = Output("prediction", "sum", "f64", "prediction")
    weight = {"weight": np.array([[1.0, 10.0]])}
    expected = columns @ [[1.0], [10.0]]
    one = Graph([Input("X", shape=(2,), features=("a", "b"))], [Step("linear", ("X",), "sum", weight)], [output])
    steps = [Step("concat", ("b", "a"), "X"), Step("linear", ("X",), "sum", {"weight": np.array([[10.0, 1.0]])})]
    two = Graph([Input("b"), Input("a")], steps, [output])
    matrix = write(Document(one, proven({"X": columns}, {"prediction": expected})))
    apart = write(Document(two, proven({"a": columns[:, :1], "b": columns[:, 1:]}, {"prediction": expected})))
    for pair in ((matrix, apart), (apart, matrix)):
        found = modelport.diff(*pair)
        assert found.structure == ()
        assert [c.same for c in found.crossings] == [True, True]


def test_rows_that_only_one_refuses_are_counted() -> None:
    from modelport_json import write

    rows = np.array([[1.0], [np.nan], [3.0], [np.nan]])
    graph = Graph(
        [Input("x", missing="nan")],
        [Step("impute", ("x",), "y", {"values": np.array([7.0])})],
        [Output("transformed", "y", "f64", "transform")],
    )
    tolerant = write(Document(graph, proven({"x": rows}, {"transformed": np.nan_to_num(rows, nan=7.0)})))
    strict = Graph(
        [Input("x")], [Step("scale", ("x",), "y", {"sub": np.array([0.0])})], [Output("transformed", "y", "f64", "transform")]
    )
    x = np.array([[1.0]])
    found = modelport.diff(tolerant, write(Document(strict, proven({"x": x}, {"transformed": x}))))
    first = found.crossings[0]
    assert first.rows == 2
    assert first.outputs[0].passed
    assert first.refused == (
        "B refuses 2 of the 4 rows that the other answers: "
        "Row 1 of input 'x' has a missing value, which this model does not accept.",
    )
    assert not first.same


def test_without_vectors_there_has_to_be_a_sample() -> None:
    with pytest.raises(ArtifactError, match="Neither artifact carries vectors"):
        modelport.diff(shifted(proven=False), shifted(proven=False))
    found = modelport.diff(shifted(proven=False), shifted(proven=False), sample=[[4.0]])
    assert found.same
    assert [note for note in found.notes if "nothing proves" in note]
    assert not modelport.diff(shifted(proven=False), shifted(2.0, proven=False), sample=[[4.0]]).same
    assert modelport.diff(shifted(), shifted(proven=False)).same


def test_nan_is_a_difference() -> None:
    from modelport_json import write

    def filled(value: float) -> bytes:
        graph = Graph(
            [Input("x", missing="nan")],
            [Step("impute", ("x",), "y", {"values": np.array([value])})],
            [Output("transformed", "y", "f64", "transform")],
        )
        return write(Document(graph, proven({"x": np.array([[np.nan]])}, {"transformed": np.array([[value]])})))

    found = modelport.diff(filled(1.0), filled(np.nan))
    assert not found.same
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["crossings"][0]["worst"]["transformed"][0]["b"] == "nan"
    assert modelport.diff(filled(np.nan), filled(np.nan)).same


def test_a_sample_without_rows_is_no_difference(upgrade, iris) -> None:  # type: ignore[no-untyped-def]
    path = upgrade[0] / "old.json"
    with pytest.raises(InputError, match="The sample has no rows"):
        modelport.diff(path, path, sample=iris[0][:0])


def test_an_approximation_is_compared_near_the_sample(upgrade, iris) -> None:  # type: ignore[no-untyped-def]
    from modelport.vectors import EXTREME

    small = modelport.convert(upgrade[1], "json", sample=iris[0], quantize="int8")
    found = modelport.diff(upgrade[0] / "old.json", small)
    kinds = modelport.inspect(upgrade[0] / "old.json")["vectors"]["kinds"]
    assert found.crossings[0].rows == sum(count for kind, count in kinds.items() if kind not in EXTREME) < 64
    assert "'B' approximates its model: rows far outside the sample are left out" in found.notes


# --- steps --------------------------------------------------------------------------------------------------------------------


def test_steps_added_removed_and_changed() -> None:
    from modelport.stepwise import changed_steps

    a = [("x", "scale", {"sub": np.array([1.0, 2.0])}), ("y", "linear", {}), ("z", "unary", {"fn": "exp"})]
    b = [
        ("x", "scale", {"sub": np.array([1.0, 2.0, 3.0])}),
        ("y", "softmax", {}),
        ("z", "unary", {"fn": "log"}),
        ("w", "take", {}),
    ]
    found = [(s.step, s.op, s.change, [str(p) for p in s.parameters]) for s in changed_steps(a, b)]
    assert found == [
        ("x", "scale", "changed", ["sub: float64[2] in A, float64[3] in B"]),
        ("y", "linear", "removed", []),
        ("y", "softmax", "added", []),
        ("z", "unary", "changed", ["fn: 'exp' in A, 'log' in B"]),
        ("w", "take", "added", []),
    ]
    assert changed_steps(a, a) == ()
    assert [s.change for s in changed_steps(a, [a[1], a[0], a[2]])] == ["moved"]
    strings = (
        [("k", "lookup", {"keys": np.array(["a", None], dtype=object)})],
        [("k", "lookup", {"keys": np.array(["a", "b"], object)})],
    )
    assert str(changed_steps(*strings)[0].parameters[0]) == "keys: 1 of 2 changed"
    nan = np.array([np.nan, 1.0])
    assert changed_steps([("x", "scale", {"sub": nan})], [("x", "scale", {"sub": nan.copy()})]) == ()


def test_onnx_files_are_compared_by_their_nodes(upgrade, iris, tmp_path: Path, need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("onnxruntime", "onnxruntime")
    for name, model in zip(("old", "new"), upgrade[1:], strict=True):
        modelport.convert(model, tmp_path / f"{name}.onnx", sample=iris[0])
    assert modelport.diff(upgrade[0] / "old.json", tmp_path / "old.onnx").same
    found = modelport.diff(tmp_path / "old.onnx", tmp_path / "new.onnx")
    assert not found.same
    (step,) = found.steps
    assert (step.op, step.change) == ("Gemm", "changed")
    assert step.parameters[0].max_abs == pytest.approx(np.abs(upgrade[1][-1].coef_ - upgrade[2][-1].coef_).max(), rel=1e-9)


# --- the command --------------------------------------------------------------------------------------------------------------


def test_the_command_line(upgrade, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    folder = upgrade[0]
    old, new, other = (str(folder / name) for name in ("old.json", "new.json", "old.pmml"))
    assert main(["diff", old, other]) == 0
    out = capsys.readouterr().out
    assert out.startswith("SAME  A = ")
    assert main(["diff", old, new]) == 1
    out = capsys.readouterr().out
    assert out.startswith("DIFFERENT  A = ")
    assert "weight: 12 of 12 changed" in out
    assert main(["diff", old, new, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["same"], said["formats"]) == (False, ["json", "json"])
    assert main(["diff", old, new, "--quiet"]) == 1
    assert capsys.readouterr() == ("", "")
    assert main(["diff", old, str(tmp_path / "nowhere.json")]) == 64


def test_names_of_somebody_else_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = Input("x\x1b[2J\n# heading")
    for name, by in (("a", 1.0), ("b", 2.0)):
        (tmp_path / f"{name}.json").write_bytes(shifted(by, input=hostile))
    assert main(["diff", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 1
    out = capsys.readouterr().out
    assert not [c for c in out if not c.isprintable() and c != "\n"]
    assert not [line for line in out.splitlines() if line.startswith("#")]
