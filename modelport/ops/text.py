"""Ops of profile `text`: counts of the terms of a text, its terms as numbers, and hashed terms."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from ..errors import InputError
from ..graph import ValueType
from .base import Array, Attribute, Attributes, length, per_column, refuse_row, register, require, row, rows

LAST_CODE_POINT = 0x10FFFF
CAPITAL_SIGMA, FINAL_SIGMA, SIGMA = "\u03a3", "\u03c2", "\u03c3"
HANGUL = range(0xAC00, 0xD7A4)
ANALYZERS = ("word", "char", "char_wb")
LONGEST = 64


# --- hashing ------------------------------------------------------------------------------------------------------------------


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & 0xFFFFFFFF


def _scrambled(block: int) -> int:
    return _rotated(block * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF


@lru_cache(maxsize=1 << 16)
def murmur(term: str) -> int:
    """MurmurHash3 x86 32-bit, seed 0, of the UTF-8 bytes, as a signed integer.

    >>> murmur("foo")
    -156908512
    """
    data = term.encode("utf-8")
    whole = len(data) & ~3
    h = 0
    for place in range(0, whole, 4):
        h ^= _scrambled(int.from_bytes(data[place : place + 4], "little"))
        h = (_rotated(h, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    if len(data) > whole:
        h ^= _scrambled(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    h ^= h >> 16
    return h - (h >> 31 << 32)


def place_and_sign(term: str, size: int, alternate: bool) -> tuple[int, float]:
    """The column of a hashed term, and the sign with which it counts."""
    h = murmur(term)
    place = (0x7FFFFFFF - (size - 1)) % size if h == -(1 << 31) else abs(h) % size
    return place, -1.0 if alternate and h < 0 else 1.0


# --- folding ------------------------------------------------------------------------------------------------------------------


class _AsciiOnly(dict[int, str]):
    """A table for str.translate that drops what it does not know from U+0080 on."""

    def __missing__(self, code: int) -> str:
        return chr(code) if code < 0x80 else ""


def _hangul(code: int) -> str:
    """A syllable as its two or three jamo."""
    lead, rest = divmod(code - HANGUL.start, 588)
    vowel, trail = divmod(rest, 28)
    return chr(0x1100 + lead) + chr(0x1161 + vowel) + (chr(0x11A7 + trail) if trail else "")


def folding(a: Attributes) -> dict[int, str]:
    """The table for str.translate that folds code point by code point."""
    codes, texts = a.get("fold_from", np.zeros(0, np.int64)), a.get("fold_to", np.zeros(0, object))
    table = dict(zip(codes.tolist(), texts.tolist(), strict=True))
    if a["hangul"]:
        table = {code: _hangul(code) for code in HANGUL} | table
    return _AsciiOnly(table) if a["ascii"] else table


def within(ranges: Sequence[int], code: int) -> bool:
    """Whether a code point lies in one of the ranges lo, hi, lo, hi, ...

    >>> within([65, 90, 97, 122], 97), within([65, 90, 97, 122], 96)
    (True, False)
    """
    place = bisect_right(ranges, code)
    return place % 2 == 1 or (place > 0 and ranges[place - 1] == code)


def _sigma(text: str, place: int, cased: Sequence[int], ignorable: Sequence[int]) -> str:
    """What the capital sigma at a place becomes: the final form behind a cased letter and before none."""
    before, behind = place - 1, place + 1
    while before >= 0 and within(ignorable, ord(text[before])):
        before -= 1
    if before < 0 or not within(cased, ord(text[before])):
        return SIGMA
    while behind < len(text) and within(ignorable, ord(text[behind])):
        behind += 1
    return SIGMA if behind < len(text) and within(cased, ord(text[behind])) else FINAL_SIGMA


def fold(a: Attributes, text: str) -> str:
    """The text in its folded form; `a` as prepared."""
    if "cased" not in a or CAPITAL_SIGMA not in text:
        return text.translate(a["folding"])
    parts = text.split(CAPITAL_SIGMA)
    folded, place = [parts[0].translate(a["folding"])], len(parts[0])
    for part in parts[1:]:
        folded += [_sigma(text, place, a["cased"], a["case_ignorable"]), part.translate(a["folding"])]
        place += 1 + len(part)
    return "".join(folded)


# --- terms --------------------------------------------------------------------------------------------------------------------


def characters(ranges: Iterable[int]) -> str:
    """A character class of a regular expression for ranges lo, hi, lo, hi, ...

    >>> characters([48, 57])
    '[\\\\U00000030-\\\\U00000039]'
    """
    ends = list(ranges)
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in pairs) + "]" if ends else "(?!)"


def _word_terms(a: Attributes, text: str) -> Iterator[str]:
    tokens = [token for token in a["token"].findall(text) if len(token) >= a.get("min_word", 2) and token not in a["stopped"]]
    for n in range(a["min_n"], min(a["max_n"], len(tokens)) + 1):
        yield from (" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def _char_terms(a: Attributes, text: str) -> Iterator[str]:
    text = a["gap"].sub(" ", text)
    for n in range(a["min_n"], min(a["max_n"], len(text)) + 1):
        yield from (text[i : i + n] for i in range(len(text) - n + 1))


def _char_wb_terms(a: Attributes, text: str) -> Iterator[str]:
    for piece in a["blank"].split(a["gap"].sub(" ", text)):
        if not piece:
            continue
        padded = f" {piece} "
        for n in range(a["min_n"], a["max_n"] + 1):
            yield from (padded[i : i + n] for i in range(max(1, len(padded) - n + 1)))
            if n >= len(padded):
                break


TERMS = {"word": _word_terms, "char": _char_terms, "char_wb": _char_wb_terms}


# --- count_terms --------------------------------------------------------------------------------------------------------------


def _check_terms(a: Attributes, x: ValueType) -> None:
    """What all ops on the terms of a text require."""
    require(row(x, ("str",)) == 1, f"it reads one text per row, but is given {x}.")
    require(
        1 <= a["min_n"] <= a["max_n"] <= LONGEST, f"min_n={a['min_n']}, max_n={a['max_n']}: 1 <= min_n <= max_n <= {LONGEST}."
    )
    _check_folding(a)
    _check_analyzer(a)
    _check_texts(a, "vocabulary")
    if "vocabulary" in a:
        terms = a["vocabulary"]
        require(len(set(terms.tolist())) == terms.size, "attribute 'vocabulary' holds the same term twice.")


def infer_count_terms(a: Attributes, x: ValueType) -> ValueType:
    _check_terms(a, x)
    require(("vocabulary" in a) != ("size" in a), "it takes one of the attributes 'vocabulary' and 'size'.")
    if "size" in a:
        require(a["size"] >= 1, "attribute 'size' is at least 1.")
        return ValueType("f64", (a["size"],))
    require("alternate" not in a, "attribute 'alternate' goes with 'size' only.")
    return ValueType("f64", (a["vocabulary"].size,))


def _check_folding(a: Attributes) -> None:
    require(("fold_from" in a) == ("fold_to" in a), "the attributes 'fold_from' and 'fold_to' go together.")
    require(("cased" in a) == ("case_ignorable" in a), "the attributes 'cased' and 'case_ignorable' go together.")
    require(not (a["ascii"] and (a["hangul"] or "cased" in a)), "attribute 'ascii' goes with neither 'hangul' nor 'cased'.")
    if "fold_from" in a:
        codes = a["fold_from"]
        length(a, "fold_to", codes.size)
        require(bool(np.all(codes[1:] > codes[:-1])), "attribute 'fold_from' does not ascend strictly.")
        _check_codes("fold_from", codes)
        _check_texts(a, "fold_to")
    for name in ("cased", "case_ignorable"):
        _check_ranges(a, name)


def _check_analyzer(a: Attributes) -> None:
    word = a["analyzer"] == "word"
    for name, fits in (("word", word), ("min_word", word), ("stop", word), ("space", not word)):
        require(fits or name not in a, f"attribute {name!r} does not go with analyzer {a['analyzer']!r}.")
    needed = "word" if word else "space"
    require(needed in a, f"analyzer {a['analyzer']!r} needs the attribute {needed!r}.")
    require(a.get("min_word", 1) >= 1, "attribute 'min_word' is at least 1.")
    _check_ranges(a, needed)
    _check_texts(a, "stop")


def _check_codes(name: str, codes: Array) -> None:
    fits = codes.size == 0 or (int(codes.min()) >= 0 and int(codes.max()) <= LAST_CODE_POINT)
    require(fits, f"attribute {name!r} leaves 0..{LAST_CODE_POINT}.")


def _check_ranges(a: Attributes, name: str) -> None:
    if name not in a:
        return
    ends = a[name]
    require(ends.size % 2 == 0, f"attribute {name!r} has {ends.size} elements, so its last range has no end.")
    _check_codes(name, a[name])
    ascending = np.all(ends[1::2] >= ends[::2]) and np.all(ends[2::2] > ends[1:-1:2])
    require(bool(ascending), f"the ranges of attribute {name!r} do not ascend, or overlap.")


def _check_texts(a: Attributes, name: str) -> None:
    if name in a:
        require(None not in a[name].tolist(), f"attribute {name!r} holds a missing string.")


def prepare_count_terms(a: Attributes, *types: ValueType) -> Attributes:
    """Folding tables, compiled character classes, and the columns of the vocabulary."""
    ready: dict[str, Any] = {**a, "folding": folding(a), "stopped": frozenset(a["stop"].tolist() if "stop" in a else ())}
    for name in ("cased", "case_ignorable"):
        if name in a:
            ready[name] = a[name].tolist()
    if a["analyzer"] == "word":
        ready["token"] = re.compile(f"{characters(a['word'].tolist())}+")
    else:
        blank = characters(a["space"].tolist())
        ready["gap"], ready["blank"] = re.compile(f"{blank}{{2,}}"), re.compile(f"{blank}+")
    if "vocabulary" in a:
        ready["columns"] = {term: column for column, term in enumerate(a["vocabulary"].tolist())}
    return ready


def _texts(x: Array) -> list[str]:
    """One text per row; none is missing or holds half a character."""
    texts: list[str] = rows(x)[:, 0].tolist()
    refuse_row(np.array([text is None for text in texts], dtype=bool), "the text is missing.")
    for i, text in enumerate(texts):
        _check_text(i, text)
    return texts


def count_terms(a: Attributes, x: Array) -> Array:
    """Counts of the terms of one text per row."""
    texts = _texts(x)
    counts = np.zeros((len(texts), a["size"] if "size" in a else a["vocabulary"].size))
    for text, line in zip(texts, counts, strict=True):
        terms = TERMS[a["analyzer"]](a, fold(a, text))
        if "size" in a:
            hits = [place_and_sign(term, a["size"], a.get("alternate", True)) for term in terms]
        else:
            hits = [(a["columns"][term], 1.0) for term in terms if term in a["columns"]]
        for column, sign in hits:
            line[column] = 1.0 if a["binary"] else line[column] + sign
    return counts


def _check_text(i: int, text: str) -> None:
    """Refuse half of a surrogate pair, which is no character."""
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise InputError(f"Row {i}: a text holds half of a surrogate pair, which is no character.")


# --- term_ids -----------------------------------------------------------------------------------------------------------------


def infer_term_ids(a: Attributes, x: ValueType) -> ValueType:
    _check_terms(a, x)
    require(a["length"] >= 1, "attribute 'length' is at least 1.")
    return ValueType("i64", (a["length"],))


def term_ids(a: Attributes, x: Array) -> Array:
    """The terms of one text per row as numbers, cut or filled up to a length."""
    texts, columns, first = _texts(x), a["columns"], a["first"]
    ids = np.full((len(texts), a["length"]), a["fill"], dtype=np.int64)
    for text, line in zip(texts, ids, strict=True):
        for place, term in enumerate(islice(TERMS[a["analyzer"]](a, fold(a, text)), a["length"])):
            line[place] = first + columns[term] if term in columns else a["unknown"]
    return ids


def count_terms_of(a: Attributes, *types: ValueType) -> int:
    """A text holds about as many terms of n characters as it has characters, for every n; folding makes it longer."""
    longest = max([1, 3 if a["hangul"] else 0, *map(len, a["fold_to"].tolist() if "fold_to" in a else ())])
    return longest * sum(range(a["min_n"], a["max_n"] + 1))


# --- hash_terms ---------------------------------------------------------------------------------------------------------------


def infer_hash_terms(a: Attributes, x: ValueType, values: ValueType | None = None) -> ValueType:
    width = row(x, ("str",))
    if values is not None:
        require(row(values, ("f64",)) == width, f"it reads {width} terms with {values.width} numbers.")
    per_column(a, "prefix", width)
    _check_texts(a, "prefix")
    require(a["size"] >= 1, "attribute 'size' is at least 1.")
    return ValueType("f64", (a["size"],))


def hash_terms(a: Attributes, x: Array, values: Array | None = None) -> Array:
    """Terms prefix + cell, hashed to columns, with their numbers added up in column order."""
    cells = rows(x)
    numbers: Array = np.ones(cells.shape) if values is None else rows(values)
    prefixes: list[str] = a["prefix"].tolist() if "prefix" in a else [""]
    if len(prefixes) == 1:
        prefixes *= cells.shape[1]
    result = np.zeros((len(cells), a["size"]))
    for i, (line, beside) in enumerate(zip(cells.tolist(), numbers.tolist(), strict=True)):
        for prefix, cell, value in zip(prefixes, line, beside, strict=True):
            if cell is not None:
                _check_text(i, cell)
                place, sign = place_and_sign(prefix + cell, a["size"], a["alternate"])
                result[i, place] += sign * value
    return result


def count_prefixed(a: Attributes, x: ValueType, *rest: ValueType) -> int:
    """Every cell is put behind its prefix, and hashed."""
    return x.counted


RANGES, FLAG = Attribute("int"), Attribute("flag", default=False)
NEEDED = Attribute("integer", required=True)
SPLITTING: dict[str, Any] = {
    "analyzer": Attribute("choice", required=True, options=ANALYZERS),
    "min_n": NEEDED,
    "max_n": NEEDED,
    "fold_from": Attribute("int"),
    "fold_to": Attribute("str"),
    "hangul": FLAG,
    "ascii": FLAG,
    "cased": RANGES,
    "case_ignorable": RANGES,
    "word": RANGES,
    "min_word": Attribute("integer"),
    "stop": Attribute("str"),
    "space": RANGES,
}
register(
    "count_terms",
    infer_count_terms,
    count_terms,
    prepare=prepare_count_terms,
    strings=count_terms_of,
    **SPLITTING,
    vocabulary=Attribute("str"),
    size=Attribute("integer"),
    alternate=Attribute("flag"),
    binary=FLAG,
)
register(
    "term_ids",
    infer_term_ids,
    term_ids,
    since="1.1",
    prepare=prepare_count_terms,
    strings=count_terms_of,
    **SPLITTING,
    vocabulary=Attribute("str", required=True),
    first=NEEDED,
    unknown=NEEDED,
    fill=NEEDED,
    length=NEEDED,
)
register(
    "hash_terms",
    infer_hash_terms,
    hash_terms,
    inputs=(1, 2),
    strings=count_prefixed,
    prefix=Attribute("str"),
    size=Attribute("integer", required=True),
    alternate=Attribute("flag", default=True),
)
