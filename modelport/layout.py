"""Lines and aligned tables of plain text."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Block", "Rows", "lines_of", "printable"]

#: a column that is wrapped keeps at least so many characters
NARROWEST = 24


@dataclass(frozen=True)
class Rows:
    """A table: rows of cells, `right` the columns set to the right, `header` above them. The last column is wrapped."""

    rows: Sequence[Sequence[str]]
    header: Sequence[str] | None = None
    right: frozenset[int] = frozenset()
    indent: int = 2


Block = str | Rows


def printable(line: str) -> str:
    """Control characters in a line (names come from files of others) shown, not obeyed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)


def lines_of(blocks: Sequence[Block], width: int | None = None) -> Iterator[str]:
    """Blocks as lines, tables aligned.

    >>> list(lines_of(["a table", Rows([("x", "1"), ("long", "22")], right=frozenset({1}))]))
    ['a table', '  x      1', '  long  22']
    """
    for block in blocks:
        if isinstance(block, str):
            yield from (printable(line) for line in block.split("\n"))
        else:
            yield from _table(block, width)


def _table(block: Rows, width: int | None) -> Iterator[str]:
    rows = [[printable(" ".join(cell.split("\n"))) for cell in row] for row in ([block.header] if block.header else [])]
    rows += [[printable(" ".join(cell.split("\n"))) for cell in row] for row in block.rows]
    columns = max(map(len, rows), default=0)
    if not columns:
        return
    widths = [max((_columns(row[j]) for row in rows if len(row) > j), default=0) for j in range(columns)]
    start = block.indent + sum(w + 2 for w in widths[:-1])
    for row in rows:
        cells = [_set(cell, widths[j], j in block.right) for j, cell in enumerate(row[: columns - 1])]
        last = row[columns - 1] if len(row) == columns else ""
        if columns - 1 in block.right:
            last = _set(last, widths[-1], True)
        room = None if width is None else max(NARROWEST, width - start)
        first, *more = [last] if room is None or _columns(last) <= room else textwrap.wrap(last, room) or [""]
        yield (" " * block.indent + "  ".join([*cells, first])).rstrip()
        yield from (" " * start + line for line in more)


def _set(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _columns(cell))
    return space + cell if right else cell + space


def _columns(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
