"""Functions of keras.ops that move elements: reshape, transpose, indexing, joining, splitting."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from ..builder import Value
from ..network import Layer
from ..registry import operation
from ..walking import Walker
from .merging import concatenated
from .reshaping import padded, reshaped, transposed


def place(op: Layer, value: Value, axis: Any) -> int:
    """An axis that counts the batch as one that does not."""
    found = int(axis) - 1 if int(axis) > 0 else int(axis) + value.rank
    if int(axis) == 0 or not 0 <= found < value.rank:
        raise UnsupportedModel(f"{op}: axis {axis} is the batch, or no axis of the rows: a step does not mix rows.")
    return found


def argument(op: Layer, key: str, given: Any, default: Any = None) -> Any:
    """An argument of an operation, given in the call or in its config."""
    return op.get(key, default) if given is None else given


@operation("Reshape")
def reshape_op(walker: Walker, op: Layer, x: Any, newshape: Any = None) -> Value:
    target = list(argument(op, "newshape", newshape))
    value = walker.tensor(x)
    if target and target[0] not in (-1, None):
        raise UnsupportedModel(f"{op}: a reshape to {target} fixes the batch: write -1 for it.")
    return reshaped(walker, value, [None if k is None else int(k) for k in target[1:]])


@operation("Transpose")
def transpose_op(walker: Walker, op: Layer, x: Any, axes: Any = None) -> Value:
    value = walker.tensor(x)
    perm = argument(op, "axes", axes)
    perm = list(range(value.rank, -1, -1)) if perm is None else [int(k) % (value.rank + 1) for k in perm]
    if perm[0] != 0:
        raise UnsupportedModel(f"{op}: a transpose moves the batch, which is always first here.")
    return transposed(walker, value, [k - 1 for k in perm[1:]])


@operation("Swapaxes")
def swap_axes(walker: Walker, op: Layer, x: Any, axis1: Any = None, axis2: Any = None) -> Value:
    value = walker.tensor(x)
    one, two = place(op, value, argument(op, "axis1", axis1)), place(op, value, argument(op, "axis2", axis2))
    perm = list(range(value.rank))
    perm[one], perm[two] = two, one
    return transposed(walker, value, perm)


@operation("Moveaxis")
def move_axis(walker: Walker, op: Layer, x: Any) -> Value:
    value = walker.tensor(x)
    source, target = op["source"], op["destination"]
    sources = [place(op, value, k) for k in (source if isinstance(source, (list, tuple)) else [source])]
    targets = [place(op, value, k) for k in (target if isinstance(target, (list, tuple)) else [target])]
    perm = [k for k in range(value.rank) if k not in sources]
    for goal, origin in sorted(zip(targets, sources, strict=True)):
        perm.insert(goal, origin)
    return transposed(walker, value, perm)


@operation("ExpandDims")
def expand_dims(walker: Walker, op: Layer, x: Any, axis: Any = None) -> Value:
    value = walker.tensor(x)
    given = argument(op, "axis", axis)
    axes = [int(k) % (value.rank + 2) for k in (given if isinstance(given, (list, tuple)) else [given])]
    name = value.plain
    for k in sorted(axes):
        if k == 0:
            raise UnsupportedModel(f"{op}: an axis before the batch is not read.")
        name = walker.net.insert(name, k - 1)
    return walker.net.value(name)


@operation("Squeeze")
def squeeze(walker: Walker, op: Layer, x: Any, axis: Any = None) -> Value:
    value = walker.tensor(x)
    given = argument(op, "axis", axis)
    if given is None:
        places = [k for k in range(value.rank) if value.shape[k] == 1]
    else:
        places = [place(op, value, k) for k in (given if isinstance(given, (list, tuple)) else [given])]
    name = value.plain
    for k in sorted(places, reverse=True):
        name = walker.net.drop(name, k)
    return walker.net.value(name)


@operation("Concatenate")
def concatenate_op(walker: Walker, op: Layer, xs: Any, axis: Any = None) -> Value:
    values = _alike(walker, xs)
    return concatenated(walker, values, place(op, values[0], argument(op, "axis", axis, 0)))


def _alike(walker: Walker, xs: Any) -> list[Value]:
    """Values of one dtype, constants among them brought to the rows' rank."""
    rank = max(x.rank for x in xs if isinstance(x, Value))
    values = [walker.steady(x, rank) for x in xs]
    kinds = {value.dtype for value in values}
    target = next(dtype for dtype in ("str", "f64", "f32", "i64", "bool") if dtype in kinds)
    return [walker.net.cast(value, target) for value in values]


@operation("Stack")
def stack(walker: Walker, op: Layer, x: Any, axis: Any = None) -> Value:
    values = _alike(walker, x)
    at = int(argument(op, "axis", axis, 0)) % (values[0].rank + 2)
    if at == 0:
        raise UnsupportedModel(f"{op}: an axis before the batch is not read.")
    net = walker.net
    return net.value(net.add("concat", *(net.insert(value.plain, at - 1) for value in values), axis=at - 1))


@operation("Split")
def split(walker: Walker, op: Layer, x: Any) -> list[Value]:
    value, parts = walker.tensor(x), op["indices_or_sections"]
    axis = place(op, value, op["axis"])
    length = value.shape[axis]
    if length is None:
        raise UnsupportedModel(f"{op}: an axis of any length is not split.")
    if isinstance(parts, int):
        ends = [length // parts * (i + 1) for i in range(parts)]
    else:
        ends = [*(int(k) for k in parts), length]
    starts = [0, *ends[:-1]]
    net = walker.net
    return [
        net.value(net.add("slice", value.plain, axes=[axis], starts=[a], stops=[b])) for a, b in zip(starts, ends, strict=True)
    ]


@operation("GetItem")
def get_item(walker: Walker, op: Layer, x: Any, key: Any) -> Value:
    value = walker.tensor(x)
    keys = list(key) if isinstance(key, (list, tuple)) else [key]
    used = sum(k is not None and k is not Ellipsis for k in keys)
    fill = [slice(None)] * (value.rank + 1 - used)
    if Ellipsis in [k for k in keys if not isinstance(k, np.ndarray)]:
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys[at : at + 1] = fill
    else:
        keys += fill
    first = keys[0]
    if not isinstance(first, slice) or first != slice(None):
        raise UnsupportedModel(f"{op}: rows are picked out of the batch by {first!r}, which no step does.")
    net, name, axis = walker.net, value.plain, 0
    axes: list[int] = []
    starts: list[int] = []
    stops: list[int] = []
    steps: list[int] = []
    fresh: list[int] = []
    gone: list[int] = []
    for position, k in enumerate(keys[1:]):
        if k is None:
            fresh.append(position)
            continue
        if isinstance(k, slice):
            if k != slice(None):
                step = 1 if k.step is None else int(k.step)
                axes.append(axis)
                starts.append((0 if step > 0 else -1) if k.start is None else int(k.start))
                stops.append((1 << 40 if step > 0 else -(1 << 40)) if k.stop is None else int(k.stop))
                steps.append(step)
        elif isinstance(k, (int, np.integer)):
            axes.append(axis)
            starts.append(int(k))
            stops.append(int(k) + 1 if int(k) != -1 else 1 << 40)
            steps.append(1)
            gone.append(position)
        else:
            raise UnsupportedModel(f"{op}: indexing by {type(k).__name__} is not read.")
        axis += 1
    if axes:
        name = net.add("slice", name, axes=axes, starts=starts, stops=stops, steps=steps if set(steps) != {1} else None)
    kept = iter(net.kept(name))
    made: list[Any] = []
    for position, _ in enumerate(keys[1:]):
        if position in fresh:
            made.append(1)
        elif position in gone:
            next(kept)
        else:
            made.append(next(kept))
    return net.value(net.reshape(name, made) if fresh or gone else name)


@operation("Flip")
def flip(walker: Walker, op: Layer, x: Any) -> Value:
    value, axis = walker.tensor(x), op["axis"]
    name = value.plain
    for k in axis if isinstance(axis, (list, tuple)) else [axis]:
        name = walker.net.flip(name, place(op, value, k))
    return walker.net.value(name)


@operation("Pad")
def pad(walker: Walker, op: Layer, x: Any, constant_values: Any = None) -> Value:
    value = walker.tensor(x)
    width = op.get("pad_width")
    mode = op.get("mode", "constant")
    number = constant_values if constant_values is not None else op.get("constant_values", 0)
    pairs = [(int(p[0]), int(p[1])) for p in np.broadcast_to(np.asarray(width), (value.rank + 1, 2)).tolist()]
    if pairs[0] != (0, 0) or mode not in ("constant", "reflect", "edge", "wrap"):
        raise UnsupportedModel(f"{op}: padding of the batch, or of mode {mode!r}, is not read.")
    return padded(walker, value, pairs[1:], mode, float(number or 0))


@operation("Repeat", "Tile")
def repeat(walker: Walker, op: Layer, x: Any) -> Value:
    value, count = walker.tensor(x), op["repeats"]
    net = walker.net
    if op.class_name == "Tile":
        counts = [int(k) for k in (count if isinstance(count, (list, tuple)) else [count])]
        counts = [1] * (value.rank + 1 - len(counts)) + counts
        if len(counts) != value.rank + 1 or counts[0] != 1:
            raise UnsupportedModel(f"{op}: tiles of the batch, or of further axes, are not read.")
        name = value.plain
        for axis, times in enumerate(counts[1:]):
            if times > 1:
                name = net.add("concat", *([name] * times), axis=axis)
        return net.value(name)
    axis, times = op["axis"], count[0] if isinstance(count, (list, tuple)) and len(count) == 1 else count
    if axis is None or not isinstance(times, int):
        raise UnsupportedModel(f"{op}: a repeat along one axis, as often everywhere, is read.")
    at = place(op, value, axis)
    long = net.insert(value.plain, at + 1)
    long = net.add("concat", *([long] * times), axis=at + 1)
    axes: list[Any] = net.kept(value.plain)
    axes[at] = -1 if value.shape[at] is None else int(axes[at]) * times
    return net.value(net.reshape(long, axes))


@operation("Take")
def take(walker: Walker, op: Layer, x: Any, indices: Any = None) -> Value:
    given = argument(op, "indices", indices)
    axis = op["axis"]
    if isinstance(x, Value):
        if axis is None:
            raise UnsupportedModel(f"{op}: a take along all axes is not read.")
        at = place(op, x, axis)
        index = walker.tensor(given) if isinstance(given, Value) else walker.net.value(walker.net.constant(given, "i64"))
        return walker.net.value(walker.net.add("gather", x.plain, walker.net.cast(index, "i64").plain, axis=at))
    table = np.asarray(x)
    if not isinstance(given, Value) or axis not in (0, None) or table.ndim != 2 or axis is None:
        raise UnsupportedModel(f"{op}: a take from a constant is read for tables of two axes, along the first.")
    dtype = "f64" if table.dtype == np.float64 else "f32"
    return walker.net.value(walker.net.add("embedding", walker.net.cast(given, "i64").plain, weight=table, dtype=dtype))


@operation("BroadcastTo")
def broadcast_to(walker: Walker, op: Layer, x: Any) -> Value:
    value, shape = walker.tensor(x), list(op["shape"])
    if shape[0] not in (-1, None) or len(shape) < value.rank + 1:
        raise UnsupportedModel(f"{op}: a broadcast to {shape} fixes the batch, which is not read.")
    return walker.net.value(walker.net.add("expand", value.plain, shape=[int(k) for k in shape[1:]]))


@operation("ZerosLike", "OnesLike")
def filled_like(walker: Walker, op: Layer, x: Any, dtype: Any = None) -> Value:
    value = walker.tensor(x)
    wanted = argument(op, "dtype", dtype)
    kind = value.dtype if wanted is None else walker.dtype(wanted)
    number = walker.net.constant(op.class_name == "OnesLike", kind)
    made = walker.net.add("expand", number, value.plain, shape=[0] * value.rank, copy=list(range(value.rank)))
    return walker.net.value(made if value.rank else number)
