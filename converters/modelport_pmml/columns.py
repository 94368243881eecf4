"""How columns of steps are written as PMML expressions: choosing, encoding, arithmetic. Importing this registers them."""

from __future__ import annotations

import math

import numpy as np

from modelport.graph import DTYPES, INTEGERS, Step

from .compiler import Compiler, columns, is_float, no_form
from .expressions import Expression
from .special import norm_ppf

#: kinds of expressions that are finite numbers of the document
BOUNDED = frozenset({"bins", "constant", "indicator", "map"})


# --- moving -------------------------------------------------------------------------------------------------------------------


@columns("concat")
def concat(c: Compiler, step: Step, j: int) -> Expression:
    """The column of the input that holds position j."""
    for name in step.inputs:
        if j < c.type(name).width:
            return c.column(name, j)
        j -= c.type(name).width
    raise AssertionError("a column outside the row")


@columns("select")
def select(c: Compiler, step: Step, j: int) -> Expression:
    """Column index[j]."""
    return c.column(step.inputs[0], int(step.attributes["index"][j]))


@columns("constant")
def constant(c: Compiler, step: Step, j: int) -> Expression:
    """A constant of the row."""
    value = step.attributes["value"].ravel()[j]
    if value is None or value != value:
        return c.make.nothing(value is None)
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and math.isinf(plain):  # which no Constant spells
        return c.make.apply("*", c.make.constant(math.copysign(1e308, plain)), c.make.constant(10.0))
    return c.make.constant(plain)


@columns("cast")
def cast(c: Compiler, step: Step, j: int) -> Expression:
    """Between numbers; integers are doubles with whole values."""
    x, to = c.column(step.inputs[0], j), step.attributes["to"]
    source = c.type(step.inputs[0])
    if to == "bool":
        if x.type == "boolean":
            return x
        return c.make.compare("notEqual", x, c.make.constant(0.0))
    number = c.make.number(x) if x.type == "boolean" else x
    if x.type == "integer":
        if to != "f64":
            raise no_form(step, "PMML scorers read 64-bit integers as doubles")
        return c.make.field(x.data, "double", False)
    if to == "f32":
        return c.make.rounded(number)
    if to in INTEGERS and is_float(source):
        c.per_row(step, "guards", lambda: _require_integers(c, step))
        return truncated(c, number)
    return number


def _require_integers(c: Compiler, step: Step) -> list[Expression]:
    """Refuse what an integer type does not hold: missing values and numbers out of its range."""
    make, bounds = c.make, np.iinfo(DTYPES[step.attributes["to"]])
    low, high = make.constant(float(bounds.min) - (bounds.bits < 64)), make.constant(float(int(bounds.max) + 1))
    for x in c.row(step.inputs[0]):
        if x.kind not in BOUNDED or x.nullable:
            above = make.compare("greaterOrEqual" if bounds.bits == 64 else "greaterThan", x, low)
            c.require(make.all_of([above, make.compare("lessThan", x, high)]))
    return []


def truncated(c: Compiler, x: Expression) -> Expression:
    """x without its fraction."""
    negative = c.make.compare("lessThan", x, c.make.constant(0.0))
    return c.make.choose(negative, c.make.apply("ceil", x), c.make.apply("floor", x))


# --- missing values -----------------------------------------------------------------------------------------------------------


@columns("impute")
def impute(c: Compiler, step: Step, j: int) -> Expression:
    """The column's value where the element equals `match`."""
    x, match = c.column(step.inputs[0], j), step.attributes.get("match")
    values = step.attributes["values"]
    value = values[j if values.size > 1 else 0]
    plain = value if value is None or isinstance(value, str) else float(value)
    if match is None or match != match:
        return c.make.default(x, plain)
    missing = plain is None or plain != plain
    filling = c.make.nothing(plain is None) if missing else c.make.constant(plain)
    return c.make.choose(c.make.compare("equal", x, c.make.constant(match)), filling, x)


@columns("is_missing")
def is_missing(c: Compiler, step: Step, j: int) -> Expression:
    """1.0 where the element equals `match`."""
    x, match = c.column(step.inputs[0], j), step.attributes.get("match")
    if match is None or match != match:
        return c.make.number(c.make.is_missing(x))
    return c.make.number(c.make.compare("equal", x, c.make.constant(match)))


# --- arithmetic ---------------------------------------------------------------------------------------------------------------


@columns("scale")
def scale(c: Compiler, step: Step, j: int) -> Expression:
    """((x - sub) / div) * mul + add; parts that change nothing are left out."""
    x = c.in_dtype(step, c.column(step.inputs[0], j))
    for name, function, neutral in (("sub", "-", 0.0), ("div", "/", 1.0), ("mul", "*", 1.0), ("add", "+", None)):
        value = c.parameter(step, name, j)
        if value is not None and value != neutral:
            x = c.in_dtype(step, c.make.apply(function, x, c.make.constant(value)))
    return x


@columns("clip")
def clip(c: Compiler, step: Step, j: int) -> Expression:
    """x < min ? min : x > max ? max : x."""
    x = c.in_dtype(step, c.column(step.inputs[0], j))
    result = x
    for name, function in (("max", "greaterThan"), ("min", "lessThan")):
        bound = c.parameter(step, name, j)
        if bound is not None and math.isfinite(bound):
            result = c.make.choose(c.make.compare(function, x, c.make.constant(bound)), c.make.constant(bound), result)
    return c.in_dtype(step, result)


PLAIN_UNARY = {
    "abs": "abs",
    "sqrt": "sqrt",
    "floor": "floor",
    "ceil": "ceil",
    "round": "rint",
    "exp": "exp",
    "expm1": "expm1",
    "log": "ln",
    "log1p": "ln1p",
    "log10": "log10",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "erf": "erf",
}


@columns("unary")
def unary(c: Compiler, step: Step, j: int) -> Expression:
    """One function of one column."""
    x, fn, make = c.column(step.inputs[0], j), step.attributes["fn"], c.make
    if fn == "not":
        return make.logic("not", x)
    x = c.in_dtype(step, x)
    zero, one = make.constant(0.0), make.constant(1.0)
    if fn in PLAIN_UNARY:
        result = make.apply(PLAIN_UNARY[fn], x)
    elif fn == "norm_ppf":
        result = norm_ppf(make, x)
    elif fn == "neg":
        result = make.apply("*", x, make.constant(-1.0))
    elif fn == "square":
        result = make.apply("*", x, x)
    elif fn == "reciprocal":
        result = make.apply("/", one, x)
    elif fn == "trunc":
        result = truncated(c, x)
    elif fn == "relu":
        result = make.choose(make.compare("lessThan", x, zero), zero, x)
    elif fn == "sign":
        below = make.choose(make.compare("lessThan", x, zero), make.constant(-1.0), x)
        result = make.choose(make.compare("greaterThan", x, zero), one, below)
    elif fn == "log2":
        result = make.apply("/", make.apply("ln", x), make.constant(math.log(2.0)))
    else:
        result = _logistic_kin(c, fn, x)
    return c.in_dtype(step, result)


def sigmoid(c: Compiler, x: Expression) -> Expression:
    """1 / (1 + exp(-x))."""
    e = c.make.apply("exp", c.make.apply("*", x, c.make.constant(-1.0)))
    return c.make.apply("/", c.make.constant(1.0), c.make.apply("+", c.make.constant(1.0), e))


def _logistic_kin(c: Compiler, fn: str, x: Expression) -> Expression:
    make = c.make
    if fn == "sigmoid":
        return sigmoid(c, x)
    if fn == "softplus":
        return softplus(c, x)
    positive = make.compare("greaterThan", x, make.constant(0.0))
    return make.apply("-", make.choose(positive, make.constant(0.0), x), _tail(c, x))


def softplus(c: Compiler, x: Expression) -> Expression:
    """max(x, 0) + log1p(exp(-|x|))."""
    part = c.make.choose(c.make.compare("greaterThan", x, c.make.constant(0.0)), x, c.make.constant(0.0))
    return c.make.apply("+", part, _tail(c, x))


def _tail(c: Compiler, x: Expression) -> Expression:
    """log1p(exp(-|x|))."""
    make = c.make
    return make.apply("ln1p", make.apply("exp", make.apply("*", make.apply("abs", x), make.constant(-1.0))))


COMPARISONS = {
    "eq": "equal",
    "ne": "notEqual",
    "lt": "lessThan",
    "le": "lessOrEqual",
    "gt": "greaterThan",
    "ge": "greaterOrEqual",
}
ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "div": "/", "min": "min", "max": "max", "pow": "pow"}


@columns("binary")
def binary(c: Compiler, step: Step, j: int) -> Expression:
    """Arithmetic, comparison or logic of two columns."""
    x, y, fn = c.broadcast(step, 0, j), c.broadcast(step, 1, j), step.attributes["fn"]
    dtype = c.type(step.inputs[0]).dtype
    if fn in ("and", "or"):
        return c.make.logic(fn, x, y)
    if fn == "xor":
        return c.make.choose(x, c.make.logic("not", y), y)
    if dtype == "i64" and "integer" in (x.type, y.type) and not any(e.kind == "constant" for e in (x, y)):
        raise no_form(step, "PMML compares 64-bit integers as doubles")
    if is_float(c.type(step.inputs[0])):
        x, y = c.in_dtype(step, x), c.in_dtype(step, y)
    if fn == "pow" and (x.nullable or y.nullable):
        raise no_form(step, "powers of missing values have no PMML form")
    if fn in COMPARISONS:
        return _equal_text(c, fn, x, y) if x.type == "string" else c.make.compare(COMPARISONS[fn], x, y)
    return c.in_dtype(step, c.make.apply(ARITHMETIC[fn], x, y))


def _equal_text(c: Compiler, fn: str, x: Expression, y: Expression) -> Expression:
    """Equality of strings, in which missing equals missing."""
    both = c.make.compare("equal", x, y)
    if x.nullable and y.nullable:
        both = c.make.choose(c.make.is_missing(x), c.make.is_missing(y), both)
    return both if fn == "eq" else c.make.logic("not", both)


@columns("where")
def where(c: Compiler, step: Step, j: int) -> Expression:
    """The second value where the condition holds, else the third."""
    return c.make.choose(c.broadcast(step, 0, j), c.broadcast(step, 1, j), c.broadcast(step, 2, j))


@columns("poly")
def poly(c: Compiler, step: Step, j: int) -> Expression:
    """Factors multiplied from the last to the first."""
    powers = step.attributes["powers"][j]
    factors = np.repeat(np.arange(powers.size), powers)[::-1].tolist()
    if not factors:
        return c.make.constant(1.0)
    row = [c.in_dtype(step, c.column(step.inputs[0], i)) for i in factors]
    if step.attributes["dtype"] == "f64":
        return c.make.product(row)
    result = row[0]
    for factor in row[1:]:
        result = c.in_dtype(step, c.make.apply("*", result, factor))
    return result


OUTSIDE = {"clip": "asExtremeValues", "nan": "asMissingValues", "extend": "asIs"}


@columns("interp")
def interp(c: Compiler, step: Step, j: int) -> Expression:
    """Piecewise linear through the knots."""
    a, x = step.attributes, c.in_dtype(step, c.column(step.inputs[0], j))
    points = [(float(p), float(q)) for p, q in zip(a["x"], a["y"], strict=True)]
    if len(points) == 1:
        if a["outside"] == "nan" or x.nullable:
            raise no_form(step, "a single knot is no line")
        return c.make.constant(points[0][1])
    return c.in_dtype(step, c.make.knots(x, points, OUTSIDE[a["outside"]]))
