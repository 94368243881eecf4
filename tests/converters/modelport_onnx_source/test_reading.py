"""ONNX models as a source: lengths that vary, the axis of the batch, control flow, fusing, files, refusals."""

from __future__ import annotations

from pathlib import Path

import modelport_onnx_source
import numpy as np
import onnx
import pytest
from modelport_onnx_source.lengths import at, largest, least, named
from onnx import helper, numpy_helper

import modelport
from modelport.errors import (
    ArtifactError,
    GraphError,
    InputError,
    Unsupported,
    UnsupportedAttribute,
    UnsupportedModel,
    UsageError,
)
from modelport.files import load_model
from modelport.run import Evaluator
from tests.converters.modelport_onnx_source.nets import agree, compare, net, normal, read, whole

TIME = {"x": {1: "time"}}
SEQUENCE = {"x": normal(2, 5, 3)}
OTHERS = [{"x": normal(3, 8, 3)}, {"x": normal(1, 2, 3)}, {"x": normal(2, 1, 3)}]


def ops(graph: object) -> list[str]:
    return [step.op for step in graph.steps]  # type: ignore[attr-defined]


# --- lengths -------------------------------------------------------------------------------------------------------------------


def test_lengths_are_polynomials() -> None:
    time = named("time")
    assert (time + 3) * 2 - time * 2 == 6
    assert (4 * time + 6) // 2 == 2 * time + 3
    assert at((time + 3) // 2, {"time": 4}) == 3
    assert time > 0
    assert not time < 1
    assert least(time, 0) == 0
    assert largest(time, 1) == time
    assert at(least(time, 4), {"time": 9}) == 4


def test_what_hangs_on_a_length_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="time < 5"):
        _ = named("time") < 5
    with pytest.raises(UnsupportedModel, match="depending on whether"):
        _ = named("time") == 5


FILLED = """s = Shape<start=1>(x)
f = ConstantOfShape<value: tensor = float[1] {2.0}>(s)
y = Mul(x, f)"""
SCALED = """s = Shape(x)
n = Gather(s, one)
f = Cast<to=1>(n)
q = Sqrt(f)
y = Div(x, q)"""
COUNTED = """s = Shape(x)
n = Gather(s, one)
r = Range(zero, n, one)
f = Cast<to=1>(r)
u = Unsqueeze(f, axis)
y = Add(x, u)"""
COUNTED_BY_TWO = """s = Shape(x)
n = Gather(s, one)
m = Add(n, n)
r = Range(zero, m, two)
f = Cast<to=1>(r)
u = Unsqueeze(f, axis)
y = Sub(x, u)"""
WITH_AN_AXIS_BETWEEN = """v0 = Reshape(x, v)
y = Add(v0, b)"""
NUMBERS = {"zero": np.array(0), "one": np.array(1), "two": np.array(2), "axis": np.array([1])}


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("y = MatMul(x, w)", {"w": normal(3, 4)}),
        ("y = ReduceMean<keepdims=0>(x, a)", {"a": np.array([1])}),
        ("y = Slice(x, a, b, c, a)", {"a": np.array([-1]), "b": np.array([-(1 << 62)]), "c": np.array([1])}),
        ("y = Slice(x, a, b, c)", {"a": np.array([-1]), "b": np.array([1 << 62]), "c": np.array([1])}),
        ("y = Gather<axis=1>(x, a)", {"a": np.array(-1)}),
        ("y = Softmax<axis=1>(x)", {}),
        ("y = CumSum(x, a)", {"a": np.array(1)}),
        (FILLED, {}),
        (SCALED, NUMBERS),
        (COUNTED, NUMBERS),
        (COUNTED_BY_TWO, NUMBERS),
        ("y = Concat<axis=1>(x, x)", {}),
        ("y = Tile(x, w)", {"w": np.array([1, 2, 1])}),
        ("y = Pad(x, w)", {"w": np.array([0, 1, 0, 0, 2, 0])}),
        ("t = Transpose<perm=[0, 2, 1]>(x)\ny = Conv<pads=[1, 1]>(t, w)", {"w": normal(4, 3, 3)}),
        ("t = Transpose<perm=[0, 2, 1]>(x)\ny = Resize(t, , s)", {"s": np.array([1, 1, 2], dtype=np.float32)}),
        (WITH_AN_AXIS_BETWEEN, {"v": np.array([0, -1, 1, 3]), "b": normal(3)}),
    ],
)
def test_a_length_varies(text: str, weights: dict[str, np.ndarray]) -> None:
    agree(text, SEQUENCE, weights, lengths=TIME, others=OTHERS)


def test_a_triangle_of_varying_length() -> None:
    agree(
        """t = Transpose<perm=[0, 2, 1]>(x)
        s = MatMul(x, t)
        m = Trilu<upper=0>(s)
        s0 = Shape(x)
        n = Slice(s0, one, two)
        d = Concat<axis=0>(n, n)
        o = ConstantOfShape<value: tensor = float[1] {1.0}>(d)
        k = Trilu(o, one0)
        h = Cast<to=9>(k)
        w = Where(h, low, m)
        y = Softmax(w)""",
        SEQUENCE,
        {"one": np.array([1]), "two": np.array([2]), "one0": np.array(1), "low": np.float32(-np.inf)},
        lengths=TIME,
        others=OTHERS,
    )


def test_elements_picked_along_an_axis_of_varying_length() -> None:
    rows = [{"x": normal(2, t, 3), "k": whole(2, 2, 3, low=-t, high=t)} for t in (5, 3, 1)]
    agree("y = GatherElements<axis=1>(x, k)", rows[0], lengths=TIME, others=rows[1:])


def test_positions_from_a_table() -> None:
    rows = {"i": whole(2, 5, low=0, high=9)}
    graph = agree(
        """s = Shape(i)
        n = Slice(s, one, two)
        p = Slice(table, zero, n, zero)
        e = Gather(w, i)
        q = Gather(v, p)
        y = Add(e, q)""",
        rows,
        {"one": np.array([1]), "two": np.array([2]), "zero": np.array([0]), "table": np.arange(12)}
        | {"w": normal(9, 4), "v": normal(12, 4)},
        lengths={"i": {1: "time"}},
        others=[{"i": whole(2, 12, low=0, high=9)}, {"i": whole(2, 1, low=0, high=9)}],
    )  # fmt: skip
    longer = Evaluator(graph.at({"time": 13}))
    with pytest.raises(InputError, match="outside"):
        longer.run({"i": whole(2, 13, low=0, high=9)})


def test_two_lengths() -> None:
    agree(
        "t = Transpose<perm=[0, 2, 1]>(z)\ns = MatMul(x, t)\np = Softmax(s)\ny = MatMul(p, z)",
        {"x": normal(2, 4, 3), "z": normal(2, 6, 3)},
        lengths={"x": {1: "time"}, "z": {1: "past"}},
        others=[{"x": normal(2, 7, 3), "z": normal(2, 2, 3)}],
    )


def test_heads_merged_into_the_batch() -> None:
    """As PyTorch does it: [n, t, heads w] becomes [n heads, t, w]."""
    agree(
        """s = Shape(x)
        t = Gather(s, one)
        tt = Unsqueeze(t, zero)
        a = Concat<axis=0>(minus, tt, heads, wide)
        r = Reshape(x, a)
        p = Transpose<perm=[0, 2, 1, 3]>(r)
        b = Concat<axis=0>(minus, tt, wide)
        q = Reshape(p, b)
        k = Transpose<perm=[0, 2, 1]>(q)
        m = MatMul(q, k)
        c = Concat<axis=0>(minus, heads, tt, tt)
        y = Reshape(m, c)""",
        {"x": normal(2, 5, 6)},
        {"one": np.array(1), "zero": np.array([0]), "minus": np.array([-1]), "heads": np.array([2]), "wide": np.array([3])},
        lengths=TIME,
        others=[{"x": normal(3, 4, 6)}],
    )


def test_the_batch_may_be_another_axis() -> None:
    model = net(
        "y = RNN<hidden_size=2>(x, w, r)\n",
        {"x": normal(5, 3, 4)},
        {"w": normal(1, 2, 4), "r": normal(1, 2, 2)},
        dims={"x": [5, "N", 4]},
    )
    shaped = helper.make_tensor_value_info("y", 1, [5, 1, "N", 2])
    model.graph.output[0].CopyFrom(shaped)
    reading = read(model, {"x": normal(3, 5, 4)}, batch={"x": 1})
    compare(reading, {"x": normal(3, 5, 4)})
    assert reading.answer({"x": normal(3, 5, 4)})["y"].shape == (3, 5, 1, 2)


def test_a_file_for_one_row_is_asked_row_by_row() -> None:
    reading = read(net("y = Softmax(x)", {"x": normal(3, 4)}, dims={"x": [1, 4]}), {"x": normal(3, 4)})
    compare(reading, {"x": normal(3, 4)})


# --- control flow, sequences, functions ----------------------------------------------------------------------------------------


def test_if_with_a_known_condition_is_one_branch() -> None:
    graph = agree(
        """s = Shape<start=1>(x)
        n = Gather(s, z)
        c = Greater(n, three)
        y = If (c) <then_branch = g () => (a) { a = Relu(x) }, else_branch = h () => (b) { b = Tanh(x) }>""",
        {"x": normal(3, 4)},
        {"z": np.array(0), "three": np.array(3)},
    )
    assert [dict(s.attributes)["fn"] for s in graph.steps] == ["relu"]


def test_if_on_data_is_refused_when_it_mixes_rows() -> None:
    text = """t = ReduceSum<keepdims=0>(x)
    c = Greater(t, z)
    y = If (c) <then_branch = g () => (a) { a = Neg(x) }, else_branch = h () => (b) { b = Exp(x) }>"""
    model = net(text, {"x": normal(3, 4)}, {"z": np.float32(0)})
    with pytest.raises(UnsupportedModel, match="rows beside it"):
        modelport.convert(model, "json", sample=normal(6, 4))


def test_a_loop_of_known_rounds_is_unrolled() -> None:
    agree(
        """y, scan = Loop (rounds, go, x) <body = b (int64 i, bool c, float[N, 4] v) => (bool d, float[N, 4] u, float[N, 4] t)
        { d = Identity(c) u = Mul(v, two) t = Relu(u) }>
        z = Transpose<perm=[1, 0, 2]>(scan)""".replace("\n        {", " {"),
        {"x": normal(3, 4)},
        {"rounds": np.array(3), "go": np.array(True), "two": np.float32(2)},
        outputs=("y", "z"),
    )


def test_sequences() -> None:
    agree(
        """q = SplitToSequence<axis=1>(x, two)
        a = SequenceAt(q, one)
        e = SequenceEmpty()
        f = SequenceInsert(e, a)
        g = SequenceInsert(f, a)
        y = ConcatFromSequence<axis=1>(g)
        z = ConcatFromSequence<axis=1, new_axis=1>(g)""",
        {"x": normal(3, 4)},
        {"two": np.array(2), "one": np.array(1)},
        outputs=("y", "z"),
    )


def test_functions_of_the_model_are_followed() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 18, "own" : 1]>
        net (float[N, 4] x) => (float[N, 4] y) { y = own.twice<alpha = 0.3>(x) }
        <domain: "own", opset_import: ["" : 18]> twice <alpha> (a) => (b) { c = Elu<alpha: float = @alpha>(a) b = Add(c, c) }"""
    )
    compare(read(model, {"x": normal(3, 4)}), {"x": normal(3, 4)})


def test_operators_that_onnx_defines_by_others() -> None:
    heads = {"x": normal(2, 2, 5, 4), "k": normal(2, 2, 5, 4, seed=2)}
    agree("y = Attention(x, k, k)", heads, opset=23)
    agree("y = Attention<is_causal=1, scale=0.3>(x, k, k)", heads, opset=23)
    flat = {"x": normal(2, 5, 8), "k": normal(2, 5, 8, seed=2)}
    agree("y = Attention<q_num_heads=2, kv_num_heads=2>(x, k, k)", flat, opset=23)


# --- fusing --------------------------------------------------------------------------------------------------------------------

HALF, ONE, ROOT = np.float32(0.5), np.float32(1), np.float32(np.sqrt(2))
TANH = {"cube": np.float32(3), "k": np.float32(0.044715), "r": np.float32(np.sqrt(2 / np.pi)), "half": HALF, "one": ONE}


ERF = {"root": ROOT, "one": ONE, "half": HALF}
BY_ERF = "a = Div(x, root)\nb = Erf(a)\nc = Add(b, one)\nd = Mul(x, c)\ny = Mul(d, half)"
BY_ERF_TOO = "a = Mul(x, half)\nd = Div(x, root)\nb = Erf(d)\nc = Add(one, b)\ny = Mul(a, c)"
BY_TANH = """a = Pow(x, cube)
b = Mul(k, a)
c = Add(x, b)
d = Mul(r, c)
e = Tanh(d)
f = Add(one, e)
g = Mul(half, x)
y = Mul(g, f)"""


@pytest.mark.parametrize(
    ("text", "weights", "expected"),
    [
        (BY_ERF, ERF, "gelu"),
        (BY_ERF_TOO, ERF, "gelu"),
        (BY_TANH, TANH, "gelu_tanh"),
        ("a = Sigmoid(x)\ny = Mul(x, a)", {}, "silu"),
        ("k = Mul(x, f)\na = Sigmoid(k)\ny = Mul(a, x)", {"f": np.float32(1.702)}, "quick_gelu"),
        ("a = Softplus(x)\nb = Tanh(a)\ny = Mul(x, b)", {}, "mish"),
        ("a = HardSigmoid<alpha=0.16666667, beta=0.5>(x)\ny = Mul(x, a)", {}, "hard_swish"),
    ],
)
def test_activations_are_found(text: str, weights: dict[str, np.ndarray], expected: str) -> None:
    graph = agree(text, {"x": normal(3, 4)}, weights)
    assert [(s.op, s.attributes["fn"]) for s in graph.steps] == [("activation", expected)]


def test_a_near_miss_is_no_gelu() -> None:
    text = "a = Div(x, root)\nb = Erf(a)\nc = Add(b, one)\nd = Mul(x, c)\ny = Mul(d, half)"
    graph = agree(text, {"x": normal(3, 4)}, {"root": np.float32(1.5), "one": ONE, "half": HALF})
    assert "activation" not in ops(graph)


def test_layer_norms_are_found() -> None:
    text = """m = ReduceMean(x, a)
    d = Sub(x, m)
    q = Pow(d, two)
    v = ReduceMean(q, a)
    e = Add(v, eps)
    r = Sqrt(e)
    n = Div(d, r)
    s = Mul(n, g)
    y = Add(s, b)"""
    weights = {"a": np.array([-1]), "two": np.float32(2), "eps": np.float32(1e-3), "g": normal(3), "b": normal(3, seed=4)}
    graph = agree(text, SEQUENCE, weights)
    assert ops(graph) == ["layer_norm"]
    assert graph.steps[0].attributes["eps"] == 1e-3


def test_root_mean_square_norms_are_found() -> None:
    text = "q = Mul(x, x)\nv = ReduceMean(q, a)\ne = Add(v, eps)\nr = Sqrt(e)\ni = Reciprocal(r)\nn = Mul(x, i)\ny = Mul(n, g)"
    graph = agree(text, SEQUENCE, {"a": np.array([-1]), "eps": np.float32(1e-5), "g": normal(3)})
    assert ops(graph) == ["layer_norm"]
    assert not graph.steps[0].attributes["center"]


def test_group_norms_are_found() -> None:
    text = "a = Reshape(x, g)\nb = InstanceNormalization(a, one, zero)\nc = Reshape(b, s)\nd = Mul(c, w)\ny = Add(d, v)"
    weights = {
        "g": np.array([-1, 2, 42]), "one": np.ones(2, dtype=np.float32), "zero": np.zeros(2, dtype=np.float32),
        "s": np.array([-1, 4, 7, 3]), "w": normal(4, 1, 1), "v": normal(4, 1, 1, seed=5),
    }  # fmt: skip
    assert ops(agree(text, {"x": normal(2, 4, 7, 3)}, weights)) == ["group_norm"]


def test_attention_is_found() -> None:
    text = """k = Transpose<perm=[0, 2, 1]>(x)
    s = MatMul(x, k)
    d = Div(s, root)
    m = Add(d, mask)
    p = Softmax(m)
    y = MatMul(p, x)"""
    graph = agree(text, SEQUENCE, {"root": np.float32(np.sqrt(3)), "mask": normal(5, 5)})
    assert ops(graph) == ["constant", "attention"]


def test_weights_of_attention_that_are_an_output_stay() -> None:
    text = "k = Transpose<perm=[0, 2, 1]>(x)\ns = MatMul(x, k)\np = Softmax(s)\ny = MatMul(p, x)"
    assert "attention" not in ops(agree(text, SEQUENCE, outputs=("y", "p")))


@pytest.mark.parametrize(("direction", "place"), [("forward", -1), ("reverse", 0)])
def test_the_last_state_of_a_recurrence_is_found(direction: str, place: int) -> None:
    text = f"""t = Transpose<perm=[1, 0, 2]>(x)
    s = GRU<hidden_size=4, direction="{direction}">(t, w, r)
    q = Squeeze(s, one)
    y = Gather(q, k)"""
    weights = {"w": normal(1, 12, 3), "r": normal(1, 12, 4), "one": np.array([1]), "k": np.array(place)}
    assert ops(agree(text, SEQUENCE, weights, lengths=TIME, others=OTHERS)) == ["gru"]
    weights["k"] = np.array(-1 - place)
    assert "slice" in ops(agree(text, SEQUENCE, weights, lengths=TIME, others=OTHERS))


def test_a_bias_is_part_of_its_layer() -> None:
    assert ops(agree("a = MatMul(x, w)\ny = Add(b, a)", SEQUENCE, {"w": normal(3, 4), "b": normal(4)})) == ["linear"]
    assert ops(agree("a = MatMul(x, w)\ny = Add(b, a)", SEQUENCE, {"w": normal(3, 4), "b": normal(5, 1)})) == [
        "linear",
        "constant",
        "binary",
    ]


# --- files, samples, refusals --------------------------------------------------------------------------------------------------


def test_a_file_is_opened_with_its_weights_beside_it(tmp_path: Path) -> None:
    model = net("y = MatMul(x, w)", {"x": normal(3, 40)}, {"w": normal(40, 50)})
    path = tmp_path / "net.onnx"
    onnx.save_model(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=16)
    assert (tmp_path / "weights.bin").exists()
    artifact = modelport.convert(load_model(path), "json", sample=normal(5, 40))
    assert artifact.report.passed
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ArtifactError, match="weights"):
        load_model(path)


def test_a_file_of_old_ir_declares_its_weights_as_inputs() -> None:
    model = net("y = MatMul(x, w)", {"x": normal(3, 4)}, {"w": normal(4, 2)}, opset=9)
    model.graph.input.append(helper.make_tensor_value_info("w", 1, [4, 2]))
    model.ir_version = 3
    compare(read(model, {"x": normal(3, 4)}), {"x": normal(3, 4)})


def test_half_precision_weights_are_widened() -> None:
    agree("w0 = Cast<to=1>(w)\ny = MatMul(x, w0)", {"x": normal(3, 4)}, {"w": normal(4, 2).astype(np.float16)})


def test_doubles_stay_doubles() -> None:
    graph = agree("a = MatMul(x, w)\ny = Tanh(a)", {"x": normal(3, 4, dtype=np.float64)}, {"w": normal(4, 2, dtype=np.float64)})
    assert graph.outputs[0].dtype == "f64"


def test_samples() -> None:
    model = net("y = Add(x, z)", {"x": normal(3, 4), "z": normal(3, 4)})
    sample = modelport_onnx_source.sample_of(model, (normal(3, 4), normal(3, 4)))
    assert sample is not None
    assert list(sample.values) == ["x", "z"]
    with pytest.raises(InputError, match="takes x, z"):
        modelport_onnx_source.sample_of(model, (normal(3, 4),))
    with pytest.raises(InputError, match="'q'"):
        modelport_onnx_source.sample_of(model, {"x": normal(3, 4), "q": normal(3, 4)})
    with pytest.raises(InputError, match="length 4 at axis 1"):
        read(model, {"x": normal(3, 5), "z": normal(3, 5)})
    with pytest.raises(InputError, match="float64"):
        modelport_onnx_source.sample_of(net("y = Neg(i)", {"i": whole(2, 3)}), normal(2, 3, dtype=np.float64))


def test_options() -> None:
    model = net("y = Neg(x)", {"x": normal(3, 4)})
    with pytest.raises(UsageError, match="batch names the input 'q'"):
        read(model, {"x": normal(3, 4)}, batch={"q": 1})
    with pytest.raises(UnsupportedModel, match="fixes it to 4"):
        read(model, {"x": normal(3, 4)}, lengths={"x": {1: "wide"}})


TWICE = np.array([1, 1, 2, 2], dtype=np.float32)
REFUSED = [
    ("y = NonZero(x)", {}, "NonZero"),
    ("y = LRN<size=3>(x)", {}, "LRN"),
    ("y, i = TopK<axis=1>(x, k)", {"k": np.array([2])}, "TopK"),
    ('y = ScatterElements<reduction="add">(x, k, x)', {"k": np.zeros((2, 4, 7, 6), dtype=np.int64)}, "reduction"),
    ("y, i = MaxPool<kernel_shape=[2, 2]>(x)\nz = Cast<to=1>(i)\nq = Add(y, z)", {}, "output 1 of its node 'MaxPool y'"),
    ("y = RandomNormalLike(x)", {}, "RandomNormalLike"),
    ("h = Cast<to=10>(x)\ny = Cast<to=1>(h)", {}, "f16"),
    ('y = Resize<coordinate_transformation_mode="half_pixel_symmetric">(x, , s)', {"s": TWICE}, "half_pixel_symmetric"),
    ("y = Resize<antialias=1, mode=\"linear\">(x, , s)", {"s": np.array([1, 1, 0.5, 0.5], dtype=np.float32)}, "antialias"),
    ("y = Shrink<lambd=0.5, bias=0.2>(x)", {}, "bias"),
    ("y = ArgMax<axis=1, select_last_index=1>(x)", {}, "select_last_index"),
    ("y = ReduceSum<keepdims=0>(x)", {}, "no axis for the batch"),
    ("s = Shape(x)\ny = Reshape(x, s0)", {"s0": np.array([2, 168])}, "other batches"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "weights", "named_"), REFUSED)
def test_refusals_name_what_was_met(text: str, weights: dict[str, np.ndarray], named_: str) -> None:
    outputs = ("q",) if "q =" in text else ("y",)
    with pytest.raises(Unsupported, match=named_):
        read(net(text, {"x": normal(2, 4, 7, 6)}, weights, outputs=outputs), {"x": normal(2, 4, 7, 6)})


def test_an_unknown_attribute_is_refused_by_name() -> None:
    from modelport_onnx_source.nodes import HANDLERS, Node
    from modelport_onnx_source.values import Builder, Known

    node = Node("Relu", "n", 20, {"novel": 3}, [Known(np.zeros(2, dtype=np.float32), "f32")], [True])
    HANDLERS["Relu"](Builder(), node)
    with pytest.raises(UnsupportedAttribute, match="novel") as caught:
        node.finish()
    assert caught.value.attribute == "novel"


def test_a_slice_that_leaves_nothing_of_short_rows() -> None:
    weights = {"a": np.array([1]), "b": np.array([1 << 62])}
    graph = agree("y = Slice(x, a, b, a)", SEQUENCE, weights, lengths=TIME, others=OTHERS[:2])
    with pytest.raises(GraphError, match="no index"):
        graph.at({"time": 1})


def test_recurrences_with_what_no_step_expresses() -> None:
    rows, text = (
        {"x": normal(2, 5, 3)},
        "t = Transpose<perm=[1, 0, 2]>(x)\ns = LSTM<hidden_size=4{0}>(t, w, r{1})\ny = Transpose<perm=[2, 0, 1, 3]>(s)",
    )
    weights = {"w": normal(1, 16, 3), "r": normal(1, 16, 4), "p": normal(1, 12)}
    for extra, inputs, match in (
        (", clip=1.0", "", "clip"),
        (", input_forget=1", "", "input_forget"),
        ('', ", , , , , p", "peepholes"),
        (', activations=["Sigmoid", "Tanh", "Relu"]', "", "activations"),
        (', activations=["HardSigmoid", "Tanh", "Tanh"]', "", "hardsigmoid"),
    ):  # fmt: skip
        with pytest.raises(Unsupported, match=match):
            read(net(text.replace("{0}", extra).replace("{1}", inputs), rows, weights), rows)


def test_rows_that_influence_each_other_are_refused() -> None:
    model = net("m = ReduceMean(x, a)\ny = Sub(x, m)", {"x": normal(3, 4)}, {"a": np.array([0])})
    with pytest.raises(UnsupportedModel, match="rows beside it"):
        modelport.convert(model, "json", sample=normal(6, 4))


def test_classical_models_and_damaged_files_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("LinearRegressor", ["x"], ["y"], domain="ai.onnx.ml", coefficients=[1.0, 2.0], intercepts=[0.5])
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", 1, ["N", 2])], [helper.make_tensor_value_info("y", 1, ["N", 1])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)])
    model.ir_version = 9
    with pytest.raises(UnsupportedModel, match=r"LinearRegressor of ai\.onnx\.ml"):
        read(model, {"x": normal(3, 2)})
    damaged = tmp_path / "net.onnx"
    damaged.write_bytes(net("y = Neg(x)", {"x": normal(3, 4)}).SerializeToString()[:-3])
    with pytest.raises((ArtifactError, UnsupportedModel)):
        modelport.convert(load_model(damaged), "json", sample=normal(3, 4))


def test_an_old_opset_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="opset 6"):
        read(net("y = Neg(x)", {"x": normal(3, 4)}, opset=6), {"x": normal(3, 4)})


def test_a_fixed_batch_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="exactly 4 rows"):
        read(net("y = Neg(x)", {"x": normal(4, 4)}, dims={"x": [4, 4]}), {"x": normal(4, 4)})


def test_external_weights_of_bytes_travel(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(net("y = Gather(w, i)", {"i": whole(3, 2, low=0, high=4)}, {"w": normal(4, 3)}), str(path))
    model = load_model(path)
    assert numpy_helper.to_array(model.graph.initializer[0]).shape == (4, 3)
    artifact = modelport.convert(model, "json", sample=whole(6, 2, low=0, high=4), lengths={})
    assert artifact.report.passed
