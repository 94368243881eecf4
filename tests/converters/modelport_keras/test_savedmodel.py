"""SavedModel folders: TensorFlow functions without layers, read through tf2onnx."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import modelport
from modelport.errors import ArtifactError, UnsupportedModel, UntrustedFile
from modelport.files import load_model
from tests.converters.modelport_keras.common import randomised

L = keras.layers


@pytest.fixture(autouse=True)
def installed(need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("tf2onnx", "tf2onnx")


def saved(path: Path, *layers: keras.layers.Layer) -> keras.Model:
    model = randomised(keras.Sequential(layers))
    model.export(str(path), verbose=False)
    return model


@pytest.mark.parametrize("format_", ["json", "onnx"])
def test_a_folder_answers_as_the_model_it_was_made_from(tmp_path: Path, format_: str) -> None:
    convolution = L.Conv2D(5, 3, strides=2, padding="same", activation="gelu")
    model = saved(
        tmp_path / "net", keras.Input((8, 8, 3)), convolution, L.BatchNormalization(), L.Flatten(), L.Dense(4, "softmax")
    )
    rows = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype(np.float32)
    loaded = load_model(tmp_path / "net", trust=True)
    artifact = modelport.convert(loaded, format_, sample=rows)
    assert artifact.report.passed
    (got,) = modelport.load(artifact.data).predict(rows).values()
    expected = np.asarray(model(rows, training=False))
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_folder_needs_trust(tmp_path: Path) -> None:
    saved(tmp_path / "net", keras.Input((3,)), L.Dense(2))
    with pytest.raises(UntrustedFile, match="--trust"):
        load_model(tmp_path / "net")


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(lambda x: {"y": 2.0 * x}, input_signature=[tf.TensorSpec([4, 3], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "net"), signatures={"serving_default": module.serve})
    with pytest.raises(UnsupportedModel, match="any number of rows"):
        load_model(tmp_path / "net", trust=True)


def test_a_damaged_folder(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "saved_model.pb").write_bytes(b"\x08\x01rubbish")
    with pytest.raises(ArtifactError, match="cannot be opened"):
        load_model(tmp_path / "net", trust=True)
