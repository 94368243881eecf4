"""Operators that go element by element."""

from __future__ import annotations

import numpy as np

from modelport.errors import UnsupportedModel

from .lengths import same
from .nodes import Node, handles
from .pointwise import activation, binary, cast, clip, compare, logic, scalar, unary, where
from .summing import over_flattened, over_last, reduce
from .values import FLOATS, Builder, Known, Traced, Value

UNARY = {
    "Abs": "abs", "Neg": "neg", "Sign": "sign", "Sqrt": "sqrt", "Exp": "exp", "Log": "log", "Reciprocal": "reciprocal",
    "Floor": "floor", "Ceil": "ceil", "Round": "round", "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh",
    "Softplus": "softplus", "Erf": "erf", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "arcsin", "Acos": "arccos",
    "Atan": "arctan", "Sinh": "sinh", "Cosh": "cosh", "Not": "not",
}  # fmt: skip
BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Pow": "pow"}
COMPARE = {"Equal": "eq", "Less": "lt", "Greater": "gt", "LessOrEqual": "le", "GreaterOrEqual": "ge"}
LOGIC = {"And": "and", "Or": "or", "Xor": "xor"}


@handles(*UNARY)
def one(b: Builder, node: Node) -> Value:
    return unary(b, UNARY[node.kind], node.value(0))


@handles(*BINARY)
def two(b: Builder, node: Node) -> Value:
    x, y = node.value(0), node.value(1)
    if node.kind == "Pow" and isinstance(y, Known) and not y.symbolic and y.array.size == 1 and x.dtype in FLOATS:
        power = float(y.array.ravel()[0])
        if power in (1.0, 2.0, 0.5) and y.array.ndim <= len(x.shape):
            return x if power == 1.0 else unary(b, "square" if power == 2.0 else "sqrt", x)
    return binary(b, BINARY[node.kind], x, y)


@handles("Mod")
def mod(b: Builder, node: Node) -> Value:
    x, y = node.value(0), node.value(1)
    if node.attr("fmod", 0):
        whole = unary(b, "trunc", binary(b, "div", x, y)) if x.dtype in FLOATS else binary(b, "div", x, y)
        if x.dtype in FLOATS:
            raise node.refused("fmod", "fmod=1 for floats")
        return binary(b, "sub", x, binary(b, "mul", y, whole))
    return binary(b, "mod", x, y)


@handles(*COMPARE)
def comparison(b: Builder, node: Node) -> Value:
    x, y = node.value(0), node.value(1)
    return compare(b, COMPARE[node.kind], x, y)


@handles(*LOGIC)
def logical(b: Builder, node: Node) -> Value:
    return logic(b, LOGIC[node.kind], node.value(0), node.value(1))


@handles("Min", "Max", "Sum", "Mean")
def several(b: Builder, node: Node) -> Value:
    fn = {"Min": "min", "Max": "max"}.get(node.kind, "add")
    result = node.value(0)
    for index in range(1, len(node.inputs)):
        result = binary(b, fn, result, node.value(index))
    return result if node.kind != "Mean" else binary(b, "div", result, scalar(len(node.inputs), result.dtype))


@handles("Where")
def choose(b: Builder, node: Node) -> Value:
    return where(b, node.value(0), node.value(1), node.value(2))


@handles("Clip")
def bounds(b: Builder, node: Node) -> Value:
    x = node.value(0)
    low, high = node.get(1), node.get(2)
    if node.opset < 11:
        given = (node.attr("min"), node.attr("max"))
        low, high = (None if v is None else scalar(v, x.dtype) for v in given)
    return clip(b, x, low, high)


@handles("Cast", "CastLike")
def converted(b: Builder, node: Node) -> Value:
    node.waive("saturate", "round_mode")  # they concern 8-bit floats, which are refused
    if node.kind == "CastLike":
        return cast(b, node.value(0), node.value(1).dtype)
    to = {1: "f32", 2: "u8", 3: "i8", 4: "u16", 5: "i16", 6: "i32", 7: "i64", 9: "bool", 10: "f16", 11: "f64", 12: "u32"}
    code = int(node.attr("to"))
    if code not in to:
        raise node.refused("to", f"to={code}")
    return cast(b, node.value(0), to[code])


@handles("Identity")
def identity(b: Builder, node: Node) -> Value:
    return node.value(0)


@handles("Dropout")
def dropout(b: Builder, node: Node) -> Value:
    node.waive("ratio", "seed", "is_test")
    node.get(1)
    training = node.known(2, "training_mode")
    if training is not None and bool(training.array):
        raise UnsupportedModel(f"The ONNX model's {node} drops elements at random (training_mode): export it in inference mode.")
    node.first_only()
    return node.value(0)


@handles("IsNaN")
def is_nan(b: Builder, node: Node) -> Value:
    x = node.traced(b, 0)
    return compare(b, "ne", x, x)


@handles("IsInf")
def is_inf(b: Builder, node: Node) -> Value:
    x = node.traced(b, 0)
    low, high = bool(node.attr("detect_negative", 1)), bool(node.attr("detect_positive", 1))
    if low and high:
        return compare(b, "eq", unary(b, "abs", x), scalar(np.inf, x.dtype))
    return (
        compare(b, "eq", x, scalar(np.inf if high else -np.inf if low else 0.0, x.dtype))
        if low or high
        else compare(b, "lt", x, x)
    )


# --- activations ---------------------------------------------------------------------------------------------------------------


@handles("Elu", "Celu", "LeakyRelu", "ThresholdedRelu")
def with_alpha(b: Builder, node: Node) -> Value:
    alpha = float(node.attr("alpha", {"LeakyRelu": 0.01}.get(node.kind, 1.0)))
    if node.kind == "ThresholdedRelu":
        return activation(b, "threshold", node.value(0), alpha, 0.0)
    return activation(b, {"Elu": "elu", "Celu": "celu", "LeakyRelu": "leaky_relu"}[node.kind], node.value(0), alpha)


@handles("Selu")
def selu(b: Builder, node: Node) -> Value:
    alpha, gamma = float(node.attr("alpha", 1.6732632)), float(node.attr("gamma", 1.0507010))
    if abs(alpha - 1.6732632423543772) < 1e-6 and abs(gamma - 1.0507009873554805) < 1e-6:
        return activation(b, "selu", node.value(0))
    grown = activation(b, "elu", node.value(0), alpha)
    return binary(b, "mul", grown, scalar(gamma, grown.dtype))


@handles("HardSigmoid")
def hard_sigmoid(b: Builder, node: Node) -> Value:
    return activation(b, "hard_sigmoid", node.value(0), float(node.attr("alpha", 0.2)), float(node.attr("beta", 0.5)))


@handles("HardSwish", "Softsign", "Mish")
def without(b: Builder, node: Node) -> Value:
    return activation(b, {"HardSwish": "hard_swish", "Softsign": "softsign", "Mish": "mish"}[node.kind], node.value(0))


@handles("Swish")
def swish(b: Builder, node: Node) -> Value:
    alpha = float(node.attr("alpha", 1.0))
    return activation(b, "silu", node.value(0)) if alpha == 1.0 else activation(b, "quick_gelu", node.value(0), alpha)


@handles("Gelu")
def gelu(b: Builder, node: Node) -> Value:
    kind = node.attr("approximate", "none")
    if kind not in ("none", "tanh"):
        raise node.refused("approximate", f"approximate={kind!r}")
    return activation(b, "gelu" if kind == "none" else "gelu_tanh", node.value(0))


@handles("Shrink")
def shrink(b: Builder, node: Node) -> Value:
    lambd, bias, x = float(node.attr("lambd", 0.5)), float(node.attr("bias", 0.0)), node.value(0)
    if bias == 0.0 and lambd >= 0:
        return activation(b, "hard_shrink", x, lambd)
    if bias == lambd and lambd >= 0:
        return activation(b, "soft_shrink", x, lambd)
    raise node.refused("bias", f"bias={bias} beside lambd={lambd}")


@handles("PRelu")
def prelu(b: Builder, node: Node) -> Value:
    x, slope = node.traced(b, 0), node.value(1)
    if not isinstance(slope, Known):
        return where(b, compare(b, "ge", x, scalar(0, x.dtype)), x, binary(b, "mul", slope, x))
    held = b.traced(slope)
    names, row, shape = b.joint([x, held])
    if not _spans(b.row_of(names[0]), row):
        raise UnsupportedModel(f"The slope of the ONNX model's {node} is wider than what it is applied to.")
    made = b.add("prelu", [names[0]], x.dtype, row, slope=b.constants[names[1]], dtype=x.dtype)
    return Traced(made, row, shape, x.dtype)


def _spans(given: tuple[object, ...], row: tuple[object, ...]) -> bool:
    return len(given) == len(row) and all(same(n, m) for n, m in zip(given, row, strict=True))  # type: ignore[arg-type]


# --- along one axis ------------------------------------------------------------------------------------------------------------


@handles("Softmax", "LogSoftmax")
def softmax(b: Builder, node: Node) -> Value:
    op = "softmax" if node.kind == "Softmax" else "log_softmax"
    x = node.value(0)
    axis = node.axis(-1 if node.opset >= 13 else 1, len(x.shape))
    return over_last(b, op, x, axis) if node.opset >= 13 else over_flattened(b, op, x, axis)


@handles("Hardmax")
def hardmax(b: Builder, node: Node) -> Value:
    x = node.traced(b, 0)
    axis = node.axis(-1 if node.opset >= 13 else 1, len(x.shape))
    size = x.shape[axis]
    if not isinstance(size, int) or (node.opset < 13 and axis != len(x.shape) - 1):
        raise UnsupportedModel(f"The ONNX model's {node} goes over several axes, or one whose length varies.")
    best = reduce(b, "argmax", x, [axis], keep=True)
    shape = [1] * len(x.shape)
    shape[axis] = size
    return cast(b, compare(b, "eq", best, Known(np.arange(size).reshape(shape), "i64")), x.dtype)


@handles("LpNormalization")
def lp_normalization(b: Builder, node: Node) -> Value:
    p, x = int(node.attr("p", 2)), node.value(0)
    return over_last(b, "normalize", x, node.axis(-1, len(x.shape)), norm="l1" if p == 1 else "l2")


# --- quantized values ----------------------------------------------------------------------------------------------------------


def _along(x: Value, part: Value, axis: int) -> Value:
    """A scale or zero point per index of an axis, so that it broadcasts."""
    if not isinstance(part, Known) or part.array.size == 1:
        return part if not isinstance(part, Known) else Known(part.array.reshape(()), part.dtype)
    shape = [1] * len(x.shape)
    shape[axis] = part.array.size
    return Known(part.array.reshape(shape), part.dtype)


@handles("QuantizeLinear")
def quantize(b: Builder, node: Node) -> Value:
    node.waive("saturate")
    node.only("block_size", 0)
    node.only("precision", 0, 1)
    x, scale, zero = node.value(0), node.known(1, "the scale"), node.known(2, "the zero point")
    code = int(node.attr("output_dtype", 0))
    dtype = {0: zero.dtype if zero else "u8", 2: "u8", 3: "i8", 4: "u16", 5: "i16"}.get(code)
    if dtype not in ("u8", "i8", "u16", "i16") or scale is None or x.dtype != "f32":
        raise node.refused("output_dtype", f"an output of {dtype or code}")
    axis = node.axis(1, len(x.shape)) if scale.array.size > 1 else int(node.attr("axis", 1))
    steps = unary(b, "round", binary(b, "div", x, _along(x, scale, axis)))
    if zero is not None:
        steps = binary(b, "add", steps, cast(b, _along(x, zero, axis), "f32"))
    bounds_ = np.iinfo(dtype.replace("u", "uint") if dtype[0] == "u" else dtype.replace("i", "int"))
    held = b.traced(clip(b, steps, scalar(bounds_.min, "f32"), scalar(bounds_.max, "f32")))
    name = b.add("cast", [held.name], "i64", held.row, to="i64")
    return Traced(name, held.row, held.shape, dtype)


@handles("DequantizeLinear")
def dequantize(b: Builder, node: Node) -> Value:
    node.only("block_size", 0)
    node.only("output_dtype", 0, 1)
    x, scale, zero = node.value(0), node.known(1, "the scale"), node.known(2, "the zero point")
    if scale is None or scale.dtype != "f32":
        raise UnsupportedModel(f"The scale of the ONNX model's {node} is not float32.")
    axis = node.axis(1, len(x.shape)) if scale.array.size > 1 else int(node.attr("axis", 1))
    steps = cast(b, x, "f32")
    if zero is not None:
        steps = binary(b, "sub", steps, cast(b, _along(x, zero, axis), "f32"))
    return binary(b, "mul", steps, _along(x, scale, axis))
