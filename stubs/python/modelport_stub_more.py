# SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
# mypy: disable-error-code="no-any-return,import-not-found,no-redef"
# ruff: noqa: I001
"""Ops of the profiles kernel, text and solver (docs/format.md, section 6) for modelport_stub.py.

Copy it beside that file, under this name: loading a document that requires one of these ops imports it.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

if not __package__:
    from modelport_stub import FLOATS, Array, Attributes, Kind, Op, Run, enter
    from modelport_stub import _float_row, _need, _need_row, _ordered_sum, _products, _rows, _sigmoid, _sum_over_columns
else:  # both files lie in a package
    from .modelport_stub import FLOATS, Array, Attributes, Kind, Op, Run, enter
    from .modelport_stub import _float_row, _need, _need_row, _ordered_sum, _products, _rows, _sigmoid, _sum_over_columns

__all__ = ["OPS"]

OPS: dict[str, Op] = {}
op = partial(enter, OPS)


# ==== Kernel ==========================================================================================================

# -- pairwise ----------------------------------------------------------------------------------------------------------

Term = Callable[[Array, Array], Array]
Metric = Callable[["Scale", Array, Array], Array]


class Scale(NamedTuple):
    """The numbers a metric may use."""

    gamma: float
    coef0: float
    degree: float
    p: float


def _pair_sums(rows: Array, points: Array, term: Term) -> Array:
    """(n, m): sum over j, ascending, of term(x_j, p_j), for rows (n, i) and points by column (i, m)."""
    return _sum_over_columns(rows, points.shape[1], lambda column, j: term(column, points[j]))


def _squares(rows: Array, points: Array) -> Array:
    return _pair_sums(rows, points, lambda x, p: np.square(x - p))


def _absolutes(rows: Array, points: Array) -> Array:
    return _pair_sums(rows, points, lambda x, p: np.abs(x - p))


def _or_zero(above: Array, below: Array) -> Array:
    """above / below, and 0 where below is 0."""
    return np.where(below == 0, 0.0, above / below)


def _chi2(rows: Array, points: Array) -> Array:
    return _pair_sums(rows, points, lambda x, p: _or_zero(np.square(x - p), x + p))


def _chebyshev(rows: Array, points: Array) -> Array:
    largest = np.zeros((len(rows), points.shape[1]))
    for j, p in enumerate(points):
        np.maximum(largest, np.abs(rows[:, j, None] - p), out=largest)
    return largest


def _cosine(rows: Array, points: Array) -> Array:
    lengths = np.sqrt(_ordered_sum(np.square(rows)))[:, None] * np.sqrt(_ordered_sum(np.square(points.T)))
    return np.where(lengths == 0, 1.0, 1.0 - _products(rows, points) / lengths)


def _nan_euclidean(rows: Array, points: Array) -> Array:
    """Over the columns known in both, scaled up to all."""
    known = _products((~np.isnan(rows)).astype(np.float64), (~np.isnan(points)).astype(np.float64))
    squares = _pair_sums(rows, points, lambda x, p: np.where(np.isnan(x) | np.isnan(p), 0.0, np.square(x - p)))
    return np.sqrt(squares / known * len(points))


METRICS: dict[str, Metric] = {
    "dot": lambda s, x, p: _products(x, p),
    "sqeuclidean": lambda s, x, p: _squares(x, p),
    "euclidean": lambda s, x, p: np.sqrt(_squares(x, p)),
    "manhattan": lambda s, x, p: _absolutes(x, p),
    "chebyshev": lambda s, x, p: _chebyshev(x, p),
    "minkowski": lambda s, x, p: np.power(_pair_sums(x, p, lambda u, v: np.power(np.abs(u - v), s.p)), 1.0 / s.p),
    "cosine": lambda s, x, p: _cosine(x, p),
    "canberra": lambda s, x, p: _pair_sums(x, p, lambda u, v: _or_zero(np.abs(u - v), np.abs(u) + np.abs(v))),
    "braycurtis": lambda s, x, p: _absolutes(x, p) / _absolutes(x, -p),
    "hamming": lambda s, x, p: _pair_sums(x, p, np.not_equal) / len(p),
    "nan_euclidean": lambda s, x, p: _nan_euclidean(x, p),
    "chi2": lambda s, x, p: np.exp(-s.gamma * _chi2(x, p)),
    "additive_chi2": lambda s, x, p: -_chi2(x, p),
    "rbf": lambda s, x, p: np.exp(-s.gamma * _squares(x, p)),
    "laplacian": lambda s, x, p: np.exp(-s.gamma * _absolutes(x, p)),
    "poly": lambda s, x, p: np.power(s.gamma * _products(x, p) + s.coef0, s.degree),
    "sigmoid": lambda s, x, p: np.tanh(s.gamma * _products(x, p) + s.coef0),
}


@op(1)
def pairwise(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """A distance or kernel between the row and every point; f32 is computed in f64 and rounded."""
    dtype, np_dtype = _float_row(a, kind)
    points, metric = a.tensor("points", (dtype,), None, kind.width), a.word("metric", *METRICS)
    defaults = Scale(gamma=1.0, coef0=0.0, degree=3.0, p=2.0)
    scale = Scale(*(a.number(key, dtype, default) for key, default in defaults._asdict().items()))
    if not scale.p > 0:
        raise a.refuse(f"has a p of {scale.p}; it must be positive")
    if metric != "nan_euclidean" and np.isnan(points).any():
        raise a.refuse(f"has NaN among its points, which the metric {metric} does not take")
    a.multiply(len(points) * (kind.width * (16 if metric == "minkowski" else 1) + 16))
    by_column = np.ascontiguousarray(points.T, dtype=np.float64)  # [i, m]

    def run(x: Array) -> Array:
        rows = _rows(x).astype(np_dtype, copy=False).astype(np.float64, copy=False)
        return METRICS[metric](scale, rows, by_column).astype(np_dtype, copy=False)

    return Kind(dtype, (len(points),)), run


# -- smallest and knn --------------------------------------------------------------------------------------------------


def _mark_smallest(y: Array, k: int) -> Array:
    """Which elements of each row are its k smallest: bool (n, m). Ties go to the lowest index, NaN is largest."""
    last = np.partition(y, k - 1, axis=1)[:, k - 1 : k]
    below = np.where(np.isnan(last), ~np.isnan(y), y < last)
    level = (y == last) | (np.isnan(y) & np.isnan(last))
    missing = k - below.sum(axis=1, keepdims=True)
    return below | (level & (np.cumsum(level, axis=1) <= missing))


@op(1)
def smallest(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """1.0 at the k smallest elements, else 0.0."""
    _need_row(a, kind)
    _need(a, kind, FLOATS)
    k = a.integer("k", 1, kind.width)
    a.look(4 * kind.width)
    return Kind("f64", (kind.width,)), lambda x: _mark_smallest(_rows(x), k).astype(np.float64)


@op(1)
def knn(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The (weighted) mean over the k smallest distances."""
    _need_row(a, kind)
    _need(a, kind, ("f64",))
    k, weights = a.integer("k", 1, kind.width), a.word("weights", "uniform", "distance")
    if a.has("classes"):
        classes = a.integer("classes", 1, a.limits.value_width)
        labels = a.integers("targets", kind.width)
        if not ((labels >= 0) & (labels < classes)).all():
            raise a.refuse(f"has a target outside 0..{classes - 1}")
        targets, outputs = None, classes
    else:
        targets = a.tensor("targets", ("f64",), kind.width, None)
        outputs = targets.shape[1]
    a.multiply(kind.width * (k + 16))

    def run(x: Array) -> Array:
        distances, nearest = _nearest(_rows(x), k)
        weight = np.ones(distances.shape)
        if weights == "distance":
            zero = distances == 0
            weight = np.where(zero.any(axis=1, keepdims=True), zero.astype(np.float64), 1.0 / distances)
        total = np.zeros((len(nearest), outputs))
        everyone = np.arange(len(nearest))
        for j in range(k):
            if targets is None:
                total[everyone, labels[nearest[:, j]]] += weight[:, j]
            else:
                total += weight[:, j, None] * targets[nearest[:, j]]
        return total / _ordered_sum(weight)[:, None]

    return Kind("f64", (outputs,)), run


def _nearest(y: Array, k: int) -> tuple[Array, Array]:
    """The k smallest elements of each row, ascending, and their positions: (n, k) each."""
    places = np.nonzero(_mark_smallest(y, k))[1].reshape(len(y), k)
    chosen = np.take_along_axis(y, places, axis=1)
    order = np.argsort(chosen, axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1), np.take_along_axis(places, order, axis=1)


# -- ovo_vote ----------------------------------------------------------------------------------------------------------


@op(1)
def ovo_vote(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Class scores from one-against-one decisions, pairs in lexicographic order."""
    dtype, np_dtype = _float_row(a, kind)
    classes, mode = a.integer("classes", 2), a.word("mode", "votes", "ovr", "coupling")
    if kind.width != classes * (classes - 1) // 2:
        raise a.refuse(f"reads {kind.width} decisions for {classes} classes; it needs {classes * (classes - 1) // 2}")
    first, second = np.triu_indices(classes, 1)
    if mode == "coupling":
        a.multiply(classes * classes * max(100, classes))
        prob_a, prob_b = (a.tensor(key, (dtype,), kind.width).astype(np.float64) for key in ("prob_a", "prob_b"))

    def counted(winners: Array) -> Array:
        places = winners + classes * np.arange(len(winners))[:, None]
        return np.bincount(places.ravel(), minlength=len(winners) * classes).reshape(-1, classes).astype(np.float64)

    def totals(d: Array) -> Array:
        """The sum per class; its pairs (j, i), j < i, come before the pairs (i, j), each kind in ascending order."""
        table = np.zeros((len(d), classes, classes))
        table[:, first, second], table[:, second, first] = d, -d
        return _ordered_sum(table.reshape(-1, classes)).reshape(-1, classes)

    def votes(d: Array) -> Array:
        return counted(np.where(d > 0, first, second))

    def ovr(d: Array) -> Array:
        confidence = np.concatenate([totals(rows) for rows in np.array_split(d, max(1, d.size // 2**15))])
        return counted(np.where(d < 0, second, first)) + confidence / (3.0 * (np.abs(confidence) + 1.0))

    def coupling(d: Array) -> Array:
        r = np.zeros((len(d), classes, classes))
        r[:, first, second] = np.clip(_sigmoid(-(prob_a * d + prob_b)), 1e-7, 1 - 1e-7)
        r[:, second, first] = 1.0 - r[:, first, second]
        return r[:, [0, 1], [1, 0]] if classes == 2 else _couple(r)

    modes: dict[str, Run] = {"votes": votes, "ovr": ovr, "coupling": coupling}
    return Kind(dtype, (classes,)), lambda x: modes[mode](
        _rows(x).astype(np_dtype, copy=False).astype(np.float64, copy=False)
    ).astype(np_dtype, copy=False)


def _couple(r: Array) -> Array:
    """Class probabilities (n, c) from pairwise ones r (n, c, c), after Wu, Lin and Weng (section 9); rows stop one by one."""
    n, c, _ = r.shape
    q = -np.swapaxes(r, 1, 2) * r
    q[:, range(c), range(c)] = _ordered_sum(np.square(np.swapaxes(r, 1, 2)))
    result = np.full((n, c), 1.0 / c)
    rows, p = np.arange(n), result.copy()
    for _ in range(max(100, c)):
        qp = _ordered_sum(q * p[:, None, :])
        pqp = _ordered_sum(p * qp)
        going = ~(np.abs(qp - pqp[:, None]).max(axis=1) < 0.005 / c)
        result[rows[~going]] = p[~going]
        rows, p, q, qp, pqp = rows[going], p[going], q[going], qp[going], pqp[going]
        for t in range(c):
            diff = (pqp - qp[:, t]) / q[:, t, t]
            p[:, t] += diff
            pqp = (pqp + diff * (diff * q[:, t, t] + 2.0 * qp[:, t])) / (1.0 + diff) / (1.0 + diff)
            qp = (qp + diff[:, None] * q[:, t]) / (1.0 + diff)[:, None]
            p = p / (1.0 + diff)[:, None]
    result[rows] = p
    return result


# ==== Text ============================================================================================================

LAST_POINT = 0x10FFFF
LONGEST_TERM = 64  # words or characters
REMEMBERED = 2**15  # terms whose columns are kept while a block of rows is counted
SIGMA, SMALL_SIGMA, FINAL_SIGMA = "\u03a3", "\u03c3", "\u03c2"
HANGUL = range(0xAC00, 0xD7A4)


def _strings(a: Attributes, key: str) -> list[str]:
    """A list of strings without null."""
    texts = a.tensor(key, ("str",), None).tolist()
    if None in texts:
        raise a.refuse(f"has null in {key}")
    for text in texts:
        _utf8(a, text)
    return texts


def _utf8(a: Attributes, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise a.refuse("has a text with half of a surrogate pair, which is no character") from None


# -- sets of code points -----------------------------------------------------------------------------------------------


class CodePoints:
    """A set of code points, given as ranges lo, hi, lo, hi, ..."""

    def __init__(self, a: Attributes, key: str) -> None:
        ends = a.integers(key, None)
        low, high = ends[::2], ends[1::2]
        if len(low) != len(high) or not ((low >= 0) & (low <= high) & (high <= LAST_POINT)).all() or (low[1:] <= high[:-1]).any():
            raise a.refuse(f"has {key} that are not ascending ranges lo, hi within 0..{LAST_POINT}")
        self._bounds = np.stack([low, high + 1], axis=1).ravel().astype(np.uint32)  # where membership changes
        self._ascii = self._within(np.arange(128, dtype=np.uint32))

    def _within(self, codes: Array) -> Array:
        return np.searchsorted(self._bounds, codes, side="right") % 2 == 1

    def mark(self, text: str) -> Array:
        """Which code points of a text are in the set: bool (len(text),)."""
        if text.isascii():
            return self._ascii[np.frombuffer(text.encode("ascii"), dtype=np.uint8)]
        return self._within(np.frombuffer(text.encode("utf-32-le"), dtype="<u4"))


def _runs(marks: Array) -> Iterator[tuple[int, int]]:
    """(begin, end) of the maximal runs of true elements."""
    edges = np.flatnonzero(np.diff(marks, prepend=False, append=False)).tolist()
    return zip(edges[::2], edges[1::2])


# -- folding -----------------------------------------------------------------------------------------------------------


class Folding:
    """What becomes of the code points of a text before terms are found in it."""

    def __init__(self, a: Attributes) -> None:
        self._refuse, self._limit = a.refuse, a.limits.tensor_elements
        self._table = _read_fold_table(a) if _both(a, "fold_from", "fold_to") else {}
        self._hangul, self._ascii = a.flag("hangul"), a.flag("ascii")
        self._sigma = _both(a, "cased", "case_ignorable")
        self.longest = max([3 if self._hangul else 1, *map(len, self._table.values())])  # what a character may become
        if self._ascii and (self._hangul or self._sigma):
            raise a.refuse("has ascii beside hangul or cased; they do not go together")
        if self._sigma:
            self._cased, self._ignorable = CodePoints(a, "cased"), CodePoints(a, "case_ignorable")

    def fold(self, text: str) -> str:
        counts = Counter(text)
        table = {ord(character): self._folded(ord(character)) for character in counts}
        if sum(times * len(table[ord(character)]) for character, times in counts.items()) > self._limit:
            raise self._refuse(f"reads a text that has more than {self._limit} characters when it is folded")
        if not self._sigma or SIGMA not in counts:
            return text.translate(table)
        parts = [part.translate(table) for part in text.split(SIGMA)]
        sigmas = [FINAL_SIGMA if final else SMALL_SIGMA for final in self._final_sigmas(text)]
        return parts[0] + "".join(sigma + part for sigma, part in zip(sigmas, parts[1:]))

    def _folded(self, code: int) -> str:
        """What becomes of a code point, but for a capital sigma that ends a word."""
        if code in self._table:
            return self._table[code]
        if self._hangul and code in HANGUL:
            lead, rest = divmod(code - HANGUL.start, 588)
            vowel, trail = divmod(rest, 28)
            return chr(0x1100 + lead) + chr(0x1161 + vowel) + (chr(0x11A7 + trail) if trail else "")
        return "" if self._ascii and code >= 128 else chr(code)

    def _final_sigmas(self, text: str) -> list[bool]:
        """For each capital sigma whether, beyond ignorable characters, a cased one stands before it and none behind."""
        cased, places = self._cased.mark(text), np.arange(len(text))
        counted = ~self._ignorable.mark(text)
        before = np.maximum.accumulate(np.where(counted, places, -1))
        behind = np.minimum.accumulate(np.where(counted, places, len(text))[::-1])[::-1]
        before, behind = np.append(-1, before[:-1]), np.append(behind[1:], len(text))  # of the neighbours
        cased = np.append(cased, False)  # what lies beyond the ends, at -1 and len(text), is not cased
        final = cased[before] & ~cased[behind]
        return [bool(final[i]) for i, character in enumerate(text) if character == SIGMA]


def _both(a: Attributes, one: str, other: str) -> bool:
    """Whether two attributes are there; one without the other is refused."""
    if a.has(one) != a.has(other):
        raise a.refuse(f"has only one of {one} and {other}, which go together")
    return a.has(one)


def _read_fold_table(a: Attributes) -> dict[int, str]:
    codes, texts = a.integers("fold_from", None), _strings(a, "fold_to")
    if len(codes) != len(texts):
        raise a.refuse(f"has {len(codes)} elements in fold_from but {len(texts)} in fold_to")
    if not (codes[:-1] < codes[1:]).all() or not ((codes >= 0) & (codes <= LAST_POINT)).all():
        raise a.refuse(f"has a fold_from that does not ascend within 0..{LAST_POINT}")
    return dict(zip(codes.tolist(), texts))


# -- terms -------------------------------------------------------------------------------------------------------------

Split = Callable[[str], Iterator[list[str]]]  # a folded text -> its terms in order, some at a time
TOGETHER_TERMS = 2**14  # about so many of the terms within words


def _split_words(a: Attributes, lengths: range) -> Split:
    """Runs of words, joined by spaces."""
    characters, stop = CodePoints(a, "word"), frozenset(_strings(a, "stop") if a.has("stop") else ())
    shortest = a.integer("min_word", 1) if a.has("min_word") else 2

    def split(text: str) -> Iterator[list[str]]:
        runs = _runs(characters.mark(text))
        words = [word for begin, end in runs if end - begin >= shortest and (word := text[begin:end]) not in stop]
        for n in lengths[: len(words)]:
            yield [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]

    return split


def _split_characters(a: Attributes, lengths: range) -> Split:
    """Runs of characters."""
    space = CodePoints(a, "space")

    def split(text: str) -> Iterator[list[str]]:
        text = _join_spaces(text, space)
        for n in lengths[: len(text)]:
            yield [text[i : i + n] for i in range(len(text) - n + 1)]

    return split


def _split_within_words(a: Attributes, lengths: range) -> Split:
    """Runs of characters of single words, each with a space before and behind it; a short word is a term itself, once."""
    space = CodePoints(a, "space")

    def split(text: str) -> Iterator[list[str]]:
        text, terms = _join_spaces(text, space), []
        for begin, end in _runs(~space.mark(text)):
            word = f" {text[begin:end]} "
            for n in lengths:
                terms += [word[i : i + n] for i in range(max(1, len(word) - n + 1))]
                if len(terms) >= TOGETHER_TERMS:
                    yield terms
                    terms = []
                if len(word) <= n:
                    break
        yield terms

    return split


def _join_spaces(text: str, space: CodePoints) -> str:
    """Every run of two or more spaces becomes one U+0020."""
    parts, at = [], 0
    for begin, end in _runs(space.mark(text)):
        if end - begin > 1:
            parts += [text[at:begin], " "]
            at = end
    return "".join([*parts, text[at:]])


# -- counts ------------------------------------------------------------------------------------------------------------

Place = Callable[[str], "tuple[int, float] | None"]  # a term -> its column and its sign


def _murmur(data: bytes) -> int:
    """MurmurHash3 x86 32-bit with seed 0 (Austin Appleby), unsigned."""
    whole = len(data) & ~3
    h = 0
    for block in struct.unpack_from(f"<{whole // 4}I", data):
        h ^= _scramble(block)
        h = ((h << 13 | h >> 19) * 5 + 0xE6546B64) & 0xFFFFFFFF
    h ^= _scramble(int.from_bytes(data[whole:], "little")) ^ (len(data) & 0xFFFFFFFF)
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ h >> 16


def _scramble(block: int) -> int:
    block = block * 0xCC9E2D51 & 0xFFFFFFFF
    return (block << 15 | block >> 17) * 0x1B873593 & 0xFFFFFFFF


def _read_hashing(a: Attributes) -> tuple[int, Callable[[str], tuple[int, float]]]:
    """The number of columns, and where a term counts in them: by its hash, whose sign is kept with `alternate`."""
    size, alternate = a.integer("size", 1, a.limits.value_width), a.flag("alternate", True)

    def place(term: str) -> tuple[int, float]:
        h = _murmur(_utf8(a, term))
        negative = h >= 2**31
        magnitude = 2**32 - h if negative else h
        column = magnitude % size if magnitude < 2**31 else (2**31 - 1 - (size - 1)) % size
        return column, -1.0 if negative and alternate else 1.0

    return size, place


def _read_places(a: Attributes) -> tuple[int, Place]:
    """The number of columns, and where a term counts: in those of a vocabulary, or of hashes."""
    if not a.has("vocabulary"):
        return _read_hashing(a)
    columns = _read_vocabulary(a)
    places = {term: (column, 1.0) for term, column in columns.items()}
    return len(places), places.get


def _read_vocabulary(a: Attributes) -> dict[str, int]:
    """The terms that are known, with their places."""
    terms = _strings(a, "vocabulary")
    places = {term: place for place, term in enumerate(terms)}
    if len(places) != len(terms):
        raise a.refuse("has a term twice in its vocabulary")
    return places


def _read_terms(a: Attributes, kind: Kind) -> Callable[[Any], Iterator[list[str]]]:
    """The terms of a text in order, some at a time; the text is checked, folded and split."""
    _need(a, kind, ("str",))
    if kind.width != 1:
        raise a.refuse(f"reads rows of {kind.width} texts; it takes one text per row")
    analyzer = a.word("analyzer", *ANALYZERS)
    shortest = a.integer("min_n", 1, LONGEST_TERM)
    longest = a.integer("max_n", shortest, LONGEST_TERM)
    folding, split = Folding(a), ANALYZERS[analyzer](a, range(shortest, longest + 1))
    a.strings = folding.longest * sum(range(shortest, longest + 1))

    def terms(text: Any) -> Iterator[list[str]]:
        if text is None:
            raise a.refuse("reads a missing text (null); every row needs one")
        _utf8(a, text)
        return split(folding.fold(text))

    return terms


@op(1)
def count_terms(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Counts of the terms of a text."""
    terms_of = _read_terms(a, kind)
    size, place = _read_places(a)
    binary = a.flag("binary")

    def count(text: Any, find: Place, counts: Array) -> None:
        for terms in terms_of(text):
            for term, times in Counter(terms).items():
                found = find(term)
                if found is not None:
                    counts[found[0]] = 1.0 if binary else counts[found[0]] + times * found[1]

    def run(x: Array) -> Array:
        texts, find = x.ravel().tolist(), lru_cache(REMEMBERED)(place)
        counts = np.zeros((len(texts), size))
        for text, line in zip(texts, counts):
            count(text, find, line)
        return counts

    return Kind("f64", (size,)), run


@op(1)
def term_ids(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """The terms of a text in order, as numbers, in a row of fixed length."""
    terms_of = _read_terms(a, kind)
    places = _read_vocabulary(a)
    first, unknown, fill, length = (
        a.integer(key, least) for key, least in (("first", 0), ("unknown", 0), ("fill", 0), ("length", 1))
    )

    def run(x: Array) -> Array:
        ids = np.full((len(x), length), fill, dtype=np.int64)
        for line, text in zip(ids, x.ravel().tolist()):
            found = islice((term for terms in terms_of(text) for term in terms), length)
            numbers = [places[term] + first if term in places else unknown for term in found]
            line[: len(numbers)] = numbers
        return ids

    return Kind("i64", (length,)), run


ANALYZERS: dict[str, Callable[[Attributes, range], Split]] = {
    "word": _split_words,
    "char": _split_characters,
    "char_wb": _split_within_words,
}


@op(1, 2)
def hash_terms(a: Attributes, kind: Kind, numbers: Kind | None = None) -> tuple[Kind, Run]:
    """The terms prefix + cell, each with its number or 1.0, in the columns of their hashes."""
    _need_row(a, *((kind,) if numbers is None else (kind, numbers)))
    _need(a, kind, ("str",))
    if numbers is not None and (numbers.dtype, numbers.width) != ("f64", kind.width):
        raise a.refuse(f"reads {numbers.width} numbers of dtype {numbers.dtype} beside {kind.width} texts; it takes as many f64")
    prefixes = _strings(a, "prefix") if a.has("prefix") else [""]
    if len(prefixes) not in (1, kind.width):
        raise a.refuse(f"has {len(prefixes)} elements in prefix for {kind.width} columns")
    prefixes *= kind.width // len(prefixes)
    size, place = _read_hashing(a)
    a.strings = kind.counted

    def run(x: Array, y: Array | None = None) -> Array:
        cells, total = _rows(x), np.zeros((len(x), size))
        values = np.ones(cells.shape) if y is None else _rows(y)
        for prefix, texts, column in zip(prefixes, cells.T.tolist(), values.T.tolist()):
            places = {text: place(prefix + text) for text in set(texts) if text is not None}
            for line, text, value in zip(total, texts, column):
                if text is not None:
                    at, sign = places[text]
                    line[at] += sign * value
        return total

    return Kind("f64", (size,)), run


# ==== Solver ==========================================================================================================

MOST_ROUNDS = 10_000
MOST_WORK = 2**30
_ROUND = 64  # multiplications that a round counts as for every row and column of its table
MOST_PAIRED = 4096
TOGETHER = 16  # documents that lda_topics looks at together: few enough to have few different words
TINY, EPSILON = 2.0**-23, 2.0**-52


# -- what the solvers share --------------------------------------------------------------------------------------------


def _number(a: Attributes, key: str, default: float | None = None, least: float = 0.0) -> float:
    """A number, not below `least`; required unless there is a default."""
    value = a.number(key, "f64", default)
    if not value >= least:
        raise a.refuse(f"has a {key} of {value}; it must be at least {least:g}")
    return value


def _table(a: Attributes, kind: Kind, key: str, negative: bool = False) -> Array:
    """The table [k, d] of a step that reads an f64 row."""
    _need_row(a, kind)
    _need(a, kind, ("f64",))
    table = a.tensor(key, ("f64",), None, kind.width)
    if not table.size:
        raise a.refuse(f"has an empty table of {key}")
    if not np.isfinite(table).all() or (not negative and (table < 0).any()):
        raise a.refuse(f"has a number in {key} that is not finite" + ("" if negative else ", or is negative"))
    return table


def _rounds(a: Attributes) -> int:
    return a.integer("max_iter", 0, MOST_ROUNDS)


def _check_work(a: Attributes, work: int) -> None:
    if work > MOST_WORK:
        raise a.refuse(f"may take {work} operations for a row; {MOST_WORK} are allowed")


def _gram(a: Attributes, table: Array) -> Array:
    """The products of all pairs of rows of a table: [k, k]."""
    k, d = table.shape
    if k > MOST_PAIRED or k * k * d > MOST_WORK:
        raise a.refuse(
            f"has a table of {k} by {d}; at most {MOST_PAIRED} rows and {MOST_WORK} operations for their products are allowed"
        )
    a.keep(k * k)
    with np.errstate(all="ignore"):
        return _products(table, np.ascontiguousarray(table.T))


def _acceptable(a: Attributes, x: Array, nonnegative: bool = False, positive: bool = False) -> Array:
    """The rows (n, d), which must be finite, and may have to be without negative numbers or zeros."""
    rows = _rows(x)
    if not np.isfinite(rows).all():
        raise a.refuse("reads a number that is not finite")
    if (nonnegative and (rows < 0).any()) or (positive and (rows == 0).any()):
        raise a.refuse("reads a number that is negative" + (" or 0" if positive else ""))
    return rows


def _repeat(n: int, rounds: int, advance: Callable[[int, Array], Array]) -> None:
    """Rounds 1 to `rounds`: advance(number, rows still going) moves these rows on and says which of them stop."""
    going = np.arange(n)
    for number in range(1, rounds + 1):
        if not len(going):
            return
        going = going[~advance(number, going)]


# -- nmf ---------------------------------------------------------------------------------------------------------------


class Parts(NamedTuple):
    """What nmf knows of its components [k, d]."""

    components: Array
    by_column: Array  # [d, k]
    gram: Array  # [k, k]
    totals: Array  # [k]: sums of the rows
    rounds: int
    tol: float
    l1: float
    l2: float
    beta: float


@op(1)
def nmf(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Weights, not negative, with which the components add up to something near the row."""
    components, solver = _table(a, kind, "components"), a.word("solver", "cd", "mu", "minibatch")
    k, d = components.shape
    rounds, tol, l1, l2 = _rounds(a), _number(a, "tol"), _number(a, "l1", 0.0), _number(a, "l2", 0.0)
    beta = 2.0 if solver == "cd" else _number(a, "beta", 2.0, -math.inf)
    _check_work(a, rounds * k * (k if solver == "cd" else k + d))
    a.multiply(rounds * (k * (k if solver == "cd" else k + d) + _ROUND * (k + d)))
    gram = _gram(a, components)
    if solver == "cd" and l2 != 0:
        gram[np.diag_indices(k)] += l2
    parts = Parts(components, np.ascontiguousarray(components.T), gram, _ordered_sum(components), rounds, tol, l1, l2, beta)
    solve = {"cd": _descend, "mu": _multiply, "minibatch": _multiply_batch}[solver]

    def run(x: Array) -> Array:
        return solve(parts, _acceptable(a, x, solver != "minibatch", solver == "mu" and beta <= 0))

    return Kind("f64", (k,)), run


def _descend(m: Parts, x: Array) -> Array:
    """Coordinate descent: the weights [n, k] of rows x [n, d]."""
    k = len(m.gram)
    target = _products(x, m.by_column) - m.l1
    weights, first = np.zeros((len(x), k)), np.zeros(len(x))

    def advance(number: int, rows: Array) -> Array:
        w, goal, violation = weights[rows], target[rows], np.zeros(len(rows))
        for t in range(k):
            gradient = np.add.accumulate(np.column_stack([-goal[:, t], m.gram[t] * w]), axis=1)[:, -1]
            violation += np.abs(np.where((w[:, t] == 0) & ~(gradient < 0), 0.0, gradient))
            if m.gram[t, t] != 0:
                moved = w[:, t] - gradient / m.gram[t, t]
                w[:, t] = np.where(moved < 0, 0.0, moved)
        weights[rows] = w
        if number == 1:
            first[:] = violation
        return (first[rows] == 0) | (violation / first[rows] <= m.tol)

    _repeat(len(x), m.rounds, advance)
    return weights


def _floored(y: Array) -> Array:
    return np.where(y < TINY, TINY, y)


def _update(m: Parts, x: Array, w: Array, totals: Array) -> Array:
    """The weights after one multiplicative update; `totals` [k] are the denominators of beta 1."""
    if m.beta == 2:
        top, bottom = _products(x, m.by_column), _products(w, m.gram)
    else:
        y = _products(w, m.components)
        top = _products(_quotients(x, _floored(y) if m.beta < 2 else y, m.beta), m.by_column)
        if m.beta == 1:
            bottom = np.broadcast_to(totals, top.shape)
        else:
            bottom = _products(np.power(_floored(y) if m.beta < 1 else y, m.beta - 1), m.by_column)
    if m.l1 > 0:
        bottom = bottom + m.l1
    if m.l2 > 0:
        bottom = bottom + m.l2 * w
    factor = top / np.where(bottom == 0, TINY, bottom)
    if not 1 <= m.beta <= 2:
        factor = np.power(factor, 1 / (2 - m.beta) if m.beta < 1 else 1 / (m.beta - 1))
    return w * factor


def _quotients(x: Array, y: Array, beta: float) -> Array:
    """x y^(beta - 2)."""
    if beta == 1:
        return x / y
    return np.square(1 / y) * x if beta == 0 else np.power(y, beta - 2) * x


def _error(m: Parts, x: Array, w: Array) -> Array:
    """How far the rows are from what the weights make of the components: [n]."""
    y, beta = _products(w, m.components), m.beta
    if beta == 2:
        return np.sqrt(_ordered_sum(np.square(x - y)))
    counts, u = x > TINY, _floored(y)

    def total(terms: Array) -> Array:
        return _ordered_sum(np.where(counts, terms, 0.0))

    if beta == 1:
        r = total(x * np.log(x / u)) + (_ordered_sum(w * m.totals) - total(x))
    elif beta == 0:
        r = total(x / u) - x.shape[1] - total(np.log(x / u))
    else:
        r = total(np.power(x, beta)) - beta * total(x * np.power(u, beta - 1))
        r = (r + _ordered_sum(np.power(y, beta)) * (beta - 1)) / (beta * (beta - 1))
    return np.sqrt(2 * np.where(r < 0, 0.0, r))


def _start(m: Parts, x: Array) -> Array:
    k, d = m.components.shape
    return np.repeat(np.sqrt(_ordered_sum(x) / d / k)[:, None], k, axis=1)


def _multiply(m: Parts, x: Array) -> Array:
    """scikit-learn's solver mu, which keeps the denominators of beta 1 between rounds, so that l1 adds up in them."""
    weights, totals = _start(m, x), m.totals.copy()
    first = _error(m, x, weights)
    last = first.copy()

    def advance(number: int, rows: Array) -> Array:
        w = _update(m, x[rows], weights[rows], totals)
        totals[:] += m.l1
        weights[rows] = w = np.where(w < EPSILON, 0.0, w) if m.beta < 1 else w
        if not m.tol > 0 or number % 10:
            return np.zeros(len(rows), dtype=bool)
        error = _error(m, x[rows], w)
        stop = (last[rows] - error) / first[rows] < m.tol
        last[rows] = error
        return stop

    _repeat(len(x), m.rounds, advance)
    return weights


def _multiply_batch(m: Parts, x: Array) -> Array:
    """MiniBatchNMF's way: it stops when the weights do."""
    weights = _start(m, x)

    def advance(number: int, rows: Array) -> Array:
        old = weights[rows]
        weights[rows] = w = _update(m, x[rows], old, m.totals)
        change = np.sqrt(_ordered_sum(np.square(w - old))) / np.sqrt(_ordered_sum(np.square(w)))
        return (change <= m.tol) & (m.tol > 0)

    _repeat(len(x), m.rounds, advance)
    return weights


# -- lda_topics --------------------------------------------------------------------------------------------------------


@op(1)
def lda_topics(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Shares of topics in a document of counts."""
    components = _table(a, kind, "components")
    prior, rounds, tol = _number(a, "prior"), _rounds(a), _number(a, "tol")
    _check_work(a, rounds * components.size)
    a.multiply((rounds + 1) * (4 * components.size + _ROUND * sum(components.shape)))

    def run(x: Array) -> Array:
        rows = _acceptable(a, x, nonnegative=True)
        topics = np.ones((len(rows), len(components)))
        for at in range(0, len(rows), TOGETHER):
            _find_topics(components, rows[at : at + TOGETHER], topics[at : at + TOGETHER], prior, rounds, tol)
        return topics / _ordered_sum(topics)[:, None]

    return Kind("f64", (len(components),)), run


def _find_topics(components: Array, x: Array, topics: Array, prior: float, rounds: int, tol: float) -> None:
    """Weighs the topics (n, k), all 1 at first, of documents x (n, d); only the words that occur in one of them matter."""
    words = np.flatnonzero(x.any(axis=0))
    counts, table = x[:, words], components[:, words]
    by_word = np.ascontiguousarray(table.T)
    n, k = topics.shape
    expected = np.exp(np.full((n, k), _psi(np.array(1.0)) - _psi(np.array(float(k)))))

    def advance(number: int, rows: Array) -> Array:
        likely, before = _products(expected[rows], table) + EPSILON, topics[rows]
        topics[rows] = after = expected[rows] * _products(counts[rows] / likely, by_word) + prior
        expected[rows] = np.exp(_psi(after) - _psi(_ordered_sum(after))[:, None])
        return _ordered_sum(np.abs(before - after)) / k < tol

    _repeat(n, rounds, advance)


def _psi(z: Array) -> Array:
    """The derivative of log gamma, as scikit-learn computes it (J. M. Bernardo, Algorithm AS 103, 1976)."""
    near_zero = z <= 1e-6
    y, r = np.where(near_zero, 6.0, z), np.zeros(z.shape)
    for _ in range(6):
        low = y < 6
        r = np.where(low, r - 1 / y, r)
        y = np.where(low, y + 1, y)
    q = 1 / y
    r = r + (np.log(y) - 0.5 * q)
    q = q * q
    r = r - q * (1 / 12 - q * (1 / 120 - q * (1 / 252)))
    return np.where(near_zero, -0.5772156649015329 - 1 / z, r)


# -- sparse_code -------------------------------------------------------------------------------------------------------


@op(1)
def sparse_code(a: Attributes, kind: Kind) -> tuple[Kind, Run]:
    """Few weights with which the atoms add up to something near the row."""
    atoms, algorithm = _table(a, kind, "atoms", negative=True), a.word("algorithm", "omp", "lasso_cd")
    k = len(atoms)
    by_column = np.ascontiguousarray(atoms.T)
    if algorithm == "omp":
        nonzero = a.integer("nonzero", 1, k)
        _check_work(a, nonzero * k * (nonzero + 1))
        a.multiply(nonzero * k * (nonzero + 1))
        gram = _gram(a, atoms)

        def pursue(x: Array) -> Array:
            products = _products(_acceptable(a, x), by_column)
            return np.array([_pursue(gram, row, nonzero) for row in products]).reshape(len(x), k)

        return Kind("f64", (k,)), pursue
    rounds = _rounds(a)
    lasso = Lasso(_number(a, "alpha"), rounds, _number(a, "tol", 1e-8), a.flag("positive"), np.empty(0))
    _check_work(a, rounds * k * k)
    a.multiply(rounds * (k * k + _ROUND * sum(atoms.shape)))
    lasso = lasso._replace(gram=_gram(a, atoms))

    def run(x: Array) -> Array:
        rows = _acceptable(a, x)
        return _find_lasso(lasso, _ordered_sum(np.square(rows)), _products(rows, by_column))

    return Kind("f64", (k,)), run


def _pursue(gram: Array, products: Array, most: int) -> Array:
    """Orthogonal matching pursuit: the weights [k] of a row, from its products [k] with the atoms.

    The first n places of `order` are the atoms chosen; `lower` is the Cholesky factor of their products.
    """
    k = len(products)
    order, residual, lower, w = np.arange(k), products, np.zeros((most, most)), np.zeros(0)
    for n in range(most):
        m = int(np.abs(residual[order]).argmax())
        if m < n or residual[order[m]] ** 2 < EPSILON:
            break
        atom = order[m]
        own = gram[atom, atom]
        for i in range(n):
            lower[n, i] = (gram[atom, order[i]] - _dot(lower[i, :i], lower[n, :i])) / lower[i, i]
        if n:
            own = own - _dot(lower[n, :n], lower[n, :n])
            if own <= EPSILON:
                break
        lower[n, n] = np.sqrt(own)
        order[[n, m]] = order[[m, n]]
        w = _solve_cholesky(lower[: n + 1, : n + 1], products[order[: n + 1]])
        residual = products - _ordered_sum(gram[:, order[: n + 1]] * w)
    weights = np.zeros(k)
    weights[order[: len(w)]] = w
    return weights


def _dot(x: Array, y: Array) -> Array:
    """The sum of products, ascending; 0.0 for none."""
    return _ordered_sum(x * y) if len(x) else np.float64(0.0)


def _solve_cholesky(lower: Array, right: Array) -> Array:
    """w with lower lower^T w = right."""
    n = len(right)
    z, w = np.zeros(n), np.zeros(n)
    for i in range(n):
        z[i] = (right[i] - _dot(lower[i, :i], z[:i])) / lower[i, i]
    for i in reversed(range(n)):
        w[i] = (z[i] - _dot(lower[i + 1 :, i], w[i + 1 :])) / lower[i, i]
    return w


class Lasso(NamedTuple):
    """What sparse_code needs for its coordinate descent."""

    alpha: float
    rounds: int
    tol: float
    positive: bool
    gram: Array


class LassoRows(NamedTuple):
    """Rows on their way: one row of each array per row of the batch."""

    place: Array  # (n,): in the batch
    square: Array  # (n,): the row times itself
    products: Array  # (n, k): with the atoms
    fitted: Array  # (n, k): gram times w
    w: Array  # (n, k)
    out: Array  # (n, k) bool: atoms whose weight is known to be 0

    def keep(self, going: Array) -> LassoRows:
        return LassoRows(*(array[going] for array in self))


def _find_lasso(p: Lasso, square: Array, products: Array) -> Array:
    """Weights (n, k) by coordinate descent with gap safe screening."""
    n, k = products.shape
    result = np.zeros((n, k))
    out = np.broadcast_to(np.diag(p.gram) == 0, (n, k)).copy()
    rows = LassoRows(np.arange(n), square, products, np.zeros((n, k)), np.zeros((n, k)), out)
    gap, largest = _gap(p, rows)
    going = ~((gap >= 0) & (gap <= p.tol * rows.square))
    rows = rows.keep(going)
    _screen(p, rows, gap[going], largest[going])
    for number in range(1, p.rounds + 1):
        if not len(rows.place):
            break
        still = _descend_lasso(p, rows) | (number == p.rounds)
        gap, largest = _gap(p, rows)
        stop = still & (gap <= p.tol * rows.square)
        result[rows.place[stop]] = rows.w[stop]
        looked = rows.keep(still & ~stop)
        _screen(p, looked, gap[still & ~stop], largest[still & ~stop])
        for whole, part in zip((rows.fitted, rows.w, rows.out), (looked.fitted, looked.w, looked.out)):
            whole[still & ~stop] = part
        rows = rows.keep(~stop)
    result[rows.place] = rows.w
    return result


def _gap(p: Lasso, rows: LassoRows) -> tuple[Array, Array]:
    """The duality gap, and the largest product of an atom with what is left of the row: (n,) each."""
    alike, rest = _ordered_sum(rows.w * rows.products), rows.products - rows.fitted
    largest = (rest if p.positive else np.abs(rest)).max(axis=1)
    if p.alpha == 0:
        return _ordered_sum(np.square(rest)), largest
    left = rows.square + _ordered_sum(rows.w * rows.fitted) - 2 * alike
    s = np.where(largest > p.alpha, p.alpha / largest, 1.0)
    primal = 0.5 * left + p.alpha * _ordered_sum(np.abs(rows.w))
    return primal - (-0.5 * (s * s) * left + s * (rows.square - alike)), largest


def _screen(p: Lasso, rows: LassoRows, gap: Array, largest: Array) -> None:
    """Puts out the atoms that the gap shows to have weight 0."""
    if p.alpha == 0:
        return
    radius = np.sqrt(2 * np.abs(gap)) / p.alpha
    most = np.where(p.alpha > largest, p.alpha, largest)
    near = 1 - np.abs((rows.products - rows.fitted) / most[:, None])
    drop = ~rows.out & ~(near / np.sqrt(np.diag(p.gram)) <= radius[:, None])
    for atom in np.flatnonzero((drop & (rows.w != 0)).any(axis=0)).tolist():
        _set_weights(p, rows, atom, np.where(drop[:, atom], 0.0, rows.w[:, atom]))
    rows.out[drop] = True


def _set_weights(p: Lasso, rows: LassoRows, atom: int, weights: Array) -> None:
    """Gives an atom new weights (n,)."""
    change = weights - rows.w[:, atom]
    moved = np.flatnonzero(weights != rows.w[:, atom])
    if len(moved):
        rows.fitted[moved] += change[moved, None] * p.gram[atom]
        rows.w[:, atom] = weights


def _descend_lasso(p: Lasso, rows: LassoRows) -> Array:
    """One round over the atoms; whether it changed little, per row."""
    before = rows.w.copy()
    for atom in np.flatnonzero(~rows.out.all(axis=0)).tolist():
        own, w = p.gram[atom, atom], rows.w[:, atom]
        t = rows.products[:, atom] - rows.fitted[:, atom] + w * own
        shrunk = (t - np.clip(t, -np.inf if p.positive else -p.alpha, p.alpha)) / own  # towards 0 by alpha
        _set_weights(p, rows, atom, np.where(rows.out[:, atom], w, shrunk))
    most_change = np.fmax.reduce(np.abs(rows.w - before), axis=1)
    most_weight = np.fmax.reduce(np.abs(rows.w), axis=1)
    return (most_weight == 0) | (most_change / most_weight <= p.tol)
