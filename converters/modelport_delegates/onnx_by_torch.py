"""The delegate `torch.onnx`: PyTorch models as PyTorch's own exporter writes them, mended, with our names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from modelport.arrays import Arrays
from modelport.delegation import Wanted, Written
from modelport.errors import MissingDependency, Unsupported

__all__ = ["FORMATS", "OPTIONS", "ROOTS", "convert", "missing"]

ROOTS = ("torch",)
FORMATS = ("onnx",)
OPTIONS = ("target", "lengths")
#: the newest IR version that every runtime we write for reads
IR_VERSION = 10


def missing() -> str | None:
    """What is not installed, as a sentence, or None."""
    for package in ("torch", "onnx", "onnxscript"):
        try:
            version(package)
        except PackageNotFoundError:
            return f"The delegate torch.onnx needs {package}, which is not installed: pip install 'modelport[torch]'."
    return None


def convert(model: Any, format_: str, wanted: Wanted, options: Mapping[str, Any]) -> Written:
    """The exporter's file, the very one the reader read; Unsupported where there is none."""
    lacking = missing()
    if lacking is not None:
        raise MissingDependency(lacking)
    from modelport_onnx import targets
    from modelport_torch.calling import Original
    from modelport_torch.exporting import LARGEST, exported

    if not isinstance(wanted.sample, Arrays):
        raise Unsupported("torch.onnx is given arrays: hand over an array, a tensor, or a dict of them as the sample.")
    file = exported(Original(model), wanted.sample)
    target = targets.parse(options.get("target", targets.DEFAULT))
    proto = _copy(file.proto)
    if proto.ByteSize() > LARGEST:
        raise Unsupported("The model has more than 2 GB of weights, which one ONNX file does not hold.")
    proto.ir_version = min(proto.ir_version, target.ir_version)
    _declared(proto, wanted)
    return Written(
        proto.SerializeToString(deterministic=True), {n: [f] for n, f in file.fields.items()}, f"torch.onnx {version('torch')}"
    )


def _copy(proto: Any) -> Any:
    copy = type(proto)()
    copy.CopyFrom(proto)
    return copy


def _declared(proto: Any, wanted: Wanted) -> None:
    """Inputs in the dtypes that the artifact declares: integers as int64, cast to what the model is fed."""
    import onnx

    codes = {"f32": 1, "f64": 11, "i64": 7, "bool": 9}
    graph, behind = proto.graph, list(proto.graph.node)
    taken = {n for node in graph.node for n in (*node.input, *node.output)}
    first, changed = [], {}
    for value in wanted.inputs:
        held = next((v for v in graph.input if v.name == value.name), None)
        if held is None or value.dtype not in codes:
            raise Unsupported(f"PyTorch's exporter made a file without the input {value.name!r}.")
        kind = held.type.tensor_type.elem_type
        if kind != codes[value.dtype]:
            name = f"{value.name} narrow"
            while name in taken:
                name += "_"
            first.append(onnx.helper.make_node("Cast", [value.name], [name], to=kind))
            held.type.tensor_type.elem_type = codes[value.dtype]
            changed[value.name] = name
    if not first:
        return
    for node in behind:
        for k, name in enumerate(node.input):
            node.input[k] = changed.get(name, name)
    del graph.node[:]
    graph.node.extend([*first, *behind])
