"""DictionaryLearning, MiniBatchDictionaryLearning and SparseCoder: few weights of atoms, by orthogonal matching pursuit, by
coordinate descent of the Lasso, or by a threshold."""

from __future__ import annotations

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from ..versions import sklearn_version

#: What governs or records the fit alone.
FITTING = (
    "alpha batch_size callback code_init dict_init error_ fit_algorithm max_iter max_no_improvement n_components n_components_ "
    "n_iter n_iter_ n_steps_ positive_dict shuffle tol _A _B _batch_size _ewa_cost _ewa_cost_min _fit_algorithm _n_components "
    "_no_improvement _random_state"
).split()


@transforms("DictionaryLearning", "MiniBatchDictionaryLearning")
def dictionary_learning(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The code of a row in the atoms components_."""
    strength = ledger["alpha"] if ledger["transform_alpha"] is None else ledger["transform_alpha"]
    ledger.waive(*FITTING)
    return _code(ledger, builder, table, ledger["components_"], strength)


@transforms("SparseCoder")
def sparse_coder(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The code of a row in the atoms dictionary."""
    ledger.waive("n_components_")
    return _code(ledger, builder, table, ledger["dictionary"], ledger["transform_alpha"])


def _code(ledger: Ledger, builder: Builder, table: Table, atoms: Array, strength: float | None) -> Table:
    ledger.waive("transform_n_nonzero_coefs", "transform_max_iter")
    atoms = np.asarray(atoms, dtype=np.float64)
    algorithm, positive = ledger["transform_algorithm"], bool(ledger["positive_code"])
    x, alpha = builder.matrix(table), 1.0 if strength is None else float(strength)
    if algorithm == "threshold":
        code = _thresholded(builder, x, atoms, alpha, positive)
    elif algorithm == "omp":
        code = builder.add("sparse_code", x, hint="code", atoms=atoms, algorithm="omp", nonzero=_nonzero(ledger, atoms))
    elif algorithm == "lasso_cd" and sklearn_version() < (1, 8):
        raise ledger.refuse(
            "transform_algorithm",
            "is 'lasso_cd', whose search ends elsewhere in scikit-learn before 1.8: set transform_algorithm to 'omp' or "
            "'threshold' (the atoms stay as they are), or convert it with 1.8 or newer.",
        )
    elif algorithm == "lasso_cd":
        columns, rounds = atoms.shape[1], int(ledger["transform_max_iter"])
        penalty = alpha / columns * columns  # as scikit-learn scales it there and back
        code = builder.add(
            "sparse_code", x, hint="code", atoms=atoms, algorithm="lasso_cd", alpha=penalty, max_iter=rounds, positive=positive
        )
    else:
        raise ledger.refuse(
            "transform_algorithm",
            f"is {algorithm!r}, which no step expresses: set transform_algorithm to 'lasso_cd', 'omp' or 'threshold' "
            "(the atoms stay as they are).",
        )
    if ledger["split_sign"]:
        code = _split(builder, code)
    return builder.table(code)


def _nonzero(ledger: Ledger, atoms: Array) -> int:
    """The number of weights that are not 0 at most."""
    wanted = ledger["transform_n_nonzero_coefs"]
    return int(min(max(atoms.shape[1] / 10, 1), len(atoms)) if wanted is None else wanted)


def _thresholded(builder: Builder, x: str, atoms: Array, alpha: float, positive: bool) -> str:
    """sign(c) max(|c| - alpha, 0) of the products c with the atoms; negative ones 0 when the code is positive."""
    product = builder.add("linear", x, hint="product", weight=atoms)
    size = builder.add("scale", builder.add("unary", product, hint="size", fn="abs"), hint="excess", sub=[alpha])
    shrunk = builder.add("unary", size, hint="shrunk", fn="relu")
    code = builder.add("binary", builder.add("unary", product, hint="sign", fn="sign"), shrunk, hint="code", fn="mul")
    return builder.add("unary", code, hint="positive_code", fn="relu") if positive else code


def _split(builder: Builder, code: str) -> str:
    """The positive parts, then the negative parts as positive numbers."""
    above = builder.add("unary", code, hint="above", fn="relu")
    below = builder.add("unary", builder.add("unary", code, hint="negated", fn="neg"), hint="below", fn="relu")
    return builder.add("concat", above, below, hint="split_code")
