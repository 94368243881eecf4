"""Activations: by name, as serialized layers or functions, and as layers of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelport.errors import UnsupportedAttribute, UnsupportedModel

from . import live
from .builder import Value
from .network import Layer
from .registry import LAYERS, keras_layer
from .walking import Walker

__all__ = ["activate", "along", "function", "gate", "softmax"]

#: fn of the ops `lstm`, `gru` and `rnn`, by Keras's name
GATES = {
    **{
        name: name
        for name in ("tanh", "sigmoid", "relu", "hard_sigmoid", "linear", "softsign", "silu", "elu", "selu", "softplus")
    },
    "swish": "silu",
    "gelu": "gelu",
}
#: unary fn
UNARY = {
    **{name: name for name in ("relu", "tanh", "sigmoid", "softplus", "log_sigmoid")},
    "exponential": "exp",
}
#: fn of op `activation`, with its attributes
FUSED: dict[str, tuple[str, dict[str, float]]] = {
    "leaky_relu": ("leaky_relu", {"alpha": 0.2}),
    "elu": ("elu", {}),
    "selu": ("selu", {}),
    "celu": ("celu", {}),
    "gelu": ("gelu", {}),
    "silu": ("silu", {}),
    "swish": ("silu", {}),
    "softsign": ("softsign", {}),
    "mish": ("mish", {}),
    "tanh_shrink": ("tanh_shrink", {}),
    "hard_shrink": ("hard_shrink", {}),
    "soft_shrink": ("soft_shrink", {}),
    "squareplus": ("squareplus", {}),
    "hard_sigmoid": ("hard_sigmoid", {}),
    "hard_silu": ("hard_swish", {}),
    "hard_swish": ("hard_swish", {}),
}


def activate(walker: Walker, layer: Layer, value: Value, key: str = "activation") -> Value:
    """The activation in a layer's config, applied."""
    spec = layer.get(key)
    if spec is None or spec == "linear":
        return value
    if isinstance(spec, str):
        return function(walker, layer, value, spec)
    if isinstance(spec, Mapping):
        name = spec.get("class_name")
        inner = spec.get("config")
        if isinstance(inner, Mapping) and name in LAYERS:
            made = Layer(str(name), inner, _NoWeights())
            return walker.layer(made, value)  # type: ignore[no-any-return]
    return _traced(walker, layer, value, key)


class _NoWeights:
    """An activation that is a layer has no weights here."""

    def __getattr__(self, name: str) -> Any:
        raise UnsupportedModel("An activation with weights of its own is not read: use it as a layer.")


def _traced(walker: Walker, layer: Layer, value: Value, key: str) -> Value:
    """A function of the user's own, called once with a Keras tensor."""
    found = getattr(layer.live, key, None)
    if not callable(found):
        raise layer.refuse(key, "is a function of its own, whose code the file does not hold: hand the model over from Python.")
    dtype = {"f32": "float32", "f64": "float64"}.get(value.dtype, "float32")
    network = live.traced(found, [(value.shape, dtype)], f"{layer}: its {key}")
    return walker.network(network, [value])  # type: ignore[no-any-return]


def gate(layer: Layer, key: str) -> str:
    """The activation of a recurrent layer, as the ops know it."""
    spec = layer[key]
    if not isinstance(spec, str) or spec not in GATES:
        raise layer.refuse(key, f"is {spec!r}; recurrent layers have {', '.join(GATES)}.")
    return GATES[spec]


def function(walker: Walker, layer: Layer, value: Value, name: str, **arguments: Any) -> Value:
    """An activation by Keras's name of it, with arguments where they are not the defaults."""
    if value.dtype not in ("f32", "f64"):
        value = walker.floats(layer, value)
    net = walker.net
    if name in SPECIAL:
        return SPECIAL[name](walker, value, **arguments)
    if name in UNARY and not arguments:
        return net.apply(value, "unary", fn=UNARY[name])
    if name in FUSED:
        fn, attributes = FUSED[name]
        return net.apply(value, "activation", fn=fn, **{**attributes, **arguments})
    raise UnsupportedAttribute(f"{layer}: the activation {name!r} is not known, or no step expresses it.", "activation")


def along(value: Value, axis: int) -> tuple[str, tuple[int, ...]]:
    """The value of the graph with one axis last, and that order; axis counts the batch."""
    axis = axis - 1 if axis > 0 else axis % value.rank
    order = (*(k for k in range(value.rank) if k != axis), axis)
    return value.form(order), order


def softmax(walker: Walker, value: Value, axis: Any = -1, op: str = "softmax") -> Value:
    """softmax or log_softmax along one axis, or several."""
    axes = [axis] if isinstance(axis, int) else list(axis)
    if len(axes) == 1:
        if axes[0] == 0 or -axes[0] > value.rank:
            raise UnsupportedModel("A softmax over the batch mixes rows, which no step does.")
        name, order = along(value, axes[0])
        return walker.net.value(walker.net.add(op, name), order)
    net = walker.net
    places = [k - 1 if k > 0 else k % value.rank for k in axes]
    order = (*(k for k in range(value.rank) if k not in places), *places)
    name = value.form(order)
    lead = net.kept(name)[: value.rank - len(places)]
    flat = net.add(op, net.reshape(name, [*lead, -1]))
    kept = [net.near[name].shape[i] for i in range(value.rank)]
    fixed = [net.far[name].shape[i] for i in range(value.rank)]
    ends = list(range(value.rank - len(places), value.rank))
    if sum(kept[i] != fixed[i] for i in ends) > 1:
        raise UnsupportedModel("A softmax over several axes of any length is not read.")
    tail = [-1 if kept[i] != fixed[i] else kept[i] for i in ends]
    return net.value(net.reshape(flat, [*lead, *tail]), order)


def _clipped(low: float, high: float) -> Callable[..., Value]:
    def run(walker: Walker, value: Value) -> Value:
        return walker.net.apply(value, "clip", min_=[low], max_=[high])

    return run


def _sparse_plus(walker: Walker, value: Value) -> Value:
    net = walker.net
    inner = net.apply(net.apply(value, "scale", add=[1.0]), "unary", fn="square")
    inner = net.apply(inner, "scale", mul=[0.25])
    low = net.join("binary", value, net.scalar(-1.0, value), fn="le")
    below = net.join("binary", value, net.scalar(1.0, value), fn="lt")
    middle = net.value(net.add("where", below.form(value.main), inner.form(value.main), value.name), value.main)
    zero = net.constant(0.0, value.dtype)
    return net.value(net.add("where", low.form(value.main), zero, middle.name), value.main)


def _sparse_sigmoid(walker: Walker, value: Value) -> Value:
    net = walker.net
    half = net.apply(net.apply(value, "scale", add=[1.0]), "scale", mul=[0.5])
    return net.apply(half, "clip", min_=[0.0], max_=[1.0])


def _glu(walker: Walker, value: Value, axis: int = -1) -> Value:
    net = walker.net
    name, order = along(value, axis)
    place = value.rank - 1
    half = net.near[name].shape[place] // 2
    left = net.add("slice", name, axes=[place], starts=[0], stops=[half])
    right = net.add("slice", name, axes=[place], starts=[half], stops=[2 * half])
    return net.value(net.add("binary", left, net.add("unary", right, fn="sigmoid"), fn="mul"), order)


def _threshold(walker: Walker, value: Value, threshold: float, default_value: float) -> Value:
    return walker.net.apply(value, "activation", fn="threshold", alpha=threshold, beta=default_value)


def relu(
    walker: Walker, value: Value, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Value:
    """relu with all of Keras's arguments."""
    net = walker.net
    slope, limit, start = float(negative_slope or 0.0), max_value, float(threshold or 0.0)
    if slope and limit is None and not start:
        return net.apply(value, "activation", fn="leaky_relu", alpha=slope)
    if start:
        made = net.apply(value, "activation", fn="threshold", alpha=start, beta=0.0)
    else:
        made = net.apply(value, "unary", fn="relu")
    if limit is not None:
        made = net.apply(made, "clip", min_=[0.0], max_=[float(limit)])
    if slope:
        low = net.apply(value, "scale", mul=[-1.0], add=[start] if start else None)
        low = net.apply(net.apply(low, "unary", fn="relu"), "scale", mul=[slope])
        made = net.join("binary", made, low, fn="sub")
    return made


def _gelu(walker: Walker, value: Value, approximate: bool = False) -> Value:
    return walker.net.apply(value, "activation", fn="gelu_tanh" if approximate else "gelu")


SPECIAL: dict[str, Callable[..., Value]] = {
    "linear": lambda walker, value: value,
    "softmax": softmax,
    "log_softmax": lambda walker, value, axis=-1: softmax(walker, value, axis, "log_softmax"),
    "relu": relu,
    "relu6": _clipped(0.0, 6.0),
    "hard_tanh": _clipped(-1.0, 1.0),
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
    "glu": _glu,
    "threshold": _threshold,
    "gelu": _gelu,
}


# --- layers -------------------------------------------------------------------------------------------------------------------


@keras_layer("Activation")
def activation(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.tensor(inputs)
    if layer.get("activation") in (None, "linear"):
        return value
    return activate(walker, layer, walker.floats(layer, value))


@keras_layer("ReLU")
def relu_layer(walker: Walker, layer: Layer, inputs: Any) -> Value:
    limit, slope, start = layer["max_value"], layer["negative_slope"], layer["threshold"]
    return relu(walker, walker.floats(layer, inputs), slope, limit, start)


@keras_layer("LeakyReLU")
def leaky_relu(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return walker.net.apply(walker.floats(layer, inputs), "activation", fn="leaky_relu", alpha=layer["negative_slope"])


@keras_layer("ELU")
def elu(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return walker.net.apply(walker.floats(layer, inputs), "activation", fn="elu", alpha=layer["alpha"])


@keras_layer("PReLU")
def prelu(walker: Walker, layer: Layer, inputs: Any) -> Value:
    value = walker.floats(layer, inputs)
    layer.waive("shared_axes")  # the weight has length 1 along them
    (alpha,) = layer.take("alpha")
    if alpha.ndim == value.rank:
        alpha = alpha.transpose(value.main)
    return walker.net.apply(value, "prelu", slope=alpha)


@keras_layer("Softmax")
def softmax_layer(walker: Walker, layer: Layer, inputs: Any, mask: Any = None) -> Value:
    value = walker.floats(layer, inputs)
    axis = layer["axis"]
    if mask is None:
        return softmax(walker, value, axis)
    net = walker.net
    kept = walker.tensor(mask, "bool")
    if kept.rank != value.rank:
        raise UnsupportedAttribute(f"{layer} has a mask of {kept.rank} axes for rows of {value.rank}, which is not read.", "mask")
    low = net.constant(-1e9, value.dtype)
    moved = net.value(net.add("where", kept.plain, value.plain, low))
    made = softmax(walker, moved, axis)
    return net.value(net.add("where", kept.plain, made.plain, net.constant(0.0, value.dtype)))
