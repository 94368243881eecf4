"""What the tests of the Keras reader share: the graph of a model against the model itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import modelport_keras
import numpy as np

from modelport.arrays import Arrays
from modelport.reading import Reading
from modelport.run import Evaluator

RANDOM = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    """Rows of numbers."""
    return RANDOM.normal(size=shape).astype(np.float32)


def randomised(model: Any) -> Any:
    """The model with other weights than those it begins with: biases, norms and statistics would hide mistakes as they are."""
    rng = np.random.default_rng(5)
    for variable in model.weights:
        shape, name = variable.shape, variable.path
        if not str(variable.dtype).startswith("float"):
            continue
        value = rng.normal(size=shape) * 0.5
        if any(part in name for part in ("variance", "gamma")):
            value = rng.uniform(0.5, 1.5, size=shape)
        elif len(shape) > 1:
            value = rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))
        variable.assign(value.astype("float32"))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return model


def one(layer: Any, shape: Any, dtype: str = "float32", **call: Any) -> Any:
    """A model of one layer."""
    inputs = keras.Input(shape, dtype=dtype, name="x")
    return randomised(keras.Model(inputs, layer(inputs, **call)))


def read(model: Any, sample: Any, **options: Any) -> tuple[Reading, Arrays]:
    """The reading of a model, and the sample as it is fed."""
    reading = modelport_keras.read(model, modelport_keras.sample_of(model, sample), options)
    assert isinstance(reading.sample, Arrays)
    return reading, reading.sample


def agree(got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], unit: float = 1e-5) -> None:
    """Equal shapes, dtypes and numbers, within a unit of the tensor's scale; written so that NaN fails."""
    assert set(got) == set(expected)
    for name, wanted in expected.items():
        found = got[name]
        assert found.shape == wanted.shape, (name, found.shape, wanted.shape)
        assert found.dtype == wanted.dtype, (name, found.dtype, wanted.dtype)
        if wanted.dtype.kind != "f":
            assert (found == wanted).all(), name
            continue
        both = np.isnan(found) & np.isnan(wanted)
        with np.errstate(invalid="ignore"):
            error = np.where(both | (found == wanted), 0.0, np.abs(found - wanted))
        scale = max(float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)), 1e-6)
        assert error.max(initial=0.0) <= unit * scale, (name, float(error.max()), scale)


def check(
    model: Any,
    sample: Any,
    unit: float = 1e-5,
    other: Mapping[str, Any] | None = None,
    batches: Sequence[int | None] = (None,),
    **options: Any,
) -> Reading:
    """The graph answers as the model does, for batches of some sizes, and for other lengths where there are any."""
    reading, rows = read(model, sample, **options)
    feeds = rows.feeds()
    for count in batches:
        part = {name: array[:count] for name, array in feeds.items()}
        agree(Evaluator(reading.graph).run(part), reading.answer(part), unit)
    if other is not None:
        changed = rows.like(other).feeds()
        agree(Evaluator(reading.graph.at(rows.like(other).lengths)).run(changed), reading.answer(changed), unit)
    return reading
