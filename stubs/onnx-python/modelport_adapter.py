# SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
# mypy: disable-error-code="no-any-return"
"""Binds rows by name and replays carried answers for a runtime of a standard format, as modelport_stub.py does for JSON.

Used by modelport_onnx_stub.py (onnxruntime) and modelport_pmml_stub.py (PMML4S), and needs modelport_stub.py beside it: rows are
checked, and answers compared, by the JSON stub itself, on documents that hand their inputs through.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import modelport_stub
import numpy as np
from modelport_stub import Mismatch, ModelportError, Refused, Unsupported, format_tensor, parse_json, parse_tensor

__all__ = ["Adapter", "Declared", "Mismatch", "ModelportError", "Refused", "Unsupported", "declared"]

Array = np.ndarray
Run = Callable[[dict[str, Array]], dict[str, Array]]

# ==== Errors ==========================================================================================================
#
# Refused, Mismatch and Unsupported are those of modelport_stub.py.

# ==== JSON ============================================================================================================


class Declared:
    """What an artifact says of itself: inputs, outputs with row shapes, lengths, and the rows it carries."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        for key in ("inputs", "outputs"):
            if not isinstance(content.get(key), list) or not all(isinstance(v, dict) for v in content[key]):
                raise Refused(f"the declaration's {key} must be a list of objects")
        self.name = str(content.get("name", ""))
        self.inputs: list[dict[str, Any]] = [
            {k: v for k, v in value.items() if k in ("name", "dtype", "shape", "missing", "features")}
            for value in content["inputs"]
        ]
        self.outputs: list[dict[str, Any]] = content["outputs"]
        self.lengths: dict[str, Any] = content.get("lengths", {})
        self.verification: Any = content.get("verification")
        names = [o.get("name") for o in self.outputs]
        if not names or len(set(map(str, names))) != len(names) or not all(isinstance(n, str) for n in names):
            raise Refused("the declaration's outputs must have names, all different")
        for output in self.outputs:
            if output.get("dtype") not in modelport_stub.DTYPES or not isinstance(output.get("shape"), list):
                raise Refused(f"the declaration of output {output['name']!r} must have a dtype and a row shape")


def declared(text: bytes | str) -> dict[str, Any]:
    """A declaration's JSON, read strictly; Refused when it is no object."""
    content = parse_json(text)
    if not isinstance(content, dict):
        raise Refused("the declaration must be an object")
    version = str(content.get("version", ""))
    if version.partition(".")[0] != "1":
        raise Unsupported(f"the declaration is of version {version!r}; this reader knows version 1")
    return content


# ==== Tensors =========================================================================================================

_FED = ("f64", "f32", "i64", "bool", "str")  # dtypes that an input of a document may have


def _handed_through(declared: Declared) -> modelport_stub.Model:
    """A document whose outputs are its inputs: it checks rows, binds them by name and gives them as arrays."""
    outputs = [
        {"name": v.get("name"), "from": v.get("name"), "dtype": v.get("dtype"), "role": "transform"} for v in declared.inputs
    ]
    document = {
        "format": "modelport",
        "version": "1.1",
        "requires": [],
        "inputs": declared.inputs,
        "steps": [],
        "outputs": outputs,
    }
    if declared.lengths:
        document["lengths"] = declared.lengths
    return modelport_stub.load(json.dumps(document), verify=False)


def _comparing(
    outputs: Sequence[Mapping[str, Any]], got: Mapping[str, Array], expected: Any, tolerance: Any
) -> modelport_stub.Model:
    """A document whose inputs are what a runtime answered, and whose carried answers are the original's."""
    inputs, steps, results, rows = [], [], [], {}
    for k, output in enumerate(outputs):
        dtype, name, array = output["dtype"], f"answer {k}", got[output["name"]]
        fed = dtype if dtype in _FED else "i64"
        missing = {"f64": "nan", "f32": "nan", "str": "null"}.get(fed, "error")
        inputs.append({"name": name, "dtype": fed, "shape": list(array.shape[1:]), "missing": missing})
        source = name
        if fed != dtype:
            source = f"narrow {k}"
            steps.append({"op": "cast", "in": [name], "out": source, "to": dtype})
        results.append({"name": output["name"], "from": source, "dtype": dtype, "role": "transform"})
        rows[name] = format_tensor(fed, array)
    document = {
        "format": "modelport", "version": "1.1", "requires": ["cast"] if steps else [], "inputs": inputs, "steps": steps,
        "outputs": results, "verification": {"source": "sample", "inputs": rows, "outputs": expected, "tolerance": tolerance},
    }  # fmt: skip
    return modelport_stub.load(json.dumps(document), verify=False)


# ==== Rows ============================================================================================================


def _set(value: Any, declared: Declared) -> tuple[dict[str, Array], dict[str, Any]]:
    """The inputs of a set of carried rows as arrays, and its outputs as they are written."""
    if not isinstance(value, dict) or not isinstance(value.get("inputs"), dict) or not isinstance(value.get("outputs"), dict):
        raise Refused("the carried rows must be an object with inputs and outputs")
    inputs = {}
    for v in declared.inputs:
        if v["name"] not in value["inputs"]:
            raise Refused(f"the carried rows have no input {v['name']!r}")
        where, rank = f"input {v['name']!r} of the carried rows", 1 + len(v["shape"])
        inputs[v["name"]] = parse_tensor(value["inputs"][v["name"]], where, (v["dtype"],), (rank,))[1]
    return inputs, value["outputs"]


# ==== Model ===========================================================================================================


class Adapter:
    """A model in a runtime, behind the interface of the JSON stub's `Model`."""

    def __init__(self, declared: Declared, run: Run, engine: str) -> None:
        self._declared, self._run, self.engine = declared, run, engine
        self._feeder = _handed_through(declared)
        self.inputs = self._feeder.inputs
        self.outputs = tuple(o["name"] for o in declared.outputs)
        self.vectors = declared.verification

    def predict(self, rows: Any) -> dict[str, Array]:
        """The outputs for rows: a mapping (or data frame) of columns, a list of records, or the array of a single input."""
        return self._answer(self._feeder.predict(rows))

    def predict_json(self, request: bytes | str) -> dict[str, Any]:
        """{"inputs": {name: tensor}} as JSON text -> {"outputs": {name: tensor}}."""
        fed = self._feeder.predict_json(request)["outputs"]
        arrays = {name: parse_tensor(t, f"input {name!r}", (t["dtype"],), (len(t["shape"]),))[1] for name, t in fed.items()}
        got = self._answer(arrays)
        return {"outputs": {o["name"]: format_tensor(o["dtype"], got[o["name"]]) for o in self._declared.outputs}}

    def verify(self, vectors: Any = None) -> list[modelport_stub.Checked]:
        """Replays the carried rows, or those of a parsed `verification` object."""
        chosen = self.vectors if vectors is None else vectors
        if chosen is None:
            raise Refused("there are no vectors to verify with")
        if not isinstance(chosen, dict):
            raise Refused("verification must be an object")
        found: dict[str, list[modelport_stub.Checked]] = {name: [] for name in self.outputs}
        for part in [chosen, *chosen.get("more", [])]:
            inputs, expected = _set(part, self._declared)
            got = self._answer(self._feeder.predict(inputs))
            for check in self._compare(got, expected, chosen.get("tolerance")):
                found[check.output].append(check)
        return [
            checks[0]._replace(
                rows=sum(c.rows for c in checks), problem="; ".join(c.problem for c in checks if c.problem) or None
            )
            for checks in found.values()
        ]

    def info(self) -> dict[str, Any]:
        """Inputs, outputs and the engine, ready for JSON."""
        inputs = self._feeder.info()["inputs"]
        kept = ("name", "dtype", "shape", "role", "classes")
        outputs = [{k: v for k, v in o.items() if k in kept} for o in self._declared.outputs]
        return {"name": self._declared.name, "inputs": inputs, "outputs": outputs, "ops": [], "engine": self.engine}

    def _compare(self, got: Mapping[str, Array], expected: Any, tolerance: Any) -> list[modelport_stub.Checked]:
        for output in self._declared.outputs:
            name = output["name"]
            if name not in expected:
                raise Refused(f"the carried rows have no output {name!r}")
            wanted = parse_tensor(expected[name], f"output {name!r} of the carried rows", (output["dtype"],), range(1, 8))[1]
            if wanted.shape != got[name].shape:
                raise Mismatch(f"output {name!r} came as {list(got[name].shape)}, but the original answered {list(wanted.shape)}")
        return _comparing(self._declared.outputs, got, expected, tolerance).verify()

    def _answer(self, fed: dict[str, Array]) -> dict[str, Array]:
        """The runtime's answers in the declared dtypes and shapes; anything else is refused."""
        got, n = self._run(fed), len(next(iter(fed.values())))
        for output in self._declared.outputs:
            name, shape = output["name"], output["shape"]
            array = got[name]
            fits = array.shape[:1] == (n,) and len(array.shape) == 1 + len(shape)
            fits = fits and all(not isinstance(k, int) or k == m for k, m in zip(shape, array.shape[1:]))
            if not fits or array.dtype != modelport_stub.DTYPES[output["dtype"]]:
                raise Refused(
                    f"output {name!r} came as {array.dtype}{list(array.shape)} for {n} rows; {output['dtype']} rows of shape "
                    f"{shape} are declared"
                )
        return got


def opened(model: Adapter, verify: bool) -> Adapter:
    """The model, after it has answered the rows it carries; without `verify` they are not replayed, and may be absent."""
    if verify:
        if model.vectors is None:
            raise Refused("the file carries no verification; load it with verify off if you trust it")
        wrong = [check.problem for check in model.verify() if check.problem]
        if wrong:
            raise Mismatch("; ".join(wrong))
    return model
