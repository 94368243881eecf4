"""Makes one step of several: exported models spell out as sums and products what an op of the format does at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from modelport.graph import Step

from .assembling import attributes_of, living
from .lengths import same
from .values import END, Builder, same_row

__all__ = ["fused"]

#: a pattern: "x" binds a value, a number is a constant, a tuple is a function of patterns
Pattern: TypeAlias = "str | float | tuple[Any, ...]"
COMMUTATIVE = ("add", "mul")


class Steps:
    """The steps under change: by the name they define, in order, with how often every value is read."""

    def __init__(self, b: Builder, steps: Sequence[Step], outputs: Sequence[str]) -> None:
        self.b, self.outputs = b, list(outputs)
        self.by_name = {step.output: step for step in steps}
        self.count()

    def count(self) -> None:
        """Count the uses again, and forget what nothing needs."""
        steps = living(_in_order(list(self.by_name.values())), self.outputs)
        self.by_name = {step.output: step for step in steps}
        self.uses: dict[str, int] = {}
        for name in [*self.outputs, *(name for step in steps for name in step.inputs)]:
            self.uses[name] = self.uses.get(name, 0) + 1

    def made_by(self, name: str, op: str, once: bool = False) -> Step | None:
        """The step of an op that defines a value; with once, only where nothing else reads the value."""
        step = self.by_name.get(name)
        return step if step is not None and step.op == op and not (once and self.uses.get(name, 0) != 1) else None

    def number(self, name: str) -> float | None:
        """The number a constant of one element is."""
        array = self.b.constants.get(name)
        return float(array.ravel()[0]) if array is not None and array.size == 1 and array.dtype.kind == "f" else None

    def put(self, old: Step, op: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Another step in the place of one."""
        self.by_name[old.output] = Step(op, tuple(inputs), old.output, {k: v for k, v in attributes.items() if v is not None})

    def match(self, name: str, pattern: Pattern, found: dict[str, str]) -> bool:
        """Whether a value is computed as a pattern says; binds the names in it."""
        if isinstance(pattern, str):
            return found.setdefault(pattern, name) == name
        if isinstance(pattern, (int, float)):
            number = self.number(name)
            return number is not None and math.isclose(number, pattern, rel_tol=2e-6)
        step = self.by_name.get(name)
        if step is None or step.op not in ("unary", "binary", "activation") or step.attributes.get("fn") != pattern[0]:
            return False
        orders = [step.inputs]
        if pattern[0] in COMMUTATIVE and step.op == "binary":
            orders.append(step.inputs[::-1])
        for inputs in orders:
            trial = dict(found)
            if len(inputs) == len(pattern) - 1 and all(self.match(n, p, trial) for n, p in zip(inputs, pattern[1:], strict=True)):
                found.update(trial)
                return True
        return False


def fused(b: Builder, steps: Sequence[Step], outputs: Sequence[str]) -> list[Step]:
    """The steps with fewer, larger ones among them."""
    held = Steps(b, steps, outputs)
    for rule in RULES:
        for name in list(held.by_name):
            step = held.by_name.get(name)
            if step is not None:
                rule(held, step)
        held.count()
    return list(held.by_name.values())


def _in_order(steps: list[Step]) -> list[Step]:
    """Steps after those they read."""
    made = {step.output: step for step in steps}
    placed: dict[str, Step] = {}
    waiting = list(reversed(steps))
    while waiting:
        step = waiting[-1]
        missing = [made[name] for name in step.inputs if name in made and name not in placed]
        if missing and step.output not in placed:
            waiting += missing
            continue
        placed.setdefault(step.output, waiting.pop())
    return list(placed.values())


# --- dense layers, casts, transposes -------------------------------------------------------------------------------------------


def _bias(held: Steps, step: Step) -> None:
    """linear, then a number added per column."""
    if step.op != "binary" or step.attributes["fn"] != "add":
        return
    for x, y in (step.inputs, step.inputs[::-1]):
        dense = held.made_by(x, "linear", once=True)
        bias = held.b.constants.get(y)
        if dense is None or bias is None or "bias" in dense.attributes:
            continue
        columns = len(dense.attributes["weight"])
        if bias.size == columns and bias.shape[-1:] == (columns,) and bias.ndim <= len(held.b.rows[x]):
            held.put(step, "linear", dense.inputs, **attributes_of(dense, bias=np.ascontiguousarray(bias.reshape(columns))))
            return


def _index(held: Steps, step: Step) -> None:
    """A lookup refuses what is outside its table, so an index needs no cast that refuses before."""
    if step.op not in ("embedding", "take"):
        return
    source = step.inputs[0]
    while (cast := held.made_by(source, "cast")) is not None and held.b.dtypes[cast.inputs[0]] in (
        "i64",
        "i32",
        "i16",
        "i8",
        "u8",
        "u16",
    ):
        narrow = {"i32": 1 << 31, "i16": 1 << 15, "i8": 1 << 7, "u8": 1 << 8, "u16": 1 << 16}.get(
            str(cast.attributes["to"]), 1 << 62
        )
        if len(step.attributes["weight" if step.op == "embedding" else "table"]) > narrow:
            return
        source = cast.inputs[0]
    if source != step.inputs[0]:
        held.put(step, step.op, [source], **attributes_of(step))


def _transposes(held: Steps, step: Step) -> None:
    """One transpose after another, and those that move nothing."""
    if step.op != "transpose":
        return
    perm = step.attributes["perm"].tolist()
    source = step.inputs[0]
    while (before := held.made_by(source, "transpose")) is not None:
        inner = before.attributes["perm"].tolist()
        perm, source = [inner[k] for k in perm], before.inputs[0]
    if perm == sorted(perm):
        _replace(held, step.output, source)
    elif source != step.inputs[0]:
        held.put(step, "transpose", [source], perm=np.array(perm))


def _replace(held: Steps, name: str, by: str) -> None:
    """Read another value wherever this one was read."""
    if name in held.outputs:
        return
    for other in list(held.by_name.values()):
        if name in other.inputs:
            inputs = [by if n == name else n for n in other.inputs]
            held.put(other, other.op, inputs, **dict(other.attributes))


def _last_state(held: Steps, step: Step) -> None:
    """A recurrence of which only the sequence's end is read."""
    cut = held.made_by(step.inputs[0], "slice", once=True) if step.op == "reshape" else None
    cell = held.by_name.get(cut.inputs[0]) if cut is not None else None
    if cut is None or cell is None or cell.op not in ("lstm", "gru", "rnn") or held.uses[cell.output] != 1:
        return
    if "result" in cell.attributes or len(held.b.rows[step.output]) != 1 or cut.attributes["axes"].tolist() != [0]:
        return
    span = (int(cut.attributes["starts"][0]), int(cut.attributes["stops"][0]))
    if "steps" not in cut.attributes and span == ((0, 1) if cell.attributes.get("reverse") else (-1, END)):
        held.put(step, cell.op, cell.inputs, **attributes_of(cell, result="last"))


def _nothing(held: Steps, step: Step) -> None:
    """Times one, plus zero: where the number is a float of one element and the shape stays."""
    if step.op != "binary" or step.attributes["fn"] not in ("mul", "div"):
        return
    x, y = step.inputs
    if held.number(y) == 1.0 and x not in held.b.constants and len(held.b.constants[y].shape) <= len(held.b.rows[x]):
        _replace(held, step.output, x)


# --- activations ---------------------------------------------------------------------------------------------------------------

_ROOT = math.sqrt(2.0)
_ERF = ("add", ("erf", ("div", "x", _ROOT)), 1.0), ("add", ("erf", ("mul", "x", 1 / _ROOT)), 1.0)
_CUBES = ("pow", "x", 3.0), ("mul", ("mul", "x", "x"), "x"), ("mul", ("square", "x"), "x")
_TANH = [("add", ("tanh", ("mul", ("add", "x", ("mul", cube, 0.044715)), math.sqrt(2 / math.pi))), 1.0) for cube in _CUBES] + [
    ("add", ("tanh", ("mul", ("mul", "x", ("add", ("mul", ("square", "x"), 0.044715), 1.0)), math.sqrt(2 / math.pi))), 1.0)
]


def _halved(one: Pattern) -> list[Pattern]:
    """0.5 x (1 + ..) in the orders that occur."""
    return [
        ("mul", ("mul", "x", 0.5), one),
        ("mul", ("mul", "x", one), 0.5),
        ("mul", "x", ("mul", one, 0.5)),
        ("div", ("mul", "x", one), 2.0),
    ]


PATTERNS: list[tuple[str, list[Pattern]]] = [
    ("gelu", [p for one in _ERF for p in _halved(one)]),
    ("gelu_tanh", [p for one in _TANH for p in _halved(one)]),
    ("quick_gelu", [("mul", "x", ("sigmoid", ("mul", "x", 1.702)))]),
    ("silu", [("mul", "x", ("sigmoid", "x"))]),
    ("mish", [("mul", "x", ("tanh", ("softplus", "x")))]),
    ("tanh_shrink", [("sub", "x", ("tanh", "x"))]),
    ("softsign", [("div", "x", ("add", ("abs", "x"), 1.0))]),
]


def _activations(held: Steps, step: Step) -> None:
    if step.op != "binary" or step.attributes["fn"] not in ("mul", "div", "sub"):
        return
    for fn, patterns in PATTERNS:
        for pattern in patterns:
            found: dict[str, str] = {}
            if held.match(step.output, pattern, found) and same_row(held.b.row_of(found["x"]), held.b.rows[step.output]):
                held.put(step, "activation", [found["x"]], fn=fn, dtype=step.attributes["dtype"])
                return
    _hard_swish(held, step)


def _hard_swish(held: Steps, step: Step) -> None:
    """x times hard_sigmoid(x)."""
    if step.attributes["fn"] != "mul":
        return
    for x, y in (step.inputs, step.inputs[::-1]):
        gate = held.made_by(y, "activation")
        if gate is None or gate.attributes["fn"] != "hard_sigmoid" or gate.inputs != (x,):
            continue
        if math.isclose(gate.attributes["alpha"], 1 / 6, rel_tol=1e-6) and gate.attributes["beta"] == 0.5:
            held.put(step, "activation", [x], fn="hard_swish", dtype=step.attributes["dtype"])
            return


# --- norms ---------------------------------------------------------------------------------------------------------------------


def _mean_over_last(held: Steps, name: str, of: str | None) -> tuple[str, int] | None:
    """What is averaged over its last axes (kept), and over how many."""
    step = held.made_by(name, "reduce")
    if (
        step is None
        or step.attributes["fn"] != "mean"
        or not step.attributes.get("keep")
        or (of is not None and step.inputs[0] != of)
    ):
        return None
    source = step.inputs[0]
    axes, rank = step.attributes["axes"].tolist(), len(held.b.rows[source])
    return (source, len(axes)) if axes == list(range(rank - len(axes), rank)) else None


def _squared(held: Steps, name: str) -> str | None:
    """What is squared."""
    for pattern in (("square", "d"), ("pow", "d", 2.0), ("mul", "d", "d")):
        found: dict[str, str] = {}
        if held.match(name, pattern, found):
            return found["d"]
    return None


def _layer_norms(held: Steps, step: Step) -> None:
    """(x - mean) / sqrt(mean of squares + eps), or without the mean."""
    if step.op != "binary" or step.attributes["fn"] not in ("div", "mul"):
        return
    patterns: tuple[Pattern, ...] = (
        ("div", "d", ("sqrt", "v")),
        ("mul", "d", ("reciprocal", ("sqrt", "v"))),
        ("mul", "d", ("div", 1.0, ("sqrt", "v"))),
    )
    for pattern in patterns:
        found: dict[str, str] = {}
        if not held.match(step.output, pattern, found):
            continue
        shifted = held.by_name.get(found["v"])
        if shifted is None or shifted.op != "binary" or shifted.attributes["fn"] != "add":
            continue
        for spread, given in (shifted.inputs, shifted.inputs[::-1]):
            eps = held.number(given)
            averaged = _mean_over_last(held, spread, None)
            d = _squared(held, averaged[0]) if averaged is not None else None
            if eps is None or eps < 0 or averaged is None or d != found["d"]:
                continue
            _put_norm(held, step, d, averaged[1], eps)
            return


def _put_norm(held: Steps, step: Step, d: str, axes: int, eps: float) -> None:
    centred = held.by_name.get(d)
    source, center = d, False
    if centred is not None and centred.op == "binary" and centred.attributes["fn"] == "sub":
        mean = _mean_over_last(held, centred.inputs[1], centred.inputs[0])
        if mean is not None and mean[1] == axes:
            source, center = centred.inputs[0], True
    if source in held.b.constants or not same_row(held.b.rows[source], held.b.rows[step.output]):
        return
    eps = float(str(np.float32(eps))) if step.attributes["dtype"] == "f32" else eps
    held.put(
        step, "layer_norm", [source], axes=axes if axes != 1 else None, eps=eps, center=None if center else False,
        dtype=step.attributes["dtype"],
    )  # fmt: skip


def _affine(held: Steps, step: Step) -> None:
    """A norm, then times and plus a number per element or channel."""
    if step.op != "binary" or step.attributes["fn"] not in ("mul", "add"):
        return
    part = "scale" if step.attributes["fn"] == "mul" else "bias"
    for x, y in (step.inputs, step.inputs[::-1]):
        norm, array = held.by_name.get(x), held.b.constants.get(y)
        if norm is None or array is None or norm.op not in ("layer_norm", "group_norm") or held.uses[x] != 1:
            continue
        if part in norm.attributes or (part == "scale" and "bias" in norm.attributes):
            continue
        row = held.b.rows[x]
        count = int(norm.attributes.get("axes", 1)) if norm.op == "layer_norm" else 0
        shape = row[len(row) - count :] if norm.op == "layer_norm" else (row[0],)
        wanted = shape if norm.op == "layer_norm" else (row[0], *[1] * (len(row) - 1))
        if all(isinstance(n, int) for n in shape) and array.shape == tuple(wanted) and same_row(held.b.rows[step.output], row):
            given = np.ascontiguousarray(array.reshape([int(n) for n in shape]))
            held.put(step, norm.op, norm.inputs, **attributes_of(norm, **{part: given}))
            return


def _group_norms(held: Steps, step: Step) -> None:
    """Channels merged into groups, a norm per group, and taken apart again."""
    if step.op != "reshape":
        return
    norm = held.made_by(step.inputs[0], "group_norm", once=True)
    merged = held.made_by(norm.inputs[0], "reshape") if norm is not None else None
    if norm is None or merged is None or norm.attributes.keys() & {"scale", "bias"}:
        return
    source, row = merged.inputs[0], held.b.rows[step.output]
    grouped = held.b.rows[merged.output]
    channels = held.b.rows[source][0] if held.b.rows[source] else None
    if not same_row(held.b.rows[source], row) or not isinstance(channels, int) or len(grouped) != 2:
        return
    if same(grouped[0], norm.attributes["groups"]) and channels % norm.attributes["groups"] == 0:
        held.put(step, "group_norm", [source], **attributes_of(norm))


# --- attention -----------------------------------------------------------------------------------------------------------------


def _scaled(held: Steps, name: str) -> tuple[str, float]:
    """A value without the number it is multiplied with or divided by, and that number."""
    step = held.made_by(name, "binary", once=True)
    if step is None or step.attributes["fn"] not in ("mul", "div"):
        return name, 1.0
    for x, y in (step.inputs, step.inputs[::-1]) if step.attributes["fn"] == "mul" else (step.inputs,):
        number = held.number(y)
        if number and x not in held.b.constants and same_row(held.b.rows[x], held.b.rows[name]):
            return x, number if step.attributes["fn"] == "mul" else 1.0 / number
    return name, 1.0


def _attention(held: Steps, step: Step) -> None:
    """softmax(q k scale + bias) v."""
    if step.op != "matmul":
        return
    weights = held.made_by(step.inputs[0], "softmax", once=True)
    if weights is None:
        return
    scores, bias = weights.inputs[0], None
    added = held.made_by(scores, "binary", once=True)
    if added is not None and added.attributes["fn"] == "add":
        pairs = [(x, y) for x, y in (added.inputs, added.inputs[::-1]) if _is_scores(held, x)]
        if not pairs:
            return
        scores, bias = pairs[0]
    if not same_row(held.b.rows[scores], held.b.rows[weights.output]):
        return
    scores, scale = _scaled(held, scores)
    product = held.made_by(scores, "matmul", once=True)
    if product is None:
        return
    (q, first), (k, second) = _scaled(held, product.inputs[0]), _scaled(held, product.inputs[1])
    if q in held.b.constants or k in held.b.constants or len(held.b.rows[k]) < 2:
        return
    keys = _swapped(held, k)
    inputs = [q, keys, step.inputs[1], *([bias] if bias is not None else [])]
    held.put(step, "attention", inputs, scale=scale * first * second, dtype=step.attributes["dtype"])


def _is_scores(held: Steps, name: str) -> bool:
    return held.made_by(_scaled(held, name)[0], "matmul", once=True) is not None


def _swapped(held: Steps, name: str) -> str:
    """The value with its last two axes exchanged."""
    rank = len(held.b.rows[name])
    perm = [*range(rank - 2), rank - 1, rank - 2]
    row = tuple(held.b.rows[name][axis] for axis in perm)
    made = held.b.add("transpose", [name], held.b.dtypes[name], row, f"{name} keys", perm=np.array(perm))
    held.by_name.setdefault(made, held.b.producers[made])
    return made


RULES: list[Callable[[Steps, Step], None]] = [
    _bias,
    _index,
    _last_state,
    _nothing,
    _activations,
    _layer_norms,
    _affine,
    _affine,
    _group_norms,
    _affine,
    _affine,
    _attention,
    _transposes,
]
