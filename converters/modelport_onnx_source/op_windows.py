"""Convolutions, pooling and resizing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel

from .lengths import Dim, Row, quotient, same
from .nodes import ADVICE, Node, handles
from .shaping import transpose
from .summing import reduce
from .values import Builder, Known, Traced, Value, axis_of

AUTO = {"SAME_UPPER": "same_upper", "SAME_LOWER": "same_lower"}


def _images(b: Builder, node: Node, x: Traced) -> tuple[Traced, bool]:
    """The value with one image per row; where it holds several, they become an axis before the others (and True)."""
    if len(x.shape) < 3:
        raise UnsupportedModel(
            f"The ONNX model's {node} reads a value of shape {list(x.shape)}, which has no axis to slide along."
        )
    if same(x.shape[0], 1):
        return x, False
    if len(x.shape) > 4:
        raise UnsupportedModel(
            f"The ONNX model's {node} reads {x.shape[0]} images of a row at once, in three dimensions. {ADVICE}"
        )
    moved = b.traced(transpose(b, x, [1, 0, *range(2, len(x.shape))]))
    return Traced(moved.name, moved.row, (1, *moved.shape), moved.dtype), True


def _single(b: Builder, value: Traced, several: bool) -> Value:
    if not several:
        return value
    held = Traced(value.name, value.row, value.shape[1:], value.dtype)
    return transpose(b, held, [1, 0, *range(2, len(held.shape))])


class _Window:
    """How a window of a node slides: strides, dilations, pads per axis."""

    def __init__(self, b: Builder, node: Node, size: Sequence[int], several: bool) -> None:
        k = len(size)
        self.size = list(size)
        self.strides = [int(n) for n in node.attr("strides", [1] * k)]
        self.dilations = [int(n) for n in node.attr("dilations", [1] * k)]
        self.auto = node.attr("auto_pad", "NOTSET") or "NOTSET"
        self.pads = [int(n) for n in node.attr("pads", [0] * 2 * k)]
        if self.auto == "VALID":
            self.pads = [0] * 2 * k
        if self.auto not in ("NOTSET", "VALID", *AUTO):
            raise node.refused("auto_pad", f"auto_pad={self.auto!r}")
        if any(n < 0 for n in self.pads):
            raise node.refused("pads", f"negative pads {self.pads}")
        if several:
            self.size, self.strides, self.dilations = [1, *self.size], [1, *self.strides], [1, *self.dilations]
            self.pads = [0, *self.pads[:k], 0, *self.pads[k:]]

    def lengths(self, sizes: Row, ceil: bool = False) -> Row:
        """The lengths of the result."""
        found: list[Dim] = []
        k = len(self.size)
        for i, n in enumerate(sizes):
            s, reach = self.strides[i], (self.size[i] - 1) * self.dilations[i] + 1
            if self.auto in AUTO:
                found.append((n + (s - 1)) // s)
                continue
            before, after = self.pads[i], self.pads[k + i]
            count = (n + (before + after - reach)) // s + 1 if not ceil else (n + (before + after - reach + s - 1)) // s + 1
            if ceil:
                if not isinstance(count, int) or not isinstance(n, int):
                    raise UnsupportedModel(
                        f"A pooling rounds up (ceil_mode) along an axis whose length {n} varies: leave out ceil_mode."
                    )
                count -= (count - 1) * s >= n + before
            found.append(count)
        return tuple(found)

    def attributes(self) -> dict[str, Any]:
        """As the ops take them, without what is the default."""
        auto = AUTO.get(self.auto)
        return {
            "strides": np.array(self.strides) if any(n != 1 for n in self.strides) else None,
            "dilations": np.array(self.dilations) if any(n != 1 for n in self.dilations) else None,
            "pads": np.array(self.pads) if any(self.pads) and auto is None else None,
            "auto": auto,
        }


@handles("Conv")
def conv(b: Builder, node: Node) -> Value:
    x, weight, bias = node.traced(b, 0), node.known(1, "the weight"), node.known(2, "the bias")
    assert weight is not None
    node.waive("kernel_shape")  # the weight's own
    groups = int(node.attr("group", 1))
    images, several = _images(b, node, x)
    kernel = weight.array[:, :, None] if several else weight.array
    window = _Window(b, node, weight.array.shape[2:], several)
    _one_to_three(node, kernel)
    name, row = b.exactly(images, 1)
    new = (len(kernel), *window.lengths(row[1:]))
    made = b.add(
        "conv", [name], x.dtype, new, weight=np.ascontiguousarray(kernel), bias=None if bias is None else bias.array,
        groups=groups if groups != 1 else None, dtype=x.dtype, **window.attributes(),
    )  # fmt: skip
    return _single(b, Traced(made, new, (1, *new), x.dtype), several)


def _one_to_three(node: Node, kernel: np.ndarray) -> None:
    if not 3 <= kernel.ndim <= 5:
        raise UnsupportedModel(f"The ONNX model's {node} slides along {kernel.ndim - 2} axes; one to three are known. {ADVICE}")


@handles("ConvTranspose")
def conv_transpose(b: Builder, node: Node) -> Value:
    x, weight, bias = node.traced(b, 0), node.known(1, "the weight"), node.known(2, "the bias")
    assert weight is not None
    node.waive("kernel_shape")
    groups = int(node.attr("group", 1))
    images, several = _images(b, node, x)
    kernel = weight.array[:, :, None] if several else weight.array
    _one_to_three(node, kernel)
    k = weight.array.ndim - 2
    auto, wanted = node.attr("auto_pad", "NOTSET") or "NOTSET", node.attr("output_shape")
    node.attributes.pop("auto_pad", None)
    extra = [int(n) for n in node.attr("output_padding", [0] * k)]
    window = _Window(b, node, weight.array.shape[2:], several)
    extra = [0, *extra] if several else extra
    name, row = b.exactly(images, 1)
    if wanted is not None or auto in AUTO:
        goal: list[Dim] = (
            [int(n) for n in wanted][-k:]
            if wanted is not None
            else [n * s for n, s in zip(row[-k:], window.strides[-k:], strict=True)]
        )
        _pads_for(node, window, row, extra, goal, auto)
    elif auto == "VALID":
        window.pads = [0] * len(window.pads)
    spatial = []
    rank = len(window.size)
    for i, n in enumerate(row[1:]):
        reach = (window.size[i] - 1) * window.dilations[i] + 1
        spatial.append(window.strides[i] * (n - 1) + extra[i] + reach - window.pads[i] - window.pads[rank + i])
    new = (kernel.shape[1] * groups, *spatial)
    made = b.add(
        "conv_transpose", [name], x.dtype, new, weight=np.ascontiguousarray(kernel), bias=None if bias is None else bias.array,
        groups=groups if groups != 1 else None, output_padding=np.array(extra) if any(extra) else None, dtype=x.dtype,
        **window.attributes(),
    )  # fmt: skip
    return _single(b, Traced(made, new, (1, *new), x.dtype), several)


def _pads_for(node: Node, window: _Window, row: Row, extra: list[int], goal: Sequence[Dim], auto: str) -> None:
    """The pads that give the lengths of `output_shape`, or those of auto_pad."""
    rank, first = len(window.size), len(window.size) - len(goal)
    for place, wanted in enumerate(goal, start=first):
        n, s = row[1 + place], window.strides[place]
        reach = (window.size[place] - 1) * window.dilations[place] + 1
        total = s * (n - 1) + extra[place] + reach - wanted
        if not isinstance(total, int) or total < 0:
            raise node.refused("output_shape", f"a result of length {wanted} from {n}")
        low = total // 2
        window.pads[place] = low if auto == "SAME_UPPER" or total % 2 == 0 else total - low
        window.pads[rank + place] = total - window.pads[place]


@handles("MaxPool", "AveragePool")
def pool(b: Builder, node: Node) -> Value:
    x, ceil = node.traced(b, 0), bool(node.attr("ceil_mode", 0))
    mean = node.kind == "AveragePool"
    if not mean:
        node.waive("storage_order")  # concerns the indices
    node.first_only()
    size = [int(n) for n in node.attr("kernel_shape")]
    images, several = _images(b, node, x)
    window = _Window(b, node, size, several)
    count = bool(node.attr("count_include_pad", 0)) if mean else False
    name, row = b.exactly(images, 1)
    counted = count and (any(window.pads) or window.auto in AUTO)
    new = (row[0], *window.lengths(row[1:], ceil))
    made = b.add(
        "pool", [name], x.dtype, new, fn="mean" if mean else "max", size=np.array(window.size), ceil=ceil or None,
        count_pad=counted or None, dtype=x.dtype, **window.attributes(),
    )  # fmt: skip
    return _single(b, Traced(made, new, (1, *new), x.dtype), several)


@handles("GlobalAveragePool", "GlobalMaxPool")
def over_all(b: Builder, node: Node) -> Value:
    x = node.traced(b, 0)
    return reduce(b, "mean" if node.kind == "GlobalAveragePool" else "max", x, range(2, len(x.shape)), keep=True)


@handles("LpPool", "GlobalLpPool")
def lp_pool(b: Builder, node: Node) -> Value:
    raise UnsupportedModel(f"The ONNX model's {node} is not known. {ADVICE}")


# --- Resize --------------------------------------------------------------------------------------------------------------------

AT = {
    "half_pixel": "half_pixel",
    "pytorch_half_pixel": "half_pixel",
    "align_corners": "align_corners",
    "asymmetric": "asymmetric",
}
ROUND = {"round_prefer_floor": "half_down", "round_prefer_ceil": "half_up", "floor": "floor", "ceil": "ceil"}


@handles("Resize", "Upsample")
def resize(b: Builder, node: Node) -> Value:
    x, old = node.traced(b, 0), node.kind == "Upsample" or node.opset < 11
    mode = node.attr("mode", "nearest")
    at_, round_ = "asymmetric", "floor"
    sizes = None
    if old:
        given = node.attr("scales") if node.attr("scales") is not None else node.known(1, "the scale")
        scales = [float(s) for s in np.ravel(given.array if isinstance(given, Known) else given)]
    else:
        at_ = str(node.attr("coordinate_transformation_mode", "half_pixel"))
        round_ = str(node.attr("nearest_mode", "round_prefer_floor"))
        node.only("exclude_outside", 0)
        node.only("antialias", 0)
        node.only("keep_aspect_ratio_policy", "stretch")
        node.waive("extrapolation_value")
        node.get(1)  # the region, for a mode that is refused
        factors = node.known(2, "the scale")
        scales = [] if factors is None else [float(s) for s in factors.array.ravel()]
        sizes = node.dims(3)
    fn = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "cubic": "cubic"}.get(str(mode))
    if fn is None or at_ not in AT or round_ not in ROUND:
        raise node.refused("coordinate_transformation_mode", f"mode={mode!r} at {at_!r}")
    named = node.attr("axes")
    places = [axis_of(int(a), len(x.shape)) for a in named] if named is not None else list(range(len(x.shape)))
    alpha = float(node.attr("cubic_coeff_a", -0.75))
    return _resized(b, node, x, fn, AT[at_], ROUND[round_] if fn == "nearest" else None, alpha, places, scales, sizes, at_)


def _resized(
    b: Builder, node: Node, x: Traced, fn: str, at_: str, round_: str | None, alpha: float, places: list[int],
    scales: list[float], sizes: list[Dim] | None, given: str,
) -> Value:  # fmt: skip
    changed, factors, lengths = [], [], dict(enumerate(x.shape))
    whole: list[int] | None = []
    for k, axis in enumerate(places):
        n = x.shape[axis]
        if sizes is not None:
            m = sizes[k]
            if same(m, n):
                continue
            factor = quotient(m, n)
            if isinstance(m, int) and isinstance(n, int):
                factors.append(m / n)
            elif isinstance(factor, int):
                factors.append(float(factor))
            else:
                raise UnsupportedModel(f"The ONNX model's {node} resizes a length of {n} to {m}, which is no fixed scale.")
            whole = [*whole, m] if isinstance(m, int) and whole is not None else None
        else:
            if scales[k] == 1.0:
                continue
            whole, factor = None, None
            factors.append(scales[k])
            m = int(np.floor(n * scales[k])) if isinstance(n, int) else n * int(scales[k]) if scales[k].is_integer() else None
            if m is None:
                raise UnsupportedModel(f"The ONNX model's {node} resizes the length {n} by {scales[k]}: use a whole scale.")
        if given == "pytorch_half_pixel" and same(m, 1):
            raise node.refused("coordinate_transformation_mode", "pytorch_half_pixel for a result of length 1")
        changed.append(axis)
        lengths[axis] = m
    if not changed:
        return x
    name, row, found = b.placed(x, changed)
    shape = tuple(lengths[axis] for axis in range(len(x.shape)))
    new = list(row)
    for axis, place in zip(changed, found, strict=True):
        new[place] = lengths[axis]
    made = b.add(
        "resize", [name], x.dtype, tuple(new), axes=np.array(found),
        sizes=np.array(whole) if whole else None, scales=None if whole else np.array(factors), fn=fn, at=at_,
        round=round_ if round_ != "half_down" else None, cubic=alpha if fn == "cubic" and alpha != -0.75 else None, dtype=x.dtype,
    )  # fmt: skip
    return Traced(made, tuple(new), shape, x.dtype)
