"""The delegate `tensorflow`: Keras models as LiteRT files, by TensorFlow's converter, for one row at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from modelport.delegation import Wanted, Written, first_line
from modelport.errors import MissingDependency, Unsupported

__all__ = ["FORMATS", "OPTIONS", "ROOTS", "convert", "missing"]

ROOTS = ("keras",)
FORMATS = ("tflite",)
OPTIONS = ()
#: our dtypes that a LiteRT file can take and give
DTYPES = ("f32", "i64", "bool")


def missing() -> str | None:
    """What is not installed, as a sentence, or None."""
    for package, distributions in (
        ("tensorflow", ("tensorflow", "tensorflow-cpu", "tensorflow-macos")),
        ("keras", ("keras",)),
        ("ai-edge-litert", ("ai-edge-litert",)),
    ):
        if not any(map(_installed, distributions)):
            return f"The delegate tensorflow needs {package}, which is not installed: pip install 'modelport[tflite]'."
    return None


def _installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def convert(model: Any, format_: str, wanted: Wanted, options: Mapping[str, Any]) -> Written:
    """The model as TensorFlow's converter translates it; Unsupported, in its words, when it does not."""
    lacking = missing()
    if lacking is not None:
        raise MissingDependency(lacking)
    _check(wanted)
    model = _live(model)
    inputs = {value.name: f"input_{k}" for k, value in enumerate(wanted.inputs)}
    outputs = {output.name: f"output_{k}" for k, output in enumerate(wanted.outputs)}
    data, tensorflow = _converted(model, wanted, inputs, outputs)
    fields = {name: [bound] for name, bound in (*inputs.items(), *outputs.items())}
    return Written(data, fields, f"TensorFlow {tensorflow}")


def _check(wanted: Wanted) -> None:
    """Unsupported for what no LiteRT file of ours takes and gives."""
    both = sorted({v.name for v in wanted.inputs} & {o.name for o in wanted.outputs})
    if both:
        raise Unsupported(f"An input and an output of the model are both called {both[0]!r}: give the output layer another name.")
    for value in wanted.inputs:
        named = [size for size in value.shape if isinstance(size, str)]
        if named:
            raise Unsupported(
                f"Input {value.name!r} has an open length ({named[0]}), and a LiteRT file has fixed ones: build the model with "
                "an Input of fixed shape, and copy the weights into it."
            )
    for value in (*wanted.inputs, *wanted.outputs):
        if value.dtype not in DTYPES:
            raise Unsupported(
                f"{value.name!r} holds {value.dtype}, which is not written to LiteRT files: {', '.join(DTYPES)} are."
            )


def _live(model: Any) -> Any:
    """The model itself, on the backend that TensorFlow's converter needs; a saved one is opened."""
    if hasattr(model, "original"):
        model, silence = model.original(), getattr(model, "silence", "")
        if model is None:
            raise Unsupported(f"The model in the file cannot be asked, and so not be converted by TensorFlow: {silence}")
    import keras

    if keras.config.backend() != "tensorflow":
        raise Unsupported(
            f"This Keras model runs on the backend {keras.config.backend()}, and TensorFlow's converter needs its own: save the "
            "model, and convert the file with KERAS_BACKEND=tensorflow in the environment."
        )
    return model


def _converted(model: Any, wanted: Wanted, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> tuple[bytes, str]:
    """The bytes of the file, and TensorFlow's version.

    The function that is traced takes and gives tensors under names of their own, so that nothing is bound by position. The
    converter takes constants from the variables it is shown: handed a Keras model it finds none, and writes a file that reads
    memory nobody has written.
    """
    import keras
    import tensorflow as tf

    intake = _intake(model, [value.name for value in wanted.inputs])
    specs = []
    for value in wanted.inputs:
        dtype = _tensor_dtype(model, value.name, value.dtype)
        specs.append(tf.TensorSpec((1, *value.shape), dtype, name=inputs[value.name]))

    def answer(*tensors: Any) -> dict[str, Any]:
        fed = dict(zip([value.name for value in wanted.inputs], tensors, strict=True))
        given = model(keras.tree.map_structure(lambda name: fed[name], intake), training=False)
        by_name = isinstance(given, Mapping) and set(given) == set(outputs)
        flat = [given[name] for name in outputs] if by_name else keras.tree.flatten(given)
        if len(flat) != len(outputs):
            raise Unsupported(f"The model answers {len(flat)} tensors, and {len(outputs)} are known.")
        return {bound: tf.identity(tensor) for bound, tensor in zip(outputs.values(), flat, strict=True)}

    holder = tf.Module()
    holder.held = [variable.value for variable in model.variables]
    try:
        traced = tf.function(answer, autograph=False).get_concrete_function(*specs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], holder)
        return bytes(converter.convert()), str(tf.__version__)
    except Unsupported:
        raise
    except Exception as error:  # its exceptions have no common base
        raise Unsupported(
            f"TensorFlow {tf.__version__} cannot convert this {type(model).__name__} to LiteRT: {first_line(error)}"
        ) from error


def _functional(model: Any) -> Any:
    """What declares the inputs of a Functional or Sequential model, or None for a class of the user's own."""
    inner = getattr(model, "_functional", None) or model
    return inner if getattr(inner, "_inputs_struct", None) is not None else None


def _intake(model: Any, names: Sequence[str]) -> Any:
    """The structure in which the model is given its inputs, with their names as leaves."""
    import keras

    inner = _functional(model)
    if inner is not None:
        from modelport_keras.feeding import sources_of

        tensors = keras.tree.flatten(inner._inputs_struct)
        by_tensor = {id(tensor): source.name for tensor, source in zip(tensors, sources_of(model) or (), strict=True)}
        if sorted(by_tensor.values()) != sorted(names):
            raise Unsupported(f"The model's inputs are {sorted(by_tensor.values())}, and {sorted(names)} are known.")
        return keras.tree.map_structure(lambda tensor: by_tensor[id(tensor)], inner._inputs_struct)
    if list(names) == ["input"]:
        return "input"
    if list(names) == [f"input_{k + 1}" for k in range(len(names))]:
        return list(names)
    return {name: name for name in names}


def _tensor_dtype(model: Any, name: str, dtype: str) -> str:
    """What the model is fed for one of our dtypes: whole numbers in the width it declares."""
    from modelport_keras.feeding import sources_of

    declared = {source.name: source.dtype for source in sources_of(model) or ()}
    if dtype == "i64":
        return declared.get(name) if declared.get(name) in ("int64", "int32", "int16", "int8", "uint8") else "int64"  # type: ignore[return-value]
    return {"f32": "float32", "bool": "bool"}[dtype]
