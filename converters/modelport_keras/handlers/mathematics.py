"""Functions of keras.ops that compute: elementwise, reductions, products, activations."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from ..activations import function, softmax
from ..builder import Value
from ..einsum import einsum
from ..network import Layer
from ..registry import OPERATIONS, operation
from ..walking import Walker
from .core import any_true
from .shapes import argument, place

ARITHMETIC = {
    "Add": "add",
    "Subtract": "sub",
    "Multiply": "mul",
    "Divide": "div",
    "TrueDivide": "div",
    "Power": "pow",
    "Maximum": "max",
    "Minimum": "min",
}
COMPARING = {"Equal": "eq", "NotEqual": "ne", "Less": "lt", "LessEqual": "le", "Greater": "gt", "GreaterEqual": "ge"}
LOGICAL = {"LogicalAnd": "and", "LogicalOr": "or", "LogicalXor": "xor"}
UNARY = {
    "Negative": "neg",
    "Absolute": "abs",
    "Abs": "abs",
    "Sign": "sign",
    "Sqrt": "sqrt",
    "Square": "square",
    "Reciprocal": "reciprocal",
    "Floor": "floor",
    "Ceil": "ceil",
    "Round": "round",
    "Exp": "exp",
    "Expm1": "expm1",
    "Log": "log",
    "Log1p": "log1p",
    "Log2": "log2",
    "Log10": "log10",
    "Sin": "sin",
    "Cos": "cos",
    "Tan": "tan",
    "Arcsin": "arcsin",
    "Arccos": "arccos",
    "Arctan": "arctan",
    "Sinh": "sinh",
    "Cosh": "cosh",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Relu": "relu",
    "Softplus": "softplus",
    "LogSigmoid": "log_sigmoid",
    "Erf": "erf",
}
#: functions with the name of an activation
ACTIVATIONS = {
    "Silu": "silu",
    "Softsign": "softsign",
    "Selu": "selu",
    "Relu6": "relu6",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "Mish": "mish",
    "TanhShrink": "tanh_shrink",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
}
#: the same with one argument, which is named otherwise there
WITH_ARGUMENT = {
    "Elu": ("elu", "alpha", "alpha"),
    "Celu": ("celu", "alpha", "alpha"),
    "LeakyRelu": ("leaky_relu", "negative_slope", "alpha"),
    "HardShrink": ("hard_shrink", "threshold", "alpha"),
    "SoftShrink": ("soft_shrink", "threshold", "alpha"),
    "Squareplus": ("squareplus", "b", "alpha"),
    "Glu": ("glu", "axis", "axis"),
    "Gelu": ("gelu", "approximate", "approximate"),
}


def pair(walker: Walker, x1: Any, x2: Any) -> tuple[Value, Value]:
    """Two operands in one dtype, numbers of Python in that of the other."""
    rank = max(x.rank for x in (x1, x2) if isinstance(x, Value))
    if not isinstance(x1, Value):
        second, first = pair(walker, x2, x1)
        return first, second
    if isinstance(x2, (bool, int, float)):
        dtype = x1.dtype if x1.dtype in ("f32", "f64") else "f32" if isinstance(x2, float) else "i64"
        left = walker.net.cast(x1, dtype)
        return left, walker.net.value(walker.net.constant(x2, dtype))
    left, right = walker.tensor(x1), walker.steady(x2, rank)
    if left.dtype == right.dtype:
        return left, right
    kinds = {left.dtype, right.dtype}
    if "str" in kinds:
        raise UnsupportedModel(f"An operation joins {left} and {right}, which have nothing in common.")
    dtype = next(kind for kind in ("f64", "f32", "i64") if kind in kinds)
    return walker.net.cast(left, dtype), walker.net.cast(right, dtype)


def floating(walker: Walker, value: Any) -> Value:
    """A value as floats: integers become float32, as Keras does it."""
    found = walker.tensor(value)
    return found if found.dtype in ("f32", "f64") else walker.net.cast(found, "f32")


@operation(*ARITHMETIC)
def arithmetic(walker: Walker, op: Layer, x1: Any, x2: Any) -> Value:
    net = walker.net
    left, right = pair(walker, x1, x2)
    fn = ARITHMETIC[op.class_name]
    if left.dtype in ("f32", "f64"):
        return net.join("binary", left, right, fn=fn)
    if fn == "div":
        return net.join("binary", net.cast(left, "f32"), net.cast(right, "f32"), fn=fn)
    if fn == "pow":
        raise UnsupportedModel(f"{op}: powers of integers are not read.")
    made = net.join("binary", net.cast(left, "f64"), net.cast(right, "f64"), fn=fn)  # exact up to 2^53
    return net.cast(made, "i64")


@operation(*COMPARING)
def comparing(walker: Walker, op: Layer, x1: Any, x2: Any) -> Value:
    net = walker.net
    left, right = pair(walker, x1, x2)
    fn = COMPARING[op.class_name]
    if left.dtype in ("i64", "bool") and fn not in ("eq", "ne"):
        left, right = net.cast(left, "f64"), net.cast(right, "f64")
    return net.join("binary", left, right, fn=fn)


@operation(*LOGICAL)
def logical(walker: Walker, op: Layer, x1: Any, x2: Any) -> Value:
    rank = max(x.rank for x in (x1, x2) if isinstance(x, Value))
    left, right = walker.steady(x1, rank, "bool"), walker.steady(x2, rank, "bool")
    return walker.net.join("binary", left, right, fn=LOGICAL[op.class_name])


@operation("LogicalNot")
def logical_not(walker: Walker, op: Layer, x: Any) -> Value:
    return walker.net.apply(walker.tensor(x, "bool"), "unary", fn="not")


@operation(*UNARY)
def unary(walker: Walker, op: Layer, x: Any) -> Value:
    fn = UNARY[op.class_name]
    if op.class_name == "Round":
        op.demand("decimals", 0, instead="rounding to whole numbers is read.")
    value = walker.tensor(x)
    if value.dtype == "i64" and fn in ("neg", "abs", "square", "sign"):
        return walker.net.cast(walker.net.apply(walker.net.cast(value, "f64"), "unary", fn=fn), "i64")
    if value.dtype == "i64" and fn in ("floor", "ceil", "round"):
        return value if fn == "round" else walker.net.cast(value, "f32")
    return walker.net.apply(floating(walker, value), "unary", fn=fn)


@operation("Rsqrt")
def rsqrt(walker: Walker, op: Layer, x: Any) -> Value:
    root = walker.net.apply(floating(walker, x), "unary", fn="sqrt")
    return walker.net.apply(root, "unary", fn="reciprocal")


@operation(*ACTIVATIONS)
def activation(walker: Walker, op: Layer, x: Any) -> Value:
    return function(walker, op, floating(walker, x), ACTIVATIONS[op.class_name])


@operation(*WITH_ARGUMENT)
def activation_with(walker: Walker, op: Layer, x: Any) -> Value:
    name, key, ours = WITH_ARGUMENT[op.class_name]
    return function(walker, op, floating(walker, x), name, **{ours: op[key]})


@operation("ReLU")
def relu(walker: Walker, op: Layer, x: Any) -> Value:
    slope, limit, start = op["negative_slope"], op["max_value"], op["threshold"]
    return function(walker, op, floating(walker, x), "relu", negative_slope=slope, max_value=limit, threshold=start)


@operation("Threshold")
def threshold(walker: Walker, op: Layer, x: Any) -> Value:
    at, number = op["threshold"], op["default_value"]
    return function(walker, op, floating(walker, x), "threshold", threshold=at, default_value=number)


@operation("Softmax", "LogSoftmax")
def softmax_op(walker: Walker, op: Layer, x: Any) -> Value:
    axis = op["axis"]
    if axis is None:
        raise UnsupportedModel(f"{op}: a softmax over the batch mixes rows, which no step does.")
    return softmax(walker, floating(walker, x), axis, "softmax" if op.class_name == "Softmax" else "log_softmax")


@operation("Clip")
def clip(walker: Walker, op: Layer, x: Any, x_min: Any = None, x_max: Any = None) -> Value:
    low, high = argument(op, "x_min", x_min), argument(op, "x_max", x_max)
    value = walker.tensor(x)
    if any(np.ndim(k) or isinstance(k, Value) for k in (low, high)):
        raise UnsupportedModel(f"{op}: limits that are tensors are not read.")
    made = walker.net.apply(
        value if value.dtype in ("f32", "f64") else walker.net.cast(value, "f64"),
        "clip",
        min_=None if low is None else [float(low)],
        max_=None if high is None else [float(high)],
    )
    return made if value.dtype in ("f32", "f64") else walker.net.cast(made, value.dtype)


@operation("Cast")
def cast(walker: Walker, op: Layer, x: Any, dtype: Any = None) -> Value:
    wanted = str(argument(op, "dtype", dtype))
    if wanted not in ("float32", "float64", "int32", "int64", "bool"):
        raise UnsupportedModel(f"{op}: a cast to {wanted} is not read; float32, float64, int32, int64 and bool are.")
    return walker.net.cast(walker.tensor(x), walker.dtype(wanted))


@operation("Where")
def where(walker: Walker, op: Layer, condition: Any, x1: Any = None, x2: Any = None) -> Value:
    if x1 is None or x2 is None:
        raise UnsupportedModel(f"{op}: where without two choices gives places, whose number depends on the row.")
    net = walker.net
    chosen = walker.tensor(condition, "bool")
    if not isinstance(x1, Value) and not isinstance(x2, Value):
        first = walker.steady(np.asarray(x1, np.float32) if isinstance(x1, float) else x1, chosen.rank)
        left, right = pair(walker, first, x2)
    else:
        left, right = pair(walker, x1, x2)
    return net.value(net.add("where", chosen.plain, left.plain, right.plain))


# --- reductions ---------------------------------------------------------------------------------------------------------------


def _places(op: Layer, value: Value, axis: Any) -> list[int]:
    if axis is None:
        raise UnsupportedModel(f"{op}: a reduction of everything mixes the rows of the batch, which no step does: name the axes.")
    return sorted(place(op, value, k) for k in (axis if isinstance(axis, (list, tuple)) else [axis]))


def reduced(walker: Walker, op: Layer, value: Value, fn: str, axis: Any, keep: bool) -> Value:
    """A reduction over axes that count the batch."""
    net = walker.net
    axes = _places(op, value, axis)
    if keep:
        places = sorted(value.main.index(k) for k in axes)
        return net.value(net.add("reduce", value.name, fn=fn, axes=places, keep=True), value.main)
    return net.value(net.add("reduce", value.plain, fn=fn, axes=axes))


REDUCING = {"Mean": "mean", "Sum": "sum", "Max": "max", "Min": "min", "Prod": "prod", "Logsumexp": "logsumexp"}


@operation(*REDUCING)
def reducing(walker: Walker, op: Layer, x: Any) -> Value:
    axis, keep = op["axis"], bool(op["keepdims"])
    if op.class_name in ("Max", "Min"):
        op.demand("initial", None, instead="a first value is not read.")
    op.waive("dtype")
    value, fn = walker.tensor(x), REDUCING[op.class_name]
    if value.dtype in ("i64", "bool") and fn in ("sum", "max", "min", "prod"):
        made = reduced(walker, op, walker.net.cast(value, "f64"), fn, axis, keep)
        return walker.net.cast(made, "bool" if value.dtype == "bool" and fn in ("max", "min") else "i64")
    return reduced(walker, op, floating(walker, value), fn, axis, keep)


@operation("Any", "All")
def quantified(walker: Walker, op: Layer, x: Any) -> Value:
    value = walker.tensor(x, "bool")
    axis, keep = op["axis"], bool(op["keepdims"])
    net = walker.net
    if op.class_name == "Any":
        return net.value(any_true(walker, value.plain, _places(op, value, axis), keep))
    made = reduced(walker, op, net.cast(value, "f64"), "min", axis, keep)
    return net.cast(made, "bool")


@operation("Argmax", "Argmin")
def arg_extreme(walker: Walker, op: Layer, x: Any) -> Value:
    value = floating(walker, x)
    axis, keep = op["axis"], bool(op.get("keepdims", False))
    return reduced(walker, op, value, op.class_name.lower(), axis, keep)


@operation("Var", "Std")
def spread(walker: Walker, op: Layer, x: Any) -> Value:
    net, value = walker.net, floating(walker, x)
    axis, keep = op["axis"], bool(op["keepdims"])
    apart = net.join("binary", value, reduced(walker, op, value, "mean", axis, True), fn="sub")
    made = reduced(walker, op, net.apply(apart, "unary", fn="square"), "mean", axis, keep)
    return net.apply(made, "unary", fn="sqrt") if op.class_name == "Std" else made


@operation("Norm")
def norm(walker: Walker, op: Layer, x: Any) -> Value:
    op.demand("ord", None, 2, "euclidean", instead="the Euclidean norm is read.")
    return reduced(walker, op, floating(walker, x), "l2", op["axis"], bool(op["keepdims"]))


@operation("Normalize")
def normalize(walker: Walker, op: Layer, x: Any) -> Value:
    op.demand("order", 2, instead="the Euclidean norm is read.")
    net, value = walker.net, floating(walker, x)
    eps = op.get("epsilon")
    length = reduced(walker, op, value, "l2", op["axis"], True)
    return net.join("binary", value, net.apply(length, "clip", min_=[1e-7 if eps is None else float(eps)]), fn="div")


@operation("Cumsum")
def cumsum(walker: Walker, op: Layer, x: Any) -> Value:
    value = walker.tensor(x)
    op.demand("dtype", None, instead="running sums of another dtype are not read.")
    value = value if value.dtype in ("f32", "f64", "i64") else walker.net.cast(value, "i64")
    return walker.net.value(walker.net.add("cumsum", value.plain, axis=place(op, value, op["axis"])))


# --- products -----------------------------------------------------------------------------------------------------------------


@operation("Matmul")
def matmul(walker: Walker, op: Layer, x1: Any, x2: Any) -> Value:
    net = walker.net
    if isinstance(x1, Value) and not isinstance(x2, Value) and np.ndim(x2) == 2:
        left = floating(walker, x1)
        return net.value(net.add("linear", left.plain, weight=np.asarray(x2).T))
    rank = max(x.rank for x in (x1, x2) if isinstance(x, Value))
    one, two = floating(walker, walker.steady(x1, rank)), floating(walker, walker.steady(x2, rank))
    if one.rank < 2 or two.rank < 2:
        raise UnsupportedModel(f"{op}: a product of {one} and {two} is not read.")
    return net.value(net.add("matmul", one.plain, two.plain))


@operation("Dot")
def dot(walker: Walker, op: Layer, x1: Any, x2: Any) -> Value:
    if not isinstance(x1, Value) or isinstance(x2, Value) or np.ndim(x2) != 2:
        raise UnsupportedModel(f"{op}: a dot product of two tensors mixes rows of the batch; with a matrix it is read.")
    left = floating(walker, x1)
    return walker.net.value(walker.net.add("linear", left.plain, weight=np.asarray(x2).T))


@operation("Einsum")
def einsum_op(walker: Walker, op: Layer, *operands: Any) -> Value:
    equation = op["subscripts"]
    if len(operands) != 2:
        raise UnsupportedModel(f"{op}: an einsum of {len(operands)} tensors is not read; of two it is.")
    one, two = operands
    if isinstance(one, Value) and isinstance(two, Value):
        return einsum(walker, op, equation, floating(walker, one), floating(walker, two))
    from ..einsum import einsum_dense

    if not isinstance(one, Value):
        left, arrow, right = equation.partition("->")
        first, second = left.split(",")
        equation, one, two = f"{second},{first}{arrow}{right}", two, one
    return einsum_dense(walker, op, floating(walker, one), equation, np.asarray(two), None)


@operation("OneHot")
def one_hot(walker: Walker, op: Layer, x: Any) -> Value:
    from .lookups import encoded

    op.demand("axis", -1, instead="a one_hot along the last axis is read.")
    op.demand("sparse", False, instead="sparse tensors are not read.")
    value = walker.tensor(x, "i64")
    dtype = op.get("dtype")
    if value.rank and value.shape[-1] == 1:
        net = walker.net
        hits = net.add("binary", net.insert(value.plain, -1), net.constant(np.arange(op["num_classes"]), "i64"), fn="eq")
        return net.value(net.add("cast", hits, to="f32" if dtype is None else walker.dtype(dtype)))
    return encoded(walker, op, value, "one_hot", int(op["num_classes"]), "f32" if dtype is None else walker.dtype(dtype))


@operation("StopGradient", "Identity", "Copy", "ConvertToTensor")
def same(walker: Walker, op: Layer, x: Any, dtype: Any = None) -> Value:
    op.waive("variable", "sparse", "ragged")
    wanted = argument(op, "dtype", dtype)
    value = walker.tensor(x)
    return value if wanted is None else walker.net.cast(value, walker.dtype(wanted))


def known() -> list[str]:
    """The functions of keras.ops that are read."""
    return sorted(OPERATIONS)
