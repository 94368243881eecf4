"""The translation of sparse_code: a row as a sum of few atoms (docs/format.md, section 6.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from modelport.errors import Unsupported
from modelport.graph import ValueType
from modelport.ops.base import Attributes
from modelport.ops.coding import prepare_sparse_code
from modelport.ops.factors import EPSILON

from .builder import Builder, Value
from .rounds import State, ascending_sum, finite_rows, iterate, products

__all__ = ["RULES"]

Array = np.ndarray[Any, np.dtype[Any]]
#: atoms that a pursuit may choose: the nodes grow with their square
MOST_CHOSEN = 100


def sparse_code(b: Builder, attributes: Attributes, out: ValueType, x: Value) -> Value:
    """The weights of the atoms: few of them are not zero."""
    a = prepare_sparse_code(attributes)
    y = finite_rows(b, x.matrix())
    target = products(y, a["atoms"])
    b.widens(8 * out.width)
    if a["algorithm"] == "omp":
        if a["nonzero"] > MOST_CHOSEN:
            raise Unsupported(
                f"Step {b.scope!r} (sparse_code) chooses {a['nonzero']} atoms, and ONNX is written for at most {MOST_CHOSEN}."
            )
        weights = Pursuit(b, a, target).solve()
    else:
        b.widens(16 * out.width)
        weights = Lasso(b, a, target, ascending_sum(y * y, a["atoms"].shape[1])).solve()
    return weights.squeeze(1) if out.shape == () else weights


# --- orthogonal matching pursuit ----------------------------------------------------------------------------------------------


class Pursuit:
    """Atoms are chosen one by one; a row that has stopped keeps what it has. Every running row has chosen the same number.

    `order` [N, k] says which atom stands at a position; rows of products are in the order of the atoms.
    """

    def __init__(self, b: Builder, a: Attributes, target: Value) -> None:
        self.b, self.gram, self.nonzero = b, b.constant(a["gram"]), a["nonzero"]
        self.k = len(a["gram"])
        self.target = target
        self.order = b.repeat_row(np.arange(self.k))
        self.beside: list[Value] = []  # rows of products of the chosen atoms, each [N, k]
        self.chosen: list[Value] = []  # their numbers, each [N, 1]
        self.lower: list[list[Value]] = []  # rows of the Cholesky factor, each element [N, 1]
        self.z: list[Value] = []

    def solve(self) -> Value:
        """The weights [N, k], by atom."""
        b = self.b
        left, result = self.target, b.filled(self.k, 0.0)
        running = b.filled(1, 1.0) > 0.0
        for n in range(self.nonzero):
            going = self._choose(left, n)
            running = going if n == 0 else running & going
            weights = self._back()
            made = b.filled(self.k, 0.0)
            for atom, weight in zip(self.chosen, weights, strict=True):
                made = b.op("ScatterElements", made, atom, weight, axis=1)
            result = running.where(made, result)
            fitted = self.beside[0] * weights[0]
            for row, weight in zip(self.beside[1:], weights[1:], strict=True):
                fitted = fitted + row * weight
            left = self.target - fitted
        return result

    def _choose(self, left: Value, n: int) -> Value:
        """Take the atom that is most like what is left; [N, 1] says which rows could."""
        b = self.b
        placed = b.op("GatherElements", left, self.order, axis=1)
        size = placed.abs()
        size = size.is_nan().where(np.inf, size)
        m = b.op("ArgMax", size, dtype="i64", axis=1, keepdims=1)
        best = b.op("GatherElements", placed, m, axis=1)
        going = ~((m < n) | (best * best < EPSILON))
        atom, first = b.op("GatherElements", self.order, m, axis=1), self.order.gather(np.array([n]), axis=1)
        swapped = b.op("ScatterElements", self.order, m, first, axis=1)
        self.order = b.op("ScatterElements", swapped, self._at(n), atom, axis=1)
        row = self.gram.gather(atom.squeeze(1))  # [N, k]
        lower = self._lower(atom, n)
        diagonal = b.op("GatherElements", row, atom, axis=1)
        rest = diagonal - _total([v * v for v in lower]) if lower else diagonal
        if n:
            going = going & ~(rest <= EPSILON)
        corner = rest.sqrt()
        own = b.op("GatherElements", self.target, atom, axis=1)
        sofar = [v * z for v, z in zip(lower, self.z, strict=True)]
        self.z.append((own - _total(sofar) if sofar else own) / corner)
        self.lower.append([*lower, corner])
        self.beside.append(row)
        self.chosen.append(atom)
        return going

    def _at(self, position: int) -> Value:
        """[N, 1] of one position."""
        return self.b.repeat_row(np.array([position]))

    def _lower(self, atom: Value, n: int) -> list[Value]:
        """The new atom's row of the Cholesky factor, without its corner."""
        row: list[Value] = []
        for i in range(n):
            beside = self.b.op("GatherElements", self.beside[i], atom, axis=1)
            done = [self.lower[i][j] * row[j] for j in range(i)]
            row.append((beside - _total(done) if done else beside) / self.lower[i][i])
        return row

    def _back(self) -> list[Value]:
        """The weights of the chosen atoms."""
        n = len(self.z)
        weights: dict[int, Value] = {}
        for i in reversed(range(n)):
            done = [self.lower[j][i] * weights[j] for j in range(i + 1, n)]
            weights[i] = (self.z[i] - _total(done) if done else self.z[i]) / self.lower[i][i]
        return [weights[i] for i in range(n)]


def _total(terms: list[Value]) -> Value:
    """The sum in the order of the terms."""
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


# --- coordinate descent for the lasso -----------------------------------------------------------------------------------------


class Lasso:
    """Coordinate descent on the Gram matrix with gap safe screening; rows side by side, each with its own course."""

    def __init__(self, b: Builder, a: Attributes, target: Value, square: Value) -> None:
        self.b, self.gram = b, np.ascontiguousarray(a["gram"])
        self.k = len(self.gram)
        self.diagonal = np.diagonal(self.gram).copy()
        self.alpha, self.tol, self.max_iter = float(a["alpha"]), float(a["tol"]), a["max_iter"]
        self.positive = a["positive"]
        self.target, self.square = target, square  # [N, k], [N, 1]
        self.enough = square * self.tol

    def solve(self) -> Value:
        """The weights: [N, k]."""
        b = self.b
        weights = fitted = b.filled(self.k, 0.0)
        out = b.repeat_row(self.diagonal == 0)
        settled, gap, norm = self._gap(weights, fitted)
        settled = settled & (gap >= 0.0)
        weights, fitted, out = self._screen(weights, fitted, out, gap, norm)
        start = {"weights": weights, "fitted": fitted, "out": out.cast("i64"), "settled": settled.cast("i64")}
        return iterate(b, self.max_iter, start, self._turn)["weights"]

    def _turn(self, number: Value, state: State) -> tuple[State, Value]:
        out = state["out"].cast("bool") | state["settled"].cast("bool")
        weights, fitted, moved, largest = self._round(state["weights"], state["fitted"], out)
        still = largest.equals(0.0) | (moved / largest <= self.tol) | number.equals(self.max_iter)
        settled, gap, norm = self._gap(weights, fitted)
        screened, reduced, left_out = self._screen(weights, fitted, state["out"].cast("bool"), gap, norm)
        stop = (still & settled) | state["settled"].cast("bool")
        again = still & ~stop
        following = {
            "weights": again.where(screened, weights),
            "fitted": again.where(reduced, fitted),
            "out": again.where(left_out.cast("i64"), state["out"]),
            "settled": state["settled"],
        }
        return following, stop

    def _scan(self, state: list[tuple[Value, int]], tables: list[Array], step: Callable[..., list[Value]]) -> list[Value]:
        """Builder.scan over the atoms; the last tables are their places, unit vectors and rows of products."""
        return self.b.scan(state, [*tables, np.arange(self.k)[:, None], np.eye(self.k, dtype=bool), self.gram], step)

    def _round(self, weights: Value, fitted: Value, out: Value) -> tuple[Value, Value, Value, Value]:
        """Every atom once: weights, fitted, the largest change and the largest weight."""
        usable = np.where(self.diagonal != 0, self.diagonal, 1.0)

        def step(
            w: Value, g: Value, moved: Value, largest: Value, size: Value, place: Value, unit: Value, row: Value
        ) -> list[Value]:
            old = w.gather(place, axis=1)
            t = self.target.gather(place, axis=1) - g.gather(place, axis=1) + old * size
            above = t.abs() - self.alpha
            best = (t > 0.0).where(1.0, (t < 0.0).where(-1.0, t)) * (above < 0.0).where(0.0, above) / size
            best = (t < 0.0).where(0.0, best) if self.positive else best
            gone = out.gather(place, axis=1)
            best = gone.where(old, best)
            change = best - old
            size_of, weight = change.abs(), gone.where(0.0, best.abs())
            return [
                unit.where(best, w),
                change.equals(0.0).where(g, g + change * row),
                (size_of > moved).where(size_of, moved),
                (weight > largest).where(weight, largest),
            ]

        none = self.b.filled(1, 0.0)
        results = self._scan([(weights, self.k), (fitted, self.k), (none, 1), (none, 1)], [usable[:, None]], step)
        return results[0], results[1], results[2], results[3]

    def _gap(self, weights: Value, fitted: Value) -> tuple[Value, Value, Value]:
        """Whether the duality gap is small, the gap, and the largest residual: [N, 1] each."""
        k, residual = self.k, self.target - fitted
        if self.alpha == 0:
            gap = ascending_sum(residual * residual, k)
            return gap <= self.enough, gap, gap
        cover = ascending_sum(weights * self.target, k)
        rest = self.square + ascending_sum(weights * fitted, k) - 2.0 * cover
        norm = (residual if self.positive else residual.abs()).reduce("Max", [1], keep=True)
        scale = (norm > self.alpha).where(self.alpha / norm, 1.0)
        primal = 0.5 * rest + self.alpha * ascending_sum(weights.abs(), k)
        gap = primal - (-0.5 * (scale * scale) * rest + scale * (self.square - cover))
        return gap <= self.enough, gap, norm

    def _screen(self, weights: Value, fitted: Value, out: Value, gap: Value, norm: Value) -> tuple[Value, Value, Value]:
        """Weights, fitted and atoms left out, once those that cannot be in the solution are left out as well."""
        if self.alpha == 0:
            return weights, fitted, out
        radius = (2.0 * gap.abs()).sqrt() / self.alpha
        reach = (norm < self.alpha).where(self.alpha, norm)
        usable = np.sqrt(np.where(self.diagonal != 0, self.diagonal, 1.0))
        near = (1.0 - ((self.target - fitted) / reach).abs()) / usable <= radius
        leaving = ~near & ~out

        def step(w: Value, g: Value, place: Value, unit: Value, row: Value) -> list[Value]:
            own, gone = w.gather(place, axis=1), leaving.gather(place, axis=1)
            return [(gone & unit).where(0.0, w), (gone & ~own.equals(0.0)).where(g - own * row, g)]

        weights, fitted = self._scan([(weights, self.k), (fitted, self.k)], [], step)
        return weights, fitted, out | leaving


RULES: Mapping[str, Callable[..., Value]] = {"sparse_code": sparse_code}
