"""The tolerance of models that lose digits themselves: measured on the sample's rows."""

from __future__ import annotations

import numpy as np

from modelport.document import Tolerance
from modelport.graph import Graph
from modelport.run import Evaluator
from modelport.vectors import record, scale_of

from .asking import Original

#: rows of the sample on which it is measured
ROWS = 512


def measured_tolerance(graph: Graph, original: Original, least: float, most: float) -> dict[str, Tolerance]:
    """Per f64 output ten times what graph and original are apart, at least and at most so much relative to its scale."""
    feeds = {name: array[:ROWS] for name, array in original.sample.feeds().items()}
    expected, index = record(original.answer, feeds)
    got = Evaluator(graph).run({name: array[index] for name, array in feeds.items()})
    stated = {}
    for output in graph.outputs:
        if output.dtype == "f64":
            scale = scale_of(expected[output.name], ())
            apart = np.abs(got[output.name] - expected[output.name])
            unit = min(max(10 * float(np.nanmax(apart, initial=0.0)) / scale, least), most)
            stated[output.name] = Tolerance(float(f"{unit * scale:.3g}"), float(f"{unit:.3g}"))
    return stated
