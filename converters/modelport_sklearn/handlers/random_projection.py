"""Random projections: GaussianRandomProjection, SparseRandomProjection."""

from __future__ import annotations

from ..builder import Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from .linear import dense


@transforms("GaussianRandomProjection", "SparseRandomProjection")
def random_projection(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """x components_'; sparse rows stay sparse behind sparse components unless dense_output is set."""
    ledger.waive("n_components", "n_components_", "eps", "compute_inverse_components", "inverse_components_", "_n_features_out")
    ledger.waive("density", "density_")
    components = ledger["components_"]
    sparse = table.sparse and hasattr(components, "toarray") and not ledger.get("dense_output", False)
    ledger.waive("dense_output")
    projected = builder.add("linear", builder.matrix(table), hint="projected", weight=dense(components))
    return builder.table(projected, sparse=sparse)
