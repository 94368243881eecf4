"""The delegate `skl2onnx`: scikit-learn models as ONNX in doubles, with our names for inputs and outputs, and without ZipMap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from modelport.delegation import Wanted, Written, first_line
from modelport.errors import MissingDependency, Unsupported
from modelport.graph import Output

__all__ = ["FORMATS", "OPTIONS", "ROOTS", "convert", "missing"]

ROOTS = ("sklearn",)
FORMATS = ("onnx",)
OPTIONS = ("target",)
#: the newest opsets that every onnxruntime we write for reads
OPSETS = {"": 20, "ai.onnx.ml": 3}
#: prefix of the names inside the graph, so that none of them is ours
INNER = "skl2onnx "


def missing() -> str | None:
    """What is not installed, as a sentence, or None."""
    for package in ("skl2onnx", "onnx"):
        try:
            version(package)
        except PackageNotFoundError:
            return f"The delegate skl2onnx needs {package}, which is not installed: pip install 'modelport[delegates]'."
    return None


def convert(model: Any, format_: str, wanted: Wanted, options: Mapping[str, Any]) -> Written:
    """The model as skl2onnx translates it; Unsupported, in its words, when it does not."""
    lacking = missing()
    if lacking is not None:
        raise MissingDependency(lacking)
    _refuse_endless(model)
    split = _needs_columns(model, wanted)
    graph = _Graph(_translated(model, wanted, split))
    graph.feed(wanted, split)
    graph.answer(wanted.outputs, wanted.shapes)
    data = graph.model.SerializeToString(deterministic=True)
    return Written(data, graph.names, f"skl2onnx {version('skl2onnx')}")


# --- asking skl2onnx ----------------------------------------------------------------------------------------------------------


def _refuse_endless(model: Any) -> None:
    """Unsupported for trees with an infinite threshold, which fits with missing values make: skl2onnx never ends on them."""
    for part in _parts(model):
        thresholds = getattr(getattr(part, "tree_", None), "threshold", None)
        if thresholds is not None and not all(abs(t) < float("inf") for t in thresholds.tolist()):
            raise Unsupported(
                f"A {type(part).__name__} in this {type(model).__name__} splits at an infinite threshold (it was fitted with "
                "missing values), on which skl2onnx does not end: use backend='graph'."
            )


def _parts(model: Any) -> Iterator[Any]:
    """The model and every estimator inside it, those in arrays too."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, (list, tuple)) or getattr(getattr(part, "dtype", None), "kind", None) == "O":
            waiting += list(getattr(part, "flat", part))
        elif hasattr(part, "get_params") and not isinstance(part, type):
            yield part
            waiting += vars(part).values()


def _needs_columns(model: Any, wanted: Wanted) -> bool:
    """Whether a matrix has to be given column by column, since a part of the model chooses columns by their names."""
    if wanted.sample.kind != "matrix" or not wanted.sample.named:
        return False
    for part in _parts(model):
        for step in getattr(part, "transformers_", ()):
            columns = [step[2]] if isinstance(step[2], str) else list(step[2]) if hasattr(step[2], "__len__") else []
            if any(isinstance(name, str) for name in columns):
                return True
    return False


def _translated(model: Any, wanted: Wanted, split: bool) -> Any:
    """skl2onnx's ModelProto, with raw scores where a score is wanted and the converter has such an option."""
    from skl2onnx import to_onnx

    final = model
    while hasattr(final, "steps"):
        final = final.steps[-1][1]
    types = _initial_types(wanted, split)
    scores = any(o.role == "score" for o in wanted.outputs)
    for options in ({id(final): {"raw_scores": True}}, None) if scores else (None,):
        try:
            return to_onnx(model, initial_types=types, options=options, target_opset=OPSETS)
        except NameError as error:  # an option that the converter does not have
            if options is None:
                raise _refused(model, error) from error
        except Exception as error:  # its exceptions have no common base
            raise _refused(model, error) from error
    raise AssertionError("the last attempt returns or raises")


def _refused(model: Any, error: Exception) -> Unsupported:
    return Unsupported(f"skl2onnx {version('skl2onnx')} cannot convert this {type(model).__name__}: {first_line(error)}")


def _initial_types(wanted: Wanted, split: bool) -> list[tuple[str, Any]]:
    """Name and type of what the model is fed, as skl2onnx takes it: doubles, and strings as columns."""
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType

    if split:
        return [(name, DoubleTensorType([None, 1])) for name in wanted.sample.names]
    kinds = {"f64": DoubleTensorType, "str": StringTensorType}
    return [(v.name, kinds[v.dtype]([None, v.type.width])) for v in wanted.inputs]


# --- giving the graph our inputs and outputs ----------------------------------------------------------------------------------


class _Graph:
    """A translated model under change: nodes are put before and behind what skl2onnx made, whose names get a prefix."""

    def __init__(self, model: Any) -> None:
        import onnx
        from onnx.compose import add_prefix

        self.onnx = onnx
        self.types = {
            "f64": onnx.TensorProto.DOUBLE,
            "i64": onnx.TensorProto.INT64,
            "bool": onnx.TensorProto.BOOL,
            "str": onnx.TensorProto.STRING,
        }
        self.model = add_prefix(model, INNER)
        self.graph = self.model.graph
        self.names: dict[str, list[str]] = {}
        _state_opsets_once(onnx, self.model)
        self.inputs = [v.name for v in self.graph.input]
        self.outputs = self._without_maps()

    def _without_maps(self) -> list[tuple[str, Any]]:
        """Name and type (None: a ZipMap was cut off) of what skl2onnx gives, in order."""
        maps = {node.output[0]: node.input[0] for node in self.graph.node if node.op_type == "ZipMap"}
        kept = [node for node in self.graph.node if node.op_type != "ZipMap"]
        del self.graph.node[:]
        self.graph.node.extend(kept)
        return [(maps[v.name], None) if v.name in maps else (v.name, v.type) for v in self.graph.output]

    def feed(self, wanted: Wanted, split: bool) -> None:
        """Our inputs before skl2onnx's: a matrix may be split into its columns, and a text becomes a column."""
        behind = list(self.graph.node)
        del self.graph.node[:], self.graph.input[:]
        self.graph.input.extend(self._info(v.name, v.dtype, v.shape) for v in wanted.inputs)
        fed = list(wanted.sample.names) if split else [v.name for v in wanted.inputs]
        if len(fed) != len(self.inputs):
            raise Unsupported(f"skl2onnx reads {len(self.inputs)} inputs and not the {len(fed)} that the model is fed.")
        column = None if split else self._constant("column", [0, -1])
        for j, (name, inner) in enumerate(zip(fed, self.inputs, strict=True)):  # in order: skl2onnx changes some names
            if column is None:
                self._add("Gather", [wanted.inputs[0].name, self._constant("column", [j])], inner, axis=1)
            else:
                self._add("Reshape", [name, column], inner)
        self.graph.node.extend(behind)

    def answer(self, outputs: Sequence[Output], shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Our outputs behind skl2onnx's: its first is what is predicted or transformed, its second probabilities or scores."""
        del self.graph.output[:]
        taken = {v.name for v in self.graph.input}
        for output in outputs:
            value, shape = self._source(output), shapes[output.name]
            if output.dtype != "str":
                value = self._add("Cast", [value], f"{output.name} cast", to=self.types[output.dtype])
            if output.role == "score" and shape == ():  # of two columns the last is that of the second class
                value = self._add("Reshape", [value, self._constant("rows", [0, -1])], f"{output.name} columns")
                value = self._add("Gather", [value, self._constant("last", -1)], f"{output.name} of the last", axis=1)
            name = f"{output.name}_output" if output.name in taken else output.name
            self._add("Reshape", [value, self._constant(f"rows of {output.name}", [-1, *shape])], name)
            self.graph.output.append(self._info(name, output.dtype, shape))
            self.names[output.name] = [name]

    def _source(self, output: Output) -> str:
        """The value of skl2onnx's that an output is made of."""
        if output.name.startswith(("probability_", "transformed_")):
            raise Unsupported(f"The output {output.name!r} is one of several that skl2onnx does not give one by one.")
        position = 1 if output.role in ("probability", "score") else 0
        if position >= len(self.outputs):
            raise Unsupported(f"skl2onnx gives no {output.role} for this model, and {output.name!r} is wanted.")
        name, kind = self.outputs[position]
        if kind is not None and not kind.HasField("tensor_type"):
            raise Unsupported(f"skl2onnx gives the output {output.name!r} as a sequence or a map, which is no tensor.")
        return name

    def _info(self, name: str, dtype: str, shape: Sequence[int]) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, self.types[dtype], ["n", *shape])

    def _constant(self, name: str, values: Any) -> str:
        """The name of an initializer of integers."""
        import numpy as np

        unique = f"modelport {name} {len(self.graph.initializer)}"
        self.graph.initializer.append(self.onnx.numpy_helper.from_array(np.array(values, dtype=np.int64), unique))
        return unique

    def _add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.graph.node.append(self.onnx.helper.make_node(kind, list(inputs), [output], **attributes))
        return output


def _state_opsets_once(onnx: Any, model: Any) -> None:
    """One version per domain: skl2onnx may name a domain twice."""
    newest: dict[str, int] = {}
    for entry in model.opset_import:
        newest[entry.domain] = max(entry.version, newest.get(entry.domain, 0))
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, number) for domain, number in newest.items())
