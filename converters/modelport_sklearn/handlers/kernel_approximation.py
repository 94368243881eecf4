"""Maps whose dot products approximate kernels: Nystroem, RBFSampler, the two chi-squared samplers, PolynomialCountSketch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from .guards import refuse_below
from .linear import dense
from .pairwise_kernels import KERNELS, add_kernel

#: The sample interval that goes with one, two and three steps (Vedaldi and Zisserman, 2011).
INTERVALS = {1: 0.8, 2: 0.5, 3: 0.4}


@transforms("Nystroem")
def nystroem(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The kernel to every stored row, times normalization_'."""
    ledger.waive("n_components", "component_indices_", "_n_features_out")
    kernel = add_kernel(ledger, builder, table, ledger["components_"], _kernel_parameters(ledger))
    weight = dense(ledger["normalization_"])
    return builder.table(builder.add("linear", kernel, hint="mapped", weight=weight))


def _kernel_parameters(ledger: Ledger) -> dict[str, Any]:
    """What the kernel is given: kernel_params, then gamma, coef0 and degree where they are set."""
    given = dict(ledger["kernel_params"] or {})
    own = {name: ledger[name] for name in ("gamma", "coef0", "degree")}
    given.update({name: value for name, value in own.items() if value is not None})
    taken = KERNELS[ledger["kernel"]][1] if ledger["kernel"] in KERNELS else {}
    return {name: value for name, value in given.items() if name in taken}


@transforms("RBFSampler")
def rbf_sampler(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """sqrt(2 / n) cos(x random_weights_ + random_offset_)."""
    ledger.waive("gamma", "_gamma", "_n_features_out")
    return _cosines(ledger, builder, builder.matrix(table), (2.0 / ledger["n_components"]) ** 0.5)


@transforms("SkewedChi2Sampler")
def skewed_chi2_sampler(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """sqrt(2 / n) cos(log(x + skewedness) random_weights_ + random_offset_); rows with x <= -skewedness are refused."""
    ledger.waive("_n_features_out")
    skewedness = float(ledger["skewedness"])
    x = refuse_below(builder, builder.matrix(table), -skewedness, strictly=True)
    shifted = builder.add("scale", x, hint="shifted", add=[skewedness])
    log = builder.add("unary", shifted, hint="log", fn="log")
    return _cosines(ledger, builder, log, float(np.sqrt(2.0) / np.sqrt(ledger["n_components"])))


def _cosines(ledger: Ledger, builder: Builder, x: str, factor: float) -> Table:
    weights, offset = dense(ledger["random_weights_"]), dense(ledger["random_offset_"])
    angle = builder.add("linear", x, hint="angle", weight=np.ascontiguousarray(weights.T), bias=offset)
    return builder.table(builder.add("scale", builder.add("unary", angle, hint="cosine", fn="cos"), hint="mapped", mul=[factor]))


@transforms("AdditiveChi2Sampler")
def additive_chi2_sampler(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """sqrt(x i), then sqrt(2 x i / cosh(pi j i)) times cos and sin of j i log(x) for j = 1, ...; i is the sample interval.

    Zeros give zeros; rows with a negative number are refused.
    """
    ledger.waive("sample_interval_", "_sample_interval")
    steps, given = int(ledger["sample_steps"]), ledger["sample_interval"]
    if given is None and steps not in INTERVALS:
        raise ledger.refuse("sample_interval", "is None, which goes with one, two or three sample_steps only: give an interval.")
    interval = float(INTERVALS[steps] if given is None else given)
    x = refuse_below(builder, builder.matrix(table), 0.0)
    root = builder.add("unary", builder.add("scale", x, hint="scaled", mul=[interval]), hint="root", fn="sqrt")
    if steps == 1:
        return builder.table(root, sparse=table.sparse)
    zero, one = builder.constant([0.0], "zero"), builder.constant([1.0], "one")
    positive = builder.add("where", builder.add("binary", x, zero, hint="is_zero", fn="eq"), one, x, hint="positive")
    angle = builder.add("scale", builder.add("unary", positive, hint="log", fn="log"), hint="angle", mul=[interval])
    doubled = builder.add("scale", builder.add("scale", x, hint="twice", mul=[2.0]), hint="doubled", mul=[interval])
    parts = [root]
    for j in range(1, steps):
        share = builder.add("scale", doubled, hint="share", div=[float(np.cosh(np.pi * j * interval))])
        factor = builder.add("unary", share, hint="factor", fn="sqrt")
        turned = builder.add("scale", angle, hint="turned", mul=[float(j)])
        for fn in ("cos", "sin"):
            wave = builder.add("unary", turned, hint=fn, fn=fn)
            parts.append(builder.add("binary", factor, wave, hint=f"{fn}_part", fn="mul"))
    return builder.table(builder.add("concat", *parts, hint="mapped"), sparse=table.sparse)


@transforms("PolynomialCountSketch")
def polynomial_count_sketch(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The circular convolution of `degree` count sketches of sqrt(gamma) x (and sqrt(coef0)).

    A convolution is a product of Fourier transforms; a sketch and its transform are one linear map, of which frequencies
    0 .. n / 2 suffice since the rows are real.
    """
    ledger.waive("_n_features_out")
    size, degree, coef0 = int(ledger["n_components"]), int(ledger["degree"]), float(ledger["coef0"])
    places, signs = np.asarray(ledger["indexHash_"]), np.asarray(ledger["bitHash_"])
    width = len(table)
    if places.shape != (degree, width + (coef0 != 0)):
        raise ledger.refuse("indexHash_", "does not fit degree, coef0 and the columns: fit the sketch again.")
    cosine, sine = _fourier(size)
    x = builder.add("scale", builder.matrix(table), hint="scaled", mul=[math.sqrt(ledger["gamma"])])
    product: tuple[str, str] | None = None
    for d in range(degree):
        maps = [signs[d] * part[:, places[d]] for part in (cosine, -sine)]  # [frequencies, columns]
        bias = [float(np.sqrt(coef0)) * part[:, -1] if coef0 != 0 else None for part in maps]
        real, imaginary = (
            builder.add("linear", x, hint=hint, weight=np.ascontiguousarray(part[:, :width]), bias=b)
            for hint, part, b in zip(("real", "imaginary"), maps, bias, strict=True)
        )
        product = (real, imaginary) if product is None else _times(builder, product, (real, imaginary))
    assert product is not None, "a degree is at least 1"
    return builder.table(
        builder.add("linear", builder.add("concat", *product, hint="spectrum"), hint="sketch", weight=_inverse(size))
    )


def _fourier(size: int) -> tuple[Array, Array]:
    """cos and sin of 2 pi f t / size for the frequencies f = 0 .. size / 2: two arrays [frequencies, size]."""
    turns = np.outer(np.arange(size // 2 + 1), np.arange(size)) % size
    return np.cos(2 * np.pi * turns / size), np.sin(2 * np.pi * turns / size)


def _inverse(size: int) -> Array:
    """[size, 2 frequencies]: the real row that has this spectrum (real parts, then imaginary ones)."""
    cosine, sine = _fourier(size)
    weight = np.full(len(cosine), 2.0 / size)  # a frequency stands for its mirror image too, but for the first and the middle one
    weight[0] = 1.0 / size
    if size % 2 == 0:
        weight[-1] = 1.0 / size
    return np.ascontiguousarray(np.concatenate([cosine * weight[:, None], -sine * weight[:, None]]).T)


def _times(builder: Builder, a: tuple[str, str], b: tuple[str, str]) -> tuple[str, str]:
    """The product of two complex rows, each given as real and imaginary part."""

    def mul(x: str, y: str) -> str:
        return builder.add("binary", x, y, hint="product", fn="mul")

    real = builder.add("binary", mul(a[0], b[0]), mul(a[1], b[1]), hint="real", fn="sub")
    return real, builder.add("binary", mul(a[0], b[1]), mul(a[1], b[0]), hint="imaginary", fn="add")
