"""How distances and kernels to stored points, and the nearest of them, are written. Importing this registers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelport.graph import Step

from .compiler import Compiler, columns, no_form
from .expressions import Expression
from .rows import row_of

Array = np.ndarray[Any, np.dtype[Any]]
Term = Callable[[Compiler, Expression, float], Expression]

# --- pairwise -----------------------------------------------------------------------------------------------------------------


def _square(c: Compiler, x: Expression, p: float) -> Expression:
    gap = c.make.apply("-", x, c.make.constant(p))
    return c.make.apply("*", gap, gap)


def _gap(c: Compiler, x: Expression, p: float) -> Expression:
    return c.make.apply("abs", c.make.apply("-", x, c.make.constant(p)))


def _canberra(c: Compiler, x: Expression, p: float) -> Expression:
    below = c.make.apply("+", c.make.apply("abs", x), c.make.constant(abs(p)))
    return _quotient(c, _gap(c, x, p), below)


def _chi2(c: Compiler, x: Expression, p: float) -> Expression:
    return _quotient(c, _square(c, x, p), c.make.apply("+", x, c.make.constant(p)))


def _differs(c: Compiler, x: Expression, p: float) -> Expression:
    return c.make.number(c.make.compare("notEqual", x, c.make.constant(p)))


def _quotient(c: Compiler, above: Expression, below: Expression) -> Expression:
    """above / below, and 0 where below is 0."""
    zero = c.make.constant(0.0)
    return c.make.choose(c.make.compare("equal", below, zero), zero, c.make.apply("/", above, below))


#: metric -> what is summed over the columns
TERMS: dict[str, Term] = {
    "sqeuclidean": _square,
    "euclidean": _square,
    "rbf": _square,
    "manhattan": _gap,
    "laplacian": _gap,
    "canberra": _canberra,
    "hamming": _differs,
    "chi2": _chi2,
    "additive_chi2": _chi2,
}


@columns("pairwise")
def pairwise(c: Compiler, step: Step, j: int) -> Expression:
    """Distance or kernel between the row and point j."""
    make, a = c.make, step.attributes
    row, point, metric = row_of(c, step), a["points"][j].astype(float).tolist(), a["metric"]
    if metric in ("dot", "poly", "sigmoid", "cosine"):
        result = _of_product(c, step, row, point)
    elif metric == "minkowski":
        total = make.total([make.apply("pow", _gap(c, x, p), make.constant(float(a["p"]))) for x, p in _pairs(row, point)])
        result = make.apply("pow", total, make.constant(1.0 / float(a["p"])))
    elif metric == "chebyshev":
        result = make.extreme("max", [_gap(c, x, p) for x, p in _pairs(row, point)])
    elif metric == "braycurtis":
        above, below = (make.total([_gap(c, x, p) for x, p in _pairs(row, q)]) for q in (point, [-p for p in point]))
        result = make.apply("/", above, below)
    elif metric == "nan_euclidean":
        result = _nan_euclidean(c, step, row, point)
    else:
        total = make.total([TERMS[metric](c, x, p) for x, p in _pairs(row, point)])
        result = _finished(c, step, metric, total, len(point))
    return c.in_dtype(step, result)


def _pairs(row: list[Expression], point: list[float]) -> list[tuple[Expression, float]]:
    return list(zip(row, point, strict=True))


def _finished(c: Compiler, step: Step, metric: str, total: Expression, width: int) -> Expression:
    """What a metric makes of the sum over the columns."""
    make = c.make
    if metric == "euclidean":
        return make.apply("sqrt", total)
    if metric == "hamming":
        return make.apply("/", total, make.constant(float(width)))
    if metric == "additive_chi2":
        return make.apply("*", total, make.constant(-1.0))
    if metric in ("rbf", "laplacian", "chi2"):
        return make.apply("exp", make.apply("*", make.constant(-float(step.attributes["gamma"])), total))
    return total


def _of_product(c: Compiler, step: Step, row: list[Expression], point: list[float]) -> Expression:
    """Metrics that are functions of the inner product."""
    make, a, metric = c.make, step.attributes, step.attributes["metric"]
    dot = make.total([make.apply("*", x, make.constant(p)) for x, p in _pairs(row, point)])
    if metric == "dot":
        return dot
    if metric == "cosine":
        return _cosine(c, step, row, dot, float(np.sqrt(np.square(point).sum())))
    inner = make.apply("+", make.apply("*", make.constant(float(a["gamma"])), dot), make.constant(float(a["coef0"])))
    return make.apply("tanh", inner) if metric == "sigmoid" else make.apply("pow", inner, make.constant(float(a["degree"])))


def _cosine(c: Compiler, step: Step, row: list[Expression], dot: Expression, size: float) -> Expression:
    make = c.make
    own = make.apply("sqrt", make.total([make.apply("*", x, x) for x in row]))
    own.hint = own.hint or f"norm({step.inputs[0]})"
    product = make.apply("*", own, make.constant(size))
    far = make.apply("-", make.constant(1.0), make.apply("/", dot, product))
    return make.choose(make.compare("equal", product, make.constant(0.0)), make.constant(1.0), far)


def _nan_euclidean(c: Compiler, step: Step, row: list[Expression], point: list[float]) -> Expression:
    """Root of the sum of squares over the columns present in both, scaled up by the share of those columns."""
    make, zero = c.make, c.make.constant(0.0)
    shared = [(x, p) for x, p in _pairs(row, point) if p == p]
    if not shared:
        raise no_form(step, "a point without any number is at no distance")
    squares = [make.choose(make.is_missing(x), zero, _square(c, x, p), certain=True) for x, p in shared]
    both = make.total([make.number(make.is_present(x)) for x, _ in shared])
    total = make.apply("/", make.total(squares), both)
    far = make.apply("sqrt", make.apply("*", total, make.constant(float(len(row)))))
    if both.kind == "constant":
        return far
    return make.only_where(make.compare("greaterThan", both, zero), far)


# --- the nearest points -------------------------------------------------------------------------------------------------------

#: distances beyond the first count as that far; then come missing ones, and those that were taken already
FARTHEST, MISSING, TAKEN = 1e308, 1.5e308, 1.7e308


def nearest(c: Compiler, step: Step) -> tuple[list[Expression], list[Expression]]:
    """The k smallest columns of a row in ascending order, ties to the first: where they stand, and how far they are.

    PMML has no function that sorts: k times, the smallest column is sought among those that were not yet taken.
    """

    def find() -> list[Expression]:
        make = c.make
        far, taken = make.constant(FARTHEST), make.constant(TAKEN)
        row = []
        for x in c.row(step.inputs[0]):
            near = make.choose(make.compare("lessThan", x, far), x, far, certain=True)
            row.append(make.choose(make.is_missing(x), make.constant(MISSING), near, certain=True))
        found = []
        for turn in range(step.attributes["k"]):
            least = make.extreme("min", row)
            least.hint = least.hint or f"{step.output}: distance {turn + 1}"
            place = first_place(c, row, least)
            place.hint = place.hint or f"{step.output}: neighbour {turn + 1}"
            found += [place, least]
            row = [make.choose(_is_at(c, place, i), taken, x) for i, x in enumerate(row)]
        return found

    found = c.per_row(step, "nearest", find)
    return found[::2], found[1::2]


def first_place(c: Compiler, row: list[Expression], extreme: Expression) -> Expression:
    """The first position at which a row holds its extreme."""
    make = c.make
    last = make.constant(float(len(row) - 1))
    hits = [make.choose(make.compare("equal", x, extreme), make.constant(float(i)), last) for i, x in enumerate(row[:-1])]
    return make.extreme("min", hits) if hits else last


def _is_at(c: Compiler, place: Expression, i: int) -> Expression:
    return c.make.compare("equal", place, c.make.constant(float(i)))


@columns("smallest")
def smallest(c: Compiler, step: Step, j: int) -> Expression:
    """1.0 at the k smallest columns of a row."""
    if step.attributes["k"] == c.type(step.output).width:
        return c.make.constant(1.0)
    places, _ = nearest(c, step)
    return c.make.total([c.make.number(_is_at(c, place, j)) for place in places])


@columns("knn")
def knn(c: Compiler, step: Step, j: int) -> Expression:
    """The (weighted) mean of a column of the nearest points' targets, or the share of their weights that a class has."""
    make, a = c.make, step.attributes
    row = c.row(step.inputs[0])
    if a["weights"] == "distance" and any(x.nullable for x in row):
        raise no_form(step, "a missing distance has no weight")
    places, distances = nearest(c, step)
    values = [_target(c, step, place, j) for place in places]
    if a["weights"] == "uniform":
        return make.apply("/", make.total(values), make.constant(float(a["k"])))
    weights = _weights(c, step, distances)
    products = [make.apply("*", w, v) for w, v in zip(weights, values, strict=True)]
    return make.apply("/", make.total(products), make.total(weights))


def _target(c: Compiler, step: Step, place: Expression, j: int) -> Expression:
    """What the point at a position adds to column j."""
    a = step.attributes
    targets = (a["targets"] == j).astype(float) if "classes" in a else a["targets"][:, j]
    if not np.isfinite(targets).all():
        raise no_form(step, "it holds a target that is no finite number")
    pairs = [(float(i), float(t)) for i, t in enumerate(targets)]
    if "classes" not in a:
        return c.make.table(place, pairs, None, None, "double", refuses=True)
    hits = [(i, 1.0) for i, t in pairs if t]
    return c.make.table(place, hits, 0.0, None, "double") if hits else c.make.constant(0.0)


def _weights(c: Compiler, step: Step, distances: list[Expression]) -> list[Expression]:
    """1 / distance; where the nearest point is at distance 0, all at distance 0 count the same, and the others nothing."""
    make, zero = c.make, c.make.constant(0.0)

    def weigh() -> list[Expression]:
        touching = make.compare("equal", distances[0], zero)
        touching.hint = f"{step.output}: at distance 0"
        at_zero = [make.number(make.compare("equal", d, zero)) for d in distances]
        away = [make.apply("/", make.constant(1.0), d) for d in distances]
        return [make.choose(touching, z, w) for z, w in zip(at_zero, away, strict=True)]

    return c.per_row(step, "weights", weigh)
