"""Regular expressions that cut words: those that are runs of one kind of character, as the op count_terms knows them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..builder import Array
from ..unicode_tables import category_ranges, ranges, space_ranges, word_ranges

try:
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # before Python 3.11
    import sre_parse as parser

LAST = 0x110000
ASCII_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "WORD": lambda c: c == "_" or (c.isascii() and c.isalnum()),
    "DIGIT": lambda c: c in "0123456789",
    "SPACE": lambda c: c in " \t\n\r\f\v",
}


@dataclass(frozen=True)
class TokenRule:
    """Tokens are the maximal runs of at least `least` characters of the ranges `word` (int64 [2q])."""

    word: Array
    least: int


@cache
def token_rule(pattern: str) -> TokenRule | None:
    r"""The rule of a pattern such as `\b\w\w+\b`, `[a-z]{3,}` or `\S+`, or None when the pattern is something else.

    Word boundaries around it are understood where the characters are those of \w; a group around all of it changes nothing.

    >>> token_rule(r"(?u)\b\w\w+\b").least, token_rule(r"[a-c]{3,}").word.tolist(), token_rule("a|b")
    (2, [97, 99], None)
    """
    parsed = parser.parse(pattern)
    flags = parsed.state.flags
    if flags & (re.IGNORECASE | re.LOCALE):
        return None
    items, bounded = _without_boundaries(list(parsed))
    counted = [_repeat(item) for item in items]
    if not counted or any(c is None for c in counted) or len({repr(c[2]) for c in counted if c is not None}) != 1:
        return None
    repeats = [c for c in counted if c is not None]
    endless = [most is None for _, most, _ in repeats]
    if not any(endless) or any(least != most for least, most, _ in repeats if most is not None):
        return None
    word = _members(repeats[0][2], bool(flags & re.ASCII))
    if word is None or (bounded and not np.array_equal(word, _category("WORD", bool(flags & re.ASCII)))):
        return None
    least = sum(least for least, _, _ in repeats)
    return TokenRule(ranges(np.flatnonzero(word)), least) if least else None


def not_spaces() -> TokenRule:
    """What str.split() gives."""
    return TokenRule(ranges(np.flatnonzero(~_category("SPACE", False) & _known())), 1)


def _without_boundaries(items: list[Any]) -> tuple[list[Any], bool]:
    """The items between word boundaries, or inside a group; and whether there were boundaries."""
    bounded = False
    while items:
        if len(items) >= 2 and _is_boundary(items[0]) and _is_boundary(items[-1]):
            items, bounded = items[1:-1], True
        elif len(items) == 1 and str(items[0][0]) == "SUBPATTERN" and items[0][1][1:3] == (0, 0):
            items = list(items[0][1][3])
        else:
            break
    return items, bounded


def _is_boundary(item: Any) -> bool:
    return str(item[0]) == "AT" and str(item[1]) == "AT_BOUNDARY"


def _repeat(item: Any) -> tuple[int, int | None, Any] | None:
    """Least and most number of times (None: endless), and what is repeated."""
    if str(item[0]) != "MAX_REPEAT":
        return 1, 1, item
    least, most, inner = item[1]
    if len(inner) != 1:
        return None
    return int(least), None if most == parser.MAXREPEAT else int(most), inner[0]


def _members(item: Any, ascii_only: bool) -> Array | None:
    """bool [LAST]: the characters that an item matches; None when it is no kind of character."""
    kind, value = str(item[0]), item[1]
    found = np.zeros(LAST, dtype=bool)
    if kind == "LITERAL":
        found[value] = True
    elif kind == "NOT_LITERAL":
        found[value] = True
        found = ~found
    elif kind == "RANGE":
        found[value[0] : value[1] + 1] = True
    elif kind == "CATEGORY":
        name = str(value).removeprefix("CATEGORY_")
        plain = name.removeprefix("NOT_")
        if plain not in ASCII_CATEGORIES:
            return None
        found = _category(plain, ascii_only)
        found = found if plain == name else ~found
    elif kind == "IN":
        negated = str(value[0][0]) == "NEGATE"
        for part in value[1:] if negated else value:
            members = _members(part, ascii_only)
            if members is None:
                return None
            found = found | members
        found = ~found if negated else found
    else:
        return None
    return found & _known()


@cache
def _known() -> Array:
    """bool [LAST]: code points that a text can hold (no halves of surrogate pairs)."""
    known = np.ones(LAST, dtype=bool)
    known[0xD800:0xE000] = False
    return known


@cache
def _category(name: str, ascii_only: bool) -> Array:
    """bool [LAST]: WORD, DIGIT or SPACE."""
    if ascii_only:
        pairs = category_ranges(ASCII_CATEGORIES[name])
    else:
        pairs = word_ranges() if name == "WORD" else space_ranges() if name == "SPACE" else category_ranges(str.isdecimal)
    found = np.zeros(LAST, dtype=bool)
    for low, high in pairs.reshape(-1, 2):
        found[low : high + 1] = True
    return found
