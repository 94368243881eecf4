"""Dense nets: which of them PMML can carry, and how their activations and norms are written. Importing this registers the ops.

PMML has a row of numbers and layers of neurons: nothing has positions. So a net is written when every value of it is one row,
and is refused, naming the step, when it is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from modelport.errors import Unsupported
from modelport.graph import Graph, Step, ValueType

from .columns import sigmoid, softplus
from .compiler import Compiler, columns
from .expressions import Expression, Expressions
from .rows import row_of

__all__ = ["REASONS", "check_shapes", "is_net"]

SHARES = "a PMML network is dense, and no neuron of it looks at positions of an image or a sequence"
REMEMBERS = "a PMML network is dense, and remembers nothing from one time to the next"
MOVES = "PMML has a row of numbers, and no axes to move or to cut"
#: why ops have no form in PMML
REASONS = {
    **dict.fromkeys(
        ("conv", "conv_transpose", "pool", "resize", "pad", "group_norm", "attention", "matmul", "positions"), SHARES
    ),
    **dict.fromkeys(("lstm", "gru", "rnn", "cumsum"), REMEMBERS),
    **dict.fromkeys(("transpose", "slice", "expand", "gather", "embedding"), MOVES),
    "term_ids": "PMML's TextIndex splits text by other rules",
}


def check_shapes(graph: Graph) -> None:
    """Unsupported, naming the input, the output or the step, where a value is no row of numbers."""
    for value in graph.inputs:
        if len(value.shape) > 1 or value.lengths:
            shape = ", ".join(map(str, value.shape))
            raise _not_a_row(f"Input {value.name!r} has rows of shape [{shape}]", "a row of columns")
    for step in graph.steps:
        kind = graph.types[step.output]
        if step.op not in REASONS and not _is_one_row(kind):
            raise _not_a_row(f"{step} gives {kind}", "one row of numbers at every step")
    for output in graph.outputs:
        if len(graph.types[output.source].shape) > 1:
            raise _not_a_row(f"Output {output.name!r} is {graph.types[output.source]}", "a row of fields")


def _is_one_row(kind: ValueType) -> bool:
    """Whether all axes but the last have length 1."""
    return math.prod(kind.shape[:-1]) == 1


def _not_a_row(what: str, needed: str) -> Unsupported:
    return Unsupported(f"{what}, and PMML has {needed}: write JSON or ONNX instead.")


def is_net(graph: Graph) -> bool:
    """Whether a graph is a net in f32, whose sums differ from reader to reader anyway: it is written in doubles, unrounded.

    Graphs with trees are none, which part at thresholds that hang on the rounding.
    """
    ops = {step.op for step in graph.steps if step.attributes.get("dtype") == "f32"}
    narrow = any(value.dtype == "f32" for value in graph.inputs)
    return narrow and "linear" in ops and not any(step.op == "tree_ensemble" for step in graph.steps)


# --- moving -------------------------------------------------------------------------------------------------------------------


@columns("reshape")
def reshape(c: Compiler, step: Step, j: int) -> Expression:
    """The same column: a value is one row before and behind it."""
    return c.column(step.inputs[0], j)


# --- activations --------------------------------------------------------------------------------------------------------------

Function = Callable[[Compiler, Expression, float, float], Expression]
#: fn -> its expression, and what alpha and beta are where they are not said
ACTIVATIONS: dict[str, tuple[Function, float, float]] = {}


def activation_of(fn: str, alpha: float = 0.0, beta: float = 0.0) -> Callable[[Function], Function]:
    """Register the expression of an activation."""

    def register(function: Function) -> Function:
        ACTIVATIONS[fn] = function, alpha, beta
        return function

    return register


@columns("activation")
def activation(c: Compiler, step: Step, j: int) -> Expression:
    """One of the functions that networks put behind a layer; a missing number gives a missing one."""
    function, alpha, beta = ACTIVATIONS[step.attributes["fn"]]
    alpha, beta = (float(step.attributes.get(name, default)) for name, default in (("alpha", alpha), ("beta", beta)))
    x = c.in_dtype(step, c.column(step.inputs[0], j))
    result = function(c, x, alpha, beta)
    if x.nullable:
        result = c.make.only_where(c.make.is_present(x), result)
    return c.in_dtype(step, result)


def _times(make: Expressions, factor: float, x: Expression) -> Expression:
    return x if factor == 1 else make.apply("*", make.constant(factor), x)


def _plus(make: Expressions, x: Expression, term: float) -> Expression:
    return x if term == 0 else make.apply("+", x, make.constant(term))


def _at(make: Expressions, function: str, x: Expression, bound: float) -> Expression:
    """x compared with a number."""
    return make.compare(function, x, make.constant(bound))


@activation_of("elu", 1.0)
def elu(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x > 0 ? x : alpha expm1(x)."""
    return c.make.choose(_at(c.make, "greaterThan", x, 0.0), x, _times(c.make, alpha, c.make.apply("expm1", x)))


@activation_of("celu", 1.0)
def celu(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """max(x, 0) + min(0, alpha expm1(x / alpha))."""
    make, zero = c.make, c.make.constant(0.0)
    bent = _times(make, alpha, make.apply("expm1", make.apply("/", x, make.constant(alpha))))
    return make.apply("+", make.extreme("max", [x, zero]), make.extreme("min", [zero, bent]))


@activation_of("selu")
def selu(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """elu with two constants."""
    return _times(c.make, 1.0507009873554805, elu(c, x, 1.6732632423543772, 0.0))


@activation_of("leaky_relu", 0.01)
def leaky_relu(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x >= 0 ? x : alpha x."""
    return c.make.choose(_at(c.make, "lessThan", x, 0.0), _times(c.make, alpha, x), x)


@activation_of("gelu")
def gelu(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x / 2 (1 + erf(x / sqrt 2))."""
    share = _plus(c.make, c.make.apply("erf", c.make.apply("/", x, c.make.constant(math.sqrt(2.0)))), 1.0)
    return c.make.apply("*", _times(c.make, 0.5, x), share)


@activation_of("gelu_tanh")
def gelu_tanh(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x / 2 (1 + tanh(0.79788 (x + 0.044715 x^3)))."""
    make = c.make
    cube = make.product([x, x, x])
    line = _times(make, 0.7978845608028654, make.apply("+", x, _times(make, 0.044715, cube)))
    return make.apply("*", _times(make, 0.5, x), _plus(make, make.apply("tanh", line), 1.0))


@activation_of("quick_gelu", 1.702)
def quick_gelu(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x sigmoid(alpha x)."""
    return c.make.apply("*", x, sigmoid(c, _times(c.make, alpha, x)))


@activation_of("silu")
def silu(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x sigmoid(x)."""
    return quick_gelu(c, x, 1.0, 0.0)


@activation_of("hard_sigmoid", 1 / 6, 0.5)
def hard_sigmoid(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """min(1, max(0, alpha x + beta))."""
    make = c.make
    line = _plus(make, _times(make, alpha, x), beta)
    return make.extreme("min", [make.constant(1.0), make.extreme("max", [make.constant(0.0), line])])


@activation_of("hard_swish")
def hard_swish(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x min(1, max(0, x / 6 + 0.5))."""
    return c.make.apply("*", x, hard_sigmoid(c, x, 1 / 6, 0.5))


@activation_of("softsign")
def softsign(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x / (1 + |x|)."""
    return c.make.apply("/", x, _plus(c.make, c.make.apply("abs", x), 1.0))


@activation_of("mish")
def mish(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x tanh(softplus(x))."""
    return c.make.apply("*", x, c.make.apply("tanh", softplus(c, x)))


@activation_of("tanh_shrink")
def tanh_shrink(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x - tanh(x)."""
    return c.make.apply("-", x, c.make.apply("tanh", x))


@activation_of("hard_shrink", 0.5)
def hard_shrink(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """|x| > alpha ? x : 0."""
    return c.make.choose(_at(c.make, "greaterThan", c.make.apply("abs", x), alpha), x, c.make.constant(0.0))


@activation_of("soft_shrink", 0.5)
def soft_shrink(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x moved towards 0 by alpha."""
    make = c.make
    low = make.choose(_at(make, "lessThan", x, -alpha), _plus(make, x, alpha), make.constant(0.0))
    return make.choose(_at(make, "greaterThan", x, alpha), make.apply("-", x, make.constant(alpha)), low)


@activation_of("threshold")
def threshold(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """x > alpha ? x : beta."""
    return c.make.choose(_at(c.make, "greaterThan", x, alpha), x, c.make.constant(beta))


@activation_of("squareplus", 4.0)
def squareplus(c: Compiler, x: Expression, alpha: float, beta: float) -> Expression:
    """(x + sqrt(x^2 + alpha)) / 2."""
    make = c.make
    root = make.apply("sqrt", _plus(make, make.apply("*", x, x), alpha))
    return make.apply("/", make.apply("+", x, root), make.constant(2.0))


@columns("prelu")
def prelu(c: Compiler, step: Step, j: int) -> Expression:
    """x >= 0 ? x : slope x."""
    slopes = np.broadcast_to(step.attributes["slope"], c.type(step.output).shape).ravel()
    return c.in_dtype(step, leaky_relu(c, c.in_dtype(step, c.column(step.inputs[0], j)), float(slopes[j]), 0.0))


# --- norms --------------------------------------------------------------------------------------------------------------------


@columns("batch_norm")
def batch_norm(c: Compiler, step: Step, j: int) -> Expression:
    """(x - mean) / sqrt(var + eps) * scale + bias, of the column's channel."""
    a, make = step.attributes, c.make
    channel = j // math.prod(c.type(step.output).shape[1:])
    mean, var = float(a["mean"][channel]), float(a["var"][channel])
    spread = math.sqrt(max(var + float(a["eps"]), 0.0))
    centred = _plus(make, c.in_dtype(step, c.column(step.inputs[0], j)), -mean)
    result = centred if spread == 1 else make.apply("/", centred, make.constant(spread))
    return c.in_dtype(step, _scaled(c, step, result, channel))


def _scaled(c: Compiler, step: Step, x: Expression, k: int) -> Expression:
    """x times element k of scale, plus that of bias, where there are any."""
    for name, apply in (("scale", _times), ("bias", lambda make, term, x: _plus(make, x, term))):
        if name in step.attributes:
            x = apply(c.make, float(step.attributes[name].ravel()[k]), x)
    return x


@columns("layer_norm")
def layer_norm(c: Compiler, step: Step, j: int) -> Expression:
    """(x - m) / sqrt(v + eps) * scale + bias over the row."""
    make, a = c.make, step.attributes

    def parts() -> list[Expression]:
        row = row_of(c, step)
        count = make.constant(float(len(row)))
        if a["center"]:
            mean = make.apply("/", make.total(row), count)
            mean.hint = mean.hint or f"mean({step.inputs[0]})"
            row = [make.apply("-", x, mean) for x in row]
        variance = make.apply("/", make.total([make.apply("*", x, x) for x in row]), count)
        spread = make.apply("sqrt", _plus(make, variance, float(a["eps"])))
        spread.hint = spread.hint or f"spread({step.inputs[0]})"
        return [*row, spread]

    found = c.per_row(step, "layer_norm", parts)
    return c.in_dtype(step, _scaled(c, step, make.apply("/", found[j], found[-1]), j))
