"""Sums of products have the bits of a plain loop in ascending index, whichever way they are computed."""

from __future__ import annotations

import numpy as np
import pytest

from modelport.ops import base


def loop(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What every other language writes."""
    result = np.zeros((len(x), len(weight)))
    for i, row in enumerate(x.tolist()):
        for k, factors in enumerate(weight.tolist()):
            total = 0.0
            for a, b in zip(row, factors, strict=True):
                total += a * b
            result[i, k] = total
    return result


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers of many magnitudes, zeros of both signs among them."""
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-9, 9, shape)
    return np.where(rng.random(shape) < 0.1, -0.0, values)


@pytest.mark.parametrize("seed", range(60))
def test_products(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, d, k = rng.choice([0, 1, 2, 3, 5, 8, 16, 17, 33], 3)
    x, weight = numbers(rng, n, d), numbers(rng, k, d)
    if seed % 3 == 0:
        x, weight = np.asfortranarray(x), np.asfortranarray(weight)
    if seed % 5 == 0:
        x = np.repeat(x, 2, axis=1)[:, ::2]
    expected = loop(x, weight)
    assert base.products(x, weight).tobytes() == expected.tobytes()
    assert base._loop_products(x, weight).tobytes() == expected.tobytes()


def test_products_where_einsum_has_other_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_einsum_ascends", lambda: False)
    monkeypatch.setattr(base, "_einsum_products", None)
    x = numbers(np.random.default_rng(1), 4, 30)
    assert base.products(x, x).tobytes() == loop(x, x).tobytes()
    assert base.ascending_sum(x).tobytes() == loop(x, np.ones((1, 30)))[:, 0].tobytes()


def test_ascending_sum_keeps_the_other_axes() -> None:
    x = numbers(np.random.default_rng(2), 3, 4, 50)
    expected = loop(x.reshape(12, 50), np.ones((1, 50))).reshape(3, 4)
    assert base.ascending_sum(x).tobytes() == expected.tobytes()
    assert base.ascending_sum(x[0, 0]) == expected[0, 0]
    assert base.ascending_sum(np.zeros((2, 0))).tolist() == [0.0, 0.0]
    assert np.isnan(base.ascending_sum(np.array([np.inf, -np.inf])))
