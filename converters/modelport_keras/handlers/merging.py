"""Layers that merge several tensors into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelport.errors import UnsupportedModel

from ..builder import Value
from ..network import Layer
from ..registry import keras_layer
from ..walking import Walker
from .core import any_true


def _any_mask(walker: Walker, layer: Layer, bound: Mapping[str, Any], previous: Any) -> Any:
    """Keras joins the masks of all with or, where all have one."""
    masks = list(previous) if isinstance(previous, (list, tuple)) else [previous]
    if any(mask is None for mask in masks):
        return None
    made = masks[0]
    for mask in masks[1:]:
        made = walker.net.join("binary", made, mask, fn="or")
    return made


def _merged(walker: Walker, layer: Layer, inputs: Any, fn: str) -> Value:
    """All in the layer's dtype; those of fewer axes get axes of length 1 behind the batch."""
    values = [walker.floats(layer, value) for value in inputs]
    rank = max(value.rank for value in values)
    made = _raised(walker, values[0], rank)
    for value in values[1:]:
        made = walker.net.join("binary", made, _raised(walker, value, rank), fn=fn)
    return made


def _raised(walker: Walker, value: Value, rank: int) -> Value:
    if value.rank == rank:
        return value
    net = walker.net
    return net.value(net.reshape(value.plain, [*([1] * (rank - value.rank)), *net.kept(value.plain)]))


@keras_layer("Add", masking=_any_mask)
def add(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _merged(walker, layer, inputs, "add")


@keras_layer("Subtract", masking=_any_mask)
def subtract(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _merged(walker, layer, inputs, "sub")


def _masks(walker: Walker, layer: Layer, values: Sequence[Value]) -> list[str | None]:
    """The masks of values as they meet them; those of values that get further axes are lost in Keras."""
    rank = max(value.rank for value in values)
    masks: list[str | None] = []
    for value in values:
        if value.mask is None or value.rank != rank:
            masks.append(None)
            continue
        if value.mask.rank != value.rank - 1:
            raise UnsupportedModel(f"{layer} is given {value} with a mask of {value.mask.rank} axes, which is not read.")
        masks.append(walker.net.insert(value.mask.plain, -1))
    return masks


def _either(walker: Walker, left: str | None, right: str | None) -> str | None:
    return None if left is None or right is None else walker.net.add("binary", left, right, fn="or")


def _with_mask(walker: Walker, name: str, mask: str | None) -> Value:
    made = walker.net.value(name)
    if mask is not None:
        made.mask = walker.net.value(walker.net.drop(mask, len(walker.net.near[mask].shape) - 1))
    return made


@keras_layer("Multiply", masking=_any_mask)
def multiply(walker: Walker, layer: Layer, inputs: Any) -> Value:
    values = [walker.floats(layer, value) for value in inputs]
    masks = _masks(walker, layer, values)
    if all(mask is None for mask in masks):
        return _merged(walker, layer, inputs, "mul")
    net, rank = walker.net, max(value.rank for value in values)
    one = net.constant(1.0, values[0].dtype)
    made, whole = "", masks[0]
    for i, (value, mask) in enumerate(zip(values, masks, strict=True)):
        x = _raised(walker, value, rank).plain
        x = x if mask is None else net.add("where", mask, x, one)  # Keras multiplies by 1 where a value is masked
        made = x if i == 0 else net.add("binary", made, x, fn="mul")
        whole = mask if i == 0 else _either(walker, whole, mask)
    if whole is not None:
        made = net.add("where", whole, made, net.constant(0.0, values[0].dtype))
    return _with_mask(walker, made, whole)


def _extreme(walker: Walker, layer: Layer, inputs: Any, fn: str) -> Value:
    """maximum or minimum; where one value is masked Keras takes the other."""
    values = [walker.floats(layer, value) for value in inputs]
    masks = _masks(walker, layer, values)
    if all(mask is None for mask in masks):
        return _merged(walker, layer, inputs, fn)
    net, rank = walker.net, max(value.rank for value in values)
    made, whole = _raised(walker, values[0], rank).plain, masks[0]
    for value, mask in zip(values[1:], masks[1:], strict=True):
        x = _raised(walker, value, rank).plain
        x = x if mask is None else net.add("where", mask, x, made)
        made = made if whole is None else net.add("where", whole, made, x)
        whole = _either(walker, whole, mask)
        made = net.add("binary", made, x, fn=fn)
    return _with_mask(walker, made, whole)


@keras_layer("Maximum", masking=_any_mask)
def maximum(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _extreme(walker, layer, inputs, "max")


@keras_layer("Minimum", masking=_any_mask)
def minimum(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return _extreme(walker, layer, inputs, "min")


@keras_layer("Average", masking=_any_mask)
def average(walker: Walker, layer: Layer, inputs: Any) -> Value:
    return walker.net.apply(_merged(walker, layer, inputs, "add"), "scale", div=[float(len(inputs))])


def concatenated(walker: Walker, values: Sequence[Value], axis: int) -> Value:
    """Values joined along an axis, the batch not counted; the order in which they are stored is kept where it is shared."""
    net = walker.net
    order = values[0].main
    if any(order not in value.forms for value in values):
        order = tuple(range(values[0].rank))
    if len(values) == 1:
        return values[0]
    return net.value(net.add("concat", *(value.form(order) for value in values), axis=order.index(axis)), order)


def _joined_mask(walker: Walker, layer: Layer, bound: Mapping[str, Any], previous: Any) -> Any:
    inputs = [walker.tensor(value) for value in bound["inputs"]]
    masks = list(previous) if isinstance(previous, (list, tuple)) else [previous]
    if all(mask is None for mask in masks):
        return None
    net = walker.net
    whole = []
    for value, mask in zip(inputs, masks, strict=True):
        if mask is not None and mask.rank >= value.rank:
            whole.append(mask.plain)
            continue
        like = net.add("binary", value.plain, value.plain, fn="eq") if value.dtype != "bool" else value.plain
        if mask is None:
            whole.append(
                net.add("expand", net.constant(True, "bool"), like, shape=[0] * value.rank, copy=list(range(value.rank)))
            )
        else:
            shape, copy = [0] * value.rank, list(range(value.rank))
            whole.append(net.add("expand", net.insert(mask.plain, -1), like, shape=shape, copy=copy))
    axis = int(layer.config["axis"])
    joined = net.add("concat", *whole, axis=axis - 1 if axis > 0 else axis % inputs[0].rank)
    return net.value(any_true(walker, joined, [inputs[0].rank - 1], keep=False))


@keras_layer("Concatenate", masking=_joined_mask)
def concatenate(walker: Walker, layer: Layer, inputs: Any) -> Value:
    values = [walker.tensor(value) for value in inputs]
    kinds = {value.dtype for value in values}
    if len(kinds) > 1 or kinds & {"f32", "f64"}:
        values = [walker.floats(layer, value) for value in values]
    axis = int(layer["axis"])
    if axis == 0:
        raise layer.refuse("axis", "is 0: a step does not mix rows.")
    return concatenated(walker, values, axis - 1 if axis > 0 else axis % values[0].rank)


@keras_layer("Dot", masking=lambda walker, layer, bound, previous: None)
def dot(walker: Walker, layer: Layer, inputs: Any) -> Value:
    net = walker.net
    left, right = (walker.floats(layer, value) for value in inputs)
    axes = layer["axes"]
    one, two = (axes, axes) if isinstance(axes, int) else (int(axes[0]), int(axes[1]))
    places = []
    for value, axis in ((left, one), (right, two)):
        place = axis - 1 if axis > 0 else axis % (value.rank + 1) - 1
        if axis == 0 or not 0 <= place < value.rank:
            raise layer.refuse("axes", f"is {axes}, of which one is no axis of the rows.")
        places.append(place)
    if left.rank > 2 or right.rank > 2:
        raise UnsupportedModel(f"{layer} multiplies rows of {left.rank} and {right.rank} axes; two at most are read.")
    forms = []
    for value, place in ((left, places[0]), (right, places[1])):
        order = (*(k for k in range(value.rank) if k != place), place)
        name = value.form(order)
        if layer["normalize"]:
            length = net.add("reduce", name, fn="l2", axes=[value.rank - 1], keep=True)
            name = net.add("binary", name, net.add("clip", length, min_=[1e-12]), fn="div")
        forms.append(name if value.rank == 2 else net.insert(name, 0))
    made = net.add("matmul", forms[0], net.add("transpose", forms[1], perm=[1, 0]))
    if right.rank == 1:
        made = net.drop(made, 1)
    if left.rank == 1:
        made = net.drop(made, 0)
    if left.rank == 1 and right.rank == 1:
        made = net.reshape(made, [1])
    return net.value(made)
