"""The original of an ONNX model: onnxruntime on the very file, fed with arrays by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelport.arrays import Arrays, named_lengths
from modelport.delegation import first_line
from modelport.errors import ArtifactError, InputError, MissingDependency, UnsupportedModel, UsageError
from modelport.reading import Reading
from modelport.sample import Sample

from .reading import CODES, Declared, batch_axes, graph_of, initialized
from .values import NUMPY

__all__ = ["Original", "opened", "read_model", "sample"]

Array = NDArray[Any]
LARGEST = (1 << 31) - 1


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency(
            f"Reading ONNX models needs {name}, which cannot be imported: pip install 'modelport[onnx]'."
        ) from error


def opened(path: str) -> Any:
    """See `modelport_onnx_source.open_file`."""
    onnx = _package("onnx")
    try:
        model = onnx.load(path)
    except FileNotFoundError as error:
        raise ArtifactError(f"Its weights are in another file, which is not beside it: {first_line(error)}") from None
    except Exception as error:  # google.protobuf's DecodeError, which moves between releases, and onnx's own
        raise ArtifactError(f"The file is no ONNX model, or a damaged one: {first_line(error)}") from None
    if not model.graph.output:
        raise ArtifactError("The file is no ONNX model: it holds no graph with outputs.")
    return model


def inputs_of(model: Any) -> dict[str, Any]:
    """The inputs that have to be fed: name -> type."""
    given = initialized(model)
    found = {}
    for value in model.graph.input:
        if value.name in given:
            continue
        if not value.type.HasField("tensor_type"):
            raise UnsupportedModel(f"The input {value.name!r} of the ONNX model is no tensor: sequences and maps are not read.")
        found[value.name] = value.type.tensor_type
    if not found:
        raise UnsupportedModel("The ONNX model has no input.")
    return found


def sample(model: Any, data: Any) -> Arrays:
    """See `modelport_onnx_source.sample_of`."""
    if isinstance(data, Arrays):
        return data
    kinds = inputs_of(model)
    if isinstance(data, Mapping):
        given = {str(name): value for name, value in data.items()}
    elif isinstance(data, tuple) or (isinstance(data, list) and len(kinds) > 1):
        if len(data) != len(kinds):
            raise InputError(f"The sample has {len(data)} arrays, but the ONNX model takes {', '.join(kinds)}.")
        given = dict(zip(kinds, data, strict=True))
    else:
        given = {next(iter(kinds)): data}
    odd = sorted(set(given) ^ set(kinds))
    if odd:
        raise InputError(
            f"The sample has the inputs {', '.join(sorted(given))}; the ONNX model takes {', '.join(kinds)} (see {odd[0]!r})."
        )
    return Arrays({name: _array(name, given[name], kind) for name, kind in kinds.items()})


def _array(name: str, value: Any, kind: Any) -> Array:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    elif hasattr(value, "to_numpy"):
        value = value.to_numpy()
    array = np.asarray(value)
    dtype = NUMPY.get(CODES.get(kind.elem_type, ""))
    if dtype is None or kind.elem_type == 10:
        label = CODES.get(kind.elem_type, f"of type {kind.elem_type}")
        raise UnsupportedModel(
            f"The input {name!r} of the ONNX model is {label}: float32, float64, integers and booleans are read."
        )
    if array.dtype.kind not in "fiub" or (np.dtype(dtype).kind in "iub" and array.dtype.kind == "f"):
        raise InputError(f"The sample's {name!r} holds {array.dtype}; {np.dtype(dtype)} is needed.")
    return np.ascontiguousarray(array.astype(dtype))


class Original:
    """A session on the model; `single` where the file takes one row at a time."""

    def __init__(self, model: Any, batches: Mapping[str, int]) -> None:
        runtime = _package("onnxruntime")
        if model.ByteSize() > LARGEST:
            raise UnsupportedModel("The ONNX model has more than 2 GB of weights, which no artifact holds in one file.")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # as the file says it: further optimisations compute quantized weights in fewer bits
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        try:
            self.session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base
            raise UnsupportedModel(
                f"onnxruntime {runtime.__version__} cannot run this ONNX model, so there is no original to hold an artifact "
                f"against: {first_line(error)}"
            ) from error
        self.version = runtime.__version__
        self.kinds, self.batches = inputs_of(model), dict(batches)
        self.results = batch_axes(model, batches)
        self.single = self._takes_one()

    def _takes_one(self) -> bool:
        """Whether the file's batch has the fixed length 1; another fixed length is refused."""
        fixed = set()
        for name, kind in self.kinds.items():
            dims, axis = kind.shape.dim, self.batches[name]
            if kind.HasField("shape") and axis >= len(dims):
                raise UnsupportedModel(
                    f"The input {name!r} of the ONNX model has {len(dims)} axes, and no axis {axis} for the batch."
                )
            fixed.add(dims[axis].dim_value if axis < len(dims) and dims[axis].HasField("dim_value") else 0)
        odd = sorted(fixed - {0, 1})
        if odd:
            raise UnsupportedModel(
                f"The ONNX model takes exactly {odd[0]} rows at once, and an artifact answers row by row: export it with a batch "
                "of any size."
            )
        return 1 in fixed

    def answer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The model's outputs; the batch comes first in feeds and answers, whatever axis it is in the model."""
        count = len(next(iter(feeds.values())))
        if self.single and count != 1:
            parts = [self.answer({name: array[k : k + 1] for name, array in feeds.items()}) for k in range(count)]
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        given = {name: _fed(name, feeds[name], kind, self.batches[name]) for name, kind in self.kinds.items()}
        names = list(self.results)
        found = self.session.run(names, given)
        return {
            name: np.ascontiguousarray(_first(name, np.asarray(array), self.results[name]))
            for name, array in zip(names, found, strict=True)
        }


def _first(name: str, array: Array, axis: int) -> Array:
    if axis >= array.ndim:
        raise UnsupportedModel(
            f"The output {name!r} of the ONNX model has no axis for the batch: an artifact answers row by row."
        )
    return np.moveaxis(array, axis, 0)


def _fed(name: str, array: Array, kind: Any, axis: int) -> Array:
    dtype = np.dtype(NUMPY[CODES[kind.elem_type]])
    if dtype.kind in "iu" and array.size:
        bounds = np.iinfo(dtype)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise InputError(f"Input {name!r} holds a number that is no {dtype}, which the model is fed.")
    return np.ascontiguousarray(np.moveaxis(array.astype(dtype, copy=False), 0, axis))


def read_model(model: Any, given: Sample | Arrays, options: Mapping[str, Any]) -> Reading:
    """See `modelport_onnx_source.read`."""
    kinds = inputs_of(model)
    rows = given if isinstance(given, Arrays) else sample(model, next(iter(given.feeds().values())))
    labels = named_lengths(options.get("lengths"), {name: array.ndim for name, array in rows.values.items()})
    rows = Arrays(rows.values, labels) if labels else rows
    batches = dict.fromkeys(kinds, 0) | dict(options.get("batch") or {})
    unknown = sorted(set(batches) - set(kinds))
    if unknown:
        raise UsageError(f"batch names the input {unknown[0]!r}, which the ONNX model does not have: {', '.join(kinds)}.")
    original = Original(model, batches)
    declared = []
    for name, array in rows.values.items():
        held = rows.names.get(name, (None,) * (array.ndim - 1))
        row = tuple(n if label is None else label for n, label in zip(array.shape[1:], held, strict=True))
        _check_dims(name, kinds[name], row, batches[name])
        declared.append(Declared(name, row, CODES[kinds[name].elem_type], batches[name]))
    graph = graph_of(model, declared, rows.lengths)
    opsets = {o.domain or "ai.onnx": o.version for o in model.opset_import}
    provenance = {
        "framework": {"name": "onnx", "opset": opsets.get("ai.onnx")}, "engine": f"onnxruntime {original.version}",
        "model": model.producer_name or "onnx.ModelProto",
    }  # fmt: skip
    return Reading(graph, original.answer, provenance, sample=rows)


def _check_dims(name: str, kind: Any, row: tuple[int | str, ...], batch: int) -> None:
    """InputError for a sample of other lengths than the file has, UnsupportedModel for a named length that is fixed in it."""
    if not kind.HasField("shape"):
        return
    dims = [d for k, d in enumerate(kind.shape.dim) if k != batch]
    if len(dims) != len(row):
        raise InputError(f"Input {name!r} of the ONNX model has {len(dims) + 1} axes, but the sample's array {len(row) + 1}.")
    for k, (dim, n) in enumerate(zip(dims, row, strict=True)):
        if not dim.HasField("dim_value"):
            continue
        if isinstance(n, str):
            raise UnsupportedModel(
                f"Axis {k + 1} of the input {name!r} is to vary as {n!r}, but the ONNX model fixes it to {dim.dim_value}."
            )
        if dim.dim_value != n:
            raise InputError(
                f"Input {name!r} of the ONNX model has the length {dim.dim_value} at axis {k + 1}, but the sample {n}."
            )
