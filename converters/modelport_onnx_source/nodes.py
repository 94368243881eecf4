"""A node of an ONNX graph with a ledger: every attribute and input is consumed, or the node is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modelport.errors import UnsupportedAttribute, UnsupportedModel

from .lengths import Dim
from .values import Builder, Known, Traced, Value, axis_of, dims_of

__all__ = ["HANDLERS", "Node", "handles"]

Handler = Callable[[Builder, "Node"], "Value | Sequence[Value] | None"]
#: operator of ai.onnx -> its handler
HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for operators."""

    def add(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = handler
        return handler

    return add


class Node:
    """One node: its operator, opset, attributes and inputs, of which it is noted what was looked at."""

    def __init__(
        self, kind: str, name: str, opset: int, attributes: dict[str, Any], inputs: Sequence[Value | None], used: Sequence[bool]
    ) -> None:
        self.kind, self.name, self.opset, self.attributes = kind, name, opset, attributes
        self.inputs, self.used = list(inputs), list(used)
        self.seen: set[str | int] = set()

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.kind})" if self.name else f"a {self.kind} node"

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute, or the default."""
        self.seen.add(name)
        return self.attributes.get(name, default)

    def waive(self, *names: str) -> None:
        """Attributes that do not change what the node gives."""
        self.seen.update(names)

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse an attribute that has another value than these; the first one is its default."""
        value = self.attr(name, allowed[0])
        if value not in allowed:
            raise self.refused(name, f"{name}={value!r}")

    def refused(self, name: str, what: str) -> UnsupportedAttribute:
        """The error about an attribute."""
        return UnsupportedAttribute(f"The ONNX model's {self} has {what}, which no step expresses. {ADVICE}", name)

    def has(self, index: int) -> bool:
        """Whether there is such an input."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def get(self, index: int) -> Value | None:
        """An input, or None."""
        self.seen.add(index)
        return self.inputs[index] if index < len(self.inputs) else None

    def value(self, index: int) -> Value:
        """An input that has to be there."""
        found = self.get(index)
        if found is None:
            raise UnsupportedModel(f"The ONNX model's {self} lacks its input {index}.")
        return found

    def traced(self, b: Builder, index: int) -> Traced:
        """An input as a value of the graph."""
        return b.traced(self.value(index))

    def known(self, index: int, what: str) -> Known | None:
        """An input that has to be known numbers where it is there."""
        found = self.get(index)
        if isinstance(found, Traced):
            raise UnsupportedModel(f"In the ONNX model's {self}, {what} depends on the rows, which no step expresses. {ADVICE}")
        return found

    def dims(self, index: int, attribute: str | None = None) -> list[Dim] | None:
        """Integers given as an input or, in older opsets, as an attribute; None where there are neither."""
        if attribute is not None:
            given = self.attr(attribute)
            if given is not None:
                return [int(n) for n in given]
        found = self.get(index)
        return None if found is None else dims_of(found, f"Input {index} of the ONNX model's {self}")

    def ints(self, index: int, attribute: str | None = None) -> list[int] | None:
        """As dims, of plain integers."""
        found = self.dims(index, attribute)
        if found is not None and not all(isinstance(n, int) for n in found):
            raise UnsupportedModel(f"Input {index} of the ONNX model's {self} depends on the lengths of its inputs: {found}.")
        return None if found is None else [int(n) for n in found]  # type: ignore[call-overload]

    def axis(self, default: int, rank: int, name: str = "axis") -> int:
        """The attribute `axis`, counted from the front."""
        return axis_of(int(self.attr(name, default)), rank)

    def first_only(self, *free: int) -> None:
        """Refuse where another output than the first is used."""
        extra = [k for k, used in enumerate(self.used) if used and k and k not in free]
        if extra:
            raise UnsupportedModel(f"The ONNX model uses output {extra[0]} of its {self}, which no step gives. {ADVICE}")

    def finish(self) -> None:
        """Refuse what was not looked at."""
        for name in self.attributes:
            if name not in self.seen:
                raise self.refused(name, f"the attribute {name!r}")
        for index, value in enumerate(self.inputs):
            if value is not None and index not in self.seen:
                raise UnsupportedModel(f"The ONNX model's {self} has an input {index} that is not known. {ADVICE}")


ADVICE = "Keep the ONNX file as it is, or export the model without it."
