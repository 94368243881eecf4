"""A document as an ONNX model: one translation per op, and the document's own words in the metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.document import Document
from modelport.errors import Unsupported
from modelport.graph import DTYPES, FLOATS, Graph, Input, ValueType
from modelport.version import __version__

from . import arithmetic, coding, columns, distances, factors, metadata, scores, targets, trees, wire
from .builder import BATCH, NULL, Builder, Value

__all__ = ["RULES", "write"]

Rule = Callable[..., Value]
#: op -> translation `(builder, attributes, output type, *values) -> Value`
RULES: Mapping[str, Rule] = {
    **columns.RULES,
    **arithmetic.RULES,
    **scores.RULES,
    **distances.RULES,
    **factors.RULES,
    **coding.RULES,
    "tree_ensemble": trees.tree_ensemble,
}
#: why ops have no translation
REASONS = {
    "count_terms": "ONNX has no operator that splits text and folds its case by the model's own tables of characters",
    "hash_terms": "ONNX has no operator that hashes strings",
}
LARGEST = (1 << 31) - 1
DOC = (
    "Written by modelport. Inputs and outputs are plain tensors, rows first; f64 throughout. Running fails, naming the reason, "
    "where the original model refuses a row (missing values it does not accept, unknown categories). "
    "metadata_props['modelport.document'] declares inputs and outputs and carries rows with the original model's answers. "
    "Several threads may change the last bits of tree ensembles; one (intra_op_num_threads=1) does not."
)
NULL_DOC = " In string inputs and outputs, a missing value is the string U+FDD0 followed by 'null'."


def write(document: Document, options: Mapping[str, Any]) -> bytes:
    """The document as ONNX bytes for `options["target"]`, the same bytes for the same document.

    Raises Unsupported for an op without a translation, and for a model beyond the 2 GB a protobuf message may have.
    """
    target = targets.parse(options.get("target", targets.DEFAULT))
    graph = document.graph
    missing = [op for op in graph.requires if op not in RULES]
    if missing:
        step = next(s for s in graph.steps if s.op in missing)
        raise Unsupported(
            f"{step} cannot be written as ONNX: {REASONS.get(step.op, 'it has no translation')}. Write JSON instead."
        )
    _refuse_reserved(graph)
    names = output_names(graph)
    body, block = _graph(graph, target, names)
    strings = any(value.dtype == "str" for value in graph.types.values())
    model = wire.model(body, target.ir_version, target.opsets, ("modelport", __version__), DOC + NULL_DOC * strings)
    if len(model) > LARGEST:
        raise Unsupported(f"The ONNX model would have {len(model)} bytes; a protobuf message holds at most 2 GB.")
    return metadata.seal(model, document, names, target.name, block)


def output_names(graph: Graph) -> dict[str, str]:
    """Output -> its name in the ONNX graph, where inputs and outputs share one namespace: inputs keep theirs."""
    taken = {value.name for value in graph.inputs} | {output.name for output in graph.outputs}
    names = {}
    for output in graph.outputs:
        name, number = output.name, 1
        while graph.input(name) is not None or (name != output.name and name in taken):
            name = f"{output.name}_output" if number == 1 else f"{output.name}_output_{number}"
            number += 1
        names[output.name] = name
        taken.add(name)
    return names


def _graph(graph: Graph, target: targets.Target, names: Mapping[str, str]) -> tuple[wire.Graph, int]:
    """The encoded graph, and the number of elements its widest value has per row."""
    b = Builder(target, [*(value.name for value in graph.inputs), *names.values()])
    values = _inputs(b, graph)
    for step in graph.steps:
        b.scope = step.output
        out = graph.types[step.output]
        b.widens(out.width)
        if out.width == 0:
            result = b.repeat_row(np.zeros(out.shape, dtype=DTYPES[out.dtype]))
        else:
            result = RULES[step.op](b, step.attributes, out, *(values[name] for name in step.inputs))
        assert result.dtype == out.dtype, f"{step}: {result.dtype} instead of {out.dtype}"
        values[step.output] = replace(result, shape=out.shape)
    b.scope = ""
    for output in graph.outputs:
        b.rename(values[output.source], names[output.name])
    inputs = [wire.value_info(v.name, v.dtype, _shape(v.type)) for v in graph.inputs]
    outputs = [wire.value_info(names[o.name], o.dtype, _shape(graph.types[o.source])) for o in graph.outputs]
    return b.finish(graph.name or "modelport", inputs, outputs), b.widest


def _shape(value: ValueType) -> list[int | str]:
    return [BATCH, *value.shape]


def _inputs(b: Builder, graph: Graph) -> dict[str, Value]:
    """The graph's inputs; one check for all of a dtype refuses NaN where it is not accepted."""
    values = {
        v.name: Value(b, v.name, v.dtype, v.shape, nan_free=v.missing == "error" and v.dtype in FLOATS) for v in graph.inputs
    }
    b.anchor(values[graph.inputs[0].name])
    read = {name for step in graph.steps for name in step.inputs} | {output.source for output in graph.outputs}
    for dtype in FLOATS:
        strict = [v for v in graph.inputs if v.dtype == dtype and v.missing == "error" and v.shape != (0,) and v.name in read]
        if strict:
            values[strict[0].name] = _without_nan(b, strict, values)
    return values


def _without_nan(b: Builder, strict: list[Input], values: Mapping[str, Value]) -> Value:
    """The first of the inputs, which running refuses to give when any of them holds NaN."""
    together = b.concat([values[v.name].matrix() for v in strict])
    first = values[strict[0].name]
    names = f"input {strict[0].name!r}" if len(strict) == 1 else f"one of the {len(strict)} {strict[0].dtype} inputs"
    return b.refuse(together.is_nan(), first, f"{names} holds NaN, which this model does not accept")


def _refuse_reserved(graph: Graph) -> None:
    for step in graph.steps:
        for name, value in step.attributes.items():
            texts = value.ravel().tolist() if isinstance(value, np.ndarray) and value.dtype == object else [value]
            if any(isinstance(text, str) and text.startswith(NULL[0]) for text in texts):
                raise Unsupported(
                    f"{step}: attribute {name!r} holds text that begins with U+FDD0, kept for missing values in ONNX."
                )
