# SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
# mypy: disable-error-code="no-any-return"
"""Runs modelport JSON artifacts (format 1) with NumPy and nothing else.

    model = modelport_stub.load(open("model.json", "rb").read())
    model.predict([{"age": 41, "colour": "red"}])         # {"label": array(["yes"], dtype=object), ...}

One file, made to be copied, with the ops of profile tabular. With modelport_stub_nn.py beside it, it has those of profile
nn (neural networks) too, with modelport_stub_more.py those of kernel, text and solver. Loading checks the whole document
and replays the answers it carries; a model that does not give them is refused. A loaded model may be used from several
threads.
"""

from __future__ import annotations

import base64
import importlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Refused", "Mismatch", "Unsupported", "Limits", "Model", "load", "ops"]

Array = np.ndarray
Run = Callable[..., Array]


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
    value = value.item() if isinstance(value, np.generic) else value
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a very large integer"
    return text if len(text) <= 60 else text[:57] + "..."


# ==== Tensors =========================================================================================================

DTYPES: dict[str, np.dtype] = {
    "f64": np.dtype("<f8"),
    "f32": np.dtype("<f4"),
    "i64": np.dtype("<i8"),
    "i32": np.dtype("<i4"),
    "i16": np.dtype("<i2"),
    "i8": np.dtype("i1"),
    "u32": np.dtype("<u4"),
    "u16": np.dtype("<u2"),
    "u8": np.dtype("u1"),
    "bool": np.dtype("?"),
    "str": np.dtype("O"),
}
FLOATS = ("f64", "f32")
INTEGERS = ("i64", "i32", "i16", "i8", "u32", "u16", "u8")
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_DECIMAL_INTEGER = re.compile(r"-?[1-9][0-9]{15,18}")
_SAFE = 2**53 - 1


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


def parse_tensor(
    value: Any, where: str, dtypes: Sequence[str], ranks: Sequence[int], limits: Limits = DEFAULT_LIMITS
) -> tuple[str, Array]:
    """(dtype, array) of a tensor in either form; a bare array has the first of `dtypes`."""
    if isinstance(value, list):
        shape, flat = _bare_shape(value, where)
        dtype = dtypes[0]
        array = _decode_list(flat, dtype, where)
    else:
        fields = _tensor_fields(value, where)
        dtype = _word(fields["dtype"], f"dtype of {where}", DTYPES)
        shape, data = _declared_shape(fields["shape"], where, limits), fields["data"]
        array = _decode_encoded(fields, dtype, shape, where) if "enc" in fields else _decode_data(data, dtype, shape, where)
    if dtype not in dtypes:
        raise Refused(f"{where} has dtype {dtype}; it must be {' or '.join(dtypes)}")
    if len(shape) not in ranks:
        raise Refused(f"{where} has rank {len(shape)}; it must be {' or '.join(map(str, ranks))}")
    array = array.reshape(shape)
    array.flags.writeable = False
    return dtype, array


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


def _decode_data(data: Any, dtype: str, shape: tuple[int, ...], where: str) -> Array:
    if not isinstance(data, list):
        raise Refused(f'the data of {where} must be a list (or a string, with enc "b64")')
    if len(data) != math.prod(shape):
        raise Refused(f"{where} has {len(data)} elements, but its shape asks for {math.prod(shape)}")
    return _decode_list(data, dtype, where)


def _decode_encoded(fields: dict[str, Any], dtype: str, shape: tuple[int, ...], where: str) -> Array:
    """The elements (in one axis) of the base64 form: as they are, quantized, or only those that a mask marks."""
    if dtype == "str":
        raise Refused(f"{where} is a str tensor, which has no base64 form")
    elements, written = math.prod(shape), None
    if "mask" in fields:
        written = _decode_mask(fields["mask"], dtype, elements, where)
    count = elements if written is None else int(np.count_nonzero(written))
    if fields["enc"] == "i8":
        scale = _read_scale(fields["scale"], dtype, shape, where)
        array = _decode_bytes(fields["data"], "i8", count, where).astype(np.float64)
        if len(scale) > 1:
            scale = scale.repeat(elements // len(scale))
            scale = scale if written is None else scale[written]
        array = (array * scale).astype(DTYPES[dtype])
    else:
        array = _decode_bytes(fields["data"], dtype, count, where)
    if written is None:
        return array
    full = np.zeros(elements, DTYPES[dtype])
    full[written] = array
    return full


def _decode_mask(value: Any, dtype: str, elements: int, where: str) -> Array:
    """Which elements are written: bool (elements,)."""
    if dtype == "bool":
        raise Refused(f"{where} is a bool tensor, which has no mask")
    bits = np.unpackbits(_decode_bytes(value, "u8", -(-elements // 8), f"the mask of {where}"), bitorder="little")
    if bits[elements:].any():
        raise Refused(f"the mask of {where} has a bit beyond its {elements} elements")
    return bits[:elements].astype(bool)


def _read_scale(value: Any, dtype: str, shape: tuple[int, ...], where: str) -> Array:
    """The scales of a quantized tensor, held in its dtype and given in f64: one, or one per index of the first axis."""
    if dtype not in FLOATS:
        raise Refused(f'{where} has dtype {dtype}; the encoding "i8" is for f32 and f64')
    if not isinstance(value, list) or len(value) not in (1, *shape[:1]):
        raise Refused(f"the scale of {where} must be a list of one number, or of one per index of the first axis")
    scale = _decode_list(value, dtype, f"the scale of {where}").astype(np.float64)
    if not ((scale > 0) & np.isfinite(scale)).all():
        raise Refused(f"the scale of {where} holds a number that is not positive and finite")
    return scale


def _decode_bytes(data: Any, dtype: str, count: int, where: str) -> Array:
    try:
        if not isinstance(data, str) or len(data) % 4:
            raise ValueError
        raw = base64.b64decode(data, validate=True)
    except ValueError:
        raise Refused(f"the data of {where} is not standard base64 with padding") from None
    if len(raw) != count * DTYPES[dtype].itemsize:
        raise Refused(f"{where} has {len(raw)} bytes, but it should have {count} elements of {DTYPES[dtype].itemsize} bytes")
    if dtype == "bool" and raw.strip(b"\0\1"):
        raise Refused(f"{where} has a boolean byte that is neither 0 nor 1")
    return np.frombuffer(bytearray(raw), DTYPES[dtype])


def _decode_list(data: list[Any], dtype: str, where: str) -> Array:
    """Elements of one dtype, each in the spelling section 2 asks for."""
    kinds = set(map(type, data))
    if dtype in FLOATS:
        return _decode_floats(data, kinds, dtype, where)
    if dtype in INTEGERS:
        return _decode_integers(data, kinds, dtype, where)
    if dtype == "bool":
        if not kinds <= {bool}:
            raise Refused(f"{where} must hold true or false only")
        return np.array(data, dtype=bool)
    if not kinds <= {str, type(None)}:
        raise Refused(f"{where} must hold strings (or null for missing) only")
    array = np.empty(len(data), dtype=object)
    array[:] = data
    return array


def _decode_floats(data: list[Any], kinds: set[type], dtype: str, where: str) -> Array:
    if str in kinds:
        for item in data:
            if type(item) is str and item not in _NAMED:
                raise Refused(f"{where} holds the string {_show(item)} where a number is expected")
        data = [_NAMED[item] if type(item) is str else item for item in data]
    if not kinds <= {int, float, str, _MinusZero}:
        raise Refused(f'{where} must hold numbers, "NaN", "Infinity" or "-Infinity" only')
    wide = np.array(data, dtype=np.float64)
    if dtype == "f64":
        return wide
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    if (np.isinf(narrow) & np.isfinite(wide)).any():
        raise Refused(f"{where} holds a number beyond f32")
    return narrow


def _decode_integers(data: list[Any], kinds: set[type], dtype: str, where: str) -> Array:
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
    info = np.iinfo(DTYPES[dtype])
    if data and not info.min <= min(data) <= max(data) <= info.max:
        raise Refused(f"{where} holds an integer outside {info.min}..{info.max}")
    return np.array(data, dtype=DTYPES[dtype])


def _decimal_integer(text: str, where: str) -> int:
    """Beyond 2^53 - 1 in magnitude, integers are decimal strings."""
    if not _DECIMAL_INTEGER.fullmatch(text) or abs(int(text)) <= _SAFE:
        raise Refused(f"{where} holds the string {_show(text)}; integers are strings only beyond 2^53-1 and within 64 bits")
    return int(text)


def format_tensor(dtype: str, array: Array) -> dict[str, Any]:
    """The object form with decimal data."""
    flat = array.ravel()
    data: list[Any] = flat.tolist()
    if dtype in FLOATS:
        if dtype == "f32":
            data = [float(str(item)) for item in flat]
        if not np.isfinite(flat).all():
            data = [
                item if math.isfinite(item) else "NaN" if item != item else "Infinity" if item > 0 else "-Infinity"
                for item in data
            ]
    elif dtype == "i64":
        data = [item if -_SAFE <= item <= _SAFE else str(item) for item in data]
    return {"dtype": dtype, "shape": list(array.shape), "data": data}


def _is_null(x: Array) -> Array:
    """Where a str value is missing."""
    return np.array([item is None for item in x.ravel()], dtype=bool).reshape(x.shape)


def _rows(x: Array) -> Array:
    """(n, w) view of a value: one line per row."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _lines(x: Array) -> Array:
    """(.., w) view of a value: one line per position of the axes before the last; row rank 0 has lines of length 1."""
    return x[:, None] if x.ndim == 1 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _ordered_sum(terms: Array) -> Array:
    """Sum over the last axis in f64, from 0.0, in ascending index: (..., k) -> (...)."""
    if not terms.shape[-1]:
        return np.zeros(terms.shape[:-1])
    return np.add.accumulate(terms, axis=-1, dtype=np.float64)[..., -1] + 0.0


# ==== Special functions ===============================================================================================

# W. J. Cody, "Rational Chebyshev approximations for the error function", 1969 (netlib specfun, CALERF).
_ERF_A = (3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03, 1.85777706184603153e-1)
_ERF_B = (2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03)
_ERF_C = (
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e01,
    2.98635138197400131e02,
    8.81952221241769090e02,
    1.71204761263407058e03,
    2.05107837782607147e03,
    1.23033935479799725e03,
    2.15311535474403846e-8,
)
_ERF_D = (
    1.57449261107098347e01,
    1.17693950891312499e02,
    5.37181101862009858e02,
    1.62138957456669019e03,
    3.29079923573345963e03,
    4.36261909014324716e03,
    3.43936767414372164e03,
    1.23033935480374942e03,
)
_ERF_P = (
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
    1.63153871373020978e-2,
)
_ERF_Q = (2.56852019228982242e00, 1.87295284992346725e00, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3)
_ONE_OVER_ROOT_PI = 5.6418958354775628695e-1


def _cody_ratio(y: Array, numerator: Sequence[float], denominator: Sequence[float]) -> Array:
    """The rational function of CALERF; the last numerator coefficient belongs to the highest power."""
    top, bottom = numerator[-1] * y, y
    for a, b in zip(numerator[:-2], denominator[:-1]):
        top, bottom = (top + a) * y, (bottom + b) * y
    return (top + numerator[-2]) / (bottom + denominator[-1])


def erf(x: Array) -> Array:
    """The error function in f64, relative error below 1e-15."""
    y = np.abs(x)
    square = y * y
    small = x * _cody_ratio(square, _ERF_A, _ERF_B)
    inverse = 1.0 / np.where(y > 4.0, square, 1.0)
    tail = np.where(
        y > 4.0,
        (_ONE_OVER_ROOT_PI - inverse * _cody_ratio(inverse, _ERF_P, _ERF_Q)) / y,
        _cody_ratio(np.minimum(y, 4.0), _ERF_C, _ERF_D),
    )
    near = np.trunc(np.minimum(y, 30.0) * 16.0) / 16.0
    complement = np.exp(-near * near) * np.exp(-(np.minimum(y, 30.0) - near) * (np.minimum(y, 30.0) + near)) * tail
    large = np.copysign((0.5 - complement) + 0.5, x)
    return np.where(y <= 0.46875, small, np.where(y >= 6.0, np.sign(x), large))


# M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", 1988 (PPND16).
_PPF_A = (
    3.3871328727963666080,
    133.14166789178437745,
    1971.5909503065514427,
    13731.693765509461125,
    45921.953931549871457,
    67265.770927008700853,
    33430.575583588128105,
    2509.0809287301226727,
)
_PPF_B = (
    1.0,
    42.313330701600911252,
    687.18700749205790830,
    5394.1960214247511077,
    21213.794301586595867,
    39307.895800092710610,
    28729.085735721942674,
    5226.4952788528545610,
)
_PPF_C = (
    1.42343711074968357734,
    4.63033784615654529590,
    5.76949722146069140550,
    3.64784832476320460504,
    1.27045825245236838258,
    0.241780725177450611770,
    0.0227238449892691845833,
    7.74545014278341407640e-4,
)
_PPF_D = (
    1.0,
    2.05319162663775882187,
    1.67638483018380384940,
    0.689767334985100004550,
    0.148103976427480074590,
    0.0151986665636164571966,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)
_PPF_E = (
    6.65790464350110377720,
    5.46378491116411436990,
    1.78482653991729133580,
    0.296560571828504891230,
    0.0265321895265761230930,
    0.00124266094738807843860,
    2.71155556874348757815e-5,
    2.01033439929228813265e-7,
)
_PPF_F = (
    1.0,
    0.599832206555887937690,
    0.136929880922735805310,
    0.0148753612908506148525,
    7.86869131145613259100e-4,
    1.84631831751005468180e-5,
    1.42151175831644588870e-7,
    2.04426310338993978564e-15,
)


def _horner(x: Array, coefficients: Sequence[float]) -> Array:
    total = np.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total


def norm_ppf(p: Array) -> Array:
    """The inverse of the normal distribution function in f64, relative error below 1e-14."""
    q = p - 0.5
    r = 0.180625 - q * q
    centre = q * _horner(r, _PPF_A) / _horner(r, _PPF_B)
    t = np.sqrt(-np.log(np.where(q < 0, p, 1.0 - p)))
    middle = _horner(t - 1.6, _PPF_C) / _horner(t - 1.6, _PPF_D)
    outer = _horner(t - 5.0, _PPF_E) / _horner(t - 5.0, _PPF_F)
    tail = np.copysign(np.where(t <= 5.0, middle, outer), q)
    result = np.where(np.abs(q) <= 0.425, centre, tail)
    return np.where(p == 0, -np.inf, np.where(p == 1, np.inf, np.where((p > 0) & (p < 1), result, np.nan)))


# ==== Ops =============================================================================================================
#
# An op is one function: it reads the attributes of a step, checks them against the kinds of its inputs, and returns the
# kind of its value and a function from input arrays, each (n, *row shape), to the output array. The decorator enters it
# into OPS, the one place where an op is added; modelport_stub_more.py has a table of its own.

Check = Callable[..., tuple[Kind, Run]]


class Op(NamedTuple):
    fewest: int
    most: float
    check: Check


def enter(table: dict[str, Op], fewest: int, most: float | None = None) -> Callable[[Check], Check]:
    """Enters an op into a table under its function's name, with its number of inputs."""

    def register(check: Check) -> Check:
        table[check.__name__] = Op(fewest, fewest if most is None else most, check)
        return check

    return register


OPS: dict[str, Op] = {}
op = partial(enter, OPS)


class Budget:
    """What the steps of one document compute from their attributes and keep, and what a row costs them."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self.elements, self.multiplications = limits, 0, 0
        self.moved = 0  # for elements that the steps read and write for a row
        self.strings, self.longest = 0, 0  # that steps read, write or search for a row; characters of the longest in attributes

    def spend(self, where: str, elements: int, multiplications: int) -> None:
        """Refuses a step with which the document goes beyond a limit."""
        self.elements += elements
        self.multiplications += multiplications
        if self.elements > self._limits.tensor_elements:
            most = self._limits.tensor_elements
            raise Refused(f"{where} needs {elements} elements beside its attributes; all steps together may need {most}")
        if self.multiplications > self._limits.multiplications:
            most = self._limits.multiplications
            raise Refused(f"{where} needs {multiplications} multiplications per row; all steps together may need {most}")


class Attributes:
    """The attributes of one step; each is taken once, and what is left over is unknown.

    What is decoded or computed from them alone is kept in `kept`, which outlives this check of the step: the next one, for
    rows of other lengths, finds it there.
    """

    def __init__(self, step: Mapping[str, Any], where: str, limits: Limits, budget: Budget, kept: dict[Any, Any]) -> None:
        self.where, self.limits, self._budget, self._kept = where, limits, budget, kept
        self.strings = 0  # per row, beside those that are read and written
        self._left = {key: value for key, value in step.items() if key not in ("op", "in", "out") and not _ignored(key)}

    def finish(self) -> None:
        for key in self._left:
            raise self.refuse(f"has the unknown attribute {_show(key)}")

    def refuse(self, problem: str) -> Refused:
        return Refused(f"{self.where} {problem}")

    def keep(self, elements: int) -> None:
        """Counts elements that the step computes and keeps."""
        self._budget.spend(self.where, elements, 0)

    def multiply(self, times: int) -> None:
        """Counts the multiplications per row of the step."""
        self._budget.spend(self.where, 0, times)

    def look(self, elements: int) -> None:
        """Counts a search, or a function such as exp, for each of so many elements per row."""
        self.multiply(16 * elements)

    def measure(self, strings: Iterable[str | None]) -> None:
        """Remembers the longest string."""
        self._budget.longest = _longest(strings, self._budget.longest)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """make(), which must depend on the attributes alone; made when it is first asked for."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

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

    def number(self, key: str, dtype: str, default: float | None = None) -> float:
        """One JSON number, rounded to `dtype`; required unless there is a default."""
        if default is not None and not self.has(key):
            return default
        value = self.take(key)
        if type(value) not in (int, float, _MinusZero):
            raise self.refuse(f"has a {_show(key)} that is not a number")
        return float(_decode_list([value], dtype, f"{self.where}: {key}")[0])

    def tensor(self, key: str, dtypes: Sequence[str], *shape: int | None) -> Array:
        """A required tensor; None in `shape` leaves that length open."""
        return self.any_tensor(key, dtypes, (len(shape),), shape)[1]

    def any_tensor(
        self, key: str, dtypes: Sequence[str], ranks: Sequence[int], shape: Sequence[int | None] | None = None
    ) -> tuple[str, Array]:
        where, value = f"{self.where}: {key}", self.take(key)
        dtype, array = self.once(
            (key, tuple(dtypes), tuple(ranks)), lambda: parse_tensor(value, where, dtypes, ranks, self.limits)
        )
        self.measure(array.ravel().tolist() if dtype == "str" else [])
        if shape is not None and any(want is not None and want != size for want, size in zip(shape, array.shape)):
            wanted = ", ".join("any" if want is None else str(want) for want in shape)
            raise Refused(f"{where} has shape {list(array.shape)}; it must be [{wanted}]")
        return dtype, array

    def integers(self, key: str, *shape: int | None) -> Array:
        """An int tensor of any integer dtype, as i64."""
        return self.tensor(key, INTEGERS, *shape).astype(np.int64)

    def per_column(self, key: str, dtype: str, width: int) -> Array:
        """One element per column, or one for all."""
        array = self.tensor(key, (dtype,), None)
        if len(array) not in (1, width):
            raise self.refuse(f"has {len(array)} elements in {_show(key)} for {width} columns")
        return array

    def loose(self, key: str, ranks: Sequence[int]) -> tuple[str, Array]:
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


def _float_value(a: Attributes, *kinds: Kind) -> tuple[str, np.dtype]:
    """Checks the float inputs of an op marked d; the step's dtype and the NumPy one."""
    dtype = _float_dtype(a)
    for kind in kinds:
        _need(a, kind, FLOATS)
    return dtype, DTYPES[dtype]


def _float_row(a: Attributes, kind: Kind) -> tuple[str, np.dtype]:
    """The same for an op that takes a row."""
    _need_row(a, kind)
    return _float_value(a, kind)


def _last(kind: Kind) -> int:
    """The length of the last axis; rank 0 counts as one axis of length 1."""
    return kind.shape[-1] if kind.shape else 1


def broadcast(a: Attributes, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The row shape that row shapes broadcast to, aligned at their last axes."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise a.refuse(f"reads rows of shapes {[list(shape) for shape in shapes]}, which do not broadcast") from None


def spread(x: Array, rank: int) -> Array:
    """A value made to broadcast against rows of that rank: axes of length 1 behind the batch axis."""
    return x.reshape(len(x), *(1,) * (rank + 1 - x.ndim), *x.shape[1:])


@op(1, math.inf)
def concat(a: Attributes, *kinds: Kind) -> tuple[Kind, Run]:
    """Joins rows, or values along an axis."""
    dtype, shape = kinds[0]
    if len({kind.dtype for kind in kinds}) != 1:
        raise a.refuse("joins values of different dtypes")
    if not a.has("axis"):
        _need_row(a, *kinds)
        return Kind(dtype, (sum(kind.width for kind in kinds),)), lambda *xs: np.concatenate([_rows(x) for x in xs], axis=1)
    axis = a.integer("axis", 0, len(shape) - 1)
    if len({(len(kind.shape), *kind.shape[:axis], *kind.shape[axis + 1 :]) for kind in kinds}) != 1:
        raise a.refuse(f"joins rows of shapes {[list(kind.shape) for kind in kinds]} along axis {axis}; they differ elsewhere")
    joined = (*shape[:axis], sum(kind.shape[axis] for kind in kinds), *shape[axis + 1 :])
    return Kind(dtype, joined), lambda *xs: np.concatenate(xs, axis=axis + 1)


@op(1)
def select(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Columns by position."""
    _need_row(a, kind)
    index = a.integers("index", None)
    if not ((index >= 0) & (index < kind.width)).all():
        raise a.refuse(f"selects a column outside 0..{kind.width - 1}")
    return Kind(kind.dtype, index.shape), lambda x: _rows(x)[:, index]


@op(1)
def cast(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The same values in another dtype; what does not fit an integer is refused."""
    to = a.word("to", *(dtype for dtype in DTYPES if dtype != "str"))
    _need(a, kind, [dtype for dtype in DTYPES if dtype != "str"])
    target = DTYPES[to]

    def to_integer(x: Array) -> Array:
        info = np.iinfo(target)
        if kind.dtype in FLOATS:
            x = np.trunc(x.astype(np.float64))
            fits = (x >= float(info.min)) & (x < float(info.max) + (1.0 if target.itemsize < 8 else 0.0))
        else:
            fits = (x >= info.min) & (x <= info.max) if kind.dtype != "bool" else np.ones_like(x)
        if not fits.all():
            raise a.refuse(f"cannot cast {x[~fits].flat[0]} to {to}")
        return x.astype(target)

    run: Run = to_integer if to in INTEGERS else (lambda x: x != 0) if to == "bool" else (lambda x: x.astype(target))
    return Kind(to, kind.shape), run


@op(0)
def constant(a: Attributes) -> tuple[Kind, Run]:
    """The same row for every row of the batch."""
    if isinstance(a._left.get("value"), list):
        raise a.refuse("has a bare array as value; it needs the object form")
    dtype, value = a.any_tensor("value", tuple(DTYPES), range(a.limits.rank + 1))
    return Kind(dtype, value.shape), lambda n: np.broadcast_to(value, (n, *value.shape))


def _matcher(a: Attributes, kind: Kind) -> Callable[[Array], Array]:
    """Where an element equals `match`; by default where it is missing."""
    if kind.dtype == "str":
        text = _text(a.take("match"), f"{a.where}: match") if a.has("match") else None
        a.measure([text])
        return lambda x: np.equal(x, text).astype(bool) if text is not None else _is_null(x)
    match = _decode_list([a.take("match") if a.has("match") else "NaN"], kind.dtype, f"{a.where}: match")[0]
    return np.isnan if np.isnan(match) else lambda x: x == match


@op(1)
def impute(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Replaces the elements that equal `match` (missing ones by default)."""
    _need_row(a, kind)
    _need(a, kind, ("f64", "f32", "str"))
    matches, values = _matcher(a, kind), a.per_column("values", kind.dtype, kind.width)
    return kind, lambda x: np.where(matches(x), values if x.ndim > 1 else values[0], x)


@op(1)
def is_missing(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """1.0 where an element equals `match` (is missing by default), else 0.0."""
    _need_row(a, kind)
    _need(a, kind, ("f64", "f32", "str"))
    matches = _matcher(a, kind)
    return Kind("f64", kind.shape), lambda x: matches(x).astype(np.float64)


@op(1)
def lookup(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The value of the equal key, else the default."""
    _need(a, kind, ("f64", "f32", "i64", "bool", "str"))
    keys = a.tensor("keys", (kind.dtype,), None)
    dtype, values = a.loose("values", (1,))
    if len(values) != len(keys):
        raise a.refuse(f"has {len(keys)} keys but {len(values)} values")
    a.look(kind.width)
    positions = {_key(key): i for i, key in enumerate(keys.tolist())}
    if len(positions) != len(keys):
        raise a.refuse("has two equal keys")
    default = _decode_list([a.take("default")], dtype, f"{a.where}: default") if a.has("default") else None
    if default is not None and default[0] is None:
        raise a.refuse("has null as its default; leave the attribute out")
    a.measure(default.tolist() if default is not None and dtype == "str" else [])
    table = values if default is None else np.concatenate([values, default])

    def run(x: Array) -> Array:
        found = np.array([positions.get(_key(item), -1) for item in x.ravel().tolist()], dtype=np.int64)
        if default is None and (found < 0).any():
            raise a.refuse(f"has no entry for {_show(x.ravel()[found < 0][0])} and no default")
        return table[found].reshape(x.shape)

    return Kind(dtype, kind.shape), run


def _key(item: Any) -> Any:
    """A key for a dict in which NaN equals NaN (zeros are equal to a dict anyway)."""
    return "NaN" if type(item) is float and item != item else item


@op(1)
def onehot(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """A unit vector per column; -1 gives zeros."""
    _need_row(a, kind)
    _need(a, kind, INTEGERS)
    size = a.integer("size", 1)

    def run(x: Array) -> Array:
        codes = _rows(x)
        outside = (codes < -1) | (codes >= size)
        if outside.any():
            raise a.refuse(f"reads the code {codes[outside][0]}, outside 0..{size - 1}")
        units = np.zeros((*codes.shape, size))
        row, column = np.nonzero(codes >= 0)
        units[row, column, codes[row, column]] = 1.0
        return units.reshape(len(x), codes.shape[1] * size)

    return Kind("f64", (kind.width * size,)), run


@op(1)
def bucketize(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The number of edges of the column that lie below (left) or not above (right) the element."""
    _need_row(a, kind)
    _need(a, kind, FLOATS)
    edges, sizes, side = a.tensor("edges", (kind.dtype,), None), a.integers("sizes", kind.width), a.word("side", "left", "right")
    if (sizes < 0).any() or (sizes > len(edges)).any() or sizes.sum() != len(edges):
        raise a.refuse(f"has {len(edges)} edges, but its sizes do not cut them")
    columns = np.split(edges, np.cumsum(sizes))[: len(sizes)]
    if not all((column[:-1] <= column[1:]).all() and not np.isnan(column).any() for column in columns):
        raise a.refuse("has edges that do not ascend")
    a.look(kind.width)

    def run(x: Array) -> Array:
        rows = _rows(x)
        counts = np.empty(rows.shape, dtype=np.int64)
        for j, column in enumerate(columns):
            counts[:, j] = np.searchsorted(column, rows[:, j], side=side)  # type: ignore[call-overload]
        return counts.reshape(x.shape)

    return Kind("i64", kind.shape), run


@op(1)
def scale(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """((x - sub) / div) * mul + add."""
    dtype, np_dtype = _float_value(a, kind)
    functions = (("sub", np.subtract), ("div", np.divide), ("mul", np.multiply), ("add", np.add))
    parts = [(function, a.per_column(key, dtype, _last(kind))) for key, function in functions if a.has(key)]

    def run(x: Array) -> Array:
        x = x.astype(np_dtype, copy=False)
        for function, parameter in parts:
            x = function(x, parameter)
        return x

    return Kind(dtype, kind.shape), run


@op(1)
def clip(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """x < min ? min : x > max ? max : x."""
    dtype, np_dtype = _float_value(a, kind)
    low = a.per_column("min", dtype, _last(kind)) if a.has("min") else None
    high = a.per_column("max", dtype, _last(kind)) if a.has("max") else None

    def run(x: Array) -> Array:
        x = x.astype(np_dtype, copy=False)
        above = x if high is None else np.where(x > high, high, x)
        return above if low is None else np.where(x < low, low, above)

    return Kind(dtype, kind.shape), run


def _sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))  # where exp overflows the quotient is 0


UNARY_EXACT: dict[str, Run] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": lambda x: np.sign(x) + 0.0,
    "sqrt": np.sqrt,
    "square": np.square,
    "reciprocal": lambda x: 1 / x,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "relu": lambda x: np.where((x > 0) | np.isnan(x), x, x.dtype.type(0)),
}
UNARY_CLOSE: dict[str, Run] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "log_sigmoid": lambda x: np.where(x >= 0, -np.log1p(np.exp(-x)), x - np.log1p(np.exp(x))),
    "softplus": lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))),
    "erf": erf,
    "norm_ppf": norm_ppf,
}


@op(1)
def unary(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """A function of one element."""
    fn = a.word("fn", "not", *UNARY_EXACT, *UNARY_CLOSE)
    if fn == "not":
        _float_dtype(a)
        _need(a, kind, ("bool",))
        return kind, np.logical_not
    dtype, np_dtype = _float_value(a, kind)
    if fn in UNARY_EXACT:
        return Kind(dtype, kind.shape), lambda x: UNARY_EXACT[fn](x.astype(np_dtype, copy=False))
    a.look(kind.width)
    return Kind(dtype, kind.shape), lambda x: UNARY_CLOSE[fn](
        x.astype(np_dtype, copy=False).astype(np.float64, copy=False)
    ).astype(np_dtype, copy=False)


ARITHMETIC: dict[str, Run] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": np.minimum,
    "max": np.maximum,
    "pow": lambda x, y: np.power(x.astype(np.float64), y.astype(np.float64)).astype(x.dtype),
}
COMPARISON: dict[str, Run] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
LOGIC: dict[str, Run] = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


@op(2)
def binary(a: Attributes, left: Kind, right: Kind) -> tuple[Kind, Run]:
    """A function of two elements."""
    fn = a.word("fn", *ARITHMETIC, *COMPARISON, *LOGIC)
    dtype = _float_dtype(a)
    shape = broadcast(a, left.shape, right.shape)
    rank, function = len(shape), {**ARITHMETIC, **COMPARISON, **LOGIC}[fn]
    kinds = (left.dtype, right.dtype)
    if fn in LOGIC:
        _need(a, left, ("bool",))
        _need(a, right, ("bool",))
        np_dtype = DTYPES["bool"]
    elif (fn in COMPARISON and kinds == ("i64", "i64")) or (fn in ("eq", "ne") and kinds in (("bool", "bool"), ("str", "str"))):
        np_dtype = DTYPES[left.dtype]
        a.strings = Kind("bool", shape).counted if left.dtype == "str" else 0
    else:
        _need(a, left, FLOATS)
        _need(a, right, FLOATS)
        np_dtype = DTYPES[dtype]
    if fn == "pow":
        a.look(math.prod(shape))

    def run(x: Array, y: Array) -> Array:
        answer = function(spread(x.astype(np_dtype, copy=False), rank), spread(y.astype(np_dtype, copy=False), rank))
        return answer if fn in ARITHMETIC else answer.astype(bool, copy=False)

    return Kind(dtype if fn in ARITHMETIC else "bool", shape), run


@op(3)
def where(a: Attributes, condition: Kind, left: Kind, right: Kind) -> tuple[Kind, Run]:
    """The second value where the first is true, else the third."""
    _need(a, condition, ("bool",))
    if left.dtype != right.dtype:
        raise a.refuse(f"chooses between {left.dtype} and {right.dtype}; both must have one dtype")
    shape = broadcast(a, condition.shape, left.shape, right.shape)
    return Kind(left.dtype, shape), lambda *values: np.where(*(spread(value, len(shape)) for value in values))


_CELLS = 2**15


def _sum_over_columns(x: Array, outputs: int, term: Callable[[Array, int], Array]) -> Array:
    """(n, outputs): sum over the columns j of x (n, i), ascending, of term(x[:, j, None], j), in f64 from 0.0.

    Adding column by column keeps the order that BLAS and np.sum do not; blocks of rows keep the sums in the cache.
    """
    total = np.zeros((len(x), outputs))
    block = max(1, _CELLS // max(1, outputs))
    for begin in range(0, len(x), block):
        columns = np.ascontiguousarray(x[begin : begin + block].T)
        part = total[begin : begin + block]
        for j in range(len(columns)):
            part += term(columns[j][:, None], j)
    return total


def _products(rows: Array, weight: Array) -> Array:
    """(n, o): sum over j, ascending, of rows (n, i) times weight (i, o), both f64."""
    if len(rows) * weight.shape[1] <= 256:
        return _ordered_sum(rows[:, None, :] * weight.T)
    return _sum_over_columns(rows, weight.shape[1], lambda column, j: column * weight[j])


@op(1)
def linear(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Weighted sums along the last axis, plus bias; rounded once, after both."""
    dtype, np_dtype = _float_value(a, kind)
    weight = a.tensor("weight", (dtype,), None, _last(kind))
    outputs = len(weight)
    a.multiply(math.prod(kind.shape[:-1]) * weight.size)
    bias = a.tensor("bias", (dtype,), outputs).astype(np.float64) if a.has("bias") else None
    by_column = a.once("by column", lambda: np.ascontiguousarray(weight.T.astype(np.float64)))  # [i, o]

    def run(x: Array) -> Array:
        lines = _lines(x).astype(np_dtype, copy=False).astype(np.float64, copy=False)
        # Rounding to f32 hides the order of the sum, so BLAS may take it; f64 sums keep the order of the format.
        fast = dtype == "f32" and lines.size * outputs > _CELLS
        total = lines @ by_column if fast else _products(lines, by_column)
        total = total if bias is None else total + bias
        return total.astype(np_dtype, copy=False).reshape(*(x.shape[:-1] or x.shape), outputs)

    return Kind(dtype, (*kind.shape[:-1], outputs)), run


def _shifted(x: Array, np_dtype: np.dtype) -> tuple[Array, Array, Array]:
    """(x - m, exp(x - m), sum of exp(x - m)) per line, rounded to the dtype."""
    rows = _lines(x).astype(np_dtype, copy=False)
    shifted = rows - rows.max(axis=1, keepdims=True, initial=-np.inf)
    powers = np.exp(shifted.astype(np.float64, copy=False)).astype(np_dtype, copy=False)
    return shifted, powers, _ordered_sum(powers)[:, None].astype(np_dtype, copy=False)


@op(1)
def softmax(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """exp(x - max) / sum."""
    dtype, np_dtype = _float_value(a, kind)
    a.look(kind.width)

    def run(x: Array) -> Array:
        _, powers, total = _shifted(x, np_dtype)
        return (powers / total).reshape(x.shape)

    return Kind(dtype, kind.shape), run


@op(1)
def log_softmax(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """x - max - log(sum exp(x - max))."""
    dtype, np_dtype = _float_value(a, kind)
    a.look(kind.width)

    def run(x: Array) -> Array:
        shifted, _, total = _shifted(x, np_dtype)
        return (shifted - np.log(total.astype(np.float64, copy=False)).astype(np_dtype, copy=False)).reshape(x.shape)

    return Kind(dtype, kind.shape), run


@op(1)
def normalize(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """A line divided by its norm; an all-zero line as it is."""
    dtype, np_dtype = _float_value(a, kind)
    norm = a.word("norm", "l1", "l2", "max")

    def run(x: Array) -> Array:
        rows = _lines(x).astype(np_dtype, copy=False)
        size = np.abs(rows)
        if norm == "max":
            length = size.max(axis=1, initial=0.0)
        elif norm == "l1":
            length = _ordered_sum(size).astype(np_dtype, copy=False)
        else:
            length = np.sqrt(_ordered_sum(np.square(rows)).astype(np_dtype, copy=False))
        zero = ~(rows != 0).any(axis=1)
        return np.where(zero[:, None], rows, rows / length[:, None]).reshape(x.shape)

    return Kind(dtype, kind.shape), run


def _logsumexp(rows: Array) -> Array:
    m = rows.max(axis=1)
    total = _ordered_sum(np.exp((rows - m[:, None]).astype(np.float64, copy=False)).astype(rows.dtype, copy=False))
    logarithm = np.log(total.astype(rows.dtype, copy=False).astype(np.float64, copy=False)).astype(rows.dtype, copy=False)
    return np.where(np.isinf(m), m, m + logarithm)


REDUCE: dict[str, Run] = {
    "sum": lambda rows: _ordered_sum(rows).astype(rows.dtype, copy=False),
    "prod": lambda rows: np.multiply.accumulate(rows, axis=1)[:, -1],
    "mean": lambda rows: _ordered_sum(rows).astype(rows.dtype, copy=False) / rows.dtype.type(rows.shape[1]),
    "min": lambda rows: rows.min(axis=1),
    "max": lambda rows: rows.max(axis=1),
    "l2": lambda rows: np.sqrt(_ordered_sum(np.square(rows)).astype(rows.dtype, copy=False)),
    "logsumexp": _logsumexp,
    "argmax": lambda rows: rows.argmax(axis=1).astype(np.int64),
    "argmin": lambda rows: rows.argmin(axis=1).astype(np.int64),
}


@op(1)
def reduce(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """One element per row or, with axes, for all their elements."""
    dtype, np_dtype = _float_value(a, kind)
    fn, keep, rank = a.word("fn", *REDUCE), a.flag("keep"), len(kind.shape)
    out = "i64" if fn.startswith("arg") else dtype
    if not a.has("axes"):
        _need_row(a, kind)
        axes, kept = list(range(rank)), (1,) if keep else ()
    else:
        axes = a.integers("axes", None).tolist()
        if not axes or axes != sorted(set(axes)) or not 0 <= axes[0] <= axes[-1] < rank:
            raise a.refuse(f"has axes {_show(axes)}; they must ascend within 0..{rank - 1}")
        if out == "i64" and len(axes) > 1:
            raise a.refuse(f"has {len(axes)} axes for {fn}, which takes one")
        kept = tuple(1 if i in axes else n for i, n in enumerate(kind.shape) if keep or i not in axes)
    reduced = math.prod(kind.shape[i] for i in axes)
    if not reduced:
        raise a.refuse("reduces rows of width 0")
    a.look(kind.width if fn == "logsumexp" else 0)
    order = (0, *(i + 1 for i in range(rank) if i not in axes), *(i + 1 for i in axes))

    def run(x: Array) -> Array:
        lines = x.astype(np_dtype, copy=False).transpose(order)
        return REDUCE[fn](lines.reshape(x.size // reduced, reduced)).reshape(len(x), *kept)

    return Kind(out, kept), run


@op(1)
def two_class(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """[1 - p, p]."""
    dtype, np_dtype = _float_row(a, kind)
    if kind.width != 1:
        raise a.refuse(f"reads a row of width {kind.width}; it needs width 1")

    def run(x: Array) -> Array:
        p = _rows(x).astype(np_dtype, copy=False)
        return np.concatenate([1 - p, p], axis=1)

    return Kind(dtype, (2,)), run


@op(1)
def take(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Entries, or rows, of a table by index."""
    _need(a, kind, INTEGERS)
    dtype, table = a.loose("table", (1, 2))
    if table.ndim == 2 and kind.width != 1:
        raise a.refuse(f"takes rows of a table for a row of width {kind.width}; it needs width 1")

    def run(x: Array) -> Array:
        outside = (x < 0) | (x >= len(table))
        if outside.any():
            raise a.refuse(f"reads the index {x[outside][0]}, outside 0..{len(table) - 1}")
        return table[x.reshape(len(x))] if table.ndim == 2 else table[x]

    return Kind(dtype, kind.shape if table.ndim == 1 else table.shape[1:]), run


@op(1)
def poly(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Products of powers of the columns; the factors are multiplied starting from the last one."""
    dtype, np_dtype = _float_row(a, kind)
    powers = a.integers("powers", None, kind.width)
    if not ((powers >= 0) & (powers <= 255)).all():
        raise a.refuse("has a power outside 0..255")
    a.multiply(int(powers.sum()))

    def run(x: Array) -> Array:
        rows = _rows(x).astype(np_dtype, copy=False)
        product = np.ones((len(powers), len(rows)), np_dtype)
        for j in reversed(range(rows.shape[1])):
            for times in range(1, int(powers[:, j].max(initial=0)) + 1):
                product[powers[:, j] >= times] *= rows[:, j]
        return product.T

    return Kind(dtype, (len(powers),)), run


@op(1)
def interp(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Piecewise linear through the knots."""
    dtype, np_dtype = _float_value(a, kind)
    xs, outside = a.tensor("x", (dtype,), None), a.word("outside", "clip", "nan", "extend")
    ys = a.tensor("y", (dtype,), len(xs))
    if len(xs) < (2 if outside == "extend" else 1):
        raise a.refuse(f"has {len(xs)} knots, too few for outside {_show(outside)}")
    if not (xs[:-1] < xs[1:]).all() or not np.isfinite([xs, ys]).all():
        raise a.refuse("has knots that do not ascend strictly, or knots or values that are not finite")
    a.look(kind.width)
    last = len(xs) - 1

    def run(x: Array) -> Array:
        v = x.astype(np_dtype, copy=False)
        i = np.clip(np.searchsorted(xs, v, side="right") - 1, 0, max(last - 1, 0))
        j = np.minimum(i + 1, last)
        line = (ys[j] - ys[i]) / (xs[j] - xs[i]) * (v - xs[i]) + ys[i]
        line = np.where(v == xs[last], ys[last], line)
        if outside != "extend":
            below, above = (ys[0], ys[last]) if outside == "clip" else (np_dtype.type(np.nan),) * 2
            line = np.where(v < xs[0], below, np.where(v > xs[last], above, line))
        return np.where(np.isnan(v), v, line)

    return Kind(dtype, kind.shape), run


@op(1, 2)
def tree_ensemble(a: Attributes, kind: Kind, start: Kind | None = None) -> tuple[Kind, Run]:
    """The sum of one leaf per tree (section 7)."""
    _need_row(a, kind)
    _need(a, kind, FLOATS)
    if start is not None and a.has("init"):
        raise a.refuse("starts from a value and has init; only one of them can be")
    forest = Forest(a, kind.width)
    out = Kind(forest.acc, (forest.width,))
    if start is not None and (start.dtype, start.width) != (out.dtype, out.width):
        raise a.refuse(
            f"starts from a value of dtype {start.dtype} and width {start.width}; it must be {out.dtype} and {out.width}"
        )
    return out, lambda x, begin=None: forest.run(_rows(x), None if begin is None else _rows(begin))


@op(1)
def gaussian_ll(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Joint log-likelihood of independent normal columns, per class."""
    dtype, np_dtype = _float_row(a, kind)
    mean = a.tensor("mean", (dtype,), None, kind.width)
    var = a.tensor("var", (dtype,), len(mean), kind.width)
    prior = a.tensor("log_prior", (dtype,), len(mean)) if a.has("log_prior") else None
    a.multiply(len(mean) * (kind.width + 16))
    with np.errstate(all="ignore"):
        logs = np.log((np_dtype.type(2 * math.pi) * var).astype(np.float64)).astype(np_dtype)
    spread = np_dtype.type(0.5) * _ordered_sum(logs).astype(np_dtype)
    mean_by_column, var_by_column = np.ascontiguousarray(mean.T), np.ascontiguousarray(var.T)

    def run(x: Array) -> Array:
        rows = _rows(x).astype(np_dtype, copy=False)
        squares = _sum_over_columns(
            rows, len(mean), lambda column, j: np.square(column - mean_by_column[j]) / var_by_column[j]
        ).astype(np_dtype, copy=False)
        constant_part = -spread if prior is None else prior - spread
        return constant_part - np_dtype.type(0.5) * squares

    return Kind(dtype, (len(mean),)), run


# ==== Trees ===========================================================================================================
#
# Every inner node asks one question: is the integer key of its column greater than its own key? If so the row goes right.
# A column is a feature together with the direction NaN takes there, or a feature together with a category set; f32 features
# have the bits of the number as key, f64 features the rank among the column's thresholds. So one loop serves all trees.

_HIGH, _LOW = 2**31 - 1, -(2**31)  # beyond every key: NaN goes right, NaN goes left
_PAIRS = 2**16  # (row, tree) pairs walked at once
_SMALL_TREE, _MANY_ROWS = 64, 4096  # from that many rows on, trees of up to so many leaves are not walked but selected


class Forest:
    """tree_ensemble (section 7): checked when built, then walked level by level over blocks of rows and trees."""

    def __init__(self, a: Attributes, features: int) -> None:
        self._dtype = DTYPES[a.word("dtype", *FLOATS, default="f64")]
        self._strict = a.word("cmp", "le", "lt", default="le") == "lt"
        self._missing = a.word("missing", "error", "left", "right", "node", default="error")
        self._mean = a.word("aggregate", "sum", "mean", default="sum") == "mean"
        self.acc = a.word("acc", *FLOATS, default="f64")
        self._where = a.where
        self._read_nodes(a, features)
        self._read_leaves(a)
        self._read_columns(a)
        self._groups = self._pack()
        nodes_of_trees = np.diff(np.append(self._start, len(self._inner) + len(self._leaf)))
        self._small = len(self._column_feature) > 0 and int(nodes_of_trees.max()) < 2 * _SMALL_TREE

    def _read_nodes(self, a: Attributes, features: int) -> None:
        self._start, feature = a.integers("start", None), a.integers("feature", None)
        nodes = len(feature)
        if not ((feature >= -1) & (feature < features)).all():
            raise a.refuse(f"has a feature outside -1..{features - 1}")
        if not len(self._start) or self._start[0] != 0 or not (np.diff(self._start) > 0).all() or self._start[-1] >= nodes:
            raise a.refuse(f"has starts that do not ascend from 0 below its {nodes} nodes")
        is_inner = feature >= 0
        self._inner = np.flatnonzero(is_inner)
        self._feature = feature[self._inner]
        self._right = _checked_right(a, self._start, is_inner, a.integers("right", len(self._inner)))

    def _read_leaves(self, a: Attributes) -> None:
        trees, leaves = len(self._start), len(self._start) + len(self._inner)
        w = a.integer("leaf_width", 1, a.limits.value_width) if a.has("leaf_width") else 1
        a.multiply(len(self._start) * w)
        if a.has("leaf_table"):
            table = a.tensor("leaf_table", (self.acc,), None)
            if len(table) % w:
                raise a.refuse(f"has a leaf_table of {len(table)} elements, which are no rows of {w}")
            leaf_row = a.integers("leaf", leaves)
            if not ((leaf_row >= 0) & (leaf_row < len(table) // w)).all():
                raise a.refuse(f"has a leaf outside its leaf_table of {len(table) // w} rows")
        else:
            table = a.tensor("leaf", (self.acc,), leaves * w)
            leaf_row = np.arange(leaves)
        self._table = table.reshape(-1, w)
        self._leaf = table[leaf_row] if w == 1 else leaf_row  # by leaf number: its value or, when leaves are wide, its row
        self._class = None
        if a.has("class"):
            self._class = a.integers("class", trees)
            self.width = a.integer("size", 1, a.limits.value_width)
            if w != 1 or not ((self._class >= 0) & (self._class < self.width)).all():
                raise a.refuse(f"has a class outside 0..{self.width - 1}" if w == 1 else "has classes for leaves wider than 1")
        else:
            if a.has("size"):
                raise a.refuse("has a size without class")
            self.width = w
        self._init = a.tensor("init", (self.acc,), self.width) if a.has("init") else np.zeros(self.width, DTYPES[self.acc])

    def _read_columns(self, a: Attributes) -> None:
        """Columns, and for every inner node its column and its key."""
        count = len(self._inner)
        threshold = a.tensor("threshold", ("f32" if self._dtype.itemsize == 4 else "f64",), count)
        if np.isnan(threshold).any():
            raise a.refuse("has a threshold that is NaN")
        nan_left = np.full(count, int(self._missing == "left"))
        if self._missing == "node" or a.has("missing_left"):
            if self._missing != "node":
                raise a.refuse('has missing_left, which goes with missing "node" only')
            nan_left = a.integers("missing_left", count)
            if not ((nan_left == 0) | (nan_left == 1)).all():
                raise a.refuse("has a missing_left that is neither 0 nor 1")
        category, self._sets = _read_sets(a, count)
        if (threshold[category >= 0] != 0).any():
            raise a.refuse("has a category node whose threshold is not 0")
        sets = len(self._sets) + 1
        code = (self._feature * 2 + nan_left) * sets + category + 1
        columns, self._column = np.unique(code, return_inverse=True)
        self._column_feature, self._column_left = columns // sets // 2, (columns // sets % 2).astype(bool)
        self._column_set = columns % sets - 1
        self._membership = _membership(self._sets)
        self._edges = [np.empty(0)] * len(columns)
        if self._dtype.itemsize == 4:
            self._key = _sortable(threshold) - int(self._strict)
        else:
            self._key = np.zeros(count, dtype=np.int64)
            order = np.argsort(self._column, kind="stable")
            bounds = np.searchsorted(self._column[order], np.arange(len(columns) + 1))
            for c in range(len(columns)):
                nodes = order[bounds[c] : bounds[c + 1]]
                self._edges[c], self._key[nodes] = np.unique(threshold[nodes], return_inverse=True)
        self._key[category >= 0] = 0

    def _keys(self, x: Array) -> Array:
        """(n, columns) keys of rows x (n, features) that are already in the forest's dtype."""
        nan = np.isnan(x)
        if self._dtype.itemsize == 4:
            keys = _sortable(x).take(self._column_feature, axis=1)
        else:
            keys = np.empty((len(x), len(self._column_feature)), dtype=np.int64)
            for c in np.flatnonzero(self._column_set < 0):
                keys[:, c] = np.searchsorted(
                    self._edges[c], x[:, self._column_feature[c]], side="right" if self._strict else "left"
                )
        codes: dict[int, Array] = {}
        for c in np.flatnonzero(self._column_set >= 0):
            f = int(self._column_feature[c])
            if f not in codes:
                codes[f] = _category_codes(x[:, f])
            keys[:, c] = ~self._membership(int(self._column_set[c]), codes[f])
        if nan.any():
            keys = np.where(nan.take(self._column_feature, axis=1), np.where(self._column_left, _LOW, _HIGH), keys)
        return keys

    def _pack(self) -> list[_Group] | None:
        """Groups of consecutive trees, each small enough for its packed nodes; None when a single tree is too large."""
        left_bits = 32 - max(1, len(self._column_feature).bit_length())
        ends = np.append(self._start[1:], len(self._inner) + len(self._leaf))
        if (ends - self._start).max() > 1 << left_bits:
            return None
        groups, first = [], 0
        while first < len(ends):
            last = int(np.searchsorted(ends, self._start[first] + (1 << left_bits), side="right"))
            groups.append(_Group(self, first, last, int(self._start[first]), int(ends[last - 1]), left_bits))
            first = last
        return groups

    def run(self, x: Array, begin: Array | None) -> Array:
        """(n, width) sums for rows x (n, features); begin (n, width) takes the place of init."""
        total = np.empty((len(x), self.width), dtype=DTYPES[self.acc])
        total[:] = self._init if begin is None else begin
        select = self._small and len(x) >= _MANY_ROWS and len(self._column_feature) <= 2**22 // _MANY_ROWS
        most = max(
            1, min(2**14, 2**22 // len(self._column_feature)) if select else min(2048, 2**20 // max(1, len(self._column_feature)))
        )
        blocks = -(-len(x) // most)
        for k in range(blocks):
            at, end = len(x) * k // blocks, len(x) * (k + 1) // blocks
            block = x[at:end].astype(self._dtype, copy=False)
            keys = self._keys(block)
            if self._missing == "error":
                self._refuse_visited_nan(block, keys)
            for trees, leaves in self._select(keys) if select else self._walk(keys):
                self._add(total[at:end], trees, leaves)
        return total / total.dtype.type(len(self._start)) if self._mean else total

    def _walk(self, keys: Array) -> Iterable[tuple[Array, Array]]:
        """Yields (trees (k,), their leaves (k, n)) for keys (n, columns), in order."""
        if self._groups is None:
            for tree in range(len(self._start)):
                yield np.array([tree]), self._leaf[self._walk_one(tree, keys)][None]
        else:
            shifted = (keys << 32).ravel()
            for group in self._groups:
                yield from group.walk(shifted, len(keys))

    def _select(self, keys: Array) -> Iterable[tuple[Array, Array]]:
        """As _walk, for small trees and many rows: every node is asked for all rows, which takes no gathers."""
        columns = np.ascontiguousarray(keys.T, dtype=np.int32)
        is_inner = np.zeros(len(self._inner) + len(self._leaf), dtype=bool)
        is_inner[self._inner] = True
        nodes, questions, bounds = (
            is_inner.tolist(),
            list(zip(self._column.tolist(), self._key.tolist())),
            [*self._start.tolist(), len(is_inner)],
        )
        first_leaf = first_inner = 0
        for tree in range(len(self._start)):
            pattern = nodes[bounds[tree] : bounds[tree + 1]]
            inner = sum(pattern)
            numbers = _selected_leaves(pattern, questions[first_inner : first_inner + inner], columns)
            leaves = self._leaf[first_leaf : first_leaf + inner + 1]
            yield np.array([tree]), leaves.take(numbers)[None]
            first_inner, first_leaf = first_inner + inner, first_leaf + inner + 1

    def _add(self, total: Array, trees: Array, leaves: Array) -> None:
        """Adds the leaves (k, m) of k trees - values, or rows of the table - to total (m, width), tree by tree."""
        k, m = leaves.shape
        wide = self._table.shape[1] > 1
        if wide and (m >= k or self._table.shape[1] > 16):
            for rows in leaves:
                total += self._table.take(rows, axis=0)
        elif wide:
            total[:] = _add_in_order(total, self._table.take(leaves, axis=0))
        elif m >= k:
            columns = np.zeros(k, dtype=np.int64) if self._class is None else self._class[trees]
            for column, values in zip(columns, leaves):
                total[:, column] += values
        else:
            classes = np.zeros(k, dtype=np.int64) if self._class is None else self._class[trees]
            for c in np.unique(classes):
                total[:, c] = _add_in_order(total[:, c], leaves[classes == c])

    def _walk_one(self, tree: int, keys: Array, nan: Array | None = None) -> Array:
        """The leaf number of every row in one tree, a level at a time; refuses a visit of a node whose feature is NaN."""
        node = np.full(len(keys), self._start[tree])
        rows = np.arange(len(keys))
        while len(rows):
            inner = np.searchsorted(self._inner, node[rows])
            here = self._inner.take(inner, mode="clip") == node[rows] if len(self._inner) else np.zeros(len(rows), dtype=bool)
            rows, inner = rows[here], inner[here]
            if nan is not None and nan[rows, self._feature[inner]].any():
                raise Refused(f'{self._where} reads NaN at a visited node; its model was not trained to (missing is "error")')
            right = keys[rows, self._column[inner]] > self._key[inner]
            node[rows] = np.where(right, self._right[inner], node[rows] + 1)
        return node - np.searchsorted(self._inner, node)

    def _refuse_visited_nan(self, x: Array, keys: Array) -> None:
        nan = np.isnan(x)
        rows = np.flatnonzero(nan.any(axis=1))
        if len(rows):
            for tree in range(len(self._start)):
                self._walk_one(tree, keys[rows], nan[rows])


class _Group:
    """Consecutive trees in one array of int64 nodes: key << 32 | column << left_bits | left child.

    The two children of a node are neighbours, so that the next node is left + (key of the row > key of the node): two
    gathers per level. A leaf is its own left child and has a key that no row exceeds.
    """

    def __init__(self, forest: Forest, first: int, last: int, begin: int, end: int, left_bits: int) -> None:
        self._first, self._trees, self._bits, self._columns = first, last - first, left_bits, len(forest._column_feature)
        low, high = np.searchsorted(forest._inner, [begin, end])
        inner = forest._inner[low:high]
        lefts = self._trees + 2 * np.arange(len(inner))
        place = np.empty(end - begin, dtype=np.int64)  # node -> its place in this group
        place[forest._start[first:last] - begin] = np.arange(self._trees)
        place[inner + 1 - begin] = lefts
        place[forest._right[low:high] - begin] = lefts + 1
        self._nodes = np.empty(end - begin, dtype=np.int64)
        self._nodes[place] = _HIGH << 32 | place
        self._nodes[place[inner - begin]] = forest._key[low:high] << 32 | forest._column[low:high] << left_bits | lefts
        is_leaf = np.ones(end - begin, dtype=bool)
        is_leaf[inner - begin] = False
        leaves = forest._leaf[begin - low : end - high]
        self._leaf = np.zeros(end - begin, dtype=leaves.dtype)  # by place: the forest's entry for the leaf
        self._leaf[place[is_leaf]] = leaves
        self._depth = self._measure_depth()

    def _measure_depth(self) -> int:
        """Levels below the roots; 8 stands for 8 or more."""
        places = np.arange(self._trees)
        for depth in range(8):
            lefts = self._nodes[places] & (1 << self._bits) - 1
            lefts = lefts[lefts != places]
            if not len(lefts):
                return depth
            places = np.concatenate([lefts, lefts + 1])
        return 8

    def walk(self, keys: Array, rows: int) -> Iterable[tuple[Array, Array]]:
        """Yields (trees (k,), their leaves (k, rows)) for blocks of trees, in order."""
        step = max(1, _PAIRS // max(1, rows))
        offsets = np.arange(rows) * self._columns
        for first in range(0, self._trees, step):
            trees = np.arange(first, min(first + step, self._trees))
            places = self._descend(np.repeat(trees, rows), np.tile(offsets, len(trees)), keys)
            yield self._first + trees, self._leaf.take(places).reshape(len(trees), rows)

    def _step(self, place: Array, offset: Array, keys: Array) -> Array:
        """One level down, for each (row, tree) pair."""
        node = self._nodes.take(place, mode="clip")
        at = node >> self._bits
        at &= (1 << 32 - self._bits) - 1
        at += offset
        right = keys.take(at, mode="clip") > node
        node &= (1 << self._bits) - 1
        node += right
        return node

    def _descend(self, place: Array, offset: Array, keys: Array) -> Array:
        """From the roots to the leaves; in deep trees the pairs that have arrived are set aside now and then."""
        for _ in range(self._depth if self._depth < 8 else 3):
            place = self._step(place, offset, keys)
        if self._depth < 8:
            return place
        result, pairs = place, np.arange(len(place))
        while len(pairs):
            following = self._step(place, offset, keys)
            moving = following != place
            place = following
            if np.count_nonzero(moving) < 0.75 * len(pairs):
                result[pairs] = place
                pairs, place, offset = pairs[moving], place[moving], offset[moving]
        return result


def _selected_leaves(pattern: list[bool], questions: list[tuple[int, int]], columns: Array) -> Array:
    """The leaf number (u8) of every row in one tree; pattern tells inner nodes from leaves, in preorder.

    From the last node to the first, each inner node merges the answers of its two subtrees by its own question, with the
    bit-wise choice left ^ ((left ^ right) & mask).
    """
    answers: list[Any] = []  # a subtree's leaf numbers (n,), or the number of a single leaf
    leaf, question = len(pattern) - len(questions), len(questions)
    for is_inner in reversed(pattern):
        if not is_inner:
            leaf -= 1
            answers.append(leaf)
            continue
        question -= 1
        column, key = questions[question]
        left, right, mask = answers.pop(), answers.pop(), (columns[column] > key).view(np.uint8)
        if isinstance(left, int) and isinstance(right, int):
            mask += np.uint8(left)
            answers.append(mask)
            continue
        np.negative(mask, out=mask)
        difference = np.bitwise_xor(left, right, dtype=np.uint8)
        difference &= mask
        difference ^= np.uint8(left) if isinstance(left, int) else left
        answers.append(difference)
    return answers[0] if isinstance(answers[0], np.ndarray) else np.zeros(columns.shape[1], dtype=np.uint8)


def _checked_right(a: Attributes, start: Array, is_inner: Array, offsets: Array) -> Array:
    """Right children as node numbers, after proving that every tree is one tree in preorder.

    With +1 for an inner node and -1 for a leaf, the running sum `level` first falls to -(t + 1) at the last node of tree t,
    and the left subtree of i ends at the first node after i whose level is level[i] - 1, which is a leaf. The offsets are
    right exactly if each points behind a leaf of that level, later than i + 1, within its tree, and no two are equal.
    """
    nodes = len(is_inner)
    level = np.cumsum(np.where(is_inner, 1, -1))
    lowest = np.minimum.accumulate(np.minimum(level, 0))
    tree_ends = np.flatnonzero(np.diff(lowest, prepend=0) < 0)
    if not np.array_equal(tree_ends + 1, np.append(start[1:], nodes)):
        raise a.refuse("has nodes that do not form one tree in preorder between two starts")
    inner = np.flatnonzero(is_inner)
    tree = np.searchsorted(start, inner, side="right") - 1
    size = np.append(start[1:], nodes)[tree] - start[tree]
    if not ((inner - start[tree] + 1 < offsets) & (offsets < size)).all():
        raise a.refuse("has a right child that is not behind its left child inside the tree")
    right = start[tree] + offsets
    seen = np.zeros(nodes, dtype=bool)
    seen[right] = True
    if np.count_nonzero(seen) != len(right) or is_inner[right - 1].any() or (level[right - 1] != level[inner] - 1).any():
        raise a.refuse("has a right child that is not the node behind its left subtree (nodes are in preorder)")
    return right


def _read_sets(a: Attributes, count: int) -> tuple[Array, list[Array]]:
    """(category of every inner node, the category sets)."""
    if not a.has("category"):
        if a.has("set") or a.has("set_start"):
            raise a.refuse("has category sets but no category")
        return np.full(count, -1), []
    category, begins, members = a.integers("category", count), a.integers("set_start", None), a.integers("set", None)
    bounds = np.append(begins, len(members))
    if (
        (len(begins) and begins[0] != 0)
        or (bounds < 0).any()
        or (np.diff(bounds) < 0).any()
        or (len(members) and not len(begins))
    ):
        raise a.refuse("has set_start that does not cut set into sets")
    if not ((category >= -1) & (category < len(begins))).all():
        raise a.refuse(f"has a category outside -1..{len(begins) - 1}")
    sets = np.split(members, begins[1:])[: len(begins)]
    if (members < 0).any() or not all((members[:-1] < members[1:]).all() for members in sets):
        raise a.refuse("has a category set that does not ascend from 0 or more")
    return category, sets


def _membership(sets: list[Array]) -> Callable[[int, Array], Array]:
    """(set, codes) -> whether each code is in the set; by a table when the members are small."""
    largest = max((int(members[-1]) for members in sets if len(members)), default=-1)
    if len(sets) * (largest + 2) > 2**24:
        return lambda s, codes: np.isin(codes, sets[s])
    table = np.zeros((len(sets), largest + 2), dtype=bool)  # the last column is for all other codes
    for s, members in enumerate(sets):
        table[s, members] = True
    return lambda s, codes: table[s].take(np.where((codes < 0) | (codes > largest), largest + 1, codes))


def _category_codes(x: Array) -> Array:
    """Integers as they are, everything else as -1."""
    whole = (x == np.floor(x)) & (x >= 0) & (x < 2.0**63)
    return np.where(whole, x, -1.0).astype(np.int64)


def _add_in_order(total: Array, terms: Array) -> Array:
    """total (...) plus terms (k, ...), one after the other."""
    return np.add.accumulate(np.concatenate([total[None], terms]), axis=0)[-1]


def _sortable(x: Array) -> Array:
    """Keys that order f32 numbers as their values do; -0.0 and 0.0 have the same key."""
    bits = x.view(np.int32).astype(np.int64)
    return np.where(bits < 0, _LOW - bits, bits)


# ==== Model ===========================================================================================================

_MISSING = {"f64": ("error", "nan"), "f32": ("error", "nan"), "str": ("error", "null"), "i64": ("error",), "bool": ("error",)}
_ROLES = ("prediction", "probability", "score", "transform", "cluster", "anomaly")
_BLOCK_ELEMENTS = 2**22
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
    return sorted({**OPS, **_more_ops()})


def _more_ops() -> dict[str, Op]:
    """The ops of modelport_stub_nn.py and modelport_stub_more.py, of those that lie beside this file."""
    table: dict[str, Op] = {}
    for file in ("modelport_stub_nn", "modelport_stub_more"):
        name = f"{__package__}.{file}" if __package__ else file
        try:
            table |= importlib.import_module(name).OPS
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    return table


def _ops_for(requires: Sequence[str]) -> dict[str, Op]:
    """The entries of all ops that a document requires; the other files are imported when this one lacks some of them."""
    if len(set(requires)) != len(requires):
        raise Refused("requires lists an op twice")
    table = OPS if OPS.keys() >= set(requires) else {**OPS, **_more_ops()}
    unknown = [name for name in requires if name not in table]
    if unknown:
        raise Unsupported(f"the document requires ops that are not implemented here: {', '.join(map(_show, unknown))}")
    return {name: table[name] for name in requires}


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

    All steps are checked for given lengths, and so once more when rows of other lengths come; what was decoded stays.
    The document is a parsed one; `size` is the number of its bytes.
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

    def predict(self, rows: Any) -> dict[str, Array]:
        """The outputs for rows: a mapping (or data frame) of columns, a list of records, or the array of a single input."""
        return self._run(*_as_inputs(rows, self.inputs, self.lengths))

    def _run(self, values: dict[str, Array], lengths: Lengths) -> dict[str, Array]:
        plan, n = self.plan(lengths), len(values[self.inputs[0].name])
        _refuse_missing(values, self.inputs)
        parts = [
            _run_block(plan, {name: x[at : at + plan.block] for name, x in values.items()})
            for at in range(0, max(n, 1), plan.block)
        ]
        return {name: np.concatenate([part[name] for part in parts]) if len(parts) > 1 else parts[0][name] for name in parts[0]}

    def verify(self, vectors: Any = None) -> list[Checked]:
        """Replays the carried vectors, or those of a parsed `verification` object."""
        chosen = self.vectors if vectors is None else _Vectors(vectors, self, DEFAULT_LIMITS, None)
        if chosen is None:
            raise Refused("there are no vectors to verify with")
        found: dict[str, list[Checked]] = {output.name: [] for output in self.outputs}
        for rows in chosen.sets:
            got = self._run(dict(rows.inputs), rows.lengths)
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


def _run_block(plan: Plan, values: dict[str, Array]) -> dict[str, Array]:
    n = len(next(iter(values.values())))
    with np.errstate(all="ignore"):
        for step in plan.steps:
            values[step.writes] = step.run(*(values[name] for name in step.reads)) if step.reads else step.run(n)
            for name in step.done:
                del values[name]
    return {output.name: values[output.source] for output in plan.outputs}


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


class _First(NamedTuple):
    """What the check of a step gave for the first lengths."""

    kinds: list[Kind]
    kind: Kind
    run: Run
    elements: int
    multiplications: int
    strings: int


class _Planner:
    """Checks the steps of a document for given lengths."""

    def __init__(self, fields: dict[str, Any], table: dict[str, Op], inputs: tuple[Input, ...], limits: Limits) -> None:
        if not isinstance(fields["steps"], list):
            raise Refused("steps must be a list")
        if len(fields["steps"]) > limits.steps:
            raise Refused(f"the document has {len(fields['steps'])} steps, more than the {limits.steps} allowed")
        self._steps, self._outputs, self._table, self._inputs, self._limits = (
            fields["steps"],
            fields["outputs"],
            table,
            inputs,
            limits,
        )
        self._kept: list[dict[Any, Any]] = [{} for _ in self._steps]  # by step: what was decoded
        self._first: list[_First | None] = [None] * len(self._steps)

    def plan(self, lengths: Lengths) -> Plan:
        """The steps ready to run, and the kind of every value."""
        kinds = {i.name: i.kind(lengths) for i in self._inputs}
        for name, kind in kinds.items():
            if kind.counted > self._limits.value_width:
                raise Refused(
                    f"input {_show(name)} has {kind.counted} elements per row, more than the {self._limits.value_width} allowed"
                )
        total, steps, last = sum(kind.counted for kind in kinds.values()), [], dict.fromkeys(kinds, -1)
        budget = Budget(self._limits)
        for k, item in enumerate(self._steps):
            step, kind = self._read_step(item, k, kinds, budget)
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
        block, operations = max(1, _BLOCK_ELEMENTS // max(1, total)), budget.multiplications + budget.moved
        return Plan(dict(lengths), kinds, ready, outputs, block, operations, budget.strings, budget.longest)

    def _read_step(self, value: Any, k: int, kinds: dict[str, Kind], budget: Budget) -> tuple[Step, Kind]:
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
        kind, run = self._check(k, entry, where, [kinds[read] for read in reads], budget)
        touched = [*(kinds[read] for read in reads), kind]
        budget.moved += _MOVED * sum(one.counted for one in touched)
        budget.strings += sum(one.counted for one in touched if one.dtype == "str")
        if len(kind.shape) > self._limits.rank:
            raise Refused(f"{where} gives rows of rank {len(kind.shape)}, more than the {self._limits.rank} allowed")
        if kind.counted > self._limits.value_width:
            raise Refused(f"{where} gives {kind.counted} elements per row, more than the {self._limits.value_width} allowed")
        return Step(run, tuple(reads), writes, ()), kind

    def _check(self, k: int, entry: Op, where: str, kinds: list[Kind], budget: Budget) -> tuple[Kind, Run]:
        """The check of a step; what a step gave for the first lengths stays good as long as it reads the same kinds."""
        first = self._first[k]
        if first is not None and first.kinds == kinds:
            budget.spend(where, first.elements, first.multiplications)
            budget.strings += first.strings
            return first.kind, first.run
        before = budget.elements, budget.multiplications
        attributes = Attributes(self._steps[k], where, self._limits, budget, self._kept[k])
        kind, run = entry.check(attributes, *kinds)
        attributes.finish()
        budget.strings += attributes.strings
        if first is None:
            spent = budget.elements - before[0], budget.multiplications - before[1], attributes.strings
            self._first[k] = _First(kinds, kind, run, *spent)
        return kind, run


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
) -> tuple[dict[str, Array], Lengths]:
    """Input tensors, and the named lengths of their rows."""
    sizes = _Sizes()
    arrays = _read_rows(value, {i.name: (i.dtype, i.shape) for i in inputs}, "input", sizes, limits)
    lengths = sizes.all(examples)
    for i in inputs:
        if arrays[i.name].shape == (0,):
            arrays[i.name] = arrays[i.name].reshape(0, *i.kind(lengths).shape)
    return arrays, lengths


def _read_rows(
    value: Any, declared: Mapping[str, tuple[str, tuple[int | str, ...]]], what: str, sizes: _Sizes, limits: Limits
) -> dict[str, Array]:
    """Tensors with the batch axis first, one per name; all have the same number of rows."""
    if not isinstance(value, dict):
        raise Refused(f"the {what}s must be an object of tensors")
    _compare_names(value, declared, what)
    arrays = {}
    for name, (dtype, shape) in declared.items():
        where = f"{what} {_show(name)}"
        _, array = parse_tensor(value[name], where, (dtype,), (1 + len(shape), 1), limits)
        if value[name] != [] and not sizes.fit(shape, array.shape[1:]):
            raise Refused(f"{where} has rows of shape {list(array.shape[1:])}; they must have shape {sizes.wanted(shape)}")
        arrays[name] = array
    if len({len(array) for array in arrays.values()}) > 1:
        raise Refused(f"the {what}s have different numbers of rows")
    return arrays


def _compare_names(given: Iterable[str], wanted: Iterable[str], what: str) -> None:
    given, wanted = set(given), set(wanted)
    if wanted - given:
        raise Refused(f"the {what} {_show(min(wanted - given))} is missing")
    if given - wanted:
        raise Refused(f"there is no {what} {_show(min(given - wanted, key=str))}")


def _as_inputs(rows: Any, inputs: tuple[Input, ...], examples: Lengths) -> tuple[dict[str, Array], Lengths]:
    """User data as one array per input, each (n, *row shape) and of the declared dtype, and the named lengths of the rows."""
    if isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Mapping):
        names = list(rows[0])
        if any(set(record) != set(names) for record in rows):
            raise Refused("the records have different keys")
        rows = {name: [record[name] for record in rows] for name in names}
    elif not isinstance(rows, Mapping) and not hasattr(rows, "columns"):
        if len(inputs) != 1:
            raise Refused(f"the model has {len(inputs)} inputs; give their columns by name")
        rows = {inputs[0].name: rows}
    given = set(rows.keys() if isinstance(rows, Mapping) else rows.columns)
    by_feature = {i.name for i in inputs if i.name not in given and i.features is not None}
    wanted = {name for i in inputs for name in ((i.features or ()) if i.name in by_feature else (i.name,))}
    _compare_names(given, wanted, "input")
    sizes = _Sizes()
    arrays = {
        i.name: _stack([rows[f] for f in i.features or ()], i) if i.name in by_feature else _coerce(rows[i.name], i, sizes)
        for i in inputs
    }
    if len({len(array) for array in arrays.values()}) > 1:
        raise Refused("the inputs have different numbers of rows")
    return arrays, sizes.all(examples)


def _stack(columns: list[Any], i: Input) -> Array:
    """A matrix fed by column name."""
    scalar = i._replace(shape=())
    parts = [_coerce(column, scalar._replace(name=name), _Sizes()) for name, column in zip(i.features or (), columns)]
    if len({len(part) for part in parts}) > 1:
        raise Refused(f"the columns of input {_show(i.name)} have different numbers of rows")
    return np.stack(parts, axis=1)


def _coerce(value: Any, i: Input, sizes: _Sizes) -> Array:
    """An array-like as (n, *row shape) in the declared dtype; a column may stand for rows of width 1."""
    try:
        array = np.asarray(value, dtype=object if i.dtype == "str" else None)
    except ValueError:
        raise Refused(f"input {_show(i.name)} is ragged") from None
    if array.ndim == 1 and i.shape == (1,):
        array = array[:, None]
    if not array.ndim or not sizes.fit(i.shape, array.shape[1:]):
        raise Refused(f"input {_show(i.name)} has shape {list(array.shape)}; it must be rows of shape {sizes.wanted(i.shape)}")
    if array.dtype == object and i.dtype != "str":
        missing = _is_null(array) if i.dtype in FLOATS else np.zeros(array.shape, dtype=bool)
        array = np.array(np.where(missing, math.nan, array).tolist(), dtype=None if array.size else DTYPES[i.dtype])
        array = array.reshape(missing.shape)
    return _texts_of(array, i) if i.dtype == "str" else _numbers_of(array, i)


def _numbers_of(array: Array, i: Input) -> Array:
    accepted = {"f64": "fiub", "f32": "fiub", "i64": "iu", "bool": "b"}[i.dtype]
    if array.dtype.kind not in accepted and array.size:
        raise Refused(f"input {_show(i.name)} holds values of type {array.dtype}, but its dtype is {i.dtype}")
    if array.dtype.kind == "u" and i.dtype == "i64" and array.size and int(array.max()) > 2**63 - 1:
        raise Refused(f"input {_show(i.name)} holds an integer beyond i64")
    with np.errstate(over="ignore"):
        return array.astype(DTYPES[i.dtype], copy=False)


def _texts_of(array: Array, i: Input) -> Array:
    """Strings, with None where a data frame has None or NaN."""
    result = np.empty(array.shape, dtype=object)
    for at, item in np.ndenumerate(array):
        if isinstance(item, str):
            result[at] = str(item)
        elif item is not None and item == item:
            raise Refused(f"input {_show(i.name)} holds {_show(item)}, but its dtype is str")
    return result


def _refuse_missing(values: dict[str, Array], inputs: tuple[Input, ...]) -> None:
    for i in inputs:
        if i.missing == "error" and i.dtype in ("f64", "f32", "str"):
            x = values[i.name]
            bad = _is_null(x) if i.dtype == "str" else np.isnan(x)
            if bad.any():
                row = int(np.argwhere(bad)[0][0])
                raise Refused(f"row {row} of input {_show(i.name)} is missing (null or NaN), which the model does not accept")


# -- verification ------------------------------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """A set of rows with the answers of the original model."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]
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
        for array in (*rows.inputs.values(), *rows.outputs.values()):
            longest = _longest(array.ravel().tolist(), longest) if array.dtype == object else longest
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
    counts = {len(array) for array in (*inputs.values(), *outputs.values())}
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


def _compare(output: Output, got: Array, expected: Array, tolerance: _Tolerance) -> Checked:
    """Section 10; a comparison that involves an unexpected NaN is false and so fails."""
    if output.kind.dtype in FLOATS:
        with np.errstate(all="ignore"):
            good = _close(got, expected, tolerance)
    else:
        good = np.equal(got, expected).astype(bool)
    bad = np.argwhere(~good)
    problem = None
    if len(bad):
        at = tuple(int(i) for i in bad[0])
        place = f", at {list(at[1:])}" if len(at) > 2 else f", column {at[1]}" if len(at) > 1 else ""
        problem = (
            f"output {_show(output.name)} is {_show(got[at])} in row {at[0]}{place}, "
            f"but the original model answered {_show(expected[at])} ({len(bad)} of {good.size} values differ)"
        )
    return Checked(output.name, len(expected), str(tolerance), problem)


def _close(got: Array, expected: Array, tolerance: _Tolerance) -> Array:
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    finite = np.isfinite(got) & np.isfinite(expected)
    if tolerance.ulp is not None:
        distance = np.abs(_ordinal(got) - _ordinal(expected))
        return same | (finite & (distance <= tolerance.ulp))
    a, b = got.astype(np.float64), expected.astype(np.float64)
    return same | (finite & (np.abs(a - b) <= tolerance.atol + tolerance.rtol * np.abs(b)))


def _ordinal(x: Array) -> Array:
    """Consecutive floats have consecutive ordinals, as unbounded integers."""
    bits = x.view(np.int32 if x.dtype.itemsize == 4 else np.int64).astype(object)
    lowest = -(2 ** (8 * x.dtype.itemsize - 1))
    return np.where(bits < 0, lowest - bits, bits)
