"""The tables say what the running Python says, for every code point and for random texts."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from modelport_sklearn.unicode_tables import folding, space_ranges, word_ranges
from sklearn.feature_extraction.text import strip_accents_ascii, strip_accents_unicode

from modelport.ops import text

EVERY = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
ODD = (
    "\u03a3\u03c3\u03c2Aa'.:-\u0301\u00ad\u0130\u0131\u00df\ufb00\U0001f600\ud55c\uae00\u00c0\u00e9\u2460"
    "\u01c5\u1e9e\u0345\u02b0\u2019 \t"
)
STRIP = {None: str, "unicode": strip_accents_unicode, "ascii": strip_accents_ascii}


def prepared(lowercase: bool, strip: str | None) -> dict[str, Any]:
    """The attributes as count_terms prepares them."""
    step = {"analyzer": "word", "word": word_ranges(), "hangul": False, "ascii": False, **folding(lowercase, strip)}
    return dict(text.prepare_count_terms(step))


@pytest.mark.parametrize("strip", [None, "unicode", "ascii"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_folding(lowercase: bool, strip: str | None) -> None:
    table = prepared(lowercase, strip)

    def expected(given: str) -> str:
        return STRIP[strip](given.lower() if lowercase else given)

    assert [c for c in EVERY if text.fold(table, c) != expected(c)] == []
    rng = random.Random(0)
    for _ in range(20_000):
        given = "".join(rng.choice(ODD) if rng.random() < 0.7 else rng.choice(EVERY) for _ in range(rng.randrange(14)))
        assert text.fold(table, given) == expected(given), ascii(given)


def test_final_sigma_beside_the_ends_of_every_range() -> None:
    table = prepared(True, None)
    ends = {end + step for name in ("cased", "case_ignorable") for end in table[name] for step in (-1, 0, 1)}
    for c in [*map(chr, sorted(ends)), *EVERY[::50]]:
        for given in (f"A\u03a3{c}", f"A\u03a3{c}B", f"{c}\u03a3", f"A{c}\u03a3"):
            if text.fold(table, given) != given.lower():
                pytest.fail(ascii(given))


@pytest.mark.parametrize(("ranges", "pattern"), [(word_ranges, r"\w"), (space_ranges, r"\s")])
def test_ranges(ranges: Any, pattern: str) -> None:
    own, usual = re.compile(text.characters(ranges().tolist())), re.compile(pattern)
    assert [c for c in EVERY if bool(own.match(c)) != bool(usual.match(c))] == []
