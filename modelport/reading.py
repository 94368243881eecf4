"""What a reader hands over: the graph, and a way to ask the original model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Arrays
from .document import Tolerance, Vectors
from .doubts import Doubt
from .errors import UnsupportedModel
from .graph import DTYPES, Graph, Input, Output, Step, ValueType
from .sample import Sample

__all__ = ["Reading", "SurveyPart", "declaration", "placeholder"]

Array = NDArray[Any]
Ask = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class Reading:
    """A model read into a graph.

    answer(feeds) asks the original model (n_jobs=1, eval mode) for all outputs of the graph; probes maps names of values to
    functions (feeds) -> array that ask the original for that intermediate value, so that a report can say which step diverges
    first; tolerance holds hints per output, where the reader knows better than the op. sample is the sample as the graph's inputs
    take it, where the reader changed its shape (None: as it was handed over). as_given(rows) asks the original on rows in the
    container and number types the user has them in. unread: the model was not read, its graph is a `placeholder`. approximate
    names values made by exact ops in another order of arithmetic than the original's, so that they agree within a tolerance only.
    doubts tell on which rows the original's own answer hangs on the last bits of a number. recorded holds rows that the
    original answered elsewhere, where it cannot be asked here: nothing else is proven then. Each of notes goes into the report.
    undecided tells the rows on which the one who is asked says nothing, though the model's definition does: they prove nothing.
    """

    graph: Graph
    answer: Ask
    provenance: Mapping[str, Any] = field(default_factory=dict)
    probes: Mapping[str, Callable[[Mapping[str, Array]], Array]] = field(default_factory=dict)
    tolerance: Mapping[str, Tolerance] = field(default_factory=dict)
    sample: Sample | Arrays | None = None
    as_given: Callable[[Any], dict[str, Array]] | None = None
    unread: bool = False
    approximate: Collection[str] = ()
    doubts: Sequence[Doubt] = ()
    recorded: Vectors | None = None
    notes: tuple[str, ...] = ()
    undecided: Callable[[Mapping[str, Array]], NDArray[np.bool_]] | None = None


def placeholder(inputs: Sequence[Input], outputs: Sequence[Output], shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """A graph that declares what a model takes and gives, and computes nothing of it: its outputs are constants.

    shapes maps output names to row shapes. Raises UnsupportedModel for an output of two axes or more.

    >>> outputs = [Output("prediction", "answered prediction", "f64", "prediction")]
    >>> graph = placeholder([Input("x", "f64", (2,))], outputs, {"prediction": ()})
    >>> str(graph.types["answered prediction"])
    'f64[]'
    """
    steps = []
    for output in outputs:
        shape = shapes[output.name]
        if len(shape) > 1:
            raise UnsupportedModel(
                f"The model answers rows of shape {list(shape)} as {output.name!r}; one axis at most is known."
            )
        value = np.full(shape, "", dtype=object) if output.dtype == "str" else np.zeros(shape, dtype=DTYPES[output.dtype])
        steps.append(Step("constant", (), output.source, {"value": value}))
    return Graph(inputs, steps, outputs)


def declaration(graph: Graph) -> Graph:
    """What a graph takes and gives, without its steps: constants stand for them.

    >>> square = Graph([Input("x", "f64", ())], [Step("unary", ["x"], "y", {"fn": "square"})], [Output("y", "y", "f64", "score")])
    >>> [step.op for step in declaration(square).steps]
    ['constant']
    """
    steps, outputs = [], []
    for output in graph.outputs:
        kind = graph.types[output.source]
        value = np.full(kind.shape, "", dtype=object) if kind.dtype == "str" else np.zeros(kind.shape, dtype=DTYPES[kind.dtype])
        steps.append(Step("constant", (), f"answered {output.name}", {"value": value}))
        outputs.append(Output(output.name, f"answered {output.name}", output.dtype, output.role, output.classes))
    return Graph(graph.inputs, steps, outputs, graph.name, lengths=graph.lengths)


@dataclass(frozen=True)
class SurveyPart:
    """What a reader's `survey` says of one estimator inside a model: `depth` is how deep it lies.

    steps are those it makes itself, without those of the estimators inside it, and graph is a graph of these steps alone (None
    when there are none); problem says why it cannot be read.
    """

    name: str
    depth: int
    steps: Sequence[Step] = ()
    graph: Graph | None = None
    problem: str | None = None

    @classmethod
    def of(
        cls, name: str, depth: int, steps: Sequence[Step], types: Mapping[str, ValueType], problem: str | None = None
    ) -> SurveyPart:
        """A part whose graph reads the values its steps need and gives those that no other step of it uses."""
        if not steps:
            return cls(name, depth, problem=problem)
        made = {step.output for step in steps}
        used = {value for step in steps for value in step.inputs}
        inputs = [Input(value, types[value].dtype, types[value].shape) for value in sorted(used - made)]
        ends = [step.output for step in steps if step.output not in used]
        outputs = [Output(value, value, types[value].dtype, "transform") for value in ends]
        return cls(name, depth, tuple(steps), Graph(inputs or [Input("row", "f64", ())], steps, outputs), problem)
