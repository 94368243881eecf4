"""Reads toyframework's estimators wherever they stand in a scikit-learn model: the module of the group `modelport.estimators`."""

from __future__ import annotations

from typing import Any


def winsorizer(ledger: Any, builder: Any, table: Any) -> Any:
    """One clip step. Every attribute is taken out of the ledger, or waived: the quantiles asked for do not matter once fitted."""
    ledger.waive("low", "high")
    value = builder.matrix(table)
    clipped = builder.add("clip", value, hint="winsorized", min_=ledger["low_"], max_=ledger["high_"])
    return builder.table(clipped, table.names)


TRANSFORMERS = {"Winsorizer": winsorizer}
