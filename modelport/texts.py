"""Texts to verify with: made of the words a model knows (or that several sample rows share), and such as go wrong elsewhere.

The sample's own texts are never used: an artifact carries its verification rows.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boundaries import Tracer
from .graph import Graph

__all__ = ["SPECIAL", "TextPool", "text_columns"]

Array = NDArray[Any]
MOST_WORDS = 4096

#: Texts at which folding, cutting and counting part from one another between languages and libraries.
SPECIAL = (
    "",
    " ",
    "a",
    "don't can't l'été o'clock it’s",
    "ÀÉÎÕÜ Çedilla naïve Ångström e\u0301 A\u030a n\u0303",
    "ΟΔΥΣΣΕΥΣ ΣΟΦΟΣ. ΑΣ Σ Σ' ΑΣ\u0301 ΑΣ\u00adΒ",
    "İstanbul ısırgan DİYARBAKIR Iğdır",
    "straße STRASSE ẞ ﬁne oﬃce Ǆungla ŉ ſ",
    "over_lined snake_case __init__ x2 3rd 2024-05-01 1,000.50",
    "٣ ४५ ² ½ Ⅷ ㊷",
    "漢字かな交じり文 한국어 각 ไทยคำ हिन्दी עברית العربية",
    "👍🏽 thumbs👨‍👩‍👧 up ❤️ 🇳🇴",
    "tab\tnew\nline\r\nnbsp\u00a0thin\u2009zero\u200bwidth\u200d end\u2028sep\x1cfs\x85nel",
    "  many   spaces \t\n here  ",
    "e-mail: first.last+tag@example.org http://example.org/?q=a&b=c#d",
    "𝐁𝐨𝐥𝐝 𝟙𝟚 \U0001d7d8 \U00010400",
    "aaaa aaaa aaaa",
    "Ελλάδα РОССИЯ Ёлка ҐАНОК Ի",
)


@dataclass
class TextPool:
    """Draws texts: a few words, joined and changed as people do."""

    words: Sequence[str]
    rng: np.random.Generator

    def draw(self, q: float) -> str:
        """A text; the larger q, the longer it may be."""
        count = 1 + int(self.rng.integers(0, 2 + int(24 * q)))
        chosen = [self.words[int(i)] for i in self.rng.integers(0, len(self.words), count)]
        return "".join(self._changed(word) + self._gap() for word in chosen).strip()

    def _changed(self, word: str) -> str:
        change = CHANGES.get(int(self.rng.integers(0, 24)))
        return word if change is None else change(word)

    def _gap(self) -> str:
        return GAPS[int(self.rng.integers(0, len(GAPS)))]


def _accented(word: str) -> str:
    """The word with an accent behind its first letter, composed where there is such a letter."""
    return unicodedata.normalize("NFC", word[:1] + "\u0301" + word[1:])


#: one word in six is written otherwise
CHANGES: Mapping[int, Callable[[str], str]] = {0: str.upper, 1: str.title, 2: _accented, 3: lambda w: f"{w}'s"}
GAPS = (" ",) * 12 + (", ", ". ", "-", "_", "  ", "\n", "! ", "\u00a0")


def text_columns(graph: Graph, feeds: Mapping[str, Array], rng: np.random.Generator) -> dict[tuple[str, int], TextPool]:
    """For every input column in which terms are counted, by input and column, where its texts come from."""
    tracer = Tracer(graph)
    words: dict[tuple[str, int], list[str]] = {}
    for step in graph.steps:
        if step.op != "count_terms":
            continue
        source = tracer.source(step.inputs[0], 0)
        if source is None:
            continue
        place = (source.input.name, source.column)
        column = feeds[source.input.name].reshape(len(feeds[source.input.name]), -1)[:, source.column]
        known = step.attributes.get("vocabulary")
        found = _shared_words(column) if known is None else [str(term) for term in known.tolist()]
        words.setdefault(place, []).extend(found)
    pools = {}
    for place, found in words.items():
        found = found or ["one", "two", "words"]
        if len(found) > MOST_WORDS:
            found = [found[int(i)] for i in np.sort(rng.choice(len(found), MOST_WORDS, replace=False))]
        pools[place] = TextPool([*found, *"and 42 unseen über".split()], rng)
    return pools


def _shared_words(column: Array) -> list[str]:
    """Words that stand in two of the sample's texts at least."""
    counts = Counter(word for text in column.tolist() if text is not None for word in set(text.split()))
    return sorted(word for word, times in counts.items() if times > 1)


def term_columns(graph: Graph) -> list[tuple[str, int]]:
    """The input columns whose cells are hashed, by input and column."""
    tracer, found = Tracer(graph), []
    for step in graph.steps:
        if step.op == "hash_terms":
            for column in range(graph.types[step.inputs[0]].width):
                source = tracer.source(step.inputs[0], column)
                if source is not None and source.input.dtype == "str":
                    found.append((source.input.name, source.column))
    return list(dict.fromkeys(found))
