"""One ONNX operator after another against onnxruntime, every attribute at least once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelport.errors import UnsupportedModel
from tests.converters.modelport_onnx_source.nets import agree, normal, whole

X = {"x": normal(3, 4)}
IMAGE = {"x": normal(2, 4, 7, 6)}
LINE = {"x": normal(2, 4, 9)}
SEQUENCE = {"x": normal(2, 5, 3)}
POSITIVE = {"x": np.abs(normal(3, 4)) + 0.1}
INSIDE = {"x": np.tanh(normal(3, 4)) * 0.9}
CODES = {"i": whole(3, 5)}


UNARY = """Abs Neg Sign Exp Floor Ceil Round Relu Sigmoid Tanh Softplus Erf Sin Cos Tan Atan Sinh Cosh Identity HardSwish Softsign
Mish Gelu Elu Celu LeakyRelu ThresholdedRelu Selu HardSigmoid Shrink IsNaN IsInf Dropout""".split()


@pytest.mark.parametrize("kind", UNARY)
def test_unary(kind: str) -> None:
    agree(f"y = {kind}(x)", X)


@pytest.mark.parametrize("kind", ["Sqrt", "Log", "Reciprocal"])
def test_unary_of_positive_numbers(kind: str) -> None:
    agree(f"y = {kind}(x)", POSITIVE)


@pytest.mark.parametrize("kind", ["Asin", "Acos"])
def test_unary_inside_one(kind: str) -> None:
    agree(f"y = {kind}(x)", INSIDE)


ATTRIBUTES = [
    "Elu<alpha=0.3>",
    "Celu<alpha=0.7>",
    "LeakyRelu<alpha=0.3>",
    "ThresholdedRelu<alpha=0.4>",
    "Selu<alpha=1.5, gamma=1.2>",
    "HardSigmoid<alpha=0.3, beta=0.4>",
    'Gelu<approximate="tanh">',
    "Shrink<lambd=0.6>",
    "Shrink<lambd=0.6, bias=0.6>",
    "Softmax<axis=0>",
    "Softmax",
    "LogSoftmax<axis=1>",
    "Hardmax<axis=1>",
    "LpNormalization<p=1>",
    "LpNormalization<axis=1, p=2>",
    "IsInf<detect_negative=0>",
    "IsInf<detect_positive=0>",
]


@pytest.mark.parametrize("call", [a for a in ATTRIBUTES if "axis=0" not in a])
def test_unary_with_attributes(call: str) -> None:
    name, _, rest = call.partition("<")
    agree(f"y = {name}{'<' + rest if rest else ''}(x)", X)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_softmax_along_any_axis(axis: int) -> None:
    agree(f"y = Softmax<axis={axis}>(x)", SEQUENCE)


def test_softmax_before_opset_13_goes_over_all_later_axes() -> None:
    agree("y = Softmax(x)", SEQUENCE, opset=11)
    agree("y = LogSoftmax<axis=2>(x)", SEQUENCE, opset=11)


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Min", "Max", "Sum", "Mean"])
def test_binary(kind: str) -> None:
    agree(f"y = {kind}(x, z)", {"x": normal(3, 4), "z": normal(3, 1, 4, seed=5)[:, 0]})
    agree(f"y = {kind}(x, w)", X, {"w": normal(4, seed=2)})
    agree(f"y = {kind}(w, x)", X, {"w": normal(1, 4, seed=2)})
    agree(f"y = {kind}(x, w)", {"x": normal(3, 2, 5, 4)}, {"w": normal(2, 1, 4, seed=2)})
    agree(f"y = {kind}(x, w)", X, {"w": np.float32(1.5)})


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Mod", "Min", "Max"])
def test_whole_numbers(kind: str) -> None:
    agree(f"y = {kind}(i, w)", CODES, {"w": np.array([3, -2, 5, 1, 7])})


def test_mod_with_the_sign_of_the_dividend() -> None:
    agree("y = Mod<fmod=1>(i, w)", CODES, {"w": np.array([3, -2, 5, 1, 7])})


@pytest.mark.parametrize("power", [2.0, 0.5, 1.0, 3.0, -1.0])
def test_pow(power: float) -> None:
    agree("y = Pow(x, w)", POSITIVE, {"w": np.float32(power)})


def test_pow_of_two_values() -> None:
    agree("y = Pow(x, z)", {"x": np.abs(normal(3, 4)) + 0.1, "z": normal(3, 4, seed=4)})


@pytest.mark.parametrize("kind", ["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"])
def test_comparisons(kind: str) -> None:
    agree(f"y = {kind}(i, w)", CODES, {"w": np.array([0, 1, -2, 3, 0])})
    agree(f"y = {kind}(x, w)", X, {"w": np.zeros(4, dtype=np.float32)})


def test_logic_and_choice() -> None:
    agree(
        """a = Greater(x, zero)
        b = Less(x, one)
        c = And(a, b)
        d = Or(a, b)
        e = Xor(c, d)
        f = Not(e)
        y = Where(f, x, zero)
        z = Where(e, one, x)""",
        X,
        {"zero": np.float32(0), "one": np.float32(1)},
        outputs=("y", "z", "f"),
    )


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (None, 0.5), (-0.5, None), (0.0, None), (0.5, -0.5)])
def test_clip(low: float | None, high: float | None) -> None:
    weights = {n: np.float32(v) for n, v in (("low", low), ("high", high)) if v is not None}
    agree(
        f"y = Clip(x, {'low' if low is not None else ''}, {'high' if high is not None else ''})".replace(", )", ")"), X, weights
    )


def test_clip_with_attributes() -> None:
    agree("y = Clip<min=-0.5, max=0.25>(x)", X, opset=7)


def test_clip_of_whole_numbers() -> None:
    agree("y = Clip(i, low, high)", CODES, {"low": np.int64(-2), "high": np.int64(3)})


@pytest.mark.parametrize("to", [1, 6, 7, 9, 11])
def test_cast(to: int) -> None:
    agree(f"y = Cast<to={to}>(x)", {"x": normal(3, 4) * 3})
    agree(f"y = Cast<to={to}>(i)", CODES)


def test_cast_like() -> None:
    agree("y = CastLike(i, w)", CODES, {"w": np.float32(0)})


def test_int32_and_bytes_as_inputs() -> None:
    rows = {"i": whole(3, 5, low=0, high=9, dtype=np.int32), "b": whole(3, 5, low=0, high=200, dtype=np.uint8)}
    agree(
        """c = Cast<to=1>(b)
        d = Gather(w, i)
        y = Mul(d, c)
        z = Add(i, i)""",
        rows,
        {"w": normal(9)},
        outputs=("y", "z"),
    )


def test_prelu() -> None:
    agree("y = PRelu(x, w)", X, {"w": normal(4)})
    agree("y = PRelu(x, w)", IMAGE, {"w": normal(4, 1, 1)})
    agree("y = PRelu(x, w)", X, {"w": np.array([0.3], dtype=np.float32)})


# --- shapes --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("y = Reshape(x, w)", {"w": np.array([0, -1])}),
        ("y = Reshape(x, w)", {"w": np.array([-1, 6, 7, 4])}),
        ("y = Reshape<allowzero=1>(x, w)", {"w": np.array([-1, 84, 2])}),
        ("y = Flatten(x)", {}),
        ("y = Flatten<axis=1>(x)", {}),
        ("y = Transpose<perm=[0, 2, 3, 1]>(x)", {}),
        ("y = Unsqueeze(x, w)", {"w": np.array([1, -1])}),
        ("y = Slice(x, a, b, c)", {"a": np.array([1, -3]), "b": np.array([3, 1000]), "c": np.array([1, -1])}),
        (
            "y = Slice(x, a, b, c, d)",
            {"a": np.array([5, 1]), "b": np.array([-1000, 7]), "c": np.array([3, 2]), "d": np.array([-2, 2])},
        ),
        ("y = Tile(x, w)", {"w": np.array([1, 2, 1, 3])}),
        ("y = Expand(x, w)", {"w": np.array([1, 4, 7, 6])}),
        ("y = Gather<axis=1>(x, w)", {"w": np.array([3, 0, -1])}),
        ("y = Gather<axis=2>(x, w)", {"w": np.array(2)}),
        ("y = Gather<axis=3>(x, w)", {"w": np.array([[1, 2], [3, 0]])}),
        ("y = Concat<axis=1>(x, x)", {}),
        ("y = Concat<axis=-1>(x, x)", {}),
        ("y = ReduceSum<keepdims=0>(x, w)", {"w": np.array([1])}),
        ("y = ReduceSum(x, w)", {"w": np.array([-1, 1])}),
        ("y = ReduceMean(x, w)", {"w": np.array([2, 3])}),
        ("y = ReduceMax<keepdims=0>(x, w)", {"w": np.array([2, 3])}),
        ("y = ReduceMin(x, w)", {"w": np.array([3])}),
        ("y = ReduceProd<keepdims=0>(x, w)", {"w": np.array([1, 2])}),
        ("y = ReduceL1(x, w)", {"w": np.array([1, 2])}),
        ("y = ReduceL2(x, w)", {"w": np.array([1, 2])}),
        ("y = ReduceSumSquare(x, w)", {"w": np.array([3])}),
        ("y = ReduceLogSumExp(x, w)", {"w": np.array([3])}),
        ("y = ReduceSum<noop_with_empty_axes=1>(x)", {}),
        ("y = ArgMax<axis=1, keepdims=0>(x)", {}),
        ("y = ArgMin<axis=-1>(x)", {}),
        ("y = CumSum(x, w)", {"w": np.array(1)}),
        ("y = CumSum<exclusive=1, reverse=1>(x, w)", {"w": np.array(-1)}),
        ("y = Trilu<upper=0>(x)", {}),
        ("y = Trilu(x, w)", {"w": np.array(1)}),
        ("y = DepthToSpace<blocksize=2>(x)", {}),
        ('y = DepthToSpace<blocksize=2, mode="CRD">(x)', {}),
        ("y = Pad(x, w)", {"w": np.array([0, 0, 1, 2, 0, 1, 0, 3])}),
        ('y = Pad<mode="reflect">(x, w)', {"w": np.array([0, 0, 1, 2, 0, 0, 2, 3])}),
        ('y = Pad<mode="edge">(x, w)', {"w": np.array([0, 1, 0, 2, 0, 0, 2, 0])}),
        ('y = Pad<mode="wrap">(x, w)', {"w": np.array([0, 1, 0, 2, 0, 0, 2, 0])}),
        ("y = Pad(x, w, v, a)", {"w": np.array([1, 2]), "v": np.float32(1.5), "a": np.array([2])}),
        ("y = Pad(x, w)", {"w": np.array([0, 0, -1, 2, 0, 0, 1, -3])}),
        ("y = Pad(x, w, v)", {"w": np.array([0, 0, 1, 0, 0, 0, 0, 1]), "v": np.float32(-np.inf)}),
        ("y = GlobalAveragePool(x)", {}),
        ("y = GlobalMaxPool(x)", {}),
    ],
)
def test_shapes(text: str, weights: dict[str, Any]) -> None:
    agree(text, IMAGE, weights)


def test_older_opsets_have_axes_as_attributes() -> None:
    agree("y = Unsqueeze<axes=[1]>(x)", X, opset=11)
    agree("y = Squeeze<axes=[1]>(x)", {"x": normal(3, 1, 4)}, opset=11)
    agree("y = Slice<starts=[1], ends=[3], axes=[1]>(x)", X, opset=9)
    agree("y = ReduceSum<axes=[1], keepdims=0>(x)", X, opset=11)
    agree("y = Pad<pads=[0, 1, 0, 2], value=0.5>(x)", X, opset=7)
    agree("y, z = Split<axis=1, split=[1, 3]>(x)", X, opset=11, outputs=("y", "z"))
    agree("y = ReduceMax<axes=[1]>(x)", X, opset=13)


def test_squeeze() -> None:
    agree("y = Squeeze(x, w)", {"x": normal(3, 1, 4, 1)}, {"w": np.array([1, -1])})


def test_split() -> None:
    agree("a, y = Split<axis=-1>(x, w)", X, {"w": np.array([1, 3])}, outputs=("a", "y"))
    agree("a, y = Split<axis=1, num_outputs=2>(x)", {"x": normal(3, 5)}, outputs=("a", "y"))
    agree("a, y = Split<axis=1>(x)", X, opset=13, outputs=("a", "y"))


def test_depth_of_space() -> None:
    agree("y = SpaceToDepth<blocksize=2>(x)", {"x": normal(2, 3, 4, 6)})


def test_one_hot() -> None:
    agree("y = OneHot(i, d, v)", CODES, {"d": np.array(4), "v": np.array([-1.0, 2.0], dtype=np.float32)})
    agree("y = OneHot<axis=1>(i, d, v)", CODES, {"d": np.array([6]), "v": np.array([0, 1])})


def test_embedding_and_tables() -> None:
    index = {"i": whole(3, 5, low=0, high=7)}
    agree("y = Gather(w, i)", index, {"w": normal(7, 3)})
    agree("y = Gather(w, i)", index, {"w": normal(7, 2, 3)})
    agree("y = Gather(w, i)", index, {"w": whole(7)})
    agree("g = Gather<axis=1>(w, i)\ny = Transpose<perm=[1, 0, 2]>(g)", index, {"w": normal(2, 7)})


def test_gather_by_rows() -> None:
    rows = {"x": normal(3, 5, 4), "i": whole(3, 2, low=0, high=5)}
    with_axis = "j = Unsqueeze(i, one)\nk = Expand(j, s)\ny = GatherElements<axis=1>(x, k)"
    agree(with_axis, rows, {"one": np.array([2]), "s": np.array([1, 1, 4])})
    agree("y = GatherElements<axis=2>(x, k)", {"x": normal(3, 5, 4), "k": whole(3, 1, 2, low=-4, high=4)})
    agree("y = GatherElements<axis=1>(x, k)", {"x": normal(3, 5, 4), "k": whole(3, 2, 3, low=-5, high=5)})
    agree("y = GatherElements<axis=2>(x, k)", {"x": normal(3, 5, 4), "k": whole(3, 5, 2, low=-4, high=4)})


def test_elements_put_at_known_places() -> None:
    rows = {"x": normal(1, 4, 3), "u": normal(1, 2, 3, seed=4)}
    places = np.broadcast_to(np.array([2, -4])[None, :, None], (1, 2, 3))
    fixed = {"x": [1, 4, 3], "u": [1, 2, 3]}
    agree("y = ScatterElements<axis=1>(x, k, u)", rows, {"k": np.ascontiguousarray(places)}, dims=fixed)
    agree("y = ScatterND(x, k, v)", {"x": normal(1, 4, 3)}, {"k": np.array([[0, 1], [0, -1]]), "v": normal(2, 3)}, dims=fixed)


def test_constants_are_folded() -> None:
    graph = agree(
        """c = Constant<value_floats=[1.0, 2.0, 3.0, 4.0]>()
        d = Constant<value_float=2.0>()
        e = Mul(c, d)
        f = Sqrt(e)
        y = Add(x, f)""",
        X,
    )
    assert [step.op for step in graph.steps] == ["scale"]


def test_many_elements_of_a_constant_are_picked() -> None:
    table = normal(2, 100, seed=7)
    places = np.random.default_rng(3).integers(-100, 100, size=(1, 3))
    agree("e = GatherElements<axis=1>(t, k)\n y = Add(x, e)", {"x": normal(4, 3)}, {"t": table, "k": places})


def test_numbers_of_shapes() -> None:
    agree(
        """s = Shape(x)
        n = Gather(s, zero)
        t = Shape<start=2>(x)
        c = Concat<axis=0>(t, s0)
        u = Unsqueeze(n, zero0)
        d = Concat<axis=0>(u, m, t)
        y = Reshape(x, d)
        f = ConstantOfShape<value: tensor = float[1] {2.5}>(t)
        z = Mul(x, f)
        k = Size(t)
        l = Cast<to=1>(k)
        v = Mul(x, l)""",
        SEQUENCE,
        {"zero": np.array(0), "zero0": np.array([0]), "s0": np.array([1]), "m": np.array([5])},
        outputs=("y", "z", "v"),
    )


def test_range_and_eye() -> None:
    agree(
        """r = Range(a, b, c)
        f = Cast<to=1>(r)
        e = EyeLike<k=1>(q)
        g = MatMul(x, e)
        y = Add(g, f)""",
        X,
        {"a": np.array(3), "b": np.array(-5), "c": np.array(-2), "q": normal(4, 4)},
    )


def test_einsum() -> None:
    two = {"x": normal(2, 3, 4), "z": normal(2, 5, 4, seed=3)}
    agree('y = Einsum<equation="bid,bjd->bij">(x, z)', two)
    agree('y = Einsum<equation="bid,bjd->bjid">(x, z)', two)
    agree('y = Einsum<equation="...d,de->...e">(x, w)', {"x": normal(2, 3, 4)}, {"w": normal(4, 5)})
    agree('y = Einsum<equation="bij->bj">(x)', {"x": normal(2, 3, 4)})
    agree('y = Einsum<equation="bij,bij,k->bik">(x, x, w)', {"x": normal(2, 3, 4)}, {"w": normal(2)})


# --- products ------------------------------------------------------------------------------------------------------------------


def test_matmul() -> None:
    agree("y = MatMul(x, w)", X, {"w": normal(4, 5)})
    agree("y = MatMul(x, w)", X, {"w": normal(4)})
    agree("y = MatMul(x, w)", SEQUENCE, {"w": normal(3, 5)})
    agree("y = MatMul(w, x)", SEQUENCE, {"w": normal(4, 5)})
    agree("y = MatMul(x, z)", {"x": normal(2, 3, 4), "z": normal(2, 4, 5)})
    agree("y = MatMul(x, w)", {"x": normal(2, 3, 4, 5)}, {"w": normal(3, 5, 2)})
    agree("y = MatMul(i, w)", CODES, {"w": whole(5, 3)})


@pytest.mark.parametrize("call", ["Gemm", "Gemm<transB=1>", "Gemm<alpha=0.5, beta=2.0>", "Gemm<beta=0.5, transB=1>"])
@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1, 1), ()])
def test_gemm(call: str, bias: tuple[int, ...] | None) -> None:
    weights = {"w": normal(5, 4) if "transB" in call else normal(4, 5)}
    if bias is not None:
        weights["b"] = normal(*bias) if bias else np.float32(0.7)
    agree(f"y = {call}(x, w{', b' if bias is not None else ''})", X, weights)


def test_gemm_of_a_transposed_row() -> None:
    agree("t = Transpose(x)\ny = Gemm<transA=1>(t, w)", X, {"w": normal(4, 5)})


# --- windows -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attributes",
    [
        "",
        "<strides=[2, 1], pads=[1, 0, 2, 1]>",
        "<dilations=[2, 1]>",
        '<auto_pad="SAME_UPPER", strides=[2, 2]>',
        '<auto_pad="SAME_LOWER", strides=[2, 2]>',
        '<auto_pad="VALID", kernel_shape=[3, 2]>',
        "<group=2>",
    ],
)
def test_conv(attributes: str) -> None:
    weights = {"w": normal(6, 2 if "group" in attributes else 4, 3, 2), "b": normal(6)}
    agree(f"y = Conv{attributes}(x, w, b)", IMAGE, weights)


def test_conv_of_other_ranks() -> None:
    agree("y = Conv<dilations=[2], pads=[1, 1]>(x, w)", LINE, {"w": normal(3, 4, 3)})
    agree("y = Conv<strides=[2, 1, 1]>(x, w)", {"x": normal(2, 2, 4, 5, 3)}, {"w": normal(3, 2, 2, 2, 2)})


@pytest.mark.parametrize(
    "attributes",
    [
        "",
        "<strides=[2, 2], pads=[1, 0, 0, 1], output_padding=[1, 0]>",
        "<dilations=[2, 1], group=2>",
        '<auto_pad="SAME_UPPER", strides=[2, 2]>',
        '<auto_pad="SAME_LOWER", strides=[2, 2]>',
        "<strides=[3, 2], output_shape=[20, 12]>",
        "<strides=[2, 2], output_shape=[14, 11]>",
    ],
)
def test_conv_transpose(attributes: str) -> None:
    agree(
        f"y = ConvTranspose{attributes}(x, w, b)",
        IMAGE,
        {"w": normal(4, 3, 3, 2), "b": normal(6 if "group" in attributes else 3)},
    )


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        "kernel_shape=[2, 2]",
        "kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]",
        "kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1",
        "kernel_shape=[2, 3], strides=[3, 2], pads=[1, 1, 1, 1], ceil_mode=1",
        "kernel_shape=[2, 2], dilations=[2, 3]",
        'kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_UPPER"',
        'kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_LOWER"',
        "kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1",
        "kernel_shape=[3, 2], strides=[3, 2], pads=[1, 1, 1, 0], count_include_pad=1, ceil_mode=1",
    ],
)
def test_pool(kind: str, attributes: str) -> None:
    if kind == "MaxPool":
        attributes = attributes.replace(", count_include_pad=1", "")
    agree(f"y = {kind}<{attributes}>(x)", IMAGE)


def test_pool_along_a_line() -> None:
    agree("y = MaxPool<kernel_shape=[3], strides=[2], storage_order=0>(x)", LINE)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("at", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
def test_resize(mode: str, at: str) -> None:
    call = f'Resize<mode="{mode}", coordinate_transformation_mode="{at}"'
    agree(f"y = {call}>(x, , s)", IMAGE, {"s": np.array([1, 1, 2, 1.5], dtype=np.float32)})
    agree(f"y = {call}, axes=[2, 3]>(x, , , s)", IMAGE, {"s": np.array([5, 9])})


@pytest.mark.parametrize("round_", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_resize_to_the_nearest(round_: str) -> None:
    agree(
        f'y = Resize<nearest_mode="{round_}", axes=[2, 3]>(x, , , s)', IMAGE, {"s": np.array([14, 9])},
    )  # fmt: skip


def test_resize_of_cubic_coefficients() -> None:
    agree('y = Resize<mode="cubic", cubic_coeff_a=-0.5>(x, , s)', IMAGE, {"s": np.array([1, 1, 2, 2], dtype=np.float32)})


def test_upsample() -> None:
    agree("y = Upsample(x, s)", IMAGE, {"s": np.array([1, 1, 2, 3], dtype=np.float32)}, opset=9)


# --- norms ---------------------------------------------------------------------------------------------------------------------

STATISTICS = {"s": normal(4), "b": normal(4, seed=2), "m": normal(4, seed=3), "v": np.abs(normal(4, seed=4)) + 0.2}


@pytest.mark.parametrize("rows", [X, LINE, IMAGE])
def test_batch_normalization(rows: dict[str, np.ndarray]) -> None:
    agree("y = BatchNormalization<epsilon=0.01, momentum=0.8>(x, s, b, m, v)", rows, STATISTICS)


def test_layer_normalization() -> None:
    agree("y = LayerNormalization<epsilon=0.01>(x, s, b)", {"x": normal(2, 3, 4)}, STATISTICS_OF(4))
    agree("y = LayerNormalization<axis=1>(x, s)", {"x": normal(2, 3, 4)}, {"s": normal(3, 4)})
    agree("y = LayerNormalization<axis=-2>(x, s, b)", {"x": normal(2, 3, 4)}, {"s": normal(3, 4), "b": normal(3, 4, seed=8)})


def STATISTICS_OF(width: int) -> dict[str, np.ndarray]:
    return {"s": normal(width), "b": normal(width, seed=2)}


def test_instance_and_group_normalization() -> None:
    agree("y = InstanceNormalization<epsilon=0.01>(x, s, b)", IMAGE, STATISTICS_OF(4))
    agree("y = GroupNormalization<num_groups=2, epsilon=0.01>(x, s, b)", IMAGE, STATISTICS_OF(4), opset=21)


def test_mean_variance_normalization() -> None:
    agree("y = MeanVarianceNormalization<axes=[2, 3]>(x)", IMAGE)


# --- recurrences ---------------------------------------------------------------------------------------------------------------


def cell(gates: int, directions: int = 1, width: int = 3, units: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(gates)
    sizes = {
        "w": (directions, gates * units, width),
        "r": (directions, gates * units, units),
        "b": (directions, 2 * gates * units),
    }
    return {name: rng.normal(size=size).astype(np.float32) * 0.5 for name, size in sizes.items()}


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_recurrences(kind: str, gates: int, direction: str) -> None:
    weights = cell(gates, 2 if direction == "bidirectional" else 1)
    last = ", c" if kind == "LSTM" else ""
    text = f"""t = Transpose<perm=[1, 0, 2]>(x)
    s, h{last} = {kind}<hidden_size=4, direction="{direction}">(t, w, r, b)
    y = Transpose<perm=[2, 0, 1, 3]>(s)
    z = Transpose<perm=[1, 0, 2]>(h)
    """ + ("u = Transpose<perm=[1, 0, 2]>(c)" if last else "")
    agree(text, SEQUENCE, weights, outputs=("y", "z", *(["u"] if last else [])))


@pytest.mark.parametrize(("name", "axis"), [("w", 1), ("w", 2), ("r", 1), ("b", 1)])
def test_weights_of_another_number_of_units_are_refused(name: str, axis: int) -> None:
    weights = cell(4)
    weights[name] = np.concatenate([weights[name]] * 2, axis=axis)
    with pytest.raises(UnsupportedModel, match=rf"has .* {name.upper()} of .* where 4 units ask for .*proj_size"):
        agree("t = Transpose<perm=[1, 0, 2]>(x)\n y, h = LSTM<hidden_size=4>(t, w, r, b)", SEQUENCE, weights)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_states_that_the_rows_give(kind: str) -> None:
    rows = {"x": normal(2, 5, 3), "h": normal(2, 1, 4), "c": normal(2, 1, 4, seed=9)}
    gates, last = (4, ", q") if kind == "LSTM" else (3, "")
    text = f"""t = Transpose<perm=[1, 0, 2]>(x)
    p = Transpose<perm=[1, 0, 2]>(h)
    q = Transpose<perm=[1, 0, 2]>(c)
    s, a = {kind}<hidden_size=4>(t, w, r, b, , p{last})
    y = Transpose<perm=[1, 0, 2]>(a)
    z = Squeeze(s, one)
    k = Transpose<perm=[1, 0, 2]>(z)
    d = Add(c, h)"""
    agree(text, rows, cell(gates) | {"one": np.array([1])}, outputs=("y", "k", "d"))


def test_gru_variants() -> None:
    text = """t = Transpose<perm=[1, 0, 2]>(x)
    s = GRU<hidden_size=4, linear_before_reset={0}>(t, w, r, b)
    y = Transpose<perm=[2, 0, 1, 3]>(s)"""
    for flag in (0, 1):
        agree(text.format(flag), SEQUENCE, cell(3))


def test_recurrence_activations() -> None:
    text = """t = Transpose<perm=[1, 0, 2]>(x)
    s = LSTM<hidden_size=4, activations=["Sigmoid", "Relu", "Relu"]>(t, w, r)
    y = Transpose<perm=[2, 0, 1, 3]>(s)"""
    weights = cell(4)
    del weights["b"]
    agree(text, SEQUENCE, weights)
    agree(
        text.replace("LSTM", "RNN").replace('["Sigmoid", "Relu", "Relu"]', '["Relu"]'),
        SEQUENCE,
        {k: v for k, v in cell(1).items() if k != "b"},
    )
    agree(
        text.replace("LSTM", "GRU").replace('["Sigmoid", "Relu", "Relu"]', '["Sigmoid", "Softsign"]'),
        SEQUENCE,
        {k: v for k, v in cell(3).items() if k != "b"},
    )


def test_full_sequence_lengths_change_nothing() -> None:
    text = """t = Transpose<perm=[1, 0, 2]>(x)
    s, y0 = RNN<hidden_size=4>(t, w, r, b, l)
    y = Transpose<perm=[1, 0, 2]>(y0)"""
    agree(text, {"x": normal(1, 5, 3)}, cell(1) | {"l": np.array([5], dtype=np.int32)}, dims={"x": [1, 5, 3]})


# --- quantized -----------------------------------------------------------------------------------------------------------------


def test_quantized_and_back() -> None:
    held = {"s": np.float32(0.05), "z": np.uint8(120)}
    agree("q = QuantizeLinear(x, s, z)\ny = DequantizeLinear(q, s, z)", X, held)
    weights = {"s": np.array([0.05, 0.1, 0.02, 0.2], dtype=np.float32), "z": np.zeros(4, dtype=np.int8)}
    agree("q = QuantizeLinear<axis=1>(x, s, z)\ny = DequantizeLinear<axis=1>(q, s, z)", X, weights)
    agree(
        "d = DequantizeLinear<axis=1>(w, s, z)\ny = MatMul(x, d)", X,
        {
            "w": whole(4, 3, low=-100, high=100, dtype=np.int8),
            "s": np.array([0.1, 0.2, 0.3], dtype=np.float32),
            "z": np.zeros(3, dtype=np.int8),
        },
    )  # fmt: skip
