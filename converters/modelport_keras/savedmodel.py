"""TensorFlow SavedModel folders: traced functions without layers. They are read through tf2onnx and the ONNX reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelport.arrays import Arrays, named_lengths
from modelport.delegation import first_line
from modelport.errors import ArtifactError, MissingDependency, UnsupportedModel
from modelport.reading import Reading

from .network import Array, Source

__all__ = ["SavedModel", "opened", "read_saved"]

#: the functions looked for, in order: Keras's export writes both
SIGNATURES = ("serving_default", "serve")


class SavedModel:
    """One function of a SavedModel: `sources` are its inputs, by name, and it gives a dict of tensors."""

    def __init__(self, path: str, loaded: Any, signature: Any) -> None:
        self.path, self._loaded, self.signature = path, loaded, signature
        given = signature.structured_input_signature[1]
        self.sources: Sequence[Source] = [
            Source(name, name, tuple(spec.shape[1:].as_list()), spec.dtype.name) for name, spec in sorted(given.items())
        ]
        self.outputs = sorted(signature.structured_outputs)


#: readers are found by the root module of a model's class
SavedModel.__module__ = "keras"


def opened(path: str) -> SavedModel:
    """The model in a folder; the graph in it is TensorFlow's own program, which is run."""
    try:
        import tensorflow as tf
    except ImportError:
        raise MissingDependency(f"Opening the SavedModel {path!r} needs tensorflow: pip install tensorflow.") from None
    try:
        loaded = tf.saved_model.load(path)
        found = dict(loaded.signatures)
    except Exception as error:  # a damaged folder can fail anywhere inside
        raise ArtifactError(f"The SavedModel cannot be opened: {first_line(error)}") from error
    name = next((name for name in SIGNATURES if name in found), next(iter(found), None))
    if name is None:
        raise UnsupportedModel(
            f"The SavedModel {path!r} has no signature, so nothing says what it is fed: save it with model.export(path)."
        )
    signature = found[name]
    shapes = [spec.shape for spec in signature.structured_input_signature[1].values()]
    if not shapes or any(shape.rank is None or shape.rank < 1 or shape[0] is not None for shape in shapes):
        raise UnsupportedModel(
            f"The signature {name!r} of the SavedModel {path!r} does not take any number of rows: save the model with an open "
            "batch axis."
        )
    return SavedModel(path, loaded, signature)


def read_saved(model: SavedModel, rows: Arrays, options: Mapping[str, Any]) -> Reading:
    """A graph of what tf2onnx makes of the function; UnsupportedModel for an operation that it, or the ONNX reader, lacks."""
    try:
        import tensorflow as tf
        import tf2onnx
        from modelport_delegates.onnx_by_tf2onnx import OPSET, quietly, register_erfc
        from modelport_onnx_source.reading import Declared, graph_of
    except ImportError as error:
        raise MissingDependency(f"Reading a SavedModel needs {error.name}: pip install 'modelport[tf2onnx]'.") from None
    given = named_lengths(options.get("lengths"), {name: array.ndim for name, array in rows.values.items()})
    rows = Arrays(rows.values, {**rows.names, **given})
    specs = [tf.TensorSpec([None, *source.shape], source.dtype, name=source.name) for source in model.sources]

    def function(*tensors: Any) -> dict[str, Any]:
        return dict(model.signature(**{s.name: t for s, t in zip(model.sources, tensors, strict=True)}))

    register_erfc()
    with quietly():
        try:
            proto, _ = tf2onnx.convert.from_function(tf.function(function, input_signature=specs), specs, opset=OPSET)
        except Exception as error:  # its exceptions have no common base
            raise UnsupportedModel(
                f"tf2onnx cannot translate the SavedModel {model.path!r}: {first_line(error)} Save the Keras model itself, "
                "model.save('model.keras'), and convert that."
            ) from error
    found = [value.name for value in proto.graph.output]
    if len(found) != len(model.outputs):
        raise UnsupportedModel(f"tf2onnx gives {len(found)} outputs of the SavedModel, which has {len(model.outputs)}.")
    kinds = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64", np.dtype(np.int64): "i64", np.dtype(np.int32): "i32"}
    declared = []
    for value in rows.inputs():
        dtype = rows.values[value.name].dtype
        declared.append(Declared(value.name, value.shape, "bool" if dtype == np.bool_ else kinds.get(dtype, value.dtype)))
    graph = graph_of(proto, declared, rows.lengths, dict(zip(found, model.outputs, strict=True)))
    provenance = {"framework": {"name": "tensorflow", "version": str(tf.__version__)}, "model": "SavedModel"}

    def answer(feeds: Mapping[str, Array]) -> dict[str, Array]:
        fed = {name: tf.constant(array.astype(rows.values[name].dtype)) for name, array in feeds.items()}
        said = model.signature(**fed)
        return {output.name: _as_declared(said[output.name].numpy(), output.dtype) for output in graph.outputs}

    return Reading(graph, answer, provenance, sample=rows)


def _as_declared(array: Array, dtype: str) -> Array:
    """Whole numbers of any width as the graph declares them."""
    return array.astype(np.int64) if dtype == "i64" else np.asarray(array)
