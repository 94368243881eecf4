"""Walks the nodes of an ONNX model: folds what is known, hands the others to their handlers, follows If, Loop and sequences."""

from __future__ import annotations

import importlib
import re
from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from modelport.errors import UnsupportedModel

from . import op_norms, op_pointwise, op_products, op_recurrent, op_shaping, op_windows  # noqa: F401  (they register handlers)
from .lengths import same
from .nodes import ADVICE, HANDLERS, Node
from .pointwise import where
from .shaping import concat, cut, stack_axis
from .values import Builder, Known, Traced, Value, axis_of, dims_of, known

__all__ = ["Listed", "Translator"]

#: operators whose handlers give known numbers for known numbers
STRUCTURAL = frozenset(
    "Reshape Transpose Shape Size Squeeze Unsqueeze Identity Concat Gather Slice Expand ConstantOfShape Range Tile Flatten "
    "Constant Cast Where Dropout Trilu EyeLike Split".split()
)
RANDOM = frozenset("RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial".split())
DOMAINS = ("", "ai.onnx")
#: what makes a name unique in its file; the graph has numbers of its own
NUMBER = re.compile(r" \d+$")
#: how often a loop is unrolled at most
ROUNDS = 512


def picked(data: Any, indices: Any, *, axis: int) -> Any:
    """GatherElements: data[..., indices[..., j, ...], ...] along one axis; along the others the indices may be shorter.

    >>> picked(np.array([[1, 2, 3]]), np.array([[2, -3]]), axis=1).tolist()
    [[3, 1]]
    """
    axis = axis % data.ndim
    there = tuple(slice(None) if k == axis else slice(n) for k, n in enumerate(indices.shape))
    return np.take_along_axis(data[there], indices, axis)


@dataclass(frozen=True)
class Listed:
    """A sequence of values."""

    values: tuple[Value, ...]


Held: TypeAlias = "Value | Listed"
Scope: TypeAlias = "MutableMapping[str, Held | None]"


class Translator:
    """Reads the nodes of one model into a builder."""

    def __init__(self, builder: Builder, opset: int) -> None:
        self.b, self.opset = builder, opset
        self.onnx = importlib.import_module("onnx")

    # --- graphs ---

    def scope_of(self, graph: Any, outer: Scope) -> Scope:
        """The names of a graph: its initializers, and those around it."""
        own: dict[str, Held | None] = {}
        for tensor in graph.initializer:
            own[tensor.name] = self.tensor(tensor)
        for sparse in graph.sparse_initializer:
            raise UnsupportedModel(f"The ONNX model holds the sparse tensor {sparse.values.name!r}: make it dense.")
        return ChainMap(own, *(outer.maps if isinstance(outer, ChainMap) else [outer]))  # type: ignore[arg-type]

    def tensor(self, tensor: Any) -> Known:
        """A tensor of the model."""
        array = np.asarray(self.onnx.numpy_helper.to_array(tensor))
        if array.dtype.kind in "OSU":
            return Known(array.astype(object), "str")
        if array.dtype.kind not in "fiub" or array.dtype == np.dtype("V2"):
            array, dtype = array.astype(np.float32), self.onnx.TensorProto.DataType.Name(tensor.data_type).lower()
            return Known(array, dtype)
        return known(array)

    def nodes(self, nodes: Iterable[Any], scope: Scope, wanted: Iterable[str]) -> None:
        """Read nodes in order."""
        given = list(nodes)
        used = set(wanted) | {name for node in given for name in _reads(node)}
        for node in given:
            self.node(node, scope, used)

    def node(self, proto: Any, scope: Scope, used: set[str]) -> None:
        """Read one node."""
        if proto.domain not in DOMAINS:
            raise UnsupportedModel(
                f"The ONNX model's node {proto.name!r} is {proto.op_type} of {proto.domain}, an operator of one engine or of "
                f"classical models, which is not read. {ADVICE}"
            )
        missing = [name for name in proto.input if name and name not in scope]
        if missing:
            raise UnsupportedModel(
                f"The ONNX model's node {proto.name!r} ({proto.op_type}) reads {missing[0]!r}, which nothing defines."
            )
        inputs = [scope[name] if name else None for name in proto.input]
        self.b.hint = NUMBER.sub("", next((name for name in proto.output if name), proto.op_type))
        results = self.results(proto, inputs, scope, [name in used for name in proto.output])
        for name, result in zip(proto.output, results, strict=False):
            if name:
                scope[name] = result

    def results(self, proto: Any, inputs: list[Held | None], scope: Scope, used: list[bool]) -> Sequence[Held | None]:
        """What a node gives."""
        kind = proto.op_type
        if kind == "If":
            return self._if(proto, inputs, scope)
        if kind == "Loop":
            return self._loop(proto, inputs, scope)
        if "Sequence" in kind and kind != "ReverseSequence":
            return [self._sequence(proto, inputs)]
        if kind == "Identity" and isinstance(inputs[0], Listed):
            return [inputs[0]]
        values = [v for v in inputs if not isinstance(v, Listed)]
        if len(values) != len(inputs) or kind in RANDOM:
            raise UnsupportedModel(f"The ONNX model's node {proto.name!r} ({kind}) is not known. {ADVICE}")
        if self._foldable(kind, values):
            return self._folded(proto, values)
        handler = HANDLERS.get(kind)
        if handler is None:
            return self._as_function(proto, values, used)
        node = Node(kind, proto.name, self.opset, self.attributes(proto), values, used)
        try:
            found = handler(self.b, node)
        except UnsupportedModel as error:
            if str(node) in str(error):
                raise
            raise _located(error, node) from error
        node.finish()
        return [found] if isinstance(found, (Known, Traced)) else list(found or [])

    # --- attributes and folding ---

    def attributes(self, proto: Any) -> dict[str, Any]:
        """The attributes of a node as Python values; graphs stay protobuf."""
        found: dict[str, Any] = {}
        for attribute in proto.attribute:
            value = self.onnx.helper.get_attribute_value(attribute)
            if attribute.type == self.onnx.AttributeProto.TENSOR:
                value = self.tensor(value).array
            elif attribute.type == self.onnx.AttributeProto.FLOAT:
                value = float(str(np.float32(value)))  # 1e-05 and not 9.999999747378752e-06
            elif isinstance(value, bytes):
                value = value.decode("utf-8")
            elif attribute.type == self.onnx.AttributeProto.STRINGS:
                value = [v.decode("utf-8") for v in value]
            found[attribute.name] = value
        return found

    @staticmethod
    def _foldable(kind: str, values: Sequence[Value | None]) -> bool:
        given = [v for v in values if v is not None]
        return bool(given) and kind not in STRUCTURAL and all(isinstance(v, Known) and not v.symbolic for v in given)

    def _folded(self, proto: Any, values: Sequence[Value | None]) -> list[Known]:
        """What a node gives for numbers that are all known, by the reference implementation of ONNX."""
        from onnx.reference import ReferenceEvaluator

        feeds = {name: v.array for name, v in zip(proto.input, values, strict=True) if isinstance(v, Known)}
        try:
            if proto.op_type == "GatherElements":  # the reference implementation takes no more than 64 elements
                data, indices = (v.array for v in values if isinstance(v, Known))
                results = [picked(data, indices, axis=self.attributes(proto).get("axis", 0))]
            else:
                run = ReferenceEvaluator(proto, opsets={"": self.opset})
                with np.errstate(all="ignore"):
                    results = run.run(None, feeds)
        except Exception as error:  # its errors have no common base
            raise UnsupportedModel(
                f"The ONNX model's node {proto.name!r} ({proto.op_type}) of constants fails: {error}"
            ) from error
        return [known(np.asarray(r)) for r in results]

    def _as_function(self, proto: Any, values: Sequence[Value | None], used: list[bool]) -> Sequence[Held | None]:
        """An operator that ONNX itself defines by others."""
        defs = self.onnx.defs
        try:
            schema = defs.get_schema(proto.op_type, self.opset, "")
        except defs.SchemaError:
            raise UnsupportedModel(f"The ONNX model's node {proto.name!r} ({proto.op_type}) is not known to ONNX.") from None
        function = None
        if schema.has_function:
            function = schema.function_body
        elif schema.has_context_dependent_function:
            kinds = [self._type(v) for v in values]
            body = schema.get_context_dependent_function_with_opset_version(
                schema.since_version, proto.SerializeToString(), [k.SerializeToString() for k in kinds]
            )
            function = self.onnx.FunctionProto.FromString(body) if body else None
        if function is None:
            raise UnsupportedModel(f"The ONNX model's node {proto.name!r} is {proto.op_type}, which is not known. {ADVICE}")
        scope: Scope = {name: values[k] if k < len(values) else None for k, name in enumerate(function.input)}
        given = {a.name: a for a in proto.attribute} | {
            a.name: a for a in function.attribute_proto if a.name not in {b.name for b in proto.attribute}
        }
        outer, self.opset = self.opset, next((o.version for o in function.opset_import if o.domain in DOMAINS), self.opset)
        try:
            self.nodes(
                [self._bound(n, given) for n in function.node],
                scope,
                [n for n, u in zip(function.output, used, strict=False) if u],
            )
        finally:
            self.opset = outer
        return [scope.get(name) for name in function.output]

    def _type(self, value: Value | None) -> Any:
        if value is None:
            return self.onnx.TypeProto()
        codes = {
            "f32": 1,
            "u8": 2,
            "i8": 3,
            "u16": 4,
            "i16": 5,
            "i32": 6,
            "i64": 7,
            "str": 8,
            "bool": 9,
            "f16": 10,
            "f64": 11,
            "u32": 12,
        }
        shape = [int(n) if isinstance(n, int) else str(n) for n in value.shape]
        return self.onnx.helper.make_tensor_type_proto(codes[value.dtype], shape)

    def _bound(self, node: Any, given: Mapping[str, Any]) -> Any:
        """A node of a function's body with the attributes that the caller gave."""
        copy = self.onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.attribute[:]
        for attribute in node.attribute:
            if not attribute.ref_attr_name:
                copy.attribute.append(attribute)
            elif attribute.ref_attr_name in given:
                bound = copy.attribute.add()
                bound.CopyFrom(given[attribute.ref_attr_name])
                bound.name = attribute.name
        return copy

    # --- If, Loop, sequences ---

    def _inner(self, graph: Any, scope: Scope, given: Mapping[str, Held | None]) -> list[Held | None]:
        inner = self.scope_of(graph, scope)
        inner.update(given)
        names = [value.name for value in graph.output]
        self.nodes(graph.node, inner, names)
        return [inner[name] for name in names]

    def _if(self, proto: Any, inputs: Sequence[Held | None], scope: Scope) -> list[Held | None]:
        branches = self.attributes(proto)
        condition = inputs[0]
        if isinstance(condition, Known):
            return self._inner(branches["then_branch" if bool(condition.array.all()) else "else_branch"], scope, {})
        assert isinstance(condition, Traced)
        first, second = (self._inner(branches[name], scope, {}) for name in ("then_branch", "else_branch"))
        found: list[Held | None] = []
        for a, c in zip(first, second, strict=True):
            if not isinstance(a, (Known, Traced)) or not isinstance(c, (Known, Traced)):
                raise UnsupportedModel(f"The ONNX model's node {proto.name!r} (If) chooses between sequences. {ADVICE}")
            if len(a.shape) != len(c.shape) or not all(map(same, a.shape, c.shape)):
                raise UnsupportedModel(
                    f"The ONNX model's node {proto.name!r} (If) gives values of shapes {list(a.shape)} and {list(c.shape)}, "
                    f"depending on the rows. {ADVICE}"
                )
            flag = self.b.reshape(condition, ())
            found.append(where(self.b, flag, a, c))
        return found

    def _loop(self, proto: Any, inputs: Sequence[Held | None], scope: Scope) -> list[Held | None]:
        body = self.attributes(proto)["body"]
        limit, condition = (inputs[0] if inputs else None), (inputs[1] if len(inputs) > 1 else None)
        carried = list(inputs[2:])
        names = [value.name for value in body.input]
        where_ = f"The ONNX model's node {proto.name!r} (Loop)"
        rounds = None if limit is None else dims_of(limit, f"How often {where_[4:]} runs")[0]  # type: ignore[arg-type]
        if not isinstance(rounds, int | None):
            raise UnsupportedModel(f"{where_} runs as often as an input is long ({rounds}), which no step expresses. {ADVICE}")
        scanned: list[list[Value]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
        count = 0
        while rounds is None or count < rounds:
            if condition is not None and not isinstance(condition, Known):
                raise UnsupportedModel(f"{where_} ends when the numbers of a row say so, which no step expresses. {ADVICE}")
            if condition is not None and not bool(condition.array.all()):
                break
            if count >= ROUNDS:
                raise UnsupportedModel(f"{where_} runs more than {ROUNDS} times. {ADVICE}")
            now = Known(np.asarray(count, dtype=np.int64), "i64")
            given = dict(zip(names, [now, condition or Known(np.asarray(True), "bool"), *carried], strict=True))
            results = self._inner(body, scope, given)
            condition, carried, rest = results[0], results[1 : 1 + len(carried)], results[1 + len(carried) :]
            for held, value in zip(scanned, rest, strict=True):
                held.append(value)  # type: ignore[arg-type]
            count += 1
        if not all(scanned):
            raise UnsupportedModel(f"{where_} does not run at all, and gives values without any element. {ADVICE}")
        return [*carried, *(concat(self.b, [stack_axis(self.b, v, 0) for v in held], 0) for held in scanned)]

    def _sequence(self, proto: Any, inputs: Sequence[Any]) -> Held:
        kind, b, attributes = proto.op_type, self.b, self.attributes(proto)
        if kind == "SequenceEmpty":
            return Listed(())
        if kind == "SequenceConstruct":
            return Listed(tuple(inputs))
        if kind == "SplitToSequence":
            return Listed(tuple(self._split(inputs, attributes)))
        held = inputs[0].values
        if kind == "SequenceLength":
            return Known(np.asarray(len(held), dtype=np.int64), "i64")
        if kind == "SequenceAt":
            return held[int(dims_of(inputs[1], "A place in a sequence")[0])]  # type: ignore[arg-type, no-any-return]
        if kind == "SequenceInsert":
            place = len(held) if len(inputs) < 3 or inputs[2] is None else int(dims_of(inputs[2], "A place in a sequence")[0])  # type: ignore[arg-type]
            return Listed((*held[:place], inputs[1], *held[place:]))
        if kind == "ConcatFromSequence":
            if attributes.get("new_axis", 0):
                axis = axis_of(int(attributes["axis"]), len(held[0].shape) + 1)
                return concat(b, [stack_axis(b, v, axis) for v in held], axis)
            return concat(b, list(held), axis_of(int(attributes["axis"]), len(held[0].shape)))
        raise UnsupportedModel(f"The ONNX model's node {proto.name!r} ({kind}) is not known. {ADVICE}")

    def _split(self, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> list[Value]:
        x, b = inputs[0], self.b
        axis = axis_of(int(attributes.get("axis", 0)), len(x.shape))
        n = x.shape[axis]
        if not isinstance(n, int):
            raise UnsupportedModel(f"The ONNX model splits an axis whose length {n} varies into a sequence. {ADVICE}")
        given = inputs[1] if len(inputs) > 1 else None
        sizes = [1] * n if given is None else [int(k) for k in dims_of(given, "The parts of a sequence")]  # type: ignore[arg-type]
        if given is not None and not given.shape:
            sizes = [min(sizes[0], n - k) for k in range(0, n, sizes[0])]
        starts = [sum(sizes[:k]) for k in range(len(sizes))]
        parts = [cut(b, x, [axis], [s], [s + size], [1]) for s, size in zip(starts, sizes, strict=True)]
        if given is None and not attributes.get("keepdims", 1):
            parts = [b.reshape(p, (*x.shape[:axis], *x.shape[axis + 1 :])) for p in parts]
        return parts


def _reads(node: Any) -> Iterable[str]:
    """The names a node reads, its inner graphs included."""
    yield from node.input
    for attribute in node.attribute:
        for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from _reads(inner)


def _located(error: UnsupportedModel, node: Node) -> UnsupportedModel:
    """The error with the node it was met at."""
    message = f"{str(error).rstrip('.')} (at the ONNX model's {node})."
    if hasattr(error, "attribute"):
        return type(error)(message, error.attribute)
    return UnsupportedModel(message)
