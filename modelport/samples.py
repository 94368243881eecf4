"""The sample a model comes with: the user's, as its reader takes it, or the rows that its own file carries."""

from __future__ import annotations

import contextlib
from typing import Any

from . import registry
from .arrays import Arrays
from .errors import InputError, MissingDependency, NotFitted, PluginError, UnsupportedModel, UsageError
from .sample import Sample

__all__ = ["carried_sample", "checked_sample"]


def checked_sample(sample: Any, model: Any) -> Sample | Arrays:
    """A user's sample, read - by the model's reader where it knows what else than a table the model is fed; InputError when it
    has no rows. None stands for the rows that the model's own file carries."""
    if sample is None:
        found = carried_sample(model)
        if found is None:
            raise UsageError("A sample of what the model is fed is needed: sample=X (--sample FILE).")
        return found
    with contextlib.suppress(MissingDependency, NotFitted, PluginError, UnsupportedModel):
        take = getattr(registry.reader_for(model)[1], "sample_of", None)
        rows = take(model, sample) if take is not None else None
        if rows is not None and len(rows):
            return rows  # type: ignore[no-any-return]
    rows = Sample.of(sample, getattr(model, "feature_names_in_", None))
    if not len(rows):
        raise InputError("The sample has no rows: hand over at least a few.")
    return rows


def carried_sample(model: Any) -> Sample | None:
    """The rows that a model's own file carries, or None."""
    with contextlib.suppress(MissingDependency, NotFitted, PluginError, UnsupportedModel):
        own = getattr(registry.reader_for(model)[1], "own_sample", None)
        return None if own is None else own(model)
    return None
