"""A self test of an installation: a tiny model with answers known by hand, in every format and every consumer here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import registry
from .artifact import Artifact
from .consumers import consumers_of
from .document import EXACT, Document, Vectors
from .errors import MissingDependency, ModelportError
from .graph import Graph, Input, Output, Step
from .inspecting import engine_problem
from .progress import stage
from .verify import ConsumerReport, verify
from .version import __version__

__all__ = ["self_test", "tiny"]

#: rows of (a, b), and 2 a - 3 b + 0.5: every number is a sum of a few powers of two, so that nothing is rounded
ROWS = ((0.0, 0.0, 0.5), (1.0, 0.0, 2.5), (0.0, 1.0, -2.5), (0.25, -4.0, 13.0), (1024.0, 0.125, 2048.125))


def tiny() -> Document:
    """A linear model of two columns, with rows that prove it."""
    columns = np.array(ROWS)
    graph = Graph(
        [Input("a"), Input("b")],
        [
            Step("concat", ("a", "b"), "columns"),
            Step("linear", ("columns",), "sum", {"weight": np.array([[2.0, -3.0]]), "bias": np.array([0.5])}),
            Step("reduce", ("sum",), "prediction", {"fn": "sum"}),
        ],
        [Output("prediction", "prediction", "f64", "prediction")],
        "self test",
    )
    rows = {"a": columns[:, :1], "b": columns[:, 1:2]}
    vectors = Vectors(rows, {"prediction": columns[:, 2]}, {"prediction": EXACT}, "synthetic", ("plain",) * len(columns))
    return Document(graph, vectors, {"producer": f"modelport {__version__}", "model": "a self test"})


def self_test() -> list[tuple[str, bool, str]]:
    """(what, whether it passed, what came of it) for every format that can be written and every consumer that can run it here."""
    found = []
    document = tiny()
    for name, writer in registry.writers():
        if getattr(writer, "DELEGATED", False):
            continue
        others = consumers_of(name)[1:]
        consumers = [c.name for c in others if c.problem is None and engine_problem(c.name) is None]
        stage(f"self test of {name}", 1)
        try:
            report = verify(Artifact(name, writer.write(document, {})), with_=consumers)
        except MissingDependency:
            continue  # a finding of its own says so
        except ModelportError as error:
            found.append((name, False, str(error)))
            continue
        found += list(_said(name, report.consumers))
    return found


def _said(name: str, consumers: tuple[ConsumerReport, ...]) -> Iterator[tuple[str, bool, str]]:
    for c in consumers:
        worst = next((o for o in c.outputs if not o.passed), None)
        wrong = c.problem or (f"MISMATCH: {worst.worst or worst.problem}" if worst is not None else "it compared nothing")
        yield f"{name} in {c.consumer}", c.passed, f"{len(ROWS)} rows equal in every bit" if c.passed else wrong
