"""TimeDistributed: a layer at every step of a sequence."""

from __future__ import annotations

from typing import Any

from modelport.errors import UnsupportedModel

from ..builder import Copy, Value
from ..network import Layer, flatten
from ..registry import keras_layer
from ..walking import Walker

#: layers that treat every step alike when they are given the whole sequence
STEPWISE = frozenset({"Dense", "Dropout", "Activation", "ReLU", "LeakyReLU", "ELU", "Rescaling", "Identity", "Softmax"})


@keras_layer("TimeDistributed")
def time_distributed(walker: Walker, layer: Layer, inputs: Any, mask: Any = None) -> Any:
    inner = inner_layer(layer)
    value = walker.tensor(inputs)
    if mask is not None and inner.class_name not in STEPWISE - {"Softmax"}:
        raise UnsupportedModel(f"{layer} hands a mask to {inner}, step by step, which is not read.")
    if inner.class_name in STEPWISE and value.rank >= 2 and _last_axis(inner):
        before = value.mask
        value.mask = None
        made = walker.layer(inner, value)
        value.mask = before
        if made is value:
            made = walker.net.value(value.name, value.main)
        return made
    return _stepwise(walker, layer, inner, value)


def inner_layer(layer: Layer) -> Layer:
    """The layer inside of a wrapper, which may be a model."""
    spec = layer["layer"]
    inner = layer.child(spec, "layer")
    if inner.live is not None:
        from ..live import layer_of

        return layer_of(inner.live)
    if "layers" in spec["config"]:
        from ..stored import nested

        return nested(spec, inner.weights)
    return inner


def _last_axis(inner: Layer) -> bool:
    return inner.class_name != "Softmax" or inner.config.get("axis") == -1


def _stepwise(walker: Walker, layer: Layer, inner: Layer, value: Value) -> Any:
    """Any other layer: once per step, where the number of steps is fixed."""
    net = walker.net
    steps = value.shape[0]
    if steps is None:
        return _folded(walker, layer, inner, value)
    if steps > 64:
        raise UnsupportedModel(f"{layer} repeats {inner} {steps} times; 64 are read at most.")
    results = []
    for i in range(steps):
        part = net.add("slice", value.plain, axes=[0], starts=[i], stops=[i + 1])
        made = walker.layer(inner_layer(layer), net.value(net.drop(part, 0)))
        if not isinstance(made, Value):
            raise UnsupportedModel(f"{layer}: {inner} gives {len(list(flatten(made)))} tensors at every step, which is not read.")
        results.append(net.insert(made.plain, 0))
    return net.value(net.add("concat", *results, axis=0) if len(results) > 1 else results[0])


def _folded(walker: Walker, layer: Layer, inner: Layer, value: Value) -> Value:
    """Layers of images at every step of a sequence of any length: the steps stand where a third dimension of the image would."""
    net = walker.net
    if inner.class_name == "Flatten" and inner.config.get("data_format") == "channels_last":
        inner.waive("data_format")
        axes: list[int | Copy] = net.kept(value.plain)
        return net.value(net.reshape(value.plain, [axes[0], -1]))
    raise UnsupportedModel(
        f"{layer} repeats {inner} for any number of steps, which is read for {', '.join(sorted(STEPWISE))} and Flatten only: "
        "give the input a fixed length."
    )
