"""LiteRT files as runners: rows go through the interpreter one by one, and tensors are bound by the names of the signature."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelport.document import Vectors
from modelport.errors import ArtifactError, InputError, MissingDependency, UsageError
from modelport.graph import DTYPES, Graph, Input, Output
from modelport.run import check_inputs

from .container import unpack

__all__ = ["Interpreter", "TfliteModel", "load"]

Array = NDArray[Any]
#: where an interpreter may be found, with the package that has it
ENGINES = (("ai_edge_litert.interpreter", "ai_edge_litert", "LiteRT"), ("tensorflow.lite", "tensorflow", "TensorFlow Lite"))
#: our dtypes, and those of a model's tensors that may stand for them
HELD = {"f32": ("float32",), "i64": ("int64", "int32", "int16", "int8", "uint8"), "bool": ("bool",)}


def load(data: bytes, options: Mapping[str, Any]) -> TfliteModel:
    """See `modelport_tflite.load`."""
    package = unpack(data)
    interpreter = Interpreter(package.model, options.get("threads", 1))
    interpreter.check(package.inputs, package.outputs, package.document.graph)
    document = package.document
    return TfliteModel(interpreter, document.graph, document.vectors, document.provenance)


def _engine() -> tuple[Any, str]:
    """The interpreter's class, and what it calls itself."""
    for module, package, name in ENGINES:
        try:
            found = importlib.import_module(module)
            version = getattr(importlib.import_module(package), "__version__", "")
        except ImportError:
            continue
        return found.Interpreter, f"{name} {version}".strip()
    raise MissingDependency("LiteRT files are run by ai-edge-litert, which is not installed: pip install 'modelport[tflite]'.")


class Interpreter:
    """A model in LiteRT's interpreter, for one row at a time; it may be used by several threads, which wait for each other."""

    def __init__(self, model: bytes, threads: Any = 1) -> None:
        if type(threads) is not int or not 1 <= threads <= 1024:
            raise UsageError(f"The number of threads is {threads!r}; it is a whole number from 1.")
        cls, self.engine = _engine()
        self._lock = threading.Lock()
        try:
            interpreter = cls(model_content=model, num_threads=threads)
            signatures = interpreter.get_signature_list()
            if len(signatures) != 1:
                raise ArtifactError(
                    f"The LiteRT model has {len(signatures)} signatures; one is needed, to bind its tensors by name."
                )
            self._run = interpreter.get_signature_runner()
            self._inputs, self._outputs = self._run.get_input_details(), self._run.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise ArtifactError(f"{self.engine} does not accept this LiteRT model: {_first(error)}") from None
        self._input_names: Mapping[str, str] = {}
        self._output_names: Mapping[str, str] = {}

    def check(self, inputs: Mapping[str, str], outputs: Mapping[str, str], graph: Graph) -> None:
        """Bind our names to those of the signature; ArtifactError where its tensors are others than a graph declares."""
        for kind, bound, details in (("input", inputs, self._inputs), ("output", outputs, self._outputs)):
            if set(bound.values()) != set(details):
                raise ArtifactError(f"The {kind}s of its signature are {sorted(details)}, and not {sorted(bound.values())}.")
        declared = [(inputs[v.name], v.dtype, v.shape, self._inputs) for v in graph.inputs]
        declared += [(outputs[o.name], o.dtype, graph.types[o.source].shape, self._outputs) for o in graph.outputs]
        for name, dtype, shape, details in declared:
            found = np.dtype(details[name]["dtype"]).name, tuple(int(k) for k in details[name]["shape"])
            if found[0] not in HELD.get(dtype, ()) or found[1] != (1, *shape):
                raise ArtifactError(
                    f"Its tensor {name!r} is {found[0]}{list(found[1])}; one row of {dtype}{list(shape)} is needed."
                )
        self._input_names, self._output_names = inputs, outputs

    def run(self, row: Mapping[str, Array]) -> dict[str, Array]:
        """One row: our names -> arrays [1, *row shape]."""
        feeds = {}
        for name, array in row.items():
            bound = self._input_names[name]
            feeds[bound] = _narrowed(name, array, np.dtype(self._inputs[bound]["dtype"]))
        with self._lock:
            try:
                results = self._run(**feeds)
            except (ValueError, RuntimeError) as error:
                raise InputError(f"{self.engine} failed: {_first(error)}") from None
        return {name: np.array(results[bound]) for name, bound in self._output_names.items()}


def _narrowed(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Whole numbers in the tensor's dtype; one that does not fit is refused."""
    if dtype.kind in "iu" and array.size:
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise InputError(f"Input {name!r} holds a number that does not fit {dtype}, in which the LiteRT model takes it.")
    return array.astype(dtype, copy=False)


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0][:300].rstrip(".") + "."


class TfliteModel:
    """A loaded LiteRT file."""

    def __init__(self, interpreter: Interpreter, graph: Graph, vectors: Vectors | None, provenance: Mapping[str, Any]) -> None:
        self._interpreter = interpreter
        self._types = {o.name: graph.types[o.source] for o in graph.outputs}
        self.inputs: tuple[Input, ...] = graph.inputs
        self.outputs: tuple[Output, ...] = graph.outputs
        self.vectors = vectors
        self.provenance = provenance
        self.graph: Graph | None = None
        self.engine = interpreter.engine

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name -> array [n, *row shape]; the rows are run one after the other."""
        checked = check_inputs(self.inputs, feeds)
        count = len(next(iter(checked.values())))
        results = {name: np.empty((count, *t.shape), DTYPES[t.dtype]) for name, t in self._types.items()}
        for i in range(count):
            try:
                answers = self._interpreter.run({name: array[i : i + 1] for name, array in checked.items()})
            except InputError as error:
                raise InputError(f"Row {i}: {error}") from None
            for name, answer in answers.items():
                if answer.shape != (1, *self._types[name].shape):
                    raise ArtifactError(
                        f"Output {name!r} came in shape {list(answer.shape)}, which is not what the model declares."
                    )
                results[name][i] = answer[0]
        return results
