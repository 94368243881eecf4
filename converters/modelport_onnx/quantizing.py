"""ONNX models with smaller numbers: weights of 8 bits, or of 16.

* `int8`: weights of 8 bits; what they are multiplied with is rounded to 8 bits while running, in steps that follow from all rows
  of a call together. Our loader runs such a model row by row, so that no row changes the answer for another.
* `static`: weights of 8 bits; what they are multiplied with is rounded to 8 bits in steps found beforehand, from rows.
* `float16`: weights are kept as float16 and computed with as float32.

A model gives other numbers afterwards: its vectors are still the original's answers, and only a tolerance measured anew can hold.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modelport.errors import InputError, MissingDependency, Unsupported, UsageError

from . import metadata
from .adopting import forget_origins
from .proto import imported, parse_model

__all__ = ["KINDS", "quantize", "report_line"]

Array = np.ndarray[Any, np.dtype[Any]]
Feeds = Mapping[str, Array]

KINDS = ("int8", "static", "float16")
#: operators whose weights are made smaller
LAYERS = ("Conv", "Gemm", "MatMul")
#: operators that tell that a model has weights of 8 bits
MARKS = {"MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul", "QGemm", "QuantizeLinear", "DynamicQuantizeLinear"}
#: elements from which on a tensor is worth a node that casts it
SMALLEST = 64
#: rows that are looked at together
ROWS = 64


def quantize(data: bytes, kind: str, feeds: Sequence[Feeds] = ()) -> bytes:
    """An ONNX model, ours or adopted, with smaller weights; its declaration and vectors stay.

    kind is one of `KINDS`; `static` needs rows to find its steps from: feeds are sets of them, name -> array [n, *row shape].
    Raises Unsupported where the model has nothing that can be made smaller.
    """
    if kind not in KINDS:
        raise UsageError(f"The quantization {kind!r} is not known; it is one of {', '.join(KINDS)}.")
    model = parse_model(data)
    text = next((entry.value for entry in model.metadata_props if entry.key == metadata.KEY), None)
    foreign = [entry for entry in model.metadata_props if entry.key not in (metadata.KEY, metadata.DIGEST)]
    kept = [(entry.key, entry.value) for entry in foreign]
    producer = model.producer_name, model.producer_version
    del model.metadata_props[:]
    forget_origins(model)
    if kind == "float16":
        _halve(model)
    else:
        model = _eight_bits(model, kind, feeds)
        forget_origins(model)
    del model.metadata_props[:]
    for key, value in kept:
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    model.producer_name, model.producer_version = producer
    made = bytes(model.SerializeToString(deterministic=True))
    if text is None:
        return made
    return metadata.resealed(made, metadata.row_by_row(text) if kind == "int8" else text)


def report_line(before: bytes, after: bytes, kind: str) -> str:
    """The sizes as a sentence, and plainly whether anything was gained.

    >>> report_line(bytes(70_000), bytes(21_000), "int8")
    'int8 makes 21.0 KB of 70.0 KB (30 %).'
    >>> report_line(bytes(3_000), bytes(3_500), "int8")
    'int8 makes 3.5 KB of 3.0 KB: the net is too small to gain from it, and the file without it is the better one.'
    """
    sizes = f"{kind} makes {len(after) / 1000:.1f} KB of {len(before) / 1000:.1f} KB"
    if len(after) >= len(before):
        return f"{sizes}: the net is too small to gain from it, and the file without it is the better one."
    return f"{sizes} ({100 * len(after) / len(before):.0f} %)."


# --- float16 ------------------------------------------------------------------------------------------------------------------


def _halve(model: Any) -> None:
    """Initializers of float32 become float16, each with a Cast behind it that has its name; what float16 cannot hold stays."""
    onnx = imported("onnx")
    casts, fed = [], {v.name for v in model.graph.input}
    names = _names(model)
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or tensor.name in fed:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        if values.size < SMALLEST or not (np.abs(values) <= np.finfo(np.float16).max).all():
            continue
        name = _free(f"{tensor.name}/half", names)
        casts.append(onnx.helper.make_node("Cast", [name], [tensor.name], name=_free(f"{tensor.name}/Cast", names), to=1))
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), name))
    if not casts:
        raise Unsupported("The ONNX model holds no tables of float32 that float16 could keep: write it without quantization.")
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _names(model: Any) -> set[str]:
    graph = model.graph
    names = {item.name for item in (*graph.initializer, *graph.input, *graph.output, *graph.node)}
    return names | {name for node in graph.node for name in (*node.input, *node.output)}


def _free(wanted: str, names: set[str]) -> str:
    name, number = wanted, 1
    while name in names:
        number += 1
        name = f"{wanted}_{number}"
    names.add(name)
    return name


# --- 8 bits -------------------------------------------------------------------------------------------------------------------


def _eight_bits(model: Any, kind: str, feeds: Sequence[Feeds]) -> Any:
    onnx, tools = imported("onnx"), _tools()
    names = _names(model)
    for node in model.graph.node:
        node.name = node.name or _free(f"{node.op_type}/unnamed", names)
    before = {node.op_type for node in model.graph.node}
    rows = [part for part in feeds if len(next(iter(part.values()), ()))]
    if kind == "static" and not rows:
        raise UsageError("Static quantization finds its steps from rows: give a sample.")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, made = Path(folder) / "plain.onnx", Path(folder) / "made.onnx"
        plain.write_bytes(model.SerializeToString())
        try:
            if kind == "int8":
                # Weights without a sign: products of them do not saturate on processors without instructions for 8 bits.
                tools.quantize_dynamic(
                    plain, made, op_types_to_quantize=[*LAYERS, "LSTM"], weight_type=tools.QuantType.QUInt8, per_channel=False
                )
            else:
                tools.quantize_static(
                    plain,
                    made,
                    _Rows(rows, _inputs(model)),
                    quant_format=tools.QuantFormat.QDQ,
                    op_types_to_quantize=list(LAYERS),
                    activation_type=tools.QuantType.QUInt8,
                    weight_type=tools.QuantType.QInt8,
                    per_channel=True,
                    reduce_range=True,
                    nodes_to_exclude=_products(model),
                    extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
                )
        except (InputError, MissingDependency):
            raise
        except Exception as error:  # a stranger's tool can raise anything
            said = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
            raise Unsupported(f"onnxruntime's tools cannot quantize this ONNX model: {said}.") from error
        result = onnx.ModelProto.FromString(made.read_bytes())
    if not ({node.op_type for node in result.graph.node} - before) & MARKS:
        raise Unsupported(
            "The ONNX model has no dense layer and no convolution in float32, which are what 8 bits are for: write it without "
            "quantization."
        )
    return result


def _products(model: Any) -> list[str]:
    """The names of matrix products without a weight, as attention has: 8 bits are too few for what they give."""
    constant = {tensor.name for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type == "MatMul" and not constant.intersection(node.input)]


def _tools() -> Any:
    imported("onnxruntime")
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise MissingDependency(
            f"Quantization needs onnxruntime's tools, which cannot be imported ({error}): pip install 'modelport[onnx]'."
        ) from error
    return quantization


def _inputs(model: Any) -> dict[str, np.dtype[Any]]:
    """The inputs of a model and how NumPy holds them."""
    helper, constant = imported("onnx").helper, {tensor.name for tensor in model.graph.initializer}
    given = [v for v in model.graph.input if v.name not in constant]
    return {v.name: np.dtype(helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type)) for v in given}


class _Rows:
    """Rows as onnxruntime's calibration asks for them: one set after the other, then None."""

    def __init__(self, feeds: Sequence[Feeds], dtypes: Mapping[str, np.dtype[Any]]) -> None:
        missing = [name for name in dtypes if any(name not in part for part in feeds)]
        if missing:
            raise InputError(f"The rows to quantize with lack the input {missing[0]!r}.")
        self._parts = self._blocks(feeds, dtypes)

    @staticmethod
    def _blocks(feeds: Sequence[Feeds], dtypes: Mapping[str, np.dtype[Any]]) -> Iterator[dict[str, Array]]:
        for part in feeds:
            for start in range(0, min(map(len, part.values())), ROWS):
                block = {name: np.asarray(part[name])[start : start + ROWS] for name in dtypes}
                yield {name: np.ascontiguousarray(array, dtype=dtypes[name]) for name, array in block.items()}

    def get_next(self) -> dict[str, Array] | None:
        """The next rows."""
        return next(self._parts, None)

    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> dict[str, Array]:
        return next(self._parts)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that onnxruntime's tools log."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
