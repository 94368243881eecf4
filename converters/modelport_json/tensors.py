"""Tensors between NumPy and JSON (docs/format.md, section 2): decimal, exact; base64; quantized; sparse."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelport.errors import ArtifactError
from modelport.graph import DTYPES, FLOATS, INTEGERS, LIMITS
from modelport.ops.base import NON_FINITE, dtype_name

from .strict import LongText

Array = NDArray[Any]
_PADDING = re.compile(rb"=")

#: integers beyond it are not exact in every language's JSON numbers
SAFE = 2**53 - 1
#: tensors of up to so many elements are written in decimal, larger ones in base64
DECIMAL_ELEMENTS = 4096


# --- writing ------------------------------------------------------------------------------------------------------------------


def encode(array: Array | Packed, default: str | None = None, decimal: int = DECIMAL_ELEMENTS) -> str:
    """A tensor as JSON text.

    `default` is the dtype a bare array would be read as; a tensor of that dtype and of rank 1 or 2 is written bare. Tensors of
    more than `decimal` elements are written in base64.

    >>> encode(np.array([1.0, -0.0, np.nan]), "f64")
    '[1,-0.0,"NaN"]'
    >>> encode(np.array([0.1], dtype=np.float32))
    '{"dtype":"f32","shape":[1],"data":[0.1]}'
    """
    return "".join(piece if isinstance(piece, str) else piece.decode("ascii") for piece in pieces(array, default, decimal))


def pieces(array: Array | Packed, default: str | None = None, decimal: int = DECIMAL_ELEMENTS) -> list[str | bytes]:
    """As `encode`, in pieces: base64 text as bytes, not copied once more."""
    if isinstance(array, Packed):
        return array.pieces()
    dtype = dtype_name(array)
    plain = dtype == default or (default == "int" and dtype in INTEGERS)
    if dtype == "str" or array.size <= decimal:
        if plain and array.ndim == 1:
            return [f"[{_elements(array, dtype)}]"]
        if plain and array.ndim == 2 and array.size:
            return [f"[{','.join(f'[{_elements(row, dtype)}]' for row in array)}]"]
        return [f'{{"dtype":"{dtype}","shape":{_shape(array)},"data":[{_elements(array.ravel(), dtype)}]}}']
    return [f'{{"dtype":"{dtype}","shape":{_shape(array)},"enc":"b64","data":"', _base64(array), '"}']


def _base64(array: Array) -> bytes:
    """The little-endian bytes of an array in base64."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return binascii.b2a_base64(little.reshape(-1).view(np.uint8), newline=False)


@dataclass(frozen=True)
class Packed:
    """How a float tensor is to be written: quantized where it has a scale, and only in part where it has a mask.

    `values` has the tensor's shape: its elements, or with `scale` (one number per index of the first axis, or one for all; in the
    dtype `dtype` of the tensor) the integers of one byte that are multiplied with it. `mask`, of the same shape, says which
    elements are written; the others are 0.

    >>> packed = Packed(np.array([[127, -1]], dtype=np.int8), np.array([0.5]), "f64")
    >>> packed.elements().tolist()
    [[63.5, -0.5]]
    >>> encode(packed)
    '{"dtype":"f64","shape":[1,2],"enc":"i8","scale":[0.5],"data":"f/8="}'
    """

    values: Array
    scale: Array | None = None
    dtype: str = "f32"
    mask: Array | None = None

    def elements(self) -> Array:
        """The tensor that a reader gets."""
        values = self.values if self.scale is None else dequantized(self.values, self.scale, self.dtype)
        return values if self.mask is None else np.where(self.mask, values, 0).astype(values.dtype)

    def pieces(self) -> list[str | bytes]:
        """As `pieces` of an array."""
        enc = "b64" if self.scale is None else "i8"
        head = f'{{"dtype":"{self.dtype}","shape":{_shape(self.values)},"enc":"{enc}"'
        if self.scale is not None:
            head += f',"scale":[{_elements(self.scale.astype(DTYPES[self.dtype]), self.dtype)}]'
        if self.mask is None:
            return [f'{head},"data":"', _base64(self.values), '"}']
        mask = _base64(np.packbits(self.mask.reshape(-1), bitorder="little"))
        return [f'{head},"mask":"', mask, '","data":"', _base64(self.values[self.mask]), '"}']


def dequantized(codes: Array, scale: Array, dtype: str) -> Array:
    """codes * scale in the dtype, scale going along the first axis; a product of so few digits is rounded once in f32 too."""
    held = scale.astype(DTYPES[dtype])
    beside = held.reshape(-1, *[1] * (codes.ndim - 1)) if codes.ndim else held.reshape(())
    with np.errstate(over="ignore"):
        return np.asarray(codes.astype(DTYPES[dtype]) * beside)


def _shape(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _elements(flat: Array, dtype: str) -> str:
    values = flat.tolist()
    if dtype == "f64":
        return ",".join(map(number, values))
    if dtype == "f32":
        return ",".join(map(_number32, flat))
    if dtype in INTEGERS:
        return ",".join(str(v) if -(2**53) < v < 2**53 else f'"{v}"' for v in values)
    return ",".join(json.dumps(v, ensure_ascii=False) for v in values)


def number(value: float) -> str:
    """A float as the shortest decimal that round-trips, or a string for NaN and infinities.

    >>> number(3.0), number(-0.0), number(1e22), number(float("-inf"))
    ('3', '-0.0', '1e+22', '"-Infinity"')
    """
    if value != value:
        return '"NaN"'
    if value in (np.inf, -np.inf):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    text = repr(float(value))
    return text[:-2] if text.endswith(".0") and text != "-0.0" else text


def _number32(value: np.float32) -> str:
    if not np.isfinite(value):
        return number(float(value))
    text = str(value)
    # A shortest f32 decimal is read as f64 and then rounded; where the two roundings disagree, the f64 decimal is exact.
    if np.float32(float(text)) != value:
        return number(float(value))
    return text[:-2] if text.endswith(".0") and text != "-0.0" else text


# --- reading ------------------------------------------------------------------------------------------------------------------


def decode(value: Any, default: str | None, where: str) -> Array:
    """A tensor from parsed JSON; `default` is the dtype of a bare array (None: f64, or str when its elements are strings).

    Raises ArtifactError with a sentence that begins with `where`.
    """
    if isinstance(value, dict):
        return _decode_object(value, where)
    if not isinstance(value, list):
        raise ArtifactError(f"{where} is {_short(value)}; a tensor is an array or an object.")
    if value and isinstance(value[0], list):
        width = len(value[0])
        if not all(isinstance(row, list) and len(row) == width for row in value):
            raise ArtifactError(f"{where} has rows of different lengths.")
        flat = [element for row in value for element in row]
        return _decode_elements(flat, default or _guess(flat), where).reshape(len(value), width)
    return _decode_elements(value, default or _guess(value), where)


def _guess(flat: list[Any]) -> str:
    strings = any((isinstance(v, str) and v not in NON_FINITE) or v is None for v in flat)
    return "str" if strings or (flat and all(isinstance(v, str) for v in flat)) else "f64"


def _decode_object(value: dict[str, Any], where: str) -> Array:
    extra = sorted(value.keys() - {"dtype", "shape", "data", "enc", "scale", "mask"})
    if extra or not {"dtype", "shape", "data"} <= value.keys():
        raise ArtifactError(
            f"{where} is an object with the keys {sorted(value)}; a tensor has dtype, shape, data, perhaps enc, scale and mask."
        )
    dtype, shape, data = value["dtype"], value["shape"], value["data"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ArtifactError(f"{where} has the unknown dtype {_short(dtype)}.")
    size = _size(shape, where)
    if "enc" not in value:
        if "scale" in value or "mask" in value:
            raise ArtifactError(f"{where} has a scale or a mask, but no enc, which they go with.")
        if not isinstance(data, list) or len(data) != size:
            raise ArtifactError(f"{where} has the shape {shape}, so its data is an array of {size} elements; it is not.")
        return _decode_elements(data, dtype, where).reshape(shape)
    enc = value["enc"]
    if enc not in ("b64", "i8") or dtype == "str" or not isinstance(data, (str, LongText)):
        raise ArtifactError(f"{where} has enc={_short(enc)}; only 'b64' and 'i8' with a string of numbers are known.")
    if (enc == "i8") != ("scale" in value):
        raise ArtifactError(f"{where} has enc={_short(enc)}: a scale goes with 'i8' and only with it.")
    if enc == "i8" and dtype not in FLOATS:
        raise ArtifactError(f"{where} is {dtype} in enc 'i8', which holds f32 and f64 only.")
    scale = _scale(value["scale"], dtype, shape, where) if enc == "i8" else None
    mask = _mask(value["mask"], dtype, size, where) if "mask" in value else None
    held = np.dtype(np.int8) if enc == "i8" else DTYPES[dtype].newbyteorder("<")
    written = size if mask is None else int(np.count_nonzero(mask))
    raw = _bytes(data, written * held.itemsize, f"{where} has the shape {shape}", where)
    if dtype == "bool" and raw.strip(b"\x00\x01"):
        raise ArtifactError(f"{where} holds a bool that is neither 0 nor 1.")
    values = np.frombuffer(raw, dtype=held)
    if mask is not None:
        whole = np.zeros(size, dtype=held)
        whole[mask] = values
        values = whole
    values = values.reshape(shape)
    return values.astype(DTYPES[dtype], copy=False) if scale is None else dequantized(values, scale, dtype)


def _bytes(text: str | LongText, count: int, what: str, where: str) -> bytes:
    """So many bytes from base64."""
    if len(text) != -(-count // 3) * 4:
        raise ArtifactError(f"{what}, but its base64 text has another length.")
    try:
        raw = base64.b64decode(text, validate=True) if isinstance(text, str) else _unpacked(text.view)
    except (binascii.Error, ValueError):
        raise ArtifactError(f"{where} is not valid base64.") from None
    if len(raw) != count:
        raise ArtifactError(f"{what}, but holds {len(raw)} bytes.")
    return raw


def _scale(value: Any, dtype: str, shape: list[int], where: str) -> Array:
    """The factors of a quantized tensor: one per index of the first axis, or one for all."""
    if not isinstance(value, list) or any(isinstance(v, (str, list)) for v in value):
        raise ArtifactError(f"{where} has the scale {_short(value)}; it is an array of numbers.")
    if len(value) != 1 and len(value) != (shape[0] if shape else 1):
        raise ArtifactError(f"{where} has {len(value)} numbers in its scale; one is needed, or one per index of the first axis.")
    scale = _decode_elements(value, dtype, f"The scale of {where[0].lower()}{where[1:]}")
    if not bool((scale > 0).all()):
        raise ArtifactError(f"{where} has a scale that is not positive in {dtype}.")
    return scale


def _mask(value: Any, dtype: str, size: int, where: str) -> Array:
    """Which elements of a sparse tensor are written."""
    if dtype == "bool" or not isinstance(value, str):
        raise ArtifactError(f"{where} has a mask that is no base64 string, or one for bool, which has none.")
    raw = _bytes(value, -(-size // 8), f"{where} has {size} elements and a mask", f"The mask of {where[0].lower()}{where[1:]}")
    if size % 8 and raw[-1] >> size % 8:
        raise ArtifactError(f"{where} has a mask with bits beyond the last element.")
    return np.unpackbits(np.frombuffer(raw, dtype=np.uint8), count=size, bitorder="little").view(bool)


def _unpacked(view: memoryview) -> bytes:
    """The bytes of base64 characters, with padding at the end only."""
    last = bytes(view[-4:])
    if last.rstrip(b"=") + b"=" * last.count(b"=") != last or last.count(b"=") > 2 or _PADDING.search(view[:-4]):
        raise binascii.Error("padding inside")
    return binascii.a2b_base64(view)


def _size(shape: Any, where: str) -> int:
    good = isinstance(shape, list) and all(isinstance(k, int) and not isinstance(k, bool) and k >= 0 for k in shape)
    if not good or len(shape) > LIMITS.rank:
        raise ArtifactError(
            f"{where} has the shape {_short(shape)}; it is a list of at most {LIMITS.rank} non-negative integers."
        )
    size = 1
    for k in shape:
        size *= k
    if size > LIMITS.tensor_elements:
        raise ArtifactError(f"{where} has {size} elements, more than the limit of {LIMITS.tensor_elements}.")
    return size


def _decode_elements(flat: list[Any], dtype: str, where: str) -> Array:
    kinds = set(map(type, flat))
    if dtype == "str":
        if kinds - {str, type(None)}:
            raise ArtifactError(f"{where} holds an element that is neither a string nor null.")
        array = np.empty(len(flat), dtype=object)
        array[:] = flat
        return array
    if dtype == "bool":
        if kinds - {bool}:
            raise ArtifactError(f"{where} holds an element that is neither true nor false.")
        return np.array(flat, dtype=bool)
    if dtype in FLOATS:
        return _floats(flat, kinds, dtype, where)
    return _integers(flat, kinds, dtype, where)


def _floats(flat: list[Any], kinds: set[type], dtype: str, where: str) -> Array:
    if kinds - {int, float, str}:
        raise ArtifactError(f"{where} holds an element that is no number.")
    special = np.zeros(len(flat), dtype=bool)
    if str in kinds:
        special = np.array([isinstance(v, str) for v in flat])
        wrong = next((v for v in flat if isinstance(v, str) and v not in NON_FINITE), None)
        if wrong is not None:
            raise ArtifactError(
                f"{where} holds the string {_short(wrong)}; only NaN, Infinity and -Infinity are numbers in quotes."
            )
        flat = [NON_FINITE[v] if isinstance(v, str) else v for v in flat]
    try:
        array = np.array(flat, dtype=np.float64)
    except OverflowError:
        raise ArtifactError(f"{where} holds a number that overflows.") from None
    with np.errstate(over="ignore"):
        array = array.astype(DTYPES[dtype])
    if (np.isinf(array) & ~special).any():
        raise ArtifactError(f"{where} holds a number that overflows {dtype}.")
    return array


def _integers(flat: list[Any], kinds: set[type], dtype: str, where: str) -> Array:
    if kinds - {int, str}:
        raise ArtifactError(f"{where} holds an element that is no integer.")
    beyond = f"{where} holds an integer beyond 2^53-1 as a number; it is written as a string of digits."
    bare = flat if str not in kinds else [v for v in flat if not isinstance(v, str)]
    try:
        array = np.array(bare, dtype=np.int64)
    except OverflowError:
        raise ArtifactError(beyond) from None
    if array.size and not (array.min() >= -SAFE and array.max() <= SAFE):
        raise ArtifactError(beyond)
    bounds = np.iinfo(DTYPES[dtype])
    if str in kinds:
        numbers = [integer(v, where) for v in flat]
        if not (bounds.min <= min(numbers) and max(numbers) <= bounds.max):
            raise ArtifactError(f"{where} holds an integer outside {dtype}.")
        return np.array(numbers, dtype=DTYPES[dtype])
    if array.size and not (bounds.min <= array.min() and array.max() <= bounds.max):
        raise ArtifactError(f"{where} holds an integer outside {dtype}.")
    return array.astype(DTYPES[dtype], copy=False)


def integer(value: Any, where: str) -> int:
    """An integer from a JSON number or, exactly when it is beyond 2^53-1, from a decimal string."""
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) <= 20 and digits[0] != "0" and int(digits) > SAFE:
            return int(value)
    elif isinstance(value, int) and not isinstance(value, bool) and -SAFE <= value <= SAFE:
        return value
    raise ArtifactError(f"{where} holds {_short(value)}, which is no integer.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
