"""Translations of the ops that explain a row by non-negative parts: nmf and lda_topics (docs/format.md, section 6.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from modelport.graph import ValueType
from modelport.ops.base import Attributes
from modelport.ops.factors import EPSILON, EULER, TINY, prepare_nmf, psi

from .arithmetic import product
from .builder import Builder, Value
from .rounds import State, ascending_sum, finite_rows, iterate, products

__all__ = ["RULES"]

Array = np.ndarray[Any, np.dtype[Any]]


def nmf(b: Builder, attributes: Attributes, out: ValueType, x: Value) -> Value:
    """Non-negative weights with which the components add up to something near each row."""
    a = prepare_nmf(attributes)
    y = x.matrix()
    refused = [(y < 0.0, "an element is negative")] if a["solver"] != "minibatch" else []
    if a["solver"] == "mu" and a["beta"] <= 0:
        refused.append((y.equals(0.0), f"an element is zero, which beta={a['beta']} does not take"))
    y = finite_rows(b, y, refused)
    b.widens(4 * (out.width + a["components"].shape[1]))
    weights = _coordinate_descent(b, a, y) if a["solver"] == "cd" else Multiplicative(b, a, y).solve()
    return weights.squeeze(1) if out.shape == () else weights


# --- coordinate descent -------------------------------------------------------------------------------------------------------


def _coordinate_descent(b: Builder, a: Attributes, x: Value) -> Value:
    gram, k = a["gram"], len(a["gram"])
    target = products(x, a["components"])
    if a["l1"] != 0:
        target = target - float(a["l1"])
    none = b.filled(1, 0.0)
    movable = np.diagonal(gram) != 0
    divisor = np.where(movable, np.diagonal(gram), 1.0)

    def step(w: Value, violation: Value, place: Value, unit: Value, row: Value, size: Value, moves: Value) -> list[Value]:
        """One weight: w [N, k], violation [N, 1]; its place [1], unit vector, row of products, divisor."""
        own = w.gather(place, axis=1)
        terms = b.concat([-target.gather(place, axis=1), w * row])
        gradient = ascending_sum(terms, k + 1)
        counted = (own.equals(0.0) & ~(gradient < 0.0)).where(0.0, gradient).abs()
        moved = own - gradient / size
        moved = (moved < 0.0).where(0.0, moved)
        return [(unit & moves).where(moved, w), violation + counted]

    tables = [np.arange(k)[:, None], np.eye(k, dtype=bool), gram, divisor[:, None], movable[:, None]]

    def turn(number: Value, state: State) -> tuple[State, Value]:
        w, violation = b.scan([(state["w"], k), (none, 1)], tables, step)
        first = number.equals(1).where(violation, state["first"])
        return {"w": w, "first": first}, first.equals(0.0) | (violation / first <= float(a["tol"]))

    return iterate(b, a["max_iter"], {"w": b.filled(k, 0.0), "first": none}, turn)["w"]


# --- multiplicative updates ---------------------------------------------------------------------------------------------------


class Multiplicative:
    """The solvers mu and minibatch: weights are multiplied by a quotient until they change no more."""

    def __init__(self, b: Builder, a: Attributes, x: Value) -> None:
        self.b, self.a, self.x = b, a, x
        self.components: Array = a["components"]
        self.beta, self.mini = a["beta"], a["solver"] == "minibatch"
        self.k, self.d = self.components.shape
        self.cover = products(x, self.components)
        self.total = ascending_sum(x, self.d)

    def solve(self) -> Value:
        """The weights: [N, k]."""
        b, a = self.b, self.a
        w = (self.total / float(self.d) / float(self.k)).sqrt() * b.constant(np.ones(self.k))
        sums = b.constant(np.ascontiguousarray(a["sums"][None]))
        if self.mini:
            shrunk = sums + float(a["l1"]) if a["l1"] > 0 else sums
            return iterate(b, a["max_iter"], {"w": w}, lambda number, state: self._mini(state["w"], shrunk))["w"]
        state = {"w": w}
        if a["l1"] > 0:
            state["sums"] = sums + 0.0
        if a["tol"] > 0:
            self.error = self._divergence(w)
            state["error"] = self.error
        return iterate(b, a["max_iter"], state, lambda number, s: self._turn(number, s, sums), shared=["sums"])["w"]

    def _mini(self, old: Value, sums: Value) -> tuple[State, Value]:
        w = self._update(old, sums)
        gap = w - old
        change = ascending_sum(gap * gap, self.k).sqrt() / ascending_sum(w * w, self.k).sqrt()
        return {"w": w}, change <= float(self.a["tol"]) if self.a["tol"] > 0 else self._never(change)

    def _turn(self, number: Value, state: State, sums: Value) -> tuple[State, Value]:
        """A round of mu. The sums grow by l1 in every round, as scikit-learn's do."""
        following = {}
        if "sums" in state:
            sums = following["sums"] = state["sums"] + float(self.a["l1"])
        w = self._update(state["w"], sums)
        following["w"] = w = (w < EPSILON).where(0.0, w) if self.beta < 1 else w
        if "error" not in state:
            return following, self._never(w.gather(np.array([0]), axis=1))
        asked = self.b.op("Mod", number, 10).equals(0)
        error = self._divergence(w)
        following["error"] = asked.where(error, state["error"])
        return following, asked & ((state["error"] - error) / self.error < float(self.a["tol"]))

    @staticmethod
    def _never(like: Value) -> Value:
        """False for every row."""
        return like.is_nan() & ~like.is_nan()

    def _update(self, w: Value, sums: Value) -> Value:
        """One multiplicative update of w [N, k]."""
        b, a, beta = self.b, self.a, self.beta
        if beta == 2:
            above, below = self.cover, product(w, a["gram"])
        else:
            y = product(w, self.components.T)
            above = product(self._ratio(floored(y) if beta < 2 else y), self.components)
            if beta == 1:
                below = sums
            else:
                below = product(b.op("Pow", floored(y) if beta < 1 else y, float(beta - 1)), self.components)
        if a["l1"] > 0 and beta != 1:
            below = below + float(a["l1"])
        if a["l2"] > 0:
            below = below + float(a["l2"]) * w
        factor = above / below.equals(0.0).where(TINY, below)
        return w * (factor if a["gamma"] == 1 else b.op("Pow", factor, float(a["gamma"])))

    def _ratio(self, y: Value) -> Value:
        if self.beta == 1:
            return self.x / y
        if self.beta == 0:
            inverse = 1.0 / y
            return inverse * inverse * self.x
        return self.b.op("Pow", y, float(self.beta - 2)) * self.x

    def _divergence(self, w: Value) -> Value:
        """The distance between rows and what the weights make of the components: [N, 1]."""
        b, x, d, beta = self.b, self.x, self.d, self.beta
        y = product(w, self.components.T)
        if beta == 2:
            gap = x - y
            return ascending_sum(gap * gap, d).sqrt()
        counts, u = x > TINY, floored(y)

        def total(terms: Value) -> Value:
            return ascending_sum(counts.where(terms, 0.0), d)

        if beta == 1:
            cover = ascending_sum(w * self.a["sums"], self.k)
            result = total(x * (x / u).log()) + (cover - total(x))
        elif beta == 0:
            ratio = x / u
            result = total(ratio) - float(d) - total(ratio.log())
        else:
            power = b.op("Pow", u, float(beta - 1))
            result = total(b.op("Pow", x, float(beta))) - float(beta) * total(x * power)
            result = result + ascending_sum(b.op("Pow", y, float(beta)), d) * float(beta - 1)
            result = result / float(beta * (beta - 1))
        return (2.0 * (result < 0.0).where(0.0, result)).sqrt()


def floored(y: Value) -> Value:
    """y, and at least 2^-23."""
    return (y < TINY).where(TINY, y)


# --- lda_topics ---------------------------------------------------------------------------------------------------------------


def digamma(z: Value) -> Value:
    """psi of positive numbers (docs/format.md, section 6.2); six steps take any of them beyond 6."""
    small = z <= 1e-6
    near_zero = -EULER - 1.0 / z
    y = small.where(1.0, z)
    result = y * 0.0
    for _ in range(6):
        low = y < 6.0
        result = low.where(result - 1.0 / y, result)
        y = low.where(y + 1.0, y)
    r = 1.0 / y
    result = result + (y.log() - 0.5 * r)
    r = r * r
    result = result - r * (1 / 12 - r * (1 / 120 - r * (1 / 252)))
    return small.where(near_zero, result)


def lda_topics(b: Builder, a: Attributes, out: ValueType, x: Value) -> Value:
    """Shares of topics in documents of counts.

    Columns without a count add 0.0 to every sum, so that all rows can be taken together.
    """
    y = x.matrix()
    y = finite_rows(b, y, [(y < 0.0, "a count is negative")])
    components: Array = a["components"]
    k, d = components.shape
    b.widens(8 * (k + d))

    def turn(number: Value, state: State) -> tuple[State, Value]:
        likely = product(state["expected"], components.T) + EPSILON
        share = state["expected"] * product(y / likely, components) + float(a["prior"])
        expected = (digamma(share) - digamma(ascending_sum(share, k))).exp()
        change = ascending_sum((state["share"] - share).abs(), k) / float(k)
        return {"share": share, "expected": expected}, change < float(a["tol"])

    begin = float(np.exp(psi(1.0) - psi(float(k))))
    share = iterate(b, a["max_iter"], {"share": b.filled(k, 1.0), "expected": b.filled(k, begin)}, turn)["share"]
    result = share / ascending_sum(share, k)
    return result.squeeze(1) if out.shape == () else result


RULES: Mapping[str, Callable[..., Value]] = {"nmf": nmf, "lda_topics": lda_topics}
