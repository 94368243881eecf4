"""What the readers of boosting libraries share: boosters asked like estimators, and trees with nodes that nothing leads to."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.errors import InputError
from modelport.reading import Reading, SurveyPart
from modelport.sample import Sample

from .builder import Array, Builder, Table
from .handlers.tree_arrays import Nodes, renumbered, tree_attributes

__all__ = ["gathered", "integer_codes", "nodes_of", "read_boosted", "single", "survey_boosted"]


def read_boosted(model: Any, sample: Sample, framework: str, version: str, name: str) -> Reading:
    """Read a model as modelport_sklearn reads an estimator; the provenance names the framework it is of."""
    from .model import read_model
    from .versions import guarded, understood

    with understood():
        reading = guarded(read_model(model, sample))
    provenance = {
        "framework": {"name": framework, "version": version},
        "python": platform.python_version(),
        "numpy": np.__version__,
        "model": name,
    }
    return replace(reading, provenance=provenance)


def survey_boosted(model: Any, sample: Sample) -> list[SurveyPart]:
    """As `survey` of modelport_sklearn."""
    from .surveying import survey_model

    return survey_model(model, sample)


def gathered(builder: Builder, table: Table, encoded: dict[int, str], hint: str = "columns") -> str:
    """One f64 value [len(table)] that holds the table's columns, those in `encoded` as the value [1] given for them."""
    pieces: list[str] = []
    run: list[int] = []
    for j in range(len(table) + 1):
        if j < len(table) and j not in encoded:
            run.append(j)
            continue
        if run:
            pieces.append(builder.matrix(table.select(run), hint))
            run = []
        if j in encoded:
            pieces.append(encoded[j])
    return pieces[0] if len(pieces) == 1 else builder.add("concat", *pieces, hint=hint)


def integer_codes(builder: Builder, column: str, known: Sequence[int], missing: float = np.nan) -> str:
    """f64 [1]: the place of an integer among the known ones, -1 for another one, `missing` for NaN; fractions are refused."""
    fraction = builder.add("binary", column, builder.add("unary", column, hint="whole", fn="floor"), hint="fraction", fn="sub")
    nothing = builder.add("lookup", fraction, hint="no_fraction", keys=np.array([0.0, np.nan]), values=np.zeros(2))
    keys = np.array([*map(float, known), np.nan])
    codes = builder.add("lookup", column, hint="code", keys=keys, values=np.array([*range(len(known)), missing]), default=-1.0)
    return builder.add("binary", codes, nothing, hint="checked_code", fn="add")


def nodes_of(
    sizes: Sequence[int],
    left: Array,
    right: Array,
    feature: Array,
    threshold: Array,
    missing_left: Array,
    leaf: Array,
    category: Array | None = None,
    sets: Array | None = None,
) -> Nodes:
    """Nodes of trees given one after the other, without those that cannot be reached (what pruning left behind).

    sizes [T]: nodes of each tree. left, right [N]: children as offsets from their tree's first node, negative in leaves; the
    other arrays as in `Nodes`, but leaf [N, w] has a row for every node.
    """
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    origin = np.repeat(start, sizes)
    inner = left >= 0
    size = np.repeat(np.asarray(sizes), sizes)
    if not np.all(~inner | ((left < size) & (right >= 0) & (right < size))):
        raise InputError("A tree of the model points at a node it does not have: the model is damaged.")
    reached = np.zeros(len(left), dtype=bool)
    level = start
    while level.size:
        reached[level] = True
        parents = level[inner[level]]
        level = np.concatenate([left[parents] + origin[parents], right[parents] + origin[parents]])
        if level.size and (reached[level].any() or len(np.unique(level)) != level.size):
            raise InputError("A tree of the model has a node with two parents: the model is damaged.")
    number = np.cumsum(reached) - 1
    new_start = number[start]

    def moved(children: Array) -> Array:
        targets = number[np.where(inner, children + origin, 0)] - new_start[np.repeat(np.arange(len(sizes)), sizes)]
        return np.where(inner, targets, -1)[reached]

    kept = Nodes(
        start=new_start,
        left=moved(left),
        right=moved(right),
        feature=feature[reached],
        threshold=threshold[reached],
        missing_left=missing_left[reached],
        leaf=leaf[reached & ~inner],
        receives_nan=True,
        category=None if category is None else category[reached],
        sets=sets,
    )
    return renumbered(kept)


def single(nodes: Nodes) -> dict[str, Any]:
    """The attributes of a tree_ensemble step that compares with `<` and adds up in f32, as XGBoost does."""
    attributes = tree_attributes(nodes, "f32")
    values = "leaf_table" if "leaf_table" in attributes else "leaf"
    attributes[values] = attributes[values].astype(np.float32)
    return {**attributes, "cmp": "lt", "acc": "f32"}
