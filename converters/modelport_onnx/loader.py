"""ONNX bytes as a runner through onnxruntime: our own models with their declaration and vectors, foreign ones as they are."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelport.document import Vectors
from modelport.errors import ArtifactError, InputError, ModelportError, Unsupported, UsageError
from modelport.graph import DTYPES, LIMITS, Graph, Input, Output, bind
from modelport.run import check_inputs

from . import metadata
from .audit import check_trees, drop_empty_inputs, refuse_external
from .builder import REFUSED
from .metadata import Metadata, fits
from .proto import imported, parse_model

__all__ = ["OnnxModel", "load"]

Array = np.ndarray[Any, np.dtype[Any]]

#: onnxruntime's names of tensor types -> ours
TENSOR_TYPES = {
    "tensor(double)": "f64",
    "tensor(float)": "f32",
    "tensor(int64)": "i64",
    "tensor(int32)": "i32",
    "tensor(int16)": "i16",
    "tensor(int8)": "i8",
    "tensor(uint32)": "u32",
    "tensor(uint16)": "u16",
    "tensor(uint8)": "u8",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
}
NODE_NAME = re.compile(rf"Name:'({re.escape(REFUSED)}.*?)' Status Message", re.DOTALL)
STATUS = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


def load(data: bytes, options: Mapping[str, Any]) -> OnnxModel:
    """A runner for ONNX bytes.

    Raises ArtifactError for damaged bytes, for tensors kept in other files and for models onnxruntime does not accept.
    """
    if len(data) > LIMITS.document_bytes:
        raise ArtifactError(f"The ONNX file has {len(data)} bytes, more than the limit of {LIMITS.document_bytes}.")
    model = parse_model(data)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    found = metadata.read(data, entries, options.get("digest", True) is not False)
    refuse_external(model)
    check_trees(model)
    if drop_empty_inputs(model):
        data = model.SerializeToString()
    del model
    return OnnxModel(_session(data, options.get("threads", 1)), found)


def _session(data: bytes, threads: Any) -> Any:
    runtime = imported("onnxruntime")
    if not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= 1024:
        raise UsageError(f"The number of threads is {threads!r}; it is a whole number from 1.")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 4
    try:
        return runtime.InferenceSession(data, settings, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions have no common base
        reason = _reason(error)
        if "NOT_IMPLEMENTED" in str(error) or "is not a registered function/op" in reason or "under development" in reason:
            raise Unsupported(f"onnxruntime {runtime.__version__} cannot run this ONNX model: {reason}") from None
        raise ArtifactError(f"onnxruntime {runtime.__version__} does not accept this ONNX model: {reason}") from None


def _reason(error: Exception) -> str:
    """onnxruntime's message as the end of a sentence."""
    text = " ".join(STATUS.sub("", str(error)).split())
    return (text if len(text) <= 300 else text[:297] + "...").rstrip(".") + "."


class OnnxModel:
    """A loaded ONNX model. One thread computes by default: more of them may change the last bits of tree ensembles."""

    def __init__(self, session: Any, found: Metadata | None) -> None:
        import onnxruntime

        self._session = session
        declared = _declared_types(session)
        self._metadata = found if found is not None else foreign(session)
        _check_names(self._metadata, declared)
        self.inputs: tuple[Input, ...] = self._metadata.inputs
        self.outputs: tuple[Output, ...] = self._metadata.outputs
        self.vectors: Vectors | None = self._metadata.vectors
        self.provenance: Mapping[str, Any] = self._metadata.provenance
        self.graph: Graph | None = None
        self.engine = f"onnxruntime {onnxruntime.__version__}"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name -> array [n, *row shape]; large batches are run in blocks so that memory stays bounded."""
        checked = check_inputs(self.inputs, feeds)
        n = len(next(iter(checked.values())))
        lengths = bind(self.inputs, {name: array.shape[1:] for name, array in checked.items()})
        block = self._block(lengths) or max(n, 1)
        encoded = {name: self._encoded(name, array) for name, array in checked.items()}
        if n == 0:
            return self._empty(lengths)
        parts = [self._run({k: v[i : i + block] for k, v in encoded.items()}, i, lengths) for i in range(0, n, block)]
        return parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def _block(self, lengths: Mapping[str, int]) -> int | None:
        """Rows to run at once: fewer when they are longer than the examples that the number was found for."""
        growth = [-(-length // max(1, self._metadata.lengths.get(name, length))) for name, length in lengths.items()]
        return self._metadata.block and max(1, self._metadata.block // max(1, math.prod(growth)))

    def _encoded(self, name: str, array: Array) -> Array:
        """An array as onnxruntime takes it: contiguous, missing strings as the string that stands for them."""
        if array.dtype != object:
            return np.ascontiguousarray(array)
        null = self._metadata.null
        flat = array.ravel().tolist()
        for text in flat:
            if text is not None and (text == null or not _encodable(text)):
                raise InputError(f"Input {name!r} holds {text!r}, which is no text an ONNX model can be given.")
        if null is None and None in flat:
            raise InputError(f"Input {name!r} holds a missing value, which this ONNX model has no way to express.")
        encoded: Array = np.empty(array.shape, dtype=object)
        encoded.ravel()[:] = [null if text is None else text for text in flat]
        return encoded

    def _run(self, feeds: Mapping[str, Array], first: int, lengths: Mapping[str, int]) -> dict[str, Array]:
        names = [self._metadata.names[output.name] for output in self.outputs]
        n = len(next(iter(feeds.values())))
        try:
            results = self._session.run(names, dict(feeds))
        except Exception as error:  # onnxruntime's exceptions have no common base
            if n == 1:
                raise _refusal(error, first) from None
            # a model refuses a row for what that row holds: halving finds the first
            for part in (slice(0, n // 2), slice(n // 2, n)):
                self._run({name: array[part] for name, array in feeds.items()}, first + part.start, lengths)
            raise InputError(f"Rows {first}..{first + n - 1}: onnxruntime failed: {_reason(error)}") from None
        return {o.name: self._decoded(o, result, n, lengths) for o, result in zip(self.outputs, results, strict=True)}

    def _decoded(self, output: Output, result: Any, n: int, lengths: Mapping[str, int]) -> Array:
        """A result as an array [n, *row shape] of the declared dtype; anything else is refused."""
        array = np.asarray(result)
        if output.dtype == "str":
            null = self._metadata.null
            texts = np.empty(array.size, dtype=object)
            texts[:] = [None if null is not None and text == null else text for text in array.ravel().tolist()]
            array = texts.reshape(array.shape)
        shape = self._metadata.shapes.get(output.name)
        sound = array.shape[:1] == (n,) and (shape is None or fits(array.shape[1:], shape, lengths))
        if not sound or array.dtype != DTYPES[output.dtype]:
            found = f"{array.dtype}{list(array.shape)}"
            raise ArtifactError(f"Output {output.name!r} came as {found} for {n} rows, which is not what the model declares.")
        return array

    def _empty(self, lengths: Mapping[str, int]) -> dict[str, Array]:
        """No rows; a length that nothing says is 0."""
        found = {}
        for output in self.outputs:
            shape = [lengths.get(k, 0) if isinstance(k, str) else k or 0 for k in self._metadata.shapes.get(output.name, ())]
            found[output.name] = np.zeros((0, *shape), dtype=DTYPES[output.dtype])
        return found


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(error: Exception, row: int) -> ModelportError:
    """What onnxruntime said of one row: a refusal the model was written with, or whatever else went wrong."""
    match = NODE_NAME.search(str(error))
    if match is None:
        return InputError(f"Row {row}: onnxruntime failed: {_reason(error)}")
    return InputError(f"Row {row}: {re.sub(r'_[0-9]+$', '', match[1].removeprefix(REFUSED))}.")


# --- declarations -------------------------------------------------------------------------------------------------------------


def _declared_types(session: Any) -> dict[str, tuple[str, list[Any]]]:
    return {v.name: (v.type, list(v.shape)) for v in (*session.get_inputs(), *session.get_outputs())}


def _check_names(found: Metadata, declared: Mapping[str, tuple[str, list[Any]]]) -> None:
    """The metadata names what the graph has, with its dtypes."""
    pairs = [(v.name, v.dtype) for v in found.inputs] + [(found.names[o.name], o.dtype) for o in found.outputs]
    for name, dtype in pairs:
        if name not in declared or TENSOR_TYPES.get(declared[name][0]) != dtype:
            raise ArtifactError(f"The ONNX graph has no {dtype} tensor {name!r}, which its metadata declares.")
    extra = sorted(declared.keys() - {name for name, _ in pairs})
    if extra:
        raise ArtifactError(f"The ONNX graph has an input or output {extra[0]!r}, which its metadata does not declare.")


def foreign(session: Any) -> Metadata:
    """The declaration of a model without our metadata, as far as ONNX tells it.

    Floats may be NaN, since ONNX does not say; a prediction is an output of integers, strings or bool, any other is a score.
    """
    inputs = []
    for value in session.get_inputs():
        dtype = _tensor_type(value, "input")
        if dtype not in ("f64", "f32", "i64", "bool", "str"):
            raise Unsupported(f"The ONNX input {value.name!r} is {value.type}; inputs of f64, f32, i64, bool and str are run.")
        shape = _foreign_shape(value)
        inputs.append(Input(value.name, dtype, shape, "nan" if dtype in ("f64", "f32") else "error"))
    outputs = []
    for value in session.get_outputs():
        dtype = _tensor_type(value, "output")
        role = "score" if dtype in ("f64", "f32") else "prediction"
        outputs.append(Output(value.name, value.name, dtype, role))
    if not inputs:
        raise Unsupported("The ONNX model has no input.")
    # what foreign exporters declare of outputs is often wrong: the results speak for themselves
    return Metadata(tuple(inputs), tuple(outputs), {o.name: o.name for o in outputs}, {})


def _foreign_shape(value: Any) -> tuple[int | str, ...]:
    """The row shape of an input; a length without a name is called after the input and the axis."""
    axes = value.shape
    if not axes or isinstance(axes[0], int) or len(axes) - 1 > LIMITS.rank or (axes[0] is not None and axes[0] in axes[1:]):
        raise Unsupported(
            f"The ONNX input {value.name!r} has the shape {axes}; rows are run, of which there may be any number along axis 0."
        )
    return tuple(k if isinstance(k, int) else k or f"{value.name} axis {axis}" for axis, k in enumerate(axes[1:], 1))


def _tensor_type(value: Any, kind: str) -> str:
    if value.type in TENSOR_TYPES:
        return TENSOR_TYPES[value.type]
    hint = " Convert it with the option zipmap=False." if value.type.startswith("seq(map") else ""
    raise Unsupported(f"The ONNX {kind} {value.name!r} is {value.type}, which is no plain tensor.{hint}")
