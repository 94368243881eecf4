"""Ops of profile `solver` that explain a row by non-negative parts: nmf and lda_topics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import ValueType
from .base import Array, Attribute, Attributes, ascending_sum, products, refuse_row, register, require, row, rows

MOST_ROUNDS = 10_000
MOST_WORK = 1 << 30
#: multiplications that a round counts as for every row and column of its table, whatever it does
ROUND = 64
MOST_ROWS = 4096
TINY = 2.0**-23  # what scikit-learn puts in the place of a zero denominator
EPSILON = 2.0**-52
EULER = 0.5772156649015329


# --- what the solvers share ---------------------------------------------------------------------------------------------------


def check_table(a: Attributes, name: str, x: ValueType, nonnegative: bool = False) -> tuple[int, int]:
    """The numbers k of rows and d of columns of a step's table, which must fit the row it reads."""
    width, table = row(x, ("f64",)), a[name]
    k, d = table.shape
    require(d == width, f"attribute {name!r} has {d} columns for a row of {width}.")
    require(k >= 1 and d >= 1, f"attribute {name!r} is empty.")
    require(bool(np.isfinite(table).all()), f"attribute {name!r} holds a number that is not finite.")
    require(not nonnegative or bool((table >= 0).all()), f"attribute {name!r} holds a negative number.")
    return k, d


def check_numbers(a: Attributes, *names: str) -> None:
    """Single numbers that are finite and not negative."""
    for name in names:
        require(name not in a or 0 <= a[name] < math.inf, f"attribute {name!r} is {a.get(name)}; it is finite and not negative.")


def check_work(work: int, rounds: int = 1) -> None:
    """Bounds on what one row may cost in all its rounds."""
    require(rounds <= MOST_ROUNDS, f"attribute 'max_iter' is {rounds}; the most is {MOST_ROUNDS}: set fewer on the model.")
    require(work <= MOST_WORK, f"a row may cost {work} operations, more than the limit of {MOST_WORK}.")


def check_pairs(k: int, d: int) -> None:
    """Bounds on the products of all pairs of rows of a table [k, d], which are computed once."""
    require(k <= MOST_ROWS, f"its table has {k} rows, more than the limit of {MOST_ROWS}.")
    require(k * k * d <= MOST_WORK, f"the products of its table cost {k * k * d} operations, more than the limit of {MOST_WORK}.")


def iterate(n: int, max_iter: int, turn: Callable[[int, Array], Array]) -> None:
    """Rounds 1 to max_iter: turn(number, rows still running) advances those rows and tells which of them stop."""
    running = np.arange(n)
    for number in range(1, max_iter + 1):
        if not running.size:
            break
        running = running[~turn(number, running)]


# --- nmf ----------------------------------------------------------------------------------------------------------------------


def infer_nmf(a: Attributes, x: ValueType) -> ValueType:
    k, d = check_table(a, "components", x, nonnegative=True)
    check_pairs(k, d)
    check_numbers(a, "tol", "l1", "l2")
    descent = a["solver"] == "cd"
    require(not (descent and "beta" in a), "attribute 'beta' does not go with solver 'cd'.")
    require(math.isfinite(a.get("beta", 2.0)), "attribute 'beta' is not finite.")
    check_work(a["max_iter"] * k * (k if descent else k + d), a["max_iter"])
    return ValueType("f64", (k,))


def count_nmf(a: Attributes, *types: ValueType) -> int:
    """Rounds times what one of them costs."""
    k, d = a["components"].shape
    return int(a["max_iter"] * (k * (k if a["solver"] == "cd" else k + d) + ROUND * (k + d)))


def prepare_nmf(a: Attributes, *types: ValueType) -> Attributes:
    """Products and sums of the components, and the exponent of a multiplicative update."""
    gram, beta = products(a["components"], a["components"]), a.get("beta", 2.0)
    if a["solver"] == "cd" and a["l2"] != 0:
        gram[np.diag_indices(len(gram))] += a["l2"]
    gamma = 1 / (2 - beta) if beta < 1 else 1 / (beta - 1) if beta > 2 else 1.0
    return {**a, "beta": beta, "gram": gram, "sums": ascending_sum(a["components"]), "gamma": gamma}


def nmf(a: Attributes, x: Array) -> Array:
    """Non-negative weights with which the components add up to something near each row."""
    y = rows(x)
    refuse_row(~np.isfinite(y), "an element is not finite.")
    if a["solver"] != "minibatch":
        refuse_row(y < 0, "an element is negative.")
    if a["solver"] == "mu" and a["beta"] <= 0:
        refuse_row(y == 0, f"an element is zero, which beta={a['beta']} does not take.")
    with np.errstate(all="ignore"):
        return SOLVERS[a["solver"]](a, y)


def _coordinate_descent(a: Attributes, x: Array) -> Array:
    gram, k = a["gram"], len(a["gram"])
    target = products(x, a["components"])
    if a["l1"] != 0:
        target = target - a["l1"]
    weights, first = np.zeros((len(x), k)), np.zeros(len(x))

    def turn(number: int, running: Array) -> Array:
        w, violation = weights[running], np.zeros(len(running))
        for t in range(k):
            terms = np.concatenate([-target[running, t : t + 1], gram[t] * w], axis=1)
            gradient = np.add.accumulate(terms, axis=1)[:, -1]
            violation += np.abs(np.where((w[:, t] == 0) & ~(gradient < 0), 0.0, gradient))
            if gram[t, t] != 0:
                moved = w[:, t] - gradient / gram[t, t]
                w[:, t] = np.where(moved < 0, 0.0, moved)
        weights[running] = w
        if number == 1:
            first[:] = violation
        return np.asarray((first[running] == 0) | (violation / first[running] <= a["tol"]))

    iterate(len(x), a["max_iter"], turn)
    return weights


def _start(a: Attributes, x: Array) -> Array:
    k, d = a["components"].shape
    return np.repeat(np.sqrt(ascending_sum(x) / d / k)[:, None], k, axis=1)


def _floored(y: Array) -> Array:
    return np.where(y < TINY, TINY, y)


def _update(a: Attributes, x: Array, cover: Array, w: Array, sums: Array) -> Array:
    """One multiplicative update; cover is x times the components, sums are those of the components, with l1 where beta is 1."""
    components, beta = a["components"], a["beta"]
    if beta == 2:
        above, below = cover, products(w, a["gram"])
    else:
        y = products(w, components.T)
        above = products(_ratio(x, _floored(y) if beta < 2 else y, beta), components)
        if beta == 1:
            below = np.broadcast_to(sums, above.shape)
        else:
            below = products(np.power(_floored(y) if beta < 1 else y, beta - 1), components)
    if a["l1"] > 0 and beta != 1:
        below = below + a["l1"]
    if a["l2"] > 0:
        below = below + a["l2"] * w
    factor = above / np.where(below == 0, TINY, below)
    return np.asarray(w * (factor if a["gamma"] == 1 else np.power(factor, a["gamma"])))


def _ratio(x: Array, y: Array, beta: float) -> Array:
    if beta == 1:
        return np.asarray(x / y)
    return np.square(1 / y) * x if beta == 0 else np.asarray(np.power(y, beta - 2) * x)


def _divergence(a: Attributes, x: Array, w: Array) -> Array:
    """The distance between rows and what the weights make of the components: [n]."""
    y, beta = products(w, a["components"].T), a["beta"]
    if beta == 2:
        return np.sqrt(ascending_sum(np.square(x - y)))
    counts, u = x > TINY, _floored(y)

    def total(terms: Array) -> Array:
        return ascending_sum(np.where(counts, terms, 0.0))

    if beta == 1:
        result = total(x * np.log(x / u)) + (ascending_sum(w * a["sums"]) - total(x))
    elif beta == 0:
        result = total(x / u) - x.shape[1] - total(np.log(x / u))
    else:
        result = total(np.power(x, beta)) - beta * total(x * np.power(u, beta - 1))
        result = (result + ascending_sum(np.power(y, beta)) * (beta - 1)) / (beta * (beta - 1))
    return np.asarray(np.sqrt(2 * np.where(result < 0, 0.0, result)))


def _multiplicative(a: Attributes, x: Array) -> Array:
    weights, cover = _start(a, x), products(x, a["components"])
    first = _divergence(a, x, weights)
    before, sums = first.copy(), np.array(a["sums"])

    def turn(number: int, running: Array) -> Array:
        if a["l1"] > 0:
            sums[:] += a["l1"]  # scikit-learn keeps them from round to round
        w = _update(a, x[running], cover[running], weights[running], sums)
        weights[running] = np.where(w < EPSILON, 0.0, w) if a["beta"] < 1 else w
        if not a["tol"] > 0 or number % 10:
            return np.zeros(len(running), dtype=bool)
        error = _divergence(a, x[running], weights[running])
        stop = (before[running] - error) / first[running] < a["tol"]
        before[running] = error
        return np.asarray(stop)

    iterate(len(x), a["max_iter"], turn)
    return weights


def _mini_batch(a: Attributes, x: Array) -> Array:
    weights, cover = _start(a, x), products(x, a["components"])
    sums = a["sums"] + a["l1"] if a["l1"] > 0 else a["sums"]

    def turn(number: int, running: Array) -> Array:
        old = weights[running]
        w = _update(a, x[running], cover[running], old, sums)
        weights[running] = w
        change = np.sqrt(ascending_sum(np.square(w - old))) / np.sqrt(ascending_sum(np.square(w)))
        return np.asarray((change <= a["tol"]) & (a["tol"] > 0))

    iterate(len(x), a["max_iter"], turn)
    return weights


SOLVERS: dict[str, Callable[[Attributes, Array], Array]] = {
    "cd": _coordinate_descent,
    "mu": _multiplicative,
    "minibatch": _mini_batch,
}


# --- lda_topics ---------------------------------------------------------------------------------------------------------------


def psi(z: Any) -> Any:
    """The digamma function of positive numbers, by Bernardo's algorithm (1976) as scikit-learn has it.

    >>> round(float(psi(1.0)), 7)  # minus Euler's constant, to eight digits
    -0.5772157
    """
    z = np.asarray(z, dtype=np.float64)
    near_zero = -EULER - 1 / z
    small, y, result = z <= 1e-6, z.copy(), np.zeros(z.shape)
    while ((y < 6) & ~small).any():
        low = (y < 6) & ~small
        result = np.where(low, result - 1 / y, result)
        y = np.where(low, y + 1, y)
    r = 1 / y
    result = result + (np.log(y) - 0.5 * r)
    r = r * r
    result = result - r * (1 / 12 - r * (1 / 120 - r * (1 / 252)))
    return np.where(small, near_zero, result)


def infer_lda_topics(a: Attributes, x: ValueType) -> ValueType:
    k, _ = check_table(a, "components", x, nonnegative=True)
    check_numbers(a, "prior", "tol")
    check_work(a["max_iter"] * a["components"].size, a["max_iter"])
    return ValueType("f64", (k,))


def count_lda_topics(a: Attributes, *types: ValueType) -> int:
    """Rounds times what one of them costs."""
    k, d = a["components"].shape
    return int((a["max_iter"] + 1) * (4 * k * d + ROUND * (k + d)))


def lda_topics(a: Attributes, x: Array) -> Array:
    """Shares of topics in documents of counts."""
    y = rows(x)
    refuse_row(~np.isfinite(y), "a count is not finite.")
    refuse_row(y < 0, "a count is negative.")
    with np.errstate(all="ignore"):
        return _topics(a, y)


def _topics(a: Attributes, x: Array) -> Array:
    k = len(a["components"])
    seen = [np.flatnonzero(line) for line in x]
    counts = [line[columns] for line, columns in zip(x, seen, strict=True)]
    share, expected = np.ones((len(x), k)), np.exp(np.full((len(x), k), psi(1.0) - psi(float(k))))

    def turn(number: int, running: Array) -> Array:
        before = share[running]
        for i in running.tolist():
            words = a["components"][:, seen[i]]
            likely = products(expected[i : i + 1], words.T) + EPSILON
            share[i] = expected[i] * products(counts[i] / likely, words)[0] + a["prior"]
        after = share[running]
        expected[running] = np.exp(psi(after) - psi(ascending_sum(after))[:, None])
        return np.asarray(ascending_sum(np.abs(before - after)) / k < a["tol"])

    iterate(len(x), a["max_iter"], turn)
    return np.asarray(share / ascending_sum(share)[:, None])


NUMBER, COMPONENTS = Attribute("number", required=True), Attribute("float", required=True, ranks=(2,))
ROUNDS, ABSENT = Attribute("integer", required=True), Attribute("number", default=0.0)
register(
    "nmf",
    infer_nmf,
    nmf,
    exact=False,
    prepare=prepare_nmf,
    cost=count_nmf,
    components=COMPONENTS,
    solver=Attribute("choice", required=True, options=tuple(SOLVERS)),
    max_iter=ROUNDS,
    tol=NUMBER,
    l1=ABSENT,
    l2=ABSENT,
    beta=Attribute("number"),
)
register(
    "lda_topics",
    infer_lda_topics,
    lda_topics,
    exact=False,
    cost=count_lda_topics,
    components=COMPONENTS,
    prior=NUMBER,
    max_iter=ROUNDS,
    tol=NUMBER,
)
