"""Rows that an estimator refuses: the graph refuses them too."""

from __future__ import annotations

from dataclasses import replace

from ..builder import Builder, Table


def refuse_unless(builder: Builder, value: str, allowed: str) -> str:
    """The value (f64), where the bool value `allowed` of the same shape holds; a row in which it does not hold is refused.

    A key that no lookup knows refuses a row: True is known, and adds 0.0.
    """
    flag = builder.add("cast", allowed, hint="is_allowed", to="f64")
    zero = builder.add("lookup", flag, hint="allowed", keys=[1.0], values=[0.0])
    return builder.add("binary", value, zero, hint="checked", fn="add")


def refuse_below(builder: Builder, value: str, bound: float, *, strictly: bool = False) -> str:
    """The value; rows with a number below the bound (strictly: not above it) are refused."""
    limit = builder.constant([bound], "bound")
    return refuse_unless(builder, value, builder.add("binary", value, limit, hint="in_domain", fn="gt" if strictly else "ge"))


def refuse_not_finite(builder: Builder, table: Table, columns: list[int], *, nan: bool, largest: float) -> Table:
    """The table; rows with a number beyond the largest, and with `nan` those with NaN, in one of these columns are refused."""
    x = builder.matrix(table.select(columns), "unchecked")
    size = builder.add("unary", x, hint="size", fn="abs")
    limit = builder.constant([largest], "largest")
    if nan:
        allowed = builder.add("binary", size, limit, hint="is_finite", fn="le")
    else:
        beyond = builder.add("binary", size, limit, hint="is_infinite", fn="gt")
        allowed = builder.add("unary", beyond, hint="is_finite", fn="not")
    checked = refuse_unless(builder, x, allowed)
    refs = list(table.columns)
    for k, j in enumerate(columns):
        refs[j] = replace(refs[j], value=checked, index=k)
    return Table(tuple(refs), table.sparse)
