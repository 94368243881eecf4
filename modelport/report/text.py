"""What strangers wrote, made fit to be shown: names and cells are cut, control characters are shown, markup is escaped."""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = [
    "Html",
    "apart",
    "cell",
    "count",
    "join",
    "number",
    "pair",
    "size",
    "span_of_time",
    "tag",
    "text",
    "tolerance",
    "visible",
    "whole",
]

#: characters of a name or a cell, and of a sentence, that are shown at most
LONGEST, SENTENCE = 120, 1200
#: elements that have no content, and so no end
VOID = ("meta", "col", "br")


class Html(str):
    """Text that is markup already, and is not escaped again."""

    __slots__ = ()


def visible(given: object, most: int = LONGEST) -> str:
    """A string as it may be printed: what cannot be seen is written as an escape, and what is too long is cut.

    >>> visible("a\\u202eb\\n"), visible("x" * 10_000, 4)
    ('a\\\\u202eb\\\\n', 'xxxx… (10,000 characters)')
    """
    said = str(given)
    cut = said if len(said) <= most else f"{said[:most]}…"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in cut)
    return shown if len(said) <= most else f"{shown} ({len(said):,} characters)"


def text(given: object, most: int = LONGEST) -> Html:
    """Any string as markup."""
    return given if isinstance(given, Html) else Html(html.escape(visible(given, most), quote=True))


def tag(kind: str, /, *content: object, **attributes: object) -> Html:
    """An element; content that is no Html is escaped, attributes always are. True is an attribute without a value, None is none.
    A name stands in a `bdi`, so that it does not turn the text around it.

    >>> tag("td", "<b>", tag("br"), class_="x", colspan=2, hidden=None)
    '<td class="x" colspan="2">&lt;b&gt;<br></td>'
    """
    said = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value, 600)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    inside = "".join(text(part, LONGEST if kind == "bdi" else SENTENCE) for part in content)
    return Html(f"<{kind}{said}>" if kind in VOID else f"<{kind}{said}>{inside}</{kind}>")


def join(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after the other, each escaped where it is not markup."""
    return Html(between.join(text(part, SENTENCE) for part in parts))


def count(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def number(value: float | None) -> str:
    """A difference, in three digits.

    >>> number(0.0), number(2.22e-16), number(0.25), number(None)
    ('0', '2.22e-16', '0.25', 'no number')
    """
    return "no number" if value is None or not math.isfinite(value) else f"{value:.3g}"


def tolerance(said: Any) -> str:
    """A tolerance, as OutputReport has it, in words.

    >>> tolerance("exact"), tolerance({"atol": 1e-12, "rtol": 0.0}), tolerance({"ulp": 2})
    ('no difference', '1e-12', '2 units in the last place')
    """
    if said == "exact":
        return "no difference"
    if "ulp" in said:
        return count(said["ulp"], "unit in the last place", "units in the last place")
    parts = [f"{said['atol']:.3g}"] if said["atol"] or not said["rtol"] else []
    return " + ".join([*parts, *([f"{said['rtol']:.3g} × |expected|"] if said["rtol"] else [])])


def size(n: int) -> str:
    """Bytes for a person.

    >>> size(312), size(83_190), size(5_000_000)
    ('312 B', '83.2 kB', '5 MB')
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if n >= factor:
            return f"{n / factor:.3g} {unit}"
    return f"{n} B"


def span_of_time(seconds: float | None) -> str:
    """Seconds for a person.

    >>> span_of_time(0.0000123), span_of_time(0.0123), span_of_time(2.5), span_of_time(None)
    ('12.3 µs', '12.3 ms', '2.5 s', '–')
    """
    if seconds is None:
        return "–"
    for unit, factor in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= factor:
            return f"{seconds / factor:,.3g} {unit}" if seconds < 1000 * factor else f"{seconds / factor:,.0f} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def whole(said: str) -> Html:
    """A number that is not broken at its minus."""
    return tag("span", said, class_="whole")


def apart(expected: str, got: str) -> tuple[Html, Html]:
    """Two shown numbers, the digits from the first difference on marked.

    >>> apart("0.25", "0.26")[1]
    '0.2<u>6</u>'
    """
    same = next((i for i, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b), min(len(expected), len(got)))
    if not same or len(expected) > LONGEST or len(got) > LONGEST or not all(s[:1] in "-0123456789" for s in (expected, got)):
        return text(expected, 300), text(got, 300)
    return tuple(join([s[:same], tag("u", s[same:])]) if s[same:] else text(s) for s in (expected, got))  # type: ignore[return-value]


def cell(value: Any) -> str:
    """One element of an input or output: numbers with every digit that counts, strings in quotes, a missing one as a word."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return f"“{visible(value, 80)}”"
    if isinstance(value, (float, np.floating)):
        return "NaN" if np.isnan(value) else str(value).replace("inf", "Infinity")
    return visible(value, 80)


def pair(expected: Any, got: Any) -> tuple[str, str]:
    """Two elements that differ, so that one can see it: strings that look alike are written in escapes.

    >>> pair("\\u00e9", "e\\u0301")
    ('“\\\\xe9”', '“e\\\\u0301”')
    """
    shown = cell(expected), cell(got)
    if isinstance(expected, str) and isinstance(got, str):
        alike = unicodedata.normalize("NFKC", expected).split() == unicodedata.normalize("NFKC", got).split()
        if alike or shown[0] == shown[1]:
            return tuple(f"“{visible(s.encode('unicode_escape', 'surrogatepass').decode('ascii'), 80)}”" for s in (expected, got))  # type: ignore[return-value]
    elif shown[0] == shown[1]:
        return f"{shown[0]} ({_kind(expected)})", f"{shown[1]} ({_kind(got)})"
    return shown


def _kind(value: Any) -> str:
    return str(getattr(value, "dtype", type(value).__name__))
