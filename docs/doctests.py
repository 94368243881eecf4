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
    """A docstring with its examples in blocks, and without tags in its sentences.

    >>> print(fenced("One line.\\n\\n>>> 1 + 1\\n2").replace("`" * 3, "---"))
    One line.
    <BLANKLINE>
    --- pycon
    >>> 1 + 1
    2
    ---
    """
    parts = EXAMPLE.split(text)
    examples = [*(found[0] for found in EXAMPLE.finditer(text)), ""]
    told = [re.sub(r"(`[^`\n]*`)|<", lambda found: found[1] or "&lt;", part) for part in parts]
    blocks = [f"``` pycon\n{example.rstrip()}\n```\n" if example else "" for example in examples]
    return "".join(part + block for part, block in zip(told, blocks, strict=True)).rstrip("\n")
