# SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
# mypy: disable-error-code="no-any-return"
"""Runs modelport ONNX artifacts with onnxruntime, after they have answered the rows they carry as the original model did.

    model = modelport_onnx_stub.load(open("model.onnx", "rb").read())
    model.predict([{"age": 41, "colour": "red"}])         # {"label": array(["yes"], dtype=object), ...}

Needs modelport_adapter.py and modelport_stub.py beside it, NumPy and onnxruntime. A loaded model may be used from several
threads.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from modelport_adapter import Adapter, Array, Declared, Mismatch, ModelportError, Refused, Unsupported, declared, opened

__all__ = ["Mismatch", "ModelportError", "Refused", "Unsupported", "load"]

KEY = "modelport.document"
_REFUSED = "refused: "
_NODE = re.compile(r"Name:'(" + re.escape(_REFUSED) + r".*?)' Status Message", re.DOTALL)
_MODEL, _GRAPH, _NODES, _ATTRIBUTE, _TENSORS = "model", "graph", "node", "attribute", "tensor"
#: message -> {field number: the message it holds}; only what leads to tensors is followed
_FIELDS: Mapping[str, Mapping[int, str]] = {
    _MODEL: {7: _GRAPH, 25: "function"},
    _GRAPH: {1: _NODES, 5: _TENSORS},
    "function": {7: _NODES},
    _NODES: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSORS, 6: _GRAPH, 10: _TENSORS, 11: _GRAPH},
    _TENSORS: {},
}


def load(data: bytes, *, verify: bool = True, threads: int = 1) -> Adapter:
    """The model of an ONNX file that modelport wrote. One thread computes by default: more may change last bits of tree sums."""
    if len(data) > 512 * 2**20:
        raise Refused(f"the file has {len(data)} bytes, more than the {512 * 2**20} allowed")
    view = memoryview(bytes(data))
    _refuse_external(view, _MODEL, 0)
    content = declared(_document(view))
    if content.get("format") != "modelport-onnx":
        raise Refused(f"the metadata {KEY!r} is not of format 'modelport-onnx'")
    found = Declared(content)
    session = _Session(bytes(data), found, content, threads)
    return opened(Adapter(found, session.run, session.engine), verify)


# ---- protobuf: just enough to find metadata_props, and tensors that are kept in other files ----


def _fields(view: memoryview) -> Iterator[tuple[int, Any]]:
    """(field number, bytes or integer) of a message; Refused when it is none."""
    at, end = 0, len(view)
    while at < end:
        key, at = _varint(view, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Refused("the file is no ONNX model: a field has the number 0")
        if wire == 0:
            value, at = _varint(view, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(view, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise Refused("the file is no ONNX model, or a damaged one")
        if size > end - at:
            raise Refused("the file is no ONNX model, or it is cut off")
        yield number, view[at : at + size]
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(view):
            raise Refused("the file is no ONNX model, or it is cut off")
        byte = view[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise Refused("the file is no ONNX model, or a damaged one")


def _document(view: memoryview) -> bytes:
    """The text of the declaration in metadata_props."""
    found: list[bytes] = []
    for number, value in _fields(view):
        if number == 14 and isinstance(value, memoryview):
            entry = {k: bytes(v) for k, v in _fields(value) if isinstance(v, memoryview)}
            if entry.get(1) == KEY.encode():
                found.append(entry.get(2, b""))
    if len(found) != 1:
        raise Refused(f"the file is no ONNX model of modelport: it has {len(found)} entries {KEY!r} in its metadata, not one")
    return found[0]


def _refuse_external(view: memoryview, kind: str, depth: int) -> None:
    """Tensors in other files are refused: an artifact is whole."""
    if depth > 60:
        raise Refused("the ONNX model's graphs are nested too deeply")
    inner = _FIELDS[kind]
    for number, value in _fields(view):
        if kind == _TENSORS and (number == 13 or (number == 14 and value != 0)):
            raise Refused("the ONNX model keeps tensors in another file, which is refused: an artifact is whole")
        if number in inner and isinstance(value, memoryview):
            _refuse_external(value, inner[number], depth + 1)


class _Session:
    """The file in onnxruntime, fed and read by the names that its declaration gives."""

    def __init__(self, data: bytes, found: Declared, content: Mapping[str, Any], threads: int) -> None:
        try:
            import onnxruntime as runtime
        except ImportError:
            raise Unsupported("onnxruntime is not installed: pip install onnxruntime") from None
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads, settings.log_severity_level = threads, 1, 4
        try:
            self._session = runtime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base
            text = " ".join(str(error).split())[:300]
            kind = Unsupported if "NOT_IMPLEMENTED" in text or "not a registered" in text else Refused
            raise kind(f"onnxruntime {runtime.__version__} does not take this model: {text}") from None
        self.engine = f"onnxruntime {runtime.__version__}"
        null, block = content.get("null"), content.get("block", 1 << 30)
        if not isinstance(null, (str, type(None))) or type(block) is not int or block < 1:
            raise Refused("the declaration's null is no string, or its block no positive integer")
        self._null, self._block, self._lengths = null, block, found.lengths
        self._names = {o["name"]: str(o.get("onnx", o["name"])) for o in found.outputs}
        self._dtypes = {o["name"]: o["dtype"] for o in found.outputs}
        self._shapes = {o["name"]: o["shape"] for o in found.outputs}
        self._rows = {v["name"]: v["shape"] for v in found.inputs}
        given = {v.name for v in self._session.get_inputs()}, {v.name for v in self._session.get_outputs()}
        if given != ({v["name"] for v in found.inputs}, set(self._names.values())):
            raise Refused("the ONNX graph has other inputs or outputs than the file declares")

    def run(self, fed: dict[str, Array]) -> dict[str, Array]:
        n = len(next(iter(fed.values())))
        encoded = {name: self._encoded(name, array) for name, array in fed.items()}
        if n == 0:
            return {name: self._empty(name) for name in self._names}
        lengths = {k: m for name, a in fed.items() for k, m in zip(self._rows[name], a.shape[1:]) if isinstance(k, str)}
        growth = math.prod(-(-m // max(1, self._lengths.get(k, m))) for k, m in lengths.items())
        block = max(1, self._block // max(1, growth))
        parts = [self._part({k: v[at : at + block] for k, v in encoded.items()}, at) for at in range(0, n, block)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._names}

    def _empty(self, name: str) -> Array:
        shape = [k if isinstance(k, int) else 0 for k in self._shapes[name]]
        dtype = self._dtypes[name]
        return np.zeros((0, *shape), dtype=object if dtype == "str" else _numpy(dtype))

    def _encoded(self, name: str, array: Array) -> Array:
        if array.dtype != object:
            return np.ascontiguousarray(array)
        if self._null is not None and (array == self._null).any():
            raise Refused(f"input {name!r} holds the text that stands for a missing one in this file")
        if self._null is None and any(item is None for item in array.ravel()):
            raise Refused(f"input {name!r} holds a missing value, which this ONNX model cannot be given")
        encoded = array.copy()
        encoded[[item is None for item in array.ravel()] if array.ndim == 1 else np.equal(array, None)] = self._null
        return encoded

    def _part(self, fed: dict[str, Array], first: int) -> dict[str, Array]:
        n = len(next(iter(fed.values())))
        try:
            found = self._session.run(list(self._names.values()), fed)
        except Exception as error:  # its exceptions have no common base
            if n > 1:  # which row it is
                for start, stop in ((0, n // 2), (n // 2, n)):
                    self._part({k: v[start:stop] for k, v in fed.items()}, first + start)
            said = _NODE.search(str(error))
            why = re.sub(r"_[0-9]+$", "", said[1].removeprefix(_REFUSED)) if said else " ".join(str(error).split())[:300]
            raise Refused(f"row {first}: {why}") from None
        return {name: self._decoded(name, value) for name, value in zip(self._names, found)}

    def _decoded(self, name: str, value: Any) -> Array:
        array = np.asarray(value)
        if self._dtypes[name] != "str":
            return array
        texts = np.empty(array.size, dtype=object)
        texts[:] = [None if self._null is not None and t == self._null else t for t in array.ravel().tolist()]
        return texts.reshape(array.shape)


def _numpy(dtype: str) -> Any:
    kind = {"f": "float", "i": "int", "u": "uint"}.get(dtype[0])
    return np.dtype(bool if kind is None else f"{kind}{dtype[1:]}")
