"""A document back into a graph, its vectors and provenance. Whatever docs/format.md does not allow is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from modelport.document import Document, Tolerance, Vectors, check_vectors, ignored
from modelport.errors import ArtifactError, GraphError, InputError, Unsupported
from modelport.graph import DTYPES, INTEGERS, LIMITS, WORK_PER_BYTE, Graph, Input, Limits, Output, Step, bind
from modelport.ops import OPS

from .strict import LongText, check_integers, parse
from .tensors import SAFE, decode

KEYS = {"format", "version", "name", "requires", "lengths", "inputs", "steps", "outputs", "verification", "provenance", "doc"}
REQUIRED = ("requires", "inputs", "steps", "outputs")


def read_document(data: bytes, limits: Limits = LIMITS) -> Document:
    """Read a document; ArtifactError when it breaks a rule, Unsupported for another major version or an unknown op."""
    value = parse(data, limits, long_texts=True)
    if not isinstance(value, dict) or value.get("format") != "modelport":
        raise ArtifactError('This is no modelport document: it is not an object with "format": "modelport".')
    version = value.get("version")
    if not isinstance(version, str) or not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", version):
        raise ArtifactError(f'The version is {version!r}; it is a string such as "1.0".')
    if version.partition(".")[0] != "1":
        check_integers(value)
        raise Unsupported(
            f"The document is of format version {version}; this reader knows version 1. A newer modelport may read it."
        )
    for key in REQUIRED:  # requires first: a newer document may have other keys
        if not isinstance(value.get(key), list):
            raise ArtifactError(f"The document has no array {key!r}.")
        if key == "requires":
            _check_known(value)
            _no_extra(value, KEYS, "The document")
    _check_used(value["requires"], value["steps"])
    graph = Graph(
        [_input(v) for v in value["inputs"]],
        [_step(v) for v in value["steps"]],
        [_output(v) for v in value["outputs"]],
        _said(value, "name"),
        limits,
        _lengths(value),
    )
    vectors = read_verification(value["verification"], graph, len(data)) if "verification" in value else None
    provenance = value.get("provenance", {})
    if not isinstance(provenance, dict):
        provenance = {}
    if _holds_long_text(provenance):
        provenance = parse(data, limits)["provenance"]
    return Document(graph, vectors, provenance, _said(value, "doc"))


def _said(document: Mapping[str, Any], key: str) -> str | None:
    """The text of an ignored key; None where it is none."""
    text = document.get(key)
    return text if isinstance(text, str) else None


def _holds_long_text(value: Any) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, LongText) or any(map(_holds_long_text, children))


def _no_extra(value: Mapping[str, Any], known: set[str], what: str) -> None:
    extra = sorted(k for k in value if k not in known and not ignored(k))
    if extra:
        raise ArtifactError(f"{what} has the unknown key {extra[0]!r}, which may change its meaning.")


def _check_known(document: Mapping[str, Any]) -> None:
    requires = document["requires"]
    if not all(isinstance(op, str) for op in requires) or len(set(requires)) != len(requires):
        raise ArtifactError("'requires' is not a list of different op names.")
    unknown = [op for op in requires if op not in OPS]
    if unknown:
        check_integers(document)
        raise Unsupported(
            f"The document requires ops that are not known here: {', '.join(unknown)}. A newer modelport may know them."
        )


def _check_used(requires: list[Any], steps: list[Any]) -> None:
    used = {
        step.get("op") if isinstance(step, dict) else None
        for step in steps
        if not isinstance(step, dict) or _hashable(step.get("op"))
    }
    if used != set(requires):
        odd = sorted(map(str, used ^ set(requires)))
        raise ArtifactError(f"'requires' is not exactly the set of ops that the steps use: {', '.join(odd)}.")


def _hashable(value: Any) -> bool:
    return not isinstance(value, (list, dict))


def _fields(value: Any, what: str, required: set[str], optional: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ArtifactError(f"{what} is no object.")
    missing = sorted(required - value.keys())
    if missing:
        raise ArtifactError(f"{what} lacks the key {missing[0]!r}.")
    _no_extra(value, required | optional, what)
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ArtifactError(f"{what} is {value!r}; it is a string.")
    return value


def _input(value: Any) -> Input:
    fields = _fields(value, "An input", {"name", "dtype", "shape"}, {"missing", "features", "doc"})
    name = _text(fields["name"], "An input's name")
    shape = fields["shape"]
    if not isinstance(shape, list) or any(not isinstance(k, (int, str)) or isinstance(k, bool) for k in shape):
        raise ArtifactError(f"The shape of input {name!r} is {shape!r}; it is a list of integers and of names of lengths.")
    features = fields.get("features")
    if features is not None and (not isinstance(features, list) or not all(isinstance(f, str) for f in features)):
        raise ArtifactError(f"The features of input {name!r} are not a list of strings.")
    dtype = _text(fields["dtype"], f"The dtype of input {name!r}")
    return Input(
        name, dtype, tuple(shape), _text(fields.get("missing", "error"), "missing"), None if features is None else tuple(features)
    )


def _lengths(document: Mapping[str, Any]) -> dict[str, int]:
    lengths = document.get("lengths", {})
    if not isinstance(lengths, dict) or ("lengths" in document and not lengths):
        raise ArtifactError("'lengths' is no object with an example for every named length.")
    return lengths


def _output(value: Any) -> Output:
    fields = _fields(value, "An output", {"name", "from", "dtype", "role"}, {"classes", "doc"})
    texts = [_text(fields[key], f"An output's {key!r}") for key in ("name", "from", "dtype", "role")]
    classes = fields.get("classes")
    if classes is not None and not isinstance(classes, list):
        raise ArtifactError(f"The classes of output {texts[0]!r} are no list.")
    if classes and any(isinstance(c, int) and not -SAFE <= c <= SAFE for c in classes):
        raise ArtifactError(f"The classes of output {texts[0]!r} hold an integer beyond 2^53-1.")
    return Output(texts[0], texts[1], texts[2], texts[3], None if classes is None else tuple(classes))


def _step(value: Any) -> Step:
    if not isinstance(value, dict):
        raise ArtifactError("A step is no object.")
    op, output = _text(value.get("op"), "A step's 'op'"), _text(value.get("out"), "A step's 'out'")
    names = value.get("in")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ArtifactError(f"Step {output!r}: 'in' is not a list of names.")
    attributes = {}
    for name, raw in value.items():
        if ignored(name) or name in ("op", "in", "out"):
            continue
        if raw is None:
            raise ArtifactError(f"Step {output!r}: attribute {name!r} is null.")
        large = isinstance(raw, int) and not -SAFE <= raw <= SAFE
        attributes[name] = _deferred(raw) if isinstance(raw, (list, dict)) else _large(raw) if large else raw
    return Step(op, tuple(names), output, attributes)


def _large(raw: int) -> Callable[[str, str | None, str, Mapping[str, Any]], Any]:
    """A number that only a float may be spelled as."""

    def resolve(kind: str, dtype: str | None, where: str, attributes: Mapping[str, Any]) -> Any:
        if kind == "element" and dtype in INTEGERS:
            raise ArtifactError(f"{where} is an integer beyond 2^53-1 as a number; it is written as a string of digits.")
        return raw

    return resolve


def _deferred(raw: Any) -> Callable[[str, str | None, str, Mapping[str, Any]], Any]:
    """A tensor that is decoded when the op's table says which kind and dtype it has."""

    def resolve(kind: str, dtype: str | None, where: str, attributes: Mapping[str, Any]) -> Any:
        if kind in ("choice", "flag", "integer", "number", "element"):
            raise ArtifactError(f"{where} is a tensor; one value is needed.")
        if kind == "typed" and isinstance(raw, list):
            raise ArtifactError(f"{where} is a bare array; its dtype must be written beside it.")
        beside = {"leaf": "leaf_table", "targets": "classes"}.get(kind)
        whole = kind == "int" or beside in attributes
        array = decode(raw, "i64" if whole else "f64" if kind == "targets" else dtype, where)
        if dtype is not None and array.dtype != DTYPES[dtype]:
            raise ArtifactError(f"{where} is {array.dtype}, but {dtype} is needed here.")
        if kind == "int" and array.dtype.kind not in "iu":
            raise ArtifactError(f"{where} is {array.dtype}, but integers are needed here.")
        return array

    return resolve


def read_verification(value: Any, graph: Graph, size: int = 0) -> Vectors:
    """The vectors of a `verification` object for a graph, in a document of `size` bytes."""
    fields = _fields(value, "'verification'", {"source", "inputs", "outputs", "tolerance"}, {"rows", "doc", "more"})
    source = fields["source"]
    if source not in ("synthetic", "sample"):
        raise ArtifactError(f"The vectors' source is {source!r}; it is synthetic or sample.")
    tolerance = fields["tolerance"]
    if not isinstance(tolerance, dict) or set(tolerance) != {o.name for o in graph.outputs}:
        raise ArtifactError("The vectors' tolerance is not an object with exactly one entry per output.")
    further = fields.get("more", [])
    if not isinstance(further, list) or ("more" in fields and not further):
        raise ArtifactError("The vectors' 'more' is no list of further sets of rows.")
    known = {k: Tolerance.from_json(v) for k, v in tolerance.items()}
    more = [_set(_fields(v, "A set of 'more'", {"inputs", "outputs"}, {"rows", "doc"}), graph, known, source) for v in further]
    vectors = replace(_set(fields, graph, known, source), more=tuple(more))
    check_vectors(vectors, graph.inputs, graph.outputs, graph.limits.vector_rows)
    fitted = [(len(part), _fitted(part, graph)) for part in vectors.sets()]
    longest = max(graph.longest, vectors.longest) if any(g.strings for _, g in fitted) else 0
    operations = sum(g.replaying(rows, longest) for rows, g in fitted)
    most = graph.limits.work + WORK_PER_BYTE * size
    if operations > most:
        raise ArtifactError(
            f"Replaying the carried rows takes {operations} operations, more than the limit of {most} "
            f"({graph.limits.work}, and {WORK_PER_BYTE} for every byte of the document)."
        )
    return vectors


def _fitted(part: Vectors, graph: Graph) -> Graph:
    """The graph for the lengths of a set; ArtifactError when the set's outputs do not have the row shapes of these."""
    try:
        fitted = graph.at(bind(graph.inputs, {k: v.shape[1:] for k, v in part.inputs.items()}))
    except (GraphError, InputError) as error:
        raise ArtifactError(f"The vectors have lengths that the document does not take: {error}") from None
    for output in graph.outputs:
        shape, given = fitted.types[output.source].shape, part.outputs[output.name].shape[1:]
        if given != shape:
            raise ArtifactError(f"The vectors of output {output.name!r} have row shape {list(given)}, not {list(shape)}.")
    return fitted


def _set(fields: Mapping[str, Any], graph: Graph, tolerance: Mapping[str, Tolerance], source: str) -> Vectors:
    arrays: dict[str, dict[str, Any]] = {}
    for key, dtypes in (
        ("inputs", {v.name: v.dtype for v in graph.inputs}),
        ("outputs", {o.name: o.dtype for o in graph.outputs}),
    ):
        if not isinstance(fields[key], dict) or set(fields[key]) != set(dtypes):
            raise ArtifactError(f"The vectors' {key} are not exactly the document's: {', '.join(sorted(dtypes))}.")
        arrays[key] = {name: decode(raw, dtypes[name], f"The vectors of {name!r}") for name, raw in fields[key].items()}
    rows = fields.get("rows", [])
    if not isinstance(rows, list) or not all(isinstance(r, str) for r in rows):
        raise ArtifactError("The vectors' 'rows' is no list of strings.")
    return Vectors(arrays["inputs"], arrays["outputs"], tolerance, source, tuple(rows))
