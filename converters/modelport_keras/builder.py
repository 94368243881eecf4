"""Builds a graph call by call. A `Value` is a Keras tensor: where it is in the graph, in which order of axes, and its mask.

Values in the graph have channels first (docs/format.md), Keras mostly has them last: a value knows in which order its axes are
stored, and is transposed when somebody needs another order, so that transposes that undo each other never arise. Every step is
checked for two choices of the named lengths: a length that is equal in both is fixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelport.errors import GraphError, UnsupportedModel
from modelport.graph import DTYPES, FLOATS, INTEGERS, Input, Step, ValueType
from modelport.ops import OPS, check

from .network import Array

__all__ = ["Builder", "Copy", "Order", "Value"]

Order = tuple[int, ...]


class Copy:
    """An axis of a reshaped value that keeps the length of an axis of the value before."""

    def __init__(self, axis: int) -> None:
        self.axis = axis


class Value:
    """A Keras tensor. `forms` maps orders of its axes to values of the graph; `mask` is what Keras keeps beside it.

    In a form with order o, axis j is axis o[j] of the Keras tensor (the batch not counted).
    """

    def __init__(self, builder: Builder, name: str, order: Order | None = None, mask: Value | None = None) -> None:
        near, far = builder.near[name].shape, builder.far[name].shape
        self.builder = builder
        self.main = tuple(range(len(near))) if order is None else order
        self.forms: dict[Order, str] = {self.main: name}
        self.mask = mask
        shape: list[int | None] = [None] * len(near)
        for axis, a, b in zip(self.main, near, far, strict=True):
            shape[axis] = a if a == b else None
        self.shape = tuple(shape)
        self.dtype = builder.near[name].dtype

    @property
    def rank(self) -> int:
        """Number of axes, the batch not counted."""
        return len(self.shape)

    @property
    def name(self) -> str:
        """The value of the graph in the order in which it was made."""
        return self.forms[self.main]

    @property
    def plain(self) -> str:
        """The value of the graph with its axes in Keras's order."""
        return self.form(tuple(range(self.rank)))

    def form(self, order: Order) -> str:
        """The value of the graph with its axes in a given order."""
        if order not in self.forms:
            perm = [self.main.index(axis) for axis in order]
            self.forms[order] = self.builder.add("transpose", self.name, perm=perm)
        return self.forms[order]

    def first(self, axis: int) -> tuple[str, Order]:
        """The value of the graph with one axis first and the others behind it in their order, and that order."""
        axis %= self.rank
        order = (axis, *(k for k in range(self.rank) if k != axis))
        return self.form(order), order

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


class Builder:
    """Collects inputs and steps. `near` and `far` hold the types of all values for two choices of the named lengths."""

    def __init__(self, inputs: Sequence[Input], near: Mapping[str, int], far: Mapping[str, int]) -> None:
        self.inputs = list(inputs)
        self.steps: list[Step] = []
        self.near: dict[str, ValueType] = {value.name: value.at(near) for value in inputs}
        self.far: dict[str, ValueType] = {value.name: value.at(far) for value in inputs}
        self.scope: list[str] = []
        self._constants: dict[Any, str] = {}

    # --- steps ----------------------------------------------------------------------------------------------------------------

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a step; a trailing _ of an attribute's name is left out, and a value None with it.

        Tensors get the dtype that the op needs, and the step computes in f32 unless it is given f64.
        """
        known = OPS[op].attributes
        given = {key.rstrip("_"): value for key, value in attributes.items() if value is not None}
        if "dtype" in known and "dtype" not in given and inputs:
            given["dtype"] = self.near[inputs[0]].dtype if self.near[inputs[0]].dtype in FLOATS else "f64"
        made = {key: self._attribute(op, key, value, given, inputs) for key, value in given.items()}
        step = Step(op, inputs, self._unique(op), made)
        where = "/".join(self.scope)
        try:
            checked, near = check(step, [self.near[name] for name in inputs])
            far = check(step, [self.far[name] for name in inputs])[1]
        except GraphError as error:
            raise UnsupportedModel(f"Layer {where!r}: {error}") from None
        self.steps.append(checked)
        self.near[step.output], self.far[step.output] = near, far
        return step.output

    def _attribute(self, op: str, key: str, value: Any, given: Mapping[str, Any], inputs: Sequence[str]) -> Any:
        spec = OPS[op].attributes.get(key)
        kind = None if spec is None else spec.kind
        if kind == "float":
            return np.ascontiguousarray(np.asarray(value), dtype=DTYPES[given["dtype"]])
        if kind == "int":
            array = np.asarray(value)
            return array if array.size and array.dtype.kind in "iu" else array.astype(np.int64)
        if kind == "str":
            return np.array(list(value), dtype=object)
        if kind == "number":
            return float(value)
        if kind == "integer":
            return int(value)
        return value

    def _unique(self, op: str) -> str:
        base = "/".join(self.scope) or op
        name, count = base, 1
        while name in self.near:
            count += 1
            name = f"{base}.{op}" if count == 2 else f"{base}.{op}.{count - 1}"
        return name

    def constant(self, array: Any, dtype: str) -> str:
        """A step that gives the same row for every row."""
        held = np.asarray(array, dtype=DTYPES[dtype])
        key = (dtype, held.shape, held.tobytes() if dtype != "str" else tuple(held.ravel().tolist()))
        if key not in self._constants:
            self._constants[key] = self.add("constant", value=held)
        return self._constants[key]

    # --- values ---------------------------------------------------------------------------------------------------------------

    def value(self, name: str, order: Order | None = None) -> Value:
        """The Keras tensor that a value of the graph stands for."""
        return Value(self, name, order)

    def cast(self, value: Value, dtype: str) -> Value:
        """The value in another dtype; the same one when it has it already."""
        if value.dtype == dtype:
            return value
        made = self.value(self.add("cast", value.name, to=dtype), value.main)
        made.mask = value.mask
        return made

    def apply(self, value: Value, op: str, **attributes: Any) -> Value:
        """An op that treats every element alike, in whatever order the axes are stored."""
        return self.value(self.add(op, value.name, **attributes), value.main)

    def join(self, op: str, left: Value, right: Value, **attributes: Any) -> Value:
        """An op of two values, broadcast; the order in which the axes are stored is kept where both agree."""
        order = left.main
        if left.rank == right.rank and (order in right.forms or right.main in left.forms):
            order = order if order in right.forms else right.main
            return self.value(self.add(op, left.form(order), right.form(order), **attributes), order)
        if left.rank == right.rank and left.rank > 1:
            return self.value(self.add(op, left.form(order), right.form(order), **attributes), order)
        if right.rank == 0 or left.rank == 0:
            whole = left if right.rank == 0 else right
            return self.value(self.add(op, left.name, right.name, **attributes), whole.main)
        return self.value(self.add(op, left.plain, right.plain, **attributes))

    def scalar(self, number: Any, like: Value) -> Value:
        """A number as a value of the same dtype."""
        return self.value(self.constant(number, like.dtype))

    def reshape(self, name: str, axes: Sequence[int | Copy]) -> str:
        """A value of the graph with other axes: lengths, `Copy` of an axis, or one -1 for what is left."""
        copies = [axis.axis if isinstance(axis, Copy) else -1 for axis in axes]
        shape = [0 if isinstance(axis, Copy) else int(axis) for axis in axes]
        if self.near[name].shape == tuple(shape) == self.far[name].shape:
            return name
        return self.add("reshape", name, shape=shape, copy=copies if any(c >= 0 for c in copies) else None)

    def kept(self, name: str) -> list[int | Copy]:
        """The axes of a value of the graph, as `reshape` takes them."""
        near, far = self.near[name].shape, self.far[name].shape
        return [a if a == b else Copy(i) for i, (a, b) in enumerate(zip(near, far, strict=True))]

    def insert(self, name: str, axis: int) -> str:
        """A value of the graph with an axis of length 1 put in."""
        axes: list[int | Copy] = self.kept(name)
        axis %= len(axes) + 1
        return self.reshape(name, [*axes[:axis], 1, *axes[axis:]])

    def drop(self, name: str, axis: int) -> str:
        """A value of the graph without an axis of length 1."""
        axes = self.kept(name)
        del axes[axis]
        return self.reshape(name, axes)

    def flip(self, name: str, axis: int) -> str:
        """A value of the graph with an axis reversed."""
        return self.add("slice", name, axes=[axis], starts=[-1], stops=[-(1 << 40)], steps=[-1])

    def whole(self, dtype: str) -> bool:
        """Whether a dtype is one of integers."""
        return dtype in INTEGERS


def as_array(values: Any, dtype: str) -> Array:
    """Numbers in the NumPy dtype of ours."""
    return np.asarray(values, dtype=DTYPES[dtype])
