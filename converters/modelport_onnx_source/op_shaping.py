"""Operators that move, pick, join and count elements, and those that speak of shapes."""

from __future__ import annotations

import numpy as np

from modelport.errors import UnsupportedModel

from .lengths import Dim, product, quotient, same
from .lookups import flat_gather, gather, ramp
from .nodes import Node, handles
from .pointwise import binary, cast, compare, scalar, where
from .shaping import concat, cut, expand, pad, stack_axis, tile, transpose
from .summing import reduce
from .values import END, FLOATS, NUMPY, Builder, Known, Traced, Value, as_dims, axis_of, dims_of, known


@handles("Shape")
def shape_of(b: Builder, node: Node) -> Value:
    shape = node.value(0).shape
    start, end = node.attr("start", 0), node.attr("end")
    return as_dims(shape[slice(int(start), None if end is None else int(end))])


@handles("Size")
def size_of(b: Builder, node: Node) -> Value:
    return b.reshape(as_dims([product(node.value(0).shape)]), ())


@handles("Reshape")
def reshape(b: Builder, node: Node) -> Value:
    x, wanted = node.value(0), node.dims(1, "shape")
    assert wanted is not None
    if not node.attr("allowzero", 0):
        wanted = [x.shape[k] if isinstance(n, int) and n == 0 else n for k, n in enumerate(wanted)]
    if isinstance(x, Known) and all(isinstance(n, int) for n in wanted):
        return Known(x.array.reshape(tuple(int(n) for n in wanted)), x.dtype)
    left = [k for k, n in enumerate(wanted) if isinstance(n, int) and n == -1]
    if left:
        held = product([n for k, n in enumerate(wanted) if k not in left])
        rest = quotient(product(x.shape), held)
        if rest is None:
            raise UnsupportedModel(
                f"The ONNX model's {node} makes {wanted} of {list(x.shape)}, which is not whole for every length."
            )
        wanted[left[0]] = rest
    if not same(product(wanted), product(x.shape)):
        raise UnsupportedModel(
            f"The ONNX model's {node} makes {wanted} of {list(x.shape)}, which holds for other batches or lengths only."
        )
    return b.reshape(x, wanted)


@handles("Flatten")
def flatten(b: Builder, node: Node) -> Value:
    x = node.value(0)
    axis = int(node.attr("axis", 1))
    axis = axis + len(x.shape) if axis < 0 else axis
    return b.reshape(x, (product(x.shape[:axis]), product(x.shape[axis:])))


@handles("Squeeze")
def squeeze(b: Builder, node: Node) -> Value:
    x, axes = node.value(0), node.ints(1, "axes")
    if axes is None:
        gone = [k for k, n in enumerate(x.shape) if same(n, 1)]
    else:
        gone = [axis_of(axis, len(x.shape)) for axis in axes]
        if not all(same(x.shape[axis], 1) for axis in gone):
            raise UnsupportedModel(
                f"The ONNX model's {node} drops axes {gone} of {list(x.shape)}, which are not all of length 1."
            )
    return b.reshape(x, [n for k, n in enumerate(x.shape) if k not in gone])


@handles("Unsqueeze")
def unsqueeze(b: Builder, node: Node) -> Value:
    x, axes = node.value(0), node.ints(1, "axes")
    rank = len(x.shape) + len(axes or ())
    for axis in sorted(axis_of(k, rank) for k in axes or ()):
        x = stack_axis(b, x, axis)
    return x


@handles("Transpose")
def permute(b: Builder, node: Node) -> Value:
    x = node.value(0)
    return transpose(b, x, node.attr("perm", list(range(len(x.shape)))[::-1]))


@handles("Expand")
def broadcast(b: Builder, node: Node) -> Value:
    return expand(b, node.value(0), dims_of(node.value(1), f"The shape of the ONNX model's {node}"))


@handles("Tile")
def repeat(b: Builder, node: Node) -> Value:
    return tile(b, node.value(0), dims_of(node.value(1), f"The repeats of the ONNX model's {node}"))


@handles("Concat")
def join(b: Builder, node: Node) -> Value:
    values = [node.value(k) for k in range(len(node.inputs))]
    return concat(b, values, node.axis(0, len(values[0].shape)))


@handles("Split")
def split(b: Builder, node: Node) -> list[Value]:
    x = node.value(0)
    axis = node.axis(0, len(x.shape))
    sizes, count = node.dims(1, "split"), int(node.attr("num_outputs", len(node.used)))
    n = x.shape[axis]
    if sizes is None:
        each = quotient(n, count)
        part = -(-n // count) if isinstance(n, int) else each
        if part is None or (node.opset < 18 and each is None):
            raise UnsupportedModel(f"The ONNX model's {node} splits a length of {n} into {count} parts.")
        sizes = [part] * (count - 1) + [n - part * (count - 1)]
    found, start = [], 0
    for size in sizes:
        stop: Dim = start + size
        found.append(cut(b, x, [axis], [start], [END if same(stop, n) else stop], [1]))
        start = stop  # type: ignore[assignment]
    return found


@handles("Slice")
def part(b: Builder, node: Node) -> Value:
    x = node.value(0)
    old = node.opset < 10
    starts, stops = (node.dims(k, name if old else None) for k, name in ((1, "starts"), (2, "ends")))
    axes, steps = node.ints(3, "axes" if old else None), node.ints(4)
    assert starts is not None
    assert stops is not None
    places = [axis_of(a, len(x.shape)) for a in (axes if axes is not None else range(len(starts)))]
    return cut(b, x, places, starts, stops, steps or [1] * len(starts))


@handles("Gather")
def pick(b: Builder, node: Node) -> Value:
    x, index = node.value(0), node.value(1)
    axis = node.axis(0, len(x.shape))
    if isinstance(index, Known) and index.symbolic:
        place, n = dims_of(index, ""), x.shape[axis]
        distance = place[0] - n
        if len(place) == 1 and isinstance(distance, int) and distance < 0:
            index = Known(np.full(index.shape, distance), "i64")
    return gather(b, x, index, axis)


@handles("GatherND")
def pick_nd(b: Builder, node: Node) -> Value:
    node.only("batch_dims", 0)
    x, index = node.value(0), node.value(1)
    depth = index.shape[-1]
    counts = x.shape[: int(depth)] if isinstance(depth, int) else ()
    if not isinstance(depth, int) or not all(isinstance(n, int) for n in counts):
        leading = [n for n in counts if not same(n, 1)]
        if not isinstance(depth, int) or len(leading) != 1:
            raise UnsupportedModel(f"The ONNX model's {node} picks from axes whose lengths vary.")
        axis = next(k for k, n in enumerate(counts) if not same(n, 1))
        rank = len(index.shape)
        chosen = b.reshape(cut(b, index, [rank - 1], [axis], [axis + 1], [1]), index.shape[:-1])
        return gather(b, b.reshape(x, (counts[axis], *x.shape[depth:])), chosen, 0)
    return flat_gather(b, x, index, tuple(int(n) for n in counts), x.shape[depth:])


@handles("GatherElements")
def pick_elements(b: Builder, node: Node) -> Value:
    x, index = node.value(0), node.value(1)
    axis = node.axis(0, len(x.shape))
    others = [k for k in range(len(x.shape)) if k != axis and not same(index.shape[k], 1)]
    if not others:  # one column
        for k in range(len(x.shape)):
            if k != axis:
                x = cut(b, x, [k], [0], [1], [1])
        flat = b.reshape(x, (x.shape[axis],))
        return b.reshape(gather(b, flat, b.reshape(index, (index.shape[axis],)), 0), index.shape)
    first = all(same(n, 1) for n in x.shape[:axis])  # then the axis may have any length
    fixed = (*x.shape[axis + 1 if first else 0 :], *(index.shape[k] for k in others))
    if not all(isinstance(n, int) for n in fixed):
        raise UnsupportedModel(f"The ONNX model's {node} picks elements from axes whose lengths vary.")
    counts = [int(n) if isinstance(n, int) else 0 for n in x.shape]
    if not first:  # else a place below 0 is counted from the end of all
        index = where(b, compare(b, "lt", index, scalar(0, "i64")), binary(b, "add", index, scalar(counts[axis], "i64")), index)
    place: Value = binary(b, "mul", index, scalar(int(np.prod(counts[axis + 1 :])), "i64"))
    for k in others:
        shape = [1] * len(counts)
        shape[k] = int(index.shape[k])
        offsets = np.arange(shape[k]).reshape(shape) * int(np.prod(counts[k + 1 :]))
        place = binary(b, "add", place, Known(offsets.astype(np.int64), "i64"))
    return gather(b, b.reshape(x, (product(x.shape),)), place, 0)


@handles("ScatterElements", "Scatter", "ScatterND")
def put(b: Builder, node: Node) -> Value:
    """Elements replaced at known places: picked among those of both values."""
    node.only("reduction", "none")
    x, index, updates = node.value(0), node.known(1, "where it puts elements"), node.value(2)
    assert index is not None
    if not all(isinstance(n, int) for n in (*x.shape, *updates.shape)):
        raise UnsupportedModel(f"The ONNX model's {node} puts elements into a value whose lengths vary.")
    shape, given = tuple(int(n) for n in x.shape), tuple(int(n) for n in updates.shape)
    size, count = int(np.prod(shape)), int(np.prod(given))
    source = np.arange(size, dtype=np.int64).reshape(shape)
    places = index.array.astype(np.int64)
    new = np.arange(size, size + count, dtype=np.int64).reshape(given)
    if node.kind == "ScatterND":
        source[tuple(np.moveaxis(places, -1, 0))] = new
    else:
        np.put_along_axis(source, places, new, node.axis(0, len(shape)))
    both = concat(b, [b.reshape(x, (size,)), b.reshape(updates, (count,))], 0)
    return gather(b, both, Known(source, "i64"), 0)


@handles("Pad")
def padded(b: Builder, node: Node) -> Value:
    x, mode = node.value(0), node.attr("mode", "constant")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise node.refused("mode", f"mode={mode!r}")
    given, rank = node.ints(1, "pads"), len(x.shape)
    assert given is not None
    number = node.known(2, "the value it pads with")
    value = float(node.attr("value", 0.0)) if node.opset < 11 else float(number.array.ravel()[0]) if number else 0.0
    axes = node.ints(3)
    places = list(range(rank)) if axes is None else [axis_of(a, rank) for a in axes]
    before, after = [0] * rank, [0] * rank
    for k, axis in enumerate(places):
        before[axis], after[axis] = given[k], given[len(places) + k]
    if not np.isfinite(value) and any(k > 0 for k in (*before, *after)):
        return _padded_with(b, x, before, after, value)
    return pad(b, x, before, after, mode, value)


def _padded_with(b: Builder, x: Value, before: list[int], after: list[int], value: float) -> Value:
    """Padded with an infinity or NaN, which the op `pad` does not take: joined to constants."""
    for axis, (p, q) in enumerate(zip(before, after, strict=True)):
        sides = [(p, True), (q, False)]
        for count, front in sides:
            if count < 0:
                raise UnsupportedModel("The ONNX model cuts off elements and pads with an infinity at once.")
            if count:
                shape = [*x.shape[:axis], count, *x.shape[axis + 1 :]]
                filled = expand(b, scalar(value, x.dtype), shape)
                x = concat(b, [filled, x] if front else [x, filled], axis)
    return x


@handles("Constant")
def constant(b: Builder, node: Node) -> Value:
    for name, dtype in (
        ("value", None),
        ("value_float", "f32"),
        ("value_floats", "f32"),
        ("value_int", "i64"),
        ("value_ints", "i64"),
    ):
        found = node.attr(name)
        if found is not None:
            return known(found) if dtype is None else Known(np.asarray(found, dtype=NUMPY[dtype]), dtype)
    raise UnsupportedModel(f"The ONNX model's {node} holds no tensor of numbers.")


@handles("ConstantOfShape")
def constant_of_shape(b: Builder, node: Node) -> Value:
    value = node.attr("value")
    filled = Known(np.zeros((), dtype=np.float32), "f32") if value is None else known(np.asarray(value).reshape(()))
    return expand(b, filled, dims_of(node.value(0), f"The shape of the ONNX model's {node}"))


@handles("Range")
def counted(b: Builder, node: Node) -> Value:
    start, limit, delta = (node.known(k, "what it counts") for k in range(3))
    assert start is not None
    assert limit is not None
    assert delta is not None
    if start.dtype in FLOATS and not any(v.symbolic for v in (start, limit, delta)):
        first, stop, step = (float(v.array) for v in (start, limit, delta))
        count: Dim = max(int(np.ceil((stop - first) / step)), 0)
        numbers = first + step * np.arange(count)
        return Known(numbers.astype(NUMPY[start.dtype]), start.dtype)
    begin, end, by = (dims_of(v, "") for v in (start, limit, delta))
    if start.dtype in FLOATS and any(float(v.array) % 1 for v in (start, delta) if not v.symbolic):
        raise UnsupportedModel(f"The ONNX model's {node} counts in fractions to a length.")
    if not isinstance(by[0], int) or by[0] == 0:
        raise UnsupportedModel(f"The ONNX model's {node} counts in steps of {by[0]}.")
    distance = end[0] - begin[0]
    count = (distance + by[0] - 1) // by[0] if by[0] > 0 else (-distance - by[0] - 1) // -by[0]
    if isinstance(count, int):
        count = max(count, 0)
        if count > 1 << 26:
            raise UnsupportedModel(f"The ONNX model's {node} counts to {count}.")
    result = ramp(b, count)
    if by[0] != 1:
        result = binary(b, "mul", result, scalar(by[0], "i64"))
    if not same(begin[0], 0):
        result = binary(
            b, "add", result, Known(start.array.astype(object) if start.symbolic else start.array.astype(np.int64), "i64")
        )
    return cast(b, result, start.dtype)


@handles("EyeLike")
def eye(b: Builder, node: Node) -> Value:
    x, k, code = node.value(0), int(node.attr("k", 0)), node.attr("dtype")
    if not all(isinstance(n, int) for n in x.shape):
        raise UnsupportedModel(f"The ONNX model's {node} makes a matrix whose lengths vary.")
    dtype = x.dtype if code is None else {1: "f32", 7: "i64", 11: "f64", 9: "bool", 6: "i32"}.get(int(code))
    if dtype is None:
        raise node.refused("dtype", f"dtype={code}")
    return Known(np.eye(int(x.shape[0]), int(x.shape[1]), k, dtype=NUMPY[dtype]), dtype)


@handles("Trilu")
def triangle(b: Builder, node: Node) -> Value:
    x, upper = node.value(0), bool(node.attr("upper", 1))
    shift = node.known(1, "the diagonal")
    k = dims_of(shift, "")[0] if shift is not None else 0
    if not isinstance(k, int):
        raise UnsupportedModel(f"The diagonal of the ONNX model's {node} depends on the lengths of its inputs.")
    rows, columns = x.shape[-2], x.shape[-1]
    if isinstance(rows, int) and isinstance(columns, int):
        ones = np.ones((rows, columns), dtype=np.bool_)
        kept: Value = Known(np.triu(ones, k) if upper else np.tril(ones, k), "bool")
    else:
        down = b.reshape(ramp(b, rows), (rows, 1))
        kept = compare(b, "ge" if upper else "le", binary(b, "sub", ramp(b, columns), down), scalar(k, "i64"))
    zero = Known(np.zeros((), dtype=NUMPY[x.dtype]), x.dtype)
    return where(b, kept, x, zero)


@handles("OneHot")
def one_hot(b: Builder, node: Node) -> Value:
    index, depth, values = node.value(0), node.known(1, "the depth"), node.known(2, "what it fills in")
    assert depth is not None
    assert values is not None
    size = dims_of(depth, "")[0]
    if not isinstance(size, int):
        raise UnsupportedModel(f"The depth of the ONNX model's {node} depends on the lengths of its inputs.")
    axis = node.axis(-1, len(index.shape) + 1)
    code = cast(b, index, "i64")
    code = where(b, compare(b, "lt", code, scalar(0, "i64")), binary(b, "add", code, scalar(size, "i64")), code)
    shape = [1] * (len(index.shape) + 1)
    shape[axis] = size
    hit = compare(b, "eq", stack_axis(b, code, axis), Known(np.arange(size, dtype=np.int64).reshape(shape), "i64"))
    off, on = (Known(values.array[k], values.dtype) for k in range(2))
    return where(b, hit, on, off)


@handles("CumSum")
def running(b: Builder, node: Node) -> Value:
    x, given = node.traced(b, 0), node.known(1, "the axis")
    assert given is not None
    axis = axis_of(int(given.array.ravel()[0]), len(x.shape))
    exclusive, reverse = bool(node.attr("exclusive", 0)), bool(node.attr("reverse", 0))
    name, row, (place,) = b.placed(x, [axis])
    dtype = x.dtype if x.dtype in FLOATS else None
    made = b.add(
        "cumsum", [name], b.dtypes[name], row, axis=place, exclusive=exclusive or None, reverse=reverse or None, dtype=dtype
    )
    return Traced(made, row, x.shape, x.dtype)


@handles("DepthToSpace", "SpaceToDepth")
def blocks(b: Builder, node: Node) -> Value:
    x, size = node.value(0), int(node.attr("blocksize"))
    n, c, h, w = x.shape
    if node.kind == "DepthToSpace":
        mode = node.attr("mode", "DCR")
        deep = quotient(c, size * size)
        assert deep is not None
        first = (n, size, size, deep, h, w) if mode == "DCR" else (n, deep, size, size, h, w)
        perm = [0, 3, 4, 1, 5, 2] if mode == "DCR" else [0, 1, 4, 2, 5, 3]
        return b.reshape(transpose(b, b.reshape(x, first), perm), (n, deep, h * size, w * size))
    high, wide = quotient(h, size), quotient(w, size)
    if high is None or wide is None:
        raise UnsupportedModel(f"The ONNX model's {node} cuts {list(x.shape)} into blocks of {size}.")
    moved = transpose(b, b.reshape(x, (n, c, high, size, wide, size)), [0, 3, 5, 1, 2, 4])
    return b.reshape(moved, (n, c * size * size, high, wide))


# --- reductions ----------------------------------------------------------------------------------------------------------------

REDUCE = {
    "ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod", "ReduceL2": "l2",
    "ReduceLogSumExp": "logsumexp",
}  # fmt: skip


@handles(*REDUCE, "ReduceL1", "ReduceSumSquare", "ReduceLogSum")
def reduction(b: Builder, node: Node) -> Value:
    from .pointwise import unary

    x, axes, keep = node.value(0), node.ints(1, "axes"), bool(node.attr("keepdims", 1))
    if not axes:
        if bool(node.attr("noop_with_empty_axes", 0)):
            return x
        axes = list(range(len(x.shape)))
    node.waive("noop_with_empty_axes")
    places = [axis_of(axis, len(x.shape)) for axis in axes]
    if isinstance(x, Known) and x.symbolic and node.kind in ("ReduceProd", "ReduceSum") and len(x.shape) == 1:
        total = product(dims_of(x, "")) if node.kind == "ReduceProd" else sum(dims_of(x, ""))
        return b.reshape(as_dims([total]), (1,) if keep else ())
    if not x.shape:
        x, places = b.reshape(x, (1,)), [0]
        keep = False
    if node.kind == "ReduceL1":
        return reduce(b, "sum", unary(b, "abs", x), places, keep)
    if node.kind == "ReduceSumSquare":
        return reduce(b, "sum", unary(b, "square", x), places, keep)
    if node.kind == "ReduceLogSum":
        return unary(b, "log", reduce(b, "sum", x, places, keep))
    return reduce(b, REDUCE[node.kind], x, places, keep)


@handles("ArgMax", "ArgMin")
def best(b: Builder, node: Node) -> Value:
    node.only("select_last_index", 0)
    x = node.traced(b, 0)
    axis = node.axis(0, len(x.shape))
    return reduce(b, "argmax" if node.kind == "ArgMax" else "argmin", x, [axis], bool(node.attr("keepdims", 1)))
