"""The door for functions of your own inside a FunctionTransformer: say once how steps express them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .builder import Table

#: (builder, table, **kw_args) -> table
FunctionHandler = Callable[..., Table]

EXPRESSED: list[tuple[Callable[..., Any], FunctionHandler]] = []


def expresses(function: Callable[..., Any]) -> Callable[[FunctionHandler], FunctionHandler]:
    """Register how steps express a function that a FunctionTransformer holds; artifacts are verified against the function.

    The handler is given the builder, the table, and the transformer's kw_args.

    >>> def halves(X):
    ...     return X / 2
    >>> @expresses(halves)
    ... def halves_in_steps(builder: Builder, table: Table) -> Table:
    ...     return builder.table(builder.add("scale", builder.matrix(table), hint="halves", div=[2.0]), table.names)
    """

    def register(handler: FunctionHandler) -> FunctionHandler:
        EXPRESSED.append((function, handler))
        return handler

    return register


def expressed(function: Any) -> FunctionHandler | None:
    """The handler registered last for a function."""
    return next((handler for known, handler in reversed(EXPRESSED) if known is function), None)
