"""A PyTorch model as a Reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from modelport_onnx_source.reading import Declared, graph_of

from modelport.arrays import Arrays, named_lengths
from modelport.errors import UnsupportedModel
from modelport.graph import Graph, Input, Output, Step
from modelport.reading import Reading
from modelport.sample import Sample

from .calling import Original
from .exporting import exported

__all__ = ["ask_model", "labelled", "read_model"]


def labelled(original: Original, sample: Sample | Arrays, options: Mapping[str, Any]) -> Arrays:
    """The sample with the names of lengths that the user gave."""
    rows = sample if isinstance(sample, Arrays) else original.sample(_matrix(sample))
    given = named_lengths(options.get("lengths"), {name: array.ndim for name, array in rows.values.items()})
    return Arrays(rows.values, given) if given else rows


def _matrix(sample: Sample) -> Any:
    feeds = sample.feeds()
    if sample.kind != "matrix":
        raise UnsupportedModel("A PyTorch model is fed arrays of numbers: hand over an array, a tensor, or a dict of them.")
    return next(iter(feeds.values()))


def read_model(model: Any, sample: Sample | Arrays, options: Mapping[str, Any]) -> Reading:
    """See `modelport_torch.read`."""
    original = Original(model)
    rows = labelled(original, sample, options)
    file = exported(original, rows)
    kinds = {
        "f4": "f32",
        "f8": "f64",
        "i8": "i64",
        "i4": "i32",
        "i2": "i16",
        "i1": "i8",
        "u1": "u8",
        "u2": "u16",
        "u4": "u32",
        "b1": "bool",
    }
    declared = []
    for name, array in rows.values.items():
        labels = rows.names.get(name, (None,) * (array.ndim - 1))
        row = tuple(n if label is None else label for n, label in zip(array.shape[1:], labels, strict=True))
        declared.append(Declared(name, row, kinds[f"{array.dtype.kind}{array.dtype.itemsize}"]))
    names = {inner: outer for outer, inner in file.fields.items()}
    graph = _with_log_sigmoids(graph_of(file.proto, declared, rows.lengths, names))
    return Reading(graph, lambda feeds: original.answer(feeds, rows.values), _provenance(original), sample=rows)


def _with_log_sigmoids(graph: Graph) -> Graph:
    """PyTorch's log_sigmoid never underflows; its exporter writes the logarithm of a sigmoid, which does."""
    sigmoids = {s.output: s.inputs[0] for s in graph.steps if s.op == "unary" and s.attributes["fn"] == "sigmoid"}
    steps = [
        Step("unary", (sigmoids[s.inputs[0]],), s.output, {**s.attributes, "fn": "log_sigmoid"})
        if s.op == "unary" and s.attributes["fn"] == "log" and s.inputs[0] in sigmoids
        else s
        for s in graph.steps
    ]
    used = {name for s in steps for name in s.inputs} | {o.source for o in graph.outputs}
    kept = [s for s in steps if s.output in used or s.output not in sigmoids]
    return Graph(graph.inputs, kept, graph.outputs, graph.name, graph.limits, graph.lengths)


def ask_model(model: Any, sample: Sample | Arrays, options: Mapping[str, Any]) -> Reading:
    """See `modelport_torch.ask`."""
    original = Original(model)
    rows = labelled(original, sample, options)
    answered = original.answer({name: array[:2] for name, array in rows.values.items()}, rows.values)
    steps, outputs = [], []
    kinds = {"float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32", "bool": "bool"}
    for name, array in answered.items():
        if str(array.dtype) not in kinds:
            raise UnsupportedModel(f"The model's output {name!r} is {array.dtype}, which no artifact holds.")
        steps.append(Step("constant", (), f"answered {name}", {"value": np.zeros(array.shape[1:], dtype=array.dtype)}))
        outputs.append(Output(name, f"answered {name}", kinds[str(array.dtype)], "prediction"))
    inputs: tuple[Input, ...] = rows.inputs()
    graph = Graph(inputs, steps, outputs, lengths=rows.lengths)
    return Reading(graph, lambda feeds: original.answer(feeds, rows.values), _provenance(original), sample=rows, unread=True)


def _provenance(original: Original) -> dict[str, Any]:
    cls = type(original.model)
    return {
        "framework": {"name": "torch", "version": str(original.torch.__version__)},
        "model": f"{cls.__module__}.{cls.__qualname__}",
    }
