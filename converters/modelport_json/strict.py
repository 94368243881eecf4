"""A strict JSON parser on top of the standard library's: what other languages read differently is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from modelport.errors import ArtifactError
from modelport.graph import LIMITS, Limits

_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
#: the least integer that no 64-bit float is near to
_OVERFLOW = 2**1024 - 2**970
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


#: base64 texts of at least so many characters are left where they are
LONG = 1 << 16
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="


class LongText:
    """A long base64 string that was left in the document's bytes, so that it is not copied before it is decoded."""

    def __init__(self, view: memoryview) -> None:
        self.view = view

    def __len__(self) -> int:
        return len(self.view)


def parse(data: bytes, limits: Limits = LIMITS, *, long_texts: bool = False) -> Any:
    """Parse UTF-8 JSON bytes; ArtifactError for anything that is not plain JSON, for duplicate keys and for deep nesting.

    With long_texts, the `data` of a tensor in base64 may be a LongText.
    """
    _check_bytes(data, limits)
    short, views, marker = _without_long_texts(data) if long_texts else (data, [], "")
    try:
        return _parse(short, limits, views, marker)
    except ArtifactError:
        if not views:
            raise
        return _parse(data, limits, [], "")  # for a sentence with the right place


def _without_long_texts(data: bytes) -> tuple[bytes, list[memoryview], str]:
    """The document with a marker and a number in place of every long base64 string under a key "data"."""
    pieces: list[bytes] = []
    views: list[memoryview] = []
    marker = "long text "
    while marker.encode() in data:
        marker += "*"
    whole, begin, done = memoryview(data), data.find(_KEY), 0
    while begin >= 0:
        first = begin + len(_KEY)
        end = data.find(b'"', first)
        if end - first >= LONG and not data[first:end].translate(None, _BASE64):
            pieces += [data[done:first], f"{marker}{len(views)}".encode()]
            views.append(whole[first:end])
            done = end
        begin = data.find(_KEY, max(end, first))
    if not views:
        return data, [], ""
    return b"".join([*pieces, data[done:]]), views, marker


_KEY = b'"data":"'
_INFINITY = float("inf")


def _check_bytes(data: bytes, limits: Limits) -> None:
    if len(data) > limits.document_bytes:
        raise ArtifactError(f"The document has {len(data)} bytes, more than the limit of {limits.document_bytes}.")
    if not data.strip():
        raise ArtifactError("The document is empty.")
    if data.startswith(b"\xef\xbb\xbf"):
        raise ArtifactError("The document begins with a byte-order mark: save it as UTF-8 without one.")


def _parse(data: bytes, limits: Limits, views: list[memoryview], marker: str) -> Any:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"The document is not UTF-8: byte {error.start} cannot be read.") from None
    try:
        hook = _object if not views else _putting_back(views, marker)
        value = json.loads(text, object_pairs_hook=hook, parse_constant=_constant)
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise ArtifactError(f"The document is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise ArtifactError(f"The document is nested deeper than {limits.depth} levels.") from None
    except UnicodeEncodeError:
        raise ArtifactError("The document holds half of a surrogate pair, which is no character.") from None
    except ValueError as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError("The document holds a number with too many digits.") from None
    _check_depth(value, limits.depth)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs) or len({k.translate(_LOWER) for k in result}) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            lowered = key.translate(_LOWER)
            if lowered in seen:
                raise ArtifactError(f"The key {key!r} stands twice in one object (perhaps in other case).")
            seen.add(lowered)
    return result


def _putting_back(views: list[memoryview], marker: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """The hook that turns markers back: into a LongText in what looks like a tensor, elsewhere into the string itself."""

    def hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = _object(pairs)
        for key, value in pairs:
            if isinstance(value, str) and value.startswith(marker):
                view = views[int(value[len(marker) :])]
                tensor = key == "data" and result.keys() == {"dtype", "shape", "enc", "data"}
                result[key] = LongText(view) if tensor else str(view, "ascii")
        return result

    return hook


def _constant(token: str) -> Any:
    raise ArtifactError(f"The document holds the bare token {token}: write it as a string.")


def check_integers(value: Any) -> None:
    """Refuse an integer that overflows, wherever it stands; `parse` leaves those of lists to whoever reads these."""
    if isinstance(value, int) and abs(value) >= _OVERFLOW:
        raise ArtifactError("The document holds an integer that overflows.")
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        check_integers(child)


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, (dict, list)):
        return
    if left == 0:
        raise ArtifactError("The document is nested deeper than 16 levels.")
    children = value.values() if isinstance(value, dict) else value
    kinds = set(map(type, children))
    if float in kinds and (_INFINITY in children or -_INFINITY in children):
        raise ArtifactError("The document holds a number that overflows.")
    if int in kinds and isinstance(value, dict) and any(abs(v) >= _OVERFLOW for v in children if type(v) is int):
        raise ArtifactError("The document holds an integer that overflows.")
    if kinds & {dict, list}:
        for child in children:
            _check_depth(child, left - 1)
