"""The example beside a facade: at most twenty lines, whatever the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .naming import fill

__all__ = ["LINES", "WIDTH", "hint", "short"]

#: lines of an example, and characters of a line
LINES, WIDTH = 20, 130


def short(template: str, values: Mapping[str, str], spelled: Mapping[str, str] | None, otherwise: Mapping[str, str]) -> str:
    """The example that spells a row out, if it is that short; else the one that takes the row of the facade.

    >>> [short("@row@", {}, {"row": row}, {"row": "the example row"}) for row in ("a = 1", "\\n" * 20 + "a = 1")]
    ['a = 1', 'the example row']
    """
    if spelled is not None:
        text = fill(template, {**values, **spelled})
        lines = text.rstrip("\n").split("\n")
        if len(lines) <= LINES and max(map(len, lines)) <= WIDTH:
            return text
    return fill(template, {**values, **otherwise})


def hint(names: Sequence[str], before: str = "answer.", width: int = 60) -> str:
    """The first of the names, as a comment shows them.

    >>> hint(["label", "probability"]), hint(["x" * 50, "y" * 20])
    ('answer.label, answer.probability', 'answer.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, ...')
    """
    found: list[str] = []
    for name in names:
        if found and len(", ".join([*found, before + name])) > width:
            return ", ".join([*found, "..."])
        found.append(before + name)
    return ", ".join(found)
