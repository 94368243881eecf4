"""The graph written down: keys in a fixed order, one line per input, step and output, so that a person can read it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from modelport.document import Document, Vectors
from modelport.errors import UsageError
from modelport.graph import Graph, Input, Output, Step
from modelport.ops import OPS
from modelport.ops.base import Attribute

from .compressing import packing
from .tensors import DECIMAL_ELEMENTS, SAFE, Packed, encode, number, pieces

#: attributes that came with format 1.1
LATER = {("reduce", "axes"), ("concat", "axis")}
#: style -> how many elements a tensor may have to be written in decimal; compact writes so only what fits on a line
STYLES = {"default": DECIMAL_ELEMENTS, "readable": 1 << 62, "compact": 16}


def write_document(document: Document, options: Mapping[str, Any] | None = None) -> bytes:
    """A document as bytes. options: `style` is "default", "readable" (all decimal) or "compact" (mostly base64).

    `quantize` and `prune` give up accuracy for size: see `packing`.
    """
    style = (options or {}).get("style", "default")
    if style not in STYLES:
        raise UsageError(f"style={style!r} is not known; styles are: {', '.join(STYLES)}.")
    buffer = io.BytesIO()
    for piece in _document(document, STYLES[style], packing(document.graph, options or {})):
        buffer.write(piece if isinstance(piece, bytes) else piece.encode("utf-8"))
    return buffer.getvalue()


def _document(document: Document, decimal: int, packed: Mapping[tuple[str, str], Packed]) -> Iterator[str | bytes]:
    """The document in pieces; a tensor in base64 is one, so that large ones are not copied into ever larger texts."""
    graph = document.graph
    yield f'{{\n "format":"modelport",\n "version":"{_version(document, bool(packed))}"'
    if graph.name is not None:
        yield f',\n "name":{_string(graph.name)}'
    yield f',\n "requires":{json.dumps(graph.requires)}'
    if graph.lengths:
        yield f',\n "lengths":{json.dumps(dict(graph.lengths), ensure_ascii=False)}'
    yield ",\n "
    yield from _lines("inputs", [[_input(v)] for v in graph.inputs])
    yield ",\n "
    yield from _lines("steps", (_step(s, graph, decimal, packed) for s in graph.steps))
    yield ",\n "
    yield from _lines("outputs", [[_output(o)] for o in graph.outputs])
    if document.vectors is not None:
        yield f',\n "verification":{verification(document.vectors, graph, decimal)}'
    if document.provenance:
        yield f',\n "provenance":{json.dumps(dict(document.provenance), ensure_ascii=False, allow_nan=False)}'
    if document.doc is not None:
        yield f',\n "doc":{_string(document.doc)}'
    yield "\n}\n"


def _version(document: Document, packed: bool) -> str:
    """1.0 where nothing of 1.1 is used (docs/format.md, section 1)."""
    graph, vectors = document.graph, document.vectors
    later = (
        packed
        or graph.lengths
        or (vectors is not None and vectors.more)
        or any(len(value.shape) > 1 for value in graph.types.values())
        or any(OPS[step.op].since != "1.0" for step in graph.steps)
        or any((step.op, name) in LATER for step in graph.steps for name in step.attributes)
    )
    return "1.1" if later else "1.0"


def _lines(key: str, items: Iterable[Iterable[str | bytes]]) -> Iterator[str | bytes]:
    """`"key":[` and one item a line."""
    between = f'"{key}":[\n  '
    for item in items:
        yield between
        yield from item
        between = ",\n  "
    yield f'"{key}":[]' if between != ",\n  " else "\n ]"


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _input(value: Input) -> str:
    fields: dict[str, Any] = {"name": value.name, "dtype": value.dtype, "shape": list(value.shape), "missing": value.missing}
    if value.features is not None:
        fields["features"] = list(value.features)
    return json.dumps(fields, ensure_ascii=False)


def _output(output: Output) -> str:
    fields: dict[str, Any] = {"name": output.name, "from": output.source, "dtype": output.dtype, "role": output.role}
    if output.classes is not None and not any(isinstance(c, int) and not -SAFE <= c <= SAFE for c in output.classes):
        fields["classes"] = list(output.classes)
    return json.dumps(fields, ensure_ascii=False)


def _step(step: Step, graph: Graph, decimal: int, packed: Mapping[tuple[str, str], Packed]) -> Iterator[str | bytes]:
    yield f'{{"op":"{step.op}","in":{json.dumps(list(step.inputs), ensure_ascii=False)},"out":{_string(step.output)}'
    for name, spec in OPS[step.op].attributes.items():
        value = step.attributes.get(name)
        if value is None or (not isinstance(value, np.ndarray) and value == spec.default):
            continue
        yield f',"{name}":'
        if (step.output, name) in packed:
            yield from packed[step.output, name].pieces()
        else:
            yield from _attribute(step, graph, spec, value, decimal)
    yield "}"


def _attribute(step: Step, graph: Graph, spec: Attribute, value: Any, decimal: int) -> list[str | bytes]:
    if not isinstance(value, np.ndarray):
        return [number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)]
    whole = spec.kind in ("leaf", "targets") and value.dtype.kind in "iu"
    return pieces(value, "int" if whole else bare_dtype(spec.kind, _tensor_dtype(step, graph, spec), value), decimal)


def _tensor_dtype(step: Step, graph: Graph, spec: Attribute) -> str | None:
    if spec.kind == "float":
        return str(step.attributes.get("dtype", "f64"))
    if spec.kind in ("acc", "leaf"):
        return str(step.attributes.get("acc", "f64"))
    if spec.kind == "str":
        return "str"
    return graph.types[step.inputs[0]].dtype if spec.kind == "input" else None


def bare_dtype(kind: str, dtype: str | None, value: np.ndarray[Any, Any] | None = None) -> str | None:
    """The dtype a bare array has for an attribute kind; for a value to be written, None when it must not be bare."""
    if kind == "int":
        return "int"
    if dtype is not None:
        return dtype
    if value is None or value.ndim == 0 or kind == "typed":
        return None
    if value.dtype == object:  # read as str only when a string that is no number's name shows it
        return "str" if any(v not in ("NaN", "Infinity", "-Infinity", None) for v in value.ravel().tolist()) else None
    return "f64" if value.dtype == np.float64 and value.size and np.isfinite(value).any() else None


def verification(vectors: Vectors, graph: Graph, decimal: int = DECIMAL_ELEMENTS) -> str:
    """The `verification` object as JSON text."""
    first, *others = (_set(part, graph, decimal) for part in vectors.sets())
    more = f',"more":[{",".join(f"{{{other}}}" for other in others)}]' if others else ""
    tolerance = {o.name: vectors.tolerance[o.name].to_json() for o in graph.outputs if o.name in vectors.tolerance}
    said = json.dumps(tolerance, ensure_ascii=False)
    return f'{{"source":{_string(vectors.source)},{first},"tolerance":{said}{more}}}'


def _set(part: Vectors, graph: Graph, decimal: int) -> str:
    """The keys of one set of rows."""
    inputs = {v.name: encode(part.inputs[v.name], v.dtype, decimal) for v in graph.inputs}
    outputs = {o.name: encode(part.outputs[o.name], o.dtype, decimal) for o in graph.outputs}
    rows = f',"rows":{json.dumps(list(part.rows), ensure_ascii=False)}' if part.rows else ""
    return f'"inputs":{_object(inputs)},"outputs":{_object(outputs)}{rows}'


def _object(fields: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{_string(name)}:{text}" for name, text in fields.items()) + "}"
