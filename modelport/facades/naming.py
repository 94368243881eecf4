"""Identifiers from the names of columns, and such names in comments: what a stranger's name says, it never does."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping

__all__ = ["camel", "fill", "identifiers", "pascal", "shown", "snake", "wrapped"]

#: characters of an identifier, so that a number behind it fits into the 63 that C tells apart
LONGEST = 50

#: letters that are not letters with an accent
_LETTERS = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "Oe", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
    | {"þ": "th", "Þ": "Th", "ð": "d", "ı": "i", "µ": "u"}
)
_PLACE = re.compile(r"@(\w+)@")


def _words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name[: 4 * LONGEST].translate(_LETTERS))
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", "".join(c for c in plain if not unicodedata.combining(c)))
    words = [word.lower() for word in re.findall(r"[A-Za-z0-9]+", apart)] or ["column"]
    return ["n", *words] if words[0][0].isdigit() else words


def snake(name: str) -> str:
    """An identifier of lower case.

    >>> snake("Age (years)"), snake("blutdruck größe"), snake("2nd"), snake("µ=∞"), snake("身長"), snake("MedInc")
    ('age_years', 'blutdruck_grosse', 'n_2nd', 'u', 'column', 'med_inc')
    """
    return "_".join(_words(name))[:LONGEST].rstrip("_")


def camel(name: str) -> str:
    """An identifier of joined words.

    >>> camel("Age (years)"), camel("__proto__"), camel("body.mass")
    ('ageYears', 'proto', 'bodyMass')
    """
    first, *rest = _words(name)
    return (first + "".join(word.capitalize() for word in rest))[:LONGEST]


def pascal(name: str) -> str:
    """The name of a class.

    >>> pascal("churn-2024 v2"), pascal("2nd")
    ('Churn2024V2', 'N2nd')
    """
    return "".join(word.capitalize() for word in _words(name))[:LONGEST]


def identifiers(names: Iterable[str], style: str, reserved: Collection[str]) -> list[str]:
    """One identifier for each name, all different; `style` is "snake" or "camel", `reserved` are words of the language.

    >>> identifiers(["a b", "a.b", "class", "a_b_2"], "snake", {"class"})
    ['a_b', 'a_b_2', 'class_', 'a_b_2_2']
    """
    make = {"snake": snake, "camel": camel}[style]
    used: set[str] = set()
    again: dict[str, int] = {}
    found = []
    for name in names:
        base = make(name)
        base += "_" if base in reserved else ""
        chosen, number = base, again.get(base, 1)
        while chosen in used:
            number += 1
            chosen = f"{base}{'' if base.endswith('_') else '_'}{number}"
        again[base] = number
        used.add(chosen)
        found.append(chosen)
    return found


def shown(name: str) -> str:
    """A name as a comment may have it: no line ends, no end of a comment, no backslash, which Java reads there too.

    >>> shown("a*/ b"), shown("x\\\\u000a y")
    ('a?? b', 'x?u000a y')
    """
    return "".join(c if c.isalnum() or c in " _.,()%=+-" else "?" for c in name[:60])


def fill(template: str, values: Mapping[str, str]) -> str:
    """A template with its @places@ filled; what is filled in is not looked at again.

    >>> fill("@a@ and @b@", {"a": "@b@", "b": "c"})
    '@b@ and c'
    """
    return _PLACE.sub(lambda place: values[place[1]], template)


def wrapped(items: Iterable[str], indent: str, width: int = 110, between: str = ", ") -> str:
    """Items of a list in lines of a bounded length; the first line is not indented."""
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(item) > width:
            lines.append(line + between.rstrip())
            line = ""
        line += between * bool(line) + item
    return f"\n{indent}".join([*lines, line])
