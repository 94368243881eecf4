"""The delegate `tf2onnx`: Keras models on TensorFlow as ONNX, with our names, whole numbers as int64, and erfc mended."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from modelport.delegation import Wanted, Written, first_line
from modelport.errors import MissingDependency, Unsupported

__all__ = ["FORMATS", "OPSET", "OPTIONS", "ROOTS", "convert", "missing", "quietly", "register_erfc"]

ROOTS = ("keras",)
FORMATS = ("onnx",)
OPTIONS = ("target", "lengths")
#: the opset that is asked for, and the newest IR version that the runtimes we write for read
OPSET, IR_VERSION = 18, 8
#: what inputs are declared as -> TensorFlow's name
TYPES = {"f32": "float32", "f64": "float64", "i64": "int64", "bool": "bool", "str": "string"}


def missing() -> str | None:
    """What is not installed, as a sentence, or None."""
    for package in ("tf2onnx", "onnx"):
        try:
            version(package)
        except PackageNotFoundError:
            return f"The delegate tf2onnx needs {package}, which is not installed: pip install 'modelport[tf2onnx]'."
    return None


def convert(model: Any, format_: str, wanted: Wanted, options: Mapping[str, Any]) -> Written:
    """The model as tf2onnx translates its TensorFlow graph; Unsupported, in its words, when it does not."""
    lacking = missing()
    if lacking is not None:
        raise MissingDependency(lacking)
    import keras
    from modelport_keras.stored import StoredModel

    if keras.config.backend() != "tensorflow":
        raise Unsupported(
            f"tf2onnx translates TensorFlow graphs, and this model runs on {keras.config.backend()}: "
            "load it with KERAS_BACKEND=tensorflow, or use backend='torch.onnx'."
        )
    if isinstance(model, StoredModel):
        original = model.original()
        if original is None:
            raise Unsupported(f"tf2onnx needs the model itself: {model.silence}")
        model = original
    with quietly():
        try:
            proto = _translated(model, wanted)
        except Unsupported:
            raise
        except Exception as error:  # its exceptions have no common base
            raise Unsupported(
                f"tf2onnx {version('tf2onnx')} cannot convert this {type(model).__name__}: {first_line(error)}"
            ) from error
    names = sorted(output.name for output in wanted.outputs)
    given = [value.name for value in proto.graph.output]
    if len(given) != len(names):
        raise Unsupported(f"tf2onnx wrote {len(given)} outputs, and {len(names)} are wanted.")
    _check(proto, wanted)
    fields = {name: [found] for name, found in zip(names, given, strict=True)}
    return Written(proto.SerializeToString(deterministic=True), fields, f"tf2onnx {version('tf2onnx')}")


def _translated(model: Any, wanted: Wanted) -> Any:
    """tf2onnx's ModelProto of a function that takes and gives what the artifact declares."""
    import tensorflow as tf
    import tf2onnx
    from modelport_keras.reading import called

    register_erfc()
    call = called(model, wanted.inputs, wanted.sample)
    dtypes = {"f32": tf.float32, "f64": tf.float64, "i64": tf.int64, "bool": tf.bool}
    lacking = [output.name for output in wanted.outputs if output.dtype not in dtypes]
    if lacking:
        raise Unsupported(f"tf2onnx gives no output of strings such as {lacking[0]!r}.")

    def function(*tensors: Any) -> dict[str, Any]:
        given = call(dict(zip((value.name for value in wanted.inputs), tensors, strict=True)), wanted.outputs)
        return {o.name: tf.cast(given[o.name], dtypes[o.dtype]) for o in wanted.outputs}

    signature = [
        tf.TensorSpec([None, *(None if isinstance(k, str) else k for k in value.shape)], TYPES[value.dtype], name=value.name)
        for value in wanted.inputs
    ]
    traced = tf.function(function, input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(traced, signature, opset=OPSET)
    proto.ir_version = min(proto.ir_version, IR_VERSION)
    _hold_captured(proto, traced.get_concrete_function().graph.captures)
    return proto


def _hold_captured(proto: Any, captures: Any) -> None:
    """Constants that TensorFlow hands to a function from outside become part of the file: tf2onnx leaves them as inputs."""
    import onnx

    values = {inside.name: outside for outside, inside in captures if outside.dtype.is_floating or outside.dtype.is_integer}
    for value in list(proto.graph.input):
        if value.name in values:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(values[value.name].numpy(), value.name))
            proto.graph.input.remove(value)


def _check(proto: Any, wanted: Wanted) -> None:
    """The checker's word, and that the file reads the inputs that are declared: tf2onnx sometimes leaves others in."""
    import onnx

    try:
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # the checker's own class, and those of shape inference
        raise Unsupported(f"tf2onnx wrote a file that is no valid ONNX: {first_line(error)}") from error
    found, needed = sorted(value.name for value in proto.graph.input), sorted(value.name for value in wanted.inputs)
    if found != needed:
        raise Unsupported(f"tf2onnx wrote a file that reads {', '.join(found)}; {', '.join(needed)} is needed.")


def register_erfc() -> None:
    """tf2onnx has no handler for erfc, which gelu needs: it is 1 - erf."""
    import numpy as np
    import tf2onnx
    from tf2onnx.handler import tf_op

    if getattr(register_erfc, "done", False):
        return

    @tf_op("Erfc")
    class Erfc:
        """1 - erf(x)."""

        @classmethod
        def version_9(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
            dtype = ctx.get_dtype(node.output[0])
            held = np.float64 if dtype == tf2onnx.utils.map_numpy_to_onnx_dtype(np.float64) else np.float32
            one = ctx.make_const(tf2onnx.utils.make_name("one"), np.array(1, held)).output[0]
            shape = ctx.get_shape(node.output[0])
            ctx.remove_node(node.name)
            erf = ctx.make_node("Erf", [node.input[0]])
            ctx.make_node("Sub", [one, erf.output[0]], outputs=node.output, name=node.name, shapes=[shape], dtypes=[dtype])

    register_erfc.done = True  # type: ignore[attr-defined]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """tf2onnx and TensorFlow say much while they work."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
