"""A builder's steps as a Graph: constants become attributes or steps, what nothing needs drops out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelport.graph import Graph, Input, Output, Step

from .values import FLOATS, Builder, stripped

__all__ = ["Wanted", "assembled", "living"]

#: parts of a `scale` step, in the order they are applied
PARTS = ("sub", "div", "mul", "add")


@dataclass(frozen=True)
class Wanted:
    """One output of the graph: its name, the value it is, its dtype."""

    name: str
    source: str
    dtype: str


def living(steps: Sequence[Step], wanted: Sequence[str]) -> list[Step]:
    """The steps that outputs need."""
    needed, kept = set(wanted), []
    for step in reversed(steps):
        if step.output in needed:
            needed.update(step.inputs)
            kept.append(step)
    return kept[::-1]


def assembled(
    b: Builder, inputs: Sequence[Input], outputs: Sequence[Wanted], name: str | None, lengths: Mapping[str, int]
) -> Graph:
    """The checked graph."""
    from .fusing import fused

    sources = [output.source for output in outputs]
    steps = fused(b, living(b.steps, sources), sources)
    steps = living(_scaled(b, steps, sources), sources)
    steps = _with_constants(b, steps, sources)
    declared = [Output(o.name, o.source, o.dtype, _role(o, steps)) for o in outputs]
    return Graph(inputs, steps, declared, name, lengths=dict(lengths))


def _role(output: Wanted, steps: Sequence[Step]) -> str:
    made = next((step for step in steps if step.output == output.source), None)
    return "probability" if made is not None and made.op == "softmax" else "prediction"


# --- arithmetic with constants as `scale` --------------------------------------------------------------------------------------


def _scaled(b: Builder, steps: Sequence[Step], outputs: Sequence[str]) -> list[Step]:
    """`binary` of a value and one number per column as `scale`; one after the other becomes one step."""
    uses = _uses(steps, outputs)
    made: dict[str, Step] = {}
    result: list[Step] = []
    for step in steps:
        new = _as_scale(b, step)
        before = made.get(new.inputs[0]) if new is not step else None
        if before is not None and uses[before.output] == 1 and _follows(before, new):
            result.remove(before)
            new = Step("scale", before.inputs, new.output, {**before.attributes, **new.attributes})
        if new.op == "scale":
            made[new.output] = new
        result.append(new)
    return result


def _uses(steps: Sequence[Step], outputs: Sequence[str]) -> dict[str, int]:
    uses: dict[str, int] = {}
    for name in [*outputs, *(name for step in steps for name in step.inputs)]:
        uses[name] = uses.get(name, 0) + 1
    return uses


def _as_scale(b: Builder, step: Step) -> Step:
    fn = step.attributes.get("fn")
    if step.op != "binary" or fn not in PARTS or step.attributes.get("dtype") not in FLOATS:
        return step
    x, y = step.inputs
    if x in b.constants and fn in ("add", "mul"):
        x, y = y, x
    if x in b.constants or y not in b.constants:
        return step
    row, array = b.rows[x], b.constants[y]
    small = stripped(tuple(array.shape))
    if len(small) > 1 or array.ndim > max(len(row), 0) or (small and (not row or row[-1] != small[0])):
        return step
    return Step("scale", (x,), step.output, {str(fn): array.reshape(-1), "dtype": step.attributes["dtype"]})


def _follows(before: Step, after: Step) -> bool:
    """Whether the parts of two scales are one scale's, in order."""
    if before.attributes["dtype"] != after.attributes["dtype"]:
        return False
    last = max(PARTS.index(k) for k in before.attributes if k in PARTS)
    return all(PARTS.index(k) > last for k in after.attributes if k in PARTS)


def _with_constants(b: Builder, steps: Sequence[Step], outputs: Sequence[str]) -> list[Step]:
    """A `constant` step for every constant that is still read, before the first that reads it."""
    defined: set[str] = set()
    result: list[Step] = []

    def define(name: str) -> None:
        if name in b.constants and name not in defined:
            defined.add(name)
            result.append(Step("constant", (), name, {"value": np.ascontiguousarray(b.constants[name])}))

    for step in steps:
        for name in step.inputs:
            define(name)
        result.append(step)
    for name in outputs:
        define(name)
    return result


def attributes_of(step: Step, **changed: Any) -> dict[str, Any]:
    """A step's attributes, some of them changed; None leaves one out."""
    return {k: v for k, v in {**step.attributes, **changed}.items() if v is not None}
