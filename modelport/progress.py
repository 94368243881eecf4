"""Progress of long work: a bar with an estimate on a terminal, nothing in a pipe, and erased when the work is done."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TextIO

__all__ = ["Progress", "stage"]

_current: ContextVar[Progress | None] = ContextVar("progress", default=None)


def stage(text: str, more: int = 0) -> None:
    """Begin a stage of whatever job shows its progress; nothing when none does. `more` stages are added to those known before.

    For code below the command line, which does not know whether anybody looks on.
    """
    bar = _current.get()
    if bar is not None:
        bar.grow(more)
        bar.stage(text)


class Progress:
    """Counts named stages of a job; shown by rich where it is installed, else as plain characters.

    >>> import io
    >>> out = io.StringIO()
    >>> with Progress(2, out) as bar:
    ...     bar.stage("reading")
    >>> out.getvalue()
    ''
    """

    WIDTH = 24
    #: seconds before an estimate is given
    PATIENCE = 2.0
    #: where False, nothing is ever shown (--quiet)
    enabled = True

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._total, self._done, self._text = max(1, total), 0, ""
        self._start = time.monotonic()
        terminal = self._stream is not None and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = terminal and self.enabled
        self._rich: Any = None
        self._task: Any = None
        self._token: Token[Progress | None] | None = None

    def grow(self, more: int) -> None:
        """There are more stages than was known."""
        self._total += more

    def stage(self, text: str) -> None:
        """Begin the next stage."""
        if self._text:
            self._done = min(self._done + 1, self._total)
        self._text = text
        if not self._shown:
            return
        shown = "".join(c if c.isprintable() else "?" for c in text)
        if self._rich is not None:
            self._rich.update(
                self._task, total=self._total, completed=self._done, description=shown, left=self.left(), refresh=True
            )
            return
        filled = self.WIDTH * self._done // self._total
        self._stream.write(f"\r\033[K[{'#' * filled}{'.' * (self.WIDTH - filled)}] {shown}{self.left()}")
        self._stream.flush()

    def left(self) -> str:
        """About how long it will take, in words; nothing while that cannot be told."""
        spent = time.monotonic() - self._start
        if not self._done or spent < self.PATIENCE:
            return ""
        seconds = spent / self._done * (self._total - self._done)
        return f" (about {seconds:.0f} s left)" if seconds < 90 else f" (about {seconds / 60:.0f} min left)"

    def __enter__(self) -> Progress:
        self._token = _current.set(self)
        if self._shown and importlib.util.find_spec("rich") is not None:
            from rich.console import Console
            from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (
                SpinnerColumn(),
                BarColumn(self.WIDTH),
                TextColumn("{task.description}{task.fields[left]}", markup=False),
                TimeElapsedColumn(),
            )
            console = Console(file=self._stream, no_color=bool(os.environ.get("NO_COLOR")) or None)
            self._rich = Bar(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
            self._task = self._rich.add_task("", total=self._total, left="")
            self._rich.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._token is not None:
            _current.reset(self._token)
        if self._rich is not None:
            self._rich.stop()
        elif self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()
