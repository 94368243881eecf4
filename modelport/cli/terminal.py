"""What is written to a terminal: wrapped to its width, and coloured where that is wanted. In a pipe it is plain text."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Sequence
from typing import Any, TextIO

__all__ = ["colourful", "width_of", "write"]

#: what is coloured, where colour is shown
HIGHLIGHTS = (
    (r"^(PASSED|SAME)\b|^ *ok  ", "bold green"),
    (r"^(FAILED|DIFFERENT)\b|\bMISMATCH\b|^no +(?=\S)|\bNOT READ\b", "bold red"),
    (r"^\s*\w+ +refused\b", "red"),
    (r"^ *-- ", "yellow"),
    (r"^ *BAD ", "bold red"),
    (r"^modelport:", "bold red"),
    (r"^  see https://\S+", "dim"),
    (r"\bequal in every bit\b", "green"),
    (r"\bnothing proves\b.*", "yellow"),
)


def colourful(stream: TextIO | None) -> bool:
    """Whether colour is wanted: on a terminal or with FORCE_COLOR, never with NO_COLOR or on a dumb terminal, and with rich."""
    if stream is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    wanted = bool(os.environ.get("FORCE_COLOR")) or stream.isatty()
    return wanted and importlib.util.find_spec("rich") is not None


def width_of(stream: TextIO | None) -> int | None:
    """The columns of a terminal; None in a pipe, where nothing is wrapped."""
    return shutil.get_terminal_size().columns if stream is not None and stream.isatty() else None


def write(lines: Sequence[str], stream: Any) -> None:
    """Print lines, coloured where that is wanted."""
    if not colourful(stream):
        print("\n".join(lines), file=stream)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, force_terminal=True, highlight=False, emoji=False, markup=False, soft_wrap=True)
    for line in lines:
        text = Text(line)
        for pattern, style in HIGHLIGHTS:
            text.highlight_regex(pattern, style)
        if line and line[0].isupper() and line.endswith(":"):
            text.stylize("bold")
        console.print(text)
