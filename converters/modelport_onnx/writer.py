"""A document as an ONNX model: one translation per op, and the document's own words in the metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.document import Document
from modelport.errors import Unsupported
from modelport.graph import DTYPES, FLOATS, Graph, Input
from modelport.version import __version__

from . import (
    activations,
    arithmetic,
    attending,
    coding,
    columns,
    convolving,
    distances,
    factors,
    metadata,
    normalizing,
    recurring,
    resizing,
    scores,
    shaping,
    targets,
    trees,
    wire,
)
from .builder import NULL, Builder, Value
from .lengths import declared, names_of

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
    **shaping.RULES,
    **convolving.RULES,
    **resizing.RULES,
    **normalizing.RULES,
    **activations.RULES,
    **recurring.RULES,
    **attending.RULES,
}
#: ops of which a graph is a neural net
NET = {
    *shaping.RULES,
    *convolving.RULES,
    *resizing.RULES,
    *normalizing.RULES,
    *activations.RULES,
    *recurring.RULES,
    *attending.RULES,
}
#: ops whose translations take what is the same for every row as it is: see Builder.row
TAKES_ROWS = {"binary", "where", "matmul", "attention", "gather"}
#: why ops have no translation
REASONS = {
    "count_terms": "ONNX has no operator that splits text and folds its case by the model's own tables of characters",
    "term_ids": "ONNX has no operator that splits text and folds its case by the model's own tables of characters",
    "hash_terms": "ONNX has no operator that hashes strings",
}
LARGEST = (1 << 31) - 1
DOC = (
    "Written by modelport. Inputs and outputs are plain tensors, rows first. Running fails, naming the reason, where the "
    "original model refuses a row (missing values it does not accept, unknown categories). "
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
    reserved = [*(value.name for value in graph.inputs), *names.values()]
    b = Builder(target, reserved, _is_net(graph), graph.lengths)
    values = _inputs(b, graph)
    free = names_of(graph)
    for step in graph.steps:
        b.scope = step.output
        out = graph.types[step.output]
        b.widens(out.width)
        if out.width == 0:
            result = b.repeat_row(np.zeros(out.shape, dtype=DTYPES[out.dtype]))
        else:
            given = [values[name] for name in step.inputs]
            given = given if step.op in TAKES_ROWS else [b.whole(value) for value in given]
            result = RULES[step.op](b, step.attributes, out, *given)
        assert result.dtype == out.dtype, f"{step}: {result.dtype} instead of {out.dtype}"
        values[step.output] = replace(result, shape=out.shape, free=step.output in free)
    b.scope = ""
    for output in graph.outputs:
        b.rename(b.whole(values[output.source]), names[output.name])
    shapes = declared(graph, [output.source for output in graph.outputs])
    inputs = [wire.value_info(v.name, v.dtype, [b.batch, *v.shape]) for v in graph.inputs]
    outputs = [wire.value_info(names[o.name], o.dtype, [b.batch, *shapes[o.source]]) for o in graph.outputs]
    return b.finish(graph.name or "modelport", inputs, outputs), b.widest


def _is_net(graph: Graph) -> bool:
    """Whether the graph is a neural net: it has an op of theirs, or dense layers of f32 one after the other."""
    dense = [step for step in graph.steps if step.op == "linear" and step.attributes["dtype"] == "f32"]
    return len(dense) > 1 or any(step.op in NET for step in graph.steps)


def _inputs(b: Builder, graph: Graph) -> dict[str, Value]:
    """The graph's inputs; one check for all of a dtype refuses NaN where it is not accepted."""
    values = {}
    for v in graph.inputs:
        nan_free, free = v.missing == "error" and v.dtype in FLOATS, bool(v.lengths)
        values[v.name] = Value(b, v.name, v.dtype, graph.types[v.name].shape, nan_free=nan_free, free=free)
    b.anchor(values[graph.inputs[0].name])
    read = {name for step in graph.steps for name in step.inputs} | {output.source for output in graph.outputs}
    for dtype in FLOATS:
        strict = [v for v in graph.inputs if v.dtype == dtype and v.missing == "error" and 0 not in v.shape and v.name in read]
        if strict:
            values[strict[0].name] = _without_nan(b, strict, values)
    return values


def _without_nan(b: Builder, strict: list[Input], values: Mapping[str, Value]) -> Value:
    """The first of the inputs, which running refuses to give when any of them holds NaN."""
    rows = [values[v.name].matrix() for v in strict]
    if all(len(v.shape or ()) == 1 for v in rows):
        bad = b.concat(rows).is_nan()
    else:
        bad = b.concat([v.is_nan().reshape(-1) for v in rows], axis=0)
    first = values[strict[0].name]
    names = f"input {strict[0].name!r}" if len(strict) == 1 else f"one of the {len(strict)} {strict[0].dtype} inputs"
    return b.refuse(bad, first, f"{names} holds NaN, which this model does not accept")


def _refuse_reserved(graph: Graph) -> None:
    for step in graph.steps:
        for name, value in step.attributes.items():
            texts = value.ravel().tolist() if isinstance(value, np.ndarray) and value.dtype == object else [value]
            if any(isinstance(text, str) and text.startswith(NULL[0]) for text in texts):
                raise Unsupported(
                    f"{step}: attribute {name!r} holds text that begins with U+FDD0, kept for missing values in ONNX."
                )
