"""Rows for nets: chosen for several lengths, asked of the original in several batches, and picked for the artifact to carry.

A net is fed whole arrays (`arrays.Arrays`), so there are no columns and few boundaries; what its answers hang on instead is how
many rows stand beside one, how long a sequence is, where padding begins, and zeros and large numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Arrays
from .compare import compare
from .document import Tolerance, Vectors
from .errors import GraphError, InputError, ModelportError, UnsupportedModel
from .graph import FLOATS, Graph, Input, Step
from .reading import Reading
from .run import Evaluator
from .texts import SPECIAL
from .vectors import EXTREME, affordable, default_tolerance, scale_of

__all__ = ["carried", "lengths_to_try", "split_pool", "steady"]

Array = NDArray[Any]
Feeds = dict[str, Array]
#: how many rows are asked at once, to see that they do not influence each other
BATCHES = (1, 2, 5)
#: how far answers of one row may lie apart, by the rows beside it, relative to the output's scale (f32, f64)
APART = {"f32": 1e-4, "f64": 1e-8}
#: operations of a row beyond which fewer rows are asked
HEAVY = ((1 << 24, 16), (1 << 28, 8), (1 << 62, 4))
#: rows and bytes that an artifact carries at most for the first lengths
MAX_ROWS, MAX_BYTES = 32, 256 * 1024
UNKNOWN = "~ unseen ~"


def lengths_to_try(lengths: Mapping[str, int]) -> list[dict[str, int]]:
    """The sample's own lengths, then shorter and longer ones; two that are equal by chance do not stay so.

    >>> lengths_to_try({"time": 7})
    [{'time': 7}, {'time': 4}, {'time': 11}, {'time': 1}]
    """
    if not lengths:
        return [{}]
    names = list(lengths)
    tried = [
        dict(lengths),
        {name: max(1, (lengths[name] + 1) // 2 + k) for k, name in enumerate(names)},
        {name: lengths[name] + lengths[name] // 2 + 1 + 2 * k for k, name in enumerate(names)},
        dict.fromkeys(names, 1),
    ]
    return [t for i, t in enumerate(tried) if t not in tried[:i]]


def split_pool(reading: Reading, sample: Arrays, *, seed: int = 0, own_rows: bool = False) -> tuple[Vectors, Vectors]:
    """Rows with the original's answers, a set for every lengths tried; and the rows of the first lengths that it refuses.

    Lengths that the original refuses altogether are left out, and so are those that the graph refuses: an artifact refuses them
    too. UnsupportedModel when an answer depends on the rows beside it.
    """
    if reading.recorded is not None:
        return _as_recorded(reading, reading.recorded)
    rng = np.random.default_rng(seed)
    sets: list[Vectors] = []
    refused: Vectors | None = None
    for lengths in lengths_to_try(sample.lengths):
        try:
            graph = reading.graph.at(lengths)
        except GraphError:
            if not sets:
                raise
            continue
        feeds, notes = _rows(graph, sample, lengths, rng, own_rows and not sets, _count(graph))
        try:
            outputs, index = _record(reading.answer, feeds)
        except InputError:
            if not sets:
                raise
            continue
        whole = Vectors(feeds, {}, {}, "synthetic", tuple(notes))
        answered = Vectors({k: v[index] for k, v in feeds.items()}, outputs, {}, "synthetic", tuple(notes[i] for i in index))
        if not sets:
            refused = whole.take(np.setdiff1d(np.arange(len(notes)), index))
            _check_batches(reading, answered)
        sets.append(answered)
    tolerance = _tolerance(reading, sets)
    sets = [_steady(reading.graph, replace(part, tolerance=tolerance)) for part in sets]
    first = replace(sets[0], source="sample" if own_rows else "synthetic", more=tuple(part for part in sets[1:] if len(part)))
    assert refused is not None  # the first lengths are answered, or an error was raised
    return first, refused


def _as_recorded(reading: Reading, recorded: Vectors) -> tuple[Vectors, Vectors]:
    """The rows that the original answered elsewhere; none that it refuses."""
    notes = tuple(recorded.rows) or ("sample",) * len(recorded)
    rows = Vectors(recorded.inputs, recorded.outputs, {}, "sample", notes)
    tolerance = _tolerance(reading, [rows])
    none = Vectors({k: v[:0] for k, v in rows.inputs.items()}, {}, {}, "sample", ())
    return replace(rows, tolerance=tolerance), none


def carried(pool: Vectors, graph: Graph, own_rows: bool = False, seed: int = 0) -> Vectors:
    """The rows an artifact carries: of every kind for the first lengths, fewer for the others; the sample's only if asked."""
    first, *others = pool.sets()
    wanted = [i for i, note in enumerate(first.rows) if (note == "sample") == own_rows] or list(range(len(first)))
    first = first.take(np.array(wanted))
    bytes_per_row = max(1, sum(_bytes(a) for a in (*first.inputs.values(), *first.outputs.values())) // len(first))
    limit = min(int(np.clip(MAX_BYTES // bytes_per_row, 2, MAX_ROWS)), affordable(graph, pool))
    more = [_spread(part, max(1, min(3, limit // 4)), seed) for part in others]
    return replace(_spread(first, limit, seed), more=tuple(more))


def _bytes(array: Array) -> int:
    return array.nbytes if array.dtype != object else sum(16 + len(str(v)) for v in array.ravel().tolist())


def _spread(part: Vectors, limit: int, seed: int) -> Vectors:
    """At most `limit` rows, kinds in turn."""
    if len(part) <= limit:
        return part
    kinds: dict[str, list[int]] = {}
    for i in np.random.default_rng(seed).permutation(len(part)):
        kinds.setdefault(part.rows[i], []).append(int(i))
    chosen: list[int] = []
    queues = [kinds[kind] for kind in sorted(kinds, key=lambda kind: (kind != "plain", kind))]
    while len(chosen) < limit:
        chosen += [queue.pop() for queue in queues if queue]
    return part.take(np.array(sorted(chosen[:limit])))


# --- rows ---------------------------------------------------------------------------------------------------------------------


def _count(graph: Graph) -> int:
    """How many plain rows a graph is asked."""
    return next(rows for most, rows in HEAVY if graph.operations <= most)


def _rows(
    graph: Graph, sample: Arrays, lengths: Mapping[str, int], rng: np.random.Generator, own_rows: bool, count: int
) -> tuple[Feeds, list[str]]:
    """Rows of all inputs for given lengths, and why each is there."""
    inputs = {value.name: _Values(value, value.at(lengths).shape, sample.feeds()[value.name], rng) for value in graph.inputs}
    rows: list[tuple[str, dict[str, Array]]] = []

    def add(note: str, **changed: Array) -> None:
        rows.append((note, {name: changed.get(name, values.plain()) for name, values in inputs.items()}))

    if own_rows:
        given = sample.feeds()
        for i in range(min(len(sample), 64)):
            rows.append(("sample", {name: given[name][i] for name in inputs}))
    for _ in range(count):
        add("plain")
    for note, change in _EVERYWHERE.items():
        changed = {name: row for name, values in inputs.items() if (row := change(values)) is not None}
        if changed:
            add(note, **changed)
    for name, values in inputs.items():
        for note, row in values.special():
            add(note, **{name: row})
    for name, note, row in _known(graph, inputs):
        add(note, **{name: row})
    return {name: np.stack([row[name] for _, row in rows]) for name in inputs}, [note for note, _ in rows]


class _Values:
    """Draws rows for one input: numbers near the sample's own, place by place, never one of its rows."""

    def __init__(self, value: Input, shape: tuple[int, ...], given: Array, rng: np.random.Generator) -> None:
        self.value, self.shape, self.rng = value, shape, rng
        self.given = _of_lengths(given, shape)
        self.floats = value.dtype in FLOATS
        if self.floats:
            finite = given[np.isfinite(given)].astype(np.float64)
            spread = float(finite.std()) if finite.size else 1.0
            self.scale = float(np.abs(finite).max(initial=0.0)) or 1.0
            self.spread = spread or self.scale
        else:
            self.distinct = np.array(sorted({v for v in given.ravel().tolist() if v is not None}), dtype=given.dtype)

    def plain(self) -> Array:
        """A row at random."""
        if not self.floats:
            return self._drawn()
        rows = self.rng.integers(0, len(self.given), size=self.shape)
        cells = self.given.reshape(len(self.given), -1)[rows.ravel(), np.arange(rows.size)].reshape(self.shape)
        return self._cast(np.nan_to_num(cells.astype(np.float64)) + 0.3 * self.spread * self.rng.standard_normal(self.shape))

    def full(self, cell: Any) -> Array:
        """A row of one number everywhere."""
        return np.full(self.shape, cell, dtype=self.given.dtype)

    def special(self) -> Iterator[tuple[str, Array]]:
        """Rows for what this kind of input may hold: missing cells, padding, texts."""
        if self.value.missing != "error":
            for share in (0.2, 1.0):
                row = self.plain()
                row[self.rng.random(self.shape) < share] = np.nan if self.floats else None
                yield "missing", row
        if self.value.dtype == "str":
            for text in (UNKNOWN, *SPECIAL):
                yield "text", self.full(text)
        elif self.shape and self.shape[0] > 1:
            yield from self._padded()

    def _padded(self) -> Iterator[tuple[str, Array]]:
        """Rows whose first axis ends, or begins, with zeros."""
        length = self.shape[0]
        for kept in sorted({1, length // 2, length - 1}):
            row = self.plain()
            row[kept:] = 0
            if self.value.dtype == "bool":
                row[:kept] = True
            yield "padding", row
        row = self.plain()
        row[:1] = 0
        yield "padding", row

    def _drawn(self) -> Array:
        if not self.distinct.size:
            return self.full(None if self.value.dtype == "str" else 0)
        if self.value.dtype == "i64" and len(self.distinct) > 2:
            return self.rng.integers(int(self.distinct[0]), int(self.distinct[-1]) + 1, size=self.shape)
        return self.distinct[self.rng.integers(0, len(self.distinct), size=self.shape)]

    def _cast(self, row: Array) -> Array:
        return np.asarray(row).astype(self.given.dtype)


_EVERYWHERE: Mapping[str, Callable[[_Values], Array | None]] = {
    "zeros": lambda v: v.full(0) if v.value.dtype != "str" else None,
    "large": lambda v: v.full(1e3 * v.scale) if v.floats else None,
    "large negative": lambda v: v.full(-1e3 * v.scale) if v.floats else None,
    "small": lambda v: v.full(1e-30) if v.floats else None,
    "lowest": lambda v: v.full(v.distinct[0]) if not v.floats and v.distinct.size else None,
    "highest": lambda v: v.full(v.distinct[-1]) if not v.floats and v.distinct.size else None,
}


def _of_lengths(given: Array, shape: tuple[int, ...]) -> Array:
    """Rows cut, or repeated, to other lengths."""
    for axis, length in enumerate(shape, start=1):
        given = np.take(given, np.arange(length) % given.shape[axis], axis=axis)
    return given


def _known(graph: Graph, inputs: Mapping[str, _Values]) -> Iterator[tuple[str, str, Array]]:
    """Rows of what the graph tells apart in an input it reads directly: tokens, categories, edges of bins."""
    direct = {name: name for name in inputs}
    for step in graph.steps:
        source = direct.get(step.inputs[0]) if step.inputs else None
        if source is None:
            continue
        if step.op in ("reshape", "cast", "transpose", "expand"):
            direct[step.output] = source
        values = inputs[source]
        if step.op == "embedding":
            for cell in (len(step.attributes["weight"]) - 1, len(step.attributes["weight"])):
                yield source, "category", values.full(cell)
        elif step.op == "lookup":
            for key in [k for k in step.attributes["keys"].tolist()[:16] if k is not None]:
                yield source, "category", values.full(key)
            yield (
                source,
                "unknown category",
                values.full(UNKNOWN if values.value.dtype == "str" else _unseen(step.attributes["keys"])),
            )
        elif step.op == "bucketize" and values.floats:
            dtype = values.given.dtype
            for edge in np.unique(step.attributes["edges"])[:16].astype(dtype):
                for cell in (np.nextafter(edge, dtype.type(-np.inf)), edge, np.nextafter(edge, dtype.type(np.inf))):
                    yield source, "boundary", values.full(cell)


def _unseen(keys: Array) -> Any:
    """A number that is no key."""
    finite = [k for k in keys.tolist() if k == k]
    return max(finite, default=0) + 1


# --- asking -------------------------------------------------------------------------------------------------------------------


def _record(answer: Callable[[Mapping[str, Array]], dict[str, Array]], feeds: Mapping[str, Array]) -> tuple[Feeds, Array]:
    """The original's outputs, and the index of the rows it answers; frameworks raise all kinds of errors for rows they refuse."""
    n = len(next(iter(feeds.values())))
    kept: list[tuple[Array, dict[str, Array]]] = []
    reasons: list[str] = []

    def ask(rows: Array) -> None:
        try:
            kept.append((rows, answer({name: array[rows] for name, array in feeds.items()})))
        except (ModelportError, MemoryError):
            raise
        except Exception as error:  # whatever the framework says
            if len(rows) == 1:
                reasons.append(" ".join(str(error).split())[:200] or type(error).__name__)
                return
            ask(rows[: len(rows) // 2])
            ask(rows[len(rows) // 2 :])

    ask(np.arange(n))
    if not kept:
        raise InputError(f"The model answers none of the {n} rows ({reasons[0]}): hand over a sample of what it is fed.")
    outputs = {name: np.concatenate([np.asarray(part[name]) for _, part in kept]) for name in kept[0][1]}
    return outputs, np.concatenate([rows for rows, _ in kept])


def _check_batches(reading: Reading, whole: Vectors) -> None:
    """UnsupportedModel when rows are answered differently alone, by two or by five, than all together."""
    ordinary = [i for i, note in enumerate(whole.rows) if note not in EXTREME][: max(BATCHES)]
    for size in BATCHES:
        rows = np.array(ordinary[:size] if ordinary else [0])
        got = reading.answer({name: array[rows] for name, array in whole.inputs.items()})
        for name, outputs in whole.outputs.items():
            expected = outputs[rows]
            unit = APART["f64" if expected.dtype == np.float64 else "f32"]
            stated = Tolerance(unit * scale_of(outputs, whole.rows), unit) if expected.dtype.kind == "f" else Tolerance()
            report = compare(name, expected, np.asarray(got[name]), stated)
            if not report.passed:
                raise UnsupportedModel(
                    f"The model answers a row differently, depending on the rows beside it (output {name!r}, {len(rows)} at "
                    f"once: {report.problem or report.worst}): a portable artifact answers row by row. Put it into inference "
                    "mode, or leave out what mixes the rows of a batch."
                )


def _tolerance(reading: Reading, sets: Sequence[Vectors]) -> dict[str, Tolerance]:
    """Per output the widest that a set asks for: the scale is that of all lengths."""
    found: dict[str, Tolerance] = {}
    for part in sets:
        for name, stated in default_tolerance(
            reading.graph, part.outputs, part.rows, reading.unread, reading.approximate
        ).items():
            before = found.get(name, stated)
            found[name] = stated if stated.atol >= before.atol else before
    return {**found, **reading.tolerance}


def _steady(graph: Graph, part: Vectors) -> Vectors:
    """Without the made-up rows of which float arithmetic keeps too few digits.

    An extreme row's error is small beside the largest number in its own answer, and not beside each of them; and in a row of
    equal numbers a normalization divides what rounding left of their deviation, which is noise in the original.
    """
    rows = [i for i, note in enumerate(part.rows) if note not in ("plain", "sample")]
    if not rows or graph.requires == ["constant"]:
        return part
    evaluator, drop = Evaluator(graph), []
    for i in rows:
        try:
            values = evaluator.values({name: array[i : i + 1] for name, array in part.inputs.items()})
        except ModelportError:
            continue  # for the comparison to find
        for output in graph.outputs:
            row, got = part.outputs[output.name][i : i + 1], values[output.source]
            if row.dtype.kind != "f" or compare(output.name, row, got, part.tolerance[output.name]).passed:
                continue
            small = part.rows[i] in EXTREME and compare(output.name, row, got, _of_row(row)).passed
            if small or any(_amplifies(step, values) for step in graph.steps):
                drop.append(i)
    return part.take(np.setdiff1d(np.arange(len(part)), drop)) if drop else part


def _amplifies(step: Step, values: Mapping[str, Array]) -> bool:
    """Whether a step divides by a deviation so small beside its numbers that their last bits show."""
    if step.op not in ("layer_norm", "group_norm") or not step.attributes.get("center", True):
        return False
    x = values[step.inputs[0]]
    unit = float(np.finfo(x.dtype).eps)
    count = step.attributes.get("axes", 1) if step.op == "layer_norm" else None
    lead = x.shape[:-count] if count else (len(x), step.attributes["groups"])
    parts = x.reshape(int(np.prod(lead)), -1).astype(np.float64)
    with np.errstate(all="ignore"):
        deviation = np.sqrt(parts.var(axis=1) + step.attributes["eps"])
        return bool((unit * np.abs(parts).max(axis=1) > 1e-5 * deviation).any())


def steady(run: Callable[[Mapping[str, Array]], dict[str, Array]], pool: Vectors) -> Vectors:
    """Without the extreme rows of which a consumer keeps too few digits beside the largest number of its own answer."""
    kept = []
    for part in pool.sets():
        rows = np.array([i for i, note in enumerate(part.rows) if note in EXTREME], dtype=np.int64)
        drop: list[int] = []
        if rows.size:
            try:
                got = run({name: array[rows] for name, array in part.inputs.items()})
            except ModelportError:
                got = {}  # for the comparison to find
            for name in got:
                for place, i in enumerate(rows.tolist()):
                    row, mine = part.outputs[name][i : i + 1], got[name][place : place + 1]
                    if row.dtype.kind != "f" or compare(name, row, mine, part.tolerance[name]).passed:
                        continue
                    if compare(name, row, mine, _of_row(row)).passed:
                        drop.append(i)
        kept.append(part.take(np.setdiff1d(np.arange(len(part)), drop)) if drop else part)
    first, *more = kept
    return replace(first, more=tuple(part for part in more if len(part)))


def _of_row(row: Array) -> Tolerance:
    """What float arithmetic may lose of a row, relative to its largest number."""
    finite = np.abs(row[np.isfinite(row)])
    unit = 1e-4 if row.dtype == np.float32 else 1e-8
    return Tolerance(unit * float(finite.max(initial=0.0)), 0.0)
