"""Which op belongs to which profile (docs/format.md, section 6): a stub has a profile whole, or not at all."""

from __future__ import annotations

from .ops import OPS

__all__ = ["PROFILES", "profile_of", "profiles_of"]

#: what is not named here is `tabular`
PROFILES: dict[str, tuple[str, ...]] = {
    "kernel": ("pairwise", "smallest", "knn", "ovo_vote"),
    "text": ("count_terms", "term_ids", "hash_terms"),
    "solver": ("nmf", "lda_topics", "sparse_code"),
    "nn": (
        *("reshape", "transpose", "slice", "expand", "positions", "gather", "embedding", "pad", "resize", "matmul", "conv"),
        *("conv_transpose", "pool", "batch_norm", "layer_norm", "group_norm", "activation", "prelu", "lstm", "gru", "rnn"),
        *("attention", "cumsum"),
    ),
}


def profile_of(op: str) -> str | None:
    """The profile of an op, or None for one that is not known.

    >>> profile_of("conv"), profile_of("linear"), profile_of("fly")
    ('nn', 'tabular', None)
    """
    found = next((name for name, ops in PROFILES.items() if op in ops), None)
    return found or ("tabular" if op in OPS else None)


def profiles_of(ops: list[str]) -> list[str]:
    """The profiles that some ops come from, each once, in the order of the format's page."""
    used = {profile_of(op) for op in ops}
    return [name for name in ("tabular", *PROFILES) if name in used]
