"""The delegate tf2onnx: what it writes of Keras models is proven like our own files, and refused in a sentence where it fails."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import modelport
from modelport.errors import Unsupported

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture(autouse=True)
def installed(need_module: Any) -> None:
    for name in ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime"):
        need_module(name, name)


@pytest.mark.parametrize(
    "name", ["sequential_mlp", "dict_outputs", "cnn_batch_norm", "layer_norm_gelu", "normalization", "subclassed"]
)
def test_a_delegated_file_is_proven(name: str) -> None:
    from tests.converters.modelport_keras.zoo import ZOO

    model, sample, _ = ZOO[name]()
    artifact = modelport.convert(model, "onnx", sample=sample, backend="tf2onnx")
    assert artifact.report is not None
    assert artifact.report.passed
    assert artifact.backend == "tf2onnx"
    assert artifact.report.notes[0].startswith("written by tf2onnx ")


def test_a_lookup_is_refused() -> None:
    from tests.converters.modelport_keras.zoo import ZOO

    model, sample, _ = ZOO["string_lookup"]()
    with pytest.raises(Unsupported, match="tf2onnx"):
        modelport.convert(model, "onnx", sample=sample, backend="tf2onnx")


def test_a_layer_that_is_not_read_goes_through_the_delegate() -> None:
    import keras

    x = keras.Input((3, 4, 2))
    model = keras.Model(x, keras.layers.ConvLSTM1D(2, 2)(x))
    rows = np.random.default_rng(0).normal(size=(5, 3, 4, 2)).astype(np.float32)
    artifact = modelport.convert(model, "onnx", sample=rows)
    assert artifact.backend == "tf2onnx"
    assert artifact.report is not None
    assert artifact.report.passed
