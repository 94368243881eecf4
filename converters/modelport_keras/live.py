"""Live Keras models as networks. Keras is not imported: the objects at hand bring it along."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from .network import Array, Call, Layer, Network, Ref, Source, mapped

__all__ = ["LiveWeights", "functional", "is_functional", "layer_of", "network_of", "numbers", "traced"]


def keras() -> Any:
    """The imported Keras."""
    return sys.modules["keras"]


def numbers(tensor: Any) -> Array:
    """A variable or a tensor as an array."""
    return np.asarray(keras().ops.convert_to_numpy(tensor))


class LiveWeights:
    """The variables of a live layer."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def _stored(self) -> dict[str, Any]:
        store: dict[str, Any] = {}
        if hasattr(self.layer, "save_own_variables"):
            self.layer.save_own_variables(store)
        return store

    def take(self, names: Sequence[str]) -> list[Array]:
        """The layer's own variables in order of creation."""
        store = self._stored()
        if len(names) > len(store):
            raise KeyError(f"it has {len(store)} of {len(names)}")
        if len(names) < len(store):
            raise UnsupportedModel(
                f"Layer {self.layer.name!r} has {len(store)} weights, and {len(names)} are known: {', '.join(names)}."
            )
        return [numbers(store[str(i)]) for i in range(len(names))]

    def child(self, attribute: str, name: str) -> LiveWeights:
        """Those of a layer inside, by the attribute that holds it."""
        found = getattr(self.layer, attribute, None)
        return LiveWeights(getattr(self.layer, f"_{attribute}") if found is None else found)

    def item(self, attribute: str, index: int, key: str, name: str) -> LiveWeights:
        """Those of a layer in a list inside, by its place."""
        return LiveWeights(getattr(self.layer, attribute)[index])

    def vocabulary(self) -> list[str] | None:
        """The vocabulary that a lookup layer has now."""
        layer = getattr(self.layer, "_lookup_layer", self.layer)
        return [_text(v) for v in layer.get_vocabulary(include_special_tokens=True)]

    def named(self, name: str) -> Array | None:
        """A variable that the layer saves under a name of its own."""
        store = self._stored()
        return None if name not in store else np.asarray(store[name])


def _text(word: Any) -> str:
    return word.decode("utf-8") if isinstance(word, bytes) else str(word)


def layer_of(operation: Any) -> Layer:
    """A layer or operation of Keras in neutral form."""
    kind = "layer" if isinstance(operation, keras().layers.Layer) else "op"
    cls = type(operation)
    own = not cls.__module__.startswith("keras.")
    registered = keras().saving.get_registered_name(cls) if own else None
    network = None
    if is_functional(operation):
        network = lambda: network_of(operation)  # noqa: E731
        config: Mapping[str, Any] = {"name": operation.name}
    else:
        config = _config(operation, own)
    return Layer(cls.__name__, config, LiveWeights(operation), kind, registered, operation, network)


def _config(operation: Any, own: bool) -> dict[str, Any]:
    try:
        config = dict(operation.get_config())
    except Exception as error:  # configs of custom layers are the user's code
        if not own:
            raise UnsupportedModel(f"Layer {operation.name!r} has no config: {error}") from None
        return {"name": operation.name}
    config.setdefault("name", operation.name)
    return config


def is_functional(model: Any) -> bool:
    """Whether a model is a graph of layers that Keras calls: Functional or built Sequential, without a `call` of its own."""
    module = keras()
    if isinstance(model, module.Sequential):
        return type(model).call is module.Sequential.call and getattr(model, "_functional", None) is not None
    return functional(model) and type(model).call is _functional_class().call


def functional(model: Any) -> bool:
    """Whether Keras made a graph of layers of this model."""
    return _functional_class() is not None and isinstance(model, _functional_class())


def _functional_class() -> Any:
    return getattr(sys.modules.get("keras.src.models.functional"), "Functional", None)


def network_of(model: Any) -> Network:
    """A Functional or Sequential model as a network."""
    inner = getattr(model, "_functional", None) if isinstance(model, keras().Sequential) else None
    graph = model if inner is None else inner
    layers: dict[int, Layer] = {}

    def ref(leaf: Any) -> Any:
        if _is_keras_tensor(leaf):
            return Ref(id(leaf))
        return _plain(leaf)

    def known(operation: Any) -> Layer:
        if id(operation) not in layers:
            layers[id(operation)] = layer_of(operation)
        return layers[id(operation)]

    reached: set[Hashable] = {id(tensor) for tensor in graph.inputs}
    calls = []
    for node in _nodes(graph):
        if any(id(tensor) not in reached for tensor in node.input_tensors):
            continue
        args, kwargs = node.arguments.args, node.arguments.kwargs
        outputs = [id(tensor) for tensor in node.outputs]
        calls.append(Call(known(node.operation), mapped(ref, list(args)), mapped(ref, dict(kwargs)), outputs))
        reached.update(outputs)
    for tensor in graph.inputs:
        if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False):
            raise UnsupportedModel(f"Input {tensor.name!r} takes sparse or ragged tensors, which have no rows of one shape.")
    inputs = [Source(id(t), _input_name(t), tuple(t.shape[1:]), str(t.dtype)) for t in graph.inputs]
    return Network(
        str(model.name),
        inputs,
        mapped(ref, graph._inputs_struct),
        calls,
        mapped(ref, graph._outputs_struct),
        _output_names(graph),
    )


def _nodes(graph: Any) -> Iterator[Any]:
    """The calls in the order in which Keras makes them."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from (node for node in graph._nodes_by_depth[depth] if node.operation is not None and not node.is_input)


def _is_keras_tensor(leaf: Any) -> bool:
    return hasattr(leaf, "_keras_history") or type(leaf).__name__ == "KerasTensor"


def _input_name(tensor: Any) -> str:
    return str(tensor._keras_history.operation.name)


def _output_names(graph: Any) -> list[str]:
    return [str(name) for name in getattr(graph, "output_names", ())]


def _plain(leaf: Any) -> Any:
    """A constant among the arguments of a call: tensors and variables become arrays."""
    if leaf is None or isinstance(leaf, (bool, int, float, str, slice, type(Ellipsis), np.ndarray, np.generic)):
        return leaf
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return numbers(leaf)
    return leaf


def traced(call: Any, shapes: Sequence[tuple[Any, str]], what: str) -> Network:
    """What a function of Keras tensors does, as a network: it is called once with tensors that stand for any.

    shapes: for every argument the shape without the batch, and the Keras dtype.
    """
    module = keras()
    fed = [module.Input(shape=shape, dtype=dtype, name=f"traced_{i}") for i, (shape, dtype) in enumerate(shapes)]
    try:
        given = call(*fed)
        model = module.Model(fed, given)
    except Exception as error:  # whatever the user's code raises on such tensors
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedModel(
            f"{what} could not be traced with Keras's symbolic tensors ({first}): write it with layers and keras.ops, "
            "register a handler with modelport_keras.layers, or convert with a delegate (backend='tf2onnx', to ONNX)."
        ) from None
    return network_of(model)
