"""Where a document's bytes go, told without decoding them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.decoder import WHITESPACE

__all__ = ["members", "sizes"]


def members(text: str) -> Iterator[tuple[str, int]]:
    """(key, bytes of the value) for every member of a JSON object's text that was parsed before.

    >>> list(members('{"a": [1, 2], "b": "x"}'))
    [('a', 6), ('b', 3)]
    """
    decode = json.JSONDecoder(strict=False).raw_decode
    at = _past(text, text.index("{") + 1)
    while text[at] != "}":
        key, at = decode(text, at)
        start = _past(text, _past(text, at) + 1)
        _, end = decode(text, start)
        yield str(key), len(text[start:end].encode("utf-8", "surrogatepass"))
        at = _past(text, end)
        at = _past(text, at + 1) if text[at] == "," else at


def _past(text: str, at: int) -> int:
    match = WHITESPACE.match(text, at)
    return match.end() if match else at


def sizes(data: bytes) -> dict[str, int]:
    """Bytes of the steps with their weights ("model") and of the vectors, of a document that was read before."""
    found = dict(members(data.decode("utf-8-sig")))
    return {"model": found.get("steps", 0), "vectors": found.get("verification", 0)}
