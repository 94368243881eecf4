"""What the running Python knows of Unicode, as the tables the op count_terms carries.

scikit-learn's vectorizers lower text, strip accents and cut words with Python's Unicode tables. An artifact must not depend on
those of its reader, so they are written into it: ranges lo, hi, lo, hi, ..., and maps from a code point to a string.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["category_ranges", "folding", "ranges", "space_ranges", "word_ranges"]

Array = NDArray[Any]
SURROGATES = range(0xD800, 0xE000)
HANGUL = range(0xAC00, 0xD7A4)
CAPITAL_SIGMA, FINAL_SIGMA = "\u03a3", "\u03c2"


def _code_points() -> Iterator[int]:
    """Every code point that a text can hold."""
    yield from range(SURROGATES.start)
    yield from range(SURROGATES.stop, 0x110000)


def ranges(codes: Iterable[int]) -> Array:
    """Ascending code points as ranges lo, hi, lo, hi, ...: int64 [2q].

    >>> ranges([48, 49, 50, 95]).tolist()
    [48, 50, 95, 95]
    """
    listed = np.fromiter(codes, dtype=np.int64)
    if not listed.size:
        return listed
    breaks = np.flatnonzero(np.diff(listed) != 1)
    first, last = np.append(0, breaks + 1), np.append(breaks, len(listed) - 1)
    return np.column_stack([listed[first], listed[last]]).ravel()


def category_ranges(belongs: Callable[[str], bool]) -> Array:
    """The ranges of the characters for which a predicate holds.

    >>> category_ranges(lambda c: c in "0123456789_").tolist()
    [48, 57, 95, 95]
    """
    return ranges(code for code in _code_points() if belongs(chr(code)))


@functools.cache
def word_ranges() -> Array:
    r"""What the regular expression \w matches in a str."""
    return category_ranges(lambda c: c == "_" or c.isalnum())


@functools.cache
def space_ranges() -> Array:
    r"""What the regular expression \s matches in a str, which is also where str.split() cuts."""
    return category_ranges(str.isspace)


def folding(lowercase: bool, strip_accents: str | None) -> dict[str, Any]:
    """The attributes of count_terms that fold as scikit-learn does: str.lower(), then accents stripped, or either, or neither.

    strip_accents is "unicode", "ascii" or None.
    """
    attributes: dict[str, Any] = {}
    codes, texts = _map(lowercase, strip_accents)
    if codes.size:
        attributes |= {"fold_from": codes, "fold_to": texts}
    if strip_accents == "ascii":
        return attributes | {"ascii": True}
    if lowercase:
        cased, ignorable = _sigma_context()
        attributes |= {"cased": cased, "case_ignorable": ignorable}
    return attributes | {"hangul": True} if strip_accents == "unicode" else attributes


def _stripped(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def _ascii_only(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if c < "\x80")


STRIP: dict[str | None, Callable[[str], str]] = {None: str, "unicode": _stripped, "ascii": _ascii_only}


@functools.cache
def _map(lowercase: bool, strip_accents: str | None) -> tuple[Array, Array]:
    """Code points that change, and what they become. Left out: the capital sigma, which depends on what stands beside it,
    syllables that `hangul` decomposes, and what `ascii` drops."""
    strip, found = STRIP[strip_accents], {}
    for code in _code_points():
        letter = chr(code)
        if (letter == CAPITAL_SIGMA and lowercase) or (code in HANGUL and strip_accents == "unicode"):
            continue
        text = strip(letter.lower() if lowercase else letter)
        dropped = strip_accents == "ascii" and code >= 0x80
        if text != ("" if dropped else letter):
            found[code] = text
    texts = np.empty(len(found), dtype=object)
    texts[:] = list(found.values())
    return np.fromiter(found, dtype=np.int64), texts


@functools.cache
def _sigma_context() -> tuple[Array, Array]:
    """Cased and case-ignorable code points, as str.lower() shows them by what it makes of a capital sigma before them."""
    cased, ignorable = [], []
    for code in _code_points():
        letter = chr(code)
        if (f"A{CAPITAL_SIGMA}{letter}").lower()[1] != FINAL_SIGMA:
            cased.append(code)
        elif (f"A{CAPITAL_SIGMA}{letter}A").lower()[1] != FINAL_SIGMA:
            ignorable.append(code)
    return ranges(cased), ranges(ignorable)
