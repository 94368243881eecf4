"""Walks the calls of a network, as Keras makes them: which handler knows a layer, and where masks go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelport.errors import UnsupportedAttribute, UnsupportedModel
from modelport.graph import FLOATS, INTEGERS

from . import live
from .builder import Builder, Value
from .network import Call, Layer, Network, Ref, flatten, mapped
from .reasons import NOT_EXPORTABLE
from .registry import LAYERS, OPERATIONS, Handler, hook_of

__all__ = ["Walker"]

#: Keras dtypes -> ours
KERAS_DTYPES = {
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"), "i64"),
    "float32": "f32",
    "float64": "f64",
    "bool": "bool",
    "string": "str",
}
DEEPEST = 50


class Walker:
    """Makes steps of calls. Handlers use it to go into layers inside theirs, and its `net` to add steps."""

    def __init__(self, net: Builder) -> None:
        self.net = net
        self.depth = 0

    # --- networks -------------------------------------------------------------------------------------------------------------

    def network(self, network: Network, given: Any) -> Any:
        """What a network answers for values in the structure of its intake."""
        values = self._matched(network, given)
        known: dict[Any, Any] = dict(zip((source.key for source in network.inputs), values, strict=True))
        self.depth += 1
        if self.depth > DEEPEST:
            raise UnsupportedModel(f"The models inside {network.name!r} lie more than {DEEPEST} deep.")
        for call in network.calls:
            self._call(call, known)
        self.depth -= 1
        return mapped(lambda ref: known[ref.key], network.outputs)

    def _matched(self, network: Network, given: Any) -> list[Any]:
        """The values in the order of the network's inputs; dicts and lists are matched as Keras does it."""
        if isinstance(given, Mapping) and not isinstance(network.intake, Mapping):
            missing = [source.name for source in network.inputs if source.name not in given]
            if missing:
                raise UnsupportedModel(f"The model {network.name!r} is called without its input {missing[0]!r}.")
            return [given[source.name] for source in network.inputs]
        values = list(flatten(given))
        if len(values) != len(network.inputs):
            raise UnsupportedModel(
                f"The model {network.name!r} is called with {len(values)} tensors, and has {len(network.inputs)} inputs."
            )
        return values

    def _call(self, call: Call, known: dict[Any, Any]) -> None:
        def found(leaf: Any) -> Any:
            if not isinstance(leaf, Ref):
                return leaf
            if leaf.key not in known:
                raise UnsupportedModel(f"{call.layer} is called with a tensor that no call before it gives.")
            return known[leaf.key]

        args, kwargs = mapped(found, list(call.args)), mapped(found, dict(call.kwargs))
        outputs = self.operation(call.layer, args, kwargs) if call.layer.kind == "op" else self.layer(call.layer, *args, **kwargs)
        for i, output in enumerate(flatten(outputs)):
            if i < len(call.outputs):
                known[call.outputs[i]] = output

    # --- layers ---------------------------------------------------------------------------------------------------------------

    def layer(self, layer: Layer, *args: Any, **kwargs: Any) -> Any:
        """What a layer gives when Keras calls it so, masks included."""
        self.net.scope.append(layer.name)
        try:
            if hook_of(layer) is None and layer.network is not None:
                return self._inside(layer, args, kwargs)
            return self._by_handler(layer, self._handler(layer), args, kwargs)
        finally:
            self.net.scope.pop()

    def _inside(self, layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A model inside a model."""
        assert layer.network is not None
        bound = self._bound(layer, {"inputs": None, "training": None, "mask": None}, args, kwargs)
        values, mask = bound["inputs"], bound["mask"]
        if mask is not None:
            for value, own in zip(flatten(values), flatten(mask), strict=False):
                if own is not None:
                    value.mask = own
        return self.network(layer.network(), values)

    def _handler(self, layer: Layer) -> Handler:
        hook = hook_of(layer)
        if hook is not None:
            return hook
        if not layer.own and layer.registered in (None, layer.class_name) and layer.class_name in LAYERS:
            return LAYERS[layer.class_name]
        if layer.class_name in NOT_EXPORTABLE and not layer.own:
            raise UnsupportedModel(f"{layer} cannot be exported. {NOT_EXPORTABLE[layer.class_name]}")
        if layer.live is not None:
            return Handler(_trace, {}, masking=self._live_masking(layer))
        raise UnsupportedModel(
            f"{layer} is of a class that is not known here, and the file does not hold its code: hand the model over from "
            "Python, where it can be traced, or register a handler with modelport_keras.layers."
        )

    def _live_masking(self, layer: Layer) -> Any:
        if not getattr(layer.live, "supports_masking", False):
            return False
        from_keras = getattr(type(layer.live).compute_mask, "__module__", "").startswith("keras.src.layers.layer")
        if from_keras:
            return True

        def refuse(walker: Walker, layer: Layer, bound: Mapping[str, Any], previous: Any) -> Any:
            if any(mask is not None for mask in flatten(previous)):
                raise UnsupportedModel(f"{layer} has a compute_mask of its own, which is not read: register a handler for it.")
            return None

        return refuse

    def _by_handler(self, layer: Layer, handler: Handler, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not handler.parameters:  # a custom layer: its own signature holds
            bound = dict(_signature(layer.live, args, kwargs))
        else:
            bound = self._bound(layer, handler.parameters, args, kwargs)
        first = next(iter(bound.values()), None)
        previous = bound.get("mask")
        if previous is None:
            previous = mapped(_mask, first)
        outputs = handler.run(self, layer, **bound)
        layer.seen.update(layer.config if not handler.parameters else ())
        layer.close()
        if handler.masking:
            self._mask_outputs(layer, handler, bound, previous, outputs)
        return outputs

    def _bound(
        self, layer: Layer, parameters: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """The arguments by name, with the masks that Keras fills in."""
        given = dict(kwargs)
        given.pop("training", None)  # Keras says training=False to every layer, whatever the call in the model says
        names = [name for name in parameters if name != "training"]
        if len(args) > len(names):
            raise UnsupportedModel(f"{layer} is called with {len(args)} arguments, and {len(names)} are known.")
        bound = {**parameters, **dict(zip(names, args, strict=False))}
        for name, value in given.items():
            if name not in parameters:
                if value is None or name == "mask":
                    continue
                raise UnsupportedAttribute(f"{layer} is called with {name}={value!r}, which is not known.", name)
            bound[name] = value
        bound.pop("training", None)
        tensors = [name for name, value in bound.items() if _is_tensors(value)]
        if len(tensors) == 1 and "mask" in bound and bound["mask"] is None:
            bound["mask"] = mapped(_mask, bound[tensors[0]])
        elif len(tensors) > 1:
            for name in tensors:
                if f"{name}_mask" in bound and bound[f"{name}_mask"] is None:
                    bound[f"{name}_mask"] = mapped(_mask, bound[name])
        if "mask" in bound and all(mask is None for mask in flatten(bound["mask"])) and not isinstance(bound["mask"], list):
            bound["mask"] = None
        return bound

    def _mask_outputs(self, layer: Layer, handler: Handler, bound: Mapping[str, Any], previous: Any, outputs: Any) -> None:
        flat = [output for output in flatten(outputs) if isinstance(output, Value)]
        if all(output.mask is not None for output in flat):
            return
        masks = handler.masking(self, layer, bound, previous) if callable(handler.masking) else previous
        for output, mask in zip(flat, flatten(masks), strict=False):
            if output.mask is None and mask is not None:
                output.mask = mask

    # --- operations -----------------------------------------------------------------------------------------------------------

    def operation(self, op: Layer, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What a function of keras.ops gives."""
        handler = OPERATIONS.get(op.class_name)
        if handler is None:
            raise UnsupportedModel(f"The model uses keras.ops' {op.class_name} ({op.name!r}), which is not known here.")
        self.net.scope.append(op.name)
        try:
            outputs = handler(self, op, *args, **kwargs)
        finally:
            self.net.scope.pop()
        op.waive("name")
        op.close()
        return outputs

    # --- what handlers ask ----------------------------------------------------------------------------------------------------

    def floats(self, layer: Layer, value: Any) -> Value:
        """The value in the dtype in which the layer computes."""
        value = self.tensor(value)
        return self.net.cast(value, layer.dtype)

    def tensor(self, value: Any, dtype: str | None = None) -> Value:
        """A value; a constant among the arguments of a call becomes one. Its first axis is the batch, which has one row."""
        if isinstance(value, Value):
            return value if dtype is None else self.net.cast(value, dtype)
        array = np.asarray(value)
        kind = {"f": "f32", "i": "i64", "u": "i64", "b": "bool"}.get(array.dtype.kind)
        if array.dtype == np.float64 and isinstance(value, np.ndarray):
            kind = "f64"
        if kind is None:
            raise UnsupportedModel(f"A call has an argument of type {type(value).__name__}, which is no tensor.")
        return self.net.value(self.net.constant(array, dtype or kind))

    def steady(self, value: Any, rank: int, dtype: str | None = None) -> Value:
        """A constant beside a tensor of `rank` axes without its batch: an axis of it that meets the batch has to be 1."""
        if isinstance(value, Value):
            return self.tensor(value, dtype)
        array = np.asarray(value)
        if array.ndim == rank + 1:
            if array.shape[0] != 1:
                raise UnsupportedModel(f"A constant of shape {list(array.shape)} has rows of its own for every row of the batch.")
            return self.tensor(array[0] if isinstance(value, np.ndarray) else np.asarray(array[0]), dtype)
        if array.ndim > rank + 1:
            raise UnsupportedModel(f"A constant of shape {list(array.shape)} has more axes than the rows it meets.")
        return self.tensor(value, dtype)

    def dtype(self, name: Any) -> str:
        """Ours for a dtype of Keras."""
        found = KERAS_DTYPES.get(str(name))
        if found is None:
            raise UnsupportedModel(f"The dtype {name} is not known here: float32, float64, whole numbers, bool and string are.")
        return found


def _mask(leaf: Any) -> Value | None:
    return leaf.mask if isinstance(leaf, Value) else None


def _is_tensors(value: Any) -> bool:
    """Whether Keras counts an argument among the tensors of a call."""
    if isinstance(value, Value) or (isinstance(value, np.ndarray) and value.ndim > 0):
        return True
    if isinstance(value, (list, tuple, Mapping)) and len(value) > 0:
        return all(leaf is None or isinstance(leaf, (Value, np.ndarray)) for leaf in flatten(value))
    return False


def _signature(live_layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    import inspect

    try:
        return inspect.signature(live_layer.call).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise UnsupportedModel(f"Layer {live_layer.name!r}: its call is not understood ({error}).") from None


def _trace(walker: Walker, layer: Layer, **bound: Any) -> Any:
    """A layer of the user's own: its `call` is made once with Keras tensors, and what it does is walked."""
    import inspect

    parameters = inspect.signature(layer.live.call).parameters
    bound.pop("training", None)
    given = {name: value for name, value in bound.items() if value is not None}
    if "mask" in parameters and given.get("mask") is None:
        masks = [leaf.mask for leaf in flatten(next(iter(given.values()), None)) if isinstance(leaf, Value)]
        if any(mask is not None for mask in masks):
            if len(masks) != 1:
                raise UnsupportedModel(
                    f"{layer} takes the masks of several tensors, which is not read: register a handler for it."
                )
            given["mask"] = masks[0]
    names = list(given)
    values = [given[name] for name in names]
    tensors = [leaf for value in values for leaf in flatten(value) if isinstance(leaf, Value)]
    if not tensors:
        raise UnsupportedModel(f"{layer} is called without a tensor.")
    shapes = [(tensor.shape, _keras_dtype(tensor)) for tensor in tensors]

    def call(*stand_ins: Any) -> Any:
        waiting = iter(stand_ins)
        filled = [mapped(lambda leaf: next(waiting) if isinstance(leaf, Value) else leaf, value) for value in values]
        arguments = dict(zip(names, filled, strict=True))
        if "training" in parameters:
            arguments["training"] = False
        return layer.live.call(**arguments)

    network = live.traced(call, shapes, str(layer))
    return walker.network(network, tensors)


def _keras_dtype(value: Value) -> str:
    if value.dtype in INTEGERS:
        return "int32"
    return {"f32": "float32", "f64": "float64", "bool": "bool", "str": "string"}[value.dtype]


def is_float(value: Value) -> bool:
    """Whether a value holds floats."""
    return value.dtype in FLOATS
