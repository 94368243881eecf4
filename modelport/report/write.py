"""Writing the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..artifact import write_atomically
from ..progress import Progress
from ..verify import Report
from .facts import Facts, Given, gather

__all__ = ["write_page", "write_report"]


def write_report(
    path: str | os.PathLike[str],
    artifacts: Given | Sequence[Given],
    *,
    model: Any = None,
    sample: Any = None,
    with_: str | Sequence[str] = (),
    title: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[Report]:
    """Verify artifacts of one model, write what was found as one HTML file, and give the reports, one per artifact.

    The file is written whether they passed or not. with_ names consumers; each is asked for the artifacts of the formats it
    reads, "all" are those that can run here. options are those of `verify`. MissingDependency where matplotlib is not installed.
    """
    from . import plots

    plots.require()
    facts = gather(artifacts, model=model, sample=sample, with_=with_, title=title, progress=progress, **options)
    write_page(path, [facts], title)
    return facts.reports


def write_page(path: str | os.PathLike[str], groups: Sequence[Facts], title: str | None = None) -> Path:
    """Write facts that were gathered: one model as a page of its own, several one after the other."""
    from . import plots
    from .page import page

    plots.require()
    return write_atomically(path, page(groups, title).encode("utf-8"))
