# SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
"""Runs modelport JSON artifacts (format 1) with the standard library of Python alone: for small models, and where NumPy is not.

    model = modelport_stub_pure.load(open("model.json", "rb").read())
    model.predict([{"age": 41, "colour": "red"}])         # {"label": ["yes"], ...}

One file, made to be copied, with the ops of profile tabular. It loads, checks and refuses as modelport_stub.py does, starts
several times as fast, and computes row by row: a batch takes longer than with NumPy. Answers are lists, rows first. A loaded
model may be used from several threads.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Refused", "Mismatch", "Unsupported", "Limits", "Model", "load", "ops"]

List = list[Any]
Run = Callable[..., List]


# ==== Errors ==========================================================================================================


class ModelportError(Exception):
    """Base of the three; the message is one sentence."""


class Refused(ModelportError):
    """The document, or the rows, are not acceptable."""


class Mismatch(ModelportError):
    """The model does not give the answers it carries."""


class Unsupported(ModelportError):
    """The document needs an op or a version that is not implemented here."""


class Limits(NamedTuple):
    """Section 5; a document beyond a limit is refused before anything is allocated."""

    bytes: int = 512 * 2**20
    depth: int = 16
    steps: int = 10_000
    rank: int = 6
    tensor_elements: int = 2**28
    value_width: int = 2**22
    total_width: int = 2**25
    carried_rows: int = 4096
    multiplications: int = 2**34
    work: int = 2**30


DEFAULT_LIMITS = Limits()
_WORK_PER_BYTE = 2**12  # operations that the replay may take beyond `work`
_MOVED = 8  # operations that an element counts as which a step reads or defines


# ==== JSON ============================================================================================================

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789E", b"000000000e")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NEGATIVE_ZERO = re.compile(rb"-0(?![.0-9eE])")


def parse_json(source: bytes | str, limits: Limits = DEFAULT_LIMITS) -> Any:
    """One JSON value, strictly RFC 8259; duplicate keys, bare NaN, overflow and deep nesting are refused."""
    data = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else bytes(source)
    if len(data) > limits.bytes:
        raise Refused(f"the document has {len(data)} bytes, more than the {limits.bytes} allowed")
    if data.startswith(b"\xef\xbb\xbf"):
        raise Refused("the document begins with a byte-order mark; save it as UTF-8 without one")
    # Plain numbers take the fast path of the C scanner; only spellings that could overflow, or an integer -0, are looked at.
    shape = data.translate(_DIGITS_TO_ZERO)
    unusual = b"e000" in shape or b"e+000" in shape or b"0" * 300 in shape or _NEGATIVE_ZERO.search(data) is not None
    numbers: dict[str, Any] = {"parse_float": _strict_float, "parse_int": _strict_int} if unusual else {}
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_bare_constant, **numbers)
        if _SURROGATE.search(data) is not None:
            json.dumps(value, ensure_ascii=False).encode()  # a ValueError for half of a surrogate pair
    except UnicodeDecodeError as error:
        raise Refused(f"the document is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise Refused(f"the document is nested deeper than {limits.depth}") from None
    except ValueError as error:
        raise Refused(f"the document is not JSON: {error}") from None
    _check_depth(value, limits.depth)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({_fold(key) for key, _ in pairs}) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if _fold(key) in seen:
                raise Refused(f"the key {_show(key)} occurs twice in one object (keys that differ only by case count as equal)")
            seen.add(_fold(key))
    return dict(pairs)


_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def _fold(key: str) -> str:
    """Lowers A-Z and nothing else."""
    return key.lower() if key.isascii() else key.translate(_LOWER)


def _bare_constant(word: str) -> Any:
    raise Refused(f"the bare token {word} is not JSON; NaN and infinities are written as strings")


def _strict_float(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise Refused(f"the number {literal[:40]} overflows")
    return value


class _MinusZero(float):
    """-0: as a float it keeps its sign, as an integer it is 0."""


def _strict_int(literal: str) -> int | float:
    if literal == "-0":
        return _MinusZero("-0")
    if len(literal) > 300:
        _strict_float(literal)
    return int(literal)


def _check_depth(value: Any, depth: int) -> None:
    """Refuses values nested deeper than `depth`; flat lists of numbers cost one pass in C."""
    level = [value] if isinstance(value, (list, dict)) else []
    for _ in range(depth):
        deeper: list[Any] = []
        for item in level:
            children = item.values() if isinstance(item, dict) else item
            if not {list, dict}.isdisjoint(map(type, children)):
                deeper.extend(child for child in children if isinstance(child, (list, dict)))
        level = deeper
    if level:
        raise Refused(f"the document is nested deeper than {depth}")


def _ignored(key: str) -> bool:
    return key in ("name", "doc", "provenance") or key.startswith("x-")


def _fields(value: Any, where: str, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """The object `value`, which has the required keys, maybe the optional ones, and no unknown key."""
    if not isinstance(value, dict):
        raise Refused(f"{where} must be an object")
    for key in required:
        if key not in value:
            raise Refused(f"{where} has no {_show(key)}")
    for key in value:
        if key not in required and key not in optional and not _ignored(key):
            raise Refused(f"{where} has the unknown key {_show(key)}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise Refused(f"{where} must be a string")
    return value


def _name(value: Any, where: str) -> str:
    if _text(value, where) == "":
        raise Refused(f"{where} is empty")
    return str(value)


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Refused(f"{where} must be a list of strings")
    return value


def _word(value: Any, where: str, words: Iterable[str]) -> str:
    if not isinstance(value, str) or value not in words:
        raise Refused(f"{where} is {_show(value)}; it must be one of {', '.join(words)}")
    return value


def _integer(value: Any, where: str, low: int, high: int = 2**63 - 1) -> int:
    if type(value) is _MinusZero:
        return _integer(0, where, low, high)
    if type(value) is not int:
        raise Refused(f"{where} must be an integer without fraction and exponent")
    if not low <= value <= high:
        raise Refused(f"{where} is {_show(value)}, outside {low}..{high}")
    return value


def _show(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a very large integer"
    return text if len(text) <= 60 else text[:57] + "..."


# ==== Tensors =========================================================================================================
#
# The elements of a value are one flat list, row-major, of float, int, bool, or str and None. An f32 is a float that 32 bits
# can hold.

#: dtype -> type code and bytes of an element
DTYPES = {
    "f64": ("d", 8),
    "f32": ("f", 4),
    "i64": ("q", 8),
    "i32": ("i", 4),
    "i16": ("h", 2),
    "i8": ("b", 1),
    "u32": ("I", 4),
    "u16": ("H", 2),
    "u8": ("B", 1),
    "bool": ("B", 1),
    "str": ("", 0),
}
FLOATS = ("f64", "f32")
INTEGERS = ("i64", "i32", "i16", "i8", "u32", "u16", "u8")
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_DECIMAL_INTEGER = re.compile(r"-?[1-9][0-9]{15,18}")
_SAFE = 2**53 - 1
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


class Kind(NamedTuple):
    """What a value is: its dtype and its row shape, without the batch axis."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        return math.prod(self.shape)

    @property
    def counted(self) -> int:
        """The elements as limits count them: an axis of length 0 counts as 1."""
        return math.prod([size or 1 for size in self.shape])


class Tensor(NamedTuple):
    shape: tuple[int, ...]
    data: List

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self) -> list[List]:
        """Of a matrix."""
        w = self.shape[1]
        return [self.data[k * w : (k + 1) * w] for k in range(self.shape[0])]


def _range(dtype: str) -> tuple[int, int]:
    bits = 8 * DTYPES[dtype][1]
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def rounded(values: List, dtype: str) -> List:
    """The nearest numbers of a dtype of floats."""
    return array("f", values).tolist() if dtype == "f32" else values


def parse_tensor(
    value: Any, where: str, dtypes: Sequence[str], ranks: Sequence[int], limits: Limits = DEFAULT_LIMITS
) -> tuple[str, Tensor]:
    """(dtype, tensor) of a tensor in either form; a bare array has the first of `dtypes`."""
    if isinstance(value, list):
        shape, flat = _bare_shape(value, where)
        dtype = dtypes[0]
        data = _decode_list(flat, dtype, where)
    else:
        fields = _tensor_fields(value, where)
        dtype = _word(fields["dtype"], f"dtype of {where}", DTYPES)
        shape, data = _declared_shape(fields["shape"], where, limits), fields["data"]
        data = _decode_encoded(fields, dtype, shape, where) if "enc" in fields else _decode_data(data, dtype, shape, where)
    if dtype not in dtypes:
        raise Refused(f"{where} has dtype {dtype}; it must be {' or '.join(dtypes)}")
    if len(shape) not in ranks:
        raise Refused(f"{where} has rank {len(shape)}; it must be {' or '.join(map(str, ranks))}")
    return dtype, Tensor(shape, data)


def _bare_shape(value: list[Any], where: str) -> tuple[tuple[int, ...], list[Any]]:
    """Shape and elements of a bare array: rank 1, or rank 2 of equal rows."""
    nested = set(map(type, value))
    if list not in nested:
        return (len(value),), value
    if nested != {list} or len(set(map(len, value))) != 1:
        raise Refused(f"{where} is ragged; rows of a bare array have equal length")
    return (len(value), len(value[0])), [item for row in value for item in row]


def _tensor_fields(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused(f"{where} must be a tensor: an array, or an object with dtype, shape and data")
    if set(value) - {"enc", "scale", "mask"} != {"dtype", "shape", "data"}:
        raise Refused(f"{where} must have exactly the keys dtype, shape, data and optionally enc, scale, mask")
    if "enc" in value and value["enc"] not in ("b64", "i8"):
        raise Refused(f'the encoding of {where} must be "b64" or "i8"')
    if ("scale" in value) != (value.get("enc") == "i8"):
        raise Refused(f'{where} must have a scale exactly with the encoding "i8"')
    if "mask" in value and "enc" not in value:
        raise Refused(f"{where} has a mask, which goes with an encoding only")
    return value


def _declared_shape(value: Any, where: str, limits: Limits) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > limits.rank:
        raise Refused(f"the shape of {where} must be a list of at most {limits.rank} lengths")
    shape = tuple(_integer(size, f"the shape of {where}", 0) for size in value)
    if math.prod(shape) > limits.tensor_elements:
        raise Refused(f"{where} has {math.prod(shape)} elements, more than the {limits.tensor_elements} allowed")
    return shape


def _decode_data(data: Any, dtype: str, shape: tuple[int, ...], where: str) -> List:
    if not isinstance(data, list):
        raise Refused(f'the data of {where} must be a list (or a string, with enc "b64")')
    if len(data) != math.prod(shape):
        raise Refused(f"{where} has {len(data)} elements, but its shape asks for {math.prod(shape)}")
    return _decode_list(data, dtype, where)


def _decode_encoded(fields: dict[str, Any], dtype: str, shape: tuple[int, ...], where: str) -> List:
    """The elements of the base64 form: as they are, quantized, or only those that a mask marks."""
    if dtype == "str":
        raise Refused(f"{where} is a str tensor, which has no base64 form")
    elements, written = math.prod(shape), None
    if "mask" in fields:
        written = _decode_mask(fields["mask"], dtype, elements, where)
    count = elements if written is None else len(written)
    if fields["enc"] == "i8":
        scale = _read_scale(fields["scale"], dtype, shape, where)
        data = _decode_bytes(fields["data"], "i8", count, where)
        each = elements // len(scale) if len(scale) > 1 else max(1, elements)
        places = range(elements) if written is None else written
        data = rounded([v * scale[k // each] for v, k in zip(data, places)], dtype)
    else:
        data = _decode_bytes(fields["data"], dtype, count, where)
    if written is None:
        return data
    full: List = [0.0 if dtype in FLOATS else 0] * elements
    for k, v in zip(written, data):
        full[k] = v
    return full


def _decode_mask(value: Any, dtype: str, elements: int, where: str) -> list[int]:
    """The places of the elements that are written."""
    if dtype == "bool":
        raise Refused(f"{where} is a bool tensor, which has no mask")
    bits = _decode_bytes(value, "u8", -(-elements // 8), f"the mask of {where}")
    places = [8 * k + b for k, byte in enumerate(bits) if byte for b in range(8) if byte >> b & 1]
    if places and places[-1] >= elements:
        raise Refused(f"the mask of {where} has a bit beyond its {elements} elements")
    return places


def _read_scale(value: Any, dtype: str, shape: tuple[int, ...], where: str) -> List:
    """The scales of a quantized tensor: one, or one per index of the first axis."""
    if dtype not in FLOATS:
        raise Refused(f'{where} has dtype {dtype}; the encoding "i8" is for f32 and f64')
    if not isinstance(value, list) or len(value) not in (1, *shape[:1]):
        raise Refused(f"the scale of {where} must be a list of one number, or of one per index of the first axis")
    scale = _decode_list(value, dtype, f"the scale of {where}")
    if not all(0 < v < math.inf for v in scale):
        raise Refused(f"the scale of {where} holds a number that is not positive and finite")
    return scale


def _decode_bytes(data: Any, dtype: str, count: int, where: str) -> List:
    from binascii import a2b_base64

    code, size = DTYPES[dtype]
    if not isinstance(data, str) or len(data) % 4 or not data.isascii() or not _BASE64.fullmatch(data):
        raise Refused(f"the data of {where} is not standard base64 with padding")
    raw = a2b_base64(data)
    if len(raw) != count * size:
        raise Refused(f"{where} has {len(raw)} bytes, but it should have {count} elements of {size} bytes")
    if dtype == "bool":
        if raw.strip(b"\0\1"):
            raise Refused(f"{where} has a boolean byte that is neither 0 nor 1")
        return list(map(bool, raw))
    values = array(code, raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def _decode_list(data: List, dtype: str, where: str) -> List:
    """Elements of one dtype, each in the spelling section 2 asks for."""
    kinds = set(map(type, data))
    if dtype in FLOATS:
        return _decode_floats(data, kinds, dtype, where)
    if dtype in INTEGERS:
        return _decode_integers(data, kinds, dtype, where)
    if dtype == "bool":
        if not kinds <= {bool}:
            raise Refused(f"{where} must hold true or false only")
    elif not kinds <= {str, type(None)}:
        raise Refused(f"{where} must hold strings (or null for missing) only")
    return data


def _decode_floats(data: List, kinds: set[type], dtype: str, where: str) -> List:
    if str in kinds:
        for item in data:
            if type(item) is str and item not in _NAMED:
                raise Refused(f"{where} holds the string {_show(item)} where a number is expected")
        data = [_NAMED[item] if type(item) is str else item for item in data]
    if not kinds <= {int, float, str, _MinusZero}:
        raise Refused(f'{where} must hold numbers, "NaN", "Infinity" or "-Infinity" only')
    wide = data if kinds <= {float} else list(map(float, data))
    if dtype == "f64":
        return wide
    narrow = rounded(wide, dtype)
    if any(math.isinf(n) and not math.isinf(w) for n, w in zip(narrow, wide)):
        raise Refused(f"{where} holds a number beyond f32")
    return narrow


def _decode_integers(data: List, kinds: set[type], dtype: str, where: str) -> List:
    if _MinusZero in kinds:
        data = [0 if type(item) is _MinusZero else item for item in data]
        kinds = set(map(type, data))
    if not kinds <= {int, str}:
        raise Refused(f"{where} must hold integers without fraction and exponent")
    bare = [item for item in data if type(item) is int] if str in kinds else data
    if int in kinds and not -_SAFE <= min(bare) <= max(bare) <= _SAFE:
        raise Refused(f"{where} holds an integer beyond 2^53-1 as a number; it is written as a string")
    if str in kinds:
        data = [_decimal_integer(item, where) if type(item) is str else item for item in data]
    low, high = _range(dtype)
    if data and not low <= min(data) <= max(data) <= high:
        raise Refused(f"{where} holds an integer outside {low}..{high}")
    return data


def _decimal_integer(text: str, where: str) -> int:
    """Beyond 2^53 - 1 in magnitude, integers are decimal strings."""
    if not _DECIMAL_INTEGER.fullmatch(text) or abs(int(text)) <= _SAFE:
        raise Refused(f"{where} holds the string {_show(text)}; integers are strings only beyond 2^53-1 and within 64 bits")
    return int(text)


def _spelled(value: float, dtype: str) -> Any:
    """A float for JSON: its name, or a decimal that reads back as the same number of its dtype."""
    if not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if dtype == "f32":
        for digits in range(6, 10):
            short = float(f"{value:.{digits}g}")
            if rounded([short], dtype)[0] == value:
                return short
    return value


def format_tensor(dtype: str, tensor: Tensor) -> dict[str, Any]:
    """The object form with decimal data."""
    data = tensor.data
    if dtype in FLOATS:
        data = [_spelled(value, dtype) for value in data]
    elif dtype == "i64":
        data = [item if -_SAFE <= item <= _SAFE else str(item) for item in data]
    return {"dtype": dtype, "shape": list(tensor.shape), "data": data}


# ==== Special functions ===============================================================================================


def divide(x: float, y: float) -> float:
    if y:
        return x / y
    return math.nan if not x or x != x or y != y else math.copysign(math.inf, x) * math.copysign(1.0, y)


def guarded(function: Callable[[float], float]) -> Callable[[float], float]:
    """A function of math that gives infinity where it overflows, and NaN where it is not defined."""

    def call(x: float) -> float:
        try:
            return function(x)
        except OverflowError:
            return -math.inf if function is math.sinh and x < 0 else math.inf
        except ValueError:
            return math.nan

    return call


exp = guarded(math.exp)


def _logarithm(function: Callable[[float], float], pole: float) -> Callable[[float], float]:
    return lambda x: function(x) if x > pole else -math.inf if x == pole else math.nan


log = _logarithm(math.log, 0.0)


def power(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    except ValueError:
        if x:
            return math.nan
        return math.copysign(math.inf, x) if y % 2 == 1 else math.inf


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    """A rounding to integers that keeps the sign of zero, and what has no fraction."""
    return lambda x: math.copysign(float(function(x)), x) if abs(x) < 2.0**52 else x


def norm_ppf(p: float) -> float:
    """The inverse of the normal distribution function; AS 241, as the standard library has it."""
    from statistics import NormalDist

    if 0.0 < p < 1.0:
        return NormalDist().inv_cdf(p)
    return -math.inf if p == 0.0 else math.inf if p == 1.0 else math.nan


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x))


def minimum(x: float, y: float) -> float:
    return x if x != x or x < y else y


def maximum(x: float, y: float) -> float:
    return x if x != x or x > y else y


def total(values: Iterable[float]) -> float:
    """The sum in ascending index, from 0.0: the built-in function takes another way."""
    result = 0.0
    for value in values:
        result += value
    return result


def dot(x: Iterable[float], y: Iterable[float]) -> float:
    result = 0.0
    for a, b in zip(x, y):
        result += a * b
    return result


# ==== Ops =============================================================================================================
#
# An op is one function: it reads the attributes of a step, checks them against the kinds of its inputs, and returns the kind of
# its value and a function from the number of rows and the input lists to the output list. The decorator enters it into OPS, the
# one place where an op is added.

Check = Callable[..., tuple[Kind, Run]]


class Op(NamedTuple):
    fewest: int
    most: float
    check: Check


OPS: dict[str, Op] = {}


def op(fewest: int, most: float | None = None) -> Callable[[Check], Check]:
    """Enters an op into the table under its function's name, with its number of inputs."""

    def register(check: Check) -> Check:
        OPS[check.__name__] = Op(fewest, fewest if most is None else most, check)
        return check

    return register


class Attributes:
    """The attributes of one step; each is taken once, and what is left over is unknown."""

    def __init__(self, step: Mapping[str, Any], where: str, limits: Limits) -> None:
        self.where, self.limits, self.multiplications, self.strings, self.longest = where, limits, 0, 0, 0
        self._left = {key: value for key, value in step.items() if key not in ("op", "in", "out") and not _ignored(key)}

    def finish(self) -> None:
        for key in self._left:
            raise self.refuse(f"has the unknown attribute {_show(key)}")

    def refuse(self, problem: str) -> Refused:
        return Refused(f"{self.where} {problem}")

    def multiply(self, times: int) -> None:
        """Counts the multiplications per row of the step."""
        self.multiplications += times

    def measure(self, strings: Iterable[str | None]) -> None:
        """Remembers the longest string."""
        self.longest = _longest(strings, self.longest)

    def look(self, elements: int) -> None:
        """Counts a search, or a function such as exp, for each of so many elements per row."""
        self.multiply(16 * elements)

    def has(self, key: str) -> bool:
        return key in self._left

    def take(self, key: str) -> Any:
        if key not in self._left:
            raise self.refuse(f"has no attribute {_show(key)}")
        return self._left.pop(key)

    def word(self, key: str, *words: str, default: str | None = None) -> str:
        if default is not None and not self.has(key):
            return default
        return _word(self.take(key), f"{self.where}: {key}", words)

    def integer(self, key: str, low: int, high: int = 2**28) -> int:
        return _integer(self.take(key), f"{self.where}: {key}", low, min(high, 2**28))

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.take(key) if self.has(key) else default
        if not isinstance(value, bool):
            raise self.refuse(f"has a {_show(key)} that is neither true nor false")
        return value

    def tensor(self, key: str, dtypes: Sequence[str], *shape: int | None) -> Tensor:
        """A required tensor; None in `shape` leaves that length open."""
        return self.any_tensor(key, dtypes, (len(shape),), shape)[1]

    def any_tensor(
        self, key: str, dtypes: Sequence[str], ranks: Sequence[int], shape: Sequence[int | None] | None = None
    ) -> tuple[str, Tensor]:
        where = f"{self.where}: {key}"
        dtype, tensor = parse_tensor(self.take(key), where, dtypes, ranks, self.limits)
        if dtype == "str":
            self.measure(tensor.data)
        if shape is not None and any(want is not None and want != size for want, size in zip(shape, tensor.shape)):
            wanted = ", ".join("any" if want is None else str(want) for want in shape)
            raise Refused(f"{where} has shape {list(tensor.shape)}; it must be [{wanted}]")
        return dtype, tensor

    def integers(self, key: str, *shape: int | None) -> Tensor:
        """A tensor of any integer dtype."""
        return self.tensor(key, INTEGERS, *shape)

    def numbers(self, key: str, dtype: str, length: int | None = None) -> List:
        return self.tensor(key, (dtype,), length).data

    def per_column(self, key: str, dtype: str, width: int) -> List:
        """One element per column; one for all is repeated."""
        values = self.numbers(key, dtype)
        if len(values) not in (1, width):
            raise self.refuse(f"has {len(values)} elements in {_show(key)} for {width} columns")
        return values * width if len(values) == 1 else values

    def loose(self, key: str, ranks: Sequence[int]) -> tuple[str, Tensor]:
        """A tensor of any dtype; a bare array is str when its elements are strings, f64 otherwise."""
        value = self._left.get(key)
        elements = _bare_shape(value, f"{self.where}: {key}")[1] if isinstance(value, list) else None
        text = elements is not None and str in set(map(type, elements)) <= {str, type(None)}
        dtypes = ("str", *DTYPES) if text else tuple(DTYPES)
        return self.any_tensor(key, dtypes, ranks)


def _float_dtype(a: Attributes) -> str:
    """The `dtype` of the ops marked d."""
    return a.word("dtype", *FLOATS, default="f64")


def _need(a: Attributes, kind: Kind, dtypes: Sequence[str]) -> None:
    if kind.dtype not in dtypes:
        raise a.refuse(f"reads a value of dtype {kind.dtype}; it takes {' or '.join(dtypes)}")


def _need_row(a: Attributes, *kinds: Kind) -> None:
    for kind in kinds:
        if len(kind.shape) > 1:
            raise a.refuse(f"reads a value of row shape {list(kind.shape)}; it takes rows of rank 0 or 1")


def _float_value(a: Attributes, kind: Kind) -> tuple[str, Callable[[List], List]]:
    """Checks the float input of an op marked d: the step's dtype, and what rounds the input to it."""
    dtype = _float_dtype(a)
    _need(a, kind, FLOATS)
    return dtype, (lambda x: rounded(x, dtype)) if kind.dtype == "f64" else (lambda x: x)


def _last(kind: Kind) -> int:
    """The length of the last axis; rank 0 counts as one axis of length 1."""
    return kind.shape[-1] if kind.shape else 1


def _lines(x: List, width: int) -> Iterable[List]:
    """Consecutive elements, so many at a time; none where that is 0."""
    return (x[k : k + width] for k in range(0, len(x), width)) if width else ()


def _strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[k + 1 :]) for k in range(len(shape))]


def _places(lengths: Sequence[int], steps: Sequence[int]) -> Callable[[], list[int]]:
    """The offsets of all positions of a shape, row-major, where an axis has so long a step; made when a row first needs them."""

    @functools.cache
    def made() -> list[int]:
        places = [0]
        for length, step in zip(lengths, steps):
            places = [p + k * step for p in places for k in range(length)]
        return places

    return made


def _spread(a: Attributes, *kinds: Kind) -> tuple[tuple[int, ...], list[Callable[[int, List], List]]]:
    """The row shape that the inputs broadcast to, and what brings each of them to it."""
    rank = max(len(kind.shape) for kind in kinds)
    padded = [(1,) * (rank - len(kind.shape)) + kind.shape for kind in kinds]
    wide = tuple(next((n for n in lengths if n != 1), 1) for lengths in zip(*padded))
    if any(n not in (1, w) for shape in padded for n, w in zip(shape, wide)):
        raise a.refuse(f"reads rows of shapes {[list(kind.shape) for kind in kinds]}, which do not broadcast")
    if math.prod(wide) > a.limits.value_width:
        raise a.refuse(f"gives {math.prod(wide)} elements per row, more than the {a.limits.value_width} allowed")

    def one(shape: tuple[int, ...]) -> Callable[[int, List], List]:
        if shape == wide:
            return lambda n, x: x
        places = _places(wide, [0 if n == 1 else step for n, step in zip(shape, _strides(shape))])
        width = math.prod(shape)
        return lambda n, x: [x[r * width + p] for r in range(n) for p in places()]

    return wide, [one(shape) for shape in padded]


def _by_line(
    kind: Kind, dtype: str, shape: tuple[int, ...], before: Callable[[List], List], line: Callable[[List], List]
) -> tuple[Kind, Run]:
    """A value made line by line, along the last axis, and rounded to the dtype."""
    width, empty = _last(kind), shape[-1] if shape else 1

    def run(n: int, x: List) -> List:
        lines = _lines(before(x), width) if width else ([] for _ in range(n * math.prod(kind.shape[:-1])))
        return rounded([v for row in lines for v in line(row)], dtype) if empty else []

    return Kind(dtype, shape), run


@op(1, math.inf)
def concat(a: Attributes, *kinds: Kind) -> tuple[Kind, Run]:
    """Joins rows, or values along an axis."""
    dtype, shape = kinds[0]
    if len({kind.dtype for kind in kinds}) != 1:
        raise a.refuse("joins values of different dtypes")
    axis = 0
    if not a.has("axis"):
        _need_row(a, *kinds)
        joined: tuple[int, ...] = (sum(kind.width for kind in kinds),)
    else:
        axis = a.integer("axis", 0, len(shape) - 1)
        others = {(len(kind.shape), *kind.shape[:axis], *kind.shape[axis + 1 :]) for kind in kinds}
        if len(others) != 1:
            raise a.refuse(
                f"joins rows of shapes {[list(kind.shape) for kind in kinds]} along axis {axis}; they differ elsewhere"
            )
        joined = (*shape[:axis], sum(kind.shape[axis] for kind in kinds), *shape[axis + 1 :])
    lanes = math.prod(joined[:axis])
    widths = [kind.width // lanes if lanes else 0 for kind in kinds]

    def run(n: int, *xs: List) -> List:
        pairs = list(zip(xs, widths))
        return [v for k in range(n * lanes) for x, w in pairs for v in x[k * w : (k + 1) * w]]

    return Kind(dtype, joined), run


@op(1)
def select(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Columns by position."""
    _need_row(a, kind)
    index, width = a.integers("index", None).data, kind.width
    if not all(0 <= k < width for k in index):
        raise a.refuse(f"selects a column outside 0..{width - 1}")
    return Kind(kind.dtype, (len(index),)), lambda n, x: [x[r * width + k] for r in range(n) for k in index]


def _single(i: int) -> float:
    """The f32 nearest to an integer, in one rounding."""
    shift = max(0, abs(i).bit_length() - 24)
    whole, rest = divmod(abs(i), 1 << shift)
    half = (1 << shift) / 2
    whole += shift > 0 and (rest > half or (rest == half and whole & 1 == 1))
    return math.copysign(float(whole << shift), i)


@op(1)
def cast(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The same values in another dtype; what does not fit an integer is refused."""
    known = [dtype for dtype in DTYPES if dtype != "str"]
    to = a.word("to", *known)
    _need(a, kind, known)

    def to_integer(n: int, x: List) -> List:
        low, high = _range(to)
        try:
            found = list(map(int, x))
        except (ValueError, OverflowError):
            raise a.refuse(f"cannot cast NaN or an infinity to {to}") from None
        wrong = next((v for v in found if not low <= v <= high), None)
        if wrong is not None:
            raise a.refuse(f"cannot cast {_show(wrong)} to {to}")
        return found

    if to in INTEGERS:
        return Kind(to, kind.shape), to_integer
    if to == "bool":
        return Kind(to, kind.shape), lambda n, x: [v != 0 for v in x]
    if to == "f32" and kind.dtype in INTEGERS:
        return Kind(to, kind.shape), lambda n, x: list(map(_single, x))
    return Kind(to, kind.shape), lambda n, x: rounded(list(map(float, x)), to)


@op(0)
def constant(a: Attributes) -> tuple[Kind, Run]:
    """The same row for every row of the batch."""
    if isinstance(a._left.get("value"), list):
        raise a.refuse("has a bare array as value; it needs the object form")
    dtype, value = a.any_tensor("value", tuple(DTYPES), range(a.limits.rank + 1))
    return Kind(dtype, value.shape), lambda n: value.data * n


def _matcher(a: Attributes, kind: Kind) -> Callable[[Any], bool]:
    """Whether an element equals `match`; by default whether it is missing."""
    if kind.dtype == "str":
        text = _text(a.take("match"), f"{a.where}: match") if a.has("match") else None
        a.measure([text])
        return lambda v: v == text
    match = _decode_list([a.take("match") if a.has("match") else "NaN"], kind.dtype, f"{a.where}: match")[0]
    return (lambda v: v != v) if match != match else lambda v: v == match


@op(1)
def impute(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Replaces the elements that equal `match` (missing ones by default)."""
    _need_row(a, kind)
    _need(a, kind, ("f64", "f32", "str"))
    matches, values = _matcher(a, kind), a.per_column("values", kind.dtype, kind.width)
    return kind, lambda n, x: [new if matches(v) else v for v, new in zip(x, values * n)]


@op(1)
def is_missing(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """1.0 where an element equals `match` (is missing by default), else 0.0."""
    _need_row(a, kind)
    _need(a, kind, ("f64", "f32", "str"))
    matches = _matcher(a, kind)
    return Kind("f64", kind.shape), lambda n, x: [float(matches(v)) for v in x]


def _key(item: Any) -> Any:
    """A key for a dict in which NaN equals NaN (zeros are equal to a dict anyway)."""
    return "NaN" if type(item) is float and item != item else item


@op(1)
def lookup(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The value of the equal key, else the default."""
    _need(a, kind, ("f64", "f32", "i64", "bool", "str"))
    keys = a.tensor("keys", (kind.dtype,), None).data
    dtype, values = a.loose("values", (1,))
    if len(values) != len(keys):
        raise a.refuse(f"has {len(keys)} keys but {len(values)} values")
    table = {_key(key): value for key, value in zip(keys, values.data)}
    if len(table) != len(keys):
        raise a.refuse("has two equal keys")
    default = _decode_list([a.take("default")], dtype, f"{a.where}: default") if a.has("default") else []
    a.look(kind.width)
    if default == [None]:
        raise a.refuse("has null as its default; leave the attribute out")
    a.measure(default if dtype == "str" else [])

    def run(n: int, x: List) -> List:
        if default:
            return [table.get(_key(v), default[0]) for v in x]
        try:
            return [table[_key(v)] for v in x]
        except KeyError as error:
            raise a.refuse(f"has no entry for {_show(error.args[0])} and no default") from None

    return Kind(dtype, kind.shape), run


@op(1)
def onehot(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """A unit vector per column; -1 gives zeros."""
    _need_row(a, kind)
    _need(a, kind, INTEGERS)
    size = a.integer("size", 1)

    def run(n: int, x: List) -> List:
        units = [0.0] * (len(x) * size)
        for k, code in enumerate(x):
            if not -1 <= code < size:
                raise a.refuse(f"reads the code {code}, outside 0..{size - 1}")
            if code >= 0:
                units[k * size + code] = 1.0
        return units

    return Kind("f64", (kind.width * size,)), run


@op(1)
def bucketize(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The number of edges of the column that lie below (left) or not above (right) the element."""
    _need_row(a, kind)
    _need(a, kind, FLOATS)
    edges, sizes, side = a.numbers("edges", kind.dtype), a.integers("sizes", kind.width).data, a.word("side", "left", "right")
    if any(not 0 <= size <= len(edges) for size in sizes) or sum(sizes) != len(edges):
        raise a.refuse(f"has {len(edges)} edges, but its sizes do not cut them")
    columns = [edges[end - size : end] for size, end in zip(sizes, itertools.accumulate(sizes))]
    if any(not lower <= upper for column in columns for lower, upper in itertools.pairwise(column)) or any(e != e for e in edges):
        raise a.refuse("has edges that do not ascend")
    a.look(kind.width)
    count = bisect_left if side == "left" else bisect_right
    return Kind("i64", kind.shape), lambda n, x: [
        len(column) if v != v else count(column, v) for v, column in zip(x, columns * n)
    ]


@op(1)
def scale(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """((x - sub) / div) * mul + add."""
    dtype, before = _float_value(a, kind)
    functions: dict[str, Callable[[float, float], float]] = {
        "sub": lambda x, p: x - p,
        "div": divide,
        "mul": lambda x, p: x * p,
        "add": lambda x, p: x + p,
    }
    parts = [(function, a.per_column(key, dtype, _last(kind))) for key, function in functions.items() if a.has(key)]

    def run(n: int, x: List) -> List:
        x = before(x)
        for function, parameter in parts:
            x = rounded(list(map(function, x, parameter * (len(x) // max(1, len(parameter))))), dtype)
        return x

    return Kind(dtype, kind.shape), run


@op(1)
def clip(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """x < min ? min : x > max ? max : x."""
    dtype, before = _float_value(a, kind)
    width = _last(kind)
    low = a.per_column("min", dtype, width) if a.has("min") else [-math.inf] * width
    high = a.per_column("max", dtype, width) if a.has("max") else [math.inf] * width
    return Kind(dtype, kind.shape), lambda n, x: [
        lo if v < lo else hi if v > hi else v for line in _lines(before(x), width) for v, lo, hi in zip(line, low, high)
    ]


UNARY_EXACT = ("neg", "abs", "sign", "sqrt", "square", "reciprocal", "floor", "ceil", "round", "trunc", "relu")
UNARY: dict[str, Callable[[float], float]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "sign": lambda x: x if x != x else float((x > 0) - (x < 0)),
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "square": lambda x: x * x,
    "reciprocal": lambda x: divide(1.0, x),
    "floor": _whole(math.floor),
    "ceil": _whole(math.ceil),
    "round": _whole(round),
    "trunc": _whole(math.trunc),
    "relu": lambda x: 0.0 if x <= 0 else x,
    "exp": exp,
    "expm1": guarded(math.expm1),
    "log": log,
    "log1p": _logarithm(math.log1p, -1.0),
    "log2": _logarithm(math.log2, 0.0),
    "log10": _logarithm(math.log10, 0.0),
    "sin": guarded(math.sin),
    "cos": guarded(math.cos),
    "tan": guarded(math.tan),
    "arcsin": guarded(math.asin),
    "arccos": guarded(math.acos),
    "arctan": math.atan,
    "sinh": guarded(math.sinh),
    "cosh": guarded(math.cosh),
    "tanh": math.tanh,
    "sigmoid": sigmoid,
    "log_sigmoid": lambda x: minimum(x, 0.0) - math.log1p(exp(-abs(x))),
    "softplus": lambda x: maximum(x, 0.0) + math.log1p(exp(-abs(x))),
    "erf": math.erf,
    "norm_ppf": norm_ppf,
}


@op(1)
def unary(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """A function of one element."""
    fn = a.word("fn", "not", *UNARY)
    if fn == "not":
        _float_dtype(a)
        _need(a, kind, ("bool",))
        return kind, lambda n, x: [not v for v in x]
    dtype, before = _float_value(a, kind)
    a.look(0 if fn in UNARY_EXACT else kind.width)
    return Kind(dtype, kind.shape), lambda n, x: rounded(list(map(UNARY[fn], before(x))), dtype)


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": divide,
    "min": minimum,
    "max": maximum,
    "pow": power,
}
COMPARISON: dict[str, Callable[[Any, Any], Any]] = {
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
}
LOGIC: dict[str, Callable[[Any, Any], Any]] = {
    "and": lambda x, y: x and y,
    "or": lambda x, y: x or y,
    "xor": lambda x, y: x != y,
}


@op(2)
def binary(a: Attributes, left: Kind, right: Kind) -> tuple[Kind, Run]:
    """A function of two elements."""
    fn = a.word("fn", *ARITHMETIC, *COMPARISON, *LOGIC)
    dtype = _float_dtype(a)
    shape, (wide_left, wide_right) = _spread(a, left, right)
    kinds, function = (left.dtype, right.dtype), {**ARITHMETIC, **COMPARISON, **LOGIC}[fn]
    as_they_are = (fn in COMPARISON and kinds == ("i64", "i64")) or (
        fn in ("eq", "ne") and kinds in (("bool", "bool"), ("str", "str"))
    )
    for kind in (left, right):
        if not as_they_are:
            _need(a, kind, ("bool",) if fn in LOGIC else FLOATS)
    to = "f64" if as_they_are or fn in LOGIC else dtype
    a.look(math.prod(shape) if fn == "pow" else 0)
    a.strings = Kind("bool", shape).counted if left.dtype == "str" else 0

    def run(n: int, x: List, y: List) -> List:
        found = list(map(function, wide_left(n, rounded(x, to)), wide_right(n, rounded(y, to))))
        return rounded(found, dtype) if fn in ARITHMETIC else found

    return Kind(dtype if fn in ARITHMETIC else "bool", shape), run


@op(3)
def where(a: Attributes, condition: Kind, left: Kind, right: Kind) -> tuple[Kind, Run]:
    """The second value where the first is true, else the third."""
    _need(a, condition, ("bool",))
    if left.dtype != right.dtype:
        raise a.refuse(f"chooses between {left.dtype} and {right.dtype}; both must have one dtype")
    shape, wide = _spread(a, condition, left, right)

    def run(n: int, *values: List) -> List:
        return [x if c else y for c, x, y in zip(*(one(n, value) for one, value in zip(wide, values)))]

    return Kind(left.dtype, shape), run


@op(1)
def linear(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Weighted sums along the last axis, plus bias; rounded once, after both."""
    dtype, before = _float_value(a, kind)
    weight = a.tensor("weight", (dtype,), None, _last(kind))
    bias = a.numbers("bias", dtype, len(weight)) if a.has("bias") else [0.0] * len(weight)
    units = list(zip(weight.rows(), bias))
    a.multiply(math.prod(kind.shape[:-1]) * len(weight) * _last(kind))
    return _by_line(kind, dtype, (*kind.shape[:-1], len(weight)), before, lambda line: [dot(line, w) + b for w, b in units])


def _shifted(line: List, dtype: str) -> tuple[List, List, float]:
    """(x - m, exp(x - m), sum of exp(x - m)) of a line, rounded to the dtype."""
    m = _extreme(line, True)
    shifted = rounded([v - m for v in line], dtype)
    powers = rounded(list(map(exp, shifted)), dtype)
    return shifted, powers, rounded([total(powers)], dtype)[0]


def _extreme(line: List, largest: bool) -> float:
    best = line[0] if line else -math.inf
    for v in line:
        if v != v:
            return math.nan
        if v > best if largest else v < best:
            best = v
    return best


@op(1)
def softmax(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """exp(x - max) / sum."""
    dtype, before = _float_value(a, kind)
    a.look(kind.width)

    def line(x: List) -> List:
        _, powers, whole = _shifted(x, dtype)
        return [divide(v, whole) for v in powers]

    return _by_line(kind, dtype, kind.shape, before, line)


@op(1)
def log_softmax(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """x - max - log(sum exp(x - max))."""
    dtype, before = _float_value(a, kind)
    a.look(kind.width)

    def line(x: List) -> List:
        shifted, _, whole = _shifted(x, dtype)
        logarithm = rounded([log(whole)], dtype)[0]
        return [v - logarithm for v in shifted]

    return _by_line(kind, dtype, kind.shape, before, line)


@op(1)
def normalize(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """A line divided by its norm; an all-zero line as it is."""
    dtype, before = _float_value(a, kind)
    norm = a.word("norm", "l1", "l2", "max")

    def line(x: List) -> List:
        if not any(x):
            return x
        if norm == "max":
            length = _extreme(list(map(abs, x)), True)
        elif norm == "l1":
            length = rounded([total(map(abs, x))], dtype)[0]
        else:
            length = rounded([math.sqrt(rounded([total(rounded([v * v for v in x], dtype))], dtype)[0])], dtype)[0]
        return [divide(v, length) for v in x]

    return _by_line(kind, dtype, kind.shape, before, line)


def _product(line: List, dtype: str) -> float:
    product = 1.0
    for v in line:
        product = rounded([product * v], dtype)[0]
    return product


def _logsumexp(line: List, dtype: str) -> float:
    m = _extreme(line, True)
    if math.isinf(m):
        return m
    return m + rounded([log(_shifted(line, dtype)[2])], dtype)[0]


def _place(line: List, largest: bool) -> int:
    best = _extreme(line, largest)
    return next(k for k, v in enumerate(line) if v == best or (best != best and v != v))


REDUCE: dict[str, Callable[[List, str], Any]] = {
    "sum": lambda line, dtype: total(line),
    "prod": _product,
    "mean": lambda line, dtype: rounded([total(line)], dtype)[0] / len(line),
    "min": lambda line, dtype: _extreme(line, False),
    "max": lambda line, dtype: _extreme(line, True),
    "l2": lambda line, dtype: math.sqrt(rounded([dot(line, line)], dtype)[0]) if line == line else math.nan,
    "logsumexp": _logsumexp,
    "argmax": lambda line, dtype: _place(line, True),
    "argmin": lambda line, dtype: _place(line, False),
}


@op(1)
def reduce(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """One element per row or, with axes, for all their elements."""
    dtype, before = _float_value(a, kind)
    fn, keep, rank = a.word("fn", *REDUCE), a.flag("keep"), len(kind.shape)
    out = "i64" if fn.startswith("arg") else dtype
    if not a.has("axes"):
        _need_row(a, kind)
        axes: List = list(range(rank))
        kept: tuple[int, ...] = (1,) if keep else ()
    else:
        axes = a.integers("axes", None).data
        if not axes or axes != sorted(set(axes)) or not 0 <= axes[0] <= axes[-1] < rank:
            raise a.refuse(f"has axes {_show(axes)}; they must ascend within 0..{rank - 1}")
        if out == "i64" and len(axes) > 1:
            raise a.refuse(f"has {len(axes)} axes for {fn}, which takes one")
        kept = tuple(1 if i in axes else n for i, n in enumerate(kind.shape) if keep or i not in axes)
    if not math.prod(kind.shape[i] for i in axes):
        raise a.refuse("reduces rows of width 0")
    a.look(kind.width if fn == "logsumexp" else 0)
    others = [i for i in range(rank) if i not in axes]
    steps, function, width = _strides(kind.shape), REDUCE[fn], kind.width
    begins = _places([kind.shape[i] for i in others], [steps[i] for i in others])
    along = _places([kind.shape[i] for i in axes], [steps[i] for i in axes])

    def run(n: int, x: List) -> List:
        x = before(x)
        found = [function([x[r * width + b + k] for k in along()], dtype) for r in range(n) for b in begins()]
        return found if out == "i64" else rounded(found, dtype)

    return Kind(out, kept), run


@op(1)
def two_class(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """[1 - p, p]."""
    _need_row(a, kind)
    dtype, before = _float_value(a, kind)
    if kind.width != 1:
        raise a.refuse(f"reads a row of width {kind.width}; it needs width 1")
    return Kind(dtype, (2,)), lambda n, x: rounded([v for p in before(x) for v in (1.0 - p, p)], dtype)


@op(1)
def take(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Entries, or rows, of a table by index."""
    _need(a, kind, INTEGERS)
    dtype, table = a.loose("table", (1, 2))
    if len(table.shape) == 2 and kind.width != 1:
        raise a.refuse(f"takes rows of a table for a row of width {kind.width}; it needs width 1")
    entries = [[v] for v in table.data] if len(table.shape) == 1 else table.rows()

    def run(n: int, x: List) -> List:
        outside = next((k for k in x if not 0 <= k < len(table)), None)
        if outside is not None:
            raise a.refuse(f"reads the index {outside}, outside 0..{len(table) - 1}")
        return [v for k in x for v in entries[k]]

    return Kind(dtype, kind.shape if len(table.shape) == 1 else table.shape[1:]), run


@op(1)
def poly(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Products of powers of the columns; the factors are multiplied starting from the last one."""
    _need_row(a, kind)
    dtype, before = _float_value(a, kind)
    powers = a.integers("powers", None, kind.width)
    if not all(0 <= p <= 255 for p in powers.data):
        raise a.refuse("has a power outside 0..255")
    a.multiply(sum(powers.data))
    terms = [[j for j in reversed(range(kind.width)) for _ in range(row[j])] for row in powers.rows()]
    shape = (len(powers),)
    return _by_line(kind, dtype, shape, before, lambda line: [_product([line[j] for j in term], dtype) for term in terms])


@op(1)
def interp(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Piecewise linear through the knots."""
    dtype, before = _float_value(a, kind)
    xs, outside = a.numbers("x", dtype), a.word("outside", "clip", "nan", "extend")
    ys = a.numbers("y", dtype, len(xs))
    if len(xs) < (2 if outside == "extend" else 1):
        raise a.refuse(f"has {len(xs)} knots, too few for outside {_show(outside)}")
    if not all(low < high for low, high in itertools.pairwise(xs)):
        raise a.refuse("has knots that do not ascend strictly")
    if not all(map(math.isfinite, (*xs, *ys))):
        raise a.refuse("has knots or values that are not finite")
    a.look(kind.width)
    last = len(xs) - 1
    below, above = (ys[0], ys[last]) if outside == "clip" else (math.nan, math.nan)

    def near(v: float) -> float:
        return rounded([v], dtype)[0]

    def at(v: float) -> float:
        if v != v or v == xs[last]:
            return v if v != v else ys[last]
        if outside != "extend" and not xs[0] <= v <= xs[last]:
            return below if v < xs[0] else above
        i = min(max(bisect_right(xs, v) - 1, 0), last - 1)
        slope = near(divide(near(ys[i + 1] - ys[i]), near(xs[i + 1] - xs[i])))
        return near(slope * near(v - xs[i])) + ys[i]

    return Kind(dtype, kind.shape), lambda n, x: rounded(list(map(at, before(x))), dtype)


@op(1)
def gaussian_ll(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Joint log-likelihood of independent normal columns, per class."""
    _need_row(a, kind)
    dtype, before = _float_value(a, kind)
    mean = a.tensor("mean", (dtype,), None, kind.width)
    var = a.tensor("var", (dtype,), len(mean), kind.width)
    prior = a.numbers("log_prior", dtype, len(mean)) if a.has("log_prior") else [0.0] * len(mean)
    a.multiply(len(mean) * (kind.width + 16))
    base = [p - 0.5 * total(log(2 * math.pi * v) for v in row) for p, row in zip(prior, var.rows())]
    classes = list(zip(base, mean.rows(), var.rows()))

    def line(x: List) -> List:
        return [b - 0.5 * total(divide((v - m) * (v - m), s) for v, m, s in zip(x, means, sizes)) for b, means, sizes in classes]

    return _by_line(kind, dtype, (len(mean),), before, line)


# ==== Trees ===========================================================================================================


@op(1, 2)
def tree_ensemble(a: Attributes, kind: Kind, start: Kind | None = None) -> tuple[Kind, Run]:
    """The sum of one leaf per tree (section 7)."""
    _need_row(a, kind)
    _need(a, kind, FLOATS)
    if start is not None and a.has("init"):
        raise a.refuse("starts from a value and has init; only one of them can be")
    forest = Forest(a, kind)
    out = Kind(forest.acc, (forest.width,))
    if start is not None and (start.dtype, start.width) != (out.dtype, out.width):
        raise a.refuse(
            f"starts from a value of dtype {start.dtype} and width {start.width}; it must be {out.dtype} and {out.width}"
        )
    return out, forest.run


class Forest:
    """tree_ensemble: checked when built, then walked row by row and tree by tree."""

    def __init__(self, a: Attributes, kind: Kind) -> None:
        features = kind.width
        self._dtype, self._features = a.word("dtype", *FLOATS, default="f64"), features
        self._strict = a.word("cmp", "le", "lt", default="le") == "lt"
        self._missing = a.word("missing", "error", "left", "right", "node", default="error")
        self._mean = a.word("aggregate", "sum", "mean", default="sum") == "mean"
        self.acc, self._where = a.word("acc", *FLOATS, default="f64"), a.where
        self._start, self._feature = a.integers("start", None).data, a.integers("feature", None).data
        nodes, inner = len(self._feature), sum(f >= 0 for f in self._feature)
        if not all(-1 <= f < features for f in self._feature):
            raise a.refuse(f"has a feature outside -1..{features - 1}")
        begins = self._start
        if not begins or begins[0] != 0 or any(x >= y for x, y in itertools.pairwise(begins)) or begins[-1] >= nodes:
            raise a.refuse(f"has starts that do not ascend from 0 below its {nodes} nodes")
        self._next = self._children(a, a.integers("right", inner).data)
        threshold = a.numbers("threshold", self._dtype, inner)
        if any(t != t for t in threshold):
            raise a.refuse("has a threshold that is NaN")
        left = a.integers("missing_left", inner).data if self._missing == "node" else [int(self._missing == "left")] * inner
        if not all(side in (0, 1) for side in left):
            raise a.refuse("has a missing_left that is neither 0 nor 1")
        category, self._sets = self._read_sets(a, inner)
        if any(c >= 0 and t != 0 for c, t in zip(category, threshold)):
            raise a.refuse("has a category node whose threshold is not 0")
        self._careful = bool(self._sets)
        questions = iter(zip(threshold, left, category))
        self._question = [next(questions) if f >= 0 else (0.0, 0, -1) for f in self._feature]
        self._threshold = [q[0] for q in self._question]
        self._read_leaves(a, nodes - inner)

    def _children(self, a: Attributes, right: list[int]) -> list[int]:
        """The right child of every inner node and the number of every leaf; proves that the trees are trees in preorder."""
        following, inner, leaf = [0] * len(self._feature), 0, 0
        for begin, end in zip(self._start, [*self._start[1:], len(self._feature)]):
            waiting: list[int] = []
            for i in range(begin, end):
                if self._feature[i] >= 0:
                    following[i] = begin + right[inner]
                    inner += 1
                    waiting.append(following[i])
                    good = i + 1 < following[i] < end
                else:
                    following[i] = leaf
                    leaf += 1
                    good = waiting.pop() == i + 1 if waiting else i + 1 == end
                if not good:
                    raise a.refuse(f"has nodes that do not form one tree in preorder: node {i}")
        return following

    @staticmethod
    def _read_sets(a: Attributes, count: int) -> tuple[list[int], list[frozenset[int]]]:
        """(category of every inner node, the category sets)."""
        if not a.has("category"):
            if a.has("set") or a.has("set_start"):
                raise a.refuse("has category sets but no category")
            return [-1] * count, []
        category, begins = a.integers("category", count).data, a.integers("set_start", None).data
        members = a.integers("set", None).data
        bounds = [*begins, len(members)]
        if bounds[0] != 0 or any(x > y for x, y in itertools.pairwise(bounds)):
            raise a.refuse("has set_start that does not cut set into sets")
        if not all(-1 <= c < len(begins) for c in category):
            raise a.refuse(f"has a category outside -1..{len(begins) - 1}")
        sets = [members[x:y] for x, y in itertools.pairwise(bounds)]
        if any(m < 0 for m in members) or any(x >= y for one in sets for x, y in itertools.pairwise(one)):
            raise a.refuse("has a category set that does not ascend from 0 or more")
        return category, list(map(frozenset, sets))

    def _read_leaves(self, a: Attributes, leaves: int) -> None:
        w = a.integer("leaf_width", 1, a.limits.value_width) if a.has("leaf_width") else 1
        a.multiply(len(self._start) * w)
        if a.has("leaf_table"):
            table = a.numbers("leaf_table", self.acc)
            if len(table) % w:
                raise a.refuse(f"has a leaf_table of {len(table)} elements, which are no rows of {w}")
            places = a.integers("leaf", leaves).data
            if not all(0 <= k < len(table) // w for k in places):
                raise a.refuse(f"has a leaf outside its leaf_table of {len(table) // w} rows")
        else:
            table, places = a.numbers("leaf", self.acc, leaves * w), list(range(leaves))
        rows = [table[k : k + w] for k in range(0, len(table), w)]
        self._leaf = [rows[k] for k in places]
        self._class = [0] * len(self._start)
        self.width = w
        if a.has("class"):
            self._class = a.integers("class", len(self._start)).data
            self.width = a.integer("size", 1, a.limits.value_width)
            if w != 1 or not all(0 <= c < self.width for c in self._class):
                raise a.refuse(f"has a class outside 0..{self.width - 1}, or classes for leaves wider than 1")
        elif a.has("size"):
            raise a.refuse("has a size without class")
        self._init = a.numbers("init", self.acc, self.width) if a.has("init") else [0.0] * self.width

    def run(self, n: int, x: List, begin: List | None = None) -> List:
        """The sums for n rows; `begin` takes the place of init."""
        x, w, narrow = rounded(x, self._dtype), self.width, self.acc == "f32"
        out: List = []
        for r in range(n):
            row = x[r * self._features : (r + 1) * self._features]
            walk = self._walk_careful if self._careful or any(v != v for v in row) else self._walk
            sums = list(self._init) if begin is None else begin[r * w : (r + 1) * w]
            for tree, column in zip(self._start, self._class):
                for k, v in enumerate(self._leaf[walk(tree, row)], column):
                    sums[k] = rounded([sums[k] + v], "f32")[0] if narrow else sums[k] + v
            out += sums
        return rounded([v / len(self._start) for v in out], self.acc) if self._mean else out

    def _walk(self, i: int, row: List) -> int:
        feature, threshold, following, strict = self._feature, self._threshold, self._next, self._strict
        f = feature[i]
        while f >= 0:
            v, t = row[f], threshold[i]
            i = i + 1 if (v < t if strict else v <= t) else following[i]
            f = feature[i]
        return following[i]

    def _walk_careful(self, i: int, row: List) -> int:
        """The walk that knows NaN and categories."""
        while self._feature[i] >= 0:
            v, (threshold, missing_left, category) = row[self._feature[i]], self._question[i]
            if v != v:
                if self._missing == "error":
                    raise Refused(f'{self._where} reads NaN at a visited node; its model was not trained to (missing is "error")')
                left = missing_left == 1
            elif category >= 0:
                left = v in self._sets[category]
            else:
                left = v < threshold if self._strict else v <= threshold
            i = i + 1 if left else self._next[i]
        return self._next[i]


# ==== Model ===========================================================================================================

_MISSING = {"f64": ("error", "nan"), "f32": ("error", "nan"), "str": ("error", "null"), "i64": ("error",), "bool": ("error",)}
_ROLES = ("prediction", "probability", "score", "transform", "cluster", "anomaly")
_BLOCK_ELEMENTS = 2**18
_LONGEST = 2**20  # of a named length in a document
_PLANS = 4  # plans that a model keeps: for the lengths of the document, and for those seen last
Lengths = Mapping[str, int]


class Input(NamedTuple):
    name: str
    dtype: str
    shape: tuple[int | str, ...]  # with named lengths
    missing: str
    features: tuple[str, ...] | None

    def kind(self, lengths: Lengths) -> Kind:
        return Kind(self.dtype, tuple(lengths[size] if isinstance(size, str) else size for size in self.shape))


class Output(NamedTuple):
    name: str
    source: str
    kind: Kind
    role: str
    classes: tuple[Any, ...] | None


class Step(NamedTuple):
    run: Run
    reads: tuple[str, ...]
    writes: str
    done: tuple[str, ...]  # values that nobody reads later


class Plan(NamedTuple):
    """The steps checked, and ready to run, for rows of given lengths."""

    lengths: Lengths
    kinds: dict[str, Kind]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    block: int  # rows that are computed together
    operations: int  # of a row
    strings: int  # that a row reads, writes or searches
    longest: int  # characters of the longest one in the attributes


class Checked(NamedTuple):
    """How one output compares with its expected rows."""

    output: str
    rows: int
    tolerance: str
    problem: str | None


def ops() -> list[str]:
    """The implemented ops, sorted."""
    return sorted(OPS)


def _ops_for(requires: Sequence[str]) -> dict[str, Op]:
    """The entries of all ops that a document requires."""
    if len(set(requires)) != len(requires):
        raise Refused("requires lists an op twice")
    unknown = [name for name in requires if name not in OPS]
    if unknown:
        raise Unsupported(f"the document requires ops that are not implemented here: {', '.join(map(_show, unknown))}")
    return {name: OPS[name] for name in requires}


def load(document: bytes | str, *, verify: bool = True, limits: Limits = DEFAULT_LIMITS) -> Model:
    """The model of a document. Its vectors are replayed; without `verify` they are not, and may be absent."""
    size = len(document.encode("utf-8", "surrogatepass")) if isinstance(document, str) else len(document)
    model = Model(parse_json(document, limits), limits, size)
    if verify:
        if model.vectors is None:
            raise Refused("the document carries no verification; load it with verify off if you trust it")
        wrong = [check.problem for check in model.verify() if check.problem]
        if wrong:
            raise Mismatch("; ".join(wrong))
    return model


class Model:
    """A loaded document: named inputs, steps in order, named outputs.

    All steps are checked for given lengths, and so once more when rows of other lengths come. The document is a parsed one;
    `size` is the number of its bytes.
    """

    def __init__(self, document: Any, limits: Limits = DEFAULT_LIMITS, size: int = 0) -> None:
        required, optional = ("format", "version", "requires", "inputs", "steps", "outputs"), ("lengths", "verification")
        table = _read_header(document)
        fields = _fields(document, "the document", required, optional)
        self.name = fields["name"] if isinstance(fields.get("name"), str) else ""
        self.inputs = _read_inputs(fields["inputs"], limits)
        self.lengths = _read_lengths(fields, self.inputs)
        self._planner = _Planner(fields, table, self.inputs, limits)
        self._plans: dict[tuple[int, ...], Plan] = {}
        self._first = self.plan(self.lengths)
        self.outputs = self._first.outputs
        self.requires: tuple[str, ...] = tuple(fields["requires"])
        self.vectors = _Vectors(fields["verification"], self, limits, limits.carried_rows) if "verification" in fields else None
        if self.vectors is not None:
            _check_work(self, self.vectors, limits, size)

    def plan(self, lengths: Lengths) -> Plan:
        """The plan for these lengths. The few that are kept are replaced together, so that no thread sees a change."""
        key, plans = tuple(lengths[name] for name in self.lengths), self._plans
        if key not in plans:
            recent = list(plans.items())
            plans = dict([*recent[:1], *recent[1:][2 - _PLANS :], (key, self._planner.plan(lengths))])
            self._plans = plans
        return plans[key]

    def predict(self, rows: Any) -> dict[str, List]:
        """The outputs for rows: a mapping of columns, a list of records, or the rows of a single input. Lists, rows first."""
        found = self._run(*_as_inputs(rows, self.inputs, self.lengths))
        return {name: _nested(tensor.data, tensor.shape) for name, tensor in found.items()}

    def _run(self, values: Mapping[str, Tensor], lengths: Lengths) -> dict[str, Tensor]:
        plan, n = self.plan(lengths), len(values[self.inputs[0].name])
        _refuse_missing(values, self.inputs)
        found: dict[str, List] = {output.name: [] for output in plan.outputs}
        for begin in range(0, max(n, 1), plan.block):
            end = min(n, begin + plan.block)
            held = {}
            for i in self.inputs:
                width = plan.kinds[i.name].width
                held[i.name] = values[i.name].data[begin * width : end * width]
            for step in plan.steps:
                held[step.writes] = step.run(end - begin, *(held[name] for name in step.reads))
                for name in step.done:
                    del held[name]
            for output in plan.outputs:
                found[output.name] += held[output.source]
        return {o.name: Tensor((n, *o.kind.shape), found[o.name]) for o in plan.outputs}

    def verify(self, vectors: Any = None) -> list[Checked]:
        """Replays the carried vectors, or those of a parsed `verification` object."""
        chosen = self.vectors if vectors is None else _Vectors(vectors, self, DEFAULT_LIMITS, None)
        if chosen is None:
            raise Refused("there are no vectors to verify with")
        found: dict[str, list[Checked]] = {output.name: [] for output in self.outputs}
        for rows in chosen.sets:
            got = self._run(rows.inputs, rows.lengths)
            for output in self.outputs:
                name = output.name
                found[name].append(_compare(output, got[name], rows.outputs[name], chosen.tolerance[name]))
        return [
            checks[0]._replace(
                rows=sum(check.rows for check in checks),
                problem="; ".join(check.problem for check in checks if check.problem) or None,
            )
            for checks in found.values()
        ]

    def info(self) -> dict[str, Any]:
        """Inputs, outputs and ops, ready for JSON; a named length stands in a shape as a string."""
        inputs = [
            {
                "name": i.name,
                "dtype": i.dtype,
                "shape": list(i.shape),
                "missing": i.missing,
                **({} if i.features is None else {"features": list(i.features)}),
            }
            for i in self.inputs
        ]
        outputs = [
            {
                "name": o.name,
                "dtype": o.kind.dtype,
                "shape": shape,
                "role": o.role,
                **({} if o.classes is None else {"classes": list(o.classes)}),
            }
            for o, shape in zip(self.outputs, self._output_shapes())
        ]
        lengths = {"lengths": dict(self.lengths)} if self.lengths else {}
        return {"name": self.name, "inputs": inputs, "outputs": outputs, **lengths, "ops": sorted(self.requires)}

    def _output_shapes(self) -> list[list[Any]]:
        """The row shapes of the outputs: the name where an axis is a named length, null where it depends on one."""
        shapes: list[list[Any]] = [list(output.kind.shape) for output in self.outputs]
        for name, length in self.lengths.items():
            try:
                other = self._planner.plan({**self.lengths, name: length + 1})
            except Refused:
                continue  # no other length fits
            for shape, first, second in zip(shapes, self.outputs, other.outputs):
                if len(shape) == len(second.kind.shape):
                    for axis, (old, new) in enumerate(zip(first.kind.shape, second.kind.shape)):
                        if old != new:
                            shape[axis] = name if shape[axis] == old == length and new == length + 1 else None
        return shapes

    def predict_json(self, request: bytes | str) -> dict[str, Any]:
        """Section 11: {"inputs": {name: tensor}} as JSON text -> {"outputs": {name: tensor}}."""
        fields = _fields(parse_json(request), "the request", ("inputs",))
        outputs = self._run(*_read_inputs_of_rows(fields["inputs"], self.inputs, self.lengths))
        return {"outputs": {o.name: format_tensor(o.kind.dtype, outputs[o.name]) for o in self.outputs}}


def _nested(data: List, shape: Sequence[int]) -> List:
    """A flat list as lists of lists."""
    for length in reversed(shape[1:]):
        data = (
            [data[k : k + length] for k in range(0, len(data), length)] if length else [[] for _ in range(math.prod(shape[:-1]))]
        )
    return data


def _read_header(document: Any) -> dict[str, Op]:
    """Checks what decides whether a reader may go on: format, version, requires. Gives the ops required."""
    if not isinstance(document, dict) or document.get("format") != "modelport":
        raise Refused('this is not a modelport document (it has no "format": "modelport")')
    version = re.fullmatch(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)", _text(document.get("version"), "version"), re.ASCII)
    if version is None:
        raise Refused(f'the version {_show(document["version"])} is not of the form "1.0"')
    if version[1] != "1":
        raise Unsupported(f"the document has format version {_show(document['version'])}; this reader knows version 1")
    return _ops_for(_texts(document.get("requires"), "requires"))


def _read_inputs(value: Any, limits: Limits) -> tuple[Input, ...]:
    if not isinstance(value, list) or not value:
        raise Refused("inputs must be a list with at least one input")
    inputs = tuple(_read_input(item, f"input {k}", limits) for k, item in enumerate(value))
    if len({i.name for i in inputs}) != len(inputs):
        raise Refused("two inputs have one name")
    return inputs


def _read_lengths(fields: dict[str, Any], inputs: tuple[Input, ...]) -> dict[str, int]:
    """An example of every named length, in the order in which the inputs name them."""
    names = list(dict.fromkeys(size for i in inputs for size in i.shape if isinstance(size, str)))
    if not names:
        if "lengths" in fields:
            raise Refused("the document has lengths, but no input names one")
        return {}
    given = fields.get("lengths")
    if not isinstance(given, dict):
        raise Refused(f"the document must have lengths, an object with an example of {', '.join(map(_show, names))}")
    _compare_names(given, names, "length")
    return {name: _integer(given[name], f"the length {_show(name)}", 1, _LONGEST) for name in names}


def _read_input(value: Any, where: str, limits: Limits) -> Input:
    fields = _fields(value, where, ("name", "dtype", "shape"), ("missing", "features"))
    name = _name(fields["name"], f"the name of {where}")
    where = f"input {_show(name)}"
    dtype = _word(fields["dtype"], f"dtype of {where}", tuple(_MISSING))
    if not isinstance(fields["shape"], list) or len(fields["shape"]) > limits.rank:
        raise Refused(f"the shape of {where} must be a list of at most {limits.rank} lengths")
    shape = tuple(
        size if isinstance(size, str) and size else _integer(size, f"the shape of {where}", 0, limits.value_width)
        for size in fields["shape"]
    )
    missing = _word(fields.get("missing", "error"), f"missing of {where}", _MISSING[dtype])
    features = None
    if "features" in fields:
        features = tuple(_texts(fields["features"], f"features of {where}"))
        if len(shape) != 1 or isinstance(shape[0], str):
            raise Refused(f"{where} has features, which go with a shape of one length that is a number")
        if len(features) != shape[0] or len(set(features)) != len(features):
            raise Refused(f"{where} must have {shape[0]} different features, not {len(set(features))} among {len(features)}")
    return Input(name, dtype, shape, missing, features)


class Cost:
    """What a row costs the steps so far."""

    def __init__(self) -> None:
        self.multiplications = 0
        self.moved = 0  # for elements that the steps read and write
        self.strings = 0  # that the steps read, write or search
        self.longest = 0  # characters of the longest string among the attributes


class _Planner:
    """Checks the steps of a document for given lengths."""

    def __init__(self, fields: dict[str, Any], table: dict[str, Op], inputs: tuple[Input, ...], limits: Limits) -> None:
        if not isinstance(fields["steps"], list):
            raise Refused("steps must be a list")
        if len(fields["steps"]) > limits.steps:
            raise Refused(f"the document has {len(fields['steps'])} steps, more than the {limits.steps} allowed")
        self._steps, self._outputs, self._table = fields["steps"], fields["outputs"], table
        self._inputs, self._limits = inputs, limits

    def plan(self, lengths: Lengths) -> Plan:
        """The steps ready to run, and the kind of every value."""
        kinds = {i.name: i.kind(lengths) for i in self._inputs}
        for name, kind in kinds.items():
            if kind.counted > self._limits.value_width:
                raise Refused(
                    f"input {_show(name)} has {kind.counted} elements per row, more than the {self._limits.value_width} allowed"
                )
        total, steps, last = sum(kind.counted for kind in kinds.values()), [], dict.fromkeys(kinds, -1)
        cost = Cost()
        for k, item in enumerate(self._steps):
            step, kind = self._read_step(item, k, kinds, cost)
            total += kind.counted
            if total > self._limits.total_width:
                raise Refused(
                    f"the values up to step {k} have {total} elements per row, more than the {self._limits.total_width} allowed"
                )
            kinds[step.writes] = kind
            steps.append(step)
            last.update(dict.fromkeys((*step.reads, step.writes), k))
        unused = set(self._table) - {item["op"] for item in self._steps}
        if unused:
            raise Refused(f"requires lists {_show(sorted(unused))}, which no step uses")
        outputs = _read_outputs(self._outputs, kinds)
        done: list[list[str]] = [[] for _ in steps]
        for name in last.keys() - {output.source for output in outputs}:
            if last[name] >= 0:
                done[last[name]].append(name)
        ready = tuple(step._replace(done=tuple(names)) for step, names in zip(steps, done))
        block, operations = max(1, _BLOCK_ELEMENTS // max(1, total)), cost.multiplications + cost.moved
        return Plan(dict(lengths), kinds, ready, outputs, block, operations, cost.strings, cost.longest)

    def _read_step(self, value: Any, k: int, kinds: dict[str, Kind], cost: Cost) -> tuple[Step, Kind]:
        if not isinstance(value, dict):
            raise Refused(f"step {k} must be an object")
        name = _text(value.get("op"), f"the op of step {k}")
        where = f"step {k} ({_show(name)[1:-1]})"
        if name not in self._table:
            raise Refused(f"{where} has an op that requires does not list")
        reads, writes = _texts(value.get("in"), f"{where}: in"), _name(value.get("out"), f"{where}: out")
        for read in reads:
            if read not in kinds:
                raise Refused(f"{where} reads {_show(read)}, which no input or earlier step defines")
        if writes in kinds:
            raise Refused(f"{where} defines {_show(writes)} a second time")
        entry = self._table[name]
        if not entry.fewest <= len(reads) <= entry.most:
            raise Refused(f"{where} has {len(reads)} inputs, which is not what the op takes")
        attributes = Attributes(value, where, self._limits)
        kind, run = entry.check(attributes, *(kinds[read] for read in reads))
        attributes.finish()
        touched = [*(kinds[read] for read in reads), kind]
        cost.moved += _MOVED * sum(one.counted for one in touched)
        cost.strings += attributes.strings + sum(one.counted for one in touched if one.dtype == "str")
        cost.longest = max(cost.longest, attributes.longest)
        cost.multiplications += attributes.multiplications
        if cost.multiplications > self._limits.multiplications:
            most = self._limits.multiplications
            raise Refused(f"{where} brings a row to {cost.multiplications} multiplications; all steps together may need {most}")
        if len(kind.shape) > self._limits.rank:
            raise Refused(f"{where} gives rows of rank {len(kind.shape)}, more than the {self._limits.rank} allowed")
        if kind.counted > self._limits.value_width:
            raise Refused(f"{where} gives {kind.counted} elements per row, more than the {self._limits.value_width} allowed")
        return Step(run, tuple(reads), writes, ()), kind


def _read_outputs(value: Any, kinds: dict[str, Kind]) -> tuple[Output, ...]:
    if not isinstance(value, list) or not value:
        raise Refused("outputs must be a list with at least one output")
    outputs = tuple(_read_output(item, f"output {k}", kinds) for k, item in enumerate(value))
    if len({o.name for o in outputs}) != len(outputs):
        raise Refused("two outputs have one name")
    return outputs


def _read_output(value: Any, where: str, kinds: dict[str, Kind]) -> Output:
    fields = _fields(value, where, ("name", "from", "dtype", "role"), ("classes",))
    name, source = _name(fields["name"], f"the name of {where}"), _text(fields["from"], f"{where}: from")
    where = f"output {_show(name)}"
    if source not in kinds:
        raise Refused(f"{where} is taken from {_show(source)}, which is no value")
    kind = kinds[source]
    if _word(fields["dtype"], f"dtype of {where}", DTYPES) != kind.dtype:
        raise Refused(f"{where} is declared {fields['dtype']}, but {_show(source)} is {kind.dtype}")
    return Output(name, source, kind, _word(fields["role"], f"role of {where}", _ROLES), _read_classes(fields, where, kind))


def _read_classes(fields: dict[str, Any], where: str, kind: Kind) -> tuple[Any, ...] | None:
    if "classes" not in fields:
        return None
    classes = fields["classes"]
    if isinstance(classes, list) and any(type(item) in (int, _MinusZero) for item in classes):
        classes = [_integer(item, f"a class of {where}", -_SAFE, _SAFE) for item in classes]
    if not isinstance(classes, list) or len(set(map(type, classes))) > 1 or not set(map(type, classes)) <= {str, int, bool}:
        raise Refused(f"the classes of {where} must be a list of strings, of integers or of booleans")
    if kind.shape and len(classes) != kind.shape[-1]:
        raise Refused(f"{where} has {len(classes)} classes for a last axis of {kind.shape[-1]}")
    return tuple(classes)


# -- rows in -----------------------------------------------------------------------------------------------------------


class _Sizes:
    """The named lengths that the rows of one call have; those of empty bare arrays are free."""

    def __init__(self) -> None:
        self._found: dict[str, int] = {}

    def fit(self, shape: tuple[int | str, ...], rows: tuple[int, ...]) -> bool:
        """Whether rows of a shape are what a declared shape says; a new name stands for any length from 1."""
        if len(shape) != len(rows):
            return False
        return all(
            got == want if isinstance(want, int) else got >= 1 and self._found.setdefault(want, got) == got
            for want, got in zip(shape, rows)
        )

    def wanted(self, shape: tuple[int | str, ...]) -> str:
        """A declared shape as a text, with the lengths that are known by now."""
        known = {name: f"{name} = {size}" for name, size in self._found.items()}
        return f"[{', '.join(known.get(size, size) if isinstance(size, str) else str(size) for size in shape)}]"

    def all(self, examples: Lengths) -> Lengths:
        return {**examples, **self._found}


def _read_inputs_of_rows(
    value: Any, inputs: tuple[Input, ...], examples: Lengths, limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[str, Tensor], Lengths]:
    """Input tensors, and the named lengths of their rows."""
    sizes = _Sizes()
    tensors = _read_rows(value, {i.name: (i.dtype, i.shape) for i in inputs}, "input", sizes, limits)
    return tensors, sizes.all(examples)


def _read_rows(
    value: Any, declared: Mapping[str, tuple[str, tuple[int | str, ...]]], what: str, sizes: _Sizes, limits: Limits
) -> dict[str, Tensor]:
    """Tensors with the batch axis first, one per name; all have the same number of rows."""
    if not isinstance(value, dict):
        raise Refused(f"the {what}s must be an object of tensors")
    _compare_names(value, declared, what)
    tensors = {}
    for name, (dtype, shape) in declared.items():
        where = f"{what} {_show(name)}"
        _, tensor = parse_tensor(value[name], where, (dtype,), (1 + len(shape), 1), limits)
        if value[name] != [] and not sizes.fit(shape, tensor.shape[1:]):
            raise Refused(f"{where} has rows of shape {list(tensor.shape[1:])}; they must have shape {sizes.wanted(shape)}")
        tensors[name] = tensor
    if len(set(map(len, tensors.values()))) > 1:
        raise Refused(f"the {what}s have different numbers of rows")
    return tensors


def _compare_names(given: Iterable[str], wanted: Iterable[str], what: str) -> None:
    given, wanted = set(given), set(wanted)
    if wanted - given:
        raise Refused(f"the {what} {_show(min(wanted - given))} is missing")
    if given - wanted:
        raise Refused(f"there is no {what} {_show(min(given - wanted, key=str))}")


def _as_inputs(rows: Any, inputs: tuple[Input, ...], examples: Lengths) -> tuple[dict[str, Tensor], Lengths]:
    """User data as one tensor per input, rows first, and the named lengths of the rows."""
    if isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Mapping):
        names = list(rows[0])
        if any(set(record) != set(names) for record in rows):
            raise Refused("the records have different keys")
        rows = {name: [record[name] for record in rows] for name in names}
    elif not isinstance(rows, Mapping):
        if len(inputs) != 1:
            raise Refused(f"the model has {len(inputs)} inputs; give their columns by name")
        rows = {inputs[0].name: rows}
    by_feature = {i.name for i in inputs if i.name not in rows and i.features is not None}
    wanted = {name for i in inputs for name in ((i.features or ()) if i.name in by_feature else (i.name,))}
    _compare_names(rows, wanted, "input")
    sizes = _Sizes()
    tensors = {i.name: _stack(rows, i) if i.name in by_feature else _coerce(rows[i.name], i, sizes) for i in inputs}
    if len(set(map(len, tensors.values()))) > 1:
        raise Refused("the inputs have different numbers of rows")
    return tensors, sizes.all(examples)


def _stack(rows: Mapping[str, Any], i: Input) -> Tensor:
    """A matrix fed by column name."""
    names = i.features or ()
    columns = [_coerce(rows[name], i._replace(name=name, shape=()), _Sizes()).data for name in names]
    if len(set(map(len, columns))) > 1:
        raise Refused(f"the columns of input {_show(i.name)} have different numbers of rows")
    return Tensor((len(columns[0]) if columns else 0, len(names)), [v for row in zip(*columns) for v in row])


def _coerce(value: Any, i: Input, sizes: _Sizes) -> Tensor:
    """Lists, or what can be made lists, as a tensor of the declared dtype; a column may stand for rows of width 1."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)):
        raise Refused(f"input {_show(i.name)} must be a list of rows")
    shape, data = [len(value)], list(value)
    while data and len(shape) <= 1 + len(i.shape) and all(isinstance(v, (list, tuple)) for v in data):
        if len(set(map(len, data))) != 1:
            raise Refused(f"input {_show(i.name)} is ragged")
        shape.append(len(data[0]))
        data = [v for row in data for v in row]
    if len(shape) == 1 and i.shape == (1,):
        shape.append(1)
    if shape != [0] and not sizes.fit(i.shape, tuple(shape[1:])):
        raise Refused(f"input {_show(i.name)} has shape {shape}; it must be rows of shape {sizes.wanted(i.shape)}")
    return Tensor(
        tuple(shape), [_element(v, i) for v in data] if i.dtype != "f32" else rounded([_element(v, i) for v in data], "f32")
    )


def _element(v: Any, i: Input) -> Any:
    if i.dtype in FLOATS:
        if v is None or isinstance(v, (int, float)):
            return math.nan if v is None else float(v)
    elif i.dtype == "str":
        if v is None or isinstance(v, str) or v != v:
            return v if isinstance(v, str) else None
    elif isinstance(v, bool) if i.dtype == "bool" else type(v) is int and -(2**63) <= v < 2**63:
        return v
    raise Refused(f"input {_show(i.name)} holds {_show(v)}, but its dtype is {i.dtype}")


def _refuse_missing(values: Mapping[str, Tensor], inputs: tuple[Input, ...]) -> None:
    for i in inputs:
        if i.missing == "error" and i.dtype in ("f64", "f32", "str"):
            x = values[i.name]
            bad = next((k for k, v in enumerate(x.data) if v is None or v != v), None)
            if bad is not None:
                row = bad // (len(x.data) // len(x))
                raise Refused(f"row {row} of input {_show(i.name)} is missing (null or NaN), which the model does not accept")


# -- verification ------------------------------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """A set of rows with the answers of the original model."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    lengths: Lengths
    count: int


class _Vectors:
    """Carried rows with the answers of the original model (section 10)."""

    def __init__(self, value: Any, model: Model, limits: Limits, most_rows: int | None) -> None:
        where = "verification"
        fields = _fields(value, where, ("source", "inputs", "outputs", "tolerance"), ("rows", "more"))
        _word(fields["source"], f"source of {where}", ("synthetic", "sample"))
        sets = [(where, fields)]
        if "more" in fields:
            if not isinstance(fields["more"], list) or not fields["more"]:
                raise Refused(f"more of {where} must be a list with at least one set of rows")
            for k, item in enumerate(fields["more"]):
                sets.append((f"more {k} of {where}", _fields(item, f"more {k} of {where}", ("inputs", "outputs"), ("rows",))))
        self.sets = [_read_set(rows, model, limits, name) for name, rows in sets]
        carried = sum(rows.count for rows in self.sets)
        if most_rows is not None and carried > most_rows:
            raise Refused(f"verification carries {carried} rows, more than the {most_rows} allowed")
        if not isinstance(fields["tolerance"], dict):
            raise Refused("the tolerance of verification must be an object")
        _compare_names(fields["tolerance"], [o.name for o in model.outputs], "tolerance of output")
        self.tolerance = {o.name: _read_tolerance(fields["tolerance"][o.name], o) for o in model.outputs}


def _longest(strings: Iterable[str | None], least: int) -> int:
    """Characters of the longest string, or `least`."""
    return max(least, max((len(s) for s in strings if s is not None), default=0))


def _check_work(model: Model, vectors: _Vectors, limits: Limits, size: int) -> None:
    """Refuses a document of `size` bytes whose replay takes too long (section 5)."""
    longest = model.plan(model.lengths).longest
    for rows in vectors.sets:
        for tensor in (*rows.inputs.values(), *rows.outputs.values()):
            if not isinstance(tensor.data, array):
                longest = _longest((v for v in tensor.data if isinstance(v, str)), longest)
    plans = [(rows.count, model.plan(rows.lengths)) for rows in vectors.sets]
    operations = sum(count * (plan.operations + plan.strings * longest) for count, plan in plans)
    most = limits.work + _WORK_PER_BYTE * size
    if operations > most:
        raise Refused(
            f"replaying the carried rows takes {operations} operations, more than the limit of {most} "
            f"({limits.work}, and {_WORK_PER_BYTE} for every byte of the document)"
        )


def _read_set(fields: dict[str, Any], model: Model, limits: Limits, where: str) -> _Rows:
    reasons = _texts(fields["rows"], f"rows of {where}") if "rows" in fields else None
    inputs, lengths = _read_inputs_of_rows(fields["inputs"], model.inputs, model.lengths, limits)
    declared = {o.name: (o.kind.dtype, o.kind.shape) for o in model.plan(lengths).outputs}
    outputs = _read_rows(fields["outputs"], declared, "output", _Sizes(), limits)
    counts = {len(tensor) for tensor in (*inputs.values(), *outputs.values())}
    if len(counts) != 1 or counts == {0}:
        raise Refused(f"the tensors of {where} must agree in the number of rows, at least one")
    if reasons is not None and len(reasons) not in counts:
        raise Refused(f"{where} says why for {len(reasons)} rows, but has {max(counts)}")
    return _Rows(inputs, outputs, lengths, counts.pop())


class _Tolerance(NamedTuple):
    atol: float = 0.0
    rtol: float = 0.0
    ulp: int | None = None

    def __str__(self) -> str:
        if self.ulp is not None:
            return f"{self.ulp} ulp"
        return f"atol {self.atol:g}, rtol {self.rtol:g}" if self.atol or self.rtol else "exact"


def _read_tolerance(value: Any, output: Output) -> _Tolerance:
    where = f"the tolerance of output {_show(output.name)}"
    if value == "exact":
        return _Tolerance()
    if isinstance(value, dict) and "ulp" in value:
        tolerance = _Tolerance(ulp=_integer(_fields(value, where, ("ulp",))["ulp"], where, 0, _SAFE))
    else:
        fields = _fields(value, f'{where} (other than "exact")', ("atol", "rtol"))
        if any(type(fields[key]) not in (int, float, _MinusZero) or not 0 <= fields[key] < math.inf for key in ("atol", "rtol")):
            raise Refused(f"{where} must have an atol and an rtol that are finite and not negative")
        tolerance = _Tolerance(float(fields["atol"]), float(fields["rtol"]))
    return tolerance if output.kind.dtype in FLOATS else _Tolerance()


def _compare(output: Output, got: Tensor, expected: Tensor, tolerance: _Tolerance) -> Checked:
    """Section 10; a comparison that involves an unexpected NaN is false and so fails."""
    floats = output.kind.dtype in FLOATS
    pairs = list(zip(got.data, expected.data))
    bad = [k for k, (g, e) in enumerate(pairs) if not (_close(g, e, tolerance, output.kind.dtype) if floats else g == e)]
    problem = None
    if bad or got.shape != expected.shape:
        k = bad[0] if bad else 0
        width = max(1, output.kind.width)
        problem = (
            f"output {_show(output.name)} is {_show(got.data[k])} in row {k // width}, column {k % width}, "
            f"but the original model answered {_show(expected.data[k])} ({len(bad)} of {len(pairs)} values differ)"
        )
    return Checked(output.name, len(expected), str(tolerance), problem)


def _close(got: float, expected: float, tolerance: _Tolerance, dtype: str) -> bool:
    if got == expected or (got != got and expected != expected):
        return True
    if not (math.isfinite(got) and math.isfinite(expected)):
        return False
    if tolerance.ulp is not None:
        return abs(_ordinal(got, dtype) - _ordinal(expected, dtype)) <= tolerance.ulp
    return abs(got - expected) <= tolerance.atol + tolerance.rtol * abs(expected)


def _ordinal(x: float, dtype: str) -> int:
    """Consecutive floats of a dtype have consecutive ordinals."""
    bits = array("i" if dtype == "f32" else "q", array(DTYPES[dtype][0], [abs(x)]).tobytes())[0]
    return -bits if x < 0 else bits
