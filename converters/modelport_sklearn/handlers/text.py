"""CountVectorizer, TfidfTransformer, TfidfVectorizer, HashingVectorizer: texts become counts of terms."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transform, transforms
from ..ledger import Ledger
from ..unicode_tables import folding, space_ranges
from .token_patterns import TokenRule, not_spaces, token_rule


@transforms("CountVectorizer")
def count_vectorizer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """How often each term of the vocabulary occurs."""
    held = np.dtype(ledger["dtype"])
    if held.kind not in "fiub":
        raise ledger.refuse("dtype", f"is {held}, which no artifact carries: use np.float64.")
    return builder.table(_counts(ledger, builder, table), held=str(held.name), sparse=True)


@transforms("TfidfVectorizer")
def tfidf_vectorizer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Counts, weighted as the TfidfTransformer inside does."""
    _demand_double(ledger)
    ledger.waive("norm", "use_idf", "smooth_idf", "sublinear_tf")  # the transformer inside holds what they were in the fit
    counts = _counts(ledger, builder, table)
    with builder.unprobed():
        return transform(ledger["_tfidf"], builder, builder.table(counts, sparse=True))


@transforms("TfidfTransformer")
def tfidf_transformer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Counts (or 1 + log of them) times idf_, divided by the row's norm."""
    ledger.waive("smooth_idf", "_idf_diag", "idf_")
    value, zero = builder.matrix(table), builder.constant([0.0], "zero")
    if ledger["sublinear_tf"]:
        present = builder.add("binary", value, zero, hint="is_present", fn="ne")
        safe = builder.add("where", present, value, builder.constant([1.0], "one"), hint="present")
        log = builder.add("scale", builder.add("unary", safe, hint="log", fn="log"), hint="log_plus_1", add=[1.0])
        value = builder.add("where", present, log, zero, hint="sublinear")
    if ledger["use_idf"]:
        value = builder.add("scale", value, hint="weighted", mul=np.asarray(ledger["idf_"], dtype=np.float64))
    if ledger["norm"] is not None:
        value = builder.add("normalize", value, hint="tfidf", norm=ledger["norm"])
    return builder.table(value, sparse=True)


@transforms("HashingVectorizer")
def hashing_vectorizer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Counts of terms in the columns that their hashes choose, divided by the row's norm."""
    _demand_double(ledger)
    size, alternate = int(ledger["n_features"]), bool(ledger["alternate_sign"])
    value = _count_terms(ledger, builder, table, size=size, alternate=alternate)
    if ledger["norm"] is not None:
        value = builder.add("normalize", value, hint="normalized", norm=ledger["norm"])
    return builder.table(value, sparse=True)


def _demand_double(ledger: Ledger) -> None:
    if np.dtype(ledger["dtype"]) != np.float64:
        raise ledger.refuse("dtype", "makes the original compute in another precision, which is not read: use np.float64.")


def _counts(ledger: Ledger, builder: Builder, table: Table) -> str:
    ledger.waive("max_df", "min_df", "max_features", "vocabulary", "fixed_vocabulary_", "stop_words_")  # vocabulary_ says it
    places = ledger["vocabulary_"]
    terms = np.empty(len(places), dtype=object)
    for term, place in places.items():
        if not isinstance(term, str):
            raise ledger.refuse("vocabulary_", f"holds {term!r}, which is no string: fit it on strings.")
        terms[int(place)] = str(term)
    return _count_terms(ledger, builder, table, vocabulary=terms)


def _count_terms(ledger: Ledger, builder: Builder, table: Table, **counting: Any) -> str:
    """The step that folds a text, cuts it and counts."""
    ledger.demand("input", "content", instead="the artifact is given texts; build the vectorizer with input='content'.")
    ledger.waive("encoding", "decode_error", "_stop_words_id")  # for bytes; the consistency check of stop words only warns
    if len(table) != 1 or table.columns[0].dtype != "str":
        raise ledger.refuse("input", f"is one column of texts, but it is given {len(table)} columns: name one column of strings.")
    return builder.add(
        "count_terms", builder.texts(table), hint="counts", binary=bool(ledger["binary"]), **_cutting(ledger), **counting
    )


def _cutting(ledger: Ledger) -> dict[str, Any]:
    """Attributes of count_terms: folding, analyzer and sizes of the terms."""
    analyzer = ledger["analyzer"]
    ledger.waive("lowercase", "strip_accents", "preprocessor", "tokenizer", "token_pattern", "stop_words", "ngram_range")
    if analyzer is str.split:  # called on the text as it is
        return {"analyzer": "word", "min_n": 1, "max_n": 1, **_word(not_spaces(), None)}
    if callable(analyzer):
        raise _code(ledger, "analyzer")
    if ledger["preprocessor"] is not None:
        raise _code(ledger, "preprocessor")
    if callable(ledger["strip_accents"]):
        raise _code(ledger, "strip_accents")
    least, most = (int(n) for n in ledger["ngram_range"])
    result = {"analyzer": analyzer, "min_n": least, "max_n": most, **folding(bool(ledger["lowercase"]), ledger["strip_accents"])}
    if analyzer != "word":
        return {**result, "space": space_ranges()}
    return {**result, **_word(_rule(ledger), ledger.estimator.get_stop_words())}


def _code(ledger: Ledger, name: str) -> Exception:
    shown = getattr(ledger[name], "__name__", type(ledger[name]).__name__)
    return ledger.refuse(
        name,
        f"is {shown}, which cannot be exported as code: prepare the texts before they reach the model, or use the vectorizer's "
        "own lowercase, strip_accents, analyzer and token_pattern (or str.split).",
    )


def _rule(ledger: Ledger) -> TokenRule:
    """How words are cut."""
    if ledger["tokenizer"] is str.split:
        return not_spaces()
    if ledger["tokenizer"] is not None:
        raise _code(ledger, "tokenizer")
    rule = token_rule(ledger["token_pattern"])
    if rule is None:
        raise ledger.refuse(
            "token_pattern",
            f"is {ledger['token_pattern']!r}; a pattern that can be exported is a run of one kind of characters with a least "
            r"length, such as (?u)\b\w\w+\b, \w+, \S+ or [a-zA-Z]{3,}.",
        )
    return rule


def _word(rule: TokenRule, stop: Any) -> dict[str, Any]:
    words: Array | None = None
    if stop:
        words = np.array(sorted(stop), dtype=object)
    return {"word": rule.word, "min_word": rule.least, "stop": words}
