"""LiteRT files: Keras models through TensorFlow's converter, held against Keras; bindings by name, liars, damaged files."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import modelport
from modelport.errors import ArtifactError, Mismatch, MissingDependency, ModelportError, Unsupported, UsageError

RNG = np.random.default_rng(7)


@pytest.fixture(scope="module")
def keras(need_module: Callable[[str, str], None]) -> Any:
    for module in ("tensorflow", "keras", "ai_edge_litert"):
        need_module("litert", module)
    import keras

    if keras.config.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend here")
    return keras


def randomised(model: Any, seed: int = 3) -> Any:
    """Weights unlike those of a fresh model: means, variances, scales and biases are not 0 or 1."""
    rng = np.random.default_rng(seed)
    model.set_weights([np.abs(w) + 0.5 if "var" in v.name else w for v, w in zip(model.weights, _drawn(model, rng), strict=True)])
    return model


def _drawn(model: Any, rng: np.random.Generator) -> Iterator[np.ndarray]:
    for variable in model.weights:
        yield rng.normal(size=variable.shape).astype(variable.dtype) if variable.dtype == "float32" else np.array(variable)


def mlp(keras: Any) -> Any:
    layers = keras.layers
    return randomised(
        keras.Sequential([keras.Input((4,), name="x"), layers.Dense(8, activation="gelu"), layers.Dense(3, activation="softmax")])
    )


def two_by_two(keras: Any) -> Any:
    """Inputs and outputs of equal shapes, whose names are not in alphabetical order."""
    layers = keras.layers
    zeta, alpha = keras.Input((3,), name="zeta"), keras.Input((3,), name="alpha")
    first, second = layers.Dense(2, name="second", activation="tanh")(zeta), layers.Dense(2, name="first")(alpha)
    return randomised(keras.Model({"zeta": zeta, "alpha": alpha}, {"one": layers.Add()([first, second]), "all": second}))


def images(keras: Any) -> Any:
    layers = keras.layers
    parts = [
        layers.Conv2D(4, 3, strides=2, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.DepthwiseConv2D(2),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(2),
    ]
    return randomised(keras.Sequential([keras.Input((9, 9, 3)), *parts]))


def sequences(keras: Any) -> Any:
    layers = keras.layers
    parts = [layers.Bidirectional(layers.LSTM(4, return_sequences=True)), layers.GRU(3), layers.Dense(2)]
    return randomised(keras.Sequential([keras.Input((5, 3)), *parts]))


def tokens(keras: Any) -> Any:
    layers = keras.layers
    ids = keras.Input((6,), dtype="int32", name="ids")
    x = layers.Embedding(11, 4)(ids)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 3)(x, x))
    return randomised(keras.Model(ids, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))))


def rows(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


CASES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "mlp": (mlp, rows(6, 4)),
    "two by two": (two_by_two, {"zeta": rows(6, 3), "alpha": rows(6, 3)}),
    "images": (images, rows(4, 9, 9, 3)),
    "sequences": (sequences, rows(4, 5, 3)),
    "tokens": (tokens, RNG.integers(0, 11, (5, 6)).astype(np.int32)),
}


@pytest.mark.parametrize("case", CASES)
def test_keras_models_answer_as_keras_does(keras: Any, case: str, tmp_path: Any) -> None:
    build, sample = CASES[case]
    model = build(keras)
    artifact = modelport.convert(model, tmp_path / "model.tflite", sample=sample)
    assert artifact.report.passed
    assert artifact.backend == "tensorflow"
    assert artifact.report.notes[0].startswith("written by TensorFlow ")
    loaded = modelport.load(tmp_path / "model.tflite")
    given = loaded.predict(sample)
    expected = model(sample, training=False)
    if not isinstance(expected, dict):
        expected = dict.fromkeys(given, expected)
    assert given.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(given[name], np.asarray(value), rtol=1e-4, atol=1e-5)


def test_the_file_is_an_ordinary_litert_file(keras: Any) -> None:
    from ai_edge_litert.interpreter import Interpreter

    model = two_by_two(keras)
    data = modelport.convert(model, "tflite", sample=CASES["two by two"][1]).data
    run = Interpreter(model_content=data).get_signature_runner()
    zeta, alpha = rows(1, 3), rows(1, 3)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["modelport.json", "modelport-tflite.json"]
        names = json.loads(archive.read("modelport-tflite.json"))
    answer = run(**{names["inputs"]["zeta"]: zeta, names["inputs"]["alpha"]: alpha})
    expected = model({"zeta": zeta, "alpha": alpha}, training=False)
    for name, bound in names["outputs"].items():
        np.testing.assert_allclose(answer[bound], np.asarray(expected[name]), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def artifact(keras: Any) -> Any:
    return modelport.convert(mlp(keras), "tflite", sample=CASES["mlp"][1])


def test_the_same_model_gives_the_same_vectors(artifact: Any) -> None:
    loaded = artifact.load()
    assert loaded.vectors is not None
    assert len(loaded.vectors) >= 8
    assert loaded.graph is None
    assert loaded.engine.startswith("LiteRT ")
    assert loaded.provenance["backend"].startswith("TensorFlow ")
    assert modelport.verify(artifact).passed


def test_a_file_without_weights_is_refused(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow writes one when it is handed the model itself, and says nothing."""
    import tensorflow as tf

    honest = tf.lite.TFLiteConverter.from_concrete_functions
    model = keras.Sequential([keras.Input((4,)), keras.layers.Normalization(mean=[1.0, 2, 3, 4], variance=[1.0, 2, 3, 4])])
    model.add(keras.layers.Dense(2))

    def forgetful(functions: Any, holder: Any) -> Any:
        return honest(functions, model)

    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_concrete_functions", forgetful)
    with pytest.raises((Mismatch, Unsupported)):
        modelport.convert(model, "tflite", sample=rows(6, 4))


def test_another_models_file_is_refused(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelport_delegates import tflite_by_tensorflow as delegate

    other, honest = randomised(mlp(keras), seed=4), delegate._converted
    monkeypatch.setattr(delegate, "_converted", lambda model, *rest: honest(other, *rest))
    with pytest.raises(Mismatch, match="does not answer as the model does"):
        modelport.convert(mlp(keras), "tflite", sample=rows(6, 4))


def test_swapped_inputs_are_refused(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelport_delegates import tflite_by_tensorflow as delegate

    honest = delegate.convert

    def swapped(*given: Any) -> Any:
        written = honest(*given)
        fields = {**written.fields, "zeta": written.fields["alpha"], "alpha": written.fields["zeta"]}
        return replace(written, fields=fields)

    monkeypatch.setattr(delegate, "convert", swapped)
    with pytest.raises(Mismatch):
        modelport.convert(two_by_two(keras), "tflite", sample=CASES["two by two"][1])


def test_open_lengths_and_texts_are_refused(keras: Any) -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((None, 3)), layers.GlobalAveragePooling1D(), layers.Dense(2)])
    with pytest.raises(Unsupported, match="open length"):
        modelport.convert(model, "tflite", sample=rows(3, 5, 3))
    narrow = keras.Sequential([keras.Input((3,), dtype="float64"), layers.Dense(2, dtype="float64")])
    with pytest.raises(Unsupported, match="f64, which is not written"):
        modelport.convert(narrow, "tflite", sample=RNG.normal(size=(4, 3)))


def test_only_delegates_write_it(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LinearRegression

    with pytest.raises(Unsupported, match="not written from a graph"):
        modelport.convert(mlp(keras), "tflite", sample=rows(6, 4), backend="graph")
    with pytest.raises(Unsupported, match="written by delegates only"):
        modelport.convert(LinearRegression().fit(rows(5, 2), np.arange(5.0)), "tflite", sample=rows(5, 2))
    with pytest.raises(UsageError, match="has no option 'style'"):
        modelport.convert(mlp(keras), "tflite", sample=rows(6, 4), style="compact")
    from modelport_delegates import tflite_by_tensorflow as delegate

    monkeypatch.setattr(delegate, "_installed", lambda name: not name.startswith("tensorflow"))
    with pytest.raises(Unsupported, match="needs tensorflow, which is not installed"):
        modelport.convert(mlp(keras), "tflite", sample=rows(6, 4))
    with pytest.raises(MissingDependency):
        modelport.convert(mlp(keras), "tflite", sample=rows(6, 4), backend="tensorflow")


def test_a_number_that_does_not_fit_is_refused(keras: Any) -> None:
    loaded = modelport.convert(tokens(keras), "tflite", sample=CASES["tokens"][1]).load()
    with pytest.raises(ModelportError, match="does not fit int32"):
        loaded.run({"ids": np.full((1, 6), 2**40)})


def test_every_flipped_bit_is_noticed(artifact: Any) -> None:
    data = artifact.data
    for at in [4, len(data) - 1, *np.random.default_rng(0).integers(0, len(data), 150).tolist()]:
        changed = bytearray(data)
        changed[at] ^= 1 << (at % 8)
        with pytest.raises(ModelportError):
            modelport.load(bytes(changed))


@pytest.mark.parametrize("cut", [0, 5, 8, 40, -1, -30])
def test_truncated_files_are_refused(artifact: Any, cut: int) -> None:
    from modelport_tflite import load

    with pytest.raises(ArtifactError):
        load(artifact.data[:cut])


def test_foreign_files_are_refused(artifact: Any) -> None:
    from modelport_tflite import load
    from modelport_tflite.container import unpack

    with pytest.raises(ArtifactError, match="no declaration and no vectors"):
        load(unpack(artifact.data).model)


def test_files_that_bind_other_tensors_are_refused(artifact: Any) -> None:
    from modelport_tflite import load
    from modelport_tflite.container import pack, unpack

    package = unpack(artifact.data)
    with pytest.raises(ArtifactError, match="of its signature"):
        load(pack(replace(package, inputs=dict.fromkeys(package.inputs, "elsewhere"))))
    with pytest.raises(ArtifactError, match="binds other inputs"):
        load(pack(replace(package, outputs={"other": "output_0"})))
