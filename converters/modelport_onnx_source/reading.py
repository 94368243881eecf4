"""An ONNX model as a Graph."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelport.errors import GraphError, InputError, UnsupportedModel
from modelport.graph import Graph, Input

from .assembling import Wanted, assembled
from .lengths import Dim, named, same
from .nodes import ADVICE
from .pointwise import cast
from .translating import Translator
from .values import NARROW, Builder, Known, Traced

__all__ = ["Declared", "batch_axes", "graph_of", "initialized", "opset_of"]

CODES = {
    1: "f32",
    2: "u8",
    3: "i8",
    4: "u16",
    5: "i16",
    6: "i32",
    7: "i64",
    8: "str",
    9: "bool",
    10: "f16",
    11: "f64",
    12: "u32",
    13: "u64",
    16: "bf16",
}
OLDEST = 7


@dataclass(frozen=True)
class Declared:
    """What an input of the model is fed: its name in the model, the row shape with names of lengths, the axis of the batch."""

    name: str
    row: tuple[int | str, ...]
    dtype: str
    batch: int = 0


def opset_of(model: Any) -> int:
    """The version of ai.onnx a model uses; UnsupportedModel for one that is too old, or for classical models' operators."""
    found = {o.domain: o.version for o in model.opset_import}
    version = found.get("", found.get("ai.onnx", 0))
    if version < OLDEST:
        raise UnsupportedModel(
            f"The ONNX model uses opset {version}; {OLDEST} is the oldest that is read: convert it with onnx.version_converter."
        )
    return int(version)


def initialized(model: Any) -> set[str]:
    """The inputs of a model that have a value in it, as old files declare all weights."""
    return {tensor.name for tensor in model.graph.initializer}


def batch_axes(model: Any, given: Mapping[str, int]) -> dict[str, int]:
    """The batch axis of every output: the one whose name the batch of an input has, else the first."""
    symbols = set()
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        axis = given.get(value.name, 0)
        if axis < len(dims) and dims[axis].dim_param:
            symbols.add(dims[axis].dim_param)
    found = {}
    for value in model.graph.output:
        dims = [d.dim_param for d in value.type.tensor_type.shape.dim]
        matching = [k for k, d in enumerate(dims) if d in symbols]
        found[value.name] = matching[0] if matching else 0
    return found


def graph_of(
    model: Any,
    inputs: Sequence[Declared],
    lengths: Mapping[str, int],
    names: Mapping[str, str] | None = None,
    title: str | None = None,
) -> Graph:
    """The model as a graph for rows of the declared inputs; `names` maps outputs to what they are called in the graph.

    Raises UnsupportedModel or UnsupportedAttribute for what no step expresses.
    """
    if model.functions:
        model = importlib.import_module("onnx.inliner").inline_local_functions(model)
    b = Builder()
    translator = Translator(b, opset_of(model))
    scope = translator.scope_of(model.graph, {})
    declared = []
    for value in inputs:
        declared.append(Input(value.name, "i64" if value.dtype in NARROW else value.dtype, value.row))
        scope[value.name] = _input(b, value)
    missing = [v.name for v in model.graph.input if v.name not in scope]
    if missing:
        raise InputError(f"The sample has no input {missing[0]!r}, which the ONNX model needs.")
    outputs = [value.name for value in model.graph.output]
    translator.nodes(model.graph.node, scope, outputs)
    axes = batch_axes(model, {value.name: value.batch for value in inputs})
    wanted = []
    for name in outputs:
        found = scope.get(name)
        if not isinstance(found, (Known, Traced)):
            raise UnsupportedModel(f"The output {name!r} of the ONNX model is a sequence, not a tensor. {ADVICE}")
        label = (names or {}).get(name, name)
        wanted.append(_output(b, label, found, axes[name]))
    try:
        return assembled(b, declared, wanted, title, lengths)
    except GraphError as error:
        raise UnsupportedModel(f"The ONNX model does what a graph does not: {error}") from error


def _input(b: Builder, value: Declared) -> Traced:
    if value.dtype not in ("f32", "f64", "i64", "bool", *NARROW):
        raise UnsupportedModel(
            f"The input {value.name!r} of the ONNX model is {value.dtype}: float32, float64, integers and booleans are read."
        )
    row: tuple[Dim, ...] = tuple(named(n) if isinstance(n, str) else int(n) for n in value.row)
    held = "i64" if value.dtype in NARROW else value.dtype
    b.input(value.name, held, row)
    shape = (*row[: value.batch], 1, *row[value.batch :])
    traced = Traced(value.name, row, shape, held)
    b.hint = f"{value.name} {value.dtype}"
    return b.traced(cast(b, traced, value.dtype))


def _output(b: Builder, name: str, value: Known | Traced, batch: int) -> Wanted:
    b.hint = name
    found = b.traced(value)
    if batch >= len(found.shape) or not same(found.shape[batch], 1):
        raise UnsupportedModel(
            f"The output {name!r} of the ONNX model has the shape {list(found.shape)} for one row, and no axis for the batch: "
            "an artifact answers row by row."
        )
    row = found.shape[:batch] + found.shape[batch + 1 :]
    source = b.form(found, row, name)
    if found.dtype in NARROW:
        source = b.add("cast", [source], found.dtype, row, to=found.dtype)
    return Wanted(name, source, found.dtype)
