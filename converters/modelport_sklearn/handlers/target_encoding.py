"""TargetEncoder: every category becomes the mean of the target that the encoder learnt for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Ref, Table
from ..dispatch import transforms
from ..ledger import Ledger
from .encoding import category_codes, lookups


@transforms("TargetEncoder")
def target_encoder(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """encodings_ of the category, target_mean_ for any other; with several classes one column per class."""
    ledger.waive("categories", "target_type", "smooth", "cv", "shuffle")
    ledger.waive("_infrequent_enabled", "_missing_indices", "target_type_")
    categories, mean, encodings = ledger["categories_"], ledger["target_mean_"], ledger["encodings_"]
    ledger.waive("classes_")
    if ledger["target_type_"] != "multiclass":
        codes = [
            category_codes(ledger, builder, table, j, categories[j], _floats(encodings[j]), float(mean))
            for j in range(len(table))
        ]
        return lookups(builder, table, codes, "encoded")
    classes = ledger["classes_"]
    places = [
        category_codes(ledger, builder, table, j, categories[j], np.arange(len(categories[j])), len(categories[j]))
        for j in range(len(table))
    ]
    coded = lookups(builder, table, places, "code")
    refs: list[Ref] = []
    for j in range(len(table)):
        rows = np.stack(encodings[j * len(classes) : (j + 1) * len(classes)], axis=1)  # [categories, classes]
        means = np.append(_floats(rows), _floats(mean)[None], axis=0)
        value = builder.add("take", builder.column(coded, j, "category"), hint="encoded", table=means)
        refs += builder.table(value).columns
    return Table(tuple(refs))


def _floats(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64)
