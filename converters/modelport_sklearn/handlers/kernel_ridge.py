"""KernelRidge: weights of kernels to the training rows."""

from __future__ import annotations

from ..builder import Builder, Prediction, Table
from ..dispatch import predicts
from ..ledger import Ledger
from .linear import dense
from .pairwise_kernels import add_kernel


@predicts("KernelRidge")
def kernel_ridge(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The kernel to every row of X_fit_, times dual_coef_."""
    ledger.waive("alpha", "kernel_params")  # parameters of a callable kernel, which is refused
    given = {name: ledger[name] for name in ("gamma", "degree", "coef0")}
    kernel = add_kernel(ledger, builder, table, ledger["X_fit_"], given)
    weight = dense(ledger["dual_coef_"])
    flat = weight.ndim == 1
    value = builder.add(
        "linear", kernel, hint="value" if flat else "prediction", weight=weight[None, :] if flat else weight.T.copy()
    )
    return Prediction(prediction=builder.scalar(value, "prediction") if flat else value)
