"""The op sparse_code of profile `solver`: a row as a sum of few atoms."""

from __future__ import annotations

import numpy as np

from ..graph import ValueType
from .base import Array, Attribute, Attributes, ascending_sum, products, refuse_row, register, require, rows
from .factors import EPSILON, ROUND, check_numbers, check_pairs, check_table, check_work, iterate


def infer_sparse_code(a: Attributes, x: ValueType) -> ValueType:
    k, d = check_table(a, "atoms", x)
    check_pairs(k, d)
    pursuit = a["algorithm"] == "omp"
    for name, fits in (("nonzero", pursuit), ("alpha", not pursuit), ("max_iter", not pursuit)):
        require((name in a) == fits, f"attribute {name!r} goes with algorithm {'omp' if name == 'nonzero' else 'lasso_cd'!r}.")
    for name in ("tol", "positive"):
        require(not (pursuit and name in a), f"attribute {name!r} goes with algorithm 'lasso_cd'.")
    check_numbers(a, "alpha", "tol")
    if pursuit:
        require(1 <= a["nonzero"] <= k, f"attribute 'nonzero' is {a['nonzero']} for {k} atoms.")
    check_work(a["nonzero"] * k * (a["nonzero"] + 1) if pursuit else a["max_iter"] * k * k, 1 if pursuit else a["max_iter"])
    return ValueType("f64", (k,))


def count_sparse_code(a: Attributes, *types: ValueType) -> int:
    """What adding one atom after another, or all rounds together, cost at most."""
    k, d = a["atoms"].shape
    if a["algorithm"] == "omp":
        return int(a["nonzero"] * k * (a["nonzero"] + 1))
    return int(a["max_iter"] * (k * k + ROUND * (k + d)))


def prepare_sparse_code(a: Attributes, *types: ValueType) -> Attributes:
    return {"tol": 1e-8, "positive": False, **a, "gram": products(a["atoms"], a["atoms"])}


def sparse_code(a: Attributes, x: Array) -> Array:
    """The weights of the atoms: few of them are not zero."""
    y = rows(x)
    refuse_row(~np.isfinite(y), "an element is not finite.")
    with np.errstate(all="ignore"):
        target = products(y, a["atoms"])
        if a["algorithm"] == "omp":
            return np.array([_pursuit(a["gram"], line, a["nonzero"]) for line in target]).reshape(target.shape)
        return Lasso(a, target, ascending_sum(np.square(y))).solve()


# --- orthogonal matching pursuit ----------------------------------------------------------------------------------------------


def _pursuit(gram: Array, target: Array, nonzero: int) -> Array:
    """One row's weights. The chosen atoms are moved to the front of `order`; lower is their Cholesky factor."""
    k = len(gram)
    order, lower, left = np.arange(k), np.zeros((nonzero, nonzero)), target
    weights = np.zeros(0)
    for n in range(nonzero):
        m = int(np.argmax(np.abs(left)))
        if m < n or left[m] * left[m] < EPSILON:
            break
        if not _extend(lower, gram[order[m], order[:n]], gram[order[m], order[m]], n):
            break
        order[[n, m]] = order[[m, n]]
        weights = _solve(lower[: n + 1, : n + 1], target[order[: n + 1]])
        left = target[order] - ascending_sum(gram[order[:, None], order[: n + 1]] * weights)
    result = np.zeros(k)
    result[order[: len(weights)]] = weights
    return result


def _extend(lower: Array, beside: Array, diagonal: float, n: int) -> bool:
    """Put row n into a Cholesky factor; False when the atom depends on those before it."""
    for i in range(n):
        lower[n, i] = (beside[i] - ascending_sum(lower[i, :i] * lower[n, :i])) / lower[i, i]
    rest = diagonal - ascending_sum(np.square(lower[n, :n]))
    if n > 0 and rest <= EPSILON:
        return False
    lower[n, n] = np.sqrt(rest)
    return True


def _solve(lower: Array, target: Array) -> Array:
    """The solution of L L' w = target."""
    n = len(lower)
    z, w = np.zeros(n), np.zeros(n)
    for i in range(n):
        z[i] = (target[i] - ascending_sum(lower[i, :i] * z[:i])) / lower[i, i]
    for i in reversed(range(n)):
        w[i] = (z[i] - ascending_sum(lower[i + 1 :, i] * w[i + 1 :])) / lower[i, i]
    return w


# --- coordinate descent for the lasso -----------------------------------------------------------------------------------------


class Lasso:
    """Coordinate descent on the Gram matrix with gap safe screening; rows side by side, each with its own course."""

    def __init__(self, a: Attributes, target: Array, square: Array) -> None:
        self.gram, self.diagonal = a["gram"], np.diagonal(a["gram"])
        self.alpha, self.tol, self.max_iter, self.positive = a["alpha"], a["tol"], a["max_iter"], a["positive"]
        self.target, self.square = target, square  # [n, k], [n]
        self.weights, self.fitted = np.zeros(target.shape), np.zeros(target.shape)
        self.out = np.zeros(target.shape, dtype=bool)

    def solve(self) -> Array:
        """The weights: [n, k]."""
        everyone = np.arange(len(self.target))
        active = everyone[~self._settled(everyone, first=True)]
        iterate(len(active), self.max_iter, lambda number, running: self._turn(number, active[running]))
        return self.weights

    def _turn(self, number: int, running: Array) -> Array:
        largest_change, largest = np.zeros(len(running)), np.zeros(len(running))
        for j in np.flatnonzero(self.diagonal != 0).tolist():
            kept = running[~self.out[running, j]]
            if not kept.size:
                continue
            old = self.weights[kept, j]
            new = self._coordinate(kept, j, old)
            self.fitted[kept] += (new - old)[:, None] * self.gram[j]
            self.weights[kept, j] = new
            place = np.searchsorted(running, kept)
            largest_change[place] = np.fmax(largest_change[place], np.abs(new - old))
            largest[place] = np.fmax(largest[place], np.abs(new))
        still = (largest == 0) | (largest_change / largest <= self.tol) | (number == self.max_iter)
        checked = running[still]
        stop = np.zeros(len(running), dtype=bool)
        if checked.size:
            stop[still] = self._settled(checked)
        return stop

    def _coordinate(self, kept: Array, j: int, old: Array) -> Array:
        """The best weight of atom j, the others staying."""
        size = self.diagonal[j]
        t = self.target[kept, j] - self.fitted[kept, j] + old * size
        best = np.sign(t) * np.maximum(np.abs(t) - self.alpha, 0.0) / size
        return np.where(t < 0, 0.0, best) if self.positive else best

    def _settled(self, chosen: Array, first: bool = False) -> Array:
        """Whether the duality gap of rows is small; the others lose the atoms that cannot be in their solution."""
        target, fitted, weights = self.target[chosen], self.fitted[chosen], self.weights[chosen]
        square, residual = self.square[chosen], target - fitted
        if self.alpha == 0:
            return np.asarray(ascending_sum(np.square(residual)) <= self.tol * square)
        cover = ascending_sum(weights * target)
        rest = square + ascending_sum(weights * fitted) - 2 * cover
        norm = residual.max(axis=1) if self.positive else np.abs(residual).max(axis=1)
        scale = np.where(norm > self.alpha, self.alpha / norm, 1.0)
        primal = 0.5 * rest + self.alpha * ascending_sum(np.abs(weights))
        gap = primal - (-0.5 * (scale * scale) * rest + scale * (square - cover))
        settled = (gap <= self.tol * square) & ((gap >= 0) | (not first))
        going = ~settled
        self._screen(chosen[going], residual[going], gap[going], norm[going])
        return np.asarray(settled)

    def _screen(self, chosen: Array, residual: Array, gap: Array, norm: Array) -> None:
        radius = np.sqrt(2 * np.abs(gap)) / self.alpha
        reach = np.where(self.alpha > norm, self.alpha, norm)
        for j in range(len(self.gram)):
            near = (1 - np.abs(residual[:, j] / reach)) / np.sqrt(self.diagonal[j]) <= radius
            leaving = chosen[~near & ~self.out[chosen, j]] if self.diagonal[j] != 0 else chosen
            self.fitted[leaving] += -self.weights[leaving, j][:, None] * self.gram[j]
            self.weights[leaving, j] = 0.0
            self.out[leaving, j] = True


register(
    "sparse_code",
    infer_sparse_code,
    sparse_code,
    exact=False,
    prepare=prepare_sparse_code,
    cost=count_sparse_code,
    atoms=Attribute("float", required=True, ranks=(2,)),
    algorithm=Attribute("choice", required=True, options=("omp", "lasso_cd")),
    nonzero=Attribute("integer"),
    alpha=Attribute("number"),
    max_iter=Attribute("integer"),
    tol=Attribute("number"),
    positive=Attribute("flag"),
)
