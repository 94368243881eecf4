"""The protobuf messages of ONNX, encoded straight from arrays, and a bounded walk over encoded ones.

Only what the writer needs of onnx.proto3: ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto.
Integer lists are packed and tensors are raw bytes, so that a forest of a million nodes is written in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from modelport.errors import ArtifactError
from modelport.graph import DTYPES

__all__ = ["ELEMENT_TYPES", "Graph", "Ints", "fields", "graph", "looks_like_model", "metadata", "model", "node", "tensor"]

Array = np.ndarray[Any, np.dtype[Any]]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
#: TensorProto.DataType
ELEMENT_TYPES = {
    "f32": 1,
    "u8": 2,
    "i8": 3,
    "u16": 4,
    "i16": 5,
    "i32": 6,
    "i64": 7,
    "str": 8,
    "bool": 9,
    "f64": 11,
    "u32": 12,
}
#: AttributeProto.AttributeType
FLOAT, INT, STRING, TENSOR, GRAPH, INTS, STRINGS = 1, 2, 3, 4, 5, 7, 8
#: ModelProto: field number -> wire type
MODEL_FIELDS = {1: VARINT, 5: VARINT, **dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), BYTES)}
METADATA_FIELD = 14


class Ints(NamedTuple):
    """Marks an array as a repeated integer attribute (a bare array is a tensor)."""

    values: Array


class Graph(bytes):
    """An encoded GraphProto."""


# --- encoding -----------------------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """A base-128 integer; negative ones take ten bytes.

    >>> varint(300).hex()
    'ac02'
    """
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def varints(values: Array) -> bytes:
    """Many integers in a row (the payload of a packed field): values [n].

    >>> varints(np.array([1, 300])).hex()
    '01ac02'
    """
    unsigned = np.ascontiguousarray(values, dtype=np.int64).view(np.uint64)
    if unsigned.size == 0:
        return b""
    length = max(1, -(-int(unsigned.max()).bit_length() // 7))
    digits = np.empty((unsigned.size, length), dtype=np.uint8)
    used = np.empty((unsigned.size, length), dtype=bool)
    for k in range(length):
        rest = unsigned >> np.uint64(7 * k)
        digits[:, k] = (rest & np.uint64(127)).astype(np.uint8) | ((rest > 127).astype(np.uint8) << 7)
        used[:, k] = rest > 0 if k else True
    return digits[used].tobytes()


def record(field: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return varint(field << 3 | BYTES) + varint(len(payload)) + payload


def text(field: int, value: str) -> bytes:
    """A string field."""
    return record(field, value.encode())


def integer(field: int, value: int) -> bytes:
    """An integer or enumeration field."""
    return varint(field << 3 | VARINT) + varint(value)


def tensor(array: Array, name: str = "") -> bytes:
    """A TensorProto; strings are given as an object array without missing elements."""
    from modelport.ops.base import dtype_name

    dtype = dtype_name(array)
    parts = [integer(1, length) for length in array.shape] + [integer(2, ELEMENT_TYPES[dtype])]
    if dtype == "str":
        parts += [text(6, item) for item in array.ravel().tolist()]
    if name:
        parts.append(text(8, name))
    if dtype != "str":
        parts.append(record(9, array.astype(DTYPES[dtype].newbyteorder("<"), copy=False).tobytes()))
    return b"".join(parts)


def attribute(name: str, value: Any) -> bytes:
    """An AttributeProto from an int, float, str, list of str, Ints, Graph or array (a tensor)."""
    head = text(1, name)
    if isinstance(value, Graph):
        return head + record(6, value) + integer(20, GRAPH)
    if isinstance(value, Ints):
        return head + record(8, varints(value.values)) + integer(20, INTS)
    if isinstance(value, np.ndarray):
        return head + record(5, tensor(value)) + integer(20, TENSOR)
    if isinstance(value, str):
        return head + text(4, value) + integer(20, STRING)
    if isinstance(value, (list, tuple)):
        encoded = {item: text(9, item) for item in set(value)}
        return head + b"".join([encoded[item] for item in value]) + integer(20, STRINGS)
    if isinstance(value, float):
        return head + varint(2 << 3 | FIXED32) + bytes(np.float32(value).tobytes()) + integer(20, FLOAT)
    return head + integer(3, int(value)) + integer(20, INT)


def node(
    kind: str, inputs: Sequence[str], outputs: Sequence[str], name: str, domain: str, attributes: Mapping[str, Any]
) -> bytes:
    """A NodeProto."""
    parts = [text(1, i) for i in inputs] + [text(2, o) for o in outputs]
    parts += [text(3, name)] if name else []
    parts.append(text(4, kind))
    parts += [record(5, attribute(key, value)) for key, value in attributes.items()]
    parts += [text(7, domain)] if domain else []
    return b"".join(parts)


def value_info(name: str, dtype: str, shape: Sequence[int | str | None] | None) -> bytes:
    """A ValueInfoProto of a tensor; a string dimension is symbolic; None, for one or for all, is unknown."""
    kind = integer(1, ELEMENT_TYPES[dtype])
    if shape is not None:
        dims = [record(1, integer(1, d) if isinstance(d, int) else b"" if d is None else text(2, d)) for d in shape]
        kind += record(2, b"".join(dims))
    return text(1, name) + record(2, record(1, kind))


def graph(
    name: str, nodes: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes], initializers: Sequence[bytes] = ()
) -> Graph:
    """A GraphProto of encoded nodes, tensors and value infos."""
    parts = [record(1, item) for item in nodes] + [text(2, name)] + [record(5, item) for item in initializers]
    parts += [record(11, item) for item in inputs] + [record(12, item) for item in outputs]
    return Graph(b"".join(parts))


def model(body: Graph, ir_version: int, opsets: Mapping[str, int], producer: tuple[str, str], doc: str) -> bytes:
    """A ModelProto without metadata."""
    parts = [integer(1, ir_version), text(2, producer[0]), text(3, producer[1]), text(6, doc), record(7, body)]
    parts += [record(8, text(1, domain) + integer(2, version)) for domain, version in opsets.items()]
    return b"".join(parts)


def metadata(key: str, value: str) -> bytes:
    """One entry of metadata_props, to be appended to an encoded model."""
    return record(METADATA_FIELD, text(1, key) + text(2, value))


# --- decoding -----------------------------------------------------------------------------------------------------------------


class Field(NamedTuple):
    """One field of an encoded message: number, wire type, value (an integer, or the payload) and where it lies."""

    number: int
    kind: int
    value: int | memoryview
    start: int
    end: int


def fields(data: bytes | memoryview) -> Iterator[Field]:
    """The top-level fields of an encoded message, in order; ArtifactError where the bytes are no such thing."""
    view, position = memoryview(data), 0
    while position < len(view):
        start = position
        key, position = _varint(view, position)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, position = _varint(view, position)
            yield Field(number, kind, value, start, position)
            continue
        length = {FIXED64: 8, FIXED32: 4}.get(kind, 0)
        if kind == BYTES:
            length, position = _varint(view, position)
        if number == 0 or kind not in (FIXED64, FIXED32, BYTES) or position + length > len(view):
            raise ArtifactError(f"The file is no ONNX model: its protobuf encoding breaks off or is damaged at byte {start}.")
        yield Field(number, kind, view[position : position + length], start, position + length)
        position += length


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            break
        byte = view[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ArtifactError(f"The file is no ONNX model: its protobuf encoding breaks off or is damaged at byte {position}.")


def looks_like_model(head: bytes) -> bool:
    """True when `head`, the beginning of a file, walks like a ModelProto: an IR version, and a graph or an opset in sight.

    A head that ends within a field is judged by what precedes it.
    """
    seen: set[int] = set()
    position, view = 0, memoryview(head)
    try:
        while position < len(view):
            key, position = _varint(view, position)
            number, kind = key >> 3, key & 7
            if MODEL_FIELDS.get(number) != kind:
                return False
            value, position = _varint(view, position)
            if number == 1 and not 1 <= value <= 255:
                return False
            seen.add(number)
            position += value if kind == BYTES else 0
    except ArtifactError:
        pass
    return 1 in seen and (bool(seen & {7, 8}) or position > len(view))
