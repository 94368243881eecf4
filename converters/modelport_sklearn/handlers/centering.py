"""KernelCenterer: rows of a kernel matrix as if the points had been centred in its feature space."""

from __future__ import annotations

import numpy as np

from ..builder import Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger


@transforms("KernelCenterer")
def kernel_centerer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """k - K_fit_rows_ - mean(k) + K_fit_all_."""
    rows = np.asarray(ledger["K_fit_rows_"], dtype=np.float64)
    x = builder.matrix(table)
    mean = builder.add("reduce", x, hint="mean", fn="mean", keep=True)
    centred = builder.add("scale", x, hint="centred_rows", sub=rows)
    centred = builder.add("binary", centred, mean, hint="centred_both", fn="sub")
    return builder.table(builder.add("scale", centred, hint="centred", add=[float(ledger["K_fit_all_"])]))
