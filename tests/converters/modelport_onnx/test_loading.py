"""What an ONNX artifact carries, how it is loaded, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import modelport_onnx
import numpy as np
import onnx
import onnxruntime
import pytest
from modelport_onnx.builder import NULL
from modelport_onnx.metadata import KEY
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from modelport.compare import compare
from modelport.document import Document, Loaded, Tolerance, Vectors
from modelport.errors import ArtifactError, InputError, ModelportError, Unsupported, UsageError
from modelport.graph import Graph, Input, Output, Step
from tests.converters.modelport_onnx.graphs import logistic_document, of_trees, one_step

DOCUMENT = logistic_document()
DATA = modelport_onnx.write(DOCUMENT)
IRIS, KIND = load_iris(return_X_y=True)


def session(data: bytes) -> Any:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"], enable_fallback=0)


# --- what is carried ----------------------------------------------------------------------------------------------------------


def test_the_document_comes_back_and_proves_itself() -> None:
    loaded = modelport_onnx.load(DATA)
    assert isinstance(loaded, Loaded)
    assert loaded.inputs == DOCUMENT.graph.inputs
    assert [(o.name, o.dtype, o.role, o.classes) for o in loaded.outputs] == [
        (o.name, o.dtype, o.role, o.classes) for o in DOCUMENT.graph.outputs
    ]
    assert loaded.provenance == DOCUMENT.provenance
    assert loaded.graph is None
    assert loaded.engine == f"onnxruntime {onnxruntime.__version__}"
    vectors, written = loaded.vectors, DOCUMENT.vectors
    assert vectors is not None
    assert written is not None
    assert vectors.tolerance == written.tolerance
    assert tuple(vectors.rows) == tuple(written.rows)
    answers = loaded.run(vectors.inputs)
    for name, expected in written.outputs.items():
        np.testing.assert_array_equal(vectors.outputs[name], expected)
        assert compare(name, expected, answers[name], written.tolerance[name]).passed


def test_labels_and_missing_strings_come_back_as_they_are() -> None:
    loaded = modelport_onnx.load(DATA)
    assert loaded.vectors is not None
    label = loaded.run(loaded.vectors.inputs)["label"]
    assert label.dtype == object
    assert set(label) <= {"low", "é", None}
    assert None in set(label)


def test_the_onnx_graph_keeps_every_name_and_has_plain_tensors() -> None:
    model = onnx.load_from_string(DATA)
    assert [v.name for v in model.graph.input] == ["size (cm)", "town", "label"]
    assert [v.name for v in model.graph.output] == ["label_output", "score"]
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"size (cm)": ["N", 2], "town": ["N", 1], "label": ["N"], "label_output": ["N"], "score": ["N", 3]}
    assert "U+FDD0" in model.doc_string


def test_anybody_can_run_it_with_onnxruntime_alone() -> None:
    vectors = DOCUMENT.vectors
    assert vectors is not None
    feeds = dict(vectors.inputs)
    feeds["town"] = np.array([[NULL if t is None else t for t in row] for row in feeds["town"]], dtype=object)
    label, score = session(DATA).run(["label_output", "score"], feeds)
    np.testing.assert_allclose(score, vectors.outputs["score"], rtol=1e-12, atol=1e-12)
    assert [None if text == NULL else text for text in label] == vectors.outputs["label"].tolist()


def test_names_that_collide_everywhere() -> None:
    graph = Graph(
        [Input("x"), Input("x_output"), Input("x/Add")],
        [
            Step("binary", ["x", "x_output"], "y", {"fn": "add"}),
            Step("binary", ["y", "x/Add"], "z", {"fn": "mul"}),
            Step("unary", ["z"], "constant", {"fn": "neg"}),
        ],
        [
            Output("x", "y", "f64", "transform"),
            Output("y", "z", "f64", "transform"),
            Output("same", "x", "f64", "transform"),
            Output("z", "constant", "f64", "transform"),
        ],
    )
    data = modelport_onnx.write(Document(graph))
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    one = np.array([[1.0], [2.0]])
    found = modelport_onnx.load(data).run({"x": one, "x_output": 10 * one, "x/Add": one + 1})
    assert {name: value.ravel().tolist() for name, value in found.items()} == {
        "x": [11.0, 22.0],
        "y": [22.0, 66.0],
        "same": [1.0, 2.0],
        "z": [-22.0, -66.0],
    }


def test_the_bytes_depend_on_the_document_only() -> None:
    code = (
        "import sys, hashlib, modelport_onnx\n"
        "from tests.converters.modelport_onnx.graphs import logistic_document\n"
        "sys.stdout.write(hashlib.sha256(modelport_onnx.write(logistic_document())).hexdigest())\n"
    )
    import hashlib

    for seed in ("1", "2"):
        environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed}
        result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert result.stdout == hashlib.sha256(DATA).hexdigest()


def test_importing_the_package_imports_no_framework() -> None:
    code = (
        "import sys, modelport_onnx\n"
        "modelport_onnx.sniff(b'{}')\n"
        "assert not {'onnx', 'onnxruntime', 'sklearn', 'skl2onnx'} & set(sys.modules)\n"
        "import modelport_onnx.writer\n"
        "assert not {'onnx', 'onnxruntime'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


def test_describe() -> None:
    found = modelport_onnx.describe(DATA)
    assert found["opsets"] == {"": 20, "ai.onnx.ml": 5}
    assert found["ir_version"] == 10
    assert found["nodes"]["Gemm"] == 1
    assert found["nodes"]["ai.onnx.ml.LabelEncoder"] == 1
    assert found["inputs"][0] == {"name": "size (cm)", "type": "double", "shape": ["N", 2]}
    assert found["outputs"][0] == {"name": "label_output", "type": "string", "shape": ["N"]}
    assert found["modelport"]
    assert found["bytes"] == len(DATA)
    json.dumps(found)


@pytest.mark.parametrize("length", [8, 40, 300, 4096])
def test_sniffing(length: int) -> None:
    assert modelport_onnx.sniff(DATA[:length])
    exported = to_onnx(LogisticRegression(max_iter=500).fit(IRIS, KIND), IRIS[:1]).SerializeToString()
    assert modelport_onnx.sniff(exported[:length])
    for other in (
        b"",
        b"{",
        b"<?xml version='1.0'?><PMML/>",
        b"\x80\x04\x95",
        b"PK\x03\x04",
        b"\x89HDF\r\n",
        b"\x08",
        bytes(4096),
    ):
        assert not modelport_onnx.sniff(other[:length])


# --- rows ---------------------------------------------------------------------------------------------------------------------


def test_rows_that_do_not_fit_are_refused() -> None:
    loaded = modelport_onnx.load(DATA)
    assert loaded.vectors is not None
    good = dict(loaded.vectors.inputs)
    holes = good["size (cm)"].copy()
    holes[4, 1] = np.nan
    for change, sentence in [
        ({"size (cm)": holes}, "Row 4 of input 'size .cm.' has a missing value"),
        ({"size (cm)": good["size (cm)"][:, :1]}, "has shape"),
        ({"label": good["label"] + 0.5}, "i64 is needed"),
        ({"town": good["label"][:, None]}, "str is needed"),
        ({"other": good["label"]}, "not one of the model's"),
        ({"town": np.full_like(good["town"], NULL)}, "no text"),
        ({"town": np.full_like(good["town"], "\ud800")}, "no text"),
    ]:
        with pytest.raises(InputError, match=sentence):
            loaded.run({**good, **change})
    with pytest.raises(InputError, match="missing"):
        loaded.run({k: v for k, v in good.items() if k != "town"})


def test_the_graph_itself_refuses_nan_where_it_is_not_accepted() -> None:
    """A caller of onnxruntime who knows nothing of modelport gets no label for a row of NaN."""
    vectors = DOCUMENT.vectors
    assert vectors is not None
    feeds = {**vectors.inputs, "town": np.full((12, 1), "Oslo", dtype=object)}
    session(DATA).run(None, feeds)
    feeds["size (cm)"] = np.where(np.arange(24).reshape(12, 2) == 5, np.nan, feeds["size (cm)"])
    with pytest.raises(Exception, match=r"input 'size \(cm\)' holds NaN, which this model does not accept"):
        session(DATA).run(None, feeds)


def test_an_unknown_category_names_row_and_step() -> None:
    graph = one_step("lookup", {"keys": np.array(["a", "b"], dtype=object), "values": np.arange(2.0)}, Input("x", "str", (1,)))
    loaded = modelport_onnx.load(modelport_onnx.write(Document(graph)))
    rows = np.array([["a"], ["b"], ["a"], ["c"], ["d"]], dtype=object)
    with pytest.raises(InputError, match=r"(?m)^Row 3: a category was not seen when the model was fitted \(at step y\)\.$"):
        loaded.run({"x": rows})


def test_no_rows_give_no_rows() -> None:
    loaded = modelport_onnx.load(DATA)
    assert loaded.vectors is not None
    found = loaded.run({name: array[:0] for name, array in loaded.vectors.inputs.items()})
    assert (found["label"].shape, found["label"].dtype) == ((0,), object)
    assert (found["score"].shape, found["score"].dtype) == ((0, 3), np.float64)


def test_large_batches_run_in_blocks() -> None:
    random = np.random.default_rng(0)
    points, rows = random.normal(size=(2000, 3)), random.normal(size=(1500, 3))
    data = modelport_onnx.write(
        Document(one_step("pairwise", {"points": points, "metric": "manhattan"}, Input("x", "f64", (3,))))
    )
    loaded = modelport_onnx.load(data)
    content = json.loads(next(p.value for p in onnx.load_from_string(data).metadata_props if p.key == KEY))
    assert 1 <= content["block"] < 1500
    found = loaded.run({"x": rows})["y"]
    assert found.shape == (1500, 2000)
    for i in (0, 700, 1499):
        np.testing.assert_allclose(found[i], np.abs(rows[i] - points).sum(axis=1), rtol=1e-14)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_the_number_of_threads_is_a_number(threads: object) -> None:
    with pytest.raises(UsageError, match="threads"):
        modelport_onnx.load(DATA, {"threads": threads})


def test_more_threads_give_the_same_labels() -> None:
    loaded = modelport_onnx.load(DATA, {"threads": 2})
    assert loaded.vectors is not None
    assert loaded.run(loaded.vectors.inputs)["label"].tolist() == loaded.vectors.outputs["label"].tolist()


# --- damaged and foreign files ------------------------------------------------------------------------------------------------


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_every_flipped_bit_is_noticed() -> None:
    names = range(DATA.rindex(KEY.encode()), DATA.rindex(KEY.encode()) + len(KEY))
    for at in (*np.linspace(0, len(DATA) - 1, 400).astype(int).tolist(), *names):
        with pytest.raises(ModelportError, match=r"(?m)\.$"):
            modelport_onnx.load(flipped(DATA, at))


def test_a_changed_number_in_the_graph_is_named() -> None:
    weight = np.ascontiguousarray(DOCUMENT.graph.producer("score").attributes["weight"]).tobytes()  # type: ignore[union-attr]
    changed = flipped(DATA, DATA.index(weight) + 7)
    with pytest.raises(ArtifactError, match="graph in this ONNX file is not the one that was written"):
        modelport_onnx.load(changed)
    assert modelport_onnx.load(changed, {"digest": False}).vectors is not None


def test_a_changed_vector_is_named() -> None:
    at = DATA.index(b'"synthetic"') + 1
    with pytest.raises(ArtifactError, match="document in this ONNX file is not the one that was written"):
        modelport_onnx.load(flipped(DATA, at))


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\x08\x0a", b"<PMML/>", b"\x08\x0a\x3a\x05abc", bytes(100), DATA[:-1], DATA[: len(DATA) // 2]]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"(?m)\.$"):
        modelport_onnx.load(data)
    if data[:500] != DATA[:500]:
        with pytest.raises(ArtifactError):
            modelport_onnx.describe(data)


def foreign(nodes: list[Any], initializers: list[Any] = [], width: int | str = 2, ml: int = 5, **inputs: int) -> Any:  # noqa: B006
    inputs = inputs or {"x": TensorProto.DOUBLE}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, ["N", width]) for name, kind in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)],
        initializers,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", ml)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize("place", ["initializer", "attribute", "subgraph"])
def test_tensors_in_other_files_are_refused(place: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(np.ones(2).tobytes())
    tensor = numpy_helper.from_array(np.ones(2), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    if place == "initializer":
        model = foreign([helper.make_node("Add", ["x", "w"], ["y"])], [tensor])
    else:
        constant = [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("Add", ["x", "w"], ["y"])]
        model = foreign(constant)
        if place == "subgraph":
            then = helper.make_graph(constant, "then", [], [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)])
            start = numpy_helper.from_array(np.array(True), "yes")
            model = foreign([helper.make_node("If", ["yes"], ["y"], then_branch=then, else_branch=then)], [start])
    with pytest.raises(ArtifactError, match="another file"):
        modelport_onnx.load(model.SerializeToString())


TREE: dict[str, Any] = {
    "tree_roots": [0],
    "nodes_featureids": [0, 0],
    "nodes_truenodeids": [1, 0],
    "nodes_falsenodeids": [0, 1],
    "nodes_trueleafs": [0, 1],
    "nodes_falseleafs": [1, 1],
    "leaf_targetids": [0, 0],
}
OLD_TREE: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [0, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "nodes_values": [0.0, 0.0, 0.0],
    "target_treeids": [0, 0],
    "target_nodeids": [1, 2],
    "target_ids": [0, 0],
    "target_weights": [1.0, 2.0],
}


def tree_model(**changes: Any) -> bytes:
    if any(name in OLD_TREE and name not in TREE for name in changes) or changes.get("old"):
        changes.pop("old", None)
        old = helper.make_node("TreeEnsembleRegressor", ["x"], ["f"], domain="ai.onnx.ml", n_targets=1, **{**OLD_TREE, **changes})
        return bytes(foreign([old, helper.make_node("Cast", ["f"], ["y"], to=TensorProto.DOUBLE)], ml=3).SerializeToString())
    numbers = {"nodes_modes": np.zeros(2, np.uint8), "nodes_splits": np.zeros(2), "leaf_weights": np.ones(2)}
    tensors = {name: numpy_helper.from_array(array) for name, array in numbers.items()}
    node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, **{**TREE, **changes}, **tensors)
    return bytes(foreign([node]).SerializeToString())


def test_sound_trees_of_others_are_loaded() -> None:
    for data in (tree_model(), tree_model(old=True)):
        assert modelport_onnx.load(data).run({"x": np.zeros((3, 2))})["y"].shape == (3, 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nodes_truenodeids": [0, 0]}, "round in circles"),
        ({"nodes_truenodeids": [1, 0], "nodes_trueleafs": [0, 0]}, "round in circles"),
        ({"nodes_truenodeids": [7, 0]}, "a child is not there"),
        ({"nodes_falsenodeids": [99, 1]}, "a child is not there"),
        ({"tree_roots": [9]}, "a root"),
        ({"tree_roots": [-1]}, "a root"),
        ({"leaf_targetids": [5_000_000, 0]}, "a target is not there"),
        ({"nodes_featureids": [-5, 0]}, "a feature"),
        ({"nodes_featureids": [0]}, "differ in length"),
        ({"nodes_nodeids": [0, 1, 1]}, "the same number"),
        ({"nodes_nodeids": [0, 1, -2]}, "negative or too large"),
        ({"target_nodeids": [1, 5]}, "a leaf is not there"),
        ({"target_ids": [0, 9]}, "a target is not there"),
        ({"nodes_modes": ["BRANCH_LEQ", "LEAF"]}, "differ in length"),
        ({"old": True, "nodes_truenodeids": [0, 0, 0]}, "round in circles"),
        ({"old": True, "nodes_falsenodeids": [3, 0, 0]}, "a child is not there"),
    ],
)
def test_broken_trees_never_reach_the_runtime(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        modelport_onnx.load(tree_model(**changes))


def test_a_model_of_another_exporter_is_run_as_it_is() -> None:
    model = DecisionTreeClassifier(max_depth=4, random_state=0).fit(IRIS, KIND)
    data = to_onnx(model, IRIS[:1].astype(np.float32), options={"zipmap": False}).SerializeToString()
    loaded = modelport_onnx.load(data)
    assert loaded.vectors is None
    assert [(v.name, v.dtype, v.shape) for v in loaded.inputs] == [("X", "f32", (4,))]
    assert [(o.name, o.dtype, o.role) for o in loaded.outputs] == [
        ("label", "i64", "prediction"),
        ("probabilities", "f32", "score"),
    ]
    found = loaded.run({"X": IRIS.astype(np.float32)})
    np.testing.assert_array_equal(found["label"], model.predict(IRIS))
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(IRIS), atol=1e-6)


def test_what_cannot_be_run_as_rows_is_unsupported() -> None:
    zipped = to_onnx(LogisticRegression(max_iter=500).fit(IRIS, KIND), IRIS[:1].astype(np.float32)).SerializeToString()
    with pytest.raises(Unsupported, match="zipmap=False"):
        modelport_onnx.load(zipped)
    identity = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.DOUBLE)]
    with pytest.raises(Unsupported, match="any number along axis 0"):
        modelport_onnx.load(foreign(identity, width="N").SerializeToString())
    with pytest.raises(Unsupported, match=r"tensor\(float16\)"):
        modelport_onnx.load(foreign(identity, x=TensorProto.FLOAT16).SerializeToString())


def of_shape(shape: list[Any], nodes: list[Any] | None = None, initializers: list[Any] = []) -> bytes:  # noqa: B006
    """A model of others that takes x of that shape in f32 and gives y."""
    graph = helper.make_graph(
        nodes or [helper.make_node("Neg", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initializers,
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString())


def test_rows_of_any_rank_and_of_free_lengths_are_run() -> None:
    loaded = modelport_onnx.load(of_shape(["N", 3, "height", None]))
    assert [(v.name, v.dtype, v.shape) for v in loaded.inputs] == [("x", "f32", (3, "height", "x axis 3"))]
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(loaded.run({"x": x})["y"], -x)
    assert loaded.run({"x": x[:0]})["y"].shape[0] == 0
    with pytest.raises(InputError, match=r"\[rows, 3, height, x axis 3\] is needed"):
        loaded.run({"x": x[:, :2]})
    for shape in ([2, 3], [], ["N", 3, "N"], ["N", 1, 1, 1, 1, 1, 1, 1]):
        with pytest.raises(Unsupported, match="any number along axis 0"):
            modelport_onnx.load(of_shape(shape))


def test_an_input_that_is_not_given_does_not_crash_the_runtime() -> None:
    """onnxruntime 1.31 crashes when a LayerNormalization names its bias ""."""
    scale = numpy_helper.from_array(np.ones(4, np.float32), "scale")
    data = of_shape(["N", 4], [helper.make_node("LayerNormalization", ["x", "scale", ""], ["y"])], [scale])
    found = modelport_onnx.load(data).run({"x": np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)})["y"]
    np.testing.assert_allclose(found, [[-1.3416355, -0.4472118, 0.4472118, 1.3416355]], atol=1e-6)


NET = Graph(
    [Input("x", "f32", ("time", 2))],
    [Step("unary", ["x"], "y", {"fn": "neg", "dtype": "f32"})],
    [Output("y", "y", "f32", "transform")],
    lengths={"time": 3},
)
ROWS = np.arange(6.0, dtype=np.float32).reshape(1, 3, 2)
SETS = Vectors({"x": ROWS}, {"y": -ROWS}, {"y": Tolerance()}, more=[Vectors({"x": ROWS[:, :1]}, {"y": -ROWS[:, :1]})])


def test_metadata_of_named_lengths_that_does_not_fit_is_refused() -> None:
    data = modelport_onnx.write(Document(NET, SETS))

    def changed(change: Any) -> bytes:
        model = onnx.load_from_string(data)
        content = json.loads(model.metadata_props[0].value)
        assert (content["version"], content["lengths"]) == ("1.1", {"time": 3})
        change(content)
        model.metadata_props[0].value = json.dumps(content)
        return bytes(model.SerializeToString())

    assert modelport_onnx.load(changed(lambda c: None), {"digest": False}).vectors is not None
    for change in (
        lambda c: c.pop("lengths"),
        lambda c: c.update(lengths={"time": 0}),
        lambda c: c.update(lengths={"time": True}),
        lambda c: c.update(lengths={"time": 3, "other": 3}),
        lambda c: c.update(lengths=[3]),
        lambda c: c.update(lengths={"time": 1 << 40}),
        lambda c: c["inputs"][0].update(shape=["time", None]),
        lambda c: c["inputs"][0].update(shape=["", 2]),
        lambda c: c["inputs"][0].update(shape=["time"]),
        lambda c: c["inputs"][0].update(shape=["time"] * 9),
        lambda c: c["outputs"][0].update(shape=["other", 2]),
        lambda c: c["outputs"][0].update(shape=["time", 3]),
        lambda c: c["verification"].update(more={}),
        lambda c: c["verification"].update(more=[3]),
        lambda c: c["verification"]["more"][0].pop("outputs"),
        lambda c: c["verification"]["more"][0]["outputs"].update(y=c["verification"]["outputs"]["y"]),
        lambda c: c["verification"]["more"][0]["inputs"].update(x=[1.0]),
    ):
        with pytest.raises(ModelportError, match=r"(?m)\.$"):
            modelport_onnx.load(changed(change), {"digest": False})


def test_an_output_of_another_length_than_declared_is_refused() -> None:
    model = onnx.load_from_string(modelport_onnx.write(Document(NET)))
    content = json.loads(model.metadata_props[0].value)
    content["outputs"][0]["shape"] = [3, 2]
    model.metadata_props[0].value = json.dumps(content)
    loaded = modelport_onnx.load(model.SerializeToString(), {"digest": False})
    assert loaded.run({"x": ROWS})["y"].shape == (1, 3, 2)
    with pytest.raises(ArtifactError, match="not what the model declares"):
        loaded.run({"x": ROWS[:, :2]})


def test_a_runtime_too_old_or_too_strange_is_told_from_a_broken_file() -> None:
    with pytest.raises(Unsupported, match="cannot run"):
        modelport_onnx.load(foreign([helper.make_node("Asin", ["x"], ["y"])]).SerializeToString())
    with pytest.raises(ArtifactError, match="does not accept"):
        modelport_onnx.load(foreign([helper.make_node("Add", ["x", "nowhere"], ["y"])]).SerializeToString())


def test_metadata_that_does_not_fit_the_graph_is_refused() -> None:
    def changed(change: Any) -> bytes:
        model = onnx.load_from_string(DATA)
        content = json.loads(model.metadata_props[0].value)
        change(content)
        model.metadata_props[0].value = json.dumps(content)
        return bytes(model.SerializeToString())

    for change in (
        lambda c: c["inputs"].pop(),
        lambda c: c["inputs"][0].update(dtype="f32"),
        lambda c: c["inputs"][0].update(name="other"),
        lambda c: c["outputs"][0].update(onnx="nothing"),
        lambda c: c["outputs"].append(c["outputs"][0]),
        lambda c: c["outputs"][0].update(role="boss"),
        lambda c: c.update(verification=[]),
        lambda c: c.update(inputs=None),
        lambda c: c.update(block=0),
        lambda c: c.update(provenance=3),
        lambda c: c["verification"]["outputs"].pop("score"),
        lambda c: c["verification"]["inputs"].update(label=[1]),
        lambda c: c.update(format="else"),
        lambda c: c["inputs"][0].update(shape=["2"]),
    ):
        with pytest.raises(ModelportError, match=r"(?m)\.$"):
            modelport_onnx.load(changed(change), {"digest": False})
    with pytest.raises(Unsupported, match="version"):
        modelport_onnx.load(changed(lambda c: c.update(version="2.0")), {"digest": False})


def test_output_of_another_shape_than_declared_is_refused() -> None:
    model = onnx.load_from_string(DATA)
    content = json.loads(model.metadata_props[0].value)
    content["outputs"][1]["shape"] = [2]
    del content["verification"]
    model.metadata_props[0].value = json.dumps(content)
    loaded = modelport_onnx.load(model.SerializeToString(), {"digest": False})
    assert DOCUMENT.vectors is not None
    with pytest.raises(ArtifactError, match="not what the model declares"):
        loaded.run(DOCUMENT.vectors.inputs)


# --- what cannot be written ---------------------------------------------------------------------------------------------------


def test_text_that_stands_for_missing_is_not_written() -> None:
    graph = one_step("lookup", {"keys": np.array([NULL], dtype=object), "values": np.arange(1.0)}, Input("x", "str", (1,)))
    with pytest.raises(Unsupported, match=r"U\+FDD0"):
        modelport_onnx.write(Document(graph))


def test_a_document_without_vectors_is_written_without() -> None:
    loaded = modelport_onnx.load(modelport_onnx.write(replace(DOCUMENT, vectors=None)))
    assert loaded.vectors is None
    assert loaded.inputs == DOCUMENT.graph.inputs


def test_forests_are_written_in_time_and_size_that_grow_with_them() -> None:
    """Packed integers and raw tensors: at most 30 bytes per branch, and no list per node."""
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2000, 6)), random.integers(0, 2, 2000)
    trees = [DecisionTreeClassifier(random_state=i, max_features=1).fit(x, y).tree_ for i in range(10)]
    attributes = of_trees(trees, [t.value[:, 0, :] for t in trees])
    data = modelport_onnx.write(Document(one_step("tree_ensemble", attributes, Input("x", "f64", (6,)))))
    assert len(data) < 30 * (attributes["feature"] >= 0).sum()
