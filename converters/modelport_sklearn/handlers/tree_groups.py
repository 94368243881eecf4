"""A forest's trees read some at a time: what is needed on the way stays small beside what the artifact holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..builder import Array
from .tree_arrays import compact, distinct_rows, leaf_attributes, sklearn_nodes, tree_attributes

#: nodes that are read at once
GROUP = 1 << 17


def forest_attributes(
    trees: Sequence[Any], columns: Array, receives_nan: bool, adjust: Callable[[Array], None] = lambda leaf: None
) -> dict[str, Any]:
    """The attributes of a tree_ensemble step for trees as `sklearn_nodes` takes them; adjust(leaf) changes leaf rows in place."""
    parts = []
    for group in _groups(trees):
        nodes = sklearn_nodes(group, columns, receives_nan)
        adjust(nodes.leaf)
        parts.append(tree_attributes(nodes, "f32"))
    return parts[0] if len(parts) == 1 else _joined(parts)


def _groups(trees: Sequence[Any]) -> Iterator[list[Any]]:
    group: list[Any] = []
    count = 0
    for tree in trees:
        group.append(tree)
        count += tree.node_count
        if count >= GROUP:
            yield group
            group, count = [], 0
    if group:
        yield group


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes of the parts of one ensemble as those of the whole."""
    sizes = [part["feature"].size for part in parts]
    begins = np.cumsum([0, *sizes[:-1]])
    starts = [part["start"].astype(np.int64) + begin for part, begin in zip(parts, begins, strict=True)]
    joined: dict[str, Any] = {"dtype": parts[0]["dtype"], "start": np.concatenate(starts).astype(np.uint32)}
    _join_missing(parts)
    for name in ("feature", "threshold", "right", "missing_left"):
        if name in parts[0]:
            joined[name] = _taken(parts, name)
    joined["feature"] = compact(joined["feature"])
    width = parts[0]["leaf_width"]
    return {**joined, "missing": parts[0]["missing"], "leaf_width": width, **_joined_leaves(parts, width)}


def _taken(parts: list[dict[str, Any]], name: str) -> Array:
    """One attribute of all parts, which lose it."""
    return np.concatenate([part.pop(name) for part in parts])


def _join_missing(parts: list[dict[str, Any]]) -> None:
    """Where NaN goes, said in the same way in every part."""
    if len({part["missing"] for part in parts}) == 1:
        return
    for part in parts:
        if part["missing"] != "node":
            part["missing_left"] = np.full(part["threshold"].size, part["missing"] == "left", dtype=np.uint8)
            part["missing"] = "node"


def _joined_leaves(parts: list[dict[str, Any]], width: int) -> dict[str, Any]:
    """Leaf rows, as numbers into one table where every part has a table."""
    if not all("leaf_table" in part for part in parts):
        leaves = [p["leaf_table"].reshape(-1, width)[p["leaf"]].reshape(-1) if "leaf_table" in p else p["leaf"] for p in parts]
        return leaf_attributes(np.concatenate(leaves).reshape(-1, width))
    tables = [part["leaf_table"].reshape(-1, width) for part in parts]
    found = distinct_rows(np.concatenate(tables), sampled=False)
    if found is None:
        leaves = [table[part["leaf"]] for table, part in zip(tables, parts, strict=True)]
        return leaf_attributes(np.concatenate(leaves))
    table, place = found
    begins = np.cumsum([0, *(len(t) for t in tables)])
    smallest = np.min_scalar_type(len(table) - 1)
    leaf = [place[begins[k] : begins[k + 1]].astype(smallest)[part.pop("leaf")] for k, part in enumerate(parts)]
    return {"leaf": np.concatenate(leaf), "leaf_table": table.reshape(-1)}
