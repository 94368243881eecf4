"""Every model of the zoo: what is read of it answers as the module does, in batches of 1, 2 and 5 and at several lengths."""

from __future__ import annotations

from typing import Any

import modelport_torch
import numpy as np
import pytest
import torch

from modelport.errors import GraphError, UnsupportedModel
from modelport.graph import bind
from modelport.run import Evaluator
from tests.converters.modelport_torch.zoo import CASES, Case, each_in_a_process, shared

#: how far an answer may lie apart, relative to the largest number of its tensor
SCALE = 1e-5


def flat(result: Any) -> list[np.ndarray]:
    """The tensors of a module's result in order."""
    if result is None:
        return []
    if isinstance(result, torch.Tensor):
        return [result.numpy()]
    parts = result.values() if isinstance(result, dict) else result
    return [array for part in parts for array in flat(part)]


def compare(model: torch.nn.Module, graph: Any, names: list[str], rows: tuple[np.ndarray, ...]) -> None:
    """The graph's answers beside the module's own."""
    with torch.no_grad():
        expected = flat(model(*(torch.from_numpy(array) for array in rows)))
    feeds = dict(zip(names, rows, strict=True))
    if graph.lengths:
        graph = graph.at(bind(graph.inputs, {name: array.shape[1:] for name, array in feeds.items()}))
    got = list(Evaluator(graph).run(feeds).values())
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        if theirs.dtype.kind == "f":
            assert np.abs(mine - theirs).max() <= SCALE * np.abs(theirs).max()
        else:
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("case", each_in_a_process())
def test_zoo(case: Case) -> None:
    model = shared(case.name)
    sample = modelport_torch.sample_of(model, case.rows(4))
    assert sample is not None
    if case.refused:
        with pytest.raises(UnsupportedModel, match="Python `if` on data"):
            modelport_torch.read(model, sample, {"lengths": case.lengths})
        return
    graph = modelport_torch.read(model, sample, {"lengths": case.lengths}).graph
    names = [value.name for value in graph.inputs]
    for n in (1, 2, 5):
        compare(model, graph, names, case.rows(n))
    for more in (-2, 3) if case.lengths else ():
        compare(model, graph, names, case.rows(2, **{k: v + more for k, v in case.example.items()}))


def test_the_zoo_has_the_27_kinds() -> None:
    assert len(CASES) == 27
    assert sum(case.refused for case in CASES.values()) == 1


def test_a_length_that_the_module_refuses_is_refused() -> None:
    case = CASES["shape_arithmetic"]
    model = case.model()
    graph = modelport_torch.read(model, modelport_torch.sample_of(model, case.rows(3)), {"lengths": case.lengths}).graph
    with pytest.raises(GraphError):
        graph.at({"time": 1})
