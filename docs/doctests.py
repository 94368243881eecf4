"""For the reference: the examples of a docstring (`>>> `) are shown as blocks of code."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"(?:^>>> .*\n?(?:^(?!>>> )\S.*\n?|^>>> .*\n?)*)", re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts fences around examples."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """A docstring with its examples in blocks.

    >>> print(fenced("One line.\\n\\n>>> 1 + 1\\n2").replace("`" * 3, "---"))
    One line.
    <BLANKLINE>
    --- pycon
    >>> 1 + 1
    2
    ---
    """
    return EXAMPLE.sub(lambda found: f"``` pycon\n{found[0].rstrip()}\n```\n", text).rstrip("\n")
