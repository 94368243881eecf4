"""Nets as ONNX, answered by onnxruntime: layers after layers, rows of several lengths and in several batches, f32 and f64.

The expected values are PyTorch's, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import modelport_onnx
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from modelport.document import Document, Tolerance, Vectors
from modelport.errors import InputError, Unsupported
from modelport.graph import Graph, Input, Output, Step

Array = np.ndarray[Any, np.dtype[Any]]
DTYPES = {"f32": np.float32, "f64": np.float64}
BOUND = {"f32": 2e-5, "f64": 1e-12}
BATCHES = (1, 2, 5)
both = pytest.mark.parametrize("dtype", ["f32", "f64"])


def of(parameter: torch.Tensor, dtype: str) -> Array:
    return parameter.detach().numpy().astype(DTYPES[dtype])


def graph_of(inputs: list[Input], steps: list[Step], lengths: Mapping[str, int] | None = None) -> Graph:
    """The graph with the output y, which the last step gives."""
    unused = Output("unused", inputs[0].name, inputs[0].dtype, "transform")
    last = steps[-1].output
    dtype = Graph(inputs, steps, [unused], lengths=lengths).types[last].dtype
    return Graph(inputs, steps, [Output("y", last, dtype, "transform")], lengths=lengths)


def written(graph: Graph) -> Any:
    data = modelport_onnx.write(Document(graph))
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    return modelport_onnx.load(data)


def held(got: Array, expected: torch.Tensor, dtype: str) -> None:
    assert got.shape == tuple(expected.shape)
    assert got.dtype == DTYPES[dtype]
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=BOUND[dtype], atol=BOUND[dtype])


def rows(n: int, *shape: int, dtype: str = "f64", seed: int = 0) -> Array:
    return (np.random.default_rng(seed + n).normal(size=(n, *shape)) * 1.5).astype(DTYPES[dtype])


def ints(*values: int) -> Array:
    return np.array(values, dtype=np.int64)


# --- whole nets ---------------------------------------------------------------------------------------------------------------


@both
def test_a_convolutional_net(dtype: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, groups=4, stride=2),
        nn.Hardswish(),
        nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
        nn.Flatten(),
        nn.Linear(8 * 3 * 4, 5),
        nn.LogSoftmax(dim=-1),
    ).eval()
    with torch.no_grad():
        net[1].running_mean.normal_()
        net[1].running_var.uniform_(0.5, 2.0)
    net.load_state_dict({k: v.float().double().float() for k, v in net.state_dict().items()})
    held_in: dict[str, Any] = {"dtype": dtype}
    c1, bn, c2, linear = net[0], net[1], net[4], net[8]
    steps = [
        Step(
            "conv", ["x"], "c1", {"weight": of(c1.weight, dtype), "bias": of(c1.bias, dtype), "pads": ints(1, 1, 1, 1), **held_in}
        ),
        Step(
            "batch_norm",
            ["c1"],
            "n",
            {
                "mean": of(bn.running_mean, dtype),
                "var": of(bn.running_var, dtype),
                "scale": of(bn.weight, dtype),
                "bias": of(bn.bias, dtype),
                "eps": bn.eps,
                **held_in,
            },
        ),
        Step("unary", ["n"], "r", {"fn": "relu", **held_in}),
        Step("pool", ["r"], "p", {"fn": "max", "size": ints(2, 2), "strides": ints(2, 2), **held_in}),
        Step(
            "conv",
            ["p"],
            "c2",
            {
                "weight": of(c2.weight, dtype),
                "bias": of(c2.bias, dtype),
                "pads": ints(1, 1, 1, 1),
                "strides": ints(2, 2),
                "groups": 4,
                **held_in,
            },
        ),
        Step("activation", ["c2"], "h", {"fn": "hard_swish", **held_in}),
        Step("pool", ["h"], "m", {"fn": "mean", "size": ints(3, 3), "pads": ints(1, 1, 1, 1), **held_in}),
        Step("reshape", ["m"], "flat", {"shape": ints(-1)}),
        Step("linear", ["flat"], "l", {"weight": of(linear.weight, dtype), "bias": of(linear.bias, dtype), **held_in}),
        Step("log_softmax", ["l"], "y", held_in),
    ]
    loaded = written(graph_of([Input("x", dtype, (3, 12, 16))], steps))
    double = net.double()
    for n in BATCHES:
        x = rows(n, 3, 12, 16, dtype=dtype)
        held(loaded.run({"x": x})["y"], double(torch.from_numpy(x).double()), dtype)


@both
@pytest.mark.parametrize("causal", [False, True])
def test_a_block_of_attention_at_several_lengths(dtype: str, causal: bool) -> None:
    torch.manual_seed(1)
    heads, width = 2, 6
    attention = nn.MultiheadAttention(width, heads, batch_first=True).double()
    norm, table = nn.LayerNorm(width).double(), nn.Embedding(20, width).double()
    with torch.no_grad():
        for parameter in (*attention.parameters(), *norm.parameters(), *table.parameters()):
            parameter.copy_(parameter.normal_().float().double())
    held_in: dict[str, Any] = {"dtype": dtype}
    w, bias = of(attention.in_proj_weight, dtype), of(attention.in_proj_bias, dtype)
    steps = [
        Step("embedding", ["tokens"], "e", {"weight": of(table.weight, dtype), **held_in}),
        Step(
            "layer_norm",
            ["e"],
            "n",
            {"scale": of(norm.weight, dtype), "bias": of(norm.bias, dtype), "eps": norm.eps, **held_in},
        ),
    ]
    for k, name in enumerate("qkv"):
        part = slice(k * width, (k + 1) * width)
        steps += [
            Step("linear", ["n"], f"{name} flat", {"weight": w[part], "bias": bias[part], **held_in}),
            Step("reshape", [f"{name} flat"], f"{name} parts", {"shape": ints(0, heads, -1), "copy": ints(0, -1, -1)}),
            Step("transpose", [f"{name} parts"], name, {"perm": ints(1, 0, 2)}),
        ]
    steps += [
        Step("attention", ["q", "k", "v"], "a", {"causal": causal, **held_in}),
        Step("transpose", ["a"], "b", {"perm": ints(1, 0, 2)}),
        Step("reshape", ["b"], "joined", {"shape": ints(0, -1), "copy": ints(0, -1)}),
        Step(
            "linear",
            ["joined"],
            "out",
            {"weight": of(attention.out_proj.weight, dtype), "bias": of(attention.out_proj.bias, dtype), **held_in},
        ),
        Step("binary", ["out", "e"], "y", {"fn": "add", **held_in}),
    ]
    loaded = written(graph_of([Input("tokens", "i64", ("time",))], steps, {"time": 7}))
    assert loaded.inputs == (Input("tokens", "i64", ("time",)),)
    for length in (7, 1, 4, 30):
        mask = torch.triu(torch.ones(length, length, dtype=torch.bool), 1) if causal else None
        for n in BATCHES:
            tokens = np.random.default_rng(length).integers(0, 20, size=(n, length))
            e = table(torch.from_numpy(tokens))
            x = norm(e)
            expected = attention(x, x, x, attn_mask=mask, need_weights=False)[0] + e
            held(loaded.run({"tokens": tokens})["y"], expected, dtype)


@both
def test_a_net_for_sounds_of_any_length(dtype: str) -> None:
    """Convolutions, pooling with `ceil` and `auto`, resizing and transposed convolution along a named length."""
    torch.manual_seed(2)
    conv, back = nn.Conv1d(2, 4, 3, dilation=2, padding=2).double(), nn.ConvTranspose1d(4, 3, 4, stride=2, padding=1).double()
    norm = nn.GroupNorm(2, 4).double()
    with torch.no_grad():
        for parameter in (*conv.parameters(), *back.parameters(), *norm.parameters()):
            parameter.copy_(parameter.normal_().float().double())
    held_in: dict[str, Any] = {"dtype": dtype}
    steps = [
        Step(
            "conv",
            ["x"],
            "c",
            {
                "weight": of(conv.weight, dtype),
                "bias": of(conv.bias, dtype),
                "pads": ints(2, 2),
                "dilations": ints(2),
                **held_in,
            },
        ),
        Step(
            "group_norm",
            ["c"],
            "n",
            {"groups": 2, "scale": of(norm.weight, dtype), "bias": of(norm.bias, dtype), "eps": norm.eps, **held_in},
        ),
        Step("activation", ["n"], "g", {"fn": "gelu", **held_in}),
        Step("pool", ["g"], "p", {"fn": "max", "size": ints(3), "strides": ints(2), "pads": ints(1, 1), "ceil": True, **held_in}),
        Step(
            "pool",
            ["p"],
            "m",
            {"fn": "mean", "size": ints(2), "strides": ints(2), "ceil": True, "count_pad": True, **held_in},
        ),
        Step("resize", ["m"], "u", {"axes": ints(1), "scales": np.array([2.5]), "fn": "linear", "at": "half_pixel", **held_in}),
        Step(
            "conv_transpose",
            ["u"],
            "y",
            {
                "weight": of(back.weight, dtype),
                "bias": of(back.bias, dtype),
                "strides": ints(2),
                "pads": ints(1, 1),
                **held_in,
            },
        ),
    ]
    loaded = written(graph_of([Input("x", dtype, (2, "samples"))], steps, {"samples": 11}))
    for length in (11, 2, 6, 40):
        for n in BATCHES:
            x = rows(n, 2, length, dtype=dtype)
            y = nn.functional.gelu(norm(conv(torch.from_numpy(x).double())))
            y = nn.functional.max_pool1d(y, 3, stride=2, padding=1, ceil_mode=True)
            y = nn.functional.avg_pool1d(y, 2, stride=2, ceil_mode=True, count_include_pad=True)
            y = nn.functional.interpolate(y, scale_factor=2.5, mode="linear", recompute_scale_factor=False)
            held(loaded.run({"x": x})["y"], back(y), dtype)


@pytest.mark.parametrize("auto", ["same_upper", "same_lower"])
@pytest.mark.parametrize(("size", "stride", "dilation"), [(3, 2, 1), (2, 3, 2), (4, 1, 1)])
@both
def test_automatic_padding_follows_the_length(dtype: str, auto: str, size: int, stride: int, dilation: int) -> None:
    random = np.random.default_rng(3)
    weight = random.normal(size=(2, 2, size)).astype(DTYPES[dtype])
    each: dict[str, Any] = {"strides": ints(stride), "dilations": ints(dilation), "auto": auto, "dtype": dtype}
    conv = written(graph_of([Input("x", dtype, (2, "t"))], [Step("conv", ["x"], "y", {"weight": weight, **each})], {"t": 5}))
    pool = {"fn": "max", "size": ints(size), **each}
    pools = written(graph_of([Input("x", dtype, (2, "t"))], [Step("pool", ["x"], "y", pool)], {"t": 5}))
    for length in (5, 1, 2, 8, 13):
        x = rows(2, 2, length, dtype=dtype)
        total = max((-(-length // stride) - 1) * stride + (size - 1) * dilation + 1 - length, 0)
        before = total // 2 if auto == "same_upper" else total - total // 2
        given = torch.from_numpy(x).double()
        padded = nn.functional.pad(given, (before, total - before))
        expected = nn.functional.conv1d(padded, torch.from_numpy(weight).double(), stride=stride, dilation=dilation)
        held(conv.run({"x": x})["y"], expected, dtype)
        padded = nn.functional.pad(given, (before, total - before), value=-np.inf)
        held(pools.run({"x": x})["y"], nn.functional.max_pool1d(padded, size, stride=stride, dilation=dilation), dtype)


# --- recurrences --------------------------------------------------------------------------------------------------------------

Cell = Callable[[torch.Tensor, list[torch.Tensor]], list[torch.Tensor]]


def walked(cell: Cell, x: Array, states: list[torch.Tensor], reverse: bool, mask: Array | None, zero: bool) -> Any:
    """The sequence and the last states that a cell of PyTorch gives, one time after the other."""
    given, sequence = torch.from_numpy(x).double(), [torch.empty(0)] * x.shape[1]
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        following = cell(given[:, t], states)
        here = torch.from_numpy(mask[:, t, None]) if mask is not None else torch.ones(len(x), 1, dtype=torch.bool)
        states = [torch.where(here, new, old) for new, old in zip(following, states, strict=True)]
        sequence[t] = torch.where(here, states[0], torch.zeros_like(states[0])) if zero else states[0]
    return torch.stack(sequence, dim=1), states


def cell_of(kind: str, dtype: str, features: int, units: int, plain: bool = False) -> tuple[Cell, dict[str, Any]]:
    """A cell in float64 whose parameters are held in the dtype, and the same as attributes; plain: a gru that resets before."""
    torch.manual_seed(units)
    cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}[kind](features, units).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_((parameter.normal_() * 0.7).float().double())
    order = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2), "rnn": (0,)}[kind]

    def sorted_(parameter: torch.Tensor) -> Array:
        return np.concatenate([of(parameter, dtype)[k * units : (k + 1) * units] for k in order])

    attributes: dict[str, Any] = {"weight": sorted_(cell.weight_ih), "recurrent": sorted_(cell.weight_hh), "dtype": dtype}
    if kind == "gru":
        attributes |= {"bias": sorted_(cell.bias_ih), "recurrent_bias": sorted_(cell.bias_hh), "reset_after": not plain}
    else:
        total = torch.from_numpy(of(cell.bias_ih, dtype) + of(cell.bias_hh, dtype)).double()
        attributes["bias"] = sorted_(total)
        with torch.no_grad():
            cell.bias_ih.copy_(total)
            cell.bias_hh.zero_()
    if kind == "lstm":
        return lambda x, states: list(cell(x, (states[0], states[1]))), attributes
    if plain:
        return lambda x, states: [resetting_before(cell, x, states[0])], attributes
    return lambda x, states: [cell(x, states[0])], attributes


def resetting_before(cell: Any, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """A GRU whose reset gate is applied to the state, not to what the weight makes of it."""
    r, z, n = (x @ cell.weight_ih.T + cell.bias_ih).chunk(3, dim=1)
    (hr, hz, hn), (br, bz, bn) = cell.weight_hh.chunk(3), cell.bias_hh.chunk(3)
    r, z = torch.sigmoid(r + h @ hr.T + br), torch.sigmoid(z + h @ hz.T + bz)
    return (1 - z) * torch.tanh(n + (r * h) @ hn.T + bn) + z * h


@both
@pytest.mark.parametrize("kind", ["lstm", "gru", "gru before", "rnn"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("masked", ["", "kept", "zeros"])
@pytest.mark.parametrize("started", [False, True])
def test_recurrences(dtype: str, kind: str, reverse: bool, masked: str, started: bool) -> None:
    features, units = 3, 4
    cell, attributes = cell_of(kind.split()[0], dtype, features, units, plain=kind == "gru before")
    names = ["h", "c"] if kind == "lstm" else ["h"]
    inputs = [Input("x", dtype, ("time", features)), *(Input(name, dtype, (units,)) for name in names if started)]
    inputs += [Input("mask", "bool", ("time",))] if masked else []
    attributes |= {"reverse": reverse, "zero_masked": masked == "zeros"}
    results = ["sequence", "last", "cell"] if kind == "lstm" else ["sequence", "last"]
    models = {}
    for result in results:
        step = Step(kind.split()[0], [v.name for v in inputs], "y", {**attributes, "result": result})
        models[result] = written(graph_of(inputs, [step], {"time": 5}))
    for length in (5, 1, 9):
        for n in BATCHES:
            feeds: dict[str, Array] = {"x": rows(n, length, features, dtype=dtype)}
            feeds |= {name: rows(n, units, dtype=dtype, seed=k + 7) for k, name in enumerate(names) if started}
            mask = np.random.default_rng(length).random((n, length)) > 0.4 if masked else None
            feeds |= {} if mask is None else {"mask": mask}
            start = [torch.from_numpy(feeds[k]).double() if started else torch.zeros(n, units).double() for k in names]
            sequence, states = walked(cell, feeds["x"], start, reverse, mask, masked == "zeros")
            expected = {"sequence": sequence, "last": states[0], "cell": states[-1]}
            for result, loaded in models.items():
                held(loaded.run(feeds)["y"], expected[result], dtype)


def test_two_directions_and_two_layers_as_torch_has_them() -> None:
    torch.manual_seed(4)
    net = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
    steps, before = [], "x"
    for layer in range(2):
        for way, suffix in enumerate(("", "_reverse")):
            weight, recurrent, one, two = (
                of(getattr(net, f"{name}_l{layer}{suffix}"), "f32") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            attributes = {"weight": weight, "recurrent": recurrent, "bias": one + two, "reverse": bool(way), "dtype": "f32"}
            steps.append(Step("lstm", [before], f"l{layer}{suffix}", attributes))
        steps.append(Step("concat", [f"l{layer}", f"l{layer}_reverse"], f"both {layer}", {"axis": 1}))
        before = f"both {layer}"
    loaded = written(graph_of([Input("x", "f32", ("time", 3))], steps, {"time": 6}))
    for length in (6, 1, 11):
        x = rows(3, length, 3, dtype="f32")
        held(loaded.run({"x": x})["y"], net.double()(torch.from_numpy(x).double())[0], "f32")
        net.float()


# --- what is not finite -------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 1)])
def test_max_pooling_keeps_nan_and_infinity(dtype: str, pads: tuple[int, ...]) -> None:
    attributes = {"fn": "max", "size": ints(2, 2), "strides": ints(1, 1), "pads": ints(*pads), "dtype": dtype}
    loaded = written(graph_of([Input("x", dtype, (2, 5, 5), "nan")], [Step("pool", ["x"], "y", attributes)]))
    x = rows(4, 2, 5, 5, dtype=dtype)
    x[1, 0, 1, 1], x[1, 1] = np.inf, -np.inf
    x[2, 0, 2, 3], x[2, 1, 0, 0] = np.nan, np.nan
    x[3] = np.finfo(DTYPES[dtype]).min
    expected = nn.functional.max_pool2d(torch.from_numpy(x), 2, stride=1, padding=pads[0])
    np.testing.assert_array_equal(loaded.run({"x": x})["y"], expected.numpy())


@both
def test_nan_in_what_comes_later_does_not_count(dtype: str) -> None:
    inputs = [Input(name, dtype, (4, 3), "nan") for name in "qkv"]
    loaded = written(graph_of(inputs, [Step("attention", ["q", "k", "v"], "y", {"causal": True, "dtype": dtype})]))
    feeds = {name: rows(2, 4, 3, dtype=dtype, seed=k) for k, name in enumerate("qkv")}
    clean = loaded.run(feeds)["y"]
    for name in "kv":
        feeds[name] = feeds[name].copy()
        feeds[name][0, 3] = np.nan
    found = loaded.run(feeds)["y"]
    np.testing.assert_allclose(found[0, :3], clean[0, :3], rtol=1e-6)
    np.testing.assert_allclose(found[1], clean[1], rtol=1e-6)
    assert np.isnan(found[0, 3]).all()


def test_an_infinite_weight_is_refused() -> None:
    weight = np.full((1, 1, 2), np.inf)
    for op in ("conv", "conv_transpose"):
        graph = graph_of([Input("x", "f64", (1, 4))], [Step(op, ["x"], "y", {"weight": weight})])
        with pytest.raises(Unsupported, match="not finite"):
            modelport_onnx.write(Document(graph))


def test_indices_outside_are_refused_by_name() -> None:
    loaded = written(
        graph_of([Input("x", "f32", (4, 2)), Input("i", "i64", (3,))], [Step("gather", ["x", "i"], "y", {"axis": 0})])
    )
    x = rows(2, 4, 2, dtype="f32")
    good = loaded.run({"x": x, "i": np.array([[0, -1, 3], [-4, 2, 1]])})["y"]
    np.testing.assert_array_equal(good, np.stack([x[0][[0, -1, 3]], x[1][[-4, 2, 1]]]))
    for bad in (4, -5):
        with pytest.raises(InputError, match=r"Row 1: an index lies outside the axis it counts along \(at step y\)\."):
            loaded.run({"x": x, "i": np.array([[0, -1, 3], [bad, 2, 1]])})
    table = graph_of([Input("i", "i64", (3,))], [Step("embedding", ["i"], "y", {"weight": x[0], "dtype": "f32"})])
    with pytest.raises(InputError, match=r"Row 0: an index lies outside the table of 4 entries"):
        written(table).run({"i": np.array([[0, -1, 3]])})


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_strings_are_gathered_whole(axis: int) -> None:
    index = np.array([[0, -1], [1, 1]])
    steps = [Step("constant", [], "i", {"value": index}), Step("gather", ["x", "i"], "y", {"axis": axis})]
    x = np.array([f"text {k}" for k in range(48)], dtype=object).reshape(2, 3, 4, 2)
    found = written(graph_of([Input("x", "str", (3, 4, 2))], steps)).run({"x": x})["y"]
    assert found.tolist() == np.take(x, index, axis=axis + 1).tolist()


# --- what is written ----------------------------------------------------------------------------------------------------------


def test_named_lengths_have_their_names_in_the_file() -> None:
    steps = [
        Step("unary", ["x"], "y", {"fn": "tanh", "dtype": "f32"}),
        Step("concat", ["x", "x"], "twice", {"axis": 0}),
        Step("reduce", ["x"], "last", {"fn": "max", "axes": ints(0), "dtype": "f32"}),
    ]
    outputs = [Output(name, name, "f32", "transform") for name in ("y", "twice", "last")]
    graph = Graph([Input("x", "f32", ("N", 3))], steps, outputs, lengths={"N": 4})
    model = onnx.load_from_string(modelport_onnx.write(Document(graph)))
    shapes = {
        v.name: [d.dim_param or d.dim_value or None for d in v.type.tensor_type.shape.dim]
        for v in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "x": ["N_rows", "N", 3],
        "y": ["N_rows", "N", 3],
        "twice": ["N_rows", None, 3],
        "last": ["N_rows", 3],
    }


def test_sets_of_vectors_of_other_lengths_come_back() -> None:
    graph = graph_of([Input("x", "f32", ("time", 2))], [Step("unary", ["x"], "y", {"fn": "neg", "dtype": "f32"})], {"time": 4})
    sets = []
    for n, length in ((3, 4), (2, 1), (1, 9)):
        x = rows(n, length, 2, dtype="f32")
        sets.append(Vectors({"x": x}, {"y": -x}, {"y": Tolerance()}, "synthetic", [f"length {length}"] * n))
    vectors = Vectors(sets[0].inputs, sets[0].outputs, sets[0].tolerance, "synthetic", sets[0].rows, sets[1:])
    loaded = modelport_onnx.load(modelport_onnx.write(Document(graph, vectors)))
    assert loaded.vectors is not None
    assert len(loaded.vectors.sets()) == 3
    for part, other in zip(loaded.vectors.sets(), sets, strict=True):
        np.testing.assert_array_equal(part.inputs["x"], other.inputs["x"])
        np.testing.assert_array_equal(loaded.run(part.inputs)["y"], other.outputs["y"])
        assert list(part.rows) == list(other.rows)
    assert loaded.run({"x": np.zeros((0, 6, 2), np.float32)})["y"].shape == (0, 6, 2)
    with pytest.raises(InputError, match=r"\[rows, time, 2\] is needed"):
        loaded.run({"x": np.zeros((1, 6, 3), np.float32)})


def test_layers_of_f32_are_written_in_f32() -> None:
    weight = np.ones((50, 50), np.float32)
    steps = [
        Step("linear", ["x"], "a", {"weight": weight, "dtype": "f32"}),
        Step("unary", ["a"], "r", {"fn": "relu", "dtype": "f32"}),
        Step("linear", ["r"], "y", {"weight": weight, "dtype": "f32"}),
    ]
    data = modelport_onnx.write(Document(graph_of([Input("x", "f32", (50,))], steps)))
    assert len(data) < 2 * weight.nbytes + 4000
    kinds = modelport_onnx.describe(data)["nodes"]
    assert kinds["Gemm"] == 2
    assert kinds["Relu"] == 1
    assert "DOUBLE" not in {onnx.TensorProto.DataType.Name(t.data_type) for t in onnx.load_from_string(data).graph.initializer}


@pytest.mark.parametrize(("target", "native"), [("onnxruntime>=1.21", False), ("onnxruntime>=1.31", True)])
def test_norms_of_rows_with_a_large_mean(target: str, native: bool) -> None:
    """Older releases lose the variance where the mean is large: for them a norm is written out."""
    step = Step("layer_norm", ["x"], "y", {"eps": 1e-5, "scale": np.ones(3, np.float32), "dtype": "f32"})
    data = modelport_onnx.write(Document(graph_of([Input("x", "f32", (3,))], [step])), {"target": target})
    assert ("LayerNormalization" in modelport_onnx.describe(data)["nodes"]) is native
    x = np.array([[9999.0, 10000.0, 10001.0]], np.float32)
    expected = nn.functional.layer_norm(torch.from_numpy(x).double(), (3,)).numpy()
    np.testing.assert_allclose(modelport_onnx.load(data).run({"x": x})["y"], expected, rtol=1e-5)


@both
def test_a_norm_of_equal_elements_is_its_bias(dtype: str) -> None:
    """The rounding of a mean, divided by the root of a small eps, would be seen."""
    each: dict[str, Any] = {"eps": 1e-5, "bias": np.full(4, 0.25, DTYPES[dtype]), "dtype": dtype}
    x = np.repeat(np.random.default_rng(0).normal(size=(5, 4, 1)), 30, axis=2).astype(DTYPES[dtype])
    loaded = written(graph_of([Input("x", dtype, (4, 30))], [Step("group_norm", ["x"], "y", {"groups": 4, **each})]))
    np.testing.assert_allclose(loaded.run({"x": x})["y"], 0.25, rtol=1e-6)
