"""NMF, MiniBatchNMF and LatentDirichletAllocation: iterations for every row, as scikit-learn runs them for one row at a time.

Given several rows at once NMF stops by a measure of all of them; an artifact's rows do not influence each other.
"""

from __future__ import annotations

import numpy as np

from ..builder import Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from .guards import refuse_unless

#: What governs or records the fit alone.
FITTING = "n_components init alpha_H _n_components n_components_ reconstruction_err_ n_iter_ beta_loss".split()


@transforms("NMF")
def nmf(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Weights of the components, by coordinate descent or by multiplicative updates."""
    ledger.waive(
        "n_components", "init", "alpha_H", "_n_components", "n_components_", "reconstruction_err_", "n_iter_", "beta_loss"
    )
    solver = ledger["solver"]
    if solver == "cd":
        ledger.demand("shuffle", False, instead="it draws random numbers for every row; refit with shuffle=False.")
    ledger.waive("shuffle")
    beta = None if solver == "cd" else float(ledger["_beta_loss"])
    ledger.waive("_beta_loss")
    return _weights(ledger, builder, table, solver, int(ledger["max_iter"]), beta)


@transforms("MiniBatchNMF")
def mini_batch_nmf(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Weights of the components, by multiplicative updates with the stopping rule of mini-batches."""
    ledger.waive(
        "n_components", "init", "alpha_H", "_n_components", "n_components_", "reconstruction_err_", "n_iter_", "beta_loss"
    )
    ledger.waive("max_iter", "transform_max_iter", "max_no_improvement", "batch_size", "forget_factor", "fresh_restarts")
    ledger.waive("fresh_restarts_max_iter", "_batch_size", "_rho", "_gamma", "_components_numerator", "_components_denominator")
    ledger.waive("_ewa_cost", "_ewa_cost_min", "_no_improvement", "n_steps_")
    rounds = int(ledger["_transform_max_iter"])
    return _weights(ledger, builder, table, "minibatch", rounds, float(ledger["_beta_loss"]))


def _weights(ledger: Ledger, builder: Builder, table: Table, solver: str, rounds: int, beta: float | None) -> Table:
    components = np.asarray(ledger["components_"], dtype=np.float64)
    strength, share = ledger["alpha_W"], ledger["l1_ratio"]
    value = builder.add(
        "nmf",
        builder.matrix(table),
        hint="weights",
        components=components,
        solver=solver,
        max_iter=rounds,
        tol=float(ledger["tol"]),
        l1=float(components.shape[1] * strength * share),
        l2=float(components.shape[1] * strength * (1.0 - share)),
        beta=beta,
    )
    if solver == "minibatch":  # of a negative number it makes NaN, which the original refuses on its way
        value = refuse_unless(builder, value, builder.add("binary", value, value, hint="is_known", fn="eq"))
    return builder.table(value)


@transforms("LatentDirichletAllocation")
def latent_dirichlet_allocation(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The share of every topic in a document of counts."""
    ledger.waive("n_components", "doc_topic_prior", "topic_word_prior", "topic_word_prior_", "learning_method", "learning_decay")
    ledger.waive("learning_offset", "max_iter", "batch_size", "evaluate_every", "total_samples", "perp_tol", "components_")
    ledger.waive("random_state_", "n_batch_iter_", "n_iter_", "bound_")
    shares = builder.add(
        "lda_topics",
        builder.matrix(table),
        hint="topics",
        components=np.asarray(ledger["exp_dirichlet_component_"], dtype=np.float64),
        prior=float(ledger["doc_topic_prior_"]),
        max_iter=int(ledger["max_doc_update_iter"]),
        tol=float(ledger["mean_change_tol"]),
    )
    return builder.table(shares)
