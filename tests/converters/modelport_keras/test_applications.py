"""Models of keras.applications with weights at random, on small images, against Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import applications

import modelport
from modelport.run import Evaluator
from tests.converters.modelport_keras.common import agree, randomised, read

MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "MobileNetV2": (applications.MobileNetV2, {"alpha": 0.35}),
    "EfficientNetB0": (applications.EfficientNetB0, {}),
    "ResNet50": (applications.ResNet50, {}),
    "DenseNet121": (applications.DenseNet121, {}),
    "MobileNetV3Small": (applications.MobileNetV3Small, {}),
    "Xception": (applications.Xception, {}),
    "ConvNeXtTiny": (applications.ConvNeXtTiny, {}),
}


def made(name: str) -> tuple[Any, np.ndarray]:
    """A model with weights and statistics at random, and images for it."""
    make, options = MODELS[name]
    keras.utils.set_random_seed(1)
    size = 96 if name in ("Xception",) else 64
    model = randomised(make(weights=None, input_shape=(size, size, 3), classes=10, **options))
    return model, (np.random.default_rng(2).random((2, size, size, 3)) * 255).astype(np.float32)


@pytest.mark.parametrize(
    "name", [name if name == "MobileNetV2" else pytest.param(name, marks=pytest.mark.slow) for name in sorted(MODELS)]
)
def test_application(name: str) -> None:
    model, images = made(name)
    reading, sample = read(model, images)
    agree(Evaluator(reading.graph).run(sample.feeds()), reading.answer(sample.feeds()))


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["json", "onnx"])
@pytest.mark.parametrize("name", ["MobileNetV2", "EfficientNetB0", "ResNet50", "DenseNet121"])
def test_an_application_is_exported(name: str, format_: str) -> None:
    model, images = made(name)
    artifact = modelport.convert(model, format_, sample=images)
    assert artifact.report.passed
    for output in artifact.report.consumers[0].outputs:
        scale = float(np.abs(model(images).numpy()).max())
        assert output.max_abs is not None
        assert output.max_abs <= 1e-5 * scale
