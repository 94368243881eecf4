"""What the translations of iterations share: rows side by side in one Loop, each with its own end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .builder import Builder, Shape, Value
from .folds import fold

__all__ = ["State", "ascending_sum", "finite_rows", "iterate", "products"]

Array = np.ndarray[Any, np.dtype[Any]]
State = Mapping[str, Value]


def iterate(
    b: Builder,
    rounds: int,
    start: Mapping[str, Value],
    turn: Callable[[Value, State], tuple[State, Value]],
    shared: Sequence[str] = (),
) -> dict[str, Value]:
    """At most so many rounds of turn(number of the round from 1, state) -> (next state, stop [N, 1]).

    A row that has stopped keeps its state; the loop ends when all have. What `shared` names is no row's own and goes on.
    """
    names = list(start)
    if rounds == 0:
        return dict(start)
    everyone = b.filled(1, 1.0) > 0.0

    def body(values: list[Value]) -> list[Value]:
        number, _, running, *current = values
        state = dict(zip(names, current, strict=True))
        following, stop = turn(number + 1, state)
        kept = [following[n] if n in shared else running.where(following[n], state[n]) for n in names]
        going = running & ~stop
        return [going.cast("i64").reduce("Max", None).cast("bool"), going, *kept]

    inputs: list[tuple[str, str, Shape]] = [("round", "i64", []), ("going", "bool", []), ("running", "bool", None)]
    graph = b.body([*inputs, *((n, v.dtype, None) for n, v in start.items())], body)
    limit, sure = b.constant(np.array(rounds)), b.constant(np.array(True))
    dtypes = ["bool", *(v.dtype for v in start.values())]
    results = b.ops("Loop", limit, sure, everyone, *start.values(), dtypes=dtypes, body=graph)
    return dict(zip(names, results[1:], strict=True))


def ascending_sum(x: Value, width: int) -> Value:
    """[N, 1]: the sum of rows [N, width], in ascending order."""
    return x.cumulative_sum(1).gather(np.array([width - 1]), axis=1)


def products(x: Value, table: Array) -> Value:
    """[N, m]: x [N, i] times each row of a table [m, i], summed in ascending order."""
    return fold(x, [table.T], len(table), 0.0, lambda total, column, row: total + column * row)


def finite_rows(b: Builder, x: Value, refused: Sequence[tuple[Value, str]] = ()) -> Value:
    """x, where running fails when an element is not finite, or where one of the conditions holds."""
    x = b.refuse(~(x.abs() < np.inf), x, "an element is not finite")
    for bad, sentence in refused:
        x = b.refuse(bad, x, sentence)
    return x
