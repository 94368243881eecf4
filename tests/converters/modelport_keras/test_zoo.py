"""Every architecture of the zoo against Keras, and what is saved of it against what is live."""

from __future__ import annotations

import pytest

from tests.converters.modelport_keras.common import check
from tests.converters.modelport_keras.zoo import ZOO


def test_the_zoo_is_complete() -> None:
    assert len(ZOO) == 28


@pytest.mark.parametrize("name", sorted(ZOO))
def test_graph_answers_as_keras_does(name: str) -> None:
    model, sample, other = ZOO[name]()
    reading = check(model, sample, other=other, batches=(1, 2, 5))
    assert bool(reading.graph.lengths) == (other is not None)
