"""DictVectorizer and FeatureHasher: dicts, pairs and lists of terms become columns, by name or by hash."""

from __future__ import annotations

import numpy as np

from ..builder import Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger


@transforms("DictVectorizer")
def dict_vectorizer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """A number in the column of its key, 1 in the column key=value of a string; what the fit has not seen counts nowhere."""
    ledger.waive("sort", "feature_names_")
    if np.dtype(ledger["dtype"]) != np.float64:
        raise ledger.refuse("dtype", "is not float64, the only one that is read: use np.float64.")
    places, separator, sparse = ledger["vocabulary_"], ledger["separator"], bool(ledger["sparse"])
    sources: list[list[int]] = [[] for _ in places]  # per feature the positions in `pieces`, laid side by side
    pieces, width = [], 0
    for j, ref in enumerate(table.columns):
        name, value = str(ref.name), builder.column(table, j)
        if ref.dtype == "str":
            start = f"{name}{separator}"
            known = [f for f in places if isinstance(f, str) and f.startswith(start)]
            if not known:
                continue
            keys = np.array([f[len(start) :] for f in known], dtype=object)
            code = builder.add("lookup", value, hint="code", keys=keys, values=np.arange(len(keys)), default=-1)
            pieces.append(builder.add("onehot", code, hint="indicator", size=len(keys)))
        elif name in places:
            known = [name]
            pieces.append(builder.add("impute", value, hint="number", values=[0.0]))
        else:
            continue
        for k, feature in enumerate(known):
            sources[places[feature]].append(width + k)
        width += len(known)
    _check_sources(ledger, sources)
    return builder.table(_joined(builder, pieces, sources), sparse=sparse)


def _check_sources(ledger: Ledger, sources: list[list[int]]) -> None:
    names = {place: name for name, place in ledger["vocabulary_"].items()}
    lost = next((names[i] for i, found in enumerate(sources) if not found), None)
    if lost is not None:
        raise ledger.refuse(
            "vocabulary_",
            f"has the feature {lost!r}, but no dict of the sample has such a key with such a kind of value: "
            "hand over a sample in which every key occurs.",
        )


def _joined(builder: Builder, pieces: list[str], sources: list[list[int]]) -> str:
    """The features in order; one that several keys give is their sum."""
    row = pieces[0] if len(pieces) == 1 else builder.add("concat", *pieces, hint="features")
    if all(len(found) == 1 for found in sources):
        return builder.add("select", row, hint="features", index=np.array([found[0] for found in sources]))
    weight = np.zeros((len(sources), builder.width(row)))
    for feature, found in enumerate(sources):
        weight[feature, found] = 1.0
    return builder.add("linear", row, hint="features", weight=weight)


@transforms("FeatureHasher")
def feature_hasher(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Numbers at the places of the hashes of their terms; a string under a key is the term key=string."""
    if np.dtype(ledger["dtype"]) != np.float64:
        raise ledger.refuse("dtype", "is not float64, the only one that is read: use np.float64.")
    size, alternate = int(ledger["n_features"]), bool(ledger["alternate_sign"])
    kind = ledger["input_type"]
    if kind == "string":
        inputs, prefix = [builder.texts(table, "terms")], None
    elif kind == "pair":
        half = len(table) // 2
        terms, numbers = table.select(range(half)), table.select(range(half, len(table)))
        inputs, prefix = [builder.texts(terms, "terms"), builder.matrix(numbers, "numbers")], None
    else:
        inputs, prefix = _terms_of_dicts(builder, table)
    value = builder.add("hash_terms", *inputs, hint="hashed", prefix=prefix, size=size, alternate=alternate)
    return builder.table(value, sparse=True)


def _terms_of_dicts(builder: Builder, table: Table) -> tuple[list[str], np.ndarray]:
    """Terms and numbers of columns, one per key, in their order; and what stands before each term."""
    one, terms, numbers, prefix = builder.constant([1.0], "one"), [], [], []
    blank = np.array([None], dtype=object)
    for j, ref in enumerate(table.columns):
        value = builder.column(table, j)
        if ref.dtype == "str":
            terms.append(value)
            numbers.append(one)
            prefix.append(f"{ref.name}=")
            continue
        absent = builder.add("is_missing", value, hint="is_absent")
        absent = builder.add("binary", absent, builder.constant([0.0], "zero"), hint="absent", fn="gt")
        key = builder.add("constant", hint="key", value=np.array([str(ref.name)], dtype=object))
        terms.append(builder.add("where", absent, builder.add("constant", hint="no_key", value=blank), key, hint="term"))
        numbers.append(value)
        prefix.append("")
    joined = [
        values[0] if len(values) == 1 else builder.add("concat", *values, hint=hint)
        for values, hint in ((terms, "terms"), (numbers, "numbers"))
    ]
    return joined, np.array(prefix, dtype=object)
