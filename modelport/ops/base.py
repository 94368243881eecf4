"""What an op is, and the table of all ops. Defining an op is registering it."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError, InputError, Unsupported
from ..graph import DTYPES, FLOATS, INTEGERS, LIMITS, Step, ValueType

Array = NDArray[Any]
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Attribute:
    """One attribute of an op.

    kind: `float` (tensor of the step's dtype), `input` (tensor of the first input's dtype), `acc` (tensor of the dtype `acc`
    names), `f64`, `int`, `str`, `any`, `typed` (any, never a bare array), `leaf` and `targets` (floats, or integers beside
    leaf_table or classes), or `integer`, `number`, `flag`, `choice`, `element` (single JSON values). An element has
    the dtype of the tensor attribute `of`, or of the first input.
    """

    kind: str
    required: bool = False
    ranks: tuple[int, ...] = (1,)
    default: Any = None
    options: tuple[str, ...] = ()
    of: str | None = None


@dataclass(frozen=True)
class Op:
    """One op: its name, attributes, the number of its inputs, how types follow, one NumPy function, its exactness.

    infer(attributes, types) returns the output's ValueType or raises GraphError; run(attributes, arrays) computes it, arrays
    having the batch axis first; prepare(attributes, types) may derive tables once per step; exact(attributes) tells whether all
    readers agree in every bit; cost(attributes, *types, result) counts the multiplications of a row beyond its elements,
    strings(...) the strings beside those that are read and defined (docs/format.md, section 5);
    since is the version of the format that brought it.
    """

    name: str
    infer: Callable[..., ValueType]
    run: Callable[..., Array]
    attributes: Mapping[str, Attribute]
    inputs: tuple[int, int | None] = (1, 1)
    exact: Callable[[Attributes], bool] = lambda attributes: True
    prepare: Callable[..., Attributes] | None = None
    cost: Callable[..., int] | None = None
    strings: Callable[..., int] | None = None
    since: str = "1.0"


OPS: dict[str, Op] = {}
ANY_RANK = tuple(range(LIMITS.rank + 1))
MOST_WHOLE = 1 << 28  # the largest integer that is an attribute
#: multiplications that an exponential, or a search, counts as
DEAR = 16
DTYPE = Attribute("choice", default="f64", options=("f64", "f32"))


def register(
    name: str,
    infer: Callable[..., ValueType],
    run: Callable[..., Array],
    *,
    inputs: tuple[int, int | None] = (1, 1),
    exact: bool | Callable[[Attributes], bool] = True,
    floating: bool = False,
    prepare: Callable[..., Attributes] | None = None,
    cost: Callable[..., int] | None = None,
    strings: Callable[..., int] | None = None,
    since: str = "1.0",
    **attributes: Attribute,
) -> None:
    """Add an op to the table; `floating` gives it the attribute `dtype` (f64 by default, or f32)."""
    if floating:
        attributes = {"dtype": DTYPE, **attributes}
    judge = exact if callable(exact) else (lambda _, value=exact: value)
    OPS[name] = Op(name, infer, run, attributes, inputs, judge, prepare, cost, strings, since)


def dear(a: Attributes, *types: ValueType) -> int:
    """The multiplications of an op that looks for, or takes a function of, each element of its result."""
    return DEAR * types[-1].width


def check(step: Step, types: Sequence[ValueType]) -> tuple[Step, ValueType]:
    """The step with its attributes as typed, read-only arrays and defaults filled in, and the type of what it defines.

    A step that was checked before for the same types is not checked again.
    """
    before = getattr(step, "_checked", None)
    if before is not None and before[0] == tuple(types):
        return step, before[1]
    attributes, result = _check(step, types)
    checked = Step(step.op, step.inputs, step.output, attributes)
    object.__setattr__(checked, "_checked", (tuple(types), result))
    return checked, result


def _check(step: Step, types: Sequence[ValueType]) -> tuple[dict[str, Any], ValueType]:
    op = OPS.get(step.op)
    if op is None:
        raise Unsupported(f"{step}: the op {step.op!r} is not known; a newer modelport may know it.")
    low, high = op.inputs
    if len(types) < low or (high is not None and len(types) > high):
        raise GraphError(f"{step} reads {len(types)} values; {step.op} takes {_range(low, high)}.")
    given = {k: v for k, v in step.attributes.items() if v is not None and not k.startswith("x-")}
    unknown = sorted(given.keys() - op.attributes.keys())
    if unknown:
        raise GraphError(f"{step} has the unknown attribute {unknown[0]!r}, which may change its meaning.")
    attributes: dict[str, Any] = {}
    for name, spec in op.attributes.items():
        if name in given:
            dtype = _dtype_of(spec, attributes, types)
            attributes[name] = _typed(step, name, spec, dtype, given[name], attributes)
        elif spec.required:
            raise GraphError(f"{step} lacks the required attribute {name!r}.")
        elif spec.default is not None:
            attributes[name] = spec.default
    try:
        result = op.infer(attributes, *types)
    except GraphError as error:
        raise GraphError(f"{step}: {error}") from None
    return attributes, result


def _range(low: int, high: int | None) -> str:
    return f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"


def _dtype_of(spec: Attribute, attributes: Attributes, types: Sequence[ValueType]) -> str | None:
    """The dtype a tensor or element must have; None when any (of its kind) will do."""
    if spec.kind == "element":
        return dtype_name(attributes[spec.of]) if spec.of else types[0].dtype
    if spec.kind == "float":
        return str(attributes.get("dtype", "f64"))
    if spec.kind == "acc":
        return str(attributes.get("acc", "f64"))
    if spec.kind == "input":
        return types[0].dtype
    if spec.kind in ("str", "f64"):
        return spec.kind
    if spec.kind == "leaf":
        return None if "leaf_table" in attributes else str(attributes.get("acc", "f64"))
    return None


def dtype_name(array: Array) -> str:
    """Our name of an array's dtype.

    >>> dtype_name(np.zeros(2, np.float32))
    'f32'
    """
    for name, dtype in DTYPES.items():
        if array.dtype == dtype:
            return name
    raise GraphError(f"A tensor has the NumPy dtype {array.dtype}, which the format does not know.")


def _typed(step: Step, name: str, spec: Attribute, dtype: str | None, value: Any, attributes: Attributes) -> Any:
    where = f"{step}: attribute {name!r}"
    if callable(value):  # a document's tensor, decoded once the dtype it must have is known
        value = value(spec.kind, dtype, where, attributes)
    if spec.kind == "choice":
        if not isinstance(value, str) or value not in spec.options:
            raise GraphError(f"{where} is {value!r}; it is one of {', '.join(spec.options)}.")
        return value
    if spec.kind == "flag":
        if not isinstance(value, bool):
            raise GraphError(f"{where} is {value!r}; it is true or false.")
        return value
    if spec.kind == "integer":
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= MOST_WHOLE:
            raise GraphError(f"{where} is {value!r}; it is an integer between 0 and 2^28.")
        return int(value)
    if spec.kind == "number":
        if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
            raise GraphError(f"{where} is {value!r}; it is a number.")
        return float(value)
    if spec.kind == "element":
        return _element(where, str(dtype), value)
    return _tensor(where, spec, dtype, value)


NON_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def _element(where: str, dtype: str, value: Any) -> Any:
    if dtype in FLOATS and isinstance(value, str):
        value = NON_FINITE.get(value, value)
    elif dtype in INTEGERS and isinstance(value, str) and re.fullmatch(r"-?[1-9][0-9]{15,18}", value):
        value = int(value) if abs(int(value)) >= 2**53 else value  # in quotes exactly beyond 2^53-1, as in tensors
    if dtype == "str":
        fits = isinstance(value, str)
    elif dtype == "bool":
        fits = isinstance(value, (bool, np.bool_))
    else:
        fits = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if fits and dtype in INTEGERS:
        bounds = np.iinfo(DTYPES[dtype])
        fits = isinstance(value, (int, np.integer)) and bounds.min <= int(value) <= bounds.max
    if not fits:
        raise GraphError(f"{where} is {value!r}, which is no {dtype}.")
    return value if dtype == "str" else DTYPES[dtype].type(value).item()


def _tensor(where: str, spec: Attribute, dtype: str | None, value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype.kind == "U":
        array = array.astype(object)
    if dtype is None and spec.kind == "int":
        if array.size == 0 and array.dtype.kind == "f":
            array = array.astype(np.int64)
        if array.dtype.kind not in "iu" or dtype_name(array) not in INTEGERS:
            raise GraphError(f"{where} is not a tensor of integers.")
    elif dtype is not None and array.dtype != DTYPES[dtype]:
        raise GraphError(f"{where} is {dtype_name(array)}, but {dtype} is needed here.")
    else:
        dtype_name(array)
    if array.ndim not in spec.ranks:
        raise GraphError(f"{where} has rank {array.ndim}; rank {' or '.join(map(str, spec.ranks))} is needed.")
    if array.dtype == object and not all(v is None or isinstance(v, str) for v in array.ravel()):
        raise GraphError(f"{where} holds something that is neither a string nor missing.")
    array = np.asarray(array, order="C")
    if array.flags.owndata and array.base is None:
        array = array.view()
    array.flags.writeable = False
    return array


# --- what infer functions say -------------------------------------------------------------------------------------------------


def require(condition: bool, sentence: str) -> None:
    """Raise GraphError with the sentence unless the condition holds."""
    if not condition:
        raise GraphError(sentence)


def row(value: ValueType, dtypes: Sequence[str] = FLOATS) -> int:
    """The width of a row (rank 0 or 1) of one of the dtypes."""
    require(len(value.shape) <= 1, f"it reads rows of rank 0 or 1, but is given {value}.")
    require(value.dtype in dtypes, f"it reads {' or '.join(dtypes)}, but is given {value}; a cast step is needed.")
    return value.width


def floating(value: ValueType) -> None:
    """A value of any rank that holds floats."""
    require(value.dtype in FLOATS, f"it reads {' or '.join(FLOATS)}, but is given {value}; a cast step is needed.")


def last_axis(value: ValueType) -> int:
    """The length of the last axis of a value of floats; rank 0 counts as one axis of length 1."""
    floating(value)
    return value.shape[-1] if value.shape else 1


def lengths(value: ValueType) -> None:
    """A value without an axis of length 0."""
    require(0 not in value.shape, f"it reads axes of at least one element, but is given {value}.")


def per_column(attributes: Attributes, name: str, width: int) -> None:
    """An attribute with one element per column, or one for all."""
    if name in attributes:
        size = attributes[name].size
        require(size == width or size == 1, f"attribute {name!r} has {size} elements for {width} columns.")


def length(attributes: Attributes, name: str, expected: int) -> None:
    """An attribute with exactly so many elements."""
    if name in attributes:
        size = attributes[name].size
        require(size == expected, f"attribute {name!r} has {size} elements, but {expected} are needed.")


def finite(attributes: Attributes, *names: str) -> None:
    """Single numbers that are finite."""
    for name in names:
        require(name not in attributes or math.isfinite(attributes[name]), f"attribute {name!r} is not finite.")


def broadcast(*values: ValueType) -> tuple[int, ...]:
    """The row shape of values whose axes, aligned at the last one, are equally long or of length 1."""
    try:
        return np.broadcast_shapes(*(v.shape for v in values))
    except ValueError:
        raise GraphError(f"the shapes {', '.join(map(str, values))} do not fit together.") from None


# --- memory before speed ------------------------------------------------------------------------------------------------------

_IN_PASSING: ContextVar[bool] = ContextVar("in_passing", default=False)


@contextmanager
def in_passing() -> Iterator[None]:
    """Within, evaluators are made that run a few times only: tables that would pay later are made anew, a part at a time."""
    token = _IN_PASSING.set(True)
    try:
        yield
    finally:
        _IN_PASSING.reset(token)


def is_in_passing() -> bool:
    """Whether an op's `prepare` is called within `in_passing`."""
    return _IN_PASSING.get()


# --- what run functions use ---------------------------------------------------------------------------------------------------


def rows(x: Array) -> Array:
    """Rows as a matrix [n, width]: rank 0 counts as one column."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def lines(x: Array) -> Array:
    """The last axis as a matrix [positions, length], the batch and the axes before it as positions."""
    width = x.shape[-1] if x.ndim > 1 else 1
    return x.reshape(math.prod(x.shape[:-1]) if x.ndim > 1 else x.shape[0], width)


def align(*values: Array) -> list[Array]:
    """Values whose row shapes have one rank, so that NumPy broadcasts them the way the format means."""
    rank = max(v.ndim for v in values)
    return [v.reshape(v.shape[0], *[1] * (rank - v.ndim), *v.shape[1:]) for v in values]


def round_to(attributes: Attributes, x: Array) -> Array:
    """x in the step's dtype (nearest, ties to even)."""
    with np.errstate(over="ignore"):
        return np.asarray(x.astype(DTYPES[attributes.get("dtype", "f64")], copy=False))


def wide(x: Array) -> Array:
    """x in float64."""
    return np.asarray(x.astype(np.float64, copy=False))


def ascending_sum(x: Array) -> Array:
    """Sum over the last axis in ascending index, in f64, from 0.0.

    NumPy's own sum is pairwise; this order is what every other language writes as a plain loop.
    """
    width = x.shape[-1]
    return products(x.reshape(math.prod(x.shape[:-1]), width), np.ones((1, width))).reshape(x.shape[:-1])


def parts(n: int, elements: int, most: int = 1 << 22) -> Iterator[slice]:
    """Slices of n rows, each of a number of elements, such that a part has at most so many (but at least one row)."""
    step = max(1, most // max(1, elements))
    for start in range(0, max(n, 1), step):
        yield slice(start, min(start + step, n))


def products(x: Array, weight: Array) -> Array:
    """sum_j x[:, j] * weight[k, j] in ascending j, in f64, from 0.0, without fused multiply-add: [n, k]."""
    if _einsum_ascends():
        return _einsum_products(x, weight)
    return _loop_products(x, weight)


def _loop_products(x: Array, weight: Array) -> Array:
    total = np.zeros((len(x), len(weight)))
    for j in range(weight.shape[1]):
        total += x[:, j : j + 1] * weight[:, j]
    return total


def _einsum_products(x: Array, weight: Array) -> Array:
    """The same; its innermost loop runs over k, so it adds in ascending j. A lone output is doubled, or it would run over j."""
    table = np.ascontiguousarray((weight if len(weight) != 1 else np.repeat(weight, 2, axis=0)).T)
    return np.asarray(np.einsum("ij,jk->ik", np.ascontiguousarray(x), table)[:, : len(weight)])


@functools.cache
def _einsum_ascends() -> bool:
    """Whether NumPy's einsum, as built for this machine, has the bits of the loop (with fused multiply-add it has not)."""
    x = np.sin(np.arange(3 * 61.0)).reshape(3, 61) * 10.0 ** (np.arange(61) % 13)
    x[2] = -0.0
    weight = np.cos(np.arange(9 * 61.0)).reshape(9, 61)
    for n, k in ((3, 9), (1, 9), (3, 2), (3, 1), (1, 1)):
        if _einsum_products(x[:n], weight[:k]).tobytes() != _loop_products(x[:n], weight[:k]).tobytes():
            return False
    return True


def refuse_index(index: Array, count: int, what: str) -> None:
    """Refuse indices outside 0..count-1."""
    refuse_row((index < 0) | (index >= count), f"an index lies outside {what} of {count} entries.")


def refuse_row(bad: Array, sentence: str) -> None:
    """Raise InputError naming the first row in which `bad` is true."""
    if bad.any():
        first = int(np.flatnonzero(bad.reshape(bad.shape[0], -1).any(axis=1))[0])
        raise InputError(f"Row {first}: {sentence}")
