"""What a reader hands over: the graph, and a way to ask the original model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from .document import Tolerance
from .graph import Graph
from .sample import Sample

__all__ = ["Reading"]

Array = NDArray[Any]
Ask = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class Reading:
    """A model read into a graph.

    answer(feeds) asks the original model (n_jobs=1, eval mode) for all outputs of the graph; probes maps names of values to
    functions (feeds) -> array that ask the original for that intermediate value, so that a report can say which step diverges
    first; tolerance holds hints per output, where the reader knows better than the op. sample is the sample as the graph's inputs
    take it, where the reader changed its shape (None: as it was handed over). as_given(rows) asks the original on rows in the
    container and number types the user has them in.
    """

    graph: Graph
    answer: Ask
    provenance: Mapping[str, Any] = field(default_factory=dict)
    probes: Mapping[str, Callable[[Mapping[str, Array]], Array]] = field(default_factory=dict)
    tolerance: Mapping[str, Tolerance] = field(default_factory=dict)
    sample: Sample | None = None
    as_given: Callable[[Any], dict[str, Array]] | None = None
