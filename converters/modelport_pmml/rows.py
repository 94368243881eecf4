"""How ops that read a whole row are written: sums, scores, distances, decisions. Importing this registers them."""

from __future__ import annotations

import math
import sys

import numpy as np

from modelport.graph import Step

from .blocks import LinearBlock, NetworkBlock, SvmBlock, TreeBlock
from .columns import sigmoid
from .compiler import Compiler, columns, no_form
from .coupling import Coupling
from .expressions import Expression
from .trees import Forest

# --- reductions ---------------------------------------------------------------------------------------------------------------


def shared_maximum(c: Compiler, step: Step, row: list[Expression]) -> Expression:
    """The largest column of a row."""
    top = c.make.extreme("max", row)
    top.hint = top.hint or f"max({step.inputs[0]})"
    return top


def row_of(c: Compiler, step: Step) -> list[Expression]:
    """The columns of a step's input, in its dtype."""
    return [c.in_dtype(step, x) for x in c.row(step.inputs[0])]


@columns("reduce")
def reduce(c: Compiler, step: Step, j: int) -> Expression:
    """One number per row."""
    row, fn, make = row_of(c, step), step.attributes["fn"], c.make
    axes = step.attributes.get("axes")
    if axes is not None and len(c.type(step.inputs[0]).shape) - 1 not in axes.tolist():
        row = [row[j]]  # over axes of length 1
    if fn in ("argmax", "argmin"):
        return position(c, step, row, "max" if fn == "argmax" else "min")
    if len(row) == 1 and fn in ("sum", "prod", "mean", "min", "max"):
        return row[0]
    if fn == "sum":
        result = make.total(row)
    elif fn == "mean":
        result = make.apply("/", make.total(row), make.constant(float(len(row))))
    elif fn in ("min", "max"):
        result = make.extreme(fn, row)
    elif fn == "prod":
        result = make.product(row)
    elif fn == "l2":
        result = make.apply("sqrt", make.total([make.apply("*", x, x) for x in row]))
    else:
        top = shared_maximum(c, step, row)
        result = make.apply("+", top, make.apply("ln", make.total([make.apply("exp", make.apply("-", x, top)) for x in row])))
        finite = make.compare("lessOrEqual", make.apply("abs", top), make.constant(sys.float_info.max))
        result = make.choose(finite, result, top)
    return c.in_dtype(step, result)


def position(c: Compiler, step: Step, row: list[Expression], extreme: str) -> Expression:
    """The first position of the largest or smallest column, as the least of the positions that hold it."""
    make = c.make
    if any(x.nullable for x in row):
        raise no_form(step, "a position among missing values has no PMML form")
    if len(row) == 1:
        return make.constant(0.0)
    if len(row) == 2:
        better = make.compare("greaterThan" if extreme == "max" else "lessThan", row[1], row[0])
        return make.number(better)
    top = make.extreme(extreme, row)
    top.hint = top.hint or f"{extreme}({step.inputs[0]})"
    last = make.constant(float(len(row) - 1))
    hits = [make.choose(make.compare("equal", x, top), make.constant(float(i)), last) for i, x in enumerate(row[:-1])]
    return make.extreme("min", hits)


@columns("two_class")
def two_class(c: Compiler, step: Step, j: int) -> Expression:
    """[1 - p, p]."""
    p = c.in_dtype(step, c.column(step.inputs[0], 0))
    return p if j else c.in_dtype(step, c.make.apply("-", c.make.constant(1.0), p))


@columns("softmax", "log_softmax")
def softmax(c: Compiler, step: Step, j: int) -> Expression:
    """exp(x - max) / sum, or its logarithm."""
    make = c.make

    def parts() -> list[Expression]:
        row = row_of(c, step)
        top = shared_maximum(c, step, row)
        shifted = [make.apply("-", x, top) for x in row]
        powers = [make.apply("exp", x) for x in shifted]
        for i, x in enumerate(powers):
            x.hint = x.hint or f"exp({step.inputs[0]}({c.column_label(step.inputs[0], i)}))"
        total = make.total(powers)
        total.hint = total.hint or f"sum of exp({step.inputs[0]})"
        return [*shifted, *powers, total]

    found = c.per_row(step, "softmax", parts)
    width = len(found) // 2
    if step.op == "softmax":
        return c.in_dtype(step, make.apply("/", found[width + j], found[-1]))
    return c.in_dtype(step, make.apply("-", found[j], make.apply("ln", found[-1])))


@columns("normalize")
def normalize(c: Compiler, step: Step, j: int) -> Expression:
    """The column divided by the row's norm; an all-zero row is unchanged."""
    make = c.make

    def norm() -> list[Expression]:
        row, kind = row_of(c, step), step.attributes["norm"]
        if kind == "l2":
            size = make.apply("sqrt", make.total([make.apply("*", x, x) for x in row]))
        else:
            sizes = [make.apply("abs", x) for x in row]
            size = make.total(sizes) if kind == "l1" else make.extreme("max", sizes)
        size = c.in_dtype(step, size)
        size.hint = size.hint or f"norm({step.inputs[0]})"
        return [make.choose(make.compare("equal", size, make.constant(0.0)), make.constant(1.0), size)]

    divisor = c.per_row(step, "norm", norm)[0]
    return c.in_dtype(step, make.apply("/", c.in_dtype(step, c.column(step.inputs[0], j)), divisor))


@columns("gaussian_ll")
def gaussian_ll(c: Compiler, step: Step, j: int) -> Expression:
    """log_prior - sum(log(2 pi var)) / 2 - sum((x - mean)^2 / var) / 2."""
    make, a = c.make, step.attributes
    mean, var = a["mean"][j].astype(float), a["var"][j].astype(float)
    base = -0.5 * math.fsum(np.log(2.0 * math.pi * var).tolist()) + (float(a["log_prior"][j]) if "log_prior" in a else 0.0)
    terms = []
    for x, m, v in zip(row_of(c, step), mean, var, strict=True):
        distance = make.apply("-", x, make.constant(m))
        terms.append(make.apply("/", make.apply("*", distance, distance), make.constant(v)))
    half = make.apply("*", make.constant(0.5), make.total(terms))
    return c.in_dtype(step, make.apply("-", make.constant(base), half))


@columns("ovo_vote")
def ovo_vote(c: Compiler, step: Step, j: int) -> Expression:
    """Votes of pairs of classes."""
    make, a = c.make, step.attributes
    classes = a["classes"]
    row = row_of(c, step)
    if a["mode"] == "coupling":
        return _coupling(c, step, row, j)
    votes, sums = [], []
    for pair, (first, second) in enumerate((p, q) for p in range(classes) for q in range(p + 1, classes)):
        if j not in (first, second):
            continue
        won = make.compare("greaterThan", row[pair], make.constant(0.0))
        if a["mode"] == "ovr":  # a decision of 0 is the first class's there
            won = make.logic("not", make.compare("lessThan", row[pair], make.constant(0.0)))
        votes.append(make.number(won if j == first else make.logic("not", won)))
        sums.append(row[pair] if j == first else make.apply("*", row[pair], make.constant(-1.0)))
    total = make.total(votes)
    if a["mode"] == "votes":
        return c.in_dtype(step, total)
    lead = make.total(sums)
    lead.hint = lead.hint or f"lead({step.output}({j}))"
    bound = make.apply("*", make.constant(3.0), make.apply("+", make.apply("abs", lead), make.constant(1.0)))
    return c.in_dtype(step, make.apply("+", total, make.apply("/", lead, bound)))


def _coupling(c: Compiler, step: Step, row: list[Expression], j: int) -> Expression:
    """Probabilities of pairs as probabilities of classes: two need no iteration."""
    make, a = c.make, step.attributes
    if any(x.nullable for x in row):
        raise no_form(step, "a missing decision couples with nothing")

    def couple() -> list[Expression]:
        pairs = [_pair(c, step, x, k) for k, x in enumerate(row)]
        if a["classes"] == 2:
            return [pairs[0], make.apply("-", make.constant(1.0), pairs[0])]
        return Coupling(c, step, pairs).probabilities()

    return c.in_dtype(step, c.per_row(step, "coupled", couple)[j])


def _pair(c: Compiler, step: Step, decision: Expression, k: int) -> Expression:
    """The clipped sigmoid of a pair's decision."""
    make, a = c.make, step.attributes
    slope, offset = make.constant(float(a["prob_a"][k])), make.constant(float(a["prob_b"][k]))
    line = make.apply("+", make.apply("*", slope, decision), offset)
    p = sigmoid(c, make.apply("*", line, make.constant(-1.0)))
    low, high = make.constant(1e-7), make.constant(1 - 1e-7)
    p = make.choose(make.compare("lessThan", p, low), low, make.choose(make.compare("greaterThan", p, high), high, p))
    p.hint = p.hint or f"{step.output}: pair {k + 1}"
    return p


# --- what becomes a model segment ---------------------------------------------------------------------------------------------

#: activations of NeuralNetwork, by op and function
ACTIVATIONS = {
    ("unary", "relu"): "rectifier",
    ("unary", "tanh"): "tanh",
    ("unary", "sigmoid"): "logistic",
    ("unary", "exp"): "exponential",
    ("unary", "reciprocal"): "reciprocal",
    ("unary", "square"): "square",
    ("unary", "sin"): "sine",
    ("unary", "cos"): "cosine",
    ("activation", "softsign"): "Elliott",
}
KERNELS = ("rbf", "poly", "sigmoid", "dot")


@columns("linear")
def linear(c: Compiler, step: Step, j: int) -> Expression:
    """Output j of a network, of a support vector machine, or of a linear model.

    On columns that may be missing it is an expression: not every scorer lets a segment of a chain be without an answer.
    """
    layers = network_layers(c, step)
    source = c.producers.get(step.inputs[0])
    kernel = source if source is not None and source.op == "pairwise" and source.attributes["metric"] in KERNELS else None
    first = layers[0][0] if layers else kernel or step
    if any(x.nullable for x in c.row(first.inputs[0])):
        return c.in_dtype(step, _weighted_sum(c, step, j))
    if layers:
        return c.in_dtype(step, c.raw((step.output, "network"), lambda: _network(c, layers), j))
    if kernel is not None:
        return c.in_dtype(step, c.raw((step.output, j), lambda: _svm(c, step, kernel, j)))
    return c.in_dtype(step, c.raw((step.output, j), lambda: linear_block(c, step, j)))


def _weighted_sum(c: Compiler, step: Step, j: int) -> Expression:
    weights = step.attributes["weight"][j].astype(float).tolist()
    terms = [c.make.apply("*", x, c.make.constant(w)) for x, w in zip(row_of(c, step), weights, strict=True)]
    total = c.make.total(terms)
    if "bias" in step.attributes:
        total = c.make.apply("+", total, c.make.constant(float(step.attributes["bias"][j])))
    return total


def linear_block(c: Compiler, step: Step, j: int) -> LinearBlock:
    """Row j of a linear step as a model of its own."""
    weights = step.attributes["weight"][j].astype(float).tolist()
    bias = float(step.attributes["bias"][j]) if "bias" in step.attributes else 0.0
    name = f"{step.output}({j})" if c.type(step.output).width > 1 else step.output
    return LinearBlock(name, list(zip(row_of(c, step), weights, strict=True)), bias)


def network_layers(c: Compiler, step: Step) -> list[tuple[Step, str]]:
    """The (linear step, PMML activation after it) pairs of a network that ends in this linear step; [] when it is none."""
    layers = [(step, "identity")]
    while True:
        activation = c.producers.get(layers[0][0].inputs[0])
        name = None if activation is None else ACTIVATIONS.get((activation.op, activation.attributes.get("fn")))
        if activation is None or name is None:
            break
        before = c.producers.get(activation.inputs[0])
        if before is None or before.op != "linear":
            break
        layers.insert(0, (before, name))
    return layers if len(layers) > 1 else []


def _network(c: Compiler, layers: list[tuple[Step, str]]) -> NetworkBlock:
    first, last = layers[0][0], layers[-1][0]
    tensors = []
    for step, activation in layers:
        weight = step.attributes["weight"].astype(float)
        bias = step.attributes["bias"].astype(float) if "bias" in step.attributes else np.zeros(len(weight))
        tensors.append((weight, bias, activation))
    width = c.type(last.output).width
    names = [f"{last.output}({k})" if width > 1 else last.output for k in range(width)]
    return NetworkBlock(names, c.row(first.inputs[0]), tensors)


def _svm(c: Compiler, step: Step, kernel: Step, j: int) -> SvmBlock:
    weights = step.attributes["weight"][j].astype(float)
    used = np.flatnonzero(weights)
    if not used.size:
        used = np.array([0])
    bias = float(step.attributes["bias"][j]) if "bias" in step.attributes else 0.0
    name = f"{step.output}({j})" if c.type(step.output).width > 1 else step.output
    a = kernel.attributes
    settings = {"gamma": float(a["gamma"]), "coef0": float(a["coef0"]), "degree": float(a["degree"])}
    return SvmBlock(name, c.row(kernel.inputs[0]), a["metric"], settings, a["points"][used].astype(float), weights[used], bias)


@columns("tree_ensemble")
def tree_ensemble(c: Compiler, step: Step, j: int) -> Expression:
    """Column j of an ensemble."""
    result = c.raw((step.output, j), lambda: tree_block(c, step, j))
    if refuses_missing(c, step):
        c.require(c.make.is_given(result))
    if step.attributes["aggregate"] == "mean" and not averages(step):
        count = float(step.attributes["start"].size)
        result = c.make.apply("/", result, c.make.constant(count))
        return c.make.rounded(result) if step.attributes["acc"] == "f32" else result
    return result


def refuses_missing(c: Compiler, step: Step) -> bool:
    """Can a tree meet a missing value, which the graph refuses?"""
    return step.attributes["missing"] == "error" and any(x.nullable for x in tree_inputs(c, step).values())


def averages(step: Step) -> bool:
    """Is the ensemble a plain mean of its trees, without an initial value?"""
    a = step.attributes
    started = len(step.inputs) > 1 or ("init" in a and bool(np.any(a["init"])))
    return a["aggregate"] == "mean" and not started and "class" not in a and a["acc"] == "f64"


def tree_block(c: Compiler, step: Step, j: int) -> TreeBlock:
    """Column j of an ensemble as a regression."""
    a = step.attributes
    start: Expression | float | None = None
    if len(step.inputs) > 1:
        start = c.column(step.inputs[1], j)
    elif "init" in a:
        start = float(a["init"][j])
    name = f"{step.output}({j})" if c.type(step.output).width > 1 else step.output
    return TreeBlock(name, prepared_forest(c, step), tree_inputs(c, step), j, start, averages(step))


def tree_inputs(c: Compiler, step: Step) -> dict[int, Expression]:
    """The columns that the trees of a step read, by number.

    A column that is only rounded to float32 is read as it was before: the thresholds allow for the rounding.
    """
    used = np.unique(step.attributes["feature"])
    columns = {f: c.column(step.inputs[0], f) for f in used[used >= 0].tolist()}
    return {f: x.args[0] if x.kind == "float" else x for f, x in columns.items()}


def prepared_forest(c: Compiler, step: Step) -> Forest:
    """The nodes of a step, with thresholds that fit its columns."""
    rounded, narrow = set(), set()
    for f in tree_inputs(c, step):
        x = c.column(step.inputs[0], f)
        if x.kind == "float":
            rounded.add(f)
        elif x.type == "float":
            narrow.add(f)
    return c.forest(step, frozenset(rounded), frozenset(narrow))
