"""The neutral form of a Keras model: layers with their configs and weights, and the calls that join them.

Live models (`live`) and saved files (`stored`) both become a `Network`, which `walking` turns into a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from modelport.errors import UnsupportedAttribute, UnsupportedModel

from .naming import container_keys

__all__ = ["Array", "Call", "Layer", "Network", "Ref", "Source", "Weights", "flatten", "mapped"]

Array = np.ndarray[Any, np.dtype[Any]]

#: keys of configs that never change what a trained layer answers, whatever the layer
ALWAYS_WAIVED = frozenset({"name", "trainable", "dtype", "seed", "autocast", "batch_input_shape", "build_input_shape"})
#: ends of such keys
WAIVED_ENDS = ("_initializer", "_regularizer", "_constraint")


class Weights(Protocol):
    """Where the arrays of one layer are: in a live layer, or in a file."""

    def take(self, names: Sequence[str]) -> list[Array]:
        """The layer's own variables, in order of their creation; KeyError for one that is not there."""

    def child(self, attribute: str, name: str) -> Weights:
        """Those of a layer inside: by the attribute that holds it, or by its name."""

    def item(self, attribute: str, index: int, key: str, name: str) -> Weights:
        """Those of a layer in a list inside: by its place, by the key under which it is saved, or by its name."""

    def vocabulary(self) -> list[str] | None:
        """The vocabulary kept beside the weights, or None."""

    def named(self, name: str) -> Array | None:
        """A variable kept under a name of its own, or None."""


@dataclass
class Layer:
    """One layer or operation: its class, its config, its weights, and which keys of the config were taken.

    kind: "layer", or "op" for a function of keras.ops inside a functional model. live: the Keras object, if there is one.
    network: for a model inside a model, what it is made of. module: where a file says that the class is from.
    """

    class_name: str
    config: Mapping[str, Any]
    weights: Weights
    kind: str = "layer"
    registered: str | None = None
    live: Any = None
    network: Callable[[], Network] | None = None
    module: str | None = None
    seen: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.config.get("name") or self.class_name.lower())

    @property
    def own(self) -> bool:
        """Whether the class is not one of Keras, whatever its name."""
        module = self.module if self.live is None else type(self.live).__module__
        return module is not None and module.partition(".")[0] != "keras"

    def __str__(self) -> str:
        return f"Layer {self.name!r} ({self.class_name})"

    def __getitem__(self, key: str) -> Any:
        """A value of the config, marked as taken."""
        self.seen.add(key)
        if key not in self.config:
            raise UnsupportedAttribute(
                f"{self} has no {key!r} in its config: it was made by a Keras version whose layers are not known here.", key
            )
        return self.config[key]

    def get(self, key: str, default: Any = None) -> Any:
        """A value of the config, or a default where this version of Keras does not have it."""
        self.seen.add(key)
        return self.config.get(key, default)

    def waive(self, *keys: str) -> None:
        """State that these keys do not change the output."""
        self.seen.update(keys)

    def demand(self, key: str, *allowed: Any, instead: str) -> Any:
        """Take a value of which only some can be exported; `instead` says why, or what to do."""
        value = self.get(key, allowed[0])
        if not any(value is a or (type(value) is type(a) and value == a) for a in allowed):
            raise self.refuse(key, f"is {value!r}, which cannot be exported: {instead}")
        return value

    def refuse(self, key: str, why: str) -> UnsupportedAttribute:
        """The error for a value that cannot be exported (raise it)."""
        return UnsupportedAttribute(f"{self}: {key} {why}", key)

    def take(self, *names: str) -> list[Array]:
        """The layer's own weights, in order of their creation."""
        try:
            return self.weights.take(names)
        except KeyError as error:
            raise UnsupportedModel(
                f"{self} lacks the weights {', '.join(names)} ({error.args[0]}): build the model, or load its weights, first."
            ) from None

    def child(self, config: Mapping[str, Any], attribute: str) -> Layer:
        """A layer inside this one, from its serialized config."""
        inner = config["config"]
        return Layer(
            config["class_name"],
            inner,
            self.weights.child(attribute, str(inner.get("name", attribute))),
            registered=config.get("registered_name"),
            live=getattr(self.live, attribute, None),
            module=config.get("module"),
        )

    def children(self, configs: Sequence[Mapping[str, Any]], attribute: str) -> list[Layer]:
        """The layers in a list inside this one."""
        keys = container_keys([config["class_name"] for config in configs])
        live = getattr(self.live, attribute, [None] * len(configs))
        made = []
        for i, (config, key) in enumerate(zip(configs, keys, strict=True)):
            inner = config["config"]
            weights = self.weights.item(attribute, i, key, str(inner.get("name", key)))
            registered, module = config.get("registered_name"), config.get("module")
            made.append(Layer(config["class_name"], inner, weights, registered=registered, live=live[i], module=module))
        return made

    def part(self, attribute: str, name: str, *variables: str) -> list[Array]:
        """The weights of a layer inside this one that has no config of its own."""
        try:
            return self.weights.child(attribute, name).take(variables)
        except KeyError as error:
            raise UnsupportedModel(f"{self} lacks the weights of its {name} ({error.args[0]}).") from None

    @property
    def dtype(self) -> str:
        """ "f32" or "f64": the dtype in which the layer computes."""
        policy = self.config.get("dtype")
        name = policy["config"]["name"] if isinstance(policy, Mapping) else policy
        known = {None: "f32", "float32": "f32", "float64": "f64"}
        if name not in known:
            raise self.refuse("dtype", f"is {name!r}: layers that compute in float32 or float64 are known.")
        return known[name]

    def close(self) -> None:
        """Refuse a key of the config that was neither taken nor waived."""
        left = [key for key in self.config if key not in self.seen | ALWAYS_WAIVED and not key.endswith(WAIVED_ENDS)]
        for key in sorted(left):
            if key == "quantization_config" and self.config[key] is None:
                continue
            raise UnsupportedAttribute(
                f"{self} has {key}={self.config[key]!r} in its config, and no step is known to express it, "
                "so the export could be wrong.",
                key,
            )


@dataclass(frozen=True)
class Ref:
    """A tensor between calls, by a key that is unique in its network."""

    key: Hashable


@dataclass(frozen=True)
class Call:
    """One use of a layer: its arguments hold `Ref`s where tensors are; outputs are the keys of what it gives, flattened."""

    layer: Layer
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    outputs: Sequence[Hashable]


@dataclass(frozen=True)
class Source:
    """One input of a network: its key, its name, its shape without the batch (None: any length), its Keras dtype."""

    key: Hashable
    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class Network:
    """A model: its inputs flattened, its calls in the order in which Keras makes them, the structures it takes and gives.

    intake and outputs are nested lists, tuples and dicts of `Ref`s, as the model is called and as it answers.
    """

    name: str
    inputs: Sequence[Source]
    intake: Any
    calls: Sequence[Call]
    outputs: Any
    output_names: Sequence[str] = ()


def flatten(tree: Any) -> Iterator[Any]:
    """The leaves of nested lists, tuples and dicts, in Keras's order: dicts by sorted key.

    >>> list(flatten({"b": [1, 2], "a": 3}))
    [3, 1, 2]
    """
    if isinstance(tree, Mapping):
        for key in sorted(tree):
            yield from flatten(tree[key])
    elif isinstance(tree, (list, tuple)):
        for part in tree:
            yield from flatten(part)
    else:
        yield tree


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same nested structure with every leaf replaced.

    >>> mapped(lambda leaf: leaf + 1, {"a": [1, 2]})
    {'a': [2, 3]}
    """
    if isinstance(tree, Mapping):
        return {key: mapped(function, part) for key, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        return (
            type(tree)([mapped(function, part) for part in tree])
            if type(tree) in (list, tuple)
            else [mapped(function, part) for part in tree]
        )
    return function(tree)
