"""How Keras names what it saves."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["container_keys", "snake"]


def snake(name: str) -> str:
    """A class name as Keras writes it in a path.

    >>> snake("MultiHeadAttention"), snake("LSTMCell"), snake("Conv2D")
    ('multi_head_attention', 'lstm_cell', 'conv2d')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def container_keys(class_names: Sequence[str]) -> list[str]:
    """The keys under which a list of layers is saved.

    >>> container_keys(["Dense", "LSTM", "Dense"])
    ['dense', 'lstm', 'dense_1']
    """
    used: dict[str, int] = {}
    keys = []
    for name in map(snake, class_names):
        count = used.get(name, 0)
        used[name] = count + 1
        keys.append(f"{name}_{count}" if count else name)
    return keys
