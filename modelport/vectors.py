"""Chooses plain and boundary rows, asks the original model for its answers, and picks the rows an artifact carries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boundaries import Tracer, boundaries, categories, crossings, neighbours, path_constraints
from .document import EXACT, Tolerance, Vectors
from .errors import InputError, ModelportError
from .graph import FLOATS, WORK_PER_BYTE, Graph, Input, Step
from .ops import OPS
from .run import Evaluator
from .sample import Sample
from .texts import SPECIAL, TextPool, term_columns, text_columns

__all__ = [
    "Rows",
    "affordable",
    "cancelling",
    "cancelling_step",
    "carried",
    "choose_rows",
    "default_tolerance",
    "labels_exact",
    "record",
    "scale_of",
    "without_ties",
]

Array = NDArray[Any]
Feeds = dict[str, Array]
MAX_ROWS = 64
MAX_BYTES = 256 * 1024
UNKNOWN = "~ unseen ~"
#: kinds of rows that lie far outside the sample
EXTREME = ("extreme", "large", "large negative", "small")
#: functions that lose the digits of a large argument
PERIODIC = ("sin", "cos", "tan")
#: ops of which only the differences between the elements of a row count
WEIGHING = ("softmax", "log_softmax")


@dataclass
class Rows:
    """Input rows under construction: one dict of per-input rows, and why each is there."""

    graph: Graph
    rows: list[Feeds] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, note: str, row: Mapping[str, Array]) -> None:
        """Add one row."""
        self.rows.append({name: array.copy() for name, array in row.items()})
        self.notes.append(note)

    def feeds(self) -> Feeds:
        """All rows, batch axis first."""
        return {v.name: np.stack([row[v.name] for row in self.rows]) for v in self.graph.inputs}

    def __len__(self) -> int:
        return len(self.rows)


# --- choosing -----------------------------------------------------------------------------------------------------------------


def choose_rows(graph: Graph, sample: Sample, *, seed: int = 0, plain: int = 64, boundary: int = 96, between: int = 0) -> Rows:
    """Synthetic rows: a quantile grid, random plain rows, extremes, missing cells, every category and an unknown one, and rows
    at, just below and just above boundaries of the graph.

    plain and boundary bound the number of random rows and of boundaries; between is a number of random rows that lie off the
    sample's own values, where those are few and rows of them tie. The sample's rows themselves are never used; only
    each column's own distribution is, and of texts the words that the model knows or several rows share (`texts`).
    """
    rng = np.random.default_rng(seed)
    feeds = sample.feeds()
    columns = _Columns(graph, feeds, rng)
    rows = Rows(graph)
    for q in np.linspace(0.0, 1.0, 7):
        rows.add("grid", columns.at_quantile(q))
    for _ in range(plain):
        rows.add("plain", columns.random())
    for _ in range(between):
        rows.add("between", columns.between())
    _add_extremes(rows, columns)
    _add_missing(rows, columns, graph)
    _add_categories(rows, columns, graph)
    _add_texts(rows, columns, graph)
    _add_boundaries(rows, columns, graph, rng, boundary)
    return rows


class _Columns:
    """Draws values for input columns from the sample's own distribution, column by column."""

    def __init__(self, graph: Graph, feeds: Mapping[str, Array], rng: np.random.Generator) -> None:
        self.inputs = {v.name: v for v in graph.inputs}
        self.rng = rng
        self.pools: dict[str, list[_Pool | TextPool]] = {}
        for name in self.inputs:
            matrix = feeds[name].reshape(len(feeds[name]), -1)
            self.pools[name] = [_Pool.of(matrix[:, j]) for j in range(matrix.shape[1])]
        self.texts = text_columns(graph, feeds, rng)
        for (name, j), pool in self.texts.items():
            self.pools[name][j] = pool

    def random(self) -> Feeds:
        return {name: self._row(value, self.rng.random) for name, value in self.inputs.items()}

    def at_quantile(self, q: float) -> Feeds:
        return {name: self._row(value, lambda: q) for name, value in self.inputs.items()}

    def between(self) -> Feeds:
        """A random row whose numbers lie anywhere between the column's distinct values."""
        spread = {name: [p.spread() if isinstance(p, _Pool) else p for p in pools] for name, pools in self.pools.items()}
        return {name: self._row(value, self.rng.random, spread[name]) for name, value in self.inputs.items()}

    def _row(self, value: Input, quantile: Callable[[], float], pools: Sequence[_Pool | TextPool] | None = None) -> Array:
        cells = [pool.draw(quantile()) for pool in pools or self.pools[value.name]]
        row = np.empty(len(cells), dtype=object if value.dtype == "str" else np.float64)
        row[:] = cells
        return row.reshape(value.type.shape)


@dataclass(frozen=True)
class _Pool:
    """A column's present values, ascending; `whole` when all of them are whole numbers."""

    values: Array
    whole: bool

    @classmethod
    def of(cls, column: Array) -> _Pool:
        if column.dtype == object:
            return cls(np.array(sorted({v for v in column.tolist() if v is not None}), dtype=object), False)
        values = np.sort(column[np.isfinite(column)])
        return cls(values, bool(np.all(values == np.trunc(values))))

    def spread(self) -> _Pool:
        """The distinct values, between which any number may be drawn."""
        return self if self.values.dtype == object else _Pool(np.unique(self.values), False)

    def draw(self, q: float) -> Any:
        """The value at quantile q, between two neighbours by linear interpolation; whole numbers stay whole."""
        last = len(self.values) - 1
        if last < 0:
            return None if self.values.dtype == object else 0.0
        if self.values.dtype == object:
            return self.values[min(int(q * len(self.values)), last)]
        at = int(q * last)
        share = q * last - at
        low, high = float(self.values[at]), float(self.values[min(at + 1, last)])
        value = low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)
        return float(np.rint(value)) if self.whole else value


def _cells(graph: Graph) -> list[tuple[Input, int]]:
    return [(value, j) for value in graph.inputs for j in range(value.type.width)]


def _put(row: Feeds, value: Input, column: int, cell: Any) -> Feeds:
    changed = {name: array.copy() for name, array in row.items()}
    changed[value.name].reshape(-1)[column] = cell
    return changed


def _add_extremes(rows: Rows, columns: _Columns) -> None:
    numeric = [v for v in columns.inputs.values() if v.dtype in FLOATS]
    for note, cell in (("zeros", 0.0), ("negative zeros", -0.0), ("large", 1e6), ("large negative", -1e6), ("small", 1e-30)):
        row = columns.at_quantile(0.5)
        for value in numeric:
            row[value.name] = np.full(value.type.shape, cell)
        if numeric:
            rows.add(note, row)
    for value, j in _sampled([c for c in _cells(rows.graph) if c[0].dtype in FLOATS], 8, columns.rng):
        for cell in (1e30, -1e30):
            rows.add("extreme", _put(columns.random(), value, j, cell))


def _add_missing(rows: Rows, columns: _Columns, graph: Graph) -> None:
    cells = [c for c in _cells(graph) if c[0].missing != "error"]
    for value, j in _sampled(cells, 24, columns.rng):
        rows.add("missing", _put(columns.random(), value, j, np.nan if value.dtype in FLOATS else None))
    if cells:
        row = columns.random()
        for value, j in cells:
            row = _put(row, value, j, np.nan if value.dtype in FLOATS else None)
        rows.add("all missing", row)


def _add_categories(rows: Rows, columns: _Columns, graph: Graph) -> None:
    tracer = Tracer(graph)
    for (name, j), keys in categories(graph, tracer).items():
        value = columns.inputs[name]
        for key in _sampled(list(dict.fromkeys(keys)), 32, columns.rng):
            rows.add("category", _put(columns.random(), value, j, key))
        unknown: list[Any] = [UNKNOWN, ""] if value.dtype == "str" else [_unseen(keys), 0.5, -1.0]
        for cell in unknown:
            rows.add("unknown category", _put(columns.random(), value, j, cell))


def _add_texts(rows: Rows, columns: _Columns, graph: Graph) -> None:
    for name, j in [*columns.texts, *term_columns(graph)]:
        for text in SPECIAL:
            rows.add("text", _put(columns.random(), columns.inputs[name], j, text))


def _unseen(keys: list[Any]) -> float:
    numbers = [float(k) for k in keys if isinstance(k, (int, float)) and k == k]
    return max(numbers, default=0.0) + 1.0


def _sampled(items: list[Any], limit: int, rng: np.random.Generator) -> list[Any]:
    if len(items) <= limit:
        return items
    return [items[i] for i in np.sort(rng.choice(len(items), limit, replace=False))]


def _add_boundaries(rows: Rows, columns: _Columns, graph: Graph, rng: np.random.Generator, limit: int) -> None:
    if limit <= 0:
        return
    tracer = Tracer(graph)
    found = boundaries(graph, rng, limit)
    steps = {step.output: step for step in graph.steps}
    for boundary in found:
        source = tracer.source(boundary.value, boundary.column)
        if source is None or not source.direct or source.input.dtype not in FLOATS:
            continue
        row = columns.random()
        if boundary.node is not None:
            row = _towards(row, path_constraints(steps[boundary.step], boundary.node), boundary.value, tracer)
        for cell in neighbours(boundary.at, boundary.dtype):
            rows.add("boundary", _put(row, source.input, source.column, cell))
    base = {name: array[None] for name, array in columns.at_quantile(0.5).items()}
    try:
        between = crossings(graph, base, found, tracer)
    except ModelportError:
        return  # the middle row itself is refused by the graph; the other rows still stand
    for _, source, low, high in between:
        row = columns.random()
        for cell in (low, high):
            rows.add("boundary", _put(row, source.input, source.column, cell))


def _towards(row: Feeds, bounds: Mapping[int, tuple[float, float]], value: str, tracer: Tracer) -> Feeds:
    """Move a row's cells into the intervals that lead to a tree's node, where the cells are input columns themselves."""
    for column, (low, high) in bounds.items():
        source = tracer.source(value, column)
        if source is None or not source.direct or source.input.dtype not in FLOATS:
            continue
        cell = float(row[source.input.name].reshape(-1)[source.column])
        if not low < cell <= high:
            row = _put(row, source.input, source.column, _inside(low, high))
    return row


def _inside(low: float, high: float) -> float:
    if np.isfinite(low) and np.isfinite(high):
        middle = float(low + (high - low) / 2)
        return middle if low < middle <= high else high
    if np.isfinite(low):
        return low + max(1.0, abs(low) * 1e-3)
    return high if np.isfinite(high) else 0.0


# --- recording ----------------------------------------------------------------------------------------------------------------


def record(
    answer: Callable[[Mapping[str, Array]], dict[str, Array]], feeds: Mapping[str, Array]
) -> tuple[dict[str, Array], Array]:
    """The original's outputs on rows, and the index of the rows it answered: rows it refuses are left out.

    Raises InputError when it refuses every row.
    """
    n = len(next(iter(feeds.values())))
    kept: list[tuple[int, dict[str, Array]]] = []
    reasons: list[str] = []

    def ask(start: int, stop: int) -> None:
        part = {name: array[start:stop] for name, array in feeds.items()}
        try:
            kept.append((start, answer(part)))
        except (ValueError, TypeError, KeyError, IndexError, ArithmeticError) as error:
            if stop - start == 1:
                reasons.append(str(error).splitlines()[0] if str(error) else type(error).__name__)
                return
            middle = (start + stop) // 2
            ask(start, middle)
            ask(middle, stop)

    if n:
        ask(0, n)
    if not kept:
        why = f" ({reasons[0]})" if reasons else ""
        raise InputError(f"The model answers none of the {n} rows{why}: hand over a sample of rows it was fitted for.")
    index = np.concatenate([np.arange(start, start + len(next(iter(out.values())))) for start, out in kept])
    outputs = {name: np.concatenate([out[name] for _, out in kept]) for name in kept[0][1]}
    return outputs, index


#: ops that move or choose numbers and do not compute any
MOVING = ("cast", "select", "concat", "where", "impute", "take", "reduce max", "reduce min")


def _is_moving(step: Step) -> bool:
    return step.op in MOVING or f"{step.op} {step.attributes.get('fn')}" in MOVING


def _is_single(graph: Graph, step: Step, single: Mapping[str, bool]) -> bool:
    """Whether the original may hold this value in float32: it is f32, or computed from values that are."""
    if graph.types[step.output].dtype not in FLOATS:
        return False
    decides = step.op in ("tree_ensemble", "lookup", "bucketize", "onehot", "is_missing")
    return graph.types[step.output].dtype == "f32" or (not decides and any(single[name] for name in step.inputs))


def default_tolerance(
    graph: Graph, expected: Mapping[str, Array], notes: Sequence[str], unread: bool = False, approximate: Collection[str] = ()
) -> dict[str, Tolerance]:
    """Per output: exact when every step it comes from is exact, else 1e-12 (1e-6 where f32 is involved) relative to its scale.

    Of an unread model no step is known, so no number of it counts as exact, nor do the values named in approximate.
    """
    exact: dict[str, bool] = {v.name: True for v in graph.inputs}
    unit: dict[str, float] = {v.name: 1e-12 for v in graph.inputs}
    single: dict[str, bool] = {v.name: v.dtype == "f32" for v in graph.inputs}
    for step in graph.steps:
        known = not unread and step.output not in approximate and OPS[step.op].exact(step.attributes)
        exact[step.output] = known and all(exact[name] for name in step.inputs)
        single[step.output] = _is_single(graph, step, single)
        if single[step.output] and not _is_moving(step):
            exact[step.output] = exact[step.output] and graph.types[step.output].dtype == "f32"
            unit[step.output] = 1e-6 if not exact[step.output] else 1e-12
        unit[step.output] = max([unit.get(step.output, 1e-12), *(unit[name] for name in step.inputs)])
    result = {}
    for output in graph.outputs:
        if output.dtype not in FLOATS or exact[output.source]:
            result[output.name] = EXACT
            continue
        share = unit[output.source] if output.dtype == "f64" else 1e-6
        result[output.name] = Tolerance(atol=float(f"{share * scale_of(expected[output.name], notes):.3g}"), rtol=share)
    return result


def scale_of(values: Array, notes: Sequence[str]) -> float:
    """The largest finite magnitude over ordinary rows (extremes would make any error look small), or 1 when there is none."""
    ordinary = np.array([note not in EXTREME for note in notes], dtype=bool)
    part = values[ordinary] if ordinary.any() else values
    finite = np.abs(part[np.isfinite(part)])
    largest = float(finite.max()) if finite.size else 0.0
    return largest if largest > 0 else 1.0


def without_ties(graph: Graph, outputs: Mapping[str, Array], tolerance: Mapping[str, Tolerance]) -> Array:
    """Rows to keep: those whose label does not hang on a difference smaller than the tolerance.

    Only outputs with several columns and a tolerance can have such ties; the tolerance is taken a thousand times.
    """
    n = len(next(iter(outputs.values())))
    keep = np.ones(n, dtype=bool)
    if not any(o.role in ("prediction", "anomaly", "cluster") for o in graph.outputs):
        return keep
    scores = [o for o in graph.outputs if o.dtype in FLOATS and o.role in ("probability", "score")]
    labels = [o for o in graph.outputs if o.role == "prediction" and graph.types[o.source].width > 1]
    if labels and len(scores) == 1:  # one score per label: the labels do not compete
        return keep
    for output in scores:
        limit = tolerance[output.name]
        if limit.exact:
            continue
        values = np.asarray(outputs[output.name], dtype=np.float64).reshape(n, -1)
        margin = 1e3 * limit.atol
        if values.shape[1] == 1:
            keep &= ~(np.abs(values[:, 0]) <= margin)
        else:
            top = np.sort(values, axis=1)
            keep &= ~(top[:, -1] - top[:, -2] <= margin)
    return keep


def labels_exact(graph: Graph, approximate: Collection[str] = ()) -> bool:
    """Whether every label comes from exact steps alone, none of them named in approximate."""
    exact: dict[str, bool] = {v.name: True for v in graph.inputs}
    for step in graph.steps:
        known = step.output not in approximate and OPS[step.op].exact(step.attributes)
        exact[step.output] = known and all(exact[name] for name in step.inputs)
    labels = [o for o in graph.outputs if o.dtype not in FLOATS]
    return bool(labels) and all(exact[o.source] for o in labels)


def cancelling(graph: Graph, feeds: Mapping[str, Array], notes: Sequence[str]) -> Array:
    """Extreme rows of which a step keeps fewer than twelve digits: a `linear` with |sum w x| below 1e-4 of sum |w x|, a sine or
    cosine of an angle beyond 1e3, or a softmax that weighs numbers beyond 1e3 against each other.

    Far outside the sample large terms may cancel, and then the order of a sum decides the digits that are left, in the original
    too. Ordinary rows are never left out for this.
    """
    found = np.array([note in EXTREME for note in notes], dtype=bool)
    rows = np.flatnonzero(found)
    steps = [step for step in graph.steps if step.op in ("linear", *WEIGHING) or step.attributes.get("fn") in PERIODIC]
    if not steps or not rows.size:
        return np.zeros(len(notes), dtype=bool)
    evaluator = Evaluator(graph)
    for i in rows:
        try:
            values = evaluator.values({name: array[i : i + 1] for name, array in feeds.items()})
        except ModelportError:
            found[i] = False  # a row that only the graph refuses is for the comparison to find
            continue
        found[i] = any(_cancels(step, values) for step in steps)
    return found


def cancelling_step(graph: Graph, feeds: Mapping[str, Array], row: int) -> str | None:
    """The value of the first `linear` step of which a row keeps fewer than ten digits because huge terms cancel, or None."""
    try:
        values = Evaluator(graph).values({name: array[row : row + 1] for name, array in feeds.items()})
    except ModelportError:
        return None
    steps = [step for step in graph.steps if step.op == "linear"]
    return next((step.output for step in steps if _cancels(step, values, 1e-6)), None)


def _cancels(step: Step, values: Mapping[str, Array], kept: float = 1e-4) -> bool:
    x = np.abs(values[step.inputs[0]].reshape(1, -1).astype(np.float64))
    if step.op in WEIGHING:
        share = values[step.output] if step.op == "softmax" else np.exp(values[step.output])
        return bool((x > 1e3).any() and ((share > 1e-12) & (share < 1 - 1e-12)).any())
    if step.op != "linear":
        return bool((x > 1e3).any())
    with np.errstate(all="ignore"):
        weight = np.abs(step.attributes["weight"].astype(np.float64))
        terms = x.reshape(-1, weight.shape[1]) @ weight.T
        result = np.abs(values[step.output].astype(np.float64)).reshape(terms.shape)
        return bool((result < kept * terms).any())


# --- what an artifact carries -------------------------------------------------------------------------------------------------


def affordable(graph: Graph, pool: Vectors) -> int:
    """How many of the rows may be carried so that their replay stays within half the limit of docs/format.md, section 5."""
    parameters = sum(a.nbytes for step in graph.steps for a in step.attributes.values() if isinstance(a, np.ndarray))
    least = parameters // 8  # bytes of a document that holds them, however they are packed
    longest = max(graph.longest, pool.longest) if graph.strings else 0
    return max(1, (graph.limits.work + WORK_PER_BYTE * least) // 2 // max(1, graph.replaying(1, longest)))


def carried(pool: Vectors, graph: Graph, seed: int = 0) -> Vectors:
    """Between 8 and 64 rows of at most 256 KB: some of every kind of row, and every label that occurs."""
    row_bytes = sum(
        a[:1].nbytes if a.dtype != object else 24 * max(1, a[:1].size) for a in (*pool.inputs.values(), *pool.outputs.values())
    )
    limit = min(int(np.clip(MAX_BYTES // max(1, 3 * row_bytes), 8, MAX_ROWS)), affordable(graph, pool))
    if len(pool) <= limit:
        return pool
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for array in pool.outputs.values():
        if array.dtype.kind not in "f":
            flat = array.reshape(len(array), -1)
            for j in range(min(flat.shape[1], 8)):
                firsts = {value: i for i, value in reversed(list(enumerate(flat[:, j].tolist())))}
                chosen += list(firsts.values())[: max(2, limit // 4)]
    by_kind: dict[str, list[int]] = {}
    for i in rng.permutation(len(pool)):
        by_kind.setdefault(pool.rows[i], []).append(int(i))
    queues = [by_kind[kind] for kind in sorted(by_kind)]
    boundary = by_kind.get("boundary", [])
    while len(set(chosen)) < limit and any(queues):
        for queue in queues:
            if queue:
                chosen.append(queue.pop())
        if boundary:
            chosen.append(boundary.pop())
    index = list(dict.fromkeys(chosen))[:limit]
    return pool.take(sorted(index))
