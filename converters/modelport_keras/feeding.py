"""What a Keras model is fed: its inputs, and a user's sample as one array per input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelport.arrays import Arrays
from modelport.errors import InputError, NotFitted, UnsupportedModel

from . import live
from .network import Array, Source
from .savedmodel import SavedModel
from .stored import StoredModel

__all__ = ["axis_names", "sample_of", "sources_of"]

HELD = {"string": np.dtype(object), "float16": np.dtype(np.float32), "bfloat16": np.dtype(np.float32)}


def sources_of(model: Any) -> Sequence[Source] | None:
    """The inputs of a model, or None where only a sample can tell them (a class of the user's own)."""
    if isinstance(model, StoredModel):
        return model.network.inputs
    if isinstance(model, SavedModel):
        return model.sources
    if live.is_functional(model):
        return live.network_of(model).inputs
    if isinstance(model, live.keras().Sequential) and type(model).call is live.keras().Sequential.call:
        raise NotFitted(
            f"This Sequential model ({model.name!r}) was never built, so that it has no weights: call fit, or build, first."
        )
    if not isinstance(model, live.keras().layers.Layer):
        raise UnsupportedModel(f"A {type(model).__name__} is no Keras model: hand over the model itself.")
    return None


def sample_of(model: Any, data: Any) -> Arrays:
    """A user's sample as one array per input; lengths that the model leaves open are named."""
    if isinstance(data, Arrays):
        return data
    sources = sources_of(model)
    if sources is None:
        return Arrays(_by_itself(data))
    values = {source.name: _fed(source, array) for source, array in zip(sources, _given(sources, data), strict=True)}
    return Arrays(values, axis_names(sources))


def axis_names(sources: Sequence[Source]) -> dict[str, tuple[str | None, ...]]:
    """Names for lengths that are open: "time", or "height" and "width", where one input alone has them.

    >>> axis_names([Source(0, "x", (None, 3), "float32")])
    {'x': ('time', None)}
    >>> axis_names([Source(0, "x", (None,), "int32"), Source(1, "y", (None, 2), "float32")])
    {'x': ('x_1',), 'y': ('y_1', None)}
    """
    opened = [source for source in sources if None in source.shape]
    found: dict[str, tuple[str | None, ...]] = {}
    for source in sources:
        axes = [i for i, length in enumerate(source.shape) if length is None]
        names: list[str | None] = [None] * len(source.shape)
        usual = {(0,): ("time",), (0, 1): ("height", "width"), (1, 2): ("height", "width")}.get(tuple(axes))
        if usual is None or len(opened) > 1 or (len(axes) == 2 and len(source.shape) != 3):
            usual = tuple(f"{source.name}_{axis + 1}" for axis in axes)
        for axis, name in zip(axes, usual, strict=True):
            names[axis] = name
        found[source.name] = tuple(names)
    return found


def _given(sources: Sequence[Source], data: Any) -> list[Any]:
    """The user's data in the order of the inputs."""
    names = [source.name for source in sources]
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        if all(name in data.columns for name in names):
            return [data[name].to_numpy() for name in names]
        if len(sources) == 1:
            return [data.to_numpy()]
        raise InputError(
            f"The sample has the columns {list(map(str, data.columns))[:8]}; the model's inputs are {', '.join(names)}."
        )
    if isinstance(data, Mapping):
        missing = [name for name in names if name not in data]
        odd = [name for name in data if name not in names]
        if missing or odd:
            raise InputError(f"The sample has the inputs {', '.join(map(str, data))}; the model's are {', '.join(names)}.")
        return [data[name] for name in names]
    if len(sources) == 1:
        only = isinstance(data, (list, tuple)) and len(data) == 1 and np.ndim(data[0]) == len(sources[0].shape) + 1
        return [data[0] if only else data]
    if isinstance(data, (list, tuple)) and len(data) == len(sources):
        return list(data)
    raise InputError(
        f"The model has {len(sources)} inputs ({', '.join(names)}): give a dict of arrays by name, or a list of them."
    )


def as_array(data: Any, what: str) -> Array:
    """Any kind of rows as an array; tensors of frameworks too."""
    if hasattr(data, "detach"):
        data = data.detach().cpu()
    try:
        array = np.asarray(data)
    except ValueError:
        raise InputError(f"{what} has rows of different shapes: cut or fill them up to one length.") from None
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype == object:
        cells = [cell.decode("utf-8") if isinstance(cell, bytes) else cell for cell in array.ravel().tolist()]
        if not all(isinstance(cell, str) for cell in cells):
            wrong = next(cell for cell in cells if not isinstance(cell, str))
            raise InputError(f"{what} holds {type(wrong).__name__} ({wrong!r}): rows of numbers, or of strings, are needed.")
        held = np.empty(len(cells), dtype=object)
        held[:] = cells
        array = held.reshape(array.shape)
    return array


def _fed(source: Source, data: Any) -> Array:
    array = as_array(data, f"Input {source.name!r}")
    if array.ndim == len(source.shape) and source.shape[-1:] == (1,):
        array = array[..., None]
    fits = array.ndim == len(source.shape) + 1 and all(
        wanted is None or wanted == length for wanted, length in zip(source.shape, array.shape[1:], strict=False)
    )
    text = source.dtype == "string"
    if not fits or (array.dtype == object) != text:
        wanted = ", ".join("any" if length is None else str(length) for length in source.shape)
        raise InputError(
            f"Input {source.name!r} has shape {list(array.shape)} and dtype {array.dtype} in the sample; "
            f"rows of shape [{wanted}] and {source.dtype} are needed."
        )
    dtype = HELD.get(source.dtype) or np.dtype(source.dtype)
    if dtype.kind in "iu" and array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array)):
        raise InputError(f"Input {source.name!r} holds numbers with a fraction in the sample; {source.dtype} is needed.")
    return array if dtype.kind == "O" else array.astype(dtype)


def _by_itself(data: Any) -> dict[str, Array]:
    """The sample of a model that declares no inputs: a dict by name, several arrays, or one."""
    if isinstance(data, Mapping):
        given = {str(name): as_array(array, f"Input {name!r}") for name, array in data.items()}
    elif isinstance(data, (list, tuple)) and data and all(hasattr(part, "shape") and len(part.shape) > 1 for part in data):
        given = {f"input_{i + 1}": as_array(array, f"Input {i + 1}") for i, array in enumerate(data)}
    else:
        given = {"input": as_array(data, "The sample")}
    return {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in given.items()}
