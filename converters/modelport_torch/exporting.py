"""A PyTorch model as one ONNX file, by PyTorch's own exporter, mended. Reader and delegate share it: a model is exported once."""

from __future__ import annotations

import io
import itertools
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelport.arrays import Arrays
from modelport.delegation import first_line
from modelport.errors import ModelportError, UnsupportedModel

from .calling import Original, named_tensors, quiet
from .naming import layer_names

__all__ = ["Exported", "exported"]

Array = NDArray[Any]
OPSET = 20
#: what protobuf holds at most, with some room for what is put beside the graph
LARGEST = (1 << 31) - (1 << 24)


@dataclass(frozen=True)
class Exported:
    """The exporter's file, mended: inputs have the names of forward's arguments, outputs those of `outputs`, in order."""

    proto: Any
    outputs: tuple[str, ...]
    #: graph name of an output -> its name in the file, where an input has the name too
    fields: Mapping[str, str]

    @property
    def data(self) -> bytes:
        """The file."""
        return bytes(self.proto.SerializeToString(deterministic=True))


_KEPT: weakref.WeakKeyDictionary[Any, tuple[Any, Exported]] = weakref.WeakKeyDictionary()


def exported(original: Original, sample: Arrays) -> Exported:
    """The model as ONNX for rows like the sample's; the same file again while neither has changed.

    Raises UnsupportedModel, in the exporter's words, for a model that it does not export.
    """
    key = _state(original, sample)
    kept = _KEPT.get(original.model)
    if kept is not None and kept[0] == key:
        return kept[1]
    result = _export(original, sample)
    _KEPT[original.model] = (key, result)
    return result


def _state(original: Original, sample: Arrays) -> Any:
    tensors = [*original.module.parameters(), *original.module.buffers()]
    versions = tuple((t.data_ptr(), t._version, tuple(t.shape)) for t in tensors) if original.program is None else ()
    rows = tuple((name, array.dtype.str, array.shape[1:]) for name, array in sample.values.items())
    return versions, rows, tuple(sorted((k, tuple(v)) for k, v in sample.names.items()))


def _export(original: Original, sample: Arrays) -> Exported:
    if original.program is not None:
        _check_batch(original)
    rows = export_rows(sample)
    names = list(rows)
    with original.as_trained(), original.torch.no_grad(), quiet(), _fresh_recurrences(original.torch):
        tensors = {name: original.torch.from_numpy(array) for name, array in rows.items()}
        outputs = tuple(_asked(original, tensors))
        try:
            if original.program is not None:
                proto = _of_program(original)
            elif original.scripted:
                proto = _of_script(original, tensors)
            else:
                proto = _of_module(original, tensors, sample.names)
        except ModelportError:
            raise
        except Exception as error:  # the exporter's errors have no common base
            raise _refused(original, error) from error
    fields = {name: f"{name}_output" if name in names else name for name in outputs}
    _mend(proto, names, [fields[name] for name in outputs])
    return Exported(proto, outputs, fields)


@contextmanager
def _fresh_recurrences(torch: Any) -> Iterator[None]:
    """The exporter swaps how LSTM and GRU are taken apart while it works, but torch remembers the way it took before.

    Without this every export of such a layer but the first in a process would be for one length only.
    """
    kept = [getattr(op.input, "_dispatch_cache", {}) for op in (torch.ops.aten.lstm, torch.ops.aten.gru)]
    for cache in kept:
        cache.clear()
    try:
        yield
    finally:
        for cache in kept:
            cache.clear()


def _asked(original: Original, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of the rows that are exported with."""
    try:
        return named_tensors(original.call(tensors))
    except ModelportError:
        raise
    except Exception as error:
        raise UnsupportedModel(f"The model does not answer rows like the sample's: {first_line(error)}") from error


def export_rows(sample: Arrays) -> dict[str, Array]:
    """Rows to export with: at least two, and no length that varies is 1 or equal to another length of the rows."""
    named = {name: sample.names.get(name, (None,) * (array.ndim - 1)) for name, array in sample.values.items()}
    taken = {
        n for name, array in sample.values.items() for n, label in zip(array.shape[1:], named[name], strict=True) if label is None
    }
    lengths: dict[str, int] = {}
    for label, given in sample.lengths.items():
        lengths[label] = next(n for n in itertools.count(max(given, 2)) if n not in taken)
        taken.add(lengths[label])
    batch = next(n for n in itertools.count(2) if n not in taken)
    found = {}
    for name, array in sample.values.items():
        rows = np.take(array, np.arange(batch) % len(array), axis=0)
        for axis, label in enumerate(named[name], start=1):
            if label is not None:
                rows = np.take(rows, np.arange(lengths[label]) % rows.shape[axis], axis=axis)
        found[name] = np.ascontiguousarray(rows)
    return found


# --- the exporters -------------------------------------------------------------------------------------------------------------


def _of_module(original: Original, tensors: Mapping[str, Any], labels: Mapping[str, tuple[str | None, ...]]) -> Any:
    torch = original.torch
    varies = torch.export.Dim.DYNAMIC
    shapes = tuple(
        {0: varies, **{axis: varies for axis, label in enumerate(labels.get(name, ()), start=1) if label is not None}}
        for name in tensors
    )
    program = torch.onnx.export(
        _wrapped(original, tuple(tensors)), tuple(tensors.values()), dynamo=True, verbose=False, external_data=False,
        input_names=list(tensors), dynamic_shapes={"tensors": shapes}, opset_version=OPSET,
    )  # fmt: skip
    return program.model_proto


def _wrapped(original: Original, names: tuple[str, ...]) -> Any:
    """A module that takes the arguments in order and gives the tensors of the result in order, whatever holds them."""
    torch = original.torch

    class Called(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.modelport_original = original.module
            self.training = False

        def forward(self, *tensors: Any) -> Any:
            return tuple(named_tensors(original.call(dict(zip(names, tensors, strict=True)))).values())

    return Called()


def _check_batch(original: Original) -> None:
    """UnsupportedModel for an exported program that takes a fixed number of rows."""
    assert original.program is not None
    for node in original.program.graph.nodes:
        if node.op == "placeholder" and node.name in original.names:
            batch = node.meta["val"].shape[0] if node.meta["val"].ndim else None
            if batch is None or (isinstance(batch, int) and batch != 1):
                raise UnsupportedModel(
                    f"The program was exported for {batch or 'no'} rows at once (input {node.name!r}): export it with "
                    "dynamic_shapes that leave the first axis open."
                )


def _of_program(original: Original) -> Any:
    program = original.torch.onnx.export(
        original.program, dynamo=True, verbose=False, external_data=False, input_names=list(original.names), opset_version=OPSET
    )
    return program.model_proto


def _of_script(original: Original, tensors: Mapping[str, Any]) -> Any:
    import onnx

    buffer = io.BytesIO()
    original.torch.onnx.export(
        original.model, tuple(tensors.values()), buffer, dynamo=False, opset_version=OPSET, input_names=list(tensors),
        dynamic_axes={name: {0: "batch"} for name in tensors},
    )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())


def _refused(original: Original, error: BaseException) -> UnsupportedModel:
    """What the exporter says, as one sentence, and what to do about it."""
    kind = type(original.model).__name__
    said, causes = "", set()
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.add(cause)
        said = f"{type(cause).__name__}: {first_line(cause)}" if not str(cause).startswith("Failed to export") else said
        cause = cause.__cause__ or cause.__context__
    text = " ".join(f"{type(c).__name__} {c}" for c in causes)
    if any(word in text for word in ("data-dependent", "DataDependent", "Could not guard", "unbacked")):
        return UnsupportedModel(
            f"This {kind} takes one way or another depending on the numbers it is fed (a Python `if` on data, or `.item()`), "
            f"which no exported file can do: use torch.where. PyTorch says: {said}"
        )
    if any(word in text for word in ("ConstraintViolation", "Constraints violated", "specialized", "user-specified ranges")):
        return UnsupportedModel(
            f"This {kind} is exported by PyTorch for one batch or one length only (as nn.RNN is), where `lengths` says that it "
            f"varies. PyTorch says: {said}"
        )
    if original.scripted:
        return UnsupportedModel(
            f"PyTorch does not export this TorchScript module ({said}): hand over the nn.Module it was made from, or save it "
            "with torch.export.save."
        )
    return UnsupportedModel(f"PyTorch does not export this {kind} to ONNX: {said}")


# --- mending -------------------------------------------------------------------------------------------------------------------


def _mend(proto: Any, inputs: list[str], outputs: list[str]) -> None:
    """Names kept, nothing of the user's source code left, one file that checks."""
    import onnx

    graph = proto.graph
    given = [value.name for value in graph.input]
    if len(given) != len(inputs) or len(graph.output) != len(outputs):
        raise UnsupportedModel(
            f"PyTorch's exporter made a file with {len(given)} inputs and {len(graph.output)} outputs of a model with "
            f"{len(inputs)} and {len(outputs)}: an argument that changes nothing is left out by it: "
            "leave it out of the sample."
        )
    _rename(graph, inputs, outputs)
    _mask_wholly(onnx, graph)
    _any_length(onnx, graph)
    weights = {tensor.name for tensor in graph.initializer}
    infos = [info for info in graph.value_info if info.name not in weights]
    del graph.value_info[:], proto.metadata_props[:]
    graph.value_info.extend(infos)
    for holder in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, *proto.functions]:
        if hasattr(holder, "metadata_props"):
            del holder.metadata_props[:]
        if hasattr(holder, "doc_string"):
            holder.doc_string = ""
    for node in _nodes(graph):
        del node.metadata_props[:]
        node.doc_string = ""
    if proto.ByteSize() < LARGEST:
        onnx.checker.check_model(proto)


def _mask_wholly(onnx: Any, graph: Any) -> None:
    """Attention masks of booleans with -Infinity, as PyTorch has them.

    The exporter writes the lowest float instead, beside a repair of the NaN that follows of -Infinity: then a position that may
    attend to nothing attends to everything, where PyTorch gives zeros.
    """
    makers = {name: node for node in graph.node for name in node.output}
    numbers = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer if int(np.prod(t.dims)) == 1}
    checked = {node.input[0] for node in graph.node if node.op_type == "IsNaN"}
    endless: dict[str, str] = {}
    for node in [n for n in graph.node if n.op_type == "Softmax" and n.output[0] in checked]:
        added = makers.get(node.input[0])
        for name in added.input if added is not None and added.op_type == "Add" else ():
            mask = makers.get(name)
            low = numbers.get(mask.input[2]) if mask is not None and mask.op_type == "Where" else None
            if mask is None or low is None or low.dtype.kind != "f" or low.ravel()[0] != np.finfo(low.dtype).min:
                continue
            key = low.dtype.str
            if key not in endless:
                endless[key] = f"-Infinity {low.dtype}"
                graph.initializer.append(onnx.numpy_helper.from_array(np.full_like(low, -np.inf), endless[key]))
            mask.input[2] = endless[key]


def _any_length(onnx: Any, graph: Any) -> None:
    """The directions of a recurrence joined for any length: the exporter may write the length it was shown into the shape."""
    makers = {name: node for node in graph.node for name in node.output}
    fixed = {t.name for t in graph.initializer if list(t.dims) == [3]}
    name = "any length"
    for node in [n for n in graph.node if n.op_type == "Reshape" and n.input[1] in fixed]:
        moved = makers.get(node.input[0])
        cell = makers.get(moved.input[0]) if moved is not None and moved.op_type == "Transpose" else None
        if cell is None or cell.op_type not in ("LSTM", "GRU") or cell.output[0] != moved.input[0]:
            continue
        if list(onnx.helper.get_node_attr_value(moved, "perm")) == [0, 2, 1, 3]:  # [time, batch, directions, units]
            if not any(t.name == name for t in graph.initializer):
                graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 0, -1]), name))
            node.input[1] = name
            del node.attribute[:]


def _nodes(graph: Any) -> Any:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _rename(graph: Any, inputs: list[str], outputs: list[str]) -> None:
    """Inputs, outputs, weights and layers under the names of the model."""
    _renamed(graph, layer_names(graph))
    changed: dict[str, str] = {}
    for value, name in zip(graph.input, inputs, strict=True):
        changed[value.name] = name
    wanted = {*inputs, *outputs}
    taken = {n for node in graph.node for n in (*node.input, *node.output)} | {t.name for t in graph.initializer}
    for tensor in graph.initializer:
        short = tensor.name.removeprefix("modelport_original.")
        if short != tensor.name and short not in taken and short not in wanted:
            changed[tensor.name] = short
    for name in taken & wanted:  # an inner value that has the name of an input or output
        if name not in changed and name not in [v.name for v in graph.input]:
            changed[name] = f"{name} inner"
    ends = {}
    for value, name in zip(graph.output, outputs, strict=True):
        source = value.name
        if source in ends or source in [v.name for v in graph.input] or source in {t.name for t in graph.initializer}:
            graph.node.add(op_type="Identity", input=[source], output=[f"{name} of the model"])
            source = f"{name} of the model"
        ends[source] = name
    changed |= ends
    _renamed(graph, changed)
    for value, name in zip(graph.output, outputs, strict=True):
        value.name = name


def _renamed(graph: Any, changed: Mapping[str, str]) -> None:
    for value in [*graph.input, *graph.value_info, *graph.initializer]:
        value.name = changed.get(value.name, value.name)
    for node in graph.node:
        for names in (node.input, node.output):
            for k, name in enumerate(names):
                names[k] = changed.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _renamed(attribute.g, changed)
                for value in attribute.g.output:
                    value.name = changed.get(value.name, value.name)
