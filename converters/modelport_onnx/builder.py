"""A small ONNX graph builder: values with operators, so that a translation reads like the formula it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from modelport.graph import DTYPES, FLOATS, INTEGERS
from modelport.ops.base import dtype_name

from . import wire
from .targets import Target

__all__ = ["NULL", "Builder", "Value"]

Array = np.ndarray[Any, np.dtype[Any]]
Number = float | int | bool
Shape = Sequence[int | str | None] | None

#: ONNX strings have no null. U+FDD0 is a noncharacter that Unicode reserves for internal use: no text contains it.
NULL = "\ufdd0null"
ML = "ai.onnx.ml"
BATCH = "N"


@dataclass(frozen=True)
class Value:
    """A tensor of the ONNX graph under construction.

    `shape` is the row shape (None for intermediate results, which may have any); `nan_free` says that no float in it can be NaN,
    `bounds` that every integer lies between the two, ends included, `number` what a float constant of one element is; `free`
    that `shape` is only an example (see `lengths`). `fixed` is what every row holds; such a value is no tensor yet, see
    `Builder.whole` and `Builder.row`.
    """

    builder: Builder = field(repr=False)
    name: str
    dtype: str
    shape: tuple[int, ...] | None = None
    nan_free: bool = False
    bounds: tuple[int, int] | None = None
    number: float | None = None
    free: bool = False
    fixed: Array | None = field(default=None, compare=False, repr=False)

    def __add__(self, other: Operand) -> Value:
        return self.builder.op("Add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return self.builder.op("Add", self.builder.lift(other, self.dtype), self)

    def __sub__(self, other: Operand) -> Value:
        return self.builder.op("Sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self.builder.op("Sub", self.builder.lift(other, self.dtype), self)

    def __mul__(self, other: Operand) -> Value:
        return self.builder.op("Mul", self, other)

    def __rmul__(self, other: Operand) -> Value:
        return self.builder.op("Mul", self.builder.lift(other, self.dtype), self)

    def __truediv__(self, other: Operand) -> Value:
        return self.builder.op("Div", self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        if isinstance(other, float) and other == 1.0:  # onnxruntime turns Div(1, x) * y into y / x, which rounds otherwise
            return self.builder.op("Reciprocal", self)
        return self.builder.op("Div", self.builder.lift(other, self.dtype), self)

    def __neg__(self) -> Value:
        return self.builder.op("Neg", self)

    def __lt__(self, other: Value | float) -> Value:
        return self.builder.op("Less", self, other, dtype="bool")

    def __le__(self, other: Value | float) -> Value:
        return self.builder.op("LessOrEqual", self, other, dtype="bool")

    def __gt__(self, other: Value | float) -> Value:
        return self.builder.op("Greater", self, other, dtype="bool")

    def __ge__(self, other: Value | float) -> Value:
        return self.builder.op("GreaterOrEqual", self, other, dtype="bool")

    def __and__(self, other: Value) -> Value:
        return self.builder.op("And", self, other)

    def __or__(self, other: Value) -> Value:
        return self.builder.op("Or", self, other)

    def __xor__(self, other: Value) -> Value:
        return self.builder.op("Xor", self, other)

    def __invert__(self) -> Value:
        return self.builder.op("Not", self)

    def equals(self, other: Operand) -> Value:
        """Element by element; NaN is unequal to everything."""
        return self.builder.op("Equal", self, other, dtype="bool")

    def is_nan(self) -> Value:
        """True where NaN."""
        return self.builder.op("IsNaN", self, dtype="bool")

    def abs(self) -> Value:
        """Magnitude."""
        return self.builder.op("Abs", self)

    def sqrt(self) -> Value:
        """Square root; see Target.full_range. That of a float32, taken in f64 and rounded, is the correctly rounded one."""
        if self.dtype == "f32" and not self.builder.target.full_range:
            return self.cast("f64").sqrt().cast("f32")
        return self.builder.op("Sqrt", self)

    def exp(self) -> Value:
        """Exponential; see Target.full_range."""
        result = self.builder.op("Exp", self)
        return result if self.builder.target.full_range else (self < -745.2).where(0.0, result)

    def log(self) -> Value:
        """Natural logarithm; see Target.full_range."""
        result = self.builder.op("Log", self)
        if self.builder.target.full_range:
            return result
        small = (self > 0.0) & (self < float(np.finfo(np.float64).tiny))
        return small.where(self.builder.op("Log", self * 2.0**60) - 60 * float(np.log(2.0)), result)

    def cast(self, dtype: str) -> Value:
        """The value in another dtype; itself when it has it already."""
        if dtype == self.dtype:
            return self
        result = self.builder.op("Cast", self, dtype=dtype, to=wire.ELEMENT_TYPES[dtype])
        exact = self.dtype in INTEGERS and dtype in INTEGERS
        bounds = self.bounds if exact else None
        return replace(result, shape=self.shape, nan_free=self.nan_free, bounds=bounds, free=self.free)

    def where(self, yes: Operand, no: Operand) -> Value:
        """`yes` where this bool holds, else `no`; a number takes the other's dtype, or f64."""
        b = self.builder
        dtype = next((v.dtype for v in (yes, no) if isinstance(v, Value)), "f64")
        yes, no = b.lift(yes, dtype), b.lift(no, dtype)
        if yes.dtype == "bool":  # onnxruntime has no Where for bool
            return (self & yes) | (~self & no)
        if yes.dtype in ("i16", "i8", "u32", "u16"):  # nor, in every release, for these
            return self.where(yes.cast("i64"), no.cast("i64")).cast(yes.dtype)
        return b.op("Where", self, yes, no, dtype=yes.dtype)

    def gather(self, indices: Value | Array, axis: int = 0) -> Value:
        """Slices along an axis by index."""
        return self.builder.op("Gather", self, indices, axis=axis)

    def reduce(self, kind: str, axes: Sequence[int] | None, keep: bool = False) -> Value:
        """Sum or Max over axes; over all of them when None."""
        arguments = [] if axes is None else [np.array(axes, dtype=np.int64)]
        return self.builder.op(f"Reduce{kind}", self, *arguments, keepdims=int(keep))

    def reshape(self, *shape: int) -> Value:
        """0 keeps a dimension, -1 takes what is left."""
        return self.builder.op("Reshape", self, np.array(shape, dtype=np.int64))

    def unsqueeze(self, *axes: int) -> Value:
        """New axes of length 1."""
        return self.builder.op("Unsqueeze", self, np.array(axes, dtype=np.int64))

    def squeeze(self, *axes: int) -> Value:
        """Without axes of length 1."""
        return self.builder.op("Squeeze", self, np.array(axes, dtype=np.int64))

    def transpose(self, *order: int) -> Value:
        """Axes in another order."""
        return self.builder.op("Transpose", self, perm=wire.Ints(np.array(order)))

    def cumulative_sum(self, axis: int) -> Value:
        """Running sums in ascending order: the last one is the sum that a plain loop gives, in every bit."""
        return self.builder.op("CumSum", self, np.array(axis, dtype=np.int64))

    def matrix(self) -> Value:
        """Rows as [N, width]: rank 0 becomes one column."""
        if self.shape == ():
            return replace(self.unsqueeze(1), shape=(1,), nan_free=self.nan_free, bounds=self.bounds, free=self.free)
        return self


Operand = Value | Array | Number


class Builder:
    """Collects nodes and initializers; names are unique and the result is the same for the same calls.

    `net` says that the model is a neural net: what it computes in f32 is left to the runtime's own operators of f32. In other
    models f32 is what is rounded to, and sums and functions are computed in f64. `batch` is the name of the number of rows.
    """

    def __init__(self, target: Target, reserved: Iterable[str], net: bool = False, lengths: Iterable[str] = ()) -> None:
        self.target = target
        self.net = net
        self.batch = BATCH
        while self.batch in set(lengths):
            self.batch += "_rows"
        self.scope = ""
        self.widest = 1
        self._names = set(reserved)
        self._nodes: list[bytes] = []
        self._initializers: dict[str, bytes] = {}
        self._read: set[str] = set()
        self._constants: dict[tuple[Any, ...], Value] = {}
        self._anchor: Value | None = None
        self._shared: dict[str, Value] = {}
        self._outer = self._nodes

    # --- names and constants --------------------------------------------------------------------------------------------------

    def unique(self, wanted: str) -> str:
        """`wanted`, or it with a number when it is taken."""
        name, number = wanted, 1
        while name in self._names or not name:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name

    def constant(self, array: Array, dtype: str | None = None) -> Value:
        """An initializer; missing strings become NULL. Small ones are shared."""
        array = np.asarray(array)
        dtype = dtype or dtype_name(array)
        if dtype == "str":
            array = np.array([NULL if s is None else s for s in array.ravel().tolist()], dtype=object).reshape(array.shape)
            content: Any = tuple(array.ravel().tolist())
        else:
            array = np.asarray(array, dtype=DTYPES[dtype])
            content = array.tobytes() if array.size <= 16 else None
        key = (dtype, array.shape, content)
        if content is not None and key in self._constants:
            return self._constants[key]
        name = self.unique(f"{self.scope}/constant" if self.scope else "constant")
        self._initializers[name] = wire.tensor(array, name)
        nan_free = dtype in FLOATS and not np.isnan(array).any()
        bounds = (int(array.min()), int(array.max())) if dtype in INTEGERS and array.size else None
        number = float(array.reshape(())) if dtype in FLOATS and array.size == 1 else None
        value = Value(self, name, dtype, None, bool(nan_free), bounds, number)
        if content is not None:
            self._constants[key] = value
        return value

    def lift(self, operand: Operand, dtype: str) -> Value:
        """A value as it is; a number or array as a constant of `dtype`."""
        if isinstance(operand, Value):
            return operand
        if isinstance(operand, np.ndarray):
            return self.constant(operand)
        return self.constant(np.array(operand, dtype=DTYPES[dtype]), dtype)

    # --- nodes ----------------------------------------------------------------------------------------------------------------

    def op(
        self, kind: str, *inputs: Operand | None, dtype: str | None = None, label: str = "", domain: str = "", **attributes: Any
    ) -> Value:
        """One node with one output, of the first input's dtype unless `dtype` says otherwise; `label` is the node's name."""
        return self.ops(kind, *inputs, dtypes=(dtype,), label=label, domain=domain, **attributes)[0]

    def ops(
        self,
        kind: str,
        *inputs: Operand | None,
        dtypes: Sequence[str | None],
        label: str = "",
        domain: str = "",
        **attributes: Any,
    ) -> list[Value]:
        """One node with an output per entry of `dtypes`; an input that is None is left out."""
        first = next((i for i in inputs if isinstance(i, Value)), None)
        base = first.dtype if first is not None else "f64"
        given = list(inputs)
        while given and given[-1] is None:  # onnxruntime crashes on some operators where the last input has an empty name
            given.pop()
        values = ["" if i is None else self._opaque(kind, self.lift(i, base)).name for i in given]
        self._read.update(values)
        names = [self.unique(f"{self.scope}/{kind}" if self.scope else kind) for _ in dtypes]
        title = self.unique(label) if label else names[0]
        self._nodes.append(wire.node(kind, values, names, title, domain, attributes))
        return [Value(self, name, dtype or base) for name, dtype in zip(names, dtypes, strict=True)]

    def _opaque(self, kind: str, value: Value) -> Value:
        """A constant that onnxruntime's optimizer takes for 0 or 1 (within 1e-8, or 1e-5) and drops, hidden from it."""
        neutral = {"Add": -0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}.get(kind)
        if neutral is None or value.number is None or not abs(value.number - neutral) < 1e-4:
            return value
        if value.number == neutral and math.copysign(1.0, value.number) == math.copysign(1.0, neutral):
            return value  # 0.0 is not neutral in a sum: -0.0 + 0.0 is 0.0
        first = self.once("zero", lambda: self.rows() - self.rows())
        return self.constant(np.array([value.number], dtype=DTYPES[value.dtype])).gather(first)

    def once(self, key: str, make: Callable[[], Value]) -> Value:
        """A value made at its first use, in the outer graph, and shared."""
        if key not in self._shared:
            inner, self._nodes = self._nodes, self._outer
            self._shared[key] = make()
            self._nodes = inner
        return self._shared[key]

    def rename(self, value: Value, name: str) -> Value:
        """The value under a given name (which must be reserved already)."""
        self._read.add(value.name)
        self._nodes.append(wire.node("Identity", [value.name], [name], self.unique(f"{name}/Identity"), "", {}))
        return replace(value, name=name)

    def body(
        self,
        inputs: Sequence[tuple[str, str, Shape]],
        make: Callable[[list[Value]], Sequence[Value]],
        shapes: Sequence[Shape] = (),
    ) -> wire.Graph:
        """A subgraph for Scan and Loop: inputs are (hint, dtype, whole shape); `make` gives its outputs from them.

        Constants made inside live in the outer graph. `shapes` are those of the outputs, where the runtime could not infer them.
        """
        outer, self._nodes = self._nodes, []
        values = [Value(self, self.unique(f"{self.scope}/{hint}"), dtype) for hint, dtype, _ in inputs]
        results = [self.op("Identity", result) for result in make(values)]
        nodes, self._nodes = self._nodes, outer
        return wire.graph(
            self.unique(f"{self.scope}/body"),
            nodes,
            [wire.value_info(v.name, v.dtype, shape) for v, (_, _, shape) in zip(values, inputs, strict=True)],
            [wire.value_info(r.name, r.dtype, shape) for r, shape in zip_longest(results, shapes)],
        )

    def scan(
        self, state: Sequence[tuple[Value, int]], tables: Sequence[Array], step: Callable[..., Sequence[Value]]
    ) -> list[Value]:
        """step(*state, *entries) -> next state, for the entries of tables [k, ...] in ascending order.

        The state are values [N, width] with their widths.
        """
        constants = [self.constant(np.ascontiguousarray(table)) for table in tables]
        shapes: list[Shape] = [[self.batch, width] for _, width in state]
        inputs = [("state", value.dtype, shape) for (value, _), shape in zip(state, shapes, strict=True)]
        inputs += [("entry", c.dtype, list(table.shape[1:])) for c, table in zip(constants, tables, strict=True)]
        graph = self.body(inputs, lambda values: step(*values), shapes)
        values, dtypes = [value for value, _ in state], [value.dtype for value, _ in state]
        return self.ops("Scan", *values, *constants, dtypes=dtypes, body=graph, num_scan_inputs=len(constants))

    # --- pieces that several translations share -------------------------------------------------------------------------------

    def anchor(self, value: Value) -> None:
        """Take the number of rows from this graph input."""
        self._anchor = value

    def rows(self) -> Value:
        """The number of rows as an i64 tensor [1]."""
        anchor = self._anchor
        assert anchor is not None
        return self.once("rows", lambda: self.op("Shape", anchor, dtype="i64", start=0, end=1))

    def filled(self, width: int, number: float) -> Value:
        """[N, width] of one f64 number."""
        shape = self.concat([self.rows(), self.constant(np.array([width], dtype=np.int64))], axis=0)
        return self.op("ConstantOfShape", shape, dtype="f64", value=np.array([number]))

    def repeat_row(self, row: Array) -> Value:
        """[N, *row shape] of one row of any dtype."""
        zero = np.zeros(1, dtype=np.int64)
        zeros = self.once("zeros", lambda: self.op("ConstantOfShape", self.rows(), dtype="i64", value=zero))
        return self.pick(np.asarray(row)[None], zeros)

    def row(self, value: Value) -> Value:
        """A value for broadcasting against others: what every row holds stands there once, as [1, *row shape]."""
        if value.fixed is None:
            return value
        one = self.constant(value.fixed[None])
        return replace(one, shape=value.shape, nan_free=value.nan_free, bounds=value.bounds)

    def whole(self, value: Value) -> Value:
        """A value as a tensor [N, *row shape]."""
        if value.fixed is None:
            return value
        row = value.fixed
        made = self.once(f"whole {id(row)}", lambda: self.repeat_row(row))
        return replace(made, shape=value.shape, nan_free=value.nan_free, bounds=value.bounds)

    def broadcastable(self, *values: Value) -> list[Value]:
        """Values as `row` gives them, at least one of them with the batch axis."""
        if all(value.fixed is not None for value in values):
            return [self.whole(values[0]), *(self.row(value) for value in values[1:])]
        return [self.row(value) for value in values]

    def concat(self, values: Sequence[Value], axis: int = 1) -> Value:
        """Join along an axis."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=axis)

    def widens(self, elements: int) -> None:
        """Note that a row needs so many elements at once: the loader feeds large batches in blocks."""
        self.widest = max(self.widest, elements)

    def refuse(self, bad: Value, value: Value, sentence: str) -> Value:
        """`value`, unless an element of the bool tensor `bad` is true: then running fails with the sentence.

        ONNX has no operator that raises. Gather has to refuse an index outside its table, and the node is named after the reason,
        which is what a runtime reports.
        """
        count = bad.cast("i64").reduce("Sum", None)
        neutral = -0.0 if value.dtype in FLOATS else 0  # x + -0.0 is x in every bit
        nothing = self.constant(np.array([neutral], dtype=DTYPES[value.dtype]))
        added = value + self.op("Gather", nothing, count, label=refusal(self.scope, sentence), axis=0)
        return replace(added, shape=value.shape, nan_free=value.nan_free, bounds=value.bounds, free=value.free)

    def pick(self, table: Array, index: Value, sentence: str = "") -> Value:
        """Rows of a table; an index that is not negative and outside the table makes running fail with the sentence."""
        label = refusal(self.scope, sentence) if sentence else ""
        if table.dtype == object and table.ndim > 1:  # onnxruntime's Gather copies only the first string of a row
            count = math.prod(table.shape[1:])
            index = index.unsqueeze(*range(1, table.ndim)) * count + np.arange(count).reshape(table.shape[1:])
            table = table.ravel()
        return self.op("Gather", self.constant(table), index, label=label, axis=0)

    def finish(self, name: str, inputs: Sequence[bytes], outputs: Sequence[bytes]) -> wire.Graph:
        """The whole graph, encoded, with the initializers that are read."""
        tensors = [tensor for key, tensor in self._initializers.items() if key in self._read]
        return wire.graph(name, self._nodes, inputs, outputs, tensors)


REFUSED = "refused: "


def refusal(scope: str, sentence: str) -> str:
    """The name of a node that fails for a reason; the loader recognises it in the runtime's message."""
    return f"{REFUSED}{sentence} (at step {scope})" if scope else f"{REFUSED}{sentence}"
