"""The sample of a net: one array per named input. Images, sequences and the like, where a table of columns says too little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, UsageError
from .graph import Input, bind
from .sample import Column, as_array

__all__ = ["Arrays", "feeds_of", "is_net", "named_lengths"]

Array = NDArray[Any]
KINDS = {"f": "f64", "i": "i64", "u": "i64", "b": "bool", "O": "str"}


@dataclass(frozen=True)
class Arrays:
    """What a net is fed: input name -> array [n, *row shape], in the net's own dtypes.

    names: input name -> the names of its row axes whose lengths may vary, None where an axis is fixed; an input that is left out
    has fixed axes only. missing: inputs that may hold NaN.

    >>> sample = Arrays({"tokens": np.zeros((2, 7), dtype=np.int64)}, {"tokens": ("time",)})
    >>> sample.inputs()[0].shape, len(sample), sample.lengths
    (('time',), 2, {'time': 7})
    """

    values: Mapping[str, Array]
    names: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("The sample has no input: hand over an array, or a dict of arrays.")
        for name, array in self.values.items():
            if array.ndim < 1 or array.dtype.kind not in KINDS:
                raise InputError(
                    f"Input {name!r} of the sample has shape {list(array.shape)} and dtype {array.dtype}: "
                    "rows of numbers, booleans or strings are needed."
                )
            named = self.names.get(name, (None,) * (array.ndim - 1))
            if len(named) != array.ndim - 1:
                raise InputError(f"Input {name!r} has {array.ndim - 1} row axes, but {len(named)} are named.")
        if len({len(array) for array in self.values.values()}) != 1:
            counts = {name: len(array) for name, array in self.values.items()}
            raise InputError(f"The inputs of the sample differ in their number of rows: {counts}.")
        bind(self.inputs(), {name: array.shape[1:] for name, array in self.values.items()})

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def inputs(self) -> tuple[Input, ...]:
        """The graph inputs for such rows: f32 and f64 as they are, whole numbers as i64."""
        return tuple(self._input(name, array) for name, array in self.values.items())

    def _input(self, name: str, array: Array) -> Input:
        named = self.names.get(name, (None,) * (array.ndim - 1))
        shape = tuple(length if label is None else label for length, label in zip(array.shape[1:], named, strict=True))
        dtype = "f32" if array.dtype in (np.float32, np.float16) else KINDS[array.dtype.kind]
        may = "nan" if dtype in ("f32", "f64") else "null"
        return Input(name, dtype, shape, may if name in self.missing else "error")

    @property
    def lengths(self) -> dict[str, int]:
        """The named lengths of these rows: examples for a graph."""
        return bind(self.inputs(), {name: array.shape[1:] for name, array in self.values.items()})

    def feeds(self) -> dict[str, Array]:
        """Input name -> array [n, *row shape] in the declared dtype."""
        kept = {"i64": np.int64, "bool": np.bool_, "f32": np.float32, "f64": np.float64, "str": object}
        return {v.name: np.asarray(self.values[v.name]).astype(kept[v.dtype], copy=False) for v in self.inputs()}

    # What the flow of a conversion asks of any sample; a net's has no columns.

    @property
    def columns(self) -> tuple[Column, ...]:
        """None: a net is not fed columns."""
        return ()

    def restore(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Feeds in the dtypes of the sample."""
        return {name: np.asarray(feeds[name]).astype(array.dtype, copy=False) for name, array in self.values.items()}

    def like(self, data: Any) -> Arrays:
        """Further rows for the same net: an array for its only input, a list of arrays, or a dict of them."""
        feeds = feeds_of(self.inputs(), data)
        return Arrays({k: v.astype(self.values[k].dtype, copy=False) for k, v in feeds.items()}, self.names, self.missing)


def is_net(inputs: Sequence[Input]) -> bool:
    """Whether rows are fed as whole arrays, not as columns: an input has two row axes or more, or a length that varies."""
    return any(len(value.shape) > 1 or value.lengths for value in inputs)


def feeds_of(inputs: Sequence[Input], X: Any) -> dict[str, Array]:
    """Rows for a net as input name -> array [n, *row shape]; X is a dict by name, a list, or an array for the only input.

    InputError names an input that is missing, not known, or of a wrong shape or kind.

    >>> feeds_of([Input("x", "f32", ("time", 2))], np.zeros((3, 5, 2)))["x"].shape
    (3, 5, 2)
    """
    if isinstance(X, Mapping):
        given = {str(name): array for name, array in X.items()}
    elif len(inputs) == 1:
        given = {inputs[0].name: X}
    elif isinstance(X, (list, tuple)) and len(X) == len(inputs):
        given = {value.name: array for value, array in zip(inputs, X, strict=True)}
    else:
        needed = ", ".join(value.name for value in inputs)
        raise InputError(f"The model has {len(inputs)} inputs ({needed}): give a dict of arrays by name.")
    odd = sorted(set(given) ^ {value.name for value in inputs})
    if odd:
        needed = ", ".join(value.name for value in inputs)
        raise InputError(f"The rows have the inputs {', '.join(sorted(given))}; {needed} is needed (see {odd[0]!r}).")
    feeds = {value.name: _fed(value, given[value.name]) for value in inputs}
    bind(inputs, {name: array.shape[1:] for name, array in feeds.items()})
    return feeds


def _fed(value: Input, data: Any) -> Array:
    if hasattr(data, "detach"):  # a torch tensor
        data = data.detach().cpu()
    array = as_array(data, f"Input {value.name!r}")
    if array.dtype.kind == "U":
        array = array.astype(object)
    if array.ndim == 0 or array.dtype.kind not in KINDS or not value.takes(array.shape[1:]):
        needed = ", ".join(["rows", *map(str, value.shape)])
        raise InputError(f"Input {value.name!r} has shape {list(array.shape)} and dtype {array.dtype}; [{needed}] is needed.")
    return array


def named_lengths(given: Any, ranks: Mapping[str, int]) -> dict[str, tuple[str | None, ...]]:
    """The option `lengths`, {input: {array axis: name}} with the batch as axis 0, as names per row axis.

    ranks has the number of axes of every input, the batch among them. UsageError for an input or an axis that is not there.

    >>> named_lengths({"tokens": {1: "time"}}, {"tokens": 2, "mask": 2})
    {'tokens': ('time',)}
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(axes, Mapping) for axes in given.values()):
        raise UsageError(f"lengths={given!r} is not understood: it is a dict such as {{'tokens': {{1: 'time'}}}}.")
    found: dict[str, tuple[str | None, ...]] = {}
    for name, axes in given.items():
        if name not in ranks:
            raise UsageError(f"lengths names the input {name!r}, which the model does not have: {', '.join(ranks)}.")
        labels: list[str | None] = [None] * (ranks[name] - 1)
        for axis, label in axes.items():
            _put(labels, name, axis, label)
        found[name] = tuple(labels)
    return found


def _put(labels: list[str | None], name: str, axis: object, label: object) -> None:
    if axis == 0:
        return  # the batch varies always
    if isinstance(axis, bool) or not isinstance(axis, int) or not 1 <= axis <= len(labels):
        raise UsageError(f"lengths names the axis {axis!r} of input {name!r}, which has the axes 0 to {len(labels)}.")
    if not isinstance(label, str) or not label:
        raise UsageError(f"lengths gives axis {axis} of input {name!r} the name {label!r}: it is a non-empty string.")
    labels[axis - 1] = label
