# SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
# mypy: disable-error-code="no-any-return"
"""Runs modelport PMML artifacts with PMML4S (pypmml), after they have answered the rows they carry as the original model did.

    model = modelport_pmml_stub.load(open("model.pmml", "rb").read())
    model.predict([{"age": 41, "colour": "red"}])         # {"label": array(["yes"], dtype=object), ...}

Needs modelport_adapter.py and modelport_stub.py beside it, NumPy, pypmml and Java.
"""

from __future__ import annotations

import json
import math
import threading
import xml.parsers.expat
from collections.abc import Mapping
from typing import Any

import modelport_stub
import numpy as np
from modelport_adapter import Adapter, Array, Declared, Mismatch, ModelportError, Refused, Unsupported, declared, opened

__all__ = ["Mismatch", "ModelportError", "Refused", "Unsupported", "load"]

_DEPTH, _TREE_DEPTH, _ATTRIBUTES = 100, 5000, 256
_MISSING_LONG = -(2**63)  # what PMML4S writes for a missing integer


def load(data: bytes, *, verify: bool = True) -> Adapter:
    """The model of a PMML file that modelport wrote."""
    if len(data) > 512 * 2**20:
        raise Refused(f"the file has {len(data)} bytes, more than the {512 * 2**20} allowed")
    content = declared(_declaration(data))
    found = Declared(content)
    scorer = _Scorer(data, content)
    return opened(Adapter(found, scorer.run, scorer.engine), verify)


class _Reader:
    """Receives expat's events: keeps the declaration, and counts what a hostile file has too much of."""

    def __init__(self) -> None:
        self.depth = self.nodes = 0
        self.text: list[str] | None = None
        self.found: list[str] = []
        self.root = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        self.root = self.root or name
        if len(attributes) > _ATTRIBUTES:
            raise Refused(f"an element {name[:80]} has {len(attributes)} attributes, more than the {_ATTRIBUTES} allowed")
        if name == "Node":
            self.nodes += 1
        else:
            self.depth += 1
        if self.depth > _DEPTH or self.nodes > _TREE_DEPTH:
            raise Refused(f"the file is nested deeper than {_DEPTH} levels, or a tree deeper than {_TREE_DEPTH}")
        if name == "Extension" and attributes.get("extender") == "modelport" and attributes.get("name") == "document":
            self.text = []

    def end(self, tag: str) -> None:
        if tag.rpartition(" ")[2] == "Node":
            self.nodes -= 1
        else:
            self.depth -= 1
        if self.text is not None:
            self.found.append("".join(self.text))
            self.text = None

    def characters(self, data: str) -> None:
        if self.text is not None:
            self.text.append(data)


def _declaration(data: bytes) -> str:
    """The declaration in the header; a document type, and with it every entity, is refused."""
    reader, parser = _Reader(), xml.parsers.expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = reader.characters, _refuse_doctype
    try:
        parser.Parse(data, True)
    except xml.parsers.expat.ExpatError as error:
        raise Refused(f"the file is not well-formed XML: {error}") from None
    except LookupError:
        raise Refused("the file is in a character encoding that is not known: save it as UTF-8") from None
    if reader.root != "PMML":
        raise Refused(f"the file's root is {reader.root[:80] or 'nothing'}, not PMML")
    if len(reader.found) != 1:
        raise Refused("the PMML file was not written by modelport: convert it first (modelport convert model.pmml --to pmml)")
    return reader.found[0]


def _refuse_doctype(*_: Any) -> None:
    raise Refused("the file has a document type declaration (DOCTYPE), which is refused: remove it")


class _Scorer:
    """The file in PMML4S. Rows travel to it as JSON with all digits; one call at a time."""

    def __init__(self, data: bytes, content: Mapping[str, Any]) -> None:
        try:
            import pypmml
        except ImportError:
            raise Unsupported("pypmml is not installed: pip install pypmml") from None
        try:
            self._fields = {v["name"]: [str(f) for f in v["fields"]] for v in content["inputs"]}
            self._results = [
                (o["name"], o["dtype"], [int(k) for k in o["shape"]], [str(f) for f in o["fields"]]) for o in content["outputs"]
            ]
        except (KeyError, TypeError, ValueError):
            raise Refused("the declaration does not say which fields its inputs and outputs are made of") from None
        self._accepts = content.get("accepts")
        self._lock = threading.Lock()
        try:
            self._model = pypmml.Model.fromBytes(data)
        except Exception as error:  # py4j raises classes of its own for whatever happens in Java
            raise Refused(f"pypmml cannot read the file: {_sentence(error)}") from None
        self.engine = f"pypmml {getattr(pypmml, '__version__', 'of unknown version')}"

    def run(self, fed: dict[str, Array]) -> dict[str, Array]:
        n = len(next(iter(fed.values())))
        names = [f for name in fed for f in self._fields[name]]
        if any(math.prod(array.shape[1:]) != len(self._fields[name]) for name, array in fed.items()):
            raise Refused("the declaration names other fields than its inputs have columns")
        columns = {name: array.reshape(n, len(self._fields[name])) for name, array in fed.items()}
        cells = [column[:, j].tolist() for column in columns.values() for j in range(column.shape[1])]
        rows = ",".join(f"[{','.join(_json(c[i]) for c in cells)}]" for i in range(n))
        results: list[dict[str, Any]] = []
        if n:
            try:
                with self._lock:
                    answer = json.loads(self._model.predict(f'{{"columns":{json.dumps(names)},"data":[{rows}]}}'))
            except Exception as error:
                raise Refused(f"pypmml does not score the rows: {_sentence(error)}") from None
            results = [dict(zip(answer["columns"], row)) for row in answer["data"]]
        for i, result in enumerate(results):
            if self._accepts is not None and str(result.get(self._accepts)).lower() != "true":
                raise Refused(f"row {i} is not accepted by the model")
        return {name: self._gathered(name, dtype, shape, fields, results) for name, dtype, shape, fields in self._results}

    def _gathered(self, name: str, dtype: str, shape: list[int], fields: list[str], results: list[dict[str, Any]]) -> Array:
        if len(fields) != math.prod(shape):
            raise Refused(f"output {name!r} is declared with {len(fields)} fields for row shape {shape}")
        cells = [_cell(result, field, dtype, i, name) for i, result in enumerate(results) for field in fields]
        array = np.empty(len(cells), dtype=modelport_stub.DTYPES[dtype])
        array[:] = cells
        return array.reshape(len(results), *shape)


def _json(value: Any) -> str:
    """A cell as JSON; an infinity as a number too large for a double."""
    if value is None or value != value:
        return "null"
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"
    return json.dumps(value)


def _cell(result: Mapping[str, Any], field: str, dtype: str, row: int, name: str) -> Any:
    if field not in result:
        raise Refused(f"pypmml answers no field {field!r}, of which output {name!r} is made")
    value = result[field]
    floats = dtype in modelport_stub.FLOATS
    missing = value is None or (not floats and value == _MISSING_LONG)
    if dtype == "str":
        return None if missing else str(value)
    if floats:
        return math.nan if missing else float(value)
    if missing:
        raise Refused(f"row {row}: pypmml gives no {name!r}")
    if dtype == "bool":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    number = float(value)
    if number != int(number):
        raise Refused(f"row {row}: pypmml gives {value} as {name!r}, which is no {dtype}")
    return int(number)


def _sentence(error: BaseException) -> str:
    """The first line of what a Java error says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
