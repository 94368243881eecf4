"""The graph: a model in our framework-free form - named inputs, steps in topological order, named outputs.

A graph is checked when it is constructed: names, dtypes and row shapes of every value, and every attribute of every step.
What `docs/format.md` says about documents holds for graphs; the JSON format is a graph written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from .errors import GraphError, InputError

__all__ = ["DTYPES", "LIMITS", "ROLES", "Graph", "Input", "Limits", "Output", "Step", "ValueType", "bind"]

#: dtype names and how NumPy holds them; missing strings are None in object arrays.
DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "f64": np.dtype(np.float64),
        "f32": np.dtype(np.float32),
        "i64": np.dtype(np.int64),
        "i32": np.dtype(np.int32),
        "i16": np.dtype(np.int16),
        "i8": np.dtype(np.int8),
        "u32": np.dtype(np.uint32),
        "u16": np.dtype(np.uint16),
        "u8": np.dtype(np.uint8),
        "bool": np.dtype(np.bool_),
        "str": np.dtype(object),
    }
)
FLOATS = ("f64", "f32")
INTEGERS = ("i64", "i32", "i16", "i8", "u32", "u16", "u8")
INPUT_DTYPES = ("f64", "f32", "i64", "bool", "str")
ROLES = ("prediction", "probability", "score", "transform", "cluster", "anomaly")
MISSING = ("error", "nan", "null")


@dataclass(frozen=True)
class Limits:
    """What a graph may cost at most (docs/format.md, section 5)."""

    document_bytes: int = 512 * 1024 * 1024
    depth: int = 16
    steps: int = 10_000
    rank: int = 6
    tensor_elements: int = 1 << 28
    value_width: int = 1 << 22
    total_width: int = 1 << 25
    vector_rows: int = 4096
    multiplications: int = 1 << 34
    work: int = 1 << 30
    length: int = 1 << 20


LIMITS = Limits()
#: operations that the replay of a document may take beyond `Limits.work`, for every byte it has
WORK_PER_BYTE = 1 << 12
#: operations that an element counts as which a step reads or defines
MOVED = 8


@dataclass(frozen=True)
class ValueType:
    """The dtype and row shape of a value (the batch axis is implicit).

    >>> ValueType("f64", (3,)).width
    3
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Number of elements of one row."""
        width = 1
        for length in self.shape:
            width *= length
        return width

    @property
    def counted(self) -> int:
        """Number of elements of one row as limits count them: an axis of length 0 counts as 1."""
        return self.width or ValueType(self.dtype, tuple(max(1, length) for length in self.shape)).width

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True)
class Input:
    """One named input: `missing` is "error", "nan" (floats) or "null" (strings); `features` names a matrix's columns.

    An entry of `shape` is a length, or the name of one that is known when rows come.
    """

    name: str
    dtype: str = "f64"
    shape: tuple[int | str, ...] = (1,)
    missing: str = "error"
    features: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if not isinstance(self.name, str) or not self.name:
            raise GraphError("An input has no name: give every input a non-empty string.")
        if self.dtype not in INPUT_DTYPES:
            raise GraphError(f"Input {self.name!r} has dtype {self.dtype!r}; inputs are one of {', '.join(INPUT_DTYPES)}.")
        if len(self.shape) > LIMITS.rank or not all(map(_is_length, self.shape)):
            raise GraphError(
                f"Input {self.name!r} has row shape {list(self.shape)}; it is at most {LIMITS.rank} lengths or names of lengths."
            )
        if self.missing not in MISSING:
            raise GraphError(f"Input {self.name!r} has missing={self.missing!r}; it is one of {', '.join(MISSING)}.")
        if (self.missing == "nan" and self.dtype not in FLOATS) or (self.missing == "null" and self.dtype != "str"):
            raise GraphError(f"Input {self.name!r} of dtype {self.dtype} cannot have missing={self.missing!r}.")
        if self.features is not None:
            object.__setattr__(self, "features", tuple(self.features))
            if len(self.shape) != 1 or len(self.features) != self.shape[0] or self.lengths:
                raise GraphError(f"Input {self.name!r} names {len(self.features)} features for row shape {list(self.shape)}.")
            if len(set(self.features)) != len(self.features) or not all(isinstance(f, str) for f in self.features):
                raise GraphError(f"The features of input {self.name!r} are not all different strings.")

    @property
    def lengths(self) -> tuple[str, ...]:
        """The names of its lengths that are known when rows come."""
        return tuple(k for k in self.shape if isinstance(k, str))

    @property
    def type(self) -> ValueType:
        """dtype and row shape; GraphError where a length has a name only (see `at`)."""
        return self.at({})

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a row may have this shape: equal lengths, any where a length has a name only."""
        return len(shape) == len(self.shape) and all(
            isinstance(k, str) or k == length for k, length in zip(self.shape, shape, strict=True)
        )

    def at(self, lengths: Mapping[str, int]) -> ValueType:
        """dtype and row shape, for given named lengths.

        >>> str(Input("tokens", "i64", ("time",)).at({"time": 7}))
        'i64[7]'
        """
        unknown = [name for name in self.lengths if name not in lengths]
        if unknown:
            raise GraphError(f"Input {self.name!r} has the length {unknown[0]!r}, for which no number is given.")
        return ValueType(self.dtype, tuple(lengths[k] if isinstance(k, str) else k for k in self.shape))


def _is_length(k: object) -> bool:
    return bool(k) if isinstance(k, str) else isinstance(k, int) and not isinstance(k, bool) and k >= 0


def bind(inputs: Sequence[Input], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The named lengths that row shapes of the inputs have; InputError where one name would have two lengths, or none.

    >>> bind([Input("x", "f32", ("time", 3))], {"x": (5, 3)})
    {'time': 5}
    """
    found: dict[str, int] = {}
    for value in inputs:
        shape = shapes[value.name]
        if not value.takes(shape):
            given, needed = (", ".join(["rows", *map(str, lengths)]) for lengths in (shape, value.shape))
            raise InputError(f"Input {value.name!r} has shape [{given}]; [{needed}] is needed.")
        for name, length in zip(value.shape, shape, strict=True):
            if isinstance(name, str) and not 1 <= length <= LIMITS.length:
                raise InputError(f"Input {value.name!r} has the length {length} as {name!r}; it is from 1 to {LIMITS.length}.")
            if isinstance(name, str) and found.setdefault(name, length) != length:
                raise InputError(f"Input {value.name!r} has the length {length} as {name!r}; another input has {found[name]}.")
    return found


@dataclass(frozen=True)
class Output:
    """One named output: the value it comes from, its role, and the names of the last axis (`classes`)."""

    name: str
    source: str
    dtype: str
    role: str
    classes: tuple[str | int | bool, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise GraphError("An output has no name: give every output a non-empty string.")
        if self.dtype not in DTYPES:
            raise GraphError(f"Output {self.name!r} has the unknown dtype {self.dtype!r}.")
        if self.role not in ROLES:
            raise GraphError(f"Output {self.name!r} has role {self.role!r}; it is one of {', '.join(ROLES)}.")
        if self.classes is not None:
            object.__setattr__(self, "classes", tuple(self.classes))
            kinds = {type(c) for c in self.classes}
            if len(kinds) > 1 or not kinds <= {str, int, bool}:
                raise GraphError(f"The classes of output {self.name!r} are not all strings, all integers or all booleans.")


@dataclass(frozen=True)
class Step:
    """One use of an op: the names it reads, the name it defines, its attributes (tensors are NumPy arrays)."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))
        if not self.output or not isinstance(self.output, str):
            raise GraphError(f"A step of op {self.op!r} defines no name: 'out' is a non-empty string.")

    def __str__(self) -> str:
        return f"step {self.output!r} ({self.op})"


@dataclass(frozen=True)
class Graph:
    """A checked model: `types` maps every value's name to its dtype and row shape.

    `lengths` has an example for every named length of the inputs; `types`, and what a row costs, hold for these: `operations`,
    and `strings`, how many strings are read, defined or searched.
    `at` gives the graph for others.

    Raises GraphError when a rule of docs/format.md is broken, Unsupported for an unknown op.

    >>> import numpy as np
    >>> g = Graph([Input("x", "f64", (2,))],
    ...           [Step("linear", ["x"], "y", {"weight": np.array([[1.0, 2.0]])})],
    ...           [Output("prediction", "y", "f64", "prediction")])
    >>> str(g.types["y"])
    'f64[1]'
    """

    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    name: str | None = None
    limits: Limits = LIMITS
    lengths: Mapping[str, int] = field(default_factory=dict)
    types: Mapping[str, ValueType] = field(init=False, compare=False, repr=False)
    operations: int = field(init=False, compare=False, repr=False)
    strings: int = field(init=False, compare=False, repr=False)

    def __init__(
        self,
        inputs: Sequence[Input],
        steps: Sequence[Step],
        outputs: Sequence[Output],
        name: str | None = None,
        limits: Limits = LIMITS,
        lengths: Mapping[str, int] | None = None,
    ) -> None:
        object.__setattr__(self, "inputs", tuple(inputs))
        object.__setattr__(self, "outputs", tuple(outputs))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "limits", limits)
        object.__setattr__(self, "lengths", MappingProxyType(_checked_lengths(self.inputs, lengths or {}, limits)))
        checked, types, operations, strings = _check_steps(self.inputs, steps, limits, self.lengths)
        object.__setattr__(self, "steps", checked)
        object.__setattr__(self, "types", MappingProxyType(types))
        object.__setattr__(self, "operations", operations)
        object.__setattr__(self, "strings", strings)
        _check_outputs(self.outputs, types)

    def at(self, lengths: Mapping[str, int]) -> Graph:
        """The same graph checked for other named lengths; GraphError when it does not fit them."""
        if all(self.lengths[name] == lengths.get(name, self.lengths[name]) for name in self.lengths):
            return self
        return Graph(self.inputs, self.steps, self.outputs, self.name, self.limits, {**self.lengths, **lengths})

    @property
    def requires(self) -> list[str]:
        """The ops used, each once, in order of first use."""
        return list(dict.fromkeys(step.op for step in self.steps))

    @property
    def longest(self) -> int:
        """Code points of the longest string among the elements of the steps' attributes."""
        from .ops import OPS

        return longest_string(
            value
            for step in self.steps
            for key, value in step.attributes.items()
            if isinstance(value, np.ndarray) or OPS[step.op].attributes[key].kind == "element"
        )

    def replaying(self, rows: int, longest: int) -> int:
        """The operations that so many rows take when no string has more than `longest` code points."""
        return rows * (self.operations + self.strings * longest)

    def producer(self, name: str) -> Step | None:
        """The step that defines `name`, or None for an input."""
        return next((step for step in self.steps if step.output == name), None)

    def input(self, name: str) -> Input | None:
        """The input called `name`, or None."""
        return next((value for value in self.inputs if value.name == name), None)


def longest_string(values: Iterable[Any]) -> int:
    """Code points of the longest string among arrays and single elements."""
    longest = 0
    for value in values:
        elements = value.ravel().tolist() if isinstance(value, np.ndarray) and value.dtype == object else [value]
        longest = max(longest, max((len(v) for v in elements if isinstance(v, str)), default=0))
    return longest


def _checked_lengths(inputs: Sequence[Input], lengths: Mapping[str, int], limits: Limits) -> dict[str, int]:
    """The example lengths in order of their first use."""
    names = list(dict.fromkeys(name for value in inputs for name in value.lengths))
    if set(names) != set(lengths):
        odd = sorted(set(names) ^ set(lengths))[0]
        raise GraphError(f"The inputs name the lengths {names}, but examples are given for {sorted(lengths)}: see {odd!r}.")
    for name, length in lengths.items():
        if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= limits.length:
            raise GraphError(f"The example of the length {name!r} is {length!r}; it is an integer from 1 to {limits.length}.")
    return {name: lengths[name] for name in names}


def _check_steps(
    inputs: Sequence[Input], steps: Sequence[Step], limits: Limits, lengths: Mapping[str, int]
) -> tuple[tuple[Step, ...], dict[str, ValueType], int, int]:
    from .ops import OPS, check

    if not inputs:
        raise GraphError("The graph has no input: at least one is needed.")
    if len(steps) > limits.steps:
        raise GraphError(f"The graph has {len(steps)} steps, more than the limit of {limits.steps}.")
    types: dict[str, ValueType] = {}
    total = 0
    for value in inputs:
        if value.name in types:
            raise GraphError(f"Two inputs are called {value.name!r}: input names are all different.")
        types[value.name] = value.at(lengths)
        total = _within(total, value.name, types[value.name], limits)
    checked = []
    multiplications = moved = strings = 0
    for step in steps:
        for name in step.inputs:
            if name not in types:
                raise GraphError(f"{step} reads {name!r}, which no input and no earlier step defines.")
        if step.output in types:
            raise GraphError(f"{step} defines {step.output!r} a second time: every name is defined once.")
        given = [types[name] for name in step.inputs]
        known, result = check(step, given)
        types[step.output] = result
        cost, searched = OPS[step.op].cost, OPS[step.op].strings
        multiplications += cost(known.attributes, *given, result) if cost is not None else 0
        strings += sum(value.counted for value in (*given, result) if value.dtype == "str")
        strings += searched(known.attributes, *given, result) if searched is not None else 0
        moved += MOVED * (sum(value.counted for value in given) + result.counted)
        if multiplications > limits.multiplications:
            raise GraphError(f"{step} needs, with the steps before it, more than {limits.multiplications} multiplications a row.")
        total = _within(total, step.output, result, limits)
        checked.append(known)
    return tuple(checked), types, multiplications + moved, strings


def _within(total: int, name: str, value: ValueType, limits: Limits) -> int:
    if value.counted > limits.value_width:
        raise GraphError(f"A row of {name!r} has {value.counted} elements, more than the limit of {limits.value_width}.")
    total += value.counted
    if total > limits.total_width:
        raise GraphError(f"The values of one row have more than {limits.total_width} elements together.")
    return total


def _check_outputs(outputs: Sequence[Output], types: Mapping[str, ValueType]) -> None:
    if not outputs:
        raise GraphError("The graph has no output: at least one is needed.")
    seen: set[str] = set()
    for output in outputs:
        if output.name in seen:
            raise GraphError(f"Two outputs are called {output.name!r}: output names are all different.")
        seen.add(output.name)
        if output.source not in types:
            raise GraphError(f"Output {output.name!r} comes from {output.source!r}, which nothing defines.")
        if types[output.source].dtype != output.dtype:
            raise GraphError(
                f"Output {output.name!r} is declared {output.dtype}, but {output.source!r} is {types[output.source].dtype}."
            )
        shape = types[output.source].shape
        if output.classes is not None and shape and len(output.classes) != shape[-1]:
            raise GraphError(
                f"Output {output.name!r} has {len(output.classes)} classes for {types[output.source]}; they name its last axis."
            )
