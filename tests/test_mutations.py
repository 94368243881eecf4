"""Thousands of damaged artifacts: each is refused with a typed error, or answers its vectors; never anything else."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from modelport_json import load

import modelport
from modelport.errors import ModelportError
from modelport.predictor import replay, require_match

HOSTILE = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    2**63,
    -(2**70),
    "NaN",
    "Infinity",
    "",
    "x",
    [],
    [[]],
    [[1], [1, 2]],
    {},
    {"dtype": "f64"},
]


def mutate(value: Any, rng: random.Random) -> Any:
    """A copy with one structural change somewhere."""
    copy = json.loads(json.dumps(value))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in children:
            places.append((node, key))
            walk(child)

    walk(copy)
    node, key = rng.choice(places)
    action = rng.randrange(6)
    if action == 0:
        del node[key]
    elif action == 1:
        node[key] = rng.choice(HOSTILE)
    elif action == 2 and isinstance(node[key], (int, float)) and not isinstance(node[key], bool):
        node[key] = node[key] + rng.choice([1, -1, 0.5, 1e-9, 1e6])
    elif action == 3 and isinstance(node[key], list) and node[key]:
        node[key] = node[key] * 2 if rng.random() < 0.5 else node[key][:-1]
    elif action == 4:
        other, place = rng.choice(places)
        node[key] = json.loads(
            json.dumps(
                other[place]
                if (isinstance(other, list) and place < len(other)) or (isinstance(other, dict) and place in other)
                else 0
            )
        )
    elif isinstance(node, dict):
        node[f"{key}!"] = node.pop(key)
    else:
        node[key] = rng.choice(HOSTILE)
    return copy


def survives(data: bytes) -> bool:
    """True when the document was accepted and proven; typed errors are fine, anything else fails the test."""
    try:
        loaded = load(data)
        require_match(replay(loaded), "it")
    except ModelportError as error:
        return not str(error)
    return True


@pytest.fixture(scope="module")
def documents(iris, mixed) -> list[bytes]:
    from sklearn.ensemble import RandomForestClassifier

    X, y, model = iris
    frame, pipeline = mixed
    forest = RandomForestClassifier(3, max_depth=4, random_state=0).fit(X, y)
    return [
        modelport.convert(m, "json", sample=s, style="readable").data for m, s in ((model, X), (pipeline, frame), (forest, X))
    ]


def test_structural_mutations(documents: list[bytes]) -> None:
    rng = random.Random(0)
    for data in documents:
        value = json.loads(data)
        value.pop("provenance")
        accepted = sum(survives(json.dumps(mutate(value, rng)).encode()) for _ in range(700))
        assert accepted < 400


def test_byte_mutations(documents: list[bytes]) -> None:
    rng = random.Random(1)
    for data in documents:
        for _ in range(300):
            damaged = bytearray(data)
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            survives(bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])]))
