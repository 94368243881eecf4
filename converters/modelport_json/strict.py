"""A strict JSON parser on top of the standard library's: what other languages read differently is refused."""

from __future__ import annotations

import json
import re
from typing import Any

from modelport.errors import ArtifactError
from modelport.graph import LIMITS, Limits

_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(data: bytes, limits: Limits = LIMITS) -> Any:
    """Parse UTF-8 JSON bytes; ArtifactError for anything that is not plain JSON, for duplicate keys and for deep nesting."""
    if len(data) > limits.document_bytes:
        raise ArtifactError(f"The document has {len(data)} bytes, more than the limit of {limits.document_bytes}.")
    if not data.strip():
        raise ArtifactError("The document is empty.")
    if data.startswith(b"\xef\xbb\xbf"):
        raise ArtifactError("The document begins with a byte-order mark: save it as UTF-8 without one.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"The document is not UTF-8: byte {error.start} cannot be read.") from None
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
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


def _constant(token: str) -> Any:
    raise ArtifactError(f"The document holds the bare token {token}: write it as a string.")


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, (dict, list)):
        return
    if left == 0:
        raise ArtifactError("The document is nested deeper than 16 levels.")
    children = value.values() if isinstance(value, dict) else value
    kinds = set(map(type, children))
    if float in kinds and any(abs(v) == float("inf") for v in children if type(v) is float):
        raise ArtifactError("The document holds a number that overflows.")
    if kinds & {dict, list}:
        for child in children:
            _check_depth(child, left - 1)
