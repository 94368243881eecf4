"""XML text: escaping, numbers, elements. Documents are built as strings, so that large forests are written as they are walked."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from modelport.errors import Unsupported

__all__ = ["NAMESPACE", "attribute", "element", "label", "lines", "number", "text"]

NAMESPACE = "http://www.dmg.org/PMML-4_4"
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ATTRIBUTE = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", 9: "&#9;", 10: "&#10;", 13: "&#13;"}
_TEXT = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", 13: "&#13;"}


def attribute(value: str) -> str:
    """A string as the inside of a double-quoted attribute; white space is kept.

    >>> attribute('a < "b"')
    'a &lt; &quot;b&quot;'
    """
    _check(value)
    return value.translate(_ATTRIBUTE)


def text(value: str) -> str:
    """A string as character data."""
    _check(value)
    return value.translate(_TEXT)


def _check(value: str) -> None:
    found = _ILLEGAL.search(value)
    if found:
        raise Unsupported(
            f"The string {value[:40]!r} holds the character {found.group()!r}, which XML cannot carry: rename it, or write JSON."
        )


def number(value: Any) -> str:
    """A finite float as the shortest decimal that round-trips.

    >>> number(0.1), number(-0.0), number(3)
    ('0.1', '-0.0', '3.0')
    """
    plain = float(value)
    if not math.isfinite(plain):
        raise Unsupported(f"The model holds the constant {plain}, and PMML constants are finite: write JSON or ONNX instead.")
    return repr(plain)


def label(value: Any) -> str:
    """A class label or constant as PMML spells it.

    >>> label(True), label(3), label("a"), label(1.5)
    ('true', '3', 'a', '1.5')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return number(value) if isinstance(value, float) else str(value)


def lines(parts: Sequence[str]) -> str:
    """Elements on lines of their own."""
    return "".join(f"\n{part}" for part in parts) + "\n" if parts else ""


def element(tag: str, /, *children: str, **attributes: Any) -> str:
    """An element; attributes that are None are left out, a trailing underscore (`from_`) is dropped.

    >>> element("Con", from_="0,1", weight=0.5)
    '<Con from="0,1" weight="0.5"/>'
    """
    pairs = "".join(f' {key.rstrip("_")}="{attribute(label(value))}"' for key, value in attributes.items() if value is not None)
    inside = "".join(children)
    return f"<{tag}{pairs}>{inside}</{tag}>" if inside else f"<{tag}{pairs}/>"
