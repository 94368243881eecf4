"""Universal Binary JSON as XGBoost writes it, read into plain objects."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["is_ubjson", "loads"]

#: marker -> dtype of a number, big-endian
NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
DEPTH = 32


def is_ubjson(data: bytes) -> bool:
    """Whether an object is binary: a key follows its length, and not a quotation mark.

    >>> is_ubjson(b'{"a": 1}'), is_ubjson(b"{U\\x01aU\\x01}")
    (False, True)
    """
    return data[:1] == b"{" and data[1:2] in NUMBERS


def loads(data: bytes) -> Any:
    """The object in the bytes; ValueError when they are damaged.

    >>> loads(b"{U\\x01a[U\\x01SU\\x02hiT]}")
    {'a': [1, 'hi', True]}
    """
    reader = _Reader(data)
    value = reader.value(reader.take(1), 0)
    if reader.at != len(data):
        raise ValueError(f"something follows the object at byte {reader.at}")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise ValueError(f"the file ends early, at byte {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def peek(self) -> bytes:
        return self.data[self.at : self.at + 1]

    def number(self, marker: bytes) -> Any:
        if marker not in NUMBERS:
            raise ValueError(f"byte {self.at} has no meaning")
        kind = np.dtype(NUMBERS[marker])
        return np.frombuffer(self.take(kind.itemsize), kind)[0].item()

    def length(self) -> int:
        count = self.number(self.take(1))
        if not isinstance(count, int) or count < 0:
            raise ValueError(f"a length before byte {self.at} is no natural number")
        return count

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8")

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > DEPTH:
            raise ValueError("it is nested too deeply")
        if marker == b"{":
            return self.object(depth)
        if marker == b"[":
            return self.array(depth)
        if marker == b"S":
            return self.text()
        if marker in (b"T", b"F", b"Z"):
            return {b"T": True, b"F": False, b"Z": None}[marker]
        return self.number(marker)

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.peek() != b"}":
            key = self.text()
            found[key] = self.value(self.take(1), depth + 1)
        self.take(1)
        return found

    def array(self, depth: int) -> list[Any]:
        if self.peek() == b"$":
            return self.typed()
        if self.peek() == b"#":
            self.take(1)
            return [self.value(self.take(1), depth + 1) for _ in range(min(self.length(), len(self.data)))]
        found = []
        while self.peek() != b"]":
            found.append(self.value(self.take(1), depth + 1))
        self.take(1)
        return found

    def typed(self) -> list[Any]:
        marker = self.take(2)[1:]
        if marker not in NUMBERS or self.take(1) != b"#":
            raise ValueError(f"byte {self.at} has no meaning")
        kind = np.dtype(NUMBERS[marker])
        return np.frombuffer(self.take(self.length() * kind.itemsize), kind).tolist()  # type: ignore[no-any-return]
