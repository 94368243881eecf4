"""Who wants to see more of a verification than its report says is told every consumer's answers while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from .document import Vectors

__all__ = ["Watcher"]


class Watcher(Protocol):
    """Is told what a verification sees."""

    def answered(
        self, consumer: str, rows: Vectors, outputs: Mapping[str, NDArray[Any]], seconds: float, to_load: float | None
    ) -> None:
        """A consumer answered one set of rows, which hold the original's answers; sets come in their order.

        to_load: the seconds it took to load before, None for one that loads and answers in one process.
        """
