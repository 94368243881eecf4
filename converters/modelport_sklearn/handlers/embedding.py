"""RandomTreesEmbedding: which leaf of each tree a row falls into."""

from __future__ import annotations

import numpy as np

from ..builder import Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from .forests import SAMPLING
from .grown import add_grown
from .guards import refuse_below
from .trees import GROWING, inner_trees

#: The number of a leaf that no training row reached.
UNSEEN = -1


@transforms("RandomTreesEmbedding")
def random_trees_embedding(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """One column per leaf, 1 in the leaf reached; a leaf that no training row reached is refused, as the encoder refuses it."""
    ledger.waive(*GROWING, *SAMPLING, "n_outputs_", "_n_features_out")
    estimators, categories = ledger["estimators_"], ledger["one_hot_encoder_"].categories_
    inner_trees(ledger, estimators)
    sizes, leaves = [len(known) for known in categories], []
    for tree, known in zip(estimators, categories, strict=True):
        nodes = np.flatnonzero(tree.tree_.children_left < 0)
        number = np.where(np.isin(nodes, known), np.searchsorted(known, nodes), UNSEEN)
        leaves.append(number.astype(np.float64).reshape(-1, 1))
    order = np.arange(len(leaves), dtype=np.int32)
    numbers = add_grown(builder, table, estimators, leaves, "leaf_numbers", class_=order, size=len(order))
    if any((leaf == UNSEEN).any() for leaf in leaves):
        numbers = refuse_below(builder, numbers, 0.0)
    repeated = builder.add("select", numbers, hint="leaf_number", index=np.repeat(order, sizes))
    wanted = builder.constant(np.concatenate([np.arange(size) for size in sizes]), "leaf")
    reached = builder.add("binary", repeated, wanted, hint="is_leaf", fn="eq")
    return builder.table(builder.add("cast", reached, hint="leaves", to="f64"), sparse=bool(ledger["sparse_output"]))
