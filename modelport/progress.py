"""Progress of long work: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

__all__ = ["Progress"]


class Progress:
    """Counts named stages of a job.

    >>> import io
    >>> out = io.StringIO()
    >>> with Progress(2, out) as bar:
    ...     bar.stage("reading")
    >>> out.getvalue()
    ''
    """

    WIDTH = 24

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._total, self._done, self._text = max(1, total), 0, ""
        self._start = time.monotonic()
        self._shown = self._stream.isatty()

    def stage(self, text: str) -> None:
        """Begin the next stage."""
        if self._text:
            self._done += 1
        self._text = text
        if self._shown:
            filled = self.WIDTH * self._done // self._total
            left = self._estimate()
            self._stream.write(f"\r\033[K[{'#' * filled}{'.' * (self.WIDTH - filled)}] {text}{left}")
            self._stream.flush()

    def _estimate(self) -> str:
        spent = time.monotonic() - self._start
        if not self._done or spent < 2:
            return ""
        return f" (about {spent / self._done * (self._total - self._done):.0f} s left)"

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()
