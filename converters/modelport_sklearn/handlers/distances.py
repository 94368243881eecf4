"""Distances from a row to the stored rows of a nearest-neighbours model, and how far their order can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelport.ops.arithmetic import linear

from ..builder import Array, Builder, Table
from ..ledger import Ledger
from .guards import refuse_below
from .linear import dense
from .pairwise_kernels import unit_points
from .scaling import unit_rows

EPS = float(np.finfo(np.float64).eps)
#: Distances that lie closer together than this share of them may change places from one way of computing to another.
RELATIVE = 1e-12

#: Other names of a metric -> its name in `pairwise`.
SAME: Mapping[str, str] = {
    "l2": "euclidean",
    "l1": "manhattan",
    "cityblock": "manhattan",
    "infinity": "chebyshev",
    **{name: name for name in ("euclidean", "sqeuclidean", "manhattan", "chebyshev", "cosine", "canberra", "hamming")},
    "nan_euclidean": "nan_euclidean",
}
#: Metrics that scikit-learn computes as |x|^2 + |p|^2 - 2 x p when it searches by brute force.
EXPANDED = ("euclidean", "sqeuclidean", "nan_euclidean")
#: Those for which the triangle inequality, by which trees leave out points, does not hold.
NO_METRICS = ("braycurtis", "dice", "russellrao")


@dataclass(frozen=True)
class Distances:
    """The distances `value` [m] from the row `x` to m stored points.

    blur: the share of |x|^2 + largest by which the original's squared distances may be off (0: it subtracts before it squares);
    floor: by how much its distances may be off however small they are.
    """

    value: str
    x: str
    size: int
    blur: float = 0.0
    largest: float = 0.0
    floor: float = 0.0
    squares: bool = False

    def keys(self, d: Array, x: Array) -> tuple[Array, Array]:
        """What the original compares, [n, m], and how far that may be off, [n, 1]."""
        if not self.blur:
            return d, np.full((len(d), 1), self.floor)
        error = self.blur * (np.nansum(np.square(x), axis=1) + self.largest)
        return (d if self.squares else np.square(d)), error[:, None]

    def around(self, bound: Array, d: Array, x: Array) -> tuple[Array, Array]:
        """(below, near) [n, m]: points surely nearer than a distance, and points of which rounding decides."""
        keys, error = self.keys(d, x)
        key = bound if self.squares or not self.blur else np.square(bound)
        slack = error + RELATIVE * np.abs(key)
        below = keys < key - slack
        return below, ~below & ~(keys > key + slack)

    def noisy(self, d: Array, x: Array) -> Array:
        """[n, m]: distances so small that the original knows less than ten digits of them."""
        keys, error = self.keys(d, x)
        return np.asarray(keys < 1e10 * error)


def doubt_nearest(builder: Builder, distances: Distances, k: int, targets: Array | None = None, *, exact: bool = False) -> None:
    """Rows of which rounding decides who the k nearest are; with targets [m, ...] only where they differ by more than rounding.

    exact: the distances themselves reach the output, so rows of which the original knows too few digits are in doubt too.
    """

    def judge(d: Array, x: Array) -> Array:
        d = np.where(np.isnan(d), np.inf, d)
        bound = np.partition(d, k - 1, axis=1)[:, k - 1 : k]
        below, near = distances.around(bound, d, x)
        doubted = near.sum(axis=1) > k - below.sum(axis=1)
        if targets is not None:
            for i in np.flatnonzero(doubted):
                doubted[i] = _differ(targets[near[i]])
        return np.asarray(doubted | distances.noisy(d, x).any(axis=1) if exact else doubted)

    builder.doubt(judge, distances.value, distances.x)


def _differ(targets: Array) -> bool:
    """Whether some rows of targets [m, ...] are not the same but for rounding."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(targets - targets[:1]) > 16 * EPS * np.abs(targets[:1])
    return bool((apart & (targets != targets[:1])).any())


def doubt_radius(builder: Builder, distances: Distances, radius: float, *, exact: bool = False) -> None:
    """Rows of which rounding decides whether a point lies inside the radius.

    exact: as for the nearest.
    """

    def judge(d: Array, x: Array) -> Array:
        below, near = distances.around(np.full((len(d), 1), radius), d, x)
        doubted = near.any(axis=1)
        noisy = below.any(axis=1) & distances.noisy(d, x).any(axis=1)
        return np.asarray(doubted | noisy if exact else doubted)

    builder.doubt(judge, distances.value, distances.x)


def add_distances(ledger: Ledger, builder: Builder, table: Table) -> Distances:
    """Distances to the rows of _fit_X by effective_metric_."""
    ledger.waive("metric", "metric_params", "p", "algorithm", "leaf_size", "_tree")
    metric, parameters = ledger["effective_metric_"], dict(ledger["effective_metric_params_"] or {})
    brute = ledger["_fit_method"] == "brute"
    points = ledger["_fit_X"]
    size = ledger.get("n_samples_fit_", points.shape[0])
    if metric == "precomputed":
        if table.sparse:
            raise ledger.refuse(
                "metric",
                "is 'precomputed' behind a sparse graph of neighbours, where an absent distance is no 0: leave the graph out and "
                "give the rows themselves to the estimator, with the metric of the graph.",
            )
        value = refuse_below(builder, builder.matrix(table, "distances"), 0.0)
        return Distances(value, value, size)
    if not isinstance(metric, str):
        name = getattr(metric, "__name__", type(metric).__name__)
        raise ledger.refuse(
            "metric", f"is {name}, which cannot be exported as code: use a metric by its name, or metric='precomputed'."
        )
    space = Space(ledger, builder, builder.matrix(table), points, brute)
    return space.measured(metric, parameters)


class Space:
    """The row and the stored points, and the metrics between them."""

    def __init__(self, ledger: Ledger, builder: Builder, x: str, points: Any, brute: bool = True) -> None:
        self.ledger, self.builder, self.x, self.brute = ledger, builder, x, brute
        self.points = np.ascontiguousarray(dense(points))

    def measured(self, metric: str, parameters: dict[str, Any]) -> Distances:
        """The distances by a metric that is named."""
        if metric in SAME:
            self._no_more(metric, parameters)
            return self.pairwise(SAME[metric])
        special = SPECIAL.get(metric)
        if special is None:
            raise self.ledger.refuse("metric", f"is {metric!r}, which no step expresses: use another metric.")
        if metric in NO_METRICS and not self.brute:
            raise self.ledger.refuse(
                "algorithm",
                f"searches a tree by {metric!r}, which is no metric in the strict sense, so the tree may miss neighbours: "
                "use algorithm='brute'.",
            )
        found = special(self, parameters)
        self._no_more(metric, parameters)
        return found

    def _no_more(self, metric: str, parameters: dict[str, Any]) -> None:
        left = sorted(name for name, value in parameters.items() if value is not None)
        if left:
            raise self.ledger.refuse("metric_params", f"gives {left[0]!r} to the metric {metric!r}, which is not expressed.")

    def pairwise(self, metric: str, **parameters: float) -> Distances:
        """One step `pairwise`, and the error of the original's own way of computing it."""
        if metric == "cosine":
            return self.cosine()
        value = self.builder.add("pairwise", self.x, hint="distances", points=self.points, metric=metric, **parameters)
        known = Distances(value, self.x, len(self.points))
        if not self.brute or metric not in EXPANDED:
            return known
        blur = (8 + self.points.shape[1]) * EPS * (self.points.shape[1] if metric == "nan_euclidean" else 1)
        largest = float(np.nansum(np.square(self.points), axis=1).max(initial=0.0))
        return Distances(value, self.x, known.size, blur, largest, squares=metric == "sqeuclidean")

    def cosine(self) -> Distances:
        """1 minus the product of rows of length 1; a row whose length is as good as 0 stays as it is, as in the original."""
        unit = unit_rows(self.builder, self.x, "l2")
        points = unit_points(self.points)
        product = self.builder.add("linear", unit, hint="one_minus_cosine", weight=-points, bias=np.ones(len(points)))
        value = self.builder.add("clip", product, hint="distances", min=[0.0], max=[2.0])
        return Distances(value, self.x, len(points), floor=64 * EPS)

    def moved(self, weight: Array | None = None, **scale: Array) -> Space:
        """The space behind a step that is applied to the row and to the points alike."""
        if weight is not None:
            x = self.builder.add("linear", self.x, hint="transformed", weight=weight)
            points = linear({"weight": weight, "dtype": "f64"}, self.points)
        else:
            x, points = self.builder.add("scale", self.x, hint="scaled", **scale), self.points
            points = points / scale["div"] if "div" in scale else points * scale["mul"]
        if not np.isfinite(points).all():
            raise self.ledger.refuse("metric_params", "makes distances that are not finite: give positive variances or weights.")
        return Space(self.ledger, self.builder, x, points, brute=False)


# --- metrics that need more than one step -------------------------------------------------------------------------------------


def _minkowski(space: Space, parameters: dict[str, Any]) -> Distances:
    """(sum w |x - y|^p)^(1/p)."""
    p, w = float(parameters.pop("p", 2)), parameters.pop("w", None)
    if w is not None:
        if not np.isfinite(p):
            raise space.ledger.refuse("metric_params", "weights a Minkowski metric of infinite order, which is not expressed.")
        space = space.moved(mul=np.power(np.asarray(w, dtype=np.float64), 1.0 / p))
    names = {1.0: "manhattan", 2.0: "euclidean", np.inf: "chebyshev"}
    return space.pairwise(names[p]) if p in names else space.pairwise("minkowski", p=p)


def _seuclidean(space: Space, parameters: dict[str, Any]) -> Distances:
    """Euclidean after division by the standard deviations."""
    return space.moved(div=np.sqrt(np.asarray(parameters.pop("V"), dtype=np.float64))).pairwise("euclidean")


def _mahalanobis(space: Space, parameters: dict[str, Any]) -> Distances:
    """sqrt((x - y)' VI (x - y)): euclidean after multiplication by a factor of VI."""
    v, vi = parameters.pop("V", None), parameters.pop("VI", None)
    inverse = np.linalg.inv(np.asarray(v, dtype=np.float64)) if vi is None else np.asarray(vi, dtype=np.float64)
    inverse = (inverse + inverse.T) / 2
    try:
        factor = np.linalg.cholesky(inverse)
    except np.linalg.LinAlgError:
        raise space.ledger.refuse(
            "metric_params",
            "gives a matrix that is not positive definite, so distances may not exist: give a covariance of full rank.",
        ) from None
    return space.moved(weight=np.ascontiguousarray(factor.T)).pairwise("euclidean")


def _correlation(space: Space, parameters: dict[str, Any]) -> Distances:
    """1 - cosine of rows minus their mean; rows that hardly vary are in doubt."""
    builder, x = space.builder, space.x
    mean = builder.add("reduce", x, hint="row_mean", fn="mean", keep=True)
    centered = builder.add("binary", x, mean, hint="centered", fn="sub")
    points = space.points - space.points.mean(axis=1, keepdims=True)
    spread = np.abs(points).max(axis=1, initial=0.0)
    if not (spread > 1e-12 * np.abs(space.points).max(axis=1, initial=0.0)).all():
        raise space.ledger.refuse("_fit_X", "has a row whose columns are all equal, and it correlates with none: leave it out.")
    builder.doubt(lambda c, row: ~(np.abs(c).max(axis=1) > 1e-9 * np.abs(row).max(axis=1)), centered, x)
    value = builder.add("pairwise", centered, hint="distances", points=points, metric="cosine")
    return Distances(value, centered, len(points), floor=64 * EPS)


def _braycurtis(space: Space, parameters: dict[str, Any]) -> Distances:
    """sum |x - y| / (sum |x| + sum |y|), 0 for 0 / 0."""
    builder = space.builder
    above = builder.add("pairwise", space.x, hint="differences", points=space.points, metric="manhattan")
    own = builder.add("reduce", builder.add("unary", space.x, hint="absolute", fn="abs"), hint="size", fn="sum", keep=True)
    sizes = builder.constant(np.abs(space.points).sum(axis=1), "sizes")
    below = builder.add("binary", own, sizes, hint="sizes_together", fn="add")
    return Distances(_quotient(builder, above, below), space.x, len(space.points))


def _haversine(space: Space, parameters: dict[str, Any]) -> Distances:
    """2 arcsin(sqrt(sin^2((x0 - y0) / 2) + cos x0 cos y0 sin^2((x1 - y1) / 2)))."""
    builder, points = space.builder, space.points

    def half_sine(j: int) -> str:
        own = builder.add("select", space.x, hint=f"angle_{j}", index=np.array([j]))
        apart = builder.add("binary", own, builder.constant(points[:, j], f"angles_{j}"), hint=f"apart_{j}", fn="sub")
        half = builder.add("scale", apart, hint=f"half_{j}", mul=[0.5])
        return builder.add("unary", half, hint=f"sine_{j}", fn="sin")

    first, second = half_sine(0), half_sine(1)
    own = builder.add("select", space.x, hint="latitude", index=np.array([0]))
    cosine = builder.add("unary", own, hint="cosine", fn="cos")
    cosines = builder.add("binary", cosine, builder.constant(np.cos(points[:, 0]), "cosines"), hint="cosines_together", fn="mul")
    part = builder.add("binary", builder.add("binary", cosines, second, hint="part", fn="mul"), second, hint="part", fn="mul")
    total = builder.add("binary", builder.add("unary", first, hint="square", fn="square"), part, hint="half_chord", fn="add")
    angle = builder.add("unary", builder.add("unary", total, hint="root", fn="sqrt"), hint="angle", fn="arcsin")
    return Distances(builder.add("scale", angle, hint="distances", mul=[2.0]), space.x, len(points))


def _quotient(builder: Builder, above: str, below: str) -> str:
    """above / below, and 0 where below is 0."""
    zero = builder.constant([0.0], "zero")
    empty = builder.add("binary", below, zero, hint="is_empty", fn="eq")
    return builder.add("where", empty, zero, builder.add("binary", above, below, hint="ratio", fn="div"), hint="distances")


# --- metrics of truth values --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truths:
    """Counts per stored point, as names of values [m]: columns true in both, and true in one only."""

    builder: Builder
    both: str
    unequal: str
    width: int
    own_only: str
    other_only: str

    def line(self, hint: str, both: float, unequal: float, constant: float) -> str:
        """both * count + unequal * count + constant."""
        add = [float(constant)] if constant else None
        first = self.builder.add("scale", self.both, hint=hint, mul=[float(both)])
        second = self.builder.add("scale", self.unequal, hint=hint, mul=[float(unequal)], add=add)
        return self.builder.add("binary", first, second, hint=hint, fn="add")


def _truth(formula: Callable[[Truths], str]) -> Callable[[Space, dict[str, Any]], Distances]:
    """A metric between the truth values `column != 0`."""

    def measure(space: Space, parameters: dict[str, Any]) -> Distances:
        builder, zero = space.builder, space.builder.constant([0.0], "zero")
        true = builder.add("binary", space.x, zero, hint="is_true", fn="ne")
        truth, truths = builder.add("cast", true, hint="truth", to="f64"), (space.points != 0).astype(np.float64)
        both = builder.add("pairwise", truth, hint="both", points=truths, metric="dot")
        count = builder.add("reduce", truth, hint="count", fn="sum", keep=True)
        own = builder.add("binary", count, both, hint="own_only", fn="sub")
        other = builder.add("binary", builder.constant(truths.sum(axis=1), "counts"), both, hint="other_only", fn="sub")
        unequal = builder.add("binary", own, other, hint="unequal", fn="add")
        counts = Truths(builder, both, unequal, truths.shape[1], own, other)
        return Distances(formula(counts), space.x, len(truths))

    return measure


def _share(both: float, unequal: float, constant: float, divide: tuple[float, float, float]) -> Callable[[Truths], str]:
    """(both a + unequal b + columns c) / (both a' + unequal b' + columns c')."""

    def formula(t: Truths) -> str:
        above = t.line("above", both, unequal, constant * t.width)
        below = t.line("below", divide[0], divide[1], divide[2] * t.width)
        return t.builder.add("binary", above, below, hint="distances", fn="div")

    return formula


def _undefined(formula: Callable[[Truths], str]) -> Callable[[Truths], str]:
    """A formula that is 0 / 0 between rows without a true column: how NaN is searched is undetermined."""

    def guarded(t: Truths) -> str:
        value = formula(t)
        t.builder.doubt(lambda d: np.isnan(d).any(axis=1), value)
        return value

    return guarded


def _jaccard(t: Truths) -> str:
    """Columns that differ among those that are true in one; 0 when there is none."""
    return _quotient(t.builder, t.unequal, t.line("present", 1.0, 1.0, 0.0))


def _yule(t: Truths) -> str:
    """2 c10 c01 / (c11 c00 + c10 c01), 0 when c10 c01 is 0."""
    apart = t.builder.add("binary", t.own_only, t.other_only, hint="apart", fn="mul")
    neither = t.line("neither", -1.0, -1.0, float(t.width))
    alike = t.builder.add("binary", t.both, neither, hint="alike", fn="mul")
    below = t.builder.add("binary", alike, apart, hint="below", fn="add")
    return _quotient(t.builder, t.builder.add("scale", apart, hint="above", mul=[2.0]), below)


SPECIAL: Mapping[str, Callable[[Space, dict[str, Any]], Distances]] = {
    "minkowski": _minkowski,
    "p": _minkowski,
    "seuclidean": _seuclidean,
    "mahalanobis": _mahalanobis,
    "correlation": _correlation,
    "braycurtis": _braycurtis,
    "haversine": _haversine,
    "jaccard": _truth(_jaccard),
    "dice": _truth(_undefined(_share(0, 1, 0, (2, 1, 0)))),
    "rogerstanimoto": _truth(_share(0, 2, 0, (0, 1, 1))),
    "sokalmichener": _truth(_share(0, 2, 0, (0, 1, 1))),
    "russellrao": _truth(_share(-1, 0, 1, (0, 0, 1))),
    "sokalsneath": _truth(_undefined(_share(0, 2, 0, (1, 2, 0)))),
    "yule": _truth(_yule),
}
