"""The handlers: one function per layer class, and one per function of keras.ops.

A handler gets the walker, the layer and the arguments of the call, bound to the parameters it declares, which are those of the
Keras layer's `call`. It returns a `Value`, or a nested structure of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .network import Layer

__all__ = ["HOOKS", "LAYERS", "OPERATIONS", "Handler", "keras_layer", "layers", "operation"]


@dataclass(frozen=True)
class Handler:
    """What knows a layer class. parameters: those of its `call`, in order, with their defaults.

    masking: False where the layer does not support masking, True where it hands the mask of its first argument on, or a
    function (walker, layer, bound arguments, previous mask) that gives the masks of its outputs.
    """

    run: Callable[..., Any]
    parameters: Mapping[str, Any]
    masking: Any = True


LAYERS: dict[str, Handler] = {}
OPERATIONS: dict[str, Callable[..., Any]] = {}
#: handlers of the user's own classes: by class, and by the name under which Keras registers it
HOOKS: dict[Any, Handler] = {}


def _handler(function: Callable[..., Any], masking: Any) -> Handler:
    parameters = list(inspect.signature(function).parameters.values())[2:]
    defaults = {p.name: None if p.default is inspect.Parameter.empty else p.default for p in parameters}
    return Handler(function, defaults, masking)


def keras_layer(*names: str, masking: Any = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a handler for layer classes of Keras."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            LAYERS[name] = _handler(function, masking)
        return function

    return decorate


def layers(cls: Any, masking: Any = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a handler for a layer class of your own: the class, or the name under which Keras saves it ("Package>Class").

    The handler gets the walker, the `Layer` (its config and weights) and the arguments of the call. masking is what Keras calls
    supports_masking.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        HOOKS[cls] = _handler(function, masking)
        return function

    return decorate


def operation(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a handler for operations of keras.ops; it gets the walker, the operation, and the arguments as they are."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            OPERATIONS[name] = function
        return function

    return decorate


def hook_of(layer: Layer) -> Handler | None:
    """The handler that was registered for a class of the user's, or None."""
    if layer.live is not None and type(layer.live) in HOOKS:
        return HOOKS[type(layer.live)]
    for name in (layer.registered, layer.class_name):
        if name is not None and name in HOOKS:
            return HOOKS[name]
    for cls, handler in HOOKS.items():
        if isinstance(cls, type) and layer.registered is not None and layer.live is None:
            own = getattr(cls, "__name__", None)
            if own == layer.class_name:
                return handler
    return None
